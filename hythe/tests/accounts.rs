//! Accounts: who is let in, who is not, and what is kept of it; as a library,
//! over FTP, and from the command line.

#[path = "accounts/database.rs"]
mod database;
#[path = "accounts/locked.rs"]
mod locked;
#[path = "accounts/quota.rs"]
mod quota;
#[path = "accounts/served.rs"]
mod served;
#[path = "accounts/sessions.rs"]
mod sessions;
#[path = "accounts/sign.rs"]
mod sign;
#[path = "accounts/user.rs"]
mod user;

mod common;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use hythe::accounts::{Account, Accounts, Denied};
use hythe::share::{Access, RelPath, Visitor};
use hythe_net::Addr;
use tempfile::TempDir;

/// Bytes that passwords may hold, and that something on the way could trip on.
const HARD: [&[u8]; 7] = [
    b"a:b:write",
    b"@file",
    b"$1$ $x",
    b" spaces ",
    "密码中文".as_bytes(),
    b"\xff\xfe\x01",
    b"\"'\\%s\t",
];

/// A clock that stands still until it is told otherwise.
#[derive(Clone)]
struct Hand(Arc<AtomicU64>);

impl Hand {
    fn new() -> Self {
        Self(Arc::new(AtomicU64::new(1_800_000_000_000)))
    }

    fn turn(&self, by: Duration) {
        let millis = u64::try_from(by.as_millis()).unwrap();
        self.0.fetch_add(millis, Ordering::SeqCst);
    }

    fn now(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_millis(self.0.load(Ordering::SeqCst))
    }
}

/// Accounts in a folder of their own, with a clock of their own.
struct Town {
    folder: TempDir,
    clock: Hand,
    accounts: Accounts,
}

impl Town {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = Hand::new();
        let accounts = open(&folder.path().join("accounts.db"), &clock);
        Self {
            folder,
            clock,
            accounts,
        }
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("accounts.db")
    }

    /// The same accounts once more, as another process has them.
    fn again(&self) -> Accounts {
        open(&self.file(), &self.clock)
    }

    fn add(&self, name: &str, password: &[u8], role: Access) -> Account {
        let (home, by) = (RelPath::root(), &Visitor::LOCAL);
        self.accounts
            .add(name.as_bytes(), password, role, home, None, by)
            .unwrap()
    }
}

fn open(file: &std::path::Path, clock: &Hand) -> Accounts {
    let clock = clock.clone();
    Accounts::with_clock(file, move || clock.now()).unwrap()
}

/// The address of a visitor.
fn from(host: &str) -> Addr {
    format!("{host}:1234").parse().unwrap()
}

fn sign_in(
    accounts: &Accounts,
    name: &str,
    password: &[u8],
    host: &str,
) -> Result<Account, Denied> {
    accounts.sign_in(name.as_bytes(), password, &from(host), "test")
}

fn is_wrong<T>(result: &Result<T, Denied>) -> bool {
    matches!(result, Err(Denied::Wrong))
}

/// How long to wait, if it has to be.
fn banned<T>(result: &Result<T, Denied>) -> Option<Duration> {
    match result {
        Err(Denied::Throttled(left)) => Some(*left),
        _ => None,
    }
}
