//! One's own share links: making, listing, removing. Following one is the
//! business of `follow`.

use std::io;
use std::time::Duration;

use serde::Serialize;

use super::super::intake::Form;
use super::super::reply::Reply;
use super::follow;
use super::{Here, bytes, text, text_of_path, told_refused};
use crate::accounts::{Account, Accounts, Link, LinkTerms};
use crate::share::{Access, Kind, RelPath};
use crate::web::{Lang, LinkForm, LinkShown, links_page};

/// The longest time a link may be asked to last: beyond it, it lasts for ever.
const LASTING_LIMIT: u64 = 100 * 365 * 24 * 60 * 60;

/// A link, for programs. Times are in seconds since 1970.
#[derive(Serialize)]
struct Told<'a> {
    id: i64,
    /// Known when the link is made, and never again.
    url: Option<&'a str>,
    path: String,
    account: &'a str,
    expires: Option<i64>,
    downloads: Option<u64>,
    left: Option<u64>,
    password: bool,
}

#[derive(Serialize)]
struct Links<'a> {
    links: Vec<Told<'a>>,
}

impl<'a> Told<'a> {
    fn of(link: &'a Link, home: &RelPath, url: Option<&'a str>) -> Self {
        Self {
            id: link.id,
            url,
            path: seen(link, home),
            account: &link.account,
            expires: link.expires,
            downloads: link.downloads,
            left: link.left,
            password: link.has_password(),
        }
    }
}

/// The path of a link as its maker sees it, below the home.
fn seen(link: &Link, home: &RelPath) -> String {
    let below = link.path.below(home).unwrap_or_else(|| link.path.clone());
    text_of_path(&below, link.is_folder)
}

pub(super) fn show(here: &Here) -> Reply {
    let (accounts, account) = match here.account() {
        Ok(both) => both,
        Err(refusal) => return refusal,
    };
    let query = Form::parse(here.ask.query.as_deref().unwrap_or_default());
    let path = text(&query, "path");
    let form = LinkForm {
        path: &path,
        ..LinkForm::default()
    };
    page(here, accounts, account, 200, form)
}

/// Whose links are shown: all of them to those who manage accounts.
fn whose(account: &Account) -> Option<&str> {
    (account.role < Access::Admin).then_some(&*account.name)
}

fn page(
    here: &Here,
    accounts: &Accounts,
    account: &Account,
    status: u16,
    form: LinkForm<'_>,
) -> Reply {
    let links = match accounts.links(whose(account)) {
        Ok(links) => links,
        Err(error) => return here.broken(error),
    };
    let home = &account.home;
    if !here.is_for_people() {
        let links = links
            .iter()
            .map(|link| Told::of(link, home, None))
            .collect();
        return here.json(status, &Links { links });
    }
    let paths: Vec<_> = links.iter().map(|link| seen(link, home)).collect();
    let shown: Vec<_> = links
        .iter()
        .zip(&paths)
        .map(|(link, path)| LinkShown {
            id: link.id,
            path,
            maker: (*link.account != *account.name).then_some(&*link.account),
            expires: link.expires,
            downloads: link.downloads.zip(link.left),
            password: link.has_password(),
        })
        .collect();
    here.page(status, links_page(&here.setting(), &shown, form))
}

pub(super) fn change(here: &Here, form: &Form) -> Reply {
    let (accounts, account) = match here.account() {
        Ok(both) => both,
        Err(refusal) => return refusal,
    };
    match &*text(form, "action") {
        "remove" => remove(here, accounts, account, form),
        "" | "make" => make(here, accounts, account, form),
        _ => here.refuse(400, "the action is make or remove"),
    }
}

fn remove(here: &Here, accounts: &Accounts, account: &Account, form: &Form) -> Reply {
    let id = text(form, "id").parse().unwrap_or(-1);
    match accounts.remove_link(id, whose(account), here.visit.view.visitor()) {
        Ok(true) if here.is_for_people() => here.go_to(&here.address("/.hythe/links")),
        Ok(true) => here.json(200, &serde_json::json!({})),
        Ok(false) => here.refuse(404, "there is no such link"),
        Err(error) => here.broken(error),
    }
}

fn make(here: &Here, accounts: &Accounts, account: &Account, form: &Form) -> Reply {
    match made(here, accounts, account, form) {
        Ok((link, token)) => {
            let url = follow::url(&here.ask.mount, &link, &token);
            if !here.is_for_people() {
                return here.json(201, &Told::of(&link, &account.home, Some(&url)));
            }
            let whole = format!("{}{url}", origin(here));
            let form = LinkForm {
                made: Some(&whole),
                ..LinkForm::default()
            };
            page(here, accounts, account, 201, form)
        }
        Err((status, wrong)) if here.is_for_people() => {
            let path = text(form, "path");
            let form = LinkForm {
                path: &path,
                wrong: Some(&wrong),
                ..LinkForm::default()
            };
            page(here, accounts, account, status, form)
        }
        Err((status, wrong)) => here.refuse(status, &wrong),
    }
}

fn made(
    here: &Here,
    accounts: &Accounts,
    account: &Account,
    form: &Form,
) -> Result<(Link, String), (u16, String)> {
    let lang = here.lang();
    let none = || {
        let text = lang.say("There is no such file or folder.");
        (404, text.to_owned())
    };
    let path = path_of(&here.ask.mount, form).ok_or_else(none)?;
    let meta = here
        .visit
        .view
        .metadata(&path)
        .map_err(|error| told(lang, &error))?;
    let terms = terms(lang, form)?;
    let is_folder = meta.kind == Kind::Folder;
    let whole = path.within(&account.home).ok_or_else(none)?;
    accounts
        .make_link(account, whole, is_folder, terms, here.visit.view.visitor())
        .map_err(|refused| told_refused(lang, &refused))
}

fn told(lang: Lang, error: &io::Error) -> (u16, String) {
    match error.kind() {
        io::ErrorKind::NotFound => {
            let text = lang.say("There is no such file or folder.");
            (404, text.to_owned())
        }
        io::ErrorKind::PermissionDenied => {
            let text = lang.say("You may not read this.");
            (403, text.to_owned())
        }
        _ => {
            tracing::warn!(%error, "cannot look at what is to be shared");
            let text = lang.say("This can't be looked at just now. Try again later.");
            (500, text.to_owned())
        }
    }
}

/// What is to be shared: `path` as people write it, or `href` as it stands in a
/// URL, which has every byte.
fn path_of(mount: &str, form: &Form) -> Option<RelPath> {
    let href = bytes(form, "href");
    if href.is_empty() {
        let path = bytes(form, "path");
        return (!path.is_empty())
            .then(|| RelPath::root().resolve(path).ok())
            .flatten();
    }
    let path = href.strip_prefix(mount.as_bytes())?;
    RelPath::from_url_path(path).ok().map(|(path, _)| path)
}

fn terms(lang: Lang, form: &Form) -> Result<LinkTerms<'_>, (u16, String)> {
    let number = |name: &str| -> Result<Option<u64>, (u16, String)> {
        match &*text(form, name) {
            "" => Ok(None),
            digits => match digits.parse() {
                Ok(0) => Ok(None),
                Ok(number) => Ok(Some(number)),
                Err(_) => {
                    let text = lang.say("Downloads and seconds are whole numbers.");
                    Err((400, text.to_owned()))
                }
            },
        }
    };
    let password = bytes(form, "password");
    Ok(LinkTerms {
        lasting: number("expires")?
            .filter(|seconds| *seconds <= LASTING_LIMIT)
            .map(Duration::from_secs),
        password: (!password.is_empty()).then_some(password),
        downloads: number("downloads")?.map(|number| number.min(i64::MAX.unsigned_abs())),
    })
}

/// How browsers reach this server. Only they know: there may be a proxy between
/// here and there. Forms tell it, and it has been compared with the host.
fn origin(here: &Here) -> String {
    let told = here.ask.origin.as_deref().map(std::str::from_utf8);
    if let Some(Ok(origin)) = told
        && origin != "null"
    {
        return origin.to_owned();
    }
    let scheme = if here.ask.way.tls { "https" } else { "http" };
    match std::str::from_utf8(&here.ask.host) {
        Ok(host) if !host.is_empty() => format!("{scheme}://{host}"),
        _ => String::new(),
    }
}
