//! PUT: a file, whole.

use std::io;

use super::{Change, created};
use crate::http::Intake;
use crate::serve::http::condition::Validators;
use crate::serve::http::intake::Answer;
use crate::serve::http::reply::{Body, Reply};
use crate::share::{Access, Existing, Incoming, Intent, Meta, Modified};

impl Change {
    pub(super) fn put(self) -> Result<Answer, Reply> {
        self.require(Access::Upload, "uploading")?;
        if self.as_folder {
            let text = "the address of a file does not end in a slash; a folder is made by MKCOL";
            return Err(self.refusal(409, text));
        }
        if self.ask.field("Content-Range").is_some() {
            let text = "a part of a file can't be put; send it whole, or as a resumable upload";
            return Err(self.refusal(400, text));
        }
        let current = self.current()?;
        self.check(current.as_ref())?;
        if let Some(meta) = &current {
            if meta.is_folder() {
                return Err(self.refusal(409, "there is a folder of this name"));
            }
            self.require(Access::Write, "overwriting a file")?;
        }
        let modified = self.ask.field("X-OC-Mtime").and_then(seconds);
        let intent = Intent {
            existing: self.existing(current),
            length: self.ask.length,
            modified,
        };
        let incoming = self.visit.view.receive(&self.path, intent);
        let incoming = incoming.map_err(|error| self.not_put(&error))?;
        Ok(Answer::Take(Box::new(Put {
            change: self,
            incoming,
            dated: modified.is_some(),
        })))
    }

    /// What may become of what is there now: what the conditions were of, and
    /// nothing else.
    fn existing(&self, current: Option<Meta>) -> Existing {
        let conditional = self.is_conditional();
        match current {
            Some(meta) if conditional => Existing::ReplaceThis(meta),
            None if conditional => Existing::Keep,
            _ if self.visit.view.access() < Access::Write => Existing::Keep,
            _ => Existing::Replace,
        }
    }

    fn not_put(&self, error: &io::Error) -> Reply {
        match error.kind() {
            io::ErrorKind::AlreadyExists | io::ErrorKind::ResourceBusy if self.is_conditional() => {
                self.refusal(412, "somebody else has changed it meanwhile")
            }
            io::ErrorKind::AlreadyExists => self
                .require(Access::Write, "overwriting a file")
                .err()
                .unwrap_or_else(|| self.failed(error)),
            _ => self.failed_to_create(&self.path, error),
        }
    }
}

struct Put {
    change: Change,
    incoming: Incoming,
    dated: bool,
}

impl Intake<Reply> for Put {
    fn take(&mut self, bytes: &[u8]) -> Result<(), Reply> {
        self.incoming
            .write(bytes)
            .map_err(|error| self.change.not_put(&error))
    }

    fn end(self: Box<Self>) -> Reply {
        let Self {
            change,
            incoming,
            dated,
        } = *self;
        let stored = match incoming.finish() {
            Ok(stored) => stored,
            Err(error) => return change.not_put(&error),
        };
        let mut reply = if stored.created {
            created(&change.visit.base, &change.path, false)
        } else {
            Reply::new(204, Body::Nothing)
        };
        let validators = Validators::of(&stored.meta);
        if let Some(time) = validators.last_modified() {
            reply = reply.field("Last-Modified", httpdate::fmt_http_date(time));
        }
        if dated {
            // What tells an ownCloud client that it need not do so again.
            reply = reply.field("X-OC-MTime", "accepted");
        }
        reply.field("ETag", validators.etag)
    }
}

/// A time in seconds since 1970, of which a fraction is left out.
fn seconds(text: &[u8]) -> Option<Modified> {
    let text = std::str::from_utf8(text).ok()?.trim();
    let whole = text.split_once('.').map_or(text, |(whole, _)| whole);
    let secs = whole.parse().ok()?;
    Some(Modified { secs, nanos: 0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_whole_seconds() {
        let at = |secs| Some(Modified { secs, nanos: 0 });
        assert_eq!(seconds(b"1700000000"), at(1_700_000_000));
        assert_eq!(seconds(b" 1700000000.9 "), at(1_700_000_000));
        assert_eq!(seconds(b"-5"), at(-5));
        for wrong in [&b""[..], b"now", b"0x10", b"99999999999999999999", b"\xff"] {
            assert_eq!(seconds(wrong), None);
        }
    }
}
