//! Tasks: what runs in the loop, and how other threads wake it.

use std::future::Future;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Wake;
use std::time::Instant;

use async_task::{Runnable, Task};
use futures_lite::FutureExt as _;
use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};

use super::{CURRENT, Inner, current};

/// The tasks that are not done, so that they can be dropped with the reactor.
#[derive(Default)]
pub(super) struct Tasks {
    slots: Vec<Option<Task<()>>>,
    free: Vec<usize>,
    /// Those whose futures exist, cancelled ones included.
    alive: usize,
}

/// Takes its task off the list when it ends, however it ends.
struct Listed(usize);

impl Drop for Listed {
    fn drop(&mut self) {
        let inner = current();
        let mut tasks = inner.tasks.borrow_mut();
        tasks.alive -= 1;
        if let Some(task) = tasks.slots[self.0].take() {
            task.detach();
            tasks.free.push(self.0);
        }
    }
}

/// Starts a task on this thread's reactor; it runs beside its parent. A panic
/// ends this task only, as it would end a thread.
///
/// # Panics
/// Outside of [`Reactor::block_on`](super::Reactor::block_on).
pub fn spawn(future: impl Future<Output = ()> + 'static) {
    let inner = current();
    let mut tasks = inner.tasks.borrow_mut();
    let slot = tasks.free.pop().unwrap_or_else(|| {
        tasks.slots.push(None);
        tasks.slots.len() - 1
    });
    tasks.alive += 1;
    let listed = Listed(slot);
    // An `async` block holds what it awaits twice; of a box that is little.
    let future = Box::pin(future);
    let task = async move {
        let _listed = listed;
        // The panic hook has told of it already.
        AssertUnwindSafe(future).catch_unwind().await.ok();
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
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self {
            eventfd: eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?,
            woken: Mutex::default(),
            notified: AtomicBool::new(false),
            stop: AtomicBool::new(false),
        })
    }

    /// What becomes readable when another thread wants something.
    pub(super) fn as_fd(&self) -> BorrowedFd<'_> {
        self.eventfd.as_fd()
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }

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

    /// Waits for other threads alone.
    fn wait(&self) {
        let mut set = [PollFd::new(&self.eventfd, PollFlags::IN)];
        // Whoever calls this looks again, so that a signal does no harm.
        poll(&mut set, None).ok();
        self.acknowledge();
    }

    pub(super) fn acknowledge(&self) {
        // In this order: a thread that writes in between would otherwise leave
        // `notified` set and nothing to read, and no later one would write.
        rustix::io::read(&self.eventfd, &mut [0; 8]).ok();
        self.notified.swap(false, Ordering::AcqRel);
    }
}

/// Wakes the future of [`Reactor::block_on`](super::Reactor::block_on).
pub(super) struct MainWaker {
    woken: AtomicBool,
    remote: Arc<Remote>,
}

impl MainWaker {
    /// One that is woken already, since the future has to begin.
    pub(super) fn new(remote: Arc<Remote>) -> Self {
        Self {
            woken: AtomicBool::new(true),
            remote,
        }
    }

    pub(super) fn is_woken(&self) -> bool {
        self.woken.load(Ordering::Acquire)
    }

    pub(super) fn set(&self) {
        self.woken.store(true, Ordering::Release);
    }

    pub(super) fn take(&self) -> bool {
        self.woken.swap(false, Ordering::Acquire)
    }
}

impl Wake for MainWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.set();
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

/// Whether this thread's reactor was asked to stop. The future of
/// [`Reactor::block_on`](super::Reactor::block_on) is woken to see it.
pub fn stopping() -> bool {
    current().stopping.get()
}

/// Runs what would block (files, databases, name resolution) on a thread pool
/// and waits for its result without holding up this thread. The reactor's
/// clock (see [`now`](super::now)) tells the time at which the result came.
pub async fn unblock<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let result = blocking::unblock(work).await;
    // It may have come within the turn in which it was asked for, whose clock
    // is as old as the turn.
    CURRENT.with(|current| {
        if let Some(inner) = current.borrow().as_ref() {
            inner.now.set(Instant::now());
        }
    });
    result
}

/// Has the pool run what would block, and for which nobody waits.
pub fn hand_over(work: impl FnOnce() + Send + 'static) {
    blocking::unblock(work).detach();
}

impl Inner {
    /// Drops every task, those included that others start as they are
    /// dropped.
    pub(super) fn cancel_all(&self) {
        while self.tasks.borrow().alive > 0 {
            let count = self.tasks.borrow().slots.len();
            for slot in 0..count {
                let task = self.tasks.borrow_mut().slots[slot].take();
                // A cancelled task is queued once more, to drop its future.
                drop(task);
            }
            self.take_woken();
            match self.next_runnable() {
                Some(runnable) => drop(runnable.run()),
                // Another thread is waking one at this moment and will hand it over.
                None => self.remote.wait(),
            }
        }
    }

    /// Moves the tasks that other threads woke into the queue.
    pub(super) fn take_woken(&self) {
        let mut woken = self
            .remote
            .woken
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        self.queue.borrow_mut().extend(woken.drain(..));
    }
}
