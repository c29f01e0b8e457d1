//! A request head that is refused early stays refused, and one that is accepted means the same
//! however it arrived.
#![no_main]

use hythe_wire::http::{Error, FieldStorage, Framing, Request, check_partial, head_end};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (usize, &[u8])| {
    let (cut, bytes) = input;
    let cut = cut % (bytes.len() + 1);
    let whole = parse(bytes);
    match parse(&bytes[..cut]) {
        Err(_) => assert!(whole.is_err()),
        Ok(Some(early)) => assert_eq!(whole, Ok(Some(early))),
        Ok(None) => assert_eq!(check_partial(&bytes[..cut]), Ok(())),
    }
    if let Ok(Some((_, used))) = whole {
        assert_eq!(head_end(bytes, 0), Some(used));
        if head_end(&bytes[..cut], 0).is_none() {
            assert_eq!(head_end(bytes, cut), Some(used));
        }
    }
});

fn parse(bytes: &[u8]) -> Result<Option<(String, usize)>, Error> {
    let mut storage = FieldStorage::new();
    let Some((request, used)) = Request::parse(bytes, &mut storage)? else {
        return Ok(None);
    };
    assert!(used <= bytes.len());
    assert!(request.target.is_asterisk() || request.target.path.starts_with(b"/"));
    let lengths = request.fields.all("Content-Length").count();
    let codings = request.fields.all("Transfer-Encoding").count();
    match request.framing {
        Framing::None => assert_eq!((lengths, codings), (0, 0)),
        Framing::Length(_) => assert!(lengths > 0 && codings == 0),
        Framing::Chunked => assert!(lengths == 0 && codings > 0),
    }
    Ok(Some((format!("{request:?}"), used)))
}
