//! What a request asks for, freed from the buffer it came in.

use hythe_net::Addr;
use hythe_wire::http::{self as wire, Coding, Encodings, Method, accepts_json_before_html};

use crate::http::{HeaderName, Request, header};
use crate::web::Lang;

/// A request as a value.
#[derive(Clone, Debug)]
pub(super) struct Ask {
    pub(super) method: Method,
    /// What stands before the path in addresses: where the site is mounted.
    pub(super) mount: String,
    /// Still percent-encoded.
    pub(super) path: Vec<u8>,
    pub(super) query: Option<Vec<u8>>,
    pub(super) codings: Codings,
    pub(super) json: bool,
    /// Whether errors are better shown as a page than as a line of text.
    pub(super) html: bool,
    /// What pages should speak.
    pub(super) lang: Lang,
    pub(super) range: Option<Vec<u8>>,
    pub(super) if_range: Option<Vec<u8>>,
    pub(super) if_match: Option<Vec<u8>>,
    pub(super) if_none_match: Option<Vec<u8>>,
    pub(super) if_modified_since: Option<Vec<u8>>,
    pub(super) if_unmodified_since: Option<Vec<u8>>,
    /// See [`is_plain`].
    pub(super) plain: bool,
    /// Whether a browser asks, for a page or for a script: it is not to be
    /// given a challenge that lets a window for passwords pop up.
    pub(super) browser: bool,
    /// `Authorization`.
    pub(super) authorization: Option<Vec<u8>>,
    /// The token of a session, out of the cookie.
    pub(super) session: Option<Vec<u8>>,
    /// `Content-Type`.
    pub(super) content_type: Option<Vec<u8>>,
    /// The authority the client asked for; empty where it named none.
    pub(super) host: Vec<u8>,
    /// `Origin`.
    pub(super) origin: Option<Vec<u8>>,
    /// How long the body is, in bytes, where that is known.
    pub(super) length: Option<u64>,
    /// Through what it came.
    pub(super) way: Way,
    /// All fields, of a request that may change something or is about what is
    /// below [`OWN`].
    fields: Vec<(Box<str>, Box<[u8]>)>,
}

/// Through what a request came.
#[derive(Clone, Debug)]
pub(super) struct Way {
    /// Who asks.
    pub(super) peer: Addr,
    /// The port that was listened on, which names the cookie: browsers don't
    /// keep the cookies of two ports of a machine apart.
    pub(super) port: u16,
    /// Whether nobody on the way can read along.
    pub(super) tls: bool,
}

/// What is below this path is the server's own and no part of the share.
pub(super) const OWN: &[u8] = b"/.hythe/";

/// The beginning of the name of the cookie with the session's token; a port
/// follows it.
pub(crate) const COOKIE: &str = "hythe-session-";

impl Ask {
    pub(super) fn of(request: &Request, way: Way) -> Self {
        let method = Method::parse(request.method().as_str().as_bytes());
        let method = method.unwrap_or(Method::Trace);
        let path = Head::path(request);
        let value = |name: HeaderName| {
            let value = request.headers().get(name)?;
            Some(value.as_bytes().to_vec())
        };
        let keep_fields = !matches!(method, Method::Get | Method::Head) || is_own(path);
        let fields = request.headers().iter().filter(|_| keep_fields);
        let fields = fields.map(|(name, value)| (name.as_str().into(), value.as_bytes().into()));
        Self {
            method,
            mount: request.base().to_owned(),
            path: path.to_vec(),
            query: Head::query(request).map(<[u8]>::to_vec),
            codings: Codings::of(request),
            json: accepts_json_before_html(values(request, header::ACCEPT)),
            html: values(request, header::ACCEPT).any(|value| contains(value, b"text/html")),
            lang: Lang::of(values(request, header::ACCEPT_LANGUAGE)),
            range: value(header::RANGE),
            if_range: value(header::IF_RANGE),
            if_match: joined(request, header::IF_MATCH),
            if_none_match: joined(request, header::IF_NONE_MATCH),
            if_modified_since: value(header::IF_MODIFIED_SINCE),
            if_unmodified_since: value(header::IF_UNMODIFIED_SINCE),
            plain: is_plain(request),
            browser: is_browser(request),
            authorization: value(header::AUTHORIZATION),
            session: session(request, way.port),
            content_type: value(header::CONTENT_TYPE),
            host: request.host().unwrap_or_default().as_bytes().to_vec(),
            origin: value(header::ORIGIN),
            length: request.length(),
            way,
            fields: fields.collect(),
        }
    }

    /// The first field of this name, whatever its case. Only a request that
    /// may change something, or is about what is below [`OWN`], has any.
    pub(super) fn field(&self, name: &str) -> Option<&[u8]> {
        let mut fields = self.fields.iter();
        let (_, value) = fields.find(|(known, _)| known.eq_ignore_ascii_case(name))?;
        Some(value)
    }

    /// Whether the path is below [`OWN`].
    pub(super) fn is_own(&self) -> bool {
        is_own(&self.path)
    }

    /// Whether the request says who asks.
    pub(super) fn has_credentials(&self) -> bool {
        self.authorization.is_some() || self.session.is_some()
    }
}

fn is_own(path: &[u8]) -> bool {
    path.starts_with(OWN)
}

/// Browsers say of themselves that they are Mozilla; only they tell where a
/// request came from.
fn is_browser(request: &Request) -> bool {
    let name = request.headers().get(header::USER_AGENT);
    let named = name.is_some_and(|name| name.as_bytes().starts_with(b"Mozilla/"));
    named || request.headers().contains_key("sec-fetch-site")
}

/// The token in the cookie that belongs to this port.
fn session(request: &Request, port: u16) -> Option<Vec<u8>> {
    let name = format!("{COOKIE}{port}=");
    let lines = values(request, header::COOKIE);
    let mut cookies = lines.flat_map(|line| line.split(|&byte| byte == b';'));
    let token = cookies.find_map(|pair| pair.trim_ascii().strip_prefix(name.as_bytes()))?;
    Some(token.to_vec())
}

/// A request's head, as far as ready answers depend on it: as it was parsed, or
/// as a layer may have changed it since.
pub(super) trait Head {
    fn path(&self) -> &[u8];
    fn query(&self) -> Option<&[u8]>;
    fn accept(&self) -> impl Iterator<Item = &[u8]>;
    fn accept_encoding(&self) -> impl Iterator<Item = &[u8]>;
    fn cookie(&self) -> impl Iterator<Item = &[u8]>;
    /// Whether it says who asks, or asks for less than the whole, or on
    /// conditions.
    fn is_particular(&self) -> bool;
}

impl Head for wire::Request<'_, '_> {
    fn path(&self) -> &[u8] {
        self.target.path
    }

    fn query(&self) -> Option<&[u8]> {
        self.target.query
    }

    fn accept(&self) -> impl Iterator<Item = &[u8]> {
        self.accept.clone()
    }

    fn accept_encoding(&self) -> impl Iterator<Item = &[u8]> {
        self.accept_encoding.clone()
    }

    fn cookie(&self) -> impl Iterator<Item = &[u8]> {
        self.cookie.clone()
    }

    fn is_particular(&self) -> bool {
        self.authorization.is_some()
            || self.range.is_some()
            || !self.if_match.is_empty()
            || !self.if_none_match.is_empty()
            || self.if_modified_since.is_some()
            || self.if_unmodified_since.is_some()
    }
}

impl Head for Request {
    /// As it was written, where nothing above has read it already: the share
    /// refuses more than the path's one form tells.
    fn path(&self) -> &[u8] {
        match self.base() {
            "" => self.uri().path().as_bytes(),
            _ => self.rest().as_bytes(),
        }
    }

    fn query(&self) -> Option<&[u8]> {
        self.query_string().map(str::as_bytes)
    }

    fn accept(&self) -> impl Iterator<Item = &[u8]> {
        values(self, header::ACCEPT)
    }

    fn accept_encoding(&self) -> impl Iterator<Item = &[u8]> {
        values(self, header::ACCEPT_ENCODING)
    }

    fn cookie(&self) -> impl Iterator<Item = &[u8]> {
        values(self, header::COOKIE)
    }

    fn is_particular(&self) -> bool {
        let particular = [
            header::AUTHORIZATION,
            header::RANGE,
            header::IF_MATCH,
            header::IF_NONE_MATCH,
            header::IF_MODIFIED_SINCE,
            header::IF_UNMODIFIED_SINCE,
        ];
        let mut particular = particular.iter();
        particular.any(|name| self.headers().contains_key(name))
    }
}

/// Whether the answer depends on nothing but the path and the codings: then
/// whoever asks the same next may get the same answer. All else in a request
/// that changes its answer must be named here.
pub(super) fn is_plain(head: &impl Head) -> bool {
    let query = head.query();
    let folder = head.path().ends_with(b"/");
    // A file has no use for a query but one; pages use others against caches.
    let query_changes = query.is_some() && (folder || is_download(query));
    let accept_changes = folder && accepts_json_before_html(head.accept());
    !query_changes && !accept_changes && !head.is_particular() && !has_session(head)
}

/// Whether there is a session's token, of whichever port.
fn has_session(head: &impl Head) -> bool {
    let mut lines = head.cookie();
    lines.any(|line| contains(line, COOKIE.as_bytes()))
}

/// All values of a field.
fn values(request: &Request, name: HeaderName) -> impl Iterator<Item = &[u8]> {
    let values = request.headers().get_all(name).into_iter();
    values.map(|value| value.as_bytes())
}

/// Whether a query asks for a file to be saved rather than shown.
pub(super) fn is_download(query: Option<&[u8]>) -> bool {
    query.is_some_and(|query| {
        query.split(|&byte| byte == b'&').any(|part| {
            part.strip_prefix(b"download")
                .is_some_and(|rest| matches!(rest, [] | [b'=', ..]))
        })
    })
}

/// The lines of a list field as one list (RFC 9110 §5.2).
fn joined(request: &Request, name: HeaderName) -> Option<Vec<u8>> {
    let lines: Vec<_> = values(request, name).collect();
    (!lines.is_empty()).then(|| lines.join(&b", "[..]))
}

fn contains(value: &[u8], wanted: &[u8]) -> bool {
    value
        .windows(wanted.len())
        .any(|window| window.eq_ignore_ascii_case(wanted))
}

/// The content codings a client accepts, as far as we send any.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Codings(u8);

impl Codings {
    pub(super) fn of(head: &impl Head) -> Self {
        let mut values = head.accept_encoding().peekable();
        if values.peek().is_none() {
            return Self(0);
        }
        let accepted = Encodings::parse(values);
        let bit = |coding| u8::from(accepted.accepts(coding)) << coding as u8;
        Self(bit(Coding::Gzip) | bit(Coding::Br) | bit(Coding::Zstd))
    }

    pub(super) fn accept(self, coding: Coding) -> bool {
        self.0 & 1 << coding as u8 != 0
    }

    /// The set as a number, to be part of a key.
    pub(super) fn bits(self) -> u8 {
        self.0
    }
}
