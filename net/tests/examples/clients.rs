//! `gopher_get` and `http_get`, against Python's server and against answers
//! that are right, odd, or cut off.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output};
use std::thread;

use super::{Serving, example, run};

/// Answers one connection with these bytes and closes; gives the address, and
/// in the end what was asked.
fn answer(bytes: &[u8]) -> (String, thread::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let bytes = bytes.to_vec();
    let asked = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let (mut request, mut byte) = (Vec::new(), [0]);
        let is_whole = |request: &[u8]| match request.starts_with(b"GET ") {
            true => request.ends_with(b"\r\n\r\n"),
            false => request.ends_with(b"\r\n"),
        };
        while !is_whole(&request) && stream.read(&mut byte).unwrap() > 0 {
            request.push(byte[0]);
        }
        stream.write_all(&bytes).unwrap();
        String::from_utf8(request).unwrap()
    });
    (address, asked)
}

fn get(example_name: &str, arguments: &[&str]) -> Output {
    run(example(example_name).to_str().unwrap(), "", arguments)
}

fn error(output: &Output) -> String {
    assert!(!output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Python's own file server on a folder.
fn http_server(folder: &Path) -> Serving {
    let mut command = Command::new("python3");
    command.args(["-u", "-m", "http.server", "0", "--bind", "127.0.0.1"]);
    command.arg("--directory").arg(folder);
    Serving::spawn(command, |line| {
        let port = line.split(' ').nth(5)?;
        format!("127.0.0.1:{port}").parse().ok()
    })
}

#[test]
fn http_get_saves_files_of_pythons_server() {
    let folder = tempfile::tempdir().unwrap();
    let saved = folder.path().join("saved");
    let saved = saved.to_str().unwrap();
    let big: Vec<u8> = (0..1_000_000u32).map(|n| (n % 251) as u8).collect();
    fs::write(folder.path().join("big"), &big).unwrap();
    fs::write(folder.path().join("空"), "").unwrap();
    let server = http_server(folder.path());
    for (path, content) in [("big?x=1", &big[..]), ("空#part", b"")] {
        let output = get(
            "http_get",
            &[&format!("http://{}/{path}", server.address), saved],
        );
        assert!(output.status.success(), "{output:?}");
        let head = String::from_utf8(output.stdout).unwrap();
        assert!(head.starts_with("HTTP/1.0 200 OK\r\n"), "{head}");
        assert!(head.ends_with("\r\n\r\n"), "{head}");
        assert!(fs::read(saved).unwrap() == content, "{path}");
    }
    let output = get(
        "http_get",
        &[&format!("http://{}/none", server.address), saved],
    );
    assert!(output.stdout.starts_with(b"HTTP/1.0 404 "), "{output:?}");
}

#[test]
fn http_get_sees_the_end_of_a_body_by_every_sign_and_misses_none() {
    let folder = tempfile::tempdir().unwrap();
    let saved = folder.path().join("saved");
    let saved = saved.to_str().unwrap();
    let ok = "HTTP/1.1 200 OK\r\n";
    for (head, body, content) in [
        ("Content-Length: 5\r\n\r\n", "hello", Ok("hello")),
        ("Content-Length: 5\r\n\r\n", "hello and more", Ok("hello")),
        ("Content-Length: 5\r\n\r\n", "hell", Err("body was cut off")),
        ("Content-Length: 0\r\n\r\n", "", Ok("")),
        ("\r\n", "up to the end", Ok("up to the end")),
        (
            "Transfer-Encoding: chunked\r\n\r\n",
            "3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n",
            Ok("hello"),
        ),
        (
            "Transfer-Encoding: chunked\r\n\r\n",
            "5\r\nhello\r\n",
            Err("body was cut off"),
        ),
        ("Transfer-Encoding: chunked\r\n\r\n", "x", Err("chunk")),
        ("Content-Length: 5\r\n", "", Err("head was cut off")),
        ("Content-Length: five\r\n\r\n", "hello", Err("ength")),
    ] {
        let (address, asked) = answer(format!("{ok}{head}{body}").as_bytes());
        let output = get("http_get", &[&format!("http://{address}/空?c=d#e"), saved]);
        let request = asked.join().unwrap();
        let wanted = format!("GET /%E7%A9%BA?c=d HTTP/1.1\r\nHost: {address}\r\n");
        assert!(request.starts_with(&wanted), "{request}");
        match content {
            Ok(content) => {
                assert!(output.status.success(), "{head}{body}: {output:?}");
                assert_eq!(output.stdout, format!("{ok}{head}").as_bytes());
                assert_eq!(fs::read_to_string(saved).unwrap(), content);
            }
            Err(cause) => {
                let error = error(&output);
                assert!(error.contains(cause), "{head}{body}: {error}");
            }
        }
    }
}

#[test]
fn http_get_waits_for_the_final_response_and_prints_its_head() {
    let folder = tempfile::tempdir().unwrap();
    let saved = folder.path().join("saved");
    let saved = saved.to_str().unwrap();
    let hints = "HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n";
    let ok = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n";
    for interim in ["HTTP/1.1 100 Continue\r\n\r\n", hints, &hints.repeat(3)] {
        let (address, asked) = answer(format!("{interim}{ok}hello").as_bytes());
        let output = get("http_get", &[&format!("http://{address}/"), saved]);
        asked.join().unwrap();
        assert!(output.status.success(), "{interim}: {output:?}");
        assert_eq!(output.stdout, ok.as_bytes(), "{interim}");
        assert_eq!(fs::read_to_string(saved).unwrap(), "hello");

        let (address, asked) = answer(interim.as_bytes());
        let output = get("http_get", &[&format!("http://{address}/"), saved]);
        asked.join().unwrap();
        assert!(error(&output).contains("head was cut off"), "{interim}");
    }
}

#[test]
fn gopher_get_prints_menus_and_texts_as_text_and_the_rest_as_it_is() {
    for (selector, sent, printed) in [
        (
            None,
            &b"iHi\t\tx\t1\r\n0A\t/a\tx\t70\r\n.\r\n"[..],
            &b"iHi\t\tx\t1\n0A\t/a\tx\t70\n"[..],
        ),
        (Some("/text"), b"one\r\n..two\r\n.\r\n", b"one\n.two\n"),
        (Some("/空"), b".\r\n", b""),
        (Some("/picture"), b"\xff\xd8\r\n..\0", b"\xff\xd8\r\n..\0"),
        (Some("/find\twhat is sought"), b"", b""),
    ] {
        let (address, asked) = answer(sent);
        let arguments: Vec<_> = [Some(&address[..]), selector]
            .into_iter()
            .flatten()
            .collect();
        let output = get("gopher_get", &arguments);
        assert!(output.status.success(), "{output:?}");
        assert_eq!(
            output.stdout.escape_ascii().to_string(),
            printed.escape_ascii().to_string()
        );
        assert_eq!(
            asked.join().unwrap(),
            format!("{}\r\n", selector.unwrap_or(""))
        );
    }
}

#[test]
fn the_clients_say_what_is_wrong() {
    // Taken and closed again, so that nobody listens there.
    let nobody = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let file = "/dev/null";
    for (name, arguments, cause) in [
        ("gopher_get", &[][..], "usage"),
        ("gopher_get", &["127.0.0.1:1", "a\r\nb"], "NotGopher"),
        ("gopher_get", &[&nobody.to_string()], "refused"),
        ("http_get", &["http://127.0.0.1/"], "usage"),
        ("http_get", &["https://127.0.0.1/", file], "usage"),
        ("http_get", &["http://127.0.0.1/a b", file], "usage"),
        ("http_get", &["http://127.0.0.1/\r\n", file], "usage"),
        ("http_get", &[&format!("http://{nobody}"), file], "refused"),
    ] {
        let error = error(&get(name, arguments));
        assert!(error.contains(cause), "{name} {arguments:?}: {error}");
    }
}
