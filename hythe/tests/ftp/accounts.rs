//! Accounts over FTP: registering, passwords, quotas.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use hythe::accounts::{Accounts, Books, Gate};
use hythe::serve::ftp::{Ftp, FtpConfig};
use hythe::share::{Access, RelPath, Rules, Share, Visitor};

use super::common::{content, eventually};
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

/// What was done to an account holds for the sessions it has already.
#[test]
fn sessions_end_with_the_account_they_began_with() {
    let (root, kept) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let accounts = accounts(kept.path());
    let by = Visitor::LOCAL;
    let home = RelPath::root;
    fs::write(root.path().join("file"), b"here").unwrap();
    let server = serve(root.path(), &accounts, Access::None);
    type Change<'a> = &'a dyn Fn(&str);
    let changes: [(&str, Change<'_>); 4] = [
        ("removed", &|name| accounts.remove(name, &by).unwrap()),
        ("demoted", &|name| {
            accounts.set_role(name, Access::Read, &by).unwrap()
        }),
        ("changed", &|name| {
            accounts.set_password(name, b"another one", &by).unwrap()
        }),
        ("replaced", &|name| {
            accounts.remove(name, &by).unwrap();
            let role = Access::Write;
            accounts
                .add(name.as_bytes(), b"password", role, home(), None, &by)
                .unwrap();
        }),
    ];
    for (name, change) in changes {
        let role = Access::Write;
        accounts
            .add(name.as_bytes(), b"password", role, home(), None, &by)
            .unwrap();
        let mut client = server.connect();
        log_in(&mut client, name, "password", 230);
        client.command("SIZE file", 213);
        change(name);
        client.command("NOOP", 200);
        client.command("DELE file", 421);
        client.expect_end();
    }
    assert!(root.path().join("file").exists());
}

/// Nobody gets room by moving what is under way.
#[test]
fn what_is_renamed_while_it_comes_counts_where_it_is() {
    const QUOTA: u64 = 1_000_000;
    let (root, kept) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let accounts = accounts(kept.path());
    let by = Visitor::LOCAL;
    let role = Access::Write;
    accounts
        .add(
            b"anna",
            b"password",
            role,
            RelPath::root(),
            Some(QUOTA),
            &by,
        )
        .unwrap();
    let server = serve(root.path(), &accounts, Access::None);
    let mut client = server.connect();
    log_in(&mut client, "anna", "password", 230);
    let mut beside = server.connect();
    log_in(&mut beside, "anna", "password", 230);
    let bytes = content(400_000);

    beside.command("MKD folder", 257);
    for (from, renamed, to) in [("one", "one", "two"), ("folder/three", "folder", "moved")] {
        let mut data = client.begin(format!("STOR {from}"));
        data.write_all(&bytes[..200_000]).unwrap();
        eventually("the file", || root.path().join(from).exists());
        beside.command(format!("RNFR {renamed}"), 350);
        beside.command(format!("RNTO {to}"), 250);
        data.write_all(&bytes[200_000..]).unwrap();
        drop(data);
        client.expect(226);
    }
    assert_eq!(
        fs::metadata(root.path().join("two")).unwrap().len(),
        400_000
    );
    assert_eq!(accounts.usage("anna").unwrap(), 800_000);

    // What takes its name meanwhile is another file, and stays.
    let mut data = client.begin("STOR four");
    data.write_all(&bytes[..100]).unwrap();
    eventually("the file", || root.path().join("four").exists());
    fs::rename(root.path().join("four"), root.path().join("gone")).unwrap();
    fs::write(root.path().join("four"), b"somebody else's").unwrap();
    data.write_all(&bytes).ok();
    drop(data);
    client.expect(552);
    assert_eq!(
        fs::read(root.path().join("four")).unwrap(),
        b"somebody else's"
    );
    assert!(accounts.usage("anna").unwrap() <= QUOTA);
}
