//! [`Error`]: why a request has no better answer.

use std::borrow::Cow;
use std::fmt;
use std::io;

use ::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

/// What is wrong, as a client is told it: a status, and a few words.
///
/// A handler that returns `Result<_, Error>` can use `?` on what fails for reasons
/// that are none of a client's business, such as an [`io::Error`]: that is written
/// to the log, and the client is told 500.
///
/// ```
/// use hythe::http::{Error, Request, StatusCode};
///
/// async fn read(request: Request) -> Result<String, Error> {
///     let name = request.param("name").unwrap_or_default();
///     if name.contains('/') {
///         return Err(Error::new(StatusCode::BAD_REQUEST, "a name has no slashes"));
///     }
///     Ok(std::fs::read_to_string(name)?)
/// }
/// # let _ = read;
/// ```
#[derive(Debug)]
pub struct Error(Box<Inner>);

#[derive(Debug)]
struct Inner {
    status: StatusCode,
    text: Cow<'static, str>,
    headers: HeaderMap,
    cause: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// What a client is told.
    pub fn new(status: StatusCode, text: impl Into<Cow<'static, str>>) -> Self {
        Self(Box::new(Inner {
            status,
            text: text.into(),
            headers: HeaderMap::new(),
            cause: None,
        }))
    }

    /// What is told the client as 500, and to the log in full.
    pub fn internal(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        let text = "something went wrong here; it is in the log";
        let mut error = Self::new(StatusCode::INTERNAL_SERVER_ERROR, text);
        error.0.cause = Some(cause.into());
        error
    }

    /// The same with a field more, for those statuses that need one.
    #[must_use]
    pub fn with_header(mut self, name: HeaderName, value: &'static str) -> Self {
        self.0.headers.insert(name, HeaderValue::from_static(value));
        self
    }

    pub(super) fn headers(&self) -> &HeaderMap {
        &self.0.headers
    }

    /// The status to answer with.
    pub fn status(&self) -> StatusCode {
        self.0.status
    }

    /// The words, without the cause of an [internal](Self::internal) one.
    pub fn text(&self) -> &str {
        &self.0.text
    }

    /// What only the log is told.
    pub(super) fn cause(&self) -> Option<&(dyn std::error::Error + Send + Sync)> {
        self.0.cause.as_deref()
    }

    pub(super) fn bad(text: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, text)
    }

    /// What is said of a body that could not be read.
    pub(super) fn reading(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::TimedOut => Self::new(
                StatusCode::REQUEST_TIMEOUT,
                "the request took too long to arrive",
            ),
            _ => Self::bad("the body broke off"),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0.cause {
            Some(cause) => write!(f, "{cause} ({})", self.0.status.as_u16()),
            None => write!(f, "{} ({})", self.0.text, self.0.status.as_u16()),
        }
    }
}

impl std::error::Error for Error {}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        Self::internal(error)
    }
}

impl From<hythe_wire::http::Error> for Error {
    fn from(error: hythe_wire::http::Error) -> Self {
        let status = StatusCode::from_u16(error.status).unwrap_or(StatusCode::BAD_REQUEST);
        Self::new(status, error.reason)
    }
}
