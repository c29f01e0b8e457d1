//! The database: one file of SQLite, its connections, and its versions.
//!
//! A process has two connections, opened when they are first needed: one that
//! writes, and one that only reads, so that a visit goes on while somebody
//! waits for a database that another program holds. None is ever carried over
//! a fork: SQLite forbids it, since the locks of a connection are its
//! process's. A process that forks therefore keeps none open
//! ([`Store::keep_none_here`]), and a child that inherits one all the same
//! leaves it alone.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::mem;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::{Duration, SystemTime};

use rusqlite::{Connection, ErrorCode, OpenFlags, Transaction, TransactionBehavior};
use rustix::fs::{FlockOperation, flock};
use rustix::process::geteuid;

use super::random;
use crate::visible::without_number;

/// How long a writer waits for another one: much longer than any transaction
/// here takes, and shorter than people wait.
const BUSY: Duration = Duration::from_secs(5);

/// Tells our databases from others: "hyth".
const APPLICATION: i32 = 0x6879_7468;

/// How many statements are kept compiled: more than there are here.
const STATEMENTS: usize = 64;

/// What takes a database from each version to the next, beginning with an
/// empty one. What has been released is never changed, only added to.
const MIGRATIONS: &[&str] = &[
    "
    CREATE TABLE accounts (
        name TEXT PRIMARY KEY NOT NULL,
        folded TEXT UNIQUE NOT NULL,
        password TEXT NOT NULL,
        role TEXT NOT NULL,
        home BLOB NOT NULL,
        quota INTEGER,
        created INTEGER NOT NULL,
        seen INTEGER
    ) STRICT;

    -- `run` is that of the program where the account is for this run only.
    CREATE TABLE sessions (
        token BLOB PRIMARY KEY NOT NULL,
        account TEXT NOT NULL,
        run BLOB,
        used INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX sessions_of ON sessions (account, used);

    -- Times in milliseconds.
    CREATE TABLE attempts (
        id INTEGER PRIMARY KEY,
        subject BLOB NOT NULL,
        time INTEGER NOT NULL,
        until INTEGER NOT NULL,
        pending INTEGER NOT NULL
    ) STRICT;
    CREATE INDEX attempts_of ON attempts (subject, time);
    CREATE INDEX attempts_until ON attempts (until);

    CREATE TABLE owned (
        path BLOB PRIMARY KEY NOT NULL,
        account TEXT NOT NULL,
        bytes INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX owned_by ON owned (account);

    -- The sum of `owned`, which would else be added up for every file.
    CREATE TABLE used (
        account TEXT PRIMARY KEY NOT NULL,
        bytes INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE TRIGGER owned_more AFTER INSERT ON owned BEGIN
        INSERT INTO used VALUES (new.account, new.bytes)
            ON CONFLICT (account) DO UPDATE SET bytes = bytes + excluded.bytes;
    END;
    CREATE TRIGGER owned_less AFTER DELETE ON owned BEGIN
        UPDATE used SET bytes = bytes - old.bytes WHERE account = old.account;
        DELETE FROM used WHERE account = old.account AND bytes <= 0;
    END;
    CREATE TRIGGER owned_other AFTER UPDATE OF account, bytes ON owned BEGIN
        UPDATE used SET bytes = bytes - old.bytes WHERE account = old.account;
        INSERT INTO used VALUES (new.account, new.bytes)
            ON CONFLICT (account) DO UPDATE SET bytes = bytes + excluded.bytes;
    END;

    CREATE TABLE audit (
        id INTEGER PRIMARY KEY,
        time INTEGER NOT NULL,
        account TEXT,
        protocol TEXT NOT NULL,
        address TEXT,
        act TEXT NOT NULL,
        path TEXT NOT NULL,
        detail TEXT NOT NULL
    ) STRICT;
",
    super::links::SCHEMA,
];

/// A database of accounts, and this process's connections to it.
#[derive(Debug)]
pub(super) struct Store {
    path: PathBuf,
    writer: Mutex<Option<Kept>>,
    reader: Mutex<Option<Kept>>,
    /// The process that opened the store.
    maker: u32,
    /// Whether that one keeps no connection between two uses.
    maker_forks: AtomicBool,
    /// Where the database is of no use after this run. Dropped after the
    /// connections.
    folder: Option<Folder>,
}

#[derive(Debug)]
struct Kept {
    process: u32,
    connection: Connection,
}

impl Store {
    /// Opens a database, brings it to this version, and makes it where there
    /// is none.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        Self::at(path.to_owned(), None)
    }

    /// A database that is gone with this process.
    pub(super) fn temporary() -> io::Result<Self> {
        let folder = Folder::make().map_err(|error| {
            let place = std::env::temp_dir();
            explained("cannot keep accounts in", &place, error.kind(), &error)
        })?;
        Self::at(folder.path.join("accounts.db"), Some(folder))
    }

    fn at(path: PathBuf, folder: Option<Folder>) -> io::Result<Self> {
        let store = Self {
            path,
            writer: Mutex::new(None),
            reader: Mutex::new(None),
            maker: process::id(),
            maker_forks: AtomicBool::new(false),
            folder,
        };
        store.make_file()?;
        let connection = store.migrated().map_err(|error| store.told(&error))?;
        store.check_writable(&connection)?;
        let reader = store
            .connect_to_read()
            .map_err(|error| store.told(&error))?;
        let process = process::id();
        for (place, connection) in [(&store.writer, connection), (&store.reader, reader)] {
            *lock(place) = Some(Kept {
                process,
                connection,
            });
        }
        Ok(store)
    }

    /// Makes the file where it is missing, for its owner alone. SQLite gives
    /// the files beside it the same permissions.
    fn make_file(&self) -> io::Result<()> {
        let opened = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&self.path);
        let meta = opened
            .and_then(|file| file.metadata())
            .map_err(|error| self.explained(error.kind(), &error))?;
        if !meta.is_file() {
            let error = "it is not a regular file";
            return Err(self.explained(io::ErrorKind::InvalidInput, &error));
        }
        if meta.mode() & 0o077 != 0 {
            tracing::warn!(
                file = %self.path.display(),
                "others on this machine may open the accounts; see chmod 600"
            );
        }
        Ok(())
    }

    /// A connection to the database in this version.
    fn migrated(&self) -> rusqlite::Result<Connection> {
        let mut connection = self.connect()?;
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        migrate(&transaction)?;
        transaction.commit()?;
        Ok(connection)
    }

    fn connect(&self) -> rusqlite::Result<Connection> {
        // A file that is gone is not made again: it would be an empty one that
        // others may read. And its name is a name, whatever it looks like.
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&self.path, flags)?;
        connection.busy_timeout(BUSY)?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS);
        // A pragma that changes the mode answers with a row. Where the file
        // system has no shared memory the mode stays another, which is slower
        // and as good.
        connection.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(()))?;
        connection.execute_batch("PRAGMA synchronous = NORMAL; PRAGMA foreign_keys = ON;")?;
        Ok(connection)
    }

    /// A connection that changes nothing by mistake.
    fn connect_to_read(&self) -> rusqlite::Result<Connection> {
        let connection = self.connect()?;
        connection.execute_batch("PRAGMA query_only = ON")?;
        Ok(connection)
    }

    fn check_writable(&self, connection: &Connection) -> io::Result<()> {
        match connection.is_readonly("main") {
            Ok(false) => Ok(()),
            Ok(true) => {
                let error = "it may not be written";
                Err(self.explained(io::ErrorKind::PermissionDenied, &error))
            }
            Err(error) => Err(self.told(&error)),
        }
    }

    /// The file.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// From now on this process keeps no connection open between two uses:
    /// it is about to fork.
    pub(super) fn keep_none_here(&self) {
        self.maker_forks.store(true, Ordering::Relaxed);
        if process::id() == self.maker {
            *lock(&self.writer) = None;
            *lock(&self.reader) = None;
        }
    }

    /// Removes the database, if it is for this run only.
    pub(super) fn remove_temporary(&self) {
        if let Some(folder) = &self.folder {
            folder.remove();
        }
    }

    /// Does something that changes nothing. It waits for no writer.
    pub(super) fn read<T>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> io::Result<T> {
        let reader = lock(&self.reader);
        self.with_kept(reader, Self::connect_to_read, |db| work(db))
    }

    /// Does something with the connection that writes.
    pub(super) fn with<T>(
        &self,
        work: impl FnOnce(&mut Connection) -> rusqlite::Result<T>,
    ) -> io::Result<T> {
        self.with_kept(lock(&self.writer), Self::connect, work)
    }

    /// Writes what may as well be written another time: it is left undone
    /// where it would have to wait.
    pub(super) fn write_in_passing(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<usize>,
    ) {
        let writer = match self.writer.try_lock() {
            Ok(writer) => writer,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return,
        };
        let done = self.with_kept(writer, Self::connect, |db| {
            db.busy_timeout(Duration::ZERO)?;
            let done = work(db);
            db.busy_timeout(BUSY)?;
            done
        });
        done.ok();
    }

    fn with_kept<T>(
        &self,
        mut kept: MutexGuard<'_, Option<Kept>>,
        connect: impl FnOnce(&Self) -> rusqlite::Result<Connection>,
        work: impl FnOnce(&mut Connection) -> rusqlite::Result<T>,
    ) -> io::Result<T> {
        let process = process::id();
        if kept.as_ref().is_some_and(|kept| kept.process != process) {
            // Closing it would take away locks of the process it belongs to.
            mem::forget(kept.take());
        }
        let result = match kept.as_mut() {
            Some(kept) => work(&mut kept.connection),
            None => connect(self).and_then(|connection| {
                work(
                    &mut kept
                        .insert(Kept {
                            process,
                            connection,
                        })
                        .connection,
                )
            }),
        };
        let forks = self.maker_forks.load(Ordering::Relaxed) && process == self.maker;
        if forks || result.as_ref().is_err_and(is_lasting) {
            *kept = None;
        }
        result.map_err(|error| self.told(&error))
    }

    /// Does something that is done as a whole, or not at all.
    pub(super) fn write<T>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>,
    ) -> io::Result<T> {
        self.with(|connection| {
            let transaction =
                connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let result = work(&transaction)?;
            transaction.commit()?;
            Ok(result)
        })
    }

    /// What the database says, for people.
    fn told(&self, error: &rusqlite::Error) -> io::Error {
        let Some(code) = error.sqlite_error_code() else {
            return match error {
                rusqlite::Error::FromSqlConversionFailure(_, _, why) => {
                    self.explained(io::ErrorKind::InvalidData, why)
                }
                _ => self.explained(io::ErrorKind::InvalidData, error),
            };
        };
        let (kind, text) = match code {
            ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => (
                io::ErrorKind::ResourceBusy,
                "another program holds it; try again later",
            ),
            ErrorCode::ReadOnly => (io::ErrorKind::ReadOnlyFilesystem, "it may not be written"),
            ErrorCode::DiskFull => (io::ErrorKind::StorageFull, "no space left on its disk"),
            ErrorCode::NotADatabase => (
                io::ErrorKind::InvalidData,
                "it is not a database; give another file",
            ),
            ErrorCode::DatabaseCorrupt => (
                io::ErrorKind::InvalidData,
                "it is damaged; restore it from a copy",
            ),
            _ => return self.explained(io::ErrorKind::Other, error),
        };
        self.explained(kind, &text)
    }

    fn explained(&self, kind: io::ErrorKind, why: &dyn std::fmt::Display) -> io::Error {
        explained("cannot use the accounts in", &self.path, kind, why)
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        for place in [&mut self.writer, &mut self.reader] {
            let kept = place.get_mut().unwrap_or_else(PoisonError::into_inner);
            if kept
                .as_ref()
                .is_some_and(|kept| kept.process != process::id())
            {
                mem::forget(kept.take());
            }
            // Closed before its folder is removed.
            *kept = None;
        }
    }
}

/// Brings a database to this version, or says why it can't.
fn migrate(transaction: &Transaction<'_>) -> rusqlite::Result<()> {
    let number = |pragma| transaction.query_row(pragma, [], |row| row.get::<_, i32>(0));
    let version = number("PRAGMA user_version")?;
    let application = number("PRAGMA application_id")?;
    let tables = number("SELECT count(*) FROM sqlite_schema")?;
    let empty = version == 0 && application == 0 && tables == 0;
    if !empty && application != APPLICATION {
        return Err(unfit(
            "it is a database of another program; give another file",
        ));
    }
    let done = usize::try_from(version).unwrap_or(usize::MAX);
    let Some(missing) = MIGRATIONS.get(done..) else {
        return Err(unfit("a newer hythe has written it; use that one"));
    };
    for migration in missing {
        transaction.execute_batch(migration)?;
    }
    if !missing.is_empty() {
        transaction.pragma_update(None, "application_id", APPLICATION)?;
        let version = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
        transaction.pragma_update(None, "user_version", version)?;
    }
    Ok(())
}

/// An error of our own among those of the database.
pub(super) fn unfit(text: &'static str) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Null, text.into())
}

/// Whether a connection is of no use any more: another may be, once the
/// operator has seen to the file.
fn is_lasting(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(
            ErrorCode::DatabaseCorrupt
                | ErrorCode::NotADatabase
                | ErrorCode::SystemIoFailure
                | ErrorCode::CannotOpen
                | ErrorCode::ReadOnly
        )
    )
}

fn explained(
    doing: &str,
    path: &Path,
    kind: io::ErrorKind,
    why: &dyn std::fmt::Display,
) -> io::Error {
    let why = match kind {
        io::ErrorKind::NotFound => "no such folder".to_owned(),
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        io::ErrorKind::IsADirectory => "it is a folder".to_owned(),
        _ => without_number(&why),
    };
    io::Error::new(kind, format!("{doing} {}: {why}", path.display()))
}

/// A panic while the connection was in use has rolled back what it did.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

// --- A database for one run --------------------------------------------------

/// How the folders of temporary databases are called.
const PREFIX: &str = "hythe-accounts-";

/// How old a folder is before it may be taken for abandoned: its maker has had
/// the time to lock it.
const FRESH: Duration = Duration::from_secs(60);

/// A folder that is removed by the process that made it, or, where that one was
/// killed, by the next that makes one.
#[derive(Debug)]
struct Folder {
    path: PathBuf,
    maker: u32,
    /// Locked for as long as the maker or a child of it lives.
    _held: OwnedFd,
}

impl Folder {
    fn make() -> io::Result<Self> {
        let parent = std::env::temp_dir();
        remove_abandoned(&parent);
        let suffix: String = random::<8>()?
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let path = parent.join(format!("{PREFIX}{suffix}"));
        DirBuilder::new().mode(0o700).create(&path)?;
        let held = OwnedFd::from(File::open(&path)?);
        flock(&held, FlockOperation::NonBlockingLockExclusive)?;
        Ok(Self {
            path,
            maker: process::id(),
            _held: held,
        })
    }
}

impl Folder {
    /// Removes it, if that is our business.
    fn remove(&self) {
        if self.maker == process::id() {
            std::fs::remove_dir_all(&self.path).ok();
        }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        self.remove();
    }
}

/// Removes what killed processes left behind. What can't be removed stays.
fn remove_abandoned(parent: &Path) {
    let Ok(entries) = std::fs::read_dir(parent) else {
        return;
    };
    for entry in entries.flatten() {
        if entry.file_name().to_string_lossy().starts_with(PREFIX) && is_abandoned(&entry.path()) {
            std::fs::remove_dir_all(entry.path()).ok();
        }
    }
}

fn is_abandoned(path: &Path) -> bool {
    let Ok(meta) = path.symlink_metadata() else {
        return false;
    };
    let age = |time| SystemTime::now().duration_since(time).ok();
    let old = meta
        .modified()
        .ok()
        .and_then(age)
        .is_some_and(|age| age > FRESH);
    old && meta.is_dir()
        && meta.uid() == geteuid().as_raw()
        && File::open(path)
            .is_ok_and(|folder| flock(&folder, FlockOperation::NonBlockingLockExclusive).is_ok())
}
