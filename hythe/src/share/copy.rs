//! Copies of files and whole folders, made where nobody sees them and put in
//! place when complete: a copy that fails leaves nothing behind.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;

use rustix::fs::{
    AtFlags, Mode, OFlags, copy_file_range, fchmod, fstat, mkdirat, openat, syncfs, unlinkat,
};
use rustix::io::Errno;

use super::incoming::Allowance;
use super::parts::{FILE_MODE, FOLDER_MODE, Part, open_plain};
use super::placing::{Nearby, Spot, There, hold, put_here, rename_to_new, set_times, told_path};
use super::rules::Appearing;
use super::walk::{Step, Walk};
use super::write::{booked, into_itself};
use super::{
    Access, Act, DEPTH_LIMIT, Durability, Existing, Meta, Opened, RelPath, View, is_skipped,
};

/// How much one call copies: the quota is looked up in between.
const CHUNK: usize = 16 * 1024 * 1024;

/// How much is copied at a time where the kernel does not do it.
const BUFFER: usize = 256 * 1024;

/// What the books are told of a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Books {
    /// There is more now.
    Copied,
    /// It is the first half of a rename.
    Moved,
}

impl View {
    /// Copies a file, or a folder with all that is in it. Whether there was
    /// nothing there before. Needs [`Access::Upload`], and [`Access::Write`] if
    /// there is a file already.
    ///
    /// A copy has the times of what it was copied from. It appears in one step,
    /// when it is complete, or not at all. A file takes the place of a file; a
    /// folder needs a name that is free. As in an archive, links to files are
    /// copied as what they lead to, and links to folders left out.
    ///
    /// # Errors
    /// As [`rename`](Self::rename), and as [`receive`](Self::receive).
    /// `PermissionDenied` where not all of it may be read.
    pub fn copy(&self, from: &RelPath, to: &RelPath, existing: Existing) -> io::Result<bool> {
        self.may(Access::Upload, Act::Copy, from)?;
        let target = self.spot_for(to)?;
        let opened = self.open(from)?;
        let created = if opened.meta.is_folder() {
            self.copy_folder(from, &target, existing, Books::Copied)?;
            true
        } else {
            self.copy_file(&opened, to, &target, existing)?
        };
        let detail = self.share.root.whole(&target.path)?.to_string();
        self.audit(Act::Copy, from, &detail);
        Ok(created)
    }

    fn copy_file(
        &self,
        from: &Opened,
        to: &RelPath,
        target: &Spot,
        existing: Existing,
    ) -> io::Result<bool> {
        let there = target.look()?;
        self.replaceable(to, there, existing)?;
        let replaced = match there {
            There::File(meta) => meta.size,
            _ => 0,
        };
        let mut allowance = Allowance::new(None, None, replaced);
        allowance.reach(self, from.meta.size)?;
        let part = Part::file(self.share.root.store.folder()?)?;
        copy_content(&from.file, &part.file, &mut |end| {
            allowance.reach(self, end)
        })?;
        keep_executable(&from.meta, &part.file)?;
        let modified = Some(from.meta.modified);
        let (_, stored) = self.place_quietly(to, part.complete(), existing, modified)?;
        Ok(stored.created)
    }

    fn copy_folder(
        &self,
        from: &RelPath,
        target: &Spot,
        existing: Existing,
        books: Books,
    ) -> io::Result<()> {
        if from.is_root() || target.path.starts_with(&self.share.root.spot(from)?.path) {
            return Err(into_itself());
        }
        free(target, existing)?;
        let store = self.share.root.store.folder()?;
        let same_disk = fstat(&store)?.st_dev == fstat(&target.folder)?.st_dev;
        if same_disk {
            match self.copy_folder_by(Part::folder(store)?, from, target, books) {
                // The same disk, but mounted a second time.
                Err(error) if error.kind() == io::ErrorKind::CrossesDevices => {}
                other => return other,
            }
        }
        let near = Nearby::new(&target.folder)?;
        self.copy_folder_by(near.folder()?, from, target, books)
    }

    /// Fills a hidden folder and puts it in place.
    fn copy_folder_by(
        &self,
        part: Part,
        from: &RelPath,
        target: &Spot,
        books: Books,
    ) -> io::Result<()> {
        let whole = self.share.root.whole(&target.path)?;
        let _appearing = Appearing::new(&*self.share.rules.ledger, &whole);
        let done = self.fill(&part, from, target, books).and_then(|()| {
            if self.share.rules.durability != Durability::None {
                syncfs(&part.file)?;
            }
            Ok(rename_to_new(&part.folder, part.name.as_bytes(), target)?)
        });
        match done {
            Ok(()) => self.sync_spot(target),
            Err(error) => {
                if books == Books::Copied && error.kind() != io::ErrorKind::AlreadyExists {
                    booked(self.share.rules.ledger.removed(&whole));
                }
                Err(error)
            }
        }
    }

    fn fill(&self, part: &Part, from: &RelPath, target: &Spot, books: Books) -> io::Result<()> {
        let top = OwnedFd::from(part.file.try_clone()?);
        let mut copy = TreeCopy {
            view: self,
            from,
            target,
            books,
            here: top.try_clone()?,
            top,
        };
        let mut walk = Walk::new(self.clone(), from.clone(), DEPTH_LIMIT)?;
        loop {
            match walk.step()? {
                Step::Found(path, entry) if !entry.meta.is_folder() => copy.file(&path)?,
                Step::Found(..) | Step::Again => {}
                Step::Entering(path) => copy.folder(&path)?,
                Step::Closed(path) => {
                    return Err(io::Error::new(
                        io::ErrorKind::PermissionDenied,
                        format!("{path}, or something in it, may not be read"),
                    ));
                }
                Step::End if walk.cut().is_some() => {
                    return Err(io::Error::new(
                        io::ErrorKind::InvalidInput,
                        "it has folders that are too deep or too many to be copied",
                    ));
                }
                Step::End => return Ok(()),
            }
        }
    }

    /// A rename to another file system: a copy, which appears in one step, and
    /// then the removal of what was copied.
    pub(super) fn rename_across(
        &self,
        source: &Spot,
        to: &RelPath,
        moving: There,
        existing: Existing,
    ) -> io::Result<bool> {
        let target = self.spot_for(to)?;
        let created = match moving {
            There::Folder(_) => {
                self.copy_folder(&source.path, &target, existing, Books::Moved)?;
                self.book_move(source, &target.path)?;
                self.remove_moved(source, true);
                return Ok(true);
            }
            There::File(_) => self.move_file_across(source, to, existing)?,
            _ => {
                return Err(io::Error::new(
                    io::ErrorKind::Unsupported,
                    "a symbolic link cannot be moved to another disk",
                ));
            }
        };
        self.book_move(source, &target.path)?;
        self.remove_moved(source, false);
        Ok(created)
    }

    fn move_file_across(
        &self,
        source: &Spot,
        to: &RelPath,
        existing: Existing,
    ) -> io::Result<bool> {
        let target = self.spot_for(to)?;
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = File::from(openat(&source.folder, &*source.name, flags, Mode::empty())?);
        let meta = Meta::new(&fstat(&file)?).ok_or(Errno::NOENT)?;
        let near = Nearby::new(&target.folder)?;
        let part = near.file()?;
        copy_content(&file, &part.file, &mut |_| Ok(()))?;
        fchmod(&part.file, Mode::from_raw_mode(meta.mode & 0o777))?;
        set_times(&part.file, meta.modified)?;
        self.sync(&part.file)?;
        let folder = target.open_folder()?;
        let held = hold(
            folder.as_ref(),
            matches!(existing, Existing::ReplaceThis(_)),
        );
        let there = target.look()?;
        self.replaceable(to, there, existing)?;
        put_here(&target, part.complete(), there)?;
        drop(held);
        self.sync_folder(folder.as_ref(), &part.file)?;
        Ok(matches!(there, There::Nothing))
    }

    /// What was moved has its new place; that its old one could not be cleared
    /// is for the log, not a reason to say that nothing was moved.
    fn remove_moved(&self, source: &Spot, folder: bool) {
        let (emptied, flags) = if folder {
            (self.empty(source), AtFlags::REMOVEDIR)
        } else {
            (Ok(()), AtFlags::empty())
        };
        let removed = emptied.and_then(|()| Ok(unlinkat(&source.folder, &*source.name, flags)?));
        if let Err(error) = removed {
            tracing::warn!(path = %source.path, %error, "moved to another disk, but still here");
        }
    }
}

/// A folder is copied to where there is nothing.
fn free(target: &Spot, existing: Existing) -> io::Result<()> {
    match (target.look()?, existing) {
        (There::Nothing, Existing::Keep | Existing::Replace) => Ok(()),
        (There::Nothing, Existing::ReplaceThis(_)) => Err(io::ErrorKind::ResourceBusy.into()),
        _ => Err(io::ErrorKind::AlreadyExists.into()),
    }
}

/// A folder being copied into a hidden one.
struct TreeCopy<'a> {
    view: &'a View,
    from: &'a RelPath,
    target: &'a Spot,
    books: Books,
    top: OwnedFd,
    /// The copy of the folder that the walk is in.
    here: OwnedFd,
}

impl TreeCopy<'_> {
    fn file(&mut self, path: &RelPath) -> io::Result<()> {
        let opened = match self.view.open(path) {
            Ok(opened) if !opened.meta.is_folder() => opened,
            // Replaced by a folder since it was found, or removed.
            Ok(_) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Err(error),
            Err(error) if is_skipped(&error) => return Ok(()),
            Err(error) => return Err(error),
        };
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let name = path.name().unwrap_or_default();
        let file = match openat(&self.here, name, flags, FILE_MODE) {
            // A folder that changes while it is read may show a name twice.
            Err(Errno::EXIST) => return Ok(()),
            file => File::from(file?),
        };
        // The files before it are in the books already.
        let mut allowance = Allowance::new(None, None, 0);
        let copied = copy_content(&opened.file, &file, &mut |end| match self.books {
            Books::Copied => allowance.reach(self.view, end),
            Books::Moved => Ok(()),
        })?;
        keep_executable(&opened.meta, &file)?;
        set_times(&file, opened.meta.modified)?;
        if self.books == Books::Copied {
            let share = &self.view.share;
            let whole = share.root.whole(&self.becomes(path)?)?;
            share
                .rules
                .ledger
                .stored(&self.view.visitor, &whole, copied)?;
        }
        Ok(())
    }

    fn folder(&mut self, path: &RelPath) -> io::Result<()> {
        self.becomes(path)?;
        let inside = self.inside(path)?;
        let (Some(name), Some(parent)) = (inside.name(), inside.parent()) else {
            return Ok(());
        };
        let parent = if parent.is_root() {
            self.top.try_clone()?
        } else {
            open_plain(&self.top, parent.as_bytes(), OFlags::PATH)?
        };
        match mkdirat(&parent, name, FOLDER_MODE) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(errno.into()),
        }
        self.here = open_plain(&parent, name, OFlags::PATH)?;
        Ok(())
    }

    /// Where something is from the top of what is copied.
    fn inside(&self, path: &RelPath) -> io::Result<RelPath> {
        let rest = &path.as_bytes()[self.from.as_bytes().len()..];
        RelPath::from_selector(rest).map_err(told_path)
    }

    /// Where its copy will be.
    fn becomes(&self, path: &RelPath) -> io::Result<RelPath> {
        let inside = self.inside(path)?;
        self.target
            .path
            .resolve(inside.as_bytes())
            .map_err(told_path)
    }
}

/// Copies all of a file, asking before it writes up to an offset. How much it
/// was.
pub(super) fn copy_content(
    from: &File,
    to: &File,
    reach: &mut dyn FnMut(u64) -> io::Result<()>,
) -> io::Result<u64> {
    let mut offset = 0;
    let size = fstat(from)?.st_size.unsigned_abs();
    while offset < size {
        let end = size.min(offset + CHUNK as u64);
        reach(end)?;
        let (mut read, mut written) = (offset, offset);
        let length = usize::try_from(end - offset).unwrap_or(CHUNK);
        match copy_file_range(from, Some(&mut read), to, Some(&mut written), length) {
            // Not for these file systems, or the file has shrunk.
            Ok(0) => break,
            Err(Errno::XDEV | Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP | Errno::PERM) => {
                break;
            }
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
            Ok(copied) => offset += copied as u64,
        }
    }
    copy_by_hand(from, to, offset, reach)
}

fn copy_by_hand(
    from: &File,
    to: &File,
    mut offset: u64,
    reach: &mut dyn FnMut(u64) -> io::Result<()>,
) -> io::Result<u64> {
    let mut buffer = vec![0; BUFFER];
    loop {
        let length = match from.read_at(&mut buffer, offset) {
            Ok(0) => return Ok(offset),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            length => length?,
        };
        reach(offset + length as u64)?;
        to.write_all_at(&buffer[..length], offset)?;
        offset += length as u64;
    }
}

/// A program stays one in the copy, for those who may read it.
fn keep_executable(from: &Meta, copy: &File) -> io::Result<()> {
    let mode = fstat(copy)?.st_mode & 0o777;
    let executable = from.mode & 0o111 & (mode >> 2);
    if executable != 0 {
        fchmod(copy, Mode::from_raw_mode(mode | executable))?;
    }
    Ok(())
}
