//! [`Watch`]: when a descriptor of any kind can be read.

use std::future::poll_fn;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::task::{Context, Poll};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::Input;
use crate::mux::{Interest, Ready};
use crate::reactor::{self, Moved, Registration};

/// Waits in the reactor until a descriptor can be read: a pipe, a terminal, a
/// process (`pidfd_open(2)`). How it is read is the owner's business; it may
/// be blocking, and be shared with other processes.
///
/// ```
/// use hythe_net::{Input, Reactor, Watch, mux::Epoll};
/// use std::io::Write;
///
/// # fn main() -> std::io::Result<()> {
/// Reactor::new(Epoll::edge()?)?.block_on(async {
///     let (reading, mut writing) = std::io::pipe()?;
///     let watch = Watch::new(reading.into())?;
///     writing.write_all(b"hello")?;
///     assert_eq!(watch.input().await?, Input::Ready);
///     Ok(())
/// })?
/// # }
/// ```
#[derive(Debug)]
pub struct Watch {
    // Dropped first, since it must end before the descriptor is closed.
    registration: Registration,
    fd: OwnedFd,
}

impl Watch {
    /// Takes a descriptor into the reactor of this thread.
    ///
    /// # Errors
    /// The multiplexer refuses it: `epoll(7)` has `PermissionDenied` for
    /// regular files and devices that can always be read.
    ///
    /// # Panics
    /// Outside of [`Reactor::block_on`](crate::Reactor::block_on).
    pub fn new(fd: OwnedFd) -> io::Result<Self> {
        let registration = Registration::new(fd.as_fd(), Ready::READ)?;
        Ok(Self { registration, fd })
    }

    /// Waits until it can be read, if only to find its end; or until the server
    /// around it is asked to stop.
    ///
    /// # Errors
    /// The kernel's own.
    pub async fn input(&self) -> io::Result<Input> {
        poll_fn(|context| {
            if reactor::stopping() {
                return Poll::Ready(Ok(Input::Stopping));
            }
            self.poll_readable(context).map_ok(|()| Input::Ready)
        })
        .await
    }

    /// As [`input`](Self::input), whoever is asked to stop.
    ///
    /// # Errors
    /// The kernel's own.
    pub async fn readable(&self) -> io::Result<()> {
        poll_fn(|context| self.poll_readable(context)).await
    }

    fn poll_readable(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let look = || match is_readable(self.fd.as_fd())? {
            true => Ok(Moved { bytes: 0, asked: 0 }),
            false => Err(io::ErrorKind::WouldBlock.into()),
        };
        let ready = self.registration.poll_io(context, Interest::READ, look);
        ready.map_ok(drop)
    }
}

/// One whose reading would block may have been read by somebody else, whatever
/// is remembered of it.
fn is_readable(fd: BorrowedFd<'_>) -> io::Result<bool> {
    let now = Timespec::default();
    let mut asked = [PollFd::new(&fd, PollFlags::IN)];
    Ok(poll(&mut asked, Some(&now))? > 0)
}

impl AsFd for Watch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
