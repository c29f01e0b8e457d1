//! The accepting loop, and who runs a handler in each model.

use std::any::Any;
use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::thread;
use std::time::Duration;

use futures_lite::FutureExt as _;

use super::descriptors::Reserve;
use super::gate::{Denied, Gate, Place};
use super::process::{Child, Kept};
use super::{
    Call, Connection, Failure, Full, Limits, Model, MuxKind, Service, Shutdown, SocketFile,
};
use crate::mux::{Interest, Ready};
use crate::option::NoDelay;
use crate::reactor::{self, Moved, Reactor, Registration, Remote};
use crate::{Addr, BACKLOG, Domain, How, Kind, Listener, More, Patience, Socket, Stream};

/// How many peers at a time, per event loop, are told that the server is
/// busy; beyond that they are just closed, which costs nothing.
const REFUSALS: usize = 64;

/// How long to wait after `accept(2)` ran out of descriptors or memory.
pub(super) const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// How often to look whether descriptors are free again while connections are
/// kept waiting for them, besides when one ends: files are closed, too.
const RESERVE_PAUSE: Duration = Duration::from_millis(50);

/// How long threads may take to end when the time for their handlers is over.
const UNWIND: Duration = Duration::from_secs(1);

/// One accepting thread.
pub(super) struct Worker {
    pub(super) model: Model,
    pub(super) limits: Limits,
    pub(super) shutdown: Shutdown,
    /// Who is still setting up; nobody accepts before all are done, lest
    /// clients take the descriptors that another loop needs.
    pub(super) starting: Arc<Gate>,
    pub(super) start: Option<Place>,
    pub(super) listeners: Vec<(Socket, Arc<dyn Service>)>,
    pub(super) stop_on: Option<OwnedFd>,
    pub(super) calls: Vec<Call>,
    /// Those of Unix listeners, which one worker removes for all.
    pub(super) files: Vec<SocketFile>,
}

impl Worker {
    /// Accepts until stopped, then lets running handlers finish.
    pub(super) fn run(self, gate: &Arc<Gate>) -> io::Result<()> {
        let Self {
            model,
            limits,
            shutdown,
            starting,
            start,
            listeners,
            stop_on,
            calls,
            files,
        } = self;
        let _end = EndOfAll(&shutdown);
        let reactor = Reactor::on(model.mux().open()?)?;
        drop(start);
        let _subscription = shutdown.subscribe(reactor.remote());
        let crew = Crew {
            model,
            limits,
            shutdown: &shutdown,
            slots: Gate::new(model.slots(), usize::MAX),
            kept: listeners
                .iter()
                .map(|(socket, _)| socket.as_fd())
                .chain(stop_on.as_ref().map(OwnedFd::as_fd))
                .chain(calls.iter().map(|call| call.fd.as_fd()))
                .map(|fd| fd.as_raw_fd())
                .collect(),
            refusals: Gate::new(REFUSALS, usize::MAX),
            reserve: Reserve::now(),
            reach: Reserve::under(model.mux().reach()),
        };
        reactor.block_on(async {
            let listeners = listeners
                .into_iter()
                .map(|(socket, service)| Ok((Listener::new(socket)?, service)))
                .collect::<io::Result<Vec<_>>>()?;
            if let Some(fd) = stop_on {
                stop_when_readable(fd, shutdown.clone())?;
            }
            for call in calls {
                do_when_readable(call)?;
            }
            poll_fn(|context| starting.poll_empty(context)).await;
            crew.accept_all(&listeners, gate).await;
            drop(files);
            drop(listeners);
            let drained = poll_fn(|context| crew.slots.poll_empty(context));
            // Handlers that take longer are dropped with their reactor: this
            // one, or that of their thread or process, which is given time to
            // do so.
            let limit = match model {
                Model::Threads { .. } | Model::Forks { .. } => limits.drain.saturating_add(UNWIND),
                _ => limits.drain,
            };
            reactor::timeout(limit, drained).await.ok();
            Ok(())
        })?
    }
}

/// One loop that ends, for whatever reason, takes the others along, rather
/// than leave its listener without a server.
struct EndOfAll<'a>(&'a Shutdown);

impl Drop for EndOfAll<'_> {
    fn drop(&mut self) {
        self.0.stop();
    }
}

/// What the accepting loop needs to start a handler.
struct Crew<'a> {
    model: Model,
    limits: Limits,
    shutdown: &'a Shutdown,
    /// Handlers of this worker at work.
    slots: Arc<Gate>,
    /// What processes for connections do not inherit.
    kept: Kept,
    refusals: Arc<Gate>,
    reserve: Reserve,
    /// The reserve under what the multiplexer can watch. Who comes there is
    /// refused, while descriptors are left to say so with.
    reach: Reserve,
}

/// What a handler needs to run. It is taken before a connection is accepted:
/// without it, connections wait in the backlog and none is lost.
struct Seat {
    means: Means,
    slot: Place,
}

/// What a model has to have at hand for one more handler.
enum Means {
    /// It runs here.
    None,
    /// The channel of the loop on its own thread.
    Thread(Arc<Remote>),
    /// The two ends of the line to its own process: ours and its.
    Process(Socket, Socket),
}

impl Crew<'_> {
    /// Accepts until the server stops, and then what had connected by then.
    async fn accept_all(&self, listeners: &[(Listener, Arc<dyn Service>)], gate: &Arc<Gate>) {
        let turn = Cell::new(0);
        loop {
            let Some(slot) = unless_stopped(|cx| self.slots.poll_enter(cx)).await else {
                break;
            };
            let seat = match self.seat(slot) {
                Ok(seat) => seat,
                Err(error) => {
                    let failure = Failure::Accept(error);
                    for (_, service) in listeners {
                        service.failed(None, &failure);
                    }
                    reactor::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let next = unless_stopped(|cx| poll_accept_any(listeners, &turn, cx)).await;
            let Some((accepted, service)) = next else {
                break;
            };
            match accepted {
                Ok(socket) => {
                    let reserve = self.reserve.has(&socket);
                    self.receive(socket, service, gate, seat).await;
                    if reserve {
                        self.keep_reserve(listeners, gate).await;
                    }
                    if let Model::Forks { .. } = self.model {
                        // A fork takes as long as other tasks' whole turn.
                        // Children that ended meanwhile give their places back.
                        reactor::yield_now().await;
                    }
                }
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    service.failed(None, &Failure::Accept(error));
                    reactor::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        // Closing a listener resets the connections that wait there. They are
        // served instead as far as there is place; the bound is what a backlog
        // holds, so that newcomers do not keep this going.
        for (listener, service) in listeners {
            for _ in 0..BACKLOG {
                let Some(Ok(seat)) = self.slots.enter(None).map(|slot| self.seat(slot)) else {
                    return;
                };
                let Ok(socket) = listener.socket().accept_nonblocking() else {
                    break;
                };
                self.receive(socket, service, gate, seat).await;
            }
        }
    }

    /// Waits until there are descriptors enough for those inside to go on, or
    /// nobody is inside. Newcomers wait in the backlog meanwhile.
    async fn keep_reserve(&self, listeners: &[(Listener, Arc<dyn Service>)], gate: &Gate) {
        let Some((listener, _)) = listeners.first() else {
            return;
        };
        while self.reserve.is_next(listener.socket()) && !gate.is_empty() {
            let wait = reactor::timeout(RESERVE_PAUSE, gate.leaving());
            let mut wait = pin!(wait);
            if unless_stopped(|cx| wait.as_mut().poll(cx)).await.is_none() {
                return;
            }
        }
    }

    fn seat(&self, slot: Place) -> io::Result<Seat> {
        let means = match self.model {
            Model::Threads { .. } => Means::Thread(Arc::new(Remote::new()?)),
            Model::Forks { .. } => {
                let (line, its_line) = Socket::pair(Domain::UNIX, Kind::STREAM)?;
                Means::Process(line, its_line)
            }
            _ => Means::None,
        };
        Ok(Seat { means, slot })
    }

    /// Lets a connection in, or not.
    async fn receive(
        &self,
        socket: Socket,
        service: &Arc<dyn Service>,
        gate: &Arc<Gate>,
        seat: Seat,
    ) {
        // Without a name, the peer has gone again already.
        let Ok(peer) = socket.peer_name() else {
            return;
        };
        if !service.verify(&peer) {
            return;
        }
        if self.reach.has(&socket) && !self.reserve.has(&socket) {
            return self.refuse(service, socket, &peer);
        }
        match self.place(gate, peer.ip()).await {
            Some(place) => {
                let arrival = Arrival {
                    socket,
                    peer,
                    place: Some(place),
                };
                self.start(service, arrival, seat);
            }
            None => self.refuse(service, socket, &peer),
        }
    }

    /// A place for a connection. Where those without one are to wait, this one
    /// does it in our hands, and those after it in the backlog.
    async fn place(&self, gate: &Arc<Gate>, address: Option<IpAddr>) -> Option<Place> {
        loop {
            match gate.try_enter(address) {
                Ok(place) => return Some(place),
                Err(Denied::ToAll) if self.limits.full == Full::Wait => {
                    unless_stopped(|cx| gate.poll_room(cx)).await?;
                }
                Err(Denied::ToAll | Denied::ToAddress) => return None,
            }
        }
    }

    /// The step in which models differ: who runs the handler?
    fn start(&self, service: &Arc<dyn Service>, arrival: Arrival, seat: Seat) {
        let service = Arc::clone(service);
        let limits = self.limits;
        let Seat { means, slot } = seat;
        match means {
            Means::Process(line, its_line) => {
                self.start_process(service, arrival, slot, (line, its_line));
            }
            Means::None => reactor::spawn(arrival.serve(service, limits.patience, Some(slot))),
            Means::Thread(remote) => {
                let shutdown = self.shutdown.clone();
                let peer = arrival.peer.clone();
                let reporter = Arc::clone(&service);
                let run = move || {
                    serve_alone(arrival, service, limits, &shutdown, remote, None);
                    drop(slot);
                };
                if let Err(error) = thread::Builder::new().name("connection".into()).spawn(run) {
                    reporter.failed(Some(&peer), &Failure::Error(error));
                }
            }
        }
    }

    /// Here only the places are kept; the connection is the child's.
    fn start_process(
        &self,
        service: Arc<dyn Service>,
        mut arrival: Arrival,
        slot: Place,
        line: (Socket, Socket),
    ) {
        let place = arrival.place.take();
        let peer = arrival.peer.clone();
        match Child::start(arrival, Arc::clone(&service), self.limits, line, &self.kept) {
            Ok(child) => reactor::spawn(async move {
                if let Some(failure) = child.ended().await {
                    service.failed(Some(&peer), &failure);
                }
                drop((place, slot));
            }),
            Err(error) => service.failed(Some(&peer), &Failure::Error(error)),
        }
    }

    /// Tells a peer that there is no place, without ever waiting for it, if
    /// there are descriptors to spare for that.
    fn refuse(&self, service: &Arc<dyn Service>, socket: Socket, peer: &Addr) {
        service.failed(Some(peer), &Failure::Busy);
        if self.reserve.has(&socket) {
            return;
        }
        let Some(place) = self.refusals.enter(None) else {
            return;
        };
        let text = service.busy();
        let beyond = |reach| socket.as_fd().as_raw_fd() as u64 >= reach;
        if self.model.mux().reach().is_some_and(beyond) {
            // Nobody can wait for this one: it gets what goes out at once.
            socket.send(text, More::No).ok();
            socket.shutdown(How::Write).ok();
            return;
        }
        reactor::spawn(async move {
            let _place = place;
            if let Ok(stream) = Stream::from_nonblocking(socket, Ready::WRITE)
                && stream.send_all(text, More::No).await.is_ok()
            {
                stream.close().await;
            }
        });
    }
}

/// Runs a handler in a reactor of its own, on a thread or in a process of its
/// own, until `shutdown` is asked or `stop_on` becomes readable.
pub(super) fn serve_alone(
    arrival: Arrival,
    service: Arc<dyn Service>,
    limits: Limits,
    shutdown: &Shutdown,
    remote: Arc<Remote>,
    stop_on: Option<OwnedFd>,
) {
    let reporter = Arc::clone(&service);
    let peer = arrival.peer.clone();
    let run = || {
        let reactor = Reactor::with_remote(MuxKind::Poll.open()?, remote)?;
        let _subscription = shutdown.subscribe(reactor.remote());
        let out_of_time = async {
            unless_stopped(|_| Poll::<()>::Pending).await;
            reactor::sleep(limits.drain).await;
            Ok(())
        };
        let served = async {
            if let Some(fd) = stop_on {
                stop_when_readable(fd, shutdown.clone())?;
            }
            arrival.serve(service, limits.patience, None).await;
            Ok(())
        };
        reactor.block_on(served.or(out_of_time))?
    };
    if let Err(error) = run() {
        reporter.failed(Some(&peer), &Failure::Error(error));
    }
}

/// Has `shutdown` asked as soon as `fd` is readable, by a task of this reactor.
pub(super) fn stop_when_readable(fd: OwnedFd, shutdown: Shutdown) -> io::Result<()> {
    let registration = Registration::new(fd.as_fd(), Ready::NONE)?;
    reactor::spawn(async move {
        // An error is no better a reason to go on than a signal is.
        poll_fn(|context| registration.poll_ready(context, Interest::READ))
            .await
            .ok();
        shutdown.stop();
        // The registration ends before the descriptor is closed.
        drop(registration);
        drop(fd);
    });
    Ok(())
}

/// Does what is to be done each time that a descriptor is readable, by a task
/// of this reactor, until the descriptor ends.
fn do_when_readable(call: Call) -> io::Result<()> {
    let Call { fd, mut action } = call;
    rustix::io::ioctl_fionbio(&fd, true)?;
    let registration = Registration::new(fd.as_fd(), Ready::NONE)?;
    reactor::spawn(async move {
        let mut buffer = [0; 64];
        let mut read = || {
            let bytes = rustix::io::read(&fd, &mut buffer)?;
            Ok(Moved { bytes, asked: 0 })
        };
        while let Ok(1..) =
            poll_fn(|context| registration.poll_io(context, Interest::READ, &mut read)).await
        {
            action();
        }
        drop(registration);
        drop(fd);
    });
    Ok(())
}

/// Whether an error of `accept(2)` is about the connection that would have
/// been the next, which is gone now, and not about the listener or the process.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(
            libc::ECONNABORTED
                | libc::EPROTO
                | libc::ENOPROTOOPT
                | libc::ENETDOWN
                | libc::ENETUNREACH
                | libc::EHOSTDOWN
                | libc::EHOSTUNREACH
                | libc::ENONET
        )
    )
}

/// Waits for something, or for the reactor to be stopped: `None` then.
pub(super) async fn unless_stopped<T>(
    mut poll: impl FnMut(&mut std::task::Context<'_>) -> Poll<T>,
) -> Option<T> {
    poll_fn(|context| {
        if reactor::stopping() {
            return Poll::Ready(None);
        }
        poll(context).map(Some)
    })
    .await
}

/// The next connection of any listener, beginning with the one after the last
/// that had one: a crowd before one listener keeps no other waiting.
fn poll_accept_any<'a>(
    listeners: &'a [(Listener, Arc<dyn Service>)],
    turn: &Cell<usize>,
    context: &mut std::task::Context<'_>,
) -> Poll<(io::Result<Socket>, &'a Arc<dyn Service>)> {
    let (before, after) = listeners.split_at(turn.get());
    for (listener, service) in after.iter().chain(before) {
        turn.set((turn.get() + 1) % listeners.len());
        if let Poll::Ready(accepted) = listener.poll_accept(context) {
            return Poll::Ready((accepted, service));
        }
    }
    Poll::Pending
}

/// A connection that was let in and not served yet.
pub(super) struct Arrival {
    socket: Socket,
    peer: Addr,
    /// Kept by the server where a process of its own serves it.
    place: Option<Place>,
}

impl Arrival {
    /// Runs the handler to its end, whatever that is, and gives back the slot.
    ///
    /// Everything is set up before the future begins: what an `async` block
    /// moves about inside it is stored twice, for each of many connections.
    fn serve(
        self,
        service: Arc<dyn Service>,
        patience: Patience,
        slot: Option<Place>,
    ) -> impl Future<Output = ()> + use<> {
        let Self {
            socket,
            peer,
            place,
        } = self;
        let handler = Stream::from_nonblocking(socket, Ready::WRITE).map(|stream| {
            // Replies go out at once. Unix sockets have no such option.
            stream.socket().set(NoDelay(true)).ok();
            stream.set_patience(patience);
            let connection = Connection {
                stream,
                peer: peer.clone(),
                _place: place,
            };
            AssertUnwindSafe(Arc::clone(&service).serve(connection)).catch_unwind()
        });
        async move {
            let failure = match handler {
                Ok(handler) => match handler.await {
                    Ok(Ok(())) => None,
                    Ok(Err(error)) => Some(Failure::Error(error)),
                    Err(panic) => Some(Failure::Panic(message(panic.as_ref()))),
                },
                Err(error) => Some(Failure::Error(error)),
            };
            if let Some(failure) = failure {
                service.failed(Some(&peer), &failure);
            }
            drop(slot);
        }
    }
}

pub(super) fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
        .to_owned()
}
