//! Bodies, in and out, as a whole and as they come.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use futures_lite::StreamExt as _;
use hythe::accounts::Gate;
use hythe::http::{
    BODY_LIMIT, Body, Error, Json, Request, Response, Router, Segment, Site, SiteConfig, layer,
};
use hythe::share::{Access, Share};
use hythe_net::reactor;
use serde::{Deserialize, Serialize};

use super::{App, text, wait_until, with_body};

#[derive(Deserialize, Serialize)]
struct Boat {
    name: String,
    length: u32,
    #[serde(default)]
    crew: Vec<String>,
}

#[test]
fn json_and_forms_become_values_or_are_refused_with_the_reason() {
    let router = Router::new()
        .post("/json", async |mut request: Request| {
            Ok::<_, Error>(Json(request.json::<Boat>().await?))
        })
        .post("/form", async |mut request: Request| {
            Ok::<_, Error>(Json(request.form::<Boat>().await?))
        })
        .get("/query", async |request: Request| {
            Ok::<_, Error>(Json(request.query::<Boat>()?))
        })
        .post("/text", async |mut request: Request| request.text().await);
    let app = App::serve(router);
    const JSON: &str = "Content-Type: application/json";
    const FORM: &str = "Content-Type: application/x-www-form-urlencoded";
    let boat = r#"{"name":"来号","length":12,"crew":["a","b"]}"#;
    let huge = format!("{{\"name\":\"{}\"}}", "x".repeat(BODY_LIMIT as usize));
    for (target, field, body, status, said) in [
        ("/json", JSON, boat, 200, boat),
        (
            "/json",
            "Content-Type: Application/Boat+JSON; charset=utf-8",
            boat,
            200,
            boat,
        ),
        ("/json", JSON, "{", 400, "does not fit"),
        ("/json", JSON, "", 400, "does not fit"),
        (
            "/json",
            JSON,
            r#"{"name":"x"}"#,
            422,
            "missing field `length`",
        ),
        (
            "/json",
            JSON,
            r#"{"name":"x","length":-1}"#,
            422,
            "does not fit",
        ),
        ("/json", FORM, boat, 415, "send it as application/json"),
        (
            "/json",
            "X-Nothing: 1",
            boat,
            415,
            "send it as application/json",
        ),
        ("/json", JSON, &huge, 413, "more than 2097152 bytes"),
        (
            "/form",
            FORM,
            "name=%E6%9D%A5%E5%8F%B7&length=12&crew=a&crew=b",
            200,
            boat,
        ),
        ("/form", FORM, "name=a+b%2Bc&length=1", 200, "a b+c"),
        ("/form", FORM, "name=x&length=long", 422, "does not fit"),
        ("/form", FORM, "", 422, "missing field `name`"),
        (
            "/form",
            JSON,
            "name=x&length=1",
            415,
            "x-www-form-urlencoded",
        ),
        ("/text", "X-Nothing: 1", "水", 200, "水"),
    ] {
        let mut client = app.client();
        client.send(&with_body("POST", target, &[field], body.as_bytes()));
        let reply = client.reply("POST");
        let shown = &body[..body.floor_char_boundary(50)];
        assert_eq!(reply.status, status, "{target} {shown}: {}", text(&reply));
        assert!(
            text(&reply).contains(said),
            "{target} {shown}: {}",
            text(&reply)
        );
    }
    let reply = app.get("/query?name=%E6%9D%A5%E5%8F%B7&length=12&crew=a&crew=b");
    assert_eq!(text(&reply), boat);
    assert_eq!(app.get("/query?name=x").status, 400);
    let mut client = app.client();
    client.send(&with_body("POST", "/text", &[], b"\xff"));
    assert_eq!(client.reply("POST").status, 400);
}

#[test]
fn the_limit_of_what_is_read_at_once_is_exact() {
    let router = Router::new().post("/", async |mut request: Request| {
        Ok::<_, Error>(request.bytes().await?.len().to_string())
    });
    let app = App::serve(router);
    for (more, status) in [(-1, 200), (0, 200), (1, 413)] {
        let body = vec![b'x'; BODY_LIMIT.strict_add_signed(more) as usize];
        let mut client = app.client();
        client.send(&with_body("POST", "/", &[], &body));
        assert_eq!(client.reply("POST").status, status, "{more}");
    }
}

#[test]
fn a_body_is_echoed_while_it_comes() {
    let router = Router::new().post("/", async |request: Request| {
        let chunks = request.into_body().into_stream();
        let chunks = chunks.map(|chunk| chunk.map_err(std::io::Error::other));
        Response::of("application/octet-stream", Body::stream(chunks))
    });
    let app = App::serve(router);
    let mut client = app.client();
    // Each piece comes back before the next is sent.
    client.send(b"POST / HTTP/1.1\r\nHost: q\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n");
    let head = client.head();
    assert_eq!(head.field("Transfer-Encoding"), Some("chunked"));
    let mut body = Vec::new();
    while body.len() < 2 {
        assert!(client.chunk(&mut body).unwrap());
    }
    client.send("6\r\n来去\r\n0\r\n\r\n".as_bytes());
    while client.chunk(&mut body).unwrap() {}
    assert_eq!(body, "ab来去".as_bytes());
    // And the connection goes on.
    client.send(&with_body("POST", "/", &[], b"again"));
    assert_eq!(client.reply("POST").body, b"again");
    assert_eq!(client.ask("POST", "/", &["Content-Length: 0"]).body, b"");
}

#[test]
fn nothing_is_read_that_nobody_asks_for() {
    static READ: AtomicU64 = AtomicU64::new(0);
    let (ask, asked) = std::sync::mpsc::channel::<()>();
    let asked = Arc::new(std::sync::Mutex::new(asked));
    let router = Router::with_state(asked).post(
        "/",
        async |asked: Arc<std::sync::Mutex<std::sync::mpsc::Receiver<()>>>,
               mut request: Request| {
            loop {
                let asked = Arc::clone(&asked);
                reactor::unblock(move || asked.lock().unwrap().recv().ok()).await;
                match request.body().chunk().await? {
                    Some(chunk) => READ.fetch_add(chunk.len() as u64, Ordering::Relaxed),
                    None => return Ok::<_, Error>(READ.load(Ordering::Relaxed).to_string()),
                };
            }
        },
    );
    let app = App::serve(router);
    const LENGTH: u64 = 64 * 1024 * 1024;
    let mut stream = app.connect();
    let sent = Arc::<AtomicU64>::default();
    let sending = std::thread::spawn({
        let (mut stream, sent) = (stream.try_clone().unwrap(), Arc::clone(&sent));
        move || {
            let head = format!("POST / HTTP/1.1\r\nHost: q\r\nContent-Length: {LENGTH}\r\n\r\n");
            stream.write_all(head.as_bytes()).unwrap();
            let piece = vec![b'x'; 64 * 1024];
            for _ in 0..LENGTH / piece.len() as u64 {
                stream.write_all(&piece).unwrap();
                sent.fetch_add(piece.len() as u64, Ordering::Relaxed);
            }
        }
    });
    // The client can't get rid of more than the kernel's buffers hold.
    let mut before = u64::MAX;
    wait_until("the client waits", || {
        std::thread::sleep(std::time::Duration::from_millis(100));
        let now = sent.load(Ordering::Relaxed);
        std::mem::replace(&mut before, now) == now && now > 0
    });
    assert!(before < 20 * 1024 * 1024, "{before} bytes went nowhere");
    assert_eq!(READ.load(Ordering::Relaxed), 0);
    drop(ask);
    sending.join().unwrap();
    let mut said = vec![0; 1024];
    let count = stream.read(&mut said).unwrap();
    let said = String::from_utf8_lossy(&said[..count]);
    assert!(said.ends_with(&LENGTH.to_string()), "{said}");
}

#[test]
fn nothing_is_made_that_nobody_reads() {
    static MADE: AtomicU64 = AtomicU64::new(0);
    const PIECES: u64 = 1024;
    let router = Router::new().get("/", async |_: Request| {
        let body = Body::write(async |mut writer| {
            for _ in 0..PIECES {
                MADE.fetch_add(1, Ordering::Relaxed);
                writer.send(vec![b'x'; 64 * 1024]).await?;
            }
            Ok(())
        });
        Response::text(body)
    });
    let app = App::serve(router);
    let mut client = app.client();
    client.send(b"GET / HTTP/1.1\r\nHost: q\r\n\r\n");
    let mut before = 0;
    wait_until("whoever makes it waits", || {
        std::thread::sleep(std::time::Duration::from_millis(100));
        let now = MADE.load(Ordering::Relaxed);
        std::mem::replace(&mut before, now) == now && now > 0
    });
    assert!(before < PIECES / 3, "{before} of {PIECES}");
    let reply = client.reply("GET");
    assert_eq!(reply.body.len() as u64, PIECES * 64 * 1024);
}

#[test]
fn who_waits_to_be_told_is_told_when_the_body_is_wanted_or_never() {
    let router = Router::new()
        .post("/want", async |mut request: Request| request.text().await)
        .post("/no", async |_: Request| "no, thanks");
    let app = App::serve(router);
    let head = |target| {
        format!(
            "POST {target} HTTP/1.1\r\nHost: q\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n"
        )
    };
    let mut stream = app.connect();
    stream.write_all(head("/want").as_bytes()).unwrap();
    let mut said = [0; 25];
    stream.read_exact(&mut said).unwrap();
    assert_eq!(&said, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(b"fish").unwrap();
    let mut said = vec![0; 1024];
    let count = stream.read(&mut said).unwrap();
    assert!(said[..count].ends_with(b"fish"));
    let mut client = app.client();
    client.send(head("/no").as_bytes());
    let reply = client.reply("POST");
    assert_eq!((reply.status, text(&reply)), (200, "no, thanks"));
    assert!(reply.closes());
}

#[test]
fn a_stream_of_another_length_than_was_said_is_cut() {
    let stream = |length: u64| {
        let pieces = vec![
            Ok(Bytes::from_static(b"12345")),
            Ok(Bytes::from_static(b"678")),
        ];
        Response::text(Body::stream(futures_lite::stream::iter(pieces)).with_length(length))
    };
    let router = Router::new()
        .get("/right", move |_: Request| async move { stream(8) })
        .get("/less", move |_: Request| async move { stream(7) })
        .get("/more", move |_: Request| async move { stream(9) })
        .get("/breaks", async |_: Request| {
            let pieces = vec![
                Ok(Bytes::from_static(b"1")),
                Err(std::io::Error::other("broken")),
            ];
            Response::text(Body::stream(futures_lite::stream::iter(pieces)))
        });
    let app = App::serve(router);
    let right = app.get("/right");
    assert_eq!(
        (right.field("Content-Length"), text(&right)),
        (Some("8"), "12345678")
    );
    for target in ["/less", "/more", "/breaks"] {
        let mut client = app.client();
        client.send(format!("GET {target} HTTP/1.1\r\nHost: q\r\n\r\n").as_bytes());
        let head = client.head();
        let body = client.body("GET", &head);
        assert!(body.is_err(), "{target}: {body:?}");
    }
    // One that knows no chunks gets all there is, and then the end.
    let mut client = app.client();
    client.send(b"GET /right HTTP/1.0\r\n\r\n");
    assert_eq!(client.reply("GET").body, b"12345678");
}

#[test]
fn segments_are_sent_one_after_another() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    std::fs::write(&path, "0123456789").unwrap();
    let router = Router::with_state(path).get("/", async |path: std::path::PathBuf, _: Request| {
        let file = Arc::new(File::open(path)?);
        let segments = vec![
            Segment::Bytes("<".into()),
            Segment::File(Arc::clone(&file), 2..5),
            Segment::Bytes(Bytes::new()),
            Segment::File(Arc::clone(&file), 7..7),
            Segment::Bytes("|".into()),
            Segment::File(file, 9..10),
        ];
        Ok::<_, Error>(Response::text(Body::segments(segments)))
    });
    let app = App::serve(router);
    let mut client = app.client();
    for _ in 0..2 {
        let reply = client.ask("GET", "/", &[]);
        assert_eq!(
            (reply.field("Content-Length"), text(&reply)),
            (Some("6"), "<234|9")
        );
    }
}

#[test]
fn fields_of_the_servers_own_are_its_own_and_no_value_begins_another() {
    let router = Router::new().get("/", async |request: Request| {
        let query: BTreeMap<String, String> = request.query()?;
        let value = query.get("v").cloned().unwrap_or_default();
        Ok::<_, Error>(
            Response::text("body")
                .with_header("content-length", "999")
                .with_header("transfer-encoding", "chunked")
                .with_header("connection", "upgrade")
                .with_header("upgrade", "h2c")
                .with_header("x-value", value),
        )
    });
    let app = App::serve(router);
    let mut client = app.client();
    for (value, shown) in [
        ("a", Some("a")),
        ("a%0d%0aX-Forged:%201", None),
        ("%00", None),
    ] {
        let reply = client.ask("GET", &format!("/?v={value}"), &[]);
        assert_eq!(text(&reply), "body");
        assert_eq!(reply.field("X-Value"), shown, "{value}");
        assert_eq!(reply.field("X-Forged"), None);
        assert_eq!(reply.field("Upgrade"), None);
        assert_eq!(reply.field("Content-Length"), Some("4"));
    }
}

#[test]
fn an_answer_does_not_wait_for_a_body_that_nobody_wants() {
    let app = App::serve(Router::new().get("/", async |_: Request| "here"));
    let mut client = app.client();
    client.send(b"POST /nowhere HTTP/1.1\r\nHost: q\r\nContent-Length: 10\r\n\r\n");
    let reply = client.reply("POST");
    assert_eq!(reply.status, 404);
    assert!(!reply.closes());
    // The body may come, and the next request is found behind it.
    client.send(b"0123456789GET / HTTP/1.1\r\nHost: q\r\n\r\n");
    assert_eq!(text(&client.reply("GET")), "here");
    // One whose end nobody knows is not waited for.
    client
        .send(b"POST /nowhere HTTP/1.1\r\nHost: q\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n");
    let reply = client.reply("POST");
    assert_eq!(reply.status, 404);
    assert!(reply.closes());
    // What is no body after all is no second answer.
    let mut client = app.client();
    client.send(b"POST /nowhere HTTP/1.1\r\nHost: q\r\nContent-Length: 10\r\n\r\n");
    assert_eq!(client.reply("POST").status, 404);
    client.send(b"01234");
    client.finish();
    assert!(client.has_ended());
}

#[test]
fn a_limit_holds_for_those_who_take_bodies_on_the_pool_as_well() {
    let folder = tempfile::tempdir().unwrap();
    let gate = Gate::new(Share::open(folder.path()).unwrap(), Access::Write);
    let site = Site::new(gate, SiteConfig::default());
    let router = Router::new().layer(layer::max_body(10)).mount("/", site);
    let app = App::serve(router);
    for (length, status) in [(9, 201), (10, 201), (11, 413), (100_000, 413)] {
        let mut client = app.client();
        let body = "x".repeat(length);
        let chunked = format!(
            "PUT /{length} HTTP/1.1\r\nHost: q\r\nTransfer-Encoding: chunked\r\n\r\n\
             {length:x}\r\n{body}\r\n0\r\n\r\n"
        );
        client.send(chunked.as_bytes());
        assert_eq!(client.reply("PUT").status, status, "{length}");
        assert_eq!(
            folder.path().join(length.to_string()).exists(),
            status == 201
        );
    }
}

#[test]
fn nothing_that_was_written_is_lost_by_giving_up_the_wait() {
    let router = Router::new().get("/", async |_: Request| {
        let body = Body::write(async |mut writer| {
            // Polled once, and dropped.
            futures_lite::future::poll_once(writer.send("a")).await;
            writer.send("b").await?;
            futures_lite::future::poll_once(writer.send("c")).await;
            Ok(())
        });
        Response::text(body)
    });
    let app = App::serve(router);
    assert_eq!(text(&app.get("/")), "abc");
}
