//! Two who write to one upload.

use std::fs;
use std::io::Write as _;
use std::thread;

use crate::common::http::Client;
use crate::common::{content, eventually};
use crate::{BYTES, Quay, filename};

/// Begins to send, and waits until it is in the file.
fn begin(quay: &Quay, upload: &str, at: usize, bytes: &[u8], length: usize) -> Client {
    let fields = [
        BYTES,
        "Tus-Resumable: 1.0.0",
        &format!("Upload-Offset: {at}"),
        &format!("Content-Length: {length}"),
    ];
    let mut client = Client::new(quay.address());
    // In one packet: what comes in several, the server may wait for together.
    let head = crate::common::http::request("PATCH", upload, &fields);
    client.send(&[&head, bytes].concat());
    let part = quay.path(&upload[1..]);
    let end = (at + bytes.len()) as u64;
    eventually("the bytes", || fs::metadata(&part).unwrap().len() == end);
    client
}

fn the_later_one_wins(arguments: &[&str]) {
    let quay = Quay::new(arguments);
    let upload = quay.begin("a", 3000);
    let mut first = begin(&quay, &upload, 0, &[b'1'; 1000], 2000);
    // The offset told is one at which it can be gone on.
    assert_eq!(quay.offset(&upload), 1000);
    let mut second = begin(&quay, &upload, 1000, &[b'2'; 500], 2000);
    // What the earlier one still sends is not for this upload any more.
    first.stream().write_all(&[b'1'; 1000]).ok();
    let reply = first.reply("PATCH");
    assert_eq!(reply.status, 423, "{reply:?}");
    assert_eq!(quay.offset(&upload), 1500);
    second.stream().write_all(&[b'2'; 1500]).ok();
    assert_eq!(second.reply("PATCH").status, 423);
    assert_eq!(quay.patch(&upload, 1500, &[b'3'; 1500]).status, 204);
    let expected = [vec![b'1'; 1000], vec![b'2'; 500], vec![b'3'; 1500]].concat();
    assert!(fs::read(quay.path("a")).unwrap() == expected);
}

#[test]
fn the_later_one_wins_with_a_loop_per_core() {
    the_later_one_wins(&[]);
}

#[test]
fn the_later_one_wins_with_a_thread_per_connection() {
    the_later_one_wins(&["--model", "threads"]);
}

#[test]
fn the_later_one_wins_with_a_process_per_connection() {
    the_later_one_wins(&["--model", "forks"]);
}

#[test]
fn many_at_once_never_mix_their_bytes() {
    // Each sends the same file in small pieces from wherever it stands, as ten
    // tabs of a page would. Whatever happens, the file is the file.
    const LENGTH: usize = 200_000;
    for model in ["cores", "forks"] {
        let quay = Quay::new(&["--model", model]);
        let upload = quay.begin("a", LENGTH);
        let bytes = content(LENGTH);
        thread::scope(|scope| {
            for _ in 0..10 {
                scope.spawn(|| {
                    loop {
                        let reply = quay.head(&upload);
                        if reply.status == 423 {
                            continue;
                        }
                        let at = crate::offset(&reply);
                        if at == LENGTH {
                            break;
                        }
                        let end = LENGTH.min(at + 20_000);
                        let reply = quay.patch(&upload, at, &bytes[at..end]);
                        assert!(matches!(reply.status, 204 | 409 | 413 | 423), "{reply:?}");
                    }
                });
            }
        });
        assert!(fs::read(quay.path("a")).unwrap() == bytes);
        assert_eq!(quay.kept(), [""; 0]);
    }
}

#[test]
fn an_upload_that_is_given_up_ends_who_writes() {
    let quay = Quay::new(&[]);
    let upload = quay.begin("a", 3000);
    let mut first = begin(&quay, &upload, 0, &[b'1'; 1000], 2000);
    assert_eq!(quay.ask("DELETE", &upload, &[], b"").status, 204);
    first.stream().write_all(&[b'1'; 1000]).ok();
    let reply = first.reply("PATCH");
    assert!(matches!(reply.status, 404 | 423), "{reply:?}");
    assert_eq!(quay.kept(), [""; 0]);
    assert_eq!(quay.names(), [""; 0]);
}

#[test]
fn two_uploads_of_one_name_are_two() {
    let quay = Quay::new(&[]);
    let fields = ["Upload-Length: 3", "If-None-Match: *", &filename("a")];
    let (one, two) = (quay.create(&fields), quay.create(&fields));
    assert_eq!(quay.patch(&one, 0, b"one").status, 204);
    assert_eq!(quay.patch(&two, 0, b"two").status, 412);
    assert_eq!(fs::read(quay.path("a")).unwrap(), b"one");
    assert_eq!(quay.ask("DELETE", &two, &[], b"").status, 204);
    assert_eq!(quay.kept(), [""; 0]);
}
