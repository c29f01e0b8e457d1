//! The books: what counts against whom, and the audit log.

use std::fs;
use std::io;
use std::sync::Arc;
use std::thread;

use hythe::accounts::{Books, Gate};
use hythe::share::{
    Access, Act, Durability, Existing, Intent, Ledger as _, RelPath, Rules, Share, Visitor,
};
use tempfile::TempDir;

use super::common::eventually;
use super::{Town, from};

fn path(text: impl AsRef<[u8]>) -> RelPath {
    RelPath::root().resolve(text.as_ref()).unwrap()
}

fn visitor(name: &str) -> Visitor {
    Visitor {
        account: Some(name.into()),
        protocol: "http",
        address: Some(from("192.0.2.1")),
    }
}

/// A share, and accounts bob with a quota of 100 and ann without.
struct Market {
    town: Town,
    root: TempDir,
    books: Books,
}

impl Market {
    fn new() -> Self {
        let town = Town::new();
        let root = tempfile::tempdir().unwrap();
        town.add("bob", b"secret", Access::Write);
        town.add("ann", b"secret", Access::Write);
        town.accounts
            .set_quota("bob", Some(100), &Visitor::LOCAL)
            .unwrap();
        let books = Books::new(town.accounts.clone(), Share::open(root.path()).unwrap());
        Self { town, root, books }
    }

    /// A file that is really there, and in the books if there is room for it.
    fn store(&self, name: &str, file: &str, bytes: u64) -> bool {
        let stored = self.books.stored(&visitor(name), &path(file), bytes);
        match stored {
            Ok(_) => self.put(file, bytes),
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::QuotaExceeded),
        }
        self.used("bob") + self.used("ann") == self.counted() && self.has(file, bytes)
    }

    fn put(&self, file: &str, bytes: u64) {
        let full = self.root.path().join(file);
        fs::create_dir_all(full.parent().unwrap()).unwrap();
        fs::write(full, vec![0; usize::try_from(bytes).unwrap()]).unwrap();
    }

    fn has(&self, file: &str, bytes: u64) -> bool {
        let meta = fs::metadata(self.root.path().join(file));
        meta.is_ok_and(|meta| meta.len() == bytes)
    }

    fn used(&self, name: &str) -> u64 {
        self.town.accounts.usage(name).unwrap()
    }

    /// The sum that triggers keep, counted.
    fn counted(&self) -> u64 {
        let db = rusqlite::Connection::open(self.town.file()).unwrap();
        let sum = "SELECT ifnull(sum(bytes), 0) FROM owned";
        u64::try_from(db.query_row(sum, [], |row| row.get::<_, i64>(0)).unwrap()).unwrap()
    }
}

#[test]
fn a_quota_is_kept_to_the_byte() {
    let market = Market::new();
    assert!(market.store("bob", "a", 60));
    assert_eq!(market.books.room("bob").unwrap(), Some(40));
    assert_eq!(market.books.room("ann").unwrap(), None);
    assert_eq!(market.books.room("nobody").unwrap(), Some(0), "gone");
    assert!(!market.store("bob", "b", 41));
    assert!(market.store("bob", "b", 40));
    assert!(!market.store("bob", "c", 1));
    assert!(market.store("bob", "c", 0));
    // What is replaced counts no more.
    assert!(market.store("bob", "a", 59));
    assert!(!market.store("bob", "a", 61));
    assert!(market.has("a", 59));
    assert_eq!(market.used("bob"), 99);
    // A quota that is lowered below what is there lets shrink.
    let by = &Visitor::LOCAL;
    market.town.accounts.set_quota("bob", Some(10), by).unwrap();
    assert_eq!(market.books.room("bob").unwrap(), Some(0));
    assert!(market.store("bob", "a", 30));
    assert!(!market.store("bob", "a", 31));
}

#[test]
fn what_someone_else_writes_over_is_theirs() {
    let market = Market::new();
    assert!(market.store("bob", "a", 60));
    assert!(market.store("ann", "a", 70));
    assert_eq!((market.used("bob"), market.used("ann")), (0, 70));
    let stranger = Visitor {
        account: None,
        ..visitor("x")
    };
    market.books.stored(&stranger, &path("a"), 5).unwrap();
    assert_eq!((market.used("ann"), market.counted()), (0, 0));
}

#[test]
fn what_did_not_appear_is_in_no_book() {
    let market = Market::new();
    assert!(market.store("bob", "a", 60));
    let owner = |file: &str| -> Option<(String, u64)> {
        let db = rusqlite::Connection::open(market.town.file()).unwrap();
        let sql = "SELECT account, bytes FROM owned WHERE path = ?";
        let row = db.query_row(sql, [file.as_bytes()], |row| {
            Ok((row.get(0)?, row.get::<_, i64>(1)?.unsigned_abs()))
        });
        row.ok()
    };
    let stranger = Visitor {
        account: None,
        ..visitor("x")
    };
    // Over another's, over one's own, and over nothing.
    for (who, file, bytes) in [
        (visitor("ann"), "a", 70),
        (visitor("bob"), "a", 1),
        (stranger.clone(), "a", 5),
        (visitor("bob"), "new", 40),
        (stranger.clone(), "new", 5),
    ] {
        let was = owner(file);
        let before = market.books.stored(&who, &path(file), bytes).unwrap();
        let stored = who.account.as_deref().map(|name| (name.to_owned(), bytes));
        assert_eq!(owner(file), stored);
        market.books.undo(&who, &path(file), before).unwrap();
        assert_eq!(owner(file), was, "{who:?} {file}");
        assert_eq!((market.used("bob"), market.used("ann")), (60, 0));
    }
    // What somebody else has stored there since is theirs.
    let (bob, ann) = (visitor("bob"), visitor("ann"));
    let before = market.books.stored(&bob, &path("a"), 10).unwrap();
    market.books.stored(&ann, &path("a"), 20).unwrap();
    market.books.undo(&bob, &path("a"), before).unwrap();
    assert_eq!(owner("a"), Some(("ann".to_owned(), 20)));
    assert_eq!((market.used("bob"), market.counted()), (0, 20));
}

#[test]
fn moving_and_removing_keep_the_books() {
    let market = Market::new();
    for file in ["d/a", "d/e/b", "d-old/c", "d.c", "f"] {
        assert!(market.store("bob", file, 10));
    }
    // Names that are no text, and one whose letters mean something elsewhere.
    for file in [&b"d/\xff\xfe"[..], b"d/%_'*?["] {
        market
            .books
            .stored(&visitor("bob"), &path(file), 10)
            .unwrap();
    }
    let owned = || -> Vec<Vec<u8>> {
        let db = rusqlite::Connection::open(market.town.file()).unwrap();
        let mut query = db.prepare("SELECT path FROM owned ORDER BY path").unwrap();
        let rows = query.query_map([], |row| row.get(0)).unwrap();
        rows.map(Result::unwrap).collect()
    };
    market.books.moved(&path("d"), &path("x/y")).unwrap();
    let moved: [&[u8]; 7] = [
        b"d-old/c",
        b"d.c",
        b"f",
        b"x/y/%_'*?[",
        b"x/y/a",
        b"x/y/e/b",
        b"x/y/\xff\xfe",
    ];
    assert_eq!(owned(), moved);
    assert_eq!(market.used("bob"), 70);
    // What was there is gone.
    market.books.moved(&path("f"), &path("x/y/a")).unwrap();
    assert_eq!(market.used("bob"), 60);
    market.books.removed(&path("x/y/e/b")).unwrap();
    assert_eq!(market.used("bob"), 50);
    market.books.removed(&path("x")).unwrap();
    assert_eq!(owned(), [&b"d-old/c"[..], b"d.c"]);
    market.books.removed(&path("nothing")).unwrap();
    assert_eq!((market.used("bob"), market.counted()), (20, 20));
}

#[test]
fn files_that_went_without_us_make_room() {
    let market = Market::new();
    assert!(market.store("bob", "a", 50) && market.store("bob", "b", 50));
    fs::remove_file(market.root.path().join("a")).unwrap();
    fs::write(market.root.path().join("b"), [0; 20]).unwrap();
    assert_eq!(market.used("bob"), 100);
    assert!(market.store("bob", "c", 80));
    assert_eq!(market.used("bob"), 100);
    assert!(!market.has("a", 50));
}

#[test]
fn many_at_one_time_do_not_pass_the_quota() {
    let market = Arc::new(Market::new());
    // Half of them by what could be another process.
    let other = Books::new(
        market.town.again(),
        Share::open(market.root.path()).unwrap(),
    );
    let stored: u64 = thread::scope(|scope| {
        let store = |number: usize| {
            let (market, other) = (&market, &other);
            scope.spawn(move || {
                let books = if number.is_multiple_of(2) {
                    other
                } else {
                    &market.books
                };
                let file = format!("f{number}");
                market.put(&file, 9);
                let stored = books.stored(&visitor("bob"), &path(&file), 9);
                u64::from(stored.is_ok())
            })
        };
        let threads: Vec<_> = (0..40).map(store).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .sum()
    });
    assert_eq!((stored, market.used("bob")), (11, 99));
}

#[test]
fn a_removed_account_leaves_files_that_are_nobodys() {
    let market = Market::new();
    assert!(market.store("bob", "a", 60));
    market.town.accounts.remove("bob", &Visitor::LOCAL).unwrap();
    assert!(market.has("a", 60));
    market.town.add("bob", b"secret", Access::Write);
    assert_eq!(market.used("bob"), 0);
}

#[test]
fn the_audit_log_says_who_did_what_to_which_path_from_where() {
    let market = Market::new();
    let books = &market.books;
    books.audit(&visitor("bob"), Act::Create, &path("d/a\n"), "12 bytes");
    books.audit(&Visitor::LOCAL, Act::Rename, &path("x"), "/y");
    let accounts = &market.town.accounts;
    super::sign_in(accounts, "bob", b"secret", "192.0.2.5").unwrap();
    super::sign_in(accounts, "bob", b"my old one", "192.0.2.5").unwrap_err();
    super::sign_in(accounts, "my password", b"bob", "192.0.2.5").unwrap_err();
    let log = accounts.audit_log(5).unwrap();
    let lines: Vec<String> = log
        .iter()
        .rev()
        .map(|line| {
            let account = line.account.as_deref().unwrap_or("-");
            let address = line.address.as_deref().unwrap_or("-");
            format!(
                "{} {address} {account} {} {} {}",
                line.protocol, line.act, line.path, line.detail
            )
        })
        .collect();
    assert_eq!(
        lines,
        [
            "http 192.0.2.1:1234 bob create /d/a\\n 12 bytes",
            "local - - rename /x /y",
            "test 192.0.2.5:1234 bob sign-in  ",
            "test 192.0.2.5:1234 bob sign-in failed  wrong password",
            "test 192.0.2.5:1234 - sign-in failed  unknown name",
        ]
    );
    let all = format!("{:?}", accounts.audit_log(1000).unwrap());
    assert!(all.contains("account added") && all.contains("quota changed"));
    assert!(!all.contains("secret") && !all.contains("my old one") && !all.contains("my password"));
}

#[test]
fn the_audit_log_does_not_grow_for_ever() {
    let town = Town::new();
    let db = rusqlite::Connection::open(town.file()).unwrap();
    let last = hythe::accounts::AUDIT_LINES + 5_998;
    db.execute(
        "INSERT INTO audit (id, time, protocol, act, path, detail)
         WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)
         SELECT i, 0, 'x', 'x', '', '' FROM n",
        [last],
    )
    .unwrap();
    town.add("bob", b"secret", Access::Read);
    town.add("ann", b"secret", Access::Read);
    let count: i64 = db
        .query_row("SELECT count(*) FROM audit", [], |row| row.get(0))
        .unwrap();
    assert_eq!(count, hythe::accounts::AUDIT_LINES);
}

#[test]
fn a_view_of_an_account_is_held_to_its_quota() {
    let Market { town, root, books } = Market::new();
    let rules = Rules {
        ledger: Arc::new(books),
        ..Rules::default()
    };
    let share = Share::open(root.path()).unwrap().with_rules(rules);
    let gate = Gate::new(share, Access::None).with_accounts(town.accounts.clone(), Access::None);
    let home = path("people/bob");
    town.accounts
        .set_home("bob", &home, &Visitor::LOCAL)
        .unwrap();
    let bob = town.accounts.account("bob").unwrap().unwrap();
    let view = gate.view(&bob, "test", &from("192.0.2.1")).unwrap();
    let put = |file: &str, bytes: u64| {
        let intent = Intent {
            existing: Existing::Replace,
            length: None,
            modified: None,
        };
        let mut incoming = view.receive(&path(file), intent)?;
        incoming.write(&vec![0; usize::try_from(bytes).unwrap()])?;
        incoming.finish().map(|_| ())
    };
    let kind = |result: io::Result<()>| result.unwrap_err().kind();
    put("a", 60).unwrap();
    assert_eq!(kind(put("b", 41)), io::ErrorKind::QuotaExceeded);
    assert_eq!(town.accounts.usage("bob").unwrap(), 60);
    let names = || {
        fs::read_dir(root.path().join("people/bob"))
            .unwrap()
            .count()
    };
    assert_eq!(names(), 1);
    // The operator makes room behind our back.
    fs::remove_file(root.path().join("people/bob/a")).unwrap();
    eventually("files to be counted again", || put("b", 100).is_ok());
    view.rename(&path("b"), &path("c"), Existing::Keep).unwrap();
    assert_eq!(kind(put("d", 1)), io::ErrorKind::QuotaExceeded);
    view.remove_file(&path("c")).unwrap();
    assert_eq!(town.accounts.usage("bob").unwrap(), 0);
    let log = town.accounts.audit_log(3).unwrap();
    let lines: Vec<_> = log.iter().map(|line| (&*line.act, &*line.path)).collect();
    let expected = [
        ("delete", "/people/bob/c"),
        ("rename", "/people/bob/b"),
        ("create", "/people/bob/b"),
    ];
    assert_eq!(lines, expected);
    assert!(
        log.iter()
            .all(|line| line.account.as_deref() == Some("bob"))
    );
}

#[test]
fn a_copied_folder_counts_in_full() {
    let market = Market::new();
    let rules = Rules {
        durability: Durability::None,
        ledger: Arc::new(Books::new(
            market.town.accounts.clone(),
            Share::open(market.root.path()).unwrap(),
        )),
        ..Rules::default()
    };
    let share = Share::open(market.root.path()).unwrap().with_rules(rules);
    let bob = share.view_of(Access::Write, visitor("bob"));
    for file in ["a/1", "a/2", "a/3", "a/4"] {
        assert!(market.store("bob", file, 10));
    }
    // More than half of the room that is left for each: what is copied so far
    // counts once, not twice.
    let keep = Existing::Keep;
    assert!(bob.copy(&path("a"), &path("b"), keep).unwrap());
    assert_eq!(market.used("bob"), 80);
    let error = bob.copy(&path("a"), &path("c"), keep).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::QuotaExceeded);
    assert_eq!((market.used("bob"), market.counted()), (80, 80));
    assert!(!market.root.path().join("c").exists());
}

#[test]
fn what_is_about_to_appear_is_not_taken_for_gone() {
    let market = Market::new();
    let (file, folder) = (path("new"), path("folder"));
    market.books.appearing(&file);
    market.books.appearing(&folder);
    let bob = visitor("bob");
    market.books.stored(&bob, &file, 60).unwrap();
    market.books.stored(&bob, &path("folder/a"), 20).unwrap();
    market
        .books
        .stored(&bob, &path("folder-other"), 20)
        .unwrap();
    assert!(market.books.recount("bob").unwrap());
    assert_eq!(market.used("bob"), 80);
    market.books.appeared(&file);
    market.books.appeared(&folder);
}
