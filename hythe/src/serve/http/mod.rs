//! HTTP/1.1 origin server for a share (RFC 9110, RFC 9112), read side.
//!
//! ```text
//!            ┌────────── idle: no buffer, a few hundred bytes ◄────────┐
//!            ▼ input                                                   │
//!   session: read ─► ready bytes in this core's cache? ── yes ─► send ─┤   no allocation,
//!            │                                                         │   no thread, one send
//!            no                                                        │
//!            ▼                                                         │
//!   session: whole head, body drained ─► ask ─► answer ─► reply ─► body
//!                                         (on the pool)    (head, then sendfile or pieces)
//! ```
//!
//! A request becomes an `Ask`, a value; `answer` turns it into a
//! `Reply`, another value, with nothing but file calls in
//! between; only `session` knows of sockets and time.
//!
//! Not here: writing, accounts, and applications.

mod answer;
mod ask;
mod body;
mod condition;
mod content;
mod date;
mod file;
mod folder;
mod ready;
mod reply;
mod session;

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use hythe_net::{Addr, Connection, Failure, Handler};

use super::log;
use crate::accounts::Gate;
use crate::share::View;

/// Choices of the operator.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HttpConfig {
    /// Whether a folder's `index.html` is shown in place of the folder.
    pub index: bool,
    /// Whether pages and drawings in the share may run their scripts, as on a
    /// web site whose content is the operator's own.
    pub trust_content: bool,
    /// Whether threads or processes serve one connection and end: then it is of no use that
    /// each keeps small answers ready for the next.
    pub short_lived_threads: bool,
}

/// Serves a share over HTTP.
#[derive(Clone, Debug)]
pub struct Http(Arc<Site>);

/// What all sessions of one handler share.
#[derive(Debug)]
struct Site {
    /// Tells the entries of several sites apart in one thread's cache.
    id: u32,
    /// What a visitor without an account sees, whoever it is.
    view: View,
    config: HttpConfig,
}

impl Http {
    /// A handler that lets visitors in by this gate.
    pub fn new(gate: Gate, config: HttpConfig) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        let view = gate.stranger("http", &Addr::unnamed());
        Self(Arc::new(Site { id, view, config }))
    }
}

impl Handler for Http {
    fn handle(&self, connection: Connection) -> impl Future<Output = io::Result<()>> {
        session::serve(Arc::clone(&self.0), connection)
    }

    fn failed(&self, peer: Option<&Addr>, failure: &Failure) {
        log::failed("http", peer, failure);
    }

    fn busy(&self) -> &'static [u8] {
        b"HTTP/1.1 503 Service Unavailable\r\n\
          Content-Type: text/plain\r\n\
          Content-Length: 45\r\n\
          Retry-After: 5\r\n\
          Connection: close\r\n\
          \r\n\
          503 Too many connections; try again shortly.\n"
    }
}
