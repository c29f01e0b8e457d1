//! The one place where a peer's text becomes a path.
//!
//! A [`RelPath`] is already decoded, normalised and checked, so that nothing
//! after it decodes, normalises or checks again. It says nothing about what is
//! on the disk: symbolic links are the business of
//! [`View`](crate::share::View).

use std::fmt;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode, percent_encode};

use crate::visible::visible;

/// The longest name of one file or folder, in bytes: Linux's `NAME_MAX`.
pub const NAME_LIMIT: usize = 255;

/// The longest path, in bytes: Linux's `PATH_MAX` of 4096 counts the final NUL.
pub const PATH_LIMIT: usize = 4095;

/// What a URL path spells as `%XX`: all but RFC 3986's unreserved characters.
pub(crate) const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// A path below the root of a share, as bytes.
///
/// It has no leading or trailing slash, no empty, `.` or `..` component and no
/// NUL; each component is at most [`NAME_LIMIT`] bytes and the whole at most
/// [`PATH_LIMIT`]. The root itself is empty.
///
/// ```
/// use hythe::share::RelPath;
///
/// let (path, folder) = RelPath::from_url_path(b"/music/%E4%B8%AD/../a%20b/")?;
/// assert_eq!(path.as_bytes(), b"music/a b");
/// assert!(folder);
/// assert_eq!(path.resolve(b"../../../etc")?.as_bytes(), b"etc");
/// # Ok::<(), hythe::share::BadPath>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RelPath(Vec<u8>);

/// Why a peer's text is not a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadPath {
    /// A `%` without two hexadecimal digits after it.
    Escape,
    /// A NUL byte, which no file name can hold.
    Nul,
    /// A separator inside a name: `%2F`, or a backslash, which clients on
    /// Windows would read as one.
    Separator,
    /// A control byte in the path of a URL.
    Control,
    /// One name was wanted, and this is empty, `.` or `..`.
    NotAName,
    /// A name of more than [`NAME_LIMIT`] bytes.
    NameTooLong,
    /// A path of more than [`PATH_LIMIT`] bytes.
    TooLong,
}

impl RelPath {
    /// The root of the share.
    pub fn root() -> Self {
        Self::default()
    }

    /// Reads the path of a URL (RFC 3986 §3.3), still percent-encoded and
    /// without its query, and tells whether it was written as a folder, with a
    /// slash or a dot segment at its end.
    ///
    /// Escapes are decoded once; then dot segments are resolved, never past the
    /// root, and repeated slashes collapse. Names with a backslash or a control
    /// byte cannot be reached by URL: programs between here and the file would
    /// read other things in them. A line feed is let through, since files that
    /// people really have contain it; whoever prints a name escapes it.
    ///
    /// # Errors
    /// [`BadPath`] for a broken escape, an encoded slash, a backslash, a
    /// control byte, or something too long.
    pub fn from_url_path(raw: &[u8]) -> Result<(Self, bool), BadPath> {
        let mut path = Self::root();
        let mut folder = true;
        for segment in raw.split(|&byte| byte == b'/') {
            let name = decode(segment)?;
            if name.contains(&b'/') || name.contains(&b'\\') {
                return Err(BadPath::Separator);
            }
            if name
                .iter()
                .any(|&byte| byte != 0 && is_refused_control(byte))
            {
                return Err(BadPath::Control);
            }
            path.step(&name)?;
            folder = matches!(name.as_slice(), b"" | b"." | b"..");
        }
        Ok((path, folder))
    }

    /// Whether [`from_url_path`](Self::from_url_path) would take this path.
    pub fn fits_url(&self) -> bool {
        !self
            .0
            .iter()
            .any(|&byte| byte == b'\\' || is_refused_control(byte))
    }

    /// Reads a Gopher selector: no escapes, the leading slash is optional.
    ///
    /// # Errors
    /// [`BadPath`] for a NUL or something too long.
    pub fn from_selector(raw: &[u8]) -> Result<Self, BadPath> {
        Self::root().resolve(raw)
    }

    /// What `argument` names for someone who is in the folder `self`, as FTP
    /// understands it: from the root if it begins with a slash. `..` stops at
    /// the root.
    ///
    /// # Errors
    /// [`BadPath`] for a NUL or something too long.
    pub fn resolve(&self, argument: &[u8]) -> Result<Self, BadPath> {
        let mut path = if argument.first() == Some(&b'/') {
            Self::root()
        } else {
            self.clone()
        };
        for name in argument.split(|&byte| byte == b'/') {
            path.step(name)?;
        }
        Ok(path)
    }

    /// The path of `name` in the folder `self`.
    ///
    /// # Errors
    /// [`BadPath`] unless `name` is exactly one component.
    pub fn join(&self, name: &[u8]) -> Result<Self, BadPath> {
        if matches!(name, b"" | b"." | b"..") {
            return Err(BadPath::NotAName);
        }
        if name.contains(&b'/') {
            return Err(BadPath::Separator);
        }
        let mut path = Self(Vec::with_capacity(self.0.len() + 1 + name.len()));
        path.0.extend_from_slice(&self.0);
        path.step(name)?;
        Ok(path)
    }

    /// The last component; the root has none.
    pub fn name(&self) -> Option<&[u8]> {
        self.0
            .rsplit(|&byte| byte == b'/')
            .next()
            .filter(|name| !name.is_empty())
    }

    /// The folder this is in; the root is in none.
    pub fn parent(&self) -> Option<Self> {
        let name = self.name()?;
        Some(Self(
            self.0[..(self.0.len() - name.len()).saturating_sub(1)].to_vec(),
        ))
    }

    /// The names from the root down.
    pub fn components(&self) -> impl DoubleEndedIterator<Item = &[u8]> {
        self.0
            .split(|&byte| byte == b'/')
            .filter(|name| !name.is_empty())
    }

    /// The bytes, components separated by slashes; empty for the root.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether this is the root of the share.
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether this is `folder` or somewhere below it. Whole components count:
    /// `music-old` is not below `music`.
    pub fn starts_with(&self, folder: &Self) -> bool {
        match self.0.strip_prefix(folder.as_bytes()) {
            Some(rest) => folder.is_root() || rest.is_empty() || rest[0] == b'/',
            None => false,
        }
    }

    /// This path as it is from `folder` on; `None` where it is not below it.
    pub fn below(&self, folder: &Self) -> Option<Self> {
        if !self.starts_with(folder) {
            return None;
        }
        let rest = &self.0[folder.0.len()..];
        Some(Self(rest.strip_prefix(b"/").unwrap_or(rest).to_vec()))
    }

    /// This path, which is one from `folder` on, as it is from the root on;
    /// `None` where that is too long.
    pub fn within(&self, folder: &Self) -> Option<Self> {
        folder.resolve(self.as_bytes()).ok()
    }

    /// Appends this as the path of a URL: exactly one slash at the beginning
    /// (never `//`, which would name another host) and, for a folder, one at
    /// the end.
    pub fn url_path(&self, folder: bool, out: &mut String) {
        out.push('/');
        for (index, name) in self.components().enumerate() {
            if index > 0 {
                out.push('/');
            }
            out.extend(percent_encode(name, ESCAPED));
        }
        if folder && !self.is_root() {
            out.push('/');
        }
    }

    /// Takes one step from here: down into `name`, up for `..`, nowhere for `.`
    /// and for the nothing between two slashes.
    fn step(&mut self, name: &[u8]) -> Result<(), BadPath> {
        match name {
            b"" | b"." => return Ok(()),
            b".." => {
                let end = self.0.iter().rposition(|&byte| byte == b'/').unwrap_or(0);
                self.0.truncate(end);
                return Ok(());
            }
            _ => {}
        }
        if name.contains(&0) {
            return Err(BadPath::Nul);
        }
        if name.len() > NAME_LIMIT {
            return Err(BadPath::NameTooLong);
        }
        if self.0.len() + 1 + name.len() > PATH_LIMIT {
            return Err(BadPath::TooLong);
        }
        if !self.is_root() {
            self.0.push(b'/');
        }
        self.0.extend_from_slice(name);
        Ok(())
    }
}

/// Percent-decodes once. A broken escape is refused rather than kept, so that
/// no two readers of the same URL can disagree about what it names.
fn decode(segment: &[u8]) -> Result<Vec<u8>, BadPath> {
    let broken = segment.iter().enumerate().any(|(at, &byte)| {
        byte == b'%'
            && !segment
                .get(at + 1..at + 3)
                .is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    });
    if broken {
        Err(BadPath::Escape)
    } else {
        Ok(percent_decode(segment).collect())
    }
}

/// For logs and messages: begins with a slash, is lossy where the name is not
/// UTF-8, and escapes control characters so that no name can forge a line or
/// move a terminal's cursor.
impl fmt::Display for RelPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/{}", visible(&String::from_utf8_lossy(&self.0)))
    }
}

/// Control bytes that no path of a URL may have.
fn is_refused_control(byte: u8) -> bool {
    byte.is_ascii_control() && byte != b'\n'
}

impl fmt::Display for BadPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Escape => "the path has a % without two hexadecimal digits after it",
            Self::Nul => "the path has a NUL byte",
            Self::Separator => "a name in the path has a slash or backslash in it",
            Self::Control => "the path has a control character",
            Self::NotAName => "a name cannot be empty, \".\" or \"..\"",
            Self::NameTooLong => "a name in the path is too long",
            Self::TooLong => "the path is too long",
        })
    }
}

impl std::error::Error for BadPath {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn url(raw: &[u8]) -> Result<Vec<u8>, BadPath> {
        RelPath::from_url_path(raw).map(|(path, _)| path.0)
    }

    #[test]
    fn nasty_urls() {
        type Expected = Result<&'static [u8], BadPath>;
        let cases: &[(&[u8], Expected)] = &[
            (b"", Ok(b"")),
            (b"/", Ok(b"")),
            (b"//", Ok(b"")),
            (b"/a//b/", Ok(b"a/b")),
            (b"/../../etc/passwd", Ok(b"etc/passwd")),
            (b"/a/b/../../../../c", Ok(b"c")),
            (b"/%2e%2e/%2E%2e/etc", Ok(b"etc")),
            (b"/a/.%2e/b", Ok(b"b")),
            (b"/%252e%252e/x", Ok(b"%2e%2e/x")),
            (b"/..%2fetc", Err(BadPath::Separator)),
            (b"/..%5cetc", Err(BadPath::Separator)),
            (b"/..\\etc", Err(BadPath::Separator)),
            (b"/%c0%ae%c0%ae/x", Ok(b"\xc0\xae\xc0\xae/x")),
            (b"/a%00.txt", Err(BadPath::Nul)),
            (b"/a%zz", Err(BadPath::Escape)),
            (b"/a%2", Err(BadPath::Escape)),
            (b"/a%", Err(BadPath::Escape)),
            (b"/a%2/b", Err(BadPath::Escape)),
            (b"/...", Ok(b"...")),
            (b"/a./b. ", Ok(b"a./b. ")),
            (b"/a%0Ab", Ok(b"a\nb")),
            (b"/a%0D%0Ab", Err(BadPath::Control)),
            (b"/a%01", Err(BadPath::Control)),
            (b"/a%1b[2J", Err(BadPath::Control)),
            (b"/a%7f", Err(BadPath::Control)),
            (b"/100%25", Ok(b"100%")),
            (b"/%ff%fe", Ok(b"\xff\xfe")),
            (b"/%20%22%23", Ok(b" \"#")),
            (b"c:/x", Ok(b"c:/x")),
        ];
        for (raw, expected) in cases {
            let got = url(raw);
            assert_eq!(
                got.as_deref(),
                expected.as_deref(),
                "{}",
                raw.escape_ascii()
            );
        }
    }

    #[test]
    fn a_folder_ends_in_a_slash_or_a_dot_segment() {
        for (raw, folder) in [
            (&b"/"[..], true),
            (b"", true),
            (b"/a", false),
            (b"/a/", true),
            (b"/a/.", true),
            (b"/a/..", true),
            (b"/a/%2e%2e", true),
            (b"/a/...", false),
        ] {
            assert_eq!(
                RelPath::from_url_path(raw).unwrap().1,
                folder,
                "{}",
                raw.escape_ascii()
            );
        }
    }

    #[test]
    fn limits_are_exact() {
        let name = |length| [b"/".to_vec(), vec![b'n'; length]].concat();
        assert!(url(&name(NAME_LIMIT)).is_ok());
        assert_eq!(url(&name(NAME_LIMIT + 1)), Err(BadPath::NameTooLong));
        assert_eq!(url(&name(1000)), Err(BadPath::NameTooLong));
        // The slash that a URL begins with is not part of the path.
        let fits = name(NAME_LIMIT).repeat((PATH_LIMIT + 1) / (NAME_LIMIT + 1));
        assert_eq!(url(&fits).map(|path| path.len()), Ok(PATH_LIMIT));
        assert_eq!(url(&[fits, name(1)].concat()), Err(BadPath::TooLong));
    }

    #[test]
    fn resolving_is_as_in_a_shell() {
        let here = RelPath::root().resolve(b"a/b").unwrap();
        let cases: &[(&[u8], &[u8])] = &[
            (b"", b"a/b"),
            (b"c", b"a/b/c"),
            (b"../c/", b"a/c"),
            (b"/c", b"c"),
            (b"../../../..", b""),
            (b"/../x", b"x"),
            (b"%2e%2e", b"a/b/%2e%2e"),
            (b"..\\x", b"a/b/..\\x"),
            (b"/", b""),
        ];
        for (argument, expected) in cases {
            assert_eq!(here.resolve(argument).unwrap().as_bytes(), *expected);
        }
        assert_eq!(here.resolve(b"x\0y"), Err(BadPath::Nul));
        assert_eq!(RelPath::from_selector(b"a/../b").unwrap().as_bytes(), b"b");
    }

    #[test]
    fn families() {
        let path = RelPath::root().resolve(b"a/b/c").unwrap();
        assert_eq!(path.name(), Some(&b"c"[..]));
        assert_eq!(path.parent().unwrap().as_bytes(), b"a/b");
        let top = RelPath::root().join(b"a").unwrap();
        assert_eq!(top.parent(), Some(RelPath::root()));
        assert_eq!(RelPath::root().parent(), None);
        assert_eq!(RelPath::root().name(), None);
        assert!(path.starts_with(&top) && path.starts_with(&RelPath::root()));
        assert!(!RelPath::root().join(b"ab").unwrap().starts_with(&top));
        for name in [&b""[..], b".", b".."] {
            assert_eq!(top.join(name), Err(BadPath::NotAName));
        }
        assert_eq!(path.below(&top).unwrap().as_bytes(), b"b/c");
        assert_eq!(path.below(&path), Some(RelPath::root()));
        assert_eq!(path.below(&RelPath::root()).as_ref(), Some(&path));
        assert_eq!(RelPath::root().join(b"ab").unwrap().below(&top), None);
        for folder in [&top, &path, &RelPath::root()] {
            let below = path.below(folder).unwrap();
            assert_eq!(below.within(folder).as_ref(), Some(&path));
        }
        assert_eq!(top.join(b"x/y"), Err(BadPath::Separator));
        assert_eq!(top.join(b"x\0"), Err(BadPath::Nul));
    }

    #[test]
    fn shown_without_control_characters() {
        let path = RelPath::root().join(b"a\n\x1b[2J\xff\xc2\x9b").unwrap();
        assert_eq!(path.to_string(), "/a\\n\\u{1b}[2J\u{fffd}\\u{9b}");
    }

    fn assert_normal(path: &RelPath) {
        assert!(path.as_bytes().len() <= PATH_LIMIT && !path.as_bytes().contains(&0));
        if !path.is_root() {
            for name in path.as_bytes().split(|&byte| byte == b'/') {
                assert!(!matches!(name, b"" | b"." | b".."), "{path}");
                assert!(name.len() <= NAME_LIMIT);
            }
        }
    }

    proptest! {
        #[test]
        fn no_text_leaves_the_share(raw in "[ab./%2eE5cCfF0\\\\]{0,40}", bytes: Vec<u8>) {
            for raw in [raw.as_bytes(), &bytes] {
                if let Ok((path, _)) = RelPath::from_url_path(raw) {
                    assert_normal(&path);
                }
                if let Ok(path) = RelPath::root().resolve(b"a/b").unwrap().resolve(raw) {
                    assert_normal(&path);
                }
            }
        }

        #[test]
        fn urls_round_trip(names: Vec<Vec<u8>>, folder: bool) {
            let path = names.iter().fold(RelPath::root(), |path, name| {
                path.join(name).unwrap_or(path)
            });
            let mut written = String::new();
            path.url_path(folder, &mut written);
            prop_assert!(written.starts_with('/') && !written.starts_with("//"));
            match RelPath::from_url_path(written.as_bytes()) {
                Ok((read, read_folder)) => {
                    prop_assert_eq!(&read, &path);
                    prop_assert_eq!(read_folder, folder || path.is_root());
                }
                Err(error) => {
                    prop_assert!(matches!(error, BadPath::Separator | BadPath::Control));
                    prop_assert!(!path.fits_url());
                }
            }
        }
    }
}
