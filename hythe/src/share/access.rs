//! What a visitor may do, and who a visitor is.

use std::fmt;
use std::io;
use std::str::FromStr;
use std::sync::Arc;

use hythe_net::Addr;

/// What a visitor may do; each level includes those before it. The role of an
/// account is one of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Access {
    /// Nothing at all.
    None,
    /// List folders and read files.
    Read,
    /// Create new files and folders as well, without touching what is there.
    Upload,
    /// Overwrite, rename and delete as well.
    Write,
    /// Manage accounts as well.
    Admin,
}

impl Access {
    /// Every level, lowest first.
    pub const ALL: [Self; 5] = [
        Self::None,
        Self::Read,
        Self::Upload,
        Self::Write,
        Self::Admin,
    ];

    /// The name users know it by.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Read => "read",
            Self::Upload => "upload",
            Self::Write => "write",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Access {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|access| access.as_str() == name)
            .ok_or_else(|| format!("`{name}` is no role; give none, read, upload, write or admin"))
    }
}

/// Who acts through a view: whose quota it counts against, whose an unfinished
/// upload is, and what the audit log says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Visitor {
    /// The account's name; `None` for whoever came without one.
    pub account: Option<Arc<str>>,
    /// `http`, `ftp` or `gopher`.
    pub protocol: &'static str,
    /// From where; `None` for the operator at the machine itself.
    pub address: Option<Addr>,
}

impl Visitor {
    /// The operator's own programs and tests: no account, no address.
    pub const LOCAL: Self = Self {
        account: None,
        protocol: "local",
        address: None,
    };
}

/// What stands behind a `PermissionDenied` that a view answers with: which
/// level would have been needed. To be found with [`Lacks::of`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lacks {
    /// What was asked for needs this.
    pub needed: Access,
    /// The visitor has this.
    pub has: Access,
}

impl Lacks {
    /// The reason within an error, if it is this one.
    pub fn of(error: &io::Error) -> Option<Self> {
        error.get_ref()?.downcast_ref().copied()
    }
}

impl fmt::Display for Lacks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "this needs the role {}, and yours is {}",
            self.needed, self.has
        )
    }
}

impl std::error::Error for Lacks {}

impl From<Lacks> for io::Error {
    fn from(lacks: Lacks) -> Self {
        Self::new(io::ErrorKind::PermissionDenied, lacks)
    }
}
