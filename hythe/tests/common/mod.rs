//! What the black-box tests share: a running server, real clients, and a tree
//! with difficult names.
#![allow(dead_code, unreachable_pub, reason = "each test file uses its part")]

pub mod ftp;
pub mod http;
pub mod mounts;
pub mod people;
pub mod servers;

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

/// Longer than anything here takes on the slowest machine: a test that waits
/// this long has failed.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Random numbers that are the same every time (xorshift64).
pub struct Dice(pub u64);

impl Dice {
    /// A number below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}

/// The program under test.
pub fn hythe() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hythe"));
    for (name, _) in std::env::vars_os() {
        if name.as_bytes().starts_with(b"HYTHE_") {
            command.env_remove(name);
        }
    }
    command
}

/// A running `hythe serve`, stopped when dropped.
pub struct Served {
    pub child: Child,
    /// The start-up lines: protocol and URL.
    pub listeners: Vec<(String, String)>,
    log: Arc<Mutex<String>>,
    reader: Option<thread::JoinHandle<()>>,
}

impl Served {
    /// Serves `path` on free ports of 127.0.0.1, with these further arguments.
    pub fn start(path: &Path, arguments: &[&str]) -> Self {
        let mut command = hythe();
        command.arg("serve").arg(path);
        for protocol in ["--http", "--ftp", "--gopher"] {
            if !arguments.contains(&protocol) {
                command.args([protocol, "0"]);
            }
        }
        command.args(arguments);
        Self::spawn(command)
    }

    /// Serves `path` over HTTP alone.
    pub fn http(path: &Path, arguments: &[&str]) -> Self {
        let others = ["--ftp", "off", "--gopher", "off"];
        Self::start(path, &[&others, arguments].concat())
    }

    /// Runs a command that serves, and waits for its start-up lines.
    pub fn spawn(mut command: Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let log = Arc::<Mutex<String>>::default();
        let reader = thread::spawn({
            let log = Arc::clone(&log);
            move || {
                let mut line = Vec::new();
                while let Ok(1..) = stderr.read_until(b'\n', &mut line) {
                    let text = String::from_utf8_lossy(&line);
                    log.lock().unwrap().push_str(&text);
                    line.clear();
                }
            }
        });
        let stdout = child.stdout.take().unwrap();
        let wanted = {
            let arguments: Vec<_> = command.get_args().collect();
            let off = arguments
                .iter()
                .filter(|argument| **argument == OsStr::new("off"))
                .count();
            let logs_off = arguments
                .windows(2)
                .any(|pair| pair[0] == "--log" && pair[1] == "off");
            let further = arguments
                .iter()
                .filter(|argument| **argument == "--https" || **argument == "--ftps")
                .count();
            3 + further - (off - usize::from(logs_off))
        };
        let (sender, receiver) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        let mut listeners = Vec::new();
        while listeners.len() < wanted {
            let Ok(line) = receiver.recv_timeout(PATIENCE) else {
                child.kill().ok();
                child.wait().ok();
                reader.join().unwrap();
                panic!("hythe did not start: {}", log.lock().unwrap());
            };
            let (protocol, url) = line.split_once(' ').unwrap();
            listeners.push((protocol.to_owned(), url.trim().to_owned()));
        }
        Self {
            child,
            listeners,
            log,
            reader: Some(reader),
        }
    }

    /// The URL of a protocol, with its final slash.
    pub fn url(&self, protocol: &str) -> &str {
        let found = self.listeners.iter().find(|(name, _)| name == protocol);
        &found
            .unwrap_or_else(|| panic!("no {protocol} in {:?}", self.listeners))
            .1
    }

    /// Where a protocol listens.
    pub fn address(&self, protocol: &str) -> SocketAddr {
        let (_, rest) = self.url(protocol).split_once("://").unwrap();
        rest.trim_end_matches('/').parse().unwrap()
    }

    /// Sends a signal by its name, such as `INT`.
    pub fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        run(Command::new("kill").args(["-s", name, &pid]));
    }

    /// Waits for the end: the status, and what was written on standard error.
    pub fn wait(mut self) -> (ExitStatus, String) {
        let until = Instant::now() + PATIENCE;
        let status = loop {
            match self.child.try_wait().unwrap() {
                Some(status) => break status,
                None if Instant::now() > until => panic!("hythe did not end"),
                None => thread::sleep(Duration::from_millis(5)),
            }
        };
        self.reader.take().unwrap().join().unwrap();
        (status, self.log())
    }

    /// What it has written on standard error so far, in whole lines.
    pub fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// Stops it as an operator would: the log.
    pub fn stop(self) -> String {
        self.signal("TERM");
        let (status, log) = self.wait();
        assert!(status.success(), "{status}: {log}");
        log
    }

    /// How many descriptors it has open.
    pub fn descriptors(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.child.id()))
            .unwrap()
            .count()
    }

    /// How many sockets it has open, those it listens on included.
    pub fn sockets(&self) -> usize {
        let descriptors = fs::read_dir(format!("/proc/{}/fd", self.child.id())).unwrap();
        descriptors
            .filter_map(|entry| fs::read_link(entry.ok()?.path()).ok())
            .filter(|link| link.as_os_str().as_bytes().starts_with(b"socket:"))
            .count()
    }

    /// How many threads it has.
    pub fn threads(&self) -> usize {
        fs::read_dir(format!("/proc/{}/task", self.child.id()))
            .unwrap()
            .count()
    }

    /// Its private memory in KiB.
    ///
    /// What it has only read, of its own program for one, belongs to all who read
    /// it, and to whoever is left when the others end.
    pub fn private_memory(&self) -> u64 {
        self.memory("Private_Dirty:")
    }

    /// The memory in KiB that no file is behind. A program that was just built is
    /// still to be written to the disk, and counts as private where one reads it.
    pub fn anonymous_memory(&self) -> u64 {
        self.memory("Anonymous:")
    }

    fn memory(&self, kind: &str) -> u64 {
        let path = format!("/proc/{}/smaps_rollup", self.child.id());
        let text = fs::read_to_string(path).unwrap();
        let written = text.lines().find_map(|line| line.strip_prefix(kind));
        let kib = written.unwrap().trim().strip_suffix(" kB");
        kib.unwrap().parse().unwrap()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Waits until `condition` holds; says what was awaited if it never does.
pub fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < until, "never came: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// Sends bytes on a fresh connection and returns all that comes until the
/// server ends it.
pub fn exchange(address: SocketAddr, request: &[u8]) -> Vec<u8> {
    let mut stream = connect(address);
    stream.write_all(request).unwrap();
    let mut reply = Vec::new();
    stream.read_to_end(&mut reply).unwrap();
    reply
}

/// A connection that does not wait for ever.
pub fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// A client from Debian, which must be there.
pub fn tool(name: &str) -> Command {
    let package = match name {
        "chromium" | "curl" | "wget" | "lftp" | "ncftp" | "lynx" | "unzip" | "zip" | "tar" => name,
        "ncftpget" | "ncftpput" | "ncftpls" => "ncftp",
        "tnftp" => "tnftp",
        "python3" => "python3-minimal",
        "id" | "timeout" => "coreutils",
        "script" => "bsdutils",
        "zbarimg" => "zbar-tools",
        "setpriv" => "util-linux",
        "nc" => "netcat-openbsd",
        other => other,
    };
    let found = std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())
        .any(|folder| folder.join(name).is_file());
    assert!(
        found,
        "{name} is not installed; install it with: apt-get install {package}"
    );
    Command::new(name)
}

/// Runs a command to its successful end; its standard output.
pub fn run(command: &mut Command) -> Vec<u8> {
    let output = command.stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", shown(&output));
    output.stdout
}

/// An output as text, for messages.
pub fn shown(output: &Output) -> String {
    format!(
        "{}\n{}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

/// Names that servers and clients stumble over.
pub const DIFFICULT_NAMES: &[&[u8]] = &[
    b"plain.txt",
    "中文 名字.txt".as_bytes(),
    b"two  spaces.txt",
    b" leading and trailing ",
    b"double\"quote.txt",
    b"single'quote.txt",
    b"percent%20sign%.txt",
    b"hash#mark.txt",
    b"question?mark.txt",
    b"amp&er<s>and;.txt",
    b"new\nline.txt",
    b"not-utf-8-\xff\xfe.txt",
    b"-dash.txt",
    b".hidden",
    b"plus+and=.txt",
    b"colon:and|pipe*.txt",
    b"[brackets]{braces}.txt",
    b"~tilde$dollar`tick.txt",
];

/// Files with each of the difficult names, in the root and in a folder of a
/// difficult name, with content of their own; paths below `root`.
pub fn difficult_tree(root: &Path) -> Vec<PathBuf> {
    let folder = PathBuf::from("文件夹 with #1%");
    fs::create_dir_all(root.join(&folder).join("empty")).unwrap();
    let mut paths = Vec::new();
    for (index, name) in DIFFICULT_NAMES.iter().enumerate() {
        for parent in [Path::new(""), &folder] {
            let path = parent.join(OsStr::from_bytes(name));
            fs::write(
                root.join(&path),
                content(index * 7919 + parent.as_os_str().len()),
            )
            .unwrap();
            paths.push(path);
        }
    }
    paths
}

/// Bytes that look random and are the same every time.
pub fn content(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15u64 ^ length as u64;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// A path as it stands in a URL, without a leading slash.
pub fn url_path(path: &Path) -> String {
    path.as_os_str()
        .as_bytes()
        .iter()
        .map(|&byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                char::from(byte).to_string()
            }
            byte => format!("%{byte:02X}"),
        })
        .collect()
}
