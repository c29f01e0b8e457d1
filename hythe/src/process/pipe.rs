//! Pipes to and from a program: our end waits in the reactor, the program's is
//! like any other.

use std::io::{self, PipeReader, PipeWriter};
use std::os::fd::OwnedFd;

use hythe_net::Watch;
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::io::Errno;

/// Our end of what a program reads.
#[derive(Debug)]
pub(crate) struct Intake(Watch);

/// Our end of what a program writes.
#[derive(Debug)]
pub(crate) struct Outlet(Watch);

/// A pipe to a program: our end, and the program's.
pub(crate) fn pipe_to() -> io::Result<(Intake, PipeReader)> {
    let (theirs, ours) = io::pipe()?;
    Ok((Intake(watch(ours.into())?), theirs))
}

/// A pipe from a program: our end, and the program's.
pub(crate) fn pipe_from() -> io::Result<(Outlet, PipeWriter)> {
    let (ours, theirs) = io::pipe()?;
    Ok((Outlet(watch(ours.into())?), theirs))
}

/// The two ends do not share this: the program's stays blocking.
fn watch(fd: OwnedFd) -> io::Result<Watch> {
    fcntl_setfl(&fd, fcntl_getfl(&fd)? | OFlags::NONBLOCK)?;
    Watch::new(fd)
}

impl Intake {
    /// Writes all of it, at the pace of the program.
    ///
    /// # Errors
    /// `BrokenPipe` when the program reads no more.
    pub(crate) async fn write_all(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            self.0.writable().await?;
            match rustix::io::write(&self.0, bytes) {
                Ok(count) => bytes = &bytes[count..],
                Err(Errno::AGAIN | Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        Ok(())
    }
}

impl Outlet {
    /// Reads some; 0 is the end.
    pub(crate) async fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            self.0.readable().await?;
            if let Some(count) = self.read_now(buffer)? {
                return Ok(count);
            }
        }
    }

    /// Reads what is there; `None` if nothing is yet, 0 is the end.
    pub(crate) fn read_now(&self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        loop {
            return match rustix::io::read(&self.0, &mut *buffer) {
                Ok(count) => Ok(Some(count)),
                Err(Errno::INTR) => continue,
                Err(Errno::AGAIN) => Ok(None),
                Err(errno) => Err(errno.into()),
            };
        }
    }
}
