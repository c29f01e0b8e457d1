//! Frames are the same however they arrived, no longer than agreed, and survive being sent.
#![no_main]

use hythe_wire::frame::{Error, Frames};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u8, &[u8])| {
    let (number, bytes) = input;
    let frames = Frames::up_to(usize::from(number));
    let whole = messages(frames, bytes, bytes.len().max(1));
    assert_eq!(messages(frames, bytes, usize::from(number) + 1), whole);

    let mut sent = Vec::new();
    for message in &whole.0 {
        assert!(message.len() <= frames.max());
        frames
            .encode(message, &mut sent)
            .expect("what was read can be written");
    }
    assert_eq!(sent, bytes[..sent.len()]);

    let mut alone = Vec::new();
    if frames.encode(bytes, &mut alone).is_ok() {
        assert_eq!(frames.decode(&alone), Ok(Some((bytes, alone.len()))));
    }
});

/// The messages, and what ended them if not the end of the bytes.
fn messages(frames: Frames, bytes: &[u8], piece: usize) -> (Vec<Vec<u8>>, Option<Error>) {
    let (mut waiting, mut found) = (Vec::new(), Vec::new());
    for piece in bytes.chunks(piece) {
        waiting.extend_from_slice(piece);
        loop {
            match frames.decode(&waiting) {
                Ok(Some((payload, used))) => {
                    found.push(payload.to_vec());
                    waiting.drain(..used);
                }
                Ok(None) => break,
                Err(error) => return (found, Some(error)),
            }
        }
    }
    (found, None)
}
