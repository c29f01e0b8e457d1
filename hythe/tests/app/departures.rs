//! Clients that leave in the middle, and servers that are asked to stop.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hythe::http::{Body, Error, Event, Events, Request, Response, Router};
use hythe_net::{Model, MuxKind, reactor};
use rustix::net::sockopt::set_socket_linger;

use super::common::PATIENCE;
use super::{App, text, wait_until, with_body};

/// Who is at work.
#[derive(Clone, Default)]
struct Work {
    begun: Arc<AtomicU64>,
    ended: Arc<AtomicU64>,
}

impl Work {
    fn begin(&self) -> Working {
        self.begun.fetch_add(1, Ordering::Relaxed);
        Working(Arc::clone(&self.ended))
    }

    /// Waits until as many have begun.
    fn wait_begun(&self, count: u64) {
        wait_until("it begins", || self.begun.load(Ordering::Relaxed) >= count);
    }

    fn wait_ended(&self, count: u64) {
        wait_until("it ends", || self.ended.load(Ordering::Relaxed) >= count);
    }
}

struct Working(Arc<AtomicU64>);

impl Drop for Working {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

fn router(work: &Work) -> Router<Work> {
    Router::with_state(work.clone())
        .get("/events", async |work: Work, _: Request| {
            let working = work.begin();
            Events::response(async move |mut events| {
                let _working = working;
                events.send(Event::data("hello")).await?;
                reactor::sleep(PATIENCE * 10).await;
                Ok(())
            })
        })
        .get("/endless", async |work: Work, _: Request| {
            let working = work.begin();
            let body = Body::write(async move |mut writer| {
                let _working = working;
                loop {
                    writer.send(vec![b'x'; 64 * 1024]).await?;
                }
            });
            Response::text(body)
        })
        .post("/take", async |work: Work, mut request: Request| {
            let _working = work.begin();
            Ok::<_, Error>(request.bytes().await?.len().to_string())
        })
        .get("/slow", async |work: Work, _: Request| {
            let _working = work.begin();
            reactor::sleep(Duration::from_millis(200)).await;
            "slow"
        })
        .get("/", async |_: Work, _: Request| "here")
}

/// Leaves without a word of farewell.
fn reset(stream: TcpStream) {
    set_socket_linger(&stream, Some(Duration::ZERO)).unwrap();
}

#[test]
fn whoever_says_something_to_nobody_is_dropped() {
    type Leave = fn(TcpStream);
    let ways: [(&str, Leave); 3] = [
        ("closed", drop),
        ("reset", reset),
        ("half-closed", |stream| {
            stream.shutdown(Shutdown::Write).unwrap();
            // An open socket with what is unread would say that somebody is there.
            let mut rest = Vec::new();
            (&stream).read_to_end(&mut rest).ok();
        }),
    ];
    for mux in [
        MuxKind::EpollEdge,
        MuxKind::EpollLevel,
        MuxKind::Poll,
        MuxKind::Select,
    ] {
        let work = Work::default();
        let app = App::serve_by(Model::Events { mux }, router(&work));
        for (count, (way, leave)) in (1..).zip(ways) {
            let mut stream = app.connect();
            stream
                .write_all(b"GET /events HTTP/1.1\r\nHost: q\r\n\r\n")
                .unwrap();
            let mut said = Vec::new();
            while !said.ends_with(b"data: hello\n\n\r\n") {
                let mut byte = [0];
                stream.read_exact(&mut byte).unwrap();
                said.push(byte[0]);
            }
            leave(stream);
            work.wait_ended(count);
            assert_eq!(text(&app.get("/")), "here", "{mux:?} {way}");
        }
    }
}

#[test]
fn whoever_makes_what_nobody_takes_is_dropped() {
    let work = Work::default();
    let app = App::serve(router(&work));
    for (count, leave) in (1..).zip([drop as fn(TcpStream), reset]) {
        let mut stream = app.connect();
        stream
            .write_all(b"GET /endless HTTP/1.1\r\nHost: q\r\n\r\n")
            .unwrap();
        stream.read_exact(&mut [0; 100_000]).unwrap();
        leave(stream);
        work.wait_ended(count);
    }
}

#[test]
fn a_body_that_breaks_off_is_told_to_who_reads_it() {
    let work = Work::default();
    let app = App::serve(router(&work));
    for (count, leave) in (1..).zip([drop as fn(TcpStream), reset]) {
        let mut stream = app.connect();
        let head = b"POST /take HTTP/1.1\r\nHost: q\r\nContent-Length: 100\r\n\r\nhalf";
        stream.write_all(head).unwrap();
        work.wait_begun(count);
        leave(stream);
        work.wait_ended(count);
    }
    // One that only says that no more comes.
    let mut stream = app.connect();
    stream
        .write_all(b"POST /take HTTP/1.1\r\nHost: q\r\nContent-Length: 100\r\n\r\nhalf")
        .unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut said = Vec::new();
    stream.read_to_end(&mut said).ok();
    assert!(
        said.is_empty() || said.starts_with(b"HTTP/1.1 400 "),
        "{said:?}"
    );
    work.wait_ended(3);
    // And what is no body at all.
    let mut client = app.client();
    client.send(b"POST /take HTTP/1.1\r\nHost: q\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n");
    let reply = client.reply("POST");
    assert_eq!(reply.status, 400);
    assert!(reply.closes() && client.has_ended());
}

#[test]
fn who_says_no_more_still_gets_an_answer() {
    let work = Work::default();
    let app = App::serve(router(&work));
    let mut client = app.client();
    client.send(b"GET /slow HTTP/1.1\r\nHost: q\r\n\r\nGET / HTTP/1.1\r\nHost: q\r\n\r\n");
    client.finish();
    assert_eq!(text(&client.reply("GET")), "slow");
    assert_eq!(text(&client.reply("GET")), "here");
    assert!(client.has_ended());
}

#[test]
fn pipelined_requests_are_answered_in_order_whatever_they_need() {
    let work = Work::default();
    let app = App::serve(router(&work));
    let mut client = app.client();
    let mut all = Vec::new();
    for _ in 0..50 {
        all.extend_from_slice(b"GET / HTTP/1.1\r\nHost: q\r\n\r\n");
        all.extend_from_slice(&with_body("POST", "/take", &[], b"12345"));
        all.extend_from_slice(&with_body("POST", "/", &[], b"unwanted"));
    }
    all.extend_from_slice(b"GET /slow HTTP/1.1\r\nHost: q\r\n\r\n");
    client.send(&all);
    for _ in 0..50 {
        assert_eq!(text(&client.reply("GET")), "here");
        assert_eq!(text(&client.reply("POST")), "5");
        assert_eq!(client.reply("POST").status, 405);
    }
    assert_eq!(text(&client.reply("GET")), "slow");
}

#[test]
fn a_server_that_stops_lets_answers_finish() {
    let work = Work::default();
    let app = App::serve(router(&work));
    let mut client = app.client();
    client.send(b"GET /slow HTTP/1.1\r\nHost: q\r\n\r\n");
    work.wait_begun(1);
    app.shutdown.stop();
    let reply = client.reply("GET");
    assert_eq!(text(&reply), "slow");
    assert!(reply.closes() && client.has_ended());
}
