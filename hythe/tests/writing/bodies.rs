//! Bodies: when they are asked for, how they are taken in, and what is left of
//! one that ends too soon.

use std::io::Write;
use std::net::TcpStream;
use std::time::Duration;
use std::{fs, thread};

use super::common::http::{Client, request};
use super::common::{connect, content, eventually};
use super::{ask, parts, serve, tree};

#[test]
fn who_waits_to_be_told_hears_100_only_if_the_body_is_wanted() {
    let (folder, served) = serve(&[("a", b"a")], &["--allow", "upload"]);
    for (target, length, wanted) in [("/new", 5, true), ("/a", 5, false), ("/x/y", 5, false)] {
        let mut client = Client::new(served.address("http"));
        let length = format!("Content-Length: {length}");
        client.send(&request("PUT", target, &[&length, "Expect: 100-continue"]));
        let first = client.head();
        if wanted {
            assert_eq!(first.status, 100, "{target}");
            client.send(b"hello");
            assert_eq!(client.reply("PUT").status, 201);
        } else {
            assert!((400..500).contains(&first.status), "{target}");
            assert!(first.closes(), "the body may still come: {target}");
        }
    }
    assert_eq!(tree(folder.path()), ["a", "new"]);
}

#[test]
fn who_sends_at_once_is_not_told_to() {
    let (_folder, served) = serve(&[], &["--allow", "upload"]);
    let mut client = Client::new(served.address("http"));
    let mut all = request("PUT", "/a", &["Content-Length: 5", "Expect: 100-continue"]);
    all.extend(b"hello");
    client.send(&all);
    assert_eq!(client.reply("PUT").status, 201);
}

#[test]
fn too_much_is_refused_before_it_is_sent_and_while_it_comes() {
    let (folder, served) = serve(&[], &["--allow", "write", "--max-upload", "1000"]);
    let mut client = Client::new(served.address("http"));
    client.send(&request(
        "PUT",
        "/a",
        &["Content-Length: 1001", "Expect: 100-continue"],
    ));
    let reply = client.reply("PUT");
    assert_eq!(reply.status, 413);
    assert!(reply.text().contains("1000 B"), "{}", reply.text());

    let mut client = Client::new(served.address("http"));
    client.send(&request("PUT", "/a", &["Transfer-Encoding: chunked"]));
    client.send(b"3e8\r\n");
    client.send(&content(1000));
    client.send(b"\r\n1\r\nx\r\n");
    assert_eq!(client.reply("PUT").status, 413);
    assert!(tree(folder.path()).is_empty());
    assert_eq!(ask(&served, "PUT", "/a", &[], &content(1000)).status, 201);
    eventually("the parts are gone", || parts(folder.path()) == 0);
}

#[test]
fn what_is_cut_off_leaves_nothing() {
    let (folder, served) = serve(&[("kept", b"old")], &["--allow", "write"]);
    let chunks = ["Transfer-Encoding: chunked"];
    for (fields, sent) in [
        (&["Content-Length: 1000000"][..], &content(1000)[..]),
        (&["Content-Length: 1000000"], &content(999_999)),
        (&chunks, b""),
        (&chunks, b"5\r\nhello\r\n"),
        (&chunks, b"5\r\nhello\r\n0\r\n"),
        (&chunks, b"5\r\nhello\r\nx\r\n"),
        (&chunks, b"5\r\nhellooo\r\n"),
    ] {
        for target in ["/new", "/kept"] {
            let mut stream: TcpStream = connect(served.address("http"));
            stream.write_all(&request("PUT", target, fields)).unwrap();
            stream.write_all(sent).unwrap();
            eventually("it has begun, or is refused", || {
                parts(folder.path()) > 0 || has_reply(&stream)
            });
            drop(stream);
            eventually("nothing is left", || parts(folder.path()) == 0);
            assert_eq!(tree(folder.path()), ["kept"]);
            assert_eq!(fs::read(folder.path().join("kept")).unwrap(), b"old");
        }
    }
}

/// Whether the server has said something, or ended the connection.
fn has_reply(stream: &TcpStream) -> bool {
    stream.set_nonblocking(true).unwrap();
    let seen = stream.peek(&mut [0]).is_ok();
    stream.set_nonblocking(false).unwrap();
    seen
}

#[test]
fn slow_uploads_hold_up_nobody_and_little_memory() {
    let (folder, served) = serve(&[("a", b"a")], &["--allow", "write"]);
    let address = served.address("http");
    let many = 200;
    let mut slow: Vec<_> = (0..many)
        .map(|number| {
            let mut stream = connect(address);
            let head = request("PUT", &format!("/{number}"), &["Content-Length: 300000"]);
            stream.write_all(&head).unwrap();
            stream.write_all(b"x").unwrap();
            stream
        })
        .collect();
    eventually("all have begun", || parts(folder.path()) == many);
    let before = served.private_memory();
    for round in 0..20 {
        for stream in &mut slow {
            stream.write_all(b"x").unwrap();
        }
        let fast = ask(
            &served,
            "PUT",
            &format!("/fast-{round}"),
            &[],
            &content(500_000),
        );
        assert_eq!(fast.status, 201);
        assert_eq!(super::common::http::get(address, "/a", &[]).body, b"a");
        thread::sleep(Duration::from_millis(10));
    }
    // The threads of the pool and their stacks; a large buffer for each upload
    // would be fifty megabytes.
    let grown = served.private_memory().saturating_sub(before);
    assert!(grown < 24 * 1024, "{grown} KiB more");
    drop(slow);
    eventually("the parts are gone", || parts(folder.path()) == 0);
}

#[test]
fn a_body_that_trickles_in_arrives_whole() {
    let (folder, served) = serve(&[], &["--allow", "write"]);
    let bytes = content(400);
    let mut client = Client::new(served.address("http"));
    client.send(&request("PUT", "/a", &["Content-Length: 400"]));
    for byte in &bytes {
        client.send(&[*byte]);
        thread::sleep(Duration::from_micros(300));
    }
    assert_eq!(client.reply("PUT").status, 201);
    client.send(&request("PUT", "/b", &["Transfer-Encoding: chunked"]));
    for byte in &bytes {
        client.send(b"1\r\n");
        client.send(&[*byte]);
        client.send(b"\r\n");
    }
    client.send(b"0\r\n\r\n");
    assert_eq!(client.reply("PUT").status, 201);
    for name in ["a", "b"] {
        assert_eq!(fs::read(folder.path().join(name)).unwrap(), bytes);
    }
}

#[test]
fn a_peer_that_makes_no_progress_is_given_up() {
    let (folder, served) = serve(&[], &["--allow", "write", "--idle", "1"]);
    let mut client = Client::new(served.address("http"));
    client.send(&request("PUT", "/a", &["Content-Length: 400000"]));
    client.send(b"a");
    eventually("it has begun", || parts(folder.path()) == 1);
    assert_eq!(client.reply("PUT").status, 408);
    eventually("the part is gone", || parts(folder.path()) == 0);
}

#[test]
fn bodies_come_in_under_every_model_and_multiplexer() {
    let bytes = content(2_000_000);
    let models: [&[&str]; 8] = [
        &["--model", "sequential"],
        &["--model", "threads"],
        &["--model", "forks"],
        &["--model", "events", "--mux", "select"],
        &["--model", "events", "--mux", "poll"],
        &["--model", "events", "--mux", "epoll-level"],
        &["--model", "events", "--mux", "epoll-edge"],
        &["--model", "cores"],
    ];
    for model in models {
        let (folder, served) = serve(&[], &[&["--allow", "write"], model].concat());
        let mut client = Client::new(served.address("http"));
        for name in ["/a", "/b"] {
            let reply = super::exchange(&mut client, "PUT", name, &[], &bytes);
            assert_eq!(reply.status, 201, "{model:?}");
        }
        assert!(client.ask("GET", "/a", &[]).body == bytes, "{model:?}");
        drop(client);
        assert_eq!(tree(folder.path()), ["a", "b"]);
    }
}
