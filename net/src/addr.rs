//! Addresses, name resolution and dialling.
//!
//! [`Addr`] is where a socket is or wants to be: an Internet address with a
//! port, or a Unix path or abstract name. It parses from and prints as what
//! people type: `127.0.0.1:8000`, `[::1]:8000`, `unix:/run/x`, `unix:@name`.
//!
//! Not here: what the addresses of other families say. They are kept as the
//! kernel gave them, good for comparing and for answering.

use std::ffi::OsStr;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::str::FromStr;
use std::time::{Duration, Instant};

use rustix::net::{SocketAddrAny, SocketAddrUnix};

use crate::{Domain, Kind, Socket, TimedSocket, timed};

/// The address of a socket.
///
/// ```
/// use hythe_net::Addr;
///
/// # fn main() -> std::io::Result<()> {
/// let address: Addr = "[::1]:8000".parse()?;
/// assert_eq!(address.port(), Some(8000));
/// assert_eq!(Addr::unix("/run/x")?.to_string(), "unix:/run/x");
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Addr {
    /// IPv4 or IPv6 address and port (`ip(7)`, `ipv6(7)`).
    Inet(SocketAddr),
    /// A path, an abstract name, or nothing at all (`unix(7)`).
    Unix(Box<SocketAddrUnix>),
    /// An address of another family, as the kernel wrote it; it prints as
    /// `family 16` (`address_families(7)`), which does not parse.
    Other(Box<SocketAddrAny>),
}

impl Addr {
    /// A Unix socket in the file system.
    ///
    /// # Errors
    /// `InvalidInput` if the path has a NUL or is longer than 107 bytes.
    pub fn unix(path: impl AsRef<Path>) -> io::Result<Self> {
        Ok(Self::from(SocketAddrUnix::new(path.as_ref())?))
    }

    /// A Unix socket in Linux's abstract name space, gone with its last user.
    ///
    /// # Errors
    /// `InvalidInput` if the name is longer than 107 bytes.
    pub fn abstract_name(name: &[u8]) -> io::Result<Self> {
        Ok(Self::from(SocketAddrUnix::new_abstract_name(name)?))
    }

    /// The address of a Unix socket that was bound to none, as clients are.
    /// Binding to it lets the kernel choose an abstract name (autobind).
    pub fn unnamed() -> Self {
        Self::from(SocketAddrUnix::new_unnamed())
    }

    /// Every address that `HOST:PORT` stands for, in the resolver's order. May
    /// ask a name server, and blocks while it does.
    ///
    /// # Errors
    /// What the resolver says, or `NotFound` for a name without addresses.
    pub fn resolve(text: &str) -> io::Result<Vec<Self>> {
        if text.starts_with("unix:") {
            return Ok(vec![text.parse()?]);
        }
        let found: Vec<Self> = text.to_socket_addrs()?.map(Self::Inet).collect();
        if found.is_empty() {
            return Err(io::Error::new(
                io::ErrorKind::NotFound,
                "the name has no address",
            ));
        }
        Ok(found)
    }

    /// The family of sockets that can use this address.
    pub fn domain(&self) -> Domain {
        match self {
            Self::Inet(SocketAddr::V4(_)) => Domain::INET,
            Self::Inet(SocketAddr::V6(_)) => Domain::INET6,
            Self::Unix(_) => Domain::UNIX,
            Self::Other(any) => Domain::from_number(any.address_family().as_raw()),
        }
    }

    /// The Internet address without its port. IPv4 clients of a dual-stack
    /// listener are told as the IPv4 addresses they are.
    pub fn ip(&self) -> Option<IpAddr> {
        match self {
            Self::Inet(address) => Some(address.ip().to_canonical()),
            Self::Unix(_) | Self::Other(_) => None,
        }
    }

    /// The port, where there is one.
    pub fn port(&self) -> Option<u16> {
        match self {
            Self::Inet(address) => Some(address.port()),
            Self::Unix(_) | Self::Other(_) => None,
        }
    }

    /// The path in the file system, where there is one.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Unix(address) => Some(Path::new(OsStr::from_bytes(address.path_bytes()?))),
            _ => None,
        }
    }

    /// Whoever the kernel names; it names nobody for a peer without a name.
    pub(crate) fn from_option(any: Option<SocketAddrAny>) -> Self {
        any.map_or_else(Self::unnamed, Self::from)
    }

    pub(crate) fn to_any(&self) -> SocketAddrAny {
        match self {
            Self::Inet(address) => (*address).into(),
            Self::Unix(address) => (**address).clone().into(),
            Self::Other(any) => (**any).clone(),
        }
    }
}

impl From<SocketAddr> for Addr {
    fn from(address: SocketAddr) -> Self {
        Self::Inet(address)
    }
}

impl From<SocketAddrUnix> for Addr {
    fn from(address: SocketAddrUnix) -> Self {
        // Boxed, since a path may be long and most addresses are not of this kind.
        Self::Unix(Box::new(address))
    }
}

impl From<SocketAddrAny> for Addr {
    fn from(any: SocketAddrAny) -> Self {
        if let Ok(address) = SocketAddr::try_from(any.clone()) {
            Self::Inet(address)
        } else if let Ok(address) = SocketAddrUnix::try_from(any.clone()) {
            Self::from(address)
        } else {
            // A message must not be lost because its sender can't be read.
            Self::Other(Box::new(any))
        }
    }
}

impl FromStr for Addr {
    type Err = io::Error;

    fn from_str(text: &str) -> io::Result<Self> {
        match text.strip_prefix("unix:") {
            Some(name) => match name.strip_prefix('@') {
                Some(name) => Self::abstract_name(name.as_bytes()),
                None => Self::unix(name),
            },
            None => text.parse().map(Self::Inet).map_err(|error| {
                io::Error::new(io::ErrorKind::InvalidInput, format!("`{text}`: {error}"))
            }),
        }
    }
}

impl fmt::Display for Addr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inet(address) => address.fmt(f),
            Self::Unix(address) => {
                // A socket without a name, as clients are, reads as one with
                // an empty abstract name.
                if let Some(name) = address.abstract_name().filter(|name| !name.is_empty()) {
                    write!(f, "unix:@{}", name.escape_ascii())
                } else {
                    let path = address.path_bytes().unwrap_or_default();
                    write!(f, "unix:{}", String::from_utf8_lossy(path).escape_debug())
                }
            }
            Self::Other(_) => write!(f, "family {}", self.domain().number()),
        }
    }
}

/// Connects to the first address of `text` that answers, be it `HOST:PORT` or
/// `unix:PATH`: IPv6 and IPv4 take turns (RFC 8305, section 4, but one after
/// the other), so that a family which doesn't work delays only a little.
///
/// `timeout` is for all of it. Each address gets its share of what is left, so
/// that one which never answers leaves time for the next; the last gets all.
/// Only the resolver can't be hurried. With a `source`, only addresses of its
/// family are tried, from there. The socket that comes back is blocking.
///
/// ```
/// use hythe_net::{create_server, dial};
/// use std::time::Duration;
///
/// # fn main() -> std::io::Result<()> {
/// let listener = create_server(&"127.0.0.1:0".parse()?, false)?;
/// let port = listener.sock_name()?.port().unwrap_or_default();
/// let socket = dial(&format!("localhost:{port}"), Some(Duration::from_secs(5)), None)?;
/// assert_eq!(socket.peer_name()?, listener.sock_name()?);
/// # Ok(()) }
/// ```
///
/// # Errors
/// The resolver's; else the last address's, with its number (`ECONNREFUSED`…);
/// `TimedOut`; `AddrNotAvailable` if no address is of the source's family.
pub fn dial(text: &str, timeout: Option<Duration>, source: Option<&Addr>) -> io::Result<Socket> {
    let begun = Instant::now();
    let mut addresses = interleave(Addr::resolve(text)?);
    if let Some(source) = source {
        addresses.retain(|address| address.domain() == source.domain());
    }
    let mut last = io::Error::new(
        io::ErrorKind::AddrNotAvailable,
        "no address is of the source's family",
    );
    let count = addresses.len();
    for (index, address) in addresses.iter().enumerate() {
        let left = timeout.map(|timeout| timeout.saturating_sub(begun.elapsed()));
        if left.is_some_and(|left| left.is_zero()) {
            return Err(timed::timed_out());
        }
        let untried = u32::try_from(count - index).unwrap_or(u32::MAX);
        // Zero would mean not to wait at all.
        let share = left.map(|left| (left / untried).max(Duration::from_nanos(1)));
        match connect_within(address, share, source) {
            Ok(socket) => return Ok(socket),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn connect_within(
    address: &Addr,
    timeout: Option<Duration>,
    source: Option<&Addr>,
) -> io::Result<Socket> {
    let socket = Socket::new(address.domain(), Kind::STREAM)?;
    if let Some(source) = source {
        socket.bind(source)?;
    }
    let mut timed = TimedSocket::from(socket);
    timed.set_timeout(timeout)?;
    timed.connect(address)?;
    timed.set_timeout(None)?;
    timed.detach().map(Socket::from)
}

/// The resolver's order, families taking turns from the first one's on.
fn interleave(addresses: Vec<Addr>) -> Vec<Addr> {
    let count = addresses.len();
    let first = addresses.first().map(Addr::domain);
    let (one, other): (Vec<_>, Vec<_>) = addresses
        .into_iter()
        .partition(|address| Some(address.domain()) == first);
    let (mut one, mut other) = (one.into_iter(), other.into_iter());
    let mut mixed = Vec::with_capacity(count);
    while mixed.len() < count {
        mixed.extend(one.next());
        mixed.extend(other.next());
    }
    mixed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_parses_to_the_same() {
        for text in ["127.0.0.1:0", "[::1]:65535", "unix:/run/a b", "unix:@name"] {
            let address: Addr = text.parse().unwrap();
            assert_eq!(address.to_string(), text);
            assert_eq!(Addr::from(address.to_any()), address);
        }
    }

    #[test]
    fn families_take_turns_in_the_resolvers_order() {
        let parse = |texts: &[&str]| -> Vec<Addr> {
            texts.iter().map(|text| text.parse().unwrap()).collect()
        };
        let found = parse(&["[::1]:1", "[::2]:1", "[::3]:1", "1.1.1.1:1"]);
        let mixed = parse(&["[::1]:1", "1.1.1.1:1", "[::2]:1", "[::3]:1"]);
        assert_eq!(interleave(found), mixed);
        assert_eq!(interleave(Vec::new()), []);
    }

    #[test]
    fn what_is_no_address_is_named_in_the_error() {
        for text in ["", "127.0.0.1", "127.0.0.1:65536", "localhost:80", "[::1"] {
            let error = text.parse::<Addr>().unwrap_err();
            assert!(error.to_string().contains(&format!("`{text}`")), "{error}");
        }
        assert!(format!("unix:{}", "x".repeat(200)).parse::<Addr>().is_err());
    }
}
