//! The operator's rules for writing, and who keeps the books of it.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::{RelPath, Visitor};

/// When what was acknowledged survives a power cut. A crash of the server
/// itself loses nothing either way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Durability {
    /// When the kernel gets round to it.
    None,
    /// A file is synced before it appears under its name.
    #[default]
    Complete,
    /// Every acknowledged piece of an upload is synced.
    Every,
}

/// How long an unfinished upload is kept for its owner to continue.
pub const UPLOAD_EXPIRY: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// The operator's rules for what is written into a share.
#[derive(Clone, Debug)]
pub struct Rules {
    /// See [`Durability`].
    pub durability: Durability,
    /// The largest file that may be uploaded, in bytes.
    pub max_upload: Option<u64>,
    /// How long an unfinished upload is kept after its last byte.
    pub upload_expiry: Duration,
    /// How the names of files end that are programs, which are run and not read:
    /// visitors see that they are there, and nobody sees what is in them. Where
    /// there are any, nobody may do more than read: what is put there would be run.
    pub programs: Vec<Box<[u8]>>,
    /// Who keeps the books.
    pub ledger: Arc<dyn Ledger>,
}

impl Rules {
    /// Whether the name of a file says that it is run and not read. Of the case of
    /// letters a file system may make nothing.
    pub(super) fn is_program(&self, name: &[u8]) -> bool {
        self.programs.iter().any(|ending| {
            let start = name.len().checked_sub(ending.len());
            start.is_some_and(|start| name[start..].eq_ignore_ascii_case(ending))
        })
    }
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            durability: Durability::default(),
            max_upload: None,
            upload_expiry: UPLOAD_EXPIRY,
            programs: Vec::new(),
            ledger: Arc::new(NoBooks),
        }
    }
}

/// Keeps the books of what visitors put into a share: quotas, and the audit
/// log. Paths are those of the whole share, also for visitors who see only
/// their home. Blocks.
pub trait Ledger: fmt::Debug + Send + Sync {
    /// How many more bytes this account may store, beyond what it has stored;
    /// `None` without a quota.
    ///
    /// # Errors
    /// The database's.
    fn room(&self, account: &str) -> io::Result<Option<u64>>;

    /// Looks whether there is more room than that, because files have gone
    /// without our doing. Whether it has looked: it costs something, and isn't
    /// done for everybody who asks.
    ///
    /// # Errors
    /// The database's.
    fn recount(&self, _account: &str) -> io::Result<bool> {
        Ok(false)
    }

    /// A file of `bytes` is about to appear at `path`, in place of whatever is
    /// there. This is the decision, made at once for all who ask at one time.
    /// What the books said of this path before.
    ///
    /// # Errors
    /// `QuotaExceeded`; the database's.
    fn stored(&self, visitor: &Visitor, path: &RelPath, bytes: u64) -> io::Result<Option<Owned>>;

    /// The file that this visitor [stored](Self::stored) at `path` did not
    /// appear after all: the books say again what they said before, unless
    /// somebody else has stored something there since.
    ///
    /// # Errors
    /// The database's.
    fn undo(&self, visitor: &Visitor, path: &RelPath, before: Option<Owned>) -> io::Result<()>;

    /// Something is about to appear at `path`, or to be moved away. Until
    /// [`appeared`](Self::appeared), what the books say of it and of what is
    /// below may not be so yet.
    fn appearing(&self, _path: &RelPath) {}

    /// It has appeared, or never will. Once for each time that it was about to.
    fn appeared(&self, _path: &RelPath) {}

    /// What was at `from`, and below, is now at `to`, in place of whatever was
    /// there.
    ///
    /// # Errors
    /// The database's.
    fn moved(&self, from: &RelPath, to: &RelPath) -> io::Result<()>;

    /// What was at `path`, and below, is gone.
    ///
    /// # Errors
    /// The database's.
    fn removed(&self, path: &RelPath) -> io::Result<()>;

    /// Writes a line of the audit log. Never fails: what it can't write down
    /// it says in the log of the program.
    fn audit(&self, visitor: &Visitor, act: Act, path: &RelPath, detail: &str);
}

/// What the books say of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owned {
    /// Whose quota it counts against.
    pub account: Box<str>,
    /// How long it is.
    pub bytes: u64,
}

/// While this lives, something is about to appear.
#[derive(Debug)]
#[must_use]
pub(super) struct Appearing<'a> {
    ledger: &'a dyn Ledger,
    path: &'a RelPath,
}

impl<'a> Appearing<'a> {
    pub(super) fn new(ledger: &'a dyn Ledger, path: &'a RelPath) -> Self {
        ledger.appearing(path);
        Self { ledger, path }
    }
}

impl Drop for Appearing<'_> {
    fn drop(&mut self) {
        self.ledger.appeared(self.path);
    }
}

/// What was done, for the audit log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Act {
    /// A new file.
    Create,
    /// Other content in place of a file's.
    Overwrite,
    /// Bytes at the end of a file, or in its middle.
    Append,
    /// A new folder.
    MakeFolder,
    /// Another name; the detail is the new one.
    Rename,
    /// A copy; the detail is its name.
    Copy,
    /// Gone.
    Delete,
    /// Another time of modification, or other permissions.
    Change,
}

impl Act {
    /// As the audit log has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Overwrite => "overwrite",
            Self::Append => "append",
            Self::MakeFolder => "mkdir",
            Self::Rename => "rename",
            Self::Copy => "copy",
            Self::Delete => "delete",
            Self::Change => "change",
        }
    }
}

/// The ledger of a share without accounts: no quota, and lines in the log.
#[derive(Clone, Copy, Debug)]
pub struct NoBooks;

impl Ledger for NoBooks {
    fn room(&self, _account: &str) -> io::Result<Option<u64>> {
        Ok(None)
    }

    fn stored(
        &self,
        _visitor: &Visitor,
        _path: &RelPath,
        _bytes: u64,
    ) -> io::Result<Option<Owned>> {
        Ok(None)
    }

    fn undo(&self, _visitor: &Visitor, _path: &RelPath, _before: Option<Owned>) -> io::Result<()> {
        Ok(())
    }

    fn moved(&self, _from: &RelPath, _to: &RelPath) -> io::Result<()> {
        Ok(())
    }

    fn removed(&self, _path: &RelPath) -> io::Result<()> {
        Ok(())
    }

    fn audit(&self, visitor: &Visitor, act: Act, path: &RelPath, detail: &str) {
        write_audit(visitor, act.as_str(), &path.to_string(), detail);
    }
}

/// The `tracing` target of the audit log.
pub const AUDIT: &str = "audit";

/// Writes a line of the audit log to the log of the program. `what` and
/// `detail` are without control characters.
pub fn write_audit(visitor: &Visitor, act: &str, what: &str, detail: &str) {
    let peer: &dyn fmt::Display = match &visitor.address {
        Some(address) => address,
        None => &"-",
    };
    tracing::info!(
        target: AUDIT,
        protocol = visitor.protocol,
        peer = %peer,
        account = visitor.account.as_deref().unwrap_or("-"),
        act,
        path = what,
        detail,
    );
}
