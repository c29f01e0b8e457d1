//! A process for each connection: how the server follows its children.
//!
//! Between the server and each child there is a *line*, a pair of sockets.
//! The server ends its direction to say that it stops; the child says on the
//! other why its handler failed, and when the child is gone, the line ends.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd, RawFd};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{
    Pid, Signal, WaitOptions, WaitStatus, getpid, getppid, kill_process,
    set_parent_process_death_signal, waitpid,
};

use super::worker::{Arrival, serve_alone};
use super::{Connection, Failure, Limits, Service, Shutdown};
use crate::reactor::{Remote, lease};
use crate::{Addr, Input, More, Patience, Socket, Stream, sys};

/// A process that serves one connection, ended when this is dropped.
pub(super) struct Child {
    pid: Pid,
    line: Line,
    reaped: bool,
}

/// The descriptors that are the server's alone, which its processes close: its
/// listeners, what stops it, and all lines. An address that is held by whoever
/// is still busy could not be listened on again, and of the many lines each
/// process would need its share of the limit.
///
/// What wakes the server's reactor is not among them: a handler that knows the
/// server's [`Shutdown`] writes there, and must not write to whatever has its
/// number next.
#[derive(Clone, Default)]
pub(super) struct Kept(Rc<RefCell<BTreeSet<RawFd>>>);

impl FromIterator<RawFd> for Kept {
    fn from_iter<I: IntoIterator<Item = RawFd>>(descriptors: I) -> Self {
        Self(Rc::new(RefCell::new(descriptors.into_iter().collect())))
    }
}

/// The server's end of a line, kept from other processes while it is open.
struct Line {
    stream: Stream,
    kept: Kept,
}

impl Line {
    fn new(socket: Socket, kept: Kept) -> io::Result<Self> {
        let stream = Stream::new(socket)?;
        stream.set_patience(PATIENCE);
        let line = Self { stream, kept };
        line.kept.0.borrow_mut().insert(line.number());
        Ok(line)
    }

    fn number(&self) -> RawFd {
        self.stream.socket().as_fd().as_raw_fd()
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        let number = self.number();
        self.kept.0.borrow_mut().remove(&number);
    }
}

/// Nobody hurries a child: its own limits end it.
const PATIENCE: Patience = Patience {
    idle: Duration::MAX,
    bytes: usize::MAX,
};

impl Child {
    /// Starts a process that serves `arrival`, with a line between our end and
    /// its, and inherits all but what is `kept` from it.
    pub(super) fn start(
        arrival: Arrival,
        service: Arc<dyn Service>,
        limits: Limits,
        (line, its_line): (Socket, Socket),
        kept: &Kept,
    ) -> io::Result<Self> {
        let line = Line::new(line, kept.clone())?;
        let server = getpid();
        let pid = sys::fork(kept.0.borrow().iter().copied(), move || {
            let telling = Arc::new(Telling {
                service,
                line: its_line,
            });
            if let Err(error) = telling.serve_one(arrival, limits, server) {
                telling.failed(None, &Failure::Error(error));
            }
            Ok(())
        })?;
        Ok(Self {
            pid,
            line,
            reaped: false,
        })
    }

    /// Waits until the process has ended, and tells what went wrong, if
    /// anything. Passes on to it that the server stops.
    pub(super) async fn ended(mut self) -> Option<Failure> {
        let said = match self.listen().await {
            Ok(said) => said,
            Err(error) => return Some(Failure::Error(error)),
        };
        let status = self.reap();
        decode(&said).or_else(|| {
            let end = end(status?)?;
            let text = format!("the connection's process {end}");
            Some(Failure::Error(io::Error::other(text)))
        })
    }

    /// All that the child says, to the end.
    async fn listen(&self) -> io::Result<Vec<u8>> {
        let line = &self.line.stream;
        let mut said = Vec::new();
        let mut told = false;
        loop {
            if !told && line.input().await? == Input::Stopping {
                line.shutdown(crate::How::Write)?;
                told = true;
            }
            let mut buffer = lease();
            match line.recv(&mut buffer).await? {
                0 => return Ok(said),
                count => said.extend_from_slice(&buffer[..count]),
            }
        }
    }

    /// Takes the process off the kernel's list, and tells how it has ended. It
    /// ends its line as it exits, so that this waits for no more than that.
    fn reap(&mut self) -> Option<WaitStatus> {
        self.reaped = true;
        loop {
            match waitpid(Some(self.pid), WaitOptions::empty()) {
                Err(rustix::io::Errno::INTR) => {}
                // An error means that it was reaped by somebody else.
                ended => return Some(ended.ok().flatten()?.1),
            }
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if !self.reaped {
            kill_process(self.pid, Signal::KILL).ok();
            self.reap();
        }
    }
}

/// How a process has ended that said nothing, unless all went well.
fn end(status: WaitStatus) -> Option<String> {
    if let Some(signal) = status.terminating_signal() {
        return Some(format!("was ended by signal {signal}"));
    }
    let status = status.exit_status().filter(|&status| status != 0)?;
    Some(format!("ended with status {status}"))
}

/// In the child: the server's handler, but what fails is told on the line.
struct Telling {
    service: Arc<dyn Service>,
    line: Socket,
}

impl Telling {
    /// All that the child does.
    fn serve_one(
        self: &Arc<Self>,
        arrival: Arrival,
        limits: Limits,
        server: Pid,
    ) -> io::Result<()> {
        // It does not outlive the server, however that ends. One that ended
        // before this was said has another parent now.
        set_parent_process_death_signal(Some(Signal::KILL))?;
        if getppid() != Some(server) {
            return Err(io::Error::other("the server is gone"));
        }
        let stop = OwnedFd::from(self.line.try_clone()?);
        let service: Arc<dyn Service> = Arc::clone(self) as _;
        let remote = Arc::new(Remote::new()?);
        serve_alone(
            arrival,
            service,
            limits,
            &Shutdown::default(),
            remote,
            Some(stop),
        );
        Ok(())
    }
}

impl Service for Telling {
    fn serve(
        self: Arc<Self>,
        connection: Connection,
    ) -> Pin<Box<dyn Future<Output = io::Result<()>>>> {
        Arc::clone(&self.service).serve(connection)
    }

    fn verify(&self, peer: &Addr) -> bool {
        self.service.verify(peer)
    }

    fn failed(&self, _: Option<&Addr>, failure: &Failure) {
        // A line that is gone has nobody at its other end.
        self.line.send(&encode(failure), More::No).ok();
    }

    fn busy(&self) -> &'static [u8] {
        self.service.busy()
    }
}

// --- Failures as bytes -------------------------------------------------------

/// The kinds of error that keep their kind on the line when they have no
/// number of the kernel's. A handler's error of another kind becomes `Other`.
const KINDS: [io::ErrorKind; 9] = [
    io::ErrorKind::Other,
    io::ErrorKind::ConnectionReset,
    io::ErrorKind::ConnectionAborted,
    io::ErrorKind::BrokenPipe,
    io::ErrorKind::TimedOut,
    io::ErrorKind::UnexpectedEof,
    io::ErrorKind::NotConnected,
    io::ErrorKind::InvalidData,
    io::ErrorKind::InvalidInput,
];

/// A panic, on the line: what no index of [`KINDS`] is.
const PANIC: u8 = u8::MAX;

/// How much of a message is told: it must fit the line's buffer, for nobody
/// waits there.
const LONGEST: usize = 16 * 1024;

/// A byte for the kind, four for the kernel's number or zero, then the text.
fn encode(failure: &Failure) -> Vec<u8> {
    let (kind, number, text) = match failure {
        Failure::Panic(message) => (PANIC, 0, message.clone()),
        Failure::Error(error) => {
            let kind = KINDS.iter().position(|kind| *kind == error.kind());
            let number = error.raw_os_error().unwrap_or(0);
            (kind.unwrap_or(0) as u8, number, error.to_string())
        }
        // Children neither accept nor refuse.
        Failure::Accept(_) | Failure::Busy => (0, 0, failure.to_string()),
    };
    let mut bytes = vec![kind];
    bytes.extend(number.to_be_bytes());
    bytes.extend(text.bytes().take(LONGEST));
    bytes
}

fn decode(bytes: &[u8]) -> Option<Failure> {
    let (&kind, rest) = bytes.split_first()?;
    let (number, text) = rest.split_first_chunk()?;
    let text = String::from_utf8_lossy(text).into_owned();
    Some(match (kind, i32::from_be_bytes(*number)) {
        (PANIC, _) => Failure::Panic(text),
        (kind, 0) => {
            let kind = KINDS.get(usize::from(kind)).unwrap_or(&KINDS[0]);
            Failure::Error(io::Error::new(*kind, text))
        }
        (_, number) => Failure::Error(io::Error::from_raw_os_error(number)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_told_on_the_line_is_the_same_at_the_other_end() {
        let errors = [
            io::Error::from_raw_os_error(libc::ECONNRESET),
            io::Error::new(io::ErrorKind::TimedOut, "an error with a text"),
        ];
        for error in errors {
            let (kind, number) = (error.kind(), error.raw_os_error());
            let failure = Failure::Error(error);
            let Some(Failure::Error(told)) = decode(&encode(&failure)) else {
                panic!("no error came");
            };
            assert_eq!((told.kind(), told.raw_os_error()), (kind, number));
            assert_eq!(told.to_string(), failure.to_string());
        }
        let panic = encode(&Failure::Panic("a text".into()));
        assert!(matches!(decode(&panic), Some(Failure::Panic(text)) if text == "a text"));
        assert!(decode(b"").is_none());
    }
}
