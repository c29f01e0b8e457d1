//! The table: each client's row has every task in every way of going there.
//! What a client can't do stands in its row, with the reason.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::net::SocketAddr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::Output;

use super::common::{content, difficult_tree, eventually, shown, tool};
use super::programs;
use super::{Place, Tls};

/// How a client goes about it: the columns.
#[derive(Clone, Copy, Debug)]
pub(super) struct Way {
    pub(super) tls: Tls,
    /// Whether the server connects for data.
    pub(super) active: bool,
    pub(super) ipv6: bool,
}

/// What it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Task {
    /// Fetches a tree with difficult names.
    Down,
    /// Sends one.
    Up,
    /// Fetches what is missing of a file.
    GoOnDown,
    /// Sends what is missing of one.
    GoOnUp,
    Rename,
    Delete,
    MakeFolder,
    RemoveFolder,
}

use Task::{Delete, Down, GoOnDown, GoOnUp, MakeFolder, RemoveFolder, Rename, Up};

const TASKS: [Task; 8] = [
    Down,
    Up,
    GoOnDown,
    GoOnUp,
    Rename,
    Delete,
    MakeFolder,
    RemoveFolder,
];

/// Which cells of a row are meant.
type Cells = fn(Way, Task) -> bool;

/// A program or library: a row.
pub(super) struct Client {
    name: &'static str,
    act: fn(&Visit) -> Output,
    /// Where it is not asked to, and why.
    cannot: &'static [(Cells, &'static str)],
    /// Names that are left out of trees for it there, and why.
    names: &'static [(Cells, &'static [u8], &'static str)],
}

/// A client at its task: what is there and here is in folders of its own.
pub(super) struct Visit<'a> {
    pub(super) task: Task,
    pub(super) way: Way,
    pub(super) address: SocketAddr,
    pub(super) trust: &'a Path,
    /// The folder on the server, such as `/7`.
    pub(super) there: String,
    pub(super) here: PathBuf,
    /// The files of the tree, below `tree`.
    pub(super) files: Vec<PathBuf>,
    /// How much there is already of a file that is to be gone on with.
    pub(super) part: usize,
}

/// What is renamed, and to what.
pub(super) const OLD: &str = "old \"name\" #1.txt";
pub(super) const NEW: &str = "新 new %20.txt";

/// What is deleted.
pub(super) const UNWANTED: &str = "un wanted #2?.txt";

/// The folder that is made, or removed.
pub(super) const FOLDER: &str = "a \"folder\" 文件夹 #1";

/// The length of a file that is moved in two parts.
const WHOLE: usize = 1_000_000;

/// A command ends with the line, so no client can send such a name.
const NEWLINE: &[u8] = b"new\nline.txt";

/// A byte 255 begins a Telnet command unless it is doubled (RFC 959 section
/// 5.3, RFC 854).
const TELNET: &[u8] = b"not-utf-8-\xff\xfe.txt";

/// What the only empty file is called.
const EMPTY: &[u8] = b"plain.txt";

/// Not UTF-8 either, but without Telnet's byte.
const LATIN: &[u8] = b"caf\xe9.txt";

const NOT_DOUBLED: &str = "it does not double Telnet's byte";
const NO_TLS: &str = "it knows no TLS";

fn always(_: Way, _: Task) -> bool {
    true
}

fn is_tls(way: Way, _: Task) -> bool {
    way.tls != Tls::Never
}

const CURL: Client = Client {
    name: "curl",
    act: programs::curl,
    cannot: &[(
        |way, _| way.active && way.tls != Tls::Never && curl_forgets_tls(),
        "curl 7.87 and 7.88 forget TLS on connections that they accept (curl issue 10666)",
    )],
    names: &[(always, TELNET, NOT_DOUBLED)],
};

pub(super) const CURL_TLS_1_2: Client = Client {
    name: "curl with TLS 1.2",
    act: programs::curl_tls_1_2,
    ..CURL
};

/// Where sessions must be resumed.
pub(super) const CURL_TLS_1_3: Client = Client {
    name: "curl with TLS 1.3",
    cannot: &[(
        |_, task| task == Up,
        "OpenSSL resumes a session of TLS 1.3 once; then a download brings another, an upload none",
    )],
    ..CURL
};

pub(super) const LFTP: Client = Client {
    name: "lftp",
    act: programs::lftp,
    cannot: &[],
    names: &[(is_tls, TELNET, "under TLS it does not double Telnet's byte")],
};

const NCFTP: Client = Client {
    name: "ncftp",
    act: programs::ncftp,
    cannot: &[(is_tls, NO_TLS), (|way, _| way.ipv6, "it knows IPv4 only")],
    names: &[(always, TELNET, NOT_DOUBLED)],
};

const TNFTP: Client = Client {
    name: "tnftp",
    act: programs::tnftp,
    cannot: &[(is_tls, "it knows TLS for HTTP only")],
    names: &[(always, TELNET, NOT_DOUBLED)],
};

pub(super) const WGET: Client = Client {
    name: "wget",
    act: programs::wget,
    cannot: &[(
        |_, task| !matches!(task, Down | GoOnDown),
        "it only downloads",
    )],
    names: &[
        (always, TELNET, NOT_DOUBLED),
        (
            always,
            b"percent%20sign%.txt",
            "it decodes names of files twice",
        ),
    ],
};

const FTPLIB: Client = Client {
    name: "Python's ftplib",
    act: programs::ftplib,
    cannot: &[],
    names: &[(always, TELNET, NOT_DOUBLED)],
};

/// ftplib with ten lines more, as its users have them.
pub(super) const FTPLIB_RESUMING: Client = Client {
    name: "Python's ftplib, made to resume sessions",
    act: programs::ftplib_resuming,
    ..FTPLIB
};

pub(super) const BASIC_FTP: Client = Client {
    name: "basic-ftp",
    act: programs::basic_ftp,
    cannot: &[(|way, _| way.active, "it knows passive connections only")],
    names: &[
        (
            |way, task| task == Up && way.tls != Tls::Never,
            EMPTY,
            "where there is nothing to send, it does not wait for the end of the handshake",
        ),
        (always, TELNET, "names are text for it"),
        (always, LATIN, "names are text for it"),
    ],
};

fn curl_forgets_tls() -> bool {
    let version = tool("curl").arg("--version").output().unwrap().stdout;
    version.starts_with(b"curl 7.87.") || version.starts_with(b"curl 7.88.")
}

#[test]
fn curl() {
    CURL.does_all();
}

#[test]
fn lftp() {
    LFTP.does_all();
}

#[test]
fn ncftp() {
    NCFTP.does_all();
}

#[test]
fn tnftp() {
    TNFTP.does_all();
}

#[test]
fn wget() {
    WGET.does_all();
}

#[test]
fn ftplib() {
    FTPLIB.does_all();
}

#[test]
fn basic_ftp() {
    BASIC_FTP.does_all();
}

impl Client {
    /// Every task that it can do, in every way that it can.
    fn does_all(&self) {
        let mut done = 0;
        for (host, ipv6) in [("127.0.0.1", false), ("::1", true)] {
            // Where TLS is required, no client that should have it went without.
            for (need, begins) in [
                ("allowed", &[Tls::Never][..]),
                ("required", &[Tls::Explicit, Tls::Implicit]),
            ] {
                let place = Place::with(host, &["--tls-self-signed", "--ftp-tls", need]);
                for &tls in begins {
                    let ways = [false, true].map(|active| Way { tls, active, ipv6 });
                    self.does_all_of(&place, &ways, &mut done);
                }
                place.close();
            }
        }
    }

    /// The same, in these ways; counts what is done.
    pub(super) fn does_all_of(&self, place: &Place, ways: &[Way], done: &mut usize) {
        let mut left_out = BTreeMap::<_, usize>::new();
        for way in ways {
            for task in TASKS {
                let reason = self.cannot.iter().find(|(cannot, _)| cannot(*way, task));
                if let Some((_, reason)) = reason {
                    *left_out.entry(*reason).or_default() += 1;
                } else {
                    *done += 1;
                    self.does(place, *way, task, *done);
                }
            }
        }
        let host = place.served.address("ftp").ip();
        println!(
            "{} at {host}: {done} in all; left out: {left_out:?}",
            self.name
        );
    }

    fn does(&self, place: &Place, way: Way, task: Task, number: usize) {
        let here = tempfile::tempdir().unwrap();
        let there = place.share.path().join(number.to_string());
        fs::create_dir(&there).unwrap();
        let scene = Scene {
            task,
            here: here.path(),
            there: &there,
            // Another for each, so that none is taken for another in the log.
            part: WHOLE / 2 + number,
        };
        let files = scene.prepare(|name| self.leaves_out(way, task, name));
        let visit = Visit {
            task,
            way,
            address: place.address(way.tls),
            trust: &place.certificate(),
            there: format!("/{number}"),
            here: here.path().to_owned(),
            files,
            part: scene.part,
        };
        let output = (self.act)(&visit);
        let case = format!("{} {task:?} {way:?}", self.name);
        assert!(
            output.status.success(),
            "{case}: {}\n{}",
            shown(&output),
            place.served.log()
        );
        scene.check(&visit.files, &format!("{case}: {}", shown(&output)));
        if let Some(verbs) = scene.verbs() {
            let rest = WHOLE - scene.part;
            eventually("only what is missing is moved", || {
                let log = place.served.log();
                let moved = |verb| log.contains(&format!(" {verb} /{number}/big.bin 226 {rest}\n"));
                verbs.iter().any(moved)
            });
        }
        fs::remove_dir_all(there).unwrap();
    }

    fn leaves_out(&self, way: Way, task: Task, name: &[u8]) -> bool {
        let mut names = self.names.iter();
        name == NEWLINE || names.any(|(cells, left, _)| *left == name && cells(way, task))
    }
}

/// What is on both sides of a visit, before and after.
struct Scene<'a> {
    task: Task,
    here: &'a Path,
    there: &'a Path,
    /// How much there is of a file that is moved in two parts.
    part: usize,
}

impl Scene<'_> {
    /// Puts all in place that the task needs; the files of the tree.
    fn prepare(&self, left_out: impl Fn(&[u8]) -> bool) -> Vec<PathBuf> {
        let Self { here, there, .. } = *self;
        let whole = content(WHOLE);
        match self.task {
            Down => return tree(&there.join("tree"), left_out),
            Up => return tree(&here.join("tree"), left_out),
            GoOnDown => {
                fs::write(there.join("big.bin"), &whole).unwrap();
                fs::write(here.join("big.bin"), &whole[..self.part]).unwrap();
            }
            GoOnUp => {
                fs::write(here.join("big.bin"), &whole).unwrap();
                fs::write(there.join("big.bin"), &whole[..self.part]).unwrap();
            }
            Rename => fs::write(there.join(OLD), "renamed").unwrap(),
            Delete => fs::write(there.join(UNWANTED), "deleted").unwrap(),
            MakeFolder => {}
            RemoveFolder => fs::create_dir(there.join(FOLDER)).unwrap(),
        }
        Vec::new()
    }

    fn check(&self, paths: &[PathBuf], case: &str) {
        let Self { here, there, .. } = *self;
        match self.task {
            Down | Up => {
                let (from, to) = match self.task {
                    Down => (there.join("tree"), here.join("tree")),
                    _ => (here.join("tree"), there.join("tree")),
                };
                assert_eq!(files(&to), files(&from), "{case}");
                for path in paths {
                    let same =
                        fs::read(from.join(path)).unwrap() == fs::read(to.join(path)).unwrap();
                    assert!(same, "{path:?} differs: {case}");
                }
            }
            GoOnDown | GoOnUp => {
                for side in [here, there] {
                    let same = fs::read(side.join("big.bin")).unwrap() == content(WHOLE);
                    assert!(same, "{} differs: {case}", side.display());
                }
            }
            Rename => assert_eq!(names(there), [NEW], "{case}"),
            MakeFolder => {
                assert_eq!(names(there), [FOLDER], "{case}");
                assert!(there.join(FOLDER).is_dir(), "{case}");
            }
            Delete | RemoveFolder => assert_eq!(names(there), [""; 0], "{case}"),
        }
    }

    /// By which the log tells of a file that went on, if it is about that.
    fn verbs(&self) -> Option<&'static [&'static str]> {
        match self.task {
            GoOnDown => Some(&["RETR"]),
            GoOnUp => Some(&["STOR", "APPE"]),
            _ => None,
        }
    }
}

/// A tree with difficult names, but for some; the paths of its files. Each name
/// is there once, in the root or in the folder in turn: under TLS each file
/// takes its time.
fn tree(root: &Path, left_out: impl Fn(&[u8]) -> bool) -> Vec<PathBuf> {
    let mut paths = Vec::new();
    for (index, pair) in difficult_tree(root).chunks(2).enumerate() {
        paths.push(pair[index % 2].clone());
        fs::remove_file(root.join(&pair[(index + 1) % 2])).unwrap();
    }
    let latin = PathBuf::from(OsStr::from_bytes(LATIN));
    fs::write(root.join(&latin), content(4711)).unwrap();
    paths.push(latin);
    for path in paths.extract_if(.., |path| left_out(path.file_name().unwrap().as_bytes())) {
        fs::remove_file(root.join(path)).unwrap();
    }
    paths
}

/// The paths of the files below a folder, sorted.
fn files(root: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path());
            } else {
                found.push(entry.path().strip_prefix(root).unwrap().to_owned());
            }
        }
    }
    found.sort();
    found
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.collect()
}
