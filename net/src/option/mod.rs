//! The socket-option table: one line an option.
//!
//! An option is a type that holds its value, so that the compiler knows what
//! may be set to what, and what can only be read or only be set:
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
//! ```compile_fail,E0277
//! # fn main() -> std::io::Result<()> {
//! # use hythe_net::{Domain, Kind, Socket};
//! # let socket = Socket::new(Domain::INET, Kind::STREAM)?;
//! socket.set(hythe_net::option::AcceptConn(true))?; // can only be read
//! # Ok(()) }
//! ```
//!
//! ```compile_fail,E0277
//! # fn main() -> std::io::Result<()> {
//! # use hythe_net::{Domain, Kind, Socket};
//! # let socket = Socket::new(Domain::INET, Kind::DATAGRAM)?;
//! socket.get::<hythe_net::option::AddMembership>()?; // can only be set
//! # Ok(()) }
//! ```
//!
//! [`TABLE`] is the same for programs that don't know beforehand which option
//! they will be asked for, as `hythe sockopts`:
//!
//! ```
//! use hythe_net::{Domain, Kind, Socket, option::{Reading, TABLE, Value}};
//! # fn main() -> std::io::Result<()> {
//! let socket = Socket::new(Domain::INET, Kind::STREAM)?;
//! let option = TABLE.iter().find(|option| option.name == "TCP_NODELAY");
//! let read = option.and_then(|option| option.read);
//! let found = read.map(|read| read(&socket)).transpose()?;
//! assert_eq!(found, Some(Reading { value: Value::Bool(false), text: "off".into() }));
//! # Ok(()) }
//! ```
//!
//! `table.rs` lists the options, `value.rs` has the types of their values, and
//! `coding.rs` how these travel through the two system calls.

mod coding;
mod table;
mod value;

use std::ffi::c_int;
use std::io;

pub use coding::Encoded;
pub(crate) use coding::WIDEST;
pub use table::*;
pub use value::{Credentials, Membership, Membership6, MtuDiscovery, TcpInfo, Value};

use crate::{Domain, Kind, Socket};

/// An option of a socket: its place in the kernel's numbering.
pub trait SocketOption: Sized {
    /// The protocol layer the option belongs to, such as `SOL_SOCKET`.
    const LEVEL: c_int;
    /// The option's number within its layer.
    const NUMBER: c_int;
    /// The kernel's name for it, such as `SO_REUSEADDR`.
    const NAME: &'static str;
}

/// An option that a socket can be asked for (`getsockopt(2)`).
pub trait Readable: SocketOption {
    #[doc(hidden)]
    fn decode(bytes: &[u8]) -> io::Result<Self>;
}

/// An option that can be set (`setsockopt(2)`).
pub trait Settable: SocketOption {
    #[doc(hidden)]
    fn encode(&self) -> io::Result<Encoded>;
}

/// One option, described for people and for programs that list them.
#[derive(Clone, Copy, Debug)]
pub struct Description {
    /// The layer, as the kernel names it: `SOL_SOCKET`.
    pub level: &'static str,
    /// The kernel's name: `SO_REUSEADDR`.
    pub name: &'static str,
    /// The numbers of the level and of the option within it, as
    /// `getsockopt(2)` takes them.
    pub numbers: (c_int, c_int),
    /// The type in this module: `ReuseAddr`.
    pub type_name: &'static str,
    /// The type of its value: `bool`.
    pub value: &'static str,
    /// What can be done with it.
    pub access: Access,
    /// Which sockets have it.
    pub sockets: Sockets,
    /// What it does and when to use it.
    pub about: &'static str,
    /// Reads it from a socket; `None` where it can only be set.
    pub read: Option<fn(&Socket) -> io::Result<Reading>>,
}

/// What a socket has for an option of the [`TABLE`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// For programs.
    pub value: Value,
    /// For people: with the unit, and words where numbers say little.
    pub text: String,
}

/// What can be done with an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Read and set.
    ReadWrite,
    /// Only read.
    ReadOnly,
    /// Only set.
    WriteOnly,
}

/// Which sockets have an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sockets {
    /// All of them.
    Any,
    /// IPv4 and IPv6 sockets.
    Internet,
    /// TCP sockets: Internet streams.
    Tcp,
    /// IPv4 sockets.
    Inet,
    /// IPv4 sockets that are no streams.
    InetDatagram,
    /// IPv6 sockets.
    Inet6,
    /// IPv6 sockets that are no streams.
    Inet6Datagram,
    /// Unix sockets.
    Unix,
}

impl Sockets {
    /// Whether sockets of this family and kind are meant.
    ///
    /// ```
    /// use hythe_net::{Domain, Kind, option::Sockets};
    ///
    /// assert!(Sockets::Tcp.include(Domain::INET6, Kind::STREAM));
    /// assert!(!Sockets::Tcp.include(Domain::UNIX, Kind::STREAM));
    /// ```
    pub fn include(self, domain: Domain, kind: Kind) -> bool {
        let stream = kind == Kind::STREAM;
        let internet = domain == Domain::INET || domain == Domain::INET6;
        match self {
            Self::Any => true,
            Self::Internet => internet,
            Self::Tcp => internet && stream,
            Self::Inet => domain == Domain::INET,
            Self::InetDatagram => domain == Domain::INET && !stream,
            Self::Inet6 => domain == Domain::INET6,
            Self::Inet6Datagram => domain == Domain::INET6 && !stream,
            Self::Unix => domain == Domain::UNIX,
        }
    }
}
