//! The protocol by hand: `docs/src/transfer.md` in a few lines.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;

use hythe_wire::transfer::{Entry, Hash, Kind, Message, Received, VERSION};

use super::common::connect;

/// One end of a connection.
pub(super) struct Wire {
    pub(super) stream: TcpStream,
    heard: Vec<u8>,
}

impl Wire {
    pub(super) fn new(stream: TcpStream) -> Self {
        Self {
            stream,
            heard: Vec::new(),
        }
    }

    /// To a receiver, which is greeted.
    #[track_caller]
    pub(super) fn greeted(address: SocketAddr) -> Self {
        let mut wire = Self::new(connect(address));
        wire.say(&Message::Hello { version: VERSION });
        wire.hears("Hello { version: 1 }");
        wire
    }

    /// From a sender, which is greeted.
    #[track_caller]
    pub(super) fn greeting(stream: TcpStream) -> Self {
        let mut wire = Self::new(stream);
        wire.stream
            .set_read_timeout(Some(super::common::PATIENCE))
            .unwrap();
        wire.hears("Hello { version: 1 }");
        wire.say(&Message::Hello { version: VERSION });
        wire
    }

    /// Whether the other end took it.
    pub(super) fn raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Says something; who has left does not hear it.
    pub(super) fn say(&mut self, message: &Message<'_>) {
        self.raw(&encoded(message)).ok();
    }

    /// Tells of an empty file, or of one of this size.
    pub(super) fn entry(&mut self, id: u32, path: &[u8], size: u64) {
        self.say(&Message::Entry(file(id, path, size)));
    }

    pub(super) fn folder(&mut self, id: u32, path: &[u8]) {
        self.say(&Message::Entry(Entry {
            kind: Kind::Folder,
            mode: 0o777,
            ..file(id, path, 0)
        }));
    }

    /// Sends a block with its hash.
    pub(super) fn block(&mut self, id: u32, index: u64, bytes: &[u8]) {
        self.false_block(id, index, bytes, blake3::hash(bytes).into());
    }

    pub(super) fn false_block(&mut self, id: u32, index: u64, bytes: &[u8], hash: Hash) {
        let length = bytes.len() as u32;
        let head = Message::Block {
            id,
            index,
            hash,
            length,
        };
        self.raw(&[&encoded(&head), bytes].concat()).ok();
    }

    /// Ends a file with the hash of these blocks.
    pub(super) fn end(&mut self, id: u32, blocks: &[&[u8]]) {
        let mut whole = blake3::Hasher::new();
        for block in blocks {
            whole.update(blake3::hash(block).as_bytes());
        }
        let hash = whole.finalize().into();
        self.say(&Message::End { id, hash });
    }

    /// The next message, as Rust shows it; `closed` at the end, however it came.
    pub(super) fn hear(&mut self) -> String {
        let mut piece = [0; 4096];
        loop {
            if let Some(Received { message, used }) = Message::decode(&self.heard).unwrap() {
                let (shown, more) = match message {
                    Message::Block { length, .. } => (format!("{message:?}"), length as usize),
                    _ => (format!("{message:?}"), 0),
                };
                if self.heard.len() >= used + more {
                    self.heard.drain(..used + more);
                    return shown;
                }
            }
            match self.stream.read(&mut piece) {
                Ok(count @ 1..) => self.heard.extend_from_slice(&piece[..count]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    panic!("nothing is said")
                }
                Ok(0) | Err(_) => return "closed".to_owned(),
            }
        }
    }

    /// The next message begins like this; how it goes on.
    #[track_caller]
    pub(super) fn hears(&mut self, begin: &str) -> String {
        let heard = self.hear();
        assert!(heard.starts_with(begin), "{heard}, and not {begin}");
        heard
    }

    /// The next message that is not one of these.
    pub(super) fn hear_but(&mut self, others: &[&str]) -> String {
        loop {
            let heard = self.hear();
            if !others.iter().any(|other| heard.starts_with(other)) {
                return heard;
            }
        }
    }
}

pub(super) fn encoded(message: &Message<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    message.encode(&mut bytes);
    bytes
}

/// A file of one time and mode.
pub(super) fn file(id: u32, path: &[u8], size: u64) -> Entry<'_> {
    Entry {
        id,
        kind: Kind::File,
        size,
        seconds: 1_000_000_000,
        nanos: 1,
        mode: 0o644,
        path,
    }
}

/// A frame, whatever is in it.
pub(super) fn frame(length: u32, payload: &[u8]) -> Vec<u8> {
    [&length.to_be_bytes(), payload].concat()
}

/// Does this with every connection, one after another; gives where.
pub(super) fn serve(answer: impl Fn(TcpStream) + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || listener.incoming().map_while(Result::ok).for_each(answer));
    address
}
