//! A client of HTTP/1.1 (RFC 9110, RFC 9112).
//!
//! ```text
//!   ask ─► Connection: kept, or opened anew (directly, or through a proxy)
//!            │  head out, head in
//!            ├─ 301 302 303 307 308 ─► ask there (downloads), or say where
//!            └─ an Answer, and a body that waits to be poured
//! ```
//!
//! In scope: downloads of whole files and parts, listings of folders as several
//! servers show them, uploads by PUT and by tus, the methods of WebDAV that
//! change files, redirects, proxies, Basic authentication.
//!
//! Out of scope: HTTP/2, cookies, other kinds of authentication, PROPFIND.

mod answer;
mod body;
mod change;
mod connection;
mod download;
mod folder;
mod listing;
mod proxy;
mod redirect;
mod tus;
mod zstd;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use hythe_net::reactor::timeout;
use hythe_net::{More, Sink};
use hythe_wire::http::{Body, Head, Method};

use super::dial::connector;
use super::{
    Ask, Begun, Content, Entry, Error, Kind, Later, Login, Meter, Opening, Options, Reason, Remote,
    RemotePath, Result, Upload, Url,
};
use crate::tls::Connector;
use answer::shown;
use body::{Coding, End, Framed, Kept};
use connection::{Connection, Outgoing};
use proxy::basic;
use redirect::{absolute, leaves_tls, resolve, target};

pub(crate) use answer::Answer;
pub(crate) use connection::{
    CONTINUE, LAST_WORD, MAX_INTERIM, channel_to, hear, is_silent, receive,
};

pub use proxy::Proxies;

/// How many redirects are followed: more than any honest server needs.
const MAX_REDIRECTS: usize = 10;

/// The longest body that is read just to use its connection again: a page that
/// says what went wrong.
const WORTH_READING: usize = 64 * 1024;

/// How long that may take: longer than a new connection would.
const READING: Duration = Duration::from_secs(1);

/// How much is read of what a server says of an error: a sentence or two.
const WORDS: usize = 4096;

/// From which length on, in bytes, a server is asked first whether it wants a
/// body: on a fast link, sending it costs less than asking.
const EXPECT_FROM: u64 = 1024 * 1024;

/// A session with a server of HTTP. It connects when it has to.
///
/// ```
/// use hythe::client::{Ask, HttpClient, Options, Remote, Url};
/// use hythe_net::{Reactor, mux::Epoll};
/// # use std::{io::{Read, Write}, net::TcpListener};
/// # let server = TcpListener::bind("127.0.0.1:0")?;
/// # let address = server.local_addr()?;
/// # std::thread::spawn(move || {
/// #     let (mut stream, _) = server.accept().unwrap();
/// #     stream.read(&mut [0; 4096]).unwrap();
/// #     stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n").unwrap();
/// # });
///
/// let url = Url::parse(&format!("http://{address}/river.txt"))?;
/// let mut client = HttpClient::connect(url.clone(), Options::default())?;
/// let opening = Reactor::new(Epoll::edge()?)?.block_on(async {
///     let head = Ask {
///         head_only: true,
///         ..Ask::default()
///     };
///     client.open(&url.path, &head).await
/// })??;
/// assert_eq!(opening.total, Some(5));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct HttpClient {
    url: Url,
    options: Options,
    login: Option<Login>,
    proxies: Proxies,
    /// Made once: it keeps the sessions of TLS.
    connector: Option<Connector>,
    /// Of which, if there is one, the last answer's body may still be to come.
    connection: Option<Connection>,
    pending: Option<Pending>,
    /// Whether the last request said who we are.
    named: bool,
    /// Whether the server offers tus, once that is known.
    tus: Option<bool>,
}

/// A body that waits to be poured.
struct Pending {
    body: Body,
    coding: Coding,
    /// How many bytes it must come to, if that is known besides.
    announced: Option<u64>,
    keep_alive: bool,
}

/// A request, but for what is the same in all of them.
#[derive(Debug)]
struct Request {
    method: Method,
    url: Url,
    fields: Vec<(&'static str, Vec<u8>)>,
    body: Option<Vec<u8>>,
}

impl Request {
    fn new(method: Method, url: Url) -> Self {
        Self {
            method,
            url,
            fields: Vec::new(),
            body: None,
        }
    }

    fn field(mut self, name: &'static str, value: impl Into<Vec<u8>>) -> Self {
        self.fields.push((name, value.into()));
        self
    }

    fn body(mut self, body: Vec<u8>) -> Self {
        self.body = Some(body);
        self
    }
}

impl HttpClient {
    /// A session with the server of `url`, through the proxy that the
    /// environment names, if it does.
    ///
    /// # Errors
    /// [`Reason::Local`] where the certificates to trust can't be read.
    pub fn connect(url: Url, options: Options) -> Result<Self> {
        Self::connect_through(url, options, Proxies::from_environment())
    }

    /// As [`connect`](Self::connect), through these proxies.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub fn connect_through(url: Url, options: Options, proxies: Proxies) -> Result<Self> {
        let mut client = Self {
            login: options.credentials.login(&url),
            url,
            options,
            proxies,
            connector: None,
            connection: None,
            pending: None,
            named: false,
            tus: None,
        };
        if client.url.scheme == super::Scheme::Https {
            client.connector = Some(connector(&client.options, Some("http/1.1"))?);
        }
        Ok(client)
    }

    fn at(&self, path: &RemotePath) -> Url {
        self.url.with_path(path.clone())
    }

    // --- One exchange ---

    /// Sends a request and reads the head of its answer. A connection that was
    /// kept may have been closed meanwhile; then it is sent once more.
    async fn ask(&mut self, request: &Request) -> Result<Answer> {
        loop {
            let (mut connection, kept) = self.connection_for(&request.url).await?;
            let mut bytes = self.head(request, &connection, None, false);
            bytes.extend_from_slice(request.body.as_deref().unwrap_or_default());
            let answer = match connection.say(&bytes, More::No).await {
                Ok(()) => connection.read_head(request.method).await,
                Err(error) => Err(error),
            };
            match answer {
                Ok(answer) => {
                    self.keep(connection, &answer);
                    return Ok(answer);
                }
                Err(error)
                    if kept
                        && connection.heard_nothing()
                        && request.body.is_none()
                        && error.reason == Reason::Lost
                        // Who only takes long may have heard it.
                        && error != Error::lost(&io::ErrorKind::TimedOut.into()) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Sends a request with a body that has to be read from somewhere.
    async fn upload(&mut self, request: &Request, outgoing: Outgoing<'_>) -> Result<Answer> {
        let (mut connection, _) = self.connection_for(&request.url).await?;
        let length = outgoing.length();
        let expects = length.is_some_and(|length| length > EXPECT_FROM);
        let again = match &outgoing.content {
            Content::File(file, range) if expects => Some((Arc::clone(file), range.clone())),
            _ => None,
        };
        let (meter, sent) = (outgoing.meter, outgoing.sent);
        let head = self.head(request, &connection, Some(length), expects);
        let answer = connection.upload(request.method, &head, expects, outgoing);
        let mut answer = answer.await?;
        // There are servers that know only how to refuse it.
        if let (417, Some((file, range))) = (answer.status, again) {
            (connection, _) = self.connection_for(&request.url).await?;
            let head = self.head(request, &connection, Some(length), false);
            let content = Content::File(file, range);
            let outgoing = Outgoing {
                content,
                meter,
                sent,
            };
            let second = connection.upload(request.method, &head, false, outgoing);
            answer = second.await?;
        }
        self.keep(connection, &answer);
        Ok(answer)
    }

    /// A connection to where `url` is, and whether it was used before.
    async fn connection_for(&mut self, url: &Url) -> Result<(Connection, bool)> {
        self.settle().await;
        let kept = self.connection.take();
        if let Some(kept) = kept.filter(|kept| kept.is_fit_for(url)) {
            return Ok((kept, true));
        }
        let proxy = self.proxies.to(url)?;
        let (options, known) = (&self.options, &mut self.connector);
        let connector = || match known {
            Some(connector) => Ok(connector.clone()),
            None => Ok(known.insert(connector(options, Some("http/1.1"))?).clone()),
        };
        let connection = Connection::open(url, proxy, options, connector).await?;
        Ok((connection, false))
    }

    /// The head of a request. `sized` is there if a body of this length, or of
    /// one that is not known, will follow.
    fn head(
        &mut self,
        request: &Request,
        connection: &Connection,
        sized: Option<Option<u64>>,
        expects: bool,
    ) -> Vec<u8> {
        let mut out = Vec::new();
        let url = &request.url;
        let target = match connection.proxy() {
            Some(_) => absolute(url),
            None => target(&url.path),
        };
        let mut head = Head::request(&mut out, request.method, target.as_bytes())
            .field("Host", url.authority().as_bytes())
            .field(
                "User-Agent",
                concat!("hythe/", env!("CARGO_PKG_VERSION")).as_bytes(),
            );
        // Nobody but the server that the login is for hears of it.
        let login = self
            .login
            .as_ref()
            .filter(|login| login.password.is_some() && url.is_same_origin(&self.url));
        self.named = login.is_some();
        if let Some(login) = login {
            head = head.field("Authorization", &basic(login));
        }
        let proxy = connection.proxy();
        if let Some(authorization) = proxy.and_then(|proxy| proxy.authorization.as_ref()) {
            head = head.field("Proxy-Authorization", authorization);
        }
        for (name, value) in &request.fields {
            head = head.field(name, value);
        }
        if expects {
            head = head.field("Expect", b"100-continue");
        }
        head = match (sized, &request.body) {
            (Some(Some(length)), _) => head.length(length),
            (Some(None), _) => head.field("Transfer-Encoding", b"chunked"),
            (None, Some(body)) => head.length(body.len() as u64),
            (None, None) => head,
        };
        head.finish();
        out
    }

    /// Keeps a connection for the body of an answer, or for the next request.
    fn keep(&mut self, connection: Connection, answer: &Answer) {
        self.pending = (answer.body != Body::None).then_some(Pending {
            body: answer.body,
            coding: Coding::Identity,
            announced: None,
            keep_alive: answer.keep_alive,
        });
        let wanted = answer.keep_alive || self.pending.is_some();
        self.connection = wanted.then_some(connection);
    }

    /// Gets a body that nobody asked for out of the way, or its connection.
    async fn settle(&mut self) {
        let short = match self.pending.as_ref().map(|pending| pending.body) {
            None => return,
            Some(Body::Length(length)) => length <= WORTH_READING as u64,
            Some(body) => body == Body::Chunked,
        };
        if short {
            let reading = self.pour(Box::new(Kept::new(WORTH_READING)));
            // How it ends, nobody wants to know.
            timeout(READING, reading).await.ok();
        } else {
            self.give_up();
        }
    }

    /// Leaves a body, and with it the connection.
    fn give_up(&mut self) {
        self.pending = None;
        self.connection = None;
    }

    /// Pours the body that waits.
    async fn pour(&mut self, sink: Box<dyn Sink>) -> Result<End> {
        let Some(pending) = self.pending.take() else {
            return Ok(End::Whole);
        };
        let Some(mut connection) = self.connection.take() else {
            return Ok(End::Whole);
        };
        let framed = Framed::new(pending.body, pending.coding, sink);
        let framed = framed.announced(pending.announced);
        let end = connection.pour(framed).await?;
        if end == End::Whole && pending.keep_alive {
            self.connection = Some(connection);
        }
        Ok(end)
    }

    // --- Redirects and refusals ---

    /// Asks, and goes where the server sends us. Gives where that was.
    async fn follow(&mut self, mut request: Request) -> Result<(Answer, Url)> {
        let mut seen = vec![absolute(&request.url)];
        loop {
            let answer = self.ask(&request).await?;
            if !answer.is_redirect() {
                return Ok((answer, request.url));
            }
            let url = redirected(&request.url, &answer)?;
            let address = absolute(&url);
            if seen.contains(&address) {
                return Err(Error::protocol(format!(
                    "the server redirects in a circle, back to {url}"
                )));
            }
            if seen.len() > MAX_REDIRECTS {
                return Err(Error::protocol(format!(
                    "there are more than {MAX_REDIRECTS} redirects, the last to {url}"
                )));
            }
            seen.push(address);
            request.url = url;
        }
    }

    /// As [`follow`](Self::follow), for what changes something: only where the
    /// server says that the same is to be asked of itself at another address.
    async fn change(&mut self, mut request: Request) -> Result<Answer> {
        for _ in 0..=MAX_REDIRECTS {
            let answer = self.ask(&request).await?;
            match self.moved(&request.url, &answer)? {
                Some(url) => request.url = url,
                None => return Ok(answer),
            }
        }
        Err(Error::protocol("the server redirects without an end"))
    }

    /// Where a change is to be asked for instead.
    fn moved(&self, from: &Url, answer: &Answer) -> Result<Option<Url>> {
        if !answer.is_redirect() {
            return Ok(None);
        }
        let url = redirected(from, answer)?;
        let same = matches!(answer.status, 307 | 308) && url.is_same_origin(&self.url);
        if same {
            Ok(Some(url))
        } else {
            Err(Error::protocol(format!(
                "the server redirects to {url}; if that is right, ask there"
            )))
        }
    }

    /// What it means that an answer is no success.
    async fn refused(&mut self, answer: Answer) -> Error {
        let media_type = answer.media_type();
        let said = match media_type.as_str() {
            "text/plain" | "application/json" => self.words().await,
            _ => Vec::new(),
        };
        let said = if media_type == "application/json" {
            let value = serde_json::from_slice::<serde_json::Value>(&said);
            let error = value
                .ok()
                .and_then(|value| Some(value.get("error")?.as_str()?.to_owned()));
            error.unwrap_or_default().into_bytes()
        } else {
            said
        };
        let line = said.split(|byte| *byte == b'\n').next();
        let line = shown(line.unwrap_or_default());
        // Some begin with the status once more, or say nothing else.
        let said = line.strip_prefix(&answer.line()).unwrap_or(&line);
        let said = said.trim_start_matches([':', ' ']);
        let error = answer.refusal(said, self.named);
        if answer.status == 401 && !self.named && self.password_is_known() {
            let text = "it redirects to another server, which asks for a password; ask there";
            return Error::new(error.reason, text);
        }
        error
    }

    fn password_is_known(&self) -> bool {
        let login = self.login.as_ref();
        login.is_some_and(|login| login.password.is_some())
    }

    /// What the body says, if that is short.
    async fn words(&mut self) -> Vec<u8> {
        let kept = Kept::new(WORDS);
        let reading = self.pour(Box::new(kept.clone()));
        timeout(READING, reading).await.ok();
        kept.into_bytes()
    }

    /// The same for uploads.
    async fn refused_upload(&mut self, answer: Answer) -> Error {
        let status = answer.status;
        let mut error = self.refused(answer).await;
        match status {
            405 | 501 => {
                error.text = format!("this server takes no uploads there ({})", error.text);
            }
            // There is something else, or no folder to put it into.
            409 => error.reason = Reason::Exists,
            _ => {}
        }
        error
    }
}

/// Where an answer sends us, if we may go there.
fn redirected(from: &Url, answer: &Answer) -> Result<Url> {
    let location = answer
        .field("Location")
        .ok_or_else(|| Error::protocol("the server redirects without saying where to"))?;
    let url = resolve(from, location).map_err(|why| {
        let location = shown(location);
        Error::protocol(format!(
            "the server redirects to {location}, which is not followed: {why}"
        ))
    })?;
    if leaves_tls(from, &url) {
        return Err(Error::protocol(format!(
            "the server redirects from https to {url}, which anybody on the way could read"
        )));
    }
    Ok(url)
}

impl Remote for HttpClient {
    fn list<'a>(&'a mut self, folder: &'a RemotePath) -> Later<'a, Vec<Entry>> {
        Box::pin(self.list_folder(folder))
    }

    fn stat<'a>(&'a mut self, path: &'a RemotePath) -> Later<'a, Entry> {
        Box::pin(self.stat_path(path))
    }

    fn open<'a>(&'a mut self, path: &'a RemotePath, ask: &'a Ask) -> Later<'a, Opening> {
        Box::pin(self.open_file(path, ask))
    }

    fn receive<'a>(&'a mut self, sink: Box<dyn Sink>) -> Later<'a, ()> {
        Box::pin(async move { self.pour(sink).await.map(drop) })
    }

    fn begin_upload<'a>(
        &'a mut self,
        path: &'a RemotePath,
        upload: &'a Upload,
        token: Option<&'a str>,
    ) -> Later<'a, Begun> {
        Box::pin(async move {
            if self.offers_tus(&path.parent()).await? {
                return self.begin_tus(path, upload, token).await;
            }
            Ok(Begun {
                length: upload.length,
                modified: upload.modified,
                ..Begun::default()
            })
        })
    }

    fn send<'a>(
        &'a mut self,
        path: &'a RemotePath,
        begun: &'a Begun,
        content: Content,
        meter: &'a Meter,
    ) -> Later<'a, ()> {
        Box::pin(async move {
            match &begun.token {
                Some(token) => self.send_tus(token, begun, content, meter).await,
                None => self.put(path, begun, content, meter).await,
            }
        })
    }

    fn remove<'a>(&'a mut self, path: &'a RemotePath, kind: Kind) -> Later<'a, ()> {
        Box::pin(self.remove_path(path, kind))
    }

    fn make_folder<'a>(&'a mut self, path: &'a RemotePath) -> Later<'a, ()> {
        Box::pin(self.make(path))
    }

    fn rename<'a>(&'a mut self, from: &'a RemotePath, to: &'a RemotePath) -> Later<'a, ()> {
        Box::pin(self.relocate(from, to))
    }

    fn register<'a>(&'a mut self, name: &'a str, password: &'a [u8]) -> Later<'a, ()> {
        Box::pin(self.sign_up(name, password))
    }

    fn log_in<'a>(&'a mut self, login: Login) -> Later<'a, ()> {
        Box::pin(self.go_on_as(login))
    }

    fn close<'a>(&'a mut self) -> Later<'a, ()> {
        Box::pin(async move {
            if self.pending.is_some() {
                // What still comes, nobody waits for.
                self.give_up();
            }
            if let Some(connection) = self.connection.take() {
                connection.close().await;
            }
            Ok(())
        })
    }
}

/// Without the password.
impl std::fmt::Debug for HttpClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HttpClient")
            .field("url", &self.url.to_string())
            .finish_non_exhaustive()
    }
}
