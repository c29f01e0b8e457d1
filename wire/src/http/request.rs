//! Request heads (RFC 9112 section 3).

use core::{net::Ipv6Addr, str};

use super::head::{Facts, Transfer, skip_empty_lines, start_line};
use super::{
    Error, FieldStorage, Fields, MAX_HEAD, Values, Version, check_partial, is_token_byte, list,
    parse_decimal,
};

/// A request head that is legal, with the fields a file server reads already interpreted.
///
/// Fields that hold one value are an `Option`: a request that repeats one is refused, since which
/// of them counts would be a guess that another program on the way may make differently. Fields
/// that hold a list are [`Values`], one for each line.
#[derive(Clone, Debug)]
pub struct Request<'h, 'b> {
    /// What is to be done.
    pub method: Method,
    /// To what.
    pub target: Target<'b>,
    /// The request target as it stood in the request line, for logs and redirects.
    pub raw_target: &'b [u8],
    /// The version of the protocol; nothing above 1.1.
    pub version: Version,
    /// The authority asked for: of an absolute-form target, else of `Host`. Always there in
    /// HTTP/1.1, and possibly empty.
    pub host: Option<&'b [u8]>,
    /// Whether the client would like to use the connection again (RFC 9112 section 9.3).
    pub keep_alive: bool,
    /// How the body is delimited.
    pub framing: Framing,
    /// Whether the client waits for `100 (Continue)` before it sends the body.
    pub expect_continue: bool,
    /// `Accept` (RFC 9110 section 12.5.1).
    pub accept: Values<'h, 'b>,
    /// `Accept-Encoding` (RFC 9110 section 12.5.3).
    pub accept_encoding: Values<'h, 'b>,
    /// `If-Match` (RFC 9110 section 13.1.1).
    pub if_match: Values<'h, 'b>,
    /// `If-None-Match` (RFC 9110 section 13.1.2).
    pub if_none_match: Values<'h, 'b>,
    /// `Cookie` (RFC 6265 section 5.4).
    pub cookie: Values<'h, 'b>,
    /// `Range` (RFC 9110 section 14.2).
    pub range: Option<&'b [u8]>,
    /// `If-Range` (RFC 9110 section 13.1.5).
    pub if_range: Option<&'b [u8]>,
    /// `If-Modified-Since` (RFC 9110 section 13.1.3).
    pub if_modified_since: Option<&'b [u8]>,
    /// `If-Unmodified-Since` (RFC 9110 section 13.1.4).
    pub if_unmodified_since: Option<&'b [u8]>,
    /// `Authorization` (RFC 9110 section 11.6.2).
    pub authorization: Option<&'b [u8]>,
    /// `Content-Type` (RFC 9110 section 8.3).
    pub content_type: Option<&'b [u8]>,
    /// `Origin` (RFC 6454 section 7).
    pub origin: Option<&'b [u8]>,
    /// `User-Agent`: the first, as it serves the logs only.
    pub user_agent: Option<&'b [u8]>,
    /// `Referer`: the first, as it serves the logs only.
    pub referer: Option<&'b [u8]>,
    /// All fields.
    pub fields: Fields<'h, 'b>,
}

impl<'h, 'b> Request<'h, 'b> {
    /// Parses the request head at the front of `bytes`, and gives it with its length in bytes;
    /// the body, or the next request, begins there.
    ///
    /// `Ok(None)` means that the head is not complete. Each call starts from the front, so where
    /// a head trickles in, ask [`head_end`](super::head_end) and [`check_partial`] first.
    ///
    /// # Errors
    /// The status to answer with before the connection is closed: 400 for what is malformed or
    /// ambiguous, 414, 417 (an unknown expectation), 431, 501 (an unknown method or transfer
    /// coding), 505. The client must not be believed about where the next request begins.
    pub fn parse(
        bytes: &'b [u8],
        storage: &'h mut FieldStorage<'b>,
    ) -> Result<Option<(Self, usize)>, Error> {
        let skipped = skip_empty_lines(bytes);
        let head = &bytes[skipped..];
        let Some((line, line_len)) = start_line(head) else {
            check_partial(bytes)?;
            return Ok(None);
        };
        let (method, raw_target, version) = parse_request_line(line)?;
        let (target, authority) = Target::parse(method, raw_target)?;
        let Some((fields, fields_len)) = Fields::parse(&head[line_len..], storage)? else {
            check_partial(bytes)?;
            return Ok(None);
        };
        if line_len + fields_len > MAX_HEAD {
            return Err(Error::new(431, "header section too large"));
        }
        let mut request = Self {
            method,
            target,
            raw_target,
            version,
            host: None,
            keep_alive: false,
            framing: Framing::None,
            expect_continue: false,
            accept: Values::default(),
            accept_encoding: Values::default(),
            if_match: Values::default(),
            if_none_match: Values::default(),
            cookie: Values::default(),
            range: None,
            if_range: None,
            if_modified_since: None,
            if_unmodified_since: None,
            authorization: None,
            content_type: None,
            origin: None,
            user_agent: None,
            referer: None,
            fields,
        };
        request.interpret(authority)?;
        Ok(Some((request, skipped + line_len + fields_len)))
    }

    /// One pass over the fields.
    fn interpret(&mut self, authority: Option<&'b [u8]>) -> Result<(), Error> {
        let fields = self.fields;
        let mut facts = Facts::default();
        for (index, (name, value)) in fields.iter().enumerate() {
            let is = |known: &str| name.eq_ignore_ascii_case(known);
            // The lengths are there so that a field is compared with one or two names, not twenty.
            match name.len() {
                4 if is("Host") => once(&mut self.host, value)?,
                5 if is("Range") => once(&mut self.range, value)?,
                6 if is("Accept") => start(&mut self.accept, fields, index, "Accept"),
                6 if is("Cookie") => start(&mut self.cookie, fields, index, "Cookie"),
                6 if is("Expect") => self.expect(value)?,
                6 if is("Origin") => once(&mut self.origin, value)?,
                7 if is("Referer") => self.referer = self.referer.or(Some(value)),
                8 if is("If-Match") => start(&mut self.if_match, fields, index, "If-Match"),
                8 if is("If-Range") => once(&mut self.if_range, value)?,
                10 if is("Connection") => facts.add_connection(value),
                10 if is("User-Agent") => self.user_agent = self.user_agent.or(Some(value)),
                12 if is("Content-Type") => once(&mut self.content_type, value)?,
                13 if is("Authorization") => once(&mut self.authorization, value)?,
                13 if is("If-None-Match") => {
                    start(&mut self.if_none_match, fields, index, "If-None-Match");
                }
                14 if is("Content-Length") => facts.add_length(value)?,
                15 if is("Accept-Encoding") => {
                    start(&mut self.accept_encoding, fields, index, "Accept-Encoding");
                }
                17 if is("Transfer-Encoding") => facts.add_transfer(value),
                17 if is("If-Modified-Since") => once(&mut self.if_modified_since, value)?,
                19 if is("If-Unmodified-Since") => once(&mut self.if_unmodified_since, value)?,
                _ => {}
            }
        }
        match self.host {
            None if self.version == Version::Http11 => return Err(Error::bad("Host is missing")),
            // An empty Host is what a client sends whose URL has no authority.
            Some(host) if !host.is_empty() && !is_authority(host) => {
                return Err(Error::bad("bad Host"));
            }
            _ => self.host = authority.or(self.host),
        }
        self.keep_alive = facts.persists(self.version);
        self.framing = Framing::of_request(&facts, self.version)?;
        self.expect_continue &= self.framing != Framing::None;
        Ok(())
    }

    /// `Expect` means nothing in HTTP/1.0 (RFC 9110 section 10.1.1).
    fn expect(&mut self, value: &[u8]) -> Result<(), Error> {
        if self.version == Version::Http11 {
            if !list(value).all(|expected| expected.eq_ignore_ascii_case(b"100-continue")) {
                return Err(Error::new(417, "unknown expectation"));
            }
            self.expect_continue = true;
        }
        Ok(())
    }
}

/// Fills the slot of a field that may stand once.
fn once<'b>(slot: &mut Option<&'b [u8]>, value: &'b [u8]) -> Result<(), Error> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(Error::bad("header field repeated")),
    }
}

/// Notes where a list field stands for the first time.
fn start<'h, 'b>(
    slot: &mut Values<'h, 'b>,
    fields: Fields<'h, 'b>,
    index: usize,
    name: &'static str,
) {
    if slot.is_empty() {
        *slot = fields.all_from(index, name);
    }
}

fn parse_request_line(line: &[u8]) -> Result<(Method, &[u8], Version), Error> {
    let malformed = Error::bad("malformed request line");
    let mut words = line.split(|byte| *byte == b' ');
    let (Some(method), Some(target), Some(version), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(malformed);
    };
    let version = Version::parse(version)?;
    let legal = |byte: &u8| *byte > b' ' && *byte != 0x7f && *byte != b'#';
    if target.is_empty() || !target.iter().all(legal) {
        return Err(malformed);
    }
    Ok((Method::parse(method)?, target, version))
}

/// What is to be done with the target (RFC 9110 section 9; MKCOL, MOVE and COPY RFC 4918).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is the method it is named after")]
pub enum Method {
    Get,
    Head,
    Options,
    Put,
    Post,
    Delete,
    Patch,
    Mkcol,
    Move,
    Copy,
    /// Known so that a client can ask a proxy for it; [`Request::parse`] refuses it.
    Connect,
    Trace,
}

impl Method {
    /// Every method, for an `Allow` field or a table.
    pub const ALL: [Self; 12] = [
        Self::Get,
        Self::Head,
        Self::Options,
        Self::Put,
        Self::Post,
        Self::Delete,
        Self::Patch,
        Self::Mkcol,
        Self::Move,
        Self::Copy,
        Self::Connect,
        Self::Trace,
    ];

    /// Reads a method, whose case matters (RFC 9110 section 9.1).
    ///
    /// # Errors
    /// 501 for a method we don't know, 400 for what is not even a token.
    pub fn parse(token: &[u8]) -> Result<Self, Error> {
        Ok(match token {
            b"GET" => Self::Get,
            b"HEAD" => Self::Head,
            b"OPTIONS" => Self::Options,
            b"PUT" => Self::Put,
            b"POST" => Self::Post,
            b"DELETE" => Self::Delete,
            b"PATCH" => Self::Patch,
            b"MKCOL" => Self::Mkcol,
            b"MOVE" => Self::Move,
            b"COPY" => Self::Copy,
            b"CONNECT" => Self::Connect,
            b"TRACE" => Self::Trace,
            _ if !token.is_empty() && token.iter().all(|byte| is_token_byte(*byte)) => {
                return Err(Error::new(501, "unknown method"));
            }
            _ => return Err(Error::bad("malformed method")),
        })
    }

    /// The method as it stands in a request line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Options => "OPTIONS",
            Self::Put => "PUT",
            Self::Post => "POST",
            Self::Delete => "DELETE",
            Self::Patch => "PATCH",
            Self::Mkcol => "MKCOL",
            Self::Move => "MOVE",
            Self::Copy => "COPY",
            Self::Connect => "CONNECT",
            Self::Trace => "TRACE",
        }
    }

    /// Whether the method only reads (RFC 9110 section 9.2.1).
    pub const fn is_safe(self) -> bool {
        matches!(self, Self::Get | Self::Head | Self::Options | Self::Trace)
    }
}

/// What a request is about (RFC 9112 section 3.2), still percent-encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target<'b> {
    /// The path, which begins with `/`; or `*`, the server as a whole, with OPTIONS only.
    pub path: &'b [u8],
    /// What follows the first `?`, if there is one.
    pub query: Option<&'b [u8]>,
}

impl<'b> Target<'b> {
    /// Reads any of the four forms, and gives the authority of an absolute one.
    fn parse(method: Method, raw: &'b [u8]) -> Result<(Self, Option<&'b [u8]>), Error> {
        match raw {
            // Its target is an authority and means: be a tunnel. An origin server is not one.
            _ if method == Method::Connect => Err(Error::new(501, "this server is no proxy")),
            [b'/', ..] => Ok((Self::split(raw), None)),
            b"*" if method == Method::Options => Ok((
                Self {
                    path: raw,
                    query: None,
                },
                None,
            )),
            _ => Self::parse_absolute(method, raw),
        }
    }

    fn parse_absolute(method: Method, raw: &'b [u8]) -> Result<(Self, Option<&'b [u8]>), Error> {
        let malformed = Error::bad("malformed request target");
        let colon = memchr::memchr(b':', raw).ok_or(malformed)?;
        let (scheme, rest) = raw.split_at(colon);
        let known = scheme.eq_ignore_ascii_case(b"http") || scheme.eq_ignore_ascii_case(b"https");
        let rest = rest
            .strip_prefix(b"://")
            .filter(|_| known)
            .ok_or(malformed)?;
        let end = memchr::memchr2(b'/', b'?', rest).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        if !is_authority(authority) {
            return Err(malformed);
        }
        let target = match Self::split(path) {
            // RFC 9112 section 3.2.4: what a proxy makes of `OPTIONS *`.
            Self {
                path: b"",
                query: None,
            } if method == Method::Options => Self {
                path: b"*",
                query: None,
            },
            Self { path: b"", query } => Self { path: b"/", query },
            target => target,
        };
        Ok((target, Some(authority)))
    }

    fn split(raw: &'b [u8]) -> Self {
        match memchr::memchr(b'?', raw) {
            Some(at) => Self {
                path: &raw[..at],
                query: Some(&raw[at + 1..]),
            },
            None => Self {
                path: raw,
                query: None,
            },
        }
    }

    /// Whether the request is about the server as a whole: `OPTIONS *`.
    pub fn is_asterisk(&self) -> bool {
        self.path == b"*"
    }
}

/// Whether `text` is `host [":" port]` (RFC 9110 section 7.2). User information is refused: it
/// has no place in HTTP (section 4.2.4).
fn is_authority(text: &[u8]) -> bool {
    let (host_is_legal, rest) = if let Some(literal) = text.strip_prefix(b"[") {
        let Some(end) = memchr::memchr(b']', literal) else {
            return false;
        };
        let address = str::from_utf8(&literal[..end]);
        (
            address.is_ok_and(|text| text.parse::<Ipv6Addr>().is_ok()),
            &literal[end + 1..],
        )
    } else {
        let (name, port) = text.split_at(memchr::memchr(b':', text).unwrap_or(text.len()));
        (
            !name.is_empty() && name.iter().all(|byte| is_name_byte(*byte)),
            port,
        )
    };
    host_is_legal
        && match rest {
            [] | [b':'] => true,
            [b':', port @ ..] => parse_decimal(port).is_some_and(|port| port <= 65535),
            _ => false,
        }
}

/// Whether `byte` may stand in a registered name (RFC 3986 section 3.2.2).
const fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'%')
        || matches!(
            byte,
            b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'='
        )
}

/// How the body of a request is delimited (RFC 9112 section 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// There is none.
    None,
    /// So many bytes. May be zero, which unlike `None` was said in so many words.
    Length(u64),
    /// Chunks: see [`Chunked`](super::Chunked).
    Chunked,
}

impl Framing {
    fn of_request(facts: &Facts, version: Version) -> Result<Self, Error> {
        match (facts.transfer, facts.length) {
            (Transfer::Absent, None) => Ok(Self::None),
            (Transfer::Absent, Some(length)) => Ok(Self::Length(length)),
            // Two parsers that see different ends of one message: request smuggling.
            (_, Some(_)) => Err(Error::bad("both Transfer-Encoding and Content-Length")),
            (_, None) if version == Version::Http10 => {
                Err(Error::bad("Transfer-Encoding in HTTP/1.0"))
            }
            (Transfer::Chunked, None) => Ok(Self::Chunked),
            (Transfer::Unknown, None) => Err(Error::new(501, "unknown transfer coding")),
            (Transfer::Unframed, None) => {
                Err(Error::bad("Transfer-Encoding does not end in chunked"))
            }
        }
    }
}
