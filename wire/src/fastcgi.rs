//! FastCGI 1.0, as a web server speaks it to the server that runs an application.
//!
//! ```text
//!   web server                              application (php-fpm, say)
//!
//!   BEGIN_REQUEST ──────────────────────►
//!   PARAMS PARAMS … PARAMS (empty) ─────►
//!   STDIN STDIN … STDIN (empty) ────────►   both sides talk at once from here on
//!         ◄────────────────────────────── STDOUT STDERR STDOUT …
//!         ◄────────────────────────────── END_REQUEST
//! ```
//!
//! In scope: the records of one request in the role of a responder, on a connection of its own,
//! which the application closes after it.
//!
//! Out of scope: what stands in STDOUT, which is a [response of CGI](crate::http::cgi); several
//! requests on one connection, which the usual applications refuse; the roles of authorizer and
//! filter.
//!
//! ```
//! use hythe_wire::fastcgi::{Answer, Ended, Event, Params, begin, stdin_end};
//!
//! # fn main() -> Result<(), hythe_wire::fastcgi::Error> {
//! let mut request = Vec::new();
//! begin(&mut request);
//! let mut params = Params::new(&mut request);
//! params.add("REQUEST_METHOD", b"GET")?;
//! params.finish();
//! stdin_end(&mut request);
//!
//! let mut received = &b"\x01\x06\0\x01\0\x05\x03\0hello\0\0\0\x01\x03\0\x01\0\x08\0\0\0\0\0\0\0\0\0\0"[..];
//! let (mut answer, mut output) = (Answer::new(), Vec::new());
//! let ended = loop {
//!     let step = answer.decode(received)?;
//!     received = &received[step.consumed..];
//!     match step.event {
//!         Some(Event::Output(bytes)) => output.extend_from_slice(bytes),
//!         Some(Event::End(ended)) => break ended,
//!         Some(_) => {}
//!         None if received.is_empty() => return Ok(()), // read more
//!         None => {}
//!     }
//! };
//! assert_eq!((&output[..], ended), (&b"hello"[..], Ended::Complete(0)));
//! # Ok(())
//! # }
//! ```

use alloc::vec::Vec;
use core::fmt;

/// How many bytes stand before the content of a record.
pub const HEADER: usize = 8;

/// The most bytes of content that a record has: its length is a number of 16 bits.
pub const MAX_CONTENT: usize = 0xffff;

/// The only version there is.
const VERSION: u8 = 1;

/// The number of the request, the only one on its connection. 0 is for records that belong to no
/// request.
const REQUEST: u16 = 1;

/// What a responder is asked to be.
const RESPONDER: u16 = 1;

/// The kinds of records that are sent or understood.
mod kind {
    pub(super) const BEGIN_REQUEST: u8 = 1;
    pub(super) const END_REQUEST: u8 = 3;
    pub(super) const PARAMS: u8 = 4;
    pub(super) const STDIN: u8 = 5;
    pub(super) const STDOUT: u8 = 6;
    pub(super) const STDERR: u8 = 7;
    pub(super) const UNKNOWN_TYPE: u8 = 11;
}

/// How much content a record of the kinds that end something or refuse something has.
const SHORT: usize = 8;

/// Why something can't be sent, or what an application sent that is none of this protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Error(&'static str);

impl fmt::Display for Error {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.0)
    }
}

impl core::error::Error for Error {}

/// Appends the head of a record. What is sent has no padding: nothing here is faster for it.
fn head(out: &mut Vec<u8>, kind: u8, length: u16) {
    let [request, length] = [REQUEST, length].map(u16::to_be_bytes);
    out.extend([VERSION, kind, request[0], request[1]]);
    out.extend([length[0], length[1], 0, 0]);
}

/// Appends the record that begins a request. The application is to close the connection after it.
pub fn begin(out: &mut Vec<u8>) {
    head(out, kind::BEGIN_REQUEST, SHORT as u16);
    out.extend_from_slice(&RESPONDER.to_be_bytes());
    out.extend_from_slice(&[0; 6]);
}

/// Appends the head of a piece of the request's body, behind which its bytes go.
///
/// `length` is 1 to [`MAX_CONTENT`]: what is empty would end the body.
///
/// # Errors
/// The length is none of these.
pub fn stdin_head(out: &mut Vec<u8>, length: usize) -> Result<(), Error> {
    match u16::try_from(length) {
        Ok(length @ 1..) => {
            head(out, kind::STDIN, length);
            Ok(())
        }
        _ => Err(Error("a piece of the body must have 1 to 65535 bytes")),
    }
}

/// Appends the end of the request's body.
pub fn stdin_end(out: &mut Vec<u8>) {
    head(out, kind::STDIN, 0);
}

/// The variables of a request, being appended to a buffer.
///
/// A record holds whole variables only. The specification lets them go on in the next record, but
/// PHP reads each record for itself, and others have copied it.
#[derive(Debug)]
#[must_use = "variables without their end are not complete"]
pub struct Params<'o> {
    out: &'o mut Vec<u8>,
    /// Where the head of the record is that is being filled.
    record: Option<usize>,
}

impl<'o> Params<'o> {
    /// No variables so far.
    pub fn new(out: &'o mut Vec<u8>) -> Self {
        Self { out, record: None }
    }

    /// Adds a variable.
    ///
    /// # Errors
    /// Name and value together do not fit into a record of [`MAX_CONTENT`] bytes; nothing has been
    /// appended.
    pub fn add(&mut self, name: &str, value: &[u8]) -> Result<(), Error> {
        let lengths = [name.len(), value.len()];
        let size: usize = lengths
            .iter()
            .map(|length| length + if is_short(*length) { 1 } else { 4 })
            .sum();
        if size > MAX_CONTENT {
            return Err(Error("a variable is too long for FastCGI"));
        }
        let start = match self.record {
            Some(start) if self.out.len() - start - HEADER + size <= MAX_CONTENT => start,
            _ => {
                let start = self.out.len();
                head(self.out, kind::PARAMS, 0);
                self.record = Some(start);
                start
            }
        };
        for length in lengths {
            if is_short(length) {
                self.out.push(length as u8);
            } else {
                let long = length as u32 | 1 << 31;
                self.out.extend_from_slice(&long.to_be_bytes());
            }
        }
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(value);
        // It fits, as was seen above.
        let content = (self.out.len() - start - HEADER) as u16;
        self.out[start + 4..start + 6].copy_from_slice(&content.to_be_bytes());
        Ok(())
    }

    /// Adds the end of the variables.
    pub fn finish(self) {
        head(self.out, kind::PARAMS, 0);
    }
}

/// Whether a length is written as one byte, not four.
const fn is_short(length: usize) -> bool {
    length < 128
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// With the application's exit status, of which most make nothing.
    Complete(u32),
    /// It can't have several requests on one connection, which it was not asked to.
    CannotMultiplex,
    /// It has no room for another.
    Overloaded,
    /// It is no responder.
    UnknownRole,
}

/// What an application says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event<'i> {
    /// A stretch of its output; never empty.
    Output(&'i [u8]),
    /// A stretch of what it complains of; never empty.
    Complaint(&'i [u8]),
    /// It does not know records of this type.
    UnknownType(u8),
    /// The end of the request. Nothing is to follow it.
    End(Ended),
}

/// What one call of [`Answer::decode`] made of its input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step<'i> {
    /// How many bytes of the input are dealt with, those of the event included.
    pub consumed: usize,
    /// What was said, if there was more than framing.
    pub event: Option<Event<'i>>,
}

/// A decoder for what an application answers to one request.
///
/// It keeps no output: a record may be told of piece by piece as it arrives.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    state: State,
    /// A head, or short content, as far as it is there.
    kept: [u8; HEADER],
    filled: usize,
    kind: u8,
    /// What is left of the record's content, and of the padding behind it.
    content: usize,
    padding: usize,
}

/// Which bytes are expected next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Head,
    /// Content that is handed on.
    Stream,
    /// Content that is read whole.
    Short,
    Padding,
    Done,
}

// One buffer does for both.
const _: () = assert!(SHORT == HEADER);

impl Answer {
    /// A decoder at the start of an answer.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether the request has ended.
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Decodes up to and with one event. Call it again with what was not consumed; when nothing
    /// was, more input is needed, or the request has ended.
    ///
    /// # Errors
    /// The application is to blame. The connection can't be used any further.
    pub fn decode<'i>(&mut self, input: &'i [u8]) -> Result<Step<'i>, Error> {
        let mut at = 0;
        let mut event = None;
        while at < input.len() && event.is_none() && self.state != State::Done {
            let rest = &input[at..];
            match self.state {
                State::Head => {
                    at += self.keep(rest);
                    if self.filled == HEADER {
                        self.begin()?;
                    }
                }
                State::Stream => {
                    let here = self.content.min(rest.len());
                    self.content -= here;
                    let bytes = &rest[..here];
                    at += here;
                    event = Some(match self.kind {
                        kind::STDOUT => Event::Output(bytes),
                        _ => Event::Complaint(bytes),
                    });
                    self.pass();
                }
                State::Short => {
                    at += self.keep(rest);
                    if self.filled == SHORT {
                        self.content = 0;
                        event = Some(self.short()?);
                        self.pass();
                    }
                }
                State::Padding => {
                    let here = self.padding.min(rest.len());
                    self.padding -= here;
                    at += here;
                    self.pass();
                }
                State::Done => {}
            }
        }
        if matches!(event, Some(Event::End(_))) {
            self.state = State::Done;
        }
        Ok(Step {
            consumed: at,
            event,
        })
    }

    /// Takes what is missing of a head or of short content; how much that was.
    fn keep(&mut self, input: &[u8]) -> usize {
        let here = (HEADER - self.filled).min(input.len());
        self.kept[self.filled..self.filled + here].copy_from_slice(&input[..here]);
        self.filled += here;
        here
    }

    /// Begins a record, of which the head is there.
    fn begin(&mut self) -> Result<(), Error> {
        let [version, kind, id_high, id_low, high, low, padding, _] = self.kept;
        if version != VERSION {
            return Err(Error("this is no FastCGI"));
        }
        self.kind = kind;
        self.content = u16::from_be_bytes([high, low]).into();
        self.padding = padding.into();
        self.filled = 0;
        let id = u16::from_be_bytes([id_high, id_low]);
        match (kind, id) {
            (kind::STDOUT | kind::STDERR, REQUEST) => self.state = State::Stream,
            (kind::END_REQUEST, REQUEST) | (kind::UNKNOWN_TYPE, 0) => {
                if self.content != SHORT {
                    return Err(Error("a FastCGI record of the wrong length"));
                }
                self.state = State::Short;
            }
            (kind::STDOUT | kind::STDERR | kind::END_REQUEST, _) => {
                return Err(Error("a FastCGI record for another request"));
            }
            _ => return Err(Error("a FastCGI record that nobody asked for")),
        }
        self.pass();
        Ok(())
    }

    /// What a record says that was read whole.
    fn short(&mut self) -> Result<Event<'static>, Error> {
        self.filled = 0;
        let [a, b, c, d, protocol, ..] = self.kept;
        if self.kind == kind::UNKNOWN_TYPE {
            return Ok(Event::UnknownType(a));
        }
        Ok(Event::End(match protocol {
            0 => Ended::Complete(u32::from_be_bytes([a, b, c, d])),
            1 => Ended::CannotMultiplex,
            2 => Ended::Overloaded,
            3 => Ended::UnknownRole,
            _ => return Err(Error("a FastCGI request ended in an unknown way")),
        }))
    }

    /// Goes on to what follows, where a part of a record is at its end.
    fn pass(&mut self) {
        if self.content == 0 {
            self.state = match self.padding {
                0 => State::Head,
                _ => State::Padding,
            };
        }
    }
}
