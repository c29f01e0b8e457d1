//! From a connection to a session: the greeting, TLS, the login.
//!
//! ```text
//!   dial ── TLS (990) ──► 220 ── AUTH TLS, TLS (ftps) ──► greeted
//!                                                            │
//!     ready ◄── PWD ◄── PBSZ, PROT (TLS) ◄── TYPE, OPTS ◄── FEAT ◄── USER, PASS
//! ```

use std::rc::Rc;

use hythe_wire::ftp::{Command, Opts, Protection, Type, parse_quoted_path};

use super::control::{Control, Purpose};
use super::data::{Transfer, Way};
use crate::client::dial::{dial, tls_failed};
use crate::client::{Error, Login, Options, Reason, RemotePath, Result, Url};
use crate::tls::{Channel, Connector};

/// Where the server is, and how to talk to it: the same for every session.
pub(super) struct Site {
    pub(super) url: Url,
    pub(super) options: Options,
    /// With TLS: shared by all connections, so that those for data resume the
    /// session of the control connection, which many servers demand.
    pub(super) connector: Option<Connector>,
    /// Whether TLS begins with the connection.
    pub(super) implicit: bool,
}

impl Site {
    /// Connects, and hears the greeting.
    pub(super) async fn greet(&self) -> Result<Control> {
        let stream = dial(&self.url.host, self.url.port, &self.options).await?;
        let mut channel = Channel::plain(stream);
        if self.implicit {
            self.secure(&mut channel).await?;
        }
        let mut control = Control::new(channel, self.options.stall);
        control.last_reply().await?.or_refusal(Purpose::Look)?;
        if let Some(connector) = self.connector.as_ref().filter(|_| !self.implicit) {
            let answer = control.command(Command::AuthTls).await?;
            if answer.code != 234 {
                return Err(no_tls(&answer.refusal(Purpose::Look)));
            }
            control.secure(connector, &self.url.host).await?;
        }
        Ok(control)
    }

    /// Begins TLS, if there is to be any.
    pub(super) async fn secure(&self, channel: &mut Channel) -> Result<()> {
        let Some(connector) = &self.connector else {
            return Ok(());
        };
        let secured = channel.connect(connector, &self.url.host).await;
        secured.map_err(|error| tls_failed(&error))
    }
}

/// A server that could be anybody gets no password.
fn no_tls(refusal: &Error) -> Error {
    let reason = match refusal.reason {
        Reason::Busy(_) => refusal.reason,
        _ => Reason::NotAllowed,
    };
    Error::new(reason, format!("it offers no TLS ({refusal})"))
}

/// What a server can do, as FEAT says (RFC 2389).
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Features {
    pub(super) mlst: bool,
    pub(super) mfmt: bool,
    pub(super) utf8: bool,
}

impl Features {
    fn parse<'a>(lines: impl Iterator<Item = &'a [u8]>) -> Self {
        let mut features = Self::default();
        for line in lines {
            let line = line.trim_ascii().to_ascii_uppercase();
            match line.split(|byte| *byte == b' ').next() {
                Some(b"MLST") => features.mlst = true,
                Some(b"MFMT") => features.mfmt = true,
                Some(b"UTF8") => features.utf8 = true,
                _ => {}
            }
        }
        features
    }
}

/// A control connection on which somebody is logged in.
pub(super) struct Session {
    pub(super) control: Control,
    pub(super) site: Rc<Site>,
    pub(super) features: Features,
    /// The folder that one is in after the login, without a slash at its end:
    /// paths in URLs begin there (RFC 1738 section 3.2.2).
    base: Vec<u8>,
    /// How data connections come about.
    pub(super) way: Way,
    /// What was opened and waits to be received.
    pub(super) transfer: Option<Transfer>,
}

impl Session {
    /// Logs in, and asks for what is to be known. `features` are known already
    /// if somebody has asked.
    pub(super) async fn begin(
        site: &Rc<Site>,
        mut control: Control,
        login: Option<&Login>,
        features: Option<Features>,
    ) -> Result<Self> {
        log_in(&mut control, login).await?;
        let features = match features {
            Some(features) => features,
            None => {
                let answer = control.command(Command::Feat).await?;
                let lines = answer.lines.iter().filter(|_| answer.is_success());
                Features::parse(lines.map(|line| &**line))
            }
        };
        if features.utf8 {
            // Most that know it do it anyway, and some refuse to be told.
            control.command(Command::Opts(Opts::Utf8(true))).await?;
        }
        let image = Command::Type(Type::Image);
        control.succeed(image, Purpose::Look).await?;
        if site.connector.is_some() {
            protect(&mut control).await?;
        }
        Ok(Self {
            base: base(&mut control).await?,
            control,
            site: Rc::clone(site),
            features,
            way: Way::Extended,
            transfer: None,
        })
    }

    /// A path as the server knows it.
    pub(super) fn absolute(&self, path: &RemotePath) -> Result<Vec<u8>> {
        let mut absolute = self.base.clone();
        for name in path.names()? {
            absolute.push(b'/');
            absolute.extend_from_slice(&name);
        }
        if absolute.is_empty() {
            absolute.push(b'/');
        }
        Ok(absolute)
    }
}

async fn log_in(control: &mut Control, login: Option<&Login>) -> Result<()> {
    let (name, password) = match login {
        Some(login) => (login.name.as_bytes(), login.password.as_deref()),
        None => (&b"anonymous"[..], Some(&b"anonymous@"[..])),
    };
    let answer = control.command(Command::User(name)).await?;
    let answer = match (answer.code, password) {
        (331, Some(password)) => control.command(Command::Pass(password)).await?,
        (331, None) => {
            let text = "a password is needed, and none is known";
            return Err(Error::new(Reason::NotAllowed, text));
        }
        _ => answer,
    };
    match answer.code {
        332 => Err(Error::new(
            Reason::NotAllowed,
            "the server wants an account besides the name, which nobody has any more",
        )),
        // Most servers say so of everybody whom they do not let in.
        500..=599 => Err(Error {
            reason: Reason::NotAllowed,
            ..answer.refusal(Purpose::Look)
        }),
        _ => answer.or_refusal(Purpose::Look).map(drop),
    }
}

/// Has data connections use TLS. A server that won't is an error: what is said
/// to be private is never sent in the clear.
async fn protect(control: &mut Control) -> Result<()> {
    let steps = [Command::Pbsz(0), Command::Prot(Protection::Private)];
    for step in steps {
        let answer = control.command(step).await?;
        let refused = answer.or_refusal(Purpose::Look);
        refused.map_err(|refusal| no_tls(&refusal))?;
    }
    Ok(())
}

/// Where the login has led. A server that won't say is taken at its root.
async fn base(control: &mut Control) -> Result<Vec<u8>> {
    let answer = control.command(Command::Pwd).await?;
    let path = parse_quoted_path(answer.text()).filter(|_| answer.code == 257);
    let mut path = path.unwrap_or_default();
    while path.ends_with(b"/") {
        path.pop();
    }
    // Other systems have other paths, and understand these all the same.
    if !path.starts_with(b"/") {
        path.clear();
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn features_are_found_however_they_are_written() {
        let lines: [&[u8]; 4] = [b"Features:", b"mlst type*;size*;", b" UTF8 ", b"End"];
        let features = Features::parse(lines.into_iter());
        assert!(features.mlst && features.utf8 && !features.mfmt);
    }
}
