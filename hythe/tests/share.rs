//! The share against a real disk: what is inside is found, whatever its name;
//! what is outside does not exist, however it is asked for.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::io::{self, ErrorKind, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use hythe::share::{
    Access, By, Entry, Hit, Kind, Listing, Order, Pieces, RESERVED, RelPath, SearchLimits, Share,
    Tar, View, Zip,
};
use tempfile::TempDir;

const CANARY: &str = "the canary";

/// A folder with a share in it, and a canary beside the share.
struct Place {
    outer: TempDir,
}

impl Place {
    fn new() -> Self {
        let outer = tempfile::tempdir().unwrap();
        fs::create_dir_all(outer.path().join("share/folder")).unwrap();
        fs::create_dir(outer.path().join("share-other")).unwrap();
        fs::write(outer.path().join("canary"), CANARY).unwrap();
        fs::write(outer.path().join("share-other/canary"), CANARY).unwrap();
        fs::write(outer.path().join("share/file"), "inside").unwrap();
        fs::write(outer.path().join("share/folder/deep"), "deep inside").unwrap();
        Self { outer }
    }

    fn disk(&self, name: impl AsRef<Path>) -> PathBuf {
        self.outer.path().join("share").join(name)
    }

    fn view(&self) -> View {
        Share::open(&self.disk("")).unwrap().view(Access::Read)
    }
}

fn path(text: &str) -> RelPath {
    RelPath::root().resolve(text.as_bytes()).unwrap()
}

fn read(view: &View, path: &RelPath) -> io::Result<Vec<u8>> {
    let mut opened = view.open(path)?;
    let mut bytes = Vec::new();
    opened.file.read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn drain(mut listing: Listing) -> Vec<Entry> {
    let mut entries = Vec::new();
    while listing.next_batch(&mut entries).unwrap() {}
    entries
}

fn names(entries: &[Entry]) -> Vec<String> {
    entries
        .iter()
        .map(|entry| String::from_utf8_lossy(&entry.name).into_owned())
        .collect()
}

fn listed(view: &View, folder: &str, by: By, descending: bool) -> Vec<String> {
    names(&drain(
        view.list(&path(folder), Order { by, descending }).unwrap(),
    ))
}

fn missing<T>(result: io::Result<T>) -> bool {
    result.is_err_and(|error| error.kind() == ErrorKind::NotFound)
}

#[test]
fn links_that_leave_the_share_do_not_exist() {
    let place = Place::new();
    for (name, target) in [
        ("absolute", place.outer.path().join("canary")),
        ("relative", "../canary".into()),
        ("roundabout", "folder/../../canary".into()),
        ("other", "../share-other".into()),
        ("outside", "..".into()),
        ("back", "../share/file".into()),
        ("absolute-inside", place.disk("file")),
        ("proc", "/proc/self/cwd".into()),
        ("dangling", "nothing".into()),
        ("loop", "loop".into()),
    ] {
        symlink(target, place.disk(name)).unwrap();
        let view = place.view();
        assert!(missing(view.metadata(&path(name))), "{name}");
        assert!(missing(view.open(&path(name))), "{name}");
        assert!(!matches!(view.open_now(&path(name)), Ok(Some(_))), "{name}");
        assert!(missing(view.list(&path(name), Order::default())), "{name}");
        assert!(
            missing(view.open(&path(name).join(b"canary").unwrap())),
            "{name}"
        );
    }
    assert_eq!(
        listed(&place.view(), "/", By::Name, false),
        ["folder", "file"]
    );
    assert_eq!(
        listed(&place.view(), "/", By::Size, false),
        ["folder", "file"]
    );
}

#[test]
fn links_that_stay_inside_are_followed() {
    let place = Place::new();
    symlink("file", place.disk("to-file")).unwrap();
    symlink("folder", place.disk("to-folder")).unwrap();
    symlink("../file", place.disk("folder/up")).unwrap();
    let view = place.view();
    assert_eq!(read(&view, &path("to-file")).unwrap(), b"inside");
    assert_eq!(read(&view, &path("folder/up")).unwrap(), b"inside");
    assert_eq!(
        read(&view, &path("to-folder/deep")).unwrap(),
        b"deep inside"
    );
    let entries = drain(
        view.list(
            &path("/"),
            Order {
                by: By::Name,
                descending: false,
            },
        )
        .unwrap(),
    );
    assert_eq!(names(&entries), ["folder", "to-folder", "file", "to-file"]);
    assert_eq!(
        entries.iter().map(|one| one.symlink).collect::<Vec<_>>(),
        [false, true, false, true]
    );
    assert_eq!(entries[3].meta, entries[2].meta);
}

#[test]
fn a_link_swapped_in_never_leads_out() {
    let place = Place::new();
    symlink("../canary", place.disk("evil")).unwrap();
    symlink("../share-other", place.disk("evil-folder")).unwrap();
    fs::write(place.disk("folder/canary"), "harmless").unwrap();
    let view = place.view();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let swap = |one: &str, other: &str| {
                rustix::fs::renameat_with(
                    rustix::fs::CWD,
                    place.disk(one),
                    rustix::fs::CWD,
                    place.disk(other),
                    rustix::fs::RenameFlags::EXCHANGE,
                )
                .unwrap();
            };
            while !done.load(Ordering::Relaxed) {
                swap("file", "evil");
                swap("folder", "evil-folder");
            }
        });
        // Nothing is asserted before the other thread has been told to end.
        let (mut inside, mut leaked, mut unexpected) = (0, 0, Vec::new());
        for _ in 0..20_000 {
            for name in ["file", "folder/canary"] {
                let now = view.open_now(&path(name)).ok().flatten();
                let text = now.map(|opened| io::read_to_string(opened.file).unwrap());
                leaked += usize::from(text.as_deref() == Some(CANARY));
                match read(&view, &path(name)) {
                    Ok(bytes) if bytes == CANARY.as_bytes() => leaked += 1,
                    Ok(_) => inside += 1,
                    Err(error) => match error.kind() {
                        ErrorKind::NotFound | ErrorKind::ResourceBusy => {}
                        _ => unexpected.push(error),
                    },
                }
            }
        }
        done.store(true, Ordering::Relaxed);
        assert_eq!(leaked, 0);
        assert!(
            inside > 0 && unexpected.is_empty(),
            "{inside} {unexpected:?}"
        );
    });
}

#[test]
fn what_is_no_file_does_not_exist_and_hangs_nobody() {
    let place = Place::new();
    let fifo = place.disk("fifo");
    assert!(
        Command::new("mkfifo")
            .arg(&fifo)
            .status()
            .unwrap()
            .success()
    );
    let _socket = std::os::unix::net::UnixListener::bind(place.disk("socket")).unwrap();
    symlink("fifo", place.disk("to-fifo")).unwrap();
    let view = place.view();
    for name in ["fifo", "socket", "to-fifo", "file/x"].map(path) {
        assert!(missing(view.open(&name)), "{name}");
        assert!(missing(view.metadata(&name)), "{name}");
    }
    assert_eq!(listed(&view, "/", By::None, false).len(), 2);
    assert_eq!(listed(&view, "/", By::Name, false), ["folder", "file"]);
    let error = view.list(&path("file"), Order::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotADirectory);
    assert!(
        Share::open(&fifo)
            .unwrap_err()
            .to_string()
            .contains("neither a folder nor")
    );
    let error = Share::open(&place.disk("nowhere")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.to_string().contains("nowhere"), "{error}");
}

#[test]
fn a_view_without_access_answers_nothing() {
    let place = Place::new();
    let view = Share::open(&place.disk("")).unwrap().view(Access::None);
    let root = RelPath::root();
    let kinds = [
        view.metadata(&root).unwrap_err().kind(),
        view.metadata_now(&root).unwrap_err().kind(),
        view.open(&path("file")).unwrap_err().kind(),
        view.open_now(&path("file")).unwrap_err().kind(),
        view.list(&root, Order::default()).unwrap_err().kind(),
        view.search(&root, "", SearchLimits::default())
            .unwrap_err()
            .kind(),
        Tar::new(&view, &root).err().unwrap().kind(),
        Zip::new(&view, &root).err().unwrap().kind(),
    ];
    assert_eq!(kinds, [ErrorKind::PermissionDenied; 8]);
}

/// Names that are legal on disk and awkward everywhere else.
const NAMES: [&[u8]; 12] = [
    "中文 文件.txt".as_bytes(),
    b"with space",
    b"\"quotes\" 'and' <tags> & more",
    b"100%",
    b"%2e%2e",
    b"#hash?query",
    b"new\nline",
    b"\xff\xfe not utf-8 \xe4",
    b"trailing.",
    b"...",
    b".hidden",
    b"-rf",
];

#[test]
fn every_name_is_listed_and_reached_by_url() {
    let place = Place::new();
    for name in NAMES {
        fs::write(place.disk("folder").join(OsStr::from_bytes(name)), name).unwrap();
    }
    let view = place.view();
    let folder = path("folder");
    for by in [By::None, By::Name, By::Size, By::Modified] {
        let entries = drain(
            view.list(
                &folder,
                Order {
                    by,
                    descending: true,
                },
            )
            .unwrap(),
        );
        for name in NAMES {
            let entry = entries.iter().find(|entry| *entry.name == *name).unwrap();
            assert_eq!(entry.hidden(), name[0] == b'.');
            let mut url = String::new();
            folder.join(&entry.name).unwrap().url_path(false, &mut url);
            let (reached, _) = RelPath::from_url_path(url.as_bytes()).unwrap();
            assert_eq!(read(&view, &reached).unwrap(), name);
            assert_eq!(view.metadata(&reached).unwrap(), entry.meta);
        }
        assert_eq!(entries.len(), NAMES.len() + 1);
    }
}

#[test]
fn the_reserved_name_does_not_exist_anywhere_in_any_case() {
    let place = Place::new();
    for name in [RESERVED, b".HYTHE", b".Hythe"] {
        for folder in ["", "folder"] {
            let hidden = place.disk(folder).join(OsStr::from_bytes(name));
            fs::create_dir(&hidden).unwrap();
            fs::write(hidden.join("part"), CANARY).unwrap();
        }
    }
    fs::write(place.disk("folder/.hythe2"), "").unwrap();
    let view = place.view();
    for name in [RESERVED, b".HYTHE", b".Hythe"] {
        for folder in ["", "folder"] {
            let reserved = path(folder).join(name).unwrap();
            assert!(missing(view.metadata(&reserved)));
            assert!(missing(view.metadata_now(&reserved)));
            assert!(missing(view.open(&reserved.join(b"part").unwrap())));
            assert!(missing(view.list(&reserved, Order::default())));
            assert!(missing(view.search(&reserved, "", SearchLimits::default())));
            assert!(missing(Zip::new(&view, &reserved).map(drop)));
        }
    }
    assert_eq!(listed(&view, "/", By::None, false).len(), 2);
    assert_eq!(
        listed(&view, "folder", By::Name, false),
        [".hythe2", "deep"]
    );
    let mut search = view
        .search(&RelPath::root(), "part", SearchLimits::default())
        .unwrap();
    let mut hits = Vec::new();
    while search.next_batch(&mut hits).unwrap() {}
    assert_eq!(hits, []);
}

#[test]
fn orders() {
    let place = Place::new();
    let folder = place.disk("sorted");
    fs::create_dir_all(folder.join("Z folder")).unwrap();
    fs::create_dir_all(folder.join("a folder")).unwrap();
    for (name, size, time) in [("b", 3, 300), ("A", 2, 100), ("c", 1, 200), ("É", 2, 400)] {
        let file = fs::File::create(folder.join(name)).unwrap();
        file.set_len(size).unwrap();
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(time);
        file.set_modified(time).unwrap();
    }
    let view = place.view();
    let files = |by, descending| {
        let names = listed(&view, "sorted", by, descending);
        assert!(
            names[..2].iter().all(|name| name.ends_with("folder")),
            "{names:?}"
        );
        names[2..].concat()
    };
    assert_eq!(
        listed(&view, "sorted", By::Name, false),
        ["a folder", "Z folder", "A", "b", "c", "É"]
    );
    assert_eq!(
        listed(&view, "sorted", By::Name, true),
        ["Z folder", "a folder", "É", "c", "b", "A"]
    );
    assert_eq!(files(By::Size, false), "cAÉb");
    assert_eq!(files(By::Size, true), "bÉAc");
    assert_eq!(files(By::Modified, false), "AcbÉ");
    assert_eq!(files(By::Modified, true), "ÉbcA");
}

#[test]
fn a_huge_folder_comes_in_pieces() {
    const COUNT: usize = 50_000;
    let place = Place::new();
    let folder = place.disk("huge");
    fs::create_dir(&folder).unwrap();
    for number in 0..COUNT {
        fs::write(folder.join(format!("{number:05}")), "").unwrap();
    }
    let view = place.view();

    let mut listing = view.list(&path("huge"), Order::default()).unwrap();
    let mut entries = Vec::new();
    assert!(listing.next_batch(&mut entries).unwrap());
    assert!((1..1000).contains(&entries.len()));
    assert!(!listing.is_sorted());
    while listing.next_batch(&mut entries).unwrap() {}
    let mut all = names(&entries);
    all.sort();
    all.dedup();
    assert_eq!(all.len(), COUNT);

    let mut listing = view
        .list(
            &path("huge"),
            Order {
                by: By::Name,
                descending: true,
            },
        )
        .unwrap();
    let mut entries = Vec::new();
    let mut more = true;
    while more {
        let before = entries.len();
        more = listing.next_batch(&mut entries).unwrap();
        assert!(entries.len() - before < 1000);
    }
    assert!(listing.is_sorted());
    all.reverse();
    assert_eq!(names(&entries), all);

    // What is removed while it is listed is not there, and nothing else is lost.
    for by in [By::None, By::Name] {
        let mut listing = view
            .list(
                &path("huge"),
                Order {
                    by,
                    descending: false,
                },
            )
            .unwrap();
        let mut entries = Vec::new();
        while entries.is_empty() {
            listing.next_batch(&mut entries).unwrap();
        }
        let kept = |name: &str| name.ends_with(if by == By::None { '1' } else { '2' });
        for name in all.iter().filter(|name| !kept(name)) {
            let _ = fs::remove_file(folder.join(name));
        }
        while listing.next_batch(&mut entries).unwrap() {}
        let left = names(&entries);
        if by == By::None {
            assert!(
                all.iter()
                    .filter(|name| kept(name))
                    .all(|name| left.contains(name))
            );
            for name in &all {
                fs::write(folder.join(name), "").unwrap();
            }
        } else {
            let expected = all.iter().filter(|name| kept(name)).count();
            assert!(
                (expected..expected + 500).contains(&left.len()),
                "{}",
                left.len()
            );
        }
    }
    fs::remove_dir_all(&folder).unwrap();
    assert!(missing(view.list(&path("huge"), Order::default())));
}

#[test]
fn one_file_is_a_share() {
    let place = Place::new();
    symlink("share/file", place.outer.path().join("latest")).unwrap();
    for (typed, name) in [("share/file", "file"), ("latest", "latest")] {
        let share = Share::open(&place.outer.path().join(typed)).unwrap();
        assert_eq!(share.name(), name);
        let view = share.view(Access::Read);
        assert_eq!(read(&view, &path(name)).unwrap(), b"inside");
        assert_eq!(view.metadata(&RelPath::root()).unwrap().kind, Kind::Folder);
        for by in [By::None, By::Name, By::Size] {
            assert_eq!(listed(&view, "/", by, false), [name]);
        }
        for other in [
            "folder",
            "folder/deep",
            "canary",
            "file/x",
            "latest/x",
            "share",
        ] {
            assert!(missing(view.open(&path(other))), "{other}");
        }
        let mut tar = Vec::new();
        collect(Tar::new(&view, &RelPath::root()).unwrap(), &mut tar);
        assert!(tar.windows(6).any(|window| window == b"inside"));
    }
    // The file's name must not become a way to its neighbours.
    let view = Share::open(&place.disk("file")).unwrap().view(Access::Read);
    fs::remove_file(place.disk("file")).unwrap();
    symlink("folder/deep", place.disk("file")).unwrap();
    assert!(missing(view.open(&path("file"))));
    assert_eq!(listed(&view, "/", By::None, false), [""; 0]);
}

#[test]
fn names_for_titles() {
    let place = Place::new();
    assert_eq!(place.view().share().name(), "share");
    assert_eq!(
        Share::open(&place.disk("folder/..")).unwrap().name(),
        "share"
    );
    assert_eq!(Share::open(Path::new("/")).unwrap().name(), "root");
}

#[test]
fn etags_change_with_the_file() {
    let place = Place::new();
    let view = place.view();
    let tag = || view.metadata(&path("file")).unwrap().etag().to_string();
    let first = tag();
    assert!(first.starts_with('"') && first.ends_with('"') && first == tag());
    fs::write(place.disk("file"), "inside, but longer").unwrap();
    assert_ne!(first, tag());
}

/// Whether `change`, done as often as the clock of the file system needs to go
/// on, is seen in what is told of `name`.
fn notices(place: &Place, name: &str, change: impl Fn()) -> bool {
    let meta = || place.view().metadata(&path(name)).unwrap();
    let before = meta();
    let give_up = Instant::now() + Duration::from_secs(2);
    while meta() == before && Instant::now() < give_up {
        change();
    }
    meta() != before
}

#[test]
fn a_change_is_noticed_whatever_is_restored_after_it() {
    let place = Place::new();
    let file = place.disk("file");
    let tag = || place.view().metadata(&path("file")).unwrap().etag();
    let first = tag().to_string();
    let overwrite = || {
        let modified = fs::metadata(&file).unwrap().modified().unwrap();
        fs::write(&file, "INSIDE").unwrap();
        let file = fs::File::options().write(true).open(&file).unwrap();
        file.set_modified(modified).unwrap();
    };
    assert!(notices(&place, "file", overwrite));
    let mode = |bits| fs::set_permissions(&file, fs::Permissions::from_mode(bits)).unwrap();
    assert!(notices(&place, "file", || {
        mode(0o600);
        mode(0o644);
    }));
    assert!(notices(&place, "file", || {
        fs::hard_link(&file, place.disk("second")).unwrap();
        fs::remove_file(place.disk("second")).unwrap();
    }));
    assert_eq!(first, tag().to_string());
    assert!(notices(&place, "file", || {
        fs::write(place.disk("new"), "inside").unwrap();
        fs::rename(place.disk("new"), &file).unwrap();
    }));
    assert!(notices(&place, "folder", || {
        fs::rename(place.disk("folder/deep"), place.disk("folder/x")).unwrap();
        fs::rename(place.disk("folder/x"), place.disk("folder/deep")).unwrap();
    }));
}

#[test]
fn reading_is_no_change() {
    let place = Place::new();
    let view = place.view();
    let meta = |name| view.metadata(&path(name)).unwrap();
    // So old that even a disk that is mounted with `relatime` updates it.
    let long_ago = fs::FileTimes::new().set_accessed(SystemTime::UNIX_EPOCH);
    for name in ["file", "folder"] {
        let opened = fs::File::open(place.disk(name)).unwrap();
        opened.set_times(long_ago).unwrap();
    }
    let before = ["file", "folder"].map(meta);
    assert_eq!(read(&view, &path("file")).unwrap(), b"inside");
    listed(&view, "folder", By::Name, false);
    assert_eq!(["file", "folder"].map(meta), before);
}

#[test]
fn answers_from_memory() {
    let place = Place::new();
    let view = place.view();
    let meta = view.metadata(&path("file")).unwrap();
    // A kernel is free to say "I would have to look", never to be wrong.
    if let Some(now) = view.metadata_now(&path("file")).unwrap() {
        assert_eq!(now, meta);
    }
    if let Some(opened) = view.open_now(&path("file")).unwrap() {
        assert_eq!(opened.meta, meta);
    }
}

#[test]
fn searching() {
    let place = Place::new();
    symlink(".", place.disk("folder/loop")).unwrap();
    symlink("../..", place.disk("folder/loop-out")).unwrap();
    fs::create_dir_all(place.disk("folder/a/b")).unwrap();
    fs::write(place.disk("folder/a/b/Übung DEEPER.txt"), "").unwrap();
    let view = place.view();
    let search = |needle: &str, limits| {
        let mut search = view.search(&RelPath::root(), needle, limits).unwrap();
        let mut hits = Vec::new();
        while search.next_batch(&mut hits).unwrap() {}
        let mut found: Vec<String> = hits
            .iter()
            .map(|Hit { path, .. }| path.to_string())
            .collect();
        found.sort();
        (found, search.was_cut())
    };
    let all = SearchLimits::default();
    let deep = vec![
        "/folder/a/b/Übung DEEPER.txt".to_owned(),
        "/folder/deep".to_owned(),
    ];
    assert_eq!(search("Deep", all), (deep.clone(), false));
    assert_eq!(search("übung", all).0, deep[..1]);
    assert_eq!(search("loop", all).0, ["/folder/loop"]);
    assert_eq!(
        search("deep", SearchLimits { depth: 2, ..all }),
        (deep[1..].to_vec(), true)
    );
    let (found, cut) = search("", SearchLimits { results: 3, ..all });
    assert!(found.len() == 3 && cut);
    let (found, cut) = search("", SearchLimits { visits: 2, ..all });
    assert!(found.len() == 2 && cut);
    assert_eq!(search("canary", all), (Vec::new(), false));
}

fn collect(mut pieces: impl Pieces, out: &mut impl io::Write) {
    let mut piece = Vec::new();
    let mut more = true;
    while more {
        piece.clear();
        more = pieces.piece(&mut piece).unwrap();
        assert!(piece.len() < 512 * 1024, "{}", piece.len());
        out.write_all(&piece).unwrap();
    }
}

/// A tree with everything an archive has to cope with, and the files that are
/// to be in the archive.
fn archived_tree(place: &Place) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let folder = place.disk("folder");
    let long = vec!["long".repeat(50); 4].join("/");
    fs::create_dir_all(folder.join(&long)).unwrap();
    fs::create_dir(folder.join("empty")).unwrap();
    let mut files: BTreeMap<Vec<u8>, Vec<u8>> = NAMES
        .iter()
        .map(|name| (name.to_vec(), name.to_vec()))
        .collect();
    files.insert(format!("{long}/file").into(), b"far down".to_vec());
    files.insert(b"deep".to_vec(), b"deep inside".to_vec());
    for size in [0, 1, 511, 512, 513, 65_536, 1_000_000] {
        let bytes = (0..size).map(|at: u32| ((at * 31) >> 3) as u8).collect();
        files.insert(format!("size {size}").into(), bytes);
    }
    for (name, bytes) in &files {
        fs::write(folder.join(OsStr::from_bytes(name)), bytes).unwrap();
    }
    symlink("../file", folder.join("link")).unwrap();
    files.insert(b"link".to_vec(), b"inside".to_vec());
    symlink("..", folder.join("link to folder")).unwrap();
    symlink("../../canary", folder.join("link out")).unwrap();
    assert!(
        Command::new("mkfifo")
            .arg(folder.join("fifo"))
            .status()
            .unwrap()
            .success()
    );
    fs::write(folder.join("secret"), "").unwrap();
    fs::set_permissions(folder.join("secret"), fs::Permissions::from_mode(0o000)).unwrap();
    if fs::File::open(folder.join("secret")).is_ok() {
        // We are root, who may read everything.
        files.insert(b"secret".to_vec(), Vec::new());
    }
    files
        .into_iter()
        .map(|(name, bytes)| ([b"folder/", &name[..]].concat(), bytes))
        .collect()
}

/// The files below `folder`, by name.
fn files_below(folder: &Path) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path
                    .strip_prefix(folder)
                    .unwrap()
                    .as_os_str()
                    .as_bytes()
                    .to_vec();
                files.insert(name, fs::read(path).unwrap());
            }
        }
    }
    files
}

fn run(command: &mut Command) -> Vec<u8> {
    let output = command.stderr(Stdio::piped()).output().unwrap();
    assert!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    output.stdout
}

/// Prints name and content of each file in an archive, in hexadecimal.
const PYTHON: &str = r#"
import sys, tarfile, zipfile
if sys.argv[1].endswith('.zip'):
    archive = zipfile.ZipFile(sys.argv[1])
    assert archive.testzip() is None
    files = [(i.filename.encode(), archive.read(i)) for i in archive.infolist() if not i.is_dir()]
else:
    archive = tarfile.open(sys.argv[1], 'r|')
    files = [(m.name.encode('utf-8', 'surrogateescape'), archive.extractfile(m).read())
             for m in archive if m.isfile()]
for name, content in files:
    print(name.hex(), content.hex())
"#;

fn files_by_python(archive: &Path) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let bytes = |hex: &str| -> Vec<u8> {
        let digits = hex
            .as_bytes()
            .chunks(2)
            .map(|two| str::from_utf8(two).unwrap());
        digits
            .map(|two| u8::from_str_radix(two, 16).unwrap())
            .collect()
    };
    let printed = run(Command::new("python3").args(["-c", PYTHON]).arg(archive));
    let printed = String::from_utf8(printed).unwrap();
    let pairs = printed.lines().map(|line| line.split_once(' ').unwrap());
    pairs
        .map(|(name, content)| (bytes(name), bytes(content)))
        .collect()
}

#[test]
fn tar_archives() {
    let place = Place::new();
    let expected = archived_tree(&place);
    let inner = format!("folder/{}", "long".repeat(50));
    let opened = fs::File::open(place.disk(&inner)).unwrap();
    opened.set_modified(SystemTime::UNIX_EPOCH).unwrap();
    let archive = place.outer.path().join("a.tar");
    let tar = Tar::new(&place.view(), &path("folder")).unwrap();
    collect(tar, &mut fs::File::create(&archive).unwrap());

    let listed = run(Command::new("tar").arg("tvf").arg(&archive));
    assert!(String::from_utf8_lossy(&listed).contains("folder/empty/"));
    let unpacked = tempfile::tempdir().unwrap();
    run(Command::new("tar")
        .arg("xf")
        .arg(&archive)
        .arg("-C")
        .arg(unpacked.path()));
    assert_eq!(files_below(unpacked.path()), expected);
    assert!(unpacked.path().join("folder/empty").is_dir());
    let time = |file: PathBuf| fs::metadata(file).unwrap().modified().unwrap();
    let seconds = |time: SystemTime| time.duration_since(SystemTime::UNIX_EPOCH).unwrap();
    assert_eq!(
        seconds(time(unpacked.path().join("folder/100%"))).as_secs(),
        seconds(time(place.disk("folder/100%"))).as_secs(),
    );
    // A program that unpacks can give a folder its time only if all that is in
    // it follows it.
    let inner = time(unpacked.path().join(inner));
    assert_eq!(inner, SystemTime::UNIX_EPOCH);
    assert_eq!(files_by_python(&archive), expected);
}

#[test]
fn zip_archives() {
    let place = Place::new();
    let expected: BTreeMap<Vec<u8>, Vec<u8>> = archived_tree(&place)
        .into_iter()
        .map(|(name, bytes)| match name.as_slice() {
            b"folder/\xff\xfe not utf-8 \xe4" => (b"folder/%FF%FE not utf-8 %E4".to_vec(), bytes),
            _ => (name, bytes),
        })
        .collect();
    let archive = place.outer.path().join("a.zip");
    let zip = Zip::new(&place.view(), &path("folder")).unwrap();
    collect(zip, &mut fs::File::create(&archive).unwrap());

    run(Command::new("unzip").arg("-t").arg(&archive));
    let listed = run(Command::new("unzip").arg("-Z1").arg(&archive));
    assert!(String::from_utf8_lossy(&listed).contains("folder/empty/"));
    assert_eq!(files_by_python(&archive), expected);
}

#[test]
fn what_was_chosen_is_archived() {
    let place = Place::new();
    fs::create_dir(place.disk("folder/empty")).unwrap();
    fs::write(place.disk("other"), "not chosen").unwrap();
    let view = place.view();
    let chosen = |names: &[&str]| {
        let names = names.iter().map(|name| name.as_bytes().to_vec()).collect();
        Zip::of(&view, &RelPath::root(), names)
    };
    let archive = place.outer.path().join("a.zip");
    let zip = chosen(&["folder", "file", "folder"]).unwrap();
    collect(zip, &mut fs::File::create(&archive).unwrap());
    run(Command::new("unzip").arg("-t").arg(&archive));
    let mut names: Vec<String> =
        String::from_utf8(run(Command::new("unzip").arg("-Z1").arg(&archive)))
            .unwrap()
            .lines()
            .map(str::to_owned)
            .collect();
    names.sort();
    assert_eq!(
        names,
        [
            "share/",
            "share/file",
            "share/folder/",
            "share/folder/deep",
            "share/folder/empty/"
        ]
    );
    for name in ["nothing", "..", ".", "", "folder/deep", ".hythe"] {
        assert!(missing(chosen(&["file", name]).map(drop)), "{name}");
    }
    let file = Zip::of(&view, &path("file"), Vec::new()).map(drop);
    assert_eq!(file.unwrap_err().kind(), ErrorKind::NotADirectory);
}

#[test]
fn the_root_is_archived_under_the_name_of_the_share() {
    let place = Place::new();
    fs::create_dir(place.disk(".hythe")).unwrap();
    let archive = place.outer.path().join("a.zip");
    let zip = Zip::new(&place.view(), &RelPath::root()).unwrap();
    collect(zip, &mut fs::File::create(&archive).unwrap());
    let mut names: Vec<String> =
        String::from_utf8(run(Command::new("unzip").arg("-Z1").arg(&archive)))
            .unwrap()
            .lines()
            .map(str::to_owned)
            .collect();
    names.sort();
    assert_eq!(
        names,
        ["share/", "share/file", "share/folder/", "share/folder/deep"]
    );
}

/// More entries than a 16-bit count can hold.
#[test]
fn archives_hold_a_hundred_thousand_entries() {
    let place = Place::new();
    let folder = place.disk("many");
    fs::create_dir(&folder).unwrap();
    for number in 0..100_000 {
        fs::write(folder.join(number.to_string()), "").unwrap();
    }
    let zip = place.outer.path().join("a.zip");
    let mut out = fs::File::create(&zip).unwrap();
    let mut pieces = Zip::new(&place.view(), &RelPath::root()).unwrap();
    let mut piece = Vec::new();
    while pieces.piece(&mut piece).unwrap() {
        io::Write::write_all(&mut out, &piece).unwrap();
        piece.clear();
    }
    io::Write::write_all(&mut out, &piece).unwrap();
    drop(out);
    let check = "import sys, zipfile; print(len(zipfile.ZipFile(sys.argv[1]).infolist()))";
    let count = run(Command::new("python3").args(["-c", check]).arg(&zip));
    assert_eq!(String::from_utf8(count).unwrap().trim(), "100005");

    let mut tar = Command::new("tar")
        .arg("tf")
        .arg("-")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut out = tar.stdin.take().unwrap();
    let view = place.view();
    let feeding =
        thread::spawn(move || collect(Tar::new(&view, &RelPath::root()).unwrap(), &mut out));
    let listed = tar.wait_with_output().unwrap();
    feeding.join().unwrap();
    assert!(listed.status.success());
    assert_eq!(
        listed.stdout.iter().filter(|&&byte| byte == b'\n').count(),
        100_005
    );
}

/// A size that 32 bits cannot hold is told in the entry's own head, which is
/// all of the archive that is made here.
#[test]
fn archives_tell_sizes_beyond_four_gibibytes() {
    let place = Place::new();
    let folder = place.disk("large");
    fs::create_dir(&folder).unwrap();
    let file = fs::File::create(folder.join("big")).unwrap();
    file.set_len(5 << 30).unwrap();
    let path = RelPath::root().join(b"large").unwrap();

    let mut tar = Vec::new();
    Tar::new(&place.view(), &path)
        .unwrap()
        .piece(&mut tar)
        .unwrap();
    let beginning = place.outer.path().join("a.tar");
    fs::write(&beginning, &tar).unwrap();
    let check =
        "import sys, tarfile; t = tarfile.open(sys.argv[1]); t.next(); print(t.next().size)";
    let size = run(Command::new("python3").args(["-c", check]).arg(&beginning));
    assert_eq!(
        String::from_utf8(size).unwrap().trim(),
        (5u64 << 30).to_string()
    );

    let mut zip = Vec::new();
    Zip::new(&place.view(), &path)
        .unwrap()
        .piece(&mut zip)
        .unwrap();
    let name = b"large/big";
    let at = zip
        .windows(name.len())
        .position(|window| window == name)
        .unwrap();
    // The extra field behind the name begins with the mark of ZIP64.
    assert_eq!(zip[at + name.len()..][..2], [1, 0]);
}

#[test]
fn a_file_replaced_while_it_is_archived_keeps_the_archive_readable() {
    let place = Place::new();
    fs::remove_dir_all(place.disk("folder")).unwrap();
    fs::write(place.disk("file"), vec![7; 2_000_000]).unwrap();
    let mut pieces = Tar::new(&place.view(), &RelPath::root()).unwrap();
    let mut tar = Vec::new();
    assert!(pieces.piece(&mut tar).unwrap());
    fs::File::options()
        .write(true)
        .open(place.disk("file"))
        .unwrap()
        .set_len(10)
        .unwrap();
    let ((), log) = logged(|| collect(pieces, &mut tar));
    assert!(
        log.contains("path=/file") && log.contains("shrank"),
        "{log}"
    );
    let archive = place.outer.path().join("a.tar");
    fs::write(&archive, tar).unwrap();
    let files = files_by_python(&archive);
    assert_eq!(files[&b"share/file"[..]].len(), 2_000_000);
}

/// As many folders in each other as `levels`, each with a file.
fn deep_tree(place: &Place, levels: usize) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut below = String::from("deep");
    for level in 0..levels {
        fs::create_dir(place.disk(&below)).unwrap();
        let file = format!("{below}/f");
        fs::write(place.disk(&file), level.to_string()).unwrap();
        files.insert(file.into(), level.to_string().into());
        below.push_str("/d");
    }
    files
}

#[test]
fn deep_trees_are_archived_whole() {
    let place = Place::new();
    let expected = deep_tree(&place, 250);
    let view = place.view();
    let archive = |name| place.outer.path().join(name);
    let (tar, zip) = (archive("a.tar"), archive("a.zip"));
    let pieces = Tar::new(&view, &path("deep")).unwrap();
    collect(pieces, &mut fs::File::create(&tar).unwrap());
    assert_eq!(files_by_python(&tar), expected);
    let pieces = Zip::new(&view, &path("deep")).unwrap();
    collect(pieces, &mut fs::File::create(&zip).unwrap());
    assert_eq!(files_by_python(&zip), expected);
}

#[test]
fn an_archive_that_lacks_something_has_no_end() {
    let place = Place::new();
    fs::write(place.disk("near"), "still in it").unwrap();
    // Deeper than any path, one folder at a time.
    let mut folder = fs::File::open(place.disk("")).unwrap();
    let name = "n".repeat(250);
    for _ in 0..20 {
        rustix::fs::mkdirat(&folder, &name, rustix::fs::Mode::RWXU).unwrap();
        let flags = rustix::fs::OFlags::DIRECTORY;
        let mode = rustix::fs::Mode::empty();
        folder = rustix::fs::openat(&folder, &name, flags, mode)
            .unwrap()
            .into();
    }
    let view = place.view();
    let end = |mut pieces: Box<dyn Pieces>| {
        let mut out = Vec::new();
        let error = loop {
            match pieces.piece(&mut out) {
                Ok(more) => assert!(more, "it ends as if it were whole"),
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), ErrorKind::InvalidData);
        assert!(error.to_string().contains("too deep"), "{error}");
        assert!(pieces.piece(&mut out).is_err());
        out
    };
    let root = RelPath::root();
    let (tar, log) = logged(|| end(Box::new(Tar::new(&view, &root).unwrap())));
    assert!(tar.windows(11).any(|window| window == b"still in it"));
    assert!(!tar.ends_with(&[0; 1024]));
    assert!(log.contains("too deep") && log.contains(&name), "{log}");
    let zip = end(Box::new(Zip::new(&view, &root).unwrap()));
    assert!(zip.windows(11).any(|window| window == b"still in it"));
    assert!(!zip.windows(4).any(|window| window == b"PK\x05\x06"));

    let mut search = view.search(&root, "nnn", SearchLimits::default()).unwrap();
    let mut hits = Vec::new();
    while search.next_batch(&mut hits).unwrap() {}
    assert_eq!((hits.len(), search.was_cut()), (16, true));
}

#[test]
fn an_archive_tells_the_log_what_may_not_be_read() {
    let place = Place::new();
    let modes = [
        ("closed/secret", 0o000),
        ("closed/locked", 0o000),
        ("closed/names only", 0o644),
        (".", 0o755),
    ];
    fs::create_dir(place.disk("closed")).unwrap();
    fs::write(place.disk("closed/secret"), "secret").unwrap();
    fs::write(place.disk("closed/open"), "for all").unwrap();
    for folder in ["closed/locked", "closed/names only"] {
        fs::create_dir(place.disk(folder)).unwrap();
        fs::write(place.disk(folder).join("inner"), "secret").unwrap();
    }
    for number in 0..50 {
        let file = place.disk(format!("folder/{number}"));
        fs::write(&file, "secret").unwrap();
        fs::set_permissions(file, fs::Permissions::from_mode(0o000)).unwrap();
    }
    let view = place.view();
    let set = |locked: bool| {
        for (name, mode) in modes {
            let mode = if locked { mode } else { 0o755 };
            fs::set_permissions(place.disk(name), fs::Permissions::from_mode(mode)).unwrap();
        }
    };
    set(true);
    let tars = ["closed", "closed/names only", "folder"].map(|folder| {
        // A thread that root's rights have been taken from, if it had them.
        let archiving = || {
            let nobody = rustix::process::Uid::from_raw(65534);
            let _ = rustix::thread::set_thread_res_uid(nobody, nobody, nobody);
            logged(|| {
                let mut tar = Vec::new();
                collect(Tar::new(&view, &path(folder)).unwrap(), &mut tar);
                tar
            })
        };
        thread::scope(|scope| scope.spawn(archiving).join().unwrap())
    });
    set(false);
    for (tar, _) in &tars {
        assert!(tar.ends_with(&[0; 1024]));
        assert!(!tar.windows(5).any(|window| window == b"inner"));
    }
    let [(some, log), (_, names_only), (_, many)] = &tars;
    assert!(some.windows(7).any(|window| window == b"for all"));
    for name in ["secret", "locked", "names only"] {
        assert!(log.contains(&format!("path=/closed/{name}\n")), "{log}");
    }
    assert_eq!(log.lines().count(), 3, "{log}");
    assert_eq!(names_only.lines().count(), 1, "{names_only}");
    // Not one line for each.
    assert_eq!(many.lines().count(), 17, "{many}");
    assert!(many.lines().last().unwrap().contains("more=34"), "{many}");
}

/// What `act` returns, and what it logged.
fn logged<T>(act: impl FnOnce() -> T) -> (T, String) {
    let log = Arc::new(Mutex::new(Vec::new()));
    let writer = {
        let log = Arc::clone(&log);
        move || Log(Arc::clone(&log))
    };
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_writer(writer)
        .finish();
    let result = tracing::subscriber::with_default(subscriber, act);
    let log = String::from_utf8(log.lock().unwrap().clone()).unwrap();
    (result, log)
}

struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// In a process of its own: descriptors belong to the process, and other tests
/// open them meanwhile.
#[test]
fn descriptors_are_given_back() {
    if std::env::var_os("HYTHE_COUNT_DESCRIPTORS").is_none() {
        let itself = std::env::current_exe().unwrap();
        run(Command::new(itself)
            .args(["--exact", "descriptors_are_given_back"])
            .env("HYTHE_COUNT_DESCRIPTORS", "1"));
        return;
    }
    let open = || fs::read_dir("/proc/self/fd").unwrap().count();
    let place = Place::new();
    let before = open();
    {
        archived_tree(&place);
        let view = place.view();
        let held = open();
        for _ in 0..10 {
            collect(Tar::new(&view, &RelPath::root()).unwrap(), &mut io::sink());
            collect(Zip::new(&view, &RelPath::root()).unwrap(), &mut io::sink());
            listed(&view, "folder", By::Size, false);
            let _ = view.open(&path("folder/link out"));
            let _ = view.open(&path("folder/fifo"));
            let _ = view.open_now(&path("file"));
            // Given up half-way.
            let mut pieces = Zip::new(&view, &RelPath::root()).unwrap();
            pieces.piece(&mut Vec::new()).unwrap();
        }
        assert_eq!(open(), held);
        // However deep it is, an archive holds one folder and one file.
        deep_tree(&place, 1000);
        let mut pieces = Tar::new(&view, &path("deep")).unwrap();
        while pieces.piece(&mut Vec::new()).unwrap() {
            assert!(open() <= held + 2);
        }
    }
    assert_eq!(open(), before);
}
