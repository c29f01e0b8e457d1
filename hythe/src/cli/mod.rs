//! The command line: what was typed becomes values that the layers below take.
//!
//! One file per subcommand. A flag's value comes from the flag itself, else
//! from its variable `HYTHE_<FLAG>`, else from the file named by `--config`
//! (see `config.rs`), else from its default.

mod announce;
mod change;
mod chat;
mod completing;
mod completions;
mod config;
mod connect;
mod failure;
mod get;
mod listen;
mod logging;
mod ls;
mod mounts;
mod people;
mod programs;
mod progress;
mod proxies;
mod put;
mod receive;
mod remote;
mod secret;
mod send;
mod serve;
mod several;
mod shell;
mod sockets;
mod sockopts;
mod tls;
mod user;
mod words;

use std::ffi::OsString;
use std::io::{self, Write as _};
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
    Get(Box<get::Args>),
    Put(Box<put::Args>),
    Ls(ls::Args),
    Rm(change::Remove),
    Mkdir(change::MakeFolder),
    Mv(change::Rename),
    Shell(Box<shell::Args>),
    Register(change::Register),
    User(user::Args),
    Connect(Box<connect::Args>),
    Listen(Box<listen::Args>),
    Send(Box<send::Args>),
    Receive(Box<receive::Args>),
    Sockopts(sockopts::Args),
    Completions(completions::Args),
    Man(completions::Man),
}

/// Parses and runs a command line; says on standard error what went wrong.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let result = parse(&arguments).and_then(|cli| match cli.command {
        Command::Serve(args) => serve::run(*args),
        Command::Get(args) => get::run(&args),
        Command::Put(args) => put::run(&args),
        Command::Ls(args) => ls::run(&args),
        Command::Rm(args) => change::remove(&args),
        Command::Mkdir(args) => change::make_folder(&args),
        Command::Mv(args) => change::rename(&args),
        Command::Shell(args) => shell::run(&args),
        Command::Register(args) => change::register(&args),
        Command::User(args) => user::run(args),
        Command::Connect(args) => connect::run(&args),
        Command::Listen(args) => listen::run(&args),
        Command::Send(args) => send::run(&args),
        Command::Receive(args) => receive::run(&args),
        Command::Sockopts(args) => sockopts::run(&args),
        Command::Completions(args) => completions::run(&args),
        Command::Man(args) => completions::man(&args),
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

/// Writes a result to standard output. A reader who has closed the pipe has seen
/// enough.
fn print(text: impl AsRef<[u8]>) -> Result<(), Failure> {
    let mut output = io::stdout().lock();
    match output
        .write_all(text.as_ref())
        .and_then(|()| output.flush())
    {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Failure::new(
            Exit::of(&error),
            format!("cannot write the result: {}", failure::cause(&error)),
        )),
        _ => Ok(()),
    }
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
