//! Names out of metadata never lead out of the folder.

use std::fs;

use crate::common::DIFFICULT_NAMES;
use crate::{Quay, metadata};

#[test]
fn nasty_names_are_refused_and_touch_nothing() {
    let quay = Quay::new(&[]);
    let outside = tempfile::tempdir().unwrap();
    let canary = outside.path().join("canary");
    fs::write(&canary, b"alive").unwrap();
    std::os::unix::fs::symlink(outside.path(), quay.path("out")).unwrap();
    std::os::unix::fs::symlink(&canary, quay.path("link")).unwrap();
    let absolute = canary.to_str().unwrap().as_bytes();
    let up = [&b"../".repeat(20), &absolute[1..]].concat();
    let names: &[&[u8]] = &[
        b"..",
        b".",
        b"/",
        absolute,
        &up,
        b"../canary",
        b"..\\canary",
        b"a\\b",
        b"a\0b",
        b"a\nb",
        b"\x1b[31m",
        b"\x7f",
        b".hythe",
        b".HYTHE",
        &[b'x'; 256],
    ];
    for name in names {
        let shown = name.escape_ascii();
        let reply = quay.ask(
            "POST",
            "/",
            &["Upload-Length: 0", &metadata(&[("filename", name)])],
            b"",
        );
        assert!(
            matches!(reply.status, 400 | 403 | 404),
            "{shown}: {reply:?}"
        );
    }
    let long = b"x/".repeat(2100);
    let paths: &[&[u8]] = &[
        &up,
        b"../x",
        b"x/../../x",
        b"x/./x",
        b"x//x",
        b"//x",
        b"x/..",
        b"x\\..\\x",
        b"x\0/x",
        b".hythe/x",
        b"x/.Hythe/x",
        b".hythe/uploads/x",
        // A link that leaves the share is in the way, as a file is.
        b"out/x",
        b"out/canary",
        &long,
    ];
    for path in paths {
        let shown = path.escape_ascii();
        let pairs = metadata(&[("relativePath", path), ("filename", b"x")]);
        for length in [0, 1] {
            let length = format!("Upload-Length: {length}");
            let reply = quay.ask("POST", "/", &[&length, &pairs], b"");
            // What is only seen at the end is refused there.
            if reply.status == 201 && length.ends_with('1') {
                let reply = quay.patch(&crate::location(&reply), 0, b"x");
                assert!(reply.status >= 400, "{shown}: {reply:?}");
            } else {
                assert!(matches!(reply.status, 400..=409), "{shown}: {reply:?}");
            }
        }
    }
    // The link itself is replaced, and what it leads to is not.
    let pairs = metadata(&[("filename", b"link")]);
    assert_eq!(
        quay.ask("POST", "/", &["Upload-Length: 0", &pairs], b"")
            .status,
        201
    );
    assert_eq!(fs::read(&canary).unwrap(), b"alive");
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 1);
    assert_eq!(quay.names(), ["link", "out/canary"]);
}

#[test]
fn a_link_that_is_swapped_in_leads_nowhere() {
    let quay = Quay::new(&[]);
    let outside = tempfile::tempdir().unwrap();
    let pairs = metadata(&[("relativePath", b"x/y/a"), ("filename", b"a")]);
    let upload = quay.create(&["Upload-Length: 1", &pairs]);
    fs::create_dir(quay.path("x")).unwrap();
    std::os::unix::fs::symlink(outside.path(), quay.path("x/y")).unwrap();
    let reply = quay.patch(&upload, 0, b"x");
    assert!(matches!(reply.status, 404 | 409), "{reply:?}");
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
    fs::remove_file(quay.path("x/y")).unwrap();
    assert_eq!(quay.patch(&upload, 1, b"").status, 204);
    assert_eq!(fs::read(quay.path("x/y/a")).unwrap(), b"x");
}

#[test]
fn difficult_names_are_names() {
    let quay = Quay::new(&[]);
    fs::create_dir(quay.path("in")).unwrap();
    for name in DIFFICULT_NAMES {
        let pairs = metadata(&[("filename", name)]);
        let reply = quay.ask("POST", "/in/", &["Upload-Length: 0", &pairs], b"");
        // A line feed is in files that are there, and in none that is made.
        if name.contains(&b'\n') {
            assert_eq!(reply.status, 400);
            continue;
        }
        assert_eq!(reply.status, 201, "{}: {reply:?}", name.escape_ascii());
        let place = reply.field("Content-Location").unwrap();
        let fetched = crate::common::http::get(quay.address(), place, &[]);
        assert_eq!(fetched.status, 200, "{place}");
    }
    assert_eq!(quay.names().len(), DIFFICULT_NAMES.len() - 1);
}

#[test]
fn folders_on_the_way_are_made() {
    let quay = Quay::allowing("upload", &[]);
    for (path, name) in [
        ("x/y/z/a", "a"),
        ("/x/y/b", "b"),
        ("x/c", "c"),
        ("null", "d"),
    ] {
        let pairs = metadata(&[
            ("relativePath", path.as_bytes()),
            ("filename", name.as_bytes()),
        ]);
        let upload = quay.create(&["Upload-Length: 1", &pairs]);
        assert_eq!(quay.patch(&upload, 0, b"x").status, 204, "{path}");
    }
    assert_eq!(quay.names(), ["d", "x/c", "x/y/b", "x/y/z/a"]);
}
