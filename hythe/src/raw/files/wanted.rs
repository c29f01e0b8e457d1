//! [`Wanted`]: a file that is to come, and [`Current`], one that is coming: its
//! part, and what of it is there.

use std::fs::{File, Permissions};
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _, PermissionsExt as _};
use std::time::{Duration, SystemTime};

use hythe_wire::transfer::{BLOCK, Hash, block_length, blocks};
use rustix::fs::{FallocateFlags, FlockOperation, fallocate, flock};

use super::PARTS;
use super::blocks::{Block, Blocks, Whole, hash_of_zeros};
use crate::client::Meter;
use crate::share::{Existing, How, Modified, RelPath, View};

/// The mode of a part: nobody else's to read.
const PART_MODE: u32 = 0o600;

/// How many blocks of a part are hashed and known, at most: a terabyte of them,
/// for which 64 MiB are kept. What is behind is sent again.
const MOST_THERE: usize = 1 << 21;

/// A file that was asked for.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    pub(super) path: RelPath,
    pub(super) size: u64,
    pub(super) modified: Modified,
    pub(super) mode: u16,
    pub(super) existing: Existing,
}

impl Wanted {
    /// Where it is while it comes: known again by what it is, and not by when it
    /// was sent.
    pub(super) fn part(&self) -> io::Result<RelPath> {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&self.size.to_be_bytes());
        hasher.update(&self.modified.secs.to_be_bytes());
        hasher.update(&self.modified.nanos.to_be_bytes());
        hasher.update(self.path.as_bytes());
        let name = hasher.finalize().to_hex();
        let part = RelPath::root()
            .join(PARTS)
            .and_then(|parts| parts.join(name.as_bytes()));
        part.map_err(io::Error::other)
    }
}

/// A file that is coming.
#[derive(Debug)]
pub(super) struct Current {
    pub(super) id: u32,
    pub(super) wanted: Wanted,
    part: RelPath,
    file: File,
    /// The hashes of what was there, from the first block on.
    pub(super) there: Vec<Hash>,
    whole: Whole,
    /// The first block that nothing was said of.
    next: u64,
    pub(super) meter: Meter,
}

/// What may be wrong with what a sender says of a file.
#[derive(Debug)]
pub(super) enum Wrong {
    /// It does not fit.
    Protocol(&'static str),
    /// This machine can't do it.
    Local(io::Error),
}

impl From<io::Error> for Wrong {
    fn from(error: io::Error) -> Self {
        Self::Local(error)
    }
}

impl Current {
    /// Opens the part of a file, and begins it if there is none.
    pub(super) fn open(view: &View, id: u32, wanted: Wanted) -> io::Result<Self> {
        let part = wanted.part()?;
        let parts = part.parent().unwrap_or_default();
        view.make_folders(&parts)?;
        let writing = match view.write_in_place(&part, How::At(0)) {
            // It was interrupted when it had its mode, and not yet its place.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                view.set_mode(&part, PART_MODE)?;
                view.write_in_place(&part, How::At(0))?
            }
            writing => writing?,
        };
        let file = writing.file().try_clone()?;
        let is_ours = flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok()
            && view.metadata(&part)?.inode == file.metadata()?.ino();
        if !is_ours {
            let text = "another hythe is receiving it at this moment";
            return Err(io::Error::other(text));
        }
        // Who may read it is said when it is whole.
        file.set_permissions(Permissions::from_mode(PART_MODE))?;
        Ok(Self {
            id,
            wanted,
            part,
            file,
            there: Vec::new(),
            whole: Whole::default(),
            next: 0,
            meter: Meter::default(),
        })
    }

    /// Hashes some more of what is there, at most `most` blocks; gives their
    /// hashes, which are none at the end.
    pub(super) fn hash_some(&mut self, most: usize) -> io::Result<Vec<u8>> {
        // What was opened for writing alone can't be read.
        let length = self.file.metadata()?.len().min(self.wanted.size);
        let reading = readable(&self.file)?;
        let mut left = Blocks::new(&reading, self.wanted.size, self.there.len() as u64);
        let mut buffer = Vec::new();
        let mut bytes = Vec::new();
        for _ in 0..most {
            // A block that is there in part is none.
            let whole = |index| index * BLOCK + block_length(self.wanted.size, index) <= length;
            if !left.index().is_some_and(whole) || self.there.len() >= MOST_THERE {
                break;
            }
            let block: Block = left.read(&mut buffer)?;
            self.there.push(block.hash());
            bytes.extend_from_slice(&block.hash());
        }
        Ok(bytes)
    }

    /// Begins a block that is sent: where its bytes go.
    pub(super) fn begin_block(
        &mut self,
        index: u64,
        hash: &Hash,
        length: u32,
    ) -> Result<u64, Wrong> {
        if u64::from(length) != block_length(self.wanted.size, index) {
            return Err(Wrong::Protocol("a block that is not of this file"));
        }
        self.skip_to(index)?;
        self.whole.add(hash);
        self.next = index + 1;
        Ok(index * BLOCK)
    }

    pub(super) fn write(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.file.write_all_at(bytes, offset)?;
        self.meter.count(bytes.len() as u64);
        Ok(())
    }

    /// Takes note of blocks of zeros, for which the disk needs no place.
    pub(super) fn zeros(&mut self, index: u64, count: u64) -> Result<(), Wrong> {
        let size = self.wanted.size;
        let end = index.checked_add(count);
        let Some(end) = end.filter(|end| *end <= blocks(size)) else {
            return Err(Wrong::Protocol("zeros that are not of this file"));
        };
        self.skip_to(index)?;
        let (from, to) = (index * BLOCK, end.saturating_mul(BLOCK).min(size));
        let length = self.file.metadata()?.len();
        if to > length {
            self.file.set_len(to)?;
        }
        if from < length {
            clear(&self.file, from, to.min(length))?;
        }
        let last = block_length(size, end - 1);
        self.whole.add_zeros(count - u64::from(last < BLOCK));
        if last < BLOCK {
            self.whole.add(&hash_of_zeros(last));
        }
        self.next = end;
        Ok(())
    }

    /// What is between was there.
    fn skip_to(&mut self, index: u64) -> Result<(), Wrong> {
        if index < self.next {
            return Err(Wrong::Protocol("a block for the second time"));
        }
        if index == self.next {
            return Ok(());
        }
        let between = usize::try_from(self.next)
            .ok()
            .zip(usize::try_from(index).ok())
            .and_then(|(from, to)| self.there.get(from..to));
        let Some(between) = between else {
            return Err(Wrong::Protocol("a block is left out that was not there"));
        };
        between.iter().for_each(|hash| self.whole.add(hash));
        self.next = index;
        Ok(())
    }

    /// Whether all of it is there, as the sender hashed it.
    pub(super) fn is_whole(&mut self, hash: &Hash) -> Result<bool, Wrong> {
        self.skip_to(blocks(self.wanted.size))?;
        Ok(self.whole.hash() == *hash)
    }

    /// Puts it in its place, with its time and mode.
    pub(super) fn finish(&self, view: &View) -> io::Result<()> {
        let wanted = &self.wanted;
        // What is behind the end is of no file that we know.
        self.file.set_len(wanted.size)?;
        // Some file systems keep no times.
        if let Some(time) = system_time(wanted.modified) {
            self.file.set_modified(time).ok();
        }
        let mode = u32::from(wanted.mode) & 0o777;
        self.file.set_permissions(Permissions::from_mode(mode))?;
        view.rename(&self.part, &wanted.path, wanted.existing)?;
        // On another file system it is a copy.
        if view.metadata(&wanted.path)?.inode != self.file.metadata()?.ino() {
            view.set_mode(&wanted.path, mode)?;
            view.set_modified(&wanted.path, wanted.modified)?;
        }
        Ok(())
    }

    /// Leaves nothing of it.
    pub(super) fn discard(&self, view: &View) {
        view.remove_file(&self.part).ok();
    }
}

/// The same file, for reading.
fn readable(file: &File) -> io::Result<File> {
    use std::os::fd::AsRawFd as _;
    // Not by its path, which may lead elsewhere by now.
    File::open(format!("/proc/self/fd/{}", file.as_raw_fd()))
}

/// Makes a range zeros, as a hole where the file system can.
fn clear(file: &File, from: u64, to: u64) -> io::Result<()> {
    let hole = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    if fallocate(file, hole, from, to - from).is_ok() {
        return Ok(());
    }
    let zeros = vec![0; BLOCK as usize];
    let mut offset = from;
    while offset < to {
        let length = (to - offset).min(BLOCK);
        file.write_all_at(&zeros[..length as usize], offset)?;
        offset += length;
    }
    Ok(())
}

pub(super) fn system_time(modified: Modified) -> Option<SystemTime> {
    let nanos = Duration::from_nanos(modified.nanos.into());
    let seconds = Duration::from_secs(modified.secs.unsigned_abs());
    let whole = if modified.secs < 0 {
        SystemTime::UNIX_EPOCH.checked_sub(seconds)
    } else {
        SystemTime::UNIX_EPOCH.checked_add(seconds)
    };
    whole?.checked_add(nanos)
}
