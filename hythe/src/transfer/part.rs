//! The part of a file that is on its way: `NAME.part`, and its journal beside
//! it.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, SystemTime};

use rustix::fs::{FlockOperation, OFlags, flock};

use super::journal::{Head, Journal, Segment, UNKNOWN};
use crate::client::{Error, Reason, Result, Version};

/// How often, and how long apart, it is tried to get hold of a part: together as
/// long as a disk may take for the last piece.
const LOCK_TRIES: u32 = 20;
const LOCK_WAIT: Duration = Duration::from_millis(50);

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
        let file = open(&path).map_err(local)?;
        lock(&file)?;
        let journal = Journal::read(open(&journal_path).map_err(local)?).map_err(local)?;
        let length = file.metadata().map_err(local)?.len();
        let journal = match journal {
            Ok(journal) => Ok((why_not(&journal, url, length), journal)),
            Err(empty) => {
                let head = head(url, &Version::default());
                let left = (length > 0).then_some("nobody knows what the part is of");
                Journal::begin(empty, head, whole(None)).map(|journal| (left, journal))
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
    pub(super) fn finish(self, modified: Option<i64>) -> io::Result<()> {
        let seconds = modified.and_then(|seconds| u64::try_from(seconds).ok());
        if let Some(seconds) = seconds {
            let time = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds));
            // Some file systems keep no times.
            time.and_then(|time| self.file.set_modified(time).ok());
        }
        fs::rename(&self.path, &self.target)?;
        fs::remove_file(&self.journal_path)
    }

    /// Leaves no trace of it.
    pub(super) fn discard(self) {
        fs::remove_file(&self.path).ok();
        fs::remove_file(&self.journal_path).ok();
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
    } else if head.boot != boot() {
        Some("this machine was restarted, and may have lost some of the part")
    } else if reached > length {
        Some("some of the part is missing")
    } else {
        None
    }
}

/// Takes the part for this process alone. One that was just interrupted may need
/// a moment to let go of it.
fn lock(file: &File) -> Result<()> {
    for _ in 0..LOCK_TRIES {
        if flock(file, FlockOperation::NonBlockingLockExclusive).is_ok() {
            return Ok(());
        }
        thread::sleep(LOCK_WAIT);
    }
    let text = "another hythe is fetching it at this moment";
    Err(Error::new(Reason::Local, text))
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
