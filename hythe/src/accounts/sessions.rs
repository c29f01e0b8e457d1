//! Sessions: who has signed in in a browser, until they sign out or stay away.

use std::fmt;
use std::io;

use base64ct::{Base64UrlUnpadded, Encoding as _};
use rusqlite::{OptionalExtension as _, params};
use sha2::{Digest as _, Sha256};

use super::{Account, Accounts, random};

/// How long a session lasts that is not used.
pub const SESSION_IDLE: i64 = 30 * 24 * 60 * 60;

/// How often it is written down that one is, at most.
const REFRESH: i64 = 60 * 60;

/// How many sessions an account may have; the one that was used longest ago
/// ends where there would be more.
const SESSIONS: i64 = 100;

/// A secret that stands for a signed-in account: 32 random bytes as text. The
/// database knows only its hash. Not shown by `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// The text, for a cookie.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

fn hash(token: &str) -> [u8; 32] {
    Sha256::digest(token).into()
}

impl Accounts {
    /// Begins a session.
    ///
    /// # Errors
    /// The database's.
    pub fn start_session(&self, account: &Account) -> io::Result<Token> {
        let token = Token(Base64UrlUnpadded::encode_string(&random::<32>()?));
        let run = account.temporary.then_some(self.0.run);
        let now = self.now();
        self.0.store.write(|db| {
            db.prepare_cached("DELETE FROM sessions WHERE used <= ?")?
                .execute([now - SESSION_IDLE])?;
            db.prepare_cached(
                "DELETE FROM sessions WHERE token IN (
                     SELECT token FROM sessions WHERE account = ?
                     ORDER BY used DESC LIMIT -1 OFFSET ?)",
            )?
            .execute(params![&*account.name, SESSIONS - 1])?;
            db.prepare_cached("INSERT INTO sessions VALUES (?, ?, ?, ?)")?
                .execute(params![hash(&token.0), &*account.name, run, now])
        })?;
        Ok(token)
    }

    /// Whose session this is; `None` if it has ended.
    ///
    /// # Errors
    /// The database's.
    pub fn session(&self, token: &str) -> io::Result<Option<Account>> {
        let hash = hash(token);
        let now = self.now();
        let row = self.0.store.read(|db| {
            db.prepare_cached(
                "SELECT account, run, used FROM sessions WHERE token = ? AND used > ?",
            )?
            .query_row(params![hash, now - SESSION_IDLE], |row| {
                let run: Option<[u8; 16]> = row.get(1)?;
                Ok((row.get::<_, String>(0)?, run, row.get::<_, i64>(2)?))
            })
            .optional()
        })?;
        let Some((name, run, used)) = row else {
            return Ok(None);
        };
        // An account for one run, and one in the database, may have the same
        // name without being the same.
        let ours = run.is_none_or(|run| run == self.0.run);
        let found = self.find(&name)?;
        let found = found.filter(|found| ours && found.account.temporary == run.is_some());
        let Some(mut found) = found else {
            return Ok(None);
        };
        if now - used >= REFRESH {
            // That it can't be written down now is no reason to end it, or to
            // wait.
            self.0.store.write_in_passing(|db| {
                db.prepare_cached("UPDATE sessions SET used = ? WHERE token = ?")?
                    .execute(params![now, hash])
            });
        }
        self.touch(&mut found.account);
        Ok(Some(found.account))
    }

    /// Ends a session.
    ///
    /// # Errors
    /// The database's.
    pub fn end_session(&self, token: &str) -> io::Result<()> {
        self.0.store.with(|db| {
            db.prepare_cached("DELETE FROM sessions WHERE token = ?")?
                .execute([hash(token)])
        })?;
        Ok(())
    }

    /// Ends all sessions of an account.
    ///
    /// # Errors
    /// The database's.
    pub fn end_sessions(&self, name: &str) -> io::Result<()> {
        self.0.store.with(|db| {
            db.prepare_cached("DELETE FROM sessions WHERE account = ?")?
                .execute([name])
        })?;
        Ok(())
    }
}
