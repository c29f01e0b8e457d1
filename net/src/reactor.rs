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
//! Not here: sockets and streams (see [`crate::Stream`]), accepting and limits
//! (see [`crate::server`]).

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::ops::{Deref, DerefMut};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use async_task::{Runnable, Task};
use rustix::event::{EventfdFlags, eventfd};

use crate::mux::{Event, Interest, Mux, Ready, Token, Trigger};

/// How much work a task may do before the others get their turn, in system
/// calls, where each [`BUDGET_BYTES`] moved count as one more: at most about a
/// millisecond.
pub const BUDGET: usize = 64;

/// How many bytes cost as much as one system call of [`BUDGET`].
pub const BUDGET_BYTES: usize = 16 * 1024;

/// The size of a leased buffer: what one `recv` takes at most. Larger ones
/// bring no more speed on a stream, smaller ones cost more calls.
pub const BUFFER: usize = 16 * 1024;

/// How many free buffers a thread keeps: a megabyte.
const BUFFERS_KEPT: usize = 64;

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

enum Timer {
    Wake(Waker),
    /// A source's deadline; looked up when it comes, since it may have moved.
    Deadline(Token),
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
    pub fn on(mut mux: Box<dyn Mux>) -> io::Result<Self> {
        let remote = Arc::new(Remote {
            eventfd: eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?,
            woken: Mutex::default(),
            notified: AtomicBool::new(false),
            stop: AtomicBool::new(false),
        });
        let token = mux.add(remote.eventfd.as_fd(), Interest::READ)?;
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
        let main = Arc::new(MainWaker {
            woken: AtomicBool::new(true),
            remote: Arc::clone(&self.inner.remote),
        });
        let waker = Waker::from(Arc::clone(&main));
        let mut future = pin!(future);
        self.inner.now.set(Instant::now());
        loop {
            if main.woken.swap(false, Ordering::Acquire) {
                self.inner.budget.set(BUDGET);
                if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker))
                {
                    return Ok(output);
                }
            }
            self.inner.turn(&main.woken)?;
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
        let tasks = std::mem::take(&mut self.inner.tasks.borrow_mut().slots);
        drop(tasks);
        loop {
            self.inner.take_woken();
            let Some(runnable) = self.inner.next_runnable() else {
                break;
            };
            runnable.run();
        }
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
    /// One turn of the loop. `main_woken` tells that the future of `block_on`
    /// has something to do, so that there is nothing to wait for.
    fn turn(&self, main_woken: &AtomicBool) -> io::Result<()> {
        let count = self.queue.borrow().len();
        for _ in 0..count {
            let Some(runnable) = self.next_runnable() else {
                break;
            };
            self.budget.set(BUDGET);
            runnable.run();
        }

        let busy = !self.queue.borrow().is_empty() || main_woken.load(Ordering::Acquire);
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
                self.check_stop();
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

    /// Moves the tasks that other threads woke into the queue.
    fn take_woken(&self) {
        let mut woken = self
            .remote
            .woken
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        self.queue.borrow_mut().extend(woken.drain(..));
    }

    /// Remembers what an event says and wakes whom it concerns.
    fn dispatch(&self, event: Event) -> io::Result<()> {
        let sources = self.sources.borrow();
        let Some(source) = sources.get(event.token.index()).and_then(Option::as_ref) else {
            return Ok(());
        };
        source.ready.set(source.ready.get() | event.ready);
        let mut asked = source.asked.get();
        for (interest, ready, waiting) in source.directions() {
            if event.ready.intersects(ready) && !waiting.wake() && self.trigger == Trigger::Level {
                // Nobody waits for this, and it would be said again and again.
                asked = asked.without(interest);
            }
        }
        if asked != source.asked.get() {
            source.asked.set(asked);
            self.mux.borrow_mut().modify(event.token, asked)?;
        }
        Ok(())
    }

    fn until_next_timer(&self) -> Option<Duration> {
        let timers = self.timers.borrow();
        let ((next, _), _) = timers.first_key_value()?;
        Some(next.saturating_duration_since(self.now.get()))
    }

    fn fire_timers(&self) {
        loop {
            let mut timers = self.timers.borrow_mut();
            match timers.first_entry() {
                Some(first) if first.key().0 <= self.now.get() => match first.remove() {
                    Timer::Wake(waker) => {
                        drop(timers);
                        waker.wake();
                    }
                    Timer::Deadline(token) => {
                        drop(timers);
                        self.check_deadline(token);
                    }
                },
                _ => return,
            }
        }
    }

    /// A source's timer went off: either its deadline has moved on since, or
    /// whoever waits for it must learn that it has come.
    fn check_deadline(&self, token: Token) {
        let sources = self.sources.borrow();
        let Some(source) = sources.get(token.index()).and_then(Option::as_ref) else {
            return;
        };
        source.timer.set(None);
        let Some(deadline) = source.deadline.get() else {
            return;
        };
        if deadline <= self.now.get() {
            source.reading.wake();
            source.writing.wake();
        } else if source.reading.is_waiting() || source.writing.is_waiting() {
            self.arm_deadline(source, deadline);
        }
    }

    fn arm_deadline(&self, source: &Source, deadline: Instant) {
        let mut timers = self.timers.borrow_mut();
        let id = source.token.index() as u64;
        if let Some(earlier) = source.timer.replace(Some(deadline)) {
            timers.remove(&(earlier, id));
        }
        timers.insert((deadline, id), Timer::Deadline(source.token));
    }

    /// Once another thread has asked for it: everybody who waits for input
    /// looks again whether to go on.
    fn check_stop(&self) {
        if self.remote.stop.load(Ordering::Acquire) && !self.stopping.replace(true) {
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

// --- Tasks -----------------------------------------------------------------

/// The tasks that are not done, so that they can be dropped with the reactor.
#[derive(Default)]
struct Tasks {
    slots: Vec<Option<Task<()>>>,
    free: Vec<usize>,
}

/// Takes its task off the list when it ends, however it ends.
struct Listed(usize);

impl Drop for Listed {
    fn drop(&mut self) {
        let inner = current();
        let mut tasks = inner.tasks.borrow_mut();
        if let Some(task) = tasks.slots.get_mut(self.0).and_then(Option::take) {
            task.detach();
            tasks.free.push(self.0);
        }
    }
}

/// Starts a task on this thread's reactor; it runs beside its parent.
///
/// # Panics
/// Outside of [`Reactor::block_on`].
pub fn spawn(future: impl Future<Output = ()> + 'static) {
    let inner = current();
    let mut tasks = inner.tasks.borrow_mut();
    let slot = tasks.free.pop().unwrap_or_else(|| {
        tasks.slots.push(None);
        tasks.slots.len() - 1
    });
    let listed = Listed(slot);
    let task = async move {
        let _listed = listed;
        future.await;
    };
    let remote = Arc::clone(&inner.remote);
    let (runnable, task) =
        async_task::spawn_local(task, move |runnable| schedule(&remote, runnable));
    tasks.slots[slot] = Some(task);
    drop(tasks);
    runnable.schedule();
}

/// Queues a woken task: at once on its own thread, by way of the wake-up
/// channel from another.
fn schedule(remote: &Arc<Remote>, runnable: Runnable) {
    let elsewhere = CURRENT.with(|current| match current.borrow().as_ref() {
        Some(inner) if Arc::ptr_eq(&inner.remote, remote) => {
            inner.queue.borrow_mut().push_back(runnable);
            None
        }
        _ => Some(runnable),
    });
    if let Some(runnable) = elsewhere {
        remote
            .woken
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(runnable);
        remote.notify();
    }
}

/// Lets the other tasks have their turn.
pub async fn yield_now() {
    futures_lite::future::yield_now().await;
}

/// What other threads may do to a reactor.
#[derive(Debug)]
pub struct Remote {
    eventfd: OwnedFd,
    woken: Mutex<Vec<Runnable>>,
    /// Whether the eventfd was written and not read yet: one write is enough.
    notified: AtomicBool,
    stop: AtomicBool,
}

impl Remote {
    /// Asks the reactor's tasks to finish what they are doing and end: from
    /// now on [`stopping`] is true there, and those that wait for a peer's
    /// next message (see [`Stream::input`](crate::Stream::input)) are told.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Release);
        self.notify();
    }

    fn notify(&self) {
        if !self.notified.swap(true, Ordering::AcqRel) {
            // It can only fail if the counter is full, and then it is readable.
            rustix::io::write(&self.eventfd, &1u64.to_ne_bytes()).ok();
        }
    }

    fn acknowledge(&self) {
        self.notified.store(false, Ordering::Release);
        rustix::io::read(&self.eventfd, &mut [0; 8]).ok();
    }
}

/// Wakes the future of [`Reactor::block_on`].
struct MainWaker {
    woken: AtomicBool,
    remote: Arc<Remote>,
}

impl Wake for MainWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.woken.store(true, Ordering::Release);
        let here = CURRENT.with(|current| {
            let current = current.borrow();
            current
                .as_ref()
                .is_some_and(|inner| Arc::ptr_eq(&inner.remote, &self.remote))
        });
        if !here {
            self.remote.notify();
        }
    }
}

/// Whether this thread's reactor was asked to stop.
pub fn stopping() -> bool {
    current().stopping.get()
}

// --- Time ------------------------------------------------------------------

/// The time at which the current turn began; cheaper than asking the clock,
/// and never more than one turn old.
pub fn now() -> Instant {
    current().now.get()
}

/// Waits for `duration`.
pub fn sleep(duration: Duration) -> Sleep {
    let inner = current();
    let id = inner.next_timer.get();
    inner.next_timer.set(id + 1);
    let until = Instant::now() + duration;
    // Ids of sleeps are kept apart from those of deadlines by the top bit.
    Sleep {
        inner,
        key: (until, id | 1 << 63),
    }
}

/// The future of [`sleep`].
#[must_use]
pub struct Sleep {
    inner: Rc<Inner>,
    key: (Instant, u64),
}

impl Future for Sleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.inner.now.get() >= self.key.0 {
            return Poll::Ready(());
        }
        let timer = Timer::Wake(context.waker().clone());
        self.inner.timers.borrow_mut().insert(self.key, timer);
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        self.inner.timers.borrow_mut().remove(&self.key);
    }
}

impl fmt::Debug for Sleep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sleep").field("until", &self.key.0).finish()
    }
}

/// Runs `future`, but no longer than `duration`.
///
/// # Errors
/// `TimedOut` when the time is over first; `future` is dropped then.
pub async fn timeout<T>(duration: Duration, future: impl Future<Output = T>) -> io::Result<T> {
    let expired = async {
        sleep(duration).await;
        Err(io::ErrorKind::TimedOut.into())
    };
    futures_lite::future::or(async { Ok(future.await) }, expired).await
}

/// Runs what would block (files, databases, name resolution) on a thread pool
/// and waits for its result without holding up this thread.
pub async fn unblock<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    blocking::unblock(work).await
}

// --- Buffers ---------------------------------------------------------------

/// A buffer of [`BUFFER`] bytes on loan from this thread's pool. Its content
/// is whatever the last user left there.
#[derive(Debug)]
pub struct Lease {
    bytes: Box<[u8]>,
}

/// Borrows a buffer, for as long as there is something to put into it: who
/// only waits should hold none.
pub fn lease() -> Lease {
    let kept = current().buffers.borrow_mut().pop();
    Lease {
        bytes: kept.unwrap_or_else(|| vec![0; BUFFER].into_boxed_slice()),
    }
}

impl Deref for Lease {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl DerefMut for Lease {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let bytes = std::mem::take(&mut self.bytes);
        CURRENT.with(|current| {
            if let Some(inner) = current.borrow().as_ref() {
                let mut buffers = inner.buffers.borrow_mut();
                if buffers.len() < BUFFERS_KEPT {
                    buffers.push(bytes);
                }
            }
        });
    }
}

// --- Readiness -------------------------------------------------------------

/// A registered descriptor: what is known of its readiness, and who waits.
pub(crate) struct Source {
    token: Token,
    /// What the multiplexer said, less what turned out to be over.
    ready: Cell<Ready>,
    /// What the multiplexer is asked, at this moment.
    asked: Cell<Interest>,
    reading: Waiting,
    writing: Waiting,
    deadline: Cell<Option<Instant>>,
    /// When the timer that watches the deadline goes off, if one is set. It
    /// may be earlier than the deadline, which moves at every request; moving
    /// the timer each time would cost more than looking again when it fires.
    timer: Cell<Option<Instant>>,
}

/// The task that waits for one direction of a source.
#[derive(Default)]
struct Waiting {
    waker: RefCell<Option<Waker>>,
    now: Cell<bool>,
}

impl Waiting {
    /// Wakes whoever waits; false if nobody does.
    fn wake(&self) -> bool {
        let waits = self.now.replace(false);
        if waits && let Some(waker) = self.waker.borrow().as_ref() {
            waker.wake_by_ref();
        }
        waits
    }

    fn is_waiting(&self) -> bool {
        self.now.get()
    }

    /// The waker is kept from one wait to the next: most often it is the same
    /// task that waits again, and nothing has to be counted.
    fn wait(&self, context: &Context<'_>) {
        let mut waker = self.waker.borrow_mut();
        match waker.as_mut() {
            Some(waker) => waker.clone_from(context.waker()),
            None => *waker = Some(context.waker().clone()),
        }
        self.now.set(true);
    }
}

impl Source {
    fn directions(&self) -> [(Interest, Ready, &Waiting); 2] {
        [
            (Interest::READ, Ready::READ, &self.reading),
            (Interest::WRITE, Ready::WRITE, &self.writing),
        ]
    }
}

/// Owns a registration with the current reactor and ends it on drop. It must
/// be dropped before the descriptor it stands for.
pub(crate) struct Registration {
    inner: Rc<Inner>,
    source: Rc<Source>,
}

impl Registration {
    /// Registers `fd` once and for all. `ready` is what can be assumed of it;
    /// a wrong guess costs one call that answers `WouldBlock`.
    pub(crate) fn new(fd: BorrowedFd<'_>, ready: Ready) -> io::Result<Self> {
        let inner = current();
        let asked = match inner.trigger {
            Trigger::Edge => Interest::READ | Interest::WRITE,
            Trigger::Level => Interest::READ,
        };
        let token = inner.mux.borrow_mut().add(fd, asked)?;
        let source = Rc::new(Source {
            token,
            ready: Cell::new(ready),
            asked: Cell::new(asked),
            reading: Waiting::default(),
            writing: Waiting::default(),
            deadline: Cell::new(None),
            timer: Cell::new(None),
        });
        let mut sources = inner.sources.borrow_mut();
        if token.index() >= sources.len() {
            sources.resize_with(token.index() + 1, || None);
        }
        sources[token.index()] = Some(Rc::clone(&source));
        drop(sources);
        Ok(Self { inner, source })
    }

    /// Makes the non-blocking call `operation` as soon as the descriptor is
    /// ready for `interest`. It answers how many of how many bytes moved:
    /// fewer mean that there is no more for now.
    pub(crate) fn poll_io(
        &self,
        context: &mut Context<'_>,
        interest: Interest,
        mut operation: impl FnMut() -> io::Result<Moved>,
    ) -> Poll<io::Result<usize>> {
        loop {
            match self.poll_ready(context, interest) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return Poll::Pending,
            }
            match operation() {
                Ok(moved) => {
                    // With the peer's end already seen, no further event will
                    // come to say that the rest can be read.
                    if moved.bytes < moved.asked && !self.is_hung_up() {
                        self.exhausted(interest);
                    }
                    self.inner.spend(moved.bytes);
                    return Poll::Ready(Ok(moved.bytes));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.exhausted(interest),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    /// Waits until the descriptor seems ready for `interest`.
    pub(crate) fn poll_ready(
        &self,
        context: &mut Context<'_>,
        interest: Interest,
    ) -> Poll<io::Result<()>> {
        let (waiting, ready) = match interest {
            Interest::WRITE => (&self.source.writing, Ready::WRITE),
            _ => (&self.source.reading, Ready::READ),
        };
        if self.source.ready.get().intersects(ready) {
            if self.inner.budget.get() == 0 {
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            return Poll::Ready(Ok(()));
        }
        if let Some(deadline) = self.source.deadline.get() {
            if deadline <= self.inner.now.get() {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
            if self.source.timer.get().is_none_or(|timer| timer > deadline) {
                self.inner.arm_deadline(&self.source, deadline);
            }
        }
        waiting.wait(context);
        let asked = self.source.asked.get();
        if !asked.contains(interest) {
            self.source.asked.set(asked | interest);
            self.inner
                .mux
                .borrow_mut()
                .modify(self.source.token, asked | interest)?;
        }
        Poll::Pending
    }

    /// Waits for readiness, or for the reactor to be stopped: true then.
    pub(crate) fn poll_ready_or_stop(&self, context: &mut Context<'_>) -> Poll<io::Result<bool>> {
        if self.inner.stopping.get() {
            return Poll::Ready(Ok(true));
        }
        self.poll_ready(context, Interest::READ).map_ok(|()| false)
    }

    fn exhausted(&self, interest: Interest) {
        let over = if interest == Interest::WRITE {
            Ready::WRITE
        } else {
            Ready::READ
        };
        self.source.ready.set(self.source.ready.get().without(over));
    }

    /// Whether the peer was seen to end its direction.
    fn is_hung_up(&self) -> bool {
        self.source.ready.get().intersects(Ready::HANGUP)
    }

    /// Waiting beyond `deadline` fails with `TimedOut`.
    pub(crate) fn set_deadline(&self, deadline: Option<Instant>) {
        self.source.deadline.set(deadline);
    }

    pub(crate) fn now(&self) -> Instant {
        self.inner.now.get()
    }
}

impl fmt::Debug for Registration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Registration")
            .field(&self.source.token)
            .finish()
    }
}

/// How far a call got.
pub(crate) struct Moved {
    pub(crate) bytes: usize,
    pub(crate) asked: usize,
}

impl Drop for Registration {
    fn drop(&mut self) {
        let token = self.source.token;
        if let Some(timer) = self.source.timer.take() {
            self.inner
                .timers
                .borrow_mut()
                .remove(&(timer, token.index() as u64));
        }
        self.inner.sources.borrow_mut()[token.index()] = None;
        // It can only fail for a descriptor that somebody else closed.
        self.inner.mux.borrow_mut().remove(token).ok();
    }
}
