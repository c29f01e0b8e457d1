//! `hythe receive`: files and folders from a `hythe send`.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::builder::BoolishValueParser;
use hythe_net::reactor::sleep;
use hythe_net::{Addr, Listener, SocketFile, create_server};

use super::failure::{Exit, Failure, cause};
use super::progress::{Progress, Show, Style};
use super::remote::{Ended, exit, run as run_on_reactor};
use super::secret::SecretArgs;
use super::send;
use super::sockets::{Place, counted, known_as, taken};
use crate::client::{Error, Reason};
use crate::quantity::parse_span;
use crate::raw::files::{Answer, Counts, Question, Receiver, Replacing, WRONG_SECRETS};
use crate::share::{Access, Durability, Rules, Share};
use crate::transfer::{Event, Watch};

/// Shown below the options.
const EXAMPLES: &str = "\
Examples:
  hythe receive 9000
  hythe receive --secret 9000 ~/inbox";

/// Receive files and folders from a `hythe send` on another machine
///
/// Waits for one sender, and ends when all of its files are there. One that is
/// interrupted, by whatever and on either side, can come again and goes on where
/// it was. Nothing is written outside of DIR, whatever a sender says, and what is
/// there already is replaced only if you say so.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct Args {
    /// Where to listen: a port (0 for any free one), HOST:PORT, or unix:PATH
    #[arg(value_name = "[HOST:]PORT|unix:PATH")]
    place: Place,

    /// The folder to receive into; it is made when missing
    #[arg(default_value = ".", value_name = "DIR")]
    folder: PathBuf,

    #[command(flatten)]
    secret: SecretArgs,

    /// Replace what is there, without asking
    #[arg(long, env = "HYTHE_OVERWRITE", value_parser = BoolishValueParser::new(),
          help_heading = "Transfer")]
    overwrite: bool,

    /// Go on with the next sender, one after another, until Ctrl-C
    #[arg(long, env = "HYTHE_KEEP", value_parser = BoolishValueParser::new(),
          help_heading = "Transfer")]
    keep: bool,

    /// How long nothing may come from a sender before it is taken for dead
    #[arg(long, env = "HYTHE_STALL", default_value = "60s", value_name = "TIME",
          value_parser = parse_span, help_heading = "Transfer")]
    stall: u64,

    #[command(flatten)]
    show: Show,
}

/// What is said when a sender was interrupted.
const WAITING: &str = "waiting for the sender to come again";

/// How long to wait before the next connection is tried, where one failed.
const ACCEPT_PAUSE: Duration = Duration::from_millis(500);

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let secret = args.secret.secret()?;
    let share = args.share()?;
    let replacing = args.replacing();
    let address = args.place.address()?;
    let socket = create_server(&address, false).map_err(|error| taken(&address, &error))?;
    let bound = socket
        .sock_name()
        .map_err(|error| taken(&address, &error))?;
    let file = SocketFile::of(&bound);
    let receiver = Receiver::new(
        share.view(Access::Write),
        secret.as_ref(),
        replacing,
        Duration::from_secs(args.stall),
    );
    let receiver = receiver.map_err(|error| Failure::new(Exit::Other, error.text))?;
    let mut progress = Progress::new(args.show.style(), false);
    args.announce(&bound, secret.is_some());
    let received = run_on_reactor(async {
        let listener = Listener::new(socket).map_err(|error| cannot_accept(&error))?;
        args.receive(&listener, receiver, &progress).await
    });
    drop(file);
    match received? {
        Ended::Interrupted if args.keep => {
            progress.close();
            Ok(())
        }
        ended => progress.end_of(ended, true),
    }
}

fn cannot_accept(error: &io::Error) -> Failure {
    Failure::new(Exit::Other, format!("cannot accept: {}", cause(error)))
}

impl Args {
    /// The folder, beyond which nothing is written.
    fn share(&self) -> Result<Share, Failure> {
        let cannot = |error: &io::Error| {
            let text = format!(
                "cannot receive into {}: {}",
                self.folder.display(),
                cause(error)
            );
            Failure::new(Exit::of(error), text)
        };
        std::fs::create_dir_all(&self.folder).map_err(|error| cannot(&error))?;
        let share = Share::open(&self.folder).map_err(|error| cannot(&error))?;
        Ok(share.with_rules(Rules {
            // A part that the disk has not seen is known by its hashes.
            durability: Durability::None,
            ..Rules::default()
        }))
    }

    fn replacing(&self) -> Replacing {
        if self.overwrite {
            Replacing::Always
        } else if io::stdin().is_terminal() && self.show.style() == Style::People {
            Replacing::Asking(Arc::new(ask))
        } else {
            Replacing::Never
        }
    }

    fn announce(&self, address: &Addr, secret: bool) {
        if self.show.style() == Style::Quiet {
            return;
        }
        let mut output = io::stderr().lock();
        // `eprintln` panics where standard error is closed.
        writeln!(output, "listening on {address}").ok();
        if !secret && matches!(address, Addr::Inet(address) if !address.ip().is_loopback()) {
            let text = "whoever reaches this port can send, and others can read along; \
                        see --secret";
            writeln!(output, "{text}").ok();
        }
    }

    async fn receive(
        &self,
        listener: &Listener,
        mut receiver: Receiver,
        progress: &Progress,
    ) -> Result<(), Failure> {
        let mut wrong_secrets = 0;
        loop {
            let stream = match listener.accept().await {
                Ok(stream) => stream,
                Err(error) => {
                    // One that has gone already, or no descriptor is left just now.
                    progress.failed(&format!("cannot accept: {}", cause(&error)));
                    sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let peer = stream.socket().peer_name();
            let peer = peer.map_or_else(|_| "somebody".to_owned(), |peer| known_as(&peer));
            match receiver.receive(stream, &Told(progress)).await {
                Ok(counts) => {
                    let ended = self.finished(counts, &peer, progress);
                    if !self.keep {
                        return ended;
                    }
                    if let Err(failure) = ended {
                        progress.failed(&failure.to_string());
                    }
                }
                Err(error) => {
                    progress.failed(&format!("{peer}: {error}"));
                    if Receiver::is_wrong_secret(&error) {
                        wrong_secrets += 1;
                    }
                    if wrong_secrets == WRONG_SECRETS {
                        let text = format!(
                            "{WRONG_SECRETS} senders had a wrong secret: somebody is guessing; \
                             take another one"
                        );
                        return Err(Failure::new(exit(Reason::NotAllowed), text));
                    }
                    self.waiting(&error, progress);
                }
            }
        }
    }

    /// Says that whoever was interrupted may come again.
    fn waiting(&self, error: &Error, progress: &Progress) {
        if error.reason == Reason::Lost && self.show.style() == Style::People {
            progress.say(WAITING);
        }
    }

    fn finished(&self, counts: Counts, peer: &str, progress: &Progress) -> Result<(), Failure> {
        if self.show.style() == Style::People {
            let files = counted(counts.stored, "file", "files");
            let bytes = crate::quantity::size(counts.bytes);
            let same = match counts.same {
                0 => String::new(),
                same => format!(", {same} had been here"),
            };
            progress.say(&format!("received {files} from {peer}, {bytes}{same}"));
        }
        send::finished(counts)
    }
}

/// What is shown on this side.
struct Told<'a>(&'a Progress);

impl Watch for Told<'_> {
    fn event(&self, event: Event<'_>) {
        if let Event::Failed { name, error } = &event {
            self.0.failed(&format!("{name}: {error}"));
        }
        self.0.event(event);
    }
}

/// Asks the person at the terminal; without an answer nothing is replaced.
fn ask(question: &Question) -> Answer {
    loop {
        let mut output = io::stderr().lock();
        write!(
            output,
            "\r\x1b[K{} is there already; replace it? [y/n/all/none] ",
            question.name
        )
        .and_then(|()| output.flush())
        .ok();
        drop(output);
        let mut line = String::new();
        let read = io::stdin().lock().read_line(&mut line);
        let (replace, for_all) = match (read, line.trim()) {
            (Err(_) | Ok(0), _) => (false, true),
            (_, "y" | "yes") => (true, false),
            (_, "n" | "no") => (false, false),
            (_, "a" | "all") => (true, true),
            (_, "none") => (false, true),
            _ => continue,
        };
        return Answer { replace, for_all };
    }
}
