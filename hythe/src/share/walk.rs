//! A folder and everything below it.

use std::io;
use std::vec;

use super::{Entry, Listing, Order, PATH_LIMIT, RelPath, View, is_skipped};

/// How many folders deep a walk goes: as deep as a path can be written, with
/// names of one byte, and the root above them. A level costs a walk no more
/// than the names of the folders that it has still to enter there.
pub const DEPTH_LIMIT: usize = PATH_LIMIT.div_ceil(2) + 1;

/// How many bytes the folders that are still to be entered may take: a million
/// folders side by side, with names of eight bytes. A tree has them only if it
/// was made to.
const WAITING_LIMIT: usize = 16 * 1024 * 1024;

/// A walk over a tree. It reads a folder to its end before it enters the
/// folders in it, so that it holds one descriptor and one batch of entries
/// however deep it is. Symbolic links to folders are named but never entered:
/// they could lead in circles.
#[derive(Debug)]
pub(super) struct Walk {
    view: View,
    depth: usize,
    /// The folder that was entered last, and which level it is: the one the
    /// walk began in is the first.
    folder: RelPath,
    level: usize,
    stage: Stage,
    waiting: Waiting,
    cut: Option<RelPath>,
}

#[derive(Debug)]
enum Stage {
    Entering,
    Reading(Box<Reading>),
    Left,
}

#[derive(Debug)]
struct Reading {
    listing: Listing,
    batch: vec::IntoIter<Entry>,
    more: bool,
}

/// Folders that are still to be entered, the next one last: their levels, the
/// lengths of their names, and their names end to end.
#[derive(Debug, Default)]
struct Waiting {
    folders: Vec<(u32, u32)>,
    names: Vec<u8>,
}

/// What one step of a walk came to.
#[derive(Debug)]
pub(super) enum Step {
    /// An entry. If it is a folder, it is entered later.
    Found(RelPath, Entry),
    /// What is in this folder, which was found before, follows.
    Entering(RelPath),
    /// This folder, or something in it, may not be read.
    Closed(RelPath),
    /// Nothing yet.
    Again,
    /// Everything has been found.
    End,
}

impl Walk {
    /// Walks what is in the folder at `path`, not deeper than `depth` levels.
    pub(super) fn new(view: View, path: RelPath, depth: usize) -> io::Result<Self> {
        let listing = view.list(&path, Order::default())?;
        Ok(Self {
            view,
            depth,
            folder: path,
            level: 1,
            stage: Stage::Reading(Reading::new(listing)),
            waiting: Waiting::default(),
            cut: None,
        })
    }

    /// The first folder that was not entered because it is too deep or one of
    /// too many, or in which there is something whose path is too long.
    pub(super) fn cut(&self) -> Option<&RelPath> {
        self.cut.as_ref()
    }

    /// Goes on to the next entry, looking at one batch of a folder at most.
    pub(super) fn step(&mut self) -> io::Result<Step> {
        match &mut self.stage {
            Stage::Reading(reading) => match reading.batch.next() {
                Some(entry) => Ok(self.found(entry)),
                None if reading.refill()? => Ok(Step::Again),
                None => {
                    let closed = reading.listing.denied();
                    self.stage = Stage::Left;
                    Ok(if closed {
                        Step::Closed(self.folder.clone())
                    } else {
                        Step::Again
                    })
                }
            },
            Stage::Entering => self.enter(),
            Stage::Left => Ok(self.next_folder()),
        }
    }

    fn found(&mut self, entry: Entry) -> Step {
        let Ok(path) = self.folder.join(&entry.name) else {
            self.cut.get_or_insert_with(|| self.folder.clone());
            return Step::Again;
        };
        if entry.meta.is_folder() && !entry.symlink {
            let entered = self.level < self.depth && self.waiting.push(self.level + 1, &entry.name);
            if !entered {
                self.cut.get_or_insert_with(|| path.clone());
            }
        }
        Step::Found(path, entry)
    }

    fn next_folder(&mut self) -> Step {
        let Some((level, name)) = self.waiting.pop() else {
            return Step::End;
        };
        let mut folder = std::mem::take(&mut self.folder);
        for _ in level..=self.level {
            folder = folder.parent().unwrap_or_default();
        }
        // It has been joined before, when it was found.
        self.folder = folder.join(&name).unwrap_or(folder);
        self.level = level;
        self.stage = Stage::Entering;
        Step::Entering(self.folder.clone())
    }

    /// Opens a folder, which may have been removed or replaced since it was
    /// found.
    fn enter(&mut self) -> io::Result<Step> {
        self.stage = Stage::Left;
        match self.view.list(&self.folder, Order::default()) {
            Ok(listing) => {
                self.stage = Stage::Reading(Reading::new(listing));
                Ok(Step::Again)
            }
            Err(error) => match error.kind() {
                io::ErrorKind::PermissionDenied => Ok(Step::Closed(self.folder.clone())),
                io::ErrorKind::NotADirectory => Ok(Step::Again),
                _ if is_skipped(&error) => Ok(Step::Again),
                _ => Err(error),
            },
        }
    }
}

impl Reading {
    fn new(listing: Listing) -> Box<Self> {
        Box::new(Self {
            listing,
            batch: Vec::new().into_iter(),
            more: true,
        })
    }

    /// Reads the next batch; `false` if there is none.
    fn refill(&mut self) -> io::Result<bool> {
        if !self.more {
            return Ok(false);
        }
        let mut batch = Vec::new();
        self.more = self.listing.next_batch(&mut batch)?;
        self.batch = batch.into_iter();
        Ok(true)
    }
}

impl Waiting {
    /// Adds a folder; `false` if there is no room.
    fn push(&mut self, level: usize, name: &[u8]) -> bool {
        let held = self.names.len() + size_of_val(self.folders.as_slice());
        let (Ok(level), Ok(length)) = (u32::try_from(level), u32::try_from(name.len())) else {
            return false;
        };
        if held >= WAITING_LIMIT {
            return false;
        }
        self.folders.push((level, length));
        self.names.extend_from_slice(name);
        true
    }

    fn pop(&mut self) -> Option<(usize, Vec<u8>)> {
        let (level, length) = self.folders.pop()?;
        let at = self.names.len() - length as usize;
        Some((level as usize, self.names.split_off(at)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_that_wait_have_an_end() {
        let mut waiting = Waiting::default();
        let mut count = 0;
        while waiting.push(2, b"8 bytes.") {
            count += 1;
        }
        assert_eq!(count, 1024 * 1024);
        assert_eq!(waiting.pop(), Some((2, b"8 bytes.".to_vec())));
        assert!(waiting.push(3, b"another.") && !waiting.push(3, b"x"));
    }
}
