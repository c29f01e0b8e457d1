//! What is answered: a status, fields, and a body still to be sent.

use std::fs::File;
use std::ops::Range;

use hythe_wire::http::{Head, Method, Version, reason};

use super::ask::Ask;
use super::date::Date;
use super::ready::Check;
use crate::share::Pieces;
use crate::web::{self, Setting};

/// An answer as a value.
pub(super) struct Reply {
    pub(super) status: u16,
    /// All but `Date`, `Connection` and the framing, which the session adds.
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

    /// Appends the head to `out`; returns where in it the date stands.
    pub(super) fn write_head(
        &self,
        out: &mut Vec<u8>,
        date: &Date,
        version: Version,
        keep_alive: bool,
    ) -> usize {
        let begin = out.len();
        let mut head = Head::response(out, Version::Http11, self.status);
        head = head.field("Date", &date.text);
        for (name, value) in &self.fields {
            head = head.field(name, value);
        }
        head = match (self.body.length(), version) {
            (Some(length), _) => head.length(length),
            (None, _) if matches!(self.body, Body::Nothing) => head,
            (None, Version::Http11) => head.field("Transfer-Encoding", b"chunked"),
            // The end of the connection is the end of the body.
            (None, Version::Http10) => head,
        };
        head = match (keep_alive, version) {
            (false, _) => head.field("Connection", b"close"),
            (true, Version::Http10) => head.field("Connection", b"keep-alive"),
            (true, Version::Http11) => head,
        };
        head.finish();
        begin + STATUS_LINE_REST + reason(self.status).len() + DATE_NAME
    }

    /// Whether the peer can tell where the body ends without the connection
    /// being closed.
    pub(super) fn is_delimited(&self, method: Method, version: Version) -> bool {
        version == Version::Http11
            || method == Method::Head
            || !matches!(self.body, Body::Pieces(_))
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

/// `HTTP/1.1 200 ` and the line end; `Date: `.
const STATUS_LINE_REST: usize = "HTTP/1.1 200 \r\n".len();
const DATE_NAME: usize = "Date: ".len();

impl Body {
    /// How many bytes it has, where that is known and to be told.
    pub(super) fn length(&self) -> Option<u64> {
        match self {
            Self::Nothing | Self::Pieces(_) => None,
            Self::Bytes(bytes) => Some(bytes.len() as u64),
            Self::File { range, .. } => Some(range.end - range.start),
            Self::Parts { parts, end, .. } => {
                let parts = parts
                    .iter()
                    .map(|part| part.head.len() as u64 + (part.range.end - part.range.start));
                Some(parts.sum::<u64>() + end.len() as u64)
            }
        }
    }
}
