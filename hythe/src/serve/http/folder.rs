//! Folders: their page, the same as JSON, and archives of them.

use std::io::{self, Write as _};

use flate2::Compression;
use flate2::write::GzEncoder;
use hythe_wire::http::{Coding, content_disposition};

use super::Shared;
use super::ask::Ask;
use super::file::file;
use super::intake::{Form, has_media_type};
use super::reply::{Body, Reply};
use super::visit::Visit;
use crate::share::{Kind, Pieces, RelPath, Tar, View, Zip};
use crate::web::{self, FolderJson, FolderPage, FolderQuery, Format, SearchJson, SearchPage};

/// A folder's links are relative to it, so its address ends in a slash. The
/// new one is made from the path as understood, hence begins with exactly one:
/// `//host` would lead elsewhere.
/// Before it stands `base`, which is ours.
pub(super) fn redirect(ask: &Ask, base: &str, path: &RelPath) -> Reply {
    let mut location = base.to_owned();
    path.url_path(true, &mut location);
    let mut location = location.into_bytes();
    if let Some(query) = &ask.query {
        location.push(b'?');
        location.extend_from_slice(query);
    }
    Reply::refusal(ask, 308, "this is a folder").field("Location", location)
}

/// A folder as what was asked for: a page, JSON, or an archive.
pub(super) fn folder(site: &Shared, ask: &Ask, visit: &Visit, path: RelPath) -> io::Result<Reply> {
    let view = &visit.view;
    let query = FolderQuery::parse(ask.query.as_deref());
    if site.config.index
        && query.format.is_none()
        && query.needle.is_none()
        && !ask.json
        && let Some(reply) = index(site, ask, view, &path)?
    {
        return Ok(reply);
    }
    let reply = match query.format {
        Some(Format::Zip) => archive(
            view,
            &path,
            "application/zip",
            ".zip",
            Zip::new(view, &path)?,
        ),
        Some(Format::Tar) => archive(
            view,
            &path,
            "application/x-tar",
            ".tar",
            Tar::new(view, &path)?,
        ),
        Some(Format::Json) => json(site, ask, visit, &path, &query)?,
        None if ask.json => json(site, ask, visit, &path, &query)?,
        Some(Format::Html) | None => page(site, ask, visit, &path, &query)?,
    };
    Ok(reply
        .field("Cache-Control", "no-cache")
        .field("X-Content-Type-Options", "nosniff"))
}

/// The most that the form of a selection may be, in bytes: ten thousand names.
pub(super) const SELECTION_LIMIT: u64 = 1024 * 1024;

/// Whether a form asks for a selection of a folder, as an archive.
pub(super) fn is_selection(ask: &Ask) -> bool {
    FolderQuery::parse(ask.query.as_deref()).format == Some(Format::Zip)
        && !has_media_type(ask, b"multipart/form-data")
}

/// What was chosen in a folder, as an archive: by `name`, or by `href` where a
/// form would change the name on its way.
pub(super) fn selection(
    ask: &Ask,
    visit: &Visit,
    folder: &RelPath,
    form: &Form,
) -> io::Result<Reply> {
    let view = &visit.view;
    let mut names: Vec<Vec<u8>> = form.values("name").map(Into::into).collect();
    for href in form.values("href") {
        let path = href.strip_prefix(visit.base.as_bytes()).unwrap_or(href);
        let path = RelPath::from_url_path(path).ok().map(|(path, _)| path);
        match path.filter(|path| path.parent().as_ref() == Some(folder)) {
            Some(path) => names.extend(path.name().map(<[u8]>::to_vec)),
            None => {
                return Ok(Reply::refusal(
                    ask,
                    404,
                    "what was chosen is not in this folder",
                ));
            }
        }
    }
    names.sort_unstable();
    names.dedup();
    if names.is_empty() {
        return Ok(Reply::refusal(
            ask,
            400,
            "nothing was chosen; go back and choose something",
        ));
    }
    for name in &names {
        let missing = match folder.join(name) {
            Ok(path) => view.metadata(&path).err(),
            Err(bad) => return Ok(Reply::refusal(ask, 400, &bad.to_string())),
        };
        match missing {
            None => {}
            Some(error) if error.kind() == io::ErrorKind::NotFound => {
                let name = String::from_utf8_lossy(name);
                let text = format!("there is no {name:?} in this folder any more");
                return Ok(Reply::refusal(ask, 404, &text));
            }
            Some(error) => return Err(error),
        }
    }
    let zip = Zip::of(view, folder, names)?;
    Ok(archive(view, folder, "application/zip", ".zip", zip)
        .field("Cache-Control", "no-store")
        .field("X-Content-Type-Options", "nosniff"))
}

/// The folder's `index.html`, where it has one.
fn index(site: &Shared, ask: &Ask, view: &View, folder: &RelPath) -> io::Result<Option<Reply>> {
    let Ok(path) = folder.join(b"index.html") else {
        return Ok(None);
    };
    match view.open(&path) {
        Ok(opened) if opened.meta.kind == Kind::File => {
            file(site, ask, view, &path, opened).map(Some)
        }
        Ok(_) => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn page(
    site: &Shared,
    ask: &Ask,
    visit: &Visit,
    path: &RelPath,
    query: &FolderQuery,
) -> io::Result<Reply> {
    let view = &visit.view;
    let setting = visit.setting(site, ask);
    let media_type = "text/html; charset=utf-8";
    let reply = match &query.needle {
        Some(needle) => listing(
            ask,
            media_type,
            SearchPage::new(view, path, needle, &setting)?,
        ),
        None => listing(
            ask,
            media_type,
            FolderPage::new(view, path, query.order, &setting)?,
        ),
    };
    Ok(reply
        .field(
            "Content-Security-Policy",
            web::content_security_policy(&setting.nonce),
        )
        .field("Content-Language", setting.lang.tag())
        .field("Referrer-Policy", "same-origin"))
}

fn json(
    site: &Shared,
    ask: &Ask,
    visit: &Visit,
    path: &RelPath,
    query: &FolderQuery,
) -> io::Result<Reply> {
    let view = &visit.view;
    let setting = visit.setting(site, ask);
    let media_type = "application/json";
    Ok(match &query.needle {
        Some(needle) => listing(
            ask,
            media_type,
            SearchJson::new(view, path, needle, &setting)?,
        ),
        None => listing(
            ask,
            media_type,
            FolderJson::new(view, path, query.order, &setting)?,
        ),
    })
}

/// A listing, compressed as it is made where the client can take it.
fn listing(ask: &Ask, media_type: &str, pieces: impl Pieces + 'static) -> Reply {
    let pieces: Box<dyn Pieces> = Box::new(pieces);
    let reply = if ask.codings.accept(Coding::Gzip) {
        Reply::new(200, Body::Pieces(Box::new(Gzipped::new(pieces))))
            .field("Content-Encoding", "gzip")
    } else {
        Reply::new(200, Body::Pieces(pieces))
    };
    reply
        .field("Content-Type", media_type)
        .field("Vary", "Accept, Accept-Encoding, Accept-Language")
}

fn archive(
    view: &View,
    path: &RelPath,
    media_type: &str,
    extension: &str,
    pieces: impl Pieces + 'static,
) -> Reply {
    let share = view.share().name().as_bytes();
    let mut name = path.name().unwrap_or(share).to_vec();
    name.extend_from_slice(extension.as_bytes());
    let mut disposition = Vec::new();
    content_disposition("attachment", &name, &mut disposition);
    Reply::new(200, Body::Pieces(Box::new(pieces)))
        .field("Content-Type", media_type)
        .field("Content-Disposition", disposition)
}

/// Compresses pieces on their way, each to its end, so that none waits for the
/// next.
struct Gzipped {
    pieces: Box<dyn Pieces>,
    encoder: GzEncoder<Vec<u8>>,
    plain: Vec<u8>,
}

impl Gzipped {
    fn new(pieces: Box<dyn Pieces>) -> Self {
        Self {
            pieces,
            encoder: GzEncoder::new(Vec::new(), Compression::fast()),
            plain: Vec::new(),
        }
    }
}

impl Pieces for Gzipped {
    fn piece(&mut self, out: &mut Vec<u8>) -> io::Result<bool> {
        self.plain.clear();
        let more = self.pieces.piece(&mut self.plain)?;
        self.encoder.write_all(&self.plain)?;
        if more {
            if !self.plain.is_empty() {
                self.encoder.flush()?;
            }
        } else {
            self.encoder.try_finish()?;
        }
        out.append(self.encoder.get_mut());
        Ok(more)
    }
}
