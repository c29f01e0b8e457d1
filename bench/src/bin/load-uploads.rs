//! A closed loop of small uploads: each connection sends another file, with a
//! name of its own, once the one before is answered. Every answer is checked.
//! With `--per-connection 1` each file has a connection of its own, as when a
//! script calls `curl -T` for each.

use std::collections::VecDeque;
use std::fs;
use std::io::{self, IoSlice};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use hythe_bench::args::run;
use hythe_bench::http::{Responses, put_head};
use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendFlags, recv, sendmsg};

/// Room for one `recv`: any answer to a PUT.
const RECV_BYTES: usize = 16 * 1024;

struct Connection {
    socket: TcpStream,
    responses: Responses,
    answered: u64,
}

fn main() -> ExitCode {
    run(
        "load-uploads ADDR PREFIX BODY [--connections N] [--requests N] [--per-connection N]",
        |mut args| {
            let connections = args.option("--connections")?.unwrap_or(16);
            let requests = args.option("--requests")?.unwrap_or(10_000);
            let per_connection = args.option("--per-connection")?.unwrap_or(u64::MAX);
            let addr: SocketAddr = args.word("ADDR")?;
            let prefix: String = args.word("PREFIX")?;
            let body: PathBuf = args.word("BODY")?;
            args.finish()?;

            let body = fs::read(body)?;
            let mut connections = (0..connections)
                .map(|_| Connection::open(addr))
                .collect::<io::Result<Vec<_>>>()?;
            let names = (0..requests).map(|number| format!("{prefix}{number:06}"));
            let heads = names.map(|path| put_head(addr, &path, body.len() as u64));
            // Made beforehand, so that the time is the server's.
            let heads: VecDeque<Vec<u8>> = heads.collect();
            let start = Instant::now();
            upload(&mut connections, per_connection, heads, &body)?;
            let seconds = start.elapsed().as_secs_f64();
            let bytes = requests * body.len() as u64;
            println!("requests {requests} bytes {bytes} seconds {seconds:.3}");
            Ok(())
        },
    )
}

/// Sends `body` once after each head, and has every one answered; after
/// `per_connection` of them a connection makes room for a new one.
fn upload(
    connections: &mut [Connection],
    per_connection: u64,
    mut heads: VecDeque<Vec<u8>>,
    body: &[u8],
) -> io::Result<()> {
    let epoll = epoll::create(CreateFlags::CLOEXEC)?;
    let mut waiting = 0;
    for (at, connection) in connections.iter().enumerate() {
        watch(&epoll, connection, at)?;
        if let Some(head) = heads.pop_front() {
            connection.send(&head, body)?;
            waiting += 1;
        }
    }
    let mut buffer = vec![0; RECV_BYTES];
    let mut events = Vec::with_capacity(connections.len());
    while waiting > 0 {
        match epoll::wait(&epoll, spare_capacity(&mut events), None) {
            Err(Errno::INTR) => continue,
            result => result?,
        };
        for event in events.drain(..) {
            let at = event.data.u64() as usize;
            let connection = &mut connections[at];
            if !connection.receive(&mut buffer)? {
                continue;
            }
            connection.answered += 1;
            if connection.answered == per_connection && !heads.is_empty() {
                *connection = Connection::open(connection.socket.peer_addr()?)?;
                watch(&epoll, connection, at)?;
            }
            match heads.pop_front() {
                Some(head) => connection.send(&head, body)?,
                None => waiting -= 1,
            }
        }
    }
    Ok(())
}

fn watch(epoll: impl AsFd, connection: &Connection, at: usize) -> io::Result<()> {
    let token = EventData::new_u64(at as u64);
    let interest = EventFlags::IN | EventFlags::ET;
    epoll::add(epoll, &connection.socket, token, interest)?;
    Ok(())
}

impl Connection {
    fn open(addr: SocketAddr) -> io::Result<Self> {
        let socket = TcpStream::connect(addr)?;
        socket.set_nodelay(true)?;
        socket.set_nonblocking(true)?;
        Ok(Self {
            socket,
            responses: Responses::to_put(),
            answered: 0,
        })
    }

    /// Sends a request in one go: it is far smaller than an empty socket's
    /// buffer.
    fn send(&self, head: &[u8], body: &[u8]) -> io::Result<()> {
        let parts = [IoSlice::new(head), IoSlice::new(body)];
        let none = &mut SendAncillaryBuffer::default();
        let sent = sendmsg(&self.socket, &parts, none, SendFlags::NOSIGNAL)?;
        if sent < head.len() + body.len() {
            return Err(io::Error::other(
                "the request does not fit a socket's buffer",
            ));
        }
        Ok(())
    }

    /// Receives what is there; true when that completes a response.
    fn receive(&mut self, buffer: &mut [u8]) -> io::Result<bool> {
        loop {
            let received = match recv(&self.socket, &mut *buffer, RecvFlags::empty()) {
                Err(Errno::AGAIN) => return Ok(false),
                result => result?.0,
            };
            if received == 0 {
                return Err(io::Error::other("the server closed a connection"));
            }
            // Once complete, nothing more can be there: nothing else was asked.
            if self.responses.receive(&buffer[..received])? {
                return Ok(true);
            }
        }
    }
}
