//! A text as Gopher sends it (RFC 1436 section 3.3), made while it is sent.

use std::fs::File;
use std::io::{self, Read};

use hythe_wire::gopher::TextEncoder;

use crate::share::Pieces;

/// How much of the file is encoded at a time.
const CHUNK: usize = 64 * 1024;

/// A file with CRLF line ends, doubled dots, and the final one.
pub(super) struct Text {
    file: File,
    /// How much is to be sent: what the file held when it was opened, so that
    /// one that keeps growing has an end.
    left: u64,
    encoder: TextEncoder,
    chunk: Box<[u8]>,
}

impl Text {
    pub(super) fn new(file: File, size: u64) -> Self {
        Self {
            file,
            left: size,
            encoder: TextEncoder::new(),
            chunk: vec![0; CHUNK].into(),
        }
    }
}

impl Pieces for Text {
    fn piece(&mut self, out: &mut Vec<u8>) -> io::Result<bool> {
        if self.left == 0 {
            std::mem::take(&mut self.encoder).finish(out);
            return Ok(false);
        }
        let wanted = self.left.min(CHUNK as u64) as usize;
        match self.file.read(&mut self.chunk[..wanted]) {
            // It has become shorter; without the final dot, a client can tell.
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => {
                self.left -= count as u64;
                self.encoder.encode(&self.chunk[..count], out);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        Ok(true)
    }
}
