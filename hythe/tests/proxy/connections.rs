//! Connections to backends: kept, lost, refused and slow ones, and clients that leave.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixListener;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Barrier, Mutex};
use std::thread;
use std::time::Duration;

use hythe::http::{Http, Proxy, Router};
use hythe_net::{Addr, Domain, Kind, Model, MuxKind, Server, Socket};

use super::common::http::{Client, request};
use super::common::{connect, eventually};
use super::{Backend, Front, PATIENCE, Peer};

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

#[test]
fn every_model_hands_requests_on() {
    for model in ["sequential", "threads", "forks", "events", "cores"] {
        let (backend, asked) = Backend::answering(OK);
        let to = format!("/api=http://{}", backend.address);
        let front = Front::with(&["--proxy", &to, "--model", model]);
        let mut client = front.client();
        for _ in 0..3 {
            assert_eq!(client.ask("GET", "/api/", &[]).body, b"ok", "{model}");
        }
        assert_eq!(asked.lock().unwrap().len(), 3);
        assert_eq!(backend.connections(), 1, "{model}");
        drop(client);
        front.server.stop();
    }
}

#[test]
fn a_connection_is_kept_for_the_next_client_and_not_for_long() {
    let (send, ended) = mpsc::channel();
    let send = Mutex::new(send);
    let backend = Backend::new(move |mut peer| {
        while peer.request().is_some() {
            peer.send(OK);
        }
        send.lock().unwrap().send(()).unwrap();
    });
    let to = format!("/api=http://{}", backend.address);
    let front = Front::with(&["--proxy", &to, "--model", "events"]);
    let before = front.server.sockets();
    for method in ["GET", "POST", "PUT", "DELETE", "GET"] {
        assert_eq!(front.client().ask(method, "/api/", &[]).status, 200);
    }
    assert_eq!(backend.connections(), 1);
    ended.recv_timeout(PATIENCE).unwrap();
    eventually("all are closed", || front.server.sockets() == before);
}

#[test]
fn no_more_are_kept_than_the_limit() {
    const AT_ONCE: usize = 40;
    const KEPT: usize = 32;
    let barrier = Barrier::new(AT_ONCE);
    let open = Arc::<AtomicUsize>::default();
    let backend = Backend::new({
        let open = Arc::clone(&open);
        move |mut peer| {
            open.fetch_add(1, Ordering::SeqCst);
            peer.request().unwrap();
            barrier.wait();
            peer.send(OK);
            peer.has_ended();
            open.fetch_sub(1, Ordering::SeqCst);
        }
    });
    let to = format!("/api=http://{}", backend.address);
    let front = Front::with(&["--proxy", &to, "--model", "events"]);
    let mut clients: Vec<Client> = (0..AT_ONCE).map(|_| front.client()).collect();
    for client in &mut clients {
        client.send(&request("GET", "/api/", &[]));
    }
    for client in &mut clients {
        assert_eq!(client.reply("GET").status, 200);
    }
    eventually("the rest are closed", || {
        open.load(Ordering::SeqCst) == KEPT
    });
    eventually("all are closed", || open.load(Ordering::SeqCst) == 0);
}

/// Once only, and only what does no harm twice.
#[test]
fn what_a_closed_connection_swallows_is_asked_again_where_it_may_be() {
    // It answers the first request on each connection, and closes at the second.
    let backend = Backend::new(|mut peer| {
        peer.request().unwrap();
        peer.send(OK);
        peer.head();
    });
    let to = format!("/api=http://{}", backend.address);
    let front = Front::with(&["--proxy", &to, "--model", "events"]);
    let mut expected = 0;
    for (method, body, again) in [
        ("GET", "", true),
        ("HEAD", "", true),
        ("OPTIONS", "", true),
        ("PUT", "", true),
        ("DELETE", "", true),
        ("POST", "", false),
        ("PATCH", "", false),
        ("GET", "body", false),
        ("PUT", "body", false),
    ] {
        // So that one is kept.
        eventually("a fresh one is kept", || {
            expected = backend.connections();
            front.client().ask("GET", "/api/", &[]).status == 200 && {
                let fresh = backend.connections() == expected + 1;
                expected = backend.connections();
                fresh
            }
        });
        let mut client = front.client();
        let length = format!("Content-Length: {}", body.len());
        client.send(&request(method, "/api/", &[&length]));
        client.send(body.as_bytes());
        let reply = client.reply(method);
        assert_eq!(
            reply.status,
            if again { 200 } else { 502 },
            "{method} {body}"
        );
        let connections = backend.connections() - expected;
        assert_eq!(connections, usize::from(again), "{method} {body}");
    }
    // A new one that is closed is not tried again.
    let backend = Backend::new(|mut peer| drop(peer.head()));
    let front = Front::of(&backend);
    assert_eq!(front.client().ask("GET", "/api/", &[]).status, 502);
    assert_eq!(backend.connections(), 1);
}

#[test]
fn requests_that_come_together_are_answered_in_order() {
    let backend = Backend::new(|mut peer| {
        while let Some(asked) = peer.request() {
            let line = asked.line().to_owned();
            let reply = format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{line}",
                line.len()
            );
            peer.send(reply.as_bytes());
        }
    });
    let front = Front::of(&backend);
    let mut client = front.client();
    let targets = ["/api/1", "/", "/api/2", "/api/3"];
    let all: Vec<u8> = targets
        .iter()
        .flat_map(|target| request("GET", target, &[]))
        .collect();
    client.send(&all);
    for target in targets {
        let reply = client.reply("GET");
        assert_eq!(reply.status, 200);
        let answered = reply.text() == format!("GET {target} HTTP/1.1");
        assert_eq!(answered, target != "/", "{target}");
    }
}

#[test]
fn without_a_backend_clients_are_told_and_the_log_knows_why() {
    let free = super::common::servers::free_port();
    let share = tempfile::tempdir().unwrap();
    let socket = share.path().join("socket");
    for (url, cause) in [
        (format!("http://127.0.0.1:{free}"), "nothing listens there"),
        (
            "http://nobody.invalid".into(),
            "no host is called nobody.invalid",
        ),
        (
            format!("unix:{}", socket.display()),
            "No such file or directory",
        ),
    ] {
        let front = Front::to(&url);
        let mut client = front.client();
        for method in ["GET", "POST"] {
            let reply = client.ask(method, "/api/", &[]);
            assert_eq!(reply.status, 502, "{url}");
            let told = "502 Bad Gateway: the server behind this one can't be reached\n";
            assert_eq!(reply.text(), told);
        }
        let log = front.server.stop();
        assert!(log.contains(&url) && log.contains(cause), "{log}");
    }
}

#[test]
fn a_unix_socket_is_a_backend() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let serving = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut heads = Vec::new();
        for _ in 0..2 {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                stream.read_exact(&mut byte).unwrap();
                head.push(byte[0]);
            }
            heads.push(String::from_utf8(head).unwrap());
            stream.write_all(OK).unwrap();
        }
        heads
    });
    let to = format!("/api=unix:{}:/v1/", path.display());
    let front = Front::with(&["--proxy", &to, "--model", "events"]);
    let mut client = front.client();
    for target in ["/api/x", "/api/y"] {
        assert_eq!(client.ask("GET", target, &[]).body, b"ok");
    }
    let heads = serving.join().unwrap();
    assert!(
        heads[0].starts_with("GET /v1/x HTTP/1.1\r\nHost: quay\r\n"),
        "{heads:?}"
    );
    assert!(heads[1].starts_with("GET /v1/y HTTP/1.1\r\n"), "{heads:?}");
}

#[test]
fn a_backend_over_tls_must_be_trusted() {
    let home = tempfile::tempdir().unwrap();
    let other = tempfile::tempdir().unwrap();
    let share = tempfile::tempdir().unwrap();
    std::fs::write(share.path().join("file"), "over TLS").unwrap();
    let secure = |home: &std::path::Path| {
        let mut command = super::common::hythe();
        command.arg("serve").arg(share.path()).env("HOME", home);
        command.args(["--tls-self-signed", "--https", "0", "--model", "events"]);
        command.args(["--http", "off", "--ftp", "off", "--gopher", "off"]);
        super::Served::spawn(command)
    };
    let backend = secure(home.path());
    secure(other.path()).stop();
    for (trusted, status, log) in [
        (&home, 200, ""),
        (&other, 502, "SSL_CERT_FILE names whom to trust"),
    ] {
        let port = backend.address("https").port();
        let mut command = super::common::hythe();
        command.arg("serve").arg(trusted.path());
        command.args(["--http", "0", "--ftp", "off", "--gopher", "off"]);
        command.args(["--proxy", &format!("/api=https://localhost:{port}/")]);
        command.env(
            "SSL_CERT_FILE",
            trusted.path().join(".hythe/self-signed.pem"),
        );
        let front = super::Served::spawn(command);
        let mut client = Client::new(front.address("http"));
        for _ in 0..2 {
            let reply = client.ask("GET", "/api/file", &[]);
            assert_eq!(reply.status, status, "{}", reply.text());
            assert_eq!(reply.text() == "over TLS", status == 200);
        }
        let said = front.stop();
        assert!(said.contains(log), "{said}");
    }
}

/// An application with a proxy that does not wait for long.
fn impatient(backend: SocketAddr) -> (SocketAddr, impl Drop) {
    struct Stop(hythe_net::Shutdown, Option<thread::JoinHandle<()>>);
    impl Drop for Stop {
        fn drop(&mut self) {
            self.0.stop();
            self.1.take().unwrap().join().unwrap();
        }
    }
    let proxy = Proxy::to(&format!("http://{backend}")).unwrap();
    let proxy = proxy.with_timeout(Duration::from_millis(300));
    let model = Model::Events {
        mux: MuxKind::EpollEdge,
    };
    let server = Server::new(model)
        .listen(
            &"127.0.0.1:0".parse().unwrap(),
            Http::new(Router::new().mount("/", proxy)),
        )
        .unwrap();
    let Addr::Inet(address) = server.addresses()[0].clone() else {
        panic!("no address of the internet");
    };
    let shutdown = server.shutdown();
    let running = thread::spawn(move || server.serve().unwrap());
    (address, Stop(shutdown, Some(running)))
}

#[test]
fn a_backend_that_takes_too_long_is_not_waited_for() {
    for slowly in [false, true] {
        let (send, ended) = mpsc::channel();
        let send = Mutex::new(send);
        let backend = Backend::new(move |mut peer| {
            let head = peer.request().unwrap();
            if head.line().contains("/quick") {
                peer.send(OK);
            }
            // A byte now and then is no answer.
            while slowly && peer.stream().write(b"H").is_ok() {
                thread::sleep(Duration::from_millis(20));
            }
            peer.has_ended();
            send.lock().unwrap().send(()).ok();
        });
        let (address, _stop) = impatient(backend.address);
        let mut client = Client::new(address);
        if !slowly {
            client.send(&request("POST", "/x", &["Content-Length: 5"]));
            // The time that the client takes does not count.
            thread::sleep(Duration::from_millis(600));
            client.send(b"hello");
            assert_eq!(client.reply("POST").status, 504);
            ended.recv_timeout(PATIENCE).unwrap();
        }
        let reply = client.ask("GET", "/x", &[]);
        // With an H in the beginning it is no HTTP either.
        let status = if slowly { 502 } else { 504 };
        assert_eq!(reply.status, status, "{}", reply.text());
        ended.recv_timeout(PATIENCE).unwrap();
    }
    let backend = Backend::new(|mut peer| {
        peer.request().unwrap();
        for byte in b"HTTP/1.1 200 OK\r\nX: ".iter().chain(&[b'y'; 1000]) {
            if peer.stream().write(&[*byte]).is_err() {
                return;
            }
            thread::sleep(Duration::from_millis(10));
        }
    });
    let (address, _stop) = impatient(backend.address);
    let reply = Client::new(address).ask("GET", "/", &[]);
    assert_eq!(reply.status, 504, "{}", reply.text());
}

#[test]
fn a_backend_that_can_not_be_connected_to_is_given_up() {
    // Its queue is full, and nobody accepts.
    let listener = Socket::new(Domain::INET, Kind::STREAM).unwrap();
    listener.bind(&"127.0.0.1:0".parse().unwrap()).unwrap();
    listener.listen(0).unwrap();
    let address = listener.sock_name().unwrap().to_string();
    let mut waiting: Vec<TcpStream> = Vec::new();
    let socket_address: SocketAddr = address.parse().unwrap();
    while let Ok(stream) = TcpStream::connect_timeout(&socket_address, Duration::from_millis(200)) {
        waiting.push(stream);
    }
    let front = Front::to(format!("http://{address}"));
    let reply = front.client().ask("GET", "/api/", &[]);
    assert_eq!(reply.status, 504, "{}", reply.text());
}

/// Backends whose connections tell when they have ended.
fn watched(serve: impl Fn(&mut Peer) + Send + Sync + 'static) -> (Backend, Receiver<()>) {
    let (send, ended) = mpsc::channel();
    let send = Mutex::new(send);
    let backend = Backend::new(move |mut peer| {
        serve(&mut peer);
        send.lock().unwrap().send(()).unwrap();
        assert!(peer.has_ended());
        send.lock().unwrap().send(()).unwrap();
    });
    (backend, ended)
}

#[test]
fn a_client_that_leaves_frees_the_backend() {
    type Serve = Box<dyn Fn(&mut Peer) + Send + Sync>;
    let cases: [(&str, &[u8], Serve); 4] = [
        (
            "before the answer",
            b"GET /api/ HTTP/1.1\r\nHost: q\r\n\r\n",
            Box::new(|peer| drop(peer.request())),
        ),
        (
            "before the answer to a body",
            b"POST /api/ HTTP/1.1\r\nHost: q\r\nContent-Length: 2\r\n\r\nab",
            Box::new(|peer| drop(peer.request())),
        ),
        (
            "during the answer",
            b"GET /api/ HTTP/1.1\r\nHost: q\r\n\r\n",
            Box::new(|peer| {
                peer.request();
                peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n");
            }),
        ),
        (
            "during the request",
            b"POST /api/ HTTP/1.1\r\nHost: q\r\nContent-Length: 5\r\n\r\nab",
            Box::new(|peer| {
                peer.head();
                peer.0.read_exact(&mut [0; 2]).unwrap();
            }),
        ),
    ];
    for (when, request, serve) in cases {
        let (backend, ended) = watched(serve);
        let front = Front::of(&backend);
        let mut stream = connect(front.address());
        stream.write_all(request).unwrap();
        ended.recv_timeout(PATIENCE).expect(when);
        if when.starts_with("during the answer") {
            stream.read_exact(&mut [0; 50]).unwrap();
        }
        drop(stream);
        ended.recv_timeout(PATIENCE).expect(when);
    }
}

/// Hundreds of exchanges of all kinds, and then all is as it was.
#[test]
fn nothing_is_left_behind() {
    let backend = Backend::new(|mut peer| {
        while let Some(head) = peer.request() {
            match head.line() {
                line if line.contains("/cut") => {
                    peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhi");
                    return;
                }
                line if line.contains("/junk") => {
                    peer.send(b"junk junk junk\r\n\r\n");
                    return;
                }
                line if line.contains("/wait") => {
                    peer.has_ended();
                    return;
                }
                _ => peer.send(OK),
            }
        }
    });
    let to = format!("/api=http://{}", backend.address);
    let front = Front::with(&["--proxy", &to, "--model", "events"]);
    let round = || {
        for target in ["/api/", "/api/cut", "/api/junk", "/api/wait"] {
            let mut stream = connect(front.address());
            stream.write_all(&request("GET", target, &[])).unwrap();
            if !target.ends_with("wait") {
                stream.read_exact(&mut [0; 10]).unwrap();
            }
        }
    };
    let before = front.server.sockets();
    for _ in 0..20 {
        round();
    }
    thread::sleep(Duration::from_millis(100));
    let memory = front.server.anonymous_memory();
    for _ in 0..250 {
        round();
    }
    eventually("descriptors are given back", || {
        front.server.sockets() <= before
    });
    let grown = front.server.anonymous_memory().saturating_sub(memory);
    assert!(grown < 2 << 10, "{grown} KiB more");
}
