//! Who may use what is served beside a share: the same people, by the same rules.

use std::borrow::Cow;
use std::sync::Arc;

use hythe_net::reactor::unblock;

use super::answer::refuse_cross_site;
use super::ask::{Ask, COOKIE};
use super::reply::Reply;
use super::visit::{By, Visit};
use super::{Shared, Site};
use crate::accounts::Account;
use crate::http::{HeaderValue, Request, Response, header};
use crate::share::{Access, Lacks};

impl Site {
    /// Lets a visitor in who may do this with the share, for something else that
    /// is served beside it: with the share's own accounts, and its own answer for
    /// who may not. Who has signed in is among the request's extensions then, as an
    /// [`Account`]. The cookie of the share's session is taken out of the request:
    /// it is for nobody else to read.
    ///
    /// # Errors
    /// The answer for who is not let in; and for a request that may change
    /// something, which another site has made the browser of somebody send who is
    /// signed in here.
    pub async fn admit(&self, request: &mut Request, needed: Access) -> Result<(), Response> {
        let shared = Arc::clone(&self.shared);
        let refused = |reply: Reply| reply.into_response().0;
        if shared.gate.accounts().is_none() && shared.gate.strangers() >= needed {
            return Ok(());
        }
        let ask = Ask::of(request, shared.way(request));
        let account = unblock(move || admitted(&shared, &ask, needed)).await;
        if let Some(account) = account.map_err(refused)? {
            request.extensions_mut().insert(account);
        }
        take_out_session(request);
        Ok(())
    }
}

fn admitted(site: &Shared, ask: &Ask, needed: Access) -> Result<Option<Account>, Reply> {
    let visit = Visit::of(site, ask)?;
    let has = visit.view.access();
    if has < needed {
        return Err(visit.lacking(site, ask, Lacks { needed, has }, "this"));
    }
    if visit.by != By::Nobody
        && !ask.method.is_safe()
        && let Some(refusal) = refuse_cross_site(ask, visit.by)
    {
        return Err(refusal);
    }
    Ok(visit.account)
}

/// Takes the sessions of shares out of a request's cookies.
fn take_out_session(request: &mut Request) {
    let lines = request.headers().get_all(header::COOKIE).iter();
    let kept: Vec<HeaderValue> = lines.filter_map(others).collect();
    let headers = request.headers_mut();
    headers.remove(header::COOKIE);
    for line in kept {
        headers.append(header::COOKIE, line);
    }
}

/// The cookies of a line that are no sessions of ours.
fn others(line: &HeaderValue) -> Option<HeaderValue> {
    let others = without_sessions(line.as_bytes());
    let others = HeaderValue::from_bytes(&others).ok();
    others.filter(|line| !line.is_empty())
}

/// A line of cookies without those of sessions with a share, of other servers on
/// this machine as well: cookies know no ports. Whose they are, is for nobody else
/// to know.
pub(crate) fn without_sessions(line: &[u8]) -> Cow<'_, [u8]> {
    let is_session = |pair: &&[u8]| pair.trim_ascii().starts_with(COOKIE.as_bytes());
    let pairs = line.split(|&byte| byte == b';');
    if !pairs.clone().any(|pair| is_session(&pair)) {
        return Cow::Borrowed(line);
    }
    let kept = pairs.filter(|pair| !is_session(pair));
    let kept: Vec<&[u8]> = kept.map(<[u8]>::trim_ascii).collect();
    Cow::Owned(kept.join(&b"; "[..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_are_no_business_of_others() {
        for (line, kept) in [
            ("a=b", Some("a=b")),
            ("hythe-session-8000=secret", None),
            ("a=b; hythe-session-8000=secret; c=d", Some("a=b; c=d")),
            ("hythe-session-8000=secret;c=d", Some("c=d")),
            (" hythe-session-1=x;hythe-session-2=y", None),
            ("x-hythe-session-1=x", Some("x-hythe-session-1=x")),
        ] {
            let others = others(&HeaderValue::from_static(line));
            let others = others.as_ref().and_then(|line| line.to_str().ok());
            assert_eq!(others, kept, "{line}");
        }
    }
}
