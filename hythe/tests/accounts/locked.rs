//! A database that another program holds while visitors come.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use base64ct::{Base64, Encoding as _};
use hythe::accounts::Accounts;
use hythe::share::{Access, RelPath, Visitor};
use rusqlite::Connection;

use super::common::{Served, http};

/// Much less than a writer waits, which is five seconds.
const SOON: Duration = Duration::from_secs(2);

#[test]
fn who_is_in_waits_for_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let (share, file) = (folder.path().join("share"), folder.path().join("db"));
    fs::create_dir(&share).unwrap();
    fs::write(share.join("a.txt"), "this is a").unwrap();
    let accounts = Accounts::open(&file).unwrap();
    let by = &Visitor::LOCAL;
    for name in ["bob", "ann"] {
        let (home, role) = (RelPath::root(), Access::Read);
        let added = accounts.add(name.as_bytes(), b"secret", role, home, None, by);
        added.unwrap();
    }
    let bob = accounts.account("bob").unwrap().unwrap();
    let token = accounts.start_session(&bob).unwrap();
    let arguments = ["--allow", "none", "--accounts", file.to_str().unwrap()];
    let served = Served::http(&share, &arguments);
    let address = served.address("http");
    let get = |field: &str| http::get(address, "/a.txt", &[field]).status;
    let basic = |name: &str| {
        let pair = Base64::encode_string(format!("{name}:secret").as_bytes());
        format!("Authorization: Basic {pair}")
    };
    let cookie = format!(
        "Cookie: hythe-session-{}={}",
        address.port(),
        token.as_str()
    );
    assert_eq!((get(&cookie), get(&basic("bob"))), (200, 200));

    // All that is written down in passing is due.
    let other = Connection::open(&file).unwrap();
    let due = "UPDATE accounts SET seen = 0; UPDATE sessions SET used = used - 7200;";
    other.execute_batch(due).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    thread::scope(|scope| {
        let stranger = scope.spawn(|| get(&basic("ann")));
        let begun = Instant::now();
        while !stranger.is_finished() {
            let asked = Instant::now();
            assert_eq!((get(&cookie), get(&basic("bob"))), (200, 200));
            assert!(asked.elapsed() < SOON, "{:?}", asked.elapsed());
        }
        assert!(begun.elapsed() > SOON, "who signs in did not wait");
        assert_eq!(stranger.join().unwrap(), 503);
    });
    other.execute_batch("ROLLBACK").unwrap();
    assert_eq!((get(&basic("ann")), get(&cookie)), (200, 200));
    let stale = "SELECT count(*) FROM accounts WHERE seen = 0";
    let stale: i64 = other.query_row(stale, [], |row| row.get(0)).unwrap();
    assert_eq!(stale, 0);
}
