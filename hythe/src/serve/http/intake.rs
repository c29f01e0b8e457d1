//! Bodies of requests: who takes them in.
//!
//! ```text
//!   answer ─┬─► Reply ──────────────────────────────► sent; the body is not read
//!           └─► Take(intake) ─► take, take, take… ─► end ─► Reply
//!                                     │ Err(Reply) ───────► sent; the rest is not read
//!                                     └ the peer is gone ─► cut
//! ```
//!
//! Which of the two it is, is decided by the head alone, before a byte of the
//! body is read: who waits for `100 (Continue)` hears the refusal instead.

use hythe_net::Sink;
use hythe_wire::http::{Chunked, Error, Framing};
use percent_encoding::percent_decode;

use super::ask::Ask;
use super::reply::Reply;

/// What is done about a request.
pub(super) enum Answer {
    /// This is the reply; a body is not wanted.
    Reply(Reply),
    /// The body is taken in, and then there is a reply.
    Take(Box<dyn Intake>),
}

/// Takes in the body of one request, piece by piece and in order. Everything
/// here may block: it runs on the thread pool.
pub(super) trait Intake: Send {
    /// Takes what has come.
    ///
    /// # Errors
    /// A reply that is to be sent at once; the rest of the body is not wanted.
    fn take(&mut self, bytes: &[u8]) -> Result<(), Reply>;

    /// The body was whole.
    fn end(self: Box<Self>) -> Reply;

    /// The peer is gone, or its body makes no sense: there will be no more, and
    /// nobody to reply to.
    fn cut(self: Box<Self>) {}
}

/// A body on its way to who takes it in.
pub(super) struct Body {
    intake: Box<dyn Intake>,
    left: Left,
    received: u64,
    refused: Option<Result<Reply, Error>>,
    /// What came behind it: the next request.
    rest: Vec<u8>,
}

/// How it is known what is still to come.
enum Left {
    Bytes(u64),
    Chunks(Chunked),
}

/// To multiples of this, from its beginning, a body is taken in: of many pages,
/// and as much as is received at once.
const PAGES: u64 = 256 * 1024;

/// A body that has ended.
pub(super) struct Ended {
    /// How many bytes of it came.
    pub(super) received: u64,
    /// What came behind it.
    pub(super) rest: Vec<u8>,
    /// The reply, and whether the next request is to be found behind it; or
    /// that it makes no sense; or `None` if the peer did not send all of it.
    pub(super) end: Option<Result<(Reply, bool), Error>>,
}

impl Body {
    pub(super) fn new(intake: Box<dyn Intake>, framing: Framing) -> Self {
        Self {
            intake,
            left: match framing {
                Framing::None => Left::Bytes(0),
                Framing::Length(length) => Left::Bytes(length),
                Framing::Chunked => Left::Chunks(Chunked::new()),
            },
            received: 0,
            refused: None,
            rest: Vec::new(),
        }
    }

    /// Whether no more is to be read.
    pub(super) fn is_over(&self) -> bool {
        self.refused.is_some() || self.is_whole()
    }

    fn is_whole(&self) -> bool {
        match &self.left {
            Left::Bytes(left) => *left == 0,
            Left::Chunks(chunks) => chunks.is_done(),
        }
    }

    fn step(&mut self, bytes: &[u8]) -> (usize, Result<(), Result<Reply, Error>>) {
        let (consumed, data) = match &mut self.left {
            Left::Bytes(left) => {
                let count =
                    usize::try_from(*left).map_or(bytes.len(), |left| left.min(bytes.len()));
                *left -= count as u64;
                (count, &bytes[..count])
            }
            Left::Chunks(chunks) => match chunks.decode(bytes) {
                Ok(step) => (step.consumed, step.data),
                Err(error) => return (bytes.len(), Err(Err(error))),
            },
        };
        self.received += data.len() as u64;
        let taken = if data.is_empty() {
            Ok(())
        } else {
            self.intake.take(data).map_err(Ok)
        };
        (consumed, taken)
    }

    /// Ends it.
    pub(super) fn end(self) -> Ended {
        let whole = self.is_whole();
        let end = match self.refused {
            Some(Ok(reply)) => {
                self.intake.cut();
                Some(Ok((reply, whole)))
            }
            Some(Err(error)) => {
                self.intake.cut();
                Some(Err(error))
            }
            None if whole => Some(Ok((self.intake.end(), true))),
            None => {
                self.intake.cut();
                None
            }
        };
        Ended {
            received: self.received,
            rest: self.rest,
            end,
        }
    }
}

impl Sink for Body {
    fn room(&self) -> u64 {
        match &self.left {
            _ if self.is_over() => 0,
            // As far as the end of a piece, so that what is written to a file
            // begins and ends where its pages do.
            Left::Bytes(left) => (*left).min(PAGES - self.received % PAGES),
            Left::Chunks(_) => u64::MAX,
        }
    }

    fn expected(&self) -> u64 {
        match &self.left {
            Left::Bytes(left) => *left,
            Left::Chunks(chunks) => chunks.expected(),
        }
    }

    /// Keeps what is behind the body.
    fn take(&mut self, bytes: &[u8]) {
        let mut bytes = bytes;
        while !bytes.is_empty() && !self.is_over() {
            let (consumed, result) = self.step(bytes);
            bytes = &bytes[consumed..];
            if let Err(refused) = result {
                self.refused = Some(refused);
            }
        }
        self.rest.extend_from_slice(bytes);
    }
}

impl From<Reply> for Answer {
    fn from(reply: Reply) -> Self {
        Self::Reply(reply)
    }
}

/// The fields of a small form, decoded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Form(Vec<(Vec<u8>, Vec<u8>)>);

impl Form {
    /// Reads `application/x-www-form-urlencoded`
    /// (<https://url.spec.whatwg.org/#urlencoded-parsing>).
    pub(super) fn parse(body: &[u8]) -> Self {
        let decode = |text: &[u8]| {
            let spaced: Vec<u8> = text
                .iter()
                .map(|&byte| if byte == b'+' { b' ' } else { byte })
                .collect();
            percent_decode(&spaced).collect()
        };
        let pairs = body.split(|&byte| byte == b'&');
        let pairs = pairs.filter(|pair| !pair.is_empty()).map(|pair| {
            let mut halves = pair.splitn(2, |&byte| byte == b'=');
            let mut half = || decode(halves.next().unwrap_or_default());
            (half(), half())
        });
        Self(pairs.collect())
    }

    /// The first value of this name.
    pub(super) fn value(&self, name: &str) -> Option<&[u8]> {
        self.values(name).next()
    }

    /// All values of this name, in their order.
    pub(super) fn values(&self, name: &str) -> impl Iterator<Item = &[u8]> {
        let named = self.0.iter().filter(move |(key, _)| key == name.as_bytes());
        named.map(|(_, value)| value.as_slice())
    }
}

/// The largest small form, in bytes: a password may be long, and a selection of
/// files may have many names.
pub(super) const FORM_LIMIT: u64 = 64 * 1024;

/// Collects a body of `application/x-www-form-urlencoded` of at most `limit`
/// bytes, and gives its fields to `then`.
pub(super) fn small_form(
    ask: &Ask,
    limit: u64,
    then: impl FnOnce(Form) -> Reply + Send + 'static,
) -> Answer {
    let length = ask.length();
    if length.is_some_and(|length| length > limit) {
        return too_long(ask).into();
    }
    if length != Some(0) && !has_media_type(ask, b"application/x-www-form-urlencoded") {
        let text = "send the form as application/x-www-form-urlencoded";
        return Reply::refusal(ask, 415, text).into();
    }
    Answer::Take(Box::new(SmallForm {
        ask: ask.clone(),
        limit,
        body: Vec::new(),
        then,
    }))
}

fn too_long(ask: &Ask) -> Reply {
    Reply::refusal(ask, 413, "the form is too long")
}

/// Whether the body is of this type, whatever its parameters.
pub(super) fn has_media_type(ask: &Ask, wanted: &[u8]) -> bool {
    let value = ask.content_type.as_deref().unwrap_or_default();
    let essence = value.split(|&byte| byte == b';').next().unwrap_or_default();
    essence.trim_ascii().eq_ignore_ascii_case(wanted)
}

struct SmallForm<F> {
    ask: Ask,
    limit: u64,
    body: Vec<u8>,
    then: F,
}

impl<F: FnOnce(Form) -> Reply + Send> Intake for SmallForm<F> {
    fn take(&mut self, bytes: &[u8]) -> Result<(), Reply> {
        if (self.body.len() + bytes.len()) as u64 > self.limit {
            return Err(too_long(&self.ask));
        }
        self.body.extend_from_slice(bytes);
        Ok(())
    }

    fn end(self: Box<Self>) -> Reply {
        (self.then)(Form::parse(&self.body))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_are_decoded_once_and_hold_any_byte() {
        let form = Form::parse(b"name=a+b%2Bc&name=%E6%9D%A5&raw=%ff%00&%25=%2525&=x&flag&&p=a=b");
        let names: Vec<_> = form.values("name").collect();
        assert_eq!(names, [&b"a b+c"[..], "来".as_bytes()]);
        assert_eq!(form.value("raw"), Some(&b"\xff\0"[..]));
        assert_eq!(form.value("%"), Some(&b"%25"[..]));
        assert_eq!(form.value(""), Some(&b"x"[..]));
        assert_eq!(form.value("flag"), Some(&b""[..]));
        assert_eq!(form.value("p"), Some(&b"a=b"[..]));
        assert_eq!(form.value("none"), None);
        assert_eq!(Form::parse(b""), Form::default());
    }
}
