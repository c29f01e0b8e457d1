//! What happens between 150 and the reply that ends a transfer.

use std::fs::File;
use std::future::pending;
use std::io;
use std::mem;
use std::ops::Range;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::channel;

use futures_lite::future::{or, poll_once};
use hythe_net::More;
use hythe_net::option::Cork;
use hythe_net::reactor::{self, unblock};
use hythe_wire::ftp::{Command, Error};

use super::change::not_stored;
use super::control::Arrival;
use super::data::{Data, Terms};
use super::intake::{Filling, Flow, Intake};
use super::session::{Session, refusal};
use crate::serve::pump::pump;
use crate::share::Pieces;
use crate::tls::Channel;

/// Less than this is in flight before the client could say anything about it.
const SMALL: u64 = 64 * 1024;

/// How many data connections of a session may wait for the client's end while it
/// goes on: those of a client in a hurry. One that never closes any waits.
const CLOSING: usize = 8;

const NO_CONNECTION: Error = refusal(425, "Cannot open the data connection.");
pub(super) const ABORTED: Error = refusal(426, "Transfer aborted.");
const LOST: Error = refusal(426, "The data connection is lost.");
const SILENT: Error = refusal(426, "The data connection makes no progress.");
const SHORTER: Error = refusal(451, "The file has become shorter.");
const DISK: Error = refusal(451, "The disk reports an error.");
const CUT: Error = refusal(
    426,
    "The data ended without TLS's close_notify: it may not be whole.",
);
const TLS_FAILED: Error = refusal(522, "TLS failed on the data connection.");
const NOT_RESUMED: Error = refusal(
    522,
    "The data connection must resume the TLS session of this one.",
);

/// Something that is ready to be moved.
pub(super) struct Transfer {
    pub(super) verb: &'static str,
    /// What the client called it.
    pub(super) target: Box<[u8]>,
    pub(super) body: Body,
    /// The text of the 150 reply.
    pub(super) opening: Vec<u8>,
}

/// What goes over the data connection, and which way.
pub(super) enum Body {
    Out(Content),
    In(Box<Intake>),
}

/// What is sent.
pub(super) enum Content {
    Bytes(Vec<u8>),
    File { file: File, range: Range<u64> },
    Pieces(Box<dyn Pieces>),
}

impl Session<'_> {
    /// Whether the client has said how data is to travel.
    pub(super) fn has_data(&self) -> bool {
        !matches!(self.data, Data::Unknown)
    }

    /// Moves the body while it listens to the client: 150, and then exactly
    /// one reply that says how it ended.
    ///
    /// # Errors
    /// The control connection's: the session is over.
    pub(super) async fn transfer(&mut self, transfer: Transfer) -> io::Result<()> {
        let Transfer {
            verb,
            target,
            body,
            opening,
        } = transfer;
        self.control.reply(150, opening);

        let flow = Arc::new(Flow::default());
        let terms = self.terms();
        let data = mem::take(&mut self.data);
        let result = match body {
            Body::In(intake) => self.take_in(*intake, data, terms, &flow).await,
            Body::Out(content) => {
                // What is done at once needs no packet of its own to say that
                // it is about to be done. Before all else the client must hear
                // of it, and read: congestion control (BBR) takes one that
                // doesn't for a slow one, and paces it long afterwards.
                let at_once = content.is_small();
                if !at_once {
                    self.control.flush().await?;
                }
                let mut sending = pin!(send(terms, data, content, &flow));
                let sent = match at_once {
                    true => poll_once(sending.as_mut()).await,
                    false => None,
                };
                match sent {
                    Some(sent) => Ok(sent),
                    None => {
                        let sending = async { Ok(sending.await) };
                        or(sending, async { self.attend(&flow).await.map(Err) }).await
                    }
                }
            }
        };
        let (code, text) = match &result {
            Ok(Ok(())) => (226, "Transfer complete."),
            Ok(Err(error)) => (error.code, error.text),
            Err(_) => (ABORTED.code, ABORTED.text),
        };
        self.record(verb, &target, code, flow.moved());
        result?.ok();
        self.control.reply(code, text);
        self.control.stream().progressed();
        Ok(())
    }

    /// Has a file filled. Whatever ends it, nothing more is written by the time
    /// that it has ended: the next command may be about the same file.
    async fn take_in(
        &mut self,
        intake: Intake,
        data: Data,
        terms: Option<Terms>,
        flow: &Arc<Flow>,
    ) -> io::Result<Result<(), Error>> {
        let (alive, gone) = channel();
        let filling = intake.begin(Arc::clone(flow), alive);
        let taking = async { Ok((take(terms, data, filling).await, true)) };
        let cut_short = async { Ok((Err(self.attend(flow).await?), false)) };
        let result = or(taking, cut_short).await;
        if !matches!(result, Ok((_, true))) {
            flow.stop();
            // The pool may be in the middle of it.
            unblock(move || gone.recv().ok()).await;
        }
        result.map(|(result, _)| result)
    }

    /// Answers what can be answered during a transfer, and returns when the
    /// transfer is to be cut short, with the reply for that. Everything else
    /// waits for its end, and so does what came after it: replies keep the order
    /// of their commands.
    pub(super) async fn attend(&mut self, flow: &Flow) -> io::Result<Error> {
        loop {
            loop {
                match self.control.front() {
                    Some(Command::Noop) => self.control.reply(200, "OK."),
                    Some(Command::Stat(None)) => _ = self.status(Some(flow.moved())),
                    _ => break,
                }
                self.control.pop();
            }
            self.control.flush().await?;
            if self.control.has(Command::Abor) {
                // It stays there, to be answered with 226 when its turn comes.
                return Ok(ABORTED);
            }
            if self.control.is_full() {
                return pending().await;
            }
            // Progress on the data connection is enough.
            self.control.stream().set_deadline(None);
            match self.control.receive().await? {
                Arrival::Bytes => {}
                Arrival::End if !self.control.has(Command::Quit) => {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                // What is under way may finish.
                Arrival::End | Arrival::Stopping => return pending().await,
            }
        }
    }
}

/// Opens the data connection, as the session wants it protected.
async fn open(terms: Option<Terms>, data: Data) -> Result<Channel, Error> {
    let terms = terms.ok_or(NO_CONNECTION)?;
    let opening = data.open(terms.ends, terms.deadline);
    let stream = opening.await.map_err(|_| NO_CONNECTION)?;
    stream.set_patience(terms.patience);
    let mut channel = Channel::plain(stream);
    if let Some(tls) = terms.tls {
        // Tickets for the next data connection are given out here, too.
        let accepted = Box::pin(channel.accept(&tls.acceptor)).await;
        accepted.map_err(|_| TLS_FAILED)?;
        if tls.must_resume && !channel.is_resumed() {
            channel.close().await;
            return Err(NOT_RESUMED);
        }
    }
    Ok(channel)
}

/// Opens the data connection and sends the content. It has nothing of the
/// session, which meanwhile attends to the client.
async fn send(
    terms: Option<Terms>,
    data: Data,
    content: Content,
    flow: &Flow,
) -> Result<(), Error> {
    let protected = terms.as_ref().and_then(|terms| terms.tls.as_ref());
    let closing = protected.map(|tls| Rc::clone(&tls.closing));
    let channel = open(terms, data).await?;
    if content.is_small() && !channel.is_encrypted() {
        // It goes out in one packet with the end of the connection.
        channel.socket().set(Cork(true)).ok();
    }
    content
        .send(&channel, flow)
        .await
        .map_err(|error| ended(&error))?;
    if let Some(closing) = closing {
        channel.finish().await.map_err(|error| ended(&error))?;
        // What the client says at its end must not reset the connection before
        // it has read all of ours; and it may wait for the reply before that.
        if closing.get() < CLOSING {
            closing.set(closing.get() + 1);
            reactor::spawn(async move {
                channel.close().await;
                closing.set(closing.get() - 1);
            });
        } else {
            channel.close().await;
        }
    }
    Ok(())
}

/// Opens the data connection and has all that comes taken in.
async fn take(terms: Option<Terms>, data: Data, filling: Filling) -> Result<(), Error> {
    let terms = terms.map(Terms::for_receiving);
    let channel = open(terms, data).await?;
    let (filling, poured) = channel.pour(filling).await;
    let whole = poured.is_ok();
    let stored = unblock(move || filling.end(whole)).await;
    stored.map_err(not_stored)?;
    match poured {
        Ok(_) => {
            // Who waits for it is told that all has come.
            channel.finish().await.ok();
            Ok(())
        }
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Err(CUT),
        Err(error) => Err(ended(&error)),
    }
}

impl From<Content> for Body {
    fn from(content: Content) -> Self {
        Self::Out(content)
    }
}

impl Content {
    /// Whether all of it fits into a few packets, and is there already.
    fn is_small(&self) -> bool {
        match self {
            Self::Bytes(bytes) => (bytes.len() as u64) < SMALL,
            Self::File { range, .. } => range.end.saturating_sub(range.start) < SMALL,
            Self::Pieces(_) => false,
        }
    }

    async fn send(self, channel: &Channel, flow: &Flow) -> io::Result<()> {
        match self {
            Self::Bytes(bytes) => {
                channel.send_all(&bytes, More::No).await?;
                flow.add(bytes.len() as u64);
                Ok(())
            }
            Self::File { file, range } => {
                let count = |bytes| flow.add(bytes);
                channel.send_file_counted(&file, range, &count).await
            }
            Self::Pieces(pieces) => {
                pump(channel, pieces, async |piece| {
                    channel.send_all(piece, More::No).await?;
                    flow.add(piece.len() as u64);
                    Ok(())
                })
                .await
            }
        }
    }
}

/// What the client is told of a transfer that did not reach its end.
fn ended(error: &io::Error) -> Error {
    use io::ErrorKind as Kind;
    match error.kind() {
        Kind::TimedOut => SILENT,
        Kind::UnexpectedEof => SHORTER,
        Kind::InvalidData => TLS_FAILED,
        Kind::ConnectionReset
        | Kind::ConnectionAborted
        | Kind::BrokenPipe
        | Kind::NotConnected
        | Kind::HostUnreachable
        | Kind::NetworkUnreachable
        | Kind::NetworkDown => LOST,
        _ => DISK,
    }
}
