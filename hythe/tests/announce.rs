//! What is said at the start, to a script and to a person at a terminal. The
//! QR code is read by a scanner.

mod common;

use std::fs::{self, File, OpenOptions};
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::{IpAddr, SocketAddr};
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::{self, JoinHandle};

use common::{Served, exchange, hythe, run, tool};
use hythe_net::interface_addresses;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};
use tempfile::TempDir;

/// What the list of addresses begins with.
const LIST: &str = "other machines reach it at";

fn share() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("plain.txt"), "content").unwrap();
    folder
}

/// A command that serves a folder on free ports of a host.
fn serve(folder: &Path, bind: &str, arguments: &[&str]) -> Command {
    let mut command = hythe();
    command
        .args(["serve", "--bind", bind, "--http", "0", "--ftp", "0"])
        .args(["--gopher", "off"])
        .args(arguments)
        .arg(folder)
        .env("TERM", "xterm")
        .env_remove("NO_COLOR");
    command
}

/// The addresses of this machine under which another might reach it.
fn reachable() -> Vec<IpAddr> {
    let mut found: Vec<IpAddr> = interface_addresses()
        .unwrap()
        .into_iter()
        .map(|own| own.address)
        .filter(|address| match address {
            IpAddr::V4(v4) => !v4.is_loopback(),
            IpAddr::V6(v6) => !v6.is_loopback() && !v6.is_unicast_link_local(),
        })
        .collect();
    found.sort();
    found.dedup();
    found
}

// --- A terminal --------------------------------------------------------------

/// A server with a terminal on its standard error.
struct AtTerminal {
    child: Child,
    /// Its standard output: a line for each of HTTP and FTP.
    listeners: Vec<String>,
    screen: Option<JoinHandle<Vec<u8>>>,
}

impl AtTerminal {
    fn start(mut command: Command, columns: u16, rows: u16) -> Self {
        let (mut terminal, path) = open_terminal(columns, rows);
        let server_end = OpenOptions::new().write(true).open(path).unwrap();
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(server_end)
            .spawn()
            .unwrap();
        // With it goes our copy of the server's end: the last one's is the end.
        drop(command);
        let screen = thread::spawn(move || {
            let mut bytes = Vec::new();
            // A terminal that nobody holds any more answers with an error.
            terminal.read_to_end(&mut bytes).ok();
            bytes
        });
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let listeners = stdout.lines().take(2).map(Result::unwrap).collect();
        Self {
            child,
            listeners,
            screen: Some(screen),
        }
    }

    fn port(&self) -> u16 {
        let (_, port) = self.listeners[0].rsplit_once(':').unwrap();
        port.trim_end_matches('/').parse().unwrap()
    }

    /// Stops it: all that was shown. It hears of this only after it has said
    /// what is to be said at the start.
    fn stop(mut self) -> String {
        run(Command::new("kill").arg(self.child.id().to_string()));
        assert!(self.child.wait().unwrap().success());
        let shown = self.screen.take().unwrap().join().unwrap();
        String::from_utf8(shown).unwrap().replace("\r\n", "\n")
    }
}

impl Drop for AtTerminal {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// A new terminal of this size, and the path of its other end.
fn open_terminal(columns: u16, rows: u16) -> (File, PathBuf) {
    let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&terminal).unwrap();
    unlockpt(&terminal).unwrap();
    let size = Winsize {
        ws_col: columns,
        ws_row: rows,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    tcsetwinsize(&terminal, size).unwrap();
    let path = ptsname(&terminal, Vec::new()).unwrap().into_bytes();
    let path = std::ffi::OsString::from_vec(path);
    (terminal.into(), path.into())
}

/// What a scanner reads off a screen.
fn scanned(shown: &str) -> String {
    const BLACK_ON_WHITE: &str = "\x1b[38;5;16;48;5;231m";
    let rows = shown
        .lines()
        .filter_map(|line| line.strip_prefix(BLACK_ON_WHITE)?.strip_suffix("\x1b[0m"));
    let mut pixels: Vec<Vec<bool>> = Vec::new();
    for row in rows {
        pixels.push(row.chars().map(|half| "▀█".contains(half)).collect());
        pixels.push(row.chars().map(|half| "▄█".contains(half)).collect());
    }
    /// A module's side in pixels: one alone is too little for the scanner.
    const SIDE: usize = 4;
    let mut picture = format!("P1 {} {}\n", pixels[0].len() * SIDE, pixels.len() * SIDE);
    for row in &pixels {
        let dots: String = row
            .iter()
            .map(|&dark| if dark { "1 " } else { "0 " }.repeat(SIDE) + "\n")
            .collect();
        picture.push_str(&dots.repeat(SIDE));
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("code.pbm");
    fs::write(&file, picture).unwrap();
    let read = run(tool("zbarimg").args(["--quiet", "--raw"]).arg(file));
    String::from_utf8(read).unwrap().trim_end().to_owned()
}

// --- What is said ------------------------------------------------------------

#[test]
fn a_person_is_told_the_addresses_and_a_phone_can_scan_one() {
    let share = share();
    for bind in ["0.0.0.0", "::"] {
        let server = AtTerminal::start(serve(share.path(), bind, &[]), 80, 24);
        let port = server.port();
        let served = reachable()
            .into_iter()
            .filter(|address| bind == "::" || address.is_ipv4());
        let urls: Vec<String> = served
            .map(|address| {
                let address = SocketAddr::new(address, port);
                let reply = exchange(address, b"GET /plain.txt HTTP/1.0\r\n\r\n");
                assert!(reply.ends_with(b"\r\n\r\ncontent"), "{address}");
                format!("http://{address}/")
            })
            .collect();
        let shown = server.stop();
        let mut listed: Vec<&str> = shown
            .lines()
            .filter_map(|line| line.strip_prefix("  "))
            .filter(|url| url.starts_with("http://"))
            .collect();
        listed.sort_unstable();
        let mut expected = urls.clone();
        expected.sort_unstable();
        assert_eq!(listed, expected, "{bind}: {shown}");
        // A machine without a network has nothing to show.
        assert_eq!(shown.contains(LIST), !urls.is_empty(), "{shown}");
        if !urls.is_empty() {
            let url = scanned(&shown);
            assert!(urls.contains(&url), "{url}: {shown}");
            assert!(shown.contains(&format!("  scan for {url}\n")), "{shown}");
        }
    }
}

#[test]
fn where_no_code_can_be_shown_the_addresses_are() {
    let share = share();
    let cases: [(&str, &str, u16, u16); 4] = [
        ("TERM", "dumb", 80, 24),
        ("NO_COLOR", "1", 80, 24),
        ("TERM", "xterm", 28, 24),
        ("TERM", "xterm", 80, 14),
    ];
    for (name, value, columns, rows) in cases {
        let mut command = serve(share.path(), "0.0.0.0", &[]);
        command.env(name, value);
        let server = AtTerminal::start(command, columns, rows);
        let port = server.port();
        let shown = server.stop();
        assert!(!shown.contains(['▀', '▄', '█']), "{name}={value}: {shown}");
        for address in reachable().into_iter().filter(IpAddr::is_ipv4) {
            let line = format!("\n  http://{address}:{port}/\n");
            assert!(shown.contains(&line), "{name}={value}: {shown}");
        }
    }
}

#[test]
fn a_terminal_of_unknown_size_is_taken_for_a_usual_one() {
    let share = share();
    let shown = AtTerminal::start(serve(share.path(), "0.0.0.0", &[]), 0, 0).stop();
    let any = reachable().iter().any(IpAddr::is_ipv4);
    assert_eq!(shown.contains('▀'), any, "{shown}");
}

#[test]
fn nothing_is_listed_for_this_machine_alone_or_for_programs() {
    let share = share();
    for (bind, arguments) in [("127.0.0.1", &[][..]), ("0.0.0.0", &["--log", "json"])] {
        let server = AtTerminal::start(serve(share.path(), bind, arguments), 80, 24);
        assert_eq!(server.listeners.len(), 2);
        let shown = server.stop();
        assert!(!shown.contains(LIST), "{shown}");
        assert!(!shown.contains('▀'), "{shown}");
    }
    let server = Served::start(share.path(), &["--bind", "0.0.0.0"]);
    assert_eq!(server.stop(), "", "standard error is no terminal");
}

#[test]
fn whoever_lets_strangers_of_the_network_write_is_told_so() {
    let share = share();
    for (bind, allow, expected) in [
        ("0.0.0.0", "read", None),
        ("0.0.0.0", "upload", Some("upload files")),
        (
            "0.0.0.0",
            "write",
            Some("upload, overwrite and delete files"),
        ),
        ("127.0.0.1", "write", None),
    ] {
        let log = Served::start(share.path(), &["--bind", bind, "--allow", allow]).stop();
        let warning = log.lines().find(|line| line.contains("anyone"));
        let words = expected.map(|verbs| format!("warning: anyone who can connect may {verbs};"));
        match (warning, words) {
            (None, None) => {}
            (Some(line), Some(words)) => assert!(line.contains(&words), "{log}"),
            _ => panic!("{bind} {allow}: {log}"),
        }
    }
}
