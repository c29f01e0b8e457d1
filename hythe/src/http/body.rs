//! [`Body`]: the content of a response.

use std::cell::RefCell;
use std::fmt;
use std::fs::File;
use std::future::{Future, poll_fn};
use std::io;
use std::ops::Range;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_lite::Stream;

use crate::share::Pieces;

/// The content of a response: bytes, a file or parts of one, or what is made
/// while it is sent.
///
/// ```
/// use hythe::http::Body;
///
/// let counted = Body::write(async |mut writer| {
///     for number in 1..=3 {
///         writer.send(format!("{number}\n")).await?;
///     }
///     Ok(())
/// });
/// assert_eq!(counted.length(), None);
/// assert_eq!(Body::from("hello").length(), Some(5));
/// ```
#[derive(Default)]
pub struct Body(pub(super) Content);

#[derive(Default)]
pub(super) enum Content {
    #[default]
    Empty,
    Bytes(Bytes),
    Segments(Vec<Segment>),
    Pieces(Box<dyn Pieces>),
    Stream {
        stream: Pin<Box<dyn Stream<Item = io::Result<Bytes>>>>,
        length: Option<u64>,
        live: bool,
    },
}

/// A stretch of a body.
#[derive(Debug)]
pub enum Segment {
    /// These bytes.
    Bytes(Bytes),
    /// A range of a file, which goes from the kernel's cache to the socket.
    File(Arc<File>, Range<u64>),
}

impl Segment {
    pub(super) fn is_empty(&self) -> bool {
        self.length() == 0
    }

    fn length(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::File(_, range) => range.end.saturating_sub(range.start),
        }
    }
}

impl Body {
    /// No content.
    pub fn empty() -> Self {
        Self::default()
    }

    /// A range of a file, in bytes from its beginning.
    pub fn file(file: File, range: Range<u64>) -> Self {
        Self::segments(vec![Segment::File(Arc::new(file), range)])
    }

    /// Several stretches, one after another.
    pub fn segments(segments: Vec<Segment>) -> Self {
        Self(Content::Segments(segments))
    }

    /// What is made piece by piece on the thread pool, at the pace of who reads.
    pub fn pieces(pieces: Box<dyn Pieces>) -> Self {
        Self(Content::Pieces(pieces))
    }

    /// The items of a stream, each sent as it comes and before the next is asked
    /// for. An error breaks the connection off, which tells the client that this
    /// is not all.
    pub fn stream(stream: impl Stream<Item = io::Result<Bytes>> + 'static) -> Self {
        Self(Content::Stream {
            stream: Box::pin(stream),
            length: None,
            live: false,
        })
    }

    /// What `write` sends; it waits where the client does not keep up, and is
    /// dropped if the client is lost.
    pub fn write<F, T>(write: F) -> Self
    where
        F: FnOnce(Writer) -> T,
        T: Future<Output = io::Result<()>> + 'static,
    {
        Self::stream(Self::written(write))
    }

    pub(super) fn written<F, T>(write: F) -> Written
    where
        F: FnOnce(Writer) -> T,
        T: Future<Output = io::Result<()>> + 'static,
    {
        let slot = Rc::new(RefCell::new(None));
        let writer = Writer(Rc::clone(&slot));
        Written {
            slot,
            writing: Some(Box::pin(write(writer))),
        }
    }

    /// Says how many bytes a [stream](Self::stream) has in all. Should it have
    /// others, the connection is broken off. All but streams know their length, and
    /// stay what they are.
    #[must_use]
    pub fn with_length(mut self, bytes: u64) -> Self {
        if let Content::Stream { length, .. } = &mut self.0 {
            *length = Some(bytes);
        }
        self
    }

    /// Has a stream end as soon as the client has ended its direction of the
    /// connection, and not only when something can't be sent, and as soon as the
    /// server is told to stop: for those that say something now and then and never
    /// end by themselves.
    #[must_use]
    pub fn while_connected(mut self) -> Self {
        if let Content::Stream { live, .. } = &mut self.0 {
            *live = true;
        }
        self
    }

    /// How many bytes it has, where that is known beforehand.
    pub fn length(&self) -> Option<u64> {
        match &self.0 {
            Content::Empty => Some(0),
            Content::Bytes(bytes) => Some(bytes.len() as u64),
            Content::Segments(segments) => Some(segments.iter().map(Segment::length).sum()),
            Content::Pieces(_) => None,
            Content::Stream { length, .. } => *length,
        }
    }

    /// The bytes, if that is what it is made of.
    pub fn as_bytes(&self) -> Option<&[u8]> {
        match &self.0 {
            Content::Empty => Some(b""),
            Content::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        matches!(self.0, Content::Empty)
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        Self(Content::Bytes(bytes))
    }
}

impl From<Vec<u8>> for Body {
    fn from(bytes: Vec<u8>) -> Self {
        Bytes::from(bytes).into()
    }
}

impl From<String> for Body {
    fn from(text: String) -> Self {
        Bytes::from(text).into()
    }
}

impl From<&'static str> for Body {
    fn from(text: &'static str) -> Self {
        Bytes::from_static(text.as_bytes()).into()
    }
}

impl From<&'static [u8]> for Body {
    fn from(bytes: &'static [u8]) -> Self {
        Bytes::from_static(bytes).into()
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Body")
            .field("length", &self.length())
            .finish_non_exhaustive()
    }
}

/// The way into a body that is [written](Body::write) while it is sent.
#[derive(Debug)]
pub struct Writer(Rc<RefCell<Option<Bytes>>>);

impl Writer {
    /// Sends some of the body; returns when the next may follow.
    ///
    /// # Errors
    /// None at present: where the client is lost, whoever writes is dropped while
    /// waiting here.
    pub async fn send(&mut self, bytes: impl Into<Bytes>) -> io::Result<()> {
        let bytes = bytes.into();
        if bytes.is_empty() {
            return Ok(());
        }
        // Whoever gave up waiting has left something there.
        self.taken().await;
        self.0.replace(Some(bytes));
        self.taken().await;
        Ok(())
    }

    async fn taken(&self) {
        poll_fn(|_| match self.0.borrow().is_some() {
            // Woken when the body is asked for more, which polls us again.
            true => Poll::Pending,
            false => Poll::Ready(()),
        })
        .await;
    }
}

/// What a writer has sent, as a stream: each item is taken before the writer goes
/// on.
pub(super) struct Written {
    slot: Rc<RefCell<Option<Bytes>>>,
    writing: Option<Pin<Box<dyn Future<Output = io::Result<()>>>>>,
}

impl Stream for Written {
    type Item = io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Some(writing) = &mut self.writing else {
            return Poll::Ready(None);
        };
        let ended = writing.as_mut().poll(context);
        let ended = match ended {
            Poll::Ready(Err(error)) => {
                self.writing = None;
                return Poll::Ready(Some(Err(error)));
            }
            Poll::Ready(Ok(())) => {
                self.writing = None;
                Poll::Ready(None)
            }
            Poll::Pending => Poll::Pending,
        };
        // The last may be there although nobody has waited for it to be taken.
        match self.slot.borrow_mut().take() {
            Some(bytes) => Poll::Ready(Some(Ok(bytes))),
            None => ended,
        }
    }
}
