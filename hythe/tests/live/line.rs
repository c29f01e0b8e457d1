//! Connections to the live server, byte by byte, in the clear and over TLS.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::time::Duration;

use hythe_net::Socket;
use hythe_net::option::Linger;

use super::common::{connect, tool};
use super::server::Live;

pub(crate) const TEXT: u8 = 1;
pub(crate) const CLOSE: u8 = 8;
pub(crate) const PING: u8 = 9;
pub(crate) const PONG: u8 = 10;

pub(crate) enum Line {
    Plain(TcpStream),
    /// Encrypted by openssl.
    Tls(Child, ChildStdin, ChildStdout),
}

impl Line {
    pub(crate) fn plain(live: &Live) -> Self {
        Self::to(live.plain)
    }

    pub(crate) fn to(address: SocketAddr) -> Self {
        let stream = connect(address);
        stream.set_nodelay(true).unwrap();
        Self::Plain(stream)
    }

    pub(crate) fn tls(live: &Live) -> Self {
        let mut child = tool("openssl")
            .args(["s_client", "-quiet", "-no_ign_eof", "-connect"])
            .arg(live.tls.to_string())
            .arg("-CAfile")
            .arg(live.certificate())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let (stdin, stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        Self::Tls(child, stdin, stdout)
    }

    /// Both kinds, for tests that try each.
    pub(crate) fn both(live: &Live) -> [Self; 2] {
        [Self::plain(live), Self::tls(live)]
    }

    /// Sends a request, and reads the head of the reply.
    pub(crate) fn ask(&mut self, target: &str, fields: &[&str]) -> String {
        let mut request = format!("GET {target} HTTP/1.1\r\nHost: here\r\n");
        for field in fields {
            request.extend([field, "\r\n"]);
        }
        self.write_all((request + "\r\n").as_bytes()).unwrap();
        self.head()
    }

    pub(crate) fn head(&mut self) -> String {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            self.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        String::from_utf8(head).unwrap()
    }

    /// Begins to speak WebSocket.
    pub(crate) fn upgrade(mut self, target: &str) -> Self {
        let head = self.ask(target, UPGRADE);
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        self
    }

    pub(crate) fn send(&mut self, opcode: u8, payload: &[u8]) {
        self.write_all(&frame(opcode, payload)).unwrap();
    }

    /// The next frame; nothing at the end.
    pub(crate) fn frame(&mut self) -> Option<(u8, Vec<u8>)> {
        let mut head = [0; 2];
        match self.read_exact(&mut head) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return None,
            read => read.unwrap(),
        }
        assert_eq!(head[0] & 0xf0, 0x80, "all is sent in one frame");
        let length = match head[1] {
            length @ ..126 => usize::from(length),
            126 => {
                let mut length = [0; 2];
                self.read_exact(&mut length).unwrap();
                usize::from(u16::from_be_bytes(length))
            }
            127.. => {
                let mut length = [0; 8];
                self.read_exact(&mut length).unwrap();
                usize::try_from(u64::from_be_bytes(length)).unwrap()
            }
        };
        let mut payload = vec![0; length];
        self.read_exact(&mut payload).unwrap();
        Some((head[0] & 0xf, payload))
    }

    /// Expects to be told that this is the end: code and reason.
    pub(crate) fn closed(&mut self) -> (u16, String) {
        let (opcode, payload) = self.frame().expect("a close");
        assert_eq!(opcode, CLOSE, "{payload:?}");
        let (code, reason) = payload.split_at(2);
        (
            u16::from_be_bytes([code[0], code[1]]),
            String::from_utf8(reason.to_vec()).unwrap(),
        )
    }

    /// Breaks off without a farewell.
    pub(crate) fn reset(self) {
        match self {
            Self::Plain(stream) => {
                let socket = Socket::from(OwnedFd::from(stream));
                socket.set(Linger(Some(Duration::ZERO))).unwrap();
            }
            Self::Tls(mut child, ..) => {
                child.kill().unwrap();
                child.wait().unwrap();
            }
        }
    }

    /// Leaves as programs do.
    pub(crate) fn leave(self) {
        if let Self::Tls(mut child, stdin, stdout) = self {
            drop((stdin, stdout));
            child.wait().unwrap();
        }
    }
}

impl Read for Line {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.read(buffer),
            Self::Tls(_, _, stdout) => stdout.read(buffer),
        }
    }
}

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.write(bytes),
            Self::Tls(_, stdin, _) => stdin.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(stream) => stream.flush(),
            Self::Tls(_, stdin, _) => stdin.flush(),
        }
    }
}

/// What asks for a WebSocket: the example of RFC 6455.
pub(crate) const UPGRADE: &[&str] = &[
    "Upgrade: websocket",
    "Connection: Upgrade",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Version: 13",
];

/// A frame as a client sends it; its mask hides nothing.
pub(crate) fn frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x80 | opcode];
    match payload.len() {
        length @ ..126 => frame.push(0x80 | u8::try_from(length).unwrap()),
        length @ 126..65536 => {
            frame.push(0x80 | 126);
            frame.extend(u16::try_from(length).unwrap().to_be_bytes());
        }
        length => {
            frame.push(0x80 | 127);
            frame.extend((length as u64).to_be_bytes());
        }
    }
    frame.extend([0; 4]);
    frame.extend(payload);
    frame
}
