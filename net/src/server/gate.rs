//! Counting connections: in all and per address.
//!
//! An IPv6 visitor has 2^64 addresses to come from, so that there it is the
//! network which counts.

use std::collections::HashMap;
use std::future::poll_fn;
use std::mem;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// Lets in so many connections, and so many of each visitor, at a time. One
/// gate serves all threads of a server.
#[derive(Debug)]
pub(crate) struct Gate {
    max: usize,
    max_per_address: usize,
    inside: AtomicUsize,
    by_address: Mutex<HashMap<Visitor, usize>>,
    /// Who waits for a place, or for the last one to leave.
    waiting: Mutex<Vec<Waker>>,
}

/// Why somebody is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Denied {
    /// There are as many as may be.
    ToAll,
    /// There are as many of this visitor as may be.
    ToAddress,
}

impl Gate {
    pub(crate) fn new(max: usize, max_per_address: usize) -> Arc<Self> {
        Arc::new(Self {
            max,
            max_per_address,
            inside: AtomicUsize::new(0),
            by_address: Mutex::default(),
            waiting: Mutex::default(),
        })
    }

    /// Lets a connection in, or says who has as many as it may. Unix peers
    /// have no address and count in all only.
    pub(crate) fn try_enter(self: &Arc<Self>, address: Option<IpAddr>) -> Result<Place, Denied> {
        let next = |inside| (inside < self.max).then_some(inside + 1);
        self.inside
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, next)
            .map_err(|_| Denied::ToAll)?;
        let visitor = address.map(Visitor::at);
        if let Some(visitor) = visitor {
            let mut by_address = lock(&self.by_address);
            let count = by_address.entry(visitor).or_default();
            if *count >= self.max_per_address {
                drop(by_address);
                self.leave();
                return Err(Denied::ToAddress);
            }
            *count += 1;
        }
        Ok(Place {
            gate: Arc::clone(self),
            visitor,
        })
    }

    /// As [`try_enter`](Self::try_enter), for whom the reason is no matter.
    pub(crate) fn enter(self: &Arc<Self>, address: Option<IpAddr>) -> Option<Place> {
        self.try_enter(address).ok()
    }

    /// Waits until there is a place in all, which somebody else may take.
    pub(crate) fn poll_room(&self, context: &Context<'_>) -> Poll<()> {
        self.remember(context);
        if self.inside.load(Ordering::Acquire) < self.max {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }

    /// As [`enter`](Self::enter) without an address, but waits for a place.
    pub(crate) fn poll_enter(self: &Arc<Self>, context: &Context<'_>) -> Poll<Place> {
        if let Some(place) = self.enter(None) {
            return Poll::Ready(place);
        }
        self.remember(context);
        // Somebody may have left between the look and the entry in the list.
        self.enter(None).map_or(Poll::Pending, Poll::Ready)
    }

    /// Waits until nobody is inside.
    pub(crate) fn poll_empty(&self, context: &Context<'_>) -> Poll<()> {
        self.remember(context);
        if self.is_empty() {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.inside.load(Ordering::Acquire) == 0
    }

    /// Waits until somebody leaves; it may also end without that.
    pub(crate) async fn leaving(&self) {
        let mut asked = false;
        poll_fn(|context| {
            if mem::replace(&mut asked, true) {
                return Poll::Ready(());
            }
            self.remember(context);
            Poll::Pending
        })
        .await;
    }

    /// Adds whoever waits to the list, once however often it looks.
    fn remember(&self, context: &Context<'_>) {
        let mut waiting = lock(&self.waiting);
        if !waiting.iter().any(|waker| waker.will_wake(context.waker())) {
            waiting.push(context.waker().clone());
        }
    }

    fn leave(&self) {
        self.inside.fetch_sub(1, Ordering::AcqRel);
        for waker in lock(&self.waiting).drain(..) {
            waker.wake();
        }
    }
}

/// What counts as one: an IPv4 address, or the first 64 bits of an IPv6 one,
/// which name the network; the rest is the visitor's to choose (RFC 4291,
/// section 2.5.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Visitor(IpAddr);

impl Visitor {
    fn at(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V6(address) => {
                let [a, b, c, d, ..] = address.segments();
                Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
            }
            address => address,
        })
    }
}

/// A connection's place inside, given back on drop.
#[derive(Debug)]
pub(crate) struct Place {
    gate: Arc<Gate>,
    visitor: Option<Visitor>,
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(visitor) = self.visitor {
            let mut by_address = lock(&self.gate.by_address);
            if let Some(count) = by_address.get_mut(&visitor) {
                *count -= 1;
                if *count == 0 {
                    by_address.remove(&visitor);
                }
            }
        }
        self.gate.leave();
    }
}

/// No code panics while it holds one of these locks.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: Option<IpAddr> = Some(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST));
    const THERE: Option<IpAddr> = Some(IpAddr::V6(Ipv6Addr::LOCALHOST));

    #[test]
    fn as_many_as_allowed_come_in_and_a_place_given_back_is_free() {
        let gate = Gate::new(3, 2);
        let first = gate.enter(HERE).unwrap();
        let _second = gate.enter(HERE).unwrap();
        assert!(gate.enter(HERE).is_none(), "two of one address are enough");
        let third = gate.enter(THERE).unwrap();
        assert!(gate.enter(THERE).is_none(), "three in all are enough");
        assert!(gate.enter(None).is_none());
        drop(third);
        assert!(gate.enter(HERE).is_none());
        drop(first);
        assert!(gate.enter(HERE).is_some());
    }

    #[test]
    fn one_ipv6_network_is_one_visitor() {
        let enters = |first: &str, second: &str| {
            let gate = Gate::new(10, 1);
            let _first = gate.enter(Some(first.parse().unwrap())).unwrap();
            gate.enter(Some(second.parse().unwrap())).is_some()
        };
        assert!(!enters("2001:db8::1", "2001:db8:0:0:ffff:1:2:3"));
        assert!(enters("2001:db8::1", "2001:db8:0:1::1"));
        assert!(!enters("::ffff:192.0.2.1", "192.0.2.1"));
        assert!(enters("::ffff:192.0.2.1", "::ffff:192.0.2.2"));
        assert!(enters("192.0.2.1", "192.0.2.2"));
    }

    #[test]
    fn nothing_is_kept_of_addresses_that_left() {
        let gate = Gate::new(10, 10);
        drop((gate.enter(HERE), gate.enter(THERE)));
        assert!(lock(&gate.by_address).is_empty());
        assert_eq!(gate.inside.load(Ordering::Relaxed), 0);
    }
}
