//! Data connections: how they come about, and what goes over them.
//!
//! Whatever a server says about addresses, data is exchanged with the host that
//! the control connection leads to: a PASV reply that names another would have
//! us knock at doors for the server (RFC 2577).

use std::cell::Cell;
use std::io::{self, Read};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use futures_lite::future::or;
use hythe_net::option::Linger;
use hythe_net::reactor::{lease, sleep, timeout, unblock};
use hythe_net::{Addr, How, Listener, More, Patience, Poured, Sink, Stream, create_server};
use hythe_wire::ftp::{Command, Epsv, parse_extended_port, parse_host_port};

use super::control::{Answer, Purpose};
use super::session::Session;
use crate::client::{Content, Error, Meter, Reason, Result};
use crate::tls::Channel;

/// Who connects to whom, and by which command. In the order in which they are
/// tried: the first works everywhere but with very old servers, the last only
/// where no router translates addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// EPSV: we connect.
    Extended,
    /// PASV: we connect, over IPv4.
    Passive,
    /// EPRT or PORT: the server connects.
    Active,
}

impl Way {
    fn next(self) -> Option<Self> {
        match self {
            Self::Extended => Some(Self::Passive),
            Self::Passive => Some(Self::Active),
            Self::Active => None,
        }
    }
}

/// A data connection, or where it is going to be.
pub(super) enum Prepared {
    Connected(Stream),
    Awaited(Listener),
}

/// Data that moves.
pub(super) struct Transfer {
    channel: Channel,
    /// The last reply, from a server that was quicker than its data.
    last: Option<Answer>,
    /// How many bytes there are to its end, if that is known.
    pub(super) whole: Option<u64>,
    /// How many bytes are wanted, if not all.
    pub(super) wanted: Option<u64>,
}

impl Session {
    /// Gets ready for data. What works is what is tried first the next time.
    pub(super) async fn prepare(&mut self) -> Result<Prepared> {
        let mut first = None;
        loop {
            let error = match self.prepare_by(self.way).await {
                Ok(prepared) => return Ok(prepared),
                Err(error) => first.get_or_insert(error),
            };
            match self.way.next() {
                Some(way) if self.control.is_in_step() => self.way = way,
                _ => {
                    self.way = Way::Extended;
                    return Err(error.clone());
                }
            }
        }
    }

    async fn prepare_by(&mut self, way: Way) -> Result<Prepared> {
        let port = match way {
            Way::Extended => self.extended_port().await?,
            Way::Passive => self.passive_port().await?,
            Way::Active => return self.listen().await.map(Prepared::Awaited),
        };
        let address = self.control.peer()?.port(port);
        let connected = Stream::connect(&address, None, self.site.options.connect).await;
        let connected = connected.map_err(|error| Error::unreachable(&error))?;
        Ok(Prepared::Connected(connected))
    }

    async fn extended_port(&mut self) -> Result<u16> {
        let command = Command::Epsv(Epsv::Same);
        let answer = self.control.succeed(command, Purpose::Look).await?;
        parse_extended_port(answer.text()).ok_or_else(|| no_port("EPSV"))
    }

    async fn passive_port(&mut self) -> Result<u16> {
        if !self.control.peer()?.ip().is_ipv4() {
            return Err(Error::unsupported("PASV is for IPv4"));
        }
        let answer = self.control.succeed(Command::Pasv, Purpose::Look).await?;
        let port = parse_host_port(answer.text()).map(|address| address.port());
        port.filter(|port| *port != 0)
            .ok_or_else(|| no_port("PASV"))
    }

    async fn listen(&mut self) -> Result<Listener> {
        let here = self.control.local()?;
        let socket = create_server(&here.port(0), false);
        let socket = socket.map_err(|error| Error::local(&error))?;
        let name = socket.sock_name().map_err(|error| Error::local(&error))?;
        let port = name.port().unwrap_or_default();
        let listener = Listener::new(socket).map_err(|error| Error::local(&error))?;
        let address = SocketAddr::new(here.ip(), port);
        let answer = self.control.command(Command::Eprt(address)).await?;
        match address {
            SocketAddr::V4(address) if !answer.is_success() => {
                let command = Command::Port(address);
                self.control.succeed(command, Purpose::Look).await?;
            }
            _ => _ = answer.or_refusal(Purpose::Look)?,
        }
        Ok(listener)
    }

    /// Sends the command that moves data, and begins TLS on the connection if
    /// there is to be any.
    pub(super) async fn start(
        &mut self,
        prepared: Prepared,
        command: Command<'_>,
        purpose: Purpose,
    ) -> Result<Transfer> {
        let answer = self.control.start(command).await?;
        if answer.code == 425 {
            // It can't reach us, or we could not have reached it.
            self.way = self.way.next().unwrap_or(Way::Extended);
        }
        if !answer.is_preliminary() && !answer.is_success() {
            return Err(answer.refusal(purpose));
        }
        let mut last = answer.is_success().then_some(answer);
        let stream = match prepared {
            Prepared::Connected(stream) => stream,
            Prepared::Awaited(listener) => self.accept(&listener, &mut last).await?,
        };
        stream.set_patience(Patience::new(self.site.options.stall));
        let mut channel = Channel::plain(stream);
        if let Err(error) = self.site.secure(&mut channel).await {
            drop(channel);
            return Err(self.verdict(error).await);
        }
        Ok(Transfer {
            channel,
            last,
            whole: None,
            wanted: None,
        })
    }

    /// The connection that the server makes to us. Others that knock are not
    /// let in.
    async fn accept(&mut self, listener: &Listener, last: &mut Option<Answer>) -> Result<Stream> {
        let limit = self.site.options.connect;
        let server = self.control.peer()?.ip();
        if last.is_none() {
            let knock = async { Ok(from(listener, server).await) };
            // It says so if it can't.
            let word = async { Err(self.control.last_reply().await) };
            match timeout(limit, or(knock, word)).await {
                Ok(Ok(stream)) => return stream,
                Ok(Err(answer)) => *last = Some(answer?.or_refusal(Purpose::Look)?),
                Err(error) => return Err(Error::lost(&error)),
            }
        }
        let stream = timeout(limit, from(listener, server)).await;
        stream.map_err(|error| Error::lost(&error))?
    }

    /// Waits for the server to say that all has been moved.
    pub(super) async fn conclude(&mut self, last: Option<Answer>, purpose: Purpose) -> Result<()> {
        let answer = match last {
            Some(answer) => answer,
            None => self.control.last_reply().await?,
        };
        match answer.is_success() {
            true => Ok(()),
            false => Err(answer.cut(purpose)),
        }
    }

    /// What went wrong with a data connection that is closed by now: the server
    /// may know it better than we do.
    async fn verdict(&mut self, otherwise: Error) -> Error {
        let limit = self.brief();
        match timeout(limit, self.control.last_reply()).await {
            Ok(Ok(answer)) if !answer.is_success() => answer.cut(Purpose::Change),
            _ => otherwise,
        }
    }

    /// Leaves a transfer in the middle. The server notices that the connection
    /// is gone, says so, and both can go on; one that does not is left.
    pub(super) async fn abandon(&mut self, transfer: Transfer) {
        let Transfer { channel, last, .. } = transfer;
        drop(channel);
        if last.is_none() {
            let limit = self.brief();
            timeout(limit, self.control.last_reply()).await.ok();
        }
    }

    fn brief(&self) -> Duration {
        BRIEFLY.min(self.site.options.stall)
    }

    // --- Receiving ---

    /// Receives all of it, or what is wanted of it.
    pub(super) async fn receive(&mut self, transfer: Transfer, sink: Box<dyn Sink>) -> Result<()> {
        let portion = Portion {
            sink,
            taken: 0,
            wanted: transfer.wanted.unwrap_or(u64::MAX),
        };
        let (portion, poured) = transfer.channel.pour(portion).await;
        let short = |whole: u64| portion.taken < whole;
        match poured {
            Ok(Poured::Full) if transfer.whole != Some(portion.taken) => {
                self.abandon(transfer).await;
                Ok(())
            }
            Ok(Poured::Full) => self.hear_end(transfer).await,
            Ok(Poured::End) if transfer.whole.is_some_and(short) => {
                let early = Error::lost(&io::ErrorKind::UnexpectedEof.into());
                drop(transfer);
                Err(self.verdict(early).await)
            }
            Ok(Poured::End) => self.part_after_end(transfer).await,
            Err(error) => {
                drop(transfer);
                Err(self.verdict(Error::lost(&error)).await)
            }
        }
    }

    /// All that was announced is there: only the end is to come. Under TLS it
    /// tells whether somebody has cut the connection.
    async fn hear_end(&mut self, transfer: Transfer) -> Result<()> {
        let received = transfer.channel.recv(&mut [0]).await;
        match received {
            Ok(0) => self.part_after_end(transfer).await,
            Ok(_) => {
                self.abandon(transfer).await;
                Ok(())
            }
            Err(error) => {
                drop(transfer);
                Err(self.verdict(Error::lost(&error)).await)
            }
        }
    }

    /// Closes the connection whose end has come, and hears what the server says.
    /// In this order: ProFTPD says nothing until it is closed, for ten seconds.
    async fn part_after_end(&mut self, transfer: Transfer) -> Result<()> {
        let Transfer { channel, last, .. } = transfer;
        drop(channel);
        self.conclude(last, Purpose::Look).await
    }

    /// Everything that a command brings, in memory: a listing.
    pub(super) async fn fetch(&mut self, command: Command<'_>) -> Result<Vec<u8>> {
        let prepared = self.prepare().await?;
        let transfer = self.start(prepared, command, Purpose::Look).await?;
        let (collected, poured) = transfer.channel.pour(Collected(Vec::new())).await;
        match poured {
            Ok(Poured::End) => {
                self.part_after_end(transfer).await?;
                Ok(collected.0)
            }
            Ok(Poured::Full) => {
                self.abandon(transfer).await;
                Err(Error::protocol("the server's listing has no end"))
            }
            Err(error) => {
                drop(transfer);
                Err(self.verdict(Error::lost(&error)).await)
            }
        }
    }

    // --- Sending ---

    /// Sends the content, and waits until the server has it.
    pub(super) async fn send(
        &mut self,
        transfer: Transfer,
        content: Content,
        meter: &Meter,
    ) -> Result<()> {
        let Transfer { channel, last, .. } = transfer;
        let sent = match content {
            Content::File(file, range) => send_file(&channel, &file, range, meter).await,
            Content::Pipe(pipe) => send_pipe(&channel, pipe, meter).await,
        };
        if let Err(error) = sent {
            if error.reason == Reason::Local {
                // An end that looks like any other would make it a whole file.
                channel.socket().set(Linger(Some(Duration::ZERO))).ok();
            }
            drop(channel);
            let verdict = self.verdict(error.clone()).await;
            return Err(match error.reason {
                Reason::Local => error,
                _ => verdict,
            });
        }
        let last = match last {
            Some(answer) => Some(answer),
            None => self.part(channel).await?,
        };
        self.conclude(last, Purpose::Change).await
    }

    /// Says that this was all. Under TLS, what the server sends meanwhile are
    /// tickets, which the next data connections will need; whatever comes first
    /// of its end and its reply tells that there are no more.
    async fn part(&mut self, channel: Channel) -> Result<Option<Answer>> {
        let parted = channel.finish().await;
        let parted = parted.and_then(|()| channel.socket().shutdown(How::Write));
        if let Err(error) = parted {
            drop(channel);
            return Err(self.verdict(Error::lost(&error)).await);
        }
        if !channel.is_encrypted() {
            return Ok(None);
        }
        let end = async {
            while let Ok(1..) = channel.recv(&mut lease()).await {}
            None
        };
        let reply = async { Some(self.control.last_reply().await) };
        or(end, reply).await.transpose()
    }
}

fn no_port(verb: &str) -> Error {
    Error::protocol(format!("the server's reply to {verb} names no port"))
}

/// The next connection that comes from there.
async fn from(listener: &Listener, server: IpAddr) -> Result<Stream> {
    loop {
        let stream = listener.accept().await;
        let stream = stream.map_err(|error| Error::local(&error))?;
        let peer = stream.socket().peer_name().ok().as_ref().and_then(Addr::ip);
        if peer == Some(server) {
            return Ok(stream);
        }
    }
}

async fn send_file(
    channel: &Channel,
    file: &std::fs::File,
    range: std::ops::Range<u64>,
    meter: &Meter,
) -> Result<()> {
    let wait = Cell::new(Duration::ZERO);
    let mut at = range.start;
    while at < range.end {
        let piece = meter.piece().unwrap_or(u64::MAX);
        let end = at.saturating_add(piece).min(range.end);
        let count = |moved| wait.set(meter.count(moved));
        let sent = channel.send_file_counted(file, at..end, &count).await;
        sent.map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => {
                Error::new(Reason::Local, "the file has become shorter meanwhile")
            }
            _ => Error::lost(&error),
        })?;
        at = end;
        pause(channel, wait.take()).await;
    }
    Ok(())
}

async fn send_pipe(channel: &Channel, mut pipe: Box<dyn Read + Send>, meter: &Meter) -> Result<()> {
    let limit = usize::try_from(meter.piece().unwrap_or(u64::MAX)).map_or(PIECE, |n| n.min(PIECE));
    let mut piece = vec![0; limit];
    loop {
        let read;
        (pipe, piece, read) = unblock(move || {
            let read = read_some(&mut *pipe, &mut piece);
            (pipe, piece, read)
        })
        .await;
        let count = read.map_err(|error| Error::local(&error))?;
        // It is not the server's fault that the pipe was slow.
        channel.progressed();
        if count == 0 {
            return Ok(());
        }
        let sent = channel.send_all(&piece[..count], More::No).await;
        sent.map_err(|error| Error::lost(&error))?;
        pause(channel, meter.count(count as u64)).await;
    }
}

fn read_some(pipe: &mut dyn Read, piece: &mut [u8]) -> io::Result<usize> {
    loop {
        match pipe.read(piece) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            read => return read,
        }
    }
}

async fn pause(channel: &Channel, wait: Duration) {
    if !wait.is_zero() {
        sleep(wait).await;
        channel.progressed();
    }
}

/// What is wanted of what comes.
struct Portion {
    sink: Box<dyn Sink>,
    taken: u64,
    wanted: u64,
}

impl Sink for Portion {
    fn room(&self) -> u64 {
        self.sink.room().min(self.wanted.saturating_sub(self.taken))
    }

    fn expected(&self) -> u64 {
        self.sink
            .expected()
            .min(self.wanted.saturating_sub(self.taken))
    }

    fn take(&mut self, bytes: &[u8]) {
        // Never more than there was room for.
        self.taken += bytes.len() as u64;
        self.sink.take(bytes);
    }
}

/// A listing.
struct Collected(Vec<u8>);

impl Sink for Collected {
    fn room(&self) -> u64 {
        LISTING - self.0.len() as u64
    }

    fn expected(&self) -> u64 {
        0
    }

    fn take(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }
}

/// The longest listing: half a million names of a hundred bytes with their
/// facts.
const LISTING: u64 = 64 * 1024 * 1024;

/// How much of a pipe is read at a time: what it holds, four times.
const PIECE: usize = 256 * 1024;

/// How long is waited for a reply of which nothing depends but good manners.
const BRIEFLY: Duration = Duration::from_secs(5);
