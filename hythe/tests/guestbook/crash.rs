//! `kill -9` while many write: what was acknowledged is there.

use std::collections::HashSet;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::*;
use common::Dice;

/// How often the guestbook is killed.
const KILLS: u64 = 40;

/// How many write at the same time.
const WRITERS: u64 = 6;

/// The longest that a life lasts after the first entry: dozens of commits.
const LIFE_MICROS: u64 = 60_000;

/// What the moments are drawn from, so that a failure can be had again.
const SEED: u64 = 0x6879_7468_6500_0011;

#[test]
fn what_was_acknowledged_survives_kill() {
    println!("seed {SEED:#x}");
    let mut dice = Dice(SEED);
    let mut acknowledged = HashSet::new();
    let mut folder = tempfile::tempdir().unwrap();
    let mut unheard = 0;
    for life in 0..KILLS {
        let book = Guestbook::over(folder);
        let visitor = Arc::new(Visitor::new(book.address));
        let begun = Arc::new(AtomicBool::new(false));
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let (visitor, begun) = (Arc::clone(&visitor), Arc::clone(&begun));
                thread::spawn(move || write(&visitor, &format!("{life}-{writer}"), &begun))
            })
            .collect();
        common::eventually("an entry", || begun.load(Ordering::Relaxed));
        let strike = Instant::now() + Duration::from_micros(dice.below(LIFE_MICROS));
        while Instant::now() < strike {
            thread::yield_now();
        }
        folder = book.kill();
        for writer in writers {
            acknowledged.extend(writer.join().unwrap());
        }
        unheard = check(folder.path(), &acknowledged, life);
    }
    let acknowledged = acknowledged.len();
    println!("{acknowledged} entries in {KILLS} lives, and {unheard} that nobody was told of");
}

/// Writes one entry after another until the connection dies; those that were
/// acknowledged.
fn write(visitor: &Visitor, name: &str, begun: &AtomicBool) -> Vec<String> {
    let mut acknowledged = Vec::new();
    let Ok(mut stream) = TcpStream::connect(visitor.address) else {
        return acknowledged;
    };
    stream.set_read_timeout(Some(common::PATIENCE)).unwrap();
    for number in 0.. {
        let text = format!("{name}-{number}");
        let body = format!("token={}&name=writer&text={text}", visitor.token);
        let length = format!("Content-Length: {}", body.len());
        let kind = "Content-Type: application/x-www-form-urlencoded";
        let mut bytes = request("POST", "/", &[&visitor.cookie(), &length, kind]);
        bytes.extend(body.as_bytes());
        if stream.write_all(&bytes).is_err() {
            break;
        }
        // The status is in the first bytes; they are acknowledgement enough.
        let mut reply = [0; 4096];
        match stream.read(&mut reply) {
            Ok(count @ 12..) => assert!(
                reply.starts_with(b"HTTP/1.1 303 "),
                "{}",
                reply[..count].escape_ascii()
            ),
            _ => break,
        }
        acknowledged.push(text);
        begun.store(true, Ordering::Relaxed);
    }
    acknowledged
}

/// How many are there whose writers were told nothing.
fn check(folder: &Path, acknowledged: &HashSet<String>, life: u64) -> usize {
    let db = database(folder);
    let sound: String = db
        .query_row("PRAGMA integrity_check", [], |row| row.get(0))
        .unwrap();
    assert_eq!(sound, "ok", "life {life}");
    let mut statement = db.prepare("SELECT text FROM entries").unwrap();
    let all: Vec<String> = statement
        .query_map([], |row| row.get(0))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    let there: HashSet<_> = all.iter().cloned().collect();
    assert_eq!(all.len(), there.len(), "life {life}: one is there twice");
    let lost: Vec<_> = acknowledged.difference(&there).collect();
    assert!(lost.is_empty(), "life {life}: {lost:?}");
    // At most one of each writer in each life.
    let unheard = all.len() - acknowledged.len();
    assert!(unheard as u64 <= (life + 1) * WRITERS, "life {life}");
    unheard
}
