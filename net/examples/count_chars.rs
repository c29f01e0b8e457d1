//! Counts the characters of a line. The one idea: **accept, serve, repeat**.
//!
//! `socket`, `bind` and `listen` make the door (`create_server` is these
//! three); `accept` waits until somebody comes in, and gives a second socket,
//! the connection; `recv` and `send` talk on it. All of them block: `send`
//! until the kernel has taken everything, `recv` until something is there.
//! While one client thinks about its string, the others wait in the kernel's
//! queue. `hello` cures that.
//!
//! A character is a Unicode scalar value: `你好` has two, though it is six
//! bytes. Bytes that are no UTF-8 count one for each sequence that is bad.
//!
//! `cargo run -p hythe-net --example count_chars`, then `nc 127.0.0.1 51423`

use std::{env, io};

use hythe_net::{Addr, More, Socket, create_server};

/// The longest line, in bytes: what a client can make us remember must have an
/// end. This is far more than anybody types; what is beyond is not counted.
const MAX_LINE: usize = 1 << 20;

/// A line, or what there is of it when the client has sent all it will. It may
/// come in pieces: `recv` gives what has arrived, not what was sent at once.
fn read_line(socket: &Socket) -> io::Result<String> {
    let (mut line, mut buffer) = (Vec::new(), [0; 4096]);
    while line.len() < MAX_LINE && !line.contains(&b'\n') {
        match socket.recv(&mut buffer)? {
            0 => break,
            count => line.extend_from_slice(&buffer[..count]),
        }
    }
    let line = line.split(|byte| *byte == b'\n').next().unwrap_or_default();
    Ok(String::from_utf8_lossy(line).into_owned())
}

fn serve(socket: &Socket, peer: &Addr) -> io::Result<()> {
    let welcome = format!("welcome,{peer}\nPlease enter a string:");
    socket.send(welcome.as_bytes(), More::No)?;
    let count = read_line(socket)?.trim().chars().count();
    let answer = format!(
        "You entered {count} characters.
"
    );
    socket.send(answer.as_bytes(), More::No).map(drop)
}

fn main() -> io::Result<()> {
    let address = env::args().nth(1);
    let address = address.as_deref().unwrap_or("127.0.0.1:51423");
    let listener = create_server(&address.parse()?, false)?;
    println!("listening on {}", listener.sock_name()?);
    loop {
        let (socket, peer) = listener.accept()?;
        if let Err(error) = serve(&socket, &peer) {
            eprintln!("{peer}: {error}"); // its own trouble, not the server's
        }
    }
}
