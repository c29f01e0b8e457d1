//! [`Chat`]: what one says, all others hear.
//!
//! ```text
//!   one says lines ──► Room: what was said last ──► each of the others,
//!        ▲              (a place in it for each)     from its place on
//!        └── waits while somebody who keeps on reading is far behind
//! ```
//!
//! Lines are taken when they are whole, and are sent by one sender for each who
//! hears them, so that no line gets into another. What waits for all together is
//! kept once. Nobody waits for a reader that takes nothing: what was said last
//! takes the place of what was said first, and whoever has not heard that is told
//! that it was too slow. Whoever says no more goes on hearing, until its
//! connection breaks.

use std::cell::Cell;
use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use futures_lite::future::{or, pending, race};
use hythe_net::option::{KeepAlive, KeepIdle, KeepInterval, Linger, NotSentLowWater};
use hythe_net::reactor::{lease, sleep, timeout};
use hythe_net::{Connection, More, Socket};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::Talk;
use super::stillness::{ENDLESS, stillness};
use crate::tls::Channel;

/// The longest line, in bytes, with its end: more than anybody types, and little
/// enough to be kept for each who has begun one.
pub const LONGEST_LINE: usize = 64 * 1024;

/// How many bytes a room keeps for those who have not heard them yet, beside what
/// the kernel keeps for each: hours of talk.
pub const MOST_WAITING: usize = 1024 * 1024;

/// How far behind a reader may be before speakers wait for it: so far that there
/// is room for whatever is said until they do.
const FAR_BEHIND: usize = MOST_WAITING / 2;

/// How long speakers wait for one who is far behind to take something: longer
/// than a busy machine lets a reader wait for its turn, and hardly noticed by
/// people.
const HELD_UP: Duration = Duration::from_secs(1);

/// How much is sent at once: as much as a pipe takes, since many a reader writes
/// into one.
const AT_ONCE: usize = 64 * 1024;

/// How much the kernel may keep for a reader beyond what is on its way. With
/// more of it, a reader would take something only now and then, and much.
const UNSENT: u32 = 128 * 1024;

/// What keeping something costs beside its bytes: its place in the list, half of
/// which may be unused, and what the allocator needs for two pieces of memory.
const KEEPING: usize = 2 * size_of::<Said>() + 96;

/// How long one who is told to go may take to hear it.
const FAREWELL: Duration = Duration::from_secs(10);

/// How often one who says no more is asked whether it still hears, and we look
/// what came of it: the place of one that does not is soon another's.
const LOOK: Duration = Duration::from_secs(10);

/// One or more whole lines, shared by all who are to hear them.
pub type Lines = Arc<Vec<u8>>;

/// Where lines are said and heard. Clones are the same room.
#[derive(Clone, Default)]
pub struct Room(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    places: HashMap<u64, Place>,
    /// The number of who enters next.
    number: u64,
    /// What was said last, in pieces, of which the first has this number.
    said: VecDeque<Said>,
    first: u64,
    /// What keeping them costs.
    kept: usize,
    /// What keeping all would cost that was ever said.
    cost: u64,
    closed: bool,
}

/// What one member said at once.
struct Said {
    by: u64,
    lines: Lines,
    /// What was said before has cost so much.
    before: u64,
}

/// A member's place in what is said.
struct Place {
    /// Whether it stays when it has missed something.
    host: bool,
    /// The number of the piece that it hears next.
    next: u64,
    /// How many lines were given up before it heard them.
    missed: u64,
    /// When it last took something, or had nothing to take.
    took: Instant,
    leaving: Option<Leaving>,
    /// Whom to wake when there is something to hear.
    hears: Option<Waker>,
    /// Whom to wake when it need not wait any longer with what it says.
    says: Option<Waker>,
}

impl Room {
    /// A member more, until it is dropped.
    pub fn enter(&self) -> Member {
        self.seat(false)
    }

    /// A member that is never too slow: it hears how many lines it missed.
    pub fn enter_as_host(&self) -> Member {
        self.seat(true)
    }

    /// Lets nobody say anything any more. Members hear what was said.
    pub fn close(&self) {
        let mut state = self.state();
        state.closed = true;
        let places = state.places.values_mut();
        let wakers: Vec<_> = places
            .flat_map(|place| [place.hears.take(), place.says.take()])
            .flatten()
            .collect();
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
    }

    fn seat(&self, host: bool) -> Member {
        let mut state = self.state();
        let number = state.number;
        state.number += 1;
        let place = Place {
            host,
            next: state.end(),
            missed: 0,
            took: Instant::now(),
            leaving: None,
            hears: None,
            says: None,
        };
        state.places.insert(number, place);
        Member {
            room: self.clone(),
            number,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Room {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Room")
            .field("members", &self.state().places.len())
            .finish_non_exhaustive()
    }
}

/// Nobody is woken in here, where the room is locked.
impl State {
    /// The number of the piece that is said next.
    fn end(&self) -> u64 {
        self.first + self.said.len() as u64
    }

    fn piece(&self, number: u64) -> Option<&Said> {
        self.said.get((number - self.first) as usize)
    }

    fn is_far_behind(&self, place: &Place) -> bool {
        let next = self.piece(place.next);
        next.is_some_and(|next| self.cost - next.before > FAR_BEHIND as u64)
    }

    /// Whether speakers have to wait for one who is far behind, and goes on.
    fn is_held_up(&self, now: Instant) -> bool {
        let holds_up = |place: &Place| {
            place.leaving().is_none()
                && self.is_far_behind(place)
                && now.duration_since(place.took) < HELD_UP
        };
        self.places.values().any(holds_up)
    }

    /// Keeps what is said: those who wait for it.
    fn keep(&mut self, by: u64, lines: &Lines, now: Instant) -> Vec<Waker> {
        let end = self.end();
        let mut wakers = Vec::new();
        for (member, place) in &mut self.places {
            let has_all = place.next == end;
            if *member == by {
                // Nobody hears itself.
                place.next += u64::from(has_all);
                continue;
            }
            if has_all {
                place.took = now;
            }
            wakers.extend(place.hears.take());
        }
        self.said.push_back(Said {
            by,
            lines: Arc::clone(lines),
            before: self.cost,
        });
        self.kept += keeping(lines);
        self.cost += keeping(lines) as u64;
        while self.kept > MOST_WAITING {
            self.give_up();
        }
        wakers
    }

    /// Forgets what was said first, also where somebody has not heard it.
    fn give_up(&mut self) {
        let Some(given_up) = self.said.pop_front() else {
            return;
        };
        self.kept -= keeping(&given_up.lines);
        self.first += 1;
        for (member, place) in &mut self.places {
            if place.next < self.first {
                place.next = self.first;
                if *member != given_up.by {
                    place.missed += count_lines(&given_up.lines);
                }
            }
        }
    }

    /// The lines that a member hears next, if there are some: as many as are
    /// sent at once.
    fn take(&mut self, member: u64) -> Option<Lines> {
        let place = self.places.get_mut(&member)?;
        let mut taken = match mem::take(&mut place.missed) {
            0 => None,
            missed => Some(Lines::new(format!("… {missed} lines missed\n").into())),
        };
        let from = (place.next - self.first) as usize;
        for said in self.said.range(from..) {
            if said.by != member {
                match &mut taken {
                    None => taken = Some(Arc::clone(&said.lines)),
                    Some(taken) if taken.len() + said.lines.len() > AT_ONCE => break,
                    Some(taken) => Arc::make_mut(taken).extend_from_slice(&said.lines),
                }
            }
            place.next += 1;
        }
        place.took = Instant::now();
        taken
    }

    /// Those who wait to say something.
    fn speakers(&mut self) -> Vec<Waker> {
        let places = self.places.values_mut();
        places.filter_map(|place| place.says.take()).collect()
    }
}

impl Place {
    fn leaving(&self) -> Option<Leaving> {
        let too_slow = self.missed > 0 && !self.host;
        self.leaving
            .or_else(|| too_slow.then_some(Leaving::TooSlow))
    }
}

fn keeping(lines: &Lines) -> usize {
    lines.capacity() + KEEPING
}

fn count_lines(lines: &[u8]) -> u64 {
    lines.iter().filter(|byte| **byte == b'\n').count() as u64
}

/// Why somebody leaves the room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leaving {
    /// By itself.
    Ended,
    /// It said a line of more than [`LONGEST_LINE`].
    LineTooLong,
    /// More than [`MOST_WAITING`] waited for it.
    TooSlow,
}

impl fmt::Display for Leaving {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ended => f.write_str("the end"),
            Self::LineTooLong => write!(f, "a line of more than {} KiB", LONGEST_LINE / 1024),
            Self::TooSlow => {
                let most = MOST_WAITING / 1024;
                write!(f, "too slow: more than {most} KiB waited for you")
            }
        }
    }
}

/// One who is in the room, until it is dropped.
#[derive(Debug)]
pub struct Member {
    room: Room,
    number: u64,
}

impl Member {
    /// Says all whole lines of what `read` appends, until it appends nothing. The
    /// last line may lack its end, and is given one, lest another's begin in it.
    /// Nothing is read while somebody is far behind who goes on.
    ///
    /// # Errors
    /// Those of `read`; what came before is said.
    ///
    /// # Panics
    /// Outside of a reactor.
    pub async fn speak(
        &self,
        mut read: impl AsyncFnMut(&mut Vec<u8>) -> io::Result<usize>,
    ) -> io::Result<Leaving> {
        let mut begun = Vec::new();
        let end = loop {
            let before = begun.len();
            match read(&mut begun).await {
                Ok(0) => break Ok(Leaving::Ended),
                Ok(_) => {}
                Err(error) => break Err(error),
            }
            if let Some(last) = begun[before..].iter().rposition(|byte| *byte == b'\n') {
                let rest = begun.split_off(before + last + 1);
                let mut lines = mem::replace(&mut begun, rest);
                let (whole, legal) = (lines.len(), legal(&lines));
                lines.truncate(legal);
                self.say(lines).await;
                if legal < whole {
                    return Ok(Leaving::LineTooLong);
                }
            }
            if begun.len() > LONGEST_LINE {
                return Ok(Leaving::LineTooLong);
            }
        };
        if !begun.is_empty() {
            begun.push(b'\n');
            self.say(begun).await;
        }
        end
    }

    async fn say(&self, lines: Vec<u8>) {
        if lines.is_empty() {
            return;
        }
        let lines = Lines::new(lines);
        let said = || poll_fn(|context| self.poll_say(context, &lines));
        // One who takes nothing any more wakes nobody.
        while timeout(HELD_UP, said()).await.is_err() {}
    }

    fn poll_say(&self, context: &mut Context<'_>, lines: &Lines) -> Poll<()> {
        let mut state = self.room.state();
        let now = Instant::now();
        if state.closed {
            return Poll::Ready(());
        }
        if state.is_held_up(now) {
            if let Some(place) = state.places.get_mut(&self.number) {
                place.says = Some(context.waker().clone());
            }
            return Poll::Pending;
        }
        let wakers = state.keep(self.number, lines, now);
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
        Poll::Ready(())
    }

    /// The lines to be heard next, as many as there are, within bounds.
    ///
    /// # Errors
    /// Why there are none any more.
    pub async fn hear(&self) -> Result<Lines, Leaving> {
        poll_fn(|context| self.poll_hear(context)).await
    }

    fn poll_hear(&self, context: &mut Context<'_>) -> Poll<Result<Lines, Leaving>> {
        let mut state = self.room.state();
        let Some(place) = state.places.get(&self.number) else {
            return Poll::Ready(Err(Leaving::Ended));
        };
        if let Some(leaving) = place.leaving() {
            return Poll::Ready(Err(leaving));
        }
        let was_far_behind = state.is_far_behind(place);
        if let Some(lines) = state.take(self.number) {
            let speakers = match was_far_behind {
                true => state.speakers(),
                false => Vec::new(),
            };
            drop(state);
            speakers.into_iter().for_each(Waker::wake);
            return Poll::Ready(Ok(lines));
        }
        if state.closed {
            return Poll::Ready(Err(Leaving::Ended));
        }
        if let Some(place) = state.places.get_mut(&self.number) {
            place.hears = Some(context.waker().clone());
        }
        Poll::Pending
    }

    fn poll_leaving(&self, context: &mut Context<'_>) -> Poll<()> {
        let mut state = self.room.state();
        match state.places.get_mut(&self.number) {
            Some(place) if place.leaving().is_none() => {
                place.hears = Some(context.waker().clone());
                Poll::Pending
            }
            _ => Poll::Ready(()),
        }
    }

    /// Hears and holds up nothing more.
    fn leave(&self, why: Leaving) {
        let mut state = self.room.state();
        let mut wakers = state.speakers();
        if let Some(place) = state.places.get_mut(&self.number) {
            place.leaving = Some(why);
            wakers.extend(place.hears.take());
        }
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.leave(Leaving::Ended);
        let place = self.room.state().places.remove(&self.number);
        // What it would have woken is dropped where the room is not locked.
        drop(place);
    }
}

/// How many bytes the lines have, up to one that is too long.
fn legal(lines: &[u8]) -> usize {
    let lines = lines.split_inclusive(|byte| *byte == b'\n');
    let lengths = lines.map(<[u8]>::len);
    lengths.take_while(|length| *length <= LONGEST_LINE).sum()
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
        channel.set_patience(ENDLESS);
        // Elsewhere than over TCP the kernel keeps little anyway.
        channel.socket().set(NotSentLowWater(UNSENT)).ok();
        let member = self.room.enter();
        let said = Cell::new(0);
        let speak = async {
            let leaving = match speak(channel, &member, &said).await {
                Ok(Leaving::Ended) => {
                    gone(channel).await;
                    Leaving::Ended
                }
                Ok(leaving) => leaving,
                // One who is cut off has left, too.
                Err(_) => Leaving::Ended,
            };
            member.leave(leaving);
            pending().await
        };
        let still = async {
            stillness(self.idle, || said.get() + channel.sent()).await;
            match channel.socket().unacknowledged() {
                Ok(1..) => Err(cut_off(channel)),
                _ => Ok(Leaving::Ended),
            }
        };
        // In turns: each of them could use up the budget of every turn.
        let leaving = or(race(speak, hear(channel, &member)), still).await;
        drop(member);
        let told = match leaving? {
            Leaving::Ended => String::new(),
            leaving => format!("hythe: {leaving}; goodbye\r\n"),
        };
        timeout(FAREWELL, async {
            channel.send_all(told.as_bytes(), More::No).await?;
            channel.close().await;
            Ok(())
        })
        .await?
    }
}

/// Takes the lines that a member says, and counts their bytes.
async fn speak(channel: &Channel, member: &Member, said: &Cell<u64>) -> io::Result<Leaving> {
    let read = async |begun: &mut Vec<u8>| {
        poll_fn(|context| {
            let mut buffer = lease();
            let received = channel.poll_recv(context, &mut buffer);
            received.map_ok(|count| {
                begun.extend_from_slice(&buffer[..count]);
                said.set(said.get() + count as u64);
                count
            })
        })
        .await
    };
    member.speak(read).await
}

/// Waits until one who says no more does not hear either. Of a peer that has
/// closed altogether we know no more than of one that only says no more; but its
/// system answers a question with a reset, and the question is ours to ask.
async fn gone(channel: &Channel) {
    let socket = channel.socket();
    // Of a Unix socket the kernel knows it by itself.
    socket.set(KeepIdle(LOOK)).ok();
    socket.set(KeepInterval(LOOK)).ok();
    socket.set(KeepAlive(true)).ok();
    while !is_gone(socket) {
        sleep(LOOK).await;
    }
}

/// Whether nothing can be said to it any more.
fn is_gone(socket: &Socket) -> bool {
    let mut asked = [PollFd::new(socket, PollFlags::empty())];
    let answered = poll(&mut asked, Some(&Timespec::default()));
    answered.is_err() || !asked[0].revents().is_empty()
}

/// Sends a member what the others say, each line whole. Who has to go gets the
/// rest of what was begun, if that does not take long.
async fn hear(channel: &Channel, member: &Member) -> io::Result<Leaving> {
    loop {
        let lines = match member.hear().await {
            Ok(lines) => lines,
            Err(leaving) => return Ok(leaving),
        };
        let too_long = async {
            poll_fn(|context| member.poll_leaving(context)).await;
            sleep(FAREWELL).await;
            Err(cut_off(channel))
        };
        or(channel.send_all(&lines, More::No), too_long).await?;
    }
}

/// Has what a member did not take thrown away with its connection, lest the
/// kernel keep it.
fn cut_off(channel: &Channel) -> io::Error {
    channel.socket().set(Linger(Some(Duration::ZERO))).ok();
    io::ErrorKind::TimedOut.into()
}
