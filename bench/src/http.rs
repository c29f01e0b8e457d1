//! As much HTTP/1.1 as measuring needs: GET and PUT requests, and responses
//! with a `Content-Length` or without a body. No chunks, no redirects, no
//! errors forgiven.

use std::fmt::Display;
use std::io;
use std::str::FromStr;

/// A keep-alive GET.
#[must_use]
pub fn request(host: impl Display, path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n").into_bytes()
}

/// The head of a keep-alive PUT, which `length` bytes follow.
#[must_use]
pub fn put_head(host: impl Display, path: &str, length: u64) -> Vec<u8> {
    format!("PUT {path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {length}\r\n\r\n").into_bytes()
}

/// How many bytes the first head in `bytes` has, its blank line included;
/// `None` while the blank line isn't there.
///
/// Boyer and Moore's idea in small: the blank line is four bytes, so looking
/// at every fourth byte is enough until one of them is `\r` or `\n`.
///
/// ```
/// use hythe_bench::http::head_length;
///
/// assert_eq!(head_length(b"GET / HTTP/1.1\r\n\r\nmore"), Some(18));
/// assert_eq!(head_length(b"GET / HTTP/1.1\r\n"), None);
/// ```
#[must_use]
pub fn head_length(bytes: &[u8]) -> Option<usize> {
    const BLANK_LINE: &[u8; 4] = b"\r\n\r\n";
    let mut last = BLANK_LINE.len() - 1;
    while let Some(byte) = bytes.get(last) {
        last += match byte {
            b'\n' if bytes[..=last].ends_with(BLANK_LINE) => return Some(last + 1),
            b'\n' => 2,
            b'\r' => 1,
            _ => 4,
        };
    }
    None
}

/// Follows one response after another on one connection.
///
/// ```
/// use hythe_bench::http::Responses;
///
/// let mut responses = Responses::default();
/// assert!(!responses.receive(b"HTTP/1.1 200 OK\r\nContent-Le")?);
/// assert!(!responses.receive(b"ngth: 5\r\n\r\nhel")?);
/// assert!(responses.receive(b"lo")?);
/// assert_eq!(responses.length(), 5);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Default)]
pub struct Responses {
    head: Vec<u8>,
    length: u64,
    left: Option<u64>,
    to_put: bool,
}

impl Responses {
    /// Those to PUT, where any of the ways to say that a file is new or was
    /// replaced is good: 200, 201 and 204.
    #[must_use]
    pub fn to_put() -> Self {
        Self {
            to_put: true,
            ..Self::default()
        }
    }

    /// Takes in what came; true when that completes a response, after which
    /// the next `receive` begins another.
    ///
    /// # Errors
    /// `InvalidData` for a status that isn't good, for a head without a
    /// `Content-Length`, and for bytes past the end of the response.
    pub fn receive(&mut self, bytes: &[u8]) -> io::Result<bool> {
        if self.left.is_some() {
            return self.skip(bytes.len());
        }
        self.head.extend_from_slice(bytes);
        let Some(head_length) = head_length(&self.head) else {
            return Ok(false);
        };
        let body = self.head.len() - head_length;
        self.length = content_length(&self.head[..head_length], self.to_put)?;
        self.left = Some(self.length);
        self.head.clear();
        self.skip(body)
    }

    /// The body's length, once its head has been received.
    #[must_use]
    pub fn length(&self) -> u64 {
        self.length
    }

    /// How many bytes of the body are still to come; `None` between bodies.
    #[must_use]
    pub fn left(&self) -> Option<u64> {
        self.left
    }

    /// Counts `bytes` of the body as received without having looked at them;
    /// true when that completes the response.
    ///
    /// # Errors
    /// `InvalidData` when the body had fewer bytes left.
    pub fn skip(&mut self, bytes: usize) -> io::Result<bool> {
        let left = self.left.unwrap_or(0).checked_sub(bytes as u64);
        let left = left.ok_or_else(|| invalid("more bytes came than Content-Length says"))?;
        self.left = (left > 0).then_some(left);
        Ok(left == 0)
    }
}

fn content_length(head: &[u8], to_put: bool) -> io::Result<u64> {
    let head = std::str::from_utf8(head).map_err(|_| invalid("the head isn't text"))?;
    let mut lines = head.lines();
    let line = lines.next().unwrap_or_default();
    match line
        .strip_prefix("HTTP/1.1 ")
        .and_then(|rest| rest.get(..3))
    {
        Some("200") => {}
        Some("201") if to_put => {}
        Some("204") if to_put => return Ok(0), // it never has a body (RFC 9110, 15.3.5)
        _ => return Err(invalid(&format!("expected success, got: {line}"))),
    }
    lines
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .and_then(|(_, value)| u64::from_str(value.trim()).ok())
        .ok_or_else(|| invalid("the head has no Content-Length"))
}

fn invalid(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_blank_line_is_found_wherever_it_stands() {
        for before in 0..9 {
            for after in 0..5 {
                let bytes = [&vec![b'x'; before], &b"\r\n\r\n"[..], &vec![b'y'; after]].concat();
                assert_eq!(head_length(&bytes), Some(before + 4), "{bytes:?}");
                assert_eq!(head_length(&bytes[..before + 3]), None, "{bytes:?}");
            }
        }
        assert_eq!(head_length(b"\n\r\r\n\n\r\n\r\n\r\n"), Some(9));
    }

    #[test]
    fn a_response_may_be_split_anywhere() -> io::Result<()> {
        let response = b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabc";
        let mut responses = Responses::default();
        for split in 1..response.len() {
            assert!(!responses.receive(&response[..split])?, "{split}");
            assert!(responses.receive(&response[split..])?, "{split}");
            assert_eq!((responses.length(), responses.left()), (3, None));
        }
        Ok(())
    }

    #[test]
    fn a_put_is_answered_in_three_ways() -> io::Result<()> {
        for good in [
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
            "HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n",
            "HTTP/1.1 204 No Content\r\n\r\n",
        ] {
            assert!(Responses::to_put().receive(good.as_bytes())?, "{good}");
        }
        let bad = b"HTTP/1.1 409 Conflict\r\nContent-Length: 0\r\n\r\n";
        assert!(Responses::to_put().receive(bad).is_err());
        Ok(())
    }

    #[test]
    fn anything_but_a_good_response_is_an_error() {
        for bad in [
            "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
            "HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n",
            "HTTP/1.1 200 OK\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nab",
        ] {
            assert!(
                Responses::default().receive(bad.as_bytes()).is_err(),
                "{bad}"
            );
        }
    }
}
