//! A file as ASCII type sends it: with CRLF at the end of each line.

use std::fs::File;
use std::io::{self, Read};

use crate::share::Pieces;

/// How much of the file is converted at a time.
const CHUNK: usize = 64 * 1024;

/// A text on its way to the network (RFC 959 section 3.1.1.1). A line end that
/// is CRLF in the file already is left as it is, as other servers do.
pub(super) struct Ascii {
    file: File,
    /// How much is to be sent: what the file held when it was opened.
    left: u64,
    after_cr: bool,
    chunk: Box<[u8]>,
}

impl Ascii {
    pub(super) fn new(file: File, size: u64) -> Self {
        Self {
            file,
            left: size,
            after_cr: false,
            chunk: vec![0; CHUNK].into(),
        }
    }
}

impl Pieces for Ascii {
    fn piece(&mut self, out: &mut Vec<u8>) -> io::Result<bool> {
        if self.left == 0 {
            return Ok(false);
        }
        let wanted = self.left.min(CHUNK as u64) as usize;
        let count = match self.file.read(&mut self.chunk[..wanted]) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => 0,
            result => result?,
        };
        self.left -= count as u64;
        convert(&self.chunk[..count], &mut self.after_cr, out);
        Ok(self.left > 0)
    }
}

fn convert(text: &[u8], after_cr: &mut bool, out: &mut Vec<u8>) {
    for line in text.split_inclusive(|byte| *byte == b'\n') {
        let body = line.strip_suffix(b"\n").unwrap_or(line);
        out.extend_from_slice(body);
        if let Some(last) = body.last() {
            *after_cr = *last == b'\r';
        }
        if body.len() < line.len() {
            out.extend_from_slice(if *after_cr { b"\n" } else { b"\r\n" });
            *after_cr = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_ends_become_crlf_wherever_the_text_is_cut() {
        let cases: [(&[u8], &[u8]); 5] = [
            (b"", b""),
            (b"a\nb\n\nc", b"a\r\nb\r\n\r\nc"),
            (b"a\r\nb\r\n", b"a\r\nb\r\n"),
            (b"\n\r\r\n\rx", b"\r\n\r\r\n\rx"),
            (b"\n\n", b"\r\n\r\n"),
        ];
        for (text, expected) in cases {
            for cut in 0..=text.len() {
                let (mut out, mut after_cr) = (Vec::new(), false);
                convert(&text[..cut], &mut after_cr, &mut out);
                convert(&text[cut..], &mut after_cr, &mut out);
                assert_eq!(out, expected, "{} cut at {cut}", text.escape_ascii());
            }
        }
    }

    #[test]
    fn a_file_that_shrinks_is_an_error_and_one_that_grows_is_cut() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f");
        std::fs::write(&path, "abc\n").unwrap();
        let mut out = Vec::new();
        assert!(
            !Ascii::new(File::open(&path).unwrap(), 2)
                .piece(&mut out)
                .unwrap()
        );
        assert_eq!(out, b"ab");
        let mut longer = Ascii::new(File::open(&path).unwrap(), 5);
        assert!(longer.piece(&mut out).unwrap());
        let error = longer.piece(&mut out).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }
}
