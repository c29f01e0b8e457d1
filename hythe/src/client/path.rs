//! [`RemotePath`]: where something is on a server.

use std::fmt;

use percent_encoding::{
    AsciiSet, CONTROLS, percent_decode_str, percent_encode, utf8_percent_encode,
};

use super::{Error, Result};
use crate::http::path::{SEGMENT, without_dots};
use crate::visible::visible;

/// What is not left as it is in a path that somebody typed, where what looks
/// encoded is.
const TYPED: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'<')
    .add(b'>')
    .add(b'\\')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

/// An absolute path on a server, percent-encoded as in a URL, with its query if
/// it has one. `/a%20b/` is a folder, `/a%20b` may be one.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RemotePath {
    path: String,
    query: Option<String>,
}

impl RemotePath {
    /// The root.
    pub fn root() -> Self {
        Self {
            path: "/".into(),
            query: None,
        }
    }

    /// A path as it stands in a URL or as somebody typed it: what has to be
    /// encoded is, and dot segments are removed (RFC 3986 section 5.2.4).
    pub fn from_url(path: &str, query: Option<&str>) -> Self {
        let path = utf8_percent_encode(path, TYPED).to_string();
        Self {
            path: without_dots(&path),
            query: query.map(|query| utf8_percent_encode(query, TYPED).to_string()),
        }
    }

    /// The path as it goes into a URL, without its query.
    pub fn encoded(&self) -> &str {
        &self.path
    }

    /// The query, without its question mark.
    pub fn query(&self) -> Option<&str> {
        self.query.as_deref()
    }

    /// The names it consists of, decoded.
    ///
    /// # Errors
    /// [`Reason::Protocol`](super::Reason::Protocol) for a name with a slash, a
    /// NUL or the end of a line in it, which only HTTP could tell from the rest.
    pub fn names(&self) -> Result<Vec<Vec<u8>>> {
        let names = self.path.split('/').filter(|name| !name.is_empty());
        names
            .map(|name| {
                let name: Vec<u8> = percent_decode_str(name).collect();
                let bad = |byte: &u8| matches!(byte, b'/' | b'\0' | b'\r' | b'\n');
                if name.iter().any(bad) || name == b"." || name == b".." {
                    return Err(Error::protocol(format!(
                        "{:?} can't be part of a path",
                        String::from_utf8_lossy(&name)
                    )));
                }
                Ok(name)
            })
            .collect()
    }

    /// Its last name, decoded; `None` for the root.
    pub fn name(&self) -> Option<Vec<u8>> {
        let name = self.path.trim_end_matches('/').rsplit('/').next()?;
        (!name.is_empty()).then(|| percent_decode_str(name).collect())
    }

    /// Whether it says that it is a folder.
    pub fn is_folder(&self) -> bool {
        self.path.ends_with('/')
    }

    /// Whether it is the root.
    pub fn is_root(&self) -> bool {
        self.path == "/"
    }

    /// The same as a folder.
    #[must_use]
    pub fn as_folder(&self) -> Self {
        let mut path = self.path.clone();
        if !path.ends_with('/') {
            path.push('/');
        }
        Self { path, query: None }
    }

    /// The same as a file.
    #[must_use]
    pub fn as_file(&self) -> Self {
        let path = self.path.trim_end_matches('/');
        Self {
            path: if path.is_empty() { "/" } else { path }.into(),
            query: None,
        }
    }

    /// What is called `name` in this folder.
    #[must_use]
    pub fn join(&self, name: &[u8]) -> Self {
        let mut path = self.as_folder().path;
        path.extend(percent_encode(name, SEGMENT));
        Self { path, query: None }
    }

    /// The folder that it is in; the root's is the root.
    #[must_use]
    pub fn parent(&self) -> Self {
        let path = self.path.trim_end_matches('/');
        let end = path.rfind('/').map_or(0, |slash| slash + 1);
        Self {
            path: if end == 0 {
                "/".into()
            } else {
                path[..end].into()
            },
            query: None,
        }
    }

    /// Where `typed` leads from here: names as people type them, unencoded, with
    /// `..` and `.`.
    #[must_use]
    pub fn resolve(&self, typed: &[u8]) -> Self {
        let mut path = if typed.starts_with(b"/") {
            Self::root()
        } else {
            self.as_folder()
        };
        for name in typed.split(|byte| *byte == b'/') {
            path = match name {
                b"" | b"." => path,
                b".." => path.parent(),
                name => path.join(name).as_folder(),
            };
        }
        if typed.ends_with(b"/") || typed.ends_with(b"..") || typed == b"." || path.is_root() {
            path
        } else {
            path.as_file()
        }
    }
}

/// As people read it: decoded, with what is no text made visible.
impl fmt::Display for RemotePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes: Vec<u8> = percent_decode_str(&self.path).collect();
        f.write_str(&visible(&String::from_utf8_lossy(&bytes)))?;
        match &self.query {
            Some(query) => write!(f, "?{query}"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for RemotePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RemotePath({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_resolve_as_people_expect() {
        let here = RemotePath::from_url("/pub/中文/", None);
        for (typed, expected) in [
            ("a b", "/pub/%E4%B8%AD%E6%96%87/a%20b"),
            ("100%", "/pub/%E4%B8%AD%E6%96%87/100%25"),
            ("..", "/pub/"),
            ("../..", "/"),
            ("../../../..", "/"),
            ("/x/./y/", "/x/y/"),
            ("?a#b", "/pub/%E4%B8%AD%E6%96%87/%3Fa%23b"),
            (".", "/pub/%E4%B8%AD%E6%96%87/"),
        ] {
            assert_eq!(
                here.resolve(typed.as_bytes()).encoded(),
                expected,
                "{typed}"
            );
        }
    }

    #[test]
    fn urls_lose_their_dots_and_keep_their_encoding() {
        for (path, expected) in [
            ("", "/"),
            ("/a/../../b", "/b"),
            ("/a/%2e%2E/b/", "/b/"),
            ("/a%2Fb c", "/a%2Fb%20c"),
            ("//a//b", "//a//b"),
            ("/..//a", "//a"),
            ("/a/.", "/a/"),
        ] {
            assert_eq!(
                RemotePath::from_url(path, None).encoded(),
                expected,
                "{path}"
            );
        }
        assert!(RemotePath::from_url("/a%2Fb", None).names().is_err());
        assert!(RemotePath::from_url("/a%0Ab", None).names().is_err());
        let path = RemotePath::from_url("/a%20b/%FF", None);
        assert_eq!(path.names().unwrap(), [b"a b".to_vec(), b"\xff".to_vec()]);
    }
}
