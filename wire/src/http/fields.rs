//! The small grammars inside field values: lists, qualities, entity tags, file names.

use alloc::{string::String, vec::Vec};

use super::trim;

/// The members of a comma-separated list (RFC 9110 section 5.6.1), trimmed, empty ones left out.
/// A comma inside a quoted string separates nothing.
///
/// ```
/// use hythe_wire::http::list;
///
/// let members: Vec<_> = list(br#"a, "b, c" ,, d"#).collect();
/// assert_eq!(members, [&b"a"[..], br#""b, c""#, b"d"]);
/// ```
pub fn list(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    split_outside_quotes(value, b',').filter(|member| !member.is_empty())
}

/// The trimmed pieces of `value` between each `separator` that is not inside a quoted string
/// (RFC 9110 section 5.6.4). With `;` it splits a value from its parameters.
pub fn split_outside_quotes(value: &[u8], separator: u8) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(value);
    core::iter::from_fn(move || {
        let text = rest?;
        let (piece, after) = split_once_outside_quotes(text, separator);
        rest = after;
        Some(trim(piece))
    })
}

fn split_once_outside_quotes(text: &[u8], separator: u8) -> (&[u8], Option<&[u8]>) {
    let (mut quoted, mut escaped) = (false, false);
    for (at, byte) in text.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            _ if *byte == separator && !quoted => return (&text[..at], Some(&text[at + 1..])),
            _ => {}
        }
    }
    (text, None)
}

/// Reads a quality value as thousandths, 0 to 1000 (RFC 9110 section 12.4.2).
///
/// ```
/// use hythe_wire::http::quality;
///
/// assert_eq!(quality(b"0.25"), Some(250));
/// assert_eq!(quality(b"1.001"), None);
/// ```
pub fn quality(text: &[u8]) -> Option<u16> {
    let (whole, fraction) = match text {
        [whole @ (b'0' | b'1')] => (whole, &[][..]),
        [whole @ (b'0' | b'1'), b'.', fraction @ ..] if fraction.len() <= 3 => (whole, fraction),
        _ => return None,
    };
    let mut thousandths = u16::from(whole - b'0') * 1000;
    for (digit, worth) in fraction.iter().zip([100, 10, 1]) {
        thousandths += u16::from(digit.checked_sub(b'0').filter(|digit| *digit < 10)?) * worth;
    }
    Some(thousandths).filter(|thousandths| *thousandths <= 1000)
}

/// Splits `gzip;q=0.5` into the name and its quality; a quality that is malformed counts as 0, so
/// that what we don't understand is not used.
fn weighed(member: &[u8]) -> (&[u8], u16) {
    let mut pieces = split_outside_quotes(member, b';');
    let name = pieces.next().unwrap_or_default();
    let weight = pieces.find_map(|parameter| match parameter {
        [b'q' | b'Q', b'=', text @ ..] => Some(quality(text).unwrap_or(0)),
        _ => None,
    });
    (name, weight.unwrap_or(1000))
}

/// A content coding that we know (RFC 9110 section 8.4.1, RFC 7932, RFC 8878).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    /// No coding.
    Identity,
    /// `gzip`
    Gzip,
    /// `br`
    Br,
    /// `zstd`
    Zstd,
}

impl Coding {
    /// Every coding.
    pub const ALL: [Self; 4] = [Self::Identity, Self::Gzip, Self::Br, Self::Zstd];

    /// The name in `Content-Encoding`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Gzip => "gzip",
            Self::Br => "br",
            Self::Zstd => "zstd",
        }
    }

    /// Reads a coding's name, in any case.
    pub fn parse(name: &[u8]) -> Option<Self> {
        // RFC 9110 section 8.4.1.3: `x-gzip` is the same thing.
        let name = if name.eq_ignore_ascii_case(b"x-gzip") {
            b"gzip"
        } else {
            name
        };
        Self::ALL
            .into_iter()
            .find(|coding| name.eq_ignore_ascii_case(coding.as_str().as_bytes()))
    }
}

/// Which content codings a client accepts, and how gladly (RFC 9110 section 12.5.3).
///
/// ```
/// use hythe_wire::http::{Coding, Encodings};
///
/// let accepted = Encodings::parse([&b"gzip;q=0.5, br"[..], b"zstd;q=0"]);
/// assert_eq!(accepted.quality(Coding::Br), 1000);
/// assert_eq!(accepted.quality(Coding::Gzip), 500);
/// assert!(!accepted.accepts(Coding::Zstd));
/// assert!(accepted.accepts(Coding::Identity));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Encodings([u16; 4]);

impl Encodings {
    /// Reads every `Accept-Encoding` value of a request. Without any, only `identity` is accepted:
    /// the RFC would allow all, but a client that says nothing tends to understand nothing.
    pub fn parse<'b>(values: impl IntoIterator<Item = &'b [u8]>) -> Self {
        let mut named = [None; 4];
        let mut others = None;
        for (name, weight) in values.into_iter().flat_map(list).map(weighed) {
            if name == b"*" {
                others = Some(weight);
            } else if let Some(coding) = Coding::parse(name) {
                named[coding as usize] = Some(weight);
            }
        }
        // Identity is fine unless it was excluded, but anything the client named comes before it.
        let unnamed_identity = if others == Some(0) { 0 } else { 1 };
        Self(Coding::ALL.map(|coding| {
            let unnamed = match coding {
                Coding::Identity => unnamed_identity,
                _ => others.unwrap_or(0),
            };
            named[coding as usize].unwrap_or(unnamed)
        }))
    }

    /// How gladly `coding` is accepted: 0 (not at all) to 1000.
    pub const fn quality(self, coding: Coding) -> u16 {
        self.0[coding as usize]
    }

    /// Whether `coding` is accepted at all.
    pub const fn accepts(self, coding: Coding) -> bool {
        self.quality(coding) > 0
    }
}

/// Whether a client that sent these `Accept` values would rather have JSON than HTML (RFC 9110
/// section 12.5.1).
///
/// The higher quality decides; of two equal ones the one that was asked for by name, so that
/// `application/json, */*` gets JSON and `*/*` alone HTML.
pub fn accepts_json_before_html<'b>(values: impl IntoIterator<Item = &'b [u8]>) -> bool {
    let mut json = Preference::default();
    let mut html = Preference::default();
    for (range, weight) in values.into_iter().flat_map(list).map(weighed) {
        json.consider(range, weight, b"application/json", b"application/*");
        html.consider(range, weight, b"text/html", b"text/*");
    }
    json.weight > 0 && (json.weight, json.specific) > (html.weight, html.specific)
}

/// What the most specific media range so far says of one media type.
#[derive(Default)]
struct Preference {
    weight: u16,
    specific: u8,
}

impl Preference {
    fn consider(&mut self, range: &[u8], weight: u16, exact: &[u8], family: &[u8]) {
        let specific = match range {
            _ if range.eq_ignore_ascii_case(exact) => 3,
            _ if range.eq_ignore_ascii_case(family) => 2,
            b"*/*" => 1,
            _ => return,
        };
        if specific >= self.specific {
            *self = Self { weight, specific };
        }
    }
}

/// How two entity tags are compared (RFC 9110 section 8.8.3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// Both must be strong: `If-Match`, `If-Range`.
    Strong,
    /// Weakness is ignored: `If-None-Match`.
    Weak,
}

/// Whether any entity tag of an `If-Match` or `If-None-Match` matches `current`, the tag of what
/// is there now with its quotes; `None` if nothing is. `*` matches whatever there is.
///
/// A list is read up to the first thing in it that is no entity tag: what is malformed matches
/// nothing, which fails an `If-Match` and sends the whole for an `If-None-Match`.
///
/// ```
/// use hythe_wire::http::{Comparison, matches_etag};
///
/// let sent = [&br#""a", W/"b""#[..]];
/// assert!(matches_etag(sent, Some(br#""b""#), Comparison::Weak));
/// assert!(!matches_etag(sent, Some(br#""b""#), Comparison::Strong));
/// ```
pub fn matches_etag<'b>(
    values: impl IntoIterator<Item = &'b [u8]>,
    current: Option<&[u8]>,
    comparison: Comparison,
) -> bool {
    let Some(current) = current else { return false };
    values.into_iter().any(|value| {
        trim(value) == b"*" || etags(value).any(|sent| etags_equal(sent, current, comparison))
    })
}

fn etags_equal(left: &[u8], right: &[u8], comparison: Comparison) -> bool {
    match comparison {
        Comparison::Strong => left == right && !left.starts_with(b"W/"),
        Comparison::Weak => opaque(left) == opaque(right),
    }
}

fn opaque(etag: &[u8]) -> &[u8] {
    etag.strip_prefix(b"W/").unwrap_or(etag)
}

/// The entity tags of a list. Not [`list`]: a backslash in an entity tag escapes nothing.
fn etags(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = value;
    core::iter::from_fn(move || {
        while let [b' ' | b'\t' | b',', after @ ..] = rest {
            rest = after;
        }
        let start = if rest.starts_with(b"W/") { 2 } else { 0 };
        let inside = rest.get(start..)?.strip_prefix(b"\"")?;
        let end = start + 1 + memchr::memchr(b'"', inside)? + 1;
        let (etag, after) = rest.split_at(end);
        rest = after;
        Some(etag)
    })
}

/// Whether an `If-Range` value is an entity tag; otherwise it is a date (RFC 9110 section 13.1.5).
pub fn is_entity_tag(value: &[u8]) -> bool {
    etags(value).next() == Some(value)
}

/// Appends a `Content-Disposition` value for a file called `name` (RFC 6266, RFC 8187).
///
/// `kind` is `inline` or `attachment`. Any name is safe: what could end the quoted string, break
/// the line or not be ASCII becomes `_` in `filename`, and `filename*` then carries the whole
/// name as UTF-8 (bytes that are not UTF-8 as U+FFFD).
///
/// ```
/// use hythe_wire::http::content_disposition;
///
/// let mut value = Vec::new();
/// content_disposition("attachment", "来\"\r\n.txt".as_bytes(), &mut value);
/// assert_eq!(
///     value,
///     br#"attachment; filename="____.txt"; filename*=UTF-8''%E6%9D%A5%22%0D%0A.txt"#
/// );
/// ```
pub fn content_disposition(kind: &str, name: &[u8], out: &mut Vec<u8>) {
    let name = String::from_utf8_lossy(name);
    // `%` is left out because some browsers decode it in the plain form.
    let plain = |letter: char| matches!(letter, ' '..='~') && !matches!(letter, '"' | '\\' | '%');
    out.extend_from_slice(kind.as_bytes());
    out.extend_from_slice(b"; filename=\"");
    out.extend(
        name.chars()
            .map(|letter| if plain(letter) { letter as u8 } else { b'_' }),
    );
    out.push(b'"');
    if !name.chars().all(plain) {
        out.extend_from_slice(b"; filename*=UTF-8''");
        for byte in name.bytes() {
            if byte.is_ascii_alphanumeric() || b"!#$&+-.^_`|~".contains(&byte) {
                out.push(byte);
            } else {
                out.push(b'%');
                out.extend([byte >> 4, byte & 15].map(|half| b"0123456789ABCDEF"[half as usize]));
            }
        }
    }
}
