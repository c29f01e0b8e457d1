//! Running out of descriptors. A program of its own, since the limit is the
//! whole process's.

mod common;

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use common::{FOREVER, alone, models};
use hythe_net::reactor::sleep;
use hythe_net::{
    Addr, Connection, Domain, Failure, Handler, Kind, Limits, Model, More, Server, Socket,
    raise_descriptor_limit,
};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Echoes once. While it `holds`, it keeps its descriptor until accepting has
/// failed.
#[derive(Clone, Default)]
struct Echo {
    failures: Arc<AtomicUsize>,
    holds: Arc<AtomicBool>,
}

impl Handler for Echo {
    async fn handle(&self, connection: Connection) -> io::Result<()> {
        let mut buffer = [0; 16];
        let count = connection.stream.recv(&mut buffer).await?;
        while self.holds.load(Ordering::SeqCst) && self.failures.load(Ordering::SeqCst) == 0 {
            sleep(Duration::from_millis(1)).await;
        }
        connection.stream.send_all(&buffer[..count], More::No).await
    }

    fn failed(&self, _: Option<&Addr>, failure: &Failure) {
        if let Failure::Accept(_) = failure {
            self.failures.fetch_add(1, Ordering::SeqCst);
        }
    }
}

fn allow(descriptors: u64) {
    let maximum = getrlimit(Resource::Nofile).maximum;
    let limit = Rlimit {
        current: Some(descriptors),
        maximum,
    };
    setrlimit(Resource::Nofile, limit).unwrap();
}

/// The number that the next descriptor will have: the lowest that is free.
fn next_descriptor() -> u64 {
    let file = File::open("/dev/null").unwrap();
    file.as_raw_fd().try_into().unwrap()
}

fn echoes(client: &mut TcpStream) -> bool {
    let mut answer = [0; 5];
    client.read_exact(&mut answer).unwrap();
    &answer == b"hello"
}

/// Says hello to the server, by a socket made beforehand.
fn connect(socket: Socket, address: &Addr) -> TcpStream {
    socket.connect(address).unwrap();
    let mut client = TcpStream::from(OwnedFd::from(socket));
    client.set_read_timeout(Some(FOREVER)).unwrap();
    client.write_all(b"hello").unwrap();
    client
}

fn socket() -> Socket {
    Socket::new(Domain::INET, Kind::STREAM).unwrap()
}

/// The server knows a limit that it does not reach; it is lowered later.
#[test]
fn accepting_waits_for_descriptors_and_goes_on() {
    /// What a loop and its clients need: too few for all clients at once.
    const SPARE: u64 = 16;
    const CLIENTS: usize = 30;

    let _alone = alone();
    let most = raise_descriptor_limit().unwrap();
    assert_eq!(getrlimit(Resource::Nofile).current, Some(most));

    for model in models() {
        println!("{model:?}");
        let echo = Echo::default();
        let server = Server::new(model)
            .limits(Limits {
                max: 1000,
                ..Limits::default()
            })
            .listen(&"127.0.0.1:0".parse().unwrap(), echo.clone())
            .unwrap();
        let (address, shutdown) = (server.addresses().remove(0), server.shutdown());
        let serving = thread::spawn(move || server.serve());
        assert!(echoes(&mut connect(socket(), &address)));

        // One connection at a time needs few descriptors.
        let expects_failure = model != Model::Sequential;
        echo.holds.store(expects_failure, Ordering::SeqCst);
        let sockets: Vec<_> = (0..CLIENTS).map(|_| socket()).collect();
        allow(next_descriptor() + SPARE);
        let clients: Vec<_> = sockets
            .into_iter()
            .map(|socket| connect(socket, &address))
            .collect();
        for mut client in clients {
            assert!(echoes(&mut client));
        }
        let failed = echo.failures.load(Ordering::SeqCst) > 0;
        assert_eq!(failed, expects_failure);
        assert!(echoes(&mut connect(socket(), &address)));
        shutdown.stop();
        serving.join().unwrap().unwrap();
        raise_descriptor_limit().unwrap();
    }
}

/// Needs a file to answer, and keeps it until the client has the answer.
async fn with_a_file(connection: Connection) -> io::Result<()> {
    let mut buffer = [0; 5];
    connection.stream.recv(&mut buffer).await?;
    let file = File::open("/dev/null");
    let answer = if file.is_ok() { b"hello" } else { b"sorry" };
    connection.stream.send_all(answer, More::No).await?;
    connection.stream.recv(&mut buffer).await.map(drop)
}

#[test]
fn a_crowd_leaves_descriptors_for_files() {
    /// Enough for the connections of the crowd, and not for its files as well.
    const CLIENTS: usize = 60;
    const SPARE: u64 = 100;

    let _alone = alone();
    for model in models() {
        println!("{model:?}");
        // They wait in the backlog: there is nobody to accept them yet.
        let server = Server::new(model)
            .listen(&"127.0.0.1:0".parse().unwrap(), with_a_file)
            .unwrap();
        let (address, shutdown) = (server.addresses().remove(0), server.shutdown());
        let clients: Vec<_> = (0..CLIENTS).map(|_| connect(socket(), &address)).collect();
        allow(next_descriptor() + SPARE);
        let serving = thread::spawn(move || server.serve());
        // Each leaves once it has its answer, whoever is served first.
        thread::scope(|scope| {
            for mut client in clients {
                scope.spawn(move || {
                    assert!(echoes(&mut client), "there was no descriptor for a file");
                });
            }
        });
        shutdown.stop();
        serving.join().unwrap().unwrap();
        raise_descriptor_limit().unwrap();
    }
}
