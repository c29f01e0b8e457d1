//! PUT, DELETE, MKCOL, MOVE and COPY: their statuses, and what they leave.

use std::fs;
use std::os::unix::fs::MetadataExt;

use super::common::content;
use super::common::http::{Client, get};
use super::{ask, curl, curl_fed, exchange, serve, tree};

#[test]
fn curl_puts_files_of_any_size_with_and_without_a_length() {
    let (folder, served) = serve(&[], &["--allow", "write"]);
    let url = served.url("http");
    let source = tempfile::tempdir().unwrap();
    for size in [0, 1, 1000, 65_536, 3_000_000] {
        let bytes = content(size);
        let file = source.path().join("file");
        fs::write(&file, &bytes).unwrap();
        let sized = format!("{url}sized-{size}");
        let streamed = format!("{url}streamed-{size}");
        let file = file.to_str().unwrap();
        assert_eq!(curl(&["-T", file, &sized]), (201, String::new()), "{size}");
        assert_eq!(curl_fed(&["-T", "-", &streamed], &bytes).0, 201, "{size}");
        assert_eq!(curl(&["-T", file, &sized]).0, 204, "again");
        for name in ["sized", "streamed"] {
            let path = folder.path().join(format!("{name}-{size}"));
            assert!(fs::read(path).unwrap() == bytes, "{name} {size}");
        }
    }
}

#[test]
fn a_put_tells_what_it_made_and_a_get_sees_it_at_once() {
    let (_folder, served) = serve(&[("old.txt", b"before")], &["--allow", "write"]);
    let address = served.address("http");
    // Several readers, so that each thread has the old bytes ready.
    let mut readers: Vec<_> = (0..8).map(|_| Client::new(address)).collect();
    for round in 0..20 {
        for reader in &mut readers {
            reader.ask("GET", "/old.txt", &[]);
        }
        let text = format!("round {round}");
        let put = ask(&served, "PUT", "/old.txt", &[], text.as_bytes());
        assert_eq!(put.status, 204);
        for reader in &mut readers {
            let seen = reader.ask("GET", "/old.txt", &[]);
            assert_eq!(seen.text(), text);
            assert_eq!(seen.field("ETag"), put.field("ETag"));
            assert_eq!(seen.field("Last-Modified"), put.field("Last-Modified"));
            let head = reader.ask("HEAD", "/old.txt", &[]);
            assert_eq!(head.field("ETag"), put.field("ETag"));
        }
    }
    assert_eq!(ask(&served, "DELETE", "/old.txt", &[], b"").status, 204);
    for reader in &mut readers {
        assert_eq!(reader.ask("GET", "/old.txt", &[]).status, 404);
    }

    let new = ask(&served, "PUT", "/a%20%e6%9d%a5", &[], b"x");
    assert_eq!(new.status, 201);
    assert_eq!(new.field("Location"), Some("/a%20%E6%9D%A5"));
    assert_eq!(new.field("Content-Length"), Some("0"));
    let seen = get(address, "/a%20%E6%9D%A5", &[]);
    assert_eq!(seen.field("ETag"), new.field("ETag"));
}

#[test]
fn the_time_of_modification_can_be_given() {
    let (folder, served) = serve(&[], &["--allow", "write"]);
    let reply = ask(&served, "PUT", "/a", &["X-OC-Mtime: 1000000000"], b"x");
    assert_eq!(reply.status, 201);
    assert_eq!(reply.field("X-OC-MTime"), Some("accepted"));
    let told = reply.field("Last-Modified");
    assert_eq!(told, Some("Sun, 09 Sep 2001 01:46:40 GMT"));
    let meta = fs::metadata(folder.path().join("a")).unwrap();
    assert_eq!(meta.mtime(), 1_000_000_000);
}

#[test]
fn what_makes_no_sense_is_refused_with_its_status() {
    let (folder, served) = serve(
        &[("file", b"f"), ("folder/inside", b"i"), ("other/x", b"x")],
        &["--allow", "write"],
    );
    let to = |to: &str| format!("Destination: {to}");
    let part = "Content-Range: bytes 0-0/5".to_owned();
    let before = tree(folder.path());
    for (method, target, field, body, status, text) in [
        ("PUT", "/new", part, "x", 400, "a part of a file"),
        ("PUT", "/new/", String::new(), "x", 409, "MKCOL"),
        ("PUT", "/", String::new(), "x", 409, "slash"),
        (
            "PUT",
            "/folder",
            String::new(),
            "x",
            409,
            "a folder of this name",
        ),
        (
            "PUT",
            "/none/new",
            String::new(),
            "x",
            409,
            "make the folder first",
        ),
        (
            "PUT",
            "/file/new",
            String::new(),
            "x",
            409,
            "make the folder first",
        ),
        ("PUT", "/a%00", String::new(), "x", 400, ""),
        ("PUT", "/a%2fb", String::new(), "x", 400, ""),
        (
            "PUT",
            &format!("/{}", "n".repeat(256)),
            String::new(),
            "x",
            400,
            "",
        ),
        ("DELETE", "/", String::new(), "", 403, "the share itself"),
        ("DELETE", "/nothing", String::new(), "", 404, "no such"),
        ("DELETE", "/nothing/", String::new(), "", 404, "no such"),
        ("DELETE", "/folder", String::new(), "", 409, "add a slash"),
        ("DELETE", "/file/", String::new(), "", 404, "no such"),
        ("MKCOL", "/folder/", String::new(), "", 405, "already"),
        ("MKCOL", "/file", String::new(), "", 405, "already"),
        ("MKCOL", "/", String::new(), "", 405, "already"),
        (
            "MKCOL",
            "/none/new",
            String::new(),
            "",
            409,
            "make the folder first",
        ),
        (
            "MKCOL",
            "/new",
            String::new(),
            "<x/>",
            415,
            "without a body",
        ),
        ("MOVE", "/file", String::new(), "", 400, "where to?"),
        ("MOVE", "/nothing", to("/new"), "", 404, "no such"),
        ("MOVE", "/file/", to("/new"), "", 404, "no such"),
        ("MOVE", "/file", to("/file"), "", 403, "already"),
        (
            "MOVE",
            "/file",
            to("/none/new"),
            "",
            409,
            "make the folder first",
        ),
        ("MOVE", "/folder", to("/folder/new"), "", 409, "into itself"),
        ("MOVE", "/", to("/new"), "", 403, "the share itself"),
        ("MOVE", "/file", to("/"), "", 403, "the share itself"),
        ("MOVE", "/file", to("/new?x"), "", 400, "Destination"),
        ("MOVE", "/file", to("/a%2fb"), "", 400, "Destination"),
        (
            "COPY",
            "/folder",
            to("/folder/new/"),
            "",
            409,
            "into itself",
        ),
        (
            "COPY",
            "/file",
            to("http://elsewhere/new"),
            "",
            502,
            "only within this share",
        ),
        ("PATCH", "/file", String::new(), "x", 405, ""),
        ("POST", "/file", String::new(), "x", 405, ""),
        ("POST", "/nothing/", String::new(), "x", 404, ""),
        ("POST", "/", String::new(), "x", 415, "multipart/form-data"),
    ] {
        let fields: &[&str] = if field.is_empty() { &[] } else { &[&field] };
        let reply = ask(&served, method, target, fields, body.as_bytes());
        let shown = format!("{method} {target} {field}: {}", reply.text());
        assert_eq!(reply.status, status, "{shown}");
        assert!(reply.text().contains(text), "{shown}");
        if status == 405 {
            assert!(reply.field("Allow").unwrap().contains("GET, HEAD, OPTIONS"));
        }
    }
    assert_eq!(tree(folder.path()), before);
}

#[test]
fn folders_are_made_moved_copied_and_deleted_whole() {
    let (folder, served) = serve(
        &[("a/b/c.txt", b"c"), ("d.txt", b"d")],
        &["--allow", "write"],
    );
    let url = served.url("http");
    let to = |to: &str| format!("Destination: {url}{to}");
    let request = |method: &str, target: &str, fields: &[&str]| {
        let target = format!("{url}{target}");
        let mut arguments = vec!["-X", method];
        for field in fields {
            arguments.extend(["-H", field]);
        }
        arguments.push(&target);
        curl(&arguments).0
    };
    assert_eq!(request("MKCOL", "new/", &[]), 201);
    assert_eq!(request("MOVE", "a", &[&to("new/a")]), 201);
    assert_eq!(request("COPY", "new/a/", &[&to("copy/")]), 201);
    assert_eq!(request("COPY", "new/a/", &[&to("empty/"), "Depth: 0"]), 201);
    assert_eq!(
        request("MOVE", "d.txt", &[&to("copy/b/c.txt"), "Overwrite: F"]),
        412
    );
    assert_eq!(request("MOVE", "d.txt", &[&to("copy/b/c.txt")]), 204);
    assert_eq!(
        tree(folder.path()),
        [
            "copy/",
            "copy/b/",
            "copy/b/c.txt",
            "empty/",
            "new/",
            "new/a/",
            "new/a/b/",
            "new/a/b/c.txt"
        ]
    );
    assert_eq!(fs::read(folder.path().join("copy/b/c.txt")).unwrap(), b"d");
    assert_eq!(request("DELETE", "new/", &[]), 204);
    assert_eq!(request("DELETE", "empty/", &[]), 204);
    assert_eq!(tree(folder.path()), ["copy/", "copy/b/", "copy/b/c.txt"]);
}

#[test]
fn conditions_hold_at_the_beginning_before_the_body_is_sent() {
    let (folder, served) = serve(&[("a", b"a")], &["--allow", "write"]);
    let address = served.address("http");
    let etag = get(address, "/a", &[]).field("ETag").unwrap().to_owned();
    let matches = format!("If-Match: {etag}");
    let differs = format!("If-None-Match: {etag}");
    let old = "If-Unmodified-Since: Fri, 01 Jan 2021 00:00:00 GMT";
    for (method, target, field, holds) in [
        ("PUT", "/a", "If-None-Match: *", false),
        ("PUT", "/a", "If-Match: \"other\"", false),
        ("PUT", "/a", &differs, false),
        ("PUT", "/a", old, false),
        ("PUT", "/new", "If-Match: *", false),
        ("PUT", "/new", &matches, false),
        ("DELETE", "/a", "If-Match: \"other\"", false),
        ("DELETE", "/a", old, false),
        ("MOVE", "/a", "If-Match: \"other\"", false),
        ("MKCOL", "/new", "If-Match: *", false),
        ("PUT", "/new", "If-None-Match: *", true),
        ("PUT", "/a", &matches, true),
        ("PUT", "/a", "If-Match: *", true),
        ("DELETE", "/new", "If-Match: *", true),
    ] {
        let mut fields = vec![field, "Destination: /b"];
        if method == "PUT" {
            fields.push("Expect: 100-continue");
            fields.push("Content-Length: 1");
        }
        let mut client = Client::new(address);
        client.send(&super::common::http::request(method, target, &fields));
        let mut reply = client.head();
        if reply.status == 100 {
            client.send(b"a");
            reply = client.head();
        } else if method == "PUT" {
            assert!(!holds, "{method} {target} {field}");
        }
        let expected = match (holds, method, target) {
            (false, ..) => 412,
            (true, "PUT", "/new") => 201,
            (true, ..) => 204,
        };
        assert_eq!(reply.status, expected, "{method} {target} {field}");
    }
    assert_eq!(tree(folder.path()), ["a"]);
}

#[test]
fn conditions_hold_at_the_end_as_well() {
    let (folder, served) = serve(&[("a", b"a")], &["--allow", "write"]);
    let address = served.address("http");
    let etag = get(address, "/a", &[]).field("ETag").unwrap().to_owned();
    let matches = format!("If-Match: {etag}");
    for (target, field) in [("/a", matches.as_str()), ("/new", "If-None-Match: *")] {
        let mut slow = Client::new(address);
        let fields = [field, "Content-Length: 4", "Expect: 100-continue"];
        slow.send(&super::common::http::request("PUT", target, &fields));
        assert_eq!(slow.head().status, 100);
        assert!(ask(&served, "PUT", target, &[], b"faster").status < 300);
        slow.send(b"late");
        let reply = slow.reply("PUT");
        assert_eq!(reply.status, 412, "{}", reply.text());
        let now = fs::read(folder.path().join(&target[1..])).unwrap();
        assert_eq!(now, b"faster");
    }
    assert_eq!(super::parts(folder.path()), 0);
}

#[test]
fn what_is_allowed_depends_on_what_is_there_and_on_the_role() {
    for (allow, root, folder, file, nothing) in [
        ("read", "", "", "", ""),
        ("upload", ", POST", ", POST, COPY", ", COPY", ", PUT, MKCOL"),
        (
            "write",
            ", POST",
            ", POST, COPY, MOVE, DELETE",
            ", COPY, PUT, MOVE, DELETE",
            ", PUT, MKCOL",
        ),
    ] {
        let (_folder, served) = serve(&[("a/b", b"b")], &["--allow", allow]);
        let mut client = Client::new(served.address("http"));
        for (target, more) in [
            ("/", root),
            ("/a/", folder),
            ("/a/b", file),
            ("/x", nothing),
        ] {
            let reply = client.ask("OPTIONS", target, &[]);
            assert_eq!(reply.status, 204);
            let expected = format!("GET, HEAD, OPTIONS{more}");
            let allowed = reply.field("Allow");
            assert_eq!(allowed, Some(expected.as_str()), "{allow} {target}");
        }
    }
}

#[test]
fn the_next_request_is_found_behind_a_body() {
    let (folder, served) = serve(&[], &["--allow", "write"]);
    let mut client = Client::new(served.address("http"));
    let mut all = super::with_body("PUT", "/one", &[], b"first");
    all.extend(super::common::http::request(
        "PUT",
        "/two",
        &["Transfer-Encoding: chunked"],
    ));
    all.extend(b"3\r\nsec\r\n3\r\nond\r\n0\r\n\r\n");
    all.extend(super::common::http::request("GET", "/one", &[]));
    client.send(&all);
    assert_eq!(client.reply("PUT").status, 201);
    assert_eq!(client.reply("PUT").status, 201);
    assert_eq!(client.reply("GET").body, b"first");
    // And once more on the same connection.
    assert_eq!(
        exchange(&mut client, "PUT", "/one", &[], b"again").status,
        204
    );
    assert_eq!(client.ask("GET", "/two", &[]).body, b"second");
    assert_eq!(tree(folder.path()), ["one", "two"]);
}
