//! What is written about each exchange, in the same form for every protocol.
//!
//! Lines go through `tracing`; whoever wants none of it installs no
//! subscriber, and then a line costs one look at a flag. Text from a peer is
//! escaped here, so that it can neither forge a line nor drive a terminal.

use std::fmt;
use std::io;

use hythe_net::{Addr, Failure};
use tracing::{debug, info, warn};

/// The `tracing` target of the access log.
pub const ACCESS: &str = "access";

/// One line of the access log.
#[derive(Clone, Copy, Debug)]
pub struct Access<'a> {
    /// `http`, `ftp` or `gopher`.
    pub protocol: &'static str,
    /// Who asked.
    pub peer: &'a Addr,
    /// What was to be done: a method or a command.
    pub verb: &'a str,
    /// To what, as the peer said it.
    pub target: &'a [u8],
    /// How it ended, as the protocol says it.
    pub status: u16,
    /// How many bytes of content were sent or received.
    pub bytes: u64,
}

/// Whether anybody reads the access log: where not, the caller need not even
/// gather what belongs into it.
pub fn is_on() -> bool {
    tracing::enabled!(target: ACCESS, tracing::Level::INFO)
}

impl Access<'_> {
    /// Writes the line.
    pub fn write(&self) {
        info!(
            target: ACCESS,
            protocol = self.protocol,
            peer = %self.peer,
            verb = self.verb,
            target = %Escaped(self.target),
            status = self.status,
            bytes = self.bytes,
        );
    }
}

/// Writes down a connection that ended badly. Peers that vanish are nothing
/// to worry about.
pub fn failed(protocol: &'static str, peer: Option<&Addr>, failure: &Failure) {
    let peer = peer.map(tracing::field::display);
    match failure {
        Failure::Error(error) if is_peers_doing(error) => {
            debug!(protocol, peer, %error, "connection ended");
        }
        Failure::Error(error) => warn!(protocol, peer, %error, "connection failed"),
        Failure::Panic(_) => tracing::error!(protocol, peer, %failure, "this is a bug in hythe"),
        Failure::Accept(_) | Failure::Busy => warn!(protocol, peer, "{failure}"),
    }
}

fn is_peers_doing(error: &io::Error) -> bool {
    use io::ErrorKind as Kind;
    matches!(
        error.kind(),
        Kind::ConnectionReset
            | Kind::ConnectionAborted
            | Kind::BrokenPipe
            | Kind::TimedOut
            | Kind::UnexpectedEof
            | Kind::NotConnected
            // What TLS makes nothing of: scanners, and browsers that do not trust
            // the certificate.
            | Kind::InvalidData
    )
}

/// Bytes from a peer, as text on one line without control characters:
/// `\n`, `\u{1b}` and, where they are not UTF-8, `\xff`.
#[derive(Clone, Copy, Debug)]
pub struct Escaped<'a>(pub &'a [u8]);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            for letter in chunk.valid().chars() {
                match letter {
                    '"' | '\'' => write!(f, "{letter}")?,
                    _ => write!(f, "{}", letter.escape_debug())?,
                }
            }
            for byte in chunk.invalid() {
                write!(f, "\\x{byte:02x}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peers_bytes_stay_on_one_line() {
        let nasty = "/a b/\"中文\"\r\nfake\x1b[31m\u{202e}".as_bytes();
        assert_eq!(
            Escaped(nasty).to_string(),
            "/a b/\"中文\"\\r\\nfake\\u{1b}[31m\\u{202e}"
        );
        assert_eq!(Escaped(b"\xff\x00").to_string(), "\\xff\\0");
    }
}
