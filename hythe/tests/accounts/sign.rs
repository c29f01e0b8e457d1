//! Signing in, registering, passwords, and the limits on guessing.

use std::sync::Barrier;
use std::thread;
use std::time::Duration;

use hythe::accounts::{Denied, FAILURES, REGISTRATIONS, Refused, WINDOW};
use hythe::share::{Access, RelPath, Visitor};

use super::{HARD, Town, banned, from, is_wrong, sign_in};

#[test]
fn the_right_password_lets_in_and_no_other_does() {
    let town = Town::new();
    let made = town.add("李雷", b"secret", Access::Upload);
    let account = sign_in(&town.accounts, "李雷", b"secret", "192.0.2.1").unwrap();
    assert_eq!((account.name, account.role), (made.name, Access::Upload));
    assert_eq!(account.created, made.created);
    for wrong in [&b"Secret"[..], b"secret ", b"", b"secret\0", &[b's'; 2000]] {
        assert!(is_wrong(&sign_in(
            &town.accounts,
            "李雷",
            wrong,
            "192.0.2.1"
        )));
    }
    let thousand = "n".repeat(1000);
    for name in ["", "李雷 ", "..", "../李雷", "anonymous", &thousand] {
        let result = sign_in(&town.accounts, name, b"secret", "192.0.2.2");
        assert!(is_wrong(&result), "{name}");
    }
}

#[test]
fn passwords_hold_any_bytes() {
    let town = Town::new();
    for (number, password) in HARD.iter().enumerate() {
        let name = format!("user{number}");
        town.add(&name, password, Access::Read);
        // The other one has proved nothing yet.
        assert!(sign_in(&town.again(), &name, password, "192.0.2.1").is_ok());
        assert!(is_wrong(&sign_in(
            &town.accounts,
            &name,
            &password[1..],
            "192.0.2.1"
        )));
    }
}

#[test]
fn known_and_unknown_names_are_the_same_work() {
    let town = Town::new();
    town.add("bob", b"secret", Access::Read);
    let cost = |name: &str, password: &[u8], host: &str| {
        let before = town.accounts.hashes();
        assert!(is_wrong(&sign_in(&town.accounts, name, password, host)));
        town.accounts.hashes() - before
    };
    let long = vec![b'x'; 5000];
    for (number, name) in ["bob", "eve", "", "a/b", &"x".repeat(1000)]
        .iter()
        .enumerate()
    {
        for password in [&b"wrong"[..], b"", &long] {
            assert_eq!(
                cost(name, password, &format!("192.0.2.{number}")),
                1,
                "{name}"
            );
        }
    }
}

#[test]
fn the_eleventh_failure_of_an_address_is_refused_and_the_ban_expires() {
    let town = Town::new();
    town.add("bob", b"secret", Access::Read);
    for number in 0..FAILURES {
        // Names that are known and unknown, over any protocol.
        let name = if number % 2 == 0 { "bob" } else { "nobody" };
        assert!(is_wrong(&sign_in(
            &town.accounts,
            name,
            b"wrong",
            "192.0.2.1"
        )));
        town.clock.turn(Duration::from_secs(1));
    }
    let before = town.accounts.hashes();
    for name in ["bob", "nobody", "another"] {
        let left = banned(&sign_in(&town.accounts, name, b"wrong", "192.0.2.1")).unwrap();
        assert_eq!(left, WINDOW - Duration::from_secs(10));
    }
    // Not even the right one, or guessing would go on.
    assert!(banned(&sign_in(&town.accounts, "bob", b"secret", "192.0.2.1")).is_some());
    assert_eq!(town.accounts.hashes(), before);
    // Other processes and protocols know of it; other addresses are free.
    assert!(banned(&sign_in(&town.again(), "bob", b"secret", "192.0.2.1")).is_some());
    assert!(sign_in(&town.accounts, "bob", b"secret", "192.0.2.2").is_ok());
    // The first failure is a minute old: one more try, and no more.
    town.clock.turn(WINDOW - Duration::from_secs(10));
    assert!(is_wrong(&sign_in(
        &town.accounts,
        "eve",
        b"wrong",
        "192.0.2.1"
    )));
    assert!(banned(&sign_in(&town.accounts, "eve", b"wrong", "192.0.2.1")).is_some());
    town.clock.turn(WINDOW);
    assert!(sign_in(&town.accounts, "bob", b"secret", "192.0.2.1").is_ok());
}

#[test]
fn the_eleventh_failure_for_an_account_is_refused_from_wherever() {
    let town = Town::new();
    town.add("bob", b"secret", Access::Read);
    for name in ["bob", "no such name"] {
        for number in 0..FAILURES {
            let host = format!("192.0.2.{number}");
            assert!(is_wrong(&sign_in(&town.accounts, name, b"wrong", &host)));
        }
        assert!(banned(&sign_in(&town.accounts, name, b"secret", "192.0.2.99")).is_some());
    }
    town.add("ann", b"secret", Access::Read);
    assert!(sign_in(&town.accounts, "ann", b"secret", "192.0.2.99").is_ok());
    // The network of a host is its address, where it may choose those.
    for number in 0..FAILURES {
        town.clock.turn(WINDOW / 20);
        let host = format!("[2001:db8::{number}]");
        let name = format!("n{number}");
        assert!(is_wrong(&sign_in(&town.accounts, &name, b"wrong", &host)));
    }
    assert!(banned(&sign_in(&town.accounts, "ann", b"wrong", "[2001:db8::77]")).is_some());
    assert!(is_wrong(&sign_in(
        &town.accounts,
        "ann",
        b"wrong",
        "[2001:db8:1::]"
    )));
}

#[test]
fn success_clears_what_counts_against_the_account_alone() {
    let town = Town::new();
    town.add("bob", b"secret", Access::Read);
    for number in 1..FAILURES {
        let host = format!("192.0.2.{}", number % 2);
        assert!(is_wrong(&sign_in(&town.accounts, "bob", b"wrong", &host)));
    }
    assert!(sign_in(&town.accounts, "bob", b"secret", "192.0.2.1").is_ok());
    for _ in 0..FAILURES / 2 {
        assert!(is_wrong(&sign_in(
            &town.accounts,
            "bob",
            b"wrong",
            "192.0.2.1"
        )));
    }
    assert!(banned(&sign_in(&town.accounts, "bob", b"wrong", "192.0.2.1")).is_some());
    assert!(is_wrong(&sign_in(
        &town.accounts,
        "bob",
        b"wrong",
        "192.0.2.9"
    )));
}

#[test]
fn what_was_right_a_moment_ago_is_no_try_and_no_work() {
    let town = Town::new();
    town.add("bob", b"secret", Access::Read);
    assert!(sign_in(&town.accounts, "bob", b"secret", "192.0.2.1").is_ok());
    let before = town.accounts.hashes();
    for _ in 0..100 {
        assert!(sign_in(&town.accounts, "bob", b"secret", "192.0.2.7").is_ok());
    }
    assert_eq!(town.accounts.hashes(), before);
    // A ban of others' making does not keep out who has just been in.
    for number in 0..FAILURES {
        let host = format!("192.0.2.{number}");
        assert!(is_wrong(&sign_in(&town.accounts, "bob", b"wrong", &host)));
    }
    assert!(banned(&sign_in(&town.accounts, "bob", b"wrong", "192.0.2.50")).is_some());
    assert!(sign_in(&town.accounts, "bob", b"secret", "192.0.2.1").is_ok());
    // Once the password is another, by whomever, it is of no use.
    town.again()
        .set_password("bob", b"another", &Visitor::LOCAL)
        .unwrap();
    town.clock.turn(WINDOW);
    assert!(is_wrong(&sign_in(
        &town.accounts,
        "bob",
        b"secret",
        "192.0.2.1"
    )));
    assert!(sign_in(&town.accounts, "bob", b"another", "192.0.2.1").is_ok());
    town.again().remove("bob", &Visitor::LOCAL).unwrap();
    assert!(is_wrong(&sign_in(
        &town.accounts,
        "bob",
        b"another",
        "192.0.2.1"
    )));
}

#[test]
fn many_at_one_time_are_no_more_than_one_after_the_other() {
    let town = Town::new();
    town.add("bob", b"secret", Access::Read);
    let barrier = Barrier::new(40);
    let before = town.accounts.hashes();
    let results: Vec<_> = thread::scope(|scope| {
        let guess = |number: usize| {
            let (town, barrier) = (&town, &barrier);
            scope.spawn(move || {
                barrier.wait();
                // Half of them by what could be another process.
                let accounts = match number % 2 {
                    0 => town.accounts.clone(),
                    _ => town.again(),
                };
                sign_in(&accounts, "bob", b"wrong", "192.0.2.1")
            })
        };
        let threads: Vec<_> = (0..40).map(guess).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    });
    let wrong = results.iter().filter(|result| is_wrong(result)).count();
    assert_eq!(wrong, FAILURES);
    assert!(
        results
            .iter()
            .all(|result| is_wrong(result) || banned(result).is_some())
    );
    assert!(town.accounts.hashes() - before <= FAILURES as u64);

    // And a tool that begins with forty requests at once is let in with all.
    town.add("ann", b"secret", Access::Read);
    let barrier = Barrier::new(40);
    thread::scope(|scope| {
        for _ in 0..40 {
            scope.spawn(|| {
                barrier.wait();
                sign_in(&town.accounts, "ann", b"secret", "192.0.2.2").unwrap();
            });
        }
    });
}

#[test]
fn hashes_made_with_other_parameters_are_renewed() {
    let town = Town::new();
    town.add("bob", b"secret", Access::Read);
    // "secret", by the argon2 program: -id -m 12 -t 1 -p 1.
    let cheap = argon2_of(b"secret");
    let db = rusqlite::Connection::open(town.file()).unwrap();
    db.execute("UPDATE accounts SET password = ?", [&cheap])
        .unwrap();
    let hash = || -> String {
        db.query_row("SELECT password FROM accounts", [], |row| row.get(0))
            .unwrap()
    };
    assert!(is_wrong(&sign_in(
        &town.accounts,
        "bob",
        b"wrong",
        "192.0.2.1"
    )));
    assert_eq!(hash(), cheap);
    assert!(sign_in(&town.accounts, "bob", b"secret", "192.0.2.1").is_ok());
    assert!(
        hash().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"),
        "{}",
        hash()
    );
    assert!(sign_in(&town.again(), "bob", b"secret", "192.0.2.1").is_ok());
}

fn argon2_of(password: &[u8]) -> String {
    use argon2::password_hash::PasswordHasher as _;
    let params = argon2::Params::new(4096, 1, 1, None).unwrap();
    let hasher = argon2::Argon2::from(params);
    hasher.hash_password(password).unwrap().to_string()
}

#[test]
fn visitors_register_with_the_role_there_is_for_them() {
    let town = Town::new();
    let register = |name: &str, password: &[u8], role| {
        town.accounts.register(
            name.as_bytes(),
            password,
            (role, None),
            &from("192.0.2.1"),
            "test",
        )
    };
    let account = register("Lei", b"12345678", Access::Upload).unwrap();
    assert_eq!((account.role, account.quota), (Access::Upload, None));
    assert!(account.home.is_root() && !account.temporary);
    assert!(sign_in(&town.again(), "Lei", b"12345678", "192.0.2.1").is_ok());
    for same in ["Lei", "lei", "LEI"] {
        assert!(matches!(
            register(same, b"12345678", Access::Read),
            Err(Refused::Taken)
        ));
    }
    assert!(matches!(
        register("x", b"1234567", Access::Read),
        Err(Refused::Unfit(_))
    ));
    assert!(matches!(
        register("x", b"", Access::Read),
        Err(Refused::Unfit(_))
    ));
    let thousand = "n".repeat(1000);
    for name in [
        "",
        "..",
        "a/b",
        "a:b",
        "ftp",
        "Anonymous",
        " x",
        "x\n",
        &thousand,
    ] {
        let result = register(name, b"12345678", Access::Read);
        assert!(matches!(result, Err(Refused::Unfit(_))), "{name}");
    }
    for role in [Access::None, Access::Admin] {
        assert!(matches!(
            register("x", b"12345678", role),
            Err(Refused::Closed)
        ));
    }
    town.accounts
        .add_temporary(b"Run", b"x", Access::Read)
        .unwrap();
    assert!(matches!(
        register("run", b"12345678", Access::Read),
        Err(Refused::Taken)
    ));
}

#[test]
fn one_address_makes_so_many_accounts_an_hour() {
    let town = Town::new();
    let register = |name: &str, host: &str| {
        let name = name.as_bytes();
        town.accounts
            .register(name, b"12345678", (Access::Read, None), &from(host), "test")
    };
    for number in 0..REGISTRATIONS {
        register(&format!("user{number}"), "192.0.2.1").unwrap();
    }
    let refused = register("one more", "192.0.2.1").unwrap_err();
    assert!(matches!(refused, Refused::Denied(Denied::Throttled(_))));
    register("another", "192.0.2.2").unwrap();
    town.clock.turn(Duration::from_secs(3600));
    register("one more", "192.0.2.1").unwrap();
}

#[test]
fn an_owner_changes_the_password_with_the_old_one() {
    let town = Town::new();
    let account = town.add("bob", b"secret", Access::Write);
    let session = town.accounts.start_session(&account).unwrap();
    let change = |old: &[u8], new: &[u8]| {
        town.accounts
            .change_password("bob", old, new, &from("192.0.2.1"), "test")
    };
    assert!(matches!(
        change(b"wrong", b"12345678"),
        Err(Refused::Denied(Denied::Wrong))
    ));
    assert!(matches!(
        change(b"secret", b"short"),
        Err(Refused::Unfit(_))
    ));
    assert!(town.accounts.session(session.as_str()).unwrap().is_some());
    change(b"secret", "新的密码:@".as_bytes()).unwrap();
    assert!(town.accounts.session(session.as_str()).unwrap().is_none());
    assert!(is_wrong(&sign_in(
        &town.accounts,
        "bob",
        b"secret",
        "192.0.2.1"
    )));
    assert!(sign_in(&town.accounts, "bob", "新的密码:@".as_bytes(), "192.0.2.1").is_ok());
}

#[test]
fn accounts_of_one_run_are_in_memory_and_come_first() {
    let town = Town::new();
    town.add("bob", b"in the file", Access::Read);
    let temporary =
        |name: &[u8], password: &[u8]| town.accounts.add_temporary(name, password, Access::Write);
    temporary(b"bob", b"of this run").unwrap();
    assert!(matches!(temporary(b"Bob", b"x"), Err(Refused::Taken)));
    assert!(matches!(temporary(b"", b"x"), Err(Refused::Unfit(_))));
    assert!(matches!(temporary(b"x", b""), Err(Refused::Unfit(_))));
    let account = sign_in(&town.accounts, "bob", b"of this run", "192.0.2.1").unwrap();
    assert!(account.temporary && account.role == Access::Write);
    assert!(is_wrong(&sign_in(
        &town.accounts,
        "bob",
        b"in the file",
        "192.0.2.1"
    )));
    assert_eq!(town.accounts.list().unwrap().len(), 1);
    // Changed where it is given.
    let by = &Visitor::LOCAL;
    assert!(town.accounts.set_password("bob", b"x", by).is_err());
    assert!(town.accounts.set_home("bob", &RelPath::root(), by).is_err());
    assert!(town.accounts.remove("bob", by).is_err());
    // Its sessions are not of the one in the file, nor of another run.
    let session = town.accounts.start_session(&account).unwrap();
    assert_eq!(
        town.accounts.session(session.as_str()).unwrap(),
        Some(account)
    );
    assert_eq!(town.again().session(session.as_str()).unwrap(), None);
    let other = sign_in(&town.again(), "bob", b"in the file", "192.0.2.1").unwrap();
    let session = town.again().start_session(&other).unwrap();
    assert_eq!(town.accounts.session(session.as_str()).unwrap(), None);
    assert!(town.again().session(session.as_str()).unwrap().is_some());
}
