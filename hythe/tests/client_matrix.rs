//! `hythe get`, `ls`, `put`, `mkdir`, `mv`, `rm` and `shell` against all servers
//! of the table, each step with each of them.
//!
//! What doesn't work with a server stands in [`LACKS`] with its reason, and is
//! tried all the same: it has to fail in the way that is said there. So a row
//! that isn't true any more is noticed.
//!
//! Not here: what hostile servers do, and connections that break.

mod common;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use common::servers::tree::{BIG, FILES, paths, sorted, tree, written};
use common::servers::{self, ALL, Kind, Resumes, Server, Sizes};
use common::{Dice, PATIENCE, content, hythe, shown, url_path};
use serde_json::Value;
use tempfile::TempDir;

/// What may work with a server, or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    /// A file that was fetched has the time it has there.
    Time,
    /// A download goes on where it was.
    Resume,
    /// `ls --json` says how long files are.
    Sizes,
    Put,
    /// An upload goes on where it was.
    ResumePut,
    /// A file that was sent has the time it has here.
    PutTime,
    MakeFolder,
    Move,
    Remove,
}

/// Servers with which it doesn't work, and why.
const LACKS: &[(Step, &[&str], &str)] = &[
    (
        Step::Time,
        &["gophernicus", "pygopherd", "hythe-gopher"],
        "Gopher tells no times",
    ),
    (
        Step::Resume,
        &["gophernicus", "pygopherd", "hythe-gopher"],
        "Gopher sends files from their beginning",
    ),
    (Step::Resume, &["python"], "http.server does not know Range"),
    (
        Step::Sizes,
        &["nginx", "nginx-dav", "apache", "apache-dav", "lighttpd"],
        "their lists are pages, whose sizes are rounded, or may be",
    ),
    (
        Step::Sizes,
        &["python", "gophernicus", "pygopherd", "hythe-gopher"],
        "their lists have no sizes that are exact",
    ),
    (
        Step::Put,
        &["nginx", "apache", "lighttpd", "caddy", "python"],
        "it reads only, as it is set up",
    ),
    (
        Step::Put,
        &["gophernicus", "pygopherd", "hythe-gopher"],
        "Gopher can only read",
    ),
    (Step::ResumePut, &["nginx-dav"], "a PUT puts all of a file"),
    (
        Step::ResumePut,
        &["apache-dav"],
        "a PUT with Content-Range would, but servers that don't know it \
         make such a part all of the file (RFC 9110 section 14.4)",
    ),
    (
        Step::PutTime,
        &["nginx-dav", "apache-dav"],
        "WebDAV sets no times",
    ),
    (Step::PutTime, &["vsftpd"], "it does not know MFMT"),
];

fn lacks(server: &str, step: Step) -> Option<&'static str> {
    // Who takes nothing, changes nothing.
    let of = match step {
        Step::ResumePut | Step::PutTime | Step::MakeFolder | Step::Move | Step::Remove => {
            &[step, Step::Put][..]
        }
        _ => &[step][..],
    };
    let row = LACKS
        .iter()
        .find(|(step, names, _)| of.contains(step) && names.contains(&server));
    row.map(|(.., why)| *why)
}

/// What is said of servers that take nothing.
const NO_UPLOADS: &str = "takes no uploads";
const NO_FOLDERS: &str = "makes no folders";

/// What our menus have beside files and folders.
const SEARCH: &str = "Search here and below";

/// As many bytes a second as interrupted transfers may move.
const RATE: &str = "2M";

/// How often each server is interrupted, in each direction.
const INTERRUPTIONS: usize = 3;

/// When the first file was changed, in Unix seconds; the next is a day and a
/// second younger, and so on.
const CHANGED: u64 = 981_173_106;

/// The same every time, unless `HYTHE_TEST_SEED` says otherwise.
const SEED: u64 = 0x68_7974_6865;

/// A server, and whoever runs our client.
struct Bench {
    server: Server,
    kind: &'static Kind,
    /// For what is fetched, and what is sent.
    here: TempDir,
    home: TempDir,
    seed: u64,
    step: RefCell<String>,
}

fn check(name: &str) {
    let kind = ALL.iter().find(|kind| kind.name == name).unwrap();
    if !kind.runs_here() {
        eprintln!("{name} can only be started by root");
        return;
    }
    let root = tree();
    for (index, (path, _)) in FILES.iter().enumerate() {
        change_time(&root.path().join(path), index as u64);
    }
    let seed = std::env::var("HYTHE_TEST_SEED").ok();
    let seed = seed.map_or(SEED, |seed| seed.parse().unwrap());
    println!("seed {seed}");
    let bench = Bench {
        server: servers::start(name, root.path()),
        kind,
        here: tempfile::tempdir().unwrap(),
        home: tempfile::tempdir().unwrap(),
        seed,
        step: RefCell::default(),
    };
    let mut dice = Dice(seed ^ name.bytes().fold(1, |sum, byte| sum * 31 + u64::from(byte)));
    bench.gets();
    bench.resumes(&mut dice);
    bench.lists();
    bench.gets_a_folder();
    bench.puts();
    bench.resumes_puts(&mut dice);
    bench.puts_a_folder();
    bench.changes();
    bench.talks();
    bench.step("the end");
    let mut left = paths(root.path());
    // What hythe keeps of uploads that have ended.
    left.retain(|path| !path.starts_with(".hythe"));
    let expected = sorted(FILES.iter().map(|(path, _)| PathBuf::from(path)));
    bench.same("what is left on the server", &left, &expected);
}

fn change_time(path: &Path, index: u64) {
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(CHANGED + 86_401 * index);
    let file = fs::File::options().write(true).open(path).unwrap();
    file.set_modified(time).unwrap();
}

impl Bench {
    // --- How it is asked, and how failures are told ---

    fn step(&self, step: impl Into<String>) {
        *self.step.borrow_mut() = step.into();
    }

    fn lacks(&self, step: Step) -> Option<&'static str> {
        lacks(self.kind.name, step)
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = hythe();
        command.args(words);
        command.env("HOME", self.home.path());
        command.env("XDG_STATE_HOME", self.home.path().join("state"));
        for (name, _) in std::env::vars_os() {
            if name
                .to_ascii_lowercase()
                .to_string_lossy()
                .ends_with("_proxy")
            {
                command.env_remove(name);
            }
        }
        command.current_dir(self.here.path());
        command.stdin(Stdio::null());
        command
    }

    /// Runs it to its successful end.
    fn run(&self, words: &[&str]) -> Output {
        let output = self.command(words).output().unwrap();
        if !output.status.success() {
            self.fail(&format!("{words:?} failed: {}", shown(&output)));
        }
        output
    }

    /// Runs what can't work with this server: it fails, and says so.
    fn run_refused(&self, words: &[&str], says: &[&str]) {
        let output = self.command(words).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        let said = says.iter().any(|says| stderr.contains(says));
        if output.status.success() || !said {
            let text = format!("{words:?} should say one of {says:?}: {}", shown(&output));
            self.fail(&text);
        }
    }

    /// Runs it with `--json`: what it told.
    fn events(&self, words: &[&str]) -> Vec<Value> {
        let output = self.run(&[words, &["--json"]].concat());
        let text = String::from_utf8(output.stdout).unwrap();
        let events = text.lines().map(|line| serde_json::from_str(line).unwrap());
        let events: Vec<Value> = events.collect();
        if events.iter().any(|event| event["event"] == "retrying") {
            self.fail(&format!("{words:?} took more than one try: {text}"));
        }
        events
    }

    fn fail(&self, text: &str) -> ! {
        panic!(
            "{}, {} (seed {}): {text}\nits log: {}",
            self.kind.name,
            self.step.borrow(),
            self.seed,
            self.server.log()
        );
    }

    fn same<T: PartialEq + std::fmt::Debug>(&self, what: &str, is: &T, should: &T) {
        if is != should {
            self.fail(&format!("{what}: {is:?}, not {should:?}"));
        }
    }

    fn same_bytes(&self, path: &Path, should: &[u8]) {
        let is = fs::read(path);
        let is = is.unwrap_or_else(|error| self.fail(&format!("{}: {error}", path.display())));
        if is != should {
            let differ = is.iter().zip(should).position(|(is, should)| is != should);
            self.fail(&format!(
                "{} has {} bytes, and should have {}; the first that differs: {differ:?}",
                path.display(),
                is.len(),
                should.len()
            ));
        }
    }

    /// Where a file or folder is; Gopher says what kind it is in front.
    fn url(&self, path: &str) -> String {
        let kind = match (self.kind.scheme, path) {
            ("gopher", path) if path.is_empty() || path.ends_with('/') => "1/",
            ("gopher", _) => "9/",
            _ => "",
        };
        format!("{}{kind}{}", self.server.url, url_path(Path::new(path)))
    }

    fn there(&self, path: &str) -> PathBuf {
        self.server.root.join(path)
    }

    fn here(&self, path: &str) -> PathBuf {
        self.here.path().join(path)
    }

    // --- Downloads ---

    fn gets(&self) {
        self.step("get");
        self.run(&["get", &self.url(BIG), "-d", "plain"]);
        let file = self.here("plain").join(BIG);
        self.same_bytes(&file, &fs::read(self.there(BIG)).unwrap());
        self.same_time(&file, CHANGED, Step::Time);
        let names = paths(&self.here("plain"));
        self.same("what is there", &names, &vec![PathBuf::from(BIG)]);
    }

    fn same_time(&self, file: &Path, time: u64, step: Step) {
        let is = fs::metadata(file).unwrap().mtime() as u64;
        let expected = self.lacks(step).is_none();
        self.same(
            &format!("{step:?} is kept ({is})"),
            &(is == time),
            &expected,
        );
    }

    /// Kills a run when `reached` is true.
    fn kill_when(&self, words: &[&str], mut reached: impl FnMut() -> bool) {
        let mut command = self.command(words);
        command.args(["--limit-rate", RATE]);
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let until = Instant::now() + PATIENCE;
        while !reached() {
            if child.try_wait().unwrap().is_some() || Instant::now() > until {
                child.kill().ok();
                let output = shown(&child.wait_with_output().unwrap());
                self.fail(&format!("{words:?} did not get so far: {output}"));
            }
            thread::sleep(Duration::from_millis(2));
        }
        // By SIGKILL.
        child.kill().unwrap();
        child.wait().unwrap();
    }

    fn resumes(&self, dice: &mut Dice) {
        let length = FILES[0].1 as u64;
        let url = self.url(BIG);
        for number in 0..INTERRUPTIONS {
            let offset = 1 + dice.below(length * 9 / 10);
            self.step(format!("get, interrupted at {offset}"));
            let folder = format!("resumed {number}");
            let target = self.here(&folder).join(BIG);
            let part = self.here(&folder).join(format!("{BIG}.part"));
            let journal = self.here(&folder).join(format!("{BIG}.part.journal"));
            let words = ["get", &url, "-d", &folder];
            let reached = || fs::metadata(&part).is_ok_and(|meta| meta.len() > offset);
            self.kill_when(&words, reached);
            self.same("there is a journal", &journal.exists(), &true);
            let kept = fs::metadata(&part).unwrap().len();
            let events = self.events(&words);
            self.same_bytes(&target, &fs::read(self.there(BIG)).unwrap());
            let begun = begun(&events);
            let anew = self.lacks(Step::Resume).is_some();
            match &begun[..] {
                [0] if anew => {}
                // What was being written at that moment may be lost.
                [begun] if !anew && *begun > 0 && *begun <= kept => {}
                _ => self.fail(&format!("the part had {kept} bytes: {events:?}")),
            }
            let restarted = events.iter().any(|event| event["event"] == "restarted");
            self.same("it says that it starts again", &restarted, &anew);
            self.same("what is there", &paths(&self.here(&folder)).len(), &1);
            self.same_time(&target, CHANGED, Step::Time);
        }
    }

    // --- Folders ---

    fn lists(&self) {
        self.step("ls");
        let top = FILES.iter().map(|(path, _)| path.split_once('/'));
        let top = top.zip(FILES).map(|(parts, (path, length))| match parts {
            Some((folder, _)) => (folder.to_owned() + "/", None),
            None => ((*path).to_owned(), Some(*length as u64)),
        });
        let top: BTreeMap<_, _> = top.collect();
        let list = self.run(&["ls", &self.server.url]);
        let list = String::from_utf8(list.stdout).unwrap();
        let mut names: BTreeSet<&str> = list.lines().collect();
        if self.kind.name == "hythe-gopher" {
            self.same("it has a search", &names.remove(SEARCH), &true);
        }
        self.same("names", &names, &top.keys().map(String::as_str).collect());

        self.step("ls --json");
        let list = self.run(&["ls", "--json", &self.server.url]);
        let mut list: Vec<Value> = serde_json::from_slice(&list.stdout).unwrap();
        list.retain(|entry| entry["kind"] != "other");
        self.same("how many", &list.len(), &top.len());
        for entry in list {
            let slash = if entry["kind"] == "folder" { "/" } else { "" };
            let name = format!("{}{slash}", entry["name"].as_str().unwrap());
            let Some(size) = top.get(&name) else {
                self.fail(&format!("{entry}"));
            };
            let size = size.filter(|_| self.lacks(Step::Sizes).is_none());
            self.same(
                &format!("the size of {name}"),
                &entry["size"].as_u64(),
                &size,
            );
        }
    }

    fn gets_a_folder(&self) {
        self.step("get -r");
        let words = ["get", "-r", &self.server.url, "-d", "tree"];
        self.run(&words);
        // For what it lists and can't be asked for, Gophernicus sends an error as a
        // text, which nobody can tell from a file.
        let lost = |path: &Path| {
            let path = path.to_string_lossy();
            path.contains(|letter| self.kind.loses.contains(letter))
        };
        // A folder comes with its name, if it has one.
        let name = self.server.url.split('/').nth(3).unwrap();
        let folder = self.here("tree").join(name);
        let files = FILES.iter().filter(|(path, _)| !lost(Path::new(path)));
        for (path, length) in files.clone() {
            self.same_bytes(&folder.join(path), &written(Path::new(path), *length));
        }
        let should = sorted(files.map(|(path, _)| PathBuf::from(path)));
        let mut there = paths(&folder);
        there.retain(|path| !lost(path));
        self.same("what is there", &there, &should);
        for (index, (path, _)) in FILES.iter().enumerate() {
            let time = CHANGED + 86_401 * index as u64;
            if lost(Path::new(path)) {
                continue;
            }
            self.same_time(&folder.join(path), time, Step::Time);
        }
        if self.lacks(Step::Time).is_none() {
            self.step("get -r again");
            let events = self.events(&words);
            let skipped = |event: &Value| event["event"] == "skipped";
            self.same("all are there", &events.iter().all(skipped), &true);
        }
    }

    // --- Uploads ---

    /// What is said of a server that doesn't do so.
    fn refusals(&self, what: &'static str) -> Vec<&'static str> {
        match (self.kind.name, self.kind.scheme) {
            (_, "gopher") => vec!["Gopher can only read"],
            // Only of what is there, they say that it can't be changed.
            ("caddy" | "lighttpd", _) => vec![what, "404 Not Found"],
            _ => vec![what],
        }
    }

    fn puts(&self) {
        self.step("put");
        self.same("it puts", &self.kind.puts, &self.lacks(Step::Put).is_none());
        let source = self.here("new 新 100%.bin");
        let path = "deep/new 新 100%.bin";
        for length in [1_000_000, 1000] {
            fs::write(&source, content(length)).unwrap();
            change_time(&source, 3);
            let words = ["put", source.to_str().unwrap(), &self.url(path)];
            if self.lacks(Step::Put).is_some() {
                self.run_refused(&words, &self.refusals(NO_UPLOADS));
                self.same("it is there", &self.there(path).exists(), &false);
                let words = ["put", source.to_str().unwrap(), &self.url("a b")];
                self.run_refused(&words, &self.refusals(NO_UPLOADS));
                self.same_bytes(&self.there("a b"), &written(Path::new("a b"), 105));
                continue;
            }
            self.run(&words);
            self.same_bytes(&self.there(path), &content(length));
            let time = CHANGED + 86_401 * 3;
            self.same_time(&self.there(path), time, Step::PutTime);
        }
        if self.lacks(Step::Put).is_none() {
            fs::remove_file(self.there(path)).unwrap();
        }
    }

    fn resumes_puts(&self, dice: &mut Dice) {
        if self.lacks(Step::Put).is_some() {
            // Refused above.
            return;
        }
        let resumes = matches!(self.kind.resumes_uploads, Resumes::Rest | Resumes::Tus);
        let expected = self.lacks(Step::ResumePut).is_none();
        self.same("it resumes uploads", &resumes, &expected);
        let length = 3_000_001;
        let source = self.here("sent.bin");
        fs::write(&source, content(length)).unwrap();
        let source = source.to_str().unwrap();
        for number in 0..INTERRUPTIONS {
            let offset = 1 + dice.below(length as u64 * 2 / 3);
            self.step(format!("put, interrupted at {offset}"));
            let path = format!("deep/sent {number}.bin");
            // What was there is no part of what is sent.
            let before = number == 1;
            if before {
                fs::write(self.there(&path), "before").unwrap();
                self.server.give();
            }
            let url = self.url(&path);
            let words = ["put", source, &url];
            let at_first = self.server.bytes();
            self.kill_when(&words, || self.server.bytes() > at_first + offset);
            let events = self.events(&words);
            self.same_bytes(&self.there(&path), &content(length));
            let begun = begun(&events);
            match begun[..] {
                [0] if !resumes => {}
                [begun] if resumes && begun > 0 && begun < length as u64 => {}
                _ => self.fail(&format!("{events:?}")),
            }
            fs::remove_file(self.there(&path)).unwrap();
        }
    }

    fn puts_a_folder(&self) {
        self.step("put -r");
        let sent = tree();
        fs::create_dir(sent.path().join("nothing in it")).unwrap();
        let words = [
            "put",
            "-r",
            sent.path().to_str().unwrap(),
            &self.url("sent 树"),
        ];
        if self.lacks(Step::Put).is_some() {
            self.run_refused(&words, &self.refusals(NO_FOLDERS));
            return;
        }
        self.run(&words);
        let folder = self.there("sent 树");
        for (path, length) in FILES {
            self.same_bytes(&folder.join(path), &written(Path::new(path), *length));
        }
        let should = sorted(FILES.iter().map(|(path, _)| PathBuf::from(path)));
        self.same("what is there", &paths(&folder), &should);
        let empty = folder.join("nothing in it").is_dir();
        self.same("the empty folder is there", &empty, &true);
    }

    // --- Changes ---

    fn changes(&self) {
        let able = |step| self.lacks(step).is_none();
        let Kind {
            makes_folders,
            moves,
            removes,
            ..
        } = *self.kind;
        let steps = [Step::MakeFolder, Step::Move, Step::Remove];
        self.same(
            "what it can",
            &[makes_folders, moves, removes],
            &steps.map(able),
        );
        let made = self.url("made 新");
        let file = self.url("a b");
        if !able(Step::Put) {
            self.step("mkdir");
            self.run_refused(&["mkdir", &made], &self.refusals(NO_FOLDERS));
            self.step("mv");
            self.run_refused(&["mv", &file, "moved"], &self.refusals("renames nothing"));
            self.step("rm");
            self.run_refused(&["rm", &file], &self.refusals("removes nothing"));
            let folder = self.url("deep/");
            // A folder that is not empty isn't even tried.
            self.run_refused(&["rm", &folder], &["the folder is not empty", "only read"]);
            return;
        }
        self.step("mkdir");
        self.run(&["mkdir", &made]);
        self.same("it is made", &self.there("made 新").is_dir(), &true);
        self.run_refused(&["mkdir", &made], &[": "]);
        let deep = self.url("made 新/b/c%/");
        self.run(&["mkdir", "-p", &deep]);
        self.same("it is made", &self.there("made 新/b/c%").is_dir(), &true);

        self.step("mv");
        self.run(&["mv", "--", &self.url("sent 树/q?x#y"), "-a? #b"]);
        self.same(
            "it is moved",
            &self.there("sent 树/-a? #b").is_file(),
            &true,
        );
        self.run(&["mv", &self.url("sent 树/-a? #b"), "../made 新/"]);
        self.same(
            "it is moved",
            &self.there("made 新/-a? #b").is_file(),
            &true,
        );
        self.run(&["mv", &self.url("made 新/"), "sent 树/folder 100%"]);
        let moved = self.there("sent 树/folder 100%/-a? #b");
        self.same("the folder is moved", &moved.is_file(), &true);
        self.same("it is away", &self.there("made 新").exists(), &false);
        self.run_refused(&["mv", &self.url("missing"), "x"], &[": "]);

        self.step("rm");
        self.run(&["rm", &self.url("sent 树/folder 100%/-a? #b")]);
        self.same("it is away", &moved.exists(), &false);
        self.run(&["rm", &self.url("sent 树/nothing in it/")]);
        let empty = self.there("sent 树/nothing in it").exists();
        self.same("the folder is away", &!empty, &true);
        let missing = self
            .command(&["rm", &self.url("missing")])
            .output()
            .unwrap();
        self.same("it is not found", &missing.status.code(), &Some(3));

        self.step("rm -r");
        self.run(&["rm", "-r", &self.url("sent 树")]);
        self.same("it is away", &self.there("sent 树").exists(), &false);
    }

    // --- The shell ---

    fn shell(&self, script: &str) -> Output {
        let mut command = self.command(&["shell", &self.server.url]);
        command.stdin(Stdio::piped());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child: Child = command.spawn().unwrap();
        let mut input = child.stdin.take().unwrap();
        input.write_all(script.as_bytes()).unwrap();
        drop(input);
        child.wait_with_output().unwrap()
    }

    fn talks(&self) {
        self.step("shell");
        fs::write(self.here("local 这.txt"), "from here\n").unwrap();
        let reads = "ls\ncd deep\npwd\ncd ..\nls -l\nget '中文 文件.txt' 'got it.txt'\n";
        let writes = "put 'local 这.txt'\nmkdir 'a folder'\nmv 'local 这.txt' 'a folder/x 100%'\n\
                      cd 'a folder'\nls\nget 'x 100%' back.txt\nrm 'x 100%'\ncd\n\
                      rmdir 'a folder'\nls deep\nquit\n";
        let output = self.shell(&format!("{reads}{writes}"));
        let failed = |text: &str| self.fail(&format!("{text}: {}", shown(&output)));
        let said = String::from_utf8_lossy(&output.stdout);
        let name = "中文 文件.txt";
        if said.matches(name).count() != 2 || !said.lines().any(|line| line == "deep/") {
            failed("it lists something else");
        }
        self.same_bytes(&self.here("got it.txt"), &written(Path::new(name), 100));
        let stderr = String::from_utf8_lossy(&output.stderr);
        if self.lacks(Step::Put).is_some() {
            if output.status.success()
                || !self
                    .refusals(NO_UPLOADS)
                    .iter()
                    .any(|says| stderr.contains(says))
            {
                failed("it should have been refused");
            }
            return;
        }
        if !output.status.success() {
            failed("it failed");
        }
        if !said.lines().any(|line| line == "x 100%") {
            failed("it does not list what was moved");
        }
        self.same_bytes(&self.here("back.txt"), b"from here\n");
        self.same(
            "the folder is away",
            &!self.there("a folder").exists(),
            &true,
        );
    }
}

/// The offsets at which something has begun.
fn begun(events: &[Value]) -> Vec<u64> {
    let begun = events.iter().filter(|event| event["event"] == "begun");
    begun
        .map(|event| event["offset"].as_u64().unwrap())
        .collect()
}

#[test]
fn rows_are_about_servers_that_there_are() {
    for (step, names, _) in LACKS {
        for name in *names {
            let kind = ALL.iter().find(|kind| kind.name == *name);
            let kind = kind.unwrap_or_else(|| panic!("no server {name}"));
            assert!(*step != Step::Put || !kind.puts, "{name} puts");
        }
    }
    for kind in ALL {
        let sizes = lacks(kind.name, Step::Sizes).is_none();
        assert!(!sizes || kind.sizes == Sizes::Exact, "{}", kind.name);
    }
}

macro_rules! each {
    ($($test:ident $name:literal,)*) => {
        $(#[test]
        fn $test() {
            check($name);
        })*

        #[test]
        fn all_are_here() {
            let names: Vec<_> = ALL.iter().map(|kind: &Kind| kind.name).collect();
            assert_eq!(names, [$($name),*]);
        }
    };
}

each! {
    nginx "nginx",
    nginx_dav "nginx-dav",
    apache "apache",
    apache_dav "apache-dav",
    lighttpd "lighttpd",
    caddy "caddy",
    python "python",
    hythe_http "hythe-http",
    vsftpd "vsftpd",
    proftpd "proftpd",
    pure_ftpd "pure-ftpd",
    pyftpdlib "pyftpdlib",
    hythe_ftp "hythe-ftp",
    gophernicus "gophernicus",
    pygopherd "pygopherd",
    hythe_gopher "hythe-gopher",
}
