//! The folder page's script in real Chromium: what people do there.

mod common;

use std::fs;
use std::path::Path;
use std::process::Stdio;

use common::{Served, difficult_tree, shown, tool};

/// Lets a person do something on the page of `share`; see `browser/folder.py`.
fn person(share: &Path, arguments: &[&str], what: &str) {
    let served = Served::http(share, arguments);
    let own = tempfile::tempdir().unwrap();
    // Needed for itself: Python starts it.
    tool("chromium");
    let output = tool("python3")
        .arg(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/browser/folder.py"
        ))
        .arg(served.url("http"))
        .args([share, own.path()])
        .arg(what)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", shown(&output));
}

#[test]
fn people_manage_files_of_any_name() {
    let share = tempfile::tempdir().unwrap();
    difficult_tree(share.path());
    fs::write(share.path().join("<script>alert(1)<"), "").unwrap();
    person(share.path(), &["--allow", "write"], "manage");
}

#[test]
fn people_upload_files_and_folders() {
    let share = tempfile::tempdir().unwrap();
    let arguments = ["--allow", "write", "--max-upload", "8M"];
    person(share.path(), &arguments, "upload");
}

#[test]
fn people_look_at_files_without_running_them() {
    let share = tempfile::tempdir().unwrap();
    let write = |name: &str, content: &[u8]| {
        fs::write(share.path().join(name), content).unwrap();
    };
    write(
        "readme.md",
        b"# Title\n\n- one\n  - two `code`\n\n| a | b |\n|---|---|\n| 1 | <img src=x onerror=ran=1> |\n\n\
          [good](https://example.org/) [bad](javascript:ran=1) ![far](https://example.org/x.png \"no\")\n\
          <script>ran=1</script>\n",
    );
    write("gbk.txt", b"\xc4\xe3\xba\xc3\xa3\xac\xca\xc0\xbd\xe7");
    write("page.html", b"<!DOCTYPE html><script>parent.ran=1</script>");
    write(
        "drawing.svg",
        b"<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'>\
          <script>parent.ran=1</script></svg>",
    );
    write("thing.bin", b"\0\x01\x02\xff");
    person(share.path(), &[], "preview");
}

#[test]
fn the_page_fits_a_phone_and_speaks_chinese() {
    let share = tempfile::tempdir().unwrap();
    difficult_tree(share.path());
    person(share.path(), &["--allow", "write"], "look");
}
