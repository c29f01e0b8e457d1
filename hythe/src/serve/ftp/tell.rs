//! Commands that tell the client about the server and about itself.

use hythe_wire::ftp::{Error, Opts, Type, quote_path};

use super::session::{Login, Next, Session, refusal};
use crate::serve::log::{self, Access};

impl Session<'_> {
    pub(super) fn features(&mut self) -> Result<Next, Error> {
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

    pub(super) fn help(&mut self) -> Result<Next, Error> {
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

    pub(super) fn option(&mut self, option: Opts<'_>) -> Result<Next, Error> {
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
            Login::In { user, view } => {
                let role = format!(" ({})", view.access());
                [b"Logged in as ", &**user, role.as_bytes()].concat()
            }
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
            format!("You are {}", self.control.peer()).into_bytes(),
            user,
            format!("Type {kind}, mode stream, structure file").into_bytes(),
            transfer.into_bytes(),
        ];
        self.control
            .multiline(211, "hythe FTP server", lines, "End");
        Ok(Next::Go)
    }

    pub(super) fn print_folder(&mut self) -> Result<Next, Error> {
        let mut text = Vec::new();
        quote_path(&mut text, &[b"/", self.folder.as_bytes()].concat());
        text.extend_from_slice(b" is where you are.");
        self.say(257, text)
    }

    /// Writes a line of the access log, with the whole path of what was named.
    pub(super) fn record(&self, verb: &str, target: &[u8], status: u16, bytes: u64) {
        if log::is_on() {
            let path = self.folder.resolve(target);
            let path = path.map(|path| [b"/", path.as_bytes()].concat());
            Access {
                protocol: "ftp",
                peer: self.control.peer(),
                verb,
                target: path.as_deref().unwrap_or(target),
                status,
                bytes,
            }
            .write();
        }
    }
}
