//! Proxies, as the environment names them: `http_proxy`, `https_proxy`,
//! `all_proxy`, and for whom there is none, `no_proxy`.
//!
//! Not here: proxies that speak SOCKS or are reached over TLS.

use base64ct::{Base64, Encoding as _};

use super::super::{Error, Login, Result, Scheme, Url};

/// Through whom servers are reached.
#[derive(Clone, Debug, Default)]
pub struct Proxies {
    http: Option<String>,
    https: Option<String>,
    /// Hosts that are reached directly.
    direct: Vec<String>,
}

/// One of them.
#[derive(Clone, Debug)]
pub(super) struct Proxy {
    pub(super) host: String,
    pub(super) port: u16,
    /// Who we are to it, as the field has it.
    pub(super) authorization: Option<Vec<u8>>,
}

impl Proxies {
    /// None: every server is reached directly.
    pub fn none() -> Self {
        Self::default()
    }

    /// Those that the environment names.
    pub fn from_environment() -> Self {
        Self::named(|name| std::env::var(name).ok())
    }

    /// Those that variables name.
    pub fn named(variable: impl Fn(&str) -> Option<String>) -> Self {
        let set = |name: &str| variable(name).filter(|value| !value.is_empty());
        let either = |name: &str| set(name).or_else(|| set(&name.to_uppercase()));
        let all = either("all_proxy");
        let direct = either("no_proxy").unwrap_or_default();
        Self {
            // `HTTP_PROXY` may be a field of a request that a web server put
            // into the environment of a program that it runs.
            http: set("http_proxy").or_else(|| all.clone()),
            https: either("https_proxy").or(all),
            direct: direct
                .split([',', ' '])
                .filter(|host| !host.is_empty())
                .map(str::to_ascii_lowercase)
                .collect(),
        }
    }

    /// Through whom to reach a server; `None` is directly.
    pub(super) fn to(&self, url: &Url) -> Result<Option<Proxy>> {
        let named = match url.scheme {
            Scheme::Https => &self.https,
            _ => &self.http,
        };
        match named {
            Some(text) if !self.is_direct(url) => Proxy::parse(text).map(Some),
            _ => Ok(None),
        }
    }

    fn is_direct(&self, url: &Url) -> bool {
        let host = url.host.to_ascii_lowercase();
        let host = host.trim_end_matches('.');
        self.direct.iter().any(|entry| {
            let (name, port) = match entry.rsplit_once(':') {
                // An IPv6 address has more of them.
                Some((name, port)) if !name.contains(':') || name.ends_with(']') => {
                    (name, Some(port))
                }
                _ => (entry.as_str(), None),
            };
            if port.is_some_and(|port| port.parse() != Ok(url.port)) {
                return false;
            }
            let name = name.trim_start_matches("*.").trim_start_matches('.');
            let name = name.trim_start_matches('[').trim_end_matches(']');
            let below = host.strip_suffix(name);
            name == "*" || below.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
        })
    }
}

impl Proxy {
    fn parse(text: &str) -> Result<Self> {
        let with_scheme = if text.contains("://") {
            text.to_owned()
        } else {
            format!("http://{text}")
        };
        let url = Url::parse(&with_scheme).ok();
        let url = url.filter(|url| url.scheme == Scheme::Http);
        let url = url.ok_or_else(|| {
            // It may have a password in it.
            let shown = text.rsplit('@').next().unwrap_or_default();
            Error::unsupported(format!(
                "the proxy {shown:?} can't be used; it must be http://HOST:PORT"
            ))
        })?;
        Ok(Self {
            authorization: url.login.as_ref().map(basic),
            host: url.host,
            port: url.port,
        })
    }
}

/// A login as `Authorization` has it (RFC 7617).
pub(super) fn basic(login: &Login) -> Vec<u8> {
    let mut pair = login.name.clone().into_bytes();
    pair.push(b':');
    pair.extend_from_slice(login.password.as_deref().unwrap_or_default());
    format!("Basic {}", Base64::encode_string(&pair)).into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_says_through_whom() {
        let proxies = Proxies::named(|name| {
            let value = match name {
                "http_proxy" => "http://anna:p%40@gate:3128",
                "HTTPS_PROXY" => "gate2:8080",
                "no_proxy" => "localhost, .pier.example,10.0.0.1,quay:81,[::1]",
                _ => return None,
            };
            Some(value.to_owned())
        });
        let to = |url: &str| {
            let proxy = proxies.to(&Url::parse(url).unwrap()).unwrap()?;
            Some((
                proxy.host,
                proxy.port,
                proxy
                    .authorization
                    .map(|text| String::from_utf8(text).unwrap()),
            ))
        };
        let authorization = Some("Basic YW5uYTpwQA==".to_owned());
        let first = Some(("gate".to_owned(), 3128, authorization));
        assert_eq!(to("http://quay/"), first);
        assert_eq!(to("https://quay/"), Some(("gate2".to_owned(), 8080, None)));
        for direct in [
            "http://localhost/",
            "http://LOCALHOST:8000/",
            "https://pier.example/",
            "https://a.pier.example/",
            "http://10.0.0.1/",
            "http://quay:81/",
            "http://[::1]/",
        ] {
            assert_eq!(to(direct), None, "{direct}");
        }
        assert!(to("http://apier.example/").is_some());
        assert!(to("http://quay:82/").is_some());
        assert!(to("http://110.0.0.1/").is_some());
    }

    #[test]
    fn all_proxy_is_for_both_and_others_are_refused() {
        let proxies = Proxies::named(|name| {
            let socks = || "socks5://anna:secret@gate:1080".to_owned();
            (name == "ALL_PROXY").then(socks)
        });
        let error = proxies.to(&Url::parse("http://quay/").unwrap());
        let error = error.unwrap_err();
        assert!(!error.text.contains("secret"), "{error}");
        let proxies = Proxies::named(|name| (name == "HTTP_PROXY").then(|| "gate".into()));
        let to = proxies.to(&Url::parse("http://quay/").unwrap()).unwrap();
        assert!(to.is_none(), "a request field must not become a proxy");
    }
}
