//! [`DatagramSocket`]: a socket for single messages that waits in the reactor.

use std::future::poll_fn;
use std::io;
use std::os::fd::AsFd as _;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::mux::{Interest, Ready};
use crate::reactor::{Moved, Registration, sleep};
use crate::socket::bind_server;
use crate::{Addr, Domain, Kind, More, Socket};

/// The longest a datagram can be: what UDP's length field can say (RFC 768).
/// A Unix datagram may be longer; what does not fit is cut off.
pub const LONGEST_DATAGRAM: usize = 65_535;

/// How long to wait before a Unix receiver's queue is tried again.
const FULL_QUEUE_PAUSE: Duration = Duration::from_millis(5);

/// A datagram socket in the reactor (`udp(7)`, `unix(7)`).
///
/// ```
/// use hythe_net::{DatagramSocket, Reactor, mux::Poll};
///
/// # fn main() -> std::io::Result<()> {
/// Reactor::new(Poll::new())?.block_on(async {
///     let here = DatagramSocket::bind(&"127.0.0.1:0".parse()?)?;
///     let there = DatagramSocket::bind(&"127.0.0.1:0".parse()?)?;
///     here.send_to(b"hello", &there.socket().sock_name()?).await?;
///     let mut buffer = [0; 16];
///     let (count, from) = there.recv_from(&mut buffer).await?;
///     assert_eq!(&buffer[..count], b"hello");
///     assert_eq!(from, here.socket().sock_name()?);
///     Ok(())
/// })?
/// # }
/// ```
#[derive(Debug)]
pub struct DatagramSocket {
    // Dropped first, since it must end before the descriptor is closed.
    registration: Registration,
    socket: Socket,
}

impl DatagramSocket {
    /// Takes a datagram socket into the reactor of this thread.
    ///
    /// # Errors
    /// The multiplexer refuses the descriptor.
    ///
    /// # Panics
    /// Outside of [`Reactor::block_on`](crate::Reactor::block_on).
    pub fn new(socket: Socket) -> io::Result<Self> {
        socket.set_blocking(false)?;
        let registration = Registration::new(socket.as_fd(), Ready::WRITE)?;
        Ok(Self {
            registration,
            socket,
        })
    }

    /// A new socket at `address`.
    ///
    /// # Errors
    /// `AddrInUse` and the like.
    pub fn bind(address: &Addr) -> io::Result<Self> {
        let socket = Socket::new(address.domain(), Kind::DATAGRAM)?;
        socket.bind(address)?;
        Self::new(socket)
    }

    /// As [`bind`](Self::bind), for a server: a Unix socket that a crashed one
    /// left there is replaced.
    ///
    /// # Errors
    /// `AddrInUse` and the like, naming the address.
    pub fn serve(address: &Addr) -> io::Result<Self> {
        Self::new(bound(address)?)
    }

    /// The socket underneath.
    pub fn socket(&self) -> &Socket {
        &self.socket
    }

    /// One `recvfrom(2)` once a datagram is there: its length and who sent it.
    ///
    /// # Errors
    /// Those of `recvfrom(2)`.
    pub fn poll_recv_from(
        &self,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<(usize, Addr)>> {
        let mut received = None;
        let polled = self.registration.poll_io(context, Interest::READ, || {
            received = Some(self.socket.recv_from(buffer)?);
            // A short one says nothing about whether there are more.
            Ok(Moved { bytes: 0, asked: 0 })
        });
        match (polled, received) {
            (Poll::Ready(Ok(_)), Some(received)) => Poll::Ready(Ok(received)),
            (Poll::Ready(Err(error)), _) => Poll::Ready(Err(error)),
            _ => Poll::Pending,
        }
    }

    /// Waits for a datagram: its length and who sent it. What does not fit
    /// `buffer` is lost.
    ///
    /// # Errors
    /// Those of `recvfrom(2)`.
    pub async fn recv_from(&self, buffer: &mut [u8]) -> io::Result<(usize, Addr)> {
        poll_fn(|context| self.poll_recv_from(context, buffer)).await
    }

    /// Sends one datagram as soon as there is room for it.
    ///
    /// # Errors
    /// `EMSGSIZE` if it is too long; `ConnectionRefused` where nobody is there.
    pub async fn send_to(&self, bytes: &[u8], address: &Addr) -> io::Result<()> {
        let is_unix = address.domain() == Domain::UNIX;
        self.send_by(is_unix, || self.socket.send_to(bytes, address))
            .await
    }

    /// As [`send_to`](Self::send_to), on a socket that was connected.
    ///
    /// # Errors
    /// As [`send_to`](Self::send_to).
    pub async fn send(&self, bytes: &[u8]) -> io::Result<()> {
        let is_unix = self.socket.sock_name()?.domain() == Domain::UNIX;
        self.send_by(is_unix, || self.socket.send(bytes, More::No))
            .await
    }

    async fn send_by(
        &self,
        is_unix: bool,
        mut send: impl FnMut() -> io::Result<usize>,
    ) -> io::Result<()> {
        if is_unix {
            loop {
                match send() {
                    // The receiver's queue is full, of which no multiplexer
                    // knows: this socket itself has room.
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        sleep(FULL_QUEUE_PAUSE).await;
                    }
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    sent => return sent.map(drop),
                }
            }
        }
        let sent = poll_fn(|context| {
            self.registration.poll_io(context, Interest::WRITE, || {
                send()?;
                Ok(Moved { bytes: 0, asked: 0 })
            })
        });
        sent.await.map(drop)
    }
}

/// A datagram socket for a server.
pub(crate) fn bound(address: &Addr) -> io::Result<Socket> {
    let bind = || {
        let socket = Socket::new(address.domain(), Kind::DATAGRAM)?;
        bind_server(&socket, address)?;
        Ok(socket)
    };
    bind().map_err(|error: io::Error| {
        io::Error::new(error.kind(), format!("cannot bind to {address}: {error}"))
    })
}
