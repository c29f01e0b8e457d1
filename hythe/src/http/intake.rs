//! Bodies that are taken in on the thread pool, and by whom.
//!
//! ```text
//!   decide ─┬─► Reply ─────────────────────────────► sent; the body is not read
//!           └─► Take(intake) ─► take, take, take… ─► end ─► answer
//!                                     │ Err(answer) ─────► sent; the rest is not read
//!                                     └ the peer is gone ─► cut
//! ```
//!
//! Which of the two it is, is decided by the head alone, before a byte of the
//! body is read: who waits for `100 (Continue)` hears the refusal instead.

use hythe_net::Sink;
use hythe_wire::http::Error;

use super::line::Left;

/// What is done about a request.
pub enum Answer<R> {
    /// This is the answer; a body is not wanted.
    Reply(R),
    /// The body is taken in, and then there is an answer.
    Take(Box<dyn Intake<R>>),
}

impl<R> From<R> for Answer<R> {
    fn from(reply: R) -> Self {
        Self::Reply(reply)
    }
}

/// Takes in the body of one request, piece by piece and in order. Everything
/// here may block: it runs on the thread pool.
pub trait Intake<R>: Send {
    /// Takes what has come.
    ///
    /// # Errors
    /// An answer that is to be sent at once; the rest of the body is not wanted.
    fn take(&mut self, bytes: &[u8]) -> Result<(), R>;

    /// The body was whole.
    fn end(self: Box<Self>) -> R;

    /// The peer is gone, or its body makes no sense: there will be no more, and
    /// nobody to reply to.
    fn cut(self: Box<Self>) {}
}

/// A body on its way to who takes it in.
pub(super) struct Taking<R> {
    intake: Box<dyn Intake<R>>,
    left: Left,
    limit: Option<u64>,
    received: u64,
    refused: Option<Result<R, Error>>,
    /// What came behind it: the next request.
    rest: Vec<u8>,
}

/// To multiples of this, from its beginning, a body is taken in: of many pages,
/// and as much as is received at once.
const PAGES: u64 = 256 * 1024;

/// What is said of a body beyond its limit.
const TOO_LONG: Error = Error {
    status: 413,
    reason: "the body is longer than is taken here",
};

/// A body that has ended.
pub(super) struct Ended<R> {
    /// How many bytes of it came.
    pub(super) received: u64,
    /// What came behind it.
    pub(super) rest: Vec<u8>,
    /// The answer, and whether the next request is to be found behind it; or
    /// that it makes no sense; or `None` if the peer did not send all of it.
    pub(super) end: Option<Result<(R, bool), Error>>,
}

impl<R> Taking<R> {
    pub(super) fn new(intake: Box<dyn Intake<R>>, left: Left, limit: Option<u64>) -> Self {
        Self {
            intake,
            left,
            limit,
            received: 0,
            refused: None,
            rest: Vec::new(),
        }
    }

    /// Whether no more is to be read.
    pub(super) fn is_over(&self) -> bool {
        self.refused.is_some() || self.left.is_whole()
    }

    /// Takes what came with the head; keeps what is behind the body.
    pub(super) fn take_here(&mut self, bytes: &[u8]) {
        let mut bytes = bytes;
        while !bytes.is_empty() && !self.is_over() {
            let (consumed, result) = self.step(bytes);
            bytes = &bytes[consumed..];
            if let Err(refused) = result {
                self.refused = Some(refused);
            }
        }
        self.rest.extend_from_slice(bytes);
    }

    fn step(&mut self, bytes: &[u8]) -> (usize, Result<(), Result<R, Error>>) {
        let (consumed, data) = match self.left.step(bytes) {
            Ok(step) => step,
            Err(error) => return (bytes.len(), Err(Err(error))),
        };
        self.received += data.len() as u64;
        if self.limit.is_some_and(|limit| self.received > limit) {
            return (bytes.len(), Err(Err(TOO_LONG)));
        }
        let taken = if data.is_empty() {
            Ok(())
        } else {
            self.intake.take(data).map_err(Ok)
        };
        (consumed, taken)
    }

    /// Ends it.
    pub(super) fn end(self) -> Ended<R> {
        let whole = self.left.is_whole();
        let end = match self.refused {
            Some(Ok(reply)) => {
                self.intake.cut();
                Some(Ok((reply, whole)))
            }
            Some(Err(error)) => {
                self.intake.cut();
                Some(Err(error))
            }
            None if whole => Some(Ok((self.intake.end(), true))),
            None => {
                self.intake.cut();
                None
            }
        };
        Ended {
            received: self.received,
            rest: self.rest,
            end,
        }
    }
}

impl<R: Send + 'static> Sink for Taking<R> {
    fn room(&self) -> u64 {
        match &self.left {
            _ if self.is_over() => 0,
            // As far as the end of a piece, so that what is written to a file
            // begins and ends where its pages do.
            Left::Bytes(left) => (*left).min(PAGES - self.received % PAGES),
            Left::Chunks(_) => u64::MAX,
            Left::Unknown => 0,
        }
    }

    fn expected(&self) -> u64 {
        match &self.left {
            Left::Bytes(left) => *left,
            Left::Chunks(chunks) => chunks.expected(),
            Left::Unknown => 0,
        }
    }

    fn take(&mut self, bytes: &[u8]) {
        self.take_here(bytes);
    }
}
