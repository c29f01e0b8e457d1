//! Where receivers listen, and whom they serve.

use std::fs;
use std::process::Stdio;

use super::common::{content, eventually};
use super::ends::{MIB, Place, Receiver, finish_child, send, sending};

#[test]
fn by_unix_sockets_and_by_ipv6() {
    for place_word in ["[::1]:0", "unix"] {
        let place = Place::new();
        let word = match place_word {
            "unix" => format!("unix:{}", place.text("from/中 文.sock")),
            word => word.to_owned(),
        };
        for secret in [false, true] {
            let mut command = super::ends::receiving(&word, &place.path("to"), &["--overwrite"]);
            let file = place.write("from/file", format!("{word}, {secret}"));
            if secret {
                command.env("HYTHE_SECRET", "it");
            }
            let receiver = Receiver::spawn(command);
            let mut command = sending(&[&file, &receiver.address]);
            if secret {
                command.env("HYTHE_SECRET", "it");
            }
            super::ends::finish(command).ok();
            receiver.wait().ok();
            place.holds("to/file", format!("{word}, {secret}"));
            assert!(!place.path("from/中 文.sock").exists(), "it stays behind");
        }
    }
}

/// Only where others can read along is one warned.
#[test]
fn who_receives_from_everybody_without_a_secret_is_told() {
    let place = Place::new();
    let receiver = Receiver::at("0.0.0.0:0", &place.path("to"), &[]);
    receiver.says("see --secret");
    let mut command = super::ends::receiving("0.0.0.0:0", &place.path("to"), &[]);
    command.env("HYTHE_SECRET", "it");
    let receiver = Receiver::spawn(command);
    assert!(!receiver.err().contains("--secret"));
    let receiver = Receiver::start(&place.path("to"), &[]);
    assert!(!receiver.err().contains("--secret"));
}

#[test]
fn a_place_that_is_taken_or_no_folder_is_said() {
    let place = Place::new();
    let receiver = Receiver::start(&place.path("to"), &[]);
    let receive = |at: &str, folder: &str| {
        super::ends::finish(super::ends::receiving(at, &place.path(folder), &[]))
    };
    receive(&receiver.address, "to").fails(1, &[&receiver.address, "in use"]);
    receive("127.0.0.1:0", "canary/file").fails(1, &["cannot receive into", "canary/file"]);
    place.sings();
}

#[test]
fn one_sender_after_another() {
    let place = Place::new();
    let receiver = Receiver::start(&place.path("to/new/folder"), &["--keep"]);
    let waiting: Vec<_> = (0..6)
        .map(|number| {
            let file = place.write(&format!("from/{number}"), content(MIB + number));
            let address = receiver.address.clone();
            std::thread::spawn(move || send(&[&file, &address]).ok())
        })
        .collect();
    waiting
        .into_iter()
        .for_each(|sender| drop(sender.join().unwrap()));
    for number in 0..6 {
        place.holds(&format!("to/new/folder/{number}"), content(MIB + number));
    }
    // What one of them could not bring is said, and no end.
    place.write("to/new/folder/1", "another");
    send(&[&place.text("from/1"), &receiver.address]).fails(1, &["another one is there"]);
    receiver.says("1 entry was not taken");
    send(&[&place.text("from/2"), &receiver.address]).ok();
    let ended = receiver.interrupt().ok();
    assert_eq!(ended.err.matches("received ").count(), 8, "{ended:?}");
}

/// The sender tries until somebody listens again, and goes on where it was.
#[test]
fn a_receiver_that_is_started_again_gets_the_rest() {
    let place = Place::new();
    let bytes = content(12 * MIB);
    let file = place.write("from/file", &bytes);
    let path = format!("unix:{}", place.text("from/socket"));
    let mut receiver = Receiver::at(&path, &place.path("to"), &[]);
    let child = sending(&["--json", "--limit-rate", "8M", &file, &path])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    eventually("a part", || {
        let parts = fs::read_dir(place.path("to/.hythe-receive"));
        let mut parts = parts.into_iter().flatten().map_while(Result::ok);
        parts.any(|part| {
            part.metadata()
                .is_ok_and(|meta| meta.len() > 2 * MIB as u64)
        })
    });
    receiver.kill();
    let receiver = Receiver::at(&path, &place.path("to"), &[]);
    let sent = finish_child(child).ok();
    receiver.wait().ok();
    place.holds("to/file", &bytes);
    assert!(sent.out.contains("\"retrying\""), "{sent:?}");
    assert!(sent.err.contains("trying again in"), "{sent:?}");
    let offset = sent.out.rsplit("\"offset\":").next().unwrap();
    assert!(
        !offset.starts_with("0,") && !offset.starts_with("0}"),
        "{sent:?}"
    );
    assert!(!place.path("to/.hythe-receive").exists());
}

/// A sender that is slow on purpose is not taken for dead.
#[test]
fn a_slow_sender_is_no_dead_one() {
    let place = Place::new();
    let file = place.write("from/file", content(MIB + MIB / 2));
    let receiver = Receiver::start(&place.path("to"), &["--stall", "6s"]);
    send(&[
        "--limit-rate",
        "60K",
        "--retries",
        "0",
        "--stall",
        "6s",
        &file,
        &receiver.address,
    ])
    .ok();
    receiver.wait().ok();
    place.holds("to/file", content(MIB + MIB / 2));
}
