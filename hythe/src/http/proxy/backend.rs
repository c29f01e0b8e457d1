//! [`Backend`]: where requests go on to.

use std::borrow::Cow;
use std::fmt;
use std::io;

use ::http::StatusCode;
use hythe_net::option::NoDelay;
use hythe_net::reactor::timeout;
use hythe_net::{Addr, Patience, Stream};
use percent_encoding::percent_decode;

use super::super::path::below;
use super::super::{Error, Request};
use super::{CONNECT, Failure};
use crate::client::{self, Error as Failed, Options, Scheme, TRUST, Url, channel_to};
use crate::tls::{Channel, Connector};

/// Where a request found a backend.
pub(super) struct Mount {
    /// The path above it.
    pub(super) base: String,
    /// The host that was asked, with its port.
    pub(super) host: Option<String>,
}

/// A server that answers in our place.
pub(super) struct Backend {
    at: At,
    /// What stands in place of the path above a mount, without a slash at its
    /// end, if anything does.
    path: Option<String>,
    /// Our name in `Via`, which nobody else has.
    pseudonym: String,
}

enum At {
    /// Over TLS, if there is somebody to trust.
    Url(Url, Option<Connector>),
    Unix(Addr),
}

impl Backend {
    pub(super) fn parse(text: &str) -> io::Result<Self> {
        let (at, path) = match text.strip_prefix("unix:") {
            Some(rest) => {
                let (socket, path) = match rest.split_once(":/") {
                    Some((socket, path)) => (socket, Some(format!("/{path}"))),
                    None => (rest, None),
                };
                if socket.is_empty() {
                    return Err(wrong("a path is missing behind unix:; unix:/run/app.sock"));
                }
                (At::Unix(format!("unix:{socket}").parse()?), path)
            }
            None => {
                let is_http = |scheme: &str| {
                    let begins = text.get(..scheme.len());
                    begins.is_some_and(|begins| begins.eq_ignore_ascii_case(scheme))
                };
                if !is_http("http://") && !is_http("https://") {
                    return Err(wrong(format!(
                        "`{text}` is no backend; give http://HOST:PORT, https://HOST or unix:/SOCKET"
                    )));
                }
                let url = Url::parse(text).map_err(wrong)?;
                let connector = match url.scheme {
                    Scheme::Http => None,
                    Scheme::Https => Some(
                        client::connector(&Options::default(), Some("http/1.1"))
                            .map_err(io::Error::other)?,
                    ),
                    _ => unreachable!("it begins with one of these two"),
                };
                if url.login.is_some() {
                    return Err(wrong(
                        "nobody is signed in at a backend; leave the name and password out",
                    ));
                }
                let rest = text.split_once("://").unwrap_or_default().1;
                let path = rest.find('/').map(|at| rest[at..].to_owned());
                if rest.contains(['?', '#']) {
                    return Err(wrong(
                        "a backend's URL ends with its path; leave out ? and #",
                    ));
                }
                (At::Url(url, connector), path)
            }
        };
        if let Some(path) = &path
            && !path.bytes().all(|byte| byte.is_ascii_graphic())
        {
            return Err(wrong(format!(
                "what is not ASCII in the path {path:?} must be percent-encoded"
            )));
        }
        let mut number = [0; 8];
        getrandom::fill(&mut number).map_err(io::Error::other)?;
        Ok(Self {
            at,
            path: path.map(|path| path.trim_end_matches('/').to_owned()),
            pseudonym: format!("hythe-{:016x}", u64::from_ne_bytes(number)),
        })
    }

    /// What stands in place of the path above a mount, if anything does.
    pub(super) fn path(&self) -> Option<&str> {
        self.path.as_deref()
    }

    pub(super) fn pseudonym(&self) -> &str {
        &self.pseudonym
    }

    /// Its own name and port, as `Host` has it, for those who have no name for us
    /// or need theirs.
    pub(super) fn authority(&self) -> String {
        match &self.at {
            At::Url(url, _) => url.authority(),
            At::Unix(_) => "localhost".into(),
        }
    }

    pub(super) fn is_encrypted(&self) -> bool {
        matches!(&self.at, At::Url(_, Some(_)))
    }

    /// What to ask there for what is asked here.
    ///
    /// # Errors
    /// 400 for a path that somebody who decodes more than we do could take for one
    /// above that of the backend.
    pub(super) fn target(&self, request: &Request) -> Result<Vec<u8>, Error> {
        let (path, query) = path_and_query(request.target());
        if path == b"*" {
            return Ok(path.to_vec());
        }
        let rest = below(path, request.base());
        if climbs(&rest) {
            return Err(Error::new(
                StatusCode::BAD_REQUEST,
                "a path with `..` behind an encoded slash is not handed on",
            ));
        }
        let mut target = match &self.path {
            Some(path) => [path.as_bytes(), &rest].concat(),
            None => below(path, ""),
        };
        if target.is_empty() {
            target.push(b'/');
        }
        if let Some(query) = query {
            target.push(b'?');
            target.extend_from_slice(query);
        }
        Ok(target)
    }

    /// A `Location` that leads to the backend itself, as one that leads here.
    pub(super) fn here<'l>(&self, location: &'l [u8], mount: &Mount) -> Cow<'l, [u8]> {
        self.path_here(location, mount)
            .map_or(Cow::Borrowed(location), Cow::Owned)
    }

    fn path_here(&self, location: &[u8], mount: &Mount) -> Option<Vec<u8>> {
        let text = std::str::from_utf8(location).ok()?;
        // Two slashes at the beginning are another host.
        let is_path = |text: &str| text.starts_with('/') && !text[1..].starts_with(['/', '\\']);
        let path = if is_path(text) {
            self.unless_known(text, mount)?
        } else {
            self.own_path(text, mount)?
        };
        let path = match &self.path {
            None => path,
            Some(own) => format!("{}{}", mount.base, begins_with(&path, own)?),
        };
        is_path(&path).then(|| path.into_bytes())
    }

    /// A path that a backend gives which knows nothing of the mount: one that does
    /// leads where it says.
    fn unless_known(&self, path: &str, mount: &Mount) -> Option<String> {
        let replaced = self.path.is_some() && begins_with(path, &mount.base).is_none();
        replaced.then(|| path.to_owned())
    }

    /// The path, and what follows it, of a URL that leads to the backend.
    fn own_path(&self, text: &str, mount: &Mount) -> Option<String> {
        let found = Url::parse(text).ok()?;
        if !matches!(found.scheme, Scheme::Http | Scheme::Https) {
            return None;
        }
        let rest = text.split_once("://")?.1;
        let (authority, rest) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        let path = match rest.starts_with('/') {
            true => rest.to_owned(),
            false => format!("/{rest}"),
        };
        let asked = mount.host.as_deref();
        if asked.is_some_and(|asked| asked.eq_ignore_ascii_case(authority)) {
            return self.unless_known(&path, mount);
        }
        let At::Url(url, _) = &self.at else {
            return None;
        };
        // Some take the name from our `Host`, and the port from where they listen.
        let mixed = || {
            let asked = Url::parse(&format!("http://{}", asked?)).ok()?;
            let differs = asked.port != url.port;
            let mixed = Url {
                scheme: url.scheme,
                port: url.port,
                ..asked
            };
            differs.then_some(mixed)
        };
        let is_own =
            found.is_same_origin(url) || mixed().is_some_and(|mixed| found.is_same_origin(&mixed));
        (is_own && found.login.is_none()).then_some(path)
    }

    /// Connects.
    pub(super) async fn connect(&self, patience: Patience) -> Result<Channel, Failure> {
        match timeout(CONNECT, self.dial(patience)).await {
            Ok(connected) => Ok(connected?),
            Err(_) => Err(Failure::Slow(
                "the server behind this one takes too long to be reached",
            )),
        }
    }

    async fn dial(&self, patience: Patience) -> Result<Channel, Failed> {
        let channel = match &self.at {
            At::Url(url, connector) => {
                let options = Options {
                    // The limit is that of all of it.
                    connect: CONNECT * 2,
                    stall: patience.idle,
                    ..Options::default()
                };
                let none = || Failed::unsupported("there is nobody to trust");
                let connector = || connector.clone().ok_or_else(none);
                let connected = channel_to(url, &options, connector).await;
                connected.map_err(|error| Failed {
                    text: match error.text.strip_suffix(TRUST) {
                        Some(text) => format!("{text}; SSL_CERT_FILE names whom to trust"),
                        None => error.text,
                    },
                    ..error
                })?
            }
            At::Unix(address) => {
                let connected = Stream::connect(address, None, CONNECT).await;
                Channel::plain(connected.map_err(|error| Failed::unreachable(&error))?)
            }
        };
        channel.socket().set(NoDelay(true)).ok();
        channel.set_patience(patience);
        Ok(channel)
    }
}

/// As it may be shown in a log.
impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.at {
            At::Url(url, _) => write!(f, "{}://{}", url.scheme.as_str(), url.authority()),
            At::Unix(address) => address.fmt(f),
        }
    }
}

fn wrong(text: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, text.into())
}

/// What of a path, and what follows it, is behind these first segments of it.
fn begins_with<'p>(path: &'p str, first: &str) -> Option<&'p str> {
    let rest = path.strip_prefix(first)?;
    (rest.is_empty() || rest.starts_with(['/', '?', '#'])).then_some(rest)
}

/// The path and the query of a request target, as they stand there.
fn path_and_query(target: &[u8]) -> (&[u8], Option<&[u8]>) {
    let (path, query) = match target.iter().position(|&byte| byte == b'?') {
        Some(at) => (&target[..at], Some(&target[at + 1..])),
        None => (target, None),
    };
    // That of a proxy has a scheme and a host first.
    let absolute = path.windows(3).position(|part| part == b"://");
    let path = match absolute {
        Some(at) if !path.starts_with(b"/") => {
            let rest = &path[at + 3..];
            let begin = rest.iter().position(|&byte| byte == b'/');
            begin.map_or(&b"/"[..], |begin| &rest[begin..])
        }
        _ => path,
    };
    (path, query)
}

/// Whether a path leads out of itself once it is decoded, backslashes are slashes,
/// and what follows a semicolon does not count: some programs see it so.
fn climbs(path: &[u8]) -> bool {
    let decoded: Vec<u8> = percent_decode(path).collect();
    decoded
        .split(|byte| matches!(byte, b'/' | b'\\'))
        .any(|segment| segment.split(|&byte| byte == b';').next() == Some(b".."))
}

#[cfg(test)]
mod tests {
    use ::http::Method;

    use super::*;

    fn backend(url: &str) -> Backend {
        Backend::parse(url).unwrap()
    }

    fn target(url: &str, asked: &str, depth: usize) -> Result<String, u16> {
        let mut request = Request::new(Method::GET, asked).unwrap();
        let path = request.path().to_owned();
        let base = path.split('/').take(depth + 1).map(|part| part.len() + 1);
        let base = base.sum::<usize>() - 1;
        request.set_rest(path.len() - base.min(path.len()));
        let target = backend(url).target(&request);
        let text = target.map(|target| String::from_utf8(target).unwrap());
        text.map_err(|error| error.status().as_u16())
    }

    #[test]
    fn paths_go_on_whole_or_with_the_mount_replaced() {
        for (url, asked, expected) in [
            ("http://h", "/api/x?y=1", Ok("/api/x?y=1")),
            ("http://h", "/api", Ok("/api")),
            ("http://h", "/api?", Ok("/api?")),
            ("http://h/", "/api/x?y=1", Ok("/x?y=1")),
            ("http://h/", "/api", Ok("/")),
            ("http://h/", "/api/", Ok("/")),
            ("http://h/v1", "/api/x", Ok("/v1/x")),
            ("http://h/v1/", "/api/x", Ok("/v1/x")),
            ("http://h/v1/", "/api/", Ok("/v1/")),
            ("http://h/v1/", "/api", Ok("/v1")),
            ("unix:/run/app:/v1/", "/api/x", Ok("/v1/x")),
            ("unix:/run/app", "/api/x", Ok("/api/x")),
            // Byte for byte.
            (
                "http://h/",
                "/api/%61%2fb//c/%e6?%zz",
                Ok("/%61%2fb//c/%e6?%zz"),
            ),
            ("http://h", "/%61pi/%61", Ok("/%61pi/%61")),
            ("http://h/", "/%61pi/%61", Ok("/%61")),
            // Dot segments.
            ("http://h/", "/api/a/../b/./%2E", Ok("/b/")),
            ("http://h/", "/x/../api/%2e%2E/api/y", Ok("/y")),
            ("http://h/v1/", "/api/..%2fadmin", Err(400)),
            ("http://h/v1/", "/api/a/..%5Cadmin", Err(400)),
            ("http://h", "/api/..;/admin", Err(400)),
            ("http://h", "/api/...", Ok("/api/...")),
            // The form for proxies.
            ("http://h/", "http://q/api/x?http://y/", Ok("/x?http://y/")),
        ] {
            let found = target(url, asked, 1);
            assert_eq!(found, expected.map(str::to_owned), "{url} {asked}");
        }
        for (url, asked, expected) in [
            ("http://h", "/x", "/x"),
            ("http://h/v1", "/x", "/v1/x"),
            ("http://h/", "http://q", "/"),
            ("http://h/", "http://q?a", "/?a"),
        ] {
            assert_eq!(
                target(url, asked, 0).as_deref(),
                Ok(expected),
                "{url} {asked}"
            );
        }
    }

    #[test]
    fn places_of_the_backend_are_places_here() {
        for (url, location, expected) in [
            ("http://h:9000", "http://h:9000/api/y?z", "/api/y?z"),
            ("http://h:9000", "http://H:9000", "/"),
            ("http://h", "http://h:80/y#z", "/y#z"),
            ("http://h:9000/", "http://h:9000/y", "/api/y"),
            ("http://h:9000/", "http://h:9000/", "/api/"),
            ("http://h:9000/", "http://h:9000?y", "/api/?y"),
            ("http://h:9000/v1/", "http://h:9000/v1/y", "/api/y"),
            ("http://h:9000/v1/", "http://h:9000/v1", "/api"),
            ("http://h:9000/", "/y?z", "/api/y?z"),
            ("http://h:9000/v1/", "/v1/y", "/api/y"),
            ("unix:/run/app:/", "/y", "/api/y"),
            ("http://h:9000/", "http://quay:8000/y", "/api/y"),
            ("http://h:9000/", "https://QUAY:8000", "/api/"),
            ("unix:/run/app:/", "http://quay:8000/y", "/api/y"),
            // The backend knows where it is mounted.
            (
                "http://h:9000/",
                "http://quay:8000/api/y",
                "http://quay:8000/api/y",
            ),
            ("http://h:9000/", "/api/y", "/api/y"),
            ("http://h:9000/", "/api", "/api"),
            ("http://h:9000/", "/apis", "/api/apis"),
            // Those are other places, or relative to where the client is.
            ("http://h:9000/v1/", "/y", "/y"),
            ("http://h:9000/", "//evil/", "//evil/"),
            ("http://h:9000/", "ftp://quay:8000/y", "ftp://quay:8000/y"),
            (
                "http://h:9000/v1/",
                "http://h:9000/v10",
                "http://h:9000/v10",
            ),
            ("http://h:9000", "http://h:9001/y", "http://h:9001/y"),
            ("http://h:9000", "https://h:9000/y", "https://h:9000/y"),
            ("http://h:9000", "/y", "/y"),
            ("http://h:9000", "y", "y"),
            ("http://h:9000", "//h:9000/y", "//h:9000/y"),
            // And this would become one.
            (
                "http://h:9000",
                "http://h:9000//evil/",
                "http://h:9000//evil/",
            ),
            (
                "http://h:9000",
                "http://h:9000/\\evil/",
                "http://h:9000/\\evil/",
            ),
            (
                "http://h:9000",
                "http://h:9000@evil/",
                "http://h:9000@evil/",
            ),
            ("unix:/run/app", "http://localhost/y", "http://localhost/y"),
            // Half of it is our address.
            ("http://h:9000", "http://quay:9000/y", "/y"),
            ("http://h:8000", "http://quay:8000/y", "http://quay:8000/y"),
            ("http://h:9000", "http://quay:8000/y", "http://quay:8000/y"),
        ] {
            let mount = Mount {
                base: "/api".into(),
                host: Some("quay:8000".into()),
            };
            let found = backend(url).here(location.as_bytes(), &mount).into_owned();
            assert_eq!(found, expected.as_bytes(), "{url} {location}");
        }
    }

    #[test]
    fn what_is_no_backend_is_refused_with_the_reason() {
        for (url, said) in [
            ("", "is no backend; give http://HOST:PORT"),
            ("127.0.0.1:9000", "is no backend"),
            ("ftp://h/", "is no backend"),
            ("httpx://h/", "is no backend"),
            ("文://h/", "is no backend"),
            ("http://", "no host"),
            ("http://h:99999", "no host"),
            ("http://anna:secret@h/", "leave the name and password out"),
            ("http://h/?x", "leave out ? and #"),
            ("http://h#x", "leave out ? and #"),
            ("http://h/留言", "percent-encoded"),
            ("unix:", "a path is missing"),
        ] {
            let error = Backend::parse(url).err().unwrap().to_string();
            assert!(error.contains(said), "{url}: {error}");
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
