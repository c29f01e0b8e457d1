//! Menus, made while they are sent: of a folder, of what a search finds, and
//! as a `gophermap` lays them out.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Take};

use hythe_wire::gopher::{self, END, Item, ItemType, write_gophermap_line};

use super::kind;
use crate::share::{Entry, Hit, Listing, Pieces, RelPath, Search, View};

/// The name of the file that lays out its folder.
pub(super) const GOPHERMAP: &[u8] = b"gophermap";

/// How much of a `gophermap` is read: people write them by hand.
const GOPHERMAP_LIMIT: u64 = 1024 * 1024;

/// The longest line of a `gophermap` that is taken as one.
const GOPHERMAP_LINE: u64 = 8 * 1024;

/// How many lines of a `gophermap` make a piece.
const LINES: usize = 256;

/// Where the items of menus are.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) host: String,
    pub(super) port: u16,
}

impl Place {
    fn write(&self, kind: ItemType, display: &[u8], selector: &[u8], out: &mut Vec<u8>) {
        let item = Item {
            kind,
            display,
            selector,
            host: self.host.as_bytes(),
            port: self.port,
        };
        item.write(out);
    }

    /// Appends the item for `entry`. One that has vanished meanwhile, or may
    /// not be opened, is left out.
    fn write_entry(
        &self,
        view: &View,
        path: &RelPath,
        display: &[u8],
        entry: &Entry,
        out: &mut Vec<u8>,
    ) {
        let kind = if entry.meta.is_folder() {
            Ok(ItemType::MENU)
        } else {
            kind::of_path(view, path, &entry.name)
        };
        if let Ok(kind) = kind {
            self.write(kind, display, &selector(path), out);
        }
    }
}

/// The selector of what is at `path`.
fn selector(path: &RelPath) -> Vec<u8> {
    [b"/", path.as_bytes()].concat()
}

/// A folder's menu: a search, then its entries without the hidden ones.
pub(super) struct FolderMenu {
    view: View,
    place: Place,
    listing: Listing,
    begun: bool,
}

impl FolderMenu {
    pub(super) fn new(view: View, place: Place, listing: Listing) -> Self {
        Self {
            view,
            place,
            listing,
            begun: false,
        }
    }
}

impl Pieces for FolderMenu {
    fn piece(&mut self, out: &mut Vec<u8>) -> io::Result<bool> {
        let Self {
            view,
            place,
            listing,
            begun,
        } = self;
        if !std::mem::replace(begun, true) {
            let selector = selector(listing.path());
            place.write(ItemType::SEARCH, b"Search here and below", &selector, out);
        }
        let mut batch = Vec::new();
        let more = listing.next_batch(&mut batch)?;
        for entry in batch.iter().filter(|entry| !entry.hidden()) {
            if let Ok(path) = listing.path().join(&entry.name) {
                place.write_entry(view, &path, &entry.name, entry, out);
            }
        }
        if !more {
            out.extend_from_slice(END);
        }
        Ok(more)
    }
}

/// What a search finds, in the order it is found.
pub(super) struct SearchMenu {
    view: View,
    place: Place,
    search: Search,
    found: bool,
}

impl SearchMenu {
    pub(super) fn new(view: View, place: Place, search: Search) -> Self {
        Self {
            view,
            place,
            search,
            found: false,
        }
    }
}

impl Pieces for SearchMenu {
    fn piece(&mut self, out: &mut Vec<u8>) -> io::Result<bool> {
        let mut batch = Vec::new();
        let more = self.search.next_batch(&mut batch)?;
        for Hit { path, entry } in batch.iter().filter(|hit| !is_hidden(&hit.path)) {
            self.found = true;
            self.place
                .write_entry(&self.view, path, path.as_bytes(), entry, out);
        }
        if !more {
            if self.search.was_cut() {
                Item::info(b"There is more than a search can look at.").write(out);
            } else if !self.found {
                Item::info(b"Nothing was found.").write(out);
            }
            out.extend_from_slice(END);
        }
        Ok(more)
    }
}

/// Whether something on the way there is not shown in any menu.
fn is_hidden(path: &RelPath) -> bool {
    path.components().any(|name| name.starts_with(b"."))
}

/// A folder as its `gophermap` lays it out.
pub(super) struct MapMenu {
    place: Place,
    /// The folder's selector, with a slash at its end.
    folder: Vec<u8>,
    file: BufReader<Take<File>>,
}

impl MapMenu {
    pub(super) fn new(place: Place, folder: &RelPath, file: File) -> Self {
        let mut selector = selector(folder);
        if !folder.is_root() {
            selector.push(b'/');
        }
        Self {
            place,
            folder: selector,
            file: BufReader::new(file.take(GOPHERMAP_LIMIT)),
        }
    }
}

impl Pieces for MapMenu {
    fn piece(&mut self, out: &mut Vec<u8>) -> io::Result<bool> {
        let here = gopher::Place {
            folder: &self.folder,
            host: self.place.host.as_bytes(),
            port: self.place.port,
        };
        let mut line = Vec::new();
        for _ in 0..LINES {
            line.clear();
            (&mut self.file)
                .take(GOPHERMAP_LINE)
                .read_until(b'\n', &mut line)?;
            let text = line.strip_suffix(b"\n").unwrap_or(&line);
            let text = text.strip_suffix(b"\r").unwrap_or(text);
            // A final dot is what some put at the end by habit.
            if line.is_empty() || text == b"." {
                out.extend_from_slice(END);
                return Ok(false);
            }
            write_gophermap_line(out, text, here);
        }
        Ok(true)
    }
}
