//! [`Sender`]: files and folders to a receiver, as far as it does not have them.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet, VecDeque};
use std::fs::{self, File, OpenOptions};
use std::future::poll_fn;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use futures_lite::future::try_zip;
use hythe_net::option::NoDelay;
use hythe_net::reactor::{sleep, unblock};
use hythe_net::{More, Patience, Stream};
use hythe_wire::transfer::{
    BLOCK, Entry, Hash, Kind, MOST_OPEN, MOST_PATH, MOST_ZEROS, Message, Outcome, Received,
    VERSION, WINDOW, blocks,
};
use rustix::fs::OFlags;

use super::blocks::{Block, Blocks, Whole, hashes};
use super::receiving::Counts;
use super::secret::Secret;
use super::{PARTS, SIGN_OF_LIFE, lost, protocol};
use crate::client::{Error, Meter, Rate, Reason, Result};
use crate::tls::Channel;
use crate::transfer::{Event, Watch};
use crate::visible::visible;

/// How much what a receiver says may take here before it is acted on.
const MOST_HEARD: usize = 128 * 1024 * 1024;

/// How much is read from a connection at a time.
const PIECE: usize = 64 * 1024;

/// Folders deeper than this are a link that leads to itself.
const DEEPEST: usize = 128;

/// A file or folder to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// Where it is on this machine.
    pub local: PathBuf,
    /// Its path at the other end.
    path: Vec<u8>,
    kind: Kind,
    size: u64,
    modified: (i64, u32),
    mode: u32,
}

impl Item {
    /// How many bytes it has.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Whether it is a file, and not a folder.
    pub fn is_file(&self) -> bool {
        self.kind == Kind::File
    }

    fn name(&self) -> String {
        visible(&String::from_utf8_lossy(&self.path))
    }

    fn entry(&self, id: u32) -> Entry<'_> {
        Entry {
            id,
            kind: self.kind,
            size: self.size,
            seconds: self.modified.0,
            nanos: self.modified.1,
            mode: (self.mode & 0o777) as u16,
            path: &self.path,
        }
    }
}

/// What there is to send.
#[derive(Debug, Default)]
pub struct Plan {
    /// Files first, then folders, those below before those above.
    pub items: Vec<Item>,
    /// What is left out, and why, fit for a terminal.
    pub left_out: Vec<(String, String)>,
}

/// What there is to send of these files and folders.
///
/// # Errors
/// [`Reason::NotFound`] and [`Reason::Local`] for one that was named.
pub fn plan(named: &[PathBuf]) -> Result<Plan> {
    let mut found = Found::default();
    for path in named {
        // `.` and `..` have names, too, and what is sent is called by them.
        let real = fs::canonicalize(path).map_err(|error| about(path, &error))?;
        let name = match path.file_name() {
            Some(name) => name.to_owned(),
            None => real.file_name().map(ToOwned::to_owned).ok_or_else(|| {
                Error::new(
                    Reason::Local,
                    "the root folder has no name; send what is in it",
                )
            })?,
        };
        found.add(&real, name.as_bytes().to_vec(), 0)?;
    }
    found.check_names()?;
    found.folders.reverse();
    found.files.append(&mut found.folders);
    Ok(Plan {
        items: found.files,
        left_out: found.left_out,
    })
}

#[derive(Default)]
struct Found {
    files: Vec<Item>,
    folders: Vec<Item>,
    left_out: Vec<(String, String)>,
}

impl Found {
    /// Two of one name would be one at the other end.
    fn check_names(&self) -> Result<()> {
        let mut known: HashMap<&[u8], &Path> = HashMap::new();
        for item in self.files.iter().chain(&self.folders) {
            if let Some(other) = known.insert(&item.path, &item.local) {
                let (one, other) = (other.display().to_string(), item.local.display());
                let text = format!("{one} and {other} would be one file over there");
                return Err(Error::new(Reason::Local, visible(&text)));
            }
        }
        Ok(())
    }

    fn add(&mut self, local: &Path, path: Vec<u8>, depth: usize) -> Result<()> {
        let meta = match fs::symlink_metadata(local) {
            Ok(meta) => meta,
            Err(error) if depth == 0 => return Err(about(local, &error)),
            // Gone since its folder was read.
            Err(error) => return self.leave_out(local, &about(local, &error).text),
        };
        let kind = if meta.is_file() {
            Kind::File
        } else if meta.is_dir() {
            Kind::Folder
        } else if meta.is_symlink() {
            return self.leave_out(local, "it is a link");
        } else {
            return self.leave_out(local, "it is no file");
        };
        if path.len() > MOST_PATH || depth > DEEPEST {
            return self.leave_out(local, "it is too deep");
        }
        if depth == 1 && kind == Kind::Folder && local.file_name().is_some_and(is_parts) {
            return self.leave_out(local, "it is where hythe keeps what it receives");
        }
        let item = Item {
            local: local.into(),
            path,
            kind,
            size: if kind == Kind::File { meta.len() } else { 0 },
            modified: (meta.mtime(), meta.mtime_nsec() as u32),
            mode: meta.mode(),
        };
        if kind == Kind::File {
            self.files.push(item);
            return Ok(());
        }
        let below = item.path.clone();
        self.folders.push(item);
        let entries = fs::read_dir(local).and_then(Iterator::collect::<io::Result<Vec<_>>>);
        let mut entries = match entries {
            Ok(entries) => entries,
            Err(error) if depth == 0 => return Err(about(local, &error)),
            Err(error) => return self.leave_out(local, &about(local, &error).text),
        };
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let path = [&below, &b"/"[..], entry.file_name().as_bytes()].concat();
            self.add(&entry.path(), path, depth + 1)?;
        }
        Ok(())
    }

    fn leave_out(&mut self, local: &Path, why: &str) -> Result<()> {
        let name = visible(&local.to_string_lossy());
        self.left_out.push((name, why.to_owned()));
        Ok(())
    }
}

fn is_parts(name: &std::ffi::OsStr) -> bool {
    name.as_bytes() == PARTS
}

fn about(path: &Path, error: &io::Error) -> Error {
    let reason = match error.kind() {
        io::ErrorKind::NotFound => Reason::NotFound,
        _ => Reason::Local,
    };
    let name = visible(&path.to_string_lossy());
    Error::new(reason, format!("{name}: {}", Error::local(error).text))
}

/// Sends items.
#[derive(Debug)]
pub struct Sender<'a> {
    /// What is to be sent, in this order.
    pub items: &'a [Item],
    /// What both ends know.
    pub secret: Option<&'a Secret>,
    /// A receiver that is silent for so long is taken for lost.
    pub stall: Duration,
    /// How fast it may go.
    pub rate: Option<Arc<Rate>>,
}

impl Sender<'_> {
    /// Sends all that the receiver wants: what became of it.
    ///
    /// # Errors
    /// [`Reason::NotAllowed`] without the right secret; [`Reason::Protocol`] from
    /// one that speaks something else; [`Reason::Lost`], after which it can be
    /// called again with another connection and goes on.
    pub async fn send(&self, stream: Stream, watch: &dyn Watch) -> Result<Counts> {
        stream.set_patience(Patience {
            idle: self.stall,
            bytes: 1,
        });
        // Small files are sent in many small pieces, which are gathered here.
        stream.socket().set(NoDelay(true)).ok();
        let mut channel = Channel::plain(stream);
        if let Some(secret) = self.secret {
            secret.prove(&mut channel).await?;
        }
        let session = Session {
            sender: self,
            channel: &channel,
            watch,
            heard: RefCell::default(),
            heard_bytes: Cell::new(0),
            acknowledged: Cell::new(0),
            sent: Cell::new(0),
            finishing: Cell::new(false),
            over: Cell::new(false),
            counts: Cell::default(),
        };
        let ended = try_zip(session.hear(), session.run()).await;
        if ended.is_ok() {
            channel.close().await;
        }
        ended.map(|_| session.counts.get())
    }
}

/// What a receiver said.
enum Answer {
    Hello(u8),
    Want {
        id: u32,
        has_part: bool,
    },
    Have {
        id: u32,
        hashes: Vec<u8>,
    },
    Outcome {
        id: u32,
        outcome: Outcome,
        text: String,
    },
    Finished,
}

impl Answer {
    /// How much it takes here.
    fn bytes(&self) -> usize {
        size_of::<Self>()
            + match self {
                Self::Have { hashes, .. } => hashes.len(),
                Self::Outcome { text, .. } => text.len(),
                _ => 0,
            }
    }
}

/// One connection. Both directions are one task: what one does, the other sees
/// the next time that it is looked after, which is at once.
struct Session<'a> {
    sender: &'a Sender<'a>,
    channel: &'a Channel,
    watch: &'a dyn Watch,
    heard: RefCell<VecDeque<Answer>>,
    heard_bytes: Cell<usize>,
    /// How many bytes of blocks the receiver has on its disk.
    acknowledged: Cell<u64>,
    /// How many were sent, or are about to be.
    sent: Cell<u64>,
    /// Whether the receiver was told that this was all.
    finishing: Cell<bool>,
    /// Whether no answer is waited for any more.
    over: Cell<bool>,
    counts: Cell<Counts>,
}

impl Session<'_> {
    /// Listens to the receiver until there is nothing more to hear.
    async fn hear(&self) -> Result<()> {
        let mut bytes: Vec<u8> = Vec::new();
        let mut piece = vec![0; PIECE];
        while !self.over.get() {
            let mut used = 0;
            while let Some(Received { message, used: it }) =
                Message::decode(&bytes[used..]).map_err(protocol)?
            {
                used += it;
                self.understand(message)?;
            }
            bytes.drain(..used);
            if self.over.get() {
                break;
            }
            let count = poll_fn(
                |context| match self.channel.poll_recv(context, &mut piece) {
                    // It is waited for no longer.
                    Poll::Pending if self.over.get() => Poll::Ready(Ok(0)),
                    polled => polled,
                },
            );
            match count.await.map_err(|error| lost(&error))? {
                0 if self.over.get() => break,
                0 => return Err(lost(&io::ErrorKind::UnexpectedEof.into())),
                count => bytes.extend_from_slice(&piece[..count]),
            }
        }
        Ok(())
    }

    fn understand(&self, message: Message<'_>) -> Result<()> {
        let answer = match message {
            Message::Hello { version } => Answer::Hello(version),
            Message::Want { id, has_part } => Answer::Want { id, has_part },
            Message::Have { id, hashes } => Answer::Have {
                id,
                hashes: hashes.to_vec(),
            },
            Message::Outcome { id, outcome, text } => Answer::Outcome {
                id,
                outcome,
                text: visible(text),
            },
            Message::Finished if !self.finishing.get() => {
                return Err(protocol("an end before all was sent"));
            }
            Message::Finished => {
                self.over.set(true);
                Answer::Finished
            }
            Message::Ack(bytes) if bytes > self.sent.get() => {
                return Err(protocol("it acknowledges more than was sent"));
            }
            Message::Ack(bytes) if bytes < self.acknowledged.get() => {
                return Err(protocol("it acknowledges less than before"));
            }
            Message::Ack(bytes) => {
                self.acknowledged.set(bytes);
                return Ok(());
            }
            // That something came is all it says.
            Message::Wait => return Ok(()),
            Message::Refuse(text) => {
                return Err(Error::new(Reason::NotAllowed, visible(text)));
            }
            _ => return Err(protocol("a message that only a sender says")),
        };
        self.heard_bytes
            .set(self.heard_bytes.get() + answer.bytes());
        if self.heard_bytes.get() > MOST_HEARD {
            return Err(protocol("it says more than it was asked"));
        }
        self.heard.borrow_mut().push_back(answer);
        Ok(())
    }

    /// The next answer.
    async fn answer(&self) -> Answer {
        poll_fn(|_| match self.heard.borrow_mut().pop_front() {
            Some(answer) => {
                self.heard_bytes
                    .set(self.heard_bytes.get() - answer.bytes());
                Poll::Ready(answer)
            }
            // It comes to this task.
            None => Poll::Pending,
        })
        .await
    }

    async fn say(&self, message: &Message<'_>) -> Result<()> {
        let mut bytes = Vec::new();
        message.encode(&mut bytes);
        self.send(&bytes, More::No).await
    }

    async fn send(&self, bytes: &[u8], more: More) -> Result<()> {
        match self.channel.send_all(bytes, more).await {
            Ok(()) => Ok(()),
            // What the receiver said before it left is more telling.
            Err(error) if error.kind() != io::ErrorKind::TimedOut => {
                sleep(LAST_WORDS).await;
                Err(lost(&error))
            }
            Err(error) => Err(lost(&error)),
        }
    }

    async fn run(&self) -> Result<()> {
        self.say(&Message::Hello { version: VERSION }).await?;
        match self.answer().await {
            Answer::Hello(VERSION) => {}
            Answer::Hello(other) => {
                return Err(protocol(format!(
                    "version {other} of the protocol, and this is {VERSION}"
                )));
            }
            _ => return Err(protocol("no greeting")),
        }
        let items = self.sender.items;
        let mut open: HashMap<u32, &Item> = HashMap::new();
        // Of those that are open, which are on their way or were.
        let mut begun: HashSet<u32> = HashSet::new();
        let mut next = 0;
        while next < items.len() || !open.is_empty() {
            self.tell_of(&mut open, &mut next).await?;
            match self.answer().await {
                Answer::Want { id, has_part } => {
                    let item = *open.get(&id).ok_or_else(|| protocol("an unknown file"))?;
                    if !begun.insert(id) {
                        return Err(protocol("it wants a file for the second time"));
                    }
                    self.send_item(id, item, has_part).await?;
                }
                Answer::Outcome { id, outcome, text } => {
                    let item = open
                        .remove(&id)
                        .ok_or_else(|| protocol("an unknown file"))?;
                    begun.remove(&id);
                    self.settle(item, outcome, &text);
                }
                _ => return Err(protocol("an answer to no question")),
            }
        }
        self.finishing.set(true);
        self.say(&Message::Finish).await?;
        match self.answer().await {
            Answer::Finished => Ok(()),
            _ => Err(protocol("no end")),
        }
    }

    /// Tells of as many entries as may be open.
    async fn tell_of<'i>(
        &'i self,
        open: &mut HashMap<u32, &'i Item>,
        next: &mut usize,
    ) -> Result<()> {
        let items = self.sender.items;
        let mut bytes = Vec::new();
        while *next < items.len() && open.len() < MOST_OPEN {
            let item = &items[*next];
            // Its time is set for good, and so nothing more may come into it.
            if item.kind == Kind::Folder && open.values().any(|open| open.is_file()) {
                break;
            }
            let id = u32::try_from(*next).map_err(|_| protocol("too many files"))?;
            Message::Entry(item.entry(id)).encode(&mut bytes);
            open.insert(id, item);
            *next += 1;
        }
        self.send(&bytes, More::No).await
    }

    /// Sends what the receiver does not have of a file.
    async fn send_item(&self, id: u32, item: &Item, has_part: bool) -> Result<()> {
        let source = match Source::open(item) {
            Ok(source) => source,
            Err(text) => return self.say(&Message::Abandon { id, text: &text }).await,
        };
        let there = match has_part {
            true => self.ask(id, blocks(item.size)).await?,
            false => Vec::new(),
        };
        let meter = Meter::new(self.sender.rate.clone());
        let mut reading = Reading {
            source,
            there,
            next: 0,
            whole: Whole::default(),
            skipped: 0,
            head: Vec::new(),
            buffer: Vec::new(),
        };
        let mut begun = false;
        loop {
            let step;
            (reading, step) = unblock(move || {
                let step = reading.step(id);
                (reading, step)
            })
            .await;
            if !begun && !matches!(step, Ok(Step::AtWork)) {
                begun = true;
                self.watch.event(Event::Begun {
                    name: &item.name(),
                    total: Some(item.size),
                    offset: reading.skipped,
                    resumes: true,
                    meter: &meter,
                });
            }
            if self.is_settled(id) {
                let text = "it is not wanted";
                return self.say(&Message::Abandon { id, text }).await;
            }
            match step {
                Ok(Step::AtWork) => self.say(&Message::Wait).await?,
                Ok(Step::Head) => self.send(&reading.head, More::Follows).await?,
                Ok(Step::Block) => {
                    self.room_for(reading.buffer.len() as u64).await;
                    self.send(&reading.head, More::Follows).await?;
                    self.send(&reading.buffer, More::No).await?;
                    self.moved(&meter, reading.buffer.len() as u64).await?;
                }
                Ok(Step::End) => return self.send(&reading.head, More::No).await,
                Err(text) => return self.say(&Message::Abandon { id, text: &text }).await,
            }
        }
    }

    /// Which of so many blocks are there already.
    async fn ask(&self, id: u32, blocks: u64) -> Result<Vec<Hash>> {
        self.say(&Message::Ask { id }).await?;
        let mut there = Vec::new();
        // Outcomes of others may come in between.
        let mut others = Vec::new();
        loop {
            match self.answer().await {
                Answer::Have { id: of, hashes: it } if of == id => {
                    if it.is_empty() {
                        break;
                    }
                    there.extend(hashes(&it));
                    if there.len() as u64 > blocks {
                        return Err(protocol("more hashes than the file has blocks"));
                    }
                }
                Answer::Have { .. } => return Err(protocol("hashes of another file")),
                // Each open one has at most a wish and an outcome.
                _ if others.len() == 2 * MOST_OPEN => {
                    return Err(protocol("it says more than it was asked"));
                }
                other => {
                    // It is not wanted any more, which is seen where it would be sent.
                    let is_settled = matches!(&other, Answer::Outcome { id: of, .. } if *of == id);
                    others.push(other);
                    if is_settled {
                        break;
                    }
                }
            }
        }
        let mut heard = self.heard.borrow_mut();
        for other in others.into_iter().rev() {
            self.heard_bytes.set(self.heard_bytes.get() + other.bytes());
            heard.push_front(other);
        }
        Ok(there)
    }

    /// Whether the receiver wants no more of a file.
    fn is_settled(&self, id: u32) -> bool {
        let heard = self.heard.borrow();
        heard
            .iter()
            .any(|answer| matches!(answer, Answer::Outcome { id: of, .. } if *of == id))
    }

    /// Waits until no more than a window is on its way with this, which counts from
    /// then on: its acknowledgement may be heard before we know that all is sent.
    async fn room_for(&self, length: u64) {
        poll_fn(|_| {
            let away = self.sent.get() - self.acknowledged.get();
            // It is acknowledged to this task.
            if away + length > WINDOW {
                return Poll::Pending;
            }
            self.sent.set(self.sent.get() + length);
            Poll::Ready(())
        })
        .await;
    }

    /// Counts what was sent, and waits as long as the rate wants.
    async fn moved(&self, meter: &Meter, length: u64) -> Result<()> {
        let mut counts = self.counts.get();
        counts.bytes += length;
        self.counts.set(counts);
        let mut wait = meter.count(length);
        while !wait.is_zero() {
            let some = wait.min(SIGN_OF_LIFE);
            sleep(some).await;
            wait -= some;
            if !wait.is_zero() {
                self.say(&Message::Wait).await?;
            }
        }
        Ok(())
    }

    fn settle(&self, item: &Item, outcome: Outcome, text: &str) {
        let mut counts = self.counts.get();
        let name = item.name();
        let failed = |text: &str| {
            let error = Error::new(Reason::Local, text);
            self.watch.event(Event::Failed {
                name: &name,
                error: &error,
            });
        };
        match outcome {
            Outcome::Stored if !item.is_file() => {}
            Outcome::Stored => {
                counts.stored += 1;
                let bytes = item.size;
                self.watch.event(Event::Done { name: &name, bytes });
            }
            Outcome::Same => {
                counts.same += 1;
                self.watch.event(Event::Skipped { name: &name });
            }
            Outcome::Kept => {
                counts.kept += 1;
                failed("another one is there, and stays (--overwrite over there replaces it)");
            }
            Outcome::Refused => {
                counts.refused += 1;
                failed(text);
            }
        }
        self.counts.set(counts);
    }
}

/// How long one listens to a receiver that takes no more: its reason may be on
/// its way.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// A file that is sent.
struct Source {
    file: File,
    size: u64,
    modified: (i64, u32),
}

impl Source {
    /// Opens a file, if it is still what the receiver was told of.
    fn open(item: &Item) -> std::result::Result<Self, String> {
        let file = OpenOptions::new()
            .read(true)
            .custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits() as i32)
            .open(&item.local)
            .map_err(|error| Error::local(&error).text)?;
        let source = Self {
            file,
            size: item.size,
            modified: item.modified,
        };
        source.check()?;
        Ok(source)
    }

    /// Whether it has not changed.
    fn check(&self) -> std::result::Result<(), String> {
        let meta = self
            .file
            .metadata()
            .map_err(|error| Error::local(&error).text)?;
        let now = (meta.mtime(), meta.mtime_nsec() as u32);
        if !meta.is_file() || meta.len() != self.size || now != self.modified {
            return Err("it has changed while it was being sent; send it again".into());
        }
        Ok(())
    }
}

/// What is to be done next about a file.
enum Step {
    /// Nothing: much is there already, and was compared.
    AtWork,
    /// A head is to be sent.
    Head,
    /// A head is to be sent, and the block in the buffer behind it.
    Block,
    /// A head is to be sent, and is the last.
    End,
}

/// Reads a file, and finds out what of it is to be sent.
struct Reading {
    source: Source,
    there: Vec<Hash>,
    next: u64,
    whole: Whole,
    /// How many bytes were there before the first that is sent.
    skipped: u64,
    head: Vec<u8>,
    buffer: Vec<u8>,
}

impl Reading {
    /// The next step, which takes no longer than a [`SIGN_OF_LIFE`].
    fn step(&mut self, id: u32) -> std::result::Result<Step, String> {
        let begun = Instant::now();
        let mut blocks = Blocks::new(&self.source.file, self.source.size, self.next);
        self.head.clear();
        let mut zeros: Option<(u64, u64)> = None;
        while let Some(index) = blocks.index() {
            let is_long = begun.elapsed() > SIGN_OF_LIFE;
            if is_long || zeros.is_some_and(|(_, count)| count == MOST_ZEROS) {
                break;
            }
            let block = match blocks.read(&mut self.buffer) {
                Ok(block) => block,
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                    return Err("it has become shorter while it was being sent".into());
                }
                Err(error) => return Err(Error::local(&error).text),
            };
            let is_there = usize::try_from(index)
                .ok()
                .and_then(|index| self.there.get(index))
                .is_some_and(|there| *there == block.hash());
            match block {
                _ if is_there && zeros.is_none() => {
                    self.skipped += BLOCK.min(self.source.size - index * BLOCK);
                }
                Block::Zeros(_) if !is_there => {
                    zeros = Some(zeros.map_or((index, 1), |(first, count)| (first, count + 1)));
                }
                // The zeros before it go first, and it is read again.
                _ if zeros.is_some() => break,
                _ => {
                    let hash = block.hash();
                    self.whole.add(&hash);
                    self.next = index + 1;
                    let length = self.buffer.len() as u32;
                    let head = Message::Block {
                        id,
                        index,
                        hash,
                        length,
                    };
                    head.encode(&mut self.head);
                    return Ok(Step::Block);
                }
            }
            self.whole.add(&block.hash());
            self.next = index + 1;
        }
        if let Some((index, count)) = zeros {
            Message::Zeros { id, index, count }.encode(&mut self.head);
            return Ok(Step::Head);
        }
        if blocks.index().is_some() {
            return Ok(Step::AtWork);
        }
        self.source.check()?;
        let hash = self.whole.hash();
        Message::End { id, hash }.encode(&mut self.head);
        Ok(Step::End)
    }
}
