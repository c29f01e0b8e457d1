//! Sends back what it receives. The one idea: **the same handler runs under any
//! model**: one connection after another (`sequential`), a thread or a process
//! for each (`threads`, `forks`), one event loop for all (`events`), or a loop
//! per core (`cores`, the default). What differs is what a client costs, and
//! whom it can keep waiting.
//!
//! `cargo run -p hythe-net --example models -- 127.0.0.1:7007 threads`

use std::{env, io};

use hythe_net::{Connection, Model, More, MuxKind, Server};

async fn echo(connection: Connection) -> io::Result<()> {
    let mut buffer = [0; 4096];
    loop {
        match connection.stream.recv(&mut buffer).await? {
            0 => return Ok(()),
            count => {
                connection
                    .stream
                    .send_all(&buffer[..count], More::No)
                    .await?
            }
        }
    }
}

fn main() -> io::Result<()> {
    let mut words = env::args().skip(1);
    let address = words.next().unwrap_or_else(|| "127.0.0.1:7007".into());
    let model = match words.next().as_deref() {
        None | Some("cores") => Model::cores(),
        Some("sequential") => Model::Sequential,
        Some("threads") => Model::Threads { max: 100 },
        Some("forks") => Model::Forks { max: 100 },
        Some("events") => Model::Events {
            mux: MuxKind::EpollEdge,
        },
        Some(other) => {
            let text =
                format!("no model `{other}`; there are sequential, threads, forks, events, cores");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
    };
    let server = Server::new(model).listen(&address.parse()?, echo)?;
    println!("listening on {}", server.addresses()[0]);
    server.serve()
}
