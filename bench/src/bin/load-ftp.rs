//! FTP clients: many whole sessions, big transfers, or sessions that idle.
//!
//! `sessions` is a closed loop: each of its clients begins the next session
//! when the last one has ended. One thread plays them all, so that a server
//! seldom has to wake it: with a thread each, most of what a session costs a
//! server is waking them. Every reply, and the number of bytes in all, is
//! checked.

use std::error::Error;
use std::fs;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use hythe_bench::args::{Args, Result, run};
use hythe_bench::ftp::{self, Client, send_all};
use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::io::Errno;
use rustix::net::sockopt::set_socket_linger;
use rustix::net::{RecvFlags, recv};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Bytes dropped by one call, as in `load-big`.
const DROP_BYTES: usize = 1024 * 1024;

/// The same for small files.
const SMALL_BYTES: usize = 4 * 1024;

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

// ---------------------------------------------------------------- sessions

/// What a client does once the reply with one of these codes is there.
enum Then {
    Say(&'static str),
    /// Connects to the port in the reply, and sends RETR.
    Retrieve,
    Wait,
    /// Takes the data and says goodbye.
    Quit,
}

/// A session from its beginning. At its end the server closes.
const SCRIPT: &[(&[u16], Then)] = &[
    (ftp::GREETING, Then::Say(ftp::USER)),
    (ftp::NAMED, Then::Say(ftp::PASS)),
    (ftp::LOGGED_IN, Then::Say(ftp::TYPE)),
    (ftp::TYPE_SET, Then::Say(ftp::EPSV)),
    (ftp::PASSIVE, Then::Retrieve),
    (ftp::OPENING, Then::Wait),
    (ftp::COMPLETE, Then::Quit),
    (ftp::CLOSING, Then::Wait),
];

struct Session {
    client: Client,
    /// How many lines of the script are done.
    step: usize,
    data: Option<TcpStream>,
}

fn sessions(addr: SocketAddr, mut args: Args, clients: u64, count: u64) -> Result<()> {
    let name: String = args.word("NAME")?;
    args.finish()?;
    let epoll = epoll::create(CreateFlags::CLOEXEC)?;
    let begin = |at: u64| -> io::Result<Session> {
        let client = Client::connect(addr)?;
        let interest = EventFlags::IN;
        epoll::add(&epoll, client.socket(), EventData::new_u64(at), interest)?;
        Ok(Session {
            client,
            step: 0,
            data: None,
        })
    };

    let start = Instant::now();
    let mut begun = clients.min(count);
    let mut sessions = (0..begun).map(begin).collect::<io::Result<Vec<_>>>()?;
    let (mut ended, mut bytes) = (0, 0);
    let mut events = Vec::with_capacity(sessions.len());
    while ended < count {
        match epoll::wait(&epoll, spare_capacity(&mut events), None) {
            Err(Errno::INTR) => continue,
            result => result?,
        };
        for event in events.drain(..) {
            let at = event.data.u64();
            let session = &mut sessions[at as usize];
            if session.client.receive()? {
                bytes += session.advance(&name)?;
                continue;
            }
            if session.step < SCRIPT.len() {
                return Err(
                    format!("closed after reply {} of {}", session.step, SCRIPT.len()).into(),
                );
            }
            ended += 1;
            if begun < count {
                begun += 1;
                *session = begin(at)?;
            } else {
                epoll::delete(&epoll, session.client.socket())?;
            }
        }
    }
    print(count, bytes, start);
    Ok(())
}

impl Session {
    /// Goes as far as the replies that have come allow; gives how many bytes
    /// of data were taken.
    fn advance(&mut self, name: &str) -> io::Result<u64> {
        let mut bytes = 0;
        while let Some(reply) = self.client.reply() {
            let (codes, then) = SCRIPT
                .get(self.step)
                .ok_or_else(|| io::Error::other(format!("one reply too many: {reply:?}")))?;
            let reply = ftp::check(reply, codes, format_args!("reply {}", self.step))?;
            self.step += 1;
            match then {
                Then::Say(command) => self.client.send(command)?,
                Then::Retrieve => {
                    self.data = Some(self.client.connect_data(&reply)?);
                    self.client.send(format_args!("RETR {name}"))?;
                }
                Then::Wait => {}
                Then::Quit => {
                    let data = self.data.take().ok_or(io::ErrorKind::NotConnected)?;
                    // A small file fits into a socket, so nobody waits for it
                    // to be taken, and it has been sent before this reply.
                    bytes += drop_all(&data, &mut [0; SMALL_BYTES])?;
                    reset(data)?;
                    self.client.send(ftp::QUIT)?;
                }
            }
        }
        Ok(bytes)
    }
}

// ----------------------------------------------------------- one at a time

fn retr(addr: SocketAddr, mut args: Args) -> Result<()> {
    let name: String = args.word("NAME")?;
    let count: u64 = args.word("COUNT")?;
    args.finish()?;
    let mut client = Client::log_in(addr)?;
    client.command(ftp::TYPE, ftp::TYPE_SET)?;
    let mut buffer = vec![0; DROP_BYTES];
    let start = Instant::now();
    let mut bytes = 0;
    for _ in 0..count {
        bytes += download(&mut client, &name, &mut buffer)?;
    }
    print(count, bytes, start);
    Ok(client.quit()?)
}

/// RETR; gives how many bytes came.
fn download(client: &mut Client, name: &str, buffer: &mut [u8]) -> io::Result<u64> {
    let data = client.passive()?;
    client.command(format_args!("RETR {name}"), ftp::OPENING)?;
    let bytes = drop_all(&data, buffer)?;
    client.expect(ftp::COMPLETE, "the end of RETR")?;
    reset(data)?;
    Ok(bytes)
}

/// Has the kernel drop all bytes, as `load-big` does it; gives how many there
/// were.
fn drop_all(data: &TcpStream, buffer: &mut [u8]) -> io::Result<u64> {
    let mut bytes = 0;
    loop {
        match recv(data, &mut *buffer, RecvFlags::TRUNC)?.1 {
            0 => return Ok(bytes),
            count => bytes += count as u64,
        }
    }
}

/// Closes a data connection whose bytes have come and were confirmed, so that
/// a reset loses nothing, and it frees the server's port. Each port would else
/// be taken for a minute, and the few ten thousand of them gone before a run
/// is over (tcp(7), TIME_WAIT).
fn reset(data: TcpStream) -> io::Result<()> {
    set_socket_linger(&data, Some(Duration::ZERO))?;
    drop(data);
    Ok(())
}

/// STOR of the same block again and again, as in `load-put`.
fn stor(addr: SocketAddr, mut args: Args) -> Result<()> {
    let name: String = args.word("NAME")?;
    let block: PathBuf = args.word("BLOCK")?;
    let size: u64 = args.word("SIZE")?;
    args.finish()?;
    let block = fs::read(block)?;
    let mut client = Client::log_in(addr)?;
    client.command(ftp::TYPE, ftp::TYPE_SET)?;
    let start = Instant::now();
    let data = client.passive()?;
    client.command(format_args!("STOR {name}"), ftp::OPENING)?;
    send_blocks(&data, &block, size)?;
    drop(data);
    client.expect(ftp::COMPLETE, "the end of STOR")?;
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
