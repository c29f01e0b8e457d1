//! Frames: messages on a stream of bytes, each led by its length.
//!
//! ```text
//!  ┌──────────────────┬───────────────┐┌──────────────────┬─────────
//!  │ length, 4 bytes, │ payload,      ││ length of        │ …
//!  │ big-endian       │ length bytes  ││ the next         │
//!  └──────────────────┴───────────────┘└──────────────────┴─────────
//! ```
//!
//! In scope: where a message ends, and how long one may be.
//!
//! Out of scope: what a message says, and reading and writing it.
//!
//! # The problem
//!
//! TCP carries bytes, in order; it does not carry messages. What one `send` was given, `recv` may
//! return in two halves, and what two `send`s were given may come out of one `recv` (the "sticky
//! packet" problem). It depends on timing, buffers and the path, so a program that takes "what one
//! `recv` returned" for a message passes every test on its author's machine and fails on a busy
//! day. Whoever wants messages has to mark where they end. A line end would do, if no message
//! holds one; the length in front does for any bytes at all.
//!
//! # The cure
//!
//! ```
//! use hythe_wire::frame::Frames;
//!
//! # fn main() -> Result<(), hythe_wire::frame::Error> {
//! // Three messages were sent. This is what three calls of `recv` may give at the other end: the
//! // first two glued together, and the third one split.
//! let received = [&b"\0\0\0\x05hello\0\0\0\x05world"[..], b"\0\0\0\x07good", b"bye"];
//! // Without frames they would have been taken for "helloworld", "good" and "bye".
//!
//! let frames = Frames::new();
//! let mut waiting = Vec::new(); // what has come and is not yet a whole frame
//! let mut messages = Vec::new();
//! for bytes in received {
//!     waiting.extend_from_slice(bytes);
//!     while let Some((payload, used)) = frames.decode(&waiting)? {
//!         messages.push(payload.to_vec());
//!         waiting.drain(..used);
//!     }
//! }
//! assert_eq!(messages, [&b"hello"[..], b"world", b"goodbye"]);
//! # Ok(())
//! # }
//! ```

use alloc::vec::Vec;
use core::fmt;

/// How many bytes the length in front of a payload takes.
pub const PREFIX: usize = 4;

/// The longest payload in bytes, 1 MiB.
///
/// A receiver keeps a frame until it is whole, so this is what a stranger can make it keep. It is
/// more than a message that people or programs exchange needs; what is longer is sent as several.
/// And it is far below what any four letters are as a length (`GET ` is over a billion), so that a
/// client of another protocol is refused at its fourth byte.
pub const MAX_FRAME: usize = 1 << 20;

/// Writes and reads frames of up to a given length. Both ends should agree on it.
///
/// ```
/// use hythe_wire::frame::Frames;
///
/// # fn main() -> Result<(), hythe_wire::frame::Error> {
/// let frames = Frames::new();
/// let mut bytes = Vec::new();
/// frames.encode("早上好".as_bytes(), &mut bytes)?;
/// assert_eq!(frames.decode(&bytes)?, Some(("早上好".as_bytes(), 13)));
/// assert_eq!(frames.decode(&bytes[..12])?, None);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frames {
    max: usize,
}

impl Frames {
    /// Frames of up to [`MAX_FRAME`] bytes of payload.
    pub const fn new() -> Self {
        Self { max: MAX_FRAME }
    }

    /// Frames of up to `max` bytes of payload, for messages known to be short. More than
    /// [`MAX_FRAME`] counts as that.
    ///
    /// ```
    /// use hythe_wire::frame::Frames;
    ///
    /// let frames = Frames::up_to(5);
    /// assert!(frames.encode(b"hello", &mut Vec::new()).is_ok());
    /// assert!(frames.encode(b"hello!", &mut Vec::new()).is_err());
    /// ```
    pub const fn up_to(max: usize) -> Self {
        let max = if max < MAX_FRAME { max } else { MAX_FRAME };
        Self { max }
    }

    /// The longest payload, in bytes.
    pub const fn max(&self) -> usize {
        self.max
    }

    /// Appends `payload` as a frame. An empty one is a frame like any other.
    ///
    /// # Errors
    /// It is too long, which is the caller's fault; nothing has been appended.
    pub fn encode(&self, payload: &[u8], out: &mut Vec<u8>) -> Result<(), Error> {
        let length = self.check(payload.len())?;
        out.extend_from_slice(&length.to_be_bytes());
        out.extend_from_slice(payload);
        Ok(())
    }

    /// The payload of the frame at the front of `bytes`, and how many bytes the whole frame takes:
    /// the next one begins there. `Ok(None)` means that the frame is not complete: call again with
    /// these bytes and those that come next.
    ///
    /// # Errors
    /// The frame is announced as too long, which is the peer's fault. It is refused as soon as its
    /// length is there. Close the connection: where the next frame begins can't be told without
    /// reading all of this one.
    pub fn decode<'b>(&self, bytes: &'b [u8]) -> Result<Option<(&'b [u8], usize)>, Error> {
        let Some((prefix, rest)) = bytes.split_first_chunk::<PREFIX>() else {
            return Ok(None);
        };
        let length = u32::from_be_bytes(*prefix) as usize;
        self.check(length)?;
        Ok(rest.get(..length).map(|payload| (payload, PREFIX + length)))
    }

    /// The length as it is sent, if it may be.
    fn check(&self, length: usize) -> Result<u32, Error> {
        match u32::try_from(length) {
            Ok(sent) if length <= self.max => Ok(sent),
            _ => Err(Error {
                length,
                max: self.max,
            }),
        }
    }
}

impl Default for Frames {
    fn default() -> Self {
        Self::new()
    }
}

/// A frame that is longer than agreed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Error {
    /// How long the payload is, or is announced to be, in bytes.
    pub length: usize,
    /// How long it may be.
    pub max: usize,
}

impl fmt::Display for Error {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { length, max } = self;
        write!(out, "a frame of {length} bytes; the longest may have {max}")
    }
}

impl core::error::Error for Error {}
