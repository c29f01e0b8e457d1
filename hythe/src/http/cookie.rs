//! [`Cookie`]: what a browser is asked to keep (RFC 6265).

use std::fmt;
use std::time::Duration;

/// A cookie to be set: for all paths of this host, kept from scripts, and not sent
/// along where another site makes a browser ask (`HttpOnly; SameSite=Lax`).
///
/// ```
/// use std::time::Duration;
/// use hythe::http::Cookie;
///
/// let day = Duration::from_secs(24 * 60 * 60);
/// let cookie = Cookie::new("seen", "yes").with_max_age(day);
/// assert_eq!(cookie.to_string(), "seen=yes; Path=/; HttpOnly; SameSite=Lax; Max-Age=86400");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cookie<'c> {
    name: &'c str,
    value: &'c str,
    path: &'c str,
    strict: bool,
    secure: bool,
    max_age: Option<Duration>,
}

impl<'c> Cookie<'c> {
    /// A cookie that is kept until the browser ends. Value and name must be of
    /// characters that cookies may hold: letters and digits always are.
    pub const fn new(name: &'c str, value: &'c str) -> Self {
        Self {
            name,
            value,
            path: "/",
            strict: false,
            secure: false,
            max_age: None,
        }
    }

    /// One that a browser forgets.
    pub const fn forget(name: &'c str) -> Self {
        Self::new(name, "").with_max_age(Duration::ZERO)
    }

    /// For this path and what is below it.
    #[must_use]
    pub const fn with_path(self, path: &'c str) -> Self {
        Self { path, ..self }
    }

    /// Not even sent along where a link of another site was followed.
    #[must_use]
    pub const fn strict(self) -> Self {
        Self {
            strict: true,
            ..self
        }
    }

    /// Sent over TLS only, if that is how the request came.
    #[must_use]
    pub const fn secure(self, encrypted: bool) -> Self {
        Self {
            secure: encrypted,
            ..self
        }
    }

    /// Kept for so long, in whole seconds.
    #[must_use]
    pub const fn with_max_age(self, age: Duration) -> Self {
        Self {
            max_age: Some(age),
            ..self
        }
    }
}

impl Cookie<'_> {
    /// Whether name, value and path are what a cookie may hold (RFC 6265 §4.1.1): no
    /// blank, no `;` that would begin another attribute, nothing but ASCII.
    pub(super) fn is_legal(&self) -> bool {
        let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        let octet = |byte: u8| byte.is_ascii_graphic() && !b"\",;\\".contains(&byte);
        let path = |byte: u8| matches!(byte, b' '..=b'~') && byte != b';';
        !self.name.is_empty()
            && self.name.bytes().all(token)
            && self.value.bytes().all(octet)
            && self.path.bytes().all(path)
    }
}

/// As the value of a `Set-Cookie` field.
impl fmt::Display for Cookie<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let site = if self.strict { "Strict" } else { "Lax" };
        let (name, value, path) = (self.name, self.value, self.path);
        write!(f, "{name}={value}; Path={path}; HttpOnly; SameSite={site}")?;
        if let Some(age) = self.max_age {
            write!(f, "; Max-Age={}", age.as_secs())?;
        }
        if self.secure {
            f.write_str("; Secure")?;
        }
        Ok(())
    }
}

/// The value of a cookie in a `Cookie` field's value (RFC 6265 §4.2): the first of
/// this name.
pub(super) fn find<'v>(line: &'v str, name: &str) -> Option<&'v str> {
    line.split(';').find_map(|pair| {
        let (known, value) = pair.trim().split_once('=')?;
        (known == name).then_some(value)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_cookie_begins_another_attribute() {
        for (value, legal) in [
            ("", true),
            ("aZ09!#-._~=&", true),
            ("a; Domain=evil", false),
            ("a,b", false),
            ("a b", false),
            ("a\r\nX: y", false),
            ("\"a\"", false),
            ("来", false),
            ("\0", false),
        ] {
            assert_eq!(Cookie::new("name", value).is_legal(), legal, "{value:?}");
        }
        for name in ["", "a b", "a=b", "a;b", "名"] {
            assert!(!Cookie::new(name, "x").is_legal(), "{name:?}");
        }
        assert!(!Cookie::new("a", "b").with_path("/;x").is_legal());
    }
}
