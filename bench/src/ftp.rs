//! As much of an FTP client as measuring needs: anonymous, passive, binary.
//!
//! It blocks, and gives up on the first reply that isn't the expected one.
//!
//! A data connection is opened before the command that uses it, so a server
//! finds it there and never has to wait for it.

use std::fmt::Display;
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpStream};

use rustix::net::{RecvFlags, SendFlags, recv, send};

/// Room for one `recv` of replies, each of which is a line or a few.
const RECV_BYTES: usize = 1024;

/// A control connection.
#[derive(Debug)]
pub struct Client {
    socket: TcpStream,
    addr: SocketAddr,
    /// Bytes of replies that nobody has asked for yet.
    received: Vec<u8>,
}

impl Client {
    /// Connects, and logs in as `anonymous`.
    ///
    /// # Errors
    /// The connection's, and `InvalidData` for a refusal.
    pub fn log_in(addr: SocketAddr) -> io::Result<Self> {
        let mut client = Self {
            socket: TcpStream::connect(addr)?,
            addr,
            received: Vec::new(),
        };
        client.expect(220, "the connection")?;
        client.command("USER anonymous", 331)?;
        client.command("PASS bench@", 230)?;
        Ok(client)
    }

    /// Sends a command and gives the last line of its reply, which must have
    /// this code.
    ///
    /// # Errors
    /// The connection's, and `InvalidData` for another code.
    pub fn command(&mut self, command: impl Display, code: u16) -> io::Result<String> {
        send_all(&self.socket, format!("{command}\r\n").as_bytes())?;
        self.expect(code, command)
    }

    /// Sends a command whose data goes over a connection that is open already:
    /// servers that know say 125, others 150 (RFC 959 section 5.4).
    ///
    /// # Errors
    /// The connection's, and `InvalidData` for another code.
    pub fn begin(&mut self, command: impl Display) -> io::Result<()> {
        send_all(&self.socket, format!("{command}\r\n").as_bytes())?;
        self.reply(&[150, 125], command).map(drop)
    }

    /// Waits for the reply with this code; `what` it answers is for the error.
    ///
    /// # Errors
    /// The connection's, and `InvalidData` for another code.
    pub fn expect(&mut self, code: u16, what: impl Display) -> io::Result<String> {
        self.reply(&[code], what)
    }

    fn reply(&mut self, codes: &[u16], what: impl Display) -> io::Result<String> {
        loop {
            if let Some(line) = last_line(&mut self.received) {
                if codes.iter().any(|code| line.starts_with(&code.to_string())) {
                    return Ok(line);
                }
                let text = format!("{what}: expected {}, got {line:?}", codes[0]);
                return Err(io::Error::new(ErrorKind::InvalidData, text));
            }
            if !self.receive()? {
                let text = format!("{what}: closed without a reply");
                return Err(io::Error::new(ErrorKind::UnexpectedEof, text));
            }
        }
    }

    /// Opens a data connection, which the server awaits.
    ///
    /// # Errors
    /// Those of both connections.
    pub fn passive(&mut self) -> io::Result<TcpStream> {
        let reply = self.command("EPSV", 229)?;
        let port = extended_port(&reply)
            .ok_or_else(|| io::Error::new(ErrorKind::InvalidData, format!("no port: {reply:?}")))?;
        TcpStream::connect((self.addr.ip(), port))
    }

    /// Says goodbye and waits until the server has closed.
    ///
    /// # Errors
    /// The connection's, and `InvalidData` for anything but 221.
    pub fn quit(mut self) -> io::Result<()> {
        self.command("QUIT", 221)?;
        while self.receive()? {}
        Ok(())
    }

    /// Takes what has come; false at the end.
    fn receive(&mut self) -> io::Result<bool> {
        let mut buffer = [0; RECV_BYTES];
        let (count, _) = recv(&self.socket, &mut buffer, RecvFlags::empty())?;
        self.received.extend_from_slice(&buffer[..count]);
        Ok(count > 0)
    }
}

/// Sends all of it.
///
/// # Errors
/// The connection's.
pub fn send_all(socket: &TcpStream, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        let sent = send(socket, bytes, SendFlags::NOSIGNAL)?;
        bytes = &bytes[sent..];
    }
    Ok(())
}

/// Takes the first reply out of `bytes` if it is whole, and gives its last
/// line: the first that has a code and a space (RFC 959 section 4.2).
fn last_line(bytes: &mut Vec<u8>) -> Option<String> {
    let mut start = 0;
    while let Some(length) = bytes[start..].iter().position(|byte| *byte == b'\n') {
        let line = &bytes[start..start + length];
        start += length + 1;
        let is_last = line.len() > 3 && line[..3].iter().all(u8::is_ascii_digit) && line[3] == b' ';
        if is_last {
            let line = String::from_utf8_lossy(line).trim_end().to_owned();
            bytes.drain(..start);
            return Some(line);
        }
    }
    None
}

/// The port in `229 Entering Extended Passive Mode (|||PORT|)`.
fn extended_port(reply: &str) -> Option<u16> {
    let (_, rest) = reply.split_once("(|||")?;
    rest.split_once('|')?.0.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_are_found_however_they_are_split() {
        let replies = b"220-Welcome\r\n 220 not yet\r\n220 Go on\r\n150 Here\r\n226 Done\r\n";
        for size in 1..=replies.len() {
            let (mut bytes, mut lines) = (Vec::new(), Vec::new());
            for part in replies.chunks(size) {
                bytes.extend_from_slice(part);
                lines.extend(std::iter::from_fn(|| last_line(&mut bytes)));
            }
            assert_eq!(lines, ["220 Go on", "150 Here", "226 Done"], "{size}");
            assert!(bytes.is_empty());
        }
    }

    #[test]
    fn the_port_is_found() {
        let port = extended_port("229 Entering Extended Passive Mode (|||2121|)");
        assert_eq!(port, Some(2121));
        assert_eq!(extended_port("229 Entering"), None);
    }
}
