//! [`Proxy`]: another server behind this one (a gateway, RFC 9110 section 3.7).
//!
//! ```text
//!            ┌──────────────────── Proxy ────────────────────┐
//!   Request ─┤ fields, target ─► head ───► kept connection,  ├─► backend
//!            │ Incoming ───────► upload ─► or a new one      │
//!            │                                               │
//!  Response ◄┤ fields ◄───────── head ◄─── hear              │◄─
//!            │ Body::write ◄──── pieces ◄─ receive           │
//!            └───────────────────────────────────────────────┘
//!   after 101:  Upgraded ◄───── bytes, both ways ─────► connection
//! ```
//!
//! Nothing is stored on the way: who reads slowly is written to slowly, in both
//! directions. What the backend breaks off is broken off here as well, and what
//! the client breaks off, there.
//!
//! Not here: several backends for one path, caches, HTTP/2, trailer fields,
//! upgrades to anything but a WebSocket.

mod backend;
mod exchange;
mod fields;
mod kept;
mod tunnel;

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use ::http::header::{ALLOW, CONTENT_LENGTH, LOCATION, UPGRADE};
use ::http::{HeaderName, HeaderValue, StatusCode};
use hythe_wire::http::{Body as Framing, Method as Verb, list};

use self::backend::{Backend, Mount};
use self::exchange::{Exchange, Upstream};
use super::{Body, Error, Request, Response, Service};
use crate::client::{Answer, Error as Failed, Reason};

/// How long a connection to a backend may take to come about, its name's lookup
/// and TLS included: longer than two lost packets need. It is mostly next door.
const CONNECT: Duration = Duration::from_secs(10);

/// How long a backend may take for the head of its answer once it has the whole
/// request: what nginx waits, which is what programs are written for.
const ANSWER: Duration = Duration::from_secs(60);

/// Hands requests on to another server, the backend, and its answers back.
///
/// ```
/// use hythe::http::{Proxy, Router};
///
/// let api = Proxy::to("http://127.0.0.1:9000")?;
/// let router = Router::new().nest("/api", Router::new().fallback_to(api));
/// # let _ = router;
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// A backend is an `http://` or `https://` URL, or a Unix socket: `unix:/run/app`.
/// Where its URL has no path, the request's path goes on whole: above, `/api/x` is
/// asked for as `/api/x`. Where it has one, if only `/`, that stands in place of
/// what is above the mount: with `http://127.0.0.1:9000/v1/`, `/api/x` is asked for
/// as `/v1/x`; for a Unix socket that is written `unix:/run/app:/v1/`. Dot segments
/// are resolved; all other bytes of the path and the query stay as they are.
///
/// - The backend is told who asks: `X-Forwarded-For`, `-Host`, `-Proto`, where the
///   path was replaced `-Prefix`, `X-Real-IP` and `Forwarded` (RFC 7239). What the
///   client said of that itself is dropped.
/// - `Host` is the client's, so that the backend knows under which name it is
///   seen; the backend's own for `https://`, where it may have several names.
/// - Fields for one connection (RFC 9110 section 7.6.1) are not handed on, and
///   `Via` is added, by which requests that go in circles are found (508).
/// - A `Location` at the backend's own address leads here instead, and so does one
///   without an address where the path was replaced. Paths in cookies and pages
///   stay what they are: programs whose path is replaced should heed
///   `X-Forwarded-Prefix`.
/// - Without a backend that answers properly, clients are told 502, or 504 where
///   it takes too long; the log says which and why.
/// - A client that ends its direction of the connection has lost interest, also
///   in an answer that is on its way.
///
/// Backends are trusted: browsers see their pages as the same site as all else
/// that is served here. The cookie of a session with [`Site`](super::Site) is not
/// shown to them.
#[derive(Clone)]
pub struct Proxy {
    backend: Arc<Backend>,
    answer: Duration,
}

impl Proxy {
    /// A proxy for this backend. It need not be there yet.
    ///
    /// # Errors
    /// `InvalidInput` for what is no URL of a backend; for `https://`, where the
    /// system has no certificates to trust.
    pub fn to(url: &str) -> io::Result<Self> {
        Ok(Self {
            backend: Arc::new(Backend::parse(url)?),
            answer: ANSWER,
        })
    }

    /// Waits so long for the head of an answer, in place of a minute.
    #[must_use]
    pub fn with_timeout(self, answer: Duration) -> Self {
        Self { answer, ..self }
    }

    /// Whether the path above the mount is replaced by that of the backend's URL.
    pub fn replaces_path(&self) -> bool {
        self.backend.path().is_some()
    }

    async fn pass(&self, request: Request) -> Result<Response, Error> {
        let backend = &self.backend;
        let Some(verb) = fields::verb(request.method()) else {
            // A backend would show the client what we tell it of the client.
            let allowed = "GET, HEAD, OPTIONS, PUT, POST, DELETE, PATCH, MKCOL, MOVE, COPY";
            let error = Error::new(StatusCode::METHOD_NOT_ALLOWED, "this is not handed on");
            return Err(error.with_header(ALLOW, allowed));
        };
        if fields::has_passed(request.headers(), backend.pseudonym()) {
            let text = "the server behind this one leads back here";
            tracing::warn!(%backend, "a request goes in circles");
            return Err(Error::new(StatusCode::LOOP_DETECTED, text));
        }
        let target = backend.target(&request)?;
        let asks = fields::Asks::of(&request);
        let mount = Mount {
            base: request.base().to_owned(),
            host: request.host().map(str::to_owned),
        };
        let head = fields::request(backend, verb, &target, &request, &asks);
        let exchange = Exchange {
            backend,
            verb,
            head,
            limit: self.answer,
        };
        let line = request.line().cloned();
        let (answer, upstream, upload) = exchange
            .run(line, request.into_body(), &asks)
            .await
            .map_err(|error| self.failed(error))?;
        if answer.status == 101 {
            return self.switch(&answer, upstream, asks.upgrade, &mount);
        }
        let mut response = self.head(&answer, &mount)?;
        let body = match answer.body {
            // Chunks, where the head is all that comes: its length is not known.
            Framing::None if verb == Verb::Head && !has_length(&response) => {
                upstream.keep(backend, answer.keep_alive);
                Body::stream(futures_lite::stream::empty())
            }
            _ => upstream.body(backend, &answer, upload),
        };
        response = response.with_body(body);
        Ok(response)
    }

    /// The answer's status and fields.
    fn head(&self, answer: &Answer, mount: &Mount) -> Result<Response, Error> {
        let status = StatusCode::from_u16(answer.status);
        let status = status.map_err(|_| self.malformed("it has no such status"))?;
        let mut response = Response::new(status);
        let headers = response.headers_mut();
        for (name, value) in fields::end_to_end(answer) {
            let name = HeaderName::from_bytes(name.as_bytes());
            let value = match &name {
                Ok(name) if *name == LOCATION => self.backend.here(value, mount),
                _ => value.into(),
            };
            let (Ok(name), Ok(value)) = (name, HeaderValue::from_bytes(&value)) else {
                return Err(self.malformed("a field of it is broken"));
            };
            headers.append(name, value);
        }
        if answer.body == Framing::None
            && let Some(length) = answer.field("Content-Length")
            && let Some(Ok(length)) = list(length).next().map(HeaderValue::from_bytes)
        {
            // What a GET would get; otherwise the body tells.
            headers.insert(CONTENT_LENGTH, length);
        }
        fields::add_via(headers, self.backend.pseudonym());
        Ok(response)
    }

    /// The backend speaks another protocol from here on.
    fn switch(
        &self,
        answer: &Answer,
        upstream: Upstream,
        asked: bool,
        mount: &Mount,
    ) -> Result<Response, Error> {
        let to = answer.field("Upgrade").unwrap_or_default();
        if !asked || !to.eq_ignore_ascii_case(fields::WEBSOCKET) {
            return Err(self.malformed("it goes on in another protocol"));
        }
        let head = self.head(answer, mount)?;
        let mut response = Response::upgrade(fields::WEBSOCKET, move |upgraded| async move {
            tunnel::carry(upgraded, upstream).await;
        });
        for (name, value) in head.headers() {
            if *name != UPGRADE && *name != CONTENT_LENGTH {
                response.headers_mut().append(name, value.clone());
            }
        }
        Ok(response)
    }

    fn malformed(&self, reason: &str) -> Error {
        let reason = format!("the server's answer is broken: {reason}");
        self.failed(Failure::Backend(Failed::protocol(reason)))
    }

    /// What the client is told, and the log.
    fn failed(&self, failure: Failure) -> Error {
        let backend = &self.backend;
        let (status, text, cause) = match failure {
            Failure::Client(error) => return error,
            Failure::Slow(what) => (StatusCode::GATEWAY_TIMEOUT, what, "it took too long".into()),
            Failure::Backend(Failed { reason, text }) => {
                let told = match reason {
                    Reason::Unreachable => "the server behind this one can't be reached",
                    Reason::Protocol => "the server behind this one gave a broken answer",
                    Reason::NotAllowed => "the server behind this one can't be trusted",
                    _ => "the server behind this one broke off",
                };
                (StatusCode::BAD_GATEWAY, told, text)
            }
        };
        tracing::warn!(%backend, cause, "{text}");
        Error::new(status, text)
    }
}

fn has_length(response: &Response) -> bool {
    response.headers().contains_key(CONTENT_LENGTH)
}

/// Why there is no answer from a backend.
enum Failure {
    /// The client, or its request.
    Client(Error),
    /// The backend, and what it was too slow to do.
    Slow(&'static str),
    /// The backend, otherwise.
    Backend(Failed),
}

impl From<Failed> for Failure {
    fn from(error: Failed) -> Self {
        Self::Backend(error)
    }
}

impl Service for Proxy {
    async fn call(&self, request: Request) -> Response {
        use super::IntoResponse as _;
        match Box::pin(self.pass(request)).await {
            Ok(response) => response,
            Err(error) => error.into_response(),
        }
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxy")
            .field("backend", &self.backend.to_string())
            .field("answer", &self.answer)
            .finish()
    }
}
