//! Resumable uploads (tus 1.0.0, <https://tus.io/protocols/resumable-upload>):
//! what the protocol says becomes what [`View`](crate::share::View) does with
//! uploads, and the other way round.
//!
//! ```text
//!   POST /folder/            201, Location: /.hythe/uploads/ID
//!   PATCH /.hythe/uploads/ID 204, Upload-Offset; at the end also Content-Location
//!   HEAD  /.hythe/uploads/ID 200, Upload-Offset; never of an upload that is whole
//!                            but can't be put in its place: then what hinders it
//!   DELETE …                 204
//! ```

use std::io;
use std::str;
use std::sync::Arc;

use hythe_wire::http::tus::{
    Algorithm, CONTENT_TYPE, Checksum, Concat, DEFERRED, Metadata, VERSION, defer_length, length,
};
use hythe_wire::http::{Error, Method};

use super::Shared;
use super::answer::{is_shortage, too_large};
use super::ask::Ask;
use super::intake::{Answer, has_media_type};
use super::reply::{Body, Reply};
use super::visit::Visit;
use crate::checksum;
use crate::http::Intake;
use crate::share::{
    Access, Appending, BadPath, Check, Creation, Existing, Lacks, Modified, Notes, Progress,
    RelPath, Role, UploadError, UploadId,
};

/// What unfinished uploads are below.
pub(super) const UPLOADS: &[u8] = b"/.hythe/uploads/";

/// What this server knows of the protocol besides its core.
const EXTENSIONS: &str = "creation,creation-with-upload,creation-defer-length,expiration,\
                          checksum,termination,concatenation";

/// The methods of an upload.
const ALLOW: &str = "OPTIONS, HEAD, PATCH, DELETE, POST";

/// What some pages send as a path where there is none, since they make text of
/// everything.
const NO_PATH: &[u8] = b"null";

/// Whether a POST to a folder is meant to begin a resumable upload.
pub(super) fn is_creation(ask: &Ask) -> bool {
    [
        "Tus-Resumable",
        "Upload-Length",
        "Upload-Defer-Length",
        "Upload-Concat",
    ]
    .into_iter()
    .any(|name| ask.field(name).is_some())
}

/// Begins an upload into a folder.
pub(super) fn create(
    site: &Arc<Shared>,
    ask: &Arc<Ask>,
    visit: &Visit,
    folder: &RelPath,
) -> Answer {
    let talk = Talk::new(site, ask, visit);
    let answer = talk.create(folder);
    answer.unwrap_or_else(|reply| reply.into())
}

/// Answers a request for what is below [`UPLOADS`].
pub(super) fn answer(site: &Arc<Shared>, ask: &Arc<Ask>, visit: &Visit) -> Answer {
    let talk = Talk::new(site, ask, visit);
    let answer = talk.answer();
    answer.unwrap_or_else(|reply| reply.into())
}

/// Adds what a client that asks for the capabilities of a folder, by OPTIONS,
/// wants to know.
pub(super) fn describe(site: &Shared, visit: &Visit, reply: Reply) -> Reply {
    let view = &visit.view;
    if view.access() < Access::Upload && site.gate.accounts().is_none() {
        return reply;
    }
    let algorithms = Algorithm::ALL.map(Algorithm::as_str).join(",");
    let reply = reply
        .field("Tus-Resumable", VERSION)
        .field("Tus-Version", VERSION)
        .field("Tus-Extension", EXTENSIONS)
        .field("Tus-Checksum-Algorithm", algorithms);
    match view.share().rules().max_upload {
        Some(most) => reply.field("Tus-Max-Size", most.to_string()),
        None => reply,
    }
}

/// One request about an upload.
#[derive(Clone)]
struct Talk {
    site: Arc<Shared>,
    ask: Arc<Ask>,
    visit: Visit,
}

impl Talk {
    fn new(site: &Arc<Shared>, ask: &Arc<Ask>, visit: &Visit) -> Self {
        Self {
            site: Arc::clone(site),
            ask: Arc::clone(ask),
            visit: visit.clone(),
        }
    }

    fn create(self, folder: &RelPath) -> Result<Answer, Reply> {
        self.check_version()?;
        self.did(self.visit.view.require(Access::Upload))?;
        let concat = self.read("Upload-Concat", Concat::parse)?;
        let creation = self.creation(folder, concat.as_ref())?;
        let announced = self.ask.length;
        if let Some(Concat::Final(urls)) = concat {
            return if announced == Some(0) {
                self.join(&creation, &urls).map(Answer::Reply)
            } else {
                Err(self.refuse(400, "what is joined of others has no bytes of its own"))
            };
        }
        let check = if announced == Some(0) {
            None
        } else {
            self.check_media_type()?;
            self.checksum()?
        };
        if let (Some(body), Some(length)) = (announced, creation.length)
            && body > length
        {
            return Err(self.refusal(&UploadError::TooLong));
        }
        let id = self.made(self.visit.view.create_upload(&creation))?;
        self.begin_body(id, &creation, announced, check)
            .inspect_err(|_| self.forget(id))
    }

    /// Goes on with the first bytes, if they come with the request.
    fn begin_body(
        &self,
        id: UploadId,
        creation: &Creation,
        announced: Option<u64>,
        check: Option<Check>,
    ) -> Result<Answer, Reply> {
        let view = &self.visit.view;
        if announced != Some(0) {
            let appending = self.made(view.append_upload(id, 0, announced, None, check))?;
            return Ok(self.clone().take(id, appending, true));
        }
        let reply = self.created(id);
        if creation.length != Some(0) || creation.partial {
            let expires = view.share().rules().upload_expiry;
            let expires = std::time::SystemTime::now().checked_add(expires);
            return Ok(self.expires(reply, expires).into());
        }
        // An empty file is whole already.
        let progress = self.made(view.upload(id))?;
        Ok(self.stands(reply, &progress).into())
    }

    /// What the fields say of an upload that is to begin.
    fn creation(&self, folder: &RelPath, concat: Option<&Concat<'_>>) -> Result<Creation, Reply> {
        let length = self.read("Upload-Length", length)?;
        let deferred = self.read("Upload-Defer-Length", defer_length)?;
        let fit = match concat {
            Some(Concat::Final(_)) => length.is_none() && deferred.is_none(),
            _ => length.is_some() != deferred.is_some(),
        };
        if !fit {
            let text = match concat {
                Some(Concat::Final(_)) => "what is joined of others has no length of its own",
                _ => "give either Upload-Length or Upload-Defer-Length",
            };
            return Err(self.refuse(400, text));
        }
        let metadata = self.read("Upload-Metadata", Metadata::parse)?;
        let metadata = metadata.unwrap_or_default();
        let target = target(folder, &metadata);
        let target = target.map_err(|why| {
            self.refuse(400, &format!("the name in Upload-Metadata is unfit: {why}"))
        })?;
        let anew = self.ask.if_none_match.as_deref() == Some(b"*");
        let note = |name| {
            let value = str::from_utf8(self.ask.field(name)?).ok()?;
            Some(value.to_owned())
        };
        Ok(Creation {
            folder: folder.clone(),
            target,
            length,
            existing: if anew {
                Existing::Keep
            } else {
                Existing::Replace
            },
            modified: metadata.value("lastModified").and_then(modified),
            partial: concat == Some(&Concat::Partial),
            notes: Notes {
                metadata: note("Upload-Metadata"),
                concat: note("Upload-Concat"),
            },
        })
    }

    fn join(&self, creation: &Creation, urls: &[&[u8]]) -> Result<Reply, Reply> {
        let parts: Option<Vec<_>> = urls.iter().map(|url| self.id_of(url)).collect();
        let parts = parts
            .ok_or_else(|| self.refuse(400, "only uploads to this server can be joined here"))?;
        let (id, progress) = self.made(self.visit.view.join_uploads(creation, &parts))?;
        Ok(self.stands(self.created(id), &progress))
    }

    /// The upload at a URL, if it is one of this server's.
    fn id_of(&self, url: &[u8]) -> Option<UploadId> {
        let path = if url.starts_with(b"/") && !url.starts_with(b"//") {
            url
        } else {
            let text = str::from_utf8(url).ok()?;
            let (scheme, rest) = text.split_once("://")?;
            let host = rest.split('/').next()?;
            let known = ["http", "https"]
                .iter()
                .any(|one| scheme.eq_ignore_ascii_case(one));
            if !known || !host.as_bytes().eq_ignore_ascii_case(&self.ask.host) {
                return None;
            }
            &rest.as_bytes()[host.len()..]
        };
        UploadId::parse(path.strip_prefix(UPLOADS)?)
    }

    fn answer(self) -> Result<Answer, Reply> {
        let method = self.method()?;
        if method == Method::Options {
            let reply = Reply::new(204, Body::Nothing).field("Allow", ALLOW);
            return Ok(describe(&self.site, &self.visit, reply).into());
        }
        self.check_version()?;
        let name = self.ask.path.strip_prefix(UPLOADS).unwrap_or_default();
        let gone = io::Error::from(io::ErrorKind::NotFound);
        let id = self.made(UploadId::parse(name).ok_or_else(|| gone.into()))?;
        match method {
            Method::Head => self.head(id).map(Answer::Reply),
            Method::Patch => self.patch(id),
            Method::Delete => {
                self.made(self.visit.view.terminate_upload(id))?;
                Ok(self.reply(204).into())
            }
            _ => Err(self
                .refuse(405, "an upload is continued by PATCH")
                .field("Allow", ALLOW)),
        }
    }

    /// The method, or the one that stands in for it: some networks let only
    /// POST through.
    fn method(&self) -> Result<Method, Reply> {
        match self.ask.field("X-HTTP-Method-Override") {
            Some(name)
                if self.ask.method == Method::Post && self.ask.field("Tus-Resumable").is_some() =>
            {
                Method::parse(name).map_err(|error| self.misread(&error))
            }
            _ => Ok(self.ask.method),
        }
    }

    fn head(&self, id: UploadId) -> Result<Reply, Reply> {
        let progress = self.made(self.visit.view.upload(id))?;
        let mut reply = self.reply(200);
        reply.body = Body::Bytes(Vec::new());
        reply = match progress.length {
            Some(length) => reply.field("Upload-Length", length.to_string()),
            None => reply.field("Upload-Defer-Length", DEFERRED),
        };
        for (name, note) in [
            ("Upload-Metadata", &progress.notes.metadata),
            ("Upload-Concat", &progress.notes.concat),
        ] {
            if let Some(note) = note {
                reply = reply.field(name, note.as_str());
            }
        }
        Ok(self.stands(reply, &progress))
    }

    fn patch(self, id: UploadId) -> Result<Answer, Reply> {
        self.check_media_type()?;
        let offset = self.read("Upload-Offset", length)?;
        let offset = offset.ok_or_else(|| self.refuse(400, "Upload-Offset is missing"))?;
        let length = self.read("Upload-Length", length)?;
        let check = self.checksum()?;
        let announced = self.ask.length;
        let view = &self.visit.view;
        let appending = self.made(view.append_upload(id, offset, announced, length, check))?;
        Ok(self.take(id, appending, false))
    }

    fn take(self, id: UploadId, appending: Appending, created: bool) -> Answer {
        Answer::Take(Box::new(Receiving {
            talk: self,
            id,
            appending,
            created,
        }))
    }

    /// Removes an upload that its owner never heard of.
    fn forget(&self, id: UploadId) {
        match self.visit.view.terminate_upload(id) {
            Ok(()) => {}
            Err(UploadError::Disk(error)) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => tracing::warn!(upload = %id, %error, "an upload is left behind"),
        }
    }

    fn check_version(&self) -> Result<(), Reply> {
        match self.ask.field("Tus-Resumable") {
            Some(version) if version == VERSION.as_bytes() => Ok(()),
            _ => Err(self
                .refuse(
                    412,
                    "only version 1.0.0 of tus is spoken here; say so in Tus-Resumable",
                )
                .field("Tus-Version", VERSION)),
        }
    }

    fn check_media_type(&self) -> Result<(), Reply> {
        if has_media_type(&self.ask, CONTENT_TYPE.as_bytes()) {
            Ok(())
        } else {
            Err(self.refuse(415, &format!("send the bytes as {CONTENT_TYPE}")))
        }
    }

    fn checksum(&self) -> Result<Option<Check>, Reply> {
        let checksum = self.read("Upload-Checksum", Checksum::parse)?;
        Ok(checksum.map(|Checksum { algorithm, digest }| {
            let algorithm = match algorithm {
                Algorithm::Sha1 => checksum::Algorithm::Sha1,
                Algorithm::Sha256 => checksum::Algorithm::Sha256,
                Algorithm::Md5 => checksum::Algorithm::Md5,
                Algorithm::Crc32 => checksum::Algorithm::Crc32,
            };
            Check::new(algorithm, digest)
        }))
    }

    /// A field, read.
    fn read<'s, T>(
        &'s self,
        name: &str,
        parse: impl FnOnce(&'s [u8]) -> Result<T, Error>,
    ) -> Result<Option<T>, Reply> {
        let value = self.ask.field(name).map(parse);
        value.transpose().map_err(|error| self.misread(&error))
    }

    fn misread(&self, error: &Error) -> Reply {
        self.refuse(error.status, error.reason)
    }

    fn made<T>(&self, result: Result<T, UploadError>) -> Result<T, Reply> {
        result.map_err(|error| self.refusal(&error))
    }

    fn did<T>(&self, result: io::Result<T>) -> Result<T, Reply> {
        self.made(result.map_err(UploadError::Disk))
    }

    /// What hinders an upload, as a reply.
    fn refusal(&self, error: &UploadError) -> Reply {
        let status = match error {
            UploadError::Offset(offset) => {
                let reply = self.refuse(409, &error.to_string());
                return reply.field("Upload-Offset", offset.to_string());
            }
            UploadError::TooLong => 413,
            UploadError::Mismatch => 460,
            UploadError::Taken => {
                return self
                    .refuse(423, &error.to_string())
                    .field("Retry-After", "1");
            }
            UploadError::Length | UploadError::NotPartial => 400,
            UploadError::Joined => 403,
            UploadError::Unfinished => 409,
            UploadError::TooMany(_) => 507,
            UploadError::Disk(error) => return self.disk_refusal(error),
        };
        self.refuse(status, &error.to_string())
    }

    fn disk_refusal(&self, error: &io::Error) -> Reply {
        use io::ErrorKind as Is;
        if let Some(lacks) = Lacks::of(error) {
            return mark(self.visit.lacking(&self.site, &self.ask, lacks, "this"));
        }
        let (status, text) = match error.kind() {
            Is::NotFound => (
                404,
                "there is no such upload or folder; it may have expired",
            ),
            Is::AlreadyExists => (412, "there is a file of this name already"),
            Is::IsADirectory => (409, "there is a folder of this name"),
            Is::NotADirectory => (409, "a file is where a folder would have to be"),
            Is::FileTooLarge => return self.refuse(413, &too_large(&self.visit, &self.ask)),
            Is::QuotaExceeded => (507, "this is more than your quota has room for"),
            Is::StorageFull => (507, "the disk is full"),
            Is::ReadOnlyFilesystem => (403, "the disk can only be read"),
            Is::Unsupported => (
                403,
                "only one file is shared, and nothing can be put beside it",
            ),
            Is::PermissionDenied => (403, "nothing may be put there"),
            Is::InvalidFilename | Is::InvalidInput => (400, "the disk takes no such name"),
            Is::WouldBlock | Is::Interrupted | Is::ResourceBusy => {
                return self
                    .refuse(503, "busy; try again")
                    .field("Retry-After", "1");
            }
            _ if is_shortage(error) => {
                let text = "the server is short of resources; try again";
                return self.refuse(503, text).field("Retry-After", "5");
            }
            _ => {
                tracing::warn!(%error, "an upload fails");
                (500, "the server cannot write this")
            }
        };
        self.refuse(status, text)
    }

    fn refuse(&self, status: u16, text: &str) -> Reply {
        mark(Reply::refusal(&self.ask, status, text))
    }

    fn reply(&self, status: u16) -> Reply {
        mark(Reply::new(status, Body::Nothing))
    }

    fn created(&self, id: UploadId) -> Reply {
        let location = [
            self.ask.mount.as_bytes(),
            UPLOADS,
            id.to_string().as_bytes(),
        ]
        .concat();
        let mut reply = self.reply(201).field("Location", location);
        reply.body = Body::Bytes(Vec::new());
        reply
    }

    /// Adds how an upload stands.
    fn stands(&self, reply: Reply, progress: &Progress) -> Reply {
        let reply = self.expires(reply, progress.expires);
        // Of what is still being joined, there is nothing to go on at.
        let reply = if progress.role == Role::Joined && progress.finished.is_none() {
            reply
        } else {
            reply.field("Upload-Offset", progress.offset.to_string())
        };
        match &progress.finished {
            Some(path) => {
                let mut url = self.ask.mount.clone();
                path.url_path(false, &mut url);
                reply.field("Content-Location", url)
            }
            None => reply,
        }
    }

    fn expires(&self, reply: Reply, at: Option<std::time::SystemTime>) -> Reply {
        // What lies beyond the year 9999 has no date.
        const LAST: u64 = 253_402_300_799;
        let at = at.filter(|at| {
            at.duration_since(std::time::SystemTime::UNIX_EPOCH)
                .is_ok_and(|since| since.as_secs() <= LAST)
        });
        match at {
            Some(at) => reply.field("Upload-Expires", httpdate::fmt_http_date(at)),
            None => reply,
        }
    }
}

/// What holds of every reply of this protocol.
fn mark(reply: Reply) -> Reply {
    reply
        .field("Tus-Resumable", VERSION)
        .field("Cache-Control", "no-store")
}

/// Takes in the bytes of one request.
struct Receiving {
    talk: Talk,
    id: UploadId,
    appending: Appending,
    /// Whether this request also began the upload: nobody knows of it before
    /// the reply.
    created: bool,
}

impl Intake<Reply> for Receiving {
    fn take(&mut self, bytes: &[u8]) -> Result<(), Reply> {
        let Err(error) = self.appending.write(bytes) else {
            return Ok(());
        };
        if self.created {
            self.talk.forget(self.id);
        }
        Err(self.talk.refusal(&error))
    }

    fn end(self: Box<Self>) -> Reply {
        let Self {
            talk,
            id,
            appending,
            created,
        } = *self;
        match appending.finish() {
            Ok(progress) if created => talk.stands(talk.created(id), &progress),
            Ok(progress) => talk.stands(talk.reply(204), &progress),
            Err(error) => {
                if created {
                    talk.forget(id);
                }
                talk.refusal(&error)
            }
        }
    }

    fn cut(self: Box<Self>) {
        if self.created {
            self.talk.forget(self.id);
        }
    }
}

/// Where an upload shall be, by `filename` and `relativePath`: the path of a
/// file in a folder that was dropped, as browsers have it, with the file's name
/// at its end (or with a slash there). `None` where there is no name.
fn target(folder: &RelPath, metadata: &Metadata<'_>) -> Result<Option<RelPath>, BadPath> {
    let given = |key: &str| metadata.value(key).filter(|value| !value.is_empty());
    let name = given("filename");
    let path = given("relativePath").filter(|path| *path != NO_PATH);
    let Some(path) = path.map(|path| path.strip_prefix(b"/").unwrap_or(path)) else {
        return name.map(|name| step(folder, name)).transpose();
    };
    let (folders, last) = match path.iter().rposition(|&byte| byte == b'/') {
        Some(0) => return Err(BadPath::NotAName),
        Some(slash) => (&path[..slash], &path[slash + 1..]),
        None => (&path[..0], path),
    };
    let mut target = folder.clone();
    if !folders.is_empty() {
        for folder in folders.split(|&byte| byte == b'/') {
            target = step(&target, folder)?;
        }
    }
    if !last.is_empty() {
        // Even if the name has the last word: who sends such a path errs.
        step(&target, last)?;
    }
    step(&target, name.unwrap_or(last)).map(Some)
}

/// One step down, to a name that every client can write.
fn step(folder: &RelPath, name: &[u8]) -> Result<RelPath, BadPath> {
    if name.iter().any(u8::is_ascii_control) {
        return Err(BadPath::Control);
    }
    if name.contains(&b'\\') {
        return Err(BadPath::Separator);
    }
    folder.join(name)
}

/// `lastModified`: milliseconds since 1970, as browsers have it, or a time as
/// RFC 3339 writes it. What is neither is no reason to refuse a file.
fn modified(value: &[u8]) -> Option<Modified> {
    let text = str::from_utf8(value).ok()?.trim();
    let time = match text.parse::<i64>() {
        Ok(milliseconds) => jiff::Timestamp::from_millisecond(milliseconds).ok()?,
        Err(_) => text.parse::<jiff::Timestamp>().ok()?,
    };
    // Of a time before 1970 the fraction counts back.
    let nanos = time.subsec_nanosecond();
    let (secs, nanos) = if nanos < 0 {
        (time.as_second() - 1, nanos + 1_000_000_000)
    } else {
        (time.as_second(), nanos)
    };
    Some(Modified {
        secs,
        nanos: u32::try_from(nanos).ok()?,
    })
}

#[cfg(test)]
mod tests {
    use hythe_wire::http::tus::write_metadata;

    use super::*;

    fn named(pairs: &[(&str, &[u8])]) -> Result<Option<Vec<u8>>, BadPath> {
        let mut text = Vec::new();
        write_metadata(&mut text, pairs.iter().copied());
        let folder = RelPath::root().join(b"in").unwrap();
        let target = target(&folder, &Metadata::parse(&text).unwrap())?;
        Ok(target.map(|path| path.as_bytes().to_vec()))
    }

    #[test]
    fn metadata_name_a_file_in_the_folder() {
        let wanted = |path: &[u8]| Ok(Some(path.to_vec()));
        assert_eq!(named(&[]), Ok(None));
        assert_eq!(named(&[("filename", b"")]), Ok(None));
        assert_eq!(named(&[("filename", b"a b")]), wanted(b"in/a b"));
        assert_eq!(named(&[("filename", b"\xff")]), wanted(b"in/\xff"));
        let both = |path: &[u8], name: &[u8]| named(&[("relativePath", path), ("filename", name)]);
        assert_eq!(both(b"x/y/a", b"a"), wanted(b"in/x/y/a"));
        assert_eq!(both(b"/x/y/a", b"a"), wanted(b"in/x/y/a"));
        assert_eq!(both(b"x/y/", b"a"), wanted(b"in/x/y/a"));
        assert_eq!(both(b"x/y/b", b"a"), wanted(b"in/x/y/a"));
        assert_eq!(both(b"null", b"a"), wanted(b"in/a"));
        assert_eq!(both(b"", b"a"), wanted(b"in/a"));
        assert_eq!(both(b"a", b"a"), wanted(b"in/a"));
        assert_eq!(named(&[("relativePath", b"x/a")]), wanted(b"in/x/a"));
    }

    #[test]
    fn metadata_never_lead_elsewhere() {
        for name in [
            &b".."[..],
            b".",
            b"/",
            b"/etc/passwd",
            b"../x",
            b"a/b",
            b"a\\b",
            b"..\\x",
            b"a\0b",
            b"a\nb",
            b"a\x7f",
            &[b'a'; 256],
        ] {
            assert!(named(&[("filename", name)]).is_err(), "{name:?}");
        }
        for path in [
            &b"../a"[..],
            b"x/../../a",
            b"x/./a",
            b"x//a",
            b"//x/a",
            b"//x",
            b"x\\..\\a",
            b"x/..",
            b"..",
            b"x\0/a",
            b"x\r/a",
        ] {
            assert!(named(&[("relativePath", path)]).is_err(), "{path:?}");
        }
        assert!(named(&[("relativePath", b"x/"), ("filename", b"..")]).is_err());
        assert!(named(&[("relativePath", b"x/")]).is_err());
        assert!(named(&[("relativePath", b"x/.."), ("filename", b"a")]).is_err());
    }

    #[test]
    fn times_are_milliseconds_or_rfc_3339() {
        let time = |secs, nanos| Some(Modified { secs, nanos });
        for (text, wanted) in [
            ("1700000000123", time(1_700_000_000, 123_000_000)),
            ("0", time(0, 0)),
            ("-1", time(-1, 999_000_000)),
            ("2023-11-14T22:13:20.5Z", time(1_700_000_000, 500_000_000)),
            ("2023-11-14T23:13:20+01:00", time(1_700_000_000, 0)),
            ("9223372036854775807", None),
            ("yesterday", None),
            ("undefined", None),
            ("", None),
        ] {
            assert_eq!(modified(text.as_bytes()), wanted, "{text}");
        }
    }
}
