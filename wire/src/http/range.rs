//! Byte ranges (RFC 9110 section 14).

use alloc::vec::Vec;
use core::ops::Range;

use super::{parse_decimal, push_decimal, trim};

/// The most ranges answered in one response, after which the whole is sent instead.
///
/// Readers of PDF ask for a handful. Each part costs its own head, so a long list of tiny ranges
/// is a cheap way to make a server work (CVE-2011-3192).
pub const MAX_RANGES: usize = 16;

/// What a `Range` field asks of a representation of known size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ranges {
    /// Everything: the field is malformed, of an unknown unit, or asks too much, and is ignored.
    Whole,
    /// Nothing that exists: 416 with [`unsatisfied_range`].
    Unsatisfiable,
    /// One or more stretches of bytes, none empty, none overlapping: 206.
    Parts(Vec<Range<u64>>),
}

/// Reads a `Range` value for a representation of `size` bytes.
///
/// Ranges that overlap or touch are joined, and then come in ascending order; otherwise the order
/// is the client's.
///
/// ```
/// use hythe_wire::http::{Ranges, parse_range};
///
/// assert_eq!(parse_range(b"bytes=0-1, 8-", 10), Ranges::Parts(vec![0..2, 8..10]));
/// assert_eq!(parse_range(b"bytes=-3", 10), Ranges::Parts(vec![7..10]));
/// assert_eq!(parse_range(b"bytes=10-", 10), Ranges::Unsatisfiable);
/// assert_eq!(parse_range(b"lines=1-2", 10), Ranges::Whole);
/// ```
pub fn parse_range(value: &[u8], size: u64) -> Ranges {
    let Some((unit, set)) = split_once(value, b'=') else {
        return Ranges::Whole;
    };
    if !unit.eq_ignore_ascii_case(b"bytes") {
        return Ranges::Whole;
    }
    let mut parts = Vec::new();
    let mut asked = 0;
    for spec in set
        .split(|byte| *byte == b',')
        .map(trim)
        .filter(|spec| !spec.is_empty())
    {
        asked += 1;
        match parse_spec(spec, size) {
            Some(_) if asked > MAX_RANGES => return Ranges::Whole,
            Some(part) if !part.is_empty() => parts.push(part),
            Some(_) => {}
            None => return Ranges::Whole,
        }
    }
    match (asked, parts.is_empty()) {
        (0, _) => Ranges::Whole,
        (_, true) => Ranges::Unsatisfiable,
        _ => Ranges::Parts(coalesce(parts)),
    }
}

/// Reads `first-last`, `first-` or `-length`; empty if nothing of it exists, `None` if malformed.
///
/// A number too large for 64 bits is past the end of any file, and that is all there is to know.
fn parse_spec(spec: &[u8], size: u64) -> Option<Range<u64>> {
    let (first, last) = split_once(spec, b'-')?;
    let number = |text: &[u8]| match parse_decimal(text) {
        None if !text.is_empty() && text.iter().all(u8::is_ascii_digit) => Some(u64::MAX),
        number => number,
    };
    match (first, last) {
        (b"", length) => {
            let length = number(length)?;
            Some(size - length.min(size)..size)
        }
        (first, b"") => Some(number(first)?.min(size)..size),
        (first, last) => {
            let (first, last) = (number(first)?, number(last)?);
            let legal = first <= last;
            legal.then(|| first.min(size)..last.saturating_add(1).min(size))
        }
    }
}

/// Joins parts that overlap or touch.
fn coalesce(parts: Vec<Range<u64>>) -> Vec<Range<u64>> {
    let mut sorted = parts.clone();
    sorted.sort_unstable_by_key(|part| part.start);
    sorted.dedup_by(|next, kept| {
        let touches = next.start <= kept.end;
        if touches {
            kept.end = kept.end.max(next.end);
        }
        touches
    });
    // A client that asks for the end first may have a reason, so its order stays where it can.
    if sorted.len() == parts.len() {
        parts
    } else {
        sorted
    }
}

/// Appends the `Content-Range` value of a part: `bytes 0-4/10`. `part` must not be empty.
pub fn content_range(out: &mut Vec<u8>, part: &Range<u64>, size: u64) {
    out.extend_from_slice(b"bytes ");
    push_decimal(out, part.start);
    out.push(b'-');
    push_decimal(out, part.end.saturating_sub(1));
    out.push(b'/');
    push_decimal(out, size);
}

/// Appends the `Content-Range` value of a 416: `bytes */10`.
pub fn unsatisfied_range(out: &mut Vec<u8>, size: u64) {
    out.extend_from_slice(b"bytes */");
    push_decimal(out, size);
}

/// `split_once` for bytes, until the standard library's is stable.
fn split_once(text: &[u8], byte: u8) -> Option<(&[u8], &[u8])> {
    let at = memchr::memchr(byte, text)?;
    Some((&text[..at], &text[at + 1..]))
}
