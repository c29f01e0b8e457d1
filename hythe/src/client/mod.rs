//! Clients: the same operations over HTTP, FTP and Gopher.
//!
//! ```text
//!   "ftp://quay/a/b" ─► Url ─► connect ─► dyn Remote ─┬─ list, stat
//!                        │                            ├─ open, receive          (download)
//!          Credentials ──┘                            ├─ begin_upload, send     (upload)
//!   (URL, --user, variable, ~/.netrc)                 └─ remove, make_folder, rename
//! ```
//!
//! A [`Remote`] is one session with one server. It does one thing at a time;
//! whoever wants two at once opens two. What a protocol has no words for is an
//! error that says so ([`Reason::Unsupported`]).
//!
//! Not here: files on this machine, retries, journals, what is shown meanwhile.
//! Those are the transfer engine's.

mod credentials;
mod dial;
mod error;
mod ftp;
mod gopher;
mod http;
mod meter;
mod path;
mod url;

use std::fs::File;
use std::io::Read;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use hythe_net::Sink;
use serde::{Deserialize, Serialize};

pub(crate) use dial::{connector, tls_failed};
pub(crate) use http::{
    Answer, CONTINUE, LAST_WORD, MAX_INTERIM, channel_to, hear, is_silent, receive,
};

pub use credentials::{Credentials, Login};
pub use error::{Error, Reason, Result};
pub use ftp::FtpClient;
pub use gopher::GopherClient;
pub use http::{HttpClient, Proxies};
pub use meter::{Meter, Rate};
pub use path::RemotePath;
pub use url::{Scheme, Url};

/// What an operation leads to, once it is awaited.
pub type Later<'a, T> = Pin<Box<dyn Future<Output = Result<T>> + 'a>>;

/// A session with a server.
pub trait Remote {
    /// What is in a folder, in the server's order.
    ///
    /// # Errors
    /// [`Reason::NotFound`], also for what is no folder.
    fn list<'a>(&'a mut self, folder: &'a RemotePath) -> Later<'a, Vec<Entry>>;

    /// What is known of a file or folder.
    ///
    /// # Errors
    /// [`Reason::NotFound`].
    fn stat<'a>(&'a mut self, path: &'a RemotePath) -> Later<'a, Entry>;

    /// Asks for a file, or a part of one. What comes is taken by
    /// [`receive`](Self::receive), which must follow, or the session end.
    ///
    /// # Errors
    /// [`Reason::NotFound`], [`Reason::NotAllowed`]; [`Reason::Changed`] if it
    /// is not the version that was asked for and only a part was.
    fn open<'a>(&'a mut self, path: &'a RemotePath, ask: &'a Ask) -> Later<'a, Opening>;

    /// Receives what was [opened](Self::open), until its end or until the sink
    /// has all it wants. In the latter case the session may have to be opened
    /// anew for the next operation, which it does by itself.
    ///
    /// # Errors
    /// [`Reason::Lost`] if less came than was announced.
    fn receive<'a>(&'a mut self, sink: Box<dyn Sink>) -> Later<'a, ()>;

    /// Prepares an upload: from which offset on the server wants it. `token` is
    /// what an earlier try was given, if it is to be continued.
    ///
    /// # Errors
    /// [`Reason::NotAllowed`], [`Reason::Unsupported`].
    fn begin_upload<'a>(
        &'a mut self,
        path: &'a RemotePath,
        upload: &'a Upload,
        token: Option<&'a str>,
    ) -> Later<'a, Begun>;

    /// Sends the content, from the offset on that [`begin_upload`](Self::begin_upload)
    /// gave, and waits until the server has it.
    ///
    /// # Errors
    /// [`Reason::Lost`], [`Reason::NoSpace`]…
    fn send<'a>(
        &'a mut self,
        path: &'a RemotePath,
        begun: &'a Begun,
        content: Content,
        meter: &'a Meter,
    ) -> Later<'a, ()>;

    /// Removes a file, or a folder, which has to be empty where the protocol
    /// says so.
    ///
    /// # Errors
    /// [`Reason::NotFound`], [`Reason::NotAllowed`].
    fn remove<'a>(&'a mut self, path: &'a RemotePath, kind: Kind) -> Later<'a, ()>;

    /// Makes a folder.
    ///
    /// # Errors
    /// [`Reason::Exists`], [`Reason::NotAllowed`].
    fn make_folder<'a>(&'a mut self, path: &'a RemotePath) -> Later<'a, ()>;

    /// Gives a file or folder another path on the same server.
    ///
    /// # Errors
    /// [`Reason::NotFound`], [`Reason::Exists`], [`Reason::NotAllowed`].
    fn rename<'a>(&'a mut self, from: &'a RemotePath, to: &'a RemotePath) -> Later<'a, ()>;

    /// Makes an account on the server, which only hythe has words for.
    ///
    /// # Errors
    /// [`Reason::Exists`], [`Reason::NotAllowed`], [`Reason::Unsupported`].
    fn register<'a>(&'a mut self, name: &'a str, password: &'a [u8]) -> Later<'a, ()>;

    /// Goes on as somebody else.
    ///
    /// # Errors
    /// [`Reason::NotAllowed`].
    fn log_in<'a>(&'a mut self, login: Login) -> Later<'a, ()>;

    /// Takes leave of the server. Not an error if it is gone already.
    fn close<'a>(&'a mut self) -> Later<'a, ()>;
}

/// What there is at a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Bytes.
    File,
    /// A folder, which can be listed.
    Folder,
    /// Something else: a link of Gopher to another server, a search…
    Other,
}

/// One line of a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name in the folder, bytes as the server has them; never empty, `.`,
    /// `..` or with a slash.
    pub name: Vec<u8>,
    /// Where it is. Not always the folder and the name: in Gopher a selector is
    /// whatever the server says.
    pub path: RemotePath,
    /// What it is.
    pub kind: Kind,
    /// How many bytes, if that is known exactly.
    pub size: Option<u64>,
    /// When it was changed last, in seconds since 1970, if that is known.
    pub modified: Option<i64>,
    /// Permissions (`0o644`), if the server tells.
    pub mode: Option<u32>,
}

/// By what it is known whether a file is still the same.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    /// A strong entity tag (RFC 9110 section 8.8.3).
    pub etag: Option<String>,
    /// When it was changed last, in seconds since 1970.
    pub modified: Option<i64>,
    /// How many bytes it has.
    pub size: Option<u64>,
}

impl Version {
    /// Whether a file of this version can be continued at all: something more
    /// than its size is known.
    pub fn is_telling(&self) -> bool {
        self.etag.is_some() || self.modified.is_some()
    }

    /// Whether `other` is the same, as far as both know.
    pub fn is(&self, other: &Self) -> bool {
        fn differ<T: PartialEq>(one: &Option<T>, other: &Option<T>) -> bool {
            matches!((one, other), (Some(one), Some(other)) if one != other)
        }
        match (&self.etag, &other.etag) {
            (Some(one), Some(other)) if one != other => return false,
            _ => {}
        }
        !differ(&self.size, &other.size) && !differ(&self.modified, &other.modified)
    }
}

/// What is asked for of a file.
#[derive(Clone, Debug, Default)]
pub struct Ask {
    /// Where to begin; 0 is all of it.
    pub from: u64,
    /// Where to end, exclusive; `None` is its end.
    pub to: Option<u64>,
    /// The version that the bytes must be of, if only a part is asked for. If
    /// it is not that any more, all of it comes (see [`Opening::offset`]).
    pub version: Option<Version>,
    /// Whether only the answer's head is wanted, and nothing received.
    pub head_only: bool,
}

impl Ask {
    /// Asks for the head alone.
    pub fn head() -> Self {
        Self {
            head_only: true,
            ..Self::default()
        }
    }
}

/// What is going to come.
#[derive(Clone, Debug, Default)]
pub struct Opening {
    /// Where in the file the bytes begin: what was asked for, or 0 where the
    /// server begins anew.
    pub offset: u64,
    /// How many bytes will come, if that is known.
    pub length: Option<u64>,
    /// How many bytes the file has, if that is known.
    pub total: Option<u64>,
    /// What is known of its version.
    pub version: Version,
    /// Whether it is another version than the one that was asked for.
    pub changed: bool,
    /// What the server would call it on this machine; never trusted as a path.
    pub name: Option<Vec<u8>>,
    /// The head of the answer, where the protocol has one, as it came.
    pub head: Vec<u8>,
}

/// A file that is to be sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Upload {
    /// How many bytes; `None` if only its end will tell.
    pub length: Option<u64>,
    /// When it was changed last, in seconds since 1970: it shall say so there, too.
    pub modified: Option<i64>,
}

/// An upload that has begun.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Begun {
    /// By what the server knows it again. To be kept until it is done.
    pub token: Option<String>,
    /// How much is there already.
    pub offset: u64,
    /// How many bytes there will be.
    pub length: Option<u64>,
    /// The time it shall say it was changed last.
    pub modified: Option<i64>,
}

/// What is sent.
pub enum Content {
    /// A range of a file.
    File(Arc<File>, Range<u64>),
    /// Whatever comes out of it, to its end. Read on the thread pool.
    Pipe(Box<dyn Read + Send>),
}

/// How to reach servers.
#[derive(Clone, Debug)]
pub struct Options {
    /// How long a connection may take to come about.
    pub connect: Duration,
    /// How long it may go without progress.
    pub stall: Duration,
    /// Who we are.
    pub credentials: Credentials,
    /// Whether certificates are not looked at.
    pub insecure: bool,
    /// A file of certificates to trust, in place of the system's.
    pub ca: Option<std::path::PathBuf>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(30),
            stall: Duration::from_secs(60),
            credentials: Credentials::default(),
            insecure: false,
            ca: None,
        }
    }
}

/// Begins a session with the server of a URL, as far as that needs doing before
/// the first operation.
///
/// # Errors
/// [`Reason::Unreachable`], [`Reason::NotAllowed`].
pub async fn connect(url: Url, options: Options) -> Result<Box<dyn Remote>> {
    Ok(match url.scheme {
        Scheme::Http | Scheme::Https => Box::new(HttpClient::connect(url, options)?),
        Scheme::Ftp | Scheme::Ftps => Box::new(FtpClient::connect(url, options).await?),
        Scheme::Gopher => Box::new(GopherClient::new(url, options)),
    })
}
