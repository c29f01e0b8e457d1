//! `hythe connect`: standard input and output to a socket.

use std::io::{self, IsTerminal as _};
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::BoolishValueParser;
use hythe_net::option::Broadcast;
use hythe_net::reactor::{timeout, unblock};
use hythe_net::{Addr, DatagramSocket, Kind, Socket, SocketFile, Stream, dial};

use super::failure::{Exit, Failure, cause};
use super::remote::{Ended as Work, run as run_on_reactor};
use super::sockets::{Conversation, NO_PATH, standard, unresolved, with_port};
use crate::client::{self, Options, connector, tls_failed};
use crate::quantity::parse_span;
use crate::raw::{Audience, Ended, converse, exchange, keep_alive};
use crate::tls::Channel;

/// Shown below the options.
const EXAMPLES: &str = "\
Examples:
  hythe connect example.org 80
  hythe connect --tls --crlf example.org 443
  hythe connect unix:/run/app.sock < request";

/// Talk with whatever listens on a port, by standard input and output
///
/// What is typed or piped in is sent, and what comes is printed, byte for byte.
/// When standard input ends, the peer is told so and may go on talking; with
/// datagrams (--udp), which have no end, it goes on until Ctrl-C or --idle.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct Args {
    /// The machine, or unix:PATH for a Unix socket (unix:@NAME: an abstract one)
    #[arg(value_name = "HOST|unix:PATH")]
    host: String,

    /// The port there
    port: Option<u16>,

    /// Datagrams in place of a connection
    #[arg(long, env = "HYTHE_UDP", value_parser = BoolishValueParser::new(),
          help_heading = "Connection")]
    udp: bool,

    /// Encrypt it, and make sure of who is there
    #[arg(long, env = "HYTHE_TLS", value_parser = BoolishValueParser::new(),
          help_heading = "Connection")]
    tls: bool,

    /// Whom to trust, in place of the system's authorities: certificates in PEM
    #[arg(
        long,
        env = "HYTHE_CACERT",
        value_name = "FILE",
        help_heading = "Connection"
    )]
    cacert: Option<PathBuf>,

    /// Do not look at certificates: anybody may be at the other end
    #[arg(long, env = "HYTHE_INSECURE", value_parser = BoolishValueParser::new(),
          help_heading = "Connection")]
    insecure: bool,

    /// The address of this machine to come from, with a port if it matters
    #[arg(
        long,
        env = "HYTHE_SOURCE",
        value_name = "ADDR[:PORT]",
        value_parser = parse_source,
        help_heading = "Connection"
    )]
    source: Option<Addr>,

    /// How long connecting may take: seconds, or with m, h or d [default: as long
    /// as the system tries]
    #[arg(long, env = "HYTHE_TIMEOUT", value_name = "TIME", value_parser = parse_span,
          help_heading = "Connection")]
    timeout: Option<u64>,

    #[command(flatten)]
    conversation: Conversation,
}

fn parse_source(text: &str) -> Result<Addr, String> {
    if text.starts_with("unix:") {
        return text.parse().map_err(|error: io::Error| error.to_string());
    }
    let bare = text.trim_start_matches('[').trim_end_matches(']');
    let address = match bare.parse::<IpAddr>() {
        Ok(ip) => Some(Addr::Inet((ip, 0).into())),
        Err(_) => text.parse().ok(),
    };
    address.ok_or_else(|| {
        format!(
            "`{text}` is no address of a machine; give 192.0.2.1, [2001:db8::1] or one with a port"
        )
    })
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let target = args.target()?;
    args.check()?;
    let talk = async {
        if args.udp {
            args.exchange(&target).await
        } else {
            args.converse(&target).await
        }
    };
    match run_on_reactor(talk)? {
        Work::Done(result) => result,
        Work::Interrupted => Err(Failure::new(Exit::Interrupted, "interrupted")),
    }
}

impl Args {
    /// As [`Addr::resolve`] understands it.
    fn target(&self) -> Result<String, Failure> {
        let usage = |text: String| Failure::new(Exit::Usage, text);
        match (self.host.starts_with("unix:"), self.port) {
            (true, None) if self.host == "unix:" => Err(usage(NO_PATH.into())),
            (true, None) => Ok(self.host.clone()),
            (true, Some(_)) => Err(usage("a Unix socket has no port; leave it out".into())),
            (false, Some(port)) => Ok(with_port(&self.host, port)),
            (false, None) => Err(usage(match self.host.rsplit_once(':') {
                Some((host, port)) if port.parse::<u16>().is_ok() => {
                    format!("say it in two words: hythe connect {host} {port}")
                }
                _ => format!("which port of {}? hythe connect HOST PORT", self.host),
            })),
        }
    }

    fn check(&self) -> Result<(), Failure> {
        let text = if self.tls && self.udp {
            "--tls needs a connection, and --udp makes none; leave one of them out"
        } else if self.udp && self.timeout.is_some() {
            "--timeout is for connecting, and --udp does not connect; see --idle"
        } else if !self.tls && (self.insecure || self.cacert.is_some()) {
            "--insecure and --cacert say whom --tls is to trust; give --tls as well"
        } else {
            return Ok(());
        };
        Err(Failure::new(Exit::Usage, text))
    }

    async fn converse(&self, target: &str) -> Result<(), Failure> {
        let limit = self.timeout.map_or(Duration::MAX, Duration::from_secs);
        let connected = timeout(limit, self.connect(target)).await;
        let (channel, _file) = connected.map_err(|error| self.unreachable(target, &error))??;
        if io::stdin().is_terminal() && io::stderr().is_terminal() {
            self.conversation.tell(format!("connected to {target}"));
        }
        let (input, output) = standard()?;
        let manner = self.conversation.manner();
        let ended = converse(&channel, &input, &output, &manner).await;
        self.conversation.ended(ended)
    }

    /// A connection, and the file of our own end if it is a Unix socket with a
    /// name.
    async fn connect(&self, target: &str) -> Result<(Channel, Option<SocketFile>), Failure> {
        // For each address and each name server, so that it ends in any case.
        let limit = self.timeout.map(Duration::from_secs);
        let (target_of_pool, source) = (target.to_owned(), self.source.clone());
        let dialled = unblock(move || dial(&target_of_pool, limit, source.as_ref())).await;
        let stream = dialled
            .and_then(Stream::new)
            .map_err(|error| self.unreachable(target, &error))?;
        keep_alive(stream.socket());
        let file = self.source.as_ref().map(SocketFile::of);
        let mut channel = Channel::plain(stream);
        if self.tls {
            self.shake_hands(&mut channel, target).await?;
        }
        Ok((channel, file))
    }

    fn unreachable(&self, target: &str, error: &io::Error) -> Failure {
        let why = match error.kind() {
            io::ErrorKind::TimedOut => match self.timeout {
                Some(seconds) if error.raw_os_error().is_none() => {
                    format!("no answer within {seconds} s (--timeout)")
                }
                _ => "no answer".into(),
            },
            io::ErrorKind::ConnectionRefused => "connection refused: nobody listens there".into(),
            io::ErrorKind::AddrNotAvailable if error.raw_os_error().is_none() => {
                "it has no address of the family of --source".into()
            }
            io::ErrorKind::AddrNotAvailable | io::ErrorKind::AddrInUse if self.source.is_some() => {
                format!("{}; see --source", cause(error))
            }
            _ => unresolved(&self.host, error).unwrap_or_else(|| cause(error)),
        };
        Failure::new(Exit::Other, format!("cannot connect to {target}: {why}"))
    }

    async fn shake_hands(&self, channel: &mut Channel, target: &str) -> Result<(), Failure> {
        let failed = |error: &client::Error| {
            Failure::new(
                Exit::Other,
                format!("cannot talk TLS with {target}: {error}"),
            )
        };
        let options = Options {
            ca: self.cacert.clone(),
            insecure: self.insecure,
            ..Options::default()
        };
        let connector = connector(&options, None).map_err(|error| failed(&error))?;
        let name = match self.port {
            Some(_) => self.host.trim_start_matches('[').trim_end_matches(']'),
            // A Unix socket is on this machine, whatever it is called.
            None => "localhost",
        };
        let connected = channel.connect(&connector, name).await;
        connected.map_err(|error| failed(&tls_failed(&error)))
    }

    async fn exchange(&self, target: &str) -> Result<(), Failure> {
        let failed = |error: &io::Error| self.unreachable(target, error);
        let target_of_pool = target.to_owned();
        let found = unblock(move || Addr::resolve(&target_of_pool)).await;
        let found = found.map_err(|error| failed(&error))?;
        let fits = |address: &Addr| {
            let source = self.source.as_ref();
            source.is_none_or(|source| source.domain() == address.domain())
        };
        let Some(peer) = found.into_iter().find(fits) else {
            let text = format!("{target} has no address of the family of --source");
            return Err(Failure::new(Exit::Other, text));
        };
        let open = || {
            let socket = Socket::new(peer.domain(), Kind::DATAGRAM)?;
            match (&self.source, &peer) {
                (Some(source), _) => socket.bind(source)?,
                // Without a name nobody could answer.
                (None, Addr::Unix(_)) => socket.bind(&Addr::unnamed())?,
                (None, _) => {}
            }
            // To all of a network, which is meant if it is said (`socket(7)`).
            socket.set(Broadcast(true)).ok();
            // So the kernel tells that nobody listens, and keeps strangers out.
            socket.connect(&peer)?;
            DatagramSocket::new(socket)
        };
        let socket = open().map_err(|error| failed(&error))?;
        let _file = self.source.as_ref().map(SocketFile::of);
        let (input, output) = standard()?;
        let manner = self.conversation.manner();
        let exchanged = exchange(&socket, Audience::Connected, &input, &output, &manner).await;
        self.conversation.ended(exchanged.map(|()| Ended::Both))
    }
}
