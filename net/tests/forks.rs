//! The model of a process for each connection. A program without the usual
//! test harness, whose threads a server of this model does not bear: run with
//! an address it is the server, and without one it starts that and tests it.

use std::fs;
use std::future::pending;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown as End, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio, exit};
use std::thread;
use std::time::{Duration, Instant};

use hythe_net::reactor::{lease, sleep, unblock};
use hythe_net::{
    Addr, Connection, Failure, Handler, Input, Kind, Limits, Model, More, Server, Socket,
};

/// Longer than anything here takes: a test that gets there has failed.
const FOREVER: Duration = Duration::from_secs(60);
use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};

// --- The server ----------------------------------------------------------------

const MAX: usize = 64;
const LIMITS: Limits = Limits {
    max: 32,
    max_per_address: 24,
    full: hythe_net::Full::Refuse,
    patience: hythe_net::Patience {
        idle: FOREVER,
        bytes: 1,
    },
    drain: Duration::from_millis(500),
};

/// Does as its client says by the first letter: fails in one of many ways, or
/// echoes.
struct Moody;

impl Handler for Moody {
    async fn handle(&self, connection: Connection) -> io::Result<()> {
        let stream = &connection.stream;
        let mut first = true;
        while stream.input().await? == Input::Ready {
            let mut buffer = lease();
            let count = stream.recv(&mut buffer).await?;
            match &buffer[..count] {
                b"" => break,
                b"error" if first => return Err(io::Error::other("an error on purpose")),
                b"panic" if first => panic!("a panic on purpose"),
                b"abort" if first => std::process::abort(),
                b"flood" if first => stream.send_all(&vec![b'x'; FLOOD], More::No).await?,
                b"exit" if first => exit(3),
                b"pool" if first => {
                    let said = unblock(|| "from the pool").await;
                    stream.send_all(said.as_bytes(), More::No).await?;
                }
                b"slow" if first => {
                    stream.send_all(b"begun ", More::No).await?;
                    sleep(Duration::from_millis(100)).await;
                    return stream.send_all(b"ended", More::No).await;
                }
                b"never" if first => {
                    stream.send_all(b"begun ", More::No).await?;
                    return pending().await;
                }
                b"deaf" if first => {
                    stream.send_all(b"begun ", More::No).await?;
                    // Not even its own deadline can end this one.
                    loop {
                        thread::sleep(FOREVER);
                    }
                }
                bytes => stream.send_all(bytes, More::No).await?,
            }
            first = false;
        }
        Ok(())
    }

    fn verify(&self, peer: &Addr) -> bool {
        peer.ip() != Some([127, 0, 0, 66].into())
    }

    fn failed(&self, peer: Option<&Addr>, failure: &Failure) {
        let accepting = matches!(failure, Failure::Accept(_));
        assert_eq!(peer.is_none(), accepting, "{failure}");
        println!("failed: {failure}");
    }

    fn busy(&self) -> &'static [u8] {
        b"busy"
    }
}

/// More than a connection's buffers hold.
const FLOOD: usize = 16 * 1024 * 1024;

/// What to call the server with to have it let in all who come.
const MANY: &str = "many";

/// What to call it with to have those beyond the limit wait.
const WAITING: &str = "waiting";

/// Serves until its standard input ends.
fn serve(address: &str, clients: &str) -> io::Result<()> {
    let limits = match clients {
        MANY => Limits {
            max: 4096,
            max_per_address: 4096,
            ..LIMITS
        },
        WAITING => Limits {
            max_per_address: LIMITS.max,
            full: hythe_net::Full::Wait,
            ..LIMITS
        },
        _ => LIMITS,
    };
    let server = Server::new(Model::Forks { max: MAX })
        .limits(limits)
        .listen(&address.parse()?, Moody)?
        .stop_on(io::stdin().as_fd().try_clone_to_owned()?);
    println!("{}", server.addresses()[0]);
    server.serve()
}

// --- The tests -----------------------------------------------------------------

/// A server at work in a process of its own.
struct Running {
    process: Child,
    stdin: Option<ChildStdin>,
    said: BufReader<ChildStdout>,
    address: Addr,
}

impl Running {
    fn start(address: &str) -> Self {
        Self::start_with(address, "few")
    }

    fn start_with(address: &str, clients: &str) -> Self {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["--serve", address, clients])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // Panics on purpose would only irritate.
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let stdin = process.stdin.take();
        let said = BufReader::new(process.stdout.take().unwrap());
        let mut running = Self {
            process,
            stdin,
            said,
            address: Addr::unix("none").unwrap(),
        };
        running.address = running.line().parse().unwrap();
        running
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.said.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    fn connect(&self) -> TcpStream {
        self.connect_from(None)
    }

    fn connect_from(&self, source: Option<&str>) -> TcpStream {
        let socket = Socket::new(self.address.domain(), Kind::STREAM).unwrap();
        if let Some(source) = source {
            socket.bind(&source.parse().unwrap()).unwrap();
        }
        socket.connect(&self.address).unwrap();
        let stream = TcpStream::from(OwnedFd::from(socket));
        stream.set_read_timeout(Some(FOREVER)).unwrap();
        stream
    }

    /// What is answered to a client that ends its writing after one word.
    fn ask(&self, word: &str) -> String {
        let mut client = self.connect();
        client.write_all(word.as_bytes()).unwrap();
        client.shutdown(End::Write).unwrap();
        rest(&mut client)
    }

    /// The processes it has started that the kernel still lists.
    fn children(&self) -> usize {
        self.processes().len()
    }

    fn processes(&self) -> Vec<String> {
        let pid = self.process.id();
        let path = format!("/proc/{pid}/task/{pid}/children");
        let list = fs::read_to_string(path).unwrap();
        list.split_whitespace().map(Into::into).collect()
    }

    fn descriptors(&self) -> usize {
        descriptors(&self.process.id().to_string())
    }

    fn ask_to_stop(&mut self) {
        self.stdin = None;
    }

    fn stop(mut self) {
        self.ask_to_stop();
        assert!(self.process.wait().unwrap().success());
    }
}

fn descriptors(process: &str) -> usize {
    fs::read_dir(format!("/proc/{process}/fd")).unwrap().count()
}

fn rest(client: &mut TcpStream) -> String {
    let mut said = String::new();
    match client.read_to_string(&mut said) {
        Ok(_) => said,
        Err(error) if error.kind() == io::ErrorKind::ConnectionReset => said,
        Err(error) => panic!("{error}"),
    }
}

/// A client whose handler is running for certain.
fn begun(server: &Running, word: &str) -> TcpStream {
    let mut client = server.connect();
    client.write_all(word.as_bytes()).unwrap();
    client.read_exact(&mut [0; 6]).unwrap();
    client
}

fn until(what: &str, condition: impl Fn() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < FOREVER, "waited in vain until {what}");
        thread::sleep(Duration::from_millis(2));
    }
}

fn a_thousand_clients_get_their_own_bytes_and_leave_no_process(address: &str) {
    let server = Running::start_with(address, MANY);
    // Who is inside all the time shows that the server is set up.
    let inside = begun(&server, "inside");
    let before = server.descriptors();
    // More than may run at a time: the others wait, and none is lost.
    let clients: Vec<_> = (0..1000)
        .map(|number| {
            let lines: String = (0..50).map(|line| format!("{number}.{line}\n")).collect();
            let mut client = server.connect();
            client.write_all(lines.as_bytes()).unwrap();
            client.shutdown(End::Write).unwrap();
            (client, lines)
        })
        .collect();
    for (mut client, lines) in clients {
        assert_eq!(rest(&mut client), lines);
    }
    until("all were reaped", || server.children() == 1);
    until("all was closed", || server.descriptors() == before);
    drop(inside);
    server.stop();
}

fn errors_panics_and_crashes_are_reported_and_end_their_own_connection_only(address: &str) {
    let mut server = Running::start(address);
    let mut other = begun(&server, "stays!");
    for (word, complaint) in [
        ("error", "an error on purpose"),
        ("panic", "the handler panicked: a panic on purpose"),
        ("abort", "the connection's process was ended by signal 6"),
        ("exit", "the connection's process ended with status 3"),
    ] {
        assert_eq!(server.ask(word), "");
        assert_eq!(server.line(), format!("failed: {complaint}"));
    }
    other.write_all(b"still").unwrap();
    other.read_exact(&mut [0; 5]).unwrap();
    drop(other);
    until("all were reaped", || server.children() == 0);
    server.stop();
}

fn the_pool_works_in_a_child(address: &str) {
    let server = Running::start(address);
    assert_eq!(server.ask("pool"), "from the pool");
    server.stop();
}

fn peers_that_are_not_verified_are_closed_without_a_process(address: &str) {
    let server = Running::start(address);
    if let Addr::Inet(_) = server.address {
        assert_eq!(rest(&mut server.connect_from(Some("127.0.0.66:0"))), "");
        assert_eq!(server.children(), 0);
    }
    server.stop();
}

fn beyond_the_limits_clients_are_told_so_until_somebody_leaves(address: &str) {
    let mut server = Running::start(address);
    let mut inside: Vec<_> = (0..24).map(|_| begun(&server, "inside")).collect();
    if let Addr::Inet(_) = server.address {
        assert_eq!(rest(&mut server.connect()), "busy", "for this address");
        assert_eq!(server.line(), "failed: too many connections");
        for _ in 24..32 {
            let mut client = server.connect_from(Some("127.0.0.2:0"));
            client.write_all(b"inside").unwrap();
            client.read_exact(&mut [0; 6]).unwrap();
            inside.push(client);
        }
    } else {
        inside.extend((24..32).map(|_| begun(&server, "inside")));
    }
    assert_eq!(rest(&mut server.connect()), "busy", "in all");
    assert_eq!(server.line(), "failed: too many connections");
    inside.clear();
    until("all left", || server.children() == 0);
    assert_eq!(server.ask("hello"), "hello");
    server.stop();
}

fn a_stop_ends_idle_connections_and_lets_replies_finish(address: &str) {
    let mut server = Running::start(address);
    let mut idle = begun(&server, "inside");
    let mut slow = begun(&server, "slow");
    server.ask_to_stop();
    assert_eq!(rest(&mut idle), "");
    assert_eq!(rest(&mut slow), "ended");
    server.stop();
}

fn what_takes_longer_than_the_drain_is_ended(address: &str) {
    let mut server = Running::start(address);
    let mut clients = ["never", "deaf"].map(|word| begun(&server, word));
    server.ask_to_stop();
    for client in &mut clients {
        assert_eq!(rest(client), "");
    }
    server.stop();
}

fn no_child_outlives_a_server_that_is_killed(address: &str) {
    let mut server = Running::start(address);
    let mut client = begun(&server, "never");
    server.process.kill().unwrap();
    assert_eq!(rest(&mut client), "");
    server.process.wait().unwrap();
}

fn each_process_has_its_own_descriptors_however_many_there_are(address: &str) {
    let server = Running::start(address);
    let clients: Vec<_> = (0..20).map(|_| begun(&server, "inside")).collect();
    let counts: Vec<_> = server
        .processes()
        .iter()
        .map(|pid| descriptors(pid))
        .collect();
    assert_eq!(counts, vec![counts[0]; clients.len()]);
    drop(clients);
    server.stop();
}

/// Clients beyond what is let in, who have said all they will say.
fn waiting(server: &Running) -> Vec<TcpStream> {
    let ask = |_| {
        let mut client = server.connect();
        client.write_all(b"hello").unwrap();
        client.shutdown(End::Write).unwrap();
        client
    };
    (0..10).map(ask).collect()
}

fn beyond_the_slots_clients_wait_and_none_is_lost(address: &str) {
    let server = Running::start_with(address, MANY);
    let inside: Vec<_> = (0..MAX).map(|_| begun(&server, "inside")).collect();
    let outside = waiting(&server);
    assert_eq!(server.children(), MAX);
    drop(inside);
    for mut client in outside {
        assert_eq!(rest(&mut client), "hello");
    }
    server.stop();
}

fn beyond_a_limit_that_lets_wait_nobody_is_refused(address: &str) {
    let mut server = Running::start_with(address, WAITING);
    let inside: Vec<_> = (0..LIMITS.max).map(|_| begun(&server, "inside")).collect();
    let outside = waiting(&server);
    assert_eq!(server.children(), LIMITS.max);
    drop(inside);
    for mut client in outside {
        assert_eq!(rest(&mut client), "hello");
    }
    server.ask_to_stop();
    assert_eq!(server.line(), "", "nothing failed");
    server.stop();
}

/// The server knows a limit that it does not reach; it is lowered later.
fn without_descriptors_clients_wait_and_none_is_lost(address: &str) {
    /// What the server can open more: too few for all clients.
    const SPARE: usize = 6;

    let mut server = Running::start_with(address, MANY);
    let _inside = begun(&server, "inside");
    let pid = Pid::from_child(&server.process);
    let usual = getrlimit(Resource::Nofile);
    let few = Rlimit {
        current: Some((server.descriptors() + SPARE).try_into().unwrap()),
        ..usual
    };
    prlimit(Some(pid), Resource::Nofile, few).unwrap();
    let clients: Vec<_> = (0..20)
        .map(|_| {
            let mut client = server.connect();
            client.write_all(b"inside").unwrap();
            client
        })
        .collect();
    let line = server.line();
    assert!(line.contains("Too many open files"), "{line}");
    prlimit(Some(pid), Resource::Nofile, usual).unwrap();
    for mut client in clients {
        client.read_exact(&mut [0; 6]).unwrap();
    }
    server.stop();
}

fn a_slow_reader_blocks_nobody(address: &str) {
    let server = Running::start(address);
    let mut slow = server.connect();
    slow.write_all(b"flood").unwrap();
    slow.peek(&mut [0]).unwrap();
    assert_eq!(server.ask("hello"), "hello");
    slow.shutdown(End::Write).unwrap();
    assert_eq!(rest(&mut slow).len(), FLOOD);
    server.stop();
}

fn a_bind_that_fails_leaks_nothing(address: &str) {
    let server = Running::start(address);
    let before = descriptors("self");
    let again = Server::new(Model::Forks { max: MAX }).listen(&server.address, Moody);
    assert_eq!(again.unwrap_err().kind(), io::ErrorKind::AddrInUse);
    assert_eq!(descriptors("self"), before);
    assert_eq!(server.ask("hello"), "hello");
    server.stop();
}

fn a_server_that_was_stopped_before_it_serves_ends_at_once(address: &str) {
    let before = descriptors("self");
    let server = Server::new(Model::Forks { max: MAX })
        .listen(&address.parse().unwrap(), Moody)
        .unwrap();
    server.shutdown().stop();
    server.serve().unwrap();
    assert_eq!(descriptors("self"), before);
}

/// Tests with their names.
macro_rules! named {
    ($($test:ident),* $(,)?) => { vec![$((stringify!($test), $test as fn(&str))),*] };
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, serving, address, clients] = &arguments[..]
        && serving == "--serve"
    {
        if let Err(error) = serve(address, clients) {
            eprintln!("{error}");
            exit(1);
        }
        return;
    }
    // A thousand clients need as many descriptors.
    hythe_net::raise_descriptor_limit().unwrap();
    let tests = named![
        a_thousand_clients_get_their_own_bytes_and_leave_no_process,
        errors_panics_and_crashes_are_reported_and_end_their_own_connection_only,
        the_pool_works_in_a_child,
        peers_that_are_not_verified_are_closed_without_a_process,
        beyond_the_limits_clients_are_told_so_until_somebody_leaves,
        a_stop_ends_idle_connections_and_lets_replies_finish,
        what_takes_longer_than_the_drain_is_ended,
        no_child_outlives_a_server_that_is_killed,
        beyond_the_slots_clients_wait_and_none_is_lost,
        beyond_a_limit_that_lets_wait_nobody_is_refused,
        without_descriptors_clients_wait_and_none_is_lost,
        a_slow_reader_blocks_nobody,
        a_bind_that_fails_leaks_nothing,
        a_server_that_was_stopped_before_it_serves_ends_at_once,
        each_process_has_its_own_descriptors_however_many_there_are,
    ];
    let count = tests.len();
    let folder = tempfile::tempdir().unwrap();
    for (number, (name, test)) in tests.into_iter().enumerate() {
        println!("test {name} ...");
        test("127.0.0.1:0");
        test(&format!("unix:{}/{number}", folder.path().display()));
    }
    println!("test result: ok. {} passed", count);
}
