//! No connection leaves memory behind. The servers are processes of their own,
//! so that nobody else's memory counts: run with a model's number and an
//! address this program is one, and without them it starts each and tests it.
//! It has no test harness, whose threads the model of processes does not bear.

mod common;

use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown as End, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Child, Command, Stdio};

use common::{FOREVER, models, until};
use hythe_net::reactor::lease;
use hythe_net::{Addr, Connection, Kind, Limits, Model, More, Server, Socket};

/// Connections of a wave, and how many of them are inside at a time.
const WAVE: usize = 1000;
const AT_ONCE: usize = 50;

/// What a server may have grown by in one more wave: 64 bytes for each
/// connection, fewer than the least thing that is kept for one.
const MARGIN: u64 = 64 * WAVE as u64;

/// Waves within which one must add nothing. The first fills the allocator's
/// caches, which stay; where loops share a listener, chance may fill those of
/// one later. What is lost with each connection is lost in every wave.
const WAVES: usize = 6;

fn all_models() -> Vec<Model> {
    let mut models = models();
    models.push(Model::Forks { max: 64 });
    models
}

// --- The server ----------------------------------------------------------------

/// Keeps its buffer to the end, so that as many are in use as there are
/// connections: the same number in each wave.
async fn echo(connection: Connection) -> io::Result<()> {
    let stream = &connection.stream;
    let mut buffer = lease();
    loop {
        match stream.recv(&mut buffer).await? {
            0 => return Ok(()),
            count => stream.send_all(&buffer[..count], More::No).await?,
        }
    }
}

/// Serves until its standard input ends.
fn serve(model: Model, address: &str) -> io::Result<()> {
    let limits = Limits {
        max_per_address: 4096,
        ..Limits::default()
    };
    let server = Server::new(model)
        .limits(limits)
        .listen(&address.parse()?, echo)?
        .stop_on(io::stdin().as_fd().try_clone_to_owned()?);
    println!("{}", server.addresses()[0]);
    server.serve()
}

// --- The test ------------------------------------------------------------------

struct Running {
    process: Child,
    address: Addr,
    at_once: usize,
}

impl Running {
    fn start(model: usize, address: &str) -> Self {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["--serve", &model.to_string(), address])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut said = BufReader::new(process.stdout.take().unwrap());
        said.read_line(&mut line).unwrap();
        let address = line.trim_end().parse().unwrap();
        // One model serves no second before the first has left.
        let sequential = all_models()[model] == Model::Sequential;
        Self {
            process,
            address,
            at_once: if sequential { 1 } else { AT_ONCE },
        }
    }

    fn connect(&self) -> TcpStream {
        let socket = Socket::new(self.address.domain(), Kind::STREAM).unwrap();
        socket.connect(&self.address).unwrap();
        let client = TcpStream::from(OwnedFd::from(socket));
        client.set_read_timeout(Some(FOREVER)).unwrap();
        client
    }

    fn wave(&self) {
        let question = [b'?'; 10_000];
        for _ in 0..WAVE / self.at_once {
            let mut clients: Vec<_> = (0..self.at_once).map(|_| self.connect()).collect();
            // All are inside before the first leaves.
            for client in &mut clients {
                let mut answer = [0; 10_000];
                client.write_all(&question).unwrap();
                client.read_exact(&mut answer).unwrap();
                assert_eq!(answer, question);
            }
            for client in &mut clients {
                client.shutdown(End::Write).unwrap();
                assert_eq!(client.read(&mut [0]).unwrap(), 0);
            }
        }
    }

    /// Whether a thread or a process still serves somebody: it has memory, and
    /// pages shared with a process do not count as the server's own.
    fn is_serving(&self) -> bool {
        let pid = self.process.id();
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
        let threads = fs::read_dir(format!("/proc/{pid}/task")).unwrap().flatten();
        let mut names = threads.flat_map(|thread| fs::read_to_string(thread.path().join("comm")));
        !children.is_empty() || names.any(|name| name.starts_with("connection"))
    }

    /// The bytes of memory that are the server's alone.
    fn memory(&self) -> u64 {
        until("all have left", || !self.is_serving());
        let path = format!("/proc/{}/smaps_rollup", self.process.id());
        let rollup = fs::read_to_string(path).unwrap();
        let private = rollup.lines().filter(|line| line.starts_with("Private_"));
        private
            .map(|line| line.split_whitespace().nth(1).unwrap())
            .map(|kibibytes| kibibytes.parse::<u64>().unwrap() * 1024)
            .sum()
    }

    fn stop(mut self) {
        drop(self.process.stdin.take());
        assert!(self.process.wait().unwrap().success());
    }
}

fn a_thousand_connections_leave_no_memory_behind(model: usize, address: &str) {
    let server = Running::start(model, address);
    let mut after_each = vec![];
    let mut settled = false;
    while !settled && after_each.len() < WAVES {
        server.wave();
        after_each.push(server.memory());
        settled = matches!(after_each[..], [.., last, now] if now < last + MARGIN);
    }
    assert!(settled, "bytes after each wave: {after_each:?}");
    server.stop();
}

fn main() {
    let models = all_models();
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, serving, model, address] = &arguments[..]
        && serving == "--serve"
    {
        return serve(models[model.parse::<usize>().unwrap()], address).unwrap();
    }
    println!("test a_thousand_connections_leave_no_memory_behind ...");
    let folder = tempfile::tempdir().unwrap();
    for (number, model) in models.iter().enumerate() {
        let path = format!("unix:{}/{number}", folder.path().display());
        for address in ["127.0.0.1:0", &path] {
            println!("  {model:?} on {address}");
            a_thousand_connections_leave_no_memory_behind(number, address);
        }
    }
    println!("test result: ok. 1 passed");
}
