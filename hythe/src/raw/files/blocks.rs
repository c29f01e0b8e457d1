//! The blocks of a file and their hashes.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::LazyLock;

use hythe_wire::transfer::{BLOCK, HASH, Hash, block_length, blocks};
use rustix::fs::{SeekFrom, seek};
use rustix::io::Errno;

/// One block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Block {
    /// Nothing but zeros, whether they are on the disk or a hole.
    Zeros(Hash),
    /// What the buffer holds.
    Bytes(Hash),
}

impl Block {
    pub(super) fn hash(&self) -> Hash {
        match *self {
            Self::Zeros(hash) | Self::Bytes(hash) => hash,
        }
    }
}

/// Reads the blocks of a file in their order.
#[derive(Debug)]
pub(super) struct Blocks<'f> {
    file: &'f File,
    size: u64,
    next: u64,
    /// From where on there is data, as far as it is known: before it is a hole.
    data_from: u64,
}

impl<'f> Blocks<'f> {
    /// The blocks of the first `size` bytes, from block `next` on.
    pub(super) fn new(file: &'f File, size: u64, next: u64) -> Self {
        Self {
            file,
            size,
            next,
            data_from: 0,
        }
    }

    /// The index of the next block; `None` at the end.
    pub(super) fn index(&self) -> Option<u64> {
        (self.next < blocks(self.size)).then_some(self.next)
    }

    /// Reads the next block into `buffer`, in place of what is there.
    ///
    /// # Errors
    /// `UnexpectedEof` if the file has become shorter.
    pub(super) fn read(&mut self, buffer: &mut Vec<u8>) -> io::Result<Block> {
        let offset = self.next * BLOCK;
        let length = block_length(self.size, self.next);
        self.next += 1;
        if self.is_hole(offset, length) {
            return Ok(Block::Zeros(hash_of_zeros(length)));
        }
        buffer.resize(length as usize, 0);
        self.file.read_exact_at(buffer, offset)?;
        // Most blocks are told from zeros by their first byte.
        if buffer.iter().all(|byte| *byte == 0) {
            return Ok(Block::Zeros(hash_of_zeros(length)));
        }
        Ok(Block::Bytes(hash(buffer)))
    }

    /// Whether there is nothing on the disk for it. File systems that know no
    /// holes say that all is data.
    fn is_hole(&mut self, offset: u64, length: u64) -> bool {
        if self.data_from < offset {
            self.data_from = match seek(self.file, SeekFrom::Data(offset)) {
                Ok(data) => data,
                // No data from here to the end.
                Err(Errno::NXIO) => u64::MAX,
                Err(_) => offset,
            };
        }
        self.data_from >= offset + length
    }
}

/// The hash of a block.
pub(super) fn hash(bytes: &[u8]) -> Hash {
    *blake3::hash(bytes).as_bytes()
}

/// The hash of a block of so many zeros.
pub(super) fn hash_of_zeros(length: u64) -> Hash {
    static WHOLE: LazyLock<Hash> = LazyLock::new(|| hash(&[0; BLOCK as usize]));
    if length == BLOCK {
        *WHOLE
    } else {
        hash(&vec![0; length as usize])
    }
}

/// The hash of all blocks' hashes, which tells that a file is whole. Of whole
/// blocks of zeros that follow each other it takes the hash of one, and how many
/// there are: of a file that is nothing else there may be more than can be counted.
#[derive(Debug, Default)]
pub(super) struct Whole {
    hasher: blake3::Hasher,
    zeros: u64,
}

impl Whole {
    pub(super) fn add(&mut self, hash: &Hash) {
        if *hash == hash_of_zeros(BLOCK) {
            self.zeros += 1;
        } else {
            self.end_zeros();
            self.hasher.update(hash);
        }
    }

    /// Adds whole blocks of zeros.
    pub(super) fn add_zeros(&mut self, count: u64) {
        self.zeros += count;
    }

    fn end_zeros(&mut self) {
        let count = std::mem::take(&mut self.zeros);
        if count > 0 {
            self.hasher.update(&hash_of_zeros(BLOCK));
            self.hasher.update(&count.to_be_bytes());
        }
    }

    pub(super) fn hash(&mut self) -> Hash {
        self.end_zeros();
        *self.hasher.finalize().as_bytes()
    }
}

/// Hashes as they came in messages.
pub(super) fn hashes(bytes: &[u8]) -> impl Iterator<Item = Hash> + '_ {
    let (whole, _) = bytes.as_chunks::<HASH>();
    whole.iter().copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holes_zeros_and_data_are_told_apart() {
        let file = tempfile::tempfile().unwrap();
        let size = 4 * BLOCK + 10;
        file.set_len(size).unwrap();
        file.write_all_at(&[0; 100], BLOCK).unwrap();
        file.write_all_at(b"data", 3 * BLOCK - 4).unwrap();
        file.write_all_at(b"end", 4 * BLOCK + 7).unwrap();
        let mut blocks = Blocks::new(&file, size, 0);
        let mut buffer = Vec::new();
        let mut kinds = Vec::new();
        while blocks.index().is_some() {
            let block = blocks.read(&mut buffer).unwrap();
            let offset = blocks.next - 1;
            let mut bytes = vec![0; block_length(size, offset) as usize];
            file.read_exact_at(&mut bytes, offset * BLOCK).unwrap();
            assert_eq!(block.hash(), hash(&bytes));
            kinds.push(matches!(block, Block::Bytes(_)));
        }
        assert_eq!(kinds, [false, false, true, false, true]);
    }
}
