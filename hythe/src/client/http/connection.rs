//! One connection: requests go out, heads come in, bodies are poured.

use std::cell::Cell;
use std::fs::File;
use std::future::poll_fn;
use std::io::{self, Read};
use std::ops::Range;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use futures_lite::future::or;
use hythe_net::reactor::{lease, sleep, timeout, unblock};
use hythe_net::{More, Poured};
use hythe_wire::http::{
    CHUNK_END, FieldStorage, Head, LAST_CHUNK, MAX_HEAD, Method, Response, chunk_head, head_end,
};

use super::super::dial::{dial, tls_failed};
use super::super::{Content, Error, Meter, Options, Reason, Result, Scheme, Url};
use super::answer::Answer;
use super::body::{End, Framed};
use super::proxy::Proxy;
use crate::tls::{Channel, Connector};

/// How many interim answers (1xx) may come before the final one: a few hints,
/// and no stream of them without an end.
pub(crate) const MAX_INTERIM: usize = 16;

/// How long to wait for a server to say whether it wants the body: old ones
/// know nothing of that and wait as well (RFC 9110 section 10.1.1).
pub(crate) const CONTINUE: Duration = Duration::from_secs(1);

/// How long to wait for the answer of a server that takes no more of a body.
pub(crate) const LAST_WORD: Duration = Duration::from_secs(2);

/// How much of a pipe is read at a time.
const PIECE: usize = 256 * 1024;

/// A connection to a server, perhaps through a proxy.
pub(super) struct Connection {
    channel: Channel,
    /// What has come and was not looked at yet.
    buffer: Vec<u8>,
    /// Whose it is.
    origin: Url,
    /// The proxy that requests in the clear are sent to.
    proxy: Option<Proxy>,
    /// Whether anything has come since the last request.
    heard: bool,
}

/// What goes out behind a head.
pub(super) struct Outgoing<'a> {
    pub(super) content: Content,
    pub(super) meter: &'a Meter,
    /// How many bytes of it went out.
    pub(super) sent: &'a Cell<u64>,
}

impl Connection {
    /// Connects to where `url` is.
    pub(super) async fn open(
        url: &Url,
        proxy: Option<Proxy>,
        options: &Options,
        connector: impl FnOnce() -> Result<Connector>,
    ) -> Result<Self> {
        let stream = match &proxy {
            Some(proxy) => dial(&proxy.host, proxy.port, options)
                .await
                .map_err(|error| Error {
                    text: format!("the proxy {}: {}", proxy.host, error.text),
                    ..error
                })?,
            None => dial(&url.host, url.port, options).await?,
        };
        let mut connection = Self {
            channel: Channel::plain(stream),
            buffer: Vec::new(),
            origin: url.clone(),
            proxy,
            heard: false,
        };
        if url.scheme == Scheme::Https {
            connection.dig_tunnel().await?;
            let connector = connector()?;
            let shaken = connection.channel.connect(&connector, &url.host).await;
            shaken.map_err(|error| tls_failed(&error))?;
        }
        Ok(connection)
    }

    /// Has the proxy, if there is one, connect us to the server.
    async fn dig_tunnel(&mut self) -> Result<()> {
        let Some(proxy) = self.proxy.take() else {
            return Ok(());
        };
        // The port is always told here (RFC 9110 section 9.3.6).
        let authority = if self.origin.host.contains(':') {
            format!("[{}]:{}", self.origin.host, self.origin.port)
        } else {
            format!("{}:{}", self.origin.host, self.origin.port)
        };
        let mut request = Vec::new();
        let head = Head::request(&mut request, Method::Connect, authority.as_bytes());
        let mut head = head.field("Host", authority.as_bytes());
        if let Some(authorization) = &proxy.authorization {
            head = head.field("Proxy-Authorization", authorization);
        }
        head.finish();
        self.say(&request, More::No).await?;
        let answer = self.read_head(Method::Connect).await?;
        match answer.status {
            200..300 if self.buffer.is_empty() => Ok(()),
            200..300 => Err(Error::protocol("the proxy speaks before the server does")),
            407 => Err(answer.refusal("", false)),
            _ => Err(Error::new(
                Reason::Unreachable,
                format!("the proxy says {}", answer.line()),
            )),
        }
    }

    /// Whether a request to `url` may be sent here: it is the same server, and
    /// nothing came from it that nobody asked for, its end included.
    pub(super) fn is_fit_for(&self, url: &Url) -> bool {
        self.origin.is_same_origin(url) && self.buffer.is_empty() && is_silent(&self.channel)
    }

    /// The proxy that requests here must name the whole address to.
    pub(super) fn proxy(&self) -> Option<&Proxy> {
        self.proxy.as_ref()
    }

    /// Whether nothing at all came since the last request.
    pub(super) fn heard_nothing(&self) -> bool {
        !self.heard
    }

    /// Sends a request, all of it.
    pub(super) async fn say(&mut self, bytes: &[u8], more: More) -> Result<()> {
        self.heard = false;
        // The time in which nothing was asked is not the server's.
        self.channel.progressed();
        let sent = self.channel.send_all(bytes, more).await;
        sent.map_err(|error| Error::lost(&error))
    }

    /// Reads the head of the final answer.
    pub(super) async fn read_head(&mut self, asked: Method) -> Result<Answer> {
        for _ in 0..MAX_INTERIM {
            let answer = self.next_head(asked).await?;
            if !answer.is_interim() {
                return Ok(answer);
            }
        }
        Err(Error::protocol("the server never comes to the answer"))
    }

    async fn next_head(&mut self, asked: Method) -> Result<Answer> {
        let heard = hear(&self.channel, &mut self.buffer, &mut self.heard, asked);
        heard.await.and_then(unswitched)
    }

    /// Sends a request with a body, and listens meanwhile: a server that wants
    /// no more of it says so at any time. Whether the connection can be used
    /// any further is `keep_alive` of the answer.
    pub(super) async fn upload(
        &mut self,
        asked: Method,
        head: &[u8],
        expects: bool,
        outgoing: Outgoing<'_>,
    ) -> Result<Answer> {
        if expects {
            self.say(head, More::No).await?;
            match timeout(CONTINUE, self.next_head(asked)).await {
                Ok(answer) => {
                    let answer = answer?;
                    if !answer.is_interim() {
                        return Ok(unusable(answer));
                    }
                }
                Err(_) => self.channel.progressed(),
            }
        } else {
            self.say(head, More::Follows).await?;
        }
        let sent = {
            let Self {
                channel,
                buffer,
                heard,
                ..
            } = self;
            let mut sending = pin!(outgoing.send(channel));
            let mut interim = 0;
            loop {
                let sent = async { Event::Sent(sending.as_mut().await) };
                let listen = async {
                    let answer = hear(channel, buffer, heard, asked).await;
                    Event::Heard(answer.and_then(unswitched))
                };
                match or(sent, listen).await {
                    Event::Sent(sent) => break sent,
                    Event::Heard(answer) => {
                        let answer = answer?;
                        interim += 1;
                        if answer.is_success() {
                            // It has all before we hear that it went out; or it
                            // errs, and has to take the rest.
                            return sending.await.map(|()| answer);
                        }
                        if !answer.is_interim() || interim > MAX_INTERIM {
                            return Ok(unusable(answer));
                        }
                    }
                }
            }
        };
        match sent {
            Ok(()) => self.read_head(asked).await,
            Err(error) if error.reason == Reason::Lost => {
                // It may have said why.
                self.channel.progressed();
                match timeout(LAST_WORD, self.read_head(asked)).await {
                    Ok(Ok(answer)) => Ok(unusable(answer)),
                    _ => Err(error),
                }
            }
            Err(error) => Err(error),
        }
    }

    /// Pours a body into what takes it.
    pub(super) async fn pour(&mut self, mut framed: Framed) -> Result<End> {
        use hythe_net::Sink as _;
        self.channel.progressed();
        let mut first = std::mem::take(&mut self.buffer);
        if !first.is_empty() {
            // A sink may block.
            (framed, self.buffer) = unblock(move || {
                framed.take_first(&mut first);
                (framed, first)
            })
            .await;
        }
        if framed.room() == 0 {
            return framed.end(false);
        }
        let (framed, poured) = self.channel.pour(framed).await;
        match poured {
            Ok(poured) => {
                // Sinks write to disks as they end.
                unblock(move || framed.end(poured == Poured::End)).await
            }
            Err(error) => Err(Error::lost(&error)),
        }
    }

    pub(super) async fn close(&self) {
        self.channel.close().await;
    }
}

enum Event {
    Sent(Result<()>),
    Heard(Result<Answer>),
}

/// An answer before the end of the request, of which the rest is not sent.
fn unusable(mut answer: Answer) -> Answer {
    answer.keep_alive = false;
    answer
}

/// Connects to where `url` is, for exchanges of another kind than ours.
pub(crate) async fn channel_to(
    url: &Url,
    options: &Options,
    connector: impl FnOnce() -> Result<Connector>,
) -> Result<Channel> {
    let connection = Connection::open(url, None, options, connector).await?;
    Ok(connection.channel)
}

/// Nobody here has asked for another protocol.
fn unswitched(answer: Answer) -> Result<Answer> {
    match answer.status {
        101 => Err(broken("it goes on in another protocol")),
        _ => Ok(answer),
    }
}

fn broken(reason: &str) -> Error {
    Error::protocol(format!("the server's answer is broken: {reason}"))
}

/// Whether nothing came on a connection that nobody asked for, its end included.
pub(crate) fn is_silent(channel: &Channel) -> bool {
    channel.is_silent()
}

/// Receives what is there, once there is something, holding no buffer while it
/// waits: how much; 0 is the end.
pub(crate) async fn receive(channel: &Channel, buffer: &mut Vec<u8>) -> io::Result<usize> {
    poll_fn(|context| {
        let mut piece = lease();
        let polled = channel.poll_recv(context, &mut piece);
        if let Poll::Ready(Ok(count)) = polled {
            buffer.extend_from_slice(&piece[..count]);
        }
        polled
    })
    .await
}

/// Reads one head, interim or not. What has come is not lost if it is given up.
pub(crate) async fn hear(
    channel: &Channel,
    buffer: &mut Vec<u8>,
    heard: &mut bool,
    asked: Method,
) -> Result<Answer> {
    let mut searched = 0;
    loop {
        if head_end(buffer, searched).is_some() {
            return take_head(buffer, asked);
        }
        let is_http = buffer.len() < 5 || buffer.starts_with(b"HTTP/") || buffer[0] <= b'\r';
        if !is_http {
            return Err(Error::protocol("what the server speaks is not HTTP"));
        }
        if buffer.len() > MAX_HEAD {
            return Err(Error::protocol(
                "the head of the server's answer is too long",
            ));
        }
        searched = buffer.len();
        let count = receive(channel, buffer).await;
        if count.map_err(|error| Error::lost(&error))? == 0 {
            return Err(Error::lost(&io::ErrorKind::UnexpectedEof.into()));
        }
        *heard = true;
    }
}

fn take_head(buffer: &mut Vec<u8>, asked: Method) -> Result<Answer> {
    let mut storage = FieldStorage::new();
    let parsed = Response::parse(buffer, asked, &mut storage);
    let (response, used) = match parsed {
        Ok(Some(parsed)) => parsed,
        Ok(None) => return Err(broken("it has no end")),
        Err(error) => return Err(broken(error.reason)),
    };
    let answer = Answer::new(&response, &buffer[..used]);
    buffer.drain(..used);
    Ok(answer)
}

impl Outgoing<'_> {
    /// How many bytes it has; `None` if only its end will tell. Then it goes out
    /// in chunks.
    pub(super) fn length(&self) -> Option<u64> {
        match &self.content {
            Content::File(_, range) => Some(range.end.saturating_sub(range.start)),
            Content::Pipe(_) => None,
        }
    }

    fn count(&self, bytes: u64) -> Duration {
        self.sent.set(self.sent.get() + bytes);
        self.meter.count(bytes)
    }

    /// Sends all of it.
    async fn send(mut self, channel: &Channel) -> Result<()> {
        let content = std::mem::replace(&mut self.content, Content::Pipe(Box::new(io::empty())));
        match content {
            Content::File(file, range) => self.send_file(channel, &file, range).await?,
            Content::Pipe(pipe) => self.send_pipe(channel, pipe).await?,
        }
        channel.flush().await.map_err(|error| Error::lost(&error))
    }

    async fn send_file(&self, channel: &Channel, file: &File, range: Range<u64>) -> Result<()> {
        let mut from = range.start;
        while from < range.end {
            let piece = self.meter.piece().unwrap_or(u64::MAX);
            let to = range.end.min(from.saturating_add(piece));
            let pause = Cell::new(Duration::ZERO);
            let count = |bytes| pause.set(self.count(bytes));
            let sent = channel.send_file_counted(file, from..to, &count).await;
            sent.map_err(|error| match error.kind() {
                io::ErrorKind::UnexpectedEof => Error::new(
                    Reason::Local,
                    "the file has become shorter while it was sent",
                ),
                _ => Error::lost(&error),
            })?;
            from = to;
            rest(channel, pause.get()).await;
        }
        Ok(())
    }

    async fn send_pipe(&self, channel: &Channel, mut pipe: Box<dyn Read + Send>) -> Result<()> {
        let lost = |error| Error::lost(&error);
        let limit = self.meter.piece();
        let limit = limit.and_then(|piece| usize::try_from(piece).ok());
        let limit = limit.map_or(PIECE, |piece| piece.clamp(1, PIECE));
        let mut piece = Vec::new();
        loop {
            // How long it takes is not the server's doing.
            channel.set_deadline(None);
            let count;
            (pipe, piece, count) = unblock(move || {
                piece.resize(limit, 0);
                let count = read(&mut pipe, &mut piece);
                (pipe, piece, count)
            })
            .await;
            channel.progressed();
            let count = count.map_err(|error| Error::local(&error))?;
            if count == 0 {
                return channel.send_all(LAST_CHUNK, More::No).await.map_err(lost);
            }
            let mut head = Vec::new();
            chunk_head(&mut head, count);
            channel.send_all(&head, More::Follows).await.map_err(lost)?;
            let data = &piece[..count];
            channel.send_all(data, More::Follows).await.map_err(lost)?;
            channel.send_all(CHUNK_END, More::No).await.map_err(lost)?;
            rest(channel, self.count(count as u64)).await;
        }
    }
}

fn read(pipe: &mut dyn Read, piece: &mut [u8]) -> io::Result<usize> {
    loop {
        match pipe.read(piece) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            count => return count,
        }
    }
}

/// Holds back to a rate.
async fn rest(channel: &Channel, pause: Duration) {
    if !pause.is_zero() {
        channel.set_deadline(None);
        sleep(pause).await;
        channel.progressed();
    }
}
