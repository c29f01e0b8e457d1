//! The command line: what was typed becomes values that the layers below take.
//!
//! One file per subcommand. A flag's value comes from the flag itself, else
//! from its variable `HYTHE_<FLAG>`, else from the file named by `--config`
//! (see `config.rs`), else from its default.

mod announce;
mod config;
mod failure;
mod logging;
mod people;
mod secret;
mod serve;
mod sockopts;
mod tls;
mod user;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

pub use failure::{Exit, Failure};

/// Move files between machines, with whatever is on the other end.
#[derive(Debug, Parser)]
#[command(
    name = "hythe",
    version,
    propagate_version = true,
    max_term_width = 100
)]
struct Cli {
    /// Read further options from a TOML file, named as their flags are.
    #[arg(long, global = true, env = "HYTHE_CONFIG", value_name = "FILE")]
    config: Option<std::path::PathBuf>,

    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Serve(Box<serve::Args>),
    Sockopts(sockopts::Args),
    User(user::Args),
}

/// Parses and runs a command line; says on standard error what went wrong.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let result = parse(&arguments).and_then(|cli| match cli.command {
        Command::Serve(args) => serve::run(*args),
        Command::Sockopts(args) => sockopts::run(&args),
        Command::User(args) => user::run(args),
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

fn parse(arguments: &[OsString]) -> Result<Cli, Failure> {
    let command = config::apply(Cli::command(), arguments)?;
    let mut matches = command.try_get_matches_from(arguments)?;
    Ok(Cli::from_arg_matches_mut(&mut matches)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_long_flag_has_its_variable() {
        check_variables(&Cli::command());
    }

    fn check_variables(command: &clap::Command) {
        for subcommand in command.get_subcommands() {
            for argument in subcommand.get_arguments() {
                let Some(long) = argument.get_long() else {
                    continue;
                };
                if matches!(long, "help" | "version") {
                    continue;
                }
                let variable = format!("HYTHE_{}", long.to_uppercase().replace('-', "_"));
                let actual = argument
                    .get_env()
                    .map(|name| name.to_string_lossy().into_owned());
                assert_eq!(actual, Some(variable));
            }
            check_variables(subcommand);
        }
    }
}
