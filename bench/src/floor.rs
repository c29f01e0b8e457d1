//! The floor: the least a single-threaded server can do and still be one.
//!
//! It accepts, receives, counts blank lines, and answers each with the same
//! bytes. It survives a slow reader, pipelined requests and a head split over
//! several packets, because a server must; it parses nothing, looks up
//! nothing, limits nothing and times nothing out, because the kernel doesn't
//! ask for that.
//!
//! Per request, when the peer keeps up: one `recv`, one `send`, and a share of
//! one `epoll_wait`. Sockets are edge-triggered, which is a little cheaper
//! here: a level-triggered socket is asked again on the next `epoll_wait`
//! whether it is still readable.

use std::fs;
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd};
use std::path::Path;

use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};

use crate::http::head_length;

/// Room for one `recv`: many pipelined requests, and small enough to stay in
/// the processor's first cache.
const RECV_BYTES: usize = 16 * 1024;

/// Events taken by one `epoll_wait`; more would wait for the next one.
const EVENTS: usize = 256;

/// Serves for ever. Every request is answered with the same `length` bytes,
/// and `send(socket, offset)` sends some of them, from `offset` on.
///
/// # Errors
/// The address can't be listened on, or epoll fails. Errors of a connection
/// end that connection only.
pub fn serve<Send>(addr: SocketAddr, length: u64, send: Send) -> io::Result<()>
where
    Send: Fn(&TcpStream, u64) -> rustix::io::Result<usize>,
{
    let listener = TcpListener::bind(addr)?;
    let epoll = epoll::create(CreateFlags::CLOEXEC)?;
    epoll::add(&epoll, &listener, token(&listener), EventFlags::IN)?;
    println!("listening on {}", listener.local_addr()?);

    // Indexed by descriptor: the kernel always hands out the lowest free one,
    // so there are few holes and no hashing.
    let mut connections: Vec<Option<Connection>> = Vec::new();
    let mut buffer = [0; RECV_BYTES];
    let mut events = Vec::with_capacity(EVENTS);
    loop {
        match epoll::wait(&epoll, spare_capacity(&mut events), None) {
            Err(Errno::INTR) => continue,
            result => result?,
        };
        for event in events.drain(..) {
            let (at, flags) = (event.data.u64() as usize, event.flags);
            if at == listener.as_raw_fd() as usize {
                // The listener is level-triggered and ready, so this doesn't
                // wait; if more peers are queued, it is ready again.
                let (socket, _) = listener.accept()?;
                let at = socket.as_raw_fd() as usize;
                if connections.len() <= at {
                    connections.resize_with(at + 1, || None);
                }
                connections[at] = Some(Connection::new(socket, &epoll)?);
                continue;
            }
            let Some(connection) = connections[at].as_mut() else {
                continue;
            };
            let going_on = connection.advance(flags, &mut buffer, length, &send);
            if !going_on.unwrap_or(false) {
                connections[at] = None;
            }
        }
    }
}

/// The response head a file server would send for `file`, with as many bytes
/// and lines as a real one; the times are made up, since no one reads them.
///
/// # Errors
/// The file's length can't be read.
pub fn response_head(file: &Path) -> io::Result<Vec<u8>> {
    let length = fs::metadata(file)?.len();
    Ok(format!(
        "HTTP/1.1 200 OK\r\n\
         content-type: application/octet-stream\r\n\
         content-length: {length}\r\n\
         last-modified: Thu, 01 Jan 1970 00:00:00 GMT\r\n\
         etag: \"0123456789abcdef\"\r\n\
         accept-ranges: bytes\r\n\
         date: Thu, 01 Jan 1970 00:00:00 GMT\r\n\r\n"
    )
    .into_bytes())
}

struct Connection {
    socket: TcpStream,
    /// The last bytes of a head whose blank line hasn't come.
    unfinished: Vec<u8>,
    /// Response bytes not sent yet. A peer that asks and asks without reading
    /// only makes this number grow.
    owed: u64,
    /// The peer has said all it will say.
    ended: bool,
}

impl Connection {
    fn new(socket: TcpStream, epoll: impl AsFd) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        socket.set_nodelay(true)?;
        // Both directions at once: edge-triggered, interest that isn't needed
        // costs nothing, and nothing has to be changed later.
        let interest = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
        epoll::add(epoll, &socket, token(&socket), interest)?;
        Ok(Self {
            socket,
            unfinished: Vec::new(),
            owed: 0,
            ended: false,
        })
    }

    /// Does what can be done now; false when the connection is over.
    fn advance(
        &mut self,
        flags: EventFlags,
        buffer: &mut [u8],
        length: u64,
        send: impl Fn(&TcpStream, u64) -> rustix::io::Result<usize>,
    ) -> rustix::io::Result<bool> {
        let hung_up = flags.intersects(EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR);
        while flags.contains(EventFlags::IN) && !self.ended {
            let received = match recv(&self.socket, &mut *buffer, RecvFlags::empty()) {
                Err(Errno::AGAIN) => break,
                result => result?.0,
            };
            self.ended = received == 0;
            self.owed += length * count_requests(&mut self.unfinished, &buffer[..received]);
            // A short read has emptied the socket, and what comes later is a
            // new edge. Not so the end of data: its edge may be this one.
            if received < buffer.len() && !hung_up {
                break;
            }
        }
        while self.owed > 0 {
            let offset = (length - self.owed % length) % length;
            match send(&self.socket, offset) {
                Err(Errno::AGAIN) => break,
                sent => self.owed -= sent? as u64,
            }
        }
        Ok(self.owed > 0 || !self.ended)
    }
}

/// How many heads end in `bytes`, which follow what `unfinished` kept.
fn count_requests(unfinished: &mut Vec<u8>, bytes: &[u8]) -> u64 {
    // The usual case, a recv of whole requests, copies nothing.
    let joined;
    let mut rest = if unfinished.is_empty() {
        bytes
    } else {
        joined = [unfinished, bytes].concat();
        &joined
    };
    let mut count = 0;
    while let Some(length) = head_length(rest) {
        rest = &rest[length..];
        count += 1;
    }
    // At most three bytes of the next blank line can be here already.
    let tail = &rest[rest.len().saturating_sub(3)..];
    unfinished.clear();
    unfinished.extend_from_slice(tail);
    count
}

/// What epoll calls a socket in its events: the descriptor.
fn token(socket: &impl AsRawFd) -> EventData {
    EventData::new_u64(socket.as_raw_fd() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_counted_however_they_are_split() {
        let requests = b"GET / HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n";
        for size in 1..=requests.len() {
            let mut unfinished = Vec::new();
            let counted = requests
                .chunks(size)
                .map(|part| count_requests(&mut unfinished, part));
            assert_eq!(counted.sum::<u64>(), 2, "in parts of {size}");
            assert!(unfinished.is_empty());
        }
    }
}
