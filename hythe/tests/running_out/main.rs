//! Running out, seen from outside: of a quota, of the disk, of the disk that
//! the accounts are on. The one who asks is told, what was there stays as it
//! was, others are served meanwhile, and when there is room again it is used.

#[path = "../common/mod.rs"]
mod common;

mod after;
mod disk;
mod quota;

use common::eventually;
use common::http::{Client, Reply, request};
use common::people::{People, basic};

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

const BYTES: &str = "Content-Type: application/offset+octet-stream";
const TUS: &str = "Tus-Resumable: 1.0.0";
const CHUNKED: &str = "Transfer-Encoding: chunked";

/// A request whose body comes in chunks, so that nobody knows how long it is.
fn chunked(method: &str, target: &str, fields: &[&str], body: &[u8]) -> Vec<u8> {
    let mut bytes = request(method, target, &[&[CHUNKED], fields].concat());
    for chunk in body.chunks(16 * KIB) {
        bytes.extend(format!("{:x}\r\n", chunk.len()).bytes());
        bytes.extend(chunk);
        bytes.extend(b"\r\n");
    }
    bytes.extend(b"0\r\n\r\n");
    bytes
}

/// A form with one file in it, which may replace what is there: its field, and
/// its body.
fn form(name: &str, content: &[u8]) -> (&'static str, Vec<u8>) {
    let head = format!(
        "--b\r\nContent-Disposition: form-data; name=\"overwrite\"\r\n\r\n1\r\n\
         --b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{name}\"\r\n\r\n"
    );
    let body = [head.as_bytes(), content, b"\r\n--b--\r\n"].concat();
    ("Content-Type: multipart/form-data; boundary=b", body)
}

/// What the server says before a body has been sent that it is told of.
fn expecting(people: &People, method: &str, target: &str, fields: &[&str]) -> Reply {
    let mut client = Client::new(people.address());
    let fields = [&["Expect: 100-continue"], fields].concat();
    client.send(&request(method, target, &fields));
    client.reply(method)
}

/// Something is refused for want of room, and all is as it was before.
fn leaves_all_as_it_was(people: &People, what: &str, attempt: impl FnOnce() -> Reply) {
    let before = (people.tree(), people.books());
    let kept = people.kept();
    let reply = attempt();
    assert_eq!(reply.status, 507, "{what}: {}", reply.text());
    assert!(reply.text().len() > 20, "{what}: {}", reply.text());
    eventually("what had come to be gone", || people.kept() == kept);
    assert!((people.tree(), people.books()) == before, "{what}");
}
