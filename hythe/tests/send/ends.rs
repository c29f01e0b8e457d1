//! Both ends as programs, and what there is on their disks.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::net::SocketAddr;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Instant;

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use super::common::{PATIENCE, eventually, hythe};

pub(super) const KIB: usize = 1024;
pub(super) const MIB: usize = 1024 * KIB;

// --- Programs -----------------------------------------------------------------

/// How a program has ended, and what it said.
#[derive(Debug)]
pub(super) struct Said {
    pub(super) status: i32,
    pub(super) out: String,
    pub(super) err: String,
}

impl Said {
    /// It has succeeded.
    #[track_caller]
    pub(super) fn ok(self) -> Self {
        assert_eq!(self.status, 0, "{self:?}");
        self
    }

    /// It has failed like this, and says all of these; nothing that it says moves
    /// a cursor.
    #[track_caller]
    pub(super) fn fails(self, status: i32, words: &[&str]) -> Self {
        assert_eq!(self.status, status, "{self:?}");
        for word in words {
            assert!(self.err.contains(word), "no {word:?}: {self:?}");
        }
        is_text(&self.err);
        self
    }
}

/// Nothing in it moves a cursor.
#[track_caller]
pub(super) fn is_text(said: &str) {
    let strange = |letter: char| letter.is_control() && letter != '\n';
    assert!(!said.contains(strange), "{said:?}");
}

/// A command that sends these words; the last of them says where to.
pub(super) fn sending(words: &[&str]) -> Command {
    let mut command = hythe();
    command.arg("send").args(words);
    command
}

/// Sends, to the end.
pub(super) fn send(words: &[&str]) -> Said {
    finish(sending(words))
}

/// Runs a command to its end, which comes in time.
pub(super) fn finish(mut command: Command) -> Said {
    let command = command.stdin(Stdio::null());
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped());
    finish_child(child.spawn().unwrap())
}

/// Waits for the end of one that runs.
pub(super) fn finish_child(mut child: Child) -> Said {
    fn read(from: Option<impl Read + Send + 'static>) -> thread::JoinHandle<String> {
        thread::spawn(move || {
            let mut bytes = Vec::new();
            if let Some(mut from) = from {
                from.read_to_end(&mut bytes).unwrap();
            }
            String::from_utf8_lossy(&bytes).into_owned()
        })
    }
    let (out, err) = (read(child.stdout.take()), read(child.stderr.take()));
    let status = end_of(&mut child);
    Said {
        status: status.and_then(|status| status.code()).unwrap_or(-1),
        out: out.join().unwrap(),
        err: err.join().unwrap(),
    }
}

/// The end of a child; it is killed when it does not come.
fn end_of(child: &mut Child) -> Option<ExitStatus> {
    let until = Instant::now() + PATIENCE;
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return Some(status);
        }
        if Instant::now() > until {
            child.kill().unwrap();
            child.wait().unwrap();
            return None;
        }
        thread::sleep(std::time::Duration::from_millis(5));
    }
}

/// A running `hythe receive`, killed when dropped.
pub(super) struct Receiver {
    pub(super) child: Child,
    /// Where it listens, as one says to `hythe send`.
    pub(super) address: String,
    err: Arc<Mutex<String>>,
    reader: Option<thread::JoinHandle<()>>,
}

impl Receiver {
    /// Receives into a folder, on a free port of 127.0.0.1.
    pub(super) fn start(folder: &Path, arguments: &[&str]) -> Self {
        Self::at("127.0.0.1:0", folder, arguments)
    }

    pub(super) fn at(place: &str, folder: &Path, arguments: &[&str]) -> Self {
        Self::spawn(receiving(place, folder, arguments))
    }

    /// Runs a command that receives, and waits until it listens.
    pub(super) fn spawn(mut command: Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let err = Arc::<Mutex<String>>::default();
        let reader = thread::spawn({
            let err = Arc::clone(&err);
            move || {
                let mut line = Vec::new();
                while let Ok(1..) = stderr.read_until(b'\n', &mut line) {
                    let text = String::from_utf8_lossy(&line);
                    err.lock().unwrap().push_str(&text);
                    line.clear();
                }
            }
        });
        let mut receiver = Self {
            child,
            address: String::new(),
            err,
            reader: Some(reader),
        };
        eventually("listening on", || {
            let ended = receiver.child.try_wait().unwrap();
            assert!(ended.is_none(), "{ended:?}: {}", receiver.err());
            receiver.err().contains('\n')
        });
        let said = receiver.err();
        let address = said.lines().next().unwrap().strip_prefix("listening on ");
        address
            .unwrap_or_else(|| panic!("{said}"))
            .clone_into(&mut receiver.address);
        receiver
    }

    pub(super) fn socket(&self) -> SocketAddr {
        self.address.parse().unwrap()
    }

    /// What it has said on standard error so far.
    pub(super) fn err(&self) -> String {
        self.err.lock().unwrap().clone()
    }

    /// Waits until it has said this.
    #[track_caller]
    pub(super) fn says(&self, words: &str) {
        let until = Instant::now() + PATIENCE;
        while !self.err().contains(words) {
            assert!(Instant::now() < until, "no {words:?}: {}", self.err());
            thread::sleep(std::time::Duration::from_millis(5));
        }
    }

    /// Waits for its end.
    pub(super) fn wait(mut self) -> Said {
        let status = end_of(&mut self.child);
        self.reader.take().unwrap().join().unwrap();
        Said {
            status: status.and_then(|status| status.code()).unwrap_or(-1),
            out: String::new(),
            err: self.err(),
        }
    }

    /// Ends it as a user does.
    pub(super) fn interrupt(self) -> Said {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
        self.wait()
    }

    pub(super) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

pub(super) fn receiving(place: &str, folder: &Path, arguments: &[&str]) -> Command {
    let mut command = hythe();
    command
        .arg("receive")
        .args(arguments)
        .arg(place)
        .arg(folder);
    command
}

/// A program at a terminal.
pub(super) struct Terminal {
    child: Child,
    keys: fs::File,
    shown: Arc<Mutex<String>>,
}

impl Terminal {
    pub(super) fn spawn(mut command: Command) -> Self {
        let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&terminal).unwrap();
        unlockpt(&terminal).unwrap();
        let path = ptsname(&terminal, Vec::new()).unwrap();
        let end = fs::File::options()
            .read(true)
            .write(true)
            .open(path.to_str().unwrap())
            .unwrap();
        command
            .stdin(end.try_clone().unwrap())
            .stdout(end.try_clone().unwrap())
            .stderr(end);
        let child = command.spawn().unwrap();
        drop(command);
        let keys = fs::File::from(terminal);
        let mut reading = keys.try_clone().unwrap();
        let shown = Arc::<Mutex<String>>::default();
        let showing = Arc::clone(&shown);
        thread::spawn(move || {
            let mut buffer = [0; 1000];
            // The last end of a terminal that closes is an error here.
            while let Ok(count @ 1..) = reading.read(&mut buffer) {
                let text = String::from_utf8_lossy(&buffer[..count]);
                showing.lock().unwrap().push_str(&text);
            }
        });
        Self { child, keys, shown }
    }

    pub(super) fn shown(&self) -> String {
        self.shown.lock().unwrap().clone()
    }

    /// Waits until this was shown so many times.
    #[track_caller]
    pub(super) fn shows(&self, words: &str, times: usize) {
        let until = Instant::now() + PATIENCE;
        while self.shown().matches(words).count() < times {
            assert!(Instant::now() < until, "no {words:?}: {:?}", self.shown());
            thread::sleep(std::time::Duration::from_millis(5));
        }
    }

    pub(super) fn types(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
    }

    /// Where the receiver that it is listens.
    pub(super) fn address(&self) -> String {
        self.shows("listening on ", 1);
        self.shows("\n", 1);
        let shown = self.shown();
        let (_, rest) = shown.split_once("listening on ").unwrap();
        rest.lines().next().unwrap().trim().to_owned()
    }

    pub(super) fn wait(mut self) -> (i32, String) {
        let status = end_of(&mut self.child);
        let status = status.and_then(|status| status.code());
        (status.unwrap_or(-1), self.shown())
    }
}

// --- Disks --------------------------------------------------------------------

/// What is at a path: of a file its length and hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Thing {
    kind: char,
    mode: u32,
    modified: (i64, i64),
    content: Option<(u64, String)>,
}

/// All that is below a folder, and the folder itself.
pub(super) fn tree(root: &Path) -> BTreeMap<PathBuf, Thing> {
    let mut things = BTreeMap::new();
    let mut left = vec![PathBuf::new()];
    while let Some(path) = left.pop() {
        let full = root.join(&path);
        let meta = fs::symlink_metadata(&full).unwrap();
        if meta.is_dir() {
            let entries = fs::read_dir(&full).unwrap();
            left.extend(entries.map(|entry| path.join(entry.unwrap().file_name())));
        }
        let thing = Thing {
            kind: match meta.file_type() {
                it if it.is_dir() => 'd',
                it if it.is_file() => 'f',
                it if it.is_symlink() => 'l',
                _ => '?',
            },
            mode: meta.permissions().mode() & 0o7777,
            modified: (meta.mtime(), meta.mtime_nsec()),
            content: meta.is_file().then(|| (meta.len(), hash(&full))),
        };
        things.insert(path, thing);
    }
    things
}

/// The hash of a file of any length.
fn hash(path: &Path) -> String {
    let mut hasher = blake3::Hasher::new();
    let mut file = fs::File::open(path).unwrap();
    let mut piece = vec![0; MIB];
    while let count @ 1.. = file.read(&mut piece).unwrap() {
        hasher.update(&piece[..count]);
    }
    hasher.finalize().to_hex().to_string()
}

/// Two trees are the same, with times and modes.
#[track_caller]
pub(super) fn same_tree(one: &Path, other: &Path) {
    let (one, other) = (tree(one), tree(other));
    for (path, thing) in &one {
        assert_eq!(Some(thing), other.get(path), "{}", path.display());
    }
    let more: Vec<_> = other
        .keys()
        .filter(|path| !one.contains_key(*path))
        .collect();
    assert!(more.is_empty(), "{more:?}");
}

/// The names of what is in a folder.
pub(super) fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| String::from_utf8_lossy(entry.unwrap().file_name().as_bytes()).into_owned())
        .collect();
    names.sort();
    names
}

/// A folder for the sender and one for the receiver, and beside them what nobody
/// may touch.
pub(super) struct Place {
    folder: tempfile::TempDir,
    canaries: BTreeMap<PathBuf, Thing>,
}

impl Place {
    pub(super) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for name in ["from", "to", "canary/inner"] {
            fs::create_dir_all(folder.path().join(name)).unwrap();
        }
        fs::write(folder.path().join("canary/inner/file"), "sings").unwrap();
        fs::write(folder.path().join("canary/file"), "sings").unwrap();
        let canaries = tree(&folder.path().join("canary"));
        Self { folder, canaries }
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(super) fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    pub(super) fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> String {
        fs::write(self.path(name), bytes).unwrap();
        self.text(name)
    }

    #[track_caller]
    pub(super) fn holds(&self, name: &str, bytes: impl AsRef<[u8]>) {
        let there = fs::read(self.path(name)).unwrap();
        assert!(there == bytes.as_ref(), "{name}");
    }

    /// The canaries are as they were, and nothing is beside them.
    #[track_caller]
    pub(super) fn sings(&self) {
        assert_eq!(tree(&self.path("canary")), self.canaries);
        assert_eq!(names(self.folder.path()), ["canary", "from", "to"]);
    }
}
