//! How a command fails: what is said, and the exit status.

use std::fmt;
use std::io::{self, Write as _};
use std::process::ExitCode;

use crate::visible::without_number;

/// The exit statuses, as promised to scripts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Any failure without a status of its own.
    Other = 1,
    /// The command line or its configuration makes no sense.
    Usage = 2,
    /// What was named is not there.
    NotFound = 3,
    /// It is there, but not for us.
    NotAllowed = 4,
    /// Nobody could be reached, or the connection was lost.
    Connection = 5,
    /// By Ctrl-C, and the same command run again continues.
    PartKept = 6,
    /// What came is not what it should be.
    Mismatch = 7,
    /// By Ctrl-C.
    Interrupted = 130,
}

impl Exit {
    /// The status that fits an error of the system.
    pub fn of(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound => Self::NotFound,
            io::ErrorKind::PermissionDenied => Self::NotAllowed,
            _ => Self::Other,
        }
    }
}

/// Why a command ends early.
#[derive(Debug)]
pub enum Failure {
    /// Something to tell the user: the thing, the cause, the way out.
    Told(Exit, String),
    /// The parser's own message, or the help that was asked for.
    Parser(clap::Error),
}

impl Failure {
    /// A failure with its text.
    pub fn new(exit: Exit, text: impl Into<String>) -> Self {
        Self::Told(exit, text.into())
    }

    /// The status to exit with.
    pub(super) fn exit(&self) -> Exit {
        match self {
            Self::Told(exit, _) => *exit,
            Self::Parser(_) => Exit::Usage,
        }
    }

    /// Tells the user, and gives the status to exit with.
    pub(super) fn report(self) -> ExitCode {
        match self {
            Self::Told(exit, text) => {
                // `eprintln` panics where standard error is closed.
                writeln!(io::stderr(), "hythe: {text}").ok();
                ExitCode::from(exit as u8)
            }
            Self::Parser(error) => {
                // A reader who has closed the pipe has seen enough.
                error.print().ok();
                ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(Exit::Usage as u8))
            }
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Told(_, text) => f.write_str(text),
            Self::Parser(error) => error.fmt(f),
        }
    }
}

impl From<clap::Error> for Failure {
    fn from(error: clap::Error) -> Self {
        Self::Parser(error)
    }
}

/// What the system says, in words that fit behind a colon.
pub(super) fn cause(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "no such file or folder".into(),
        io::ErrorKind::PermissionDenied => "permission denied".into(),
        io::ErrorKind::IsADirectory => "it is a folder".into(),
        io::ErrorKind::AddrInUse => "address in use".into(),
        io::ErrorKind::AddrNotAvailable => "this machine has no such address".into(),
        _ => without_number(error),
    }
}
