//! Where a name is, what is there, and how a file comes to be there: in one
//! step, or not at all.
//!
//! The folder that a name is in is opened beneath the share; what is done with
//! the name is done in that folder and never follows a link. Whoever puts
//! something in place holds a lock on the folder, shared, and alone where it
//! matters what is there before ([`Existing::ReplaceThis`]).

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::fs::{
    AtFlags, FileType, FlockOperation, Mode, OFlags, RenameFlags, ResolveFlags, Timespec,
    Timestamps, UTIME_OMIT, fchmod, flock, fstat, fsync, futimens, linkat, mkdirat, readlink,
    renameat_with, statat, syncfs, unlinkat,
};
use rustix::io::Errno;

use super::copy::copy_content;
use super::parts::{self, FOLDER_MODE, Part};
use super::rules::Appearing;
use super::write::booked;
use super::{
    Access, Act, Durability, LOOKUPS, Meta, Modified, RelPath, Root, View, Visitor, is_reserved,
    told,
};

/// What may become of what is already there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// It stays, and the newcomer is refused with `AlreadyExists`.
    Keep,
    /// It is replaced, in one step. Whoever may not replace anything gets
    /// [`Lacks`](super::Lacks) if there is something, and as with `Keep` if there is nothing.
    Replace,
    /// It is replaced, if it is still just this; else `ResourceBusy`.
    ReplaceThis(Meta),
}

/// What became of a file that came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Whether there was nothing of this name before.
    pub created: bool,
    /// What it is now.
    pub meta: Meta,
}

/// A name in a folder that is open.
#[derive(Debug)]
pub(super) struct Spot {
    /// Held (`O_PATH`).
    pub(super) folder: OwnedFd,
    pub(super) name: Box<[u8]>,
    /// Where it is in the view, without symbolic links on the way.
    pub(super) path: RelPath,
}

/// What is at a spot. A link is what it is, not what it leads to.
#[derive(Clone, Copy, Debug)]
pub(super) enum There {
    Nothing,
    File(Meta),
    Folder(Meta),
    Link,
    /// What visitors never see.
    Other,
}

/// A complete file that has no name that visitors know.
#[derive(Clone, Copy, Debug)]
pub(super) struct Complete<'a> {
    /// The hidden folder it is in, and its name there.
    pub(super) folder: BorrowedFd<'a>,
    pub(super) name: &'a str,
    /// Open for reading and writing.
    pub(super) file: &'a File,
}

impl Part {
    pub(super) fn complete(&self) -> Complete<'_> {
        Complete {
            folder: self.folder.as_fd(),
            name: &self.name,
            file: &self.file,
        }
    }
}

impl Root {
    /// Where `path` is in the whole share, for the books.
    pub(super) fn whole(&self, path: &RelPath) -> io::Result<RelPath> {
        let whole = self.prefix.resolve(path.as_bytes());
        whole.map_err(|bad| io::Error::new(io::ErrorKind::InvalidFilename, bad))
    }

    /// Opens the folder that `path` is in.
    pub(super) fn spot(&self, path: &RelPath) -> io::Result<Spot> {
        if self.only.is_some() {
            return Err(one_file());
        }
        let (Some(name), Some(parent)) = (path.name(), path.parent()) else {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "this is the shared folder itself",
            ));
        };
        if path.components().any(is_reserved) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let (folder, parent) = self.folder(parent)?;
        Ok(Spot {
            folder,
            name: name.into(),
            path: parent.join(name).map_err(told_path)?,
        })
    }

    /// Opens a folder, and tells its path without symbolic links.
    pub(super) fn folder(&self, path: RelPath) -> io::Result<(OwnedFd, RelPath)> {
        let flags = OFlags::PATH | OFlags::DIRECTORY;
        match self.open(&path, flags, ResolveFlags::NO_SYMLINKS) {
            Ok(folder) => Ok((folder, path)),
            Err(Errno::LOOP) => {
                let folder = self
                    .open(&path, flags, ResolveFlags::empty())
                    .map_err(told)?;
                let real = self.path_of(&folder).unwrap_or(path);
                if real.components().any(is_reserved) {
                    return Err(io::ErrorKind::NotFound.into());
                }
                Ok((folder, real))
            }
            Err(errno) => Err(told(errno)),
        }
    }

    /// Where in this an open folder is, as far as the kernel can tell: with the
    /// books it matters that a file has one path, not two.
    fn path_of(&self, folder: &OwnedFd) -> Option<RelPath> {
        let path = |fd: &OwnedFd| {
            let link = format!("/proc/self/fd/{}", fd.as_raw_fd());
            RelPath::root()
                .resolve(readlink(link, Vec::new()).ok()?.as_bytes())
                .ok()
        };
        let (root, folder) = (path(&self.folder)?, path(folder)?);
        let rest = folder
            .starts_with(&root)
            .then(|| &folder.as_bytes()[root.as_bytes().len()..])?;
        RelPath::root()
            .resolve(rest.strip_prefix(b"/").unwrap_or(rest))
            .ok()
    }

    /// Makes a folder and those above it where they are missing, telling of
    /// each that was made, and holds it.
    pub(super) fn make_folders(
        &self,
        path: &RelPath,
        mut made: impl FnMut(&RelPath),
    ) -> io::Result<OwnedFd> {
        refuse_reserved(path)?;
        if self.only.is_some() {
            return Err(one_file());
        }
        let flags = OFlags::PATH | OFlags::DIRECTORY;
        let mut missing = Vec::new();
        let mut at = path.clone();
        // Most often all of them are there, or all but the last few.
        loop {
            match self.open(&at, flags, ResolveFlags::empty()) {
                Ok(_) => break,
                Err(Errno::NOENT) => {}
                // A link to nowhere, or out of the share, is in the way as a
                // file is.
                Err(Errno::NOTDIR | Errno::XDEV | Errno::LOOP) => {
                    return Err(Errno::NOTDIR.into());
                }
                Err(errno) => return Err(told(errno)),
            }
            let parent = at.parent().unwrap_or_default();
            missing.push(std::mem::replace(&mut at, parent));
        }
        for folder in missing.iter().rev() {
            let spot = self.spot(folder)?;
            match mkdirat(&spot.folder, &*spot.name, FOLDER_MODE) {
                Ok(()) => made(&spot.path),
                Err(Errno::EXIST) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        self.open(path, flags, ResolveFlags::empty())
            .map_err(|errno| match errno {
                Errno::NOTDIR | Errno::NOENT | Errno::XDEV | Errno::LOOP => {
                    io::ErrorKind::NotADirectory.into()
                }
                errno => told(errno),
            })
    }
}

impl Spot {
    /// What is here.
    pub(super) fn look(&self) -> io::Result<There> {
        let stat = match statat(&self.folder, &*self.name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => return Ok(There::Nothing),
            stat => stat?,
        };
        Ok(match Meta::new(&stat) {
            Some(meta) if meta.is_folder() => There::Folder(meta),
            Some(meta) => There::File(meta),
            None if FileType::from_raw_mode(stat.st_mode) == FileType::Symlink => There::Link,
            None => There::Other,
        })
    }

    /// Opens the folder for reading, as locks and syncing need it. `None` where
    /// it may be written to but not read.
    pub(super) fn open_folder(&self) -> io::Result<Option<OwnedFd>> {
        match parts::open_plain(&self.folder, b".", OFlags::RDONLY) {
            Ok(folder) => Ok(Some(folder)),
            Err(Errno::ACCESS) => Ok(None),
            Err(errno) => Err(errno.into()),
        }
    }
}

/// A lock on a folder, while this lives.
#[derive(Debug)]
#[must_use]
pub(super) struct Held<'a>(Option<&'a OwnedFd>);

impl Drop for Held<'_> {
    fn drop(&mut self) {
        if let Some(folder) = self.0 {
            // It ends with the descriptor at the latest.
            let _ = flock(folder, FlockOperation::Unlock);
        }
    }
}

/// Waits until nobody else puts anything into this folder, or nobody who cares
/// what is there.
pub(super) fn hold(folder: Option<&OwnedFd>, alone: bool) -> Held<'_> {
    let operation = if alone {
        FlockOperation::LockExclusive
    } else {
        FlockOperation::LockShared
    };
    if let Some(folder) = folder {
        // Without locks in the file system it is as good as it was.
        while matches!(flock(folder, operation), Err(Errno::INTR)) {}
    }
    Held(folder)
}

impl View {
    /// Whether the visitor may do what needs this level. An account's refusals
    /// are in the audit log; strangers' are not, or anyone could fill it.
    pub(super) fn may(&self, needed: Access, act: Act, path: &RelPath) -> io::Result<()> {
        let allowed = self.require(needed);
        if allowed.is_err() && self.visitor.account.is_some() {
            self.audit(act, path, "refused: the role does not allow it");
        }
        allowed
    }

    /// Writes a line of the audit log.
    pub(super) fn audit(&self, act: Act, path: &RelPath, detail: &str) {
        let visitor: &Visitor = &self.visitor;
        let path = self.share.root.whole(path);
        let path = path.unwrap_or_else(|_| self.share.root.prefix.clone());
        self.share.rules.ledger.audit(visitor, act, &path, detail);
    }

    /// Opens the folder in which `path` is to be made.
    pub(super) fn spot_for(&self, path: &RelPath) -> io::Result<Spot> {
        refuse_reserved(path)?;
        self.share.root.spot(path)
    }

    /// Whether what is at a spot may be replaced by a file.
    pub(super) fn replaceable(
        &self,
        path: &RelPath,
        there: There,
        existing: Existing,
    ) -> io::Result<()> {
        match (there, existing) {
            (There::Nothing, Existing::Keep | Existing::Replace) => Ok(()),
            (There::Nothing, Existing::ReplaceThis(_)) => Err(io::ErrorKind::ResourceBusy.into()),
            (There::Other, _) => Err(io::ErrorKind::AlreadyExists.into()),
            (There::Folder(_), Existing::Keep) => Err(io::ErrorKind::AlreadyExists.into()),
            (There::Folder(_), _) => Err(io::ErrorKind::IsADirectory.into()),
            (There::File(_) | There::Link, Existing::Keep) => {
                Err(io::ErrorKind::AlreadyExists.into())
            }
            (There::File(_) | There::Link, _) if self.access < Access::Write => {
                self.may(Access::Write, Act::Overwrite, path)
            }
            (There::File(_) | There::Link, Existing::Replace) => Ok(()),
            (There::File(meta), Existing::ReplaceThis(this)) => still(meta == this),
            // What the visitor has seen is what the link leads to.
            (There::Link, Existing::ReplaceThis(this)) => {
                let seen = self.share.root.metadata(path, ResolveFlags::empty());
                still(seen.is_ok_and(|meta| meta == this))
            }
        }
    }

    /// Lets a complete file appear at `path`: its content on the disk first, as
    /// far as the rules want it, then the decision about the quota, then the
    /// name, all in one step for everyone who looks. The hidden name it had is
    /// gone after that; after an error it is still there.
    pub(super) fn place(
        &self,
        path: &RelPath,
        complete: Complete<'_>,
        existing: Existing,
        modified: Option<Modified>,
    ) -> io::Result<Stored> {
        self.may(Access::Upload, Act::Create, path)?;
        let (path, stored) = self.place_quietly(path, complete, existing, modified)?;
        let act = if stored.created {
            Act::Create
        } else {
            Act::Overwrite
        };
        self.audit(act, &path, "");
        Ok(stored)
    }

    /// [`place`](Self::place) without a line in the audit log; where it is now,
    /// without symbolic links on the way.
    pub(super) fn place_quietly(
        &self,
        path: &RelPath,
        complete: Complete<'_>,
        existing: Existing,
        modified: Option<Modified>,
    ) -> io::Result<(RelPath, Stored)> {
        let spot = self.spot_for(path)?;
        if let Some(modified) = modified {
            set_times(complete.file, modified)?;
        }
        self.sync(complete.file)?;
        let folder = spot.open_folder()?;
        // Known beforehand for most disks. One mounted a second time has to be
        // tried.
        let mut near = if fstat(complete.folder)?.st_dev == fstat(&spot.folder)?.st_dev {
            None
        } else {
            Some(self.bring_near(&spot, complete)?)
        };
        let there = loop {
            let whole = near.as_ref().map_or(complete, |(part, _)| part.complete());
            match self.appear(&spot, folder.as_ref(), whole, existing) {
                Err(error) if error.kind() == io::ErrorKind::CrossesDevices && near.is_none() => {
                    near = Some(self.bring_near(&spot, complete)?);
                }
                there => break there?,
            }
        };
        let file = near.as_ref().map_or(complete.file, |(part, _)| &part.file);
        self.sync_folder(folder.as_ref(), file)?;
        let meta = Meta::new(&fstat(file)?).ok_or(Errno::NOENT)?;
        if near.is_some() {
            let _ = unlinkat(complete.folder, complete.name, AtFlags::empty());
        }
        drop(near);
        let created = matches!(there, There::Nothing);
        Ok((spot.path, Stored { created, meta }))
    }

    /// Gives a complete file its name, if the rules and the books agree. What
    /// was there before.
    fn appear(
        &self,
        spot: &Spot,
        folder: Option<&OwnedFd>,
        complete: Complete<'_>,
        existing: Existing,
    ) -> io::Result<There> {
        let whole = self.share.root.whole(&spot.path)?;
        let bytes = fstat(complete.file)?.st_size.unsigned_abs();
        let ledger = &self.share.rules.ledger;
        let _held = hold(folder, matches!(existing, Existing::ReplaceThis(_)));
        let _appearing = Appearing::new(&**ledger, &whole);
        // Again where something appeared after there was nothing.
        for _ in 0..LOOKUPS {
            let there = spot.look()?;
            self.replaceable(&spot.path, there, existing)?;
            if let There::File(old) = there {
                // The old file's permissions, not those of a program to be run
                // as somebody else.
                fchmod(complete.file, Mode::from_raw_mode(old.mode & 0o777))?;
            }
            let before = ledger.stored(&self.visitor, &whole, bytes)?;
            let Err(errno) = put_here(spot, complete, there) else {
                return Ok(there);
            };
            booked(ledger.undo(&self.visitor, &whole, before));
            if errno != Errno::EXIST || existing != Existing::Replace {
                return Err(errno.into());
            }
        }
        Err(io::ErrorKind::ResourceBusy.into())
    }

    /// A copy of a complete file on the file system of a spot.
    fn bring_near<'a>(
        &self,
        spot: &'a Spot,
        complete: Complete<'_>,
    ) -> io::Result<(Part, Nearby<'a>)> {
        let near = Nearby::new(&spot.folder)?;
        let part = near.file()?;
        let stat = fstat(complete.file)?;
        copy_content(complete.file, &part.file, &mut |_| Ok(()))?;
        fchmod(&part.file, Mode::from_raw_mode(stat.st_mode & 0o777))?;
        if let Some(meta) = Meta::new(&stat) {
            set_times(&part.file, meta.modified)?;
        }
        self.sync(&part.file)?;
        Ok((part, near))
    }

    /// Brings a file's content to the disk, if the rules want it.
    pub(super) fn sync(&self, file: &File) -> io::Result<()> {
        match self.share.rules.durability {
            Durability::None => Ok(()),
            Durability::Complete | Durability::Every => file.sync_all(),
        }
    }

    /// Brings a folder's names to the disk, if the rules want it. `near` is a
    /// file on the same file system, for a folder that can't be opened.
    pub(super) fn sync_folder(&self, folder: Option<&OwnedFd>, near: impl AsFd) -> io::Result<()> {
        if self.share.rules.durability == Durability::None {
            return Ok(());
        }
        match folder {
            Some(folder) => match fsync(folder) {
                // A file system that can't sync folders has nothing to sync.
                Err(Errno::INVAL) => Ok(()),
                other => Ok(other?),
            },
            None => Ok(syncfs(near)?),
        }
    }
}

/// A hidden folder beside a spot, for as long as it is needed.
pub(super) struct Nearby<'a> {
    beside: &'a OwnedFd,
    hidden: OwnedFd,
}

impl<'a> Nearby<'a> {
    pub(super) fn new(beside: &'a OwnedFd) -> io::Result<Self> {
        Ok(Self {
            beside,
            hidden: parts::nearby(beside)?,
        })
    }

    pub(super) fn file(&self) -> io::Result<Part> {
        Part::file(self.hidden.try_clone()?)
    }

    pub(super) fn folder(&self) -> io::Result<Part> {
        Part::folder(self.hidden.try_clone()?)
    }
}

impl Drop for Nearby<'_> {
    fn drop(&mut self) {
        parts::leave_nearby(self.beside);
    }
}

pub(super) fn put_here(spot: &Spot, complete: Complete<'_>, there: There) -> Result<(), Errno> {
    if !matches!(there, There::Nothing) {
        let none = RenameFlags::empty();
        return renameat_with(
            complete.folder,
            complete.name,
            &spot.folder,
            &*spot.name,
            none,
        );
    }
    rename_to_new(complete.folder, complete.name.as_bytes(), spot)
}

/// Renames to a name that must not be in use.
pub(super) fn rename_to_new(from: impl AsFd, name: &[u8], to: &Spot) -> Result<(), Errno> {
    let renamed = renameat_with(
        from.as_fd(),
        name,
        &to.folder,
        &*to.name,
        RenameFlags::NOREPLACE,
    );
    if renamed != Err(Errno::INVAL) {
        return renamed;
    }
    // Not every file system has this flag. A second name instead, which is
    // refused if it is in use; folders can't have one.
    match linkat(from.as_fd(), name, &to.folder, &*to.name, AtFlags::empty()) {
        Ok(()) => unlinkat(from.as_fd(), name, AtFlags::empty()),
        Err(Errno::EXIST) => Err(Errno::EXIST),
        Err(_) => match statat(&to.folder, &*to.name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(_) => Err(Errno::EXIST),
            Err(Errno::NOENT) => renameat_with(
                from.as_fd(),
                name,
                &to.folder,
                &*to.name,
                RenameFlags::empty(),
            ),
            Err(errno) => Err(errno),
        },
    }
}

/// Sets the time of modification and leaves that of access.
pub(super) fn set_times(file: impl AsFd, modified: Modified) -> io::Result<()> {
    Ok(futimens(file, &timestamps(modified))?)
}

pub(super) fn timestamps(modified: Modified) -> Timestamps {
    Timestamps {
        last_access: Timespec {
            tv_sec: 0,
            tv_nsec: UTIME_OMIT,
        },
        last_modification: Timespec {
            tv_sec: modified.secs,
            tv_nsec: modified.nanos.into(),
        },
    }
}

fn still(same: bool) -> io::Result<()> {
    if same {
        Ok(())
    } else {
        Err(io::ErrorKind::ResourceBusy.into())
    }
}

/// A name that can't be made.
pub(super) fn refuse_reserved(path: &RelPath) -> io::Result<()> {
    if path.components().any(is_reserved) {
        return Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            "the name .hythe is kept for the server",
        ));
    }
    Ok(())
}

pub(super) fn told_path(bad: super::BadPath) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidFilename, bad)
}

pub(super) fn one_file() -> io::Error {
    io::Error::new(
        io::ErrorKind::Unsupported,
        "what is shared is one file, and nothing can be written beside it",
    )
}
