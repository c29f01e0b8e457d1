//! Sends frames back. The one idea: **a stream has no messages; make some**.
//!
//! Two messages are sent at once, `ab` and `c`, and this is what may happen:
//!
//! ```text
//!                 one recv returns     the program sees
//! echo_suffix     abc                  one message, `abc`     glued
//!                 a, then bc           `a` and `bc`           split
//! framed_echo     0002ab0001c          `ab`, then `c`
//!                 00, then 02ab0001c   nothing yet; `ab`, then `c`
//! ```
//!
//! The disease: *`recv` returned, so that is the message*. The cure: each
//! message is led by its length (four bytes; two above, to be short), what
//! came is kept until a frame is whole, and what is left over is kept for the
//! next one. See `hythe_wire::frame`, which knows nothing of sockets.
//!
//! ```sh
//! cargo run -p hythe-net --example framed_echo &
//! printf '\0\0\0\2ab\0\0\0\1c' | nc -N 127.0.0.1 9997 | xxd
//! ```

use std::{env, io};

use hythe_net::{Connection, Model, More, MuxKind, Server};
use hythe_wire::frame::Frames;

async fn echo(connection: Connection) -> io::Result<()> {
    let frames = Frames::new();
    let invalid = |error| io::Error::new(io::ErrorKind::InvalidData, error);
    let (mut waiting, mut answer) = (Vec::new(), Vec::new());
    let mut buffer = [0; 4096];
    loop {
        match connection.stream.recv(&mut buffer).await? {
            0 => return Ok(()),
            count => waiting.extend_from_slice(&buffer[..count]),
        }
        // No frame, one, or many: that has nothing to do with how often `recv` returned.
        while let Some((payload, used)) = frames.decode(&waiting).map_err(invalid)? {
            frames.encode(payload, &mut answer).map_err(invalid)?;
            waiting.drain(..used);
        }
        connection.stream.send_all(&answer, More::No).await?;
        answer.clear();
    }
}

fn main() -> io::Result<()> {
    let address = env::args().nth(1);
    let address = address.as_deref().unwrap_or("127.0.0.1:9997");
    let events = Model::Events {
        mux: MuxKind::EpollLevel,
    };
    let server = Server::new(events).listen(&address.parse()?, echo)?;
    println!("listening on {}", server.addresses()[0]);
    server.serve()
}
