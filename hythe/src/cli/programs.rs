//! Programs that answer for paths, as the command line of `hythe serve` says it.

use std::borrow::Cow;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use hythe_net::Addr;
use hythe_wire::http as wire;

use super::failure::{Exit, Failure, cause};
use super::mounts::{self, Mounts};
use super::serve::parse_count;
use crate::accounts::{Account, Accounts};
use crate::http::{Cgi, Error, FastCgi, IntoResponse as _, Ready, Request, Response, Router};
use crate::http::{Service, Site};
use crate::quantity::{parse_size, parse_span};
use crate::share::Access;

/// The flags for programs.
#[derive(Debug, clap::Args)]
#[group(skip)]
pub(super) struct Args {
    /// Run the programs of DIR below /PREFIX (CGI/1.1); may be repeated
    ///
    /// Programs are the executable files. DIR must lie outside of what is shared, since its files would be shown and
    /// might be put there by visitors. Over HTTP only; who may not read the share
    /// may run nothing either.
    #[arg(
        long,
        env = "HYTHE_CGI",
        value_name = "/PREFIX=DIR",
        help_heading = "Programs"
    )]
    cgi: Vec<OsString>,

    /// Have a server run files of the share: `.php=unix:/run/php.sock`; may be
    /// repeated
    ///
    /// A FastCGI server, such as php-fpm, runs those whose names end so; its address
    /// is unix:PATH or HOST:PORT. Only where nobody may put files there: not with accounts that may, nor
    /// --allow upload. The server must see the share at the same path. Files with
    /// this ending are listed, and nobody can read what is in them.
    #[arg(
        long,
        env = "HYTHE_FASTCGI",
        value_name = "ENDING=ADDRESS",
        help_heading = "Programs"
    )]
    fastcgi: Vec<OsString>,

    /// How long a program may run: seconds, or with m, h or d
    ///
    /// In all for those of --cgi, and without a word for those of --fastcgi.
    #[arg(long, env = "HYTHE_CGI_TIMEOUT", default_value = "60", value_name = "TIME",
          value_parser = parse_span, help_heading = "Programs")]
    cgi_timeout: u64,

    /// How much a program may answer: bytes, or with K, M, G or T
    #[arg(long, env = "HYTHE_CGI_MAX_OUTPUT", default_value = "256M", value_name = "SIZE",
          value_parser = parse_size, help_heading = "Programs")]
    cgi_max_output: u64,

    /// How many programs of --cgi may run at a time
    ///
    /// Beyond that, visitors are told to come back (503).
    #[arg(long, env = "HYTHE_CGI_MAX_RUNNING", default_value = "16", value_name = "N",
          value_parser = parse_count, help_heading = "Programs")]
    cgi_max_running: usize,
}

/// Who may put something into the share.
pub(super) struct Writers<'a> {
    pub(super) strangers: Access,
    pub(super) registered: Access,
    pub(super) accounts: Option<&'a Accounts>,
}

impl Args {
    /// The first of the flags that were given.
    pub(super) fn first_flag(&self) -> Option<&'static str> {
        match (self.cgi.is_empty(), self.fastcgi.is_empty()) {
            (false, _) => Some("--cgi"),
            (true, false) => Some("--fastcgi"),
            (true, true) => None,
        }
    }

    /// How the names of programs end that are in the share.
    pub(super) fn endings(&self) -> Result<Vec<Box<[u8]>>, Failure> {
        let parsed = self.fastcgi.iter().map(|typed| parse_fastcgi(typed));
        parsed
            .map(|parsed| Ok(parsed?.0.as_bytes().into()))
            .collect()
    }

    /// Refuses to run what somebody may have put there.
    pub(super) fn check_writers(&self, writers: &Writers<'_>) -> Result<(), Failure> {
        if self.fastcgi.is_empty() {
            return Ok(());
        }
        let refused = |who: &str, way_out: &str| {
            let text = format!(
                "--fastcgi would run what {who} put into the share; {way_out}, or share another \
                 folder for that"
            );
            Err(Failure::new(Exit::Usage, text))
        };
        if writers.strangers >= Access::Upload {
            return refused("visitors", "leave out --allow upload and --allow write");
        }
        if writers.registered >= Access::Upload {
            return refused("those who register", "use --register read");
        }
        let accounts = writers.accounts.map(Accounts::list).transpose();
        let accounts = accounts.map_err(|error| {
            let text = format!("cannot read the accounts: {}", cause(&error));
            Failure::new(Exit::Other, text)
        })?;
        let writes = |account: &&Account| account.role >= Access::Upload;
        match accounts.unwrap_or_default().iter().find(writes) {
            Some(account) => refused(
                &format!("{} may", account.name),
                "give accounts the role read (--user NAME:PASSWORD:read)",
            ),
            None => Ok(()),
        }
    }

    /// A router with the programs beside what is there, and with the share for all
    /// else.
    pub(super) fn router(
        &self,
        mut mounts: Mounts,
        site: Site,
        shared: &Path,
    ) -> Result<Router, Failure> {
        let mut first: Option<Cgi> = None;
        for typed in &self.cgi {
            let (prefix, folder) = parse_cgi(typed)?;
            let cgi = self.cgi(&folder, first.as_ref(), shared)?;
            tracing::info!(path = prefix, folder = %folder.display(), "runs programs");
            first.get_or_insert_with(|| cgi.clone());
            let site = site.clone();
            mounts = mounts.mount("--cgi", &prefix, Guarded { site, cgi })?;
        }
        if first.is_some()
            && let Err(error) = hythe_net::bequeath_nothing()
        {
            tracing::warn!(%error, "programs inherit what files this one was started with");
        }
        let servers = self.fastcgi.iter();
        let fastcgi: Result<_, Failure> =
            servers.map(|typed| self.fastcgi(typed, shared)).collect();
        let fastcgi = fastcgi?;
        Ok(mounts.around(Programs { site, fastcgi }))
    }

    /// The programs of a folder, beside those of the `first` if there are some.
    fn cgi(&self, folder: &Path, first: Option<&Cgi>, shared: &Path) -> Result<Cgi, Failure> {
        check_outside(folder, shared)?;
        let cgi = match first {
            Some(first) => first.beside(folder),
            None => Cgi::new(folder).map(|cgi| {
                cgi.with_timeout(self.time())
                    .with_max_output(self.cgi_max_output)
                    .with_max_running(self.cgi_max_running)
            }),
        };
        let cgi = cgi.map_err(|error| {
            let text = format!(
                "cannot run programs of {}: {}",
                folder.display(),
                cause(&error)
            );
            Failure::new(Exit::of(&error), text)
        })?;
        if !cgi.folder().is_dir() {
            let text = format!("--cgi needs a folder, and {} is none", folder.display());
            return Err(Failure::new(Exit::Usage, text));
        }
        Ok(cgi)
    }

    fn time(&self) -> Duration {
        Duration::from_secs(self.cgi_timeout)
    }

    fn fastcgi(&self, typed: &OsStr, shared: &Path) -> Result<FastCgi, Failure> {
        let (ending, address) = parse_fastcgi(typed)?;
        if !shared.is_dir() {
            let text = format!(
                "--fastcgi needs a folder, and {} is a file",
                shared.display()
            );
            return Err(Failure::new(Exit::Usage, text));
        }
        let addresses = Addr::resolve(&address).map_err(|error| {
            let text = format!(
                "--fastcgi {ending}: {address} is no address of a server ({}); give \
                 unix:/path/of/its.sock or HOST:PORT",
                cause(&error)
            );
            Failure::new(Exit::Usage, text)
        })?;
        let fastcgi = FastCgi::new(addresses, &ending, shared).map_err(|error| {
            let text = format!("cannot share {}: {}", shared.display(), cause(&error));
            Failure::new(Exit::of(&error), text)
        })?;
        tracing::info!(ending, server = address, "has programs of the share run");
        Ok(fastcgi
            .with_timeout(self.time())
            .with_max_output(self.cgi_max_output))
    }
}

/// Splits at the first `=`.
fn split(typed: &OsStr) -> Option<(&str, &OsStr)> {
    let bytes = typed.as_bytes();
    let at = bytes.iter().position(|&byte| byte == b'=')?;
    let name = std::str::from_utf8(&bytes[..at]).ok()?;
    Some((name, OsStr::from_bytes(&bytes[at + 1..])))
}

/// Reads `/PREFIX=DIR`. The prefix is a path of names, without a slash at its end.
fn parse_cgi(typed: &OsStr) -> Result<(String, PathBuf), Failure> {
    let wrong = |why: &str| {
        let text = format!("--cgi {}: {why}", typed.display());
        Failure::new(Exit::Usage, text)
    };
    let Some((prefix, folder)) = split(typed).filter(|(_, folder)| !folder.is_empty()) else {
        return Err(wrong("give /PREFIX=DIR, such as /cgi-bin=/usr/lib/cgi-bin"));
    };
    let prefix = mounts::prefix(prefix).map_err(|why| wrong(&why))?;
    Ok((prefix, folder.into()))
}

/// Reads `ENDING=ADDRESS`.
fn parse_fastcgi(typed: &OsStr) -> Result<(String, String), Failure> {
    let parsed = split(typed).and_then(|(ending, address)| {
        let name = ending.strip_prefix('.')?;
        let is_name = !name.is_empty() && !name.contains('/');
        let address = address.to_str()?;
        let is_name = is_name && !matches!(address, "" | "unix:") && !address.contains("://");
        is_name.then(|| (ending.to_owned(), address.to_owned()))
    });
    parsed.ok_or_else(|| {
        let text = format!(
            "--fastcgi {}: give ENDING=ADDRESS, such as .php=unix:/run/php/php-fpm.sock or \
             .php=127.0.0.1:9000",
            typed.display()
        );
        Failure::new(Exit::Usage, text)
    })
}

/// Programs that visitors can fetch tell them what they may not know, and programs
/// that visitors can put there are theirs.
fn check_outside(folder: &Path, shared: &Path) -> Result<(), Failure> {
    let (Ok(real), Ok(shared_real)) = (folder.canonicalize(), shared.canonicalize()) else {
        return Ok(()); // opening them will say what is wrong
    };
    let text = if real.starts_with(&shared_real) {
        format!(
            "the programs in {} would be shared with all else; keep them outside of {}",
            folder.display(),
            shared.display()
        )
    } else if shared_real.starts_with(&real) {
        format!(
            "--cgi would run what is in {}, which is shared; give it a folder of its own, outside \
             of that",
            shared.display()
        )
    } else {
        return Ok(());
    };
    Err(Failure::new(Exit::Usage, text))
}

/// Programs for who may read the share.
struct Guarded {
    site: Site,
    cgi: Cgi,
}

impl Service for Guarded {
    async fn call(&self, mut request: Request) -> Response {
        match self.site.admit(&mut request, Access::Read).await {
            Ok(()) => self.cgi.call(request).await,
            Err(refusal) => refusal,
        }
    }
}

/// A share some of whose files are programs.
struct Programs {
    site: Site,
    fastcgi: Vec<FastCgi>,
}

impl Service for Programs {
    async fn call(&self, mut request: Request) -> Response {
        for server in &self.fastcgi {
            let found = match server.find(&request).await {
                Ok(Some(found)) => found,
                Ok(None) => continue,
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => continue,
                Err(error) => return Error::from(error).into_response(),
            };
            if let Err(refusal) = self.site.admit(&mut request, Access::Read).await {
                return refusal;
            }
            // Who sees another tree has another file at this path.
            let account = request.extensions().get::<Account>();
            if account.is_some_and(|account| !account.home.is_root()) {
                break;
            }
            return server.run(found, request).await;
        }
        self.site.call(request).await
    }

    fn ready(&self, head: &wire::Request<'_, '_>, send: &mut dyn FnMut(Ready<'_>)) {
        let mut servers = self.fastcgi.iter();
        if !servers.any(|server| server.is_named_in(head.target.path)) {
            self.site.ready(head, send);
        }
    }

    fn loggable<'t>(&self, target: &'t [u8]) -> Cow<'t, [u8]> {
        self.site.loggable(target)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_is_plain_names() {
        let read = |text: &str| parse_cgi(text.as_ref()).ok();
        for (typed, prefix, folder) in [
            ("/cgi=scripts", "/cgi", "scripts"),
            ("/cgi/=/a=b", "/cgi", "/a=b"),
            ("/a/来=.", "/a/来", "."),
        ] {
            assert_eq!(read(typed), Some((prefix.into(), folder.into())), "{typed}");
        }
        for wrong in [
            "",
            "/",
            "/=a",
            "=a",
            "/cgi",
            "/cgi=",
            "cgi=a",
            "//=a",
            "/a//b=c",
            "/..=a",
            "/a/./b=c",
            "/.hythe=a",
            "/.HYTHE/x=a",
            "/{a}=b",
            "/{*a}=b",
            "/a?=b",
            "/a#=b",
            "/%61=b",
            "/a\n=b",
        ] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn an_ending_begins_with_a_dot() {
        let read = |text: &str| parse_fastcgi(text.as_ref()).ok();
        let pair = |ending: &str, address: &str| Some((ending.to_owned(), address.to_owned()));
        assert_eq!(read(".php=unix:/a=b"), pair(".php", "unix:/a=b"));
        assert_eq!(read(".php=[::1]:9000"), pair(".php", "[::1]:9000"));
        for wrong in [
            "",
            "php=a:1",
            ".=a:1",
            "=a:1",
            ".a/b=a:1",
            ".php",
            "./x.php=a:1",
        ] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
}
