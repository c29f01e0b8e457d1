//! What comes in over a data connection, and where it goes.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::Sender;

use hythe_net::Sink;
use hythe_net::reactor::hand_over;
use hythe_wire::ftp::Type;

use super::ascii::Unconverted;
use crate::share::{How, RelPath, View, Writing};

/// A piece at least this long is a sender at work, who sends more before long:
/// it is worth while to wait for that together. A log that is appended to line
/// by line is written line by line.
const AT_WORK: usize = 16 * 1024;

/// How far a transfer has come, and whether it is to go on: what the session
/// and whoever moves the bytes both know.
#[derive(Debug, Default)]
pub(super) struct Flow {
    moved: AtomicU64,
    stopped: AtomicBool,
}

impl Flow {
    pub(super) fn moved(&self) -> u64 {
        self.moved.load(Ordering::Relaxed)
    }

    pub(super) fn add(&self, bytes: u64) {
        self.moved.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }
}

/// A file that is to be written. It is opened with the first byte, or the end:
/// until the client has connected and sends, nothing of what is there is lost.
#[derive(Debug)]
pub(super) struct Intake {
    pub(super) view: View,
    pub(super) path: RelPath,
    pub(super) how: How,
    pub(super) kind: Type,
}

impl Intake {
    /// Ready to be poured into. `alive` is dropped with the last of it, when
    /// nothing will be written any more.
    pub(super) fn begin(self, flow: Arc<Flow>, alive: Sender<()>) -> Filling {
        Filling {
            converted: match self.kind {
                Type::Ascii => Some(Unconverted::default()),
                Type::Image => None,
            },
            intake: self,
            flow,
            writing: None,
            failed: None,
            last: 0,
            alive: Some(alive),
        }
    }
}

/// A file that is being written.
#[derive(Debug)]
pub(super) struct Filling {
    intake: Intake,
    flow: Arc<Flow>,
    writing: Option<Writing>,
    /// What it was that went wrong; then nothing more is taken.
    failed: Option<io::Error>,
    converted: Option<Unconverted>,
    /// How much came at once the last time.
    last: usize,
    /// Dropped after `writing`.
    alive: Option<Sender<()>>,
}

impl Filling {
    /// Brings what has come to its end. Blocks. `whole` if the client has sent
    /// all it has.
    ///
    /// # Errors
    /// The disk's, the quota's: of `failed`, or of the end.
    pub(super) fn end(mut self, whole: bool) -> io::Result<()> {
        let result = self.conclude(whole);
        drop(self.writing.take());
        result
    }

    fn conclude(&mut self, whole: bool) -> io::Result<()> {
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        if let Some(rest) = self.converted.as_mut().and_then(Unconverted::end) {
            self.write(rest)?;
        }
        if whole {
            self.open()?;
            if let Some(writing) = self.writing.take() {
                writing.finish()?;
            }
        }
        Ok(())
    }

    fn open(&mut self) -> io::Result<&mut Writing> {
        match &mut self.writing {
            Some(writing) => Ok(writing),
            none => {
                let Intake {
                    view, path, how, ..
                } = &self.intake;
                Ok(none.insert(view.write_in_place(path, *how)?))
            }
        }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.open()?.write(bytes)
    }
}

/// A file that is left as it is gets into the books, which blocks; and whoever
/// drops this may be the event loop.
impl Drop for Filling {
    fn drop(&mut self) {
        if let Some(writing) = self.writing.take() {
            let alive = self.alive.take();
            hand_over(move || {
                drop(writing);
                drop(alive);
            });
        }
    }
}

impl Sink for Filling {
    fn room(&self) -> u64 {
        if self.failed.is_some() || self.flow.is_stopped() {
            0
        } else {
            u64::MAX
        }
    }

    fn expected(&self) -> u64 {
        if self.last < AT_WORK { 0 } else { u64::MAX }
    }

    fn take(&mut self, bytes: &[u8]) {
        self.last = bytes.len();
        self.flow.add(bytes.len() as u64);
        let written = match &mut self.converted {
            Some(converted) => {
                let text = converted.take(bytes);
                self.write(&text)
            }
            None => self.write(bytes),
        };
        self.failed = written.err();
    }
}
