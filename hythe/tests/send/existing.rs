//! What is there already.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

use super::common::content;
use super::ends::{MIB, Place, Receiver, Terminal, names, receiving, send, tree};

/// Sends what is in `from/all`, for `to/all`.
fn send_all(place: &Place, address: &str) -> super::ends::Said {
    send(&["--json", &place.text("from/all"), address])
}

fn prepared() -> Place {
    let place = Place::new();
    fs::create_dir(place.path("from/all")).unwrap();
    place.write("from/all/a", content(MIB));
    place.write("from/all/b", "bb");
    place.write("from/all/c", "ccc");
    place
}

#[test]
fn the_same_is_skipped() {
    let place = prepared();
    let receiver = Receiver::start(&place.path("to"), &["--keep"]);
    send_all(&place, &receiver.address).ok();
    let before = tree(&place.path("to"));
    let inode = fs::metadata(place.path("to/all/a")).unwrap().ino();
    let again = send_all(&place, &receiver.address).ok();
    assert_eq!(again.out.matches("\"skipped\"").count(), 3, "{again:?}");
    assert_eq!(again.out.matches("\"done\"").count(), 0, "{again:?}");
    assert_eq!(fs::metadata(place.path("to/all/a")).unwrap().ino(), inode);
    assert_eq!(tree(&place.path("to")), before);
    receiver.says("3 had been here");
    // What its owner has closed, no sender opens: neither a file nor a folder.
    fs::set_permissions(place.path("to/all/b"), fs::Permissions::from_mode(0o600)).unwrap();
    fs::set_permissions(place.path("to/all"), fs::Permissions::from_mode(0o700)).unwrap();
    let closed = tree(&place.path("to"));
    send_all(&place, &receiver.address).ok();
    assert_eq!(tree(&place.path("to")), closed);
    receiver.interrupt().ok();
}

#[test]
fn another_one_is_kept_and_that_is_said() {
    let place = prepared();
    fs::create_dir(place.path("to/all")).unwrap();
    place.write("to/all/b", "another");
    let receiver = Receiver::start(&place.path("to"), &[]);
    send_all(&place, &receiver.address).fails(
        1,
        &[
            "all/b: another one is there, and stays",
            "--overwrite",
            "1 entry was not taken",
        ],
    );
    let received = receiver.wait();
    received.fails(1, &["all/b: another one is there", "1 entry was not taken"]);
    place.holds("to/all/b", "another");
    place.holds("to/all/c", "ccc");
}

#[test]
fn overwriting_replaces_files_and_no_folder() {
    let place = prepared();
    fs::create_dir_all(place.path("to/all/c")).unwrap();
    place.write("to/all/b", "another");
    place.write("to/all/c/inner", "stays");
    let receiver = Receiver::start(&place.path("to"), &["--overwrite"]);
    send_all(&place, &receiver.address).fails(1, &["all/c: a folder is there"]);
    receiver.wait().fails(1, &["all/c: a folder is there"]);
    place.holds("to/all/b", "bb");
    place.holds("to/all/c/inner", "stays");
    assert_eq!(names(&place.path("to")), ["all"]);
}

#[test]
fn the_person_at_the_terminal_is_asked() {
    const QUESTION: &str = "replace it? [y/n/all/none]";
    for (answers, replaced) in [
        (&["y", "n", "yes"][..], [true, false, true]),
        (&["n", "what?", "no", "y"], [false, false, true]),
        (&["n", "all"], [false, true, true]),
        (&["y", "none"], [true, false, false]),
        (&["y", "\x04"], [true, false, false]),
    ] {
        let place = prepared();
        fs::create_dir(place.path("to/all")).unwrap();
        for name in ["a", "b", "c"] {
            place.write(&format!("to/all/{name}"), "another");
        }
        let mut terminal = Terminal::spawn(receiving("127.0.0.1:0", &place.path("to"), &[]));
        let address = terminal.address();
        let sender = std::thread::spawn({
            let from = place.text("from/all");
            move || send(&[&from, &address])
        });
        for (number, answer) in answers.iter().enumerate() {
            terminal.shows(QUESTION, number + 1);
            let end = if *answer == "\x04" { "" } else { "\r" };
            terminal.types(&format!("{answer}{end}"));
        }
        let kept = replaced.iter().filter(|it| !**it).count();
        let status = i32::from(kept > 0);
        assert_eq!(sender.join().unwrap().status, status, "{answers:?}");
        let (ended, shown) = terminal.wait();
        assert_eq!(ended, status, "{answers:?}: {shown}");
        assert_eq!(shown.matches(QUESTION).count(), answers.len(), "{shown}");
        for (name, replaced) in ["a", "b", "c"].iter().zip(replaced) {
            let there = fs::read(place.path(&format!("to/all/{name}"))).unwrap();
            assert_eq!(there != b"another", replaced, "{answers:?}: {name}");
        }
    }
}

/// A name cannot move the cursor of the one who is asked.
#[test]
fn the_question_is_fit_for_a_terminal() {
    let place = Place::new();
    place.write("from/esc\x1b]0;title\x07", "new");
    place.write("to/esc\x1b]0;title\x07", "old one");
    let mut terminal = Terminal::spawn(receiving("127.0.0.1:0", &place.path("to"), &[]));
    let address = terminal.address();
    let from = place.text("from/esc\x1b]0;title\x07");
    let sender = std::thread::spawn(move || send(&[&from, &address]));
    terminal.shows("replace it?", 1);
    terminal.types("n\r");
    sender.join().unwrap().fails(1, &["\\u{1b}]0;title"]);
    let (_, shown) = terminal.wait();
    assert!(
        !shown.contains("\x1b]0;") && !shown.contains('\x07'),
        "{shown:?}"
    );
}
