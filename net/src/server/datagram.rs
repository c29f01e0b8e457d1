//! [`DatagramServer`]: a handler for each datagram, in one event loop.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::os::fd::OwnedFd;
use std::panic::AssertUnwindSafe;
use std::rc::Rc;
use std::time::Duration;

use futures_lite::FutureExt as _;

use super::gate::{Gate, Place};
use super::worker::{ACCEPT_PAUSE, message, stop_when_readable, unless_stopped};
use super::{Failure, Limits, MuxKind, Shutdown, SocketFile};
use crate::datagram::bound;
use crate::reactor::{self, Reactor};
use crate::{Addr, DatagramSocket, LONGEST_DATAGRAM, Socket};

/// One datagram, as a handler gets it.
#[derive(Debug)]
pub struct Datagram {
    /// What was sent.
    pub bytes: Vec<u8>,
    /// By whom; over UDP anybody can claim to be anybody.
    pub peer: Addr,
    socket: Rc<DatagramSocket>,
}

impl Datagram {
    /// Sends a datagram back. One that its receiver takes no notice of for a
    /// second is dropped.
    ///
    /// # Errors
    /// As [`DatagramSocket::send_to`]; `TimedOut`.
    pub async fn reply(&self, bytes: &[u8]) -> io::Result<()> {
        reactor::timeout(UNHEARD, self.socket.send_to(bytes, &self.peer)).await?
    }
}

/// How long a Unix socket's full queue is waited for.
const UNHEARD: Duration = Duration::from_secs(1);

/// Serves datagrams, over UDP or a Unix socket, in one event loop. Of its
/// [`Limits`], `max` is how many handlers run at a time, while further
/// datagrams wait in the socket's buffer, and `drain` how long they may go on
/// after a stop.
///
/// ```
/// use hythe_net::{Datagram, DatagramServer};
///
/// # fn main() -> std::io::Result<()> {
/// let echo = async |datagram: Datagram| datagram.reply(&datagram.bytes).await;
/// let server = DatagramServer::bind(&"127.0.0.1:0".parse()?, echo)?;
/// let address = server.address().to_string();
/// let shutdown = server.shutdown();
/// let client = std::thread::spawn(move || {
///     let socket = std::net::UdpSocket::bind("127.0.0.1:0")?;
///     socket.send_to(b"hello", address)?;
///     let mut buffer = [0; 16];
///     let count = socket.recv(&mut buffer)?;
///     shutdown.stop();
///     std::io::Result::Ok(buffer[..count].to_vec())
/// });
/// server.serve()?;
/// assert_eq!(client.join().expect("it does not panic")?, b"hello");
/// # Ok(()) }
/// ```
pub struct DatagramServer<H> {
    // Removed before the socket is closed: then the path may be another's.
    file: SocketFile,
    socket: Socket,
    address: Addr,
    handler: H,
    failed: fn(Option<&Addr>, &Failure),
    mux: MuxKind,
    limits: Limits,
    shutdown: Shutdown,
    stop_on: Option<OwnedFd>,
}

impl<H: AsyncFn(Datagram) -> io::Result<()> + 'static> DatagramServer<H> {
    /// A server at `address`; port 0 chooses a free one. A Unix socket that a
    /// crashed server left there is replaced, and removed at the end.
    ///
    /// # Errors
    /// `AddrInUse` and the like, naming the address.
    pub fn bind(address: &Addr, handler: H) -> io::Result<Self> {
        let socket = bound(address)?;
        let address = socket.sock_name()?;
        Ok(Self {
            file: SocketFile::of(&address),
            socket,
            address,
            handler,
            failed: |_, _| {},
            mux: MuxKind::EpollEdge,
            limits: Limits::default(),
            shutdown: Shutdown::default(),
            stop_on: None,
        })
    }

    /// Sets how the loop waits, in place of edge-triggered epoll.
    #[must_use]
    pub fn mux(self, mux: MuxKind) -> Self {
        Self { mux, ..self }
    }

    /// Sets what the server bears.
    #[must_use]
    pub fn limits(self, limits: Limits) -> Self {
        Self { limits, ..self }
    }

    /// Sets who is told of a handler's error or panic, and, without a peer, of
    /// an error of receiving.
    #[must_use]
    pub fn failed(self, failed: fn(Option<&Addr>, &Failure)) -> Self {
        Self { failed, ..self }
    }

    /// Where it is, with the real port.
    pub fn address(&self) -> &Addr {
        &self.address
    }

    /// A handle to stop the server with.
    pub fn shutdown(&self) -> Shutdown {
        self.shutdown.clone()
    }

    /// Has the server stop when `fd` becomes readable; see
    /// [`Server::stop_on`](crate::Server::stop_on).
    #[must_use]
    pub fn stop_on(self, fd: impl Into<OwnedFd>) -> Self {
        Self {
            stop_on: Some(fd.into()),
            ..self
        }
    }

    /// Serves until it is stopped.
    ///
    /// # Errors
    /// No event loop could be set up.
    pub fn serve(self) -> io::Result<()> {
        let reactor = Reactor::on(self.mux.open()?)?;
        let _subscription = self.shutdown.subscribe(reactor.remote());
        let (limits, failed) = (self.limits, self.failed);
        let slots = Gate::new(limits.max, usize::MAX);
        reactor.block_on(async {
            if let Some(fd) = self.stop_on {
                stop_when_readable(fd, self.shutdown.clone())?;
            }
            let socket = Rc::new(DatagramSocket::new(self.socket)?);
            let handler = Rc::new(self.handler);
            let mut buffer = vec![0; LONGEST_DATAGRAM];
            while let Some(slot) = unless_stopped(|cx| slots.poll_enter(cx)).await {
                let next = unless_stopped(|cx| socket.poll_recv_from(cx, &mut buffer)).await;
                match next {
                    None => break,
                    Some(Ok((count, peer))) => {
                        let datagram = Datagram {
                            bytes: buffer[..count].to_vec(),
                            peer,
                            socket: Rc::clone(&socket),
                        };
                        reactor::spawn(run(Rc::clone(&handler), datagram, failed, slot));
                    }
                    Some(Err(error)) => {
                        failed(None, &Failure::Accept(error));
                        reactor::sleep(ACCEPT_PAUSE).await;
                    }
                }
            }
            drop(self.file);
            let drained = poll_fn(|context| slots.poll_empty(context));
            reactor::timeout(limits.drain, drained).await.ok();
            Ok(())
        })?
    }
}

/// Runs a handler to its end, whatever that is, and gives back the slot.
async fn run<H: AsyncFn(Datagram) -> io::Result<()>>(
    handler: Rc<H>,
    datagram: Datagram,
    failed: fn(Option<&Addr>, &Failure),
    slot: Place,
) {
    let peer = datagram.peer.clone();
    let failure = match AssertUnwindSafe(handler(datagram)).catch_unwind().await {
        Ok(Ok(())) => None,
        Ok(Err(error)) => Some(Failure::Error(error)),
        Err(panic) => Some(Failure::Panic(message(panic.as_ref()))),
    };
    if let Some(failure) = failure {
        failed(Some(&peer), &failure);
    }
    drop(slot);
}

impl<H> fmt::Debug for DatagramServer<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DatagramServer")
            .field("address", &self.address)
            .field("mux", &self.mux)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}
