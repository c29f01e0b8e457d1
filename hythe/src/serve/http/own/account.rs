//! One's own account: what it is, and another password.

use serde::Serialize;

use super::super::intake::Form;
use super::super::reply::Reply;
use super::super::visit::set_cookie;
use super::{Here, bytes, text_of_home, told_refused};
use crate::accounts::{Account, Accounts, Denied, Refused};
use crate::web::{AccountShown, account_page};

/// An account, for programs. Times are in seconds since 1970.
#[derive(Serialize)]
pub(super) struct Told<'a> {
    name: &'a str,
    role: &'a str,
    home: String,
    quota: Option<u64>,
    used: u64,
    created: i64,
    seen: Option<i64>,
    temporary: bool,
}

impl<'a> Told<'a> {
    pub(super) fn of(account: &'a Account, used: u64) -> Self {
        Self {
            name: &account.name,
            role: account.role.as_str(),
            home: text_of_home(&account.home),
            quota: account.quota,
            used,
            created: account.created,
            seen: account.seen,
            temporary: account.temporary,
        }
    }
}

/// An account, for people.
pub(super) fn shown<'a>(account: &'a Account, home: &'a str, used: u64) -> AccountShown<'a> {
    AccountShown {
        name: &account.name,
        role: account.role,
        home,
        quota: account.quota,
        used,
        created: account.created,
        seen: account.seen,
        temporary: account.temporary,
    }
}

pub(super) fn show(here: &Here) -> Reply {
    match here.account() {
        Ok((accounts, account)) => page(here, accounts, account, 200, None, None),
        Err(refusal) => refusal,
    }
}

fn page(
    here: &Here,
    accounts: &Accounts,
    account: &Account,
    status: u16,
    told: Option<&str>,
    wrong: Option<&str>,
) -> Reply {
    let used = match accounts.usage(&account.name) {
        Ok(used) => used,
        Err(error) => return here.broken(error),
    };
    if !here.is_for_people() {
        return here.json(status, &Told::of(account, used));
    }
    let home = text_of_home(&account.home);
    let shown = shown(account, &home, used);
    here.page(status, account_page(&here.setting(), &shown, told, wrong))
}

pub(super) fn change(here: &Here, form: &Form) -> Reply {
    let (accounts, account) = match here.account() {
        Ok(both) => both,
        Err(refusal) => return refusal,
    };
    let new = bytes(form, "new");
    if form.value("again").is_some_and(|again| again != new) {
        let wrong = here.lang().say("The two passwords are not the same.");
        return unchanged(here, accounts, account, 400, wrong);
    }
    let (name, peer) = (&account.name, &here.ask.way.peer);
    match accounts.change_password(name, bytes(form, "old"), new, peer, "http") {
        Ok(()) => changed(here, accounts, account),
        Err(Refused::Denied(Denied::Wrong)) => {
            let wrong = here.lang().say("The old password is wrong.");
            unchanged(here, accounts, account, 403, wrong)
        }
        Err(refused) => {
            let (status, wrong) = told_refused(here.lang(), &refused);
            unchanged(here, accounts, account, status, &wrong)
        }
    }
}

/// All sessions have ended, this one too: whoever changed the password gets
/// another.
fn changed(here: &Here, accounts: &Accounts, account: &Account) -> Reply {
    let lang = here.lang();
    let told = lang.say("The password is changed. Other devices are signed out.");
    let reply = page(here, accounts, account, 200, Some(told), None);
    if here.ask.session.is_none() {
        return reply;
    }
    match accounts.start_session(account) {
        Ok(token) => reply.field("Set-Cookie", set_cookie(token.as_str(), &here.ask)),
        Err(error) => here.broken(error),
    }
}

fn unchanged(
    here: &Here,
    accounts: &Accounts,
    account: &Account,
    status: u16,
    wrong: &str,
) -> Reply {
    if here.is_for_people() {
        page(here, accounts, account, status, None, Some(wrong))
    } else {
        here.refuse(status, wrong)
    }
}
