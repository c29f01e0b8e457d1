//! `hythe serve --proxy` and `http::Proxy`: servers behind this one, those of others
//! and some that do what no server should.

#[path = "../common/mod.rs"]
mod common;

mod bodies;
mod command_line;
mod connections;
mod fields;
mod peers;
mod smuggling;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use common::http::Client;
use common::{PATIENCE, Served, hythe};
use tempfile::TempDir;

/// A server by hand: every connection is given to a function.
struct Backend {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
}

/// A request as it came to a backend.
#[derive(Clone, Debug)]
struct Asked {
    /// The lines of the head.
    head: Vec<String>,
    body: Vec<u8>,
}

impl Backend {
    fn new(serve: impl Fn(Peer) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::<AtomicUsize>::default();
        let serve = Arc::new(serve);
        thread::spawn({
            let connections = Arc::clone(&connections);
            move || {
                for stream in listener.incoming().map_while(Result::ok) {
                    connections.fetch_add(1, Ordering::SeqCst);
                    let serve = Arc::clone(&serve);
                    thread::spawn(move || serve(Peer::new(stream)));
                }
            }
        });
        Self {
            address,
            connections,
        }
    }

    /// Answers every request with these bytes, and writes down what was asked.
    fn answering(reply: impl Into<Vec<u8>>) -> (Self, Arc<Mutex<Vec<Asked>>>) {
        let reply = reply.into();
        let asked = Arc::<Mutex<Vec<Asked>>>::default();
        let backend = Self::new({
            let asked = Arc::clone(&asked);
            move |mut peer| {
                while let Some(request) = peer.request() {
                    asked.lock().unwrap().push(request);
                    peer.send(&reply);
                }
            }
        });
        (backend, asked)
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

/// The proxy's end of a connection, as a backend sees it.
struct Peer(BufReader<TcpStream>);

impl Peer {
    fn new(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Self(BufReader::new(stream))
    }

    fn stream(&self) -> &TcpStream {
        self.0.get_ref()
    }

    fn send(&mut self, bytes: &[u8]) {
        self.0.get_mut().write_all(bytes).ok();
    }

    /// The head of a request; nothing at the end.
    fn head(&mut self) -> Option<Asked> {
        let mut head = Vec::new();
        loop {
            let mut line = String::new();
            if self.0.read_line(&mut line).ok()? == 0 {
                return None;
            }
            let line = line.strip_suffix("\r\n").unwrap();
            if line.is_empty() {
                break;
            }
            head.push(line.to_owned());
        }
        let body = Vec::new();
        Some(Asked { head, body })
    }

    /// A whole request; nothing at the end.
    fn request(&mut self) -> Option<Asked> {
        let mut asked = self.head()?;
        if let Some(length) = asked.field("Content-Length") {
            asked.body.resize(length.parse().unwrap(), 0);
            self.0.read_exact(&mut asked.body).ok()?;
        } else if asked.field("Transfer-Encoding").is_some() {
            while self.chunk(&mut asked.body)? {}
        }
        Some(asked)
    }

    /// A chunk; false if it was the last; nothing at the end.
    fn chunk(&mut self, body: &mut Vec<u8>) -> Option<bool> {
        let mut line = String::new();
        self.0.read_line(&mut line).ok()?;
        let length = usize::from_str_radix(line.strip_suffix("\r\n")?, 16).unwrap();
        let begin = body.len();
        body.resize(begin + length + 2, 0);
        self.0.read_exact(&mut body[begin..]).ok()?;
        body.truncate(begin + length);
        Some(length > 0)
    }

    /// Whether the proxy has ended the connection, once it has said something or
    /// done so.
    fn has_ended(&mut self) -> bool {
        self.0.fill_buf().map_or(true, <[u8]>::is_empty)
    }
}

impl Asked {
    fn line(&self) -> &str {
        &self.head[0]
    }

    /// The values of a field, joined.
    fn field(&self, name: &str) -> Option<String> {
        let fields = self.head[1..]
            .iter()
            .filter_map(|line| line.split_once(": "));
        let found = fields.filter(|(known, _)| known.eq_ignore_ascii_case(name));
        let values: Vec<&str> = found.map(|(_, value)| value).collect();
        (!values.is_empty()).then(|| values.join(" | "))
    }
}

/// A server with proxies, and an empty share.
struct Front {
    server: Served,
    share: TempDir,
    _home: TempDir,
}

impl Front {
    /// One proxy at `/api` for this URL.
    fn to(url: impl std::fmt::Display) -> Self {
        Self::with(&["--proxy", &format!("/api={url}")])
    }

    /// That keeps the path.
    fn of(backend: &Backend) -> Self {
        Self::to(format!("http://{}", backend.address))
    }

    fn with(arguments: &[&str]) -> Self {
        let share = tempfile::tempdir().unwrap();
        let home = tempfile::tempdir().unwrap();
        let mut command = hythe();
        command.arg("serve").arg(share.path());
        if !arguments.contains(&"--http") {
            command.args(["--http", "0"]);
        }
        command.args(["--ftp", "off", "--gopher", "off"]);
        // A certificate is kept there.
        command.args(arguments).env("HOME", home.path());
        Self {
            server: Served::spawn(command),
            share,
            _home: home,
        }
    }

    fn address(&self) -> SocketAddr {
        self.server.address("http")
    }

    fn client(&self) -> Client {
        Client::new(self.address())
    }

    fn url(&self) -> String {
        format!("http://{}", self.address())
    }
}
