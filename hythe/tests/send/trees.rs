//! What arrives is what was sent.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{FileExt as _, MetadataExt as _, PermissionsExt as _, symlink};
use std::path::Path;
use std::time::{Duration, SystemTime};

use super::common::{content, difficult_tree};
use super::ends::{MIB, Place, Receiver, finish, names, same_tree, send, sending, tree};

#[test]
fn a_file_arrives_and_both_ends_are_done() {
    let place = Place::new();
    let bytes = content(3 * MIB + 17);
    let file = place.write("from/a.bin", &bytes);
    let receiver = Receiver::start(&place.path("to"), &[]);
    let sent = send(&[&file, &receiver.address]).ok();
    assert_eq!((sent.out.as_str(), sent.err.as_str()), ("", ""));
    let received = receiver.wait().ok();
    assert!(
        received.err.contains("received 1 file from 127.0.0.1:"),
        "{received:?}"
    );
    assert!(received.err.contains("3.0 MiB"), "{received:?}");
    let name = Path::new("a.bin");
    let (sent, there) = (tree(&place.path("from")), tree(&place.path("to")));
    assert_eq!(there.len(), 2);
    assert_eq!(sent[name], there[name]);
}

/// The folder's own time is not sent when its file is named.
#[test]
fn several_files_and_folders_arrive_at_once() {
    let place = Place::new();
    fs::create_dir(place.path("from/folder")).unwrap();
    let (one, two) = (place.write("from/one", "1"), place.write("from/two", ""));
    place.write("from/folder/three", "333");
    let receiver = Receiver::start(&place.path("to"), &["--quiet", "--json"]);
    let sent = send(&[
        "--json",
        &one,
        &two,
        &place.text("from/folder"),
        &receiver.address,
    ])
    .ok();
    assert_eq!(sent.out.matches("\"done\"").count(), 3, "{sent:?}");
    receiver.wait().ok();
    assert_eq!(names(&place.path("to")), ["folder", "one", "two"]);
    place.holds("to/one", "1");
    place.holds("to/two", "");
    place.holds("to/folder/three", "333");
}

/// Sets the time of a file or folder, with nanoseconds.
fn set_time(path: &Path, time: SystemTime) {
    fs::File::open(path).unwrap().set_modified(time).unwrap();
}

#[test]
fn a_tree_arrives_with_its_names_modes_times_and_holes() {
    let place = Place::new();
    let root = place.path("from/中文 树");
    difficult_tree(&root);
    fs::create_dir_all(root.join("空/空")).unwrap();
    let sparse = fs::File::create(root.join("sparse")).unwrap();
    sparse.set_len(200 * MIB as u64 + 5).unwrap();
    sparse
        .write_all_at(&content(MIB), 100 * MIB as u64 + 3)
        .unwrap();
    fs::File::create(root.join("all hole"))
        .unwrap()
        .set_len(64 * MIB as u64)
        .unwrap();
    fs::write(root.join("zeros on the disk"), vec![0; 3 * MIB]).unwrap();
    fs::write(root.join("empty file"), "").unwrap();
    for (name, mode) in [
        ("plain.txt", 0o600),
        (".hidden", 0o755),
        ("sparse", 0o444),
        ("空", 0o700),
    ] {
        fs::set_permissions(root.join(name), fs::Permissions::from_mode(mode)).unwrap();
    }
    let before = SystemTime::UNIX_EPOCH - Duration::new(86_400 * 365, 7);
    let late = SystemTime::UNIX_EPOCH + Duration::new(4_102_444_800, 999_999_999);
    set_time(&root.join(".hidden"), before);
    set_time(&root.join("sparse"), late);
    set_time(
        &root.join("空/空"),
        SystemTime::UNIX_EPOCH + Duration::new(1, 123_456_789),
    );
    set_time(&root.join("空"), before);
    set_time(&root, late);
    let receiver = Receiver::start(&place.path("to"), &[]);
    send(&[root.to_str().unwrap(), &receiver.address]).ok();
    receiver.wait().ok();
    assert_eq!(names(&place.path("to")), ["中文 树"]);
    let there = place.path("to/中文 树");
    same_tree(&root, &there);
    for (name, most) in [
        ("sparse", 3 * MIB as u64),
        ("all hole", 0),
        ("zeros on the disk", 0),
    ] {
        let used = fs::metadata(there.join(name)).unwrap().blocks() * 512;
        assert!(used <= most, "{name}: {used}");
    }
}

#[test]
fn the_folder_one_is_in_has_a_name() {
    let place = Place::new();
    fs::create_dir(place.path("from/this")).unwrap();
    place.write("from/this/file", "it");
    for (word, there) in [(".", "to/this/file"), ("..", "to/from/this/file")] {
        let receiver = Receiver::start(&place.path("to"), &[]);
        let mut command = sending(&[word, &receiver.address]);
        command.current_dir(place.path("from/this"));
        finish(command).ok();
        receiver.wait().ok();
        place.holds(there, "it");
    }
    let receiver = Receiver::start(&place.path("to"), &[]);
    send(&["/", &receiver.address]).fails(1, &["the root folder has no name"]);
}

#[test]
fn links_and_what_is_no_file_are_left_out_and_said() {
    let place = Place::new();
    let folder = place.path("from/folder");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("file"), "it").unwrap();
    symlink(place.path("canary/file"), folder.join("link")).unwrap();
    symlink("nowhere", folder.join("esc\x1b[2Jape")).unwrap();
    symlink(&folder, folder.join("loop")).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(folder.join("socket")).unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, folder.join("fifo"), 0o600.into()).unwrap();
    let receiver = Receiver::start(&place.path("to"), &[]);
    let words = [
        "folder/link is left out: it is a link",
        "folder/fifo is left out: it is no file",
    ];
    send(&[folder.to_str().unwrap(), &receiver.address])
        .fails(1, &[&words[..], &["5 entries were left out"]].concat());
    receiver.wait().ok();
    assert_eq!(names(&place.path("to/folder")), ["file"]);
    place.sings();
}

/// A link that is named is what it leads to, by its own name.
#[test]
fn a_link_that_is_named_is_followed() {
    let place = Place::new();
    place.write("from/file", "it");
    symlink("file", place.path("from/link")).unwrap();
    let receiver = Receiver::start(&place.path("to"), &[]);
    send(&[&place.text("from/link"), &receiver.address]).ok();
    receiver.wait().ok();
    assert!(
        fs::symlink_metadata(place.path("to/link"))
            .unwrap()
            .is_file()
    );
    place.holds("to/link", "it");
}

#[test]
fn what_is_not_there_or_not_ours_to_read_is_said() {
    let place = Place::new();
    let receiver = Receiver::start(&place.path("to"), &["--keep"]);
    let missing = place.text("from/missing");
    send(&[&missing, &receiver.address]).fails(3, &[&missing]);
    send(&[&receiver.address]).fails(2, &["FILE"]);
    // It is an error of this end if nobody is there, and nobody has been.
    let file = place.write("from/file", "it");
    let gone = receiver.address.clone();
    receiver.interrupt().ok();
    send(&[&file, &gone]).fails(5, &["nothing listens there", "hythe receive"]);
    let unix = format!("unix:{}", place.text("from/none.sock"));
    send(&[&file, &unix]).fails(5, &["from/none.sock"]);
    send(&[&file, "nowhere.invalid:9"]).fails(5, &["nowhere.invalid"]);
}

/// Names that the receiver keeps for itself are neither sent nor taken.
#[test]
fn a_part_of_another_transfer_is_not_sent() {
    let place = Place::new();
    let folder = place.path("from/folder");
    fs::create_dir_all(folder.join(".hythe-receive")).unwrap();
    fs::write(folder.join(".hythe-receive/part"), "part").unwrap();
    let mut file = fs::File::create(folder.join("file")).unwrap();
    file.write_all(b"it").unwrap();
    let receiver = Receiver::start(&place.path("to"), &[]);
    send(&[folder.to_str().unwrap(), &receiver.address]).fails(
        1,
        &["where hythe keeps what it receives", "1 entry was left out"],
    );
    receiver.wait().ok();
    assert_eq!(names(&place.path("to/folder")), ["file"]);
}
