//! Which descriptors a multiplexer watches: the bookkeeping that every
//! back-end shares.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};

use super::{Interest, Token};

/// The registrations of one multiplexer, by token and by descriptor.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    slots: Vec<Slot>,
    free: Vec<u32>,
    /// For each descriptor number the slot that watches it, or `NOBODY`.
    by_fd: Vec<u32>,
}

const NOBODY: u32 = u32::MAX;

#[derive(Debug)]
struct Slot {
    generation: u32,
    watched: Option<Watched>,
}

/// One watched descriptor.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Watched {
    pub(crate) fd: RawFd,
    pub(crate) interest: Interest,
}

impl Registry {
    /// Takes in a descriptor. Its number must be free here, even if the kernel
    /// has given it out anew meanwhile: not every back-end can tell.
    pub(crate) fn insert(&mut self, fd: BorrowedFd<'_>, interest: Interest) -> io::Result<Token> {
        let number = fd.as_raw_fd();
        let place = number as usize;
        if place >= self.by_fd.len() {
            self.by_fd.resize(place + 1, NOBODY);
        }
        if self.by_fd[place] != NOBODY {
            return Err(io::Error::new(
                io::ErrorKind::AlreadyExists,
                "the descriptor is watched already",
            ));
        }
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot {
                generation: 0,
                watched: None,
            });
            (self.slots.len() - 1) as u32
        });
        self.by_fd[place] = index;
        let slot = &mut self.slots[index as usize];
        slot.watched = Some(Watched {
            fd: number,
            interest,
        });
        Ok(Token::new(index, slot.generation))
    }

    /// The registration of a token that is still valid.
    pub(crate) fn watched(&mut self, token: Token) -> io::Result<&mut Watched> {
        self.slots
            .get_mut(token.index())
            .filter(|slot| Token::new(token.index() as u32, slot.generation) == token)
            .and_then(|slot| slot.watched.as_mut())
            .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "the token was removed"))
    }

    /// All registrations.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Token, Watched)> {
        self.slots.iter().enumerate().filter_map(|(index, slot)| {
            let token = Token::new(index as u32, slot.generation);
            slot.watched.map(|watched| (token, watched))
        })
    }

    /// Whether events of this token should still be told.
    pub(crate) fn is_current(&mut self, token: Token) -> bool {
        self.watched(token).is_ok()
    }

    /// Ends a registration; its token is never valid again (before 2³² more
    /// in the same place).
    pub(crate) fn remove(&mut self, token: Token) -> io::Result<Watched> {
        let watched = *self.watched(token)?;
        let slot = &mut self.slots[token.index()];
        slot.watched = None;
        slot.generation = slot.generation.wrapping_add(1);
        self.free.push(token.index() as u32);
        self.by_fd[watched.fd as usize] = NOBODY;
        Ok(watched)
    }
}
