//! A guest book that takes messages: each is led by its length.

use std::{env, io, thread, time::Duration};

use hythe_net::{More, Socket, create_server};
use hythe_wire::frame::Frames;

fn visit(socket: &Socket, book: &mut Vec<String>) -> io::Result<()> {
    let frames = Frames::up_to(1000);
    let invalid = |error| io::Error::new(io::ErrorKind::InvalidData, error);
    let (mut waiting, mut buffer) = (Vec::new(), [0; 1024]);
    loop {
        match socket.recv(&mut buffer)? {
            0 => return Ok(()), // the visitor has said all
            count => waiting.extend_from_slice(&buffer[..count]),
        }
        let mut answer = Vec::new();
        // No message, one, or many: that has nothing to do with how often `recv` returned.
        while let Some((message, used)) = frames.decode(&waiting).map_err(invalid)? {
            let entry = String::from_utf8_lossy(message).into_owned();
            let thanks = format!("Entry {}: {entry}\n", book.len() + 1);
            frames
                .encode(thanks.as_bytes(), &mut answer)
                .map_err(invalid)?;
            book.push(entry);
            waiting.drain(..used);
        }
        send_all(socket, &answer)?;
    }
}

/// `send` may take less than it was given, as `recv` may return less than was sent.
fn send_all(socket: &Socket, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        bytes = &bytes[socket.send(bytes, More::No)?..];
    }
    Ok(())
}

fn main() -> io::Result<()> {
    let address = env::args().nth(1);
    let address = address.as_deref().unwrap_or("127.0.0.1:8000");
    let listener = create_server(&address.parse()?, false)?; // socket, bind, listen
    println!("listening on {}", listener.sock_name()?);
    let mut book = Vec::new();
    loop {
        let visited = listener
            .accept()
            .and_then(|(socket, _)| visit(&socket, &mut book));
        if let Err(error) = visited {
            eprintln!("{error}");
            thread::sleep(Duration::from_millis(100));
        }
    }
}
