//! [`Socket`]: an owned descriptor, each method one system call.
//!
//! Not here: waiting (see [`crate::mux`] and [`crate::Stream`]), retrying,
//! timeouts. What the kernel answers is what the caller gets.

use std::io;
use std::num::NonZeroU32;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileTypeExt as _;

use rustix::net::{
    AddressFamily, Protocol, RecvFlags, SendFlags, Shutdown, SocketFlags, SocketType, accept_with,
    acceptfrom_with, bind, connect, getpeername, getsockname, listen, recv, recvfrom, send, sendto,
    shutdown, socket_with, socketpair,
};

use crate::option::{Readable, ReuseAddr, ReusePort, Settable, V6Only, WIDEST};
use crate::{Addr, sys};

/// An address family, the kernel's `AF_…`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Domain(AddressFamily);

impl Domain {
    /// IPv4, `ip(7)`.
    pub const INET: Self = Self(AddressFamily::INET);
    /// IPv6, `ipv6(7)`.
    pub const INET6: Self = Self(AddressFamily::INET6);
    /// Processes of one machine, `unix(7)`.
    pub const UNIX: Self = Self(AddressFamily::UNIX);
    /// Whole frames of a network card, `packet(7)`.
    pub const PACKET: Self = Self(AddressFamily::PACKET);
    /// Talk with the kernel itself, `netlink(7)`.
    pub const NETLINK: Self = Self(AddressFamily::NETLINK);
    /// A virtual machine and its host, `vsock(7)`.
    pub const VSOCK: Self = Self(AddressFamily::VSOCK);

    /// Any other family, by the kernel's number for it (`address_families(7)`).
    /// Whether there is one is for [`Socket::new`] to say.
    ///
    /// ```
    /// use hythe_net::Domain;
    ///
    /// assert_eq!(Domain::from_number(2), Domain::INET);
    /// assert_eq!(Domain::UNIX.number(), 1);
    /// ```
    pub const fn from_number(number: u16) -> Self {
        Self(AddressFamily::from_raw(number))
    }

    /// The kernel's number for this family.
    pub const fn number(self) -> u16 {
        self.0.as_raw()
    }
}

/// What a socket carries, the kernel's `SOCK_…`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Kind(SocketType);

impl Kind {
    /// A stream of bytes without borders between messages.
    pub const STREAM: Self = Self(SocketType::STREAM);
    /// Single messages, each whole or lost.
    pub const DATAGRAM: Self = Self(SocketType::DGRAM);
    /// A connection that keeps the borders between messages.
    pub const SEQPACKET: Self = Self(SocketType::SEQPACKET);
    /// The network protocol itself, without a transport on it; needs privilege.
    pub const RAW: Self = Self(SocketType::RAW);
    /// Datagrams that arrive, in no promised order.
    pub const RDM: Self = Self(SocketType::RDM);

    /// Any other kind, by the kernel's number for it (`socket(2)`).
    pub const fn from_number(number: u32) -> Self {
        Self(SocketType::from_raw(number))
    }

    /// The kernel's number for this kind.
    pub const fn number(self) -> u32 {
        self.0.as_raw()
    }
}

/// Whether more bytes follow at once, so that the kernel may wait for them to
/// fill a segment (`MSG_MORE`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum More {
    /// What was sent may wait a little for the next send.
    Follows,
    /// Nothing follows; send now.
    No,
}

/// Which directions of a connection to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// No more reading.
    Read,
    /// No more writing: the peer sees the end of the stream.
    Write,
    /// Neither.
    Both,
}

/// An owned socket descriptor, closed on drop and never inherited by
/// programs that this one starts (`socket(7)`).
///
/// ```
/// use hythe_net::{Domain, Kind, More, Socket, create_server};
///
/// # fn main() -> std::io::Result<()> {
/// let listener = create_server(&"127.0.0.1:0".parse()?, false)?;
/// let client = Socket::new(Domain::INET, Kind::STREAM)?;
/// client.connect(&listener.sock_name()?)?;
/// client.send(b"hello", More::No)?;
///
/// let (socket, peer) = listener.accept()?;
/// assert_eq!(peer, client.sock_name()?);
/// let mut buffer = [0; 16];
/// assert_eq!(socket.recv(&mut buffer)?, 5);
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Socket {
    pub(crate) fd: OwnedFd,
}

impl Socket {
    /// `socket(2)`, with the family's default protocol.
    ///
    /// # Errors
    /// The kernel's own, for a pair it does not support.
    pub fn new(domain: Domain, kind: Kind) -> io::Result<Self> {
        Self::with_protocol(domain, kind, 0)
    }

    /// `socket(2)`, with a protocol by its number (`protocols(5)`); 0 is the
    /// family's default. A [`Domain::PACKET`] socket wants its protocol in
    /// network byte order.
    ///
    /// # Errors
    /// The kernel's own, for three that do not go together.
    pub fn with_protocol(domain: Domain, kind: Kind, protocol: u32) -> io::Result<Self> {
        let protocol = protocol_of(protocol);
        Ok(Self {
            fd: socket_with(domain.0, kind.0, SocketFlags::CLOEXEC, protocol)?,
        })
    }

    /// `socketpair(2)`: two sockets connected to each other.
    ///
    /// # Errors
    /// The kernel's own; only Unix sockets come in pairs.
    pub fn pair(domain: Domain, kind: Kind) -> io::Result<(Self, Self)> {
        Self::pair_with_protocol(domain, kind, 0)
    }

    /// `socketpair(2)`, with a protocol by its number; 0 is the default.
    ///
    /// # Errors
    /// As [`pair`](Self::pair).
    pub fn pair_with_protocol(
        domain: Domain,
        kind: Kind,
        protocol: u32,
    ) -> io::Result<(Self, Self)> {
        let protocol = protocol_of(protocol);
        let (one, other) = socketpair(domain.0, kind.0, SocketFlags::CLOEXEC, protocol)?;
        Ok((Self { fd: one }, Self { fd: other }))
    }

    /// `fcntl(2)` with `F_DUPFD_CLOEXEC`: another descriptor for this socket.
    /// They share everything, being non-blocking included.
    ///
    /// # Errors
    /// No descriptor is left.
    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(Self {
            fd: self.fd.try_clone()?,
        })
    }

    /// Takes over a descriptor, as `Socket::from` does. Whether it is a socket
    /// at all is for the first call on it to say (`ENOTSOCK`).
    pub fn from_fd(fd: OwnedFd) -> Self {
        Self { fd }
    }

    /// Gives the descriptor away, open as it is.
    pub fn detach(self) -> OwnedFd {
        self.fd
    }

    /// `close(2)`, as dropping does. The socket is consumed, so that closing
    /// it twice, or using it after, is refused by the compiler and can't hit
    /// somebody else's descriptor of the same number:
    ///
    /// ```compile_fail,E0382
    /// use hythe_net::{Domain, Kind, Socket};
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let socket = Socket::new(Domain::INET, Kind::STREAM)?;
    /// socket.close();
    /// socket.listen(1)?; // error[E0382]: borrow of moved value
    /// # Ok(()) }
    /// ```
    ///
    /// For one that is closed while others can still see it, see
    /// [`TimedSocket::close`](crate::TimedSocket::close).
    pub fn close(self) {}

    /// `bind(2)`.
    ///
    /// # Errors
    /// `AddrInUse`, `AddrNotAvailable`, `PermissionDenied`…
    pub fn bind(&self, address: &Addr) -> io::Result<()> {
        Ok(bind(&self.fd, &address.to_any())?)
    }

    /// `listen(2)`: up to `backlog` connections wait to be accepted.
    ///
    /// # Errors
    /// `AddrInUse` where another socket listens there already.
    pub fn listen(&self, backlog: i32) -> io::Result<()> {
        Ok(listen(&self.fd, backlog)?)
    }

    /// `accept4(2)`: the next waiting connection and who is at its other end.
    /// It is blocking, whatever the listener is.
    ///
    /// # Errors
    /// `WouldBlock` on a non-blocking listener without one.
    pub fn accept(&self) -> io::Result<(Self, Addr)> {
        let (fd, peer) = acceptfrom_with(&self.fd, SocketFlags::CLOEXEC)?;
        let socket = Self { fd };
        let peer = match peer {
            Some(peer) => Addr::from(peer),
            None => socket.peer_name()?,
        };
        Ok((socket, peer))
    }

    /// `accept4(2)` that makes the new socket non-blocking in the same call
    /// and does not ask for the peer.
    ///
    /// # Errors
    /// As [`accept`](Self::accept).
    pub fn accept_nonblocking(&self) -> io::Result<Self> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        Ok(Self {
            fd: accept_with(&self.fd, flags)?,
        })
    }

    /// `connect(2)`.
    ///
    /// # Errors
    /// `ConnectionRefused` and others; a non-blocking socket gives `EINPROGRESS`
    /// and becomes writable once it is connected or has failed.
    pub fn connect(&self, address: &Addr) -> io::Result<()> {
        Ok(connect(&self.fd, &address.to_any())?)
    }

    /// `connect(2)` that tells the error number (`errno(3)`), 0 for none. That
    /// is handy where `EINPROGRESS` is as good as success.
    ///
    /// ```
    /// use hythe_net::{Domain, Kind, Socket, create_server};
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let listener = create_server(&"127.0.0.1:0".parse()?, false)?;
    /// let client = Socket::new(Domain::INET, Kind::STREAM)?;
    /// assert_eq!(client.connect_ex(&listener.sock_name()?), 0);
    /// # Ok(()) }
    /// ```
    pub fn connect_ex(&self, address: &Addr) -> i32 {
        match connect(&self.fd, &address.to_any()) {
            Ok(()) => 0,
            Err(error) => error.raw_os_error(),
        }
    }

    /// `recv(2)`: how many bytes came; 0 is the end of the stream.
    ///
    /// # Errors
    /// `WouldBlock`, `ConnectionReset`…
    pub fn recv(&self, buffer: &mut [u8]) -> io::Result<usize> {
        Ok(recv(&self.fd, buffer, RecvFlags::empty())?.0)
    }

    /// `recv(2)` with `MSG_PEEK`: as [`recv`](Self::recv), but what it gives
    /// stays there for the next call.
    ///
    /// # Errors
    /// As [`recv`](Self::recv).
    pub fn peek(&self, buffer: &mut [u8]) -> io::Result<usize> {
        Ok(recv(&self.fd, buffer, RecvFlags::PEEK)?.0)
    }

    /// `send(2)`: how many bytes the kernel took, possibly fewer than given.
    /// A peer that is gone is an error (`BrokenPipe`), not a signal.
    ///
    /// # Errors
    /// `WouldBlock`, `BrokenPipe`, `ConnectionReset`…
    pub fn send(&self, bytes: &[u8], more: More) -> io::Result<usize> {
        let flags = match more {
            More::Follows => SendFlags::NOSIGNAL | SendFlags::MORE,
            More::No => SendFlags::NOSIGNAL,
        };
        Ok(send(&self.fd, bytes, flags)?)
    }

    /// `recvfrom(2)`: one datagram, cut to the buffer if it is longer, and who
    /// sent it. A Unix sender without a name is the unnamed address, and so is
    /// the peer of a connected stream.
    ///
    /// ```
    /// use hythe_net::{Domain, Kind, Socket};
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let one = Socket::new(Domain::INET, Kind::DATAGRAM)?;
    /// one.bind(&"127.0.0.1:0".parse()?)?;
    /// let other = Socket::new(Domain::INET, Kind::DATAGRAM)?;
    /// other.bind(&"127.0.0.1:0".parse()?)?;
    ///
    /// one.send_to(b"hello", &other.sock_name()?)?;
    /// let mut buffer = [0; 16];
    /// assert_eq!(other.recv_from(&mut buffer)?, (5, one.sock_name()?));
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// As [`recv`](Self::recv).
    pub fn recv_from(&self, buffer: &mut [u8]) -> io::Result<(usize, Addr)> {
        let (count, _, from) = recvfrom(&self.fd, buffer, RecvFlags::empty())?;
        Ok((count, Addr::from_option(from)))
    }

    /// `sendto(2)`: one datagram to `address`; it goes whole or not at all.
    ///
    /// # Errors
    /// `WouldBlock`; `EMSGSIZE` for more than one datagram carries;
    /// `ConnectionRefused` when the last one came back (Internet), or nobody
    /// listens there (Unix).
    pub fn send_to(&self, bytes: &[u8], address: &Addr) -> io::Result<usize> {
        let address = address.to_any();
        Ok(sendto(&self.fd, bytes, SendFlags::NOSIGNAL, &address)?)
    }

    /// `sendfile(2)`: up to `count` bytes of `file` from `offset` on, without
    /// passing through this process. Moves `offset` on by what was sent.
    ///
    /// # Errors
    /// `WouldBlock`; `InvalidInput` where the kernel can't do it for these two.
    pub fn send_file(
        &self,
        file: BorrowedFd<'_>,
        offset: &mut u64,
        count: usize,
    ) -> io::Result<usize> {
        Ok(rustix::fs::sendfile(&self.fd, file, Some(offset), count)?)
    }

    /// `ioctl(2)` with `SIOCOUTQ`: how many bytes of what was sent the peer's
    /// kernel has not acknowledged (`tcp(7)`), or the peer not read (Unix; with
    /// the kernel's own overhead).
    ///
    /// # Errors
    /// `InvalidInput` on a listener.
    pub fn unacknowledged(&self) -> io::Result<usize> {
        sys::outq(self.fd.as_fd())
    }

    /// `shutdown(2)`.
    ///
    /// # Errors
    /// `NotConnected`.
    pub fn shutdown(&self, how: How) -> io::Result<()> {
        let how = match how {
            How::Read => Shutdown::Read,
            How::Write => Shutdown::Write,
            How::Both => Shutdown::Both,
        };
        Ok(shutdown(&self.fd, how)?)
    }

    /// `getsockname(2)`: this end's address. After binding to port 0 it has
    /// the port the kernel chose.
    ///
    /// # Errors
    /// The kernel's own.
    pub fn sock_name(&self) -> io::Result<Addr> {
        Ok(Addr::from(getsockname(&self.fd)?))
    }

    /// `getpeername(2)`: the other end's address.
    ///
    /// # Errors
    /// `NotConnected`.
    pub fn peer_name(&self) -> io::Result<Addr> {
        Ok(Addr::from_option(getpeername(&self.fd)?))
    }

    /// Makes calls wait, or answer `WouldBlock` at once (`FIONBIO` of
    /// `ioctl(2)`).
    ///
    /// # Errors
    /// The kernel's own.
    pub fn set_blocking(&self, blocking: bool) -> io::Result<()> {
        Ok(rustix::io::ioctl_fionbio(&self.fd, !blocking)?)
    }

    /// `getsockopt(2)`; see [`option`](crate::option) for what there is.
    ///
    /// # Errors
    /// `ENOPROTOOPT` and the like, for an option of another layer.
    pub fn get<O: Readable>(&self) -> io::Result<O> {
        let mut bytes = [0; WIDEST];
        let length = sys::getsockopt(self.fd.as_fd(), O::LEVEL, O::NUMBER, &mut bytes)?;
        O::decode(&bytes[..length.min(WIDEST)])
    }

    /// `setsockopt(2)`.
    ///
    /// # Errors
    /// As [`get`](Self::get), and `InvalidInput` for values out of range.
    pub fn set<O: Settable>(&self, option: O) -> io::Result<()> {
        sys::setsockopt(
            self.fd.as_fd(),
            O::LEVEL,
            O::NUMBER,
            option.encode()?.as_bytes(),
        )
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl From<OwnedFd> for Socket {
    fn from(fd: OwnedFd) -> Self {
        Self { fd }
    }
}

impl From<Socket> for OwnedFd {
    fn from(socket: Socket) -> Self {
        socket.fd
    }
}

/// How many connections may wait to be accepted. The kernel lowers it to
/// `net.core.somaxconn`, 4096 by default, which is as many as we ask for.
pub const BACKLOG: i32 = 4096;

/// What [`create_server_with`] may be told.
///
/// ```
/// use hythe_net::{ServerOptions, create_server_with};
///
/// # fn main() -> std::io::Result<()> {
/// let both = ServerOptions { dual_stack: Some(true), ..ServerOptions::default() };
/// let listener = create_server_with(&"[::]:0".parse()?, &both)?;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerOptions {
    /// How many connections may wait to be accepted; see [`BACKLOG`].
    pub backlog: i32,
    /// Whether several sockets share the port ([`ReusePort`]).
    pub reuse_port: bool,
    /// Whether an IPv6 listener takes IPv4 clients too; `None` leaves it to
    /// the system (`net.ipv6.bindv6only`), which mostly says yes.
    pub dual_stack: Option<bool>,
}

impl Default for ServerOptions {
    fn default() -> Self {
        Self {
            backlog: BACKLOG,
            reuse_port: false,
            dual_stack: None,
        }
    }
}

/// A listening stream socket, as servers want it: port reuse after a restart,
/// and where `reuse_port` is set, one of several that share the port. A Unix
/// socket that nobody listens on any more is replaced.
///
/// # Errors
/// Of the kernel's kind, naming the address and the cause.
pub fn create_server(address: &Addr, reuse_port: bool) -> io::Result<Socket> {
    let options = ServerOptions {
        reuse_port,
        ..ServerOptions::default()
    };
    create_server_with(address, &options)
}

/// As [`create_server`], with every choice there is.
///
/// # Errors
/// As [`create_server`]; `InvalidInput` for a dual stack that isn't IPv6.
pub fn create_server_with(address: &Addr, options: &ServerOptions) -> io::Result<Socket> {
    let listen = || {
        let listener = Socket::new(address.domain(), Kind::STREAM)?;
        if let Addr::Inet(_) = address {
            listener.set(ReuseAddr(true))?;
            listener.set(ReusePort(options.reuse_port))?;
        }
        if let Some(dual_stack) = options.dual_stack {
            if address.domain() != Domain::INET6 {
                let text = "only IPv6 addresses have a dual stack";
                return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
            }
            listener.set(V6Only(!dual_stack))?;
        }
        bind_server(&listener, address)?;
        listener.listen(options.backlog)?;
        Ok(listener)
    };
    listen().map_err(|error: io::Error| {
        io::Error::new(error.kind(), format!("cannot listen on {address}: {error}"))
    })
}

/// Binds a server's socket, in place of a Unix socket that nobody uses any
/// more.
pub(crate) fn bind_server(socket: &Socket, address: &Addr) -> io::Result<()> {
    match socket.bind(address) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse && remove_stale(address) => {
            socket.bind(address)
        }
        result => result,
    }
}

/// Removes a Unix socket that a server left behind when it crashed: one that
/// nobody has bound any more. Says whether it did.
fn remove_stale(address: &Addr) -> bool {
    let Some(path) = address.path() else {
        return false;
    };
    let connect = || {
        // Of whatever kind the server is: a stream that connects would be its
        // client, and perhaps the only one that it takes. This is no one's, and
        // refused only where there is no server (`EPROTOTYPE` if it has streams).
        let socket = Socket::new(Domain::UNIX, Kind::DATAGRAM)?;
        socket.connect(address)
    };
    connect().is_err_and(|error: io::Error| error.kind() == io::ErrorKind::ConnectionRefused)
        && std::fs::symlink_metadata(path).is_ok_and(|it| it.file_type().is_socket())
        && std::fs::remove_file(path).is_ok()
}

/// `rustix` has `None` for protocol 0.
fn protocol_of(number: u32) -> Option<Protocol> {
    Some(Protocol::from_raw(NonZeroU32::new(number)?))
}
