//! The control connection: commands go out, replies come in, and what a reply
//! means for whoever asked.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use hythe_net::reactor::{lease, timeout};
use hythe_net::{Addr, More};
use hythe_wire::ftp::{Command, Reply};

use crate::client::dial::tls_failed;
use crate::client::{Error, Reason, Result};
use crate::tls::{Channel, Connector};
use crate::visible::visible;

/// A connection on which each command has its reply.
pub(super) struct Control {
    channel: Channel,
    /// What has come and is no whole reply yet.
    input: Vec<u8>,
    /// How long a reply may take, all of it.
    stall: Duration,
    /// Whether every command has had its last reply: else the next reply would
    /// be taken for that of another command.
    in_step: bool,
}

impl Control {
    pub(super) fn new(channel: Channel, stall: Duration) -> Self {
        Self {
            channel,
            input: Vec::new(),
            stall,
            in_step: false,
        }
    }

    /// Sends a command, and waits for the reply that ends it.
    pub(super) async fn command(&mut self, command: Command<'_>) -> Result<Answer> {
        self.send(command).await?;
        self.last_reply().await
    }

    /// As [`command`](Self::command); a reply other than success is an error.
    pub(super) async fn succeed(
        &mut self,
        command: Command<'_>,
        purpose: Purpose,
    ) -> Result<Answer> {
        self.command(command).await?.or_refusal(purpose)
    }

    /// Sends a command that moves data: gives its first reply, which may be
    /// followed by another.
    pub(super) async fn start(&mut self, command: Command<'_>) -> Result<Answer> {
        self.send(command).await?;
        self.reply().await
    }

    async fn send(&mut self, command: Command<'_>) -> Result<()> {
        let mut line = Vec::new();
        let unfit = |_| Error::protocol("that name can't be said in FTP");
        command.encode(&mut line).map_err(unfit)?;
        self.in_step = false;
        self.channel.progressed();
        let sent = self.channel.send_all(&line, More::No).await;
        sent.map_err(|error| Error::lost(&error))
    }

    /// The next reply that ends something: those that only say that something
    /// has begun are read over.
    pub(super) async fn last_reply(&mut self) -> Result<Answer> {
        for _ in 0..PRELIMINARY {
            let answer = self.reply().await?;
            if !answer.is_preliminary() {
                return Ok(answer);
            }
        }
        Err(Error::protocol("the server begins, and never ends"))
    }

    /// The next reply. Whoever gives up waiting loses nothing of it.
    ///
    /// # Errors
    /// [`Reason::Busy`] if it is that the server hangs up.
    pub(super) async fn reply(&mut self) -> Result<Answer> {
        self.channel.progressed();
        let answer = match timeout(self.stall, self.read()).await {
            Ok(answer) => answer?,
            Err(error) => return Err(Error::lost(&error)),
        };
        // Whatever it is the reply to: the server hangs up (RFC 959 section 5.4).
        if answer.code == 421 {
            return Err(answer.refusal(Purpose::Look));
        }
        self.in_step = !answer.is_preliminary();
        Ok(answer)
    }

    async fn read(&mut self) -> Result<Answer> {
        loop {
            let bad = |error: hythe_wire::ftp::Error| Error::protocol(error.text);
            if let Some((reply, length)) = Reply::parse(&self.input).map_err(bad)? {
                let answer = Answer::new(&reply);
                self.input.drain(..length);
                return Ok(answer);
            }
            let mut buffer = lease();
            let received = self.channel.recv(&mut buffer).await;
            match received.map_err(|error| Error::lost(&error))? {
                0 => return Err(Error::lost(&io::ErrorKind::UnexpectedEof.into())),
                count => self.input.extend_from_slice(&buffer[..count]),
            }
        }
    }

    /// Begins TLS, after the server has said that it will.
    pub(super) async fn secure(&mut self, connector: &Connector, host: &str) -> Result<()> {
        // Whoever added to the server's words in the clear wants them believed
        // as if they had come under TLS (CVE-2011-0411 and its kin).
        if !self.input.is_empty() {
            return Err(Error::protocol(
                "somebody has added to what the server said before TLS",
            ));
        }
        let secured = self.channel.connect(connector, host).await;
        secured.map_err(|error| tls_failed(&error))
    }

    /// Whether another command can be sent.
    pub(super) fn is_in_step(&self) -> bool {
        self.in_step
    }

    /// As [`is_in_step`](Self::is_in_step), for a connection that has been idle:
    /// whatever a server says unasked is that it hangs up.
    pub(super) async fn is_usable(&self) -> bool {
        if !self.in_step || !self.input.is_empty() {
            return false;
        }
        let waits = |error: &io::Error| error.kind() == io::ErrorKind::WouldBlock;
        match self.channel.socket().peek(&mut [0]) {
            Err(error) if waits(&error) => true,
            // It may be a ticket, or another word of TLS that is not for us.
            Ok(1..) if self.channel.is_encrypted() => {
                self.channel.progressed();
                timeout(GLANCE, self.channel.recv(&mut [0])).await.is_err()
            }
            _ => false,
        }
    }

    /// Where the server is: with this address, and no other, data is exchanged.
    pub(super) fn peer(&self) -> Result<End> {
        End::of(self.channel.socket().peer_name())
    }

    /// Where we are, as the server sees it unless somebody translates.
    pub(super) fn local(&self) -> Result<End> {
        End::of(self.channel.socket().sock_name())
    }

    /// Takes leave.
    pub(super) async fn quit(mut self) {
        if self.in_step {
            timeout(FAREWELL, self.command(Command::Quit)).await.ok();
        }
        // Who is gone already can't be told.
        timeout(FAREWELL, self.channel.finish()).await.ok();
    }
}

/// An end of the control connection, for other ports of the same host; the zone
/// of an address belongs to it.
#[derive(Clone, Copy)]
pub(super) struct End(SocketAddr);

impl End {
    fn of(name: io::Result<Addr>) -> Result<Self> {
        match name.map_err(|error| Error::lost(&error))? {
            Addr::Inet(address) => Ok(Self(address)),
            _ => Err(Error::unsupported("FTP is for the Internet")),
        }
    }

    /// The same host and another port.
    pub(super) fn port(self, port: u16) -> Addr {
        let mut address = self.0;
        address.set_port(port);
        Addr::Inet(address)
    }

    pub(super) fn ip(self) -> IpAddr {
        self.0.ip().to_canonical()
    }
}

/// What a command is for: the same code means one thing where something is
/// looked for, and another where something is to be changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    Look,
    Change,
}

/// A reply.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) code: u16,
    pub(super) lines: Vec<Vec<u8>>,
}

impl Answer {
    fn new(reply: &Reply<'_>) -> Self {
        Self {
            code: reply.code,
            lines: reply.lines().map(<[u8]>::to_vec).collect(),
        }
    }

    /// Whether another reply to the same command follows.
    pub(super) fn is_preliminary(&self) -> bool {
        self.code < 200
    }

    pub(super) fn is_success(&self) -> bool {
        (200..300).contains(&self.code)
    }

    /// Whether the server does not know the command.
    pub(super) fn is_unknown(&self) -> bool {
        matches!(self.code, 500 | 502 | 504)
    }

    /// The first line.
    pub(super) fn text(&self) -> &[u8] {
        self.lines.first().map_or(b"", |line| line)
    }

    pub(super) fn or_refusal(self, purpose: Purpose) -> Result<Self> {
        if self.is_success() {
            Ok(self)
        } else {
            Err(self.refusal(purpose))
        }
    }

    /// The error that this reply is.
    pub(super) fn refusal(&self, purpose: Purpose) -> Error {
        Error::new(self.reason(purpose), self.shown())
    }

    /// The error that this reply is at the end of a transfer: the file is there,
    /// and so is the server, but the data got lost.
    pub(super) fn cut(&self, purpose: Purpose) -> Error {
        let refusal = self.refusal(purpose);
        match self.code {
            426 | 451 => Error::new(Reason::Lost, refusal.text),
            _ => refusal,
        }
    }

    fn reason(&self, purpose: Purpose) -> Reason {
        match self.code {
            421 | 450 | 451 => Reason::Busy(None),
            425 | 426 => Reason::Lost,
            430 | 521 | 522 | 530..=534 | 536 | 537 | 553 => Reason::NotAllowed,
            452 | 552 => Reason::NoSpace,
            500..=504 => Reason::Unsupported,
            // RFC 3659 section 5.3: the file ends before the offset.
            554 => Reason::Changed,
            550 => self.reason_in_words(purpose),
            400..=499 => Reason::Busy(None),
            551..=599 => Reason::NotAllowed,
            _ => Reason::Protocol,
        }
    }

    /// 550 says no more than that nothing was done. The words of the servers
    /// that are in use say why.
    fn reason_in_words(&self, purpose: Purpose) -> Reason {
        let text = String::from_utf8_lossy(self.text()).to_lowercase();
        let says = |words: &[&str]| words.iter().any(|word| text.contains(word));
        if says(&[
            "no such",
            "not found",
            "n't exist",
            "not exist",
            "cannot find",
        ]) {
            return Reason::NotFound;
        }
        if says(&["already", "exists", "taken", "not empty", "n't empty"]) {
            return Reason::Exists;
        }
        if says(&["quota", "no space", "disk full", "disk is full"]) {
            return Reason::NoSpace;
        }
        let denied = ["permission", "denied", "allowed", "permitted", "privilege"];
        let closed = ["read-only", "prohibited", "forbidden", "visitors cannot"];
        match purpose {
            _ if says(&denied) || says(&closed) => Reason::NotAllowed,
            Purpose::Look => Reason::NotFound,
            Purpose::Change => Reason::NotAllowed,
        }
    }

    /// What the server said, fit for a terminal.
    fn shown(&self) -> String {
        let mut out = format!("the server says: {}", self.code);
        // A greeting may be all that says why it is one of refusal.
        let text = String::from_utf8_lossy(self.text());
        let mut letters = text.chars();
        if !text.is_empty() {
            out.push(' ');
        }
        let some: String = letters.by_ref().take(SHOWN).collect();
        out.push_str(&visible(&some));
        if letters.next().is_some() {
            out.push('…');
        }
        out
    }
}

/// How many replies may say that something has begun. One is usual; a restart
/// marker (110) may come between.
const PRELIMINARY: usize = 16;

/// How much of a server's text is shown, in characters: a few lines.
const SHOWN: usize = 300;

/// How long a server may take to say goodbye: nothing depends on it.
const FAREWELL: Duration = Duration::from_secs(2);

/// How long it takes to see what has come already.
const GLANCE: Duration = Duration::from_millis(10);

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(line: &[u8]) -> Answer {
        let (reply, _) = Reply::parse(line).unwrap().unwrap();
        Answer::new(&reply)
    }

    #[test]
    fn the_words_of_servers_are_understood() {
        use Purpose::{Change, Look};
        for (line, purpose, reason) in [
            ("550 Failed to open file.", Look, Reason::NotFound),
            ("550 Permission denied.", Look, Reason::NotAllowed),
            ("550 Not enough privileges.", Change, Reason::NotAllowed),
            ("550 x: No such file or directory", Change, Reason::NotFound),
            ("550 x: The system cannot find it", Change, Reason::NotFound),
            ("550 Directory doesn't exist", Change, Reason::NotFound),
            (
                "550 Create directory operation failed.",
                Change,
                Reason::NotAllowed,
            ),
            ("550 x: File exists", Change, Reason::Exists),
            ("550 Directory already exists", Change, Reason::Exists),
            ("550 The folder is not empty.", Change, Reason::Exists),
            ("550 Disk quota exceeded", Change, Reason::NoSpace),
            (
                "552 That is more than your quota allows.",
                Change,
                Reason::NoSpace,
            ),
            ("553 Could not create file.", Change, Reason::NotAllowed),
            ("530 Login incorrect.", Look, Reason::NotAllowed),
            ("421 Too many connections.", Look, Reason::Busy(None)),
            ("450 Busy; try again.", Look, Reason::Busy(None)),
            ("426 Transfer aborted.", Look, Reason::Lost),
            ("502 Command not implemented.", Look, Reason::Unsupported),
            ("399 Whatever.", Look, Reason::Protocol),
        ] {
            let answer = answer(format!("{line}\r\n").as_bytes());
            assert_eq!(answer.reason(purpose), reason, "{line}");
        }
    }

    #[test]
    fn what_a_server_says_can_not_paint_the_screen() {
        let shown = answer(b"550 \x1b[2Jgone\x07\xff\r\n").shown();
        assert_eq!(shown, "the server says: 550 \\u{1b}[2Jgone\\u{7}\u{fffd}");
        let long = [b"550 ", "长".repeat(5000).as_bytes(), b"\r\n"].concat();
        assert_eq!(answer(&long).shown().chars().count(), 21 + SHOWN + 1);
        assert_eq!(answer(b"550\r\n").shown(), "the server says: 550");
    }
}
