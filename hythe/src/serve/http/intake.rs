//! Small forms.

use percent_encoding::percent_decode;

use super::ask::Ask;
use super::reply::Reply;
use crate::http::Intake;

/// What is done about a request: a reply, or who takes in the body and makes one.
pub(super) type Answer = crate::http::Answer<Reply>;

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
    let length = ask.length;
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

impl<F: FnOnce(Form) -> Reply + Send> Intake<Reply> for SmallForm<F> {
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
