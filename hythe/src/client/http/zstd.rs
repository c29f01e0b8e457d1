//! Zstandard (RFC 8878), fed with whatever comes.

use std::io::{self, Write as _};

use ruzstd::decoding::FrameDecoder;

use super::body::Outlet;

/// The longest header of a frame (RFC 8878 section 3.1.1.1).
const FRAME_HEADER: usize = 18;

/// The header of a block (section 3.1.1.2).
const BLOCK_HEADER: usize = 3;

/// How much is written at a time.
const PIECE: usize = 64 * 1024;

/// A decoder that writes to an outlet. It takes a block at a time, since a few
/// bytes may stand for many; and keeps no more than one, 128 KiB.
pub(super) struct Zstd {
    decoder: FrameDecoder,
    /// What has come and is no whole block yet.
    waiting: Vec<u8>,
    begun: bool,
    outlet: Outlet,
}

impl Zstd {
    pub(super) fn new(outlet: Outlet) -> Self {
        Self {
            decoder: FrameDecoder::new(),
            waiting: Vec::new(),
            begun: false,
            outlet,
        }
    }

    pub(super) fn outlet(&self) -> &Outlet {
        &self.outlet
    }

    pub(super) fn take(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.waiting.extend_from_slice(bytes);
        while let Some(length) = self.whole() {
            self.decode(length)?;
        }
        Ok(())
    }

    /// All has come.
    pub(super) fn finish(&mut self) -> io::Result<()> {
        // A frame may be shorter than the longest header.
        while !self.waiting.is_empty() {
            let length = self.whole().unwrap_or(self.waiting.len());
            if self.decode(length)? == 0 {
                break;
            }
        }
        let sums = (
            self.decoder.get_checksum_from_data(),
            self.decoder.get_calculated_checksum(),
        );
        let wrong = matches!(sums, (Some(one), Some(other)) if one != other);
        if self.waiting.is_empty() && self.begun && self.decoder.is_finished() && !wrong {
            return Ok(());
        }
        Err(io::ErrorKind::InvalidData.into())
    }

    /// How much of what waits can be decoded together, if anything.
    fn whole(&self) -> Option<usize> {
        let needed = match self.waiting.as_slice() {
            _ if !self.begun => FRAME_HEADER,
            // What comes after the last block is its checksum.
            _ if self.decoder.is_finished() => return None,
            [first, second, third, ..] => {
                let header = u32::from_le_bytes([*first, *second, *third, 0]);
                // The size of one byte that is repeated is that of its repetition.
                let repeated = (header >> 1) & 3 == 1;
                let size = if repeated { 1 } else { header as usize >> 3 };
                BLOCK_HEADER + size
            }
            _ => return None,
        };
        (self.waiting.len() >= needed).then_some(needed)
    }

    /// Decodes so many bytes, if they are enough for anything; how many were.
    fn decode(&mut self, length: usize) -> io::Result<usize> {
        let mut piece = vec![0; PIECE];
        let source = &self.waiting[..length];
        let (read, mut written) = self
            .decoder
            .decode_from_to(source, &mut piece)
            .map_err(io::Error::other)?;
        self.begun = true;
        let read = read.min(length);
        self.waiting.drain(..read);
        while written > 0 {
            self.outlet.write_all(&piece[..written])?;
            written = io::Read::read(&mut self.decoder, &mut piece)?;
        }
        Ok(read)
    }
}
