//! What the disk says about a file or folder.

use std::fmt;

use rustix::fs::{FileType, Stat};

/// What visitors can see; everything else (FIFOs, sockets, devices) does not
/// exist for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A regular file.
    File,
    /// A folder.
    Folder,
}

/// When the content last changed: seconds and nanoseconds since 1970 in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Modified {
    /// Whole seconds since the epoch; negative before it.
    pub secs: i64,
    /// Nanoseconds after `secs`, below 1,000,000,000.
    pub nanos: u32,
}

/// When anything about a file last changed, its content, its permissions or its
/// names, in the file system's own time. Unlike [`Modified`], nobody can set it
/// back, and reading does not move it. It is good for telling whether two are
/// equal and for nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Changed {
    /// Whole seconds since 1970 in UTC.
    pub secs: i64,
    /// Nanoseconds after `secs`, below 1,000,000,000.
    pub nanos: u32,
}

/// A snapshot of `stat(2)`. Two that are equal describe the same content, as
/// far as the file system can tell, which is what caches need.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Meta {
    /// File or folder.
    pub kind: Kind,
    /// Length in bytes; what the file system likes to say for a folder.
    pub size: u64,
    /// When the content last changed.
    pub modified: Modified,
    /// When anything about it last changed. Some programs write to a file and
    /// then restore its time of modification, as `touch -r` does: without this,
    /// what they wrote would look the same as what was there.
    pub changed: Changed,
    /// The device the file is on.
    pub device: u64,
    /// The file's number on its device.
    pub inode: u64,
    /// Permission bits, without the file type.
    pub mode: u32,
    /// How many names (hard links) the file has.
    pub links: u64,
}

impl Meta {
    /// `None` for what visitors never see.
    #[allow(
        clippy::unnecessary_cast,
        reason = "the fields' types differ between architectures"
    )]
    pub(super) fn new(stat: &Stat) -> Option<Self> {
        let kind = match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => Kind::File,
            FileType::Directory => Kind::Folder,
            _ => return None,
        };
        Some(Self {
            kind,
            size: stat.st_size as u64,
            modified: Modified {
                secs: stat.st_mtime as i64,
                nanos: stat.st_mtime_nsec as u32,
            },
            changed: Changed {
                secs: stat.st_ctime as i64,
                nanos: stat.st_ctime_nsec as u32,
            },
            device: stat.st_dev as u64,
            inode: stat.st_ino as u64,
            mode: stat.st_mode & 0o7777,
            links: stat.st_nlink as u64,
        })
    }

    /// Whether this is a folder.
    pub fn is_folder(&self) -> bool {
        self.kind == Kind::Folder
    }

    /// The strong entity tag (RFC 9110 §8.8.3), quotes included, to be
    /// formatted where it is needed.
    pub fn etag(&self) -> ETag {
        ETag(*self)
    }
}

/// Formats as a quoted entity tag made of device, inode, size and time of
/// modification, so that it changes whenever one of them does. The time of
/// change is not in it: a `chmod(2)` or a new hard link would make every visitor
/// fetch again what they have.
#[derive(Clone, Copy, Debug)]
pub struct ETag(Meta);

impl fmt::Display for ETag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Meta {
            device,
            inode,
            size,
            modified: Modified { secs, nanos },
            ..
        } = self.0;
        write!(f, "\"{device:x}-{inode:x}-{size:x}-{secs:x}-{nanos:x}\"")
    }
}
