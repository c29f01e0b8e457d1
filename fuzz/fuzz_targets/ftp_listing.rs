//! What is read from a listing reads the same once written, and no name makes two lines.
#![no_main]

use hythe_wire::ftp::{
    Entry, Facts, Kind, parse_facts, parse_ls, parse_time, write_facts, write_ls,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (i64, &[u8])| {
    let (now, bytes) = input;
    let mut line = Vec::new();
    if let Some(entry) = parse_facts(bytes) {
        write_facts(&mut line, &entry, Facts::ALL);
        let read = parse_facts(&line).expect("it was just written");
        assert_eq!(
            (read.kind, read.size, read.name),
            (entry.kind, entry.size, entry.name)
        );
        assert_eq!(read.modified, entry.modified);
    }
    if let Some(entry) = parse_ls(bytes, now) {
        line.clear();
        write_ls(&mut line, &entry, now);
        let read = parse_ls(&line, now).expect("it was just written");
        assert_eq!((read.name, read.mode), (entry.name, entry.mode));
    }
    let entry = Entry {
        kind: Kind::File,
        size: None,
        modified: parse_time(bytes),
        mode: None,
        perm: Some(bytes),
        unique: Some(bytes),
        name: bytes,
    };
    line.clear();
    write_facts(&mut line, &entry, Facts::ALL);
    write_ls(&mut line, &entry, now);
    assert!(!line.iter().any(|byte| b"\r\n\0".contains(byte)));
});
