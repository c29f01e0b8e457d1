//! Addresses, name resolution and dialling.
//!
//! [`Addr`] is where a socket is or wants to be: an Internet address with a
//! port, or a Unix path or abstract name. It parses from and prints as what
//! people type: `127.0.0.1:8000`, `[::1]:8000`, `unix:/run/x`, `unix:@name`.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::str::FromStr;

use rustix::net::{SocketAddrAny, SocketAddrUnix};

use crate::Domain;

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
}

impl Addr {
    /// A Unix socket in the file system.
    ///
    /// # Errors
    /// `InvalidInput` if the path has a NUL or is longer than 107 bytes.
    pub fn unix(path: impl AsRef<std::path::Path>) -> io::Result<Self> {
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
        }
    }

    /// The Internet address without its port. IPv4 clients of a dual-stack
    /// listener are told as the IPv4 addresses they are.
    pub fn ip(&self) -> Option<IpAddr> {
        match self {
            Self::Inet(address) => Some(address.ip().to_canonical()),
            Self::Unix(_) => None,
        }
    }

    /// The port, where there is one.
    pub fn port(&self) -> Option<u16> {
        match self {
            Self::Inet(address) => Some(address.port()),
            Self::Unix(_) => None,
        }
    }

    pub(crate) fn from_any(any: SocketAddrAny) -> io::Result<Self> {
        if let Ok(address) = SocketAddr::try_from(any.clone()) {
            return Ok(Self::Inet(address));
        }
        Ok(Self::from(SocketAddrUnix::try_from(any)?))
    }

    pub(crate) fn to_any(&self) -> SocketAddrAny {
        match self {
            Self::Inet(address) => (*address).into(),
            Self::Unix(address) => (**address).clone().into(),
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
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_parses_to_the_same() {
        for text in ["127.0.0.1:0", "[::1]:65535", "unix:/run/a b", "unix:@name"] {
            let address: Addr = text.parse().unwrap();
            assert_eq!(address.to_string(), text);
            assert_eq!(Addr::from_any(address.to_any()).unwrap(), address);
        }
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
