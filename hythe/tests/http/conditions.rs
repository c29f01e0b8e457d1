//! Validators, and requests that depend on them (RFC 9110 §13).

use std::fs;

use super::common::http::{Client, get};
use super::common::{Served, content};
use super::{date, serve, write};

/// 2001-09-09T01:46:40Z, in the three forms that HTTP knows, and neighbours.
const SECONDS: u64 = 1_000_000_000;
const SAME: &str = "Sun, 09 Sep 2001 01:46:40 GMT";
const SAME_RFC850: &str = "Sunday, 09-Sep-01 01:46:40 GMT";
const SAME_ASCTIME: &str = "Sun Sep  9 01:46:40 2001";
const BEFORE: &str = "Sun, 09 Sep 2001 01:46:39 GMT";
const AFTER: &str = "Sun, 09 Sep 2001 01:46:41 GMT";

#[test]
fn conditions_are_evaluated_in_their_order() {
    let (folder, served) = serve(&[("a.bin", b"0123456789")], &[]);
    date(&folder.path().join("a.bin"), SECONDS);
    let first = get(served.address("http"), "/a.bin", &[]);
    let etag = first.field("ETag").unwrap();
    assert!(
        etag.starts_with('"') && etag.ends_with('"'),
        "strong: {etag}"
    );
    assert_eq!(first.field("Last-Modified"), Some(SAME));

    let table: &[(&[&str], u16)] = &[
        // If-Match compares strongly.
        (&["If-Match: ETAG"], 200),
        (&["If-Match: *"], 200),
        (&["If-Match: \"other\", ETAG"], 200),
        (&["If-Match: \"other\"", "If-Match: ETAG"], 200),
        (&["If-Match: \"other\""], 412),
        (&["If-Match: W/ETAG"], 412),
        (&["If-Match: unquoted"], 412),
        (&["If-Match:"], 412),
        // If-Unmodified-Since counts where there is no If-Match.
        (&["If-Unmodified-Since: SAME"], 200),
        (&["If-Unmodified-Since: AFTER"], 200),
        (&["If-Unmodified-Since: BEFORE"], 412),
        (&["If-Unmodified-Since: yesterday"], 200),
        (&["If-Match: ETAG", "If-Unmodified-Since: BEFORE"], 200),
        (&["If-Match: \"other\"", "If-Unmodified-Since: SAME"], 412),
        // If-None-Match compares weakly.
        (&["If-None-Match: ETAG"], 304),
        (&["If-None-Match: W/ETAG"], 304),
        (&["If-None-Match: *"], 304),
        (&["If-None-Match: \"other\", W/ETAG, \"more\""], 304),
        (&["If-None-Match: \"other\"", "If-None-Match: ETAG"], 304),
        (&["If-None-Match: \"other\""], 200),
        (&["If-None-Match: unquoted"], 200),
        (&["If-None-Match:"], 200),
        // If-Modified-Since counts where there is no If-None-Match.
        (&["If-Modified-Since: SAME"], 304),
        (&["If-Modified-Since: SAME_RFC850"], 304),
        (&["If-Modified-Since: SAME_ASCTIME"], 304),
        (&["If-Modified-Since: AFTER"], 304),
        (&["If-Modified-Since: BEFORE"], 200),
        (&["If-Modified-Since: 1000000000"], 200),
        (&["If-Modified-Since:"], 200),
        (
            &["If-None-Match: \"other\"", "If-Modified-Since: SAME"],
            200,
        ),
        (&["If-None-Match: ETAG", "If-Modified-Since: BEFORE"], 304),
        // The first pair goes before the second.
        (&["If-Match: \"other\"", "If-None-Match: ETAG"], 412),
        (&["If-Match: ETAG", "If-None-Match: ETAG"], 304),
        (
            &["If-Unmodified-Since: BEFORE", "If-Modified-Since: AFTER"],
            412,
        ),
        (
            &["If-Unmodified-Since: SAME", "If-Modified-Since: SAME"],
            304,
        ),
        // And all before the range.
        (&["If-Match: ETAG", "Range: bytes=0-3"], 206),
        (&["If-Match: \"other\"", "Range: bytes=0-3"], 412),
        (&["If-None-Match: ETAG", "Range: bytes=0-3"], 304),
        (&["If-None-Match: ETAG", "Range: bytes=50-"], 304),
        (&["If-None-Match: \"other\"", "Range: bytes=50-"], 416),
        // What may stand once and stands twice.
        (&["If-Modified-Since: SAME", "If-Modified-Since: SAME"], 400),
    ];
    for (fields, status) in table {
        let fields: Vec<_> = fields
            .iter()
            .map(|field| {
                field
                    .replace("SAME_RFC850", SAME_RFC850)
                    .replace("SAME_ASCTIME", SAME_ASCTIME)
                    .replace("SAME", SAME)
                    .replace("BEFORE", BEFORE)
                    .replace("AFTER", AFTER)
                    .replace("ETAG", etag)
            })
            .collect();
        let fields: Vec<_> = fields.iter().map(String::as_str).collect();
        for method in ["GET", "HEAD"] {
            // A HEAD knows no ranges.
            let status = match status {
                206 | 416 if method == "HEAD" => 200,
                status => *status,
            };
            let mut client = Client::new(served.address("http"));
            let reply = client.ask(method, "/a.bin", &fields);
            assert_eq!(reply.status, status, "{method} {fields:?}");
        }
    }
}

#[test]
fn a_304_keeps_what_a_cache_needs_and_nothing_else() {
    let text = "text ".repeat(1000);
    let (_folder, served) = serve(&[("a.txt", text.as_bytes()), ("b.png", b"png")], &[]);
    for (target, coding) in [
        ("/a.txt", "identity"),
        ("/a.txt", "gzip"),
        ("/b.png", "gzip"),
        ("/a.txt?download", "identity"),
    ] {
        let coding = format!("Accept-Encoding: {coding}");
        let mut client = Client::new(served.address("http"));
        let whole = client.ask("GET", target, &[&coding]);
        let condition = format!("If-None-Match: {}", whole.field("ETag").unwrap());
        let unchanged = client.ask("GET", target, &[&coding, &condition]);
        assert_eq!(unchanged.status, 304, "{target} {coding}");
        assert!(unchanged.field("Date").is_some());
        for name in ["ETag", "Cache-Control", "Vary", "Last-Modified"] {
            assert_eq!(
                unchanged.field(name),
                whole.field(name),
                "{target} {coding} {name}"
            );
        }
        for name in [
            "Content-Length",
            "Content-Type",
            "Content-Encoding",
            "Content-Range",
        ] {
            assert_eq!(unchanged.field(name), None, "{target} {coding} {name}");
        }
        assert_eq!(client.ask("GET", target, &[&coding]).body, whole.body);
    }
}

#[test]
fn each_form_of_a_file_has_an_entity_tag_of_its_own() {
    let text = "text ".repeat(1000);
    let (folder, served) = serve(
        &[("a.txt", text.as_bytes()), ("b.txt", text.as_bytes())],
        &[],
    );
    write(&folder.path().join("b.txt.br"), b"br");
    let tag = |target, coding| {
        let coding = format!("Accept-Encoding: {coding}");
        let reply = get(served.address("http"), target, &[&coding]);
        reply.field("ETag").unwrap().to_owned()
    };
    let tags = [
        tag("/a.txt", "identity"),
        tag("/a.txt", "gzip"),
        tag("/b.txt", "identity"),
        tag("/b.txt", "gzip"),
        tag("/b.txt", "br"),
    ];
    for (index, one) in tags.iter().enumerate() {
        assert!(!tags[..index].contains(one), "{tags:?}");
    }
    assert_eq!(tag("/a.txt", "gzip"), tags[1], "the same for the same");
    // The tag of one form is no condition on another.
    for (coding, theirs, status) in [
        ("identity", &tags[0], 304),
        ("gzip", &tags[1], 304),
        ("identity", &tags[1], 200),
        ("gzip", &tags[0], 200),
    ] {
        let fields = [
            format!("Accept-Encoding: {coding}"),
            format!("If-None-Match: {theirs}"),
        ];
        let fields: Vec<_> = fields.iter().map(String::as_str).collect();
        assert_eq!(
            get(served.address("http"), "/a.txt", &fields).status,
            status,
            "{fields:?}"
        );
    }
}

#[test]
fn the_entity_tag_changes_with_every_edit() {
    let (folder, served) = serve(&[("a.bin", b"one")], &[]);
    let path = folder.path().join("a.bin");
    // With a query that matters, so that no ready bytes are believed.
    let tag = || {
        let reply = get(served.address("http"), "/a.bin?download", &[]);
        reply.field("ETag").unwrap().to_owned()
    };
    let mut tags = vec![tag()];
    let mut changed = |what: &str| {
        let now = tag();
        assert!(!tags.contains(&now), "{what}: {tags:?} {now}");
        tags.push(now);
    };
    write(&path, b"longer");
    changed("another size");
    date(&path, SECONDS);
    changed("another time");
    date(&path, SECONDS + 1);
    changed("the same content at another time");
    write(&folder.path().join("new"), b"longer");
    date(&folder.path().join("new"), SECONDS + 1);
    fs::rename(folder.path().join("new"), &path).unwrap();
    changed("another file of the same size and time");
}

#[test]
fn a_failed_if_range_sends_the_whole() {
    let bytes = content(1000);
    let text = "text ".repeat(200);
    let (folder, served) = serve(&[("a.bin", &bytes), ("a.txt", text.as_bytes())], &[]);
    date(&folder.path().join("a.bin"), SECONDS);
    date(&folder.path().join("a.txt"), SECONDS);
    let etag = get(served.address("http"), "/a.bin", &[])
        .field("ETag")
        .unwrap()
        .to_owned();
    for (condition, status) in [
        (etag.as_str(), 206),
        (SAME, 206),
        (SAME_RFC850, 206),
        ("\"other\"", 200),
        (&format!("W/{etag}"), 200),
        (&format!("{etag}, \"other\""), 200),
        ("*", 200),
        (BEFORE, 200),
        (AFTER, 200),
        ("nonsense", 200),
        ("", 200),
    ] {
        let condition = format!("If-Range: {condition}");
        let ask = |range: &str| {
            let range = format!("Range: {range}");
            get(served.address("http"), "/a.bin", &[&range, &condition])
        };
        let reply = ask("bytes=10-19");
        assert_eq!(reply.status, status, "{condition}");
        let expected = if status == 206 {
            &bytes[10..20]
        } else {
            &bytes[..]
        };
        assert_eq!(reply.body, expected, "{condition}");
        let beyond = if status == 206 { 416 } else { 200 };
        assert_eq!(ask("bytes=5000-").status, beyond, "{condition}");
    }
    assert_eq!(
        get(served.address("http"), "/a.bin", &["If-Range: \"other\""]).status,
        200
    );

    // The tag of a compressed form does not fit a range of the plain one.
    let accept = "Accept-Encoding: gzip";
    let gzip = get(served.address("http"), "/a.txt", &[accept]);
    let condition = format!("If-Range: {}", gzip.field("ETag").unwrap());
    let reply = get(
        served.address("http"),
        "/a.txt",
        &[accept, "Range: bytes=5-9", &condition],
    );
    assert_eq!(reply.status, 200);
}

#[test]
fn a_date_in_the_future_is_not_told_and_proves_nothing() {
    let (folder, served) = serve(&[("a.bin", &content(1000))], &[]);
    date(&folder.path().join("a.bin"), 4_000_000_000);
    let reply = get(served.address("http"), "/a.bin", &[]);
    assert_eq!(reply.field("Last-Modified"), None);
    let condition = "If-Range: Tue, 02 Oct 2096 07:06:40 GMT";
    let reply = get(
        served.address("http"),
        "/a.bin",
        &["Range: bytes=0-9", condition],
    );
    assert_eq!(reply.status, 200);
}

#[test]
fn dates_that_http_cannot_tell_are_left_out() {
    let (folder, served) = serve(&[("a.bin", b"a")], &[]);
    for seconds in [15_000_000_000, 300_000_000_000] {
        date(&folder.path().join("a.bin"), seconds);
        let reply = get(served.address("http"), "/a.bin?download", &[]);
        assert_eq!((reply.status, reply.field("Last-Modified")), (200, None));
    }
}

#[test]
fn a_file_from_before_1970_has_no_last_modified() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.bin");
    write(&path, b"old");
    let time = std::time::SystemTime::UNIX_EPOCH - std::time::Duration::from_secs(1000);
    fs::File::options()
        .write(true)
        .open(&path)
        .unwrap()
        .set_modified(time)
        .unwrap();
    let served = Served::http(folder.path(), &[]);
    let reply = get(
        served.address("http"),
        "/a.bin",
        &["If-Modified-Since: Thu, 01 Jan 1970 00:00:00 GMT"],
    );
    assert_eq!(reply.status, 200);
    assert_eq!(reply.field("Last-Modified"), None);
    let condition = format!("If-None-Match: {}", reply.field("ETag").unwrap());
    assert_eq!(
        get(served.address("http"), "/a.bin", &[&condition]).status,
        304
    );
}
