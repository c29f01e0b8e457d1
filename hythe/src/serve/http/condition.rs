//! Conditional requests (RFC 9110 §13).

use std::time::{Duration, SystemTime};

use hythe_wire::http::{Comparison, is_entity_tag, matches_etag};

use super::ask::Ask;
use crate::share::{Meta, Modified};

/// What is known of the representation that would be sent.
#[derive(Clone, Debug)]
pub(super) struct Validators {
    /// Strong, with its quotes.
    pub(super) etag: String,
    pub(super) modified: Modified,
}

/// What the conditions of a request come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Proceed,
    /// 304: the client has it already.
    NotModified,
    /// 412: it is not what the client thinks.
    Failed,
}

impl Validators {
    /// Those of a file as it is.
    pub(super) fn of(meta: &Meta) -> Self {
        Self {
            etag: meta.etag().to_string(),
            modified: meta.modified,
        }
    }

    /// The time of modification as HTTP tells it, in whole seconds. None before
    /// 1970, which its dates are not made for, and none in the future, where
    /// RFC 9110 §8.8.2.1 forbids it.
    pub(super) fn last_modified(&self) -> Option<SystemTime> {
        let seconds = u64::try_from(self.modified.secs).ok()?;
        let time = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds))?;
        (time <= SystemTime::now()).then_some(time)
    }

    /// Evaluates the conditions of a safe request, in the order of RFC 9110
    /// §13.2.2. A date that can't be read is no condition.
    pub(super) fn evaluate(&self, ask: &Ask) -> Outcome {
        let etag = Some(self.etag.as_bytes());
        let unchanged_since = |date: &Option<Vec<u8>>| {
            let date = parse_date(date.as_deref()?)?;
            Some(self.last_modified()? <= date)
        };
        if let Some(list) = &ask.if_match {
            if !matches_etag([list.as_slice()], etag, Comparison::Strong) {
                return Outcome::Failed;
            }
        } else if unchanged_since(&ask.if_unmodified_since) == Some(false) {
            return Outcome::Failed;
        }
        if let Some(list) = &ask.if_none_match {
            if matches_etag([list.as_slice()], etag, Comparison::Weak) {
                return Outcome::NotModified;
            }
        } else if unchanged_since(&ask.if_modified_since) == Some(true) {
            return Outcome::NotModified;
        }
        Outcome::Proceed
    }

    /// Whether the part the client has is of this very representation, so
    /// that a range can complete it (RFC 9110 §13.1.5).
    pub(super) fn allow_range(&self, ask: &Ask) -> bool {
        let Some(value) = ask.if_range.as_deref() else {
            return true;
        };
        if is_entity_tag(value) {
            return matches_etag([value], Some(self.etag.as_bytes()), Comparison::Strong);
        }
        // Of a file that changed within this very second, the date can't tell
        // which of its states is meant.
        let settled = self.last_modified().is_some_and(|modified| {
            SystemTime::now()
                .duration_since(modified)
                .is_ok_and(|age| age.as_secs() >= 1)
        });
        settled && parse_date(value) == self.last_modified()
    }
}

/// Whether the conditions of a request that would change something hold, of
/// what is there now (RFC 9110 §13.2.2).
pub(super) fn allow_change(ask: &Ask, current: Option<&Validators>) -> bool {
    let etag = current.map(|validators| validators.etag.as_bytes());
    if let Some(list) = &ask.if_match {
        if !matches_etag([list.as_slice()], etag, Comparison::Strong) {
            return false;
        }
    } else if let Some(date) = ask.if_unmodified_since.as_deref().and_then(parse_date)
        && let Some(modified) = current.and_then(Validators::last_modified)
        && modified > date
    {
        return false;
    }
    match &ask.if_none_match {
        Some(list) => !matches_etag([list.as_slice()], etag, Comparison::Weak),
        None => true,
    }
}

fn parse_date(value: &[u8]) -> Option<SystemTime> {
    httpdate::parse_http_date(std::str::from_utf8(value).ok()?.trim()).ok()
}
