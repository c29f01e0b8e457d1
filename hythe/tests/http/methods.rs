//! What may be asked, and how much of it.

use std::fs;

use super::common::http::{Client, Reply, get, request};
use super::common::{Served, content};
use super::{serve, write};

#[test]
fn methods_that_would_change_something_are_not_allowed() {
    let (folder, served) = serve(&[("a.txt", b"a")], &[]);
    for method in ["PUT", "POST", "DELETE", "PATCH", "MKCOL", "MOVE", "COPY"] {
        for target in ["/a.txt", "/new.txt", "/", "/../x"] {
            let fields = ["Destination: /b.txt", "Content-Length: 5"];
            let mut client = Client::new(served.address("http"));
            client.send(&request(method, target, &fields));
            client.send(b"hello");
            let reply = client.reply(method);
            assert_eq!(reply.status, 405, "{method} {target}");
            assert_eq!(
                reply.field("Allow"),
                Some("GET, HEAD, OPTIONS"),
                "{method} {target}"
            );
            assert_eq!(
                client.ask("GET", "/a.txt", &[]).body,
                b"a",
                "{method} {target}"
            );
        }
    }
    let names: Vec<_> = fs::read_dir(folder.path()).unwrap().collect();
    assert_eq!(names.len(), 1);
}

#[test]
fn unknown_methods_are_not_implemented() {
    let (_folder, served) = serve(&[("a.txt", b"a")], &[]);
    for (method, target) in [
        ("BREW", "/a.txt"),
        ("get", "/a.txt"),
        ("GETT", "/a.txt"),
        ("TRACE", "/a.txt"),
        ("CONNECT", "/a.txt"),
        ("CONNECT", "quay:80"),
        ("PROPFIND", "/"),
        ("!#$%&'*+-.^_`|~", "/"),
    ] {
        let reply = Client::new(served.address("http")).ask(method, target, &["Secret: yes"]);
        assert_eq!(reply.status, 501, "{method}");
        assert!(
            !reply.text().contains("Secret"),
            "{method} echoes the request"
        );
    }
}

#[test]
fn options_tells_what_is_allowed() {
    let (_folder, served) = serve(&[("a.txt", b"a")], &[]);
    let mut client = Client::new(served.address("http"));
    for target in [
        "*",
        "/",
        "/a.txt",
        "/nothing",
        "http://quay",
        "http://quay/a.txt",
    ] {
        let reply = client.ask("OPTIONS", target, &[]);
        assert_eq!(reply.status, 204, "{target}");
        assert_eq!(reply.field("Allow"), Some("GET, HEAD, OPTIONS"), "{target}");
    }
}

#[test]
fn head_is_get_without_the_body() {
    let (folder, served) = serve(
        &[
            ("a.txt", "来 ".repeat(1000).as_bytes()),
            ("page.html", b"<p>"),
            ("empty", b""),
            ("picture.png", b"\x89PNG"),
            ("big.bin", &content(200_000)),
            ("pre.css", b"a{}"),
            ("pre.css.gz", b"\x1f\x8b"),
            ("folder/b.txt", b"b"),
        ],
        &["--index"],
    );
    write(&folder.path().join("folder/index.html"), b"<p>index");
    super::date(&folder.path().join("a.txt"), 1_000_000_000);
    let later = "If-Modified-Since: Fri, 01 Jan 2021 00:00:00 GMT";
    let field_sets: [&[&str]; 8] = [
        &[],
        &["Accept-Encoding: gzip"],
        &["Accept-Encoding: br, gzip", "Accept: text/html"],
        &["Accept: application/json"],
        &["Accept: text/html"],
        &["If-Match: \"other\""],
        &["If-None-Match: *"],
        &[later],
    ];
    let targets = [
        "/a.txt",
        "/a.txt?download",
        "/page.html",
        "/empty",
        "/picture.png",
        "/big.bin",
        "/pre.css",
        "/",
        "/?json",
        "/?html",
        "/?zip",
        "/?tar",
        "/folder",
        "/folder/",
        "/nothing",
        "/a.txt/",
        "/%00",
        "/%2f",
    ];
    for target in targets {
        for fields in field_sets {
            let shown = format!("{target} {fields:?}");
            // Several times, so that the ready bytes have their say as well.
            let mut client = Client::new(served.address("http"));
            for round in 0..3 {
                let head = client.ask("HEAD", target, fields);
                let whole = client.ask("GET", target, fields);
                assert_eq!(head.status, whole.status, "{shown} {round}");
                assert_eq!(
                    head.lasting_fields(),
                    whole.lasting_fields(),
                    "{shown} {round}"
                );
                assert!(head.body.is_empty());
                length_is_true(&whole, &shown);
            }
        }
    }
}

fn length_is_true(reply: &Reply, shown: &str) {
    if let Some(length) = reply.field("Content-Length") {
        assert_eq!(length, reply.body.len().to_string(), "{shown}");
    }
}

#[test]
fn head_knows_no_ranges() {
    let (_folder, served) = serve(&[("a.txt", &[b'a'; 1000]), ("b.bin", &[b'b'; 1000])], &[]);
    for target in ["/a.txt", "/b.bin"] {
        for coding in ["identity", "gzip"] {
            let coding = format!("Accept-Encoding: {coding}");
            for range in ["bytes=0-9", "bytes=0-1,5-6", "bytes=5000-", "bytes=-0"] {
                let mut client = Client::new(served.address("http"));
                let plain = client.ask("HEAD", target, &[&coding]);
                let ranged = client.ask("HEAD", target, &[&coding, &format!("Range: {range}")]);
                assert_eq!(ranged.status, 200, "{target} {range}");
                assert_eq!(
                    ranged.lasting_fields(),
                    plain.lasting_fields(),
                    "{target} {coding} {range}"
                );
            }
        }
    }
}

#[test]
fn a_request_line_may_be_8192_bytes_long() {
    let (_folder, served) = serve(&[("a.txt", b"a")], &[]);
    let around = "GET /a.txt? HTTP/1.1\r\n".len();
    for (length, status) in [(8191, 200), (8192, 200), (8193, 414), (100_000, 414)] {
        let target = format!("/a.txt?{}", "q".repeat(length - around));
        assert_eq!(
            get(served.address("http"), &target, &[]).status,
            status,
            "{length}"
        );
    }
    // Refused before its end, which may never come.
    let mut client = Client::new(served.address("http"));
    client.send(format!("GET /{}", "q".repeat(8192)).as_bytes());
    assert_eq!(client.reply("GET").status, 414);
    assert!(client.has_ended());
}

#[test]
fn a_head_may_be_32768_bytes_long() {
    let (_folder, served) = serve(&[("a.txt", b"a")], &[]);
    let bare = request("GET", "/a.txt", &["Long: "]).len();
    for (length, status) in [(32767, 200), (32768, 200), (32769, 431), (100_000, 431)] {
        let field = format!("Long: {}", "v".repeat(length - bare));
        assert_eq!(
            get(served.address("http"), "/a.txt", &[&field]).status,
            status,
            "{length}"
        );
    }
    let mut client = Client::new(served.address("http"));
    client.send(format!("GET / HTTP/1.1\r\nLong: {}", "v".repeat(32768)).as_bytes());
    assert_eq!(client.reply("GET").status, 431);
    assert!(client.has_ended());
}

#[test]
fn a_head_may_have_64_fields() {
    let (_folder, served) = serve(&[("a.txt", b"a")], &[]);
    for (count, status) in [(63, 200), (64, 200), (65, 431), (1000, 431)] {
        let more = vec!["A: b"; count - 1];
        assert_eq!(
            get(served.address("http"), "/a.txt", &more).status,
            status,
            "{count}"
        );
    }
}

#[test]
fn a_path_may_be_as_long_as_a_file_system_allows() {
    let (folder, served) = serve(&[], &[]);
    let longest = "n".repeat(255);
    write(&folder.path().join(&longest), b"long");
    let escaped = "%6E".repeat(255);
    let deep = "/d".repeat(2047);
    for (target, status) in [
        (format!("/{longest}"), 200),
        (format!("/{escaped}"), 200),
        (format!("/{longest}n"), 400),
        (format!("/{escaped}n"), 400),
        (deep.clone(), 404),
        (format!("{deep}/d"), 404),
        (format!("{deep}/ddd"), 400),
        ("/..".repeat(2000), 200),
        ("/.".repeat(4000), 200),
        ("/".repeat(8000), 200),
    ] {
        let reply = get(served.address("http"), &target, &[]);
        assert_eq!(
            reply.status,
            status,
            "{} bytes: {}",
            target.len(),
            &target[..10]
        );
    }
}

#[test]
fn nothing_is_allowed_where_nothing_is_allowed() {
    let folder = tempfile::tempdir().unwrap();
    write(&folder.path().join("a.txt"), b"secret");
    let served = Served::http(folder.path(), &["--allow", "none"]);
    for target in [
        "/",
        "/a.txt",
        "/nothing",
        "/?json",
        "/?zip",
        "/?tar",
        "/a.txt?download",
    ] {
        for method in ["GET", "HEAD"] {
            let reply = Client::new(served.address("http")).ask(method, target, &[]);
            assert_eq!(reply.status, 403, "{method} {target}");
            assert!(!reply.text().contains("secret"));
        }
    }
}
