//! Answers one request with `Yes` and closes. The one idea: **the end of the
//! stream is a message, too**.
//!
//! The client reads until `recv` returns nothing: then it has the whole reply,
//! however many pieces it came in. HTTP/1.0, Gopher and `daytime` mark the end
//! of a reply in this way.
//!
//! But closing is not quite enough. If bytes from the client lie unread in our
//! kernel's buffer, `close` tells it that they were lost (a reset), and a reset
//! may overtake the reply and destroy it. So: say that we have sent everything
//! (`shutdown`), read what is there, and only then close.
//!
//! ```sh
//! cargo run -p hythe-net --example one_reply &
//! echo 'Is anybody there?' | nc 127.0.0.1 8000
//! ```

use std::{env, io, thread, time::Duration};

use hythe_net::{How, More, Socket, create_server};

fn serve(socket: &Socket) -> io::Result<()> {
    let mut buffer = [0; 64 * 1024];
    if socket.recv(&mut buffer)? == 0 {
        return Ok(()); // it left without a request
    }
    socket.send(b"Yes", More::No)?;
    socket.shutdown(How::Write)?;
    // Only what has come already: to wait for the client to close would hand
    // it the power to keep everybody else waiting.
    socket.set_blocking(false)?;
    while matches!(socket.recv(&mut buffer), Ok(1..)) {}
    Ok(())
}

fn main() -> io::Result<()> {
    let address = env::args().nth(1);
    let address = address.as_deref().unwrap_or("127.0.0.1:8000");
    let listener = create_server(&address.parse()?, false)?;
    println!("listening on {}", listener.sock_name()?);
    loop {
        match listener.accept() {
            Ok((socket, peer)) => {
                serve(&socket).unwrap_or_else(|error| eprintln!("{peer}: {error}"))
            }
            Err(error) => {
                eprintln!("cannot accept: {error}"); // it may be possible again soon
                thread::sleep(Duration::from_millis(100));
            }
        }
    }
}
