//! What is served: a contained tree of files, and what a visitor may do in it.
//!
//! A [`Share`] is a folder, or one file, opened once. A [`View`] of it is all
//! that a session ever holds: every method asks first whether this visitor may.
//! Paths come as [`RelPath`], and the kernel (`openat2(2)` with
//! `RESOLVE_BENEATH`) sees to it that no symbolic link leads out of the share,
//! not even one that is swapped in meanwhile: what leaves the share does not
//! exist.
//!
//! Functions here block on the disk; callers run them on a thread pool, except
//! for those whose names end in `_now`. Nothing here knows a protocol.

mod access;
mod archive;
mod copy;
mod in_place;
mod incoming;
mod listing;
mod meta;
mod parts;
mod path;
mod pieces;
mod placing;
mod resumable;
mod rules;
mod search;
mod sorting;
mod tree;
mod walk;
mod write;

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{Mode, OFlags, ResolveFlags, fstat, open, openat2};
use rustix::io::Errno;

use parts::Store;

pub use access::{Access, Lacks, Visitor};
pub use archive::{Tar, Zip};
pub use in_place::{How, Writing};
pub use incoming::{Incoming, Intent};
pub use listing::{By, Entry, Listing, Order, SORT_LIMIT};
pub use meta::{Changed, ETag, Kind, Meta, Modified};
pub(crate) use path::ESCAPED;
pub use path::{BadPath, NAME_LIMIT, PATH_LIMIT, RelPath};
pub use pieces::{PIECE, Pieces};
pub use placing::{Existing, Stored};
pub use resumable::{
    Appending, Check, Creation, FINISHED_KEPT, Notes, Progress, Role, UPLOADS_OF_ALL,
    UPLOADS_OF_ONE, UploadError, UploadId,
};
pub use rules::{
    AUDIT, Act, Durability, Ledger, NoBooks, Owned, Rules, UPLOAD_EXPIRY, write_audit,
};
pub use search::{Hit, Search, SearchLimits};
pub use walk::DEPTH_LIMIT;

/// The name that is kept for unfinished uploads. For visitors it neither exists
/// nor can be made, in no folder and in whatever case: a file system may take
/// `.HYTHE` for the same.
pub const RESERVED: &[u8] = b".hythe";

/// How often a path is looked up again when the kernel says that something was
/// renamed meanwhile (`EAGAIN`). Losing this often means that someone renames
/// on purpose, and a visitor's "busy" is better than a thread that never ends.
const LOOKUPS: usize = 128;

/// No way out of the share: neither by `..`, nor by a symbolic link, nor by the
/// magic ones of `/proc`.
const CONTAINED: ResolveFlags = ResolveFlags::BENEATH.union(ResolveFlags::NO_MAGICLINKS);

/// A folder, or one file, that is served. Clones are the same share.
#[derive(Clone, Debug)]
pub struct Share {
    root: Arc<Root>,
    rules: Arc<Rules>,
}

#[derive(Debug)]
struct Root {
    folder: OwnedFd,
    only: Option<Only>,
    name: String,
    /// Where this is in the whole share, if it is a part of it.
    prefix: RelPath,
    /// Where the whole share keeps what is on its way in.
    store: Arc<Store>,
}

/// The file that a share of one file consists of.
#[derive(Debug)]
struct Only {
    /// What visitors call it: the name that was typed.
    shown: Box<[u8]>,
    /// What it is called in the folder it is in, after symbolic links.
    stored: Box<[u8]>,
}

/// A share as one visitor may use it.
#[derive(Clone, Debug)]
pub struct View {
    share: Share,
    access: Access,
    visitor: Visitor,
}

/// A file or folder that has been opened, and what it was when it was.
#[derive(Debug)]
pub struct Opened {
    /// A file is open for reading. A folder is not, it is only held
    /// (`O_PATH`): see [`View::list`].
    pub file: File,
    /// Taken from the open file, hence true of it whatever happens to its name.
    pub meta: Meta,
}

impl Share {
    /// Opens a folder, or a single file, to be served. A file is served as a
    /// folder with nothing but this file in it.
    ///
    /// # Errors
    /// A message that names `path` where it does not exist, may not be opened,
    /// is neither folder nor file, or where the kernel lacks `openat2(2)`.
    pub fn open(path: &Path) -> io::Result<Self> {
        Self::open_unexplained(path).map_err(|error| {
            io::Error::new(
                error.kind(),
                format!("cannot share {}: {error}", path.display()),
            )
        })
    }

    fn open_unexplained(path: &Path) -> io::Result<Self> {
        let real = path.canonicalize()?;
        let kind = real.metadata()?.file_type();
        let typed = path
            .file_name()
            .or_else(|| real.file_name())
            .unwrap_or_else(|| "root".as_ref());
        let (folder, only) = match (real.parent(), real.file_name()) {
            _ if kind.is_dir() => (real.as_path(), None),
            (Some(parent), Some(stored)) if kind.is_file() => {
                // Opened and closed again to hear now, not from the first
                // visitor, that it may not be read.
                File::open(&real)?;
                let bytes = |name: &std::ffi::OsStr| name.as_encoded_bytes().into();
                (
                    parent,
                    Some(Only {
                        shown: bytes(typed),
                        stored: bytes(stored),
                    }),
                )
            }
            _ => {
                return Err(io::Error::other(
                    "it is neither a folder nor a regular file",
                ));
            }
        };
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = open(folder, flags, Mode::empty())?;
        let root = Root {
            store: Arc::new(Store::new(folder.try_clone()?)),
            folder,
            only,
            name: typed.to_string_lossy().into_owned(),
            prefix: RelPath::root(),
        };
        match root.open(&RelPath::root(), OFlags::PATH, ResolveFlags::empty()) {
            Ok(_) => Ok(Self {
                root: Arc::new(root),
                rules: Arc::default(),
            }),
            // Old container sandboxes answer EPERM to calls they do not know.
            Err(Errno::NOSYS | Errno::PERM) => Err(io::Error::new(
                io::ErrorKind::Unsupported,
                "this kernel or container has no openat2 (Linux 5.6)",
            )),
            Err(errno) => Err(errno.into()),
        }
    }

    /// The name to call the share by in titles: the last part of its path.
    pub fn name(&self) -> &str {
        &self.root.name
    }

    /// The share with the operator's rules for writing.
    pub fn with_rules(self, rules: Rules) -> Self {
        Self {
            rules: Arc::new(rules),
            ..self
        }
    }

    /// The operator's rules for writing.
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// The part of the share from this folder down, which is made if it is
    /// missing: someone's home. Its rules and its books are those of the whole,
    /// and so is the place for unfinished uploads.
    ///
    /// # Errors
    /// `NotADirectory` where a file is in the way, `Unsupported` for a share of
    /// one file, and what the disk says.
    pub fn below(&self, home: &RelPath) -> io::Result<Self> {
        if home.is_root() {
            return Ok(self.clone());
        }
        let name = home.name().unwrap_or_default();
        self.root.make_folders(home, |_| ())?;
        let (folder, real) = self.root.folder(home.clone())?;
        let root = Root {
            folder,
            only: None,
            name: String::from_utf8_lossy(name).into_owned(),
            prefix: self.root.whole(&real)?,
            store: Arc::clone(&self.root.store),
        };
        Ok(Self {
            root: Arc::new(root),
            rules: Arc::clone(&self.rules),
        })
    }

    /// Removes what uploads that a crash ended have left behind, and those that
    /// could be continued but have expired. How many there were. What a living
    /// process is still filling, this one or another, stays.
    ///
    /// # Errors
    /// The disk's.
    pub fn sweep(&self) -> io::Result<usize> {
        if self.is_one_file() {
            return Ok(0);
        }
        Ok(self.root.store.sweep()? + self.sweep_uploads()?)
    }

    /// Whether this is a single file, which nothing can be written beside.
    pub fn is_one_file(&self) -> bool {
        self.root.only.is_some()
    }

    /// The share as whoever has `access` sees it, where it does not matter who.
    pub fn view(&self, access: Access) -> View {
        self.view_of(access, Visitor::LOCAL)
    }

    /// The share as this visitor sees it.
    pub fn view_of(&self, access: Access, visitor: Visitor) -> View {
        let access = match self.rules.programs.is_empty() {
            true => access,
            false => access.min(Access::Read),
        };
        View {
            share: self.clone(),
            access,
            visitor,
        }
    }
}

impl View {
    /// The share this is a view of.
    pub fn share(&self) -> &Share {
        &self.share
    }

    /// What the visitor may do.
    pub fn access(&self) -> Access {
        self.access
    }

    /// Who the visitor is.
    pub fn visitor(&self) -> &Visitor {
        &self.visitor
    }

    /// Whether the visitor may do what needs this level.
    ///
    /// # Errors
    /// `PermissionDenied`, with [`Lacks`] for a reason.
    pub fn require(&self, needed: Access) -> io::Result<()> {
        if self.access >= needed {
            Ok(())
        } else {
            Err(Lacks {
                needed,
                has: self.access,
            }
            .into())
        }
    }

    /// What is at `path`.
    ///
    /// # Errors
    /// `NotFound` where there is nothing, or nothing that visitors may know of:
    /// what leaves the share, FIFOs, sockets, devices. `PermissionDenied` by
    /// this view or by the disk.
    pub fn metadata(&self, path: &RelPath) -> io::Result<Meta> {
        self.require(Access::Read)?;
        self.share
            .root
            .metadata(path, ResolveFlags::empty())
            .map_err(told)
    }

    /// As [`metadata`](Self::metadata), but `Ok(None)` where the answer is not
    /// in memory and a local disk would have to be waited for.
    ///
    /// # Errors
    /// As [`metadata`](Self::metadata).
    pub fn metadata_now(&self, path: &RelPath) -> io::Result<Option<Meta>> {
        self.require(Access::Read)?;
        known_now(self.share.root.metadata(path, ResolveFlags::CACHED))
    }

    /// Opens the file or folder at `path`.
    ///
    /// # Errors
    /// As [`metadata`](Self::metadata).
    pub fn open(&self, path: &RelPath) -> io::Result<Opened> {
        self.require(Access::Read)?;
        let opened = self.share.root.opened(path, ResolveFlags::empty());
        opened
            .map_err(told)
            .and_then(|opened| self.unless_program(path, opened))
    }

    /// What was opened, unless it is a program, which nobody reads.
    fn unless_program(&self, path: &RelPath, opened: Opened) -> io::Result<Opened> {
        let name = path.name().unwrap_or_default();
        if !opened.meta.is_folder() && self.share.rules.is_program(name) {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        Ok(opened)
    }

    /// As [`open`](Self::open), but `Ok(None)` where a local disk would have to
    /// be waited for. What is opened may still have to be read from there.
    ///
    /// # Errors
    /// As [`metadata`](Self::metadata).
    pub fn open_now(&self, path: &RelPath) -> io::Result<Option<Opened>> {
        self.require(Access::Read)?;
        let opened = known_now(self.share.root.opened(path, ResolveFlags::CACHED))?;
        opened
            .map(|opened| self.unless_program(path, opened))
            .transpose()
    }

    /// Begins to list the folder at `path`.
    ///
    /// # Errors
    /// As [`metadata`](Self::metadata), and `NotADirectory` for a file.
    pub fn list(&self, path: &RelPath, order: Order) -> io::Result<Listing> {
        self.require(Access::Read)?;
        Listing::new(self.clone(), path.clone(), order)
    }

    /// Begins to search the folder at `path`, and all below it, for names that
    /// contain `needle` in whatever case.
    ///
    /// # Errors
    /// As [`list`](Self::list).
    pub fn search(&self, path: &RelPath, needle: &str, limits: SearchLimits) -> io::Result<Search> {
        self.require(Access::Read)?;
        Search::new(self.clone(), path.clone(), needle, limits)
    }
}

/// Everything that touches the disk by name goes through here. Errors stay
/// the kernel's own until [`told`] or [`known_now`].
impl Root {
    fn open(&self, path: &RelPath, flags: OFlags, extra: ResolveFlags) -> Result<OwnedFd, Errno> {
        let (name, resolve) = self.target(path).ok_or(Errno::NOENT)?;
        let look = || {
            openat2(
                &self.folder,
                name,
                flags | OFlags::CLOEXEC,
                Mode::empty(),
                resolve | extra,
            )
        };
        let mut result = look();
        if !extra.contains(ResolveFlags::CACHED) {
            for _ in 1..LOOKUPS {
                if !matches!(result, Err(Errno::AGAIN | Errno::INTR)) {
                    break;
                }
                result = look();
            }
        }
        result
    }

    /// What to ask the kernel for, and how; `None` for what does not exist.
    fn target<'a>(&'a self, path: &'a RelPath) -> Option<(&'a [u8], ResolveFlags)> {
        match &self.only {
            _ if path.is_root() => Some((b".", CONTAINED)),
            None if path.components().any(is_reserved) => None,
            None => Some((path.as_bytes(), CONTAINED)),
            // Replaced by a link, the one file could become its neighbour.
            Some(only) if path.as_bytes() == &*only.shown => {
                Some((&only.stored, CONTAINED | ResolveFlags::NO_SYMLINKS))
            }
            Some(_) => None,
        }
    }

    fn metadata(&self, path: &RelPath, extra: ResolveFlags) -> Result<Meta, Errno> {
        let held = self.open(path, OFlags::PATH, extra)?;
        Meta::new(&fstat(&held)?).ok_or(Errno::NOENT)
    }

    /// Looks before it opens: opening a device can do things to it, and opening
    /// a FIFO would wake its writer. Should one be swapped in between, O_NONBLOCK
    /// and O_NOCTTY make it harmless.
    fn opened(&self, path: &RelPath, extra: ResolveFlags) -> Result<Opened, Errno> {
        let held = self.open(path, OFlags::PATH, extra)?;
        let meta = Meta::new(&fstat(&held)?).ok_or(Errno::NOENT)?;
        if meta.is_folder() {
            return Ok(Opened {
                file: held.into(),
                meta,
            });
        }
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
        let file = self.open(path, flags, extra)?;
        match Meta::new(&fstat(&file)?) {
            Some(meta) if !meta.is_folder() => Ok(Opened {
                file: file.into(),
                meta,
            }),
            _ => Err(Errno::NOENT),
        }
    }
}

/// Whether a name is the one that is kept for the server.
fn is_reserved(name: &[u8]) -> bool {
    name.eq_ignore_ascii_case(RESERVED)
}

/// What a visitor hears of an error. That something leaves the share, or is
/// there but is of no kind we serve, must look the same as nothing there.
fn told(errno: Errno) -> io::Error {
    match errno {
        Errno::XDEV | Errno::LOOP | Errno::NOTDIR | Errno::NAMETOOLONG | Errno::NXIO => {
            io::ErrorKind::NotFound.into()
        }
        Errno::AGAIN => io::ErrorKind::ResourceBusy.into(),
        other => other.into(),
    }
}

/// `RESOLVE_CACHED` answers EAGAIN where it would have to wait, and EINVAL in a
/// kernel that does not know it (before Linux 5.12).
fn known_now<T>(result: Result<T, Errno>) -> io::Result<Option<T>> {
    match result {
        Ok(known) => Ok(Some(known)),
        Err(Errno::AGAIN | Errno::INVAL) => Ok(None),
        Err(errno) => Err(told(errno)),
    }
}

/// Whether an error means that one entry of a folder is not for the visitor,
/// rather than that something is wrong: others may be readable still.
fn is_skipped(error: &io::Error) -> bool {
    use io::ErrorKind::{NotFound, PermissionDenied, StaleNetworkFileHandle};
    matches!(
        error.kind(),
        NotFound | PermissionDenied | StaleNetworkFileHandle
    )
}
