//! A conversation: standard input and output on one side, a peer on the other.
//!
//! Each direction ends by itself, and the other goes on until its own end
//! (half-close): whoever has sent a question to its end still gets the answer.

use std::cell::Cell;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_lite::future::{or, try_zip};
use hythe_net::reactor::{sleep, unblock};
use hythe_net::{More, Sink};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::lines::{CrLf, Dump};
use super::stillness::{ENDLESS, moved, stillness};
use super::{Error, Input, Output};
use crate::tls::Channel;

/// How a conversation is held.
#[derive(Clone, Copy, Debug)]
pub struct Manner {
    /// Whether the peer hears of the end of standard input.
    pub half_close: bool,
    /// Whether line ends are sent as CR LF.
    pub crlf: bool,
    /// Whether all that goes either way is shown as a dump, in place of what
    /// comes.
    pub hex: bool,
    /// How long nothing may move.
    pub idle: Option<Duration>,
    /// Whether it ends with what the peer says, as a person at a terminal expects
    /// who can't send an end just then.
    pub ends_with_peer: bool,
}

/// How a conversation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Both directions by themselves.
    Both,
    /// With the peer, who may still have listened.
    ByPeer,
}

/// What ends both directions at once.
enum Stop {
    ByPeer,
    Broken(Error),
}

/// Holds a conversation to its end.
///
/// # Errors
/// Whichever end broke off, with what had come until then written.
pub async fn converse(
    channel: &Channel,
    input: &Input,
    output: &Output,
    manner: &Manner,
) -> Result<Ended, Error> {
    channel.set_patience(ENDLESS);
    let unsent = Mutex::new(None);
    let received = Arc::new(AtomicU64::new(0));
    let heard_all = Cell::new(false);
    let incoming = async {
        let heard = receive(channel, output, manner, &received).await;
        heard.map_err(Stop::Broken)?;
        if manner.ends_with_peer {
            return Err(Stop::ByPeer);
        }
        heard_all.set(true);
        Ok(())
    };
    let outgoing = async {
        let sent = or(
            send(channel, input, output, manner),
            gone(channel, &heard_all),
        );
        match sent.await {
            // What it says is still of interest.
            Err(Error::Unsent(error)) => *lock(&unsent) = Some(error),
            result => result.map_err(Stop::Broken)?,
        }
        Ok(())
    };
    let still = async {
        let moved = || moved(channel, received.load(Ordering::Relaxed));
        let idle = stillness(manner.idle, moved).await;
        Err(Stop::Broken(Error::Idle(idle)))
    };
    let ended = match or(try_zip(incoming, outgoing), still).await {
        Ok(_) => Ended::Both,
        Err(Stop::ByPeer) => Ended::ByPeer,
        Err(Stop::Broken(error)) => return Err(error),
    };
    // A peer that has closed already does not hear it.
    channel.finish().await.ok();
    match lock(&unsent).take() {
        Some(error) => Err(Error::Unsent(error)),
        None => Ok(ended),
    }
}

/// Sends standard input to its end, and says so.
async fn send(
    channel: &Channel,
    input: &Input,
    output: &Output,
    manner: &Manner,
) -> Result<(), Error> {
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => Error::Unsent(error),
        _ => Error::Peer(error),
    };
    if !manner.crlf && !manner.hex {
        send_file(channel, input).await.map_err(failed)?;
    }
    let mut crlf = manner.crlf.then(CrLf::default);
    let mut dump = manner.hex.then(Dump::sent);
    let mut piece = Vec::new();
    loop {
        piece = input.read(piece).await.map_err(Error::Input)?;
        if piece.is_empty() {
            break;
        }
        if let Some(crlf) = &mut crlf {
            piece = crlf.convert(&piece);
        }
        if let Some(dump) = &mut dump {
            let (output, text) = (output.clone(), dump.show(&piece));
            let shown = unblock(move || output.write(&text)).await;
            shown.map_err(Error::Output)?;
        }
        channel.send_all(&piece, More::No).await.map_err(failed)?;
    }
    if manner.half_close {
        channel.end().await.map_err(failed)?;
    }
    Ok(())
}

/// Sends what is left of a regular file without reading it, as far as it goes
/// now; it may be growing, or be shorter than it says, as those of the kernel.
async fn send_file(channel: &Channel, input: &Input) -> io::Result<()> {
    if let Some((file, range)) = input.rest_of_file() {
        let (begin, sent) = (range.start, Cell::new(0));
        let count = |bytes| sent.set(sent.get() + bytes);
        match channel.send_file_counted(&file, range, &count).await {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {}
            result => result?,
        }
        input.go_on_at(begin + sent.get())?;
    }
    Ok(())
}

/// How often one looks whether a peer that says nothing more is still there.
const LOOK: Duration = Duration::from_secs(1);

/// Ends when a peer that has said all is gone altogether, as far as the kernel
/// knows: nothing can be sent to it any more.
async fn gone(channel: &Channel, heard_all: &Cell<bool>) -> Result<(), Error> {
    loop {
        sleep(LOOK).await;
        let asked = &mut [PollFd::new(channel.socket(), PollFlags::empty())];
        let now = Timespec::default();
        if heard_all.get() && matches!(poll(asked, Some(&now)), Ok(1..)) {
            return Err(Error::Unsent(io::ErrorKind::ConnectionReset.into()));
        }
    }
}

/// Writes to standard output what the peer says, to its end.
async fn receive(
    channel: &Channel,
    output: &Output,
    manner: &Manner,
    received: &Arc<AtomicU64>,
) -> Result<(), Error> {
    let failure = Arc::default();
    let printer = Printer {
        output: output.clone(),
        dump: manner.hex.then(Dump::received),
        received: Arc::clone(received),
        failure: Arc::clone(&failure),
    };
    let (_, poured) = channel.pour(printer).await;
    if let Some(error) = lock(&failure).take() {
        return Err(Error::Output(error));
    }
    poured.map(drop).map_err(Error::Peer)
}

/// Writes what comes in.
struct Printer {
    output: Output,
    dump: Option<Dump>,
    received: Arc<AtomicU64>,
    failure: Arc<Mutex<Option<io::Error>>>,
}

impl Sink for Printer {
    fn room(&self) -> u64 {
        if lock(&self.failure).is_some() {
            0
        } else {
            u64::MAX
        }
    }

    fn expected(&self) -> u64 {
        0
    }

    fn take(&mut self, bytes: &[u8]) {
        self.received
            .fetch_add(bytes.len() as u64, Ordering::Relaxed);
        let written = match &mut self.dump {
            Some(dump) => self.output.write(&dump.show(bytes)),
            None => self.output.write(bytes),
        };
        if let Err(error) = written {
            *lock(&self.failure) = Some(error);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
