//! Programs that are started here: waited for whatever happens, and ended with
//! all whom they have started.
//!
//! Not here: what they are told, and who talks with them.

mod complaints;
mod leash;
mod pipe;

use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, ExitStatus};
use std::time::Duration;

use futures_lite::future::{or, pending};
use hythe_net::reactor::{timeout, unblock};
use hythe_net::{Input, Watch};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};

pub(crate) use complaints::Complaints;
pub(crate) use leash::{Leash, Place, Places};
pub(crate) use pipe::{Intake, Outlet, pipe_from, pipe_to};

/// How long a program may take to end once it was asked to.
pub const GRACE: Duration = Duration::from_secs(3);

/// A process that is waited for, whatever happens: none is left as a zombie.
#[derive(Debug)]
pub(crate) struct Running {
    watch: Watch,
    child: Kept,
}

/// One that nobody waits for any more is ended.
#[derive(Debug)]
struct Kept {
    child: Child,
    /// Until then, no other process or group can have its number.
    is_waited_for: bool,
}

impl Kept {
    fn wait(&mut self) -> io::Result<ExitStatus> {
        let ended = self.child.wait();
        self.is_waited_for = true;
        ended
    }

    /// Tells it and all whom it has started.
    fn signal(&self, signal: Signal) {
        if !self.is_waited_for {
            // It may be gone already.
            kill_process_group(Pid::from_child(&self.child), signal).ok();
        }
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        if !self.is_waited_for {
            self.signal(Signal::KILL);
            self.wait().ok();
        }
    }
}

impl Running {
    /// Starts a program in a process group of its own, with the streams and the
    /// environment that `command` says.
    pub(crate) async fn start(mut command: Command) -> io::Result<Self> {
        let started = unblock(move || {
            // Ctrl-C is for us; we end it as we end.
            command.process_group(0);
            let child = Kept {
                child: command.spawn()?,
                is_waited_for: false,
            };
            let pidfd = pidfd_open(Pid::from_child(&child.child), PidfdFlags::empty())?;
            io::Result::Ok((child, pidfd))
        });
        let (child, pidfd) = started.await?;
        Ok(Self {
            watch: Watch::new(pidfd)?,
            child,
        })
    }

    /// Tells it and all whom it has started.
    pub(crate) fn signal(&self, signal: Signal) {
        self.child.signal(signal);
    }

    /// When we are asked to stop, it is, too; that is not the end of it yet.
    pub(crate) async fn told_to_stop<T>(&self) -> T {
        if let Ok(Input::Stopping) = self.watch.input().await {
            self.signal(Signal::TERM);
        }
        pending().await
    }

    /// Waits for its end. After `limit`, if there is one, it is asked to end, and
    /// made to a little later.
    pub(crate) async fn end(mut self, limit: Option<Duration>) -> io::Result<ExitStatus> {
        let ended = or(self.watch.readable(), self.told_to_stop());
        match limit {
            None => ended.await?,
            Some(limit) => {
                if timeout(limit, ended).await.is_err() {
                    self.make_end().await?;
                }
            }
        }
        self.child.wait()
    }

    /// Waits until it has ended; it is still to be waited for.
    async fn ended(&self) -> io::Result<()> {
        self.watch.readable().await
    }

    /// Asks it to end, makes it a little later, and waits until it has.
    async fn make_end(&self) -> io::Result<()> {
        self.signal(Signal::TERM);
        if timeout(GRACE, self.ended()).await.is_err() {
            self.signal(Signal::KILL);
        }
        self.ended().await
    }

    /// Ends whomever it has started and left behind, once it has ended itself.
    fn end_all(mut self) -> io::Result<ExitStatus> {
        self.signal(Signal::KILL);
        self.child.wait()
    }
}
