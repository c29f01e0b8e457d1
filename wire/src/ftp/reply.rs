//! Replies (RFC 959 section 4.2).

use alloc::vec::Vec;

use super::Error;
use crate::http::push_decimal;

/// The longest reply a client takes, all lines together: a HELP or a banner runs to a few
/// kilobytes, a STAT of a folder to more.
pub const MAX_REPLY: usize = 65536;

/// Appends a reply of one line. Control bytes in `text` become `?`, so that a name in it can't
/// forge another reply.
pub fn reply(out: &mut Vec<u8>, code: u16, text: impl AsRef<[u8]>) {
    push_line(out, code, b' ', text.as_ref());
}

/// Appends a reply of several lines, as FEAT, STAT, HELP and MLST want it: each of `lines` is
/// indented by a space, so that none of them looks like the last one.
///
/// ```
/// use hythe_wire::ftp::multiline;
///
/// let mut out = Vec::new();
/// multiline(&mut out, 211, "Features:", ["SIZE", "MDTM"], "End");
/// assert_eq!(out, b"211-Features:\r\n SIZE\r\n MDTM\r\n211 End\r\n");
/// ```
pub fn multiline(
    out: &mut Vec<u8>,
    code: u16,
    first: impl AsRef<[u8]>,
    lines: impl IntoIterator<Item = impl AsRef<[u8]>>,
    last: impl AsRef<[u8]>,
) {
    push_line(out, code, b'-', first.as_ref());
    for line in lines {
        out.push(b' ');
        push_text(out, line.as_ref());
        out.extend_from_slice(b"\r\n");
    }
    push_line(out, code, b' ', last.as_ref());
}

fn push_line(out: &mut Vec<u8>, code: u16, mark: u8, text: &[u8]) {
    debug_assert!((100..600).contains(&code));
    push_decimal(out, u64::from(code));
    out.push(mark);
    push_text(out, text);
    out.extend_from_slice(b"\r\n");
}

fn push_text(out: &mut Vec<u8>, text: &[u8]) {
    out.extend(
        text.iter()
            .map(|byte| if byte.is_ascii_control() { b'?' } else { *byte }),
    );
}

/// Appends `path` between quotes with quotes inside it doubled, as a 257 reply has it (RFC 959
/// appendix II). Control bytes become `?`.
pub fn quote_path(out: &mut Vec<u8>, path: &[u8]) {
    out.push(b'"');
    for byte in path {
        push_text(out, &[*byte]);
        if *byte == b'"' {
            out.push(b'"');
        }
    }
    out.push(b'"');
}

/// The path of a 257 reply's text, which follows it with a comment or nothing.
pub fn parse_quoted_path(text: &[u8]) -> Option<Vec<u8>> {
    let mut path = Vec::new();
    let mut rest = text.strip_prefix(b"\"")?;
    loop {
        let (part, after) = rest.split_at(memchr::memchr(b'"', rest)?);
        path.extend_from_slice(part);
        rest = match after {
            [b'"', b'"', after @ ..] => after,
            _ => return Some(path),
        };
        path.push(b'"');
    }
}

/// A reply, as a client sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reply<'b> {
    /// The code, 100 to 599.
    pub code: u16,
    raw: &'b [u8],
}

impl<'b> Reply<'b> {
    /// Parses the reply at the front of `bytes`, and gives it with its length in bytes. `Ok(None)`
    /// means that it is not complete.
    ///
    /// # Errors
    /// The server is to blame: what it sent is no reply, or exceeds [`MAX_REPLY`]. The code is one
    /// that a server could have sent for it, 500.
    pub fn parse(bytes: &'b [u8]) -> Result<Option<(Self, usize)>, Error> {
        let bounded = &bytes[..bytes.len().min(MAX_REPLY)];
        let Some(length) = reply_length(bounded)? else {
            return match bounded.len() {
                MAX_REPLY => Err(Error::new(500, "The server's reply is too long.")),
                _ => Ok(None),
            };
        };
        let raw = &bytes[..length];
        let code = raw[..3]
            .iter()
            .fold(0, |code, digit| code * 10 + u16::from(digit - b'0'));
        Ok(Some((Self { code, raw }, length)))
    }

    /// The text, line by line, without codes, line ends, and the space that indents a line between
    /// the first and the last.
    pub fn lines(&self) -> impl Iterator<Item = &'b [u8]> + use<'b> {
        let code = &self.raw[..3];
        self.raw
            .split_inclusive(|byte| *byte == b'\n')
            .map(move |line| {
                let line = line.strip_suffix(b"\n").unwrap_or(line);
                let line = line.strip_suffix(b"\r").unwrap_or(line);
                match line.strip_prefix(code) {
                    Some([b' ' | b'-', text @ ..]) => text,
                    Some([]) => b"",
                    _ => line.strip_prefix(b" ").unwrap_or(line),
                }
            })
    }

    /// The first line of the text.
    pub fn text(&self) -> &'b [u8] {
        self.lines().next().unwrap_or_default()
    }
}

/// How long the reply at the front is, once it is there. Its first three bytes are then digits.
fn reply_length(bytes: &[u8]) -> Result<Option<usize>, Error> {
    let malformed = Error::new(500, "The server did not send an FTP reply.");
    // Said as early as possible: a server of another kind may never send a line end.
    let legal = |(at, byte): (usize, &u8)| match at {
        0 => matches!(byte, b'1'..=b'5'),
        1 | 2 => byte.is_ascii_digit(),
        _ => matches!(byte, b' ' | b'-' | b'\r' | b'\n'),
    };
    if !bytes.iter().take(4).enumerate().all(legal) {
        return Err(malformed);
    }
    let Some(code) = bytes.get(..3) else {
        return Ok(None);
    };
    let mut end = 0;
    while let Some(line_end) = memchr::memchr(b'\n', &bytes[end..]) {
        let line = &bytes[end..end + line_end];
        let is_first = end == 0;
        end += line_end + 1;
        // `211-` begins a reply of several lines, which ends with a line that begins `211 `.
        let last = match line.strip_prefix(code) {
            Some([b'-', ..]) => false,
            Some([] | [b' ' | b'\r', ..]) => true,
            _ => is_first,
        };
        if last {
            return Ok(Some(end));
        }
    }
    Ok(None)
}
