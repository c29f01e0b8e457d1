//! FTP's control connection and listings (RFC 959, 1123, 2389, 2428, 2640, 3659, 4217).
//!
//! ```text
//!  server                                     client
//!
//!  bytes ─► Lines::next ─► Command::parse     Command::encode ─► bytes
//!             (Telnet off)        │
//!                                 │ Err(Error { code, text }) is the reply to send
//!                                 ▼
//!            reply / multiline ─► bytes ─► Reply::parse
//!
//!  Entry ─► write_facts / write_ls ─► data connection ─► parse_facts / parse_ls ─► Entry
//! ```
//!
//! In scope: command lines, replies, the addresses inside both, and the lines of listings.
//!
//! Out of scope: which command may follow which (the session knows), paths on a disk, and data
//! connections; line ends of ASCII transfers are the session's too.
//!
//! # One whole exchange
//!
//! ```
//! use hythe_wire::ftp::{Command, Lines, Reply, quote_path, reply};
//!
//! # fn main() -> Result<(), hythe_wire::ftp::Error> {
//! let mut sent = Vec::new();
//! Command::Mkd(b"boats \"old\"").encode(&mut sent)?;
//! assert_eq!(sent, b"MKD boats \"old\"\r\n");
//!
//! // The server's side.
//! let mut lines = Lines::new();
//! let mut input = &sent[..];
//! let Some(line) = lines.next(&mut input)? else {
//!     return Ok(()); // the line is not complete: read more
//! };
//! let mut answer = Vec::new();
//! match Command::parse(line) {
//!     Ok(Command::Mkd(path)) => {
//!         let mut text = Vec::new();
//!         quote_path(&mut text, path);
//!         reply(&mut answer, 257, text);
//!     }
//!     Ok(_) => reply(&mut answer, 502, "Not today."),
//!     Err(error) => reply(&mut answer, error.code, error.text),
//! }
//! assert_eq!(answer, b"257 \"boats \"\"old\"\"\"\r\n");
//!
//! // The client's again.
//! let Some((reply, used)) = Reply::parse(&answer)? else { return Ok(()) };
//! assert_eq!((reply.code, used), (257, answer.len()));
//! # Ok(())
//! # }
//! ```

mod address;
mod command;
mod lines;
mod listing;
mod reply;

use core::fmt;

pub use address::{
    parse_extended, parse_extended_port, parse_host_port, write_extended, write_extended_port,
    write_host_port,
};
pub use command::{Command, Epsv, Hash, ListOptions, Opts, Protection, Site, Type};
pub use lines::{Lines, MAX_LINE, MAX_TELNET};
pub use listing::{
    Date, Entry, Fact, Facts, Kind, format_time, parse_facts, parse_ls, parse_time, write_facts,
    write_ls,
};
pub use reply::{MAX_REPLY, Reply, multiline, parse_quoted_path, quote_path, reply};

/// A line that is refused, and the reply that says so (RFC 959 section 4.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Error {
    /// The reply code.
    pub code: u16,
    /// The reply's text, which holds none of the peer's bytes.
    pub text: &'static str,
}

impl Error {
    pub(crate) const fn new(code: u16, text: &'static str) -> Self {
        Self { code, text }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} {}", self.code, self.text)
    }
}

impl core::error::Error for Error {}

/// Whether `byte` would end a line, or a string in somebody's C.
const fn breaks_line(byte: u8) -> bool {
    matches!(byte, b'\r' | b'\n' | 0)
}
