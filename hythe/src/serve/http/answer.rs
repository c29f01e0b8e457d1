//! From an [`Ask`] to a [`Reply`]: what the share has, in the form the client
//! wants it. Blocking file calls and nothing else; the session runs it on the
//! pool.

use std::io;

use hythe_wire::http::Method;

use super::Site;
use super::ask::Ask;
use super::file::file;
use super::folder::{folder, redirect};
use super::reply::{Body, Reply};
use crate::share::{Kind, RelPath};

/// What this server allows on every resource.
const ALLOW: &str = "GET, HEAD, OPTIONS";

/// Answers a request.
pub(super) fn answer(site: &Site, ask: &Ask) -> Reply {
    match ask.method {
        Method::Get | Method::Head => get(site, ask).unwrap_or_else(|error| refused(ask, &error)),
        Method::Options => Reply::new(204, Body::Nothing).field("Allow", ALLOW),
        Method::Trace | Method::Connect => {
            Reply::refusal(ask, 501, "this server has no such method")
        }
        _ => Reply::refusal(ask, 405, "this server only shows files; it takes none")
            .field("Allow", ALLOW),
    }
}

fn get(site: &Site, ask: &Ask) -> io::Result<Reply> {
    let (path, as_folder) = match RelPath::from_url_path(&ask.path) {
        Ok(parsed) => parsed,
        Err(bad) => return Ok(Reply::refusal(ask, 400, &bad.to_string())),
    };
    let opened = site.view.open(&path)?;
    match (opened.meta.kind, as_folder) {
        (Kind::Folder, true) => folder(site, ask, path),
        (Kind::Folder, false) => Ok(redirect(ask, &path)),
        (Kind::File, false) => file(site, ask, &path, opened),
        // A file has nothing inside.
        (Kind::File, true) => Err(io::ErrorKind::NotFound.into()),
    }
}

/// What an error of the disk or the view means to a client.
fn refused(ask: &Ask, error: &io::Error) -> Reply {
    use io::ErrorKind as Is;
    match error.kind() {
        Is::NotFound => Reply::refusal(ask, 404, "there is no such file or folder"),
        Is::PermissionDenied => Reply::refusal(ask, 403, "you may not read this"),
        Is::WouldBlock | Is::Interrupted | Is::ResourceBusy => {
            Reply::refusal(ask, 503, "busy; try again").field("Retry-After", "1")
        }
        // Out of descriptors or memory: it passes.
        _ if matches!(error.raw_os_error(), Some(12 | 23 | 24)) => {
            Reply::refusal(ask, 503, "the server is short of resources; try again")
                .field("Retry-After", "5")
        }
        _ => {
            tracing::warn!(path = %super::log::Escaped(&ask.path), %error, "cannot read");
            Reply::refusal(ask, 500, "the server cannot read this")
        }
    }
}
