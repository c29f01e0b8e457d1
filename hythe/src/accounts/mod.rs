//! Who may come in: accounts, their passwords, and what each of them may do.
//!
//! Everything is in one SQLite database: a file of the operator's, or one that
//! lives as long as the program. Functions here block on it; callers run them
//! on a thread pool.
//!
//! Not here: what a session looks like in a protocol, and what a visitor may do
//! with files, which is the business of [`View`](crate::share::View).

mod gate;
mod ledger;
mod links;
mod name;
mod password;
mod people;
mod sessions;
mod sign;
mod store;
mod throttle;

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::{Arc, RwLock};
use std::time::{Duration, SystemTime};

use crate::share::{Access, RelPath};
use password::{Passwords, Proofs, Waiting};
use people::Found;
use store::Store;

pub use gate::Gate;
pub use ledger::{AUDIT_LINES, AuditLine, Books};
pub use links::{Given, Link, LinkTerms};
pub use name::{NAME_LIMIT, PASSWORD_LEAST, PASSWORD_LIMIT};
pub use people::Standing;
pub use sessions::{SESSION_IDLE, Token};
pub use throttle::{FAILURES, REGISTRATION_WINDOW, REGISTRATIONS, WINDOW};

/// Accounts. Clones are the same accounts.
#[derive(Clone)]
pub struct Accounts(Arc<Inner>);

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

impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Wrong => f.write_str("the name or the password is wrong"),
            Self::Throttled(left) => {
                let seconds = left.as_millis().div_ceil(1000);
                write!(f, "too many failures; try again in {seconds} seconds")
            }
            Self::Busy => f.write_str("too many sign in at this moment; try again shortly"),
            Self::Broken(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Denied {}

impl From<io::Error> for Denied {
    fn from(error: io::Error) -> Self {
        Self::Broken(error)
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Taken => f.write_str("there is an account of this name already"),
            Self::Unknown => f.write_str("there is no account of this name"),
            Self::Unfit(why) => f.write_str(why),
            Self::Closed => f.write_str("visitors cannot make accounts here"),
            Self::Denied(denied) => denied.fmt(f),
            Self::Broken(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Refused {}

impl From<Denied> for Refused {
    fn from(denied: Denied) -> Self {
        match denied {
            Denied::Broken(error) => Self::Broken(error),
            denied => Self::Denied(denied),
        }
    }
}

impl From<io::Error> for Refused {
    fn from(error: io::Error) -> Self {
        Self::Broken(error)
    }
}

/// What time it is.
type Clock = Box<dyn Fn() -> SystemTime + Send + Sync>;

struct Inner {
    store: Store,
    /// From `--user`.
    temporary: RwLock<Vec<Found>>,
    passwords: Passwords,
    proofs: Proofs,
    waiting: Waiting,
    /// Tells this run of the program from others.
    run: [u8; 16],
    clock: Clock,
}

impl fmt::Debug for Accounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.0.store.path();
        f.debug_tuple("Accounts").field(&path).finish()
    }
}

impl Accounts {
    /// Opens a database of accounts, and makes it where there is none.
    ///
    /// # Errors
    /// A message that names the file.
    pub fn open(file: &Path) -> io::Result<Self> {
        Self::with_clock(file, SystemTime::now)
    }

    /// The same with another clock than the system's.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn with_clock(
        file: &Path,
        clock: impl Fn() -> SystemTime + Send + Sync + 'static,
    ) -> io::Result<Self> {
        Self::new(Store::open(file)?, Box::new(clock))
    }

    /// Accounts for this run of the program, in a file for temporary ones that
    /// the process removes which made it.
    ///
    /// # Errors
    /// Where there is no place for temporary files.
    pub fn temporary() -> io::Result<Self> {
        Self::new(Store::temporary()?, Box::new(SystemTime::now))
    }

    fn new(store: Store, clock: Clock) -> io::Result<Self> {
        Ok(Self(Arc::new(Inner {
            store,
            temporary: RwLock::default(),
            passwords: Passwords::new()?,
            proofs: Proofs::new()?,
            waiting: Waiting::default(),
            run: random()?,
            clock,
        })))
    }

    /// To be called by a process that will fork while it has no other threads:
    /// from now on it keeps no connection to the database open. Its children
    /// each have their own.
    pub fn before_forks(&self) {
        self.0.store.keep_none_here();
    }

    /// Removes the file of [`temporary`](Self::temporary) accounts before the
    /// last clone is gone. What still uses them then fails.
    pub fn remove_temporary(&self) {
        self.0.store.remove_temporary();
    }

    /// How many password hashes this process has made: the measure of what
    /// signing in has cost.
    pub fn hashes(&self) -> u64 {
        self.0.passwords.runs()
    }

    /// Milliseconds since 1970.
    fn now_millis(&self) -> i64 {
        let since = (self.0.clock)().duration_since(SystemTime::UNIX_EPOCH);
        i64::try_from(since.unwrap_or_default().as_millis()).unwrap_or(i64::MAX)
    }

    /// Seconds since 1970.
    fn now(&self) -> i64 {
        self.now_millis() / 1000
    }
}

/// Bytes that nobody can guess.
fn random<const COUNT: usize>() -> io::Result<[u8; COUNT]> {
    let mut bytes = [0; COUNT];
    getrandom::fill(&mut bytes).map_err(io::Error::other)?;
    Ok(bytes)
}
