//! Senders that lie, by hand: nothing is written beyond the folder, the receiver
//! says why it took no more, and goes on with the next one.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::fs::symlink;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use hythe_wire::transfer::{BLOCK, MOST_OPEN, MOST_PATH, MOST_ZEROS, Message};
use rustix::fs::{CWD, RenameFlags, renameat_with};

use super::common::{connect, eventually};
use super::ends::{MIB, Place, Receiver, is_text, names, send, tree};
use super::wire::{Wire, encoded, frame};

const WHOLE: &[u8] = &[7; BLOCK as usize];

/// An honest sender gets its file through.
#[track_caller]
fn serves(place: &Place, receiver: &Receiver, number: usize) {
    let received = || receiver.err().matches("received 1 file from").count();
    let before = received();
    let name = format!("honest {number}");
    let file = place.write(&format!("from/{name}"), "honest");
    send(&[&file, &receiver.address]).ok();
    place.holds(&format!("to/{name}"), "honest");
    eventually("it is told", || received() > before);
}

#[test]
fn paths_that_lead_elsewhere_stay_out() {
    let place = Place::new();
    let receiver = Receiver::start(&place.path("to"), &[]);
    let mut wire = Wire::greeted(receiver.socket());
    let long_name = [b'n'; 256];
    let absolute = place.text("canary/file").into_bytes();
    let paths: &[&[u8]] = &[
        b"../canary/file",
        b"..",
        b"a/../../canary/file",
        b"a/..",
        &absolute,
        b"/",
        b"",
        b".",
        b"./a",
        b"a//b",
        b"a/",
        b"a/./b",
        b".hythe-receive",
        b".hythe-receive/x",
        b".HyThe-Receive/x",
        b"a\0b",
        b"\0",
        &long_name,
        b"folder/\x1b[2J\0",
    ];
    let mut id = 0;
    for path in paths {
        for is_folder in [false, true] {
            match is_folder {
                true => wire.folder(id, path),
                false => wire.entry(id, path, 5),
            }
            let heard = wire.hears(&format!("Outcome {{ id: {id}, outcome: Refused"));
            assert!(heard.contains("it stays out"), "{heard}");
            id += 1;
        }
    }
    // The same sender goes on with what is in order: a backslash is a letter.
    wire.entry(id, b"a\\..\\b", 5);
    wire.hears("Want");
    wire.block(id, 0, b"bytes");
    wire.end(id, &[b"bytes"]);
    wire.hears("Ack(5)");
    wire.hears(&format!("Outcome {{ id: {id}, outcome: Stored"));
    wire.say(&Message::Finish);
    wire.hears("Finished");
    let received = receiver.wait();
    is_text(&received.err);
    received.fails(1, &["38 entries were not taken", "../canary/file: "]);
    assert_eq!(names(&place.path("to")), ["a\\..\\b"]);
    place.sings();
}

/// What a sender that is greeted says, and what the receiver says of it.
type Lie = (&'static str, fn(&mut Wire), &'static str);

const LIES: &[Lie] = &[
    (
        "a path of 5,000 bytes",
        |wire| {
            let payload = [&[3_u8][..], &[0; 27], &[b'p'; 5000]].concat();
            wire.raw(&frame(payload.len() as u32, &payload)).ok();
        },
        "too long for its kind",
    ),
    (
        "a first number that is not 0",
        |wire| wire.entry(1, b"x", 1),
        "out of turn",
    ),
    (
        "a number for the second time",
        |wire| {
            wire.entry(0, b"x", 1);
            wire.entry(0, b"y", 1);
        },
        "out of turn",
    ),
    (
        "endless entries",
        |wire| {
            for id in 0..=MOST_OPEN as u32 {
                wire.entry(id, format!("x{id}").as_bytes(), 1);
            }
        },
        "out of turn",
    ),
    (
        "an entry of no kind",
        |wire| {
            let payload = [&[3_u8, 0, 0, 0, 0, 2][..], &[0; 22], b"x"].concat();
            wire.raw(&frame(payload.len() as u32, &payload)).ok();
        },
        "something wrong in it",
    ),
    (
        "a second with too many nanoseconds",
        |wire| {
            let payload = [&[3_u8][..], &[0; 5], &[0; 16], &[0xff; 4], &[0; 2], b"x"].concat();
            wire.raw(&frame(payload.len() as u32, &payload)).ok();
        },
        "something wrong in it",
    ),
    (
        "a block of nothing that was told of",
        |wire| wire.block(0, 0, b"x"),
        "not asked for",
    ),
    (
        "hashes of nothing that was told of",
        |wire| wire.say(&Message::Ask { id: 9 }),
        "not asked for",
    ),
    (
        "an end of nothing that was told of",
        |wire| wire.end(0, &[]),
        "not asked for",
    ),
    (
        "nothing of nothing",
        |wire| wire.say(&Message::Abandon { id: 5, text: "x" }),
        "not asked for",
    ),
    (
        "two files at once",
        |wire| {
            wire.entry(0, b"x", 2 * BLOCK);
            wire.entry(1, b"y", 1);
            wire.block(0, 0, WHOLE);
            wire.block(1, 0, b"y");
        },
        "not asked for",
    ),
    (
        "a block beyond the end",
        |wire| {
            wire.entry(0, b"x", 1);
            wire.block(0, 1, b"x");
        },
        "not of this file",
    ),
    (
        "a block far beyond the end",
        |wire| {
            wire.entry(0, b"x", 1);
            wire.block(0, u64::MAX, b"x");
        },
        "not of this file",
    ),
    (
        "a block that is too short",
        |wire| {
            wire.entry(0, b"x", BLOCK);
            wire.block(0, 0, &WHOLE[1..]);
        },
        "not of this file",
    ),
    (
        "a block of an empty file",
        |wire| {
            wire.entry(0, b"x", 0);
            wire.block(0, 0, b"x");
        },
        "not of this file",
    ),
    (
        "endless blocks",
        |wire| {
            wire.entry(0, b"x", 3 * BLOCK);
            for index in 0.. {
                if wire.raw(&[]).is_err() || index > 3 {
                    break;
                }
                wire.block(0, index, WHOLE);
            }
        },
        "not of this file",
    ),
    (
        "a gap",
        |wire| {
            wire.entry(0, b"x", 3 * BLOCK);
            wire.block(0, 1, WHOLE);
        },
        "left out that was not there",
    ),
    (
        "a block for the second time",
        |wire| {
            wire.entry(0, b"x", 3 * BLOCK);
            wire.block(0, 0, WHOLE);
            wire.block(0, 0, WHOLE);
        },
        "for the second time",
    ),
    (
        "a hash that does not fit",
        |wire| {
            wire.entry(0, b"x", 5);
            wire.false_block(0, 0, b"bytes", [0; 32]);
        },
        "its hash does not fit",
    ),
    (
        "no zeros",
        |wire| {
            wire.entry(0, b"x", 5);
            wire.say(&Message::Zeros {
                id: 0,
                index: 0,
                count: 0,
            });
        },
        "something wrong in it",
    ),
    (
        "too many zeros at once",
        |wire| {
            wire.entry(0, b"x", u64::MAX >> 1);
            wire.say(&Message::Zeros {
                id: 0,
                index: 0,
                count: MOST_ZEROS + 1,
            });
        },
        "something wrong in it",
    ),
    (
        "zeros beyond the end",
        |wire| {
            wire.entry(0, b"x", 3 * BLOCK);
            wire.say(&Message::Zeros {
                id: 0,
                index: 0,
                count: 4,
            });
        },
        "zeros that are not of this file",
    ),
    (
        "zeros that wrap around",
        |wire| {
            wire.entry(0, b"x", 3 * BLOCK);
            wire.say(&Message::Zeros {
                id: 0,
                index: u64::MAX,
                count: 2,
            });
        },
        "zeros that are not of this file",
    ),
    (
        "zeros for the second time",
        |wire| {
            wire.entry(0, b"x", 3 * BLOCK);
            wire.say(&Message::Zeros {
                id: 0,
                index: 0,
                count: 2,
            });
            wire.say(&Message::Zeros {
                id: 0,
                index: 1,
                count: 2,
            });
        },
        "for the second time",
    ),
    (
        "an end that comes too early",
        |wire| {
            wire.entry(0, b"x", 2 * BLOCK);
            wire.block(0, 0, WHOLE);
            wire.end(0, &[WHOLE, WHOLE]);
        },
        "left out that was not there",
    ),
    (
        "the largest file with nothing in it",
        |wire| {
            wire.entry(0, b"x", u64::MAX >> 1);
            wire.end(0, &[]);
        },
        "left out that was not there",
    ),
    (
        "the largest file, its last block first",
        |wire| {
            let size = u64::MAX >> 1;
            wire.entry(0, b"x", size);
            wire.block(0, size / BLOCK, &WHOLE[1..]);
        },
        "left out that was not there",
    ),
    (
        "finished too early",
        |wire| {
            wire.entry(0, b"x", 1);
            wire.say(&Message::Finish);
        },
        "an end before all was sent",
    ),
    (
        "finished in the middle of a file",
        |wire| {
            wire.entry(0, b"x", 2 * BLOCK);
            wire.block(0, 0, WHOLE);
            wire.say(&Message::Finish);
        },
        "an end before all was sent",
    ),
    (
        "a frame that is too long",
        |wire| {
            wire.raw(&frame(u32::MAX, &[5])).ok();
        },
        "too long for its kind",
    ),
    (
        "a frame with nothing in it",
        |wire| {
            wire.raw(&frame(0, &[])).ok();
        },
        "an empty message",
    ),
    (
        "a kind that there is not",
        |wire| {
            wire.raw(&frame(1, &[17])).ok();
        },
        "no known kind",
    ),
    (
        "what only a receiver says",
        |wire| {
            wire.say(&Message::Want {
                id: 0,
                has_part: false,
            });
        },
        "only a receiver says",
    ),
    (
        "a second greeting",
        |wire| wire.say(&Message::Hello { version: 1 }),
        "only a receiver says",
    ),
    (
        "keys afterwards",
        |wire| wire.say(&Message::Key(b"key")),
        "only a receiver says",
    ),
    (
        "escape sequences",
        |wire| {
            wire.say(&Message::Refuse("\x1b[2J\u{9b}31m\r\nlistening on 1.2.3.4"));
        },
        "\\u{1b}[2J\\u{9b}31m\\r\\nlistening",
    ),
    (
        "half a block",
        |wire| {
            wire.entry(0, b"x", 2 * BLOCK);
            let bytes = encoded(&Message::Block {
                id: 0,
                index: 0,
                hash: [0; 32],
                length: BLOCK as u32,
            });
            wire.raw(&bytes).ok();
            wire.raw(&WHOLE[..1000]).ok();
            wire.stream.shutdown(Shutdown::Write).ok();
        },
        "closed the connection",
    ),
];

#[test]
fn lies_are_told_of_and_the_next_one_is_served() {
    let place = Place::new();
    let receiver = Receiver::start(&place.path("to"), &["--keep"]);
    for (number, (what, lie, words)) in LIES.iter().enumerate() {
        let before = receiver.err().len();
        let mut wire = Wire::greeted(receiver.socket());
        lie(&mut wire);
        let last = wire.hear_but(&["Want", "Ack", "Wait", "Have", "Outcome"]);
        assert!(
            last == "closed" || last.starts_with("Refuse(\""),
            "{what}: {last}"
        );
        drop(wire);
        eventually(what, || receiver.err()[before..].contains('\n'));
        let said = receiver.err()[before..].to_owned();
        assert!(said.contains(words), "{what}: {said}");
        serves(&place, &receiver, number);
        assert!(!place.path("to/x").exists(), "{what}");
    }
    is_text(&receiver.err());
    receiver.interrupt().ok();
    place.sings();
    let there = names(&place.path("to"));
    assert!(
        there
            .iter()
            .all(|name| name.starts_with("honest") || name == ".hythe-receive"),
        "{there:?}"
    );
}

/// Those that are refused, and no end of the connection.
#[test]
fn what_this_machine_cannot_take_is_refused_by_itself() {
    let place = Place::new();
    place.write("to/file", "there");
    fs::create_dir(place.path("to/folder")).unwrap();
    let receiver = Receiver::start(&place.path("to"), &["--overwrite"]);
    let mut wire = Wire::greeted(receiver.socket());
    for (id, size) in [(0, 1 << 63), (1, u64::MAX)] {
        wire.entry(id, b"x", size);
        let heard = wire.hears(&format!("Outcome {{ id: {id}, outcome: Refused"));
        assert!(heard.contains("no file can be that large"), "{heard}");
    }
    wire.entry(2, b"file/x", 1);
    wire.hears("Want { id: 2");
    wire.block(2, 0, b"x");
    wire.end(2, &[b"x"]);
    let heard = wire.hears("Outcome { id: 2, outcome: Refused");
    assert!(
        heard.contains("a file is where a folder would have to be"),
        "{heard}"
    );
    wire.hears("Ack(1)");
    wire.folder(3, b"file/x/y");
    wire.hears("Outcome { id: 3, outcome: Refused");
    wire.folder(4, b"file");
    wire.hears("Outcome { id: 4, outcome: Refused");
    wire.entry(5, b"folder", 1);
    let heard = wire.hears("Outcome { id: 5, outcome: Refused");
    assert!(heard.contains("a folder is there"), "{heard}");
    // More than any file system takes, of which nothing is there.
    wire.entry(6, b"large", u64::MAX >> 1);
    wire.hears("Want { id: 6, has_part: false }");
    let last = (u64::MAX >> 1) / BLOCK;
    wire.say(&Message::Zeros {
        id: 6,
        index: 0,
        count: MOST_ZEROS,
    });
    wire.say(&Message::Abandon {
        id: 6,
        text: &format!("{last} \x1b[2J"),
    });
    let heard = wire.hears("Outcome { id: 6, outcome: Refused");
    assert!(heard.contains("\\\\u{1b}[2J"), "{heard}");
    // The hash of all of it is another one.
    wire.entry(7, b"whole", 5);
    wire.block(7, 0, b"bytes");
    wire.end(7, &[b"other"]);
    wire.hears("Want");
    wire.hears("Ack(6)");
    let heard = wire.hears("Outcome { id: 7, outcome: Refused");
    assert!(heard.contains("what came is not what was sent"), "{heard}");
    wire.say(&Message::Finish);
    wire.hears("Finished");
    receiver.wait().fails(1, &["8 entries were not taken"]);
    assert_eq!(names(&place.path("to")), ["file", "folder"]);
    place.holds("to/file", "there");
}

/// The longest path, and what is one beside it; names of 255 bytes.
#[test]
fn paths_at_the_limit_are_taken() {
    let place = Place::new();
    let receiver = Receiver::start(&place.path("to"), &["--keep"]);
    let name = [b'n'; 255];
    let mut path = vec![&name[..]; 16].join(&b'/');
    assert_eq!(path.len(), MOST_PATH);
    let mut deep = b"d/".repeat(MOST_PATH / 2);
    deep.push(b'd');
    for (path, folder) in [
        (path.clone(), false),
        (path[..MOST_PATH - 1].to_vec(), false),
        (deep, true),
    ] {
        let mut wire = Wire::greeted(receiver.socket());
        match folder {
            true => wire.folder(0, &path),
            false => {
                wire.entry(0, &path, 4);
                wire.hears("Want");
                wire.block(0, 0, b"deep");
                wire.end(0, &[b"deep"]);
                wire.hears("Ack");
            }
        }
        wire.hears("Outcome { id: 0, outcome: Stored");
        wire.say(&Message::Finish);
        wire.hears("Finished");
    }
    path.push(b'x');
    let mut wire = Wire::greeted(receiver.socket());
    let payload = [&[3_u8][..], &[0; 27], &path].concat();
    wire.raw(&frame(payload.len() as u32, &payload)).ok();
    receiver.says("too long for its kind");
    serves(&place, &receiver, 0);
}

#[test]
fn links_that_were_there_before_are_not_followed() {
    for overwrite in [&["--keep"][..], &["--keep", "--overwrite"]] {
        let place = Place::new();
        symlink(place.path("canary"), place.path("to/folder")).unwrap();
        symlink(place.path("canary/file"), place.path("to/file")).unwrap();
        symlink(place.path("canary/new"), place.path("to/dangling")).unwrap();
        symlink("..", place.path("to/up")).unwrap();
        let receiver = Receiver::start(&place.path("to"), overwrite);
        let mut wire = Wire::greeted(receiver.socket());
        for (id, path) in [
            &b"folder/new"[..],
            b"folder/file",
            b"folder/inner/file",
            b"up/canary/new",
            b"folder",
            b"file",
            b"dangling",
        ]
        .iter()
        .enumerate()
        {
            let id = id as u32;
            wire.entry(id, path, 4);
            let heard = wire.hear_but(&["Ack"]);
            if heard.starts_with("Want") {
                wire.block(id, 0, b"evil");
                wire.end(id, &[b"evil"]);
                let heard = wire.hear_but(&["Ack"]);
                let shown = String::from_utf8_lossy(path);
                assert!(heard.contains("outcome: Refused"), "{shown}: {heard}");
            } else {
                assert!(heard.contains("outcome: Refused"), "{heard}");
            }
        }
        for (id, path) in [
            (7, &b"folder"[..]),
            (8, b"folder/new"),
            (9, b"file"),
            (10, b"up"),
            (11, b"dangling"),
        ] {
            wire.folder(id, path);
            let heard = wire.hear_but(&["Ack"]);
            assert!(
                heard.contains("outcome: Refused"),
                "{}: {heard}",
                String::from_utf8_lossy(path)
            );
        }
        wire.say(&Message::Finish);
        wire.hears("Finished");
        place.sings();
        serves(&place, &receiver, 0);
    }
}

/// Where parts go leads elsewhere.
#[test]
fn a_link_in_place_of_the_parts_is_not_followed() {
    let place = Place::new();
    symlink(place.path("canary"), place.path("to/.hythe-receive")).unwrap();
    let receiver = Receiver::start(&place.path("to"), &[]);
    let file = place.write("from/file", "it");
    assert_eq!(send(&[&file, &receiver.address]).status, 1);
    assert_eq!(receiver.wait().status, 1);
    place.sings();
}

/// Somebody on this machine swaps a folder for a link out of it, all the time.
#[test]
fn links_that_come_meanwhile_are_not_followed() {
    let place = Place::new();
    for real in ["to/sub", "to/.hythe-receive"] {
        fs::create_dir(place.path(real)).unwrap();
    }
    symlink(place.path("canary"), place.path("from/link")).unwrap();
    symlink(place.path("canary"), place.path("from/parts")).unwrap();
    let receiver = Receiver::start(&place.path("to"), &["--keep", "--overwrite"]);
    let done = AtomicBool::new(false);
    let swap = |one: &str, other: &str| {
        let (one, other) = (place.path(one), place.path(other));
        renameat_with(CWD, &one, CWD, &other, RenameFlags::EXCHANGE).unwrap();
    };
    struct Done<'a>(&'a AtomicBool);
    impl Drop for Done<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    let mut outcomes = [0, 0];
    thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                swap("to/sub", "from/link");
                thread::yield_now();
                swap("to/.hythe-receive", "from/parts");
                thread::yield_now();
            }
        });
        let _done = Done(&done);
        let mut wire = Wire::greeted(receiver.socket());
        for id in (0..1000).step_by(2) {
            let name = format!("sub/inner/{id}");
            wire.entry(id, name.as_bytes(), 4);
            if wire.hear_but(&["Ack", "Wait"]).starts_with("Want") {
                wire.block(id, 0, b"evil");
                wire.end(id, &[b"evil"]);
                let heard = wire.hear_but(&["Ack", "Wait"]);
                outcomes[usize::from(heard.contains("Stored"))] += 1;
            }
            wire.folder(id + 1, format!("sub/inner/folder {id}").as_bytes());
            let heard = wire.hear_but(&["Ack", "Wait"]);
            assert!(heard.starts_with("Outcome"), "{heard}");
        }
    });
    println!("{outcomes:?} refused and stored");
    assert!(outcomes[0] > 0, "the links were never in the way");
    assert_eq!(tree(&place.path("canary")).len(), 4);
    place.sings();
}

/// Who says nothing, who speaks something else, and who speaks half of it.
#[test]
fn strangers_are_told_of_and_the_next_one_is_served() {
    for secret in [None, Some("secret")] {
        let place = Place::new();
        let folder = place.path("to");
        let mut command = super::ends::receiving("127.0.0.1:0", &folder, &["--keep"]);
        secret.map(|secret| command.env("HYTHE_SECRET", secret));
        let receiver = Receiver::spawn(command);
        let client_hello = [&[22, 3, 1, 1, 0, 1, 0, 0, 252, 3, 3][..], &[9; 32]].concat();
        let strangers: &[(&str, &[u8], [&str; 2])] = &[
            (
                "HTTP",
                b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
                ["not what `hythe send` does", "the sender has no secret"],
            ),
            (
                "SSH",
                b"SSH-2.0-OpenSSH_9.2\r\n",
                ["not what `hythe send` does", "the sender has no secret"],
            ),
            (
                "half of TLS",
                &client_hello,
                [
                    "the sender has a secret, and there is none here",
                    "closed the connection",
                ],
            ),
            (
                "nothing",
                b"",
                ["closed the connection", "closed the connection"],
            ),
            (
                "half a greeting",
                &encoded(&Message::Hello { version: 1 })[..7],
                ["closed the connection", "the sender has no secret"],
            ),
            (
                "another version",
                &encoded(&Message::Hello { version: 200 }),
                [
                    "version 200 of the protocol, and this is 1",
                    "the sender has no secret",
                ],
            ),
            (
                "no greeting",
                &encoded(&Message::Finish),
                ["no greeting", "the sender has no secret"],
            ),
        ];
        for (what, bytes, words) in strangers {
            let before = receiver.err().len();
            let mut stream = connect(receiver.socket());
            stream.write_all(bytes).unwrap();
            stream.shutdown(Shutdown::Write).unwrap();
            stream.read_to_end(&mut Vec::new()).ok();
            eventually(what, || receiver.err()[before..].contains('\n'));
            let said = receiver.err()[before..].to_owned();
            assert!(
                said.contains(words[usize::from(secret.is_some())]),
                "{what}: {said}"
            );
        }
        let file = place.write("from/file", "honest");
        let mut command = super::ends::sending(&[&file, &receiver.address]);
        secret.map(|secret| command.env("HYTHE_SECRET", secret));
        super::ends::finish(command).ok();
        place.holds("to/file", "honest");
        is_text(&receiver.err());
    }
}

#[test]
fn silence_is_borne_for_so_long_and_no_longer() {
    for (secret, begin) in [
        (false, &b""[..]),
        (false, &encoded(&Message::Hello { version: 1 })[..]),
        (
            false,
            &[encoded(&Message::Hello { version: 1 }), vec![0, 0, 0]].concat(),
        ),
        (true, b""),
        (true, &[22, 3, 1, 1, 0, 1, 0]),
    ] {
        let place = Place::new();
        let mut command = super::ends::receiving(
            "127.0.0.1:0",
            &place.path("to"),
            &["--stall", "2s", "--keep"],
        );
        if secret {
            command.env("HYTHE_SECRET", "secret");
        }
        let receiver = Receiver::spawn(command);
        let mut stream = connect(receiver.socket());
        stream.write_all(begin).unwrap();
        receiver.says("no progress");
        drop(stream);
        let file = place.write("from/file", "honest");
        let mut command = super::ends::sending(&[&file, &receiver.address]);
        if secret {
            command.env("HYTHE_SECRET", "secret");
        }
        super::ends::finish(command).ok();
    }
}

/// What a sender says that does not listen takes no memory without end.
#[test]
fn a_sender_that_does_not_listen_is_held_back() {
    let place = Place::new();
    let receiver = Receiver::start(&place.path("to"), &["--json", "--keep", "--overwrite"]);
    serves_quietly(&place, &receiver);
    let before = memory(&receiver);
    let mut wire = Wire::greeted(receiver.socket());
    wire.stream
        .set_write_timeout(Some(Duration::from_secs(3)))
        .unwrap();
    let mut id = 0;
    let held_back = loop {
        let mut bytes = Vec::new();
        for _ in 0..1000 {
            Message::Entry(super::wire::file(id, b"../x", 1)).encode(&mut bytes);
            id += 1;
        }
        if wire.raw(&bytes).is_err() {
            break true;
        }
        if id > 2_000_000 {
            break false;
        }
    };
    assert!(held_back, "{id} entries, and no answer was read");
    let after = memory(&receiver);
    assert!(
        after < before + 16 * MIB as u64 / 1024,
        "{before} KiB, {after} KiB"
    );
    drop(wire);
    serves_quietly(&place, &receiver);
}

fn serves_quietly(place: &Place, receiver: &Receiver) {
    let file = place.write("from/file", "honest");
    send(&[&file, &receiver.address]).ok();
}

/// The private memory of a receiver in KiB.
pub(super) fn memory(receiver: &Receiver) -> u64 {
    let path = format!("/proc/{}/smaps_rollup", receiver.child.id());
    let text = fs::read_to_string(path).unwrap();
    let private = text.lines().filter(|line| line.starts_with("Private_"));
    private
        .map(|line| {
            line.split_whitespace()
                .nth(1)
                .unwrap()
                .parse::<u64>()
                .unwrap()
        })
        .sum()
}
