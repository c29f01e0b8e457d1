//! Greets everybody by name. The one idea: **a thread per connection**.
//!
//! `accept` runs in one thread and each conversation in its own, so nobody
//! waits for anybody. The code of a conversation stays as simple as in
//! `count_chars`. It costs a thread for each client, also for those that say
//! nothing; ten thousand of them are where `chat_select` comes in.
//!
//! A message here is what one `recv` returned, without the line end that `nc`
//! and `telnet` send along; programs that send none are served just as well.
//! That is fragile: two names sent in a hurry may come as one, and a long one
//! as two. `framed_echo` shows how to do better.
//!
//! ```sh
//! cargo run -p hythe-net --example hello &
//! nc 127.0.0.1 9999
//! ```

use std::{env, io, thread, time::Duration};

use hythe_net::{More, Socket, create_server};

fn converse(socket: &Socket) -> io::Result<()> {
    socket.send(b"Welcome!", More::No)?;
    let mut buffer = [0; 4096];
    loop {
        let count = socket.recv(&mut buffer)?;
        if count == 0 {
            return Ok(()); // the client has sent all it will
        }
        let message = &buffer[..count];
        let message = message.strip_suffix(b"\n").unwrap_or(message);
        let message = message.strip_suffix(b"\r").unwrap_or(message);
        if message == b"exit" {
            return Ok(());
        }
        // Bytes, not text: a name in any encoding goes back as it came.
        socket.send(&[b"Hello, ", message, b"!"].concat(), More::No)?;
    }
}

fn main() -> io::Result<()> {
    let address = env::args().nth(1);
    let address = address.as_deref().unwrap_or("127.0.0.1:9999");
    let listener = create_server(&address.parse()?, false)?;
    hythe_net::raise_descriptor_limit()?; // a client takes one
    println!("listening on {}", listener.sock_name()?);
    loop {
        let served = listener.accept().and_then(|(socket, peer)| {
            let run =
                move || converse(&socket).unwrap_or_else(|error| eprintln!("{peer}: {error}"));
            // Not `thread::spawn`, which panics when there can be no more threads.
            thread::Builder::new().spawn(run)
        });
        if let Err(error) = served {
            eprintln!("cannot serve another client: {error}");
            thread::sleep(Duration::from_millis(100)); // somebody may leave meanwhile
        }
    }
}
