//! Files written where they are, as FTP has it: the end of the data is all that
//! a server of it ever hears, so a file whose sender went away cannot be told
//! from a whole one, and is kept.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::FileExt;

use rustix::fs::{AtFlags, OFlags, fstat, openat, unlinkat};
use rustix::io::Errno;

use super::incoming::Allowance;
use super::parts::FILE_MODE;
use super::placing::{Spot, There};
use super::write::booked;
use super::{Access, Act, Meta, RelPath, View};

/// Where in a file to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// At its end.
    Append,
    /// From this offset on, in a file that is there and at least as long.
    At(u64),
    /// From its beginning, with nothing of what it was.
    Truncate,
    /// In a file that must not be there yet.
    New,
}

/// A file that is being written where it is. It counts toward the quota when
/// this is finished or dropped.
#[derive(Debug)]
pub struct Writing {
    view: View,
    spot: Spot,
    file: File,
    offset: u64,
    /// How long it was; `None` if there was no file.
    before: Option<u64>,
    act: Act,
    allowance: Allowance,
    booked: bool,
}

impl View {
    /// Whether [`write_in_place`](Self::write_in_place) would succeed, as far as
    /// can be known now. Nothing is changed by asking.
    ///
    /// # Errors
    /// As [`write_in_place`](Self::write_in_place).
    pub fn check_in_place(&self, path: &RelPath, how: How) -> io::Result<()> {
        let (_, before) = self.spot_in_place(path, how)?;
        let mut allowance = Allowance::new(None, self.share.rules.max_upload, before.unwrap_or(0));
        // The first byte of what is to come.
        allowance.reach(self, how.offset(before)?.saturating_add(1))
    }

    /// Begins to write into the file at `path`, which is made if it is missing.
    /// A new file needs [`Access::Upload`], any other [`Access::Write`].
    ///
    /// # Errors
    /// `NotFound` where the folder is not there, or, for [`How::At`], the file;
    /// `IsADirectory`, `InvalidInput` for an offset past the end,
    /// `AlreadyExists` for what can't be written to, and for [`How::New`];
    /// `QuotaExceeded`.
    pub fn write_in_place(&self, path: &RelPath, how: How) -> io::Result<Writing> {
        let (spot, there) = self.spot_in_place(path, how)?;
        let (file, before) = match there {
            None => (open(&spot, OFlags::CREATE | OFlags::EXCL)?, None),
            Some(_) => {
                // Two who append at one time must not write over each other.
                let append = match how {
                    How::Append => OFlags::APPEND,
                    _ => OFlags::empty(),
                };
                let file = open(&spot, append)?;
                let meta = Meta::new(&fstat(&file)?).ok_or(Errno::NOENT)?;
                (file, Some(meta.size))
            }
        };
        let offset = how.offset(before)?;
        // Of a file that is empty already it would have ext4 write out at once all
        // that comes (its `auto_da_alloc`).
        if how == How::Truncate && before > Some(0) {
            file.set_len(0)?;
        }
        let act = match (before, how) {
            (None, _) => Act::Create,
            (Some(_), How::Truncate) => Act::Overwrite,
            (Some(_), _) => Act::Append,
        };
        if before.is_none() {
            self.book_empty(&spot)?;
        }
        let length = before.unwrap_or(0);
        Ok(Writing {
            view: self.clone(),
            spot,
            file,
            offset,
            before,
            act,
            allowance: Allowance::new(None, self.share.rules.max_upload, length),
            booked: false,
        })
    }

    /// Enters a new file in the books, where it is found again when somebody
    /// renames it meanwhile.
    fn book_empty(&self, spot: &Spot) -> io::Result<()> {
        if self.visitor.account.is_some() {
            let whole = self.share.root.whole(&spot.path)?;
            self.share.rules.ledger.stored(&self.visitor, &whole, 0)?;
        }
        Ok(())
    }

    /// Where it is to be written, and how long the file there is, if there is
    /// one.
    fn spot_in_place(&self, path: &RelPath, how: How) -> io::Result<(Spot, Option<u64>)> {
        self.may(Access::Upload, Act::Append, path)?;
        if path.is_root() {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        let spot = self.spot_for(path)?;
        let before = match spot.look()? {
            There::Nothing if matches!(how, How::At(1..)) => {
                return Err(io::ErrorKind::NotFound.into());
            }
            There::Nothing => None,
            There::Folder(_) => return Err(io::ErrorKind::IsADirectory.into()),
            There::Link | There::Other => return Err(io::ErrorKind::AlreadyExists.into()),
            There::File(_) if how == How::New => return Err(io::ErrorKind::AlreadyExists.into()),
            There::File(meta) => {
                self.may(Access::Write, Act::Append, path)?;
                Some(meta.size)
            }
        };
        Ok((spot, before))
    }
}

impl How {
    /// Where the first byte goes in a file that was this long.
    fn offset(self, before: Option<u64>) -> io::Result<u64> {
        let length = before.unwrap_or(0);
        match self {
            Self::Append => Ok(length),
            Self::At(offset) if offset > length => Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "the file is not that long",
            )),
            Self::At(offset) => Ok(offset),
            Self::Truncate | Self::New => Ok(0),
        }
    }
}

impl Writing {
    /// The file to write to, at the offset [`offset`](Self::offset).
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Where the next byte goes.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Whether this many more bytes may be written.
    ///
    /// # Errors
    /// `QuotaExceeded`, `FileTooLarge`.
    pub fn reserve(&mut self, bytes: u64) -> io::Result<()> {
        self.allowance
            .reach(&self.view, self.offset.saturating_add(bytes))
    }

    /// Counts bytes that were written to the file after they were
    /// [reserved](Self::reserve).
    pub fn advance(&mut self, bytes: u64) {
        self.offset += bytes;
    }

    /// Writes at the offset, and moves it on.
    ///
    /// # Errors
    /// As [`reserve`](Self::reserve), and `StorageFull`.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.reserve(bytes.len() as u64)?;
        self.file.write_all_at(bytes, self.offset)?;
        self.advance(bytes.len() as u64);
        Ok(())
    }

    /// Says that all of it has come.
    ///
    /// # Errors
    /// `QuotaExceeded`, in which case the file is as long as it was, or gone if
    /// it is new; what the disk says.
    pub fn finish(mut self) -> io::Result<Meta> {
        self.view.sync(&self.file)?;
        self.book()?;
        if self.before.is_none() {
            self.view.sync_spot(&self.spot)?;
        }
        Ok(Meta::new(&fstat(&self.file)?).ok_or(Errno::NOENT)?)
    }

    fn book(&mut self) -> io::Result<()> {
        if std::mem::replace(&mut self.booked, true) {
            return Ok(());
        }
        // Gone is gone, and needs no room.
        let Some(path) = self.whereabouts()? else {
            return Ok(());
        };
        let share = &self.view.share;
        let whole = share.root.whole(&path)?;
        let bytes = fstat(&self.file)?.st_size.unsigned_abs();
        match share.rules.ledger.stored(&self.view.visitor, &whole, bytes) {
            Ok(_) => {
                self.view.audit(self.act, &path, "");
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::QuotaExceeded => {
                self.take_back(&path, bytes)?;
                Err(error)
            }
            // What the books can't take now is no reason to lose what has come.
            Err(error) => Err(error),
        }
    }

    /// Undoes what was too much.
    fn take_back(&self, path: &RelPath, bytes: u64) -> io::Result<()> {
        let length = self.before.unwrap_or(0);
        if length < bytes {
            self.file.set_len(length)?;
        }
        if self.before.is_none() {
            let spot = self.view.share.root.spot(path)?;
            unlinkat(&spot.folder, &*spot.name, AtFlags::empty())?;
            booked(
                self.view
                    .share
                    .rules
                    .ledger
                    .removed(&self.view.share.root.whole(path)?),
            );
        }
        Ok(())
    }

    /// Where the file is by now: somebody may have renamed it, or a folder above
    /// it. `None` if it was removed, or is out of this visitor's reach.
    fn whereabouts(&self) -> io::Result<Option<RelPath>> {
        let root = &self.view.share.root;
        let place = |fd: BorrowedFd<'_>| {
            let link = format!("/proc/self/fd/{}", fd.as_raw_fd());
            std::fs::read_link(link).map(|path| path.into_os_string().into_vec())
        };
        let path = match (place(root.folder.as_fd()), place(self.file.as_fd())) {
            (Ok(root), Ok(file)) => file
                .strip_prefix(&*root)
                .and_then(|rest| RelPath::root().resolve(rest).ok()),
            // There is no /proc here; most stay where they are.
            _ => Some(self.spot.path.clone()),
        };
        let Some(path) = path.filter(|path| !path.is_root()) else {
            return Ok(None);
        };
        let this = fstat(&self.file)?;
        Ok(match root.spot(&path).and_then(|spot| spot.look()) {
            Ok(There::File(meta)) if (meta.device, meta.inode) == (this.st_dev, this.st_ino) => {
                Some(path)
            }
            Ok(_) => None,
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        })
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        booked(self.book());
    }
}

fn open(spot: &Spot, extra: OFlags) -> io::Result<File> {
    let flags = OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC | extra;
    Ok(openat(&spot.folder, &*spot.name, flags, FILE_MODE)?.into())
}
