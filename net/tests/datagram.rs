//! Servers of datagrams, on every multiplexer, over UDP and Unix sockets.

mod common;

use std::future::pending;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use common::{FOREVER, MUXES, alone, until};
use hythe_net::reactor::sleep;
use hythe_net::{Addr, Datagram, DatagramServer, Failure, Kind, Limits, MuxKind, Shutdown, Socket};

/// What went wrong on purpose, as servers reported it.
static COMPLAINTS: Mutex<Vec<String>> = Mutex::new(Vec::new());

static RUNNING: AtomicUsize = AtomicUsize::new(0);

/// Whether slow handlers may come to an end.
static GO: AtomicBool = AtomicBool::new(false);

/// Echoes, or fails as it is told to.
async fn moody(datagram: Datagram) -> io::Result<()> {
    match &datagram.bytes[..] {
        b"error" => Err(io::Error::other("an error on purpose")),
        b"panic" => panic!("a panic on purpose"),
        b"never" => {
            RUNNING.fetch_add(1, Ordering::SeqCst);
            pending().await
        }
        b"slow" => {
            RUNNING.fetch_add(1, Ordering::SeqCst);
            while !GO.load(Ordering::SeqCst) {
                sleep(Duration::from_millis(1)).await;
            }
            datagram.reply(b"at last").await
        }
        bytes => datagram.reply(bytes).await,
    }
}

fn complain(_: Option<&Addr>, failure: &Failure) {
    COMPLAINTS.lock().unwrap().push(failure.to_string());
}

struct Running {
    address: Addr,
    shutdown: Shutdown,
    serving: thread::JoinHandle<io::Result<()>>,
}

impl Running {
    fn start(mux: MuxKind, limits: Limits, address: &Addr) -> Self {
        let server = DatagramServer::bind(address, moody)
            .unwrap()
            .mux(mux)
            .limits(limits)
            .failed(complain);
        Self {
            address: server.address().clone(),
            shutdown: server.shutdown(),
            serving: thread::spawn(move || server.serve()),
        }
    }

    fn stop(self) {
        self.shutdown.stop();
        self.serving.join().unwrap().unwrap();
    }

    /// A client that can be replied to, and gives up rather than hang.
    fn client(&self, folder: &Path) -> Client {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let own: Addr = match self.address {
            Addr::Inet(_) => "127.0.0.1:0".parse().unwrap(),
            _ => {
                let number = COUNT.fetch_add(1, Ordering::Relaxed);
                Addr::unix(folder.join(format!("client-{number}"))).unwrap()
            }
        };
        let socket = Socket::new(own.domain(), Kind::DATAGRAM).unwrap();
        socket.bind(&own).unwrap();
        socket.connect(&self.address).unwrap();
        // Only a descriptor, with the reading deadline that we want.
        let socket = std::net::UdpSocket::from(OwnedFd::from(socket));
        socket.set_read_timeout(Some(FOREVER)).unwrap();
        Client(socket)
    }
}

struct Client(std::net::UdpSocket);

impl Client {
    fn echoes(&self, bytes: &[u8]) -> bool {
        self.0.send(bytes).unwrap();
        self.hears(bytes)
    }

    fn hears(&self, bytes: &[u8]) -> bool {
        let mut answer = vec![0; bytes.len() + 1];
        let count = self.0.recv(&mut answer).unwrap();
        answer[..count] == *bytes
    }

    /// Asks for what takes until `GO`, and returns once `count` of such run.
    fn asks_slowly(&self, count: usize) {
        self.0.send(b"slow").unwrap();
        until("it runs", || RUNNING.load(Ordering::SeqCst) == count);
    }
}

/// Before a test that counts who runs.
fn reset() {
    RUNNING.store(0, Ordering::SeqCst);
    GO.store(false, Ordering::SeqCst);
}

fn on_each_server(limits: Limits, test: impl Fn(Running, &Path)) {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("server");
    for mux in MUXES {
        for address in ["127.0.0.1:0".parse().unwrap(), Addr::unix(&path).unwrap()] {
            println!("{mux:?} on {address}");
            let descriptors = || std::fs::read_dir("/proc/self/fd").unwrap().count();
            let before = descriptors();
            test(Running::start(mux, limits, &address), folder.path());
            assert_eq!(descriptors(), before);
            assert!(!path.exists());
        }
    }
}

#[test]
fn each_datagram_is_answered_whole_to_its_sender() {
    on_each_server(Limits::default(), |server, folder| {
        let clients: Vec<_> = (0..50).map(|_| server.client(folder)).collect();
        // All at once, and each hears its own in order.
        let rounds = || (0..clients.len() * 2).map(|number| format!("datagram {number}"));
        for (client, text) in clients.iter().cycle().zip(rounds()) {
            client.0.send(text.as_bytes()).unwrap();
        }
        for (client, text) in clients.iter().cycle().zip(rounds()) {
            assert!(client.hears(text.as_bytes()));
        }
        // An empty one is a datagram, too; and so is the longest that UDP has.
        assert!(clients[0].echoes(b""));
        assert!(clients[0].echoes(&[7; 65_507]));
        drop(clients);
        server.stop();
    });
}

#[test]
fn errors_and_panics_are_reported_and_the_server_goes_on() {
    on_each_server(Limits::default(), |server, folder| {
        let client = server.client(folder);
        for (word, complaint) in [
            ("error", "an error on purpose"),
            ("panic", "the handler panicked: a panic on purpose"),
        ] {
            client.0.send(word.as_bytes()).unwrap();
            until("it was reported", || {
                COMPLAINTS.lock().unwrap().pop().as_deref() == Some(complaint)
            });
        }
        assert!(client.echoes(b"hello"));
        drop(client);
        server.stop();
    });
}

#[test]
fn beyond_the_limit_datagrams_wait_and_a_stop_ends_what_never_does() {
    let limits = Limits {
        max: 2,
        drain: Duration::from_millis(20),
        ..Limits::default()
    };
    on_each_server(limits, |server, folder| {
        reset();
        let client = server.client(folder);
        for _ in 0..2 {
            client.0.send(b"never").unwrap();
        }
        until("both run", || RUNNING.load(Ordering::SeqCst) == 2);
        client.0.send(b"never").unwrap();
        drop(client);
        server.stop();
        assert_eq!(RUNNING.load(Ordering::SeqCst), 2);
    });
}

#[test]
fn slow_handlers_hold_up_nobody() {
    on_each_server(Limits::default(), |server, folder| {
        reset();
        let slow: Vec<_> = (1..=10)
            .map(|count| {
                let client = server.client(folder);
                client.asks_slowly(count);
                client
            })
            .collect();
        assert!(server.client(folder).echoes(b"hello"));
        GO.store(true, Ordering::SeqCst);
        assert!(slow.iter().all(|client| client.hears(b"at last")));
        drop(slow);
        server.stop();
    });
}

#[test]
fn what_waited_at_the_limit_is_answered_once_there_is_a_place() {
    let limits = Limits {
        max: 2,
        ..Limits::default()
    };
    on_each_server(limits, |server, folder| {
        reset();
        let slow = [1, 2].map(|count| {
            let client = server.client(folder);
            client.asks_slowly(count);
            client
        });
        let waiting = [(); 5].map(|()| server.client(folder));
        for client in &waiting {
            client.0.send(b"slow").unwrap();
        }
        assert_eq!(RUNNING.load(Ordering::SeqCst), 2);
        GO.store(true, Ordering::SeqCst);
        for client in slow.iter().chain(&waiting) {
            assert!(client.hears(b"at last"));
        }
        drop((slow, waiting));
        server.stop();
    });
}

#[test]
fn a_reply_under_way_is_finished_after_a_stop() {
    on_each_server(Limits::default(), |server, folder| {
        reset();
        let client = server.client(folder);
        client.asks_slowly(1);
        server.shutdown.stop();
        GO.store(true, Ordering::SeqCst);
        assert!(client.hears(b"at last"));
        drop(client);
        server.stop();
    });
}

#[test]
fn a_stop_before_serving_is_not_forgotten() {
    let _alone = alone();
    let server = DatagramServer::bind(&"127.0.0.1:0".parse().unwrap(), moody).unwrap();
    server.shutdown().stop();
    server.serve().unwrap();
}

#[test]
fn an_address_in_use_is_named_and_a_stale_socket_replaced() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let path = Addr::unix(folder.path().join("server")).unwrap();
    for address in ["127.0.0.1:0".parse().unwrap(), path.clone()] {
        let holder = DatagramServer::bind(&address, moody).unwrap();
        let taken = holder.address().clone();
        let error = DatagramServer::bind(&taken, moody).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        assert!(error.to_string().contains(&taken.to_string()), "{error}");
    }
    // As a crash would leave it.
    let crashed = Socket::new(path.domain(), Kind::DATAGRAM).unwrap();
    crashed.bind(&path).unwrap();
    drop(crashed);
    let server = Running::start(MuxKind::Poll, Limits::default(), &path);
    assert!(server.client(folder.path()).echoes(b"hello"));
    server.stop();
}
