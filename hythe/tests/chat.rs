//! `hythe listen --broadcast`, a chat, and the small services: those who keep on
//! reading hear all that is said, and those who do not hold up nobody.

mod common;

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream, UdpSocket};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread;

use common::{connect, eventually, hythe, tool};

/// A running `hythe listen`, stopped when dropped.
struct Listening {
    child: Child,
    address: SocketAddr,
    log: BufReader<std::process::ChildStderr>,
}

impl Listening {
    fn start(arguments: &[&str], input: Stdio, output: Stdio) -> Self {
        let mut command = hythe();
        command
            .args(["listen", "127.0.0.1:0"])
            .args(arguments)
            .stdin(input)
            .stdout(output);
        Self::spawn(command)
    }

    fn chat() -> Self {
        Self::start(&["--broadcast"], Stdio::null(), Stdio::null())
    }

    fn spawn(mut command: Command) -> Self {
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        log.read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("listening on ");
        let address = address.unwrap_or_else(|| panic!("{line}")).parse().unwrap();
        Self {
            child,
            address,
            log,
        }
    }

    /// Who is in the room before those who come later.
    fn first(&self) -> TcpStream {
        connect(self.address)
    }

    /// Somebody more, who is in the room for certain: one who is in has heard
    /// it.
    fn enter(&self, witness: &mut TcpStream) -> TcpStream {
        let mut client = connect(self.address);
        client.write_all(b"here\n").unwrap();
        assert_eq!(hear(witness, 5), b"here\n");
        client
    }

    fn stdout(&mut self) -> BufReader<ChildStdout> {
        BufReader::new(self.child.stdout.take().unwrap())
    }

    /// Stops it as an operator would: what it said since it began to listen.
    fn stop(mut self) -> String {
        let pid = self.child.id().to_string();
        common::run(Command::new("kill").args(["-s", "INT", &pid]));
        let mut log = String::new();
        self.log.read_to_string(&mut log).unwrap();
        assert!(self.child.wait().unwrap().success(), "{log}");
        log
    }

    fn sockets(&self) -> usize {
        let descriptors = std::fs::read_dir(format!("/proc/{}/fd", self.child.id())).unwrap();
        let links = descriptors.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok());
        let sockets = links.filter(|link| link.to_string_lossy().starts_with("socket:"));
        sockets.count()
    }

    /// Its memory in KiB, without what belongs to files.
    fn memory(&self) -> u64 {
        let path = format!("/proc/{}/status", self.child.id());
        let text = std::fs::read_to_string(path).unwrap();
        let own = text.lines().find_map(|line| line.strip_prefix("RssAnon:"));
        let own = own.unwrap().trim().strip_suffix(" kB");
        own.unwrap().parse().unwrap()
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Numbered lines.
fn lines(count: usize) -> Vec<u8> {
    let lines = (0..count).map(|number| format!("{number:09}\n"));
    lines.collect::<String>().into_bytes()
}

/// More than all that may wait on the way.
const MANY: usize = 1_000_000;

fn hear(client: &mut TcpStream, count: usize) -> Vec<u8> {
    let mut heard = vec![0; count];
    client.read_exact(&mut heard).unwrap();
    heard
}

#[test]
fn who_keeps_on_reading_hears_all_however_much_is_said() {
    let chat = Listening::chat();
    let mut reader = chat.first();
    let speakers: Vec<_> = (0..4).map(|_| chat.enter(&mut reader)).collect();
    let said = lines(MANY / 4);
    let heard = thread::scope(|scope| {
        for mut speaker in &speakers {
            let said = &said;
            scope.spawn(move || speaker.write_all(said).unwrap());
            // As chat clients do, they hear while they speak. What still comes once
            // they have shut down is answered by a reset.
            scope.spawn(move || io::copy(&mut speaker, &mut io::sink()).ok());
        }
        let heard = hear(&mut reader, 10 * MANY);
        for speaker in &speakers {
            speaker.shutdown(Shutdown::Both).unwrap();
        }
        heard
    });
    let mut heard: Vec<_> = heard.chunks(10).collect();
    heard.sort();
    let wanted: Vec<_> = said.chunks(10).flat_map(|line| [line; 4]).collect();
    assert!(heard == wanted, "each line of each speaker, and each whole");
}

#[test]
fn who_reads_nothing_holds_up_nobody_costs_little_and_is_told_to_go() {
    let chat = Listening::chat();
    let mut reader = chat.first();
    let mut silent: Vec<_> = (0..30).map(|_| chat.enter(&mut reader)).collect();
    let mut speaker = chat.enter(&mut reader);
    let before = chat.memory();
    thread::scope(|scope| {
        scope.spawn(|| speaker.write_all(&[b'\n'; 3 * MANY]).unwrap());
        hear(&mut reader, 3 * MANY);
    });
    let grown = chat.memory().saturating_sub(before);
    assert!(grown < 16 * 1024, "{grown} KiB");
    let mut heard = Vec::new();
    silent.pop().unwrap().read_to_end(&mut heard).unwrap();
    let farewell = b"\nhythe: too slow: more than 1024 KiB waited for you; goodbye\r\n";
    assert!(heard.ends_with(farewell));
}

#[test]
fn who_says_a_line_too_long_is_told_so_and_what_it_said_before_is_heard() {
    let chat = Listening::chat();
    let mut reader = chat.first();
    let mut speaker = chat.enter(&mut reader);
    let longest = [&[b'x'; 64 * 1024 - 1][..], b"\n"].concat();
    speaker.write_all(&longest).unwrap();
    speaker.write_all(b"x").unwrap();
    speaker.write_all(&longest).unwrap();
    let mut told = String::new();
    speaker.read_to_string(&mut told).unwrap();
    assert_eq!(told, "hythe: a line of more than 64 KiB; goodbye\r\n");
    assert!(hear(&mut reader, longest.len()) == longest);
    chat.enter(&mut reader);
}

/// As `echo hello | hythe connect` does.
#[test]
fn who_says_no_more_hears_on_until_it_is_gone() {
    let chat = Listening::chat();
    let mut reader = chat.first();
    let mut asking = connect(chat.address);
    asking.write_all(b"hello").unwrap();
    asking.shutdown(Shutdown::Write).unwrap();
    assert_eq!(hear(&mut reader, 6), b"hello\n");
    for _ in 0..3 {
        reader.write_all(b"answer\n").unwrap();
        assert_eq!(hear(&mut asking, 7), b"answer\n");
    }
    let sockets = chat.sockets();
    drop(asking);
    // Its system says so to whoever tells it something.
    eventually("it is gone", || {
        reader.write_all(b"answer\n").unwrap();
        chat.sockets() < sockets
    });
}

#[test]
fn who_neither_says_nor_hears_anything_is_closed_when_its_time_is_over() {
    let chat = Listening::start(
        &["--broadcast", "--idle", "1"],
        Stdio::null(),
        Stdio::null(),
    );
    let clients = [chat.first(), chat.first()];
    clients[0].shutdown(Shutdown::Write).unwrap();
    for mut client in clients {
        assert_eq!(client.read(&mut [0]).unwrap(), 0);
    }
}

// --- The operator ------------------------------------------------------------

#[test]
fn what_the_operator_pipes_in_reaches_whoever_keeps_on_reading() {
    let mut chat = Listening::start(&["--broadcast"], Stdio::piped(), Stdio::piped());
    let mut reader = chat.first();
    // Also: what a member says, the operator hears.
    reader.write_all(b"here\n").unwrap();
    let mut line = String::new();
    chat.stdout().read_line(&mut line).unwrap();
    assert_eq!(line, "here\n");
    let mut input = chat.child.stdin.take().unwrap();
    let saying = thread::spawn(move || {
        input.write_all(&lines(MANY)).unwrap();
        input.write_all(b"the end").unwrap();
    });
    assert!(hear(&mut reader, 10 * MANY) == lines(MANY));
    assert_eq!(hear(&mut reader, 8), b"the end\n");
    saying.join().unwrap();
}

#[test]
fn the_operator_hears_all_also_what_was_said_last_before_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("heard");
    let output = File::create(&path).unwrap();
    let chat = Listening::start(&["--broadcast"], Stdio::null(), output.into());
    let mut reader = chat.first();
    let mut speaker = chat.enter(&mut reader);
    thread::scope(|scope| {
        scope.spawn(|| speaker.write_all(&lines(MANY)).unwrap());
        hear(&mut reader, 10 * MANY);
    });
    chat.stop();
    let heard = std::fs::read(path).unwrap();
    assert!(heard == [b"here\n", &lines(MANY)[..]].concat());
}

#[test]
fn an_operator_who_reads_nothing_holds_up_nobody_and_hears_what_it_missed() {
    let mut chat = Listening::start(&["--broadcast"], Stdio::null(), Stdio::piped());
    let mut reader = chat.first();
    let mut speaker = chat.enter(&mut reader);
    thread::scope(|scope| {
        scope.spawn(|| speaker.write_all(&lines(MANY)).unwrap());
        hear(&mut reader, 10 * MANY);
    });
    let mut missed = 0;
    let mut heard = 0;
    for line in chat.stdout().lines().map(Result::unwrap) {
        match line.strip_prefix("… ") {
            Some(note) => {
                let count = note.strip_suffix(" lines missed").unwrap();
                missed += count.parse::<usize>().unwrap();
            }
            None => heard += 1,
        }
        if line == format!("{:09}", MANY - 1) {
            break;
        }
    }
    assert!(missed > 0 && missed + heard == MANY + 1, "{missed} {heard}");
}

#[test]
fn a_full_disk_is_told_and_the_others_talk_on() {
    let full = File::options().write(true).open("/dev/full").unwrap();
    let mut chat = Listening::start(&["--broadcast"], Stdio::null(), full.into());
    let mut reader = chat.first();
    chat.enter(&mut reader);
    let mut told = String::new();
    chat.log.read_line(&mut told).unwrap();
    assert_eq!(
        told,
        "hythe: cannot write standard output, and goes on without: No space left on device\n"
    );
    chat.enter(&mut reader);
    assert_eq!(chat.stop(), "");
}

#[test]
fn in_the_background_it_goes_on_and_in_the_foreground_it_says_what_is_typed() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let job = format!(
        "bash -mc '{} listen 127.0.0.1:0 --broadcast 2> {} & read line; fg'",
        hythe().get_program().to_str().unwrap(),
        log.to_str().unwrap()
    );
    let mut terminal = tool("script")
        .args(["--quiet", "--command", &job, "/dev/null"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let mut typed = terminal.stdin.take().unwrap();
    let mut address = None;
    eventually("it listens", || {
        let said = std::fs::read_to_string(&log).unwrap_or_default();
        let rest = said.strip_prefix("listening on ");
        address = rest.and_then(|rest| rest.strip_suffix('\n')?.parse().ok());
        address.is_some()
    });
    let mut reader = connect(address.unwrap());
    let mut speaker = connect(address.unwrap());
    speaker.write_all(b"here\n").unwrap();
    assert_eq!(hear(&mut reader, 5), b"here\n");
    // The first line is the shell's, whoever sees it first.
    typed.write_all(b"go on\n").unwrap();
    speaker.write_all(b"here\n").unwrap();
    assert_eq!(hear(&mut reader, 5), b"here\n");
    typed.write_all(b"typed\n").unwrap();
    assert_eq!(hear(&mut reader, 6), b"typed\n");
    // Ctrl-C.
    typed.write_all(b"\x03").unwrap();
    reader.read_to_end(&mut Vec::new()).unwrap();
    drop(typed);
    terminal.wait().unwrap();
}

// --- The small services ------------------------------------------------------

/// As another service like it would, which both would do for ever.
#[test]
fn datagrams_from_a_port_like_its_own_are_not_answered() {
    let arguments = ["--service", "echo", "--udp"];
    let echo = Listening::start(&arguments, Stdio::null(), Stdio::null());
    let twin = UdpSocket::bind(("127.0.0.2", echo.address.port())).unwrap();
    let other = UdpSocket::bind("127.0.0.2:0").unwrap();
    for socket in [&twin, &other] {
        socket.set_read_timeout(Some(common::PATIENCE)).unwrap();
        socket.send_to(b"hello", echo.address).unwrap();
    }
    let mut buffer = [0; 16];
    assert_eq!(other.recv(&mut buffer).unwrap(), 5);
    // They are answered in turn: its own would be there.
    twin.set_nonblocking(true).unwrap();
    let error = twin.recv(&mut buffer).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
}
