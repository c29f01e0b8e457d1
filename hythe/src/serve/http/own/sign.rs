//! Coming in and going out.

use hythe_wire::http::Method;
use serde::Serialize;

use super::super::Shared;
use super::super::ask::Ask;
use super::super::intake::Form;
use super::super::reply::Reply;
use super::super::visit::{Visit, clear_cookie, set_cookie};
use super::{Here, bytes, page_reply, text, told_denied, told_refused};
use crate::accounts::{Account, Denied};
use crate::quantity::whole_seconds;
use crate::share::Access;
use crate::web::{Setting, SignForm, sign_in_page, sign_up_page};

/// The longest path people are sent on to: the longest a request can have.
const NEXT_LIMIT: usize = 8 * 1024;

#[derive(Serialize)]
struct Signed<'a> {
    name: &'a str,
    role: &'a str,
}

pub(super) fn show_in(here: &Here) -> Reply {
    if let Err(refusal) = here.accounts() {
        return refusal;
    }
    let query = Form::parse(here.ask.query.as_deref().unwrap_or_default());
    let form = SignForm {
        next: local(bytes(&query, "next")),
        ..SignForm::default()
    };
    let mut setting = here.setting();
    setting.accounts &= setting.account.is_some();
    here.page(200, sign_in_page(&setting, form))
}

pub(super) fn show_up(here: &Here) -> Reply {
    if let Err(refusal) = may_register(here) {
        return refusal;
    }
    let query = Form::parse(here.ask.query.as_deref().unwrap_or_default());
    let form = SignForm {
        next: local(bytes(&query, "next")),
        ..SignForm::default()
    };
    sign_up_again(here, 200, form)
}

/// The form to sign in on, in place of what only those see who have.
pub(super) fn first(site: &Shared, ask: &Ask, visit: &Visit, needed: Access) -> Reply {
    let setting = Setting {
        nonce: String::new(),
        accounts: false,
        ..visit.setting(site, ask)
    };
    let mut next = [ask.mount.as_bytes(), &ask.path].concat();
    if let Some(query) = &ask.query {
        next.push(b'?');
        next.extend_from_slice(query);
    }
    // Only what is looked at can be gone back to.
    if !matches!(ask.method, Method::Get | Method::Head) {
        next.clear();
    }
    let wrong = match needed {
        Access::None => None,
        _ => Some(
            ask.lang
                .say("This needs an account with the role {role}.")
                .replace("{role}", ask.lang.say(needed.as_str())),
        ),
    };
    let form = SignForm {
        next: local(&next),
        wrong: wrong.as_deref(),
        ..SignForm::default()
    };
    page_reply(ask.lang, 401, sign_in_page(&setting, form))
}

pub(super) fn sign_in(here: &Here, form: &Form) -> Reply {
    let accounts = match here.accounts() {
        Ok(accounts) => accounts,
        Err(refusal) => return refusal,
    };
    let (name, password) = (bytes(form, "name"), bytes(form, "password"));
    match accounts.sign_in(name, password, &here.ask.way.peer, "http") {
        Ok(account) => begin(here, form, &account, 200),
        Err(denied) if here.is_for_people() => sign_in_again(here, form, &denied),
        Err(denied) => here.denied(&denied),
    }
}

fn sign_in_again(here: &Here, form: &Form, denied: &Denied) -> Reply {
    let (status, wrong) = told_denied(here.lang(), denied);
    let name = text(form, "name");
    let again = SignForm {
        name: &name,
        next: local(bytes(form, "next")),
        wrong: Some(&wrong),
    };
    let mut setting = here.setting();
    setting.accounts &= setting.account.is_some();
    let reply = here.page(status, sign_in_page(&setting, again));
    match denied {
        Denied::Throttled(wait) => reply.field("Retry-After", whole_seconds(*wait).to_string()),
        Denied::Busy => reply.field("Retry-After", "1"),
        _ => reply,
    }
}

pub(super) fn sign_up(here: &Here, form: &Form) -> Reply {
    let role = match may_register(here) {
        Ok(role) => role,
        Err(refusal) => return refusal,
    };
    let accounts = match here.accounts() {
        Ok(accounts) => accounts,
        Err(refusal) => return refusal,
    };
    let (name, password) = (bytes(form, "name"), bytes(form, "password"));
    // Scripts have no use for typing it twice.
    if form.value("again").is_some_and(|again| again != password) {
        let wrong = here.lang().say("The two passwords are not the same.");
        return not_signed_up(here, form, 400, wrong);
    }
    let terms = (role, here.site.gate.register_quota());
    match accounts.register(name, password, terms, &here.ask.way.peer, "http") {
        Ok(account) => begin(here, form, &account, 201),
        Err(refused) => {
            let (status, wrong) = told_refused(here.lang(), &refused);
            not_signed_up(here, form, status, &wrong)
        }
    }
}

fn not_signed_up(here: &Here, form: &Form, status: u16, wrong: &str) -> Reply {
    if !here.is_for_people() {
        return here.refuse(status, wrong);
    }
    let name = text(form, "name");
    let again = SignForm {
        name: &name,
        next: local(bytes(form, "next")),
        wrong: Some(wrong),
    };
    sign_up_again(here, status, again)
}

fn sign_up_again(here: &Here, status: u16, form: SignForm<'_>) -> Reply {
    let mut setting = here.setting();
    setting.accounts &= setting.account.is_some();
    here.page(status, sign_up_page(&setting, form))
}

/// The role of those who register.
fn may_register(here: &Here) -> Result<Access, Reply> {
    here.accounts()?;
    match here.site.gate.register() {
        Access::None => Err(here.refuse(404, "accounts are made by an admin only")),
        role => Ok(role),
    }
}

/// Begins a session in place of the one that was there.
fn begin(here: &Here, form: &Form, account: &Account, status: u16) -> Reply {
    let accounts = match here.accounts() {
        Ok(accounts) => accounts,
        Err(refusal) => return refusal,
    };
    end(here);
    let token = match accounts.start_session(account) {
        Ok(token) => token,
        Err(error) => return here.broken(error),
    };
    let reply = if here.is_for_people() {
        let next = local(bytes(form, "next"));
        if next.is_empty() {
            here.go_to(&here.address("/"))
        } else {
            here.go_to(next)
        }
    } else {
        let signed = Signed {
            name: &account.name,
            role: account.role.as_str(),
        };
        here.json(status, &signed)
    };
    reply.field("Set-Cookie", set_cookie(token.as_str(), &here.ask))
}

/// Ends the session whose cookie was sent, if there is one.
fn end(here: &Here) {
    let token = here.ask.session.as_deref().map(std::str::from_utf8);
    if let (Some(Ok(token)), Some(accounts)) = (token, here.site.gate.accounts())
        && let Err(error) = accounts.end_session(token)
    {
        tracing::error!(%error, "cannot end a session");
    }
}

pub(super) fn sign_out(here: &Here, form: &Form) -> Reply {
    let accounts = match here.accounts() {
        Ok(accounts) => accounts,
        Err(refusal) => return refusal,
    };
    if !bytes(form, "everywhere").is_empty()
        && let Some(account) = &here.visit.account
        && let Err(error) = accounts.end_sessions(&account.name)
    {
        return here.broken(error);
    }
    end(here);
    let reply = if here.is_for_people() {
        here.go_to(&here.address("/"))
    } else {
        here.json(200, &serde_json::json!({}))
    };
    reply.field("Set-Cookie", clear_cookie(&here.ask))
}

/// A path of ours to send people on to, as it stands in a URL; empty if it is
/// none. `//host` and `/\host` are other hosts to browsers, which also leave
/// out control characters before they look.
fn local(next: &[u8]) -> &str {
    let path = std::str::from_utf8(next).unwrap_or_default();
    let fits = path.len() <= NEXT_LIMIT
        && path.starts_with('/')
        && !path.starts_with("//")
        && !path.contains('\\')
        && path.bytes().all(|byte| byte.is_ascii_graphic())
        // Whoever has signed in is not to be asked to do so again.
        && !path.contains("/.hythe/sign-");
    if fits { path } else { "" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_are_sent_on_to_paths_of_ours_only() {
        for path in ["/", "/a%20b/?json&q=%2F#top", "/.hythe/account", "/.//x"] {
            assert_eq!(local(path.as_bytes()), path);
        }
        for path in [
            "",
            "//evil",
            "///evil",
            "/\\evil",
            "\\\\evil",
            "http://evil",
            "evil",
            "/a\nb",
            "/\t/evil",
            "/\r\nSet-Cookie: a=b",
            "/a b",
            "/中",
            "javascript:alert(1)",
            "/.hythe/sign-in?next=/",
        ] {
            assert_eq!(local(path.as_bytes()), "", "{path}");
        }
        assert_eq!(local(b"/\xff"), "");
        assert_eq!(local(&[b'/'; 1]), "/");
        assert_eq!(local(&[&b"/"[..], &vec![b'a'; NEXT_LIMIT]].concat()), "");
    }
}
