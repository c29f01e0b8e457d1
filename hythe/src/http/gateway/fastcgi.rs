//! [`FastCgi`]: programs that another server runs, such as php-fpm.

use std::fmt;
use std::io;
use std::path::Path;
use std::time::Duration;

use ::http::StatusCode;
use hythe_net::Addr;
use hythe_net::reactor::unblock;

use super::worker::Worker;
use super::{Asked, Found, OUTPUT_LIMIT, Scripts, answer, collected, find};
use crate::http::{Error, IntoResponse as _, Request, Response, Service};
use crate::share::RelPath;

/// How long an application may say nothing where nobody has said otherwise: as
/// nginx and Apache have it.
const PATIENCE: Duration = Duration::from_secs(60);

/// The scripts of a folder that a FastCGI server runs, told from other files by how
/// their names end.
///
/// A script is a file in the folder with that ending (whatever the case of its
/// letters): the first file on the path must be one, and what follows is its
/// `PATH_INFO`. So `photo.jpg/x.php` is nothing, whatever the application would
/// make of it. What a symbolic link leads to outside of the folder does not exist.
///
/// The application is told the script's path on the disk as `SCRIPT_FILENAME`; it
/// must see the folder at the same path. One that says nothing for
/// [a while](Self::with_timeout) is given up (504), one that is not there is told
/// so (502), and one that has no room (503). When the client goes away, its
/// connection is closed.
///
/// ```
/// use hythe::http::{FastCgi, Router};
///
/// # fn main() -> std::io::Result<()> {
/// # let folder = tempfile::tempdir()?;
/// # let folder = folder.path();
/// let php = FastCgi::new(vec!["unix:/run/php/php-fpm.sock".parse()?], ".php", folder)?;
/// let router = Router::new().mount("/app", php);
/// # let _ = router;
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct FastCgi {
    server: Vec<Addr>,
    ending: Box<[u8]>,
    scripts: Scripts,
    patience: Duration,
    most: u64,
}

impl FastCgi {
    /// Has the server at one of these addresses, the first that answers, run the
    /// files of this folder whose names end so.
    ///
    /// # Errors
    /// A message that names the folder where it is none, or can't be opened.
    pub fn new(server: Vec<Addr>, ending: &str, folder: &Path) -> io::Result<Self> {
        Ok(Self {
            server,
            ending: ending.as_bytes().into(),
            scripts: Scripts::open(folder)?,
            patience: PATIENCE,
            most: OUTPUT_LIMIT,
        })
    }

    /// How long the application may say nothing: 60 seconds, if nobody says
    /// otherwise.
    #[must_use]
    pub fn with_timeout(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// How many bytes a script may answer: 256 MiB, if nobody says otherwise.
    #[must_use]
    pub fn with_max_output(self, bytes: u64) -> Self {
        Self {
            most: bytes,
            ..self
        }
    }

    /// Whether a path, as it stands in a URL, may mean a script, by its names alone.
    pub(crate) fn is_named_in(&self, path: &[u8]) -> bool {
        self.parse(path).is_some()
    }

    fn parse(&self, path: &[u8]) -> Option<(RelPath, bool)> {
        let (path, is_folder) = RelPath::from_url_path(path).ok()?;
        let is_named = path.components().any(|name| ends(name, &self.ending));
        is_named.then_some((path, is_folder))
    }

    /// The script that is asked for.
    ///
    /// # Errors
    /// The disk's.
    pub(crate) async fn find(&self, request: &Request) -> io::Result<Option<Found>> {
        let Some((path, is_folder)) = self.parse(request.rest().as_bytes()) else {
            return Ok(None);
        };
        let (view, ending) = (self.scripts.view.clone(), self.ending.clone());
        unblock(move || {
            let is_script = |path: &RelPath| path.name().is_some_and(|name| ends(name, &ending));
            find(&view, &path, is_folder, is_script)
        })
        .await
    }

    /// Has a script answer that was found.
    pub(crate) async fn run(&self, found: Found, request: Request) -> Response {
        self.try_run(found, request)
            .await
            .unwrap_or_else(Error::into_response)
    }

    async fn try_run(&self, found: Found, request: Request) -> Result<Response, Error> {
        let request = collected(request).await?;
        let asked = Asked {
            name: found.script.to_string(),
            method: request.method().clone(),
            most: self.most,
        };
        let mut variables = self.scripts.variables(&found, &request);
        // PHP that was built to be careful runs nothing without it.
        variables.push(("REDIRECT_STATUS".into(), b"200".into()));
        let name = asked.name.clone();
        let worker = Worker::ask(&self.server, name, variables, request, self.patience).await?;
        answer(worker, asked).await
    }
}

/// Whether a name ends so, whatever the case of its letters: a file system may take
/// `.PHP` for the same.
fn ends(name: &[u8], ending: &[u8]) -> bool {
    let start = name.len().checked_sub(ending.len());
    start.is_some_and(|start| name[start..].eq_ignore_ascii_case(ending))
}

impl Service for FastCgi {
    async fn call(&self, request: Request) -> Response {
        match self.find(&request).await {
            Ok(Some(found)) => self.run(found, request).await,
            Ok(None) => {
                let text = "there is no script at this address";
                Error::new(StatusCode::NOT_FOUND, text).into_response()
            }
            Err(error) => Error::from(error).into_response(),
        }
    }
}

impl fmt::Debug for FastCgi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FastCgi")
            .field("server", &self.server)
            .field("folder", &self.scripts.root)
            .finish_non_exhaustive()
    }
}
