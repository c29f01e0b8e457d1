//! [`Leash`]: a program that runs no longer than somebody holds it; and how many
//! may at a time.
//!
//! ```text
//!   Leash ── let go, or dropped ──► keeper: a task that has the process
//!     ▲                               TERM, a while, KILL to the whole group
//!     └────────── how it ended ◄──────┘  and then the place is free again
//! ```
//!
//! Who leaves the group on purpose (`setsid(2)`) is a daemon, and stays: to catch
//! it as well takes a control group, which is the operator's to give.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::process::ExitStatus;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Poll, Waker};
use std::time::Duration;

use futures_lite::future::or;
use hythe_net::reactor::{sleep, spawn};

use super::{Complaints, Outlet, Running};

/// How many programs may run at a time. Clones are of the same count, which all
/// threads share.
#[derive(Clone, Debug)]
pub(crate) struct Places {
    taken: Arc<AtomicUsize>,
    most: usize,
}

/// A place for one, until dropped.
#[derive(Debug)]
pub(crate) struct Place(Arc<AtomicUsize>);

impl Places {
    pub(crate) fn new(most: usize) -> Self {
        Self {
            taken: Arc::default(),
            most,
        }
    }

    /// A place, if one is free.
    pub(crate) fn take(&self) -> Option<Place> {
        let more = |taken| (taken < self.most).then_some(taken + 1);
        let ordering = Ordering::Relaxed;
        let taken = self.taken.fetch_update(ordering, ordering, more);
        taken.is_ok().then(|| Place(Arc::clone(&self.taken)))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Holds a program. When it is dropped, the program is ended.
#[derive(Debug)]
pub(crate) struct Leash(Rc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    /// How long the program may still run by itself, once it was let go.
    left: Cell<Option<Duration>>,
    /// Whether it was ended since its time was over.
    too_long: Cell<bool>,
    ended: RefCell<Option<io::Result<ExitStatus>>>,
    keeper: RefCell<Option<Waker>>,
    holder: RefCell<Option<Waker>>,
}

impl Leash {
    /// Keeps a program, in this place. What it complains of is written to the log,
    /// under this name. After `time` it is ended, whatever its holder waits for.
    pub(crate) fn keep(
        running: Running,
        complaints: Outlet,
        name: String,
        place: Place,
        time: Duration,
    ) -> Self {
        let shared = Rc::new(Shared::default());
        let keeping = keep(running, complaints, name, Rc::clone(&shared), time);
        spawn(async move {
            keeping.await;
            drop(place);
        });
        Self(shared)
    }

    /// Waits for its end: how that was. All whom it has started are ended then,
    /// too. To be asked once.
    pub(crate) async fn ended(&self) -> io::Result<ExitStatus> {
        poll_fn(|context| match self.0.ended.borrow_mut().take() {
            Some(ended) => Poll::Ready(ended),
            None => {
                self.0.holder.replace(Some(context.waker().clone()));
                Poll::Pending
            }
        })
        .await
    }

    /// Whether it was ended since its time was over.
    pub(crate) fn took_too_long(&self) -> bool {
        self.0.too_long.get()
    }

    /// Lets the program come to its end by itself, but no longer than this.
    pub(crate) fn let_go(self, left: Duration) {
        self.0.left.set(Some(left));
    }
}

impl Drop for Leash {
    fn drop(&mut self) {
        if self.0.left.get().is_none() {
            self.0.left.set(Some(Duration::ZERO));
        }
        if let Some(waker) = self.0.keeper.take() {
            waker.wake();
        }
    }
}

/// Has the process until it has ended.
async fn keep(
    running: Running,
    complaints: Outlet,
    name: String,
    shared: Rc<Shared>,
    time: Duration,
) {
    let mut log = Complaints::new(name);
    let let_go = async {
        let left = poll_fn(|context| match shared.left.get() {
            Some(left) => Poll::Ready(left),
            None => {
                shared.keeper.replace(Some(context.waker().clone()));
                Poll::Pending
            }
        })
        .await;
        sleep(left).await;
        false
    };
    let ended = async {
        // What can't be watched is ended.
        running.ended().await.is_ok()
    };
    let too_long = async {
        sleep(time).await;
        shared.too_long.set(true);
        false
    };
    let by_itself = or(or(ended, or(let_go, too_long)), log.write(&complaints)).await;
    if !by_itself {
        or(
            async { running.make_end().await.ok() },
            log.write(&complaints),
        )
        .await;
    }
    let ended = running.end_all();
    log.write_rest(&complaints);
    shared.ended.replace(Some(ended));
    if let Some(waker) = shared.holder.take() {
        waker.wake();
    }
}
