//! [`Incoming`]: the body of a request, on its way in.
//!
//! ```text
//!   chunk, chunk, chunk… ─► Bytes, as they come: the pace of who reads is the
//!                           pace of the client
//!   take_in(decide)      ─► on the thread pool, where who takes it may block
//! ```
//!
//! Nothing is read before somebody asks for it: a client that waits for
//! `100 (Continue)` is told so then, and one whose request is refused at once
//! need not send its body at all.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use ::http::StatusCode;
use bytes::{Bytes, BytesMut};
use futures_lite::Stream;
use hythe_net::reactor::unblock;

use super::Error;
use super::intake::{Answer, Ended, Taking};
use super::line::{Left, Line};

/// How much is read into memory at once where nothing else is said: more than
/// forms have, and little enough that a thousand of them fit.
pub const BODY_LIMIT: u64 = 2 * 1024 * 1024;

/// The body of a request.
///
/// ```
/// use hythe::http::{Error, Request};
///
/// async fn count(mut request: Request) -> Result<String, Error> {
///     let mut bytes = 0;
///     while let Some(chunk) = request.body().chunk().await? {
///         bytes += chunk.len();
///     }
///     Ok(format!("{bytes} bytes\n"))
/// }
/// # let _ = count;
/// ```
pub struct Incoming {
    source: Source,
    limit: Option<u64>,
    received: u64,
}

enum Source {
    Line { line: Rc<Line>, exchange: u32 },
    Bytes(Bytes),
}

impl Incoming {
    pub(super) fn of(line: Rc<Line>, exchange: u32) -> Self {
        Self {
            source: Source::Line { line, exchange },
            limit: None,
            received: 0,
        }
    }

    /// A body that is here already.
    pub fn from_bytes(bytes: impl Into<Bytes>) -> Self {
        Self {
            source: Source::Bytes(bytes.into()),
            limit: None,
            received: 0,
        }
    }

    /// How many bytes are still to come, where the client has said so.
    pub fn length(&self) -> Option<u64> {
        match &self.source {
            Source::Line { line, exchange } if line.is_current(*exchange) => line.length(),
            Source::Line { .. } => Some(0),
            Source::Bytes(bytes) => Some(bytes.len() as u64),
        }
    }

    /// Whether the client waits to be told to send it.
    pub(super) fn waits(&self) -> bool {
        matches!(&self.source, Source::Line { line, .. } if line.waits())
    }

    /// Refuses (413) what is longer than so many bytes.
    pub fn set_limit(&mut self, limit: u64) {
        self.limit = Some(limit);
    }

    /// The next of it, never empty; `None` is the end of a whole body. There is no
    /// limit but the one that was [set](Self::set_limit).
    ///
    /// # Errors
    /// 400 for what is no body or breaks off, 408 for one that stands still, 413
    /// beyond the [limit](Self::set_limit).
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, Error> {
        let data = match &mut self.source {
            Source::Bytes(bytes) => std::mem::take(bytes),
            Source::Line { line, exchange } => next(line, *exchange).await?,
        };
        self.received += data.len() as u64;
        if let Some(limit) = self.limit
            && self.received > limit
        {
            return Err(too_long(limit));
        }
        Ok(Some(data).filter(|data| !data.is_empty()))
    }

    /// All of it, up to the limit: [`BODY_LIMIT`] unless it was
    /// [set](Self::set_limit).
    ///
    /// # Errors
    /// As [`chunk`](Self::chunk).
    pub async fn bytes(&mut self) -> Result<Bytes, Error> {
        let limit = *self.limit.get_or_insert(BODY_LIMIT);
        if self.length().is_some_and(|length| length > limit) {
            return Err(too_long(limit));
        }
        let Some(first) = self.chunk().await? else {
            return Ok(Bytes::new());
        };
        let Some(second) = self.chunk().await? else {
            return Ok(first);
        };
        let mut all = BytesMut::from(first);
        all.extend_from_slice(&second);
        while let Some(chunk) = self.chunk().await? {
            all.extend_from_slice(&chunk);
        }
        Ok(all.freeze())
    }

    /// Has `decide` find out, on the thread pool and by the head alone, whether
    /// the body is wanted, and whoever wants it take it in there. The answer may
    /// be anything that can be sent from one thread to another.
    ///
    /// Small bodies, which have come with their head, cost one trip to the pool
    /// in all; large ones are received there in large pieces.
    ///
    /// # Errors
    /// As [`chunk`](Self::chunk).
    pub async fn take_in<R: Send + 'static>(
        &mut self,
        decide: impl FnOnce() -> Answer<R> + Send + 'static,
    ) -> Result<R, Error> {
        let limit = self.limit;
        let line = match &mut self.source {
            Source::Line { line, exchange } if line.is_readable(*exchange) => Rc::clone(line),
            Source::Line { .. } => return Err(over()),
            Source::Bytes(bytes) => {
                let here = Vec::from(std::mem::take(bytes));
                let left = Left::Bytes(here.len() as u64);
                return match unblock(move || Decided::of(decide, left, here, limit)).await {
                    Decided::Answer(answer, ..) => Ok(answer),
                    Decided::Taken(ended) => Ok(ended.end.ok_or_else(over)??.0),
                    Decided::Taking(_) => Err(over()),
                };
            }
        };
        let waits = line.waits();
        let (left, here) = line.take_out();
        let decided = unblock(move || Decided::of(decide, left, here, limit)).await;
        // The time it took was ours.
        line.stream().progressed();
        let (ended, failed) = match decided {
            Decided::Answer(answer, left, here) => {
                line.put_back(left, here, 0);
                return Ok(answer);
            }
            Decided::Taken(ended) => (ended, None),
            Decided::Taking(taking) => {
                if waits {
                    line.call_for_body()
                        .await
                        .map_err(|error| lost(&line, &error))?;
                }
                let (taking, poured) = line.stream().pour(taking).await;
                let ended = unblock(move || taking.end()).await;
                line.stream().progressed();
                (ended, poured.err())
            }
        };
        let left = match ended.end {
            Some(Ok((_, true))) => Left::Bytes(0),
            _ => Left::Unknown,
        };
        line.put_back(left, ended.rest, ended.received);
        match (ended.end, failed) {
            (Some(end), _) => Ok(end?.0),
            (None, Some(error)) => Err(lost(&line, &error)),
            (None, None) => Err(lost(&line, &io::ErrorKind::UnexpectedEof.into())),
        }
    }
}

/// What was decided on the pool, and how far the body is taken in.
enum Decided<R> {
    Answer(R, Left, Vec<u8>),
    Taking(Taking<R>),
    Taken(Ended<R>),
}

impl<R: Send + 'static> Decided<R> {
    /// What of the body is here is taken in at once: to go to the pool again for
    /// it would cost as much as a small file does.
    fn of(
        decide: impl FnOnce() -> Answer<R>,
        left: Left,
        here: Vec<u8>,
        limit: Option<u64>,
    ) -> Self {
        match decide() {
            Answer::Reply(answer) => Self::Answer(answer, left, here),
            Answer::Take(intake) => {
                let mut taking = Taking::new(intake, left, limit);
                taking.take_here(&here);
                if taking.is_over() {
                    Self::Taken(taking.end())
                } else {
                    Self::Taking(taking)
                }
            }
        }
    }
}

/// Waits for the next of the body on a line; nothing is the end.
async fn next(line: &Rc<Line>, exchange: u32) -> Result<Bytes, Error> {
    loop {
        if !line.is_readable(exchange) {
            return Err(over());
        }
        if line.is_whole() {
            return Ok(Bytes::new());
        }
        let data = line.data()?;
        if !data.is_empty() {
            return Ok(data);
        }
        if line.is_whole() {
            continue;
        }
        let received = async {
            line.call_for_body().await?;
            match line.receive().await? {
                0 => Err(io::ErrorKind::UnexpectedEof.into()),
                count => Ok(count),
            }
        };
        received.await.map_err(|error| lost(line, &error))?;
    }
}

fn lost(line: &Line, error: &io::Error) -> Error {
    if error.kind() != io::ErrorKind::TimedOut {
        line.set_lost(error);
    }
    Error::reading(error)
}

fn over() -> Error {
    Error::internal("the request was answered before its body was read")
}

pub(super) fn too_long(limit: u64) -> Error {
    Error::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        format!("bodies of more than {limit} bytes are not taken here"),
    )
}

impl Drop for Incoming {
    fn drop(&mut self) {
        if let Source::Line { line, exchange } = &self.source {
            line.let_go(*exchange);
        }
    }
}

impl fmt::Debug for Incoming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Incoming")
            .field("length", &self.length())
            .field("received", &self.received)
            .finish_non_exhaustive()
    }
}

/// The chunks of a body as a [`Stream`], for whoever wants to send them on.
pub struct Chunks(Pin<Box<dyn Stream<Item = Result<Bytes, Error>>>>);

impl Incoming {
    /// The rest of the body as a stream of chunks.
    pub fn into_stream(self) -> Chunks {
        let chunks = futures_lite::stream::try_unfold(self, |mut body| async move {
            Ok(body.chunk().await?.map(|chunk| (chunk, body)))
        });
        Chunks(Box::pin(chunks))
    }
}

impl Stream for Chunks {
    type Item = Result<Bytes, Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.as_mut().poll_next(context)
    }
}

impl fmt::Debug for Chunks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Chunks").finish_non_exhaustive()
    }
}
