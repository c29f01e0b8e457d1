//! [`Url`]: what people type to say where something is.

use std::fmt;

use percent_encoding::percent_decode_str;

use super::{Login, RemotePath};

/// How to talk to a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// HTTP in the clear.
    Http,
    /// HTTP over TLS.
    Https,
    /// FTP in the clear.
    Ftp,
    /// FTP that asks for TLS (RFC 4217), or on port 990 begins with it.
    Ftps,
    /// Gopher.
    Gopher,
}

impl Scheme {
    /// Its name, before the colon.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
            Self::Ftp => "ftp",
            Self::Ftps => "ftps",
            Self::Gopher => "gopher",
        }
    }

    /// The port that it means without one.
    pub fn port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
            Self::Ftp | Self::Ftps => 21,
            Self::Gopher => 70,
        }
    }
}

/// `scheme://user:password@host:port/path?query` (RFC 3986).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    /// How to talk.
    pub scheme: Scheme,
    /// Who we are, if it says so.
    pub login: Option<Login>,
    /// A name or an address; an IPv6 address without its brackets.
    pub host: String,
    /// The port.
    pub port: u16,
    /// What is meant there.
    pub path: RemotePath,
}

impl Url {
    /// Reads what somebody typed. A fragment is left out: it is not for servers.
    ///
    /// # Errors
    /// A sentence on what is wrong.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (scheme, rest) = text.split_once("://").ok_or_else(|| {
            format!(
                "{text} is no URL: it begins with http://, https://, ftp://, ftps:// or gopher://"
            )
        })?;
        let scheme = match scheme.to_ascii_lowercase().as_str() {
            "http" => Scheme::Http,
            "https" => Scheme::Https,
            "ftp" => Scheme::Ftp,
            "ftps" => Scheme::Ftps,
            "gopher" => Scheme::Gopher,
            other => {
                return Err(format!(
                    "{other}: is not spoken here; http, https, ftp, ftps and gopher are"
                ));
            }
        };
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, rest) = rest.split_at(end);
        let rest = rest.split('#').next().unwrap_or_default();
        // A query is for HTTP alone; elsewhere a question mark is part of a name.
        let (path, query) = match (scheme, rest.split_once('?')) {
            (Scheme::Http | Scheme::Https, Some((path, query))) => (path, Some(query)),
            _ => (rest, None),
        };
        let path = match query {
            None => path.replace('?', "%3F"),
            Some(_) => path.to_owned(),
        };
        let (login, address) = match authority.rsplit_once('@') {
            Some((login, address)) => (Some(parse_login(login)), address),
            None => (None, authority),
        };
        let (host, port) = parse_address(address, scheme)
            .ok_or_else(|| format!("{address:?} is no host with a port: quay.example:8000"))?;
        Ok(Self {
            scheme,
            login,
            host,
            port,
            path: RemotePath::from_url(&path, query),
        })
    }

    /// The same server, and another path there.
    #[must_use]
    pub fn with_path(&self, path: RemotePath) -> Self {
        Self {
            path,
            ..self.clone()
        }
    }

    /// Whether it is the same server, by the same protocol (RFC 6454).
    pub fn is_same_origin(&self, other: &Self) -> bool {
        (self.scheme, self.port) == (other.scheme, other.port)
            && self.host.eq_ignore_ascii_case(&other.host)
    }

    /// The host with its port, where that isn't the usual one: as a Host field
    /// has it.
    pub fn authority(&self) -> String {
        let host = if self.host.contains(':') {
            format!("[{}]", self.host)
        } else {
            self.host.clone()
        };
        if self.port == self.scheme.port() {
            host
        } else {
            format!("{host}:{}", self.port)
        }
    }
}

/// Without the password: it is shown and logged.
impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://", self.scheme.as_str())?;
        if let Some(login) = &self.login {
            write!(f, "{}@", login.name)?;
        }
        write!(f, "{}{}", self.authority(), self.path)
    }
}

fn parse_login(text: &str) -> Login {
    let (name, password) = match text.split_once(':') {
        Some((name, password)) => (name, Some(password)),
        None => (text, None),
    };
    Login {
        name: percent_decode_str(name).decode_utf8_lossy().into_owned(),
        password: password.map(|password| percent_decode_str(password).collect()),
    }
}

fn parse_address(text: &str, scheme: Scheme) -> Option<(String, u16)> {
    let (host, port) = if let Some(rest) = text.strip_prefix('[') {
        let (host, rest) = rest.split_once(']')?;
        (
            host,
            rest.strip_prefix(':')
                .or_else(|| rest.is_empty().then_some("")),
        )
    } else {
        match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, Some("")),
        }
    };
    let port = match port? {
        "" => scheme.port(),
        digits if digits.bytes().all(|byte| byte.is_ascii_digit()) => digits.parse().ok()?,
        _ => return None,
    };
    let unfit =
        |letter: char| letter.is_control() || letter.is_whitespace() || "/\\@".contains(letter);
    let fits = !host.is_empty() && !host.contains(unfit);
    (fits && port > 0).then(|| (host.to_owned(), port))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn urls_are_read_as_people_type_them() {
        for (text, shown, port) in [
            ("http://quay", "http://quay/", 80),
            (
                "HTTP://quay:8000/a b?x=1#y",
                "http://quay:8000/a b?x=1",
                8000,
            ),
            ("https://[::1]:8443/", "https://[::1]:8443/", 8443),
            ("ftp://anna:p%40ss@quay/a?b", "ftp://anna@quay/a?b", 21),
            ("ftps://quay:990/中文", "ftps://quay:990/中文", 990),
            ("gopher://quay/1/a", "gopher://quay/1/a", 70),
        ] {
            let url = Url::parse(text).unwrap();
            assert_eq!(
                (url.to_string().as_str(), url.port),
                (shown, port),
                "{text}"
            );
        }
        let url = Url::parse("ftp://anna:p%40ss@quay/").unwrap();
        let login = url.login.unwrap();
        assert_eq!(login.name, "anna");
        assert_eq!(login.password.as_deref(), Some(&b"p@ss"[..]));
        for bad in [
            "quay/file",
            "file:///etc/passwd",
            "http://",
            "http:///x",
            "http://quay:0/",
            "http://quay:x/",
            "http://quay:65536/",
            "http://[::1/",
            "http://a b/",
        ] {
            assert!(Url::parse(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        /// Whatever is typed is read or refused, and what is shown of it is read
        /// as the same.
        #[test]
        fn what_is_shown_is_read_again(
            text in "(http|https|ftp|ftps|gopher)://[ -~中é]{0,12}(/[ -~\\x00-\\x1f中]{0,30})?"
        ) {
            let Ok(url) = Url::parse(&text) else {
                return Ok(());
            };
            prop_assert!(url.path.encoded().starts_with('/'));
            prop_assert!(!url.path.encoded().contains(|letter: char| letter.is_control() || letter == ' '));
            let again = format!(
                "{}://{}{}",
                url.scheme.as_str(),
                url.authority(),
                url.path.encoded()
            );
            let again = Url::parse(&again).unwrap();
            prop_assert_eq!(again.path.encoded(), url.path.encoded());
            prop_assert!(again.is_same_origin(&url));
        }

        #[test]
        fn names_come_back(names in prop::collection::vec(prop::collection::vec(1..=255_u8, 1..20), 0..5)) {
            let names: Vec<Vec<u8>> = names
                .into_iter()
                .filter(|name| !matches!(name.as_slice(), b"." | b".."))
                .filter(|name| !name.iter().any(|byte| matches!(byte, b'/' | b'\r' | b'\n')))
                .collect();
            let path = names.iter().fold(RemotePath::root(), |path, name| path.join(name));
            prop_assert_eq!(path.names().unwrap(), names.clone());
            let read = RemotePath::from_url(path.encoded(), None);
            prop_assert_eq!(read.names().unwrap(), names);
        }
    }
}
