//! [`Line`]: a connection, and the body of the request that is being answered on
//! it. The session and whoever reads the body share it.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hythe_net::{Connection, More, reactor};
use hythe_wire::http::{Chunked, Error, Framing, Request};

use crate::tls::Channel;

/// What who waits for it is told once its body is wanted (RFC 9110 §10.1.1).
const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// How long a client that has ended its direction is taken to be still listening, if
/// it had said that this was its last request: tools that are fed by a pipe do so.
/// Nothing tells them from those that have left, for whom nobody should work much
/// longer.
const STILL_LISTENING: Duration = Duration::from_secs(5);

pub(super) struct Line {
    pub(super) connection: Connection<Channel>,
    /// What came and was not dealt with: of the body, and behind it the next
    /// requests.
    pub(super) input: RefCell<Vec<u8>>,
    coming: RefCell<Coming>,
    /// Which exchange this is: whoever holds the body of an earlier one has
    /// nothing to read.
    exchange: Cell<u32>,
    /// Whether the client wants to ask nothing more.
    last: Cell<bool>,
    /// Why nothing more can come, if that is so.
    lost: Cell<Option<io::ErrorKind>>,
}

/// The body of a request, as far as it is still to be read.
struct Coming {
    left: Left,
    /// Whether the client waits to be told to send it.
    waits: bool,
    received: u64,
    /// How many bytes that took, with the framing.
    consumed: u64,
    /// Whether somebody may still read it.
    held: bool,
}

/// How it is known what is still to come.
#[derive(Debug)]
pub(super) enum Left {
    Bytes(u64),
    Chunks(Chunked),
    /// It is not known where the body ends: nothing behind it can be found.
    Unknown,
}

impl Left {
    pub(super) fn of(framing: Framing) -> Self {
        match framing {
            Framing::None => Self::Bytes(0),
            Framing::Length(length) => Self::Bytes(length),
            Framing::Chunked => Self::Chunks(Chunked::new()),
        }
    }

    pub(super) fn is_whole(&self) -> bool {
        match self {
            Self::Bytes(left) => *left == 0,
            Self::Chunks(chunks) => chunks.is_done(),
            Self::Unknown => false,
        }
    }

    /// The first stretch of data in `input`, and how much of that is dealt with.
    pub(super) fn step<'i>(&mut self, input: &'i [u8]) -> Result<(usize, &'i [u8]), Error> {
        match self {
            Self::Bytes(left) => {
                let count =
                    usize::try_from(*left).map_or(input.len(), |left| left.min(input.len()));
                *left -= count as u64;
                Ok((count, &input[..count]))
            }
            Self::Chunks(chunks) => {
                let step = chunks.decode(input)?;
                Ok((step.consumed, step.data))
            }
            Self::Unknown => Ok((0, &[])),
        }
    }

    /// All of the body that is in `input`, which is left with what is behind it.
    pub(super) fn data(&mut self, input: &mut Vec<u8>) -> Result<Bytes, Error> {
        if let Self::Bytes(left) = self
            && *left >= input.len() as u64
        {
            *left -= input.len() as u64;
            return Ok(Bytes::from(std::mem::take(input)));
        }
        let mut data = Vec::new();
        let mut used = 0;
        loop {
            let step = self.step(&input[used..]);
            let (consumed, piece) = match step {
                Ok(step) => step,
                Err(error) => {
                    *self = Self::Unknown;
                    return Err(error);
                }
            };
            data.extend_from_slice(piece);
            used += consumed;
            if consumed == 0 || self.is_whole() {
                break;
            }
        }
        input.drain(..used);
        Ok(data.into())
    }
}

impl Line {
    pub(super) fn new(connection: Connection<Channel>) -> Self {
        Self {
            connection,
            input: RefCell::default(),
            coming: RefCell::new(Coming {
                left: Left::Bytes(0),
                waits: false,
                received: 0,
                consumed: 0,
                held: false,
            }),
            exchange: Cell::new(0),
            last: Cell::new(false),
            lost: Cell::new(None),
        }
    }

    pub(super) fn stream(&self) -> &Channel {
        &self.connection.stream
    }

    /// Begins an exchange by the head of a request: its number, for who reads the
    /// body.
    pub(super) fn begin(&self, head: &Request<'_, '_>) -> u32 {
        let (framing, waits) = (head.framing, head.expect_continue);
        self.last.set(!head.keep_alive);
        *self.coming.borrow_mut() = Coming {
            left: Left::of(framing),
            waits,
            received: 0,
            consumed: 0,
            held: true,
        };
        let exchange = self.exchange.get().wrapping_add(1);
        self.exchange.set(exchange);
        exchange
    }

    pub(super) fn is_current(&self, exchange: u32) -> bool {
        self.exchange.get() == exchange
    }

    /// Whether the body of this exchange can be read on: it is known where it ends.
    pub(super) fn is_readable(&self, exchange: u32) -> bool {
        self.is_current(exchange) && self.can_be_found()
    }

    /// Whether what is behind the body can be found at all.
    pub(super) fn can_be_found(&self) -> bool {
        !matches!(self.coming.borrow().left, Left::Unknown)
    }

    /// Nobody reads the body of this exchange any more.
    pub(super) fn let_go(&self, exchange: u32) {
        if self.is_current(exchange) {
            self.coming.borrow_mut().held = false;
        }
    }

    pub(super) fn is_held(&self) -> bool {
        self.coming.borrow().held
    }

    /// Whether all of the body was read.
    pub(super) fn is_whole(&self) -> bool {
        self.coming.borrow().left.is_whole()
    }

    /// How many bytes of the body are still to come, where that is known.
    pub(super) fn length(&self) -> Option<u64> {
        match &self.coming.borrow().left {
            Left::Bytes(left) => Some(*left),
            left if left.is_whole() => Some(0),
            Left::Chunks(_) | Left::Unknown => None,
        }
    }

    /// How many bytes of the body were read.
    pub(super) fn received(&self) -> u64 {
        self.coming.borrow().received
    }

    /// How many bytes of the connection that took.
    pub(super) fn consumed(&self) -> u64 {
        self.coming.borrow().consumed
    }

    /// Whether the client still waits to be told to send its body.
    pub(super) fn waits(&self) -> bool {
        self.coming.borrow().waits && self.input.borrow().is_empty()
    }

    /// A response has begun: from here on the client is told nothing else.
    pub(super) fn call_no_more(&self) {
        self.coming.borrow_mut().waits = false;
    }

    /// Why the connection broke while a body was read, if it did.
    pub(super) fn lost(&self) -> Option<io::Error> {
        self.lost.get().map(Into::into)
    }

    pub(super) fn set_lost(&self, error: &io::Error) {
        self.lost.set(Some(error.kind()));
    }

    /// Waits until nobody is there any more to hear an answer, as far as can be told.
    pub(super) async fn gone(&self) {
        // Only we are waited for.
        self.stream().set_deadline(None);
        if self.stream().ended().await.is_ok() && self.last.get() {
            reactor::sleep(STILL_LISTENING).await;
        }
        self.lost.set(Some(io::ErrorKind::ConnectionAborted));
    }

    /// Takes the body out, for somebody who gives back what is left of it: the
    /// framing, and what has come of it and of what is behind. Should it never be
    /// given back, nothing behind it can be found.
    pub(super) fn take_out(&self) -> (Left, Vec<u8>) {
        let left = std::mem::replace(&mut self.coming.borrow_mut().left, Left::Unknown);
        (left, self.input.take())
    }

    pub(super) fn put_back(&self, left: Left, mut input: Vec<u8>, received: u64) {
        let mut coming = self.coming.borrow_mut();
        coming.left = left;
        coming.received += received;
        // What was put there meanwhile had come later.
        input.append(&mut self.input.borrow_mut());
        self.input.replace(input);
    }

    /// All of the body that has come.
    pub(super) fn data(&self) -> Result<Bytes, Error> {
        let mut coming = self.coming.borrow_mut();
        let mut input = self.input.borrow_mut();
        let before = input.len();
        let data = coming.left.data(&mut input)?;
        coming.received += data.len() as u64;
        coming.consumed += (before - input.len()) as u64;
        Ok(data)
    }

    /// Tells a client that waits for it to send its body.
    pub(super) async fn call_for_body(&self) -> io::Result<()> {
        let waits = self.waits();
        self.coming.borrow_mut().waits = false;
        if waits {
            self.stream().send_all(CONTINUE, More::No).await?;
        }
        Ok(())
    }

    /// Reads once, holding no buffer while it waits; 0 is the end.
    pub(super) async fn receive(&self) -> io::Result<usize> {
        poll_fn(|context| self.poll_receive(context)).await
    }

    pub(super) fn poll_receive(&self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut buffer = reactor::lease();
        let polled = self.stream().poll_recv(context, &mut buffer);
        if let Poll::Ready(Ok(count)) = polled {
            self.input.borrow_mut().extend_from_slice(&buffer[..count]);
        }
        polled
    }
}
