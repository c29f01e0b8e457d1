//! WebSocket (RFC 6455): messages both ways, for live pages.
//!
//! ```text
//!   WebSocketUpgrade::of(&request)? ─► .speak(async |socket| …) ─► Response (101)
//!
//!   Upgraded ── bytes ──► tungstenite ── Message ──► receive
//!            ◄── bytes ──             ◄── Message ── send
//! ```
//!
//! The protocol is that of the `tungstenite` crate, which neither reads nor writes
//! here: it is given what came, and gives what is to be sent.
//!
//! Not here: compression (RFC 7692), and the side of a client.

use std::fmt;
use std::future::{Future, poll_fn};
use std::io::{self, Read, Write};
use std::task::Poll;
use std::time::{Duration, Instant};

use ::http::header::{
    CONNECTION, COOKIE, ORIGIN, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL,
    SEC_WEBSOCKET_VERSION, UPGRADE,
};
use ::http::{HeaderName, HeaderValue, Method, StatusCode, Version};
use base64ct::{Base64, Encoding as _};
use bytes::Bytes;
use hythe_net::reactor::{self, timeout};
use hythe_wire::http::list;
use sha1::{Digest as _, Sha1};
use tungstenite::error::{CapacityError, ProtocolError};
use tungstenite::protocol::frame::CloseFrame;
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::protocol::{Role, WebSocketConfig, WebSocketContext};
use tungstenite::{Error as Broken, Message as Frame};

use super::upgrade::Upgraded;
use super::{Error, Request, Response, origin};

/// How long a message may be where nothing else is said: pages say little, and a
/// thousand of them fit in memory.
const LIMIT: usize = 1024 * 1024;

/// How much is read for the protocol at a time; a connection that waits holds it.
const READ: usize = 4 * 1024;

/// After how long a silence the other end is asked whether it is still there; if it
/// is silent for as long again, it is not.
const PING: Duration = Duration::from_secs(30);

/// How long the other end may take to answer when it is told that we are done.
const FAREWELL: Duration = Duration::from_secs(5);

/// What is appended to a key to show that it was understood (RFC 6455 section 1.3).
const UNDERSTOOD: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// A request for a WebSocket, which is legal.
///
/// ```
/// use hythe::http::{Error, Request, Response, Router, WebSocketUpgrade};
///
/// async fn echo(request: Request) -> Result<Response, Error> {
///     let upgrade = WebSocketUpgrade::of(&request)?;
///     Ok(upgrade.speak(async |mut socket| {
///         while let Some(message) = socket.receive().await? {
///             socket.send(message).await?;
///         }
///         Ok(())
///     }))
/// }
///
/// let router = Router::new().get("/echo", echo);
/// # let _ = router;
/// ```
#[derive(Debug)]
pub struct WebSocketUpgrade {
    accept: String,
    /// What the client would speak, in its order.
    offered: Vec<String>,
    protocol: Option<String>,
    limit: usize,
}

impl WebSocketUpgrade {
    /// Reads the request. One that a page of another site has made a browser send
    /// is refused: the browser would have sent its user's cookies along.
    ///
    /// # Errors
    /// 426 where no WebSocket is asked for, or one of another version; 400 for what
    /// is malformed; 403 from other sites.
    pub fn of(request: &Request) -> Result<Self, Error> {
        let field = |name: HeaderName| request.headers().get(name).map(HeaderValue::as_bytes);
        let host = request.host().unwrap_or_default().as_bytes();
        let recognised = field(COOKIE).is_some();
        let from = request.headers().get("sec-fetch-site");
        let from = from.map(HeaderValue::as_bytes);
        if !origin::is_ours(from, field(ORIGIN), host, recognised) {
            let text = "this came from another site";
            return Err(Error::new(StatusCode::FORBIDDEN, text));
        }
        Self::of_any_origin(request)
    }

    /// As [`of`](Self::of), but takes requests that pages of other sites send:
    /// where it does not matter who its user is.
    ///
    /// # Errors
    /// As [`of`](Self::of), but for 403.
    pub fn of_any_origin(request: &Request) -> Result<Self, Error> {
        let says = |name: HeaderName, token: &[u8]| {
            let values = request.headers().get_all(name).into_iter();
            let mut tokens = values.flat_map(|value| list(value.as_bytes()));
            tokens.any(|said| said.eq_ignore_ascii_case(token))
        };
        let asked = *request.method() == Method::GET
            && request.version() == Version::HTTP_11
            && says(CONNECTION, b"upgrade")
            && says(UPGRADE, b"websocket");
        if !asked {
            let text = "a WebSocket is here, for those who ask for one";
            return Err(Error::new(StatusCode::UPGRADE_REQUIRED, text)
                .with_header(UPGRADE, "websocket")
                .with_header(CONNECTION, "Upgrade"));
        }
        if request.header(SEC_WEBSOCKET_VERSION) != Some("13") {
            let text = "only version 13 of WebSocket is spoken here";
            return Err(Error::new(StatusCode::UPGRADE_REQUIRED, text)
                .with_header(SEC_WEBSOCKET_VERSION, "13"));
        }
        let mut keys = request.headers().get_all(SEC_WEBSOCKET_KEY).into_iter();
        let (Some(key), None) = (keys.next(), keys.next()) else {
            return Err(Error::bad("give one Sec-WebSocket-Key"));
        };
        let legal = key
            .to_str()
            .ok()
            .and_then(|key| Base64::decode_vec(key).ok());
        if legal.is_none_or(|key| key.len() != 16) {
            return Err(Error::bad("bad Sec-WebSocket-Key"));
        }
        let digest = Sha1::new()
            .chain_update(key.as_bytes())
            .chain_update(UNDERSTOOD)
            .finalize();
        let offered = request.headers().get_all(SEC_WEBSOCKET_PROTOCOL);
        let offered = offered.into_iter().flat_map(|value| list(value.as_bytes()));
        Ok(Self {
            accept: Base64::encode_string(&digest),
            offered: offered
                .map(|name| String::from_utf8_lossy(name).into_owned())
                .collect(),
            protocol: None,
            limit: LIMIT,
        })
    }

    /// Chooses the first of these subprotocols that the client offers (RFC 6455
    /// section 1.9), if it does.
    #[must_use]
    pub fn with_protocols(mut self, known: &[&str]) -> Self {
        let offers = |name: &&&str| self.offered.iter().any(|offered| offered == **name);
        self.protocol = known.iter().find(offers).map(|&name| name.to_owned());
        self
    }

    /// The subprotocol that was chosen.
    pub fn protocol(&self) -> Option<&str> {
        self.protocol.as_deref()
    }

    /// Takes messages of at most so many bytes, in place of a mebibyte.
    #[must_use]
    pub fn with_limit(self, limit: usize) -> Self {
        Self { limit, ..self }
    }

    /// Has `speak` speak. When it is done the client is told so; an error is written
    /// to the log, and the client is told that there was one.
    pub fn speak<F, T>(self, speak: F) -> Response
    where
        F: FnOnce(WebSocket) -> T + 'static,
        T: Future<Output = io::Result<()>> + 'static,
    {
        let limit = self.limit;
        let response = Response::upgrade("websocket", move |upgraded| async move {
            WebSocket::run(upgraded, limit, speak).await;
        });
        let response = response.with_header(SEC_WEBSOCKET_ACCEPT, self.accept);
        match self.protocol {
            Some(protocol) => response.with_header(SEC_WEBSOCKET_PROTOCOL, protocol),
            None => response,
        }
    }
}

/// What is said over a WebSocket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// Text, a string in the page's script.
    Text(String),
    /// Bytes, a `Blob` or `ArrayBuffer` there.
    Binary(Bytes),
}

impl From<&str> for Message {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Message {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<Message> for Frame {
    fn from(message: Message) -> Self {
        match message {
            Message::Text(text) => Self::text(text),
            Message::Binary(bytes) => Self::binary(bytes),
        }
    }
}

/// One end of a WebSocket.
///
/// Pings are answered in [`receive`](Self::receive), and sent there where the other
/// end is silent: somebody has to wait there for a socket to live.
pub struct WebSocket(Box<Inner>);

struct Inner {
    upgraded: Upgraded,
    protocol: WebSocketContext,
    pipe: Pipe,
    /// When the other end was last heard of.
    heard: Instant,
    asked: bool,
}

/// What stands between the protocol and the connection.
#[derive(Default)]
struct Pipe {
    input: Vec<u8>,
    ended: bool,
    output: Vec<u8>,
}

impl Read for Pipe {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.input.is_empty() && !self.ended {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let count = self.input.as_slice().read(buffer)?;
        self.input.drain(..count);
        Ok(count)
    }
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.output.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What the protocol has made of what came.
enum Heard {
    Message(Message),
    /// More has to come first.
    Nothing,
    Closed,
}

impl WebSocket {
    async fn run<F, T>(upgraded: Upgraded, limit: usize, speak: F)
    where
        F: FnOnce(Self) -> T + 'static,
        T: Future<Output = io::Result<()>> + 'static,
    {
        let config = WebSocketConfig::default()
            .read_buffer_size(READ)
            .write_buffer_size(0)
            .max_message_size(Some(limit))
            .max_frame_size(Some(limit));
        let socket = Self(Box::new(Inner {
            upgraded,
            protocol: WebSocketContext::new(Role::Server, Some(config)),
            pipe: Pipe::default(),
            heard: reactor::now(),
            asked: false,
        }));
        if let Err(error) = speak(socket).await {
            match error.kind() {
                io::ErrorKind::Other => tracing::warn!(%error, "a WebSocket broke off"),
                _ => tracing::debug!(%error, "a WebSocket ended"),
            }
        }
    }

    /// The next message; `None` when the other end has closed, or is gone. It may
    /// be dropped while it waits, and called again.
    ///
    /// # Errors
    /// `InvalidData` for what is no WebSocket, no text in UTF-8, or too long: the
    /// other end was told so. `TimedOut` where it does not answer any more.
    pub async fn receive(&mut self) -> io::Result<Option<Message>> {
        loop {
            let heard = self.0.read();
            // What the protocol answers by itself.
            let flushed = self.0.flush().await;
            match heard? {
                Heard::Message(message) => {
                    flushed?;
                    return Ok(Some(message));
                }
                Heard::Closed => return Ok(None),
                Heard::Nothing => flushed?,
            }
            self.0.fill().await?;
        }
    }

    /// Sends a message, when those before it have gone.
    ///
    /// # Errors
    /// `BrokenPipe` after the other end has closed, and what the connection says.
    pub async fn send(&mut self, message: impl Into<Message>) -> io::Result<()> {
        let frame = Frame::from(message.into());
        let Inner { protocol, pipe, .. } = &mut *self.0;
        protocol
            .write(pipe, frame)
            .map_err(|_| io::ErrorKind::BrokenPipe)?;
        self.0.flush().await
    }

    /// Tells the other end why this is the end (RFC 6455 section 7.4: 1000 for all
    /// is well, 1001 for leaving, 4000 to 4999 for one's own), and waits a moment
    /// for it to answer.
    ///
    /// # Errors
    /// What the connection says.
    pub async fn close(mut self, code: u16, reason: &str) -> io::Result<()> {
        self.0.close(code.into(), reason);
        self.0.flush().await?;
        let answered = async {
            while self.receive().await?.is_some() {}
            Ok(())
        };
        timeout(FAREWELL, answered).await.unwrap_or(Ok(()))
    }
}

impl Inner {
    fn read(&mut self) -> io::Result<Heard> {
        let Self { protocol, pipe, .. } = self;
        loop {
            return match protocol.read(pipe) {
                Ok(Frame::Text(text)) => {
                    Ok(Heard::Message(Message::Text(text.as_str().to_owned())))
                }
                Ok(Frame::Binary(bytes)) => Ok(Heard::Message(Message::Binary(bytes))),
                Ok(Frame::Ping(_) | Frame::Pong(_) | Frame::Close(_) | Frame::Frame(_)) => continue,
                Err(Broken::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                    Ok(Heard::Nothing)
                }
                Err(
                    Broken::ConnectionClosed
                    | Broken::AlreadyClosed
                    | Broken::Protocol(ProtocolError::ResetWithoutClosingHandshake),
                ) => Ok(Heard::Closed),
                Err(error) => {
                    let code = match &error {
                        Broken::Utf8(_) => CloseCode::Invalid,
                        Broken::Capacity(CapacityError::MessageTooLong { .. }) => CloseCode::Size,
                        _ => CloseCode::Protocol,
                    };
                    self.close(code, "");
                    Err(io::Error::new(
                        io::ErrorKind::InvalidData,
                        error.to_string(),
                    ))
                }
            };
        }
    }

    fn close(&mut self, code: CloseCode, reason: &str) {
        let frame = CloseFrame {
            code,
            reason: reason.into(),
        };
        // One that is closed already needs no telling.
        self.protocol.close(&mut self.pipe, Some(frame)).ok();
    }

    /// Sends what the protocol has written.
    async fn flush(&mut self) -> io::Result<()> {
        self.protocol.flush(&mut self.pipe).ok();
        while !self.pipe.output.is_empty() {
            let channel = self.upgraded.channel();
            let output = &mut self.pipe.output;
            // In one step, so that nothing is sent twice where this is dropped.
            poll_fn(|context| {
                channel
                    .poll_send(context, output, hythe_net::More::No)
                    .map_ok(|sent| drop(output.drain(..sent)))
            })
            .await?;
        }
        self.upgraded.channel().flush().await
    }

    /// Waits for something to come; asks whether anybody is there where nothing
    /// does.
    async fn fill(&mut self) -> io::Result<()> {
        loop {
            let silent = reactor::now().saturating_duration_since(self.heard);
            if silent >= PING {
                if self.asked {
                    return Err(io::ErrorKind::TimedOut.into());
                }
                self.asked = true;
                self.heard = reactor::now();
                self.protocol
                    .write(&mut self.pipe, Frame::Ping(Bytes::new()))
                    .ok();
                self.flush().await?;
                continue;
            }
            let received = poll_fn(|context| {
                let mut buffer = reactor::lease();
                match self.upgraded.poll_recv(context, &mut buffer) {
                    Poll::Ready(Ok(count)) => {
                        self.pipe.input.extend_from_slice(&buffer[..count]);
                        Poll::Ready(Ok(count))
                    }
                    other => other,
                }
            });
            match timeout(PING - silent, received).await {
                Err(_) => {}
                // One that is gone says nothing more; that is all that matters.
                Ok(Ok(0) | Err(_)) => {
                    self.pipe.ended = true;
                    return Ok(());
                }
                Ok(Ok(_)) => {
                    self.heard = reactor::now();
                    self.asked = false;
                    return Ok(());
                }
            }
        }
    }
}

impl fmt::Debug for WebSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebSocket")
            .field("upgraded", &self.0.upgraded)
            .finish_non_exhaustive()
    }
}
