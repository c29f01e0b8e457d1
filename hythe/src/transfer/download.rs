//! Downloads: into a part, by one connection or several, and again until it is
//! whole.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsFd as _;
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
use crate::visible::visible;

/// Less is not worth a connection of its own.
const SEGMENT_LEAST: u64 = 1024 * 1024;

/// How often a file may change while it is fetched before that is given up.
const RESTARTS: u32 = 5;

/// What becomes of a file that is there already. One that is the same, by its
/// size and time of modification, is left as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// It stays, and the transfer fails. Devices and pipes are written to.
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
        Some(file) => visible(&file.to_string_lossy()),
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
        connections_at_once: settings.connections,
        head: Vec::new(),
    };
    download.check_anew();
    let done = download.run(&url).await;
    if let Err(error) = &done {
        let name = &download.name;
        watch.event(Event::Failed { name, error });
    }
    done
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
    /// How many may be used, as it has turned out.
    connections_at_once: usize,
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

    /// Begins to make the checksum, from the first byte.
    fn check_anew(&self) {
        let algorithm = self
            .target
            .checksum
            .as_ref()
            .map(|checksum| checksum.algorithm);
        *self.checking() = algorithm.map(Checking::new);
    }

    async fn run(&mut self, url: &str) -> Result<Done> {
        let Some(file) = &self.target.file else {
            let output = io::stdout().as_fd().try_clone_to_owned().map_err(local)?;
            return self.fetch_stream(output.into()).await;
        };
        match fs::metadata(file) {
            Ok(meta) if meta.is_dir() => {
                let text = format!("{} is a folder", self.name);
                Err(Error::new(Reason::Local, text))
            }
            // A device or a pipe is written to, not replaced.
            Ok(meta) if !meta.is_file() => {
                let stream = File::options().write(true).open(file).map_err(local)?;
                self.fetch_stream(stream).await
            }
            _ => self.fetch_file(file, url).await,
        }
    }

    // --- Into a file ---

    async fn fetch_file(&mut self, file: &Path, url: &str) -> Result<Done> {
        if fs::symlink_metadata(file).is_ok() && self.is_there(file).await? {
            self.watch.event(Event::Skipped { name: &self.name });
            let bytes = fs::metadata(file).map_or(0, |meta| meta.len());
            return Ok(self.done(bytes));
        }
        let part = Part::open(file, url)?;
        if let Some(why) = part.forgotten {
            self.restarted(why);
        }
        let mut tries = Tries::new(self.settings);
        let mut restarts = 0;
        loop {
            let Err(error) = self.fill(&part).await else {
                break;
            };
            if error.reason == Reason::Changed && restarts < RESTARTS {
                restarts += 1;
                self.restarted(&error.text);
                // Perhaps it is the same, and can't be had in segments.
                self.connections_at_once = 1;
                self.begin_part(&part, &Version::default(), whole(None))?;
                continue;
            }
            let reached = part.journal.done();
            tries.next(&self.name, error, reached, self.watch).await?;
        }
        self.finish(&part).await
    }

    fn begin_part(&self, part: &Part, version: &Version, segments: Vec<Segment>) -> Result<()> {
        self.check_anew();
        part.begin(version, segments).map_err(local)
    }

    /// Whether the very file is there already.
    async fn is_there(&mut self, file: &Path) -> Result<bool> {
        let meta = fs::metadata(file).map_err(local)?;
        let opening = self.open_head().await?.unwrap_or_default();
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
        if self.connections_at_once > 1 && is_new {
            self.divide(part).await?;
        }
        let segments = part.journal.segments();
        if segments.len() == 1 {
            return self.fill_alone(part).await;
        }
        self.begin(&Opening {
            total: segments.last().map(|segment| segment.end),
            offset: part.journal.done(),
            version: part.journal.head().version,
            ..Opening::default()
        });
        let before = part.journal.done();
        let missing = (0..segments.len()).filter(|index| !segments[*index].is_done());
        let this = &*self;
        let jobs = missing.map(
            |index| -> std::pin::Pin<Box<dyn Future<Output = Result<()>>>> {
                Box::pin(this.fill_segment(part, index))
            },
        );
        let results = at_most(self.connections_at_once, jobs).await;
        // What is changed is the same for all; the rest may be tried again.
        let mut failed: Vec<Error> = results.into_iter().filter_map(Result::err).collect();
        failed.sort_by_key(|error| (error.reason != Reason::Changed, error.is_passing()));
        let Some(mut error) = failed.into_iter().next() else {
            return Ok(());
        };
        if error.reason == Reason::NotAllowed && part.journal.done() > before {
            // Some were let in: the others were too many.
            error.reason = Reason::Busy(None);
        }
        self.connections_at_once = self.connections_at_once.div_ceil(2);
        Err(error)
    }

    /// The head of the answer, from servers that give one.
    async fn open_head(&self) -> Result<Option<Opening>> {
        match self.open(&Ask::head()).await {
            Ok(opening) => Ok(Some(opening)),
            Err(error) if error.is_passing() || error.reason == Reason::NotFound => Err(error),
            // They may give the file all the same.
            Err(_) => Ok(None),
        }
    }

    /// Makes segments for as many connections as there may be, if it is known
    /// that the file will stay the same.
    async fn divide(&mut self, part: &Part) -> Result<()> {
        let opening = self.open_head().await?.unwrap_or_default();
        let Some(total) = opening.total.filter(|_| opening.version.is_telling()) else {
            return Ok(());
        };
        let count = (total / SEGMENT_LEAST).clamp(1, self.connections_at_once as u64);
        let edge =
            |number: u64| (u128::from(total) * u128::from(number) / u128::from(count)) as u64;
        let segments = (0..count).map(|number| Segment {
            start: edge(number),
            done: edge(number),
            end: edge(number + 1),
        });
        self.tell_head(&opening.head);
        self.begin_part(part, &opening.version, segments.collect())
    }

    /// One connection, which may find that the file is another one.
    async fn fill_alone(&mut self, part: &Part) -> Result<()> {
        let Some(segment) = part.journal.segment(0).filter(|segment| !segment.is_done()) else {
            self.begin(&Opening {
                offset: part.journal.done(),
                total: Some(part.journal.done()),
                version: part.journal.head().version,
                ..Opening::default()
            });
            return Ok(());
        };
        let version = part.journal.head().version;
        // Where nobody can tell whether it is the same, it is had from the start.
        let from = if version.is_telling() {
            segment.done
        } else {
            0
        };
        let ask = Ask {
            from,
            version: (from > 0).then_some(version),
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
            self.begin_part(part, &opening.version, whole(opening.total))?;
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

    async fn finish(&mut self, part: &Part) -> Result<Done> {
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
        part.finish(modified, self.target.existing)?;
        self.watch.event(Event::Done {
            name: &self.name,
            bytes: length,
        });
        Ok(self.done(length))
    }

    // --- Into a stream ---

    async fn fetch_stream(&mut self, stream: File) -> Result<Done> {
        let stream = Arc::new(stream);
        let mut tries = Tries::new(self.settings);
        let mut version = None;
        while let Err(error) = self.pass_on(&stream, &mut version).await {
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

    async fn pass_on(&mut self, stream: &Arc<File>, version: &mut Option<Version>) -> Result<()> {
        let from = self.shared.offset();
        if from > 0 && !version.as_ref().is_some_and(Version::is_telling) {
            let text = "it was cut off, and nobody can tell whether the file is still the same";
            return Err(Error::new(Reason::Changed, text));
        }
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
                    outlet: Outlet::Stream(Arc::clone(stream)),
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
            resumes: opening.version.is_telling() && self.target.file.is_some(),
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
fn local(error: io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::BrokenPipe => Error::new(Reason::Closed, "the reader has seen enough"),
        _ => Error::local(&error),
    }
}
