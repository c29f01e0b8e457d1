//! What a request asks for, freed from the buffer it came in.

use hythe_wire::http::{
    Coding, Encodings, Method, Request, Target, Values, accepts_json_before_html,
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
}

impl Ask {
    pub(super) fn of(request: &Request<'_, '_>) -> Self {
        let owned = |value: Option<&[u8]>| value.map(<[u8]>::to_vec);
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
        }
    }
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
        && request.range.is_none()
        && request.if_match.is_empty()
        && request.if_none_match.is_empty()
        && request.if_modified_since.is_none()
        && request.if_unmodified_since.is_none()
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
