//! Paths and destinations that would lead out of the share.

use std::fs;
use std::os::unix::fs::symlink;

use super::common::Served;
use super::{ask, tree};

#[test]
fn no_path_and_no_destination_leads_out() {
    let outside = tempfile::tempdir().unwrap();
    let share = outside.path().join("share");
    fs::create_dir(&share).unwrap();
    fs::create_dir(outside.path().join("share-other")).unwrap();
    fs::write(outside.path().join("canary"), b"untouched").unwrap();
    fs::write(share.join("file"), b"file").unwrap();
    symlink(outside.path(), share.join("out")).unwrap();
    symlink(outside.path().join("canary"), share.join("link")).unwrap();
    let served = Served::http(&share, &["--allow", "write"]);
    let before = tree(outside.path());
    for nasty in [
        "/out/canary",
        "/out/new",
        "/out/share-other/new",
        "/..%2fcanary",
        "/..%5ccanary",
        "/%2e%2e%2fcanary",
        "/a%00",
        "/.hythe/x",
        "/.HyThe/x",
        "/sub/.hythe/x",
        "/.hythe/uploads/x",
    ] {
        for method in ["PUT", "MKCOL", "DELETE"] {
            let reply = ask(&served, method, nasty, &[], b"");
            assert!(
                (400..500).contains(&reply.status),
                "{method} {nasty}: {reply:?}"
            );
        }
        let to = format!("Destination: {nasty}");
        let to_there = format!("Destination: http://quay{nasty}");
        for method in ["MOVE", "COPY"] {
            for fields in [[to.as_str()], [to_there.as_str()], ["Destination: /new"]] {
                let from = if fields[0] == "Destination: /new" {
                    nasty
                } else {
                    "/file"
                };
                let reply = ask(&served, method, from, &fields, b"");
                assert!(
                    (400..500).contains(&reply.status),
                    "{method} {fields:?}: {reply:?}"
                );
            }
        }
    }
    let canary = fs::read(outside.path().join("canary")).unwrap();
    assert_eq!(canary, b"untouched");
    let now = tree(outside.path());
    assert_eq!(now, before);

    // Dot segments stop at the root, as they do for reading.
    let reply = ask(&served, "PUT", "/../canary", &[], b"inside");
    assert_eq!(reply.status, 201);
    assert_eq!(fs::read(share.join("canary")).unwrap(), b"inside");
    // A link that leads out is replaced, and never followed.
    ask(&served, "PUT", "/link", &[], b"new");
    assert_eq!(
        fs::read(outside.path().join("canary")).unwrap(),
        b"untouched"
    );
}
