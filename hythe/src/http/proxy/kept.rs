//! Connections to backends that wait for another request, a few on each thread.

use std::cell::RefCell;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::{Duration, Instant};

use hythe_net::reactor::{self, sleep, spawn};

use super::backend::Backend;
use crate::client::is_silent;
use crate::tls::Channel;

/// How many connections a thread keeps: as many as are of use at one time on a
/// busy server, and few enough descriptors on one with many cores.
const KEPT: usize = 32;

/// How long one is kept: a little less than the five seconds after which Node,
/// Apache and Uvicorn close it, perhaps just as the next request is on its way.
const IDLE: Duration = Duration::from_secs(4);

/// Those of one thread, the latest last. It belongs to the task that closes them,
/// and ends with the reactor that they are registered with.
#[derive(Default)]
struct Pool(RefCell<Vec<Kept>>);

struct Kept {
    backend: Arc<Backend>,
    channel: Channel,
    until: Instant,
}

thread_local! {
    static POOL: RefCell<Weak<Pool>> = const { RefCell::new(Weak::new()) };
}

/// A connection to this backend that was kept, and that seems to be alive.
pub(super) fn take(backend: &Arc<Backend>) -> Option<Channel> {
    let pool = POOL.with(|pool| pool.borrow().upgrade())?;
    let mut kept = pool.0.borrow_mut();
    loop {
        let mut latest = kept.iter().enumerate().rev();
        let (at, _) = latest.find(|(_, kept)| Arc::ptr_eq(&kept.backend, backend))?;
        let found = kept.remove(at);
        if found.until > reactor::now() && is_silent(&found.channel) {
            return Some(found.channel);
        }
    }
}

/// Keeps a connection for a while; the oldest goes if there are too many.
pub(super) fn keep(backend: &Arc<Backend>, channel: Channel) {
    if reactor::stopping() {
        return;
    }
    let pool = POOL.with(|current| {
        let mut current = current.borrow_mut();
        current.upgrade().unwrap_or_else(|| {
            let pool = Rc::new(Pool::default());
            *current = Rc::downgrade(&pool);
            spawn(sweep(Rc::clone(&pool)));
            pool
        })
    });
    let mut kept = pool.0.borrow_mut();
    if kept.len() >= KEPT {
        kept.remove(0);
    }
    kept.push(Kept {
        backend: Arc::clone(backend),
        channel,
        until: reactor::now() + IDLE,
    });
}

/// Closes those whose time is over, until there are none.
async fn sweep(pool: Rc<Pool>) {
    loop {
        let first = pool.0.borrow().first().map(|kept| kept.until);
        let Some(first) = first else {
            return;
        };
        sleep(first.saturating_duration_since(reactor::now())).await;
        let now = reactor::now();
        pool.0.borrow_mut().retain(|kept| kept.until > now);
    }
}
