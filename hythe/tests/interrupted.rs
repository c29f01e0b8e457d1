//! Transfers interrupted by `kill -9` of the client and gone on with by the same
//! command: what arrives is the same to the byte, and little is sent twice.

mod common;

use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, SystemTime};

use common::{Dice, Served, content, eventually};

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// How often each way is interrupted.
const KILLS: usize = 100;

/// What is sent twice at most, for each time that it is interrupted.
const REPEATED: u64 = MIB as u64;

/// What moments are drawn from, so that a failure can be had again.
const SEED: u64 = 0x6879_7468_6500_0006;

/// A client with a home of its own.
struct Home {
    folder: tempfile::TempDir,
}

impl Home {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn hythe(&self, arguments: &[&str]) -> Command {
        let mut command = common::hythe();
        command
            .args(arguments)
            .current_dir(self.folder.path())
            .env("HOME", self.folder.path())
            .env_remove("XDG_STATE_HOME")
            .env_remove("http_proxy")
            .stdin(Stdio::null());
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.hythe(arguments).output().unwrap()
    }

    fn succeed(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{arguments:?}: {said}");
        said
    }

    /// Runs a command and kills it after `moment`; whether it was still running.
    fn kill(&self, arguments: &[&str], moment: Duration) -> bool {
        let mut child = self
            .hythe(arguments)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        thread::sleep(moment);
        let runs = child.try_wait().unwrap().is_none();
        child.kill().unwrap();
        child.wait().unwrap();
        runs
    }
}

// --- A slow road ---------------------------------------------------------------

/// Which way is slow, and counted.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Slow {
    Down,
    Up,
}

/// Passes connections on to a server, one way no faster than 64 MiB a second, and
/// counts what goes that way.
struct Road {
    address: SocketAddr,
    moved: Arc<AtomicU64>,
}

impl Road {
    fn to(server: SocketAddr, slow: Slow) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let moved = Arc::<AtomicU64>::default();
        let counter = Arc::clone(&moved);
        thread::spawn(move || {
            for here in listener.incoming().map_while(Result::ok) {
                let there = TcpStream::connect(server).unwrap();
                let count = |way| (way == slow).then(|| Arc::clone(&counter));
                for (from, to, count) in [
                    (here.try_clone(), there.try_clone(), count(Slow::Up)),
                    (there.try_clone(), here.try_clone(), count(Slow::Down)),
                ] {
                    let (from, to) = (from.unwrap(), to.unwrap());
                    thread::spawn(move || pass(from, to, count));
                }
            }
        });
        Self { address, moved }
    }

    /// How much has gone that way since this was asked last.
    fn moved(&self) -> u64 {
        self.moved.swap(0, Ordering::Relaxed)
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream, count: Option<Arc<AtomicU64>>) {
    if count.is_some() {
        // Little is on its way when one end is killed.
        let small = (64 * KIB) as u32;
        rustix::net::sockopt::set_socket_recv_buffer_size(&from, small as usize).unwrap();
        rustix::net::sockopt::set_socket_send_buffer_size(&to, small as usize).unwrap();
    }
    let mut buffer = vec![0; 64 * KIB];
    while let Ok(bytes @ 1..) = from.read(&mut buffer) {
        if to.write_all(&buffer[..bytes]).is_err() {
            break;
        }
        if let Some(count) = &count {
            count.fetch_add(bytes as u64, Ordering::Relaxed);
            thread::sleep(Duration::from_micros(bytes as u64 / 64));
        }
    }
    to.shutdown(Shutdown::Write).ok();
}

fn http_address(server: &Served) -> SocketAddr {
    address(server, "http")
}

fn address(server: &Served, protocol: &str) -> SocketAddr {
    let url = server.url(protocol);
    let (_, rest) = url.split_once("://").unwrap();
    rest.trim_end_matches('/').parse().unwrap()
}

fn same(one: &Path, other: &[u8]) -> bool {
    fs::read(one).is_ok_and(|bytes| bytes == other)
}

// --- Downloads -------------------------------------------------------------------

#[test]
fn a_hundred_downloads_are_killed_and_gone_on_with() {
    println!("seed {SEED:#x}");
    let mut dice = Dice(SEED);
    let share = tempfile::tempdir().unwrap();
    let bytes = content(12 * MIB);
    fs::write(share.path().join("big"), &bytes).unwrap();
    let server = Served::start(share.path(), &["--log", "off"]);
    let road = Road::to(http_address(&server), Slow::Down);
    let home = Home::new();
    let url = format!("http://{}/big", road.address);
    let mut kills = 0;
    while kills < KILLS {
        let mut here = 0;
        for _ in 0..7 {
            let moment = Duration::from_millis(10 + dice.below(60));
            if !home.kill(&["get", &url], moment) {
                break;
            }
            here += 1;
        }
        let part = fs::metadata(home.path("big.part")).map_or(0, |meta| meta.len());
        let said = if home.path("big").exists() {
            String::new()
        } else {
            let output = home.run(&["get", "--json", &url]);
            assert!(
                output.status.success(),
                "{}",
                String::from_utf8_lossy(&output.stderr)
            );
            String::from_utf8_lossy(&output.stdout).into_owned()
        };
        assert!(
            same(&home.path("big"), &bytes),
            "after {kills} kills: {said}"
        );
        assert!(!said.contains("restarted"), "{said}");
        if !said.is_empty() {
            let offset = said.split("\"offset\":").nth(1).unwrap();
            let digits = offset.bytes().take_while(u8::is_ascii_digit).count();
            let offset: u64 = offset[..digits].parse().unwrap();
            assert!(offset <= part && part - offset < REPEATED, "{part}: {said}");
        }
        let moved = road.moved();
        let most = bytes.len() as u64 + here * REPEATED;
        assert!(
            moved <= most,
            "{moved} of {} bytes, {here} kills",
            bytes.len()
        );
        for name in ["big.part", "big.part.journal"] {
            assert!(!home.path(name).exists(), "{name}");
        }
        fs::remove_file(home.path("big")).unwrap();
        kills += here as usize;
    }
}

/// By FTP, and by several connections at once.
#[test]
fn other_ways_down_are_killed_and_gone_on_with() {
    let mut dice = Dice(SEED);
    let share = tempfile::tempdir().unwrap();
    let bytes = content(24 * MIB + 12_345);
    fs::write(share.path().join("big"), &bytes).unwrap();
    let server = Served::start(share.path(), &["--log", "off"]);
    let home = Home::new();
    for (scheme, jobs) in [("ftp", "1"), ("http", "4"), ("ftp", "4")] {
        let url = format!("{}big", server.url(scheme));
        let slowly = ["get", "--limit-rate", "60M", "-j", jobs, &url];
        let mut kills = 0;
        while kills < 10 {
            for _ in 0..4 {
                let moment = Duration::from_millis(20 + dice.below(80));
                kills += usize::from(home.kill(&slowly, moment));
            }
            home.succeed(&["get", "-j", jobs, "--overwrite", &url]);
            assert!(same(&home.path("big"), &bytes), "{scheme}, {jobs}");
            fs::remove_file(home.path("big")).unwrap();
        }
    }
}

#[test]
fn what_has_changed_meanwhile_is_fetched_again_and_that_is_said() {
    let share = tempfile::tempdir().unwrap();
    let file = share.path().join("big");
    let server = Served::start(share.path(), &["--log", "off"]);
    let home = Home::new();
    for (scheme, jobs) in [("http", "1"), ("ftp", "1"), ("http", "3"), ("ftp", "3")] {
        let (old, new) = (content(9 * MIB), content(8 * MIB + 1));
        fs::write(&file, &old).unwrap();
        let url = format!("{}big", server.url(scheme));
        let slowly = ["get", "--limit-rate", "8M", "-j", jobs, &url];
        let mut child = home.hythe(&slowly).spawn().unwrap();
        eventually("a part", || {
            let part = fs::metadata(home.path("big.part"));
            part.is_ok_and(|meta| meta.len() > MIB as u64)
        });
        child.kill().unwrap();
        child.wait().unwrap();
        // As an editor does it; of another length, since FTP knows seconds only.
        fs::write(share.path().join("new"), &new).unwrap();
        fs::rename(share.path().join("new"), &file).unwrap();
        let said = home.succeed(&["get", "-j", jobs, &url]);
        assert!(
            said.contains("changed") && said.contains("starting again"),
            "{scheme}: {said}"
        );
        assert!(same(&home.path("big"), &new), "{scheme}, {jobs}");
        fs::remove_file(home.path("big")).unwrap();
    }
}

#[test]
fn ctrl_c_keeps_the_part_and_has_its_own_status() {
    let share = tempfile::tempdir().unwrap();
    let bytes = content(9 * MIB);
    fs::write(share.path().join("big"), &bytes).unwrap();
    let server = Served::start(share.path(), &["--allow", "write", "--log", "off"]);
    let home = Home::new();
    fs::write(home.path("mine"), &bytes).unwrap();
    for scheme in ["http", "ftp"] {
        let (down, up) = (
            format!("{}big", server.url(scheme)),
            format!("{}{scheme}", server.url(scheme)),
        );
        for arguments in [
            ["get", "--limit-rate", "4M", &down, "-o", "big"],
            ["put", "--limit-rate", "4M", "--retries", "0", "mine"],
        ] {
            let mut command = home.hythe(&arguments);
            if arguments[0] == "put" {
                command.arg(&up);
            }
            let child = command.stderr(Stdio::piped()).spawn().unwrap();
            let there = if arguments[0] == "get" {
                home.path("big.part")
            } else {
                share.path().join(scheme)
            };
            if arguments[0] == "get" || scheme == "ftp" {
                eventually("some of it", || {
                    fs::metadata(&there).is_ok_and(|meta| meta.len() > 100_000)
                });
            } else {
                thread::sleep(Duration::from_millis(300));
            }
            let pid = rustix::process::Pid::from_child(&child);
            rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
            let output = child.wait_with_output().unwrap();
            let said = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(6), "{arguments:?}: {said}");
            assert!(said.contains("again to continue"), "{said}");
        }
        let said = home.run(&["get", "--json", &down, "-o", "big"]);
        let said = String::from_utf8_lossy(&said.stdout).into_owned();
        assert!(!said.contains("\"offset\":0,"), "{said}");
        assert!(same(&home.path("big"), &bytes));
        let said = home.run(&["put", "--json", "mine", &up]);
        let said = String::from_utf8_lossy(&said.stdout).into_owned();
        assert!(
            said.contains("\"done\"") && !said.contains("\"offset\":0,"),
            "{said}"
        );
        assert!(same(&share.path().join(scheme), &bytes));
        fs::remove_file(home.path("big")).unwrap();
    }
}

// --- Uploads -----------------------------------------------------------------------

#[test]
fn a_hundred_uploads_are_killed_and_gone_on_with() {
    println!("seed {SEED:#x}");
    let mut dice = Dice(SEED);
    let share = tempfile::tempdir().unwrap();
    let server = Served::start(share.path(), &["--allow", "write", "--log", "off"]);
    let road = Road::to(http_address(&server), Slow::Up);
    let home = Home::new();
    let bytes = content(12 * MIB);
    fs::write(home.path("mine"), &bytes).unwrap();
    let url = format!("http://{}/big", road.address);
    let there = share.path().join("big");
    let mut kills = 0;
    while kills < KILLS {
        let mut here = 0;
        for _ in 0..7 {
            let moment = Duration::from_millis(10 + dice.below(60));
            if !home.kill(&["put", "mine", &url], moment) {
                break;
            }
            here += 1;
        }
        if !there.exists() {
            let said = home.succeed(&["put", "mine", &url]);
            assert!(said.is_empty(), "{said}");
        }
        assert!(same(&there, &bytes), "after {kills} kills");
        let moved = road.moved();
        let most = bytes.len() as u64 + (here + 1) * REPEATED;
        assert!(
            moved <= most,
            "{moved} of {} bytes, {here} kills",
            bytes.len()
        );
        fs::remove_file(&there).unwrap();
        kills += here as usize;
    }
    // What was done when the signal came, its client could not forget.
    let notes = home.path(".local/state/hythe/uploads");
    for note in fs::read_dir(&notes).unwrap() {
        let old = SystemTime::now() - Duration::from_secs(31 * 24 * 60 * 60);
        let note = fs::File::open(note.unwrap().path()).unwrap();
        note.set_modified(old).unwrap();
    }
    home.succeed(&["put", "mine", &url]);
    assert_eq!(fs::read_dir(&notes).unwrap().count(), 0);
}

#[test]
fn uploads_by_ftp_are_killed_and_gone_on_with() {
    let mut dice = Dice(SEED);
    let share = tempfile::tempdir().unwrap();
    let server = Served::start(share.path(), &["--allow", "write", "--log", "off"]);
    let home = Home::new();
    let bytes = content(24 * MIB + 12_345);
    fs::write(home.path("mine"), &bytes).unwrap();
    let url = format!("{}big", server.url("ftp"));
    let there = share.path().join("big");
    let mut kills = 0;
    while kills < 20 {
        for _ in 0..4 {
            let moment = Duration::from_millis(20 + dice.below(80));
            let slowly = ["put", "--limit-rate", "60M", "mine", &url];
            kills += usize::from(home.kill(&slowly, moment));
        }
        home.succeed(&["put", "mine", &url]);
        assert!(same(&there, &bytes), "after {kills} kills");
        fs::remove_file(&there).unwrap();
    }
}
