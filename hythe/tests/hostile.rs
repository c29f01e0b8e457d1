//! Servers that lie, through the built client: the right error and exit status,
//! nothing outside of the target, nothing at the terminal but text.

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
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

// --- What is nobody's fault, and must not go wrong ---

#[test]
fn a_password_goes_to_the_server_it_is_for() {
    let heads = Arc::<Mutex<Vec<String>>>::default();
    let server = || {
        let heads = Arc::clone(&heads);
        serve(move |_, stream| {
            heads.lock().unwrap().push(head(stream));
            let reply = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi";
            stream.write_all(reply).ok();
        })
    };
    let (one, other) = (server(), server());
    let place = Place::new();
    let urls = [
        format!("http://anna@{one}/one"),
        format!("http://localhost:{}/two", other.port()),
    ];
    let output = common::hythe()
        .args(["get", &urls[0], &urls[1]])
        .current_dir(place.0.path())
        .env("HOME", place.0.path())
        .env("HYTHE_PASSWORD", "secret")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", said(&output));
    let heads = heads.lock().unwrap();
    let (told, others): (Vec<_>, Vec<_>) =
        heads.iter().partition(|head| head.starts_with("GET /one "));
    assert!(
        told.iter()
            .all(|head| head.contains("Authorization: Basic "))
    );
    assert!(!others.is_empty());
    assert!(
        others.iter().all(|head| !head.contains("Authorization")),
        "{others:?}"
    );
}

#[test]
fn what_others_have_put_there_stays() {
    let reply = "HTTP/1.1 200 OK\r\nETag: \"1\"\r\nContent-Length: 2\r\n\r\nhi";
    let url = format!("http://{}/x", always(reply));
    let place = Place::new();
    let here = place.0.path().join("outer/inner");
    // A part that is none of ours,
    fs::write(here.join("x.part"), "somebody's").unwrap();
    let output = place.run(&["get", &url]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert_eq!(fs::read(here.join("x.part")).unwrap(), b"somebody's");
    fs::remove_file(here.join("x.part")).unwrap();
    // a file of that name,
    fs::write(here.join("x"), "somebody's").unwrap();
    let output = place.run(&["get", &url]);
    assert!(said(&output).contains("--overwrite"));
    assert_eq!(fs::read(here.join("x")).unwrap(), b"somebody's");
    // and what is no file, which is written to.
    let pipe = here.join("pipe");
    rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::RWXU).unwrap();
    let reader = thread::spawn({
        let pipe = pipe.clone();
        move || fs::read(pipe).unwrap()
    });
    let output = place.run(&["get", "-o", "pipe", &url]);
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(reader.join().unwrap(), b"hi");
    assert!(!fs::symlink_metadata(pipe).unwrap().is_file());
}

#[test]
fn who_has_read_enough_is_no_failure() {
    let body = "x".repeat(10_000_000);
    let reply = format!("HTTP/1.1 200 OK\r\nContent-Length: 10000000\r\n\r\n{body}");
    let url = format!("http://{}/x", always(reply));
    let place = Place::new();
    let mut child = common::hythe()
        .args(["get", "-o", "-", &url])
        .env("HOME", place.0.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut output = child.stdout.take().unwrap();
    output.read_exact(&mut [0; 10]).unwrap();
    drop(output);
    let output = child.wait_with_output().unwrap();
    assert_eq!(
        (output.status.code(), said(&output).as_str()),
        (Some(0), "")
    );
}

/// Without a word on its version, half of one file and half of another would pass
/// for one; and the checksum is that of what is kept.
#[test]
fn what_nobody_can_tell_apart_is_not_put_together() {
    let address = serve(|number, stream| {
        head(stream);
        let head = "HTTP/1.1 200 OK\r\nContent-Length: 400000\r\nConnection: close\r\n\r\n";
        stream.write_all(head.as_bytes()).unwrap();
        let (letter, length) = if number == 0 {
            (b'a', 200_000)
        } else {
            (b'b', 400_000)
        };
        stream.write_all(&vec![letter; length]).ok();
    });
    let place = Place::new();
    let crc = crc32fast::hash(&vec![b'b'; 400_000]);
    let checksum = format!("crc32:{crc:08x}");
    let url = format!("http://{address}/x");
    let output = place.run(&["get", "--retries", "1", "--checksum", &checksum, &url]);
    assert!(output.status.success(), "{}", said(&output));
    let file = fs::read(place.0.path().join("outer/inner/x")).unwrap();
    assert!(file == vec![b'b'; 400_000]);
}

#[test]
fn an_upload_that_is_never_taken_is_given_up() {
    let tries = Arc::<AtomicUsize>::default();
    let address = serve({
        let tries = Arc::clone(&tries);
        move |_, stream| {
            if head(stream).starts_with("PUT ") {
                tries.fetch_add(1, Ordering::Relaxed);
                stream.read_exact(&mut [0; 1000]).ok();
            } else {
                stream
                    .write_all(b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n")
                    .ok();
            }
        }
    });
    let place = Place::new();
    fs::write(place.0.path().join("outer/inner/mine"), vec![b'x'; 200_000]).unwrap();
    let output = place.run(&[
        "put",
        "--retries",
        "1",
        "mine",
        &format!("http://{address}/x"),
    ]);
    assert_eq!(output.status.code(), Some(5), "{}", said(&output));
    assert_eq!(tries.load(Ordering::Relaxed), 2);
}
