//! An application's answer says the same however it arrived.
#![no_main]

use hythe_wire::fastcgi::{Answer, Ended, Error, Event};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u8, &[u8])| {
    let (piece, bytes) = input;
    let whole = decode(bytes, bytes.len().max(1));
    assert_eq!(decode(bytes, usize::from(piece) + 1), whole);
});

/// Output, complaints, unknown types, and where and how the request ended if it did.
type Heard = (Vec<u8>, Vec<u8>, Vec<u8>, Option<(usize, Ended)>);

fn decode(bytes: &[u8], piece: usize) -> Result<Heard, Error> {
    let mut answer = Answer::new();
    let (mut heard, mut at) = (Heard::default(), 0);
    for piece in bytes.chunks(piece) {
        let mut rest = piece;
        while !rest.is_empty() && !answer.is_done() {
            let step = answer.decode(rest)?;
            assert!(step.consumed > 0);
            at += step.consumed;
            rest = &rest[step.consumed..];
            match step.event {
                Some(Event::Output(bytes)) => heard.0.extend_from_slice(bytes),
                Some(Event::Complaint(bytes)) => heard.1.extend_from_slice(bytes),
                Some(Event::UnknownType(kind)) => heard.2.push(kind),
                Some(Event::End(ended)) => heard.3 = Some((at, ended)),
                None => {}
            }
        }
    }
    Ok(heard)
}
