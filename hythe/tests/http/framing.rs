//! Where a message ends: what is ambiguous or malformed is refused, and nothing
//! that follows it is believed to be a request.

use super::common::http::Client;
use super::serve;

/// Sent after every request that is to be refused: who answers it was deceived
/// about where the first one ends.
const SMUGGLED: &[u8] = b"GET /secret.txt HTTP/1.1\r\nHost: quay\r\n\r\n";

/// Sends each, followed by another request, and wants one reply with this
/// status and the end of the connection.
#[track_caller]
fn refuses(cases: &[(&[u8], u16)]) {
    let (_folder, served) = serve(&[("secret.txt", b"secret")], &[]);
    for (request, status) in cases {
        let shown = request.escape_ascii();
        let mut client = Client::new(served.address("http"));
        client.send(&[request, SMUGGLED].concat());
        let reply = client.reply("POST");
        assert_eq!(reply.status, *status, "{shown}: {}", reply.text());
        assert!(reply.closes(), "{shown}");
        assert!(client.has_ended(), "{shown}: a second reply");
    }
}

#[test]
fn an_ambiguous_length_is_refused() {
    let head = |fields: &str| {
        format!("POST / HTTP/1.1\r\nHost: quay\r\n{fields}\r\n\r\n0\r\n\r\n").into_bytes()
    };
    let table = [
        ("Content-Length: 5\r\nTransfer-Encoding: chunked", 400),
        ("Transfer-Encoding: chunked\r\nContent-Length: 5", 400),
        ("Transfer-Encoding: chunked\r\nContent-Length: 0", 400),
        ("Transfer-Encoding: gzip, chunked\r\nContent-Length: 5", 400),
        ("Content-Length: 5\r\nContent-Length: 6", 400),
        ("Content-Length: 5, 6", 400),
        ("Content-Length: 5\r\ncontent-length: 05x", 400),
        ("Content-Length:", 400),
        ("Content-Length: ,", 400),
        ("Content-Length: +5", 400),
        ("Content-Length: -5", 400),
        ("Content-Length: 0x5", 400),
        ("Content-Length: 5 5", 400),
        ("Content-Length: 5;", 400),
        ("Content-Length: 5.0", 400),
        ("Content-Length: \"5\"", 400),
        ("Content-Length: 18446744073709551616", 400),
        (
            "Content-Length: 99999999999999999999999999999999999999",
            400,
        ),
        ("Transfer-Encoding:", 400),
        ("Transfer-Encoding: ,", 400),
        ("Transfer-Encoding: identity", 400),
        ("Transfer-Encoding: gzip", 400),
        ("Transfer-Encoding: xchunked", 400),
        ("Transfer-Encoding: \"chunked\"", 400),
        ("Transfer-Encoding: chunked, gzip", 400),
        ("Transfer-Encoding: chunked, chunked", 400),
        (
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
            400,
        ),
        (
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
            400,
        ),
        ("Transfer-Encoding: gzip, chunked", 501),
        ("Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked", 501),
        ("Transfer-Encoding: \x0bchunked", 400),
    ];
    let cases: Vec<_> = table
        .iter()
        .map(|(fields, status)| (head(fields), *status))
        .collect();
    let cases: Vec<_> = cases
        .iter()
        .map(|(head, status)| (head.as_slice(), *status))
        .collect();
    refuses(&cases);
}

#[test]
fn chunked_coding_is_refused_in_http_1_0() {
    refuses(&[
        (b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (
            b"POST / HTTP/1.0\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            400,
        ),
    ]);
}

#[test]
fn malformed_chunks_are_refused() {
    let bodies: [&[u8]; 18] = [
        b"\r\n",
        b"G\r\n",
        b"-5\r\nhello\r\n0\r\n\r\n",
        b"+5\r\nhello\r\n0\r\n\r\n",
        b"0x5\r\nhello\r\n0\r\n\r\n",
        b" 5\r\nhello\r\n0\r\n\r\n",
        b"5 \r\nhello\r\n0\r\n\r\n",
        b"5\nhello\r\n0\r\n\r\n",
        b"5\rhello\r\n0\r\n\r\n",
        b"5\r\nhello0\r\n\r\n",
        b"5\r\nhello\n0\r\n\r\n",
        b"5\r\nhello\r0\r\n\r\n",
        b"5\r\nhelloo\r\n0\r\n\r\n",
        b"5;a=\x01\r\nhello\r\n0\r\n\r\n",
        b"5;a=\n\r\nhello\r\n0\r\n\r\n",
        b"00000000000000005\r\nhello\r\n0\r\n\r\n",
        b"10000000000000000\r\nhello\r\n0\r\n\r\n",
        b"0\r\n : bad trailer\r\n\r\n",
    ];
    let head = b"POST / HTTP/1.1\r\nHost: quay\r\nTransfer-Encoding: chunked\r\n\r\n";
    let requests: Vec<_> = bodies
        .iter()
        .map(|body| [&head[..], body].concat())
        .collect();
    let cases: Vec<_> = requests
        .iter()
        .map(|request| (request.as_slice(), 400))
        .collect();
    refuses(&cases);
}

#[test]
fn malformed_heads_are_refused() {
    refuses(&[
        // Fields.
        (b"GET / HTTP/1.1\r\nHost: quay\r\nA: b\rc\r\n\r\n", 400),
        (
            b"GET / HTTP/1.1\r\nHost: quay\r\nA: b\r\rContent-Length: 9\r\n\r\n",
            400,
        ),
        (b"GET / HTTP/1.1\r\nHost: quay\r\nA: b\0c\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: quay\r\nA\0: b\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: quay\r\nA: b\x7fc\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost : quay\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost\t: quay\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n Host: quay\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: quay\r\nA: b\r\n c\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: quay\r\nA: b\r\n\tc\r\n\r\n", 400),
        (
            b"GET / HTTP/1.1\r\nHost: quay\r\nContent-Length : 5\r\n\r\n",
            400,
        ),
        (
            b"GET / HTTP/1.1\r\nHost: quay\r\nContent_Length\x01: 5\r\n\r\n",
            400,
        ),
        (b"GET / HTTP/1.1\r\nHost: quay\r\nno colon\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: quay\r\n: no name\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: quay\r\n\xc3\xa9: b\r\n\r\n", 400),
        (
            b"GET / HTTP/1.1\r\nHost: quay\r\nRange: bytes=0-\r\nRange: bytes=1-\r\n\r\n",
            400,
        ),
        // Request lines.
        (b"GET  / HTTP/1.1\r\nHost: quay\r\n\r\n", 400),
        (b"GET\t/ HTTP/1.1\r\nHost: quay\r\n\r\n", 400),
        (b"GET /a b HTTP/1.1\r\nHost: quay\r\n\r\n", 400),
        (b"GET / HTTP/1.1 \r\nHost: quay\r\n\r\n", 400),
        (b"GET / \r\nHost: quay\r\n\r\n", 400),
        (b"GET /\r\nHost: quay\r\n\r\n", 400),
        (b"GET\r\nHost: quay\r\n\r\n", 400),
        (b"GET /a\0b HTTP/1.1\r\nHost: quay\r\n\r\n", 400),
        (b"GET /a\rb HTTP/1.1\r\nHost: quay\r\n\r\n", 400),
        (b"GET /#fragment HTTP/1.1\r\nHost: quay\r\n\r\n", 400),
        (b"G(T / HTTP/1.1\r\nHost: quay\r\n\r\n", 400),
        (b"GET relative HTTP/1.1\r\nHost: quay\r\n\r\n", 400),
        (b"GET ../up HTTP/1.1\r\nHost: quay\r\n\r\n", 400),
        (b"GET * HTTP/1.1\r\nHost: quay\r\n\r\n", 400),
        (b"GET ftp://quay/ HTTP/1.1\r\nHost: quay\r\n\r\n", 400),
        (
            b"GET file:///etc/passwd HTTP/1.1\r\nHost: quay\r\n\r\n",
            400,
        ),
        (
            b"GET http:///secret.txt HTTP/1.1\r\nHost: quay\r\n\r\n",
            400,
        ),
        (b"GET http://user@quay/ HTTP/1.1\r\nHost: quay\r\n\r\n", 400),
        // Another protocol altogether, which would never send an empty line.
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
        (b"\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: quay\r\n\r\n", 400),
        (b"\0", 400),
    ]);
}

#[test]
fn versions_that_are_none_or_not_ours_are_refused() {
    refuses(&[
        (b"GET / HTTP/0.9\r\nHost: quay\r\n\r\n", 505),
        (b"GET / HTTP/2.0\r\nHost: quay\r\n\r\n", 505),
        (b"GET / HTTP/3.0\r\nHost: quay\r\n\r\n", 505),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
        (b"GET / http/1.1\r\nHost: quay\r\n\r\n", 400),
        (b"GET / HTTP/1\r\nHost: quay\r\n\r\n", 400),
        (b"GET / HTTP/1.10\r\nHost: quay\r\n\r\n", 400),
        (b"GET / HTTP/11\r\nHost: quay\r\n\r\n", 400),
        (b"GET / HTTP/a.b\r\nHost: quay\r\n\r\n", 400),
        (b"GET / HTTPS/1.1\r\nHost: quay\r\n\r\n", 400),
    ]);
}

#[test]
fn a_host_that_is_missing_repeated_or_invalid_is_refused() {
    refuses(&[
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET http://quay/ HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: quay\r\nHost: quay\r\n\r\n", 400),
        (b"GET / HTTP/1.0\r\nHost: quay\r\nHost: other\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: quay/path\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: user@quay\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: quay?\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: :80\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: quay:port\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: quay:65536\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: quay:80:80\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: [quay]\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: ::1\r\n\r\n", 400),
        (b"GET / HTTP/1.0\r\nHost: a b\r\n\r\n", 400),
    ]);
}

#[test]
fn every_form_of_target_and_host_is_understood() {
    let (_folder, served) = serve(&[("a.txt", b"a")], &[]);
    let table = [
        ("/a.txt", "Host: quay"),
        ("/a.txt", "Host: quay:8000"),
        ("/a.txt", "Host: quay:"),
        ("/a.txt", "Host:"),
        ("/a.txt", "Host: 127.0.0.1:80"),
        ("/a.txt", "Host: [::1]"),
        ("/a.txt", "Host: [::1]:8000"),
        ("/a.txt", "hOsT:quay\t"),
        ("http://quay/a.txt", "Host: other"),
        ("http://quay:80/a.txt", "Host: other"),
        ("https://quay/a.txt", "Host: quay"),
        ("HTTP://QUAY/a.txt?query", "Host: quay"),
        ("/a.txt?query", "Host: quay"),
        ("/a.txt?", "Host: quay"),
    ];
    for (target, host) in table {
        let mut client = Client::new(served.address("http"));
        client.send(format!("GET {target} HTTP/1.1\r\n{host}\r\n\r\n").as_bytes());
        assert_eq!(client.reply("GET").body, b"a", "{target} {host}");
    }
    for target in ["http://quay", "http://quay?x", "http://quay/?json"] {
        let reply = Client::new(served.address("http")).ask("GET", target, &[]);
        assert_eq!(reply.status, 200, "{target}");
    }
}

#[test]
fn line_ends_are_tolerated_as_the_standard_allows() {
    let (_folder, served) = serve(&[("a.txt", b"a")], &[]);
    for request in [
        &b"GET /a.txt HTTP/1.1\nHost: quay\n\n"[..],
        b"\r\nGET /a.txt HTTP/1.1\r\nHost: quay\r\n\r\n",
        b"\r\n\r\nGET /a.txt HTTP/1.1\r\nHost: quay\r\n\r\n",
        b"\n\nGET /a.txt HTTP/1.1\r\nHost: quay\n\r\n",
    ] {
        let mut client = Client::new(served.address("http"));
        client.send(request);
        assert_eq!(client.reply("GET").body, b"a", "{}", request.escape_ascii());
        assert_eq!(client.ask("GET", "/a.txt", &[]).body, b"a");
    }
}

#[test]
fn after_a_body_that_nobody_wants_the_next_request_is_found() {
    let (_folder, served) = serve(&[("a.txt", b"a")], &[]);
    let long = format!("Content-Length: 65536\r\n\r\n{}", "x".repeat(65536));
    let chunks = format!(
        "Transfer-Encoding: chunked\r\n\r\n{}0\r\n\r\n",
        "A\r\n0123456789\r\n".repeat(1000)
    );
    for body in [
        "Content-Length: 0\r\n\r\n",
        "Content-Length: 5\r\n\r\nhello",
        "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
        "Content-Length: 5, 5\r\n\r\nhello",
        "Content-Length: 00005\r\n\r\nhello",
        "Content-Length: 35\r\n\r\nGET /nothing.txt HTTP/1.1\r\nA: b\r\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "Transfer-Encoding: Chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        "transfer-encoding:chunked\r\n\r\n5;a=b;c=\"d\"\r\nhello\r\n000\r\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\n0\r\nContent-Length: 1000\r\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\n0\r\nTransfer-Encoding: gzip\r\nHost: a b\r\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\n5\r\nGET /\r\n0\r\n\r\n",
        &long,
        &chunks,
    ] {
        let shown = &body[..body.len().min(100)];
        for (method, status) in [("POST", 405), ("PUT", 405), ("GET", 200), ("OPTIONS", 204)] {
            let mut client = Client::new(served.address("http"));
            client.send(format!("{method} /a.txt HTTP/1.1\r\nHost: quay\r\n{body}").as_bytes());
            client.send(b"GET /a.txt?next HTTP/1.1\r\nHost: quay\r\n\r\n");
            let reply = client.reply(method);
            assert_eq!(reply.status, status, "{method} {shown}");
            assert!(!reply.closes(), "{method} {shown}");
            assert_eq!(client.reply("GET").body, b"a", "{method} {shown}");
        }
    }
}

#[test]
fn a_body_too_long_to_be_skipped_ends_the_connection_after_the_reply() {
    let (_folder, served) = serve(&[("a.txt", b"a")], &[]);
    let chunks = format!(
        "Transfer-Encoding: chunked\r\n\r\n{}0\r\n\r\n",
        "1\r\nx\r\n".repeat(20_000)
    );
    for body in [
        format!("Content-Length: 65537\r\n\r\n{}", "x".repeat(65537)),
        "Content-Length: 18446744073709551615\r\n\r\nx".to_owned(),
        chunks,
    ] {
        let mut client = Client::new(served.address("http"));
        client.send(format!("POST /a.txt HTTP/1.1\r\nHost: quay\r\n{body}").as_bytes());
        client.send(SMUGGLED);
        let reply = client.reply("POST");
        assert_eq!(reply.status, 405);
        assert!(reply.closes());
        assert!(client.has_ended());
    }
}
