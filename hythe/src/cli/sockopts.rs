//! `hythe sockopts`: every socket option, and this machine's default for it.

use std::fmt::Write as _;
use std::io::{self, Write as _};

use clap::ValueEnum;
use clap::builder::BoolishValueParser;
use hythe_net::option::{Access, Description, Reading, TABLE, Value};
use hythe_net::{Domain, Kind, Socket};
use serde::Serialize;

use super::failure::{Exit, Failure, cause};

/// Show every socket option: level, name, type, this machine's default, and
/// what it does
///
/// The default is read from a new socket that has the option; --domain and
/// --kind choose the socket, and leave out what it does not have. Opens no
/// connection, and changes nothing.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Only what sockets of this family have
    #[arg(long, env = "HYTHE_DOMAIN", value_name = "DOMAIN")]
    domain: Option<DomainName>,

    /// Only what sockets of this kind have
    #[arg(long, env = "HYTHE_KIND", value_name = "KIND")]
    kind: Option<KindName>,

    /// As JSON: an array with an object for each option; times in seconds
    #[arg(long, env = "HYTHE_JSON", value_parser = BoolishValueParser::new())]
    json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum DomainName {
    /// IPv4
    Inet,
    /// IPv6
    Inet6,
    /// Processes of one machine
    Unix,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum KindName {
    /// Connected, bytes: TCP
    Stream,
    /// Single messages: UDP
    Datagram,
    /// Connected, messages
    Seqpacket,
    /// The protocol below TCP and UDP; needs privilege
    Raw,
}

/// One option, as it is shown.
#[derive(Debug, Serialize)]
struct Row {
    level: &'static str,
    name: &'static str,
    /// Of the level, and of the option within it.
    numbers: (i32, i32),
    #[serde(rename = "type")]
    type_name: &'static str,
    value: &'static str,
    access: &'static str,
    /// What a new socket has; null also where that is nothing.
    default: serde_json::Value,
    /// The same for people; null only where it can't be read.
    default_text: Option<String>,
    /// The socket it was read from: domain and kind.
    socket: Option<String>,
    about: &'static str,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let sockets = open(args)?;
    let rows: Vec<Row> = TABLE
        .iter()
        .filter_map(|option| {
            let includes = |opened: &&Opened| option.sockets.include(opened.domain, opened.kind);
            Some(Row::new(option, sockets.iter().find(includes)?))
        })
        .collect();
    let text = if args.json {
        serde_json::to_string_pretty(&rows)
            .map_err(|error| Failure::new(Exit::Other, error.to_string()))?
            + "\n"
    } else {
        table(&rows)
    };
    match io::stdout().write_all(text.as_bytes()) {
        // Whoever closed the pipe has seen enough.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            let text = format!("cannot write the options: {}", cause(&error));
            Err(Failure::new(Exit::Other, text))
        }
        _ => Ok(()),
    }
}

/// A new socket of each family and kind that was asked for; without a kind, of
/// the two that every family has. One at least: else why there is none.
fn open(args: &Args) -> Result<Vec<Opened>, Failure> {
    let domains = match args.domain {
        Some(domain) => vec![domain],
        None => DomainName::value_variants().to_vec(),
    };
    let kinds = match args.kind {
        Some(kind) => vec![kind],
        None => vec![KindName::Stream, KindName::Datagram],
    };
    let mut sockets = Vec::new();
    let mut refused = None;
    for domain in domains {
        for &kind in &kinds {
            match domain.open(kind) {
                Ok(opened) => sockets.push(opened),
                Err(error) => refused = Some((domain, kind, error)),
            }
        }
    }
    match refused {
        Some((domain, kind, error)) if sockets.is_empty() => {
            let (domain, kind) = (shown(domain), shown(kind));
            let cause = cause(&error);
            let text = format!("cannot open a socket of domain {domain} and kind {kind}: {cause}");
            Err(Failure::new(Exit::of(&error), text))
        }
        _ => Ok(sockets),
    }
}

/// A new socket, to read defaults from.
struct Opened {
    /// Domain and kind, as they are typed.
    name: String,
    domain: Domain,
    kind: Kind,
    socket: Socket,
}

impl DomainName {
    fn open(self, kind: KindName) -> io::Result<Opened> {
        let name = format!("{} {}", shown(self), shown(kind));
        let domain = match self {
            Self::Inet => Domain::INET,
            Self::Inet6 => Domain::INET6,
            Self::Unix => Domain::UNIX,
        };
        let kind = match kind {
            KindName::Stream => Kind::STREAM,
            KindName::Datagram => Kind::DATAGRAM,
            KindName::Seqpacket => Kind::SEQPACKET,
            KindName::Raw => Kind::RAW,
        };
        // Only raw Internet sockets have no protocol of their own.
        let raw = kind == Kind::RAW && self != Self::Unix;
        let protocol = if raw { IPPROTO_RAW } else { 0 };
        Ok(Opened {
            name,
            domain,
            kind,
            socket: Socket::with_protocol(domain, kind, protocol)?,
        })
    }
}

/// "Any", for raw sockets that only send (`raw(7)`).
const IPPROTO_RAW: u32 = 255;

/// As it is typed.
fn shown(name: impl ValueEnum) -> String {
    name.to_possible_value()
        .map(|value| value.get_name().to_owned())
        .unwrap_or_default()
}

impl Row {
    fn new(option: &Description, opened: &Opened) -> Self {
        let found = option.read.and_then(|read| read(&opened.socket).ok());
        let socket = found.as_ref().map(|_| opened.name.clone());
        let (value, default_text) = match found {
            Some(Reading { value, text }) => (value, Some(text)),
            None => (Value::None, None),
        };
        Self {
            level: option.level,
            name: option.name,
            numbers: option.numbers,
            type_name: option.type_name,
            value: option.value,
            access: match option.access {
                Access::ReadWrite => "read-write",
                Access::ReadOnly => "read-only",
                Access::WriteOnly => "write-only",
            },
            default: json(value),
            default_text,
            socket,
            about: option.about,
        }
    }
}

/// Times are in seconds, whatever the option counts in.
fn json(value: Value) -> serde_json::Value {
    match value {
        Value::None => serde_json::Value::Null,
        Value::Bool(on) => on.into(),
        Value::Number(number) => number.into(),
        // Whole seconds, as most are, are shown as such.
        Value::Time(time) if time.subsec_nanos() == 0 => time.as_secs().into(),
        Value::Time(time) => time.as_secs_f64().into(),
        Value::Text(text) => text.into(),
    }
}

/// A line for each option, and below it the sentence, indented; last, which
/// socket the defaults are of. Where it is another, the sentence says so.
fn table(rows: &[Row]) -> String {
    let usual = rows.iter().find_map(|row| row.socket.as_deref());
    let mut text = line("LEVEL", "NAME", "TYPE", "ACCESS", "DEFAULT");
    for row in rows {
        let Row { level, name, .. } = row;
        let type_name = format!("{}({})", row.type_name, row.value);
        let default = row.default_text.as_deref().unwrap_or("-");
        text += &line(level, name, &type_name, row.access, default);
        let mut about = row.about.to_owned();
        if let Some(socket) = row.socket.as_deref()
            && Some(socket) != usual
        {
            write!(about, " (Read from: {socket}.)").ok();
        }
        for piece in wrap(&about, WIDTH - INDENT.len()) {
            // Writing to a string can't fail.
            writeln!(text, "{INDENT}{piece}").ok();
        }
    }
    if let Some(usual) = usual {
        writeln!(
            text,
            "Defaults are read from a new socket: {usual}, where no other is named."
        )
        .ok();
    }
    text
}

fn line(level: &str, name: &str, type_name: &str, access: &str, default: &str) -> String {
    format!("{level:<13}{name:<21}{type_name:<31}{access:<11}{default}\n")
}

/// As wide as most terminals can be made, and as the program's help.
const WIDTH: usize = 100;

const INDENT: &str = "    ";

/// Lines of whole words, none wider than `width` unless a word is.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.len() + 1 + word.len() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}
