//! A guest book on one event loop, with code that reads as if it waited.

use std::{cell::RefCell, env, io, rc::Rc, time::Duration};

use hythe_net::mux::Epoll;
use hythe_net::{Listener, More, Reactor, Stream, create_server, reactor};

/// The whole visit, with its place in it kept by the compiler.
async fn visit(stream: &Stream, book: &RefCell<Vec<String>>) -> io::Result<()> {
    let (mut waiting, mut buffer) = (Vec::new(), [0; 1024]);
    while waiting.len() < 1000 {
        match stream.recv(&mut buffer).await? {
            0 => break,
            count => waiting.extend_from_slice(&buffer[..count]),
        }
        while let Some(end) = waiting.iter().position(|byte| *byte == b'\n') {
            let line: Vec<_> = waiting.drain(..=end).collect();
            let entry = String::from_utf8_lossy(&line).trim().to_owned();
            book.borrow_mut().push(entry.clone());
            let answer = format!("Entry {}: {entry}\n", book.borrow().len());
            stream.send_all(answer.as_bytes(), More::No).await?;
        }
    }
    Ok(())
}

async fn accept(listener: Listener, patience: Duration) -> io::Result<()> {
    let book = Rc::new(RefCell::new(Vec::new())); // no lock: this thread is the only one
    loop {
        let Ok(stream) = listener.accept().await else {
            reactor::sleep(Duration::from_millis(100)).await; // this task only
            continue;
        };
        let book = Rc::clone(&book);
        reactor::spawn(async move {
            let visit = visit(&stream, &book);
            if reactor::timeout(patience, visit).await.is_err() {
                let farewell = "Good night, 晚安！\n".as_bytes();
                stream.send_all(farewell, More::No).await.ok();
            }
        });
    }
}

fn main() -> io::Result<()> {
    let (address, seconds) = (env::args().nth(1), env::args().nth(2));
    let address = address.as_deref().unwrap_or("127.0.0.1:8000");
    let seconds = seconds.and_then(|text| text.parse().ok()).unwrap_or(60);
    let patience = Duration::from_secs(seconds);
    let listener = create_server(&address.parse()?, false)?;
    println!("listening on {}", listener.sock_name()?);
    let reactor = Reactor::new(Epoll::edge()?)?;
    reactor.block_on(async { accept(Listener::new(listener)?, patience).await })?
}
