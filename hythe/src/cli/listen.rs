//! `hythe listen`: waits for connections, and what happens on them.

use std::cell::Cell;
use std::ffi::OsString;
use std::io::{self, Write as _};
use std::rc::Rc;
use std::sync::OnceLock;
use std::time::Duration;

use clap::ValueEnum;
use clap::builder::BoolishValueParser;
use hythe_net::reactor::timeout;
use hythe_net::{
    Addr, Connection, Datagram, DatagramServer, DatagramSocket, Failure as NetFailure, Limits,
    Listener, Model, MuxKind, Patience, Server, SocketFile, Stream, create_server,
};
use rustix::process::{Resource, getrlimit};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use super::chat::Operator;
use super::failure::{Exit, Failure, cause};
use super::remote::{Ended as Work, run as run_on_reactor, run_gently, signals};
use super::serve::parse_count;
use super::sockets::{Conversation, Place, known_as, standard, taken};
use super::tls::Certificate;
use crate::quantity::parse_span;
use crate::raw::{
    Answers, Audience, Chat, Ended, Error as RawError, GRACE, Input, Manner, Offer, Output,
    Program, Service, Talk, converse, exchange, keep_alive,
};
use crate::tls::{Acceptor, Channel};

/// Shown below the options.
const EXAMPLES: &str = "\
Examples:
  hythe listen 9000 > file               what one peer sends
  hythe listen 9000 --keep --exec cat    a process for each
  hythe listen 9000 --broadcast          a chat, for nc and telnet
  hythe listen 7 --service echo          for trying a network";

/// Wait for a connection, and talk by standard input and output
///
/// Without further options one peer is served as `hythe connect` does at the
/// other end. Without a HOST it is all addresses of this machine: whoever
/// reaches the port can connect.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct Args {
    /// Where: a port (0 for any free one), HOST:PORT, or unix:PATH
    #[arg(value_name = "[HOST:]PORT|unix:PATH")]
    place: Place,

    /// Serve one peer after another (with --exec: many at once), and not one only
    #[arg(long, env = "HYTHE_KEEP", value_parser = BoolishValueParser::new(),
          help_heading = "What to do")]
    keep: bool,

    /// Run this command, by a shell, for each connection, which is its standard
    /// input and output; it finds in its environment who is there (PROTO,
    /// TCPREMOTEIP, TCPREMOTEPORT, TCPLOCALIP, TCPLOCALPORT, REMOTE_HOST, or
    /// UNIXLOCALPATH)
    #[arg(
        long,
        env = "HYTHE_EXEC",
        value_name = "CMD",
        help_heading = "What to do"
    )]
    exec: Option<OsString>,

    /// Repeat each line that one client says to all others: a chat. Whoever says
    /// no more goes on hearing. Standard input and output take part
    #[arg(long, env = "HYTHE_BROADCAST", value_parser = BoolishValueParser::new(),
          help_heading = "What to do")]
    broadcast: bool,

    /// Offer one of the small services of RFC 862 to 868
    #[arg(
        long,
        env = "HYTHE_SERVICE",
        value_name = "NAME",
        help_heading = "What to do"
    )]
    service: Option<ServiceName>,

    /// Datagrams in place of connections
    #[arg(long, env = "HYTHE_UDP", value_parser = BoolishValueParser::new(),
          help_heading = "Connections")]
    udp: bool,

    #[command(flatten)]
    certificate: Certificate,

    /// How long to wait for somebody to come: seconds, or with m, h or d
    /// [default: for ever]
    #[arg(long, env = "HYTHE_TIMEOUT", value_name = "TIME", value_parser = parse_span,
          help_heading = "Connections")]
    timeout: Option<u64>,

    /// Connections at one time; further ones are closed
    #[arg(long, env = "HYTHE_MAX_CONNECTIONS", default_value = "4096", value_name = "N",
          value_parser = parse_count, help_heading = "Connections")]
    max_connections: usize,

    #[command(flatten)]
    conversation: Conversation,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum ServiceName {
    /// Everything comes back (RFC 862)
    Echo,
    /// Everything is taken, and nothing said (RFC 863)
    Discard,
    /// Characters without end (RFC 864)
    Chargen,
    /// The time, for people (RFC 867)
    Daytime,
    /// The time, for machines (RFC 868)
    Time,
}

impl ServiceName {
    fn service(self) -> Service {
        match self {
            Self::Echo => Service::Echo,
            Self::Discard => Service::Discard,
            Self::Chargen => Service::Chargen,
            Self::Daytime => Service::Daytime,
            Self::Time => Service::Time,
        }
    }
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    args.check()?;
    given_descriptors();
    hythe_net::raise_descriptor_limit().ok();
    let address = args.place.address()?;
    let acceptor = args.acceptor()?;
    if args.udp {
        return match args.service {
            Some(service) => args.answer(&address, service.service()),
            None => args.exchange(&address),
        };
    }
    let idle = args.conversation.idle();
    if let Some(service) = args.service {
        let offer = Offer::new(service.service(), acceptor);
        return args.serve(&address, Model::cores(), offer);
    }
    if args.broadcast {
        let operator = Operator::enter();
        // One loop: whatever is said goes to all.
        let model = Model::Events {
            mux: MuxKind::EpollEdge,
        };
        let chat = Chat::new(operator.room(), idle);
        let served = args.serve(&address, model, Offer::new(chat, acceptor));
        operator.leave();
        return served;
    }
    match &args.exec {
        Some(command) if args.keep => {
            let offer = Offer::new(args.program(command), acceptor);
            args.serve(&address, Model::cores(), offer)
        }
        _ => args.converse(&address, acceptor.as_ref()),
    }
}

impl Args {
    /// What makes no sense together.
    fn check(&self) -> Result<(), Failure> {
        let usage = |text: String| Err(Failure::new(Exit::Usage, text));
        let roles = [
            (self.exec.is_some(), "--exec"),
            (self.broadcast, "--broadcast"),
            (self.service.is_some(), "--service"),
        ];
        let mut roles = roles.iter().filter_map(|(on, flag)| on.then_some(*flag));
        let role = roles.next();
        if let (Some(one), Some(other)) = (role, roles.next()) {
            return usage(format!(
                "{one} and {other} each say what to do with a connection; leave one out"
            ));
        }
        if self.udp {
            if self.timeout.is_some() {
                return usage(
                    "--timeout waits for a connection, and --udp makes none; see --idle".into(),
                );
            }
            if let Some(role @ ("--exec" | "--broadcast")) = role {
                return usage(format!(
                    "{role} needs connections, and --udp makes none; leave one of them out"
                ));
            }
            if self.certificate.is_given() {
                return usage("TLS needs connections, and --udp makes none".into());
            }
        }
        if let (Some(role), Some(flag)) = (role, self.conversation.manner_flag()) {
            return usage(format!(
                "{flag} is about standard input and output, which {role} does not use"
            ));
        }
        let many = self.broadcast || self.service.is_some() || (self.exec.is_some() && self.keep);
        if many && self.timeout.is_some() {
            return usage("--timeout is for one who is waited for; here many may come".into());
        }
        Ok(())
    }

    fn acceptor(&self) -> Result<Option<Acceptor>, Failure> {
        let Some(identity) = self.certificate.identity()? else {
            return Ok(None);
        };
        let acceptor = Acceptor::new(&identity, None)
            .map_err(|error| Failure::new(Exit::Other, format!("cannot set up TLS: {error}")))?;
        self.conversation.tell(format!(
            "TLS is on; SHA-256 of the certificate: {}",
            identity.fingerprint()
        ));
        Ok(Some(acceptor))
    }

    fn announce(&self, address: &Addr) {
        self.conversation.tell(format!("listening on {address}"));
    }

    // --- Many connections at once ---

    fn serve(&self, address: &Addr, model: Model, offer: Offer<impl Talk>) -> Result<(), Failure> {
        let failed = |error: io::Error| Failure::new(Exit::Other, cause(&error));
        let server = Server::new(model)
            .limits(self.limits())
            .listen(address, offer)
            .map_err(|error| taken(address, &error))?
            .stop_on(signals(&STOPPING).map_err(failed)?);
        self.announce(&server.addresses()[0]);
        server.serve().map_err(failed)
    }

    fn limits(&self) -> Limits {
        let idle = match (self.conversation.idle(), self.service) {
            (Some(idle), _) => idle,
            (None, Some(_)) => SERVICE_IDLE,
            (None, None) => Duration::MAX,
        };
        Limits {
            max: self.max_connections,
            max_per_address: self.max_connections,
            // Any byte is enough, as --idle has it.
            patience: Patience { idle, bytes: 1 },
            drain: match self.exec {
                Some(_) => GRACE,
                None => Duration::ZERO,
            },
            ..Limits::default()
        }
    }

    // --- One connection after another ---

    fn converse(&self, address: &Addr, acceptor: Option<&Acceptor>) -> Result<(), Failure> {
        let socket = create_server(address, false).map_err(|error| taken(address, &error))?;
        let bound = socket.sock_name().map_err(|error| taken(address, &error))?;
        let file = SocketFile::of(&bound);
        // A program has something to finish; a conversation has not.
        let running = Cell::new(false);
        let talk = async {
            let listener = Listener::new(socket).map_err(|error| cannot_accept(&error))?;
            let standard = standard()?;
            self.announce(&bound);
            if self.keep {
                return self.converse_with_all(&listener, acceptor, &standard).await;
            }
            let (channel, peer) = self.next(&listener, acceptor).await?;
            // Whoever comes now is told so, and not kept waiting.
            drop(file);
            drop(listener);
            match &self.exec {
                Some(command) => {
                    running.set(true);
                    self.run_program(command, Connection::new(channel, peer))
                        .await
                }
                None => {
                    let (input, output) = &standard;
                    let manner = self.conversation.manner();
                    let ended = converse(&channel, input, output, &manner).await;
                    self.conversation.ended(ended)
                }
            }
        };
        let grace = || match running.get() {
            true => GRACE,
            false => Duration::ZERO,
        };
        self.ended(run_gently(talk, grace)?)
    }

    fn ended(&self, ended: Work<Result<(), Failure>>) -> Result<(), Failure> {
        match ended {
            Work::Done(result) => result,
            Work::Interrupted if self.keep => Ok(()),
            Work::Interrupted => Err(Failure::new(Exit::Interrupted, "interrupted")),
        }
    }

    /// One peer after another, until nobody reads what they say.
    async fn converse_with_all(
        &self,
        listener: &Listener,
        acceptor: Option<&Acceptor>,
        (input, output): &(Input, Output),
    ) -> Result<(), Failure> {
        let manner = Manner {
            // What is piped in may never end, and others are waiting.
            ends_with_peer: !input.is_file(),
            ..self.conversation.manner()
        };
        loop {
            let (channel, _) = self.next(listener, acceptor).await?;
            match converse(&channel, input, output, &manner).await {
                Ok(_) => {}
                Err(error @ RawError::Output(_)) => return self.conversation.ended(Err(error)),
                Err(error) => self.conversation.tell(format!("hythe: {error}")),
            }
        }
    }

    /// The next peer that is really there.
    async fn next(
        &self,
        listener: &Listener,
        acceptor: Option<&Acceptor>,
    ) -> Result<(Channel, Addr), Failure> {
        loop {
            let stream = self.accept(listener).await?;
            let stream = stream.map_err(|error| cannot_accept(&error))?;
            // One that has gone again meanwhile was nobody.
            let Ok(peer) = stream.socket().peer_name() else {
                continue;
            };
            let shown = known_as(&peer);
            self.conversation.tell(format!("connection from {shown}"));
            keep_alive(stream.socket());
            let mut channel = Channel::plain(stream);
            let Some(acceptor) = acceptor else {
                return Ok((channel, peer));
            };
            match channel.accept(acceptor).await {
                Ok(()) => return Ok((channel, peer)),
                Err(error) => {
                    let text = format!("hythe: no TLS with {shown}: {}", cause(&error));
                    self.conversation.tell(text);
                }
            }
        }
    }

    async fn accept(&self, listener: &Listener) -> Result<io::Result<Stream>, Failure> {
        let Some(seconds) = self.timeout else {
            return Ok(listener.accept().await);
        };
        let accepted = timeout(Duration::from_secs(seconds), listener.accept()).await;
        accepted.map_err(|_| {
            let text = format!("nobody came within {seconds} s (--timeout)");
            Failure::new(Exit::Other, text)
        })
    }

    async fn run_program(
        &self,
        command: &OsString,
        connection: Connection<Channel>,
    ) -> Result<(), Failure> {
        let ended = self.program(command).run(connection).await;
        let ended = ended.map_err(|error| Failure::new(Exit::Other, error.to_string()))?;
        match ended.success() {
            true => Ok(()),
            false => {
                let text = format!("{} ended with {ended}", command.display());
                Err(Failure::new(Exit::Other, text))
            }
        }
    }

    fn program(&self, command: &OsString) -> Program {
        Program::new(command, self.conversation.idle()).with_descriptors(given_descriptors())
    }

    // --- Datagrams ---

    fn exchange(&self, address: &Addr) -> Result<(), Failure> {
        let talk = async {
            let socket = DatagramSocket::serve(address).map_err(|error| taken(address, &error))?;
            let bound = socket.socket().sock_name();
            let bound = bound.map_err(|error| taken(address, &error))?;
            let _file = SocketFile::of(&bound);
            let (input, output) = standard()?;
            self.announce(&bound);
            let audience = if self.keep {
                Audience::Last
            } else {
                Audience::First
            };
            let manner = self.conversation.manner();
            let exchanged = exchange(&socket, audience, &input, &output, &manner).await;
            self.conversation.ended(exchanged.map(|()| Ended::Both))
        };
        self.ended(run_on_reactor(talk)?)
    }

    fn answer(&self, address: &Addr, service: Service) -> Result<(), Failure> {
        let failed = |error: io::Error| Failure::new(Exit::Other, cause(&error));
        let answers = Rc::new(Answers::new(service));
        let answering = Rc::clone(&answers);
        let answer = async move |datagram: Datagram| answering.answer(datagram).await;
        let server = DatagramServer::bind(address, answer)
            .map_err(|error| taken(address, &error))?
            .failed(datagram_failed)
            .limits(Limits {
                drain: Duration::ZERO,
                ..Limits::default()
            })
            .stop_on(signals(&STOPPING).map_err(failed)?);
        answers.set_own_port(server.address().port());
        self.announce(server.address());
        server.serve().map_err(failed)
    }
}

/// How long nothing may move on a connection to a small service, where the user
/// does not say: strangers try these, and some never leave.
const SERVICE_IDLE: Duration = Duration::from_secs(300);

/// The signals that stop a listener.
const STOPPING: [i32; 3] = [SIGINT, SIGTERM, SIGHUP];

/// How many descriptors we were given, before we took more: asked for the first
/// time before that.
fn given_descriptors() -> Option<u64> {
    static GIVEN: OnceLock<Option<u64>> = OnceLock::new();
    *GIVEN.get_or_init(|| getrlimit(Resource::Nofile).current)
}

fn cannot_accept(error: &io::Error) -> Failure {
    Failure::new(Exit::Other, format!("cannot accept: {}", cause(error)))
}

/// That an answer does not arrive is in the nature of datagrams.
fn datagram_failed(_: Option<&Addr>, failure: &NetFailure) {
    if let NetFailure::Accept(_) | NetFailure::Panic(_) = failure {
        // `eprintln` panics where standard error is closed.
        writeln!(io::stderr(), "hythe: {failure}").ok();
    }
}
