//! What is in a folder, as servers show it: JSON of hythe, nginx and Caddy, or
//! a page of links as nginx, Apache, lighttpd, Caddy and Python's `http.server`
//! make it.
//!
//! A page of links is read as one: of every page, the links that lead to what
//! is directly in the folder are what is in it. What a page says of sizes and
//! times is for people, rounded and in many forms, and not used.

use std::collections::HashSet;

use jiff::Timestamp;
use percent_encoding::percent_decode_str;
use serde::Deserialize;

use super::super::{Entry, Error, Kind, RemotePath, Result, Url};
use super::answer::date;
use super::redirect::resolve;

/// How long a listing may be: a million entries.
pub(super) const LISTING_LIMIT: usize = 64 * 1024 * 1024;

/// The listings that hythe makes, and those that are a bare list.
#[derive(Deserialize)]
#[serde(untagged)]
enum Listing {
    Hythe { entries: Vec<Line> },
    Bare(Vec<Line>),
}

/// An entry, as any of them has it.
#[derive(Deserialize)]
struct Line {
    name: String,
    /// Of hythe: where it is, with every byte of its name.
    #[serde(default, deserialize_with = "given")]
    href: Option<Option<String>>,
    #[serde(rename = "type")]
    kind: Option<String>,
    is_dir: Option<bool>,
    size: Option<u64>,
    modified: Option<String>,
    mtime: Option<String>,
    mod_time: Option<String>,
}

/// Tells `null` from what is not there.
fn given<'de, D: serde::Deserializer<'de>>(
    from: D,
) -> std::result::Result<Option<Option<String>>, D::Error> {
    Option::deserialize(from).map(Some)
}

/// Reads JSON.
pub(super) fn from_json(text: &[u8], folder: &RemotePath) -> Result<Vec<Entry>> {
    let listing: Listing = serde_json::from_slice(text)
        .map_err(|_| Error::protocol("the server's listing is not one that is known here"))?;
    let (Listing::Hythe { entries: lines } | Listing::Bare(lines)) = listing;
    Ok(lines
        .into_iter()
        .filter_map(|line| line.entry(folder))
        .collect())
}

impl Line {
    fn entry(self, folder: &RemotePath) -> Option<Entry> {
        let name: Vec<u8> = match &self.href {
            // Its address has every byte of it, also of what is no text.
            Some(href) => {
                let href = href.as_deref()?.trim_end_matches('/');
                percent_decode_str(href.rsplit('/').next()?).collect()
            }
            // Caddy marks folders.
            None => self.name.strip_suffix('/').unwrap_or(&self.name).into(),
        };
        let kind = match (self.kind.as_deref(), self.is_dir) {
            (Some("folder" | "directory"), _) | (None, Some(true)) => Kind::Folder,
            (Some("file"), _) | (None, Some(false)) => Kind::File,
            _ => Kind::Other,
        };
        let rfc3339 = self.modified.or(self.mod_time);
        let rfc3339 = rfc3339.and_then(|time| time.parse::<Timestamp>().ok());
        let modified = rfc3339
            .map(Timestamp::as_second)
            .or_else(|| date(self.mtime?.as_bytes()));
        Some(Entry {
            size: self.size.filter(|_| kind == Kind::File),
            modified,
            ..entry(folder, name, kind)?
        })
    }
}

/// Reads a page. `base` is where it was found.
pub(super) fn from_html(page: &[u8], base: &Url, folder: &RemotePath) -> Vec<Entry> {
    let mut seen = HashSet::new();
    let mut entries = Vec::new();
    let here = decoded(base.path.encoded());
    for href in links(page) {
        // `?C=M;O=A` is another order, and a query is never part of a name.
        if href.contains(&b'?') {
            continue;
        }
        let Ok(url) = resolve(base, &href) else {
            continue;
        };
        if !url.is_same_origin(base) || decoded(url.path.parent().encoded()) != here {
            continue;
        }
        let kind = if url.path.is_folder() {
            Kind::Folder
        } else {
            Kind::File
        };
        let found = url.path.name().and_then(|name| entry(folder, name, kind));
        entries.extend(found.filter(|entry| seen.insert(entry.name.clone())));
    }
    entries
}

/// An entry of this name, if anything can be called so.
fn entry(folder: &RemotePath, name: Vec<u8>, kind: Kind) -> Option<Entry> {
    let unfit = matches!(name.as_slice(), b"" | b"." | b"..")
        || name.iter().any(|byte| matches!(byte, b'/' | b'\0'));
    if unfit {
        return None;
    }
    let path = folder.join(&name);
    Some(Entry {
        path: match kind {
            Kind::Folder => path.as_folder(),
            _ => path,
        },
        name,
        kind,
        size: None,
        modified: None,
        mode: None,
    })
}

fn decoded(path: &str) -> Vec<u8> {
    percent_decode_str(path).collect()
}

/// Where the links of a page lead, as they stand in it.
fn links(page: &[u8]) -> impl Iterator<Item = Vec<u8>> + '_ {
    let mut rest = page;
    std::iter::from_fn(move || {
        loop {
            let start = rest.iter().position(|byte| *byte == b'<')?;
            rest = &rest[start + 1..];
            if let Some(comment) = rest.strip_prefix(b"!--") {
                rest = find(comment, b"-->").map_or(&[], |end| &comment[end..]);
                continue;
            }
            let [b'a' | b'A', b' ' | b'\t' | b'\r' | b'\n', ..] = rest else {
                continue;
            };
            let (href, after) = href(&rest[1..]);
            rest = after;
            if let Some(href) = href {
                return Some(unescaped(href));
            }
        }
    })
}

fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    text.windows(what.len()).position(|window| window == what)
}

/// The `href` among the attributes of a tag, and what follows the tag.
fn href(mut rest: &[u8]) -> (Option<&[u8]>, &[u8]) {
    let mut found = None;
    loop {
        rest = rest.trim_ascii_start();
        match rest {
            [] => return (found, rest),
            [b'>', after @ ..] => return (found, after),
            _ => {}
        }
        let ends = |byte: &u8| byte.is_ascii_whitespace() || matches!(byte, b'=' | b'>');
        // An attribute has a name of one letter at least.
        let end = rest.iter().skip(1).position(ends);
        let (name, after) = rest.split_at(end.map_or(rest.len(), |end| end + 1));
        rest = after.trim_ascii_start();
        let Some(value) = rest.strip_prefix(b"=") else {
            continue;
        };
        let value = value.trim_ascii_start();
        let (value, after) = match value {
            [quote @ (b'"' | b'\''), inside @ ..] => {
                match inside.iter().position(|byte| byte == quote) {
                    Some(end) => (&inside[..end], &inside[end + 1..]),
                    None => return (found, &[]),
                }
            }
            _ => {
                let ends = |byte: &u8| byte.is_ascii_whitespace() || *byte == b'>';
                let end = value.iter().position(ends);
                value.split_at(end.unwrap_or(value.len()))
            }
        };
        rest = after;
        if found.is_none() && name.eq_ignore_ascii_case(b"href") {
            found = Some(value);
        }
    }
}

/// With the character references resolved that stand in such pages.
fn unescaped(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.iter().position(|byte| *byte == b'&') {
        let (before, from) = rest.split_at(start);
        out.extend_from_slice(before);
        // The longest of them is `&#1114111;`.
        let end = from.iter().take(10).position(|byte| *byte == b';');
        let letter = end.and_then(|end| reference(&from[1..end]));
        match (letter, end) {
            (Some(letter), Some(end)) => {
                out.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes());
                rest = &from[end + 1..];
            }
            _ => {
                out.push(b'&');
                rest = &from[1..];
            }
        }
    }
    out.extend_from_slice(rest);
    out
}

fn reference(name: &[u8]) -> Option<char> {
    match std::str::from_utf8(name).ok()? {
        "amp" => Some('&'),
        "lt" => Some('<'),
        "gt" => Some('>'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        number => {
            let number = number.strip_prefix('#')?;
            let code = match number.strip_prefix(['x', 'X']) {
                Some(hex) => u32::from_str_radix(hex, 16).ok()?,
                None => number.parse().ok()?,
            };
            char::from_u32(code)
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn names(entries: &[Entry]) -> Vec<String> {
        let named = entries.iter().map(|entry| {
            let slash = if entry.kind == Kind::Folder { "/" } else { "" };
            format!("{}{slash}", String::from_utf8_lossy(&entry.name))
        });
        named.collect()
    }

    fn page(html: &str) -> Vec<String> {
        let base = Url::parse("http://quay:8000/pub/a%20b/").unwrap();
        names(&from_html(html.as_bytes(), &base, &base.path))
    }

    #[test]
    fn pages_of_known_servers_are_read() {
        let nginx = "<html><body><h1>Index of /</h1><hr><pre><a href=\"../\">../</a>\n\
                     <a href=\"sub/\">sub/</a>   29-Jan-2025 10:00    -\n\
                     <a href=\"a%26b%20c.txt\">a&amp;b c.txt</a> 29-Jan-2025 10:00  12\n</pre>";
        assert_eq!(page(nginx), ["sub/", "a&b c.txt"]);
        let apache = "<tr><th><a href=\"?C=N;O=D\">Name</a></th></tr>\
                      <tr><td><a href=\"/pub/\">Parent Directory</a></td></tr>\
                      <tr><td><A HREF='x.tar.gz'>x.tar.gz</A></td></tr>\
                      <tr><td><a class=i href=/pub/a%20b/y&amp;z>y</a></td></tr>\
                      <tr><td><a href=\"x.tar.gz\">again</a></td></tr>";
        assert_eq!(page(apache), ["x.tar.gz", "y&z"]);
        let caddy = "<a href=\"./sub/\"><svg></svg></a><a href=\"./%E6%9D%A5.txt\">";
        assert_eq!(page(caddy), ["sub/", "来.txt"]);
    }

    #[test]
    fn links_lead_nowhere_else() {
        for href in [
            "",
            ".",
            "./",
            "..",
            "../",
            "../x",
            "/x",
            "/pub/x",
            "x/y",
            "x/y/",
            "%2e%2e/",
            "..%2Fx",
            "x%2Fy",
            "x%00",
            "x?y",
            "?C=M;O=A",
            "#top",
            "//evil/pub/a%20b/x",
            "http://evil/pub/a%20b/x",
            "https://quay:8000/pub/a%20b/x",
            "javascript:x",
            "mailto:a@b",
            "file:///pub/a%20b/x",
        ] {
            let html = format!("<a href=\"{href}\">");
            assert_eq!(page(&html), [""; 0], "{href}");
        }
        for html in [
            "<!-- <a href=x> -->",
            "<a href",
            "<a href=",
            "<a href=\"x",
            "<a",
            "<a =x>",
            "<abbr href=x>",
            "<a data-href=x>",
        ] {
            assert_eq!(page(html), [""; 0], "{html}");
        }
        assert_eq!(page("<a href=http://quay:8000/pub/a%20b/x>"), ["x"]);
    }

    #[test]
    fn json_of_known_servers_is_read() {
        let folder = RemotePath::from_url("/pub/", None);
        let hythe = r#"{"path":"/pub","entries":[
            {"name":"a b","href":"/pub/a%20b/","type":"folder","size":null,"modified":null},
            {"name":"\ufffd","href":"/pub/%FF","type":"file","size":3,"modified":"1970-01-01T00:00:05Z"},
            {"name":"x","href":null,"type":"file","size":3,"modified":null}
            ],"sorted":true}"#;
        let entries = from_json(hythe.as_bytes(), &folder).unwrap();
        assert_eq!(entries.len(), 2);
        assert_eq!(entries[0].path.encoded(), "/pub/a%20b/");
        assert_eq!(entries[1].name, b"\xff");
        assert_eq!(entries[1].path.encoded(), "/pub/%FF");
        assert_eq!((entries[1].size, entries[1].modified), (Some(3), Some(5)));

        let nginx = r#"[{"name":"sub","type":"directory","mtime":"Thu, 01 Jan 1970 00:00:07 GMT"},
            {"name":"a#b","type":"file","mtime":"Thu, 01 Jan 1970 00:00:07 GMT","size":9},
            {"name":"pipe","type":"other","mtime":"x"}]"#;
        let entries = from_json(nginx.as_bytes(), &folder).unwrap();
        assert_eq!(names(&entries), ["sub/", "a#b", "pipe"]);
        assert_eq!(entries[1].path.encoded(), "/pub/a%23b");
        assert_eq!((entries[1].size, entries[1].modified), (Some(9), Some(7)));

        let caddy = r#"[{"name":"sub/","size":4096,"url":"./sub/","mod_time":"1970-01-01T01:00:07+01:00",
            "mode":2147484141,"is_dir":true,"is_symlink":false},
            {"name":"x","size":1,"url":"./x","mod_time":"1970-01-01T00:00:07.5Z","mode":420,
            "is_dir":false,"is_symlink":false}]"#;
        let entries = from_json(caddy.as_bytes(), &folder).unwrap();
        assert_eq!(names(&entries), ["sub/", "x"]);
        assert_eq!((entries[0].size, entries[0].modified), (None, Some(7)));

        let evil = r#"[{"name":"../x"},{"name":".."},{"name":""},{"name":"a/b"},{"name":"/"},
            {"name":"a\u0000"},{"name":"x","href":"/pub/..%2F..%2Fy"},{"name":"x","href":"/.."}]"#;
        assert!(from_json(evil.as_bytes(), &folder).unwrap().is_empty());
        for bad in ["", "{}", "[1]", "[{}]", "{\"entries\":1}", "null"] {
            assert!(from_json(bad.as_bytes(), &folder).is_err(), "{bad}");
        }
    }

    proptest! {
        /// Whatever a page or a list says, names lead nowhere else.
        #[test]
        fn no_listing_is_too_strange(
            page in "(<a href=|<A HREF='|>|</a>|\"|'|/|\\.\\.|\\.|%2f|%2e|%00|%|&amp;|&#47;|\\?|#|http://quay/|//x/|[a-c中 ])*",
            name in "(/|\\.|\\.\\.|[a-c中]|\x00|\n)*",
        ) {
            let base = Url::parse("http://quay/f/").unwrap();
            let mut entries = from_html(page.as_bytes(), &base, &base.path);
            let json = serde_json::json!([{"name": name, "is_dir": false}]).to_string();
            entries.extend(from_json(json.as_bytes(), &base.path).unwrap());
            for entry in entries {
                let name = &entry.name[..];
                prop_assert!(!matches!(name, b"" | b"." | b".."), "{:?}", name);
                prop_assert!(!name.iter().any(|byte| matches!(byte, b'/' | 0)), "{:?}", name);
            }
        }
    }
}
