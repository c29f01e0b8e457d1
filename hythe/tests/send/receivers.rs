//! Receivers that lie, by hand: `hythe send` says what is wrong and ends, in
//! bounded memory.

use std::fs;
use std::net::TcpStream;
use std::process::Stdio;
use std::thread;
use std::time::Duration;

use hythe_wire::transfer::{BLOCK, MOST_HASHES, Message, Outcome};

use super::common::content;
use super::ends::{MIB, Place, Said, finish_child, sending};
use super::wire::{Wire, encoded, frame, serve};

/// What a receiver does, the status of the sender, and what it says.
type Lie = (&'static str, fn(TcpStream), i32, &'static str);

/// Of which the sender never hears the end.
fn until_it_leaves(wire: &mut Wire, mut message: impl FnMut() -> Vec<u8>) {
    while wire.raw(&message()).is_ok() {}
}

/// Greets, hears of a file of four blocks, and wants it.
fn wants(stream: TcpStream, has_part: bool) -> Wire {
    let mut wire = Wire::greeting(stream);
    wire.hears("Entry");
    wire.say(&Message::Want { id: 0, has_part });
    wire
}

/// Takes all that comes until the sender leaves.
fn listen(mut wire: Wire) {
    while wire.hear() != "closed" {}
}

const LIES: &[Lie] = &[
    (
        "HTTP",
        |mut stream| {
            use std::io::Write as _;
            stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").ok();
            listen(Wire::new(stream));
        },
        1,
        "does not speak as hythe does",
    ),
    ("nothing", drop, 5, "closed the connection"),
    (
        "another version",
        |stream| {
            let mut wire = Wire::new(stream);
            wire.say(&Message::Hello { version: 9 });
            listen(wire);
        },
        1,
        "version 9 of the protocol, and this is 1",
    ),
    (
        "no greeting",
        |stream| {
            let mut wire = Wire::new(stream);
            wire.say(&Message::Want {
                id: 0,
                has_part: false,
            });
            listen(wire);
        },
        1,
        "no greeting",
    ),
    (
        "a refusal with escape sequences",
        |stream| {
            let mut wire = Wire::new(stream);
            wire.say(&Message::Refuse("\x1b[2J\x07no\u{9b}m"));
            listen(wire);
        },
        4,
        "\\u{1b}[2J\\u{7}no\\u{9b}m",
    ),
    (
        "an outcome with escape sequences",
        |stream| {
            let mut wire = Wire::greeting(stream);
            wire.hears("Entry");
            wire.say(&Message::Outcome {
                id: 0,
                outcome: Outcome::Refused,
                text: "\x1b[2J\r\nno",
            });
            wire.hears("Finish");
            wire.say(&Message::Finished);
            listen(wire);
        },
        1,
        "\\u{1b}[2J\\r\\nno",
    ),
    (
        "an unknown file",
        |stream| {
            let mut wire = Wire::greeting(stream);
            wire.hears("Entry");
            wire.say(&Message::Want {
                id: 1,
                has_part: false,
            });
            listen(wire);
        },
        1,
        "an unknown file",
    ),
    (
        "an outcome of an unknown file",
        |stream| {
            let mut wire = Wire::greeting(stream);
            wire.hears("Entry");
            wire.say(&Message::Outcome {
                id: 7,
                outcome: Outcome::Same,
                text: "",
            });
            listen(wire);
        },
        1,
        "an unknown file",
    ),
    (
        "an outcome for the second time",
        |stream| {
            let mut wire = Wire::greeting(stream);
            wire.hears("Entry");
            for _ in 0..2 {
                wire.say(&Message::Outcome {
                    id: 0,
                    outcome: Outcome::Same,
                    text: "",
                });
            }
            listen(wire);
        },
        1,
        "does not speak as hythe does",
    ),
    (
        "the same file again and again",
        |stream| {
            let mut wire = wants(stream, false);
            for _ in 0..4 {
                wire.say(&Message::Want {
                    id: 0,
                    has_part: false,
                });
            }
            let mut bytes = 0;
            loop {
                match wire.hear() {
                    heard if heard == "closed" => break,
                    heard if heard.starts_with("Block") => {
                        bytes += BLOCK;
                        wire.say(&Message::Ack(bytes));
                    }
                    _ => {}
                }
            }
        },
        1,
        "for the second time",
    ),
    (
        "the end before the beginning",
        |stream| {
            let mut wire = Wire::greeting(stream);
            wire.hears("Entry");
            wire.say(&Message::Finished);
            listen(wire);
        },
        1,
        "does not speak as hythe does",
    ),
    (
        "the end in the middle of a file",
        |stream| {
            let mut wire = wants(stream, false);
            wire.say(&Message::Finished);
            listen(wire);
        },
        1,
        "does not speak as hythe does",
    ),
    (
        "the end in place of hashes",
        |stream| {
            let mut wire = wants(stream, true);
            wire.hears("Ask");
            wire.say(&Message::Finished);
            listen(wire);
        },
        1,
        "does not speak as hythe does",
    ),
    (
        "hashes of another file",
        |stream| {
            let mut wire = wants(stream, true);
            wire.say(&Message::Have {
                id: 3,
                hashes: &[0; 32],
            });
            listen(wire);
        },
        1,
        "hashes of another file",
    ),
    (
        "hashes that nobody wants",
        |stream| {
            let mut wire = Wire::greeting(stream);
            wire.hears("Entry");
            wire.say(&Message::Have {
                id: 0,
                hashes: &[0; 32],
            });
            listen(wire);
        },
        1,
        "an answer to no question",
    ),
    (
        "half a hash",
        |stream| {
            let mut wire = wants(stream, true);
            wire.raw(&frame(6, &[19, 0, 0, 0, 0, 1])).ok();
            listen(wire);
        },
        1,
        "something wrong in it",
    ),
    (
        "endless hashes",
        |stream| {
            let mut wire = wants(stream, true);
            let have = encoded(&Message::Have {
                id: 0,
                hashes: &[7; 32 * MOST_HASHES],
            });
            until_it_leaves(&mut wire, || have.clone());
        },
        1,
        "more hashes than",
    ),
    (
        "endless outcomes while hashes are waited for",
        |stream| {
            let mut wire = wants(stream, true);
            let text = "t".repeat(1000);
            let outcome = encoded(&Message::Outcome {
                id: 9,
                outcome: Outcome::Same,
                text: &text,
            });
            until_it_leaves(&mut wire, || outcome.clone());
        },
        1,
        "does not speak as hythe does",
    ),
    (
        "endless outcomes in the middle of a file",
        |stream| {
            let mut wire = wants(stream, false);
            let text = "t".repeat(1000);
            let outcome = encoded(&Message::Outcome {
                id: 9,
                outcome: Outcome::Same,
                text: &text,
            });
            until_it_leaves(&mut wire, || outcome.clone());
        },
        1,
        "it says more than it was asked",
    ),
    (
        "too much acknowledged",
        |stream| {
            let mut wire = wants(stream, false);
            wire.hears("Block");
            wire.say(&Message::Ack(u64::MAX));
            listen(wire);
        },
        1,
        "more than was sent",
    ),
    (
        "less acknowledged than before",
        |stream| {
            let mut wire = wants(stream, false);
            wire.hears("Block");
            wire.say(&Message::Ack(BLOCK));
            wire.say(&Message::Ack(0));
            listen(wire);
        },
        1,
        "less than before",
    ),
    (
        "what only a sender says",
        |stream| {
            let mut wire = wants(stream, false);
            wire.say(&Message::Finish);
            listen(wire);
        },
        1,
        "only a sender says",
    ),
    (
        "a refusal in place of hashes",
        |stream| {
            let mut wire = wants(stream, true);
            wire.hears("Ask");
            wire.say(&Message::Outcome {
                id: 0,
                outcome: Outcome::Refused,
                text: "it cannot be read",
            });
            wire.hears("Abandon { id: 0");
            wire.hears("Finish");
            wire.say(&Message::Finished);
            listen(wire);
        },
        1,
        "file: it cannot be read",
    ),
    (
        "a frame that is too long",
        |stream| {
            let mut wire = wants(stream, false);
            wire.raw(&frame(u32::MAX, &[19])).ok();
            listen(wire);
        },
        1,
        "too long for its kind",
    ),
    (
        "gone in the middle of a file",
        |stream| {
            wants(stream, false).hears("Block");
        },
        5,
        "",
    ),
    (
        "a refusal in the middle of a file",
        |stream| {
            let mut wire = wants(stream, false);
            wire.hears("Block");
            wire.say(&Message::Refuse("the disk burns"));
            listen(wire);
        },
        4,
        "the disk burns",
    ),
];

/// Sends a file to such a receiver, in little memory.
fn sends_to(lie: fn(TcpStream), arguments: &[&str]) -> Said {
    let place = Place::new();
    let file = place.write("from/file", content(8 * MIB));
    let address = serve(lie).to_string();
    let child = sending(&[arguments, &["--retries", "0", &file, &address]].concat())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let status = format!("/proc/{}/status", child.id());
    let ended = thread::spawn(move || finish_child(child));
    let mut most = 0;
    while !ended.is_finished() {
        let text = fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
        most = most.max(kib.unwrap_or_default());
        thread::sleep(Duration::from_millis(2));
    }
    assert!(most < 400 * 1024, "{most} KiB");
    ended.join().unwrap()
}

#[test]
fn lies_are_told_of() {
    for (what, lie, status, words) in LIES {
        println!("{what}");
        let said = sends_to(*lie, &[]);
        assert!(!said.err.contains("panicked"), "{what}: {said:?}");
        said.fails(*status, &[words]);
    }
}

#[test]
fn silence_is_borne_for_so_long_and_no_longer() {
    let silent: [fn(TcpStream); 4] = [
        |stream| listen(Wire::new(stream)),
        |stream| listen(Wire::greeting(stream)),
        // Takes all, and acknowledges nothing.
        |stream| listen(wants(stream, false)),
        |stream| listen(wants(stream, true)),
    ];
    for lie in silent {
        sends_to(lie, &["--stall", "2s"]).fails(5, &["no progress"]);
    }
}

/// One that is at work says so, and is waited for.
#[test]
fn a_receiver_that_says_that_it_is_at_work_is_waited_for() {
    let said = sends_to(
        |stream| {
            let mut wire = Wire::greeting(stream);
            wire.hears("Entry");
            for _ in 0..8 {
                thread::sleep(Duration::from_millis(500));
                wire.say(&Message::Wait);
            }
            wire.say(&Message::Outcome {
                id: 0,
                outcome: Outcome::Same,
                text: "",
            });
            wire.hears("Finish");
            wire.say(&Message::Finished);
        },
        &["--stall", "2s"],
    );
    said.ok();
}
