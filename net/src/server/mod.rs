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
//! handlers, in one step of the accepting loop (`Crew::start` in `worker.rs`). Limits,
//! deadlines, shutdown and recovery are the same for all.
//!
//! Not here: protocols, and what to do with signals.

mod datagram;
mod descriptors;
mod gate;
mod model;
mod process;
mod shutdown;
mod worker;

pub use datagram::{Datagram, DatagramServer};
pub use descriptors::{bequeath_nothing, raise_descriptor_limit};
pub use model::{Model, MuxKind};
pub use shutdown::Shutdown;

use std::fmt;
use std::future::Future;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crate::{Addr, Patience, Socket, Stream, create_server, sys};
use gate::{Gate, Place};
use worker::{Worker, message};

/// A connection that was accepted, as a handler gets it: over a [`Stream`], or
/// over what a session has made of that, such as a TLS channel.
#[derive(Debug)]
pub struct Connection<S = Stream> {
    /// The stream to and from the peer.
    pub stream: S,
    /// Who is at the other end.
    pub peer: Addr,
    /// Given back when the connection ends.
    _place: Option<Place>,
}

impl<S> Connection<S> {
    /// A connection that no server counts, for handlers called by hand.
    pub fn new(stream: S, peer: Addr) -> Self {
        Self {
            stream,
            peer,
            _place: None,
        }
    }

    /// The same connection over what `wrap` makes of its stream.
    pub fn map<T>(self, wrap: impl FnOnce(S) -> T) -> Connection<T> {
        Connection {
            stream: wrap(self.stream),
            peer: self.peer,
            _place: self._place,
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
    /// What happens to connections beyond `max`. Those beyond
    /// `max_per_address` are always refused: whoever waited with them would
    /// keep all others waiting.
    pub full: Full,
    /// How long a peer may take.
    pub patience: Patience,
    /// How long running handlers may take to finish after a stop.
    pub drain: Duration,
}

/// What happens to connections for which there is no place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Full {
    /// They are accepted, told so ([`Handler::busy`]), and closed.
    #[default]
    Refuse,
    /// They wait in the listener's backlog until somebody leaves.
    Wait,
}

impl Default for Limits {
    /// 4096 connections, 256 of one address, refusal of more, five minutes of idleness, and
    /// ten seconds to finish.
    fn default() -> Self {
        Self {
            max: 4096,
            max_per_address: 256,
            full: Full::default(),
            patience: Patience::default(),
            drain: shutdown::DRAIN,
        }
    }
}

/// Addresses, each with a handler, and a model that runs them.
pub struct Server {
    model: Model,
    limits: Limits,
    bound: Vec<Bound>,
    shutdown: Shutdown,
    stop_on: Option<OwnedFd>,
    calls: Vec<Call>,
}

/// What is done each time that a descriptor becomes readable.
struct Call {
    fd: OwnedFd,
    action: Box<dyn FnMut() + Send>,
}

/// One address: a socket for each event loop, all on the same port.
struct Bound {
    file: SocketFile,
    sockets: Vec<Socket>,
    address: Addr,
    service: Arc<dyn Service>,
}

/// A Unix socket's file, removed when this is dropped: before the socket is
/// closed, since from then on the path may be another server's.
#[derive(Debug)]
pub struct SocketFile(Option<(PathBuf, u64, u64)>);

impl SocketFile {
    /// The one at `address`, if there is one, which was just bound.
    pub fn of(address: &Addr) -> Self {
        let known = |path: &Path| {
            let meta = std::fs::symlink_metadata(path).ok()?;
            Some((path.to_owned(), meta.dev(), meta.ino()))
        };
        Self(address.path().and_then(known))
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let Some((path, device, inode)) = &self.0 else {
            return;
        };
        // It may have been removed by hand, and another server be there now.
        let ours = |meta: std::fs::Metadata| (meta.dev(), meta.ino()) == (*device, *inode);
        if std::fs::symlink_metadata(path).is_ok_and(ours) {
            std::fs::remove_file(path).ok();
        }
    }
}

impl Server {
    /// A server that listens nowhere yet.
    pub fn new(model: Model) -> Self {
        Self {
            model,
            limits: Limits::default(),
            bound: Vec::new(),
            shutdown: Shutdown::default(),
            stop_on: None,
            calls: Vec::new(),
        }
    }

    /// Sets what the server bears.
    #[must_use]
    pub fn limits(self, limits: Limits) -> Self {
        Self { limits, ..self }
    }

    /// Listens on `address` too, and serves what comes there by `handler`.
    /// Port 0 chooses a free one; see [`addresses`](Self::addresses). A Unix
    /// socket that a crashed server left there is replaced, and removed when
    /// this one stops.
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
            file: SocketFile::of(&address),
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

    /// Has the server stop, as by [`shutdown`](Self::shutdown), when `fd`
    /// becomes readable: a pipe to which a signal handler writes, for one. It
    /// takes no thread.
    #[must_use]
    pub fn stop_on(self, fd: impl Into<OwnedFd>) -> Self {
        Self {
            stop_on: Some(fd.into()),
            ..self
        }
    }

    /// Has `action` done each time that `fd` becomes readable, after what is
    /// there was read: a pipe to which a signal handler writes, for one. It
    /// runs on an event loop, under every model, and must not take long.
    #[must_use]
    pub fn call_on(
        mut self,
        fd: impl Into<OwnedFd>,
        action: impl FnMut() + Send + 'static,
    ) -> Self {
        self.calls.push(Call {
            fd: fd.into(),
            action: Box::new(action),
        });
        self
    }

    /// Serves until it is stopped.
    ///
    /// # Errors
    /// No event loop could be set up, or the model is [`Model::Forks`] and the
    /// process has threads.
    pub fn serve(self) -> io::Result<()> {
        if let Model::Forks { .. } = self.model {
            sys::only_thread()?;
        }
        let starting = Gate::new(usize::MAX, usize::MAX);
        let mut workers: Vec<Worker> = (0..self.model.loops())
            .map(|_| Worker {
                model: self.model,
                limits: self.limits,
                shutdown: self.shutdown.clone(),
                starting: Arc::clone(&starting),
                start: starting.enter(None),
                listeners: Vec::new(),
                stop_on: None,
                calls: Vec::new(),
                files: Vec::new(),
            })
            .collect();
        let gate = Gate::new(self.limits.max, self.limits.max_per_address);
        let mut files = Vec::new();
        for bound in self.bound {
            files.push(bound.file);
            for (worker, socket) in workers.iter_mut().zip(bound.sockets) {
                worker.listeners.push((socket, Arc::clone(&bound.service)));
            }
        }
        let Some(mut own) = workers.pop() else {
            return Ok(());
        };
        own.stop_on = self.stop_on;
        own.calls = self.calls;
        own.files = files;
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
