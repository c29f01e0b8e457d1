//! From the target of a request to a file, and never to another.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;

use super::common::http::get;
use super::common::{Served, difficult_tree, url_path};
use super::{serve, write};

#[test]
fn paths_are_decoded_once_and_never_lead_out() {
    let outer = tempfile::tempdir().unwrap();
    let root = outer.path().join("share");
    write(&outer.path().join("canary.txt"), b"canary");
    write(&outer.path().join("share-other/canary.txt"), b"canary");
    write(&root.join("a.txt"), b"a");
    write(&root.join("folder/b.txt"), b"b");
    write(&root.join("100%.txt"), b"percent");
    write(&root.join("%61.txt"), b"escaped");
    write(&root.join("dots./..."), b"dots");
    write(&root.join("line\nfeed.txt"), b"line");
    write(&root.join("back\\slash.txt"), b"back");
    write(&root.join("control\x01.txt"), b"control");
    write(&root.join(OsStr::from_bytes(b"\xff\xfe.txt")), b"bytes");
    symlink("../canary.txt", root.join("out")).unwrap();
    symlink("/etc/passwd", root.join("absolute")).unwrap();
    symlink("..", root.join("up")).unwrap();
    symlink("a.txt", root.join("in")).unwrap();
    symlink("loop", root.join("loop")).unwrap();
    let served = Served::http(&root, &[]);
    let table: &[(&str, u16, &[u8])] = &[
        ("/a.txt", 200, b"a"),
        ("/%61.txt", 200, b"a"),
        ("/%61%2Etxt", 200, b"a"),
        ("/%2561.txt", 200, b"escaped"),
        ("/100%25.txt", 200, b"percent"),
        ("/line%0Afeed.txt", 200, b"line"),
        ("/%ff%FE.txt", 200, b"bytes"),
        ("/dots./...", 200, b"dots"),
        ("/in", 200, b"a"),
        // Dot segments are resolved and stop at the root.
        ("/./a.txt", 200, b"a"),
        ("/../a.txt", 200, b"a"),
        ("/folder/../a.txt", 200, b"a"),
        ("/nothing/../a.txt", 200, b"a"),
        ("/folder/b.txt", 200, b"b"),
        ("/folder/%2e/b.txt", 200, b"b"),
        ("/%2e%2e/%2E./a.txt", 200, b"a"),
        ("//a.txt", 200, b"a"),
        ("/folder//b.txt", 200, b"b"),
        ("/../../canary.txt", 404, b""),
        ("/..%2e/canary.txt", 404, b""),
        ("/%2e%2e/canary.txt", 404, b""),
        ("/%252e%252e/canary.txt", 404, b""),
        ("/.../canary.txt", 404, b""),
        ("/..;/canary.txt", 404, b""),
        ("/%c0%ae%c0%ae/canary.txt", 404, b""),
        ("/%e0%80%ae%e0%80%ae/canary.txt", 404, b""),
        ("/../share-other/canary.txt", 404, b""),
        ("/../share/a.txt", 404, b""),
        ("/etc/passwd", 404, b""),
        ("//etc/passwd", 404, b""),
        ("/out", 404, b""),
        ("/absolute", 404, b""),
        ("/up/canary.txt", 404, b""),
        ("/up/share/a.txt", 404, b""),
        ("/loop", 404, b""),
        ("/a.txt/", 404, b""),
        ("/a.txt/b", 404, b""),
        ("/a.txt/..", 200, b""),
        ("/.hythe", 404, b""),
        ("/.hythe/", 404, b""),
        ("/A.TXT", 404, b""),
        ("/a.txt%20", 404, b""),
        ("/a.txt.", 404, b""),
        // What no name can hold, and what another reader would take for a
        // separator.
        ("/folder%2Fb.txt", 400, b""),
        ("/folder%2fb.txt", 400, b""),
        ("/..%2fcanary.txt", 400, b""),
        ("/..%5ccanary.txt", 400, b""),
        ("/..%5Ccanary.txt", 400, b""),
        ("/..\\canary.txt", 400, b""),
        ("/back%5Cslash.txt", 400, b""),
        ("/a.txt%00", 400, b""),
        ("/%00", 400, b""),
        ("/a.txt%00.png", 400, b""),
        ("/control%01.txt", 400, b""),
        ("/a%0D.txt", 400, b""),
        ("/a%09.txt", 400, b""),
        ("/a%1B[31m.txt", 400, b""),
        ("/a%7F.txt", 400, b""),
        ("/a%zz", 400, b""),
        ("/a%2", 400, b""),
        ("/a%", 400, b""),
        ("/%%61.txt", 400, b""),
        ("/%u0061.txt", 400, b""),
        ("/nothing/%00/../../a.txt", 400, b""),
    ];
    for (target, status, body) in table {
        let reply = get(served.address("http"), target, &[]);
        assert_eq!(reply.status, *status, "{target}: {}", reply.text());
        if !body.is_empty() {
            assert_eq!(reply.body, *body, "{target}");
        }
        assert!(
            !reply.text().contains("canary\n") && reply.body != b"canary",
            "{target}"
        );
    }
}

#[test]
fn every_name_a_file_can_have_is_reached() {
    let folder = tempfile::tempdir().unwrap();
    let paths = difficult_tree(folder.path());
    let served = Served::http(folder.path(), &[]);
    for path in paths {
        let target = format!("/{}", url_path(&path));
        let expected = fs::read(folder.path().join(&path)).unwrap();
        let reply = get(served.address("http"), &target, &[]);
        assert_eq!(reply.status, 200, "{path:?}");
        assert!(reply.body == expected, "{path:?}");
        let reply = get(served.address("http"), &format!("{target}?download"), &[]);
        let disposition = reply.field("Content-Disposition").unwrap();
        assert!(
            disposition.starts_with("attachment; filename=\""),
            "{disposition}"
        );
        assert!(disposition.is_ascii(), "{disposition}");
    }
}

#[test]
fn a_folder_without_its_slash_is_redirected_to_itself() {
    let (folder, served) = serve(&[("folder/sub/a.txt", b"a")], &[]);
    write(&folder.path().join("evil.com/a.txt"), b"a");
    write(&folder.path().join("a b/a.txt"), b"a");
    write(
        &folder.path().join(OsStr::from_bytes(b"\xff\r\n/a.txt")),
        b"a",
    );
    symlink("folder", folder.path().join("link")).unwrap();
    let table = [
        ("/folder", "/folder/"),
        ("/folder/sub", "/folder/sub/"),
        ("/folder//sub", "/folder/sub/"),
        ("/folder/../folder/./sub", "/folder/sub/"),
        ("/folder?json", "/folder/?json"),
        ("/folder?a=b&c=%20d?e", "/folder/?a=b&c=%20d?e"),
        ("/folder?", "/folder/?"),
        ("/link", "/link/"),
        ("/a%20b", "/a%20b/"),
        // Two slashes at the beginning would name a host.
        ("//evil.com", "/evil.com/"),
        ("///evil.com", "/evil.com/"),
        ("/./%2e/../evil.com", "/evil.com/"),
        ("/.//evil.com", "/evil.com/"),
        ("//evil.com?//evil.com", "/evil.com/?//evil.com"),
        ("http://other/folder", "/folder/"),
        ("http://other//evil.com", "/evil.com/"),
    ];
    for (target, location) in table {
        let reply = get(served.address("http"), target, &[]);
        assert_eq!(reply.status, 308, "{target}");
        assert_eq!(reply.field("Location"), Some(location), "{target}");
        assert_eq!(
            get(served.address("http"), location, &[]).status,
            200,
            "{target}"
        );
    }
    for target in [
        "//evil.com/",
        "//evil.com/..",
        "//evil.com/%2e%2e/",
        "/",
        "//",
        "/folder/.",
    ] {
        let reply = get(served.address("http"), target, &[]);
        assert_eq!(reply.status, 200, "{target}");
    }
    for target in [
        "//evil.org/",
        "//evil.org",
        "/\\evil.com",
        "/%5Cevil.com",
        "/%0D%0AA:%20b",
    ] {
        let reply = get(served.address("http"), target, &[]);
        assert!(matches!(reply.status, 400 | 404), "{target}");
        assert_eq!(reply.field("Location"), None, "{target}");
    }
}

#[test]
fn a_share_of_one_file_has_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    write(&folder.path().join("a.txt"), b"a");
    write(&folder.path().join("b.txt"), b"canary");
    let served = Served::http(&folder.path().join("a.txt"), &[]);
    for (target, status) in [
        ("/a.txt", 200),
        ("/", 200),
        ("/b.txt", 404),
        ("/../b.txt", 404),
        ("/a.txt/../b.txt", 404),
        ("/a.txt/", 404),
    ] {
        let reply = get(served.address("http"), target, &[]);
        assert_eq!(reply.status, status, "{target}");
        assert!(
            !reply.text().contains("canary") && !reply.text().contains("b.txt"),
            "{target}"
        );
    }
    let reply = get(served.address("http"), "/?json", &[]);
    assert!(reply.text().contains("\"a.txt\""));
}
