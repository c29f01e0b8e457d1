//! Many files, and many senders.

use std::fs;
use std::net::Shutdown;

use hythe_wire::transfer::MOST_OPEN;

use super::common::{connect, eventually};
use super::ends::{Place, Receiver, same_tree, send};
use super::senders::memory;
use super::wire::Wire;

/// As many as may be open at once, one less and one more.
#[test]
fn as_many_entries_as_may_be_open() {
    let place = Place::new();
    let folder = place.path("from/folder");
    fs::create_dir(&folder).unwrap();
    let (mut files, mut from) = (0, 0);
    let receiver = Receiver::start(&place.path("to"), &["--keep"]);
    for count in [MOST_OPEN - 1, MOST_OPEN, MOST_OPEN + 1, 2 * MOST_OPEN + 1] {
        let named: Vec<_> = (from..from + count)
            .map(|number| {
                let file = folder.join(number.to_string());
                fs::write(&file, number.to_string()).unwrap();
                file.to_str().unwrap().to_owned()
            })
            .collect();
        from += count;
        files += count;
        let words: Vec<_> = named
            .iter()
            .map(String::as_str)
            .chain([&*receiver.address])
            .collect();
        send(&words).ok();
    }
    let there = fs::read_dir(place.path("to")).unwrap().count();
    assert_eq!(there, files);
    // And now in their folder, none of them anew.
    send(&[folder.to_str().unwrap(), &receiver.address]).ok();
    same_tree(&folder, &place.path("to/folder"));
    receiver.interrupt().ok();
}

/// Deeper folders than these are not sent.
#[test]
fn folders_that_are_too_deep_are_left_out() {
    let place = Place::new();
    let deepest = format!("from/deep/{}", "d/".repeat(128));
    fs::create_dir_all(place.path(&deepest).join("too deep")).unwrap();
    fs::write(place.path(&deepest).join("../file"), "deep").unwrap();
    let receiver = Receiver::start(&place.path("to"), &[]);
    send(&[&place.text("from/deep"), &receiver.address]).fails(
        1,
        &[
            "too deep is left out: it is too deep",
            "1 entry was left out",
        ],
    );
    receiver.wait().ok();
    place.holds(&format!("to/deep/{}file", "d/".repeat(127)), "deep");
    assert!(place.path(&deepest.replacen("from", "to", 1)).exists());
}

#[test]
fn a_hundred_senders_leave_nothing_behind() {
    let place = Place::new();
    let receiver = Receiver::start(&place.path("to"), &["--keep", "--json", "--overwrite"]);
    let descriptors = || {
        let path = format!("/proc/{}/fd", receiver.child.id());
        fs::read_dir(path).unwrap().count()
    };
    let round = |number: usize| {
        let file = place.write("from/file", format!("this is number {number}"));
        send(&[&file, &receiver.address]).ok();
        match number % 4 {
            0 => {
                let mut wire = Wire::greeted(receiver.socket());
                wire.entry(0, b"part", 1 << 20);
                wire.hears("Want");
                wire.block(0, 0, &vec![1; 512 * 1024]);
                wire.hears("Ack");
            }
            1 => connect(receiver.socket()).shutdown(Shutdown::Both).unwrap(),
            2 => {
                let mut wire = Wire::greeted(receiver.socket());
                wire.raw(&[0xff; 100]).ok();
            }
            _ => {}
        }
    };
    (0..8).for_each(round);
    let (open, before) = (descriptors(), memory(&receiver));
    (8..108).for_each(round);
    eventually("all descriptors are closed", || descriptors() <= open);
    let after = memory(&receiver);
    assert!(after < before + 2048, "{before} KiB, {after} KiB");
    place.holds("to/file", "this is number 107");
    place.sings();
}
