//! The `hythe` program: parses its command line, runs it, and exits with a
//! status. All else is in the library.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    hythe::cli::run(std::env::args_os())
}
