//! What happens between 150 and the reply that ends a transfer.

use std::cell::Cell;
use std::fs::File;
use std::future::pending;
use std::io;
use std::mem;
use std::ops::Range;

use futures_lite::future::or;
use hythe_net::{More, Stream};
use hythe_wire::ftp::{Command, Error};

use super::FtpConfig;
use super::control::Arrival;
use super::data::{Data, Ends};
use super::session::{Session, refusal};
use crate::serve::pump::pump;
use crate::share::Pieces;

/// How much of a file is sent before the count that STAT tells moves on.
const STRIDE: u64 = 1024 * 1024;

const NO_CONNECTION: Error = refusal(425, "Cannot open the data connection.");
const ABORTED: Error = refusal(426, "Transfer aborted.");
const LOST: Error = refusal(426, "The data connection is lost.");
const SILENT: Error = refusal(426, "The data connection makes no progress.");
const SHORTER: Error = refusal(451, "The file has become shorter.");
const DISK: Error = refusal(451, "The disk reports an error.");

/// Something that is ready to be sent.
pub(super) struct Transfer {
    pub(super) verb: &'static str,
    /// What the client called it.
    pub(super) target: Box<[u8]>,
    pub(super) body: Body,
    /// The text of the 150 reply.
    pub(super) opening: Vec<u8>,
}

/// What goes over the data connection.
pub(super) enum Body {
    Bytes(Vec<u8>),
    File { file: File, range: Range<u64> },
    Pieces(Box<dyn Pieces>),
}

impl Session<'_> {
    /// Whether the client has said how data is to travel.
    pub(super) fn has_data(&self) -> bool {
        !matches!(self.data, Data::Unknown)
    }

    /// Sends the body while it listens to the client: 150, and then exactly
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
        self.control.flush().await?;

        let sent = Cell::new(0);
        let data = mem::take(&mut self.data);
        let sending = send(&self.ftp.config, self.ends, data, body, &sent);
        let result = or(async { Ok(sending.await) }, self.attend(&sent)).await;
        let (code, text) = match &result {
            Ok(Ok(())) => (226, "Transfer complete."),
            Ok(Err(error)) => (error.code, error.text),
            Err(_) => (ABORTED.code, ABORTED.text),
        };
        self.record(verb, &target, code, sent.get());
        result?.ok();
        self.control.reply(code, text);
        self.control.stream().progressed();
        Ok(())
    }

    /// Answers what can be answered during a transfer, and returns when the
    /// transfer is to be cut short. Everything else waits for its end, and so
    /// does what came after it: replies keep the order of their commands.
    async fn attend(&mut self, sent: &Cell<u64>) -> io::Result<Result<(), Error>> {
        loop {
            loop {
                match self.control.front() {
                    Some(Command::Noop) => self.control.reply(200, "OK."),
                    Some(Command::Stat(None)) => _ = self.status(Some(sent.get())),
                    _ => break,
                }
                self.control.pop();
            }
            self.control.flush().await?;
            if self.control.has(Command::Abor) {
                // It stays there, to be answered with 226 when its turn comes.
                return Ok(Err(ABORTED));
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

/// Opens the data connection and sends the body. It has nothing of the
/// session, which meanwhile attends to the client.
async fn send(
    config: &FtpConfig,
    ends: Option<Ends>,
    data: Data,
    body: Body,
    sent: &Cell<u64>,
) -> Result<(), Error> {
    let ends = ends.ok_or(NO_CONNECTION)?;
    let opening = data.open(ends, config.data_deadline);
    let stream = opening.await.map_err(|_| NO_CONNECTION)?;
    stream.set_patience(config.patience);
    body.send(&stream, sent)
        .await
        .map_err(|error| ended(&error))
}

impl Body {
    async fn send(self, stream: &Stream, sent: &Cell<u64>) -> io::Result<()> {
        match self {
            Self::Bytes(bytes) => {
                stream.send_all(&bytes, More::No).await?;
                sent.set(bytes.len() as u64);
                Ok(())
            }
            Self::File { file, range } => send_file(stream, &file, range, sent).await,
            Self::Pieces(pieces) => {
                pump(stream, pieces, async |piece| {
                    stream.send_all(piece, More::No).await?;
                    sent.set(sent.get() + piece.len() as u64);
                    Ok(())
                })
                .await
            }
        }
    }
}

async fn send_file(
    stream: &Stream,
    file: &File,
    mut range: Range<u64>,
    sent: &Cell<u64>,
) -> io::Result<()> {
    while !range.is_empty() {
        let end = range.end.min(range.start + STRIDE);
        stream.send_file(file, range.start..end).await?;
        sent.set(sent.get() + end - range.start);
        range.start = end;
    }
    Ok(())
}

/// What the client is told of a transfer that did not reach its end.
fn ended(error: &io::Error) -> Error {
    use io::ErrorKind as Kind;
    match error.kind() {
        Kind::TimedOut => SILENT,
        Kind::UnexpectedEof => SHORTER,
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
