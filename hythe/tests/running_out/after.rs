//! Nothing runs out by itself: after uploads of every kind, however they
//! ended, the server is where it was before.

use std::thread;

use super::common::content;
use super::*;

/// Uploads of a wave, and how many clients share them.
const WAVE: usize = 300;
const CLIENTS: usize = 6;

/// What the memory of a server may grow by in one more wave, in KiB: of a
/// buffer for each upload, ten times as much would stay.
const MARGIN: u64 = 300;

/// Waves within which one must add nothing. The first fills what is kept for
/// later; where loops share the work, chance may fill it later.
const WAVES: usize = 6;

/// Sends the first half of a request, and then nothing more.
fn cut(people: &People, request: &[u8]) {
    let mut client = Client::new(people.address());
    client.send(&request[..request.len() / 2]);
}

fn is(reply: &Reply, wanted: &[u16]) {
    assert!(
        wanted.contains(&reply.status),
        "{}: {}",
        reply.status,
        reply.text()
    );
}

/// One upload of the kind that its number says.
fn upload(people: &People, number: usize) {
    let (ann, bob, eve) = (basic("ann"), basic("bob"), basic("eve"));
    let body = content(100_000 + number);
    let target = format!("/{}", number % 20);
    let name = &target[1..];
    let done = [201, 204];
    let whole = |method: &str, target: &str, fields: &[&str], body: &[u8]| {
        let length = format!("Content-Length: {}", body.len());
        let head = request(method, target, &[&[&*length], fields].concat());
        [&head, body].concat()
    };
    let begin = |length: usize| {
        let length = format!("Upload-Length: {length}");
        let reply = people.ask("POST", "/", &[TUS, &ann, &length], b"");
        is(&reply, &[201]);
        reply.field("Location").unwrap().to_owned()
    };
    let patch = [TUS, BYTES, &ann, "Upload-Offset: 0"];
    let end = |at: &str| is(&people.ask("DELETE", at, &[TUS, &ann], b""), &[204]);
    match number % 15 {
        // Finished.
        0 => is(&people.ask("PUT", &target, &[&ann], &body), &done),
        1 => is(
            &people.raw("PUT", &chunked("PUT", &target, &[&ann], &body)),
            &done,
        ),
        2 => {
            let (kind, body) = form(&format!("form{number}"), &body);
            is(&people.ask("POST", "/", &[&ann, kind], &body), &[201]);
        }
        3 => is(
            &people.ask("PATCH", &begin(body.len()), &patch, &body),
            &[204],
        ),
        // Cut.
        4 => cut(people, &whole("PUT", &target, &[&ann], &body)),
        5 => cut(people, &chunked("PUT", &target, &[&ann], &body)),
        6 => {
            let (kind, body) = form(name, &body);
            cut(people, &whole("POST", "/", &[&ann, kind], &body));
        }
        7 => {
            let at = begin(body.len());
            cut(people, &whole("PATCH", &at, &patch, &body));
            end(&at);
        }
        8 => {
            let length = format!("Upload-Length: {}", body.len());
            cut(
                people,
                &whole("POST", "/", &[TUS, BYTES, &ann, &length], &body),
            );
        }
        // Refused.
        9 => is(
            &people.raw("PUT", &chunked("PUT", &target, &[&bob], &body)),
            &[507],
        ),
        10 => is(&people.ask("PUT", &target, &[&bob], &body), &[507]),
        11 => {
            let (kind, body) = form("new", &body);
            is(&people.ask("POST", "/", &[&bob, kind], &body), &[507]);
        }
        12 => is(&people.ask("PUT", "/there", &[&eve], &body), &[403]),
        13 => is(&people.ask("PUT", &target, &[], &body), &[401]),
        _ => {
            let at = begin(body.len());
            let wrong = "Upload-Checksum: sha1 AAAAAAAAAAAAAAAAAAAAAAAAAAA=";
            let fields = [&patch[..], &[wrong]].concat();
            is(&people.ask("PATCH", &at, &fields, &body), &[460]);
            end(&at);
        }
    }
}

/// Its threads but those of the pool, which stay for the next work.
fn threads(people: &People) -> usize {
    let tasks = std::fs::read_dir(format!("/proc/{}/task", people.served.child.id())).unwrap();
    let names = tasks.map(|task| std::fs::read_to_string(task.unwrap().path().join("comm")));
    // One that has just ended has no name.
    names
        .filter(|name| {
            name.as_ref()
                .is_ok_and(|name| !name.starts_with("blocking-"))
        })
        .count()
}

fn wave(people: &People) {
    thread::scope(|scope| {
        for client in 0..CLIENTS {
            scope.spawn(move || {
                for number in (client..WAVE).step_by(CLIENTS) {
                    upload(people, number);
                }
            });
        }
    });
    eventually("nothing of any upload to be left", || {
        people.kept().is_empty()
    });
}

fn is_where_it_was(model: &[&str]) {
    let people = People::new(&[&["--log", "off"], model].concat());
    people.quota("bob", "50K");
    let put = people.ask("PUT", "/there", &[&basic("ann")], b"there");
    is(&put, &[201]);
    // Connections to the database are opened when they are needed.
    wave(&people);
    let rest = || (people.served.sockets(), threads(&people));
    let idle = {
        let mut last = rest();
        eventually("the server to be at rest", || {
            thread::sleep(std::time::Duration::from_millis(100));
            std::mem::replace(&mut last, rest()) == last
        });
        last
    };
    let descriptors = people.served.descriptors();
    let mut memory = people.served.private_memory();
    let mut grown = Vec::new();
    for _ in 0..WAVES {
        wave(&people);
        eventually("its sockets and threads to be as before", || {
            let now = rest();
            now.0 <= idle.0 && now.1 <= idle.1
        });
        eventually("its descriptors to be as before", || {
            people.served.descriptors() <= descriptors
        });
        let now = people.served.private_memory();
        grown.push(now.saturating_sub(memory));
        memory = now;
        if grown.last() <= Some(&MARGIN) {
            break;
        }
    }
    assert!(grown.last() <= Some(&MARGIN), "it grows by {grown:?} KiB");
    let files = people.tree().len();
    assert_eq!(people.books().len(), files);
    assert_eq!(people.used("bob"), 0);
}

#[test]
fn loops_on_cores_are_where_they_were() {
    is_where_it_was(&["--model", "cores"]);
}

#[test]
fn a_thread_for_each_leaves_none() {
    is_where_it_was(&["--model", "threads"]);
}
