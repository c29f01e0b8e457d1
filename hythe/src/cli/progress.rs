//! What is shown of transfers: bars on a terminal, lines of JSON for scripts,
//! and elsewhere nothing but what went wrong.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io::{self, IsTerminal as _, Write as _};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use clap::builder::BoolishValueParser;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::json;

use super::failure::{Exit, Failure};
use super::remote::{Ended, shown};
use crate::client::Meter;
use crate::quantity::size;
use crate::transfer::{Event, Watch};

/// How often bars move.
const TICK: Duration = Duration::from_millis(100);

/// How often scripts hear of it.
const REPORT: Duration = Duration::from_secs(1);

/// With its name, a bar fits into 80 columns.
const BAR: &str =
    "{prefix:<20!} {bar:14} {bytes:>10}/{total_bytes:<10} {bytes_per_sec:>12} {eta:>4}";
const NO_TOTAL: &str = "{prefix:<20!} {spinner:14} {bytes:>10} {bytes_per_sec:>23}";

/// How transfers are to be shown.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Show {
    /// Say nothing but what went wrong
    #[arg(short, long, env = "HYTHE_QUIET", value_parser = BoolishValueParser::new())]
    quiet: bool,

    /// Tell scripts what happens: an object on each line of standard output
    #[arg(long, env = "HYTHE_JSON", value_parser = BoolishValueParser::new())]
    pub(super) json: bool,
}

impl Show {
    pub(super) fn style(&self) -> Style {
        match (self.json, self.quiet) {
            (true, _) => Style::Json,
            (false, true) => Style::Quiet,
            (false, false) => Style::People,
        }
    }
}

/// How transfers are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    /// Bars, if standard error is a terminal.
    People,
    /// Lines of JSON on standard output.
    Json,
    /// Nothing but what went wrong.
    Quiet,
}

/// Shows transfers.
pub(super) struct Progress {
    style: Style,
    bars: Option<MultiProgress>,
    active: Shared,
    ticker: Option<Ticker>,
    /// Whether heads are shown.
    heads: bool,
    started: RefCell<HashMap<String, (Instant, u64)>>,
    /// What can be gone on with if it is interrupted, with its meter and where it
    /// began.
    resumable: RefCell<HashMap<String, (Meter, u64)>>,
    /// Of those that were expected, how many are there.
    files: Cell<(usize, usize)>,
}

/// What the thread that moves the bars knows as well.
type Shared = Arc<Mutex<State>>;

#[derive(Default)]
struct State {
    active: HashMap<String, Active>,
    /// Of all files together, if there are several.
    all: Option<ProgressBar>,
    /// How many bytes the files have that are there.
    settled: u64,
}

struct Active {
    bar: Option<ProgressBar>,
    meter: Meter,
    offset: u64,
}

impl Progress {
    pub(super) fn new(style: Style, heads: bool) -> Self {
        let people = style == Style::People && io::stderr().is_terminal();
        let bars = people.then(|| MultiProgress::with_draw_target(ProgressDrawTarget::stderr()));
        let active = Shared::default();
        let ticker = (people || style == Style::Json)
            .then(|| Ticker::start(Arc::clone(&active), style))
            .and_then(Result::ok);
        Self {
            style,
            bars,
            active,
            ticker,
            heads,
            started: RefCell::default(),
            resumable: RefCell::default(),
            files: Cell::default(),
        }
    }

    /// Whether something has begun and not ended, and can be gone on with.
    fn is_unfinished(&self) -> bool {
        let resumable = self.resumable.borrow();
        resumable
            .values()
            .any(|(meter, offset)| *offset > 0 || meter.moved() > 0)
    }

    /// Says something beside the bars.
    pub(super) fn say(&self, text: &str) {
        // `eprintln` panics where standard error is closed.
        let say = || _ = writeln!(io::stderr(), "{text}");
        match &self.bars {
            Some(bars) => bars.suspend(say),
            None => say(),
        }
    }

    /// So much there is to do in all.
    pub(super) fn expect(&self, files: usize, bytes: u64) {
        self.files.set((0, files));
        if let Some(bars) = &self.bars
            && files > 1
        {
            let bar = ProgressBar::new(bytes).with_style(style(BAR));
            self.state().all = Some(bars.add(bar));
            self.one_more(0, 0);
        }
    }

    /// So many files more are there, of which so many bytes have just come.
    fn one_more(&self, files: usize, bytes: u64) {
        let (done, all) = self.files.get();
        self.files.set((done + files, all));
        let mut state = self.state();
        state.settled += bytes;
        if let Some(bar) = &state.all {
            bar.set_prefix(format!("{} of {all} files", done + files));
        }
    }

    /// Says that one of several failed.
    pub(super) fn failed(&self, text: &str) {
        self.say(&format!("hythe: {text}"));
    }

    /// Takes the bars away, and tells how it ended. `again` is whether the same
    /// command goes on with what was interrupted, where the server can.
    pub(super) fn end_of(
        &mut self,
        ended: Ended<Result<(), Failure>>,
        again: bool,
    ) -> Result<(), Failure> {
        let unfinished = self.is_unfinished();
        self.close();
        match ended {
            Ended::Done(result) => result,
            Ended::Interrupted if unfinished && again => Err(Failure::new(
                Exit::PartKept,
                "interrupted; run the same command again to continue",
            )),
            Ended::Interrupted => Err(Failure::new(Exit::Interrupted, "interrupted")),
        }
    }

    /// Takes the bars away.
    pub(super) fn close(&mut self) {
        self.ticker = None;
        let all = self.state().all.take();
        if let Some(bar) = all {
            bar.finish_and_clear();
        }
        if let Some(bars) = &self.bars {
            bars.clear().ok();
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.active.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn end(&self, name: &str) {
        self.started.borrow_mut().remove(name);
        let ended = self.state().active.remove(name);
        if let Some(bar) = ended.and_then(|active| active.bar) {
            bar.finish_and_clear();
        }
    }

    fn begun(&self, name: &str, total: Option<u64>, offset: u64, meter: &Meter) {
        let bar = self.bars.as_ref().map(|bars| {
            let bar = match total {
                Some(total) => ProgressBar::new(total).with_style(style(BAR)),
                None => ProgressBar::no_length().with_style(style(NO_TOTAL)),
            };
            let name = shown(name.as_bytes());
            let name = name.rsplit('/').next().unwrap_or_default().to_owned();
            let bar = bar.with_prefix(name).with_position(offset);
            // That of all together stays below.
            let bar = match &self.state().all {
                Some(all) => bars.insert_before(all, bar),
                None => bars.add(bar),
            };
            bar.reset_eta();
            bar.reset_elapsed();
            bar
        });
        let offset = offset.saturating_sub(meter.moved());
        let active = Active {
            bar,
            meter: meter.clone(),
            offset,
        };
        self.end(name);
        self.state().active.insert(name.to_owned(), active);
        let begun = (Instant::now(), meter.moved());
        self.started.borrow_mut().insert(name.to_owned(), begun);
    }

    fn done(&self, name: &str, bytes: u64) {
        self.resumable.borrow_mut().remove(name);
        let moved = self
            .state()
            .active
            .get(name)
            .map_or(0, |active| active.meter.moved());
        let begun = self.started.borrow_mut().remove(name);
        self.end(name);
        self.one_more(1, bytes);
        if self.bars.is_none() {
            return;
        }
        let mut text = format!("{}: {}", shown(name.as_bytes()), size(bytes));
        if let Some((since, before)) = begun {
            let seconds = since.elapsed().as_secs_f64();
            let speed = (moved - before.min(moved)) as f64 / seconds.max(0.001);
            text.push_str(&format!(" in {}, {}/s", span(seconds), size(speed as u64)));
        }
        self.say(&text);
    }
}

impl Watch for Progress {
    fn event(&self, event: Event<'_>) {
        if self.style == Style::Json
            && let Some(line) = as_json(&event)
        {
            emit(&line);
        }
        match event {
            Event::Begun {
                name,
                total,
                offset,
                resumes,
                meter,
            } => {
                if resumes {
                    let kept = (meter.clone(), offset);
                    self.resumable.borrow_mut().insert(name.to_owned(), kept);
                }
                self.begun(name, total, offset, meter);
                if offset > 0 && self.bars.is_some() {
                    let name = shown(name.as_bytes());
                    self.say(&format!("{name}: continued at {}", size(offset)));
                }
            }
            Event::Restarted { name, why } => {
                self.end(name);
                let name = shown(name.as_bytes());
                self.say(&format!("{name}: {why}; starting again"));
            }
            Event::Retrying { name, error, wait } => {
                self.end(name);
                let (name, wait) = (shown(name.as_bytes()), span(wait.as_secs_f64()));
                self.say(&format!("{name}: {error}; trying again in {wait}"));
            }
            Event::Done { name, bytes } => self.done(name, bytes),
            Event::Failed { name, .. } => {
                self.resumable.borrow_mut().remove(name);
                self.end(name);
            }
            Event::Skipped { name } if self.bars.is_some() => {
                self.one_more(1, 0);
                let name = shown(name.as_bytes());
                self.say(&format!("{name}: is there already, the same"));
            }
            Event::Head { head } if self.heads => show_head(head),
            Event::Skipped { .. } | Event::Head { .. } => {}
        }
    }
}

/// Shows the head of a response; on a terminal, with what would move the cursor
/// made visible.
pub(super) fn show_head(head: &[u8]) {
    let mut output = io::stdout().lock();
    let text = if output.is_terminal() {
        let lines = head.split(|byte| *byte == b'\n');
        let lines = lines.map(|line| shown(line.trim_ascii_end()));
        lines.collect::<Vec<_>>().join("\n").into_bytes()
    } else {
        head.to_vec()
    };
    // A closed pipe is noticed by what comes next.
    output.write_all(&text).and_then(|()| output.flush()).ok();
}

fn style(template: &str) -> ProgressStyle {
    // A template with a mistake in it would be ours, and shows the default bar.
    ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("█▌ ")
}

fn as_json(event: &Event<'_>) -> Option<serde_json::Value> {
    Some(match event {
        Event::Begun {
            name,
            total,
            offset,
            ..
        } => json!({"event": "begun", "name": name, "total": total, "offset": offset}),
        Event::Restarted { name, why } => {
            json!({"event": "restarted", "name": name, "why": why})
        }
        Event::Retrying { name, error, wait } => json!({
            "event": "retrying", "name": name, "error": error.text, "seconds": wait.as_secs_f64(),
        }),
        Event::Done { name, bytes } => json!({"event": "done", "name": name, "bytes": bytes}),
        Event::Failed { name, error } => {
            json!({"event": "failed", "name": name, "error": error.text})
        }
        Event::Skipped { name } => json!({"event": "skipped", "name": name}),
        Event::Head { .. } => return None,
    })
}

fn emit(line: &serde_json::Value) {
    // A reader who has closed the pipe has seen enough.
    writeln!(io::stdout(), "{line}").ok();
}

/// `0.4 s`, `12 s`, `3 min 20 s`.
fn span(seconds: f64) -> String {
    match seconds {
        short if short < 10.0 => format!("{short:.1} s"),
        middle if middle < 120.0 => format!("{middle:.0} s"),
        long => format!("{} min {} s", long as u64 / 60, long as u64 % 60),
    }
}

/// A thread that moves the bars.
struct Ticker {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Ticker {
    fn start(shared: Shared, style: Style) -> io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::Builder::new()
            .name("progress".into())
            .spawn(move || {
                let mut reported = Instant::now();
                while !stopped.load(Ordering::Relaxed) {
                    thread::park_timeout(TICK);
                    let report = style == Style::Json && reported.elapsed() >= REPORT;
                    if report {
                        reported = Instant::now();
                    }
                    let state = shared.lock().unwrap_or_else(PoisonError::into_inner);
                    let mut all = state.settled;
                    for (name, active) in &state.active {
                        let position = active.offset + active.meter.moved();
                        all += position;
                        if let Some(bar) = &active.bar {
                            bar.set_position(position);
                        }
                        if report {
                            emit(&json!({"event": "progress", "name": name, "bytes": position}));
                        }
                    }
                    if let Some(bar) = &state.all {
                        bar.set_position(all);
                    }
                }
            })?;
        Ok(Self {
            stop,
            thread: Some(thread),
        })
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // It has nothing to tell.
            thread.join().ok();
        }
    }
}
