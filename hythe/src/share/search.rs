//! Looking for a name in a folder and all below it.

use std::io;

use super::walk::{Step, Walk};
use super::{DEPTH_LIMIT, Entry, RelPath, View};

/// How many entries one call looks at.
const BATCH: usize = 512;

/// How far a search goes before it gives up, so that a query costs the server
/// no more than it can afford.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SearchLimits {
    /// Entries looked at: by default a million, some seconds of work from a
    /// cold disk.
    pub visits: usize,
    /// Levels of folders, by default [`DEPTH_LIMIT`].
    pub depth: usize,
    /// Hits: by default a thousand, more than anyone reads.
    pub results: usize,
}

impl Default for SearchLimits {
    fn default() -> Self {
        Self {
            visits: 1_000_000,
            depth: DEPTH_LIMIT,
            results: 1_000,
        }
    }
}

/// Something that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hit {
    /// Where it is, from the root of the share.
    pub path: RelPath,
    /// What it is.
    pub entry: Entry,
}

/// A search that is under way. Symbolic links are found by their own names;
/// those to folders are not searched.
#[derive(Debug)]
pub struct Search {
    walk: Walk,
    needle: String,
    left: SearchLimits,
    cut: bool,
}

impl Search {
    pub(super) fn new(
        view: View,
        path: RelPath,
        needle: &str,
        limits: SearchLimits,
    ) -> io::Result<Self> {
        let walk = Walk::new(view, path, limits.depth)?;
        Ok(Self {
            walk,
            needle: needle.to_lowercase(),
            left: limits,
            cut: false,
        })
    }

    /// Appends more hits to `out`, possibly none, after a bounded amount of
    /// work. `Ok(false)` means that nothing follows what this call appended.
    ///
    /// # Errors
    /// Whatever the disk reports, other than that something is gone or closed.
    pub fn next_batch(&mut self, out: &mut Vec<Hit>) -> io::Result<bool> {
        for _ in 0..BATCH {
            let (path, entry) = match self.walk.step()? {
                Step::Found(path, entry) => (path, entry),
                Step::Entering(_) | Step::Closed(_) | Step::Again => continue,
                Step::End => return Ok(false),
            };
            if self.left.visits == 0 || self.left.results == 0 {
                self.cut = true;
                return Ok(false);
            }
            self.left.visits -= 1;
            if String::from_utf8_lossy(&entry.name)
                .to_lowercase()
                .contains(&self.needle)
            {
                self.left.results -= 1;
                out.push(Hit { path, entry });
            }
        }
        Ok(true)
    }

    /// Whether a limit kept the search from looking everywhere.
    pub fn was_cut(&self) -> bool {
        self.cut || self.walk.cut().is_some()
    }
}
