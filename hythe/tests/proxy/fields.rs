//! What is told to whom: paths, fields for one connection, and who asks.

use super::common::http::request;
use super::{Backend, Front};

const NOTHING: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

#[test]
fn the_path_goes_on_whole_or_with_the_mount_replaced() {
    let (backend, asked) = Backend::answering(NOTHING);
    let at = backend.address;
    let front = Front::with(&[
        "--proxy",
        &format!("/api=http://{at}"),
        "--proxy",
        &format!("/app=http://{at}/"),
        "--proxy",
        &format!("/app/old/=http://{at}/v1/"),
        "--proxy",
        &format!("/留言=http://{at}/"),
    ]);
    for (target, expected) in [
        ("/api", "/api"),
        ("/api/", "/api/"),
        ("/api/x?y=1&%zz", "/api/x?y=1&%zz"),
        ("/api/%61%2fb//c", "/api/%61%2fb//c"),
        ("/%61pi/../api/./x/../%7e", "/api/%7e"),
        ("/app/", "/"),
        ("/app/x%20y?", "/x%20y?"),
        ("/app/old/x", "/v1/x"),
        ("/app/old/", "/v1/"),
        ("/%E7%95%99%e8%a8%80/%E7", "/%E7"),
        ("http://quay/app/x", "/x"),
    ] {
        let reply = front.client().ask("GET", target, &[]);
        assert_eq!(reply.status, 200, "{target}");
        let line = asked.lock().unwrap().pop().unwrap().line().to_owned();
        assert_eq!(line, format!("GET {expected} HTTP/1.1"), "{target}");
    }
    // Links on the first page are relative to it.
    let reply = front.client().ask("GET", "/app?x", &[]);
    assert_eq!(
        (reply.status, reply.field("Location")),
        (308, Some("/app/?x"))
    );
    for target in ["/app/..%2fx", "/app/a/..%5c..%5cx", "/api/..;/x"] {
        assert_eq!(
            front.client().ask("GET", target, &[]).status,
            400,
            "{target}"
        );
    }
    // What is beside is the share's.
    for target in ["/apix", "/app/../x", "/app/%2e%2e/x", "/v1/x"] {
        assert_eq!(
            front.client().ask("GET", target, &[]).status,
            404,
            "{target}"
        );
    }
    assert!(asked.lock().unwrap().is_empty());
    std::fs::write(front.share.path().join("x"), "share").unwrap();
    assert_eq!(front.client().ask("GET", "/app/../x", &[]).body, b"share");
}

#[test]
fn fields_for_one_connection_stay_there_on_the_way_in() {
    let (backend, asked) = Backend::answering(NOTHING);
    let front = Front::of(&backend);
    let own = ["Host", "X-Forwarded-For", "X-Real-IP", "X-Forwarded-Host"];
    let own = [&own[..], &["X-Forwarded-Proto", "Forwarded", "Via"]].concat();
    for (fields, expected) in [
        (
            &["Accept: a", "Accept: b", "X-Y: z"][..],
            &["Accept: a", "Accept: b", "X-Y: z"][..],
        ),
        (&["Connection: close"], &[]),
        (&["Connection: keep-alive", "Keep-Alive: timeout=5"], &[]),
        (&["Proxy-Connection: keep-alive"], &[]),
        (
            &["Proxy-Authorization: Basic x", "Proxy: http://evil/"],
            &[],
        ),
        (&["Authorization: Basic x"], &["Authorization: Basic x"]),
        (&["TE: trailers, deflate", "Connection: TE"], &[]),
        (&["Trailer: X-Sum"], &[]),
        (
            &[
                "Upgrade: h2c",
                "HTTP2-Settings: x",
                "Connection: Upgrade, HTTP2-Settings",
            ],
            &[],
        ),
        (&["Upgrade: websocket"], &[]),
        (&["Upgrade: websocket, h2c", "Connection: upgrade"], &[]),
        (
            &[
                "Connection: X-One, x-two",
                "X-One: 1",
                "X-TWO: 2",
                "X-Three: 3",
            ],
            &["X-Three: 3"],
        ),
        // What names ours removes the client's, not ours.
        (
            &["Connection: X-Forwarded-For, Host, Via, Content-Length"],
            &[],
        ),
        (&["Expect: 100-continue"], &[]),
    ] {
        let reply = front.client().ask("GET", "/api/", fields);
        assert_eq!(reply.status, 200, "{fields:?}");
        let request = asked.lock().unwrap().pop().unwrap();
        let others = request.head[1..].iter().filter(|line| {
            let name = line.split(':').next().unwrap();
            !own.iter().any(|own| own.eq_ignore_ascii_case(name))
        });
        let others: Vec<&str> = others.map(String::as_str).collect();
        assert_eq!(others, expected, "{fields:?}");
        for name in &own {
            assert!(request.field(name).is_some(), "{name} for {fields:?}");
        }
        assert_eq!(request.field("Host").unwrap(), "quay");
    }
}

#[test]
fn fields_for_one_connection_stay_there_on_the_way_out() {
    for (fields, expected) in [
        ("X-A: 1\r\nx-b: 2\r\n", &["X-A: 1", "X-B: 2"][..]),
        ("Connection: close\r\n", &[]),
        (
            "Connection: keep-alive, X-A\r\nKeep-Alive: timeout=5\r\nX-A: 1\r\n",
            &[],
        ),
        (
            "Proxy-Authenticate: Basic\r\nProxy-Connection: close\r\n",
            &[],
        ),
        ("Trailer: X\r\nTE: x\r\nUpgrade: h2c\r\n", &[]),
        (
            "Server: theirs\r\nETag: \"x\"\r\n",
            &["Server: theirs", "ETag: \"x\""],
        ),
        // As nginx does it, the date is ours: that of the answer is now.
        ("Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n", &[]),
    ] {
        let reply = format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: 2\r\n\r\nhi");
        let (backend, _) = Backend::answering(reply);
        let front = Front::of(&backend);
        let reply = front.client().ask("GET", "/api/", &[]);
        assert_eq!((reply.status, &*reply.body), (200, &b"hi"[..]), "{fields}");
        let others = reply
            .fields
            .iter()
            .filter(|(name, _)| !["Date", "Content-Length", "Via"].contains(&name.as_str()));
        let others: Vec<_> = others
            .map(|(name, value)| format!("{name}: {value}"))
            .collect();
        assert_eq!(others, expected, "{fields}");
        assert!(reply.field("Via").unwrap().starts_with("1.1 hythe-"));
        assert_ne!(reply.field("Date"), Some("Sun, 06 Nov 1994 08:49:37 GMT"));
    }
    // Cookies are not joined, as other fields could be.
    let (backend, _) = Backend::answering(
        "HTTP/1.1 200 OK\r\nSet-Cookie: a=1; Path=/\r\nSet-Cookie: b=2\r\nContent-Length: 0\r\n\r\n",
    );
    let front = Front::of(&backend);
    let request = b"GET /api/ HTTP/1.1\r\nHost: q\r\nConnection: close\r\n\r\n";
    let reply = super::common::exchange(front.address(), request);
    let reply = String::from_utf8(reply).unwrap();
    assert!(reply.contains("\r\nSet-Cookie: a=1; Path=/\r\n"), "{reply}");
    assert!(reply.contains("\r\nSet-Cookie: b=2\r\n"), "{reply}");
}

/// What a stranger says of where it comes from is worth nothing.
#[test]
fn the_backend_is_told_who_asks_by_nobody_but_us() {
    let (backend, asked) = Backend::answering(NOTHING);
    let at = backend.address;
    let front = Front::with(&[
        "--proxy",
        &format!("/api=http://{at}"),
        "--proxy",
        &format!("/app=http://{at}/"),
        "--bind",
        "::",
    ]);
    let port = front.address().port();
    let spoofed = [
        "X-Forwarded-For: 6.6.6.6",
        "x-forwarded-for: 6.6.6.7",
        "X-Forwarded-Host: evil",
        "X-Forwarded-Proto: https",
        "X-Forwarded-Port: 666",
        "X-Forwarded-Prefix: /evil",
        "X-Forwarded-Server: evil",
        "X-Forwarded: for=6.6.6.6",
        "Forwarded: for=6.6.6.6;proto=https",
        "X-Real-IP: 6.6.6.6",
        "True-Client-IP: 6.6.6.6",
        "X-Client-IP: 6.6.6.6",
        "X-Cluster-Client-IP: 6.6.6.6",
        // Which CGI, WSGI and PHP can't tell apart.
        "X_Forwarded_For: 6.6.6.6",
        "X-Forwarded_Host: evil",
        "X_Real_IP: 6.6.6.6",
        "Content_Length: 666",
        "Transfer_Encoding: chunked",
    ];
    for (host, peer, node) in [
        ("127.0.0.1", "127.0.0.1", "127.0.0.1"),
        ("[::1]", "::1", "\"[::1]\""),
    ] {
        for (target, prefix) in [("/api/x", None), ("/app/x", Some("/app"))] {
            let address = format!("{host}:{port}").parse().unwrap();
            let mut client = super::Client::new(address);
            client.send(&request("GET", target, &spoofed));
            assert_eq!(client.reply("GET").status, 200);
            let request = asked.lock().unwrap().pop().unwrap();
            let text = request.head.join("\n");
            assert!(!text.contains("6.6.6") && !text.contains("evil"), "{text}");
            assert!(!text.contains("666") && !text.contains('_'), "{text}");
            let forwarded = format!("for={node};host=\"quay\";proto=http");
            for (name, value) in [
                ("X-Forwarded-For", Some(peer)),
                ("X-Real-IP", Some(peer)),
                ("X-Forwarded-Host", Some("quay")),
                ("X-Forwarded-Proto", Some("http")),
                ("X-Forwarded-Prefix", prefix),
                ("Forwarded", Some(&*forwarded)),
            ] {
                assert_eq!(request.field(name).as_deref(), value, "{name}: {text}");
            }
        }
    }
}

#[test]
fn over_tls_the_backend_is_told_so() {
    let (backend, asked) = Backend::answering(NOTHING);
    let to = format!("/api=http://{}", backend.address);
    let front = Front::with(&["--proxy", &to, "--tls-self-signed", "--https", "0"]);
    let url = front.server.url("https").to_owned();
    let mut curl = super::common::tool("curl");
    super::common::run(curl.args(["-skf", &format!("{url}api/x")]));
    let request = asked.lock().unwrap().pop().unwrap();
    assert_eq!(request.field("X-Forwarded-Proto").unwrap(), "https");
    assert!(
        request
            .field("Forwarded")
            .unwrap()
            .ends_with(";proto=https")
    );
}

#[test]
fn hops_are_named_and_circles_end() {
    let (backend, asked) = Backend::answering(
        "HTTP/1.1 200 OK\r\nVia: 1.1 a\r\nVia: 1.0 b (c)\r\nContent-Length: 0\r\n\r\n",
    );
    let front = Front::of(&backend);
    let reply = front
        .client()
        .ask("GET", "/api", &["Via: 1.0 x", "Via: 1.1 y, 1.1 z"]);
    let via = asked.lock().unwrap().pop().unwrap().field("Via").unwrap();
    let ours = via.strip_prefix("1.0 x, 1.1 y, 1.1 z, 1.1 hythe-").unwrap();
    let back = format!("1.1 a, 1.0 b (c), 1.1 hythe-{ours}");
    assert_eq!(reply.field("Via"), Some(&*back));
    // Another hythe in front is none; ourselves are.
    let reply = front.client().ask("GET", "/api", &["Via: 1.1 hythe-0"]);
    assert_eq!(reply.status, 200);
    let seen = format!("Via: 1.0 x, 1.1 hythe-{ours}");
    let reply = front.client().ask("GET", "/api", &[&seen]);
    assert_eq!(reply.status, 508, "{}", reply.text());

    // A server that is its own backend.
    let port = super::common::servers::free_port();
    let front = Front::with(&[
        "--http",
        &port.to_string(),
        "--proxy",
        &format!("/api=http://127.0.0.1:{port}"),
    ]);
    let reply = front.client().ask("GET", "/api/x", &[]);
    assert_eq!(reply.status, 508, "{}", reply.text());
    assert!(front.server.stop().contains("circles"));
}

#[test]
fn places_of_the_backend_become_places_here() {
    let backend = Backend::new(|mut peer| {
        while let Some(asked) = peer.request() {
            // What is behind the question mark.
            let target = asked.line().split(' ').nth(1).unwrap();
            let to = target.split_once('?').unwrap().1;
            let reply =
                format!("HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n");
            peer.send(reply.as_bytes());
        }
    });
    let at = backend.address;
    let kept = format!("/api=http://{at}");
    let replaced = format!("/app=http://{at}/v1/");
    let front = Front::with(&["--proxy", &kept, "--proxy", &replaced]);
    for (target, to, expected) in [
        ("/api/", format!("http://{at}/api/y?z"), "/api/y?z"),
        ("/api/", format!("HTTP://{at}"), "/"),
        ("/app/", format!("http://{at}/v1/y"), "/app/y"),
        ("/app/", format!("http://{at}/v1/"), "/app/"),
        ("/app/", "y".into(), "y"),
        ("/app/", "/v1/y".into(), "/app/y"),
        ("/app/", "/app/y".into(), "/app/y"),
        ("/api/", "/v1/y".into(), "/v1/y"),
        (
            "/api/",
            "https://pier.example/y".into(),
            "https://pier.example/y",
        ),
    ] {
        let reply = front.client().ask("GET", &format!("{target}?{to}"), &[]);
        assert_eq!(reply.field("Location"), Some(expected), "{target} {to}");
    }
    // That would be another host.
    for to in [
        format!("http://{at}//evil/"),
        format!("http://{at}/\\evil/"),
    ] {
        let reply = front.client().ask("GET", &format!("/api/?{to}"), &[]);
        assert_eq!(reply.field("Location"), Some(&*to));
    }
}

/// Whoever is signed in here is nobody's business behind.
#[test]
fn the_cookie_of_a_session_here_is_not_shown() {
    let (backend, asked) = Backend::answering(NOTHING);
    let front = Front::of(&backend);
    let session = format!("hythe-session-{}=secret", front.address().port());
    for (sent, expected) in [
        (session.clone(), None),
        (format!("a=1; {session}; b=2"), Some("a=1; b=2")),
        (format!("a=1;{session}"), Some("a=1")),
        ("a=1;b=2".into(), Some("a=1;b=2")),
        // Of another server on this machine: cookies know no ports.
        ("hythe-session-1=other".into(), None),
        (
            "a-hythe-session-1=other".into(),
            Some("a-hythe-session-1=other"),
        ),
    ] {
        front
            .client()
            .ask("GET", "/api", &[&format!("Cookie: {sent}")]);
        let cookie = asked.lock().unwrap().pop().unwrap().field("Cookie");
        assert_eq!(cookie.as_deref(), expected, "{sent}");
    }
}

#[test]
fn methods_go_on_but_for_what_would_show_too_much() {
    let (backend, asked) = Backend::answering(NOTHING);
    let front = Front::of(&backend);
    for method in [
        "GET", "HEAD", "OPTIONS", "PUT", "POST", "DELETE", "PATCH", "MKCOL", "MOVE",
    ] {
        let reply = front.client().ask(method, "/api/x", &[]);
        assert_eq!(reply.status, 200, "{method}");
        let line = asked.lock().unwrap().pop().unwrap().line().to_owned();
        assert_eq!(line, format!("{method} /api/x HTTP/1.1"));
    }
    let reply = front.client().ask("TRACE", "/api/x", &[]);
    assert_eq!(reply.status, 405);
    assert!(reply.field("Allow").unwrap().contains("GET"));
    assert!(asked.lock().unwrap().is_empty());
}
