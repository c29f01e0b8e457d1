//! Servers that others wrote, and our own, each really started: on a folder, on
//! a free port of 127.0.0.1, until dropped.
//!
//! [`ALL`] says what each can do, so that one test can ask the same of all.
//! The programs are those that scripts/test unpacks, or else those in PATH.
//! None is asked to do what it can only do with an account of this machine.

mod ftp;
mod gopher;
mod http;
pub mod php;
pub mod tree;

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::{self, File, Permissions};
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{PermissionsExt, lchown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, geteuid, kill_process};
use tempfile::TempDir;

use super::{PATIENCE, hythe, tool};

/// A program, as it is set up here, and what it can do.
#[derive(Clone, Copy, Debug)]
pub struct Kind {
    /// What [`start`] knows it by.
    pub name: &'static str,
    pub scheme: &'static str,
    /// What its lists of folders say of the lengths of files.
    pub sizes: Sizes,
    /// Stores a file, and puts one in the place of another.
    pub puts: bool,
    pub resumes_uploads: Resumes,
    pub makes_folders: bool,
    /// Renames files and folders.
    pub moves: bool,
    /// Removes files, and folders that are empty.
    pub removes: bool,
    /// Characters in names that it can't be asked for, though it lists them.
    pub loses: &'static str,
    /// What its URL has before the host, or nothing.
    login: &'static str,
    /// Where its URL finds the folder.
    path: &'static str,
    /// Who it reads and writes as when root runs the tests.
    account: Account,
    launch: Launch,
}

/// How exact a list is about the lengths of files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sizes {
    No,
    /// Such as `2.9M`.
    Rounded,
    Exact,
}

/// How an upload goes on where it was interrupted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resumes {
    No,
    /// With FTP's `REST` before `STOR`, and with `APPE`.
    Rest,
    /// With a PUT that has a `Content-Range`, which few clients send.
    ContentRange,
    /// As tus says.
    Tus,
}

/// Who a server reads and writes as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Account {
    /// Whoever starts it.
    Ours,
    /// `daemon` if root starts it, to whom the folder is given then. Nobody
    /// has no home, which vsftpd minds.
    Daemon,
    /// The same, and only root can start it.
    DaemonByRoot,
}

#[derive(Clone, Copy, Debug)]
enum Launch {
    /// A program that listens.
    Listens(fn(&Place) -> Command),
    /// A program that finds its connection where standard input and output
    /// are, started for each.
    Inetd(fn(&Place) -> Command),
}

/// What reads only.
const READS: Kind = Kind {
    name: "",
    scheme: "http",
    sizes: Sizes::No,
    puts: false,
    resumes_uploads: Resumes::No,
    makes_folders: false,
    moves: false,
    removes: false,
    loses: "",
    login: "",
    path: "",
    account: Account::Ours,
    launch: Launch::Listens(http::python),
};

/// What does all there is, as FTP servers do.
const WRITES: Kind = Kind {
    sizes: Sizes::Exact,
    puts: true,
    resumes_uploads: Resumes::Rest,
    makes_folders: true,
    moves: true,
    removes: true,
    ..READS
};

/// All servers there are.
pub const ALL: &[Kind] = &[
    Kind {
        name: "nginx",
        sizes: Sizes::Exact,
        launch: Launch::Listens(http::nginx),
        ..READS
    },
    Kind {
        name: "nginx-dav",
        resumes_uploads: Resumes::No,
        launch: Launch::Listens(http::nginx_dav),
        ..WRITES
    },
    Kind {
        name: "apache",
        sizes: Sizes::Rounded,
        account: Account::Daemon,
        launch: Launch::Listens(http::apache),
        ..READS
    },
    Kind {
        name: "apache-dav",
        resumes_uploads: Resumes::ContentRange,
        // PROPFIND is exact.
        sizes: Sizes::Rounded,
        account: Account::Daemon,
        launch: Launch::Listens(http::apache_dav),
        ..WRITES
    },
    Kind {
        name: "lighttpd",
        sizes: Sizes::Rounded,
        launch: Launch::Listens(http::lighttpd),
        ..READS
    },
    Kind {
        name: "caddy",
        // In attributes, and in the JSON that there is if asked for.
        sizes: Sizes::Exact,
        launch: Launch::Listens(http::caddy),
        ..READS
    },
    Kind {
        name: "python",
        launch: Launch::Listens(http::python),
        ..READS
    },
    Kind {
        name: "hythe-http",
        resumes_uploads: Resumes::Tus,
        launch: Launch::Listens(http::hythe),
        ..WRITES
    },
    Kind {
        name: "vsftpd",
        scheme: "ftp",
        path: "share/",
        account: Account::DaemonByRoot,
        launch: Launch::Listens(ftp::vsftpd),
        ..WRITES
    },
    Kind {
        name: "proftpd",
        scheme: "ftp",
        account: Account::DaemonByRoot,
        launch: Launch::Listens(ftp::proftpd),
        ..WRITES
    },
    Kind {
        name: "pure-ftpd",
        scheme: "ftp",
        login: "hythe:hythe@",
        account: Account::DaemonByRoot,
        launch: Launch::Listens(ftp::pure_ftpd),
        ..WRITES
    },
    Kind {
        name: "pyftpdlib",
        scheme: "ftp",
        launch: Launch::Listens(ftp::pyftpdlib),
        ..WRITES
    },
    Kind {
        name: "hythe-ftp",
        scheme: "ftp",
        launch: Launch::Listens(ftp::hythe),
        ..WRITES
    },
    Kind {
        name: "gophernicus",
        scheme: "gopher",
        sizes: Sizes::Rounded,
        // What follows is a query.
        loses: "?",
        account: Account::Daemon,
        launch: Launch::Inetd(gopher::gophernicus),
        ..READS
    },
    Kind {
        name: "pygopherd",
        scheme: "gopher",
        launch: Launch::Listens(gopher::pygopherd),
        ..READS
    },
    Kind {
        name: "hythe-gopher",
        scheme: "gopher",
        launch: Launch::Listens(gopher::hythe),
        ..READS
    },
];

/// A running server, which ends when dropped, and its children with it.
pub struct Server {
    pub kind: &'static Kind,
    /// Of the folder, with a final slash, and a name and a password if it wants
    /// them.
    pub url: String,
    pub address: SocketAddr,
    pub root: PathBuf,
    // Dropped before the folder that it writes its logs to.
    _running: Running,
    place: Place,
}

/// Serves `root`. What is there must be for everyone to have: it is given to
/// `daemon` where the server is one that wants it.
pub fn start(name: &str, root: &Path) -> Server {
    let kind = ALL.iter().find(|kind| kind.name == name);
    kind.unwrap_or_else(|| panic!("no server {name}"))
        .start(root)
}

impl Kind {
    /// Whether whoever runs the tests may start it.
    pub fn runs_here(&self) -> bool {
        self.account != Account::DaemonByRoot || geteuid().is_root()
    }

    pub fn start(&'static self, root: &Path) -> Server {
        assert!(
            self.runs_here(),
            "{} can only be started by root",
            self.name
        );
        let mut said = String::new();
        // Another program may take a port before the server does.
        for _ in 0..ATTEMPTS {
            let place = Place::new(root, self.account);
            match Running::start(self, &place) {
                Ok(running) => return Server::new(self, running, place),
                Err(status) => said = format!("{status}\n{}", place.log()),
            }
        }
        panic!("{} did not start: {said}", self.name);
    }
}

impl Server {
    fn new(kind: &'static Kind, running: Running, place: Place) -> Self {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, place.port));
        let Kind {
            scheme,
            login,
            path,
            ..
        } = kind;
        Self {
            kind,
            url: format!("{scheme}://{login}{address}/{path}"),
            address,
            root: place.root.clone(),
            _running: running,
            place,
        }
    }

    /// Has the server own what the test has put in its folder since the start,
    /// without which it may be unable to change it.
    pub fn give(&self) {
        self.place.give();
    }

    /// How many bytes there are in its folder and in that of its temporary files:
    /// how far an upload has got, wherever the server keeps it.
    pub fn bytes(&self) -> u64 {
        bytes(&self.root) + bytes(self.place.folder.path())
    }

    /// What it has said so far.
    pub fn log(&self) -> String {
        self.place.log()
    }
}

/// Where a server is to be: what it serves, and what it is to have besides.
struct Place {
    root: PathBuf,
    port: u16,
    account: Account,
    /// For its configuration, logs and temporary files.
    folder: TempDir,
}

impl Place {
    fn new(root: &Path, account: Account) -> Self {
        let place = Self {
            root: root.canonicalize().unwrap(),
            port: free_port(),
            account,
            folder: tempfile::tempdir().unwrap(),
        };
        place.give();
        if place.is_daemons() {
            let User { uid, gid, .. } = User::daemon();
            lchown(place.folder.path(), Some(uid), Some(gid)).unwrap();
            // For root without its privileges.
            add_mode(place.folder.path(), 0o055);
        }
        place
    }

    /// A path in the folder of its own.
    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file in the folder of its own: its path.
    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, text).unwrap();
        path
    }

    /// Whether it is `daemon` who reads and writes.
    fn is_daemons(&self) -> bool {
        self.account != Account::Ours && geteuid().is_root()
    }

    fn give(&self) {
        if !self.is_daemons() {
            return;
        }
        give(&self.root, &User::daemon());
        let temp = std::env::temp_dir().canonicalize().unwrap();
        for folder in self.root.ancestors().skip(1) {
            if !folder.starts_with(&temp) || folder == temp {
                break;
            }
            add_mode(folder, 0o011);
        }
    }

    /// All that is in logs.
    fn log(&self) -> String {
        let mut text = String::new();
        for entry in fs::read_dir(self.folder.path()).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|end| end == "log") {
                text.push_str(&String::from_utf8_lossy(&fs::read(path).unwrap()));
            }
        }
        text
    }
}

/// Makes a folder and all in it somebody's, and readable for all.
fn give(path: &Path, user: &User) {
    lchown(path, Some(user.uid), Some(user.gid)).unwrap();
    let kind = fs::symlink_metadata(path).unwrap().file_type();
    if kind.is_dir() {
        add_mode(path, 0o755);
        for entry in fs::read_dir(path).unwrap() {
            give(&entry.unwrap().path(), user);
        }
    } else if kind.is_file() {
        add_mode(path, 0o644);
    }
}

/// What comes and goes meanwhile counts for nothing.
fn bytes(path: &Path) -> u64 {
    match fs::symlink_metadata(path) {
        Ok(meta) if meta.is_dir() => {
            let entries = fs::read_dir(path).into_iter().flatten().flatten();
            entries.map(|entry| bytes(&entry.path())).sum()
        }
        Ok(meta) if meta.is_file() => meta.len(),
        _ => 0,
    }
}

fn add_mode(path: &Path, mode: u32) {
    let before = fs::metadata(path).unwrap().permissions().mode();
    fs::set_permissions(path, Permissions::from_mode(before | mode)).unwrap();
}

/// An account of this machine.
struct User {
    name: String,
    uid: u32,
    gid: u32,
    group: String,
}

impl User {
    /// The one that all Linuxes have for what should not be root.
    fn daemon() -> Self {
        let users = fs::read_to_string("/etc/passwd").unwrap();
        let user = users.lines().find(|line| line.starts_with("daemon:"));
        let user = user.expect("an account `daemon` in /etc/passwd");
        let fields: Vec<_> = user.split(':').collect();
        let groups = fs::read_to_string("/etc/group").unwrap();
        let group = groups
            .lines()
            .find(|line| line.split(':').nth(2) == Some(fields[3]))
            .expect("its group in /etc/group");
        Self {
            name: fields[0].to_owned(),
            uid: fields[2].parse().unwrap(),
            gid: fields[3].parse().unwrap(),
            group: group.split(':').next().unwrap().to_owned(),
        }
    }
}

/// What serves, and how it is ended.
enum Running {
    Process {
        child: Child,
        address: SocketAddr,
    },
    Inetd {
        ended: Arc<AtomicBool>,
        address: SocketAddr,
        thread: Option<thread::JoinHandle<()>>,
    },
}

impl Running {
    /// Starts a server, and waits until it can be talked to.
    ///
    /// # Errors
    /// Says how it ended if it did.
    fn start(kind: &Kind, place: &Place) -> Result<Self, String> {
        match kind.launch {
            Launch::Listens(launch) => Self::listening(kind, place, launch(place)),
            Launch::Inetd(launch) => Self::inetd(place, launch(place)),
        }
    }

    fn listening(kind: &Kind, place: &Place, mut command: Command) -> Result<Self, String> {
        let log = File::create(place.path("output.log")).unwrap();
        let child = command
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .process_group(0)
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, place.port));
        // From here on it is ended, whatever happens.
        let mut running = Self::Process { child, address };
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until {
            let greets = greets(address, kind.scheme);
            // If it has ended, it was somebody else who answered.
            if let Self::Process { child, .. } = &mut running
                && let Some(status) = child.try_wait().unwrap()
            {
                return Err(status.to_string());
            }
            if greets {
                return Ok(running);
            }
            thread::sleep(Duration::from_millis(10));
        }
        Err("it neither ended nor answered".to_owned())
    }

    fn inetd(place: &Place, mut command: Command) -> Result<Self, String> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, place.port));
        let listener = listener.map_err(|error| error.to_string())?;
        let address = listener.local_addr().unwrap();
        let log = File::create(place.path("output.log")).unwrap();
        let ended = Arc::<AtomicBool>::default();
        let thread = thread::spawn({
            let ended = Arc::clone(&ended);
            move || {
                let mut children = Vec::<Child>::new();
                for stream in listener.incoming() {
                    if ended.load(Ordering::Relaxed) {
                        break;
                    }
                    let socket = OwnedFd::from(stream.unwrap());
                    command.stdin(socket.try_clone().unwrap());
                    command.stdout(socket).stderr(log.try_clone().unwrap());
                    children.push(command.process_group(0).spawn().unwrap());
                    // The command keeps what it is given until it is given others.
                    command.stdin(Stdio::null()).stdout(Stdio::null());
                    children.retain_mut(|child| child.try_wait().unwrap().is_none());
                }
                children.iter_mut().for_each(end);
            }
        });
        Ok(Self::Inetd {
            ended,
            address,
            thread: Some(thread),
        })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        match self {
            Self::Process { child, address } => {
                end(child);
                // Its children end in their own time.
                let until = Instant::now() + Duration::from_secs(5);
                while TcpListener::bind(*address).is_err() && Instant::now() < until {
                    thread::sleep(Duration::from_millis(5));
                }
            }
            Self::Inetd {
                ended,
                address,
                thread,
            } => {
                ended.store(true, Ordering::Relaxed);
                TcpStream::connect(*address).ok();
                thread.take().map(thread::JoinHandle::join);
            }
        }
    }
}

/// Ends a process and those it has started, which may be in groups of their own.
fn end(child: &mut Child) {
    let mut pids = vec![i32::try_from(child.id()).unwrap()];
    let mut next = 0;
    while next < pids.len() {
        let pid = pids[next];
        for task in fs::read_dir(format!("/proc/{pid}/task"))
            .into_iter()
            .flatten()
        {
            let children = task.map(|task| fs::read_to_string(task.path().join("children")));
            let children = children.ok().and_then(Result::ok).unwrap_or_default();
            pids.extend(
                children
                    .split_whitespace()
                    .filter_map(|pid| pid.parse::<i32>().ok()),
            );
        }
        next += 1;
    }
    for pid in pids.into_iter().filter_map(Pid::from_raw) {
        kill_process(pid, Signal::KILL).ok();
    }
    child.wait().ok();
}

/// Whether somebody accepts connections, and says what is said first.
fn greets(address: SocketAddr, scheme: &str) -> bool {
    let Ok(stream) = TcpStream::connect(address) else {
        return false;
    };
    if scheme != "ftp" {
        return true;
    }
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).ok();
    line.starts_with("220")
}

/// A port that nobody has, and that this was not said of before.
fn free_port() -> u16 {
    static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
    loop {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        if GIVEN.lock().unwrap().insert(port) {
            return port;
        }
    }
}

/// A server from this package of Debian: as scripts/test has unpacked it, with
/// its libraries, or as it is installed.
fn program(package: &str, name: &str) -> Command {
    let folders = ["usr/sbin", "usr/bin", "sbin", "bin"];
    let unpacked = unpacked(package);
    let ours = folders.map(|folder| unpacked.join(folder));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let elsewhere = std::env::split_paths(&path).chain([PathBuf::from("/usr/sbin")]);
    let found = ours.into_iter().chain(elsewhere);
    let Some(found) = found
        .map(|folder| folder.join(name))
        .find(|path| path.is_file())
    else {
        panic!(
            "{name} is not here: run scripts/test, which fetches it, or \
             install Debian's package {package}"
        );
    };
    let mut command = Command::new(found);
    command.env("LD_LIBRARY_PATH", libraries(&unpacked));
    // What makes interpreters leave things beside what they run.
    command.env("PYTHONDONTWRITEBYTECODE", "1");
    command
}

fn unpacked(package: &str) -> PathBuf {
    tools().join("servers").join(package)
}

/// Where scripts/test has put what it has fetched.
fn tools() -> PathBuf {
    let tools = Path::new(env!("CARGO_TARGET_TMPDIR")).join("../tools");
    tools.canonicalize().unwrap_or(tools)
}

/// The folders of shared libraries in what a package was unpacked to.
fn libraries(unpacked: &Path) -> OsString {
    let mut folders = Vec::new();
    for parent in ["lib", "usr/lib"] {
        let entries = fs::read_dir(unpacked.join(parent)).into_iter().flatten();
        let paths = entries.map(|entry| entry.unwrap().path());
        folders.extend(paths.filter(|path| path.to_string_lossy().contains("-linux-gnu")));
    }
    std::env::join_paths(folders).unwrap()
}

/// Our own program, with this protocol alone, on the port of the place.
fn hythe_with(place: &Place, protocol: &str) -> Command {
    let mut command = hythe();
    command.arg("serve").arg(&place.root);
    for known in ["http", "ftp", "gopher"] {
        let at = format!("127.0.0.1:{}", place.port);
        let at = if known == protocol { &at } else { "off" };
        command.arg(format!("--{known}")).arg(at);
    }
    command.env("HOME", place.folder.path());
    command.args(["--allow", "write"]);
    command
}

/// How often a server is started until that it does not start is its fault.
const ATTEMPTS: usize = 3;
