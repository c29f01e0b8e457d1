//! FTP server for a share (RFC 959, 1123, 2228, 2389, 2428, 3659, 4217, 7151).
//!
//! ```text
//!  greeted ── USER ──► named ── PASS ──► logged in ── QUIT, timeout, stop ──► closed
//!     ▲                  │ 530               │
//!     └──────────────────┴──────── REIN ─────┘
//!
//!  bytes ─► Control ─ line ─► Session ─ reply ─► Control ─► bytes
//!              ▲                 │
//!              │ listens         └ Next::Transfer ─► 150 ─► Data: accept or connect ─► body
//!              └──── meanwhile ───────────┘                          │
//!                                             226 425 426 451 ◄──────┘
//! ```
//!
//! `session` holds the state and the table of commands; what they do is in
//! `coming` (people and their accounts), `secure` (TLS), `files` (what looks at
//! the share), `change` (what changes it), `digest` (checksums), `settings` (how
//! the next transfer is to go) and `tell` (the rest); `transfer` is what happens
//! between 150 and the reply that ends it, and `intake` where what comes in goes.
//!
//! Not here: TLS itself, which is a [`Channel`](crate::tls::Channel) under the
//! session.
//!
//! ```
//! use hythe::accounts::Gate;
//! use hythe::serve::ftp::{Ftp, FtpConfig};
//! use hythe::share::{Access, Share};
//! use hythe_net::{Model, Server};
//! use std::io::{BufRead, BufReader, Write};
//!
//! # fn main() -> std::io::Result<()> {
//! let gate = Gate::new(Share::open(".".as_ref())?, Access::Read);
//! let server = Server::new(Model::Threads { max: 10 })
//!     .listen(&"127.0.0.1:0".parse()?, Ftp::new(gate, FtpConfig::default()))?;
//! let (address, shutdown) = (server.addresses()[0].to_string(), server.shutdown());
//! let running = std::thread::spawn(move || server.serve());
//!
//! let mut client = std::net::TcpStream::connect(address)?;
//! client.write_all(b"USER anonymous\r\nPASS me@\r\nPWD\r\nQUIT\r\n")?;
//! let replies: Vec<String> = BufReader::new(client).lines().collect::<Result<_, _>>()?;
//! let codes: Vec<&str> = replies.iter().map(|reply| &reply[..3]).collect();
//! assert_eq!(codes, ["220", "331", "230", "257", "221"]);
//! # shutdown.stop();
//! # running.join().expect("the server does not panic")
//! # }
//! ```

mod ascii;
mod change;
mod coming;
mod control;
mod data;
mod digest;
mod files;
mod intake;
mod listing;
mod secure;
mod session;
mod settings;
mod tell;
mod transfer;

use std::future::Future;
use std::io;
use std::net::Ipv4Addr;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use hythe_net::reactor::unblock;
use hythe_net::{Addr, Connection, Failure, Handler, Patience};

use hythe_wire::ftp::Error;

use super::log;
use crate::accounts::{Denied, Gate, Standing};
use crate::share::{Access, View};
use crate::tls::Acceptor;
use session::refusal;

/// How long a client may take to open the data connection, or to let it be
/// opened: long enough for a lost packet and a slow firewall, and shorter than
/// people wait.
pub const DATA_DEADLINE: Duration = Duration::from_secs(30);

/// As logs have it.
const PROTOCOL: &str = "ftp";

const INCORRECT: Error = refusal(530, "Login incorrect.");

/// Choices of the operator.
#[derive(Clone, Debug)]
pub struct FtpConfig {
    /// The ports on which clients are awaited, as a firewall lets them through;
    /// any free port if there is no such range.
    pub passive_ports: Option<RangeInclusive<u16>>,
    /// How long a data connection may go without progress: the same that the
    /// server allows its own connections.
    pub patience: Patience,
    /// How long the data connection may take to come about.
    pub data_deadline: Duration,
    /// The IPv4 address that PASV tells clients to connect to, where a router
    /// translates addresses (NAT); else that of the control connection.
    pub passive_address: Option<Ipv4Addr>,
    /// Whether nobody may log in, and no data be moved, in the clear.
    pub tls_required: bool,
    /// Whether a data connection must resume the TLS session of its control
    /// connection, which proves that it is the same client; then no data is moved
    /// in the clear either. Some clients can't.
    pub tls_session_required: bool,
}

impl Default for FtpConfig {
    fn default() -> Self {
        Self {
            passive_ports: None,
            patience: Patience::default(),
            data_deadline: DATA_DEADLINE,
            passive_address: None,
            tls_required: false,
            tls_session_required: false,
        }
    }
}

impl FtpConfig {
    /// Whether no data may be moved in the clear.
    fn private_data(&self) -> bool {
        self.tls_required || self.tls_session_required
    }
}

/// Serves a share over FTP.
#[derive(Clone, Debug)]
pub struct Ftp {
    gate: Gate,
    config: FtpConfig,
    tls: Option<Acceptor>,
    /// Whether TLS begins with the connection.
    implicit: bool,
    /// How many checksums are being made.
    digests: Arc<AtomicUsize>,
}

impl Ftp {
    /// A handler that lets visitors in by this gate; those without an account
    /// log in as `anonymous` or `ftp`.
    pub fn new(gate: Gate, config: FtpConfig) -> Self {
        Self {
            gate,
            config,
            tls: None,
            implicit: false,
            digests: Arc::default(),
        }
    }

    /// The handler with TLS for those who ask for it (explicit FTPS, RFC 4217).
    pub fn with_tls(self, acceptor: Acceptor) -> Self {
        Self {
            tls: Some(acceptor),
            ..self
        }
    }

    /// The handler with TLS from the first byte on, for a port of its own
    /// (implicit FTPS).
    pub fn over_tls(self, acceptor: Acceptor) -> Self {
        Self {
            tls: Some(acceptor),
            implicit: true,
            ..self
        }
    }

    /// What this user may see: the one place where names and passwords are
    /// looked at.
    async fn log_in(
        &self,
        user: &[u8],
        password: &[u8],
        peer: &Addr,
    ) -> Result<(View, Option<Standing>), Error> {
        if user.eq_ignore_ascii_case(b"anonymous") || user.eq_ignore_ascii_case(b"ftp") {
            let view = self.gate.stranger(PROTOCOL, peer);
            return match view.access() {
                Access::None => Err(refusal(530, "Nothing here is for anonymous visitors.")),
                _ => Ok((view, None)),
            };
        }
        let (gate, peer) = (self.gate.clone(), peer.clone());
        let (user, password) = (user.to_vec(), password.to_vec());
        unblock(move || let_in(&gate, &user, &password, &peer)).await
    }
}

/// Signs in and opens the account's home, which blocks.
fn let_in(
    gate: &Gate,
    user: &[u8],
    password: &[u8],
    peer: &Addr,
) -> Result<(View, Option<Standing>), Error> {
    let accounts = gate.accounts().ok_or(INCORRECT)?;
    let account =
        accounts
            .sign_in(user, password, peer, PROTOCOL)
            .map_err(|denied| match denied {
                Denied::Wrong => INCORRECT,
                denied => busy(&denied),
            })?;
    let standing = accounts
        .standing(&account.name)
        .map_err(|error| busy(&Denied::Broken(error)))?;
    let view = gate.view(&account, PROTOCOL, peer).map_err(|error| {
        tracing::error!(account = &*account.name, home = %account.home, %error, "cannot open a home");
        refusal(530, "Your home folder cannot be opened; ask the operator.")
    })?;
    Ok((view, standing))
}

/// What a client is told that can't be let in now, whoever it is.
fn busy(denied: &Denied) -> Error {
    match denied {
        Denied::Wrong => INCORRECT,
        Denied::Throttled(_) => refusal(421, "Too many failed logins; try again in a minute."),
        Denied::Busy => refusal(421, "Too many log in at this moment; try again shortly."),
        Denied::Broken(error) => {
            tracing::error!(%error, "cannot use the accounts");
            refusal(421, "Accounts cannot be used now; try again later.")
        }
    }
}

impl Handler for Ftp {
    fn handle(&self, connection: Connection) -> impl Future<Output = io::Result<()>> {
        session::serve(self, connection)
    }

    fn failed(&self, peer: Option<&Addr>, failure: &Failure) {
        log::failed("ftp", peer, failure);
    }

    fn busy(&self) -> &'static [u8] {
        if self.implicit {
            return b""; // it could be read after a handshake only
        }
        b"421 Too many connections, try again later.\r\n"
    }
}
