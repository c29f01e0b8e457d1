//! HTTP/1.1 messages (RFC 9110, RFC 9112), for an origin server and for a client.
//!
//! ```text
//!  server                                      client
//!
//!  bytes ─► head_end ─► Request::parse          Head::request ─► bytes
//!              │              │
//!        check_partial        ├─ Framing::None ───────────┐
//!        (414, 431, 400)      ├─ Framing::Length(n) ─ n bytes
//!                             └─ Framing::Chunked ─ Chunked::decode
//!                                                         │
//!                          Head::response ◄───────────────┘
//!                                │
//!                              bytes ─► Response::parse ─► Body::{None, Length, Chunked, UntilClose}
//! ```
//!
//! In scope: heads, framing, chunked coding, and the grammars of the fields a file server reads.
//!
//! Out of scope: dates (`httpdate` needs a clock's types), percent-decoding of paths (the share
//! does that once, where it checks them), bodies beyond their framing.
//!
//! # One whole exchange
//!
//! ```
//! use hythe_wire::http::{FieldStorage, Framing, Head, Method, Request, Version};
//!
//! # fn main() -> Result<(), hythe_wire::http::Error> {
//! let received = b"GET /river.txt?v=1 HTTP/1.1\r\nHost: quay\r\nRange: bytes=-5\r\n\r\nGET /next";
//!
//! let mut storage = FieldStorage::new();
//! let Some((request, used)) = Request::parse(received, &mut storage)? else {
//!     return Ok(()); // the head is not complete: read more, then parse again
//! };
//! assert_eq!(request.method, Method::Get);
//! assert_eq!(request.target.path, b"/river.txt");
//! assert_eq!(request.host, Some(&b"quay"[..]));
//! assert_eq!(request.framing, Framing::None);
//! assert!(request.keep_alive);
//! assert_eq!(&received[used..], b"GET /next"); // a pipelined request begins here
//!
//! let mut reply = Vec::new();
//! Head::response(&mut reply, Version::Http11, 206)
//!     .field("Content-Range", b"bytes 7-11/12")
//!     .length(5)
//!     .finish();
//! reply.extend_from_slice(b"water");
//! assert_eq!(
//!     reply,
//!     b"HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 7-11/12\r\nContent-Length: 5\r\n\r\nwater"
//! );
//! # Ok(())
//! # }
//! ```

pub mod cgi;
mod chunked;
mod fields;
mod head;
pub mod multipart;
mod range;
mod request;
mod response;
pub mod tus;

use core::fmt;

pub use chunked::{CHUNK_END, Chunked, LAST_CHUNK, MAX_EXTENSIONS, MAX_TRAILERS, Step, chunk_head};
pub use fields::{
    Coding, Comparison, Encodings, accepts_json_before_html, content_disposition, is_entity_tag,
    list, matches_etag, quality, split_outside_quotes,
};
pub use head::{
    FieldStorage, Fields, MAX_FIELDS, MAX_HEAD, MAX_REQUEST_LINE, Values, check_partial, head_end,
};
pub use multipart::Multipart;
pub use range::{MAX_RANGES, Ranges, content_range, parse_range, unsatisfied_range};
pub use request::{Framing, Method, Request, Target};
pub use response::{Body, Head, Response, reason};

/// A message that is refused, and the status code that says so (RFC 9110 section 15).
///
/// While parsing a request the fault is the client's or the message is beyond what this server
/// does: `status` is the reply to send before closing. While parsing a response the status is 502,
/// what a gateway would say of such an upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Error {
    /// The status code to answer with, 400 to 505.
    pub status: u16,
    /// What is wrong, in a few words that hold none of the peer's bytes.
    pub reason: &'static str,
}

impl Error {
    pub(crate) const fn new(status: u16, reason: &'static str) -> Self {
        Self { status, reason }
    }

    pub(crate) const fn bad(reason: &'static str) -> Self {
        Self::new(400, reason)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} ({})", self.reason, self.status)
    }
}

impl core::error::Error for Error {}

/// The protocol version of a message, as far as it changes what we do (RFC 9112 section 2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// HTTP/1.0: closes after each exchange unless asked not to; no chunked coding, no 1xx.
    Http10,
    /// HTTP/1.1, and any 1.x above it, which is to be treated as the highest 1.x we know.
    Http11,
}

impl Version {
    /// Reads `HTTP/1.1` and its like.
    ///
    /// # Errors
    /// 505 where the major version is not 1, 400 where it is no version at all.
    pub(crate) fn parse(text: &[u8]) -> Result<Self, Error> {
        match text {
            b"HTTP/1.1" => Ok(Self::Http11),
            b"HTTP/1.0" => Ok(Self::Http10),
            [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
                if major.is_ascii_digit() && minor.is_ascii_digit() =>
            {
                match major {
                    b'1' => Ok(Self::Http11),
                    _ => Err(Error::new(
                        505,
                        "only HTTP/1.0 and HTTP/1.1 are spoken here",
                    )),
                }
            }
            _ => Err(Error::bad("malformed HTTP version")),
        }
    }

    /// The version as it stands in a start line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http10 => "HTTP/1.0",
            Self::Http11 => "HTTP/1.1",
        }
    }
}

/// Appends `number` in decimal. `core::fmt` would do, at several times the cost of a whole head.
pub(crate) fn push_decimal(out: &mut alloc::vec::Vec<u8>, mut number: u64) {
    let mut digits = [0; 20]; // u64::MAX has twenty
    let mut first = digits.len();
    loop {
        first -= 1;
        digits[first] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[first..]);
}

/// Reads `1*DIGIT`; `None` for anything else, a sign and an overflow included.
pub(crate) fn parse_decimal(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0u64, |number, byte| {
        let digit = byte.checked_sub(b'0').filter(|digit| *digit < 10)?;
        number.checked_mul(10)?.checked_add(u64::from(digit))
    })
}

/// Whether `byte` may stand in a token: a method, a field name (RFC 9110 section 5.6.2).
pub(crate) const fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'!' | b'#'
                | b'$'
                | b'%'
                | b'&'
                | b'\''
                | b'*'
                | b'+'
                | b'-'
                | b'.'
                | b'^'
                | b'_'
                | b'`'
                | b'|'
                | b'~'
        )
}

/// `text` without the spaces and tabs around it.
pub(crate) fn trim(mut text: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = text {
        text = rest;
    }
    text
}
