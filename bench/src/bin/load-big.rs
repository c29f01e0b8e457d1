//! One download over one connection, thrown away as cheaply as can be: with
//! `MSG_TRUNC` the kernel drops the bytes without copying them here, so the
//! client leaves the machine's memory bandwidth to the server. See tcp(7).

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::process::ExitCode;
use std::time::Instant;

use hythe_bench::args::run;
use hythe_bench::http::{Responses, request};
use rustix::net::{RecvFlags, SendFlags, recv, send};

/// Bytes dropped by one call. The buffer is never written to; it only tells
/// the kernel how much to drop.
const DROP_BYTES: usize = 1024 * 1024;

fn main() -> ExitCode {
    run("load-big ADDR PATH", |mut args| {
        let addr: SocketAddr = args.word("ADDR")?;
        let path: String = args.word("PATH")?;
        args.finish()?;

        let socket = TcpStream::connect(addr)?;
        let start = Instant::now();
        send(&socket, &request(addr, &path), SendFlags::NOSIGNAL)?;
        let bytes = download(&socket)?;
        let seconds = start.elapsed().as_secs_f64();
        println!("requests 1 bytes {bytes} seconds {seconds:.3}");
        Ok(())
    })
}

fn download(socket: &TcpStream) -> io::Result<u64> {
    let mut responses = Responses::default();
    let mut buffer = vec![0; DROP_BYTES];
    loop {
        let flags = match responses.left() {
            None => RecvFlags::empty(),
            Some(_) => RecvFlags::TRUNC,
        };
        let (received, _) = recv(socket, &mut *buffer, flags)?;
        let complete = match responses.left() {
            _ if received == 0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            None => responses.receive(&buffer[..received])?,
            Some(_) => responses.skip(received)?,
        };
        if complete {
            return Ok(responses.length());
        }
    }
}
