//! A session: its state, and the table of commands.

use std::io;
use std::mem;

use hythe_net::Connection;
use hythe_wire::ftp::{Command, Error, Facts, Site, Type};

use super::Ftp;
use super::control::{Arrival, Control, Line, parse};
use super::data::{Data, Ends};
use super::transfer::Transfer;
use crate::share::{RelPath, View};

/// How many wrong passwords a connection may try: enough for typing errors,
/// and few enough that guessing needs a new connection each time.
const LOGIN_ATTEMPTS: u8 = 3;

const NOT_LOGGED_IN: Error = refusal(530, "Log in with USER and PASS first.");
const NOT_OFFERED: Error = refusal(502, "Command not implemented.");
const READ_ONLY: Error = refusal(550, "Permission denied.");

pub(super) const fn refusal(code: u16, text: &'static str) -> Error {
    Error { code, text }
}

/// What a command leads to, once its reply is written.
pub(super) enum Next {
    /// The next command.
    Go,
    /// A transfer, which sends its own replies.
    Transfer(Transfer),
    /// The end.
    Close,
}

/// How far the client has come.
pub(super) enum Login {
    Greeted,
    Named(Box<[u8]>),
    In { user: Box<[u8]>, view: View },
}

pub(super) struct Session<'a> {
    pub(super) ftp: &'a Ftp,
    pub(super) control: Control,
    /// `None` where the control connection is no Internet connection.
    pub(super) ends: Option<Ends>,
    pub(super) login: Login,
    failed_logins: u8,
    /// Where the client is.
    pub(super) folder: RelPath,
    pub(super) kind: Type,
    pub(super) facts: Facts,
    /// Where the next transfer begins.
    pub(super) rest: u64,
    pub(super) data: Data,
    pub(super) only_epsv: bool,
}

/// Serves one connection to its end. The session is made outside of the future,
/// which would otherwise hold its parts a second time.
pub(super) fn serve(
    ftp: &Ftp,
    connection: Connection,
) -> impl Future<Output = io::Result<()>> + use<'_> {
    let mut session = Session::new(ftp, connection);
    async move {
        session.control.reply(220, "hythe FTP server ready.");
        session.run().await?;
        Box::pin(session.control.close()).await
    }
}

impl<'a> Session<'a> {
    fn new(ftp: &'a Ftp, connection: Connection) -> Self {
        Self {
            ftp,
            ends: Ends::of(&connection.stream),
            control: Control::new(connection),
            login: Login::Greeted,
            failed_logins: 0,
            folder: RelPath::root(),
            kind: Type::Ascii, // RFC 959 section 5.1
            facts: Facts::ALL,
            rest: 0,
            data: Data::Unknown,
            only_epsv: false,
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
        let result = match parse(&line) {
            Ok(command) if self.is_early(&command) => Err(NOT_LOGGED_IN),
            Ok(command) => self.obey(command).await,
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

    /// Whether a command is for those who have logged in only.
    fn is_early(&self, command: &Command<'_>) -> bool {
        let always = matches!(
            command,
            Command::User(_)
                | Command::Pass(_)
                | Command::Acct(_)
                | Command::Host(_)
                | Command::AuthTls
                | Command::Pbsz(_)
                | Command::Prot(_)
                | Command::Ccc
                | Command::Rein
                | Command::Quit
                | Command::Http
                | Command::Noop
                | Command::Abor
                | Command::Syst
                | Command::Feat
                | Command::Opts(_)
                | Command::Help(_)
                | Command::Site(Site::Help)
                | Command::Stat(None)
        );
        !always && !matches!(self.login, Login::In { .. })
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

            Command::Noop => self.say(200, "OK."),
            Command::Abor => self.say(226, "Nothing is under way."),
            Command::Syst => self.say(215, "UNIX Type: L8"),
            Command::Feat => self.features(),
            Command::Help(_) => self.help(),
            Command::Opts(option) => self.option(option),
            Command::Site(Site::Help) => self.say(214, "SITE knows HELP."),
            Command::Stat(None) => self.status(None),
            Command::Stat(Some(path)) => self.stat(path).await,

            Command::Pwd => self.print_folder(),
            Command::Cwd(path) => self.cwd(path).await,
            Command::Cdup => self.cwd(b"..").await,
            Command::Size(path) => self.size(path).await,
            Command::Mdtm(path) => self.mdtm(path).await,
            Command::Mlst(path) => self.mlst(path.unwrap_or_default()).await,

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

            Command::Rnto(_) => Err(refusal(503, "RNFR comes first.")),
            Command::Stor(_)
            | Command::Appe(_)
            | Command::Stou(_)
            | Command::Dele(_)
            | Command::Mkd(_)
            | Command::Rmd(_)
            | Command::Rnfr(_)
            | Command::Mfmt(..)
            | Command::Site(Site::Chmod(..)) => Err(READ_ONLY),

            Command::AuthTls
            | Command::Pbsz(_)
            | Command::Prot(_)
            | Command::Ccc
            | Command::Hash(_)
            | Command::Site(Site::Register(..) | Site::Passwd(_)) => Err(NOT_OFFERED),
        }
    }

    pub(super) fn say(&mut self, code: u16, text: impl AsRef<[u8]>) -> Result<Next, Error> {
        self.control.reply(code, text);
        Ok(Next::Go)
    }

    // --- Coming and going ---

    fn user(&mut self, name: &[u8]) -> Result<Next, Error> {
        self.login = Login::Named(name.into());
        self.say(331, "Now the password; as anonymous, any will do.")
    }

    async fn pass(&mut self, password: &[u8]) -> Result<Next, Error> {
        let user = match mem::replace(&mut self.login, Login::Greeted) {
            Login::Named(user) => user,
            other => {
                self.login = other;
                return Err(refusal(503, "USER comes first."));
            }
        };
        let ftp = self.ftp;
        let refused = match ftp.log_in(&user, password, self.control.peer()).await {
            Ok(view) => {
                self.login = Login::In { user, view };
                self.folder = RelPath::root();
                return self.say(230, "Welcome.");
            }
            Err(refused) => refused,
        };
        self.failed_logins += 1;
        if self.failed_logins == LOGIN_ATTEMPTS {
            return Err(refusal(421, "Too many failed logins."));
        }
        Err(refused)
    }

    /// One share answers to every name (RFC 7151).
    fn host(&mut self) -> Result<Next, Error> {
        match self.login {
            Login::Greeted => self.say(220, "You are welcome here."),
            _ => Err(refusal(503, "HOST comes before USER.")),
        }
    }

    fn reinitialize(&mut self) -> Result<Next, Error> {
        self.login = Login::Greeted;
        self.folder = RelPath::root();
        self.kind = Type::Ascii;
        self.facts = Facts::ALL;
        self.rest = 0;
        self.data = Data::Unknown;
        self.only_epsv = false;
        self.say(220, "Ready for a new user.")
    }

    fn quit(&mut self) -> Result<Next, Error> {
        self.control.reply(221, "Goodbye.");
        Ok(Next::Close)
    }

    /// What this visitor may see.
    pub(super) fn view(&self) -> Result<&View, Error> {
        match &self.login {
            Login::In { view, .. } => Ok(view),
            _ => Err(NOT_LOGGED_IN),
        }
    }
}
