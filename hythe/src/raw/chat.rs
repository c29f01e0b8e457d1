//! [`Chat`]: what one says, all others hear.
//!
//! ```text
//!   one says a line ──► Room ──► a queue for each of the others ──► one sender
//!                         └────► whoever listens here (standard output)
//! ```
//!
//! A line is taken when it is whole and goes into each queue as one; a queue has
//! one sender. So no line gets into another. Nobody waits for a slow reader: a
//! queue that has grown too long is given up, and its reader told so.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures_lite::future::{or, pending};
use hythe_net::option::Linger;
use hythe_net::reactor::{lease, sleep, timeout};
use hythe_net::{Connection, More, Patience};

use super::Talk;
use crate::tls::Channel;

/// The longest line, in bytes, with its end: more than anybody types, and little
/// enough to be kept for each who has begun one.
pub const LONGEST_LINE: usize = 64 * 1024;

/// How many bytes may wait for a reader, beside what the kernel keeps for it:
/// hours of talk, and what 4,096 readers may keep is bearable.
pub const MOST_WAITING: usize = 1024 * 1024;

/// How long one who is told to go may take to hear it.
const FAREWELL: Duration = Duration::from_secs(10);

/// A line, shared by all queues that it waits in.
type Line = Arc<[u8]>;

/// Whoever listens beside the members.
type Listener = Box<dyn Fn(&[u8]) + Send + Sync>;

/// Where lines are said and heard. Clones are the same room.
#[derive(Clone, Default)]
pub struct Room {
    state: Arc<Mutex<State>>,
    listener: Option<Arc<Listener>>,
}

#[derive(Default)]
struct State {
    next: u64,
    queues: HashMap<u64, Queue>,
}

/// What waits for one member.
#[derive(Default)]
struct Queue {
    lines: VecDeque<Line>,
    bytes: usize,
    leaving: Option<Leaving>,
    waker: Option<Waker>,
}

impl Room {
    /// A room where `listener` hears each line that a member says. It is called
    /// on event loops, and must not wait.
    pub fn with_listener(listener: impl Fn(&[u8]) + Send + Sync + 'static) -> Self {
        Self {
            state: Arc::default(),
            listener: Some(Arc::new(Box::new(listener))),
        }
    }

    /// Says a line, which brings its end along, to all members.
    pub fn say(&self, line: &[u8]) {
        self.pass_on(None, line);
    }

    fn said_by(&self, member: u64, line: &[u8]) {
        if let Some(listener) = &self.listener {
            listener(line);
        }
        self.pass_on(Some(member), line);
    }

    fn pass_on(&self, from: Option<u64>, line: &[u8]) {
        let line: Line = line.into();
        let mut wakers = Vec::new();
        for (member, queue) in &mut self.state().queues {
            if Some(*member) != from {
                queue.push(&line);
                wakers.extend(queue.waker.take());
            }
        }
        wakers.into_iter().for_each(Waker::wake);
    }

    fn enter(&self) -> Member {
        let mut state = self.state();
        let number = state.next;
        state.next += 1;
        state.queues.insert(number, Queue::default());
        Member {
            room: self.clone(),
            number,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Room {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Room")
            .field("members", &self.state().queues.len())
            .finish_non_exhaustive()
    }
}

impl Queue {
    fn push(&mut self, line: &Line) {
        if self.leaving.is_some() {
            return;
        }
        self.bytes += line.len();
        self.lines.push_back(Arc::clone(line));
        if self.bytes > MOST_WAITING {
            self.leave(Leaving::TooSlow);
        }
    }

    /// Nothing more is for this member, unless it is why it has to go.
    fn leave(&mut self, why: Leaving) {
        self.leaving.get_or_insert(why);
        self.lines.clear();
    }
}

/// Why somebody leaves the room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Leaving {
    /// By itself.
    Ended,
    LineTooLong,
    TooSlow,
}

/// One who is in the room, until it is dropped.
struct Member {
    room: Room,
    number: u64,
}

impl Member {
    /// The next line to be sent, or that there will be none.
    fn poll_next(&self, context: &mut Context<'_>) -> Poll<Result<Line, Leaving>> {
        let mut state = self.room.state();
        let Some(queue) = state.queues.get_mut(&self.number) else {
            return Poll::Ready(Err(Leaving::Ended));
        };
        if let Some(leaving) = queue.leaving {
            return Poll::Ready(Err(leaving));
        }
        if let Some(line) = queue.lines.pop_front() {
            queue.bytes -= line.len();
            return Poll::Ready(Ok(line));
        }
        queue.waker = Some(context.waker().clone());
        Poll::Pending
    }

    fn poll_leaving(&self, context: &mut Context<'_>) -> Poll<()> {
        let mut state = self.room.state();
        match state.queues.get_mut(&self.number) {
            Some(queue) if queue.leaving.is_none() => {
                queue.waker = Some(context.waker().clone());
                Poll::Pending
            }
            _ => Poll::Ready(()),
        }
    }

    fn leave(&self, why: Leaving) {
        let mut state = self.room.state();
        if let Some(queue) = state.queues.get_mut(&self.number) {
            queue.leave(why);
        }
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.room.state().queues.remove(&self.number);
    }
}

/// A room that everybody who connects is in.
#[derive(Debug)]
pub struct Chat {
    room: Room,
    idle: Option<Duration>,
}

impl Chat {
    /// A chat in this room, for those who neither say nor hear anything for
    /// `idle` at most.
    pub fn new(room: Room, idle: Option<Duration>) -> Self {
        Self { room, idle }
    }
}

impl Talk for Chat {
    async fn talk(&self, connection: Connection<Channel>) -> io::Result<()> {
        let channel = &connection.stream;
        channel.set_patience(Patience {
            idle: self.idle.unwrap_or(Duration::MAX),
            bytes: 1,
        });
        let member = self.room.enter();
        let speak = async {
            let leaving = speak(channel, &member).await;
            member.leave(leaving);
            pending().await
        };
        // In this order: who has left is seen at once.
        let leaving = or(speak, hear(channel, &member)).await;
        drop(member);
        let told = match leaving? {
            Leaving::Ended => String::new(),
            Leaving::LineTooLong => format!(
                "hythe: a line of more than {} KiB; goodbye\r\n",
                LONGEST_LINE / 1024
            ),
            Leaving::TooSlow => format!(
                "hythe: too slow: more than {} KiB waited for you; goodbye\r\n",
                MOST_WAITING / 1024
            ),
        };
        timeout(FAREWELL, async {
            channel.send_all(told.as_bytes(), More::No).await?;
            channel.close().await;
            Ok(())
        })
        .await?
    }
}

/// Takes the lines that a member says. The last one may lack its end, and is
/// given one, lest another's begin in it.
async fn speak(channel: &Channel, member: &Member) -> Leaving {
    let mut begun: Vec<u8> = Vec::new();
    loop {
        let length = begun.len();
        let count = poll_fn(|context| {
            let mut buffer = lease();
            let received = channel.poll_recv(context, &mut buffer);
            received.map_ok(|count| {
                begun.extend_from_slice(&buffer[..count]);
                count
            })
        });
        // One who is cut off has said what came.
        if !matches!(count.await, Ok(count) if count > 0) {
            break;
        }
        let mut said = 0;
        while let Some(end) = line_end(&begun, said.max(length)) {
            if end - said > LONGEST_LINE {
                return Leaving::LineTooLong;
            }
            member.room.said_by(member.number, &begun[said..end]);
            said = end;
        }
        begun.drain(..said);
        if begun.len() > LONGEST_LINE {
            return Leaving::LineTooLong;
        }
    }
    if !begun.is_empty() {
        begun.push(b'\n');
        member.room.said_by(member.number, &begun);
    }
    Leaving::Ended
}

/// Where the line ends that goes on at `from`.
fn line_end(bytes: &[u8], from: usize) -> Option<usize> {
    let newline = bytes[from..].iter().position(|byte| *byte == b'\n')?;
    Some(from + newline + 1)
}

/// Sends a member what the others say, each line whole. Who has to go gets the
/// rest of one that was begun, if that does not take long.
async fn hear(channel: &Channel, member: &Member) -> io::Result<Leaving> {
    loop {
        let line = match poll_fn(|context| member.poll_next(context)).await {
            Ok(line) => line,
            Err(leaving) => return Ok(leaving),
        };
        let too_long = async {
            poll_fn(|context| member.poll_leaving(context)).await;
            sleep(FAREWELL).await;
            // What it did not take is thrown away with the connection.
            channel.socket().set(Linger(Some(Duration::ZERO))).ok();
            Err(io::ErrorKind::TimedOut.into())
        };
        or(channel.send_all(&line, More::No), too_long).await?;
    }
}
