//! [`Cgi`]: a folder of programs, each run for each request (RFC 3875).

use std::fmt;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ::http::StatusCode;
use hythe_net::reactor::unblock;

use super::script::{Script, Start};
use super::{Asked, Found, OUTPUT_LIMIT, Scripts, answer, collected, find, overloaded};
use crate::http::{Error, IntoResponse as _, Request, Response, Service};
use crate::process::Places;
use crate::serve::log::Escaped;
use crate::share::RelPath;

/// How many programs run at a time where nobody has said otherwise: a few for each
/// core of a small machine, since each is a process with memory of its own.
const MOST_RUNNING: usize = 16;

/// How long a program may run where nobody has said otherwise: as long as people
/// wait for a page, and longer.
const TIME: Duration = Duration::from_secs(60);

/// The programs of a folder, run for who asks for them: CGI/1.1, to be mounted on
/// a [`Router`](crate::http::Router).
///
/// Below where it is mounted, the first file on the path is the program, and what
/// follows is its `PATH_INFO`. It has to be executable; files and folders that
/// begin with a dot do not exist, and neither does what a symbolic link leads to
/// outside of the folder. It is run by its path, without a shell and without
/// arguments, in the folder it is in. (By the descriptor that was looked at, an
/// interpreter could not open it: `fexecve(3)` and close-on-exec exclude each
/// other. Who could put another file there meanwhile could put it there before.)
///
/// A program finds in its environment what RFC 3875 says and `PATH`, nothing else
/// of ours; see [`Meta`](hythe_wire::http::cgi::Meta) for what is left out. What
/// it writes to standard error goes to the log.
///
/// It may run for [so long](Self::with_timeout), answer [so much](Self::with_max_output),
/// and [so many](Self::with_max_running) may run at a time; who comes then is told to come
/// again (503). When it has ended, or its client is gone, or a limit is reached, so
/// does its whole process group, all those it has started included.
///
/// ```
/// use std::time::Duration;
/// use hythe::http::{Cgi, Router};
///
/// # fn main() -> std::io::Result<()> {
/// # let folder = tempfile::tempdir()?;
/// # let folder = folder.path();
/// let scripts = Cgi::new(folder)?.with_timeout(Duration::from_secs(10));
/// let router = Router::new().mount("/cgi-bin", scripts);
/// # let _ = router;
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Cgi {
    scripts: Scripts,
    places: Places,
    time: Duration,
    most: u64,
}

impl Cgi {
    /// Runs the programs of this folder.
    ///
    /// # Errors
    /// A message that names the folder where it is none, or can't be opened.
    pub fn new(folder: &Path) -> io::Result<Self> {
        Ok(Self {
            scripts: Scripts::open(folder)?,
            places: Places::new(MOST_RUNNING),
            time: TIME,
            most: OUTPUT_LIMIT,
        })
    }

    /// How long a program may run, in all: 60 seconds, if nobody says otherwise.
    #[must_use]
    pub fn with_timeout(self, time: Duration) -> Self {
        Self { time, ..self }
    }

    /// How many bytes a program may answer: 256 MiB, if nobody says otherwise.
    #[must_use]
    pub fn with_max_output(self, bytes: u64) -> Self {
        Self {
            most: bytes,
            ..self
        }
    }

    /// How many programs may run at a time: 16, if nobody says otherwise.
    #[must_use]
    pub fn with_max_running(self, count: usize) -> Self {
        Self {
            places: Places::new(count),
            ..self
        }
    }

    /// The same for the programs of another folder; the limit of how many may run
    /// is one for both.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn beside(&self, folder: &Path) -> io::Result<Self> {
        Ok(Self {
            scripts: Scripts::open(folder)?,
            ..self.clone()
        })
    }

    /// The folder, as it is on the disk.
    pub fn folder(&self) -> &Path {
        &self.scripts.root
    }

    async fn run(&self, request: Request) -> Result<Response, Error> {
        let rest = request.rest().as_bytes();
        let (path, is_folder) = RelPath::from_url_path(rest)
            .map_err(|bad| Error::new(StatusCode::BAD_REQUEST, bad.to_string()))?;
        let found = self.find(path, is_folder).await?;
        let request = collected(request).await?;
        let Some(place) = self.places.take() else {
            let text = "as many programs run as may; try again shortly";
            return Err(overloaded(text));
        };
        let file = self.scripts.file(&found);
        let asked = Asked {
            name: Escaped(file.as_os_str().as_bytes()).to_string(),
            method: request.method().clone(),
            most: self.most,
        };
        let start = Start {
            name: asked.name.clone(),
            variables: self.scripts.variables(&found, &request),
            folder: file.parent().map(PathBuf::from).unwrap_or_default(),
            file,
            time: self.time,
            place,
        };
        answer(Script::start(start, request).await?, asked).await
    }

    async fn find(&self, path: RelPath, is_folder: bool) -> Result<Found, Error> {
        let view = self.scripts.view.clone();
        let found = unblock(move || {
            let is_shown = |path: &RelPath| !path.components().any(|name| name.starts_with(b"."));
            find(&view, &path, is_folder, is_shown)
        });
        match found.await {
            Ok(Some(found)) if found.mode & 0o111 == 0 => {
                let text = "this file is not executable, and no program then";
                Err(Error::new(StatusCode::FORBIDDEN, text))
            }
            Ok(Some(found)) => Ok(found),
            Ok(None) => {
                let text = "there is no program at this address";
                Err(Error::new(StatusCode::NOT_FOUND, text))
            }
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                let text = "the server may not look there";
                Err(Error::new(StatusCode::FORBIDDEN, text))
            }
            Err(error) => Err(error.into()),
        }
    }
}

impl Service for Cgi {
    async fn call(&self, request: Request) -> Response {
        self.run(request).await.unwrap_or_else(Error::into_response)
    }
}

impl fmt::Debug for Cgi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cgi")
            .field("folder", &self.scripts.root)
            .finish_non_exhaustive()
    }
}
