//! What the heads of requests and responses have in common: where they end, their fields, and the
//! fields that decide framing.

use core::slice;

use httparse::{EMPTY_HEADER, Header, Status};
use memchr::memchr;

use super::{Error, Version, list, parse_decimal, trim};

/// The longest request line or status line, in bytes, line end included.
///
/// RFC 9112 section 3 asks for at least 8000; the usual servers stop at 8 KiB as well, so no
/// client relies on more.
pub const MAX_REQUEST_LINE: usize = 8192;

/// The longest head, in bytes, from the start line to the empty line.
///
/// Room for a full start line and some twenty kilobytes of cookies, which is more than a browser
/// sends to one host; small enough that a thousand idle connections cost 32 MiB at worst.
pub const MAX_HEAD: usize = 32768;

/// The most fields in a head. Browsers send about twenty; proxies add a dozen.
pub const MAX_FIELDS: usize = 64;

/// Empty lines allowed before a start line: some clients send one after a POST body, and RFC 9112
/// section 2.2 asks for tolerance. Two, since more is no accident.
const MAX_EMPTY_LINES: usize = 2;

/// Where the head at the front of `bytes` ends, the empty line included; `None` while it doesn't.
///
/// `from` is how much of `bytes` an earlier call has already searched (0 at first), so that a head
/// which arrives a byte at a time is searched once, not once per byte. Lines end with CRLF; a bare
/// LF is tolerated (RFC 9112 section 2.2).
///
/// ```
/// use hythe_wire::http::head_end;
///
/// assert_eq!(head_end(b"GET / HTTP/1.0\r\n", 0), None);
/// assert_eq!(head_end(b"GET / HTTP/1.0\r\n\r\nrest", 16), Some(18));
/// ```
pub fn head_end(bytes: &[u8], from: usize) -> Option<usize> {
    // The line end before `from` may be the first of the two we look for.
    let mut at = skip_empty_lines(bytes).max(from.saturating_sub(2));
    while let Some(found) = memchr(b'\n', bytes.get(at..)?) {
        at += found + 1;
        match bytes[at..] {
            [b'\n', ..] => return Some(at + 1),
            [b'\r', b'\n', ..] => return Some(at + 2),
            _ => {}
        }
    }
    None
}

/// Refuses, before a request's head is complete, what can't become an acceptable one.
///
/// Costs a few nanoseconds for a short head and at most one search of [`MAX_REQUEST_LINE`] bytes
/// for a long one, so it may be called each time bytes arrive.
///
/// # Errors
/// 400 for bytes that begin no request (a TLS hello, say), 414 for an over-long request line, 431
/// for an over-long head.
pub fn check_partial(bytes: &[u8]) -> Result<(), Error> {
    let bytes = &bytes[skip_empty_lines(bytes)..];
    match bytes {
        [] | [b'\r'] => Ok(()),
        [first, ..] if !super::is_token_byte(*first) => Err(Error::bad("this is no HTTP request")),
        _ if bytes.len() < MAX_REQUEST_LINE => Ok(()),
        _ if memchr(b'\n', &bytes[..MAX_REQUEST_LINE]).is_none() => {
            Err(Error::new(414, "request line too long"))
        }
        _ if bytes.len() < MAX_HEAD => Ok(()),
        _ => Err(Error::new(431, "header section too large")),
    }
}

/// How many bytes of empty lines stand before the start line.
pub(super) fn skip_empty_lines(bytes: &[u8]) -> usize {
    let mut rest = bytes;
    for _ in 0..MAX_EMPTY_LINES {
        match rest {
            [b'\r', b'\n', after @ ..] | [b'\n', after @ ..] => rest = after,
            _ => break,
        }
    }
    bytes.len() - rest.len()
}

/// The start line at the front of `bytes` without its line end, and how long it is with it.
pub(super) fn start_line(bytes: &[u8]) -> Option<(&[u8], usize)> {
    let end = memchr(b'\n', &bytes[..bytes.len().min(MAX_REQUEST_LINE)])?;
    let line = &bytes[..end];
    Some((line.strip_suffix(b"\r").unwrap_or(line), end + 1))
}

/// Room for the fields of one head, so that parsing one allocates nothing.
///
/// It borrows from the buffer that is parsed; make a new one for each head.
#[derive(Debug)]
pub struct FieldStorage<'b>([Header<'b>; MAX_FIELDS]);

impl FieldStorage<'_> {
    /// Empty storage.
    pub const fn new() -> Self {
        Self([EMPTY_HEADER; MAX_FIELDS])
    }
}

impl Default for FieldStorage<'_> {
    fn default() -> Self {
        Self::new()
    }
}

/// The fields of a head, in the order they came (RFC 9110 section 5).
#[derive(Clone, Copy, Debug)]
pub struct Fields<'h, 'b>(&'h [Header<'b>]);

impl<'h, 'b> Fields<'h, 'b> {
    /// Parses the field lines at the front of `bytes` up to and with the empty line; also gives
    /// their length.
    pub(super) fn parse(
        bytes: &'b [u8],
        storage: &'h mut FieldStorage<'b>,
    ) -> Result<Option<(Self, usize)>, Error> {
        match httparse::parse_headers(bytes, &mut storage.0) {
            Ok(Status::Complete((used, fields))) => Ok(Some((Self(fields), used))),
            Ok(Status::Partial) => Ok(None),
            Err(httparse::Error::TooManyHeaders) => Err(Error::new(431, "too many header fields")),
            Err(_) => Err(Error::bad("malformed header field")),
        }
    }

    /// Each field's name, as it was spelled, and value.
    pub fn iter(self) -> impl ExactSizeIterator<Item = (&'b str, &'b [u8])> + Clone + 'h
    where
        'b: 'h,
    {
        self.0.iter().map(|field| (field.name, field.value))
    }

    /// The values of every field called `name`, whatever its case: what to ask for where a field
    /// holds a list, which a sender may split over several lines (RFC 9110 section 5.3).
    pub fn all(self, name: &'static str) -> Values<'h, 'b> {
        Values {
            name,
            rest: self.0.iter(),
        }
    }

    /// The value of the one field called `name`.
    ///
    /// # Errors
    /// 400 where there are several: which of them counts would be a guess.
    pub fn one(self, name: &'static str) -> Result<Option<&'b [u8]>, Error> {
        let mut values = self.all(name);
        let first = values.next();
        match values.next() {
            None => Ok(first),
            Some(_) => Err(Error::bad("header field repeated")),
        }
    }

    /// As [`all`](Self::all), for a field that is known not to stand before `index`.
    pub(super) fn all_from(self, index: usize, name: &'static str) -> Values<'h, 'b> {
        Values {
            name,
            rest: self.0[index..].iter(),
        }
    }
}

/// The values of all the fields of one name, in order: an iterator that is cheap to copy.
#[derive(Clone, Debug, Default)]
pub struct Values<'h, 'b> {
    name: &'static str,
    rest: slice::Iter<'h, Header<'b>>,
}

impl Values<'_, '_> {
    /// Whether there is no such field.
    pub fn is_empty(&self) -> bool {
        self.clone().next().is_none()
    }
}

impl<'b> Iterator for Values<'_, 'b> {
    type Item = &'b [u8];

    fn next(&mut self) -> Option<&'b [u8]> {
        let name = self.name;
        self.rest
            .find(|field| field.name.eq_ignore_ascii_case(name))
            .map(|field| field.value)
    }
}

/// What the fields `Content-Length`, `Transfer-Encoding` and `Connection` say so far; fed field by
/// field, since a head may hold several of each (RFC 9112 sections 6 and 9).
#[derive(Default)]
pub(super) struct Facts {
    pub(super) length: Option<u64>,
    pub(super) transfer: Transfer,
    close: bool,
    keep_alive: bool,
}

/// What `Transfer-Encoding` amounts to.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Transfer {
    #[default]
    Absent,
    /// `chunked`, and nothing else.
    Chunked,
    /// Codings we don't know, then `chunked`.
    Unknown,
    /// Codings of which the last is not `chunked`: nobody can tell where the body ends.
    Unframed,
}

impl Facts {
    /// Takes one `Content-Length` value. A list of equal numbers counts as that number, which is
    /// what a merge of repeated lines leaves (RFC 9112 section 6.3).
    pub(super) fn add_length(&mut self, value: &[u8]) -> Result<(), Error> {
        for member in value.split(|byte| *byte == b',') {
            let length = parse_decimal(trim(member)).ok_or(Error::bad("bad Content-Length"))?;
            if self
                .length
                .replace(length)
                .is_some_and(|before| before != length)
            {
                return Err(Error::bad("conflicting Content-Length"));
            }
        }
        Ok(())
    }

    /// Takes one `Transfer-Encoding` value.
    pub(super) fn add_transfer(&mut self, value: &[u8]) {
        let before = self.transfer;
        for coding in list(value) {
            let chunked = coding.eq_ignore_ascii_case(b"chunked");
            self.transfer = match self.transfer {
                Transfer::Absent if chunked => Transfer::Chunked,
                // `chunked` twice is not something the second of two parsers reads as we would.
                Transfer::Chunked | Transfer::Unknown => Transfer::Unframed,
                Transfer::Unframed if chunked => Transfer::Unknown,
                Transfer::Absent | Transfer::Unframed => Transfer::Unframed,
            };
        }
        if self.transfer == before {
            self.transfer = Transfer::Unframed; // an empty list
        }
    }

    /// Takes one `Connection` value.
    pub(super) fn add_connection(&mut self, value: &[u8]) {
        for option in list(value) {
            self.close |= option.eq_ignore_ascii_case(b"close");
            self.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
        }
    }

    /// Whether the connection outlives this exchange (RFC 9112 section 9.3).
    pub(super) fn persists(&self, version: Version) -> bool {
        !self.close && (version == Version::Http11 || self.keep_alive)
    }
}
