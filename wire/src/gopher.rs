//! Gopher (RFC 1436), its URLs' requests (RFC 4266), and enough of Gopher+ to answer it plainly.
//!
//! ```text
//!  client                       server
//!
//!  Request::encode ─► line ─► Request::parse
//!                                  │
//!       ┌────────── menu ──────────┼────────── text ──────────┐──── anything else: bytes to the end
//!  Item::write … END          TextEncoder                     ▼
//!       │                          │
//!  Item::parse                TextDecoder
//! ```
//!
//! In scope: the request line, menu lines, dot-stuffed text, `gophermap` files.
//!
//! Out of scope: finding the file a selector names, and telling what type it is.
//!
//! # One whole exchange
//!
//! ```
//! use hythe_wire::gopher::{END, Item, ItemType, Request};
//!
//! # fn main() -> Result<(), hythe_wire::gopher::Error> {
//! let Some((request, _)) = Request::parse(b"/boats\r\n")? else { return Ok(()) };
//! assert_eq!(request.selector, b"/boats");
//!
//! let mut menu = Vec::new();
//! let item = Item {
//!     kind: ItemType::TEXT,
//!     display: b"Old boats",
//!     selector: b"/boats/old.txt",
//!     host: b"quay",
//!     port: 70,
//! };
//! item.write(&mut menu);
//! menu.extend_from_slice(END);
//! assert_eq!(menu, b"0Old boats\t/boats/old.txt\tquay\t70\r\n.\r\n");
//! assert_eq!(Item::parse(b"0Old boats\t/boats/old.txt\tquay\t70"), Some(item));
//! # Ok(())
//! # }
//! ```

use alloc::vec::Vec;
use core::fmt;

use crate::http::{parse_decimal, push_decimal};

/// The longest request line in bytes, line end excluded.
///
/// RFC 1436 recommends 255 for a selector, but selectors are paths now: this is Linux's
/// `PATH_MAX`, and leaves any real search room as well.
pub const MAX_SELECTOR: usize = 4096;

/// The line that ends a menu or a text.
pub const END: &[u8] = b".\r\n";

/// The port of Gopher.
pub const PORT: u16 = 70;

/// A request that is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// Longer than [`MAX_SELECTOR`]: answer with an error item, then close.
    TooLong,
    /// Not Gopher: a TLS hello, an HTTP request, control bytes. Close without an answer, which
    /// some program might take for one of its own protocol.
    NotGopher,
}

impl fmt::Display for Error {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::TooLong => "selector too long",
            Self::NotGopher => "not a Gopher request",
        })
    }
}

impl core::error::Error for Error {}

/// What a client asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request<'b> {
    /// Which document; empty for the root menu.
    pub selector: &'b [u8],
    /// What to search for, of a type 7 item.
    pub search: Option<&'b [u8]>,
    /// What a Gopher+ client would like to know in addition.
    pub plus: Option<Plus<'b>>,
}

/// The last field of a Gopher+ request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plus<'b> {
    /// `+`: the document, as the named view or, if that is empty, as any.
    View(&'b [u8]),
    /// `!`: the attributes of the item.
    Item,
    /// `$`: the attributes of all items of a menu.
    Menu,
}

impl<'b> Request<'b> {
    /// Parses the request line at the front of `bytes`, and gives it with its length in bytes,
    /// line end included. The line end is CRLF; a bare LF is tolerated. `Ok(None)` means that the
    /// line is not complete.
    ///
    /// # Errors
    /// See [`Error`]. What can't become a request is refused before its line end is there.
    pub fn parse(bytes: &'b [u8]) -> Result<Option<(Self, usize)>, Error> {
        // The line end takes up to two bytes more.
        let bounded = &bytes[..bytes.len().min(MAX_SELECTOR + 2)];
        let Some(end) = memchr::memchr(b'\n', bounded) else {
            // A CR at the very end may yet become a line end.
            let line = bounded.strip_suffix(b"\r").unwrap_or(bounded);
            check(line)?;
            return Ok(None);
        };
        let line = bounded[..end]
            .strip_suffix(b"\r")
            .unwrap_or(&bounded[..end]);
        Ok(Some((Self::from_line(line)?, end + 1)))
    }

    /// Reads a line without its line end. For a client this is also what the path of a `gopher:`
    /// URL is, without the type and percent-decoded once (RFC 4266 section 2.1).
    ///
    /// # Errors
    /// See [`Error`].
    pub fn from_line(line: &'b [u8]) -> Result<Self, Error> {
        check(line)?;
        let mut fields = line.split(|byte| *byte == b'\t');
        let selector = fields.next().unwrap_or_default();
        let second = fields.next();
        let (search, plus) = match second.and_then(Plus::parse) {
            Some(plus) => (None, Some(plus)),
            None => (second, fields.next().and_then(Plus::parse)),
        };
        Ok(Self {
            selector,
            search,
            plus,
        })
    }

    /// Appends the request line.
    ///
    /// # Errors
    /// [`Error`] where a field can't be sent: it is too long, or holds what would end it.
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), Error> {
        let mut line = self.selector.to_vec();
        if let Some(search) = self.search {
            line.push(b'\t');
            line.extend_from_slice(search);
        }
        if let Some(plus) = self.plus {
            line.push(b'\t');
            match plus {
                Plus::View(view) => {
                    line.push(b'+');
                    line.extend_from_slice(view);
                }
                Plus::Item => line.push(b'!'),
                Plus::Menu => line.push(b'$'),
            }
        }
        // Reading it back is the one definition of what is legal.
        if Request::from_line(&line)? != *self {
            return Err(Error::NotGopher);
        }
        out.extend_from_slice(&line);
        out.extend_from_slice(b"\r\n");
        Ok(())
    }
}

impl<'b> Plus<'b> {
    /// Strict, since the field may just as well be what somebody searches for.
    fn parse(field: &'b [u8]) -> Option<Self> {
        match field {
            [b'+', view @ ..] if view.is_empty() || view.contains(&b'/') => Some(Self::View(view)),
            [b'!'] | [b'!', b'+', ..] => Some(Self::Item),
            [b'$'] | [b'$', b'+', ..] => Some(Self::Menu),
            _ => None,
        }
    }
}

/// Refuses a line, or the beginning of one, that is no request.
fn check(line: &[u8]) -> Result<(), Error> {
    const VERBS: [&[u8]; 8] = [
        b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"OPTIONS", b"CONNECT", b"PRI",
    ];
    let is_http = memchr::memmem::find(line, b" HTTP/").is_some()
        && VERBS.contains(&line.split(|byte| *byte == b' ').next().unwrap_or_default());
    if is_http
        || line
            .iter()
            .any(|byte| byte.is_ascii_control() && *byte != b'\t')
    {
        return Err(Error::NotGopher);
    }
    if line.len() > MAX_SELECTOR {
        Err(Error::TooLong)
    } else {
        Ok(())
    }
}

/// The character that says what an item is (RFC 1436 section 3.8, and what came into use).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ItemType(pub u8);

impl ItemType {
    /// `0`, a text.
    pub const TEXT: Self = Self(b'0');
    /// `1`, a menu.
    pub const MENU: Self = Self(b'1');
    /// `3`, an error.
    pub const ERROR: Self = Self(b'3');
    /// `5`, an archive.
    pub const ARCHIVE: Self = Self(b'5');
    /// `7`, a search.
    pub const SEARCH: Self = Self(b'7');
    /// `9`, anything binary.
    pub const BINARY: Self = Self(b'9');
    /// `g`, a GIF.
    pub const GIF: Self = Self(b'g');
    /// `I`, another image.
    pub const IMAGE: Self = Self(b'I');
    /// `h`, HTML, or with a selector that begins `URL:` a link.
    pub const HTML: Self = Self(b'h');
    /// `s`, a sound.
    pub const SOUND: Self = Self(b's');
    /// `d`, a document such as a PDF.
    pub const DOCUMENT: Self = Self(b'd');
    /// `p`, a PNG.
    pub const PNG: Self = Self(b'p');
    /// `i`, a line to read, which leads nowhere.
    pub const INFO: Self = Self(b'i');

    /// Whether the document is sent as dot-stuffed text rather than as bytes to the end.
    pub fn is_text(self) -> bool {
        self == Self::TEXT
    }
}

/// One line of a menu (RFC 1436 section 3.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Item<'a> {
    /// What it is.
    pub kind: ItemType,
    /// What to show a person.
    pub display: &'a [u8],
    /// What to send to get it, unchanged.
    pub selector: &'a [u8],
    /// Where to send that.
    pub host: &'a [u8],
    /// And to which port.
    pub port: u16,
}

impl<'a> Item<'a> {
    /// A line to read.
    pub const fn info(text: &'a [u8]) -> Self {
        Self::unlinked(ItemType::INFO, text)
    }

    /// An error; alone in a menu it is the answer to a request that failed.
    pub const fn error(text: &'a [u8]) -> Self {
        Self::unlinked(ItemType::ERROR, text)
    }

    /// The host and port are what clients expect of an item that leads nowhere.
    const fn unlinked(kind: ItemType, display: &'a [u8]) -> Self {
        Self {
            kind,
            display,
            selector: b"",
            host: b"error.host",
            port: 1,
        }
    }

    /// Appends the line with its line end. Control bytes become `?`, so that no name can forge a
    /// field or a line; a file whose name holds one is shown but can't be fetched.
    pub fn write(&self, out: &mut Vec<u8>) {
        let push = |out: &mut Vec<u8>, text: &[u8]| {
            out.extend(
                text.iter()
                    .map(|byte| if byte.is_ascii_control() { b'?' } else { *byte }),
            );
        };
        push(out, &[self.kind.0]);
        for field in [self.display, self.selector, self.host] {
            push(out, field);
            out.push(b'\t');
        }
        push_decimal(out, u64::from(self.port));
        out.extend_from_slice(b"\r\n");
    }

    /// Reads a menu line without its line end. `None` for one that is no item, such as the `.`
    /// which ends the menu.
    ///
    /// Fields may be missing, as they are in many menus out there: the selector and host are then
    /// empty and the port is [`PORT`].
    pub fn parse(line: &'a [u8]) -> Option<Self> {
        let (kind, rest) = line.split_first()?;
        if line == b"." || *kind == b'\t' || line.iter().any(|byte| matches!(byte, b'\r' | b'\n')) {
            return None;
        }
        let mut fields = rest.split(|byte| *byte == b'\t');
        let mut field = || fields.next().unwrap_or_default();
        let (display, selector, host, port) = (field(), field(), field(), field());
        let port = match crate::http::trim(port) {
            b"" => PORT,
            digits => parse_decimal(digits)?.try_into().ok()?,
        };
        Some(Self {
            kind: ItemType(*kind),
            display,
            selector,
            host,
            port,
        })
    }
}

/// Where a `gophermap` is, to fill in what its lines leave out.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// The selector of the folder it lays out, which begins and ends with `/`.
    pub folder: &'a [u8],
    /// The host of this server, as clients can reach it.
    pub host: &'a [u8],
    /// The port of this server.
    pub port: u16,
}

/// Appends what a line of a `gophermap` file stands for (a convention of the Bucktooth server).
///
/// A line with a TAB is an item: a missing selector is the same as the displayed text, a missing
/// host and port are this server's, and a selector here that doesn't begin with `/` is relative to
/// the folder. Any other line is text to read.
///
/// ```
/// use hythe_wire::gopher::{Place, write_gophermap_line};
///
/// let here = Place { folder: b"/boats/", host: b"quay", port: 70 };
/// let mut menu = Vec::new();
/// write_gophermap_line(&mut menu, b"All our boats", here);
/// write_gophermap_line(&mut menu, b"0Old ones\told.txt", here);
/// assert_eq!(
///     menu,
///     b"iAll our boats\t\terror.host\t1\r\n0Old ones\t/boats/old.txt\tquay\t70\r\n"
/// );
/// ```
pub fn write_gophermap_line(out: &mut Vec<u8>, line: &[u8], here: Place<'_>) {
    let item = match line {
        [b'\t', ..] => None,
        _ => memchr::memchr(b'\t', line).and_then(|_| Item::parse(line)),
    };
    let Some(mut item) = item else {
        Item::info(line).write(out);
        return;
    };
    let has_port = line
        .split(|byte| *byte == b'\t')
        .nth(3)
        .is_some_and(|port| !port.is_empty());
    if item.selector.is_empty() {
        item.selector = item.display;
    }
    let is_here = item.host.is_empty();
    if is_here {
        item.host = here.host;
        item.port = if has_port { item.port } else { here.port };
    }
    let is_relative = !item.selector.starts_with(b"/") && !item.selector.starts_with(b"URL:");
    if is_here && is_relative {
        let selector = [here.folder, item.selector].concat();
        Item {
            selector: &selector,
            ..item
        }
        .write(out);
    } else {
        item.write(out);
    }
}

/// Turns a text into what is sent of it: CRLF line ends, a second dot before a dot that begins a
/// line, and [`END`] (RFC 1436 section 3.3). The text may come in pieces, cut anywhere.
#[derive(Clone, Debug)]
pub struct TextEncoder {
    at_line_start: bool,
    /// The last piece ended with a CR, which may be half of a line end.
    held_cr: bool,
}

impl TextEncoder {
    /// An encoder at the start of a text.
    pub const fn new() -> Self {
        Self {
            at_line_start: true,
            held_cr: false,
        }
    }

    /// Appends what `text` is encoded as.
    pub fn encode(&mut self, text: &[u8], out: &mut Vec<u8>) {
        for &byte in text {
            if core::mem::take(&mut self.held_cr) && byte != b'\n' {
                out.push(b'\r');
                self.at_line_start = false;
            }
            match byte {
                b'\r' => self.held_cr = true,
                b'\n' => {
                    out.extend_from_slice(b"\r\n");
                    self.at_line_start = true;
                }
                _ => {
                    if byte == b'.' && self.at_line_start {
                        out.push(b'.');
                    }
                    out.push(byte);
                    self.at_line_start = false;
                }
            }
        }
    }

    /// Appends the end, after a line end if the text has none there.
    pub fn finish(mut self, out: &mut Vec<u8>) {
        if core::mem::take(&mut self.held_cr) {
            out.push(b'\r');
            self.at_line_start = false;
        }
        if !self.at_line_start {
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(END);
    }
}

impl Default for TextEncoder {
    fn default() -> Self {
        Self::new()
    }
}

/// The reverse of [`TextEncoder`], with LF for line ends.
///
/// ```
/// use hythe_wire::gopher::TextDecoder;
///
/// let mut text = Vec::new();
/// let mut decoder = TextDecoder::new();
/// decoder.decode(b"a\r\n..b\r\n.\r\nc", &mut text);
/// assert_eq!(text, b"a\n.b\n");
/// assert!(decoder.is_done());
/// ```
#[derive(Clone, Debug)]
pub struct TextDecoder {
    state: TextState,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TextState {
    LineStart,
    Line,
    /// After a CR that may be half of a line end.
    Cr,
    /// After a dot that begins a line.
    Dot,
    /// After such a dot and a CR.
    DotCr,
    Done,
}

impl TextDecoder {
    /// A decoder at the start of a text.
    pub const fn new() -> Self {
        Self {
            state: TextState::LineStart,
        }
    }

    /// Whether the final `.` was there. Some servers leave it out, so its absence is no proof that
    /// the text was cut short.
    pub fn is_done(&self) -> bool {
        self.state == TextState::Done
    }

    /// Appends what `input` is decoded as; gives how much of it belonged to the text.
    pub fn decode(&mut self, input: &[u8], out: &mut Vec<u8>) -> usize {
        for (at, &byte) in input.iter().enumerate() {
            self.state = match (self.state, byte) {
                (TextState::Done, _) => return at,
                (TextState::LineStart, b'.') => TextState::Dot,
                (TextState::Dot, b'\r') => TextState::DotCr,
                (TextState::Dot | TextState::DotCr, b'\n') => TextState::Done,
                (TextState::LineStart | TextState::Line, b'\r') => TextState::Cr,
                (state, byte) => {
                    // What was held back turns out to be text.
                    match state {
                        TextState::Cr if byte != b'\n' => out.push(b'\r'),
                        // Two dots stand for one; a dot that was never doubled for itself.
                        TextState::Dot if byte != b'.' => out.push(b'.'),
                        TextState::DotCr => out.extend_from_slice(b".\r"),
                        _ => {}
                    }
                    if byte == b'\r' {
                        TextState::Cr
                    } else {
                        out.push(byte);
                        if byte == b'\n' {
                            TextState::LineStart
                        } else {
                            TextState::Line
                        }
                    }
                }
            };
        }
        input.len()
    }

    /// Appends what was held back when the input ended without a final `.`.
    pub fn finish(self, out: &mut Vec<u8>) {
        match self.state {
            TextState::Cr => out.push(b'\r'),
            TextState::Dot => out.push(b'.'),
            TextState::DotCr => out.extend_from_slice(b".\r"),
            TextState::LineStart | TextState::Line | TextState::Done => {}
        }
    }
}

impl Default for TextDecoder {
    fn default() -> Self {
        Self::new()
    }
}
