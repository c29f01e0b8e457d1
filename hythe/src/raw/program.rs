//! [`Program`]: a process for each connection, with the connection as its
//! standard input and output, as `inetd(8)` and `tcpserver(1)` do.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use futures_lite::future::{or, pending};
use hythe_net::reactor::unblock;
use hythe_net::{Addr, Connection, How, Input, More, Socket, Stream, Watch};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};

use super::Talk;
use super::converse::end;
use super::stillness::{ENDLESS, stillness};
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
}

impl Program {
    /// A program, whose connections are closed after `idle` without a byte.
    pub fn new(command: impl Into<OsString>, idle: Option<Duration>) -> Self {
        Self {
            command: command.into(),
            idle,
        }
    }

    fn command(&self, connection: &Connection<Channel>) -> io::Result<Command> {
        let mut command = Command::new("/bin/sh");
        command.arg("-c").arg(&self.command);
        let local = connection.stream.socket().sock_name()?;
        for name in VARIABLES {
            command.env_remove(name);
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
        // Ctrl-C is for us; we end it as we end.
        command.process_group(0);
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

impl Talk for Program {
    async fn talk(&self, connection: Connection<Channel>) -> io::Result<()> {
        let command = self.command(&connection)?;
        if connection.stream.is_encrypted() || self.idle.is_some() {
            let (ours, theirs) = Socket::pair(hythe_net::Domain::UNIX, hythe_net::Kind::STREAM)?;
            let running = Running::start(command, theirs).await?;
            let ours = Stream::new(ours)?;
            ours.set_patience(ENDLESS);
            connection.stream.set_patience(ENDLESS);
            let moved = || connection.stream.sent() + ours.sent();
            let still = async {
                stillness(self.idle, moved).await;
                Err(io::ErrorKind::TimedOut.into())
            };
            // Whoever of the two breaks off, the other one sees the end.
            let carried = or(carry(&connection.stream, &ours), still).await;
            connection.stream.finish().await.ok();
            drop(ours);
            if carried.is_err() {
                // Nobody hears it any more.
                signal(&running.child, Signal::TERM);
            }
            running.end().await?;
            return carried;
        }
        let socket = connection.stream.socket().try_clone()?;
        // From here on it is the program's alone; the place is kept.
        let connection = connection.map(drop);
        socket.set_blocking(true)?;
        let running = Running::start(command, socket).await?;
        let ended = running.end().await;
        drop(connection);
        ended
    }
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
        end(channel).await
    };
    or(inwards, outwards).await
}

/// A process that is waited for, whatever happens: none is left as a zombie.
struct Running {
    child: Child,
    watch: Watch,
}

impl Running {
    async fn start(mut command: Command, socket: Socket) -> io::Result<Self> {
        let name = command.get_args().last().map(OsStr::to_owned);
        let started = unblock(move || {
            let input = OwnedFd::from(socket);
            command.stdout(Stdio::from(input.try_clone()?));
            command.stdin(Stdio::from(input));
            command.spawn()
        });
        let child = started.await.map_err(|error| {
            let name = name.unwrap_or_default();
            io::Error::other(format!("cannot run {}: {error}", name.display()))
        })?;
        let pid = Pid::from_child(&child);
        let watch = pidfd_open(pid, PidfdFlags::empty())
            .map_err(io::Error::from)
            .and_then(Watch::new);
        match watch {
            Ok(watch) => Ok(Self { child, watch }),
            Err(error) => {
                reap(child);
                Err(error)
            }
        }
    }

    /// Waits for it; when we are asked to stop, asks it to.
    async fn end(mut self) -> io::Result<()> {
        if self.watch.input().await? == Input::Stopping {
            signal(&self.child, Signal::TERM);
            self.watch.readable().await?;
        }
        self.child.wait().map(drop)
    }
}

/// One that is not waited for any more is ended.
impl Drop for Running {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            signal(&self.child, Signal::KILL);
            self.child.wait().ok();
        }
    }
}

fn reap(mut child: Child) {
    signal(&child, Signal::KILL);
    child.wait().ok();
}

/// Tells it and all whom it has started.
fn signal(child: &Child, signal: Signal) {
    // It may be gone already.
    kill_process_group(Pid::from_child(child), signal).ok();
}
