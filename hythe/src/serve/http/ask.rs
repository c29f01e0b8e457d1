//! What a request asks for, freed from the buffer it came in.

use hythe_net::Addr;
use hythe_wire::http::{
    Coding, Encodings, Framing, Method, Request, Target, Values, accepts_json_before_html,
};

use crate::web::Lang;

/// A request as a value.
#[derive(Clone, Debug)]
pub(super) struct Ask {
    pub(super) method: Method,
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
    /// How the body is delimited.
    pub(super) framing: Framing,
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
pub(super) const COOKIE: &str = "hythe-session-";

impl Ask {
    pub(super) fn of(request: &Request<'_, '_>, way: Way) -> Self {
        let owned = |value: Option<&[u8]>| value.map(<[u8]>::to_vec);
        let keep_fields =
            !matches!(request.method, Method::Get | Method::Head) || is_own(request.target.path);
        let fields = request
            .fields
            .iter()
            .filter(|_| keep_fields)
            .map(|(name, value)| (name.into(), value.into()))
            .collect();
        Self {
            method: request.method,
            path: request.target.path.to_vec(),
            query: owned(request.target.query),
            codings: Codings::of(request),
            json: accepts_json_before_html(request.accept.clone()),
            html: request
                .accept
                .clone()
                .any(|value| contains(value, b"text/html")),
            lang: Lang::of(request.fields.all("Accept-Language")),
            range: owned(request.range),
            if_range: owned(request.if_range),
            if_match: joined(request.if_match.clone()),
            if_none_match: joined(request.if_none_match.clone()),
            if_modified_since: owned(request.if_modified_since),
            if_unmodified_since: owned(request.if_unmodified_since),
            plain: is_plain(request),
            browser: is_browser(request),
            authorization: owned(request.authorization),
            session: session(request, way.port),
            content_type: owned(request.content_type),
            host: request.host.unwrap_or_default().to_vec(),
            origin: owned(request.origin),
            framing: request.framing,
            way,
            fields,
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

    /// How long the body is, where that is known.
    pub(super) fn length(&self) -> Option<u64> {
        match self.framing {
            Framing::None => Some(0),
            Framing::Length(length) => Some(length),
            Framing::Chunked => None,
        }
    }
}

fn is_own(path: &[u8]) -> bool {
    path.starts_with(OWN)
}

/// Browsers say of themselves that they are Mozilla; only they tell where a
/// request came from.
fn is_browser(request: &Request<'_, '_>) -> bool {
    let named = request
        .user_agent
        .is_some_and(|name| name.starts_with(b"Mozilla/"));
    named || !request.fields.all("Sec-Fetch-Site").is_empty()
}

/// The token in the cookie that belongs to this port.
fn session(request: &Request<'_, '_>, port: u16) -> Option<Vec<u8>> {
    let name = format!("{COOKIE}{port}=");
    let mut cookies = request
        .cookie
        .clone()
        .flat_map(|line| line.split(|&byte| byte == b';'));
    let token = cookies.find_map(|pair| pair.trim_ascii().strip_prefix(name.as_bytes()))?;
    Some(token.to_vec())
}

/// Whether the answer depends on nothing but the path and the codings: then
/// whoever asks the same next may get the same answer. All else in a request
/// that changes its answer must be named here.
pub(super) fn is_plain(request: &Request<'_, '_>) -> bool {
    let Target { path, query } = request.target;
    let folder = path.ends_with(b"/");
    // A file has no use for a query but one; pages use others against caches.
    let query_changes = query.is_some() && (folder || is_download(query));
    let accept_changes = folder && accepts_json_before_html(request.accept.clone());
    !query_changes
        && !accept_changes
        && request.authorization.is_none()
        && !has_session(request)
        && request.range.is_none()
        && request.if_match.is_empty()
        && request.if_none_match.is_empty()
        && request.if_modified_since.is_none()
        && request.if_unmodified_since.is_none()
}

/// Whether there is a session's token, of whichever port.
fn has_session(request: &Request<'_, '_>) -> bool {
    !request.cookie.is_empty()
        && request
            .cookie
            .clone()
            .any(|line| contains(line, COOKIE.as_bytes()))
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
fn joined(values: Values<'_, '_>) -> Option<Vec<u8>> {
    if values.is_empty() {
        return None;
    }
    Some(values.collect::<Vec<_>>().join(&b", "[..]))
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
    pub(super) fn of(request: &Request<'_, '_>) -> Self {
        if request.accept_encoding.is_empty() {
            return Self(0);
        }
        let accepted = Encodings::parse(request.accept_encoding.clone());
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
