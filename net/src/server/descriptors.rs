//! How many descriptors the process may have open: two or three for each
//! connection, so that the usual 1,024 do for a few hundred. Some are kept
//! for those who are inside already.

use std::io;
use std::os::fd::{AsFd, AsRawFd};

use rustix::io::fcntl_dupfd_cloexec;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::sys;

/// Raises the number of descriptors this process may have open to the most it
/// may allow itself (`RLIMIT_NOFILE` of `getrlimit(2)`: the soft limit to the
/// hard one), and returns it. The soft limit is that low by default for the
/// sake of programs that use `select(2)`, which knows none beyond 1,023.
///
/// # Errors
/// The kernel's own; the limit is as it was then.
///
/// ```
/// # fn main() -> std::io::Result<()> {
/// let limit = hythe_net::raise_descriptor_limit()?;
/// assert_eq!(hythe_net::raise_descriptor_limit()?, limit);
/// # Ok(()) }
/// ```
pub fn raise_descriptor_limit() -> io::Result<u64> {
    let hard = getrlimit(Resource::Nofile).maximum;
    setrlimit(
        Resource::Nofile,
        Rlimit {
            current: hard,
            maximum: hard,
        },
    )?;
    // "None" is no limit, which Linux does not know for this resource.
    Ok(hard.unwrap_or(u64::MAX))
}

/// Has programs that are started from here on inherit nothing but their
/// standard streams, also of what this process itself was given open by whoever
/// started it. What it opens is close-on-exec anyway.
///
/// # Errors
/// `Unsupported` before Linux 5.11, and the kernel's own.
///
/// ```
/// # fn main() -> std::io::Result<()> {
/// hythe_net::bequeath_nothing()?;
/// # Ok(()) }
/// ```
pub fn bequeath_nothing() -> io::Result<()> {
    sys::close_on_exec_from(3).map_err(|error| match error.raw_os_error() {
        Some(libc::ENOSYS | libc::EINVAL) => io::ErrorKind::Unsupported.into(),
        _ => error,
    })
}

/// Handlers open files, and some of them further connections. A crowd that
/// took every descriptor would only learn that none is left for that.
///
/// The kernel gives out the lowest number that is free, so that a high one
/// tells how many are in use.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reserve {
    /// The first number that is not for connections.
    begin: u64,
}

impl Reserve {
    /// The part of the limit that is kept: with a half, each connection can
    /// have a file.
    const PART: u64 = 2;
    /// More than this is not kept: few of many connections need more than
    /// their own descriptor at the same moment.
    const MOST: u64 = 256;

    /// The reserve under the limit as it is now.
    pub(crate) fn now() -> Self {
        Self::under(getrlimit(Resource::Nofile).current)
    }

    /// The reserve under a limit; without one there is none.
    pub(crate) fn under(limit: Option<u64>) -> Self {
        let limit = limit.unwrap_or(u64::MAX);
        Self {
            begin: limit - (limit / Self::PART).min(Self::MOST),
        }
    }

    /// Whether a descriptor just opened is of the reserve.
    pub(crate) fn has(self, fd: impl AsFd) -> bool {
        u64::try_from(fd.as_fd().as_raw_fd()).is_ok_and(|number| number >= self.begin)
    }

    /// Whether the next descriptor would be of the reserve, or there is none:
    /// found out by a copy of `fd`.
    pub(crate) fn is_next(self, fd: impl AsFd) -> bool {
        fcntl_dupfd_cloexec(fd, 0).map_or(true, |copy| self.has(copy))
    }
}
