//! One connection: reading requests, writing replies, and when to end.
//!
//! An idle connection is a task of a few hundred bytes that waits in
//! [`Session::run`]. What the cache has ready is answered there without another
//! allocation ([`Session::quick`]); all else is done by [`Session::thorough`],
//! whose larger state lives only as long as it is needed.

use std::future::{Future, poll_fn};
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;

use hythe_net::{Connection, Input, More, Sink as _, reactor};
use hythe_wire::http::{
    Chunked, Error, FieldStorage, Framing, Method, Request, Version, check_partial, head_end,
};

use super::answer::answer;
use super::ask::{self, Ask, Codings, Way};
use super::intake::{Answer, Body, Ended, Intake};
use super::own;
use super::ready::{self, Entry, Freshness, Key};
use super::reply::Reply;
use super::{Site, body, date};
use crate::serve::log::{self, Access, Escaped};
use crate::tls::{Acceptor, Channel};

/// How long a client may take for a request's head once it has begun. People
/// wait half as long; only attackers send a head slowly.
const HEAD_TIME: Duration = Duration::from_secs(30);

/// How much of a request's unwanted body is read to keep the connection. More
/// is cheaper to cut off: the client opens a new one.
const BODY_DRAINED: u64 = 64 * 1024;

/// How much of what was no request is shown in the log.
const REFUSED_SHOWN: usize = 200;

/// What who waits for it is told once its body is wanted (RFC 9110 §10.1.1).
const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

const TOO_SLOW: Error = Error {
    status: 408,
    reason: "the request took too long to arrive",
};

/// What a client is told that speaks HTTP where HTTPS is spoken.
const PLAIN: Error = Error {
    status: 400,
    reason: "this port speaks HTTPS: use https:// in place of http://",
};

/// Serves requests until the client leaves, errs or is told to go.
pub(super) fn serve(
    site: Arc<Site>,
    connection: Connection,
    tls: Option<Acceptor>,
) -> impl Future<Output = io::Result<()>> {
    let mut session = Session {
        site,
        connection: connection.map(Channel::plain),
    };
    // Nothing is moved inside, since what is moved is stored twice.
    async move {
        if let Some(acceptor) = tls
            && !Box::pin(session.secure(acceptor)).await?
        {
            return Ok(());
        }
        session.run().await
    }
}

struct Session {
    site: Arc<Site>,
    connection: Connection<Channel>,
}

/// How far the quick way led.
enum Quick {
    /// All that had come is answered.
    Done,
    /// The client has ended.
    Ended,
    /// There is more to do: a request that is not ready, or only in part here,
    /// after what is still to be sent of the one before.
    Left { input: Vec<u8>, unsent: Vec<u8> },
}

/// How far the answer and what is here of the body led.
enum Answered {
    /// There is a reply without the body, of which this is here.
    Reply(Reply, Vec<u8>),
    /// The rest of the body is still to come.
    Taking(Body),
    /// Most bodies are small, and were here already.
    Taken(Ended),
}

impl Answered {
    fn take(intake: Box<dyn Intake>, framing: Framing, here: &[u8]) -> Self {
        let mut body = Body::new(intake, framing);
        body.take(here);
        if body.is_over() {
            Self::Taken(body.end())
        } else {
            Self::Taking(body)
        }
    }
}

/// How it was with a body, and what its end means.
fn taken(
    ended: Ended,
    failed: Option<io::Error>,
    input: &mut Vec<u8>,
) -> Result<(Reply, u64, bool), Trouble> {
    *input = ended.rest;
    match (ended.end, failed) {
        (Some(Ok((reply, whole))), _) => Ok((reply, ended.received, whole)),
        (Some(Err(error)), _) => Err(error.into()),
        (None, Some(error)) if error.kind() == io::ErrorKind::TimedOut => Err(TOO_SLOW.into()),
        (None, Some(error)) => Err(error.into()),
        (None, None) => Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    /// Wait for another request.
    Wait,
    /// Close the connection.
    End,
}

/// What is to be known of a request besides what it asks for.
struct Terms {
    version: Version,
    keep_alive: bool,
    framing: Framing,
    expect_continue: bool,
}

impl Terms {
    /// Of what can't be understood, nothing is to be expected.
    const CLOSE: Self = Self {
        version: Version::Http11,
        keep_alive: false,
        framing: Framing::None,
        expect_continue: false,
    };
}

impl Session {
    /// Begins TLS; whether the client did so, too.
    async fn secure(&mut self, acceptor: Acceptor) -> io::Result<bool> {
        match self.connection.stream.accept(&acceptor).await {
            Ok(()) => Ok(true),
            Err(error) if Channel::is_plain(&error) => {
                let plain = self.connection.stream.give_up_tls();
                plain.progressed();
                self.refuse(&PLAIN, b"").await?;
                self.connection.stream.close().await;
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

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
                Quick::Left { input, unsent } => {
                    if Box::pin(self.thorough(input, unsent)).await? == Next::End {
                        Box::pin(self.connection.stream.close()).await;
                        return Ok(());
                    }
                }
            }
        }
    }

    fn stream(&self) -> &Channel {
        &self.connection.stream
    }

    /// Reads once and answers from the cache.
    fn quick(&self, context: &mut Context<'_>) -> io::Result<Quick> {
        let mut buffer = reactor::lease();
        let received = match self.stream().poll_recv(context, &mut buffer) {
            Poll::Ready(Ok(0)) => return Ok(Quick::Ended),
            Poll::Ready(received) => received?,
            Poll::Pending => return Ok(Quick::Done),
        };
        let mut input = &buffer[..received];
        while !input.is_empty() {
            match self.quick_answer(context, input)? {
                Some((used, unsent)) => {
                    input = &input[used..];
                    if !unsent.is_empty() {
                        return Ok(Quick::Left {
                            input: input.to_vec(),
                            unsent,
                        });
                    }
                }
                None => {
                    return Ok(Quick::Left {
                        input: input.to_vec(),
                        unsent: Vec::new(),
                    });
                }
            }
        }
        Ok(Quick::Done)
    }

    /// Answers one request if its answer is ready: how long the request was,
    /// and what of the answer the socket had no room for.
    fn quick_answer(
        &self,
        context: &mut Context<'_>,
        input: &[u8],
    ) -> io::Result<Option<(usize, Vec<u8>)>> {
        let mut storage = FieldStorage::new();
        // Errors are dealt with where there is time for them.
        let Ok(Some((request, used))) = Request::parse(input, &mut storage) else {
            return Ok(None);
        };
        let simple = matches!(request.method, Method::Get | Method::Head)
            && request.version == Version::Http11
            && request.keep_alive
            && request.framing == Framing::None
            && ask::is_plain(&request);
        if !simple {
            return Ok(None);
        }
        let key = Key {
            site: self.site.id,
            codings: Codings::of(&request).bits(),
            path: request.target.path,
        };
        let with_body = request.method == Method::Get;
        let stream = self.stream();
        let answered = ready::with(key, &self.site.strangers, self.freshness(), |entry| {
            let bytes = entry.bytes(with_body);
            let sent = match stream.poll_send(context, bytes, More::No) {
                Poll::Ready(sent) => sent?,
                Poll::Pending => 0,
            };
            let body = if with_body { entry.body_length() } else { 0 };
            io::Result::Ok((bytes[sent..].to_vec(), entry.status, body as u64))
        });
        let Some((unsent, status, body)) = answered.transpose()? else {
            return Ok(None);
        };
        stream.progressed();
        self.log(request.method.as_str(), request.raw_target, status, body);
        Ok(Some((used, unsent)))
    }

    /// Answers all that has come, and what comes while doing so.
    async fn thorough(&self, mut input: Vec<u8>, unsent: Vec<u8>) -> io::Result<Next> {
        self.stream().send_all(&unsent, More::No).await?;
        while !input.is_empty() {
            match self.exchange(&mut input).await {
                Ok(Next::Wait) => self.stream().progressed(),
                Ok(Next::End) => return Ok(Next::End),
                Err(Trouble::Request(error)) => {
                    self.refuse(&error, &input).await?;
                    return Ok(Next::End);
                }
                Err(Trouble::Connection(error)) => return Err(error),
            }
        }
        Ok(Next::Wait)
    }

    /// One request, the first in `input`, and its reply.
    async fn exchange(&self, input: &mut Vec<u8>) -> Result<Next, Trouble> {
        if !self.read_head(input).await? {
            return Ok(Next::End);
        }
        let (ask, mut terms, target) = {
            let mut storage = FieldStorage::new();
            let Some((request, used)) = Request::parse(input, &mut storage)? else {
                return Err(Trouble::Request(Error {
                    status: 400,
                    reason: "bad request",
                }));
            };
            let terms = Terms {
                version: request.version,
                keep_alive: request.keep_alive && !reactor::stopping(),
                framing: request.framing,
                expect_continue: request.expect_continue,
            };
            let ask = Ask::of(&request, self.way());
            let parsed = (Arc::new(ask), terms, request.raw_target.to_vec());
            input.drain(..used);
            parsed
        };
        let begun = self.freshness();
        let (site, asked) = (Arc::clone(&self.site), Arc::clone(&ask));
        let (here, framing) = (std::mem::take(input), terms.framing);
        let waits = terms.expect_continue && here.is_empty();
        // What of the body is here is taken in at once: to go to the pool again
        // for it would cost as much as a small file does.
        let answered = reactor::unblock(move || match answer(&site, &asked) {
            Answer::Reply(reply) => Answered::Reply(reply, here),
            Answer::Take(intake) => Answered::take(intake, framing, &here),
        })
        .await;
        // The time it took was ours.
        self.stream().progressed();
        let (mut reply, received, whole) = match answered {
            Answered::Reply(reply, here) => {
                *input = here;
                (reply, 0, self.drain_body(input, &terms).await?)
            }
            Answered::Taken(ended) => taken(ended, None, input)?,
            Answered::Taking(body) => self.take_in(body, waits, input).await?,
        };
        if !ask.method.is_safe() {
            self.site.changes.fetch_add(1, Ordering::Release);
        }
        if self.site.gate.accounts().is_some() {
            reply.depends_on_visitor(ask.has_credentials());
        }
        self.keep(&ask, &reply, begun);
        terms.keep_alive &= whole && reply.is_delimited(ask.method, terms.version);
        self.reply(reply, ask.method.as_str(), &target, &terms, received)
            .await?;
        Ok(if terms.keep_alive {
            Next::Wait
        } else {
            Next::End
        })
    }

    /// How it is known that what is found now is true now.
    fn freshness(&self) -> Freshness {
        Freshness {
            time: self.stream().now(),
            changes: self.site.changes.load(Ordering::Acquire),
        }
    }

    fn way(&self) -> Way {
        // Asked of the kernel only where it names a cookie.
        let port = self.site.gate.accounts().and_then(|_| {
            let name = self.stream().socket().sock_name().ok()?;
            name.port()
        });
        Way {
            peer: self.connection.peer.clone(),
            port: port.unwrap_or_default(),
            tls: self.stream().is_encrypted(),
        }
    }

    /// Has the rest of a body taken in: the reply, how many bytes came, and
    /// whether the next request is to be found behind them. A client that waits
    /// is told to go on.
    async fn take_in(
        &self,
        body: Body,
        waits: bool,
        input: &mut Vec<u8>,
    ) -> Result<(Reply, u64, bool), Trouble> {
        if waits {
            self.stream().send_all(CONTINUE, More::No).await?;
        }
        let (body, poured) = self.stream().pour(body).await;
        let ended = reactor::unblock(move || body.end()).await;
        self.stream().progressed();
        taken(ended, poured.err(), input)
    }

    /// Reads until `input` begins with a whole head; false if the client has
    /// left instead.
    async fn read_head(&self, input: &mut Vec<u8>) -> Result<bool, Trouble> {
        let stream = self.stream();
        let mut searched = 0;
        let limit = HEAD_TIME.min(stream.patience().idle);
        stream.set_deadline(stream.now().checked_add(limit));
        while head_end(input, searched).is_none() {
            check_partial(input)?;
            searched = input.len();
            if self.receive(input).await? == 0 {
                return Ok(false);
            }
        }
        stream.progressed();
        Ok(true)
    }

    /// Reads once, holding no buffer while it waits; 0 is the end.
    async fn receive(&self, input: &mut Vec<u8>) -> Result<usize, Trouble> {
        let received = poll_fn(|context| {
            let mut buffer = reactor::lease();
            let polled = self.stream().poll_recv(context, &mut buffer);
            if let Poll::Ready(Ok(count)) = polled {
                input.extend_from_slice(&buffer[..count]);
            }
            polled
        });
        received.await.map_err(|error| match error.kind() {
            io::ErrorKind::TimedOut => TOO_SLOW.into(),
            _ => error.into(),
        })
    }

    /// Reads the body of a request that wants none, so that the next request
    /// is found after it; false if it is too long for that, or if the client
    /// waits to be told to send it.
    async fn drain_body(&self, input: &mut Vec<u8>, terms: &Terms) -> Result<bool, Trouble> {
        match terms.framing {
            Framing::None => Ok(true),
            _ if terms.expect_continue => Ok(false),
            Framing::Length(length) if length > BODY_DRAINED => Ok(false),
            Framing::Length(length) => {
                while (input.len() as u64) < length {
                    if self.receive(input).await? == 0 {
                        return Ok(false);
                    }
                }
                input.drain(..length as usize);
                Ok(true)
            }
            Framing::Chunked => {
                let mut chunked = Chunked::new();
                let mut drained = 0;
                loop {
                    let step = chunked.decode(input)?;
                    let (consumed, done) = (step.consumed, step.done);
                    input.drain(..consumed);
                    drained += consumed as u64;
                    if done {
                        return Ok(true);
                    }
                    if drained > BODY_DRAINED {
                        return Ok(false);
                    }
                    if consumed == 0 && self.receive(input).await? == 0 {
                        return Ok(false);
                    }
                }
            }
        }
    }

    /// Keeps an answer, which was begun at the time given, for whoever asks
    /// the same next.
    fn keep(&self, ask: &Ask, reply: &Reply, begun: Freshness) {
        if self.site.config.short_lived_threads {
            return;
        }
        if let Some(entry) = Entry::of(reply, &date::now(), begun) {
            let codings = ask.codings.bits();
            ready::keep(
                Key {
                    site: self.site.id,
                    codings,
                    path: &ask.path,
                },
                entry,
            );
        }
    }

    async fn reply(
        &self,
        reply: Reply,
        verb: &str,
        target: &[u8],
        terms: &Terms,
        received: u64,
    ) -> io::Result<()> {
        let mut head = Vec::with_capacity(1024);
        reply.write_head(&mut head, &date::now(), terms.version, terms.keep_alive);
        let status = reply.status;
        let stream = self.stream();
        let before = stream.sent() + head.len() as u64;
        let sent = if verb == Method::Head.as_str() {
            stream.send_all(&head, More::No).await
        } else {
            body::send(stream, head, reply.body, terms.version).await
        };
        // Also of what was cut short, and then as far as it went.
        let sent_bytes = stream.sent().saturating_sub(before);
        let bytes = if received > 0 { received } else { sent_bytes };
        self.log(verb, target, status, bytes);
        if let Err(error) = &sent
            && error.kind() == io::ErrorKind::UnexpectedEof
        {
            let target = own::without_secrets(target);
            let target = Escaped(&target);
            tracing::warn!(%target, "the file became shorter while it was sent");
        }
        sent
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
        let reply = Reply::error(error.status, error.reason, None);
        self.reply(reply, "-", line, &Terms::CLOSE, 0).await
    }

    fn log(&self, verb: &str, target: &[u8], status: u16, bytes: u64) {
        if log::is_on() {
            let peer = &self.connection.peer;
            Access {
                protocol: "http",
                peer,
                verb,
                target: &own::without_secrets(target),
                status,
                bytes,
            }
            .write();
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
