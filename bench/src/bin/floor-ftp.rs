//! The floor for FTP: the least that takes a client through a session.
//!
//! Commands are told apart by their first letters, replies are prepared, any
//! name is opened as it is and any password is right: not for the network. The
//! control connections share an epoll loop; a transfer has the whole program
//! until it ends, and is a bare loop of `sendfile`, or of `recv` and `write`,
//! over a socket that blocks. So clients must connect before they send RETR or
//! STOR, and big transfers come one at a time; those who measure do so.

use std::fs::File;
use std::io::{self, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use hythe_bench::args::run;
use hythe_bench::ftp::send_all;
use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::fs::sendfile;
use rustix::io::Errno;
use rustix::net::sockopt::set_tcp_cork;
use rustix::net::{RecvFlags, recv};

/// Room for one `recv`: enough that the calls themselves cost nothing beside
/// copying, and as much as the other floor for uploads has.
const RECV_BYTES: usize = 256 * 1024;

/// Events taken by one `epoll_wait`; more would wait for the next one.
const EVENTS: usize = 256;

fn main() -> ExitCode {
    run("floor-ftp ADDR FOLDER", |mut args| {
        let addr = args.word("ADDR")?;
        let folder: PathBuf = args.word("FOLDER")?;
        args.finish()?;
        serve(addr, &folder)?;
        Ok(())
    })
}

fn serve(addr: SocketAddr, folder: &Path) -> io::Result<()> {
    let listener = TcpListener::bind(addr)?;
    let epoll = epoll::create(CreateFlags::CLOEXEC)?;
    let token = |fd: i32| EventData::new_u64(fd as u64);
    let fd = listener.as_raw_fd();
    epoll::add(&epoll, &listener, token(fd), EventFlags::IN)?;
    println!("listening on {}", listener.local_addr()?);

    // Indexed by descriptor, as in `floor.rs`. A transfer takes descriptors as
    // well, which are never in here.
    let mut sessions: Vec<Option<Session>> = Vec::new();
    let mut buffer = vec![0; RECV_BYTES];
    let mut events = Vec::with_capacity(EVENTS);
    loop {
        match epoll::wait(&epoll, spare_capacity(&mut events), None) {
            Err(Errno::INTR) => continue,
            result => result?,
        };
        for event in events.drain(..) {
            let at = event.data.u64() as usize;
            if at == fd as usize {
                let (control, _) = listener.accept()?;
                let at = control.as_raw_fd();
                epoll::add(&epoll, &control, token(at), EventFlags::IN)?;
                let at = at as usize;
                if sessions.len() <= at {
                    sessions.resize_with(at + 1, || None);
                }
                sessions[at] = Session::greet(control).ok();
            } else if let Some(session) = sessions[at].as_mut() {
                let going_on = session.advance(&mut buffer, folder);
                if !going_on.unwrap_or(false) {
                    sessions[at] = None;
                }
            }
        }
    }
}

struct Session {
    control: TcpStream,
    /// A command whose line end hasn't come.
    unfinished: Vec<u8>,
    passive: Option<TcpListener>,
}

impl Session {
    fn greet(control: TcpStream) -> io::Result<Self> {
        // 226 would else wait until the client has acknowledged 150.
        control.set_nodelay(true)?;
        send_all(&control, b"220 Floor.\r\n")?;
        Ok(Self {
            control,
            unfinished: Vec::new(),
            passive: None,
        })
    }

    /// Answers what has come; false when the session is over.
    fn advance(&mut self, buffer: &mut [u8], folder: &Path) -> io::Result<bool> {
        let (count, _) = recv(&self.control, &mut *buffer, RecvFlags::empty())?;
        self.unfinished.extend_from_slice(&buffer[..count]);
        if !self.unfinished.ends_with(b"\r\n") {
            return Ok(count > 0);
        }
        // Clients wait for each reply, so this is one command.
        let line = String::from_utf8_lossy(&self.unfinished);
        let (verb, name) = line.trim_end().split_once(' ').unwrap_or((&line, ""));
        let reply: &[u8] = match verb.trim_end() {
            "USER" => b"331 Password?\r\n",
            "PASS" => b"230 Come in.\r\n",
            "TYPE" => b"200 Done.\r\n",
            "EPSV" => return self.listen().map(|()| true),
            "RETR" => {
                let file = File::open(folder.join(name))?;
                let data = self.open_data()?;
                send_file(&data, &file)?;
                b"226 Done.\r\n"
            }
            "STOR" => {
                let mut file = File::create(folder.join(name))?;
                let data = self.open_data()?;
                receive_file(&data, &mut file, buffer)?;
                b"226 Done.\r\n"
            }
            "QUIT" => {
                send_all(&self.control, b"221 Goodbye.\r\n")?;
                return Ok(false);
            }
            _ => b"500 Not here.\r\n",
        };
        send_all(&self.control, reply)?;
        self.unfinished.clear();
        Ok(true)
    }

    fn listen(&mut self) -> io::Result<()> {
        let mut address = self.control.local_addr()?;
        address.set_port(0);
        let listener = TcpListener::bind(address)?;
        let port = listener.local_addr()?.port();
        self.passive = Some(listener);
        self.unfinished.clear();
        let reply = format!("229 Entering Extended Passive Mode (|||{port}|)\r\n");
        send_all(&self.control, reply.as_bytes())
    }

    fn open_data(&mut self) -> io::Result<TcpStream> {
        let listener = self.passive.take().ok_or(io::ErrorKind::NotConnected)?;
        send_all(&self.control, b"150 Here.\r\n")?;
        Ok(listener.accept()?.0)
    }
}

/// Corked, for the reason that `floor-sendfile` gives.
fn send_file(data: &TcpStream, file: &File) -> io::Result<()> {
    let mut left = file.metadata()?.len();
    set_tcp_cork(data, true)?;
    while left > 0 {
        match sendfile(data, file, None, left as usize)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            sent => left -= sent as u64,
        }
    }
    Ok(())
}

fn receive_file(data: &TcpStream, file: &mut File, buffer: &mut [u8]) -> io::Result<()> {
    loop {
        match recv(data, &mut *buffer, RecvFlags::empty())?.0 {
            0 => return Ok(()),
            count => file.write_all(&buffer[..count])?,
        }
    }
}
