//! Clients of resumable uploads that others wrote, from PyPI and npm: they are
//! killed, or the server is, and what was acknowledged is never sent again.

mod common;

use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use common::{Served, content, eventually, shown};
use serde_json::json;
use sha2::{Digest, Sha256};
use tempfile::TempDir;

const MIB: u64 = 1 << 20;

/// What is uploaded.
const LENGTH: u64 = 40 * MIB;

/// What clients send in one request.
const CHUNK: u64 = 4 * MIB;

/// After how many bytes nothing gets through any more: amid a request.
const HELD_AT: u64 = 18 * MIB + MIB / 2;

/// More than the heads of all requests of one run.
const HEADS: u64 = 64 << 10;

#[derive(Clone, Copy, Debug)]
enum Client {
    /// From PyPI.
    Tuspy { checksum: bool },
    /// From npm, with so many uploads at once, joined at the end.
    Js { parallel: u64 },
}

/// Something between client and server that lets through as much as it should,
/// and counts.
struct Lock {
    address: SocketAddr,
    passed: Arc<AtomicU64>,
    limit: Arc<AtomicU64>,
    open: Arc<AtomicUsize>,
}

impl Lock {
    fn before(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let lock = Self {
            address: listener.local_addr().unwrap(),
            passed: Arc::default(),
            limit: Arc::new(AtomicU64::new(u64::MAX)),
            open: Arc::default(),
        };
        let (passed, limit) = (Arc::clone(&lock.passed), Arc::clone(&lock.limit));
        let open = Arc::clone(&lock.open);
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                // Where there is no server, the client finds none.
                let Ok(server) = TcpStream::connect(server) else {
                    continue;
                };
                open.fetch_add(1, Ordering::SeqCst);
                let (passed, limit) = (Arc::clone(&passed), Arc::clone(&limit));
                let open = Arc::clone(&open);
                let back = (server.try_clone().unwrap(), client.try_clone().unwrap());
                let back = thread::spawn(move || pour(back.0, back.1, |_| {}));
                thread::spawn(move || {
                    pour(client, server, |count| {
                        // What is held is held until the client is gone.
                        while passed.load(Ordering::SeqCst) >= limit.load(Ordering::SeqCst) {
                            thread::sleep(Duration::from_millis(1));
                        }
                        passed.fetch_add(count, Ordering::SeqCst);
                    });
                    back.join().unwrap();
                    open.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        lock
    }

    /// Lets this many more bytes through, and forgets how many there were.
    fn hold_after(&self, bytes: u64) {
        self.passed.store(0, Ordering::SeqCst);
        self.limit.store(bytes, Ordering::SeqCst);
    }

    fn passed(&self) -> u64 {
        self.passed.load(Ordering::SeqCst)
    }

    fn wait_until_held(&self) {
        let limit = self.limit.load(Ordering::SeqCst);
        eventually("the lock is shut", || self.passed() >= limit);
    }

    /// Waits until nobody is connected any more.
    fn wait_until_left(&self) {
        eventually("the lock is empty", || {
            self.open.load(Ordering::SeqCst) == 0
        });
    }
}

/// From one to the other, as long as both are there.
fn pour(mut from: TcpStream, mut to: TcpStream, before: impl Fn(u64)) {
    let mut buffer = [0; 64 << 10];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        before(count as u64);
        if to.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    to.shutdown(Shutdown::Write).ok();
    from.shutdown(Shutdown::Read).ok();
}

/// A share, a file to upload to it, and where a client remembers what it did.
struct Quay {
    share: TempDir,
    own: TempDir,
    options: Vec<&'static str>,
    authorization: Option<&'static str>,
}

impl Quay {
    fn new(options: &[&'static str], authorization: Option<&'static str>) -> Self {
        let own = tempfile::tempdir().unwrap();
        fs::write(own.path().join("cargo.bin"), content(LENGTH as usize)).unwrap();
        Self {
            share: tempfile::tempdir().unwrap(),
            own,
            options: options.to_vec(),
            authorization,
        }
    }

    fn serve(&self, port: u16) -> Served {
        let port = port.to_string();
        Served::http(
            self.share.path(),
            &[&["--http", &port], &self.options[..]].concat(),
        )
    }

    fn start(&self, client: Client, server: SocketAddr) -> Child {
        let tools = Path::new(env!("CARGO_TARGET_TMPDIR")).join("../tools");
        let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tus_clients");
        let mut wish = json!({
            "tools": tools,
            "endpoint": format!("http://{server}/"),
            "file": self.own.path().join("cargo.bin"),
            "name": "freight.bin",
            "state": self.own.path().join("state.json"),
            "chunk": CHUNK,
            "authorization": self.authorization,
        });
        let mut command = match client {
            Client::Tuspy { checksum } => {
                wish["checksum"] = checksum.into();
                let mut python = Command::new(tools.join("python/bin/python"));
                python.arg(scripts.join("upload.py"));
                python
            }
            Client::Js { parallel } => {
                wish["parallel"] = parallel.into();
                let mut node = common::tool("node");
                node.arg(scripts.join("upload.mjs"));
                node
            }
        };
        command.arg(wish.to_string()).stdin(Stdio::null());
        let started = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        started.unwrap_or_else(|error| {
            panic!("{command:?}: {error}; scripts/test installs the clients")
        })
    }

    /// How much is there of uploads that are not whole.
    fn arrived(&self) -> u64 {
        let parts = fs::read_dir(self.share.path().join(".hythe/uploads")).unwrap();
        let parts = parts.map(|entry| entry.unwrap());
        let data = parts.filter(|part| part.path().extension().is_none());
        let data = data.filter(|part| part.file_type().unwrap().is_file());
        data.map(|part| part.metadata().unwrap().len()).sum()
    }

    /// The one name in the share, and what is behind it.
    fn check(&self) {
        let names = fs::read_dir(self.share.path()).unwrap();
        let mut names: Vec<PathBuf> = names.map(|entry| entry.unwrap().path()).collect();
        names.retain(|path| !path.ends_with(".hythe"));
        assert_eq!(names, [self.share.path().join("freight.bin")]);
        let sent = fs::read(self.own.path().join("cargo.bin")).unwrap();
        let found = fs::read(&names[0]).unwrap();
        assert_eq!(Sha256::digest(found), Sha256::digest(sent));
        assert_eq!(self.arrived(), 0, "parts are left");
    }

    /// Nothing has a name yet.
    fn check_nothing(&self) {
        assert!(!self.share.path().join("freight.bin").exists());
    }
}

fn finish(client: Child) {
    let output = client.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", shown(&output));
}

/// The bytes that came with PATCH, by the access log.
fn patched(log: &str) -> u64 {
    let lines = log.lines().filter(|line| line.contains(" PATCH "));
    let bytes = lines.map(|line| line.rsplit(' ').next().unwrap());
    bytes.map(|bytes| bytes.parse::<u64>().unwrap()).sum()
}

/// The client is killed amid a request and started again.
fn client_killed(quay: &Quay, client: Client) {
    let served = quay.serve(0);
    let idle = served.sockets();
    let lock = Lock::before(served.address("http"));
    lock.hold_after(HELD_AT);
    let mut first = quay.start(client, lock.address);
    lock.wait_until_held();
    first.kill().unwrap();
    first.wait().unwrap();
    lock.hold_after(u64::MAX);
    lock.wait_until_left();
    eventually("the server has noticed", || served.sockets() <= idle);
    quay.check_nothing();
    let arrived = quay.arrived();
    assert!(arrived >= HELD_AT - HEADS - CHUNK, "{arrived}");

    lock.hold_after(u64::MAX);
    finish(quay.start(client, lock.address));
    let again = lock.passed();
    quay.check();
    let rest = LENGTH - arrived;
    assert!((rest..rest + HEADS).contains(&again), "{again} for {rest}");
}

/// The server is killed amid a request and started again at the same port; the
/// client finds it by itself.
fn server_killed(quay: &Quay, client: Client) {
    let mut served = quay.serve(0);
    let server = served.address("http");
    let lock = Lock::before(server);
    lock.hold_after(HELD_AT);
    let client_checks = matches!(client, Client::Tuspy { checksum: true });
    let client = quay.start(client, lock.address);
    lock.wait_until_held();
    served.child.kill().unwrap();
    served.child.wait().unwrap();
    quay.check_nothing();
    let mut arrived = quay.arrived();
    assert!(arrived >= HELD_AT - HEADS - CHUNK, "{arrived}");
    if client_checks {
        // Part of a request can't be checked, and is not kept.
        arrived -= arrived % CHUNK;
    }

    let served = quay.serve(server.port());
    lock.hold_after(u64::MAX);
    finish(client);
    quay.check();
    assert_eq!(patched(&served.stop()), LENGTH - arrived);
}

#[test]
fn tuspy_is_killed_and_goes_on() {
    let quay = Quay::new(&["--allow", "upload"], None);
    client_killed(&quay, Client::Tuspy { checksum: false });
}

#[test]
fn tuspy_goes_on_after_the_server_was_killed() {
    let quay = Quay::new(&["--allow", "write"], None);
    server_killed(&quay, Client::Tuspy { checksum: false });
}

/// What a request with a checksum brought counts when all of it has come.
#[test]
fn tuspy_with_checksums_goes_on_after_the_server_was_killed() {
    let quay = Quay::new(&["--allow", "write"], None);
    server_killed(&quay, Client::Tuspy { checksum: true });
}

#[test]
fn tus_js_client_is_killed_and_goes_on() {
    let quay = Quay::new(&["--allow", "upload"], None);
    client_killed(&quay, Client::Js { parallel: 1 });
}

#[test]
fn tus_js_client_goes_on_after_the_server_was_killed() {
    let quay = Quay::new(&["--allow", "upload"], None);
    server_killed(&quay, Client::Js { parallel: 1 });
}

#[test]
fn four_parallel_uploads_are_killed_and_joined() {
    let quay = Quay::new(&["--allow", "upload"], None);
    client_killed(&quay, Client::Js { parallel: 4 });
}

/// With an account, by Basic: what was begun is its owner's alone.
#[test]
fn clients_with_an_account_go_on_after_the_server_was_killed() {
    let options = ["--allow", "none", "--user", "mate:hook and line:upload"];
    let basic = "Basic bWF0ZTpob29rIGFuZCBsaW5l";
    for client in [
        Client::Tuspy { checksum: false },
        Client::Js { parallel: 1 },
    ] {
        server_killed(&Quay::new(&options, Some(basic)), client);
    }
}
