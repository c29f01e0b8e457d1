//! One suite for every model, on TCP and on Unix sockets.

#[path = "../common/mod.rs"]
mod common;
mod crowd;
mod failures;
mod limits;
mod listening;
mod pouring;
mod serving;
mod stopping;

use std::fs;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown as End, TcpStream};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use crate::common::{FOREVER, alone, models, until};
use hythe_net::reactor::lease;
use hythe_net::{
    Addr, Connection, Handler, Input, Kind, Limits, Model, More, Server, Shutdown, Socket,
};

/// A server at work, and what it was heard to complain about.
struct Running {
    model: Model,
    address: Addr,
    shutdown: Shutdown,
    serving: thread::JoinHandle<io::Result<()>>,
}

impl Running {
    /// A client whose reads give up rather than hang. (The standard library's
    /// type does for Unix sockets, too: it is only a descriptor.)
    fn connect(&self) -> TcpStream {
        self.connect_from(None).unwrap()
    }

    fn connect_from(&self, source: Option<&str>) -> io::Result<TcpStream> {
        let socket = Socket::new(self.address.domain(), Kind::STREAM)?;
        if let Some(source) = source {
            socket.bind(&source.parse()?)?;
        }
        socket.connect(&self.address)?;
        let stream = TcpStream::from(OwnedFd::from(socket));
        stream.set_read_timeout(Some(FOREVER))?;
        Ok(stream)
    }

    /// Whether it serves a newcomer.
    fn echoes(&self) -> bool {
        let mut client = self.connect();
        client.write_all(b"still there?").is_ok() && {
            client.shutdown(End::Write).ok();
            let mut answer = String::new();
            client.read_to_string(&mut answer).is_ok() && answer == "still there?"
        }
    }

    /// A client that has been let in, as soon as there is a place: the last
    /// one's is free a moment after its connection was closed.
    fn let_in(&self) -> TcpStream {
        self.let_in_from(None)
    }

    fn let_in_from(&self, source: Option<&str>) -> TcpStream {
        let begun = Instant::now();
        while begun.elapsed() < FOREVER {
            let mut client = self.connect_from(source).unwrap();
            let mut answer = [0];
            client.write_all(b"x").unwrap();
            if client.read_exact(&mut answer).is_ok() && &answer == b"x" {
                return client;
            }
        }
        panic!("there was never a place");
    }

    fn stop(self) {
        self.shutdown.stop();
        self.serving.join().unwrap().unwrap();
    }
}

/// Starts `server` on `address` with a handler.
fn start(model: Model, limits: Limits, address: &Addr, handler: impl Handler) -> Running {
    let server = Server::new(model)
        .limits(limits)
        .listen(address, handler)
        .unwrap();
    Running {
        model,
        address: server.addresses()[0].clone(),
        shutdown: server.shutdown(),
        serving: thread::spawn(move || server.serve()),
    }
}

/// Runs a test on each model and kind of address, and checks that nothing is
/// left of any.
fn on_each_server<H: Handler>(limits: Limits, handler: impl Fn() -> H, test: impl Fn(Running)) {
    on_each_server_with(|_| limits, handler, test);
}

/// The same with limits that depend on the model.
fn on_each_server_with<H: Handler>(
    limits: impl Fn(Model) -> Limits,
    handler: impl Fn() -> H,
    test: impl Fn(Running),
) {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    for model in models() {
        for address in addresses(&folder) {
            println!("{model:?} on {address}");
            let before = left_behind();
            test(start(model, limits(model), &address, handler()));
            until("nothing is left", || left_behind() == before);
        }
    }
}

fn addresses(folder: &tempfile::TempDir) -> [Addr; 2] {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let name = COUNT.fetch_add(1, Ordering::Relaxed).to_string();
    let path = Addr::unix(folder.path().join(name)).unwrap();
    ["127.0.0.1:0".parse().unwrap(), path]
}

/// The process's descriptors, and the threads that servers start.
fn left_behind() -> (usize, usize) {
    let descriptors = fs::read_dir("/proc/self/fd").unwrap().count();
    (descriptors, threads("connection") + threads("loop-"))
}

/// The threads whose names begin so.
fn threads(name: &str) -> usize {
    let threads = fs::read_dir("/proc/self/task").unwrap().flatten();
    let names = threads.flat_map(|thread| fs::read_to_string(thread.path().join("comm")));
    names.filter(|whole| whole.starts_with(name)).count()
}

async fn echo(connection: Connection) -> io::Result<()> {
    let stream = &connection.stream;
    while stream.input().await? == Input::Ready {
        let mut buffer = lease();
        match stream.recv(&mut buffer).await? {
            0 => break,
            count => stream.send_all(&buffer[..count], More::No).await?,
        }
    }
    Ok(())
}

/// `read` until the end or until the connection is gone.
fn is_ended(client: &mut TcpStream) -> bool {
    let mut rest = Vec::new();
    match client.read_to_end(&mut rest) {
        Ok(_) => true,
        Err(error) => matches!(
            error.kind(),
            ErrorKind::ConnectionReset | ErrorKind::BrokenPipe
        ),
    }
}

/// Longer than a socket's first buffers.
static BUSY: [u8; 200_000] = [b'!'; 200_000];
