//! Ranges are inside the file, not empty, apart from each other, and few. The other grammars of
//! field values come along: they must only not panic.
#![no_main]

use hythe_wire::http::{
    Comparison, Encodings, MAX_RANGES, Ranges, accepts_json_before_html, content_disposition,
    matches_etag, parse_range,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u64, &[u8])| {
    let (size, value) = input;
    if let Ranges::Parts(mut parts) = parse_range(value, size) {
        assert!(!parts.is_empty() && parts.len() <= MAX_RANGES);
        assert!(
            parts
                .iter()
                .all(|part| part.start < part.end && part.end <= size)
        );
        parts.sort_by_key(|part| part.start);
        assert!(parts.windows(2).all(|pair| pair[0].end <= pair[1].start));
    }
    Encodings::parse([value]);
    accepts_json_before_html([value]);
    matches_etag([value], Some(b"\"a\""), Comparison::Weak);
    let mut out = Vec::new();
    content_disposition("attachment", value, &mut out);
    assert!(out.iter().all(|byte| (b' '..=b'~').contains(byte)));
});
