//! Frames: whole, in pieces, glued together, and too long.

mod tables;

use hythe_wire::frame::*;
use proptest::prelude::*;

#[test]
fn a_frame_is_complete_at_its_last_byte_and_never_before() -> Result<(), Error> {
    let frames = Frames::new();
    for message in tables::FRAMES {
        let shown = message.escape_ascii();
        let whole = frames.decode(message)?;
        assert_eq!(whole, Some((&message[PREFIX..], message.len())), "{shown}");
        for end in 0..message.len() {
            let cut = frames.decode(&message[..end])?;
            assert_eq!(cut, None, "{shown} cut at {end}");
        }
        for more in [&b"\0"[..], b"\xff\xff\xff\xff", message] {
            let trailing = [message, more].concat();
            assert_eq!(frames.decode(&trailing)?, whole, "{shown}");
        }
        let mut sent = b"before".to_vec();
        frames.encode(&message[PREFIX..], &mut sent)?;
        assert_eq!(sent, [b"before", *message].concat(), "{shown}");
    }
    Ok(())
}

#[test]
fn a_frame_may_be_as_long_as_agreed_and_no_longer() {
    for (frames, max) in [
        (Frames::new(), MAX_FRAME),
        (Frames::up_to(usize::MAX), MAX_FRAME),
        (Frames::up_to(5), 5),
        (Frames::up_to(0), 0),
    ] {
        assert_eq!(frames.max(), max);
        for length in [max.saturating_sub(1), max] {
            let payload = vec![7; length];
            let mut sent = Vec::new();
            assert_eq!(frames.encode(&payload, &mut sent), Ok(()));
            let used = PREFIX + length;
            assert_eq!(frames.decode(&sent), Ok(Some((&payload[..], used))));
        }
        let length = max + 1;
        let mut sent = Vec::new();
        let refused = Error { length, max };
        assert_eq!(frames.encode(&vec![7; length], &mut sent), Err(refused));
        assert_eq!(sent, [], "half a frame was written");
        // The length alone is enough to refuse it.
        let announced = (length as u32).to_be_bytes();
        assert_eq!(frames.decode(&announced), Err(refused));
        assert_eq!(frames.decode(&announced[..3]), Ok(None));
    }
}

#[test]
fn other_protocols_are_refused_at_their_fourth_byte() {
    for start in [b"GET ", b"quit", b"\x16\x03\x01\x02", b"\xff\xff\xff\xff"] {
        let length = u32::from_be_bytes(*start) as usize;
        let error = Frames::new().decode(start).expect_err("not a frame");
        assert_eq!((error.length, error.max), (length, MAX_FRAME));
        let text = error.to_string();
        assert!(text.contains(&length.to_string()), "{text}");
    }
}

proptest! {
    #[test]
    fn messages_arrive_as_they_were_sent(
        messages in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..10),
        piece in 1..50usize,
    ) {
        let frames = Frames::new();
        let mut sent = Vec::new();
        for message in &messages {
            frames.encode(message, &mut sent)?;
        }
        let (mut waiting, mut received) = (Vec::new(), Vec::new());
        for piece in sent.chunks(piece) {
            waiting.extend_from_slice(piece);
            while let Some((payload, used)) = frames.decode(&waiting)? {
                received.push(payload.to_vec());
                waiting.drain(..used);
            }
        }
        prop_assert_eq!(received, messages);
        prop_assert!(waiting.is_empty());
    }
}
