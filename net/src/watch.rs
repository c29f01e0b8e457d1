//! [`Watch`]: when a descriptor of any kind can be read or written.

use std::future::poll_fn;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::task::{Context, Poll};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::Input;
use crate::mux::{Interest, Ready};
use crate::reactor::{self, Moved, Registration};

/// Waits in the reactor until a descriptor can be read or written: a pipe, a
/// terminal, a process (`pidfd_open(2)`). How it is read is the owner's business; it may
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

    /// Waits until it can be written, if only to find that nobody reads it any
    /// more. One that is blocking may still block when it is given more than it
    /// has room for.
    ///
    /// # Errors
    /// The kernel's own.
    ///
    /// ```
    /// use hythe_net::{Reactor, Watch, mux::Epoll, reactor::spawn};
    /// use std::io::{Read as _, Write as _};
    /// use std::os::fd::AsFd as _;
    ///
    /// # fn main() -> std::io::Result<()> {
    /// Reactor::new(Epoll::edge()?)?.block_on(async {
    ///     let (mut reading, mut writing) = std::io::pipe()?;
    ///     let watch = Watch::new(writing.as_fd().try_clone_to_owned()?)?;
    ///     writing.write_all(&[0; 65536])?;
    ///     // It is full, until somebody reads.
    ///     spawn(async move { reading.read_exact(&mut [0; 65536]).unwrap_or_default() });
    ///     watch.writable().await
    /// })?
    /// # }
    /// ```
    pub async fn writable(&self) -> io::Result<()> {
        poll_fn(|context| self.poll_for(context, Interest::WRITE, PollFlags::OUT)).await
    }

    fn poll_readable(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_for(context, Interest::READ, PollFlags::IN)
    }

    fn poll_for(
        &self,
        context: &mut Context<'_>,
        interest: Interest,
        wanted: PollFlags,
    ) -> Poll<io::Result<()>> {
        let look = || match is_ready(self.fd.as_fd(), wanted)? {
            true => Ok(Moved { bytes: 0, asked: 0 }),
            false => Err(io::ErrorKind::WouldBlock.into()),
        };
        let ready = self.registration.poll_io(context, interest, look);
        ready.map_ok(drop)
    }
}

/// One whose reading would block may have been read by somebody else, whatever
/// is remembered of it.
fn is_ready(fd: BorrowedFd<'_>, wanted: PollFlags) -> io::Result<bool> {
    let now = Timespec::default();
    let mut asked = [PollFd::new(&fd, wanted)];
    Ok(poll(&mut asked, Some(&now))? > 0)
}

impl AsFd for Watch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
