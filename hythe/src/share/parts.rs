//! Where files are while they are on their way in: `.hythe/uploads` at the root
//! of the whole share, which does not exist for visitors.
//!
//! What is called `put-…` there belongs to one request. Whoever fills it holds a
//! lock (`flock(2)`) on it, and one that nobody holds was left behind by a crash
//! and is swept away. Everything else belongs to resumable uploads.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{
    AtFlags, Dir, FileType, FlockOperation, Mode, OFlags, ResolveFlags, flock, fstat, mkdirat,
    openat, openat2, statat, unlinkat,
};
use rustix::io::Errno;

use super::resumable::Census;
use super::{CONTAINED, RESERVED, tree};

/// The folder of parts, from the root of the share.
const UPLOADS: &[u8] = b".hythe/uploads";

/// What the names of one-shot parts begin with.
const ONE_SHOT: &str = "put-";

/// How often a part is made again because a sweep, of this process or another,
/// came between making and locking it. Twice in a row is chance already.
const ATTEMPTS: usize = 16;

/// Nobody but the server looks into what is hidden.
const PRIVATE: Mode = Mode::RWXU;

/// What a new file may be at most; the process's umask takes from it.
pub(super) const FILE_MODE: Mode = Mode::from_raw_mode(0o666);

/// What a new folder may be at most.
pub(super) const FOLDER_MODE: Mode = Mode::from_raw_mode(0o777);

/// The store of parts of a share, and of every home in it.
#[derive(Debug)]
pub(super) struct Store {
    root: OwnedFd,
    /// What is known of the resumable uploads in it.
    pub(super) census: Census,
}

impl Store {
    /// The store at the root of this folder. Nothing is made yet.
    pub(super) fn new(root: OwnedFd) -> Self {
        Self {
            root,
            census: Census::default(),
        }
    }

    /// The folder of parts, made if it is missing, for the `*at` calls.
    pub(super) fn folder(&self) -> io::Result<OwnedFd> {
        match self.existing() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                make_if_missing(&self.root, RESERVED, PRIVATE)?;
                let hidden = open_plain(&self.root, RESERVED, OFlags::PATH)?;
                make_if_missing(&hidden, b"uploads", PRIVATE)?;
                self.existing()
            }
            other => other,
        }
    }

    /// The folder of parts; `NotFound` where nothing was ever written.
    pub(super) fn existing(&self) -> io::Result<OwnedFd> {
        Ok(open_plain(&self.root, UPLOADS, OFlags::PATH)?)
    }

    /// Removes the one-shot parts that nobody holds. How many there were.
    pub(super) fn sweep(&self) -> io::Result<usize> {
        match self.existing() {
            Ok(folder) => sweep(&folder),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
            Err(error) => Err(error),
        }
    }
}

/// A name that nobody can guess: 128 random bits.
///
/// # Errors
/// Where the kernel has no randomness to give.
pub(super) fn random_name() -> io::Result<String> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(io::Error::other)?;
    Ok(format!("{:032x}", u128::from_ne_bytes(bytes)))
}

/// Locks a part, so that no sweep takes it and no other request writes to it.
/// `false` if another holds it. Where the file system has no locks, whoever
/// asks gets it.
pub(super) fn lock(part: impl AsFd) -> io::Result<bool> {
    match flock(part, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) | Err(Errno::NOLCK | Errno::OPNOTSUPP | Errno::NOSYS) => Ok(true),
        Err(Errno::WOULDBLOCK) => Ok(false),
        Err(errno) => Err(errno.into()),
    }
}

/// A file or folder of one request in a hidden folder. Gone when this is
/// dropped, unless it was moved out before.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) folder: OwnedFd,
    pub(super) name: String,
    /// Open for reading and writing if it is a file, for reading if a folder.
    pub(super) file: File,
}

impl Part {
    /// A new file in the hidden folder `folder`.
    pub(super) fn file(folder: OwnedFd) -> io::Result<Self> {
        Self::new(folder, |folder, name| {
            match create(folder, name) {
                // A sweep came between.
                Err(error) if error.kind() == io::ErrorKind::ResourceBusy => Ok(None),
                file => file.map(Some),
            }
        })
    }

    /// A new folder in the hidden folder `folder`.
    pub(super) fn folder(folder: OwnedFd) -> io::Result<Self> {
        Self::new(folder, |folder, name| {
            mkdirat(folder, name, FOLDER_MODE)?;
            match open_plain(folder, name.as_bytes(), OFlags::RDONLY) {
                Err(Errno::NOENT) => Ok(None),
                Err(errno) => Err(errno.into()),
                Ok(made) => {
                    let made = File::from(made);
                    Ok((lock(&made)? && fstat(&made)?.st_nlink > 0).then_some(made))
                }
            }
        })
    }

    fn new(
        folder: OwnedFd,
        make: impl Fn(&OwnedFd, &str) -> io::Result<Option<File>>,
    ) -> io::Result<Self> {
        for _ in 0..ATTEMPTS {
            let name = one_shot_name()?;
            if let Some(file) = make(&folder, &name)? {
                return Ok(Self { folder, name, file });
            }
        }
        Err(io::ErrorKind::ResourceBusy.into())
    }
}

impl Drop for Part {
    /// After it was moved out there is nothing of this name, or what it changed
    /// places with.
    fn drop(&mut self) {
        if let Err(error) = remove_hidden(&self.folder, &self.name) {
            tracing::warn!(part = self.name, %error, "a part of an upload is left behind");
        }
    }
}

/// A name for what belongs to one request.
pub(super) fn one_shot_name() -> io::Result<String> {
    Ok(format!("{ONE_SHOT}{}", random_name()?))
}

/// Makes a file and locks it; `ResourceBusy` if a sweep came between the two.
fn create(folder: &OwnedFd, name: &str) -> io::Result<File> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = File::from(openat(folder, name, flags, FILE_MODE)?);
    if lock(&file)? && fstat(&file)?.st_nlink > 0 {
        Ok(file)
    } else {
        Err(io::ErrorKind::ResourceBusy.into())
    }
}

/// Opens a folder in a hidden one, or a hidden one, through no link at all.
pub(super) fn open_plain(at: &OwnedFd, path: &[u8], flags: OFlags) -> Result<OwnedFd, Errno> {
    openat2(
        at,
        path,
        flags | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
        CONTAINED | ResolveFlags::NO_SYMLINKS,
    )
}

fn make_if_missing(at: &OwnedFd, name: &[u8], mode: Mode) -> Result<(), Errno> {
    match mkdirat(at, name, mode) {
        Err(Errno::EXIST) => Ok(()),
        other => other,
    }
}

/// The hidden folder for parts in a folder on a file system of its own, made if
/// it is missing. What a crash left in it before goes.
pub(super) fn nearby(folder: &OwnedFd) -> io::Result<OwnedFd> {
    make_if_missing(folder, RESERVED, PRIVATE)?;
    let hidden = open_plain(folder, RESERVED, OFlags::PATH)?;
    sweep(&hidden)?;
    Ok(hidden)
}

/// Removes the hidden folder again, if nobody else has parts in it.
pub(super) fn leave_nearby(folder: &OwnedFd) {
    // Not empty is what is expected of one in use, or of another server's.
    let _ = unlinkat(folder, RESERVED, AtFlags::REMOVEDIR);
}

pub(super) fn names(folder: &OwnedFd) -> io::Result<Vec<Vec<u8>>> {
    let mut names = Vec::new();
    for entry in Dir::new(open_plain(folder, b".", OFlags::RDONLY)?)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if !matches!(name, b"." | b"..") {
            names.push(name.to_vec());
        }
    }
    Ok(names)
}

/// Removes the one-shot parts in a hidden folder that nobody holds.
fn sweep(folder: &OwnedFd) -> io::Result<usize> {
    let mut swept = 0;
    for name in names(folder)? {
        let Ok(name) = String::from_utf8(name) else {
            continue;
        };
        if !name.starts_with(ONE_SHOT) {
            continue;
        }
        match sweep_one(folder, &name) {
            Ok(true) => swept += 1,
            Ok(false) => {}
            // One that can't be removed is no reason to keep the others.
            Err(error) => tracing::warn!(name, %error, "a part of an upload is left behind"),
        }
    }
    Ok(swept)
}

/// Removes a part unless it is held. The lock is kept until it is gone, so that
/// nobody begins to use it meanwhile.
fn sweep_one(folder: &OwnedFd, name: &str) -> io::Result<bool> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let part = match openat(folder, name, flags, Mode::empty()) {
        // A link is none of ours.
        Err(Errno::NOENT | Errno::LOOP) => return Ok(false),
        part => part?,
    };
    if !matches!(
        flock(&part, FlockOperation::NonBlockingLockExclusive),
        Ok(())
    ) {
        return Ok(false);
    }
    remove_hidden(folder, name)?;
    Ok(true)
}

/// Removes a file or a whole folder of parts.
fn remove_hidden(folder: &OwnedFd, name: &str) -> io::Result<()> {
    let stat = match statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
        Err(Errno::NOENT) => return Ok(()),
        stat => stat?,
    };
    let flags = match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => {
            tree::empty_hidden(open_plain(folder, name.as_bytes(), OFlags::PATH)?)?;
            AtFlags::REMOVEDIR
        }
        _ => AtFlags::empty(),
    };
    match unlinkat(folder, name, flags) {
        Err(Errno::NOENT) => Ok(()),
        other => Ok(other?),
    }
}
