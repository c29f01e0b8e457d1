//! Tells the time (RFC 867), over TCP and UDP. The one idea: **one thread can
//! wait for several things**, if it asks the kernel which of them is ready.
//!
//! The port is the same number twice: TCP and UDP count theirs separately.
//! `accept` on one socket would keep the thread from `recv_from` on the other,
//! so it waits in neither: it waits in a multiplexer, here `poll(2)`, which is
//! told both descriptors and returns those where a call would not wait.
//!
//! `cargo run -p hythe-net --example daytime`, then `nc 127.0.0.1 1313`, or
//! `echo | nc -u -w 1 127.0.0.1 1313`

use std::{env, io, os::fd::AsFd, thread, time::Duration, time::SystemTime};

use hythe_net::mux::{Interest, Mux, Poll};
use hythe_net::{Kind, More, Socket, create_server};

fn now() -> String {
    httpdate::fmt_http_date(SystemTime::now()) + "\r\n"
}

fn tell_over_tcp(listener: &Socket) -> io::Result<usize> {
    let (socket, _) = listener.accept()?;
    socket.send(now().as_bytes(), More::No)
}

/// What the datagram says does not matter; where it comes from does.
fn tell_over_udp(socket: &Socket) -> io::Result<usize> {
    let (_, peer) = socket.recv_from(&mut [0; 1])?;
    socket.send_to(now().as_bytes(), &peer)
}

fn main() -> io::Result<()> {
    let address = env::args().nth(1);
    let address = address.as_deref().unwrap_or("127.0.0.1:1313");
    let tcp = create_server(&address.parse()?, false)?;
    let address = tcp.sock_name()?; // with port 0, UDP takes the one TCP was given
    let udp = Socket::new(address.domain(), Kind::DATAGRAM)?;
    udp.bind(&address)?;
    // Who was there when `poll` returned may be gone when we look.
    tcp.set_blocking(false)?;
    udp.set_blocking(false)?;
    let (mut mux, mut events) = (Poll::new(), Vec::new());
    let by_tcp = mux.add(tcp.as_fd(), Interest::READ)?;
    mux.add(udp.as_fd(), Interest::READ)?;
    println!("listening on {address}");
    loop {
        mux.wait(&mut events, None)?;
        for event in events.drain(..) {
            let told = match event.token == by_tcp {
                true => tell_over_tcp(&tcp),
                false => tell_over_udp(&udp),
            };
            if let Err(error) = told {
                eprintln!("{error}");
                thread::sleep(Duration::from_millis(100)); // not to turn for nothing
            }
        }
    }
}
