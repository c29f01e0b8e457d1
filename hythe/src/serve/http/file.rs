//! Files: whole or in part, as they are or compressed, or not at all for those
//! who have them already.

use std::fs::File;
use std::io::{self, Write as _};
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::sync::atomic::{AtomicUsize, Ordering};

use flate2::Compression;
use flate2::write::GzEncoder;
use hythe_wire::http::{
    Coding, Method, Ranges, content_disposition, content_range, parse_range, unsatisfied_range,
};

use super::ask::{self, Ask};
use super::condition::{Outcome, Validators};
use super::content::{Content, SNIFF};
use super::ready::{Check, LARGEST};
use super::reply::{Body, Part, Reply};
use super::{Shared, SiteConfig};
use crate::share::{Kind, Meta, Modified, Opened, RelPath, View};

/// The largest file that is compressed on the fly: it is done in one go and in
/// memory, some ten milliseconds of work. Larger ones are for pre-compressed
/// neighbours, or go out as they are.
const COMPRESSED_AT_MOST: u64 = 1024 * 1024;

/// The smallest that is: below it, gzip saves no packet.
const COMPRESSED_AT_LEAST: u64 = 256;

/// How many files are compressed at one time. A crowd that asks for more gets
/// the others as they are, and leaves the processors to all.
const COMPRESSIONS: usize = 4;

/// The pre-compressed neighbours of a file, best first: the coding, how the
/// name ends, and how the content begins, where it has a mark to know it by.
const NEIGHBOURS: [(Coding, &[u8], &[u8]); 3] = [
    (Coding::Br, b".br", b""),
    (Coding::Zstd, b".zst", b"\x28\xb5\x2f\xfd"),
    (Coding::Gzip, b".gz", b"\x1f\x8b"),
];

/// Answers with a file, which has been opened.
pub(super) fn file(
    site: &Shared,
    ask: &Ask,
    view: &View,
    path: &RelPath,
    opened: Opened,
) -> io::Result<Reply> {
    let beginning = read(&opened.file, 0..opened.meta.size.min(SNIFF as u64))?;
    let content = Content::of(path.name().unwrap_or_default(), &beginning);
    let mut made_from = vec![Check {
        path: path.clone(),
        found: Some(opened.meta),
    }];
    let mut chosen = choose(view, ask, path, opened, &content, &mut made_from)?;

    let reply = match chosen.validators.evaluate(ask) {
        Outcome::Failed => return Ok(Reply::refusal(ask, 412, "it is not what you expected")),
        Outcome::NotModified => Reply::new(304, Body::Nothing),
        Outcome::Proceed => {
            let reply = match wanted_ranges(ask, &chosen) {
                Ranges::Whole => whole(&mut chosen, ask.plain.then_some(made_from))?,
                Ranges::Unsatisfiable => return Ok(unsatisfiable(ask, chosen.meta.size)),
                Ranges::Parts(parts) => ranged(&chosen, &content, parts)?,
            };
            describe(reply, &site.config, ask, path, &content, chosen.coding)
        }
    };
    Ok(validated(reply, &content, &chosen.validators))
}

// --- Which form of it ---

/// One form of a file: itself, compressed on its way, or a compressed
/// neighbour.
struct Representation {
    file: File,
    meta: Meta,
    coding: Option<Coding>,
    /// Whether the coding is still to be applied.
    to_compress: bool,
    validators: Validators,
}

impl Representation {
    fn of(opened: Opened, coding: Option<Coding>) -> Self {
        let Opened { file, meta } = opened;
        let validators = Validators::of(&meta);
        Self {
            file,
            meta,
            coding,
            to_compress: false,
            validators,
        }
    }

    /// To be compressed. Other bytes have another tag (RFC 9110 §8.8.3.3),
    /// which is known before the work is done.
    fn compressed(opened: Opened) -> Self {
        let mut form = Self::of(opened, Some(Coding::Gzip));
        form.to_compress = true;
        form.validators
            .etag
            .insert_str(form.validators.etag.len() - 1, "-gzip");
        form
    }

    fn leave_uncompressed(&mut self) {
        if self.to_compress {
            self.to_compress = false;
            self.coding = None;
            self.validators = Validators::of(&self.meta);
        }
    }

    /// A range of it, to be sent. What is small is read here, on the pool.
    fn body(&self, range: Range<u64>) -> io::Result<Body> {
        if range.end - range.start <= LARGEST {
            return Ok(Body::Bytes(read(&self.file, range)?));
        }
        Ok(Body::File {
            file: self.file.try_clone()?,
            range,
        })
    }
}

/// Chooses the form in which a file is sent, and notes what was looked at.
fn choose(
    view: &View,
    ask: &Ask,
    path: &RelPath,
    opened: Opened,
    content: &Content,
    made_from: &mut Vec<Check>,
) -> io::Result<Representation> {
    if !content.compressible {
        return Ok(Representation::of(opened, None));
    }
    for (coding, suffix, mark) in NEIGHBOURS {
        if ask.codings.accept(coding)
            && let Some(beside) = beside(path, suffix)
            && let Some(neighbour) = neighbour(view, &beside, mark, &opened.meta, made_from)?
        {
            return Ok(Representation::of(neighbour, Some(coding)));
        }
    }
    // A part that is asked for is a part of the file itself.
    let in_part = ask.method == Method::Get && ask.range.is_some();
    let fits = (COMPRESSED_AT_LEAST..=COMPRESSED_AT_MOST).contains(&opened.meta.size);
    Ok(if fits && ask.codings.accept(Coding::Gzip) && !in_part {
        Representation::compressed(opened)
    } else {
        Representation::of(opened, None)
    })
}

fn beside(path: &RelPath, suffix: &[u8]) -> Option<RelPath> {
    let name = [path.name()?, suffix].concat();
    path.parent()?.join(&name).ok()
}

/// The file at `beside`, if it is a compressed form of one with this `meta`: it
/// begins as such, and it is no older, since then it would hide an edit.
fn neighbour(
    view: &View,
    beside: &RelPath,
    mark: &[u8],
    meta: &Meta,
    made_from: &mut Vec<Check>,
) -> io::Result<Option<Opened>> {
    let found = view.metadata(beside).ok();
    made_from.push(Check {
        path: beside.clone(),
        found,
    });
    let time = |Modified { secs, nanos }| (secs, nanos);
    let fits =
        |found: &Meta| found.kind == Kind::File && time(found.modified) >= time(meta.modified);
    if !found.as_ref().is_some_and(fits) {
        return Ok(None);
    }
    match view.open(beside) {
        Ok(opened) => {
            let mark_length = (mark.len() as u64).min(opened.meta.size);
            Ok((read(&opened.file, 0..mark_length)? == mark).then_some(opened))
        }
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied
            ) =>
        {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// The right to compress, given back on drop.
struct Compressing;

static COMPRESSING: AtomicUsize = AtomicUsize::new(0);

impl Compressing {
    fn begin() -> Option<Self> {
        let right = Self;
        (COMPRESSING.fetch_add(1, Ordering::Relaxed) < COMPRESSIONS).then_some(right)
    }
}

impl Drop for Compressing {
    fn drop(&mut self) {
        COMPRESSING.fetch_sub(1, Ordering::Relaxed);
    }
}

fn compress(chosen: &Representation) -> io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(&read(&chosen.file, 0..chosen.meta.size)?)?;
    encoder.finish()
}

// --- How much of it ---

/// Which part of the representation to send (RFC 9110 §14.2): ranges are for
/// GET only.
fn wanted_ranges(ask: &Ask, chosen: &Representation) -> Ranges {
    match &ask.range {
        Some(range) if ask.method == Method::Get && chosen.validators.allow_range(ask) => {
            parse_range(range, chosen.meta.size)
        }
        _ => Ranges::Whole,
    }
}

/// All of it; compressed, unless too much is being compressed just now.
fn whole(chosen: &mut Representation, made_from: Option<Vec<Check>>) -> io::Result<Reply> {
    let right = if chosen.to_compress {
        Compressing::begin()
    } else {
        None
    };
    let body = if right.is_some() {
        Body::Bytes(compress(chosen)?)
    } else {
        chosen.leave_uncompressed();
        chosen.body(0..chosen.meta.size)?
    };
    let mut reply = Reply::new(200, body);
    reply.made_from = made_from;
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
        content_range(&mut value, range, chosen.meta.size);
        value
    };
    if parts.len() == 1
        && let Some(range) = parts.pop()
    {
        let value = described(&range);
        return Ok(Reply::new(206, chosen.body(range)?).field("Content-Range", value));
    }
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
    Ok(Reply::new(
        206,
        Body::Parts {
            file: chosen.file.try_clone()?,
            parts,
            end,
        },
    )
    .field(
        "Content-Type",
        format!("multipart/byteranges; boundary={boundary}"),
    ))
}

/// A line that stands between parts and, by its randomness, in none of them.
fn boundary() -> String {
    use std::hash::{BuildHasher, RandomState};
    let random = || RandomState::new().hash_one(0);
    format!("{:016x}{:016x}", random(), random())
}

// --- What is told of it ---

/// The fields by which a client recognises what it has already; a 304 carries
/// them too.
fn validated(reply: Reply, content: &Content, validators: &Validators) -> Reply {
    let mut reply = reply
        .field("ETag", validators.etag.as_str())
        .field("Cache-Control", "no-cache");
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
    config: &SiteConfig,
    ask: &Ask,
    path: &RelPath,
    content: &Content,
    coding: Option<Coding>,
) -> Reply {
    let mut reply = reply
        .field("Accept-Ranges", "bytes")
        .field("X-Content-Type-Options", "nosniff");
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
    if ask::is_download(ask.query.as_deref()) {
        let mut disposition = Vec::new();
        content_disposition(
            "attachment",
            path.name().unwrap_or_default(),
            &mut disposition,
        );
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
