//! Sessions as the guide shows them: what is typed, and what is seen.
//!
//! ```text
//! $ cargo run -p hythe --example 01_accept -- 127.0.0.1:8000      starts a server, and ends the one before
//! listening on 127.0.0.1:8000
//! $ echo 你好 | nc -N 127.0.0.1 8000                              runs in the chapter's one shell
//! Entry 1, … characters. Thank you!                               `…` is anything
//! ^C                                                              stops the server, which has to end well
//! ```
//!
//! Port 8000 stands for the one that the kernel has chosen.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tempfile::TempDir;

/// Longer than anything here takes on the slowest machine: a test that waits
/// this long has failed.
const PATIENCE: Duration = Duration::from_secs(60);

/// The port that the guide shows.
const SHOWN: &str = "8000";

/// What the shell says when a command has ended.
const DONE: &str = "-- the command is done --";

/// What is typed where the server runs, to stop it.
const CTRL_C: &str = "^C";

pub(crate) struct Typed {
    command: String,
    seen: String,
}

/// The commands of a block, each with what is seen of it.
pub(crate) fn commands(block: &str) -> Vec<Typed> {
    let mut commands: Vec<Typed> = Vec::new();
    for line in block.lines() {
        if line == CTRL_C {
            let (command, seen) = (CTRL_C.to_owned(), String::new());
            commands.push(Typed { command, seen });
            continue;
        }
        if let Some(command) = line.strip_prefix("$ ") {
            let (command, seen) = (command.to_owned(), String::new());
            commands.push(Typed { command, seen });
            continue;
        }
        let last = commands
            .last_mut()
            .expect("a session begins with a command");
        match line.strip_prefix("> ") {
            Some(more) if last.seen.is_empty() => {
                last.command.push('\n');
                last.command.push_str(more);
            }
            _ => {
                last.seen.push_str(line);
                last.seen.push('\n');
            }
        }
    }
    commands
}

/// A reader's terminal: a folder, a shell, and the server that runs.
pub(crate) struct Session {
    // Ended first, while its folder is there.
    server: Option<Server>,
    shell: Group,
    input: ChildStdin,
    output: Receiver<String>,
    folder: TempDir,
}

impl Session {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        // At a terminal it shows none either, for what comes is shown there.
        fs::write(folder.path().join(".curlrc"), "no-progress-meter\n").unwrap();
        let mut bash = Command::new("bash");
        bash.args(["--noprofile", "--norc"])
            .current_dir(&folder)
            .env("HOME", folder.path())
            .env("CURL_HOME", folder.path())
            .env("LC_ALL", "C.UTF-8")
            .stdin(Stdio::piped());
        let mut shell = Group::spawn(bash);
        let mut input = shell.0.stdin.take().unwrap();
        input.write_all(b"exec 2>&1\n").unwrap();
        let output = lines(&mut shell.0);
        Self {
            server: None,
            shell,
            input,
            output,
            folder,
        }
    }

    /// One in which a program of the guide runs.
    pub(crate) fn serving(name: &str) -> Self {
        let mut session = Self::new();
        let (server, _) = Server::start(name, &["127.0.0.1:0".to_owned()], &session.folder);
        session.server = Some(server);
        session
    }

    pub(crate) fn address(&self) -> String {
        format!(
            "127.0.0.1:{}",
            self.server.as_ref().expect("a server runs").port
        )
    }

    /// Does what was typed, and compares. Gives the program's name if that is one of the guide.
    pub(crate) fn run(&mut self, typed: &Typed) -> Option<String> {
        if let Some(program) = typed.command.strip_prefix("cargo run -p hythe --example ") {
            let mut words = program.split_whitespace();
            let name = words.next().unwrap().to_owned();
            assert_eq!(words.next(), Some("--"), "{}", typed.command);
            let arguments: Vec<_> = words.map(|word| word.replace(SHOWN, "0")).collect();
            self.end(); // whoever starts the next one has ended the one before
            let (server, seen) = Server::start(&name, &arguments, &self.folder);
            self.server = Some(server);
            self.compare(typed, &seen);
            return Some(name);
        }
        if typed.command == CTRL_C {
            self.server.as_mut().expect("a server runs").stop();
            return None;
        }
        let command = self.here(&typed.command);
        // The shell reads its commands from where the command would read.
        let script = format!("{{ {command}\n}} </dev/null\nprintf '\\n%s\\n' '{DONE}'\n");
        self.input.write_all(script.as_bytes()).unwrap();
        let mut seen = String::new();
        loop {
            let line = self.output.recv_timeout(PATIENCE);
            match line.unwrap_or_else(|_| panic!("`{command}` does not end, having said:\n{seen}"))
            {
                line if line.trim_end() == DONE => break,
                line => seen.push_str(&line),
            }
        }
        seen.pop(); // the line end before `DONE`
        self.compare(typed, &seen);
        assert!(
            self.shell.0.try_wait().unwrap().is_none(),
            "`{command}` has ended the shell"
        );
        if let Some(server) = self.server.as_mut().filter(|server| !server.stopping) {
            let ended = server.group.0.try_wait().unwrap();
            assert!(
                ended.is_none(),
                "the server has ended after `{command}`: {ended:?}"
            );
        }
        None
    }

    /// Ends the server; one that was asked to stop does so by itself.
    pub(crate) fn end(&mut self) {
        let Some(mut server) = self.server.take().filter(|server| server.stopping) else {
            return;
        };
        let until = Instant::now() + PATIENCE;
        let status = loop {
            match server.group.0.try_wait().unwrap() {
                Some(status) => break status,
                None if Instant::now() > until => panic!("the server does not stop"),
                None => thread::sleep(Duration::from_millis(5)),
            }
        };
        assert!(status.success(), "the server ended with {status}");
    }

    /// The text with the real port.
    fn here(&self, text: &str) -> String {
        match &self.server {
            Some(server) => text.replace(SHOWN, &server.port),
            None => text.to_owned(),
        }
    }

    fn compare(&self, typed: &Typed, seen: &str) {
        let wanted = self.here(&typed.seen);
        let [wanted, seen] =
            [&wanted[..], seen].map(|text| text.replace('\r', "").trim_end().to_owned());
        assert!(
            matches(&wanted, &seen),
            "after `{}` the guide shows\n{wanted}\n-- but there is\n{seen}\n--",
            typed.command,
        );
    }
}

/// Whether `text` is `pattern`, where `…` stands for anything.
fn matches(pattern: &str, text: &str) -> bool {
    let Some((head, pattern)) = pattern.split_once('…') else {
        return pattern == text;
    };
    let Some(text) = text.strip_prefix(head) else {
        return false;
    };
    let mut starts = text.char_indices().map(|(at, _)| at).chain([text.len()]);
    starts.any(|at| matches(pattern, &text[at..]))
}

struct Server {
    group: Group,
    port: String,
    stopping: bool,
}

impl Server {
    fn stop(&mut self) {
        kill_process(Pid::from_child(&self.group.0), Signal::INT).unwrap();
        self.stopping = true;
    }

    /// Runs a program of the guide, and waits until it says that it accepts.
    fn start(name: &str, arguments: &[String], folder: &TempDir) -> (Self, String) {
        let mut command = Command::new(program(name));
        command
            .args(arguments)
            .current_dir(folder)
            .stdin(Stdio::null());
        let mut group = Group::spawn(command);
        let output = lines(&mut group.0);
        let mut seen = String::new();
        loop {
            let line = output.recv_timeout(PATIENCE);
            let line = line.unwrap_or_else(|_| panic!("{name} does not listen, but says: {seen}"));
            seen.push_str(&line);
            if let Some(address) = line.trim_end().strip_prefix("listening on ") {
                let port = address
                    .rsplit(':')
                    .next()
                    .unwrap()
                    .trim_end_matches('/')
                    .to_owned();
                let stopping = false;
                return (
                    Self {
                        group,
                        port,
                        stopping,
                    },
                    seen,
                );
            }
        }
    }
}

/// Where cargo puts an example: beside the folder of the test programs.
fn program(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let path = test.parent().unwrap().with_file_name("examples").join(name);
    assert!(path.exists(), "build it: cargo build -p hythe --examples");
    path
}

/// A process and all that it starts, ended when dropped.
struct Group(Child);

impl Group {
    fn spawn(mut command: Command) -> Self {
        let spawned = command.process_group(0).stdout(Stdio::piped()).spawn();
        Self(spawned.unwrap_or_else(|error| panic!("{command:?}: {error}")))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        kill_process_group(Pid::from_child(&self.0), Signal::KILL).ok();
        self.0.wait().ok();
    }
}

/// What a process says, line by line.
fn lines(child: &mut Child) -> Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    thread::spawn(move || {
        let mut line = Vec::new();
        while let Ok(1..) = output.read_until(b'\n', &mut line) {
            if sender
                .send(String::from_utf8_lossy(&line).into_owned())
                .is_err()
            {
                return;
            }
            line.clear();
        }
    });
    receiver
}
