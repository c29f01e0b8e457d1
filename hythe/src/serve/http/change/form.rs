//! Forms with files (RFC 7578), from a page without script and from `curl -F`.
//!
//! A file that has the name of one that is there is refused, unless the field
//! `overwrite` comes before it: whoever fills in a form does not know what is
//! there, as the writer of a PUT does.

use std::fmt::Write as _;
use std::io;

use hythe_wire::http::Multipart;
use hythe_wire::http::multipart::{Event, PartHead};
use serde_json::json;

use super::Change;
use crate::http::Intake;
use crate::serve::http::answer::meaning;
use crate::serve::http::intake::Answer;
use crate::serve::http::reply::{Body, Reply};
use crate::serve::log::Escaped;
use crate::share::{Access, Existing, Incoming, Intent, Lacks, RelPath};
use crate::web::Lang;

/// The most files in one form: a browser sends no more than a person has
/// chosen, and what became of each is told.
const MAX_FILES: usize = 10_000;

/// The longest value of a field that matters: `1`, `on`, `yes`.
const FIELD_LIMIT: usize = 16;

impl Change {
    pub(super) fn form(self) -> Result<Answer, Reply> {
        self.require(Access::Upload, "uploading")?;
        let content_type = self.ask.content_type.as_deref().unwrap_or_default();
        let reader = Multipart::new(content_type)
            .map_err(|error| self.refusal(error.status, error.reason))?;
        Ok(Answer::Take(Box::new(Form {
            reader,
            parts: Parts {
                change: self,
                current: None,
                overwrite: false,
                field: None,
                outcomes: Vec::new(),
            },
        })))
    }
}

/// How much is told of the name of a file that was refused: no name on a disk
/// is longer, and there may be many.
const NAME_SHOWN: usize = 255;

/// A form that comes in.
struct Form {
    reader: Multipart,
    parts: Parts,
}

/// What has come of it.
struct Parts {
    change: Change,
    /// The file that comes just now, and its name.
    current: Option<(RelPath, Incoming)>,
    /// Whether the files that follow may replace others.
    overwrite: bool,
    /// The value of the field `overwrite`, while it comes.
    field: Option<Vec<u8>>,
    outcomes: Vec<Outcome>,
}

/// What became of one file.
struct Outcome {
    name: Vec<u8>,
    result: Result<RelPath, (u16, String)>,
}

impl Intake<Reply> for Form {
    fn take(&mut self, bytes: &[u8]) -> Result<(), Reply> {
        let mut bytes = bytes;
        let Self { reader, parts } = self;
        loop {
            let event = reader.next(&mut bytes);
            match event.map_err(|error| parts.change.refusal(error.status, error.reason))? {
                None => return Ok(()),
                Some(Event::Part(head)) => parts.begin(head)?,
                Some(Event::Data(data)) => parts.data(data),
                Some(Event::End) => parts.end(),
                Some(Event::Done) => {}
            }
        }
    }

    fn end(self: Box<Self>) -> Reply {
        let Parts {
            change, outcomes, ..
        } = &self.parts;
        if !self.reader.is_done() {
            let text = "the form ends too soon; what was whole of it is stored";
            return change.refusal(400, text);
        }
        if outcomes.is_empty() {
            return change.refusal(400, "there is no file in the form");
        }
        change.told(outcomes)
    }
}

impl Parts {
    /// Begins a part: a file, or a field, or one where no file was chosen.
    fn begin(&mut self, head: PartHead) -> Result<(), Reply> {
        let Some(name) = head.filename.filter(|name| !name.is_empty()) else {
            self.field = (head.name.as_deref() == Some(b"overwrite")).then(Vec::new);
            return Ok(());
        };
        if self.outcomes.len() == MAX_FILES {
            let text = format!("send at most {MAX_FILES} files at once");
            return Err(self.change.refusal(413, &text));
        }
        match self.change.begin(&name, self.overwrite) {
            Ok(begun) => self.current = Some(begun),
            Err(why) => {
                let mut name = name;
                name.truncate(NAME_SHOWN);
                self.outcomes.push(Outcome {
                    name,
                    result: Err(why),
                });
            }
        }
        Ok(())
    }

    fn data(&mut self, data: &[u8]) {
        if let Some(value) = &mut self.field {
            let room = FIELD_LIMIT.saturating_sub(value.len());
            value.extend_from_slice(&data[..data.len().min(room)]);
        }
        if let Some((_, incoming)) = &mut self.current
            && let Err(error) = incoming.write(data)
            && let Some((path, _)) = self.current.take()
        {
            self.outcomes.push(self.change.outcome(path, Err(error)));
        }
    }

    fn end(&mut self) {
        if let Some(value) = self.field.take() {
            self.overwrite = !matches!(&*value, b"" | b"0" | b"no" | b"off" | b"false");
        }
        if let Some((path, incoming)) = self.current.take() {
            let result = incoming.finish().map(drop);
            self.outcomes.push(self.change.outcome(path, result));
        }
    }
}

impl Change {
    /// Begins to take in a file of the form.
    fn begin(&self, name: &[u8], overwrite: bool) -> Result<(RelPath, Incoming), (u16, String)> {
        let path = self
            .path
            .join(own_name(name))
            .map_err(|bad| (400, bad.to_string()))?;
        if !path.fits_url() {
            let text = "a name with a backslash or a control character is not taken";
            return Err((400, text.to_owned()));
        }
        let existing = if overwrite {
            Existing::Replace
        } else {
            Existing::Keep
        };
        let intent = Intent {
            existing,
            length: None,
            modified: None,
        };
        match self.visit.view.receive(&path, intent) {
            Ok(incoming) => Ok((path, incoming)),
            Err(error) => Err(self.why(&error)),
        }
    }

    fn outcome(&self, path: RelPath, result: io::Result<()>) -> Outcome {
        Outcome {
            name: path.name().unwrap_or_default().to_vec(),
            result: match result {
                Ok(()) => Ok(path),
                Err(error) => Err(self.why(&error)),
            },
        }
    }

    fn why(&self, error: &io::Error) -> (u16, String) {
        if let Some(lacks) = Lacks::of(error) {
            return (403, lacks.to_string());
        }
        match error.kind() {
            io::ErrorKind::AlreadyExists if self.visit.view.access() >= Access::Write => {
                let text = "there is a file of this name; \
                            to replace it, choose so above the file (the field overwrite=1)";
                (409, text.to_owned())
            }
            io::ErrorKind::AlreadyExists => {
                let text = "there is a file of this name, and overwriting needs the role write";
                (403, text.to_owned())
            }
            io::ErrorKind::NotFound => (403, "this name is not allowed here".to_owned()),
            _ => meaning(&self.visit, &self.ask, error),
        }
    }

    /// What became of the files, in the form that suits who sent them.
    fn told(&self, outcomes: &[Outcome]) -> Reply {
        let failure = outcomes
            .iter()
            .find_map(|outcome| outcome.result.as_ref().err());
        let status = failure.map_or(201, |(status, _)| *status);
        if self.ask.json {
            let text = as_json(&self.visit.base, outcomes).to_string();
            return Reply::new(status, Body::Bytes(text.into_bytes()))
                .field("Content-Type", "application/json")
                .field("X-Content-Type-Options", "nosniff");
        }
        if failure.is_some() {
            return self.refusal(status, &not_all(outcomes, self.ask.lang));
        }
        if self.ask.html {
            let mut folder = self.visit.base.clone();
            self.path.url_path(true, &mut folder);
            return self.refusal(303, "stored").field("Location", folder);
        }
        Reply::new(201, Body::Bytes(as_text(outcomes).into_bytes()))
            .field("Content-Type", "text/plain; charset=utf-8")
            .field("X-Content-Type-Options", "nosniff")
    }
}

fn as_text(outcomes: &[Outcome]) -> String {
    let mut text = String::new();
    for Outcome { name, result } in outcomes {
        let name = Escaped(name);
        // Writing to a string can't fail.
        match result {
            Ok(_) => writeln!(text, "{name}: stored").ok(),
            Err((_, why)) => writeln!(text, "{name}: {why}").ok(),
        };
    }
    text
}

/// What became of each file, as far as it can be said in this language.
fn not_all(outcomes: &[Outcome], lang: Lang) -> String {
    let each = outcomes.iter().map(|Outcome { name, result }| {
        let what = match result {
            Ok(_) => "stored",
            Err((_, why)) => why,
        };
        format!("{}: {}", Escaped(name), lang.say(what))
    });
    let each = each.collect::<Vec<_>>().join("; ");
    lang.say("not all is stored: {}").replacen("{}", &each, 1)
}

fn as_json(base: &str, outcomes: &[Outcome]) -> serde_json::Value {
    let files = outcomes.iter().map(|Outcome { name, result }| {
        let name = String::from_utf8_lossy(name);
        match result {
            Ok(path) => {
                let mut href = base.to_owned();
                path.url_path(false, &mut href);
                json!({ "name": name, "href": href })
            }
            Err((status, why)) => json!({ "name": name, "status": status, "error": why }),
        }
    });
    let failed = outcomes
        .iter()
        .find_map(|outcome| outcome.result.as_ref().err());
    match failed {
        Some((_, why)) => json!({ "files": files.collect::<Vec<_>>(), "error": why }),
        None => json!({ "files": files.collect::<Vec<_>>() }),
    }
}

/// The file's own name, of one that comes with a drive and folders before it,
/// as some browsers on Windows send it.
fn own_name(name: &[u8]) -> &[u8] {
    match name {
        [drive, b':', b'\\', rest @ ..] if drive.is_ascii_alphabetic() => rest
            .rsplit(|&byte| byte == b'\\')
            .next()
            .unwrap_or_default(),
        _ => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drive_and_its_folders_are_no_part_of_a_name() {
        for (name, expected) in [
            ("C:\\fakepath\\a.txt", "a.txt"),
            ("c:\\a.txt", "a.txt"),
            ("C:\\folder\\", ""),
            ("C:a.txt", "C:a.txt"),
            ("a\\b.txt", "a\\b.txt"),
            ("../a", "../a"),
        ] {
            assert_eq!(own_name(name.as_bytes()), expected.as_bytes(), "{name}");
        }
    }
}
