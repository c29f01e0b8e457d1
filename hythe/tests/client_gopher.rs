//! The Gopher client: against our own server, and against servers that lie.

mod common;

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use hythe::accounts::Gate;
use hythe::client::{
    Ask, Error, GopherClient, Kind, Options, Reason, Remote, RemotePath, Result, Upload, Url,
};
use hythe::serve::gopher::Gopher;
use hythe::share::{Access, Share};
use hythe_net::{Model, MuxKind, Reactor, Server, Shutdown, Sink};

use common::{DIFFICULT_NAMES, content, difficult_tree};

/// A server in this process, stopped when dropped.
struct Running {
    address: SocketAddr,
    shutdown: Shutdown,
    thread: Option<JoinHandle<io::Result<()>>>,
}

impl Running {
    fn start(address: &str, root: &Path) -> Self {
        let gate = Gate::new(Share::open(root).unwrap(), Access::Read);
        let model = Model::Events {
            mux: MuxKind::EpollEdge,
        };
        let server = Server::new(model)
            .listen(&address.parse().unwrap(), Gopher::new(gate, None))
            .unwrap();
        let address = server.addresses()[0].to_string().parse().unwrap();
        let shutdown = server.shutdown();
        let thread = Some(thread::spawn(move || server.serve()));
        Self {
            address,
            shutdown,
            thread,
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.shutdown.stop();
        let ended = self.thread.take().unwrap().join();
        if !thread::panicking() {
            ended.unwrap().unwrap();
        }
    }
}

fn client(address: SocketAddr) -> GopherClient {
    let options = Options {
        connect: Duration::from_secs(2),
        stall: Duration::from_secs(2),
        ..Options::default()
    };
    let url = Url::parse(&format!("gopher://{address}/")).unwrap();
    GopherClient::new(url, options)
}

/// Runs what a client does, to its end.
fn run<T>(work: impl Future<Output = T>) -> T {
    let mux = MuxKind::EpollEdge.open().unwrap();
    Reactor::on(mux).unwrap().block_on(work).unwrap()
}

/// What comes, up to a limit.
#[derive(Clone)]
struct Taken(Arc<Mutex<Vec<u8>>>, u64);

impl Sink for Taken {
    fn room(&self) -> u64 {
        self.1 - self.0.lock().unwrap().len() as u64
    }

    fn expected(&self) -> u64 {
        0
    }

    fn take(&mut self, bytes: &[u8]) {
        assert!(!bytes.is_empty() && bytes.len() as u64 <= self.room());
        self.0.lock().unwrap().extend_from_slice(bytes);
    }
}

async fn get_some(client: &mut GopherClient, path: &RemotePath, most: u64) -> Result<Vec<u8>> {
    let ask = Ask {
        from: 3,
        ..Ask::default()
    };
    let opening = client.open(path, &ask).await?;
    assert_eq!((opening.offset, opening.length), (0, None));
    let taken = Taken(Arc::default(), most);
    client.receive(Box::new(taken.clone())).await?;
    let bytes = taken.0.lock().unwrap().clone();
    Ok(bytes)
}

async fn get(client: &mut GopherClient, path: &str) -> Result<Vec<u8>> {
    get_some(client, &RemotePath::from_url(path, None), u64::MAX).await
}

#[test]
fn a_tree_comes_as_it_is() {
    let root = tempfile::tempdir().unwrap();
    difficult_tree(root.path());
    for address in ["127.0.0.1:0", "[::1]:0"] {
        let server = Running::start(address, root.path());
        run(async {
            let mut client = client(server.address);
            let mut entries = client.list(&RemotePath::root()).await.unwrap();
            // To search, and a name that is hidden.
            entries.retain(|entry| entry.kind != Kind::Other);
            assert_eq!(entries.len(), DIFFICULT_NAMES.len());
            for entry in entries {
                assert_eq!(client.stat(&entry.path).await.unwrap().kind, entry.kind);
                if entry.kind == Kind::Folder {
                    let inside = client.list(&entry.path.as_folder()).await.unwrap();
                    assert_eq!(inside.len(), DIFFICULT_NAMES.len() + 1);
                    continue;
                }
                let bytes = get_some(&mut client, &entry.path, u64::MAX).await;
                let name = std::os::unix::ffi::OsStrExt::from_bytes(&entry.name[..]);
                let file = root.path().join(Path::new::<std::ffi::OsStr>(name));
                match fs::read(file) {
                    Ok(expected) => assert!(bytes.unwrap() == expected, "{entry:?}"),
                    // What has a line end in its name can't be asked for.
                    Err(_) => assert_eq!(bytes.unwrap_err().reason, Reason::NotFound),
                }
            }
        });
    }
}

#[test]
fn texts_menus_and_searches() {
    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join("text.txt"), "one\n.two\n...\nlast").unwrap();
    let big = content(2_000_000);
    fs::write(root.path().join("big.bin"), &big).unwrap();
    fs::write(root.path().join("three"), "3 is a number\n").unwrap();
    let server = Running::start("127.0.0.1:0", root.path());
    run(async {
        let mut client = client(server.address);
        let text = get(&mut client, "/0/text.txt").await.unwrap();
        assert_eq!(text, b"one\n.two\n...\nlast\n");
        assert_eq!(
            get(&mut client, "/0/three").await.unwrap(),
            b"3 is a number\n"
        );
        assert!(get(&mut client, "/9/big.bin").await.unwrap() == big);
        let some = get_some(&mut client, &RemotePath::from_url("/9/big.bin", None), 1000).await;
        assert!(some.unwrap() == big[..1000]);
        let some = get_some(&mut client, &RemotePath::from_url("/0/text.txt", None), 5).await;
        assert_eq!(some.unwrap(), b"one\n.");
        let menu = get(&mut client, "/1").await.unwrap();
        assert!(
            String::from_utf8(menu)
                .unwrap()
                .contains("text.txt\t/text.txt\t")
        );
        let found = RemotePath::from_url("/7/%09THREE", None);
        let found = client.list(&found).await.unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].path.to_string(), "/0/three");

        for path in ["/0/missing", "/9/missing", "/1/missing"] {
            let error = get(&mut client, path).await.unwrap_err();
            assert_eq!(error.reason, Reason::NotFound, "{path}");
        }
        for path in ["/1/missing", "/0/text.txt"] {
            let folder = RemotePath::from_url(path, None);
            let error = client.list(&folder).await.unwrap_err();
            assert_eq!(error.reason, Reason::NotFound, "{path}");
        }
        let split = get(&mut client, "/0/a%0D%0Ab").await.unwrap_err();
        assert_eq!(split.reason, Reason::Protocol);
        let (place, upload) = (RemotePath::root(), Upload::default());
        let begun = client.begin_upload(&place, &upload, None);
        let error = begun.await.unwrap_err();
        assert_eq!(error, Error::unsupported("Gopher can only read"));
    });
}

/// A server that has one answer to everything, and then hangs up or does not.
fn answering(answer: &'static [u8], hangs_up: bool) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            _ = stream.read(&mut [0; 1000]);
            stream.write_all(answer).ok();
            if !hangs_up {
                stream.read_to_end(&mut Vec::new()).ok();
            }
        }
    });
    address
}

#[test]
fn servers_that_lie_or_stop() {
    run(async {
        let mut silent = client(answering(b"", false));
        let error = get(&mut silent, "/9/x").await.unwrap_err();
        assert_eq!(error.reason, Reason::Lost);
        let error = silent.list(&RemotePath::root()).await.unwrap_err();
        assert_eq!(error.reason, Reason::Lost);

        let mut stops = client(answering(b"some\r\nof it", false));
        let error = get(&mut stops, "/9/x").await.unwrap_err();
        assert_eq!(error.reason, Reason::Lost);

        // The last line ends a text, whether the server hangs up or not; some
        // forget it.
        let mut whole = client(answering(b"all\r\n.\r\nand more", false));
        assert_eq!(get(&mut whole, "/0/x").await.unwrap(), b"all\n");
        let mut bare = client(answering(b"all\r\n.", true));
        assert_eq!(get(&mut bare, "/0/x").await.unwrap(), b"all\n.");
        let mut empty = client(answering(b"", true));
        assert!(get(&mut empty, "/9/x").await.unwrap().is_empty());
        assert!(empty.list(&RemotePath::root()).await.unwrap().is_empty());

        let mut rude = client(answering(b"3\x1b[2Jgo away\t\terror.host\t1\r\n", true));
        for error in [
            get(&mut rude, "/9/x").await.unwrap_err(),
            rude.list(&RemotePath::root()).await.unwrap_err(),
        ] {
            assert_eq!(error.reason, Reason::NotFound);
            assert_eq!(error.text, "the server says: \\u{1b}[2Jgo away");
        }
        let mut nonsense = client(answering(b"\xff\x00\t\t\t\r\n\r\nHTTP/1.1 400\r\n", true));
        for entry in nonsense.list(&RemotePath::root()).await.unwrap() {
            assert!(!entry.name.is_empty());
        }
    });
}
