//! Requests and answers that two parsers could see differently: none gets through.

use std::sync::{Arc, Mutex};

use super::common::exchange;
use super::common::http::Client;
use super::{Asked, Backend, Front};

/// A backend that takes everything for requests, and keeps what came in lines.
fn witness() -> (Backend, Arc<Mutex<Vec<Asked>>>) {
    Backend::answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
}

#[test]
fn requests_that_are_ambiguous_do_not_get_through() {
    let (backend, asked) = witness();
    let front = Front::of(&backend);
    let smuggled = "0\r\n\r\nGET /api/smuggled HTTP/1.1\r\nHost: q\r\n\r\n";
    let length = smuggled.len();
    for (head, status) in [
        (
            format!("Content-Length: {length}\r\nTransfer-Encoding: chunked"),
            "400",
        ),
        (
            format!("Transfer-Encoding: chunked\r\nContent-Length: {length}"),
            "400",
        ),
        (
            format!("Content-Length: {length}\r\nContent-Length: 0"),
            "400",
        ),
        (format!("Content-Length: {length}, 0"), "400"),
        ("Content-Length: +5".into(), "400"),
        ("Content-Length: -0".into(), "400"),
        ("Content-Length: 0x5".into(), "400"),
        ("Content-Length: 5 5".into(), "400"),
        ("Content-Length: 18446744073709551616".into(), "400"),
        ("Content-Length:".into(), "400"),
        ("Transfer-Encoding: chunked, chunked".into(), "400"),
        ("Transfer-Encoding: chunked, identity".into(), "400"),
        ("Transfer-Encoding: identity".into(), "400"),
        ("Transfer-Encoding: gzip, chunked".into(), "501"),
        ("Transfer-Encoding: xchunked".into(), "400"),
        (
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: x".into(),
            "400",
        ),
        ("Transfer-Encoding : chunked".into(), "400"),
        ("Transfer-Encoding\t: chunked".into(), "400"),
        (" Transfer-Encoding: chunked".into(), "400"),
        ("Transfer-Encoding:\r\n chunked".into(), "400"),
        ("X: y\r\n Transfer-Encoding: chunked".into(), "400"),
        ("X: y\rTransfer-Encoding: chunked".into(), "400"),
        ("X: y\0".into(), "400"),
        ("X\x0b: y".into(), "400"),
        ("Transfer-Encoding: \x0bchunked".into(), "400"),
        ("Host: other".into(), "400"),
        ("X".repeat(40_000), "431"),
    ] {
        let request = format!("POST /api/x HTTP/1.1\r\nHost: q\r\n{head}\r\n\r\n{smuggled}");
        let reply = exchange(front.address(), request.as_bytes());
        let reply = String::from_utf8_lossy(&reply);
        let shown = &head[..head.len().min(60)];
        assert!(
            reply.starts_with(&format!("HTTP/1.1 {status} ")),
            "{shown:?}: {reply}"
        );
        assert_eq!(reply.matches("HTTP/1.1 ").count(), 1, "{shown:?}: {reply}");
    }
    assert!(asked.lock().unwrap().is_empty(), "{asked:?}");
}

/// What is let through is in one form, whatever it was in.
#[test]
fn requests_that_are_strange_come_out_plain() {
    let (backend, asked) = witness();
    let front = Front::of(&backend);
    for (request, lines, body) in [
        (
            "POST /api/x HTTP/1.1\nHost: q\nX:  y \t\nContent-Length: 02\n\nab",
            &["X: y", "Content-Length: 2"][..],
            "ab",
        ),
        (
            "POST /api/x HTTP/1.1\r\nHost: q\r\ntransfer-ENCODING:CHUNKED\r\n\r\n002;a=\"\"\r\nab\r\n000\r\nX: y\r\n\r\n",
            &["Transfer-Encoding: chunked"],
            "ab",
        ),
        // A body that a backend may not expect is framed all the same.
        (
            "GET /api/x HTTP/1.1\r\nHost: q\r\nContent-Length: 2\r\n\r\nab",
            &["Content-Length: 2"],
            "ab",
        ),
        (
            "GET /api/x HTTP/1.1\r\nHost: q\r\nConnection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 2\r\n\r\nab",
            &["Content-Length: 2"],
            "ab",
        ),
    ] {
        let mut client = front.client();
        client.send(request.as_bytes());
        assert_eq!(client.reply("POST").body, b"ok", "{request}");
        let request = asked.lock().unwrap().pop().unwrap();
        assert_eq!(request.body, body.as_bytes());
        for line in lines {
            assert!(
                request.head.iter().any(|head| head == line),
                "{line}: {request:?}"
            );
        }
        assert_eq!(request.field("Upgrade"), None);
        assert_eq!(request.field("Connection"), None);
    }
    let long = "/api/".to_owned() + &"%41".repeat(2000);
    let mut client = front.client();
    assert_eq!(client.ask("GET", &long, &[]).status, 200);
    let request = asked.lock().unwrap().pop().unwrap();
    assert_eq!(request.line(), format!("GET {long} HTTP/1.1"));
}

#[test]
fn bodies_are_not_taken_for_requests() {
    let (backend, asked) = witness();
    let front = Front::of(&backend);
    let inner = "GET /api/smuggled HTTP/1.1\r\nHost: q\r\n\r\n";
    let mut client = front.client();
    for _ in 0..3 {
        let head = format!(
            "POST /api/x HTTP/1.1\r\nHost: q\r\nContent-Length: {}\r\n\r\n",
            inner.len()
        );
        client.send((head + inner).as_bytes());
        assert_eq!(client.reply("POST").body, b"ok");
    }
    let requests = asked.lock().unwrap();
    assert_eq!(requests.len(), 3);
    assert!(
        requests
            .iter()
            .all(|request| request.body == inner.as_bytes())
    );
}

#[test]
fn answers_that_are_ambiguous_do_not_get_through() {
    let long = format!("X: {}", "y".repeat(40_000));
    let many = "X: y\r\n".repeat(200);
    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX: y\r\n folded\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX: y\rSet-Cookie: z\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX: y\0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX : y\r\n\r\n",
        "HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        "HTTP/1.1 20 OK\r\n\r\n",
        "HTTP/1.1 099 OK\r\n\r\n",
        "HTTP/2.0 200 OK\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
        "SSH-2.0-OpenSSH\r\n",
        "hello\r\n\r\n",
        &format!("HTTP/1.1 200 OK\r\n{long}\r\n\r\n"),
        &format!("HTTP/1.1 200 OK\r\n{many}\r\n"),
        &"HTTP/1.1 100 Continue\r\n\r\n".repeat(100),
    ] {
        let answer = answer.to_owned();
        let shown = answer[..answer.len().min(60)].to_owned();
        let backend = Backend::new(move |mut peer| {
            peer.request().unwrap();
            peer.send(answer.as_bytes());
            peer.has_ended();
        });
        let front = Front::of(&backend);
        let mut client = front.client();
        let reply = client.ask("GET", "/api/", &[]);
        assert_eq!(reply.status, 502, "{shown:?}: {}", reply.text());
        // Nobody need know who is behind; the log does.
        assert!(!reply.text().contains("127.0.0.1"), "{}", reply.text());
        assert_eq!(client.ask("GET", "/", &[]).status, 200);
        let log = front.server.stop();
        assert!(
            log.contains(&format!("http://{}", backend.address)),
            "{shown:?}: {log}"
        );
    }
}

/// What comes behind an answer is nobody's.
#[test]
fn one_answer_is_not_followed_by_another() {
    for framing in [
        "Content-Length: 2\r\n\r\nok",
        "Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    ] {
        let answer =
            format!("HTTP/1.1 200 OK\r\n{framing}HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil");
        let (backend, _) = Backend::answering(answer);
        let front = Front::of(&backend);
        let mut client: Client = front.client();
        for _ in 0..3 {
            assert_eq!(client.ask("GET", "/api/", &[]).body, b"ok");
        }
        assert_eq!(backend.connections(), 3);
    }
}
