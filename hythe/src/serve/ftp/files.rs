//! Commands that look at the share.

use std::io;
use std::time::SystemTime;

use hythe_net::reactor::unblock;
use hythe_wire::ftp::{Error, ListOptions, Type, format_time};

use super::ascii::Ascii;
use super::listing::{Filter, Folder, Style};
use super::session::{Next, Session, refusal};
use super::transfer::{Body, Content, Transfer};
use crate::pattern::is_pattern;
use crate::share::{By, Listing, Meta, Opened, Order, Pieces, RelPath};

/// How much of a folder STAT tells: its reply shares the connection with all
/// others, and clients hold replies in memory.
const STAT_LIMIT: usize = 32 * 1024;

const NOT_FOUND: Error = refusal(550, "No such file or folder.");
const NOT_A_FILE: Error = refusal(550, "That is a folder.");
const NOT_A_FOLDER: Error = refusal(550, "That is not a folder.");
const NO_DATA: Error = refusal(425, "Use EPSV, PASV, EPRT or PORT first.");

const BY_NAME: Order = Order {
    by: By::Name,
    descending: false,
};

impl Session<'_> {
    // --- Over the control connection ---

    pub(super) async fn cwd(&mut self, path: &[u8]) -> Result<Next, Error> {
        let path = self.resolve(path)?;
        if !self.look(&path).await?.is_folder() {
            return Err(NOT_A_FOLDER);
        }
        self.folder = path;
        self.say(250, "You are there.")
    }

    pub(super) async fn size(&mut self, path: &[u8]) -> Result<Next, Error> {
        if self.kind == Type::Ascii {
            // It would have to be counted with its line ends converted.
            return Err(refusal(550, "SIZE is known in TYPE I only."));
        }
        let meta = self.look(&self.resolve(path)?).await?;
        if meta.is_folder() {
            return Err(NOT_A_FILE);
        }
        self.say(213, meta.size.to_string())
    }

    pub(super) async fn mdtm(&mut self, path: &[u8]) -> Result<Next, Error> {
        let meta = self.look(&self.resolve(path)?).await?;
        if meta.is_folder() {
            return Err(NOT_A_FILE); // RFC 3659 section 3.1: of what RETR takes
        }
        self.say(213, format_time(meta.modified.secs))
    }

    pub(super) async fn mlst(&mut self, path: &[u8]) -> Result<Next, Error> {
        let path = self.resolve(path)?;
        let meta = self.look(&path).await?;
        let full = [b"/", path.as_bytes()].concat();
        let mut line = Vec::new();
        self.facts_style()?.write_shown(&full, &meta, &mut line);
        self.control.multiline(250, "What there is:", [line], "End");
        Ok(Next::Go)
    }

    /// STAT with a path: a listing in a reply.
    pub(super) async fn stat(&mut self, path: &[u8]) -> Result<Next, Error> {
        let (target, style) = (self.resolve(path)?, Style::Long(unix_now()));
        let meta = self.look(&target).await?;
        if !meta.is_folder() {
            let mut line = Vec::new();
            style.write_shown(path, &meta, &mut line);
            self.control.multiline(213, "What there is:", [line], "End");
            return Ok(Next::Go);
        }
        let filter = Filter {
            hidden: true,
            pattern: None,
        };
        let folder = Folder::new(self.open_listing(target).await?, filter, style);
        let (text, whole) = unblock(move || beginning(folder)).await.map_err(told)?;
        let lines = text
            .split(|byte| *byte == b'\n')
            .filter_map(|line| line.strip_suffix(b"\r"));
        let last = if whole {
            "End"
        } else {
            "There is more; use LIST."
        };
        self.control.multiline(212, "What there is:", lines, last);
        Ok(Next::Go)
    }

    // --- Over a data connection ---

    pub(super) async fn retr(&mut self, target: &[u8]) -> Result<Next, Error> {
        let body = self.file_body(target).await;
        self.begin("RETR", target, body)
    }

    async fn file_body(&mut self, target: &[u8]) -> Result<(Body, Vec<u8>), Error> {
        let Opened { file, meta } = self.open(&self.resolve(target)?).await?;
        if meta.is_folder() {
            return Err(NOT_A_FILE);
        }
        let mut opening = [b"Sending ", target].concat();
        match self.kind {
            Type::Image if self.rest > meta.size => {
                Err(refusal(554, "The file ends before that offset."))
            }
            Type::Image => {
                // Clients take the size from here that don't ask for it.
                opening.extend_from_slice(format!(" ({} bytes).", meta.size).as_bytes());
                let range = self.rest..meta.size;
                Ok((Content::File { file, range }.into(), opening))
            }
            // Offsets would have to be counted with line ends converted.
            Type::Ascii if self.rest > 0 => Err(refusal(554, "Restart in TYPE I only.")),
            Type::Ascii => {
                opening.push(b'.');
                let text = Ascii::new(file, meta.size);
                Ok((Content::Pieces(Box::new(text)).into(), opening))
            }
        }
    }

    /// LIST and NLST.
    pub(super) async fn list(
        &mut self,
        verb: &'static str,
        options: ListOptions,
        target: &[u8],
    ) -> Result<Next, Error> {
        let body = self
            .list_body(verb == "LIST" || options.long, options.all, target)
            .await;
        self.begin(verb, target, body)
    }

    async fn list_body(
        &mut self,
        long: bool,
        hidden: bool,
        target: &[u8],
    ) -> Result<(Body, Vec<u8>), Error> {
        // Names of a folder other than this one come such that they can be
        // used in the next command.
        let style = |prefix: Vec<u8>| match long {
            true => Style::Long(unix_now()),
            false => Style::Names(prefix),
        };
        let path = self.resolve(target)?;
        let (parent, name) = split_name(target);
        match self.look(&path).await {
            Ok(meta) if meta.is_folder() => {
                let slash: &[u8] = if name.is_empty() { b"" } else { b"/" };
                let filter = Filter {
                    hidden,
                    pattern: None,
                };
                self.folder_body(path, filter, style([target, slash].concat()))
                    .await
            }
            Ok(meta) => {
                let mut line = Vec::new();
                style(Vec::new()).write(target, &meta, &mut line);
                Ok((Content::Bytes(line).into(), LISTING.into()))
            }
            Err(error) if error == NOT_FOUND && is_pattern(name) => {
                let hidden = hidden || name.first() == Some(&b'.');
                let filter = Filter {
                    hidden,
                    pattern: Some(name.into()),
                };
                let folder = self.resolve(parent)?;
                self.folder_body(folder, filter, style(parent.to_vec()))
                    .await
            }
            Err(error) => Err(error),
        }
    }

    pub(super) async fn mlsd(&mut self, target: &[u8]) -> Result<Next, Error> {
        let body = self.mlsd_body(target).await;
        self.begin("MLSD", target, body)
    }

    async fn mlsd_body(&mut self, target: &[u8]) -> Result<(Body, Vec<u8>), Error> {
        let path = self.resolve(target)?;
        if !self.look(&path).await?.is_folder() {
            return Err(refusal(501, "MLSD is for folders; use MLST."));
        }
        let filter = Filter {
            hidden: true,
            pattern: None,
        };
        self.folder_body(path, filter, self.facts_style()?).await
    }

    async fn folder_body(
        &self,
        path: RelPath,
        filter: Filter,
        style: Style,
    ) -> Result<(Body, Vec<u8>), Error> {
        let folder = Folder::new(self.open_listing(path).await?, filter, style);
        Ok((Content::Pieces(Box::new(folder)).into(), LISTING.into()))
    }

    fn facts_style(&self) -> Result<Style, Error> {
        Ok(Style::Facts(self.facts, self.view()?.access()))
    }

    /// Turns what was found into a transfer. Whatever comes of it, a restart
    /// was for this one only.
    pub(super) fn begin(
        &mut self,
        verb: &'static str,
        target: &[u8],
        found: Result<(Body, Vec<u8>), Error>,
    ) -> Result<Next, Error> {
        self.rest = 0;
        let found = found.and_then(|found| {
            self.well_protected()?;
            self.has_data().then_some(found).ok_or(NO_DATA)
        });
        match found {
            Ok((body, opening)) => Ok(Next::Transfer(Transfer {
                verb,
                target: target.into(),
                body,
                opening,
            })),
            Err(error) => {
                self.record(verb, target, error.code, 0);
                Err(error)
            }
        }
    }

    // --- The share ---

    async fn look(&self, path: &RelPath) -> Result<Meta, Error> {
        let view = self.view()?;
        if let Some(meta) = view.metadata_now(path).map_err(told)? {
            return Ok(meta);
        }
        let (view, path) = (view.clone(), path.clone());
        unblock(move || view.metadata(&path)).await.map_err(told)
    }

    pub(super) async fn open(&self, path: &RelPath) -> Result<Opened, Error> {
        let view = self.view()?;
        if let Some(opened) = view.open_now(path).map_err(told)? {
            return Ok(opened);
        }
        let (view, path) = (view.clone(), path.clone());
        unblock(move || view.open(&path)).await.map_err(told)
    }

    async fn open_listing(&self, path: RelPath) -> Result<Listing, Error> {
        let view = self.view()?.clone();
        unblock(move || view.list(&path, BY_NAME))
            .await
            .map_err(told)
    }
}

const LISTING: &[u8] = b"Here comes the listing.";

/// What the client is told of an error of the share or its disk.
pub(super) fn told(error: io::Error) -> Error {
    use io::ErrorKind as Kind;
    match error.kind() {
        Kind::NotFound => NOT_FOUND,
        Kind::NotADirectory => NOT_A_FOLDER,
        Kind::IsADirectory => NOT_A_FILE,
        Kind::PermissionDenied => refusal(550, "Permission denied."),
        Kind::AlreadyExists => refusal(550, "That name is taken."),
        Kind::DirectoryNotEmpty => refusal(550, "The folder is not empty."),
        Kind::InvalidInput => refusal(550, "That cannot be done with it."),
        Kind::Unsupported => refusal(550, "What is shared here is one file."),
        Kind::ReadOnlyFilesystem => refusal(550, "The disk is read-only."),
        Kind::InvalidFilename => refusal(553, "The disk does not take that name."),
        Kind::ResourceBusy => refusal(450, "Busy; try again."),
        Kind::StorageFull => refusal(452, "The disk is full."),
        Kind::QuotaExceeded => refusal(552, "That is more than your quota allows."),
        Kind::FileTooLarge => refusal(552, "That is larger than a file may be here."),
        _ => {
            tracing::warn!(%error, "an error of the disk, told to an FTP client");
            refusal(451, "The disk reports an error.")
        }
    }
}

/// A path up to and including its last slash, and what follows that.
fn split_name(path: &[u8]) -> (&[u8], &[u8]) {
    let slash = path.iter().rposition(|byte| *byte == b'/');
    path.split_at(slash.map_or(0, |at| at + 1))
}

/// The first lines of a listing, and whether they are all.
fn beginning(mut folder: Folder) -> io::Result<(Vec<u8>, bool)> {
    let mut text = Vec::new();
    while text.len() < STAT_LIMIT {
        if !folder.piece(&mut text)? {
            return Ok((text, true));
        }
    }
    Ok((text, false))
}

fn unix_now() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |time| time.as_secs() as i64)
}
