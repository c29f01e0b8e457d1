//! Sending files over a stream.
//!
//! ```text
//!   reactor   window window window ─┐          ┌─ window wait window …
//!                                   ▼          │
//!   pool                            stride ────┘
//! ```
//!
//! The reactor sends window by window, as the peer takes them. A peer that is
//! never waited for gets the rest from the pool, in strides, and nobody else
//! waits while it does.

use std::fs::File;
use std::future::poll_fn;
use std::io::{self, IoSliceMut};
use std::ops::Range;
use std::os::fd::AsFd;

use rustix::event::PollFlags;
use rustix::fs::{FsWord, fstatfs};
use rustix::io::{Errno, ReadWriteFlags, preadv2};

use super::Stream;
use super::stride::{STRIDE, ready_within_pause};
use crate::mux::Interest;
use crate::option::Cork;
use crate::reactor::{BUFFER, Moved, lease, unblock};
use crate::{More, Socket};

impl Stream {
    /// Sends a range of a file, by `sendfile(2)` where the kernel can and by
    /// copying elsewhere. What is not in the page cache is brought there by
    /// the thread pool first, so that a slow disk holds up nobody else.
    ///
    /// # Errors
    /// `UnexpectedEof` if the file has become shorter than the range; the
    /// stream's own, otherwise. Part may have gone out.
    pub async fn send_file(&self, file: &File, range: Range<u64>) -> io::Result<()> {
        self.send_file_counted(file, range, &|_| ()).await
    }

    /// As [`send_file`](Self::send_file), and tells meanwhile how many bytes
    /// more have gone out.
    ///
    /// # Errors
    /// As [`send_file`](Self::send_file).
    pub async fn send_file_counted(
        &self,
        file: &File,
        range: Range<u64>,
        count: &dyn Fn(u64),
    ) -> io::Result<()> {
        // Only full segments until the end: on a fast link this halves the
        // cost. Unix sockets have no segments and refuse.
        let corked =
            range.end.saturating_sub(range.start) > CORKED && self.socket.set(Cork(true)).is_ok();
        let result = self.send_range(file, range, count).await;
        if corked {
            self.socket.set(Cork(false))?;
        }
        result
    }

    async fn send_range(
        &self,
        file: &File,
        range: Range<u64>,
        count: &dyn Fn(u64),
    ) -> io::Result<()> {
        let mut home = Home::Unknown;
        let mut offset = range.start;
        if range.end.saturating_sub(offset) <= BUFFER as u64 {
            let sent = self.send_little(file, &range).await?;
            count(sent);
            offset += sent;
        }
        while offset < range.end {
            let end = range.end.min(offset + WINDOW);
            if !home.has_at_hand(file, offset..end) {
                // The task's state should not carry this rare case.
                Box::pin(load(file.try_clone()?, offset..end)).await?;
                self.progressed();
            }
            let before = offset;
            let result = self.send_window(file, &mut offset, end).await;
            count(offset - before);
            match result {
                // The kernel can't, for this file or this socket.
                Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
                    return Box::pin(self.copy_file(file, offset..range.end, count)).await;
                }
                Ok(Pace::Waited) => {}
                Ok(Pace::NeverWaited) => {
                    while range.end - offset >= WORTHWHILE {
                        let stride = Box::pin(self.stride(file, offset..range.end));
                        let (sent, result) = stride.await;
                        count(sent);
                        offset += sent;
                        result?;
                        if sent < STRIDE as u64 {
                            break;
                        }
                    }
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Sends of a small range what can be read without waiting for a disk, and
    /// the socket takes at once: of so little, a copy costs less than
    /// `sendfile(2)`.
    async fn send_little(&self, file: &File, range: &Range<u64>) -> io::Result<u64> {
        let sent = poll_fn(|context| {
            self.poll_io(context, Interest::WRITE, || {
                let mut buffer = lease();
                let length = (range.end - range.start) as usize;
                let into = &mut [IoSliceMut::new(&mut buffer[..length])];
                let read = preadv2(file, into, range.start, ReadWriteFlags::NOWAIT);
                match read {
                    Ok(read) if read > 0 => Ok(Moved {
                        bytes: self.socket.send(&buffer[..read], More::No)?,
                        asked: read,
                    }),
                    // Why, the usual way will tell.
                    Ok(_) | Err(_) => Ok(Moved { bytes: 0, asked: 0 }),
                }
            })
        });
        Ok(sent.await? as u64)
    }

    async fn send_window(&self, file: &File, offset: &mut u64, end: u64) -> io::Result<Pace> {
        let mut pace = Pace::NeverWaited;
        while *offset < end {
            let asked = (end - *offset) as usize;
            let sent = poll_fn(|context| {
                self.poll_io(context, Interest::WRITE, || {
                    let bytes = self.socket.send_file(file.as_fd(), offset, asked);
                    if bytes.as_ref().is_err_and(is_full) {
                        pace = Pace::Waited;
                    }
                    let bytes = bytes?;
                    // Fewer bytes may also mean that the file has ended, and
                    // not that the socket is full: only `WouldBlock` does.
                    Ok(Moved {
                        bytes,
                        asked: bytes,
                    })
                })
            });
            if sent.await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(pace)
    }

    /// Has the pool send of the range what the peer takes without a pause, up
    /// to a stride. Gives how much that was, and how it ended.
    async fn stride(&self, file: &File, range: Range<u64>) -> (u64, io::Result<()>) {
        let earlier = self.registration.interest();
        let clones = || Ok((self.socket.try_clone()?, file.try_clone()?));
        // Until it is back, nothing that happens to the socket is for us.
        let prepared = clones().and_then(|it| self.registration.set_aside().map(|()| it));
        let (socket, file) = match prepared {
            Ok(prepared) => prepared,
            Err(error) => return (0, Err(error)),
        };
        let (sent, result) = unblock(move || stride(&socket, &file, range)).await;
        self.account(Interest::WRITE, sent);
        let restored = self.registration.take_back(earlier);
        (sent as u64, result.and(restored))
    }

    async fn copy_file(
        &self,
        file: &File,
        range: Range<u64>,
        count: &dyn Fn(u64),
    ) -> io::Result<()> {
        let mut offset = range.start;
        while offset < range.end {
            let asked = (range.end - offset).min(WINDOW) as usize;
            let file = file.try_clone()?;
            let piece = unblock(move || read_at(&file, offset, asked)).await?;
            self.progressed();
            if piece.is_empty() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.send_all(&piece, More::No).await?;
            offset += piece.len() as u64;
            count(piece.len() as u64);
        }
        Ok(())
    }
}

/// Whether the peer took a window as fast as it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pace {
    Waited,
    NeverWaited,
}

fn is_full(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock
}

/// How many bytes went out, and what ended it before its end, if anything did.
fn stride(socket: &Socket, file: &File, range: Range<u64>) -> (usize, io::Result<()>) {
    let mut offset = range.start;
    let end = range.end.min(range.start + STRIDE as u64);
    let result = loop {
        if offset == end {
            break Ok(());
        }
        let asked = (end - offset) as usize;
        match socket.send_file(file.as_fd(), &mut offset, asked) {
            Ok(0) => break Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if is_full(&error) => match ready_within_pause(socket, PollFlags::OUT) {
                Ok(true) => {}
                Ok(false) => break Ok(()),
                Err(error) => break Err(error),
            },
            Err(error) => break Err(error),
        }
    };
    ((offset - range.start) as usize, result)
}

/// Less than this is not worth being handed over.
const WORTHWHILE: u64 = 4 * 1024 * 1024;

/// Up to this much goes out in so few segments that corking gains nothing.
const CORKED: u64 = 64 * 1024;

/// How much of a file is handled in one go: enough that looking into the page
/// cache costs nothing beside sending it.
const WINDOW: u64 = 1024 * 1024;

/// The distance at which the page cache is probed: no more than the kernel
/// reads ahead by default (128 KiB), so that holes in between are rare, and
/// cost no more than one wait.
const PROBE_STRIDE: u64 = 128 * 1024;

/// Where a file lives, as far as it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Home {
    /// Where the page cache answers probes, unless a probe says otherwise.
    Unknown,
    /// In memory and nowhere else.
    Memory,
    /// Behind what can't be probed: another file system (overlayfs), a
    /// program (FUSE), a network (NFS)…
    Elsewhere,
}

impl Home {
    /// Whether reading the range would not wait for a disk, as far as probes
    /// with `RWF_NOWAIT` (`preadv2(2)`) tell. Of a file system that knows no
    /// such thing, only one that lives in memory is trusted.
    fn has_at_hand(&mut self, file: &File, range: Range<u64>) -> bool {
        let mut probe = [0; 1];
        let mut offset = range.start;
        while *self == Self::Unknown && offset < range.end {
            let into = &mut [IoSliceMut::new(&mut probe)];
            match preadv2(file, into, offset, ReadWriteFlags::NOWAIT) {
                Err(Errno::AGAIN) => return false,
                Err(Errno::OPNOTSUPP | Errno::NOSYS) => *self = Self::beyond_probes(file),
                // What is wrong with the file, sending it will tell.
                Ok(_) | Err(_) => offset += PROBE_STRIDE,
            }
        }
        *self != Self::Elsewhere
    }

    fn beyond_probes(file: &File) -> Self {
        match fstatfs(file).map(|system| system.f_type) {
            Ok(TMPFS | RAMFS) => Self::Memory,
            _ => Self::Elsewhere,
        }
    }
}

/// `TMPFS_MAGIC` and `RAMFS_MAGIC` (`statfs(2)`).
const TMPFS: FsWord = 0x0102_1994;
const RAMFS: FsWord = 0x8584_58f6_u32 as FsWord;

/// Brings a range into the page cache by reading it, on the pool.
async fn load(file: File, range: Range<u64>) -> io::Result<()> {
    unblock(move || read_at(&file, range.start, (range.end - range.start) as usize)).await?;
    Ok(())
}

fn read_at(file: &File, offset: u64, length: usize) -> io::Result<Vec<u8>> {
    use std::os::unix::fs::FileExt;
    let mut bytes = vec![0; length];
    let mut filled = 0;
    while filled < length {
        match file.read_at(&mut bytes[filled..], offset + filled as u64) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    bytes.truncate(filled);
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_lives_in_memory_is_trusted_without_probes() {
        // Neither answers probes on every kernel; what they are doesn't change.
        let process = File::open("/proc/version").unwrap();
        assert_eq!(Home::beyond_probes(&process), Home::Elsewhere);
        if let Ok(memory) = File::open("/dev/shm") {
            assert_eq!(Home::beyond_probes(&memory), Home::Memory);
        }

        let mut home = Home::Unknown;
        assert!(!home.has_at_hand(&process, 0..1), "it answers no probe");
        assert_eq!(home, Home::Elsewhere, "which is remembered");
    }

    #[test]
    fn what_was_just_written_is_at_hand() {
        let file = tempfile::tempfile().unwrap();
        io::Write::write_all(&mut &file, &[0; 4096]).unwrap();
        assert!(Home::Unknown.has_at_hand(&file, 0..4096));
    }
}
