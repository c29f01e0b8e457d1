//! A share as an HTTP application (RFC 9110): files, folders, uploads, accounts.
//!
//! ```text
//!   Site::ready: ready bytes in this core's cache? ── yes ─► sent as they are
//!        │ no
//!        ▼
//!   Site::call:  ask ─► visit ─► answer ─┬──────────────► reply ─► Response
//!                       (on the pool)    └► intake ──────┘
//!                                          (body, to the pool)
//! ```
//!
//! A request becomes an `Ask`, a value; who asks, a `Visit` with the view of
//! that visitor; `answer` makes of both a `Reply`, another value, or an
//! `Intake` that makes one of the body.
//!
//! Not here: connections, and how requests and responses come and go, which is
//! the business of [`crate::http`].

mod admit;
mod answer;
mod ask;
mod change;
mod condition;
mod content;
mod file;
mod folder;
mod intake;
mod own;
mod ready;
mod reply;
mod tus;
mod visit;

use std::borrow::Cow;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use hythe_net::{Addr, reactor};
use hythe_wire::http as wire;

use crate::accounts::Gate;
use crate::http::{IntoResponse as _, Ready, Request, Response, Service, date};
use crate::share::{Access, Share, View};
use answer::answer;
use ask::{Ask, Codings, Way};

pub(crate) use admit::without_sessions;

use ready::{Entry, Freshness, Key};
use reply::Reply;

/// Choices of the operator.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SiteConfig {
    /// Whether a folder's `index.html` is shown in place of the folder.
    pub index: bool,
    /// Whether pages and drawings in the share may run their scripts, as on a
    /// web site whose content is the operator's own.
    pub trust_content: bool,
    /// Whether threads or processes serve one connection and end: then it is of no use that
    /// each keeps small answers ready for the next.
    pub short_lived_threads: bool,
}

/// A share as a [`Service`]: what `hythe serve` shows, to be served as it is or
/// mounted on a [`Router`](crate::http::Router).
///
/// ```
/// use hythe::accounts::Gate;
/// use hythe::http::{Router, Site, SiteConfig};
/// use hythe::share::{Access, Share};
///
/// # fn main() -> std::io::Result<()> {
/// # let folder = tempfile::tempdir()?;
/// # let folder = folder.path();
/// let gate = Gate::new(Share::open(folder)?, Access::Read);
/// let router = Router::new().mount("/files", Site::new(gate, SiteConfig::default()));
/// # let _ = router;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct Site {
    shared: Arc<Shared>,
}

/// What all requests to one site share.
#[derive(Debug)]
struct Shared {
    /// Tells the entries of several sites apart in one thread's cache.
    id: u32,
    /// Through which all visitors come.
    gate: Gate,
    /// What a visitor without an account sees, whoever it is.
    strangers: View,
    config: SiteConfig,
    /// How often something was changed here: whoever has changed a file sees
    /// so at once, on whichever thread.
    changes: AtomicU64,
}

impl Site {
    /// A site that lets visitors in by this gate.
    pub fn new(gate: Gate, config: SiteConfig) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        let strangers = gate.stranger("http", &Addr::unnamed());
        Self {
            shared: Arc::new(Shared {
                id,
                gate,
                strangers,
                config,
                changes: AtomicU64::new(0),
            }),
        }
    }
}

impl Site {
    /// The files of a folder as a web site of one's own: read by everybody, with
    /// `index.html` in place of its folder, and with scripts that run. Folders without
    /// one are listed, and given out as archives, as by `hythe serve`.
    ///
    /// ```
    /// use hythe::http::{Router, Site};
    ///
    /// # fn main() -> std::io::Result<()> {
    /// # let folder = tempfile::tempdir()?;
    /// # let folder = folder.path();
    /// let router = Router::new().mount("/static", Site::files(folder)?);
    /// # let _ = router;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// The folder is not there, or may not be read.
    pub fn files(folder: impl AsRef<Path>) -> io::Result<Self> {
        let gate = Gate::new(Share::open(folder.as_ref())?, Access::Read);
        let config = SiteConfig {
            index: true,
            trust_content: true,
            ..SiteConfig::default()
        };
        Ok(Self::new(gate, config))
    }
}

impl Service for Site {
    async fn call(&self, mut request: Request) -> Response {
        let shared = &self.shared;
        let ask = Arc::new(Ask::of(&request, shared.way(&request)));
        let begun = shared.freshness();
        let (answering, asked) = (Arc::clone(shared), Arc::clone(&ask));
        let answered = request
            .body()
            .take_in(move || answer(&answering, &asked))
            .await;
        let mut reply = match answered {
            Ok(reply) => reply,
            Err(error) => return error.into_response(),
        };
        if !ask.method.is_safe() {
            shared.changes.fetch_add(1, Ordering::Release);
        }
        if shared.gate.accounts().is_some() {
            reply.depends_on_visitor(ask.has_credentials());
        }
        shared.keep(&ask, &request, reply, begun)
    }

    fn ready(&self, head: &wire::Request<'_, '_>, send: &mut dyn FnMut(Ready<'_>)) {
        if !ask::is_plain(head) {
            return;
        }
        let shared = &self.shared;
        let key = Key {
            site: shared.id,
            codings: Codings::of(head).bits(),
            path: head.target.path,
        };
        let with_body = head.method == wire::Method::Get;
        ready::with(key, &shared.strangers, shared.freshness(), |entry| {
            let body = if with_body { entry.body_length() } else { 0 };
            send(Ready {
                bytes: entry.bytes(with_body),
                status: entry.status,
                body: body as u64,
            });
        });
    }

    fn loggable<'t>(&self, target: &'t [u8]) -> Cow<'t, [u8]> {
        own::without_secrets(target)
    }
}

impl Shared {
    /// How it is known that what is found now is true now.
    fn freshness(&self) -> Freshness {
        Freshness {
            time: reactor::now(),
            changes: self.changes.load(Ordering::Acquire),
        }
    }

    fn way(&self, request: &Request) -> Way {
        // Asked of the kernel only where it names a cookie.
        let port = self.gate.accounts().and_then(|_| request.local()?.port());
        Way {
            peer: request.peer().clone(),
            port: port.unwrap_or_default(),
            tls: request.is_encrypted(),
        }
    }

    /// The response; and keeps an answer, which was begun at the time given, for
    /// whoever asks the same next.
    fn keep(&self, ask: &Ask, request: &Request, reply: Reply, begun: Freshness) -> Response {
        let (response, made_from) = reply.into_response();
        if !self.config.short_lived_threads
            && let Some(made_from) = made_from
            && let Some(entry) = Entry::of(&response, made_from, &date::now(), begun)
        {
            let target = request.target();
            let end = target.iter().position(|&byte| byte == b'?');
            ready::keep(
                Key {
                    site: self.id,
                    codings: ask.codings.bits(),
                    path: &target[..end.unwrap_or(target.len())],
                },
                entry,
            );
        }
        response
    }
}
