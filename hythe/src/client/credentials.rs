//! Who we are: from the URL, `--user`, a variable, or `~/.netrc`.

use std::fmt;
use std::path::Path;

use super::Url;

/// A name, and its password if it is known.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    /// The account.
    pub name: String,
    /// Its password.
    pub password: Option<Vec<u8>>,
}

/// Never shows the password.
impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Login").field(&self.name).finish()
    }
}

/// Where logins come from, besides the URL itself.
#[derive(Clone, Debug, Default)]
pub struct Credentials {
    /// What `--user` says, with its password.
    pub given: Option<Login>,
    /// What is in `~/.netrc`.
    pub netrc: String,
}

impl Credentials {
    /// Who we are there; `None` is nobody in particular.
    pub fn login(&self, url: &Url) -> Option<Login> {
        let named = url.login.clone().or_else(|| self.given.clone());
        match named {
            Some(login) if login.password.is_some() => Some(login),
            Some(login) => {
                let same = self.given.as_ref().filter(|given| given.name == login.name);
                let password = same.and_then(|given| given.password.clone());
                let found = || netrc(&self.netrc, &url.host, Some(&login.name))?.password;
                Some(Login {
                    password: password.or_else(found),
                    ..login
                })
            }
            None => netrc(&self.netrc, &url.host, None),
        }
    }

    /// Reads `~/.netrc`, or the file that `NETRC` names; one that is not there is
    /// empty.
    #[must_use]
    pub fn with_netrc(mut self) -> Self {
        let home = || Some(Path::new(&std::env::var_os("HOME")?).join(".netrc"));
        let file = std::env::var_os("NETRC").map(Into::into).or_else(home);
        self.netrc = file
            .and_then(|file| std::fs::read_to_string(file).ok())
            .unwrap_or_default();
        self
    }
}

/// What a file of the form of `netrc(5)` says of a host.
fn netrc(text: &str, host: &str, name: Option<&str>) -> Option<Login> {
    let mut tokens = tokens(text).into_iter();
    let mut here = false;
    let mut login: Option<String> = None;
    let mut password: Option<Vec<u8>> = None;
    let complete = |login: &Option<String>, password: &Option<Vec<u8>>| {
        let fits = name.is_none_or(|name| login.as_deref() == Some(name));
        (fits && login.is_some()).then(|| Login {
            name: login.clone().unwrap_or_default(),
            password: password.clone(),
        })
    };
    while let Some(token) = tokens.next() {
        match token.as_str() {
            "machine" | "default" => {
                if here && let Some(found) = complete(&login, &password) {
                    return Some(found);
                }
                (login, password) = (None, None);
                here = token == "default"
                    || tokens
                        .next()
                        .is_some_and(|name| name.eq_ignore_ascii_case(host));
            }
            "login" => login = tokens.next(),
            "password" => password = tokens.next().map(String::into_bytes),
            "account" => _ = tokens.next(),
            _ => {}
        }
    }
    if here {
        complete(&login, &password)
    } else {
        None
    }
}

/// Words, some of them in quotation marks. A macro goes to the next empty line.
fn tokens(text: &str) -> Vec<String> {
    let mut out = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if line.trim_start().starts_with('#') {
            continue;
        }
        let mut letters = line.chars().peekable();
        while let Some(letter) = letters.next() {
            if letter.is_whitespace() {
                continue;
            }
            let mut word = String::new();
            if letter == '"' {
                while let Some(letter) = letters.next() {
                    match letter {
                        '"' => break,
                        '\\' => word.extend(letters.next()),
                        letter => word.push(letter),
                    }
                }
            } else {
                word.push(letter);
                while let Some(letter) = letters.next_if(|letter| !letter.is_whitespace()) {
                    word.push(letter);
                }
            }
            if word == "macdef" {
                for line in lines.by_ref() {
                    if line.trim().is_empty() {
                        break;
                    }
                }
                break;
            }
            out.push(word);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn logins_come_from_the_nearest_place() {
        let text = "machine quay login anna password \"a b\\\"c\"\n# machine x\n\
                    macdef init\ncd /\n\nmachine quay login bob password b\n\
                    default login anonymous password x@";
        let login = |url: &str, given: Option<Login>| {
            let credentials = Credentials {
                given,
                netrc: text.into(),
            };
            let login = credentials.login(&Url::parse(url).unwrap())?;
            let password = login.password.map(|word| String::from_utf8(word).unwrap());
            Some((login.name, password.unwrap_or_default()))
        };
        let is = |name: &str, password: &str| Some((name.to_owned(), password.to_owned()));
        let given = |name: &str, password: Option<&str>| {
            Some(Login {
                name: name.into(),
                password: password.map(|word| word.as_bytes().to_vec()),
            })
        };
        assert_eq!(login("ftp://quay/", None), is("anna", "a b\"c"));
        assert_eq!(login("ftp://bob@quay/", None), is("bob", "b"));
        assert_eq!(login("ftp://eve@quay/", None), is("eve", ""));
        assert_eq!(login("ftp://eve:x@quay/", None), is("eve", "x"));
        assert_eq!(login("ftp://other/", None), is("anonymous", "x@"));
        assert_eq!(
            login("ftp://quay/", given("eve", Some("y"))),
            is("eve", "y")
        );
        assert_eq!(login("ftp://quay/", given("bob", None)), is("bob", "b"));
    }

    proptest! {
        #[test]
        fn no_file_is_too_strange(text in "(machine|default|login|password|macdef| |\n|\"|\\\\|#|[a-c中])*") {
            netrc(&text, "a", None);
            netrc(&text, "a", Some("b"));
        }
    }
}
