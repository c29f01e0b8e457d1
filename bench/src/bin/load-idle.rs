//! Many connections that do one GET each and then nothing: what a server keeps
//! for each of them can be measured while they are held.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::ExitCode;

use hythe_bench::args::run;
use hythe_bench::http::{Responses, request};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

fn main() -> ExitCode {
    run("load-idle ADDR PATH COUNT", |mut args| {
        let addr = args.word("ADDR")?;
        let path: String = args.word("PATH")?;
        let count: usize = args.word("COUNT")?;
        args.finish()?;

        // The soft limit is often 1024; the hard one is ours to use.
        let maximum = getrlimit(Resource::Nofile).maximum;
        setrlimit(
            Resource::Nofile,
            Rlimit {
                current: maximum,
                maximum,
            },
        )?;

        let request = request(addr, &path);
        let mut held = Vec::with_capacity(count);
        for number in 1..=count {
            let connection = open(addr, &request)
                .map_err(|error| format!("connection {number} of {count}: {error}"))?;
            held.push(connection);
        }
        println!("ready");
        io::copy(&mut io::stdin(), &mut io::sink())?;
        Ok(())
    })
}

fn open(addr: SocketAddr, request: &[u8]) -> io::Result<TcpStream> {
    let mut socket = TcpStream::connect(addr)?;
    socket.write_all(request)?;
    let mut responses = Responses::default();
    let mut buffer = [0; 16 * 1024];
    loop {
        let received = socket.read(&mut buffer)?;
        if received == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if responses.receive(&buffer[..received])? {
            return Ok(socket);
        }
    }
}
