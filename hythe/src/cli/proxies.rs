//! `hythe serve --proxy`: other servers behind this one.

use std::str::FromStr;

use super::failure::{Exit, Failure};
use crate::http::{Proxy, Router};

#[derive(Clone, Debug, clap::Args)]
#[group(skip)] // the arguments around it are such a group already
pub(super) struct Args {
    /// Have another server answer at a path and below: /api=http://127.0.0.1:9000;
    /// may be repeated
    ///
    /// URL is http://HOST:PORT, https://HOST or unix:/SOCKET. Without a path it is
    /// asked for the path whole, /api/x for /api/x; with one, if only `/`, that
    /// stands in place of PATH: with /api=http://127.0.0.1:9000/ it is asked for /x
    /// (unix:/SOCKET:/ for a socket). WebSockets are handed on as well. What the
    /// share has at PATH can't be seen over HTTP. To browsers its pages are the same
    /// site as this one, and everybody may see them, whatever --allow says: name
    /// only servers that you trust.
    #[arg(
        long,
        env = "HYTHE_PROXY",
        value_name = "/PATH=URL",
        help_heading = "Programs"
    )]
    proxy: Vec<Place>,
}

/// Where a server behind this one is mounted.
#[derive(Clone, Debug)]
struct Place {
    path: String,
    proxy: Proxy,
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (path, url) = text
            .split_once('=')
            .ok_or("give a path and a URL: /api=http://127.0.0.1:9000")?;
        let proxy = Proxy::to(url).map_err(|error| error.to_string())?;
        Ok(Self {
            path: prefix(path)?,
            proxy,
        })
    }
}

/// A path at which something may be mounted, without a slash at its end.
fn prefix(path: &str) -> Result<String, String> {
    let whole = path.strip_suffix('/').unwrap_or(path);
    if path == "/" {
        let text = "all of the server can't be handed on: the share is there; name a path below: \
                    /api=URL";
        return Err(text.into());
    }
    let Some(rest) = whole.strip_prefix('/') else {
        return Err(format!(
            "the path `{path}` must begin with a slash: /{path}"
        ));
    };
    for segment in rest.split('/') {
        if segment.eq_ignore_ascii_case(".hythe") {
            let text = "what is below /.hythe/ is the server's own; choose another path";
            return Err(text.into());
        }
        let unfit = |letter: char| letter.is_control() || "%{}?#\\".contains(letter);
        if matches!(segment, "" | "." | "..") || segment.contains(unfit) {
            return Err(format!(
                "`{path}` is no path to put a server at: write out its names, without empty ones, \
                 dots alone, and any of %{{}}?#\\"
            ));
        }
    }
    Ok(whole.to_owned())
}

impl Args {
    /// Puts them where they were told to be.
    ///
    /// # Errors
    /// Two for the same path.
    pub(super) fn mount(&self, mut router: Router) -> Result<Router, Failure> {
        for (at, Place { path, proxy }) in self.proxy.iter().enumerate() {
            if self.proxy[..at].iter().any(|other| other.path == *path) {
                let text = format!("--proxy {path} is given twice; leave one of them out");
                return Err(Failure::new(Exit::Usage, text));
            }
            router = if proxy.replaces_path() {
                // Relative links on its first page lead below.
                router.mount(path, proxy.clone())
            } else {
                router.nest(path, Router::new().fallback_to(proxy.clone()))
            };
        }
        Ok(router)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_are_paths_that_nobody_else_has() {
        for (path, expected) in [
            ("/api", "/api"),
            ("/api/", "/api"),
            ("/a/b c/留言", "/a/b c/留言"),
            ("/.well-known/x", "/.well-known/x"),
        ] {
            assert_eq!(prefix(path).as_deref(), Ok(expected));
        }
        for (path, said) in [
            ("/", "the share is there"),
            ("", "begin with a slash"),
            ("api", "begin with a slash: /api"),
            ("/.hythe", "the server's own"),
            ("/.HYTHE/x", "the server's own"),
            ("/a/.hythe", "the server's own"),
            ("//", "no path"),
            ("/a//b", "no path"),
            ("/a/../b", "no path"),
            ("/a/.", "no path"),
            ("/%61", "no path"),
            ("/{a}", "no path"),
            ("/a?b", "no path"),
        ] {
            let error = prefix(path).unwrap_err();
            assert!(error.contains(said), "{path}: {error}");
        }
    }
}
