//! Files that change while they are sent.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::Stdio;

use super::common::{content, eventually};
use super::ends::{MIB, Place, Receiver, finish_child, names, send, sending};

/// What is said, and what happens to the file.
type Change = (&'static str, fn(&Path));

#[test]
fn a_file_that_changes_meanwhile_is_said_and_not_kept() {
    let changes: [Change; 4] = [
        ("it has changed while it was being sent", |file| {
            let mut file = fs::File::options().append(true).open(file).unwrap();
            file.write_all(b"more").unwrap();
        }),
        ("it has changed while it was being sent", |file| {
            let mut file = fs::File::options().write(true).open(file).unwrap();
            file.write_all(b"other").unwrap();
        }),
        ("it has changed while it was being sent", |file| {
            fs::File::options()
                .write(true)
                .open(file)
                .unwrap()
                .set_len(100)
                .unwrap();
        }),
        // What is sent is what was opened.
        ("", |file| fs::remove_file(file).unwrap()),
    ];
    for (words, change) in changes {
        let place = Place::new();
        let file = place.write("from/file", content(4 * MIB));
        place.write("from/next", "next");
        let receiver = Receiver::start(&place.path("to"), &["--keep"]);
        let rate = ["--limit-rate", "4M"];
        let child = sending(
            &[
                &rate[..],
                &[&file, &place.text("from/next"), &receiver.address],
            ]
            .concat(),
        )
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
        eventually("a part", || {
            let parts = fs::read_dir(place.path("to/.hythe-receive"));
            let mut parts = parts.into_iter().flatten().map_while(Result::ok);
            parts.any(|part| part.metadata().is_ok_and(|meta| meta.len() > MIB as u64))
        });
        change(Path::new(&file));
        let sent = finish_child(child);
        place.holds("to/next", "next");
        if words.is_empty() {
            sent.ok();
            place.holds("to/file", content(4 * MIB));
            continue;
        }
        sent.fails(1, &["file: ", words, "1 entry was not taken"]);
        receiver.says(words);
        assert_eq!(names(&place.path("to")), ["next"], "{words}");
        send(&[&file, &receiver.address]).ok();
        place.holds("to/file", fs::read(&file).unwrap());
    }
}

/// One that somebody else puts there in the meantime stays.
#[test]
fn what_comes_there_meanwhile_is_not_replaced() {
    for existing in [false, true] {
        let place = Place::new();
        let file = place.write("from/file", content(4 * MIB));
        if existing {
            place.write("to/file", "before");
        }
        let receiver = Receiver::start(&place.path("to"), &["--overwrite"]);
        let child = sending(&["--limit-rate", "4M", &file, &receiver.address])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        eventually("a part", || {
            let parts = fs::read_dir(place.path("to/.hythe-receive"));
            let mut parts = parts.into_iter().flatten().map_while(Result::ok);
            parts.any(|part| part.metadata().is_ok_and(|meta| meta.len() > MIB as u64))
        });
        place.write("to/new", "meanwhile");
        fs::rename(place.path("to/new"), place.path("to/file")).unwrap();
        finish_child(child).fails(1, &["file: ", "1 entry was not taken"]);
        receiver.wait().fails(1, &["file: "]);
        place.holds("to/file", "meanwhile");
    }
}
