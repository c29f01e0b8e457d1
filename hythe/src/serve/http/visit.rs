//! Who asks: credentials become a [`View`], and a lack of rights becomes an
//! answer that says what would help.

use std::io;

use super::Shared;
use super::ask::{Ask, COOKIE};
use super::own;
use super::reply::Reply;
use crate::accounts::{Account, Denied};
use crate::http::basic;
use crate::quantity::whole_seconds;
use crate::share::{Access, Lacks, View};
use crate::web::{self, Setting};

/// A visitor of one request.
#[derive(Clone, Debug)]
pub(super) struct Visit {
    /// What the visitor may do, and the only way to do it.
    pub(super) view: View,
    /// Whose account it is; `None` for a stranger.
    pub(super) account: Option<Account>,
    /// How that is known.
    pub(super) by: By,
    /// What stands before the paths of this view in addresses: that where the site
    /// is mounted, and that of a share link.
    pub(super) base: String,
}

/// How it is known who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum By {
    /// It is not.
    Nobody,
    /// By name and password, sent along on purpose (RFC 7617).
    Basic,
    /// By the cookie of a session, which a browser sends whoever made it ask.
    Session,
}

/// What tools are asked for (RFC 7617 §2.1).
const CHALLENGE: &str = "Basic realm=\"hythe\", charset=\"UTF-8\"";

/// How long a browser keeps the cookie. Sessions that are not used end sooner.
const COOKIE_SECONDS: u64 = 30 * 24 * 60 * 60;

impl Visit {
    /// Finds out who asks. Blocks on the database, and checks a password.
    ///
    /// # Errors
    /// The refusal: wrong credentials are never taken for none.
    pub(super) fn of(site: &Shared, ask: &Ask) -> Result<Self, Reply> {
        let Some(accounts) = site.gate.accounts() else {
            return Ok(Self::stranger(site, ask));
        };
        // What is sent along there is the link's password, and of no account.
        if own::is_link(&ask.path) {
            return Ok(Self::stranger(site, ask));
        }
        let (account, by) = if let Some(authorization) = &ask.authorization {
            let Some((name, password)) = basic::credentials(authorization) else {
                return Err(challenged(ask, "give a name and a password (Basic)"));
            };
            let account = accounts
                .sign_in(&name, &password, &ask.way.peer, "http")
                .map_err(|denied| refusal_of(ask, &denied))?;
            (account, By::Basic)
        } else if let Some(token) = &ask.session {
            let token = std::str::from_utf8(token).unwrap_or_default();
            match accounts.session(token) {
                Ok(Some(account)) => (account, By::Session),
                // It has ended: who asks is a stranger again.
                Ok(None) => return Ok(Self::stranger(site, ask)),
                Err(error) => return Err(refusal_of(ask, &Denied::Broken(error))),
            }
        } else {
            return Ok(Self::stranger(site, ask));
        };
        let view = site.gate.view(&account, "http", &ask.way.peer);
        let view = view.map_err(|error| {
            tracing::error!(account = &*account.name, %error, "cannot open an account's home");
            Reply::refusal(ask, 500, "the home folder of this account can't be opened")
        })?;
        Ok(Self {
            view,
            account: Some(account),
            by,
            base: ask.mount.clone(),
        })
    }

    fn stranger(site: &Shared, ask: &Ask) -> Self {
        Self {
            view: site.gate.stranger("http", &ask.way.peer),
            account: None,
            by: By::Nobody,
            base: ask.mount.clone(),
        }
    }

    /// The account's name.
    pub(super) fn name(&self) -> Option<&str> {
        self.account.as_ref().map(|account| &*account.name)
    }

    /// Who looks at a page, and how.
    pub(super) fn setting(&self, site: &Shared, ask: &Ask) -> Setting {
        Setting {
            lang: ask.lang,
            nonce: web::nonce(),
            mount: ask.mount.clone(),
            base: self.base.clone(),
            account: self.name().map(Into::into),
            access: self.view.access(),
            accounts: site.gate.accounts().is_some(),
            register: site.gate.register() > Access::None,
            admin: self.account.is_some() && self.view.access() >= Access::Admin,
        }
    }

    /// Refuses `what` to a visitor who lacks a role: signing in is the way out for
    /// strangers, where there are accounts.
    pub(super) fn lacking(&self, site: &Shared, ask: &Ask, lacks: Lacks, what: &str) -> Reply {
        let Lacks { needed, has } = lacks;
        match self.name() {
            Some(name) => {
                let text = format!("{what} needs the role {needed}, and {name} has {has}");
                Reply::refusal(ask, 403, &text)
            }
            None if site.gate.accounts().is_none() => {
                let text = match (needed, has) {
                    (Access::Read, _) => "nothing here may be read".to_owned(),
                    _ => format!("{what} needs the role {needed}, and visitors here have {has}"),
                };
                Reply::refusal(ask, 403, &text)
            }
            None if ask.html => own::sign_in_first(site, ask, self, needed),
            None => {
                let text =
                    format!("{what} needs the role {needed}: sign in with an account that has it");
                challenged(ask, &text)
            }
        }
    }
}

/// 401, with the challenge that lets tools ask for a password; a browser would
/// show a window of its own for it, and has a page instead.
pub(super) fn challenged(ask: &Ask, text: &str) -> Reply {
    let reply = Reply::refusal(ask, 401, text);
    // Who has sent such credentials, of its own will, knows how to send others.
    if ask.browser && ask.authorization.is_none() {
        reply
    } else {
        reply.field("WWW-Authenticate", CHALLENGE)
    }
}

/// Why nobody was let in.
pub(super) fn refusal_of(ask: &Ask, denied: &Denied) -> Reply {
    match denied {
        Denied::Wrong => challenged(ask, "the name or the password is wrong"),
        Denied::Throttled(wait) => {
            let seconds = whole_seconds(*wait);
            let text = format!("too many wrong passwords; try again in {seconds} seconds");
            Reply::refusal(ask, 429, &text).field("Retry-After", seconds.to_string())
        }
        Denied::Busy => {
            let text = "many sign in at this moment; try again";
            Reply::refusal(ask, 503, text).field("Retry-After", "1")
        }
        Denied::Broken(error) if error.kind() == io::ErrorKind::ResourceBusy => {
            tracing::warn!(%error, "the accounts are busy");
            Reply::refusal(ask, 503, "busy; try again").field("Retry-After", "1")
        }
        Denied::Broken(error) => {
            tracing::error!(%error, "cannot read the accounts");
            Reply::refusal(ask, 500, "the accounts can't be read just now")
        }
    }
}

/// The `Set-Cookie` of a session that begins.
pub(super) fn set_cookie(token: &str, ask: &Ask) -> String {
    cookie(token, COOKIE_SECONDS, ask)
}

/// The `Set-Cookie` of one that ends.
pub(super) fn clear_cookie(ask: &Ask) -> String {
    cookie("", 0, ask)
}

/// `Strict`: no other site makes a browser send it, not even by a link.
fn cookie(value: &str, seconds: u64, ask: &Ask) -> String {
    let secure = if ask.way.tls { "; Secure" } else { "" };
    let port = ask.way.port;
    format!("{COOKIE}{port}={value}; Path=/; HttpOnly; SameSite=Strict; Max-Age={seconds}{secure}")
}
