//! From the lines of a listing to entries.
//!
//! Names are what a server says, and a server may want to lead astray: one that
//! could not be a name on a disk, or would repaint a terminal, is left out.

use hythe_wire::ftp::{self, Date, parse_facts, parse_ls};

use crate::client::{Entry, Kind, RemotePath};

/// The entries of what MLSD sends.
pub(super) fn from_facts(listing: &[u8], folder: &RemotePath) -> Vec<Entry> {
    let found = lines(listing).filter_map(parse_facts);
    found.filter_map(|found| entry(&found, folder)).collect()
}

/// The entries of what LIST sends, at the time `now` in Unix seconds: as `ls`
/// prints them, or as DOS did.
pub(super) fn from_long(listing: &[u8], folder: &RemotePath, now: i64) -> Vec<Entry> {
    let parse = |line| parse_ls(line, now).or_else(|| parse_dos(line));
    let found = lines(listing).filter_map(parse);
    found.filter_map(|found| entry(&found, folder)).collect()
}

/// What is known of a path: it is a folder's with a slash at its end.
pub(super) fn entry_at(found: &ftp::Entry<'_>, path: &RemotePath) -> Entry {
    let kind = match found.kind {
        ftp::Kind::File => Kind::File,
        ftp::Kind::Folder | ftp::Kind::Listed | ftp::Kind::Parent => Kind::Folder,
        ftp::Kind::Link | ftp::Kind::Other => Kind::Other,
    };
    Entry {
        name: path.name().unwrap_or_default(),
        path: match kind {
            Kind::Folder => path.as_folder(),
            _ => path.as_file(),
        },
        kind,
        size: found.size.filter(|_| kind == Kind::File),
        modified: found.modified,
        mode: found.mode.map(u32::from),
    }
}

fn entry(found: &ftp::Entry<'_>, folder: &RemotePath) -> Option<Entry> {
    let itself = matches!(found.kind, ftp::Kind::Listed | ftp::Kind::Parent);
    if itself || !is_name(found.name) {
        return None;
    }
    Some(entry_at(found, &folder.join(found.name)))
}

fn is_name(name: &[u8]) -> bool {
    let bad = |byte: &u8| byte.is_ascii_control() || *byte == b'/';
    !name.is_empty() && name != b"." && name != b".." && !name.iter().any(bad)
}

fn lines(listing: &[u8]) -> impl Iterator<Item = &[u8]> {
    let lines = listing.split(|byte| *byte == b'\n');
    lines.map(|line| line.strip_suffix(b"\r").unwrap_or(line))
}

/// Reads a line such as `02-13-24  09:15AM       <DIR>          name` or
/// `2024-02-13  21:15                 12 name`.
fn parse_dos(line: &[u8]) -> Option<ftp::Entry<'_>> {
    let (date, rest) = word(line)?;
    let (time, rest) = word(rest)?;
    let (size, name) = word(rest)?;
    let is_folder = size.eq_ignore_ascii_case(b"<DIR>");
    let entry = ftp::Entry {
        kind: match is_folder {
            true => ftp::Kind::Folder,
            false => ftp::Kind::File,
        },
        size: match is_folder {
            true => None,
            false => Some(number(size)?),
        },
        modified: Some(dos_time(date, time)?),
        mode: None,
        perm: None,
        unique: None,
        // After a folder's mark, the name begins in the column of the others.
        name: match is_folder {
            true => name.trim_ascii_start(),
            false => name.strip_prefix(b" ")?,
        },
    };
    Some(entry)
}

/// The first word, and what follows it.
fn word(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let line = line.trim_ascii_start();
    let end = line.iter().position(|byte| *byte == b' ')?;
    Some(line.split_at(end))
}

fn number(digits: &[u8]) -> Option<u64> {
    let plain = digits.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(digits)
        .ok()
        .filter(|_| plain)?
        .parse()
        .ok()
}

/// `02-13-24` or `2024-02-13`, and `09:15AM` or `21:15`.
fn dos_time(date: &[u8], time: &[u8]) -> Option<i64> {
    let small = |digits: &[u8]| u8::try_from(number(digits)?).ok();
    let mut parts = date.split(|byte| *byte == b'-');
    let (a, b, c) = (parts.next()?, parts.next()?, parts.next()?);
    let (year, month, day) = match a.len() {
        4 => (number(a)?, small(b)?, small(c)?),
        _ => (number(c)?, small(a)?, small(b)?),
    };
    let year = match year {
        0..70 => year + 2000,
        70..100 => year + 1900,
        year => year,
    };
    let (clock, half) = match time.len().checked_sub(2) {
        Some(at) if time[at..].eq_ignore_ascii_case(b"AM") => (&time[..at], Some(0)),
        Some(at) if time[at..].eq_ignore_ascii_case(b"PM") => (&time[..at], Some(12)),
        _ => (time, None),
    };
    let colon = clock.iter().position(|byte| *byte == b':')?;
    let (hour, minute) = (small(&clock[..colon])?, small(&clock[colon + 1..])?);
    let date = Date {
        year: u16::try_from(year).ok()?,
        month,
        day,
        hour: half.map_or(hour, |half| hour % 12 + half),
        minute,
        second: 0,
    };
    date.to_unix()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-11-28 00:00 UTC.
    const NOW: i64 = 1_795_824_000;

    fn names(entries: &[Entry]) -> Vec<String> {
        let name = |entry: &Entry| String::from_utf8_lossy(&entry.name).into_owned();
        entries.iter().map(name).collect()
    }

    #[test]
    fn dialects_of_list_are_understood() {
        for (line, name, kind, size, modified) in [
            (
                "02-13-24  09:15AM       <DIR>          a folder",
                "a folder",
                Kind::Folder,
                None,
                1_707_815_700,
            ),
            (
                "02-13-24  09:15PM                 1234  led.txt",
                " led.txt",
                Kind::File,
                Some(1234),
                1_707_858_900,
            ),
            (
                "2024-02-13  21:15                    0 <DIR>",
                "<DIR>",
                Kind::File,
                Some(0),
                1_707_858_900,
            ),
            (
                "-rw-r--r--   1 owner group  12 Feb 13  2024 two  spaces",
                "two  spaces",
                Kind::File,
                Some(12),
                1_707_782_400,
            ),
            (
                "lrwxrwxrwx   1 owner group  12 Feb 13  2024 link -> ../../etc",
                "link",
                Kind::Other,
                None,
                1_707_782_400,
            ),
        ] {
            let entries = from_long(format!("{line}\r\n").as_bytes(), &RemotePath::root(), NOW);
            let [entry] = &entries[..] else {
                panic!("{line}");
            };
            assert_eq!(entry.name, name.as_bytes(), "{line}");
            assert_eq!((entry.kind, entry.size), (kind, size), "{line}");
            assert_eq!(entry.modified, Some(modified), "{line}");
        }
        for line in ["total 12", "", "13-40-24  09:15AM  12 x", "a b c d", "-"] {
            assert!(from_long(line.as_bytes(), &RemotePath::root(), NOW).is_empty());
        }
    }

    #[test]
    fn names_that_lead_astray_are_left_out() {
        let listing = b"type=file; ../x\r\ntype=file; a/b\r\ntype=dir; ..\r\ntype=dir; .\r\n\
            type=cdir; here\r\ntype=file; \x1b[2J\r\ntype=file; a\0b\r\ntype=file; good\r\n\
            type=dir; also good\n";
        let entries = from_facts(listing, &RemotePath::from_url("/x", None));
        assert_eq!(names(&entries), ["good", "also good"]);
        assert_eq!(entries[0].path.encoded(), "/x/good");
        assert_eq!(entries[1].path.encoded(), "/x/also%20good/");
    }
}
