//! Which item type a file has: by its name, and where that says little, by how
//! it begins.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::Path;

use hythe_wire::gopher::ItemType;

use crate::share::{RelPath, View};

/// How much of a file is looked at: a disk reads no less, and what is not text
/// says so early.
const SNIFFED: usize = 512;

/// The type of a file by its name; `None` if one has to look inside.
pub(super) fn by_name(name: &[u8]) -> Option<ItemType> {
    let media = mime_guess::from_path(Path::new(OsStr::from_bytes(name))).first_raw()?;
    let (family, kind) = media.split_once('/')?;
    match (family, kind) {
        ("text", "html") => Some(ItemType::HTML),
        ("image", "gif") => Some(ItemType::GIF),
        ("image", "png") => Some(ItemType::PNG),
        ("image", _) => Some(ItemType::IMAGE),
        ("audio", _) => Some(ItemType::SOUND),
        ("video" | "font", _) => Some(ItemType::BINARY),
        ("application", "pdf" | "msword" | "postscript" | "epub+zip") => Some(ItemType::DOCUMENT),
        ("application", kind) if is_office(kind) => Some(ItemType::DOCUMENT),
        ("application", kind) if is_archive(kind) => Some(ItemType::ARCHIVE),
        // JSON and scripts are called applications, too.
        _ => None,
    }
}

fn is_office(kind: &str) -> bool {
    kind.starts_with("vnd.oasis.opendocument") || kind.starts_with("vnd.openxmlformats")
}

fn is_archive(kind: &str) -> bool {
    const ARCHIVES: [&str; 11] = [
        "zip",
        "gzip",
        "x-gzip",
        "x-tar",
        "x-7z-compressed",
        "x-bzip",
        "x-bzip2",
        "x-xz",
        "zstd",
        "vnd.rar",
        "x-rar-compressed",
    ];
    ARCHIVES.contains(&kind)
}

/// The type of a file that is not open yet.
///
/// # Errors
/// As [`View::open`], where one has to look inside.
pub(super) fn of_path(view: &View, path: &RelPath, name: &[u8]) -> io::Result<ItemType> {
    match by_name(name) {
        Some(kind) => Ok(kind),
        None => by_content(&view.open(path)?.file),
    }
}

/// Text or not, by the beginning of the file.
///
/// # Errors
/// What the disk reports.
pub(super) fn by_content(file: &File) -> io::Result<ItemType> {
    let mut beginning = [0; SNIFFED];
    let count = file.read_at(&mut beginning, 0)?;
    let text = is_text(&beginning[..count]);
    Ok(if text {
        ItemType::TEXT
    } else {
        ItemType::BINARY
    })
}

/// Whether this is the beginning of UTF-8 without NUL. The last letter may be
/// cut off.
fn is_text(bytes: &[u8]) -> bool {
    let whole = match std::str::from_utf8(bytes) {
        Ok(_) => true,
        Err(error) => error.error_len().is_none(),
    };
    whole && !bytes.contains(&0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_say_enough() {
        for (name, expected) in [
            ("a.html", Some(ItemType::HTML)),
            ("a.GIF", Some(ItemType::GIF)),
            ("a.png", Some(ItemType::PNG)),
            ("a.jpeg", Some(ItemType::IMAGE)),
            ("a.mp3", Some(ItemType::SOUND)),
            ("a.pdf", Some(ItemType::DOCUMENT)),
            ("a.odt", Some(ItemType::DOCUMENT)),
            ("a.zip", Some(ItemType::ARCHIVE)),
            ("a.tar", Some(ItemType::ARCHIVE)),
            ("a.tar.gz", Some(ItemType::ARCHIVE)),
            ("a.7z", Some(ItemType::ARCHIVE)),
            ("a.mp4", Some(ItemType::BINARY)),
            ("a.txt", None),
            ("a.json", None),
            ("README", None),
            ("a.nobody-knows", None),
        ] {
            assert_eq!(by_name(name.as_bytes()), expected, "{name}");
        }
        assert_eq!(by_name(b"\xff\xfe.zip"), Some(ItemType::ARCHIVE));
    }

    #[test]
    fn text_is_utf_8_without_nul_and_may_be_cut_in_a_letter() {
        for (bytes, expected) in [
            (&b""[..], true),
            (b"plain\r\n\t\x1b[1m", true),
            ("中文".as_bytes(), true),
            (&"中文".as_bytes()[..4], true),
            (b"a\0b", false),
            (b"\xff\xd8\xff\xe0", false),
            (b"caf\xe9 ol\xe9", false),
        ] {
            assert_eq!(is_text(bytes), expected, "{}", bytes.escape_ascii());
        }
    }
}
