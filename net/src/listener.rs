//! [`Listener`]: a listening socket that waits in the reactor.

use std::future::poll_fn;
use std::io;
use std::os::fd::AsFd;
use std::task::{Context, Poll};

use crate::mux::{Interest, Ready};
use crate::reactor::{Moved, Registration};
use crate::{Socket, Stream};

/// A listening socket in the reactor.
#[derive(Debug)]
pub struct Listener {
    // Dropped first, since it must end before the descriptor is closed.
    registration: Registration,
    socket: Socket,
}

impl Listener {
    /// Takes a listening socket into the reactor of this thread.
    ///
    /// # Errors
    /// The multiplexer refuses the descriptor.
    pub fn new(socket: Socket) -> io::Result<Self> {
        socket.set_blocking(false)?;
        let registration = Registration::new(socket.as_fd(), Ready::READ)?;
        Ok(Self {
            registration,
            socket,
        })
    }

    /// The socket underneath.
    pub fn socket(&self) -> &Socket {
        &self.socket
    }

    /// The next connection, not yet registered, as a non-blocking socket.
    ///
    /// # Errors
    /// Those of `accept(2)`; `EMFILE` leaves the connection waiting.
    pub fn poll_accept(&self, context: &mut Context<'_>) -> Poll<io::Result<Socket>> {
        let mut accepted = None;
        let polled = self.registration.poll_io(context, Interest::READ, || {
            accepted = Some(self.socket.accept_nonblocking()?);
            Ok(Moved { bytes: 0, asked: 0 })
        });
        match polled {
            Poll::Ready(Ok(_)) => match accepted {
                Some(socket) => Poll::Ready(Ok(socket)),
                None => Poll::Pending,
            },
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => Poll::Pending,
        }
    }

    /// Waits for the next connection.
    ///
    /// # Errors
    /// As [`poll_accept`](Self::poll_accept).
    pub async fn accept(&self) -> io::Result<Stream> {
        let socket = poll_fn(|context| self.poll_accept(context)).await?;
        Stream::from_nonblocking(socket, Ready::WRITE)
    }
}
