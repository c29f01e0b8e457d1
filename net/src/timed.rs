//! [`TimedSocket`]: a socket for programs that do one thing at a time, with
//! a timeout, whole sends and receives, and an idempotent close.
//!
//! It is a type of its own because [`Socket`]'s contract is that each method
//! is one system call, and what follows a timeout never is: it tries, waits,
//! and tries again. [`Stream`](crate::Stream) builds on `Socket`, too, and
//! pays for none of this.
//!
//! Not here: doing anything meanwhile; see [`crate::mux`] and [`crate::reactor`].

use std::error::Error;
use std::fmt;
use std::fs::File;
use std::io::{self, ErrorKind, IoSlice, IoSliceMut};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt as _;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::option::{Error as PendingError, KindOf, SendTimeout};
use crate::{Addr, Domain, How, Kind, Message, More, Socket};

/// A socket like Python's: with a timeout, and closed when it says so.
///
/// A timeout has an error of its own: [`ErrorKind::TimedOut`] without an error
/// number, while `ETIMEDOUT` of the network has its number. It is one deadline
/// for the whole of a call, however often that call is interrupted or gets
/// on by a piece. Interrupted calls are taken up again.
///
/// ```
/// use hythe_net::{TimedSocket, create_server};
/// use std::io::ErrorKind;
/// use std::time::Duration;
///
/// # fn main() -> std::io::Result<()> {
/// let mut listener = TimedSocket::from(create_server(&"127.0.0.1:0".parse()?, false)?);
/// listener.set_timeout(Some(Duration::from_millis(10)))?;
/// assert_eq!(listener.accept().unwrap_err().kind(), ErrorKind::TimedOut);
///
/// listener.close();
/// listener.close();
/// assert_eq!(listener.accept().unwrap_err().to_string(), "the socket is closed");
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct TimedSocket {
    /// `None` once closed: there is no number left that could be reused.
    socket: Option<Socket>,
    timeout: Option<Duration>,
}

/// How far a call came that did not come to its end.
///
/// With `?` it becomes the [`io::Error`] that it holds.
#[derive(Debug)]
pub struct Unfinished {
    /// How many bytes were moved before.
    pub done: u64,
    /// Why it went no further.
    pub error: io::Error,
}

impl TimedSocket {
    /// A socket without a timeout.
    ///
    /// # Errors
    /// As [`Socket::new`].
    pub fn new(domain: Domain, kind: Kind) -> io::Result<Self> {
        Socket::new(domain, kind).map(Self::from)
    }

    /// How long calls wait from now on: `None` for ever, `Some` of zero not at
    /// all (they answer `WouldBlock`), else at most that long.
    ///
    /// # Errors
    /// The socket is closed.
    pub fn set_timeout(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        // With a timeout it is `poll(2)` that waits, so the socket must not.
        self.socket()?.set_blocking(timeout.is_none())?;
        self.timeout = timeout;
        Ok(())
    }

    /// How long calls wait; see [`set_timeout`](Self::set_timeout).
    pub fn timeout(&self) -> Option<Duration> {
        self.timeout
    }

    /// The socket underneath, for its options, names and the rest.
    ///
    /// # Errors
    /// `NotConnected`: the socket is closed.
    pub fn socket(&self) -> io::Result<&Socket> {
        self.socket
            .as_ref()
            .ok_or_else(|| io::Error::new(ErrorKind::NotConnected, "the socket is closed"))
    }

    /// Closes the socket; again does nothing. Any call after it is an error
    /// that says so, and never reaches a descriptor that was opened since.
    pub fn close(&mut self) {
        self.socket = None;
    }

    /// Gives the descriptor away, open as it is, and leaves this one closed.
    /// It is non-blocking if there was a timeout.
    ///
    /// # Errors
    /// The socket is closed.
    pub fn detach(&mut self) -> io::Result<OwnedFd> {
        self.socket()?;
        self.socket
            .take()
            .map(Socket::detach)
            .ok_or_else(|| ErrorKind::NotConnected.into())
    }

    /// Connects within the timeout.
    ///
    /// # Errors
    /// As [`Socket::connect`]; after `TimedOut` the socket is of no more use.
    pub fn connect(&self, address: &Addr) -> io::Result<()> {
        let deadline = Deadline::new(self.timeout);
        let socket = self.socket()?;
        if self.timeout == Some(Duration::ZERO) {
            return socket.connect(address);
        }
        if address.domain() == Domain::UNIX {
            return connect_unix(socket, address, &deadline);
        }
        match socket.connect(address) {
            Err(error) if in_progress(&error) => {
                deadline.wait(socket, PollFlags::OUT)?;
                match socket.get::<PendingError>()?.0 {
                    0 => Ok(()),
                    errno => Err(io::Error::from_raw_os_error(errno)),
                }
            }
            result => result,
        }
    }

    /// Connects within the timeout and tells the error number (`errno(3)`), 0
    /// for none. A timeout that has passed is `EAGAIN`, a closed socket `EBADF`.
    pub fn connect_ex(&self, address: &Addr) -> i32 {
        match self.connect(address) {
            Ok(()) => 0,
            Err(error) => error.raw_os_error().unwrap_or_else(|| match error.kind() {
                ErrorKind::TimedOut => libc::EAGAIN,
                _ => libc::EBADF,
            }),
        }
    }

    /// The next connection. It has no timeout, whatever this socket has.
    ///
    /// # Errors
    /// As [`Socket::accept`]; `TimedOut`.
    pub fn accept(&self) -> io::Result<(Self, Addr)> {
        let (socket, peer) = self.attempt(PollFlags::IN, Socket::accept)?;
        Ok((Self::from(socket), peer))
    }

    /// As [`Socket::recv`], within the timeout.
    ///
    /// # Errors
    /// As [`Socket::recv`]; `TimedOut`.
    pub fn recv(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.attempt(PollFlags::IN, |socket| socket.recv(buffer))
    }

    /// As [`Socket::recv_from`], within the timeout.
    ///
    /// # Errors
    /// As [`Socket::recv_from`]; `TimedOut`.
    pub fn recv_from(&self, buffer: &mut [u8]) -> io::Result<(usize, Addr)> {
        self.attempt(PollFlags::IN, |socket| socket.recv_from(buffer))
    }

    /// As [`Socket::peek`], within the timeout.
    ///
    /// # Errors
    /// As [`Socket::peek`]; `TimedOut`.
    pub fn peek(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.attempt(PollFlags::IN, |socket| socket.peek(buffer))
    }

    /// As [`Socket::recv_msg`], within the timeout.
    ///
    /// # Errors
    /// As [`Socket::recv_msg`]; `TimedOut`.
    pub fn recv_msg(
        &self,
        buffers: &mut [IoSliceMut<'_>],
        descriptors: usize,
    ) -> io::Result<Message> {
        self.attempt(PollFlags::IN, |socket| {
            socket.recv_msg(buffers, descriptors)
        })
    }

    /// Fills the buffer, within one timeout.
    ///
    /// # Errors
    /// `UnexpectedEof` if the stream ends before; as [`recv`](Self::recv). The
    /// first `done` bytes of the buffer are filled.
    pub fn recv_exact(&self, buffer: &mut [u8]) -> Result<(), Unfinished> {
        let whole = buffer.len();
        self.all(PollFlags::IN, whole, |socket, done| {
            match socket.recv(&mut buffer[done..])? {
                0 => Err(ErrorKind::UnexpectedEof.into()),
                count => Ok(count),
            }
        })
    }

    /// As [`Socket::send`], within the timeout: possibly only a part.
    ///
    /// # Errors
    /// As [`Socket::send`]; `TimedOut`.
    pub fn send(&self, bytes: &[u8]) -> io::Result<usize> {
        self.attempt(PollFlags::OUT, |socket| socket.send(bytes, More::No))
    }

    /// As [`Socket::send_to`], within the timeout.
    ///
    /// # Errors
    /// As [`Socket::send_to`]; `TimedOut`.
    pub fn send_to(&self, bytes: &[u8], address: &Addr) -> io::Result<usize> {
        self.attempt(PollFlags::OUT, |socket| socket.send_to(bytes, address))
    }

    /// As [`Socket::send_msg`], within the timeout.
    ///
    /// # Errors
    /// As [`Socket::send_msg`]; `TimedOut`.
    pub fn send_msg(
        &self,
        pieces: &[IoSlice<'_>],
        descriptors: &[BorrowedFd<'_>],
        address: Option<&Addr>,
    ) -> io::Result<usize> {
        self.attempt(PollFlags::OUT, |socket| {
            socket.send_msg(pieces, descriptors, address)
        })
    }

    /// Sends all of it, within one timeout.
    ///
    /// # Errors
    /// As [`send`](Self::send), with how much the kernel has taken.
    pub fn send_all(&self, bytes: &[u8]) -> Result<(), Unfinished> {
        self.all(PollFlags::OUT, bytes.len(), |socket, done| {
            socket.send(&bytes[done..], More::No)
        })
    }

    /// Sends `count` bytes of `file` from `offset` on, or up to its end if
    /// that comes first or `count` is `None`, within one timeout; tells how
    /// many. By `sendfile(2)`, or by a copy where the kernel can't.
    ///
    /// # Errors
    /// `InvalidInput` for what is no regular file, or no stream; otherwise as
    /// [`send`](Self::send), with how much the kernel has taken.
    pub fn send_file(
        &self,
        file: &File,
        offset: u64,
        count: Option<u64>,
    ) -> Result<u64, Unfinished> {
        let deadline = Deadline::new(self.timeout);
        let mut sending = Sending {
            file,
            offset,
            end: offset.saturating_add(count.unwrap_or(u64::MAX)),
            copying: false,
        };
        let result = self.check_file(file).and_then(|()| {
            loop {
                let sent = self.attempt_by(&deadline, PollFlags::OUT, |s| sending.step(s))?;
                if sent == 0 || sending.offset == sending.end {
                    return Ok(());
                }
                deadline.check()?;
            }
        });
        let done = sending.offset - offset;
        match result {
            Ok(()) => Ok(done),
            Err(error) => Err(Unfinished { done, error }),
        }
    }

    /// As [`Socket::shutdown`].
    ///
    /// # Errors
    /// As [`Socket::shutdown`].
    pub fn shutdown(&self, how: How) -> io::Result<()> {
        self.socket()?.shutdown(how)
    }

    fn check_file(&self, file: &File) -> io::Result<()> {
        let refuse = |text| Err(io::Error::new(ErrorKind::InvalidInput, text));
        if self.socket()?.get::<KindOf>()?.0 != libc::SOCK_STREAM {
            return refuse("files are sent over streams only");
        }
        if !file.metadata()?.is_file() {
            return refuse("not a regular file");
        }
        Ok(())
    }

    /// Calls until all `whole` bytes are done; `call` is told how many are.
    fn all(
        &self,
        ready: PollFlags,
        whole: usize,
        mut call: impl FnMut(&Socket, usize) -> io::Result<usize>,
    ) -> Result<(), Unfinished> {
        let deadline = Deadline::new(self.timeout);
        let mut done = 0;
        while done < whole {
            // A peer that takes a little each time must not outlast it.
            let checked = if done > 0 { deadline.check() } else { Ok(()) };
            let count = checked
                .and_then(|()| self.attempt_by(&deadline, ready, |socket| call(socket, done)));
            match count {
                Ok(count) => done += count,
                Err(error) => {
                    let done = done as u64;
                    return Err(Unfinished { done, error });
                }
            }
        }
        Ok(())
    }

    fn attempt<T>(
        &self,
        ready: PollFlags,
        call: impl FnMut(&Socket) -> io::Result<T>,
    ) -> io::Result<T> {
        self.attempt_by(&Deadline::new(self.timeout), ready, call)
    }

    /// Calls, and where that would block, waits until it is worth calling
    /// again.
    fn attempt_by<T>(
        &self,
        deadline: &Deadline,
        ready: PollFlags,
        mut call: impl FnMut(&Socket) -> io::Result<T>,
    ) -> io::Result<T> {
        let socket = self.socket()?;
        loop {
            match call(socket) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock && deadline.waits => {
                    deadline.wait(socket, ready)?;
                }
                result => return result,
            }
        }
    }
}

impl From<Socket> for TimedSocket {
    /// Without a timeout. The socket should be blocking, as new ones are.
    fn from(socket: Socket) -> Self {
        Self {
            socket: Some(socket),
            timeout: None,
        }
    }
}

impl fmt::Display for Unfinished {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (after {} bytes)", self.error, self.done)
    }
}

impl Error for Unfinished {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.error)
    }
}

impl From<Unfinished> for io::Error {
    fn from(unfinished: Unfinished) -> Self {
        unfinished.error
    }
}

/// When a call has to end, fixed as it begins.
struct Deadline {
    /// Whether to wait at all when the kernel says `WouldBlock`. A blocking
    /// socket has waited already, as long as its `RecvTimeout` allows.
    waits: bool,
    /// `None` for never, and for later than the clock can tell.
    at: Option<Instant>,
}

impl Deadline {
    fn new(timeout: Option<Duration>) -> Self {
        Self {
            waits: timeout.is_some_and(|timeout| !timeout.is_zero()),
            at: timeout.and_then(|timeout| Instant::now().checked_add(timeout)),
        }
    }

    /// What is left, `None` for no end.
    fn left(&self) -> Option<Duration> {
        self.at
            .map(|at| at.saturating_duration_since(Instant::now()))
    }

    fn check(&self) -> io::Result<()> {
        match self.left() {
            Some(left) if left.is_zero() && self.waits => Err(timed_out()),
            _ => Ok(()),
        }
    }

    /// Waits until the socket is ready, with the time that is left.
    fn wait(&self, socket: &Socket, ready: PollFlags) -> io::Result<()> {
        loop {
            let left = self.left().map(|left| Timespec {
                tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
                tv_nsec: left.subsec_nanos().into(),
            });
            match poll(&mut [PollFd::new(socket, ready)], left.as_ref()) {
                Ok(0) => return Err(timed_out()),
                Err(rustix::io::Errno::INTR) => {}
                result => return Ok(result.map(drop)?),
            }
        }
    }
}

/// The timeout's own error: unlike the network's, it has no number.
pub(crate) fn timed_out() -> io::Error {
    io::Error::new(ErrorKind::TimedOut, "timed out")
}

/// Whether the connection goes on in the background. Interrupted, it does too.
fn in_progress(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EINPROGRESS | libc::EINTR))
}

/// A Unix socket can't connect in the background: where the listener's queue
/// is full, it says `EAGAIN` at once, and `poll(2)` doesn't know of the queue.
/// But its blocking call heeds the send timeout.
fn connect_unix(socket: &Socket, address: &Addr, deadline: &Deadline) -> io::Result<()> {
    if !deadline.waits {
        return retry(|| socket.connect(address));
    }
    let before: SendTimeout = socket.get()?;
    socket.set_blocking(true)?;
    let result = retry(|| {
        // The kernel takes whole microseconds, and zero for no end.
        let left = deadline
            .left()
            .map(|left| left.max(Duration::from_micros(1)));
        socket.set(SendTimeout(left))?;
        socket.connect(address)
    });
    socket.set(before)?;
    socket.set_blocking(false)?;
    result.map_err(|error| match error.kind() {
        ErrorKind::WouldBlock => timed_out(),
        _ => error,
    })
}

fn retry(mut call: impl FnMut() -> io::Result<()>) -> io::Result<()> {
    loop {
        match call() {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

/// A file on its way out.
struct Sending<'a> {
    file: &'a File,
    offset: u64,
    end: u64,
    /// Whether the kernel has refused to do it alone.
    copying: bool,
}

impl Sending<'_> {
    fn step(&mut self, socket: &Socket) -> io::Result<usize> {
        let left = self.end - self.offset;
        if !self.copying {
            // The kernel takes no more at once, and says so of itself.
            let count = usize::try_from(left.min(1 << 30)).unwrap_or(0);
            match socket.send_file(self.file.as_fd(), &mut self.offset, count) {
                Err(error) if error.kind() == ErrorKind::InvalidInput => self.copying = true,
                result => return result,
            }
        }
        let mut piece = [0; COPIED];
        let count = usize::try_from(left).unwrap_or(COPIED).min(COPIED);
        let count = self.file.read_at(&mut piece[..count], self.offset)?;
        if count == 0 {
            return Ok(0);
        }
        let sent = socket.send(&piece[..count], More::No)?;
        self.offset += sent as u64;
        Ok(sent)
    }
}

/// How much is copied at once: enough that the calls cost little beside the
/// copying, and little enough for the stack.
const COPIED: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;
    use crate::sys::interrupt;

    #[test]
    fn interruptions_neither_end_a_call_nor_put_its_deadline_off() {
        interrupt::prepare();
        let (one, _other) = Socket::pair(Domain::UNIX, Kind::STREAM).unwrap();
        let mut socket = TimedSocket::from(one);
        socket
            .set_timeout(Some(Duration::from_millis(100)))
            .unwrap();
        let thread = thread::spawn(move || socket.recv(&mut [0]).unwrap_err());
        // More often than the timeout: were it put off, this would never end.
        while !thread.is_finished() {
            interrupt::send(&thread);
            thread::sleep(Duration::from_millis(1));
        }
        assert_eq!(thread.join().unwrap().kind(), ErrorKind::TimedOut);
    }

    #[test]
    fn a_call_without_a_timeout_goes_on_after_an_interruption() {
        interrupt::prepare();
        let (one, other) = Socket::pair(Domain::UNIX, Kind::STREAM).unwrap();
        let socket = TimedSocket::from(one);
        let thread = thread::spawn(move || socket.recv(&mut [0]).unwrap());
        for _ in 0..20 {
            interrupt::send(&thread);
            thread::sleep(Duration::from_millis(1));
        }
        other.send(b"x", More::No).unwrap();
        assert_eq!(thread.join().unwrap(), 1);
    }
}
