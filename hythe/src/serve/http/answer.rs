//! From an [`Ask`] to an [`Answer`]: what the share has, in the form the client
//! wants it. Blocking calls and nothing else; the session runs it on the pool.

use std::io;
use std::sync::Arc;

use hythe_wire::http::Method;

use super::Shared;
use super::ask::Ask;
use super::change;
use super::file::file;
use super::folder::{SELECTION_LIMIT, folder, is_selection, redirect, selection};
use super::intake::{Answer, small_form};
use super::reply::{Body, Reply};
use super::visit::{By, Visit};
use super::{own, tus};
use crate::http::origin;
use crate::quantity::size;
use crate::share::{Access, Kind, Lacks, RelPath};

/// Decides on a request by its head.
pub(super) fn answer(site: &Arc<Shared>, ask: &Arc<Ask>) -> Answer {
    let visit = match Visit::of(site, ask) {
        Ok(visit) => visit,
        Err(refusal) => return refusal.into(),
    };
    if !site.only_shows() {
        // On whatever thread of the pool comes by when it is time.
        site.gate.share().sweep_now_and_then();
    }
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
            let allow = change::allowed(&visit, &ask.path);
            let reply = Reply::new(204, Body::Nothing).field("Allow", allow);
            tus::describe(site, &visit, reply).into()
        }
        Method::Trace | Method::Connect => {
            Reply::refusal(ask, 501, "this server has no such method").into()
        }
        Method::Post if is_selection(ask) && !tus::is_creation(ask) => select(site, ask, visit),
        _ if site.only_shows() => {
            Reply::refusal(ask, 405, "this server only shows files; it takes none")
                .field("Allow", change::allowed(&visit, &ask.path))
                .into()
        }
        _ => change::answer(site, ask, &visit),
    }
}

/// Refuses a request that would change something, if it came from another site.
pub(super) fn refuse_cross_site(ask: &Ask, by: By) -> Option<Reply> {
    let ours = origin::is_ours(
        ask.field("Sec-Fetch-Site"),
        ask.origin.as_deref(),
        &ask.host,
        by == By::Session,
    );
    (!ours).then(|| Reply::refusal(ask, 403, "this came from another site"))
}

/// An archive of what was chosen in a folder: a form, but one that reads.
fn select(site: &Arc<Shared>, ask: &Arc<Ask>, visit: Visit) -> Answer {
    let path = match RelPath::from_url_path(&ask.path) {
        Ok((path, true)) => path,
        Ok((_, false)) => return Reply::refusal(ask, 404, "there is no such folder").into(),
        Err(bad) => return Reply::refusal(ask, 400, &bad.to_string()).into(),
    };
    if let Err(error) = visit.view.require(Access::Read) {
        return refused(site, ask, &visit, &error).into();
    }
    let (own_site, own_ask) = (Arc::clone(site), Arc::clone(ask));
    small_form(ask, SELECTION_LIMIT, move |form| {
        selection(&own_ask, &visit, &path, &form)
            .unwrap_or_else(|error| refused(&own_site, &own_ask, &visit, &error))
    })
}

impl Shared {
    /// Whether nobody can change anything here, whoever asks.
    fn only_shows(&self) -> bool {
        self.gate.accounts().is_none() && self.gate.strangers() < Access::Upload
    }
}

fn get(site: &Shared, ask: &Ask, visit: &Visit) -> io::Result<Reply> {
    let (path, as_folder) = match RelPath::from_url_path(&ask.path) {
        Ok(parsed) => parsed,
        Err(bad) => return Ok(Reply::refusal(ask, 400, &bad.to_string())),
    };
    let opened = visit.view.open(&path)?;
    match (opened.meta.kind, as_folder) {
        (Kind::Folder, true) => folder(site, ask, visit, path),
        (Kind::Folder, false) => Ok(redirect(ask, &visit.base, &path)),
        (Kind::File, false) => file(site, ask, &visit.view, &path, opened),
        // A file has nothing inside.
        (Kind::File, true) => Err(io::ErrorKind::NotFound.into()),
    }
}

/// What an error of the disk or the view means to a client.
pub(super) fn refused(site: &Shared, ask: &Ask, visit: &Visit, error: &io::Error) -> Reply {
    if let Some(lacks) = Lacks::of(error) {
        return visit.lacking(site, ask, lacks, "this");
    }
    let (status, text) = meaning(visit, ask, error);
    let reply = Reply::refusal(ask, status, &text);
    match status {
        503 => reply.field("Retry-After", "1"),
        _ => reply,
    }
}

/// How large a file may be, said of one that is larger.
pub(super) fn too_large(visit: &Visit, ask: &Ask) -> String {
    match visit.view.share().rules().max_upload {
        Some(most) => {
            let text = ask.lang.say("files of more than {size} are not taken here");
            text.replace("{size}", &size(most))
        }
        None => "the file is too large".to_owned(),
    }
}

/// The status of an error, and what to say of it.
pub(super) fn meaning(visit: &Visit, ask: &Ask, error: &io::Error) -> (u16, String) {
    use io::ErrorKind as Is;
    let safe = ask.method.is_safe();
    let (status, text) = match error.kind() {
        Is::NotFound => (404, "there is no such file or folder"),
        Is::PermissionDenied if safe => (403, "you may not read this"),
        Is::PermissionDenied => (403, "the server may not write this"),
        Is::AlreadyExists => (409, "there is something of this name already"),
        Is::IsADirectory => (409, "there is a folder of this name"),
        Is::NotADirectory => (409, "there is a file where a folder is needed"),
        Is::DirectoryNotEmpty => (409, "the folder is not empty"),
        Is::QuotaExceeded => (507, "your quota does not leave room for it"),
        Is::StorageFull => (507, "the server's disk is full"),
        Is::FileTooLarge => return (413, too_large(visit, ask)),
        Is::ReadOnlyFilesystem => (403, "the server's disk can't be written to"),
        Is::Unsupported => (
            403,
            "only one file is shared, and nothing can be put beside it",
        ),
        Is::InvalidFilename => (400, "the name is too long"),
        Is::InvalidInput if !safe => (409, "this can't be done with it"),
        Is::ResourceBusy if !safe => (412, "somebody else has changed it meanwhile"),
        Is::WouldBlock | Is::Interrupted | Is::ResourceBusy => (503, "busy; try again"),
        _ if is_shortage(error) => (503, "the server is short of resources; try again"),
        _ => {
            let path = crate::serve::log::Escaped(&ask.path);
            let doing = if safe { "read" } else { "write" };
            tracing::warn!(%path, %error, "cannot {doing}");
            let text = format!("the server cannot {doing} this");
            return (500, text);
        }
    };
    (status, text.to_owned())
}

/// Out of descriptors or memory: it passes.
pub(super) fn is_shortage(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(12 | 23 | 24))
}
