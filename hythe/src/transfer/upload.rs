//! Uploads: from where the server has it, and again until it has all.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::checking::hexadecimal;
use super::connections::Connections;
use super::retry::Tries;
use super::{Done, Event, Settings, Watch};
use crate::client::{Content, Error, Meter, Reason, RemotePath, Result, Upload};
use crate::visible::visible;

/// What is sent.
pub enum Source {
    /// A file.
    File(PathBuf),
    /// What comes out of it, to its end; only once.
    Pipe(Box<dyn Read + Send>),
}

/// Sends to a path on a server.
///
/// # Errors
/// The server's, after all tries; [`Reason::Local`].
pub async fn upload(
    connections: &Connections,
    source: Source,
    path: &RemotePath,
    settings: &Settings,
    watch: &dyn Watch,
) -> Result<Done> {
    let url = connections.url().with_path(path.clone()).to_string();
    // A pipe with a name is a pipe.
    let source = match source {
        Source::File(file) if fs::metadata(&file).is_ok_and(|meta| is_stream(&meta)) => {
            Source::Pipe(Box::new(Unopened(file, None)))
        }
        source => source,
    };
    match source {
        Source::File(file) => {
            let sending = Sending::open(&file, &url, settings)?;
            sending.send(connections, path, settings, watch).await
        }
        Source::Pipe(pipe) => send_pipe(connections, pipe, path, settings, watch).await,
    }
}

/// A file that is being sent.
struct Sending {
    name: String,
    path: PathBuf,
    file: Arc<File>,
    upload: Upload,
    length: u64,
    /// Its length and time of modification, when it was opened.
    seen: (u64, i64, i64),
    note: Option<Note>,
}

impl Sending {
    fn open(path: &Path, url: &str, settings: &Settings) -> Result<Self> {
        let local = |error: io::Error| Error::local(&error);
        let file = File::open(path).map_err(local)?;
        let meta = file.metadata().map_err(local)?;
        if !meta.is_file() {
            let what = if meta.is_dir() {
                "a folder; -r sends folders"
            } else {
                "no file"
            };
            return Err(Error::new(Reason::Local, format!("it is {what}")));
        }
        let whole = fs::canonicalize(path).map_err(local)?;
        let known = [
            url.as_bytes(),
            whole.as_os_str().as_bytes(),
            &meta.len().to_be_bytes(),
            &meta.mtime().to_be_bytes(),
            &meta.mtime_nsec().to_be_bytes(),
            &meta.ino().to_be_bytes(),
        ];
        let note = settings
            .state
            .as_ref()
            .map(|state| Note::of(state, url, &known));
        Ok(Self {
            name: visible(&path.to_string_lossy()),
            path: path.into(),
            file: Arc::new(file),
            upload: Upload {
                length: Some(meta.len()),
                modified: Some(meta.mtime()),
            },
            length: meta.len(),
            seen: (meta.len(), meta.mtime(), meta.mtime_nsec()),
            note,
        })
    }

    async fn send(
        mut self,
        connections: &Connections,
        path: &RemotePath,
        settings: &Settings,
        watch: &dyn Watch,
    ) -> Result<Done> {
        let meter = settings.meter();
        let mut tries = Tries::new(settings);
        let mut reached = 0;
        loop {
            let tried = self.attempt(connections, path, &meter, &mut reached, watch);
            let Err(error) = tried.await else {
                break;
            };
            // Only what the server has counts: it may refuse the same again and
            // again.
            let next = tries.next(&self.name, error, reached, watch).await;
            if let Err(error) = next {
                let name = &self.name;
                let failed = Event::Failed {
                    name,
                    error: &error,
                };
                watch.event(failed);
                return Err(error);
            }
        }
        if let Some(note) = &self.note {
            note.remove();
        }
        watch.event(Event::Done {
            name: &self.name,
            bytes: self.length,
        });
        Ok(Done {
            file: Some(self.path),
            bytes: self.length,
        })
    }

    async fn attempt(
        &mut self,
        connections: &Connections,
        path: &RemotePath,
        meter: &Meter,
        reached: &mut u64,
        watch: &dyn Watch,
    ) -> Result<()> {
        self.check_same()?;
        let token = self.note.as_ref().and_then(Note::token);
        connections
            .with(async |remote| {
                let begun = remote
                    .begin_upload(path, &self.upload, token.as_deref())
                    .await?;
                if begun.offset > self.length {
                    let text = "the server has more of it than there is; remove it there first";
                    return Err(Error::new(Reason::Changed, text));
                }
                if let (Some(note), Some(new)) = (&self.note, &begun.token) {
                    // Without it, the next run begins anew.
                    note.keep(new).ok();
                }
                *reached = begun.offset;
                watch.event(Event::Begun {
                    name: &self.name,
                    total: Some(self.length),
                    offset: begun.offset,
                    resumes: begun.token.is_some() && self.note.is_some(),
                    meter,
                });
                let content = Content::File(Arc::clone(&self.file), begun.offset..self.length);
                remote.send(path, &begun, content, meter).await
            })
            .await?;
        self.check_same()
    }

    /// Whether the file is still what it was: half of one and half of another
    /// are neither.
    fn check_same(&self) -> Result<()> {
        let meta = self.file.metadata().map_err(|error| Error::local(&error))?;
        if (meta.len(), meta.mtime(), meta.mtime_nsec()) == self.seen {
            return Ok(());
        }
        if let Some(note) = &self.note {
            note.remove();
        }
        let text = "it was written to while it was sent; send it again";
        Err(Error::new(Reason::Changed, text))
    }
}

fn is_stream(meta: &fs::Metadata) -> bool {
    !meta.is_file() && !meta.is_dir()
}

/// A pipe or a device that is opened by whoever reads it first, since that may
/// take as long as nobody writes.
struct Unopened(PathBuf, Option<File>);

impl Read for Unopened {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let file = match &mut self.1 {
            Some(file) => file,
            none => none.insert(File::open(&self.0)?),
        };
        file.read(buffer)
    }
}

async fn send_pipe(
    connections: &Connections,
    pipe: Box<dyn Read + Send>,
    path: &RemotePath,
    settings: &Settings,
    watch: &dyn Watch,
) -> Result<Done> {
    let meter = settings.meter();
    let name = "standard input";
    let sent = connections.with(async |remote| {
        let begun = remote.begin_upload(path, &Upload::default(), None).await?;
        watch.event(Event::Begun {
            name,
            total: None,
            offset: 0,
            resumes: false,
            meter: &meter,
        });
        remote.send(path, &begun, Content::Pipe(pipe), &meter).await
    });
    sent.await?;
    let bytes = meter.moved();
    watch.event(Event::Done { name, bytes });
    Ok(Done { file: None, bytes })
}

/// How long it is known which uploads have begun: longer than servers keep them.
const KEPT: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// What is kept of an upload that has begun: by what the server knows it.
#[derive(Debug)]
struct Note {
    file: PathBuf,
    url: String,
}

#[derive(Serialize, Deserialize)]
struct Kept {
    url: String,
    token: String,
}

impl Note {
    /// The note of this upload, to this server, of a file that is still the same.
    fn of(state: &Path, url: &str, known: &[&[u8]]) -> Self {
        let mut hasher = Sha256::new();
        for part in known {
            hasher.update((part.len() as u64).to_be_bytes());
            hasher.update(part);
        }
        let name = hexadecimal(&hasher.finalize());
        Self {
            file: state.join("uploads").join(name),
            url: url.to_owned(),
        }
    }

    fn token(&self) -> Option<String> {
        let kept: Kept = serde_json::from_slice(&fs::read(&self.file).ok()?).ok()?;
        (kept.url == self.url).then_some(kept.token)
    }

    fn keep(&self, token: &str) -> io::Result<()> {
        if let Some(folder) = self.file.parent() {
            // Whoever knows the token may write to the upload.
            fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(folder)?;
        }
        let kept = Kept {
            url: self.url.clone(),
            token: token.to_owned(),
        };
        let text = serde_json::to_vec(&kept).map_err(io::Error::other)?;
        let new = self.file.with_extension(std::process::id().to_string());
        fs::write(&new, text)?;
        fs::rename(&new, &self.file)?;
        self.forget_old()
    }

    /// Removes the notes of uploads that nobody went on with.
    fn forget_old(&self) -> io::Result<()> {
        let Some(folder) = self.file.parent() else {
            return Ok(());
        };
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let age = entry.metadata()?.modified()?.elapsed().unwrap_or_default();
            if age > KEPT {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }

    fn remove(&self) {
        fs::remove_file(&self.file).ok();
    }
}
