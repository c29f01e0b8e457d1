//! What is put between a router and who answers.

use std::io::Read as _;
use std::sync::Mutex;
use std::time::Duration;

use base64ct::{Base64, Encoding as _};
use flate2::read::MultiGzDecoder;
use hythe::accounts::{Account, Accounts};
use hythe::http::{Error, Layer, Next, Request, Response, Router, StatusCode, layer};
use hythe::share::Access;
use hythe_net::reactor;

use super::{App, text, with_body};

/// Writes down that it was gone through, on the way in and on the way out.
fn named(name: &'static str) -> impl Layer {
    move |mut request: Request, next: Next| async move {
        let trail = request.extensions().get::<String>().cloned();
        let trail = format!("{}>{name}", trail.unwrap_or_default());
        request.extensions_mut().insert(trail);
        let response = next.run(request).await;
        let out = response
            .headers()
            .get("x-out")
            .map(|out| out.to_str().unwrap().to_owned());
        let out = format!("{}<{name}", out.unwrap_or_default());
        response.with_header("x-out", out)
    }
}

async fn trail(request: Request) -> String {
    request
        .extensions()
        .get::<String>()
        .cloned()
        .unwrap_or_default()
}

#[test]
fn layers_are_gone_through_in_the_order_written_and_back() {
    let inner = Router::new()
        .layer(named("c"))
        .get("/x", trail)
        .layer(named("d"));
    let outer = Router::new()
        .layer(named("a"))
        .layer(named("b"))
        .get("/x", trail)
        .nest("/in", inner);
    let app = App::serve(outer);
    for (target, status, way_in, way_out) in [
        ("/x", 200, ">a>b", "<b<a"),
        ("/in/x", 200, ">a>b>c>d", "<d<c<b<a"),
        (
            "/in/none",
            404,
            "404 Not Found: there is nothing at this address\n",
            "<d<c<b<a",
        ),
        (
            "/none",
            404,
            "404 Not Found: there is nothing at this address\n",
            "<b<a",
        ),
    ] {
        let reply = app.get(target);
        assert_eq!((reply.status, text(&reply)), (status, way_in), "{target}");
        assert_eq!(reply.field("X-Out"), Some(way_out), "{target}");
    }
    let refused = app.client().ask("DELETE", "/in/x", &[]);
    assert_eq!(
        (refused.status, refused.field("X-Out")),
        (405, Some("<d<c<b<a"))
    );
}

#[test]
fn a_layer_may_answer_by_itself_and_change_what_others_see() {
    async fn guard(mut request: Request, next: Next) -> Result<Response, Error> {
        if request.header("x-pass").is_none() {
            return Err(Error::new(StatusCode::FORBIDDEN, "no pass"));
        }
        request
            .headers_mut()
            .insert("x-seen", "yes".parse().unwrap());
        Ok(next.run(request).await)
    }
    let router = Router::new()
        .layer(guard)
        .get("/", async |request: Request| {
            request.header("x-seen").unwrap_or("no").to_owned()
        });
    let app = App::serve(router);
    assert_eq!(text(&app.get("/")), "403 Forbidden: no pass\n");
    assert_eq!(text(&app.client().ask("GET", "/", &["X-Pass: 1"])), "yes");
}

#[test]
fn what_takes_too_long_is_dropped_and_told() {
    struct Dropped;
    static DROPPED: Mutex<u32> = Mutex::new(0);
    impl Drop for Dropped {
        fn drop(&mut self) {
            *DROPPED.lock().unwrap() += 1;
        }
    }
    let router = Router::new()
        .layer(layer::timeout(Duration::from_millis(50)))
        .get("/slow", async |_: Request| {
            let _dropped = Dropped;
            reactor::sleep(Duration::from_secs(60)).await;
            "never"
        })
        .get("/fast", async |_: Request| "now");
    let app = App::serve(router);
    let mut client = app.client();
    assert_eq!(text(&client.ask("GET", "/fast", &[])), "now");
    let slow = client.ask("GET", "/slow", &[]);
    assert_eq!(slow.status, 503);
    assert_eq!(slow.field("Retry-After"), Some("1"));
    assert_eq!(*DROPPED.lock().unwrap(), 1);
    assert_eq!(text(&client.ask("GET", "/fast", &[])), "now");
}

#[test]
fn bodies_are_limited_with_and_without_a_length() {
    let router = Router::new()
        .layer(layer::max_body(10))
        .post("/", async |mut request: Request| {
            Ok::<_, Error>(request.bytes().await?.len().to_string())
        });
    let app = App::serve(router);
    for (length, status) in [(0, 200), (9, 200), (10, 200), (11, 413), (100_000, 413)] {
        let body = vec![b'x'; length];
        let mut client = app.client();
        client.send(&with_body("POST", "/", &[], &body));
        assert_eq!(client.reply("POST").status, status, "{length}");
        let mut client = app.client();
        let mut chunked =
            b"POST / HTTP/1.1\r\nHost: q\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
        for piece in body.chunks(7) {
            chunked.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
            chunked.extend_from_slice(piece);
            chunked.extend_from_slice(b"\r\n");
        }
        chunked.extend_from_slice(b"0\r\n\r\n");
        client.send(&chunked);
        assert_eq!(client.reply("POST").status, status, "{length} in chunks");
    }
}

#[test]
fn whoever_panics_is_answered_for_and_the_server_goes_on() {
    async fn shown(request: Request, next: Next) -> Response {
        let response = next.run(request).await;
        let status = response.status().as_u16().to_string();
        response.with_header("x-seen", status)
    }
    async fn breaks(request: Request) -> &'static str {
        assert!(request.header("x-whole").is_some(), "broken on purpose");
        "whole"
    }
    let caught = Router::new()
        .layer(shown)
        .layer(layer::panics)
        .get("/", breaks);
    let router = Router::new()
        .layer(shown)
        .nest("/caught", caught)
        .get("/", breaks);
    let app = App::serve(router);
    for (target, seen) in [("/caught", Some("500")), ("/", None)] {
        let reply = app.get(target);
        assert_eq!(reply.status, 500, "{target}");
        assert_eq!(reply.field("X-Seen"), seen, "{target}");
        assert!(
            text(&reply).contains("it is in the log"),
            "{}",
            text(&reply)
        );
        let reply = app.client().ask("GET", target, &["X-Whole: 1"]);
        assert_eq!(text(&reply), "whole", "{target}");
    }
}

#[test]
fn text_is_compressed_for_those_who_take_it() {
    let long = "来 water ".repeat(1000);
    let router = Router::new().layer(layer::compress);
    let body = long.clone();
    let router = router.get("/long", move |_: Request| {
        let body = body.clone();
        async { Response::text(body).with_header("etag", "\"x\"") }
    });
    let body = long.clone();
    let router = router.get("/stream", move |_: Request| {
        let body = body.clone();
        async {
            let body = hythe::http::Body::write(async move |mut writer| {
                for piece in body.as_bytes().chunks(1000) {
                    writer.send(piece.to_vec()).await?;
                }
                Ok(())
            });
            Response::text(body)
        }
    });
    let router = router
        .get("/short", async |_: Request| "short")
        .get("/bytes", async |_: Request| vec![7_u8; 10_000]);
    let app = App::serve(router);
    let unzipped = |bytes: &[u8]| {
        let mut text = String::new();
        MultiGzDecoder::new(bytes)
            .read_to_string(&mut text)
            .unwrap();
        text
    };
    for target in ["/long", "/stream"] {
        let zipped = app
            .client()
            .ask("GET", target, &["Accept-Encoding: br, gzip"]);
        assert_eq!(zipped.field("Content-Encoding"), Some("gzip"), "{target}");
        assert_eq!(zipped.field("Vary"), Some("Accept-Encoding"), "{target}");
        assert!(
            zipped.body.len() < long.len() / 4,
            "{target}: {}",
            zipped.body.len()
        );
        assert_eq!(unzipped(&zipped.body), long, "{target}");
        for refused in [&[][..], &["Accept-Encoding: gzip;q=0"]] {
            let plain = app.client().ask("GET", target, refused);
            assert_eq!(plain.field("Content-Encoding"), None, "{target}");
            assert_eq!(plain.field("Vary"), Some("Accept-Encoding"), "{target}");
            assert_eq!(text(&plain), long, "{target}");
        }
    }
    let zipped = app.client().ask("GET", "/long", &["Accept-Encoding: gzip"]);
    assert_eq!(zipped.field("ETag"), Some("W/\"x\""));
    for target in ["/short", "/bytes"] {
        let reply = app.client().ask("GET", target, &["Accept-Encoding: gzip"]);
        assert_eq!(reply.field("Content-Encoding"), None, "{target}");
    }
    let head = app
        .client()
        .ask("HEAD", "/long", &["Accept-Encoding: gzip"]);
    assert_eq!(head.field("Content-Encoding"), Some("gzip"));
}

#[test]
fn other_sites_change_nothing() {
    let router = Router::new()
        .layer(layer::same_origin)
        .get("/", async |_: Request| "read")
        .post("/", async |_: Request| "done");
    let app = App::serve(router);
    for (method, fields, status) in [
        ("GET", &["Sec-Fetch-Site: cross-site"][..], 200),
        ("POST", &["Sec-Fetch-Site: cross-site"], 403),
        ("POST", &["Sec-Fetch-Site: same-site"], 403),
        ("POST", &["Sec-Fetch-Site: same-origin"], 200),
        ("POST", &["Sec-Fetch-Site: none"], 200),
        ("POST", &["Origin: http://evil"], 403),
        ("POST", &["Origin: null"], 403),
        ("POST", &["Origin: http://quay"], 200),
        ("POST", &["Cookie: a=b"], 403),
        ("POST", &[], 200),
    ] {
        let mut client = app.client();
        client.send(&with_body(method, "/", fields, b""));
        assert_eq!(client.reply(method).status, status, "{method} {fields:?}");
    }
}

#[test]
fn names_and_passwords_let_in() {
    let secret = layer::basic_auth("the \"store\"", |name, password| {
        name == b"quay" && password == "开:门".as_bytes()
    });
    let router = Router::new()
        .layer(secret)
        .get("/", async |_: Request| "in");
    let app = App::serve(router);
    let ask = |credentials: &str| {
        let field = format!(
            "Authorization: Basic {}",
            Base64::encode_string(credentials.as_bytes())
        );
        app.client().ask("GET", "/", &[&field])
    };
    assert_eq!(text(&ask("quay:开:门")), "in");
    for wrong in ["quay:开", "quay:", "Quay:开:门", ":", "quay"] {
        let reply = ask(wrong);
        assert_eq!(reply.status, 401, "{wrong}");
        let challenge = "Basic realm=\"the 'store'\", charset=\"UTF-8\"";
        assert_eq!(reply.field("WWW-Authenticate"), Some(challenge));
    }
    assert_eq!(app.get("/").status, 401);
}

#[test]
fn accounts_let_in_by_their_role() {
    let accounts = Accounts::temporary().unwrap();
    for (name, role) in [("reader", Access::Read), ("writer", Access::Write)] {
        accounts
            .add_temporary(name.as_bytes(), b"open sesame", role)
            .unwrap();
    }
    let router = Router::new()
        .layer(layer::accounts(accounts, Access::Write))
        .get("/", async |request: Request| {
            request
                .extensions()
                .get::<Account>()
                .unwrap()
                .name
                .to_string()
        });
    let app = App::serve(router);
    let ask = |credentials: &str| {
        let field = format!(
            "Authorization: Basic {}",
            Base64::encode_string(credentials.as_bytes())
        );
        app.client().ask("GET", "/", &[&field])
    };
    assert_eq!(text(&ask("writer:open sesame")), "writer");
    assert_eq!(
        text(&ask("reader:open sesame")),
        "403 Forbidden: this needs the role write, and reader has read\n"
    );
    assert_eq!(ask("writer:wrong").status, 401);
    assert_eq!(ask("nobody:open sesame").status, 401);
    assert_eq!(app.get("/").status, 401);
}
