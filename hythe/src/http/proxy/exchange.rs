//! One request to a backend, and its answer.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use futures_lite::future::or;
use hythe_net::reactor::timeout;
use hythe_net::{More, Patience};
use hythe_wire::http::{
    Body as Framing, CHUNK_END, Chunked, Error as Malformed, LAST_CHUNK, Method as Verb, chunk_head,
};

use super::super::body::{Body, Writer};
use super::super::line::{Left, Line};
use super::super::{Error, Incoming};
use super::backend::Backend;
use super::fields::Asks;
use super::{Failure, kept};
use crate::client::{
    Answer, CONTINUE, Error as Failed, LAST_WORD, MAX_INTERIM, Reason, hear, receive,
};
use crate::tls::Channel;

/// A request that is to be answered by a backend.
pub(super) struct Exchange<'a> {
    pub(super) backend: &'a Arc<Backend>,
    pub(super) verb: Verb,
    pub(super) head: Vec<u8>,
    /// How long the head of the answer may take.
    pub(super) limit: Duration,
}

/// A connection to a backend during an exchange.
pub(super) struct Upstream {
    pub(super) channel: Rc<Channel>,
    /// What has come and was not looked at yet.
    pub(super) buffer: Vec<u8>,
    /// Whether anything has come since the request.
    heard: bool,
}

/// The body of a request, on its way to the backend.
pub(super) type Upload = Pin<Box<dyn Future<Output = Result<(), Stopped>>>>;

/// Why a request's body did not get to the backend.
pub(super) enum Stopped {
    Client(Error),
    Backend(io::Error),
}

impl Exchange<'_> {
    /// Asks: the head of the answer, and, where that came early, what is still to
    /// be sent. On a connection that was kept and turns out to be closed, a
    /// request that does no harm twice is sent once more on a new one.
    pub(super) async fn run(
        &self,
        line: Option<Rc<Line>>,
        body: Incoming,
        asks: &Asks,
    ) -> Result<(Answer, Upstream, Option<Upload>), Failure> {
        let patience = line.as_ref().map(|line| line.stream().patience());
        let patience = patience.unwrap_or_default();
        if asks.has_body() {
            let mut upstream = self.upstream(kept::take(self.backend), patience).await?;
            let (answer, upload) = self.send(&mut upstream, body, asks, line.as_ref()).await?;
            return Ok((answer, upstream, upload));
        }
        let repeatable = self.verb.is_safe() || matches!(self.verb, Verb::Put | Verb::Delete);
        let mut found = kept::take(self.backend);
        loop {
            let was_kept = found.is_some();
            let mut upstream = self.upstream(found.take(), patience).await?;
            let asked = async {
                upstream.say(&self.head, More::No).await?;
                self.final_head(&mut upstream).await
            };
            match unless_gone(line.as_ref(), asked).await {
                Ok(answer) => return Ok((answer, upstream, None)),
                Err(Failure::Backend(error))
                    if was_kept
                        && repeatable
                        && error.reason == Reason::Lost
                        && !upstream.heard => {}
                Err(error) => return Err(error),
            }
        }
    }

    async fn upstream(
        &self,
        kept: Option<Channel>,
        patience: Patience,
    ) -> Result<Upstream, Failure> {
        let channel = match kept {
            Some(channel) => channel,
            None => self.backend.connect(patience).await?,
        };
        Ok(Upstream {
            channel: Rc::new(channel),
            buffer: Vec::new(),
            heard: false,
        })
    }

    /// Sends a request with a body, and listens meanwhile.
    async fn send(
        &self,
        upstream: &mut Upstream,
        body: Incoming,
        asks: &Asks,
        line: Option<&Rc<Line>>,
    ) -> Result<(Answer, Option<Upload>), Failure> {
        // What has come of the body goes out with the head.
        let here = line.is_none_or(|line| !line.input.borrow().is_empty());
        let more = if here && !asks.waits {
            More::Follows
        } else {
            More::No
        };
        upstream.say(&self.head, more).await?;
        if asks.waits {
            match timeout(CONTINUE, self.next_head(upstream)).await {
                // The client need not send it at all.
                Ok(Ok(answer)) if !answer.is_interim() => return Ok((unusable(answer), None)),
                Ok(Ok(_)) | Err(_) => {}
                Ok(Err(error)) => return Err(error.into()),
            }
        }
        let channel = Rc::clone(&upstream.channel);
        let mut upload: Upload = Box::pin(send_body(channel, body, asks.length.is_none()));
        for _ in 0..MAX_INTERIM {
            let sent = async { Event::Sent(upload.as_mut().await) };
            let heard = async { Event::Heard(self.next_head(upstream).await) };
            match or(sent, heard).await {
                Event::Sent(Ok(())) => {
                    let answer = self.final_head(upstream);
                    return Ok((unless_gone(line, answer).await?, None));
                }
                Event::Sent(Err(Stopped::Client(error))) => return Err(Failure::Client(error)),
                Event::Sent(Err(Stopped::Backend(error))) => {
                    // It may have said why.
                    let answer = timeout(LAST_WORD, self.final_head(upstream)).await;
                    let Ok(Ok(answer)) = answer else {
                        return Err(Failed::lost(&error).into());
                    };
                    return Ok((unusable(answer), None));
                }
                Event::Heard(Ok(answer)) if answer.is_interim() => {}
                // The rest is sent while the answer comes: it may depend on it.
                Event::Heard(Ok(answer)) => return Ok((unusable(answer), Some(upload))),
                Event::Heard(Err(error)) => return Err(error.into()),
            }
        }
        Err(endless().into())
    }

    /// Waits for the head of the answer that is not interim, within the limit.
    async fn final_head(&self, upstream: &mut Upstream) -> Result<Answer, Failure> {
        upstream.channel.set_deadline(None);
        let heard = timeout(self.limit, async {
            for _ in 0..MAX_INTERIM {
                let answer = self.next_head(upstream).await?;
                if !answer.is_interim() {
                    return Ok(answer);
                }
            }
            Err(endless())
        });
        match heard.await {
            Ok(answer) => Ok(answer?),
            Err(_) => Err(Failure::Slow(
                "the server behind this one takes too long to answer",
            )),
        }
    }

    async fn next_head(&self, upstream: &mut Upstream) -> Result<Answer, Failed> {
        let Upstream {
            channel,
            buffer,
            heard,
        } = upstream;
        hear(channel, buffer, heard, self.verb).await
    }
}

enum Event {
    Sent(Result<(), Stopped>),
    Heard(Result<Answer, Failed>),
}

/// An answer before the end of the request. What comes next on this connection, the
/// backend might take for the rest.
fn unusable(mut answer: Answer) -> Answer {
    answer.keep_alive = false;
    answer
}

fn endless() -> Failed {
    Failed::protocol("the server never comes to the answer")
}

/// Waits for an answer as long as there is somebody to get it.
async fn unless_gone<T>(
    line: Option<&Rc<Line>>,
    answer: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let Some(line) = line else {
        return answer.await;
    };
    let gone = async {
        line.gone().await;
        Err(Failure::Client(Error::bad("the client is gone")))
    };
    or(answer, gone).await
}

/// Sends all of a body, at the pace of the client and of the backend.
async fn send_body(channel: Rc<Channel>, mut body: Incoming, chunked: bool) -> Result<(), Stopped> {
    let mut framed = Vec::new();
    loop {
        // How long the client takes is not the backend's doing.
        channel.set_deadline(None);
        let chunk = body.chunk().await.map_err(Stopped::Client)?;
        channel.progressed();
        let sent = match chunk {
            Some(chunk) if chunked => {
                framed.clear();
                chunk_head(&mut framed, chunk.len());
                framed.extend_from_slice(&chunk);
                framed.extend_from_slice(CHUNK_END);
                channel.send_all(&framed, More::No).await
            }
            Some(chunk) => channel.send_all(&chunk, More::No).await,
            None if chunked => return finish(channel.send_all(LAST_CHUNK, More::No).await),
            None => return finish(channel.flush().await),
        };
        sent.map_err(Stopped::Backend)?;
    }
}

fn finish(sent: io::Result<()>) -> Result<(), Stopped> {
    sent.map_err(Stopped::Backend)
}

impl Upstream {
    async fn say(&self, bytes: &[u8], more: More) -> Result<(), Failed> {
        // The time in which nothing was asked is not the backend's.
        self.channel.progressed();
        let sent = self.channel.send_all(bytes, more).await;
        sent.map_err(|error| Failed::lost(&error))
    }

    /// Keeps the connection for another request, if it can be.
    pub(super) fn keep(self, backend: &Arc<Backend>, keep_alive: bool) {
        if keep_alive
            && self.buffer.is_empty()
            && let Some(channel) = Rc::into_inner(self.channel)
        {
            kept::keep(backend, channel);
        }
    }

    /// The body of an answer, as it comes.
    pub(super) fn body(
        mut self,
        backend: &Arc<Backend>,
        answer: &Answer,
        upload: Option<Upload>,
    ) -> Body {
        let length = match answer.body {
            Framing::None => Some(0),
            Framing::Length(length) => Some(length),
            Framing::Chunked | Framing::UntilClose => None,
        };
        if let Some(length) = length
            && length <= self.buffer.len() as u64
        {
            // It has come with its head.
            let rest = self.buffer.split_off(length as usize);
            let whole = std::mem::replace(&mut self.buffer, rest);
            // A request that is not all out is not followed by another.
            self.keep(backend, answer.keep_alive && upload.is_none());
            return match length {
                // Which is not the same: an empty one may be the rest of a head.
                0 => Body::empty(),
                _ => Body::from(whole),
            };
        }
        let passing = Passing {
            upstream: self,
            rest: Rest::of(answer.body),
            upload,
        };
        let backend = Arc::clone(backend);
        let keep_alive = answer.keep_alive;
        let body = Body::write(async move |writer| {
            let passed = passing.run(writer).await;
            let upstream = passed.map_err(|error| {
                io::Error::other(format!("the backend {backend} broke off: {error}"))
            })?;
            upstream.keep(&backend, keep_alive);
            Ok(())
        });
        let body = body.while_connected();
        match length {
            Some(length) => body.with_length(length),
            None => body,
        }
    }
}

/// The body of an answer, on its way to the client.
struct Passing {
    upstream: Upstream,
    rest: Rest,
    /// What of the request's body is still to be sent.
    upload: Option<Upload>,
}

/// What is still to come of the body of an answer.
enum Rest {
    Framed(Left),
    UntilClose,
}

impl Rest {
    fn of(framing: Framing) -> Self {
        match framing {
            Framing::None => Self::Framed(Left::Bytes(0)),
            Framing::Length(length) => Self::Framed(Left::Bytes(length)),
            Framing::Chunked => Self::Framed(Left::Chunks(Chunked::new())),
            Framing::UntilClose => Self::UntilClose,
        }
    }

    fn is_whole(&self) -> bool {
        match self {
            Self::Framed(left) => left.is_whole(),
            Self::UntilClose => false,
        }
    }

    fn data(&mut self, input: &mut Vec<u8>) -> Result<Bytes, Malformed> {
        match self {
            Self::Framed(left) => left.data(input),
            Self::UntilClose => Ok(std::mem::take(input).into()),
        }
    }
}

impl Passing {
    /// Writes all of it.
    async fn run(mut self, mut writer: Writer) -> io::Result<Upstream> {
        loop {
            let data = self.rest.data(&mut self.upstream.buffer);
            let data = data.map_err(|error| io::Error::other(error.reason))?;
            if !data.is_empty() {
                beside(&mut self.upload, writer.send(data)).await??;
            }
            if self.rest.is_whole() {
                break;
            }
            let Upstream {
                channel, buffer, ..
            } = &mut self.upstream;
            // The time until it was asked for was not the backend's.
            channel.progressed();
            let received = beside(&mut self.upload, receive(channel, buffer)).await?;
            match (received?, &self.rest) {
                (0, Rest::UntilClose) => break,
                (0, Rest::Framed(_)) => return Err(io::ErrorKind::UnexpectedEof.into()),
                _ => {}
            }
        }
        Ok(self.upstream)
    }
}

/// Goes on with an upload while something else is awaited.
async fn beside<T>(upload: &mut Option<Upload>, awaited: impl Future<Output = T>) -> io::Result<T> {
    let mut awaited = pin!(awaited);
    let result = poll_fn(|context| {
        if let Some(going) = upload
            && let Poll::Ready(sent) = going.as_mut().poll(context)
        {
            *upload = None;
            // A backend that takes no more may go on with its answer, but it would
            // wait for what does not come for ever.
            if let Err(Stopped::Client(error)) = sent {
                return Poll::Ready(Err(error));
            }
        }
        awaited.as_mut().poll(context).map(Ok)
    });
    result.await.map_err(io::Error::other)
}
