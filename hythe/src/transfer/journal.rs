//! The journal of a download: of which version its part is, and how far it has
//! come.
//!
//! ```text
//!   {"url":"http://quay/a","version":{"etag":"\"7\"","size":900}}
//!   00000000000000000000 00000000000000000128 00000000000000000450
//!   00000000000000000450 00000000000000000450 00000000000000000900
//! ```
//!
//! One line of JSON, then one line a segment: where it begins, how far it has
//! come, and where it ends. How far is written over in place after each piece of
//! the part is: what a killed process had written, the kernel still has.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::Mutex;
use std::sync::PoisonError;

use serde::{Deserialize, Serialize};

use crate::client::Version;

/// The digits of an offset: those of the largest.
const DIGITS: usize = 20;

/// One line of a segment: three offsets and what is between.
const LINE: usize = 3 * (DIGITS + 1);

/// Where a segment ends whose end nobody knows.
pub(super) const UNKNOWN: u64 = u64::MAX;

/// No journal is longer: a head, and the segments of as many connections as
/// anybody opens.
const LIMIT: u64 = 1024 * 1024;

/// What the first line says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Head {
    /// Where it comes from, without a password.
    pub(super) url: String,
    /// Of which version it is.
    pub(super) version: Version,
    /// Which start of this machine wrote it: after another, nobody knows what of
    /// the part reached the disk.
    pub(super) boot: String,
}

/// A stretch of the file that one connection brings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Segment {
    pub(super) start: u64,
    /// The end of what is there.
    pub(super) done: u64,
    /// Exclusive.
    pub(super) end: u64,
}

impl Segment {
    pub(super) fn is_done(&self) -> bool {
        self.done >= self.end
    }
}

/// A journal in its file.
#[derive(Debug)]
pub(super) struct Journal {
    file: File,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    head: Head,
    /// How long the first line is.
    head_length: u64,
    segments: Vec<Segment>,
}

impl Journal {
    /// Reads what the file says. `None` if it makes no sense, as after a power
    /// cut.
    pub(super) fn read(file: File) -> io::Result<Result<Self, File>> {
        let length = file.metadata()?.len();
        if length == 0 || length > LIMIT {
            return Ok(Err(file));
        }
        let mut text = vec![0; length as usize];
        file.read_exact_at(&mut text, 0)?;
        Ok(match parse(&text) {
            Some(state) => Ok(Self {
                file,
                state: Mutex::new(state),
            }),
            None => Err(file),
        })
    }

    /// Begins anew.
    pub(super) fn begin(file: File, head: Head, segments: Vec<Segment>) -> io::Result<Self> {
        let journal = Self {
            file,
            state: Mutex::new(State {
                head: Head::default(),
                head_length: 0,
                segments: Vec::new(),
            }),
        };
        journal.set(head, segments)?;
        Ok(journal)
    }

    /// Says something else from now on.
    pub(super) fn set(&self, head: Head, segments: Vec<Segment>) -> io::Result<()> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let mut text = serde_json::to_string(&head).map_err(io::Error::other)?;
        text.push('\n');
        let head_length = text.len() as u64;
        for segment in &segments {
            text.push_str(&line(segment));
        }
        self.file.set_len(0)?;
        self.file.write_all_at(text.as_bytes(), 0)?;
        *state = State {
            head,
            head_length,
            segments,
        };
        Ok(())
    }

    pub(super) fn head(&self) -> Head {
        self.locked(|state| state.head.clone())
    }

    pub(super) fn segments(&self) -> Vec<Segment> {
        self.locked(|state| state.segments.clone())
    }

    pub(super) fn segment(&self, index: usize) -> Option<Segment> {
        self.locked(|state| state.segments.get(index).copied())
    }

    /// How many bytes are there.
    pub(super) fn done(&self) -> u64 {
        self.locked(|state| {
            let done = state.segments.iter();
            done.map(|segment| segment.done - segment.start).sum()
        })
    }

    /// A segment has come this far.
    pub(super) fn reach(&self, index: usize, done: u64) -> io::Result<()> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let at = state.head_length + (index * LINE + DIGITS + 1) as u64;
        let Some(segment) = state.segments.get_mut(index) else {
            return Ok(());
        };
        segment.done = done;
        self.file.write_all_at(format!("{done:020}").as_bytes(), at)
    }

    /// The end of a segment whose end nobody knew has come.
    pub(super) fn close(&self, index: usize) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(segment) = state.segments.get_mut(index) {
            segment.end = segment.done;
        }
    }

    fn locked<T>(&self, what: impl FnOnce(&State) -> T) -> T {
        what(&self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn line(segment: &Segment) -> String {
    let Segment { start, done, end } = segment;
    format!("{start:020} {done:020} {end:020}\n")
}

fn parse(text: &[u8]) -> Option<State> {
    let end = text.iter().position(|byte| *byte == b'\n')? + 1;
    let head = serde_json::from_slice(&text[..end]).ok()?;
    let lines = &text[end..];
    if lines.is_empty() || !lines.len().is_multiple_of(LINE) {
        return None;
    }
    let segments: Option<Vec<Segment>> = lines.chunks(LINE).map(parse_line).collect();
    let segments = segments?;
    let mut at = 0;
    for segment in &segments {
        if segment.start != at {
            return None;
        }
        at = segment.end;
    }
    Some(State {
        head,
        head_length: end as u64,
        segments,
    })
}

fn parse_line(line: &[u8]) -> Option<Segment> {
    let text = std::str::from_utf8(line.strip_suffix(b"\n")?).ok()?;
    let mut numbers = text.split(' ').map(|digits| digits.parse::<u64>().ok());
    let mut next = || numbers.next().flatten();
    let segment = Segment {
        start: next()?,
        done: next()?,
        end: next()?,
    };
    (segment.start <= segment.done && segment.done <= segment.end).then_some(segment)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn segment(start: u64, done: u64, end: u64) -> Segment {
        Segment { start, done, end }
    }

    #[test]
    fn what_was_written_is_read_again() {
        let file = tempfile::tempfile().unwrap();
        let head = Head {
            url: "http://quay/中文".into(),
            ..Head::default()
        };
        let segments = vec![segment(0, 0, 100), segment(100, 100, UNKNOWN)];
        let journal = Journal::begin(file.try_clone().unwrap(), head.clone(), segments).unwrap();
        journal.reach(0, 60).unwrap();
        journal.reach(1, 107).unwrap();
        assert_eq!(journal.done(), 67);
        let again = Journal::read(file.try_clone().unwrap()).unwrap().unwrap();
        assert_eq!(again.head(), head);
        assert_eq!(again.segments(), journal.segments());
        journal
            .set(Head::default(), vec![segment(0, 0, 1)])
            .unwrap();
        let again = Journal::read(file).unwrap().unwrap();
        assert_eq!(again.segments(), [segment(0, 0, 1)]);
    }

    #[test]
    fn what_makes_no_sense_is_not_believed() {
        let good = format!(
            "{{\"url\":\"\",\"version\":{{\"etag\":null,\"modified\":null,\"size\":null}},\"boot\":\"\"}}\n{}",
            line(&segment(0, 5, 9))
        );
        assert!(parse(good.as_bytes()).is_some());
        for end in 0..good.len() {
            assert!(parse(&good.as_bytes()[..end]).is_none(), "cut at {end}");
        }
        for bad in [segment(1, 5, 9), segment(0, 10, 9)] {
            let head = good.split('\n').next().unwrap();
            assert!(parse(format!("{head}\n{}", line(&bad)).as_bytes()).is_none());
        }
    }

    proptest! {
        #[test]
        fn no_journal_is_too_strange(
            head in prop::sample::select(vec!["", "{}", "{\"url\":\"\",\"version\":{},\"boot\":\"\"}"]),
            lines in prop::collection::vec(prop::collection::vec(any::<u8>(), LINE..=LINE), 0..4),
            numbers in prop::collection::vec(any::<(u64, u64, u64)>(), 0..4),
        ) {
            let strange = [head.as_bytes(), b"\n", &lines.concat()].concat();
            parse(&strange);
            let lines: String = numbers
                .into_iter()
                .map(|(start, done, end)| line(&segment(start, done, end)))
                .collect();
            if let Some(state) = parse(format!("{head}\n{lines}").as_bytes()) {
                let mut at = 0;
                for segment in state.segments {
                    prop_assert!(segment.start == at && at <= segment.done && segment.done <= segment.end);
                    at = segment.end;
                }
            }
        }
    }
}
