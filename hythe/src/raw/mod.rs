//! Raw sockets for people: bytes from here to there, with nothing in between
//! that a protocol would add.
//!
//! ```text
//!   standard input ──► converse ──► Channel ──► peer       connect, listen
//!   standard output ◄──────┘  └────◄───┘
//!
//!   Server ──► Offer ──► Program    a process for each connection
//!               (TLS)    Service    echo, discard, chargen, daytime, time
//!                        Chat       what one says, all others hear
//! ```
//!
//! Not here: what was typed on the command line, and how addresses are found.

mod chat;
mod converse;
mod datagrams;
pub mod files;
mod lines;
mod offer;
mod program;
mod service;
mod standard;
mod stillness;

use std::fmt;
use std::io;
use std::time::Duration;

use hythe_net::Socket;
use hythe_net::option::{KeepAlive, KeepCount, KeepIdle, KeepInterval};

pub use crate::process::GRACE;
use crate::visible::without_number;

pub use chat::{Chat, LONGEST_LINE, Leaving, Lines, MOST_WAITING, Member, Room};
pub use converse::{Ended, Manner, converse};
pub use datagrams::{Audience, exchange};
pub use offer::{Offer, Talk};
pub use program::{Program, ProgramError};
pub use service::{Answers, Service};
pub use standard::{Input, Output};

/// Why a conversation broke off: which end of it, and the system's reason.
#[derive(Debug)]
pub enum Error {
    /// The peer was lost.
    Peer(io::Error),
    /// The peer has ended before it took all of standard input.
    Unsent(io::Error),
    /// Nothing moved for so long.
    Idle(Duration),
    /// Nobody listens for datagrams there.
    Nobody,
    /// Standard input can't be read.
    Input(io::Error),
    /// Standard output can't be written.
    Output(io::Error),
}

impl Error {
    /// How a peer was lost.
    fn describe_lost(error: &io::Error, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => f.write_str(
                "the connection was cut without an end of TLS; something may be missing",
            ),
            _ => write!(f, "the connection was lost: {}", without_number(error)),
        }
    }

    /// Whether whoever reads standard output has seen enough.
    pub fn is_enough(&self) -> bool {
        matches!(self, Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Peer(error) => Self::describe_lost(error, f),
            Self::Unsent(error) => write!(
                f,
                "the peer takes no more, and some of standard input was not sent: {}",
                without_number(error)
            ),
            Self::Idle(idle) => {
                write!(f, "nothing has moved for {} s; see --idle", idle.as_secs())
            }
            Self::Nobody => f.write_str("refused: nobody listens there for datagrams"),
            Self::Input(error) => {
                write!(f, "cannot read standard input: {}", without_number(error))
            }
            Self::Output(error) => {
                write!(f, "cannot write standard output: {}", without_number(error))
            }
        }
    }
}

impl std::error::Error for Error {}

/// Has the kernel find out when a peer is gone without a word, as when it loses
/// its power: a connection may be silent for long, and is not meant to be kept
/// for ever.
pub fn keep_alive(socket: &Socket) {
    // Of these, Unix sockets know nothing, and need nothing.
    socket.set(KeepAlive(true)).ok();
    socket.set(KeepIdle(Duration::from_secs(60))).ok();
    socket.set(KeepInterval(Duration::from_secs(15))).ok();
    socket.set(KeepCount(4)).ok();
}
