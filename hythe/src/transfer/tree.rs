//! Folders: what there is in them, on either side.

use std::collections::HashSet;
use std::fs;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::connections::Connections;
use super::local::is_safe;
use crate::client::{Entry, Error, Kind, Reason, Remote, RemotePath, Result};

/// Folders deeper than this are a server's joke, or a link that leads to itself.
const DEEPEST: usize = 128;

/// More files and folders than anybody fetches in one go.
const MOST: usize = 1_000_000;

/// One file of a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// Where it is, or goes, on the server.
    pub remote: RemotePath,
    /// Where it is, or goes, on this machine.
    pub local: PathBuf,
    /// How many bytes, if that is known.
    pub size: Option<u64>,
}

/// What there is to do for a folder.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Folders on this machine, those above before those below.
    pub local_folders: Vec<PathBuf>,
    /// Folders on the server, in the same order.
    pub remote_folders: Vec<RemotePath>,
    /// The files.
    pub items: Vec<Item>,
    /// What is left out, and why.
    pub left_out: Vec<(String, &'static str)>,
}

impl Plan {
    /// How many bytes all files have, as far as that is known.
    pub fn bytes(&self) -> u64 {
        self.items.iter().filter_map(|item| item.size).sum()
    }
}

/// What there is to fetch of a folder on a server, to be put into `into`.
///
/// # Errors
/// The server's.
pub async fn download_plan(
    connections: &Connections,
    folder: &RemotePath,
    into: &Path,
) -> Result<Plan> {
    let mut plan = Plan::default();
    let mut waiting = vec![(folder.clone(), into.to_path_buf(), 0)];
    // Menus of Gopher lead wherever they like, also back.
    let mut seen = HashSet::new();
    while let Some((folder, into, depth)) = waiting.pop() {
        if !seen.insert(folder.clone()) {
            let again = "it is the same as another folder";
            plan.left_out.push((folder.to_string(), again));
            continue;
        }
        if seen.len() + plan.items.len() > MOST {
            let text = format!("there is no end to it: more than {MOST} files and folders");
            return Err(Error::protocol(text));
        }
        let list = async |remote: &mut dyn Remote| remote.list(&folder).await;
        let mut entries = connections.with(list).await?;
        entries.sort_by(|one, other| one.name.cmp(&other.name));
        plan.local_folders.push(into.clone());
        plan.remote_folders.push(folder);
        for entry in entries {
            plan.add(entry, &into, depth, &mut waiting);
        }
    }
    Ok(plan)
}

impl Plan {
    fn add(
        &mut self,
        entry: Entry,
        into: &Path,
        depth: usize,
        waiting: &mut Vec<(RemotePath, PathBuf, usize)>,
    ) {
        let shown = || entry.path.to_string();
        if !is_safe(&entry.name) {
            self.left_out
                .push((shown(), "its name would lead elsewhere"));
            return;
        }
        let local = into.join(Path::new(std::ffi::OsStr::from_bytes(&entry.name)));
        match entry.kind {
            Kind::File => self.items.push(Item {
                remote: entry.path,
                local,
                size: entry.size,
            }),
            Kind::Folder if depth == DEEPEST => self.left_out.push((shown(), "it is too deep")),
            Kind::Folder => waiting.push((entry.path, local, depth + 1)),
            Kind::Other => self
                .left_out
                .push((shown(), "it is neither a file nor a folder")),
        }
    }
}

/// What there is to send of a folder on this machine, to be put into `into`.
///
/// # Errors
/// [`Reason::Local`].
pub fn upload_plan(folder: &Path, into: &RemotePath) -> Result<Plan> {
    let mut plan = Plan::default();
    let mut waiting = vec![(folder.to_path_buf(), into.as_folder())];
    while let Some((folder, into)) = waiting.pop() {
        let failed = |error: std::io::Error| {
            let text = format!("{}: {}", folder.display(), Error::local(&error));
            Error::new(Reason::Local, text)
        };
        let entries = fs::read_dir(&folder).map_err(failed)?;
        let entries: std::io::Result<Vec<_>> = entries.collect();
        let mut entries = entries.map_err(failed)?;
        entries.sort_by_key(fs::DirEntry::file_name);
        plan.local_folders.push(folder.clone());
        plan.remote_folders.push(into.clone());
        for entry in entries {
            let local = entry.path();
            let meta = fs::symlink_metadata(&local).map_err(failed)?;
            let remote = into.join(&entry.file_name().into_vec());
            if meta.is_dir() {
                waiting.push((local, remote.as_folder()));
            } else if meta.is_file() {
                plan.items.push(Item {
                    remote,
                    local,
                    size: Some(meta.size()),
                });
            } else {
                let what = if meta.is_symlink() {
                    "it is a link"
                } else {
                    "it is no file"
                };
                plan.left_out.push((local.display().to_string(), what));
            }
        }
    }
    Ok(plan)
}
