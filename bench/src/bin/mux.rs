//! An echo server by nothing but a multiplexer of ours: what one event costs
//! as the connections without any grow. `floor-mux.c` and `mux.py` are the
//! same program over bare system calls and in Python.

use std::io::{self, ErrorKind};
use std::os::fd::AsFd;
use std::process::ExitCode;

use hythe_bench::args::run;
use hythe_net::mux::{Interest, Mux, Token};
use hythe_net::{Addr, More, MuxKind, Socket, create_server, raise_descriptor_limit};

/// Room for one `recv`; no message of these measurements fills it.
const RECV_BYTES: usize = 4096;

fn main() -> ExitCode {
    run("mux MUX ADDR", |mut args| {
        let kind: MuxKind = args.word("MUX")?;
        let address: Addr = args.word("ADDR")?;
        args.finish()?;

        raise_descriptor_limit()?;
        let listener = create_server(&address, false)?;
        println!("listening on {}", listener.sock_name()?);
        serve(kind.open()?.as_mut(), &listener)?;
        Ok(())
    })
}

fn serve(mux: &mut dyn Mux, listener: &Socket) -> io::Result<()> {
    listener.set_blocking(false)?;
    let listening = mux.add(listener.as_fd(), Interest::READ)?;
    let mut connections: Vec<Option<Socket>> = Vec::new();
    let mut buffer = [0; RECV_BYTES];
    let mut events = Vec::new();
    loop {
        mux.wait(&mut events, None)?;
        for event in events.drain(..) {
            if event.token == listening {
                accept(mux, listener, &mut connections)?;
                continue;
            }
            let at = event.token.index();
            let Some(socket) = &connections[at] else {
                continue;
            };
            if !echo(socket, &mut buffer).unwrap_or(false) {
                mux.remove(event.token)?;
                connections[at] = None;
            }
        }
    }
}

/// Accepts all that wait, for an edge may never be told again.
fn accept(
    mux: &mut dyn Mux,
    listener: &Socket,
    connections: &mut Vec<Option<Socket>>,
) -> io::Result<()> {
    loop {
        let socket = match listener.accept_nonblocking() {
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            result => result?,
        };
        let token: Token = mux.add(socket.as_fd(), Interest::READ)?;
        if connections.len() <= token.index() {
            connections.resize_with(token.index() + 1, || None);
        }
        connections[token.index()] = Some(socket);
    }
}

/// Sends back what is there; false when the connection is over. A short read
/// has emptied the socket, and the short messages of these measurements always
/// fit the peer's buffer.
fn echo(socket: &Socket, buffer: &mut [u8]) -> io::Result<bool> {
    let received = socket.recv(buffer)?;
    Ok(received > 0 && socket.send(&buffer[..received], More::No)? == received)
}
