//! Prints a Gopher document (RFC 1436). The one idea: **a client is the same
//! calls from the other side**: find the address, `connect`, send, receive.
//!
//! Gopher is the shortest protocol there is: the client sends a line, the
//! server sends the document and closes. A text, and so a menu, ends with a
//! line of a single dot, and a dot that begins a line of its own is doubled;
//! anything else is sent as it is. Nothing in the reply says which it is, so
//! what ends like a text is taken for one.
//!
//! `cargo run -p hythe-net --example gopher_get -- HOST[:PORT] [SELECTOR]`

use std::{env, io, io::Write, time::Duration};

use hythe_net::{More, Socket, dial};
use hythe_wire::gopher::{Request, TextDecoder};

/// The longest document, for it is kept in memory until its end is there.
const MAX_DOCUMENT: usize = 256 << 20;

fn receive(socket: &Socket) -> io::Result<Vec<u8>> {
    let (mut document, mut buffer) = (Vec::new(), vec![0; 64 * 1024]);
    while document.len() <= MAX_DOCUMENT {
        match socket.recv(&mut buffer)? {
            0 => return Ok(document),
            count => document.extend_from_slice(&buffer[..count]),
        }
    }
    Err(io::Error::other("the document is too long"))
}

fn main() -> io::Result<()> {
    let mut words = env::args().skip(1);
    let usage = || io::Error::other("usage: gopher_get HOST[:PORT] [SELECTOR]");
    let host = words.next().ok_or_else(usage)?;
    let selector = words.next().unwrap_or_default(); // none is the root menu
    let request = Request::from_line(selector.as_bytes()).map_err(io::Error::other)?;
    let mut line = Vec::new();
    request.encode(&mut line).map_err(io::Error::other)?;

    let is_bare = host.rfind(':') <= host.rfind(']'); // `[::1]` names no port
    let port = if is_bare { ":70" } else { "" };
    let timeout = Some(Duration::from_secs(30));
    let socket = dial(&format!("{host}{port}"), timeout, None)?;
    socket.send(&line, More::No)?;

    let document = receive(&socket)?;
    if !document.ends_with(b"\r\n.\r\n") && document != b".\r\n" {
        return io::stdout().write_all(&document);
    }
    let mut text = Vec::new();
    TextDecoder::new().decode(&document, &mut text);
    io::stdout().write_all(&text)
}
