//! One connection: reading requests, writing responses, and when to end.
//!
//! ```text
//!            ┌────────── idle: no buffer, a few hundred bytes ◄────────┐
//!            ▼ input                                                   │
//!   quick:   read ─► ready bytes? ── yes ─► send ──────────────────────┤  one send, no
//!            │  no                                                     │  allocation
//!            ▼                                                         │
//!            Request ─► Service::call, asked once ─ Response ─► send ──┤  the same, for
//!            │  not done at once, or a body on either side             │  what needs no
//!            ▼                                                         │  waiting
//!   thorough: whole head ─► Request ─► call ─► Response ─► its body ───┘
//! ```
//!
//! An idle connection is a task that waits in [`Session::run`]. The larger state
//! of [`Session::thorough`] lives only as long as it is needed.

use std::any::Any;
use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::io;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use ::http::StatusCode;
use ::http::header::CONTENT_LENGTH;
use bytes::Bytes;
use futures_lite::FutureExt as _;
use futures_lite::future::poll_once;
use hythe_net::option::Linger;
use hythe_net::{Connection, Input, More, reactor};
use hythe_wire::http::{
    Error, FieldStorage, Framing, Method as Verb, Request as Head, Version, check_partial, head_end,
};

use super::body::Content;
use super::head::{self, Sending};
use super::line::Line;
use super::upgrade::Upgraded;
use super::{Ready, Request, Response, Service, date, send};
use crate::serve::log::{self, Access, Escaped};
use crate::tls::{Acceptor, Channel};

/// How long a client may take for a request's head once it has begun. People
/// wait half as long; only attackers send a head slowly.
const HEAD_TIME: Duration = Duration::from_secs(30);

/// How much of a request's unwanted body is read to keep the connection. More
/// is cheaper to cut off: the client opens a new one.
const BODY_DRAINED: u64 = 64 * 1024;

/// How long a response waits for the end of a body that nobody wants and whose
/// length nobody knows: it decides whether the connection goes on. Most have it on
/// the way.
const LAST_CHUNKS: Duration = Duration::from_secs(1);

/// How much of what was no request is shown in the log.
const REFUSED_SHOWN: usize = 200;

/// How large a buffer may be to be kept for the next response: most are smaller.
const SPARE: usize = 16 * 1024;

thread_local! {
    /// The buffer of a response that was sent at once: empty, but with room.
    static OUT: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

const TOO_SLOW: Error = Error {
    status: 408,
    reason: "the request took too long to arrive",
};

/// What a client is told that speaks HTTP where HTTPS is spoken.
const PLAIN: Error = Error {
    status: 400,
    reason: "this port speaks HTTPS: use https:// in place of http://",
};

const MALFORMED: Error = Error {
    status: 400,
    reason: "bad request",
};

/// Serves requests until the client leaves, errs or is told to go.
pub(super) fn serve<S: Service>(
    service: Arc<S>,
    connection: Connection,
    tls: Option<Acceptor>,
) -> impl Future<Output = io::Result<()>> {
    let connection = connection.map(Channel::plain);
    async move {
        let connection = match tls {
            Some(acceptor) => match Box::pin(secure(&service, connection, acceptor)).await? {
                Some(connection) => connection,
                None => return Ok(()),
            },
            None => connection,
        };
        let session = Session {
            service,
            line: Rc::new(Line::new(connection)),
        };
        session.run().await
    }
}

/// Begins TLS; nothing if the client did not.
async fn secure<S: Service>(
    service: &Arc<S>,
    mut connection: Connection<Channel>,
    acceptor: Acceptor,
) -> io::Result<Option<Connection<Channel>>> {
    match connection.stream.accept(&acceptor).await {
        Ok(()) => Ok(Some(connection)),
        Err(error) if Channel::is_plain(&error) => {
            connection.stream.give_up_tls().progressed();
            let session = Session {
                service: Arc::clone(service),
                line: Rc::new(Line::new(connection)),
            };
            session.refuse(&PLAIN, b"").await?;
            session.stream().close().await;
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

struct Session<S> {
    service: Arc<S>,
    line: Rc<Line>,
}

/// How far the quick way led.
enum Quick {
    /// All that had come is answered.
    Done,
    /// The client has ended.
    Ended,
    /// There is more to do, and it begins with this.
    Left(Begin),
}

/// Where there is time for everything, this comes first.
enum Begin {
    /// The head of a request, of which part may be here.
    Head,
    /// What is still to be sent of a response; and what then.
    Unsent(Vec<u8>, Next),
    /// Who answers was asked, or not yet.
    Answering(Exchange),
    /// What was answered.
    Response(Response, Terms),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    /// Wait for another request.
    Wait,
    /// Close the connection.
    End,
}

/// A request that is being answered.
struct Exchange {
    answering: Pin<Box<dyn Future<Output = Caught>>>,
    terms: Terms,
}

type Caught = Result<Response, Box<dyn Any + Send>>;

/// What is to be known of a request when it is answered.
struct Terms {
    verb: Verb,
    target: Bytes,
    version: Version,
    keep_alive: bool,
}

impl Terms {
    /// Of what can't be understood, nothing is to be expected.
    fn refused(said: &[u8]) -> Self {
        Self {
            verb: Verb::Get,
            target: Bytes::copy_from_slice(said),
            version: Version::Http11,
            keep_alive: false,
        }
    }
}

/// Why an exchange did not come to its end, and whom to tell.
enum Trouble {
    /// The client, which is to blame.
    Request(Error),
    /// Nobody: the connection is gone.
    Connection(io::Error),
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Self::Request(error)
    }
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Self::Connection(error)
    }
}

impl<S: Service> Session<S> {
    async fn run(&self) -> io::Result<()> {
        loop {
            if self.stream().input().await? == Input::Stopping {
                return Ok(());
            }
            match poll_fn(|context| Poll::Ready(self.quick(context))).await? {
                Quick::Done => {}
                Quick::Ended if self.stream().is_encrypted() => {
                    // It waits for our end of TLS, or is gone.
                    Box::pin(self.stream().finish()).await.ok();
                    return Ok(());
                }
                Quick::Ended => return Ok(()),
                Quick::Left(begin) => {
                    if Box::pin(self.thorough(begin)).await? == Next::End {
                        Box::pin(self.stream().close()).await;
                        return Ok(());
                    }
                }
            }
        }
    }

    fn stream(&self) -> &Channel {
        self.line.stream()
    }

    /// Reads once, and answers what can be answered without waiting.
    fn quick(&self, context: &mut Context<'_>) -> io::Result<Quick> {
        let mut buffer = reactor::lease();
        let received = match self.stream().poll_recv(context, &mut buffer) {
            Poll::Ready(Ok(0)) => return Ok(Quick::Ended),
            Poll::Ready(received) => received?,
            Poll::Pending => return Ok(Quick::Done),
        };
        let mut input = &buffer[..received];
        while !input.is_empty() {
            let (used, left) = self.quick_answer(context, input)?;
            input = &input[used..];
            if let Some(begin) = left {
                self.line.input.borrow_mut().extend_from_slice(input);
                return Ok(Quick::Left(begin));
            }
        }
        Ok(Quick::Done)
    }

    /// Answers one request if that needs no waiting: how long the request was, and
    /// what is left to do.
    fn quick_answer(
        &self,
        context: &mut Context<'_>,
        input: &[u8],
    ) -> io::Result<(usize, Option<Begin>)> {
        let mut storage = FieldStorage::new();
        // Errors are dealt with where there is time for them.
        let Ok(Some((head, used))) = Head::parse(input, &mut storage) else {
            return Ok((0, Some(Begin::Head)));
        };
        let simple = head.version == Version::Http11
            && head.keep_alive
            && head.framing == Framing::None
            && !reactor::stopping();
        if simple
            && matches!(head.method, Verb::Get | Verb::Head)
            && let Some(unsent) = self.send_ready(context, &head)?
        {
            let left = (!unsent.is_empty()).then_some(Begin::Unsent(unsent, Next::Wait));
            return Ok((used, left));
        }
        let Ok(mut exchange) = self.begin(&head, &input[..used]) else {
            return Ok((0, Some(Begin::Head)));
        };
        if !simple {
            return Ok((used, Some(Begin::Answering(exchange))));
        }
        let response = match exchange.answering.as_mut().poll(context) {
            Poll::Ready(caught) => caught,
            Poll::Pending => return Ok((used, Some(Begin::Answering(exchange)))),
        };
        let mut terms = exchange.terms;
        let response = self.response(response, &mut terms);
        let is_small = match &response.body().0 {
            Content::Empty => true,
            Content::Bytes(bytes) => bytes.len() <= send::TOGETHER,
            _ => false,
        };
        if !is_small || response.is_upgrade() || self.line.lost().is_some() {
            return Ok((used, Some(Begin::Response(response, terms))));
        }
        let (mut out, body) = self.head(response, &terms);
        let body = body.as_bytes().unwrap_or_default();
        out.extend_from_slice(body);
        let sent = match self.stream().poll_send(context, &out, More::No) {
            Poll::Ready(sent) => sent?,
            Poll::Pending => 0,
        };
        self.stream().progressed();
        out.drain(..sent);
        let next = if terms.keep_alive {
            Next::Wait
        } else {
            Next::End
        };
        if out.is_empty() && next == Next::Wait {
            if out.capacity() <= SPARE {
                OUT.set(out);
            }
            return Ok((used, None));
        }
        Ok((used, Some(Begin::Unsent(out, next))))
    }

    /// Sends what is ready for this request, if something is: what of it the socket
    /// had no room for.
    fn send_ready(
        &self,
        context: &mut Context<'_>,
        head: &Head<'_, '_>,
    ) -> io::Result<Option<Vec<u8>>> {
        let mut result = None;
        let stream = self.stream();
        self.service.ready(head, &mut |ready: Ready<'_>| {
            let sent = match stream.poll_send(context, ready.bytes, More::No) {
                Poll::Ready(sent) => sent,
                Poll::Pending => Ok(0),
            };
            let unsent = sent.map(|sent| ready.bytes[sent..].to_vec());
            result = Some(unsent.map(|unsent| (unsent, ready.status, ready.body)));
        });
        let Some((unsent, status, body)) = result.transpose()? else {
            return Ok(None);
        };
        stream.progressed();
        self.log(head.method.as_str(), head.raw_target, status, body);
        Ok(Some(unsent))
    }

    /// Answers all that has come, and what comes while doing so.
    async fn thorough(&self, begin: Begin) -> io::Result<Next> {
        let mut begin = Some(begin);
        while begin.is_some() || !self.line.input.borrow().is_empty() {
            match self.exchange(begin.take().unwrap_or(Begin::Head)).await {
                Ok(Next::Wait) => self.stream().progressed(),
                Ok(Next::End) => return Ok(Next::End),
                Err(Trouble::Request(error)) => {
                    let input = self.line.input.take();
                    self.refuse(&error, &input).await?;
                    return Ok(Next::End);
                }
                Err(Trouble::Connection(error)) => return Err(error),
            }
        }
        // Nothing is held while nothing comes.
        self.line.input.take();
        Ok(Next::Wait)
    }

    /// One request and its response, or what is left of them.
    async fn exchange(&self, begin: Begin) -> Result<Next, Trouble> {
        let exchange = match begin {
            Begin::Unsent(bytes, next) => {
                self.stream().send_all(&bytes, More::No).await?;
                return Ok(next);
            }
            Begin::Response(response, terms) => return self.reply(response, terms).await,
            Begin::Answering(exchange) => exchange,
            Begin::Head => match self.read_head().await? {
                Some(exchange) => exchange,
                None => return Ok(Next::End),
            },
        };
        let Exchange {
            answering,
            mut terms,
        } = exchange;
        let caught = answering.await;
        // The time it took was ours.
        self.stream().progressed();
        let response = self.response(caught, &mut terms);
        self.reply(response, terms).await
    }

    /// Has the service begin to answer a request, `bytes` being its head.
    fn begin(&self, head: &Head<'_, '_>, bytes: &[u8]) -> Result<Exchange, Trouble> {
        let request = Request::of(head, bytes, &self.line).map_err(|_| MALFORMED)?;
        let terms = Terms {
            verb: head.method,
            target: request.shared_target(),
            version: head.version,
            keep_alive: head.keep_alive,
        };
        let service = Arc::clone(&self.service);
        let answering = AssertUnwindSafe(async move { service.call(request).await });
        Ok(Exchange {
            answering: Box::pin(answering.catch_unwind()),
            terms,
        })
    }

    /// The response, or one in place of it where whoever answers has panicked.
    fn response(&self, caught: Caught, terms: &mut Terms) -> Response {
        caught.unwrap_or_else(|panic| {
            // What it has left behind, nobody knows.
            terms.keep_alive = false;
            super::panicked(&*panic)
        })
    }

    /// Reads a whole head, and begins to answer it; nothing if the client has left
    /// instead.
    async fn read_head(&self) -> Result<Option<Exchange>, Trouble> {
        let stream = self.stream();
        let mut searched = 0;
        let limit = HEAD_TIME.min(stream.patience().idle);
        stream.set_deadline(stream.now().checked_add(limit));
        while head_end(&self.line.input.borrow(), searched).is_none() {
            check_partial(&self.line.input.borrow())?;
            searched = self.line.input.borrow().len();
            if self.receive().await? == 0 {
                return Ok(None);
            }
        }
        stream.progressed();
        let input = self.line.input.take();
        let mut storage = FieldStorage::new();
        let parsed = Head::parse(&input, &mut storage);
        let begun = match parsed {
            Ok(Some((head, used))) => {
                let rest = input[used..].to_vec();
                self.line.input.replace(rest);
                self.begin(&head, &input[..used])
            }
            Ok(None) => Err(MALFORMED.into()),
            Err(error) => Err(error.into()),
        };
        begun.map(Some).inspect_err(|_| {
            // For the log.
            self.line.input.replace(input.clone());
        })
    }

    async fn receive(&self) -> Result<usize, Trouble> {
        self.line
            .receive()
            .await
            .map_err(|error| match error.kind() {
                io::ErrorKind::TimedOut => TOO_SLOW.into(),
                _ => error.into(),
            })
    }

    /// Reads the rest of a body that nobody has wanted: whether the next request is
    /// found behind it. Not where it is too long for that, or if the client waits to
    /// be told to send it. It may be dropped while it waits, and begun again.
    ///
    /// # Errors
    /// What came is no body.
    async fn drain_body(&self) -> Result<bool, Error> {
        let line = &self.line;
        let already = line.consumed();
        while !line.is_whole() {
            let too_long = line.length().is_some_and(|length| length > BODY_DRAINED);
            let drained = line.consumed() - already;
            if too_long || line.waits() || drained > BODY_DRAINED || !line.can_be_found() {
                return Ok(false);
            }
            line.data()?;
            if !line.is_whole() && !matches!(line.receive().await, Ok(1..)) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Sends a response, and does what it asks for besides.
    async fn reply(&self, mut response: Response, mut terms: Terms) -> Result<Next, Trouble> {
        if let Some(error) = self.line.lost() {
            return Err(error.into());
        }
        let stream = self.stream();
        let upgrade = response.take_upgrade();
        // Where the body of the response comes of that of the request, it is
        // drained when both are through.
        let held = self.line.is_held();
        if held && self.line.waits() {
            // It may send its body all the same, or not (RFC 9110 section 10.1.1).
            self.line.call_no_more();
            terms.keep_alive = false;
        }
        if !held && upgrade.is_none() {
            let drained = self.drain_body();
            terms.keep_alive &= match self.line.length() {
                // What has come of it; the response does not wait for the rest.
                Some(_) => poll_once(drained).await.unwrap_or(Ok(true))?,
                None => {
                    let drained = reactor::timeout(LAST_CHUNKS, drained).await;
                    drained.unwrap_or(Ok(false))?
                }
            };
        }
        let delimited = terms.version == Version::Http11
            || terms.verb == Verb::Head
            || response.body().length().is_some();
        terms.keep_alive &= delimited && !reactor::stopping();
        let status = response.status();
        let (head, body) = match upgrade.is_some() {
            true => self.upgrade_head(&response, &terms),
            false => self.head_unlogged(response, &terms),
        };
        let before = stream.sent() + head.len() as u64;
        let chunked = terms.version == Version::Http11;
        let sent = send::send(stream, head, body, chunked).await;
        // Also of what was cut short, and then as far as it went.
        let bytes = match self.line.received() {
            0 => stream.sent().saturating_sub(before),
            received => received,
        };
        self.log(terms.verb.as_str(), &terms.target, status.as_u16(), bytes);
        if let Err(error) = sent {
            // Whoever makes a body may have seen first that nobody is there.
            let error = self.line.lost().unwrap_or(error);
            self.cut_short(&terms, &error);
            if !delimited {
                // To whom the end of the connection is that of the body, it must be
                // no end but a reset.
                stream.socket().set(Linger(Some(Duration::ZERO))).ok();
            }
            return Err(error.into());
        }
        if let Some(upgrade) = upgrade {
            let upgraded = Upgraded::new(Rc::clone(&self.line));
            upgrade(upgraded).await;
            return Ok(Next::End);
        }
        // The client has its answer, and hears of nothing more.
        terms.keep_alive = terms.keep_alive && self.drain_body().await.unwrap_or(false);
        Ok(if terms.keep_alive {
            Next::Wait
        } else {
            Next::End
        })
    }

    /// Tells the log why the body of a response was not sent to its end, if that is
    /// not the peer's doing.
    fn cut_short(&self, terms: &Terms, error: &io::Error) {
        let target = self.service.loggable(&terms.target);
        let target = Escaped(&target);
        match error.kind() {
            io::ErrorKind::UnexpectedEof => {
                tracing::warn!(%target, "the file became shorter while it was sent");
            }
            io::ErrorKind::Other => {
                tracing::warn!(%target, %error, "the response broke off");
            }
            _ => {}
        }
    }

    /// The head of a response, and its body as far as one is to be sent.
    fn head_unlogged(&self, mut response: Response, terms: &Terms) -> (Vec<u8>, super::Body) {
        let status = response.status();
        let body = response.take_body();
        let reset = status == StatusCode::RESET_CONTENT;
        let without_body = terms.verb == Verb::Head || status == StatusCode::NOT_MODIFIED || reset;
        let framing = if status == StatusCode::NO_CONTENT || status.is_informational() {
            head::Framing::None
        } else if reset {
            // It has no content, and unlike 204 has to say so (RFC 9110 §15.3.6).
            head::Framing::Length(0)
        } else if without_body && (body.is_empty() || status == StatusCode::NOT_MODIFIED) {
            // What it would be long, only who answers can know; and what comes with a
            // 304 is not what it would be.
            let told = response.headers().get(CONTENT_LENGTH);
            let length = told.and_then(|length| length.to_str().ok()?.parse().ok());
            match (length, status == StatusCode::NOT_MODIFIED) {
                (Some(length), _) => head::Framing::Length(length),
                (None, true) => head::Framing::None,
                (None, false) => head::Framing::Length(0),
            }
        } else {
            match body.length() {
                Some(length) => head::Framing::Length(length),
                None => head::Framing::Open,
            }
        };
        let sending = Sending {
            version: terms.version,
            keep_alive: terms.keep_alive,
            framing,
        };
        let mut out = OUT.take();
        head::write(&mut out, status, response.headers(), &date::now(), sending);
        let has_body = !without_body && framing != head::Framing::None;
        let body = if has_body { body } else { super::Body::empty() };
        (out, body)
    }

    /// The same, and a line in the log.
    fn head(&self, response: Response, terms: &Terms) -> (Vec<u8>, super::Body) {
        let status = response.status().as_u16();
        let (head, body) = self.head_unlogged(response, terms);
        let length = body.length().unwrap_or_default();
        self.log(terms.verb.as_str(), &terms.target, status, length);
        (head, body)
    }

    fn upgrade_head(&self, response: &Response, terms: &Terms) -> (Vec<u8>, super::Body) {
        let sending = Sending {
            version: terms.version,
            keep_alive: true,
            framing: head::Framing::Upgraded,
        };
        let mut out = Vec::new();
        let (status, headers) = (response.status(), response.headers());
        head::write(&mut out, status, headers, &date::now(), sending);
        (out, super::Body::empty())
    }

    /// Answers what is no request, or none that can be understood; `input` is
    /// what came.
    async fn refuse(&self, error: &Error, input: &[u8]) -> io::Result<()> {
        self.stream().progressed();
        let line = input
            .split(|&byte| byte == b'\n')
            .next()
            .unwrap_or_default();
        let line = line[..line.len().min(REFUSED_SHOWN)].trim_ascii_end();
        let status = StatusCode::from_u16(error.status).unwrap_or(StatusCode::BAD_REQUEST);
        let response = Response::error(status, error.reason);
        let (head, body) = self.head_unlogged(response, &Terms::refused(line));
        let bytes = body.length().unwrap_or_default();
        let sent = send::send(self.stream(), head, body, false).await;
        self.log("-", line, error.status, bytes);
        sent
    }

    fn log(&self, verb: &str, target: &[u8], status: u16, bytes: u64) {
        if log::is_on() {
            Access {
                protocol: "http",
                peer: &self.line.connection.peer,
                verb,
                target: &self.service.loggable(target),
                status,
                bytes,
            }
            .write();
        }
    }
}
