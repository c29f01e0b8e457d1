//! WebSocket (RFC 6455): messages both ways, for live pages.
//!
//! ```text
//!   WebSocketUpgrade::of(&request)? ─► .on_upgrade(async |socket| …) ─► Response (101)
//!
//!   Upgraded ── bytes ──► tungstenite ── Message ──► receive
//!            ◄── bytes ──             ◄── Message ── send
//! ```
//!
//! The protocol is that of the `tungstenite` crate, which neither reads nor writes
//! here: it is given what came, and gives what is to be sent.
//!
//! Not here: compression (RFC 7692), and the side of a client.

use std::cell::Cell;
use std::fmt;
use std::future::{Future, poll_fn};
use std::io::{self, Read, Write};
use std::rc::Rc;
use std::task::Poll;
use std::time::{Duration, Instant};

use ::http::header::{
    CONNECTION, COOKIE, ORIGIN, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL,
    SEC_WEBSOCKET_VERSION, UPGRADE,
};
use ::http::{HeaderName, HeaderValue, Method, StatusCode, Version};
use base64ct::{Base64, Encoding as _};
use bytes::Bytes;
use hythe_net::More;
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

/// How long the other end may take to hear that we are done, and to answer.
const FAREWELL: Duration = Duration::from_secs(5);

/// How long a reason for closing may be: a control frame holds 125 bytes, and two
/// are the code (RFC 6455 section 5.5).
const REASON: usize = 123;

/// What is appended to a key to show that it was understood (RFC 6455 section 1.3).
const UNDERSTOOD: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// A request for a WebSocket, which is legal.
///
/// ```
/// use hythe::http::{Error, Request, Response, Router, WebSocketUpgrade};
///
/// async fn echo(request: Request) -> Result<Response, Error> {
///     let upgrade = WebSocketUpgrade::of(&request)?;
///     Ok(upgrade.on_upgrade(async |mut socket| {
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
    ping: Duration,
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
        if request.length() != Some(0) {
            // It would be taken for frames.
            return Err(Error::bad("a WebSocket begins without a body"));
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
            ping: PING,
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

    /// Asks a client that says nothing for so long whether it is still there, in
    /// place of half a minute; one that is silent for as long again is given up.
    #[must_use]
    pub fn with_ping(self, ping: Duration) -> Self {
        Self { ping, ..self }
    }

    /// Has `speak` speak. When it is done the client is told so, by 1000; an error is
    /// written to the log, and the client is told that there was one, by 1011.
    pub fn on_upgrade<F, T>(self, speak: F) -> Response
    where
        F: FnOnce(WebSocket) -> T + 'static,
        T: Future<Output = io::Result<()>> + 'static,
    {
        let (limit, ping) = (self.limit, self.ping);
        let response = Response::upgrade("websocket", move |upgraded| async move {
            WebSocket::run(Inner::new(upgraded, limit, ping), speak).await;
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
pub struct WebSocket {
    /// Always there, but for [`drop`](Drop::drop).
    inner: Option<Box<Inner>>,
    /// Where what is left of it goes when nobody speaks any more.
    left: Rc<Cell<Option<Box<Inner>>>>,
}

struct Inner {
    upgraded: Upgraded,
    protocol: WebSocketContext,
    pipe: Pipe,
    ping: Duration,
    /// When the other end was last heard of.
    heard: Instant,
    asked: bool,
    /// Whether the connection still has to take something.
    sending: bool,
    /// Until when the other end is waited for, once it was told that we are done.
    until: Option<Instant>,
    /// Whether nothing more is to be waited for: the other end has said the same,
    /// has erred, or does not answer.
    over: bool,
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
    async fn run<F, T>(inner: Inner, speak: F)
    where
        F: FnOnce(Self) -> T + 'static,
        T: Future<Output = io::Result<()>> + 'static,
    {
        let left = Rc::default();
        let socket = Self {
            inner: Some(Box::new(inner)),
            left: Rc::clone(&left),
        };
        let spoken = speak(socket).await;
        if let Err(error) = &spoken {
            match error.kind() {
                io::ErrorKind::Other => tracing::warn!(%error, "a WebSocket broke off"),
                _ => tracing::debug!(%error, "a WebSocket ended"),
            }
        }
        // Who still holds it elsewhere goes on without a connection.
        if let Some(mut inner) = left.take() {
            let code = match spoken {
                Ok(()) => CloseCode::Normal,
                Err(_) => CloseCode::Error,
            };
            inner.farewell(code, "").await.ok();
        }
    }

    fn inner(&mut self) -> &mut Inner {
        self.inner.as_mut().expect("only drop takes it")
    }

    /// The next message; `None` when the other end has closed, or is gone, or when
    /// the server is stopping, which the other end is told by 1001. It may be
    /// dropped while it waits, and called again.
    ///
    /// # Errors
    /// `InvalidData` for what is no WebSocket, no text in UTF-8, or too long: the
    /// other end was told so. `TimedOut` where it does not answer any more.
    pub async fn receive(&mut self) -> io::Result<Option<Message>> {
        self.inner().receive().await
    }

    /// Sends a message, when those before it have gone. If this is dropped while it
    /// waits, the message may go out all the same.
    ///
    /// # Errors
    /// `BrokenPipe` after either end has closed, and what the connection says.
    pub async fn send(&mut self, message: impl Into<Message>) -> io::Result<()> {
        self.inner().send(message.into().into()).await
    }

    /// Tells the other end why this is the end (RFC 6455 section 7.4: 1000 for all
    /// is well, 1001 for leaving, 4000 to 4999 for one's own), and waits a moment
    /// for it to answer. Of a reason, the first 123 bytes are told.
    ///
    /// # Errors
    /// `InvalidInput` for a code that may not be sent; what the connection says.
    pub async fn close(mut self, code: u16, reason: &str) -> io::Result<()> {
        let code = CloseCode::from(code);
        if !code.is_allowed() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("{code} is no code to close a WebSocket with"),
            ));
        }
        self.inner().farewell(code, reason).await
    }
}

impl Drop for WebSocket {
    fn drop(&mut self) {
        self.left.set(self.inner.take());
    }
}

impl Inner {
    fn new(upgraded: Upgraded, limit: usize, ping: Duration) -> Self {
        let config = WebSocketConfig::default()
            .read_buffer_size(READ)
            .write_buffer_size(0)
            .max_message_size(Some(limit))
            .max_frame_size(Some(limit));
        Self {
            upgraded,
            protocol: WebSocketContext::new(Role::Server, Some(config)),
            pipe: Pipe::default(),
            ping,
            heard: reactor::now(),
            asked: false,
            sending: false,
            until: None,
            over: false,
        }
    }

    async fn receive(&mut self) -> io::Result<Option<Message>> {
        while self.until.is_none() {
            let heard = self.read();
            // What the protocol answers by itself.
            let flushed = self.flush().await;
            match heard? {
                Heard::Message(message) => {
                    flushed?;
                    return Ok(Some(message));
                }
                Heard::Closed => return Ok(None),
                Heard::Nothing => flushed?,
            }
            if self.fill().await? == Filled::Stopping {
                break;
            }
        }
        self.farewell(CloseCode::Away, "").await?;
        Ok(None)
    }

    async fn send(&mut self, frame: Frame) -> io::Result<()> {
        // One that was dropped while it waited has left something.
        self.flush().await?;
        self.protocol
            .write(&mut self.pipe, frame)
            .map_err(|_| io::ErrorKind::BrokenPipe)?;
        self.flush().await
    }

    /// Says that this is the end, if nobody has yet, and waits for the other end to
    /// say so, too, or to be gone. It may be dropped while it waits, and called
    /// again.
    async fn farewell(&mut self, code: CloseCode, reason: &str) -> io::Result<()> {
        if self.over {
            return Ok(());
        }
        let until = match self.until {
            Some(until) => until,
            None => {
                self.close(code, reason);
                *self.until.insert(reactor::now() + FAREWELL)
            }
        };
        let answered = async {
            self.flush().await?;
            loop {
                match self.read()? {
                    Heard::Message(_) => {}
                    Heard::Closed => return Ok(()),
                    Heard::Nothing => {
                        self.recv().await;
                    }
                }
            }
        };
        let left = until.saturating_duration_since(reactor::now());
        let result = timeout(left, answered).await.unwrap_or(Ok(()));
        self.over = true;
        result
    }

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
                    self.over = true;
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
            reason: reason[..reason.floor_char_boundary(REASON)].into(),
        };
        // One that is closed already needs no telling.
        self.protocol.close(&mut self.pipe, Some(frame)).ok();
    }

    /// Sends what the protocol has written.
    async fn flush(&mut self) -> io::Result<()> {
        self.protocol.flush(&mut self.pipe).ok();
        let channel = self.upgraded.channel();
        if !self.sending && !self.pipe.output.is_empty() {
            self.sending = true;
            // The time until now was not the other end's.
            channel.progressed();
        }
        if !self.sending {
            return Ok(());
        }
        while !self.pipe.output.is_empty() {
            let output = &mut self.pipe.output;
            // In one step, so that nothing is sent twice where this is dropped.
            poll_fn(|context| {
                channel
                    .poll_send(context, output, More::No)
                    .map_ok(|sent| drop(output.drain(..sent)))
            })
            .await?;
        }
        channel.flush().await?;
        self.sending = false;
        Ok(())
    }

    /// Waits for something to come; asks whether anybody is there where nothing
    /// does.
    async fn fill(&mut self) -> io::Result<Filled> {
        loop {
            let silent = reactor::now().saturating_duration_since(self.heard);
            let Some(left) = self.ping.checked_sub(silent).filter(|left| !left.is_zero()) else {
                if self.asked {
                    self.over = true;
                    return Err(io::ErrorKind::TimedOut.into());
                }
                self.asked = true;
                self.heard = reactor::now();
                let ping = Frame::Ping(Bytes::new());
                self.protocol.write(&mut self.pipe, ping).ok();
                self.flush().await?;
                continue;
            };
            if let Ok(filled) = timeout(left, self.come()).await {
                return Ok(filled);
            }
        }
    }

    /// Waits for something to come, or for the server to be told to stop.
    async fn come(&mut self) -> Filled {
        let stopping = poll_fn(|_| match reactor::stopping() {
            // Who waits for input is woken then.
            true => Poll::Ready(Filled::Stopping),
            false => Poll::Pending,
        });
        let coming = async {
            self.recv().await;
            Filled::More
        };
        futures_lite::future::or(stopping, coming).await
    }

    async fn recv(&mut self) {
        // How long there may be silence, the pings decide.
        self.upgraded.channel().set_deadline(None);
        let received = poll_fn(|context| {
            let mut buffer = reactor::lease();
            let received = self.upgraded.poll_recv(context, &mut buffer);
            if let Poll::Ready(Ok(count)) = received {
                self.pipe.input.extend_from_slice(&buffer[..count]);
            }
            received
        });
        match received.await {
            // One that is gone says nothing more; that is all that matters.
            Ok(0) | Err(_) => self.pipe.ended = true,
            Ok(_) => {
                self.heard = reactor::now();
                self.asked = false;
            }
        }
    }
}

/// Why [`Inner::fill`] has returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Filled {
    /// Something has come, if only the end.
    More,
    /// The server is stopping.
    Stopping,
}

impl fmt::Debug for WebSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebSocket")
            .field(
                "upgraded",
                &self.inner.as_ref().map(|inner| &inner.upgraded),
            )
            .finish_non_exhaustive()
    }
}
