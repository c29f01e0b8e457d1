//! All accounts, for those who may manage them.

use serde::Serialize;

use super::super::intake::Form;
use super::super::reply::Reply;
use super::account::{Told, shown};
use super::{Here, bytes, text, text_of_home, told_refused};
use crate::accounts::{Account, Accounts, Refused};
use crate::quantity::parse_size;
use crate::share::{Access, RelPath};
use crate::web::{remove_page, users_page};

#[derive(Serialize)]
struct Users<'a> {
    users: Vec<Told<'a>>,
}

pub(super) fn show(here: &Here) -> Reply {
    match here.admin() {
        Ok((accounts, _)) => page(here, accounts, 200, "", None, None),
        Err(refusal) => refusal,
    }
}

fn page(
    here: &Here,
    accounts: &Accounts,
    status: u16,
    typed: &str,
    told: Option<&str>,
    wrong: Option<&str>,
) -> Reply {
    let all = accounts.list().and_then(|all| {
        let used = |account: &Account| accounts.usage(&account.name);
        let used = all.iter().map(used).collect::<Result<Vec<_>, _>>()?;
        Ok((all, used))
    });
    let (all, used) = match all {
        Ok(both) => both,
        Err(error) => return here.broken(error),
    };
    let both = || all.iter().zip(&used);
    if !here.is_for_people() {
        let users = both().map(|(account, used)| Told::of(account, *used));
        let users = users.collect();
        return here.json(status, &Users { users });
    }
    let homes: Vec<_> = all
        .iter()
        .map(|account| text_of_home(&account.home))
        .collect();
    let users: Vec<_> = both()
        .zip(&homes)
        .map(|((account, used), home)| shown(account, home, *used))
        .collect();
    here.page(
        status,
        users_page(&here.setting(), &users, typed, told, wrong),
    )
}

pub(super) fn change(here: &Here, form: &Form) -> Reply {
    let (accounts, admin) = match here.admin() {
        Ok(both) => both,
        Err(refusal) => return refusal,
    };
    let name = text(form, "name");
    let action = text(form, "action");
    // The last one with the keys locks nobody out by mistake.
    let own = *name == *admin.name && matches!(&*action, "role" | "remove");
    if own {
        let wrong = here
            .lang()
            .say("You can't take away your own role; another admin can.");
        return failed(here, accounts, 409, "", wrong);
    }
    if action == "remove" && here.is_for_people() && bytes(form, "sure").is_empty() {
        return here.page(200, remove_page(&here.setting(), &name));
    }
    match act(here, accounts, form, &action, &name) {
        Ok(()) => done(here, accounts, &action),
        Err(refused) => {
            let (status, wrong) = told_refused(here.lang(), &refused);
            let typed = if action == "add" { &*name } else { "" };
            failed(here, accounts, status, typed, &wrong)
        }
    }
}

fn act(
    here: &Here,
    accounts: &Accounts,
    form: &Form,
    action: &str,
    name: &str,
) -> Result<(), Refused> {
    let by = here.visit.view.visitor();
    match action {
        "add" => accounts
            .add(
                bytes(form, "name"),
                bytes(form, "password"),
                role(form)?,
                home(form)?,
                quota(form)?,
                by,
            )
            .map(drop),
        "role" => accounts.set_role(name, role(form)?, by),
        "home" => accounts.set_home(name, &home(form)?, by),
        "quota" => accounts.set_quota(name, quota(form)?, by),
        "password" => accounts.set_password(name, bytes(form, "password"), by),
        "remove" => {
            accounts.remove(name, by)?;
            // It is gone either way; what is left of it expires.
            if let Err(error) = here.site.gate.share().remove_uploads_of(name) {
                tracing::warn!(account = name, %error, "cannot remove unfinished uploads");
            }
            Ok(())
        }
        "sign-out" => match accounts.account(name).map_err(Refused::Broken)? {
            Some(account) => accounts
                .end_sessions(&account.name)
                .map_err(Refused::Broken),
            None => Err(Refused::Unknown),
        },
        _ => Err(Refused::Unfit(
            "the action is add, role, quota, home, password, remove or sign-out",
        )),
    }
}

fn role(form: &Form) -> Result<Access, Refused> {
    text(form, "role")
        .parse()
        .map_err(|_| Refused::Unfit("the role is read, upload, write or admin"))
}

fn home(form: &Form) -> Result<RelPath, Refused> {
    RelPath::root()
        .resolve(bytes(form, "home"))
        .map_err(|_| Refused::Unfit("the home is a path in the share"))
}

fn quota(form: &Form) -> Result<Option<u64>, Refused> {
    match &*text(form, "quota") {
        "" | "none" => Ok(None),
        text => parse_size(text)
            .map(Some)
            .map_err(|_| Refused::Unfit("the quota is a size such as 500M or 10G")),
    }
}

fn done(here: &Here, accounts: &Accounts, action: &str) -> Reply {
    if here.is_for_people() {
        // On to the page, so that a reload does nothing again.
        return here.go_to(&here.address("/.hythe/users"));
    }
    page(
        here,
        accounts,
        if action == "add" { 201 } else { 200 },
        "",
        None,
        None,
    )
}

fn failed(here: &Here, accounts: &Accounts, status: u16, typed: &str, wrong: &str) -> Reply {
    if here.is_for_people() {
        page(here, accounts, status, typed, None, Some(wrong))
    } else {
        here.refuse(status, wrong)
    }
}
