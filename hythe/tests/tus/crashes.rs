//! A server that is killed (SIGKILL) in mid-upload and started again.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use crate::common::{content, eventually};
use crate::{BYTES, Quay, request};

const LENGTH: usize = 8 << 20;
const PIECE: usize = 64 * 1024;

/// Sends piece after piece, and notes what was acknowledged, until the server is
/// gone; all but the last byte at most, so that it stays an upload.
fn send(
    address: SocketAddr,
    upload: &str,
    mut at: usize,
    bytes: &[u8],
    acknowledged: &AtomicUsize,
) -> io::Result<()> {
    let mut stream = TcpStream::connect(address)?;
    while at < bytes.len() - 1 {
        let end = (bytes.len() - 1).min(at + PIECE);
        let offset = format!("Upload-Offset: {at}");
        stream.write_all(&request(
            "PATCH",
            upload,
            &[BYTES, &offset],
            &bytes[at..end],
        ))?;
        let mut reply = Vec::new();
        while !reply.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte)?;
            reply.extend_from_slice(&byte);
        }
        assert!(
            reply.starts_with(b"HTTP/1.1 204"),
            "{}",
            reply.escape_ascii()
        );
        at = end;
        acknowledged.store(at, Ordering::SeqCst);
    }
    stream.read_exact(&mut [0])
}

#[test]
fn twenty_crashes_lose_nothing_that_was_acknowledged() {
    let mut quay = Quay::new(&[]);
    let bytes = content(LENGTH);
    let upload = quay.begin("a", LENGTH);
    let part = quay.path(&upload[1..]);
    let mut at = 0;
    for round in 1..=20 {
        let acknowledged = AtomicUsize::new(at);
        let address = quay.address();
        thread::scope(|scope| {
            let (upload, bytes, acknowledged) = (&upload, &bytes, &acknowledged);
            let sender = scope.spawn(move || send(address, upload, at, bytes, acknowledged));
            // Somewhere in the middle of a piece, more often than not.
            let until = (LENGTH / 22 * round) as u64 + (round as u64 * 7919) % PIECE as u64;
            eventually("some bytes", || fs::metadata(&part).unwrap().len() >= until);
            quay.crash();
            assert!(sender.join().unwrap().is_err(), "all went through");
        });
        let acknowledged = acknowledged.into_inner();
        assert_eq!(quay.names(), [""; 0], "a partial file under its name");
        at = quay.offset(&upload);
        assert!(at >= acknowledged, "{at} after {acknowledged}");
        assert!(
            fs::read(&part).unwrap() == bytes[..at],
            "other bytes, round {round}"
        );
    }
    assert_eq!(quay.patch(&upload, at, &bytes[at..]).status, 204);
    assert!(fs::read(quay.path("a")).unwrap() == bytes);
    assert_eq!(quay.kept(), [""; 0]);
}

#[test]
fn a_crash_in_the_moment_of_placing_is_recognised() {
    let mut quay = Quay::new(&[]);
    let upload = quay.begin("a", 3);
    let id = upload.rsplit('/').next().unwrap().to_owned();
    let store = quay.path(".hythe/uploads");
    let saved = tempfile::tempdir().unwrap();
    let pieces = [format!("{id}.json"), format!("{id}.turn")];
    for piece in &pieces {
        fs::copy(store.join(piece), saved.path().join(piece)).unwrap();
    }
    assert_eq!(quay.patch(&upload, 0, b"abc").status, 204);
    // What a crash between the two leaves: the file in its place, and the notes
    // as they were, but for that it was about to be put there.
    let crashed = |placing: bool| {
        fs::remove_dir_all(store.join("finished")).unwrap();
        for piece in &pieces {
            fs::copy(saved.path().join(piece), store.join(piece)).unwrap();
        }
        let turn = store.join(&pieces[1]);
        let mut record = fs::read(&turn).unwrap();
        record[16] = u8::from(placing);
        fs::write(&turn, record).unwrap();
    };
    crashed(true);
    let reply = quay.head(&upload);
    assert_eq!((reply.status, crate::offset(&reply)), (200, 3), "{reply:?}");
    assert_eq!(reply.field("Content-Location"), Some("/a"));
    assert_eq!(quay.kept(), [""; 0]);
    crashed(true);
    assert_eq!(quay.patch(&upload, 3, b"").status, 204);
    crashed(true);
    quay.crash();
    assert_eq!(quay.offset(&upload), 3);
    assert_eq!(quay.kept(), [""; 0]);
    // Without data and without that, there is nothing.
    crashed(false);
    assert_eq!(quay.head(&upload).status, 404);
    assert_eq!(fs::read(quay.path("a")).unwrap(), b"abc");
}

#[test]
fn what_a_crash_leaves_of_a_beginning_does_no_harm() {
    let mut quay = Quay::new(&[]);
    let upload = quay.begin("a", 3);
    let id = upload.rsplit('/').next().unwrap().to_owned();
    let store = quay.path(".hythe/uploads");
    let piece = |suffix: &str| store.join(format!("{id}{suffix}"));
    let json = fs::read(piece(".json")).unwrap();
    // Cut short by a power cut; another program's.
    for text in [&b""[..], &json[..json.len() / 2], b"[]", b"\xff"] {
        fs::write(piece(".json"), text).unwrap();
        assert_eq!(quay.head(&upload).status, 404);
    }
    fs::write(piece(".json"), &json).unwrap();
    fs::write(piece(".json.new"), b"{").unwrap();
    fs::write(piece(".turn"), b"").unwrap();
    quay.crash();
    assert_eq!(quay.offset(&upload), 0);
    let length = "Upload-Length: 3";
    assert_eq!(quay.patch_with(&upload, 0, &[length], b"abc").status, 204);
    assert_eq!(fs::read(quay.path("a")).unwrap(), b"abc");
}
