//! A closed loop of GETs: each connection asks again once it is answered, so
//! the server is never asked for more than it can do. Every answer's status
//! and length are checked.

use std::io::{self, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::ExitCode;
use std::time::Instant;

use hythe_bench::args::run;
use hythe_bench::http::{Responses, request};
use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};

/// Room for one `recv`: a small file and its head at once.
const RECV_BYTES: usize = 64 * 1024;

struct Connection {
    socket: TcpStream,
    responses: Responses,
}

fn main() -> ExitCode {
    run(
        "load-http ADDR PATH [--connections N] [--requests N]",
        |mut args| {
            let connections = args.option("--connections")?.unwrap_or(64);
            let requests = args.option("--requests")?.unwrap_or(100_000);
            let addr = args.word("ADDR")?;
            let path: String = args.word("PATH")?;
            args.finish()?;

            let mut connections = connect(addr, connections)?;
            let start = Instant::now();
            let bytes = ask(&mut connections, &request(addr, &path), requests)?;
            let seconds = start.elapsed().as_secs_f64();
            println!("requests {requests} bytes {bytes} seconds {seconds:.3}");
            Ok(())
        },
    )
}

fn connect(addr: SocketAddr, count: usize) -> io::Result<Vec<Connection>> {
    (0..count)
        .map(|_| {
            let socket = TcpStream::connect(addr)?;
            socket.set_nodelay(true)?;
            socket.set_nonblocking(true)?;
            Ok(Connection {
                socket,
                responses: Responses::default(),
            })
        })
        .collect()
}

/// Sends `request` until it has been answered `count` times; gives the bodies'
/// bytes in all.
fn ask(connections: &mut [Connection], request: &[u8], count: u64) -> io::Result<u64> {
    let epoll = epoll::create(CreateFlags::CLOEXEC)?;
    let mut asked = 0;
    for (at, connection) in connections.iter_mut().enumerate() {
        let interest = EventFlags::IN | EventFlags::ET;
        epoll::add(
            &epoll,
            &connection.socket,
            EventData::new_u64(at as u64),
            interest,
        )?;
        if asked < count {
            // A request is far smaller than an empty socket's buffer, so it
            // always goes out whole.
            connection.socket.write_all(request)?;
            asked += 1;
        }
    }

    let (mut answered, mut bytes) = (0, 0);
    let mut buffer = vec![0; RECV_BYTES];
    let mut events = Vec::with_capacity(connections.len());
    while answered < count {
        match epoll::wait(&epoll, spare_capacity(&mut events), None) {
            Err(Errno::INTR) => continue,
            result => result?,
        };
        for event in events.drain(..) {
            let connection = &mut connections[event.data.u64() as usize];
            if !connection.receive(&mut buffer)? {
                continue;
            }
            answered += 1;
            bytes += connection.responses.length();
            if asked < count {
                connection.socket.write_all(request)?;
                asked += 1;
            }
        }
    }
    Ok(bytes)
}

impl Connection {
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
