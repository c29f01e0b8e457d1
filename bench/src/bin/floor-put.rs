//! The floor for uploads: what comes after a head goes into the file that the
//! head names, by `recv` and `write`.
//!
//! Of a request it looks for the name, the length and the blank line, and
//! believes them. The file is written under its own name, so a reader may see
//! a part of it; nothing is synced; names are not checked: not for the network.
//!
//! Like the floor of `floor.rs` one epoll loop over all connections, but
//! level-triggered: a big body is received in one go after another while the
//! socket has more, and the sender's pace decides how often that is not so.

use std::fs::File;
use std::io::{self, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use hythe_bench::args::run;
use hythe_bench::http::head_length;
use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};

/// Room for one `recv`: enough that the calls themselves cost nothing beside
/// copying.
const RECV_BYTES: usize = 256 * 1024;

/// Events taken by one `epoll_wait`; more would wait for the next one.
const EVENTS: usize = 256;

const CREATED: &[u8] = b"HTTP/1.1 201 Created\r\ncontent-length: 0\r\n\
    date: Thu, 01 Jan 1970 00:00:00 GMT\r\n\r\n";

fn main() -> ExitCode {
    run("floor-put ADDR FOLDER", |mut args| {
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
    epoll::add(
        &epoll,
        &listener,
        token(listener.as_raw_fd()),
        EventFlags::IN,
    )?;
    println!("listening on {}", listener.local_addr()?);

    // Indexed by descriptor, as in `floor.rs`.
    let mut connections: Vec<Option<Connection>> = Vec::new();
    let mut buffer = vec![0; RECV_BYTES];
    let mut events = Vec::with_capacity(EVENTS);
    loop {
        match epoll::wait(&epoll, spare_capacity(&mut events), None) {
            Err(Errno::INTR) => continue,
            result => result?,
        };
        for event in events.drain(..) {
            let at = event.data.u64() as usize;
            if at == listener.as_raw_fd() as usize {
                let (socket, _) = listener.accept()?;
                socket.set_nonblocking(true)?;
                socket.set_nodelay(true)?;
                let fd = socket.as_raw_fd();
                epoll::add(&epoll, &socket, token(fd), EventFlags::IN)?;
                let at = fd as usize;
                if connections.len() <= at {
                    connections.resize_with(at + 1, || None);
                }
                connections[at] = Some(Connection {
                    socket,
                    head: Vec::new(),
                    body: None,
                });
                continue;
            }
            let Some(connection) = connections[at].as_mut() else {
                continue;
            };
            if !connection.advance(&mut buffer, folder).unwrap_or(false) {
                connections[at] = None;
            }
        }
    }
}

struct Connection {
    socket: TcpStream,
    /// A head whose blank line hasn't come.
    head: Vec<u8>,
    /// The file that is coming in, and how much of it is still to come.
    body: Option<(File, u64)>,
}

impl Connection {
    /// Takes what is there; false when the connection is over.
    fn advance(&mut self, buffer: &mut [u8], folder: &Path) -> io::Result<bool> {
        loop {
            let received = match recv(&self.socket, &mut *buffer, RecvFlags::empty()) {
                Err(Errno::AGAIN) => return Ok(true),
                result => result?.0,
            };
            if received == 0 {
                return Ok(false);
            }
            self.take(&buffer[..received], folder)?;
            // A short read has emptied the socket.
            if received < buffer.len() {
                return Ok(true);
            }
        }
    }

    fn take(&mut self, bytes: &[u8], folder: &Path) -> io::Result<()> {
        let begun;
        let mut bytes = bytes;
        if self.body.is_none() {
            self.head.extend_from_slice(bytes);
            let Some(length) = head_length(&self.head) else {
                return Ok(());
            };
            begun = std::mem::take(&mut self.head);
            let (head, rest) = begun.split_at(length);
            self.body = Some(begin(head, folder)?);
            bytes = rest;
        }
        let Some((file, left)) = self.body.as_mut() else {
            return Ok(());
        };
        // The client waits for the answer, so nothing follows the body.
        file.write_all(bytes)?;
        *left = left.saturating_sub(bytes.len() as u64);
        if *left == 0 {
            self.body = None;
            send(&self.socket, CREATED, SendFlags::NOSIGNAL)?;
        }
        Ok(())
    }
}

/// The file that a head names, made anew, and the length it gives.
fn begin(head: &[u8], folder: &Path) -> io::Result<(File, u64)> {
    let head = String::from_utf8_lossy(head);
    let name = head
        .strip_prefix("PUT /")
        .and_then(|rest| rest.split_once(' '))
        .map(|(name, _)| name);
    let length = head
        .split_once("Content-Length: ")
        .and_then(|(_, rest)| rest.split_once('\r'))
        .and_then(|(length, _)| length.parse().ok());
    match (name, length) {
        (Some(name), Some(length)) => {
            let file = File::create(folder.join(name))?;
            Ok((file, length))
        }
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
}
