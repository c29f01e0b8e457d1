//! Models: who runs the handlers.

use std::io;
use std::num::NonZeroUsize;
use std::str::FromStr;
use std::thread;

use crate::mux::{Epoll, Mux, Poll, Select};

/// Who runs the handlers: the only difference between kinds of server.
///
/// A handler is the same `async fn` under each. Where it has a thread or a
/// process to itself, that runs a reactor with nothing else in it: waiting there
/// is one `poll(2)` on the one or two descriptors of the session, which is
/// what a blocking socket with a timeout would do, and the deadlines hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Model {
    /// The accepting thread, one connection after another.
    Sequential,
    /// A thread for each connection, up to `max`; further connections wait in
    /// the listener's backlog.
    Threads {
        /// How many threads at most.
        max: usize,
    },
    /// A process for each connection, up to `max`; further connections wait
    /// in the listener's backlog. What a handler changes in memory stays in
    /// its own process, and if that dies, no other connection does: `SIGTERM`
    /// to it ends it alone. It ignores `SIGINT`, which Ctrl-C sends to all.
    ///
    /// [`Server::serve`](super::Server::serve) refuses this where the process
    /// has threads: they would be missing in the copies, and their locks not.
    Forks {
        /// How many processes at most.
        max: usize,
    },
    /// One event loop for all connections.
    Events {
        /// How it waits.
        mux: MuxKind,
    },
    /// An event loop per core, each with its own listener on the same port
    /// (`SO_REUSEPORT`).
    Cores {
        /// How many loops.
        count: usize,
        /// How each waits.
        mux: MuxKind,
    },
}

impl Model {
    /// [`Model::Cores`] with a loop for each core this process may use, on
    /// edge-triggered epoll: the default.
    pub fn cores() -> Self {
        let count = thread::available_parallelism().map_or(1, NonZeroUsize::get);
        Self::Cores {
            count,
            mux: MuxKind::EpollEdge,
        }
    }

    /// How many event loops accept connections.
    pub(crate) fn loops(self) -> usize {
        match self {
            Self::Cores { count, .. } => count.max(1),
            _ => 1,
        }
    }

    /// How many handlers of one loop run at a time. The limit on connections
    /// is another matter: whom that one stops is refused and does not wait.
    pub(crate) fn slots(self) -> usize {
        match self {
            Self::Sequential => 1,
            Self::Threads { max } | Self::Forks { max } => max.max(1),
            Self::Events { .. } | Self::Cores { .. } => usize::MAX,
        }
    }

    /// How the accepting loops wait.
    pub(crate) fn mux(self) -> MuxKind {
        match self {
            Self::Events { mux } | Self::Cores { mux, .. } => mux,
            Self::Sequential | Self::Threads { .. } | Self::Forks { .. } => MuxKind::Poll,
        }
    }
}

/// The multiplexers by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MuxKind {
    /// `select(2)`: for descriptors up to 1,023, which does for several
    /// hundred connections.
    Select,
    /// `poll(2)`.
    Poll,
    /// `epoll(7)`, level-triggered.
    EpollLevel,
    /// `epoll(7)`, edge-triggered.
    EpollEdge,
}

impl MuxKind {
    /// How many descriptor numbers it can watch, where that is limited.
    pub(crate) fn reach(self) -> Option<u64> {
        match self {
            Self::Select => Some(Select::DESCRIPTORS),
            Self::Poll | Self::EpollLevel | Self::EpollEdge => None,
        }
    }

    /// Makes one.
    ///
    /// # Errors
    /// No descriptor is left.
    pub fn open(self) -> io::Result<Box<dyn Mux>> {
        Ok(match self {
            Self::Select => Box::new(Select::new()),
            Self::Poll => Box::new(Poll::new()),
            Self::EpollLevel => Box::new(Epoll::level()?),
            Self::EpollEdge => Box::new(Epoll::edge()?),
        })
    }
}

impl FromStr for MuxKind {
    type Err = io::Error;

    fn from_str(name: &str) -> io::Result<Self> {
        match name {
            "select" => Ok(Self::Select),
            "poll" => Ok(Self::Poll),
            "epoll-level" => Ok(Self::EpollLevel),
            "epoll-edge" => Ok(Self::EpollEdge),
            _ => Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!(
                    "no multiplexer `{name}`; there are select, poll, epoll-level and epoll-edge"
                ),
            )),
        }
    }
}
