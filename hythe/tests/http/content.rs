//! What is said about a file, and in which form it is sent.

use std::fs;
use std::io::Read;
use std::os::unix::fs::symlink;

use flate2::read::GzDecoder;

use super::common::content;
use super::common::http::{Client, get};
use super::{date, serve, write};

const SANDBOX: Option<&str> = Some("sandbox");

#[test]
fn types_go_by_the_name_and_pages_are_kept_in_a_sandbox() {
    let table: &[(&str, &[u8], &str, Option<&str>)] = &[
        ("a.html", b"<p>", "text/html; charset=utf-8", SANDBOX),
        ("a.HTM", b"<p>", "text/html; charset=utf-8", SANDBOX),
        (
            "a.xhtml",
            b"<html/>",
            "application/xhtml+xml; charset=utf-8",
            SANDBOX,
        ),
        ("a.svg", b"<svg/>", "image/svg+xml; charset=utf-8", SANDBOX),
        ("a.xml", b"<a/>", "text/xml; charset=utf-8", SANDBOX),
        ("a.xsl", b"<a/>", "text/xml; charset=utf-8", SANDBOX),
        ("a.txt", b"a", "text/plain; charset=utf-8", None),
        ("latin.txt", b"caf\xe9", "text/plain", None),
        ("a.css", b"a{}", "text/css; charset=utf-8", None),
        ("a.js", b"a()", "text/javascript; charset=utf-8", None),
        ("a.json", b"{}", "application/json; charset=utf-8", None),
        ("a.png", b"<script>", "image/png", None),
        ("a.jpg", b"text", "image/jpeg", None),
        ("a.pdf", b"%PDF", "application/pdf", None),
        ("a.mp4", b"mp4", "video/mp4", None),
        ("a.wasm", b"\0asm", "application/wasm", None),
        ("a.gz", b"\x1f\x8b", "application/gzip", None),
        ("README", b"read me", "text/plain; charset=utf-8", None),
        ("page", b"<html><script>", "text/plain; charset=utf-8", None),
        ("program", b"\x7fELF\0", "application/octet-stream", None),
        ("empty", b"", "application/octet-stream", None),
        (
            "a.unheard-of",
            b"\xff\xfe",
            "application/octet-stream",
            None,
        ),
        ("html", b"\0", "application/octet-stream", None),
        (".html", b"\0", "application/octet-stream", None),
    ];
    let files: Vec<_> = table
        .iter()
        .map(|(name, bytes, ..)| (*name, *bytes))
        .collect();
    for (arguments, trusted) in [(&[][..], false), (&["--trust-content"], true)] {
        let (_folder, served) = serve(&files, arguments);
        for (name, bytes, media_type, policy) in table {
            let policy = policy.filter(|_| !trusted);
            let target = format!("/{name}");
            // The second comes from the ready bytes.
            let mut client = Client::new(served.address("http"));
            for query in ["", "", "?query"] {
                let reply = client.ask("GET", &format!("{target}{query}"), &[]);
                assert_eq!(reply.status, 200, "{name}");
                assert_eq!(reply.body, *bytes, "{name}");
                assert_eq!(reply.field("Content-Type"), Some(*media_type), "{name}");
                assert_eq!(
                    reply.field("X-Content-Type-Options"),
                    Some("nosniff"),
                    "{name}"
                );
                assert_eq!(reply.field("Content-Security-Policy"), policy, "{name}");
                assert_eq!(reply.field("Cache-Control"), Some("no-cache"), "{name}");
                assert_eq!(reply.field("Accept-Ranges"), Some("bytes"), "{name}");
            }
            if !bytes.is_empty() {
                let part = client.ask("GET", &target, &["Range: bytes=0-0"]);
                assert_eq!(part.field("Content-Security-Policy"), policy, "{name}");
                assert_eq!(part.field("Content-Type"), Some(*media_type), "{name}");
            }
        }
    }
}

#[test]
fn several_parts_of_a_page_are_kept_in_a_sandbox_too() {
    let (_folder, served) = serve(&[("a.html", b"<p>0123456789")], &[]);
    let reply = get(served.address("http"), "/a.html", &["Range: bytes=0-0,5-5"]);
    assert_eq!(reply.status, 206);
    assert_eq!(reply.field("Content-Security-Policy"), SANDBOX);
    assert!(
        reply
            .text()
            .contains("Content-Type: text/html; charset=utf-8\r\n")
    );
}

#[test]
fn a_download_says_its_name() {
    let (_folder, served) = serve(&[("中 \"a\".html", b"<p>")], &[]);
    let target = "/%E4%B8%AD%20%22a%22.html";
    let reply = get(served.address("http"), &format!("{target}?download"), &[]);
    assert_eq!(
        reply.field("Content-Disposition"),
        Some("attachment; filename=\"_ _a_.html\"; filename*=UTF-8''%E4%B8%AD%20%22a%22.html")
    );
    assert_eq!(
        get(served.address("http"), target, &[]).field("Content-Disposition"),
        None
    );
}

#[test]
fn errors_are_pages_for_browsers_and_lines_for_others() {
    let (_folder, served) = serve(&[], &[]);
    let html = "Accept: text/html,application/xhtml+xml,*/*;q=0.8";
    for (fields, media_type) in [
        (&[][..], "text/plain; charset=utf-8"),
        (&["Accept: */*"], "text/plain; charset=utf-8"),
        (&[html], "text/html; charset=utf-8"),
    ] {
        for target in ["/nothing<script>", "/%00"] {
            let reply = get(served.address("http"), target, fields);
            assert!(matches!(reply.status, 400 | 404));
            assert_eq!(reply.field("Content-Type"), Some(media_type));
            // A policy is for a page.
            let has_policy = reply.field("Content-Security-Policy").is_some();
            assert_eq!(has_policy, media_type.starts_with("text/html"));
            assert!(!reply.text().contains("<script>"), "{}", reply.text());
        }
    }
}

// --- Compression -----------------------------------------------------------

#[test]
fn text_is_compressed_on_the_fly_within_bounds() {
    let text = |length: usize| "compress ".repeat(length / 9 + 1)[..length].to_owned();
    let mebibyte = 1024 * 1024;
    let table = [
        ("small.txt", 255, false),
        ("just.txt", 256, true),
        ("a.html", 5000, true),
        ("a.svg", 5000, true),
        ("a.json", 5000, true),
        ("README", 5000, true),
        ("a.png", 5000, false),
        ("a.zip", 5000, false),
        ("large.txt", mebibyte, true),
        ("larger.txt", mebibyte + 1, false),
    ];
    let files: Vec<_> = table
        .iter()
        .map(|(name, length, _)| (*name, text(*length)))
        .collect();
    let files: Vec<_> = files
        .iter()
        .map(|(name, text)| (*name, text.as_bytes()))
        .collect();
    let (_folder, served) = serve(&files, &[]);
    for ((name, _, compressed), (_, bytes)) in table.iter().zip(&files) {
        let target = format!("/{name}");
        let mut client = Client::new(served.address("http"));
        for _ in 0..2 {
            let plain = client.ask("GET", &target, &[]);
            assert_eq!(plain.field("Content-Encoding"), None, "{name}");
            assert!(plain.body == *bytes, "{name}");
            let reply = client.ask("GET", &target, &["Accept-Encoding: gzip, deflate"]);
            let coding = reply.field("Content-Encoding");
            assert_eq!(coding, compressed.then_some("gzip"), "{name}");
            assert_eq!(
                reply.field("Content-Type"),
                plain.field("Content-Type"),
                "{name}"
            );
            assert_eq!(reply.field("Vary"), plain.field("Vary"), "{name}");
            if *compressed {
                assert!(reply.body.len() < bytes.len(), "{name}");
                assert!(gunzip(&reply.body) == *bytes, "{name}");
                assert_eq!(reply.field("Vary"), Some("Accept-Encoding"), "{name}");
            } else {
                assert!(reply.body == *bytes, "{name}");
            }
        }
    }
}

fn gunzip(bytes: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    GzDecoder::new(bytes).read_to_end(&mut plain).unwrap();
    plain
}

#[test]
fn codings_are_used_as_accepted() {
    let text = "text ".repeat(100);
    let (_folder, served) = serve(&[("a.txt", text.as_bytes())], &[]);
    for (accepted, expected) in [
        ("gzip", Some("gzip")),
        ("GZIP", Some("gzip")),
        ("x-gzip", Some("gzip")),
        ("*", Some("gzip")),
        ("br, gzip;q=0.1", Some("gzip")),
        ("gzip;q=0.001", Some("gzip")),
        ("gzip;q=0", None),
        ("gzip;q=0.0, *", None),
        ("*;q=0", None),
        ("gzip;q=2", None),
        ("gzip;q=", None),
        ("br", None),
        ("deflate", None),
        ("identity", None),
        ("", None),
        ("gzipped", None),
    ] {
        let field = format!("Accept-Encoding: {accepted}");
        let reply = get(served.address("http"), "/a.txt", &[&field]);
        assert_eq!(reply.status, 200, "{accepted}");
        assert_eq!(reply.field("Content-Encoding"), expected, "{accepted}");
    }
    let split = ["Accept-Encoding: br", "Accept-Encoding: gzip"];
    let reply = get(served.address("http"), "/a.txt", &split);
    assert_eq!(reply.field("Content-Encoding"), Some("gzip"));
}

/// What passes for a compressed file of this name: it begins as one.
fn packed(name: &str) -> Vec<u8> {
    let mark: &[u8] = match name.rsplit('.').next() {
        Some("gz") => b"\x1f\x8b",
        Some("zst") => b"\x28\xb5\x2f\xfd",
        _ => b"",
    };
    [mark, name.as_bytes()].concat()
}

#[test]
fn a_compressed_neighbour_is_sent_where_it_is_accepted_and_not_stale() {
    let text = "text ".repeat(100);
    let all = [
        "all.txt",
        "stale.txt",
        "same.txt",
        "folder.txt",
        "linked.txt",
        "out.txt",
        "other.txt",
        "a.png",
    ];
    let (folder, served) = serve(&[], &[]);
    let at = |name: &str| folder.path().join(name);
    for name in all {
        write(&at(name), text.as_bytes());
        date(&at(name), 1_000_000_000);
    }
    for name in [
        "all.txt.br",
        "all.txt.zst",
        "all.txt.gz",
        "stale.txt.gz",
        "same.txt.gz",
        "a.png.gz",
    ] {
        write(&at(name), &packed(name));
    }
    // Named like a compressed form, but none.
    write(&at("other.txt.gz"), b"notes on gz");
    date(&at("stale.txt.gz"), 999_999_999);
    date(&at("same.txt.gz"), 1_000_000_000);
    fs::create_dir(at("folder.txt.gz")).unwrap();
    write(&at("elsewhere"), &packed("elsewhere.gz"));
    symlink("elsewhere", at("linked.txt.gz")).unwrap();
    symlink("/etc/passwd", at("out.txt.gz")).unwrap();
    let table = [
        ("all.txt", "br, zstd, gzip", Some("br"), Some("all.txt.br")),
        ("all.txt", "zstd, gzip", Some("zstd"), Some("all.txt.zst")),
        ("all.txt", "gzip", Some("gzip"), Some("all.txt.gz")),
        ("all.txt", "br;q=0, gzip", Some("gzip"), Some("all.txt.gz")),
        ("all.txt", "identity", None, None),
        ("same.txt", "gzip", Some("gzip"), Some("same.txt.gz")),
        ("linked.txt", "gzip", Some("gzip"), Some("elsewhere.gz")),
        // Compressed on the fly instead.
        ("stale.txt", "gzip", Some("gzip"), None),
        ("folder.txt", "gzip", Some("gzip"), None),
        ("out.txt", "gzip", Some("gzip"), None),
        ("other.txt", "gzip", Some("gzip"), None),
        // A picture is small already; what lies beside it is another file.
        ("a.png", "gzip", None, None),
    ];
    for (name, accepted, coding, body) in table {
        let field = format!("Accept-Encoding: {accepted}");
        let mut client = Client::new(served.address("http"));
        for _ in 0..2 {
            let reply = client.ask("GET", &format!("/{name}"), &[&field]);
            assert_eq!(reply.status, 200, "{name} {accepted}");
            assert_eq!(reply.field("Content-Encoding"), coding, "{name} {accepted}");
            match (coding, body) {
                (_, Some(body)) => assert_eq!(reply.body, packed(body), "{name} {accepted}"),
                (Some(_), None) => assert_eq!(gunzip(&reply.body), text.as_bytes(), "{name}"),
                (None, None) => assert_eq!(reply.text(), text, "{name} {accepted}"),
            }
            if name.ends_with(".txt") {
                assert_eq!(reply.field("Vary"), Some("Accept-Encoding"), "{name}");
                assert_eq!(
                    reply.field("Content-Type"),
                    Some("text/plain; charset=utf-8")
                );
            }
        }
    }
    // By its own name it is a file like any other.
    let reply = get(
        served.address("http"),
        "/all.txt.gz",
        &["Accept-Encoding: gzip"],
    );
    assert_eq!(reply.field("Content-Encoding"), None);
    assert_eq!(reply.field("Content-Type"), Some("application/gzip"));
    assert_eq!(reply.body, packed("all.txt.gz"));
}

#[test]
fn a_large_compressed_neighbour_is_sent_whole() {
    let (folder, served) = serve(&[("a.txt", &[b'a'; 2_000_000])], &[]);
    write(&folder.path().join("a.txt.br"), &content(1_500_000));
    let reply = get(served.address("http"), "/a.txt", &["Accept-Encoding: br"]);
    assert_eq!(reply.field("Content-Encoding"), Some("br"));
    assert!(reply.body == content(1_500_000));
}

// --- Index pages -----------------------------------------------------------

#[test]
fn an_index_page_stands_for_its_folder_only_if_told_so() {
    let files: &[(&str, &[u8])] = &[
        ("index.html", b"<p>index"),
        ("sub/index.html", b"<p>sub"),
        ("bare/a.txt", b"a"),
        ("odd/index.html/a.txt", b"a"),
    ];
    let (_folder, served) = serve(files, &["--index"]);
    for (target, body) in [
        ("/", "<p>index"),
        ("/sub/", "<p>sub"),
        ("/?query", "<p>index"),
    ] {
        let mut client = Client::new(served.address("http"));
        for fields in [&[][..], &[], &["Accept: text/html"]] {
            let reply = client.ask("GET", target, fields);
            assert_eq!(reply.text(), body, "{target}");
            assert_eq!(
                reply.field("Content-Type"),
                Some("text/html; charset=utf-8")
            );
            assert_eq!(reply.field("Content-Security-Policy"), SANDBOX);
        }
        let reply = client.ask("GET", target, &["Accept: application/json"]);
        assert_eq!(reply.field("Content-Type"), Some("application/json"));
        let etag = format!(
            "If-None-Match: {}",
            client.ask("GET", target, &[]).field("ETag").unwrap()
        );
        assert_eq!(client.ask("GET", target, &[&etag]).status, 304, "{target}");
        assert_eq!(
            client.ask("GET", target, &["Range: bytes=0-2"]).text(),
            "<p>",
            "{target}"
        );
    }
    assert_eq!(get(served.address("http"), "/sub", &[]).status, 308);
    for target in ["/bare/", "/odd/", "/?json", "/?html", "/sub/?zip"] {
        let reply = get(served.address("http"), target, &[]);
        assert_eq!(reply.status, 200, "{target}");
        assert!(!reply.text().starts_with("<p>"), "{target}");
    }

    let (_folder, served) = serve(files, &[]);
    for target in ["/", "/sub/"] {
        let reply = get(served.address("http"), target, &[]);
        assert!(reply.text().contains("index.html"), "{target}");
        assert!(!reply.text().starts_with("<p>"), "{target}");
    }
    assert_eq!(
        get(served.address("http"), "/index.html", &[]).text(),
        "<p>index"
    );
}
