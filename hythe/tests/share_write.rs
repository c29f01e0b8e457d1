//! The write side of the share against a real disk: who may do what, that
//! nothing is ever seen half, that nothing outside the share is touched however
//! fast links are swapped, and that what fails leaves the tree as it was.

#[path = "common/mounts.rs"]
mod mounts;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use hythe::share::{
    Access, Act, Durability, Existing, How, Intent, Lacks, Ledger, Modified, Order, Owned, RelPath,
    Rules, Share, Stored, View, Visitor,
};
use mounts::{mount, with_mounts};
use tempfile::TempDir;

const CANARY: &str = "the canary";

/// How often a race is run.
const RACES: usize = 400;

/// A folder with a share in it, and a canary beside the share.
struct Place {
    outer: TempDir,
    books: Arc<Books>,
}

impl Place {
    fn new() -> Self {
        let outer = tempfile::tempdir().unwrap();
        fs::create_dir_all(outer.path().join("share/folder/sub")).unwrap();
        fs::create_dir(outer.path().join("outside")).unwrap();
        fs::write(outer.path().join("outside/canary"), CANARY).unwrap();
        fs::write(outer.path().join("share/file"), "inside").unwrap();
        fs::write(outer.path().join("share/folder/deep"), "deep inside").unwrap();
        Self {
            outer,
            books: Arc::default(),
        }
    }

    fn disk(&self, name: impl AsRef<Path>) -> PathBuf {
        self.outer.path().join("share").join(name)
    }

    fn share(&self) -> Share {
        self.share_with(Durability::None, None)
    }

    fn share_with(&self, durability: Durability, max_upload: Option<u64>) -> Share {
        let share = Share::open(&self.disk("")).unwrap();
        let ledger: Arc<dyn Ledger> = Arc::clone(&self.books) as _;
        share.with_rules(Rules {
            durability,
            max_upload,
            ledger,
            ..Rules::default()
        })
    }

    fn view(&self, access: Access) -> View {
        self.share().view_of(access, visitor("anna"))
    }

    fn canary_sings(&self) {
        let outside = self.outer.path().join("outside");
        assert_eq!(fs::read_to_string(outside.join("canary")).unwrap(), CANARY);
        assert_eq!(fs::read_dir(outside).unwrap().count(), 1);
    }

    /// All that is in the share, the hidden folder too.
    fn tree(&self) -> BTreeMap<PathBuf, String> {
        tree(&self.disk(""))
    }

    fn parts(&self) -> usize {
        fs::read_dir(self.disk(".hythe/uploads")).map_or(0, Iterator::count)
    }
}

fn tree(top: &Path) -> BTreeMap<PathBuf, String> {
    let mut found = BTreeMap::new();
    let mut folders = vec![top.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let kind = fs::symlink_metadata(&path).unwrap().file_type();
            let content = if kind.is_dir() {
                folders.push(path.clone());
                "/".to_owned()
            } else if kind.is_symlink() {
                format!("-> {}", fs::read_link(&path).unwrap().display())
            } else {
                String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned()
            };
            found.insert(path.strip_prefix(top).unwrap().to_owned(), content);
        }
    }
    found.retain(|path, _| !matches!(path.to_str(), Some(".hythe" | ".hythe/uploads")));
    found
}

/// Ends what runs beside a test when the test ends, also if it fails.
struct Until<'a>(&'a AtomicBool);

impl Drop for Until<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn visitor(account: &str) -> Visitor {
    Visitor {
        account: Some(account.into()),
        protocol: "test",
        address: None,
    }
}

fn path(text: &str) -> RelPath {
    RelPath::root().resolve(text.as_bytes()).unwrap()
}

fn intent(existing: Existing) -> Intent {
    Intent {
        existing,
        length: None,
        modified: None,
    }
}

fn put(view: &View, name: &str, existing: Existing, content: &str) -> io::Result<Stored> {
    let mut incoming = view.receive(&path(name), intent(existing))?;
    incoming.write(content.as_bytes())?;
    incoming.finish()
}

fn kind<T>(result: io::Result<T>) -> ErrorKind {
    match result {
        Ok(_) => panic!("it was done"),
        Err(error) => error.kind(),
    }
}

/// A ledger in memory, with quotas.
#[derive(Debug, Default)]
struct Books {
    stored: Mutex<BTreeMap<RelPath, (String, u64)>>,
    quota: AtomicU64,
    audit: Mutex<Vec<String>>,
}

impl Books {
    fn used(&self) -> u64 {
        self.stored
            .lock()
            .unwrap()
            .values()
            .map(|(_, bytes)| bytes)
            .sum()
    }

    fn room_for(&self, used: u64) -> Option<u64> {
        match self.quota.load(Ordering::Relaxed) {
            0 => None,
            quota => Some(quota.saturating_sub(used)),
        }
    }

    fn paths(&self) -> Vec<String> {
        self.stored
            .lock()
            .unwrap()
            .keys()
            .map(ToString::to_string)
            .collect()
    }

    fn take_audit(&self) -> Vec<String> {
        std::mem::take(&mut self.audit.lock().unwrap())
    }
}

impl Ledger for Books {
    fn room(&self, _account: &str) -> io::Result<Option<u64>> {
        Ok(self.room_for(self.used()))
    }

    fn stored(&self, visitor: &Visitor, path: &RelPath, bytes: u64) -> io::Result<Option<Owned>> {
        let mut stored = self.stored.lock().unwrap();
        let others: u64 = stored
            .iter()
            .filter(|(other, _)| *other != path)
            .map(|(_, (_, bytes))| bytes)
            .sum();
        if self.room_for(others).is_some_and(|room| bytes > room) {
            return Err(ErrorKind::QuotaExceeded.into());
        }
        let account = visitor.account.as_deref().unwrap_or("-").to_owned();
        let before = stored.insert(path.clone(), (account, bytes));
        Ok(before.map(|(account, bytes)| Owned {
            account: account.into(),
            bytes,
        }))
    }

    fn undo(&self, _visitor: &Visitor, path: &RelPath, before: Option<Owned>) -> io::Result<()> {
        let mut stored = self.stored.lock().unwrap();
        match before {
            Some(before) => stored.insert(path.clone(), (before.account.into(), before.bytes)),
            None => stored.remove(path),
        };
        Ok(())
    }

    fn moved(&self, from: &RelPath, to: &RelPath) -> io::Result<()> {
        let mut stored = self.stored.lock().unwrap();
        stored.retain(|path, _| !path.starts_with(to));
        let moved: Vec<RelPath> = stored
            .keys()
            .filter(|path| path.starts_with(from))
            .cloned()
            .collect();
        for path in moved {
            let rest = &path.as_bytes()[from.as_bytes().len()..];
            let rest = rest.strip_prefix(b"/").unwrap_or(rest);
            let record = stored.remove(&path).unwrap();
            stored.insert(to.resolve(rest).unwrap(), record);
        }
        Ok(())
    }

    fn removed(&self, path: &RelPath) -> io::Result<()> {
        self.stored
            .lock()
            .unwrap()
            .retain(|other, _| !other.starts_with(path));
        Ok(())
    }

    fn audit(&self, visitor: &Visitor, act: Act, path: &RelPath, detail: &str) {
        let account = visitor.account.as_deref().unwrap_or("-");
        let line = format!("{account} {} {path} {detail}", act.as_str());
        self.audit.lock().unwrap().push(line.trim_end().to_owned());
    }
}

type Verb = fn(&View) -> io::Result<()>;

/// Every verb, the role it needs, and the line of the audit log.
const VERBS: &[(&str, Access, Verb, &str)] = &[
    (
        "make_folder",
        Access::Upload,
        |view| view.make_folder(&path("new")),
        "anna mkdir /new",
    ),
    (
        "make_folders",
        Access::Upload,
        |view| view.make_folders(&path("folder/new")),
        "anna mkdir /folder/new",
    ),
    (
        "create",
        Access::Upload,
        |view| put(view, "new", Existing::Keep, "x").map(drop),
        "anna create /new",
    ),
    (
        "create, replacing nothing",
        Access::Upload,
        |view| put(view, "new", Existing::Replace, "x").map(drop),
        "anna create /new",
    ),
    (
        "overwrite",
        Access::Write,
        |view| put(view, "file", Existing::Replace, "x").map(drop),
        "anna overwrite /file",
    ),
    (
        "create in place",
        Access::Upload,
        |view| {
            view.write_in_place(&path("new"), How::Truncate)?
                .finish()
                .map(drop)
        },
        "anna create /new",
    ),
    (
        "append in place",
        Access::Write,
        |view| {
            view.write_in_place(&path("file"), How::Append)?
                .finish()
                .map(drop)
        },
        "anna append /file",
    ),
    (
        "truncate in place",
        Access::Write,
        |view| {
            view.write_in_place(&path("file"), How::Truncate)?
                .finish()
                .map(drop)
        },
        "anna overwrite /file",
    ),
    (
        "copy",
        Access::Upload,
        |view| {
            view.copy(&path("file"), &path("new"), Existing::Keep)
                .map(drop)
        },
        "anna copy /file /new",
    ),
    (
        "copy a folder",
        Access::Upload,
        |view| {
            view.copy(&path("folder"), &path("new"), Existing::Keep)
                .map(drop)
        },
        "anna copy /folder /new",
    ),
    (
        "copy over",
        Access::Write,
        |view| {
            view.copy(&path("file"), &path("folder/deep"), Existing::Replace)
                .map(drop)
        },
        "anna copy /file /folder/deep",
    ),
    (
        "rename",
        Access::Write,
        |view| {
            view.rename(&path("file"), &path("new"), Existing::Keep)
                .map(drop)
        },
        "anna rename /file /new",
    ),
    (
        "remove_file",
        Access::Write,
        |view| view.remove_file(&path("file")),
        "anna delete /file",
    ),
    (
        "remove_folder",
        Access::Write,
        |view| view.remove_folder(&path("folder/sub")),
        "anna delete /folder/sub",
    ),
    (
        "remove_tree",
        Access::Write,
        |view| view.remove_tree(&path("folder")),
        "anna delete /folder",
    ),
    (
        "set_modified",
        Access::Write,
        |view| view.set_modified(&path("file"), Modified { secs: 1, nanos: 2 }),
        "anna change /file time of modification",
    ),
];

#[test]
fn each_verb_needs_its_role_and_is_audited() {
    for &(name, needed, verb, line) in VERBS {
        for access in Access::ALL {
            let place = Place::new();
            let before = place.tree();
            let result = verb(&place.view(access));
            let audit = place.books.take_audit();
            if access >= needed {
                assert!(result.is_ok(), "{name} as {access}: {result:?}");
                assert_eq!(audit, [line], "{name} as {access}");
            } else {
                let error = result.unwrap_err();
                assert_eq!(error.kind(), ErrorKind::PermissionDenied);
                let lacks = Lacks::of(&error).unwrap();
                assert_eq!(lacks.has, access, "{name}");
                assert!(lacks.needed > access && lacks.needed <= needed, "{name}");
                assert_eq!(place.tree(), before, "{name} as {access}");
                assert!(
                    audit.len() == 1 && audit[0].contains("refused"),
                    "{audit:?}"
                );
            }
            assert_eq!(place.parts(), 0, "{name} as {access}");
        }
    }
}

#[test]
fn strangers_refusals_do_not_fill_the_audit_log() {
    let place = Place::new();
    let view = place.share().view(Access::Read);
    for (_, _, verb, _) in VERBS {
        assert_eq!(kind(verb(&view)), ErrorKind::PermissionDenied);
    }
    assert_eq!(place.books.take_audit(), [""; 0]);
}

#[test]
fn files_come_in_whole_or_not_at_all() {
    let place = Place::new();
    let view = place.view(Access::Write);
    let before = place.tree();

    let mut incoming = view.receive(&path("new"), intent(Existing::Keep)).unwrap();
    incoming.write(b"half").unwrap();
    assert_eq!(incoming.written(), 4);
    assert_eq!(kind(view.metadata(&path("new"))), ErrorKind::NotFound);
    assert_eq!(place.parts(), 1);
    drop(incoming);
    assert_eq!((place.tree(), place.parts()), (before.clone(), 0));

    let announced = |length| Intent {
        length: Some(length),
        ..intent(Existing::Keep)
    };
    let mut short = view.receive(&path("new"), announced(5)).unwrap();
    short.write(b"half").unwrap();
    assert_eq!(kind(short.finish()), ErrorKind::UnexpectedEof);
    let mut long = view.receive(&path("new"), announced(5)).unwrap();
    long.write(b"whole").unwrap();
    assert_eq!(kind(long.write(b"!")), ErrorKind::InvalidInput);
    drop(long);
    assert_eq!((place.tree(), place.parts()), (before, 0));
    assert_eq!(place.books.paths(), [""; 0]);

    let mut whole = view
        .receive(
            &path("new"),
            Intent {
                modified: Some(Modified { secs: 7, nanos: 9 }),
                ..announced(10)
            },
        )
        .unwrap();
    whole.write(b"first").unwrap();
    whole.reserve(5).unwrap();
    std::os::unix::fs::FileExt::write_all_at(whole.file(), b"then.", whole.written()).unwrap();
    whole.advance(5);
    let stored = whole.finish().unwrap();
    assert!(stored.created);
    assert_eq!(stored.meta, view.metadata(&path("new")).unwrap());
    assert_eq!(stored.meta.modified, Modified { secs: 7, nanos: 9 });
    assert_eq!(fs::read_to_string(place.disk("new")).unwrap(), "firstthen.");
    assert_eq!((place.books.used(), place.parts()), (10, 0));
}

#[test]
fn what_is_there_decides() {
    use Existing::{Keep, Replace};
    let place = Place::new();
    let view = place.view(Access::Write);
    let upload = place.view(Access::Upload);
    fs::create_dir(place.disk("empty")).unwrap();
    let fifo = Command::new("mkfifo")
        .arg(place.disk("fifo"))
        .status()
        .unwrap();
    assert!(fifo.success());
    let keep = |name| kind(put(&view, name, Keep, ""));
    let replace = |name| kind(put(&view, name, Replace, ""));
    assert_eq!(keep("file"), ErrorKind::AlreadyExists);
    assert_eq!(keep("folder"), ErrorKind::AlreadyExists);
    assert_eq!(keep("/"), ErrorKind::AlreadyExists);
    assert_eq!(replace("folder"), ErrorKind::IsADirectory);
    assert_eq!(replace("/"), ErrorKind::IsADirectory);
    assert_eq!(replace("nowhere/file"), ErrorKind::NotFound);
    assert_eq!(replace("file/file"), ErrorKind::NotFound);
    assert_eq!(keep("fifo"), ErrorKind::AlreadyExists);
    assert_eq!(replace("fifo"), ErrorKind::AlreadyExists);
    // Something appeared after the beginning.
    for (existing, expected) in [
        (Keep, ErrorKind::AlreadyExists),
        (Replace, ErrorKind::PermissionDenied),
    ] {
        let incoming = upload.receive(&path("late"), intent(existing)).unwrap();
        fs::write(place.disk("late"), "first").unwrap();
        assert_eq!(kind(incoming.finish()), expected);
        assert_eq!(fs::read_to_string(place.disk("late")).unwrap(), "first");
        fs::remove_file(place.disk("late")).unwrap();
    }
    assert_eq!(
        kind(view.make_folder(&path("file"))),
        ErrorKind::AlreadyExists
    );
    assert_eq!(kind(view.make_folder(&path("/"))), ErrorKind::AlreadyExists);
    assert_eq!(kind(view.make_folder(&path("a/b"))), ErrorKind::NotFound);
    assert_eq!(
        kind(view.make_folders(&path("file/b/c"))),
        ErrorKind::NotADirectory
    );
    assert_eq!(
        kind(view.make_folders(&path("file"))),
        ErrorKind::NotADirectory
    );
    view.make_folders(&path("a/b/c")).unwrap();
    view.make_folders(&path("a/b/c")).unwrap();
    view.make_folders(&path("/")).unwrap();

    assert_eq!(
        kind(view.remove_file(&path("folder"))),
        ErrorKind::IsADirectory
    );
    assert_eq!(kind(view.remove_file(&path("no"))), ErrorKind::NotFound);
    assert_eq!(kind(view.remove_file(&path("fifo"))), ErrorKind::NotFound);
    assert_eq!(kind(view.remove_tree(&path("fifo"))), ErrorKind::NotFound);
    assert_eq!(kind(view.remove_tree(&path("/"))), ErrorKind::InvalidInput);
    assert_eq!(
        kind(view.remove_folder(&path("file"))),
        ErrorKind::NotADirectory
    );
    assert_eq!(
        kind(view.remove_folder(&path("folder"))),
        ErrorKind::DirectoryNotEmpty
    );
    assert_eq!(kind(view.remove_folder(&path("no"))), ErrorKind::NotFound);
    assert_eq!(
        kind(view.set_modified(&path("no"), Modified { secs: 0, nanos: 0 })),
        ErrorKind::NotFound
    );
    assert_eq!(
        kind(view.set_modified(&path("fifo"), Modified { secs: 0, nanos: 0 })),
        ErrorKind::NotFound
    );

    let rename = |from, to, existing| kind(view.rename(&path(from), &path(to), existing));
    let copy = |from, to, existing| kind(view.copy(&path(from), &path(to), existing));
    assert_eq!(rename("no", "new", Keep), ErrorKind::NotFound);
    assert_eq!(rename("fifo", "new", Keep), ErrorKind::NotFound);
    assert_eq!(rename("file", "fifo", Replace), ErrorKind::AlreadyExists);
    assert_eq!(
        rename("file", "folder/deep", Keep),
        ErrorKind::AlreadyExists
    );
    assert_eq!(rename("file", "folder", Replace), ErrorKind::IsADirectory);
    assert_eq!(rename("folder", "file", Replace), ErrorKind::NotADirectory);
    assert_eq!(
        rename("empty", "folder", Replace),
        ErrorKind::DirectoryNotEmpty
    );
    assert_eq!(
        rename("folder", "folder/sub/new", Keep),
        ErrorKind::InvalidInput
    );
    assert_eq!(rename("folder", "nowhere/new", Keep), ErrorKind::NotFound);
    assert_eq!(rename("/", "new", Keep), ErrorKind::InvalidInput);
    assert_eq!(
        copy("folder", "folder/sub/new", Keep),
        ErrorKind::InvalidInput
    );
    assert_eq!(copy("folder", "folder", Replace), ErrorKind::InvalidInput);
    assert_eq!(copy("/", "new", Keep), ErrorKind::InvalidInput);
    assert_eq!(copy("folder", "empty", Replace), ErrorKind::AlreadyExists);
    assert_eq!(copy("folder", "file", Replace), ErrorKind::AlreadyExists);
    assert_eq!(copy("file", "folder", Replace), ErrorKind::IsADirectory);
    assert_eq!(copy("file", "folder/deep", Keep), ErrorKind::AlreadyExists);
    assert_eq!(copy("fifo", "new", Keep), ErrorKind::NotFound);
    assert!(!view.rename(&path("file"), &path("file"), Replace).unwrap());
    assert_eq!(
        kind(upload.copy(&path("file"), &path("folder/deep"), Replace)),
        ErrorKind::PermissionDenied
    );

    assert_eq!(
        kind(view.write_in_place(&path("folder"), How::Append)),
        ErrorKind::IsADirectory
    );
    assert_eq!(
        kind(view.write_in_place(&path("fifo"), How::Append)),
        ErrorKind::AlreadyExists
    );
    assert_eq!(
        kind(view.write_in_place(&path("no"), How::At(1))),
        ErrorKind::NotFound
    );
    assert_eq!(
        kind(view.write_in_place(&path("file"), How::At(7))),
        ErrorKind::InvalidInput
    );
    assert_eq!(fs::read_to_string(place.disk("file")).unwrap(), "inside");
    assert_eq!(place.parts(), 0);
}

#[test]
fn a_file_is_replaced_only_if_it_is_still_this_one() {
    let place = Place::new();
    let view = place.view(Access::Write);
    let this = || Existing::ReplaceThis(view.metadata(&path("file")).unwrap());
    let seen = this();
    assert!(!put(&view, "file", seen, "second").unwrap().created);
    assert_eq!(
        kind(put(&view, "file", seen, "third")),
        ErrorKind::ResourceBusy
    );
    assert_eq!(
        kind(put(&view, "gone", seen, "third")),
        ErrorKind::ResourceBusy
    );
    let late = view.receive(&path("file"), intent(this())).unwrap();
    put(&view, "file", Existing::Replace, "meanwhile").unwrap();
    assert_eq!(kind(late.finish()), ErrorKind::ResourceBusy);
    assert_eq!(fs::read_to_string(place.disk("file")).unwrap(), "meanwhile");
    let rename = |existing| view.rename(&path("folder/deep"), &path("file"), existing);
    assert_eq!(kind(rename(seen)), ErrorKind::ResourceBusy);
    assert!(!rename(this()).unwrap());
    assert_eq!(place.parts(), 0);
}

#[test]
fn of_many_who_replace_the_same_one_wins() {
    let place = Place::new();
    let view = place.view(Access::Write);
    for round in 0..50 {
        let seen = Existing::ReplaceThis(view.metadata(&path("file")).unwrap());
        let won: usize = thread::scope(|scope| {
            let threads: Vec<_> = (0..4)
                .map(|number| {
                    let view = &view;
                    scope.spawn(move || {
                        let content = format!("{round} {number}");
                        match put(view, "file", seen, &content) {
                            Ok(_) => 1,
                            Err(error) => {
                                assert_eq!(error.kind(), ErrorKind::ResourceBusy);
                                0
                            }
                        }
                    })
                })
                .collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap())
                .sum()
        });
        assert_eq!(won, 1, "in round {round}");
    }
}

#[test]
fn of_many_who_create_the_same_one_wins() {
    let place = Place::new();
    let view = place.view(Access::Upload);
    for round in 0..50 {
        let name = format!("new {round}");
        let won: usize = thread::scope(|scope| {
            let threads: Vec<_> = (0..4)
                .map(|_| {
                    scope.spawn(|| usize::from(put(&view, &name, Existing::Keep, "x").is_ok()))
                })
                .collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap())
                .sum()
        });
        assert_eq!(won, 1, "in round {round}");
    }
    assert_eq!(place.parts(), 0);
}

#[test]
fn readers_never_see_half_a_file() {
    let place = Place::new();
    let view = place.view(Access::Write);
    const LENGTH: usize = 300_000;
    put(&view, "file", Existing::Replace, &"0".repeat(LENGTH)).unwrap();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let until = Until(&done);
        let readers: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    let mut seen = BTreeSet::new();
                    while !done.load(Ordering::Relaxed) {
                        let mut opened = view.open(&path("file")).unwrap();
                        let mut bytes = Vec::new();
                        opened.file.read_to_end(&mut bytes).unwrap();
                        assert_eq!(bytes.len(), LENGTH);
                        assert!(bytes.iter().all(|&byte| byte == bytes[0]));
                        seen.insert(bytes[0]);
                    }
                    seen.len()
                })
            })
            .collect();
        for number in 0..100 {
            let content = (number % 10).to_string().repeat(LENGTH);
            put(&view, "file", Existing::Replace, &content).unwrap();
        }
        drop(until);
        for reader in readers {
            assert!(reader.join().unwrap() > 1);
        }
    });
}

#[test]
fn links_are_removed_renamed_and_replaced_never_followed() {
    let place = Place::new();
    let view = place.view(Access::Write);
    let outside = place.outer.path().join("outside");
    for target in [
        outside.clone(),
        outside.join("canary"),
        "folder".into(),
        "file".into(),
    ] {
        let link = |name: &str| symlink(&target, place.disk(name)).unwrap();
        link("link");
        view.remove_file(&path("link")).unwrap();
        link("link");
        view.remove_tree(&path("link")).unwrap();
        link("link");
        assert_eq!(
            kind(view.remove_folder(&path("link"))),
            ErrorKind::NotADirectory
        );
        assert_eq!(
            kind(put(&view, "link", Existing::Keep, "")),
            ErrorKind::AlreadyExists
        );
        assert_eq!(
            kind(view.make_folder(&path("link"))),
            ErrorKind::AlreadyExists
        );
        for how in [How::Append, How::Truncate, How::At(0)] {
            assert_eq!(
                kind(view.write_in_place(&path("link"), how)),
                ErrorKind::AlreadyExists
            );
        }
        view.rename(&path("link"), &path("renamed"), Existing::Keep)
            .unwrap();
        assert_eq!(fs::read_link(place.disk("renamed")).unwrap(), target);
        assert!(
            !put(&view, "renamed", Existing::Replace, "file now")
                .unwrap()
                .created
        );
        assert_eq!(
            fs::read_to_string(place.disk("renamed")).unwrap(),
            "file now"
        );
        link("link");
        view.copy(&path("renamed"), &path("link"), Existing::Replace)
            .unwrap();
        assert!(fs::symlink_metadata(place.disk("link")).unwrap().is_file());
        view.remove_file(&path("renamed")).unwrap();
        view.remove_file(&path("link")).unwrap();
    }
    // Out of the share there is nothing to do anything with.
    symlink(&outside, place.disk("out")).unwrap();
    assert_eq!(
        kind(put(&view, "out/new", Existing::Replace, "")),
        ErrorKind::NotFound
    );
    assert_eq!(
        kind(view.remove_file(&path("out/canary"))),
        ErrorKind::NotFound
    );
    assert_eq!(
        kind(view.make_folder(&path("out/new"))),
        ErrorKind::NotFound
    );
    assert_eq!(
        kind(view.make_folders(&path("out/new"))),
        ErrorKind::NotADirectory
    );
    assert_eq!(
        kind(view.rename(&path("file"), &path("out/file"), Existing::Replace)),
        ErrorKind::NotFound
    );
    assert_eq!(
        kind(view.rename(&path("out/canary"), &path("x"), Existing::Replace)),
        ErrorKind::NotFound
    );
    assert_eq!(
        kind(view.copy(&path("out/canary"), &path("x"), Existing::Replace)),
        ErrorKind::NotFound
    );
    assert_eq!(
        kind(view.copy(&path("file"), &path("out/x"), Existing::Replace)),
        ErrorKind::NotFound
    );
    assert_eq!(
        kind(view.share().below(&path("out"))),
        ErrorKind::NotADirectory
    );
    // A tree with links out of it goes; where they lead, nothing does.
    symlink(&outside, place.disk("folder/out")).unwrap();
    symlink("../file", place.disk("folder/up")).unwrap();
    view.remove_tree(&path("folder")).unwrap();
    assert_eq!(fs::read_to_string(place.disk("file")).unwrap(), "inside");
    place.canary_sings();
}

#[test]
fn the_books_know_a_file_by_one_path() {
    let place = Place::new();
    symlink("folder", place.disk("link")).unwrap();
    let view = place.view(Access::Write);
    put(&view, "link/new", Existing::Keep, "12345").unwrap();
    assert_eq!(place.books.paths(), ["/folder/new"]);
    assert_eq!(
        kind(view.copy(&path("folder"), &path("link/copy"), Existing::Keep)),
        ErrorKind::InvalidInput
    );
    assert_eq!(
        kind(view.rename(&path("folder"), &path("link/copy"), Existing::Keep)),
        ErrorKind::InvalidInput
    );
    view.remove_file(&path("folder/new")).unwrap();
    assert_eq!(place.books.paths(), [""; 0]);
    // Not even a link of the operator's leads to what is hidden.
    put(&view, "x", Existing::Keep, "").unwrap();
    symlink(".hythe/uploads", place.disk("hidden")).unwrap();
    assert_eq!(
        kind(put(&view, "hidden/x", Existing::Keep, "")),
        ErrorKind::NotFound
    );
}

#[test]
fn links_swapped_in_meanwhile_lead_nowhere() {
    let place = Place::new();
    let view = place.view(Access::Write);
    let outside = place.outer.path().join("outside");
    // `swing` is in turn a folder of the share and a link out of it, and
    // `last` a file and a link to the canary.
    fs::create_dir(place.disk("swing")).unwrap();
    symlink(&outside, place.disk("swung")).unwrap();
    symlink(outside.join("canary"), place.disk("last-link")).unwrap();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let until = Until(&done);
        scope.spawn(|| {
            let exchange = |one: &str, other: &str| {
                let root = File::open(place.disk("")).unwrap();
                let flags = rustix::fs::RenameFlags::EXCHANGE;
                let _ = rustix::fs::renameat_with(&root, one, &root, other, flags);
            };
            while !done.load(Ordering::Relaxed) {
                exchange("swing", "swung");
                exchange("last", "last-link");
            }
        });
        let canary = path("swing/canary");
        for round in 0..RACES {
            // What the verbs say depends on when they look; what is outside
            // must not.
            let _ = put(&view, "swing/canary", Existing::Replace, "overwritten");
            let _ = put(&view, "last", Existing::Replace, "overwritten");
            let _ = view.write_in_place(&canary, How::Truncate);
            let _ = fs::remove_file(place.disk("last-link"));
            let _ = symlink(outside.join("canary"), place.disk("last-link"));
            for _ in 0..50 {
                let _ = view.write_in_place(&path("last"), How::Truncate);
            }
            let _ = view.set_modified(&canary, Modified { secs: 0, nanos: 0 });
            let _ = view.set_modified(&path("last"), Modified { secs: 0, nanos: 0 });
            let _ = view.rename(&path("file"), &canary, Existing::Replace);
            let _ = view.rename(&canary, &path("file"), Existing::Replace);
            let _ = view.copy(&path("folder"), &path("swing/tree"), Existing::Keep);
            let _ = view.make_folder(&path("swing/new"));
            let _ = view.make_folders(&path("swing/new/newer"));
            let _ = view.remove_folder(&path("swing/new/newer"));
            let _ = view.remove_file(&canary);
            let _ = view.share().below(&path("swing/home"));
            if round % 10 == 0 {
                let _ = view.remove_tree(&path("swing/tree"));
                let _ = view.remove_tree(&path("swing"));
                let _ = fs::create_dir(place.disk("swing"));
                let _ = symlink(&outside, place.disk("swung"));
                let _ = fs::write(place.disk("file"), "inside");
            }
        }
        drop(until);
    });
    place.canary_sings();
    let modified = fs::metadata(outside.join("canary")).unwrap().mtime();
    assert!(modified > 1_000_000);
    assert_eq!(place.parts(), 0);
}

#[test]
fn trees_that_change_while_they_are_removed_take_nothing_else_along() {
    let place = Place::new();
    let view = place.view(Access::Write);
    let outside = place.outer.path().join("outside");
    for _ in 0..15 {
        for number in 0..20 {
            fs::create_dir_all(place.disk(format!("tree/{number}/a/b/c"))).unwrap();
            fs::write(place.disk(format!("tree/{number}/a/b/file")), "x").unwrap();
        }
        symlink(&outside, place.disk("folder/link")).unwrap();
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            let until = Until(&done);
            scope.spawn(|| {
                let root = File::open(place.disk("")).unwrap();
                while !done.load(Ordering::Relaxed) {
                    for number in 0..20 {
                        let _ = rustix::fs::renameat_with(
                            &root,
                            "folder/link",
                            &root,
                            format!("tree/{number}/a/b"),
                            rustix::fs::RenameFlags::EXCHANGE,
                        );
                    }
                }
            });
            // Someone else's changes may make it fail, and then it is tried
            // again.
            while view.metadata(&path("tree")).is_ok() {
                let _ = view.remove_tree(&path("tree"));
            }
            drop(until);
        });
        place.canary_sings();
        let _ = view.remove_tree(&path("folder/link"));
    }
}

#[test]
fn a_tree_swapped_for_a_link_takes_nothing_of_where_it_leads_along() {
    let place = Place::new();
    let view = place.view(Access::Write);
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let until = Until(&done);
        scope.spawn(|| {
            let root = File::open(place.disk("")).unwrap();
            let flags = rustix::fs::RenameFlags::EXCHANGE;
            while !done.load(Ordering::Relaxed) {
                let _ = rustix::fs::renameat_with(&root, "tree", &root, "link", flags);
            }
        });
        for _ in 0..RACES {
            let _ = fs::create_dir(place.disk("tree"));
            let _ = symlink("folder", place.disk("link"));
            for _ in 0..20 {
                let _ = view.remove_tree(&path("tree"));
            }
        }
        drop(until);
    });
    assert_eq!(
        fs::read_to_string(place.disk("folder/deep")).unwrap(),
        "deep inside"
    );
}

#[test]
fn deep_and_wide_trees_are_removed_whole() {
    let place = Place::new();
    let view = place.view(Access::Write);
    // Deeper than a path can be written, made from within.
    let deep = "d".repeat(200);
    let script = format!(
        "mkdir top && cd top && for i in $(seq 60); do mkdir {deep}; cd -P {deep}; : > file; done"
    );
    let made = Command::new("bash")
        .args(["-c", &script])
        .current_dir(place.disk(""))
        .status()
        .unwrap();
    assert!(made.success());
    for number in 0..3000 {
        fs::create_dir(place.disk(format!("top/{number}"))).unwrap();
    }
    put(&view, "top/0/file", Existing::Keep, "x").unwrap();
    view.remove_tree(&path("top")).unwrap();
    assert!(!place.disk("top").exists());
    assert_eq!(place.books.paths(), [""; 0]);
}

#[test]
fn what_is_not_shown_is_not_removed_and_the_books_say_what_is() {
    let place = Place::new();
    let view = place.view(Access::Write);
    put(&view, "folder/sub/one", Existing::Keep, "1").unwrap();
    put(&view, "folder/two", Existing::Keep, "2").unwrap();
    fs::create_dir_all(place.disk("folder/stays/.Hythe")).unwrap();
    fs::write(place.disk("folder/stays/.Hythe/part"), "x").unwrap();
    let error = view.remove_tree(&path("folder")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::DirectoryNotEmpty);
    assert!(error.to_string().contains("not shown"), "{error}");
    assert!(place.disk("folder/stays/.Hythe/part").exists());
    // The books agree with the disk about what is left.
    for name in ["folder/sub/one", "folder/two"] {
        let booked = place.books.paths().contains(&format!("/{name}"));
        assert_eq!(booked, place.disk(name).exists(), "{name}");
    }
}

#[test]
fn quota_reached_on_the_way_leaves_the_tree_as_it_was() {
    let place = Place::new();
    place.books.quota.store(50 * 1024 * 1024, Ordering::Relaxed);
    let view = place.view(Access::Write);
    let before = place.tree();
    let megabyte = vec![b'x'; 1024 * 1024];

    let announced = Intent {
        length: Some(51 * 1024 * 1024),
        ..intent(Existing::Keep)
    };
    assert_eq!(
        kind(view.receive(&path("new"), announced)),
        ErrorKind::QuotaExceeded
    );
    let mut incoming = view.receive(&path("new"), intent(Existing::Keep)).unwrap();
    let mut written = 0;
    let error = loop {
        match incoming.write(&megabyte) {
            Ok(()) => written += 1,
            Err(error) => break error,
        }
    };
    assert_eq!((error.kind(), written), (ErrorKind::QuotaExceeded, 50));
    drop(incoming);
    assert_eq!((place.tree() == before, place.parts()), (true, 0));

    // Two at a time had room each; the ledger has the last word.
    let begin = |name| {
        let mut incoming = view.receive(&path(name), intent(Existing::Keep)).unwrap();
        for _ in 0..30 {
            incoming.write(&megabyte).unwrap();
        }
        incoming
    };
    let (one, other) = (begin("one"), begin("other"));
    one.finish().unwrap();
    assert_eq!(kind(other.finish()), ErrorKind::QuotaExceeded);
    assert!(!place.disk("other").exists());
    assert_eq!(place.books.used(), 30 * 1024 * 1024);

    // What is replaced makes room for what replaces it.
    let mut again = view
        .receive(&path("one"), intent(Existing::Replace))
        .unwrap();
    for _ in 0..50 {
        again.write(&megabyte).unwrap();
    }
    assert_eq!(kind(again.write(b"x")), ErrorKind::QuotaExceeded);
    drop(again);

    // Copies count; a folder that does not fit is not there at all.
    let copy = |from, to| view.copy(&path(from), &path(to), Existing::Keep);
    assert_eq!(kind(copy("one", "two")), ErrorKind::QuotaExceeded);
    view.make_folder(&path("tree")).unwrap();
    view.make_folder(&path("tree/sub")).unwrap();
    view.rename(&path("one"), &path("tree/sub/one"), Existing::Keep)
        .unwrap();
    put(&view, "tree/small", Existing::Keep, "small").unwrap();
    let booked = place.books.paths();
    assert_eq!(kind(copy("tree", "copy")), ErrorKind::QuotaExceeded);
    assert!(!place.disk("copy").exists());
    assert_eq!((place.books.paths(), place.parts()), (booked, 0));

    // In place: as long as it was, or gone.
    let mut writing = view.write_in_place(&path("new"), How::Append).unwrap();
    let mut written = 0;
    while writing.write(&megabyte).is_ok() {
        written += 1;
    }
    assert_eq!(written, 19);
    writing.finish().unwrap();
    let mut writing = view
        .write_in_place(&path("tree/small"), How::Append)
        .unwrap();
    writing.write(&megabyte[..1000]).unwrap();
    place.books.quota.store(1, Ordering::Relaxed);
    assert_eq!(kind(writing.finish()), ErrorKind::QuotaExceeded);
    assert_eq!(
        fs::read_to_string(place.disk("tree/small")).unwrap(),
        "small"
    );
    let writing = view.write_in_place(&path("born"), How::Append).unwrap();
    std::os::unix::fs::FileExt::write_all_at(writing.file(), b"xx", 0).unwrap();
    drop(writing);
    assert!(!place.disk("born").exists());
}

#[test]
fn uploads_have_a_limit() {
    let place = Place::new();
    let share = place.share_with(Durability::None, Some(10));
    let view = share.view(Access::Write);
    let length = |length| Intent {
        length: Some(length),
        ..intent(Existing::Keep)
    };
    assert_eq!(
        kind(view.receive(&path("new"), length(11))),
        ErrorKind::FileTooLarge
    );
    let mut incoming = view.receive(&path("new"), length(10)).unwrap();
    incoming.write(&[0; 10]).unwrap();
    incoming.finish().unwrap();
    let mut incoming = view.receive(&path("more"), intent(Existing::Keep)).unwrap();
    incoming.write(&[0; 10]).unwrap();
    assert_eq!(kind(incoming.write(&[0])), ErrorKind::FileTooLarge);
    let mut writing = view.write_in_place(&path("new"), How::Append).unwrap();
    assert_eq!(kind(writing.write(&[0])), ErrorKind::FileTooLarge);
}

#[test]
fn writing_in_place() {
    let place = Place::new();
    let view = place.view(Access::Write);
    let write = |how, content: &[u8]| {
        let mut writing = view.write_in_place(&path("new"), how).unwrap();
        writing.write(content).unwrap();
        writing.finish().unwrap();
        fs::read_to_string(place.disk("new")).unwrap()
    };
    assert_eq!(write(How::Truncate, b"first"), "first");
    assert_eq!(write(How::Append, b" second"), "first second");
    assert_eq!(write(How::At(6), b"SEC"), "first SECond");
    assert_eq!(write(How::Truncate, b"new"), "new");
    assert_eq!(place.books.used(), 3);
    assert_eq!(
        place.books.take_audit(),
        [
            "anna create /new",
            "anna append /new",
            "anna append /new",
            "anna overwrite /new"
        ]
    );
    // Whoever goes away leaves what has come, and it counts.
    let mut writing = view.write_in_place(&path("new"), How::Append).unwrap();
    writing.write(b"er").unwrap();
    assert_eq!(writing.offset(), 5);
    drop(writing);
    assert_eq!(place.books.used(), 5);
}

#[test]
fn the_books_follow_what_is_renamed_copied_and_removed() {
    let place = Place::new();
    let view = place.view(Access::Write);
    put(&view, "folder/one", Existing::Keep, "1").unwrap();
    put(&view, "folder/sub/two", Existing::Keep, "22").unwrap();
    assert!(
        view.rename(&path("folder"), &path("moved"), Existing::Keep)
            .unwrap()
    );
    assert_eq!(place.books.paths(), ["/moved/one", "/moved/sub/two"]);
    assert!(
        view.copy(&path("moved"), &path("copied"), Existing::Keep)
            .unwrap()
    );
    assert_eq!(
        place.books.paths(),
        [
            "/copied/deep",
            "/copied/one",
            "/copied/sub/two",
            "/moved/one",
            "/moved/sub/two"
        ]
    );
    assert_eq!(place.books.used(), 3 + 3 + "deep inside".len() as u64);
    assert!(
        !view
            .copy(&path("file"), &path("moved/one"), Existing::Replace)
            .unwrap()
    );
    view.remove_tree(&path("copied")).unwrap();
    view.remove_file(&path("moved/sub/two")).unwrap();
    assert_eq!(place.books.paths(), ["/moved/one"]);
    assert_eq!(place.books.used(), "inside".len() as u64);
    assert_eq!(place.parts(), 0);
}

#[test]
fn two_names_of_one_file_become_one() {
    let place = Place::new();
    let view = place.view(Access::Write);
    fs::hard_link(place.disk("file"), place.disk("other")).unwrap();
    view.rename(&path("file"), &path("other"), Existing::Replace)
        .unwrap();
    assert!(!place.disk("file").exists());
    assert_eq!(fs::read_to_string(place.disk("other")).unwrap(), "inside");
}

#[test]
fn copies_keep_times_and_permissions() {
    let place = Place::new();
    let view = place.view(Access::Write);
    let mode = |name: &str| fs::metadata(place.disk(name)).unwrap().permissions().mode() & 0o7777;
    let set = |name: &str, mode| {
        fs::set_permissions(place.disk(name), fs::Permissions::from_mode(mode)).unwrap();
    };
    // What the process gives new files, whatever its umask.
    File::create(place.disk("plain")).unwrap();
    fs::create_dir(place.disk("plain-folder")).unwrap();
    let (file, folder) = (mode("plain"), mode("plain-folder"));

    put(&view, "new", Existing::Keep, "x").unwrap();
    view.make_folder(&path("new-folder")).unwrap();
    view.write_in_place(&path("in-place"), How::Truncate)
        .unwrap()
        .finish()
        .unwrap();
    assert_eq!(
        (mode("new"), mode("in-place"), mode("new-folder")),
        (file, file, folder)
    );
    assert_eq!(mode(".hythe"), 0o700);

    set("file", 0o640);
    put(&view, "file", Existing::Replace, "x").unwrap();
    assert_eq!(mode("file"), 0o640);
    set("file", 0o4755);
    put(&view, "file", Existing::Replace, "x").unwrap();
    assert_eq!(mode("file"), 0o755);

    view.set_modified(&path("file"), Modified { secs: 5, nanos: 6 })
        .unwrap();
    view.copy(&path("file"), &path("copy"), Existing::Keep)
        .unwrap();
    let meta = view.metadata(&path("copy")).unwrap();
    assert_eq!(meta.modified, Modified { secs: 5, nanos: 6 });
    assert_eq!(mode("copy"), file | (0o111 & (file >> 2)));
    fs::create_dir(place.disk("folder/empty")).unwrap();
    view.copy(&path("folder"), &path("tree"), Existing::Keep)
        .unwrap();
    assert_eq!(tree(&place.disk("tree")), tree(&place.disk("folder")));
    assert_eq!(mode("tree"), folder);
}

#[test]
fn what_a_crash_left_is_swept_and_what_lives_is_not() {
    let place = Place::new();
    let share = place.share();
    let view = share.view(Access::Write);
    assert_eq!(share.sweep().unwrap(), 0);
    let mut alive = view.receive(&path("new"), intent(Existing::Keep)).unwrap();
    alive.write(b"alive").unwrap();
    let uploads = place.disk(".hythe/uploads");
    fs::write(uploads.join("put-dead"), "dead").unwrap();
    fs::create_dir_all(uploads.join("put-tree/sub")).unwrap();
    fs::write(uploads.join("put-tree/sub/file"), "dead").unwrap();
    fs::write(uploads.join("0123456789abcdef"), "resumable").unwrap();
    symlink("/", uploads.join("put-link")).unwrap();
    // Another process, as far as locks go: they belong to the open file.
    let other = Share::open(&place.disk("")).unwrap();
    assert_eq!(other.sweep().unwrap(), 2);
    assert_eq!(other.sweep().unwrap(), 0);
    let left: BTreeSet<_> = fs::read_dir(&uploads)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(left.len(), 3);
    assert!(left.contains("0123456789abcdef") && left.contains("put-link"));
    alive.finish().unwrap();
    assert_eq!(fs::read_to_string(place.disk("new")).unwrap(), "alive");
}

#[test]
fn parts_are_made_while_others_sweep() {
    let place = Place::new();
    let view = place.view(Access::Write);
    put(&view, "first", Existing::Keep, "").unwrap();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let until = Until(&done);
        scope.spawn(|| {
            let share = place.share();
            while !done.load(Ordering::Relaxed) {
                share.sweep().unwrap();
            }
        });
        for round in 0..500 {
            put(&view, "file", Existing::Replace, &round.to_string()).unwrap();
            view.copy(&path("folder"), &path("copy"), Existing::Keep)
                .unwrap();
            view.remove_tree(&path("copy")).unwrap();
        }
        drop(until);
    });
    assert_eq!(place.parts(), 0);
}

#[test]
fn the_reserved_name_cannot_be_made_anywhere_in_any_case() {
    let place = Place::new();
    let view = place.view(Access::Write);
    put(&view, "new", Existing::Keep, "").unwrap();
    let before = place.tree();
    for name in [".hythe", ".HYTHE", ".hyThe"] {
        for prefix in ["", "folder/"] {
            for suffix in ["", "/uploads", "/uploads/put-x"] {
                let name = format!("{prefix}{name}{suffix}");
                let (at, file) = (path(&name), path("file"));
                let denied = ErrorKind::PermissionDenied;
                assert_eq!(
                    kind(put(&view, &name, Existing::Replace, "")),
                    denied,
                    "{name}"
                );
                assert_eq!(kind(view.make_folder(&at)), denied);
                assert_eq!(kind(view.make_folders(&at)), denied);
                assert_eq!(kind(view.rename(&file, &at, Existing::Replace)), denied);
                assert_eq!(kind(view.copy(&file, &at, Existing::Replace)), denied);
                assert_eq!(kind(view.write_in_place(&at, How::Append)), denied);
                assert_eq!(kind(view.share().below(&at)), denied);
                let none = ErrorKind::NotFound;
                assert_eq!(kind(view.remove_file(&at)), none);
                assert_eq!(kind(view.remove_folder(&at)), none);
                assert_eq!(kind(view.remove_tree(&at)), none);
                assert_eq!(kind(view.rename(&at, &file, Existing::Replace)), none);
                assert_eq!(kind(view.copy(&at, &path("y"), Existing::Replace)), none);
                assert_eq!(
                    kind(view.set_modified(&at, Modified { secs: 0, nanos: 0 })),
                    none
                );
            }
        }
    }
    assert_eq!(place.tree(), before);
    put(&view, ".hythe2", Existing::Keep, "").unwrap();
    put(&view, "x.hythe", Existing::Keep, "").unwrap();
}

#[test]
fn names_of_all_kinds() {
    let place = Place::new();
    let view = place.view(Access::Write);
    let long = "n".repeat(255);
    let names: [&[u8]; 6] = [
        long.as_bytes(),
        b"\xff\xfe not text",
        b"line\nfeed",
        b"-rf",
        b" ",
        "中文".as_bytes(),
    ];
    for name in names {
        let at = RelPath::root().join(name).unwrap();
        let mut incoming = view.receive(&at, intent(Existing::Keep)).unwrap();
        incoming.write(name).unwrap();
        incoming.finish().unwrap();
        let disk = place.disk(OsStr::from_bytes(name));
        assert_eq!(fs::read(&disk).unwrap(), name);
        let inside = path("folder").join(name).unwrap();
        view.copy(&at, &inside, Existing::Keep).unwrap();
        view.rename(&at, &inside, Existing::Replace).unwrap();
        assert!(!disk.exists());
        view.make_folder(&at).unwrap();
        view.rename(&inside, &at.join(name).unwrap(), Existing::Keep)
            .unwrap();
        view.remove_tree(&at).unwrap();
        assert!(!disk.exists());
    }
    assert!(RelPath::root().join(&[b'n'; 256]).is_err());
}

#[test]
fn a_home_is_the_share_from_there_down() {
    let place = Place::new();
    let share = place.share();
    let home = share.below(&path("people/anna")).unwrap();
    assert_eq!(home.name(), "anna");
    assert!(place.disk("people/anna").is_dir());
    let view = home.view_of(Access::Write, visitor("anna"));
    put(&view, "file", Existing::Keep, "anna's").unwrap();
    view.make_folder(&path("folder")).unwrap();
    view.rename(&path("file"), &path("folder/file"), Existing::Keep)
        .unwrap();
    view.copy(&path("folder"), &path("copy"), Existing::Keep)
        .unwrap();
    assert_eq!(
        place.books.paths(),
        ["/people/anna/copy/file", "/people/anna/folder/file"]
    );
    assert_eq!(
        place.books.take_audit(),
        [
            "anna create /people/anna/file",
            "anna mkdir /people/anna/folder",
            "anna rename /people/anna/file /people/anna/folder/file",
            "anna copy /people/anna/folder /people/anna/copy",
        ]
    );
    assert!(!place.disk("people/anna/.hythe").exists() && place.disk(".hythe").exists());
    // Nothing leads out of it, into the rest of the share either.
    symlink("../../file", place.disk("people/anna/up")).unwrap();
    assert_eq!(kind(view.metadata(&path("up"))), ErrorKind::NotFound);
    put(&view, "up", Existing::Replace, "mine").unwrap();
    assert_eq!(fs::read_to_string(place.disk("file")).unwrap(), "inside");
    // A home within a home, and the whole again.
    let deeper = home
        .below(&path("folder"))
        .unwrap()
        .view_of(Access::Write, visitor("anna"));
    deeper.remove_file(&path("file")).unwrap();
    assert!(
        !place
            .books
            .paths()
            .contains(&"/people/anna/folder/file".to_owned())
    );
    assert_eq!(share.below(&RelPath::root()).unwrap().name(), share.name());
    symlink("people", place.disk("staff")).unwrap();
    let linked = share.below(&path("staff/anna")).unwrap();
    let linked = linked.view_of(Access::Write, visitor("anna"));
    put(&linked, "new", Existing::Keep, "").unwrap();
    assert!(place.books.paths().contains(&"/people/anna/new".to_owned()));
    assert_eq!(kind(share.below(&path("file"))), ErrorKind::NotADirectory);
    assert_eq!(kind(share.below(&path("file/x"))), ErrorKind::NotADirectory);
}

#[test]
fn beside_one_file_nothing_is_written() {
    let place = Place::new();
    let share = Share::open(&place.disk("file")).unwrap();
    let view = share.view(Access::Admin);
    let before = tree(place.outer.path());
    for (name, _, verb, _) in VERBS {
        let error = verb(&view).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{name}");
        assert!(
            error.to_string().contains("what is shared is one file"),
            "{name}"
        );
    }
    assert_eq!(kind(share.below(&path("home"))), ErrorKind::Unsupported);
    assert_eq!(share.sweep().unwrap(), 0);
    assert_eq!(tree(place.outer.path()), before);
}

#[test]
fn everything_is_there_after_syncing_too() {
    for durability in [Durability::Complete, Durability::Every] {
        let place = Place::new();
        let share = place.share_with(durability, None);
        let view = share.view_of(Access::Write, visitor("anna"));
        for (name, _, verb, _) in VERBS {
            let place = Place::new();
            let share = place.share_with(durability, None);
            let result = verb(&share.view_of(Access::Write, visitor("anna")));
            assert!(result.is_ok(), "{name}: {result:?}");
        }
        // A folder that may be written to but not read.
        let folder = place.disk("folder");
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o300)).unwrap();
        put(&view, "folder/new", Existing::Keep, "x").unwrap();
        assert!(place.disk("folder/new").exists());
    }
}

#[test]
fn a_full_disk_leaves_the_tree_as_it_was() {
    with_mounts("mounted::full_disk");
}

#[test]
fn another_disk_within_the_share_is_written_to_all_the_same() {
    with_mounts("mounted::another_disk");
}

#[test]
fn the_same_disk_mounted_again_is_another() {
    with_mounts("mounted::bind");
}

#[test]
fn a_read_only_disk_says_so() {
    with_mounts("mounted::read_only");
}

/// Run by [`with_mounts`] only.
mod mounted {
    use super::*;

    const REASON: &str = "run by the test that gives it mounts of its own";

    #[test]
    #[ignore = "run by the test that gives it mounts of its own"]
    fn full_disk() {
        let place = Place::new();
        mount(&["-t", "tmpfs", "-o", "size=8m", "small"], &place.disk(""));
        fs::write(place.disk("file"), "inside").unwrap();
        let view = place.view(Access::Write);
        let announced = Intent {
            length: Some(9 * 1024 * 1024),
            ..intent(Existing::Replace)
        };
        let early = view.receive(&path("file"), announced);
        assert_eq!(kind(early), ErrorKind::StorageFull, "{REASON}");
        let mut incoming = view
            .receive(&path("file"), intent(Existing::Replace))
            .unwrap();
        let chunk = vec![b'x'; 1024 * 1024];
        let error = loop {
            if let Err(error) = incoming.write(&chunk) {
                break error;
            }
        };
        assert_eq!(error.kind(), ErrorKind::StorageFull);
        drop(incoming);
        assert_eq!(fs::read_to_string(place.disk("file")).unwrap(), "inside");
        assert_eq!(place.parts(), 0);

        put(&view, "folder", Existing::Keep, "").unwrap();
        view.remove_file(&path("folder")).unwrap();
        view.make_folder(&path("folder")).unwrap();
        put(
            &view,
            "folder/big",
            Existing::Keep,
            &"x".repeat(5 * 1024 * 1024),
        )
        .unwrap();
        let before = (place.tree(), place.books.paths());
        let copy = |from, to| kind(view.copy(&path(from), &path(to), Existing::Keep));
        assert_eq!(copy("folder", "copy"), ErrorKind::StorageFull);
        assert_eq!(copy("folder/big", "copy"), ErrorKind::StorageFull);
        assert_eq!((place.tree(), place.books.paths()), before);
        assert_eq!(place.parts(), 0);
        // There is room again by itself.
        put(&view, "next", Existing::Keep, &"x".repeat(2 * 1024 * 1024)).unwrap();
    }

    #[test]
    #[ignore = "run by the test that gives it mounts of its own"]
    fn another_disk() {
        let place = Place::new();
        fs::create_dir(place.disk("disk")).unwrap();
        mount(
            &["-t", "tmpfs", "-o", "size=64m", "other"],
            &place.disk("disk"),
        );
        across(&place);
        // What a crash left there goes with the next file.
        let view = place.view(Access::Write);
        fs::create_dir(place.disk("disk/.hythe")).unwrap();
        fs::write(place.disk("disk/.hythe/put-dead"), "dead").unwrap();
        put(&view, "disk/last", Existing::Keep, "x").unwrap();
        assert!(!place.disk("disk/.hythe").exists());
        // A tree with a disk in it stays, and so does what is on the disk.
        assert_eq!(
            kind(view.remove_tree(&path("disk"))),
            ErrorKind::ResourceBusy
        );
        assert!(place.disk("disk/last").exists());
    }

    #[test]
    #[ignore = "run by the test that gives it mounts of its own"]
    fn bind() {
        let place = Place::new();
        fs::create_dir(place.disk("disk")).unwrap();
        let outside = place.outer.path().join("elsewhere");
        fs::create_dir(&outside).unwrap();
        mount(&["--bind", outside.to_str().unwrap()], &place.disk("disk"));
        across(&place);
    }

    fn across(place: &Place) {
        let view = place.view(Access::Write);
        let read = |name: &str| fs::read_to_string(place.disk(name)).unwrap();
        assert!(
            put(&view, "disk/new", Existing::Keep, "new")
                .unwrap()
                .created
        );
        assert_eq!(
            kind(put(&view, "disk/new", Existing::Keep, "")),
            ErrorKind::AlreadyExists
        );
        let seen = view.metadata(&path("disk/new")).unwrap();
        let stored = put(&view, "disk/new", Existing::ReplaceThis(seen), "newer").unwrap();
        assert!(!stored.created);
        assert_eq!(stored.meta, view.metadata(&path("disk/new")).unwrap());
        assert_eq!(read("disk/new"), "newer");

        put(&view, "moved", Existing::Keep, "moved").unwrap();
        let mode = fs::Permissions::from_mode(0o751);
        fs::set_permissions(place.disk("moved"), mode.clone()).unwrap();
        let rename = |from, to, existing| view.rename(&path(from), &path(to), existing);
        assert_eq!(
            kind(rename("moved", "disk/new", Existing::Keep)),
            ErrorKind::AlreadyExists
        );
        assert!(!rename("moved", "disk/new", Existing::Replace).unwrap());
        assert_eq!(read("disk/new"), "moved");
        let moved = fs::metadata(place.disk("disk/new")).unwrap();
        assert_eq!(moved.permissions().mode() & 0o777, mode.mode());
        assert!(!place.disk("moved").exists());
        assert!(rename("disk/new", "back", Existing::Keep).unwrap());
        assert_eq!(place.books.paths(), ["/back"]);

        put(&view, "folder/sub/mine", Existing::Keep, "mine").unwrap();
        let before = tree(&place.disk("folder"));
        assert!(
            view.copy(&path("folder"), &path("disk/copy"), Existing::Keep)
                .unwrap()
        );
        assert_eq!(tree(&place.disk("disk/copy")), before);
        assert!(rename("folder", "disk/tree", Existing::Keep).unwrap());
        assert_eq!(tree(&place.disk("disk/tree")), before);
        assert!(!place.disk("folder").exists());
        assert!(
            place
                .books
                .paths()
                .contains(&"/disk/tree/sub/mine".to_owned())
        );
        view.remove_tree(&path("disk/copy")).unwrap();
        assert_eq!(place.books.paths(), ["/back", "/disk/tree/sub/mine"]);
        assert!(rename("disk/tree", "folder", Existing::Keep).unwrap());
        assert!(!place.disk("disk/.hythe").exists());
        assert_eq!(place.parts(), 0);
    }

    #[test]
    #[ignore = "run by the test that gives it mounts of its own"]
    fn read_only() {
        let place = Place::new();
        mount(
            &["--bind", place.disk("").to_str().unwrap()],
            &place.disk(""),
        );
        mount(&["-o", "remount,bind,ro"], &place.disk(""));
        let view = place.view(Access::Write);
        for (name, _, verb, _) in VERBS {
            assert_eq!(kind(verb(&view)), ErrorKind::ReadOnlyFilesystem, "{name}");
        }
        assert_eq!(
            kind(view.share().below(&path("home"))),
            ErrorKind::ReadOnlyFilesystem
        );
        assert_eq!(place.share().sweep().unwrap(), 0);
        assert_eq!(place.books.paths(), [""; 0]);
    }
}

#[test]
fn descriptors_are_given_back() {
    let program = std::env::current_exe().unwrap();
    let output = Command::new(program)
        .args([
            "--exact",
            "counted",
            "--ignored",
            "--nocapture",
            "--test-threads=1",
        ])
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && told.contains("1 passed"),
        "{told}"
    );
}

/// In a process of its own, where nobody else opens anything.
#[test]
#[ignore = "run by descriptors_are_given_back, in a process of its own"]
fn counted() {
    let open = || fs::read_dir("/proc/self/fd").unwrap().count();
    let before = open();
    for (_, _, verb, _) in VERBS {
        for access in Access::ALL {
            let place = Place::new();
            let view = place.view(access);
            let _ = verb(&view);
            let _ = view.list(&path("/"), Order::default());
            let half = view.receive(&path("half"), intent(Existing::Keep));
            let _ = put(&view, "folder", Existing::Replace, "");
            let _ = place.share().below(&path("home"));
            let _ = place.share().sweep();
            drop(half);
        }
    }
    assert_eq!(open(), before);
}
