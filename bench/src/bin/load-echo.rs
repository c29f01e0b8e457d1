//! Connections that say nothing, and others that send bytes and want them
//! back, in a closed loop: so many messages are under way, and each that has
//! come back lets another go out, on a connection chosen at random.
//!
//! A command line on standard input is a number: so many messages are sent and
//! their echoes received. Who measures can look at the server before and after
//! each, while the connections stay.

use std::error::Error;
use std::io::{self, BufRead};
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::time::Instant;

use hythe_bench::args::{Args, Result, run};
use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

const USAGE: &str = "load-echo ADDR [--active N] [--idle N] [--bytes N] [--under-way N]";

fn main() -> ExitCode {
    run(USAGE, serve_commands)
}

fn serve_commands(mut args: Args) -> Result<()> {
    let active: usize = args.option("--active")?.unwrap_or(1);
    let idle: usize = args.option("--idle")?.unwrap_or(0);
    let bytes: usize = args.option("--bytes")?.unwrap_or(1);
    let under_way = args.option("--under-way")?.unwrap_or(active);
    let address: String = args.word("ADDR")?;
    args.finish()?;

    raise_descriptor_limit()?;
    // The idle ones come first. Servers accept in order, so once an active one
    // is answered, every idle one has been accepted.
    let _idle = connect(&address, idle)?;
    let mut load = Load::new(connect(&address, active)?, bytes)?;
    for at in 0..active {
        load.free = vec![at];
        load.exchange(1, 1)?; // each once, so that all are known to be served
    }
    load.free = (0..active).collect();
    println!("ready");
    for line in io::stdin().lock().lines() {
        let count = line?.parse()?;
        let start = Instant::now();
        load.exchange(count, under_way)?;
        println!("seconds {:.6}", start.elapsed().as_secs_f64());
    }
    Ok(())
}

/// The soft limit is often 1024; the hard one is ours to use.
fn raise_descriptor_limit() -> io::Result<()> {
    let maximum = getrlimit(Resource::Nofile).maximum;
    let limit = Rlimit {
        current: maximum,
        maximum,
    };
    Ok(setrlimit(Resource::Nofile, limit)?)
}

fn connect(address: &str, count: usize) -> Result<Vec<OwnedFd>> {
    let one = || -> io::Result<OwnedFd> {
        if let Some(path) = address.strip_prefix("unix:") {
            return Ok(UnixStream::connect(path)?.into());
        }
        let socket = TcpStream::connect(address)?;
        socket.set_nodelay(true)?;
        Ok(socket.into())
    };
    (1..=count)
        .map(|number| {
            one().map_err(|error| format!("connection {number} of {count}: {error}").into())
        })
        .collect()
}

struct Load {
    epoll: OwnedFd,
    sockets: Vec<OwnedFd>,
    /// Bytes still to come back on each socket.
    owed: Vec<usize>,
    /// Sockets without a message under way.
    free: Vec<usize>,
    message: Vec<u8>,
    random: u64,
}

impl Load {
    fn new(sockets: Vec<OwnedFd>, bytes: usize) -> io::Result<Self> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        for (at, socket) in sockets.iter().enumerate() {
            let data = EventData::new_u64(at as u64);
            epoll::add(&epoll, socket, data, EventFlags::IN)?;
        }
        Ok(Self {
            epoll,
            owed: vec![0; sockets.len()],
            free: Vec::new(),
            sockets,
            message: vec![b'x'; bytes],
            random: 0x9e37_79b9_7f4a_7c15, // always the same choices, so runs compare
        })
    }

    /// Sends `count` messages, at most `under_way` at a time, and receives all
    /// echoes.
    fn exchange(
        &mut self,
        count: u64,
        under_way: usize,
    ) -> std::result::Result<(), Box<dyn Error>> {
        let (mut sent, mut returned) = (0, 0);
        while sent < count.min(under_way as u64) {
            self.send()?;
            sent += 1;
        }
        let mut events = Vec::with_capacity(under_way);
        while returned < count {
            match epoll::wait(&self.epoll, spare_capacity(&mut events), None) {
                Err(Errno::INTR) => continue,
                result => result?,
            };
            for event in events.drain(..) {
                let at = event.data.u64() as usize;
                if !self.receive(at)? {
                    continue;
                }
                self.free.push(at);
                returned += 1;
                if sent < count {
                    self.send()?;
                    sent += 1;
                }
            }
        }
        Ok(())
    }

    /// Sends a message on a free connection chosen at random. One is always
    /// free: never are more under way than there are connections.
    fn send(&mut self) -> Result<()> {
        // Xorshift: not random to a mathematician, but to a cache.
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        let at = self
            .free
            .swap_remove(self.random as usize % self.free.len());
        let sent = send(&self.sockets[at], &self.message, SendFlags::NOSIGNAL)?;
        if sent < self.message.len() {
            return Err("the message is too long to be sent at once".into());
        }
        self.owed[at] = sent;
        Ok(())
    }

    /// Receives what is there; true when that completes an echo.
    fn receive(&mut self, at: usize) -> Result<bool> {
        let mut buffer = [0; 4096];
        let received = recv(&self.sockets[at], &mut buffer, RecvFlags::DONTWAIT)?.0;
        if received == 0 {
            return Err("the server closed a connection".into());
        }
        self.owed[at] = self.owed[at]
            .checked_sub(received)
            .ok_or("more came back than was sent")?;
        Ok(self.owed[at] == 0)
    }
}
