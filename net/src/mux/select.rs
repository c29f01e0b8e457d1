//! `select(2)`: three sets of bits, a bit for each descriptor number. The
//! oldest multiplexer, and the one that every system has.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::time::{Duration, Instant};

use super::registry::Registry;
use super::{Event, Interest, Mux, Token, Trigger, poll};
use crate::sys::{self, FdSet};

/// The `select(2)` multiplexer.
///
/// It watches descriptors up to 1,023 only, for that is how many bits POSIX
/// gives a set, and a wait looks through all of them. In exchange it is what
/// the oldest programs and books use, and easy to see through.
///
/// The kernel's answer has three words: readable, writable, urgent. An error
/// or a hang-up reads as the first two. To name them as the other
/// multiplexers do, those who are ready are put to `poll(2)` once more.
///
/// Hence, unlike with the others, who asks for [`Interest::PRIORITY`] alone is
/// not told of an error or a hang-up: the third word does not cover them, and
/// to ask for the first would report plain data, which nobody wants, again and
/// again. Ask for [`Interest::READ`] too.
#[derive(Debug, Default)]
pub struct Select {
    registry: Registry,
    asked: Sets,
    /// For each descriptor number its token and what is asked.
    watched: Vec<Option<(Token, Interest)>>,
    /// Who is ready, as `poll(2)` takes and gives it.
    ready: Vec<libc::pollfd>,
}

/// What `select(2)` is given, and what it gives back.
#[derive(Clone, Debug, Default)]
struct Sets {
    readable: FdSet,
    writable: FdSet,
    urgent: FdSet,
}

impl Sets {
    fn set(&mut self, fd: RawFd, interest: Interest) {
        self.readable.set(fd, interest.contains(Interest::READ));
        self.writable.set(fd, interest.contains(Interest::WRITE));
        self.urgent.set(fd, interest.contains(Interest::PRIORITY));
    }

    fn has(&self, fd: RawFd) -> bool {
        self.readable.has(fd) || self.writable.has(fd) || self.urgent.has(fd)
    }
}

impl Select {
    /// How many descriptor numbers there are for it: 0 to 1,023
    /// (`FD_SETSIZE`).
    pub const DESCRIPTORS: u64 = FdSet::SIZE as u64;

    /// An empty set.
    pub fn new() -> Self {
        Self::default()
    }

    fn set_interest(&mut self, token: Token, fd: RawFd, interest: Interest) {
        let place = fd as usize;
        if place >= self.watched.len() {
            self.watched.resize(place + 1, None);
        }
        self.watched[place] = Some((token, interest));
        self.asked.set(fd, interest);
    }

    /// Asks `poll(2)`, without waiting, what is so about all descriptors that
    /// are in `among`, and appends it to `events`; false if it was nothing.
    fn report(&mut self, among: &Sets, events: &mut Vec<Event>) -> io::Result<bool> {
        let before = events.len();
        self.ready.clear();
        for (fd, watched) in (0..).zip(&self.watched) {
            if let Some((_, interest)) = watched
                && among.has(fd)
            {
                self.ready.push(poll::entry(fd, *interest));
            }
        }
        sys::poll(&mut self.ready, Some(Duration::ZERO))?;
        for entry in &self.ready {
            if entry.revents & libc::POLLNVAL != 0 {
                // Closed without having been removed: from now on it is passed
                // over, as the other multiplexers do.
                self.asked.set(entry.fd, Interest::NONE);
            } else if entry.revents != 0
                && let Some((token, _)) = self.watched[entry.fd as usize]
            {
                let ready = poll::ready(entry.revents);
                events.push(Event { token, ready });
            }
        }
        Ok(events.len() > before)
    }
}

impl Mux for Select {
    fn add(&mut self, fd: BorrowedFd<'_>, interest: Interest) -> io::Result<Token> {
        let number = fd.as_raw_fd();
        if number as u64 >= Self::DESCRIPTORS {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!(
                    "descriptor {number} is beyond select(2), whose sets end at {}: use poll or epoll",
                    Self::DESCRIPTORS - 1
                ),
            ));
        }
        let token = self.registry.insert(fd, interest)?;
        self.set_interest(token, number, interest);
        Ok(token)
    }

    fn modify(&mut self, token: Token, interest: Interest) -> io::Result<()> {
        let watched = self.registry.watched(token)?;
        watched.interest = interest;
        let fd = watched.fd;
        self.set_interest(token, fd, interest);
        Ok(())
    }

    fn remove(&mut self, token: Token) -> io::Result<()> {
        let fd = self.registry.remove(token)?.fd;
        self.watched[fd as usize] = None;
        self.asked.set(fd, Interest::NONE);
        Ok(())
    }

    fn wait(&mut self, events: &mut Vec<Event>, timeout: Option<Duration>) -> io::Result<()> {
        let until = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let mut left = timeout;
        loop {
            // The kernel strikes out who is not ready, so it is given a copy.
            let mut sets = self.asked.clone();
            match sys::select(
                self.watched.len(),
                [&mut sets.readable, &mut sets.writable, &mut sets.urgent],
                left,
            ) {
                Ok(0) => return Ok(()),
                Ok(_) if self.report(&sets, events)? => return Ok(()),
                // One of them was closed, and only `poll(2)` says which.
                Err(error) if error.raw_os_error() == Some(libc::EBADF) => {
                    let all = self.asked.clone();
                    if self.report(&all, events)? {
                        return Ok(());
                    }
                }
                Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
                _ => {}
            }
            left = until.map(|until| until.saturating_duration_since(Instant::now()));
        }
    }

    fn trigger(&self) -> Trigger {
        Trigger::Level
    }
}
