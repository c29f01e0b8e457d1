//! A guest book for browsers and curl: HTTP/1.1 by hand.

use std::sync::{Mutex, PoisonError};
use std::{env, io, ops::Range};

use hythe_net::{Connection, Handler, Model, More, Server};
use hythe_wire::http::{FieldStorage, Framing, Head, Method, Request, Version};

/// The longest entry in bytes. Whoever announces more is refused before it is read.
const MAX_ENTRY: u64 = 1000;

/// A whole request: what is asked for, whether another may follow, where its body is.
struct Asked {
    method: Method,
    path: Vec<u8>,
    keep: bool,
    body: Range<usize>,
}

/// The first request in `bytes`, if it is whole; or the status that refuses it.
fn first(bytes: &[u8]) -> Result<Option<Asked>, u16> {
    let mut storage = FieldStorage::new();
    let parsed = Request::parse(bytes, &mut storage).map_err(|error| error.status)?;
    let Some((request, start)) = parsed else {
        return Ok(None);
    };
    let end = match request.framing {
        Framing::None => start,
        Framing::Length(length) if length <= MAX_ENTRY => start + length as usize,
        Framing::Length(_) => return Err(413),
        Framing::Chunked => return Err(411),
    };
    let asked = Asked {
        method: request.method,
        path: request.target.path.to_vec(),
        keep: request.keep_alive,
        body: start..end,
    };
    Ok((bytes.len() >= end).then_some(asked))
}

fn reply(status: u16, text: &str, keep: bool) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut head = Head::response(&mut bytes, Version::Http11, status);
    head = head.field("Content-Type", b"text/plain; charset=utf-8");
    if status == 405 {
        head = head.field("Allow", b"GET, POST");
    }
    if !keep {
        head = head.field("Connection", b"close");
    }
    head.length(text.len() as u64).finish();
    bytes.extend_from_slice(text.as_bytes());
    bytes
}

#[derive(Default)]
struct Book(Mutex<Vec<String>>);

impl Handler for Book {
    async fn handle(&self, Connection { stream, .. }: Connection) -> io::Result<()> {
        let (mut waiting, mut buffer) = (Vec::new(), [0; 1024]);
        loop {
            let (bytes, keep) = match first(&waiting) {
                Ok(Some(asked)) => {
                    let (status, text) = self.answer(&asked, &waiting[asked.body.clone()]);
                    waiting.drain(..asked.body.end); // the next request may be here already
                    (reply(status, &text, asked.keep), asked.keep)
                }
                Ok(None) => match stream.recv(&mut buffer).await? {
                    0 => return Ok(()),
                    count => {
                        waiting.extend_from_slice(&buffer[..count]);
                        continue;
                    }
                },
                Err(status) => (reply(status, "", false), false),
            };
            stream.send_all(&bytes, More::No).await?;
            if !keep {
                stream.close().await; // patiently, so that no reset overtakes the answer
                return Ok(());
            }
        }
    }
}

impl Book {
    fn answer(&self, asked: &Asked, body: &[u8]) -> (u16, String) {
        let mut book = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match (asked.method, &asked.path[..]) {
            (Method::Get, b"/") => (200, book.iter().map(|entry| format!("{entry}\n")).collect()),
            (Method::Post, b"/") => {
                book.push(String::from_utf8_lossy(body).into_owned());
                (201, format!("Entry {}\n", book.len()))
            }
            (Method::Get | Method::Post, _) => (404, "There is no such page.\n".into()),
            _ => (405, String::new()), // no text, since nobody may send one after HEAD
        }
    }
}

fn main() -> io::Result<()> {
    let address = env::args().nth(1);
    let address = address.as_deref().unwrap_or("127.0.0.1:8000").parse()?;
    let server = Server::new(Model::cores()).listen(&address, Book::default())?;
    println!("listening on {}", server.addresses()[0]);
    server.serve()
}
