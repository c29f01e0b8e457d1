//! Against our own server: everything that it can do.

use std::fs;
use std::io::{Cursor, Write as _};
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use hythe::accounts::{Accounts, Books, Gate};
use hythe::client::{
    Ask, Begun, Content, Entry, FtpClient, Kind, Login, Meter, Options, Rate, Reason, Remote,
    RemotePath, Upload, Url,
};
use hythe::serve::ftp::{Ftp, FtpConfig};
use hythe::share::{Access, RelPath, Rules, Share, Visitor};
use hythe::tls::{Acceptor, Identity, SelfSigned};
use hythe_net::reactor::timeout;

use super::common::{DIFFICULT_NAMES, content, difficult_tree};
use super::{Running, Taken, as_anna, get, options, path, run};

async fn connect(url: Url, options: Options) -> FtpClient {
    FtpClient::connect(url, options).await.unwrap()
}

async fn visit(server: &Running) -> FtpClient {
    connect(server.url("ftp"), options()).await
}

fn names(entries: &[Entry]) -> Vec<Vec<u8>> {
    let mut names: Vec<_> = entries.iter().map(|entry| entry.name.clone()).collect();
    names.sort();
    names
}

fn reason<T>(result: hythe::client::Result<T>) -> Reason {
    result.err().expect("an error").reason
}

#[test]
fn folders_are_listed_whatever_their_names() {
    let root = tempfile::tempdir().unwrap();
    difficult_tree(root.path());
    for address in ["127.0.0.1:0", "[::1]:0"] {
        let gate = Gate::new(Share::open(root.path()).unwrap(), Access::Read);
        let server = Running::on(address, Ftp::new(gate, FtpConfig::default()));
        run(async {
            let mut client = visit(&server).await;
            let folder = path("文件夹 with #1%/");
            let entries = client.list(&folder).await.unwrap();
            // What it shows of a name that FTP can't say is another name.
            let shown = |name: &&[u8]| match *name {
                b"new\nline.txt" => b"new?line.txt".to_vec(),
                name => name.to_vec(),
            };
            let mut expected: Vec<_> = DIFFICULT_NAMES.iter().map(shown).collect();
            expected.push(b"empty".to_vec());
            expected.sort();
            assert_eq!(names(&entries), expected);
            for entry in &entries {
                assert_eq!(entry.path.name().as_ref(), Some(&entry.name));
                match &*entry.name {
                    b"empty" => {
                        assert_eq!(entry.kind, Kind::Folder);
                        assert!(client.list(&entry.path).await.unwrap().is_empty());
                    }
                    b"new?line.txt" => {
                        assert_eq!(reason(client.stat(&entry.path).await), Reason::NotFound);
                    }
                    _ => assert_eq!(&client.stat(&entry.path).await.unwrap(), entry),
                }
            }
            assert_eq!(reason(client.list(&path("none")).await), Reason::NotFound);
            let file = path("plain.txt");
            assert_eq!(reason(client.list(&file).await), Reason::NotFound);
            let root = client.stat(&RemotePath::root()).await.unwrap();
            assert_eq!((root.kind, root.path.is_root()), (Kind::Folder, true));
            client.close().await.unwrap();
        });
    }
}

#[test]
fn files_come_whole_and_in_part() {
    let root = tempfile::tempdir().unwrap();
    let bytes = content(3_000_000);
    fs::write(root.path().join("big"), &bytes).unwrap();
    fs::write(root.path().join("none"), b"").unwrap();
    let server = Running::open(root.path());
    run(async {
        let mut client = visit(&server).await;
        let big = path("big");
        let (opening, whole) = get(&mut client, &big, &Ask::default()).await.unwrap();
        assert!(whole == bytes);
        assert_eq!(opening.length, Some(3_000_000));
        assert!(opening.version.is_telling());
        let version = Some(opening.version);
        for (from, to) in [
            (1, None),
            (2_999_999, None),
            (3_000_000, None),
            (1_000_000, Some(1_000_010)),
            (1_000_000, Some(3_000_000)),
            (5, Some(9_000_000)),
            (7, Some(7)),
        ] {
            let version = version.clone();
            let head_only = false;
            let ask = Ask {
                from,
                to,
                version,
                head_only,
            };
            let (opening, part) = get(&mut client, &big, &ask).await.unwrap();
            let end = to.map_or(bytes.len(), |to| bytes.len().min(to as usize));
            assert_eq!((opening.offset, opening.changed), (from, false));
            assert_eq!(opening.length, Some(end as u64 - from));
            assert!(part == bytes[from as usize..end], "{from} to {to:?}");
        }
        let (_, none) = get(&mut client, &path("none"), &Ask::default())
            .await
            .unwrap();
        assert!(none.is_empty());

        let head = Ask {
            head_only: true,
            ..Ask::default()
        };
        let opening = client.open(&big, &head).await.unwrap();
        assert_eq!(opening.total, Some(3_000_000));
        // A sink that has enough before the end; one that was opened and is not
        // received; both leave the client usable.
        client.open(&big, &Ask::default()).await.unwrap();
        let taken = Taken::new(1000);
        client.receive(Box::new(taken.clone())).await.unwrap();
        assert!(taken.bytes() == bytes[..1000]);
        client.open(&big, &Ask::default()).await.unwrap();
        assert_eq!(client.stat(&big).await.unwrap().size, Some(3_000_000));
        let (_, whole) = get(&mut client, &big, &Ask::default()).await.unwrap();
        assert!(whole == bytes);
        let missing = client.open(&path("missing"), &Ask::default()).await;
        assert_eq!(reason(missing), Reason::NotFound);
        // Nothing is open now.
        let nothing = client.receive(Box::new(Taken::new(1))).await;
        assert_eq!(reason(nothing), Reason::Lost);
        assert_eq!(client.list(&RemotePath::root()).await.unwrap().len(), 2);
    });
}

#[test]
fn a_file_that_has_changed_begins_anew() {
    let root = tempfile::tempdir().unwrap();
    let file = root.path().join("file");
    fs::write(&file, b"first").unwrap();
    let server = Running::open(root.path());
    run(async {
        let mut client = visit(&server).await;
        let (opening, _) = get(&mut client, &path("file"), &Ask::default())
            .await
            .unwrap();
        fs::write(&file, b"second one").unwrap();
        let mut ask = Ask {
            from: 3,
            version: Some(opening.version),
            ..Ask::default()
        };
        let (opening, bytes) = get(&mut client, &path("file"), &ask).await.unwrap();
        assert_eq!((opening.offset, opening.changed), (0, true));
        assert_eq!(bytes, b"second one");
        ask.to = Some(5);
        let part = client.open(&path("file"), &ask).await;
        assert_eq!(reason(part), Reason::Changed);
        // What ends before the offset is not what it was, either.
        let ask = Ask {
            from: 100,
            ..Ask::default()
        };
        let (opening, bytes) = get(&mut client, &path("file"), &ask).await.unwrap();
        assert_eq!((opening.offset, opening.changed), (0, true));
        assert_eq!(bytes, b"second one");
    });
}

fn upload(length: usize) -> Upload {
    Upload {
        length: Some(length as u64),
        modified: Some(1_000_000_000),
    }
}

/// Sends a file from where the server wants it.
async fn put(
    client: &mut FtpClient,
    to: &RemotePath,
    bytes: &[u8],
    begun: &Begun,
    meter: &Meter,
) -> hythe::client::Result<()> {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    let range = begun.offset..bytes.len() as u64;
    let content = Content::File(Arc::new(file), range);
    client.send(to, begun, content, meter).await
}

fn modified(path: &Path) -> u64 {
    let time = fs::metadata(path).unwrap().modified().unwrap();
    time.duration_since(SystemTime::UNIX_EPOCH)
        .unwrap()
        .as_secs()
}

#[test]
fn uploads_go_on_where_they_were() {
    let root = tempfile::tempdir().unwrap();
    let server = Running::open(root.path());
    let bytes = content(2_000_000);
    let there = |name: &str| fs::read(root.path().join(name)).unwrap();
    run(async {
        let mut client = visit(&server).await;
        let (new, meter) = (path("新 file"), Meter::default());
        let wish = upload(bytes.len());
        let begun = client.begin_upload(&new, &wish, None).await.unwrap();
        assert_eq!(begun.offset, 0);
        put(&mut client, &new, &bytes, &begun, &meter)
            .await
            .unwrap();
        assert!(there("新 file") == bytes);
        assert_eq!(meter.moved(), 2_000_000);
        assert_eq!(modified(&root.path().join("新 file")), 1_000_000_000);

        // Half of it is there, of a try that ended in its middle.
        let half = path("half");
        let begun = client.begin_upload(&half, &wish, None).await.unwrap();
        fs::write(root.path().join("half"), &bytes[..700_000]).unwrap();
        let again = client
            .begin_upload(&half, &wish, begun.token.as_deref())
            .await;
        let again = again.unwrap();
        assert_eq!((again.offset, &again.token), (700_000, &begun.token));
        put(&mut client, &half, &bytes, &again, &meter)
            .await
            .unwrap();
        assert!(there("half") == bytes);

        // What was there before, nobody goes on with.
        fs::write(root.path().join("other"), b"somebody else's").unwrap();
        let other = path("other");
        let begun = client.begin_upload(&other, &wish, None).await.unwrap();
        let again = client
            .begin_upload(&other, &wish, begun.token.as_deref())
            .await;
        let again = again.unwrap();
        assert_eq!(again.offset, 0);
        put(&mut client, &other, &bytes, &again, &meter)
            .await
            .unwrap();
        assert!(there("other") == bytes);

        // Beyond its end there is nothing to go on from.
        let beyond = Begun {
            offset: 3_000_000,
            ..again
        };
        let content = Content::Pipe(Box::new(Cursor::new(b"x")));
        let refused = client.send(&other, &beyond, content, &meter).await;
        assert_eq!(reason(refused), Reason::Changed);
        assert!(there("other") == bytes);
    });
}

#[test]
fn pipes_and_rates() {
    let root = tempfile::tempdir().unwrap();
    let server = Running::open(root.path());
    let bytes = content(600_000);
    run(async {
        let mut client = visit(&server).await;
        let pipe = path("pipe");
        let begun = client.begin_upload(&pipe, &Upload::default(), None).await;
        let begun = begun.unwrap();
        let content = Content::Pipe(Box::new(Cursor::new(bytes.clone())));
        let meter = Meter::new(Some(Arc::new(Rate::new(2_000_000))));
        let start = std::time::Instant::now();
        client.send(&pipe, &begun, content, &meter).await.unwrap();
        put(&mut client, &path("file"), &bytes, &begun, &meter)
            .await
            .unwrap();
        assert!(start.elapsed().as_millis() >= 500);
        assert_eq!(meter.moved(), 1_200_000);
        for name in ["pipe", "file"] {
            assert!(fs::read(root.path().join(name)).unwrap() == bytes);
        }

        // An end that is none: what is here has become shorter.
        let short = Content::File(Arc::new(tempfile::tempfile().unwrap()), 0..1000);
        let failed = client.send(&path("short"), &begun, short, &meter).await;
        assert_eq!(reason(failed), Reason::Local);
        // Whatever the server has of it, it is no whole file, and others follow.
        assert!(client.list(&RemotePath::root()).await.unwrap().len() >= 2);
    });
}

#[test]
fn things_are_made_moved_and_removed() {
    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join("-file"), b"here").unwrap();
    let server = Running::open(root.path());
    run(async {
        let mut client = visit(&server).await;
        let (folder, file) = (path("a \"folder\"/"), path("-file"));
        client.make_folder(&folder).await.unwrap();
        assert_eq!(reason(client.make_folder(&folder).await), Reason::Exists);
        assert_eq!(reason(client.make_folder(&file).await), Reason::Exists);
        let moved = folder.join(b"100% moved");
        client.rename(&file, &moved).await.unwrap();
        assert_eq!(reason(client.rename(&file, &moved).await), Reason::NotFound);
        assert_eq!(client.stat(&moved).await.unwrap().size, Some(4));
        fs::write(root.path().join("another"), b"x").unwrap();
        let full = client.remove(&folder, Kind::Folder).await;
        assert_eq!(reason(full), Reason::Exists);
        client.remove(&moved, Kind::File).await.unwrap();
        assert_eq!(
            reason(client.remove(&moved, Kind::File).await),
            Reason::NotFound
        );
        client.remove(&folder, Kind::Folder).await.unwrap();
        assert!(!root.path().join("a \"folder\"").exists());
        // A name that would be two commands is none.
        let split = RemotePath::from_url("/x%0D%0ADELE another", None);
        assert_eq!(reason(client.make_folder(&split).await), Reason::Protocol);
        assert!(root.path().join("another").exists());
    });
}

struct People {
    root: tempfile::TempDir,
    _kept: tempfile::TempDir,
    accounts: Accounts,
}

impl People {
    fn new() -> Self {
        let kept = tempfile::tempdir().unwrap();
        let accounts = Accounts::open(&kept.path().join("accounts.db")).unwrap();
        let (role, home) = (Access::Write, RelPath::root());
        let by = Visitor::LOCAL;
        accounts
            .add(b"anna", b"password", role, home, Some(100_000), &by)
            .unwrap();
        Self {
            root: tempfile::tempdir().unwrap(),
            _kept: kept,
            accounts,
        }
    }

    fn serve(&self, strangers: Access) -> Running {
        let share = Share::open(self.root.path()).unwrap();
        let ledger = Arc::new(Books::new(self.accounts.clone(), share.clone()));
        let share = share.with_rules(Rules {
            ledger,
            ..Rules::default()
        });
        let gate = Gate::new(share, strangers).with_accounts(self.accounts.clone(), Access::Upload);
        Running::on("127.0.0.1:0", Ftp::new(gate, FtpConfig::default()))
    }
}

#[test]
fn people_log_in_and_register() {
    let people = People::new();
    let server = people.serve(Access::None);
    let login = |name: &str, password: &str| Login {
        name: name.into(),
        password: Some(password.into()),
    };
    run(async {
        let root = RemotePath::root();
        let mut wrong = connect(server.url("ftp"), as_anna("wrong password")).await;
        assert_eq!(reason(wrong.list(&root).await), Reason::NotAllowed);
        let mut nobody = visit(&server).await;
        assert_eq!(reason(nobody.list(&root).await), Reason::NotAllowed);
        nobody
            .register("李 小龙", "密码 密码密码".as_bytes())
            .await
            .unwrap();
        let again = nobody.register("李 小龙", b"12345678").await;
        assert_eq!(reason(again), Reason::Exists);
        let unfit = nobody.register("eve", b"short").await;
        assert_eq!(reason(unfit), Reason::NotAllowed);
        nobody
            .log_in(login("李 小龙", "密码 密码密码"))
            .await
            .unwrap();
        assert!(nobody.list(&root).await.unwrap().is_empty());
        let other = nobody.log_in(login("anna", "guessed")).await;
        assert_eq!(reason(other), Reason::NotAllowed);
        // It is still who it was.
        assert!(nobody.list(&root).await.unwrap().is_empty());
    });
}

#[test]
fn a_quota_is_the_reason_that_is_told() {
    let people = People::new();
    let server = people.serve(Access::None);
    let bytes = content(3_000_000);
    run(async {
        let mut client = connect(server.url("ftp"), as_anna("password")).await;
        let (large, meter) = (path("large"), Meter::default());
        let wish = upload(bytes.len());
        let begun = client.begin_upload(&large, &wish, None).await.unwrap();
        let sent = put(&mut client, &large, &bytes, &begun, &meter).await;
        let error = sent.unwrap_err();
        assert_eq!(error.reason, Reason::NoSpace, "{error}");
        client.list(&RemotePath::root()).await.unwrap();
    });
}

#[test]
fn who_may_only_read_is_told_so() {
    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join("file"), b"here").unwrap();
    let gate = Gate::new(Share::open(root.path()).unwrap(), Access::Read);
    let server = Running::on("127.0.0.1:0", Ftp::new(gate, FtpConfig::default()));
    run(async {
        let mut client = visit(&server).await;
        let file = path("file");
        let removed = client.remove(&file, Kind::File).await;
        assert_eq!(reason(removed), Reason::NotAllowed);
        assert_eq!(
            reason(client.make_folder(&path("new")).await),
            Reason::NotAllowed
        );
        let begun = Begun::default();
        let meter = Meter::default();
        let stored = put(&mut client, &path("new"), b"x", &begun, &meter).await;
        assert_eq!(reason(stored), Reason::NotAllowed);
    });
}

/// A server with a certificate, and a client that trusts it.
struct Secure {
    root: tempfile::TempDir,
    kept: tempfile::TempDir,
    identity: Identity,
}

impl Secure {
    fn new() -> Self {
        let kept = tempfile::tempdir().unwrap();
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let names = vec!["localhost".into(), "127.0.0.1".into(), "::1".into()];
        let identity = SelfSigned::kept_in(kept.path())
            .identity(now.unwrap().as_secs() as i64, names)
            .unwrap();
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("file"), content(1_000_000)).unwrap();
        Self {
            root,
            kept,
            identity,
        }
    }

    fn handler(&self, config: FtpConfig) -> (Ftp, Acceptor) {
        let gate = Gate::new(Share::open(self.root.path()).unwrap(), Access::Write);
        let acceptor = Acceptor::new(&self.identity, Some("ftp")).unwrap();
        (Ftp::new(gate, config), acceptor)
    }

    fn options(&self) -> Options {
        Options {
            ca: Some(self.kept.path().join("self-signed.pem")),
            ..options()
        }
    }
}

async fn move_about(client: &mut FtpClient) {
    let bytes = content(1_000_000);
    let (file, new) = (path("file"), path("new"));
    let meter = Meter::default();
    // Often: each connection needs a session to resume.
    for round in 0..5 {
        assert!(!client.list(&RemotePath::root()).await.unwrap().is_empty());
        let (_, whole) = get(client, &file, &Ask::default()).await.unwrap();
        assert!(whole == bytes);
        let part = Ask {
            from: 999_990,
            ..Ask::default()
        };
        assert!(get(client, &file, &part).await.unwrap().1 == bytes[999_990..]);
        for _ in 0..4 {
            let begun = client.begin_upload(&new, &upload(1_000_000), None).await;
            let sent = put(client, &new, &bytes, &begun.unwrap(), &meter).await;
            sent.unwrap_or_else(|error| panic!("round {round}: {error}"));
        }
        client.open(&file, &Ask::default()).await.unwrap();
        client.receive(Box::new(Taken::new(1000))).await.unwrap();
    }
    client.close().await.unwrap();
}

#[test]
fn tls_protects_everything_and_sessions_are_resumed() {
    let place = Secure::new();
    let config = FtpConfig {
        tls_session_required: true,
        ..FtpConfig::default()
    };
    for address in ["127.0.0.1:0", "[::1]:0"] {
        let (handler, acceptor) = place.handler(config.clone());
        let server = Running::on(address, handler.with_tls(acceptor));
        run(async {
            let mut client = connect(server.url("ftps"), place.options()).await;
            move_about(&mut client).await;
            // In the clear there is no data to be had.
            let mut plain = visit(&server).await;
            let refused = plain.list(&RemotePath::root()).await;
            assert_eq!(reason(refused), Reason::NotAllowed);
        });
    }
    let (handler, acceptor) = place.handler(config);
    let server = Running::on("127.0.0.1:0", handler.over_tls(acceptor));
    run(async {
        let client = FtpClient::connect_over_tls(server.url("ftps"), place.options());
        move_about(&mut client.await.unwrap()).await;
    });
}

#[test]
fn tls_is_never_done_without() {
    let place = Secure::new();
    let (handler, acceptor) = place.handler(FtpConfig::default());
    let secure = Running::on("127.0.0.1:0", handler.with_tls(acceptor));
    let plain = Running::open(place.root.path());
    run(async {
        let stranger = FtpClient::connect(secure.url("ftps"), options()).await;
        let error = stranger.err().unwrap();
        assert_eq!(error.reason, Reason::NotAllowed);
        let refused = FtpClient::connect(plain.url("ftps"), place.options()).await;
        let error = refused.err().unwrap();
        assert_eq!(error.reason, Reason::NotAllowed);
        assert!(error.text.contains("no TLS"), "{error}");
        let insecure = Options {
            insecure: true,
            ..options()
        };
        let mut client = connect(secure.url("ftps"), insecure).await;
        client.list(&RemotePath::root()).await.unwrap();
    });
}

/// A server that was started anew, and an operation that was given up: the next
/// one begins a session of its own.
#[test]
fn what_is_lost_begins_anew() {
    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join("file"), content(30_000_000)).unwrap();
    let server = Running::open(root.path());
    let address = server.address;
    run(async {
        let mut client = visit(&server).await;
        client.stat(&path("file")).await.unwrap();
        let file = path("file");
        let ask = Ask::default();
        for millis in 0..5 {
            let limit = std::time::Duration::from_millis(millis);
            timeout(limit, get(&mut client, &file, &ask)).await.ok();
            assert_eq!(client.list(&RemotePath::root()).await.unwrap().len(), 1);
        }
        drop(server);
        let gate = Gate::new(Share::open(root.path()).unwrap(), Access::Write);
        let again = Running::on(&address.to_string(), Ftp::new(gate, FtpConfig::default()));
        client.stat(&file).await.unwrap();
        drop(again);
        assert_eq!(reason(client.stat(&file).await), Reason::Unreachable);
    });
}
