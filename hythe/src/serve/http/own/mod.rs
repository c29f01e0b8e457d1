//! The server's own pages, below `/.hythe/`: no part of the share.

use std::sync::Arc;

use super::Site;
use super::ask::Ask;
use super::intake::Answer;
use super::reply::Reply;
use super::visit::Visit;
use crate::share::Access;

/// Answers a request for what is below `/.hythe/`, uploads excepted.
/// Cross-site requests that would change something have been refused already.
pub(super) fn answer(_site: &Arc<Site>, ask: &Arc<Ask>, _visit: &Visit) -> Answer {
    Reply::refusal(ask, 404, "there is no such page").into()
}

/// What a browser gets whose user would have to sign in: status 401 and no
/// `WWW-Authenticate`, lest a window pop up.
pub(super) fn sign_in_first(_site: &Site, ask: &Ask, needed: Access) -> Reply {
    let text = format!("sign in with an account that has the role {needed}");
    Reply::refusal(ask, 401, &text)
}
