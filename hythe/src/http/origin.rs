//! Cross-site requests: what another site makes a visitor's browser ask is not
//! what the visitor asks.
//!
//! Browsers tell where a request comes from, by `Sec-Fetch-Site` or, to hosts
//! without TLS, by `Origin`; pages can neither leave these out nor forge them.
//! Programs send neither, and nobody else makes them ask.

/// Whether a request comes from one of our own pages, from its user or from a
/// program: by the values of its fields `Sec-Fetch-Site` and `Origin`, by the host
/// it asks, and by whether a browser has added by itself who its user is.
pub(crate) fn is_ours(
    site: Option<&[u8]>,
    origin: Option<&[u8]>,
    host: &[u8],
    recognised: bool,
) -> bool {
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
        (None, None) => !recognised,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_pages_and_programs_are_let_through() {
        let evil: &[u8] = b"http://evil";
        let quay: &[u8] = b"http://Quay:8000";
        for (site, origin, recognised, expected) in [
            (Some(&b"same-origin"[..]), None, true, true),
            (Some(b"none"), None, true, true),
            (Some(b"same-site"), Some(quay), true, false),
            (Some(b"cross-site"), Some(quay), false, false),
            (Some(b"nonsense"), None, false, false),
            (Some(b""), None, false, false),
            (None, Some(quay), true, true),
            (None, Some(b"https://quay:8000"), true, true),
            (None, Some(b"http://quay"), true, false),
            (None, Some(b"http://quay:8000.evil"), true, false),
            (None, Some(evil), false, false),
            (None, Some(b"null"), false, false),
            (None, Some(b""), false, false),
            (None, Some(b"quay:8000"), false, false),
            (None, None, true, false),
            (None, None, false, true),
            (None, None, false, true),
        ] {
            let ours = is_ours(site, origin, b"quay:8000", recognised);
            assert_eq!(ours, expected, "{site:?} {origin:?} {recognised}");
        }
        assert!(!is_ours(None, Some(b"http://"), b"quay", false));
    }
}
