//! [`Receiving`]: the receiver as a machine. Bytes go in, on the thread pool;
//! files change; answers come out.
//!
//! ```text
//!               ┌── Entry ──► there, the same ──► Outcome
//!   greeted ────┤        └──► another one ──► asks ──► Outcome, or Want
//!               ├── Ask ───► hashes what is there, some at a time ──► Have
//!               ├── Block, Zeros, End ──► part ──► Ack ──► its place ──► Outcome
//!               └── Finish ──► Finished
//! ```
//!
//! Not here: connections, and who is asked.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use hythe_net::Sink;
use hythe_wire::transfer::{
    Entry, Kind, MOST_HASHES, MOST_OPEN, Message, Outcome, Received, VERSION,
};

use super::outbox::{Outbox, Told};
use super::wanted::{Current, Wanted, Wrong};
use super::{PARTS, protocol};
use crate::client::{Error, Reason};
use crate::share::{BadPath, Existing, How, Kind as FileKind, Modified, RelPath, View};

/// How many blocks are hashed before the peer hears of them.
const HASHED_AT_ONCE: usize = 64;

/// What the machine waits for, beside more bytes.
#[derive(Debug)]
pub(super) enum Pending {
    /// Whether another file is replaced.
    Decision { id: u32, wanted: Wanted },
    /// To be called again, to hash some more of what is there.
    Hashing,
}

/// What has become of entries so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Files that came.
    pub stored: u64,
    /// Files that had been there.
    pub same: u64,
    /// Files that another one kept out.
    pub kept: u64,
    /// Files and folders that could not be taken.
    pub refused: u64,
    /// Bytes that came.
    pub bytes: u64,
}

#[derive(Debug)]
pub(super) struct Receiving {
    view: View,
    outbox: Arc<Outbox>,
    /// What came and was not yet understood.
    input: Vec<u8>,
    greeted: bool,
    next_id: u32,
    /// What is to come, by its number.
    wanted: HashMap<u32, Wanted>,
    current: Option<Current>,
    /// The file of which nothing more is of use, until its sender knows.
    refused: Option<u32>,
    block: Option<Begun>,
    /// The folder that was made last.
    made: Option<RelPath>,
    pub(super) pending: Option<Pending>,
    pub(super) counts: Counts,
    pub(super) failure: Option<Error>,
    pub(super) finished: bool,
}

/// A block whose bytes are coming.
#[derive(Debug)]
struct Begun {
    offset: u64,
    left: u64,
    hasher: blake3::Hasher,
    hash: blake3::Hash,
    /// Of a file that is refused.
    ignored: bool,
}

impl Sink for Receiving {
    fn room(&self) -> u64 {
        if self.stops() || self.outbox.is_full() {
            0
        } else {
            u64::MAX
        }
    }

    fn expected(&self) -> u64 {
        self.block.as_ref().map_or(0, |block| block.left)
    }

    fn take(&mut self, bytes: &[u8]) {
        if self.input.is_empty() {
            let used = self.digest(bytes);
            self.input.extend_from_slice(&bytes[used..]);
        } else {
            self.input.extend_from_slice(bytes);
            self.go_on();
        }
    }
}

impl Receiving {
    pub(super) fn new(view: View, outbox: Arc<Outbox>, input: Vec<u8>) -> Self {
        Self {
            view,
            outbox,
            input,
            greeted: false,
            next_id: 0,
            wanted: HashMap::new(),
            current: None,
            refused: None,
            block: None,
            made: None,
            pending: None,
            counts: Counts::default(),
            failure: None,
            finished: false,
        }
    }

    /// Goes on with what came before.
    pub(super) fn go_on(&mut self) {
        let input = std::mem::take(&mut self.input);
        let used = self.digest(&input);
        self.input.extend_from_slice(&input[used..]);
    }

    /// Hashes some more of what is there.
    pub(super) fn hash_some(&mut self) {
        let Some(current) = &mut self.current else {
            self.pending = None;
            return;
        };
        let id = current.id;
        match current.hash_some(HASHED_AT_ONCE.min(MOST_HASHES)) {
            Ok(hashes) => {
                self.outbox.send(&Message::Have {
                    id,
                    hashes: &hashes,
                });
                if hashes.is_empty() {
                    self.pending = None;
                    self.begun();
                }
            }
            Err(error) => {
                self.pending = None;
                self.refuse_current(&error);
            }
        }
    }

    /// Says what was decided of the file that was asked about.
    pub(super) fn decide(&mut self, replace: bool) {
        if let Some(Pending::Decision { id, wanted }) = self.pending.take() {
            if replace {
                self.want(id, wanted);
            } else {
                self.outcome(id, &wanted.path, Outcome::Kept, "another one is there");
            }
        }
    }

    fn stops(&self) -> bool {
        self.is_over() || self.pending.is_some()
    }

    /// Whether nothing more is taken.
    pub(super) fn is_over(&self) -> bool {
        self.finished || self.failure.is_some()
    }

    fn fail(&mut self, error: Error) {
        self.failure.get_or_insert(error);
    }

    /// Does what the bytes say, as far as they are complete; gives how many they
    /// were.
    fn digest(&mut self, bytes: &[u8]) -> usize {
        let mut used = 0;
        while !self.stops() {
            let rest = &bytes[used..];
            if self.block.is_some() {
                let taken = self.take_block(rest);
                used += taken;
                if self.block.is_some() {
                    break;
                }
                continue;
            }
            match Message::decode(rest) {
                Ok(None) => break,
                Ok(Some(Received {
                    message,
                    used: taken,
                })) => {
                    used += taken;
                    self.receive(message);
                }
                Err(_) if !self.greeted => self.fail(stranger(rest)),
                Err(error) => self.fail(protocol(error)),
            }
        }
        used
    }

    fn receive(&mut self, message: Message<'_>) {
        match message {
            Message::Hello { version } if !self.greeted => {
                if version == VERSION {
                    self.greeted = true;
                    self.outbox.send(&Message::Hello { version: VERSION });
                } else {
                    let text = format!("version {version} of the protocol, and this is {VERSION}");
                    self.outbox.send(&Message::Refuse(&text));
                    self.fail(protocol(text));
                }
            }
            _ if !self.greeted => self.fail(protocol("no greeting")),
            Message::Entry(entry) => self.entry(entry),
            Message::Ask { id } => {
                if self.open(id) {
                    self.pending = Some(Pending::Hashing);
                }
            }
            Message::Block {
                id,
                index,
                hash,
                length,
            } => {
                let offset = match self.open(id) {
                    true => self.within(|current| current.begin_block(index, &hash, length)),
                    false => None,
                };
                self.block = Some(Begun {
                    offset: offset.unwrap_or_default(),
                    left: length.into(),
                    hasher: blake3::Hasher::new(),
                    hash: hash.into(),
                    ignored: offset.is_none(),
                });
            }
            Message::Zeros { id, index, count } => {
                if self.open(id) {
                    self.within(|current| current.zeros(index, count));
                }
            }
            Message::End { id, hash } => self.end(id, &hash),
            Message::Abandon { id, text } => self.abandon(id, text),
            Message::Finish => self.finish(),
            Message::Wait => {}
            Message::Refuse(text) => {
                let text = format!("the sender gave up: {}", crate::visible::visible(text));
                self.fail(Error::new(Reason::NotAllowed, text));
            }
            _ => self.fail(protocol("a message that only a receiver says")),
        }
    }

    // --- Entries ---

    fn entry(&mut self, entry: Entry<'_>) {
        let id = entry.id;
        if id != self.next_id || self.wanted.len() >= MOST_OPEN {
            return self.fail(protocol("entries out of turn"));
        }
        self.next_id = match id.checked_add(1) {
            Some(next) => next,
            None => return self.fail(protocol("too many entries")),
        };
        let path = match path_of(entry.path) {
            Ok(path) => path,
            Err(bad) => {
                let name = crate::visible::visible(&String::from_utf8_lossy(entry.path));
                return self.refused(id, name, &format!("{bad}: it stays out"));
            }
        };
        match entry.kind {
            Kind::Folder => self.folder(&entry, &path),
            Kind::File => self.file(&entry, path),
        }
    }

    fn folder(&mut self, entry: &Entry<'_>, path: &RelPath) {
        let made = self.make_folders(path).and_then(|()| {
            let mark = mark(path)?;
            // One that had been there is as its owner wants it.
            if self.view.metadata(&mark).is_ok() {
                self.view.set_mode(path, entry.mode.into())?;
                self.view.set_modified(path, modified(entry))?;
                self.view.remove_file(&mark)?;
            }
            Ok(())
        });
        match made {
            Ok(()) => self.outbox.send(&Message::Outcome {
                id: entry.id,
                outcome: Outcome::Stored,
                text: "",
            }),
            Err(error) => self.refused(entry.id, shown(path), &why(&error)),
        }
    }

    /// Makes a folder and those above it, where they are missing. Those are marked,
    /// so that another connection knows, too, that they are not complete.
    fn make_folders(&mut self, path: &RelPath) -> io::Result<()> {
        if self.made.as_ref() == Some(path) {
            return Ok(());
        }
        let mut folder = RelPath::root();
        for name in path.components() {
            folder = folder.join(name).map_err(io::Error::other)?;
            match self.view.metadata(&folder) {
                Ok(there) if there.is_folder() => {}
                Ok(_) => return Err(io::ErrorKind::NotADirectory.into()),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    let mark = mark(&folder)?;
                    self.view.make_folders(&mark.parent().unwrap_or_default())?;
                    self.view.write_in_place(&mark, How::Truncate)?;
                    self.view.make_folder(&folder)?;
                }
                Err(error) => return Err(error),
            }
        }
        self.made = Some(path.clone());
        Ok(())
    }

    fn file(&mut self, entry: &Entry<'_>, path: RelPath) {
        let wanted = |existing| Wanted {
            path: path.clone(),
            size: entry.size,
            modified: modified(entry),
            mode: entry.mode,
            existing,
        };
        if i64::try_from(entry.size).is_err() {
            return self.refused(entry.id, shown(&path), "no file can be that large");
        }
        match self.view.metadata(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.want(entry.id, wanted(Existing::Keep));
            }
            Err(error) => self.refused(entry.id, shown(&path), &why(&error)),
            Ok(there) if there.kind != FileKind::File => {
                self.refused(entry.id, shown(&path), "a folder is there");
            }
            Ok(there) if there.size == entry.size && is_at(there.modified, entry) => {
                self.outcome(entry.id, &path, Outcome::Same, "");
            }
            Ok(there) => {
                self.pending = Some(Pending::Decision {
                    id: entry.id,
                    wanted: wanted(Existing::ReplaceThis(there)),
                });
            }
        }
    }

    fn want(&mut self, id: u32, wanted: Wanted) {
        let part = wanted.part().and_then(|part| self.view.metadata(&part));
        let has_part = part.is_ok_and(|part| part.size > 0);
        self.outbox.send(&Message::Want { id, has_part });
        self.wanted.insert(id, wanted);
    }

    // --- Files that come ---

    /// Whether the file is the current one, or becomes it.
    fn open(&mut self, id: u32) -> bool {
        if self.current.as_ref().is_some_and(|it| it.id == id) {
            return true;
        }
        if self.refused == Some(id) {
            return false;
        }
        let Some(wanted) = self.wanted.remove(&id).filter(|_| self.current.is_none()) else {
            self.fail(protocol("a file that was not asked for"));
            return false;
        };
        let name = shown(&wanted.path);
        match self.prepare(id, wanted) {
            Ok(current) => {
                self.current = Some(current);
                self.begun();
                true
            }
            Err(error) => {
                self.refused = Some(id);
                self.refused(id, name, &why(&error));
                false
            }
        }
    }

    fn prepare(&mut self, id: u32, wanted: Wanted) -> io::Result<Current> {
        let folder = wanted.path.parent().unwrap_or_default();
        self.make_folders(&folder)?;
        Current::open(&self.view, id, wanted)
    }

    fn begun(&self) {
        if let Some(current) = &self.current {
            let offset = current.there.len() as u64 * hythe_wire::transfer::BLOCK;
            self.outbox.tell(Told::Begun {
                name: shown(&current.wanted.path),
                total: current.wanted.size,
                offset: offset.min(current.wanted.size),
                meter: current.meter.clone(),
            });
        }
    }

    /// Does something with the current file; what this machine can't do is the
    /// end of that file, and what the protocol does not allow of all.
    fn within<T>(&mut self, act: impl FnOnce(&mut Current) -> Result<T, Wrong>) -> Option<T> {
        match act(self.current.as_mut()?) {
            Ok(done) => Some(done),
            Err(Wrong::Protocol(text)) => {
                self.fail(protocol(text));
                None
            }
            Err(Wrong::Local(error)) => {
                self.refuse_current(&error);
                None
            }
        }
    }

    /// Takes bytes of a block; gives how many.
    fn take_block(&mut self, bytes: &[u8]) -> usize {
        let Some(block) = &mut self.block else {
            return 0;
        };
        let length = usize::try_from(block.left).map_or(bytes.len(), |left| left.min(bytes.len()));
        let piece = &bytes[..length];
        let (offset, ignored) = (block.offset, block.ignored);
        block.left -= length as u64;
        block.offset += length as u64;
        if !ignored {
            block.hasher.update(piece);
            let written = self.current.as_ref().map(|it| it.write(piece, offset));
            if let Some(Err(error)) = written {
                self.refuse_current(&error);
                self.block.iter_mut().for_each(|block| block.ignored = true);
            }
        }
        self.counts.bytes += length as u64;
        self.end_block();
        length
    }

    fn end_block(&mut self) {
        let Some(block) = self.block.take_if(|block| block.left == 0) else {
            return;
        };
        if !block.ignored && block.hasher.finalize() != block.hash {
            // Not a change on the way, which TCP and TLS would notice.
            return self.fail(protocol("a block that its hash does not fit"));
        }
        self.outbox.send(&Message::Ack(self.counts.bytes));
    }

    fn end(&mut self, id: u32, hash: &[u8; 32]) {
        if !self.open(id) {
            self.forget(id);
            return;
        }
        match self.within(|current| current.is_whole(hash)) {
            None => {}
            Some(false) => {
                if let Some(current) = self.current.take() {
                    current.discard(&self.view);
                    let name = shown(&current.wanted.path);
                    self.refused(id, name, "what came is not what was sent; send it again");
                }
            }
            Some(true) => {
                if let Some(current) = self.current.take() {
                    match current.finish(&self.view) {
                        Ok(()) => self.outcome(id, &current.wanted.path, Outcome::Stored, ""),
                        Err(error) => {
                            if !is_passing(&error) {
                                current.discard(&self.view);
                            }
                            self.refused(id, shown(&current.wanted.path), &why(&error));
                        }
                    }
                }
            }
        }
        self.forget(id);
    }

    fn abandon(&mut self, id: u32, text: &str) {
        if let Some(current) = self.current.take_if(|it| it.id == id) {
            current.discard(&self.view);
            let name = shown(&current.wanted.path);
            self.refused(id, name, &crate::visible::visible(text));
        } else if let Some(wanted) = self.wanted.remove(&id) {
            self.refused(id, shown(&wanted.path), &crate::visible::visible(text));
        } else if self.refused != Some(id) {
            self.fail(protocol("a file that was not asked for"));
        }
        self.forget(id);
    }

    /// The sender knows that a file is refused, and says nothing more of it.
    fn forget(&mut self, id: u32) {
        self.refused.take_if(|refused| *refused == id);
    }

    fn finish(&mut self) {
        if self.current.is_some() || !self.wanted.is_empty() {
            return self.fail(protocol("an end before all was sent"));
        }
        // What others have begun there stays.
        if let Ok(parts) = RelPath::root().join(PARTS) {
            self.view.remove_folder(&parts).ok();
        }
        self.outbox.send(&Message::Finished);
        self.finished = true;
    }

    // --- Outcomes ---

    fn refuse_current(&mut self, error: &io::Error) {
        if let Some(current) = self.current.take() {
            self.refused = Some(current.id);
            if !is_passing(error) {
                current.discard(&self.view);
            }
            self.refused(current.id, shown(&current.wanted.path), &why(error));
        }
    }

    fn refused(&mut self, id: u32, name: String, why: &str) {
        self.counts.refused += 1;
        self.outbox.tell(Told::Failed {
            name,
            why: why.to_owned(),
        });
        self.outbox.send(&Message::Outcome {
            id,
            outcome: Outcome::Refused,
            text: why,
        });
    }

    fn outcome(&mut self, id: u32, path: &RelPath, outcome: Outcome, text: &str) {
        let name = shown(path);
        match outcome {
            Outcome::Stored => {
                self.counts.stored += 1;
                let bytes = self.view.metadata(path).map_or(0, |meta| meta.size);
                self.outbox.tell(Told::Done { name, bytes });
            }
            Outcome::Same => {
                self.counts.same += 1;
                self.outbox.tell(Told::Same { name });
            }
            Outcome::Kept => {
                self.counts.kept += 1;
                self.outbox.tell(Told::Failed {
                    name,
                    why: "another one is there, and stays".into(),
                });
            }
            Outcome::Refused => {}
        }
        self.outbox.send(&Message::Outcome { id, outcome, text });
    }
}

/// A path below what is received into, and not that itself.
fn path_of(bytes: &[u8]) -> Result<RelPath, BadPath> {
    let mut path = RelPath::root();
    for name in bytes.split(|byte| *byte == b'/') {
        path = path.join(name)?;
    }
    // In whatever case, since some file systems do not tell.
    let is_parts = |first: &[u8]| first.eq_ignore_ascii_case(PARTS);
    let reserved = path.components().next().is_some_and(is_parts);
    if reserved {
        return Err(BadPath::NotAName);
    }
    Ok(path)
}

/// A path below what is received into, fit for a terminal.
pub(super) fn shown(path: &RelPath) -> String {
    path.to_string().trim_start_matches('/').to_owned()
}

/// By which it is known that a folder was made here and is not complete.
fn mark(folder: &RelPath) -> io::Result<RelPath> {
    let name = format!("{}.folder", blake3::hash(folder.as_bytes()).to_hex());
    RelPath::root()
        .join(PARTS)
        .and_then(|parts| parts.join(name.as_bytes()))
        .map_err(io::Error::other)
}

/// Whether a file has the time of an entry, as far as its file system keeps one.
fn is_at(there: Modified, entry: &Entry<'_>) -> bool {
    there.secs == entry.seconds && (there.nanos == entry.nanos || there.nanos == 0)
}

/// Whether it may go well another time, with what is there.
fn is_passing(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull
            | io::ErrorKind::QuotaExceeded
            | io::ErrorKind::ReadOnlyFilesystem
    ) || error.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error())
}

fn modified(entry: &Entry<'_>) -> Modified {
    Modified {
        secs: entry.seconds,
        nanos: entry.nanos,
    }
}

/// What begins like nothing that a sender says without a secret.
fn stranger(bytes: &[u8]) -> Error {
    // A handshake of TLS (RFC 8446 section 5.1).
    if bytes.starts_with(&[22, 3]) {
        let text = "the sender has a secret, and there is none here; nothing was received";
        return Error::new(Reason::NotAllowed, text);
    }
    Error::protocol("what it speaks is not what `hythe send` does")
}

/// Why this machine can't take something.
fn why(error: &io::Error) -> String {
    if error.get_ref().is_some() {
        // It has words of its own.
        return Error::local(error).text;
    }
    match error.kind() {
        io::ErrorKind::StorageFull => "the disk is full".into(),
        io::ErrorKind::ReadOnlyFilesystem => "the disk can only be read".into(),
        io::ErrorKind::PermissionDenied => "permission denied".into(),
        io::ErrorKind::NotADirectory => "a file is where a folder would have to be".into(),
        io::ErrorKind::AlreadyExists => "something is there already".into(),
        io::ErrorKind::ResourceBusy => "another one has come there meanwhile".into(),
        io::ErrorKind::InvalidFilename => "its name is too long".into(),
        _ => Error::local(error).text,
    }
}
