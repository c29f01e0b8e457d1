//! Time: the turn's clock, timers, and futures that wait for them.

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use super::{Inner, current};
use crate::mux::Token;

/// The time at which the current turn began, or work on the pool came back
/// within it; cheaper than asking the clock, and never more than one turn old.
pub fn now() -> Instant {
    current().now.get()
}

/// Longer than any process lives, where the clock can't count further.
const NEVER: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// Waits for `duration`.
pub fn sleep(duration: Duration) -> Sleep {
    let inner = current();
    let id = inner.next_timer.get();
    inner.next_timer.set(id + 1);
    let now = Instant::now();
    let until = now.checked_add(duration).unwrap_or_else(|| now + NEVER);
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
        let replaced = self.inner.timers.borrow_mut().insert(self.key, timer);
        // Once the timers are free again: a waker may own what has timers.
        drop(replaced);
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        let timer = self.inner.timers.borrow_mut().remove(&self.key);
        drop(timer);
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

pub(super) enum Timer {
    Wake(Waker),
    /// A source's deadline; looked up when it comes, since it may have moved.
    Deadline(Token),
}

impl Inner {
    pub(super) fn until_next_timer(&self) -> Option<Duration> {
        let timers = self.timers.borrow();
        let ((next, _), _) = timers.first_key_value()?;
        // The turn's own time is as old as its tasks took.
        Some(next.saturating_duration_since(Instant::now()))
    }

    pub(super) fn fire_timers(&self) {
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
}
