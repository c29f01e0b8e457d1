//! Forms with files, from curl and as browsers send them.

use std::fs;

use super::{ask, curl, parts, serve, tree};

const TYPE: &str = "Content-Type: multipart/form-data; boundary=b";

/// A form with these files.
fn form(files: &[(&[u8], &[u8])]) -> Vec<u8> {
    let mut form = Vec::new();
    for (name, content) in files {
        form.extend(b"--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"");
        form.extend(*name);
        form.extend(b"\"\r\n\r\n");
        form.extend(*content);
        form.extend(b"\r\n");
    }
    form.extend(b"--b--\r\n");
    form
}

#[test]
fn curl_sends_several_files_in_one_form() {
    let (folder, served) = serve(&[("d/x", b"x")], &["--allow", "upload"]);
    let source = tempfile::tempdir().unwrap();
    let bytes = super::common::content(700_000);
    let one = source.path().join("one 来.bin");
    fs::write(&one, &bytes).unwrap();
    let file = format!("file=@{}", one.display());
    let again = format!("{file};filename=two");
    let url = format!("{}d/", served.url("http"));
    let (status, text) = curl(&["-F", &file, "-F", "text=ignored", "-F", &again, &url]);
    assert_eq!(status, 201, "{text}");
    assert_eq!(text, "one 来.bin: stored\ntwo: stored\n");
    assert_eq!(tree(folder.path()), ["d/", "d/one 来.bin", "d/two", "d/x"]);
    assert!(fs::read(folder.path().join("d/two")).unwrap() == bytes);
    assert!(fs::read(folder.path().join("d/one 来.bin")).unwrap() == bytes);

    // A second time, they are there, and this visitor may not overwrite.
    let (status, text) = curl(&["-F", &file, "-F", "f=@/etc/hostname;filename=new", &url]);
    assert_eq!(status, 403);
    assert!(
        text.contains("one 来.bin: there is a file of this name"),
        "{text}"
    );
    assert!(text.contains("overwriting needs the role write"), "{text}");
    assert!(text.contains("new: stored"), "{text}");
    assert!(folder.path().join("d/new").exists());
}

#[test]
fn a_form_replaces_files_only_where_it_says_so_before_them() {
    let (folder, served) = serve(&[("a", b"old"), ("b", b"old")], &["--allow", "write"]);
    let url = served.url("http");
    let read = |name| fs::read(folder.path().join(name)).unwrap();
    let file = "file=@/dev/stdin;filename=a";
    let text = "a form does not know what is there";
    for fields in [
        &["-F", file][..],
        &["-F", "overwrite=0", "-F", file],
        &["-F", file, "-F", "overwrite=1"],
    ] {
        let (status, reply) = curl(&[fields, &[url]].concat());
        assert_eq!(status, 409, "{text}: {reply}");
        assert!(reply.contains("overwrite=1"), "{reply}");
        assert_eq!(read("a"), b"old");
    }
    let both = [
        "-F",
        "overwrite=1",
        "-F",
        "f=@/dev/null;filename=a",
        "-F",
        "overwrite=",
        "-F",
        "f=@/dev/null;filename=b",
    ];
    let (status, reply) = curl(&[&both[..], &[url]].concat());
    assert_eq!(status, 409, "{reply}");
    assert!(read("a").is_empty() && read("b") == b"old", "{reply}");
    let long = format!("overwrite={}", "1".repeat(100_000));
    let (status, reply) = curl(&["-F", &long, "-F", "f=@/dev/null;filename=b", url]);
    assert_eq!(status, 201, "{reply}");
    assert!(read("b").is_empty());
}

#[test]
fn browsers_are_led_back_and_programs_are_told() {
    let (_folder, served) = serve(&[("d/x", b"x")], &["--allow", "write"]);
    let body = form(&[(b"a.txt", b"a"), (b"b.txt", b"b")]);
    let page = ask(&served, "POST", "/d/", &[TYPE, "Accept: text/html"], &body);
    assert_eq!(page.status, 303);
    assert_eq!(page.field("Location"), Some("/d/"));

    let json = ask(
        &served,
        "POST",
        "/d/",
        &[TYPE, "Accept: application/json"],
        &form(&[(b"c.txt", b"a"), (b"d.txt", b"b")]),
    );
    assert_eq!(json.status, 201);
    let told: serde_json::Value = serde_json::from_slice(&json.body).unwrap();
    assert_eq!(told["files"][1]["href"], "/d/d.txt");

    let bad = form(&[(b"../x", b"a"), (b"<b>", b"b")]);
    let page = ask(&served, "POST", "/d/", &[TYPE, "Accept: text/html"], &bad);
    assert_eq!(page.status, 400);
    assert!(!page.text().contains("<b>"), "names are escaped");
}

#[test]
fn names_lead_nowhere_else() {
    let canary = tempfile::tempdir().unwrap();
    fs::create_dir(canary.path().join("share")).unwrap();
    fs::write(canary.path().join("canary"), b"untouched").unwrap();
    let served = super::common::Served::http(&canary.path().join("share"), &["--allow", "write"]);
    let names: [&[u8]; 16] = [
        b"../canary",
        b"..",
        b".",
        b"/canary",
        b"a/../../canary",
        b"..\\canary",
        b"..%2fcanary\\",
        b"a\0b",
        b"a\x01b",
        b"%0D%0Ax",
        b".hythe",
        b".HYTHE",
        b"C:\\..",
        b"C:\\",
        &[b'n'; 256],
        b"./x",
    ];
    for name in names {
        let reply = ask(&served, "POST", "/", &[TYPE], &form(&[(name, b"evil")]));
        let shown = name.escape_ascii();
        assert!((400..500).contains(&reply.status), "{shown}: {reply:?}");
    }
    assert!(tree(&canary.path().join("share")).is_empty());
    assert_eq!(tree(canary.path()).len(), 2);
    assert_eq!(
        fs::read(canary.path().join("canary")).unwrap(),
        b"untouched"
    );

    // A drive and folders before the name are of the visitor's machine.
    let fake = form(&[(b"C:\\fakepath\\plain.txt", b"x"), (b"%22quoted%22", b"x")]);
    assert_eq!(ask(&served, "POST", "/", &[TYPE], &fake).status, 201);
    assert_eq!(
        tree(&canary.path().join("share")),
        ["\"quoted\"", "plain.txt"]
    );
}

#[test]
fn broken_forms_are_refused_and_leave_no_half_files() {
    let (folder, served) = serve(&[], &["--allow", "write"]);
    let whole = form(&[(b"a", b"content of a file")]);
    for (fields, body) in [
        (&["Content-Type: multipart/form-data"][..], &whole[..]),
        (&["Content-Type: multipart/mixed; boundary=b"], &whole),
        (&[TYPE], b"--b--"),
        (&[TYPE], b"nonsense"),
        (&[TYPE], &whole[..whole.len() - 12]),
        (&[TYPE], b"--b\r\nno field\r\n\r\nx\r\n--b--"),
        (
            &[TYPE],
            b"--b\r\nContent-Disposition: form-data; name=file; filename=\"\"\r\n\r\n\r\n--b--",
        ),
    ] {
        let reply = ask(&served, "POST", "/", fields, body);
        assert!(matches!(reply.status, 400 | 415), "{reply:?}");
        assert!(tree(folder.path()).is_empty());
        super::common::eventually("no part is left", || parts(folder.path()) == 0);
    }
}

#[test]
fn refused_names_are_told_in_part() {
    let (_folder, served) = serve(&[], &["--allow", "write"]);
    let long = vec![b'x'; 4000];
    let body = form(&[(&long, b""), (&long, b"")]);
    for accept in ["*/*", "text/html", "application/json"] {
        let accept = format!("Accept: {accept}");
        let reply = ask(&served, "POST", "/", &[TYPE, &accept], &body);
        assert_eq!(reply.status, 400);
        let text = reply.text();
        assert!(text.contains(&"x".repeat(200)), "{text}");
        assert!(!text.contains(&"x".repeat(300)), "{text}");
    }
}
