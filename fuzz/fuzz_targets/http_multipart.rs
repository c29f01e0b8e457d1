//! A form has the same parts however it arrived.
#![no_main]

use hythe_wire::http::multipart::{Event, PartHead};
use hythe_wire::http::{Error, Multipart};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u8, &[u8])| {
    let (piece, bytes) = input;
    let whole = read(bytes, bytes.len().max(1));
    assert_eq!(read(bytes, usize::from(piece) + 1), whole);
});

/// The parts, and whether the form was whole.
fn read(bytes: &[u8], piece: usize) -> Result<(Vec<(PartHead, Vec<u8>)>, bool), Error> {
    let mut form = Multipart::new(b"multipart/form-data; boundary=b")?;
    let mut parts = Vec::new();
    for mut piece in bytes.chunks(piece) {
        while let Some(event) = form.next(&mut piece)? {
            match event {
                Event::Part(head) => parts.push((head, Vec::new())),
                Event::Data(data) => parts.last_mut().expect("a part").1.extend_from_slice(data),
                Event::End | Event::Done => {}
            }
        }
    }
    Ok((parts, form.is_done()))
}
