//! From an [`Ask`] to an [`Answer`]: what the share has, in the form the client
//! wants it. Blocking calls and nothing else; the session runs it on the pool.

use std::io;
use std::sync::Arc;

use hythe_wire::http::Method;

use super::Site;
use super::ask::Ask;
use super::change;
use super::file::file;
use super::folder::{folder, redirect};
use super::intake::Answer;
use super::origin::refuse_cross_site;
use super::reply::{Body, Reply};
use super::visit::Visit;
use super::{own, tus};
use crate::share::{Access, Kind, Lacks, RelPath};

/// What this server allows on every resource.
const ALLOW: &str = "GET, HEAD, OPTIONS";

/// Decides on a request by its head.
pub(super) fn answer(site: &Arc<Site>, ask: &Arc<Ask>) -> Answer {
    let visit = match Visit::of(site, ask) {
        Ok(visit) => visit,
        Err(refusal) => return refusal.into(),
    };
    if !ask.method.is_safe()
        && let Some(refusal) = refuse_cross_site(ask, visit.by)
    {
        return refusal.into();
    }
    if ask.path.starts_with(tus::UPLOADS) {
        return tus::answer(site, ask, &visit);
    }
    if ask.is_own() {
        return own::answer(site, ask, &visit);
    }
    match ask.method {
        Method::Get | Method::Head => get(site, ask, &visit)
            .unwrap_or_else(|error| refused(site, ask, &visit, &error))
            .into(),
        Method::Options => {
            let reply = Reply::new(204, Body::Nothing).field("Allow", ALLOW);
            tus::describe(site, &visit, reply).into()
        }
        Method::Trace | Method::Connect => {
            Reply::refusal(ask, 501, "this server has no such method").into()
        }
        _ if site.only_shows() => {
            Reply::refusal(ask, 405, "this server only shows files; it takes none")
                .field("Allow", ALLOW)
                .into()
        }
        _ => change::answer(site, ask, &visit),
    }
}

impl Site {
    /// Whether nobody can change anything here, whoever asks.
    fn only_shows(&self) -> bool {
        self.gate.accounts().is_none() && self.gate.strangers() < Access::Upload
    }
}

fn get(site: &Site, ask: &Ask, visit: &Visit) -> io::Result<Reply> {
    let (path, as_folder) = match RelPath::from_url_path(&ask.path) {
        Ok(parsed) => parsed,
        Err(bad) => return Ok(Reply::refusal(ask, 400, &bad.to_string())),
    };
    let opened = visit.view.open(&path)?;
    match (opened.meta.kind, as_folder) {
        (Kind::Folder, true) => folder(site, ask, visit, path),
        (Kind::Folder, false) => Ok(redirect(ask, &path)),
        (Kind::File, false) => file(site, ask, &visit.view, &path, opened),
        // A file has nothing inside.
        (Kind::File, true) => Err(io::ErrorKind::NotFound.into()),
    }
}

/// What an error of the disk or the view means to a client.
pub(super) fn refused(site: &Site, ask: &Ask, visit: &Visit, error: &io::Error) -> Reply {
    use io::ErrorKind as Is;
    if let Some(lacks) = Lacks::of(error) {
        return visit.lacking(site, ask, lacks);
    }
    match error.kind() {
        Is::NotFound => Reply::refusal(ask, 404, "there is no such file or folder"),
        Is::PermissionDenied => Reply::refusal(ask, 403, "you may not read this"),
        Is::WouldBlock | Is::Interrupted | Is::ResourceBusy => {
            Reply::refusal(ask, 503, "busy; try again").field("Retry-After", "1")
        }
        _ if is_shortage(error) => {
            Reply::refusal(ask, 503, "the server is short of resources; try again")
                .field("Retry-After", "5")
        }
        _ => {
            tracing::warn!(path = %super::log::Escaped(&ask.path), %error, "cannot read");
            Reply::refusal(ask, 500, "the server cannot read this")
        }
    }
}

/// Out of descriptors or memory: it passes.
pub(super) fn is_shortage(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(12 | 23 | 24))
}
