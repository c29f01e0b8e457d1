//! [`Request`]: what a client asks.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::fmt;
use std::rc::Rc;

use ::http::header::{CONTENT_TYPE, COOKIE, HOST};
use ::http::{Extensions, HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, Version};
use bytes::Bytes;
use hythe_net::Addr;
use hythe_wire::http as wire;
use percent_encoding::percent_encode;
use serde::de::DeserializeOwned;

use super::line::Line;
use super::path::{SEGMENT, normal};
use super::received::{Received, within};
use super::{Error, Incoming, cookie};

/// What a client asks: a method, a target, fields, and a body that is still to be
/// read.
///
/// The [path](Self::path) is in one form, whatever the client wrote: dot segments
/// are resolved, and nothing is percent-encoded that need not be.
pub struct Request(Box<Parts>);

struct Parts {
    method: Method,
    /// Made when somebody asks, where it is sure to be one.
    uri: OnceCell<Uri>,
    version: Version,
    headers: Received,
    target: Bytes,
    path: Path,
    /// Where in the path the part begins that is still to be matched.
    rest: usize,
    params: Vec<(Box<str>, String)>,
    extensions: Extensions,
    peer: Addr,
    encrypted: bool,
    /// The connection that it came by, whatever becomes of the body.
    line: Option<Rc<Line>>,
    body: Incoming,
}

/// The path in its normal form.
enum Path {
    /// It stands so at the beginning of the target, and has so many bytes.
    Target(usize),
    Text(String),
}

impl Request {
    /// A request that came from no network, to try an application with.
    ///
    /// # Errors
    /// 400 for a target that is none.
    ///
    /// ```
    /// use hythe::http::{Method, Request, Router, Service, StatusCode};
    ///
    /// # futures_lite::future::block_on(async {
    /// let router = Router::new().get("/", async |_: Request| "Hello!");
    /// let request = Request::new(Method::GET, "/")?;
    /// assert_eq!(router.call(request).await.status(), StatusCode::OK);
    /// # Ok::<(), hythe::http::Error>(()) }).unwrap();
    /// ```
    pub fn new(method: Method, target: &str) -> Result<Self, Error> {
        let target = Bytes::copy_from_slice(target.as_bytes());
        let end = target.iter().position(|&byte| byte == b'?');
        let path = &target[..end.unwrap_or(target.len())];
        let (path, uri) = path_and_uri(path, &target)?;
        Ok(Self(Box::new(Parts {
            method,
            uri,
            version: Version::HTTP_11,
            headers: Received::default(),
            target,
            path,
            rest: 0,
            params: Vec::new(),
            extensions: Extensions::new(),
            peer: Addr::unnamed(),
            encrypted: false,
            line: None,
            body: Incoming::from_bytes(Bytes::new()),
        })))
    }

    /// The same with another body.
    #[must_use]
    pub fn with_body(mut self, body: Incoming) -> Self {
        self.0.body = body;
        self
    }

    /// The same with one field more, in place of others of its name.
    #[must_use]
    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers_mut().insert(name, value);
        self
    }

    /// The request of a head that was parsed, `bytes` being what it was parsed
    /// from.
    pub(super) fn of(
        head: &wire::Request<'_, '_>,
        bytes: &[u8],
        line: &Rc<Line>,
    ) -> Result<Self, Error> {
        // One copy of the head, of which all that follows are parts.
        let shared = Bytes::copy_from_slice(bytes);
        let target = shared.slice(within(head.raw_target, bytes));
        let (path, uri) = path_and_uri(head.target.path, &target)?;
        let exchange = line.begin(head);
        Ok(Self(Box::new(Parts {
            method: method(head.method),
            uri,
            version: match head.version {
                wire::Version::Http10 => Version::HTTP_10,
                wire::Version::Http11 => Version::HTTP_11,
            },
            headers: Received::of(head.fields, bytes, &shared),
            target,
            path,
            rest: 0,
            params: Vec::new(),
            extensions: Extensions::new(),
            peer: line.connection.peer.clone(),
            encrypted: line.stream().is_encrypted(),
            line: Some(Rc::clone(line)),
            body: Incoming::of(Rc::clone(line), exchange),
        })))
    }

    /// What is to be done.
    pub fn method(&self) -> &Method {
        &self.0.method
    }

    /// To what, as the client wrote it, but for what a URI can't hold, which is
    /// percent-encoded.
    pub fn uri(&self) -> &Uri {
        // That it is one, was seen where it is not made at once.
        let make = || Uri::from_maybe_shared(self.0.target.clone()).unwrap_or_default();
        self.0.uri.get_or_init(make)
    }

    /// To what, byte for byte as it stood in the request line.
    pub fn target(&self) -> &[u8] {
        &self.0.target
    }

    /// The same, to be kept.
    pub(super) fn shared_target(&self) -> Bytes {
        self.0.target.clone()
    }

    /// The path in its one form, still percent-encoded; `*` for the server as a
    /// whole.
    pub fn path(&self) -> &str {
        match &self.0.path {
            Path::Text(path) => path,
            Path::Target(length) => {
                std::str::from_utf8(&self.0.target[..*length]).unwrap_or_default()
            }
        }
    }

    /// What of the path is below where this was mounted; the whole of it where
    /// nothing was.
    pub fn rest(&self) -> &str {
        self.path().get(self.0.rest..).unwrap_or_default()
    }

    /// What of the path is above: without a slash at its end, and empty where
    /// nothing was mounted.
    pub fn base(&self) -> &str {
        self.path().get(..self.0.rest).unwrap_or_default()
    }

    pub(super) fn set_rest(&mut self, length: usize) {
        self.0.rest = self.path().len().saturating_sub(length);
    }

    /// What follows the `?`, still encoded.
    pub fn query_string(&self) -> Option<&str> {
        match self.0.uri.get() {
            Some(uri) => uri.query(),
            None => {
                let at = self.0.target.iter().position(|&byte| byte == b'?')?;
                std::str::from_utf8(&self.0.target[at + 1..]).ok()
            }
        }
    }

    /// What follows the `?` as a value: `?page=2&name=来` as a struct with these
    /// fields. Fields that repeat become a `Vec`.
    ///
    /// # Errors
    /// 400 for what does not fit.
    pub fn query<T: DeserializeOwned>(&self) -> Result<T, Error> {
        serde_html_form::from_str(self.query_string().unwrap_or_default())
            .map_err(|error| Error::bad(format!("the query does not fit: {error}")))
    }

    /// The version that the client speaks.
    pub fn version(&self) -> Version {
        self.0.version
    }

    /// The header fields.
    pub fn headers(&self) -> &HeaderMap {
        self.0.headers.map()
    }

    /// The fields, to be changed by a layer before others read them.
    pub fn headers_mut(&mut self) -> &mut HeaderMap {
        self.0.headers.map_mut()
    }

    /// The value of a field, if it is there and plain text.
    pub fn header(&self, name: impl ::http::header::AsHeaderName) -> Option<&str> {
        self.headers().get(name)?.to_str().ok()
    }

    /// The host and port that the client asked, by its own account.
    pub fn host(&self) -> Option<&str> {
        match self.uri().authority() {
            Some(authority) => Some(authority.as_str()),
            None => self.header(HOST),
        }
    }

    /// The value of a cookie: the first of this name.
    pub fn cookie(&self, name: &str) -> Option<&str> {
        let mut lines = self.headers().get_all(COOKIE).into_iter();
        lines.find_map(|line| cookie::find(line.to_str().ok()?, name))
    }

    /// What stood in the path where its pattern has `{name}`, decoded. It may hold
    /// any letter, a slash and a zero byte included.
    pub fn param(&self, name: &str) -> Option<&str> {
        // What is nested deeper counts.
        let mut params = self.0.params.iter().rev();
        let (_, value) = params.find(|(known, _)| **known == *name)?;
        Some(value)
    }

    /// Adds what a router has found in the path, decoded.
    pub(super) fn add_params(&mut self, params: Vec<(Box<str>, String)>) {
        self.0.params.extend(params);
    }

    /// Who asks: the address at the other end of the connection.
    pub fn peer(&self) -> &Addr {
        &self.0.peer
    }

    /// Whether it came over TLS, so that nobody on the way can read along.
    pub fn is_encrypted(&self) -> bool {
        self.0.encrypted
    }

    /// The address that it came to, where it came from a network.
    pub fn local(&self) -> Option<Addr> {
        let line = self.line()?;
        line.stream().socket().sock_name().ok()
    }

    /// The connection that it came by.
    pub(super) fn line(&self) -> Option<&Rc<Line>> {
        self.0.line.as_ref()
    }

    /// What layers have found out, for those behind them.
    pub fn extensions(&self) -> &Extensions {
        &self.0.extensions
    }

    /// The same, to be added to.
    pub fn extensions_mut(&mut self) -> &mut Extensions {
        &mut self.0.extensions
    }

    /// How many bytes of the body are still to come, where the client has said so.
    pub fn length(&self) -> Option<u64> {
        self.0.body.length()
    }

    /// Whether the client waits to be told to send the body.
    pub(super) fn waits(&self) -> bool {
        self.0.body.waits()
    }

    /// The body.
    pub fn body(&mut self) -> &mut Incoming {
        &mut self.0.body
    }

    /// The body, of a request that is not needed otherwise.
    pub fn into_body(self) -> Incoming {
        self.0.body
    }

    /// The whole body; see [`Incoming::bytes`].
    ///
    /// # Errors
    /// As there.
    pub async fn bytes(&mut self) -> Result<Bytes, Error> {
        self.0.body.bytes().await
    }

    /// The whole body as text.
    ///
    /// # Errors
    /// As [`Incoming::bytes`], and 400 for what is not UTF-8.
    pub async fn text(&mut self) -> Result<String, Error> {
        let bytes = Vec::from(self.bytes().await?);
        String::from_utf8(bytes).map_err(|_| Error::bad("the body is no text in UTF-8"))
    }

    /// The body as a value, from JSON.
    ///
    /// # Errors
    /// As [`Incoming::bytes`], 415 for another media type, and 422 for JSON that
    /// does not fit; 400 for what is no JSON.
    pub async fn json<T: DeserializeOwned>(&mut self) -> Result<T, Error> {
        let is_json = self.media_type().is_some_and(|essence| {
            essence == "application/json"
                || essence.starts_with("application/") && essence.ends_with("+json")
        });
        if !is_json {
            return Err(unwanted("application/json"));
        }
        let bytes = self.bytes().await?;
        serde_json::from_slice(&bytes).map_err(|error| {
            let status = match error.classify() {
                serde_json::error::Category::Data => StatusCode::UNPROCESSABLE_ENTITY,
                _ => StatusCode::BAD_REQUEST,
            };
            Error::new(status, format!("the JSON does not fit: {error}"))
        })
    }

    /// The body as a value, from a form (`application/x-www-form-urlencoded`).
    ///
    /// # Errors
    /// As [`Incoming::bytes`], 415 for another media type, and 422 for a form that
    /// does not fit.
    pub async fn form<T: DeserializeOwned>(&mut self) -> Result<T, Error> {
        const FORM: &str = "application/x-www-form-urlencoded";
        if self.media_type().as_deref() != Some(FORM) {
            return Err(unwanted(FORM));
        }
        let bytes = self.bytes().await?;
        serde_html_form::from_bytes(&bytes).map_err(|error| {
            let text = format!("the form does not fit: {error}");
            Error::new(StatusCode::UNPROCESSABLE_ENTITY, text)
        })
    }

    /// The media type of the body in small letters, without parameters.
    fn media_type(&self) -> Option<String> {
        let value = self.header(CONTENT_TYPE)?;
        let essence = value.split(';').next().unwrap_or_default();
        Some(essence.trim().to_ascii_lowercase())
    }
}

fn unwanted(wanted: &str) -> Error {
    let text = format!("send it as {wanted}");
    Error::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, text)
}

/// The target as a URI. What bytes it can't hold are percent-encoded; it begins
/// with no scheme, then, or with `http`.
fn uri(target: &Bytes) -> Result<Uri, Error> {
    if let Ok(uri) = Uri::from_maybe_shared(target.clone()) {
        return Ok(uri);
    }
    let mut encoded = String::with_capacity(target.len() + 16);
    for &byte in target.iter() {
        // The escapes that are there stay what they are.
        if is_of_uris(&byte) {
            encoded.push(byte.into());
        } else {
            encoded.extend(percent_encode(&[byte], SEGMENT));
        }
    }
    Uri::try_from(encoded).map_err(|_| Error::bad("malformed request target"))
}

/// Whether a byte may stand in a URI as it is (RFC 3986 section 2).
fn is_of_uris(byte: &u8) -> bool {
    byte.is_ascii_graphic() && !br#""<>\^`{|}"#.contains(byte)
}

/// The path in its normal form, and the URI where it is not to be made later.
fn path_and_uri(path: &[u8], target: &Bytes) -> Result<(Path, OnceCell<Uri>), Error> {
    let normal = normal(path);
    let as_it_stands = matches!(normal, Cow::Borrowed(_)) && target.starts_with(path);
    if as_it_stands && target.iter().all(is_of_uris) {
        return Ok((Path::Target(path.len()), OnceCell::new()));
    }
    let uri = OnceCell::from(uri(target)?);
    Ok((Path::Text(normal.into_owned()), uri))
}

fn method(method: wire::Method) -> Method {
    match method {
        wire::Method::Get => Method::GET,
        wire::Method::Head => Method::HEAD,
        wire::Method::Options => Method::OPTIONS,
        wire::Method::Put => Method::PUT,
        wire::Method::Post => Method::POST,
        wire::Method::Delete => Method::DELETE,
        wire::Method::Patch => Method::PATCH,
        wire::Method::Connect => Method::CONNECT,
        wire::Method::Trace => Method::TRACE,
        // All others are tokens.
        other => Method::from_bytes(other.as_str().as_bytes()).unwrap_or(Method::GET),
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("method", self.method())
            .field("path", &self.path())
            .field("peer", self.peer())
            .finish_non_exhaustive()
    }
}
