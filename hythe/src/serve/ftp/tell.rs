//! Commands that tell the client about the server and about itself.

use hythe_wire::ftp::{Error, Hash, Opts, Protection, Type, quote_path};

use super::session::{Login, Next, Session, refusal};
use crate::serve::log::{self, Access};

/// Every command that means something here, for HELP.
const COMMANDS: [&str; 7] = [
    "USER PASS ACCT HOST REIN QUIT NOOP SYST STAT HELP FEAT OPTS SITE",
    "AUTH PBSZ PROT CCC",
    "PWD XPWD CWD XCWD CDUP XCUP SIZE MDTM MLST",
    "TYPE MODE STRU ALLO REST PASV EPSV PORT EPRT",
    "RETR STOR APPE STOU LIST NLST MLSD ABOR",
    "DELE MKD XMKD RMD XRMD RNFR RNTO MFMT",
    "HASH XCRC XMD5 XSHA XSHA1 XSHA256 XSHA512",
];

/// What SITE knows, for SITE HELP.
const SITE: [&str; 5] = [
    "SITE HELP [COMMAND]",
    "SITE CHMOD MODE PATH",
    "SITE REGISTER NAME PASSWORD (before login, where visitors may)",
    "SITE PASSWD OLD NEW",
    "SITE QUOTA",
];

impl Session<'_> {
    pub(super) fn features(&mut self) -> Result<Next, Error> {
        let mut facts = b"MLST ".to_vec();
        self.facts.write_feature(&mut facts);
        let mut hashes = b"HASH ".to_vec();
        for hash in Hash::ALL {
            let chosen = if hash == self.hash { "*;" } else { ";" };
            hashes.extend([hash.as_str(), chosen].concat().bytes());
        }
        hashes.pop();
        let tls: &[&[u8]] = match self.ftp.tls {
            Some(_) => &[b"AUTH TLS", b"PBSZ", b"PROT"],
            None => &[],
        };
        let plain: [&[u8]; 12] = [
            b"EPRT",
            b"EPSV",
            b"HOST",
            b"MDTM",
            b"MFMT",
            &facts,
            &hashes,
            b"PASV",
            b"REST STREAM",
            b"SIZE",
            b"TVFS",
            b"UTF8",
        ];
        let hash_verbs = Hash::ALL.map(|hash| hash.verb().as_bytes());
        let lines = tls.iter().copied().chain(plain).chain(hash_verbs);
        self.control.multiline(211, "Features:", lines, "End");
        Ok(Next::Go)
    }

    pub(super) fn help(&mut self, topic: Option<&[u8]>) -> Result<Next, Error> {
        let Some(topic) = topic else {
            self.control
                .multiline(214, "These commands are known:", COMMANDS, "End");
            return Ok(Next::Go);
        };
        let verb = topic.split(|byte| *byte == b' ').next().unwrap_or_default();
        if verb.eq_ignore_ascii_case(b"SITE") {
            return self.site_help(None);
        }
        let mut known = COMMANDS.iter().flat_map(|line| line.split(' '));
        match known.find(|known| verb.eq_ignore_ascii_case(known.as_bytes())) {
            Some(known) => self.say(
                214,
                format!("{known} is known, as RFCs 959 to 4217 have it."),
            ),
            None => Err(refusal(
                501,
                "There is no such command; HELP has those there are.",
            )),
        }
    }

    pub(super) fn site_help(&mut self, topic: Option<&[u8]>) -> Result<Next, Error> {
        let is_asked = |line: &&&str| {
            let name = line.split(' ').nth(1).unwrap_or_default();
            topic.is_none_or(|topic| topic.eq_ignore_ascii_case(name.as_bytes()))
        };
        let lines: Vec<&str> = SITE.iter().filter(is_asked).copied().collect();
        if lines.is_empty() {
            return Err(refusal(
                501,
                "There is no such command; SITE HELP has those there are.",
            ));
        }
        self.control.multiline(214, "SITE knows:", lines, "End");
        Ok(Next::Go)
    }

    pub(super) fn option(&mut self, option: Opts) -> Result<Next, Error> {
        match option {
            Opts::Utf8(true) => self.say(200, "Names are UTF-8."),
            Opts::Utf8(false) => Err(refusal(504, "Names are sent as they are.")),
            Opts::Mlst(facts) => {
                self.facts = facts;
                let mut text = b"MLST OPTS ".to_vec();
                facts.write(&mut text);
                self.say(200, text.trim_ascii_end())
            }
            Opts::Hash(wish) => {
                self.hash = wish.unwrap_or(self.hash);
                self.say(200, self.hash.as_str())
            }
        }
    }

    /// STAT without a path. `moved` is how far the transfer that is under way
    /// has come.
    pub(super) fn status(&mut self, moved: Option<u64>) -> Result<Next, Error> {
        let user = match &self.login {
            Login::In { user, view, .. } => {
                let role = format!(" ({})", view.access());
                [b"Logged in as ", &**user, role.as_bytes()].concat()
            }
            _ => b"Not logged in".to_vec(),
        };
        let kind = match self.kind {
            Type::Ascii => "ASCII",
            Type::Image => "image",
        };
        let transfer = match moved {
            Some(moved) => format!("Under way: {moved} bytes so far"),
            None => "No transfer is under way".to_owned(),
        };
        let (commands, data) = match (&self.tls, self.protection) {
            (None, _) => ("in the clear", "in the clear"),
            (Some(_), Protection::Clear) => ("under TLS", "in the clear"),
            (Some(_), Protection::Private) => ("under TLS", "under TLS"),
        };
        let lines = [
            format!("You are {}", self.control.peer()).into_bytes(),
            user,
            format!("Commands {commands}, data {data}").into_bytes(),
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
