//! The event loop of one thread: tasks, readiness, timers and buffers.
//!
//! A [`Reactor`] belongs to the thread that made it and is never shared. Its
//! turn is short enough to read in one sitting (see `Inner::turn`):
//!
//! ```text
//!      ┌──────────► run the tasks that were woken
//!      │                      │
//!      │             wait in the multiplexer      (until the next timer)
//!      │                      │
//!   wake tasks  ◄── events, timers, other threads
//! ```
//!
//! A descriptor is registered once, when it comes, and not for every
//! operation. What the multiplexer said about it is remembered until a call
//! answers `WouldBlock` or moves less than was asked for; only then does its
//! task wait. A task that has done its [`BUDGET`] of work in one go is put
//! behind the others, so that no connection starves another.
//!
//! ```
//! use hythe_net::{More, Reactor, Stream, mux::Epoll, reactor};
//! use std::{io, time::Duration};
//!
//! # fn main() -> io::Result<()> {
//! let reactor = Reactor::new(Epoll::edge()?)?;
//! reactor.block_on(async {
//!     let (one, other) = Stream::pair()?;
//!     reactor::spawn(async move {
//!         reactor::sleep(Duration::from_millis(1)).await;
//!         one.send_all(b"hello", More::No).await.ok();
//!     });
//!     let mut buffer = [0; 16];
//!     let received = other.recv(&mut buffer);
//!     let count = reactor::timeout(Duration::from_secs(1), received).await??;
//!     assert_eq!(&buffer[..count], b"hello");
//!     Ok(())
//! })?
//! # }
//! ```
//!
//! Not here: sockets and streams (see [`crate::Stream`]), accepting and limits
//! (see [`crate::server`]).

mod buffer;
mod source;
mod task;
mod time;

pub use buffer::{BUFFER, Lease, lease};
pub use task::{Remote, hand_over, spawn, stopping, unblock, yield_now};
pub use time::{Sleep, now, sleep, timeout};

pub(crate) use source::{Moved, Registration};

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::future::Future;
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use async_task::Runnable;

use crate::mux::{Event, Interest, Mux, Token, Trigger};
use source::Source;
use task::{MainWaker, Tasks};
use time::Timer;

/// How much work a task may do before the others get their turn, in system
/// calls, where each [`BUDGET_BYTES`] moved count as one more: at most about a
/// millisecond.
pub const BUDGET: usize = 64;

/// How many bytes cost as much as one system call of [`BUDGET`].
pub const BUDGET_BYTES: usize = 16 * 1024;

/// An event loop; see the [module](self).
pub struct Reactor {
    inner: Rc<Inner>,
}

struct Inner {
    mux: RefCell<Box<dyn Mux>>,
    trigger: Trigger,
    events: RefCell<Vec<Event>>,
    /// By the index of their tokens.
    sources: RefCell<Vec<Option<Rc<Source>>>>,
    queue: RefCell<VecDeque<Runnable>>,
    tasks: RefCell<Tasks>,
    timers: RefCell<BTreeMap<(Instant, u64), Timer>>,
    next_timer: Cell<u64>,
    now: Cell<Instant>,
    budget: Cell<usize>,
    stopping: Cell<bool>,
    remote: Arc<Remote>,
    remote_token: Cell<Option<Token>>,
    buffers: RefCell<Vec<Box<[u8]>>>,
}

thread_local! {
    static CURRENT: RefCell<Option<Rc<Inner>>> = const { RefCell::new(None) };
}

impl Reactor {
    /// A reactor for this thread, on the multiplexer given.
    ///
    /// # Errors
    /// No descriptor is left for its wake-up channel.
    pub fn new(mux: impl Mux + 'static) -> io::Result<Self> {
        Self::on(Box::new(mux))
    }

    /// As [`new`](Self::new), for a multiplexer chosen at run time.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn on(mux: Box<dyn Mux>) -> io::Result<Self> {
        Self::with_remote(mux, Arc::new(Remote::new()?))
    }

    /// As [`on`](Self::on), with a wake-up channel made beforehand.
    pub(crate) fn with_remote(mut mux: Box<dyn Mux>, remote: Arc<Remote>) -> io::Result<Self> {
        let token = mux.add(remote.as_fd(), Interest::READ)?;
        let trigger = mux.trigger();
        Ok(Self {
            inner: Rc::new(Inner {
                mux: RefCell::new(mux),
                trigger,
                events: RefCell::default(),
                sources: RefCell::default(),
                queue: RefCell::default(),
                tasks: RefCell::default(),
                timers: RefCell::default(),
                next_timer: Cell::new(0),
                now: Cell::new(Instant::now()),
                budget: Cell::new(BUDGET),
                stopping: Cell::new(false),
                remote,
                remote_token: Cell::new(Some(token)),
                buffers: RefCell::default(),
            }),
        })
    }

    /// Runs `future`, and the tasks it spawns, until `future` is done. Tasks
    /// left over go on at the next call, or are dropped with the reactor.
    ///
    /// # Errors
    /// The multiplexer's wait failed, which a sound program never sees.
    pub fn block_on<F: Future>(&self, future: F) -> io::Result<F::Output> {
        let _entered = Entered::new(&self.inner);
        let main = Arc::new(MainWaker::new(self.remote()));
        let waker = Waker::from(Arc::clone(&main));
        let mut future = pin!(future);
        self.inner.now.set(Instant::now());
        loop {
            if main.take() {
                self.inner.budget.set(BUDGET);
                if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker))
                {
                    return Ok(output);
                }
            }
            self.inner.turn(&main)?;
        }
    }

    /// A handle by which other threads reach this reactor.
    pub fn remote(&self) -> Arc<Remote> {
        Arc::clone(&self.inner.remote)
    }
}

/// Tasks are dropped with their reactor, each on the thread it ran on.
impl Drop for Reactor {
    fn drop(&mut self) {
        let _entered = Entered::new(&self.inner);
        self.inner.cancel_all();
    }
}

impl fmt::Debug for Reactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reactor")
            .field("trigger", &self.inner.trigger)
            .finish_non_exhaustive()
    }
}

impl Inner {
    /// One turn of the loop. Where the future of `block_on` has something to
    /// do, there is nothing to wait for.
    fn turn(&self, main: &MainWaker) -> io::Result<()> {
        let count = self.queue.borrow().len();
        for _ in 0..count {
            let Some(runnable) = self.next_runnable() else {
                break;
            };
            self.budget.set(BUDGET);
            runnable.run();
        }

        let busy = !self.queue.borrow().is_empty() || main.is_woken();
        let timeout = if busy {
            Some(Duration::ZERO)
        } else {
            self.until_next_timer()
        };
        let mut events = self.events.borrow_mut();
        self.mux.borrow_mut().wait(&mut events, timeout)?;
        self.now.set(Instant::now());

        for event in events.drain(..) {
            if Some(event.token) == self.remote_token.get() {
                self.remote.acknowledge();
                self.take_woken();
                self.check_stop(main);
            } else {
                self.dispatch(event)?;
            }
        }
        self.fire_timers();
        Ok(())
    }

    fn next_runnable(&self) -> Option<Runnable> {
        self.queue.borrow_mut().pop_front()
    }

    /// Once another thread has asked for it: the main future, and everybody
    /// who waits for input, look again whether to go on.
    fn check_stop(&self, main: &MainWaker) {
        if self.remote.is_stopped() && !self.stopping.replace(true) {
            main.set();
            for source in self.sources.borrow().iter().flatten() {
                source.reading.wake();
            }
        }
    }

    fn spend(&self, bytes: usize) {
        let cost = 1 + bytes / BUDGET_BYTES;
        self.budget.set(self.budget.get().saturating_sub(cost));
    }
}

/// Makes a reactor the current one of this thread for as long as it lives.
struct Entered {
    previous: Option<Rc<Inner>>,
}

impl Entered {
    fn new(inner: &Rc<Inner>) -> Self {
        let previous = CURRENT.with(|current| current.replace(Some(Rc::clone(inner))));
        Self { previous }
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        CURRENT.with(|current| current.replace(self.previous.take()));
    }
}

fn current() -> Rc<Inner> {
    CURRENT
        .with(|current| current.borrow().clone())
        .expect("sockets, timers and tasks live in a reactor: call this inside `Reactor::block_on`")
}
