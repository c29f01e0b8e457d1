//! Parts of files (RFC 9110 §14).

use std::ops::Range;

use super::common::content;
use super::common::http::{Client, Reply, get};
use super::connection::each_way;
use super::serve;

const SIZE: u64 = 1000;

enum Expected {
    /// All of it.
    Whole,
    /// 416.
    None,
    /// One part.
    Part(Range<u64>),
    /// Several.
    Parts(&'static [Range<u64>]),
}

use Expected::{None as Nothing, Part, Parts, Whole};

#[test]
fn ranges_are_answered_as_the_standard_says() {
    let bytes = content(SIZE as usize);
    let (_folder, served) = serve(&[("a.bin", &bytes)], &[]);
    let table = [
        ("bytes=0-0", Part(0..1)),
        ("bytes=0-999", Part(0..1000)),
        ("bytes=0-1000", Part(0..1000)),
        ("bytes=10-19", Part(10..20)),
        ("bytes=999-999", Part(999..1000)),
        ("bytes=999-", Part(999..1000)),
        ("bytes=0-", Part(0..1000)),
        ("bytes=500-", Part(500..1000)),
        ("bytes=-1", Part(999..1000)),
        ("bytes=-1000", Part(0..1000)),
        ("bytes=-1001", Part(0..1000)),
        ("bytes=0010-0019", Part(10..20)),
        ("BYTES=10-19", Part(10..20)),
        ("bytes= 10-19 ", Part(10..20)),
        ("bytes=,10-19,", Part(10..20)),
        // No overflow.
        ("bytes=10-18446744073709551615", Part(10..1000)),
        ("bytes=10-99999999999999999999999999", Part(10..1000)),
        ("bytes=-18446744073709551615", Part(0..1000)),
        ("bytes=-99999999999999999999999999", Part(0..1000)),
        ("bytes=0-9223372036854775807", Part(0..1000)),
        ("bytes=18446744073709551615-", Nothing),
        ("bytes=18446744073709551616-", Nothing),
        ("bytes=99999999999999999999-99999999999999999999", Nothing),
        // Nothing of it is there.
        ("bytes=1000-", Nothing),
        ("bytes=1000-2000", Nothing),
        ("bytes=-0", Nothing),
        ("bytes=-0,1000-", Nothing),
        // Malformed, or not bytes.
        ("", Whole),
        ("bytes", Whole),
        ("bytes=", Whole),
        ("bytes=,", Whole),
        ("bytes=-", Whole),
        ("bytes=a-b", Whole),
        ("bytes=9-5", Whole),
        ("bytes=5", Whole),
        ("bytes=+1-5", Whole),
        ("bytes=1-+5", Whole),
        ("bytes=--5", Whole),
        ("bytes=1--5", Whole),
        ("bytes=1-5;", Whole),
        ("bytes=0x1-0x5", Whole),
        ("bytes=0-1,x", Whole),
        ("bytes:0-1", Whole),
        ("bytes 0-1", Whole),
        ("lines=0-1", Whole),
        ("none", Whole),
        // Several: joined where they touch, dropped where there is nothing.
        ("bytes=0-9,20-29", Parts(&[0..10, 20..30])),
        ("bytes=20-29, 0-9", Parts(&[20..30, 0..10])),
        ("bytes=0-0,-1", Parts(&[0..1, 999..1000])),
        ("bytes=0-9,5-14", Part(0..15)),
        ("bytes=0-9,10-19", Part(0..20)),
        ("bytes=0-,0-,0-,0-", Part(0..1000)),
        ("bytes=0-9,1000-,20-29", Parts(&[0..10, 20..30])),
        ("bytes=0-9,1000-", Part(0..10)),
        ("bytes=50-59,0-9,5-14", Parts(&[0..15, 50..60])),
    ];
    for (range, expected) in table {
        let field = format!("Range: {range}");
        let reply = get(served.address("http"), "/a.bin", &[&field]);
        match expected {
            Whole => {
                assert_eq!(reply.status, 200, "{range}");
                assert_eq!(reply.field("Content-Range"), None, "{range}");
                assert_eq!(reply.body, bytes, "{range}");
            }
            Nothing => {
                assert_eq!(reply.status, 416, "{range}");
                assert_eq!(
                    reply.field("Content-Range"),
                    Some("bytes */1000"),
                    "{range}"
                );
            }
            Part(part) => {
                assert_eq!(reply.status, 206, "{range}");
                let told = reply.field("Content-Range").map(str::to_owned);
                assert_eq!(told, Some(content_range(&part)), "{range}");
                assert_eq!(reply.body, slice(&bytes, &part), "{range}");
            }
            Parts(parts) => {
                assert_eq!(reply.status, 206, "{range}");
                assert_eq!(reply.field("Content-Range"), None, "{range}");
                let expected: Vec<_> = parts
                    .iter()
                    .map(|part| (content_range(part), slice(&bytes, part).to_vec()))
                    .collect();
                assert_eq!(parse_parts(&reply), expected, "{range}");
            }
        }
        for name in ["ETag", "Last-Modified", "Accept-Ranges"] {
            assert_eq!(
                reply.field(name).is_some(),
                reply.status != 416,
                "{range} {name}"
            );
        }
    }
}

fn content_range(part: &Range<u64>) -> String {
    format!("bytes {}-{}/{SIZE}", part.start, part.end - 1)
}

fn slice<'a>(bytes: &'a [u8], part: &Range<u64>) -> &'a [u8] {
    &bytes[part.start as usize..part.end as usize]
}

/// The parts of a `multipart/byteranges` reply (RFC 2046 §5.1): each part's
/// range and bytes.
fn parse_parts(reply: &Reply) -> Vec<(String, Vec<u8>)> {
    let boundary = reply
        .field("Content-Type")
        .unwrap()
        .strip_prefix("multipart/byteranges; boundary=")
        .unwrap();
    assert!((1..=70).contains(&boundary.len()));
    let mut rest = reply.body.as_slice();
    let mut parts = Vec::new();
    let opening = format!("\r\n--{boundary}\r\nContent-Type: application/octet-stream\r\n");
    while let Some(after) = rest.strip_prefix(opening.as_bytes()) {
        let end = after
            .windows(4)
            .position(|window| window == b"\r\n\r\n")
            .unwrap();
        let range = std::str::from_utf8(&after[..end]).unwrap();
        let range = range.strip_prefix("Content-Range: ").unwrap();
        let (_, numbers) = range.split_once(' ').unwrap();
        let (numbers, _) = numbers.split_once('/').unwrap();
        let (first, last) = numbers.split_once('-').unwrap();
        let length = last.parse::<usize>().unwrap() + 1 - first.parse::<usize>().unwrap();
        let (bytes, next) = after[end + 4..].split_at(length);
        parts.push((range.to_owned(), bytes.to_vec()));
        rest = next;
    }
    assert_eq!(rest, format!("\r\n--{boundary}--\r\n").as_bytes());
    parts
}

#[test]
fn more_than_sixteen_ranges_are_a_request_for_the_whole() {
    let bytes = content(SIZE as usize);
    let (_folder, served) = serve(&[("a.bin", &bytes)], &[]);
    let ask = |count: u64| {
        let ranges: Vec<_> = (0..count).map(|at| format!("{0}-{0}", at * 2)).collect();
        let field = format!("Range: bytes={}", ranges.join(","));
        get(served.address("http"), "/a.bin", &[&field])
    };
    assert_eq!(parse_parts(&ask(16)).len(), 16);
    let whole = ask(17);
    assert_eq!((whole.status, whole.body), (200, bytes.clone()));
    let whole = ask(1000);
    assert_eq!((whole.status, whole.body), (200, bytes.clone()));
    let same = format!("Range: bytes={}", vec!["0-"; 1000].join(","));
    let whole = get(served.address("http"), "/a.bin", &[&same]);
    assert_eq!((whole.status, whole.body), (200, bytes));
}

#[test]
fn nothing_of_an_empty_file_can_be_had() {
    let (_folder, served) = serve(&[("empty", b"")], &[]);
    for range in ["bytes=0-", "bytes=0-0", "bytes=-1", "bytes=-0", "bytes=5-"] {
        let reply = get(
            served.address("http"),
            "/empty",
            &[&format!("Range: {range}")],
        );
        assert_eq!(reply.status, 416, "{range}");
        assert_eq!(reply.field("Content-Range"), Some("bytes */0"), "{range}");
    }
}

#[test]
fn ranges_are_for_get_and_for_files() {
    let (_folder, served) = serve(&[("a.bin", b"a"), ("folder/b", b"b")], &[]);
    for (method, target, status) in [
        ("HEAD", "/a.bin", 200),
        ("OPTIONS", "/a.bin", 204),
        ("POST", "/a.bin", 405),
        ("GET", "/", 200),
        ("GET", "/?zip", 200),
        ("GET", "/folder", 308),
        ("GET", "/nothing", 404),
    ] {
        let reply = Client::new(served.address("http")).ask(method, target, &["Range: bytes=0-0"]);
        assert_eq!(reply.status, status, "{method} {target}");
        assert_eq!(reply.field("Content-Range"), None, "{method} {target}");
    }
}

/// Each class of offset: around what is sent from memory, around the windows
/// that the file is sent in, and around both ends.
#[test]
fn a_download_resumed_anywhere_is_the_same_file() {
    const SIZE: usize = 3_000_000;
    let bytes = content(SIZE);
    each_way(|way| {
        let (_folder, served) = serve(&[("big.bin", &bytes)], way);
        let mut client = Client::new(served.address("http"));
        let etag = client.ask("HEAD", "/big.bin", &[]);
        let condition = format!("If-Range: {}", etag.field("ETag").unwrap());
        let around = |at: usize| [at - 1, at, at + 1];
        let offsets = [
            &[0, 1][..],
            &around(4096),
            &around(64 * 1024),
            &around(1024 * 1024),
            &around(2 * 1024 * 1024),
            &around(SIZE - 64 * 1024),
            &[SIZE - 2, SIZE - 1],
        ]
        .concat();
        for offset in offsets {
            let range = format!("Range: bytes={offset}-");
            let rest = client.ask("GET", "/big.bin", &[&range, &condition]);
            assert_eq!(rest.status, 206, "{way:?} {offset}");
            assert!(rest.body == bytes[offset..], "{way:?} {offset}");
            let range = format!("Range: bytes=0-{offset}");
            let part = client.ask("GET", "/big.bin", &[&range, &condition]);
            assert!(part.body == bytes[..=offset], "{way:?} {offset}");
        }
        let range = format!("Range: bytes=0-{},{}-", 1024 * 1024, 2 * 1024 * 1024);
        let parts = client.ask("GET", "/big.bin", &[&range]);
        let parts = parse_parts(&parts);
        assert!(parts[0].1 == bytes[..=1024 * 1024], "{way:?}");
        assert!(parts[1].1 == bytes[2 * 1024 * 1024..], "{way:?}");
        let reply = client.ask(
            "GET",
            "/big.bin",
            &[&format!("Range: bytes={SIZE}-"), &condition],
        );
        assert_eq!(reply.status, 416, "{way:?}");
    });
}

#[test]
fn ranges_apply_to_the_form_that_is_sent() {
    let text = "text ".repeat(200);
    let mut neighbour = content(300);
    neighbour[..2].copy_from_slice(b"\x1f\x8b");
    let (_folder, served) = serve(
        &[
            ("a.txt", text.as_bytes()),
            ("b.txt", text.as_bytes()),
            ("b.txt.gz", &neighbour),
        ],
        &[],
    );
    let fields = ["Accept-Encoding: gzip", "Range: bytes=10-19"];
    // What would be compressed on the fly is sent plain.
    let reply = get(served.address("http"), "/a.txt", &fields);
    assert_eq!((reply.status, reply.field("Content-Encoding")), (206, None));
    assert_eq!(reply.field("Content-Range"), Some("bytes 10-19/1000"));
    assert_eq!(reply.body, &text.as_bytes()[10..20]);
    // What lies there compressed is cut.
    let reply = get(served.address("http"), "/b.txt", &fields);
    assert_eq!(
        (reply.status, reply.field("Content-Encoding")),
        (206, Some("gzip"))
    );
    assert_eq!(reply.field("Content-Range"), Some("bytes 10-19/300"));
    assert_eq!(reply.body, &neighbour[10..20]);
    for name in ["/a.txt", "/b.txt"] {
        assert_eq!(
            get(served.address("http"), name, &fields).field("Vary"),
            Some("Accept-Encoding")
        );
    }
}
