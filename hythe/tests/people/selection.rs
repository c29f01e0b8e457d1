//! What was chosen in a folder, as one zip.

use std::io::Write as _;
use std::process::Stdio;

use super::*;
use crate::common::tool;

/// The names in a zip.
fn names(reply: &Reply) -> Vec<String> {
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(reply.field("Content-Type"), Some("application/zip"));
    let file = tempfile::NamedTempFile::new().unwrap();
    file.as_file().write_all(&reply.body).unwrap();
    let listed = tool("unzip")
        .arg("-Z1")
        .arg(file.path())
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    assert!(listed.status.success());
    String::from_utf8(listed.stdout)
        .unwrap()
        .lines()
        .map(Into::into)
        .collect()
}

#[test]
fn chosen_files_and_folders_come_in_one_zip() {
    let site = Site::with(&[]);
    let reply = site.post(
        "/music/?zip",
        "name=one.ogg&name=deep&name=one.ogg",
        &[BROWSER],
    );
    let found = names(&reply);
    assert!(
        found.iter().any(|name| name.ends_with("one.ogg")),
        "{found:?}"
    );
    assert!(
        found.iter().any(|name| name.contains("deep/two")),
        "{found:?}"
    );
    assert_eq!(
        found
            .iter()
            .filter(|name| name.ends_with("one.ogg"))
            .count(),
        1
    );
    assert!(
        !found
            .iter()
            .any(|name| name.contains("out") || name.contains("beside"))
    );
    let one = names(&site.post("/?zip", "name=a.txt", &[]));
    assert_eq!(
        one.len(),
        one.iter().filter(|name| !name.ends_with('/')).count() + usize::from(one.len() > 1)
    );
    // As a page names what a form would change on its way.
    let odd = std::os::unix::ffi::OsStrExt::from_bytes(b"\xff\r\nodd");
    fs::write(site.share().join::<&std::ffi::OsStr>(odd), "odd").unwrap();
    let reply = site.post("/?zip", "name=%FF%0D%0Aodd", &[]);
    assert_eq!(
        names(&reply)
            .iter()
            .filter(|name| name.contains("odd"))
            .count(),
        1
    );
    let reply = site.post("/music/?zip", "href=%2Fmusic%2Fone.ogg", &[]);
    assert!(names(&reply).iter().any(|name| name.ends_with("one.ogg")));
}

#[test]
fn what_is_not_there_is_told_before_the_zip_begins() {
    let site = Site::with(&[]);
    for (target, body, status) in [
        ("/music/?zip", "name=one.ogg&name=nothing", 404),
        ("/music/?zip", "name=out", 404),
        ("/music/?zip", "name=..", 400),
        ("/music/?zip", "name=../a.txt", 400),
        ("/music/?zip", "name=deep/two", 400),
        ("/music/?zip", "name=", 400),
        ("/music/?zip", "", 400),
        ("/music/?zip", "href=/a.txt", 404),
        ("/music/?zip", "href=/music/..%252fa.txt", 404),
        ("/nothing/?zip", "name=a", 404),
        ("/?zip", "name=.hythe", 404),
        ("/a.txt?zip", "name=a", 404),
    ] {
        let reply = site.post(target, body, &[]);
        assert_eq!(reply.status, status, "{target} {body}: {}", reply.text());
    }
    let long = format!("name={}", "a".repeat(1024 * 1024));
    assert_eq!(site.post("/?zip", &long, &[]).status, 413);
}

#[test]
fn who_may_not_read_gets_no_zip() {
    let site = Site::with(&["--allow", "none", "--user", "will:will's password:write"]);
    assert_eq!(site.post("/?zip", "name=a.txt", &[]).status, 401);
    let will = site.sign_in("will");
    assert_eq!(
        site.post("/?zip", "name=a.txt", &[BROWSER, &will]).status,
        200
    );
    let evil = ["Origin: http://evil", &will];
    assert_eq!(site.post("/?zip", "name=a.txt", &evil).status, 403);
}

#[test]
fn a_search_finds_what_is_below() {
    let site = Site::with(&[]);
    let page = site.get("/?q=TWO", &[BROWSER]);
    assert_eq!(page.status, 200);
    assert!(
        page.text()
            .contains("href=\"/music/deep/two%20%3Cb%3E%26.txt\""),
        "{}",
        page.text()
    );
    assert!(!page.text().contains("<b>"));
    let hits = json(&site.get("/music/?json&q=o", &[]));
    assert_eq!(
        (&hits["path"], &hits["complete"]),
        (&"/music".into(), &true.into())
    );
    let found = hits["hits"].to_string();
    assert!(found.contains("one.ogg") && !found.contains("canary") && !found.contains("diary"));
    assert!(site.get("/?q=", &[BROWSER]).text().contains("a.txt"));
    let nasty = site.get("/?q=%3Cscript%3E%22", &[BROWSER]).text();
    assert!(nasty.contains("&#60;script&#62;&#34;") && !nasty.contains("<script>"));
}
