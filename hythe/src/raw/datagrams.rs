//! A conversation in datagrams (UDP, or Unix datagrams): each is a message of its
//! own, and nobody knows when the other end has ended.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
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
    /// With this one only.
    One(Addr),
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
        peer: RefCell::new(match &audience {
            Audience::One(peer) => Some(peer.clone()),
            Audience::First | Audience::Last => None,
        }),
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
    /// To whom standard input goes.
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
            let (count, from) = received.map_err(Error::Peer)?;
            if !self.is_heard(&from) {
                continue;
            }
            self.moved.set(self.moved.get() + 1);
            *self.peer.borrow_mut() = Some(from);
            let text = match &mut dump {
                Some(dump) => dump.show(&buffer[..count]),
                None => buffer[..count].to_vec(),
            };
            self.print(text).await?;
        }
    }

    /// Whether this one takes part.
    fn is_heard(&self, from: &Addr) -> bool {
        match (&self.audience, &*self.peer.borrow()) {
            (Audience::Last, _) | (Audience::First, None) => true,
            (Audience::First | Audience::One(_), peer) => peer.as_ref() == Some(from),
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
                let peer = self.peer.borrow().clone();
                if let Some(peer) = peer {
                    let sent = self.socket.send_to(datagram, &peer).await;
                    sent.map_err(Error::Unsent)?;
                    self.moved.set(self.moved.get() + 1);
                }
            }
        }
    }

    /// Waits for somebody to send to. What comes in wakes this task, too, since
    /// both directions are one.
    async fn somebody(&self) {
        poll_fn(|_| match *self.peer.borrow() {
            Some(_) => Poll::Ready(()),
            None => Poll::Pending,
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
