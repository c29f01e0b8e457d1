//! From an [`Ask`] to a [`Reply`]: what the share has, in the form the client
//! wants it. Blocking file calls and nothing else; the session runs it on the
//! pool.

use std::fs::File;
use std::io::{self, Write};
use std::ops::Range;
use std::os::unix::fs::FileExt;

use flate2::Compression;
use flate2::write::GzEncoder;
use hythe_wire::http::{
    Coding, Method, Ranges, content_disposition, content_range, parse_range, unsatisfied_range,
};

use super::ask::Ask;
use super::condition::{Outcome, Validators};
use super::content::{Content, SNIFF};
use super::ready::{Check, LARGEST};
use super::reply::{Body, Part, Reply};
use super::{HttpConfig, Site};
use crate::share::{Kind, Meta, Modified, Opened, Pieces, RelPath, Tar, View, Zip};
use crate::web::{self, FolderJson, FolderPage, FolderQuery, Format};

/// What this server allows on every resource.
const ALLOW: &str = "GET, HEAD, OPTIONS";

/// The largest file that is compressed on the fly: it is done in one go and in
/// memory, some ten milliseconds of work. Larger ones are for pre-compressed
/// neighbours, or go out as they are.
const COMPRESSED_AT_MOST: u64 = 1024 * 1024;

/// The smallest that is: below it, gzip saves no packet.
const COMPRESSED_AT_LEAST: u64 = 256;

/// The pre-compressed neighbours of a file, best first.
const NEIGHBOURS: [(Coding, &[u8]); 3] =
    [(Coding::Br, b".br"), (Coding::Zstd, b".zst"), (Coding::Gzip, b".gz")];

/// Answers a request.
pub(super) fn answer(site: &Site, ask: &Ask) -> Reply {
    match ask.method {
        Method::Get | Method::Head => get(site, ask).unwrap_or_else(|error| refused(ask, &error)),
        Method::Options => Reply::new(204, Body::Nothing).field("Allow", ALLOW),
        Method::Trace | Method::Connect => {
            Reply::refusal(ask, 501, "this server has no such method")
        }
        _ => Reply::refusal(ask, 405, "this server only shows files; it takes none")
            .field("Allow", ALLOW),
    }
}

fn get(site: &Site, ask: &Ask) -> io::Result<Reply> {
    let (path, as_folder) = match RelPath::from_url_path(&ask.path) {
        Ok(parsed) => parsed,
        Err(bad) => return Ok(Reply::refusal(ask, 400, &bad.to_string())),
    };
    let opened = site.view.open(&path)?;
    match (opened.meta.kind, as_folder) {
        (Kind::Folder, true) => folder(site, ask, path),
        (Kind::Folder, false) => Ok(redirect(ask, &path)),
        (Kind::File, false) => file(site, ask, &path, opened),
        // A file has nothing inside.
        (Kind::File, true) => Err(io::ErrorKind::NotFound.into()),
    }
}

/// What an error of the disk or the view means to a client.
fn refused(ask: &Ask, error: &io::Error) -> Reply {
    use io::ErrorKind as Is;
    match error.kind() {
        Is::NotFound => Reply::refusal(ask, 404, "there is no such file or folder"),
        Is::PermissionDenied => Reply::refusal(ask, 403, "you may not read this"),
        Is::WouldBlock | Is::Interrupted | Is::ResourceBusy => {
            Reply::refusal(ask, 503, "busy; try again").field("Retry-After", "1")
        }
        // Out of descriptors or memory: it passes.
        _ if matches!(error.raw_os_error(), Some(12 | 23 | 24)) => {
            Reply::refusal(ask, 503, "the server is short of resources; try again")
                .field("Retry-After", "5")
        }
        _ => {
            tracing::warn!(path = %super::log::Escaped(&ask.path), %error, "cannot read");
            Reply::refusal(ask, 500, "the server cannot read this")
        }
    }
}

// --- Folders ---------------------------------------------------------------

/// A folder's links are relative to it, so its address ends in a slash. The
/// new one is made from the path as understood, hence begins with exactly one:
/// `//host` would lead elsewhere.
fn redirect(ask: &Ask, path: &RelPath) -> Reply {
    let mut location = String::new();
    path.url_path(true, &mut location);
    let mut location = location.into_bytes();
    if let Some(query) = &ask.query {
        location.push(b'?');
        location.extend_from_slice(query);
    }
    Reply::refusal(ask, 308, "this is a folder").field("Location", location)
}

fn folder(site: &Site, ask: &Ask, path: RelPath) -> io::Result<Reply> {
    let view = &site.view;
    let query = FolderQuery::parse(ask.query.as_deref());
    if site.config.index
        && query.format.is_none()
        && let Some(reply) = index(site, ask, &path)?
    {
        return Ok(reply);
    }
    let reply = match query.format {
        Some(Format::Zip) => archive(view, &path, "application/zip", ".zip", Zip::new(view, &path)?),
        Some(Format::Tar) => archive(view, &path, "application/x-tar", ".tar", Tar::new(view, &path)?),
        Some(Format::Json) => json(view, ask, &path, &query)?,
        None if ask.json => json(view, ask, &path, &query)?,
        Some(Format::Html) | None => {
            listing(ask, "text/html; charset=utf-8", FolderPage::new(view, &path, query.order)?)
                .field("Content-Security-Policy", web::CONTENT_SECURITY_POLICY)
                .field("Referrer-Policy", "same-origin")
        }
    };
    Ok(reply.field("Cache-Control", "no-cache").field("X-Content-Type-Options", "nosniff"))
}

/// The folder's `index.html`, where it has one.
fn index(site: &Site, ask: &Ask, folder: &RelPath) -> io::Result<Option<Reply>> {
    let Ok(path) = folder.join(b"index.html") else { return Ok(None) };
    match site.view.open(&path) {
        Ok(opened) if opened.meta.kind == Kind::File => file(site, ask, &path, opened).map(Some),
        Ok(_) => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn json(view: &View, ask: &Ask, path: &RelPath, query: &FolderQuery) -> io::Result<Reply> {
    Ok(listing(ask, "application/json", FolderJson::new(view, path, query.order)?))
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
    reply.field("Content-Type", media_type).field("Vary", "Accept, Accept-Encoding")
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
        Self { pieces, encoder: GzEncoder::new(Vec::new(), Compression::fast()), plain: Vec::new() }
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

// --- Files -----------------------------------------------------------------

/// One form of a file: itself, compressed, or a compressed neighbour.
struct Representation {
    source: Source,
    size: u64,
    validators: Validators,
    coding: Option<Coding>,
}

enum Source {
    File(File),
    Bytes(Vec<u8>),
}

impl Representation {
    /// A range of it, to be sent. What is small is read here, on the pool.
    fn body(&self, range: Range<u64>) -> io::Result<Body> {
        Ok(match &self.source {
            Source::Bytes(bytes) => Body::Bytes(bytes[range.start as usize..range.end as usize].to_vec()),
            Source::File(file) if range.end - range.start <= LARGEST => {
                Body::Bytes(read(file, range)?)
            }
            Source::File(file) => Body::File { file: file.try_clone()?, range },
        })
    }
}

fn file(site: &Site, ask: &Ask, path: &RelPath, opened: Opened) -> io::Result<Reply> {
    let beginning = read(&opened.file, 0..opened.meta.size.min(SNIFF as u64))?;
    let content = Content::of(path.name().unwrap_or_default(), &beginning);
    let mut made_from = vec![Check { path: path.clone(), found: Some(opened.meta) }];
    let chosen = represent(&site.view, ask, path, opened, &content, &mut made_from)?;

    let reply = match chosen.validators.evaluate(ask) {
        Outcome::Failed => return Ok(Reply::refusal(ask, 412, "it is not what you expected")),
        Outcome::NotModified => Reply::new(304, Body::Nothing),
        Outcome::Proceed => {
            let ranges = wanted_ranges(ask, &chosen);
            let reply = match ranges {
                Ranges::Whole => whole(&chosen, ask.is_plain().then_some(made_from))?,
                Ranges::Unsatisfiable => return Ok(unsatisfiable(ask, chosen.size)),
                Ranges::Parts(parts) => ranged(&chosen, &content, parts)?,
            };
            describe(reply, &site.config, ask, path, &content, chosen.coding)
        }
    };
    Ok(validated(reply, &content, &chosen.validators))
}

/// Chooses the form in which a file is sent, and notes what was looked at.
fn represent(
    view: &View,
    ask: &Ask,
    path: &RelPath,
    opened: Opened,
    content: &Content,
    made_from: &mut Vec<Check>,
) -> io::Result<Representation> {
    let meta = opened.meta;
    if content.compressible {
        for (coding, suffix) in NEIGHBOURS {
            if !ask.codings.accept(coding) {
                continue;
            }
            if let Some(neighbour) = neighbour(view, path, suffix, &meta, made_from)? {
                return Ok(Representation {
                    size: neighbour.meta.size,
                    validators: validators(&neighbour.meta),
                    source: Source::File(neighbour.file),
                    coding: Some(coding),
                });
            }
        }
        // A part that is asked for is a part of the file itself.
        let in_part = ask.method == Method::Get && ask.range.is_some();
        let fits = (COMPRESSED_AT_LEAST..=COMPRESSED_AT_MOST).contains(&meta.size);
        if fits && ask.codings.accept(Coding::Gzip) && !in_part {
            return compressed(&opened);
        }
    }
    Ok(Representation {
        source: Source::File(opened.file),
        size: meta.size,
        validators: validators(&meta),
        coding: None,
    })
}

/// A compressed file beside this one that is no older than it: an older one
/// would hide an edit.
fn neighbour(
    view: &View,
    path: &RelPath,
    suffix: &[u8],
    meta: &Meta,
    made_from: &mut Vec<Check>,
) -> io::Result<Option<Opened>> {
    let name = [path.name().unwrap_or_default(), suffix].concat();
    let Some(Ok(beside)) = path.parent().map(|folder| folder.join(&name)) else { return Ok(None) };
    let found = match view.open(&beside) {
        Ok(opened) => Some(opened),
        Err(error)
            if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied) =>
        {
            None
        }
        Err(error) => return Err(error),
    };
    made_from.push(Check { path: beside, found: found.as_ref().map(|opened| opened.meta) });
    let time = |Modified { secs, nanos }| (secs, nanos);
    Ok(found.filter(|opened| {
        opened.meta.kind == Kind::File && time(opened.meta.modified) >= time(meta.modified)
    }))
}

fn compressed(opened: &Opened) -> io::Result<Representation> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(&read(&opened.file, 0..opened.meta.size)?)?;
    let bytes = encoder.finish()?;
    let mut validators = validators(&opened.meta);
    // Other bytes, another tag (RFC 9110 §8.8.3.3).
    validators.etag.insert_str(validators.etag.len() - 1, "-gzip");
    Ok(Representation {
        size: bytes.len() as u64,
        source: Source::Bytes(bytes),
        validators,
        coding: Some(Coding::Gzip),
    })
}

fn validators(meta: &Meta) -> Validators {
    Validators { etag: meta.etag().to_string(), modified: meta.modified }
}

/// Which part of the representation to send (RFC 9110 §14.2): ranges are for
/// GET only.
fn wanted_ranges(ask: &Ask, chosen: &Representation) -> Ranges {
    match &ask.range {
        Some(range) if ask.method == Method::Get && chosen.validators.allow_range(ask) => {
            parse_range(range, chosen.size)
        }
        _ => Ranges::Whole,
    }
}

fn whole(chosen: &Representation, made_from: Option<Vec<Check>>) -> io::Result<Reply> {
    let mut reply = Reply::new(200, chosen.body(0..chosen.size)?);
    if matches!(reply.body, Body::Bytes(_)) {
        reply.made_from = made_from;
    }
    Ok(reply)
}

fn unsatisfiable(ask: &Ask, size: u64) -> Reply {
    let mut range = Vec::new();
    unsatisfied_range(&mut range, size);
    Reply::refusal(ask, 416, "the file has no such part").field("Content-Range", range)
}

fn ranged(
    chosen: &Representation,
    content: &Content,
    mut parts: Vec<Range<u64>>,
) -> io::Result<Reply> {
    let described = |range: &Range<u64>| {
        let mut value = Vec::new();
        content_range(&mut value, range, chosen.size);
        value
    };
    if parts.len() == 1
        && let Some(range) = parts.pop()
    {
        let value = described(&range);
        return Ok(Reply::new(206, chosen.body(range)?).field("Content-Range", value));
    }
    let Source::File(file) = &chosen.source else { return whole(chosen, None) };
    let boundary = boundary();
    let parts = parts
        .into_iter()
        .map(|range| {
            let mut head = format!(
                "\r\n--{boundary}\r\nContent-Type: {}\r\nContent-Range: ",
                content.media_type
            )
            .into_bytes();
            head.append(&mut described(&range));
            head.extend_from_slice(b"\r\n\r\n");
            Part { head, range }
        })
        .collect();
    let end = format!("\r\n--{boundary}--\r\n").into_bytes();
    Ok(Reply::new(206, Body::Parts { file: file.try_clone()?, parts, end })
        .field("Content-Type", format!("multipart/byteranges; boundary={boundary}")))
}

/// A line that stands between parts and, by its randomness, in none of them.
fn boundary() -> String {
    use std::hash::{BuildHasher, RandomState};
    let random = || RandomState::new().hash_one(0);
    format!("{:016x}{:016x}", random(), random())
}

/// The fields by which a client recognises what it has already; a 304 carries
/// them too.
fn validated(reply: Reply, content: &Content, validators: &Validators) -> Reply {
    let mut reply =
        reply.field("ETag", validators.etag.as_str()).field("Cache-Control", "no-cache");
    if let Some(time) = validators.last_modified() {
        reply = reply.field("Last-Modified", httpdate::fmt_http_date(time));
    }
    if content.compressible {
        reply = reply.field("Vary", "Accept-Encoding");
    }
    reply
}

/// The fields that tell what is sent and how to treat it.
fn describe(
    reply: Reply,
    config: &HttpConfig,
    ask: &Ask,
    path: &RelPath,
    content: &Content,
    coding: Option<Coding>,
) -> Reply {
    let mut reply = reply.field("Accept-Ranges", "bytes").field("X-Content-Type-Options", "nosniff");
    // Several parts have a type of their own.
    if !matches!(reply.body, Body::Parts { .. }) {
        reply = reply.field("Content-Type", content.media_type.as_str());
    }
    if let Some(coding) = coding {
        reply = reply.field("Content-Encoding", coding.as_str());
    }
    if content.active && !config.trust_content {
        reply = reply.field("Content-Security-Policy", "sandbox");
    }
    if ask.query.as_deref() == Some(b"download") {
        let mut disposition = Vec::new();
        content_disposition("attachment", path.name().unwrap_or_default(), &mut disposition);
        reply = reply.field("Content-Disposition", disposition);
    }
    reply
}

/// Reads a range of a file whole.
///
/// # Errors
/// `Interrupted` if the file has become shorter: the client may ask again.
fn read(file: &File, range: Range<u64>) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; (range.end - range.start) as usize];
    match file.read_exact_at(&mut bytes, range.start) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            Err(io::ErrorKind::Interrupted.into())
        }
        result => result.map(|()| bytes),
    }
}
