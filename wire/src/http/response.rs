//! Writing heads, and reading those of responses (RFC 9112 section 4).

use alloc::vec::Vec;

use super::head::{Facts, Transfer, skip_empty_lines, start_line};
use super::{
    Error, FieldStorage, Fields, MAX_HEAD, MAX_REQUEST_LINE, Method, Version, is_token_byte,
    parse_decimal, push_decimal,
};

/// A head that is being appended to a buffer: a start line, then fields, then [`finish`].
///
/// Nothing given to it can end a line early: CR, LF and NUL become spaces, and a field whose name
/// is not a token is left out.
///
/// ```
/// use hythe_wire::http::{Head, Method};
///
/// let mut out = Vec::new();
/// Head::request(&mut out, Method::Get, b"/a b\r\nX: y").field("Host", b"quay").finish();
/// assert_eq!(out, b"GET /a%20b%0D%0AX:%20y HTTP/1.1\r\nHost: quay\r\n\r\n");
/// ```
///
/// [`finish`]: Self::finish
#[derive(Debug)]
#[must_use = "a head without its empty line is not complete"]
pub struct Head<'o> {
    out: &'o mut Vec<u8>,
}

impl<'o> Head<'o> {
    /// Begins a response. `status` is a number of three digits.
    pub fn response(out: &'o mut Vec<u8>, version: Version, status: u16) -> Self {
        debug_assert!((100..=999).contains(&status));
        out.extend_from_slice(version.as_str().as_bytes());
        out.push(b' ');
        push_decimal(out, u64::from(status));
        out.push(b' ');
        out.extend_from_slice(reason(status).as_bytes());
        out.extend_from_slice(b"\r\n");
        Self { out }
    }

    /// Begins a request. Bytes that can't stand in a target are percent-encoded.
    pub fn request(out: &'o mut Vec<u8>, method: Method, target: &[u8]) -> Self {
        out.extend_from_slice(method.as_str().as_bytes());
        out.push(b' ');
        for &byte in target {
            if byte.is_ascii_graphic() && byte != b'#' {
                out.push(byte);
            } else {
                out.push(b'%');
                out.extend([byte >> 4, byte & 15].map(|half| b"0123456789ABCDEF"[half as usize]));
            }
        }
        out.extend_from_slice(b" HTTP/1.1\r\n");
        Self { out }
    }

    /// Adds a field.
    pub fn field(self, name: &str, value: &[u8]) -> Self {
        if name.is_empty() || !name.bytes().all(is_token_byte) {
            return self;
        }
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b": ");
        let start = self.out.len();
        self.out.extend_from_slice(value);
        // Two steps, since nearly every value is clean and a search is faster than a loop.
        if memchr::memchr3(b'\r', b'\n', 0, value).is_some() {
            for byte in &mut self.out[start..] {
                if matches!(byte, b'\r' | b'\n' | 0) {
                    *byte = b' ';
                }
            }
        }
        self.out.extend_from_slice(b"\r\n");
        self
    }

    /// Adds a field whose name and value are known to be legal, such as those of
    /// types that are nothing else; the name, in small letters, as people write it:
    /// `Content-Type`.
    pub fn legal_field(self, name: &str, value: &[u8]) -> Self {
        debug_assert!(!name.is_empty() && name.bytes().all(is_token_byte));
        debug_assert!(memchr::memchr3(b'\r', b'\n', 0, value).is_none());
        let start = self.out.len();
        // At once, since it is grown more slowly by pieces.
        self.out.reserve(name.len() + value.len() + 4);
        self.out.extend_from_slice(name.as_bytes());
        let mut begins = true;
        for byte in &mut self.out[start..] {
            if begins {
                byte.make_ascii_uppercase();
            }
            begins = *byte == b'-';
        }
        self.out.extend_from_slice(b": ");
        self.out.extend_from_slice(value);
        self.out.extend_from_slice(b"\r\n");
        self
    }

    /// Adds `Content-Length`.
    pub fn length(self, length: u64) -> Self {
        self.out.extend_from_slice(b"Content-Length: ");
        push_decimal(self.out, length);
        self.out.extend_from_slice(b"\r\n");
        self
    }

    /// Adds the empty line.
    pub fn finish(self) {
        self.out.extend_from_slice(b"\r\n");
    }
}

/// The reason phrase of a status code (RFC 9110 section 15, and what else is
/// registered), empty for others.
pub const fn reason(status: u16) -> &'static str {
    match status {
        100 => "Continue",
        101 => "Switching Protocols",
        102 => "Processing",
        103 => "Early Hints",
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        203 => "Non-Authoritative Information",
        204 => "No Content",
        205 => "Reset Content",
        206 => "Partial Content",
        207 => "Multi-Status",
        208 => "Already Reported",
        226 => "IM Used",
        300 => "Multiple Choices",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        304 => "Not Modified",
        305 => "Use Proxy",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        402 => "Payment Required",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        407 => "Proxy Authentication Required",
        408 => "Request Timeout",
        409 => "Conflict",
        410 => "Gone",
        411 => "Length Required",
        412 => "Precondition Failed",
        413 => "Content Too Large",
        414 => "URI Too Long",
        415 => "Unsupported Media Type",
        416 => "Range Not Satisfiable",
        417 => "Expectation Failed",
        418 => "I'm a teapot",
        421 => "Misdirected Request",
        422 => "Unprocessable Content",
        423 => "Locked",
        424 => "Failed Dependency",
        425 => "Too Early",
        426 => "Upgrade Required",
        428 => "Precondition Required",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        451 => "Unavailable For Legal Reasons",
        460 => "Checksum Mismatch", // tus: a resumable upload whose checksum is wrong
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        506 => "Variant Also Negotiates",
        507 => "Insufficient Storage",
        508 => "Loop Detected",
        510 => "Not Extended",
        511 => "Network Authentication Required",
        _ => "",
    }
}

/// A response head, as a client sees it.
#[derive(Clone, Debug)]
pub struct Response<'h, 'b> {
    /// The protocol version; nothing above 1.1.
    pub version: Version,
    /// The status code, 100 to 999.
    pub status: u16,
    /// The reason phrase, which is for people and may hold any byte but a line end.
    pub reason: &'b [u8],
    /// How the body is delimited.
    pub body: Body,
    /// Whether the server would take another request on this connection. Never after a body that
    /// ends where the connection does.
    pub keep_alive: bool,
    /// All fields.
    pub fields: Fields<'h, 'b>,
}

/// How the body of a response is delimited (RFC 9112 section 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    /// There is none.
    None,
    /// So many bytes.
    Length(u64),
    /// Chunks: see [`Chunked`](super::Chunked).
    Chunked,
    /// All there is until the server closes; whether that is all there was, nobody can tell.
    UntilClose,
}

impl<'h, 'b> Response<'h, 'b> {
    /// Parses the response head at the front of `bytes`, and gives it with its length in bytes.
    ///
    /// `asked` is the method of the request, without which the end of the body can't be told.
    /// `Ok(None)` means that the head is not complete. After a response with a 1xx status, parse
    /// the next one.
    ///
    /// # Errors
    /// The server is to blame, and the status is 502: for what is malformed, ambiguous about the
    /// end of the body, or beyond [`MAX_REQUEST_LINE`], [`MAX_HEAD`] or
    /// [`MAX_FIELDS`](super::MAX_FIELDS).
    pub fn parse(
        bytes: &'b [u8],
        asked: Method,
        storage: &'h mut FieldStorage<'b>,
    ) -> Result<Option<(Self, usize)>, Error> {
        Self::parse_head(bytes, asked, storage).map_err(|error| Error {
            status: 502,
            ..error
        })
    }

    fn parse_head(
        bytes: &'b [u8],
        asked: Method,
        storage: &'h mut FieldStorage<'b>,
    ) -> Result<Option<(Self, usize)>, Error> {
        let skipped = skip_empty_lines(bytes);
        let head = &bytes[skipped..];
        let Some((line, line_len)) = start_line(head) else {
            return match head.len() {
                0..MAX_REQUEST_LINE => Ok(None),
                _ => Err(Error::bad("status line too long")),
            };
        };
        let (version, status, reason) = parse_status_line(line)?;
        let parsed = Fields::parse(&head[line_len..], storage)?;
        let head_len = parsed.map_or(head.len() + 1, |(_, fields_len)| line_len + fields_len);
        if head_len > MAX_HEAD {
            return Err(Error::bad("header section too large"));
        }
        let Some((fields, _)) = parsed else {
            return Ok(None);
        };
        let mut facts = Facts::default();
        for (name, value) in fields.iter() {
            match name.len() {
                10 if name.eq_ignore_ascii_case("Connection") => facts.add_connection(value),
                14 if name.eq_ignore_ascii_case("Content-Length") => facts.add_length(value)?,
                17 if name.eq_ignore_ascii_case("Transfer-Encoding") => facts.add_transfer(value),
                _ => {}
            }
        }
        let body = Body::of_response(&facts, version, status, asked)?;
        let keep_alive = facts.persists(version) && body != Body::UntilClose;
        let response = Self {
            version,
            status,
            reason,
            body,
            keep_alive,
            fields,
        };
        Ok(Some((response, skipped + head_len)))
    }
}

impl Body {
    fn of_response(
        facts: &Facts,
        version: Version,
        status: u16,
        asked: Method,
    ) -> Result<Self, Error> {
        // These have no body whatever their fields say, since the fields speak of what a GET
        // would have got. After a CONNECT that worked comes the tunnel.
        let tunnel = asked == Method::Connect && (200..300).contains(&status);
        if asked == Method::Head || matches!(status, 100..200 | 204 | 304) || tunnel {
            return Ok(Self::None);
        }
        match (facts.transfer, facts.length) {
            (Transfer::Absent, None) => Ok(Self::UntilClose),
            (Transfer::Absent, Some(length)) => Ok(Self::Length(length)),
            (_, Some(_)) => Err(Error::bad("both Transfer-Encoding and Content-Length")),
            (Transfer::Chunked, None) if version == Version::Http11 => Ok(Self::Chunked),
            (_, None) => Err(Error::bad("unknown transfer coding")),
        }
    }
}

/// Reads `HTTP/1.1 200 OK`; the reason phrase may be missing, and so may the space before it,
/// which RFC 9112 section 4 demands and many servers forget.
fn parse_status_line(line: &[u8]) -> Result<(Version, u16, &[u8]), Error> {
    let malformed = Error::bad("malformed status line");
    let (version, rest) = line.split_at_checked(8).ok_or(malformed)?;
    let [b' ', hundreds @ b'1'..=b'9', tens, ones, reason @ ..] = rest else {
        return Err(malformed);
    };
    let reason = match reason {
        [] => reason,
        [b' ', reason @ ..] => reason,
        _ => return Err(malformed),
    };
    if memchr::memchr2(b'\r', 0, reason).is_some() {
        return Err(malformed);
    }
    let status = parse_decimal(&[*hundreds, *tens, *ones]).ok_or(malformed)? as u16;
    Ok((Version::parse(version)?, status, reason))
}
