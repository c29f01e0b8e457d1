//! Applications on `hythe::http`: routers, layers, bodies, and clients that leave.

#[path = "../common/mod.rs"]
mod common;

mod bodies;
mod departures;
mod layers;
mod mounts;
mod programs;
mod routes;

use std::net::{SocketAddr, TcpStream};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use common::PATIENCE;
use common::http::{Client, Reply};
use hythe::http::{Http, Service};
use hythe_net::{Addr, Limits, Model, MuxKind, Server, Shutdown};

/// A service that is spoken to over sockets, on one event loop.
struct App {
    address: SocketAddr,
    shutdown: Shutdown,
    running: Option<JoinHandle<()>>,
}

impl App {
    fn serve(service: impl Service) -> Self {
        Self::serve_by(
            Model::Events {
                mux: MuxKind::EpollEdge,
            },
            service,
        )
    }

    fn serve_by(model: Model, service: impl Service) -> Self {
        let limits = Limits {
            drain: Duration::from_secs(1),
            ..Limits::default()
        };
        let server = Server::new(model)
            .limits(limits)
            .listen(&"127.0.0.1:0".parse().unwrap(), Http::new(service))
            .unwrap();
        let Addr::Inet(address) = server.addresses()[0].clone() else {
            panic!("no address of the internet");
        };
        let shutdown = server.shutdown();
        let running = Some(thread::spawn(move || server.serve().unwrap()));
        Self {
            address,
            shutdown,
            running,
        }
    }

    fn client(&self) -> Client {
        Client::new(self.address)
    }

    fn get(&self, target: &str) -> Reply {
        self.client().ask("GET", target, &[])
    }

    fn connect(&self) -> TcpStream {
        common::connect(self.address)
    }
}

impl Drop for App {
    fn drop(&mut self) {
        self.shutdown.stop();
        let ended = self.running.take().unwrap().join();
        if !thread::panicking() {
            ended.unwrap();
        }
    }
}

/// A body as text.
fn text(reply: &Reply) -> &str {
    std::str::from_utf8(&reply.body).unwrap()
}

/// A request with a body of a known length.
fn with_body(method: &str, target: &str, fields: &[&str], body: &[u8]) -> Vec<u8> {
    let mut bytes = format!("{method} {target} HTTP/1.1\r\nHost: quay\r\n").into_bytes();
    for field in fields {
        bytes.extend_from_slice(format!("{field}\r\n").as_bytes());
    }
    bytes.extend_from_slice(format!("Content-Length: {}\r\n\r\n", body.len()).as_bytes());
    bytes.extend_from_slice(body);
    bytes
}

/// Waits until something is so.
fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < until, "never: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}
