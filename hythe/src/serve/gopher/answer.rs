//! From a request to what is sent for it. Everything here blocks on the disk.

use std::fs::File;
use std::io;

use hythe_wire::gopher::{END, Error, Item, Request};

use super::kind;
use super::menu::{FolderMenu, GOPHERMAP, MapMenu, Place, SearchMenu};
use super::text::Text;
use crate::share::{By, Opened, Order, Pieces, RelPath, SearchLimits, View};

/// What is sent, and what the log says about it.
pub(super) struct Answer {
    pub(super) verb: &'static str,
    pub(super) body: Body,
}

pub(super) enum Body {
    Bytes(Vec<u8>),
    File { file: File, size: u64 },
    Pieces(Box<dyn Pieces>),
}

const ERROR: &str = "error";

impl Answer {
    fn new(verb: &'static str, body: Body) -> Self {
        Self { verb, body }
    }

    /// The menu of one line that says what went wrong.
    pub(super) fn error(text: &str) -> Self {
        let mut menu = Vec::new();
        Item::error(text.as_bytes()).write(&mut menu);
        menu.extend_from_slice(END);
        Self::new(ERROR, Body::Bytes(menu))
    }

    /// For the log: Gopher has no codes but item types, and of these only one
    /// means failure.
    pub(super) fn status(&self) -> u16 {
        if self.verb == ERROR { 3 } else { 0 }
    }

    /// Finds out what the answer to a request line is. `None` for a line that
    /// is none: whatever was said might mean something to a program of another
    /// protocol.
    pub(super) fn to(line: &[u8], view: &View, place: Place) -> Option<Self> {
        match Request::parse(line) {
            Ok(Some((request, _))) => Some(Self::to_request(request, view, place)),
            Err(Error::TooLong) => Some(Self::error("That selector is too long.")),
            Ok(None) | Err(Error::NotGopher) => None,
        }
    }

    fn to_request(request: Request<'_>, view: &View, place: Place) -> Self {
        if let Some(url) = linked_url(request.selector) {
            return page(url);
        }
        let Ok(path) = RelPath::from_selector(request.selector) else {
            return Self::error("That is no name for a file.");
        };
        find(&path, request.search, view, place).unwrap_or_else(|error| match error.kind() {
            io::ErrorKind::NotFound => Self::error("There is no such thing here."),
            io::ErrorKind::PermissionDenied => Self::error("You may not see this."),
            _ => Self::error("This cannot be read at the moment."),
        })
    }
}

fn find(path: &RelPath, search: Option<&[u8]>, view: &View, place: Place) -> io::Result<Answer> {
    let Opened { file, meta } = view.open(path)?;
    if !meta.is_folder() {
        let kind = match kind::by_name(path.name().unwrap_or_default()) {
            Some(kind) => kind,
            None => kind::by_content(&file)?,
        };
        let size = meta.size;
        return Ok(if kind.is_text() {
            Answer::new("text", Body::Pieces(Box::new(Text::new(file, size))))
        } else {
            Answer::new("file", Body::File { file, size })
        });
    }
    match search.filter(|needle| !needle.is_empty()) {
        Some(needle) => {
            let needle = String::from_utf8_lossy(needle);
            let search = view.search(path, &needle, SearchLimits::default())?;
            let menu = SearchMenu::new(view.clone(), place, search);
            Ok(Answer::new("search", Body::Pieces(Box::new(menu))))
        }
        None => Ok(Answer::new("menu", Body::Pieces(menu(path, view, place)?))),
    }
}

fn menu(path: &RelPath, view: &View, place: Place) -> io::Result<Box<dyn Pieces>> {
    let map = path.join(GOPHERMAP).map(|map| view.open(&map));
    if let Ok(Ok(Opened { file, meta })) = map
        && !meta.is_folder()
    {
        return Ok(Box::new(MapMenu::new(place, path, file)));
    }
    let order = Order {
        by: By::Name,
        descending: false,
    };
    let listing = view.list(path, order)?;
    Ok(Box::new(FolderMenu::new(view.clone(), place, listing)))
}

/// What a selector that begins `URL:` leads to (a convention for `h` items).
fn linked_url(selector: &[u8]) -> Option<&[u8]> {
    let selector = selector.strip_prefix(b"/").unwrap_or(selector);
    selector.strip_prefix(b"URL:")
}

/// What a link may lead to: places, and nothing that a browser would run.
const SCHEMES: [&str; 8] = [
    "http://",
    "https://",
    "ftp://",
    "ftps://",
    "gopher://",
    "gemini://",
    "telnet://",
    "mailto:",
];

/// A page that leads to `url`, for clients that don't know such selectors and
/// ask us instead.
fn page(url: &[u8]) -> Answer {
    let Ok(url) = std::str::from_utf8(url) else {
        return Answer::error("That is no URL.");
    };
    let known = |scheme: &str| {
        url.get(..scheme.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(scheme))
    };
    if !SCHEMES.iter().any(|scheme| known(scheme)) {
        return Answer::error("Links of that kind are not followed.");
    }
    let url = escaped(url);
    let html = format!(
        "<!DOCTYPE html>\n<html><head><meta charset=\"utf-8\">\
         <meta http-equiv=\"refresh\" content=\"5; url={url}\">\
         <title>A link</title></head>\n\
         <body><p>This leads out of Gopher, to <a href=\"{url}\">{url}</a>.</p></body></html>\n"
    );
    Answer::new("link", Body::Bytes(html.into()))
}

/// Text for between tags and between quotes.
fn escaped(text: &str) -> String {
    let mut html = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            '\'' => html.push_str("&#39;"),
            _ => html.push(letter),
        }
    }
    html
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page_for(url: &str) -> String {
        let selector = format!("URL:{url}");
        match page(linked_url(selector.as_bytes()).unwrap()).body {
            Body::Bytes(bytes) => String::from_utf8(bytes).unwrap(),
            _ => panic!("a page is small"),
        }
    }

    #[test]
    fn links_are_escaped_and_lead_to_places_only() {
        let html = page_for("HTTP://x/?a=1&b=\"><script>'");
        assert!(html.contains("href=\"HTTP://x/?a=1&amp;b=&quot;&gt;&lt;script&gt;&#39;\""));
        assert!(!html.contains("<script>"));
        for url in [
            "javascript:alert(1)",
            "data:text/html,x",
            "//x",
            "",
            "file:///etc/passwd",
        ] {
            assert!(page_for(url).starts_with('3'), "{url}");
        }
    }
}
