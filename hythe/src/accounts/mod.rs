//! Who may come in: accounts, their passwords, and what each of them may do.
//!
//! Everything is in one SQLite database: a file of the operator's, or one that
//! lives as long as the program. Functions here block on it; callers run them
//! on a thread pool.
//!
//! Not here: what a session looks like in a protocol, and what a visitor may do
//! with files, which is the business of [`View`](crate::share::View).

mod gate;

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use hythe_net::Addr;

use crate::share::{Access, RelPath};

pub use gate::Gate;

/// Accounts. Clones are the same accounts.
#[derive(Clone, Debug)]
pub struct Accounts {
    _later: Arc<()>,
}

/// An account as it was when it was looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// What its owner types, and what others see.
    pub name: Arc<str>,
    /// What it may do.
    pub role: Access,
    /// The folder that is the root of all it sees.
    pub home: RelPath,
    /// How many bytes it may store.
    pub quota: Option<u64>,
    /// When it was made, in seconds since 1970.
    pub created: i64,
    /// When it was last signed in, in seconds since 1970.
    pub seen: Option<i64>,
    /// For this run of the program only, from `--user`.
    pub temporary: bool,
}

/// Why nobody is let in.
#[derive(Debug)]
pub enum Denied {
    /// Unknown name or wrong password: which, nobody is told.
    Wrong,
    /// Too many failures, of this address or for this account; the next try may
    /// be made after this long.
    Throttled(Duration),
    /// So many sign in at this moment that this one has to come again.
    Busy,
    /// The database can't be used.
    Broken(io::Error),
}

/// Why an account can't be made or changed.
#[derive(Debug)]
pub enum Refused {
    /// There is one of this name.
    Taken,
    /// There is none of this name.
    Unknown,
    /// The name, the password or the home is none; why, in a sentence.
    Unfit(&'static str),
    /// Registration is off, or not for this role.
    Closed,
    /// The old password is wrong, or too many tries were.
    Denied(Denied),
    /// The database can't be used.
    Broken(io::Error),
}

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

fn later<T>() -> io::Result<T> {
    Err(io::ErrorKind::Unsupported.into())
}

impl Accounts {
    /// Opens a database of accounts, and makes it where there is none.
    ///
    /// # Errors
    /// A message that names the file.
    pub fn open(_file: &Path) -> io::Result<Self> {
        later()
    }

    /// Accounts for this run of the program.
    ///
    /// # Errors
    /// Where there is no place for temporary files.
    pub fn temporary() -> io::Result<Self> {
        later()
    }

    /// Adds an account for this run of the program, in place of one in the
    /// database that has the same name.
    ///
    /// # Errors
    /// [`Refused::Unfit`].
    pub fn add_temporary(
        &self,
        _name: &[u8],
        _password: &[u8],
        _role: Access,
    ) -> Result<(), Refused> {
        Err(Refused::Closed)
    }

    /// Who this is, by name and password. Takes the same time for names that
    /// are unknown.
    ///
    /// # Errors
    /// [`Denied`].
    pub fn sign_in(
        &self,
        _name: &[u8],
        _password: &[u8],
        _from: &Addr,
        _protocol: &'static str,
    ) -> Result<Account, Denied> {
        Err(Denied::Wrong)
    }

    /// Makes an account for a visitor.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn register(
        &self,
        _name: &[u8],
        _password: &[u8],
        _role: Access,
        _from: &Addr,
        _protocol: &'static str,
    ) -> Result<Account, Refused> {
        Err(Refused::Closed)
    }

    /// Changes the password of an account by its owner, which ends all its
    /// sessions.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn change_password(
        &self,
        _name: &str,
        _old: &[u8],
        _new: &[u8],
        _from: &Addr,
        _protocol: &'static str,
    ) -> Result<(), Refused> {
        Err(Refused::Closed)
    }

    /// Begins a session.
    ///
    /// # Errors
    /// The database's.
    pub fn start_session(&self, _account: &Account) -> io::Result<Token> {
        later()
    }

    /// Whose session this is; `None` if it has ended.
    ///
    /// # Errors
    /// The database's.
    pub fn session(&self, _token: &str) -> io::Result<Option<Account>> {
        later()
    }

    /// Ends a session.
    ///
    /// # Errors
    /// The database's.
    pub fn end_session(&self, _token: &str) -> io::Result<()> {
        later()
    }

    /// Ends all sessions of an account.
    ///
    /// # Errors
    /// The database's.
    pub fn end_sessions(&self, _name: &str) -> io::Result<()> {
        later()
    }
}
