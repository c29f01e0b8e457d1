//! A conversation in datagrams (UDP, or Unix datagrams): each is a message of its
//! own, and nobody knows when the other end has ended.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::task::Poll;

use futures_lite::future::{or, try_zip};
use hythe_net::reactor::unblock;
use hythe_net::{Addr, DatagramSocket, LONGEST_DATAGRAM};

use super::lines::{CrLf, Dump};
use super::stillness::stillness;
use super::{Error, Input, Manner, Output};

/// How much of standard input goes into one datagram, at most: what `nc -u`
/// sends, and any receiver takes.
const PIECE: usize = 16 * 1024;

/// With whom datagrams are exchanged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Audience {
    /// With the one that the socket is connected to.
    Connected,
    /// With whoever is the first to send something.
    First,
    /// With all: what is sent goes to whoever has spoken last.
    Last,
}

/// Sends standard input and prints what comes, until nothing has moved for the
/// manner's idle time, which is no failure here. Without one it goes on for ever.
///
/// # Errors
/// The socket's: over UDP also that nobody listens there.
pub async fn exchange(
    socket: &DatagramSocket,
    audience: Audience,
    input: &Input,
    output: &Output,
    manner: &Manner,
) -> Result<(), Error> {
    let exchange = Exchange {
        socket,
        first: RefCell::default(),
        peer: RefCell::default(),
        audience,
        output,
        manner,
        moved: Cell::default(),
    };
    let both = async {
        try_zip(exchange.receive(), exchange.send(input))
            .await
            .map(drop)
    };
    let still = async {
        stillness(manner.idle, || exchange.moved.get()).await;
        Ok(())
    };
    or(both, still).await
}

struct Exchange<'a> {
    socket: &'a DatagramSocket,
    audience: Audience,
    /// Who was the first to send something.
    first: RefCell<Option<Addr>>,
    /// To whom standard input goes, if there is a choice.
    peer: RefCell<Option<Addr>>,
    output: &'a Output,
    manner: &'a Manner,
    /// How many datagrams have gone either way.
    moved: Cell<u64>,
}

impl Exchange<'_> {
    async fn receive(&self) -> Result<(), Error> {
        let mut dump = self.manner.hex.then(Dump::received);
        let mut buffer = vec![0; LONGEST_DATAGRAM];
        loop {
            let received = self.socket.recv_from(&mut buffer).await;
            let (count, from) = match received {
                // An answer to what was sent to one who is gone.
                Err(error)
                    if self.audience == Audience::Last
                        && error.kind() == io::ErrorKind::ConnectionRefused =>
                {
                    continue;
                }
                received => received.map_err(refused)?,
            };
            if !self.is_heard(&from) {
                continue;
            }
            self.moved.set(self.moved.get() + 1);
            // Who has no name can't be answered.
            if from != Addr::unnamed() {
                *self.peer.borrow_mut() = Some(from);
            }
            let text = match &mut dump {
                Some(dump) => dump.show(&buffer[..count]),
                None => buffer[..count].to_vec(),
            };
            self.print(text).await?;
        }
    }

    /// Whether this one takes part.
    fn is_heard(&self, from: &Addr) -> bool {
        match self.audience {
            // Of a connected socket, the kernel knows.
            Audience::Last | Audience::Connected => true,
            Audience::First => {
                let mut first = self.first.borrow_mut();
                first.get_or_insert_with(|| from.clone()) == from
            }
        }
    }

    async fn send(&self, input: &Input) -> Result<(), Error> {
        let mut crlf = self.manner.crlf.then(CrLf::default);
        let mut dump = self.manner.hex.then(Dump::sent);
        let mut piece = Vec::new();
        loop {
            self.somebody().await;
            piece = input.read(piece).await.map_err(Error::Input)?;
            if piece.is_empty() {
                return Ok(());
            }
            if let Some(crlf) = &mut crlf {
                piece = crlf.convert(&piece);
            }
            for datagram in piece.chunks(PIECE) {
                if let Some(dump) = &mut dump {
                    self.print(dump.show(datagram)).await?;
                }
                self.send_one(datagram).await?;
                self.moved.set(self.moved.get() + 1);
            }
        }
    }

    async fn send_one(&self, datagram: &[u8]) -> Result<(), Error> {
        let peer = self.peer.borrow().clone();
        match (&self.audience, peer) {
            (Audience::Connected, _) => self.socket.send(datagram).await.map_err(refused),
            (Audience::Last, Some(peer)) => {
                if self.socket.send_to(datagram, &peer).await.is_err() {
                    // It is gone, and others may come.
                    self.peer.borrow_mut().take_if(|it| *it == peer);
                }
                Ok(())
            }
            (_, Some(peer)) => {
                let sent = self.socket.send_to(datagram, &peer).await;
                sent.map_err(refused)
            }
            (_, None) => Ok(()),
        }
    }

    /// Waits for somebody to send to. What comes in wakes this task, too, since
    /// both directions are one.
    async fn somebody(&self) {
        let known = || self.audience == Audience::Connected || self.peer.borrow().is_some();
        poll_fn(|_| match known() {
            true => Poll::Ready(()),
            false => Poll::Pending,
        })
        .await;
    }

    async fn print(&self, text: Vec<u8>) -> Result<(), Error> {
        let output = self.output.clone();
        unblock(move || output.write(&text))
            .await
            .map_err(Error::Output)
    }
}

/// What an error of sending or receiving says.
fn refused(error: io::Error) -> Error {
    match error.kind() {
        // The kernel was told so (`udp(7)`).
        io::ErrorKind::ConnectionRefused => Error::Nobody,
        _ => Error::Peer(error),
    }
}
