//! Cross-site requests: what another site makes a visitor's browser ask is not
//! what the visitor asks.
//!
//! Browsers tell where a request comes from, by `Sec-Fetch-Site` or, to hosts
//! without TLS, by `Origin`; pages can neither leave these out nor forge them.
//! Programs send neither, and nobody else makes them ask.

use super::ask::Ask;
use super::reply::Reply;
use super::visit::By;

/// Refuses a request that would change something, if it came from another site.
pub(super) fn refuse_cross_site(ask: &Ask, by: By) -> Option<Reply> {
    let ours = is_ours(
        ask.field("Sec-Fetch-Site"),
        ask.origin.as_deref(),
        &ask.host,
        by,
    );
    (!ours).then(|| Reply::refusal(ask, 403, "this came from another site"))
}

fn is_ours(site: Option<&[u8]>, origin: Option<&[u8]>, host: &[u8], by: By) -> bool {
    match (site, origin) {
        // `none` is the user's own doing: an address typed, a bookmark.
        (Some(site), _) => matches!(site, b"same-origin" | b"none"),
        (None, Some(origin)) => {
            let authority = [&b"http://"[..], b"https://"]
                .into_iter()
                .find_map(|scheme| origin.strip_prefix(scheme));
            authority.is_some_and(|authority| authority.eq_ignore_ascii_case(host))
        }
        // A browser so old that it tells nothing may have been made to ask.
        (None, None) => by != By::Session,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_pages_and_programs_are_let_through() {
        let evil: &[u8] = b"http://evil";
        let quay: &[u8] = b"http://Quay:8000";
        for (site, origin, by, expected) in [
            (Some(&b"same-origin"[..]), None, By::Session, true),
            (Some(b"none"), None, By::Session, true),
            (Some(b"same-site"), Some(quay), By::Session, false),
            (Some(b"cross-site"), Some(quay), By::Nobody, false),
            (Some(b"nonsense"), None, By::Basic, false),
            (Some(b""), None, By::Basic, false),
            (None, Some(quay), By::Session, true),
            (None, Some(b"https://quay:8000"), By::Session, true),
            (None, Some(b"http://quay"), By::Session, false),
            (None, Some(b"http://quay:8000.evil"), By::Session, false),
            (None, Some(evil), By::Nobody, false),
            (None, Some(b"null"), By::Basic, false),
            (None, Some(b""), By::Basic, false),
            (None, Some(b"quay:8000"), By::Basic, false),
            (None, None, By::Session, false),
            (None, None, By::Basic, true),
            (None, None, By::Nobody, true),
        ] {
            let ours = is_ours(site, origin, b"quay:8000", by);
            assert_eq!(ours, expected, "{site:?} {origin:?} {by:?}");
        }
        assert!(!is_ours(None, Some(b"http://"), b"quay", By::Basic));
    }
}
