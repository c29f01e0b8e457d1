//! `hythe send`: files and folders to a `hythe receive`.

use std::cell::{Cell, RefCell};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use hythe_net::reactor::{sleep, unblock};
use hythe_net::{Stream, dial};

use super::failure::{Exit, Failure};
use super::progress::{Progress, Show};
use super::remote::{exit, run as run_on_reactor};
use super::secret::SecretArgs;
use super::sockets::{Target, counted, unresolved};
use crate::client::{Error, Rate, Reason};
use crate::quantity::{parse_size, parse_span};
use crate::raw::files::{Counts, Item, Plan, Secret, Sender, plan};
use crate::transfer::{Event, Watch};

/// Shown below the options.
const EXAMPLES: &str = "\
Examples:
  hythe send photos notes.txt 192.0.2.7:9000
  hythe send --secret report.pdf [2001:db8::7]:9000";

/// Send files and folders to a `hythe receive` on another machine
///
/// What is there already is not sent again; after an interruption of either side
/// the same command goes on. Links are left out.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct Args {
    /// What to send, and the receiver: HOST:PORT or unix:PATH
    #[arg(required = true, num_args = 2.., value_name = "FILE... HOST:PORT")]
    words: Vec<PathBuf>,

    #[command(flatten)]
    secret: SecretArgs,

    /// How fast it may go, in bytes a second: 500K, 2M
    #[arg(long, env = "HYTHE_LIMIT_RATE", value_name = "RATE", value_parser = parse_size,
          help_heading = "Transfer")]
    limit_rate: Option<u64>,

    /// How often to try again when the connection is lost without progress
    #[arg(
        long,
        env = "HYTHE_RETRIES",
        default_value = "8",
        value_name = "N",
        help_heading = "Transfer"
    )]
    retries: u32,

    /// How long a connection may take to come about
    #[arg(long, env = "HYTHE_CONNECT_TIMEOUT", default_value = "30s", value_name = "TIME",
          value_parser = parse_span, help_heading = "Transfer")]
    connect_timeout: u64,

    /// How long nothing may come from the receiver before it is taken for dead
    #[arg(long, env = "HYTHE_STALL", default_value = "60s", value_name = "TIME",
          value_parser = parse_span, help_heading = "Transfer")]
    stall: u64,

    #[command(flatten)]
    show: Show,
}

/// No wait before another try is longer.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let Some((target, named)) = args.words.split_last() else {
        return Err(Failure::new(Exit::Usage, "send what, and where to?"));
    };
    let target = Target::parse(&target.to_string_lossy())?;
    let secret = args.secret.secret()?;
    let Plan { items, left_out } =
        plan(named).map_err(|error| Failure::new(exit(error.reason), error.text))?;
    let mut progress = Progress::new(args.show.style(), false);
    for (name, why) in &left_out {
        progress.failed(&format!("{name} is left out: {why}"));
    }
    let files = items.iter().filter(|item| item.is_file());
    progress.expect(files.clone().count(), files.map(Item::size).sum());
    let sent = run_on_reactor(args.send(&target, &items, secret.as_ref(), &progress))?;
    progress.end_of(sent, true)?;
    match left_out.is_empty() {
        true => Ok(()),
        false => Err(Failure::new(
            Exit::Other,
            format!(
                "{} left out",
                counted(left_out.len() as u64, "entry was", "entries were")
            ),
        )),
    }
}

impl Args {
    async fn send(
        &self,
        target: &Target,
        items: &[Item],
        secret: Option<&Secret>,
        progress: &Progress,
    ) -> Result<(), Failure> {
        let sender = Sender {
            items,
            secret,
            stall: Duration::from_secs(self.stall),
            rate: self.limit_rate.map(|rate| Arc::new(Rate::new(rate))),
        };
        let mut tries = Tries::default();
        let moved = Moved::new(progress);
        loop {
            let sent = match self.dial(target).await {
                Ok(stream) => {
                    tries.connected = true;
                    let sent = sender.send(stream, &moved).await;
                    if moved.any.take() {
                        tries.failed = 0;
                    }
                    sent
                }
                Err(error) => Err(error),
            };
            match sent {
                Ok(counts) => return finished(counts),
                Err(error) => tries.next(self.retries, target, error, progress).await?,
            }
        }
    }

    async fn dial(&self, target: &Target) -> crate::client::Result<Stream> {
        let (text, timeout) = (
            target.text.clone(),
            Duration::from_secs(self.connect_timeout),
        );
        let dialled = unblock(move || dial(&text, Some(timeout), None)).await;
        let stream = dialled.and_then(Stream::new);
        stream.map_err(|error: io::Error| match unresolved(target.host(), &error) {
            Some(why) => Error::new(Reason::Unreachable, why),
            None => Error::unreachable(&error),
        })
    }
}

/// How often it was tried in vain.
#[derive(Default)]
struct Tries {
    connected: bool,
    failed: u32,
}

impl Tries {
    /// Waits for the next try, if there is to be one.
    async fn next(
        &mut self,
        most: u32,
        target: &Target,
        error: Error,
        progress: &Progress,
    ) -> Result<(), Failure> {
        let name = target.text.as_str();
        // Nobody is there, and nobody was before: a mistake, or it is not started.
        let is_mistake = !self.connected && error.reason == Reason::Unreachable;
        if !error.is_passing() || is_mistake || self.failed == most {
            let text = match is_mistake {
                true => format!("{name}: {error}; is `hythe receive` running there?"),
                false => format!("{name}: {error}"),
            };
            return Err(Failure::new(exit(error.reason), text));
        }
        let wait = Duration::from_secs(1) * 2_u32.saturating_pow(self.failed);
        let wait = wait.min(LONGEST_WAIT);
        self.failed += 1;
        progress.event(Event::Retrying {
            name,
            error: &error,
            wait,
        });
        sleep(wait).await;
        Ok(())
    }
}

/// Passes on what happens, and sees whether anything got on.
struct Moved<'a> {
    progress: &'a Progress,
    any: Cell<bool>,
    /// The file that was begun last, and where.
    reached: RefCell<Option<(String, u64)>>,
}

impl<'a> Moved<'a> {
    fn new(progress: &'a Progress) -> Self {
        Self {
            progress,
            any: Cell::new(false),
            reached: RefCell::default(),
        }
    }
}

impl Watch for Moved<'_> {
    fn event(&self, event: Event<'_>) {
        match &event {
            Event::Done { .. } => self.any.set(true),
            Event::Begun { name, offset, .. } => {
                let before = self.reached.replace(Some(((*name).to_owned(), *offset)));
                // Further in the same file than the last time.
                let further = |(file, reached)| file == *name && reached < *offset;
                if before.is_some_and(further) {
                    self.any.set(true);
                }
            }
            _ => {}
        }
        if let Event::Failed { name, error } = &event {
            self.progress.failed(&format!("{name}: {error}"));
        }
        self.progress.event(event);
    }
}

/// What became of it all, for the status to exit with.
pub(super) fn finished(counts: Counts) -> Result<(), Failure> {
    match counts.kept + counts.refused {
        0 => Ok(()),
        missing => Err(Failure::new(
            Exit::Other,
            format!(
                "{} not taken",
                counted(missing, "entry was", "entries were")
            ),
        )),
    }
}
