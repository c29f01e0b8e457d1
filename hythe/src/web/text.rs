//! Names, sizes and times as people read them.
//!
//! Escaping for HTML or JSON is not done here: whoever writes one escapes for
//! it, once.

use jiff::Timestamp;

use super::Lang;
use crate::share::{Entry, Modified, RelPath};

/// A name to be looked at.
///
/// Nothing in it can pass unseen or rearrange its neighbours: bytes that are not
/// UTF-8 become U+FFFD, control characters their pictures (`␊` for a newline),
/// and line separators and what overrides the direction of writing, with which
/// `exe.txt` could be made of `txt.exe`, U+FFFD too.
pub(super) fn shown(name: &[u8]) -> String {
    String::from_utf8_lossy(name).chars().map(visible).collect()
}

fn visible(character: char) -> char {
    match character {
        // The block of Control Pictures has them in the order of their codes.
        '\0'..='\x1f' => char::from_u32(0x2400 + u32::from(character)).unwrap_or('\u{fffd}'),
        '\x7f' => '\u{2421}',
        '\u{80}'..='\u{9f}'
        | '\u{2028}'..='\u{2029}'
        | '\u{202a}'..='\u{202e}'
        | '\u{2066}'..='\u{2069}' => '\u{fffd}',
        other => other,
    }
}

/// The URL of an entry of `folder`: its path from the root of the share, as
/// percent-encoded bytes, after `base`. `None` for what no URL can name.
pub(super) fn href(base: &str, folder: &RelPath, entry: &Entry) -> Option<String> {
    let path = folder.join(&entry.name).ok()?;
    if !path.fits_url() {
        return None;
    }
    let mut href = base.to_owned();
    path.url_path(entry.meta.is_folder(), &mut href);
    Some(href)
}

/// A time in whole seconds; `None` for those beyond the year 9999, which file
/// systems can hold and calendars cannot.
pub(super) fn timestamp(modified: Modified) -> Option<Timestamp> {
    Timestamp::from_second(modified.secs).ok()
}

/// A number of folders, in words.
pub(super) fn folders(lang: Lang, number: u64) -> String {
    match (lang, number) {
        (Lang::En, 1) => "1 folder".to_owned(),
        (Lang::En, _) => format!("{number} folders"),
        (Lang::Zh, _) => format!("{number} 个文件夹"),
    }
}

/// A number of files, in words.
pub(super) fn files(lang: Lang, number: u64) -> String {
    match (lang, number) {
        (Lang::En, 1) => "1 file".to_owned(),
        (Lang::En, _) => format!("{number} files"),
        (Lang::Zh, _) => format!("{number} 个文件"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        let cases: &[(&[u8], &str)] = &[
            (b"plain  name", "plain  name"),
            (b"a\nb\x1b\x7f\0", "a\u{240a}b\u{241b}\u{2421}\u{2400}"),
            ("\u{9b}2J".as_bytes(), "\u{fffd}2J"),
            (b"\xff\xfe", "\u{fffd}\u{fffd}"),
            ("a\u{202e}txt.exe".as_bytes(), "a\u{fffd}txt.exe"),
            (
                "\u{2066}\u{2069}\u{2028}".as_bytes(),
                "\u{fffd}\u{fffd}\u{fffd}",
            ),
            ("中文 \u{200f}שלום 🎉".as_bytes(), "中文 \u{200f}שלום 🎉"),
            (b"<&>\"'", "<&>\"'"),
        ];
        for (name, expected) in cases {
            assert_eq!(shown(name), *expected);
        }
    }

    #[test]
    fn times() {
        let shown = |secs| timestamp(Modified { secs, nanos: 5 }).map(|time| time.to_string());
        assert_eq!(shown(1_795_187_045).unwrap(), "2026-11-20T15:04:05Z");
        assert_eq!(shown(-1).unwrap(), "1969-12-31T23:59:59Z");
        assert_eq!(shown(i64::MAX), None);
        assert_eq!(shown(i64::MIN), None);
    }

    #[test]
    fn counts() {
        let counts = [0, 1, 2].map(|number| files(Lang::En, number));
        assert_eq!(counts, ["0 files", "1 file", "2 files"]);
        assert_eq!(folders(Lang::En, 1), "1 folder");
        assert_eq!(folders(Lang::Zh, 1), "1 个文件夹");
    }
}
