//! A response head means the same however it arrived, and what we write reads back.
#![no_main]

use hythe_wire::http::{Error, FieldStorage, Head, Method, Response, Version};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (usize, &[u8])| {
    let (cut, bytes) = input;
    let cut = cut % (bytes.len() + 1);
    let whole = parse(bytes);
    match parse(&bytes[..cut]) {
        Err(_) => assert!(whole.is_err()),
        Ok(Some(early)) => assert_eq!(whole, Ok(Some(early))),
        Ok(None) => {}
    }
    write(&bytes[..cut], &bytes[cut..]);
});

fn parse(bytes: &[u8]) -> Result<Option<(String, usize)>, Error> {
    let mut storage = FieldStorage::new();
    let parsed = Response::parse(bytes, Method::Get, &mut storage)?;
    Ok(parsed.map(|(response, used)| (format!("{response:?}"), used)))
}

/// Whatever the name and value of a field are, they make one field or none.
fn write(name: &[u8], value: &[u8]) {
    let mut out = Vec::new();
    let name = String::from_utf8_lossy(name);
    Head::response(&mut out, Version::Http11, 200)
        .field(&name, value)
        .finish();
    let lines = out.iter().filter(|byte| **byte == b'\n').count();
    assert!(matches!(lines, 2 | 3) && out.ends_with(b"\r\n\r\n"));
    assert_eq!(lines, out.iter().filter(|byte| **byte == b'\r').count());
}
