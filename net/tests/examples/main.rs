//! The examples, each run as a program of its own and talked to over sockets:
//! ours, Python's and curl's.

mod clients;
mod servers;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::Duration;

use hythe_net::Socket;
use hythe_net::option::Linger;

/// Longer than anything here takes on the slowest machine: a test that waits
/// this long has failed.
const FOREVER: Duration = Duration::from_secs(60);

/// A program that serves, ended when dropped.
struct Serving {
    child: Child,
    address: SocketAddr,
}

impl Serving {
    /// Runs an example on a free port, and waits until it says that it accepts.
    fn example(name: &str) -> Self {
        let mut command = Command::new(example(name));
        command.arg("127.0.0.1:0");
        Self::spawn(command, |line| {
            line.strip_prefix("listening on ")?.parse().ok()
        })
    }

    fn spawn(mut command: Command, address: fn(&str) -> Option<SocketAddr>) -> Self {
        let spawned = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
        let mut child = spawned.unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let mut line = String::new();
        let output = child.stdout.as_mut().unwrap();
        BufReader::new(output).read_line(&mut line).unwrap();
        let address = address(line.trim_end());
        let address = address.unwrap_or_else(|| panic!("{command:?} said {line:?}"));
        Self { child, address }
    }

    fn connect(&self) -> Client {
        let stream = TcpStream::connect_timeout(&self.address, FOREVER).unwrap();
        stream.set_read_timeout(Some(FOREVER)).unwrap();
        stream.set_nodelay(true).unwrap();
        Client(stream)
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        // Nobody is to end but by us: an example that broke down fails its test.
        let ended = self.child.try_wait();
        self.child.kill().ok();
        self.child.wait().ok();
        if !thread::panicking() {
            assert!(matches!(ended, Ok(None)), "it had ended: {ended:?}");
        }
    }
}

/// Where cargo puts an example: beside the folder of the test programs.
fn example(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let path = test.parent().unwrap().with_file_name("examples").join(name);
    assert!(
        path.exists(),
        "build it: cargo build -p hythe-net --examples"
    );
    path
}

struct Client(TcpStream);

impl Client {
    fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.write_all(bytes.as_ref()).unwrap();
    }

    /// Reads just as many bytes and compares them.
    fn expect(&mut self, bytes: impl AsRef<[u8]>) {
        let bytes = bytes.as_ref();
        let mut received = vec![0; bytes.len()];
        self.0.read_exact(&mut received).unwrap();
        assert_eq!(
            received.escape_ascii().to_string(),
            bytes.escape_ascii().to_string()
        );
    }

    fn end_sending(&self) {
        self.0.shutdown(Shutdown::Write).unwrap();
    }

    /// Reads what there is up to the end of the stream.
    fn rest(mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        self.0.read_to_end(&mut rest).unwrap();
        rest
    }

    fn expect_end(self) {
        assert_eq!(self.rest().escape_ascii().to_string(), "");
    }

    /// Sends no more, and expects the same.
    fn end(self) {
        self.end_sending();
        self.expect_end();
    }

    /// Breaks off without a farewell: the peer gets a reset.
    fn abort(self) {
        let socket = Socket::from(std::os::fd::OwnedFd::from(self.0));
        socket.set(Linger(Some(Duration::ZERO))).unwrap();
    }
}

/// Runs a program to its end.
fn run(program: &str, package: &str, arguments: &[&str]) -> Output {
    let output = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .output();
    output.unwrap_or_else(|error| panic!("{program}: {error}; apt-get install {package}"))
}

#[test]
fn the_course_has_every_example_and_each_is_short() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let course = fs::read_to_string(folder.join("README.md")).unwrap();
    let rows: Vec<_> = course
        .lines()
        .filter(|line| line.contains(".rs) | "))
        .collect();
    let mut found = 0;
    for file in fs::read_dir(&folder).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "rs") {
            continue;
        }
        let name = path.file_stem().unwrap().to_str().unwrap();
        let source = fs::read_to_string(&path).unwrap();
        assert!(source.lines().count() < 60, "{name}");
        let row = rows.iter().find(|row| row.contains(&format!("[`{name}`]")));
        let row = row.unwrap_or_else(|| panic!("the course lacks {name}"));
        let address = row.split('|').nth(3).unwrap().trim();
        assert!(source.contains(address), "{name} is not at {address}");
        found += 1;
    }
    assert_eq!(rows.len(), found, "the course has more than there is");
}
