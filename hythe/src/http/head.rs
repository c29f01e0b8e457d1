//! The head of a response, as bytes.

use ::http::header::{
    CONNECTION, CONTENT_LENGTH, DATE, ETAG, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_PROTOCOL,
    SEC_WEBSOCKET_VERSION, TRANSFER_ENCODING, UPGRADE, WWW_AUTHENTICATE,
};
use ::http::{HeaderMap, HeaderName, StatusCode};
use hythe_wire::http::{Head, Version, reason};

use super::date::Date;

/// What a response's head says of how it is sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sending {
    /// The version that the client speaks.
    pub(crate) version: Version,
    /// Whether the connection is used again.
    pub(crate) keep_alive: bool,
    /// How the end of the body is told.
    pub(crate) framing: Framing,
}

/// How the end of a response's body is told (RFC 9112 section 6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// There can be no body.
    None,
    Length(u64),
    /// By chunks, or by the end of the connection where the client knows none.
    Open,
    /// Another protocol is spoken from here on.
    Upgraded,
}

/// `HTTP/1.1 200 ` and the line end; `Date: `.
const STATUS_LINE_REST: usize = "HTTP/1.1 200 \r\n".len();
const DATE_NAME: usize = "Date: ".len();

/// Appends the head to `out`; returns where in it the date stands.
pub(crate) fn write(
    out: &mut Vec<u8>,
    status: StatusCode,
    headers: &HeaderMap,
    date: &Date,
    sending: Sending,
) -> usize {
    let begin = out.len();
    let Sending {
        version,
        keep_alive,
        framing,
    } = sending;
    let code = status.as_u16();
    // What else has this field is passed on from elsewhere, and is not ours to do.
    let upgrades = framing == Framing::Upgraded || status == StatusCode::UPGRADE_REQUIRED;
    let mut head = Head::response(out, Version::Http11, code);
    head = head.legal_field("date", &date.text);
    for (name, value) in headers {
        if is_ours(name) || *name == UPGRADE && !upgrades {
            continue;
        }
        head = add(head, name, value.as_bytes());
    }
    head = match (framing, version) {
        (Framing::Length(length), _) => head.length(length),
        (Framing::Open, Version::Http11) => head.field("Transfer-Encoding", b"chunked"),
        (Framing::Open, Version::Http10) | (Framing::None | Framing::Upgraded, _) => head,
    };
    head = match (upgrades, keep_alive, version) {
        (true, false, _) => head.field("Connection", b"Upgrade, close"),
        (true, true, Version::Http10) => head.field("Connection", b"Upgrade, keep-alive"),
        (true, true, Version::Http11) => head.field("Connection", b"Upgrade"),
        (false, false, _) => head.field("Connection", b"close"),
        (false, true, Version::Http10) => head.field("Connection", b"keep-alive"),
        (false, true, Version::Http11) => head,
    };
    head.finish();
    begin + STATUS_LINE_REST + reason(code).len() + DATE_NAME
}

/// Whether a field is the server's own to write.
fn is_ours(name: &HeaderName) -> bool {
    *name == CONTENT_LENGTH || *name == CONNECTION || *name == TRANSFER_ENCODING || *name == DATE
}

/// Adds a field, whose name people read as they write it: `Content-Type`.
pub(super) fn add<'o>(head: Head<'o>, name: &HeaderName, value: &[u8]) -> Head<'o> {
    match special(name) {
        Some(name) => head.field(name, value),
        None => head.legal_field(name.as_str(), value),
    }
}

/// The names that people write otherwise than with a capital for each word.
fn special(name: &HeaderName) -> Option<&'static str> {
    static SPECIAL: [(HeaderName, &str); 5] = [
        (ETAG, "ETag"),
        (WWW_AUTHENTICATE, "WWW-Authenticate"),
        // As RFC 6455 has them; some clients look for nothing else.
        (SEC_WEBSOCKET_ACCEPT, "Sec-WebSocket-Accept"),
        (SEC_WEBSOCKET_PROTOCOL, "Sec-WebSocket-Protocol"),
        (SEC_WEBSOCKET_VERSION, "Sec-WebSocket-Version"),
    ];
    let mut special = SPECIAL.iter();
    special
        .find(|(known, _)| known == name)
        .map(|(_, name)| *name)
}
