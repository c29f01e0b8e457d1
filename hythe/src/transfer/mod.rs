//! Transfers: files from here to there and back, whatever happens on the way.
//!
//! ```text
//!   Url ─► Remote ── open, receive ─► Saving ─► FILE.part ── rename ─► FILE
//!            ▲                          │           │
//!            └──── retry, with a wait ──┘     FILE.part.journal
//!                                             (version, how far)
//! ```
//!
//! A download lands in a part beside its target, and its journal says of which
//! version of the file the part is: a file that has changed meanwhile is never
//! stitched together from two. An upload is known again by what the server gave
//! for it, which is kept among this user's state. So whoever is interrupted, by
//! a signal or a power cut, runs the same command again.
//!
//! Not here: protocols (see [`client`](crate::client)), and what is shown, which
//! a [`Watch`] is told.

mod checking;
mod connections;
mod download;
mod journal;
mod local;
mod part;
mod queue;
mod retry;
mod saving;
mod tree;
mod upload;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

pub use checking::Checksum;
pub use connections::Connections;
pub use download::{Existing, Target, download};
pub use local::{is_safe, safe_name};
pub use queue::at_most;
pub use tree::{Item, Plan, download_plan, upload_plan};
pub use upload::{Source, upload};

use crate::client::{Error, Meter, Options, Rate};

/// How transfers are made.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How servers are reached.
    pub options: Options,
    /// How often a transfer that makes no progress is tried again.
    pub retries: u32,
    /// How long is waited before the first of them; each next wait is twice as
    /// long, up to half a minute.
    pub first_wait: Duration,
    /// How many connections may be used at once.
    pub connections: usize,
    /// How fast it may go, all together.
    pub rate: Option<Arc<Rate>>,
    /// Where it is kept which uploads have begun; nowhere if `None`.
    pub state: Option<PathBuf>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            options: Options::default(),
            retries: 8,
            first_wait: Duration::from_secs(1),
            connections: 1,
            rate: None,
            state: state_folder(),
        }
    }
}

impl Settings {
    /// The same for each of several transfers, which share the connections.
    #[must_use]
    pub fn for_each(&self) -> Self {
        Self {
            connections: 1,
            ..self.clone()
        }
    }

    fn meter(&self) -> Meter {
        Meter::new(self.rate.clone())
    }
}

/// Where programs keep such things (XDG Base Directory Specification).
fn state_folder() -> Option<PathBuf> {
    let absolute = |path: PathBuf| path.is_absolute().then_some(path);
    std::env::var_os("XDG_STATE_HOME")
        .map(PathBuf::from)
        .and_then(absolute)
        .or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".local/state")))
        .map(|folder| folder.join("hythe"))
}

/// Who is told what happens. Called from the thread that runs the transfer.
pub trait Watch {
    /// Something has happened.
    fn event(&self, event: Event<'_>);
}

/// Says nothing to nobody.
impl Watch for () {
    fn event(&self, _: Event<'_>) {}
}

/// What happens in a transfer, which is known by its name: the file on this
/// machine, or what stands for it.
#[derive(Clone, Debug)]
pub enum Event<'a> {
    /// Bytes are about to move.
    Begun {
        /// Which transfer.
        name: &'a str,
        /// How many bytes the file has, if that is known.
        total: Option<u64>,
        /// How many were there already.
        offset: u64,
        /// Whether it can be gone on with after an interruption.
        resumes: bool,
        /// Counts those that move from now on.
        meter: &'a Meter,
    },
    /// What was there can't be gone on with, and all of it is moved again.
    Restarted {
        /// Which transfer.
        name: &'a str,
        /// Why, in a sentence.
        why: &'a str,
    },
    /// It failed, and will be tried again after a wait.
    Retrying {
        /// Which transfer.
        name: &'a str,
        /// Why it failed.
        error: &'a Error,
        /// How long the wait is.
        wait: Duration,
    },
    /// The head of the server's answer, where the protocol has one, as it came.
    Head {
        /// With its empty line.
        head: &'a [u8],
    },
    /// It is there.
    Done {
        /// Which transfer.
        name: &'a str,
        /// How many bytes the file has.
        bytes: u64,
    },
    /// It is given up.
    Failed {
        /// Which transfer.
        name: &'a str,
        /// Why.
        error: &'a Error,
    },
    /// It was there already, the same.
    Skipped {
        /// Which transfer.
        name: &'a str,
    },
}

/// How a transfer ended well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Done {
    /// The file on this machine, if there is one.
    pub file: Option<PathBuf>,
    /// How many bytes it has.
    pub bytes: u64,
}
