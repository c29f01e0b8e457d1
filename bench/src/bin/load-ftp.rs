//! FTP clients: many whole sessions, big transfers, or sessions that idle.
//!
//! `sessions` is a closed loop: each of its clients, a thread each, begins the
//! next session when the last one has ended. Every reply, and the number of
//! bytes of every transfer, is checked.

use std::error::Error;
use std::fs;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use hythe_bench::args::{Args, Result, run};
use hythe_bench::ftp::{Client, send_all};
use rustix::net::sockopt::set_socket_linger;
use rustix::net::{RecvFlags, recv};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Bytes dropped by one call, as in `load-big`.
const DROP_BYTES: usize = 1024 * 1024;

const USAGE: &str = "load-ftp sessions ADDR NAME [--clients N] [--sessions N] \
    | retr ADDR NAME COUNT | stor ADDR NAME BLOCK SIZE | idle ADDR COUNT";

fn main() -> ExitCode {
    run(USAGE, |mut args| {
        let clients = args.option("--clients")?.unwrap_or(16);
        let count = args.option("--sessions")?.unwrap_or(1000);
        let mode: String = args.word("MODE")?;
        let addr: SocketAddr = args.word("ADDR")?;
        match mode.as_str() {
            "sessions" => sessions(addr, args, clients, count),
            "retr" => retr(addr, args),
            "stor" => stor(addr, args),
            "idle" => idle(addr, args),
            _ => Err(format!("there is no {mode}").into()),
        }
    })
}

fn sessions(addr: SocketAddr, mut args: Args, clients: usize, count: u64) -> Result<()> {
    let name: String = args.word("NAME")?;
    args.finish()?;
    let begun = AtomicU64::new(0);
    let start = Instant::now();
    let client = || -> io::Result<u64> {
        let mut buffer = vec![0; DROP_BYTES];
        let mut bytes = 0;
        while begun.fetch_add(1, Ordering::Relaxed) < count {
            let mut client = Client::log_in(addr)?;
            client.command("TYPE I", 200)?;
            bytes += download(&mut client, &name, &mut buffer)?;
            client.quit()?;
        }
        Ok(bytes)
    };
    let bytes = thread::scope(|scope| {
        let clients: Vec<_> = (0..clients).map(|_| scope.spawn(client)).collect();
        let ended = clients.into_iter().map(|client| client.join());
        ended
            .map(|result| result.map_err(|_| io::Error::other("a client panicked"))?)
            .sum::<io::Result<u64>>()
    })?;
    print(count, bytes, start);
    Ok(())
}

fn retr(addr: SocketAddr, mut args: Args) -> Result<()> {
    let name: String = args.word("NAME")?;
    let count: u64 = args.word("COUNT")?;
    args.finish()?;
    let mut client = Client::log_in(addr)?;
    client.command("TYPE I", 200)?;
    let mut buffer = vec![0; DROP_BYTES];
    let start = Instant::now();
    let mut bytes = 0;
    for _ in 0..count {
        bytes += download(&mut client, &name, &mut buffer)?;
    }
    print(count, bytes, start);
    Ok(client.quit()?)
}

/// RETR; the bytes are dropped in the kernel as `load-big` does it. Gives how
/// many there were.
fn download(client: &mut Client, name: &str, buffer: &mut [u8]) -> io::Result<u64> {
    let data = client.passive()?;
    client.begin(format_args!("RETR {name}"))?;
    let mut bytes = 0;
    loop {
        let (_, length) = recv(&data, &mut *buffer, RecvFlags::TRUNC)?;
        if length == 0 {
            break;
        }
        bytes += length as u64;
    }
    client.expect(226, "the end of RETR")?;
    // All is there and confirmed, so nothing is lost by a reset, and it frees
    // the server's port. A port would else be taken for a minute, and the few
    // ten thousand of them gone before a run is over (tcp(7), TIME_WAIT).
    set_socket_linger(&data, Some(Duration::ZERO))?;
    Ok(bytes)
}

/// STOR of the same block again and again, as in `load-put`.
fn stor(addr: SocketAddr, mut args: Args) -> Result<()> {
    let name: String = args.word("NAME")?;
    let block: PathBuf = args.word("BLOCK")?;
    let size: u64 = args.word("SIZE")?;
    args.finish()?;
    let block = fs::read(block)?;
    let mut client = Client::log_in(addr)?;
    client.command("TYPE I", 200)?;
    let start = Instant::now();
    let data = client.passive()?;
    client.begin(format_args!("STOR {name}"))?;
    send_blocks(&data, &block, size)?;
    drop(data);
    client.expect(226, "the end of STOR")?;
    print(1, size, start);
    Ok(client.quit()?)
}

fn send_blocks(data: &TcpStream, block: &[u8], size: u64) -> io::Result<()> {
    let mut left = size;
    while left > 0 {
        let count = left.min(block.len() as u64);
        send_all(data, &block[..count as usize])?;
        left -= count;
    }
    Ok(())
}

/// Logs in many times and stays until the input ends.
fn idle(addr: SocketAddr, mut args: Args) -> Result<()> {
    let count: usize = args.word("COUNT")?;
    args.finish()?;
    // The soft limit is often 1024; the hard one is ours to use.
    let maximum = getrlimit(Resource::Nofile).maximum;
    let current = maximum;
    setrlimit(Resource::Nofile, Rlimit { current, maximum })?;
    let held = (1..=count)
        .map(|number| {
            Client::log_in(addr).map_err(|error| format!("session {number} of {count}: {error}"))
        })
        .collect::<std::result::Result<Vec<_>, _>>()?;
    println!("ready");
    io::copy(&mut io::stdin(), &mut io::sink())?;
    drop(held);
    Ok::<_, Box<dyn Error>>(())
}

fn print(count: u64, bytes: u64, start: Instant) {
    let seconds = start.elapsed().as_secs_f64();
    println!("requests {count} bytes {bytes} seconds {seconds:.3}");
}
