//! HTTP/1.1 origin server for a share (RFC 9110, RFC 9112).
//!
//! ```text
//!            ┌────────── idle: no buffer, a few hundred bytes ◄────────┐
//!            ▼ input                                                   │
//!   session: read ─► ready bytes in this core's cache? ── yes ─► send ─┤   no allocation,
//!            │                                                         │   no thread, one send
//!            no                                                        │
//!            ▼                                                         │
//!   session: whole head ─► ask ─► visit ─► answer ─┬──────────────► reply ─► body
//!                              (on the pool)       └► intake ──────┘  (head, then sendfile
//!                                                    (body, to the pool)         or pieces)
//! ```
//!
//! A request becomes an `Ask`, a value; who asks, a `Visit` with the view of
//! that visitor; `answer` makes of both a `Reply`, another value, or an
//! `Intake` that makes one of the body. Only `session` knows of sockets and
//! time.
//!
//! Not here: applications.

mod answer;
mod ask;
mod body;
mod change;
mod condition;
mod content;
mod date;
mod file;
mod folder;
mod intake;
mod origin;
mod own;
mod ready;
mod reply;
mod session;
mod tus;
mod visit;

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use hythe_net::{Addr, Connection, Failure, Handler};

use super::log;
use crate::accounts::Gate;
use crate::share::View;
use crate::tls::Acceptor;

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

/// Serves a share over HTTP, or HTTPS.
#[derive(Clone, Debug)]
pub struct Http {
    site: Arc<Site>,
    tls: Option<Acceptor>,
}

/// What all sessions of one handler share.
#[derive(Debug)]
struct Site {
    /// Tells the entries of several sites apart in one thread's cache.
    id: u32,
    /// Through which all visitors come.
    gate: Gate,
    /// What a visitor without an account sees, whoever it is.
    strangers: View,
    config: HttpConfig,
    /// How often something was changed here: whoever has changed a file sees
    /// so at once, on whichever thread.
    changes: AtomicU64,
}

impl Http {
    /// A handler that lets visitors in by this gate.
    pub fn new(gate: Gate, config: HttpConfig) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        let strangers = gate.stranger("http", &Addr::unnamed());
        Self {
            site: Arc::new(Site {
                id,
                gate,
                strangers,
                config,
                changes: AtomicU64::new(0),
            }),
            tls: None,
        }
    }

    /// A handler of the same site over TLS.
    pub fn over_tls(&self, acceptor: Acceptor) -> Self {
        Self {
            site: Arc::clone(&self.site),
            tls: Some(acceptor),
        }
    }
}

impl Handler for Http {
    fn handle(&self, connection: Connection) -> impl Future<Output = io::Result<()>> {
        session::serve(Arc::clone(&self.site), connection, self.tls.clone())
    }

    fn failed(&self, peer: Option<&Addr>, failure: &Failure) {
        log::failed("http", peer, failure);
    }

    fn busy(&self) -> &'static [u8] {
        if self.tls.is_some() {
            // It could be told so after a handshake only, which costs more than
            // the place that it does not get.
            return b"";
        }
        b"HTTP/1.1 503 Service Unavailable\r\n\
          Content-Type: text/plain\r\n\
          Content-Length: 45\r\n\
          Retry-After: 5\r\n\
          Connection: close\r\n\
          \r\n\
          503 Too many connections; try again shortly.\n"
    }
}
