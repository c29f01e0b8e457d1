//! Sessions of browsers.

use std::time::Duration;

use hythe::accounts::SESSION_IDLE;
use hythe::share::{Access, Visitor};

use super::Town;

fn seconds(count: i64) -> Duration {
    Duration::from_secs(u64::try_from(count).unwrap())
}

#[test]
fn a_session_lasts_as_long_as_it_is_used() {
    let town = Town::new();
    let bob = town.add("bob", b"secret", Access::Write);
    let token = town.accounts.start_session(&bob).unwrap();
    let who = || {
        town.accounts
            .session(token.as_str())
            .unwrap()
            .map(|account| account.name)
    };
    assert_eq!(token.as_str().len(), 43);
    assert!(!format!("{token:?}").contains(token.as_str()));
    for _ in 0..5 {
        town.clock.turn(seconds(SESSION_IDLE - 1));
        assert_eq!(who().as_deref(), Some("bob"));
    }
    town.clock.turn(seconds(SESSION_IDLE));
    assert_eq!(who(), None);
    for nonsense in [
        "",
        "x",
        &token.as_str()[1..],
        &"A".repeat(43),
        &"x".repeat(10_000),
    ] {
        assert_eq!(town.accounts.session(nonsense).unwrap(), None);
    }
}

#[test]
fn signing_out_ends_one_session_or_all() {
    let town = Town::new();
    let bob = town.add("bob", b"secret", Access::Write);
    let ann = town.add("ann", b"secret", Access::Write);
    let start = |account| town.accounts.start_session(account).unwrap();
    let (one, two, three, hers) = (start(&bob), start(&bob), start(&bob), start(&ann));
    let lives =
        |token: &hythe::accounts::Token| town.again().session(token.as_str()).unwrap().is_some();
    town.accounts.end_session(one.as_str()).unwrap();
    assert!(!lives(&one) && lives(&two) && lives(&three) && lives(&hers));
    town.accounts.end_sessions("bob").unwrap();
    assert!(!lives(&two) && !lives(&three) && lives(&hers));
}

#[test]
fn a_session_is_what_the_account_is_now() {
    let town = Town::new();
    let bob = town.add("bob", b"secret", Access::Write);
    let token = town.accounts.start_session(&bob).unwrap();
    let account = || town.accounts.session(token.as_str()).unwrap();
    // As by `hythe user`, while this one serves.
    let other = town.again();
    other
        .set_role("bob", Access::Read, &Visitor::LOCAL)
        .unwrap();
    assert_eq!(account().unwrap().role, Access::Read);
    other.set_quota("bob", Some(5), &Visitor::LOCAL).unwrap();
    assert_eq!(account().unwrap().quota, Some(5));
    other
        .set_password("bob", b"another", &Visitor::LOCAL)
        .unwrap();
    assert_eq!(account(), None);
    let token = town.accounts.start_session(&bob).unwrap();
    other.remove("bob", &Visitor::LOCAL).unwrap();
    assert_eq!(town.accounts.session(token.as_str()).unwrap(), None);
    // Neither does a later one of this name inherit it.
    town.add("bob", b"secret", Access::Admin);
    assert_eq!(town.accounts.session(token.as_str()).unwrap(), None);
}

#[test]
fn the_database_knows_no_token_and_each_account_has_so_many_at_most() {
    let town = Town::new();
    let bob = town.add("bob", b"secret", Access::Write);
    let first = town.accounts.start_session(&bob).unwrap();
    let mut last = first.clone();
    for _ in 0..100 {
        town.clock.turn(Duration::from_secs(1));
        last = town.accounts.start_session(&bob).unwrap();
    }
    assert!(town.accounts.session(first.as_str()).unwrap().is_none());
    assert!(town.accounts.session(last.as_str()).unwrap().is_some());
    for file in std::fs::read_dir(town.folder.path()).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        let text = String::from_utf8_lossy(&bytes);
        assert!(!text.contains(last.as_str()) && !text.contains("secret"));
    }
}

#[test]
fn last_seen_is_true_to_the_minute() {
    let town = Town::new();
    let bob = town.add("bob", b"secret", Access::Write);
    assert_eq!(bob.seen, None);
    let token = town.accounts.start_session(&bob).unwrap();
    let seen = || {
        town.accounts.session(token.as_str()).unwrap();
        town.again().account("bob").unwrap().unwrap().seen.unwrap()
    };
    let begin = seen();
    town.clock.turn(Duration::from_secs(59));
    assert_eq!(seen(), begin);
    town.clock.turn(Duration::from_secs(1));
    assert_eq!(seen(), begin + 60);
}
