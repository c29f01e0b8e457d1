//! What changes the share: PUT, DELETE, MKCOL, MOVE, COPY, and forms with
//! files.
//!
//! Paths are read once, by [`RelPath`]; whether the visitor may do it, the view
//! decides. What is here is which status an outcome has, and what to say.

mod form;
mod put;
mod relocate;

use std::io;
use std::sync::Arc;

use hythe_wire::http::Method;

use super::Shared;
use super::answer::refused;
use super::ask::Ask;
use super::condition::{Validators, allow_change};
use super::intake::{Answer, has_media_type};
use super::reply::{Body, Reply};
use super::tus;
use super::visit::Visit;
use crate::share::{Access, Kind, Lacks, Meta, RESERVED, RelPath};

/// One request that would change something.
#[derive(Clone, Debug)]
struct Change {
    site: Arc<Shared>,
    ask: Arc<Ask>,
    visit: Visit,
    path: RelPath,
    /// Whether the path ended in a slash.
    as_folder: bool,
}

/// Decides on a request that would change something.
pub(super) fn answer(site: &Arc<Shared>, ask: &Arc<Ask>, visit: &Visit) -> Answer {
    let (path, as_folder) = match RelPath::from_url_path(&ask.path) {
        Ok(parsed) => parsed,
        Err(bad) => return Reply::refusal(ask, 400, &bad.to_string()).into(),
    };
    let change = Change {
        site: Arc::clone(site),
        ask: Arc::clone(ask),
        visit: visit.clone(),
        path,
        as_folder,
    };
    change.answer().unwrap_or_else(|refusal| refusal.into())
}

/// What is allowed at a path, for this visitor.
pub(super) fn allowed(visit: &Visit, path: &[u8]) -> String {
    let access = visit.view.access();
    let mut methods = vec!["GET", "HEAD", "OPTIONS"];
    let at_most = |wanted: &[(&'static str, Access)]| {
        let may = wanted.iter().filter(|(_, needed)| access >= *needed);
        may.map(|(method, _)| *method).collect::<Vec<_>>()
    };
    let (up, write) = (Access::Upload, Access::Write);
    let found = match RelPath::from_url_path(path) {
        _ if path == b"*" => None,
        Err(_) => return methods.join(", "),
        Ok((path, _)) => Some((visit.view.metadata(&path), path.is_root())),
    };
    methods.extend(match found {
        None => at_most(&[
            ("PUT", up),
            ("POST", up),
            ("MKCOL", up),
            ("COPY", up),
            ("MOVE", write),
            ("DELETE", write),
        ]),
        Some((Ok(_), true)) => at_most(&[("POST", up)]),
        Some((Ok(meta), _)) if meta.is_folder() => at_most(&[
            ("POST", up),
            ("COPY", up),
            ("MOVE", write),
            ("DELETE", write),
        ]),
        Some((Ok(_), _)) => at_most(&[
            ("COPY", up),
            ("PUT", write),
            ("MOVE", write),
            ("DELETE", write),
        ]),
        Some((Err(_), _)) => at_most(&[("PUT", up), ("MKCOL", up)]),
    });
    methods.join(", ")
}

impl Change {
    fn answer(self) -> Result<Answer, Reply> {
        match self.ask.method {
            Method::Put => self.put(),
            Method::Delete => self.delete().map(Answer::Reply),
            Method::Mkcol => self.make_folder().map(Answer::Reply),
            Method::Move | Method::Copy => self.relocate().map(Answer::Reply),
            Method::Post => self.post(),
            _ => Err(self.not_allowed("this can't be done here")),
        }
    }

    fn delete(&self) -> Result<Reply, Reply> {
        self.require(Access::Write, "deleting")?;
        if self.path.is_root() {
            return Err(self.refusal(403, "the share itself can't be deleted"));
        }
        let meta = self.found()?;
        self.check(Some(&meta))?;
        let view = &self.visit.view;
        match (meta.kind, self.as_folder) {
            (Kind::File, false) => view.remove_file(&self.path),
            (Kind::Folder, true) => view.remove_tree(&self.path),
            (Kind::File, true) => Err(io::ErrorKind::NotFound.into()),
            (Kind::Folder, false) => {
                let text = "this is a folder; to delete it with all that is in it, add a slash \
                            to its address";
                return Err(self.refusal(409, text));
            }
        }
        .map_err(|error| self.failed(&error))?;
        Ok(Reply::new(204, Body::Nothing))
    }

    fn make_folder(&self) -> Result<Reply, Reply> {
        self.require(Access::Upload, "making a folder")?;
        if self.ask.length != Some(0) {
            return Err(self.refusal(415, "a folder is made without a body"));
        }
        let current = self.current()?;
        self.check(current.as_ref())?;
        if current.is_some() {
            return Err(self.not_allowed("there is something of this name already"));
        }
        match self.visit.view.make_folder(&self.path) {
            Ok(()) => Ok(created(&self.visit.base, &self.path, true)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                Err(self.not_allowed("there is something of this name already"))
            }
            Err(error) => Err(self.failed_to_create(&self.path, &error)),
        }
    }

    fn post(self) -> Result<Answer, Reply> {
        if tus::is_creation(&self.ask) {
            return Ok(tus::create(&self.site, &self.ask, &self.visit, &self.path));
        }
        match self.current()? {
            Some(meta) if meta.is_folder() => {}
            Some(_) => return Err(self.not_allowed("files are sent to a folder")),
            None => return Err(self.failed(&io::ErrorKind::NotFound.into())),
        }
        if has_media_type(&self.ask, b"multipart/form-data") {
            return self.form();
        }
        Err(self.refusal(415, "send files as multipart/form-data"))
    }

    // --- What is there ---

    /// What is at the path, if there is something.
    fn current(&self) -> Result<Option<Meta>, Reply> {
        self.metadata(&self.path)
    }

    fn metadata(&self, path: &RelPath) -> Result<Option<Meta>, Reply> {
        use io::ErrorKind::{NotADirectory, NotFound};
        match self.visit.view.metadata(path) {
            Ok(meta) => Ok(Some(meta)),
            Err(error) if matches!(error.kind(), NotFound | NotADirectory) => Ok(None),
            Err(error) => Err(self.failed(&error)),
        }
    }

    fn found(&self) -> Result<Meta, Reply> {
        self.current()?
            .ok_or_else(|| self.failed(&io::ErrorKind::NotFound.into()))
    }

    /// Whether the conditions of the request hold, of what is there.
    fn check(&self, current: Option<&Meta>) -> Result<(), Reply> {
        let validators = current.map(Validators::of);
        if allow_change(&self.ask, validators.as_ref()) {
            Ok(())
        } else {
            Err(self.refusal(412, "it is not what you expected"))
        }
    }

    fn is_conditional(&self) -> bool {
        let ask = &self.ask;
        ask.if_match.is_some() || ask.if_none_match.is_some() || ask.if_unmodified_since.is_some()
    }

    /// Whether the visitor may do what is called `what`.
    fn require(&self, needed: Access, what: &str) -> Result<(), Reply> {
        let has = self.visit.view.access();
        if has >= needed {
            return Ok(());
        }
        let lacks = Lacks { needed, has };
        Err(self.visit.lacking(&self.site, &self.ask, lacks, what))
    }

    // --- What to say ---

    fn refusal(&self, status: u16, text: &str) -> Reply {
        Reply::refusal(&self.ask, status, text)
    }

    fn not_allowed(&self, text: &str) -> Reply {
        let allow = allowed(&self.visit, &self.ask.path);
        self.refusal(405, text).field("Allow", allow)
    }

    fn failed(&self, error: &io::Error) -> Reply {
        refused(&self.site, &self.ask, &self.visit, error)
    }

    /// What went wrong with what was to appear at `path`: of what is not
    /// found, it is the folder it was to be in.
    fn failed_to_create(&self, path: &RelPath, error: &io::Error) -> Reply {
        use io::ErrorKind::{NotADirectory, NotFound};
        let folder = path.parent().unwrap_or_default();
        let lacks_folder = matches!(error.kind(), NotFound | NotADirectory)
            && !matches!(self.metadata(&folder), Ok(Some(meta)) if meta.is_folder());
        if lacks_folder {
            let text = "there is no such folder to put it into; make the folder first (MKCOL)";
            return self.refusal(409, text);
        }
        if error.kind() == NotFound || is_reserved(path) {
            return self.refusal(403, "this name is not allowed here");
        }
        self.failed(error)
    }
}

/// Whether a part of the path is a name that the server keeps for itself.
fn is_reserved(path: &RelPath) -> bool {
    path.components()
        .any(|name| name.eq_ignore_ascii_case(RESERVED))
}

/// 201, with where it is.
fn created(base: &str, path: &RelPath, folder: bool) -> Reply {
    let mut location = base.to_owned();
    path.url_path(folder, &mut location);
    Reply::new(201, Body::Bytes(Vec::new())).field("Location", location)
}
