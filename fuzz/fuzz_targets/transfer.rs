//! Messages are the same however they arrived, waited for no longer than the longest, and survive
//! being sent.
#![no_main]

use hythe_wire::frame::PREFIX;
use hythe_wire::transfer::{
    BLOCK, Error, HASH, MOST_HASHES, Message, Received, block_length, blocks,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u8, &[u8])| {
    let (piece, bytes) = input;
    let whole = Heard::new(bytes, bytes.len().max(1));
    assert_eq!(Heard::new(bytes, usize::from(piece) + 1), whole);
    assert_eq!(whole.sent, bytes[..whole.sent.len()]);
});

/// The longest message that is decoded whole, with its prefix.
const LONGEST: usize = PREFIX + 1 + 4 + MOST_HASHES * HASH;

/// What bytes say that arrive in pieces.
#[derive(Debug, Default, PartialEq, Eq)]
struct Heard {
    messages: Vec<String>,
    /// The same messages, sent again.
    sent: Vec<u8>,
    /// What ended them if not the end of the bytes.
    error: Option<Error>,
}

impl Heard {
    fn new(bytes: &[u8], piece: usize) -> Self {
        let mut heard = Self::default();
        let (mut waiting, mut left) = (Vec::new(), 0);
        for piece in bytes.chunks(piece) {
            waiting.extend_from_slice(piece);
            loop {
                // The bytes of a block.
                let ready = left.min(waiting.len());
                heard.sent.extend(waiting.drain(..ready));
                left -= ready;
                if left > 0 {
                    break;
                }
                match Message::decode(&waiting) {
                    Ok(Some(Received { message, used })) => {
                        heard.messages.push(format!("{message:?}"));
                        message.encode(&mut heard.sent);
                        left = check(&message);
                        waiting.drain(..used);
                    }
                    Ok(None) => {
                        assert!(waiting.len() < LONGEST);
                        break;
                    }
                    Err(error) => {
                        heard.error = Some(error);
                        return heard;
                    }
                }
            }
        }
        heard
    }
}

/// How many bytes are behind what was decoded of a message.
fn check(message: &Message<'_>) -> usize {
    match *message {
        Message::Block { length, .. } => {
            assert!((1..=BLOCK).contains(&length.into()));
            length as usize
        }
        Message::Entry(entry) => {
            let count = blocks(entry.size);
            assert_eq!(block_length(entry.size, count), 0);
            if let Some(last) = count.checked_sub(1) {
                let length = block_length(entry.size, last);
                assert_eq!(last * BLOCK + length, entry.size);
            }
            0
        }
        _ => 0,
    }
}
