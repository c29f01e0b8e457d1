//! Downloads: into a part, by one connection or several, and again until it is
//! whole.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};
use std::time::UNIX_EPOCH;

use hythe_net::reactor::unblock;

use super::checking::{Checking, hexadecimal};
use super::connections::Connections;
use super::journal::{Segment, UNKNOWN};
use super::part::{Part, whole};
use super::queue::at_most;
use super::retry::Tries;
use super::saving::{Outlet, Saving, Shared};
use super::{Checksum, Done, Event, Settings, Watch};
use crate::client::{Ask, Error, Meter, Opening, Reason, Remote, RemotePath, Result, Version};

/// Less is not worth a connection of its own.
const SEGMENT_LEAST: u64 = 1024 * 1024;

/// How often a file may change while it is fetched before that is given up.
const RESTARTS: u32 = 5;

/// What becomes of a file that is there already. One that is the same, by its
/// size and time of modification, is left as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// It stays, and the transfer fails.
    Keep,
    /// It is replaced, once the new one is whole.
    Replace,
}

/// Where a download goes.
#[derive(Clone, Debug)]
pub struct Target {
    /// The file; standard output if `None`.
    pub file: Option<PathBuf>,
    /// What becomes of one that is there.
    pub existing: Existing,
    /// What its content has to be.
    pub checksum: Option<Checksum>,
}

/// Fetches a file.
///
/// # Errors
/// The server's, after all tries; [`Reason::Exists`], [`Reason::Mismatch`],
/// [`Reason::Local`].
pub async fn download(
    connections: &Connections,
    path: &RemotePath,
    target: &Target,
    settings: &Settings,
    watch: &dyn Watch,
) -> Result<Done> {
    let url = connections.url().with_path(path.clone()).to_string();
    let name = match &target.file {
        Some(file) => file.display().to_string(),
        None => url.clone(),
    };
    let mut download = Download {
        connections,
        path,
        target,
        settings,
        watch,
        name,
        meter: settings.meter(),
        shared: Arc::new(Shared::default()),
        begun: false,
        head: Vec::new(),
    };
    if let Some(checksum) = &target.checksum {
        *download.checking() = Some(Checking::new(checksum.algorithm));
    }
    match &target.file {
        Some(file) => download.into_file(file, &url).await,
        None => download.into_output().await,
    }
}

struct Download<'a> {
    connections: &'a Connections,
    path: &'a RemotePath,
    target: &'a Target,
    settings: &'a Settings,
    watch: &'a dyn Watch,
    name: String,
    meter: Meter,
    shared: Arc<Shared>,
    begun: bool,
    head: Vec<u8>,
}

/// Whoever drops a download, as Ctrl-C does, wants nothing more written.
impl Drop for Download<'_> {
    fn drop(&mut self) {
        self.shared.stop();
    }
}

impl Download<'_> {
    fn checking(&self) -> std::sync::MutexGuard<'_, Option<Checking>> {
        self.shared
            .checking
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    // --- Into a file ---

    async fn into_file(&mut self, file: &Path, url: &str) -> Result<Done> {
        if fs::symlink_metadata(file).is_ok() && self.is_there(file).await? {
            self.watch.event(Event::Skipped { name: &self.name });
            let bytes = fs::metadata(file).map_or(0, |meta| meta.len());
            return Ok(self.done(bytes));
        }
        let part = Part::open(file, url)?;
        let mut tries = Tries::new(self.settings);
        let mut restarts = 0;
        loop {
            let Err(error) = self.fill(&part).await else {
                break;
            };
            if error.reason == Reason::Changed && restarts < RESTARTS {
                restarts += 1;
                self.restarted(&error.text);
                part.begin(&Version::default(), whole(None))
                    .map_err(local)?;
                continue;
            }
            let reached = part.journal.done();
            if let Err(error) = tries.next(&self.name, error, reached, self.watch).await {
                return Err(self.give_up(part, error));
            }
        }
        self.finish(part).await
    }

    /// What is kept of it when it can't be brought to its end.
    fn give_up(&self, part: Part, error: Error) -> Error {
        if part.journal.done() == 0 || !part.journal.head().version.is_telling() {
            part.discard();
        }
        error
    }

    /// Whether the very file is there already.
    async fn is_there(&mut self, file: &Path) -> Result<bool> {
        let meta = fs::metadata(file).map_err(local)?;
        if meta.is_dir() {
            return Err(Error::new(
                Reason::Local,
                format!("{} is a folder", self.name),
            ));
        }
        let ask = Ask {
            head_only: true,
            ..Ask::default()
        };
        let opening = self.open(&ask).await?;
        let time = meta.modified().ok();
        let time = time.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        // Apache tells no length where only the head of an empty file is asked for.
        let total = opening.total.unwrap_or(0);
        let is_same = opening.version.modified.is_some()
            && total == meta.len()
            && opening.version.modified == time.map(|time| time.as_secs() as i64);
        if is_same && self.target.checksum.is_none() {
            return Ok(true);
        }
        match self.target.existing {
            Existing::Replace => Ok(false),
            Existing::Keep => Err(Error::new(
                Reason::Exists,
                format!("{} is there already; --overwrite replaces it", self.name),
            )),
        }
    }

    /// Has all connections fill what is missing of the part.
    async fn fill(&mut self, part: &Part) -> Result<()> {
        let is_new = part.journal.done() == 0 && part.journal.segments() == whole(None);
        if self.settings.connections > 1 && is_new {
            self.divide(part).await?;
        }
        let segments = part.journal.segments();
        if segments.len() == 1 {
            return self.fill_alone(part).await;
        }
        self.begin(&Opening {
            total: segments.last().map(|segment| segment.end),
            offset: part.journal.done(),
            ..Opening::default()
        });
        let missing = (0..segments.len()).filter(|index| !segments[*index].is_done());
        let this = &*self;
        let jobs = missing.map(
            |index| -> std::pin::Pin<Box<dyn Future<Output = Result<()>>>> {
                Box::pin(this.fill_segment(part, index))
            },
        );
        let results = at_most(self.settings.connections, jobs).await;
        // What is changed is the same for all; the rest may be tried again.
        let mut failed: Vec<Error> = results.into_iter().filter_map(Result::err).collect();
        failed.sort_by_key(|error| (error.reason != Reason::Changed, error.is_passing()));
        failed.into_iter().next().map_or(Ok(()), Err)
    }

    /// Makes segments for as many connections as there may be, if it is known
    /// that the file will stay the same.
    async fn divide(&mut self, part: &Part) -> Result<()> {
        let ask = Ask {
            head_only: true,
            ..Ask::default()
        };
        let opening = self.open(&ask).await?;
        let Some(total) = opening.total.filter(|_| opening.version.is_telling()) else {
            return Ok(());
        };
        let count = (total / SEGMENT_LEAST).clamp(1, self.settings.connections as u64);
        let edge =
            |number: u64| (u128::from(total) * u128::from(number) / u128::from(count)) as u64;
        let segments = (0..count).map(|number| Segment {
            start: edge(number),
            done: edge(number),
            end: edge(number + 1),
        });
        self.tell_head(&opening.head);
        part.begin(&opening.version, segments.collect())
            .map_err(local)
    }

    /// One connection, which may find that the file is another one.
    async fn fill_alone(&mut self, part: &Part) -> Result<()> {
        let Some(segment) = part.journal.segment(0).filter(|segment| !segment.is_done()) else {
            self.begin(&Opening {
                offset: part.journal.done(),
                total: Some(part.journal.done()),
                ..Opening::default()
            });
            return Ok(());
        };
        let ask = Ask {
            from: segment.done,
            version: (segment.done > 0).then(|| part.journal.head().version),
            ..Ask::default()
        };
        let connections = self.connections;
        connections
            .with(async |remote| {
                let opening = remote.open(self.path, &ask).await?;
                self.take_up(part, segment, &opening)?;
                receive(remote, part, 0, &self.meter, &self.shared).await
            })
            .await
    }

    /// Goes on, or begins anew, as the server does.
    fn take_up(&mut self, part: &Part, segment: Segment, opening: &Opening) -> Result<()> {
        self.tell_head(&opening.head);
        if opening.offset == 0 {
            if segment.done > 0 {
                self.restarted(if opening.changed {
                    "the file has changed on the server"
                } else {
                    "the server can't continue in the middle"
                });
            }
            let segments = whole(opening.total);
            part.begin(&opening.version, segments).map_err(local)?;
        } else if opening.offset != segment.done {
            return Err(Error::protocol("the server continues somewhere else"));
        }
        self.begin(opening);
        Ok(())
    }

    async fn fill_segment(&self, part: &Part, index: usize) -> Result<()> {
        let Some(segment) = part.journal.segment(index) else {
            return Ok(());
        };
        let ask = Ask {
            from: segment.done,
            to: Some(segment.end),
            version: Some(part.journal.head().version),
            head_only: false,
        };
        let shared = Arc::new(Shared::default());
        let _stop = StopOnDrop(&shared);
        let fill = async |remote: &mut dyn Remote| {
            let opening = remote.open(self.path, &ask).await?;
            if opening.offset != segment.done || opening.changed {
                let text = "the file has changed on the server, or can't be fetched in segments";
                return Err(Error::new(Reason::Changed, text));
            }
            receive(remote, part, index, &self.meter, &shared).await
        };
        self.connections.with(fill).await
    }

    async fn finish(&mut self, part: Part) -> Result<Done> {
        let length = part.journal.done();
        part.file.set_len(length).map_err(local)?;
        if let Some(checksum) = &self.target.checksum {
            let checking = self.checking().take();
            let file = Arc::clone(&part.file);
            let algorithm = checksum.algorithm;
            let made = unblock(move || {
                let checking = checking.unwrap_or_else(|| Checking::new(algorithm));
                checking.finish(&file, length)
            });
            let made = made.await.map_err(local)?;
            if made != checksum.digest {
                part.discard();
                return Err(mismatch(checksum, &made));
            }
        }
        let modified = part.journal.head().version.modified;
        part.finish(modified).map_err(local)?;
        self.watch.event(Event::Done {
            name: &self.name,
            bytes: length,
        });
        Ok(self.done(length))
    }

    // --- Into standard output ---

    async fn into_output(&mut self) -> Result<Done> {
        let mut tries = Tries::new(self.settings);
        let mut version = None;
        while let Err(error) = self.pass_on(&mut version).await {
            let reached = self.shared.offset();
            tries.next(&self.name, error, reached, self.watch).await?;
        }
        let length = self.shared.offset();
        let checking = self.checking().take();
        if let (Some(checksum), Some(checking)) = (&self.target.checksum, checking) {
            let made = checking.digest();
            if made != checksum.digest {
                return Err(mismatch(checksum, &made));
            }
        }
        self.watch.event(Event::Done {
            name: &self.name,
            bytes: length,
        });
        Ok(self.done(length))
    }

    async fn pass_on(&mut self, version: &mut Option<Version>) -> Result<()> {
        let from = self.shared.offset();
        let ask = Ask {
            from,
            version: version.clone().filter(|_| from > 0),
            ..Ask::default()
        };
        let connections = self.connections;
        let received = connections
            .with(async |remote| {
                let opening = remote.open(self.path, &ask).await?;
                self.tell_head(&opening.head);
                if opening.offset != from {
                    let text = "what was written already can't be continued, nor taken back";
                    return Err(Error::new(Reason::Changed, text));
                }
                *version = Some(opening.version.clone());
                self.begin(&opening);
                let saving = Saving {
                    outlet: Outlet::Output,
                    shared: Arc::clone(&self.shared),
                    meter: self.meter.clone(),
                    end: opening.length.map_or(UNKNOWN, |length| from + length),
                    next: from,
                };
                remote.receive(Box::new(saving)).await
            })
            .await;
        match self.shared.take_failure() {
            Some(error) => Err(local(error)),
            None => received,
        }
    }

    async fn open(&self, ask: &Ask) -> Result<Opening> {
        let open = async |remote: &mut dyn Remote| remote.open(self.path, ask).await;
        self.connections.with(open).await
    }

    // --- What is told ---

    fn begin(&mut self, opening: &Opening) {
        if std::mem::replace(&mut self.begun, true) {
            return;
        }
        self.watch.event(Event::Begun {
            name: &self.name,
            total: opening.total,
            offset: opening.offset,
            meter: &self.meter,
        });
    }

    fn restarted(&mut self, why: &str) {
        self.begun = false;
        self.watch.event(Event::Restarted {
            name: &self.name,
            why,
        });
    }

    fn tell_head(&mut self, head: &[u8]) {
        if self.head.is_empty() && !head.is_empty() {
            self.head = head.to_vec();
            self.watch.event(Event::Head { head });
        }
    }

    fn done(&mut self, bytes: u64) -> Done {
        Done {
            file: self.target.file.clone(),
            bytes,
        }
    }
}

struct StopOnDrop<'a>(&'a Shared);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.stop();
    }
}

/// Receives a segment to its end.
async fn receive(
    remote: &mut dyn Remote,
    part: &Part,
    index: usize,
    meter: &Meter,
    shared: &Arc<Shared>,
) -> Result<()> {
    let Some(segment) = part.journal.segment(index) else {
        return Ok(());
    };
    let saving = Saving {
        outlet: Outlet::Part {
            file: Arc::clone(&part.file),
            journal: Arc::clone(&part.journal),
            segment: index,
        },
        shared: Arc::clone(shared),
        meter: meter.clone(),
        end: segment.end,
        next: segment.done,
    };
    let received = remote.receive(Box::new(saving)).await;
    if let Some(error) = shared.take_failure() {
        return Err(local(error));
    }
    received?;
    if segment.end == UNKNOWN {
        part.journal.close(index);
        return Ok(());
    }
    match part.journal.segment(index) {
        Some(now) if !now.is_done() => {
            let text = format!("the server ended after {} of {} bytes", now.done, now.end);
            Err(Error::new(Reason::Lost, text))
        }
        _ => Ok(()),
    }
}

fn mismatch(checksum: &Checksum, made: &[u8]) -> Error {
    let text = format!(
        "the content does not match: its checksum is {}, and should be {}",
        hexadecimal(made),
        hexadecimal(&checksum.digest)
    );
    Error::new(Reason::Mismatch, text)
}

#[expect(clippy::needless_pass_by_value, reason = "for `map_err`")]
fn local(error: std::io::Error) -> Error {
    Error::local(&error)
}
