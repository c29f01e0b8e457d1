//! [`Talk`]: a program that one talks with by its standard input and output,
//! without ever being held up by it.

use std::fs;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use crate::common::{PATIENCE, eventually, hythe, run};

/// A running program, killed when dropped.
pub(crate) struct Talk {
    child: Child,
    /// What was run, for messages.
    shown: String,
    input: Option<Sender<Vec<u8>>>,
    output: Heard,
    errors: Heard,
}

/// How a program ended, and what it wrote.
#[derive(Debug)]
pub(crate) struct Ended {
    /// The exit status; 128 and the signal's number where one killed it, as
    /// shells say it.
    pub(crate) code: i32,
    pub(crate) output: Vec<u8>,
    pub(crate) errors: String,
}

/// What came from a pipe so far.
#[derive(Clone, Default)]
struct Heard(Arc<Mutex<(Vec<u8>, bool)>>);

impl Talk {
    /// Runs a command, with standard input from [`say`](Self::say).
    pub(crate) fn start(command: &mut Command) -> Self {
        Self::with_input(command, Stdio::piped())
    }

    /// Runs a command with a standard input of its own.
    pub(crate) fn with_input(command: &mut Command, input: impl Into<Stdio>) -> Self {
        let mut child = command
            .stdin(input)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let output = Heard::from(child.stdout.take().unwrap());
        let errors = Heard::from(child.stderr.take().unwrap());
        let input = child.stdin.take().map(|mut stdin| {
            let (sender, receiver) = channel::<Vec<u8>>();
            // A program that does not read must not hold up the test.
            thread::spawn(move || {
                for bytes in receiver {
                    if stdin.write_all(&bytes).is_err() {
                        break;
                    }
                }
            });
            sender
        });
        Self {
            child,
            shown: format!("{command:?}"),
            input,
            output,
            errors,
        }
    }

    /// Writes to its standard input; whether it reads it is its business.
    pub(crate) fn say(&self, text: impl AsRef<[u8]>) {
        let input = self.input.as_ref().expect("its input has ended");
        input.send(text.as_ref().to_vec()).ok();
    }

    /// Ends its standard input.
    pub(crate) fn end_input(&mut self) {
        self.input = None;
    }

    /// Waits until this stands in its standard output.
    #[track_caller]
    pub(crate) fn hears(&self, text: impl AsRef<[u8]>) {
        self.awaits(&self.output, text.as_ref());
    }

    /// Waits until this stands in its standard error.
    #[track_caller]
    pub(crate) fn complains(&self, text: impl AsRef<[u8]>) {
        self.awaits(&self.errors, text.as_ref());
    }

    #[track_caller]
    fn awaits(&self, heard: &Heard, text: &[u8]) {
        let until = Instant::now() + PATIENCE;
        loop {
            // Whether it has ended is asked first: what came before the end counts.
            let ended = heard.has_ended();
            if contains(&heard.bytes(), text) {
                return;
            }
            assert!(
                !ended && Instant::now() < until,
                "{}: never came: {:?}\noutput: {:?}\nerrors: {}",
                self.shown,
                String::from_utf8_lossy(text),
                String::from_utf8_lossy(&self.output.bytes()),
                String::from_utf8_lossy(&self.errors.bytes()),
            );
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// What came from its standard output so far.
    pub(crate) fn heard(&self) -> Vec<u8> {
        self.output.bytes()
    }

    /// What came from its standard error so far.
    pub(crate) fn complaints(&self) -> String {
        String::from_utf8_lossy(&self.errors.bytes()).into_owned()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn runs(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Sends a signal by its name, such as `INT`.
    pub(crate) fn signal(&self, name: &str) {
        run(Command::new("kill").args(["-s", name, &self.pid().to_string()]));
    }

    /// How many descriptors it has open.
    pub(crate) fn descriptors(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.pid()))
            .unwrap()
            .count()
    }

    /// The sockets that it has open, by their inodes.
    pub(crate) fn sockets(&self) -> Vec<String> {
        let descriptors = fs::read_dir(format!("/proc/{}/fd", self.pid())).unwrap();
        descriptors
            .filter_map(|entry| fs::read_link(entry.ok()?.path()).ok())
            .filter_map(|link| {
                let inode = link.to_str()?.strip_prefix("socket:[")?;
                Some(inode.trim_end_matches(']').to_owned())
            })
            .collect()
    }

    /// How many threads it has beside those of the pool for what blocks, which
    /// are kept for the next.
    pub(crate) fn threads(&self) -> usize {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.pid())).unwrap();
        tasks
            .flatten()
            .filter_map(|task| fs::read_to_string(task.path().join("comm")).ok())
            .filter(|name| !name.starts_with("blocking"))
            .count()
    }

    /// Its children, those that nobody has waited for included.
    pub(crate) fn children(&self) -> Vec<u32> {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.pid())).unwrap();
        let lists = tasks.flatten().filter_map(|task| {
            // A thread may be gone by now, and its children are another's.
            fs::read_to_string(task.path().join("children")).ok()
        });
        lists
            .flat_map(|list| {
                let pids = list.split_whitespace().map(|pid| pid.parse().unwrap());
                pids.collect::<Vec<_>>()
            })
            .collect()
    }

    /// Waits for its end, after that of its standard input.
    #[track_caller]
    pub(crate) fn ends(mut self) -> Ended {
        self.end_input();
        self.ends_by_itself()
    }

    /// Waits for its end, with its standard input as it is.
    #[track_caller]
    pub(crate) fn ends_by_itself(mut self) -> Ended {
        let until = Instant::now() + PATIENCE;
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(
                Instant::now() < until,
                "{} does not end\noutput: {:?}\nerrors: {}",
                self.shown,
                String::from_utf8_lossy(&self.heard()),
                self.complaints(),
            );
            thread::sleep(Duration::from_millis(2));
        };
        eventually("its output ends", || {
            self.output.has_ended() && self.errors.has_ended()
        });
        Ended {
            code: status
                .code()
                .unwrap_or_else(|| 128 + status.signal().unwrap()),
            output: self.heard(),
            errors: self.complaints(),
        }
    }

    /// Waits for an end in order, after that of its standard input: what it wrote
    /// on standard output.
    #[track_caller]
    pub(crate) fn succeeds(self) -> Vec<u8> {
        let shown = self.shown.clone();
        let ended = self.ends();
        assert_eq!(ended.code, 0, "{shown}: {ended:?}");
        ended.output
    }

    /// Stops it with a signal, which it takes as the end of its work.
    #[track_caller]
    pub(crate) fn stops(self) -> Ended {
        self.signal("TERM");
        let ended = self.ends_by_itself();
        assert_eq!(ended.code, 0, "{ended:?}");
        ended
    }
}

impl Drop for Talk {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

impl Heard {
    fn from(mut pipe: impl Read + Send + 'static) -> Self {
        let heard = Self::default();
        let writer = heard.clone();
        thread::spawn(move || {
            let mut bytes = vec![0; 64 * 1024];
            while let Ok(count @ 1..) = pipe.read(&mut bytes) {
                writer.0.lock().unwrap().0.extend(&bytes[..count]);
            }
            writer.0.lock().unwrap().1 = true;
        });
        heard
    }

    fn bytes(&self) -> Vec<u8> {
        self.0.lock().unwrap().0.clone()
    }

    fn has_ended(&self) -> bool {
        self.0.lock().unwrap().1
    }
}

/// Ends the input of both, and waits until both have ended in order: what each
/// has heard.
#[track_caller]
pub(crate) fn part(mut one: Talk, mut other: Talk) -> (Vec<u8>, Vec<u8>) {
    one.end_input();
    other.end_input();
    (one.succeeds(), other.succeeds())
}

fn contains(bytes: &[u8], text: &[u8]) -> bool {
    bytes.windows(text.len().max(1)).any(|part| part == text)
}

// --- hythe -------------------------------------------------------------------

/// A running `hythe listen`, which accepts, and where, as it says itself.
pub(crate) fn listen(arguments: &[&str]) -> (Talk, String) {
    let talk = Talk::start(hythe().arg("listen").args(arguments));
    let address = listens(&talk);
    (talk, address)
}

/// Waits for the line of `hythe listen` that says where.
#[track_caller]
pub(crate) fn listens(talk: &Talk) -> String {
    talk.complains("listening on ");
    eventually("the line is whole", || {
        line_with(talk, "listening on ").is_some()
    });
    let line = line_with(talk, "listening on ").unwrap();
    let address = line.strip_prefix("listening on ");
    address.unwrap_or_else(|| panic!("{line}")).to_owned()
}

/// The first whole line of standard error that has this in it.
pub(crate) fn line_with(talk: &Talk, text: &str) -> Option<String> {
    let said = talk.complaints();
    let (whole, _) = said.rsplit_once('\n')?;
    let line = whole.lines().find(|line| line.contains(text))?;
    Some(line.to_owned())
}

/// A running `hythe connect`.
pub(crate) fn connect(address: &str, arguments: &[&str]) -> Talk {
    Talk::start(&mut connecting(address, arguments))
}

/// `hythe connect` to an address as `listen` says it.
pub(crate) fn connecting(address: &str, arguments: &[&str]) -> Command {
    let mut command = hythe();
    command.arg("connect").args(arguments);
    match apart(address) {
        Some((host, port)) => command.args([host, port]),
        None => command.arg(address),
    };
    command
}

/// Host and port, without brackets; none for a Unix socket.
pub(crate) fn apart(address: &str) -> Option<(&str, &str)> {
    if address.starts_with("unix:") {
        return None;
    }
    let (host, port) = address.rsplit_once(':').unwrap();
    Some((host.trim_matches(['[', ']']), port))
}

/// An address of TCP or UDP, for sockets of the test itself.
pub(crate) fn inet(address: &str) -> SocketAddr {
    address.parse().unwrap()
}
