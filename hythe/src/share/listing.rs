//! The entries of a folder, some at a time.

use std::io;

use rustix::fs::{AtFlags, Dir, FileType, OFlags, ResolveFlags, statat};
use rustix::io::Errno;

use super::sorting::{BUDGET, Budget, Gathered, Rank};
use super::{Kind, Meta, RelPath, View, is_reserved, is_skipped, told};

/// The largest folder that is sorted. Sorting needs all its names in memory at
/// once, some 70 bytes each: 7 MB for this many, which is as much as one
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
    /// Whether it is a program, which is run and not read.
    pub program: bool,
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
    Gathering(Gathered),
    /// Handing out what was sorted.
    Yielding(Gathered),
}

impl Listing {
    /// Lists the folder at `path`.
    pub(super) fn new(view: View, path: RelPath, order: Order) -> io::Result<Self> {
        Self::within(view, path, order, SORT_LIMIT, &BUDGET)
    }

    /// Lists the folder at `path`, sorted if it has no more than `limit`
    /// entries and there is room for them in `budget`.
    fn within(
        view: View,
        path: RelPath,
        order: Order,
        limit: usize,
        budget: &'static Budget,
    ) -> io::Result<Self> {
        let stage = match order.by {
            By::None => Stage::Streaming,
            _ => Stage::Gathering(Gathered::new(budget)),
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
        match std::mem::replace(&mut self.stage, Stage::Streaming) {
            Stage::Streaming => self.stream(out),
            Stage::Gathering(gathered) => {
                self.stage = self.gather(gathered)?;
                Ok(true)
            }
            Stage::Yielding(mut sorted) => {
                for _ in 0..BATCH {
                    let Some(name) = sorted.take() else {
                        return Ok(false);
                    };
                    out.extend(self.folder.entry(name)?);
                }
                self.stage = Stage::Yielding(sorted);
                Ok(true)
            }
        }
    }

    /// Whether the entries come in the order that was asked for, rather than in
    /// the folder's own: not in a folder of more than [`SORT_LIMIT`] entries,
    /// and not when others' listings leave too little memory to sort this one.
    /// Final once a batch has yielded an entry.
    pub fn is_sorted(&self) -> bool {
        self.sorted
    }

    /// Whether something was left out because the server may not look at it.
    pub(super) fn denied(&self) -> bool {
        self.folder.denied
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
            out.extend(self.folder.entry(name)?);
        }
        Ok(true)
    }

    /// Reads on, and says what comes next.
    fn gather(&mut self, mut gathered: Gathered) -> io::Result<Stage> {
        for _ in 0..GATHER {
            let Some((name, file_type)) = self.folder.next_name()? else {
                gathered.sort(self.order.descending);
                return Ok(Stage::Yielding(gathered));
            };
            let Some((kind, rank)) = self.folder.rank(&name, file_type, self.order.by)? else {
                continue;
            };
            if gathered.len() == self.limit || !gathered.push(&name, kind, rank) {
                self.sorted = false;
                self.folder.rewind();
                return Ok(Stage::Streaming);
            }
        }
        Ok(Stage::Gathering(gathered))
    }
}

/// A folder that is open for reading, and how to look at what is in it.
#[derive(Debug)]
struct Folder {
    view: View,
    path: RelPath,
    names: Names,
    denied: bool,
}

#[derive(Debug)]
enum Names {
    OnDisk(Dir),
    /// Of a share that is one file: its name, and whether it has been told.
    Only {
        name: Box<[u8]>,
        told: bool,
    },
}

impl Folder {
    fn open(view: View, path: RelPath) -> io::Result<Self> {
        let root = &view.share.root;
        let names = match &root.only {
            Some(only) if path.is_root() => Names::Only {
                name: only.shown.clone(),
                told: false,
            },
            _ => {
                let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NONBLOCK;
                let folder = root.open(&path, flags, ResolveFlags::empty());
                Names::OnDisk(Dir::new(folder.map_err(|errno| match errno {
                    Errno::NOTDIR => errno.into(),
                    _ => told(errno),
                })?)?)
            }
        };
        Ok(Self {
            view,
            path,
            names,
            denied: false,
        })
    }

    /// The next name in the folder's own order, and what the folder knows of
    /// its type.
    fn next_name(&mut self) -> io::Result<Option<(Box<[u8]>, FileType)>> {
        let dir = match &mut self.names {
            Names::OnDisk(dir) => dir,
            Names::Only { told: true, .. } => return Ok(None),
            Names::Only { name, told } => {
                *told = true;
                return Ok(Some((name.clone(), FileType::Unknown)));
            }
        };
        while let Some(entry) = dir.read() {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if !matches!(name, b"." | b"..") && !is_reserved(name) {
                return Ok(Some((name.into(), entry.file_type())));
            }
        }
        Ok(None)
    }

    /// Begins again with the first name.
    fn rewind(&mut self) {
        match &mut self.names {
            Names::OnDisk(dir) => dir.rewind(),
            Names::Only { told, .. } => *told = false,
        }
    }

    /// What is called `name`; `None` if it is not for the visitor.
    fn entry(&mut self, name: Box<[u8]>) -> io::Result<Option<Entry>> {
        let Some((meta, symlink)) = self.look(&name)? else {
            return Ok(None);
        };
        let program = !meta.is_folder() && self.view.share().rules().is_program(&name);
        Ok(Some(Entry {
            name,
            meta,
            symlink,
            program,
        }))
    }

    /// What `name` is, and whether it is a symbolic link; `None` if it is not
    /// for the visitor.
    fn look(&mut self, name: &[u8]) -> io::Result<Option<(Meta, bool)>> {
        let seen = self.look_closely(name);
        match seen {
            Err(error) if is_skipped(&error) => {
                self.denied |= error.kind() == io::ErrorKind::PermissionDenied;
                Ok(None)
            }
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

    /// What gives `name` its place in the order. To sort by name its metadata
    /// is rarely needed, and thousands of `stat(2)` calls can wait until the
    /// first batch is on its way.
    fn rank(
        &mut self,
        name: &[u8],
        file_type: FileType,
        by: By,
    ) -> io::Result<Option<(Kind, Rank)>> {
        match (file_type, by) {
            (FileType::RegularFile, By::None | By::Name) => return Ok(Some((Kind::File, (0, 0)))),
            (FileType::Directory, By::None | By::Name) => return Ok(Some((Kind::Folder, (0, 0)))),
            (
                FileType::RegularFile | FileType::Directory | FileType::Symlink | FileType::Unknown,
                _,
            ) => {}
            _ => return Ok(None),
        }
        Ok(self.look(name)?.map(|(meta, _)| {
            let rank = match by {
                // The size of a folder means nothing to a visitor.
                By::Size if !meta.is_folder() => (i64::try_from(meta.size).unwrap_or(i64::MAX), 0),
                By::Modified => (meta.modified.secs, meta.modified.nanos),
                _ => (0, 0),
            };
            (meta.kind, rank)
        }))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;
    use crate::share::{Access, Share};

    fn begin(folder: &Path, by: By, limit: usize, budget: &'static Budget) -> Listing {
        let view = Share::open(folder).unwrap().view(Access::Read);
        let order = Order {
            by,
            descending: false,
        };
        Listing::within(view, RelPath::root(), order, limit, budget).unwrap()
    }

    fn drain(mut listing: Listing) -> (Vec<String>, bool) {
        let mut entries = Vec::new();
        while listing.next_batch(&mut entries).unwrap() {}
        let names = entries
            .iter()
            .map(|entry| String::from_utf8_lossy(&entry.name).into_owned());
        (names.collect(), listing.is_sorted())
    }

    /// Makes files with such names, and tells them in order.
    fn fill(folder: &Path, names: impl Iterator<Item = String>) -> Vec<String> {
        let mut names: Vec<String> = names.collect();
        for name in &names {
            fs::write(folder.join(name), name).unwrap();
        }
        names.sort();
        names
    }

    #[test]
    fn folders_beyond_the_limit_come_whole_but_unsorted() {
        let folder = tempfile::tempdir().unwrap();
        let expected = fill(folder.path(), (0..10).map(|number| format!("f{number}")));
        for by in [By::Name, By::Size, By::Modified] {
            let list = |by, limit| drain(begin(folder.path(), by, limit, &BUDGET));
            assert_eq!(list(By::Name, 11), (expected.clone(), true));
            assert_eq!(list(By::Name, 10), (expected.clone(), true));
            let (mut names, sorted) = list(by, 9);
            assert!(!sorted);
            names.sort();
            assert_eq!(names, expected);
        }
    }

    #[test]
    fn what_waits_to_be_read_holds_no_more_than_the_budget() {
        static SMALL: Budget = Budget::new(1024 * 1024);
        let folder = tempfile::tempdir().unwrap();
        let few = folder.path().join("few");
        let many = folder.path().join("many");
        fs::create_dir(&few).unwrap();
        fs::create_dir(&many).unwrap();
        let in_few = fill(&few, (0..10).map(|number| format!("{number}")));
        let in_many = fill(&many, (0..3000).map(|number| format!("Name {number:04}")));

        for by in [By::Name, By::Size, By::Modified] {
            let mut waiting: Vec<Listing> = Vec::new();
            let is_unsorted = |listing: &Listing| !listing.is_sorted();
            while !waiting.last().is_some_and(is_unsorted) {
                let mut listing = begin(&many, by, SORT_LIMIT, &SMALL);
                let mut entries = Vec::new();
                while entries.is_empty() {
                    assert!(listing.next_batch(&mut entries).unwrap());
                    assert!(SMALL.claimed() <= SMALL.bytes());
                }
                waiting.push(listing);
            }
            // 24 bytes and two names for each entry.
            let held = SMALL.claimed() / (waiting.len() - 1);
            assert!(waiting.len() > 2 && held < 3000 * 50, "{held}");

            let (mut names, sorted) = drain(begin(&many, by, SORT_LIMIT, &SMALL));
            names.sort();
            assert_eq!((&names, sorted), (&in_many, false));
            // There is room for the small all the same.
            let (names, sorted) = drain(begin(&few, By::Name, SORT_LIMIT, &SMALL));
            assert_eq!((&names, sorted), (&in_few, true));

            // Read to its end or given up, it makes room.
            let first = waiting.swap_remove(0);
            let before = SMALL.claimed();
            let (names, sorted) = drain(first);
            assert!(sorted && names.len() < in_many.len() && SMALL.claimed() < before);
            waiting.clear();
            assert_eq!(SMALL.claimed(), 0);
            assert!(drain(begin(&many, by, SORT_LIMIT, &SMALL)).1);
            assert_eq!(SMALL.claimed(), 0);
        }
    }

    #[test]
    fn no_budget_is_no_error() {
        static NONE: Budget = Budget::new(0);
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        for shared in [folder.path(), &file] {
            let listed = drain(begin(shared, By::Name, SORT_LIMIT, &NONE));
            assert_eq!(listed, (vec!["file".to_owned()], false));
        }
    }
}
