//! What a visitor may change about names: folders made, things removed and
//! renamed, times set.
//!
//! Every method asks first whether this visitor may, acts in the folder that
//! the name is in without following a link, tells the ledger, and writes the
//! line of the audit log.

use std::io;
use std::os::fd::AsRawFd as _;

use rustix::fs::{
    AtFlags, Mode, OFlags, RenameFlags, chmod, fstat, mkdirat, openat, openat2, renameat_with,
    unlinkat, utimensat,
};
use rustix::io::Errno;

use super::parts::FOLDER_MODE;
use super::placing::{Spot, There, hold, rename_to_new, timestamps};
use super::rules::Appearing;
use super::tree::{self, Gone};
use super::{Access, Act, Existing, Meta, Modified, RelPath, View};

impl View {
    /// Makes a folder. Needs [`Access::Upload`].
    ///
    /// # Errors
    /// `AlreadyExists`; `NotFound` where the folder above is not there.
    pub fn make_folder(&self, path: &RelPath) -> io::Result<()> {
        self.may(Access::Upload, Act::MakeFolder, path)?;
        if path.is_root() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let spot = self.spot_for(path)?;
        mkdirat(&spot.folder, &*spot.name, FOLDER_MODE)?;
        self.sync_spot(&spot)?;
        self.audit(Act::MakeFolder, &spot.path, "");
        Ok(())
    }

    /// Makes a folder and those above it, where they are missing. Needs
    /// [`Access::Upload`].
    ///
    /// # Errors
    /// `NotADirectory` where one of them is a file.
    pub fn make_folders(&self, path: &RelPath) -> io::Result<()> {
        self.may(Access::Upload, Act::MakeFolder, path)?;
        let mut made = Vec::new();
        let result = self
            .share
            .root
            .make_folders(path, |folder| made.push(folder.clone()));
        for folder in &made {
            self.audit(Act::MakeFolder, folder, "");
            self.sync_spot(&self.share.root.spot(folder)?)?;
        }
        result.map(drop)
    }

    /// Removes a file, or a symbolic link to whatever. Needs [`Access::Write`].
    ///
    /// # Errors
    /// `NotFound`, `IsADirectory`.
    pub fn remove_file(&self, path: &RelPath) -> io::Result<()> {
        self.may(Access::Write, Act::Delete, path)?;
        let spot = self.share.root.spot(path)?;
        match spot.look()? {
            There::File(_) | There::Link => self.unlink(&spot, AtFlags::empty()),
            There::Folder(_) => Err(io::ErrorKind::IsADirectory.into()),
            There::Nothing | There::Other => Err(io::ErrorKind::NotFound.into()),
        }
    }

    /// Removes an empty folder. Needs [`Access::Write`].
    ///
    /// # Errors
    /// `NotFound`, `NotADirectory`, `DirectoryNotEmpty`.
    pub fn remove_folder(&self, path: &RelPath) -> io::Result<()> {
        self.may(Access::Write, Act::Delete, path)?;
        let spot = self.share.root.spot(path)?;
        match spot.look()? {
            There::Folder(_) => self.unlink(&spot, AtFlags::REMOVEDIR),
            There::File(_) | There::Link => Err(io::ErrorKind::NotADirectory.into()),
            There::Nothing | There::Other => Err(io::ErrorKind::NotFound.into()),
        }
    }

    /// Removes a file, or a folder with all that is in it. Symbolic links are
    /// removed and never followed. Needs [`Access::Write`].
    ///
    /// # Errors
    /// `NotFound`; what can't be removed, and then the rest of it stays:
    /// `DirectoryNotEmpty` for what visitors do not see, `ResourceBusy` for what
    /// is mounted.
    pub fn remove_tree(&self, path: &RelPath) -> io::Result<()> {
        self.may(Access::Write, Act::Delete, path)?;
        let spot = self.share.root.spot(path)?;
        match spot.look()? {
            There::File(_) | There::Link => self.unlink(&spot, AtFlags::empty()),
            There::Folder(_) => {
                self.empty(&spot)?;
                self.unlink(&spot, AtFlags::REMOVEDIR)
            }
            There::Nothing | There::Other => Err(io::ErrorKind::NotFound.into()),
        }
    }

    /// Removes what is in a folder. If that can't be all, the books hear what
    /// was.
    pub(super) fn empty(&self, spot: &Spot) -> io::Result<()> {
        let top = openat2(
            &spot.folder,
            &*spot.name,
            OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
            Mode::empty(),
            tree::WITHIN,
        );
        let top = match top {
            Err(Errno::XDEV) => return Err(Errno::BUSY.into()),
            top => top?,
        };
        let mut gone = Gone::new(spot.path.clone());
        let emptied = tree::empty(&top, &mut gone);
        if emptied.is_err() {
            for path in gone.paths() {
                let whole = self.share.root.whole(path)?;
                booked(self.share.rules.ledger.removed(&whole));
                self.audit(Act::Delete, path, "");
            }
        }
        emptied
    }

    fn unlink(&self, spot: &Spot, flags: AtFlags) -> io::Result<()> {
        let whole = self.share.root.whole(&spot.path)?;
        let folder = spot.open_folder()?;
        let held = hold(folder.as_ref(), false);
        unlinkat(&spot.folder, &*spot.name, flags)?;
        booked(self.share.rules.ledger.removed(&whole));
        drop(held);
        self.audit(Act::Delete, &spot.path, "");
        self.sync_folder(folder.as_ref(), &spot.folder)
    }

    /// Whether there is something at `path`, and the visitor may
    /// [rename](Self::rename) it.
    ///
    /// # Errors
    /// As [`rename`](Self::rename).
    pub fn check_rename(&self, path: &RelPath) -> io::Result<()> {
        self.may(Access::Write, Act::Rename, path)?;
        match self.share.root.spot(path)?.look()? {
            There::Nothing | There::Other => Err(io::ErrorKind::NotFound.into()),
            There::File(_) | There::Folder(_) | There::Link => Ok(()),
        }
    }

    /// Gives a file or folder another name, in one step. Whether there was
    /// nothing there before. A symbolic link is renamed, not what it leads to.
    /// Needs [`Access::Write`].
    ///
    /// A file takes the place of a file, a folder at most that of an empty
    /// folder. Where another file system is mounted at `to`, it is copied there
    /// and then removed.
    ///
    /// # Errors
    /// `NotFound`, `AlreadyExists`, `IsADirectory`, `NotADirectory`,
    /// `DirectoryNotEmpty`, `InvalidInput` for a folder into itself.
    pub fn rename(&self, from: &RelPath, to: &RelPath, existing: Existing) -> io::Result<bool> {
        self.may(Access::Write, Act::Rename, from)?;
        let source = self.share.root.spot(from)?;
        let target = self.spot_for(to)?;
        let moving = source.look()?;
        if matches!(moving, There::Nothing | There::Other) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let is_folder = matches!(moving, There::Folder(_));
        if is_folder && target.path != source.path && target.path.starts_with(&source.path) {
            return Err(into_itself());
        }
        let folder = target.open_folder()?;
        let held = hold(
            folder.as_ref(),
            matches!(existing, Existing::ReplaceThis(_)),
        );
        let (old, new) = (
            self.share.root.whole(&source.path)?,
            self.share.root.whole(&target.path)?,
        );
        let ledger = &*self.share.rules.ledger;
        let _appearing = [Appearing::new(ledger, &old), Appearing::new(ledger, &new)];
        let there = target.look()?;
        self.makes_way(to, moving, there, existing)?;
        if source.path == target.path {
            return Ok(false);
        }
        match renamed(&source, &target, there) {
            Ok(()) => self.moved(&source, &target, moving, there)?,
            Err(Errno::XDEV) => {
                drop(held);
                return self.rename_across(&source, to, moving, existing);
            }
            Err(errno) => return Err(errno.into()),
        }
        drop(held);
        self.sync_folder(folder.as_ref(), &target.folder)?;
        self.sync_spot(&source)?;
        Ok(matches!(there, There::Nothing))
    }

    /// Whether what is at the target may be replaced by what is moved there.
    fn makes_way(
        &self,
        to: &RelPath,
        moving: There,
        there: There,
        existing: Existing,
    ) -> io::Result<()> {
        match (moving, there, existing) {
            (There::Folder(_), There::Folder(_), Existing::Replace) => Ok(()),
            (There::Folder(_), There::Folder(meta), Existing::ReplaceThis(this))
                if meta == this =>
            {
                Ok(())
            }
            (There::Folder(_), There::File(_) | There::Link, Existing::Replace) => {
                Err(io::ErrorKind::NotADirectory.into())
            }
            _ => self.replaceable(to, there, existing),
        }
    }

    fn moved(&self, source: &Spot, target: &Spot, moving: There, there: There) -> io::Result<()> {
        // Two names of one file: the kernel leaves both. Names that differ in
        // case alone may be one and the same.
        if let (There::File(one), There::File(other)) = (moving, there)
            && (one.device, one.inode) == (other.device, other.inode)
            && one.links > 1
            && !source
                .path
                .as_bytes()
                .eq_ignore_ascii_case(target.path.as_bytes())
        {
            unlinkat(&source.folder, &*source.name, AtFlags::empty())?;
        }
        self.book_move(source, &target.path)
    }

    pub(super) fn book_move(&self, source: &Spot, to: &RelPath) -> io::Result<()> {
        let root = &self.share.root;
        let (from, to) = (root.whole(&source.path)?, root.whole(to)?);
        booked(self.share.rules.ledger.moved(&from, &to));
        self.audit(Act::Rename, &source.path, &to.to_string());
        Ok(())
    }

    /// Sets the time of modification of a file or folder. Needs
    /// [`Access::Write`].
    ///
    /// # Errors
    /// `NotFound`.
    pub fn set_modified(&self, path: &RelPath, modified: Modified) -> io::Result<()> {
        self.may(Access::Write, Act::Change, path)?;
        let spot = self.share.root.spot(path)?;
        if !matches!(spot.look()?, There::File(_) | There::Folder(_)) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let times = timestamps(modified);
        utimensat(&spot.folder, &*spot.name, &times, AtFlags::SYMLINK_NOFOLLOW)?;
        self.audit(Act::Change, &spot.path, "time of modification");
        Ok(())
    }

    /// Sets the permissions of a file or folder: the lowest nine bits of `mode`,
    /// never those that make a program run as somebody else. Needs
    /// [`Access::Write`].
    ///
    /// # Errors
    /// `NotFound`.
    pub fn set_mode(&self, path: &RelPath, mode: u32) -> io::Result<()> {
        self.may(Access::Write, Act::Change, path)?;
        let spot = self.share.root.spot(path)?;
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let held = openat(&spot.folder, &*spot.name, flags, Mode::empty())?;
        // A link is not followed, and nothing can take its place any more.
        Meta::new(&fstat(&held)?).ok_or(Errno::NOENT)?;
        let mode = mode & 0o777;
        let link = format!("/proc/self/fd/{}", held.as_raw_fd());
        chmod(link, Mode::from_raw_mode(mode))?;
        self.audit(Act::Change, &spot.path, &format!("permissions {mode:03o}"));
        Ok(())
    }

    /// Brings the names in a spot's folder to the disk, if the rules want it.
    pub(super) fn sync_spot(&self, spot: &Spot) -> io::Result<()> {
        if self.share.rules.durability == super::Durability::None {
            return Ok(());
        }
        self.sync_folder(spot.open_folder()?.as_ref(), &spot.folder)
    }
}

fn renamed(source: &Spot, target: &Spot, there: There) -> Result<(), Errno> {
    match there {
        There::Nothing => rename_to_new(&source.folder, &source.name, target),
        _ => renameat_with(
            &source.folder,
            &*source.name,
            &target.folder,
            &*target.name,
            RenameFlags::empty(),
        ),
    }
}

/// What has happened on the disk has happened, and the visitor hears so. That
/// the books could not be brought up to date is the operator's to know.
pub(super) fn booked(result: io::Result<()>) {
    if let Err(error) = result {
        tracing::error!(%error, "the books of the share are not up to date");
    }
}

pub(super) fn into_itself() -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidInput,
        "a folder cannot be put into itself",
    )
}
