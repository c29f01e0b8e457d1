//! FTP server for a share (RFC 959, 1123, 2389, 2428, 3659, 7151), read side.
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
//! `files` (what looks at the share), `settings` (how the next transfer is
//! to go) and `tell` (the rest); `transfer` is what happens between 150 and
//! the reply that ends it.
//!
//! Not here: writing, accounts, and TLS.
//!
//! ```
//! use hythe::serve::ftp::{Ftp, FtpConfig};
//! use hythe::share::{Access, Share};
//! use hythe_net::{Model, Server};
//! use std::io::{BufRead, BufReader, Write};
//!
//! # fn main() -> std::io::Result<()> {
//! let view = Share::open(".".as_ref())?.view(Access::Read);
//! let server = Server::new(Model::Threads { max: 10 })
//!     .listen(&"127.0.0.1:0".parse()?, Ftp::new(view, FtpConfig::default()))?;
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
mod control;
mod data;
mod files;
mod listing;
mod session;
mod settings;
mod tell;
mod transfer;

use std::future::Future;
use std::io;
use std::ops::RangeInclusive;
use std::time::Duration;

use hythe_net::{Addr, Connection, Failure, Handler, Patience};

use super::log;
use crate::share::{Access, View};

/// How long a client may take to open the data connection, or to let it be
/// opened: long enough for a lost packet and a slow firewall, and shorter than
/// people wait.
pub const DATA_DEADLINE: Duration = Duration::from_secs(30);

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
}

impl Default for FtpConfig {
    fn default() -> Self {
        Self {
            passive_ports: None,
            patience: Patience::default(),
            data_deadline: DATA_DEADLINE,
        }
    }
}

/// Serves a view over FTP.
#[derive(Clone, Debug)]
pub struct Ftp {
    view: View,
    config: FtpConfig,
}

impl Ftp {
    /// A handler that shows this view to visitors who log in as `anonymous` or
    /// `ftp`.
    pub fn new(view: View, config: FtpConfig) -> Self {
        Self { view, config }
    }

    /// What this user may see, if it is that user: the one place where names
    /// and passwords are looked at.
    async fn log_in(&self, user: &[u8], _password: &[u8]) -> Option<View> {
        let anonymous =
            user.eq_ignore_ascii_case(b"anonymous") || user.eq_ignore_ascii_case(b"ftp");
        (anonymous && self.view.access() >= Access::Read).then(|| self.view.clone())
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
        b"421 Too many connections, try again later.\r\n"
    }
}
