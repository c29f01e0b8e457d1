//! One upload over one connection: the same block again and again out of
//! memory, so that the client reads no file while a server writes one.

use std::fs;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use hythe_bench::args::run;
use hythe_bench::http::{Responses, put_head};
use rustix::net::{RecvFlags, SendFlags, recv, send};

fn main() -> ExitCode {
    run("load-put ADDR PATH BLOCK SIZE", |mut args| {
        let addr: SocketAddr = args.word("ADDR")?;
        let path: String = args.word("PATH")?;
        let block: PathBuf = args.word("BLOCK")?;
        let size: u64 = args.word("SIZE")?;
        args.finish()?;

        let block = fs::read(block)?;
        let socket = TcpStream::connect(addr)?;
        let start = Instant::now();
        send_all(&socket, &put_head(addr, &path, size))?;
        let mut left = size;
        while left > 0 {
            let count = left.min(block.len() as u64);
            send_all(&socket, &block[..count as usize])?;
            left -= count;
        }
        answered(&socket)?;
        let seconds = start.elapsed().as_secs_f64();
        println!("requests 1 bytes {size} seconds {seconds:.3}");
        Ok(())
    })
}

fn send_all(socket: &TcpStream, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        let sent = send(socket, bytes, SendFlags::NOSIGNAL)?;
        bytes = &bytes[sent..];
    }
    Ok(())
}

/// Waits for the good answer.
fn answered(socket: &TcpStream) -> io::Result<()> {
    let mut responses = Responses::to_put();
    let mut buffer = [0; 16 * 1024];
    loop {
        let (received, _) = recv(socket, &mut buffer, RecvFlags::empty())?;
        if received == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if responses.receive(&buffer[..received])? {
            return Ok(());
        }
    }
}
