//! Accounts over FTP: registering, passwords, quotas.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use hythe::accounts::{Accounts, Books, Gate};
use hythe::serve::ftp::{Ftp, FtpConfig};
use hythe::share::{Access, RelPath, Rules, Share, Visitor};

use super::common::content;
use super::{Client, Running};

fn accounts(folder: &Path) -> Accounts {
    Accounts::open(&folder.join("accounts.db")).unwrap()
}

fn serve(root: &Path, accounts: &Accounts, register: Access) -> Running {
    let share = Share::open(root).unwrap();
    let ledger = Arc::new(Books::new(accounts.clone(), share.clone()));
    let share = share.with_rules(Rules {
        ledger,
        ..Rules::default()
    });
    let gate = Gate::new(share, Access::Read)
        .with_accounts(accounts.clone(), register)
        .with_register_quota((register > Access::None).then_some(1_000_000));
    Running::of(Ftp::new(gate, FtpConfig::default()))
}

fn log_in(client: &mut Client, name: &str, password: &str, code: u16) {
    client.command(format!("USER {name}"), 331);
    client.command(format!("PASS {password}"), code);
    if code == 230 {
        client.command("TYPE I", 200);
    }
}

#[test]
fn visitors_register_where_they_may() {
    let (root, kept) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let accounts = accounts(kept.path());
    let server = serve(root.path(), &accounts, Access::Upload);
    let mut client = server.connect();
    for (command, code) in [
        ("SITE REGISTER anna", 501),
        ("SITE REGISTER anna short", 550),
        ("SITE REGISTER anonymous 12345678", 550),
        ("SITE REGISTER an/na 12345678", 550),
        ("SITE REGISTER .. 12345678", 550),
        ("SITE REGISTER anna a pass: word@ 中文", 200),
        ("SITE REGISTER Anna 12345678", 550),
        ("SITE REGISTER \"李 小龙\" 密码密码密码", 200),
    ] {
        client.command(command, code);
    }
    log_in(&mut client, "anna", "wrong password", 530);
    log_in(&mut client, "anna", "a pass: word@ 中文", 230);
    client.command("SITE REGISTER other 12345678", 503);
    client.store("STOR new", b"mine", 226);
    client.epsv();
    client.command("STOR new", 550);
    assert_eq!(
        client.command("SITE QUOTA", 200),
        "200 You have stored 4 B of 976.6 KiB.\r\n"
    );
    client.command("REIN", 220);
    log_in(&mut client, "李 小龙", "密码密码密码", 230);
    let made = accounts.account("李 小龙").unwrap().unwrap();
    assert_eq!((made.role, made.quota), (Access::Upload, Some(1_000_000)));
    drop(server);

    let server = serve(root.path(), &accounts, Access::None);
    server.connect().command("SITE REGISTER eve 12345678", 550);
    assert!(accounts.account("eve").unwrap().is_none());
}

#[test]
fn passwords_are_changed_by_those_who_know_the_old_one() {
    let (root, kept) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let accounts = accounts(kept.path());
    let add = |name: &str, password: &str| {
        let by = Visitor::LOCAL;
        let home = RelPath::root();
        accounts
            .add(
                name.as_bytes(),
                password.as_bytes(),
                Access::Write,
                home,
                None,
                &by,
            )
            .unwrap();
    };
    add("anna", "old password");
    let server = serve(root.path(), &accounts, Access::None);
    let mut client = server.connect();
    client.command("SITE PASSWD a b", 530);
    log_in(&mut client, "anna", "old password", 230);
    for (command, code) in [
        ("SITE PASSWD wrong newer password", 550),
        ("SITE PASSWD old password", 550), // the old one is `old`, as it stands there
        ("SITE PASSWD \"old password\" short", 550),
        ("SITE PASSWD \"old password\" newer password", 200),
    ] {
        client.command(command, code);
    }
    client.command("REIN", 220);
    log_in(&mut client, "anna", "old password", 530);
    log_in(&mut client, "anna", "newer password", 230);
    client.command("SITE PASSWD \"newer password\" 12345678", 200);
    client.command("SITE PASSWD 12345678 87654321", 200);
    assert_eq!(
        client.command("SITE QUOTA", 200),
        "200 You have stored 0 B; there is no quota.\r\n"
    );
}

/// Below, at and above it, and in the middle of an upload.
#[test]
fn a_quota_holds_for_every_way_in() {
    const QUOTA: u64 = 1_000_000;
    let (root, kept) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let accounts = accounts(kept.path());
    let home = RelPath::root();
    let by = Visitor::LOCAL;
    accounts
        .add(b"anna", b"password", Access::Write, home, Some(QUOTA), &by)
        .unwrap();
    let server = serve(root.path(), &accounts, Access::None);
    let mut client = server.connect();
    log_in(&mut client, "anna", "password", 230);
    let bytes = content(2_000_000);
    client.store("STOR a", &bytes[..999_999], 226);
    client.store("APPE a", &bytes[..1], 226);
    client.epsv();
    client.command("APPE a", 552);
    client.epsv();
    client.command("STOR b", 552);
    client.epsv();
    client.command("STOU", 552);
    client.store("STOR a", &bytes[..500_000], 226);
    client.store("STOR b", &bytes[..600_000], 552);
    let left = |name: &str| fs::metadata(root.path().join(name)).map_or(0, |meta| meta.len());
    assert_eq!(left("a"), 500_000);
    assert!(
        left("a") + left("b") <= QUOTA,
        "{} + {}",
        left("a"),
        left("b")
    );
    client.command("DELE a", 250);
    client.store("STOR c", &bytes[..400_000], 226);
}
