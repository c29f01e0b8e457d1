//! The files of uploads, by name: `<id>` holds the bytes, `<id>.json` what is
//! known of it, `<id>.turn` whose turn it is; `finished/<id>.json` is left of one
//! that is in its place.

use std::fs::{File, Metadata};
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::time::{Duration, SystemTime};

use rustix::fs::{
    AtFlags, FlockOperation, Mode, OFlags, Timespec, Timestamps, UTIME_NOW, UTIME_OMIT, flock,
    fstatvfs, mkdirat, openat, renameat, unlinkat, utimensat,
};
use rustix::io::Errno;

use super::UploadId;
use super::info::Info;
use super::turn::Record;
use crate::share::parts;

/// The longest description of an upload, in bytes. Metadata and the addresses of
/// parts come from one request head each, which is far shorter.
const INFO_LIMIT: u64 = 512 * 1024;

const FINISHED: &str = "finished";

/// Only the server reads what is known of an upload.
const OWNERS: Mode = Mode::RUSR.union(Mode::WUSR);

/// The folder of uploads.
#[derive(Debug)]
pub(super) struct Shed {
    folder: OwnedFd,
}

/// Which file of an upload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    Data,
    Info,
    /// An [`Info`] that is just being written.
    NewInfo,
    Turn,
}

impl Piece {
    pub(super) const ALL: [Self; 4] = [Self::Info, Self::NewInfo, Self::Data, Self::Turn];

    fn suffix(self) -> &'static str {
        match self {
            Self::Data => "",
            Self::Info => ".json",
            Self::NewInfo => ".json.new",
            Self::Turn => ".turn",
        }
    }

    fn name(self, id: UploadId) -> String {
        format!("{id}{}", self.suffix())
    }

    /// Whose piece a file is, by its name.
    pub(super) fn parse(name: &[u8]) -> Option<(UploadId, Self)> {
        let (id, suffix) = name.split_at_checked(UploadId::LENGTH)?;
        let piece = Self::ALL.into_iter();
        let piece = piece
            .into_iter()
            .find(|piece| piece.suffix().as_bytes() == suffix)?;
        Some((UploadId::parse(id)?, piece))
    }
}

impl Shed {
    pub(super) fn new(folder: OwnedFd) -> Self {
        Self { folder }
    }

    pub(super) fn folder(&self) -> BorrowedFd<'_> {
        self.folder.as_fd()
    }

    /// Waits until nobody else is about to promise room to an upload. That lasts
    /// until what this gives is dropped.
    pub(super) fn alone(&self) -> io::Result<OwnedFd> {
        let folder = parts::open_plain(&self.folder, b".", OFlags::RDONLY)?;
        // Without locks in the file system it is as good as it was.
        while matches!(
            flock(&folder, FlockOperation::LockExclusive),
            Err(Errno::INTR)
        ) {}
        Ok(folder)
    }

    /// Makes the files of an upload; it exists with the last of them.
    pub(super) fn create(&self, id: UploadId, info: &Info, sync: bool) -> io::Result<File> {
        let data = self.make(&Piece::Data.name(id), parts::FILE_MODE)?;
        let made = self
            .make(&Piece::Turn.name(id), OWNERS)
            .and_then(|turn| turn.write_all_at(&Record::NEW.bytes(), 0))
            .and_then(|()| self.write_info(id, info, sync));
        if let Err(error) = made {
            self.remove(id);
            return Err(error);
        }
        Ok(data)
    }

    /// Writes down what is known of an upload, in one step.
    pub(super) fn write_info(&self, id: UploadId, info: &Info, sync: bool) -> io::Result<()> {
        let new = Piece::NewInfo.name(id);
        // Left by a crash, perhaps.
        self.unlink(&new)?;
        let mut file = self.make(&new, OWNERS)?;
        let json = serde_json::to_vec(info).map_err(io::Error::other)?;
        file.write_all(&json)?;
        if sync {
            file.sync_data()?;
        }
        renameat(&self.folder, &new, &self.folder, Piece::Info.name(id))?;
        if sync {
            self.sync()?;
        }
        Ok(())
    }

    /// So that names survive a power cut.
    fn sync(&self) -> io::Result<()> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        File::from(openat(&self.folder, ".", flags, Mode::empty())?).sync_all()
    }

    /// What is known of an unfinished upload; `NotFound` too for what can't be
    /// understood.
    pub(super) fn info(&self, id: UploadId) -> io::Result<Info> {
        self.read_info(&Piece::Info.name(id))
    }

    /// What was known of an upload that is in its place.
    pub(super) fn finished(&self, id: UploadId) -> io::Result<Info> {
        self.read_info(&format!("{FINISHED}/{}", Piece::Info.name(id)))
    }

    fn read_info(&self, name: &str) -> io::Result<Info> {
        let mut json = Vec::new();
        let file = self.open_name(name, OFlags::RDONLY)?;
        file.take(INFO_LIMIT).read_to_end(&mut json)?;
        Info::parse(&json).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// Opens a piece for reading and writing.
    pub(super) fn open(&self, id: UploadId, piece: Piece) -> io::Result<File> {
        self.open_name(&piece.name(id), OFlags::RDWR)
    }

    fn open_name(&self, name: &str, access: OFlags) -> io::Result<File> {
        let flags = access | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        Ok(openat(&self.folder, name, flags, Mode::empty())?.into())
    }

    fn make(&self, name: &str, mode: Mode) -> io::Result<File> {
        let flags =
            OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(openat(&self.folder, name, flags, mode)?.into())
    }

    /// Notes that an upload is in its place. Its data have been moved there, or
    /// still are to be removed.
    pub(super) fn finish(&self, id: UploadId) -> io::Result<()> {
        let name = Piece::Info.name(id);
        let there = format!("{FINISHED}/{name}");
        let now = Timespec {
            tv_sec: 0,
            tv_nsec: UTIME_NOW,
        };
        let times = Timestamps {
            last_access: Timespec {
                tv_sec: 0,
                tv_nsec: UTIME_OMIT,
            },
            last_modification: now,
        };
        // From now on its day is counted.
        utimensat(&self.folder, &name, &times, AtFlags::SYMLINK_NOFOLLOW)?;
        match renameat(&self.folder, &name, &self.folder, &there) {
            Err(Errno::NOENT) => {
                match mkdirat(&self.folder, FINISHED, Mode::RWXU) {
                    Ok(()) | Err(Errno::EXIST) => {}
                    Err(errno) => return Err(errno.into()),
                }
                renameat(&self.folder, &name, &self.folder, &there)?;
            }
            renamed => renamed?,
        }
        self.unlink(&Piece::Turn.name(id))?;
        self.unlink(&Piece::Data.name(id))
    }

    /// Removes all that is left of an upload, what makes it one first.
    pub(super) fn remove(&self, id: UploadId) {
        for piece in Piece::ALL {
            self.remove_piece(id, piece);
        }
    }

    pub(super) fn remove_piece(&self, id: UploadId, piece: Piece) {
        if let Err(error) = self.unlink(&piece.name(id)) {
            tracing::warn!(upload = %id, ?piece, %error, "cannot remove a piece of an upload");
        }
    }

    pub(super) fn remove_finished(&self, id: UploadId) {
        if let Err(error) = self.unlink(&format!("{FINISHED}/{}", Piece::Info.name(id))) {
            tracing::warn!(upload = %id, %error, "cannot remove what is left of an upload");
        }
    }

    fn unlink(&self, name: &str) -> io::Result<()> {
        match unlinkat(&self.folder, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Which pieces there are.
    pub(super) fn pieces(&self) -> io::Result<Vec<(UploadId, Piece)>> {
        let names = parts::names(&self.folder)?;
        Ok(names.iter().filter_map(|name| Piece::parse(name)).collect())
    }

    /// Which uploads are noted as finished.
    pub(super) fn all_finished(&self) -> io::Result<Vec<UploadId>> {
        let folder = match parts::open_plain(&self.folder, FINISHED.as_bytes(), OFlags::PATH) {
            Err(Errno::NOENT) => return Ok(Vec::new()),
            folder => folder?,
        };
        let names = parts::names(&folder)?;
        let names = names.iter().filter_map(|name| Piece::parse(name));
        Ok(names.map(|(id, _)| id).collect())
    }

    /// When a piece was last written to.
    pub(super) fn changed(&self, id: UploadId, piece: Piece) -> io::Result<SystemTime> {
        let file = self.open_name(&piece.name(id), OFlags::PATH)?;
        Ok(changed(&file.metadata()?))
    }

    /// When an upload was finished.
    pub(super) fn finished_at(&self, id: UploadId) -> io::Result<SystemTime> {
        let name = format!("{FINISHED}/{}", Piece::Info.name(id));
        self.open_name(&name, OFlags::PATH)?.metadata()?.modified()
    }

    /// How long an upload is so far.
    pub(super) fn size(&self, id: UploadId) -> io::Result<u64> {
        let file = self.open_name(&Piece::Data.name(id), OFlags::PATH)?;
        Ok(file.metadata()?.len())
    }

    /// How many bytes the disk has room for.
    pub(super) fn free(&self) -> io::Result<u64> {
        let about = fstatvfs(&self.folder)?;
        Ok(about.f_bavail.saturating_mul(about.f_frsize))
    }
}

/// When a file was last written to. The time of modification would not do: it
/// is set to that of the client's file before the upload is put in its place.
pub(super) fn changed(about: &Metadata) -> SystemTime {
    let secs = u64::try_from(about.ctime()).unwrap_or(0);
    let nanos = u64::try_from(about.ctime_nsec()).unwrap_or(0);
    SystemTime::UNIX_EPOCH + Duration::from_secs(secs) + Duration::from_nanos(nanos)
}

/// Whether a time is longer ago than this. One in the future is not.
pub(super) fn is_past(time: SystemTime, age: Duration) -> bool {
    time.elapsed().is_ok_and(|elapsed| elapsed > age)
}
