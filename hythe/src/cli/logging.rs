//! Where log lines go: standard error, as text or as JSON.

use std::io::{self, IsTerminal as _};

use clap::ValueEnum;
use tracing::level_filters::LevelFilter;

/// What the log looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Log {
    /// A line for people.
    Text,
    /// A JSON object a line.
    Json,
    /// None.
    Off,
}

/// Sends log lines to standard error from now on.
pub(super) fn start(log: Log) {
    let builder = tracing_subscriber::fmt()
        .with_writer(io::stderr)
        .with_max_level(LevelFilter::INFO)
        .with_ansi(io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none());
    match log {
        Log::Text => builder.init(),
        Log::Json => builder.json().flatten_event(true).init(),
        Log::Off => {}
    }
}
