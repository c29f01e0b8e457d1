//! The head of a response, as bytes.

use ::http::header::{CONNECTION, CONTENT_LENGTH, DATE, TRANSFER_ENCODING, UPGRADE};
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
    head = head.field("Date", &date.text);
    let mut name_buffer = String::new();
    for (name, value) in headers {
        if !is_ours(name) && (*name != UPGRADE || upgrades) {
            shown(name, &mut name_buffer);
            head = head.field(&name_buffer, value.as_bytes());
        }
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

/// A name as people write it: `Content-Type`.
fn shown(name: &HeaderName, out: &mut String) {
    out.clear();
    match name.as_str() {
        "etag" => out.push_str("ETag"),
        "www-authenticate" => out.push_str("WWW-Authenticate"),
        "location" => out.push_str("Location"),
        name => {
            // As RFC 6455 has it; some clients look for nothing else.
            let rest = name.strip_prefix("sec-websocket");
            out.push_str(rest.map_or("", |_| "Sec-WebSocket"));
            let name = rest.unwrap_or(name);
            let mut begins = true;
            for letter in name.chars() {
                out.push(if begins {
                    letter.to_ascii_uppercase()
                } else {
                    letter
                });
                begins = letter == '-';
            }
        }
    }
}
