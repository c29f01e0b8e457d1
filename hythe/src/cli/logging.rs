//! Where log lines go: standard error, as text or as JSON.
//!
//! Text is for people, a line each, and no line holds a control character,
//! whoever it came from:
//!
//! ```text
//! 2026-11-20T15:58:00Z http 127.0.0.1:55278 GET /nums.txt 206 298
//! 2026-11-20T15:58:02Z ftp 127.0.0.1:55280 RETR "/two words" 226 17
//! 2026-11-20T15:58:03Z warning: cannot read path=/broken error=input/output error
//! ```

use std::fmt::{self, Write as _};
use std::io::{self, IsTerminal as _};

use clap::ValueEnum;
use jiff::Timestamp;
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::{Event, Level, Subscriber};
use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::writer::BoxMakeWriter;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use crate::serve::log::ACCESS;
use crate::share::AUDIT;

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

/// How many lines may wait to be written before further ones are dropped: a
/// few seconds of a busy server.
const WAITING_LINES: usize = 10_000;

/// Sends log lines to standard error until the guard is dropped, by a thread of
/// their own: where nobody reads them, they are dropped, and the server goes
/// on. Without `thread` whoever has something to log waits for the reader.
pub(super) fn start(log: Log, thread: bool) -> Option<WorkerGuard> {
    let (writer, guard) = if thread {
        let (writer, guard) = NonBlockingBuilder::default()
            .buffered_lines_limit(WAITING_LINES)
            .thread_name("log")
            .finish(io::stderr());
        (BoxMakeWriter::new(writer), Some(guard))
    } else {
        (BoxMakeWriter::new(io::stderr), None)
    };
    let colour = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let builder = tracing_subscriber::fmt()
        .with_writer(writer)
        .with_max_level(LevelFilter::INFO)
        .with_ansi(colour && io::stderr().is_terminal())
        // Whoever closes standard error wants no log, not even one of that.
        .log_internal_errors(false);
    match log {
        Log::Text => builder.event_format(Line).init(),
        // What `tracing` calls a target would be a second one beside ours.
        Log::Json => builder.json().flatten_event(true).with_target(false).init(),
        Log::Off => {}
    }
    guard
}

/// The form of a text line.
struct Line;

impl<S, N> FormatEvent<S, N> for Line
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        write!(writer, "{:.0}", Timestamp::now())?;
        let (colour, word) = match *event.metadata().level() {
            Level::ERROR => ("\x1b[31m", " error:"),
            Level::WARN => ("\x1b[33m", " warning:"),
            _ => ("", ""),
        };
        if writer.has_ansi_escapes() && !word.is_empty() {
            write!(writer, "{colour}{word}\x1b[0m")?;
        } else {
            writer.write_str(word)?;
        }
        let target = event.metadata().target();
        if target == AUDIT {
            writer.write_str(" audit")?;
        }
        let named = target != ACCESS && target != AUDIT;
        event.record(&mut Fields {
            writer: writer.by_ref(),
            named,
        });
        writer.write_char('\n')
    }
}

/// Writes what an event holds, each after a space. The fields of the access
/// log and the audit log are always the same and need no names.
struct Fields<'a> {
    writer: Writer<'a>,
    named: bool,
}

impl Fields<'_> {
    fn write(&mut self, field: &Field, value: &dyn fmt::Display) {
        let value = value.to_string();
        // Only the last one can be: a detail where there is none.
        if value.is_empty() {
            return;
        }
        // Writing into memory does not fail.
        self.writer.write_char(' ').ok();
        if self.named && field.name() != "message" {
            write!(self.writer, "{}=", field.name()).ok();
        }
        // What peers choose can have spaces in it.
        let quoted = matches!(field.name(), "target" | "account" | "path" | "detail")
            && value.contains([' ', '"']);
        if quoted {
            write!(Printable(&mut self.writer), "\"{value}\"").ok();
        } else {
            write!(Printable(&mut self.writer), "{value}").ok();
        }
    }
}

impl Visit for Fields<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.write(field, &value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.write(field, &format_args!("{value:?}"));
    }
}

/// Passes text on, with escapes for what would end a line or drive a terminal.
struct Printable<'a, 'b>(&'a mut Writer<'b>);

impl fmt::Write for Printable<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        text.chars().try_for_each(|letter| match letter {
            '"' | '\'' | '\\' => self.0.write_char(letter),
            _ => write!(self.0, "{}", letter.escape_debug()),
        })
    }
}
