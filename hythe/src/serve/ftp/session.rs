//! A session: its state, and the table of commands.

use std::cell::Cell;
use std::io;
use std::rc::Rc;

use hythe_net::Connection;
use hythe_wire::ftp::{Command, Error, Facts, Hash, Protection, Site, Type};

use super::Ftp;
use super::control::{Arrival, Control, Line, parse};
use super::data::{Data, Ends};
use super::digest::Digest;
use super::secure::Pbsz;
use super::transfer::Transfer;
use crate::accounts::Standing;
use crate::share::{RelPath, View};
use crate::tls::Acceptor;

/// The commands that are answered before login, STAT of the session and some of
/// SITE's among them.
const FOR_ALL: [&str; 18] = [
    "USER", "PASS", "ACCT", "HOST", "AUTH", "PBSZ", "PROT", "CCC", "REIN", "QUIT", "NOOP", "ABOR",
    "SYST", "FEAT", "OPTS", "HELP", "SITE", "STAT",
];

const NOT_LOGGED_IN: Error = refusal(530, "Log in with USER and PASS first.");

pub(super) const fn refusal(code: u16, text: &'static str) -> Error {
    Error { code, text }
}

/// What a command leads to, once its reply is written.
pub(super) enum Next {
    /// The next command.
    Go,
    /// A transfer, which sends its own replies.
    Transfer(Transfer),
    /// A checksum, which does so, too.
    Digest(Digest),
    /// TLS, from here on.
    Secure,
    /// The end.
    Close,
}

/// How far the client has come.
pub(super) enum Login {
    Greeted,
    Named(Box<[u8]>),
    In {
        user: Box<[u8]>,
        view: View,
        /// What the account was, if it is one.
        standing: Option<Standing>,
    },
}

pub(super) struct Session<'a> {
    pub(super) ftp: &'a Ftp,
    pub(super) control: Control,
    /// `None` where the control connection is no Internet connection.
    pub(super) ends: Option<Ends>,
    pub(super) login: Login,
    pub(super) failed_logins: u8,
    /// Where the client is.
    pub(super) folder: RelPath,
    pub(super) kind: Type,
    pub(super) facts: Facts,
    /// Where the next transfer begins.
    pub(super) rest: u64,
    /// What is to be renamed.
    pub(super) renaming: Option<RelPath>,
    pub(super) hash: Hash,
    pub(super) data: Data,
    /// How many of its data connections wait for the client's end.
    pub(super) closing: Rc<Cell<usize>>,
    pub(super) only_epsv: bool,
    /// By which the TLS session of this connection is known again on a data
    /// connection; without TLS there is none.
    pub(super) tls: Option<Acceptor>,
    pub(super) pbsz: Pbsz,
    pub(super) protection: Protection,
}

/// Serves one connection to its end. The session is made outside of the future,
/// which would otherwise hold its parts a second time.
pub(super) fn serve(
    ftp: &Ftp,
    connection: Connection,
) -> impl Future<Output = io::Result<()>> + use<'_> {
    let mut session = Session::new(ftp, connection);
    async move {
        if ftp.implicit {
            Box::pin(session.secure()).await?;
        }
        session.control.reply(220, "hythe FTP server ready.");
        session.run().await?;
        Box::pin(session.control.close()).await
    }
}

impl<'a> Session<'a> {
    fn new(ftp: &'a Ftp, connection: Connection) -> Self {
        Self {
            ftp,
            ends: Ends::of(&connection),
            control: Control::new(connection),
            login: Login::Greeted,
            failed_logins: 0,
            folder: RelPath::root(),
            kind: Type::Ascii, // RFC 959 section 5.1
            facts: Facts::ALL,
            rest: 0,
            renaming: None,
            hash: Hash::Sha256,
            data: Data::Unknown,
            closing: Rc::default(),
            only_epsv: false,
            tls: None,
            pbsz: Pbsz::Unknown,
            protection: Protection::Clear,
        }
    }

    /// Answers one line after the other. What costs much state is boxed: idle
    /// sessions are many.
    async fn run(&mut self) -> io::Result<()> {
        loop {
            self.control.flush().await?;
            let Some(line) = self.next_line().await? else {
                return Ok(());
            };
            self.control.stream().progressed();
            let next = Box::pin(self.answer(line)).await;
            match next {
                Next::Go => {}
                Next::Transfer(transfer) => Box::pin(self.transfer(transfer)).await?,
                Next::Digest(digest) => Box::pin(self.digest(digest)).await?,
                Next::Secure => Box::pin(self.secure()).await?,
                Next::Close => return Ok(()),
            }
        }
    }

    /// Waits for a line; `None` if there will be no more, and the reply that
    /// says why is written.
    async fn next_line(&mut self) -> io::Result<Option<Line>> {
        loop {
            if let Some(line) = self.control.pop() {
                return Ok(Some(line));
            }
            match self.control.receive().await {
                Ok(Arrival::Bytes) => {}
                Ok(Arrival::End) => return Ok(None),
                Ok(Arrival::Stopping) => {
                    self.control.reply(421, "Service closing.");
                    return Ok(None);
                }
                Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                    self.control.reply(421, "Idle for too long.");
                    return Ok(None);
                }
                Err(error) => return Err(error),
            }
        }
    }

    async fn answer(&mut self, line: Line) -> Next {
        let command = parse(&line);
        let for_all = is_for_all(&line, &command);
        let result = match command {
            _ if !for_all && !matches!(self.login, Login::In { .. }) => Err(NOT_LOGGED_IN),
            Ok(command) if for_all => self.obey(command).await,
            Ok(command) => match self.still_welcome().await {
                Ok(()) => self.obey(command).await,
                Err(error) => Err(error),
            },
            Err(error) => Err(error),
        };
        result.unwrap_or_else(|error| {
            self.control.reply(error.code, error.text);
            // 421 is the one code after which the connection ends.
            if error.code == 421 {
                Next::Close
            } else {
                Next::Go
            }
        })
    }

    /// The table.
    async fn obey(&mut self, command: Command<'_>) -> Result<Next, Error> {
        match command {
            Command::User(name) => self.user(name),
            Command::Pass(password) => self.pass(password).await,
            Command::Acct(_) => self.say(202, "No account is needed."),
            Command::Host(_) => self.host(),
            Command::Rein => self.reinitialize(),
            Command::Quit => self.quit(),
            Command::Http => Ok(Next::Close),

            Command::AuthTls => self.auth_tls(),
            Command::Pbsz(_) => self.pbsz(),
            Command::Prot(protection) => self.protect(protection),
            Command::Ccc => self.clear_control(),

            Command::Noop => self.say(200, "OK."),
            Command::Abor => self.abort(),
            Command::Syst => self.say(215, "UNIX Type: L8"),
            Command::Feat => self.features(),
            Command::Help(topic) => self.help(topic),
            Command::Opts(option) => self.option(option),
            Command::Stat(None) => self.status(None),
            Command::Stat(Some(path)) => self.stat(path).await,

            Command::Pwd => self.print_folder(),
            Command::Cwd(path) => self.cwd(path).await,
            Command::Cdup => self.cwd(b"..").await,
            Command::Size(path) => self.size(path).await,
            Command::Mdtm(path) => self.mdtm(path).await,
            Command::Mlst(path) => self.mlst(path.unwrap_or_default()).await,
            Command::Hash(path) => self.hash(path).await,
            Command::Checksum(hash, path) => self.checksum(hash, path).await,

            Command::Type(kind) => self.set_type(kind),
            Command::ModeStream => self.say(200, "Mode is S."),
            Command::StruFile => self.say(200, "Structure is F."),
            Command::Allo(_) => self.say(202, "No need to."),
            Command::Rest(offset) => self.restart(offset),
            Command::Pasv => self.passive(),
            Command::Epsv(wish) => self.extended_passive(wish),
            Command::Port(address) => self.active(address.into()),
            Command::Eprt(address) => self.extended_active(address),

            Command::Retr(path) => self.retr(path).await,
            Command::List(options, path) => {
                self.list("LIST", options, path.unwrap_or_default()).await
            }
            Command::Nlst(options, path) => {
                self.list("NLST", options, path.unwrap_or_default()).await
            }
            Command::Mlsd(path) => self.mlsd(path.unwrap_or_default()).await,
            Command::Stor(path) => self.stor(path).await,
            Command::Appe(path) => self.appe(path).await,
            Command::Stou(wish) => self.stou(wish).await,

            Command::Dele(path) => self.dele(path).await,
            Command::Mkd(path) => self.mkd(path).await,
            Command::Rmd(path) => self.rmd(path).await,
            Command::Rnfr(path) => self.rnfr(path).await,
            Command::Rnto(path) => self.rnto(path).await,
            Command::Mfmt(time, path) => self.mfmt(time, path).await,

            Command::Site(Site::Help(topic)) => self.site_help(topic),
            Command::Site(Site::Chmod(mode, path)) => self.chmod(mode, path).await,
            Command::Site(Site::Register(name, password)) => self.register(name, password).await,
            Command::Site(Site::Passwd(old, new)) => self.change_password(old, new).await,
            Command::Site(Site::Quota) => self.quota().await,
        }
    }

    pub(super) fn say(&mut self, code: u16, text: impl AsRef<[u8]>) -> Result<Next, Error> {
        self.control.reply(code, text);
        Ok(Next::Go)
    }

    /// What this visitor may see.
    pub(super) fn view(&self) -> Result<&View, Error> {
        match &self.login {
            Login::In { view, .. } => Ok(view),
            _ => Err(NOT_LOGGED_IN),
        }
    }
}

/// Whether a command is for those who have not logged in as well. One that is
/// not is refused them whatever is wrong with its argument.
fn is_for_all(line: &Line, command: &Result<Command<'_>, Error>) -> bool {
    let verb = line.as_deref().unwrap_or_default();
    let verb = verb.split(|byte| *byte == b' ').next().unwrap_or_default();
    match command {
        Ok(Command::Stat(Some(_))) => false,
        Ok(Command::Site(Site::Chmod(..) | Site::Passwd(..) | Site::Quota)) => false,
        Ok(Command::Http) => true,
        Err(error) if !matches!(error.code, 501 | 504 | 522) => true,
        Ok(_) | Err(_) => FOR_ALL
            .iter()
            .any(|known| verb.eq_ignore_ascii_case(known.as_bytes())),
    }
}
