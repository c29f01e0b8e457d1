//! Servers and proxies that others wrote.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr};
use std::path::Path;
use std::process::Stdio;

use super::common::http::{Client, Reply, request};
use super::common::servers::{self, tools};
use super::common::{connect, content, eventually, run, tool};
use super::{Asked, Backend, Front};

#[test]
fn servers_of_others_answer_through_us_as_by_themselves() {
    for name in ["nginx", "python", "lighttpd", "apache"] {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("dir")).unwrap();
        fs::write(root.path().join("dir/file.bin"), content(300_000)).unwrap();
        fs::write(root.path().join("a b%.txt"), "odd").unwrap();
        fs::write(root.path().join("empty.txt"), "").unwrap();
        let backend = servers::start(name, root.path());
        let front = Front::to(format!("http://{}/", backend.address));
        let mut client = front.client();
        let bytes = |reply: &Reply| (reply.status, reply.body.clone());
        for (target, status) in [
            ("/api/dir/file.bin", 200),
            ("/api/a%20b%25.txt", 200),
            ("/api/empty.txt", 200),
            ("/api/none", 404),
        ] {
            for method in ["GET", "HEAD"] {
                client.send(&request(method, target, &[]));
                let reply = lenient(&mut client, method);
                assert_eq!(reply.status, status, "{name} {method} {target}");
                let mut direct = Client::new(backend.address);
                direct.send(&request(method, &target["/api".len()..], &[]));
                let direct = lenient(&mut direct, method);
                assert_eq!(bytes(&reply), bytes(&direct), "{name} {method} {target}");
                for field in [
                    "Content-Type",
                    "Content-Length",
                    "ETag",
                    "Last-Modified",
                    "Server",
                ] {
                    assert_eq!(reply.field(field), direct.field(field), "{name} {field}");
                }
            }
        }
        // Parts, and what has not changed.
        client.send(&request(
            "GET",
            "/api/dir/file.bin",
            &["Range: bytes=10-19"],
        ));
        let part = lenient(&mut client, "GET");
        if name != "python" {
            assert_eq!((part.status, part.body.len()), (206, 10), "{name}");
            assert_eq!(part.field("Content-Range"), Some("bytes 10-19/300000"));
        }
        let since = format!(
            "If-Modified-Since: {}",
            part.field("Last-Modified").unwrap()
        );
        client.send(&request("GET", "/api/dir/file.bin", &[&since]));
        assert_eq!(lenient(&mut client, "GET").status, 304, "{name}");
        // A folder's slash leads here, whatever they think their address is.
        client.send(&request("GET", "/api/dir", &[]));
        let moved = lenient(&mut client, "GET");
        if moved.status != 200 && name != "python" {
            assert_eq!(
                moved.field("Location"),
                Some("/api/dir/"),
                "{name}: {moved:?}"
            );
        }
    }
}

/// As they are: their replies don't keep our promises.
fn lenient(client: &mut Client, method: &str) -> Reply {
    client.lenient_reply(method)
}

/// nginx as a proxy for this backend.
fn nginx(folder: &Path, backend: SocketAddr) -> (SocketAddr, impl Drop) {
    let user = match rustix::process::geteuid().is_root() {
        true => "user root root;",
        false => "",
    };
    let port = servers::free_port();
    let own = folder.display();
    let config = format!(
        r#"{user}
daemon off;
worker_processes 1;
pid {own}/pid;
error_log {own}/error.log;
events {{}}
http {{
    access_log off;
    client_body_temp_path {own}/body;
    proxy_temp_path {own}/proxy;
    fastcgi_temp_path {own}/fastcgi;
    uwsgi_temp_path {own}/uwsgi;
    scgi_temp_path {own}/scgi;
    client_max_body_size 0;
    server {{
        listen 127.0.0.1:{port};
        merge_slashes off;
        proxy_http_version 1.1;
        proxy_set_header Host $http_host;
        proxy_set_header Connection "";
        location /api {{ proxy_pass http://{backend}; }}
    }}
}}
"#
    );
    let path = folder.join("nginx.conf");
    fs::write(&path, config).unwrap();
    let mut command = servers::program("nginx", "nginx");
    command.arg("-p").arg(folder).arg("-c").arg(path);
    command.arg("-e").arg(folder.join("error.log"));
    let child = command.stdin(Stdio::null()).spawn().unwrap();
    struct Stop(std::process::Child);
    impl Drop for Stop {
        fn drop(&mut self) {
            // Its workers would outlive it if it were killed.
            let pid = self.0.id().to_string();
            run(tool("kill").args(["-s", "TERM", &pid]));
            self.0.wait().unwrap();
        }
    }
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    eventually("nginx listens", || {
        std::net::TcpStream::connect(address).is_ok()
    });
    (address, Stop(child))
}

/// What of a request is the same, whoever hands it on.
fn essence(asked: &Asked) -> (String, Vec<String>, Vec<u8>) {
    let ours = [
        "x-forwarded-",
        "forwarded",
        "x-real-ip",
        "via",
        "connection",
    ];
    let fields = asked.head[1..].iter().map(|line| {
        let (name, value) = line.split_once(": ").unwrap();
        format!("{}: {value}", name.to_ascii_lowercase())
    });
    let mut fields: Vec<String> = fields
        .filter(|line| !ours.iter().any(|ours| line.starts_with(ours)))
        .collect();
    fields.sort();
    (asked.line().to_owned(), fields, asked.body.clone())
}

#[test]
fn nginx_hands_on_the_same() {
    let (backend, asked) = Backend::answering(
        "HTTP/1.1 200 OK\r\nX-A: b\r\nConnection: X-Gone\r\nKeep-Alive: x\r\n\
         Content-Length: 2\r\n\r\nok",
    );
    let folder = tempfile::tempdir().unwrap();
    let (nginx, _stop) = nginx(folder.path(), backend.address);
    let front = Front::of(&backend);
    for (head, body) in [
        ("GET /api HTTP/1.1", ""),
        ("GET /api/x?y=%20&&z HTTP/1.1", ""),
        ("GET /api/%e6%9d%a5%2f HTTP/1.1", ""),
        ("GET http://quay/api/x HTTP/1.1", ""),
        (
            "HEAD /api/x HTTP/1.1\r\nAccept: a\r\nAccept-Language: b",
            "",
        ),
        (
            "POST /api/x HTTP/1.1\r\nContent-Length: 5\r\nContent-Type: text/x",
            "hello",
        ),
        ("PUT /api/x HTTP/1.1\r\nContent-Length: 0", ""),
        ("DELETE /api/x HTTP/1.1\r\nIf-Match: \"x\"", ""),
        (
            "GET /api/ HTTP/1.1\r\nTE: trailers\r\nKeep-Alive: x\r\nConnection: keep-alive",
            "",
        ),
        (
            "GET /api/ HTTP/1.1\r\nCookie: a=b; c=d\r\nRange: bytes=0-1",
            "",
        ),
        (
            "GET /api/ HTTP/1.1\r\nAuthorization: Basic eDp5\r\nUser-Agent: x",
            "",
        ),
        (
            "GET /api/ HTTP/1.1\r\nUpgrade: h2c\r\nConnection: Upgrade",
            "",
        ),
    ] {
        let mut found = Vec::new();
        for address in [nginx, front.address()] {
            let mut client = Client::new(address);
            let message = format!("{head}\r\nHost: quay\r\n\r\n{body}");
            client.send(message.as_bytes());
            let reply = lenient(&mut client, head.split(' ').next().unwrap());
            let fields = reply.fields.iter().filter(|(name, _)| {
                !["Server", "Date", "Connection", "Via"].contains(&name.as_str())
            });
            let fields: Vec<_> = fields.cloned().collect();
            let request = asked.lock().unwrap().pop().unwrap();
            found.push((
                essence(&request),
                reply.status,
                reply.body.clone(),
                fields.len(),
            ));
        }
        assert_eq!(found[0], found[1], "{head}");
    }
}

#[test]
fn websockets_of_others_talk_through_us() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/proxy/websocket.py");
    for (scheme, more) in [
        ("ws", &[][..]),
        ("ws", &["--model", "threads"]),
        ("wss", &["--tls-self-signed", "--https", "0"]),
    ] {
        let mut python = std::process::Command::new(tools().join("python/bin/python"))
            .arg(&script)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let mut output = BufReader::new(python.stdout.take().unwrap());
        let mut port = String::new();
        output.read_line(&mut port).unwrap();
        let to = format!("/api=http://127.0.0.1:{}", port.trim());
        let front = Front::with(&[&["--proxy", &to], more].concat());
        let before = front.server.sockets();
        let protocol = if scheme == "ws" { "http" } else { "https" };
        let url = format!("{scheme}://{}", front.server.address(protocol));
        writeln!(python.stdin.take().unwrap(), "{url}").unwrap();
        let mut end = String::new();
        output.read_to_string(&mut end).unwrap();
        assert_eq!(end, "done\n");
        assert!(python.wait().unwrap().success());
        eventually("sockets are given back", || {
            front.server.sockets() <= before
        });
        front.server.stop();
    }
}

const UPGRADE: [&str; 4] = [
    "Connection: keep-alive, Upgrade",
    "Upgrade: WebSocket",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: x",
];

#[test]
fn what_is_said_early_is_heard_and_one_end_is_not_both() {
    let backend = Backend::new(|mut peer| {
        let head = peer.head().unwrap();
        assert_eq!(head.field("Upgrade").as_deref(), Some("websocket"));
        assert_eq!(head.field("Connection").as_deref(), Some("Upgrade"));
        assert_eq!(head.field("Sec-WebSocket-Key").as_deref(), Some("x"));
        peer.send(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
              Sec-WebSocket-Accept: y\r\n\r\nearly",
        );
        let mut said = Vec::new();
        // The client's end comes through, and ours is not touched by it.
        peer.0.read_to_end(&mut said).unwrap();
        peer.send(b" last ");
        peer.send(&said);
    });
    let front = Front::of(&backend);
    let mut stream = connect(front.address());
    let mut message = request("GET", "/api/", &UPGRADE);
    message.extend_from_slice(b"hasty");
    stream.write_all(&message).unwrap();
    let mut head = String::new();
    let mut stream = BufReader::new(stream);
    while !head.ends_with("\r\n\r\n") {
        assert_ne!(stream.read_line(&mut head).unwrap(), 0, "{head}");
    }
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    assert!(head.contains("\r\nSec-WebSocket-Accept: y\r\n"), "{head}");
    assert!(head.contains("\r\nConnection: Upgrade\r\n"), "{head}");
    stream.get_mut().write_all(b" words").unwrap();
    stream.get_ref().shutdown(Shutdown::Write).unwrap();
    let mut said = String::new();
    stream.read_to_string(&mut said).unwrap();
    assert_eq!(said, "early last hasty words");
}

#[test]
fn either_end_ends_an_upgraded_connection() {
    let switch: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n";
    // The backend is gone.
    let backend = Backend::new(move |mut peer| {
        peer.head().unwrap();
        peer.send(switch);
    });
    let front = Front::of(&backend);
    let mut client = front.client();
    client.send(&request("GET", "/api/", &UPGRADE));
    assert_eq!(client.head().status, 101);
    assert!(client.has_ended());
    drop(client);
    // The server stops.
    let (send, ended) = std::sync::mpsc::channel();
    let send = std::sync::Mutex::new(send);
    let backend = Backend::new(move |mut peer| {
        peer.head().unwrap();
        peer.send(switch);
        peer.has_ended();
        send.lock().unwrap().send(()).unwrap();
    });
    let front = Front::of(&backend);
    let mut client = front.client();
    client.send(&request("GET", "/api/", &UPGRADE));
    assert_eq!(client.head().status, 101);
    front.server.stop();
    ended.recv_timeout(super::PATIENCE).unwrap();
}
