//! The servers that our client is tried against: each starts, hands out files
//! with difficult names, and takes one if it takes any. A client that others
//! wrote asks, so that what fails here is not ours.

mod common;

use std::fs;
use std::io::Write;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::ftp::Session;
use common::servers::tree::{FILES, paths, sorted, tree, written};
use common::servers::{self, ALL, Kind, Resumes, Server, Sizes};
use common::{content, run, tool, url_path};

/// What a text was before a Gopher server sent it, with a line that ends it.
fn without_end(text: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(text).replace("\r\n", "\n");
    text.strip_suffix(".\n").unwrap_or(&text).into()
}

fn curl() -> Command {
    let mut command = tool("curl");
    command.args(["--silent", "--show-error", "--fail", "--globoff"]);
    command.args(["--disable", "--noproxy", "*", "--max-time", "60"]);
    command
}

/// Where a file is; Gopher says what kind it is in front.
fn url(server: &Server, path: &str) -> String {
    let kind = match server.kind.scheme {
        "gopher" => "9/",
        _ => "",
    };
    format!("{}{kind}{}", server.url, url_path(Path::new(path)))
}

/// Starts it, and sees it read, write and end.
fn check(name: &str) {
    let kind = ALL.iter().find(|kind| kind.name == name).unwrap();
    if !kind.runs_here() {
        eprintln!("{name} can only be started by root");
        return;
    }
    let root = tree();
    let server = servers::start(name, root.path());
    for &(path, length) in FILES {
        if path.contains(|letter| kind.loses.contains(letter)) {
            continue;
        }
        let mut fetched = run(curl().arg(url(&server, path)));
        if kind.scheme == "gopher" && !path.ends_with(".bin") {
            fetched = without_end(&fetched);
        }
        let same = fetched == written(Path::new(path), length);
        assert!(same, "{path}: {} bytes", fetched.len());
    }
    lists(&server);
    if kind.puts {
        puts(&server);
    }
    match kind.scheme {
        "ftp" => changes_by_ftp(&server),
        "http" if kind.puts => changes_by_http(&server),
        _ => {}
    }
    let address = server.address;
    drop(server);
    TcpListener::bind(address).expect("its port is free again");
    assert_eq!(
        paths(root.path()),
        sorted(FILES.iter().map(|(path, _)| PathBuf::from(path)))
    );
}

/// The list of a folder is as exact as is said.
fn lists(server: &Server) {
    let url = match server.kind.scheme {
        "gopher" => format!("{}1/", server.url),
        _ => server.url.clone(),
    };
    let list = String::from_utf8(run(curl().arg(url))).unwrap();
    let exact = list.contains("3000000");
    // Some round it down.
    let rounded = ["2.9", "2.8M"].iter().any(|size| list.contains(size));
    let sizes = match (exact, rounded) {
        (true, _) => Sizes::Exact,
        (false, true) => Sizes::Rounded,
        (false, false) => Sizes::No,
    };
    assert_eq!(sizes, server.kind.sizes, "{list}");
}

/// What is put on servers.
const PUT: &str = "deep/new 新 100%.bin";

fn puts(server: &Server) {
    let source = tempfile::NamedTempFile::new().unwrap();
    for length in [1_000_000, 1000] {
        fs::write(source.path(), content(length)).unwrap();
        run(curl().arg("-T").arg(source.path()).arg(url(server, PUT)));
        let stored = fs::read(server.root.join(PUT)).unwrap();
        assert!(stored == content(length), "{} bytes", stored.len());
    }
}

/// A folder is made, what was put is moved there, and there it is removed.
fn changes_by_http(server: &Server) {
    let ask = |method: &str, path: &str| {
        let mut command = curl();
        command.args(["--request", method]).arg(url(server, path));
        command
    };
    if server.kind.resumes_uploads == Resumes::ContentRange {
        let mut part = ask("PUT", PUT);
        part.args(["--header", "Content-Range: bytes 1000-1002/1003"]);
        run(part.args(["--data-binary", "end"]));
        assert!(fs::read(server.root.join(PUT)).unwrap().ends_with(b"end"));
    }
    run(&mut ask("MKCOL", "made 新/"));
    assert!(server.root.join("made 新").is_dir());
    let destination = format!("Destination: {}", url(server, "made 新/moved"));
    run(ask("MOVE", PUT).args(["--header", &destination]));
    assert!(server.root.join("made 新/moved").is_file());
    assert!(!server.root.join(PUT).exists());
    let destination = format!("Destination: {}", url(server, "moved/"));
    run(ask("MOVE", "made 新/").args(["--header", &destination]));
    assert!(server.root.join("moved/moved").is_file());
    run(&mut ask("DELETE", "moved/moved"));
    run(&mut ask("DELETE", "moved/"));
    assert!(!server.root.join("moved").exists());
}

/// The same, after what was put was made longer.
fn changes_by_ftp(server: &Server) {
    let mut session = Session::connect(server.address);
    let login = server.url.split_once("://").unwrap().1.split_once('@');
    let (name, password) = match login {
        Some((login, _)) => login.split_once(':').unwrap(),
        None => ("anonymous", "me@"),
    };
    if session.command(format!("USER {name}")).code != 230 {
        assert_eq!(session.command(format!("PASS {password}")).code, 230);
    }
    let base = server.url.rsplit_once("127.0.0.1:").unwrap().1;
    let base = base.split_once('/').unwrap().1;
    let mut ask = |verb: &str, path: &str, code: u16| {
        let reply = session.command(format!("{verb} /{base}{path}"));
        assert_eq!(reply.code, code, "{verb}: {}", reply.text.escape_ascii());
    };
    ask("MKD", "made 新", 257);
    ask("RNFR", PUT, 350);
    ask("RNTO", "made 新/moved", 250);
    ask("RNFR", "made 新", 350);
    ask("RNTO", "moved", 250);
    let moved = server.root.join("moved/moved");
    let length = fs::metadata(&moved).unwrap().len();
    assert_eq!(session.command("TYPE I").code, 200);
    for verb in ["STOR", "APPE"] {
        let mut data = session.passive();
        if verb == "STOR" {
            assert_eq!(session.command(format!("REST {length}")).code, 350);
        }
        let reply = session.command(format!("{verb} /{base}moved/moved"));
        let begins = matches!(reply.code, 125 | 150);
        assert!(begins, "{}", reply.text.escape_ascii());
        data.write_all(b"end").unwrap();
        drop(data);
        assert_eq!(session.reply().code, 226);
    }
    let content = fs::read(&moved).unwrap();
    assert_eq!(content.len() as u64, length + 6);
    assert!(content.ends_with(b"endend"));
    let mut ask = |verb: &str, path: &str| {
        let reply = session.command(format!("{verb} /{base}{path}"));
        assert_eq!(reply.code, 250, "{verb}: {}", reply.text.escape_ascii());
    };
    ask("DELE", "moved/moved");
    ask("RMD", "moved");
    assert!(!server.root.join("moved").exists());
    session.command("QUIT");
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
