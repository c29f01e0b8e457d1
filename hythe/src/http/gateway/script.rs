//! [`Script`]: a program that runs for one request.

use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use ::http::StatusCode;
use bytes::Bytes;
use futures_lite::future::or;
use hythe_net::reactor::{now, timeout};
use hythe_wire::http::cgi::Variable;
use rustix::io::Errno;

use super::{Application, Feeding, PIECE, bad_gateway, overloaded};
use crate::http::{Error, Request};
use crate::process::{Intake, Leash, Outlet, Place, Running, pipe_from, pipe_to};
use crate::visible::without_number;

/// How long the end of a program is waited for once its output has ended, to hear
/// whether it was a crash. It nearly always is there already.
const SETTLING: Duration = Duration::from_secs(1);

/// Where programs are looked for, if we were not told ourselves.
const PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// What is to be started.
pub(super) struct Start {
    pub(super) name: String,
    pub(super) file: PathBuf,
    pub(super) folder: PathBuf,
    pub(super) variables: Vec<Variable>,
    pub(super) time: Duration,
    pub(super) place: Place,
}

/// A program, and what it has still to say.
pub(super) struct Script {
    name: String,
    state: State,
    output: Outlet,
    feeding: Feeding,
    /// When it has to be at its end.
    until: Instant,
}

enum State {
    Running(Leash),
    /// What it has left behind is still to be read.
    Ended(io::Result<ExitStatus>),
    Over,
}

/// What happened first.
enum Event {
    Read(io::Result<usize>),
    Ended(io::Result<ExitStatus>),
}

impl Script {
    /// Starts it.
    pub(super) async fn start(start: Start, request: Request) -> Result<Self, Error> {
        let Start {
            name,
            file,
            folder,
            variables,
            time,
            place,
        } = start;
        let mut command = Command::new(&file);
        command.current_dir(folder).env_clear();
        let path = std::env::var_os("PATH").unwrap_or_else(|| PATH.into());
        command.env("PATH", path);
        command.envs(
            variables
                .into_iter()
                .map(|(name, value)| (name, OsString::from_vec(value))),
        );
        // Pipes, since nobody can open `/dev/stdin` where it is a socket.
        let (output, theirs) = pipe_from()?;
        command.stdout(theirs);
        let (complaints, theirs) = pipe_from()?;
        command.stderr(theirs);
        let intake = match request.length() {
            Some(0) => {
                command.stdin(Stdio::null());
                None
            }
            _ => {
                let (intake, theirs) = pipe_to()?;
                command.stdin(theirs);
                Some(intake)
            }
        };
        let running = Running::start(command).await;
        let running = running.map_err(|error| cannot_start(&name, &error))?;
        Ok(Self {
            state: State::Running(Leash::keep(running, complaints, name.clone(), place, time)),
            name,
            output,
            feeding: Feeding::of(request, |request| feed(request, intake)),
            until: now() + time,
        })
    }

    /// What there was to be said is said; how did it end?
    fn judge(&mut self, ended: &io::Result<ExitStatus>) -> Result<Option<Bytes>, Error> {
        match ended {
            Ok(status) if status.success() => {}
            Ok(status) => {
                tracing::warn!(program = self.name, "ended badly: {status}");
                if status.signal().is_some() {
                    return Err(bad_gateway("the program has crashed; it is in the log"));
                }
            }
            Err(error) => {
                let error = without_number(error);
                tracing::error!(program = self.name, error, "cannot wait for it");
            }
        }
        Ok(None)
    }

    /// Its output has ended; it may take a little longer.
    async fn settle(&mut self) -> Result<Option<Bytes>, Error> {
        let State::Running(leash) = std::mem::replace(&mut self.state, State::Over) else {
            return Ok(None);
        };
        let left = self.until.saturating_duration_since(now());
        let ended = self.feeding.beside(leash.ended());
        match timeout(left.min(SETTLING), ended).await {
            Ok(ended) => self.judge(&ended?),
            Err(_) => {
                leash.let_go(left);
                Ok(None)
            }
        }
    }
}

impl Application for Script {
    async fn output(&mut self) -> Result<Option<Bytes>, Error> {
        let mut buffer = vec![0; PIECE];
        let said = |mut buffer: Vec<u8>, count| {
            buffer.truncate(count);
            Ok(Some(buffer.into()))
        };
        if let State::Running(leash) = &self.state {
            let event = or(
                async { Event::Read(self.output.read(&mut buffer).await) },
                async { Event::Ended(leash.ended().await) },
            );
            let left = self.until.saturating_duration_since(now());
            let event = timeout(left, self.feeding.beside(event)).await;
            // It may have been ended while its output was waited for, or before.
            let (Ok(event), false) = (event, leash.took_too_long()) else {
                self.state = State::Over;
                tracing::warn!(program = self.name, "ended, since it took too long");
                return Err(Error::new(
                    StatusCode::GATEWAY_TIMEOUT,
                    "the program took too long",
                ));
            };
            match event.inspect_err(|_| self.state = State::Over)? {
                Event::Read(Ok(0)) => return self.settle().await,
                Event::Read(count) => return said(buffer, count?),
                Event::Ended(ended) => self.state = State::Ended(ended),
            }
        }
        // Somebody may have taken the pipe with them, and could hold it for ever.
        if let State::Ended(_) = self.state
            && let Some(count @ 1..) = self.output.read_now(&mut buffer)?
        {
            return said(buffer, count);
        }
        match std::mem::replace(&mut self.state, State::Over) {
            State::Ended(ended) => self.judge(&ended),
            State::Running(_) | State::Over => Ok(None),
        }
    }

    fn let_go(self) {
        if let State::Running(leash) = self.state {
            leash.let_go(self.until.saturating_duration_since(now()));
        }
    }
}

/// Hands the body of a request to a program, as far as that wants it.
async fn feed(mut request: Request, intake: Option<Intake>) -> Result<(), Error> {
    let Some(intake) = intake else {
        return Ok(());
    };
    while let Some(chunk) = request.body().chunk().await? {
        if intake.write_all(&chunk).await.is_err() {
            break;
        }
    }
    Ok(())
}

fn cannot_start(name: &str, error: &io::Error) -> Error {
    let known = Errno::from_io_error(error);
    let why = match known {
        Some(Errno::NOEXEC) => {
            "it is neither a program nor a script whose first line begins with #!"
        }
        Some(Errno::NOENT) => "the interpreter that its first line names is not there",
        _ => &without_number(error),
    };
    tracing::error!(program = name, "cannot be started: {why}");
    match known {
        Some(Errno::ACCESS | Errno::PERM) => {
            Error::new(StatusCode::FORBIDDEN, "the server may not run this program")
        }
        Some(Errno::AGAIN | Errno::NOMEM | Errno::MFILE | Errno::NFILE) => {
            overloaded("the server has no room for this program; try again shortly")
        }
        _ => bad_gateway("the program cannot be started; it is in the log"),
    }
}
