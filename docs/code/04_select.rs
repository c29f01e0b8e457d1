//! A guest book for many visitors in one thread: an event loop, written out.

use std::{collections::HashMap, env, io, os::fd::AsFd};

use hythe_net::mux::{Epoll, Interest, Mux, Poll, Select};
use hythe_net::{More, Socket, create_server};

/// A visitor, and where we are with them: a loop that must not wait has to write it down.
struct Visitor {
    socket: Socket,
    waiting: Vec<u8>, // came, and is no whole line yet
    answer: Vec<u8>,  // is to be sent
}

impl Visitor {
    fn new(socket: Socket) -> Self {
        let (waiting, answer) = (Vec::new(), Vec::new());
        Self {
            socket,
            waiting,
            answer,
        }
    }

    /// Does one thing that does not wait; false when it was the last.
    fn turn(&mut self, book: &mut Vec<String>) -> io::Result<bool> {
        if !self.answer.is_empty() {
            let sent = self.socket.send(&self.answer, More::No)?;
            self.answer.drain(..sent);
            return Ok(true);
        }
        let mut buffer = [0; 1024];
        let count = self.socket.recv(&mut buffer)?;
        self.waiting.extend_from_slice(&buffer[..count]);
        while let Some(end) = self.waiting.iter().position(|byte| *byte == b'\n') {
            let line: Vec<_> = self.waiting.drain(..=end).collect();
            book.push(String::from_utf8_lossy(&line).trim().to_owned());
            let answer = format!("Entry {}: {}\n", book.len(), book[book.len() - 1]);
            self.answer.extend_from_slice(answer.as_bytes());
        }
        Ok(count > 0 && self.waiting.len() < 1000)
    }

    /// Input, or room for the answer, but never both: there is nearly always room.
    fn interest(&self) -> Interest {
        if self.answer.is_empty() {
            Interest::READ
        } else {
            Interest::WRITE
        }
    }
}

fn main() -> io::Result<()> {
    let (address, name) = (env::args().nth(1), env::args().nth(2));
    let mut mux: Box<dyn Mux> = match name.as_deref() {
        Some("select") => Box::new(Select::new()),
        Some("poll") => Box::new(Poll::new()),
        _ => Box::new(Epoll::level()?),
    };
    let address = address.as_deref().unwrap_or("127.0.0.1:8000");
    let listener = create_server(&address.parse()?, false)?;
    listener.set_blocking(false)?;
    let door = mux.add(listener.as_fd(), Interest::READ)?;
    println!("listening on {}", listener.sock_name()?);
    let (mut book, mut visitors, mut events) = (Vec::new(), HashMap::new(), Vec::new());
    loop {
        mux.wait(&mut events, None)?; // the only place where this program waits
        for token in events.drain(..).map(|event| event.token) {
            if token == door {
                if let Ok(socket) = listener.accept_nonblocking()
                    && let Ok(token) = mux.add(socket.as_fd(), Interest::READ)
                {
                    visitors.insert(token, Visitor::new(socket));
                }
            } else if let Some(visitor) = visitors.get_mut(&token) {
                if visitor.turn(&mut book).unwrap_or(false) {
                    mux.modify(token, visitor.interest())?;
                } else {
                    mux.remove(token)?;
                    visitors.remove(&token);
                }
            }
        }
    }
}
