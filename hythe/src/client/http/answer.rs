//! [`Answer`]: the head of a response, kept, and what its fields say to a
//! client.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hythe_wire::http::{self, Response, is_entity_tag, list, split_outside_quotes};
use percent_encoding::percent_decode;

use super::super::{Error, Reason, Version};
use crate::visible::visible;

/// How much of what a server says is shown, in characters: a line or two.
const SHOWN: usize = 200;

/// How a response begins.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: http::Body,
    pub(crate) keep_alive: bool,
    /// All of it, as it came.
    pub(super) head: Vec<u8>,
    reason: String,
    fields: Vec<(String, Vec<u8>)>,
}

/// What `Content-Range` says: of a part, or only how many bytes there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ContentRange {
    /// From where to where, the end exclusive.
    pub(super) part: Option<(u64, u64)>,
    pub(super) total: Option<u64>,
}

impl Answer {
    pub(super) fn new(response: &Response<'_, '_>, head: &[u8]) -> Self {
        let fields = response.fields.iter();
        Self {
            status: response.status,
            body: response.body,
            keep_alive: response.keep_alive,
            head: head.to_vec(),
            reason: shown(response.reason),
            fields: fields
                .map(|(name, value)| (name.to_owned(), value.to_vec()))
                .collect(),
        }
    }

    /// Whether another head follows this one.
    pub(crate) fn is_interim(&self) -> bool {
        self.status < 200 && self.status != 101
    }

    /// All fields, in the order they came.
    pub(crate) fn fields(&self) -> impl Iterator<Item = (&str, &[u8])> {
        let fields = self.fields.iter();
        fields.map(|(name, value)| (name.as_str(), value.as_slice()))
    }

    pub(super) fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// Whether it sends us elsewhere.
    pub(super) fn is_redirect(&self) -> bool {
        matches!(self.status, 301 | 302 | 303 | 307 | 308)
    }

    /// The first field of this name.
    pub(crate) fn field(&self, name: &str) -> Option<&[u8]> {
        let found = self.fields.iter();
        let mut found = found.filter(|(known, _)| known.eq_ignore_ascii_case(name));
        found.next().map(|(_, value)| value.as_slice())
    }

    /// A field that is a number.
    pub(super) fn number(&self, name: &str) -> Option<u64> {
        number(self.field(name)?)
    }

    /// The codings that the content is in, identity left out.
    pub(super) fn codings(&self) -> Vec<String> {
        let fields = self.fields.iter();
        fields
            .filter(|(name, _)| name.eq_ignore_ascii_case("Content-Encoding"))
            .flat_map(|(_, value)| list(value))
            .map(|coding| String::from_utf8_lossy(coding).to_ascii_lowercase())
            .filter(|coding| coding != "identity")
            .collect()
    }

    /// The media type, without parameters, in small letters.
    pub(super) fn media_type(&self) -> String {
        let value = self.field("Content-Type").unwrap_or_default();
        let media_type = split_outside_quotes(value, b';').next();
        String::from_utf8_lossy(media_type.unwrap_or_default()).to_ascii_lowercase()
    }

    /// What is known of the version of what was asked for, but for its size.
    /// A weak tag does not tell whether bytes are the same.
    pub(super) fn version(&self) -> Version {
        let etag = self.field("ETag").map(<[u8]>::trim_ascii);
        let strong = etag.filter(|etag| is_entity_tag(etag) && etag.starts_with(b"\""));
        Version {
            etag: strong.and_then(|etag| String::from_utf8(etag.to_vec()).ok()),
            modified: self.field("Last-Modified").and_then(date),
            size: None,
        }
    }

    pub(super) fn content_range(&self) -> Option<ContentRange> {
        content_range(self.field("Content-Range")?)
    }

    /// What it would be called on this machine.
    pub(super) fn name(&self) -> Option<Vec<u8>> {
        file_name(self.field("Content-Disposition")?)
    }

    /// Its status and reason, as people read them.
    pub(super) fn line(&self) -> String {
        let reason = match self.reason.as_str() {
            "" => http::reason(self.status),
            reason => reason,
        };
        format!("{} {reason}", self.status).trim_end().to_owned()
    }

    /// What it means that this is no success. `said` is what the server says in
    /// the body, if it is for people; `named` is whether we told who we are.
    pub(super) fn refusal(&self, said: &str, named: bool) -> Error {
        let mut text = self.line();
        // Some, as ours, begin by saying it again.
        let more = said.strip_prefix(&*text).unwrap_or(said);
        let more = more.trim_start_matches([':', ' ']);
        if !more.is_empty() {
            text = format!("{text}: {more}");
        }
        let reason = match self.status {
            401 => {
                let text = if named {
                    "the server does not accept the name or the password"
                } else {
                    "the server asks for a password; give it with --user NAME, in the URL \
                     (http://NAME:PASSWORD@…) or in ~/.netrc"
                };
                return Error::new(Reason::NotAllowed, text);
            }
            407 => {
                let text = "the proxy asks for a password; give it in the proxy's URL \
                            (http://NAME:PASSWORD@…)";
                return Error::new(Reason::NotAllowed, text);
            }
            403 => Reason::NotAllowed,
            404 | 410 => Reason::NotFound,
            412 => Reason::Exists,
            413 | 507 => Reason::NoSpace,
            408 | 423 | 429 | 503 => Reason::Busy(self.retry_after()),
            502 | 504 => Reason::Busy(None),
            405 | 501 => Reason::Unsupported,
            _ => Reason::Protocol,
        };
        Error::new(reason, text)
    }

    /// When to come back: after so many seconds, or at a date.
    fn retry_after(&self) -> Option<Duration> {
        let value = self.field("Retry-After")?.trim_ascii();
        if let Some(seconds) = number(value) {
            return Some(Duration::from_secs(seconds));
        }
        let at = httpdate::parse_http_date(std::str::from_utf8(value).ok()?).ok()?;
        // What is over is now.
        Some(at.duration_since(SystemTime::now()).unwrap_or_default())
    }
}

/// `1*DIGIT`.
fn number(text: &[u8]) -> Option<u64> {
    let text = text.trim_ascii();
    let digits = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(text)
        .ok()
        .filter(|_| digits)?
        .parse()
        .ok()
}

/// A date of HTTP's, in seconds since 1970.
pub(super) fn date(value: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(value).ok()?.trim();
    let time = httpdate::parse_http_date(text).ok()?;
    let since = time.duration_since(UNIX_EPOCH).ok()?;
    i64::try_from(since.as_secs()).ok()
}

/// `bytes 0-4/10`, `bytes 0-4/*`, `bytes */10` (RFC 9110 section 14.4).
fn content_range(value: &[u8]) -> Option<ContentRange> {
    let text = std::str::from_utf8(value).ok()?.trim();
    let (unit, rest) = text.split_once(' ')?;
    if !unit.eq_ignore_ascii_case("bytes") {
        return None;
    }
    let (part, total) = rest.trim().split_once('/')?;
    let total = match total {
        "*" => None,
        total => Some(number(total.as_bytes())?),
    };
    let part = match part {
        "*" => None,
        part => {
            let (first, last) = part.split_once('-')?;
            let (first, last) = (number(first.as_bytes())?, number(last.as_bytes())?);
            let end = last.checked_add(1)?;
            let fits = first < end && total.is_none_or(|total| end <= total);
            Some(fits.then_some((first, end))?)
        }
    };
    Some(ContentRange { part, total })
}

/// The name in a `Content-Disposition` (RFC 6266): the last part of what may
/// look like a path, without control characters; `None` if nothing is left that
/// a file could be called.
fn file_name(value: &[u8]) -> Option<Vec<u8>> {
    let (mut plain, mut extended) = (None, None);
    for parameter in split_outside_quotes(value, b';').skip(1) {
        let Some(equals) = parameter.iter().position(|byte| *byte == b'=') else {
            continue;
        };
        let (name, value) = (parameter[..equals].trim_ascii(), &parameter[equals + 1..]);
        if name.eq_ignore_ascii_case(b"filename*") {
            extended = extended.or_else(|| decode_extended(value.trim_ascii()));
        } else if name.eq_ignore_ascii_case(b"filename") {
            plain = plain.or_else(|| Some(unquoted(value.trim_ascii())));
        }
    }
    extended.and_then(fit_name).or_else(|| fit_name(plain?))
}

/// `UTF-8''%E6%9D%A5.txt` (RFC 8187 section 3.2).
fn decode_extended(value: &[u8]) -> Option<Vec<u8>> {
    let mut pieces = value.splitn(3, |byte| *byte == b'\'');
    let (charset, _language, text) = (pieces.next()?, pieces.next()?, pieces.next()?);
    let bytes: Vec<u8> = percent_decode(text).collect();
    if charset.eq_ignore_ascii_case(b"UTF-8") {
        Some(bytes)
    } else if charset.eq_ignore_ascii_case(b"ISO-8859-1") {
        let text: String = bytes.into_iter().map(char::from).collect();
        Some(text.into_bytes())
    } else {
        None
    }
}

fn unquoted(value: &[u8]) -> Vec<u8> {
    let inside = value.strip_prefix(b"\"");
    let Some(inside) = inside.and_then(|value| value.strip_suffix(b"\"")) else {
        return value.to_vec();
    };
    let mut out = Vec::with_capacity(inside.len());
    let mut bytes = inside.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' => out.extend(bytes.next()),
            byte => out.push(*byte),
        }
    }
    out
}

fn fit_name(name: Vec<u8>) -> Option<Vec<u8>> {
    // Some servers send a path of their own, of Windows as well.
    let last = name.rsplit(|byte| matches!(byte, b'/' | b'\\')).next()?;
    let name = match std::str::from_utf8(last) {
        Ok(text) => {
            let kept = text.chars().filter(|letter| !letter.is_control());
            kept.collect::<String>().trim().as_bytes().to_vec()
        }
        Err(_) => {
            let kept = last.iter().filter(|byte| !byte.is_ascii_control());
            kept.copied().collect()
        }
    };
    (!matches!(name.as_slice(), b"" | b"." | b"..")).then_some(name)
}

/// What a server said, for a terminal: control characters are made visible, and
/// there is an end to it.
pub(super) fn shown(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let some: String = text.trim().chars().take(SHOWN).collect();
    visible(&some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_names_and_nothing_else() {
        for (value, expected) in [
            ("attachment", None),
            ("attachment; filename=a.txt", Some("a.txt")),
            ("attachment; FileName=\"a b.txt\"", Some("a b.txt")),
            ("attachment; filename=\"a;\\\"b\"", Some("a;\"b")),
            ("attachment; filename=\"../../x\"", Some("x")),
            ("attachment; filename=\"..\\\\..\\\\x\"", Some("x")),
            ("attachment; filename=\"/etc/\"", None),
            ("attachment; filename=\"..\"", None),
            ("attachment; filename=\" . \"", None),
            ("attachment; filename=\"\"", None),
            (
                "attachment; filename=\"_\"; filename*=UTF-8''%E6%9D%A5.txt",
                Some("来.txt"),
            ),
            ("a; filename*=UTF-8''..%2Fx%1B%5B2J", Some("x[2J")),
            ("a; filename*=UTF-8''%2E%2E; filename=b", Some("b")),
            ("a; filename*=iso-8859-1'en'%E9", Some("é")),
            ("a; filename*=koi8-r''%E9; filename=b", Some("b")),
            ("a; filename*=%E9; filename=b", Some("b")),
        ] {
            let found = file_name(value.as_bytes());
            let found = found.map(|name| String::from_utf8(name).unwrap());
            assert_eq!(found.as_deref(), expected, "{value}");
        }
    }

    #[test]
    fn ranges_are_possible_ones() {
        let part = |start, end, total| {
            Some(ContentRange {
                part: Some((start, end)),
                total,
            })
        };
        for (value, expected) in [
            ("bytes 0-4/10", part(0, 5, Some(10))),
            ("BYTES 5-9/*", part(5, 10, None)),
            (
                "bytes */10",
                Some(ContentRange {
                    part: None,
                    total: Some(10),
                }),
            ),
            ("bytes 5-4/10", None),
            ("bytes 5-10/10", None),
            ("bytes 0-18446744073709551615/*", None),
            ("bytes 0-4/+10", None),
            ("bytes -4/10", None),
            ("lines 0-4/10", None),
            ("bytes", None),
        ] {
            assert_eq!(content_range(value.as_bytes()), expected, "{value}");
        }
    }

    #[test]
    fn what_servers_say_is_shown_in_one_harmless_line() {
        assert_eq!(shown(b" a\x1b[2J\r\nb\xff "), "a\\u{1b}[2J\\r\\nb\u{fffd}");
        assert_eq!(shown(&[b'a'; 5000]).len(), SHOWN);
    }
}
