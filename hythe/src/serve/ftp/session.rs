//! A session: its state, and the table of commands.

use std::io;
use std::mem;
use std::net::SocketAddr;

use hythe_net::{Addr, Connection};
use hythe_wire::ftp::{
    Command, Epsv, Error, Facts, Opts, Site, Type, quote_path, write_extended_port, write_host_port,
};

use super::Ftp;
use super::control::{Arrival, Control, Line, parse};
use super::data::{self, Data, Ends};
use super::transfer::Transfer;
use crate::serve::log::{self, Access};
use crate::share::{RelPath, View};

/// How many wrong passwords a connection may try: enough for typing errors,
/// and few enough that guessing needs a new connection each time.
const LOGIN_ATTEMPTS: u8 = 3;

const NOT_LOGGED_IN: Error = refusal(530, "Log in with USER and PASS first.");
const NOT_OFFERED: Error = refusal(502, "Command not implemented.");
const NO_PORT: Error = refusal(425, "Cannot open a port for data.");
const NOT_YOURS: Error = refusal(504, "Only your own address, and ports from 1024 on.");
const ONLY_EPSV: Error = refusal(503, "After EPSV ALL there is only EPSV.");
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
    peer: Addr,
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
    only_epsv: bool,
}

/// Serves one connection to its end.
pub(super) async fn serve(ftp: &Ftp, connection: Connection) -> io::Result<()> {
    let Connection { stream, peer, .. } = connection;
    let ends = Ends::of(&stream);
    let mut session = Session::new(ftp, Control::new(stream)?, peer, ends);
    session.control.reply(220, "hythe FTP server ready.");
    session.run().await?;
    Box::pin(session.control.close()).await
}

impl<'a> Session<'a> {
    fn new(ftp: &'a Ftp, control: Control, peer: Addr, ends: Option<Ends>) -> Self {
        Self {
            ftp,
            control,
            peer,
            ends,
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
        if let Some(view) = self.ftp.log_in(&user, password).await {
            self.login = Login::In { user, view };
            self.folder = RelPath::root();
            return self.say(230, "Welcome.");
        }
        self.failed_logins += 1;
        if self.failed_logins == LOGIN_ATTEMPTS {
            return Err(refusal(421, "Too many failed logins."));
        }
        Err(refusal(530, "Login incorrect."))
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

    // --- Telling ---

    fn features(&mut self) -> Result<Next, Error> {
        let mut facts = b"MLST ".to_vec();
        self.facts.write_feature(&mut facts);
        let lines: [&[u8]; 10] = [
            b"EPRT",
            b"EPSV",
            b"HOST",
            b"MDTM",
            &facts,
            b"PASV",
            b"REST STREAM",
            b"SIZE",
            b"TVFS",
            b"UTF8",
        ];
        self.control.multiline(211, "Features:", lines, "End");
        Ok(Next::Go)
    }

    fn help(&mut self) -> Result<Next, Error> {
        let lines = [
            "USER PASS ACCT HOST REIN QUIT NOOP SYST STAT HELP FEAT OPTS SITE",
            "PWD XPWD CWD XCWD CDUP XCUP SIZE MDTM MLST",
            "TYPE MODE STRU ALLO REST PASV EPSV PORT EPRT",
            "RETR LIST NLST MLSD ABOR",
        ];
        self.control
            .multiline(214, "These commands are known:", lines, "End");
        Ok(Next::Go)
    }

    fn option(&mut self, option: Opts<'_>) -> Result<Next, Error> {
        match option {
            Opts::Utf8(true) => self.say(200, "Names are UTF-8."),
            Opts::Utf8(false) => Err(refusal(504, "Names are sent as they are.")),
            Opts::Mlst(facts) => {
                self.facts = facts;
                let mut text = b"MLST OPTS ".to_vec();
                facts.write(&mut text);
                self.say(200, text.trim_ascii_end())
            }
            Opts::Hash(_) => Err(refusal(501, "There is no HASH.")),
        }
    }

    /// STAT without a path. `sent` is how far the transfer that is under way
    /// has come.
    pub(super) fn status(&mut self, sent: Option<u64>) -> Result<Next, Error> {
        let user = match &self.login {
            Login::In { user, .. } => [b"Logged in as ", &**user].concat(),
            _ => b"Not logged in".to_vec(),
        };
        let kind = match self.kind {
            Type::Ascii => "ASCII",
            Type::Image => "image",
        };
        let transfer = match sent {
            Some(sent) => format!("Sending: {sent} bytes so far"),
            None => "No transfer is under way".to_owned(),
        };
        let lines = [
            format!("You are {}", self.peer).into_bytes(),
            user,
            format!("Type {kind}, mode stream, structure file").into_bytes(),
            transfer.into_bytes(),
        ];
        self.control
            .multiline(211, "hythe FTP server", lines, "End");
        Ok(Next::Go)
    }

    fn print_folder(&mut self) -> Result<Next, Error> {
        let mut text = Vec::new();
        quote_path(&mut text, &[b"/", self.folder.as_bytes()].concat());
        text.extend_from_slice(b" is where you are.");
        self.say(257, text)
    }

    /// Writes a line of the access log.
    pub(super) fn record(&self, verb: &str, target: &[u8], status: u16, bytes: u64) {
        if log::is_on() {
            let peer = &self.peer;
            let protocol = "ftp";
            Access {
                protocol,
                peer,
                verb,
                target,
                status,
                bytes,
            }
            .write();
        }
    }

    // --- How to transfer ---

    fn set_type(&mut self, kind: Type) -> Result<Next, Error> {
        self.kind = kind;
        match kind {
            Type::Ascii => self.say(200, "Type is A."),
            Type::Image => self.say(200, "Type is I."),
        }
    }

    fn restart(&mut self, offset: u64) -> Result<Next, Error> {
        self.rest = offset;
        self.say(350, format!("The next transfer begins at {offset}."))
    }

    fn passive(&mut self) -> Result<Next, Error> {
        if self.only_epsv {
            return Err(ONLY_EPSV);
        }
        let Some(SocketAddr::V4(mut address)) = self.ends.map(|ends| ends.local) else {
            return Err(refusal(425, "PASV is for IPv4; use EPSV."));
        };
        address.set_port(self.listen()?);
        let mut text = b"Entering Passive Mode (".to_vec();
        write_host_port(&mut text, address);
        text.push(b')');
        self.say(227, text)
    }

    fn extended_passive(&mut self, wish: Epsv) -> Result<Next, Error> {
        let ends = self.ends.ok_or(NO_PORT)?;
        match wish {
            Epsv::All => {
                self.only_epsv = true;
                return self.say(200, "From now on only EPSV.");
            }
            Epsv::V4 if !ends.local.is_ipv4() => return Err(other_family(ends)),
            Epsv::V6 if !ends.local.is_ipv6() => return Err(other_family(ends)),
            Epsv::Same | Epsv::V4 | Epsv::V6 => {}
        }
        let port = self.listen()?;
        let mut text = b"Entering Extended Passive Mode ".to_vec();
        write_extended_port(&mut text, port);
        self.say(229, text)
    }

    fn listen(&mut self) -> Result<u16, Error> {
        let ends = self.ends.ok_or(NO_PORT)?;
        // The last port goes first: it may be the only one of the range.
        self.data = Data::Unknown;
        let ports = self.ftp.config.passive_ports.as_ref();
        let (listener, port) = data::listen(ends.local, ports).map_err(|_| NO_PORT)?;
        self.data = Data::Passive(listener);
        Ok(port)
    }

    fn extended_active(&mut self, address: SocketAddr) -> Result<Next, Error> {
        match self.ends {
            Some(ends) if ends.peer.is_ipv4() != address.is_ipv4() => Err(other_family(ends)),
            _ => self.active(address),
        }
    }

    fn active(&mut self, address: SocketAddr) -> Result<Next, Error> {
        if self.only_epsv {
            return Err(ONLY_EPSV);
        }
        let claimed = self.ends.and_then(|ends| ends.claimed(address));
        self.data = Data::Active(claimed.ok_or(NOT_YOURS)?);
        self.say(200, "That is where data will go.")
    }
}

/// RFC 2428 section 2 has the reply name the families that can be used.
fn other_family(ends: Ends) -> Error {
    if ends.local.is_ipv4() {
        refusal(522, "Network protocol not supported, use (1)")
    } else {
        refusal(522, "Network protocol not supported, use (2)")
    }
}
