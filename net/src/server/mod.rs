//! Servers: address + handler + model.
//!
//! ```
//! use hythe_net::{Connection, Limits, Model, More, MuxKind, Server};
//! use std::io::Read;
//!
//! # fn main() -> std::io::Result<()> {
//! let greet = |connection: Connection| async move {
//!     let text = format!("hello, {}\n", connection.peer);
//!     connection.stream.send_all(text.as_bytes(), More::No).await
//! };
//! let server = Server::new(Model::Events { mux: MuxKind::EpollEdge })
//!     .limits(Limits { max: 100, ..Limits::default() })
//!     .listen(&"127.0.0.1:0".parse()?, greet)?;
//! let address = server.addresses()[0].to_string();
//! let shutdown = server.shutdown();
//! let running = std::thread::spawn(move || server.serve());
//!
//! let mut said = String::new();
//! std::net::TcpStream::connect(address)?.read_to_string(&mut said)?;
//! assert!(said.starts_with("hello, 127.0.0.1:"));
//! shutdown.stop();
//! running.join().expect("the server does not panic")?;
//! # Ok(()) }
//! ```
//!
//! A [`Handler`] serves one [`Connection`]; a [`Model`] says who runs the
//! handlers, in one step of the accepting loop (`Worker::start`). Limits,
//! deadlines, shutdown and recovery are the same for all.
//!
//! Not here: protocols, and what to do with signals.

mod descriptors;
mod gate;
mod model;
mod shutdown;

pub use descriptors::raise_descriptor_limit;
pub use model::{Model, MuxKind};
pub use shutdown::Shutdown;

use std::any::Any;
use std::cell::Cell;
use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::thread;
use std::time::Duration;

use futures_lite::FutureExt as _;

use crate::mux::Ready;
use crate::option::NoDelay;
use crate::reactor::{self, Reactor, Remote};
use crate::{Addr, BACKLOG, How, Listener, More, Patience, Socket, Stream, create_server};
use descriptors::Reserve;
use gate::{Gate, Place};

/// A connection that was accepted, as a handler gets it.
#[derive(Debug)]
pub struct Connection {
    /// The stream to and from the peer.
    pub stream: Stream,
    /// Who is at the other end.
    pub peer: Addr,
    /// Given back when the connection ends.
    _place: Option<Place>,
}

impl Connection {
    /// A connection that no server counts, for handlers called by hand.
    pub fn new(stream: Stream, peer: Addr) -> Self {
        Self {
            stream,
            peer,
            _place: None,
        }
    }
}

/// What a server does with each connection.
///
/// Any `Fn(Connection) -> impl Future<Output = io::Result<()>>` is a handler;
/// a type of its own can also say whom to let in and what to do when things
/// go wrong.
///
/// ```
/// use hythe_net::{Addr, Connection, Failure, Handler, More};
/// use std::io;
///
/// struct Greeting(String);
///
/// impl Handler for Greeting {
///     async fn handle(&self, connection: Connection) -> io::Result<()> {
///         connection.stream.send_all(self.0.as_bytes(), More::No).await
///     }
///
///     fn verify(&self, peer: &Addr) -> bool {
///         peer.ip().is_some_and(|ip| ip.is_loopback())
///     }
///
///     fn failed(&self, peer: Option<&Addr>, failure: &Failure) {
///         eprintln!("{peer:?}: {failure}");
///     }
/// }
/// ```
pub trait Handler: Send + Sync + 'static {
    /// Serves one connection, which is closed when the future is done.
    fn handle(&self, connection: Connection) -> impl Future<Output = io::Result<()>>;

    /// Whether to serve this peer at all; if not, its connection is closed.
    fn verify(&self, peer: &Addr) -> bool {
        let _ = peer;
        true
    }

    /// Told of a connection that ended badly. `peer` is unknown where
    /// accepting itself has failed.
    fn failed(&self, peer: Option<&Addr>, failure: &Failure) {
        let _ = (peer, failure);
    }

    /// What a peer is told in its protocol when the server has as many
    /// connections as it may.
    fn busy(&self) -> &'static [u8] {
        b""
    }
}

impl<F, T> Handler for F
where
    F: Fn(Connection) -> T + Send + Sync + 'static,
    T: Future<Output = io::Result<()>>,
{
    fn handle(&self, connection: Connection) -> impl Future<Output = io::Result<()>> {
        self(connection)
    }
}

/// Why a connection was not served to its end.
#[derive(Debug)]
pub enum Failure {
    /// The handler's own error: a lost connection, most often.
    Error(io::Error),
    /// The handler panicked, with this message.
    Panic(String),
    /// Accepting failed; the server tries again in a moment.
    Accept(io::Error),
    /// There were too many connections in all or from this address.
    Busy,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Error(error) => error.fmt(f),
            Self::Panic(message) => write!(f, "the handler panicked: {message}"),
            Self::Accept(error) => write!(f, "cannot accept: {error}"),
            Self::Busy => f.write_str("too many connections"),
        }
    }
}

/// What a server bears.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections at one time.
    pub max: usize,
    /// Connections of one address at one time; an IPv6 network of 64 bits
    /// counts as one address.
    pub max_per_address: usize,
    /// How long a peer may take.
    pub patience: Patience,
    /// How long running handlers may take to finish after a stop.
    pub drain: Duration,
}

impl Default for Limits {
    /// 4096 connections, 256 of one address, five minutes of idleness, and
    /// ten seconds to finish.
    fn default() -> Self {
        Self {
            max: 4096,
            max_per_address: 256,
            patience: Patience::default(),
            drain: shutdown::DRAIN,
        }
    }
}

/// How many peers at a time, per event loop, are told that the server is
/// busy; beyond that they are just closed, which costs nothing.
const REFUSALS: usize = 64;

/// How long to wait after `accept(2)` ran out of descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// How often to look whether descriptors are free again while connections are
/// kept waiting for them, besides when one ends: files are closed, too.
const RESERVE_PAUSE: Duration = Duration::from_millis(50);

/// How long threads may take to end when the time for their handlers is over.
const UNWIND: Duration = Duration::from_secs(1);

/// Addresses, each with a handler, and a model that runs them.
pub struct Server {
    model: Model,
    limits: Limits,
    bound: Vec<Bound>,
    shutdown: Shutdown,
}

/// One address: a socket for each event loop, all on the same port.
struct Bound {
    sockets: Vec<Socket>,
    address: Addr,
    service: Arc<dyn Service>,
}

impl Server {
    /// A server that listens nowhere yet.
    pub fn new(model: Model) -> Self {
        Self {
            model,
            limits: Limits::default(),
            bound: Vec::new(),
            shutdown: Shutdown::default(),
        }
    }

    /// Sets what the server bears.
    #[must_use]
    pub fn limits(self, limits: Limits) -> Self {
        Self { limits, ..self }
    }

    /// Listens on `address` too, and serves what comes there by `handler`.
    /// Port 0 chooses a free one; see [`addresses`](Self::addresses).
    ///
    /// # Errors
    /// `AddrInUse` and the like, naming the address. Nothing is left behind
    /// then.
    pub fn listen(mut self, address: &Addr, handler: impl Handler) -> io::Result<Self> {
        let loops = self.model.loops();
        let reuse_port = loops > 1 && matches!(address, Addr::Inet(_));
        // A port shared by intent must not be shared with a stranger by
        // accident, as another server of the same user would be.
        if reuse_port && address.port() != Some(0) {
            drop(create_server(address, false)?);
        }
        let first = create_server(address, reuse_port)?;
        let address = first.sock_name()?;
        let mut sockets = vec![first];
        for _ in 1..loops {
            sockets.push(if reuse_port {
                create_server(&address, true)?
            } else {
                // Unix sockets know no shared names: the loops share the socket.
                sockets[0].try_clone()?
            });
        }
        self.bound.push(Bound {
            sockets,
            address,
            service: Arc::new(handler),
        });
        Ok(self)
    }

    /// Where the server listens, in the order of the calls to
    /// [`listen`](Self::listen), with the real ports.
    pub fn addresses(&self) -> Vec<Addr> {
        self.bound
            .iter()
            .map(|bound| bound.address.clone())
            .collect()
    }

    /// A handle to stop the server with.
    pub fn shutdown(&self) -> Shutdown {
        self.shutdown.clone()
    }

    /// Serves until it is stopped.
    ///
    /// # Errors
    /// No event loop could be set up.
    pub fn serve(self) -> io::Result<()> {
        let starting = Gate::new(usize::MAX, usize::MAX);
        let mut workers: Vec<Worker> = (0..self.model.loops())
            .map(|_| Worker {
                model: self.model,
                limits: self.limits,
                shutdown: self.shutdown.clone(),
                starting: Arc::clone(&starting),
                start: starting.enter(None),
                listeners: Vec::new(),
            })
            .collect();
        let gate = Gate::new(self.limits.max, self.limits.max_per_address);
        for bound in self.bound {
            for (worker, socket) in workers.iter_mut().zip(bound.sockets) {
                worker.listeners.push((socket, Arc::clone(&bound.service)));
            }
        }
        let Some(own) = workers.pop() else {
            return Ok(());
        };
        thread::scope(|scope| {
            let others: Vec<_> = workers
                .into_iter()
                .enumerate()
                .map(|(index, worker)| {
                    let gate = Arc::clone(&gate);
                    thread::Builder::new()
                        .name(format!("loop-{}", index + 1))
                        .spawn_scoped(scope, move || worker.run(&gate))
                        .inspect_err(|_| self.shutdown.stop())
                })
                .collect();
            let mut result = own.run(&gate);
            for other in others {
                let ended = other.and_then(|other| {
                    other
                        .join()
                        .unwrap_or_else(|_| Err(io::Error::other("an event loop panicked")))
                });
                result = result.and(ended);
            }
            result
        })
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("model", &self.model)
            .field("limits", &self.limits)
            .field("addresses", &self.addresses())
            .finish_non_exhaustive()
    }
}

/// One accepting thread.
struct Worker {
    model: Model,
    limits: Limits,
    shutdown: Shutdown,
    /// Who is still setting up; nobody accepts before all are done, lest
    /// clients take the descriptors that another loop needs.
    starting: Arc<Gate>,
    start: Option<Place>,
    listeners: Vec<(Socket, Arc<dyn Service>)>,
}

impl Worker {
    /// Accepts until stopped, then lets running handlers finish.
    fn run(self, gate: &Arc<Gate>) -> io::Result<()> {
        let Self {
            model,
            limits,
            shutdown,
            starting,
            start,
            listeners,
        } = self;
        let _end = EndOfAll(&shutdown);
        let reactor = Reactor::on(model.mux().open()?)?;
        drop(start);
        let _subscription = shutdown.subscribe(reactor.remote());
        let crew = Crew {
            model,
            limits,
            shutdown: &shutdown,
            slots: Gate::new(model.slots(), usize::MAX),
            refusals: Gate::new(REFUSALS, usize::MAX),
            reserve: Reserve::now(),
            reach: Reserve::under(model.mux().reach()),
        };
        reactor.block_on(async {
            let listeners = listeners
                .into_iter()
                .map(|(socket, service)| Ok((Listener::new(socket)?, service)))
                .collect::<io::Result<Vec<_>>>()?;
            poll_fn(|context| starting.poll_empty(context)).await;
            crew.accept_all(&listeners, gate).await;
            drop(listeners);
            let drained = poll_fn(|context| crew.slots.poll_empty(context));
            // Handlers that take longer are dropped with their reactor: this
            // one, or that of their thread, which is given time to do so.
            let limit = match model {
                Model::Threads { .. } => limits.drain.saturating_add(UNWIND),
                _ => limits.drain,
            };
            reactor::timeout(limit, drained).await.ok();
            Ok(())
        })?
    }
}

/// One loop that ends, for whatever reason, takes the others along, rather
/// than leave its listener without a server.
struct EndOfAll<'a>(&'a Shutdown);

impl Drop for EndOfAll<'_> {
    fn drop(&mut self) {
        self.0.stop();
    }
}

/// What the accepting loop needs to start a handler.
struct Crew<'a> {
    model: Model,
    limits: Limits,
    shutdown: &'a Shutdown,
    /// Handlers of this worker at work.
    slots: Arc<Gate>,
    refusals: Arc<Gate>,
    reserve: Reserve,
    /// The reserve under what the multiplexer can watch. Who comes there is
    /// refused, while descriptors are left to say so with.
    reach: Reserve,
}

/// What a handler needs to run. It is taken before a connection is accepted:
/// without it, connections wait in the backlog and none is lost.
struct Seat {
    /// The channel of the loop on the handler's own thread, where it has one.
    remote: Option<Arc<Remote>>,
    slot: Place,
}

impl Crew<'_> {
    /// Accepts until the server stops, and then what had connected by then.
    async fn accept_all(&self, listeners: &[(Listener, Arc<dyn Service>)], gate: &Arc<Gate>) {
        let turn = Cell::new(0);
        loop {
            let Some(slot) = unless_stopped(|cx| self.slots.poll_enter(cx)).await else {
                break;
            };
            let seat = match self.seat(slot) {
                Ok(seat) => seat,
                Err(error) => {
                    let failure = Failure::Accept(error);
                    for (_, service) in listeners {
                        service.failed(None, &failure);
                    }
                    reactor::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let next = unless_stopped(|cx| poll_accept_any(listeners, &turn, cx)).await;
            let Some((accepted, service)) = next else {
                break;
            };
            match accepted {
                Ok(socket) => {
                    let reserve = self.reserve.has(&socket);
                    self.receive(socket, service, gate, seat);
                    if reserve {
                        self.keep_reserve(listeners, gate).await;
                    }
                }
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    service.failed(None, &Failure::Accept(error));
                    reactor::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        // Closing a listener resets the connections that wait there. They are
        // served instead as far as there is place; the bound is what a backlog
        // holds, so that newcomers do not keep this going.
        for (listener, service) in listeners {
            for _ in 0..BACKLOG {
                let Some(Ok(seat)) = self.slots.enter(None).map(|slot| self.seat(slot)) else {
                    return;
                };
                let Ok(socket) = listener.socket().accept_nonblocking() else {
                    break;
                };
                self.receive(socket, service, gate, seat);
            }
        }
    }

    /// Waits until there are descriptors enough for those inside to go on, or
    /// nobody is inside. Newcomers wait in the backlog meanwhile.
    async fn keep_reserve(&self, listeners: &[(Listener, Arc<dyn Service>)], gate: &Gate) {
        let Some((listener, _)) = listeners.first() else {
            return;
        };
        while self.reserve.is_next(listener.socket()) && !gate.is_empty() {
            let wait = reactor::timeout(RESERVE_PAUSE, gate.leaving());
            let mut wait = pin!(wait);
            if unless_stopped(|cx| wait.as_mut().poll(cx)).await.is_none() {
                return;
            }
        }
    }

    fn seat(&self, slot: Place) -> io::Result<Seat> {
        let remote = match self.model {
            Model::Threads { .. } => Some(Arc::new(Remote::new()?)),
            _ => None,
        };
        Ok(Seat { remote, slot })
    }

    /// Lets a connection in, or not.
    fn receive(&self, socket: Socket, service: &Arc<dyn Service>, gate: &Arc<Gate>, seat: Seat) {
        // Without a name, the peer has gone again already.
        let Ok(peer) = socket.peer_name() else {
            return;
        };
        if !service.verify(&peer) {
            return;
        }
        if self.reach.has(&socket) && !self.reserve.has(&socket) {
            return self.refuse(service, socket, &peer);
        }
        match gate.enter(peer.ip()) {
            Some(place) => {
                let arrival = Arrival {
                    socket,
                    peer,
                    place,
                };
                self.start(service, arrival, seat);
            }
            None => self.refuse(service, socket, &peer),
        }
    }

    /// The step in which models differ: who runs the handler?
    fn start(&self, service: &Arc<dyn Service>, arrival: Arrival, seat: Seat) {
        let service = Arc::clone(service);
        let limits = self.limits;
        let Seat { remote, slot } = seat;
        match remote {
            None => reactor::spawn(arrival.serve(service, limits.patience, Some(slot))),
            Some(remote) => {
                let shutdown = self.shutdown.clone();
                let peer = arrival.peer.clone();
                let reporter = Arc::clone(&service);
                let run = move || {
                    serve_alone(arrival, service, limits, &shutdown, remote);
                    drop(slot);
                };
                if let Err(error) = thread::Builder::new().name("connection".into()).spawn(run) {
                    reporter.failed(Some(&peer), &Failure::Error(error));
                }
            }
        }
    }

    /// Tells a peer that there is no place, without ever waiting for it, if
    /// there are descriptors to spare for that.
    fn refuse(&self, service: &Arc<dyn Service>, socket: Socket, peer: &Addr) {
        service.failed(Some(peer), &Failure::Busy);
        if self.reserve.has(&socket) {
            return;
        }
        let Some(place) = self.refusals.enter(None) else {
            return;
        };
        let text = service.busy();
        let beyond = |reach| socket.as_fd().as_raw_fd() as u64 >= reach;
        if self.model.mux().reach().is_some_and(beyond) {
            // Nobody can wait for this one: it gets what goes out at once.
            socket.send(text, More::No).ok();
            socket.shutdown(How::Write).ok();
            return;
        }
        reactor::spawn(async move {
            let _place = place;
            if let Ok(stream) = Stream::from_nonblocking(socket, Ready::WRITE)
                && stream.send_all(text, More::No).await.is_ok()
            {
                stream.close().await;
            }
        });
    }
}

/// Runs a handler in a reactor of its own, on a thread of its own.
fn serve_alone(
    arrival: Arrival,
    service: Arc<dyn Service>,
    limits: Limits,
    shutdown: &Shutdown,
    remote: Arc<Remote>,
) {
    let reporter = Arc::clone(&service);
    let peer = arrival.peer.clone();
    let run = || {
        let reactor = Reactor::with_remote(MuxKind::Poll.open()?, remote)?;
        let _subscription = shutdown.subscribe(reactor.remote());
        let out_of_time = async {
            unless_stopped(|_| Poll::<()>::Pending).await;
            reactor::sleep(limits.drain).await;
        };
        let served = async { arrival.serve(service, limits.patience, None).await };
        reactor.block_on(served.or(out_of_time))
    };
    if let Err(error) = run() {
        reporter.failed(Some(&peer), &Failure::Error(error));
    }
}

/// Whether an error of `accept(2)` is about the connection that would have
/// been the next, which is gone now, and not about the listener or the process.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(
            libc::ECONNABORTED
                | libc::EPROTO
                | libc::ENOPROTOOPT
                | libc::ENETDOWN
                | libc::ENETUNREACH
                | libc::EHOSTDOWN
                | libc::EHOSTUNREACH
                | libc::ENONET
        )
    )
}

/// Waits for something, or for the reactor to be stopped: `None` then.
async fn unless_stopped<T>(
    mut poll: impl FnMut(&mut std::task::Context<'_>) -> Poll<T>,
) -> Option<T> {
    poll_fn(|context| {
        if reactor::stopping() {
            return Poll::Ready(None);
        }
        poll(context).map(Some)
    })
    .await
}

/// The next connection of any listener, beginning with the one after the last
/// that had one: a crowd before one listener keeps no other waiting.
fn poll_accept_any<'a>(
    listeners: &'a [(Listener, Arc<dyn Service>)],
    turn: &Cell<usize>,
    context: &mut std::task::Context<'_>,
) -> Poll<(io::Result<Socket>, &'a Arc<dyn Service>)> {
    let (before, after) = listeners.split_at(turn.get());
    for (listener, service) in after.iter().chain(before) {
        turn.set((turn.get() + 1) % listeners.len());
        if let Poll::Ready(accepted) = listener.poll_accept(context) {
            return Poll::Ready((accepted, service));
        }
    }
    Poll::Pending
}

/// A connection that was let in and not served yet.
struct Arrival {
    socket: Socket,
    peer: Addr,
    place: Place,
}

impl Arrival {
    /// Runs the handler to its end, whatever that is, and gives back the slot.
    ///
    /// Everything is set up before the future begins: what an `async` block
    /// moves about inside it is stored twice, for each of many connections.
    fn serve(
        self,
        service: Arc<dyn Service>,
        patience: Patience,
        slot: Option<Place>,
    ) -> impl Future<Output = ()> + use<> {
        let Self {
            socket,
            peer,
            place,
        } = self;
        let handler = Stream::from_nonblocking(socket, Ready::WRITE).map(|stream| {
            // Replies go out at once. Unix sockets have no such option.
            stream.socket().set(NoDelay(true)).ok();
            stream.set_patience(patience);
            let connection = Connection {
                stream,
                peer: peer.clone(),
                _place: Some(place),
            };
            AssertUnwindSafe(Arc::clone(&service).serve(connection)).catch_unwind()
        });
        async move {
            let failure = match handler {
                Ok(handler) => match handler.await {
                    Ok(Ok(())) => None,
                    Ok(Err(error)) => Some(Failure::Error(error)),
                    Err(panic) => Some(Failure::Panic(message(panic.as_ref()))),
                },
                Err(error) => Some(Failure::Error(error)),
            };
            if let Some(failure) = failure {
                service.failed(Some(&peer), &failure);
            }
            drop(slot);
        }
    }
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
        .to_owned()
}

/// A [`Handler`] behind a pointer, so that one server can have several kinds.
/// What panics in it ends a connection at most, never a loop.
trait Service: Send + Sync {
    fn serve(
        self: Arc<Self>,
        connection: Connection,
    ) -> Pin<Box<dyn Future<Output = io::Result<()>>>>;
    fn verify(&self, peer: &Addr) -> bool;
    fn failed(&self, peer: Option<&Addr>, failure: &Failure);
    fn busy(&self) -> &'static [u8];
}

impl<H: Handler> Service for H {
    fn serve(
        self: Arc<Self>,
        connection: Connection,
    ) -> Pin<Box<dyn Future<Output = io::Result<()>>>> {
        Box::pin(async move { self.handle(connection).await })
    }

    fn verify(&self, peer: &Addr) -> bool {
        catch_unwind(AssertUnwindSafe(|| Handler::verify(self, peer))).unwrap_or_else(|panic| {
            Service::failed(self, Some(peer), &Failure::Panic(message(panic.as_ref())));
            false
        })
    }

    fn failed(&self, peer: Option<&Addr>, failure: &Failure) {
        // Who fails to report a failure has nobody left to report to.
        catch_unwind(AssertUnwindSafe(|| Handler::failed(self, peer, failure))).ok();
    }

    fn busy(&self) -> &'static [u8] {
        catch_unwind(AssertUnwindSafe(|| Handler::busy(self))).unwrap_or_default()
    }
}
