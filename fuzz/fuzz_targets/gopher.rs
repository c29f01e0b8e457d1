//! Requests mean the same however they arrived and survive being sent; menu lines stay one line;
//! texts are the same in any pieces and read back.
#![no_main]

use hythe_wire::gopher::{Item, Place, Request, TextDecoder, TextEncoder, write_gophermap_line};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u8, &[u8])| {
    let (piece, bytes) = input;
    let piece = usize::from(piece) + 1;
    requests(piece, bytes);
    menus(bytes);
    texts(piece, bytes);
});

fn requests(cut: usize, bytes: &[u8]) {
    let whole = Request::parse(bytes);
    match Request::parse(&bytes[..cut.min(bytes.len())]) {
        Err(_) => assert!(whole.is_err()),
        Ok(Some(early)) => assert_eq!(whole, Ok(Some(early))),
        Ok(None) => {}
    }
    if let Ok(Some((request, _))) = whole {
        let mut sent = Vec::new();
        // A fourth field, or an unknown third, is read over and makes the line shorter.
        request
            .encode(&mut sent)
            .expect("what was read can be written");
        assert_eq!(Request::parse(&sent), Ok(Some((request, sent.len()))));
    }
}

fn menus(bytes: &[u8]) {
    let mut out = Vec::new();
    Item::info(bytes).write(&mut out);
    write_gophermap_line(
        &mut out,
        bytes,
        Place {
            folder: b"/",
            host: b"quay",
            port: 70,
        },
    );
    assert_eq!(out.iter().filter(|byte| **byte == b'\n').count(), 2);
    assert_eq!(out.iter().filter(|byte| **byte == b'\t').count(), 6);
    if let Some(item) = Item::parse(bytes) {
        out.clear();
        item.write(&mut out);
        assert!(Item::parse(&out[..out.len() - 2]).is_some());
    }
}

fn texts(piece: usize, bytes: &[u8]) {
    let encode = |piece: usize| {
        let mut out = Vec::new();
        let mut encoder = TextEncoder::new();
        bytes
            .chunks(piece)
            .for_each(|piece| encoder.encode(piece, &mut out));
        encoder.finish(&mut out);
        out
    };
    let decode = |sent: &[u8], piece: usize| {
        let mut out = Vec::new();
        let mut decoder = TextDecoder::new();
        let used: usize = sent
            .chunks(piece)
            .map(|part| decoder.decode(part, &mut out))
            .sum();
        let done = decoder.is_done();
        decoder.finish(&mut out);
        (out, used, done)
    };
    let sent = encode(usize::MAX);
    assert_eq!(encode(piece), sent);
    let read = decode(&sent, piece);
    assert!(read.2 && read.1 == sent.len());
    assert_eq!(decode(&sent, usize::MAX), read);
    assert_eq!(decode(bytes, piece), decode(bytes, usize::MAX));
}
