//! What the protocol says, line by line.

use std::fs;
use std::io::{Read as _, Write as _};
use std::time::{Duration, SystemTime};

use crate::common::http::{self, Client};
use crate::common::{connect, content, eventually};
use crate::{BYTES, Quay, filename, location, metadata, offset};

#[test]
fn a_folder_tells_what_it_can() {
    let quay = Quay::new(&["--max-upload", "10M"]);
    fs::create_dir(quay.path("in")).unwrap();
    let upload = quay.begin("a", 1);
    for target in ["/", "/in/", upload.as_str()] {
        // The only request that needs no version.
        let reply = Client::new(quay.address()).ask("OPTIONS", target, &[]);
        assert!(matches!(reply.status, 200 | 204), "{reply:?}");
        for (name, value) in [
            ("Tus-Resumable", "1.0.0"),
            ("Tus-Version", "1.0.0"),
            ("Tus-Max-Size", "10485760"),
            ("Tus-Checksum-Algorithm", "sha1,sha256,md5,crc32"),
        ] {
            assert_eq!(reply.field(name), Some(value), "{reply:?}");
        }
        let extensions: Vec<_> = reply.field("Tus-Extension").unwrap().split(',').collect();
        assert_eq!(
            extensions,
            [
                "creation",
                "creation-with-upload",
                "creation-defer-length",
                "expiration",
                "checksum",
                "termination",
                "concatenation"
            ]
        );
    }
}

#[test]
fn an_upload_in_pieces_appears_whole() {
    let quay = Quay::new(&[]);
    let bytes = content(300_000);
    let time = metadata(&[
        ("filename", "河.bin".as_bytes()),
        ("lastModified", b"1600000000123"),
    ]);
    let upload = quay.create(&["Upload-Length: 300000", &time]);
    let mut at = 0;
    for piece in [0, 1, 99_999, 100_000, 50_000] {
        let reply = quay.head(&upload);
        assert_eq!(reply.status, 200);
        assert_eq!(offset(&reply), at);
        assert_eq!(reply.field("Upload-Length"), Some("300000"));
        assert_eq!(reply.field("Upload-Defer-Length"), None);
        assert_eq!(reply.field("Cache-Control"), Some("no-store"));
        assert_eq!(
            format!(
                "Upload-Metadata: {}",
                reply.field("Upload-Metadata").unwrap()
            ),
            time
        );
        assert_eq!(quay.names(), [""; 0]);

        let reply = quay.patch(&upload, at, &bytes[at..at + piece]);
        at += piece;
        assert_eq!((reply.status, offset(&reply)), (204, at), "{reply:?}");
        let expires = reply.field("Upload-Expires").unwrap();
        let expires = httpdate::parse_http_date(expires).unwrap();
        let week = SystemTime::now() + Duration::from_secs(7 * 24 * 60 * 60);
        assert!(expires <= week && expires > week - Duration::from_secs(600));
    }
    assert_eq!(quay.kept().len(), 3);
    // The last ones.
    let reply = quay.patch(&upload, at, &bytes[at..]);
    assert_eq!((reply.status, offset(&reply)), (204, 300_000), "{reply:?}");
    assert_eq!(reply.field("Upload-Expires"), None);
    assert_eq!(reply.field("Content-Location"), Some("/%E6%B2%B3.bin"));
    assert_eq!(quay.names(), ["河.bin"]);
    assert!(fs::read(quay.path("河.bin")).unwrap() == bytes);
    let modified = fs::metadata(quay.path("河.bin"))
        .unwrap()
        .modified()
        .unwrap();
    let wanted = SystemTime::UNIX_EPOCH + Duration::from_millis(1_600_000_000_123);
    assert_eq!(modified, wanted);
    assert_eq!(quay.kept(), [""; 0]);

    // Who missed the answer gets it again, and nothing more can come.
    let reply = quay.head(&upload);
    assert_eq!((reply.status, offset(&reply)), (200, 300_000));
    assert_eq!(reply.field("Content-Location"), Some("/%E6%B2%B3.bin"));
    assert_eq!(quay.patch(&upload, 300_000, b"").status, 204);
    assert_eq!(quay.patch(&upload, 300_000, b"x").status, 413);
    let reply = quay.patch(&upload, 0, &bytes[..10]);
    assert_eq!((reply.status, offset(&reply)), (409, 300_000));
    assert!(fs::read(quay.path("河.bin")).unwrap() == bytes);
}

#[test]
fn without_a_name_the_id_is_the_name() {
    let quay = Quay::new(&[]);
    let upload = quay.create(&["Upload-Length: 1"]);
    assert_eq!(quay.patch(&upload, 0, b"x").status, 204);
    let id = upload.rsplit('/').next().unwrap();
    assert_eq!(quay.names(), [id]);
}

#[test]
fn what_is_empty_is_whole_at_once() {
    let quay = Quay::new(&[]);
    let reply = quay.ask("POST", "/", &["Upload-Length: 0", &filename("empty")], b"");
    assert_eq!((reply.status, offset(&reply)), (201, 0));
    assert_eq!(quay.names(), ["empty"]);
    assert_eq!(quay.offset(&location(&reply)), 0);
    assert_eq!(quay.kept(), [""; 0]);
}

#[test]
fn the_version_must_be_the_one() {
    let quay = Quay::new(&[]);
    let upload = quay.begin("a", 5);
    for version in [
        None,
        Some("0.2.2"),
        Some("1.0"),
        Some("2.0.0"),
        Some("1.0.0, 1.0.0"),
        Some(""),
    ] {
        let version = version.map(|version| format!("Tus-Resumable: {version}"));
        for (method, target, fields) in [
            ("POST", "/", &["Upload-Length: 1"][..]),
            ("HEAD", &upload, &[]),
            (
                "PATCH",
                &upload,
                &[BYTES, "Upload-Offset: 0", "Content-Length: 0"],
            ),
            ("DELETE", &upload, &[]),
        ] {
            let fields: Vec<_> = fields.iter().copied().chain(version.as_deref()).collect();
            let reply = Client::new(quay.address()).ask(method, target, &fields);
            assert_eq!(reply.status, 412, "{method} {fields:?}: {reply:?}");
            assert_eq!(reply.field("Tus-Version"), Some("1.0.0"), "{reply:?}");
        }
    }
    assert_eq!(quay.offset(&upload), 0);
    assert_eq!(quay.kept().len(), 3);
}

#[test]
fn the_fields_must_make_sense() {
    let quay = Quay::new(&[]);
    let cases: &[(&[&str], u16)] = &[
        (&[], 400),
        (&["Upload-Length: -1"], 400),
        (&["Upload-Length: x"], 400),
        (&["Upload-Length: 18446744073709551616"], 413),
        (&["Upload-Length: 9223372036854775808"], 413),
        (&["Upload-Defer-Length: 0"], 400),
        (&["Upload-Defer-Length: 2"], 400),
        (&["Upload-Length: 1", "Upload-Defer-Length: 1"], 400),
        (&["Upload-Length: 1", "Upload-Metadata: a !"], 400),
        (&["Upload-Length: 1", "Upload-Metadata: a eA==,a eA=="], 400),
        (&["Upload-Length: 1", "Upload-Concat: whole"], 400),
        (&["Upload-Length: 1", "Upload-Concat: final;/a"], 400),
        (&["Upload-Concat: final;"], 400),
    ];
    for (fields, status) in cases {
        let reply = quay.ask("POST", "/", fields, b"");
        assert_eq!(reply.status, *status, "{fields:?}: {reply:?}");
    }
    assert_eq!(
        quay.ask("POST", "/none/", &["Upload-Length: 1"], b"")
            .status,
        404
    );
    assert_eq!(quay.kept(), [""; 0]);

    let upload = quay.begin("a", 5);
    for (fields, status) in [
        (&["Upload-Offset: 0", "Content-Type: text/plain"][..], 415),
        (&["Upload-Offset: 0"], 415),
        (&[BYTES], 400),
        (&[BYTES, "Upload-Offset: -1"], 400),
        (&[BYTES, "Upload-Offset: 1"], 409),
        (&[BYTES, "Upload-Offset: 18446744073709551616"], 413),
        (&[BYTES, "Upload-Offset: 0", "Upload-Length: 6"], 400),
        (
            &[BYTES, "Upload-Offset: 0", "Upload-Checksum: sha512 eA=="],
            400,
        ),
        (
            &[BYTES, "Upload-Offset: 0", "Upload-Checksum: sha1 eA=="],
            400,
        ),
    ] {
        let reply = quay.ask("PATCH", &upload, fields, b"hello");
        assert_eq!(reply.status, status, "{fields:?}: {reply:?}");
        assert_eq!(quay.offset(&upload), 0);
    }
    // Names of uploads that are none.
    let id = upload.rsplit('/').next().unwrap();
    for other in [
        "0".repeat(32),
        id.to_uppercase() + "0",
        format!("{id}.json"),
        format!("{id}/"),
        format!("../uploads/{id}"),
        format!("finished/{id}"),
        "finished".to_owned(),
        String::new(),
    ] {
        let target = format!("/.hythe/uploads/{other}");
        for method in ["HEAD", "PATCH", "DELETE"] {
            let reply = quay.ask(method, &target, &[BYTES, "Upload-Offset: 0"], b"");
            assert_eq!(reply.status, 404, "{method} {target}: {reply:?}");
        }
    }
    for method in ["POST", "PUT", "GET"] {
        let reply = quay.ask(method, &upload, &[], b"");
        assert_eq!(reply.status, 405, "{reply:?}");
        assert!(reply.field("Allow").unwrap().contains("PATCH"));
    }
}

#[test]
fn no_more_than_was_announced_is_kept() {
    let quay = Quay::new(&[]);
    let upload = quay.begin("a", 5);
    assert_eq!(quay.patch(&upload, 0, b"123456").status, 413);
    assert_eq!(quay.offset(&upload), 0);
    assert_eq!(quay.patch(&upload, 0, b"1234").status, 204);
    assert_eq!(quay.patch(&upload, 4, b"56").status, 413);
    assert_eq!(quay.offset(&upload), 4);
    // Of unknown length, it is only known as it comes.
    let fields = [BYTES, "Upload-Offset: 4", "Transfer-Encoding: chunked"];
    let mut client = Client::new(quay.address());
    client.send(&crate::request("PATCH", &upload, &fields, b""));
    client.send(b"2\r\n56\r\n0\r\n\r\n");
    assert_eq!(client.reply("PATCH").status, 413);
    assert_eq!(quay.offset(&upload), 4);
    let mut client = Client::new(quay.address());
    client.send(&crate::request("PATCH", &upload, &fields, b""));
    client.send(b"1\r\n5\r\n0\r\n\r\n");
    let reply = client.reply("PATCH");
    assert_eq!((reply.status, offset(&reply)), (204, 5), "{reply:?}");
    assert_eq!(fs::read(quay.path("a")).unwrap(), b"12345");
}

#[test]
fn uploads_have_a_largest_size() {
    let quay = Quay::new(&["--max-upload", "1000"]);
    for (length, status) in [(999, 201), (1000, 201), (1001, 413)] {
        let length = format!("Upload-Length: {length}");
        assert_eq!(quay.ask("POST", "/", &[&length], b"").status, status);
    }
    let upload = quay.create(&["Upload-Defer-Length: 1", &filename("a")]);
    assert_eq!(quay.patch(&upload, 0, &content(1001)).status, 413);
    assert_eq!(quay.patch(&upload, 0, &content(1000)).status, 204);
    assert_eq!(quay.patch(&upload, 1000, b"x").status, 413);
    let more = quay.patch_with(&upload, 1000, &["Upload-Length: 1001"], b"");
    assert_eq!(more.status, 413);
    let end = quay.patch_with(&upload, 1000, &["Upload-Length: 1000"], b"");
    assert_eq!(end.status, 204, "{end:?}");
    assert!(fs::read(quay.path("a")).unwrap() == content(1000));
}

#[test]
fn a_length_may_come_later() {
    let quay = Quay::new(&[]);
    let upload = quay.create(&["Upload-Defer-Length: 1", &filename("a")]);
    assert_eq!(quay.patch(&upload, 0, b"123").status, 204);
    let reply = quay.head(&upload);
    assert_eq!(reply.field("Upload-Defer-Length"), Some("1"));
    assert_eq!(reply.field("Upload-Length"), None);
    let length = |length: &str| format!("Upload-Length: {length}");
    assert_eq!(
        quay.patch_with(&upload, 3, &[&length("2")], b"").status,
        400
    );
    assert_eq!(
        quay.patch_with(&upload, 3, &[&length("5")], b"4").status,
        204
    );
    let reply = quay.head(&upload);
    assert_eq!(reply.field("Upload-Defer-Length"), None);
    assert_eq!(reply.field("Upload-Length"), Some("5"));
    assert_eq!(
        quay.patch_with(&upload, 4, &[&length("6")], b"").status,
        400
    );
    assert_eq!(
        quay.patch_with(&upload, 4, &[&length("5")], b"5").status,
        204
    );
    assert_eq!(fs::read(quay.path("a")).unwrap(), b"12345");
}

#[test]
fn the_first_bytes_may_come_with_the_creation() {
    let quay = Quay::new(&[]);
    let all = ["Upload-Length: 5", BYTES, &filename("all")];
    let reply = quay.ask("POST", "/", &all, b"12345");
    assert_eq!((reply.status, offset(&reply)), (201, 5), "{reply:?}");
    assert_eq!(reply.field("Content-Location"), Some("/all"));
    assert_eq!(fs::read(quay.path("all")).unwrap(), b"12345");

    let some = ["Upload-Length: 5", BYTES, &filename("some")];
    let reply = quay.ask("POST", "/", &some, b"123");
    assert_eq!((reply.status, offset(&reply)), (201, 3), "{reply:?}");
    let upload = location(&reply);
    assert_eq!(quay.patch(&upload, 3, b"45").status, 204);
    assert_eq!(fs::read(quay.path("some")).unwrap(), b"12345");

    let reply = quay.ask("POST", "/", &["Upload-Length: 5", BYTES], b"123456");
    assert_eq!(reply.status, 413);
    let reply = quay.ask("POST", "/", &["Upload-Length: 5"], b"12345");
    assert_eq!(reply.status, 415);
    let wrong = "Upload-Checksum: crc32 AAAAAA==";
    let reply = quay.ask("POST", "/", &["Upload-Length: 5", BYTES, wrong], b"12345");
    assert_eq!(reply.status, 460);
    // Nobody heard of these, so nothing is left of them, nor of one cut short.
    let mut client = Client::new(quay.address());
    let mut request = crate::request("POST", "/", &["Upload-Length: 9", BYTES], b"123456789");
    request.truncate(request.len() - 4);
    client.send(&request);
    eventually("the upload", || !quay.kept().is_empty());
    drop(client);
    eventually("its end", || quay.kept().is_empty());
    assert_eq!(quay.names(), ["all", "some"]);
}

#[test]
fn a_method_may_stand_in_for_another() {
    let quay = Quay::new(&[]);
    let upload = quay.begin("a", 5);
    let instead = |method: &str| format!("X-HTTP-Method-Override: {method}");
    let reply = quay.ask(
        "POST",
        &upload,
        &[&instead("PATCH"), BYTES, "Upload-Offset: 0"],
        b"12",
    );
    assert_eq!((reply.status, offset(&reply)), (204, 2), "{reply:?}");
    let reply = quay.ask("POST", &upload, &[&instead("DELETE")], b"");
    assert_eq!(reply.status, 204);
    assert_eq!(quay.head(&upload).status, 404);
    // Neither for what only reads, nor without the protocol.
    let upload = quay.begin("a", 5);
    assert_eq!(
        quay.ask("GET", &upload, &[&instead("DELETE")], b"").status,
        405
    );
    let reply = Client::new(quay.address()).ask("POST", &upload, &[&instead("DELETE")]);
    assert_ne!(reply.status, 204);
    assert_eq!(quay.offset(&upload), 0);
}

#[test]
fn an_upload_can_be_given_up() {
    let quay = Quay::new(&[]);
    let upload = quay.begin("a", 5);
    assert_eq!(quay.patch(&upload, 0, b"123").status, 204);
    assert_eq!(quay.ask("DELETE", &upload, &[], b"").status, 204);
    assert_eq!(quay.kept(), [""; 0]);
    for reply in [
        quay.head(&upload),
        quay.patch(&upload, 3, b"45"),
        quay.ask("DELETE", &upload, &[], b""),
    ] {
        assert!(matches!(reply.status, 404 | 410), "{reply:?}");
    }
}

#[test]
fn what_came_before_the_connection_died_is_kept() {
    let quay = Quay::new(&[]);
    let bytes = content(100_000);
    let upload = quay.begin("a", bytes.len());
    let mut client = Client::new(quay.address());
    let mut request = crate::request("PATCH", &upload, &[BYTES, "Upload-Offset: 0"], &bytes);
    request.truncate(request.len() - 40_000);
    client.send(&request);
    drop(client);
    let part = quay.path(&upload[1..]);
    eventually("60,000 bytes", || {
        fs::metadata(&part).unwrap().len() == 60_000
    });
    assert_eq!(quay.offset(&upload), 60_000);
    assert_eq!(quay.patch(&upload, 60_000, &bytes[60_000..]).status, 204);
    assert!(fs::read(quay.path("a")).unwrap() == bytes);
}

#[test]
fn whoever_may_not_write_is_told_so_before_the_bytes() {
    for (allow, created) in [
        ("none", false),
        ("read", false),
        ("upload", true),
        ("write", true),
    ] {
        let quay = Quay::allowing(allow, &[]);
        fs::write(quay.path("old"), b"old").unwrap();
        let mut stream = connect(quay.address());
        let new = [
            "Upload-Length: 5",
            BYTES,
            "Expect: 100-continue",
            "Content-Length: 5",
        ];
        let name = filename("new");
        let fields = [&new[..], &["Tus-Resumable: 1.0.0", &name]].concat();
        let head = http::request("POST", "/", &fields);
        stream.write_all(&head).unwrap();
        let mut status = [0; 12];
        stream.read_exact(&mut status).unwrap();
        let status = status.escape_ascii().to_string();
        if created {
            assert_eq!(status, "HTTP/1.1 100", "{allow}");
            stream.write_all(b"12345").unwrap();
            eventually("the file", || quay.path("new").exists());
        } else {
            let refused = ["HTTP/1.1 401", "HTTP/1.1 403", "HTTP/1.1 405"];
            assert!(refused.contains(&&*status), "{allow}: {status}");
            assert!(!quay.path(".hythe").exists());
        }
    }
}

#[test]
fn a_name_that_is_taken_is_refused_before_the_bytes() {
    let quay = Quay::allowing("upload", &[]);
    fs::write(quay.path("old"), b"old").unwrap();
    fs::create_dir(quay.path("folder")).unwrap();
    let reply = quay.ask("POST", "/", &["Upload-Length: 5", &filename("old")], b"");
    assert_eq!(reply.status, 403, "{reply:?}");
    assert!(reply.text().contains("write"), "{}", reply.text());
    let anew = "If-None-Match: *";
    let reply = quay.ask(
        "POST",
        "/",
        &["Upload-Length: 5", anew, &filename("old")],
        b"",
    );
    assert_eq!(reply.status, 412, "{reply:?}");
    assert!(reply.text().contains("name already"), "{}", reply.text());
    let reply = quay.ask("POST", "/", &["Upload-Length: 5", &filename("folder")], b"");
    assert_eq!(reply.status, 409, "{reply:?}");
    let below = metadata(&[("relativePath", b"old/x")]);
    let reply = quay.ask("POST", "/", &["Upload-Length: 5", &below], b"");
    assert_eq!(reply.status, 409, "{reply:?}");
    assert_eq!(quay.kept(), [""; 0]);
}

#[test]
fn a_name_that_is_taken_meanwhile_keeps_the_upload_waiting() {
    let quay = Quay::new(&[]);
    let fields = ["Upload-Length: 5", "If-None-Match: *", &filename("a")];
    let upload = quay.create(&fields);
    fs::write(quay.path("a"), b"other").unwrap();
    assert_eq!(quay.patch(&upload, 0, b"12345").status, 412);
    // It must not seem to be done, or the client would forget it.
    assert_eq!(quay.head(&upload).status, 412);
    assert_eq!(quay.patch(&upload, 5, b"").status, 412);
    assert_eq!(fs::read(quay.path("a")).unwrap(), b"other");
    fs::remove_file(quay.path("a")).unwrap();
    assert_eq!(quay.patch(&upload, 5, b"").status, 204);
    assert_eq!(fs::read(quay.path("a")).unwrap(), b"12345");

    // Whoever did not ask for a new file replaces the old.
    let upload = quay.begin("a", 3);
    assert_eq!(quay.patch(&upload, 0, b"new").status, 204);
    assert_eq!(fs::read(quay.path("a")).unwrap(), b"new");
}

#[test]
fn what_expires_is_gone() {
    let quay = Quay::new(&["--upload-expiry", "1"]);
    let upload = quay.begin("a", 5);
    assert_eq!(quay.patch(&upload, 0, b"123").status, 204);
    let mut status = 0;
    // Asking does not keep it alive.
    eventually("the end of its time", || {
        status = quay.head(&upload).status;
        status != 200
    });
    assert!(matches!(status, 404 | 410), "{status}");
    assert_eq!(quay.patch(&upload, 3, b"45").status, 404);
    assert_eq!(quay.kept(), [""; 0]);
}

#[test]
fn a_start_sweeps() {
    let mut quay = Quay::new(&["--upload-expiry", "1"]);
    for name in ["a", "b"] {
        let upload = quay.begin(name, 5);
        assert_eq!(quay.patch(&upload, 0, b"123").status, 204);
    }
    let finished = quay.begin("c", 0);
    assert_eq!(quay.kept().len(), 6);
    // Of finished ones a day is remembered; what is no upload is left alone.
    let id = finished.rsplit('/').next().unwrap();
    let note = quay.path(&format!(".hythe/uploads/finished/{id}.json"));
    let file = fs::File::options().write(true).open(&note).unwrap();
    file.set_modified(SystemTime::now() - Duration::from_secs(24 * 60 * 60 + 60))
        .unwrap();
    fs::write(quay.path(".hythe/uploads/notes.txt"), b"mine").unwrap();
    eventually("only what is no upload", || {
        quay.crash();
        quay.kept() == ["notes.txt"]
    });
    assert!(!note.exists());
    assert_eq!(quay.head(&finished).status, 404);
}

#[test]
fn several_gibibytes_are_no_more_than_bytes() {
    // Past 2^31, where a signed number of 32 bits ends; zeros, as the part need
    // not be read back.
    const LENGTH: u64 = (1 << 31) + (1 << 20);
    let quay = Quay::new(&["--durability", "none"]);
    let upload = quay.create(&[&format!("Upload-Length: {LENGTH}"), &filename("large")]);
    let mut at = 0;
    let zeros = vec![0; 1 << 20];
    for (offset, count) in [(0, (1 << 31) - 1), ((1 << 31) - 1, (1 << 20) + 1)] {
        assert_eq!(at, offset);
        let mut client = Client::new(quay.address());
        let fields = [
            BYTES,
            "Tus-Resumable: 1.0.0",
            &format!("Upload-Offset: {offset}"),
            &format!("Content-Length: {count}"),
        ];
        client.send(&http::request("PATCH", &upload, &fields));
        let mut left = count as usize;
        while left > 0 {
            let piece = left.min(zeros.len());
            client.stream().write_all(&zeros[..piece]).unwrap();
            left -= piece;
        }
        at += count;
        let reply = client.reply("PATCH");
        assert_eq!((reply.status, offset_of(&reply)), (204, at), "{reply:?}");
    }
    let about = fs::metadata(quay.path("large")).unwrap();
    assert_eq!(about.len(), LENGTH);
}

fn offset_of(reply: &http::Reply) -> u64 {
    reply.field("Upload-Offset").unwrap().parse().unwrap()
}

#[test]
fn nothing_is_left_open() {
    let quay = Quay::new(&[]);
    let mut client = Client::new(quay.address());
    assert_eq!(client.ask("GET", "/", &[]).status, 200);
    let before = quay.served.descriptors();
    for round in 0..20 {
        let upload = quay.begin(&format!("a{round}"), 5);
        assert_eq!(quay.patch(&upload, 0, b"123").status, 204);
        assert_eq!(quay.patch(&upload, 2, b"x").status, 409);
        assert_eq!(quay.patch(&upload, 3, b"45").status, 204);
        let upload = quay.begin("b", 5);
        assert_eq!(quay.ask("DELETE", &upload, &[], b"").status, 204);
    }
    eventually("as few descriptors as before", || {
        quay.served.descriptors() <= before
    });
    assert_eq!(quay.kept(), [""; 0]);
}
