//! WebSocket (RFC 6455).

use std::io::{ErrorKind, Read as _, Write as _};
use std::time::Duration;

use super::common::{eventually, run};
use super::line::{CLOSE, Line, PING, PONG, TEXT, UPGRADE, frame};
use super::server::Live;
use super::{beside, play, python};

const NORMAL: &[u8] = &1000u16.to_be_bytes();

#[test]
fn it_is_as_rfc_6455_has_it() {
    let live = Live::start();
    let (host, port) = (live.plain.ip().to_string(), live.plain.port().to_string());
    run(python().arg(beside("cases.py")).args([host, port]));
    live.settled();
}

#[test]
fn it_is_the_same_over_tls() {
    let live = Live::start();
    let (host, port) = (live.tls.ip().to_string(), live.tls.port().to_string());
    let mut cases = python();
    cases.arg(beside("cases.py")).args([host, port]);
    run(cases.arg(live.certificate()));
    live.settled();
}

#[test]
fn a_page_chats() {
    let live = Live::start();
    play("chat.mjs", &format!("http://{}/", live.plain));
    live.settled();
}

/// Asks with these fields in place of those of the same names; one that is empty
/// is left out.
fn shake(live: &Live, line: &str, changes: &[&str]) -> String {
    let name = |field: &str| field.split(':').next().unwrap().to_ascii_lowercase();
    let kept = ["Host: here"].iter().chain(UPGRADE);
    let kept = kept.filter(|field| changes.iter().all(|change| name(change) != name(field)));
    let added = changes.iter().filter(|change| !change.ends_with(": "));
    let fields: String = kept
        .chain(added)
        .map(|field| format!("{field}\r\n"))
        .collect();
    let mut client = Line::plain(live);
    let request = format!("{line} HTTP/1.1\r\n{fields}\r\n");
    let request = request.replace(" HTTP/1.0 HTTP/1.1", " HTTP/1.0");
    client.write_all(request.as_bytes()).unwrap();
    // What it has announced.
    if request.contains("Length: 5") {
        client.write_all(b"hello").unwrap();
    } else if request.contains("chunked") {
        client.write_all(b"5\r\nhello\r\n0\r\n\r\n").unwrap();
    }
    client.head()
}

#[test]
fn handshakes() {
    let live = Live::start();
    let twice = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Key: \
                 dGhlIHNhbXBsZSBub25jZQ==";
    for (line, changes, status) in [
        ("GET /echo", &[][..], 101),
        ("GET /echo", &["Upgrade: WebSocket"], 101),
        (
            "GET /echo",
            &["UPGRADE: WEBSOCKET", "connection: UPGRADE"],
            101,
        ),
        ("GET /echo", &["Upgrade: h2c, websocket"], 101),
        ("GET /echo", &["Connection: keep-alive, Upgrade"], 101),
        (
            "GET /echo",
            &["Connection: keep-alive\r\nConnection: Upgrade"],
            101,
        ),
        (
            "GET /echo",
            &["Sec-WebSocket-Extensions: permessage-deflate"],
            101,
        ),
        ("GET /echo", &["Upgrade: "], 426),
        ("GET /echo", &["Upgrade: h2c"], 426),
        ("GET /echo", &["Upgrade: websockets"], 426),
        ("GET /echo", &["Connection: "], 426),
        ("GET /echo", &["Connection: keep-alive"], 426),
        ("GET /echo HTTP/1.0", &[], 426),
        ("POST /open", &["Content-Length: 0"], 426),
        ("POST /echo", &["Content-Length: 0"], 405),
        ("GET /echo", &["Sec-WebSocket-Version: "], 426),
        ("GET /echo", &["Sec-WebSocket-Version: 8"], 426),
        ("GET /echo", &["Sec-WebSocket-Version: 14"], 426),
        ("GET /echo", &["Sec-WebSocket-Key: "], 400),
        ("GET /echo", &[twice], 400),
        ("GET /echo", &["Sec-WebSocket-Key: short"], 400),
        (
            "GET /echo",
            &["Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ"],
            400,
        ),
        (
            "GET /echo",
            &["Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZTE="],
            400,
        ),
        (
            "GET /echo",
            &["Sec-WebSocket-Key: !!hlIHNhbXBsZSBub25jZQ=="],
            400,
        ),
        // Pages of this site, of others, and programs.
        ("GET /echo", &["Origin: http://here"], 101),
        ("GET /echo", &["Origin: http://evil"], 403),
        ("GET /echo", &["Origin: null"], 403),
        ("GET /echo", &["Sec-Fetch-Site: same-origin"], 101),
        ("GET /echo", &["Sec-Fetch-Site: cross-site"], 403),
        ("GET /echo", &["Cookie: session=1"], 403),
        (
            "GET /echo",
            &["Cookie: session=1", "Origin: http://here"],
            101,
        ),
        (
            "GET /open",
            &["Origin: http://evil", "Cookie: session=1"],
            101,
        ),
        // A body is none of a WebSocket's.
        ("GET /echo", &["Content-Length: 5"], 400),
        ("GET /echo", &["Transfer-Encoding: chunked"], 400),
    ] {
        let head = shake(&live, line, changes);
        let begins = format!("HTTP/1.1 {status} ");
        assert!(head.starts_with(&begins), "{line} {changes:?}: {head}");
        let has = |field: &str| head.contains(&format!("\r\n{field}\r\n"));
        match status {
            101 => {
                assert!(has("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
                assert!(has("Upgrade: websocket") && has("Connection: Upgrade"));
                assert!(!head.contains("Extensions"), "{head}");
            }
            426 if changes.iter().any(|change| change.contains("Version")) => {
                assert!(has("Sec-WebSocket-Version: 13"), "{head}");
            }
            426 => {
                assert!(has("Upgrade: websocket"), "{head}");
                assert!(head.contains("\r\nConnection: Upgrade"), "{head}");
            }
            _ => {}
        }
    }
    for (offered, chosen) in [
        ("chat", Some("chat")),
        ("chat, chat.v2", Some("chat.v2")),
        ("other, chat", Some("chat")),
        ("other\r\nSec-WebSocket-Protocol: chat", Some("chat")),
        ("CHAT", None),
        ("other", None),
    ] {
        let head = shake(
            &live,
            "GET /open",
            &[&format!("Sec-WebSocket-Protocol: {offered}")],
        );
        let field = chosen.map(|name| format!("\r\nSec-WebSocket-Protocol: {name}\r\n"));
        match field {
            Some(field) => assert!(head.contains(&field), "{offered}: {head}"),
            None => assert!(!head.contains("Protocol:"), "{offered}: {head}"),
        }
    }
    live.settled();
}

#[test]
fn each_end_is_told() {
    let live = Live::start();
    let long = "路".repeat(50);
    let close = |code: u16, reason: &str| format!("/closing?code={code}&reason={reason}");
    for (target, code, reason) in [
        ("/failing".to_owned(), 1011, ""),
        (close(1000, ""), 1000, ""),
        (close(4999, "enough"), 4999, "enough"),
        (close(1001, &"x".repeat(123)), 1001, &*"x".repeat(123)),
        (close(1001, &"x".repeat(124)), 1001, &*"x".repeat(123)),
        // 123 bytes are 41 of these.
        (close(1000, &long), 1000, &*"路".repeat(41)),
        // Codes that no frame may hold are an error.
        (close(0, ""), 1011, ""),
        (close(1005, ""), 1011, ""),
        (close(1006, "gone"), 1011, ""),
        (close(5000, ""), 1011, ""),
    ] {
        let target = target.replace('路', "%E8%B7%AF");
        for open in [Line::plain, Line::tls] {
            let mut line = open(&live).upgrade(&target);
            let told = line.closed();
            assert_eq!((told.0, &*told.1), (code, reason), "{target}");
            // Once it is answered, the server closes the connection.
            line.send(CLOSE, &code.to_be_bytes());
            assert_eq!(line.frame(), None, "{target}");
            line.leave();
        }
    }
    for open in [Line::plain, Line::tls] {
        let mut line = open(&live).upgrade("/once");
        assert_eq!(line.frame().unwrap(), (TEXT, b"once".to_vec()));
        assert_eq!(line.closed().0, 1000);
        line.leave();
    }
    live.settled();
}

#[test]
fn one_that_does_not_answer_a_close_is_waited_for_no_longer_than_said() {
    let live = Live::start();
    let mut lines = ["/closing", "/once", "/failing"].map(|path| Line::plain(&live).upgrade(path));
    live.settled();
    for line in &mut lines {
        while line.frame().is_some() {}
    }
}

#[test]
fn the_silent_are_asked_and_then_given_up() {
    // Nobody may be silent for longer, but where pings watch over that.
    let live = Live::impatient(Duration::from_secs(1));
    for open in [Line::plain, Line::tls] {
        let mut line = open(&live).upgrade("/echo?ping=1500");
        for _ in 0..2 {
            assert_eq!(line.frame().unwrap(), (PING, Vec::new()));
            line.send(PONG, b"");
        }
        line.send(TEXT, "还在".as_bytes());
        let echo = loop {
            match line.frame().unwrap() {
                (PING, _) => line.send(PONG, b""),
                (_, payload) => break payload,
            }
        };
        assert_eq!(echo, "还在".as_bytes());
        // Now it is silent.
        while let Some(asked) = line.frame() {
            assert_eq!(asked, (PING, Vec::new()));
        }
        line.leave();
    }
    live.settled();
}

#[test]
fn who_never_reads_is_waited_for_and_then_given_up() {
    let live = Live::impatient(Duration::from_secs(1));
    let before = live.memory();
    let flooded: Vec<_> = (0..8)
        .map(|_| Line::plain(&live).upgrade("/flood"))
        .collect();
    // One who speaks and does not listen is not listened to, either.
    let mut talker = Line::plain(&live).upgrade("/echo");
    if let Line::Plain(stream) = &talker {
        stream
            .set_write_timeout(Some(Duration::from_millis(100)))
            .unwrap();
    }
    let message = frame(TEXT, &[b'x'; 64 * 1024]);
    let mut taken = 0;
    let refused = loop {
        match talker.write(&message[taken % message.len()..]) {
            Ok(count) => taken += count,
            Err(error) => break error,
        }
        assert!(taken < 1 << 30, "it takes without end");
    };
    assert!(
        matches!(
            refused.kind(),
            ErrorKind::WouldBlock | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe
        ),
        "{refused}"
    );
    // The rest are served as before, and little is kept of all this.
    let mut other = Line::plain(&live).upgrade("/echo");
    other.send(TEXT, b"other");
    assert_eq!(other.frame().unwrap(), (TEXT, b"other".to_vec()));
    other.send(CLOSE, NORMAL);
    assert_eq!(other.closed().0, 1000);
    eventually("all given up", || {
        let grown = live.memory().saturating_sub(before);
        assert!(grown < 8 * 1024, "{grown} KiB");
        live.working() == 0
    });
    drop((flooded, talker));
    live.settled();
}

#[test]
fn nothing_is_lost_where_waiting_is_given_up_again_and_again() {
    let live = Live::start();
    for open in [Line::plain, Line::tls] {
        let mut line = open(&live).upgrade("/impatient");
        let mut sent = Vec::new();
        for number in 0..500u32 {
            sent.extend(frame(TEXT, number.to_string().as_bytes()));
            if number % 50 == 0 {
                sent.extend(frame(PING, b""));
            }
        }
        // In pieces that end anywhere.
        for piece in sent.chunks(37) {
            line.write_all(piece).unwrap();
        }
        for number in 0..500u32 {
            let echo = loop {
                match line.frame().unwrap() {
                    (PONG, _) => {}
                    (_, payload) => break payload,
                }
            };
            assert_eq!(echo, number.to_string().as_bytes());
        }
        line.send(CLOSE, NORMAL);
        assert_eq!(line.closed().0, 1000);
        line.leave();
    }
    live.settled();
}

#[test]
fn a_server_that_stops_says_so_and_ends() {
    let mut live = Live::start();
    let mut lines: Vec<_> = ["/echo", "/impatient", "/echo"]
        .into_iter()
        .flat_map(|path| Line::both(&live).map(|line| line.upgrade(path)))
        .collect();
    // The last two do not answer, and one has said half of something.
    lines[4].write_all(&frame(TEXT, b"half")[..4]).unwrap();
    live.stop();
    for (index, line) in lines.iter_mut().enumerate() {
        assert_eq!(line.closed(), (1001, String::new()));
        if index < 4 {
            line.send(CLOSE, &1001u16.to_be_bytes());
        }
    }
    // Before the time for handlers is over, which is longer than this waits.
    assert!(live.wait().success());
    for line in &mut lines {
        assert!(matches!(line.read(&mut [0]), Ok(0) | Err(_)));
    }
}
