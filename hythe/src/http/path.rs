//! The one form of a path (RFC 3986 section 6.2.2): what is equivalent is the same
//! text, before anybody decides by it.

use std::borrow::Cow;

use percent_encoding::{AsciiSet, CONTROLS, percent_decode, percent_encode_byte};

/// What can't stand in a segment of a path as it is (RFC 3986 section 3.3), in text
/// that was never encoded.
pub(crate) const SEGMENT: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'%')
    .add(b'/')
    .add(b'<')
    .add(b'>')
    .add(b'?')
    .add(b'[')
    .add(b'\\')
    .add(b']')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

/// The same, in a pattern of a router, where braces have a meaning.
pub(super) const PATTERN: &AsciiSet = &SEGMENT.remove(b'/').remove(b'{').remove(b'}').remove(b'%');

/// The path in its one form: dot segments are resolved, never past the root;
/// letters that need no encoding have none; all else that is encoded is so with
/// capital digits, and what is not ASCII is encoded.
///
/// A `%` that begins no escape is left as it is, for whoever decodes to refuse.
pub(super) fn normal(path: &[u8]) -> Cow<'_, str> {
    let is_normal = path.is_ascii()
        && !path.contains(&b'%')
        && !path.windows(2).any(|pair| pair == b"/.")
        && path.first() == Some(&b'/');
    if is_normal && let Ok(text) = std::str::from_utf8(path) {
        return Cow::Borrowed(text);
    }
    if path == b"*" {
        return Cow::Borrowed("*");
    }
    Cow::Owned(without_dots(&unreserved(path)))
}

/// Decodes what is encoded needlessly, and encodes what is not ASCII.
fn unreserved(path: &[u8]) -> String {
    let mut text = String::with_capacity(path.len());
    let mut rest = path;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        let escape = (byte == b'%').then(|| after.get(..2)).flatten();
        match escape.and_then(hexadecimal) {
            Some(decoded) => {
                rest = &after[2..];
                if decoded.is_ascii_alphanumeric() || b"-._~".contains(&decoded) {
                    text.push(decoded.into());
                } else {
                    text.push_str(percent_encode_byte(decoded));
                }
            }
            None if byte.is_ascii() => text.push(byte.into()),
            None => text.push_str(percent_encode_byte(byte)),
        }
    }
    text
}

fn hexadecimal(digits: &[u8]) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let [high, low] = digits else {
        return None;
    };
    u8::try_from(digit(*high)? << 4 | digit(*low)?).ok()
}

/// A path without dot segments (RFC 3986 section 5.2.4). Empty ones stay: to some
/// servers they mean something.
pub(crate) fn without_dots(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let mut segments = path.strip_prefix('/').unwrap_or(path).split('/').peekable();
    while let Some(segment) = segments.next() {
        // Encoded dots are dots (RFC 3986 section 6.2.2.2).
        let plain = segment.replace("%2e", ".").replace("%2E", ".");
        let is_dots = plain == "." || plain == "..";
        if plain == ".." {
            kept.pop();
        }
        match segments.peek() {
            // It was a folder.
            None if is_dots => kept.push(""),
            _ if is_dots => {}
            _ => kept.push(segment),
        }
    }
    format!("/{}", kept.join("/"))
}

/// A path byte for byte, but for its dot segments, which are resolved; of it, what is
/// below `base`, the beginning of its normal form: nothing, or what begins with a
/// slash.
pub(super) fn below(path: &[u8], base: &str) -> Vec<u8> {
    let mut kept: Vec<&[u8]> = Vec::new();
    let mut segments = path.split(|&byte| byte == b'/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let is_last = segments.peek().is_none();
        match &*unreserved(segment) {
            "." => {}
            ".." => _ = kept.pop(),
            _ => {
                kept.push(segment);
                continue;
            }
        }
        if is_last {
            kept.push(b"");
        }
    }
    // Both forms have the same segments.
    let above = base.matches('/').count();
    let mut rest = Vec::with_capacity(path.len());
    for segment in kept.into_iter().skip(above) {
        rest.push(b'/');
        rest.extend_from_slice(segment);
    }
    rest
}

/// A segment, or several, decoded; `None` for what is no text in UTF-8, or has a
/// `%` that begins no escape.
pub(super) fn decoded(text: &str) -> Option<String> {
    let mut escapes = text.split('%').skip(1);
    let legal = escapes.all(|rest| rest.as_bytes().get(..2).and_then(hexadecimal).is_some());
    let decoded = percent_decode(text.as_bytes()).decode_utf8().ok()?;
    legal.then(|| decoded.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equivalent_paths_are_one() {
        for (path, expected) in [
            ("/", "/"),
            ("/a/b", "/a/b"),
            ("/%61/%7e", "/a/~"),
            ("/%2e%2E/x", "/x"),
            ("/a/./b/../c", "/a/c"),
            ("/a/..", "/"),
            ("/a/b/..", "/a/"),
            ("/a/.", "/a/"),
            ("/../../a", "/a"),
            ("/a//b", "/a//b"),
            ("//a", "//a"),
            ("/a%2fb", "/a%2Fb"),
            ("/%252e%252e/x", "/%252e%252e/x"),
            ("/..%5cx", "/..%5Cx"),
            ("/%zz%", "/%zz%"),
            ("/留言", "/%E7%95%99%E8%A8%80"),
            ("/%e7%95%99%e8%a8%80", "/%E7%95%99%E8%A8%80"),
            ("/.hidden/...", "/.hidden/..."),
            ("*", "*"),
        ] {
            assert_eq!(normal(path.as_bytes()), expected, "{path}");
            assert_eq!(normal(expected.as_bytes()), expected, "{path} again");
        }
        assert_eq!(normal(b"/\xff"), "/%FF");
    }

    #[test]
    fn what_is_below_has_the_segments_of_the_normal_form() {
        for (path, base, expected) in [
            ("/a/b", "", "/a/b"),
            ("/a/b", "/a", "/b"),
            ("/a", "/a", ""),
            ("/a/", "/a", "/"),
            ("/%61/%7e%2f", "/a", "/%7e%2f"),
            ("/x/%2e%2E/a/./b//c/..", "/a", "/b//"),
            ("/../../a/.", "/a", "/"),
            ("/a//b", "/a", "//b"),
        ] {
            let rest = below(path.as_bytes(), base);
            assert_eq!(rest, expected.as_bytes(), "{path} {base}");
            let whole = normal(path.as_bytes()).into_owned();
            assert_eq!(normal(&[base.as_bytes(), &rest].concat()), whole, "{path}");
        }
    }

    #[test]
    fn segments_are_decoded_once() {
        assert_eq!(decoded("a%20b").as_deref(), Some("a b"));
        assert_eq!(decoded("%E7%95%99").as_deref(), Some("留"));
        assert_eq!(decoded("%2525").as_deref(), Some("%25"));
        assert_eq!(decoded("a%2Fb").as_deref(), Some("a/b"));
        for wrong in ["%FF", "%", "%z1", "%+1", "a%2"] {
            assert_eq!(decoded(wrong), None, "{wrong}");
        }
    }
}
