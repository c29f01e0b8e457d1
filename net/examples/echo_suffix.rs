//! Answers each message with itself and `好好`. The one idea: **a server is an
//! address, a handler, and a model that runs the handler**.
//!
//! The accept loop, the threads and the clean-up of `hello` are the same in
//! every server, so `Server` has them, and the program is left with what is
//! its own. Which `Model` it names decides who runs the handler: a thread per
//! connection here; with `Model::Sequential`, one after another; with
//! `Model::cores()`, an event loop per core. The handler does not change.
//!
//! A message is what one `recv` returned, so a `好` may be split between two:
//! bytes may be passed on blindly, but nothing here may be read as text.
//!
//! ```sh
//! cargo run -p hythe-net --example echo_suffix &
//! nc 127.0.0.1 8000
//! ```

use std::{env, io};

use hythe_net::{Connection, Model, More, Server};

async fn echo(connection: Connection) -> io::Result<()> {
    let stream = &connection.stream;
    stream
        .send_all("来自服务端的问候,你好".as_bytes(), More::No)
        .await?;
    let mut buffer = [0; 4096];
    loop {
        let count = stream.recv(&mut buffer).await?;
        match &buffer[..count] {
            b"" => return Ok(()), // the client has sent all it will
            b"q" | b"q\n" | b"q\r\n" => return Ok(()),
            message => {
                let answer = [message, "好好".as_bytes()].concat();
                stream.send_all(&answer, More::No).await?;
            }
        }
    }
}

fn main() -> io::Result<()> {
    let address = env::args().nth(1);
    let address = address.as_deref().unwrap_or("127.0.0.1:8000");
    let server = Server::new(Model::Threads { max: 100 }).listen(&address.parse()?, echo)?;
    println!("listening on {}", server.addresses()[0]);
    server.serve()
}
