//! [`Receiver`]: one sender after another, until one has sent all.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use futures_lite::future::or;
use hythe_net::reactor::{sleep, unblock};
use hythe_net::{More, Patience, Stream};
use hythe_wire::transfer::Message;

use super::outbox::{Outbox, Told};
use super::receiving::{Counts, Pending, Receiving, shown};
use super::secret::{Guard, Secret, WRONG};
use super::{SIGN_OF_LIFE, lost};
use crate::client::{Error, Reason, Result};
use crate::share::View;
use crate::tls::Channel;
use crate::transfer::{Event, Watch};

/// A file that is there, and another one that would replace it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// Its path below what is received into, fit for a terminal.
    pub name: String,
}

/// What is to be done about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Whether it is replaced.
    pub replace: bool,
    /// Whether the same holds for all that come after it.
    pub for_all: bool,
}

/// Asks somebody, on the thread pool.
pub type Asking = Arc<dyn Fn(&Question) -> Answer + Send + Sync>;

/// What becomes of files that are there, and are not the same.
#[derive(Clone)]
pub enum Replacing {
    /// They stay.
    Never,
    /// They are replaced.
    Always,
    /// As somebody says, each time.
    Asking(Asking),
}

impl fmt::Debug for Replacing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Never => "Never",
            Self::Always => "Always",
            Self::Asking(_) => "Asking",
        })
    }
}

/// Receives files into a folder.
pub struct Receiver {
    view: View,
    guard: Option<Guard>,
    replacing: Replacing,
    stall: Duration,
}

impl Receiver {
    /// A receiver into this view, which should let it write all, from whoever
    /// knows the secret, or from anybody. A sender that is silent for `stall` is
    /// taken for lost.
    ///
    /// # Errors
    /// There is no randomness to be had.
    pub fn new(
        view: View,
        secret: Option<&Secret>,
        replacing: Replacing,
        stall: Duration,
    ) -> Result<Self> {
        Ok(Self {
            view,
            guard: secret.map(Guard::new).transpose()?,
            replacing,
            stall,
        })
    }

    /// Whether an error says that a sender had the wrong secret.
    pub fn is_wrong_secret(error: &Error) -> bool {
        error.text == WRONG
    }

    /// Receives what one sender sends: what became of it.
    ///
    /// # Errors
    /// [`Reason::NotAllowed`] without the secret; [`Reason::Protocol`] from one
    /// that speaks something else; [`Reason::Lost`].
    pub async fn receive(&mut self, stream: Stream, watch: &dyn Watch) -> Result<Counts> {
        stream.set_patience(Patience {
            idle: self.stall,
            bytes: 1,
        });
        let mut channel = Channel::plain(stream);
        if let Some(guard) = &self.guard {
            guard.check(&mut channel).await?;
        }
        let outbox = Arc::new(Outbox::default());
        let machine = Receiving::new(self.view.clone(), Arc::clone(&outbox), Vec::new());
        let mut session = Session {
            channel: &channel,
            outbox: &outbox,
            unsent: RefCell::default(),
            watch,
        };
        let machine = session.run(machine, &mut self.replacing).await?;
        let ended = match machine.failure {
            Some(error) => {
                session.flush().await.ok();
                let text = crate::visible::visible(&error.text);
                // One that wants to encrypt sees that this is no TLS.
                if matches!(error.reason, Reason::Protocol | Reason::NotAllowed) {
                    let mut refusal = Vec::new();
                    Message::Refuse(&text).encode(&mut refusal);
                    channel.send_all(&refusal, More::No).await.ok();
                }
                Err(error)
            }
            None => Ok(machine.counts),
        };
        channel.close().await;
        ended
    }
}

impl fmt::Debug for Receiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver")
            .field("secret", &self.guard.is_some())
            .field("replacing", &self.replacing)
            .finish_non_exhaustive()
    }
}

/// One connection, as far as it is the reactor's business.
struct Session<'a> {
    channel: &'a Channel,
    outbox: &'a Outbox,
    /// What has left the outbox and is still to be sent: one who sends it may be
    /// given up at any moment, and the next one goes on.
    unsent: RefCell<Vec<u8>>,
    watch: &'a dyn Watch,
}

impl Session<'_> {
    /// Runs the machine until it has finished or failed.
    async fn run(
        &mut self,
        mut machine: Receiving,
        replacing: &mut Replacing,
    ) -> Result<Receiving> {
        loop {
            let flushed = self.flush().await;
            if machine.is_over() {
                return Ok(machine);
            }
            flushed?;
            machine = match machine.pending.take() {
                Some(Pending::Hashing) => {
                    unblock(move || {
                        machine.pending = Some(Pending::Hashing);
                        machine.hash_some();
                        if machine.pending.is_none() {
                            machine.go_on();
                        }
                        machine
                    })
                    .await
                }
                Some(Pending::Decision { id, wanted }) => {
                    let name = shown(&wanted.path);
                    machine.pending = Some(Pending::Decision { id, wanted });
                    let replace = self.decide(name, replacing).await?;
                    unblock(move || {
                        machine.decide(replace);
                        machine.go_on();
                        machine
                    })
                    .await
                }
                None => self.pour(machine).await?,
            };
            self.channel.progressed();
        }
    }

    /// Takes in what comes, and sends and tells meanwhile what comes of it.
    async fn pour(&self, machine: Receiving) -> Result<Receiving> {
        let answering = async {
            loop {
                let taken = poll_fn(|context| self.outbox.poll_take(context)).await;
                self.keep(taken);
                if let Err(error) = self.send_unsent().await {
                    // What comes may say why it wants no answers.
                    if error.kind() == io::ErrorKind::TimedOut {
                        return Err(lost(&error));
                    }
                    self.unsent.borrow_mut().clear();
                }
            }
        };
        let alive = async {
            loop {
                sleep(SIGN_OF_LIFE).await;
                // A disk may take its time.
                self.outbox.send(&Message::Wait);
            }
        };
        let pouring = async {
            let (machine, poured) = self.channel.pour(machine).await;
            match poured {
                Err(error) => Err(lost(&error)),
                Ok(hythe_net::Poured::End) if !machine.is_over() => {
                    Err(lost(&io::ErrorKind::UnexpectedEof.into()))
                }
                Ok(_) => Ok(machine),
            }
        };
        or(or(pouring, answering), alive).await
    }

    async fn flush(&self) -> Result<()> {
        if let Some(taken) = self.outbox.take() {
            self.keep(taken);
        }
        self.send_unsent().await.map_err(|error| lost(&error))
    }

    fn keep(&self, (bytes, told): (Vec<u8>, VecDeque<Told>)) {
        self.unsent.borrow_mut().extend_from_slice(&bytes);
        told.into_iter().for_each(|told| self.tell(told));
    }

    async fn send_unsent(&self) -> io::Result<()> {
        loop {
            let sent = poll_fn(|context| {
                let unsent = self.unsent.borrow();
                match unsent.is_empty() {
                    true => Poll::Ready(Ok(0)),
                    false => self.channel.poll_send(context, &unsent, More::No),
                }
            });
            match sent.await? {
                0 => return self.channel.flush().await,
                sent => drop(self.unsent.borrow_mut().drain(..sent)),
            }
        }
    }

    async fn decide(&self, name: String, replacing: &mut Replacing) -> Result<bool> {
        let asking = match replacing {
            Replacing::Never => return Ok(false),
            Replacing::Always => return Ok(true),
            Replacing::Asking(asking) => Arc::clone(asking),
        };
        let question = Question { name };
        let asked = async { Ok(unblock(move || asking(&question)).await) };
        let patience = async {
            loop {
                self.outbox.send(&Message::Wait);
                self.flush().await?;
                sleep(SIGN_OF_LIFE).await;
            }
        };
        let answer: Answer = or(asked, patience).await?;
        match answer {
            Answer {
                for_all: true,
                replace: true,
            } => *replacing = Replacing::Always,
            Answer {
                for_all: true,
                replace: false,
            } => *replacing = Replacing::Never,
            Answer { for_all: false, .. } => {}
        }
        Ok(answer.replace)
    }

    fn tell(&self, told: Told) {
        match &told {
            Told::Begun {
                name,
                total,
                offset,
                meter,
            } => self.watch.event(Event::Begun {
                name,
                total: Some(*total),
                offset: *offset,
                resumes: true,
                meter,
            }),
            Told::Done { name, bytes } => self.watch.event(Event::Done {
                name,
                bytes: *bytes,
            }),
            Told::Same { name } => self.watch.event(Event::Skipped { name }),
            Told::Failed { name, why } => self.watch.event(Event::Failed {
                name,
                error: &Error::new(Reason::Local, why.as_str()),
            }),
        }
    }
}
