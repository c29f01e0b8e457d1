//! [`Response`], and what becomes one.

use std::borrow::Cow;
use std::fmt;
use std::future::Future;
use std::pin::Pin;

use ::http::header::{CONTENT_TYPE, LOCATION, SET_COOKIE, UPGRADE, X_CONTENT_TYPE_OPTIONS};
use ::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use bytes::Bytes;
use hythe_wire::http::reason;
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use serde::Serialize;

use super::cookie::Cookie;
use super::upgrade::Upgraded;
use super::{Body, Error};

/// What is answered: a status, fields, and a body.
///
/// `Date`, `Content-Length`, `Transfer-Encoding` and `Connection` are the server's
/// to write.
///
/// ```
/// use hythe::http::{Response, StatusCode};
///
/// let response = Response::text("gone fishing\n")
///     .with_status(StatusCode::SERVICE_UNAVAILABLE)
///     .with_header("retry-after", "3600");
/// assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
/// assert_eq!(response.headers()["content-type"], "text/plain; charset=utf-8");
/// ```
pub struct Response {
    status: StatusCode,
    headers: HeaderMap,
    body: Body,
    upgrade: Option<Upgrade>,
}

/// What is done with a connection once its client was told that another protocol
/// is spoken from here on.
pub(super) type Upgrade = Box<dyn FnOnce(Upgraded) -> Pin<Box<dyn Future<Output = ()>>>>;

impl Response {
    /// An answer of this status, without content.
    pub fn new(status: StatusCode) -> Self {
        Self {
            status,
            headers: HeaderMap::new(),
            body: Body::empty(),
            upgrade: None,
        }
    }

    /// Plain text in UTF-8.
    pub fn text(text: impl Into<Body>) -> Self {
        Self::of("text/plain; charset=utf-8", text)
    }

    /// A page in UTF-8. What of it comes from somebody else must have been escaped.
    pub fn html(page: impl Into<Body>) -> Self {
        Self::of("text/html; charset=utf-8", page)
    }

    /// A value as JSON.
    ///
    /// # Errors
    /// A value that can't be written as JSON, such as a map whose keys are no
    /// strings.
    pub fn json(value: &impl Serialize) -> Result<Self, Error> {
        let json = serde_json::to_vec(value).map_err(Error::internal)?;
        Ok(Self::of("application/json", json))
    }

    /// Content of a media type, which is not to be taken for anything else.
    pub fn of(media_type: &'static str, body: impl Into<Body>) -> Self {
        let mut response = Self::new(StatusCode::OK).with_body(body);
        let headers = &mut response.headers;
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        response
    }

    /// Sends a browser on to `target` after a form did something (303). What a URL
    /// can't hold, such as `留言`, is percent-encoded.
    pub fn redirect(target: &str) -> Self {
        const UNFIT: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'<').add(b'>');
        let target = utf8_percent_encode(target, UNFIT).to_string();
        Self::new(StatusCode::SEE_OTHER).with_header(LOCATION, target)
    }

    /// An error as a line of text: `404 Not Found: there is no such page`.
    pub fn error(status: StatusCode, text: &str) -> Self {
        let reason = reason(status.as_u16());
        let line = format!("{} {reason}: {text}\n", status.as_u16());
        Self::text(line).with_status(status)
    }

    /// The same with another status.
    #[must_use]
    pub fn with_status(self, status: StatusCode) -> Self {
        Self { status, ..self }
    }

    /// The same with one field more, in place of others of its name. A value that
    /// a field can't hold, such as one with a line break, is left out, and said so
    /// in the log.
    #[must_use]
    pub fn with_header<N>(mut self, name: N, value: impl AsRef<[u8]>) -> Self
    where
        N: TryInto<HeaderName, Error: fmt::Display>,
    {
        if let Some((name, value)) = field(name, value.as_ref()) {
            self.headers.insert(name, value);
        }
        self
    }

    /// The same with a cookie more. One that holds what cookies can't is left out,
    /// and said so in the log.
    #[must_use]
    pub fn with_cookie(mut self, cookie: &Cookie<'_>) -> Self {
        if !cookie.is_legal() {
            tracing::error!(?cookie, "a cookie that can't be one is left out");
            return self;
        }
        if let Some((name, value)) = field(SET_COOKIE, cookie.to_string().as_bytes()) {
            self.headers.append(name, value);
        }
        self
    }

    /// The same with this body.
    #[must_use]
    pub fn with_body(self, body: impl Into<Body>) -> Self {
        let body = body.into();
        Self { body, ..self }
    }

    /// Says that this protocol is spoken from here on (101), and has `speak` speak
    /// it: the connection is its own then, and ends with it (RFC 9110 section 7.8).
    pub fn upgrade<F, T>(protocol: impl AsRef<[u8]>, speak: F) -> Self
    where
        F: FnOnce(Upgraded) -> T + 'static,
        T: Future<Output = ()> + 'static,
    {
        let mut response =
            Self::new(StatusCode::SWITCHING_PROTOCOLS).with_header(UPGRADE, protocol);
        response.upgrade = Some(Box::new(|upgraded| Box::pin(speak(upgraded))));
        response
    }

    /// The status.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The fields.
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// The fields, to be changed.
    pub fn headers_mut(&mut self) -> &mut HeaderMap {
        &mut self.headers
    }

    /// The body.
    pub fn body(&self) -> &Body {
        &self.body
    }

    /// Takes the body out, and leaves none.
    pub fn take_body(&mut self) -> Body {
        std::mem::take(&mut self.body)
    }

    pub(super) fn take_upgrade(&mut self) -> Option<Upgrade> {
        self.upgrade.take()
    }

    pub(super) fn is_upgrade(&self) -> bool {
        self.upgrade.is_some()
    }
}

fn field<N>(name: N, value: &[u8]) -> Option<(HeaderName, HeaderValue)>
where
    N: TryInto<HeaderName, Error: fmt::Display>,
{
    let name = name
        .try_into()
        .inspect_err(|error| tracing::error!(%error, "a field of a response is left out"))
        .ok()?;
    let value = HeaderValue::from_bytes(value)
        .inspect_err(|error| tracing::error!(%name, %error, "a field of a response is left out"))
        .ok()?;
    Some((name, value))
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Response")
            .field("status", &self.status)
            .field("headers", &self.headers)
            .field("body", &self.body)
            .finish_non_exhaustive()
    }
}

/// What a handler may return.
pub trait IntoResponse {
    /// The answer.
    fn into_response(self) -> Response;
}

impl IntoResponse for Response {
    fn into_response(self) -> Response {
        self
    }
}

impl IntoResponse for Body {
    fn into_response(self) -> Response {
        Response::new(StatusCode::OK).with_body(self)
    }
}

/// What is there, or 404.
impl<T: IntoResponse> IntoResponse for Option<T> {
    fn into_response(self) -> Response {
        match self {
            Some(answer) => answer.into_response(),
            None => StatusCode::NOT_FOUND.into_response(),
        }
    }
}

/// Nothing to say: 204.
impl IntoResponse for () {
    fn into_response(self) -> Response {
        Response::new(StatusCode::NO_CONTENT)
    }
}

/// A status and, where it is an error, its name as text.
impl IntoResponse for StatusCode {
    fn into_response(self) -> Response {
        if self.is_client_error() || self.is_server_error() {
            let reason = reason(self.as_u16());
            return Response::text(format!("{} {reason}\n", self.as_u16())).with_status(self);
        }
        Response::new(self)
    }
}

impl<T: IntoResponse> IntoResponse for (StatusCode, T) {
    fn into_response(self) -> Response {
        self.1.into_response().with_status(self.0)
    }
}

impl IntoResponse for &'static str {
    fn into_response(self) -> Response {
        Response::text(self)
    }
}

impl IntoResponse for String {
    fn into_response(self) -> Response {
        Response::text(self)
    }
}

impl IntoResponse for Cow<'static, str> {
    fn into_response(self) -> Response {
        Response::text(self.into_owned())
    }
}

impl IntoResponse for Vec<u8> {
    fn into_response(self) -> Response {
        Response::of("application/octet-stream", self)
    }
}

impl IntoResponse for Bytes {
    fn into_response(self) -> Response {
        Response::of("application/octet-stream", self)
    }
}

/// A page, as [`Response::html`].
#[derive(Clone, Debug)]
pub struct Html<T>(pub T);

impl<T: Into<Body>> IntoResponse for Html<T> {
    fn into_response(self) -> Response {
        Response::html(self.0)
    }
}

/// A value as JSON, as [`Response::json`].
#[derive(Clone, Debug)]
pub struct Json<T>(pub T);

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        Response::json(&self.0).into_response()
    }
}

impl<T: IntoResponse, E: IntoResponse> IntoResponse for Result<T, E> {
    fn into_response(self) -> Response {
        match self {
            Ok(answer) => answer.into_response(),
            Err(error) => error.into_response(),
        }
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        if let Some(cause) = self.cause() {
            tracing::error!(error = %cause, "a request failed");
        }
        let status = self.status();
        let mut response = Response::error(status, self.text());
        response.headers.extend(self.headers().clone());
        match status {
            StatusCode::SERVICE_UNAVAILABLE => response.with_header("retry-after", "1"),
            _ => response,
        }
    }
}
