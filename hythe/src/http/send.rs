//! Sending bodies.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::task::Poll;

use bytes::Bytes;
use futures_lite::{Stream, StreamExt as _};
use hythe_net::{More, reactor};
use hythe_wire::http::{CHUNK_END, LAST_CHUNK, chunk_head};

use super::body::{Body, Content, Segment};
use crate::serve::pump::pump;
use crate::tls::Channel;

/// Up to this much is copied behind its head, to go out in one call; more than
/// that is cheaper to send by itself.
pub(super) const TOGETHER: usize = 64 * 1024;

/// Sends a head and its body, in chunks if it has no length of its own and
/// `chunked` is true.
///
/// # Errors
/// The stream's, or of whoever makes the body, once the head is out: then the
/// connection must be closed, which tells the peer that the body is not whole.
pub(super) async fn send(
    stream: &Channel,
    mut head: Vec<u8>,
    body: Body,
    chunked: bool,
) -> io::Result<()> {
    match body.0 {
        Content::Empty => stream.send_all(&head, More::No).await,
        Content::Bytes(bytes) if bytes.len() <= TOGETHER => {
            head.extend_from_slice(&bytes);
            stream.send_all(&head, More::No).await
        }
        Content::Bytes(bytes) => {
            stream.send_all(&head, More::Follows).await?;
            stream.send_all(&bytes, More::No).await
        }
        Content::Segments(segments) => send_segments(stream, &head, segments).await,
        Content::Pieces(pieces) => {
            stream.send_all(&head, More::Follows).await?;
            let mut chunks = Chunks::new(stream, chunked);
            pump(stream, pieces, async |piece| {
                chunks.head(piece.len()).await?;
                if chunked {
                    piece.extend_from_slice(CHUNK_END);
                }
                stream.send_all(piece, More::No).await
            })
            .await?;
            chunks.end().await
        }
        Content::Stream {
            stream: items,
            length,
            live,
        } => send_stream(stream, &head, items, length, live, chunked).await,
    }
}

async fn send_segments(stream: &Channel, head: &[u8], segments: Vec<Segment>) -> io::Result<()> {
    let is_empty = segments.iter().all(Segment::is_empty);
    stream
        .send_all(head, if is_empty { More::No } else { More::Follows })
        .await?;
    let last = segments.iter().rposition(|segment| !segment.is_empty());
    for (index, segment) in segments.into_iter().enumerate() {
        match segment {
            Segment::Bytes(bytes) => {
                let more = if Some(index) < last {
                    More::Follows
                } else {
                    More::No
                };
                stream.send_all(&bytes, more).await?;
            }
            Segment::File(file, range) => stream.send_file(&file, range).await?,
        }
    }
    Ok(())
}

/// Sends what a stream gives, at the pace of the peer.
async fn send_stream(
    stream: &Channel,
    head: &[u8],
    items: impl Stream<Item = io::Result<Bytes>>,
    length: Option<u64>,
    live: bool,
    chunked: bool,
) -> io::Result<()> {
    let mut items = pin!(items);
    let mut chunks = Chunks::new(stream, chunked && length.is_none());
    let mut left = length;
    // The head does not wait for what may be long in coming.
    let first = ready_now(items.next()).await;
    let more = if first.is_some() {
        More::Follows
    } else {
        More::No
    };
    stream.send_all(head, more).await?;
    let mut next = first;
    loop {
        let item = match next.take() {
            Some(item) => item,
            None if live => {
                // It is not for the client to say something.
                stream.set_deadline(None);
                let gone = async {
                    stream.ended().await.ok();
                    Some(Err(io::ErrorKind::ConnectionAborted.into()))
                };
                let next = futures_lite::future::or(items.next(), gone);
                futures_lite::future::or(stopping(), next).await
            }
            None => items.next().await,
        };
        // The time it took was not the peer's.
        stream.progressed();
        let Some(bytes) = item.transpose()? else {
            break;
        };
        if bytes.is_empty() {
            continue;
        }
        if let Some(left) = &mut left {
            let count = bytes.len() as u64;
            *left = left.checked_sub(count).ok_or_else(another_length)?;
        }
        chunks.head(bytes.len()).await?;
        if chunked && length.is_none() {
            stream.send_all(&bytes, More::Follows).await?;
            stream.send_all(CHUNK_END, More::No).await?;
        } else {
            stream.send_all(&bytes, More::No).await?;
        }
    }
    if left.is_some_and(|left| left > 0) {
        return Err(another_length());
    }
    chunks.end().await
}

/// Ends a body that would not end by itself when the server is to stop.
async fn stopping<T>() -> Option<T> {
    poll_fn(|_| match reactor::stopping() {
        // Who waits for the client's end is woken then.
        true => Poll::Ready(None),
        false => Poll::Pending,
    })
    .await
}

fn another_length() -> io::Error {
    io::Error::other("the body of a response has another length than was said")
}

/// What a future gives if it is asked once.
async fn ready_now<T>(future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    poll_fn(|context| {
        Poll::Ready(match future.as_mut().poll(context) {
            Poll::Ready(value) => Some(value),
            Poll::Pending => None,
        })
    })
    .await
}

/// What stands between the pieces of a body whose length is not known beforehand.
struct Chunks<'c> {
    stream: &'c Channel,
    chunked: bool,
}

impl<'c> Chunks<'c> {
    fn new(stream: &'c Channel, chunked: bool) -> Self {
        Self { stream, chunked }
    }

    async fn head(&mut self, length: usize) -> io::Result<()> {
        if self.chunked {
            let mut head = Vec::new();
            chunk_head(&mut head, length);
            self.stream.send_all(&head, More::Follows).await?;
        }
        Ok(())
    }

    async fn end(&self) -> io::Result<()> {
        if self.chunked {
            self.stream.send_all(LAST_CHUNK, More::No).await?;
        }
        Ok(())
    }
}
