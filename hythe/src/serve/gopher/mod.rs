//! Gopher server for a share (RFC 1436, RFC 4266).
//!
//! ```text
//!  request line ─► Answer::to (on the pool) ─┬─► menu, search, text: pieces ─┐
//!   one, in time                             ├─► file: sendfile              ├─► close
//!                                            └─► page, error: bytes ─────────┘
//! ```
//!
//! Gopher+ requests are answered as plain ones, which is what their clients
//! expect of a server that doesn't say it knows more.
//!
//! Not here: writing and accounts, for which Gopher has no words.
//!
//! ```
//! use hythe::accounts::Gate;
//! use hythe::serve::gopher::Gopher;
//! use hythe::share::{Access, Share};
//! use hythe_net::{Model, Server};
//! use std::io::{Read, Write};
//!
//! # fn main() -> std::io::Result<()> {
//! let gate = Gate::new(Share::open(".".as_ref())?, Access::Read);
//! let server = Server::new(Model::Threads { max: 10 })
//!     .listen(&"127.0.0.1:0".parse()?, Gopher::new(gate, None))?;
//! let (address, shutdown) = (server.addresses()[0].to_string(), server.shutdown());
//! let running = std::thread::spawn(move || server.serve());
//!
//! let mut client = std::net::TcpStream::connect(address)?;
//! client.write_all(b"/no such file\r\n")?;
//! let mut answer = String::new();
//! client.read_to_string(&mut answer)?;
//! assert_eq!(answer, "3There is no such thing here.\t\terror.host\t1\r\n.\r\n");
//! # shutdown.stop();
//! # running.join().expect("the server does not panic")
//! # }
//! ```

mod answer;
mod kind;
mod menu;
mod text;

use std::future::Future;
use std::io;
use std::time::Duration;

use hythe_net::reactor::{lease, unblock};
use hythe_net::{Addr, Connection, Failure, Handler, Input, More};
use hythe_wire::gopher::{PORT, Request};

use super::log::{self, Access};
use super::pump::pump;
use crate::accounts::Gate;
use crate::tls::Channel;
use answer::{Answer, Body};
use menu::Place;

/// How long a client may take for its one line. There is nothing a person
/// types while the connection is open.
pub const REQUEST_DEADLINE: Duration = Duration::from_secs(30);

/// Serves a share over Gopher.
#[derive(Clone, Debug)]
pub struct Gopher {
    gate: Gate,
    host: Option<String>,
}

impl Gopher {
    /// A handler that shows every visitor what the gate shows strangers: there
    /// is no signing in. Menus lead to `host`, or
    /// where none is given, to the address by which the client has reached us.
    pub fn new(gate: Gate, host: Option<String>) -> Self {
        Self { gate, host }
    }

    async fn serve(&self, connection: Connection) -> io::Result<()> {
        let Connection { stream, peer, .. } = connection.map(Channel::plain);
        stream.set_deadline(stream.now().checked_add(REQUEST_DEADLINE));
        let Some(line) = read_line(&stream).await? else {
            return Ok(());
        };
        stream.progressed();
        Box::pin(self.answer(stream, peer, line)).await
    }

    async fn answer(&self, stream: Channel, peer: Addr, line: Vec<u8>) -> io::Result<()> {
        let place = self.place(&stream)?;
        let view = self.gate.stranger("gopher", &peer);
        let (answer, line) = unblock(move || (Answer::to(&line, &view, place), line)).await;
        let Some(answer) = answer else {
            return Ok(());
        };
        let verb = answer.verb;
        let status = answer.status();
        let result = answer.body.send(&stream).await;
        if log::is_on() {
            let bytes = *result.as_ref().unwrap_or(&0);
            let target = match line.trim_ascii_end() {
                b"" => b"/",
                selector => selector,
            };
            Access {
                protocol: "gopher",
                peer: &peer,
                verb,
                target,
                status,
                bytes,
            }
            .write();
        }
        result?;
        stream.close().await;
        Ok(())
    }

    /// Where menus lead to.
    fn place(&self, stream: &Channel) -> io::Result<Place> {
        let local = stream.socket().sock_name()?;
        let address = || local.ip().map_or_else(String::new, |ip| ip.to_string());
        Ok(Place {
            host: self.host.clone().unwrap_or_else(address),
            port: local.port().unwrap_or(PORT),
        })
    }
}

impl Handler for Gopher {
    fn handle(&self, connection: Connection) -> impl Future<Output = io::Result<()>> {
        self.serve(connection)
    }

    fn failed(&self, peer: Option<&Addr>, failure: &Failure) {
        log::failed("gopher", peer, failure);
    }

    fn busy(&self) -> &'static [u8] {
        b"3Too many connections, try again later.\t\terror.host\t1\r\n.\r\n"
    }
}

/// Collects bytes until they are a request, or cannot become one; `None` if
/// the client leaves before that, or the server stops.
async fn read_line(stream: &Channel) -> io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    loop {
        if stream.input().await? == Input::Stopping {
            return Ok(None);
        }
        let mut buffer = lease();
        match stream.recv(&mut buffer).await? {
            0 => return Ok(None),
            count => line.extend_from_slice(&buffer[..count]),
        }
        if !matches!(Request::parse(&line), Ok(None)) {
            return Ok(Some(line));
        }
    }
}

impl Body {
    /// Sends it, and says how many bytes that were.
    async fn send(self, stream: &Channel) -> io::Result<u64> {
        match self {
            Self::Bytes(bytes) => {
                stream.send_all(&bytes, More::No).await?;
                Ok(bytes.len() as u64)
            }
            Self::File { file, size } => {
                stream.send_file(&file, 0..size).await?;
                Ok(size)
            }
            Self::Pieces(pieces) => {
                let mut sent = 0;
                pump(stream, pieces, async |piece| {
                    sent += piece.len() as u64;
                    stream.send_all(piece, More::No).await
                })
                .await?;
                Ok(sent)
            }
        }
    }
}
