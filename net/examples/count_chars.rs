//! Counts the characters of a line. The one idea: **accept, serve, repeat**.
//!
//! `socket`, `bind` and `listen` make the door (`create_server`); `accept` waits
//! for somebody and gives a second socket, the connection; `recv` and `send`
//! talk on it. All of them block: while one client thinks, others wait in the
//! kernel's queue. `hello` cures that. A character is a Unicode scalar value.
//!
//! `cargo run -p hythe-net --example count_chars`, then `nc 127.0.0.1 51423`

use std::{env, io, thread, time::Duration};

use hythe_net::{Addr, How, More, Socket, create_server};

/// The longest line counted, in bytes: what a client makes us remember must have an end.
const MAX_LINE: usize = 1 << 20;

/// A line, which may come in pieces, or what there is of it at the end of the stream.
fn read_line(socket: &Socket) -> io::Result<String> {
    let (mut line, mut buffer) = (Vec::new(), [0; 4096]);
    while line.len() < MAX_LINE && !line.contains(&b'\n') {
        match socket.recv(&mut buffer)? {
            0 => break,
            count => line.extend_from_slice(&buffer[..count]),
        }
    }
    line.truncate(MAX_LINE);
    let line = line.split(|byte| *byte == b'\n').next().unwrap_or_default();
    Ok(String::from_utf8_lossy(line).into_owned())
}

fn serve(socket: &Socket, peer: &Addr) -> io::Result<()> {
    let welcome = format!("welcome,{peer}\nPlease enter a string:");
    socket.send(welcome.as_bytes(), More::No)?;
    let count = read_line(socket)?.trim().chars().count();
    let answer = format!("You entered {count} characters.\n");
    socket.send(answer.as_bytes(), More::No)?;
    socket.shutdown(How::Write)?; // and take what was sent in vain: `one_reply` says why
    socket.set_blocking(false)?;
    while matches!(socket.recv(&mut [0; 4096]), Ok(1..)) {}
    Ok(())
}

fn main() -> io::Result<()> {
    let address = env::args().nth(1);
    let address = address.as_deref().unwrap_or("127.0.0.1:51423");
    let listener = create_server(&address.parse()?, false)?;
    println!("listening on {}", listener.sock_name()?);
    loop {
        match listener.accept() {
            Ok((socket, peer)) => {
                serve(&socket, &peer).unwrap_or_else(|error| eprintln!("{peer}: {error}"))
            }
            Err(error) => {
                eprintln!("cannot accept: {error}"); // it may be possible again soon
                thread::sleep(Duration::from_millis(100));
            }
        }
    }
}
