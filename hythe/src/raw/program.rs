//! [`Program`]: a process for each connection, with the connection as its
//! standard input and output, as `inetd(8)` and `tcpserver(1)` do.

use std::ffi::OsString;
use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use futures_lite::future::{or, pending};
use hythe_net::option::Linger;
use hythe_net::{Addr, Connection, Domain, How, Kind, More, Socket, Stream};
use rustix::process::Signal;

use super::Talk;
use super::stillness::{ENDLESS, moved, stillness};
use crate::process::{GRACE, Running};
use crate::tls::Channel;

/// How much goes between a program and a peer at a time, where we are in
/// between: to encrypt it, or to know when nothing moves.
const PIECE: usize = 64 * 1024;

/// A command that a shell runs for each connection.
///
/// It finds in its environment who is there, by the names of `tcpserver(1)`:
/// `PROTO` (`TCP`, `TLS` or `UNIX`), `TCPLOCALIP`, `TCPLOCALPORT`, `TCPREMOTEIP`
/// and `TCPREMOTEPORT`, or `UNIXLOCALPATH`; and `REMOTE_HOST`, as `xinetd(8)`
/// has it.
#[derive(Clone, Debug)]
pub struct Program {
    command: OsString,
    idle: Option<Duration>,
    descriptors: Option<u64>,
}

impl Program {
    /// A program, whose connections are closed after `idle` without a byte.
    pub fn new(command: impl Into<OsString>, idle: Option<Duration>) -> Self {
        Self {
            command: command.into(),
            idle,
            descriptors: None,
        }
    }

    /// Gives programs this limit of descriptors, whatever ours is.
    #[must_use]
    pub fn with_descriptors(self, limit: Option<u64>) -> Self {
        Self {
            descriptors: limit,
            ..self
        }
    }

    /// What the shell runs: with as many descriptors as we were given, and not as
    /// many as we have taken.
    fn script(&self) -> OsString {
        let mut script = OsString::new();
        if let Some(limit) = self.descriptors {
            script.push(format!("ulimit -Sn {limit}\n"));
        }
        script.push(&self.command);
        script
    }

    fn command(&self, connection: &Connection<Channel>) -> io::Result<Command> {
        let mut command = Command::new("/bin/sh");
        command.arg("-c").arg(self.script());
        let local = connection.stream.socket().sock_name()?;
        for (name, _) in std::env::vars_os() {
            // Nor what we were told, which may be a password.
            let is_ours = name.as_encoded_bytes().starts_with(b"HYTHE_");
            if is_ours || VARIABLES.iter().any(|known| name == *known) {
                command.env_remove(name);
            }
        }
        match (&local, &connection.peer) {
            (Addr::Inet(_), peer) => {
                let encrypted = connection.stream.is_encrypted();
                command.env("PROTO", if encrypted { "TLS" } else { "TCP" });
                for (side, address) in [("LOCAL", &local), ("REMOTE", peer)] {
                    let ip = address.ip().map(|ip| ip.to_string()).unwrap_or_default();
                    let port = address.port().unwrap_or_default();
                    command.env(format!("TCP{side}IP"), &ip);
                    command.env(format!("TCP{side}PORT"), port.to_string());
                    if side == "REMOTE" {
                        command.env("REMOTE_HOST", ip);
                    }
                }
            }
            (local, _) => {
                let path = local.path().map(|path| path.as_os_str().to_owned());
                let path = path.unwrap_or_else(|| local.to_string().into());
                command.env("PROTO", "UNIX");
                command.env("UNIXLOCALPATH", path);
            }
        }
        Ok(command)
    }
}

/// What a program is told, and what somebody may have told us.
const VARIABLES: [&str; 7] = [
    "PROTO",
    "TCPLOCALIP",
    "TCPLOCALPORT",
    "TCPREMOTEIP",
    "TCPREMOTEPORT",
    "REMOTE_HOST",
    "UNIXLOCALPATH",
];

/// Why a program did not talk with its peer to the end.
#[derive(Debug)]
pub enum ProgramError {
    /// It can't be started, or waited for.
    Program(io::Error),
    /// Its peer was lost.
    Peer(io::Error),
    /// Nothing moved for so long.
    Idle(Duration),
}

impl fmt::Display for ProgramError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Program(error) => write!(f, "cannot run the program: {error}"),
            Self::Peer(error) => super::Error::describe_lost(error, f),
            Self::Idle(idle) => super::Error::Idle(*idle).fmt(f),
        }
    }
}

impl std::error::Error for ProgramError {}

impl Program {
    /// Runs it for one connection: how it ended.
    ///
    /// # Errors
    /// Whichever of the two broke off.
    pub async fn run(&self, connection: Connection<Channel>) -> Result<ExitStatus, ProgramError> {
        let command = self.command(&connection).map_err(ProgramError::Program)?;
        if connection.stream.is_encrypted() || self.idle.is_some() {
            return self.run_between(command, connection).await;
        }
        let socket = || {
            let socket = connection.stream.socket().try_clone()?;
            socket.set_blocking(true)?;
            io::Result::Ok(socket)
        };
        let socket = socket().map_err(ProgramError::Program)?;
        // From here on it is the program's alone; the place is kept.
        let connection = connection.map(drop);
        let running = start(command, socket).await;
        let ended = running.map_err(ProgramError::Program)?.end(None).await;
        drop(connection);
        ended.map_err(ProgramError::Program)
    }

    /// With us between program and peer: to encrypt, or to see when nothing moves.
    async fn run_between(
        &self,
        command: Command,
        connection: Connection<Channel>,
    ) -> Result<ExitStatus, ProgramError> {
        let pair = Socket::pair(Domain::UNIX, Kind::STREAM);
        let (ours, theirs) = pair.map_err(ProgramError::Program)?;
        let running = start(command, theirs).await;
        let running = running.map_err(ProgramError::Program)?;
        let ours = Stream::new(ours).map_err(ProgramError::Program)?;
        ours.set_patience(ENDLESS);
        let channel = &connection.stream;
        channel.set_patience(ENDLESS);
        let carried = async {
            let carried = carry(channel, &ours).await;
            carried.map_err(ProgramError::Peer)
        };
        let still = async {
            let idle = stillness(self.idle, || moved(channel, ours.sent())).await;
            Err(ProgramError::Idle(idle))
        };
        match or(or(carried, still), running.told_to_stop()).await {
            Ok(()) => {
                channel.finish().await.ok();
                drop(ours);
                drop(connection);
                let ended = running.end(self.idle).await;
                ended.map_err(ProgramError::Program)
            }
            Err(error) => {
                // Its peer must not take what it has for all there is.
                channel.socket().set(Linger(Some(Duration::ZERO))).ok();
                drop(ours);
                drop(connection);
                running.signal(Signal::TERM);
                running.end(Some(GRACE)).await.ok();
                Err(error)
            }
        }
    }
}

impl Talk for Program {
    async fn talk(&self, connection: Connection<Channel>) -> io::Result<()> {
        match self.run(connection).await {
            Ok(_) => Ok(()),
            Err(ProgramError::Program(error)) => Err(io::Error::other(format!(
                "cannot run {}: {error}",
                self.command.display()
            ))),
            Err(ProgramError::Peer(error)) => Err(error),
            Err(ProgramError::Idle(_)) => Err(io::ErrorKind::TimedOut.into()),
        }
    }
}

/// Starts a program that talks to this socket.
async fn start(mut command: Command, socket: Socket) -> io::Result<Running> {
    let input = OwnedFd::from(socket);
    command.stdout(Stdio::from(input.try_clone()?));
    command.stdin(Stdio::from(input));
    Running::start(command).await
}

/// Carries bytes both ways between a program and its peer.
async fn carry(channel: &Channel, program: &Stream) -> io::Result<()> {
    let inwards = async {
        let mut buffer = vec![0; PIECE];
        loop {
            match channel.recv(&mut buffer).await? {
                0 => break,
                count => match program.send_all(&buffer[..count], More::No).await {
                    // It does not want to hear all.
                    Err(error) if error.kind() == io::ErrorKind::BrokenPipe => break,
                    sent => sent?,
                },
            }
        }
        program.shutdown(How::Write).ok();
        // It goes on talking.
        pending().await
    };
    let outwards = async {
        let mut buffer = vec![0; PIECE];
        loop {
            match program.recv(&mut buffer).await {
                Ok(0) => break,
                Ok(count) => channel.send_all(&buffer[..count], More::No).await?,
                // It has ended with something unread.
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => break,
                Err(error) => return Err(error),
            }
        }
        // A program that has ended hears no more either.
        channel.end().await
    };
    or(inwards, outwards).await
}
