//! Passwords and secrets that are typed, or come from another program.

use std::ffi::OsString;
use std::io::{self, IsTerminal as _, Read as _, Write as _};
use std::os::unix::ffi::OsStringExt as _;
use std::path::PathBuf;

use rustix::termios::{
    LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr,
};

use super::failure::{Exit, Failure, cause};
use super::people::without_newline;
use crate::accounts::PASSWORD_LIMIT;
use crate::raw::files::Secret;

/// The variable that holds a password.
const VARIABLE: &str = "HYTHE_PASSWORD";

/// A new password: from `HYTHE_PASSWORD`, else from the person at the terminal,
/// who types it twice, else from whoever writes to standard input.
pub(super) fn new_password(name: &str) -> Result<Vec<u8>, Failure> {
    if let Some(password) = std::env::var_os(VARIABLE) {
        return Ok(password.into_vec());
    }
    if !io::stdin().is_terminal() {
        return piped().map_err(failed);
    }
    let first = ask(&format!("New password for {name}: ")).map_err(failed)?;
    let second = ask("Once more: ").map_err(failed)?;
    if first != second {
        let text = "the two passwords differ; try again";
        return Err(Failure::new(Exit::Other, text));
    }
    Ok(first)
}

/// A password that there is already, from the person at the terminal.
pub(super) fn password(question: &str) -> Result<Vec<u8>, Failure> {
    ask(question).map_err(failed)
}

/// A password that there is already: from `HYTHE_PASSWORD`, or asked for.
pub(super) fn existing_password(question: &str) -> Result<Vec<u8>, Failure> {
    match std::env::var_os(VARIABLE) {
        Some(password) => Ok(password.into_vec()),
        None => password(question),
    }
}

/// The variable that holds a secret.
const SECRET: &str = "HYTHE_SECRET";

/// The secret that two who send and receive share.
#[derive(Debug, clap::Args)]
pub(super) struct SecretArgs {
    /// Encrypt the link, with whoever knows the secret and nobody else; it is
    /// asked for, or comes from the variable
    #[arg(
        long,
        env = "HYTHE_SECRET",
        hide_env_values = true,
        num_args = 0,
        default_missing_value = "",
        help_heading = "Secret"
    )]
    secret: Option<OsString>,

    /// The same with the secret in a file, without the newline at its end
    #[arg(
        long,
        env = "HYTHE_SECRET_FILE",
        value_name = "FILE",
        help_heading = "Secret"
    )]
    secret_file: Option<PathBuf>,
}

impl SecretArgs {
    /// The secret, if there is to be one.
    pub(super) fn secret(&self) -> Result<Option<Secret>, Failure> {
        let bytes = match (&self.secret_file, &self.secret) {
            (Some(file), _) => {
                let secret = std::fs::read(file).map_err(|error| {
                    let text = format!(
                        "cannot read the secret in {}: {}",
                        file.display(),
                        cause(&error)
                    );
                    Failure::new(Exit::of(&error), text)
                })?;
                without_newline(secret)
            }
            (None, Some(secret)) if !secret.is_empty() => secret.clone().into_vec(),
            // The flag hides the variable.
            (None, Some(_)) if std::env::var_os(SECRET).is_some_and(|it| !it.is_empty()) => {
                std::env::var_os(SECRET).unwrap_or_default().into_vec()
            }
            (None, Some(_)) if io::stdin().is_terminal() => password("Secret: ")?,
            (None, Some(_)) => {
                let text = "--secret asks for the secret at a terminal, and there is none; \
                            give HYTHE_SECRET or --secret-file FILE";
                return Err(Failure::new(Exit::Usage, text));
            }
            (None, None) => return Ok(None),
        };
        let secret = Secret::new(bytes).map_err(|why| Failure::new(Exit::Usage, why))?;
        Ok(Some(secret))
    }
}

fn failed(error: io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::Interrupted => Failure::new(Exit::Interrupted, "interrupted"),
        _ => Failure::new(
            Exit::of(&error),
            format!("cannot read the password: {}", cause(&error)),
        ),
    }
}

/// All of standard input. Who writes more than a password has made a mistake,
/// and is told that it is too long.
fn piped() -> io::Result<Vec<u8>> {
    let mut password = Vec::new();
    let most = PASSWORD_LIMIT as u64 + 3;
    io::stdin().lock().take(most).read_to_end(&mut password)?;
    Ok(without_newline(password))
}

/// Asks at the terminal, which shows nothing of what is typed.
fn ask(question: &str) -> io::Result<Vec<u8>> {
    let _quiet = Quiet::begin()?;
    write!(io::stderr(), "{question}").ok();
    let typed = typed();
    writeln!(io::stderr()).ok();
    typed
}

/// Reads keys up to the end of the line. The terminal hands them over one at a
/// time, Ctrl-C as well: a signal would end us and leave it silent.
fn typed() -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    for key in io::stdin().lock().bytes() {
        match key? {
            b'\n' | b'\r' => return Ok(line),
            0x03 => return Err(io::ErrorKind::Interrupted.into()),
            0x04 if line.is_empty() => break,
            0x08 | 0x7f => remove_letter(&mut line),
            0x15 => line.clear(),
            byte => line.push(byte),
        }
    }
    Err(io::ErrorKind::UnexpectedEof.into())
}

/// Removes the last letter, with all its bytes in UTF-8.
fn remove_letter(line: &mut Vec<u8>) {
    while line.pop().is_some_and(|byte| byte & 0xc0 == 0x80) {}
}

/// A terminal that is as it was when this is dropped.
struct Quiet(Termios);

impl Quiet {
    fn begin() -> io::Result<Self> {
        let before = tcgetattr(io::stdin())?;
        let mut quiet = before.clone();
        quiet.local_modes -= LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG;
        quiet.special_codes[SpecialCodeIndex::VMIN] = 1;
        quiet.special_codes[SpecialCodeIndex::VTIME] = 0;
        tcsetattr(io::stdin(), OptionalActions::Flush, &quiet)?;
        Ok(Self(before))
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        tcsetattr(io::stdin(), OptionalActions::Now, &self.0).ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_letter_is_removed_whole() {
        let mut line = "a中".as_bytes().to_vec();
        remove_letter(&mut line);
        assert_eq!(line, b"a");
        remove_letter(&mut line);
        remove_letter(&mut line);
        assert_eq!(line, b"");
    }
}
