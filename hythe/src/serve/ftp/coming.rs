//! Commands by which people come in and go, and see to their accounts.

use std::mem;

use hythe_net::reactor::unblock;
use hythe_wire::ftp::{Error, Facts, Hash, Type};

use super::data::Data;
use super::secure::Pbsz;
use super::session::{Login, Next, Session, refusal};
use super::{PROTOCOL, busy};
use crate::accounts::{Denied, Refused};
use crate::quantity::size;
use crate::share::RelPath;

/// How many wrong passwords a connection may try: enough for typing errors,
/// and few enough that guessing needs a new connection each time.
const LOGIN_ATTEMPTS: u8 = 3;

const ALREADY: Error = refusal(503, "You have logged in already.");
const UNUSABLE: Error = refusal(451, "Accounts cannot be used now; try again later.");
const CHANGED: Error = refusal(421, "Your account has changed; log in again.");
const NO_ACCOUNT: Error = refusal(550, "That is for those who have an account.");

impl Session<'_> {
    pub(super) fn user(&mut self, name: &[u8]) -> Result<Next, Error> {
        self.not_in_the_clear()?;
        self.renaming = None;
        self.login = Login::Named(name.into());
        self.say(331, "Now the password; as anonymous, any will do.")
    }

    pub(super) async fn pass(&mut self, password: &[u8]) -> Result<Next, Error> {
        self.not_in_the_clear()?;
        let user = match mem::replace(&mut self.login, Login::Greeted) {
            Login::Named(user) => user,
            Login::Greeted => return Err(refusal(503, "USER comes first.")),
            already => {
                self.login = already;
                return Err(ALREADY);
            }
        };
        let ftp = self.ftp;
        let refused = match ftp.log_in(&user, password, self.control.peer()).await {
            Ok((view, standing)) => {
                self.login = Login::In {
                    user,
                    view,
                    standing,
                };
                self.folder = RelPath::root();
                return self.say(230, "Welcome.");
            }
            Err(refused) => refused,
        };
        self.failed_logins += 1;
        if self.failed_logins == LOGIN_ATTEMPTS {
            return Err(refusal(421, "Too many failed logins."));
        }
        Err(refused)
    }

    /// Whether the account that logged in is still what it was: somebody may have
    /// removed it, or given it another role, home or password.
    pub(super) async fn still_welcome(&self) -> Result<(), Error> {
        let Login::In {
            view,
            standing: Some(standing),
            ..
        } = &self.login
        else {
            return Ok(());
        };
        let Some(account) = view.visitor().account.clone() else {
            return Ok(());
        };
        let gate = self.ftp.gate.clone();
        let now = unblock(move || gate.accounts()?.standing(&account).transpose());
        match now.await {
            Some(Ok(now)) if now == *standing => Ok(()),
            Some(Ok(_)) | None => Err(CHANGED),
            Some(Err(error)) => {
                tracing::error!(%error, "cannot use the accounts");
                Err(UNUSABLE)
            }
        }
    }

    /// One share answers to every name (RFC 7151).
    pub(super) fn host(&mut self) -> Result<Next, Error> {
        match self.login {
            Login::Greeted => self.say(220, "You are welcome here."),
            _ => Err(refusal(503, "HOST comes before USER.")),
        }
    }

    pub(super) fn reinitialize(&mut self) -> Result<Next, Error> {
        self.forget();
        self.say(220, "Ready for a new user.")
    }

    pub(super) fn quit(&mut self) -> Result<Next, Error> {
        self.control.goodbye();
        Ok(Next::Close)
    }

    /// Begins anew, as after the greeting. TLS stays where it is: going on in
    /// the clear on the same connection would be for attackers only.
    pub(super) fn forget(&mut self) {
        self.login = Login::Greeted;
        self.folder = RelPath::root();
        self.kind = Type::Ascii;
        self.facts = Facts::ALL;
        self.hash = Hash::Sha256;
        self.rest = 0;
        self.renaming = None;
        self.data = Data::Unknown;
        self.only_epsv = false;
        self.pbsz = Pbsz::Unknown;
        self.protection = self.ftp.first_protection();
    }

    /// ABOR when nothing is under way: a port that is open for data is closed.
    pub(super) fn abort(&mut self) -> Result<Next, Error> {
        self.data = Data::Unknown;
        self.say(226, "Nothing is under way.")
    }

    /// SITE REGISTER, before login: a visitor makes an account.
    pub(super) async fn register(&mut self, name: &[u8], password: &[u8]) -> Result<Next, Error> {
        self.not_in_the_clear()?;
        if matches!(self.login, Login::In { .. }) {
            return Err(ALREADY);
        }
        let gate = self.ftp.gate.clone();
        let (name, password) = (name.to_vec(), password.to_vec());
        let peer = self.control.peer().clone();
        let registered = unblock(move || {
            let accounts = gate.accounts().ok_or(Refused::Closed)?;
            let terms = (gate.register(), gate.register_quota());
            accounts.register(&name, &password, terms, &peer, PROTOCOL)
        });
        match registered.await {
            Ok(_) => self.say(200, "The account is made; log in with it."),
            Err(refused) => self.refused(&refused),
        }
    }

    /// SITE PASSWD: another password for the account that is logged in.
    pub(super) async fn change_password(&mut self, old: &[u8], new: &[u8]) -> Result<Next, Error> {
        let account = self.view()?.visitor().account.clone();
        let account = account.ok_or(NO_ACCOUNT)?;
        let gate = self.ftp.gate.clone();
        let (old, new) = (old.to_vec(), new.to_vec());
        let peer = self.control.peer().clone();
        let changed = unblock(move || {
            let accounts = gate.accounts().ok_or(Refused::Unknown)?;
            accounts.change_password(&account, &old, &new, &peer, PROTOCOL)?;
            Ok(accounts.standing(&account)?)
        });
        match changed.await {
            Ok(now) => {
                if let Login::In { standing, .. } = &mut self.login {
                    *standing = now;
                }
                self.say(200, "The password is changed.")
            }
            Err(refused) => self.refused(&refused),
        }
    }

    fn refused(&mut self, refused: &Refused) -> Result<Next, Error> {
        match refused {
            Refused::Broken(error) => {
                tracing::error!(%error, "cannot use the accounts");
                Err(UNUSABLE)
            }
            Refused::Denied(Denied::Wrong) => {
                Err(refusal(550, "The old password is not the right one."))
            }
            Refused::Denied(denied) => Err(busy(denied)),
            Refused::Closed => Err(refusal(550, "Visitors cannot make accounts here.")),
            refused => self.say(550, format!("That cannot be: {refused}.")),
        }
    }

    /// SITE QUOTA: how much is stored, and how much may be.
    pub(super) async fn quota(&mut self) -> Result<Next, Error> {
        let account = self.view()?.visitor().account.clone();
        let account = account.ok_or(NO_ACCOUNT)?;
        let gate = self.ftp.gate.clone();
        let found = unblock(move || {
            let accounts = gate.accounts()?;
            let used = accounts.usage(&account).ok()?;
            let quota = accounts.account(&account).ok()??.quota;
            Some((used, quota))
        });
        let (used, quota) = found.await.ok_or(UNUSABLE)?;
        let used = size(used);
        match quota {
            Some(quota) => {
                let quota = size(quota);
                self.say(200, format!("You have stored {used} of {quota}."))
            }
            None => self.say(200, format!("You have stored {used}; there is no quota.")),
        }
    }
}
