//! The part of a file that is on its way: `NAME.part`, and its journal beside
//! it.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, SystemTime};

use rustix::fs::{CWD, FlockOperation, OFlags, RenameFlags, flock, renameat_with};
use rustix::io::Errno;

use super::download::Existing;
use super::journal::{Head, Journal, Segment, UNKNOWN};
use crate::client::{Error, Reason, Result, Version};
use crate::visible::visible;

/// How often, and how long apart, it is tried to get hold of a part: together as
/// long as a disk may take for the last piece.
const LOCK_TRIES: u32 = 20;
const LOCK_WAIT: Duration = Duration::from_millis(50);

/// What a journal says in place of a start of this machine, if its part has
/// reached the disk.
const SYNCED: &str = "synced";

/// A part, held by this process alone.
#[derive(Debug)]
pub(super) struct Part {
    target: PathBuf,
    path: PathBuf,
    journal_path: PathBuf,
    pub(super) file: Arc<File>,
    pub(super) journal: Arc<Journal>,
    url: String,
    /// Why what was there can't be gone on with, if something was.
    pub(super) forgotten: Option<&'static str>,
}

impl Part {
    /// Opens the part of `target`, or begins it. What is there of another file, or
    /// of one whose version nobody knows, is forgotten.
    ///
    /// # Errors
    /// [`Reason::Local`]; also if another process is at it.
    pub(super) fn open(target: &Path, url: &str) -> Result<Self> {
        let local = |error: io::Error| Error::local(&error);
        let path = beside(target, ".part");
        let journal_path = beside(target, ".part.journal");
        let file = open_locked(&path)?;
        let journal = Journal::read(open(&journal_path).map_err(local)?).map_err(local)?;
        let length = file.metadata().map_err(local)?.len();
        let journal = match journal {
            Ok(journal) => {
                catch_up(&journal, length).map_err(local)?;
                Ok((why_not(&journal, url, length), journal))
            }
            Err(empty) => {
                if length > 0 {
                    fs::remove_file(&journal_path).ok();
                    let name = visible(&path.to_string_lossy());
                    let text = format!("{name} is there, and is no part of ours; move it away");
                    return Err(Error::new(Reason::Local, text));
                }
                let head = head(url, &Version::default());
                Journal::begin(empty, head, whole(None)).map(|journal| (None, journal))
            }
        };
        let (forgotten, journal) = journal.map_err(local)?;
        if forgotten.is_some() || journal.done() == 0 {
            let head = head(url, &Version::default());
            journal.set(head, whole(None)).map_err(local)?;
            file.set_len(0).map_err(local)?;
        }
        Ok(Self {
            target: target.into(),
            path,
            journal_path,
            file: Arc::new(file),
            journal: Arc::new(journal),
            url: url.to_owned(),
            forgotten,
        })
    }

    /// Begins anew with this version, in these segments.
    pub(super) fn begin(&self, version: &Version, segments: Vec<Segment>) -> io::Result<()> {
        self.file.set_len(0)?;
        self.journal.set(head(&self.url, version), segments)
    }

    /// Puts it in place, with the time of modification that the server told.
    ///
    /// # Errors
    /// [`Reason::Exists`] if something has come there meanwhile, and is to stay.
    pub(super) fn finish(&self, modified: Option<i64>, existing: Existing) -> Result<()> {
        let local = |error: io::Error| Error::local(&error);
        let seconds = modified.and_then(|seconds| u64::try_from(seconds).ok());
        if let Some(seconds) = seconds {
            let time = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds));
            // Some file systems keep no times.
            time.and_then(|time| self.file.set_modified(time).ok());
        }
        if !is_at(&self.file, &self.path).map_err(local)? {
            let text = format!(
                "{} was replaced meanwhile",
                visible(&self.path.to_string_lossy())
            );
            return Err(Error::new(Reason::Local, text));
        }
        let placed = match existing {
            Existing::Replace => fs::rename(&self.path, &self.target),
            Existing::Keep => rename_to_new(&self.path, &self.target),
        };
        match placed {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let text = format!(
                    "{} has come there meanwhile",
                    visible(&self.target.to_string_lossy())
                );
                return Err(Error::new(Reason::Exists, text));
            }
            placed => placed.map_err(local)?,
        }
        // Nobody needs it any more, whoever removed it.
        fs::remove_file(&self.journal_path).ok();
        Ok(())
    }

    /// Makes sure that what is there can be gone on with after the machine was
    /// restarted, too.
    fn keep(&self) -> io::Result<()> {
        self.file.sync_data()?;
        let head = Head {
            boot: SYNCED.into(),
            ..self.journal.head()
        };
        self.journal.set(head, self.journal.segments())
    }

    /// Leaves no trace of it.
    pub(super) fn discard(&self) {
        fs::remove_file(&self.path).ok();
        fs::remove_file(&self.journal_path).ok();
    }

    /// Whether it is worth keeping.
    fn is_useful(&self) -> bool {
        self.journal.done() > 0 && self.journal.head().version.is_telling()
    }
}

/// One that was not finished is kept if it can be gone on with, and else leaves
/// no trace.
impl Drop for Part {
    fn drop(&mut self) {
        if !is_at(&self.file, &self.path).unwrap_or(false) {
            return;
        }
        if self.is_useful() {
            // What could not be made sure of is known by the journal's head.
            self.keep().ok();
        } else {
            self.discard();
        }
    }
}

/// Has the journal know of what was written last, if whoever wrote it came to no
/// more than that: where there is one segment, the part is as long as it has
/// come.
fn catch_up(journal: &Journal, length: u64) -> io::Result<()> {
    match journal.segments().as_slice() {
        [only] if only.done < length && length <= only.end => journal.reach(0, length),
        _ => Ok(()),
    }
}

/// Why a part of this length can't be gone on with, if something is there.
fn why_not(journal: &Journal, url: &str, length: u64) -> Option<&'static str> {
    let head = journal.head();
    let segments = journal.segments();
    let begun = segments
        .iter()
        .filter(|segment| segment.done > segment.start);
    let reached = begun.map(|segment| segment.done).max()?;
    if head.url != url {
        Some("the part is of something else")
    } else if !head.version.is_telling() {
        Some("nobody can tell whether the file is still the same")
    } else if head.boot != boot() && head.boot != SYNCED {
        Some("this machine was restarted, and may have lost some of the part")
    } else if reached > length {
        Some("some of the part is missing")
    } else {
        None
    }
}

/// Opens a part for this process alone. One that was just interrupted may need a
/// moment to let go of it; one that was just finished has taken it away.
fn open_locked(path: &Path) -> Result<File> {
    let local = |error: io::Error| Error::local(&error);
    let mut file = open(path).map_err(local)?;
    for _ in 0..LOCK_TRIES {
        if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
            thread::sleep(LOCK_WAIT);
        } else if is_at(&file, path).map_err(local)? {
            return Ok(file);
        } else {
            file = open(path).map_err(local)?;
        }
    }
    let text = "another hythe is fetching it at this moment";
    Err(Error::new(Reason::Local, text))
}

/// Whether the path leads to this very file.
fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    let this = file.metadata()?;
    match fs::symlink_metadata(path) {
        Ok(that) => Ok((this.dev(), this.ino()) == (that.dev(), that.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Renames, unless there is something already.
fn rename_to_new(from: &Path, to: &Path) -> io::Result<()> {
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        // Some file systems can't be asked so.
        Err(Errno::INVAL | Errno::NOSYS) if fs::symlink_metadata(to).is_err() => {
            fs::rename(from, to)
        }
        Err(Errno::INVAL | Errno::NOSYS) => Err(io::ErrorKind::AlreadyExists.into()),
        renamed => Ok(renamed?),
    }
}

/// One segment that is all of a file.
pub(super) fn whole(total: Option<u64>) -> Vec<Segment> {
    vec![Segment {
        start: 0,
        done: 0,
        end: total.unwrap_or(UNKNOWN),
    }]
}

fn head(url: &str, version: &Version) -> Head {
    Head {
        url: url.to_owned(),
        version: version.clone(),
        boot: boot(),
    }
}

/// Which start of this machine this is (`random(4)`).
fn boot() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .unwrap_or_default()
        .trim()
        .to_owned()
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        // Whoever can write here may have put a link in the way.
        .custom_flags(OFlags::NOFOLLOW.bits() as i32)
        .open(path)
}

fn beside(target: &Path, ending: &str) -> PathBuf {
    let mut name = OsString::from(target.as_os_str());
    name.push(ending);
    name.into()
}
