//! Multiplexers: how one thread asks the kernel which of many descriptors are
//! ready.
//!
//! Every back-end is a [`Mux`]: [`add`](Mux::add) a descriptor and get a
//! [`Token`], [`modify`](Mux::modify) what is asked about it,
//! [`remove`](Mux::remove) it, and [`wait`](Mux::wait) for [`Event`]s. They
//! differ in what a wait costs and in what they report again:
//!
//! | back-end | one wait costs | reports |
//! |---|---|---|
//! | [`Select`] | all descriptor numbers up to the highest, 1,023 at most | as long as it is so (level) |
//! | [`Poll`] | all descriptors added | as long as it is so (level) |
//! | [`Epoll::level()`] | those that are ready | as long as it is so (level) |
//! | [`Epoll::edge()`] | those that are ready | when it becomes so (edge) |
//!
//! ```
//! use hythe_net::mux::{Epoll, Interest, Mux, Ready};
//! use std::{io::Write, os::fd::AsFd, os::unix::net::UnixStream, time::Duration};
//!
//! # fn main() -> std::io::Result<()> {
//! let (mut one, other) = UnixStream::pair()?;
//! let mut mux = Epoll::level()?;
//! let token = mux.add(other.as_fd(), Interest::READ)?;
//!
//! one.write_all(b"x")?;
//! let mut events = Vec::new();
//! mux.wait(&mut events, Some(Duration::from_secs(1)))?;
//! assert_eq!(events[0].token, token);
//! assert!(events[0].ready.contains(Ready::READ));
//! mux.remove(token)?;
//! # Ok(()) }
//! ```
//!
//! A multiplexer does not own the descriptors and never reads or writes them.
//! A [`Selector`] stands on any of them and does own what it watches, with
//! data of the caller's beside each, as Python's `selectors` module has it.

mod epoll;
mod poll;
mod registry;
mod select;
mod selector;

pub use epoll::Epoll;
pub use poll::Poll;
pub use select::Select;
pub use selector::{Key, Selector, Waker};

use std::fmt;
use std::io;
use std::ops::BitOr;
use std::os::fd::BorrowedFd;
use std::time::Duration;

/// Names one registration for its whole life. Half of it is a generation, so
/// that the token of a descriptor that was closed, and whose number the kernel
/// gave out again, is never reported for the newcomer.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Token(u64);

impl Token {
    pub(crate) fn new(index: u32, generation: u32) -> Self {
        Self(u64::from(generation) << 32 | u64::from(index))
    }

    /// A small number, unique among the registrations of one multiplexer at
    /// one time: an index for whoever keeps something beside each.
    pub fn index(self) -> usize {
        self.0 as u32 as usize
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token({}.{})", self.index(), self.0 >> 32)
    }
}

macro_rules! flags {
    ($name:ident) => {
        impl $name {
            /// Whether all flags of `other` are set here.
            pub fn contains(self, other: Self) -> bool {
                self.0 & other.0 == other.0
            }

            /// Whether any flag of `other` is set here.
            pub fn intersects(self, other: Self) -> bool {
                self.0 & other.0 != 0
            }

            /// Whether no flag is set.
            pub fn is_empty(self) -> bool {
                self.0 == 0
            }

            /// The flags set here but not in `other`.
            #[must_use]
            pub fn without(self, other: Self) -> Self {
                Self(self.0 & !other.0)
            }
        }

        impl BitOr for $name {
            type Output = Self;
            fn bitor(self, other: Self) -> Self {
                Self(self.0 | other.0)
            }
        }
    };
}

/// What to be told about a descriptor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Interest(u8);

impl Interest {
    /// Nothing, not even errors: the descriptor is set aside for a while.
    pub const NONE: Self = Self(0);
    /// That a read would not wait.
    pub const READ: Self = Self(1);
    /// That a write would not wait.
    pub const WRITE: Self = Self(2);
    /// That urgent data is there.
    pub const PRIORITY: Self = Self(4);
}

flags!(Interest);

/// What is so about a descriptor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ready(u8);

impl Ready {
    /// Nothing.
    pub const NONE: Self = Self(0);
    /// A read would not wait: data, the end of the stream, an error, or a
    /// connection to accept.
    pub const READ: Self = Self(1);
    /// A write would not wait.
    pub const WRITE: Self = Self(2);
    /// Urgent data is there.
    pub const PRIORITY: Self = Self(4);
    /// The descriptor has an error.
    pub const ERROR: Self = Self(8);
    /// The peer has ended its direction, or the connection is gone.
    pub const HANGUP: Self = Self(16);
}

flags!(Ready);

/// One answer of [`Mux::wait`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// Which registration.
    pub token: Token,
    /// What is so.
    pub ready: Ready,
}

/// When a multiplexer reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// At every wait for as long as the descriptor is ready.
    Level,
    /// Once for each time it becomes ready.
    Edge,
}

/// A set of descriptors to wait on together.
pub trait Mux {
    /// Starts to watch `fd`, which must stay open until it is removed; if it
    /// does not, nothing worse happens than that its events end.
    ///
    /// # Errors
    /// `AlreadyExists` if it is watched, or if its number was closed without
    /// having been removed; `EPERM` from epoll for a regular file;
    /// `InvalidInput` from select for a descriptor beyond 1,023.
    fn add(&mut self, fd: BorrowedFd<'_>, interest: Interest) -> io::Result<Token>;

    /// Changes what is asked about a descriptor.
    ///
    /// # Errors
    /// `NotFound` for a token that was removed.
    fn modify(&mut self, token: Token, interest: Interest) -> io::Result<()>;

    /// Stops watching. Works after the descriptor was closed, too.
    ///
    /// # Errors
    /// `NotFound` for a token that was removed.
    fn remove(&mut self, token: Token) -> io::Result<()>;

    /// Waits until a descriptor is ready or `timeout` has passed (`None` waits
    /// without end, zero not at all), and appends what is ready to `events`.
    /// Signals do not cut the wait short.
    ///
    /// # Errors
    /// The kernel's own; none is expected in a sound program.
    fn wait(&mut self, events: &mut Vec<Event>, timeout: Option<Duration>) -> io::Result<()>;

    /// When this one reports.
    fn trigger(&self) -> Trigger;
}

#[cfg(test)]
mod tests {
    use std::thread;
    use std::time::Instant;

    use super::*;
    use crate::sys::interrupt;

    #[test]
    fn a_signal_neither_cuts_a_wait_short_nor_begins_it_anew() {
        const TIME: Duration = Duration::from_millis(200);
        type Open = fn() -> Box<dyn Mux>;
        let all: [Open; 4] = [
            || Box::new(Select::new()),
            || Box::new(Poll::new()),
            || Box::new(Epoll::level().unwrap()),
            || Box::new(Epoll::edge().unwrap()),
        ];
        interrupt::prepare();
        for open in all {
            let waiting = thread::spawn(move || {
                let mut events = Vec::new();
                let begun = Instant::now();
                open().wait(&mut events, Some(TIME)).unwrap();
                (events, begun.elapsed())
            });
            let begun = Instant::now();
            while !waiting.is_finished() {
                // A wait that began anew each time would never end.
                assert!(begun.elapsed() < 50 * TIME);
                interrupt::send(&waiting);
                thread::sleep(TIME / 20);
            }
            let (events, took) = waiting.join().unwrap();
            assert!(events.is_empty() && took >= TIME, "{took:?}");
        }
    }
}
