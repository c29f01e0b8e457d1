//! CGI/1.1 (RFC 3875): what a script is told, and how its answer begins.
//!
//! ```text
//!   request ─► Meta::variables ─► environment, or FastCGI's parameters
//!
//!   output  ─► ScriptHead::parse ─► status, length, fields; then the body
//! ```
//!
//! In scope: the meta-variables (section 4.1), which fields of a request become some and which do
//! not, and the head of a script's response (section 6).
//!
//! Out of scope: running anything, and finding out which script a path means. There are no
//! arguments for a script (section 4.4): what a stranger puts into a query is no command line.
//!
//! ```
//! use hythe_wire::http::{FieldStorage, cgi::ScriptHead};
//!
//! # fn main() -> Result<(), hythe_wire::http::Error> {
//! let output = b"Status: 404 Not Here\nContent-Type: text/plain\nConnection: close\n\nno boat";
//! let mut storage = FieldStorage::new();
//! let Some((head, used)) = ScriptHead::parse(output, &mut storage)? else {
//!     return Ok(()); // it is not complete: read more, then parse again
//! };
//! assert_eq!((head.status, &output[used..]), (404, &b"no boat"[..]));
//! let passed: Vec<_> = head.passed().collect();
//! assert_eq!(passed, [("Content-Type", &b"text/plain"[..])]);
//! # Ok(())
//! # }
//! ```

use alloc::string::{String, ToString as _};
use alloc::vec::Vec;

use super::head::Facts;
use super::{Error, FieldStorage, Fields, MAX_HEAD, list, parse_decimal};

/// The head of a script's response.
#[derive(Clone, Copy, Debug)]
pub struct ScriptHead<'h, 'b> {
    /// The status code, 200 to 599: what `Status` says; else 302 where there is a `Location`, which
    /// may be one on this server or elsewhere, and else 200.
    pub status: u16,
    /// How many bytes the script says its body has.
    pub length: Option<u64>,
    /// Where to go from here.
    pub location: Option<&'b [u8]>,
    /// All fields.
    pub fields: Fields<'h, 'b>,
}

/// Fields of a connection, which a script has none of: they are dropped, both those that a client
/// sends and those that a script does.
const OF_CONNECTION: [&str; 7] = [
    "Connection",
    "Keep-Alive",
    "Proxy-Connection",
    "TE",
    "Trailer",
    "Transfer-Encoding",
    "Upgrade",
];

/// Fields of a script that are said again by the server, from what they say or by itself.
const OF_SERVER: [&str; 4] = ["Status", "Content-Length", "Date", "Server"];

impl<'h, 'b> ScriptHead<'h, 'b> {
    /// Parses the head at the front of `bytes`, and gives it with its length in bytes. Lines end
    /// with LF or CRLF. `Ok(None)` means that the head is not complete.
    ///
    /// # Errors
    /// The script is to blame, and the status is 502: for what is malformed or without any of
    /// `Content-Type`, `Location` and `Status`, for a `Transfer-Encoding`, which is the server's to
    /// choose, and beyond [`MAX_HEAD`] or [`MAX_FIELDS`](super::MAX_FIELDS).
    pub fn parse(
        bytes: &'b [u8],
        storage: &'h mut FieldStorage<'b>,
    ) -> Result<Option<(Self, usize)>, Error> {
        Self::parse_head(bytes, storage).map_err(|error| Error {
            status: 502,
            ..error
        })
    }

    fn parse_head(
        bytes: &'b [u8],
        storage: &'h mut FieldStorage<'b>,
    ) -> Result<Option<(Self, usize)>, Error> {
        let parsed = Fields::parse(&bytes[..bytes.len().min(MAX_HEAD)], storage)?;
        let Some((fields, used)) = parsed else {
            return match bytes.len() {
                0..MAX_HEAD => Ok(None),
                _ => Err(Error::bad("the script's header section is too large")),
            };
        };
        let mut facts = Facts::default();
        for (name, value) in fields.iter() {
            if name.eq_ignore_ascii_case("Content-Length") {
                facts.add_length(value)?;
            } else if name.eq_ignore_ascii_case("Transfer-Encoding") {
                return Err(Error::bad("a script must not set Transfer-Encoding"));
            }
        }
        let location = fields.one("Location")?.filter(|value| !value.is_empty());
        let status = match (fields.one("Status")?, location) {
            (Some(status), _) => parse_status(status)?,
            (None, Some(_)) => 302,
            (None, None) if fields.one("Content-Type")?.is_some() => 200,
            (None, None) => {
                return Err(Error::bad(
                    "the script's head has neither Content-Type nor Location nor Status",
                ));
            }
        };
        let head = Self {
            status,
            length: facts.length,
            location,
            fields,
        };
        Ok(Some((head, used)))
    }

    /// The fields that are for the client: not those of a connection, which the script has none of,
    /// nor those that the server says itself.
    pub fn passed(self) -> impl Iterator<Item = (&'b str, &'b [u8])> + Clone + 'h
    where
        'b: 'h,
    {
        let fields = self.fields;
        fields.iter().filter(move |(name, _)| {
            let is = |known: &&str| name.eq_ignore_ascii_case(known);
            let named =
                |value| list(value).any(|option| option.eq_ignore_ascii_case(name.as_bytes()));
            !OF_CONNECTION.iter().any(is)
                && !OF_SERVER.iter().any(is)
                && !fields.all("Connection").any(named)
        })
    }
}

/// Reads `404 Not Found`; the words may be missing. What is not final is not for a script to say.
fn parse_status(value: &[u8]) -> Result<u16, Error> {
    let malformed = Error::bad("malformed Status");
    let (code, rest) = value.split_at_checked(3).ok_or(malformed)?;
    match parse_decimal(code) {
        Some(code @ 200..=599) if matches!(rest, [] | [b' ' | b'\t', ..]) => Ok(code as u16),
        _ => Err(malformed),
    }
}

/// What a script is to know of a request beside its fields.
///
/// Paths are decoded: `script_name` and `path_info` together are the path that was asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Meta<'a> {
    /// The request's method.
    pub method: &'a str,
    /// The target as it was sent, query included, for `REQUEST_URI`, which RFC 3875 does not know
    /// and all applications read.
    pub target: &'a [u8],
    /// The path of the script.
    pub script_name: &'a [u8],
    /// What stands behind it in the path, with its slash; or nothing.
    pub path_info: &'a [u8],
    /// What stands behind the `?`, as it was sent; or nothing.
    pub query: &'a [u8],
    /// Where the script is on the disk, for `SCRIPT_FILENAME`.
    pub script_filename: &'a [u8],
    /// The folder that it belongs to, for `DOCUMENT_ROOT`.
    pub document_root: &'a [u8],
    /// Such as `HTTP/1.1`.
    pub protocol: &'a str,
    /// Whether it came over TLS.
    pub is_encrypted: bool,
    /// The address of this end, for where the client names no host.
    pub local_address: &'a str,
    /// The port of this end.
    pub local_port: u16,
    /// The address of the client.
    pub remote_address: &'a str,
    /// The port of the client.
    pub remote_port: u16,
    /// Who the client is known to be, and by which scheme (`Basic`, say).
    pub user: Option<(&'a str, &'a str)>,
    /// How many bytes of body there are; `None` where there is no body.
    pub length: Option<u64>,
    /// What the server calls itself.
    pub software: &'a str,
}

/// A variable: its name and its value.
pub type Variable = (String, Vec<u8>);

impl Meta<'_> {
    /// The meta-variables of a request with these fields.
    ///
    /// `PATH_TRANSLATED` is not among them: it would be a path on the disk that nobody has checked.
    /// Of the fields those are left out that [`variable`] says.
    pub fn variables<'f>(
        &self,
        fields: impl Iterator<Item = (&'f str, &'f [u8])> + Clone,
    ) -> Vec<Variable> {
        let mut out: Vec<Variable> = Vec::with_capacity(40);
        let mut set = |name: &str, value: &[u8]| {
            // No environment can hold it.
            if !value.contains(&0) {
                out.push((name.to_string(), value.to_vec()));
            }
        };
        let field = |wanted: &str| {
            let mut fields = fields.clone();
            let found = fields.find(|(name, _)| name.eq_ignore_ascii_case(wanted));
            found.map(|(_, value)| value)
        };
        set("GATEWAY_INTERFACE", b"CGI/1.1");
        set("SERVER_SOFTWARE", self.software.as_bytes());
        set("SERVER_PROTOCOL", self.protocol.as_bytes());
        let name = field("Host").and_then(host_name);
        set("SERVER_NAME", name.unwrap_or(self.local_address.as_bytes()));
        set("SERVER_ADDR", self.local_address.as_bytes());
        set("SERVER_PORT", self.local_port.to_string().as_bytes());
        set("REMOTE_ADDR", self.remote_address.as_bytes());
        set("REMOTE_PORT", self.remote_port.to_string().as_bytes());
        set("REQUEST_METHOD", self.method.as_bytes());
        set("REQUEST_URI", self.target);
        set(
            "REQUEST_SCHEME",
            if self.is_encrypted { b"https" } else { b"http" },
        );
        if self.is_encrypted {
            set("HTTPS", b"on");
        }
        set("SCRIPT_NAME", self.script_name);
        set("SCRIPT_FILENAME", self.script_filename);
        set("DOCUMENT_ROOT", self.document_root);
        if !self.path_info.is_empty() {
            set("PATH_INFO", self.path_info);
        }
        set("QUERY_STRING", self.query);
        if let Some((scheme, user)) = self.user {
            set("AUTH_TYPE", scheme.as_bytes());
            set("REMOTE_USER", user.as_bytes());
        }
        if let Some(length) = self.length {
            set("CONTENT_LENGTH", length.to_string().as_bytes());
            if let Some(kind) = field("Content-Type") {
                set("CONTENT_TYPE", kind);
            }
        }
        add_fields(&mut out, fields);
        out
    }
}

/// Adds a variable for each field that becomes one; those of one name are one list.
fn add_fields<'f>(out: &mut Vec<Variable>, fields: impl Iterator<Item = (&'f str, &'f [u8])>) {
    let begin = out.len();
    for (name, value) in fields {
        let Some(name) = variable(name) else { continue };
        if value.contains(&0) {
            continue;
        }
        match out[begin..].iter_mut().find(|(known, _)| *known == name) {
            Some((_, values)) => {
                // RFC 6265 section 5.4 and RFC 9110 section 5.3.
                values.extend_from_slice(if name == "HTTP_COOKIE" { b"; " } else { b", " });
                values.extend_from_slice(value);
            }
            None => out.push((name, value.to_vec())),
        }
    }
}

/// What the variable for a request's field is called; `None` where a script must not have it.
///
/// - `Proxy` would be `HTTP_PROXY`, by which programs are told where to send what they ask of
///   others ("httpoxy", CVE-2016-5385).
/// - A name with anything but letters, digits and `-` could pass for another one: both
///   `X-User` and `X_User` would be `HTTP_X_USER`, and whoever stands before this server removes
///   one of them only.
/// - `Authorization` and `Proxy-Authorization` are passwords, which other users of a machine may
///   read in an environment. Apache keeps them back too.
/// - `Content-Type` and `Content-Length` have variables of their own, and what is said of a
///   connection is no business of a script.
///
/// ```
/// use hythe_wire::http::cgi::variable;
///
/// assert_eq!(variable("Accept-Language").as_deref(), Some("HTTP_ACCEPT_LANGUAGE"));
/// assert_eq!(variable("proxy"), None);
/// assert_eq!(variable("X_User"), None);
/// ```
pub fn variable(field: &str) -> Option<String> {
    const KEPT_BACK: [&str; 6] = [
        "Proxy",
        "Authorization",
        "Proxy-Authorization",
        "Content-Type",
        "Content-Length",
        "Expect",
    ];
    let is = |known: &&str| field.eq_ignore_ascii_case(known);
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    let told = !field.is_empty() && field.bytes().all(plain);
    if !told || KEPT_BACK.iter().any(is) || OF_CONNECTION.iter().any(is) {
        return None;
    }
    let mut name = String::with_capacity(5 + field.len());
    name.push_str("HTTP_");
    name.extend(field.chars().map(|letter| match letter {
        '-' => '_',
        letter => letter.to_ascii_uppercase(),
    }));
    Some(name)
}

/// The name in the value of a `Host`, without the port; `None` for what is none.
fn host_name(value: &[u8]) -> Option<&[u8]> {
    let end = match value.iter().position(|byte| *byte == b']') {
        Some(bracket) => bracket + 1,
        None => value
            .iter()
            .position(|byte| *byte == b':')
            .unwrap_or(value.len()),
    };
    let name = &value[..end];
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._:[]".contains(byte);
    (!name.is_empty() && name.iter().all(plain)).then_some(name)
}
