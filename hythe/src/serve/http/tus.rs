//! Resumable uploads (tus 1.0.0).

use std::sync::Arc;

use super::Site;
use super::ask::Ask;
use super::intake::Answer;
use super::reply::Reply;
use super::visit::Visit;
use crate::share::RelPath;

/// What unfinished uploads are below.
pub(super) const UPLOADS: &[u8] = b"/.hythe/uploads/";

/// Whether a POST to a folder is meant to begin a resumable upload.
pub(super) fn is_creation(ask: &Ask) -> bool {
    ["Tus-Resumable", "Upload-Length", "Upload-Defer-Length"]
        .into_iter()
        .any(|name| ask.field(name).is_some())
}

/// Begins an upload into a folder.
pub(super) fn create(
    _site: &Arc<Site>,
    ask: &Arc<Ask>,
    _visit: &Visit,
    _folder: &RelPath,
) -> Answer {
    Reply::refusal(ask, 404, "there are no resumable uploads").into()
}

/// Answers a request for what is below [`UPLOADS`].
pub(super) fn answer(_site: &Arc<Site>, ask: &Arc<Ask>, _visit: &Visit) -> Answer {
    Reply::refusal(ask, 404, "there is no such upload").into()
}

/// Adds what a client that asks for the capabilities of a folder, by OPTIONS,
/// wants to know.
pub(super) fn describe(_site: &Site, _visit: &Visit, reply: Reply) -> Reply {
    reply
}
