//! Whose turn it is to write to an upload.
//!
//! Next to each upload is a file of a few numbers. Whoever begins to write
//! puts a number of its own there; before each write it takes `flock(2)` on the
//! file, and finds out whether the number is still its own. So the latest comer
//! always wins, in whatever process or thread the earlier one waits for a peer
//! that is long gone, and the bytes of two never mix.
//!
//! The file also says to where an upload has been verified, while bytes come
//! whose checksum is only known to be right at their end: whoever comes next
//! after a crash cuts the upload back to there.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use super::UploadError;

/// How long one waits for another who writes, or puts a finished upload in its
/// place. Both take milliseconds, but for a disk that hangs or a copy to another
/// file system; then the client is better told to come again.
const WAIT: Duration = Duration::from_secs(4);

/// How long between two tries. A write takes about as long.
const RETRY: Duration = Duration::from_millis(2);

/// Three numbers of eight bytes.
const RECORD: usize = 24;

/// What is in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Record {
    /// Whose turn it is.
    pub(super) number: u64,
    /// To where the upload is verified, while there is more in it.
    pub(super) verified: Option<u64>,
    /// Whether it was about to be put in its place: if its data are gone then,
    /// they are there.
    pub(super) placing: bool,
}

/// A right to write, until somebody else takes it.
#[derive(Debug)]
pub(super) struct Turn {
    file: File,
    record: Record,
}

impl Turn {
    /// Waits until nobody writes, and looks who has the turn. It stays theirs
    /// until [`take`](Self::take). It is held from here to
    /// [`release`](Self::release), or until this is dropped.
    ///
    /// # Errors
    /// [`UploadError::Taken`] where it takes too long.
    pub(super) fn look(file: File) -> Result<Self, UploadError> {
        hold(&file)?;
        let record = Record::read(&file)?;
        Ok(Self { file, record })
    }

    /// Takes the turn from whoever has it; only while it is held.
    pub(super) fn take(&mut self) -> io::Result<()> {
        let mut number = [0; 8];
        getrandom::fill(&mut number).map_err(io::Error::other)?;
        self.write(Record {
            number: u64::from_le_bytes(number),
            ..self.record
        })
    }

    /// Waits until nobody writes, and makes sure that it is still one's turn;
    /// then it is held.
    ///
    /// # Errors
    /// [`UploadError::Taken`] if it is not.
    pub(super) fn hold(&self) -> Result<(), UploadError> {
        hold(&self.file)?;
        match Record::read(&self.file) {
            Ok(record) if record.number == self.record.number => Ok(()),
            other => {
                self.release();
                Err(other.map_or_else(UploadError::from, |_| UploadError::Taken))
            }
        }
    }

    /// Lets others in.
    pub(super) fn release(&self) {
        // Nothing is to be done about a lock that can't be given back; the
        // kernel does it when the file is closed.
        flock(&self.file, FlockOperation::Unlock).ok();
    }

    pub(super) fn record(&self) -> Record {
        self.record
    }

    /// Writes it down; only while it is held.
    pub(super) fn write(&mut self, record: Record) -> io::Result<()> {
        if self.record != record {
            self.file.write_all_at(&record.bytes(), 0)?;
            self.record = record;
        }
        Ok(())
    }

    /// So that it survives a power cut.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }
}

/// Tries until it holds.
fn hold(file: &File) -> Result<(), UploadError> {
    let until = Instant::now() + WAIT;
    loop {
        match flock(file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(()),
            // A file system without locks has one process on it, we hope.
            Err(Errno::NOLCK | Errno::OPNOTSUPP | Errno::NOSYS) => return Ok(()),
            Err(Errno::WOULDBLOCK | Errno::INTR) if Instant::now() < until => thread::sleep(RETRY),
            Err(Errno::WOULDBLOCK | Errno::INTR) => return Err(UploadError::Taken),
            Err(errno) => return Err(io::Error::from(errno).into()),
        }
    }
}

impl Record {
    /// Of an upload that was just begun.
    pub(super) const NEW: Self = Self {
        number: 0,
        verified: None,
        placing: false,
    };

    pub(super) fn bytes(self) -> [u8; RECORD] {
        let mut bytes = [0; RECORD];
        bytes[..8].copy_from_slice(&self.number.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.verified.unwrap_or(u64::MAX).to_le_bytes());
        bytes[16] = u8::from(self.placing);
        bytes
    }

    /// A file cut short by a power cut says what a new one does.
    fn read(file: &File) -> io::Result<Self> {
        let mut bytes = [0; RECORD];
        match file.read_exact_at(&mut bytes, 0) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(Self::NEW),
            Err(error) => return Err(error),
        }
        let number = |at: usize| {
            let mut number = [0; 8];
            number.copy_from_slice(&bytes[at..at + 8]);
            u64::from_le_bytes(number)
        };
        Ok(Self {
            number: number(0),
            verified: Some(number(8)).filter(|verified| *verified != u64::MAX),
            placing: bytes[16] == 1,
        })
    }
}
