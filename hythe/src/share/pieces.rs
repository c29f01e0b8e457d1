//! Bodies that are made while they are sent.

use std::io;

/// How much one piece holds, more or less: enough that a system call and a
/// hand-over between threads cost little beside it, and little enough that a
/// thousand slow readers fit in memory.
pub const PIECE: usize = 256 * 1024;

/// Something that yields its bytes a piece at a time: a listing, an archive.
///
/// A session asks for a piece on the thread pool, sends it, and asks again, so
/// the pace of the reader is the pace of the work and one piece is all that is
/// ever in memory.
pub trait Pieces: Send {
    /// Appends the next piece to `out`, about [`PIECE`] bytes and possibly
    /// none, after a bounded amount of work. `Ok(false)` means that nothing
    /// follows what this call appended.
    ///
    /// # Errors
    /// Whatever the disk reports; the body cannot be completed.
    fn piece(&mut self, out: &mut Vec<u8>) -> io::Result<bool>;
}
