//! The socket-option table: one line an option.
//!
//! An option is a type that holds its value, so that the compiler knows what
//! may be set to what:
//!
//! ```
//! use hythe_net::{Domain, Kind, Socket, option::{NoDelay, RecvBuffer}};
//! # fn main() -> std::io::Result<()> {
//! let socket = Socket::new(Domain::INET, Kind::STREAM)?;
//! socket.set(NoDelay(true))?;
//! assert_eq!(socket.get::<NoDelay>()?, NoDelay(true));
//! let RecvBuffer(bytes) = socket.get()?;
//! assert!(bytes > 0);
//! # Ok(()) }
//! ```
//!
//! Not here: options nobody in this project needs yet.

use std::ffi::c_int;
use std::io;
use std::time::Duration;

/// An option that a socket can be asked for (`getsockopt(2)`).
pub trait SocketOption: Sized {
    /// The protocol layer the option belongs to, such as `SOL_SOCKET`.
    const LEVEL: c_int;
    /// The option's number within its layer.
    const NUMBER: c_int;
    /// The kernel's name for it, such as `SO_REUSEADDR`.
    const NAME: &'static str;

    #[doc(hidden)]
    fn decode(bytes: &[u8]) -> io::Result<Self>;
}

/// An option that can be set as well (`setsockopt(2)`).
pub trait Settable: SocketOption {
    #[doc(hidden)]
    fn encode(&self) -> Encoded;
}

/// The widest option value of the table, in bytes.
pub(crate) const WIDEST: usize = 16;

/// The bytes of one option value, as the kernel takes them.
#[doc(hidden)]
#[derive(Clone, Copy, Debug)]
pub struct Encoded {
    bytes: [u8; WIDEST],
    length: usize,
}

impl Encoded {
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }

    fn of(parts: &[c_int]) -> Self {
        let mut encoded = Self {
            bytes: [0; WIDEST],
            length: 0,
        };
        for part in parts {
            let end = encoded.length + size_of::<c_int>();
            encoded.bytes[encoded.length..end].copy_from_slice(&part.to_ne_bytes());
            encoded.length = end;
        }
        encoded
    }
}

/// How a Rust value travels through `getsockopt` and `setsockopt`.
trait Value: Sized {
    fn decode(bytes: &[u8]) -> Option<Self>;
    fn encode(&self) -> Encoded;
}

fn int_at(bytes: &[u8], index: usize) -> Option<c_int> {
    let bytes = bytes.get(index * size_of::<c_int>()..)?.first_chunk()?;
    Some(c_int::from_ne_bytes(*bytes))
}

impl Value for c_int {
    fn decode(bytes: &[u8]) -> Option<Self> {
        int_at(bytes, 0)
    }
    fn encode(&self) -> Encoded {
        Encoded::of(&[*self])
    }
}

impl Value for u32 {
    fn decode(bytes: &[u8]) -> Option<Self> {
        int_at(bytes, 0)?.try_into().ok()
    }
    fn encode(&self) -> Encoded {
        Encoded::of(&[c_int::try_from(*self).unwrap_or(c_int::MAX)])
    }
}

impl Value for bool {
    fn decode(bytes: &[u8]) -> Option<Self> {
        Some(int_at(bytes, 0)? != 0)
    }
    fn encode(&self) -> Encoded {
        Encoded::of(&[(*self).into()])
    }
}

/// `struct linger`: off, or how long `close` waits, in whole seconds.
impl Value for Option<Duration> {
    fn decode(bytes: &[u8]) -> Option<Self> {
        let on = int_at(bytes, 0)? != 0;
        let seconds = u64::try_from(int_at(bytes, 1)?).ok()?;
        Some(on.then(|| Duration::from_secs(seconds)))
    }
    fn encode(&self) -> Encoded {
        let seconds = self.map_or(0, |time| {
            c_int::try_from(time.as_secs()).unwrap_or(c_int::MAX)
        });
        Encoded::of(&[self.is_some().into(), seconds])
    }
}

macro_rules! options {
    ($($(#[$doc:meta])* $name:ident($value:ty) = $level:ident, $number:ident $($access:ident)?;)*) => {
        $(
            $(#[$doc])*
            #[derive(Clone, Copy, Debug, PartialEq, Eq)]
            pub struct $name(pub $value);

            impl SocketOption for $name {
                const LEVEL: c_int = libc::$level;
                const NUMBER: c_int = libc::$number;
                const NAME: &'static str = stringify!($number);

                fn decode(bytes: &[u8]) -> io::Result<Self> {
                    <$value as Value>::decode(bytes)
                        .map(Self)
                        .ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))
                }
            }

            options!(@access $name $value; $($access)?);
        )*
    };
    (@access $name:ident $value:ty; read_only) => {};
    (@access $name:ident $value:ty;) => {
        impl Settable for $name {
            fn encode(&self) -> Encoded {
                <$value as Value>::encode(&self.0)
            }
        }
    };
}

options! {
    /// Lets a server bind its port again at once after a restart, while old
    /// connections still wait out their time. Every listener wants it.
    ReuseAddr(bool) = SOL_SOCKET, SO_REUSEADDR;
    /// Lets several sockets of one user listen on the same port; the kernel
    /// spreads new connections over them. An event loop per core wants it.
    ReusePort(bool) = SOL_SOCKET, SO_REUSEPORT;
    /// Probes a silent peer now and then, so that a dead one is noticed.
    KeepAlive(bool) = SOL_SOCKET, SO_KEEPALIVE;
    /// What `close` does with data not yet sent: `None` sends it in the
    /// background, `Some(time)` waits that long (whole seconds), and
    /// `Some(0)` throws it away and resets the connection.
    Linger(Option<Duration>) = SOL_SOCKET, SO_LINGER;
    /// Delivers urgent data in its place among the rest, instead of aside.
    /// An FTP server wants it, since clients send ABOR as urgent data.
    OobInline(bool) = SOL_SOCKET, SO_OOBINLINE;
    /// The send buffer in bytes. The kernel doubles what is set, for its own
    /// bookkeeping, and setting it ends the automatic tuning.
    SendBuffer(u32) = SOL_SOCKET, SO_SNDBUF;
    /// The receive buffer in bytes; doubled, and no longer tuned, once set.
    RecvBuffer(u32) = SOL_SOCKET, SO_RCVBUF;
    /// The error that has come in since the last look (an `errno`, 0 for
    /// none); asking clears it. How a connection in the background ended.
    Error(c_int) = SOL_SOCKET, SO_ERROR read_only;
    /// Whether the socket listens.
    AcceptConn(bool) = SOL_SOCKET, SO_ACCEPTCONN read_only;
    /// The address family the socket was made with.
    DomainOf(c_int) = SOL_SOCKET, SO_DOMAIN read_only;
    /// The kind (stream, datagram…) the socket was made with.
    KindOf(c_int) = SOL_SOCKET, SO_TYPE read_only;
    /// Sends small pieces at once instead of waiting to fill a segment
    /// (Nagle's algorithm off). Request and reply protocols want it.
    NoDelay(bool) = IPPROTO_TCP, TCP_NODELAY;
    /// Holds back segments that are not full until it is turned off (or for
    /// 200 ms). Whoever sends a large answer in several calls wants it: fewer
    /// and fuller packets cost both ends less.
    Cork(bool) = IPPROTO_TCP, TCP_CORK;
    /// An IPv6 listener refuses IPv4 clients.
    V6Only(bool) = IPPROTO_IPV6, IPV6_V6ONLY;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Domain, Kind, Socket};

    /// Get ≠ new, set, get.
    fn changes<O: Settable + PartialEq + Copy + std::fmt::Debug>(domain: Domain, new: O) {
        let socket = Socket::new(domain, Kind::STREAM).unwrap();
        assert_ne!(
            socket.get::<O>().unwrap(),
            new,
            "{} is so from the start",
            O::NAME
        );
        socket.set(new).unwrap();
        assert_eq!(socket.get::<O>().unwrap(), new, "{}", O::NAME);
    }

    #[test]
    fn each_settable_option_keeps_what_it_was_set_to() {
        changes(Domain::INET, ReuseAddr(true));
        changes(Domain::INET, ReusePort(true));
        changes(Domain::INET, KeepAlive(true));
        changes(Domain::INET, Linger(Some(Duration::from_secs(3))));
        changes(Domain::INET, Linger(Some(Duration::ZERO)));
        changes(Domain::INET, OobInline(true));
        changes(Domain::INET, NoDelay(true));
        changes(Domain::INET, Cork(true));
        changes(Domain::INET6, V6Only(true));
    }

    #[test]
    fn buffer_sizes_are_doubled_by_the_kernel() {
        let socket = Socket::new(Domain::INET, Kind::STREAM).unwrap();
        socket.set(SendBuffer(30_000)).unwrap();
        socket.set(RecvBuffer(20_000)).unwrap();
        assert_eq!(socket.get::<SendBuffer>().unwrap(), SendBuffer(60_000));
        assert_eq!(socket.get::<RecvBuffer>().unwrap(), RecvBuffer(40_000));
    }

    #[test]
    fn read_only_options_tell_what_the_socket_is() {
        let socket = Socket::new(Domain::INET, Kind::STREAM).unwrap();
        assert_eq!(socket.get::<DomainOf>().unwrap().0, libc::AF_INET);
        assert_eq!(socket.get::<KindOf>().unwrap().0, libc::SOCK_STREAM);
        assert_eq!(socket.get::<AcceptConn>().unwrap(), AcceptConn(false));
        socket.listen(0).unwrap();
        assert_eq!(socket.get::<AcceptConn>().unwrap(), AcceptConn(true));
        assert_eq!(socket.get::<Error>().unwrap(), Error(0));
    }

    #[test]
    fn an_option_of_another_layer_is_the_kernels_own_error() {
        let (socket, _peer) = Socket::pair(Domain::UNIX, Kind::STREAM).unwrap();
        let error = socket.set(NoDelay(true)).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EOPNOTSUPP));
    }
}
