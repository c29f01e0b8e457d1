//! What a visitor may change: the write side of a [`View`].

use std::fs::File;
use std::io;

use super::{Meta, Modified, RelPath, View};

/// What may become of what is already there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// It stays, and the newcomer is refused with `AlreadyExists`.
    Keep,
    /// It is replaced, in one step.
    Replace,
    /// It is replaced, if it is still just this; else `ResourceBusy`.
    ReplaceThis(Meta),
}

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
#[derive(Debug)]
pub struct Incoming {
    _later: (),
}

/// What became of a file that came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Whether there was nothing of this name before.
    pub created: bool,
    /// What it is now.
    pub meta: Meta,
}

fn later<T>() -> io::Result<T> {
    Err(io::ErrorKind::Unsupported.into())
}

impl View {
    /// Makes a folder. Needs [`Access::Upload`](super::Access::Upload).
    ///
    /// # Errors
    /// `AlreadyExists`; `NotFound` where the folder above is not there.
    pub fn make_folder(&self, _path: &RelPath) -> io::Result<()> {
        later()
    }

    /// Makes a folder and those above it, where they are missing.
    ///
    /// # Errors
    /// `NotADirectory` where one of them is a file.
    pub fn make_folders(&self, _path: &RelPath) -> io::Result<()> {
        later()
    }

    /// Removes a file. Needs [`Access::Write`](super::Access::Write).
    ///
    /// # Errors
    /// `NotFound`, `IsADirectory`.
    pub fn remove_file(&self, _path: &RelPath) -> io::Result<()> {
        later()
    }

    /// Removes an empty folder.
    ///
    /// # Errors
    /// `NotFound`, `NotADirectory`, `DirectoryNotEmpty`.
    pub fn remove_folder(&self, _path: &RelPath) -> io::Result<()> {
        later()
    }

    /// Removes a file, or a folder with all that is in it. Symbolic links are
    /// removed and never followed.
    ///
    /// # Errors
    /// `NotFound`; what can't be removed, and then the rest of it stays.
    pub fn remove_tree(&self, _path: &RelPath) -> io::Result<()> {
        later()
    }

    /// Gives a file or folder another name, in one step.
    ///
    /// # Errors
    /// `NotFound`, `AlreadyExists`, `InvalidInput` for a folder into itself.
    pub fn rename(&self, _from: &RelPath, _to: &RelPath, _existing: Existing) -> io::Result<bool> {
        later()
    }

    /// Copies a file, or a folder with all that is in it. Whether there was
    /// nothing there before.
    ///
    /// # Errors
    /// As [`rename`](Self::rename), and as [`receive`](Self::receive).
    pub fn copy(&self, _from: &RelPath, _to: &RelPath, _existing: Existing) -> io::Result<bool> {
        later()
    }

    /// Sets the time of modification of a file.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn set_modified(&self, _path: &RelPath, _modified: Modified) -> io::Result<()> {
        later()
    }

    /// Begins to take in a file that will appear at `path`, whole.
    /// [`Existing::Keep`] needs [`Access::Upload`](super::Access::Upload), the
    /// others [`Access::Write`](super::Access::Write).
    ///
    /// # Errors
    /// `AlreadyExists`, `NotFound` where the folder is not there,
    /// `IsADirectory`, `QuotaExceeded`, `FileTooLarge`, `StorageFull`.
    pub fn receive(&self, _path: &RelPath, _intent: Intent) -> io::Result<Incoming> {
        later()
    }
}

impl Incoming {
    /// The file to write to, at its end.
    pub fn file(&self) -> &File {
        unreachable!()
    }

    /// Appends.
    ///
    /// # Errors
    /// `QuotaExceeded`, `FileTooLarge`, `StorageFull`, `InvalidInput` for more
    /// than the length that was announced.
    pub fn write(&mut self, _bytes: &[u8]) -> io::Result<()> {
        later()
    }

    /// How many bytes have come.
    pub fn written(&self) -> u64 {
        0
    }

    /// Lets the file appear under its name.
    ///
    /// # Errors
    /// As [`View::receive`]; `UnexpectedEof` for less than was announced.
    pub fn finish(self) -> io::Result<Stored> {
        later()
    }
}
