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

use clap::builder::Resettable;
use clap::error::ErrorKind;
use clap::{Arg, ArgAction, Command};
use toml::{Table, Value};

use super::failure::{Exit, Failure, cause};

/// Gives the flags of every subcommand the defaults that the file named among
/// `arguments`, or in the environment, has for them.
pub(super) fn apply(command: Command, arguments: &[OsString]) -> Result<Command, Failure> {
    let Some(path) = named(&command, arguments) else {
        return Ok(command);
    };
    let shown = path.display();
    let text = std::fs::read_to_string(&path).map_err(|error| {
        Failure::new(
            Exit::of(&error),
            format!("cannot read {shown}: {}", cause(&error)),
        )
    })?;
    let table: Table = text.parse().map_err(|error: toml::de::Error| {
        Failure::new(
            Exit::Usage,
            format!("{shown} is not TOML: {}", error.to_string().trim_end()),
        )
    })?;
    table
        .into_iter()
        .try_fold(command, |command, (key, value)| {
            let wrong = |text| Failure::new(Exit::Usage, format!("{shown}: `{key}` {text}"));
            let values = texts(&value)
                .ok_or_else(|| wrong("needs a string, a number, true or false".to_owned()))?;
            set_default(command, &key, &values).map_err(wrong)
        })
}

/// The file named by `--config`, found before the rest is understood.
fn named(command: &Command, arguments: &[OsString]) -> Option<PathBuf> {
    let matches = command
        .clone()
        .ignore_errors(true)
        .try_get_matches_from(arguments)
        .ok()?;
    let (_, inner) = matches.subcommand()?;
    inner.get_one::<PathBuf>("config").cloned()
}

/// The command with this default set wherever a subcommand has such a flag;
/// else what is wrong with it.
fn set_default(command: Command, long: &str, values: &[String]) -> Result<Command, String> {
    let (command, found) = set_below(command, long, values)?;
    if found {
        Ok(command)
    } else {
        Err("is not an option; see hythe serve --help".into())
    }
}

/// The command with the default set in its subcommands and those below them,
/// and whether any has the flag.
fn set_below(
    mut command: Command,
    long: &str,
    values: &[String],
) -> Result<(Command, bool), String> {
    let mut found = false;
    let names: Vec<String> = command
        .get_subcommands()
        .map(|inner| inner.get_name().to_owned())
        .collect();
    for name in names {
        let Some(inner) = command.find_subcommand(&name) else {
            continue;
        };
        let (mut inner, below) = set_below(inner.clone(), long, values)?;
        let flag = inner
            .get_arguments()
            .find(|flag| flag.get_long() == Some(long));
        if let Some(flag) = flag {
            check(&inner, flag, values)?;
            let id = flag.get_id().clone();
            inner = inner.mut_arg(id, |flag| {
                flag.default_values(values.to_vec()).required(false)
            });
            found = true;
        }
        found |= below;
        command = command.mut_subcommand(name, |_| inner);
    }
    Ok((command, found))
}

/// Whether a flag takes these values: a default is trusted by the parser, who
/// could not say either which file it stands in.
fn check(command: &Command, flag: &Arg, values: &[String]) -> Result<(), String> {
    let [value] = values else {
        return match flag.get_action() {
            ArgAction::Append => values
                .iter()
                .try_for_each(|value| check_one(command, flag, value)),
            _ => Err("takes one value, not a list".into()),
        };
    };
    check_one(command, flag, value)
}

fn check_one(command: &Command, flag: &Arg, value: &str) -> Result<(), String> {
    if !flag.get_action().takes_values() {
        return match value {
            "true" | "false" => Ok(()),
            _ => Err(format!("is true or false, not '{value}'")),
        };
    }
    let typed = format!("--{}={value}", flag.get_long().unwrap_or_default());
    // What the variables hold is not this file's fault.
    let command = command.clone().mut_args(|flag| flag.env(Resettable::Reset));
    match command
        .clone()
        .try_get_matches_from([command.get_name(), &typed])
    {
        Err(error)
            if matches!(
                error.kind(),
                ErrorKind::InvalidValue | ErrorKind::ValueValidation
            ) =>
        {
            // The first paragraph; the next is about --help.
            let text = error.to_string();
            let text = text.split("\n\n").next().unwrap_or_default();
            let words: Vec<_> = text
                .trim_start_matches("error:")
                .split_whitespace()
                .collect();
            Err(format!("is wrong: {}", words.join(" ")))
        }
        _ => Ok(()),
    }
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
