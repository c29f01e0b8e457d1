//! Concatenation: parts side by side, one file in the end.

use std::fs;

use crate::common::content;
use crate::{BYTES, Quay, filename, location, metadata, offset};

const PARTIAL: &str = "Upload-Concat: partial";

fn part(quay: &Quay, bytes: &[u8]) -> String {
    let length = format!("Upload-Length: {}", bytes.len());
    let upload = quay.create(&[&length, PARTIAL]);
    if !bytes.is_empty() {
        assert_eq!(quay.patch(&upload, 0, bytes).status, 204);
    }
    upload
}

fn joined(parts: &[&str]) -> String {
    format!("Upload-Concat: final;{}", parts.join(" "))
}

#[test]
fn parts_become_one_file_in_the_order_given() {
    let quay = Quay::new(&[]);
    let bytes = content(3_000_000);
    let (a, b, c) = (
        &bytes[..1_000_000],
        &bytes[1_000_000..1_000_001],
        &bytes[1_000_001..],
    );
    // Out of order, with an empty one, and side by side.
    let third = part(&quay, c);
    let empty = part(&quay, b"");
    let first = part(&quay, a);
    let second = part(&quay, b);
    let reply = quay.head(&third);
    assert_eq!(reply.field("Upload-Concat"), Some("partial"));
    assert_eq!(offset(&reply), c.len());
    assert_eq!(quay.names(), [""; 0], "parts are no files");

    let absolute = format!("http://quay{second}");
    let list = joined(&[&first, &empty, &absolute, &third]);
    let name = metadata(&[("filename", b"whole"), ("lastModified", b"1600000000000")]);
    let reply = quay.ask("POST", "/", &[&list, &name], b"");
    assert_eq!(reply.status, 201, "{reply:?}");
    assert_eq!(reply.field("Content-Location"), Some("/whole"));
    assert!(fs::read(quay.path("whole")).unwrap() == bytes);
    let modified = fs::metadata(quay.path("whole"))
        .unwrap()
        .modified()
        .unwrap();
    assert_eq!(modified.elapsed().unwrap().as_secs() / 1_000_000_000, 0);

    let whole = location(&reply);
    let reply = quay.head(&whole);
    assert_eq!(offset(&reply), bytes.len());
    assert_eq!(reply.field("Upload-Length"), Some("3000000"));
    assert_eq!(
        format!("Upload-Concat: {}", reply.field("Upload-Concat").unwrap()),
        list
    );
    assert_eq!(quay.patch(&whole, bytes.len(), b"").status, 403);
    for part in [&first, &second, &third, &empty] {
        assert_eq!(quay.head(part).status, 404);
    }
    assert_eq!(quay.kept(), [""; 0]);
}

#[test]
fn only_whole_parts_of_this_server_are_joined() {
    let quay = Quay::new(&[]);
    let good = part(&quay, b"good");
    let half = quay.create(&["Upload-Length: 4", PARTIAL]);
    assert_eq!(quay.patch(&half, 0, b"ha").status, 204);
    let endless = quay.create(&["Upload-Defer-Length: 1", PARTIAL]);
    let file = quay.begin("file", 4);
    let nothing = format!("/.hythe/uploads/{}", "0".repeat(32));
    let elsewhere = format!("http://elsewhere{good}");
    let cases = [
        (half.as_str(), 409),
        (&endless, 409),
        (&file, 400),
        (&nothing, 404),
        (&elsewhere, 400),
        ("//quay/.hythe/uploads/x", 400),
        ("ftp://quay/x", 400),
        ("/good", 400),
        ("x", 400),
        ("http://quay", 400),
        ("/.hythe/uploads/../uploads/x", 400),
    ];
    let kept = quay.kept();
    for (bad, status) in cases {
        for list in [joined(&[&good, bad]), joined(&[bad, &good])] {
            let reply = quay.ask("POST", "/", &[&list, &filename("whole")], b"");
            assert_eq!(reply.status, status, "{list}: {reply:?}");
        }
    }
    // Neither a length nor bytes of its own.
    let list = joined(&[&good]);
    for (fields, body, status) in [
        (&[list.as_str(), "Upload-Length: 4"][..], &b""[..], 400),
        (&[&list, "Upload-Defer-Length: 1"], b"", 400),
        (&[&list, BYTES], b"x", 400),
    ] {
        assert_eq!(
            quay.ask("POST", "/", fields, body).status,
            status,
            "{fields:?}"
        );
    }
    fs::write(quay.path("taken"), b"taken").unwrap();
    let fields = [list.as_str(), "If-None-Match: *", &filename("taken")];
    assert_eq!(quay.ask("POST", "/", &fields, b"").status, 412);
    assert_eq!(quay.kept(), kept, "nothing of it stays, and the parts do");
    assert_eq!(quay.names(), ["taken"]);
    // The same part may stand twice.
    let twice = joined(&[&good, &good]);
    let reply = quay.ask("POST", "/", &[&twice, &filename("whole")], b"");
    assert_eq!(reply.status, 201);
    assert_eq!(fs::read(quay.path("whole")).unwrap(), b"goodgood");
}
