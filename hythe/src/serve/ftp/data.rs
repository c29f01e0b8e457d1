//! Data connections: how they come about, and with whom.

use std::cell::Cell;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::rc::Rc;
use std::time::Duration;

use hythe_net::mux::Ready;
use hythe_net::option::ReuseAddr;
use hythe_net::reactor::timeout;
use hythe_net::{Addr, Connection, Kind, Listener, Patience, Socket, Stream};

use crate::tls::Acceptor;

/// How many connections may knock before one is let in. One is expected; the
/// others are strangers, who should not be able to keep it out.
const BACKLOG: i32 = 16;

/// Ports below are those of well-known services, which nobody may have us
/// connect to (RFC 2577 section 3).
const FIRST_PORT: u16 = 1024;

/// How the next data connection is to come about.
#[derive(Debug, Default)]
pub(super) enum Data {
    /// Nobody has said.
    #[default]
    Unknown,
    /// The client connects here: a listening socket, non-blocking. Most have
    /// connected when it is first asked, and then it never enters the reactor.
    Passive(Socket),
    /// We connect there.
    Active(SocketAddr),
}

/// The two ends of the control connection, which those of a data connection
/// must match: the kernel's word, not the peer's.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ends {
    pub(super) local: SocketAddr,
    pub(super) peer: SocketAddr,
}

impl Ends {
    /// `None` for what is not an Internet connection.
    pub(super) fn of(connection: &Connection) -> Option<Self> {
        Some(Self {
            local: internet(&connection.stream.socket().sock_name().ok()?)?,
            peer: internet(&connection.peer)?,
        })
    }

    /// Where `address`, which the client gave, leads to; `None` unless that is
    /// the client itself, at a port that can be its own (RFC 2577: no bounce). One
    /// that does not know its address and gives the unspecified one, as lftp does
    /// over IPv6, means itself.
    pub(super) fn claimed(&self, address: SocketAddr) -> Option<SocketAddr> {
        let ip = address.ip().to_canonical();
        let own = (ip == self.peer.ip() || ip.is_unspecified()) && address.port() >= FIRST_PORT;
        // The peer's address has the zone, too, if it needs one.
        own.then(|| with_port(self.peer, address.port()))
    }
}

/// How a data connection is to be: what of the session is needed to open it.
#[derive(Debug)]
pub(super) struct Terms {
    pub(super) ends: Ends,
    /// How long it may take to come about.
    pub(super) deadline: Duration,
    /// How long it may go without progress.
    pub(super) patience: Patience,
    /// `None` if it is not protected.
    pub(super) tls: Option<Protected>,
}

impl Terms {
    /// The same for a connection on which the client only sends.
    pub(super) fn for_receiving(mut self) -> Self {
        if let Some(tls) = &mut self.tls {
            tls.acceptor = tls.acceptor.without_tickets();
        }
        self
    }
}

/// How it is protected.
#[derive(Debug)]
pub(super) struct Protected {
    /// The one of this control connection alone.
    pub(super) acceptor: Acceptor,
    /// Whether the control connection's session must be resumed, which proves
    /// that it is the same client.
    pub(super) must_resume: bool,
    /// How many data connections of this session wait for the client's end.
    pub(super) closing: Rc<Cell<usize>>,
}

/// An IPv4 client of a dual-stack listener has IPv4 addresses.
fn internet(address: &Addr) -> Option<SocketAddr> {
    match address {
        Addr::Inet(SocketAddr::V6(v6)) => match v6.ip().to_ipv4_mapped() {
            Some(ip) => Some((ip, v6.port()).into()),
            None => Some((*v6).into()),
        },
        Addr::Inet(v4) => Some(*v4),
        Addr::Unix(_) | Addr::Other(_) => None,
    }
}

fn with_port(mut address: SocketAddr, port: u16) -> SocketAddr {
    address.set_port(port);
    address
}

/// Listens on the address that the client knows already, on a port that nobody
/// can guess.
///
/// # Errors
/// `AddrInUse` if no port of the range is free.
pub(super) fn listen(
    local: SocketAddr,
    ports: Option<&RangeInclusive<u16>>,
) -> io::Result<(Socket, u16)> {
    let (ports, tries) = match ports {
        Some(ports) => (ports, ports.len()),
        None => (&DYNAMIC, TRIES),
    };
    let mut socket = unbound(local)?;
    let count = ports.len() as u64;
    // The standard library seeds its hashers from the kernel's randomness.
    let start = RandomState::new().hash_one(());
    let chosen = (0..tries as u64)
        .map(|step| (u64::from(*ports.start()) + (start % count + step) % count) as u16)
        // The kernel finds one if there is one, where any will do.
        .chain((tries < ports.len()).then_some(0));
    for port in chosen {
        match socket.bind(&with_port(local, port).into()) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => continue,
            bound => bound?,
        }
        match socket.listen(BACKLOG) {
            // Another thread was as quick to choose it, and quicker to listen.
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => socket = unbound(local)?,
            listening => {
                listening?;
                let port = socket.sock_name()?.port().unwrap_or(0);
                return Ok((socket, port));
            }
        }
    }
    Err(io::ErrorKind::AddrInUse.into())
}

fn unbound(local: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Addr::from(local).domain(), Kind::STREAM)?;
    // A port of the range can be used again as soon as its transfer is over.
    socket.set(ReuseAddr(true))?;
    socket.set_blocking(false)?;
    Ok(socket)
}

/// The ports for such uses (RFC 6335 section 6). The kernel would choose one, too,
/// but looks at one after the other for one that is free: with thousands that
/// wait for the end of `TIME_WAIT`, that is most of what a session costs.
const DYNAMIC: RangeInclusive<u16> = 49152..=65535;

/// How many of them are tried before the kernel is asked.
const TRIES: usize = 16;

impl Data {
    /// Brings the connection about.
    ///
    /// # Errors
    /// `TimedOut` and whatever else can go wrong with a connection.
    pub(super) async fn open(self, ends: Ends, deadline: Duration) -> io::Result<Stream> {
        match self {
            Self::Unknown => Err(io::ErrorKind::NotConnected.into()),
            Self::Passive(socket) => match accept_now(&socket, ends.peer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let listener = Listener::new(socket)?;
                    timeout(deadline, accept(&listener, ends.peer)).await?
                }
                accepted => Stream::from_nonblocking(accepted?, Ready::WRITE),
            },
            Self::Active(address) => {
                let source = with_port(ends.local, 0).into();
                Stream::connect(&address.into(), Some(&source), deadline).await
            }
        }
    }
}

/// Lets the client in, and nobody else: whoever guesses the port must not get
/// the file (RFC 2577 section 7).
async fn accept(listener: &Listener, peer: SocketAddr) -> io::Result<Stream> {
    loop {
        match listener.accept().await {
            Ok(stream) if is_from(stream.socket(), peer) => return Ok(stream),
            Ok(_stranger) => {}
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => return Err(error),
        }
    }
}

/// The same, if the client is there already.
fn accept_now(socket: &Socket, peer: SocketAddr) -> io::Result<Socket> {
    loop {
        match socket.accept_nonblocking() {
            Ok(socket) if is_from(&socket, peer) => return Ok(socket),
            Ok(_stranger) => {}
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => return Err(error),
        }
    }
}

fn is_from(socket: &Socket, peer: SocketAddr) -> bool {
    let address = socket.peer_name();
    address.is_ok_and(|address| address.ip() == Some(peer.ip()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_clients_own_unprivileged_ports_are_believed() {
        let ends = |peer: &str| Ends {
            local: "127.0.0.1:21".parse().unwrap(),
            peer: peer.parse().unwrap(),
        };
        let claim = |peer, address: &str| {
            let claimed = ends(peer).claimed(address.parse().unwrap());
            claimed.map(|address| address.to_string())
        };
        for (peer, address, expected) in [
            ("10.0.0.1:5000", "10.0.0.1:1024", Some("10.0.0.1:1024")),
            ("10.0.0.1:5000", "10.0.0.1:1023", None),
            ("10.0.0.1:5000", "10.0.0.2:5000", None),
            (
                "10.0.0.1:5000",
                "[::ffff:10.0.0.1]:5000",
                Some("10.0.0.1:5000"),
            ),
            ("10.0.0.1:5000", "[::1]:5000", None),
            ("10.0.0.1:5000", "0.0.0.0:1024", Some("10.0.0.1:1024")),
            ("10.0.0.1:5000", "0.0.0.0:1023", None),
            (
                "[2001:db8::1]:5000",
                "[::]:6000",
                Some("[2001:db8::1]:6000"),
            ),
            (
                "[fe80::1%3]:5000",
                "[fe80::1]:6000",
                Some("[fe80::1%3]:6000"),
            ),
        ] {
            assert_eq!(
                claim(peer, address).as_deref(),
                expected,
                "{peer} {address}"
            );
        }
    }

    #[test]
    fn mapped_addresses_are_ipv4() {
        let address = "[::ffff:127.0.0.1]:21".parse().unwrap();
        assert_eq!(internet(&address), "127.0.0.1:21".parse().ok());
        assert_eq!(internet(&"unix:@x".parse().unwrap()), None);
    }
}
