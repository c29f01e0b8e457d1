//! Texts as ASCII type sends them, with CRLF at the end of each line, and as
//! they are stored, with LF.

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

/// A text on its way from the network: CRLF becomes LF, and any other CR or LF
/// is left as it is.
#[derive(Debug, Default)]
pub(super) struct Unconverted {
    /// The last byte was a CR, which is kept back until it is known what
    /// follows.
    after_cr: bool,
}

impl Unconverted {
    pub(super) fn take(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut text = Vec::with_capacity(bytes.len() + 1);
        for part in bytes.split_inclusive(|byte| *byte == b'\r') {
            if std::mem::take(&mut self.after_cr) && part[0] != b'\n' {
                text.push(b'\r');
            }
            let body = part.strip_suffix(b"\r").unwrap_or(part);
            self.after_cr = body.len() < part.len();
            text.extend_from_slice(body);
        }
        text
    }

    /// What was kept back, at the end of the text.
    pub(super) fn end(&mut self) -> Option<&'static [u8]> {
        std::mem::take(&mut self.after_cr).then_some(b"\r")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crlf_becomes_lf_wherever_the_text_is_cut() {
        let cases: [(&[u8], &[u8]); 7] = [
            (b"", b""),
            (b"a\r\nb\r\n\r\nc", b"a\nb\n\nc"),
            (b"a\nb\n", b"a\nb\n"),
            (b"\r", b"\r"),
            (b"\r\r\n", b"\r\n"),
            (b"a\rb\r\r\r\nc\r", b"a\rb\r\r\nc\r"),
            (b"\r\n\n\r", b"\n\n\r"),
        ];
        for (sent, expected) in cases {
            for cut in 0..=sent.len() {
                let mut text = Unconverted::default();
                let mut out = text.take(&sent[..cut]);
                out.extend(text.take(&sent[cut..]));
                out.extend_from_slice(text.end().unwrap_or_default());
                assert_eq!(out, expected, "{} cut at {cut}", sent.escape_ascii());
            }
        }
    }

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
