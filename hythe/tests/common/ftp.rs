//! An FTP client for tests, as bare as can be: it sends what it is given and
//! hands out what comes.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};

use super::connect;

/// A control connection.
pub struct Session(BufReader<TcpStream>);

/// A reply, whole: its code, and all its lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    pub code: u16,
    pub text: Vec<u8>,
}

/// The bytes of one file.
pub fn fetch(address: SocketAddr, path: &[u8]) -> Vec<u8> {
    let mut session = Session::log_in(address);
    let (reply, data) = session.transfer([b"RETR ", path].concat());
    assert_eq!(reply.code, 226, "{}", reply.text.escape_ascii());
    data
}

impl Session {
    /// Connects, and logs nobody in.
    pub fn connect(address: SocketAddr) -> Self {
        let mut session = Self(BufReader::new(connect(address)));
        assert_eq!(session.reply().code, 220);
        session
    }

    /// Connects, logs in without an account, and chooses binary transfers.
    pub fn log_in(address: SocketAddr) -> Self {
        let mut session = Self::connect(address);
        for (line, code) in [("USER anonymous", 331), ("PASS me@", 230), ("TYPE I", 200)] {
            assert_eq!(session.command(line).code, code, "{line}");
        }
        session
    }

    /// Sends bytes as they are.
    pub fn send(&mut self, bytes: &[u8]) {
        self.0.get_mut().write_all(bytes).unwrap();
    }

    /// Sends a line, and reads the reply.
    pub fn command(&mut self, line: impl AsRef<[u8]>) -> Reply {
        self.send(&[line.as_ref(), b"\r\n"].concat());
        self.reply()
    }

    /// The data connection for the next transfer.
    pub fn passive(&mut self) -> TcpStream {
        let reply = self.command("EPSV");
        let text = String::from_utf8(reply.text).unwrap();
        assert_eq!(reply.code, 229, "{text}");
        let port = text.split('|').nth(3).unwrap().parse().unwrap();
        let host = self.0.get_ref().peer_addr().unwrap().ip();
        connect(SocketAddr::new(host, port))
    }

    /// Sends a command that moves data: the reply that ends it, and the data.
    pub fn transfer(&mut self, line: impl AsRef<[u8]>) -> (Reply, Vec<u8>) {
        let mut stream = self.passive();
        let first = self.command(line);
        let mut data = Vec::new();
        if first.code >= 200 {
            return (first, data);
        }
        stream.read_to_end(&mut data).unwrap();
        (self.reply(), data)
    }

    /// Reads one reply.
    pub fn reply(&mut self) -> Reply {
        let mut text = Vec::new();
        loop {
            let begin = text.len();
            let read = self.0.read_until(b'\n', &mut text).unwrap();
            assert_ne!(read, 0, "closed after {}", text.escape_ascii());
            let line = &text[begin..];
            assert!(line.ends_with(b"\r\n"), "{}", line.escape_ascii());
            if line.starts_with(&[&text[..3], b" "].concat()) {
                let code = std::str::from_utf8(&text[..3]).unwrap().parse().unwrap();
                return Reply { code, text };
            }
        }
    }

    /// What comes until the server ends the connection.
    pub fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        // A reset is an end too.
        self.0.read_to_end(&mut rest).ok();
        rest
    }
}
