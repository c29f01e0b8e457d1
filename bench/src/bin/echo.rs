//! An echo server by any model of ours: what a model costs per round trip.

use std::io;
use std::process::ExitCode;
use std::str::FromStr;

use hythe_bench::args::run;
use hythe_net::{Addr, Connection, Limits, Model, More, MuxKind, Server, raise_descriptor_limit};

/// As many connections as any of these measurements makes, and more.
const MAX: usize = 4096;

fn main() -> ExitCode {
    run("echo MODEL ADDR", |mut args| {
        let NamedModel(model) = args.word("MODEL")?;
        let address: Addr = args.word("ADDR")?;
        args.finish()?;

        raise_descriptor_limit()?;
        let limits = Limits {
            max: MAX,
            max_per_address: MAX, // all come from this machine
            ..Limits::default()
        };
        let server = Server::new(model).limits(limits).listen(&address, echo)?;
        println!("listening on {}", server.addresses()[0]);
        server.serve()?;
        Ok(())
    })
}

async fn echo(connection: Connection) -> io::Result<()> {
    let stream = connection.stream;
    let mut buffer = [0; 4096];
    loop {
        match stream.recv(&mut buffer).await? {
            0 => return Ok(()),
            count => stream.send_all(&buffer[..count], More::No).await?,
        }
    }
}

/// `sequential`, `threads`, `forks`, `cores`, or a multiplexer for one event loop.
struct NamedModel(Model);

impl FromStr for NamedModel {
    type Err = io::Error;

    fn from_str(name: &str) -> io::Result<Self> {
        Ok(Self(match name {
            "sequential" => Model::Sequential,
            "threads" => Model::Threads { max: MAX },
            "forks" => Model::Forks { max: MAX },
            "cores" => Model::cores(),
            mux => Model::Events {
                mux: MuxKind::from_str(mux)?,
            },
        }))
    }
}
