//! Bodies both ways: their framing, their ends, and the pace of who reads.

use std::io::{ErrorKind, Read as _, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use super::common::http::{Client, request};
use super::common::{connect, content, eventually, exchange, run, tool};
use super::{Backend, Front};

#[test]
fn answers_are_framed_as_the_client_understands_them() {
    let long = "x".repeat(100_000);
    let chunked =
        format!("Transfer-Encoding: chunked\r\n\r\n186a0;x=y\r\n{long}\r\n0\r\nA: b\r\n\r\n");
    for (rest, status, body) in [
        (
            "200 OK\r\nContent-Length: 5\r\n\r\nhello".to_owned(),
            200,
            "hello",
        ),
        (
            format!("200 OK\r\nContent-Length: 100000\r\n\r\n{long}"),
            200,
            &*long,
        ),
        (format!("200 OK\r\n{chunked}"), 200, &*long),
        (
            "200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".into(),
            200,
            "",
        ),
        ("200 OK\r\nContent-Length: 0\r\n\r\n".into(), 200, ""),
        ("204 No Content\r\n\r\n".into(), 204, ""),
        (
            "204 No Content\r\nContent-Length: 5\r\n\r\n".into(),
            204,
            "",
        ),
        ("304 Not Modified\r\nETag: \"x\"\r\n\r\n".into(), 304, ""),
        (
            "404 Whatever\r\nContent-Length: 2\r\n\r\nno".into(),
            404,
            "no",
        ),
        ("200\r\nContent-Length: 2\r\n\r\nok".into(), 200, "ok"),
        // Interim answers are between us and the backend.
        (
            "100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n\
             HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
                .into(),
            200,
            "ok",
        ),
    ] {
        let (backend, _) = Backend::answering(format!("HTTP/1.1 {rest}"));
        let front = Front::of(&backend);
        let mut client = front.client();
        let shown = &rest[..rest.len().min(60)];
        for _ in 0..2 {
            let reply = client.ask("GET", "/api/", &[]);
            assert_eq!((reply.status, &*reply.text()), (status, body), "{shown}");
        }
        // Both connections go on.
        assert_eq!(backend.connections(), 1, "{shown}");
        // One who knows no chunks gets none.
        let reply = exchange(front.address(), b"GET /api/ HTTP/1.0\r\n\r\n");
        let reply = String::from_utf8(reply).unwrap();
        assert!(reply.ends_with(&format!("\r\n\r\n{body}")), "{shown}");
        assert!(!reply.contains("chunked"), "{shown}");
    }
}

#[test]
fn a_body_that_ends_with_its_connection_is_whole() {
    let backend = Backend::new(|mut peer| {
        peer.request().unwrap();
        peer.send(b"HTTP/1.0 200 OK\r\n\r\nhel");
        thread::sleep(Duration::from_millis(20));
        peer.send(b"lo");
    });
    let front = Front::of(&backend);
    let mut client = front.client();
    for _ in 0..2 {
        let reply = client.ask("GET", "/api/", &[]);
        assert_eq!(reply.body, b"hello");
        assert_eq!(reply.field("Transfer-Encoding"), Some("chunked"));
    }
}

#[test]
fn heads_alone_say_what_a_whole_answer_would() {
    for (fields, length, chunked) in [
        ("Content-Length: 12345\r\n", Some("12345"), None),
        ("Transfer-Encoding: chunked\r\n", None, Some("chunked")),
        ("", None, Some("chunked")),
    ] {
        let (backend, _) = Backend::answering(format!("HTTP/1.1 200 OK\r\n{fields}\r\n"));
        let front = Front::of(&backend);
        let mut client = front.client();
        for _ in 0..2 {
            let reply = client.ask("HEAD", "/api/", &[]);
            assert_eq!(reply.status, 200);
            assert_eq!(reply.field("Content-Length"), length, "{fields}");
            assert_eq!(reply.field("Transfer-Encoding"), chunked, "{fields}");
        }
        assert_eq!(backend.connections(), 1, "{fields}");
    }
}

/// What is not whole must never look so.
#[test]
fn what_the_backend_breaks_off_is_broken_off_here() {
    for rest in [
        "Content-Length: 10\r\n\r\nhello",
        "Transfer-Encoding: chunked\r\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\n5\r\nhello",
        "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n",
        "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nA: b\r\n",
        "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nz\r\n",
        "Transfer-Encoding: chunked\r\n\r\n5\r\nhelloXX0\r\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\n5\nhello\n0\n\n",
        "Transfer-Encoding: chunked\r\n\r\n+5\r\nhello\r\n0\r\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\n00000000000000005\r\nhello\r\n0\r\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\nhello",
    ] {
        let reply = format!("HTTP/1.1 200 OK\r\n{rest}");
        let backend = Backend::new(move |mut peer| {
            peer.request().unwrap();
            peer.send(reply.as_bytes());
        });
        let front = Front::of(&backend);
        let mut client = front.client();
        client.send(&request("GET", "/api/", &[]));
        let head = client.head();
        assert_eq!(head.status, 200, "{rest}");
        let error = client.body("GET", &head).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UnexpectedEof, "{rest}");
        // Where only the end of the connection tells, it is none.
        let mut stream = connect(front.address());
        stream.write_all(b"GET /api/ HTTP/1.0\r\n\r\n").unwrap();
        let error = stream.read_to_end(&mut Vec::new());
        let is_length = rest.starts_with("Content-Length");
        let reset = error.is_err_and(|error| error.kind() == ErrorKind::ConnectionReset);
        assert!(reset || is_length, "{rest}");
        let log = front.server.stop();
        assert!(log.contains("broke off"), "{rest}: {log}");
    }
}

#[test]
fn bodies_go_on_as_they_were_framed() {
    let (backend, asked) = Backend::answering("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    let front = Front::of(&backend);
    let large = content(300_000);
    let chunks =
        "Transfer-Encoding: chunked\r\n\r\n2;x=y\r\nab\r\n3\r\ncde\r\n0\r\nTrailer: x\r\n\r\n";
    for (rest, length, body) in [
        (
            b"Content-Length: 5\r\n\r\nhello".to_vec(),
            Some("5"),
            &b"hello"[..],
        ),
        (b"Content-Length: 0\r\n\r\n".to_vec(), Some("0"), b""),
        (
            b"Content-Length: 5, 5\r\nContent-Length: 5\r\n\r\nhello".to_vec(),
            Some("5"),
            b"hello",
        ),
        (b"\r\n".to_vec(), None, b""),
        (chunks.as_bytes().to_vec(), None, b"abcde"),
        (
            b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n".to_vec(),
            None,
            b"",
        ),
        (
            [b"Content-Length: 300000\r\n\r\n", &*large].concat(),
            Some("300000"),
            &large,
        ),
    ] {
        let mut client = front.client();
        for _ in 0..2 {
            client.send(b"POST /api/ HTTP/1.1\r\nHost: q\r\n");
            client.send(&rest);
            assert_eq!(client.reply("POST").status, 200);
            let request = asked.lock().unwrap().pop().unwrap();
            assert_eq!(request.field("Content-Length").as_deref(), length);
            let chunked = rest.starts_with(b"Transfer");
            assert_eq!(request.field("Transfer-Encoding").is_some(), chunked);
            assert_eq!(request.field("Trailer"), None);
            assert!(request.body == body);
        }
    }
}

#[test]
fn a_client_that_waits_is_called_by_the_backend_only() {
    // One that wants the body, one that does not, and one that knows nothing of it.
    let backend = Backend::new(|mut peer| {
        let head = peer.head().unwrap();
        assert_eq!(head.field("Expect").as_deref(), Some("100-continue"));
        if head.line().contains("/refused") {
            peer.send(b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno");
            return;
        }
        if head.line().contains("/wanted") {
            peer.send(b"HTTP/1.1 100 Continue\r\n\r\n");
        }
        let mut body = [0; 5];
        std::io::Read::read_exact(&mut peer.0, &mut body).unwrap();
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n");
        peer.send(&body);
    });
    let front = Front::of(&backend);
    let fields = ["Expect: 100-continue", "Content-Length: 5"];
    for target in ["/api/wanted", "/api/silent"] {
        let mut client = front.client();
        client.send(&request("PUT", target, &fields));
        assert_eq!(client.head().status, 100, "{target}");
        client.send(b"hello");
        assert_eq!(client.reply("PUT").body, b"hello", "{target}");
    }
    let mut client = front.client();
    client.send(&request("PUT", "/api/refused", &fields));
    let reply = client.reply("PUT");
    assert_eq!((reply.status, &*reply.body), (413, &b"no"[..]));
    assert!(reply.closes() && client.has_ended());
}

/// The backend may still take what comes next for the body that it has refused.
#[test]
fn a_connection_with_a_body_that_was_not_sent_is_not_kept() {
    let backend = Backend::new(|mut peer| {
        while let Some(head) = peer.head() {
            assert!(head.line().starts_with("PUT /api/"), "{head:?}");
            peer.send(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n");
            peer.0.read_exact(&mut [0; 5]).ok();
        }
    });
    let to = format!("/api=http://{}", backend.address);
    let front = Front::with(&["--proxy", &to, "--model", "events"]);
    for count in 1..4 {
        let mut client = front.client();
        client.send(&request(
            "PUT",
            "/api/",
            &["Expect: 100-continue", "Content-Length: 5"],
        ));
        assert_eq!(client.reply("PUT").status, 401);
        assert_eq!(backend.connections(), count);
    }
}

#[test]
fn an_early_answer_comes_before_the_body_is_all_sent() {
    let backend = Backend::new(|mut peer| {
        let head = peer.head().unwrap();
        if head.line().starts_with("GET") {
            return peer.send(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
        }
        peer.send(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno");
        if head.line().contains("/rude") {
            return;
        }
        std::io::copy(&mut peer.0, &mut std::io::sink()).ok();
    });
    let to = format!("/api=http://{}", backend.address);
    let front = Front::with(&["--proxy", &to, "--model", "events"]);
    for target in ["/api/rude", "/api/polite"] {
        let mut client = front.client();
        client.send(&request("PUT", target, &["Content-Length: 100000000"]));
        client.send(&content(100_000));
        let reply = client.reply("PUT");
        assert_eq!((reply.status, &*reply.body), (403, &b"no"[..]), "{target}");
        // The rest of the body would be there what comes next here.
        let before = backend.connections();
        assert_eq!(front.client().ask("GET", "/api/", &[]).status, 200);
        assert_eq!(backend.connections(), before + 1, "{target}");
    }
    // Also for one who goes on sending.
    let mut curl = tool("curl");
    curl.args(["-s", "-m", "60", "-w", "%{http_code}", "-T", "-"]);
    curl.arg(format!("{}/api/rude", front.url()));
    let output = curl
        .stdin(std::fs::File::open("/dev/zero").unwrap())
        .output()
        .unwrap();
    assert_eq!(output.stdout, b"no403", "{output:?}");
}

#[test]
fn both_bodies_may_run_at_once() {
    let backend = Backend::new(|mut peer| {
        peer.head().unwrap();
        peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        let mut body = Vec::new();
        while peer.chunk(&mut body).unwrap() {
            let chunk = format!("{:x}\r\n", body.len());
            peer.send(&[chunk.as_bytes(), &body, b"\r\n"].concat());
            body.clear();
        }
        peer.send(b"0\r\n\r\n");
        peer.has_ended();
    });
    let front = Front::of(&backend);
    let mut client = front.client();
    client.send(b"POST /api/ HTTP/1.1\r\nHost: q\r\nTransfer-Encoding: chunked\r\n\r\n");
    assert_eq!(client.head().status, 200);
    for piece in ["ab", "来去"] {
        let chunk = format!("{:x}\r\n{piece}\r\n", piece.len());
        client.send(chunk.as_bytes());
        let mut body = Vec::new();
        while body.len() < piece.len() {
            assert!(client.chunk(&mut body).unwrap());
        }
        assert_eq!(body, piece.as_bytes());
    }
    client.send(b"0\r\n\r\n");
    assert!(!client.chunk(&mut Vec::new()).unwrap());
    assert_eq!(client.ask("GET", "/", &[]).status, 200);
}

/// A body that breaks off here breaks off there.
#[test]
fn what_the_client_breaks_off_is_never_whole_for_the_backend() {
    let (send, ends) = std::sync::mpsc::channel();
    let send = std::sync::Mutex::new(send);
    let backend = Backend::new(move |mut peer| {
        let ended = peer.request().is_none();
        send.lock().unwrap().send(ended).unwrap();
    });
    let front = Front::of(&backend);
    for (rest, status) in [
        ("Content-Length: 10\r\n\r\nhello", None),
        ("Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", None),
        (
            "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nz\r\n",
            Some("400"),
        ),
        ("Transfer-Encoding: chunked\r\n\r\n5\r\nhelloX", Some("400")),
    ] {
        let mut stream = connect(front.address());
        let head = format!("POST /api/ HTTP/1.1\r\nHost: q\r\n{rest}");
        stream.write_all(head.as_bytes()).unwrap();
        if let Some(status) = status {
            let mut reply = String::new();
            stream.read_to_string(&mut reply).unwrap();
            assert!(reply.starts_with(&format!("HTTP/1.1 {status}")), "{reply}");
        }
        drop(stream);
        assert!(ends.recv_timeout(super::PATIENCE).unwrap(), "{rest}");
    }
}

/// Sends as fast as it can, and counts.
fn endless(sent: &Arc<AtomicU64>) -> Backend {
    let sent = Arc::clone(sent);
    Backend::new(move |mut peer| {
        peer.request().unwrap();
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000000\r\n\r\n");
        let piece = [b'x'; 65536];
        while let Ok(count) = peer.stream().write(&piece) {
            sent.fetch_add(count as u64, Ordering::SeqCst);
        }
    })
}

/// Waits until a number stands still, and gives it.
fn settled(number: &AtomicU64) -> u64 {
    let mut last = number.load(Ordering::SeqCst);
    let mut still = 0;
    eventually("it stands still", || {
        thread::sleep(Duration::from_millis(20));
        let now = number.load(Ordering::SeqCst);
        still = if now == last && now > 0 { still + 1 } else { 0 };
        last = now;
        still == 25
    });
    last
}

/// Sockets take some megabytes; nobody else may.
const IN_SOCKETS: u64 = 32 << 20;

#[test]
fn the_backend_is_as_fast_as_the_client_reads() {
    let sent = Arc::<AtomicU64>::default();
    let backend = endless(&sent);
    let front = Front::of(&backend);
    let before = front.server.anonymous_memory();
    let mut client = front.client();
    client.send(&request("GET", "/api/", &[]));
    assert_eq!(client.head().status, 200);
    let first = settled(&sent);
    assert!(first < IN_SOCKETS, "{first}");
    let mut read = vec![0; 64 << 20];
    client
        .stream()
        .take(64 << 20)
        .read_exact(&mut read)
        .unwrap();
    let second = settled(&sent);
    assert!(second > 32 << 20, "{second}");
    assert!(second < (64 << 20) + IN_SOCKETS, "{second}");
    let memory = front.server.anonymous_memory().saturating_sub(before);
    assert!(memory < 8 << 10, "{memory} KiB more");
    // Who leaves is not sent anything more.
    drop(client);
    eventually("the backend's end", || Arc::strong_count(&sent) == 2);
}

#[test]
fn the_client_is_as_fast_as_the_backend_reads() {
    let (send, peers) = std::sync::mpsc::channel();
    let send = std::sync::Mutex::new(send);
    let backend = Backend::new(move |mut peer| {
        peer.head().unwrap();
        send.lock().unwrap().send(peer).unwrap();
    });
    let front = Front::of(&backend);
    let before = front.server.anonymous_memory();
    let sent = Arc::<AtomicU64>::default();
    let mut stream = connect(front.address());
    stream
        .write_all(b"PUT /api/ HTTP/1.1\r\nHost: q\r\nContent-Length: 67108864\r\n\r\n")
        .unwrap();
    let sending = thread::spawn({
        let sent = Arc::clone(&sent);
        move || {
            for _ in 0..1024 {
                stream.write_all(&[b'x'; 65536]).unwrap();
                sent.fetch_add(65536, Ordering::SeqCst);
            }
            Client::read_from(stream).reply("PUT")
        }
    });
    let mut peer = peers.recv_timeout(super::PATIENCE).unwrap();
    let first = settled(&sent);
    assert!(first < IN_SOCKETS, "{first}");
    let memory = front.server.anonymous_memory().saturating_sub(before);
    assert!(memory < 8 << 10, "{memory} KiB more");
    let mut body = vec![0; 64 << 20];
    peer.0.read_exact(&mut body).unwrap();
    peer.send(b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(sending.join().unwrap().status, 201);
}

/// A gibibyte each way, in lengths and in chunks, in the memory of one page of it.
#[test]
fn gibibytes_pass_in_little_memory() {
    const GIB: u64 = 1 << 30;
    let backend = Backend::new(|mut peer| {
        while let Some(head) = peer.head() {
            let count = if head.line().starts_with("GET") {
                GIB
            } else if head.field("Content-Length").is_some() {
                std::io::copy(&mut (&mut peer.0).take(GIB), &mut std::io::sink()).unwrap()
            } else {
                let (mut count, mut body) = (0, Vec::new());
                while peer.chunk(&mut body).unwrap() {
                    count += body.len() as u64;
                    body.clear();
                }
                count
            };
            let length = head
                .line()
                .contains("/length")
                .then(|| format!("Content-Length: {GIB}"));
            let framing = length.unwrap_or_else(|| "Transfer-Encoding: chunked".into());
            if !head.line().starts_with("GET") {
                let text = count.to_string();
                let reply = format!(
                    "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{text}",
                    text.len()
                );
                peer.send(reply.as_bytes());
                continue;
            }
            peer.send(format!("HTTP/1.1 200 OK\r\n{framing}\r\n\r\n").as_bytes());
            let piece = vec![b'x'; 1 << 20];
            let chunk = [b"100000\r\n", &*piece, b"\r\n"].concat();
            for _ in 0..GIB >> 20 {
                peer.send(if framing.starts_with('C') {
                    &piece
                } else {
                    &chunk
                });
            }
            if framing.starts_with('T') {
                peer.send(b"0\r\n\r\n");
            }
        }
    });
    let front = Front::of(&backend);
    let before = front.server.anonymous_memory();
    for target in ["length", "chunks"] {
        let mut curl = tool("curl");
        curl.args([
            "-sf",
            "-m",
            "300",
            "-o",
            "/dev/null",
            "-w",
            "%{size_download}",
        ]);
        let size = run(curl.arg(format!("{}/api/{target}", front.url())));
        assert_eq!(size, GIB.to_string().as_bytes(), "{target}");
    }
    let file = front.share.path().join("large");
    std::fs::File::create(&file).unwrap().set_len(GIB).unwrap();
    for source in [file.to_str().unwrap(), "-"] {
        let mut curl = tool("curl");
        curl.args(["-sf", "-m", "300", "-T", source]);
        curl.arg(format!("{}/api/up", front.url()));
        let output = curl
            .stdin(std::fs::File::open(&file).unwrap())
            .output()
            .unwrap();
        assert_eq!(
            output.stdout,
            GIB.to_string().as_bytes(),
            "{source}: {output:?}"
        );
    }
    let memory = front.server.anonymous_memory().saturating_sub(before);
    assert!(memory < 8 << 10, "{memory} KiB more");
}
