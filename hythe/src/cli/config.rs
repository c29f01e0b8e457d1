//! The configuration file: a TOML table whose keys are the long flags.
//!
//! ```toml
//! http = "0.0.0.0:8000"
//! ftp = "off"
//! max-connections = 10000
//! ```
//!
//! Its values become the defaults of the flags, which puts them exactly behind
//! the command line and the environment.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::Command;
use toml::{Table, Value};

use super::failure::{Exit, Failure, cause};

/// Gives the flags of every subcommand the defaults that the file named among
/// `arguments`, or in the environment, has for them.
pub(super) fn apply(command: Command, arguments: &[OsString]) -> Result<Command, Failure> {
    let Some(path) = named(&command, arguments) else { return Ok(command) };
    let shown = path.display();
    let text = std::fs::read_to_string(&path).map_err(|error| {
        Failure::new(Exit::of(&error), format!("cannot read {shown}: {}", cause(&error)))
    })?;
    let table: Table = text.parse().map_err(|error: toml::de::Error| {
        Failure::new(Exit::Usage, format!("{shown} is not TOML: {}", error.to_string().trim_end()))
    })?;
    table.into_iter().try_fold(command, |command, (key, value)| {
        let values = texts(&value).ok_or_else(|| {
            let text = format!("{shown}: `{key}` needs a string, a number, true or false");
            Failure::new(Exit::Usage, text)
        })?;
        set_default(command, &key, &values).ok_or_else(|| {
            let text = format!("{shown}: there is no option `{key}`; see hythe serve --help");
            Failure::new(Exit::Usage, text)
        })
    })
}

/// The file named by `--config`, found before the rest is understood.
fn named(command: &Command, arguments: &[OsString]) -> Option<PathBuf> {
    let matches = command.clone().ignore_errors(true).try_get_matches_from(arguments).ok()?;
    let (_, inner) = matches.subcommand()?;
    inner.get_one::<PathBuf>("config").cloned()
}

/// The command with this default set wherever a subcommand has such a flag;
/// `None` if none has.
fn set_default(mut command: Command, long: &str, values: &[String]) -> Option<Command> {
    let mut known = false;
    let names: Vec<String> =
        command.get_subcommands().map(|inner| inner.get_name().to_owned()).collect();
    for name in names {
        command = command.mut_subcommand(name, |inner| {
            let argument = inner.get_arguments().find(|argument| argument.get_long() == Some(long));
            let Some(id) = argument.map(|argument| argument.get_id().clone()) else {
                return inner;
            };
            known = true;
            inner.mut_arg(id, |argument| argument.default_values(values.to_vec()))
        });
    }
    known.then_some(command)
}

fn texts(value: &Value) -> Option<Vec<String>> {
    let text = |value: &Value| match value {
        Value::String(text) => Some(text.clone()),
        Value::Integer(number) => Some(number.to_string()),
        Value::Float(number) => Some(number.to_string()),
        Value::Boolean(truth) => Some(truth.to_string()),
        _ => None,
    };
    match value {
        Value::Array(values) => values.iter().map(text).collect(),
        value => Some(vec![text(value)?]),
    }
}
