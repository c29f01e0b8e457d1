//! Files that come in: written to a hidden part, and put in place when whole.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use rustix::fs::fstatvfs;

use super::parts::Part;
use super::placing::{There, one_file};
use super::{Access, Act, Existing, Modified, RelPath, Stored, View};

/// How far an account may write before its quota is looked up again. Small
/// enough that little is written in vain, large enough that the database is not
/// in the way of the bytes.
const STEP: u64 = 16 * 1024 * 1024;

/// From which announced length on the free space is asked for first. For less
/// than this the asking is in vain: others write meanwhile.
const WORTH_ASKING: u64 = 1024 * 1024;

/// How a new file is meant.
#[derive(Clone, Copy, Debug)]
pub struct Intent {
    /// What may become of a file that has this name.
    pub existing: Existing,
    /// How long it will be, where that is known.
    pub length: Option<u64>,
    /// The time of modification it shall have; else the time it is finished.
    pub modified: Option<Modified>,
}

/// A file on its way into the share. Nobody sees it until [`finish`](Self::finish);
/// dropped before, it is gone.
///
/// Bytes come in by [`write`](Self::write); or, for those who write to the file
/// themselves (`splice(2)`), by [`reserve`](Self::reserve), then writing at the
/// offset [`written`](Self::written), then [`advance`](Self::advance).
#[derive(Debug)]
pub struct Incoming {
    view: View,
    path: RelPath,
    intent: Intent,
    part: Part,
    written: u64,
    allowance: Allowance,
}

impl View {
    /// Begins to take in a file that will appear at `path`, whole. Needs
    /// [`Access::Upload`], and [`Access::Write`] if there is a file already.
    ///
    /// What can be known is refused now, before any byte has come; all of it is
    /// looked at again when the file is [finished](Incoming::finish).
    ///
    /// # Errors
    /// `AlreadyExists`, `NotFound` where the folder is not there,
    /// `IsADirectory`, `ResourceBusy` for [`Existing::ReplaceThis`] which is no
    /// longer there, `QuotaExceeded`, `FileTooLarge`, `StorageFull`,
    /// `ReadOnlyFilesystem`, `PermissionDenied`.
    pub fn receive(&self, path: &RelPath, intent: Intent) -> io::Result<Incoming> {
        let (allowance, _) = self.check_incoming(path, &intent)?;
        let folder = self.share.root.store.folder()?;
        if let Some(length) = intent.length
            && length >= WORTH_ASKING
        {
            enough_space(&folder, length)?;
        }
        Ok(Incoming {
            view: self.clone(),
            path: path.clone(),
            intent,
            part: Part::file(folder)?,
            written: 0,
            allowance,
        })
    }

    /// Whether a file that is meant so would be taken in, as far as can be known
    /// now; how much of it, and what is there.
    pub(super) fn check_incoming(
        &self,
        path: &RelPath,
        intent: &Intent,
    ) -> io::Result<(Allowance, There)> {
        self.may(Access::Upload, Act::Create, path)?;
        if self.share.is_one_file() {
            return Err(one_file());
        }
        if path.is_root() {
            return Err(match intent.existing {
                Existing::Keep => io::ErrorKind::AlreadyExists.into(),
                _ => io::ErrorKind::IsADirectory.into(),
            });
        }
        let there = self.spot_for(path)?.look()?;
        self.replaceable(path, there, intent.existing)?;
        let replaced = match there {
            There::File(meta) => meta.size,
            _ => 0,
        };
        let mut allowance = Allowance::new(intent.length, self.share.rules.max_upload, replaced);
        allowance.reach(self, intent.length.unwrap_or(0))?;
        Ok((allowance, there))
    }
}

impl Incoming {
    /// The file to write to, at the offset [`written`](Self::written).
    pub fn file(&self) -> &File {
        &self.part.file
    }

    /// Whether this many more bytes may be written.
    ///
    /// # Errors
    /// `QuotaExceeded`, `FileTooLarge`, `InvalidInput` for more than the length
    /// that was announced.
    pub fn reserve(&mut self, bytes: u64) -> io::Result<()> {
        self.allowance
            .reach(&self.view, self.written.saturating_add(bytes))
    }

    /// Counts bytes that were written to the file after they were
    /// [reserved](Self::reserve).
    pub fn advance(&mut self, bytes: u64) {
        self.written += bytes;
    }

    /// Appends.
    ///
    /// # Errors
    /// As [`reserve`](Self::reserve), and `StorageFull`.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.reserve(bytes.len() as u64)?;
        self.part.file.write_all_at(bytes, self.written)?;
        self.advance(bytes.len() as u64);
        Ok(())
    }

    /// How many bytes have come.
    pub fn written(&self) -> u64 {
        self.written
    }

    /// What it is meant to be.
    pub fn intent(&self) -> &Intent {
        &self.intent
    }

    /// Lets the file appear under its name.
    ///
    /// # Errors
    /// As [`View::receive`]; `UnexpectedEof` for less than was announced.
    pub fn finish(self) -> io::Result<Stored> {
        if self
            .intent
            .length
            .is_some_and(|length| self.written < length)
        {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let Intent {
            existing, modified, ..
        } = self.intent;
        self.view
            .place(&self.path, self.part.complete(), existing, modified)
    }
}

/// How long a file may become, as far as has been asked. The last word has the
/// ledger, when the file is put in place.
#[derive(Debug)]
pub(super) struct Allowance {
    granted: u64,
    announced: Option<u64>,
    max: Option<u64>,
    /// What of it the visitor has the room for already: the length of what it
    /// replaces.
    replaced: u64,
}

impl Allowance {
    pub(super) fn new(announced: Option<u64>, max: Option<u64>, replaced: u64) -> Self {
        Self {
            granted: 0,
            announced,
            max,
            replaced,
        }
    }

    /// Whether the file may become as long as `end`.
    pub(super) fn reach(&mut self, view: &View, end: u64) -> io::Result<()> {
        if end <= self.granted {
            return Ok(());
        }
        if self.announced.is_some_and(|length| end > length) {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "more came than was announced",
            ));
        }
        if self.max.is_some_and(|max| end > max) {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let mut limit = self.limit(view)?;
        if let Some(account) = &view.visitor.account
            && end > limit
            && view.share.rules.ledger.recount(account)?
        {
            limit = self.limit(view)?;
        }
        if end > limit {
            return Err(io::ErrorKind::QuotaExceeded.into());
        }
        let ahead = end.max(self.granted.saturating_add(STEP));
        self.granted = [self.announced, self.max]
            .into_iter()
            .flatten()
            .fold(ahead.min(limit), u64::min);
        Ok(())
    }
}

impl Allowance {
    /// How long the file may become by what the visitor may store.
    fn limit(&self, view: &View) -> io::Result<u64> {
        let room = match &view.visitor.account {
            None => None,
            Some(account) => view.share.rules.ledger.room(account)?,
        };
        Ok(room.map_or(u64::MAX, |room| room.saturating_add(self.replaced)))
    }
}

/// Refuses a length that there is no space for. It is not reserved: whoever
/// announces much and sends nothing would fill the disk.
fn enough_space(folder: impl std::os::fd::AsFd, length: u64) -> io::Result<()> {
    let disk = fstatvfs(folder)?;
    // Some file systems do not know their size.
    if disk.f_blocks > 0 && disk.f_bavail.saturating_mul(disk.f_frsize) < length {
        return Err(io::ErrorKind::StorageFull.into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::share::{Ledger, NoBooks, Owned, Rules, Share, Visitor};

    /// Room for 40 MiB, and how often it was asked for.
    #[derive(Debug, Default)]
    struct Room(AtomicUsize);

    impl Ledger for Room {
        fn room(&self, _account: &str) -> io::Result<Option<u64>> {
            self.0.fetch_add(1, Ordering::Relaxed);
            Ok(Some(40 * 1024 * 1024))
        }

        fn stored(
            &self,
            _visitor: &Visitor,
            _path: &RelPath,
            _bytes: u64,
        ) -> io::Result<Option<Owned>> {
            Ok(None)
        }

        fn undo(
            &self,
            _visitor: &Visitor,
            _path: &RelPath,
            _before: Option<Owned>,
        ) -> io::Result<()> {
            Ok(())
        }

        fn moved(&self, _from: &RelPath, _to: &RelPath) -> io::Result<()> {
            Ok(())
        }

        fn removed(&self, _path: &RelPath) -> io::Result<()> {
            Ok(())
        }

        fn audit(&self, visitor: &Visitor, act: Act, path: &RelPath, detail: &str) {
            NoBooks.audit(visitor, act, path, detail);
        }
    }

    #[test]
    fn the_quota_is_looked_up_once_a_step() {
        const LIMIT: u64 = 40 * 1024 * 1024;
        let room = Arc::new(Room::default());
        let folder = tempfile::tempdir().unwrap();
        let share = Share::open(folder.path()).unwrap().with_rules(Rules {
            ledger: Arc::clone(&room) as _,
            ..Rules::default()
        });
        let view = share.view_of(
            Access::Upload,
            Visitor {
                account: Some("anna".into()),
                ..Visitor::LOCAL
            },
        );
        let asked = || room.0.swap(0, Ordering::Relaxed);

        let mut unknown = Allowance::new(None, None, 0);
        for end in (0..=LIMIT).step_by(4096) {
            unknown.reach(&view, end).unwrap();
        }
        assert_eq!(asked(), 3);
        let error = unknown.reach(&view, LIMIT + 1).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::QuotaExceeded);
        asked();

        let mut announced = Allowance::new(Some(LIMIT), None, 0);
        announced.reach(&view, LIMIT).unwrap();
        for end in (0..=LIMIT).step_by(4096) {
            announced.reach(&view, end).unwrap();
        }
        assert_eq!(asked(), 1);
        let error = announced.reach(&view, LIMIT + 1).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);

        let mut replacing = Allowance::new(None, None, 10);
        replacing.reach(&view, LIMIT + 10).unwrap();
        assert!(replacing.reach(&view, LIMIT + 11).is_err());

        // Who has no account has no quota; the limit is for all.
        asked();
        let stranger = share.view(Access::Upload);
        let mut limited = Allowance::new(None, Some(LIMIT * 2), 0);
        limited.reach(&stranger, LIMIT * 2).unwrap();
        let error = limited.reach(&stranger, LIMIT * 2 + 1).unwrap_err();
        assert_eq!((error.kind(), asked()), (io::ErrorKind::FileTooLarge, 0));
    }
}
