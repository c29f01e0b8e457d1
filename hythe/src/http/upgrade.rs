//! [`Upgraded`]: a connection on which another protocol is spoken from now on.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll};

use hythe_net::More;

use super::line::Line;
use crate::tls::Channel;

/// A connection whose client was told that another protocol is spoken from here
/// on (RFC 9110 section 7.8).
pub struct Upgraded {
    line: Rc<Line>,
}

impl Upgraded {
    pub(super) fn new(line: Rc<Line>) -> Self {
        Self { line }
    }

    /// Whether bytes came right behind the request.
    pub(super) fn has_early(&self) -> bool {
        !self.line.input.borrow().is_empty()
    }

    /// Receives: how many bytes came; 0 is the end.
    ///
    /// # Errors
    /// As [`Channel::recv`].
    pub async fn recv(&self, buffer: &mut [u8]) -> io::Result<usize> {
        poll_fn(|context| self.poll_recv(context, buffer)).await
    }

    /// Receives what is there, once there is something; 0 is the end.
    ///
    /// # Errors
    /// As [`Channel::poll_recv`].
    pub fn poll_recv(
        &self,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        // What the client sent right behind its request.
        let mut input = self.line.input.borrow_mut();
        if input.is_empty() {
            return self.channel().poll_recv(context, buffer);
        }
        let count = input.len().min(buffer.len());
        buffer[..count].copy_from_slice(&input[..count]);
        input.drain(..count);
        Poll::Ready(Ok(count))
    }

    /// Sends all of `bytes`.
    ///
    /// # Errors
    /// As [`Channel::send_all`].
    pub async fn send_all(&self, bytes: &[u8]) -> io::Result<()> {
        self.channel().send_all(bytes, More::No).await
    }

    /// The connection, for what else can be done with it. Bytes that came with the
    /// request are not there, but in [`recv`](Self::recv).
    pub fn channel(&self) -> &Channel {
        self.line.stream()
    }
}

impl fmt::Debug for Upgraded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upgraded")
            .field("peer", &self.line.connection.peer)
            .finish_non_exhaustive()
    }
}
