//! A guest book with a thread for each visitor.

use std::sync::{Arc, Mutex, PoisonError};
use std::{env, io};

use hythe_net::{Connection, Model, More, Server};

/// The longest line in bytes: what a visitor makes us remember must have an end.
const MAX_LINE: usize = 1000;

/// Cuts the first line off what has come, if it is whole.
fn next_line(waiting: &mut Vec<u8>) -> io::Result<Option<String>> {
    match waiting.iter().position(|byte| *byte == b'\n') {
        Some(end) => {
            let line: Vec<_> = waiting.drain(..=end).collect();
            Ok(Some(String::from_utf8_lossy(&line).trim().to_owned()))
        }
        None if waiting.len() > MAX_LINE => Err(io::ErrorKind::InvalidData.into()),
        None => Ok(None),
    }
}

async fn visit(connection: Connection, book: Arc<Mutex<Vec<String>>>) -> io::Result<()> {
    let (mut waiting, mut buffer) = (Vec::new(), [0; 1024]);
    loop {
        match connection.stream.recv(&mut buffer).await? {
            0 => return Ok(()),
            count => waiting.extend_from_slice(&buffer[..count]),
        }
        while let Some(entry) = next_line(&mut waiting)? {
            let answer = {
                // One at a time here; and not while we send, which may take long.
                let mut book = book.lock().unwrap_or_else(PoisonError::into_inner);
                book.push(entry.clone());
                format!("Entry {}: {entry}\n", book.len())
            };
            connection
                .stream
                .send_all(answer.as_bytes(), More::No)
                .await?;
        }
    }
}

fn main() -> io::Result<()> {
    let address = env::args().nth(1);
    let address = address.as_deref().unwrap_or("127.0.0.1:8000");
    let book = Arc::default();
    let server = Server::new(Model::Threads { max: 100 })
        .listen(&address.parse()?, move |connection| {
            visit(connection, Arc::clone(&book))
        })?;
    println!("listening on {}", server.addresses()[0]);
    server.serve()
}
