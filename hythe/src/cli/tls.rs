//! TLS, as the command line of `hythe serve` says it.

use std::io::{self, IsTerminal as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use clap::ValueEnum;
use clap::builder::BoolishValueParser;
use hythe_net::{Server, interface_addresses};
use signal_hook::consts::SIGHUP;
use signal_hook::low_level::pipe;

use super::failure::{Exit, Failure, cause};
use super::serve::Listen;
use crate::share::RESERVED;
use crate::tls::{Acceptor, Identity, SelfSigned};

/// Where HTTPS is served once there is a certificate.
const HTTPS_PORT: u16 = 8443;

#[derive(Debug, clap::Args)]
#[group(skip)] // the arguments around it are such a group already
pub(super) struct Args {
    /// Where to serve HTTPS [default: 8443 once there is a certificate, else off]
    #[arg(
        long,
        env = "HYTHE_HTTPS",
        value_name = "[HOST:]PORT",
        help_heading = "Where to listen"
    )]
    https: Option<Listen>,

    /// Where to serve FTP that is under TLS from the first byte on (implicit
    /// FTPS); FTP clients that ask for TLS get it on the port of --ftp, too
    #[arg(
        long,
        env = "HYTHE_FTPS",
        default_value = "off",
        value_name = "[HOST:]PORT",
        help_heading = "Where to listen"
    )]
    ftps: Listen,

    #[command(flatten)]
    certificate: Certificate,

    /// Whether FTP clients have to ask for TLS, for commands and for data
    #[arg(
        long,
        env = "HYTHE_FTP_TLS",
        default_value = "allowed",
        value_name = "WHEN",
        help_heading = "TLS"
    )]
    ftp_tls: Need,

    /// Whether data connections of FTP have to resume the TLS session of their
    /// control connection, and none are in the clear: nobody can step in
    /// between; some clients can't
    #[arg(
        long,
        env = "HYTHE_FTP_TLS_SESSION",
        default_value = "allowed",
        value_name = "WHEN",
        help_heading = "TLS"
    )]
    ftp_tls_session: Need,
}

/// Who we are.
#[derive(Debug, clap::Args)]
#[group(skip)]
pub(super) struct Certificate {
    /// The certificate to show, in PEM, with those that vouch for it behind it;
    /// needs --tls-key
    ///
    /// SIGHUP has both files read again, for connections from then on.
    #[arg(
        long,
        env = "HYTHE_TLS_CERT",
        value_name = "FILE",
        help_heading = "TLS"
    )]
    tls_cert: Option<PathBuf>,

    /// The private key of the certificate, in PEM
    #[arg(long, env = "HYTHE_TLS_KEY", value_name = "FILE", help_heading = "TLS")]
    tls_key: Option<PathBuf>,

    /// Show a certificate that nobody vouches for, made the first time and kept
    /// in ~/.hythe; its fingerprint is shown at the start, to be compared once
    #[arg(long, env = "HYTHE_TLS_SELF_SIGNED", value_parser = BoolishValueParser::new(),
          help_heading = "TLS")]
    tls_self_signed: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Need {
    /// As the client likes
    Allowed,
    /// Else it is refused
    Required,
}

/// What there is of TLS once it is set up.
#[derive(Debug)]
pub(super) struct Tls {
    identity: Identity,
    /// Where TLS begins with the connection.
    pub(super) https: Listen,
    pub(super) ftps: Listen,
}

impl Args {
    pub(super) fn ftp_required(&self) -> bool {
        self.ftp_tls == Need::Required
    }

    pub(super) fn ftp_session_required(&self) -> bool {
        self.ftp_tls_session == Need::Required
    }

    /// TLS, if there is to be any. Whatever can't be done as it was said is a
    /// failure: nobody wants to find out later that all was in the clear.
    pub(super) fn tls(&self, shared: &Path) -> Result<Option<Tls>, Failure> {
        let Some(identity) = self.certificate.identity()? else {
            return self.check_unneeded().map(|()| None);
        };
        check_outside(identity.key_file(), shared)?;
        let https = self.https.clone().unwrap_or(Listen::At {
            host: None,
            port: HTTPS_PORT,
        });
        Ok(Some(Tls {
            identity,
            https,
            ftps: self.ftps.clone(),
        }))
    }

    fn check_unneeded(&self) -> Result<(), Failure> {
        let is_on = |listen: &Listen| *listen != Listen::Off;
        let flag = if self.https.as_ref().is_some_and(is_on) {
            "--https"
        } else if is_on(&self.ftps) {
            "--ftps"
        } else if self.ftp_required() {
            "--ftp-tls required"
        } else if self.ftp_session_required() {
            "--ftp-tls-session required"
        } else {
            return Ok(());
        };
        let text = format!(
            "{flag} needs a certificate: --tls-cert FILE --tls-key FILE, or --tls-self-signed"
        );
        Err(Failure::new(Exit::Usage, text))
    }
}

impl Certificate {
    /// Whether anything was said.
    pub(super) fn is_given(&self) -> bool {
        self.tls_cert.is_some() || self.tls_key.is_some() || self.tls_self_signed
    }

    /// As it was said; nobody, if nothing was said.
    pub(super) fn identity(&self) -> Result<Option<Identity>, Failure> {
        let usage = |text: &str| Err(Failure::new(Exit::Usage, text));
        let failed = |error: io::Error| Failure::new(Exit::of(&error), error.to_string());
        Ok(Some(
            match (&self.tls_cert, &self.tls_key, self.tls_self_signed) {
                (None, None, false) => return Ok(None),
                (None, None, true) => {
                    let kept = SelfSigned::kept_in(&own_folder()?);
                    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
                    let now = now.map_or(0, |time| time.as_secs() as i64);
                    kept.identity(now, own_names()).map_err(failed)?
                }
                (Some(certificate), Some(key), false) => {
                    Identity::from_files(certificate, key).map_err(failed)?
                }
                (Some(_), None, _) => {
                    return usage("--tls-cert needs the private key: --tls-key FILE");
                }
                (None, Some(_), _) => {
                    return usage("--tls-key needs the certificate: --tls-cert FILE");
                }
                (Some(_), Some(_), true) => {
                    return usage("give --tls-cert and --tls-key, or --tls-self-signed, not both");
                }
            },
        ))
    }
}

impl Tls {
    pub(super) fn acceptor(&self, protocol: &'static str) -> Result<Acceptor, Failure> {
        Acceptor::new(&self.identity, Some(protocol))
            .map_err(|error| Failure::new(Exit::Other, format!("cannot set up TLS: {error}")))
    }

    /// As `openssl x509 -fingerprint -sha256` shows it.
    pub(super) fn fingerprint(&self) -> String {
        self.identity.fingerprint()
    }

    /// Has the certificate read again at each SIGHUP.
    pub(super) fn reload_on_hangup(&self, server: Server) -> Result<Server, Failure> {
        let registered = UnixStream::pair()
            .and_then(|(reading, writing)| pipe::register(SIGHUP, writing).map(|_| reading));
        let reading = registered.map_err(|error| {
            let text = format!("cannot catch SIGHUP: {}", cause(&error));
            Failure::new(Exit::Other, text)
        })?;
        let identity = self.identity.clone();
        let shutdown = server.shutdown();
        let on_terminal = io::stderr().is_terminal();
        Ok(server.call_on(reading, move || {
            // The terminal has hung up, which ends what was started from it.
            if on_terminal && !io::stderr().is_terminal() {
                return shutdown.stop();
            }
            match identity.reload() {
                Ok(()) => {
                    let fingerprint = identity.fingerprint();
                    tracing::info!(%fingerprint, "read the certificate again");
                }
                Err(error) => tracing::error!(%error, "kept the certificate as it was"),
            }
        }))
    }
}

/// Where a certificate of our own is kept: under the name that no share shows,
/// whichever folder is shared.
fn own_folder() -> Result<PathBuf, Failure> {
    let reserved = String::from_utf8_lossy(RESERVED);
    match std::env::var_os("HOME") {
        Some(home) if !home.is_empty() => Ok(Path::new(&home).join(&*reserved)),
        _ => {
            let text = "there is no place to keep a self-signed certificate: HOME is not set; \
                        set it, or give --tls-cert and --tls-key";
            Err(Failure::new(Exit::Usage, text))
        }
    }
}

/// By what others reach this machine, as far as it knows: a certificate names
/// what it is for.
fn own_names() -> Vec<String> {
    let mut names = vec!["localhost".to_owned()];
    let system = rustix::system::uname();
    let host = system.nodename().to_string_lossy().into_owned();
    if !host.is_empty() && host.is_ascii() && host != "localhost" {
        names.push(format!("{host}.local"));
        names.push(host);
    }
    let mut addresses: Vec<IpAddr> = vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
    let others = interface_addresses().unwrap_or_default();
    addresses.extend(others.iter().map(|own| own.address));
    addresses.sort_unstable();
    addresses.dedup();
    names.extend(addresses.iter().map(IpAddr::to_string));
    names
}

/// A visitor who could fetch the private key could pretend to be us.
fn check_outside(key: &Path, shared: &Path) -> Result<(), Failure> {
    let (real, folder) = (key.canonicalize(), shared.canonicalize());
    let (Ok(real), Ok(folder)) = (real, folder) else {
        return Ok(()); // serving the folder will say what is wrong
    };
    let Ok(inside) = real.strip_prefix(&folder) else {
        return Ok(());
    };
    let hidden = |part: std::path::Component<'_>| {
        part.as_os_str()
            .as_encoded_bytes()
            .eq_ignore_ascii_case(RESERVED)
    };
    if inside.components().any(hidden) {
        return Ok(());
    }
    let text = format!(
        "the private key in {} would be shared with all else; keep it outside of {}",
        key.display(),
        shared.display()
    );
    Err(Failure::new(Exit::Usage, text))
}
