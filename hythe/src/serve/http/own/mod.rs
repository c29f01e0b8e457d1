//! What is below `/.hythe/` and no part of the share: the pages people sign in
//! on, their accounts and links, and what the pages need.
//!
//! Browsers get pages, and after a form that did something they are sent on to
//! a page (303), so that a reload does not send it again. Scripts, which accept
//! JSON, and programs that accept anything, get JSON: what was asked for, or
//! `{"error": "…"}` with a status that says as much.
//!
//! Not here: uploads under way (`tus`), and what an account may do, which is the
//! business of [`View`](crate::share::View) and
//! [`Accounts`](crate::accounts::Accounts).

mod account;
mod follow;
mod links;
mod script;
mod sign;
mod users;

use std::borrow::Cow;
use std::io;
use std::sync::Arc;

use hythe_wire::http::Method;
use serde::Serialize;

use super::Shared;
use super::ask::{Ask, OWN};
use super::intake::{Answer, FORM_LIMIT, Form, small_form};
use super::reply::{Body, Reply};
use super::visit::{Visit, refusal_of};
use crate::accounts::{Account, Accounts, Denied, Refused};
use crate::quantity::whole_seconds;
use crate::share::{Access, RelPath};
use crate::web::{self, Lang, Setting};

pub(super) use follow::is_link;

/// A request for a page of ours, and who asks: what every page is made from.
#[derive(Clone)]
struct Here {
    site: Arc<Shared>,
    ask: Arc<Ask>,
    visit: Visit,
}

/// Answers a request for what is below `/.hythe/`, uploads excepted.
/// Cross-site requests that would change something have been refused already.
pub(super) fn answer(site: &Arc<Shared>, ask: &Arc<Ask>, visit: &Visit) -> Answer {
    let here = Here {
        site: Arc::clone(site),
        ask: Arc::clone(ask),
        visit: visit.clone(),
    };
    let page = ask.path.get(OWN.len()..).unwrap_or_default();
    if is_link(&ask.path) {
        return follow::answer(here);
    }
    match (page, ask.method) {
        (b"page.js", Method::Get | Method::Head) => script::reply(ask).into(),
        (b"sign-in", Method::Get | Method::Head) => sign::show_in(&here).into(),
        (b"sign-in", Method::Post) => here.form(sign::sign_in),
        (b"sign-up", Method::Get | Method::Head) => sign::show_up(&here).into(),
        (b"sign-up", Method::Post) => here.form(sign::sign_up),
        (b"sign-out", Method::Post) => here.form(sign::sign_out),
        (b"account", Method::Get | Method::Head) => account::show(&here).into(),
        (b"account", Method::Post) => here.form(account::change),
        (b"users", Method::Get | Method::Head) => users::show(&here).into(),
        (b"users", Method::Post) => here.form(users::change),
        (b"links", Method::Get | Method::Head) => links::show(&here).into(),
        (b"links", Method::Post) => here.form(links::change),
        (b"sign-out", _) => here.no_such_method("POST").into(),
        (b"page.js", _) => here.no_such_method("GET, HEAD").into(),
        (b"sign-in" | b"sign-up" | b"account" | b"users" | b"links", _) => {
            here.no_such_method("GET, HEAD, POST").into()
        }
        _ => here.refuse(404, "there is no such page").into(),
    }
}

/// What a browser gets whose user would have to sign in: status 401 and no
/// `WWW-Authenticate`, lest a window pop up.
pub(super) fn sign_in_first(site: &Shared, ask: &Ask, visit: &Visit, needed: Access) -> Reply {
    sign::first(site, ask, visit, needed)
}

/// The target of a request as it may be logged: the secret of a share link is
/// taken out.
pub(super) fn without_secrets(target: &[u8]) -> Cow<'_, [u8]> {
    follow::without_token(target)
}

/// A page of ours. It is about one person, at one time.
fn page_reply(lang: Lang, status: u16, page: String) -> Reply {
    Reply::new(status, Body::Bytes(page.into_bytes()))
        .field("Content-Type", "text/html; charset=utf-8")
        .field("Content-Language", lang.tag())
        .field("Content-Security-Policy", web::content_security_policy(""))
        .field("X-Content-Type-Options", "nosniff")
        .field("Cache-Control", "no-store")
        .field("Referrer-Policy", "same-origin")
}

impl Here {
    /// Takes in a form, and answers with what `then` makes of it.
    fn form(self, then: fn(&Self, &Form) -> Reply) -> Answer {
        let ask = Arc::clone(&self.ask);
        small_form(&ask, FORM_LIMIT, move |form| then(&self, &form))
    }

    fn setting(&self) -> Setting {
        Setting {
            // No script is needed here.
            nonce: String::new(),
            ..self.visit.setting(&self.site, &self.ask)
        }
    }

    fn lang(&self) -> Lang {
        self.ask.lang
    }

    /// Whether the answer is for a person to look at.
    fn is_for_people(&self) -> bool {
        self.ask.html && !self.ask.json
    }

    /// A page of ours. It is about one person, at one time.
    fn page(&self, status: u16, page: String) -> Reply {
        page_reply(self.lang(), status, page)
    }

    fn json(&self, status: u16, value: &impl Serialize) -> Reply {
        // Numbers and text can always be written down.
        let mut text = serde_json::to_vec(value).unwrap_or_default();
        text.push(b'\n');
        Reply::new(status, Body::Bytes(text))
            .field("Content-Type", "application/json")
            .field("X-Content-Type-Options", "nosniff")
            .field("Cache-Control", "no-store")
    }

    /// The address of a page of this site.
    fn address(&self, path: &str) -> String {
        format!("{}{path}", self.ask.mount)
    }

    /// On to another page.
    fn go_to(&self, path: &str) -> Reply {
        Reply::new(303, Body::Bytes(Vec::new()))
            .field("Location", path)
            .field("Cache-Control", "no-store")
    }

    /// A refusal, in a sentence without a capital and a stop.
    fn refuse(&self, status: u16, text: &str) -> Reply {
        if self.ask.json {
            return self.json(status, &Trouble { error: text });
        }
        Reply::refusal(&self.ask, status, text).field("Cache-Control", "no-store")
    }

    fn no_such_method(&self, allow: &str) -> Reply {
        self.refuse(405, "this page has no such method")
            .field("Allow", allow)
    }

    fn accounts(&self) -> Result<&Accounts, Reply> {
        let accounts = self.site.gate.accounts();
        accounts.ok_or_else(|| self.refuse(404, "this server has no accounts"))
    }

    /// Whose account it is: strangers are asked to sign in first.
    fn account(&self) -> Result<(&Accounts, &Account), Reply> {
        let accounts = self.accounts()?;
        match &self.visit.account {
            Some(account) => Ok((accounts, account)),
            None if self.ask.json => Err(self.refuse(401, "sign in first")),
            None => Err(sign_in_first(
                &self.site,
                &self.ask,
                &self.visit,
                Access::None,
            )),
        }
    }

    /// The same, for those who may manage accounts.
    fn admin(&self) -> Result<(&Accounts, &Account), Reply> {
        let (accounts, account) = self.account()?;
        if account.role < Access::Admin {
            return Err(self.refuse(403, "this needs the role admin"));
        }
        Ok((accounts, account))
    }

    /// The database can't be used.
    fn broken(&self, error: io::Error) -> Reply {
        self.denied(&Denied::Broken(error))
    }

    /// Nobody was let in, other than by a form that says so itself.
    fn denied(&self, denied: &Denied) -> Reply {
        if !self.ask.json {
            return refusal_of(&self.ask, denied);
        }
        let (status, text) = told_denied(Lang::En, denied);
        let reply = self.refuse(status, &text);
        match denied {
            Denied::Throttled(wait) => reply.field("Retry-After", whole_seconds(*wait).to_string()),
            Denied::Busy => reply.field("Retry-After", "1"),
            _ => reply,
        }
    }
}

#[derive(Serialize)]
struct Trouble<'a> {
    error: &'a str,
}

/// Why nobody was let in: a status, and a sentence for a page.
fn told_denied(lang: Lang, denied: &Denied) -> (u16, String) {
    match denied {
        Denied::Wrong => (
            401,
            lang.say("The name or the password is wrong.").to_owned(),
        ),
        Denied::Throttled(wait) => {
            let text = lang.say("Too many wrong passwords. Try again in {seconds} seconds.");
            (
                429,
                text.replace("{seconds}", &whole_seconds(*wait).to_string()),
            )
        }
        Denied::Busy => {
            let text = lang.say("Many sign in at this moment. Try again.");
            (503, text.to_owned())
        }
        Denied::Broken(error) if error.kind() == io::ErrorKind::ResourceBusy => {
            tracing::warn!(%error, "the accounts are busy");
            (503, lang.say("Busy; try again.").to_owned())
        }
        Denied::Broken(error) => {
            tracing::error!(%error, "cannot use the accounts");
            let text = lang.say("The accounts can't be used just now. Try again later.");
            (500, text.to_owned())
        }
    }
}

/// Why an account can't be made or changed: a status, and a sentence for a
/// page.
fn told_refused(lang: Lang, refused: &Refused) -> (u16, String) {
    match refused {
        Refused::Taken => (
            409,
            lang.say("There is an account of this name already.")
                .to_owned(),
        ),
        Refused::Unknown => (
            404,
            lang.say("There is no account of this name.").to_owned(),
        ),
        Refused::Unfit(why) => (400, sentence(lang.say(why), lang)),
        Refused::Closed => (
            403,
            lang.say("Accounts are made by an admin only.").to_owned(),
        ),
        Refused::Denied(denied) => told_denied(lang, denied),
        Refused::Broken(error) => {
            tracing::error!(%error, "cannot use the accounts");
            let text = lang.say("The accounts can't be used just now. Try again later.");
            (500, text.to_owned())
        }
    }
}

/// `a name has no slash` as `A name has no slash.`
fn sentence(text: &str, lang: Lang) -> String {
    let stop = match lang {
        Lang::En => ".",
        Lang::Zh => "。",
    };
    let mut letters = text.chars();
    let first = letters
        .next()
        .map(|letter| letter.to_uppercase().to_string());
    let stop = if text.ends_with(['.', '。']) {
        ""
    } else {
        stop
    };
    format!("{}{}{stop}", first.unwrap_or_default(), letters.as_str())
}

/// A path as people write it, from the root of what they see.
fn text_of_path(path: &RelPath, is_folder: bool) -> String {
    let slash = if is_folder && !path.is_root() {
        "/"
    } else {
        ""
    };
    format!("/{}{slash}", String::from_utf8_lossy(path.as_bytes()))
}

/// A home folder, as people write it.
fn text_of_home(home: &RelPath) -> String {
    text_of_path(home, true)
}

/// A field of a form as text, without the spaces around it; what is not UTF-8
/// is replaced. Not for passwords, whose every byte counts.
fn text(form: &Form, name: &str) -> String {
    String::from_utf8_lossy(bytes(form, name)).trim().to_owned()
}

/// A field of a form, empty where it was not sent.
fn bytes<'a>(form: &'a Form, name: &str) -> &'a [u8] {
    form.value(name).unwrap_or_default()
}
