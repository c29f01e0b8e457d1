//! A guest book under any model: an address, a handler, and who runs it.

use std::sync::{Mutex, PoisonError};
use std::{env, io, os::unix::net::UnixStream};

use hythe_net::{Addr, Connection, Failure, Handler, Limits, Model, More, MuxKind, Server};
use signal_hook::consts::SIGINT;

#[derive(Default)]
struct Book(Mutex<Vec<String>>);

impl Handler for Book {
    async fn handle(&self, connection: Connection) -> io::Result<()> {
        let (mut waiting, mut buffer) = (Vec::new(), [0; 1024]);
        while waiting.len() < 1000 {
            match connection.stream.recv(&mut buffer).await? {
                0 => break,
                count => waiting.extend_from_slice(&buffer[..count]),
            }
            while let Some(end) = waiting.iter().position(|byte| *byte == b'\n') {
                let line: Vec<_> = waiting.drain(..=end).collect();
                let answer = self.write(String::from_utf8_lossy(&line).trim());
                connection
                    .stream
                    .send_all(answer.as_bytes(), More::No)
                    .await?;
            }
        }
        Ok(())
    }

    fn busy(&self) -> &'static [u8] {
        "The room is full, 客满. Come back later.\n".as_bytes()
    }

    fn failed(&self, peer: Option<&Addr>, failure: &Failure) {
        eprintln!("{peer:?}: {failure}");
    }
}

impl Book {
    fn write(&self, entry: &str) -> String {
        let mut book = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        book.push(entry.to_owned());
        format!("Entry {}: {entry}\n", book.len())
    }
}

fn main() -> io::Result<()> {
    let (address, name) = (env::args().nth(1), env::args().nth(2));
    let model = match name.as_deref() {
        Some("sequential") => Model::Sequential,
        Some("threads") => Model::Threads { max: 100 },
        Some("forks") => Model::Forks { max: 100 },
        Some("events") => Model::Events {
            mux: MuxKind::EpollEdge,
        },
        _ => Model::cores(),
    };
    let address = address.as_deref().unwrap_or("127.0.0.1:8000");
    let limits = Limits {
        max: 200,
        ..Limits::default()
    };
    // Ctrl-C writes to a pipe, and the server stops when there is something to read.
    let (stop, pressed) = UnixStream::pair()?;
    signal_hook::low_level::pipe::register(SIGINT, pressed)?;
    let server = Server::new(model)
        .stop_on(stop)
        .limits(limits)
        .listen(&address.parse()?, Book::default())?;
    println!("listening on {}", server.addresses()[0]);
    server.serve()
}
