//! Removing a folder with all that is in it, safe against whoever moves things
//! about in it meanwhile.
//!
//! Each folder is opened anew from the top, beneath it and through no symbolic
//! link, so that what is removed was in the tree when it was, and no more than
//! two descriptors are held however deep it goes. A folder is read to its end
//! and emptied of files before those in it are entered, and read once more
//! after that, until nothing is in it.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags, openat2, statat, unlinkat};
use rustix::io::Errno;

use super::{CONTAINED, PATH_LIMIT, RelPath, is_reserved};

/// How many folders of a folder are remembered at a time: what is not is found
/// when it is read again.
const REMEMBERED: usize = 1024;

/// How often a folder that does not get empty is gone through again. Someone
/// keeps filling it, then.
const ROUNDS: usize = 128;

/// No link on the way, and nothing that is mounted: its folder could not be
/// removed after it was emptied.
pub(super) const WITHIN: ResolveFlags = CONTAINED
    .union(ResolveFlags::NO_SYMLINKS)
    .union(ResolveFlags::NO_XDEV);

/// What has been removed of a tree, for the books, should the rest of it stay.
#[derive(Debug)]
pub(super) struct Gone {
    top: RelPath,
    paths: Vec<RelPath>,
}

impl Gone {
    /// Nothing yet, of the tree at this path.
    pub(super) fn new(top: RelPath) -> Self {
        Self {
            top,
            paths: Vec::new(),
        }
    }

    /// What is gone, each with all that was in it.
    pub(super) fn paths(&self) -> &[RelPath] {
        &self.paths
    }

    /// What is in a folder goes before the folder, and is then the end of the
    /// list.
    fn add(&mut self, folders: &[Level], name: &[u8]) {
        let names = folders.iter().map(|level| &*level.name).chain([name]);
        // A path too long to be one was never in the books.
        let Ok(path) = names
            .skip(1)
            .try_fold(self.top.clone(), |path, name| path.join(name))
        else {
            return;
        };
        while self
            .paths
            .last()
            .is_some_and(|last| last.starts_with(&path))
        {
            self.paths.pop();
        }
        self.paths.push(path);
    }
}

/// A folder on the way down. The top has no name.
#[derive(Debug, Default)]
struct Level {
    name: Box<[u8]>,
    /// Folders in it that were found and are still to be entered.
    folders: Vec<Box<[u8]>>,
    rounds: usize,
}

impl Level {
    fn new(name: &[u8]) -> Self {
        Self {
            name: name.into(),
            ..Self::default()
        }
    }

    /// Counts a time that this folder was not what it had seemed.
    fn again(&mut self) -> io::Result<()> {
        self.rounds += 1;
        if self.rounds > ROUNDS {
            return Err(io::ErrorKind::DirectoryNotEmpty.into());
        }
        Ok(())
    }
}

/// Removes all that visitors know of in the folder `top`, links to whatever
/// included. What they do not know of stays, and is then the error.
pub(super) fn empty(top: &OwnedFd, gone: &mut Gone) -> io::Result<()> {
    Removal {
        top: top.as_fd(),
        all: false,
        levels: vec![Level::default()],
        gone: Some(gone),
    }
    .run()
}

/// Removes whatever is in a folder that visitors do not know of.
pub(super) fn empty_hidden(top: impl AsFd) -> io::Result<()> {
    Removal {
        top: top.as_fd(),
        all: true,
        levels: vec![Level::default()],
        gone: None,
    }
    .run()
}

struct Removal<'a> {
    top: BorrowedFd<'a>,
    /// Also what visitors do not know of.
    all: bool,
    levels: Vec<Level>,
    gone: Option<&'a mut Gone>,
}

impl Removal<'_> {
    fn run(&mut self) -> io::Result<()> {
        while let Some(level) = self.levels.last_mut() {
            if let Some(name) = level.folders.pop() {
                self.levels.push(Level::new(&name));
            }
            self.read()?;
            let entered = self
                .levels
                .last()
                .is_some_and(|level| !level.folders.is_empty());
            if !entered && self.leave()? {
                break;
            }
        }
        Ok(())
    }

    /// Removes the files of the folder on top, and remembers the folders.
    fn read(&mut self) -> io::Result<()> {
        let depth = self.levels.len();
        let folder = match open_within(self.top, &self.levels, OFlags::RDONLY) {
            // It is no longer there, or no folder any more.
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) if depth > 1 => return Ok(()),
            Err(Errno::XDEV) => return Err(Errno::BUSY.into()),
            folder => folder?,
        };
        let mut found = Vec::new();
        for entry in Dir::read_from(&folder)? {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if matches!(name, b"." | b"..") {
                continue;
            }
            if !self.all && is_reserved(name) {
                return Err(unseen());
            }
            if self.remove_file(&folder, name, entry.file_type())? {
                found.push(name.into());
                if found.len() == REMEMBERED {
                    break;
                }
            }
        }
        if let Some(level) = self.levels.last_mut() {
            level.folders = found;
        }
        Ok(())
    }

    /// Removes what is not a folder; `true` for what is.
    fn remove_file(&mut self, at: &OwnedFd, name: &[u8], kind: FileType) -> io::Result<bool> {
        let kind = match kind {
            FileType::Unknown => match statat(at, name, AtFlags::SYMLINK_NOFOLLOW) {
                Err(Errno::NOENT) => return Ok(false),
                stat => FileType::from_raw_mode(stat?.st_mode),
            },
            kind => kind,
        };
        match kind {
            FileType::Directory => return Ok(true),
            FileType::RegularFile | FileType::Symlink => {}
            _ if self.all => {}
            _ => return Err(unseen()),
        }
        match unlinkat(at, name, AtFlags::empty()) {
            // Replaced by a folder since it was read.
            Err(Errno::ISDIR) => return Ok(true),
            Ok(()) => self.gone(name),
            Err(Errno::NOENT) => {}
            Err(errno) => return Err(errno.into()),
        }
        Ok(false)
    }

    /// Removes the folder on top, which had nothing more in it. `true` if it is
    /// the top of the tree, which stays.
    fn leave(&mut self) -> io::Result<bool> {
        let Some(level) = self.levels.pop() else {
            return Ok(true);
        };
        if self.levels.is_empty() {
            return Ok(true);
        }
        let removed = open_within(self.top, &self.levels, OFlags::PATH)
            .and_then(|parent| unlinkat(&parent, &*level.name, AtFlags::REMOVEDIR));
        match removed {
            Ok(()) => self.gone(&level.name),
            // Gone, or something else by now: its folder is read again anyway.
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => self.again()?,
            // Someone filled it meanwhile.
            Err(Errno::NOTEMPTY | Errno::EXIST) => {
                self.levels.push(level);
                self.again()?;
            }
            Err(errno) => return Err(errno.into()),
        }
        Ok(false)
    }

    fn again(&mut self) -> io::Result<()> {
        self.levels.last_mut().map_or(Ok(()), Level::again)
    }

    fn gone(&mut self, name: &[u8]) {
        if let Some(gone) = &mut self.gone {
            gone.add(&self.levels, name);
        }
    }
}

/// Opens the innermost folder. Trees may be deeper than a path can be written,
/// hence in as many steps as it takes.
fn open_within(top: BorrowedFd<'_>, levels: &[Level], flags: OFlags) -> Result<OwnedFd, Errno> {
    let open = |at: BorrowedFd<'_>, path: &[u8], flags: OFlags| {
        let flags = flags | OFlags::DIRECTORY | OFlags::CLOEXEC;
        openat2(at, path, flags, Mode::empty(), WITHIN)
    };
    let mut at: Option<OwnedFd> = None;
    let mut path = b".".to_vec();
    for level in levels.iter().skip(1) {
        if path.len() + 1 + level.name.len() > PATH_LIMIT {
            at = Some(open(
                at.as_ref().map_or(top, AsFd::as_fd),
                &path,
                OFlags::PATH,
            )?);
            path = b".".to_vec();
        }
        path.push(b'/');
        path.extend_from_slice(&level.name);
    }
    open(at.as_ref().map_or(top, AsFd::as_fd), &path, flags)
}

fn unseen() -> io::Error {
    io::Error::new(
        io::ErrorKind::DirectoryNotEmpty,
        "there is something in it that is not shown",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> RelPath {
        RelPath::from_selector(text.as_bytes()).unwrap()
    }

    #[test]
    fn what_is_gone_is_told_by_the_outermost_folder() {
        let mut gone = Gone::new(path("top"));
        let top = [Level::default()];
        let inside = [Level::default(), Level::new(b"a")];
        gone.add(&top, b"file");
        gone.add(&inside, b"one");
        gone.add(&inside, b"two");
        assert_eq!(
            gone.paths(),
            [path("top/file"), path("top/a/one"), path("top/a/two")]
        );
        gone.add(&top, b"a");
        gone.add(&top, b"ab");
        assert_eq!(
            gone.paths(),
            [path("top/file"), path("top/a"), path("top/ab")]
        );
        // No longer a path that anyone could have written to.
        let deep: Vec<Level> = (0..20).map(|_| Level::new(&[b'd'; 255])).collect();
        gone.add(&deep, b"file");
        assert_eq!(gone.paths().len(), 3);
    }

    #[test]
    fn a_folder_that_never_gets_empty_is_given_up() {
        let mut level = Level::new(b"busy");
        assert!((0..ROUNDS).all(|_| level.again().is_ok()));
        let error = level.again().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::DirectoryNotEmpty);
    }
}
