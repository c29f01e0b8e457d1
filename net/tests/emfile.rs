//! Running out of descriptors. A program of its own, since the limit is the
//! whole process's.

mod common;

use std::fs::File;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use common::{FOREVER, models};
use hythe_net::reactor::sleep;
use hythe_net::{
    Addr, Connection, Failure, Handler, Limits, Model, More, Server, raise_descriptor_limit,
};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Echoes once, keeping its descriptor until accepting has failed.
#[derive(Clone)]
struct Echo {
    failures: Arc<AtomicUsize>,
    expects_failure: bool,
}

impl Handler for Echo {
    async fn handle(&self, connection: Connection) -> std::io::Result<()> {
        let mut buffer = [0; 16];
        let count = connection.stream.recv(&mut buffer).await?;
        while self.expects_failure && self.failures.load(Ordering::SeqCst) == 0 {
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

#[test]
fn accepting_waits_for_descriptors_and_goes_on() {
    /// What a loop and its clients need: too few for all clients at once.
    const SPARE: u64 = 16;
    const CLIENTS: usize = 30;

    let most = raise_descriptor_limit().unwrap();
    assert_eq!(getrlimit(Resource::Nofile).current, Some(most));

    for model in models() {
        println!("{model:?}");
        let echo = Echo {
            failures: Arc::default(),
            // One connection at a time needs few descriptors.
            expects_failure: model != Model::Sequential,
        };
        let server = Server::new(model)
            .limits(Limits {
                max: 1000,
                ..Limits::default()
            })
            .listen(&"127.0.0.1:0".parse().unwrap(), echo.clone())
            .unwrap();
        let (address, shutdown) = (server.addresses()[0].to_string(), server.shutdown());
        // They wait in the backlog: there is nobody to accept them yet.
        let clients: Vec<_> = (0..CLIENTS)
            .map(|_| {
                let mut client = TcpStream::connect(&address).unwrap();
                client.set_read_timeout(Some(FOREVER)).unwrap();
                client.write_all(b"hello").unwrap();
                client
            })
            .collect();
        allow(next_descriptor() + SPARE);
        let serving = thread::spawn(move || server.serve());

        for mut client in clients {
            let mut answer = [0; 5];
            client.read_exact(&mut answer).unwrap();
            assert_eq!(&answer, b"hello");
        }
        let failed = echo.failures.load(Ordering::SeqCst) > 0;
        assert_eq!(failed, echo.expects_failure);
        let mut newcomer = TcpStream::connect(&address).unwrap();
        newcomer.write_all(b"hello").unwrap();
        newcomer.read_exact(&mut [0; 5]).unwrap();
        drop(newcomer);
        shutdown.stop();
        serving.join().unwrap().unwrap();
        raise_descriptor_limit().unwrap();
    }
}
