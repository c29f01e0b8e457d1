//! The examples, run as programs of their own and tried by clients of others.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use super::common::http::{Client, Reply};
use super::common::{connect, eventually, exchange, run, tool};
use super::{play, python};

/// As much as `echo` takes.
const BODY: usize = 1024 * 1024;

/// An example at work, ended when dropped.
struct Example {
    child: Child,
    address: SocketAddr,
    before: (usize, usize),
}

impl Example {
    fn run(name: &str) -> Self {
        // Where cargo puts them: beside the folder of the test programs.
        let test = std::env::current_exe().unwrap();
        let path = test.parent().unwrap().with_file_name("examples").join(name);
        assert!(path.exists(), "build it: cargo build -p hythe --examples");
        let mut child = Command::new(path)
            .arg("127.0.0.1:0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let stdout = child.stdout.as_mut().unwrap();
        BufReader::new(stdout).read_line(&mut line).unwrap();
        let address = line.trim_end().strip_prefix("listening on http://");
        let address = address.unwrap().strip_suffix('/').unwrap();
        let mut example = Self {
            child,
            address: address.parse().unwrap(),
            before: (0, 0),
        };
        // All its loops are at work then.
        exchange(
            example.address,
            b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        );
        example.before = example.holds();
        example
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    fn holds(&self) -> (usize, usize) {
        let count = |folder| {
            let path = format!("/proc/{}/{folder}", self.child.id());
            fs::read_dir(path).unwrap().count()
        };
        (count("fd"), count("task"))
    }

    fn settled(&self) {
        eventually("as many descriptors and threads as before", || {
            let (descriptors, threads) = self.holds();
            descriptors <= self.before.0 && threads <= self.before.1
        });
    }
}

impl Drop for Example {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn curl(arguments: &[&str]) -> String {
    let output = run(tool("curl").args(["-sS", "-m", "60"]).args(arguments));
    String::from_utf8(output).unwrap()
}

fn parsed(text: impl AsRef<[u8]>) -> Value {
    serde_json::from_slice(text.as_ref()).unwrap()
}

/// Sends a request as it is, on a connection that is kept, and reads the reply.
fn ask(client: &mut Client, method: &str, head: &str, body: &[u8]) -> Reply {
    let length = match body.len() {
        0 => String::new(),
        length => format!("Content-Length: {length}\r\n"),
    };
    let mut request = format!("{method} {head}\r\nHost: here\r\n{length}\r\n").into_bytes();
    // In one piece: what comes in several waits for the acknowledgement of the first.
    request.extend(body);
    client.send(&request);
    client.reply(method)
}

#[test]
fn echo_answers_with_what_it_got() {
    let echo = Example::run("echo");
    let url = echo.url("/echo?page=2&q=%E6%9D%A5");
    let said = parsed(curl(&["-d", "name=来", &url]));
    assert_eq!(said["method"], "POST");
    assert_eq!(said["target"], "/echo?page=2&q=%E6%9D%A5");
    assert_eq!(said["version"], "HTTP/1.1");
    assert_eq!(said["body"], "name=来");
    assert_eq!(said["encoding"], Value::Null);
    assert_eq!(said["headers"]["host"], echo.address.to_string());
    assert_eq!(
        said["headers"]["content-type"],
        "application/x-www-form-urlencoded"
    );
    // Whatever is asked, by whatever method.
    for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] {
        let said = parsed(curl(&["-X", method, &echo.url("/any/where")]));
        assert_eq!(
            (&said["method"], &said["body"]),
            (&json!(method), &json!(""))
        );
        assert_eq!(said["target"], "/any/where");
    }
    let head = curl(&["-I", &echo.url("/echo")]);
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    let said = parsed(curl(&["--http1.0", &echo.url("/echo")]));
    assert_eq!(said["version"], "HTTP/1.0");
    // Fields that repeat, and text that is none.
    let said = parsed(curl(&[
        "-H", "X-A: 1", "-H", "X-A: 2", "-H", "X-B: 来", &url,
    ]));
    assert_eq!(said["headers"]["x-a"], "1, 2");
    assert_eq!(said["headers"]["x-b"], "来");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("bytes");
    fs::write(&file, b"\xff\0\xfe").unwrap();
    let from = format!("@{}", file.display());
    let said = parsed(curl(&["--data-binary", &from, &url]));
    assert_eq!(
        (&said["body"], &said["encoding"]),
        (&json!("/wD+"), &json!("base64"))
    );
    // In chunks.
    fs::write(&file, "来".repeat(10_000)).unwrap();
    let chunked = [
        "-H",
        "Transfer-Encoding: chunked",
        "--data-binary",
        &from,
        &url,
    ];
    let said = parsed(curl(&chunked));
    assert_eq!(said["body"], "来".repeat(10_000));
    // Others say the same.
    let posted = run(tool("wget")
        .args(["-qO-", "--post-data", "name=来"])
        .arg(&url));
    assert_eq!(parsed(posted)["body"], "name=来");
    let urllib = "import sys, urllib.request as r\n\
                  asked = r.Request(sys.argv[1], data=b'\\xff', method='PUT', headers={'x-c': 'd'})\n\
                  print(r.urlopen(asked).read().decode())";
    let said = parsed(run(python().args(["-c", urllib, &url])));
    assert_eq!(
        (&said["method"], &said["body"]),
        (&json!("PUT"), &json!("/w=="))
    );
    assert_eq!(said["headers"]["x-c"], "d");
    echo.settled();
}

#[test]
fn echo_has_limits() {
    let echo = Example::run("echo");
    let mut client = Client::new(echo.address);
    for (length, status) in [(BODY - 1, 200), (BODY, 200)] {
        let reply = ask(&mut client, "POST", "/echo HTTP/1.1", &vec![b'x'; length]);
        assert_eq!(reply.status, status, "{length}");
        assert_eq!(parsed(&reply.body)["body"].as_str().unwrap().len(), length);
    }
    client = Client::new(echo.address);
    assert_eq!(
        ask(&mut client, "POST", "/echo HTTP/1.1", &vec![b'x'; BODY + 1]).status,
        413
    );
    // The same where it is not said beforehand.
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("long");
    for (length, status) in [(BODY, "200"), (BODY + 1, "413")] {
        fs::write(&file, vec![b'x'; length]).unwrap();
        let from = format!("@{}", file.display());
        let got = curl(&[
            "-H",
            "Transfer-Encoding: chunked",
            "-H",
            "Expect:",
            "--data-binary",
            &from,
            "-o",
            "/dev/null",
            "-w",
            "%{http_code}",
            &echo.url("/echo"),
        ]);
        assert_eq!(got, status, "{length}");
    }
    drop(client);
    echo.settled();
}

#[test]
fn echo_sets_cookies_and_shows_them() {
    let echo = Example::run("echo");
    let folder = tempfile::tempdir().unwrap();
    let jar = folder.path().join("jar").display().to_string();
    let url = echo.url("/cookie?visits=1&name=quay");
    let first = parsed(curl(&["-c", &jar, "-b", &jar, &url]));
    assert_eq!(first["headers"]["cookie"], Value::Null);
    let kept = fs::read_to_string(Path::new(&jar)).unwrap();
    assert!(
        kept.contains("visits\t1") && kept.contains("name\tquay"),
        "{kept}"
    );
    let second = parsed(curl(&[
        "-c",
        &jar,
        "-b",
        &jar,
        &echo.url("/cookie?visits=2"),
    ]));
    let shown = second["headers"]["cookie"].as_str().unwrap();
    assert!(
        shown.contains("visits=1") && shown.contains("name=quay"),
        "{shown}"
    );
    let third = parsed(curl(&["-b", &jar, &echo.url("/echo")]));
    let shown = third["headers"]["cookie"].as_str().unwrap();
    assert!(shown.contains("visits=2"), "{shown}");
    let mut client = Client::new(echo.address);
    for query in [
        "a=b%3Bc",
        "a%0d%0aSet-Cookie:%20x=y",
        "=a",
        "a=%E6%9D%A5",
        "a=b+c",
        "a=\"b\"",
    ] {
        let reply = client.ask("GET", &format!("/cookie?{query}"), &[]);
        assert_eq!(
            (reply.status, reply.field("set-cookie")),
            (400, None),
            "{query}"
        );
    }
    drop(client);
    echo.settled();
}

#[test]
fn echo_answers_with_any_status_and_stays_in_step() {
    let echo = Example::run("echo");
    let mut client = Client::new(echo.address);
    for status in (200..600u16).chain([204, 205, 304]) {
        for method in ["GET", "HEAD", "POST"] {
            let body: &[u8] = if method == "POST" { b"hello" } else { b"" };
            let reply = ask(
                &mut client,
                method,
                &format!("/status/{status} HTTP/1.1"),
                body,
            );
            assert_eq!(reply.status, status, "{method}");
            let none = method == "HEAD" || [204, 205, 304].contains(&status);
            assert_eq!(reply.body.is_empty(), none, "{method} {status}");
        }
        // What comes next is the answer to what is asked next.
        let reply = client.ask("GET", &format!("/next/{status}"), &[]);
        assert_eq!(parsed(&reply.body)["target"], format!("/next/{status}"));
    }
    for bad in [
        "199", "100", "101", "0", "600", "999", "65736", "-200", "2e2", "x", "%20",
    ] {
        let reply = client.ask("GET", &format!("/status/{bad}"), &[]);
        assert_eq!(reply.status, 400, "{bad}");
    }
    drop(client);
    echo.settled();
}

#[test]
fn time_passes_in_curl_and_in_a_page() {
    let time = Example::run("time");
    let mut stream = connect(time.address);
    stream
        .write_all(b"GET /clock HTTP/1.0\r\nHost: here\r\n\r\n")
        .unwrap();
    let mut said = String::new();
    let mut reader = BufReader::new(stream);
    while said.matches("event: tick\n").count() < 3 {
        reader.read_line(&mut said).unwrap();
    }
    // Seconds follow each other.
    let seconds: Vec<u32> = said
        .lines()
        .filter_map(|line| {
            line.strip_prefix("data: ")?
                .rsplit_once(':')?
                .1
                .parse()
                .ok()
        })
        .collect();
    assert_eq!((seconds[0] + 1) % 60, seconds[1], "{said}");
    drop(reader);
    play("time.mjs", &time.url("/"));
    time.settled();
}
