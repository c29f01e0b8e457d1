//! What is refused at the start, with the reason and the way out.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use crate::common::{hythe, shown};

/// What it says as it refuses to start.
fn refused(share: &Path, arguments: &[&str]) -> String {
    let mut command = hythe();
    command.arg("serve").arg(share).args(["--http", "0"]);
    command
        .args(["--ftp", "off", "--gopher", "off"])
        .args(arguments);
    let mut timed = std::process::Command::new("timeout");
    timed
        .arg("20")
        .arg(command.get_program())
        .args(command.get_args());
    let output = timed.output().unwrap();
    assert_eq!(
        output.status.code(),
        Some(2),
        "{arguments:?}: {}",
        shown(&output)
    );
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn programs_are_never_where_visitors_can_look_or_write() {
    let folder = tempfile::tempdir().unwrap();
    let share = folder.path().join("share");
    let inside = share.join("cgi-bin");
    fs::create_dir_all(&inside).unwrap();
    symlink(&inside, folder.path().join("link")).unwrap();
    let cgi = |path: &Path| format!("/cgi={}", path.display());
    for (path, text) in [
        (
            &inside,
            "would be shared with all else; keep them outside of",
        ),
        (&share, "would be shared with all else"),
        (&folder.path().join("link"), "would be shared with all else"),
        (
            &folder.path().to_path_buf(),
            "which is shared; give it a folder of its own",
        ),
    ] {
        let said = refused(&share, &["--cgi", &cgi(path)]);
        assert!(said.contains(text), "{}: {said}", path.display());
        let said = refused(&share, &["--allow", "upload", "--cgi", &cgi(path)]);
        assert!(said.contains(text), "{}: {said}", path.display());
    }
    // Whole names count.
    let beside = folder.path().join("share-old");
    fs::create_dir(&beside).unwrap();
    let mut served =
        crate::common::Served::http(&share, &["--allow", "write", "--cgi", &cgi(&beside)]);
    assert!(served.child.try_wait().unwrap().is_none());
}

#[test]
fn no_fastcgi_where_anybody_can_put_files() {
    let folder = tempfile::tempdir().unwrap();
    let share = folder.path().join("share");
    fs::create_dir(&share).unwrap();
    let accounts = folder.path().join("accounts.db");
    let accounts = accounts.to_str().unwrap();
    let php = ["--fastcgi", ".php=unix:/tmp/no.sock"];
    for (arguments, texts) in [
        (
            &["--allow", "upload"][..],
            [
                "what visitors put into the share",
                "leave out --allow upload",
            ],
        ),
        (
            &["--allow", "write"],
            ["what visitors put into the share", "--allow write"],
        ),
        (
            &["--user", "anna:secret word"],
            [
                "what anna may put into the share",
                "--user NAME:PASSWORD:read",
            ],
        ),
        (
            &[
                "--user",
                "bob:secret word:read",
                "--user",
                "anna:secret word:upload",
            ],
            ["what anna may put", "the role read"],
        ),
        (
            &["--accounts", accounts, "--register", "upload"],
            ["what those who register put", "--register read"],
        ),
    ] {
        let said = refused(&share, &[arguments, &php].concat());
        for text in texts {
            assert!(said.contains(text), "{arguments:?}: {said}");
        }
    }
    let readers = ["--user", "anna:secret word:read"];
    let mut served = crate::common::Served::http(&share, &[&readers[..], &php].concat());
    assert!(served.child.try_wait().unwrap().is_none());
}

#[test]
fn what_makes_no_sense_is_told_so() {
    let folder = tempfile::tempdir().unwrap();
    let (share, scripts) = (folder.path().join("share"), folder.path().join("scripts"));
    fs::create_dir(&share).unwrap();
    fs::create_dir(&scripts).unwrap();
    let file = share.join("file");
    fs::write(&file, "").unwrap();
    let at = |prefix: &str| format!("{prefix}={}", scripts.display());
    for (arguments, text) in [
        (
            vec!["--cgi".to_owned(), "/cgi".to_owned()],
            "give /PREFIX=DIR",
        ),
        (vec!["--cgi".into(), at("cgi")], "must begin with a slash"),
        (vec!["--cgi".into(), at("/")], "name something"),
        (vec!["--cgi".into(), at("/.hythe")], "plain names"),
        (vec!["--cgi".into(), at("/a/../b")], "plain names"),
        (
            vec!["--cgi".into(), at("/a"), "--cgi".into(), at("/a/")],
            "given twice",
        ),
        (
            vec!["--fastcgi".into(), "php=unix:/x".into()],
            "give ENDING=ADDRESS",
        ),
        (
            vec!["--fastcgi".into(), ".php".into()],
            "give ENDING=ADDRESS",
        ),
        (
            vec!["--fastcgi".into(), ".php=nowhere".into()],
            "is no address of a server",
        ),
    ] {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let said = refused(&share, &arguments);
        assert!(said.contains(text), "{arguments:?}: {said}");
    }
    let said = refused(&file, &["--fastcgi", ".php=unix:/x"]);
    assert!(said.contains("--fastcgi needs a folder"), "{said}");
}
