//! A script's head is the same whether all of it has arrived or more, holds nothing that is the
//! server's to say, and no field of a request becomes a variable that it must not be.
#![no_main]

use hythe_wire::http::cgi::{Meta, ScriptHead};
use hythe_wire::http::{FieldStorage, MAX_HEAD};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (usize, &[u8])| {
    let (cut, bytes) = input;
    let whole = parse(bytes);
    let part = parse(&bytes[..cut.min(bytes.len())]);
    if !matches!(part, Ok(None)) {
        assert_eq!(part, whole);
    }
});

fn parse(bytes: &[u8]) -> Result<Option<(u16, usize)>, u16> {
    let mut storage = FieldStorage::new();
    let parsed = ScriptHead::parse(bytes, &mut storage).map_err(|error| error.status)?;
    let Some((head, used)) = parsed else {
        assert!(bytes.len() < MAX_HEAD);
        return Ok(None);
    };
    assert!(used <= MAX_HEAD && (200..=599).contains(&head.status));
    for (name, value) in head.passed() {
        for kept in ["Connection", "Transfer-Encoding", "Content-Length", "Status"] {
            assert!(!name.eq_ignore_ascii_case(kept));
        }
        assert!(!value.iter().any(|byte| b"\r\n\0".contains(byte)));
    }
    let fields = head.fields.iter();
    for (name, value) in Meta::default().variables(fields) {
        assert!(name != "HTTP_PROXY" && name != "HTTP_AUTHORIZATION");
        assert!(!name.contains(['=', '\0']) && !value.contains(&0));
    }
    Ok(Some((head.status, used)))
}
