//! `poll(2)`: the whole set is handed to the kernel at every wait.

use std::io;
use std::os::fd::{BorrowedFd, RawFd};
use std::time::{Duration, Instant};

use super::registry::Registry;
use super::{Event, Interest, Mux, Ready, Token, Trigger};
use crate::sys;

/// The `poll(2)` multiplexer. It needs no descriptor of its own, which makes
/// it the cheapest for a handful of them.
#[derive(Debug, Default)]
pub struct Poll {
    registry: Registry,
    /// What the kernel is given: at each token's index its descriptor, or -1,
    /// which the kernel passes over.
    set: Vec<libc::pollfd>,
    tokens: Vec<Option<Token>>,
}

/// A descriptor number that `poll(2)` passes over.
const NONE: RawFd = -1;

impl Poll {
    /// An empty set.
    pub fn new() -> Self {
        Self::default()
    }

    /// Tells what the kernel reported of `count` descriptors; false if it was
    /// nothing that anybody should hear of.
    fn report(&mut self, count: usize, events: &mut Vec<Event>) -> bool {
        let before = events.len();
        let answers = self.set.iter_mut().zip(&self.tokens);
        for (entry, token) in answers.filter(|(entry, _)| entry.revents != 0).take(count) {
            if entry.revents & libc::POLLNVAL != 0 {
                // Closed without having been removed. To say so at every wait
                // would help nobody; epoll forgets such descriptors as well.
                entry.fd = NONE;
            } else if let Some(token) = *token {
                let ready = ready(entry.revents);
                events.push(Event { token, ready });
            }
        }
        events.len() > before
    }

    fn set_interest(&mut self, token: Token, fd: RawFd, interest: Interest) {
        let index = token.index();
        if index >= self.set.len() {
            self.set.resize(index + 1, entry(NONE, Interest::NONE));
            self.tokens.resize(index + 1, None);
        }
        let fd = if interest.is_empty() { NONE } else { fd };
        self.set[index] = entry(fd, interest);
        self.tokens[index] = Some(token);
    }
}

impl Mux for Poll {
    fn add(&mut self, fd: BorrowedFd<'_>, interest: Interest) -> io::Result<Token> {
        let token = self.registry.insert(fd, interest)?;
        let number = self.registry.watched(token)?.fd;
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
        self.registry.remove(token)?;
        self.set[token.index()].fd = NONE;
        self.tokens[token.index()] = None;
        Ok(())
    }

    fn wait(&mut self, events: &mut Vec<Event>, timeout: Option<Duration>) -> io::Result<()> {
        let until = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let mut left = timeout;
        loop {
            match sys::poll(&mut self.set, left) {
                Ok(0) => return Ok(()),
                Ok(count) if self.report(count, events) => return Ok(()),
                Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
                _ => left = until.map(|until| until.saturating_duration_since(Instant::now())),
            }
        }
    }

    fn trigger(&self) -> Trigger {
        Trigger::Level
    }
}

/// What the kernel is to be asked about `fd`.
pub(super) fn entry(fd: RawFd, interest: Interest) -> libc::pollfd {
    let mut events = 0;
    for (asked, flag) in [
        (Interest::READ, libc::POLLIN | libc::POLLRDHUP),
        (Interest::WRITE, libc::POLLOUT),
        (Interest::PRIORITY, libc::POLLPRI),
    ] {
        if interest.contains(asked) {
            events |= flag;
        }
    }
    libc::pollfd {
        fd,
        events,
        revents: 0,
    }
}

/// What the kernel's answer means.
pub(super) fn ready(flags: i16) -> Ready {
    let gone = libc::POLLHUP | libc::POLLERR;
    let mut ready = Ready::NONE;
    for (any_of, what) in [
        (libc::POLLIN | libc::POLLRDHUP | gone, Ready::READ),
        (libc::POLLOUT | gone, Ready::WRITE),
        (libc::POLLPRI, Ready::PRIORITY),
        (libc::POLLERR, Ready::ERROR),
        (libc::POLLHUP | libc::POLLRDHUP, Ready::HANGUP),
    ] {
        if flags & any_of != 0 {
            ready = ready | what;
        }
    }
    ready
}
