//! A chunked body carries the same data however it arrived.
#![no_main]

use hythe_wire::http::{Chunked, Error};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u8, &[u8])| {
    let (piece, bytes) = input;
    let whole = decode(bytes, bytes.len().max(1));
    assert_eq!(decode(bytes, usize::from(piece) + 1), whole);
});

/// The data, and where the body ended if it did.
fn decode(bytes: &[u8], piece: usize) -> Result<(Vec<u8>, Option<usize>), Error> {
    let mut decoder = Chunked::new();
    let (mut data, mut at) = (Vec::new(), 0);
    for piece in bytes.chunks(piece) {
        let mut rest = piece;
        while !rest.is_empty() && !decoder.is_done() {
            let step = decoder.decode(rest)?;
            assert!(step.consumed > 0 && step.consumed >= step.data.len());
            data.extend_from_slice(step.data);
            rest = &rest[step.consumed..];
            at += step.consumed;
        }
    }
    Ok((data, decoder.is_done().then_some(at)))
}
