//! Disks that are full or can only be read, in mount namespaces of their own.

use std::fs;

use super::common::content;
use super::common::mounts::{mount, with_mounts};
use super::ends::{MIB, Place, Receiver, send};

#[test]
fn a_full_disk_is_said_and_gone_on_with() {
    with_mounts("disk::mounted::full");
}

#[test]
fn a_folder_that_can_only_be_read_is_said() {
    with_mounts("disk::mounted::read_only");
}

/// Run by [`with_mounts`] only.
mod mounted {
    use super::*;

    #[test]
    #[ignore = "run by the test that gives it mounts of its own"]
    fn full() {
        let place = Place::new();
        mount(
            &["-t", "tmpfs", "-o", "size=8m", "small"],
            &place.path("to"),
        );
        let bytes = content(6 * MIB);
        let large = place.write("from/a large one", &bytes);
        let small = place.write("from/small", "small");
        let ballast = place.path("to/ballast");
        fs::write(&ballast, content(4 * MIB)).unwrap();
        let receiver = Receiver::start(&place.path("to"), &["--keep"]);
        send(&[&large, &small, &receiver.address]).fails(1, &["a large one: the disk is full"]);
        receiver.says("a large one: the disk is full");
        assert!(!place.path("to/a large one").exists());
        fs::remove_file(ballast).unwrap();
        // What there was room for is not sent again.
        let again = send(&["--json", &large, &small, &receiver.address]).ok();
        let offset = again.out.split("\"offset\":").nth(1).unwrap();
        assert!(!offset.starts_with("0,"), "{again:?}");
        place.holds("to/a large one", &bytes);
        place.holds("to/small", "small");
        receiver.interrupt().ok();
    }

    #[test]
    #[ignore = "run by the test that gives it mounts of its own"]
    fn read_only() {
        let place = Place::new();
        mount(
            &["-t", "tmpfs", "-o", "size=8m", "small"],
            &place.path("to"),
        );
        let there = place.write("to/there", "before");
        mount(&["-o", "remount,ro"], &place.path("to"));
        let receiver = Receiver::start(&place.path("to"), &["--keep", "--overwrite"]);
        let file = place.write("from/there", "other content");
        let new = place.write("from/new", "new");
        send(&[&file, &new, &receiver.address]).fails(
            1,
            &[
                "there: the disk can only be read",
                "new: the disk can only be read",
            ],
        );
        receiver.says("2 entries were not taken");
        mount(&["-o", "remount,rw"], &place.path("to"));
        send(&[&file, &new, &receiver.address]).ok();
        assert_eq!(fs::read(there).unwrap(), b"other content");
    }
}
