//! As much of an FTP client as measuring needs: anonymous, passive, binary.
//!
//! It gives up on the first reply that isn't the expected one.
//!
//! A data connection is opened before the command that uses it, so a server
//! finds it there and never has to wait for it.

use std::fmt::Display;
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpStream};

use rustix::net::{RecvFlags, SendFlags, recv, send};

/// Room for one `recv` of replies, each of which is a line or a few.
const RECV_BYTES: usize = 1024;

/// What a server says first. Here and below, codes are those of good replies.
pub const GREETING: &[u16] = &[220];
/// The name that everybody may use.
pub const USER: &str = "USER anonymous";
/// The reply to USER.
pub const NAMED: &[u16] = &[331];
/// Any password will do.
pub const PASS: &str = "PASS bench@";
/// The reply to PASS.
pub const LOGGED_IN: &[u16] = &[230];
/// Bytes as they are.
pub const TYPE: &str = "TYPE I";
/// The reply to TYPE.
pub const TYPE_SET: &[u16] = &[200];
/// Asks for a port to connect to.
pub const EPSV: &str = "EPSV";
/// The reply to EPSV.
pub const PASSIVE: &[u16] = &[229];
/// Before the data: a server that knows that the connection is open already
/// may say 125 (RFC 959 section 5.4).
pub const OPENING: &[u16] = &[150, 125];
/// After the data.
pub const COMPLETE: &[u16] = &[226];
/// Ends the session.
pub const QUIT: &str = "QUIT";
/// The reply to QUIT.
pub const CLOSING: &[u16] = &[221];

/// A control connection.
#[derive(Debug)]
pub struct Client {
    socket: TcpStream,
    addr: SocketAddr,
    /// Bytes of replies that nobody has asked for yet.
    received: Vec<u8>,
}

impl Client {
    /// Connects. The greeting is still to come.
    ///
    /// # Errors
    /// The connection's.
    pub fn connect(addr: SocketAddr) -> io::Result<Self> {
        Ok(Self {
            socket: TcpStream::connect(addr)?,
            addr,
            received: Vec::new(),
        })
    }

    /// Connects, and logs in as `anonymous`.
    ///
    /// # Errors
    /// The connection's, and `InvalidData` for a refusal.
    pub fn log_in(addr: SocketAddr) -> io::Result<Self> {
        let mut client = Self::connect(addr)?;
        client.expect(GREETING, "the connection")?;
        client.command(USER, NAMED)?;
        client.command(PASS, LOGGED_IN)?;
        Ok(client)
    }

    // --- Blocking, a command at a time ---

    /// Sends a command and gives the last line of its reply, which must have
    /// one of these codes.
    ///
    /// # Errors
    /// The connection's, and `InvalidData` for another code.
    pub fn command(&mut self, command: impl Display, codes: &[u16]) -> io::Result<String> {
        self.send(&command)?;
        self.expect(codes, command)
    }

    /// Waits for a reply with one of these codes; `what` it answers is for the
    /// error.
    ///
    /// # Errors
    /// The connection's, and `InvalidData` for another code.
    pub fn expect(&mut self, codes: &[u16], what: impl Display) -> io::Result<String> {
        loop {
            if let Some(reply) = self.reply() {
                return check(reply, codes, what);
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
        let reply = self.command(EPSV, PASSIVE)?;
        self.connect_data(&reply)
    }

    /// Says goodbye and waits until the server has closed.
    ///
    /// # Errors
    /// The connection's, and `InvalidData` for anything but 221.
    pub fn quit(mut self) -> io::Result<()> {
        self.command(QUIT, CLOSING)?;
        while self.receive()? {}
        Ok(())
    }

    // --- In steps, for who waits for many at once ---

    /// The control connection, to wait for.
    #[must_use]
    pub fn socket(&self) -> &TcpStream {
        &self.socket
    }

    /// Sends a command.
    ///
    /// # Errors
    /// The connection's.
    pub fn send(&self, command: impl Display) -> io::Result<()> {
        send_all(&self.socket, format!("{command}\r\n").as_bytes())
    }

    /// Takes what has come; false at the end.
    ///
    /// # Errors
    /// The connection's.
    pub fn receive(&mut self) -> io::Result<bool> {
        let mut buffer = [0; RECV_BYTES];
        let (count, _) = recv(&self.socket, &mut buffer, RecvFlags::empty())?;
        self.received.extend_from_slice(&buffer[..count]);
        Ok(count > 0)
    }

    /// The last line of the next reply, if all of it has come.
    pub fn reply(&mut self) -> Option<String> {
        last_line(&mut self.received)
    }

    /// Connects to the port in the reply to EPSV.
    ///
    /// # Errors
    /// The connection's, and `InvalidData` if there is no port.
    pub fn connect_data(&self, reply: &str) -> io::Result<TcpStream> {
        let port = extended_port(reply)
            .ok_or_else(|| io::Error::new(ErrorKind::InvalidData, format!("no port: {reply:?}")))?;
        TcpStream::connect((self.addr.ip(), port))
    }
}

/// Passes on a reply that has one of these codes; `what` it answers is for the
/// error.
///
/// # Errors
/// `InvalidData` for another code.
pub fn check(reply: String, codes: &[u16], what: impl Display) -> io::Result<String> {
    if codes
        .iter()
        .any(|code| reply.starts_with(&code.to_string()))
    {
        return Ok(reply);
    }
    let text = format!("{what}: expected {}, got {reply:?}", codes[0]);
    Err(io::Error::new(ErrorKind::InvalidData, text))
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
