//! Who may come in, as the command line of `hythe serve` says it.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

use super::failure::{Exit, Failure, cause};
use crate::accounts::{Accounts, Refused};
use crate::share::Access;

/// The roles that an account may have.
const ROLES: [Access; 4] = [Access::Read, Access::Upload, Access::Write, Access::Admin];

/// The role of an account whose `--user` names none.
const DEFAULT_ROLE: Access = Access::Write;

/// `NAME:PASSWORD[:ROLE]` or `NAME:@FILE[:ROLE]`. Not shown by `Debug`.
#[derive(Clone, PartialEq, Eq)]
struct User {
    name: Vec<u8>,
    password: Password,
    role: Access,
}

#[derive(Clone, PartialEq, Eq)]
enum Password {
    Given(Vec<u8>),
    In(PathBuf),
}

impl User {
    /// Reads what was typed; `None` where there is no password. What comes
    /// after the last colon is the role if it is the name of one, and otherwise
    /// belongs to the password, which may hold colons.
    fn parse(typed: &OsStr) -> Option<Self> {
        let typed = typed.as_bytes();
        let colon = typed.iter().position(|&byte| byte == b':')?;
        let (name, rest) = (&typed[..colon], &typed[colon + 1..]);
        let (password, role) = split_role(rest);
        let password = match password.strip_prefix(b"@") {
            Some(file) => Password::In(OsString::from_vec(file.to_vec()).into()),
            None => Password::Given(password.to_vec()),
        };
        Some(Self {
            name: name.to_vec(),
            password,
            role,
        })
    }
}

fn split_role(rest: &[u8]) -> (&[u8], Access) {
    let role = rest.iter().rposition(|&byte| byte == b':').and_then(|at| {
        let named = |role: &Access| role.as_str().as_bytes() == &rest[at + 1..];
        Some((&rest[..at], ROLES.into_iter().find(named)?))
    });
    role.unwrap_or((rest, DEFAULT_ROLE))
}

/// What the operator has said about accounts.
pub(super) struct People<'a> {
    pub(super) users: &'a [OsString],
    pub(super) file: Option<&'a Path>,
    pub(super) register: Access,
    pub(super) register_quota: Option<u64>,
    /// The folder or file that is shared.
    pub(super) shared: &'a Path,
}

impl People<'_> {
    /// The accounts, if there are to be any. Whatever can't be done as it was
    /// said is a failure: nobody wants to find out later that the door was open.
    pub(super) fn accounts(&self) -> Result<Option<Accounts>, Failure> {
        if self.register > Access::None && self.file.is_none() {
            let text = "--register needs --accounts FILE, to keep the accounts in";
            return Err(Failure::new(Exit::Usage, text));
        }
        if self.register_quota.is_some() && self.register == Access::None {
            let text =
                "--register-quota needs --register ROLE: without it visitors make no accounts";
            return Err(Failure::new(Exit::Usage, text));
        }
        let accounts = match self.file {
            Some(file) => {
                self.check_outside(file)?;
                open(file)?
            }
            None if self.users.is_empty() => return Ok(None),
            None => Accounts::temporary().map_err(broken)?,
        };
        for user in self.users {
            add(&accounts, user)?;
        }
        Ok(Some(accounts))
    }

    /// A visitor who could fetch the accounts could guess passwords at home.
    fn check_outside(&self, file: &Path) -> Result<(), Failure> {
        let Some((folder, shared)) = folder_of(file).zip(self.shared.canonicalize().ok()) else {
            // Opening it will say what is wrong.
            return Ok(());
        };
        let real = file.canonicalize().unwrap_or_else(|_| folder.clone());
        if folder.starts_with(&shared) || real.starts_with(&shared) {
            let text = format!(
                "the accounts in {} would be shared with all else; keep them outside of {}",
                file.display(),
                self.shared.display()
            );
            return Err(Failure::new(Exit::Usage, text));
        }
        Ok(())
    }
}

/// The folder that a file is in, or would be.
fn folder_of(file: &Path) -> Option<PathBuf> {
    let parent = file.parent()?;
    let parent = if parent.as_os_str().is_empty() {
        Path::new(".")
    } else {
        parent
    };
    parent.canonicalize().ok()
}

/// Opens a database of accounts.
pub(super) fn open(file: &Path) -> Result<Accounts, Failure> {
    Accounts::open(file).map_err(broken)
}

fn broken(error: std::io::Error) -> Failure {
    Failure::new(Exit::of(&error), error.to_string())
}

fn add(accounts: &Accounts, typed: &OsStr) -> Result<(), Failure> {
    let usage = |text: String| Failure::new(Exit::Usage, text);
    let Some(user) = User::parse(typed) else {
        // Without what was typed: it may be a password.
        let text = "--user needs a name and a password: NAME:PASSWORD or NAME:@FILE";
        return Err(usage(text.into()));
    };
    let shown = String::from_utf8_lossy(&user.name)
        .escape_debug()
        .to_string();
    let password = match user.password {
        Password::Given(password) => password,
        Password::In(file) => without_newline(fs::read(&file).map_err(|error| {
            let (file, why) = (file.display(), cause(&error));
            let text = format!("cannot read the password of {shown} from {file}: {why}");
            Failure::new(Exit::of(&error), text)
        })?),
    };
    accounts
        .add_temporary(&user.name, &password, user.role)
        .map_err(|refused| match refused {
            Refused::Taken => usage(format!("--user names {shown} twice")),
            refused => usage(format!("--user {shown}: {refused}")),
        })
}

/// What editors put at the end of a file is no part of a password.
pub(super) fn without_newline(mut password: Vec<u8>) -> Vec<u8> {
    if password.last() == Some(&b'\n') {
        password.pop();
        if password.last() == Some(&b'\r') {
            password.pop();
        }
    }
    password
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_a_name_a_password_and_perhaps_a_role() {
        let given = |password: &str| Password::Given(password.into());
        let file = |path: &str| Password::In(path.into());
        for (typed, name, password, role) in [
            ("bob:secret", "bob", given("secret"), Access::Write),
            ("bob:secret:read", "bob", given("secret"), Access::Read),
            ("bob:secret:upload", "bob", given("secret"), Access::Upload),
            ("bob:secret:admin", "bob", given("secret"), Access::Admin),
            ("李:a:b:c", "李", given("a:b:c"), Access::Write),
            ("bob:a:b:c:read", "bob", given("a:b:c"), Access::Read),
            ("bob:read", "bob", given("read"), Access::Write),
            ("bob:read:read", "bob", given("read"), Access::Read),
            ("bob:x:write:write", "bob", given("x:write"), Access::Write),
            ("bob:x:none", "bob", given("x:none"), Access::Write),
            ("bob:x:Read", "bob", given("x:Read"), Access::Write),
            ("bob:", "bob", given(""), Access::Write),
            ("bob::read", "bob", given(""), Access::Read),
            ("bob:a@b", "bob", given("a@b"), Access::Write),
            ("bob:@/run/p", "bob", file("/run/p"), Access::Write),
            ("bob:@p:q:admin", "bob", file("p:q"), Access::Admin),
        ] {
            let user = User::parse(typed.as_ref()).unwrap();
            assert_eq!(user.name, name.as_bytes(), "{typed}");
            assert!(user.password == password && user.role == role, "{typed}");
        }
        assert!(User::parse("bob".as_ref()).is_none());
        let bytes = User::parse(OsStr::from_bytes(b"bob:\xff\xfe")).unwrap();
        assert!(bytes.password == Password::Given(b"\xff\xfe".to_vec()));
    }

    #[test]
    fn one_newline_ends_a_file() {
        for (read, password) in [
            ("x\n", "x"),
            ("x\r\n", "x"),
            ("x\n\n", "x\n"),
            ("x", "x"),
            ("\n", ""),
        ] {
            assert_eq!(without_newline(read.into()), password.as_bytes());
        }
    }
}
