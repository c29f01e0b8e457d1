//! Where a reference in an answer leads (RFC 3986 section 5.2).

use super::super::{RemotePath, Scheme, Url};

/// What a reference says, seen from `base`: an address for us, or in words what
/// else it is. A login in it is left out: no server tells us who we are.
pub(super) fn resolve(base: &Url, reference: &[u8]) -> Result<Url, String> {
    let text = encoded(reference.trim_ascii());
    let text = text.split('#').next().unwrap_or_default();
    if let Some(scheme) = scheme(text) {
        let known = ["http", "https"]
            .iter()
            .any(|known| scheme.eq_ignore_ascii_case(known));
        if !known || !text[scheme.len()..].starts_with("://") {
            return Err(format!("{scheme}: is not for downloads over HTTP"));
        }
        return parse(text);
    }
    if text.starts_with("//") {
        return parse(&format!("{}:{text}", base.scheme.as_str()));
    }
    let (path, query) = match text.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (text, None),
    };
    let here = base.path.encoded();
    let path = if path.starts_with('/') {
        RemotePath::from_url(path, query)
    } else if path.is_empty() {
        RemotePath::from_url(here, query.or(base.path.query()))
    } else {
        let folder = here.rfind('/').map_or(0, |slash| slash + 1);
        RemotePath::from_url(&format!("{}{path}", &here[..folder]), query)
    };
    Ok(Url {
        login: None,
        ..base.with_path(path)
    })
}

/// An address as a machine reads it again: without a login, and encoded.
pub(super) fn absolute(url: &Url) -> String {
    format!(
        "{}://{}{}",
        url.scheme.as_str(),
        url.authority(),
        target(&url.path)
    )
}

/// A path with its query, as a request line has it.
pub(super) fn target(path: &RemotePath) -> String {
    let target = match path.query() {
        Some(query) => format!("{}?{query}", path.encoded()),
        None => path.encoded().to_owned(),
    };
    // Nothing is a fragment any more.
    target.replace('#', "%23")
}

/// Whether following the redirect would give away what TLS protects.
pub(super) fn leaves_tls(from: &Url, to: &Url) -> bool {
    from.scheme == Scheme::Https && to.scheme != Scheme::Https
}

fn parse(text: &str) -> Result<Url, String> {
    let url = Url::parse(text)?;
    Ok(Url { login: None, ..url })
}

/// The scheme that a reference begins with, if it does.
fn scheme(text: &str) -> Option<&str> {
    let (scheme, _) = text.split_once(':')?;
    let mut letters = scheme.bytes();
    let fits = letters.next()?.is_ascii_alphabetic()
        && letters.all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
    fits.then_some(scheme)
}

/// With what can't stand in a URL encoded, byte by byte: servers send names as
/// they are, in whatever encoding.
fn encoded(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for &byte in bytes {
        if byte.is_ascii_graphic() {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_resolved_as_browsers_do() {
        let base = Url::parse("http://anna:x@quay:8000/a/b/c?x=1").unwrap();
        for (reference, expected) in [
            ("d", "http://quay:8000/a/b/d"),
            ("./d/", "http://quay:8000/a/b/d/"),
            ("../d?y", "http://quay:8000/a/d?y"),
            ("../../../../d", "http://quay:8000/d"),
            ("/d#e", "http://quay:8000/d"),
            ("?y=2", "http://quay:8000/a/b/c?y=2"),
            ("", "http://quay:8000/a/b/c?x=1"),
            ("//pier/d", "http://pier/d"),
            ("HTTPS://pier/d", "https://pier/d"),
            ("http://eve:y@pier/", "http://pier/"),
            ("d e\u{e9}", "http://quay:8000/a/b/d%20e%C3%A9"),
            ("d/e:f", "http://quay:8000/a/b/d/e:f"),
        ] {
            let url = resolve(&base, reference.as_bytes()).unwrap();
            assert_eq!(absolute(&url), expected, "{reference}");
            assert_eq!(url.login, None);
        }
        for bad in [
            "file:///etc/passwd",
            "gopher://quay/",
            "ftp://quay/",
            "javascript:alert(1)",
            "data:,x",
            "http:d",
            "http://",
            "//",
            "//a b/",
        ] {
            assert!(resolve(&base, bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
