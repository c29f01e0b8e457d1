//! Listings, made while they are sent.

use std::borrow::Cow;
use std::io;

use hythe_wire::ftp::{Entry as Shown, Facts, Kind, write_facts, write_ls};

use crate::pattern::matches;
use crate::share::{Access, Entry, Listing, Meta, Pieces};

/// How an entry is written down.
#[derive(Clone, Debug)]
pub(super) enum Style {
    /// As `ls -l` does, at this time in Unix seconds.
    Long(i64),
    /// Its name alone, with this before it.
    Names(Vec<u8>),
    /// As facts (RFC 3659 section 7), for whoever may do this.
    Facts(Facts, Access),
}

impl Style {
    /// Appends one entry, with its line end.
    pub(super) fn write(&self, name: &[u8], meta: &Meta, out: &mut Vec<u8>) {
        self.write_shown(name, meta, out);
        out.extend_from_slice(b"\r\n");
    }

    /// Appends one entry without a line end.
    pub(super) fn write_shown(&self, name: &[u8], meta: &Meta, out: &mut Vec<u8>) {
        let name = &*printable(name);
        let unique = format!("{:x}-{:x}", meta.device, meta.inode);
        let access = match self {
            Self::Facts(_, access) => *access,
            Self::Long(_) | Self::Names(_) => Access::Read,
        };
        let mut shown = Shown {
            kind: if meta.is_folder() {
                Kind::Folder
            } else {
                Kind::File
            },
            size: Some(meta.size),
            modified: Some(meta.modified.secs),
            mode: Some((meta.mode & 0o777) as u16),
            perm: Some(perm(meta, access)),
            unique: Some(unique.as_bytes()),
            name,
        };
        match self {
            Self::Long(now) => write_ls(out, &shown, *now),
            Self::Names(prefix) => {
                out.extend_from_slice(prefix);
                out.extend_from_slice(name);
            }
            Self::Facts(facts, _) => {
                if meta.is_folder() {
                    shown.size = None; // what the disk says of a folder means nothing
                }
                write_facts(out, &shown, *facts);
            }
        }
    }
}

/// A name without control bytes: a line end would forge a line, and the others
/// would drive the terminal of whoever looks at it.
fn printable(name: &[u8]) -> Cow<'_, [u8]> {
    if !name.iter().any(u8::is_ascii_control) {
        return name.into();
    }
    let shown = |byte: &u8| if byte.is_ascii_control() { b'?' } else { *byte };
    name.iter().map(shown).collect()
}

/// What may be done (RFC 3659 section 7.5.5): a file retrieved, appended to,
/// deleted, renamed, written; a folder entered and listed, files and folders
/// made in it, itself deleted and renamed, what is in it purged.
fn perm(meta: &Meta, access: Access) -> &'static [u8] {
    match (meta.is_folder(), access) {
        (_, Access::None) => b"",
        (true, Access::Read) => b"el",
        (true, Access::Upload) => b"celm",
        (true, Access::Write | Access::Admin) => b"cdeflmp",
        (false, Access::Read | Access::Upload) => b"r",
        (false, Access::Write | Access::Admin) => b"adfrw",
    }
}

/// Which entries of a folder are shown.
#[derive(Clone, Debug)]
pub(super) struct Filter {
    /// Those whose names begin with a dot, too.
    pub(super) hidden: bool,
    /// Only those whose names match this pattern.
    pub(super) pattern: Option<Box<[u8]>>,
}

impl Filter {
    fn shows(&self, entry: &Entry) -> bool {
        let matches = |pattern: &[u8]| matches(pattern, &entry.name);
        (self.hidden || !entry.hidden()) && self.pattern.as_deref().is_none_or(matches)
    }
}

/// A folder's entries, one per line.
#[derive(Debug)]
pub(super) struct Folder {
    listing: Listing,
    filter: Filter,
    style: Style,
    batch: Vec<Entry>,
}

impl Folder {
    pub(super) fn new(listing: Listing, filter: Filter, style: Style) -> Self {
        Self {
            listing,
            filter,
            style,
            batch: Vec::new(),
        }
    }
}

impl Pieces for Folder {
    /// A batch is a piece, so that the first lines are on their way early.
    fn piece(&mut self, out: &mut Vec<u8>) -> io::Result<bool> {
        self.batch.clear();
        let more = self.listing.next_batch(&mut self.batch)?;
        for entry in self.batch.iter().filter(|entry| self.filter.shows(entry)) {
            self.style.write(&entry.name, &entry.meta, out);
        }
        Ok(more)
    }
}
