//! A folder as JSON, for programs.

use std::borrow::Cow;
use std::io;

use serde::Serialize;

use super::stream::{Layout, Streamed};
use super::{Setting, text};
use crate::share::{Entry, Order, Pieces, RelPath, View};

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
    #[serde(rename = "type")]
    kind: &'static str,
    size: Option<u64>,
    modified: Option<String>,
}

impl Layout for Json {
    fn begin(&mut self, folder: &RelPath, out: &mut Vec<u8>) -> io::Result<()> {
        let path = format!("/{}", String::from_utf8_lossy(folder.as_bytes()));
        out.extend_from_slice(b"{\"path\":");
        serde_json::to_writer(&mut *out, &path)?;
        out.extend_from_slice(b",\"entries\":[");
        Ok(())
    }

    fn entries(
        &mut self,
        folder: &RelPath,
        entries: &[Entry],
        out: &mut Vec<u8>,
    ) -> io::Result<()> {
        for entry in entries {
            let is_folder = entry.meta.is_folder();
            let record = Record {
                name: String::from_utf8_lossy(&entry.name),
                href: text::href(&self.base, folder, entry),
                kind: if is_folder { "folder" } else { "file" },
                size: (!is_folder).then_some(entry.meta.size),
                modified: text::timestamp(entry.meta.modified).map(|time| time.to_string()),
            };
            let separator: &[u8] = if self.first { b"\n" } else { b",\n" };
            out.extend_from_slice(separator);
            serde_json::to_writer(&mut *out, &record)?;
            self.first = false;
        }
        Ok(())
    }

    fn end(&mut self, sorted: bool, out: &mut Vec<u8>) -> io::Result<()> {
        out.extend_from_slice(format!("\n],\"sorted\":{sorted}}}\n").as_bytes());
        Ok(())
    }
}
