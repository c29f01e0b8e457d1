//! `hythe serve`: shares a folder, or one file.

use std::ffi::OsString;
use std::io;
use std::net::Ipv4Addr;
use std::ops::RangeInclusive;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use clap::ValueEnum;
use clap::builder::BoolishValueParser;
use hythe_net::{Addr, Handler, Limits, Model, MuxKind, Patience, Server};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;
use signal_hook::low_level::pipe;

use super::announce::{Listening, announce};
use super::failure::{Exit, Failure, cause};
use super::logging::{self, Log};
use super::mounts::Mounts;
use super::people::People;
use super::programs::{self, Writers};
use super::proxies;
use super::tls::{self, Tls};
use crate::accounts::{Books, Gate};
use crate::http::{Http, Site, SiteConfig};
use crate::quantity::{parse_size, parse_span};
use crate::serve::ftp::{Ftp, FtpConfig};
use crate::serve::gopher::Gopher;
use crate::share::{Access, Durability, Rules, Share};

/// Share a folder, or one file, over HTTP, FTP and Gopher at once
///
/// Opens PATH to browsers, curl, FTP and Gopher clients until it is
/// interrupted. Without further options only this machine can connect; to share
/// on the network, add `--bind 0.0.0.0` (or `--bind ::` for IPv6 as well).
///
/// With a certificate (`--tls-cert`, or `--tls-self-signed`) there is HTTPS, and
/// TLS for FTP clients that ask for it.
///
/// Visitors may read. With `--allow upload` they may add files too, and with
/// `--user` or `--accounts` those may who have a name and a password.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// What to share
    #[arg(default_value = ".", value_name = "PATH")]
    path: PathBuf,

    /// Where to serve HTTP: a port, HOST:PORT, or `off`; port 0 picks a free one
    #[arg(
        long,
        env = "HYTHE_HTTP",
        default_value = "8000",
        value_name = "[HOST:]PORT",
        help_heading = "Where to listen"
    )]
    http: Listen,

    /// Where to serve FTP
    #[arg(
        long,
        env = "HYTHE_FTP",
        default_value = "2121",
        value_name = "[HOST:]PORT",
        help_heading = "Where to listen"
    )]
    ftp: Listen,

    /// Where to serve Gopher
    #[arg(
        long,
        env = "HYTHE_GOPHER",
        default_value = "7070",
        value_name = "[HOST:]PORT",
        help_heading = "Where to listen"
    )]
    gopher: Listen,

    /// Host for ports given without one; `0.0.0.0` or `::` for the network
    #[arg(
        short,
        long,
        env = "HYTHE_BIND",
        default_value = "127.0.0.1",
        value_name = "HOST",
        help_heading = "Where to listen"
    )]
    bind: String,

    /// Ports for passive FTP data connections [default: any free port]
    #[arg(long, env = "HYTHE_PASSIVE_PORTS", value_name = "A-B", value_parser = parse_ports,
          help_heading = "Where to listen")]
    passive_ports: Option<RangeInclusive<u16>>,

    /// The IPv4 address that FTP clients are told to open data connections to,
    /// where a router translates addresses [default: the one they came to]
    #[arg(
        long,
        env = "HYTHE_PASSIVE_ADDRESS",
        value_name = "ADDRESS",
        help_heading = "Where to listen"
    )]
    passive_address: Option<Ipv4Addr>,

    #[command(flatten)]
    tls: tls::Args,

    /// What a visitor without an account may do
    #[arg(
        long,
        env = "HYTHE_ALLOW",
        default_value = "read",
        help_heading = "Who may come in"
    )]
    allow: Allow,

    /// An account for this run, with the role read, upload, write or admin
    /// [default role: write]; may be repeated
    ///
    /// Others on this machine can see the arguments of programs:
    /// NAME:@FILE[:ROLE] reads the password from a file, without the newline at
    /// its end. What follows the last colon is the role if it is the name of
    /// one, and else belongs to the password; a password that ends like that
    /// needs its role behind it.
    #[arg(
        long,
        env = "HYTHE_USER",
        hide_env_values = true,
        hide_default_value = true,
        value_name = "NAME:PASSWORD[:ROLE]",
        help_heading = "Who may come in"
    )]
    user: Vec<OsString>,

    /// The file that accounts are kept in, made when missing; see `hythe user`
    #[arg(
        long,
        env = "HYTHE_ACCOUNTS",
        value_name = "FILE",
        help_heading = "Who may come in"
    )]
    accounts: Option<PathBuf>,

    /// Let visitors make accounts for themselves, which may do this; needs
    /// --accounts
    #[arg(
        long,
        env = "HYTHE_REGISTER",
        default_value = "none",
        value_name = "ROLE",
        help_heading = "Who may come in"
    )]
    register: Allow,

    /// How much each account may store that a visitor has made: bytes, or with
    /// K, M, G or T; needs --register [default: no limit]
    #[arg(long, env = "HYTHE_REGISTER_QUOTA", value_name = "SIZE", value_parser = parse_size,
          help_heading = "Who may come in")]
    register_quota: Option<u64>,

    /// What is written to the disk at once, to survive a power cut
    #[arg(
        long,
        env = "HYTHE_DURABILITY",
        default_value = "complete",
        value_name = "WHEN",
        help_heading = "What to take in"
    )]
    durability: Sync,

    /// The largest file that may be uploaded: bytes, or with K, M, G or T
    /// [default: no limit]
    #[arg(long, env = "HYTHE_MAX_UPLOAD", value_name = "SIZE", value_parser = parse_size,
          help_heading = "What to take in")]
    max_upload: Option<u64>,

    /// How long an unfinished upload is kept to be continued: seconds, or with
    /// m, h or d
    #[arg(long, env = "HYTHE_UPLOAD_EXPIRY", default_value = "7d", value_name = "TIME",
          value_parser = parse_span, help_heading = "What to take in")]
    upload_expiry: u64,

    #[command(flatten)]
    proxies: proxies::Args,

    /// Show a folder's index.html in place of the folder
    #[arg(long, env = "HYTHE_INDEX", value_parser = BoolishValueParser::new(),
          help_heading = "What to show")]
    index: bool,

    /// Let pages and drawings in the share run their scripts in visitors'
    /// browsers: only if you trust every file
    #[arg(long, env = "HYTHE_TRUST_CONTENT", value_parser = BoolishValueParser::new(),
          help_heading = "What to show")]
    trust_content: bool,

    #[command(flatten)]
    programs: programs::Args,

    /// Who runs the sessions
    #[arg(
        long,
        env = "HYTHE_MODEL",
        default_value = "cores",
        help_heading = "How to serve"
    )]
    model: ModelName,

    /// How event loops wait [default: epoll-edge]
    #[arg(long, env = "HYTHE_MUX", help_heading = "How to serve")]
    mux: Option<MuxName>,

    /// Connections at one time, beyond which visitors are told to come back
    #[arg(long, env = "HYTHE_MAX_CONNECTIONS", default_value = "4096", value_name = "N",
          value_parser = parse_count, help_heading = "How to serve")]
    max_connections: usize,

    /// Connections of one address at one time
    #[arg(long, env = "HYTHE_MAX_PER_ADDRESS", default_value = "256", value_name = "N",
          value_parser = parse_count, help_heading = "How to serve")]
    max_per_address: usize,

    /// A connection without progress for this long is closed
    #[arg(long, env = "HYTHE_IDLE", default_value = "300", value_name = "SECONDS",
          value_parser = clap::value_parser!(u32).range(1..), help_heading = "How to serve")]
    idle: u32,

    /// How long running downloads may go on after Ctrl-C; a second one stops
    /// at once
    #[arg(
        long,
        env = "HYTHE_DRAIN",
        default_value = "60",
        value_name = "SECONDS",
        help_heading = "How to serve"
    )]
    drain: u32,

    /// Access and event log on standard error
    #[arg(
        long,
        env = "HYTHE_LOG",
        default_value = "text",
        help_heading = "How to serve"
    )]
    log: Log,
}

/// Where a protocol listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Listen {
    Off,
    At { host: Option<String>, port: u16 },
}

impl FromStr for Listen {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "off" {
            return Ok(Self::Off);
        }
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) => (Some(host.to_owned()), port),
            None => (None, text),
        };
        let port = port.parse().map_err(|_| {
            format!("`{port}` is not a port (0 to 65535); give PORT, HOST:PORT or `off`")
        })?;
        match host.as_deref() {
            Some("") => Err("a host is missing before the colon".into()),
            _ => Ok(Self::At { host, port }),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
enum Allow {
    /// Nothing
    None,
    /// List folders and read files
    Read,
    /// Also put new files and folders there
    Upload,
    /// Also overwrite, rename and delete
    Write,
}

impl Allow {
    fn access(self) -> Access {
        match self {
            Self::None => Access::None,
            Self::Read => Access::Read,
            Self::Upload => Access::Upload,
            Self::Write => Access::Write,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Sync {
    /// Nothing: the kernel writes when it gets round to it
    None,
    /// Each file before it appears under its name
    Complete,
    /// Also each piece of an upload before it is acknowledged
    Every,
}

impl Sync {
    fn durability(self) -> Durability {
        match self {
            Self::None => Durability::None,
            Self::Complete => Durability::Complete,
            Self::Every => Durability::Every,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum ModelName {
    /// One connection after another
    Sequential,
    /// A thread per connection
    Threads,
    /// A process per connection, each with the budgets that otherwise all share
    Forks,
    /// One event loop
    Events,
    /// An event loop per core
    Cores,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum MuxName {
    /// select(2), for up to several hundred connections
    Select,
    /// poll(2)
    Poll,
    /// epoll(7), level-triggered
    EpollLevel,
    /// epoll(7), edge-triggered
    EpollEdge,
}

fn parse_ports(text: &str) -> Result<RangeInclusive<u16>, String> {
    let parsed = text.split_once('-').and_then(|(from, to)| {
        let (from, to) = (from.trim().parse().ok()?, to.trim().parse().ok()?);
        (0 < from && from <= to).then_some(from..=to)
    });
    parsed.ok_or_else(|| "give two ports from 1 to 65535, the lower first: 50000-50100".into())
}

pub(super) fn parse_count(text: &str) -> Result<usize, String> {
    text.parse()
        .ok()
        .filter(|&count| count > 0)
        .ok_or_else(|| "give a number from 1 on".into())
}

impl Args {
    fn model(&self) -> Result<Model, Failure> {
        let mux = match self.mux {
            Some(MuxName::Select) => MuxKind::Select,
            Some(MuxName::Poll) => MuxKind::Poll,
            Some(MuxName::EpollLevel) => MuxKind::EpollLevel,
            Some(MuxName::EpollEdge) | None => MuxKind::EpollEdge,
        };
        match self.model {
            ModelName::Sequential | ModelName::Threads | ModelName::Forks if self.mux.is_some() => {
                let text = "--mux is for --model events and cores; leave it out, or choose one";
                Err(Failure::new(Exit::Usage, text))
            }
            ModelName::Sequential => Ok(Model::Sequential),
            // One place more than visitors, for whoever is told that there are
            // too many: those without a place wait and are told nothing.
            ModelName::Threads => Ok(Model::Threads {
                max: self.max_connections.saturating_add(1),
            }),
            ModelName::Forks => Ok(Model::Forks {
                max: self.max_connections.saturating_add(1),
            }),
            ModelName::Events => Ok(Model::Events { mux }),
            ModelName::Cores => match Model::cores() {
                Model::Cores { count, .. } => Ok(Model::Cores { count, mux }),
                other => Ok(other),
            },
        }
    }

    fn limits(&self) -> Limits {
        let idle = Duration::from_secs(self.idle.into());
        Limits {
            max: self.max_connections,
            max_per_address: self.max_per_address,
            patience: Patience::new(idle),
            drain: Duration::from_secs(self.drain.into()),
            ..Limits::default()
        }
    }

    fn gate(&self) -> Result<Gate, Failure> {
        let share = Share::open(&self.path).map_err(|error| {
            let text = match error.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied => {
                    format!("cannot share {}: {}", self.path.display(), cause(&error))
                }
                _ => error.to_string(),
            };
            Failure::new(Exit::of(&error), text)
        })?;
        if share.is_one_file() && self.allow > Allow::Read {
            let text = "nothing can be put beside a single file; share its folder, \
                        or leave out --allow";
            return Err(Failure::new(Exit::Usage, text));
        }
        let accounts = self.people().accounts()?;
        self.programs.check_writers(&Writers {
            strangers: self.allow.access(),
            registered: self.register.access(),
            accounts: accounts.as_ref(),
        })?;
        let rules = self.rules()?;
        let share = match &accounts {
            Some(accounts) => {
                let ledger = Arc::new(Books::new(accounts.clone(), share.clone()));
                share.with_rules(Rules { ledger, ..rules })
            }
            None => share.with_rules(rules),
        };
        if let Err(error) = share.sweep() {
            tracing::warn!(%error, "cannot remove what interrupted uploads have left behind");
        }
        let gate = Gate::new(share, self.allow.access());
        Ok(match accounts {
            Some(accounts) => {
                if self.model == ModelName::Forks {
                    accounts.before_forks();
                }
                gate.with_accounts(accounts, self.register.access())
                    .with_register_quota(self.register_quota)
            }
            None => gate,
        })
    }

    fn people(&self) -> People<'_> {
        People {
            users: &self.user,
            file: self.accounts.as_deref(),
            register: self.register.access(),
            register_quota: self.register_quota,
            shared: &self.path,
        }
    }

    fn rules(&self) -> Result<Rules, Failure> {
        Ok(Rules {
            durability: self.durability.durability(),
            max_upload: self.max_upload,
            upload_expiry: Duration::from_secs(self.upload_expiry),
            programs: self.programs.endings()?,
            ..Rules::default()
        })
    }

    /// A server that listens wherever it was told to, with the names of the
    /// protocols in the order of its addresses.
    fn server(&self, gate: &Gate, tls: Option<&Tls>) -> Result<Listeners<'_>, Failure> {
        let config = SiteConfig {
            index: self.index,
            trust_content: self.trust_content,
            short_lived_threads: matches!(self.model, ModelName::Threads | ModelName::Forks),
        };
        let site = Site::new(gate.clone(), config);
        let mounts = self.proxies.mount(Mounts::new())?;
        let http = Http::new(self.programs.router(mounts, site, &self.path)?);
        let config = FtpConfig {
            passive_ports: self.passive_ports.clone(),
            passive_address: self.passive_address,
            patience: self.limits().patience,
            tls_required: self.tls.ftp_required(),
            tls_session_required: self.tls.ftp_session_required(),
            ..FtpConfig::default()
        };
        let ftp = Ftp::new(gate.clone(), config);
        let gopher = Gopher::new(gate.clone(), None);
        let listeners = Listeners {
            args: self,
            server: Server::new(self.model()?).limits(self.limits()),
            protocols: Vec::new(),
        };
        let listeners = listeners.add("http", &self.http, http.clone())?;
        let listeners = match tls {
            Some(tls) => {
                let acceptor = tls.acceptor("ftp")?;
                let https = http.over_tls(tls.acceptor("http/1.1")?);
                listeners
                    .add("https", &tls.https, https)?
                    .add("ftp", &self.ftp, ftp.clone().with_tls(acceptor.clone()))?
                    .add("ftps", &tls.ftps, ftp.over_tls(acceptor))?
            }
            None => listeners.add("ftp", &self.ftp, ftp)?,
        };
        let listeners = listeners.add("gopher", &self.gopher, gopher)?;
        let beside = self
            .programs
            .first_flag()
            .or_else(|| self.proxies.first_flag());
        let mut protocols = listeners.protocols.iter();
        if let Some(flag) = beside
            && !protocols.any(|protocol| protocol.starts_with("http"))
        {
            let text = format!("{flag} is for HTTP, which is off; leave out --http off, or {flag}");
            return Err(Failure::new(Exit::Usage, text));
        }
        if listeners.protocols.is_empty() {
            let text = "nothing to serve: http, ftp and gopher are all off; turn one on";
            return Err(Failure::new(Exit::Usage, text));
        }
        Ok(listeners)
    }

    fn resolve(&self, flag: &str, listen: &Listen) -> Result<Option<Addr>, Failure> {
        let Listen::At { host, port } = listen else {
            return Ok(None);
        };
        let host = host.as_deref().unwrap_or(&self.bind);
        let bare_ipv6 = host.contains(':') && !host.starts_with('[');
        let text = if bare_ipv6 {
            format!("[{host}]:{port}")
        } else {
            format!("{host}:{port}")
        };
        let found = Addr::resolve(&text).map_err(|error| {
            let text = format!("cannot listen for {flag} on {text}: {}", cause(&error));
            Failure::new(Exit::Other, text)
        })?;
        Ok(found.into_iter().next())
    }
}

/// A server in the making, with the names of the protocols in the order of its
/// addresses.
struct Listeners<'a> {
    args: &'a Args,
    server: Server,
    protocols: Vec<&'static str>,
}

impl Listeners<'_> {
    /// Has a protocol served, unless it is off.
    fn add(
        mut self,
        protocol: &'static str,
        listen: &Listen,
        handler: impl Handler,
    ) -> Result<Self, Failure> {
        if let Some(address) = self.args.resolve(protocol, listen)? {
            let listening = self.server.listen(&address, handler);
            self.server = listening.map_err(taken(protocol, listen, &address))?;
            self.protocols.push(protocol);
        }
        Ok(self)
    }
}

/// What to say when an address can't be listened on.
fn taken(flag: &'static str, listen: &Listen, address: &Addr) -> impl FnOnce(io::Error) -> Failure {
    let address = address.clone();
    let host = match listen {
        Listen::At {
            host: Some(host), ..
        } => format!("{host}:"),
        _ => String::new(),
    };
    move |error| {
        let port = address.port().unwrap_or_default();
        let way_out = match error.kind() {
            io::ErrorKind::AddrInUse => {
                let next = port.checked_add(1).unwrap_or(8000);
                format!("; try --{flag} {host}{next}, or --{flag} {host}0 for any free port")
            }
            io::ErrorKind::PermissionDenied if port < 1024 => {
                format!(
                    "; ports below 1024 are for root; try --{flag} {host}{}",
                    port + 8000
                )
            }
            io::ErrorKind::AddrNotAvailable => "; see `ip address` for those it has".into(),
            _ => String::new(),
        };
        let text = format!("cannot listen on {address}: {}{way_out}", cause(&error));
        Failure::new(Exit::of(&error), text)
    }
}

/// Serves until interrupted.
pub(super) fn run(args: Args) -> Result<(), Failure> {
    // Before processes are forked there must be no thread but this one.
    let _log = logging::start(args.log, args.model != ModelName::Forks);
    hythe_net::raise_descriptor_limit().ok();
    let gate = args.gate()?;
    let tls = args.tls.tls(&args.path)?;
    let Listeners {
        server, protocols, ..
    } = args.server(&gate, tls.as_ref())?;
    let failed = |error: io::Error| Failure::new(Exit::Other, cause(&error));
    let mut server = server.stop_on(signals().map_err(failed)?);
    if let Some(tls) = &tls {
        server = tls.reload_on_hangup(server)?;
    }
    let listening: Vec<Listening> = protocols
        .into_iter()
        .zip(server.addresses())
        .map(|(protocol, address)| Listening { protocol, address })
        .collect();
    announce(&listening, args.allow.access(), args.log);
    if let Some(tls) = &tls {
        tracing::info!(
            fingerprint = tls.fingerprint(),
            "TLS is on; SHA-256 of the certificate"
        );
    }
    let served = server.serve().map_err(failed);
    if let Some(accounts) = gate.accounts() {
        // A thread of the pool may hold them until the program has ended.
        accounts.remove_temporary();
    }
    served
}

/// What becomes readable at the first SIGINT or SIGTERM, which lets running
/// replies finish; a second one stops at once. No thread waits for them.
fn signals() -> io::Result<UnixStream> {
    let (reading, writing) = UnixStream::pair()?;
    let asked = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        // In this order: what the second does is decided by the first.
        flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(&asked))?;
        flag::register(signal, Arc::clone(&asked))?;
        pipe::register(signal, writing.try_clone()?)?;
    }
    Ok(reading)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listeners_are_ports_with_or_without_a_host_or_off() {
        let at = |host: Option<&str>, port| Listen::At {
            host: host.map(Into::into),
            port,
        };
        assert_eq!("off".parse(), Ok(Listen::Off));
        assert_eq!("8000".parse(), Ok(at(None, 8000)));
        assert_eq!("0.0.0.0:0".parse(), Ok(at(Some("0.0.0.0"), 0)));
        assert_eq!("[::1]:80".parse(), Ok(at(Some("[::1]"), 80)));
        for wrong in ["", "on", "65536", "-1", ":80", "localhost", "localhost:"] {
            assert!(wrong.parse::<Listen>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn passive_ports_are_a_range_that_has_some() {
        assert_eq!(parse_ports("50000-50100"), Ok(50000..=50100));
        assert_eq!(parse_ports("7-7"), Ok(7..=7));
        for wrong in ["", "5", "0-5", "6-5", "1-65536", "a-b"] {
            assert!(parse_ports(wrong).is_err(), "{wrong}");
        }
    }
}
