//! Sources: registered descriptors, what is known of their readiness, and who
//! waits for it.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::io;
use std::os::fd::BorrowedFd;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use super::time::Timer;
use super::{Inner, current};
use crate::mux::{Event, Interest, Ready, Token, Trigger};

/// A registered descriptor: what is known of its readiness, and who waits.
pub(super) struct Source {
    token: Token,
    /// What the multiplexer said, less what turned out to be over.
    ready: Cell<Ready>,
    /// What the multiplexer is asked, at this moment.
    asked: Cell<Interest>,
    pub(super) reading: Waiting,
    writing: Waiting,
    deadline: Cell<Option<Instant>>,
    /// When the timer that watches the deadline goes off, if one is set. It
    /// may be earlier than the deadline, which moves at every request; moving
    /// the timer each time would cost more than looking again when it fires.
    timer: Cell<Option<Instant>>,
}

/// The task that waits for one direction of a source.
#[derive(Default)]
pub(super) struct Waiting {
    waker: RefCell<Option<Waker>>,
    now: Cell<bool>,
}

impl Waiting {
    /// Wakes whoever waits; false if nobody does.
    pub(super) fn wake(&self) -> bool {
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
            Trigger::Edge => Interest::READ | Interest::WRITE | Interest::PRIORITY,
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
                    if moved.bytes < moved.asked && !self.ends_early() {
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
        if self.is_ready(interest) {
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
            self.watch_deadline(deadline);
        }
        match interest {
            Interest::WRITE => self.source.writing.wait(context),
            _ => self.source.reading.wait(context),
        }
        let asked = self.source.asked.get();
        if !asked.contains(interest) {
            self.inner
                .mux
                .borrow_mut()
                .modify(self.source.token, asked | interest)?;
            self.source.asked.set(asked | interest);
        }
        Poll::Pending
    }

    /// What is remembered, which may be out of date: no more than a guess.
    pub(crate) fn is_ready(&self, interest: Interest) -> bool {
        self.source.ready.get().intersects(meaning(interest))
    }

    fn exhausted(&self, interest: Interest) {
        let ready = self.source.ready.get();
        self.source.ready.set(ready.without(meaning(interest)));
    }

    /// What the multiplexer is asked just now.
    pub(crate) fn interest(&self) -> Interest {
        self.source.asked.get()
    }

    /// Asks nothing about the descriptor while another thread reads from it;
    /// the next to wait asks again, and hears what was so all the time.
    pub(crate) fn set_aside(&self) -> io::Result<()> {
        self.exhausted(Interest::READ);
        self.ask(Interest::NONE)
    }

    /// Asks again what was asked `earlier`.
    pub(crate) fn take_back(&self, earlier: Interest) -> io::Result<()> {
        self.ask(self.source.asked.get() | earlier)
    }

    fn ask(&self, interest: Interest) -> io::Result<()> {
        if interest != self.source.asked.get() {
            let mut mux = self.inner.mux.borrow_mut();
            mux.modify(self.source.token, interest)?;
            self.source.asked.set(interest);
        }
        Ok(())
    }

    /// Whether a short read may not have been the last: with the end of the
    /// stream already seen, no further event will come to say that it can be
    /// read; and the kernel ends a read before urgent data, too.
    fn ends_early(&self) -> bool {
        let special = Ready::HANGUP | Ready::ERROR | Ready::PRIORITY;
        self.source.ready.get().intersects(special)
    }

    /// Waiting beyond `deadline` fails with `TimedOut`, for those who wait
    /// already as well.
    pub(crate) fn set_deadline(&self, deadline: Option<Instant>) {
        self.source.deadline.set(deadline);
        if let Some(deadline) = deadline
            && (self.source.reading.is_waiting() || self.source.writing.is_waiting())
        {
            self.watch_deadline(deadline);
        }
    }

    /// Makes sure that a timer goes off by `deadline`. An earlier one does,
    /// too: it looks when the deadline is by then.
    fn watch_deadline(&self, deadline: Instant) {
        if self.source.timer.get().is_none_or(|timer| timer > deadline) {
            self.inner.arm_deadline(&self.source, deadline);
        }
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

/// What readiness answers an interest.
fn meaning(interest: Interest) -> Ready {
    match interest {
        Interest::WRITE => Ready::WRITE,
        _ => Ready::READ,
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

fn find(sources: &[Option<Rc<Source>>], token: Token) -> Option<&Rc<Source>> {
    let source = sources.get(token.index())?.as_ref()?;
    (source.token == token).then_some(source)
}

impl Inner {
    /// Remembers what an event says and wakes whom it concerns.
    pub(super) fn dispatch(&self, event: Event) -> io::Result<()> {
        let sources = self.sources.borrow();
        let Some(source) = find(&sources, event.token) else {
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
            self.mux.borrow_mut().modify(event.token, asked)?;
            source.asked.set(asked);
        }
        Ok(())
    }

    /// A source's timer went off: either its deadline has moved on since, or
    /// whoever waits for it must learn that it has come.
    pub(super) fn check_deadline(&self, token: Token) {
        let sources = self.sources.borrow();
        let Some(source) = find(&sources, token) else {
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

    pub(super) fn arm_deadline(&self, source: &Source, deadline: Instant) {
        let mut timers = self.timers.borrow_mut();
        let id = source.token.index() as u64;
        if let Some(earlier) = source.timer.replace(Some(deadline)) {
            timers.remove(&(earlier, id));
        }
        timers.insert((deadline, id), Timer::Deadline(source.token));
    }
}
