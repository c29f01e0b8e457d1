//! What comes from servers that are broken, or mean harm.

use std::io::Write as _;

use hythe::client::{Ask, Reason, Remote as _};

use crate::scripted::{Scripted, read_head};
use crate::{fetch, fetch_at_most, get, path, refused, with};

#[test]
fn bodies_that_are_not_what_was_announced_are_errors() {
    for (answer, reason) in [
        // Too short.
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nriver",
            Reason::Lost,
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nriver\r\n",
            Reason::Lost,
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nriv",
            Reason::Lost,
        ),
        // No end in sight.
        ("HTTP/1.1 200 OK\r\nContent-Le", Reason::Lost),
        ("", Reason::Lost),
        // Broken.
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n+5\r\nriver\r\n0\r\n\r\n",
            Reason::Protocol,
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nriverX\r\n0\r\n\r\n",
            Reason::Protocol,
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n",
            Reason::Protocol,
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n5\r\nriver\r\n0\r\n\r\n",
            Reason::Protocol,
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nriver",
            Reason::Protocol,
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nriver",
            Reason::Protocol,
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nriver",
            Reason::Protocol,
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 5\r\n\r\nriver",
            Reason::Protocol,
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Encoding: br\r\nContent-Length: 5\r\n\r\nriver",
            Reason::Protocol,
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Encoding: zstd\r\nContent-Length: 5\r\n\r\nriver",
            Reason::Protocol,
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Encoding: compress\r\nContent-Length: 5\r\n\r\nriver",
            Reason::Unsupported,
        ),
        ("HTTP/2 200\r\n\r\n", Reason::Protocol),
        ("HTTP/1.1 101 Switching\r\n\r\n", Reason::Protocol),
        (
            "HTTP/1.1 206 Part\r\nContent-Range: bytes 0-4/5\r\nContent-Length: 5\r\n\r\nriver",
            Reason::Protocol,
        ),
        ("SSH-2.0-OpenSSH_9.9\r\n", Reason::Protocol),
        ("HTTP/1.1 200 OK\r\nX y: z\r\n\r\n", Reason::Protocol),
    ] {
        let server = Scripted::one(answer);
        let error = refused(&server.url("/a"));
        assert_eq!(error.reason, reason, "{answer:?}: {error}");
    }
}

#[test]
fn chunk_extensions_and_trailers_are_bounded() {
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let fine = format!("{head}5;a=b\r\nriver\r\n0\r\nX: y\r\n\r\n");
    assert_eq!(get(&Scripted::one(fine).url("/")).unwrap().1, b"river");
    let long = "x".repeat(100_000);
    for body in [
        format!("5;{long}\r\nriver\r\n0\r\n\r\n"),
        format!("0\r\nX: {long}\r\n\r\n"),
    ] {
        let error = refused(&Scripted::one(head.to_owned() + &body).url("/"));
        assert_eq!(error.reason, Reason::Protocol, "{error}");
    }
}

#[test]
fn a_head_without_an_end_is_given_up() {
    let server = Scripted::with(2, |index, stream, _| {
        read_head(stream);
        let piece = if index == 0 {
            "X: y\r\n".repeat(1000)
        } else {
            "x".repeat(6000)
        };
        let stream = stream.get_mut();
        stream.write_all(b"HTTP/1.1 200 OK\r\nX: ").unwrap();
        // The client hangs up, sooner or later.
        while stream.write_all(piece.as_bytes()).is_ok() {}
    });
    for _ in 0..2 {
        let error = refused(&server.url("/a"));
        assert_eq!(error.reason, Reason::Protocol, "{error}");
    }
}

#[test]
fn interim_answers_are_skipped_but_not_for_ever() {
    let hints = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n";
    let server = Scripted::one(format!(
        "{hints}HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx"
    ));
    assert_eq!(get(&server.url("/")).unwrap().1, b"x");
    let error = refused(&Scripted::one(hints.repeat(1000)).url("/"));
    assert_eq!(error.reason, Reason::Protocol);
}

#[test]
fn a_body_longer_than_announced_is_cut_and_its_connection_left() {
    let long = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nriverHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil";
    let next = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nquay";
    let server = Scripted::each(&[long, next]);
    with(&server.url("/"), async |client| {
        let ask = Ask::default();
        assert_eq!(fetch(client, "/a", &ask).await.unwrap().1, b"river");
        assert_eq!(fetch(client, "/b", &ask).await.unwrap().1, b"quay");
    });
    assert_eq!(server.seen().len(), 2);
}

#[test]
fn a_kept_connection_that_was_closed_is_opened_again() {
    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx".to_vec();
    let connections = vec![vec![answer.clone(), answer.clone()], vec![answer]];
    let server = Scripted::new(connections);
    with(&server.url("/"), async |client| {
        for at in ["/a", "/b", "/c"] {
            assert_eq!(fetch(client, at, &Ask::default()).await.unwrap().1, b"x");
        }
    });
    assert_eq!(server.seen().len(), 3);
}

#[test]
fn a_request_that_a_closing_server_did_not_hear_is_repeated_once() {
    // The second request is read, and the connection closed.
    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx".to_vec();
    let connections = vec![
        vec![answer.clone(), Vec::new()],
        vec![answer],
        vec![Vec::new()],
    ];
    let server = Scripted::new(connections);
    with(&server.url("/"), async |client| {
        for at in ["/a", "/b"] {
            assert_eq!(fetch(client, at, &Ask::default()).await.unwrap().1, b"x");
        }
        let error = fetch(client, "/c", &Ask::default()).await.unwrap_err();
        assert_eq!(error.reason, Reason::Lost);
    });
    let targets = server.seen();
    let targets: Vec<_> = targets.iter().map(|head| &head[..6]).collect();
    assert_eq!(targets, ["GET /a", "GET /b", "GET /b", "GET /c"]);
}

#[test]
fn a_sink_that_wants_no_more_leaves_the_session_usable() {
    let long = format!(
        "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n{}",
        "x".repeat(100_000)
    );
    let next = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nquay";
    let server = Scripted::each(&[long.as_bytes(), next.as_bytes()]);
    with(&server.url("/"), async |client| {
        let ask = Ask::default();
        let (_, bytes) = fetch_at_most(client, "/a", &ask, Some(10)).await.unwrap();
        assert_eq!(bytes, b"xxxxxxxxxx");
        assert_eq!(fetch(client, "/b", &ask).await.unwrap().1, b"quay");
    });
}

#[test]
fn a_server_that_falls_silent_is_given_up() {
    let server = Scripted::with(2, |index, stream, _| {
        read_head(stream);
        if index == 1 {
            let stream = stream.get_mut();
            stream
                .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nriver")
                .unwrap();
        }
        read_head(stream);
    });
    for _ in 0..2 {
        assert_eq!(refused(&server.url("/")).reason, Reason::Lost);
    }
}

#[test]
fn what_a_server_says_is_harmless_on_a_terminal() {
    for answer in [
        "HTTP/1.1 500 \x1b[2J\x07\u{9b}\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 500 Bad\r\nContent-Type: text/plain\r\nContent-Length: 9\r\n\r\n\x1b]0;x\x07\r\x08\n",
        "HTTP/1.1 302 Found\r\nLocation: gopher://quay/\u{9b}x\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 302 Found\r\nLocation: //quay\u{9b}x/\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Encoding: \u{9b}2J\r\nContent-Length: 0\r\n\r\n",
    ] {
        let error = refused(&Scripted::one(answer).url("/"));
        assert!(!error.text.chars().any(char::is_control), "{error:?}");
    }
}

#[test]
fn listings_name_only_what_is_in_the_folder() {
    let body = r#"<a href="../">Up</a><a href="/etc/passwd">x</a><a href="b%2F..%2Fc">x</a>
        <a href="//evil/pub/d">x</a><a href="..%2f..%2fx">x</a><a href="fine.txt">x</a>"#;
    let html = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let other = "HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nContent-Length: 1\r\n\r\nx";
    let server = Scripted::each(&[html.as_bytes(), other.as_bytes()]);
    with(&server.url("/"), async |client| {
        let entries = client.list(&path("/pub")).await.unwrap();
        let names: Vec<_> = entries.iter().map(|entry| entry.name.clone()).collect();
        assert_eq!(names, [b"fine.txt".to_vec()]);
        assert_eq!(entries[0].path.encoded(), "/pub/fine.txt");
        let error = client.list(&path("/pub")).await.unwrap_err();
        assert_eq!(error.reason, Reason::NotFound);
    });
    assert!(server.seen()[0].starts_with("GET /pub/ HTTP/1.1\r\n"));
}

#[test]
fn a_server_that_only_takes_long_is_not_asked_twice() {
    let server = Scripted::with(2, |_, stream, seen| {
        seen(read_head(stream).unwrap());
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx";
        stream.get_mut().write_all(answer).unwrap();
        seen(read_head(stream).unwrap());
        read_head(stream);
    });
    with(&server.url("/"), async |client| {
        fetch(client, "/a", &Ask::default()).await.unwrap();
        let error = fetch(client, "/b", &Ask::default()).await.unwrap_err();
        assert_eq!(error.reason, Reason::Lost);
    });
    assert_eq!(server.seen().len(), 2);
}
