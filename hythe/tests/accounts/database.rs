//! The file: who may read it, and what is said of one that is of no use.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use hythe::accounts::{Accounts, Denied};
use hythe::share::{Access, RelPath, Visitor};
use rusqlite::Connection;

use super::{Town, sign_in};

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn the_file_and_those_beside_it_are_for_the_owner_alone() {
    let town = Town::new();
    town.add("bob", b"secret", Access::Read);
    let files: Vec<_> = fs::read_dir(town.folder.path()).unwrap().collect();
    assert!(files.len() > 1, "no log beside the database?");
    for file in files {
        assert_eq!(mode(&file.unwrap().path()), 0o600);
    }
}

#[test]
fn accounts_last() {
    let town = Town::new();
    town.add("bob", b"secret", Access::Upload);
    let by = &Visitor::LOCAL;
    let home = RelPath::root().resolve(b"people/\xff").unwrap();
    town.accounts.set_home("bob", &home, by).unwrap();
    town.accounts.set_quota("bob", Some(u64::MAX), by).unwrap();
    let bob = town.accounts.account("bob").unwrap().unwrap();
    let Town {
        folder,
        clock,
        accounts,
    } = town;
    drop(accounts);
    let accounts = super::open(&folder.path().join("accounts.db"), &clock);
    assert_eq!(accounts.list().unwrap(), std::slice::from_ref(&bob));
    let again = sign_in(&accounts, "bob", b"secret", "192.0.2.1").unwrap();
    assert_eq!((again.home, again.role), (home, Access::Upload));
}

#[test]
fn what_is_no_database_of_ours_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    let refused = |path: &Path, kind, text: &str| {
        let before = fs::read(path).ok();
        let error = Accounts::open(path).unwrap_err();
        let message = error.to_string();
        assert_eq!(error.kind(), kind, "{message}");
        assert!(message.contains(text), "{message}");
        assert!(message.contains(&path.display().to_string()), "{message}");
        assert_eq!(fs::read(path).ok(), before);
    };

    fs::write(
        file("text"),
        "no database at all, but long enough to be looked at".repeat(99),
    )
    .unwrap();
    refused(&file("text"), ErrorKind::InvalidData, "not a database");

    let other = Connection::open(file("other")).unwrap();
    other
        .execute_batch("CREATE TABLE songs (name TEXT)")
        .unwrap();
    drop(other);
    let (kind, text) = (ErrorKind::InvalidData, "another program");
    let error = Accounts::open(&file("other")).unwrap_err();
    assert!(
        error.kind() == kind && error.to_string().contains(text),
        "{error}"
    );

    drop(Accounts::open(&file("newer")).unwrap());
    let newer = Connection::open(file("newer")).unwrap();
    newer.execute_batch("PRAGMA user_version = 999").unwrap();
    drop(newer);
    refused(&file("newer"), ErrorKind::InvalidData, "newer hythe");

    fs::create_dir(file("folder")).unwrap();
    refused(&file("folder"), ErrorKind::IsADirectory, "it is a folder");
    refused(&file("missing/x"), ErrorKind::NotFound, "no such folder");
    symlink("loop", file("loop")).unwrap();
    assert!(Accounts::open(&file("loop")).is_err());
    refused(
        Path::new("/dev/null"),
        ErrorKind::InvalidInput,
        "regular file",
    );
    // The kernel's, so that root may not write it either.
    assert!(Accounts::open(Path::new("/proc/version")).is_err());
}

#[test]
fn a_damaged_database_lets_nobody_in() {
    let town = Town::new();
    town.add("bob", b"secret", Access::Read);
    let file = town.file();
    drop(town.accounts);
    let mut bytes = fs::read(&file).unwrap();
    assert!(bytes.len() > 8192);
    bytes[4096..].fill(0x5a);
    fs::write(&file, bytes).unwrap();
    if let Ok(accounts) = Accounts::open(&file) {
        let result = sign_in(&accounts, "bob", b"secret", "192.0.2.1");
        assert!(matches!(result, Err(Denied::Broken(_))), "{result:?}");
    }
}

#[test]
fn a_locked_database_is_waited_for_and_service_resumes() {
    let town = Town::new();
    let bob = town.add("bob", b"secret", Access::Read);
    let token = town.accounts.start_session(&bob).unwrap();
    town.accounts.session(token.as_str()).unwrap();
    let other = Connection::open(town.file()).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    // Who is in stays in.
    assert!(town.accounts.session(token.as_str()).unwrap().is_some());
    match sign_in(&town.accounts, "bob", b"secret", "192.0.2.1") {
        Err(Denied::Broken(error)) => {
            assert_eq!(error.kind(), ErrorKind::ResourceBusy);
            assert!(
                error.to_string().contains("another program holds it"),
                "{error}"
            );
        }
        other => panic!("{other:?}"),
    }
    other.execute_batch("ROLLBACK").unwrap();
    assert!(sign_in(&town.accounts, "bob", b"secret", "192.0.2.1").is_ok());
}

#[test]
fn temporary_accounts_leave_nothing_behind() {
    let accounts = Accounts::temporary().unwrap();
    let shown = format!("{accounts:?}");
    let path = Path::new(shown.split('"').nth(1).unwrap());
    let folder = path.parent().unwrap();
    assert_eq!((mode(folder), mode(path)), (0o700, 0o600));
    accounts
        .add_temporary(b"bob", b"secret", Access::Write)
        .unwrap();
    assert!(sign_in(&accounts, "bob", b"secret", "192.0.2.1").is_ok());
    assert!(!accounts.audit_log(1).unwrap().is_empty());
    drop(accounts);
    assert!(!folder.exists());
}

#[test]
fn a_database_that_is_gone_is_not_made_anew() {
    let town = Town::new();
    town.add("bob", b"secret", Access::Read);
    // From now on each use opens the file.
    town.accounts.before_forks();
    let (file, away) = (town.file(), town.folder.path().join("away"));
    fs::rename(&file, &away).unwrap();
    let error = town.accounts.account("bob").unwrap_err();
    assert!(!file.exists(), "{error}");
    let message = error.to_string();
    assert!(message.contains("accounts.db"), "{message}");
    fs::rename(&away, &file).unwrap();
    assert!(town.accounts.account("bob").unwrap().is_some());
}
