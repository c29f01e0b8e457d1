//! Accounts of a running server, over FTP and HTTP.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::Barrier;
use std::thread;

use base64ct::{Base64, Encoding as _};
use hythe::accounts::{Accounts, FAILURES};
use hythe::share::{Access, RelPath, Visitor};
use tempfile::TempDir;

use super::HARD;
use super::common::ftp::{Reply, Session};
use super::common::{Served, eventually, http, hythe, run};

/// A share with a file in it, and a database beside it.
struct Place {
    folder: TempDir,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let place = Self { folder };
        fs::create_dir_all(place.share().join("people/bob")).unwrap();
        fs::write(place.share().join("public"), "for all").unwrap();
        fs::write(place.share().join("people/bob/mine"), "for bob").unwrap();
        place
    }

    fn share(&self) -> PathBuf {
        self.folder.path().join("share")
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("accounts.db")
    }

    fn accounts(&self) -> Accounts {
        Accounts::open(&self.file()).unwrap()
    }

    fn add(&self, name: &str, password: &[u8], role: Access, home: &str) {
        let home = RelPath::root().resolve(home.as_bytes()).unwrap();
        self.accounts()
            .add(name.as_bytes(), password, role, home, None, &Visitor::LOCAL)
            .unwrap();
    }

    fn serve(&self, arguments: &[&str]) -> Served {
        let file = self.file();
        let own = ["--accounts", file.to_str().unwrap()];
        Served::start(&self.share(), &[&own, arguments].concat())
    }
}

/// A session that has given this name and password, and the last reply.
fn log_in(address: SocketAddr, name: &str, password: &[u8]) -> (Session, Reply) {
    let mut session = Session::connect(address);
    assert_eq!(session.command(format!("USER {name}")).code, 331);
    let reply = session.command([b"PASS ", password].concat());
    (session, reply)
}

/// The status of a request with these credentials.
fn get(address: SocketAddr, name: &str, password: &[u8]) -> u16 {
    let pair = Base64::encode_string(&[name.as_bytes(), b":", password].concat());
    http::get(address, "/", &[&format!("Authorization: Basic {pair}")]).status
}

#[test]
fn accounts_log_in_by_ftp_and_see_their_home() {
    let place = Place::new();
    place.add("李雷", b"secret", Access::Read, "");
    place.add("bob", b"a b:c", Access::Write, "people/bob");
    place.add("new", b"secret", Access::Read, "people/new");
    let served = place.serve(&["--allow", "none"]);
    let address = served.address("ftp");

    let (mut session, reply) = log_in(address, "bob", b"a b:c");
    assert_eq!(reply.code, 230);
    assert_eq!(session.transfer("RETR mine").1, b"for bob");
    for outside in ["/public", "../public", "/../../public", "/people/bob/mine"] {
        assert_eq!(session.transfer(format!("RETR {outside}")).0.code, 550);
    }
    let status = String::from_utf8(session.command("STAT").text).unwrap();
    assert!(status.contains("Logged in as bob (write)"), "{status}");

    let (mut session, reply) = log_in(address, "李雷", b"secret");
    assert_eq!(reply.code, 230);
    assert_eq!(session.transfer("RETR people/bob/mine").1, b"for bob");
    assert_eq!(log_in(address, "new", b"secret").1.code, 230);
    assert!(place.share().join("people/new").is_dir());

    for (name, password) in [
        ("bob", &b"A b:c"[..]),
        ("eve", b"secret"),
        ("../bob", b"a b:c"),
    ] {
        let (mut session, reply) = log_in(address, name, password);
        assert_eq!(
            (reply.code, &reply.text[4..]),
            (530, &b"Login incorrect.\r\n"[..])
        );
        assert_eq!(session.command("PWD").code, 530);
    }
    for stranger in ["anonymous", "ftp", "Anonymous"] {
        assert_eq!(log_in(address, stranger, b"me@").1.code, 530);
    }
}

#[test]
fn the_eleventh_failure_is_refused_over_ftp_and_http_alike() {
    let place = Place::new();
    place.add("bob", b"secret", Access::Read, "");
    place.add("ann", b"secret", Access::Read, "");
    let served = place.serve(&[]);
    let (ftp, web) = (served.address("ftp"), served.address("http"));
    assert_eq!(get(web, "ann", b"secret"), 200);
    for number in 0..FAILURES {
        let name = ["bob", "nobody"][number % 2];
        if number % 3 == 0 {
            assert_eq!(log_in(ftp, name, b"wrong").1.code, 530);
        } else {
            assert_eq!(get(web, name, b"wrong"), 401);
        }
    }
    // Not even with the right password; strangers, and who was in, stay.
    let (_, reply) = log_in(ftp, "bob", b"secret");
    let text = String::from_utf8(reply.text).unwrap();
    assert!(
        reply.code == 421 && text.contains("Too many failed logins"),
        "{text}"
    );
    assert_eq!(get(web, "bob", b"secret"), 429);
    assert_eq!(log_in(ftp, "anonymous", b"me@").1.code, 230);
    assert_eq!(get(web, "ann", b"secret"), 200);
    served.stop();
    // A restart is no way around it.
    let served = place.serve(&[]);
    assert_eq!(log_in(served.address("ftp"), "bob", b"secret").1.code, 421);
    assert_eq!(get(served.address("http"), "bob", b"secret"), 429);
}

#[test]
fn every_model_knows_the_same_accounts() {
    for model in ["sequential", "threads", "forks", "events", "cores"] {
        let place = Place::new();
        place.add("bob", b"secret", Access::Read, "people/bob");
        let served = place.serve(&["--model", model, "--user", "run:pass:read"]);
        let (ftp, web) = (served.address("ftp"), served.address("http"));
        for _ in 0..3 {
            let (mut session, reply) = log_in(ftp, "bob", b"secret");
            assert_eq!(reply.code, 230, "{model}");
            assert_eq!(session.transfer("RETR mine").1, b"for bob", "{model}");
            assert_eq!(session.command("QUIT").code, 221);
            assert_eq!(get(web, "bob", b"secret"), 200, "{model}");
            assert_eq!(get(web, "run", b"pass"), 200, "{model}");
        }
        // Failures add up over sessions, whoever serves them.
        for _ in 0..FAILURES {
            assert_eq!(get(web, "eve", b"wrong"), 401, "{model}");
        }
        assert_eq!(get(web, "eve", b"wrong"), 429, "{model}");
        assert_eq!(log_in(ftp, "eve", b"wrong").1.code, 421, "{model}");
        // What is changed meanwhile counts at once.
        let file = place.file();
        run(hythe()
            .args(["user", "remove", "bob", "--accounts"])
            .arg(&file));
        assert_eq!(place.accounts().account("bob").unwrap(), None);
        served.stop();
        let db = rusqlite::Connection::open(&file).unwrap();
        let sound: String = db
            .query_row("PRAGMA integrity_check", [], |row| row.get(0))
            .unwrap();
        assert_eq!(sound, "ok", "{model}");
    }
}

#[test]
fn what_hythe_user_changes_counts_at_once() {
    let place = Place::new();
    place.add("bob", b"secret", Access::Read, "");
    let served = place.serve(&["--allow", "none"]);
    let web = served.address("http");
    assert_eq!(get(web, "bob", b"secret"), 200);
    let user = |action: &str, password: &str| {
        let mut command = hythe();
        command
            .args(["user", action, "bob", "--accounts"])
            .arg(place.file());
        run(command.env("HYTHE_PASSWORD", password));
    };
    user("passwd", "another");
    assert_eq!(get(web, "bob", b"secret"), 401);
    assert_eq!(get(web, "bob", b"another"), 200);
    user("remove", "");
    assert_eq!(get(web, "bob", b"another"), 401);
    user("add", "third");
    assert_eq!(get(web, "bob", b"third"), 200);
}

#[test]
fn accounts_of_one_run_take_any_password() {
    let place = Place::new();
    let secret = place.folder.path().join("secret");
    fs::write(&secret, [HARD[5], b"\n"].concat()).unwrap();
    let served = Served::start(
        &place.share(),
        &[
            "--allow",
            "none",
            "--user",
            "bob:a:b@$ 密码",
            "--user",
            "ann:x:read",
            "--user",
            &format!("file:@{}:admin", secret.display()),
        ],
    );
    let (ftp, web) = (served.address("ftp"), served.address("http"));
    for (name, password) in [
        ("bob", "a:b@$ 密码".as_bytes()),
        ("ann", b"x"),
        ("file", HARD[5]),
    ] {
        assert_eq!(get(web, name, password), 200, "{name}");
    }
    assert_eq!(log_in(ftp, "bob", "a:b@$ 密码".as_bytes()).1.code, 230);
    assert_eq!(get(web, "bob", b"a"), 401);
}

#[test]
fn a_temporary_database_is_private_and_gone_afterwards() {
    let place = Place::new();
    let temporary = place.folder.path().join("tmp");
    fs::create_dir(&temporary).unwrap();
    for model in ["cores", "forks"] {
        let mut command = hythe();
        command
            .arg("serve")
            .arg(place.share())
            .env("TMPDIR", &temporary);
        command.args(["--model", model, "--user", "bob:secret"]);
        command.args(["--http", "0", "--ftp", "0", "--gopher", "0"]);
        let served = Served::spawn(command);
        assert_eq!(get(served.address("http"), "bob", b"secret"), 200);
        let made = fs::read_dir(&temporary).unwrap().next().unwrap().unwrap();
        assert_eq!(made.metadata().unwrap().permissions().mode() & 0o777, 0o700);
        served.stop();
        assert_eq!(fs::read_dir(&temporary).unwrap().count(), 0, "{model}");
    }
}

#[test]
fn many_who_sign_in_at_once_take_little_memory() {
    let place = Place::new();
    for number in 0..40 {
        place.add(&format!("user{number}"), b"secret", Access::Read, "");
    }
    for model in ["threads", "events"] {
        let served = place.serve(&["--model", model]);
        let ftp = served.address("ftp");
        let before = served.private_memory();
        let barrier = Barrier::new(40);
        let most = thread::scope(|scope| {
            let threads: Vec<_> = (0..40)
                .map(|number| {
                    let barrier = &barrier;
                    scope.spawn(move || {
                        barrier.wait();
                        let name = format!("user{number}");
                        // Held until all are in.
                        let (session, reply) = log_in(ftp, &name, b"secret");
                        assert_eq!(reply.code, 230);
                        session
                    })
                })
                .collect();
            let mut most = 0;
            while threads.iter().any(|thread| !thread.is_finished()) {
                most = most.max(served.private_memory());
                thread::yield_now();
            }
            most
        });
        // Four hashes of 19 MiB, and sessions; forty would be 760.
        assert!(most < before + (140 << 20), "{model}: {before} to {most}");
    }
}

#[test]
fn logs_hold_neither_passwords_nor_names_that_might_be_one() {
    let place = Place::new();
    place.add("bob", b"correct horse", Access::Write, "");
    let served = place.serve(&["--user", "run:battery staple"]);
    let (ftp, web) = (served.address("ftp"), served.address("http"));
    log_in(ftp, "bob", b"correct horse");
    log_in(ftp, "bob", b"wrong pony");
    log_in(ftp, "my password", b"bob");
    get(web, "bob", b"correct horse");
    get(web, "bob", b"wrong donkey");
    get(web, "run", b"battery staple");
    let log = served.stop();
    assert!(
        log.contains("act=sign-in account=bob") || log.contains("sign-in"),
        "{log}"
    );
    for secret in [
        "horse",
        "pony",
        "my password",
        "donkey",
        "battery",
        "Basic ",
    ] {
        assert!(!log.contains(secret), "{secret}: {log}");
    }
    assert!(
        log.contains("unknown name") && log.contains("wrong password"),
        "{log}"
    );
}

#[test]
fn a_server_killed_leaves_accounts_whole() {
    let place = Place::new();
    place.add("bob", b"secret", Access::Read, "");
    let served = place.serve(&[]);
    assert_eq!(get(served.address("http"), "bob", b"secret"), 200);
    served.signal("KILL");
    served.wait();
    let served = place.serve(&[]);
    assert_eq!(get(served.address("http"), "bob", b"secret"), 200);
    eventually("the sign-in in the audit log", || {
        let log = place.accounts().audit_log(10).unwrap();
        log.iter().filter(|line| line.act == "sign-in").count() == 2
    });
}
