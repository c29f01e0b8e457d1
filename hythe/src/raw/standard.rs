//! Standard input and output, whatever is behind them.

use std::fs::File;
use std::io::{self, IsTerminal as _, Write as _};
use std::ops::Range;
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};

use hythe_net::Watch;
use hythe_net::reactor::unblock;
use rustix::fs::{SeekFrom, seek};

/// How much is read at a time: what a pipe holds (`pipe(7)`).
const PIECE: usize = 64 * 1024;

/// What can be read until it ends: a terminal, a pipe, a file, a device.
#[derive(Debug)]
pub struct Input {
    file: Arc<File>,
    waiting: Waiting,
}

/// How one waits for more of it.
#[derive(Debug)]
enum Waiting {
    /// In the reactor.
    Reactor(Watch),
    /// A multiplexer knows nothing of it; the pool reads it.
    Pool,
}

impl Input {
    /// Standard input.
    ///
    /// # Errors
    /// No descriptor is left.
    ///
    /// # Panics
    /// Outside of a reactor.
    pub fn standard() -> io::Result<Self> {
        Self::new(io::stdin().as_fd().try_clone_to_owned()?)
    }

    /// What this descriptor reads. It is left blocking, since others may have it
    /// too, and is read only when there is something.
    ///
    /// # Errors
    /// No descriptor is left.
    ///
    /// # Panics
    /// Outside of a reactor.
    pub fn new(fd: OwnedFd) -> io::Result<Self> {
        let waiting = match Watch::new(fd.try_clone()?) {
            Ok(watch) => Waiting::Reactor(watch),
            // What `epoll(7)` says of files and of devices like /dev/null.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Waiting::Pool,
            Err(error) => return Err(error),
        };
        Ok(Self {
            file: Arc::new(File::from(fd)),
            waiting,
        })
    }

    /// Whether a person types it.
    pub fn is_terminal(&self) -> bool {
        self.file.is_terminal()
    }

    /// Reads some more into `buffer`, in place of what was there; nothing is the
    /// end.
    ///
    /// # Errors
    /// The system's.
    pub async fn read(&self, mut buffer: Vec<u8>) -> io::Result<Vec<u8>> {
        buffer.resize(PIECE, 0);
        let count = loop {
            let read = match &self.waiting {
                Waiting::Reactor(watch) => {
                    watch.readable().await?;
                    rustix::io::read(watch, &mut buffer[..])
                }
                Waiting::Pool => {
                    let file = Arc::clone(&self.file);
                    let read;
                    (buffer, read) = unblock(move || {
                        let read = rustix::io::read(&file, &mut buffer[..]);
                        (buffer, read)
                    })
                    .await;
                    read
                }
            };
            match read.map_err(io::Error::from) {
                // Somebody else has read it, and has made it non-blocking.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => break read?,
            }
        };
        buffer.truncate(count);
        Ok(buffer)
    }

    /// What is left of it, if it is a regular file, which can be sent without
    /// reading it.
    pub(super) fn rest_of_file(&self) -> Option<(Arc<File>, Range<u64>)> {
        let length = self
            .file
            .metadata()
            .ok()
            .filter(std::fs::Metadata::is_file)?;
        let begin = seek(&self.file, SeekFrom::Current(0)).ok()?;
        Some((Arc::clone(&self.file), begin..length.len().max(begin)))
    }

    /// Goes on reading a regular file there.
    pub(super) fn go_on_at(&self, offset: u64) -> io::Result<()> {
        Ok(seek(&self.file, SeekFrom::Start(offset)).map(drop)?)
    }
}

/// Where bytes are written. Whoever writes has it alone until all is written:
/// both directions are shown on it, and no line may get into another.
#[derive(Clone, Debug)]
pub struct Output(Arc<Mutex<File>>);

impl Output {
    /// Standard output.
    ///
    /// # Errors
    /// No descriptor is left.
    pub fn standard() -> io::Result<Self> {
        let fd = io::stdout().as_fd().try_clone_to_owned()?;
        Ok(Self(Arc::new(Mutex::new(File::from(fd)))))
    }

    /// Writes all of it, and waits as long as that takes: on the thread pool, or
    /// on a thread of one's own.
    ///
    /// # Errors
    /// `BrokenPipe` if nobody reads it any more; the system's.
    pub fn write(&self, bytes: &[u8]) -> io::Result<()> {
        let mut file = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        file.write_all(bytes)
    }
}
