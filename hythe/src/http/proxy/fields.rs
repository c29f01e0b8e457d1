//! What heads say on the way there and back.

use std::borrow::Cow;
use std::net::IpAddr;

use ::http::header::{CONNECTION, CONTENT_LENGTH, COOKIE, EXPECT, HOST, UPGRADE, VIA};
use ::http::{HeaderMap, HeaderName, HeaderValue, Method, Version};
use hythe_wire::http::{Head, Method as Verb, list};

use super::super::Request;
use super::super::head::add;
use super::backend::Backend;
use crate::client::Answer;
use crate::serve::http::without_sessions;

/// The one protocol that is switched to. Not `h2c`: what a client would ask in it,
/// nobody here would see.
pub(super) const WEBSOCKET: &[u8] = b"websocket";

/// Fields that are for one connection (RFC 9110 section 7.6.1, RFC 9112 appendix
/// C.2.2, RFC 7540 section 3.2.1), but for those that begin with `proxy-`.
const OF_A_CONNECTION: [&str; 7] = [
    "connection",
    "http2-settings",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Fields by which servers in front tell who asks, but for those that begin with
/// `x-forwarded`.
const OF_WHO_ASKS: [&str; 5] = [
    "forwarded",
    "true-client-ip",
    "x-client-ip",
    "x-cluster-client-ip",
    "x-real-ip",
];

/// What of a request its fields and its body ask for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asks {
    /// A WebSocket.
    pub(super) upgrade: bool,
    /// How many bytes of body there are; `None` if only its end will tell.
    pub(super) length: Option<u64>,
    /// Whether the length is told though it is zero.
    pub(super) says_length: bool,
    /// Whether the client waits to be told to send it.
    pub(super) waits: bool,
}

impl Asks {
    pub(super) fn of(request: &Request) -> Self {
        let headers = request.headers();
        let length = request.length();
        let says = |name: HeaderName, token: &[u8]| {
            let values = headers.get_all(name).into_iter();
            let mut said = values.flat_map(|value| list(value.as_bytes()));
            said.any(|said| said.eq_ignore_ascii_case(token))
        };
        let upgrades = headers.get_all(UPGRADE).into_iter();
        let only = upgrades.flat_map(|value| list(value.as_bytes())).count() == 1;
        Self {
            upgrade: *request.method() == Method::GET
                && request.version() == Version::HTTP_11
                && length == Some(0)
                && only
                && says(UPGRADE, WEBSOCKET)
                && says(CONNECTION, b"upgrade"),
            length,
            says_length: headers.contains_key(CONTENT_LENGTH),
            waits: request.waits(),
        }
    }

    pub(super) fn has_body(&self) -> bool {
        self.length != Some(0)
    }
}

/// The method in the head of a request; `None` for those that are not handed on.
pub(super) fn verb(method: &Method) -> Option<Verb> {
    let verb = Verb::parse(method.as_str().as_bytes()).ok()?;
    (!matches!(verb, Verb::Connect | Verb::Trace)).then_some(verb)
}

/// Whether a request has been here before.
pub(super) fn has_passed(headers: &HeaderMap, pseudonym: &str) -> bool {
    let lines = headers.get_all(VIA).into_iter();
    let mut hops = lines.flat_map(|line| list(line.as_bytes()));
    hops.any(|hop| {
        let mut words = hop.split(|&byte| byte == b' ' || byte == b'\t');
        words.any(|word| word == pseudonym.as_bytes())
    })
}

/// Says in a response's head that it came by here.
pub(super) fn add_via(headers: &mut HeaderMap, pseudonym: &str) {
    let value = via(headers, "1.1", pseudonym);
    if let Ok(value) = HeaderValue::from_bytes(&value) {
        headers.insert(VIA, value);
    }
}

/// All hops, and ours as the last.
fn via(headers: &HeaderMap, version: &str, pseudonym: &str) -> Vec<u8> {
    let mut value = Vec::new();
    for line in headers.get_all(VIA) {
        value.extend_from_slice(line.as_bytes());
        value.extend_from_slice(b", ");
    }
    value.extend_from_slice(format!("{version} {pseudonym}").as_bytes());
    value
}

/// The head of the request to the backend.
pub(super) fn request(
    backend: &Backend,
    verb: Verb,
    target: &[u8],
    request: &Request,
    asks: &Asks,
) -> Vec<u8> {
    let mut out = Vec::with_capacity(1024);
    let headers = request.headers();
    let asked = request.host().filter(|host| !host.is_empty());
    let own = backend.authority();
    let host = match asked {
        Some(asked) if !backend.is_encrypted() => asked,
        _ => &own,
    };
    let mut head = Head::request(&mut out, verb, target).field("Host", host.as_bytes());
    let named = options(
        headers
            .get_all(CONNECTION)
            .into_iter()
            .map(HeaderValue::as_bytes),
    );
    for (name, value) in headers {
        if is_of_a_connection(name.as_str(), &named) || is_ours(name) {
            continue;
        }
        let value = match *name {
            COOKIE => without_sessions(value.as_bytes()),
            _ => Cow::Borrowed(value.as_bytes()),
        };
        head = match &value {
            // No other cookie was there.
            Cow::Owned(value) if value.is_empty() => head,
            value => add(head, name, value),
        };
    }
    head = forwarded(head, backend, request, asked);
    let version = match request.version() {
        Version::HTTP_10 => "1.0",
        _ => "1.1",
    };
    head = head.field("Via", &via(headers, version, backend.pseudonym()));
    head = match asks.length {
        None => head.field("Transfer-Encoding", b"chunked"),
        Some(0) if !asks.says_length => head,
        Some(length) => head.length(length),
    };
    if asks.waits {
        head = head.field("Expect", b"100-continue");
    }
    if asks.upgrade {
        head = head
            .field("Upgrade", WEBSOCKET)
            .field("Connection", b"Upgrade");
    }
    head.finish();
    out
}

/// Who asks, under which name and how, by what we know ourselves.
fn forwarded<'o>(
    mut head: Head<'o>,
    backend: &Backend,
    request: &Request,
    host: Option<&str>,
) -> Head<'o> {
    let scheme = if request.is_encrypted() {
        "https"
    } else {
        "http"
    };
    let mut forwarded = String::from("for=");
    match request.peer().ip().map(|ip| ip.to_canonical()) {
        Some(ip) => {
            let text = ip.to_string();
            head = head
                .field("X-Forwarded-For", text.as_bytes())
                .field("X-Real-IP", text.as_bytes());
            match ip {
                IpAddr::V4(_) => forwarded.push_str(&text),
                IpAddr::V6(_) => forwarded.push_str(&format!("\"[{text}]\"")),
            }
        }
        None => forwarded.push_str("unknown"),
    }
    if let Some(host) = host {
        head = head.field("X-Forwarded-Host", host.as_bytes());
        // No quote can stand in it, or it would be no host.
        forwarded.push_str(&format!(";host=\"{host}\""));
    }
    forwarded.push_str(&format!(";proto={scheme}"));
    head = head
        .field("X-Forwarded-Proto", scheme.as_bytes())
        .field("Forwarded", forwarded.as_bytes());
    match backend.path() {
        Some(_) => head.field("X-Forwarded-Prefix", request.base().as_bytes()),
        None => head,
    }
}

/// What `Connection` names, in small letters.
fn options<'v>(values: impl Iterator<Item = &'v [u8]>) -> Vec<Vec<u8>> {
    let names = values.flat_map(list);
    names.map(<[u8]>::to_ascii_lowercase).collect()
}

/// Whether a field, its name in small letters, is for one connection only.
fn is_of_a_connection(name: &str, named: &[Vec<u8>]) -> bool {
    OF_A_CONNECTION.contains(&name)
        || name.starts_with("proxy-")
        || named.iter().any(|named| named == name.as_bytes())
}

/// Whether it is ours alone to tell a backend. Many programs see a field with
/// underscores as the one with hyphens, so that is meant as well; and `Proxy`,
/// as the variable that names a proxy.
fn is_ours(name: &HeaderName) -> bool {
    if *name == HOST || *name == CONTENT_LENGTH || *name == EXPECT || *name == VIA {
        return true;
    }
    let name = name.as_str();
    let hyphened = name.replace('_', "-");
    let forwarded = hyphened.starts_with("x-forwarded")
        || OF_WHO_ASKS.contains(&&*hyphened)
        || hyphened == "proxy";
    let of_framing = matches!(
        &*hyphened,
        "content-length" | "transfer-encoding" | "host" | "connection"
    );
    forwarded || of_framing && name != hyphened
}

/// The fields of an answer that are for the client; framing is the server's own.
pub(super) fn end_to_end(answer: &Answer) -> impl Iterator<Item = (&str, &[u8])> {
    let connection = answer.fields();
    let connection = connection.filter(|(name, _)| name.eq_ignore_ascii_case("Connection"));
    let named = options(connection.map(|(_, value)| value));
    answer.fields().filter(move |(name, _)| {
        let name = name.to_ascii_lowercase();
        name != "content-length" && !is_of_a_connection(&name, &named)
    })
}
