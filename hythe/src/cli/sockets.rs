//! What `connect` and `listen` have in common: how a conversation is held, and
//! where one listens.

use std::io::{self, IsTerminal as _, Write as _};
use std::net::SocketAddr;
use std::os::unix::fs::FileTypeExt as _;
use std::str::FromStr;
use std::time::Duration;

use clap::builder::BoolishValueParser;
use hythe_net::Addr;

use super::failure::{Exit, Failure, cause};
use crate::quantity::parse_span;
use crate::raw::{self, Ended, Input, Manner, Output};

/// How a conversation is held.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Conversation {
    /// End after this long without a byte in either direction: seconds, or with
    /// m, h or d [default: never; of listen --service 300 s]
    #[arg(long, env = "HYTHE_IDLE", value_name = "TIME", value_parser = parse_span,
          help_heading = "Conversation")]
    pub(super) idle: Option<u64>,

    /// Tell the peer when standard input ends, and go on listening: the default,
    /// and stronger than --no-half-close
    #[arg(long, env = "HYTHE_HALF_CLOSE", value_parser = BoolishValueParser::new(),
          value_name = "BOOL", num_args = 0..=1, require_equals = true,
          default_missing_value = "true", help_heading = "Conversation")]
    half_close: Option<bool>,

    /// Do not tell it: some peers take that for the end of everything
    #[arg(long, env = "HYTHE_NO_HALF_CLOSE", value_parser = BoolishValueParser::new(),
          help_heading = "Conversation")]
    no_half_close: bool,

    /// Send line ends as CR LF, as SMTP, HTTP and many others want them
    #[arg(long, env = "HYTHE_CRLF", value_parser = BoolishValueParser::new(),
          help_heading = "Conversation")]
    crlf: bool,

    /// Show what goes either way as a dump on standard output: `>` is sent, `<`
    /// received
    #[arg(long, env = "HYTHE_HEX", value_parser = BoolishValueParser::new(),
          help_heading = "Conversation")]
    hex: bool,

    /// Say nothing on standard error but what goes wrong
    #[arg(short, long, env = "HYTHE_QUIET", value_parser = BoolishValueParser::new())]
    pub(super) quiet: bool,
}

impl Conversation {
    pub(super) fn idle(&self) -> Option<Duration> {
        self.idle.map(Duration::from_secs)
    }

    pub(super) fn manner(&self) -> Manner {
        Manner {
            half_close: self.half_close.unwrap_or(!self.no_half_close),
            crlf: self.crlf,
            hex: self.hex,
            idle: self.idle(),
            ends_with_peer: io::stdin().is_terminal(),
        }
    }

    /// The flag that says how standard input and output are used, if there is
    /// one: for those who do not use them.
    pub(super) fn manner_flag(&self) -> Option<&'static str> {
        let flags = [
            (self.crlf, "--crlf"),
            (self.hex, "--hex"),
            (self.no_half_close, "--no-half-close"),
        ];
        flags.iter().find_map(|(on, flag)| on.then_some(*flag))
    }

    /// Tells the user what happens.
    pub(super) fn tell(&self, text: impl std::fmt::Display) {
        if !self.quiet {
            // `eprintln` panics where standard error is closed.
            writeln!(io::stderr(), "{text}").ok();
        }
    }

    /// What is to be said of how it ended.
    pub(super) fn ended(&self, ended: Result<Ended, raw::Error>) -> Result<(), Failure> {
        match ended {
            Ok(Ended::Both) => Ok(()),
            Ok(Ended::ByPeer) => {
                self.tell("connection closed by the peer");
                Ok(())
            }
            Err(error) if error.is_enough() => Ok(()),
            Err(error) => Err(Failure::new(Exit::Other, error.to_string())),
        }
    }
}

/// Standard input and output, in the reactor that runs.
pub(super) fn standard() -> Result<(Input, Output), Failure> {
    let failed = |error: io::Error| {
        let text = format!("cannot use standard input and output: {}", cause(&error));
        Failure::new(Exit::Other, text)
    };
    let input = Input::standard().map_err(failed)?;
    Ok((input, Output::standard().map_err(failed)?))
}

/// What to say of a Unix socket that is not named.
pub(super) const NO_PATH: &str = "a path is missing after `unix:`; give unix:PATH or unix:@NAME";

/// Where somebody listens: `[HOST:]PORT`, or `unix:PATH`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Unix(Addr),
    Port { host: Option<String>, port: u16 },
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "unix:" {
            return Err(NO_PATH.into());
        }
        if text.starts_with("unix:") {
            return text.parse().map(Self::Unix).map_err(|error: io::Error| {
                format!("{error}; give unix:PATH, of up to 107 bytes, or unix:@NAME")
            });
        }
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) => (Some(host.to_owned()), port),
            None => (None, text),
        };
        let port = port.parse().map_err(|_| {
            format!("`{port}` is not a port (0 to 65535); give PORT, HOST:PORT or unix:PATH")
        })?;
        match host.as_deref() {
            Some("") => Err("a host is missing before the colon".into()),
            _ => Ok(Self::Port { host, port }),
        }
    }
}

impl Place {
    /// The address to listen at: without a host, all that this machine has.
    pub(super) fn address(&self) -> Result<Addr, Failure> {
        let (host, port) = match self {
            Self::Unix(address) => return Ok(address.clone()),
            Self::Port { host, port } => (host.as_deref(), *port),
        };
        let text = match host {
            None if has_ipv6() => format!("[::]:{port}"),
            None => format!("0.0.0.0:{port}"),
            Some(host) => with_port(host, port),
        };
        let found = Addr::resolve(&text).map_err(|error| {
            let why = unresolved(host.unwrap_or_default(), &error);
            let why = why.unwrap_or_else(|| cause(&error));
            Failure::new(Exit::Other, format!("cannot listen on {text}: {why}"))
        })?;
        found.into_iter().next().ok_or_else(|| {
            Failure::new(
                Exit::Other,
                format!("cannot listen on {text}: it has no address"),
            )
        })
    }
}

/// `HOST:PORT`, where an IPv6 address gets its brackets.
pub(super) fn with_port(host: &str, port: u16) -> String {
    if host.contains(':') && !host.starts_with('[') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    }
}

/// Where somebody listens, as `HOST:PORT` or `unix:PATH` says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    /// As [`Addr::resolve`] understands it.
    pub(super) text: String,
}

impl Target {
    pub(super) fn parse(text: &str) -> Result<Self, Failure> {
        let usage = || {
            let text = format!("`{text}` is no HOST:PORT; the receiver comes last");
            Failure::new(Exit::Usage, text)
        };
        if text.starts_with("unix:") {
            return Ok(Self { text: text.into() });
        }
        let (host, port) = text.rsplit_once(':').ok_or_else(usage)?;
        let port = port.parse().map_err(|_| usage())?;
        if host.is_empty() || host.contains('/') {
            return Err(usage());
        }
        Ok(Self {
            text: with_port(host, port),
        })
    }

    /// The machine.
    pub(super) fn host(&self) -> &str {
        self.text
            .rsplit_once(':')
            .map_or(&self.text, |(host, _)| host)
    }
}

/// What the resolver says of a host, if it is the resolver who speaks: it has
/// neither numbers nor kinds, only words.
pub(super) fn unresolved(host: &str, error: &io::Error) -> Option<String> {
    let text = error.to_string();
    if error.raw_os_error().is_some() || !text.contains("lookup") {
        None
    } else if text.contains("Temporary") {
        Some(format!(
            "no name server answers that could say where {host} is"
        ))
    } else {
        Some(format!("no host is called {host}"))
    }
}

/// An address as people know it: of an IPv4 client, whatever it came through.
pub(super) fn known_as(address: &Addr) -> String {
    match (address.ip(), address.port()) {
        (Some(ip), Some(port)) => SocketAddr::new(ip, port).to_string(),
        _ => address.to_string(),
    }
}

/// `1 file`, `2 files`.
pub(super) fn counted(count: u64, one: &str, several: &str) -> String {
    let what = if count == 1 { one } else { several };
    format!("{count} {what}")
}

/// Some machines have it turned off.
fn has_ipv6() -> bool {
    let any = "[::]:0".parse();
    any.is_ok_and(|any| {
        let socket = hythe_net::Socket::new(hythe_net::Domain::INET6, hythe_net::Kind::DATAGRAM);
        socket.and_then(|socket| socket.bind(&any)).is_ok()
    })
}

/// What to say when nobody can listen there.
pub(super) fn taken(address: &Addr, error: &io::Error) -> Failure {
    let way_out = match (error.kind(), address.path()) {
        (io::ErrorKind::AddrInUse, Some(path)) => match std::fs::symlink_metadata(path) {
            Ok(meta) if meta.file_type().is_socket() => "; another program listens there",
            _ => "; there is a file of that name, which is no socket",
        },
        (_, Some(_)) => "",
        (kind, None) => way_out(kind, address),
    };
    let text = format!("cannot listen on {address}: {}{way_out}", cause(error));
    Failure::new(Exit::Other, text)
}

fn way_out(kind: io::ErrorKind, address: &Addr) -> &'static str {
    match kind {
        io::ErrorKind::AddrInUse => "; another program has it: take another one, or port 0",
        io::ErrorKind::PermissionDenied if address.port().is_some_and(|port| port < 1024) => {
            "; ports below 1024 are for root"
        }
        io::ErrorKind::AddrNotAvailable => "; see `ip address` for those it has",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_ports_with_or_without_a_host_or_unix_sockets() {
        let at = |host: Option<&str>, port| Place::Port {
            host: host.map(Into::into),
            port,
        };
        assert_eq!("9000".parse(), Ok(at(None, 9000)));
        assert_eq!("[::1]:0".parse(), Ok(at(Some("[::1]"), 0)));
        assert_eq!(
            "unix:/run/中文".parse(),
            Ok(Place::Unix("unix:/run/中文".parse().unwrap()))
        );
        let long = format!("unix:/{}", "x".repeat(120));
        for wrong in [
            "",
            "x",
            "65536",
            ":80",
            "localhost",
            "localhost:",
            "unix:",
            &long,
        ] {
            assert!(wrong.parse::<Place>().is_err(), "{wrong}");
        }
    }
}
