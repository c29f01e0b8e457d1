//! A folder on its way to a visitor: a beginning, its entries, an end.

use std::io;

use crate::share::{Entry, Listing, PIECE, Pieces, RelPath};

/// How many times a piece asks the listing for more before it is handed over
/// as it is, and if it is empty. Enough that a small folder is one piece; few
/// enough that a large one, while it is gathered to be sorted, does not keep a
/// thread for more than some milliseconds.
const BATCHES: usize = 4;

/// How a listing is written down.
pub(super) trait Layout: Send {
    /// Writes what comes before the entries. The folder has not been read yet.
    fn begin(&mut self, folder: &RelPath, out: &mut Vec<u8>) -> io::Result<()>;
    /// Writes some entries.
    fn entries(&mut self, folder: &RelPath, entries: &[Entry], out: &mut Vec<u8>)
    -> io::Result<()>;
    /// Writes what comes after them. `sorted` tells whether they came in the
    /// order that was asked for.
    fn end(&mut self, sorted: bool, out: &mut Vec<u8>) -> io::Result<()>;
}

/// A listing as [`Pieces`].
pub(super) struct Streamed<L> {
    listing: Listing,
    layout: L,
    stage: Stage,
}

enum Stage {
    New,
    Reading,
    Finished,
}

impl<L: Layout> Streamed<L> {
    pub(super) fn new(listing: Listing, layout: L) -> Self {
        Self {
            listing,
            layout,
            stage: Stage::New,
        }
    }

    fn read(&mut self, out: &mut Vec<u8>) -> io::Result<()> {
        let full = out.len() + PIECE;
        let mut entries = Vec::new();
        for _ in 0..BATCHES {
            let more = self.listing.next_batch(&mut entries)?;
            self.layout.entries(self.listing.path(), &entries, out)?;
            entries.clear();
            if !more {
                self.stage = Stage::Finished;
                return self.layout.end(self.listing.is_sorted(), out);
            }
            if out.len() >= full {
                break;
            }
        }
        Ok(())
    }
}

impl<L: Layout> Pieces for Streamed<L> {
    fn piece(&mut self, out: &mut Vec<u8>) -> io::Result<bool> {
        match self.stage {
            // A piece of its own, so that a browser has something to show while
            // a cold disk is read.
            Stage::New => {
                self.layout.begin(self.listing.path(), out)?;
                self.stage = Stage::Reading;
            }
            Stage::Reading => self.read(out)?,
            Stage::Finished => {}
        }
        Ok(!matches!(self.stage, Stage::Finished))
    }
}
