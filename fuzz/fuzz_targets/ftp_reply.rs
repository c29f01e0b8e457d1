//! A reply means the same however it arrived; one that is written is one reply; addresses in its
//! text read back as they were.
#![no_main]

use hythe_wire::ftp::{
    Reply, multiline, parse_extended, parse_extended_port, parse_host_port, parse_quoted_path,
    reply, write_extended, write_host_port,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (usize, &[u8])| {
    let (cut, bytes) = input;
    let (early, late) = bytes.split_at(cut % (bytes.len() + 1));
    let whole = Reply::parse(bytes);
    match Reply::parse(early) {
        Err(_) => assert!(whole.is_err()),
        Ok(Some(read)) => assert_eq!(whole, Ok(Some(read))),
        Ok(None) => {}
    }
    if let Ok(Some((read, used))) = whole {
        assert!(used <= bytes.len() && (100..600).contains(&read.code));
        assert!(read.lines().count() > 0);
    }

    let mut out = Vec::new();
    reply(&mut out, 250, bytes);
    let first = out.len();
    multiline(&mut out, 211, early, [early, late], late);
    assert!(
        matches!(Reply::parse(&out), Ok(Some((read, used))) if read.code == 250 && used == first)
    );
    let second = Reply::parse(&out[first..]);
    assert!(
        matches!(second, Ok(Some((read, used))) if read.lines().count() == 4 && used == out.len() - first)
    );

    parse_quoted_path(bytes);
    parse_extended_port(bytes);
    let mut text = Vec::new();
    if let Some(address) = parse_host_port(bytes) {
        write_host_port(&mut text, address);
        assert_eq!(parse_host_port(&text), Some(address));
    }
    if let Ok(address) = parse_extended(bytes) {
        text.clear();
        write_extended(&mut text, address);
        assert_eq!(parse_extended(&text), Ok(address));
    }
});
