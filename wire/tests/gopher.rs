//! Gopher requests, menus and texts: whole, in pieces, and nasty.

mod tables;

use hythe_wire::gopher::*;
use proptest::prelude::*;

#[test]
fn requests_are_complete_at_their_last_byte_and_never_before() -> Result<(), Error> {
    for message in tables::GOPHER_REQUESTS {
        let shown = message.escape_ascii();
        let Some((whole, used)) = Request::parse(message)? else {
            panic!("{shown}")
        };
        assert_eq!(used, message.len(), "{shown}");
        for end in 0..message.len() {
            assert_eq!(
                Request::parse(&message[..end])?,
                None,
                "{shown} cut at {end}"
            );
        }
        let trailing = [message, &b"/next\r\n"[..]].concat();
        assert_eq!(Request::parse(&trailing)?, Some((whole, used)), "{shown}");
        let mut sent = Vec::new();
        whole.encode(&mut sent)?;
        assert_eq!(Request::parse(&sent)?, Some((whole, sent.len())), "{shown}");
    }
    Ok(())
}

#[test]
fn fields_are_told_apart() {
    let parsed = |line: &'static [u8]| Request::from_line(line);
    let request = |selector, search, plus| {
        Ok(Request {
            selector,
            search,
            plus,
        })
    };
    assert_eq!(parsed(b""), request(b"", None, None));
    assert_eq!(parsed(b"s\tq r"), request(b"s", Some(b"q r"), None));
    assert_eq!(parsed(b"s\t"), request(b"s", Some(b""), None));
    assert_eq!(parsed(b"s\t+"), request(b"s", None, Some(Plus::View(b""))));
    assert_eq!(
        parsed(b"s\t+a/b"),
        request(b"s", None, Some(Plus::View(b"a/b")))
    );
    assert_eq!(parsed(b"s\t+word"), request(b"s", Some(b"+word"), None));
    assert_eq!(
        parsed(b"s\tq\t$"),
        request(b"s", Some(b"q"), Some(Plus::Menu))
    );
    assert_eq!(parsed(b"s\t!"), request(b"s", None, Some(Plus::Item)));
}

#[test]
fn what_is_not_gopher_is_refused_at_once() {
    for start in [
        &b"\x16\x03\x01"[..],
        b"\0",
        b"GET / HTTP/1.1",
        b"a\rb",
        b"\x1b[2J",
        b"\x7f",
    ] {
        let shown = start.escape_ascii();
        assert_eq!(Request::parse(start), Err(Error::NotGopher), "{shown}");
        let line = [start, b"\r\n"].concat();
        assert_eq!(Request::parse(&line), Err(Error::NotGopher), "{shown}");
    }
    assert!(Request::parse(b"GET /about\r\n").is_ok());
    let longest = b"a".repeat(MAX_SELECTOR);
    assert!(matches!(
        Request::parse(&[&longest, &b"\r\n"[..]].concat()),
        Ok(Some(_))
    ));
    assert_eq!(
        Request::parse(&[&longest, &b"a"[..]].concat()),
        Err(Error::TooLong)
    );
    for selector in [&b"a\tb"[..], b"a\r\nb"] {
        let request = Request {
            selector,
            search: None,
            plus: None,
        };
        assert!(request.encode(&mut Vec::new()).is_err());
    }
}

#[test]
fn menu_lines() {
    for line in tables::MENU_LINES {
        let item = Item::parse(line).expect("it is an item");
        let mut written = Vec::new();
        item.write(&mut written);
        let written = written.strip_suffix(b"\r\n").expect("it ends its line");
        assert_eq!(Item::parse(written), Some(item));
    }
    for bad in [
        &b"."[..],
        b"",
        b"\tx",
        b"0a\tb\tc\tx",
        b"0a\tb\tc\t65536",
        b"0a\rb",
    ] {
        assert_eq!(Item::parse(bad), None, "{}", bad.escape_ascii());
    }
    let mut out = Vec::new();
    Item::error(b"no\tsuch\r\n0file").write(&mut out);
    assert_eq!(out, b"3no?such??0file\t\terror.host\t1\r\n");
}

#[test]
fn gophermaps_are_filled_in() {
    let here = Place {
        folder: b"/f/",
        host: b"quay",
        port: 7070,
    };
    for (line, written) in [
        ("", "i\t\terror.host\t1"),
        ("Hello", "iHello\t\terror.host\t1"),
        ("\todd", "i?odd\t\terror.host\t1"),
        ("1Menu\t", "1Menu\t/f/Menu\tquay\t7070"),
        ("0A\ta.txt", "0A\t/f/a.txt\tquay\t7070"),
        ("0A\t/a.txt", "0A\t/a.txt\tquay\t7070"),
        ("0A\ta\telsewhere", "0A\ta\telsewhere\t70"),
        ("0A\ta\telsewhere\t71", "0A\ta\telsewhere\t71"),
        ("hWeb\tURL:https://x/", "hWeb\tURL:https://x/\tquay\t7070"),
    ] {
        let mut out = Vec::new();
        write_gophermap_line(&mut out, line.as_bytes(), here);
        assert_eq!(
            String::from_utf8_lossy(&out),
            format!("{written}\r\n"),
            "{line}"
        );
    }
}

fn encode(text: &[u8], piece: usize) -> Vec<u8> {
    let mut out = Vec::new();
    let mut encoder = TextEncoder::new();
    text.chunks(piece)
        .for_each(|piece| encoder.encode(piece, &mut out));
    encoder.finish(&mut out);
    out
}

/// The decoded text, and how much of `sent` belonged to it.
fn decode(sent: &[u8], piece: usize) -> (Vec<u8>, usize) {
    let mut out = Vec::new();
    let mut decoder = TextDecoder::new();
    let used = sent
        .chunks(piece)
        .map(|piece| decoder.decode(piece, &mut out))
        .sum();
    decoder.finish(&mut out);
    (out, used)
}

#[test]
fn texts_are_stuffed() {
    let cases: &[(&[u8], &[u8])] = &[
        (b"", b".\r\n"),
        (b"a", b"a\r\n.\r\n"),
        (b"a\n", b"a\r\n.\r\n"),
        (b".\n..\r\n.a", b"..\r\n...\r\n..a\r\n.\r\n"),
        (b"\n\n", b"\r\n\r\n.\r\n"),
        (b"a\rb\r", b"a\rb\r\r\n.\r\n"),
        (b"\r.", b"\r.\r\n.\r\n"),
    ];
    for (text, sent) in cases {
        for piece in 1..8 {
            assert_eq!(encode(text, piece), *sent, "{}", text.escape_ascii());
        }
    }
    for piece in 1..8 {
        assert_eq!(
            decode(b".x\r\n.\rb\r\n.\n0", piece),
            (b".x\n.\rb\n".to_vec(), 11)
        );
        assert_eq!(decode(b"no end\r\n.", piece), (b"no end\n.".to_vec(), 9));
    }
}

proptest! {
    #[test]
    fn texts_survive_a_round_trip(
        text in prop::collection::vec(prop::sample::select(b".\r\nab\xff".to_vec()), 0..60),
        piece in 1usize..10,
    ) {
        let sent = encode(&text, piece);
        prop_assert_eq!(&sent, &encode(&text, usize::MAX));
        let (read, used) = decode(&[&sent[..], b"more"].concat(), piece);
        prop_assert_eq!(used, sent.len());
        let mut expected = String::from_utf8_lossy(&text).replace("\r\n", "\n");
        if !expected.is_empty() && !expected.ends_with('\n') {
            expected.push('\n');
        }
        prop_assert_eq!(String::from_utf8_lossy(&read), expected);
    }

    #[test]
    fn items_survive_a_round_trip(
        kind in b'!'..=b'~',
        display in "[ -~]{0,20}",
        selector in "[ -~]{0,20}",
        host in "[a-z.]{1,20}",
        port in any::<u16>(),
    ) {
        let item = Item {
            kind: ItemType(kind),
            display: display.as_bytes(),
            selector: selector.as_bytes(),
            host: host.as_bytes(),
            port,
        };
        let mut line = Vec::new();
        item.write(&mut line);
        prop_assert_eq!(Item::parse(&line[..line.len() - 2]), Some(item));
    }

    #[test]
    fn any_item_is_one_line(name in prop::collection::vec(any::<u8>(), 0..30)) {
        let item = Item { selector: &name, host: &name, ..Item::info(&name) };
        let mut line = Vec::new();
        item.write(&mut line);
        prop_assert_eq!(line.iter().filter(|byte| **byte == b'\t').count(), 3);
        prop_assert_eq!(line.iter().filter(|byte| b"\r\n".contains(byte)).count(), 2);
    }
}
