//! [`Outbox`]: what the receiving machine has to say, to the peer and to whoever
//! watches. It is filled on the pool and emptied by the reactor.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use hythe_wire::transfer::Message;

use crate::client::Meter;

/// How many bytes may wait for a peer that sends and does not listen.
const MOST_WAITING: usize = 1024 * 1024;

/// What whoever watches is told.
#[derive(Clone, Debug)]
pub(super) enum Told {
    /// Bytes of a file begin to come.
    Begun {
        name: String,
        total: u64,
        offset: u64,
        meter: Meter,
    },
    Done {
        name: String,
        bytes: u64,
    },
    Same {
        name: String,
    },
    /// It is not received, for this reason.
    Failed {
        name: String,
        why: String,
    },
}

#[derive(Debug, Default)]
pub(super) struct Outbox {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    bytes: Vec<u8>,
    told: VecDeque<Told>,
    waker: Option<Waker>,
}

impl Outbox {
    pub(super) fn send(&self, message: &Message<'_>) {
        let mut state = self.state();
        message.encode(&mut state.bytes);
        wake(&mut state);
    }

    pub(super) fn tell(&self, told: Told) {
        let mut state = self.state();
        state.told.push_back(told);
        wake(&mut state);
    }

    /// Whether so much waits that no more should be done before it is sent.
    pub(super) fn is_full(&self) -> bool {
        self.state().bytes.len() > MOST_WAITING
    }

    /// What there is, to be sent and to be told; `None` if that is nothing.
    pub(super) fn take(&self) -> Option<(Vec<u8>, VecDeque<Told>)> {
        let mut state = self.state();
        if state.bytes.is_empty() && state.told.is_empty() {
            return None;
        }
        Some((
            std::mem::take(&mut state.bytes),
            std::mem::take(&mut state.told),
        ))
    }

    /// Waits until there is something.
    pub(super) fn poll_take(&self, context: &mut Context<'_>) -> Poll<(Vec<u8>, VecDeque<Told>)> {
        if let Some(taken) = self.take() {
            return Poll::Ready(taken);
        }
        let mut state = self.state();
        if state.bytes.is_empty() && state.told.is_empty() {
            state.waker = Some(context.waker().clone());
            return Poll::Pending;
        }
        drop(state);
        self.poll_take(context)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn wake(state: &mut State) {
    if let Some(waker) = state.waker.take() {
        waker.wake();
    }
}
