//! What `get`, `put`, `ls` and the others have in common: how a server is
//! reached, as whom, and how failures are told.

use std::cell::Cell;
use std::io::{self, IsTerminal as _};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::builder::BoolishValueParser;
use futures_lite::future::or;
use hythe_net::mux::Epoll;
use hythe_net::reactor::sleep;
use hythe_net::{Reactor, Stream};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::low_level::pipe;

use super::failure::{Exit, Failure};
use super::secret;
use crate::client::{Credentials, Error, Login, Options, Rate, Reason, Url};
use crate::quantity::{parse_size, parse_span};
use crate::transfer::Settings;
use crate::visible::visible;

/// How a server is reached.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Reach {
    /// Who to be there; the password is HYTHE_PASSWORD, the one in ~/.netrc, or
    /// asked for
    #[arg(long, env = "HYTHE_USER", value_name = "NAME", help_heading = "Server")]
    user: Option<String>,

    /// Whom to trust, in place of the system's authorities: certificates in PEM
    #[arg(
        long,
        env = "HYTHE_CACERT",
        value_name = "FILE",
        help_heading = "Server"
    )]
    cacert: Option<PathBuf>,

    /// Do not look at certificates: anybody may be at the other end
    #[arg(long, env = "HYTHE_INSECURE", value_parser = BoolishValueParser::new(),
          help_heading = "Server")]
    insecure: bool,

    /// How long a connection may take to come about
    #[arg(long, env = "HYTHE_CONNECT_TIMEOUT", default_value = "30s", value_name = "TIME",
          value_parser = parse_span, help_heading = "Server")]
    connect_timeout: u64,

    /// How long nothing may move before the connection is taken for dead
    #[arg(long, env = "HYTHE_STALL", default_value = "60s", value_name = "TIME",
          value_parser = parse_span, help_heading = "Server")]
    stall: u64,
}

/// How transfers are made.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Effort {
    /// How many connections to use at once: for several files, or for segments
    /// of one
    #[arg(short = 'j', long, env = "HYTHE_JOBS", default_value = "1", value_name = "N",
          value_parser = clap::value_parser!(u16).range(1..=64), help_heading = "Transfer")]
    jobs: u16,

    /// How often to try again what makes no progress
    #[arg(
        long,
        env = "HYTHE_RETRIES",
        default_value = "8",
        value_name = "N",
        help_heading = "Transfer"
    )]
    retries: u32,

    /// How fast it may go, in bytes a second: 500K, 2M
    #[arg(long, env = "HYTHE_LIMIT_RATE", value_name = "RATE", value_parser = parse_size,
          help_heading = "Transfer")]
    limit_rate: Option<u64>,
}

impl Reach {
    /// How to reach these servers. Passwords that are missing are put into the
    /// URLs, so that no server hears of another's.
    pub(super) fn options(&self, urls: &mut [Url]) -> Result<Options, Failure> {
        let variable = std::env::var_os("HYTHE_PASSWORD").map(|text| text.into_vec());
        let given = self.user.as_deref().map(|user| match user.split_once(':') {
            Some((name, password)) => Login {
                name: name.into(),
                password: Some(password.into()),
            },
            None => Login {
                name: user.into(),
                password: None,
            },
        });
        let credentials = Credentials {
            given,
            netrc: String::new(),
        }
        .with_netrc();
        let mut asked: Vec<Url> = Vec::new();
        for url in urls {
            let login = credentials.login(url);
            let Some(login) = login.filter(|login| login.password.is_none()) else {
                continue;
            };
            let same = |other: &&Url| {
                let theirs = other.login.as_ref().map(|other| &other.name);
                other.is_same_origin(url) && theirs == Some(&login.name)
            };
            let password = match (&variable, asked.iter().find(same)) {
                (Some(password), _) => Some(password.clone()),
                (None, Some(other)) => other.login.clone().and_then(|login| login.password),
                (None, None) if io::stdin().is_terminal() => {
                    let question = format!("Password of {} at {}: ", login.name, url.host);
                    Some(secret::password(&question)?)
                }
                (None, None) => None,
            };
            url.login = Some(Login { password, ..login });
            asked.push(url.clone());
        }
        Ok(Options {
            connect: Duration::from_secs(self.connect_timeout),
            stall: Duration::from_secs(self.stall),
            credentials,
            insecure: self.insecure,
            ca: self.cacert.clone(),
        })
    }
}

impl Effort {
    pub(super) fn settings(&self, options: Options) -> Settings {
        Settings {
            options,
            retries: self.retries,
            connections: self.jobs.into(),
            rate: self.limit_rate.map(|rate| Arc::new(Rate::new(rate))),
            ..Settings::default()
        }
    }
}

/// Reads a URL that was typed.
pub(super) fn parse_url(text: &str) -> Result<Url, Failure> {
    Url::parse(text).map_err(|why| Failure::new(Exit::Usage, why))
}

/// How work on servers ended.
pub(super) enum Ended<T> {
    /// By itself.
    Done(T),
    /// By Ctrl-C, or SIGTERM.
    Interrupted,
}

/// Runs the work on a reactor of this thread, until it is done or interrupted.
pub(super) fn run<T>(work: impl Future<Output = T>) -> Result<Ended<T>, Failure> {
    run_gently(work, || Duration::ZERO)
}

/// As [`run`], for what may have something to finish: told that we stop, it has
/// as long as `grace` says then.
pub(super) fn run_gently<T>(
    work: impl Future<Output = T>,
    grace: impl Fn() -> Duration,
) -> Result<Ended<T>, Failure> {
    let failed = |error: io::Error| {
        Failure::new(Exit::Other, format!("cannot wait for the network: {error}"))
    };
    let reactor = Reactor::new(Epoll::edge().map_err(failed)?).map_err(failed)?;
    let signals = signals(&[SIGINT, SIGTERM, SIGHUP]).map_err(failed)?;
    let remote = reactor.remote();
    let interrupted = Cell::new(false);
    let done = async {
        let result = work.await;
        match interrupted.get() {
            true => Ended::Interrupted,
            false => Ended::Done(result),
        }
    };
    let stopped = async {
        if wait(signals).await.is_err() {
            // Without signals there is only the kernel's way to end us.
            std::future::pending::<()>().await;
        }
        interrupted.set(true);
        remote.stop();
        sleep(grace()).await;
        Ended::Interrupted
    };
    reactor.block_on(or(done, stopped)).map_err(failed)
}

/// Runs the work; being interrupted is a failure.
pub(super) fn finish<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    match run(work)? {
        Ended::Done(result) => result,
        Ended::Interrupted => Err(Failure::new(Exit::Interrupted, "interrupted")),
    }
}

/// Becomes readable when the user, or the system, wants us to end.
pub(super) fn signals(which: &[i32]) -> io::Result<UnixStream> {
    let (reading, writing) = UnixStream::pair()?;
    for signal in which {
        pipe::register(*signal, writing.try_clone()?)?;
    }
    reading.set_nonblocking(true)?;
    Ok(reading)
}

async fn wait(signals: UnixStream) -> io::Result<()> {
    let stream = Stream::new(OwnedFd::from(signals).into())?;
    // Nobody is in a hurry to interrupt us.
    stream.set_deadline(None);
    stream.recv(&mut [0; 1]).await.map(drop)
}

/// A failure about `what`.
pub(super) fn told(what: impl std::fmt::Display, error: &Error) -> Failure {
    Failure::new(exit(error.reason), format!("{what}: {error}"))
}

/// The exit status for a reason.
pub(super) fn exit(reason: Reason) -> Exit {
    match reason {
        Reason::NotFound => Exit::NotFound,
        Reason::NotAllowed => Exit::NotAllowed,
        Reason::Unreachable | Reason::Lost | Reason::Busy(_) => Exit::Connection,
        Reason::Interrupted => Exit::Interrupted,
        Reason::Mismatch => Exit::Mismatch,
        Reason::Exists
        | Reason::Closed
        | Reason::NoSpace
        | Reason::Changed
        | Reason::Unsupported
        | Reason::Protocol
        | Reason::Local => Exit::Other,
    }
}

/// Bytes for the terminal: text, with what would move the cursor made visible.
pub(super) fn shown(bytes: &[u8]) -> String {
    visible(&String::from_utf8_lossy(bytes))
}
