//! Lines are the same however they arrived, and a legal command survives being sent.
#![no_main]

use hythe_wire::ftp::{Command, Lines};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u8, &[u8])| {
    let (piece, bytes) = input;
    let whole = lines(bytes, bytes.len().max(1));
    assert_eq!(lines(bytes, usize::from(piece) + 1), whole);
    for line in whole.into_iter().flatten() {
        check(&line);
    }
    check(bytes);
});

fn check(line: &[u8]) {
    let Ok(command) = Command::parse(line) else {
        return;
    };
    let mut sent = Vec::new();
    command
        .encode(&mut sent)
        .expect("what was read can be written");
    let received = lines(&sent, 1);
    let [Ok(received)] = received.as_slice() else {
        panic!("{received:?}")
    };
    assert_eq!(Command::parse(received), Ok(command));
}

fn lines(bytes: &[u8], piece: usize) -> Vec<Result<Vec<u8>, u16>> {
    let mut decoder = Lines::new();
    let mut found = Vec::new();
    for mut piece in bytes.chunks(piece) {
        loop {
            match decoder.next(&mut piece) {
                Ok(Some(line)) => found.push(Ok(line.to_vec())),
                Ok(None) => break,
                Err(error) => found.push(Err(error.code)),
            }
        }
    }
    found
}
