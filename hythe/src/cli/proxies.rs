//! `hythe serve --proxy`: other servers behind this one.

use std::str::FromStr;

use super::failure::Failure;
use super::mounts::{Mounts, prefix};
use crate::http::Proxy;

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

impl Args {
    /// The flag that was given, if one was.
    pub(super) fn first_flag(&self) -> Option<&'static str> {
        (!self.proxy.is_empty()).then_some("--proxy")
    }

    /// Puts them where they were told to be.
    ///
    /// # Errors
    /// Two for the same path.
    pub(super) fn mount(&self, mut mounts: Mounts) -> Result<Mounts, Failure> {
        for Place { path, proxy } in &self.proxy {
            let proxy = proxy.clone();
            mounts = if proxy.replaces_path() {
                // Relative links on its first page lead below.
                mounts.mount("--proxy", path, proxy)?
            } else {
                mounts.nest("--proxy", path, proxy)?
            };
        }
        Ok(mounts)
    }
}
