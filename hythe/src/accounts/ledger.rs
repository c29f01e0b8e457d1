//! Who has stored what, and who did what: quotas and the audit log.

use std::collections::HashMap;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::Accounts;
use super::people::size;
use crate::share::{Access, Act, Ledger, Owned, RelPath, Share, Visitor, write_audit};

/// How many lines of the audit log are kept: about 20 MB.
pub const AUDIT_LINES: i64 = 100_000;

/// How many lines there may be beyond that, so that old ones aren't removed one
/// at a time.
const AUDIT_SLACK: i64 = 1000;

/// An account's files are counted again no sooner than after this many times
/// what it took the last time: a visitor who asks for more than there is room
/// for may ask often.
const RECOUNT: u32 = 20;

/// What it may take without such a pause: about as much as a request does.
const CHEAP: Duration = Duration::from_millis(5);

/// A line of the audit log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditLine {
    /// When, in seconds since 1970.
    pub time: i64,
    /// Which account, if any.
    pub account: Option<String>,
    /// Over which protocol.
    pub protocol: String,
    /// From where; `None` for the operator at the machine itself.
    pub address: Option<String>,
    /// What was done.
    pub act: String,
    /// To what, if that was a file or folder.
    pub path: String,
    /// What else there is to say.
    pub detail: String,
}

/// Writes a line of the audit log into the database.
pub(super) fn note(
    db: &Connection,
    now: i64,
    who: &Visitor,
    act: &str,
    path: &str,
    detail: &str,
) -> rusqlite::Result<()> {
    let address = who.address.as_ref().map(ToString::to_string);
    db.prepare_cached(
        "INSERT INTO audit (time, account, protocol, address, act, path, detail)
         VALUES (?, ?, ?, ?, ?, ?, ?)",
    )?
    .execute(params![
        now,
        who.account.as_deref(),
        who.protocol,
        address,
        act,
        path,
        detail
    ])?;
    let line = db.last_insert_rowid();
    if line % AUDIT_SLACK == 0 {
        db.execute("DELETE FROM audit WHERE id <= ?", [line - AUDIT_LINES])?;
    }
    Ok(())
}

/// Writes a line of the audit log into the log of the program.
pub(super) fn tell(who: &Visitor, act: &str, path: &str, detail: &str) {
    write_audit(who, act, path, detail);
}

impl Accounts {
    /// The latest lines of the audit log, the last one first.
    ///
    /// # Errors
    /// The database's.
    pub fn audit_log(&self, limit: usize) -> io::Result<Vec<AuditLine>> {
        self.0.store.read(|db| {
            db.prepare(
                "SELECT time, account, protocol, address, act, path, detail FROM audit
                 ORDER BY id DESC LIMIT ?",
            )?
            .query_map([size(limit as u64)], |row| {
                Ok(AuditLine {
                    time: row.get(0)?,
                    account: row.get(1)?,
                    protocol: row.get(2)?,
                    address: row.get(3)?,
                    act: row.get(4)?,
                    path: row.get(5)?,
                    detail: row.get(6)?,
                })
            })?
            .collect()
        })
    }

    /// How many bytes an account has stored.
    ///
    /// # Errors
    /// The database's.
    pub fn usage(&self, name: &str) -> io::Result<u64> {
        self.0.store.read(|db| used(db, name))
    }

    /// Its quota, if it has one. Accounts for one run have none, and who has no
    /// account any more has no room.
    fn quota(&self, name: &str) -> io::Result<Option<u64>> {
        Ok(match self.find(name)? {
            Some(found) => found.account.quota,
            None => Some(0),
        })
    }
}

fn used(db: &Connection, name: &str) -> rusqlite::Result<u64> {
    let used = db
        .prepare_cached("SELECT bytes FROM used WHERE account = ?")?
        .query_row([name], |row| row.get::<_, i64>(0))
        .optional()?;
    Ok(u64::try_from(used.unwrap_or_default()).unwrap_or_default())
}

/// Which paths are below a folder: from its name with a slash up to its name
/// with what comes after a slash.
fn below(folder: &RelPath) -> (Vec<u8>, Vec<u8>) {
    let after = b'/' + 1;
    (
        [folder.as_bytes(), b"/"].concat(),
        [folder.as_bytes(), &[after]].concat(),
    )
}

/// Whose a file is.
fn owned(db: &Connection, path: &RelPath) -> rusqlite::Result<Option<Owned>> {
    db.prepare_cached("SELECT account, bytes FROM owned WHERE path = ?")?
        .query_row([path.as_bytes()], owned_row)
        .optional()
}

fn owned_row(row: &Row<'_>) -> rusqlite::Result<Owned> {
    Ok(Owned {
        account: row.get(0)?,
        bytes: u64::try_from(row.get::<_, i64>(1)?).unwrap_or_default(),
    })
}

fn own(db: &Connection, path: &RelPath, name: &str, bytes: u64) -> rusqlite::Result<()> {
    db.prepare_cached(
        "INSERT INTO owned VALUES (?, ?, ?) ON CONFLICT (path) DO UPDATE
         SET account = excluded.account, bytes = excluded.bytes",
    )?
    .execute(params![path.as_bytes(), name, size(bytes)])?;
    Ok(())
}

fn disown(db: &Connection, path: &RelPath) -> rusqlite::Result<()> {
    if path.is_root() {
        db.execute("DELETE FROM owned", [])?;
        return Ok(());
    }
    let (from, to) = below(path);
    db.prepare_cached("DELETE FROM owned WHERE path = ?")?
        .execute([path.as_bytes()])?;
    db.prepare_cached("DELETE FROM owned WHERE path > ? AND path < ?")?
        .execute([from, to])?;
    Ok(())
}

/// A file whose size is another than the books say.
struct Change {
    path: Vec<u8>,
    was: i64,
    is: Option<i64>,
}

/// Whether a path is one of these, or below one.
fn is_among(tops: &[RelPath], path: &[u8]) -> bool {
    tops.iter().any(|top| {
        let rest = path.strip_prefix(top.as_bytes());
        rest.is_some_and(|rest| matches!(rest, [] | [b'/', ..]))
    })
}

/// The books of a share with accounts.
#[derive(Debug)]
pub struct Books {
    accounts: Accounts,
    share: Share,
    /// When each account's files may be counted again.
    recounts: Mutex<HashMap<String, Instant>>,
    /// What is in the books, or will be in a moment, and appears after that.
    appearing: Mutex<Vec<RelPath>>,
}

impl Books {
    /// Keeps the books of this share in the database of these accounts.
    pub fn new(accounts: Accounts, share: Share) -> Self {
        Self {
            accounts,
            share,
            recounts: Mutex::default(),
            appearing: Mutex::default(),
        }
    }

    /// Whether a file may be there, and if so, that it is; then what was there
    /// before.
    fn try_to_store(
        &self,
        name: &str,
        path: &RelPath,
        bytes: u64,
    ) -> io::Result<Option<Option<Owned>>> {
        let quota = self.accounts.quota(name)?;
        self.accounts.0.store.write(|db| {
            let before = owned(db, path)?;
            let replaced = match &before {
                Some(before) if *before.account == *name => before.bytes,
                _ => 0,
            };
            let total = used(db, name)?
                .saturating_sub(replaced)
                .saturating_add(bytes);
            // Who has too much already may still replace it by less.
            if bytes > replaced && quota.is_some_and(|quota| total > quota) {
                return Ok(None);
            }
            own(db, path, name, bytes)?;
            Ok(Some(before))
        })
    }

    /// Looks what has become of an account's files without our doing. Whether
    /// it did: not if that was a moment ago.
    fn look_again(&self, name: &str) -> io::Result<bool> {
        let begun = Instant::now();
        let mut recounts = self.recounts.lock().unwrap_or_else(PoisonError::into_inner);
        recounts.retain(|_, after| *after > begun);
        if recounts.contains_key(name) {
            return Ok(false);
        }
        let changes = self.changes(name)?;
        // Nothing begins to change places before this is done.
        let appearing = self.appearing();
        let changes = changes
            .iter()
            .filter(|change| !is_among(&appearing, &change.path));
        self.accounts.0.store.write(|db| {
            for Change { path, was, is } in changes {
                // Only what is still as it was when it was looked at.
                match is {
                    Some(is) => db.execute(
                        "UPDATE owned SET bytes = ? WHERE path = ? AND account = ? AND bytes = ?",
                        params![is, path, name, was],
                    ),
                    None => db.execute(
                        "DELETE FROM owned WHERE path = ? AND account = ? AND bytes = ?",
                        params![path, name, was],
                    ),
                }?;
            }
            Ok(())
        })?;
        drop(appearing);
        let dear = begun.elapsed().saturating_sub(CHEAP);
        let pause = dear.saturating_mul(RECOUNT).min(Duration::from_secs(600));
        recounts.insert(name.to_owned(), Instant::now() + pause);
        Ok(true)
    }

    /// The files of an account that aren't what the books say.
    fn changes(&self, name: &str) -> io::Result<Vec<Change>> {
        let view = self.share.view(Access::Read);
        let owned: Vec<(Vec<u8>, i64)> = self.accounts.0.store.read(|db| {
            db.prepare_cached("SELECT path, bytes FROM owned WHERE account = ?")?
                .query_map([name], |row| Ok((row.get(0)?, row.get(1)?)))?
                .collect()
        })?;
        // Between the two looks: what is booked by now and no longer about to
        // appear, has appeared.
        let appearing = self.appearing().clone();
        let mut changes = Vec::new();
        for (path, was) in owned {
            if is_among(&appearing, &path) {
                continue;
            }
            let found = RelPath::root()
                .resolve(&path)
                .map_err(|_| io::ErrorKind::NotFound.into())
                .and_then(|path| view.metadata(&path));
            let is = match found {
                Ok(meta) if !meta.is_folder() => Some(size(meta.size)),
                Ok(_) => None,
                Err(error) if error.kind() == io::ErrorKind::NotFound => None,
                // What can't be looked at now is taken to be as it was.
                Err(_) => Some(was),
            };
            if is != Some(was) {
                changes.push(Change { path, was, is });
            }
        }
        Ok(changes)
    }

    fn appearing(&self) -> MutexGuard<'_, Vec<RelPath>> {
        self.appearing
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn store(&self, visitor: &Visitor, path: &RelPath, bytes: u64) -> io::Result<Option<Owned>> {
        let Some(name) = visitor.account.as_deref() else {
            // What a visitor without an account leaves here is nobody's.
            return self.accounts.0.store.with(|db| {
                db.prepare_cached("DELETE FROM owned WHERE path = ? RETURNING account, bytes")?
                    .query_map([path.as_bytes()], owned_row)?
                    .last()
                    .transpose()
            });
        };
        if let Some(before) = self.try_to_store(name, path, bytes)? {
            return Ok(before);
        }
        if self.look_again(name)?
            && let Some(before) = self.try_to_store(name, path, bytes)?
        {
            return Ok(before);
        }
        Err(io::ErrorKind::QuotaExceeded.into())
    }

    fn left(&self, name: &str) -> io::Result<Option<u64>> {
        let Some(quota) = self.accounts.quota(name)? else {
            return Ok(None);
        };
        Ok(Some(quota.saturating_sub(self.accounts.usage(name)?)))
    }
}

/// What is wrong with the database, not taken for what the disk of the share
/// says: nobody else has changed the file that is to be written, and it is not
/// on a disk that can only be read.
fn apart(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::QuotaExceeded | io::ErrorKind::StorageFull => error,
        io::ErrorKind::ResourceBusy => io::Error::new(io::ErrorKind::WouldBlock, error),
        _ => io::Error::other(error),
    }
}

impl Ledger for Books {
    fn room(&self, account: &str) -> io::Result<Option<u64>> {
        self.left(account).map_err(apart)
    }

    fn recount(&self, account: &str) -> io::Result<bool> {
        self.look_again(account).map_err(apart)
    }

    fn stored(&self, visitor: &Visitor, path: &RelPath, bytes: u64) -> io::Result<Option<Owned>> {
        self.store(visitor, path, bytes).map_err(apart)
    }

    fn undo(&self, visitor: &Visitor, path: &RelPath, before: Option<Owned>) -> io::Result<()> {
        self.accounts.0.store.write(|db| {
            let now = owned(db, path)?.map(|now| now.account);
            if now.as_deref() != visitor.account.as_deref() {
                return Ok(());
            }
            match before {
                Some(before) => own(db, path, &before.account, before.bytes),
                None => disown(db, path),
            }
        })
    }

    fn appearing(&self, path: &RelPath) {
        Self::appearing(self).push(path.clone());
    }

    fn appeared(&self, path: &RelPath) {
        let mut appearing = Self::appearing(self);
        if let Some(at) = appearing.iter().position(|new| new == path) {
            appearing.swap_remove(at);
        }
    }

    fn moved(&self, from: &RelPath, to: &RelPath) -> io::Result<()> {
        if from == to || from.is_root() || to.is_root() {
            return Ok(());
        }
        let (low, high) = below(from);
        self.accounts.0.store.write(|db| {
            disown(db, to)?;
            // The operator `||` makes text of bytes, without changing any.
            db.prepare_cached("UPDATE owned SET path = ? WHERE path = ?")?
                .execute([to.as_bytes(), from.as_bytes()])?;
            db.prepare_cached(
                "UPDATE owned SET path = CAST(? || substr(path, ?) AS BLOB)
                 WHERE path > ? AND path < ?",
            )?
            .execute(params![
                to.as_bytes(),
                size(from.as_bytes().len() as u64 + 1),
                low,
                high
            ])?;
            Ok(())
        })
    }

    fn removed(&self, path: &RelPath) -> io::Result<()> {
        self.accounts.0.store.write(|db| disown(db, path))
    }

    fn audit(&self, visitor: &Visitor, act: Act, path: &RelPath, detail: &str) {
        let now = self.accounts.now();
        let (act, path) = (act.as_str(), path.to_string());
        let noted = self
            .accounts
            .0
            .store
            .with(|db| note(db, now, visitor, act, &path, detail));
        if let Err(error) = noted {
            tracing::error!(%error, "cannot write the audit log");
        }
        tell(visitor, act, &path, detail);
    }
}
