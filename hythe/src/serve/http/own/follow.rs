//! Following a share link: `/.hythe/l/TOKEN/` and below, read-only.
//!
//! Whoever has the token is let in; a password, if there is one, is asked for
//! by a form, and then known by a cookie of its own, or sent along as that of
//! `Basic` with any name. Accounts and their sessions count for nothing here.
//!
//! A link to one file leads to a page about it first, for people: programs that
//! look at links ahead of them must not use up its downloads.

use std::borrow::Cow;
use std::io;
use std::sync::Arc;

use hythe_wire::http::{Method, content_disposition};
use percent_encoding::percent_encode;

use super::super::answer::refused;
use super::super::ask::{Ask, Codings};
use super::super::file::file;
use super::super::folder::{SELECTION_LIMIT, folder, is_selection, redirect, selection};
use super::super::intake::{Answer, Form, small_form};
use super::super::reply::Reply;
use super::super::visit::Visit;
use super::{Here, bytes, told_denied};
use crate::accounts::{Denied, Given, Link};
use crate::http::basic;
use crate::quantity::whole_seconds;
use crate::share::{ESCAPED, Kind, RelPath, View};
use crate::web::{Setting, link_file_page, link_password_page};

/// Where links lead; the token follows.
const LINKS: &[u8] = b"/.hythe/l/";

/// What the cookies are called that say that a password was known; the number
/// of the link follows.
const COOKIE: &str = "hythe-link-";

/// Whether this is the path of a link.
pub(in crate::serve::http) fn is_link(path: &[u8]) -> bool {
    path.starts_with(LINKS)
}

/// The target of a request, or what else a client said, without the token of
/// a link in it.
pub(super) fn without_token(said: &[u8]) -> Cow<'_, [u8]> {
    let Some(at) = said.windows(LINKS.len()).position(|part| part == LINKS) else {
        return Cow::Borrowed(said);
    };
    let (before, rest) = said.split_at(at + LINKS.len());
    let end = rest
        .iter()
        .position(|byte| matches!(byte, b'/' | b'?' | b' '))
        .unwrap_or(rest.len());
    Cow::Owned([before, b"-", &rest[end..]].concat())
}

/// The address of a link, from the root of this server on. One with a number
/// of downloads leads to the page about the file.
pub(super) fn url(mount: &str, link: &Link, token: &str) -> String {
    let mut url = format!("{mount}/.hythe/l/{token}/");
    if !link.is_folder && link.downloads.is_none() {
        url.extend(percent_encode(
            link.path.name().unwrap_or_default(),
            ESCAPED,
        ));
    }
    url
}

/// A link that is followed.
struct Followed {
    here: Here,
    link: Link,
    token: String,
    /// What is behind the token in the path of the request, from the slash on.
    rest: Vec<u8>,
}

pub(super) fn answer(here: Here) -> Answer {
    let followed = match followed(here) {
        Ok(followed) => followed,
        Err(reply) => return reply.into(),
    };
    match followed.here.ask.method {
        Method::Get | Method::Head => followed.get().into(),
        Method::Post => followed.post(),
        _ => {
            let text = "a share link is for looking and downloading";
            let allow = "GET, HEAD, POST";
            followed.here.refuse(405, text).field("Allow", allow).into()
        }
    }
}

/// Finds the link. What it was and is no more looks as what never was.
fn followed(here: Here) -> Result<Followed, Reply> {
    let none = |here: &Here| here.refuse(404, "this link leads nowhere, or no more");
    let below = here.ask.path.strip_prefix(LINKS).unwrap_or_default();
    let end = below.iter().position(|&byte| byte == b'/');
    let (token, rest) = below.split_at(end.unwrap_or(below.len()));
    let Ok(token) = std::str::from_utf8(token) else {
        return Err(none(&here));
    };
    let Some(accounts) = here.site.gate.accounts() else {
        return Err(none(&here));
    };
    match accounts.link(token) {
        Ok(Some(link)) => Ok(Followed {
            link,
            token: token.to_owned(),
            rest: rest.to_vec(),
            here,
        }),
        Ok(None) => Err(none(&here)),
        Err(error) => Err(here.broken(error)),
    }
}

impl Followed {
    /// Where the link leads.
    fn base(&self) -> String {
        format!("{}/.hythe/l/{}", self.here.ask.mount, self.token)
    }

    fn get(self) -> Reply {
        // Its own links are relative to it.
        if self.rest.is_empty() {
            return self.settled(self.here.go_to(&format!("{}/", self.base())));
        }
        if let Err(reply) = self.unlock() {
            return self.settled(reply);
        }
        let reply = self.give().unwrap_or_else(|error| {
            refused(&self.here.site, &self.here.ask, &self.here.visit, &error)
        });
        self.settled(reply)
    }

    /// What is the same for all replies: they are for whoever has the link, and
    /// the link is nobody else's business.
    fn settled(&self, mut reply: Reply) -> Reply {
        // What is kept ready for the next who asks is kept by its path alone.
        reply.made_from = None;
        reply.fields.retain(|(name, _)| {
            !name.eq_ignore_ascii_case("Cache-Control")
                && !name.eq_ignore_ascii_case("Referrer-Policy")
        });
        reply
            .field("Cache-Control", "private, no-store")
            // `no-referrer` would leave out the origin of the form as well.
            .field("Referrer-Policy", "same-origin")
            .field("X-Robots-Tag", "noindex")
    }

    fn setting(&self) -> Setting {
        Setting {
            lang: self.here.lang(),
            base: self.base(),
            ..Setting::default()
        }
    }

    // --- The password ---

    /// Goes on if there is no password, or it is known.
    fn unlock(&self) -> Result<(), Reply> {
        if !self.link.has_password() || self.has_pass() {
            return Ok(());
        }
        let Some(authorization) = &self.here.ask.authorization else {
            return Err(self.ask_for_password(401, None));
        };
        let Some((_, password)) = basic::credentials(authorization) else {
            return Err(self.ask_for_password(401, None));
        };
        self.check(&password)
    }

    fn has_pass(&self) -> bool {
        let name = format!("{COOKIE}{}=", self.link.id);
        let pass = self.link.pass(&self.token);
        let cookies = self.here.ask.field("Cookie").unwrap_or_default();
        cookies
            .split(|&byte| byte == b';')
            .filter_map(|pair| pair.trim_ascii().strip_prefix(name.as_bytes()))
            .any(|value| value == pass.as_bytes())
    }

    fn check(&self, password: &[u8]) -> Result<(), Reply> {
        let accounts = self.here.accounts()?;
        let from = &self.here.ask.way.peer;
        accounts
            .unlock_link(&self.link, password, from)
            .map_err(|denied| {
                let (status, text) = match &denied {
                    Denied::Wrong => {
                        let text = self.here.lang().say("The password is wrong.");
                        (401, text.to_owned())
                    }
                    other => told_denied(self.here.lang(), other),
                };
                let reply = self.ask_for_password(status, Some(&text));
                match denied {
                    Denied::Throttled(wait) => {
                        reply.field("Retry-After", whole_seconds(wait).to_string())
                    }
                    _ => reply,
                }
            })
    }

    fn ask_for_password(&self, status: u16, wrong: Option<&str>) -> Reply {
        if self.here.is_for_people() {
            let action = String::from_utf8_lossy(&self.here.ask.path);
            let page = link_password_page(&self.setting(), &action, wrong);
            return self.here.page(status, page);
        }
        let text =
            wrong.unwrap_or("this link has a password; send it as that of Basic, with any name");
        let reply = self.here.refuse(status, text.trim_end_matches(['.', '。']));
        if status == 401 && !self.here.ask.browser {
            return reply.field(
                "WWW-Authenticate",
                "Basic realm=\"share link\", charset=\"UTF-8\"",
            );
        }
        reply
    }

    fn post(self) -> Answer {
        let ask = Arc::clone(&self.here.ask);
        if is_selection(&ask) {
            if let Err(reply) = self.unlock() {
                return self.settled(reply).into();
            }
            return small_form(&ask, SELECTION_LIMIT, move |form| {
                let reply = self.zip(&form).unwrap_or_else(|error| {
                    refused(&self.here.site, &self.here.ask, &self.here.visit, &error)
                });
                self.settled(reply)
            });
        }
        small_form(&ask, super::FORM_LIMIT, move |form| {
            self.settled(self.enter(&form))
        })
    }

    fn enter(&self, form: &Form) -> Reply {
        if self.link.has_password()
            && let Err(reply) = self.check(bytes(form, "password"))
        {
            return reply;
        }
        // As it came, in which it can begin with nothing but this server's path.
        let path = String::from_utf8_lossy(&self.here.ask.path);
        let secure = if self.here.ask.way.tls {
            "; Secure"
        } else {
            ""
        };
        let (id, pass, base) = (self.link.id, self.link.pass(&self.token), self.base());
        // `Lax`: whoever follows the link from a letter has come from elsewhere.
        let cookie = format!("{COOKIE}{id}={pass}; Path={base}; HttpOnly; SameSite=Lax{secure}");
        self.here.go_to(&path).field("Set-Cookie", cookie)
    }

    // --- What it gives ---

    fn give(&self) -> io::Result<Reply> {
        let gate = &self.here.site.gate;
        match gate.given(&self.link, &self.here.ask.way.peer)? {
            Given::File(view, path) => self.give_file(&view, &path),
            Given::Folder(view) => self.give_folder(view),
        }
    }

    fn give_file(&self, view: &View, path: &RelPath) -> io::Result<Reply> {
        let opened = view.open(path)?;
        let name = path.name().unwrap_or_default();
        let (asked, as_folder) = match RelPath::from_url_path(&self.rest) {
            Ok(parsed) => parsed,
            Err(bad) => return Ok(Reply::refusal(&self.here.ask, 400, &bad.to_string())),
        };
        if asked.is_root() && self.here.is_for_people() {
            if let Some(gone) = self.used_up(path)? {
                return Ok(gone);
            }
            let mut href = format!("{}/", self.base());
            href.extend(percent_encode(name, ESCAPED));
            let setting = self.setting();
            let page = link_file_page(&setting, name, opened.meta.size, &href, self.link.left);
            return Ok(self.here.page(200, page));
        }
        let itself = asked.as_bytes() == name && !as_folder;
        if !asked.is_root() && !itself {
            return Err(io::ErrorKind::NotFound.into());
        }
        let mut ask = self.own_ask();
        // Compressed neighbours are other files.
        ask.codings = Codings::default();
        let mut reply = file(&self.here.site, &ask, view, path, opened)?;
        if asked.is_root() && reply.status < 300 {
            let mut disposition = Vec::new();
            content_disposition("attachment", name, &mut disposition);
            reply
                .fields
                .retain(|(name, _)| *name != "Content-Disposition");
            reply = reply.field("Content-Disposition", disposition);
        }
        self.counted(path, reply)
    }

    fn give_folder(&self, view: View) -> io::Result<Reply> {
        let ask = self.own_ask();
        let (path, as_folder) = match RelPath::from_url_path(&self.rest) {
            Ok(parsed) => parsed,
            Err(bad) => return Ok(Reply::refusal(&ask, 400, &bad.to_string())),
        };
        let opened = view.open(&path)?;
        match (opened.meta.kind, as_folder) {
            (Kind::Folder, true) => {
                let visit = self.visit(view);
                let reply = folder(&self.here.site, &ask, &visit, path.clone())?;
                if is_download(&reply) {
                    self.counted(&path, reply)
                } else if let Some(gone) = self.used_up(&path)? {
                    Ok(gone)
                } else {
                    Ok(reply)
                }
            }
            (Kind::Folder, false) => Ok(redirect(&ask, &self.base(), &path)),
            (Kind::File, false) => {
                let reply = file(&self.here.site, &ask, &view, &path, opened)?;
                self.counted(&path, reply)
            }
            (Kind::File, true) => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn zip(&self, form: &Form) -> io::Result<Reply> {
        let gate = &self.here.site.gate;
        let Given::Folder(view) = gate.given(&self.link, &self.here.ask.way.peer)? else {
            return Err(io::ErrorKind::NotFound.into());
        };
        let ask = self.own_ask();
        let Ok((path, true)) = RelPath::from_url_path(&self.rest) else {
            return Err(io::ErrorKind::NotFound.into());
        };
        let reply = selection(&ask, &self.visit(view), &path, form)?;
        if reply.status < 300 {
            self.counted(&path, reply)
        } else {
            Ok(reply)
        }
    }

    /// The request as one for what is behind the link.
    fn own_ask(&self) -> Ask {
        let mut ask = (*self.here.ask).clone();
        ask.path.clone_from(&self.rest);
        ask.plain = false;
        ask
    }

    /// The visitor as one who sees only this.
    fn visit(&self, view: View) -> Visit {
        Visit {
            view,
            base: self.base(),
            ..self.here.visit.clone()
        }
    }

    // --- Counting ---

    /// A reply with content of the share, if there is a download left for it.
    fn counted(&self, path: &RelPath, reply: Reply) -> io::Result<Reply> {
        if self.link.downloads.is_none() || !matches!(reply.status, 200 | 206) {
            return Ok(reply);
        }
        let Some(accounts) = self.here.site.gate.accounts() else {
            return Err(io::ErrorKind::NotFound.into());
        };
        let from = &self.here.ask.way.peer;
        let goes_on = !begins(&reply) && accounts.continue_download(&self.link, path, from)?;
        if goes_on {
            return Ok(reply);
        }
        if self.here.ask.method == Method::Head {
            return Ok(self.used_up(path)?.unwrap_or(reply));
        }
        if accounts.take_download(&self.link, path, from)? {
            return Ok(reply);
        }
        Ok(self.gone())
    }

    /// The reply where no download is left.
    fn used_up(&self, path: &RelPath) -> io::Result<Option<Reply>> {
        if self.link.left != Some(0) {
            return Ok(None);
        }
        let accounts = self.here.site.gate.accounts();
        let from = &self.here.ask.way.peer;
        let goes_on = match accounts {
            Some(accounts) if self.here.ask.method == Method::Head => {
                accounts.continue_download(&self.link, path, from)?
            }
            _ => false,
        };
        Ok((!goes_on).then(|| self.gone()))
    }

    fn gone(&self) -> Reply {
        let text = "this link was for so many downloads, and all of them are used; \
                    ask whoever sent it for another";
        self.here.refuse(410, text)
    }
}

/// Whether a reply has the beginning of what was asked for.
fn begins(reply: &Reply) -> bool {
    let range = reply
        .fields
        .iter()
        .find(|(name, _)| *name == "Content-Range");
    match range {
        Some((_, value)) => value.starts_with(b"bytes 0-"),
        None => true,
    }
}

/// Whether a reply about a folder is a download: an archive, or the file that is
/// shown in place of the folder.
fn is_download(reply: &Reply) -> bool {
    let mut fields = reply.fields.iter();
    fields.any(|(name, _)| matches!(*name, "Content-Disposition" | "ETag"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logs_have_no_tokens() {
        for (target, logged) in [
            ("/.hythe/l/secret/a?b", "/.hythe/l/-/a?b"),
            ("/.hythe/l/secret", "/.hythe/l/-"),
            ("/.hythe/l/secret?zip", "/.hythe/l/-?zip"),
            ("/.hythe/links", "/.hythe/links"),
            ("/a.hythe/l/x", "/a.hythe/l/x"),
            ("http://quay/.hythe/l/secret/", "http://quay/.hythe/l/-/"),
            (
                "BREW /.hythe/l/secret HTTP/1.1",
                "BREW /.hythe/l/- HTTP/1.1",
            ),
        ] {
            assert_eq!(&*without_token(target.as_bytes()), logged.as_bytes());
        }
    }
}
