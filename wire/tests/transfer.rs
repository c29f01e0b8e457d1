//! Messages of a transfer: whole, in pieces, too long, and nasty.

mod tables;

use std::collections::HashSet;
use std::mem::discriminant;

use hythe_wire::frame::{Frames, PREFIX};
use hythe_wire::transfer::*;
use proptest::prelude::*;

/// How many kinds of messages there are.
const KINDS: usize = 16;

/// The longest message that is decoded whole, with its prefix: a block's bytes are not waited for.
const LONGEST: usize = PREFIX + 1 + 4 + MOST_HASHES * HASH;

const EMPTY: &str = "an empty message";
const UNKNOWN: &str = "a message of no known kind";
const TOO_LONG: &str = "a message that is too long for its kind";
const WRONG: &str = "a message with something wrong in it";

#[test]
fn a_message_is_complete_at_its_last_byte_and_never_before() -> Result<(), Error> {
    for (bytes, message) in tables::TRANSFERS {
        let shown = bytes.escape_ascii();
        let used = bytes.len() - follows(message);
        let whole = Some(Received {
            message: *message,
            used,
        });
        assert_eq!(Message::decode(bytes)?, whole, "{shown}");
        for end in 0..bytes.len() {
            let cut = Message::decode(&bytes[..end])?;
            assert_eq!(cut, whole.filter(|_| end >= used), "{shown} cut at {end}");
        }
        for more in [&b"\0"[..], b"\xff\xff\xff\xff\xff", bytes] {
            let trailing = [bytes, more].concat();
            assert_eq!(Message::decode(&trailing)?, whole, "{shown}");
        }
        let mut sent = b"before".to_vec();
        message.encode(&mut sent);
        assert_eq!(sent, [b"before", &bytes[..used]].concat(), "{shown}");
    }
    Ok(())
}

#[test]
fn the_table_has_every_kind_and_each_is_a_frame() {
    let kinds: HashSet<_> = tables::TRANSFERS
        .iter()
        .map(|(_, message)| discriminant(message))
        .collect();
    assert_eq!(kinds.len(), KINDS);
    for (bytes, _) in tables::TRANSFERS {
        let frame = Frames::new().decode(bytes);
        assert_eq!(frame, Ok(Some((&bytes[PREFIX..], bytes.len()))));
    }
}

#[test]
fn a_message_may_be_as_long_as_its_kind_and_no_longer() {
    let block = usize::try_from(BLOCK).expect("half a megabyte");
    // What each kind begins with, and how many bytes come behind it: at least, at most, and in
    // which steps. They are ones, which any field may be.
    let limits: [(Vec<u8>, usize, usize, usize); KINDS] = [
        (MAGIC.to_vec(), 1, 1, 1),
        (vec![1], 0, MOST_KEY, 1),
        (vec![2], 0, MOST_TEXT, 1),
        (head(3, 27), 0, MOST_PATH, 1),
        (vec![4], 4, 4, 1),
        (head(5, 44), 1, block, 1),
        (head(6, 19), 1, 1, 1),
        (vec![7], 36, 36, 1),
        (head(8, 4), 0, MOST_TEXT, 1),
        (vec![9], 0, 0, 1),
        (vec![16], 0, 0, 1),
        (head(18, 4), 1, 1, 1),
        (head(19, 4), 0, MOST_HASHES * HASH, HASH),
        (vec![20], 8, 8, 1),
        (head(21, 5), 0, MOST_TEXT, 1),
        (vec![22], 0, 0, 1),
    ];
    for (head, least, most, step) in limits {
        let kind = head[0];
        let with = |more: usize| [head.clone(), vec![1; more]].concat();
        for more in [least, least + step, most.saturating_sub(step), most] {
            if !(least..=most).contains(&more) {
                continue;
            }
            let sent = framed(&with(more));
            let Ok(Some(Received { message, used })) = Message::decode(&sent) else {
                panic!("{kind} with {more}");
            };
            assert_eq!(used, sent.len() - follows(&message), "{kind} with {more}");
            let mut again = Vec::new();
            message.encode(&mut again);
            assert_eq!(again, sent[..used], "{kind} with {more}");
        }
        let shortest = with(least);
        for length in 0..shortest.len() {
            let text = if length == 0 { EMPTY } else { WRONG };
            refused(&framed(&shortest[..length]), text);
        }
        refused_early(&framed(&with(most + 1)), TOO_LONG);
        let announced = [&u32::MAX.to_be_bytes()[..], &[kind]].concat();
        refused_early(&announced, TOO_LONG);
    }
}

#[test]
fn kinds_that_are_not_known_are_refused_at_once() {
    let known: HashSet<_> = tables::TRANSFERS
        .iter()
        .map(|(bytes, _)| bytes[PREFIX])
        .collect();
    assert_eq!(known.len(), KINDS);
    for kind in (0..=u8::MAX).filter(|kind| !known.contains(kind)) {
        for length in [1, 2, 1 << 20, u32::MAX] {
            let announced = [&length.to_be_bytes()[..], &[kind]].concat();
            refused_early(&announced, UNKNOWN);
        }
    }
}

#[test]
fn an_empty_message_is_refused_whatever_comes_behind_it() {
    for more in [&b""[..], b"\0", b"h", b"\x09", b"\xff", b"\0\0\0\x01\x09"] {
        refused(&[b"\0\0\0\0", more].concat(), EMPTY);
    }
    assert_eq!(Message::decode(b"\0\0\0"), Ok(None));
}

#[test]
fn what_no_message_says_is_refused() {
    let hash = [7; HASH];
    let entry = |kind: u8, size: u64, nanos: u32, mode: u16| {
        [
            &[3, 0, 0, 0, 0, kind][..],
            &size.to_be_bytes(),
            &[0; 8],
            &nanos.to_be_bytes(),
            &mode.to_be_bytes(),
            b"a",
        ]
        .concat()
    };
    let zeros = |count: u64| [&head(6, 12)[..], &count.to_be_bytes()].concat();
    let have = |bytes: &[u8]| [&head(19, 4)[..], bytes].concat();
    let want = |has_part: u8| [&head(18, 4)[..], &[has_part]].concat();
    let outcome = |outcome: u8| [&head(21, 4)[..], &[outcome]].concat();
    let texts = |text: &[u8]| {
        [&[2][..], &head(8, 4), &head(21, 5)].map(|head: &[u8]| [head, text].concat())
    };

    let mut nasty = vec![
        b"hythe transfeR\x01".to_vec(),
        b"hYTHE TRANSFER\x01".to_vec(),
        b"hythe transfer".to_vec(),
        b"hello".to_vec(),
        entry(2, 0, 0, 0o644),
        entry(255, 0, 0, 0o644),
        entry(0, 0, 1_000_000_000, 0o644),
        entry(0, 0, u32::MAX, 0o644),
        entry(0, 0, 0, 0o1000),
        entry(0, 0, 0, 0o4755),
        entry(0, 0, 0, u16::MAX),
        entry(1, 1, 0, 0o755),
        entry(1, u64::MAX, 0, 0o755),
        [&head(5, 12)[..], &hash].concat(),
        [&head(5, 12)[..], &hash[1..]].concat(),
        zeros(0),
        zeros(MOST_ZEROS + 1),
        zeros(u64::MAX),
        [&head(7, 4)[..], &hash[1..]].concat(),
        have(&hash[1..]),
        have(&[&hash[..], b"x"].concat()),
        have(&[7; MOST_HASHES * HASH - 1]),
        want(2),
        want(255),
        outcome(4),
        outcome(255),
    ];
    // A byte that begins nothing, a letter without its end, an overlong slash, half a pair of
    // UTF-16, and one more than the last letter.
    for text in [
        &b"\xff"[..],
        b"\xe6\x9d",
        b"a\xc0\xafb",
        b"\xed\xa0\x80",
        b"\xf4\x90\x80\x80",
    ] {
        nasty.extend(texts(text));
    }
    for payload in nasty {
        refused(&framed(&payload), WRONG);
    }

    // The nearest that are right.
    let block = [&head(5, 12)[..], &hash, b"x"].concat();
    for payload in [
        entry(0, u64::MAX, 999_999_999, 0o777),
        entry(1, 0, 0, 0),
        block,
        zeros(1),
        zeros(MOST_ZEROS),
        have(&hash),
        want(1),
        outcome(3),
    ] {
        let decoded = Message::decode(&framed(&payload)).map(|received| received.is_some());
        assert_eq!(decoded, Ok(true), "{}", payload.escape_ascii());
    }
}

#[test]
fn other_protocols_are_refused_at_their_fifth_byte() {
    for (start, text) in [
        (&b"GET / HTTP/1.1\r\n"[..], UNKNOWN),
        (b"POST / HTTP/1.1\r\n", UNKNOWN),
        (b"OPTIONS * RTSP/1.0\r\n", UNKNOWN),
        (b"PRI * HTTP/2.0\r\n", UNKNOWN),
        (b"PROXY TCP4 ", UNKNOWN),
        (b"SSH-2.0-OpenSSH_10.0\r\n", UNKNOWN),
        (b"220 Welcome\r\n", UNKNOWN),
        (b"USER anna\r\n", UNKNOWN),
        (b"EHLO quay\r\n", UNKNOWN),
        (b"batch of it\r\n", TOO_LONG), // its fifth letter is the first of ours
        (b"\r\n\r\n\r\n", UNKNOWN),
        (b"hythe transfer\x01", UNKNOWN), // without a frame
        // In frames like ours: SMB over TCP; PostgreSQL, asking for encryption and without.
        (b"\0\0\0\x85\xffSMBr", UNKNOWN),
        (b"\0\0\0\x08\x04\xd2\x16\x2f", TOO_LONG),
        (b"\0\0\0\x29\0\x03\0\0user", UNKNOWN),
        // DNS over TCP, RDP, and a server of MySQL.
        (b"\0\x1d\x12\x34\x01\0\0\x01", TOO_LONG),
        (b"\x03\0\0\x13\x0e\xe0\0\0", UNKNOWN),
        (b"\x4a\0\0\0\x0a8.0.36\0", UNKNOWN),
        (b"\xff\xff\xff\xff\xff", UNKNOWN),
    ] {
        refused_early(start, text);
    }
    // A ClientHello of TLS: the fifth byte is the end of a length, and so it may be any.
    for length in 0..=u8::MAX {
        let start = [0x16, 3, 1, 2, length, 1, 0, 1, length, 3, 3];
        let error = Message::decode(&start[..=PREFIX]).expect_err("no message");
        assert!([UNKNOWN, TOO_LONG].contains(&error.to_string().as_str()));
        refused_early(&start, &error.to_string());
    }
}

#[test]
fn texts_are_cut_between_letters() -> Result<(), Error> {
    for letters in ["来", "é", "😀", "a来", "来😀é"] {
        for first in ["", "a", "aa", "aaa"] {
            let text = format!("{first}{}", letters.repeat(MOST_TEXT));
            let end = text.floor_char_boundary(MOST_TEXT);
            // What fits as it is, and what has a letter more, or many more.
            let next = text.ceil_char_boundary(end + 1);
            for long in [&text[..end], &text[..next], &text] {
                let fits = &text[..end];
                let id = 7;
                let outcome = Outcome::Refused;
                for (sent, received) in [
                    (Message::Refuse(long), Message::Refuse(fits)),
                    (
                        Message::Abandon { id, text: long },
                        Message::Abandon { id, text: fits },
                    ),
                    (
                        Message::Outcome {
                            id,
                            outcome,
                            text: long,
                        },
                        Message::Outcome {
                            id,
                            outcome,
                            text: fits,
                        },
                    ),
                ] {
                    arrives_as(&sent, &received)?;
                }
            }
        }
    }
    Ok(())
}

#[test]
fn paths_are_cut_between_letters_where_they_have_some() -> Result<(), Error> {
    fn entry(path: &[u8]) -> Message<'_> {
        Message::Entry(Entry {
            id: 7,
            kind: Kind::File,
            size: 5,
            seconds: 0,
            nanos: 0,
            mode: 0o644,
            path,
        })
    }
    for letters in ["来", "é", "😀", "a来", "来😀é"] {
        for first in ["", "a", "aa", "aaa"] {
            let path = format!("{first}{}", letters.repeat(MOST_PATH));
            let end = path.floor_char_boundary(MOST_PATH);
            let next = path.ceil_char_boundary(end + 1);
            for long in [&path[..end], &path[..next], &path] {
                arrives_as(&entry(long.as_bytes()), &entry(&path.as_bytes()[..end]))?;
            }
        }
    }
    // Bytes that are no letters are cut at the limit.
    for byte in [0xa0, 0xff] {
        let path = vec![byte; MOST_PATH + 1];
        arrives_as(&entry(&path), &entry(&path[..MOST_PATH]))?;
        arrives_as(&entry(&path[1..]), &entry(&path[..MOST_PATH]))?;
    }
    Ok(())
}

#[test]
fn a_block_that_is_too_long_stays_so_when_it_is_sent() {
    for (length, text) in [
        (0, WRONG),
        (BLOCK as u32 + 1, TOO_LONG),
        (u32::MAX - 45, TOO_LONG),
        (u32::MAX, TOO_LONG),
    ] {
        let mut sent = Vec::new();
        let block = Message::Block {
            id: 7,
            index: 0,
            hash: [7; HASH],
            length,
        };
        block.encode(&mut sent);
        refused(&sent, text);
    }
}

#[test]
fn blocks_are_counted_and_measured_up_to_the_largest_file() {
    for (size, count, last) in [
        (0, 0, 0),
        (1, 1, 1),
        (BLOCK - 1, 1, BLOCK - 1),
        (BLOCK, 1, BLOCK),
        (BLOCK + 1, 2, 1),
        (2 * BLOCK, 2, BLOCK),
        (i64::MAX as u64, 1 << 44, BLOCK - 1),
        (u64::MAX - BLOCK, (1 << 45) - 1, BLOCK - 1),
        (u64::MAX - BLOCK + 1, (1 << 45) - 1, BLOCK),
        (u64::MAX - BLOCK + 2, 1 << 45, 1),
        (u64::MAX, 1 << 45, BLOCK - 1),
    ] {
        assert_eq!(blocks(size), count, "{size}");
        if let Some(index) = count.checked_sub(1) {
            assert_eq!(block_length(size, index), last, "{size}");
        }
        for index in [count, count + 1, 1 << 45, 1 << 63, u64::MAX] {
            assert_eq!(block_length(size, index), 0, "{size}, {index}");
        }
    }
}

proptest! {
    #[test]
    fn any_message_arrives_as_it_was_sent(
        sent in prop::collection::vec(any_message(), 0..8),
        piece in 1..100usize,
    ) {
        let mut bytes = Vec::new();
        let mut messages = Vec::new();
        for one in &sent {
            let message = one.message();
            message.encode(&mut bytes);
            bytes.extend(vec![7; follows(&message)]);
            messages.push(format!("{message:?}"));
        }
        let heard = Heard::new(&bytes, piece);
        prop_assert_eq!(heard, Heard { messages, sent: bytes, error: None });
    }

    #[test]
    fn any_bytes_say_the_same_however_they_arrive(
        bytes in almost_messages(),
        piece in 1..100usize,
    ) {
        let whole = Heard::new(&bytes, bytes.len().max(1));
        prop_assert_eq!(&Heard::new(&bytes, piece), &whole);
        prop_assert!(bytes.starts_with(&whole.sent));
    }

    #[test]
    fn any_bytes_are_no_reason_to_panic(bytes in any::<Vec<u8>>()) {
        Message::decode(&bytes).ok();
    }

    #[test]
    fn nothing_is_waited_for_that_is_longer_than_the_longest_message(
        length in prop_oneof![any::<u32>(), 0..100u32, 0..LONGEST as u32 + 10, 0..BLOCK as u32 + 100],
        kind in kind(),
        byte in any::<u8>(),
    ) {
        let mut bytes = [&length.to_be_bytes()[..], &[kind]].concat();
        bytes.resize(LONGEST, byte);
        let decoded = Message::decode(&bytes);
        prop_assert_ne!(decoded, Ok(None));
        if let Ok(Some(received)) = decoded {
            prop_assert!(received.used <= LONGEST);
            prop_assert_eq!(received.used + follows(&received.message), PREFIX + length as usize);
        }
    }

    #[test]
    fn the_blocks_of_a_file_are_all_of_it(
        size in prop_oneof![any::<u64>(), 0..4 * BLOCK, u64::MAX - 4 * BLOCK..=u64::MAX],
        index in any::<u64>(),
    ) {
        let count = blocks(size);
        prop_assert_eq!(block_length(size, index) > 0, index < count);
        if let Some(last) = count.checked_sub(1) {
            prop_assert_eq!(last * BLOCK + block_length(size, last), size);
            let before = index % count;
            prop_assert!(before == last || block_length(size, before) == BLOCK);
        }
    }
}

/// What bytes say that arrive in pieces.
#[derive(Debug, Default, PartialEq, Eq)]
struct Heard {
    messages: Vec<String>,
    /// The same messages, sent again.
    sent: Vec<u8>,
    error: Option<Error>,
}

impl Heard {
    fn new(bytes: &[u8], piece: usize) -> Self {
        let mut heard = Self::default();
        let (mut waiting, mut left) = (Vec::new(), 0);
        for piece in bytes.chunks(piece) {
            waiting.extend_from_slice(piece);
            loop {
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
                        left = follows(&message);
                        waiting.drain(..used);
                    }
                    Ok(None) => break,
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

/// What a message is made of, whichever it is.
#[derive(Debug)]
struct Parts {
    kind: usize,
    id: u32,
    number: u64,
    small: u32,
    hash: Hash,
    flag: bool,
    text: String,
    bytes: Vec<u8>,
}

impl Parts {
    fn message(&self) -> Message<'_> {
        let (id, text, hash) = (self.id, self.text.as_str(), self.hash);
        let bytes = self.bytes.as_slice();
        match self.kind {
            0 => Message::Hello { version: id as u8 },
            1 => Message::Key(bytes),
            2 => Message::Refuse(text),
            3 => Message::Entry(Entry {
                id,
                kind: if self.flag { Kind::File } else { Kind::Folder },
                size: if self.flag { self.number } else { 0 },
                seconds: self.number as i64,
                nanos: self.small % 1_000_000_000,
                mode: self.small as u16 & 0o777,
                path: bytes,
            }),
            4 => Message::Ask { id },
            5 => Message::Block {
                id,
                index: self.number,
                hash,
                length: self.small % BLOCK as u32 + 1,
            },
            6 => Message::Zeros {
                id,
                index: self.number,
                count: u64::from(self.small) % MOST_ZEROS + 1,
            },
            7 => Message::End { id, hash },
            8 => Message::Abandon { id, text },
            9 => Message::Finish,
            10 => Message::Wait,
            11 => Message::Want {
                id,
                has_part: self.flag,
            },
            12 => Message::Have {
                id,
                hashes: &bytes[..bytes.len() / HASH * HASH],
            },
            13 => Message::Ack(self.number),
            14 => Message::Outcome {
                id,
                outcome: match self.small % 4 {
                    0 => Outcome::Stored,
                    1 => Outcome::Same,
                    2 => Outcome::Kept,
                    _ => Outcome::Refused,
                },
                text,
            },
            _ => Message::Finished,
        }
    }
}

fn any_message() -> impl Strategy<Value = Parts> {
    let numbers = (0..KINDS, any::<u32>(), any::<u64>(), any::<u32>());
    // No letter has more than four bytes.
    let text = "\\PC{0,256}";
    let bytes = prop::collection::vec(any::<u8>(), 0..=MOST_KEY);
    (numbers, any::<Hash>(), any::<bool>(), text, bytes).prop_map(
        |((kind, id, number, small), hash, flag, text, bytes)| Parts {
            kind,
            id,
            number,
            small,
            hash,
            flag,
            text,
            bytes,
        },
    )
}

/// The byte that a message begins with: mostly one that is known.
fn kind() -> impl Strategy<Value = u8> {
    let known = (0..tables::TRANSFERS.len()).prop_map(|at| tables::TRANSFERS[at].0[PREFIX]);
    prop_oneof![4 => known, 1 => any::<u8>()]
}

/// Messages of the table, one behind the other, of which some bytes are changed.
fn almost_messages() -> impl Strategy<Value = Vec<u8>> {
    let some = prop::collection::vec(0..tables::TRANSFERS.len(), 0..6);
    let changes = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3);
    (some, changes).prop_map(|(some, changes)| {
        let mut bytes: Vec<u8> = some
            .iter()
            .flat_map(|at| tables::TRANSFERS[*at].0)
            .copied()
            .collect();
        for (at, byte) in changes {
            if !bytes.is_empty() {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
        }
        bytes
    })
}

/// How many bytes of a message are behind what is decoded of it.
fn follows(message: &Message<'_>) -> usize {
    match message {
        Message::Block { length, .. } => *length as usize,
        _ => 0,
    }
}

/// A kind, and zeros behind it.
fn head(kind: u8, zeros: usize) -> Vec<u8> {
    [vec![kind], vec![0; zeros]].concat()
}

fn framed(payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("short");
    [&length.to_be_bytes()[..], payload].concat()
}

/// Asserts that a message is refused for this reason when it is there, and stays refused with more
/// behind it. It is not taken for another one before.
fn refused(bytes: &[u8], text: &str) {
    let shown = bytes[..bytes.len().min(60)].escape_ascii();
    let error = Message::decode(bytes).expect_err("no message");
    assert_eq!(error.to_string(), text, "{shown}");
    let trailing = [bytes, b"\0\0\0\x01\x09"].concat();
    assert_eq!(Message::decode(&trailing), Err(error), "{shown}");
    for end in 0..bytes.len() {
        let cut = Message::decode(&bytes[..end]);
        assert!(
            cut == Ok(None) || cut == Err(error),
            "{shown} cut at {end}: {cut:?}"
        );
    }
}

/// Asserts that it is also refused as soon as its kind is there, and not before.
fn refused_early(bytes: &[u8], text: &str) {
    assert_eq!(Message::decode(&bytes[..PREFIX]), Ok(None));
    refused(&bytes[..=PREFIX], text);
    let error = Message::decode(bytes).expect_err("no message");
    assert_eq!(error.to_string(), text);
}

/// Asserts that what is sent as one message is received as the other.
fn arrives_as(sent: &Message<'_>, received: &Message<'_>) -> Result<(), Error> {
    let mut bytes = Vec::new();
    sent.encode(&mut bytes);
    let wanted = Received {
        message: *received,
        used: bytes.len(),
    };
    // Both are too long to be shown.
    assert!(Message::decode(&bytes)? == Some(wanted), "{}", bytes.len());
    Ok(())
}
