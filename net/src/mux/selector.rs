//! [`Selector`]: a multiplexer that keeps what it watches, and something
//! beside each, as Python's `selectors` module does.
//!
//! Not here: the loop, and what is done with who is ready; both are the
//! caller's.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use rustix::event::{EventfdFlags, eventfd};

use super::{Epoll, Event, Interest, Mux, Token};

/// Watches files and keeps them, each with data of the caller's.
///
/// `F` is what is watched: a [`Socket`](crate::Socket), a `TcpStream`, or a
/// reference to one. As the selector keeps it, it stays open for as long as it
/// is watched. `D` is whatever should be at hand when it is ready: a
/// connection's state, or a function to call.
///
/// An echo server in one thread, which asks for writing only while it has
/// something to write:
///
/// ```no_run
/// use hythe_net::mux::{Interest, Ready, Selector};
/// use hythe_net::{More, Socket, create_server};
///
/// /// What is kept beside each socket.
/// enum Role {
///     Listener,
///     /// With what was received and not sent back yet.
///     Client(Vec<u8>),
/// }
///
/// # fn main() -> std::io::Result<()> {
/// let listener = create_server(&"127.0.0.1:7007".parse()?, false)?;
/// listener.set_blocking(false)?;
/// let mut selector: Selector<Socket, Role> = Selector::best()?;
/// selector.register(listener, Interest::READ, Role::Listener)?;
/// loop {
///     for event in selector.select(None)? {
///         let Some(key) = selector.get_mut(event.token) else {
///             continue;
///         };
///         match &mut key.data {
///             Role::Listener => {
///                 let client = key.file.accept_nonblocking()?;
///                 selector.register(client, Interest::READ, Role::Client(Vec::new()))?;
///             }
///             Role::Client(waiting) if event.ready.contains(Ready::WRITE) => {
///                 let sent = key.file.send(waiting, More::No).unwrap_or(waiting.len());
///                 waiting.drain(..sent);
///                 if waiting.is_empty() {
///                     selector.modify(event.token, Interest::READ)?;
///                 }
///             }
///             Role::Client(waiting) => {
///                 let mut buffer = [0; 4096];
///                 match key.file.recv(&mut buffer) {
///                     Ok(0) | Err(_) => drop(selector.unregister(event.token)?),
///                     Ok(count) => {
///                         waiting.extend_from_slice(&buffer[..count]);
///                         selector.modify(event.token, Interest::WRITE)?;
///                     }
///                 }
///             }
///         }
///     }
/// }
/// # }
/// ```
pub struct Selector<F, D = ()> {
    // Dropped first, while what it watches is open.
    mux: Box<dyn Mux>,
    /// By the index of their tokens.
    keys: Vec<Option<(Token, Key<F, D>)>>,
    bell: Arc<OwnedFd>,
    bell_token: Token,
}

/// What a [`Selector`] watches, and what is kept beside it.
#[derive(Debug)]
pub struct Key<F, D> {
    /// What is watched.
    pub file: F,
    /// The caller's own.
    pub data: D,
    interest: Interest,
}

impl<F, D> Key<F, D> {
    /// What is asked about it.
    pub fn interest(&self) -> Interest {
        self.interest
    }
}

impl<F: AsFd, D> Selector<F, D> {
    /// A selector on the best multiplexer there is: level-triggered epoll,
    /// which forgives who does not read all there is.
    ///
    /// # Errors
    /// No descriptor is left.
    pub fn best() -> io::Result<Self> {
        Self::on(Box::new(Epoll::level()?))
    }

    /// A selector on a multiplexer of choice. On [`Epoll::edge()`], read and
    /// write until `WouldBlock`: it tells each change once.
    ///
    /// # Errors
    /// No descriptor is left for the [`Waker`].
    pub fn new(mux: impl Mux + 'static) -> io::Result<Self> {
        Self::on(Box::new(mux))
    }

    /// As [`new`](Self::new), for a multiplexer chosen at run time.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn on(mut mux: Box<dyn Mux>) -> io::Result<Self> {
        let bell = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let bell_token = mux.add(bell.as_fd(), Interest::READ)?;
        Ok(Self {
            mux,
            keys: Vec::new(),
            bell: Arc::new(bell),
            bell_token,
        })
    }

    /// Watches `file`, and keeps it and `data` until
    /// [`unregister`](Self::unregister).
    ///
    /// # Errors
    /// As [`Mux::add`]; `file` is closed then.
    pub fn register(&mut self, file: F, interest: Interest, data: D) -> io::Result<Token> {
        let token = self.mux.add(file.as_fd(), interest)?;
        if token.index() >= self.keys.len() {
            self.keys.resize_with(token.index() + 1, || None);
        }
        let key = Key {
            file,
            data,
            interest,
        };
        self.keys[token.index()] = Some((token, key));
        Ok(token)
    }

    /// Changes what is asked about a file; its data can be changed through
    /// [`get_mut`](Self::get_mut).
    ///
    /// # Errors
    /// `NotFound` for a token that was unregistered.
    pub fn modify(&mut self, token: Token, interest: Interest) -> io::Result<()> {
        self.mux.modify(token, interest)?;
        if let Some(key) = self.get_mut(token) {
            key.interest = interest;
        }
        Ok(())
    }

    /// Stops watching a file, and gives it back with its data. Events of it
    /// that [`select`](Self::select) has returned already find no key.
    ///
    /// # Errors
    /// `NotFound` for a token that was unregistered.
    pub fn unregister(&mut self, token: Token) -> io::Result<Key<F, D>> {
        self.mux.remove(token)?;
        let entry = self.keys.get_mut(token.index()).and_then(Option::take);
        entry
            .map(|(_, key)| key)
            .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "the token was removed"))
    }

    /// Waits until a file is ready, a [`Waker`] wakes it (then there may be no
    /// event at all), or `timeout` has passed; `None` waits without end, zero
    /// not at all. The events are the caller's, so that files can be
    /// registered and unregistered while they are gone through.
    ///
    /// # Errors
    /// As [`Mux::wait`].
    pub fn select(&mut self, timeout: Option<Duration>) -> io::Result<Vec<Event>> {
        let mut events = Vec::new();
        self.mux.wait(&mut events, timeout)?;
        if events.iter().any(|event| event.token == self.bell_token) {
            // It can only fail where another thread has read it meanwhile.
            rustix::io::read(&*self.bell, &mut [0; 8]).ok();
            events.retain(|event| event.token != self.bell_token);
        }
        Ok(events)
    }

    /// The file and data of a token, unless it was unregistered.
    pub fn get(&self, token: Token) -> Option<&Key<F, D>> {
        match self.keys.get(token.index()) {
            Some(Some((own, key))) if *own == token => Some(key),
            _ => None,
        }
    }

    /// As [`get`](Self::get), to change them.
    pub fn get_mut(&mut self, token: Token) -> Option<&mut Key<F, D>> {
        match self.keys.get_mut(token.index()) {
            Some(Some((own, key))) if *own == token => Some(key),
            _ => None,
        }
    }

    /// All that is watched.
    pub fn keys(&self) -> impl Iterator<Item = (Token, &Key<F, D>)> {
        self.keys.iter().flatten().map(|(token, key)| (*token, key))
    }

    /// A handle by which other threads end a wait.
    ///
    /// ```
    /// use hythe_net::{Socket, mux::Selector};
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let mut selector: Selector<Socket> = Selector::best()?;
    /// let waker = selector.waker();
    /// let other = std::thread::spawn(move || waker.wake());
    /// // It watches nothing and has no timeout: only the waker can end this.
    /// assert!(selector.select(None)?.is_empty());
    /// # other.join().expect("it does not panic");
    /// # Ok(()) }
    /// ```
    pub fn waker(&self) -> Waker {
        Waker(Arc::clone(&self.bell))
    }
}

impl<F, D> fmt::Debug for Selector<F, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Selector")
            .field("trigger", &self.mux.trigger())
            .field("watched", &self.keys.iter().flatten().count())
            .finish_non_exhaustive()
    }
}

/// Ends a [`Selector`]'s wait from any thread: an `eventfd(2)` that it watches.
#[derive(Clone, Debug)]
pub struct Waker(Arc<OwnedFd>);

impl Waker {
    /// Ends the wait that goes on, or else the next one.
    pub fn wake(&self) {
        // It can only fail where the counter is full, and then it is readable.
        rustix::io::write(&*self.0, &1u64.to_ne_bytes()).ok();
    }
}
