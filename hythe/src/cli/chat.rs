//! The operator of a chat: says what standard input says, and hears on standard
//! output what the others say.
//!
//! It has a place in the room as everybody has, and speakers wait for it as they
//! do for others; but it is not told to go when it is too slow. Not here: the
//! connections.

use std::io::{self, IsTerminal as _, Write as _};
use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use futures_lite::future::block_on;
use hythe_net::mux::Epoll;
use hythe_net::reactor::sleep;
use hythe_net::{Reactor, Watch};
use rustix::process::getpgrp;
use rustix::termios::tcgetpgrp;

use super::failure::cause;
use super::remote::shown;
use crate::raw::{Input, Leaving, Member, Output, Room};

/// How long standard output may take at the end for what was said before.
const LAST_WORDS: Duration = Duration::from_secs(3);

/// How often to look whether we are in the foreground, when another is typed to.
const LOOK: Duration = Duration::from_millis(200);

/// The operator, on threads of its own: standard input and output may block.
pub(super) struct Operator {
    room: Room,
    /// Ends when all that was said is written.
    written: Receiver<()>,
}

impl Operator {
    /// Enters a room of its own. Where that fails, the others can talk.
    pub(super) fn enter() -> Self {
        let room = Room::default();
        let member = Arc::new(room.enter_as_host());
        let (writing, written) = channel::<()>();
        start("output", {
            let member = Arc::clone(&member);
            move || {
                let written = write_all(&member);
                drop(writing);
                written
            }
        });
        start("input", move || say_all(&member));
        Self { room, written }
    }

    pub(super) fn room(&self) -> Room {
        self.room.clone()
    }

    /// Writes what was said to its end, if that does not take long.
    pub(super) fn leave(self) {
        self.room.close();
        self.written.recv_timeout(LAST_WORDS).ok();
    }
}

/// Does `work` beside all else, and tells what goes wrong.
fn start(name: &str, work: impl FnOnce() -> Result<(), String> + Send + 'static) {
    let told = |text: &str| writeln!(io::stderr(), "hythe: {text}");
    let started = thread::Builder::new().name(name.into()).spawn(move || {
        if let Err(text) = work() {
            // `eprintln` panics where standard error is closed.
            told(&text).ok();
        }
    });
    if let Err(error) = started {
        told(&format!("no {name}: {}", cause(&error))).ok();
    }
}

/// Writes what the others say on standard output.
fn write_all(member: &Member) -> Result<(), String> {
    let failed = |error: &io::Error| {
        let cause = cause(error);
        format!("cannot write standard output, and goes on without: {cause}")
    };
    let output = Output::standard().map_err(|error| failed(&error))?;
    let on_terminal = io::stdout().is_terminal();
    while let Ok(lines) = block_on(member.hear()) {
        let written = match on_terminal {
            true => output.write(legible(&lines).as_bytes()),
            false => output.write(&lines),
        };
        match written {
            Ok(()) => {}
            // Whoever read it has seen enough; the others talk on.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => break,
            Err(error) => return Err(failed(&error)),
        }
    }
    Ok(())
}

/// Lines for a terminal, which nobody else is to control.
fn legible(lines: &[u8]) -> String {
    let lines = lines.split_inclusive(|byte| *byte == b'\n');
    lines
        .map(|line| shown(line.trim_ascii_end()) + "\n")
        .collect()
}

/// Says to all what standard input says.
fn say_all(member: &Member) -> Result<(), String> {
    let failed = |error: io::Error| format!("cannot read standard input: {}", cause(&error));
    let said = Epoll::edge()
        .and_then(Reactor::new)
        .and_then(|reactor| reactor.block_on(say(member)));
    match said.and_then(|said| said).map_err(failed)? {
        Leaving::Ended => Ok(()),
        leaving => Err(format!("standard input is read no further: {leaving}")),
    }
}

async fn say(member: &Member) -> io::Result<Leaving> {
    let input = Input::standard()?;
    let terminal = match input.is_terminal() {
        true => Some(Watch::new(io::stdin().as_fd().try_clone_to_owned()?)?),
        false => None,
    };
    let read = async |begun: &mut Vec<u8>| {
        if let Some(terminal) = &terminal {
            typed_for_us(terminal).await?;
        }
        let piece = input.read(Vec::new()).await?;
        begun.extend_from_slice(&piece);
        Ok(piece.len())
    };
    member.speak(read).await
}

/// Waits until something was typed, and for us. The system stops whoever reads a
/// terminal in the background, with all its threads (`SIGTTIN`).
async fn typed_for_us(terminal: &Watch) -> io::Result<()> {
    loop {
        terminal.readable().await?;
        // It fails for a terminal that is not our session's, which stops nobody.
        if tcgetpgrp(terminal).map_or(true, |group| group == getpgrp()) {
            return Ok(());
        }
        sleep(LOOK).await;
    }
}
