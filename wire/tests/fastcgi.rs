//! FastCGI: whole, in pieces, and nasty.

mod tables;

use hythe_wire::fastcgi::*;
use proptest::prelude::*;

/// What an answer said, and how many bytes of it were taken.
#[derive(Debug, Default, PartialEq, Eq)]
struct Heard {
    output: Vec<u8>,
    complaints: Vec<u8>,
    ended: Option<Ended>,
    unknown: Option<u8>,
    used: usize,
}

fn heard(bytes: &[u8], piece: usize) -> Result<Heard, Error> {
    let (mut answer, mut heard) = (Answer::new(), Heard::default());
    for piece in bytes.chunks(piece) {
        let mut rest = piece;
        while !rest.is_empty() && !answer.is_done() {
            let step = answer.decode(rest)?;
            assert!(step.consumed > 0);
            match step.event {
                Some(Event::Output(bytes)) => heard.output.extend_from_slice(bytes),
                Some(Event::Complaint(bytes)) => heard.complaints.extend_from_slice(bytes),
                Some(Event::UnknownType(kind)) => heard.unknown = Some(kind),
                Some(Event::End(ended)) => heard.ended = Some(ended),
                None => {}
            }
            rest = &rest[step.consumed..];
            heard.used += step.consumed;
        }
    }
    Ok(heard)
}

#[test]
fn an_answer_is_the_same_however_it_arrives() -> Result<(), Error> {
    for (message, output, complaints, status) in tables::FASTCGI {
        let shown = message.escape_ascii();
        let whole = heard(message, message.len())?;
        assert_eq!(&whole.output, output, "{shown}");
        assert_eq!(&whole.complaints, complaints, "{shown}");
        assert_eq!(whole.ended, Some(Ended::Complete(*status)), "{shown}");
        for piece in 1..message.len() {
            assert_eq!(heard(message, piece)?, whole, "{shown} in {piece}s");
        }
        // Nothing is read beyond the end.
        let trailing = [message, &b"\xff\xff"[..]].concat();
        assert_eq!(heard(&trailing, trailing.len())?, whole, "{shown}");
        let end = whole.used - 1;
        assert_eq!(heard(&message[..end], end)?.ended, None, "{shown}");
    }
    Ok(())
}

#[test]
fn each_end_is_told_apart() -> Result<(), Error> {
    for (protocol, ended) in [
        (0, Ended::Complete(0)),
        (1, Ended::CannotMultiplex),
        (2, Ended::Overloaded),
        (3, Ended::UnknownRole),
    ] {
        let message = [1, 3, 0, 1, 0, 8, 0, 0, 0, 0, 0, 0, protocol, 0, 0, 0];
        assert_eq!(heard(&message, 16)?.ended, Some(ended));
    }
    let unknown = b"\x01\x0b\0\0\0\x08\0\0\x05\0\0\0\0\0\0\0";
    assert_eq!(heard(unknown, 3)?.unknown, Some(5));
    Ok(())
}

#[test]
fn what_is_no_answer_is_refused_at_its_head() {
    let cases: &[&[u8]] = &[
        // Another protocol, and another version.
        b"HTTP/1.1",
        b"\x02\x06\0\x01\0\x05\0\0",
        // Another request's, and nobody's.
        b"\x01\x06\0\x02\0\x05\0\0",
        b"\x01\x07\0\0\0\x05\0\0",
        b"\x01\x03\x01\x01\0\x08\0\0",
        b"\x01\x0b\0\x01\0\x08\0\0",
        // What only a web server says, what nobody asked for, what does not exist.
        b"\x01\x01\0\x01\0\x08\0\0",
        b"\x01\x05\0\x01\0\0\0\0",
        b"\x01\x0a\0\0\0\0\0\0",
        b"\x01\x0c\0\x01\0\0\0\0",
        b"\x01\0\0\x01\0\0\0\0",
        // Ends that are too short and too long.
        b"\x01\x03\0\x01\0\0\0\0",
        b"\x01\x03\0\x01\0\x07\0\0",
        b"\x01\x03\0\x01\0\x09\0\0",
        b"\x01\x03\0\x01\xff\xff\0\0",
    ];
    for case in cases {
        let shown = case.escape_ascii();
        assert!(heard(case, case.len()).is_err(), "{shown}");
        assert!(heard(case, 1).is_err(), "{shown}");
        assert!(heard(&case[..7], 7).is_ok(), "{shown}");
    }
    let end = [1, 3, 0, 1, 0, 8, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0];
    assert!(heard(&end, 16).is_err());
}

/// The records in `bytes`: kind and content.
fn records(mut bytes: &[u8]) -> Vec<(u8, &[u8])> {
    let mut records = Vec::new();
    while let [version, kind, 0, 1, high, low, 0, 0, rest @ ..] = bytes {
        assert_eq!(*version, 1);
        let (content, next) = rest.split_at(u16::from_be_bytes([*high, *low]).into());
        records.push((*kind, content));
        bytes = next;
    }
    assert_eq!(bytes, []);
    records
}

/// The variables in a record, as PHP reads them.
fn variables(mut content: &[u8]) -> Vec<(String, Vec<u8>)> {
    fn length(content: &mut &[u8]) -> usize {
        match **content {
            [short, ref rest @ ..] if short < 128 => {
                *content = rest;
                short.into()
            }
            [a, b, c, d, ref rest @ ..] => {
                *content = rest;
                (u32::from_be_bytes([a, b, c, d]) & 0x7fff_ffff) as usize
            }
            _ => panic!("no length"),
        }
    }
    let mut variables = Vec::new();
    while !content.is_empty() {
        let (name, value) = (length(&mut content), length(&mut content));
        let text = String::from_utf8(content[..name].to_vec()).unwrap();
        variables.push((text, content[name..name + value].to_vec()));
        content = &content[name + value..];
    }
    variables
}

#[test]
fn a_request_is_written_as_the_specification_has_it() -> Result<(), Error> {
    let mut out = Vec::new();
    begin(&mut out);
    assert_eq!(out, b"\x01\x01\0\x01\0\x08\0\0\0\x01\0\0\0\0\0\0");
    out.clear();
    let mut params = Params::new(&mut out);
    params.add("A", b"b")?;
    params.add("EMPTY", b"")?;
    params.finish();
    assert_eq!(
        out,
        b"\x01\x04\0\x01\0\x0b\0\0\x01\x01Ab\x05\0EMPTY\x01\x04\0\x01\0\0\0\0"
    );
    out.clear();
    Params::new(&mut out).finish();
    assert_eq!(out, b"\x01\x04\0\x01\0\0\0\0");
    out.clear();
    stdin_head(&mut out, 258)?;
    stdin_end(&mut out);
    assert_eq!(out, b"\x01\x05\0\x01\x01\x02\0\0\x01\x05\0\x01\0\0\0\0");
    Ok(())
}

#[test]
fn lengths_at_below_and_above_their_limits() -> Result<(), Error> {
    let mut out = Vec::new();
    stdin_head(&mut out, 1)?;
    stdin_head(&mut out, MAX_CONTENT)?;
    let before = out.clone();
    assert!(stdin_head(&mut out, 0).is_err());
    assert!(stdin_head(&mut out, MAX_CONTENT + 1).is_err());
    assert_eq!(out, before);
    for length in [0, 1, 127, 128, 129, 65529, 65530] {
        let mut out = Vec::new();
        let mut params = Params::new(&mut out);
        // The name's length takes a byte, the value's one or four.
        let fits = 1 + 4 + 1 + length <= MAX_CONTENT;
        assert_eq!(
            params.add("A", &vec![b'v'; length]).is_ok(),
            fits,
            "{length}"
        );
        params.finish();
        let records = records(&out);
        assert_eq!(records.len(), if fits { 2 } else { 1 }, "{length}");
        if fits {
            assert_eq!(variables(records[0].1)[0].1.len(), length);
        }
    }
    Ok(())
}

proptest! {
    #[test]
    fn variables_arrive_as_they_were_given_and_none_is_split(
        lengths in prop::collection::vec((0..200usize, 0..9000usize, any::<u8>()), 0..40),
    ) {
        let given: Vec<_> = lengths
            .iter()
            .map(|&(name, value, byte)| ("N".repeat(name), vec![byte; value]))
            .collect();
        let mut out = b"before".to_vec();
        let mut params = Params::new(&mut out);
        for (name, value) in &given {
            params.add(name, value)?;
        }
        params.finish();
        let records = records(&out[6..]);
        let (last, full) = records.split_last().unwrap();
        prop_assert_eq!(*last, (4, &b""[..]));
        let mut read = Vec::new();
        for (kind, content) in full {
            prop_assert_eq!(*kind, 4);
            prop_assert!(!content.is_empty());
            read.extend(variables(content));
        }
        prop_assert_eq!(read, given);
    }

    #[test]
    fn any_bytes_are_the_same_in_pieces(bytes: Vec<u8>, piece in 1..9usize) {
        prop_assert_eq!(heard(&bytes, piece), heard(&bytes, bytes.len().max(1)));
    }
}
