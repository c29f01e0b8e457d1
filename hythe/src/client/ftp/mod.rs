//! An FTP client (RFC 959, 1738, 2228, 2389, 2428, 3659, 4217).
//!
//! ```text
//!   FtpClient ── ready ──► Session ─┬─ Control: a command, its reply
//!       ▲                           └─ Transfer: a data connection, until
//!       └────── kept if in step ─────  the reply that ends it
//! ```
//!
//! A session whose control connection was lost, or on which a reply is still
//! owed, is thrown away, and the next operation begins another: also when
//! somebody gave up waiting for an operation in its middle.
//!
//! Not here: retries, ASCII transfers (bytes stay what they are), proxies.

mod control;
mod data;
mod listing;
mod session;

use std::rc::Rc;
use std::time::{SystemTime, UNIX_EPOCH};

use hythe_net::Sink;
use hythe_wire::ftp::{Command, ListOptions, Site as SiteCommand, parse_facts, parse_time};

use super::dial::connector;
use super::{
    Ask, Begun, Content, Entry, Error, Kind, Later, Login, Meter, Opening, Options, Reason, Remote,
    RemotePath, Result, Scheme, Upload, Url, Version,
};
use control::{Answer, Control, Purpose};
use data::{Transfer, Way};
use session::{Features, Session, Site};

/// The port on which TLS begins with the connection, as IANA has it.
const IMPLICIT: u16 = 990;

/// What an upload is known by. FTP knows none, but if a file was there before,
/// it has to be told from what came of the upload: its size and time follow.
const TOKEN: &str = "ftp";

/// A session with an FTP server.
pub struct FtpClient {
    site: Rc<Site>,
    login: Option<Login>,
    /// A connection on which nobody has logged in yet.
    greeted: Option<Control>,
    session: Option<Session>,
    /// What sessions before this one have found out.
    features: Option<Features>,
    way: Way,
    /// Whether what was opened has nothing to receive.
    nothing: bool,
}

impl FtpClient {
    /// Connects to the server of a URL; for `ftps:` with TLS, which begins with
    /// the connection on port 990 and is asked for elsewhere. Whoever the
    /// options say we are logs in when it is needed.
    ///
    /// # Errors
    /// [`Reason::Unreachable`]; [`Reason::Busy`] from a server that takes no
    /// more; [`Reason::NotAllowed`] where TLS does not come about.
    pub async fn connect(url: Url, options: Options) -> Result<Self> {
        let implicit = url.scheme == Scheme::Ftps && url.port == IMPLICIT;
        Self::begin(url, options, implicit).await
    }

    /// As [`connect`](Self::connect), with TLS that begins with the connection,
    /// whatever the port.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub async fn connect_over_tls(url: Url, options: Options) -> Result<Self> {
        Self::begin(url, options, true).await
    }

    async fn begin(url: Url, options: Options, implicit: bool) -> Result<Self> {
        let connector = match implicit || url.scheme == Scheme::Ftps {
            true => Some(connector(&options, Some("ftp"))?),
            false => None,
        };
        let login = options.credentials.login(&url);
        let site = Rc::new(Site {
            url,
            options,
            connector,
            implicit,
        });
        Ok(Self {
            greeted: Some(site.greet().await?),
            site,
            login,
            session: None,
            features: None,
            way: Way::Extended,
            nothing: false,
        })
    }

    /// Does something in a session, which is kept if it can go on after it.
    async fn with<T>(&mut self, work: impl AsyncFnOnce(&mut Session) -> Result<T>) -> Result<T> {
        let mut session = self.ready().await?;
        let result = work(&mut session).await;
        self.keep(session);
        result
    }

    fn keep(&mut self, session: Session) {
        self.way = session.way;
        let waits = session.transfer.is_some();
        if waits || session.control.is_in_step() {
            self.session = Some(session);
        }
    }

    /// The session there is, or another.
    async fn ready(&mut self) -> Result<Session> {
        self.nothing = false;
        if let Some(mut session) = self.session.take() {
            if let Some(transfer) = session.transfer.take() {
                session.abandon(transfer).await;
            }
            if session.control.is_usable().await {
                return Ok(session);
            }
        }
        let control = self.greeted().await?;
        let login = self.login.as_ref();
        let mut session = Session::begin(&self.site, control, login, self.features).await?;
        self.features = Some(session.features);
        session.way = self.way;
        Ok(session)
    }

    /// A connection on which nobody is logged in.
    async fn greeted(&mut self) -> Result<Control> {
        match self.greeted.take() {
            Some(control) if control.is_usable().await => Ok(control),
            _ => self.site.greet().await,
        }
    }

    async fn open(&mut self, path: &RemotePath, ask: &Ask) -> Result<Opening> {
        let opening = self.with(async |session| session.open(path, ask).await);
        let opening = opening.await?;
        let waits = |session: &Session| session.transfer.is_some();
        self.nothing = !self.session.as_ref().is_some_and(waits);
        Ok(opening)
    }

    async fn receive(&mut self, sink: Box<dyn Sink>) -> Result<()> {
        if std::mem::take(&mut self.nothing) {
            return Ok(());
        }
        let opened = self.session.take().and_then(|mut session| {
            let transfer = session.transfer.take()?;
            Some((session, transfer))
        });
        let Some((mut session, transfer)) = opened else {
            return Err(Error::new(Reason::Lost, "nothing is open"));
        };
        let result = session.receive(transfer, sink).await;
        self.keep(session);
        result
    }

    /// SITE REGISTER is for those who are not logged in.
    async fn register(&mut self, name: &str, password: &[u8]) -> Result<()> {
        let mut control = self.greeted().await?;
        let register = SiteCommand::Register(name.as_bytes(), password);
        let answer = control.command(Command::Site(register)).await?;
        if control.is_in_step() {
            self.greeted = Some(control);
        }
        answer.or_refusal(Purpose::Change).map(drop)
    }

    async fn log_in(&mut self, login: Login) -> Result<()> {
        let before = self.login.replace(login);
        // Not REIN: few servers know it, and what it leaves behind differs.
        self.session = None;
        let session = self.ready().await;
        match session {
            Ok(session) => {
                self.keep(session);
                Ok(())
            }
            Err(error) => {
                self.login = before;
                Err(error)
            }
        }
    }

    async fn close(&mut self) -> Result<()> {
        if let Some(session) = self.session.take() {
            session.control.quit().await;
        }
        if let Some(control) = self.greeted.take() {
            control.quit().await;
        }
        Ok(())
    }
}

impl Remote for FtpClient {
    fn list<'a>(&'a mut self, folder: &'a RemotePath) -> Later<'a, Vec<Entry>> {
        Box::pin(self.with(async |session| session.list(folder).await))
    }

    fn stat<'a>(&'a mut self, path: &'a RemotePath) -> Later<'a, Entry> {
        Box::pin(self.with(async |session| session.stat(path).await))
    }

    fn open<'a>(&'a mut self, path: &'a RemotePath, ask: &'a Ask) -> Later<'a, Opening> {
        Box::pin(self.open(path, ask))
    }

    fn receive<'a>(&'a mut self, sink: Box<dyn Sink>) -> Later<'a, ()> {
        Box::pin(self.receive(sink))
    }

    fn begin_upload<'a>(
        &'a mut self,
        path: &'a RemotePath,
        upload: &'a Upload,
        token: Option<&'a str>,
    ) -> Later<'a, Begun> {
        Box::pin(self.with(async move |session| session.begin_upload(path, upload, token).await))
    }

    fn send<'a>(
        &'a mut self,
        path: &'a RemotePath,
        begun: &'a Begun,
        content: Content,
        meter: &'a Meter,
    ) -> Later<'a, ()> {
        Box::pin(self.with(async move |session| session.upload(path, begun, content, meter).await))
    }

    fn remove<'a>(&'a mut self, path: &'a RemotePath, kind: Kind) -> Later<'a, ()> {
        Box::pin(self.with(async move |session| session.remove(path, kind).await))
    }

    fn make_folder<'a>(&'a mut self, path: &'a RemotePath) -> Later<'a, ()> {
        Box::pin(self.with(async |session| session.make_folder(path).await))
    }

    fn rename<'a>(&'a mut self, from: &'a RemotePath, to: &'a RemotePath) -> Later<'a, ()> {
        Box::pin(self.with(async |session| session.rename(from, to).await))
    }

    fn register<'a>(&'a mut self, name: &'a str, password: &'a [u8]) -> Later<'a, ()> {
        Box::pin(self.register(name, password))
    }

    fn log_in<'a>(&'a mut self, login: Login) -> Later<'a, ()> {
        Box::pin(self.log_in(login))
    }

    fn close<'a>(&'a mut self) -> Later<'a, ()> {
        Box::pin(self.close())
    }
}

/// What a session does, a method an operation.
impl Session {
    async fn list(&mut self, folder: &RemotePath) -> Result<Vec<Entry>> {
        let path = self.absolute(folder)?;
        if self.features.mlst {
            match self.fetch(Command::Mlsd(Some(&path))).await {
                Ok(listing) => return Ok(listing::from_facts(&listing, folder)),
                // It is no folder (RFC 3659 section 7.2.1), or there is MLST only.
                Err(error) if error.reason == Reason::Unsupported => {}
                Err(error) => return Err(error),
            }
        }
        // Some take what follows LIST for options or patterns.
        let entered = self.control.command(Command::Cwd(&path)).await?;
        entered.or_refusal(Purpose::Look)?;
        let listing = self.fetch_long().await?;
        Ok(listing::from_long(&listing, folder, now()))
    }

    /// The folder that the session is in, with hidden names from servers that
    /// are willing to show them.
    async fn fetch_long(&mut self) -> Result<Vec<u8>> {
        let all = ListOptions {
            all: true,
            long: false,
        };
        match self.fetch(Command::List(all, None)).await {
            Ok(listing) if !listing.is_empty() => return Ok(listing),
            Err(error) if !self.control.is_in_step() => return Err(error),
            // Or there is nothing called `-a`.
            Ok(_) | Err(_) => {}
        }
        self.fetch(Command::List(ListOptions::default(), None))
            .await
    }

    async fn stat(&mut self, path: &RemotePath) -> Result<Entry> {
        let absolute = self.absolute(path)?;
        if let Some(entry) = self.stat_by_facts(&absolute, path).await? {
            return Ok(entry);
        }
        let size = self.control.command(Command::Size(&absolute)).await?;
        if size.is_success() {
            let mut entry = entry(path, Kind::File);
            entry.size = decimal(&size);
            entry.modified = self.modified(&absolute).await?;
            return Ok(entry);
        }
        let entered = self.control.command(Command::Cwd(&absolute)).await?;
        if entered.is_success() {
            return Ok(entry(path, Kind::Folder));
        }
        if !size.is_unknown() {
            return Err(size.refusal(Purpose::Look));
        }
        let name = path.name().unwrap_or_default();
        let found = self.list(&path.parent()).await?;
        let found = found.into_iter().find(|entry| entry.name == name);
        found.ok_or_else(|| entered.refusal(Purpose::Look))
    }

    /// `None` from a server that has no facts to tell, or tells of a link that
    /// it is one.
    async fn stat_by_facts(&mut self, absolute: &[u8], path: &RemotePath) -> Result<Option<Entry>> {
        if !self.features.mlst {
            return Ok(None);
        }
        let answer = self.control.command(Command::Mlst(Some(absolute))).await?;
        if answer.is_unknown() || answer.code == 501 {
            return Ok(None);
        }
        let answer = answer.or_refusal(Purpose::Look)?;
        let found = answer
            .lines
            .iter()
            .skip(1)
            .find_map(|line| parse_facts(line));
        let entry = found.map(|found| listing::entry_at(&found, path));
        Ok(entry.filter(|entry| entry.kind != Kind::Other))
    }

    async fn modified(&mut self, absolute: &[u8]) -> Result<Option<i64>> {
        let answer = self.control.command(Command::Mdtm(absolute)).await?;
        Ok(parse_time(answer.text().trim_ascii()).filter(|_| answer.is_success()))
    }

    async fn open(&mut self, path: &RemotePath, ask: &Ask) -> Result<Opening> {
        let absolute = self.absolute(path)?;
        let version = self.version(&absolute, path).await?;
        let mut opening = plan(ask, version)?;
        opening.name = path.name();
        if ask.head_only || opening.length == Some(0) && opening.total != Some(0) {
            return Ok(opening);
        }
        let prepared = self.prepare().await?;
        if opening.offset > 0 {
            let rest = Command::Rest(opening.offset);
            if self.control.command(rest).await?.code != 350 {
                opening.offset = 0;
            }
        }
        let retrieve = Command::Retr(&absolute);
        let mut transfer = self.start(prepared, retrieve, Purpose::Look).await?;
        let end = ask
            .to
            .filter(|to| opening.total.is_none_or(|total| *to < total));
        opening.length = end
            .or(opening.total)
            .map(|end| end.saturating_sub(opening.offset));
        match end {
            Some(_) => transfer.wanted = opening.length,
            None => transfer.whole = opening.length,
        }
        self.transfer = Some(transfer);
        Ok(opening)
    }

    /// What is known of a file before its bytes are.
    async fn version(&mut self, absolute: &[u8], path: &RemotePath) -> Result<Version> {
        if let Some(entry) = self.stat_by_facts(absolute, path).await? {
            if entry.kind == Kind::Folder {
                return Err(Error::new(Reason::NotFound, "that is a folder"));
            }
            return Ok(Version {
                etag: None,
                modified: entry.modified,
                size: entry.size,
            });
        }
        let size = self.control.command(Command::Size(absolute)).await?;
        if !size.is_success() {
            // RETR tells whether it is there.
            return Ok(Version::default());
        }
        Ok(Version {
            etag: None,
            modified: self.modified(absolute).await?,
            size: decimal(&size),
        })
    }

    async fn begin_upload(
        &mut self,
        path: &RemotePath,
        upload: &Upload,
        token: Option<&str>,
    ) -> Result<Begun> {
        let absolute = self.absolute(path)?;
        let (there, size) = self.there(&absolute).await?;
        let fits = |size: &u64| upload.length.is_some_and(|length| *size <= length);
        let offset = match token {
            // As long as it is what was there before, nothing of ours has come.
            Some(token) if token != there => size.filter(fits).unwrap_or(0),
            _ => 0,
        };
        Ok(Begun {
            token: Some(token.map_or(there, str::to_owned)),
            offset,
            length: upload.length,
            modified: upload.modified,
        })
    }

    /// What is at the place of an upload, as a token, and its size: an upload
    /// that is to go on must not go on with somebody else's file.
    async fn there(&mut self, absolute: &[u8]) -> Result<(String, Option<u64>)> {
        let size = self.control.command(Command::Size(absolute)).await?;
        let Some(size) = decimal(&size).filter(|_| size.is_success()) else {
            return Ok((TOKEN.into(), None));
        };
        let modified = self.modified(absolute).await?.unwrap_or_default();
        Ok((format!("{TOKEN} {size} {modified}"), Some(size)))
    }

    async fn upload(
        &mut self,
        path: &RemotePath,
        begun: &Begun,
        content: Content,
        meter: &Meter,
    ) -> Result<()> {
        let absolute = self.absolute(path)?;
        let transfer = match begun.offset {
            0 => self.store(Command::Stor(&absolute)).await?,
            offset => self.store_at(offset, &absolute).await?,
        };
        self.send(transfer, content, meter).await?;
        if let Some(modified) = begun.modified.filter(|_| self.features.mfmt) {
            // The bytes are there, which is what matters.
            let mfmt = Command::Mfmt(modified, &absolute);
            self.control.command(mfmt).await.ok();
        }
        Ok(())
    }

    async fn store(&mut self, command: Command<'_>) -> Result<Transfer> {
        let prepared = self.prepare().await?;
        self.start(prepared, command, Purpose::Change).await
    }

    /// Goes on with a file: by REST and STOR, or by APPE where its end is the
    /// very place.
    async fn store_at(&mut self, offset: u64, absolute: &[u8]) -> Result<Transfer> {
        let prepared = self.prepare().await?;
        let rest = self.control.command(Command::Rest(offset)).await?;
        let refused = match rest.code {
            350 => {
                let store = Command::Stor(absolute);
                match self.start(prepared, store, Purpose::Change).await {
                    Ok(transfer) => return Ok(transfer),
                    Err(error) if !self.control.is_in_step() => return Err(error),
                    Err(error) => error,
                }
            }
            _ => rest.refusal(Purpose::Change),
        };
        // Where it is not known, it would be added to the wrong place.
        let size = self.control.command(Command::Size(absolute)).await?;
        if !size.is_success() || decimal(&size) != Some(offset) {
            return Err(refused);
        }
        if rest.code == 350 {
            // What the refused STOR left of it must not apply to this.
            self.control.command(Command::Rest(0)).await?;
        }
        self.store(Command::Appe(absolute)).await
    }

    async fn remove(&mut self, path: &RemotePath, kind: Kind) -> Result<()> {
        let absolute = self.absolute(path)?;
        let command = match kind {
            Kind::Folder => Command::Rmd(&absolute),
            Kind::File | Kind::Other => Command::Dele(&absolute),
        };
        self.change(command, path).await
    }

    async fn make_folder(&mut self, path: &RemotePath) -> Result<()> {
        let absolute = self.absolute(path)?;
        let answer = self.control.command(Command::Mkd(&absolute)).await?;
        self.unless_taken(answer, path).await
    }

    async fn rename(&mut self, from: &RemotePath, to: &RemotePath) -> Result<()> {
        let (old, new) = (self.absolute(from)?, self.absolute(to)?);
        let answer = self.control.command(Command::Rnfr(&old)).await?;
        if answer.code != 350 {
            return Err(answer.refusal(Purpose::Look));
        }
        let answer = self.control.command(Command::Rnto(&new)).await?;
        self.unless_taken(answer, to).await
    }

    /// Changes what should be there: if it is not, that is why it failed.
    async fn change(&mut self, command: Command<'_>, path: &RemotePath) -> Result<()> {
        let answer = self.control.command(command).await?;
        let Err(error) = answer.or_refusal(Purpose::Change) else {
            return Ok(());
        };
        let gone = error.reason == Reason::NotAllowed
            && self.control.is_in_step()
            && matches!(self.stat(path).await, Err(error) if error.reason == Reason::NotFound);
        Err(if gone { not_found(&error) } else { error })
    }

    /// What a server says of a new name: if something has it, that is why.
    async fn unless_taken(&mut self, answer: Answer, path: &RemotePath) -> Result<()> {
        let Err(error) = answer.or_refusal(Purpose::Change) else {
            return Ok(());
        };
        let doubtful = matches!(error.reason, Reason::NotAllowed | Reason::NotFound);
        if doubtful && self.control.is_in_step() && self.stat(path).await.is_ok() {
            return Err(Error {
                reason: Reason::Exists,
                ..error
            });
        }
        Err(error)
    }
}

/// From what is asked for, and what there is, to what is going to come.
fn plan(ask: &Ask, version: Version) -> Result<Opening> {
    let other = |asked: &Version| !asked.is(&version);
    // A file that ends before the offset is another one than it was.
    let shorter = version.size.is_some_and(|size| size < ask.from);
    let changed = shorter || ask.version.as_ref().is_some_and(other);
    if changed && ask.to.is_some() {
        return Err(Error::new(Reason::Changed, "it has changed meanwhile"));
    }
    let offset = if changed { 0 } else { ask.from };
    let end = match (ask.to, version.size) {
        (Some(to), Some(size)) => Some(to.min(size)),
        (to, size) => to.or(size),
    };
    Ok(Opening {
        offset,
        length: end.map(|end| end.saturating_sub(offset)),
        total: version.size,
        version,
        changed,
        name: None,
        head: Vec::new(),
    })
}

fn entry(path: &RemotePath, kind: Kind) -> Entry {
    Entry {
        name: path.name().unwrap_or_default(),
        path: match kind {
            Kind::Folder => path.as_folder(),
            Kind::File | Kind::Other => path.as_file(),
        },
        kind,
        size: None,
        modified: None,
        mode: None,
    }
}

fn not_found(error: &Error) -> Error {
    Error::new(Reason::NotFound, error.text.clone())
}

/// The number that a reply consists of.
fn decimal(answer: &Answer) -> Option<u64> {
    let digits = std::str::from_utf8(answer.text().trim_ascii()).ok()?;
    let plain = digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.parse().ok().filter(|_| plain)
}

/// In Unix seconds.
fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs() as i64)
}
