//! Answers many clients from one thread. The one idea: **an event loop**. One
//! `select` waits for all sockets, and no other call does. It waits for input
//! from a client, or for room to answer, never both: there is room nearly always,
//! and the loop would turn for nothing. Who fetches no answer is not read from.
//!
//! `cargo run -p hythe-net --example chat_select`, then `nc 127.0.0.1 8000`

use std::{collections::HashMap, env, io, os::fd::AsFd, time::Duration};

use hythe_net::mux::{Interest, Mux, Select};
use hythe_net::{More, Socket, create_server};

const MAX_CLIENTS: usize = 1000; // `select` knows 1,024 descriptors; others wait at the door

/// Sends some of the answer, or takes a message; false when none will come.
fn turn(socket: &Socket, answer: &mut Vec<u8>) -> io::Result<bool> {
    if !answer.is_empty() {
        *answer = answer.split_off(socket.send(answer, More::No)?);
        return Ok(true);
    }
    let mut message = [0; 4096];
    let count = socket.recv(&mut message)?;
    *answer = [&message[..count], b"hello"].concat();
    Ok(count > 0)
}

fn main() -> io::Result<()> {
    let address = env::args().nth(1);
    let address = address.as_deref().unwrap_or("127.0.0.1:8000");
    let listener = create_server(&address.parse()?, false)?;
    listener.set_blocking(false)?;
    let (mut select, mut clients, mut events) = (Select::new(), HashMap::new(), Vec::new());
    let door = select.add(listener.as_fd(), Interest::READ)?;
    println!("listening on {}", listener.sock_name()?);
    let pick = |test, yes, no| if test { yes } else { no };
    let mut pause = None;
    loop {
        select.wait(&mut events, pause.take())?;
        for token in events.drain(..).map(|event| event.token) {
            if let Some((socket, answer)) = clients.get_mut(&token) {
                if turn(socket, answer).unwrap_or(false) {
                    let interest = pick(answer.is_empty(), Interest::READ, Interest::WRITE);
                    select.modify(token, interest)?;
                } else {
                    select.remove(token)?;
                    clients.remove(&token);
                }
            } else if let Ok(socket) = listener.accept_nonblocking()
                && let Ok(token) = select.add(socket.as_fd(), Interest::READ)
            {
                clients.insert(token, (socket, Vec::new()));
            } else {
                pause = Some(Duration::from_millis(100)); // no descriptor is free
            }
        }
        let has_room = pause.is_none() && clients.len() < MAX_CLIENTS;
        select.modify(door, pick(has_room, Interest::READ, Interest::NONE))?;
    }
}
