//! The entries of a folder, some at a time.

use std::cmp::Reverse;
use std::io;
use std::vec;

use rustix::fs::{AtFlags, Dir, FileType, OFlags, ResolveFlags, statat};
use rustix::io::Errno;

use super::{Kind, Meta, Modified, RESERVED, RelPath, View, is_skipped, told};

/// The largest folder that is sorted. Sorting needs all its entries in memory
/// at once, about 200 bytes each: 20 MB for this many, which is as much as one
/// visitor's request should be able to claim. Nobody reads a longer list from
/// top to bottom.
pub const SORT_LIMIT: usize = 100_000;

/// How many entries a call yields: some 50 kB of listing, and a fraction of a
/// millisecond of `stat(2)`.
const BATCH: usize = 256;

/// How many entries a call reads ahead when it yields none because they are
/// still to be sorted.
const GATHER: usize = 2048;

/// What the entries of a listing are ordered by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum By {
    /// The order the file system has them in: begins at once, needs no memory.
    #[default]
    None,
    /// By name, regardless of case.
    Name,
    /// By size, then by name.
    Size,
    /// By time of modification, then by name.
    Modified,
}

/// The order of a listing. Folders always come before files, and ties are
/// broken by name, so that an order is the same every time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Order {
    /// What decides.
    pub by: By,
    /// Largest, latest or last in the alphabet first.
    pub descending: bool,
}

/// A file or folder in a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The name's bytes, as they are on the disk.
    pub name: Box<[u8]>,
    /// What it is; for a symbolic link, what it leads to.
    pub meta: Meta,
    /// Whether it is a symbolic link.
    pub symlink: bool,
}

impl Entry {
    /// Whether the name begins with a dot, which by custom keeps it out of
    /// sight. A listing has it all the same: what to show is the caller's.
    pub fn hidden(&self) -> bool {
        self.name.first() == Some(&b'.')
    }
}

/// A folder being listed. What cannot be reached through the share is left out:
/// links that lead out of it or nowhere, FIFOs, sockets, devices, the reserved
/// name, and whatever is removed meanwhile.
#[derive(Debug)]
pub struct Listing {
    folder: Folder,
    order: Order,
    limit: usize,
    stage: Stage,
    sorted: bool,
}

#[derive(Debug)]
enum Stage {
    /// Straight from the disk.
    Streaming,
    /// Collecting what is to be sorted.
    Gathering(Vec<Candidate>),
    /// Handing out what was collected, and then whatever is left on the disk.
    Yielding(vec::IntoIter<Candidate>),
}

/// An entry that has its place in the order, but perhaps not its metadata yet:
/// to sort by name it is not needed, and thousands of `stat(2)` calls can wait
/// until the first batch is on its way.
#[derive(Debug)]
struct Candidate {
    name: Box<[u8]>,
    kind: Kind,
    seen: Option<(Meta, bool)>,
}

impl Listing {
    /// Lists the folder at `path`, sorted if it has no more than `limit`
    /// entries.
    pub(super) fn new(view: View, path: RelPath, order: Order, limit: usize) -> io::Result<Self> {
        let stage = match order.by {
            By::None => Stage::Streaming,
            _ => Stage::Gathering(Vec::new()),
        };
        let sorted = order.by != By::None;
        Ok(Self {
            folder: Folder::open(view, path)?,
            order,
            limit,
            stage,
            sorted,
        })
    }

    /// Appends up to a few hundred entries to `out`, possibly none, after a
    /// bounded amount of work. `Ok(false)` means that nothing follows what this
    /// call appended.
    ///
    /// # Errors
    /// Whatever the disk reports about the folder itself.
    pub fn next_batch(&mut self, out: &mut Vec<Entry>) -> io::Result<bool> {
        match &mut self.stage {
            Stage::Streaming => self.stream(out),
            Stage::Gathering(_) => self.gather(),
            Stage::Yielding(rest) => {
                for candidate in rest.take(BATCH) {
                    out.extend(self.folder.complete(candidate)?);
                }
                if rest.len() == 0 {
                    self.stage = Stage::Streaming;
                }
                Ok(true)
            }
        }
    }

    /// Whether the entries come in the order that was asked for: not in a
    /// folder of more than [`SORT_LIMIT`] entries, which comes in its own order.
    /// Final once a batch has yielded an entry.
    pub fn is_sorted(&self) -> bool {
        self.sorted
    }

    /// The folder that is listed.
    pub fn path(&self) -> &RelPath {
        &self.folder.path
    }

    fn stream(&mut self, out: &mut Vec<Entry>) -> io::Result<bool> {
        for _ in 0..BATCH {
            let Some((name, _)) = self.folder.next_name()? else {
                return Ok(false);
            };
            if let Some((meta, symlink)) = self.folder.look(&name)? {
                out.push(Entry {
                    name,
                    meta,
                    symlink,
                });
            }
        }
        Ok(true)
    }

    fn gather(&mut self) -> io::Result<bool> {
        let Stage::Gathering(gathered) = &mut self.stage else {
            return Ok(true);
        };
        let mut ended = false;
        for _ in 0..GATHER {
            if gathered.len() > self.limit {
                break;
            }
            let Some((name, file_type)) = self.folder.next_name()? else {
                ended = true;
                break;
            };
            gathered.extend(self.folder.candidate(name, file_type, self.order.by)?);
        }
        self.sorted = gathered.len() <= self.limit;
        if ended || !self.sorted {
            let mut gathered = std::mem::take(gathered);
            if self.sorted {
                sort(&mut gathered, self.order);
            }
            self.stage = Stage::Yielding(gathered.into_iter());
        }
        Ok(true)
    }
}

fn sort(candidates: &mut [Candidate], Order { by, descending }: Order) {
    /// The field that decides before the name does.
    #[derive(PartialEq, Eq, PartialOrd, Ord)]
    enum Field {
        Nothing,
        Size(u64),
        Modified(Modified),
    }
    let field = |candidate: &Candidate| match (by, &candidate.seen) {
        // The size of a folder means nothing to a visitor.
        (By::Size, Some((meta, _))) if !meta.is_folder() => Field::Size(meta.size),
        (By::Modified, Some((meta, _))) => Field::Modified(meta.modified),
        _ => Field::Nothing,
    };
    let key = |candidate: &Candidate| {
        let name = String::from_utf8_lossy(&candidate.name).to_lowercase();
        (field(candidate), name, candidate.name.clone())
    };
    if descending {
        candidates.sort_by_cached_key(|one| (one.kind == Kind::File, Reverse(key(one))));
    } else {
        candidates.sort_by_cached_key(|one| (one.kind == Kind::File, key(one)));
    }
}

/// A folder that is open for reading, and how to look at what is in it.
#[derive(Debug)]
struct Folder {
    view: View,
    path: RelPath,
    names: Names,
}

#[derive(Debug)]
enum Names {
    OnDisk(Dir),
    /// Of a share that is one file: its name, until it has been told.
    Only(Option<Box<[u8]>>),
}

impl Folder {
    fn open(view: View, path: RelPath) -> io::Result<Self> {
        let root = &view.share.0;
        let names = match &root.only {
            Some(only) if path.is_root() => Names::Only(Some(only.shown.clone())),
            _ => {
                let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NONBLOCK;
                let folder = root.open(&path, flags, ResolveFlags::empty());
                Names::OnDisk(Dir::new(folder.map_err(|errno| match errno {
                    Errno::NOTDIR => errno.into(),
                    _ => told(errno),
                })?)?)
            }
        };
        Ok(Self { view, path, names })
    }

    /// The next name in the folder's own order, and what the folder knows of
    /// its type.
    fn next_name(&mut self) -> io::Result<Option<(Box<[u8]>, FileType)>> {
        let dir = match &mut self.names {
            Names::OnDisk(dir) => dir,
            Names::Only(name) => return Ok(name.take().map(|name| (name, FileType::Unknown))),
        };
        while let Some(entry) = dir.read() {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            let reserved = self.path.is_root() && name == RESERVED;
            if !matches!(name, b"." | b"..") && !reserved {
                return Ok(Some((name.into(), entry.file_type())));
            }
        }
        Ok(None)
    }

    /// What `name` is, and whether it is a symbolic link; `None` if it is not
    /// for the visitor.
    fn look(&self, name: &[u8]) -> io::Result<Option<(Meta, bool)>> {
        let seen = self.look_closely(name);
        match seen {
            Err(error) if is_skipped(&error) => Ok(None),
            seen => seen,
        }
    }

    fn look_closely(&self, name: &[u8]) -> io::Result<Option<(Meta, bool)>> {
        if let Names::OnDisk(dir) = &self.names {
            let stat = statat(dir.fd()?, name, AtFlags::SYMLINK_NOFOLLOW)?;
            if FileType::from_raw_mode(stat.st_mode) != FileType::Symlink {
                return Ok(Meta::new(&stat).map(|meta| (meta, false)));
            }
        }
        // Where a link leads is asked from the root of the share, because that
        // is what it must not leave.
        let Ok(path) = self.path.join(name) else {
            return Ok(None);
        };
        let symlink = matches!(self.names, Names::OnDisk(_));
        Ok(Some((self.view.metadata(&path)?, symlink)))
    }

    /// What is needed of `name` to give it its place in the order.
    fn candidate(
        &self,
        name: Box<[u8]>,
        file_type: FileType,
        by: By,
    ) -> io::Result<Option<Candidate>> {
        let kind = match file_type {
            FileType::RegularFile => Kind::File,
            FileType::Directory => Kind::Folder,
            FileType::Symlink | FileType::Unknown => {
                return self.looked_at(name);
            }
            _ => return Ok(None),
        };
        match by {
            By::None | By::Name => Ok(Some(Candidate {
                name,
                kind,
                seen: None,
            })),
            By::Size | By::Modified => self.looked_at(name),
        }
    }

    fn looked_at(&self, name: Box<[u8]>) -> io::Result<Option<Candidate>> {
        let seen = self.look(&name)?;
        Ok(seen.map(|(meta, _)| Candidate {
            name,
            kind: meta.kind,
            seen,
        }))
    }

    fn complete(&self, Candidate { name, seen, .. }: Candidate) -> io::Result<Option<Entry>> {
        let seen = match seen {
            Some(seen) => Some(seen),
            None => self.look(&name)?,
        };
        Ok(seen.map(|(meta, symlink)| Entry {
            name,
            meta,
            symlink,
        }))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;
    use crate::share::{Access, Share};

    fn list(folder: &Path, by: By, limit: usize) -> (Vec<String>, bool) {
        let view = Share::open(folder).unwrap().view(Access::Read);
        let order = Order {
            by,
            descending: false,
        };
        let mut listing = Listing::new(view, RelPath::root(), order, limit).unwrap();
        let mut entries = Vec::new();
        while listing.next_batch(&mut entries).unwrap() {}
        let names = entries
            .iter()
            .map(|entry| String::from_utf8_lossy(&entry.name).into_owned());
        (names.collect(), listing.is_sorted())
    }

    #[test]
    fn folders_beyond_the_limit_come_whole_but_unsorted() {
        let folder = tempfile::tempdir().unwrap();
        let expected: Vec<String> = (0..10).map(|number| format!("f{number}")).collect();
        for name in &expected {
            fs::write(folder.path().join(name), name).unwrap();
        }
        for by in [By::Name, By::Size, By::Modified] {
            assert_eq!(list(folder.path(), By::Name, 11), (expected.clone(), true));
            assert_eq!(list(folder.path(), By::Name, 10), (expected.clone(), true));
            let (mut names, sorted) = list(folder.path(), by, 9);
            assert!(!sorted);
            names.sort();
            assert_eq!(names, expected);
        }
    }
}
