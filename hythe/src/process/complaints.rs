//! [`Complaints`]: what a program says on its standard error, line by line in the
//! log.

use futures_lite::future::pending;

use super::Outlet;
use crate::serve::log::Escaped;

/// The longest line that is written to the log in one piece, in bytes: more than
/// people read.
const LINE: usize = 1024;

/// How many bytes of complaints of one program are written to the log: enough for
/// a long trace of an error, and too little to fill a disk with.
const MOST: usize = 64 * 1024;

/// What a program complains of, on its way to the log.
#[derive(Debug)]
pub(crate) struct Complaints {
    name: String,
    /// A line that is not complete.
    line: Vec<u8>,
    written: usize,
}

impl Complaints {
    /// Nothing yet, of the program of this name.
    pub(crate) fn new(name: String) -> Self {
        Self {
            name,
            line: Vec::new(),
            written: 0,
        }
    }

    /// Writes what comes, for ever.
    pub(super) async fn write<T>(&mut self, complaints: &Outlet) -> T {
        let mut buffer = [0; LINE];
        while let Ok(count @ 1..) = complaints.read(&mut buffer).await {
            self.add(&buffer[..count]);
        }
        pending().await
    }

    /// Writes what is there, and the last line, whether it is complete or not.
    pub(super) fn write_rest(&mut self, complaints: &Outlet) {
        let mut buffer = [0; LINE];
        while self.written <= MOST {
            match complaints.read_now(&mut buffer) {
                Ok(Some(count @ 1..)) => self.add(&buffer[..count]),
                _ => break,
            }
        }
        self.end_line();
    }

    /// Writes the lines that are complete.
    pub(crate) fn add(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            if byte == b'\n' || self.line.len() == LINE {
                self.end_line();
            }
            if byte != b'\n' {
                self.line.push(byte);
            }
        }
    }

    /// Writes what there is of a line as if it were complete.
    pub(crate) fn end_line(&mut self) {
        let line = std::mem::take(&mut self.line);
        if line.is_empty() || self.written > MOST {
            return;
        }
        self.written += line.len() + 1;
        tracing::warn!(program = self.name, "{}", Escaped(&line));
        if self.written > MOST {
            tracing::warn!(program = self.name, "it complains of more than is shown");
        }
    }
}
