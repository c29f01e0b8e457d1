//! [`Channel`]: a stream that may be encrypted.
//!
//! It has the methods of a [`Stream`] that sessions use. Deadlines and progress
//! are the stream's: what moves are bytes on the wire, encrypted or not.

use std::cell::RefCell;
use std::fmt;
use std::fs::File;
use std::future::poll_fn;
use std::io::{self, BufRead as _, IoSlice, Read, Write};
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::{Duration, Instant};

use hythe_net::reactor::{lease, timeout, unblock};
use hythe_net::{How, Input, More, Patience, Poured, Sink, Socket, Stream};
use rustls::{ClientConnection, HandshakeKind, ServerConnection};

use super::connector::server_name;
use super::{Acceptor, Connector};

/// How long a handshake may take, whoever is slow: longer than two lost packets
/// need, and shorter than people wait.
pub const HANDSHAKE: Duration = Duration::from_secs(20);

/// How long a peer may take to take the last bytes and the end of TLS.
const FAREWELL: Duration = Duration::from_secs(5);

/// How much plaintext rustls keeps for us before it takes no more ciphertext
/// (its own limit, which it does not tell): one record, RFC 8446 section 5.1.
const PLAINTEXT: usize = 16 * 1024;

/// How much of a file is read, or given to a sink, at a time. Handing it over to
/// the thread pool costs as much as encrypting a tenth of it.
const PIECE: usize = 256 * 1024;

/// What the first byte of a TLS connection is (RFC 8446 section 5.1, handshake).
const HANDSHAKE_RECORD: u8 = 22;

/// A stream, and the TLS that it is encrypted by, if it is.
pub struct Channel {
    stream: Stream,
    /// Boxed: most idle connections have none, and it is large.
    layer: Option<Box<RefCell<Layer>>>,
}

/// rustls, and what waits between it and the stream.
struct Layer {
    tls: rustls::Connection,
    /// Ciphertext that came while rustls had no room for more.
    backlog: Vec<u8>,
    /// How much of what a session wanted sent was taken so far.
    sent: u64,
}

impl Channel {
    /// A channel that is not encrypted, or not yet.
    pub fn plain(stream: Stream) -> Self {
        Self {
            stream,
            layer: None,
        }
    }

    /// Has the peer, a client, begin TLS.
    ///
    /// # Errors
    /// `InvalidData` if the two can't agree, or if what comes is no TLS at all
    /// (see [`is_plain`](Self::is_plain)); `TimedOut` after [`HANDSHAKE`].
    pub async fn accept(&mut self, acceptor: &Acceptor) -> io::Result<()> {
        let tls = ServerConnection::new(Arc::clone(&acceptor.config)).map_err(broken)?;
        self.shake_hands(tls.into()).await
    }

    /// Begins TLS with the peer, a server of this name or address.
    ///
    /// # Errors
    /// `InvalidData` if the two can't agree, or if the certificate is not to be
    /// trusted; `TimedOut` after [`HANDSHAKE`].
    pub async fn connect(&mut self, connector: &Connector, host: &str) -> io::Result<()> {
        let config = Arc::clone(&connector.config);
        let tls = ClientConnection::new(config, server_name(host)?).map_err(broken)?;
        self.shake_hands(tls.into()).await
    }

    async fn shake_hands(&mut self, tls: rustls::Connection) -> io::Result<()> {
        let layer = self.layer.insert(Box::new(RefCell::new(Layer {
            tls,
            backlog: Vec::new(),
            sent: 0,
        })));
        timeout(HANDSHAKE, shake_hands(&self.stream, layer)).await??;
        self.stream.progressed();
        Ok(())
    }

    /// Whether [`accept`](Self::accept) failed because the peer speaks in the
    /// clear.
    pub fn is_plain(error: &io::Error) -> bool {
        error.get_ref().is_some_and(|reason| reason.is::<NoTls>())
    }

    /// Goes on without the TLS that the peer did not begin, to tell it so.
    pub fn give_up_tls(&mut self) -> &Self {
        self.layer = None;
        self
    }

    /// Whether it is encrypted.
    pub fn is_encrypted(&self) -> bool {
        self.layer.is_some()
    }

    /// Whether the peer goes on with a session that it began on another
    /// connection, and so is the same client.
    pub fn is_resumed(&self) -> bool {
        self.layer.as_ref().is_some_and(|layer| {
            layer.borrow().tls.handshake_kind() == Some(HandshakeKind::Resumed)
        })
    }

    /// Bytes that only the two ends of this very TLS connection know, for a
    /// purpose (RFC 8446 section 7.5): whoever is in between has others with
    /// each of them.
    ///
    /// # Errors
    /// `NotConnected` where there is no TLS.
    pub fn exporter(&self, purpose: &[u8]) -> io::Result<[u8; 32]> {
        let layer = self.layer.as_ref().ok_or(io::ErrorKind::NotConnected)?;
        let layer = layer.borrow();
        layer
            .tls
            .export_keying_material([0; 32], purpose, None)
            .map_err(broken)
    }

    // --- What a stream has, too ---

    /// Whether there are bytes to read at this very moment, encrypted or not.
    pub fn has_input(&self) -> bool {
        self.stream.has_input()
    }

    /// Whether the peer has said nothing that was not received, not even that it has
    /// ended. What of TLS is no business of a session's is dealt with.
    pub fn is_silent(&self) -> bool {
        let Some(layer) = &self.layer else {
            let peeked = self.stream.socket().peek(&mut [0]);
            return peeked.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock);
        };
        let mut layer = layer.borrow_mut();
        let mut context = Context::from_waker(Waker::noop());
        loop {
            if layer.has_ended() || layer.has_plaintext() {
                return false;
            }
            match layer.poll_fill(&self.stream, &mut context) {
                Poll::Pending => return true,
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(_)) => return false,
            }
        }
    }

    /// The socket underneath, for its options and names.
    pub fn socket(&self) -> &Socket {
        self.stream.socket()
    }

    /// See [`Stream::patience`].
    pub fn patience(&self) -> Patience {
        self.stream.patience()
    }

    /// See [`Stream::set_patience`].
    pub fn set_patience(&self, patience: Patience) {
        self.stream.set_patience(patience);
    }

    /// See [`Stream::progressed`].
    pub fn progressed(&self) {
        self.stream.progressed();
    }

    /// See [`Stream::set_deadline`].
    pub fn set_deadline(&self, deadline: Option<Instant>) {
        self.stream.set_deadline(deadline);
    }

    /// See [`Stream::now`].
    pub fn now(&self) -> Instant {
        self.stream.now()
    }

    /// See [`Stream::keep_urgent_inline`].
    ///
    /// # Errors
    /// The kernel's own.
    pub fn keep_urgent_inline(&self) -> io::Result<()> {
        self.stream.keep_urgent_inline()
    }

    /// How many bytes have been sent since the beginning, before encryption.
    pub fn sent(&self) -> u64 {
        match &self.layer {
            Some(layer) => layer.borrow().sent,
            None => self.stream.sent(),
        }
    }

    /// See [`Stream::input`]. What is still to be sent goes first: the peer may
    /// be waiting for it.
    ///
    /// # Errors
    /// `TimedOut` after the deadline.
    pub async fn input(&self) -> io::Result<Input> {
        let Some(layer) = &self.layer else {
            return self.stream.input().await;
        };
        loop {
            poll_fn(|context| layer.borrow_mut().poll_flush(&self.stream, context)).await?;
            if layer.borrow_mut().has_plaintext() {
                return Ok(Input::Ready);
            }
            if self.stream.input().await? == Input::Stopping {
                return Ok(Input::Stopping);
            }
            // It may be half a record, or none of the session's business.
            poll_fn(|context| {
                let filled = layer.borrow_mut().poll_fill(&self.stream, context);
                Poll::Ready(match filled {
                    Poll::Ready(filled) => filled,
                    Poll::Pending => Ok(()),
                })
            })
            .await?;
        }
    }

    /// Waits until the peer has ended its direction, or is lost. What it says
    /// meanwhile is not read; behind that its end can't be seen, and then this
    /// waits for ever.
    ///
    /// # Errors
    /// How it was lost, if it was: `ConnectionReset`, `TimedOut`… An end that was
    /// said may mean that the peer is gone, or that it only listens from now on.
    pub async fn ended(&self) -> io::Result<()> {
        let peek = |context: &mut Context<'_>| self.stream.poll_peek(context, &mut [0]);
        let waits = match &self.layer {
            None => poll_fn(peek).await? > 0,
            Some(layer) => loop {
                let filled = poll_fn(|context| {
                    let mut layer = layer.borrow_mut();
                    if layer.has_ended() {
                        return Poll::Ready(Ok(Some(false)));
                    }
                    if layer.has_plaintext() {
                        return Poll::Ready(Ok(Some(true)));
                    }
                    layer.poll_fill(&self.stream, context).map_ok(|()| None)
                });
                if let Some(waits) = filled.await? {
                    break waits;
                }
            },
        };
        if waits {
            std::future::pending::<()>().await;
        }
        Ok(())
    }

    /// Receives what is there, once there is something; 0 is the end.
    ///
    /// # Errors
    /// `TimedOut`, `ConnectionReset`…; where it is encrypted, `UnexpectedEof`
    /// for an end that the peer has not announced: somebody on the way may have
    /// cut the connection.
    pub fn poll_recv(
        &self,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        match &self.layer {
            Some(layer) => layer.borrow_mut().poll_recv(&self.stream, context, buffer),
            None => self.stream.poll_recv(context, buffer),
        }
    }

    /// Sends some of `bytes`: how many. They may wait here; whoever says nothing
    /// more must [flush](Self::flush), or wait for [`input`](Self::input).
    ///
    /// # Errors
    /// `TimedOut`, `BrokenPipe`, `ConnectionReset`…
    pub fn poll_send(
        &self,
        context: &mut Context<'_>,
        bytes: &[u8],
        more: More,
    ) -> Poll<io::Result<usize>> {
        match &self.layer {
            Some(layer) => layer.borrow_mut().poll_send(&self.stream, context, bytes),
            None => self.stream.poll_send(context, bytes, more),
        }
    }

    /// Receives into `buffer`: how many bytes came; 0 is the end.
    ///
    /// # Errors
    /// As [`poll_recv`](Self::poll_recv).
    pub async fn recv(&self, buffer: &mut [u8]) -> io::Result<usize> {
        poll_fn(|context| self.poll_recv(context, buffer)).await
    }

    /// Sends all of `bytes`.
    ///
    /// # Errors
    /// As [`poll_send`](Self::poll_send); part may have gone out.
    pub async fn send_all(&self, mut bytes: &[u8], more: More) -> io::Result<()> {
        while !bytes.is_empty() {
            let sent = poll_fn(|context| self.poll_send(context, bytes, more)).await?;
            bytes = &bytes[sent..];
        }
        match more {
            More::Follows => Ok(()),
            More::No => self.flush().await,
        }
    }

    /// Waits until the kernel has all that was sent.
    ///
    /// # Errors
    /// As [`poll_send`](Self::poll_send).
    pub async fn flush(&self) -> io::Result<()> {
        match &self.layer {
            Some(layer) => {
                poll_fn(|context| layer.borrow_mut().poll_flush(&self.stream, context)).await
            }
            None => Ok(()),
        }
    }

    /// Sends a range of a file: as [`Stream::send_file`], or read by the thread
    /// pool and then encrypted.
    ///
    /// # Errors
    /// `UnexpectedEof` if the file has become shorter than the range; the
    /// stream's own, otherwise. Part may have gone out.
    pub async fn send_file(&self, file: &File, range: Range<u64>) -> io::Result<()> {
        self.send_file_counted(file, range, &|_| ()).await
    }

    /// As [`send_file`](Self::send_file), and tells meanwhile how many bytes
    /// more have gone out.
    ///
    /// # Errors
    /// As [`send_file`](Self::send_file).
    pub async fn send_file_counted(
        &self,
        file: &File,
        range: Range<u64>,
        count: &dyn Fn(u64),
    ) -> io::Result<()> {
        if self.layer.is_none() {
            return self.stream.send_file_counted(file, range, count).await;
        }
        Box::pin(self.copy_file(file, range, count)).await
    }

    async fn copy_file(
        &self,
        file: &File,
        mut range: Range<u64>,
        count: &dyn Fn(u64),
    ) -> io::Result<()> {
        let mut piece = Vec::new();
        while !range.is_empty() {
            let length = usize::try_from(range.end - range.start).map_or(PIECE, |n| n.min(PIECE));
            let (file, offset) = (file.try_clone()?, range.start);
            piece = unblock(move || {
                piece.resize(length, 0);
                file.read_exact_at(&mut piece, offset).map(|()| piece)
            })
            .await?;
            self.stream.progressed();
            range.start += length as u64;
            let more = if range.is_empty() {
                More::No
            } else {
                More::Follows
            };
            self.send_all(&piece, more).await?;
            count(length as u64);
        }
        Ok(())
    }

    /// Receives into `sink`: see [`Stream::pour`].
    ///
    /// # Errors
    /// As [`recv`](Self::recv); what had come before it, the sink has.
    pub async fn pour<S: Sink>(&self, sink: S) -> (S, io::Result<Poured>) {
        match &self.layer {
            Some(_) => Box::pin(self.pour_decrypted(sink)).await,
            None => self.stream.pour(sink).await,
        }
    }

    async fn pour_decrypted<S: Sink>(&self, mut sink: S) -> (S, io::Result<Poured>) {
        let mut room;
        (sink, room) = unblock(move || {
            let room = sink.room();
            (sink, room)
        })
        .await;
        loop {
            if room == 0 {
                return (sink, Ok(Poured::Full));
            }
            let limit = usize::try_from(room).map_or(PIECE, |room| room.min(PIECE));
            let mut buffer = Vec::new();
            let received = poll_fn(|context| self.poll_fill_up(context, &mut buffer, limit)).await;
            match received {
                Err(error) => return (sink, Err(error)),
                Ok(()) if buffer.is_empty() => return (sink, Ok(Poured::End)),
                Ok(()) => {}
            }
            (sink, room) = unblock(move || {
                sink.take(&buffer);
                let room = sink.room();
                (sink, room)
            })
            .await;
        }
    }

    /// Waits for something, and takes all there is, up to `limit`; nothing is
    /// the end. While it waits, it holds no memory.
    fn poll_fill_up(
        &self,
        context: &mut Context<'_>,
        buffer: &mut Vec<u8>,
        limit: usize,
    ) -> Poll<io::Result<()>> {
        let mut piece = lease();
        while buffer.len() < limit {
            let most = piece.len().min(limit - buffer.len());
            match self.poll_recv(context, &mut piece[..most]) {
                Poll::Ready(Ok(count)) if count > 0 => {
                    if buffer.is_empty() {
                        buffer.reserve_exact(limit);
                    }
                    buffer.extend_from_slice(&piece[..count]);
                }
                // How it ends is said again to who asks next.
                Poll::Ready(_) if !buffer.is_empty() => break,
                Poll::Ready(end) => return Poll::Ready(end.map(drop)),
                Poll::Pending if buffer.is_empty() => return Poll::Pending,
                Poll::Pending => break,
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Says that no more will come, in the way that TLS wants it said, and
    /// leaves the rest to [`close`](Self::close) or to the peer.
    ///
    /// # Errors
    /// As [`poll_send`](Self::poll_send), and `TimedOut`.
    pub async fn finish(&self) -> io::Result<()> {
        let Some(layer) = &self.layer else {
            return Ok(());
        };
        layer.borrow_mut().tls.send_close_notify();
        timeout(FAREWELL, self.flush()).await?
    }

    /// Tells the peer that there is no more, and goes on listening. TLS has an end of
    /// its own; the one below is left to it, since some take that for a cut.
    ///
    /// # Errors
    /// As [`finish`](Self::finish).
    pub async fn end(&self) -> io::Result<()> {
        if self.is_encrypted() {
            return self.finish().await;
        }
        match self.socket().shutdown(How::Write) {
            // The peer is gone altogether; what it said last is still there.
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(()),
            result => result,
        }
    }

    /// Closes such that the peer gets what was sent last: see [`Stream::close`].
    pub async fn close(&self) {
        // Who does not take it is closed all the same.
        self.finish().await.ok();
        self.stream.close().await;
    }
}

impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Channel")
            .field("stream", &self.stream)
            .field("encrypted", &self.is_encrypted())
            .finish()
    }
}

/// What came is no TLS.
#[derive(Debug)]
struct NoTls;

impl fmt::Display for NoTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("what came is no TLS")
    }
}

impl std::error::Error for NoTls {}

async fn shake_hands(stream: &Stream, layer: &RefCell<Layer>) -> io::Result<()> {
    let mut first = matches!(layer.borrow().tls, rustls::Connection::Server(_));
    loop {
        let flushed = poll_fn(|context| layer.borrow_mut().poll_flush(stream, context)).await;
        if !layer.borrow().tls.is_handshaking() {
            // A client that only sends may be gone before it has our tickets;
            // what it has sent is there.
            return Ok(());
        }
        flushed?;
        if std::mem::take(&mut first) {
            poll_fn(|context| poll_greeting(stream, context)).await?;
        }
        poll_fn(|context| layer.borrow_mut().poll_fill(stream, context)).await?;
        let mut layer = layer.borrow_mut();
        // One that has nothing to say says goodbye right behind the handshake.
        if layer.tls.is_handshaking() && layer.has_ended() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

/// Looks at the first byte, which is left where it is.
fn poll_greeting(stream: &Stream, context: &mut Context<'_>) -> Poll<io::Result<()>> {
    let mut first = [HANDSHAKE_RECORD];
    ready!(stream.poll_peek(context, &mut first))?;
    Poll::Ready(if first == [HANDSHAKE_RECORD] {
        Ok(())
    } else {
        Err(io::Error::new(io::ErrorKind::InvalidData, NoTls))
    })
}

impl Layer {
    fn poll_recv(
        &mut self,
        stream: &Stream,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        // What the peer may be waiting for goes first, as far as it goes: where
        // it is gone, what it has sent before that is there.
        let _ = self.poll_flush(stream, context);
        loop {
            match self.tls.reader().read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return Poll::Ready(result),
            }
            ready!(self.poll_fill(stream, context))?;
        }
    }

    /// Whether a session that reads now need not wait.
    fn has_plaintext(&mut self) -> bool {
        let waits = |error: &io::Error| error.kind() == io::ErrorKind::WouldBlock;
        !matches!(self.tls.reader().fill_buf(), Err(error) if waits(&error))
            || !self.backlog.is_empty()
    }

    fn has_ended(&mut self) -> bool {
        let mut reader = self.tls.reader();
        match reader.fill_buf() {
            Ok(bytes) => bytes.is_empty(),
            Err(error) => error.kind() != io::ErrorKind::WouldBlock,
        }
    }

    /// Has rustls take what has come, once something has.
    fn poll_fill(&mut self, stream: &Stream, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.backlog.is_empty() {
            let backlog = std::mem::take(&mut self.backlog);
            return Poll::Ready(self.feed(&backlog, stream, context));
        }
        let mut buffer = lease();
        let count = ready!(stream.poll_recv(context, &mut buffer))?;
        Poll::Ready(self.feed(&buffer[..count], stream, context))
    }

    /// Nothing is the end of the stream.
    fn feed(
        &mut self,
        mut bytes: &[u8],
        stream: &Stream,
        context: &mut Context<'_>,
    ) -> io::Result<()> {
        loop {
            let read = self.tls.read_tls(&mut bytes)?;
            let state = self.tls.process_new_packets().map_err(|error| {
                // It has written down for the peer what was wrong.
                _ = self.poll_flush(stream, context);
                broken(error)
            })?;
            // What comes behind the end of TLS is nobody's.
            if read == 0 || bytes.is_empty() {
                return Ok(());
            }
            if state.plaintext_bytes_to_read() >= PLAINTEXT {
                self.backlog = bytes.to_vec();
                return Ok(());
            }
        }
    }

    fn poll_send(
        &mut self,
        stream: &Stream,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        // The pace of the reader is the pace of the work.
        ready!(self.poll_flush(stream, context))?;
        let taken = self.tls.writer().write(bytes)?;
        self.sent += taken as u64;
        match self.poll_flush(stream, context) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            _ => Poll::Ready(Ok(taken)),
        }
    }

    fn poll_flush(&mut self, stream: &Stream, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.tls.wants_write() {
            match self.tls.write_tls(&mut Outlet { stream, context }) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Poll::Pending,
                result => result?,
            };
        }
        Poll::Ready(Ok(()))
    }
}

/// A stream as a blocking writer sees it.
struct Outlet<'a, 'b> {
    stream: &'a Stream,
    context: &'a mut Context<'b>,
}

impl Write for Outlet<'_, '_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        or_would_block(self.stream.poll_send(self.context, bytes, More::No))
    }

    fn write_vectored(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        or_would_block(self.stream.poll_send_vectored(self.context, pieces))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn or_would_block<T>(poll: Poll<io::Result<T>>) -> io::Result<T> {
    match poll {
        Poll::Ready(result) => result,
        Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
    }
}

fn broken(error: rustls::Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}
