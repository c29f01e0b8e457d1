//! Files from one machine to another: the messages of `hythe send` and `hythe receive`.
//!
//! Each message is the payload of a [frame](crate::frame), and begins with the byte that says which
//! it is. `docs/src/transfer.md` tells the whole protocol.
//!
//! ```text
//!   sender                                 receiver
//!
//!   Hello ──────────────────────────────►
//!         ◄────────────────────────────── Hello, or Refuse
//!   Entry Entry Entry … ────────────────►
//!         ◄────────────────────────────── Want, or Outcome (same, kept, refused)
//!   Ask ────────────────────────────────►                  only where it has a part
//!         ◄────────────────────────────── Have Have … Have (none)
//!   Block Block Zeros … End ────────────►
//!         ◄────────────────────────────── Ack Ack … Outcome (stored, refused)
//!   Finish ─────────────────────────────►
//!         ◄────────────────────────────── Finished
//! ```
//!
//! In scope: what a message says, and how long each part of it may be.
//!
//! Out of scope: hashing, files, what to do when something does not fit, and the order of messages.
//!
//! ```
//! use hythe_wire::transfer::{Message, Received};
//!
//! # fn main() -> Result<(), hythe_wire::transfer::Error> {
//! let mut bytes = Vec::new();
//! Message::Want { id: 7, has_part: false }.encode(&mut bytes);
//! assert_eq!(bytes, b"\0\0\0\x06\x12\0\0\0\x07\0");
//!
//! let Some(Received { message, used }) = Message::decode(&bytes)? else {
//!     return Ok(()); // it is not complete: call again with more
//! };
//! assert_eq!((message, used), (Message::Want { id: 7, has_part: false }, bytes.len()));
//! # Ok(())
//! # }
//! ```

use alloc::vec::Vec;
use core::fmt;

use crate::frame::PREFIX;

/// What a first message begins with, so that whoever speaks something else is known at once.
pub const MAGIC: &[u8; 14] = b"hythe transfer";

/// The version of the protocol.
pub const VERSION: u8 = 1;

/// How many bytes a block has, but for the last one of a file: few enough that little is sent again
/// after an interruption, and many enough that a hash for each is nothing beside it.
pub const BLOCK: u64 = 512 * 1024;

/// How many bytes of blocks may be on their way without being acknowledged: what is repeated after
/// an interruption, at most. It keeps a link of 100 ms busy at 30 MB/s.
pub const WINDOW: u64 = 3 * 1024 * 1024;

/// How many entries may be told of before the first of them has its outcome: enough that small
/// files do not wait for answers, and bearable for a receiver that remembers them.
pub const MOST_OPEN: usize = 1024;

/// The length of a hash (BLAKE3).
pub const HASH: usize = 32;

/// A hash.
pub type Hash = [u8; HASH];

/// How many hashes one message has, at most: 32 KiB of them.
pub const MOST_HASHES: usize = 1024;

/// How many blocks of zeros one message tells of, at most: half a terabyte, and little enough work
/// for whoever has to count them.
pub const MOST_ZEROS: u64 = 1 << 20;

/// The longest path, in bytes: what Linux takes (`PATH_MAX`, less its NUL).
pub const MOST_PATH: usize = 4095;

/// The longest text for people, in bytes.
pub const MOST_TEXT: usize = 1024;

/// The longest message of a key exchange, in bytes. OPAQUE's have up to 320.
pub const MOST_KEY: usize = 1024;

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A file.
    File,
    /// A folder, told of after all that is in it: then its time and mode can be set for good.
    Folder,
}

/// What became of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is there now, just as it was sent.
    Stored,
    /// It had been there, of the same size and time.
    Same,
    /// Another one is there, and stays.
    Kept,
    /// It could not be taken; the text says why.
    Refused,
}

/// A file or folder that is to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'b> {
    /// Its number, one more than that of the entry before it; the first is 0.
    pub id: u32,
    /// What it is.
    pub kind: Kind,
    /// How many bytes it has; 0 for a folder.
    pub size: u64,
    /// When it was modified: seconds since 1970, before it if negative.
    pub seconds: i64,
    /// And nanoseconds of that second, below 1,000,000,000.
    pub nanos: u32,
    /// Its permissions: the lowest nine bits of `st_mode` (`inode(7)`).
    pub mode: u16,
    /// Where it is below what is sent: names with slashes between them. Whether they lead
    /// anywhere else is for the receiver to see.
    pub path: &'b [u8],
}

/// A message. What is said of blocks is said in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message<'b> {
    /// The first message of either side.
    Hello {
        /// [`VERSION`] of who speaks.
        version: u8,
    },
    /// A message of the key exchange, before the first `Hello`.
    Key(&'b [u8]),
    /// Nothing is sent or received, for this reason. It is the last message.
    Refuse(&'b str),

    /// From the sender: there is this to be sent.
    Entry(Entry<'b>),
    /// From the sender: which blocks of this file are there?
    Ask {
        /// Of which entry.
        id: u32,
    },
    /// From the sender: a block. Its bytes follow behind this head, in the same frame.
    Block {
        /// Of which entry.
        id: u32,
        /// Which block, from 0 on.
        index: u64,
        /// Its hash.
        hash: Hash,
        /// How many bytes follow, at least one.
        length: u32,
    },
    /// From the sender: blocks that are nothing but zeros.
    Zeros {
        /// Of which entry.
        id: u32,
        /// The first of them.
        index: u64,
        /// How many there are, from one to [`MOST_ZEROS`].
        count: u64,
    },
    /// From the sender: that was all of a file.
    End {
        /// Of which entry.
        id: u32,
        /// The hash of all its blocks' hashes, one behind the other.
        hash: Hash,
    },
    /// From the sender: the rest of a file will not come.
    Abandon {
        /// Of which entry.
        id: u32,
        /// Why.
        text: &'b str,
    },
    /// From the sender: that was all. It is said when every entry has its outcome.
    Finish,

    /// From either side, every few seconds: it is at work, or somebody is being asked.
    Wait,
    /// From the receiver: a file is to be sent.
    Want {
        /// Of which entry.
        id: u32,
        /// Whether some of it may be there.
        has_part: bool,
    },
    /// From the receiver: the hashes of further blocks that are there, in their order; none of
    /// them is the end.
    Have {
        /// Of which entry.
        id: u32,
        /// [`HASH`] bytes for each.
        hashes: &'b [u8],
    },
    /// From the receiver: so many bytes of blocks are on its disk, since the beginning of the
    /// connection.
    Ack(u64),
    /// From the receiver: what became of an entry.
    Outcome {
        /// Of which entry.
        id: u32,
        /// What became of it.
        outcome: Outcome,
        /// Why, for people.
        text: &'b str,
    },
    /// From the receiver: all is done; the connection may be closed.
    Finished,
}

/// A message that was decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received<'b> {
    /// What it says.
    pub message: Message<'b>,
    /// How many bytes it took. Behind a `Block` come its bytes, and then the next message.
    pub used: usize,
}

/// What a peer sent that is no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Error(&'static str);

impl fmt::Display for Error {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.0)
    }
}

impl core::error::Error for Error {}

/// The kinds of messages, by the byte they begin with: that of [`MAGIC`] for the greeting; below 16
/// other ones of either side and the sender's, from 16 on the receiver's and the one to wait.
mod kind {
    pub(super) const HELLO: u8 = b'h';
    pub(super) const KEY: u8 = 1;
    pub(super) const REFUSE: u8 = 2;
    pub(super) const ENTRY: u8 = 3;
    pub(super) const ASK: u8 = 4;
    pub(super) const BLOCK: u8 = 5;
    pub(super) const ZEROS: u8 = 6;
    pub(super) const END: u8 = 7;
    pub(super) const ABANDON: u8 = 8;
    pub(super) const FINISH: u8 = 9;
    pub(super) const WAIT: u8 = 16;
    pub(super) const WANT: u8 = 18;
    pub(super) const HAVE: u8 = 19;
    pub(super) const ACK: u8 = 20;
    pub(super) const OUTCOME: u8 = 21;
    pub(super) const FINISHED: u8 = 22;
}

/// A block's kind, entry, index and hash.
const BLOCK_HEAD: usize = 1 + 4 + 8 + HASH;

/// An entry's kind, number, kind of file, size, time and mode.
const ENTRY_HEAD: usize = 1 + 4 + 1 + 8 + 8 + 4 + 2;

/// The longest payload of each kind of message, and so what a stranger can make us keep: of a block,
/// only the head is waited for.
const fn longest(kind: u8) -> Option<usize> {
    Some(match kind {
        kind::HELLO => MAGIC.len() + 1,
        kind::KEY => 1 + MOST_KEY,
        kind::REFUSE => 1 + MOST_TEXT,
        kind::ENTRY => ENTRY_HEAD + MOST_PATH,
        kind::ASK => 5,
        kind::BLOCK => BLOCK_HEAD + BLOCK as usize,
        kind::ZEROS => 1 + 4 + 8 + 8,
        kind::END => 1 + 4 + HASH,
        kind::ABANDON => 1 + 4 + MOST_TEXT,
        kind::FINISH | kind::WAIT | kind::FINISHED => 1,
        kind::WANT => 6,
        kind::HAVE => 1 + 4 + MOST_HASHES * HASH,
        kind::ACK => 9,
        kind::OUTCOME => 1 + 4 + 1 + MOST_TEXT,
        _ => return None,
    })
}

impl<'b> Message<'b> {
    /// Appends the message in its frame; of a `Block` only the head, behind which its bytes go.
    /// Texts and paths that are too long are cut; of what else is beyond its limits a message is
    /// made that the peer refuses.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let begin = out.len();
        out.extend_from_slice(&[0; PREFIX]);
        let follows = self.write(out);
        // What is too long stays so.
        let length = ((out.len() - begin - PREFIX) as u32).saturating_add(follows);
        out[begin..begin + PREFIX].copy_from_slice(&length.to_be_bytes());
    }

    /// Appends the payload; gives how many bytes of it are to follow.
    fn write(&self, out: &mut Vec<u8>) -> u32 {
        let mut put = |kind: u8, parts: &[&[u8]]| {
            out.push(kind);
            parts.iter().for_each(|part| out.extend_from_slice(part));
        };
        match *self {
            Self::Hello { version } => put(kind::HELLO, &[&MAGIC[1..], &[version]]),
            Self::Key(bytes) => put(kind::KEY, &[bytes]),
            Self::Refuse(text) => put(kind::REFUSE, &[cut_text(text)]),
            Self::Entry(entry) => put(
                kind::ENTRY,
                &[
                    &entry.id.to_be_bytes(),
                    &[entry.kind as u8],
                    &entry.size.to_be_bytes(),
                    &entry.seconds.to_be_bytes(),
                    &entry.nanos.to_be_bytes(),
                    &entry.mode.to_be_bytes(),
                    cut(entry.path, MOST_PATH),
                ],
            ),
            Self::Ask { id } => put(kind::ASK, &[&id.to_be_bytes()]),
            Self::Block {
                id,
                index,
                hash,
                length,
            } => {
                put(
                    kind::BLOCK,
                    &[&id.to_be_bytes(), &index.to_be_bytes(), &hash],
                );
                return length;
            }
            Self::Zeros { id, index, count } => put(
                kind::ZEROS,
                &[
                    &id.to_be_bytes(),
                    &index.to_be_bytes(),
                    &count.to_be_bytes(),
                ],
            ),
            Self::End { id, hash } => put(kind::END, &[&id.to_be_bytes(), &hash]),
            Self::Abandon { id, text } => put(kind::ABANDON, &[&id.to_be_bytes(), cut_text(text)]),
            Self::Finish => put(kind::FINISH, &[]),
            Self::Wait => put(kind::WAIT, &[]),
            Self::Want { id, has_part } => {
                put(kind::WANT, &[&id.to_be_bytes(), &[has_part.into()]]);
            }
            Self::Have { id, hashes } => put(kind::HAVE, &[&id.to_be_bytes(), hashes]),
            Self::Ack(bytes) => put(kind::ACK, &[&bytes.to_be_bytes()]),
            Self::Outcome { id, outcome, text } => put(
                kind::OUTCOME,
                &[&id.to_be_bytes(), &[outcome as u8], cut_text(text)],
            ),
            Self::Finished => put(kind::FINISHED, &[]),
        }
        0
    }

    /// The message at the front of `bytes`; of a `Block` its head. `Ok(None)` means that it is not
    /// complete: call again with these bytes and those that come next.
    ///
    /// # Errors
    /// It is no message, which is the peer's fault. One of no known kind, or longer than one of its
    /// kind may be, is refused as soon as its fifth byte is there.
    pub fn decode(bytes: &'b [u8]) -> Result<Option<Received<'b>>, Error> {
        let Some((prefix, rest)) = bytes.split_first_chunk::<PREFIX>() else {
            return Ok(None);
        };
        let length = u32::from_be_bytes(*prefix) as usize;
        if length == 0 {
            return Err(Error("an empty message"));
        }
        let Some(&kind) = rest.first() else {
            return Ok(None);
        };
        let longest = longest(kind).ok_or(Error("a message of no known kind"))?;
        if length > longest {
            return Err(Error("a message that is too long for its kind"));
        }
        let here = match kind {
            kind::BLOCK => BLOCK_HEAD.min(length),
            _ => length,
        };
        let Some(payload) = rest.get(..here) else {
            return Ok(None);
        };
        let message =
            parse(payload, length).ok_or(Error("a message with something wrong in it"))?;
        Ok(Some(Received {
            message,
            used: PREFIX + here,
        }))
    }
}

/// What a payload says, of which `length` bytes are announced.
fn parse(payload: &[u8], length: usize) -> Option<Message<'_>> {
    let mut fields = Fields(payload);
    let kind = fields.byte()?;
    let message = match kind {
        kind::HELLO => {
            let rest: [u8; MAGIC.len() - 1] = fields.array()?;
            if rest != MAGIC[1..] {
                return None;
            }
            Message::Hello {
                version: fields.byte()?,
            }
        }
        kind::KEY => Message::Key(fields.rest()),
        kind::REFUSE => Message::Refuse(fields.text()?),
        kind::ENTRY => Message::Entry(fields.entry()?),
        kind::ASK => Message::Ask { id: fields.id()? },
        kind::BLOCK => Message::Block {
            id: fields.id()?,
            index: fields.number()?,
            hash: fields.array()?,
            length: u32::try_from(length.checked_sub(BLOCK_HEAD)?)
                .ok()
                .filter(|length| *length > 0)?,
        },
        kind::ZEROS => Message::Zeros {
            id: fields.id()?,
            index: fields.number()?,
            count: fields
                .number()
                .filter(|count| (1..=MOST_ZEROS).contains(count))?,
        },
        kind::END => Message::End {
            id: fields.id()?,
            hash: fields.array()?,
        },
        kind::ABANDON => Message::Abandon {
            id: fields.id()?,
            text: fields.text()?,
        },
        kind::FINISH => Message::Finish,
        kind::WAIT => Message::Wait,
        kind::WANT => Message::Want {
            id: fields.id()?,
            has_part: match fields.byte()? {
                0 => false,
                1 => true,
                _ => return None,
            },
        },
        kind::HAVE => {
            let (id, hashes) = (fields.id()?, fields.rest());
            if !hashes.len().is_multiple_of(HASH) {
                return None;
            }
            Message::Have { id, hashes }
        }
        kind::ACK => Message::Ack(fields.number()?),
        kind::OUTCOME => Message::Outcome {
            id: fields.id()?,
            outcome: match fields.byte()? {
                0 => Outcome::Stored,
                1 => Outcome::Same,
                2 => Outcome::Kept,
                3 => Outcome::Refused,
                _ => return None,
            },
            text: fields.text()?,
        },
        kind::FINISHED => Message::Finished,
        _ => return None,
    };
    fields.0.is_empty().then_some(message)
}

/// What is left of a payload.
struct Fields<'b>(&'b [u8]);

impl<'b> Fields<'b> {
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (array, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*array)
    }

    fn byte(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    fn id(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }

    fn number(&mut self) -> Option<u64> {
        self.array().map(u64::from_be_bytes)
    }

    fn rest(&mut self) -> &'b [u8] {
        core::mem::take(&mut self.0)
    }

    fn text(&mut self) -> Option<&'b str> {
        core::str::from_utf8(self.rest()).ok()
    }

    fn entry(&mut self) -> Option<Entry<'b>> {
        let entry = Entry {
            id: self.id()?,
            kind: match self.byte()? {
                0 => Kind::File,
                1 => Kind::Folder,
                _ => return None,
            },
            size: self.number()?,
            seconds: self.array().map(i64::from_be_bytes)?,
            nanos: self.id().filter(|nanos| *nanos < 1_000_000_000)?,
            mode: self
                .array()
                .map(u16::from_be_bytes)
                .filter(|mode| *mode <= 0o777)?,
            path: self.rest(),
        };
        (entry.kind == Kind::File || entry.size == 0).then_some(entry)
    }
}

fn cut_text(text: &str) -> &[u8] {
    cut(text.as_bytes(), MOST_TEXT)
}

/// As much as fits, cut between letters (UTF-8, RFC 3629) where there are some.
fn cut(bytes: &[u8], most: usize) -> &[u8] {
    if bytes.len() <= most {
        return bytes;
    }
    // A letter has four bytes at most, and 10 are the highest bits of all but its first.
    let begins = |end: &usize| bytes[*end] & 0b1100_0000 != 0b1000_0000;
    let end = (most.saturating_sub(3)..=most).rev().find(begins);
    &bytes[..end.unwrap_or(most)]
}

/// How many blocks a file of this size has.
pub const fn blocks(size: u64) -> u64 {
    size.div_ceil(BLOCK)
}

/// How long a block of a file of this size is; 0 behind its end.
///
/// ```
/// use hythe_wire::transfer::{BLOCK, block_length};
///
/// assert_eq!(block_length(BLOCK + 1, 0), BLOCK);
/// assert_eq!(block_length(BLOCK + 1, 1), 1);
/// assert_eq!(block_length(BLOCK + 1, 2), 0);
/// ```
pub const fn block_length(size: u64, index: u64) -> u64 {
    match index.checked_mul(BLOCK) {
        Some(offset) if offset < size => {
            let left = size - offset;
            if left < BLOCK { left } else { BLOCK }
        }
        _ => 0,
    }
}
