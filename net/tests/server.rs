//! One suite for every model, on TCP and on Unix sockets.

mod common;

use std::fs;
use std::future::pending;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown as End, TcpStream};
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use common::{FOREVER, MUXES, alone, models, until};
use hythe_net::reactor::{self, lease, sleep, spawn, yield_now};
use hythe_net::{
    Addr, Connection, Failure, Full, Handler, How, Input, Kind, Limits, Model, More, MuxKind,
    Patience, Reactor, Server, Shutdown, Socket, Stream,
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
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    for model in models() {
        for address in addresses(&folder) {
            println!("{model:?} on {address}");
            let before = left_behind();
            test(start(model, limits, &address, handler()));
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
    let threads = fs::read_dir("/proc/self/task").unwrap().flatten();
    let names = threads.flat_map(|thread| fs::read_to_string(thread.path().join("comm")));
    let ours = names.filter(|name| name.starts_with("connection") || name.starts_with("loop-"));
    (descriptors, ours.count())
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

// --- Serving ---------------------------------------------------------------

#[test]
fn a_client_that_ended_its_writing_is_still_answered() {
    on_each_server(
        Limits::default(),
        || echo,
        |server| {
            for _ in 0..20 {
                assert!(server.echoes());
            }
            server.stop();
        },
    );
}

#[test]
fn each_of_many_clients_at_once_gets_its_own_bytes_in_order() {
    let limits = Limits {
        max_per_address: 4096,
        ..Limits::default()
    };
    on_each_server(
        limits,
        || echo,
        |server| {
            let clients = match server.model {
                // Both ends are of this process, and its numbers end at 1,023.
                Model::Events { mux } | Model::Cores { mux, .. } if mux == MuxKind::Select => 200,
                _ => 1000,
            };
            let reactor = Reactor::on(MuxKind::EpollEdge.open().unwrap()).unwrap();
            let talk = async |number: usize| {
                // A Unix listener with a full backlog says so, and TCP waits.
                let stream = loop {
                    match Stream::connect(&server.address, None, FOREVER).await {
                        Err(error) if error.kind() == ErrorKind::WouldBlock => yield_now().await,
                        result => break result?,
                    }
                };
                let lines: String = (0..50).map(|line| format!("{number}.{line}\n")).collect();
                for line in lines.split_inclusive('\n') {
                    stream.send_all(line.as_bytes(), More::No).await?;
                }
                stream.shutdown(How::Write)?;
                let mut answer = Vec::new();
                let mut buffer = [0; 512];
                loop {
                    match stream.recv(&mut buffer).await? {
                        0 => break,
                        count => answer.extend_from_slice(&buffer[..count]),
                    }
                }
                assert_eq!(answer, lines.as_bytes());
                io::Result::Ok(())
            };
            let all = async {
                let talks = (0..clients).map(talk);
                for_all(talks).await
            };
            reactor
                .block_on(reactor::timeout(FOREVER, all))
                .unwrap()
                .unwrap()
                .unwrap();
            drop(reactor);
            server.stop();
        },
    );
}

/// Waits for all of them at once.
async fn for_all(
    futures: impl Iterator<Item = impl Future<Output = io::Result<()>>>,
) -> io::Result<()> {
    let mut futures: Vec<_> = futures.map(Box::pin).collect();
    std::future::poll_fn(|context| {
        let mut result = Ok(());
        futures.retain_mut(|future| match future.as_mut().poll(context) {
            std::task::Poll::Pending => true,
            std::task::Poll::Ready(ended) => {
                result = std::mem::replace(&mut result, Ok(())).and(ended);
                false
            }
        });
        match result {
            Ok(()) if !futures.is_empty() => std::task::Poll::Pending,
            result => std::task::Poll::Ready(result),
        }
    })
    .await
}

#[test]
fn clients_that_read_nothing_block_no_others() {
    on_each_server(
        Limits::default(),
        || echo,
        |server| {
            if server.model != Model::Sequential {
                let flood = vec![0; 1 << 20];
                let slow: Vec<_> = (0..10)
                    .map(|_| {
                        let mut client = server.connect();
                        client.set_nonblocking(true).unwrap();
                        // Until the server's own buffers are full and it waits.
                        let full = |error: io::Error| error.kind() == ErrorKind::WouldBlock;
                        until("it is full", || (&client).write(&flood).is_err_and(full));
                        client.flush().unwrap();
                        client
                    })
                    .collect();
                assert!(server.echoes());
                drop(slow);
            }
            server.stop();
        },
    );
}

#[test]
fn what_waits_for_a_place_to_run_is_served_in_its_turn() {
    on_each_server(
        Limits::default(),
        || echo,
        |server| {
            let mut first = server.connect();
            first.write_all(b"x").unwrap();
            first.read_exact(&mut [0]).unwrap();
            let mut others: Vec<_> = (0..100).map(|_| server.connect()).collect();
            for client in &mut others {
                client.write_all(b"hello").unwrap();
                client.shutdown(End::Write).unwrap();
            }
            drop(first);
            for client in &mut others {
                let mut answer = String::new();
                client.read_to_string(&mut answer).unwrap();
                assert_eq!(answer, "hello");
            }
            server.stop();
        },
    );
}

#[test]
fn each_address_has_its_own_handler() {
    let _alone = alone();
    for model in models() {
        let address = "127.0.0.1:0".parse().unwrap();
        let says = |text: &'static [u8]| {
            move |connection: Connection| async move { connection.stream.send_all(text, More::No).await }
        };
        let server = Server::new(model)
            .listen(&address, says(b"one"))
            .unwrap()
            .listen(&address, says(b"two"))
            .unwrap();
        let addresses = server.addresses();
        let shutdown = server.shutdown();
        let serving = thread::spawn(move || server.serve());
        for (address, text) in addresses.iter().zip(["one", "two"]).cycle().take(10) {
            let mut said = String::new();
            let mut client = TcpStream::connect(address.to_string()).unwrap();
            client.read_to_string(&mut said).unwrap();
            assert_eq!(said, text);
        }
        shutdown.stop();
        serving.join().unwrap().unwrap();
    }
}

// --- Failures --------------------------------------------------------------

/// Does as its client says: a letter for each way to fail.
#[derive(Clone, Default)]
struct Moody {
    complaints: Arc<Mutex<Vec<String>>>,
    verifying: Arc<AtomicUsize>,
}

const LET_IN: usize = 0;
const TURN_AWAY: usize = 1;
const PANIC: usize = 2;

impl Handler for Moody {
    async fn handle(&self, connection: Connection) -> io::Result<()> {
        let mut letter = [0];
        connection.stream.recv(&mut letter).await?;
        match &letter {
            b"e" => Err(io::Error::other("an error on purpose")),
            b"p" => panic!("a panic on purpose"),
            b"t" => {
                spawn(async { panic!("a panic of a task on purpose") });
                yield_now().await;
                Ok(())
            }
            _ => {
                connection.stream.send_all(&letter, More::No).await?;
                echo(connection).await
            }
        }
    }

    fn verify(&self, _: &Addr) -> bool {
        match self.verifying.load(Ordering::SeqCst) {
            PANIC => panic!("a panic of verify on purpose"),
            verifying => verifying == LET_IN,
        }
    }

    fn failed(&self, peer: Option<&Addr>, failure: &Failure) {
        assert!(peer.is_some());
        self.complaints.lock().unwrap().push(failure.to_string());
        panic!("a panic of failed on purpose");
    }
}

#[test]
fn errors_and_panics_are_reported_and_end_their_own_connection_only() {
    let moody = Moody::default();
    on_each_server(
        Limits::default(),
        || moody.clone(),
        |server| {
            for (letter, complaint) in [
                (b"e", Some("an error on purpose")),
                (b"p", Some("the handler panicked: a panic on purpose")),
                (b"t", None),
            ] {
                let mut client = server.connect();
                client.write_all(letter).unwrap();
                assert!(is_ended(&mut client));
                until("it was reported", || {
                    moody.complaints.lock().unwrap().first().map(String::as_str) == complaint
                });
                moody.complaints.lock().unwrap().clear();
                assert!(server.echoes());
            }
            server.stop();
        },
    );
}

#[test]
fn peers_that_are_not_verified_are_closed_without_running_the_handler() {
    let moody = Moody::default();
    on_each_server(
        Limits::default(),
        || moody.clone(),
        |server| {
            for verifying in [TURN_AWAY, PANIC] {
                moody.verifying.store(verifying, Ordering::SeqCst);
                let mut client = server.connect();
                client.write_all(b"e").ok();
                assert!(is_ended(&mut client));
            }
            until("the panic was reported", || {
                !moody.complaints.lock().unwrap().is_empty()
            });
            let complaints = std::mem::take(&mut *moody.complaints.lock().unwrap());
            assert_eq!(
                complaints,
                ["the handler panicked: a panic of verify on purpose"]
            );
            moody.verifying.store(LET_IN, Ordering::SeqCst);
            assert!(server.echoes());
            server.stop();
        },
    );
}

#[test]
fn a_peer_that_says_nothing_loses_its_connection() {
    let patience = Patience {
        idle: Duration::from_millis(50),
        bytes: 1,
    };
    let limits = Limits {
        patience,
        ..Limits::default()
    };
    on_each_server(
        limits,
        || echo,
        |server| {
            assert!(is_ended(&mut server.connect()));
            server.stop();
        },
    );
}

// --- Limits ----------------------------------------------------------------

/// Longer than a socket's first buffers.
static BUSY: [u8; 200_000] = [b'!'; 200_000];

struct Polite;

impl Handler for Polite {
    async fn handle(&self, connection: Connection) -> io::Result<()> {
        echo(connection).await
    }

    fn busy(&self) -> &'static [u8] {
        &BUSY
    }
}

impl Running {
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
}

/// Whether a client, who has asked something already, hears in full that the
/// server is busy.
fn is_refused(mut client: TcpStream) -> bool {
    client.write_all(&[b'?'; 5000]).unwrap();
    let mut said = Vec::new();
    client.read_to_end(&mut said).unwrap();
    said == BUSY
}

#[test]
fn beyond_the_limit_clients_are_told_so_until_somebody_leaves() {
    let limits = Limits {
        max: 3,
        ..Limits::default()
    };
    on_each_server(
        limits,
        || Polite,
        |server| {
            if server.model != Model::Sequential {
                let mut inside: Vec<_> = (0..3).map(|_| server.let_in()).collect();
                assert!(is_refused(server.connect()));
                assert!(is_refused(server.connect()));
                drop(inside.pop());
                inside.push(server.let_in());
                assert!(is_refused(server.connect()));
            }
            server.stop();
        },
    );
}

#[test]
fn beyond_the_limit_clients_wait_where_they_are_to_and_none_is_lost() {
    let limits = Limits {
        max: 2,
        full: Full::Wait,
        ..Limits::default()
    };
    on_each_server(
        limits,
        || Polite,
        |server| {
            if server.model != Model::Sequential {
                let inside = [(); 2].map(|()| server.let_in());
                let mut waiting: Vec<_> = (0..20).map(|_| server.connect()).collect();
                for client in &mut waiting {
                    client.write_all(b"hello").unwrap();
                    client.shutdown(End::Write).unwrap();
                }
                drop(inside);
                for client in &mut waiting {
                    let mut answer = String::new();
                    client.read_to_string(&mut answer).unwrap();
                    assert_eq!(answer, "hello");
                }
            }
            server.stop();
        },
    );
}

#[test]
fn one_address_does_not_take_all_places() {
    let limits = Limits {
        max_per_address: 2,
        ..Limits::default()
    };
    on_each_server(
        limits,
        || Polite,
        |server| {
            if server.model != Model::Sequential && matches!(server.address, Addr::Inet(_)) {
                let inside = [(); 2].map(|()| server.let_in());
                assert!(is_refused(server.connect()));
                drop(server.let_in_from(Some("127.0.0.2:0")));
                drop(inside);
                server.let_in();
            }
            server.stop();
        },
    );
}

#[test]
fn what_select_cannot_watch_is_refused_and_the_server_goes_on() {
    hythe_net::raise_descriptor_limit().unwrap();
    let _alone = alone();
    let address = "127.0.0.1:0".parse().unwrap();
    let mux = MuxKind::Select;
    for model in [Model::Events { mux }, Model::Cores { count: 2, mux }] {
        let server = start(model, Limits::default(), &address, Polite);
        let mut inside = server.let_in();
        let mut fillers = Vec::new();
        let mut fill_up_to = |number| {
            while fillers.last().map_or(0, AsRawFd::as_raw_fd) < number {
                fillers.push(fs::File::open("/dev/null").unwrap());
            }
        };
        fill_up_to(800);
        assert!(is_refused(server.connect()));
        // From here on nobody can be waited for: they get what goes at once.
        fill_up_to(1024);
        let mut said = Vec::new();
        server.connect().read_to_end(&mut said).unwrap();
        assert!(!said.is_empty() && BUSY.starts_with(&said));
        inside.write_all(b"x").unwrap();
        inside.read_exact(&mut [0]).unwrap();
        drop(fillers);
        assert!(server.echoes());
        server.stop();
    }
}

// --- Stopping --------------------------------------------------------------

#[test]
fn idle_connections_and_waiting_ones_do_not_hold_up_a_stop() {
    on_each_server(
        Limits::default(),
        || echo,
        |server| {
            let mut first = server.let_in();
            let mut others: Vec<_> = (0..5).map(|_| server.connect()).collect();
            let begun = Instant::now();
            server.stop();
            assert!(begun.elapsed() < Limits::default().drain / 2);
            assert!(is_ended(&mut first));
            assert!(others.iter_mut().all(is_ended));
        },
    );
}

#[test]
fn a_stop_before_serving_is_not_forgotten_and_who_waits_already_is_served() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    for model in models() {
        for address in addresses(&folder) {
            let server = Server::new(model).listen(&address, echo).unwrap();
            let socket = Socket::new(address.domain(), Kind::STREAM).unwrap();
            socket.connect(&server.addresses()[0]).unwrap();
            let mut client = TcpStream::from(OwnedFd::from(socket));
            client.write_all(b"hello").unwrap();
            server.shutdown().stop();
            server.serve().unwrap();
            let mut answer = String::new();
            client.read_to_string(&mut answer).unwrap();
            assert_eq!(answer, "hello");
        }
    }
}

/// Replies as soon as it is told to.
#[derive(Clone, Default)]
struct Patient {
    running: Arc<AtomicUsize>,
    go: Arc<AtomicBool>,
}

impl Handler for Patient {
    async fn handle(&self, connection: Connection) -> io::Result<()> {
        connection.stream.recv(&mut [0]).await?;
        self.running.fetch_add(1, Ordering::SeqCst);
        while !self.go.load(Ordering::SeqCst) {
            sleep(Duration::from_millis(1)).await;
        }
        connection.stream.send_all(&BUSY, More::No).await
    }
}

#[test]
fn a_reply_under_way_is_finished_after_a_stop() {
    let patient = Patient::default();
    on_each_server(
        Limits::default(),
        || patient.clone(),
        |server| {
            patient.go.store(false, Ordering::SeqCst);
            patient.running.store(0, Ordering::SeqCst);
            let mut client = server.connect();
            client.write_all(b"x").unwrap();
            until("it is under way", || {
                patient.running.load(Ordering::SeqCst) == 1
            });
            server.shutdown.stop();
            until("nobody is let in any more", || {
                server.connect_from(None).is_err() || server.serving.is_finished()
            });
            assert!(!server.serving.is_finished());
            patient.go.store(true, Ordering::SeqCst);
            let mut reply = Vec::new();
            client.read_to_end(&mut reply).unwrap();
            assert_eq!(reply, BUSY);
            server.stop();
        },
    );
}

#[test]
fn what_takes_longer_than_the_drain_is_dropped() {
    let limits = Limits {
        drain: Duration::from_millis(20),
        ..Limits::default()
    };
    let forever = || {
        async |connection: Connection| {
            connection.stream.send_all(b"x", More::No).await?;
            pending::<io::Result<()>>().await
        }
    };
    on_each_server(limits, forever, |server| {
        let mut clients = vec![server.connect()];
        clients[0].read_exact(&mut [0]).unwrap();
        clients.extend((0..3).map(|_| server.connect()));
        server.stop();
        assert!(clients.iter_mut().all(is_ended));
    });
}

// --- Listening -------------------------------------------------------------

#[test]
fn an_address_in_use_is_named_and_nothing_is_left_behind() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    for first in models() {
        for address in addresses(&folder) {
            let holder = Server::new(first).listen(&address, echo).unwrap();
            let taken = holder.addresses()[0].clone();
            for second in models() {
                let before = left_behind();
                let error = Server::new(second).listen(&taken, echo).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::AddrInUse, "{first:?}, {second:?}");
                assert!(error.to_string().contains(&taken.to_string()), "{error}");
                assert_eq!(left_behind(), before);
            }
        }
    }
}

#[test]
fn a_process_with_threads_is_not_forked() {
    let model = Model::Forks { max: 1 };
    let server = Server::new(model).listen(&"127.0.0.1:0".parse().unwrap(), echo);
    // The harness has some.
    let error = server.unwrap().serve().unwrap_err();
    assert!(error.to_string().contains("threads"), "{error}");
}

#[test]
fn a_readable_descriptor_stops_a_server() {
    let _alone = alone();
    for model in models() {
        let (mut here, there) = std::os::unix::net::UnixStream::pair().unwrap();
        let server = Server::new(model)
            .listen(&"127.0.0.1:0".parse().unwrap(), echo)
            .unwrap()
            .stop_on(there);
        let serving = thread::spawn(move || server.serve());
        here.write_all(b"x").unwrap();
        serving.join().unwrap().unwrap();
    }
}

#[test]
fn a_unix_socket_is_removed_at_the_end_and_replaced_after_a_crash() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let address = Addr::unix(&path).unwrap();
    for model in models() {
        let first = start(model, Limits::default(), &address, echo);
        let second = Server::new(model).listen(&address, echo);
        assert!(second.is_err(), "it is in use");
        assert!(first.echoes());
        first.stop();
        assert!(!path.exists());
        // As a crash would leave it.
        drop(hythe_net::create_server(&address, false).unwrap());
        assert!(path.exists());
        let second = start(model, Limits::default(), &address, echo);
        assert!(second.echoes());
        second.stop();
    }
    fs::write(&path, "no socket").unwrap();
    assert!(hythe_net::create_server(&address, false).is_err());
    assert_eq!(fs::read_to_string(&path).unwrap(), "no socket");
}

#[test]
fn a_port_can_be_listened_on_again_at_once() {
    on_each_server(
        Limits::default(),
        || echo,
        |server| {
            // The side that closes first waits out its time: here, the server's.
            let mut client = server.let_in();
            let (address, model) = (server.address.clone(), server.model);
            server.stop();
            assert!(is_ended(&mut client));
            if matches!(address, Addr::Inet(_)) {
                start(model, Limits::default(), &address, echo).stop();
            }
        },
    );
}

#[test]
fn every_loop_of_a_server_takes_its_share() {
    let _alone = alone();
    for mux in MUXES {
        let threads: Arc<Mutex<Vec<thread::ThreadId>>> = Arc::default();
        let seen = Arc::clone(&threads);
        let handler = move |_: Connection| {
            let seen = Arc::clone(&seen);
            async move {
                let here = thread::current().id();
                let mut seen = seen.lock().unwrap();
                if !seen.contains(&here) {
                    seen.push(here);
                }
                Ok(())
            }
        };
        let model = Model::Cores { count: 2, mux };
        let server = start(
            model,
            Limits::default(),
            &"127.0.0.1:0".parse().unwrap(),
            handler,
        );
        // The kernel spreads connections by their ports.
        until("both loops had one", || {
            is_ended(&mut server.connect());
            threads.lock().unwrap().len() == 2
        });
        server.stop();
    }
}
