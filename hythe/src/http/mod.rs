//! HTTP applications: a server for functions that answer requests (RFC 9110, RFC
//! 9112).
//!
//! ```no_run
//! use hythe::http::{Error, Json, Request, Router, serve};
//!
//! async fn greet(request: Request) -> String {
//!     format!("Hello, {}!\n", request.param("name").unwrap_or("stranger"))
//! }
//!
//! async fn sum(mut request: Request) -> Result<Json<u64>, Error> {
//!     let numbers: Vec<u64> = request.json().await?;
//!     Ok(Json(numbers.iter().sum()))
//! }
//!
//! fn main() -> std::io::Result<()> {
//!     serve("127.0.0.1:8080", Router::new().get("/hello/{name}", greet).post("/sum", sum))
//! }
//! ```
//!
//! ```text
//!   Server ─► Http ─► session ─► Request ─► Router ─► layer ─► layer ─► function
//!   (net)   (TLS?)      │                      │                          │
//!                       │                      └─► mount: a share, files, │
//!                       │                          programs, a proxy      │
//!                       └──── head, body ◄──────────────────── Response ◄─┘
//! ```
//!
//! [`Request`] and [`Response`] are made of the types of the `http` crate;
//! [`Router`] finds who answers, [`layer`] has what is often put in between, and
//! [`Service`] is what else can be mounted. A connection stays on the thread that
//! accepted it: functions need not be [`Send`], and what blocks belongs on the
//! thread pool ([`unblock`](hythe_net::reactor::unblock)).
//!
//! The pages and the API of `hythe serve` are such a service, [`Site`], which can
//! be mounted like any other.
//!
//! Not here: HTTP/2; methods other than those of RFC 9110, PATCH, MKCOL, MOVE and COPY
//! (others get 501); forms with files (`multipart/form-data`), ranges and conditional
//! requests but where a [`Site`] answers.

pub(crate) mod basic;
mod body;
mod cookie;
pub(crate) mod date;
mod error;
mod events;
mod gateway;
pub(crate) mod head;
mod incoming;
mod intake;
pub mod layer;
mod line;
pub(crate) mod origin;
pub(crate) mod path;
mod proxy;
mod received;
mod request;
mod response;
mod router;
mod send;
mod server;
mod service;
mod session;
mod upgrade;
mod websocket;

use std::any::Any;

pub use ::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, Version, header};
pub use bytes::Bytes;

pub use crate::serve::http::{Site, SiteConfig};
pub use body::{Body, Segment, Writer};
pub use cookie::Cookie;
pub use error::Error;
pub use events::{Event, Events};
pub use gateway::{Cgi, FastCgi, OUTPUT_LIMIT};
pub use incoming::{BODY_LIMIT, Chunks, Incoming};
pub use intake::{Answer, Intake};
pub use proxy::Proxy;
pub use request::Request;
pub use response::{Html, IntoResponse, Json, Response};
pub use router::Router;
pub use server::{Http, serve};
pub use service::{Endpoint, Layer, Next, Ready, Service};
pub use upgrade::Upgraded;
pub use websocket::{Message, WebSocket, WebSocketUpgrade};

/// What is answered where whoever should answer has panicked.
fn panicked(panic: &(dyn Any + Send)) -> Response {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    let text = text.unwrap_or("no message");
    tracing::error!(panic = text, "a handler panicked");
    Response::error(
        StatusCode::INTERNAL_SERVER_ERROR,
        "something went wrong here; it is in the log",
    )
}
