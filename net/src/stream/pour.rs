//! Receiving much, for somebody who blocks: on the thread pool, and in large
//! pieces.
//!
//! ```text
//!   reactor   wait ──┐              ┌── wait ──┐             ┌─ done
//!                    ▼              │          ▼             │
//!   pool             recv take recv take …     recv take … ──┘
//! ```
//!
//! What comes fast is received and dealt with by one thread in one go, with
//! nothing handed over in between; what comes slowly holds neither a thread
//! nor a buffer while it is waited for.

use std::future::poll_fn;
use std::io;
use std::sync::{Mutex, PoisonError};

use rustix::event::PollFlags;

use super::stride::{STRIDE, ready_within_pause};
use super::{Stream, is_deadline};
use crate::Socket;
use crate::mux::Interest;
use crate::option::RecvLowWater;
use crate::reactor::unblock;

/// Takes in what a stream is poured into. It is called on the thread pool, and
/// may block.
pub trait Sink: Send + 'static {
    /// How many bytes it takes next, at most; none when it has all it wants.
    fn room(&self) -> u64;

    /// How many bytes the peer is sure to send next, at least, before it waits
    /// for an answer. They are waited for together, as far as that is sensible.
    fn expected(&self) -> u64;

    /// Takes what has come, which is never nothing.
    fn take(&mut self, bytes: &[u8]);
}

impl<S: Sink + ?Sized> Sink for Box<S> {
    fn room(&self) -> u64 {
        (**self).room()
    }

    fn expected(&self) -> u64 {
        (**self).expected()
    }

    fn take(&mut self, bytes: &[u8]) {
        (**self).take(bytes);
    }
}

/// How pouring ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Poured {
    /// The sink has all it wants.
    Full,
    /// The peer has ended its direction.
    End,
}

impl Stream {
    /// Receives into `sink` until that has all it wants. Whoever gives up before
    /// (drops the future) closes the connection: what has come meanwhile may
    /// have been received.
    ///
    /// # Errors
    /// `TimedOut`, `ConnectionReset`…; what had come before it, the sink has.
    pub async fn pour<S: Sink>(&self, sink: S) -> (S, io::Result<Poured>) {
        let socket = match self.socket.try_clone() {
            Ok(socket) => socket,
            Err(error) => return (sink, Err(error)),
        };
        let earlier = self.registration.interest();
        let mut pouring = Pouring {
            socket,
            sink,
            low_water: 1,
        };
        let result = loop {
            let waited = poll_fn(|context| self.poll_readable(context)).await;
            // Less may have come than was waited for together.
            let last_look = match waited {
                Err(error) if !is_deadline(&error) => break Err(error),
                Err(error) => Some(error),
                Ok(()) => None,
            };
            // Until it is back, nothing that happens to the socket is for us.
            if let Err(error) = self.registration.set_aside() {
                break Err(error);
            }
            let progress_before = self.moved.get();
            let stride;
            (pouring, stride) = unblock(move || {
                let stride = pouring.stride();
                (pouring, stride)
            })
            .await;
            let progressed = progress_before + stride.moved >= self.patience.get().bytes;
            self.account(Interest::READ, stride.moved);
            match (stride.end, last_look) {
                (Some(result), _) => break result,
                (None, Some(error)) if !progressed => break Err(error),
                (None, _) => {}
            }
        };
        pouring.set_low_water(1);
        let restored = self.registration.take_back(earlier);
        (
            pouring.sink,
            result.and_then(|poured| restored.map(|()| poured)),
        )
    }
}

/// How much a sink is given at once: beyond it, fewer calls save nothing.
const PIECE: usize = 256 * 1024;

/// How much is waited for together, at most: waking up for each packet would
/// cost as much as the packet.
const TOGETHER: u64 = 128 * 1024;

/// Buffers that nobody uses just now. Threads of the pool come and go, and few
/// of them pour at one time.
static FREE: Mutex<Vec<Vec<u8>>> = Mutex::new(Vec::new());

/// How many of them are kept: two megabytes.
const KEPT: usize = 8;

fn take_buffer() -> Vec<u8> {
    let kept = FREE.lock().unwrap_or_else(PoisonError::into_inner).pop();
    kept.unwrap_or_else(|| vec![0; PIECE])
}

fn give_back(buffer: Vec<u8>) {
    let mut free = FREE.lock().unwrap_or_else(PoisonError::into_inner);
    if free.len() < KEPT {
        free.push(buffer);
    }
}

/// What goes to the pool and comes back.
struct Pouring<S> {
    socket: Socket,
    sink: S,
    /// What the socket is told to wait for.
    low_water: u32,
}

/// How far one go led.
struct Stride {
    moved: usize,
    /// `None` if there is more to come.
    end: Option<io::Result<Poured>>,
}

impl<S: Sink> Pouring<S> {
    fn stride(&mut self) -> Stride {
        let mut moved = 0;
        let mut buffer = take_buffer();
        let end = self.receive(&mut buffer, &mut moved).transpose();
        give_back(buffer);
        Stride { moved, end }
    }

    /// Receives until the sink has all it wants, the peer ends or pauses, or it
    /// is the turn of others. The buffer is filled before the sink takes it, as
    /// far as the peer keeps up: few large pieces are cheaper to write.
    fn receive(&mut self, buffer: &mut [u8], moved: &mut usize) -> io::Result<Option<Poured>> {
        let mut filled = 0;
        let result = loop {
            let room = usize::try_from(self.sink.room()).map_or(PIECE, |room| room.min(PIECE));
            if room == 0 {
                break Ok(Some(Poured::Full));
            }
            if *moved >= STRIDE && filled == 0 {
                // What is waited for now may be less than what was before.
                let together = self.sink.expected().clamp(1, TOGETHER);
                self.set_low_water(together as u32);
                break Ok(None);
            }
            match self.socket.recv(&mut buffer[filled..room]) {
                Ok(0) => break Ok(Some(Poured::End)),
                Ok(count) => {
                    *moved += count;
                    filled += count;
                    if filled == room {
                        self.sink.take(&buffer[..filled]);
                        filled = 0;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let expected = self.sink.expected().saturating_sub(filled as u64);
                    // It may be all there is: only the sink can tell.
                    if filled > 0 && expected == 0 {
                        self.sink.take(&buffer[..filled]);
                        filled = 0;
                        continue;
                    }
                    let together = expected.min((room - filled) as u64).clamp(1, TOGETHER);
                    self.set_low_water(together as u32);
                    if *moved == 0 {
                        break Ok(None);
                    }
                    match ready_within_pause(&self.socket, PollFlags::IN) {
                        Ok(true) => {}
                        Ok(false) => break Ok(None),
                        Err(error) => break Err(error),
                    }
                }
                Err(error) => break Err(error),
            }
        };
        if filled > 0 {
            self.sink.take(&buffer[..filled]);
        }
        result
    }

    /// Sockets that know no such thing wake up more often.
    fn set_low_water(&mut self, bytes: u32) {
        if bytes != self.low_water {
            self.socket.set(RecvLowWater(bytes)).ok();
            self.low_water = bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Socket, create_server};

    /// Expects so many bytes more.
    struct Expecting(u64);

    impl Sink for Expecting {
        fn room(&self) -> u64 {
            u64::MAX
        }

        fn expected(&self) -> u64 {
            self.0
        }

        fn take(&mut self, _: &[u8]) {}
    }

    #[test]
    fn a_stride_ends_with_waiting_for_what_is_still_to_come() {
        for (expected, low_water) in [(0, 1), (5, 5), (u64::MAX, TOGETHER as u32)] {
            let listener = create_server(&"127.0.0.1:0".parse().unwrap(), false).unwrap();
            let address = listener.sock_name().unwrap();
            let socket = Socket::new(address.domain(), crate::Kind::STREAM).unwrap();
            socket.connect(&address).unwrap();
            let mut pouring = Pouring {
                socket,
                sink: Expecting(expected),
                low_water: 100_000,
            };
            let mut moved = STRIDE;
            let end = pouring.receive(&mut [0; 16], &mut moved).unwrap();
            assert_eq!((end, moved, pouring.low_water), (None, STRIDE, low_water));
        }
    }
}
