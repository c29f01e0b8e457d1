//! What another site makes a browser ask is refused, of all that changes
//! something.

use super::common::http::get;
use super::{ask, serve, tree};

#[test]
fn what_comes_from_another_site_changes_nothing() {
    let (folder, served) = serve(&[("a", b"a"), ("d/x", b"x")], &["--allow", "write"]);
    let before = tree(folder.path());
    let form = "Content-Type: multipart/form-data; boundary=b";
    let body = b"--b\r\nContent-Disposition: form-data; filename=new\r\n\r\nx\r\n--b--";
    for evil in [
        "Sec-Fetch-Site: cross-site",
        "Sec-Fetch-Site: same-site",
        "Sec-Fetch-Site: ",
        "Origin: http://evil",
        "Origin: null",
        "Origin: http://quay.evil",
        "Origin: http://quay:1",
    ] {
        for (method, target) in [
            ("PUT", "/new"),
            ("DELETE", "/a"),
            ("DELETE", "/d/"),
            ("MKCOL", "/new"),
            ("MOVE", "/a"),
            ("COPY", "/a"),
            ("POST", "/"),
        ] {
            let body: &[u8] = if method == "POST" { body } else { b"" };
            let fields = [evil, "Destination: /b", form];
            let reply = ask(&served, method, target, &fields, body);
            assert_eq!(reply.status, 403, "{method} {evil}");
            assert!(reply.text().contains("another site"), "{}", reply.text());
        }
        let read = get(served.address("http"), "/a", &[evil]);
        assert_eq!(read.status, 200, "reading is the browser's to forbid");
        assert_eq!(read.field("Access-Control-Allow-Origin"), None);
    }
    assert_eq!(tree(folder.path()), before);
}

#[test]
fn what_comes_from_our_pages_and_from_programs_is_done() {
    let (_folder, served) = serve(&[], &["--allow", "write"]);
    for ours in [
        "Sec-Fetch-Site: same-origin",
        "Sec-Fetch-Site: none",
        "Origin: http://quay",
        "Origin: http://QUAY",
        "X-Nothing: known",
    ] {
        let reply = ask(&served, "PUT", "/new", &[ours], b"x");
        assert!(matches!(reply.status, 201 | 204), "{ours}");
    }
}
