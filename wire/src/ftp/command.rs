//! Command lines (RFC 959 section 5.3.1 and the RFCs that add to it).

use alloc::vec::Vec;
use core::net::{SocketAddr, SocketAddrV4};

use super::{
    Error, Facts, address, breaks_line, format_time, parse_extended, parse_time, write_extended,
    write_host_port,
};
use crate::http::{parse_decimal, push_decimal, trim};

/// A command that is legal in itself; whether it is in order is for the session to say.
///
/// Paths, names and passwords are the bytes that were sent, spaces included: of the line only the
/// verb and the one space after it are taken away. They hold no CR, LF or NUL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command<'b> {
    /// `USER name`
    User(&'b [u8]),
    /// `PASS password`, which may be empty.
    Pass(&'b [u8]),
    /// `ACCT account`
    Acct(&'b [u8]),
    /// `HOST name` (RFC 7151)
    Host(&'b [u8]),
    /// `AUTH TLS`, or `TLS-C`, which means the same (RFC 4217 section 4)
    AuthTls,
    /// `PBSZ size` (RFC 2228 section 3)
    Pbsz(u32),
    /// `PROT C` or `P` (RFC 2228 section 3)
    Prot(Protection),
    /// `CCC` (RFC 2228 section 3)
    Ccc,
    /// `REIN`
    Rein,
    /// `QUIT`
    Quit,
    /// `CWD path`, or `XCWD`
    Cwd(&'b [u8]),
    /// `CDUP`, or `XCUP`
    Cdup,
    /// `PWD`, or `XPWD`
    Pwd,
    /// `MKD path`, or `XMKD`
    Mkd(&'b [u8]),
    /// `RMD path`, or `XRMD`
    Rmd(&'b [u8]),
    /// `DELE path`
    Dele(&'b [u8]),
    /// `RNFR path`
    Rnfr(&'b [u8]),
    /// `RNTO path`
    Rnto(&'b [u8]),
    /// `TYPE`
    Type(Type),
    /// `MODE S`; the other modes are refused with 504.
    ModeStream,
    /// `STRU F`; the other structures are refused with 504.
    StruFile,
    /// `PORT h1,h2,h3,h4,p1,p2`
    Port(SocketAddrV4),
    /// `EPRT |family|address|port|` (RFC 2428 section 2)
    Eprt(SocketAddr),
    /// `PASV`
    Pasv,
    /// `EPSV`, `EPSV 1`, `EPSV 2`, `EPSV ALL` (RFC 2428 section 3)
    Epsv(Epsv),
    /// `REST offset` (RFC 3659 section 5)
    Rest(u64),
    /// `ALLO size`, with a record size ignored
    Allo(u64),
    /// `RETR path`
    Retr(&'b [u8]),
    /// `STOR path`
    Stor(&'b [u8]),
    /// `APPE path`
    Appe(&'b [u8]),
    /// `STOU`, with the name that some clients propose
    Stou(Option<&'b [u8]>),
    /// `LIST`
    List(ListOptions, Option<&'b [u8]>),
    /// `NLST`
    Nlst(ListOptions, Option<&'b [u8]>),
    /// `MLST` (RFC 3659 section 7)
    Mlst(Option<&'b [u8]>),
    /// `MLSD` (RFC 3659 section 7)
    Mlsd(Option<&'b [u8]>),
    /// `SIZE path` (RFC 3659 section 4)
    Size(&'b [u8]),
    /// `MDTM path` (RFC 3659 section 3)
    Mdtm(&'b [u8]),
    /// `MFMT time path`: the time in Unix seconds
    Mfmt(i64, &'b [u8]),
    /// `HASH path` (draft-bryan-ftpext-hash), with the algorithm that `OPTS HASH` chose
    Hash(&'b [u8]),
    /// `XCRC path`, `XMD5`, `XSHA` or `XSHA1`, `XSHA256`, `XSHA512`: of the whole file
    Checksum(Hash, &'b [u8]),
    /// `STAT`, of a path or of the session
    Stat(Option<&'b [u8]>),
    /// `HELP`, on a command or in all
    Help(Option<&'b [u8]>),
    /// `FEAT` (RFC 2389 section 3)
    Feat,
    /// `OPTS` (RFC 2389 section 4)
    Opts(Opts),
    /// `SITE`
    Site(Site<'b>),
    /// `SYST`
    Syst,
    /// `NOOP`
    Noop,
    /// `ABOR`
    Abor,
    /// A request line of HTTP. A browser was tricked into sending it here, and whatever follows is
    /// what an attacker wrote: close at once (ALPACA, alpaca-attack.com).
    Http,
}

/// How file data is represented (RFC 959 section 3.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// `A`, `A N`: text with CRLF line ends.
    Ascii,
    /// `I`, `L 8`: bytes as they are.
    Image,
}

/// How data connections are protected (RFC 4217 section 9).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protection {
    /// `C`: not.
    Clear,
    /// `P`: with TLS.
    Private,
}

/// What `EPSV` asks for (RFC 2428 section 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Epsv {
    /// The protocol of the control connection.
    Same,
    /// IPv4.
    V4,
    /// IPv6.
    V6,
    /// Nothing but a promise: only EPSV will be used from here on.
    All,
}

/// The letters of `LIST -la` that are understood.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ListOptions {
    /// `a`: names with a leading dot as well.
    pub all: bool,
    /// `l`: long lines, also from NLST.
    pub long: bool,
}

/// What `OPTS` sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opts {
    /// `UTF8 ON` or `OFF`; without either it means `ON`.
    Utf8(bool),
    /// `MLST facts` (RFC 3659 section 7.9): those of the named facts that are known.
    Mlst(Facts),
    /// `HASH`, with an algorithm or as a question.
    Hash(Option<Hash>),
}

/// A checksum of a file (draft-bryan-ftpext-hash section 3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hash {
    /// The CRC of Ethernet and zip, most significant byte first.
    Crc32,
    /// MD5 (RFC 1321).
    Md5,
    /// SHA-1 (FIPS 180-4).
    Sha1,
    /// SHA-256.
    Sha256,
    /// SHA-512.
    Sha512,
}

impl Hash {
    /// Every one, the best for its length first.
    pub const ALL: [Self; 5] = [
        Self::Sha256,
        Self::Sha512,
        Self::Sha1,
        Self::Md5,
        Self::Crc32,
    ];

    /// Its name, as FEAT and `OPTS HASH` have it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Crc32 => "CRC32",
            Self::Md5 => "MD5",
            Self::Sha1 => "SHA-1",
            Self::Sha256 => "SHA-256",
            Self::Sha512 => "SHA-512",
        }
    }

    /// The command that asks for it, whatever `OPTS HASH` says.
    pub const fn verb(self) -> &'static str {
        match self {
            Self::Crc32 => "XCRC",
            Self::Md5 => "XMD5",
            Self::Sha1 => "XSHA1",
            Self::Sha256 => "XSHA256",
            Self::Sha512 => "XSHA512",
        }
    }

    fn parse(name: &[u8]) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|hash| name.eq_ignore_ascii_case(hash.as_str().as_bytes()))
    }
}

/// The `SITE` commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Site<'b> {
    /// `SITE HELP`, on a command or in all
    Help(Option<&'b [u8]>),
    /// `SITE CHMOD mode path`, the mode in octal, at most 7777
    Chmod(u32, &'b [u8]),
    /// `SITE REGISTER name password`; the password is all the rest, spaces included, and a name with
    /// spaces stands in quotation marks.
    Register(&'b [u8], &'b [u8]),
    /// `SITE PASSWD old new`: another password for the account that is logged in. The new one is
    /// all the rest, spaces included; an old one with spaces stands in quotation marks,
    /// `SITE PASSWD "old one" new`.
    Passwd(&'b [u8], &'b [u8]),
    /// `SITE QUOTA`
    Quota,
}

const MISSING: Error = Error::new(501, "This command needs an argument.");
const ARGUMENT: Error = Error::new(501, "Bad argument.");
const UNWANTED: Error = Error::new(501, "This command takes no argument.");
const PARAMETER: Error = Error::new(504, "Not implemented for that parameter.");

impl<'b> Command<'b> {
    /// Reads a line without its line end, as [`Lines`](super::Lines) gives it.
    ///
    /// # Errors
    /// 500 for an unknown command, 502 for one that is known and not offered, 501 for a bad
    /// argument, 504 for a parameter not offered, 522 for an address family, 536 for a protection
    /// level.
    pub fn parse(line: &'b [u8]) -> Result<Self, Error> {
        let end = memchr::memchr(b' ', line).unwrap_or(line.len());
        let (verb, rest) = line.split_at(end);
        let argument = rest.get(1..).unwrap_or_default();
        if argument.iter().any(|byte| breaks_line(*byte)) {
            return Err(ARGUMENT);
        }
        let mut upper = [0; 8]; // OPTIONS is the longest verb there is
        let Some(upper) = upper.get_mut(..verb.len()) else {
            return Err(Error::new(500, "Unknown command."));
        };
        upper.copy_from_slice(verb);
        upper.make_ascii_uppercase();

        let none = |command| {
            if argument.is_empty() {
                Ok(command)
            } else {
                Err(UNWANTED)
            }
        };
        let some = || {
            if argument.is_empty() {
                Err(MISSING)
            } else {
                Ok(argument)
            }
        };
        let optional = Some(argument).filter(|argument| !argument.is_empty());
        match &*upper {
            b"USER" => some().map(Self::User),
            b"PASS" => Ok(Self::Pass(argument)),
            b"ACCT" => some().map(Self::Acct),
            b"HOST" => some().map(Self::Host),
            b"AUTH" => parse_auth(some()?),
            b"PBSZ" => number(some()?).map(Self::Pbsz),
            b"PROT" => parse_protection(some()?).map(Self::Prot),
            b"CCC" => none(Self::Ccc),
            b"REIN" => none(Self::Rein),
            b"QUIT" => none(Self::Quit),
            b"CWD" | b"XCWD" => some().map(Self::Cwd),
            b"CDUP" | b"XCUP" => none(Self::Cdup),
            b"PWD" | b"XPWD" => none(Self::Pwd),
            b"MKD" | b"XMKD" => some().map(Self::Mkd),
            b"RMD" | b"XRMD" => some().map(Self::Rmd),
            b"DELE" => some().map(Self::Dele),
            b"RNFR" => some().map(Self::Rnfr),
            b"RNTO" => some().map(Self::Rnto),
            b"TYPE" => parse_type(some()?).map(Self::Type),
            b"MODE" => parse_only(some()?, b"S", b"BC", Self::ModeStream),
            b"STRU" => parse_only(some()?, b"F", b"RP", Self::StruFile),
            b"PORT" => address::parse_numbers(trim(some()?))
                .map(Self::Port)
                .ok_or(ARGUMENT),
            b"EPRT" => parse_extended(trim(some()?)).map(Self::Eprt),
            b"PASV" => none(Self::Pasv),
            b"EPSV" => parse_epsv(argument).map(Self::Epsv),
            b"REST" => number(some()?).map(Self::Rest),
            b"ALLO" => number(
                some()?
                    .split(|byte| *byte == b' ')
                    .next()
                    .unwrap_or_default(),
            )
            .map(Self::Allo),
            b"RETR" => some().map(Self::Retr),
            b"STOR" => some().map(Self::Stor),
            b"APPE" => some().map(Self::Appe),
            b"STOU" => Ok(Self::Stou(optional)),
            b"LIST" => Ok(list_options(argument)).map(|(options, path)| Self::List(options, path)),
            b"NLST" => Ok(list_options(argument)).map(|(options, path)| Self::Nlst(options, path)),
            b"MLST" => Ok(Self::Mlst(optional)),
            b"MLSD" => Ok(Self::Mlsd(optional)),
            b"SIZE" => some().map(Self::Size),
            b"MDTM" => some().map(Self::Mdtm),
            b"MFMT" => parse_mfmt(some()?),
            b"HASH" => some().map(Self::Hash),
            b"XCRC" => some().map(|path| Self::Checksum(Hash::Crc32, path)),
            b"XMD5" => some().map(|path| Self::Checksum(Hash::Md5, path)),
            b"XSHA" | b"XSHA1" => some().map(|path| Self::Checksum(Hash::Sha1, path)),
            b"XSHA256" => some().map(|path| Self::Checksum(Hash::Sha256, path)),
            b"XSHA512" => some().map(|path| Self::Checksum(Hash::Sha512, path)),
            b"STAT" => Ok(Self::Stat(optional)),
            b"HELP" => Ok(Self::Help(optional)),
            b"FEAT" => none(Self::Feat),
            b"OPTS" => parse_opts(some()?).map(Self::Opts),
            b"SITE" => parse_site(some()?).map(Self::Site),
            b"SYST" => none(Self::Syst),
            b"NOOP" => none(Self::Noop),
            b"ABOR" => none(Self::Abor),
            b"GET" | b"HEAD" | b"POST" | b"PUT" | b"DELETE" | b"OPTIONS" | b"CONNECT"
            | b"PATCH" | b"TRACE" | b"PRI" => Ok(Self::Http),
            b"SMNT" | b"ADAT" | b"MIC" | b"CONF" | b"ENC" | b"LANG" | b"MFCT" | b"MFF"
            | b"LPRT" | b"LPSV" => Err(Error::new(502, "Command not implemented.")),
            _ => Err(Error::new(500, "Unknown command.")),
        }
    }

    /// Appends the command as a line, with 0xFF doubled as Telnet wants it.
    ///
    /// # Errors
    /// 501 if an argument holds a CR, LF or NUL, which no FTP command can express, is empty where
    /// it can't be, or is an address with a zone, which another machine can't use; nothing is
    /// appended then.
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), Error> {
        let mut line = Vec::new();
        self.write(&mut line);
        // Reading it back is the one definition of what is legal.
        if Command::parse(&line) != Ok(*self) {
            return Err(ARGUMENT);
        }
        for byte in line {
            out.push(byte);
            if byte == 0xff {
                out.push(byte);
            }
        }
        out.extend_from_slice(b"\r\n");
        Ok(())
    }

    fn write(&self, out: &mut Vec<u8>) {
        match *self {
            Self::User(name) => words(out, "USER", Some(name)),
            Self::Pass(password) => words(out, "PASS", Some(password)),
            Self::Acct(account) => words(out, "ACCT", Some(account)),
            Self::Host(name) => words(out, "HOST", Some(name)),
            Self::AuthTls => words(out, "AUTH TLS", None),
            Self::Pbsz(size) => with_number(out, "PBSZ ", u64::from(size)),
            Self::Prot(Protection::Clear) => words(out, "PROT C", None),
            Self::Prot(Protection::Private) => words(out, "PROT P", None),
            Self::Ccc => words(out, "CCC", None),
            Self::Rein => words(out, "REIN", None),
            Self::Quit => words(out, "QUIT", None),
            Self::Cwd(path) => words(out, "CWD", Some(path)),
            Self::Cdup => words(out, "CDUP", None),
            Self::Pwd => words(out, "PWD", None),
            Self::Mkd(path) => words(out, "MKD", Some(path)),
            Self::Rmd(path) => words(out, "RMD", Some(path)),
            Self::Dele(path) => words(out, "DELE", Some(path)),
            Self::Rnfr(path) => words(out, "RNFR", Some(path)),
            Self::Rnto(path) => words(out, "RNTO", Some(path)),
            Self::Type(Type::Ascii) => words(out, "TYPE A", None),
            Self::Type(Type::Image) => words(out, "TYPE I", None),
            Self::ModeStream => words(out, "MODE S", None),
            Self::StruFile => words(out, "STRU F", None),
            Self::Port(address) => {
                words(out, "PORT ", None);
                write_host_port(out, address);
            }
            Self::Eprt(address) => {
                words(out, "EPRT ", None);
                write_extended(out, address);
            }
            Self::Pasv => words(out, "PASV", None),
            Self::Epsv(Epsv::Same) => words(out, "EPSV", None),
            Self::Epsv(Epsv::V4) => words(out, "EPSV 1", None),
            Self::Epsv(Epsv::V6) => words(out, "EPSV 2", None),
            Self::Epsv(Epsv::All) => words(out, "EPSV ALL", None),
            Self::Rest(offset) => with_number(out, "REST ", offset),
            Self::Allo(size) => with_number(out, "ALLO ", size),
            Self::Retr(path) => words(out, "RETR", Some(path)),
            Self::Stor(path) => words(out, "STOR", Some(path)),
            Self::Appe(path) => words(out, "APPE", Some(path)),
            Self::Stou(path) => words(out, "STOU", path),
            Self::List(options, path) => write_list(out, "LIST", options, path),
            Self::Nlst(options, path) => write_list(out, "NLST", options, path),
            Self::Mlst(path) => words(out, "MLST", path),
            Self::Mlsd(path) => words(out, "MLSD", path),
            Self::Size(path) => words(out, "SIZE", Some(path)),
            Self::Mdtm(path) => words(out, "MDTM", Some(path)),
            Self::Mfmt(time, path) => {
                words(out, "MFMT", Some(&format_time(time)));
                words(out, "", Some(path));
            }
            Self::Hash(path) => words(out, "HASH", Some(path)),
            Self::Checksum(hash, path) => words(out, hash.verb(), Some(path)),
            Self::Stat(path) => words(out, "STAT", path),
            Self::Help(topic) => words(out, "HELP", topic),
            Self::Feat => words(out, "FEAT", None),
            Self::Opts(Opts::Utf8(true)) => words(out, "OPTS UTF8 ON", None),
            Self::Opts(Opts::Utf8(false)) => words(out, "OPTS UTF8 OFF", None),
            Self::Opts(Opts::Mlst(facts)) => {
                words(out, "OPTS MLST ", None);
                facts.write(out);
            }
            Self::Opts(Opts::Hash(hash)) => {
                words(out, "OPTS HASH", hash.map(|hash| hash.as_str().as_bytes()));
            }
            Self::Site(Site::Help(topic)) => words(out, "SITE HELP", topic),
            Self::Site(Site::Chmod(mode, path)) => {
                words(out, "SITE CHMOD ", None);
                out.extend([9, 6, 3, 0].map(|shift| b'0' + (mode >> shift & 7) as u8));
                words(out, "", Some(path));
            }
            Self::Site(Site::Register(name, password)) => {
                words(out, "SITE REGISTER ", None);
                quoted(out, name);
                words(out, "", Some(password));
            }
            Self::Site(Site::Passwd(old, new)) => {
                words(out, "SITE PASSWD ", None);
                quoted(out, old);
                words(out, "", Some(new));
            }
            Self::Site(Site::Quota) => words(out, "SITE QUOTA", None),
            Self::Syst => words(out, "SYST", None),
            Self::Noop => words(out, "NOOP", None),
            Self::Abor => words(out, "ABOR", None),
            Self::Http => words(out, "GET", None),
        }
    }
}

/// Appends `verb`, and a space and the argument if there is one.
fn words(out: &mut Vec<u8>, verb: &str, argument: Option<&[u8]>) {
    out.extend_from_slice(verb.as_bytes());
    if let Some(argument) = argument {
        out.push(b' ');
        out.extend_from_slice(argument);
    }
}

fn with_number(out: &mut Vec<u8>, verb: &str, number: u64) {
    words(out, verb, None);
    push_decimal(out, number);
}

fn number<T: TryFrom<u64>>(text: &[u8]) -> Result<T, Error> {
    parse_decimal(trim(text))
        .and_then(|number| number.try_into().ok())
        .ok_or(ARGUMENT)
}

/// The first word, and what follows the one space after it.
fn split_word(text: &[u8]) -> (&[u8], &[u8]) {
    match memchr::memchr(b' ', text) {
        Some(at) => (&text[..at], &text[at + 1..]),
        None => (text, b""),
    }
}

fn parse_auth(argument: &[u8]) -> Result<Command<'_>, Error> {
    let mechanism = trim(argument);
    let tls = mechanism.eq_ignore_ascii_case(b"TLS") || mechanism.eq_ignore_ascii_case(b"TLS-C");
    if tls {
        Ok(Command::AuthTls)
    } else {
        Err(PARAMETER)
    }
}

fn parse_protection(argument: &[u8]) -> Result<Protection, Error> {
    match trim(argument) {
        b"C" | b"c" => Ok(Protection::Clear),
        b"P" | b"p" => Ok(Protection::Private),
        b"S" | b"s" | b"E" | b"e" => Err(Error::new(536, "TLS knows only C and P.")),
        _ => Err(PARAMETER),
    }
}

fn parse_type(argument: &[u8]) -> Result<Type, Error> {
    let mut name = [0; 3];
    let argument = trim(argument);
    let name = name.get_mut(..argument.len()).ok_or(PARAMETER)?;
    name.copy_from_slice(argument);
    name.make_ascii_uppercase();
    match &*name {
        b"A" | b"A N" => Ok(Type::Ascii),
        b"I" | b"L 8" | b"L8" => Ok(Type::Image),
        _ => Err(PARAMETER),
    }
}

/// For parameters of which one value is left in use, and the others are known and not offered.
fn parse_only<'b>(
    argument: &[u8],
    only: &[u8],
    others: &[u8],
    command: Command<'b>,
) -> Result<Command<'b>, Error> {
    match trim(argument) {
        letter if letter.eq_ignore_ascii_case(only) => Ok(command),
        [letter] if others.contains(&letter.to_ascii_uppercase()) => Err(PARAMETER),
        _ => Err(ARGUMENT),
    }
}

fn parse_epsv(argument: &[u8]) -> Result<Epsv, Error> {
    match trim(argument) {
        b"" => Ok(Epsv::Same),
        b"1" => Ok(Epsv::V4),
        b"2" => Ok(Epsv::V6),
        all if all.eq_ignore_ascii_case(b"ALL") => Ok(Epsv::All),
        other if other.iter().all(u8::is_ascii_digit) => Err(address::FAMILY),
        _ => Err(ARGUMENT),
    }
}

/// Takes options off the front of a LIST's argument, as servers that ran `ls` once did. `--` ends
/// them, for a path that begins with a dash.
fn list_options(argument: &[u8]) -> (ListOptions, Option<&[u8]>) {
    let mut options = ListOptions::default();
    let mut rest = argument;
    while let [b'-', letters @ ..] = rest {
        let (letters, after) = split_word(letters);
        rest = after;
        if letters == b"-" {
            break;
        }
        options.all |= letters.contains(&b'a');
        options.long |= letters.contains(&b'l');
    }
    (options, Some(rest).filter(|path| !path.is_empty()))
}

fn write_list(out: &mut Vec<u8>, verb: &str, options: ListOptions, path: Option<&[u8]>) {
    words(out, verb, None);
    for (wanted, option) in [(options.all, "-a"), (options.long, "-l")] {
        if wanted {
            words(out, "", Some(option.as_bytes()));
        }
    }
    if path.is_some_and(|path| path.starts_with(b"-")) {
        words(out, "", Some(b"--"));
    }
    words(out, "", path);
}

fn parse_mfmt(argument: &[u8]) -> Result<Command<'_>, Error> {
    let (time, path) = split_word(argument);
    match parse_time(time) {
        Some(time) if !path.is_empty() => Ok(Command::Mfmt(time, path)),
        _ => Err(ARGUMENT),
    }
}

fn parse_opts(argument: &[u8]) -> Result<Opts, Error> {
    let (name, rest) = split_word(argument);
    let rest = trim(rest);
    let is = |known: &[u8]| name.eq_ignore_ascii_case(known);
    if is(b"UTF8") || is(b"UTF-8") {
        match rest {
            b"" => Ok(Opts::Utf8(true)),
            _ if rest.eq_ignore_ascii_case(b"ON") => Ok(Opts::Utf8(true)),
            _ if rest.eq_ignore_ascii_case(b"OFF") => Ok(Opts::Utf8(false)),
            _ => Err(ARGUMENT),
        }
    } else if is(b"MLST") {
        // RFC 3659 section 7.9: names, each with a semicolon behind it, and nothing else.
        let is_list = rest.is_empty() || rest.ends_with(b";");
        if !is_list || rest.contains(&b' ') {
            return Err(ARGUMENT);
        }
        Ok(Opts::Mlst(Facts::parse(rest)))
    } else if is(b"HASH") {
        match rest {
            b"" => Ok(Opts::Hash(None)),
            name => Hash::parse(name)
                .map(|hash| Opts::Hash(Some(hash)))
                .ok_or(Error::new(
                    501,
                    "Unknown algorithm; FEAT has those there are.",
                )),
        }
    } else {
        // RFC 2389 section 4: what can't be set is a bad argument.
        Err(Error::new(501, "That has no options."))
    }
}

fn parse_site(argument: &[u8]) -> Result<Site<'_>, Error> {
    let (name, rest) = split_word(argument);
    let is = |known: &[u8]| name.eq_ignore_ascii_case(known);
    let (first, second) = split_word(rest);
    if is(b"HELP") {
        Ok(Site::Help(Some(rest).filter(|topic| !topic.is_empty())))
    } else if is(b"CHMOD") {
        match parse_mode(first) {
            Some(mode) if !second.is_empty() => Ok(Site::Chmod(mode, second)),
            _ => Err(ARGUMENT),
        }
    } else if is(b"REGISTER") {
        let (name, password) = split_quoted(rest);
        if name.is_empty() || password.is_empty() {
            Err(Error::new(501, "Give a name, and a password."))
        } else {
            Ok(Site::Register(name, password))
        }
    } else if is(b"PASSWD") {
        let (old, new) = split_quoted(rest);
        if old.is_empty() || new.is_empty() {
            Err(Error::new(501, "Give the old password, and the new one."))
        } else {
            Ok(Site::Passwd(old, new))
        }
    } else if is(b"QUOTA") {
        Ok(Site::Quota)
    } else {
        Err(Error::new(504, "Unknown SITE command; try SITE HELP."))
    }
}

/// Appends a word, in quotation marks if it would else be none.
fn quoted(out: &mut Vec<u8>, word: &[u8]) {
    let mark: &[u8] = if word.contains(&b' ') || word.starts_with(b"\"") {
        b"\""
    } else {
        b""
    };
    out.extend([mark, word, mark].concat());
}

/// The first word, or what stands between quotation marks, and what comes after the space behind.
fn split_quoted(text: &[u8]) -> (&[u8], &[u8]) {
    let quoted =
        text.strip_prefix(b"\"")
            .and_then(|inner| match memchr::memmem::find(inner, b"\" ") {
                Some(end) => Some((&inner[..end], &inner[end + 2..])),
                None => Some((inner.strip_suffix(b"\"")?, &b""[..])),
            });
    quoted.unwrap_or_else(|| split_word(text))
}

/// Three or four octal digits.
fn parse_mode(text: &[u8]) -> Option<u32> {
    if !(3..=4).contains(&text.len()) {
        return None;
    }
    text.iter().try_fold(0, |mode, byte| {
        matches!(byte, b'0'..=b'7').then(|| mode << 3 | u32::from(byte - b'0'))
    })
}
