//! TLS under every protocol: who we are, and streams that can be encrypted.
//!
//! ```text
//!   files, or a certificate of our own ─► Identity ── reload ──┐
//!                                            │                 │ (SIGHUP)
//!        Acceptor (one a protocol, its ALPN) ◄─────────────────┘
//!            │
//!   Stream ─► Channel::plain ── accept ─► Channel, encrypted
//!                            └─ connect ──┘  (Connector: whom a client trusts)
//! ```
//!
//! rustls is sans-I/O: it turns bytes into bytes, as our own codecs do, and
//! [`Channel`] is what waits. A session talks to a `Channel` and need not know
//! which kind it is; one may become encrypted in the middle, as FTP's do.
//!
//! Not here: which protocol wants TLS when.

mod channel;
mod connector;
mod identity;
mod self_signed;

use std::fmt;
use std::io;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::ring::{Ticketer, default_provider};
use rustls::server::{NoServerSessionStorage, ServerSessionMemoryCache};
use rustls::version::TLS13;

pub use channel::{Channel, HANDSHAKE};
pub use connector::{Connector, Trust};
pub use identity::Identity;
pub use self_signed::SelfSigned;

/// How many sessions are kept for one that is [apart](Acceptor::apart): that of
/// a control connection, and of data connections that did not resume it.
const SESSIONS: usize = 8;

/// The server's side of TLS for one protocol.
///
/// A client that names protocols (ALPN, RFC 7301) must name this one, or its
/// handshake fails: a browser that was tricked into talking to another port
/// than it thinks gets nowhere (ALPACA). Tickets to resume a session are
/// accepted by the protocol only that gave them out.
#[derive(Clone)]
pub struct Acceptor {
    config: Arc<ServerConfig>,
}

impl Acceptor {
    /// TLS 1.2 and 1.3 with this identity for the protocol of this ALPN name,
    /// such as `http/1.1` or `ftp`; for whatever the client speaks without one.
    ///
    /// # Errors
    /// Where there is no randomness to be had.
    pub fn new(identity: &Identity, protocol: Option<&'static str>) -> io::Result<Self> {
        let mut config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(identity.clone()));
        config.alpn_protocols = protocol.map(|name| name.into()).into_iter().collect();
        // Nothing is kept here for a session to be resumed: tickets are enough,
        // and nobody can crowd out the sessions of others.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.ticketer = Ticketer::new().map_err(io::Error::other)?;
        Ok(Self {
            config: Arc::new(config),
        })
    }

    /// TLS 1.3 by a certificate that is made for this once and tells nothing of who
    /// shows it: for two who make sure of each other in another way.
    ///
    /// # Errors
    /// Where there is no randomness to be had.
    pub fn anonymous() -> io::Result<Self> {
        let (certificate, key) = self_signed::momentary()?;
        let mut config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_protocol_versions(&[&TLS13])
            .and_then(|config| {
                config
                    .with_no_client_auth()
                    .with_single_cert(vec![certificate], key)
            })
            .map_err(io::Error::other)?;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(Self {
            config: Arc::new(config),
        })
    }

    /// The same with tickets and kept sessions of its own: a session that is
    /// [resumed](Channel::is_resumed) by this one has begun with it.
    ///
    /// # Errors
    /// Where there is no randomness to be had.
    pub fn apart(&self) -> io::Result<Self> {
        let mut config = (*self.config).clone();
        config.ticketer = Ticketer::new().map_err(io::Error::other)?;
        // For clients of TLS 1.2 that want no tickets, as curl does.
        config.session_storage = ServerSessionMemoryCache::new(SESSIONS);
        Ok(Self {
            config: Arc::new(config),
        })
    }

    /// The same, but gives out no tickets (TLS 1.3; its 1.2 has them in the
    /// handshake): for connections on which the client only sends. It would
    /// close them with the tickets unread, and a kernel that is asked to close a
    /// connection with something unread resets it and throws away what is still
    /// to be sent.
    pub fn without_tickets(&self) -> Self {
        let mut config = (*self.config).clone();
        config.send_tls13_tickets = 0;
        Self {
            config: Arc::new(config),
        }
    }
}

impl fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Acceptor").finish_non_exhaustive()
    }
}
