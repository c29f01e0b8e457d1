//! The models: entries, and the database that keeps them.
//!
//! Everything here blocks, so controllers call it on the thread pool. Nothing
//! here knows of HTTP or HTML: a text is kept as it was written, and whoever
//! shows it escapes it.

use std::io;
use std::mem;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, Row, ToSql, params};

/// How many entries a page has: what one reads before one wants to go on.
pub(crate) const PAGE: usize = 20;

/// How many characters a name may have; the longest of passports have 39.
pub(crate) const NAME_LIMIT: usize = 40;

/// How many characters an entry may have: about a page of a book.
pub(crate) const TEXT_LIMIT: usize = 1000;

/// How long to wait for another program that has the database locked: much
/// longer than a backup holds it, and shorter than people wait.
const BUSY: Duration = Duration::from_secs(5);

/// What makes a database out of an empty file. `AUTOINCREMENT`, so that the
/// number of an entry that was deleted, and addresses with it, are never those
/// of another.
const SCHEMA: &str = "
    CREATE TABLE entries (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        name TEXT NOT NULL,
        text TEXT NOT NULL,
        written INTEGER NOT NULL, -- milliseconds since 1970
        hidden INTEGER NOT NULL DEFAULT 0
    ) STRICT;
    CREATE INDEX shown ON entries (id) WHERE hidden = 0;
    CREATE TABLE secret (key BLOB NOT NULL) STRICT;
    PRAGMA user_version = 1;
";

/// What somebody wants to write, and may.
#[derive(Debug)]
pub(crate) struct Draft {
    name: String,
    text: String,
}

/// Why something can't be written: a sentence for each field that is no good.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Unfit {
    pub(crate) name: Option<String>,
    pub(crate) text: Option<String>,
}

impl Draft {
    /// What was typed, without blanks around it and with line ends that are
    /// everywhere the same; browsers send `\r\n`.
    pub(crate) fn new(name: &str, text: &str) -> Result<Self, Unfit> {
        let text = text.replace("\r\n", "\n").replace('\r', "\n");
        let (name, text) = (trimmed(name), trimmed(&text));
        let unfit = Unfit {
            name: fault(name, NAME_LIMIT, "your name", &[]),
            text: fault(text, TEXT_LIMIT, "something", &['\n', '\t']),
        };
        if unfit != Unfit::default() {
            return Err(unfit);
        }
        Ok(Self {
            name: name.to_owned(),
            text: text.to_owned(),
        })
    }
}

/// What is wrong with a field, if anything is. Characters are counted, as
/// people count them, and not bytes.
fn fault(field: &str, limit: usize, what: &str, allowed: &[char]) -> Option<String> {
    let count = field.chars().count();
    if field.is_empty() {
        Some(format!("Please write {what}."))
    } else if count > limit {
        Some(format!("That is {count} characters; {limit} fit."))
    } else if field.contains(|c: char| c.is_control() && !allowed.contains(&c)) {
        Some("There is a control character in it, which nobody could see.".into())
    } else {
        None
    }
}

/// Without anything around it that looks like nothing.
fn trimmed(field: &str) -> &str {
    field.trim_matches(|c: char| {
        c.is_whitespace()
            || matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{feff}')
    })
}

/// What somebody wrote.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) id: i64,
    pub(crate) name: String,
    pub(crate) text: String,
    pub(crate) written: Timestamp,
    pub(crate) hidden: bool,
}

impl Entry {
    const COLUMNS: &str = "SELECT id, name, text, written, hidden FROM entries";

    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            id: row.get(0)?,
            name: row.get(1)?,
            text: row.get(2)?,
            written: Timestamp::from_millisecond(row.get(3)?).unwrap_or_default(),
            hidden: row.get(4)?,
        })
    }
}

/// Where a page begins. Pages are found by the entries at their ends (the
/// keyset), so that page 1,000 costs no more than the first, and that nothing
/// is skipped or seen twice when somebody writes meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// At the newest entry.
    Newest,
    /// At the newest of those that are older than this one.
    Before(i64),
    /// So that it ends at the oldest of those that are newer than this one.
    After(i64),
}

/// Whose eyes a page is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Eyes {
    /// Everybody's: hidden entries aren't there.
    Everybody,
    /// An admin's.
    Admin,
}

/// Some entries, the newest first, and what is beyond.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) entries: Vec<Entry>,
    /// Whether there are newer ones.
    pub(crate) newer: bool,
    /// Whether there are older ones.
    pub(crate) older: bool,
}

/// The guestbook. Clones are the same one.
///
/// One connection writes, and others read at the same time, each of them what
/// was there when it began: that is what SQLite's write-ahead log is for.
#[derive(Clone)]
pub(crate) struct Book(Arc<Inner>);

struct Inner {
    path: PathBuf,
    key: [u8; 32],
    writer: Mutex<Connection>,
    waiting: Mutex<Vec<Waiting>>,
    /// Connections that nobody reads from at this moment. There are never more
    /// than the pool has threads.
    readers: Mutex<Vec<Connection>>,
}

/// An entry that is to be written, and what became of it.
struct Waiting {
    draft: Draft,
    outcome: Arc<Mutex<Option<Result<i64, String>>>>,
}

impl Book {
    /// Opens the database, and makes it where there is none.
    ///
    /// # Errors
    /// A message that names the file.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        Self::opened(path)
            .map_err(|error| io::Error::other(format!("cannot open {}: {error}", path.display())))
    }

    fn opened(path: &Path) -> rusqlite::Result<Self> {
        let mut writer = connect(path)?;
        let transaction = writer.transaction()?;
        let version: i64 = transaction.query_row("PRAGMA user_version", [], |row| row.get(0))?;
        if version == 0 {
            transaction.execute_batch(SCHEMA)?;
            // SQLite's own randomness is the kernel's.
            transaction.execute("INSERT INTO secret VALUES (randomblob(32))", [])?;
        }
        let key = transaction.query_row("SELECT key FROM secret", [], |row| row.get(0))?;
        transaction.commit()?;
        Ok(Self(Arc::new(Inner {
            path: path.to_owned(),
            key,
            writer: Mutex::new(writer),
            waiting: Mutex::default(),
            readers: Mutex::default(),
        })))
    }

    /// What only this guestbook knows, and still knows after a restart.
    pub(crate) fn key(&self) -> &[u8; 32] {
        &self.0.key
    }

    /// Writes an entry; gives its number once it is on the disk.
    ///
    /// The disk is slow, and has to be waited for once for each transaction. So
    /// whoever has the writer writes all that wait at that moment, and these
    /// find it done when it is their turn.
    pub(crate) fn add(&self, draft: Draft) -> io::Result<i64> {
        let outcome = Arc::default();
        lock(&self.0.waiting).push(Waiting {
            draft,
            outcome: Arc::clone(&outcome),
        });
        let mut writer = lock(&self.0.writer);
        if lock(&outcome).is_none() {
            let all = mem::take(&mut *lock(&self.0.waiting));
            let written = write(&mut writer, &all).map_err(|error| error.to_string());
            for (at, one) in all.iter().enumerate() {
                let result = written.as_ref().map(|ids| ids[at]).map_err(Clone::clone);
                *lock(&one.outcome) = Some(result);
            }
        }
        drop(writer);
        let outcome = lock(&outcome).take();
        outcome
            .unwrap_or_else(|| Err("whoever wrote it broke down".into()))
            .map_err(|error| io::Error::other(format!("cannot write an entry: {error}")))
    }

    /// A page of entries.
    pub(crate) fn page(&self, turn: Turn, eyes: Eyes) -> io::Result<Page> {
        self.read(|db| page(db, turn, eyes))
    }

    /// One entry, hidden or not.
    pub(crate) fn entry(&self, id: i64) -> io::Result<Option<Entry>> {
        self.read(|db| {
            db.prepare_cached(&format!("{} WHERE id = ?", Entry::COLUMNS))?
                .query_row([id], Entry::read)
                .optional()
        })
    }

    /// Takes an entry out of everybody's sight, or puts it back; false if there
    /// is none.
    pub(crate) fn set_hidden(&self, id: i64, hidden: bool) -> io::Result<bool> {
        self.change(
            "UPDATE entries SET hidden = ? WHERE id = ?",
            &[&hidden, &id],
        )
    }

    /// Deletes an entry; false if there is none.
    pub(crate) fn delete(&self, id: i64) -> io::Result<bool> {
        self.change("DELETE FROM entries WHERE id = ?", &[&id])
    }

    fn change(&self, sql: &str, values: &[&dyn ToSql]) -> io::Result<bool> {
        let changed = lock(&self.0.writer).execute(sql, values);
        changed.map(|count| count > 0).map_err(io::Error::other)
    }

    /// Reads with a connection of its own.
    fn read<T>(&self, read: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> io::Result<T> {
        let free = lock(&self.0.readers).pop();
        let reader = free.map_or_else(|| connect(&self.0.path), Ok);
        let reader = reader.map_err(io::Error::other)?;
        let result = read(&reader).map_err(io::Error::other);
        lock(&self.0.readers).push(reader);
        result
    }
}

/// A connection. `synchronous = FULL` has every commit wait for the disk, so
/// that what was acknowledged outlives the process, the kernel and the power.
fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let db = Connection::open(path)?;
    db.busy_timeout(BUSY)?;
    db.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(()))?;
    db.execute_batch("PRAGMA synchronous = FULL")?;
    Ok(db)
}

/// Writes them all in one transaction: all of them are there then, or none.
fn write(db: &mut Connection, all: &[Waiting]) -> rusqlite::Result<Vec<i64>> {
    let now = Timestamp::now().as_millisecond();
    let transaction = db.transaction()?;
    let ids = all
        .iter()
        .map(|Waiting { draft, .. }| {
            transaction
                .prepare_cached("INSERT INTO entries (name, text, written) VALUES (?, ?, ?)")?
                .insert(params![draft.name, draft.text, now])
        })
        .collect::<rusqlite::Result<_>>()?;
    transaction.commit()?;
    Ok(ids)
}

fn page(db: &Connection, turn: Turn, eyes: Eyes) -> rusqlite::Result<Page> {
    let shown = match eyes {
        Eyes::Everybody => "hidden = 0",
        Eyes::Admin => "TRUE",
    };
    let rows = |condition: &str, order: &str, from: i64| {
        let columns = Entry::COLUMNS;
        db.prepare_cached(&format!(
            "{columns} WHERE {shown} AND id {condition} ? ORDER BY id {order} LIMIT {PAGE}"
        ))?
        .query_map([from], Entry::read)?
        .collect::<rusqlite::Result<Vec<_>>>()
    };
    // What is beyond, and the page, must be of the same moment.
    let _moment = db.unchecked_transaction()?;
    let mut entries = match turn {
        Turn::Newest => rows("<=", "DESC", i64::MAX)?,
        Turn::Before(id) => rows("<", "DESC", id)?,
        Turn::After(id) => rows(">", "ASC", id)?,
    };
    if matches!(turn, Turn::After(_)) {
        entries.reverse();
        if entries.len() < PAGE {
            // The first page is a full one, if there are enough for that.
            entries = rows("<=", "DESC", i64::MAX)?;
        }
    }
    let beyond = |condition: &str, id: i64| {
        db.prepare_cached(&format!(
            "SELECT 1 FROM entries WHERE {shown} AND id {condition} ?"
        ))?
        .exists([id])
    };
    let (newest, oldest) = match (entries.first(), entries.last(), turn) {
        (Some(first), Some(last), _) => (first.id, last.id),
        // Nothing is older: everything there is, is newer.
        (.., Turn::Before(_)) => (i64::MIN, i64::MIN),
        _ => (i64::MAX, i64::MAX),
    };
    Ok(Page {
        newer: beyond(">", newest)?,
        older: beyond("<", oldest)?,
        entries,
    })
}

/// Nothing here is left half-done by a thread that breaks down: transactions
/// are rolled back.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
