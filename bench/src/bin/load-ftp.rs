//! An FTP client of four kinds: many short sessions, one large file each way,
//! and sessions that log in and wait.
//!
//! Blocking sockets, and for short sessions a few threads, each of which has one
//! at a time: a client waits for each reply, and a server that has others to
//! serve meanwhile does not have to be woken for each.

use std::fs;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::Instant;

use hythe_bench::args::{Args, Result, run};

/// What is received at a time.
const BUFFER: usize = 256 * 1024;

fn main() -> ExitCode {
    let usage =
        "load-ftp ADDR sessions COUNT THREADS FILE | retr FILE | stor NAME BLOCK SIZE | idle COUNT";
    run(usage, |mut args| {
        let addr: SocketAddr = args.word("ADDR")?;
        match args.word::<String>("what to do")?.as_str() {
            "sessions" => sessions(addr, args),
            "retr" => retr(addr, args),
            "stor" => stor(addr, args),
            "idle" => idle(addr, args),
            other => Err(format!("don't know how to do {other}").into()),
        }
    })
}

/// Connect, log in, one small file, QUIT; and again.
fn sessions(addr: SocketAddr, mut args: Args) -> Result<()> {
    let count: u64 = args.word("COUNT")?;
    let threads: u64 = args.word("THREADS")?;
    let file: String = args.word("FILE")?;
    args.finish()?;
    let start = Instant::now();
    let begun = AtomicU64::new(0);
    let bytes = thread::scope(|scope| {
        let many: Vec<_> = (0..threads)
            .map(|_| {
                scope.spawn(|| some_sessions(addr, &file, || begun.fetch_add(1, Relaxed) < count))
            })
            .collect();
        let mut bytes = 0;
        for some in many {
            let ended = some
                .join()
                .unwrap_or_else(|_| Err("a thread panicked".into()));
            bytes += ended.map_err(|text| -> Box<dyn std::error::Error> { text.into() })?;
        }
        Result::Ok(bytes)
    })?;
    report(count, bytes, start);
    Ok(())
}

/// As many as `more` allows: how many bytes came.
fn some_sessions(
    addr: SocketAddr,
    file: &str,
    more: impl Fn() -> bool,
) -> std::result::Result<u64, String> {
    let mut buffer = vec![0; BUFFER];
    let mut bytes = 0;
    let mut one = || -> Result<()> {
        let mut session = Session::log_in(addr)?;
        bytes += session.fetch(file, &mut buffer)?;
        session.command("QUIT", "221")?;
        session.end()
    };
    while more() {
        one().map_err(|error| error.to_string())?;
    }
    Ok(bytes)
}

fn retr(addr: SocketAddr, mut args: Args) -> Result<()> {
    let file: String = args.word("FILE")?;
    args.finish()?;
    let mut session = Session::log_in(addr)?;
    let start = Instant::now();
    let bytes = session.fetch(&file, &mut vec![0; BUFFER])?;
    report(1, bytes, start);
    session.command("QUIT", "221")?;
    session.end()
}

/// The same block again and again out of memory, so that the client reads no
/// file while a server writes one.
fn stor(addr: SocketAddr, mut args: Args) -> Result<()> {
    let name: String = args.word("NAME")?;
    let block: PathBuf = args.word("BLOCK")?;
    let size: u64 = args.word("SIZE")?;
    args.finish()?;
    let block = fs::read(block)?;
    let mut session = Session::log_in(addr)?;
    let start = Instant::now();
    let mut data = session.passive()?;
    session.command(&format!("STOR {name}"), "150")?;
    let mut left = size;
    while left > 0 {
        let count = left.min(block.len() as u64);
        data.write_all(&block[..count as usize])?;
        left -= count;
    }
    drop(data);
    session.reply("226")?;
    report(1, size, start);
    session.command("QUIT", "221")?;
    session.end()
}

/// Logs in so often, says `ready`, and waits for the end of its input.
fn idle(addr: SocketAddr, mut args: Args) -> Result<()> {
    let count: usize = args.word("COUNT")?;
    args.finish()?;
    let sessions: Vec<Session> = (0..count)
        .map(|_| Session::log_in(addr))
        .collect::<Result<_>>()?;
    println!("ready");
    io::copy(&mut io::stdin(), &mut io::sink())?;
    drop(sessions);
    Ok(())
}

fn report(requests: u64, bytes: u64, start: Instant) {
    let seconds = start.elapsed().as_secs_f64();
    println!("requests {requests} bytes {bytes} seconds {seconds:.3}");
}

struct Session {
    control: BufReader<TcpStream>,
    addr: SocketAddr,
    line: String,
}

impl Session {
    fn log_in(addr: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(addr)?;
        stream.set_nodelay(true)?;
        let mut session = Self {
            // Small: idle sessions are many.
            control: BufReader::with_capacity(512, stream),
            addr,
            line: String::new(),
        };
        session.reply("220")?;
        session.command("USER anonymous", "331")?;
        session.command("PASS load@", "230")?;
        session.command("TYPE I", "200")?;
        Ok(session)
    }

    /// Sends a line and reads the reply, which must have this code.
    fn command(&mut self, line: &str, code: &str) -> Result<()> {
        let line = format!("{line}\r\n");
        self.control.get_mut().write_all(line.as_bytes())?;
        self.reply(code)
    }

    /// The last line of it is kept.
    fn reply(&mut self, code: &str) -> Result<()> {
        loop {
            self.line.clear();
            if self.control.read_line(&mut self.line)? == 0 {
                return Err(format!("the server ended the connection instead of {code}").into());
            }
            if self.line.as_bytes().get(3) == Some(&b' ') {
                break;
            }
        }
        // 125 and 150 mean the same here.
        let same = self.line.starts_with(code) || (code == "150" && self.line.starts_with("125"));
        if same {
            Ok(())
        } else {
            Err(format!("instead of {code} came {}", self.line.trim_end()).into())
        }
    }

    fn passive(&mut self) -> Result<TcpStream> {
        self.command("EPSV", "229")?;
        let port = self
            .line
            .split('|')
            .nth(3)
            .and_then(|port| port.parse().ok());
        let port = port.ok_or("there is no port in the reply to EPSV")?;
        Ok(TcpStream::connect(SocketAddr::new(self.addr.ip(), port))?)
    }

    fn fetch(&mut self, file: &str, buffer: &mut [u8]) -> Result<u64> {
        let mut data = self.passive()?;
        self.command(&format!("RETR {file}"), "150")?;
        let mut bytes = 0;
        loop {
            match data.read(buffer)? {
                0 => break,
                count => bytes += count as u64,
            }
        }
        drop(data);
        self.reply("226")?;
        Ok(bytes)
    }

    /// Waits until the server has ended the connection, too.
    fn end(mut self) -> Result<()> {
        self.line.clear();
        self.control.read_line(&mut self.line)?;
        Ok(())
    }
}
