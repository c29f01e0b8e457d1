//! A folder and everything below it, depth first.

use std::io;
use std::vec;

use super::{Entry, Listing, Order, RelPath, View, is_skipped};

/// How many folders deep a walk goes. Each level costs a descriptor and up to
/// a batch of entries; trees made by people end long before.
pub const DEPTH_LIMIT: usize = 64;

/// A walk over a tree that holds one open folder, and one batch of its entries,
/// for each level it is deep in. Symbolic links to folders are named but never
/// entered: they could lead in circles.
#[derive(Debug)]
pub(super) struct Walk {
    view: View,
    depth: usize,
    levels: Vec<Level>,
    /// The folder that was just named and is to be entered next.
    enter: Option<RelPath>,
    cut: bool,
}

#[derive(Debug)]
struct Level {
    listing: Listing,
    batch: vec::IntoIter<Entry>,
    more: bool,
}

/// What one step of a walk came to.
#[derive(Debug)]
pub(super) enum Step {
    /// An entry; what is in it, if it is a folder, follows.
    Found(RelPath, Entry),
    /// Nothing yet.
    Again,
    /// Everything has been found.
    End,
}

impl Walk {
    /// Walks what is in the folder at `path`, not deeper than `depth` levels.
    pub(super) fn new(view: View, path: RelPath, depth: usize) -> io::Result<Self> {
        let top = Level::new(view.list(&path, Order::default())?);
        Ok(Self {
            view,
            depth,
            levels: vec![top],
            enter: None,
            cut: false,
        })
    }

    /// Whether some folder was too deep to enter.
    pub(super) fn was_cut(&self) -> bool {
        self.cut
    }

    /// Goes on to the next entry, looking at one batch of a folder at most.
    pub(super) fn step(&mut self) -> io::Result<Step> {
        if let Some(path) = self.enter.take() {
            match self.view.list(&path, Order::default()) {
                Ok(listing) => self.levels.push(Level::new(listing)),
                Err(error) if gone_or_closed(&error) => {}
                Err(error) => return Err(error),
            }
        }
        let Some(level) = self.levels.last_mut() else {
            return Ok(Step::End);
        };
        let Some(entry) = level.batch.next() else {
            if !level.refill()? {
                self.levels.pop();
            }
            return Ok(Step::Again);
        };
        // A path that has become too long is as unreachable here as by name.
        let Ok(path) = level.listing.path().join(&entry.name) else {
            return Ok(Step::Again);
        };
        if entry.meta.is_folder() && !entry.symlink {
            if self.levels.len() < self.depth {
                self.enter = Some(path.clone());
            } else {
                self.cut = true;
            }
        }
        Ok(Step::Found(path, entry))
    }
}

impl Level {
    fn new(listing: Listing) -> Self {
        Self {
            listing,
            batch: Vec::new().into_iter(),
            more: true,
        }
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

/// A folder may have been removed, closed or replaced since it was named.
fn gone_or_closed(error: &io::Error) -> bool {
    is_skipped(error) || error.kind() == io::ErrorKind::NotADirectory
}
