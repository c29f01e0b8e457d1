//! What a thread of the pool does for a stream in one go.

use std::io;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::Socket;

/// How much is moved before others on the pool get their turn.
pub(super) const STRIDE: usize = 16 * 1024 * 1024;

/// How long a thread of the pool waits for the peer before the reactor does: a
/// peer at work is ready within this time, and handing over costs as much as a
/// hundredth of it.
const PAUSE: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: Duration::from_millis(2).as_nanos() as i64,
};

/// Whether the socket becomes ready before the reactor should wait for it.
pub(super) fn ready_within_pause(socket: &Socket, what: PollFlags) -> io::Result<bool> {
    match poll(&mut [PollFd::new(socket, what)], Some(&PAUSE)) {
        Ok(ready) => Ok(ready > 0),
        Err(rustix::io::Errno::INTR) => Ok(false),
        Err(errno) => Err(errno.into()),
    }
}
