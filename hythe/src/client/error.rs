//! What goes wrong between us and a server.

use std::fmt;
use std::io;
use std::time::Duration;

use crate::visible::without_number;

/// The result of an operation on a server.
pub type Result<T> = std::result::Result<T, Error>;

/// Why an operation failed, in words that fit behind a colon, and as a reason
/// to act on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// What to do about it.
    pub reason: Reason,
    /// The cause, for people. What a server said is in it with control bytes
    /// made visible.
    pub text: String,
}

/// What kind of failure it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It is not there.
    NotFound,
    /// Not for us, or not without a password.
    NotAllowed,
    /// There is something already.
    Exists,
    /// The disk over there is full, or a quota is.
    NoSpace,
    /// Nobody could be reached.
    Unreachable,
    /// The connection ended too early, or nothing moved any more.
    Lost,
    /// Not now; perhaps after this time.
    Busy(Option<Duration>),
    /// It is not the version that it was.
    Changed,
    /// The protocol, or this server, has no words for it.
    Unsupported,
    /// What came is not what the protocol allows, or would lead astray.
    Protocol,
    /// This machine's own doing: a disk, a file.
    Local,
    /// Whoever read what we wrote has seen enough.
    Closed,
    /// What came has another checksum than it should.
    Mismatch,
    /// By the user.
    Interrupted,
}

impl Error {
    /// An error with its text.
    pub fn new(reason: Reason, text: impl Into<String>) -> Self {
        Self {
            reason,
            text: text.into(),
        }
    }

    /// That a protocol can't do something.
    pub fn unsupported(text: impl Into<String>) -> Self {
        Self::new(Reason::Unsupported, text)
    }

    /// What a server did that it may not.
    pub fn protocol(text: impl Into<String>) -> Self {
        Self::new(Reason::Protocol, text)
    }

    /// An error of the connection.
    pub fn lost(error: &io::Error) -> Self {
        let text = match error.kind() {
            io::ErrorKind::TimedOut => "the server makes no progress".into(),
            io::ErrorKind::UnexpectedEof => "the server ended the connection too early".into(),
            io::ErrorKind::ConnectionReset => "the server reset the connection".into(),
            io::ErrorKind::BrokenPipe => "the server closed the connection".into(),
            _ => without_number(error),
        };
        Self::new(Reason::Lost, text)
    }

    /// That nobody could be reached.
    pub fn unreachable(error: &io::Error) -> Self {
        let text = match error.kind() {
            io::ErrorKind::ConnectionRefused => "nothing listens there".into(),
            io::ErrorKind::TimedOut => "no answer".into(),
            _ => without_number(error),
        };
        Self::new(Reason::Unreachable, text)
    }

    /// An error of this machine.
    pub fn local(error: &io::Error) -> Self {
        Self::new(Reason::Local, without_number(error))
    }

    /// Whether trying again may help.
    pub fn is_passing(&self) -> bool {
        matches!(
            self.reason,
            Reason::Unreachable | Reason::Lost | Reason::Busy(_)
        )
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Error {}
