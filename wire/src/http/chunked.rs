//! Chunked transfer coding (RFC 9112 section 7.1).
//!
//! The decoder is strict where a lenient one can be made to disagree with another program about
//! where a message ends: lines end with CRLF and nothing else, a size is digits and nothing else.

use alloc::vec::Vec;

use super::{Error, is_token_byte};

/// The most bytes of chunk extensions in a whole body. We use none of them, but a client could
/// otherwise send a kilobyte of them with every byte of data, which no body limit would count.
pub const MAX_EXTENSIONS: usize = 4096;

/// The most bytes of trailer fields. They are checked and dropped; a checksum or two is all that
/// is ever sent.
pub const MAX_TRAILERS: usize = 4096;

/// What follows the data of each chunk.
pub const CHUNK_END: &[u8] = b"\r\n";

/// The end of a body without trailer fields.
pub const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// Appends the line before the data of a chunk of `length` bytes. `length` must not be zero: that
/// is the last chunk.
pub fn chunk_head(out: &mut Vec<u8>, length: usize) {
    debug_assert_ne!(length, 0);
    let digits = (usize::BITS - length.leading_zeros()).div_ceil(4);
    for digit in (0..digits).rev() {
        out.push(b"0123456789abcdef"[length >> (digit * 4) & 15]);
    }
    out.extend_from_slice(CHUNK_END);
}

/// A decoder for one chunked body.
///
/// ```
/// use hythe_wire::http::Chunked;
///
/// # fn main() -> Result<(), hythe_wire::http::Error> {
/// let mut input = &b"5\r\nhello\r\n0\r\n\r\nGET /next"[..];
/// let mut body = Vec::new();
/// let mut chunked = Chunked::new();
/// while !chunked.is_done() {
///     let step = chunked.decode(input)?;
///     body.extend_from_slice(step.data);
///     input = &input[step.consumed..];
///     if step.consumed == 0 {
///         break; // read more
///     }
/// }
/// assert_eq!(body, b"hello");
/// assert_eq!(input, b"GET /next");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Chunked {
    state: State,
    /// What is left of the current chunk's data; while its size is read, the size so far.
    left: u64,
    extensions: usize,
    trailers: usize,
}

/// What one call of [`Chunked::decode`] made of its input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step<'i> {
    /// How many bytes of the input are dealt with, `data` included.
    pub consumed: usize,
    /// Decoded data: a stretch of the input, empty if there was only framing.
    pub data: &'i [u8],
    /// Whether the body ends here; the next message begins right after `consumed`.
    pub done: bool,
}

/// Which byte is expected next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// A digit of the size, of which there were so many.
    Size(u8),
    Extension,
    /// The LF after a size line.
    SizeEnd,
    Data,
    /// The CR, then the LF, after data.
    DataEnd,
    DataEndLf,
    /// The first byte of a trailer line, or the CR of the empty one.
    TrailerStart,
    TrailerName,
    TrailerValue,
    TrailerEnd,
    /// The LF of the empty line.
    End,
    Done,
}

/// Sixteen hexadecimal digits fill 64 bits; a seventeenth would overflow, or be a zero that
/// somebody else's parser stumbles over.
const MAX_SIZE_DIGITS: u8 = 16;

impl Chunked {
    /// A decoder at the start of a body.
    pub const fn new() -> Self {
        Self {
            state: State::Size(0),
            left: 0,
            extensions: 0,
            trailers: 0,
        }
    }

    /// Whether the end of the body was reached.
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// How many bytes are sure to follow, at least: the rest of a chunk and the end of the body. A
    /// reader may wait for that many together.
    pub fn expected(&self) -> u64 {
        match self.state {
            State::Data => {
                let end = (CHUNK_END.len() + LAST_CHUNK.len()) as u64;
                self.left.saturating_add(end)
            }
            State::Done => 0,
            _ => 1,
        }
    }

    /// Decodes up to and with one stretch of data. Call it again with what was not consumed; when
    /// nothing was, more input is needed.
    ///
    /// # Errors
    /// 400 for bad framing, 431 for too many trailers or extensions. The connection can't be used
    /// any further.
    pub fn decode<'i>(&mut self, input: &'i [u8]) -> Result<Step<'i>, Error> {
        let mut at = 0;
        while at < input.len() && self.state != State::Done {
            if self.state == State::Data {
                let here = input.len() - at;
                let length = usize::try_from(self.left).map_or(here, |left| left.min(here));
                self.left -= length as u64;
                if self.left == 0 {
                    self.state = State::DataEnd;
                }
                let end = at + length;
                return Ok(Step {
                    consumed: end,
                    data: &input[at..end],
                    done: false,
                });
            }
            self.state = self.advance(input[at])?;
            at += 1;
        }
        Ok(Step {
            consumed: at,
            data: &[],
            done: self.is_done(),
        })
    }

    /// The state after one byte of framing.
    fn advance(&mut self, byte: u8) -> Result<State, Error> {
        Ok(match (self.state, byte) {
            (State::Size(1..), b'\r') => State::SizeEnd,
            (State::Size(1..), b';') => State::Extension,
            (State::Size(digits), _) => {
                let digit = char::from(byte)
                    .to_digit(16)
                    .filter(|_| digits < MAX_SIZE_DIGITS);
                let digit = digit.ok_or(Error::bad("bad chunk size"))?;
                self.left = self.left << 4 | u64::from(digit);
                State::Size(digits + 1)
            }
            (State::Extension, b'\r') => State::SizeEnd,
            (State::Extension, _) if is_text(byte) => {
                self.extensions += 1;
                if self.extensions > MAX_EXTENSIONS {
                    return Err(Error::new(431, "too many chunk extensions"));
                }
                State::Extension
            }
            (State::SizeEnd, b'\n') if self.left == 0 => State::TrailerStart,
            (State::SizeEnd, b'\n') => State::Data,
            (State::DataEnd, b'\r') => State::DataEndLf,
            (State::DataEndLf, b'\n') => State::Size(0),
            (State::TrailerStart, b'\r') => State::End,
            (State::TrailerStart, _) if is_token_byte(byte) => self.trailer(State::TrailerName)?,
            (State::TrailerName, _) if is_token_byte(byte) => self.trailer(State::TrailerName)?,
            (State::TrailerName, b':') => self.trailer(State::TrailerValue)?,
            (State::TrailerValue, b'\r') => State::TrailerEnd,
            (State::TrailerValue, _) if is_text(byte) => self.trailer(State::TrailerValue)?,
            (State::TrailerEnd, b'\n') => State::TrailerStart,
            (State::End, b'\n') => State::Done,
            _ => return Err(Error::bad("bad chunked coding")),
        })
    }

    fn trailer(&mut self, next: State) -> Result<State, Error> {
        self.trailers += 1;
        if self.trailers > MAX_TRAILERS {
            return Err(Error::new(431, "trailer section too large"));
        }
        Ok(next)
    }
}

impl Default for Chunked {
    fn default() -> Self {
        Self::new()
    }
}

/// Whether `byte` may stand in a field value: no control byte but a tab.
const fn is_text(byte: u8) -> bool {
    byte == b'\t' || (byte >= b' ' && byte != 0x7f)
}
