//! `hythe completions` and `hythe man`: what shells and `man` want to know of the
//! command line.

use std::path::PathBuf;

use clap::CommandFactory as _;
use clap_complete::Shell;

use super::failure::{Exit, Failure, cause};
use super::{Cli, print};

/// Write completions for a shell
///
/// For bash: hythe completions bash > ~/.local/share/bash-completion/completions/hythe
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The shell
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

/// Write the manual page, or with a folder those of all subcommands
#[derive(Debug, clap::Args)]
pub(super) struct Man {
    /// Where to put hythe.1, hythe-get.1 and so on; else hythe.1 is printed
    #[arg(value_name = "DIR")]
    folder: Option<PathBuf>,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let mut out = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "hythe", &mut out);
    print(&out)
}

pub(super) fn man(args: &Man) -> Result<(), Failure> {
    let failed = |error: std::io::Error| {
        let text = format!("cannot write the manual: {}", cause(&error));
        Failure::new(Exit::of(&error), text)
    };
    if let Some(folder) = &args.folder {
        return clap_mangen::generate_to(Cli::command(), folder).map_err(failed);
    }
    let mut out = Vec::new();
    let page = clap_mangen::Man::new(Cli::command());
    page.render(&mut out).map_err(failed)?;
    print(&out)
}
