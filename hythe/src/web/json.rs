//! A folder as JSON, for programs.

use std::borrow::Cow;
use std::io;

use serde::Serialize;

use super::stream::{Layout, Streamed};
use super::{Setting, text};
use crate::share::{Entry, Order, Pieces, RelPath, Search, SearchLimits, View};

/// A folder's listing as JSON, an entry a line:
///
/// ```json
/// {"path":"/music","entries":[
/// {"name":"a b","href":"/music/a%20b","type":"file","size":3,"modified":"2026-11-20T15:04:05Z"}
/// ],"sorted":true}
/// ```
///
/// `name` and `path` are for reading: what is not UTF-8 in them is replaced.
/// `href` is for fetching: it has every byte. It is `null` for what no URL can
/// name, `size` for folders, and `modified` for times that no calendar has.
pub struct FolderJson(Streamed<Json>);

impl FolderJson {
    /// The listing of the folder at `path`. Blocks on the disk, but does not
    /// read the folder yet.
    ///
    /// # Errors
    /// As [`View::list`].
    pub fn new(view: &View, path: &RelPath, order: Order, setting: &Setting) -> io::Result<Self> {
        let listing = view.list(path, order)?;
        let base = setting.base.clone();
        Ok(Self(Streamed::new(listing, Json { base, first: true })))
    }
}

impl Pieces for FolderJson {
    fn piece(&mut self, out: &mut Vec<u8>) -> io::Result<bool> {
        self.0.piece(out)
    }
}

struct Json {
    /// What stands before every path.
    base: String,
    /// Whether the next entry is the first and needs no comma before it.
    first: bool,
}

#[derive(Serialize)]
struct Record<'a> {
    name: Cow<'a, str>,
    href: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<String>,
    #[serde(rename = "type")]
    kind: &'static str,
    size: Option<u64>,
    modified: Option<String>,
}

/// What a search in a folder, and all below it, finds, as JSON:
///
/// ```json
/// {"path":"/music","hits":[
/// {"name":"a b","href":"/music/x/a%20b","path":"/music/x/a b","type":"file","size":3,"modified":"2026-11-20T15:04:05Z"}
/// ],"complete":true}
/// ```
///
/// As in [`FolderJson`]; `complete` is false where the search ended at a limit.
pub struct SearchJson {
    search: Search,
    folder: RelPath,
    json: Json,
    begun: bool,
}

impl SearchJson {
    /// What is found for `needle` below `folder`. Blocks on the disk, but does not
    /// search yet.
    ///
    /// # Errors
    /// As [`View::search`].
    pub fn new(view: &View, folder: &RelPath, needle: &str, setting: &Setting) -> io::Result<Self> {
        let base = setting.base.clone();
        Ok(Self {
            search: view.search(folder, needle, SearchLimits::default())?,
            folder: folder.clone(),
            json: Json { base, first: true },
            begun: false,
        })
    }
}

impl Pieces for SearchJson {
    fn piece(&mut self, out: &mut Vec<u8>) -> io::Result<bool> {
        if !self.begun {
            self.begun = true;
            begin(&self.folder, "hits", out)?;
        }
        let mut hits = Vec::new();
        let more = self.search.next_batch(&mut hits)?;
        for hit in &hits {
            let folder = hit.path.parent().unwrap_or_default();
            self.json
                .record(&folder, &hit.entry, Some(&hit.path), out)?;
        }
        if !more {
            let complete = !self.search.was_cut();
            out.extend_from_slice(format!("\n],\"complete\":{complete}}}\n").as_bytes());
        }
        Ok(more)
    }
}

/// Writes what stands before the first record.
fn begin(folder: &RelPath, list: &str, out: &mut Vec<u8>) -> io::Result<()> {
    out.extend_from_slice(b"{\"path\":");
    serde_json::to_writer(&mut *out, &shown(folder))?;
    out.extend_from_slice(format!(",\"{list}\":[").as_bytes());
    Ok(())
}

/// A path for reading.
fn shown(path: &RelPath) -> String {
    format!("/{}", String::from_utf8_lossy(path.as_bytes()))
}

impl Json {
    /// Writes an entry of `folder`; with its path where those of others differ.
    fn record(
        &mut self,
        folder: &RelPath,
        entry: &Entry,
        path: Option<&RelPath>,
        out: &mut Vec<u8>,
    ) -> io::Result<()> {
        let is_folder = entry.meta.is_folder();
        let record = Record {
            name: String::from_utf8_lossy(&entry.name),
            href: text::href(&self.base, folder, entry),
            path: path.map(shown),
            kind: if is_folder { "folder" } else { "file" },
            size: (!is_folder).then_some(entry.meta.size),
            modified: text::timestamp(entry.meta.modified).map(|time| time.to_string()),
        };
        let separator: &[u8] = if self.first { b"\n" } else { b",\n" };
        out.extend_from_slice(separator);
        serde_json::to_writer(&mut *out, &record)?;
        self.first = false;
        Ok(())
    }
}

impl Layout for Json {
    fn begin(&mut self, folder: &RelPath, out: &mut Vec<u8>) -> io::Result<()> {
        begin(folder, "entries", out)
    }

    fn entries(
        &mut self,
        folder: &RelPath,
        entries: &[Entry],
        out: &mut Vec<u8>,
    ) -> io::Result<()> {
        for entry in entries {
            self.record(folder, entry, None, out)?;
        }
        Ok(())
    }

    fn end(&mut self, sorted: bool, out: &mut Vec<u8>) -> io::Result<()> {
        out.extend_from_slice(format!("\n],\"sorted\":{sorted}}}\n").as_bytes());
        Ok(())
    }
}
