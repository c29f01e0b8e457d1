//! Share links: a file or folder for whoever has the link, and nothing besides.
//!
//! A link is 128 bits and more of randomness in a URL; the database knows only
//! its hash, so that nobody who reads the database can follow it. What it gives
//! is what its maker sees at that path, at the time it is followed: a link dies
//! with its maker's account, with the maker's right to read, and with the path.
//!
//! A link can be for so many downloads. Each GET that begins a file counts; the
//! rest of the same file, for the same address, does not, so that a download
//! that broke off can be continued even if it was the last one.

use std::collections::HashMap;
use std::io;
use std::thread;
use std::time::{Duration, Instant};

use base64ct::{Base64UrlUnpadded, Encoding as _};
use hythe_net::Addr;
use rusqlite::{Connection, OptionalExtension as _, Row, params};
use sha2::{Digest as _, Sha256};

use super::ledger::{note, tell};
use super::name::{PASSWORD_LIMIT, check_password};
use super::password::WAIT;
use super::throttle::{self, Begun};
use super::{Account, Accounts, Denied, Gate, Refused, random};
use crate::share::{Access, Kind, RelPath, View, Visitor};

/// How long a download may be continued after its last request.
const CONTINUED: Duration = Duration::from_secs(60 * 60);

/// The most links of one account: more than anyone keeps in mind, and few
/// enough that an account can't fill the disk with them.
const LINKS: i64 = 1000;

/// How soon those look again whose turn depends on others.
const GLANCE: Duration = Duration::from_millis(10);

/// The tables of links. `made_by` is when the maker's account was made: another
/// account that has its name later is not the maker.
pub(super) const SCHEMA: &str = "
CREATE TABLE links (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    token_hash BLOB NOT NULL UNIQUE,
    account TEXT NOT NULL,
    made_by INTEGER NOT NULL,
    path BLOB NOT NULL,
    is_folder INTEGER NOT NULL,
    created INTEGER NOT NULL,
    expires INTEGER,
    password_hash TEXT,
    downloads INTEGER,
    remaining INTEGER
) STRICT;
CREATE INDEX links_by_account ON links (account);
CREATE TABLE downloads (
    link INTEGER NOT NULL,
    address TEXT NOT NULL,
    path BLOB NOT NULL,
    until INTEGER NOT NULL,
    PRIMARY KEY (link, address, path)
) STRICT, WITHOUT ROWID;
";

const COLUMNS: &str = "id, account, made_by, path, is_folder, created, expires, password_hash, \
                       downloads, remaining";

/// A share link, as it was when it was looked up. Times are in seconds since
/// 1970.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Its number, by which it is removed.
    pub id: i64,
    /// Who made it.
    pub account: String,
    /// What it gives: a path of the whole share.
    pub path: RelPath,
    /// Whether that is a folder.
    pub is_folder: bool,
    /// When it was made.
    pub created: i64,
    /// When it ends.
    pub expires: Option<i64>,
    /// How many downloads it is for.
    pub downloads: Option<u64>,
    /// How many of them are left.
    pub left: Option<u64>,
    made_by: i64,
    password_hash: Option<Hash>,
}

/// The hash of a password. Not shown by `Debug`.
#[derive(Clone, PartialEq, Eq)]
struct Hash(String);

impl std::fmt::Debug for Hash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hash(…)")
    }
}

/// How a new link is meant.
#[derive(Clone, Copy, Debug, Default)]
pub struct LinkTerms<'a> {
    /// How long it lasts; for ever if `None`.
    pub lasting: Option<Duration>,
    /// The password that has to be known besides.
    pub password: Option<&'a [u8]>,
    /// How many downloads it is for; any number if `None`.
    pub downloads: Option<u64>,
}

/// What a link gives, while it does.
#[derive(Debug)]
pub enum Given {
    /// One file: in this view, at this path.
    File(View, RelPath),
    /// A folder: the root of this view.
    Folder(View),
}

impl Link {
    /// Whether a password has to be known besides.
    pub fn has_password(&self) -> bool {
        self.password_hash.is_some()
    }

    /// What proves, in a cookie, that the password of this link was known:
    /// nobody who doesn't know the database can make it up, and it ends with
    /// the password. `token` is the link's.
    pub fn pass(&self, token: &str) -> String {
        let hash = self.password_hash.as_ref().map_or("", |hash| &hash.0);
        let digest = Sha256::new()
            .chain_update("hythe link pass\0")
            .chain_update(token)
            .chain_update("\0")
            .chain_update(hash)
            .finalize();
        Base64UrlUnpadded::encode_string(&digest)
    }

    /// What the audit log says of one that is made: never the secret.
    fn detail(&self, id: i64) -> String {
        let mut detail = format!("link {id}");
        if let Some(expires) = self.expires {
            detail.push_str(&format!(", for {} s", expires.saturating_sub(self.created)));
        }
        if let Some(downloads) = self.downloads {
            detail.push_str(&format!(", {downloads} downloads"));
        }
        if self.has_password() {
            detail.push_str(", with a password");
        }
        detail
    }

    fn of(row: &Row<'_>) -> rusqlite::Result<Self> {
        let path: Vec<u8> = row.get("path")?;
        let count = |name| -> rusqlite::Result<Option<u64>> {
            let value: Option<i64> = row.get(name)?;
            Ok(value.map(|value| value.max(0).unsigned_abs()))
        };
        Ok(Self {
            id: row.get("id")?,
            account: row.get("account")?,
            // It was a path when it was put there.
            path: RelPath::root().resolve(&path).unwrap_or_default(),
            is_folder: row.get("is_folder")?,
            created: row.get("created")?,
            expires: row.get("expires")?,
            downloads: count("downloads")?,
            left: count("remaining")?,
            made_by: row.get("made_by")?,
            password_hash: row.get::<_, Option<String>>("password_hash")?.map(Hash),
        })
    }
}

impl Accounts {
    /// Makes a link to a path of the whole share, for an account that may read
    /// it. The link, and the secret that stands for it in its address. `by` is who
    /// the audit log says has made it.
    ///
    /// # Errors
    /// [`Refused::Unfit`] where the account has too many links, or the password
    /// is none; the database's.
    pub fn make_link(
        &self,
        account: &Account,
        path: RelPath,
        is_folder: bool,
        terms: LinkTerms<'_>,
        by: &Visitor,
    ) -> Result<(Link, String), Refused> {
        let hash = |password| {
            check_password(password).map_err(Refused::Unfit)?;
            Ok::<_, Refused>(Hash(self.hash(password)?))
        };
        // As many as like may ask for a hash at one time, but not wait for it.
        let _waiting = match terms.password {
            Some(_) => Some(self.0.waiting.enter().ok_or(Denied::Busy)?),
            None => None,
        };
        let now = self.now();
        let lasting = |time: Duration| i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
        let mut link = Link {
            id: 0,
            account: account.name.to_string(),
            path,
            is_folder,
            created: now,
            expires: terms.lasting.map(|time| now.saturating_add(lasting(time))),
            downloads: terms.downloads,
            left: terms.downloads,
            made_by: account.created,
            password_hash: terms.password.map(hash).transpose()?,
        };
        let token = Base64UrlUnpadded::encode_string(&random::<24>()?);
        let at = link.path.to_string();
        let id = self.0.store.write(|db| {
            sweep(db, now)?;
            let id = insert(db, &link, &token)?;
            if let Some(id) = id {
                note(db, now, by, "link made", &at, &link.detail(id))?;
            }
            Ok(id)
        })?;
        link.id = id.ok_or(Refused::Unfit(
            "an account has at most 1,000 links; remove some",
        ))?;
        tell(by, "link made", &at, &link.detail(link.id));
        Ok((link, token))
    }

    /// The links of an account, or of all, the latest first; only those that
    /// still lead somewhere.
    ///
    /// # Errors
    /// The database's.
    pub fn links(&self, account: Option<&str>) -> io::Result<Vec<Link>> {
        let now = self.now();
        let links = self.0.store.read(|db| list(db, account, now))?;
        let mut makers = HashMap::new();
        let mut living = Vec::with_capacity(links.len());
        for link in links {
            let maker = match makers.get(&link.account) {
                Some(maker) => *maker,
                None => {
                    let maker = self.account(&link.account)?.map(|maker| maker.created);
                    makers.insert(link.account.clone(), maker);
                    maker
                }
            };
            if maker == Some(link.made_by) {
                living.push(link);
            }
        }
        Ok(living)
    }

    /// Removes a link, of this account if one is named. Whether there was one.
    /// `by` is who the audit log says has removed it.
    ///
    /// # Errors
    /// The database's.
    pub fn remove_link(&self, id: i64, account: Option<&str>, by: &Visitor) -> io::Result<bool> {
        let now = self.now();
        let removed = self.0.store.write(|db| {
            let Some(link) = remove(db, id, account)? else {
                return Ok(None);
            };
            let (at, detail) = (
                link.path.to_string(),
                format!("link {id} of {}", link.account),
            );
            note(db, now, by, "link removed", &at, &detail)?;
            Ok(Some((at, detail)))
        })?;
        if let Some((at, detail)) = &removed {
            tell(by, "link removed", at, detail);
        }
        Ok(removed.is_some())
    }

    /// The link that this secret stands for, unless it has ended.
    ///
    /// # Errors
    /// The database's.
    pub fn link(&self, token: &str) -> io::Result<Option<Link>> {
        let now = self.now();
        self.0.store.read(|db| find(db, token, now))
    }

    /// Whether this is the password of the link; wrong ones count as those of
    /// accounts do, for the link and for the address.
    ///
    /// # Errors
    /// [`Denied`].
    pub fn unlock_link(&self, link: &Link, password: &[u8], from: &Addr) -> Result<(), Denied> {
        let Some(Hash(hash)) = &link.password_hash else {
            return Ok(());
        };
        let proof = format!("link\0{}", link.id);
        let proven = self.0.proofs.of(proof.as_bytes(), password);
        if proven.is_some_and(|proven| *proven == **hash) {
            return Ok(());
        }
        let limits = throttle::link(link.id, from);
        let _waiting = self.0.waiting.enter().ok_or(Denied::Busy)?;
        let until = Instant::now() + WAIT;
        let ticket = loop {
            let now = self.now_millis();
            match self.0.store.write(|db| throttle::begin(db, &limits, now))? {
                Begun::Go(ticket) => break ticket,
                Begun::Banned(left) => return Err(Denied::Throttled(left)),
                Begun::Wait if Instant::now() >= until => return Err(Denied::Busy),
                Begun::Wait => thread::sleep(GLANCE),
            }
        };
        let possible = &password[..password.len().min(PASSWORD_LIMIT)];
        let right = match self.0.passwords.slot(until) {
            Some(slot) => slot
                .verify(possible, hash)
                .map(|right| right && possible.len() == password.len())
                .map_err(Denied::Broken),
            None => Err(Denied::Busy),
        };
        let now = self.now_millis();
        if let Ok(false) = right {
            let store = &self.0.store;
            store.write(|db| throttle::failed(db, &limits, &ticket, now))?;
            return Err(Denied::Wrong);
        }
        self.0.store.write(|db| throttle::forget(db, &ticket))?;
        right?;
        self.0.proofs.add(proof.as_bytes(), password, hash);
        Ok(())
    }

    /// Counts a download of this file that begins; false if none is left. Of
    /// those who ask at one time, only as many get one as there are.
    ///
    /// # Errors
    /// The database's.
    pub fn take_download(&self, link: &Link, file: &RelPath, from: &Addr) -> io::Result<bool> {
        if link.downloads.is_none() {
            return Ok(true);
        }
        let now = self.now();
        let store = &self.0.store;
        store.write(|db| take(db, link.id, file.as_bytes(), &caller(from), now))
    }

    /// Whether a download of this file that began at this address may go on.
    ///
    /// # Errors
    /// The database's.
    pub fn continue_download(&self, link: &Link, file: &RelPath, from: &Addr) -> io::Result<bool> {
        let now = self.now();
        let store = &self.0.store;
        store.write(|db| goes_on(db, link.id, file.as_bytes(), &caller(from), now))
    }
}

impl Gate {
    /// What a link gives, read-only: as much as its maker sees of it now.
    ///
    /// # Errors
    /// `NotFound` once the maker is gone, may no longer read, or sees nothing
    /// of the kind there; the database's, and the disk's.
    pub fn given(&self, link: &Link, address: &Addr) -> io::Result<Given> {
        let nothing = || io::Error::from(io::ErrorKind::NotFound);
        let accounts = self.accounts().ok_or_else(nothing)?;
        let maker = accounts.account(&link.account)?.ok_or_else(nothing)?;
        if maker.created != link.made_by || maker.role < Access::Read {
            return Err(nothing());
        }
        let path = link.path.below(&maker.home).ok_or_else(nothing)?;
        let view = self.view(&maker, "http", address)?;
        let is_folder = view.metadata(&path)?.kind == Kind::Folder;
        if is_folder != link.is_folder {
            return Err(nothing());
        }
        // Whoever follows a link is nobody, and sees what is in it and nothing
        // beside it: no symbolic link leads out of a share.
        let visitor = Visitor {
            account: None,
            protocol: "http",
            address: Some(address.clone()),
        };
        let share = view.share();
        Ok(if is_folder {
            Given::Folder(share.below(&path)?.view_of(Access::Read, visitor))
        } else {
            Given::File(share.view_of(Access::Read, visitor), path)
        })
    }
}

fn token_hash(token: &str) -> [u8; 32] {
    Sha256::digest(token).into()
}

fn insert(db: &Connection, link: &Link, token: &str) -> rusqlite::Result<Option<i64>> {
    let signed = |count: Option<u64>| count.map(|count| i64::try_from(count).unwrap_or(i64::MAX));
    let made = db.execute(
        "INSERT INTO links (token_hash, account, made_by, path, is_folder, created, expires,
                            password_hash, downloads, remaining)
         SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?9
         WHERE (SELECT count(*) FROM links WHERE account = ?2 AND made_by = ?3) < ?10",
        params![
            token_hash(token),
            link.account,
            link.made_by,
            link.path.as_bytes(),
            link.is_folder,
            link.created,
            link.expires,
            link.password_hash.as_ref().map(|hash| &hash.0),
            signed(link.downloads),
            LINKS,
        ],
    )?;
    Ok((made > 0).then(|| db.last_insert_rowid()))
}

fn find(db: &Connection, token: &str, now: i64) -> rusqlite::Result<Option<Link>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM links
         WHERE token_hash = ?1 AND (expires IS NULL OR expires > ?2)"
    );
    db.prepare_cached(&sql)?
        .query_row(params![token_hash(token), now], Link::of)
        .optional()
}

fn list(db: &Connection, account: Option<&str>, now: i64) -> rusqlite::Result<Vec<Link>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM links
         WHERE (?1 IS NULL OR account = ?1) AND (expires IS NULL OR expires > ?2)
         ORDER BY id DESC"
    );
    db.prepare_cached(&sql)?
        .query_map(params![account, now], Link::of)?
        .collect()
}

fn remove(db: &Connection, id: i64, account: Option<&str>) -> rusqlite::Result<Option<Link>> {
    let sql = format!("SELECT {COLUMNS} FROM links WHERE id = ?1 AND (?2 IS NULL OR account = ?2)");
    let link = db
        .query_row(&sql, params![id, account], Link::of)
        .optional()?;
    if link.is_some() {
        db.execute("DELETE FROM links WHERE id = ?1", [id])?;
        db.execute("DELETE FROM downloads WHERE link = ?1", [id])?;
    }
    Ok(link)
}

/// Forgets what has ended.
pub(super) fn sweep(db: &Connection, now: i64) -> rusqlite::Result<()> {
    db.execute("DELETE FROM links WHERE expires <= ?1", [now])?;
    db.execute(
        "DELETE FROM downloads WHERE until <= ?1 OR link NOT IN (SELECT id FROM links)",
        [now],
    )?;
    Ok(())
}

/// Ends the links of an account that is removed.
pub(super) fn remove_of(db: &Connection, account: &str) -> rusqlite::Result<()> {
    db.execute("DELETE FROM links WHERE account = ?1", [account])?;
    Ok(())
}

/// In a transaction.
fn take(
    db: &Connection,
    link: i64,
    file: &[u8],
    address: &str,
    now: i64,
) -> rusqlite::Result<bool> {
    let taken = db.execute(
        "UPDATE links SET remaining = remaining - 1
         WHERE id = ?1 AND remaining > 0 AND (expires IS NULL OR expires > ?2)",
        params![link, now],
    )?;
    if taken == 0 {
        return Ok(false);
    }
    db.execute(
        "INSERT OR REPLACE INTO downloads (link, address, path, until) VALUES (?1, ?2, ?3, ?4)",
        params![link, address, file, until(now)],
    )?;
    Ok(true)
}

fn goes_on(
    db: &Connection,
    link: i64,
    file: &[u8],
    address: &str,
    now: i64,
) -> rusqlite::Result<bool> {
    let known = db.execute(
        "UPDATE downloads SET until = ?5
         WHERE link = ?1 AND address = ?2 AND path = ?3 AND until > ?4",
        params![link, address, file, now, until(now)],
    )?;
    Ok(known > 0)
}

fn until(now: i64) -> i64 {
    now.saturating_add(CONTINUED.as_secs().cast_signed())
}

/// Who continues a download: an address without its port.
fn caller(from: &Addr) -> String {
    from.ip()
        .map_or_else(|| from.to_string(), |ip| ip.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn database() -> Connection {
        let db = Connection::open_in_memory().unwrap();
        db.execute_batch(SCHEMA).unwrap();
        db
    }

    fn link(downloads: Option<u64>, expires: Option<i64>) -> Link {
        Link {
            id: 0,
            account: "ann".to_owned(),
            path: RelPath::root().resolve(b"a/b").unwrap(),
            is_folder: false,
            created: 100,
            expires,
            downloads,
            left: downloads,
            made_by: 50,
            password_hash: None,
        }
    }

    #[test]
    fn a_link_is_found_by_its_token_until_it_ends() {
        let db = database();
        let made = link(None, Some(200));
        let id = insert(&db, &made, "token").unwrap().unwrap();
        assert_eq!(find(&db, "other", 150).unwrap(), None);
        let found = find(&db, "token", 199).unwrap().unwrap();
        assert_eq!(found, Link { id, ..made });
        assert_eq!(find(&db, "token", 200).unwrap(), None);
        sweep(&db, 200).unwrap();
        assert!(list(&db, None, 150).unwrap().is_empty());
    }

    #[test]
    fn a_link_belongs_to_its_maker() {
        let db = database();
        let id = insert(&db, &link(None, None), "token").unwrap().unwrap();
        assert!(list(&db, Some("bob"), 150).unwrap().is_empty());
        assert!(remove(&db, id, Some("bob")).unwrap().is_none());
        assert_eq!(list(&db, Some("ann"), 150).unwrap().len(), 1);
        assert!(remove(&db, id, Some("ann")).unwrap().is_some());
        assert!(remove(&db, id, None).unwrap().is_none());
    }

    #[test]
    fn downloads_run_out_and_can_be_continued() {
        let db = database();
        let id = insert(&db, &link(Some(2), None), "token").unwrap().unwrap();
        assert!(!goes_on(&db, id, b"f", "::1", 100).unwrap());
        assert!(take(&db, id, b"f", "::1", 100).unwrap());
        assert!(take(&db, id, b"g", "::1", 100).unwrap());
        assert!(!take(&db, id, b"f", "::1", 100).unwrap());
        assert_eq!(find(&db, "token", 100).unwrap().unwrap().left, Some(0));
        assert!(goes_on(&db, id, b"f", "::1", 100).unwrap());
        assert!(!goes_on(&db, id, b"h", "::1", 100).unwrap());
        assert!(!goes_on(&db, id, b"f", "::2", 100).unwrap());
        // Each request makes it last an hour more.
        assert!(goes_on(&db, id, b"f", "::1", 3699).unwrap());
        assert!(goes_on(&db, id, b"f", "::1", 7298).unwrap());
        assert!(!goes_on(&db, id, b"f", "::1", 7298 + 3600).unwrap());
        remove_of(&db, "ann").unwrap();
        sweep(&db, 101).unwrap();
        let rest: i64 = db
            .query_row("SELECT count(*) FROM downloads", [], |row| row.get(0))
            .unwrap();
        assert_eq!(rest, 0);
    }

    #[test]
    fn an_account_has_so_many_links_and_no_more() {
        let db = database();
        for number in 0..LINKS {
            let made = insert(&db, &link(None, None), &number.to_string());
            assert!(made.unwrap().is_some());
        }
        assert_eq!(insert(&db, &link(None, None), "more").unwrap(), None);
        let other = Link {
            account: "bob".to_owned(),
            ..link(None, None)
        };
        assert!(insert(&db, &other, "others").unwrap().is_some());
    }
}
