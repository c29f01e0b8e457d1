//! Servers that lie, through the built client: the right error and exit status,
//! nothing outside of the target, nothing at the terminal but text.

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Output, Stdio};
use std::thread;

/// Answers every connection as `answer` does.
fn serve(answer: impl Fn(usize, &mut TcpStream) + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for (number, stream) in listener.incoming().map_while(Result::ok).enumerate() {
            answer(number, &mut { stream });
        }
    });
    address
}

/// Reads up to an empty line.
fn head(stream: &mut TcpStream) -> String {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") && stream.read_exact(&mut byte).is_ok() {
        head.push(byte[0]);
    }
    String::from_utf8(head).unwrap()
}

/// Answers each request with the same bytes, and closes.
fn always(reply: impl Into<Vec<u8>>) -> SocketAddr {
    let reply = reply.into();
    serve(move |_, stream| {
        head(stream);
        stream.write_all(&reply).ok();
    })
}

struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        fs::create_dir_all(place.0.path().join("outer/inner")).unwrap();
        place
    }

    /// Runs the client two folders below, without trying again.
    fn run(&self, arguments: &[&str]) -> Output {
        common::hythe()
            .args(arguments)
            .args(["--stall", "3s", "--connect-timeout", "3s"])
            .current_dir(self.0.path().join("outer/inner"))
            .env("HOME", self.0.path())
            .env_remove("XDG_STATE_HOME")
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }

    /// All files below, but for those of the client's own state.
    fn files(&self) -> BTreeSet<String> {
        fn walk(root: &Path, folder: &Path, into: &mut BTreeSet<String>) {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    walk(root, &path, into);
                } else {
                    into.insert(path.strip_prefix(root).unwrap().display().to_string());
                }
            }
        }
        let mut files = BTreeSet::new();
        walk(self.0.path(), self.0.path(), &mut files);
        files
    }

    fn holds(&self, names: &[&str]) {
        let names: BTreeSet<String> = names.iter().map(|name| (*name).to_owned()).collect();
        assert_eq!(self.files(), names);
    }
}

fn said(output: &Output) -> String {
    let said = String::from_utf8(output.stderr.clone()).unwrap();
    let strange = |letter: char| letter.is_control() && letter != '\n';
    assert!(!said.contains(strange), "{said:?}");
    said
}

#[test]
fn http_servers_that_lie() {
    for (what, reply, status, words) in [
        ("a short body", &b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort"[..], 5, "ended"),
        ("a cut chunk", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nshort", 5, "ended"),
        ("two lengths", b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nshort", 1, ""),
        ("no HTTP", b"SSH-2.0-OpenSSH_9.2\r\n\r\n", 1, ""),
        ("nothing", b"", 5, ""),
        ("escapes", b"HTTP/1.1 404 \x1b[2J\x07gone\r\nContent-Length: 0\r\n\r\n", 3, "404"),
        ("a loop", b"HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n", 1, "redirect"),
        ("a file", b"HTTP/1.1 302 Found\r\nLocation: file:///etc/passwd\r\nContent-Length: 0\r\n\r\n", 1, ""),
        ("not for us", b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n", 4, "403"),
        ("a password", b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n", 4, "--user"),
        ("busy", b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n", 5, "503"),
        ("a range nobody asked for", b"HTTP/1.1 206 Partial\r\nContent-Range: bytes 5-9/10\r\nContent-Length: 5\r\n\r\nshort", 1, ""),
    ] {
        let place = Place::new();
        let url = format!("http://{}/x", always(reply));
        let output = place.run(&["get", "--retries", "0", &url]);
        let said = said(&output);
        assert_eq!(output.status.code(), Some(status), "{what}: {said}");
        assert!(said.contains(words) && said.contains(&url), "{what}: {said}");
        place.holds(&[]);
    }
}

#[test]
fn a_head_without_an_end_is_not_listened_to() {
    let address = serve(|_, stream| {
        head(stream);
        stream.write_all(b"HTTP/1.1 200 OK\r\nX: ").unwrap();
        // Ten gibibytes, as far as anybody takes them.
        let piece = vec![b'x'; 1024 * 1024];
        for _ in 0..10 * 1024 {
            if stream.write_all(&piece).is_err() {
                break;
            }
        }
    });
    let place = Place::new();
    let output = place.run(&["get", "--retries", "0", &format!("http://{address}/x")]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    place.holds(&[]);
}

#[test]
fn names_that_servers_choose_lead_nowhere_else() {
    for (name, expected) in [
        ("../../x", "x"),
        ("/etc/x", "x"),
        ("..", "index.html"),
        ("a\u{1b}[2J", "index.html"),
        ("中文 名.txt", "中文 名.txt"),
    ] {
        let encoded: String = name.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let reply = format!(
            "HTTP/1.1 200 OK\r\nContent-Disposition: attachment; filename*=UTF-8''{encoded}\r\n\
             Content-Length: 2\r\nConnection: close\r\n\r\nhi"
        );
        let place = Place::new();
        let output = place.run(&["get", &format!("http://{}/", always(reply))]);
        assert!(output.status.success(), "{name}: {}", said(&output));
        let files = place.files();
        assert_eq!(files.len(), 1, "{name}: {files:?}");
        let file = files.first().unwrap();
        let file = file
            .strip_prefix("outer/inner/")
            .unwrap_or_else(|| panic!("{name}: {file}"));
        assert!(
            file == expected || !file.contains(char::is_control),
            "{name}: {file}"
        );
    }
}

#[test]
fn listings_lead_nowhere_else() {
    let index = "<a href=\"../\">up</a><a href=\"..%2f..%2fx\">x</a><a href=\"/etc/passwd\">p</a>\
                 <a href=\"%2e%2e/y\">y</a><a href=\"http://other/z\">z</a><a href=\"%00\">n</a>\
                 <a href=\"good\">good</a>";
    let json = r#"[{"name":"../x","kind":"file","size":2},{"name":"/y","is_dir":false},{"name":"..","is_dir":true},{"name":"good","size":2,"is_dir":false}]"#;
    for (kind, list) in [("text/html", index), ("application/json", json)] {
        let list = list.to_owned();
        let address = serve(move |_, stream| {
            let request = head(stream);
            let (kind, body) = if request.contains(" /f/ ") {
                (kind, list.as_str())
            } else {
                ("text/plain", "hi")
            };
            let length = body.len();
            let body = if request.starts_with("HEAD") {
                ""
            } else {
                body
            };
            let reply = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\
                 Connection: close\r\n\r\n{body}"
            );
            stream.write_all(reply.as_bytes()).unwrap();
        });
        let place = Place::new();
        let output = place.run(&["get", "-r", &format!("http://{address}/f/")]);
        assert!(output.status.success(), "{kind}: {}", said(&output));
        place.holds(&["outer/inner/f/good"]);
    }
}

#[test]
fn menus_of_gopher_lead_nowhere_else() {
    let address = serve(|_, stream| {
        let (mut line, mut byte) = (Vec::new(), [0]);
        while !line.ends_with(b"\r\n") && stream.read_exact(&mut byte).is_ok() {
            line.push(byte[0]);
        }
        let port = stream.local_addr().unwrap().port();
        if line == b"\r\n" {
            for (name, selector) in [
                ("../../x", "/1"),
                ("..", "/2"),
                ("a/b", "/3"),
                ("\u{1b}[2Jz", "/4"),
            ] {
                write!(stream, "9{name}\t{selector}\t127.0.0.1\t{port}\r\n").unwrap();
            }
            write!(stream, "9away\t/5\tother.example\t70\r\n.\r\n").unwrap();
        } else {
            stream.write_all(b"hi").unwrap();
        }
    });
    let place = Place::new();
    let output = place.run(&["get", "-r", &format!("gopher://{address}/")]);
    said(&output);
    for file in place.files() {
        assert!(
            file.starts_with("outer/inner/") && !file.contains(char::is_control),
            "{file:?}"
        );
    }
    let output = place.run(&["ls", &format!("gopher://{address}/")]);
    assert!(!String::from_utf8(output.stdout).unwrap().contains('\u{1b}'));
}

/// A server that ignores Range has the file sent again, and that is said.
#[test]
fn a_server_without_ranges_begins_again() {
    let address = serve(|number, stream| {
        head(stream);
        let reply =
            "HTTP/1.1 200 OK\r\nETag: \"1\"\r\nContent-Length: 600000\r\nConnection: close\r\n\r\n";
        stream.write_all(reply.as_bytes()).unwrap();
        let length = if number == 0 { 300_000 } else { 600_000 };
        stream.write_all(&vec![b'x'; length]).ok();
    });
    let place = Place::new();
    let url = format!("http://{address}/file");
    let output = place.run(&["get", "--retries", "0", &url]);
    assert_eq!(output.status.code(), Some(5), "{}", said(&output));
    place.holds(&["outer/inner/file.part", "outer/inner/file.part.journal"]);
    let output = place.run(&["get", "--retries", "0", &url]);
    let text = said(&output);
    assert!(
        output.status.success() && text.contains("starting again"),
        "{text}"
    );
    place.holds(&["outer/inner/file"]);
    let file = fs::read(place.0.path().join("outer/inner/file")).unwrap();
    assert!(file == vec![b'x'; 600_000]);
}
