//! What is answered: a status, fields, and a body still to be sent.

use std::fs::File;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use hythe_wire::http::{Method, reason};

use super::ask::Ask;
use super::ready::Check;
use crate::http::{self, HeaderName, HeaderValue, Response, Segment, StatusCode};
use crate::share::Pieces;
use crate::web::{self, Setting};

/// An answer as a value.
pub(super) struct Reply {
    pub(super) status: u16,
    /// All but `Date`, `Connection` and the framing, which the server adds.
    pub(super) fields: Vec<(&'static str, Vec<u8>)>,
    pub(super) body: Body,
    /// What this answer was made from, if it may be given again to the next
    /// who asks the same, for as long as that has not changed.
    pub(super) made_from: Option<Vec<Check>>,
}

/// The content of an answer.
pub(super) enum Body {
    /// None, and by the status there can be none.
    Nothing,
    Bytes(Vec<u8>),
    File {
        file: File,
        range: Range<u64>,
    },
    Parts {
        file: File,
        parts: Vec<Part>,
        end: Vec<u8>,
    },
    /// Made while it is sent; its length is not known.
    Pieces(Box<dyn Pieces>),
}

/// One range of several, with the head that stands before it.
pub(super) struct Part {
    pub(super) head: Vec<u8>,
    pub(super) range: Range<u64>,
}

impl Reply {
    pub(super) fn new(status: u16, body: Body) -> Self {
        Self {
            status,
            fields: Vec::new(),
            body,
            made_from: None,
        }
    }

    pub(super) fn field(mut self, name: &'static str, value: impl Into<Vec<u8>>) -> Self {
        self.fields.push((name, value.into()));
        self
    }

    /// Says that the answer depends on who asks, if it may; and that it is for
    /// nobody else, if it was made for somebody.
    pub(super) fn depends_on_visitor(&mut self, personal: bool) {
        match self.find("Vary") {
            Some(vary) => vary.extend_from_slice(b", Cookie, Authorization"),
            None => self
                .fields
                .push(("Vary", b"Cookie, Authorization".to_vec())),
        }
        if !personal {
            return;
        }
        match self.find("Cache-Control") {
            // What is the same for all says so itself.
            Some(control) if control.starts_with(b"public") => {}
            Some(control) => {
                control.splice(..0, *b"private, ");
            }
            None => self
                .fields
                .push(("Cache-Control", b"private, no-cache".to_vec())),
        }
    }

    fn find(&mut self, name: &str) -> Option<&mut Vec<u8>> {
        let mut fields = self.fields.iter_mut();
        let (_, value) = fields.find(|(known, _)| *known == name)?;
        Some(value)
    }

    /// An error, told as a page to who asked for one and as a line of text to
    /// others.
    pub(super) fn error(status: u16, detail: &str, html: Option<&Ask>) -> Self {
        let reason = reason(status);
        let reply = |media_type, text: String| {
            Self::new(status, Body::Bytes(text.into_bytes()))
                .field("Content-Type", media_type)
                .field("X-Content-Type-Options", "nosniff")
        };
        if let Some(ask) = html {
            let setting = Setting {
                lang: ask.lang,
                ..Setting::default()
            };
            // The forms that are sent to a folder are on its page.
            let form = ask.method == Method::Post && ask.path.ends_with(b"/");
            let folder = form.then_some("./");
            let page = web::error_page(status, reason, &sentence(detail), folder, &setting);
            reply("text/html; charset=utf-8", page)
                .field("Content-Security-Policy", web::content_security_policy(""))
                .field("Content-Language", ask.lang.tag())
        } else {
            reply(
                "text/plain; charset=utf-8",
                format!("{status} {reason}: {detail}\n"),
            )
        }
    }

    /// An error in answer to a request that was understood.
    pub(super) fn refusal(ask: &Ask, status: u16, detail: &str) -> Self {
        let reply = if ask.html {
            Self::error(status, detail, Some(ask))
        } else {
            // The script of our own page shows these words to people, too.
            let english = sentence(detail);
            let said = ask.lang.say(&english);
            let known = said != english;
            Self::error(status, if known { said } else { detail }, None)
        };
        reply.field("Vary", "Accept, Accept-Language")
    }

    /// As a response, and what it was made from.
    pub(super) fn into_response(self) -> (Response, Option<Vec<Check>>) {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = Response::new(status).with_body(self.body);
        let headers = response.headers_mut();
        headers.reserve(self.fields.len());
        for (name, value) in self.fields {
            let name = HeaderName::from_bytes(name.as_bytes());
            // What a field can't hold was escaped by whoever made it.
            if let (Ok(name), Ok(value)) =
                (name, HeaderValue::from_maybe_shared(Bytes::from(value)))
            {
                headers.append(name, value);
            }
        }
        (response, self.made_from)
    }
}

impl From<Body> for http::Body {
    fn from(body: Body) -> Self {
        match body {
            Body::Nothing => Self::empty(),
            Body::Bytes(bytes) => bytes.into(),
            Body::File { file, range } => Self::file(file, range),
            Body::Parts { file, parts, end } => {
                let file = Arc::new(file);
                let mut segments = Vec::with_capacity(2 * parts.len() + 1);
                for part in parts {
                    segments.push(Segment::Bytes(part.head.into()));
                    segments.push(Segment::File(Arc::clone(&file), part.range));
                }
                segments.push(Segment::Bytes(end.into()));
                Self::segments(segments)
            }
            Body::Pieces(pieces) => Self::pieces(pieces),
        }
    }
}

/// `the file is gone` as `The file is gone.`
fn sentence(text: &str) -> String {
    if text.ends_with('。') {
        return text.to_owned();
    }
    let mut letters = text.chars();
    let first = letters
        .next()
        .map(|letter| letter.to_uppercase().to_string());
    format!("{}{}.", first.unwrap_or_default(), letters.as_str())
}
