//! Forms with files: `multipart/form-data` (RFC 7578, RFC 2046 section 5.1).
//!
//! ```text
//!   preamble, dropped
//!   --boundary CRLF          ─┐
//!   head CRLF CRLF            │ Event::Part(PartHead)
//!   content                   │ Event::Data(…), as often as it takes
//!   CRLF --boundary CRLF     ─┴ Event::End; the next part
//!   …
//!   CRLF --boundary--          Event::End; then Event::Done
//!   epilogue, dropped
//! ```
//!
//! The reader keeps nothing of the content. Input may be split anywhere: what may be the beginning
//! of a boundary is known without a copy, since it is the boundary's own beginning.
//!
//! Out of scope: what names and types mean, and nested parts.

use alloc::vec::Vec;

use memchr::{memchr, memmem, memrchr};

use super::{Error, split_outside_quotes};

/// The longest boundary, in bytes (RFC 2046 section 5.1.1).
pub const MAX_BOUNDARY: usize = 70;

/// The longest head of a part, in bytes: room for the longest path that Linux knows, each byte of
/// it escaped, and what else a browser says.
pub const MAX_PART_HEAD: usize = 16 * 1024;

/// The most fields in the head of a part; RFC 7578 knows of three.
const MAX_PART_FIELDS: usize = 16;

/// Blanks between a boundary and the end of its line, which some gateways add.
const MAX_PADDING: usize = 64;

/// A reader of one form.
///
/// ```
/// use hythe_wire::http::{Multipart, multipart::Event};
///
/// # fn main() -> Result<(), hythe_wire::http::Error> {
/// let mut form = Multipart::new(b"multipart/form-data; boundary=quay")?;
/// let mut input = &b"--quay\r\nContent-Disposition: form-data; name=\"file\"; \
///     filename=\"river.txt\"\r\n\r\nwater\r\n--quay--\r\n"[..];
/// let (mut name, mut content) = (None, Vec::new());
/// while let Some(event) = form.next(&mut input)? {
///     match event {
///         Event::Part(head) => name = head.filename,
///         Event::Data(data) => content.extend_from_slice(data),
///         Event::End | Event::Done => {}
///     }
/// }
/// assert_eq!(name.as_deref(), Some(&b"river.txt"[..]));
/// assert_eq!(content, b"water");
/// assert!(form.is_done());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Multipart {
    /// CRLF, two dashes and the boundary.
    delimiter: Vec<u8>,
    state: State,
    /// How much of the delimiter the input so far ends with.
    matched: usize,
    /// The head of the part so far.
    head: Vec<u8>,
}

/// What a reader found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event<'i> {
    /// A part begins.
    Part(PartHead),
    /// Content of the part: never empty.
    Data(&'i [u8]),
    /// The part ends.
    End,
    /// The form ends. What follows is dropped.
    Done,
}

/// What the head of a part says, decoded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PartHead {
    /// The name of the form's field.
    pub name: Option<Vec<u8>>,
    /// The name of the file, as the client has it: any bytes, possibly with a path before it.
    pub filename: Option<Vec<u8>>,
    /// `Content-Type`.
    pub content_type: Option<Vec<u8>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Before the first boundary.
    Preamble,
    /// After a boundary; so many blanks have come.
    Padding(usize),
    /// After a boundary and a dash.
    Dash,
    /// After a boundary and CR.
    LineEnd,
    Head,
    Content,
    /// After the last boundary, which is to be told.
    Last,
    Epilogue,
}

impl Multipart {
    /// A reader of a body of this `Content-Type`.
    ///
    /// # Errors
    /// 415 for another type, 400 where the boundary is missing or none.
    pub fn new(content_type: &[u8]) -> Result<Self, Error> {
        let mut pieces = split_outside_quotes(content_type, b';');
        let essence = pieces.next().unwrap_or_default();
        if !essence.eq_ignore_ascii_case(b"multipart/form-data") {
            return Err(Error::new(415, "this is no multipart/form-data"));
        }
        let boundary = pieces
            .find_map(|piece| parameter(piece, b"boundary"))
            .map(unquoted)
            .ok_or(Error::bad("the form has no boundary"))?;
        let legal = |byte: &u8| byte.is_ascii_alphanumeric() || b"'()+_,-./:=? ".contains(byte);
        if !(1..=MAX_BOUNDARY).contains(&boundary.len())
            || !boundary.iter().all(legal)
            || boundary.ends_with(b" ")
        {
            return Err(Error::bad("the form has a bad boundary"));
        }
        let mut delimiter = b"\r\n--".to_vec();
        delimiter.extend_from_slice(&boundary);
        Ok(Self {
            delimiter,
            state: State::Preamble,
            // The first needs no line end before it.
            matched: 2,
            head: Vec::new(),
        })
    }

    /// Whether the last boundary has come.
    pub fn is_done(&self) -> bool {
        self.state == State::Epilogue
    }

    /// The next event in `input`, which is shortened by what is dealt with; `None` once all of it
    /// is, and more is needed.
    ///
    /// # Errors
    /// 400 for a malformed form, 431 for the head of a part that is too long.
    pub fn next<'e, 'i: 'e>(
        &'e mut self,
        input: &mut &'i [u8],
    ) -> Result<Option<Event<'e>>, Error> {
        loop {
            match self.step(input)? {
                Found::Nothing if input.is_empty() && self.state != State::Last => return Ok(None),
                Found::Nothing => {}
                Found::Part(head) => return Ok(Some(Event::Part(head))),
                Found::Data(data) => return Ok(Some(Event::Data(data))),
                Found::Held(count) => return Ok(Some(Event::Data(&self.delimiter[..count]))),
                Found::End => return Ok(Some(Event::End)),
                Found::Done => return Ok(Some(Event::Done)),
            }
        }
    }

    fn step<'i>(&mut self, input: &mut &'i [u8]) -> Result<Found<'i>, Error> {
        if self.state == State::Last {
            self.state = State::Epilogue;
            return Ok(Found::Done);
        }
        let Some((&byte, rest)) = input.split_first() else {
            return Ok(Found::Nothing);
        };
        self.state = match (self.state, byte) {
            (State::Preamble | State::Content, _) => return Ok(self.content(input)),
            (State::Head, _) => return self.take_head(input),
            (State::Epilogue | State::Last, _) => {
                *input = &[];
                return Ok(Found::Nothing);
            }
            (State::Padding(0), b'-') => State::Dash,
            (State::Padding(count), b' ' | b'\t') if count < MAX_PADDING => {
                State::Padding(count + 1)
            }
            (State::Padding(_), b'\r') => State::LineEnd,
            (State::LineEnd, b'\n') => State::Head,
            (State::Dash, b'-') => State::Last,
            _ => return Err(Error::bad("malformed boundary in the form")),
        };
        *input = rest;
        Ok(Found::Nothing)
    }

    /// Content, or what stands before the first part, up to a delimiter.
    fn content<'i>(&mut self, input: &mut &'i [u8]) -> Found<'i> {
        if self.matched > 0 {
            return self.go_on_matching(input);
        }
        let all = *input;
        let (data, matched, rest) = match memmem::find(all, &self.delimiter) {
            Some(at) => (
                &all[..at],
                self.delimiter.len(),
                &all[at + self.delimiter.len()..],
            ),
            None => {
                let held = self.held_at_end_of(all);
                (&all[..all.len() - held], held, &[][..])
            }
        };
        self.matched = matched;
        *input = rest;
        let found = if data.is_empty() || self.state == State::Preamble {
            Found::Nothing
        } else {
            Found::Data(data)
        };
        // What is found goes first, and the delimiter is dealt with by the next call.
        if matches!(found, Found::Nothing) && self.matched == self.delimiter.len() {
            return self.delimited();
        }
        found
    }

    /// How much of the delimiter `bytes` ends with. A CR is only at its beginning.
    fn held_at_end_of(&self, bytes: &[u8]) -> usize {
        let tail = &bytes[bytes.len().saturating_sub(self.delimiter.len() - 1)..];
        let candidate = memrchr(b'\r', tail).map_or(&[][..], |at| &tail[at..]);
        if self.delimiter.starts_with(candidate) {
            candidate.len()
        } else {
            0
        }
    }

    fn go_on_matching<'i>(&mut self, input: &mut &'i [u8]) -> Found<'i> {
        while self.matched < self.delimiter.len() {
            match input.split_first() {
                None => return Found::Nothing,
                Some((&byte, rest)) if byte == self.delimiter[self.matched] => {
                    self.matched += 1;
                    *input = rest;
                }
                Some(_) => {
                    let held = core::mem::take(&mut self.matched);
                    return match self.state {
                        State::Preamble => Found::Nothing,
                        _ => Found::Held(held),
                    };
                }
            }
        }
        self.delimited()
    }

    fn delimited<'i>(&mut self) -> Found<'i> {
        self.matched = 0;
        let ended = self.state == State::Content;
        self.state = State::Padding(0);
        if ended { Found::End } else { Found::Nothing }
    }

    fn take_head<'i>(&mut self, input: &mut &'i [u8]) -> Result<Found<'i>, Error> {
        // A line at a time, so that the end is looked for where it can be.
        let line = memchr(b'\n', input).map_or(input.len(), |at| at + 1);
        if self.head.len() + line > MAX_PART_HEAD {
            return Err(Error::new(431, "the head of a part is too long"));
        }
        self.head.extend_from_slice(&input[..line]);
        *input = &input[line..];
        if !(self.head == b"\r\n" || self.head.ends_with(b"\r\n\r\n")) {
            return Ok(Found::Nothing);
        }
        let head = PartHead::parse(&self.head)?;
        self.head.clear();
        self.state = State::Content;
        Ok(Found::Part(head))
    }
}

/// An [`Event`], but for what is to be lent from the reader itself.
enum Found<'i> {
    Nothing,
    Part(PartHead),
    Data(&'i [u8]),
    /// So much of the delimiter's beginning was content.
    Held(usize),
    End,
    Done,
}

impl PartHead {
    fn parse(head: &[u8]) -> Result<Self, Error> {
        let malformed = Error::bad("malformed head of a part");
        let mut storage = [httparse::EMPTY_HEADER; MAX_PART_FIELDS];
        let Ok(httparse::Status::Complete((_, fields))) =
            httparse::parse_headers(head, &mut storage)
        else {
            return Err(malformed);
        };
        let mut found = Self::default();
        let mut disposed = false;
        for field in fields {
            if field.name.eq_ignore_ascii_case("Content-Disposition") {
                if disposed {
                    return Err(malformed);
                }
                disposed = true;
                found.dispose(field.value);
            } else if field.name.eq_ignore_ascii_case("Content-Type") {
                found.content_type = Some(field.value.to_vec());
            }
        }
        Ok(found)
    }

    fn dispose(&mut self, value: &[u8]) {
        let mut extended = None;
        for piece in split_outside_quotes(value, b';').skip(1) {
            if let Some(text) = parameter(piece, b"name") {
                self.name.get_or_insert_with(|| unescaped(text));
            } else if let Some(text) = parameter(piece, b"filename") {
                self.filename.get_or_insert_with(|| unescaped(text));
            } else if let Some(text) = parameter(piece, b"filename*") {
                extended = extended.or_else(|| extended_value(text));
            }
        }
        self.filename = extended.or_else(|| self.filename.take());
    }
}

/// The value of `name=value`, if the name is this.
fn parameter<'v>(piece: &'v [u8], name: &[u8]) -> Option<&'v [u8]> {
    let at = memchr(b'=', piece)?;
    let (found, value) = (
        piece[..at].trim_ascii_end(),
        piece[at + 1..].trim_ascii_start(),
    );
    found.eq_ignore_ascii_case(name).then_some(value)
}

/// A token or a quoted string (RFC 9110 section 5.6.4).
fn unquoted(text: &[u8]) -> Vec<u8> {
    let [b'"', inner @ .., b'"'] = text else {
        return text.to_vec();
    };
    let mut out = Vec::with_capacity(inner.len());
    let mut bytes = inner.iter();
    while let Some(&byte) = bytes.next() {
        match byte {
            b'\\' => out.extend(bytes.next()),
            _ => out.push(byte),
        }
    }
    out
}

/// A name as clients write it. Browsers leave a backslash as it is and write a quote as `%22`, a
/// CR as `%0D`, an LF as `%0A` and a percent sign as it is (WHATWG HTML, "multipart form
/// data"); older programs escape quote and backslash by a backslash.
fn unescaped(text: &[u8]) -> Vec<u8> {
    let [b'"', inner @ .., b'"'] = text else {
        return text.to_vec();
    };
    let mut rest = inner;
    let mut out = Vec::with_capacity(rest.len());
    while let Some((&byte, after)) = rest.split_first() {
        let (byte, after) = match rest {
            [b'\\', escaped @ (b'"' | b'\\'), after @ ..] => (*escaped, after),
            [b'%', b'2', b'2', after @ ..] => (b'"', after),
            [b'%', b'0', b'D' | b'd', after @ ..] => (b'\r', after),
            [b'%', b'0', b'A' | b'a', after @ ..] => (b'\n', after),
            _ => (byte, after),
        };
        out.push(byte);
        rest = after;
    }
    out
}

/// `UTF-8'en'%e2%82%ac` (RFC 8187); `None` for another charset, or what is malformed.
fn extended_value(text: &[u8]) -> Option<Vec<u8>> {
    let mut pieces = text.splitn(3, |byte| *byte == b'\'');
    let (charset, _language, mut rest) = (pieces.next()?, pieces.next()?, pieces.next()?);
    if !charset.eq_ignore_ascii_case(b"UTF-8") {
        return None;
    }
    let mut out = Vec::with_capacity(rest.len());
    while let Some((&byte, after)) = rest.split_first() {
        let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
        (rest, _) = match (byte, after) {
            (b'%', [high, low, after @ ..]) => (after, out.push(digit(*high)? << 4 | digit(*low)?)),
            (b'%', _) => return None,
            _ => (after, out.push(byte)),
        };
    }
    Some(out)
}
