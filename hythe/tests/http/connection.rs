//! How long a connection lasts, and in which order it is answered.

use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::thread;

use super::common::http::{Client, get, request};
use super::common::{Served, connect, content, eventually, exchange};
use super::serve;

/// The ways to run the server that differ in how they wait.
pub(crate) const WAYS: [&[&str]; 8] = [
    &["--model", "cores"],
    &["--model", "events"],
    &["--model", "events", "--mux", "epoll-level"],
    &["--model", "events", "--mux", "poll"],
    &["--model", "events", "--mux", "select"],
    &["--model", "threads"],
    &["--model", "forks"],
    &["--model", "sequential"],
];

/// Tests each way, all at the same time.
pub(crate) fn each_way(test: impl Fn(&[&str]) + Sync) {
    thread::scope(|scope| {
        for way in WAYS {
            let test = &test;
            scope.spawn(move || test(way));
        }
    });
}

#[test]
fn the_connection_lasts_as_the_client_asks() {
    let (_folder, served) = serve(&[("a.txt", b"a")], &[]);
    let table: &[(&str, &str, Option<&str>)] = &[
        ("HTTP/1.1", "", None),
        ("HTTP/1.1", "Connection: keep-alive\r\n", None),
        ("HTTP/1.1", "Connection: close\r\n", Some("close")),
        ("HTTP/1.1", "Connection: foo, CLOSE\r\n", Some("close")),
        (
            "HTTP/1.1",
            "Connection: foo\r\nConnection: close\r\n",
            Some("close"),
        ),
        (
            "HTTP/1.1",
            "Connection: keep-alive, close\r\n",
            Some("close"),
        ),
        ("HTTP/1.1", "Connection: closed\r\n", None),
        ("HTTP/1.0", "", Some("close")),
        ("HTTP/1.0", "Connection: close\r\n", Some("close")),
        ("HTTP/1.0", "Connection: Keep-Alive\r\n", Some("keep-alive")),
        // Whatever comes after 1.1 is answered in 1.1.
        ("HTTP/1.2", "", None),
        ("HTTP/1.9", "Connection: close\r\n", Some("close")),
    ];
    for target in ["/a.txt", "/nothing", "/a.txt?query"] {
        for (version, fields, expected) in table {
            let shown = format!("{version} {target} {fields:?}");
            let mut client = Client::new(served.address("http"));
            let head = format!("GET {target} {version}\r\nHost: quay\r\n{fields}\r\n");
            client.send(head.as_bytes());
            assert_eq!(
                client.reply("GET").field("Connection"),
                *expected,
                "{shown}"
            );
            if *expected == Some("close") {
                assert!(client.has_ended(), "{shown}");
            } else {
                assert_eq!(client.ask("GET", "/a.txt", &[]).body, b"a", "{shown}");
            }
        }
    }
}

#[test]
fn in_http_1_0_what_has_no_length_ends_with_the_connection() {
    let (_folder, served) = serve(&[("a.txt", b"a")], &[]);
    for query in ["json", "html", "zip", "tar"] {
        let mut client = Client::new(served.address("http"));
        let head = format!("GET /?{query} HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
        client.send(head.as_bytes());
        let reply = client.reply("GET");
        assert!(reply.closes(), "{query}");
        assert_eq!(reply.field("Transfer-Encoding"), None, "{query}");
        let modern = client_body(&served, query);
        assert_eq!(reply.body.len(), modern.len(), "{query}");
    }
}

fn client_body(served: &Served, query: &str) -> Vec<u8> {
    Client::new(served.address("http"))
        .ask("GET", &format!("/?{query}"), &[])
        .body
}

#[test]
fn pipelined_requests_are_answered_in_their_order() {
    each_way(|way| {
        let (_folder, served) = serve(
            &[
                ("a.txt", b"a"),
                ("b.txt", b"b"),
                ("folder/c.txt", b"c"),
                ("big.bin", &[7; 300_000]),
            ],
            way,
        );
        let table = [
            ("GET", "/a.txt", 200, Some("a")),
            ("GET", "/nothing", 404, None),
            ("GET", "/big.bin", 200, None),
            ("HEAD", "/b.txt", 200, Some("")),
            ("GET", "/?json", 200, None),
            ("GET", "/a.txt", 200, Some("a")),
            ("GET", "/folder", 308, None),
            ("POST", "/a.txt", 405, None),
            ("GET", "/b.txt", 200, Some("b")),
            ("OPTIONS", "*", 204, Some("")),
            ("GET", "/folder/c.txt", 200, Some("c")),
        ];
        let mut client = Client::new(served.address("http"));
        let mut all = Vec::new();
        for _ in 0..3 {
            for (method, target, ..) in table {
                all.extend(request(method, target, &[]));
            }
        }
        client.send(&all);
        for (method, target, status, body) in table.iter().cycle().take(3 * table.len()) {
            let reply = client.reply(method);
            assert_eq!(reply.status, *status, "{way:?} {method} {target}");
            if let Some(body) = body {
                assert_eq!(reply.text(), *body, "{way:?} {method} {target}");
            }
        }
        client.finish();
        assert!(client.has_ended());
    });
}

#[test]
fn a_thousand_requests_in_one_write_are_all_answered() {
    each_way(|way| {
        let (_folder, served) = serve(&[("a.txt", b"a"), ("b.txt", &[b'b'; 5000])], way);
        let pair = [request("GET", "/a.txt", &[]), request("GET", "/b.txt", &[])].concat();
        let mut client = Client::new(served.address("http"));
        // Nothing is read before all is written, so the server is held up in
        // the middle of a reply; hence somebody else writes.
        let mut writer = client.stream().try_clone().unwrap();
        let writing = thread::spawn(move || writer.write_all(&pair.repeat(500)).unwrap());
        for number in 0..500 {
            assert_eq!(client.reply("GET").body, b"a", "{way:?} {number}");
            assert_eq!(client.reply("GET").body, [b'b'; 5000], "{way:?} {number}");
        }
        writing.join().unwrap();
    });
}

#[test]
fn a_request_is_understood_however_it_is_cut() {
    let (_folder, served) = serve(&[("a.txt", b"a")], &[]);
    let text = b"\r\nPOST /a.txt HTTP/1.1\r\nHost: quay\r\nTransfer-Encoding: chunked\r\n\r\n\
        5\r\nhello\r\n0\r\nA: b\r\n\r\nGET /a.txt HTTP/1.1\r\nHost: quay\r\n\r\n";
    for cut in 1..text.len() {
        let mut client = Client::new(served.address("http"));
        client.stream().set_nodelay(true).unwrap();
        client.send(&text[..cut]);
        client.send(&text[cut..]);
        assert_eq!(client.reply("POST").status, 405, "{cut}");
        assert_eq!(client.reply("GET").body, b"a", "{cut}");
    }
    let mut client = Client::new(served.address("http"));
    client.stream().set_nodelay(true).unwrap();
    for byte in text {
        client.send(&[*byte]);
    }
    assert_eq!(client.reply("POST").status, 405);
    assert_eq!(client.reply("GET").body, b"a");
}

#[test]
fn a_client_that_says_nothing_more_still_gets_its_replies() {
    let (_folder, served) = serve(&[("a.txt", b"a"), ("big.bin", &content(3_000_000))], &[]);
    let mut client = Client::new(served.address("http"));
    client.send(
        &[
            request("GET", "/big.bin", &[]),
            request("GET", "/a.txt", &[]),
        ]
        .concat(),
    );
    client.finish();
    assert_eq!(client.reply("GET").body, content(3_000_000));
    assert_eq!(client.reply("GET").body, b"a");
    assert!(client.has_ended());
}

#[test]
fn half_a_request_and_its_end_is_no_request() {
    let (_folder, served) = serve(&[("a.txt", b"a")], &[]);
    for half in ["", "\r\n", "GET", "GET /a.txt HTTP/1.1\r\nHost: quay\r\n"] {
        let mut client = Client::new(served.address("http"));
        client.send(half.as_bytes());
        client.finish();
        assert!(client.has_ended(), "{half:?}");
    }
}

/// The reply must not be lost to a reset because of what was not read.
#[test]
fn the_reply_to_a_refused_request_arrives_though_megabytes_follow() {
    each_way(|way| {
        let (_folder, served) = serve(&[], way);
        for (head, status) in [
            (
                "POST / HTTP/1.1\r\nHost: quay\r\nContent-Length: 10000000\r\n\r\n",
                405,
            ),
            ("POST / HTTP/1.1\r\nContent-Length: 10000000\r\n\r\n", 400),
            (
                "BREW / HTTP/1.1\r\nHost: quay\r\nContent-Length: 10000000\r\n\r\n",
                501,
            ),
            (
                "POST / HTTP/1.1\r\nHost: quay\r\nTransfer-Encoding: chunked\r\n\r\nzz",
                400,
            ),
        ] {
            let mut stream = connect(served.address("http"));
            stream.write_all(head.as_bytes()).unwrap();
            // The server may stop reading at any time; the reply counts.
            let body = vec![b'x'; 10_000_000];
            stream.write_all(&body).ok();
            let mut reply = Vec::new();
            stream.read_to_end(&mut reply).ok();
            let expected = format!("HTTP/1.1 {status} ");
            assert!(reply.starts_with(expected.as_bytes()), "{way:?} {head}");
        }
    });
}

#[test]
fn a_connection_without_a_word_is_closed() {
    each_way(|way| {
        let (_folder, served) = serve(&[("a.txt", b"a")], &[way, &["--idle", "1"]].concat());
        let mut silent = Client::new(served.address("http"));
        assert!(silent.has_ended(), "{way:?}");
        let mut silent = Client::new(served.address("http"));
        assert_eq!(silent.ask("GET", "/a.txt", &[]).body, b"a");
        assert!(silent.has_ended(), "{way:?}");
    });
}

#[test]
fn a_head_that_stalls_is_answered_with_408() {
    each_way(|way| {
        let (_folder, served) = serve(&[("a.txt", b"a")], &[way, &["--idle", "1"]].concat());
        for beginning in ["G", "GET /a.txt HTTP/1.1\r\n", "\r\n"] {
            let mut client = Client::new(served.address("http"));
            client.send(beginning.as_bytes());
            let reply = client.reply("GET");
            assert_eq!(reply.status, 408, "{way:?} {beginning:?}");
            assert!(
                reply.closes() && client.has_ended(),
                "{way:?} {beginning:?}"
            );
        }
    });
}

#[test]
fn a_body_that_stalls_ends_the_connection() {
    let (_folder, served) = serve(&[("a.txt", b"a")], &["--idle", "1"]);
    for body in [
        "Content-Length: 5\r\n\r\nhel",
        "Transfer-Encoding: chunked\r\n\r\n5\r\nhel",
    ] {
        let head = format!("POST /a.txt HTTP/1.1\r\nHost: quay\r\n{body}");
        let reply = exchange(served.address("http"), head.as_bytes());
        // The answer does not wait for it, and it is the only one.
        assert!(
            reply.starts_with(b"HTTP/1.1 405 "),
            "{body}: {}",
            reply.escape_ascii()
        );
        let answers = reply.windows(9).filter(|part| *part == b"HTTP/1.1 ");
        assert_eq!(answers.count(), 1, "{body}");
    }
}

#[test]
fn a_continuation_is_never_asked_for_since_no_body_is_read() {
    let (_folder, served) = serve(&[("a.txt", b"a")], &[]);
    let table = [
        // The final status instead, and no trust in what the client does then.
        (
            "POST",
            "HTTP/1.1",
            "Expect: 100-continue\r\nContent-Length: 5\r\n",
            405,
            true,
        ),
        (
            "POST",
            "HTTP/1.1",
            "Expect: 100-Continue\r\nTransfer-Encoding: chunked\r\n",
            405,
            true,
        ),
        (
            "GET",
            "HTTP/1.1",
            "Expect: 100-continue\r\nContent-Length: 5\r\n",
            200,
            true,
        ),
        ("GET", "HTTP/1.1", "Expect: 100-continue\r\n", 200, false),
        (
            "POST",
            "HTTP/1.1",
            "Expect: 100-continue, 200-ok\r\n",
            417,
            true,
        ),
        ("GET", "HTTP/1.1", "Expect: nothing\r\n", 417, true),
        ("GET", "HTTP/1.0", "Expect: nothing\r\n", 200, true),
    ];
    for (method, version, fields, status, closes) in table {
        let shown = format!("{method} {version} {fields:?}");
        let mut client = Client::new(served.address("http"));
        let head = format!("{method} /a.txt {version}\r\nHost: quay\r\n{fields}\r\n");
        client.send(head.as_bytes());
        let reply = client.reply(method);
        assert_eq!((reply.status, reply.closes()), (status, closes), "{shown}");
        if !closes {
            assert_eq!(client.ask("GET", "/a.txt", &[]).body, b"a", "{shown}");
        }
    }
    // HTTP/1.0 knows no such thing: the body is read without a word.
    let mut client = Client::new(served.address("http"));
    client.send(
        b"POST /a.txt HTTP/1.0\r\nConnection: keep-alive\r\nExpect: 100-continue\r\n\
          Content-Length: 5\r\n\r\n",
    );
    client.send(b"hello");
    assert_eq!(client.reply("POST").status, 405);
    assert_eq!(client.ask("GET", "/a.txt", &[]).body, b"a");
}

#[test]
fn every_descriptor_and_thread_is_given_back() {
    each_way(|way| {
        let (folder, served) = serve(&[("a.txt", b"a"), ("big.bin", &content(3_000_000))], way);
        // What it sets up for itself comes after it has begun to listen.
        get(served.address("http"), "/a.txt", &[]);
        let (mut idle, mut alike) = (held(&served, folder.path()), 0);
        eventually(&format!("{way:?}: what is held settles"), || {
            let now = held(&served, folder.path());
            alike = if now == idle { alike + 1 } else { 0 };
            idle = now;
            alike == 20
        });
        for round in 0..30 {
            let mut client = Client::new(served.address("http"));
            match round % 6 {
                0 => drop(client.ask("GET", "/a.txt", &[])),
                1 => drop(client.ask("GET", "/?json", &[])),
                2 => drop(client.ask("GET", "/big.bin", &[])),
                3 => client.send(&request("GET", "/big.bin", &[])),
                4 => client.send(&request("GET", "/?zip", &[])),
                _ => client.send(b"GET /a.txt HTT"),
            }
        }
        eventually(&format!("{way:?}: held is {idle:?} again"), || {
            held(&served, folder.path()) == idle
        });
        assert_eq!(get(served.address("http"), "/a.txt", &[]).body, b"a");
    });
}

/// What a server holds on behalf of its clients: how many sockets (and those
/// it listens on), files of the share, and threads other than its loops and the
/// pool's, which stay.
fn held(served: &Served, folder: &Path) -> (usize, usize, usize) {
    let process = PathBuf::from(format!("/proc/{}", served.child.id()));
    let descriptors = fs::read_dir(process.join("fd")).unwrap();
    let links: Vec<_> = descriptors
        .filter_map(|entry| fs::read_link(entry.ok()?.path()).ok())
        .collect();
    let is_socket = |link: &&PathBuf| link.to_string_lossy().starts_with("socket:");
    let sockets = links.iter().filter(is_socket).count();
    // The folder itself is open all the time.
    let files = links.iter().filter(|link| link.parent() == Some(folder));
    let tasks = fs::read_dir(process.join("task")).unwrap();
    let names = tasks.filter_map(|entry| fs::read_to_string(entry.ok()?.path().join("comm")).ok());
    let is_idle = |name: &String| {
        ["hythe", "log", "loop-", "blocking-"]
            .iter()
            .any(|known| name.starts_with(known))
    };
    (
        sockets,
        files.count(),
        names.filter(|name| !is_idle(name)).count(),
    )
}
