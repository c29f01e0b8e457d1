//! [`Stream`]: a connected byte stream that waits in the reactor.
//!
//! It reads, writes and sends files without ever blocking its thread, and it
//! keeps one deadline: a peer that makes no progress for as long as
//! [`Patience`] allows ends with `TimedOut`, whatever the session was doing.
//!
//! [`Stream`] and `&Stream` implement the `futures-io` traits, so that other
//! protocol crates plug in and both directions can be used at once.

mod file;
mod pour;
mod stride;

use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::os::fd::AsFd;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures_io::{AsyncRead, AsyncWrite};

use crate::mux::{Interest, Ready};
use crate::option::{DomainOf, Error as PendingError, Linger, OobInline};
use crate::reactor::{self, Moved, Registration, lease, timeout};
use crate::{Addr, How, Kind, More, Socket};

pub use pour::{Poured, Sink};

/// How long a peer may take.
///
/// ```
/// use hythe_net::Patience;
/// use std::time::Duration;
///
/// assert_eq!(Patience::new(Duration::from_secs(300)).bytes, 64 * 1024);
/// assert_eq!(Patience::new(Duration::from_secs(1)).bytes, 218);
/// ```
///
/// The clock runs whatever a session does. One that did slow work of its own
/// calls [`Stream::progressed`] after it, lest its peer pay for that time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// A connection without progress for this long is closed. Progress is a
    /// whole message (see [`Stream::progressed`]) or `bytes` moved.
    pub idle: Duration,
    /// How many bytes count as progress: a peer that takes a byte a second
    /// makes none. Bytes count as they are received and as the kernel takes
    /// them to send; when its buffer is full, as the peer acknowledges them.
    ///
    /// A TCP peer that reads slowly acknowledges in steps, of a segment or a
    /// sixteenth of its own buffer: a few KiB to a few hundred. It needs one
    /// step within `idle`, however low this is.
    pub bytes: usize,
}

impl Patience {
    /// Patience that ends after `idle` without progress, where progress is
    /// 218 bytes for each second of it (64 KiB in five minutes), and at least
    /// one byte.
    pub fn new(idle: Duration) -> Self {
        let bytes = idle.as_millis().saturating_mul(64 * 1024) / 300_000;
        Self {
            idle,
            bytes: usize::try_from(bytes).unwrap_or(usize::MAX).max(1),
        }
    }
}

impl Default for Patience {
    /// Five minutes, in which at least 64 KiB must move.
    fn default() -> Self {
        Self::new(Duration::from_secs(300))
    }
}

/// What [`Stream::input`] waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// There is something to read, if only the end of the stream.
    Ready,
    /// The server is stopping: send no more than what is owed, and end.
    Stopping,
}

/// A connected stream socket, registered with the reactor of its thread.
pub struct Stream {
    // Dropped first, since it must end before the descriptor is closed.
    registration: Registration,
    socket: Socket,
    patience: Cell<Patience>,
    /// Bytes moved since the deadline was last put off.
    moved: Cell<usize>,
    /// Bytes the kernel took to send so far.
    sent: Cell<u64>,
    /// How many of these the peer had acknowledged when somebody first waited
    /// to send since the last progress. Most progress is made without waiting
    /// long, and then nobody needs to ask the kernel.
    acknowledged: Cell<Option<u64>>,
    /// Whether a send has timed out, and none has got on since.
    stuck: Cell<bool>,
    /// Whether a short read says that there is no more. A Unix socket ends a
    /// read after each message that carried descriptors, too.
    short_is_all: bool,
    /// Whether `input` was called since the server began to stop.
    stopped: Cell<bool>,
}

impl Stream {
    /// Takes a connected socket into the reactor of this thread.
    ///
    /// # Errors
    /// The multiplexer refuses the descriptor.
    ///
    /// # Panics
    /// Outside of [`Reactor::block_on`](crate::Reactor::block_on).
    pub fn new(socket: Socket) -> io::Result<Self> {
        socket.set_blocking(false)?;
        Self::from_nonblocking(socket, Ready::WRITE)
    }

    /// As [`new`](Self::new), for a socket that is non-blocking already. `ready`
    /// is what can be assumed of it.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn from_nonblocking(socket: Socket, ready: Ready) -> io::Result<Self> {
        let registration = Registration::new(socket.as_fd(), ready)?;
        let stream = Self {
            registration,
            short_is_all: socket.get::<DomainOf>()?.0 != libc::AF_UNIX,
            stopped: Cell::new(false),
            socket,
            patience: Cell::new(Patience::default()),
            moved: Cell::new(0),
            sent: Cell::new(0),
            acknowledged: Cell::new(None),
            stuck: Cell::new(false),
        };
        stream.progressed();
        Ok(stream)
    }

    /// Connects to `address`, from `source` if given, within `limit`.
    ///
    /// # Errors
    /// `TimedOut`, `ConnectionRefused` and the like.
    pub async fn connect(
        address: &Addr,
        source: Option<&Addr>,
        limit: Duration,
    ) -> io::Result<Self> {
        let socket = Socket::new(address.domain(), Kind::STREAM)?;
        socket.set_blocking(false)?;
        if let Some(source) = source {
            socket.bind(source)?;
        }
        match socket.connect(address) {
            Ok(()) => return Self::from_nonblocking(socket, Ready::WRITE),
            Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => {}
            Err(error) => return Err(error),
        }
        let stream = Self::from_nonblocking(socket, Ready::NONE)?;
        timeout(
            limit,
            poll_fn(|context| stream.registration.poll_ready(context, Interest::WRITE)),
        )
        .await??;
        match stream.socket.get::<PendingError>()?.0 {
            0 => Ok(stream),
            errno => Err(io::Error::from_raw_os_error(errno)),
        }
    }

    /// Two streams connected to each other (`socketpair(2)`).
    ///
    /// # Errors
    /// No descriptor is left.
    pub fn pair() -> io::Result<(Self, Self)> {
        let (one, other) = Socket::pair(crate::Domain::UNIX, Kind::STREAM)?;
        Ok((Self::new(one)?, Self::new(other)?))
    }

    /// The socket underneath, for its options and names.
    pub fn socket(&self) -> &Socket {
        &self.socket
    }

    /// Leaves urgent data in its place among the rest (`SO_OOBINLINE`), as
    /// Telnet and FTP want it.
    ///
    /// # Errors
    /// The kernel's own.
    pub fn keep_urgent_inline(&self) -> io::Result<()> {
        self.socket.set(OobInline(true))
    }

    // --- Waiting and deadlines ---

    /// Waits for the peer to say something, holding no buffer meanwhile; also
    /// ends when the server is asked to stop. This is where an idle connection
    /// spends its life.
    ///
    /// What the peer had sent before it could know of the stop is owed an
    /// answer, once: it still is `Ready` at the first call after it.
    ///
    /// # Errors
    /// `TimedOut` after the deadline.
    pub async fn input(&self) -> io::Result<Input> {
        let mut doubtful = true;
        poll_fn(|context| {
            if reactor::stopping() {
                let owed = !self.stopped.replace(true) && self.has_input();
                let input = if owed { Input::Ready } else { Input::Stopping };
                return Poll::Ready(Ok(input));
            }
            // What was remembered may be left from a read that took all there
            // was, to the last byte of its buffer. What an event says is new.
            let readable = if doubtful {
                self.poll_peek(context, &mut [0]).map_ok(drop)
            } else {
                self.poll_readable(context)
            };
            doubtful = self.registration.is_ready(Interest::READ);
            readable.map_ok(|()| Input::Ready)
        })
        .await
    }

    /// Waits until there is something to read, or the end, and looks at as much
    /// of it as is there; 0 is the end.
    ///
    /// # Errors
    /// `TimedOut`, `ConnectionReset`…
    pub fn poll_peek(
        &self,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let mut seen = 0;
        let peek = || {
            seen = self.socket.peek(buffer)?;
            Ok(Moved { bytes: 0, asked: 0 })
        };
        let ready = self.registration.poll_io(context, Interest::READ, peek);
        ready.map_ok(|_| seen)
    }

    fn poll_readable(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.registration.poll_ready(context, Interest::READ)
    }

    /// Whether there are bytes to read at this very moment.
    pub fn has_input(&self) -> bool {
        self.socket.peek(&mut [0]).is_ok_and(|bytes| bytes > 0)
    }

    /// How long the peer may take.
    pub fn patience(&self) -> Patience {
        self.patience.get()
    }

    /// Sets how long the peer may take from now on, and starts anew.
    pub fn set_patience(&self, patience: Patience) {
        self.patience.set(patience);
        self.progressed();
    }

    /// The session has got on: a whole message has come or gone, or the
    /// session itself has finished what took it long.
    pub fn progressed(&self) {
        self.moved.set(0);
        self.acknowledged.set(None);
        self.registration
            .set_deadline(self.now().checked_add(self.patience.get().idle));
    }

    /// Sets the deadline itself, until the next progress; `None` for no end.
    pub fn set_deadline(&self, deadline: Option<Instant>) {
        self.moved.set(0);
        self.registration.set_deadline(deadline);
    }

    /// The time at which this turn of the reactor began.
    pub fn now(&self) -> Instant {
        self.registration.now()
    }

    fn account(&self, interest: Interest, bytes: usize) {
        if interest == Interest::WRITE {
            self.sent.set(self.sent.get() + bytes as u64);
            self.stuck.set(false);
        }
        let moved = self.moved.get() + bytes;
        self.moved.set(moved);
        if moved >= self.patience.get().bytes {
            self.progressed();
        }
    }

    /// [`Registration::poll_io`] with the progress it makes.
    fn poll_io(
        &self,
        context: &mut Context<'_>,
        interest: Interest,
        mut operation: impl FnMut() -> io::Result<Moved>,
    ) -> Poll<io::Result<usize>> {
        loop {
            let result = self.registration.poll_io(context, interest, &mut operation);
            match &result {
                Poll::Ready(Ok(bytes)) => self.account(interest, *bytes),
                // Once the kernel's buffer is full, up to 4 MiB, it takes no
                // more before a third has gone: what goes meanwhile counts, too.
                Poll::Ready(Err(error)) if is_deadline(error) && self.peer_took_enough() => {
                    self.progressed();
                    self.acknowledged.set(self.acknowledged_by_now());
                    continue;
                }
                Poll::Pending if interest == Interest::WRITE => {
                    if self.acknowledged.get().is_none() {
                        self.acknowledged.set(self.acknowledged_by_now());
                    }
                }
                Poll::Ready(Err(error)) if is_deadline(error) && interest == Interest::WRITE => {
                    self.stuck.set(true);
                }
                Poll::Ready(Err(_)) | Poll::Pending => {}
            }
            return result;
        }
    }

    fn peer_took_enough(&self) -> bool {
        let taken = |before| Some(self.acknowledged_by_now()?.saturating_sub(before));
        let taken = self.acknowledged.get().and_then(taken);
        taken.is_some_and(|taken| taken >= self.patience.get().bytes as u64)
    }

    fn acknowledged_by_now(&self) -> Option<u64> {
        let unacknowledged = self.socket.unacknowledged().ok()? as u64;
        Some(self.sent.get().saturating_sub(unacknowledged))
    }

    // --- Bytes ---

    /// One `recv(2)` once there is something to read; 0 is the end.
    ///
    /// # Errors
    /// `TimedOut`, `ConnectionReset`…
    pub fn poll_recv(
        &self,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let whole = buffer.len();
        self.poll_io(context, Interest::READ, || {
            let bytes = self.socket.recv(buffer)?;
            let asked = if self.short_is_all { whole } else { bytes };
            Ok(Moved { bytes, asked })
        })
    }

    /// One `send(2)` once there is room.
    ///
    /// # Errors
    /// `TimedOut`, `BrokenPipe`, `ConnectionReset`…
    pub fn poll_send(
        &self,
        context: &mut Context<'_>,
        bytes: &[u8],
        more: More,
    ) -> Poll<io::Result<usize>> {
        self.poll_io(context, Interest::WRITE, || {
            let asked = bytes.len();
            self.socket
                .send(bytes, more)
                .map(|bytes| Moved { bytes, asked })
        })
    }

    /// As [`poll_send`](Self::poll_send) for several pieces in one call
    /// (`sendmsg(2)`): how many bytes of them together went out.
    ///
    /// # Errors
    /// As [`poll_send`](Self::poll_send).
    pub fn poll_send_vectored(
        &self,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_io(context, Interest::WRITE, || {
            let asked = pieces.iter().map(|piece| piece.len()).sum();
            self.socket
                .send_msg(pieces, &[], None)
                .map(|bytes| Moved { bytes, asked })
        })
    }

    /// How many bytes have been sent since the beginning, as far as the kernel
    /// has taken them.
    pub fn sent(&self) -> u64 {
        self.sent.get()
    }

    /// Receives into `buffer`: how many bytes came; 0 is the end.
    ///
    /// # Errors
    /// `TimedOut`, `ConnectionReset`…
    pub async fn recv(&self, buffer: &mut [u8]) -> io::Result<usize> {
        poll_fn(|context| self.poll_recv(context, buffer)).await
    }

    /// Sends all of `bytes`.
    ///
    /// # Errors
    /// `TimedOut`, `BrokenPipe`, `ConnectionReset`…; part may have gone out.
    pub async fn send_all(&self, mut bytes: &[u8], more: More) -> io::Result<()> {
        while !bytes.is_empty() {
            let sent = poll_fn(|context| self.poll_send(context, bytes, more)).await?;
            bytes = &bytes[sent..];
        }
        Ok(())
    }

    /// Ends the writing direction: the peer sees the end of the stream.
    ///
    /// # Errors
    /// `NotConnected` if the peer is gone already.
    pub fn shutdown(&self, how: How) -> io::Result<()> {
        self.socket.shutdown(how)
    }

    /// Closes such that the peer gets what was sent last. Closing with unread
    /// bytes in the buffer would reset the connection and could destroy a
    /// reply on its way, so what the peer still sends is read and thrown away,
    /// within bounds.
    pub async fn close(&self) {
        if self.shutdown(How::Write).is_err() {
            return;
        }
        let drain = async {
            let mut left = LINGER_BYTES;
            while left > 0 {
                // Also while the server stops: a reply sent last is to arrive.
                poll_fn(|context| self.poll_readable(context)).await?;
                match self.recv(&mut lease()).await? {
                    0 => break,
                    bytes => left = left.saturating_sub(bytes),
                }
            }
            io::Result::Ok(())
        };
        // How it ends no longer matters to anybody.
        timeout(LINGER, drain).await.ok();
    }
}

/// Whether an error says that [`Patience`] is at its end. When the kernel is
/// out of its own (`ETIMEDOUT`), the connection is gone.
fn is_deadline(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::TimedOut && error.raw_os_error().is_none()
}

/// How much of what a peer still sends is read before its connection is
/// closed, and for how long: as much as is on its way when a peer in the middle
/// of a long upload has been told that it is in vain. The buffers of both ends
/// hold 6 and 4 MiB at most, as Linux has it.
const LINGER_BYTES: usize = 16 * 1024 * 1024;
const LINGER: Duration = Duration::from_secs(2);

/// What a peer did not take in all its time is thrown away with its connection
/// (a reset): the kernel would keep megabytes of it for many minutes more.
impl Drop for Stream {
    fn drop(&mut self) {
        if self.stuck.get() {
            // It can only fail for a descriptor that somebody else closed.
            self.socket.set(Linger(Some(Duration::ZERO))).ok();
        }
    }
}

impl std::fmt::Debug for Stream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stream")
            .field("socket", &self.socket)
            .finish_non_exhaustive()
    }
}

impl AsyncRead for &Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_recv(context, buffer)
    }
}

impl AsyncWrite for &Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_send(context, bytes, More::No)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_send_vectored(context, pieces)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.shutdown(How::Write))
    }
}

/// As by reference: nothing about a stream needs it for oneself.
impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut &*self).poll_read(context, buffer)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut &*self).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut &*self).poll_write_vectored(context, pieces)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut &*self).poll_flush(context)
    }

    fn poll_close(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut &*self).poll_close(context)
    }
}
