//! What CGI and FastCGI have in common: which script a path means, what it is
//! told, and how its output becomes a response.
//!
//! ```text
//!   path ─► find ─► variables ─► Application ──────► answer ─► Response
//!                                  ▲      output       head, then the body
//!                     Feeding ─────┘                   as it comes
//!                  (the request's body)
//! ```

mod cgi;
mod fastcgi;
mod feeding;
mod script;
mod worker;

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use ::http::header::{AUTHORIZATION, CONTENT_LENGTH, RETRY_AFTER};
use ::http::{HeaderName, HeaderValue, Method, StatusCode, Version};
use bytes::{Buf as _, Bytes, BytesMut};
use futures_lite::stream;
use hythe_net::Addr;
use hythe_wire::http::FieldStorage;
use hythe_wire::http::cgi::{Meta, ScriptHead, Variable};
use percent_encoding::percent_decode_str;

use super::{Body, Error, Incoming, Request, Response, Writer};
use crate::accounts::Account;
use crate::share::{Access, RelPath, Share, View};

pub use cgi::Cgi;
pub use fastcgi::FastCgi;
use feeding::Feeding;

/// How much of an application's output is read at a time.
const PIECE: usize = 16 * 1024;

/// The most that an application may answer where nobody has said otherwise: more
/// than pages and pictures have, and a limit for one that never ends.
pub const OUTPUT_LIMIT: u64 = 256 * 1024 * 1024;

/// A script that a path means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    /// Where it is below the folder.
    script: RelPath,
    /// What stands behind it in the path, with its slash; or nothing.
    path_info: Vec<u8>,
    /// Its permission bits.
    mode: u32,
}

/// Finds the first file on the way down that is wanted by its path; what follows
/// is for it to make sense of. Nothing that leaves the folder is found, and
/// nothing behind a file that is not wanted.
fn find(
    view: &View,
    path: &RelPath,
    is_folder: bool,
    is_wanted: impl Fn(&RelPath) -> bool,
) -> io::Result<Option<Found>> {
    let mut script = RelPath::root();
    let mut names = path.components();
    while let Some(name) = names.next() {
        let Ok(next) = script.join(name) else {
            return Ok(None);
        };
        script = next;
        let meta = match view.metadata(&script) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            meta => meta?,
        };
        if meta.is_folder() {
            continue;
        }
        if !is_wanted(&script) {
            return Ok(None);
        }
        let mut path_info = Vec::new();
        for name in names {
            path_info.push(b'/');
            path_info.extend_from_slice(name);
        }
        if is_folder {
            path_info.push(b'/');
        }
        return Ok(Some(Found {
            script,
            path_info,
            mode: meta.mode,
        }));
    }
    Ok(None)
}

/// Where scripts are: the folder as it is contained, and as they are told it.
#[derive(Clone, Debug)]
struct Scripts {
    view: View,
    root: PathBuf,
}

impl Scripts {
    fn open(folder: &Path) -> io::Result<Self> {
        Ok(Self {
            view: Share::open(folder)?.view(Access::Read),
            root: fs::canonicalize(folder)?,
        })
    }

    fn file(&self, found: &Found) -> PathBuf {
        self.root.join(OsStr::from_bytes(found.script.as_bytes()))
    }

    /// What a script is told of a request.
    fn variables(&self, found: &Found, request: &Request) -> Vec<Variable> {
        let mut script_name: Vec<u8> = percent_decode_str(request.base()).collect();
        script_name.push(b'/');
        script_name.extend_from_slice(found.script.as_bytes());
        let target = request.uri().path_and_query();
        let target = target.map_or("*", |target| target.as_str());
        let file = self.file(found);
        let local = request.local();
        let address = |address: Option<&Addr>| {
            let ip = address.and_then(Addr::ip);
            // As nginx has it, of who comes from this machine by a Unix socket.
            ip.map_or_else(|| "unix:".to_owned(), |ip| ip.to_string())
        };
        let (local_address, remote_address) =
            (address(local.as_ref()), address(Some(request.peer())));
        let account = request.extensions().get::<Account>();
        let scheme = match request.headers().contains_key(AUTHORIZATION) {
            true => "Basic",
            false => "Cookie",
        };
        let said = request.headers().contains_key(CONTENT_LENGTH);
        let meta = Meta {
            method: request.method().as_str(),
            target: target.as_bytes(),
            script_name: &script_name,
            path_info: &found.path_info,
            query: request.query_string().unwrap_or_default().as_bytes(),
            script_filename: file.as_os_str().as_bytes(),
            document_root: self.root.as_os_str().as_bytes(),
            protocol: match request.version() {
                Version::HTTP_10 => "HTTP/1.0",
                _ => "HTTP/1.1",
            },
            is_encrypted: request.is_encrypted(),
            local_address: &local_address,
            local_port: local.and_then(|local| local.port()).unwrap_or_default(),
            remote_address: &remote_address,
            remote_port: request.peer().port().unwrap_or_default(),
            user: account.map(|account| (scheme, &*account.name)),
            length: request.length().filter(|length| *length > 0 || said),
            software: concat!("hythe/", env!("CARGO_PKG_VERSION")),
        };
        let fields: Vec<_> = request
            .headers()
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_bytes()))
            .collect();
        meta.variables(fields.iter().copied())
    }
}

/// Has a body whose length nobody has said collected: a script must be told the
/// length before it reads. More than [`BODY_LIMIT`](super::BODY_LIMIT) is refused
/// (413): who sends more can say how much.
async fn collected(mut request: Request) -> Result<Request, Error> {
    if request.length().is_some() {
        return Ok(request);
    }
    let body = request.bytes().await?;
    Ok(request.with_body(Incoming::from_bytes(body)))
}

/// What answers a request by its output.
trait Application: 'static {
    /// The next of its output, never empty; `None` is the end of all there is.
    ///
    /// # Errors
    /// There is no more, and it is not all: why, as a client may be told. The log
    /// has been told already.
    async fn output(&mut self) -> Result<Option<Bytes>, Error>;

    /// Nobody wants more of its output, which was whole.
    fn let_go(self);
}

/// What is to be known of a request when an application answers it.
struct Asked {
    /// What the application is called in the log.
    name: String,
    method: Method,
    /// How many bytes it may answer.
    most: u64,
}

impl Asked {
    fn too_much(&self) -> Error {
        let most = self.most;
        tracing::warn!(program = self.name, most, "ended, since it does not stop");
        bad_gateway("the program has answered more than it may")
    }
}

/// Makes a response of an application's output. A redirect to a path of this
/// server (RFC 3875 section 6.2.2) is one for the client, as in lighttpd: nobody
/// here knows who answers there, and the client sees where it is.
async fn answer(mut application: impl Application, asked: Asked) -> Result<Response, Error> {
    let mut received = BytesMut::new();
    let Begun {
        mut response,
        length,
        ..
    } = loop {
        let Some(bytes) = application.output().await? else {
            tracing::warn!(program = asked.name, "ended without a whole head");
            return Err(bad_gateway("the program has ended without an answer"));
        };
        received.extend_from_slice(&bytes);
        let parsed = begin(&received).map_err(|reason| {
            tracing::warn!(program = asked.name, reason, "its answer is none of CGI");
            bad_gateway("the program has answered something else than CGI; it is in the log")
        })?;
        if let Some(begun) = parsed {
            received.advance(begun.used);
            break begun;
        }
    };
    let first = received.freeze();
    let status = response.status();
    let without_body = asked.method == Method::HEAD
        || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    if without_body {
        let mut count = first.len() as u64;
        while let Some(bytes) = application.output().await? {
            count += bytes.len() as u64;
            if count > asked.most {
                return Err(asked.too_much());
            }
        }
        if status == StatusCode::NO_CONTENT {
            return Ok(response);
        }
        if let Some(length) = length {
            let headers = response.headers_mut();
            headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
            return Ok(response);
        }
        if status == StatusCode::NOT_MODIFIED {
            return Ok(response);
        }
        // How long it would be, nobody has said.
        return Ok(response.with_body(Body::stream(stream::empty())));
    }
    let body = Body::write(|writer| pass(application, asked, first, length, writer));
    let body = match length {
        Some(length) => body.with_length(length),
        None => body,
    };
    Ok(response.with_body(body))
}

/// A response, as far as its head tells of it.
struct Begun {
    response: Response,
    /// How long its body is, if that was said.
    length: Option<u64>,
    /// How long the head is.
    used: usize,
}

/// The response whose head is at the front of `bytes`; nothing if that is not
/// complete.
fn begin(bytes: &[u8]) -> Result<Option<Begun>, &'static str> {
    let mut storage = FieldStorage::new();
    let parsed = ScriptHead::parse(bytes, &mut storage).map_err(|error| error.reason)?;
    let Some((head, used)) = parsed else {
        return Ok(None);
    };
    // It is from 200 to 599.
    let status = StatusCode::from_u16(head.status).unwrap_or(StatusCode::OK);
    let mut response = Response::new(status);
    for (name, value) in head.passed() {
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| "malformed field name")?;
        let value = HeaderValue::from_bytes(value).map_err(|_| "malformed field value")?;
        response.headers_mut().append(name, value);
    }
    Ok(Some(Begun {
        response,
        length: head.length,
        used,
    }))
}

/// Passes the body on, as it comes and at the pace of the client.
async fn pass(
    mut application: impl Application,
    asked: Asked,
    first: Bytes,
    length: Option<u64>,
    mut writer: Writer,
) -> io::Result<()> {
    let broken = |error: &Error| io::Error::other(error.text().to_owned());
    let (mut piece, mut sent) = (first, 0);
    loop {
        if let Some(length) = length {
            let left = length - sent;
            if piece.len() as u64 > left {
                tracing::warn!(
                    program = asked.name,
                    length,
                    "it says more than it said it would"
                );
                piece.truncate(left as usize);
            }
        }
        sent += piece.len() as u64;
        if sent > asked.most {
            return Err(broken(&asked.too_much()));
        }
        writer.send(piece).await?;
        if length == Some(sent) {
            application.let_go();
            return Ok(());
        }
        match application.output().await {
            Ok(Some(bytes)) => piece = bytes,
            Ok(None) => return Ok(()),
            Err(error) => return Err(broken(&error)),
        }
    }
}

fn bad_gateway(text: &'static str) -> Error {
    Error::new(StatusCode::BAD_GATEWAY, text)
}

/// What is said where there is no room for another.
fn overloaded(text: &'static str) -> Error {
    Error::new(StatusCode::SERVICE_UNAVAILABLE, text).with_header(RETRY_AFTER, "1")
}
