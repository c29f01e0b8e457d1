//! Server-sent events.

use std::io::{BufRead as _, BufReader, Read as _};
use std::time::Duration;

use super::common::{eventually, run, tool};
use super::line::Line;
use super::play;
use super::server::Live;

/// No heartbeat tells the server that somebody has left.
const NO_HEARTBEAT: &str = "/events/silence?heartbeat=3600000";

#[test]
fn a_page_hears_all_and_asks_for_what_it_missed() {
    let live = Live::start();
    play("events.mjs", &format!("http://{}/", live.plain));
    live.settled();
}

#[test]
fn curl_hears_them_too() {
    let live = Live::start();
    let certificate = live.certificate();
    let urls = [
        format!("http://{}/events", live.plain),
        format!("https://{}/events", live.tls),
    ];
    for url in urls {
        let curl = |arguments: &[&str]| {
            let mut curl = tool("curl");
            curl.args(["-sS", "-N", "-i", "--cacert"]).arg(&certificate);
            String::from_utf8(run(curl.args(arguments).arg(&url))).unwrap()
        };
        let all = curl(&[]);
        let (head, body) = all.split_once("\r\n\r\n").unwrap();
        for field in ["Content-Type: text/event-stream", "Cache-Control: no-store"] {
            assert!(head.contains(&format!("\r\n{field}\r\n")), "{head}");
        }
        let begin = "id: 1\nretry: 10\ndata: 1\ndata: 第1条\n\n\
                     event: even\nid: 2\ndata: 2\ndata: 第2条\n\n";
        assert!(body.starts_with(begin), "{body}");
        assert!(body.ends_with("data: 第4条\n\n"), "{body}");
        let rest = curl(&["-H", "Last-Event-ID: 6"]);
        let rest = rest.split_once("\r\n\r\n").unwrap().1;
        assert!(rest.starts_with("id: 7\n"), "{rest}");
        // One that knows no chunks gets the same.
        let old = curl(&["--http1.0"]);
        assert_eq!(old.split_once("\r\n\r\n").unwrap().1, body);
    }
    live.settled();
}

#[test]
fn who_sends_is_dropped_when_nobody_listens_any_more() {
    let live = Live::start();
    let listening = || {
        Line::both(&live).map(|mut line| {
            let head = line.ask(NO_HEARTBEAT, &[]);
            assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
            line
        })
    };
    for line in listening() {
        line.leave();
    }
    live.settled();
    for line in listening() {
        line.reset();
    }
    live.settled();
    // Programs, of which one is killed.
    for signal in ["-INT", "-KILL"] {
        let mut curl = tool("curl");
        curl.args(["-sSN", "-o", "/dev/null"])
            .arg(format!("http://{}{NO_HEARTBEAT}", live.plain));
        let mut child = curl.spawn().unwrap();
        eventually("a listener", || live.working() == 1);
        run(tool("kill").args([signal, &child.id().to_string()]));
        child.wait().unwrap();
        live.settled();
    }
}

#[test]
fn silence_is_broken_by_comments_and_ends_nothing() {
    // Nobody may be silent for longer otherwise.
    let live = Live::impatient(Duration::from_secs(1));
    for open in [Line::plain, Line::tls] {
        let mut line = open(&live);
        line.ask("/events/silence?heartbeat=20", &["Connection: close"]);
        let mut comments = [0; "3\r\n:\n\n\r\n".len() * 5];
        line.read_exact(&mut comments).unwrap();
        assert_eq!(comments.as_slice(), "3\r\n:\n\n\r\n".repeat(5).as_bytes());
        line.leave();
    }
    let mut line = Line::plain(&live);
    line.ask("/events/silence?heartbeat=1500", &[]);
    let mut comment = [0; "3\r\n:\n\n\r\n".len()];
    line.read_exact(&mut comment).unwrap();
    line.leave();
    live.settled();
}

#[test]
fn who_never_reads_is_waited_for_and_then_given_up() {
    let live = Live::impatient(Duration::from_secs(1));
    let before = live.memory();
    let flooded: Vec<_> = Line::both(&live)
        .into_iter()
        .chain((0..6).map(|_| Line::plain(&live)))
        .map(|mut line| {
            line.ask("/events/flood", &[]);
            line
        })
        .collect();
    eventually("all given up", || {
        // Little is kept for them meanwhile.
        let grown = live.memory().saturating_sub(before);
        assert!(grown < 8 * 1024, "{grown} KiB");
        live.working() == 0
    });
    drop(flooded);
    live.settled();
}

#[test]
fn a_server_that_stops_ends_them() {
    let mut live = Live::start();
    let mut lines = [Line::both(&live), Line::both(&live)].into_iter().flatten();
    let mut lines: Vec<_> = lines.by_ref().collect();
    for (index, line) in lines.iter_mut().enumerate() {
        let fields: &[&str] = if index < 2 {
            &[]
        } else {
            &["Connection: close"]
        };
        line.ask(NO_HEARTBEAT, fields);
    }
    live.stop();
    for line in &mut lines {
        // It is told that this is all.
        let mut end = String::new();
        BufReader::new(line).read_line(&mut end).unwrap();
        assert_eq!(end, "0\r\n");
    }
    // Before the time for handlers is over, which is longer than this waits.
    assert!(live.wait().success());
}
