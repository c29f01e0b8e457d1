//! What changes the share: PUT, DELETE, MKCOL, MOVE, COPY, and forms.

use std::sync::Arc;

use hythe_wire::http::Method;

use super::Site;
use super::ask::Ask;
use super::intake::Answer;
use super::reply::Reply;
use super::tus;
use super::visit::Visit;
use crate::share::RelPath;

/// Decides on a request that would change something.
pub(super) fn answer(site: &Arc<Site>, ask: &Arc<Ask>, visit: &Visit) -> Answer {
    let (path, _as_folder) = match RelPath::from_url_path(&ask.path) {
        Ok(parsed) => parsed,
        Err(bad) => return Reply::refusal(ask, 400, &bad.to_string()).into(),
    };
    match ask.method {
        Method::Post if tus::is_creation(ask) => tus::create(site, ask, visit, &path),
        _ => Reply::refusal(ask, 405, "not yet").into(),
    }
}
