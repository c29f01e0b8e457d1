//! A guest book, for one visitor at a time: six system calls.

use std::{env, io, thread, time::Duration};

use hythe_net::option::ReuseAddr;
use hythe_net::{Addr, Kind, More, Socket};

fn visit(socket: &Socket, book: &mut Vec<String>) -> io::Result<()> {
    socket.send("Welcome, 欢迎！ Your entry?\n".as_bytes(), More::No)?;
    let mut buffer = [0; 1024];
    let count = socket.recv(&mut buffer)?;
    let entry = String::from_utf8_lossy(&buffer[..count]);
    book.push(entry.trim().to_owned());
    let (number, length) = (book.len(), entry.trim().chars().count());
    let thanks = format!("Entry {number}, {length} characters. Thank you!\n");
    socket.send(thanks.as_bytes(), More::No)?;
    Ok(())
}

fn main() -> io::Result<()> {
    let address = env::args().nth(1);
    let address: Addr = address.as_deref().unwrap_or("127.0.0.1:8000").parse()?;
    let listener = Socket::new(address.domain(), Kind::STREAM)?;
    listener.set(ReuseAddr(true))?; // or the port is taken for a minute after each run
    listener.bind(&address)?;
    listener.listen(16)?;
    println!("listening on {}", listener.sock_name()?);
    let mut book = Vec::new();
    loop {
        let visited = listener
            .accept()
            .and_then(|(socket, _)| visit(&socket, &mut book));
        if let Err(error) = visited {
            eprintln!("{error}"); // one visitor less; the book stays open
            thread::sleep(Duration::from_millis(100));
        }
    }
}
