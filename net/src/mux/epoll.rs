//! `epoll(7)`: the kernel keeps the set, and a wait costs only what is ready.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};

use super::registry::Registry;
use super::{Event, Interest, Mux, Ready, Token, Trigger};
use crate::sys;

/// How many events one wait takes at most. Enough that the call's own cost
/// disappears, few enough that no wave of events delays timers for long.
const EVENTS_PER_WAIT: usize = 256;

/// The `epoll(7)` multiplexer.
pub struct Epoll {
    epoll: OwnedFd,
    registry: Registry,
    trigger: Trigger,
    events: Vec<epoll::Event>,
}

impl Epoll {
    /// One that reports a descriptor as long as it is ready.
    ///
    /// # Errors
    /// No descriptor is left.
    pub fn level() -> io::Result<Self> {
        Self::new(Trigger::Level)
    }

    /// One that reports a descriptor each time it becomes ready
    /// (`EPOLLET`). Who uses it must read and write until `WouldBlock`.
    ///
    /// # Errors
    /// No descriptor is left.
    pub fn edge() -> io::Result<Self> {
        Self::new(Trigger::Edge)
    }

    fn new(trigger: Trigger) -> io::Result<Self> {
        Ok(Self {
            epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?,
            registry: Registry::default(),
            trigger,
            events: Vec::with_capacity(EVENTS_PER_WAIT),
        })
    }

    fn control(&self, operation: i32, fd: RawFd, events: u32, token: Token) -> io::Result<()> {
        sys::epoll_control(self.epoll.as_fd(), operation, fd, events, token.0)
    }

    /// Tells what the kernel reported; false if it was nothing that anybody
    /// should still hear of.
    fn report(&mut self, events: &mut Vec<Event>) -> io::Result<bool> {
        let before = events.len();
        for event in &self.events {
            let (flags, token) = (event.flags, Token(event.data.u64()));
            if self.registry.is_current(token) {
                let ready = ready(flags);
                events.push(Event { token, ready });
            }
        }
        let told = events.len() - before;
        if told < self.events.len() {
            self.start_over()?;
        }
        Ok(told > 0)
    }

    /// Moves everything to a new set. The kernel watches open files and not
    /// descriptors (`epoll(7)`, questions and answers): one that was closed
    /// while a duplicate of it lives on is still reported, and can no longer
    /// be removed, for there is no descriptor to name it by.
    fn start_over(&mut self) -> io::Result<()> {
        self.epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        for (token, watched) in self.registry.iter() {
            let flags = self.flags(watched.interest);
            if watched.interest.is_empty() {
                continue;
            }
            match self.control(libc::EPOLL_CTL_ADD, watched.fd, flags, token) {
                // Closed and not removed yet: its number is free or another's.
                Err(error) if matches!(error.raw_os_error(), Some(libc::EBADF | libc::EPERM)) => {}
                result => result?,
            }
        }
        Ok(())
    }

    fn flags(&self, interest: Interest) -> u32 {
        let mut flags = epoll::EventFlags::empty();
        flags.set(epoll::EventFlags::ET, self.trigger == Trigger::Edge);
        flags.set(
            epoll::EventFlags::IN | epoll::EventFlags::RDHUP,
            interest.contains(Interest::READ),
        );
        flags.set(epoll::EventFlags::OUT, interest.contains(Interest::WRITE));
        flags.set(
            epoll::EventFlags::PRI,
            interest.contains(Interest::PRIORITY),
        );
        flags.bits()
    }
}

impl Mux for Epoll {
    fn add(&mut self, fd: BorrowedFd<'_>, interest: Interest) -> io::Result<Token> {
        let token = self.registry.insert(fd, interest)?;
        let events = self.flags(interest);
        if let Err(error) = self.control(libc::EPOLL_CTL_ADD, fd.as_raw_fd(), events, token) {
            self.registry.remove(token)?;
            return Err(error);
        }
        if interest.is_empty() {
            self.control(libc::EPOLL_CTL_DEL, fd.as_raw_fd(), 0, token)?;
        }
        Ok(token)
    }

    fn modify(&mut self, token: Token, interest: Interest) -> io::Result<()> {
        let watched = self.registry.watched(token)?;
        // What nothing is asked about leaves the kernel's set, since epoll
        // would go on to report its errors and hang-ups.
        let operation = match (watched.interest.is_empty(), interest.is_empty()) {
            (true, true) => return Ok(()),
            (true, false) => libc::EPOLL_CTL_ADD,
            (false, true) => libc::EPOLL_CTL_DEL,
            (false, false) => libc::EPOLL_CTL_MOD,
        };
        let fd = watched.fd;
        self.control(operation, fd, self.flags(interest), token)?;
        self.registry.watched(token)?.interest = interest;
        Ok(())
    }

    fn remove(&mut self, token: Token) -> io::Result<()> {
        let watched = self.registry.remove(token)?;
        if watched.interest.is_empty() {
            return Ok(());
        }
        match self.control(libc::EPOLL_CTL_DEL, watched.fd, 0, token) {
            // Closed before it was removed, its number free (EBADF) or in use
            // for another file (ENOENT, EPERM): the kernel forgot it by itself.
            Err(error)
                if matches!(
                    error.raw_os_error(),
                    Some(libc::EBADF | libc::ENOENT | libc::EPERM)
                ) =>
            {
                Ok(())
            }
            result => result,
        }
    }

    fn wait(&mut self, events: &mut Vec<Event>, timeout: Option<Duration>) -> io::Result<()> {
        let until = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let mut left = timeout;
        loop {
            let timeout = left.and_then(|left| Timespec::try_from(left).ok());
            self.events.clear();
            match epoll::wait(
                &self.epoll,
                spare_capacity(&mut self.events),
                timeout.as_ref(),
            ) {
                Ok(0) => return Ok(()),
                Ok(_) if self.report(events)? => return Ok(()),
                Ok(_) | Err(rustix::io::Errno::INTR) => {
                    left = until.map(|until| until.saturating_duration_since(Instant::now()));
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn trigger(&self) -> Trigger {
        self.trigger
    }
}

impl fmt::Debug for Epoll {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Epoll")
            .field("trigger", &self.trigger)
            .field("registry", &self.registry)
            .finish_non_exhaustive()
    }
}

fn ready(flags: epoll::EventFlags) -> Ready {
    use epoll::EventFlags as Flags;
    let mut ready = Ready::NONE;
    let mut add = |any_of: Flags, what: Ready| {
        if flags.intersects(any_of) {
            ready = ready | what;
        }
    };
    add(
        Flags::IN | Flags::RDHUP | Flags::HUP | Flags::ERR,
        Ready::READ,
    );
    add(Flags::OUT | Flags::HUP | Flags::ERR, Ready::WRITE);
    add(Flags::PRI, Ready::PRIORITY);
    add(Flags::ERR, Ready::ERROR);
    add(Flags::HUP | Flags::RDHUP, Ready::HANGUP);
    ready
}
