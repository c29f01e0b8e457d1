//! The control connection: command lines in, replies out.
//!
//! Lines wait here until their turn comes, and replies until the peer takes
//! them, so that a future that reads or sends may be dropped at any time, as
//! happens when a transfer ends, without losing or repeating a byte.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;

use hythe_net::reactor::lease;
use hythe_net::{Addr, Connection, Input, More};
use hythe_wire::ftp::{self, Command, Error, Lines};

use crate::tls::{Acceptor, Channel};

/// How much is read at a time: commands are short, and what a client sends
/// ahead can wait in the kernel.
const READ: usize = 1024;

/// How many bytes of commands may wait for the end of a transfer before no
/// more are read: one line of the greatest length, or what a client in a hurry
/// has to say.
const WAITING_LIMIT: usize = 16 * 1024;

/// How much may come without the end of a line. A line that is too long is
/// refused and the next one read; but who sends this much has no command to
/// give, and would else be read for ever.
const ENDLESS: usize = 2 * 1024 * 1024;

/// A command line, or why it is none.
pub(super) type Line = Result<Box<[u8]>, Error>;

/// What came of waiting for the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arrival {
    /// Bytes, and with them perhaps lines.
    Bytes,
    /// The peer says no more.
    End,
    /// The server is stopping.
    Stopping,
}

pub(super) struct Control {
    /// Whole, since it holds its place in the server's count.
    connection: Connection<Channel>,
    lines: Lines,
    /// How many bytes have come since the last whole line.
    unended: usize,
    waiting: VecDeque<Line>,
    out: Vec<u8>,
    quitting: bool,
}

impl Control {
    pub(super) fn new(connection: Connection) -> Self {
        // ABOR comes with Telnet signals as urgent data: in its place among
        // the rest it is just another line. A socket that can't have any needs
        // no such thing.
        connection.stream.keep_urgent_inline().ok();
        Self {
            connection: connection.map(Channel::plain),
            lines: Lines::new(),
            unended: 0,
            waiting: VecDeque::new(),
            out: Vec::new(),
            quitting: false,
        }
    }

    pub(super) fn stream(&self) -> &Channel {
        &self.connection.stream
    }

    /// Begins TLS. What came before it is forgotten: somebody on the way may
    /// have put it there, to be obeyed as if the client had said it under TLS.
    pub(super) async fn secure(&mut self, acceptor: &Acceptor) -> io::Result<()> {
        self.flush().await?;
        self.waiting = VecDeque::new();
        self.lines.clear();
        self.unended = 0;
        self.connection.stream.accept(acceptor).await
    }

    pub(super) fn peer(&self) -> &Addr {
        &self.connection.peer
    }

    // --- Lines ---

    /// The next line that waits.
    pub(super) fn pop(&mut self) -> Option<Line> {
        let line = self.waiting.pop_front();
        if self.waiting.is_empty() {
            // An idle session is as small as it can be.
            self.waiting = VecDeque::new();
        }
        line
    }

    /// The command that is next, if it is one.
    pub(super) fn front(&self) -> Option<Command<'_>> {
        parse(self.waiting.front()?).ok()
    }

    /// Whether this command is among those that wait.
    pub(super) fn has(&self, command: Command<'_>) -> bool {
        self.waiting.iter().any(|line| parse(line) == Ok(command))
    }

    /// Whether enough lines wait already.
    pub(super) fn is_full(&self) -> bool {
        let cost = |line: &Line| size_of::<Line>() + line.as_ref().map_or(0, |line| line.len());
        self.waiting.iter().map(cost).sum::<usize>() >= WAITING_LIMIT
    }

    /// Waits for the peer, holding no buffer, and takes what it says.
    pub(super) async fn receive(&mut self) -> io::Result<Arrival> {
        if self.stream().input().await? == Input::Stopping {
            return Ok(Arrival::Stopping);
        }
        let mut buffer = lease();
        match self.stream().recv(&mut buffer[..READ]).await? {
            0 => Ok(Arrival::End),
            count => {
                self.unended += count;
                self.cut_lines(&buffer[..count]);
                if self.unended > ENDLESS {
                    let text = "A line without an end.";
                    self.waiting.push_back(Err(Error { code: 421, text }));
                }
                Ok(Arrival::Bytes)
            }
        }
    }

    fn cut_lines(&mut self, mut input: &[u8]) {
        while !input.is_empty() {
            let line = match self.lines.next(&mut input) {
                Ok(Some(line)) => {
                    self.unended = 0;
                    Ok(line.into())
                }
                Ok(None) => return,
                Err(error) => Err(error),
            };
            if input.is_empty() && line.is_ok() {
                // Nothing has begun, so the memory of a long line can go.
                self.lines.clear();
            }
            self.waiting.push_back(line);
        }
    }

    // --- Replies ---

    /// Writes a reply of one line, to be sent by [`flush`](Self::flush).
    pub(super) fn reply(&mut self, code: u16, text: impl AsRef<[u8]>) {
        ftp::reply(&mut self.out, code, text);
    }

    /// Writes a reply of several lines.
    pub(super) fn multiline<L: AsRef<[u8]>>(
        &mut self,
        code: u16,
        first: impl AsRef<[u8]>,
        lines: impl IntoIterator<Item = L>,
        last: impl AsRef<[u8]>,
    ) {
        ftp::multiline(&mut self.out, code, first, lines, last);
    }

    /// Sends what was written.
    pub(super) async fn flush(&mut self) -> io::Result<()> {
        self.send(More::No).await?;
        self.stream().flush().await
    }

    async fn send(&mut self, more: More) -> io::Result<()> {
        while !self.out.is_empty() {
            let sent = poll_fn(|context| self.stream().poll_send(context, &self.out, more)).await?;
            self.out.drain(..sent);
        }
        self.out = Vec::new();
        Ok(())
    }

    /// The reply to QUIT: the client has promised to say no more.
    pub(super) fn goodbye(&mut self) {
        self.reply(221, "Goodbye.");
        self.quitting = true;
    }

    /// Sends what was written, and closes such that it arrives.
    pub(super) async fn close(mut self) -> io::Result<()> {
        // The last reply and the end of the connection fit into one packet.
        self.send(More::Follows).await?;
        let stream = self.stream();
        // Nothing can get in the way of a reply then.
        if !self.quitting || stream.is_encrypted() || stream.has_input() {
            stream.close().await;
        }
        Ok(())
    }
}

/// The command that a line holds.
pub(super) fn parse(line: &Line) -> Result<Command<'_>, Error> {
    match line {
        Ok(line) => Command::parse(line),
        Err(error) => Err(*error),
    }
}
