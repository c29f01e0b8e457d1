//! Sends datagrams back. The one idea: **a datagram is a message, and that is
//! all it is**.
//!
//! UDP keeps borders: what one `send_to` was given, one `recv_from` returns,
//! whole or not at all. In return nothing else is promised: a datagram may be
//! lost, come twice, or overtake another. There is no connection and nothing
//! to accept: one socket serves everybody, and each datagram says where it
//! comes from.
//!
//! It says so, but it may lie. A service that answers anybody can be made to
//! pester a stranger, and two of them to pester each other for ever. Never
//! answer with more than was asked, and don't put this on the open Internet.
//!
//! ```sh
//! cargo run -p hythe-net --example udp_echo &
//! nc -u 127.0.0.1 9998
//! ```

use std::{env, io};

use hythe_net::{Addr, Kind, Socket};

/// The longest datagram there can be, as its header has 16 bits for the
/// length. Of one that is longer than the buffer, the rest would be lost.
const MAX_DATAGRAM: usize = 65535;

fn main() -> io::Result<()> {
    let address = env::args().nth(1);
    let address = address.as_deref().unwrap_or("127.0.0.1:9998");
    let address: Addr = address.parse()?;
    let socket = Socket::new(address.domain(), Kind::DATAGRAM)?;
    let named = |error| io::Error::other(format!("cannot bind to {address}: {error}"));
    socket.bind(&address).map_err(named)?;
    println!("listening on {}", socket.sock_name()?);
    let mut buffer = vec![0; MAX_DATAGRAM];
    loop {
        let (count, peer) = socket.recv_from(&mut buffer)?;
        // An empty datagram is one, too, and not the end of anything.
        if let Err(error) = socket.send_to(&buffer[..count], &peer) {
            eprintln!("{peer}: {error}");
        }
    }
}
