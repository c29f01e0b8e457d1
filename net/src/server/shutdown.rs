//! Stopping a server from elsewhere.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::reactor::Remote;

/// How long running handlers may take to finish once a server was asked to
/// stop, unless [`Limits`](super::Limits) says otherwise.
pub(crate) const DRAIN: Duration = Duration::from_secs(10);

/// Asks a server to stop: it accepts no more, connections that wait for
/// their peer are closed, running replies are finished up to a deadline, and
/// [`serve`](super::Server::serve) returns. Clones ask the same server, from
/// any thread, also before it serves.
#[derive(Clone, Debug, Default)]
pub struct Shutdown {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    asked: bool,
    reactors: Vec<Arc<Remote>>,
}

impl Shutdown {
    /// Asks the server to stop, and returns at once.
    pub fn stop(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.asked = true;
        for reactor in &state.reactors {
            reactor.stop();
        }
    }

    /// Has `reactor` told when the time comes, until the result is dropped.
    pub(crate) fn subscribe(&self, reactor: Arc<Remote>) -> Subscription {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.asked {
            reactor.stop();
        }
        state.reactors.push(Arc::clone(&reactor));
        Subscription {
            shutdown: self.clone(),
            reactor,
        }
    }
}

pub(crate) struct Subscription {
    shutdown: Shutdown,
    reactor: Arc<Remote>,
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let mut state = self
            .shutdown
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        state
            .reactors
            .retain(|reactor| !Arc::ptr_eq(reactor, &self.reactor));
    }
}
