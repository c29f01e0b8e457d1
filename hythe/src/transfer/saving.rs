//! What comes in, on its way to a file or to standard output.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::fs::FileExt as _;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use hythe_net::Sink;

use super::checking::Checking;
use super::journal::{Journal, UNKNOWN};
use crate::client::Meter;

/// Where bytes go.
#[derive(Clone, Debug)]
pub(super) enum Outlet {
    /// A segment of a part.
    Part {
        file: Arc<File>,
        journal: Arc<Journal>,
        segment: usize,
    },
    /// A stream, where what was written can't be written again.
    Stream(Arc<File>),
}

/// What the sink and its transfer both know.
#[derive(Debug, Default)]
pub(super) struct Shared {
    /// How far it has come.
    pub(super) offset: AtomicU64,
    /// What this machine could not do.
    pub(super) failed: Mutex<Option<io::Error>>,
    stopped: AtomicBool,
    pub(super) checking: Mutex<Option<Checking>>,
}

impl Shared {
    pub(super) fn offset(&self) -> u64 {
        self.offset.load(Ordering::Relaxed)
    }

    /// Takes no more from now on.
    pub(super) fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    pub(super) fn take_failure(&self) -> Option<io::Error> {
        self.failed
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }
}

/// A sink for [`Remote::receive`](crate::client::Remote::receive).
pub(super) struct Saving {
    pub(super) outlet: Outlet,
    pub(super) shared: Arc<Shared>,
    pub(super) meter: Meter,
    /// Exclusive.
    pub(super) end: u64,
    /// Where the next byte that comes belongs.
    pub(super) next: u64,
}

impl Sink for Saving {
    fn room(&self) -> u64 {
        let failed = self
            .shared
            .failed
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if failed.is_some() || self.shared.stopped.load(Ordering::Relaxed) {
            return 0;
        }
        let room = self.end - self.next;
        self.meter.piece().map_or(room, |piece| room.min(piece))
    }

    fn expected(&self) -> u64 {
        match self.end {
            UNKNOWN => 0,
            end => self.meter.piece().map_or(end - self.next, |_| 0),
        }
    }

    fn take(&mut self, bytes: &[u8]) {
        let result = self.save(bytes);
        self.next += bytes.len() as u64;
        if let Err(error) = result {
            *self
                .shared
                .failed
                .lock()
                .unwrap_or_else(PoisonError::into_inner) = Some(error);
            return;
        }
        let wait = self.meter.count(bytes.len() as u64);
        if !wait.is_zero() {
            thread::sleep(wait);
        }
    }
}

impl Saving {
    fn save(&self, bytes: &[u8]) -> io::Result<()> {
        let end = self.next + bytes.len() as u64;
        match &self.outlet {
            Outlet::Part {
                file,
                journal,
                segment,
            } => {
                file.write_all_at(bytes, self.next)?;
                journal.reach(*segment, end)?;
            }
            Outlet::Stream(stream) => (&**stream).write_all(bytes)?,
        }
        self.shared.offset.store(end, Ordering::Relaxed);
        let mut checking = self
            .shared
            .checking
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(checking) = checking.as_mut() {
            checking.take(self.next, bytes);
        }
        Ok(())
    }
}
