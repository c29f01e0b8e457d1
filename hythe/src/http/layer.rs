//! What is often put between a router and who answers.
//!
//! ```
//! use std::time::Duration;
//! use hythe::http::{Request, Router, layer};
//!
//! let router = Router::new()
//!     .layer(layer::log)
//!     .layer(layer::compress)
//!     .layer(layer::timeout(Duration::from_secs(10)))
//!     .layer(layer::max_body(64 * 1024))
//!     .layer(layer::same_origin)
//!     .get("/", async |_: Request| "Hello!\n");
//! # let _ = router;
//! ```
//!
//! The first is outermost: it sees a request first, and the response last.

use std::io::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ::http::header::{
    ACCEPT_ENCODING, AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, ETAG, ORIGIN, VARY,
    WWW_AUTHENTICATE,
};
use ::http::{HeaderValue, StatusCode};
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use futures_lite::{FutureExt as _, StreamExt as _};
use hythe_net::reactor::{self, unblock};
use hythe_wire::http::{Coding, Encodings};

use super::body::{Body, Content};
use super::{Error, IntoResponse as _, Layer, Next, Request, Response, basic, incoming, origin};
use crate::accounts::{Account, Accounts, Denied};
use crate::quantity::whole_seconds;
use crate::serve::log::Escaped;
use crate::share::Access;

/// Writes an event for each request: method, path, status, and how long it took
/// until there was a response, in milliseconds.
pub async fn log(request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let method = request.method().clone();
    let path = request.path().to_owned();
    let peer = request.peer().clone();
    let response = next.run(request).await;
    let took = begun.elapsed();
    tracing::info!(
        %peer,
        %method,
        path = %Escaped(path.as_bytes()),
        status = response.status().as_u16(),
        milliseconds = took.as_secs_f64() * 1000.0,
    );
    response
}

/// Answers 500 where whoever should answer has panicked, for layers around this
/// one to see. Without it that is answered as well, but by the server.
pub async fn panics(request: Request, next: Next) -> Response {
    let answering = std::panic::AssertUnwindSafe(next.run(request));
    match answering.catch_unwind().await {
        Ok(response) => response,
        Err(panic) => super::panicked(&*panic),
    }
}

/// Answers 503 where there is no response after so long; whoever should answer is
/// dropped. The body of a response may take longer.
pub fn timeout(limit: Duration) -> impl Layer {
    move |request: Request, next: Next| async move {
        let answered = reactor::timeout(limit, next.run(request)).await;
        answered.unwrap_or_else(|_| {
            let text = "this took too long; try again later";
            Error::new(StatusCode::SERVICE_UNAVAILABLE, text).into_response()
        })
    }
}

/// Refuses (413) bodies of more than so many bytes: at once where the client says
/// how long its body is, else when it has come so far.
pub fn max_body(limit: u64) -> impl Layer {
    move |mut request: Request, next: Next| async move {
        if request.length().is_some_and(|length| length > limit) {
            return incoming::too_long(limit).into_response();
        }
        request.body().set_limit(limit);
        next.run(request).await
    }
}

/// Refuses (403) what another site makes a visitor's browser ask, if that may
/// change something: all methods but GET, HEAD, OPTIONS and TRACE. Programs, which
/// nobody makes ask, are let through; very old browsers too, unless they send a
/// cookie.
pub async fn same_origin(request: Request, next: Next) -> Response {
    let field = |name: &str| {
        let value = request.headers().get(name);
        value.map(HeaderValue::as_bytes)
    };
    let host = request.host().unwrap_or_default().as_bytes();
    let has_cookie = field("cookie").is_some();
    let origin = field(ORIGIN.as_str());
    let ours = origin::is_ours(field("sec-fetch-site"), origin, host, has_cookie);
    if !ours && !request.method().is_safe() {
        return Response::error(StatusCode::FORBIDDEN, "this came from another site");
    }
    next.run(request).await
}

/// Lets in who has a name and a password (RFC 7617) that `check` says yes to; all
/// others are asked for them (401). Both may hold any byte. Passwords are read by
/// everybody on the way unless it is encrypted.
///
/// ```
/// use hythe::http::{Request, Router, layer};
///
/// let secret = layer::basic_auth("the store-room", |name, password| {
///     name == b"quay" && password == "开门".as_bytes()
/// });
/// let router = Router::new()
///     .layer(secret)
///     .get("/", async |_: Request| "come in\n");
/// # let _ = router;
/// ```
pub fn basic_auth(
    realm: &'static str,
    check: impl Fn(&[u8], &[u8]) -> bool + Send + Sync + 'static,
) -> impl Layer {
    let check = Arc::new(check);
    move |request: Request, next: Next| {
        let check = Arc::clone(&check);
        async move {
            let given = credentials(&request);
            if given.is_some_and(|(name, password)| check(&name, &password)) {
                return next.run(request).await;
            }
            challenge(realm, "give a name and a password")
        }
    }
}

/// Lets in who has an account of at least this role, by name and password (RFC
/// 7617); the [`Account`] is among the request's extensions then. Wrong passwords
/// are counted, per address and per account, with those of all protocols.
pub fn accounts(accounts: Accounts, role: Access) -> impl Layer {
    move |mut request: Request, next: Next| {
        let accounts = accounts.clone();
        async move {
            let Some((name, password)) = credentials(&request) else {
                return challenge("hythe", "give a name and a password");
            };
            let peer = request.peer().clone();
            let signed_in =
                unblock(move || accounts.sign_in(&name, &password, &peer, "http")).await;
            match signed_in {
                Ok(account) if account.role >= role => {
                    request.extensions_mut().insert::<Account>(account);
                    next.run(request).await
                }
                Ok(account) => {
                    let text = format!(
                        "this needs the role {role}, and {} has {}",
                        account.name, account.role
                    );
                    Response::error(StatusCode::FORBIDDEN, &text)
                }
                Err(denied) => refused(denied),
            }
        }
    }
}

fn refused(denied: Denied) -> Response {
    match denied {
        Denied::Wrong => challenge("hythe", "the name or the password is wrong"),
        Denied::Throttled(wait) => {
            let seconds = whole_seconds(wait);
            let text = format!("too many wrong passwords; try again in {seconds} seconds");
            Response::error(StatusCode::TOO_MANY_REQUESTS, &text)
                .with_header("retry-after", seconds.to_string())
        }
        Denied::Busy => {
            let text = "many sign in at this moment; try again";
            Error::new(StatusCode::SERVICE_UNAVAILABLE, text).into_response()
        }
        Denied::Broken(error) => Error::internal(error).into_response(),
    }
}

fn credentials(request: &Request) -> Option<(Vec<u8>, Vec<u8>)> {
    basic::credentials(request.headers().get(AUTHORIZATION)?.as_bytes())
}

fn challenge(realm: &str, text: &str) -> Response {
    let challenge = format!(
        "Basic realm=\"{}\", charset=\"UTF-8\"",
        realm.replace(['"', '\\'], "'")
    );
    Response::error(StatusCode::UNAUTHORIZED, text).with_header(WWW_AUTHENTICATE, challenge)
}

/// The smallest body that is compressed: below it, gzip saves no packet.
const WORTHWHILE: u64 = 1024;

/// Up to this many bytes are compressed at once, in less time than a trip to the
/// thread pool takes.
const AT_ONCE: usize = 4 * 1024;

/// Compresses what is text, by gzip, for clients that take it. Files and what is
/// [made in pieces](Body::pieces) go out as they are, and so do server-sent events.
pub async fn compress(request: Request, next: Next) -> Response {
    let accepted = request.headers().get_all(ACCEPT_ENCODING);
    let accepted = accepted.into_iter().map(HeaderValue::as_bytes);
    let accepts = Encodings::parse(accepted).accepts(Coding::Gzip);
    let mut response = next.run(request).await;
    if !is_worthwhile(&response) {
        return response;
    }
    let headers = response.headers_mut();
    headers.append(VARY, HeaderValue::from_static("Accept-Encoding"));
    if !accepts {
        return response;
    }
    headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    // What is sent is another sequence of bytes (RFC 9110 section 8.8.3.3).
    if let Some(tag) = headers.get(ETAG).and_then(|tag| tag.to_str().ok())
        && !tag.starts_with("W/")
        && let Ok(weak) = HeaderValue::from_str(&format!("W/{tag}"))
    {
        headers.insert(ETAG, weak);
    }
    let body = match response.take_body().0 {
        Content::Bytes(bytes) if bytes.len() <= AT_ONCE => gzip(&bytes).into(),
        Content::Bytes(bytes) => unblock(move || gzip(&bytes)).await.into(),
        Content::Stream { stream, live, .. } => {
            let body = gzip_stream(stream);
            if live { body.while_connected() } else { body }
        }
        other => Body(other),
    };
    response.with_body(body)
}

fn is_worthwhile(response: &Response) -> bool {
    let is_text = |value: &HeaderValue| {
        let essence = value.as_bytes().split(|&byte| byte == b';').next();
        let essence = essence
            .unwrap_or_default()
            .trim_ascii()
            .to_ascii_lowercase();
        essence != b"text/event-stream"
            && (essence.starts_with(b"text/")
                || essence.ends_with(b"json")
                || essence.ends_with(b"xml")
                || essence.ends_with(b"javascript"))
    };
    let long = match &response.body().0 {
        Content::Bytes(bytes) => bytes.len() as u64 >= WORTHWHILE,
        Content::Stream { length, .. } => length.is_none_or(|length| length >= WORTHWHILE),
        _ => false,
    };
    let headers = response.headers();
    long && headers.get(CONTENT_TYPE).is_some_and(is_text)
        && !headers.contains_key(CONTENT_ENCODING)
        && !headers.contains_key("content-range")
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(bytes.len() / 2), Compression::fast());
    // Writing to memory does not fail.
    encoder.write_all(bytes).ok();
    encoder.finish().unwrap_or_default()
}

/// Compresses each item as it comes: what was said is not held back.
fn gzip_stream(
    stream: impl futures_lite::Stream<Item = std::io::Result<Bytes>> + Unpin + 'static,
) -> Body {
    let encoder = GzEncoder::new(Vec::new(), Compression::fast());
    let compressed = futures_lite::stream::try_unfold(
        (stream, Some(encoder)),
        |(mut stream, encoder)| async move {
            let Some(mut encoder) = encoder else {
                return Ok(None);
            };
            match stream.next().await.transpose()? {
                Some(bytes) => {
                    encoder.write_all(&bytes)?;
                    encoder.flush()?;
                    let piece = Bytes::from(std::mem::take(encoder.get_mut()));
                    Ok(Some((piece, (stream, Some(encoder)))))
                }
                None => Ok(Some((encoder.finish()?.into(), (stream, None)))),
            }
        },
    );
    Body::stream(Box::pin(compressed))
}
