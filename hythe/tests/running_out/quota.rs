//! Quotas over HTTP, with accounts as an operator makes them.

use super::common::content;
use super::*;

const QUOTA: usize = MIB;

/// Bob may store a mebibyte, and has stored a quarter.
fn people() -> People {
    let people = People::new(&["--log", "off"]);
    people.quota("bob", "1M");
    let put = people.ask("PUT", "/first", &[&basic("bob")], &content(QUOTA / 4));
    assert_eq!(put.status, 201, "{}", put.text());
    assert_eq!(people.used("bob"), QUOTA as u64 / 4);
    people
}

/// A smaller file is taken, and it goes again.
fn smaller_fits(people: &People) {
    let bob = basic("bob");
    let rest = content(QUOTA - QUOTA / 4);
    assert_eq!(people.ask("PUT", "/fits", &[&bob], &rest).status, 201);
    assert_eq!(people.used("bob"), QUOTA as u64);
    assert_eq!(people.ask("DELETE", "/fits", &[&bob], b"").status, 204);
    assert_eq!(people.used("bob"), QUOTA as u64 / 4);
}

#[test]
fn a_body_of_unknown_length_is_taken_as_far_as_there_is_room() {
    let people = people();
    let bob = basic("bob");
    let much = content(QUOTA);
    leaves_all_as_it_was(&people, "PUT", || {
        people.raw("PUT", &chunked("PUT", "/new", &[&bob], &much))
    });
    leaves_all_as_it_was(&people, "PUT over one's own", || {
        let much = content(QUOTA + 1);
        people.raw("PUT", &chunked("PUT", "/first", &[&bob], &much))
    });
    smaller_fits(&people);
    // What it takes the place of counts no more: to the byte.
    let all = content(QUOTA);
    let put = people.raw("PUT", &chunked("PUT", "/first", &[&bob], &all));
    assert_eq!(put.status, 204, "{}", put.text());
    assert_eq!(people.tree(), [("first".to_owned(), all)]);
    assert_eq!(people.used("bob"), QUOTA as u64);
    // Who has no quota is not held to another's.
    let put = people.raw("PUT", &chunked("PUT", "/new", &[&basic("ann")], &much));
    assert_eq!(put.status, 201, "{}", put.text());
}

#[test]
fn a_known_length_is_refused_at_once() {
    let people = people();
    let bob = basic("bob");
    let length = format!("Content-Length: {QUOTA}");
    leaves_all_as_it_was(&people, "PUT", || {
        expecting(&people, "PUT", "/new", &[&bob, &length])
    });
    assert_eq!(
        people
            .ask("PUT", "/anns", &[&basic("ann")], b"ann's")
            .status,
        201
    );
    leaves_all_as_it_was(&people, "PUT over another's", || {
        expecting(&people, "PUT", "/anns", &[&bob, &length])
    });
    let length = format!("Upload-Length: {QUOTA}");
    leaves_all_as_it_was(&people, "tus", || {
        people.ask("POST", "/", &[TUS, &bob, &length], b"")
    });
    smaller_fits(&people);
}

#[test]
fn a_form_is_taken_as_far_as_there_is_room() {
    let people = people();
    let bob = basic("bob");
    for (name, length) in [("new", QUOTA), ("first", QUOTA + 1)] {
        let (kind, body) = form(name, &content(length));
        leaves_all_as_it_was(&people, name, || {
            people.ask("POST", "/", &[&bob, kind], &body)
        });
        leaves_all_as_it_was(&people, name, || {
            people.raw("POST", &chunked("POST", "/", &[&bob, kind], &body))
        });
    }
    smaller_fits(&people);
    let (kind, body) = form("new", &content(QUOTA / 2));
    let reply = people.ask("POST", "/", &[&bob, kind], &body);
    assert_eq!(reply.status, 201, "{}", reply.text());
    assert_eq!(people.used("bob"), QUOTA as u64 * 3 / 4);
}

#[test]
fn a_resumable_upload_of_unknown_length_goes_as_far_as_there_is_room() {
    let people = people();
    let bob = basic("bob");
    let room = QUOTA - QUOTA / 4;
    let begun = people.ask("POST", "/", &[TUS, &bob, "Upload-Defer-Length: 1"], b"");
    assert_eq!(begun.status, 201, "{}", begun.text());
    let at = begun.field("Location").unwrap().to_owned();
    let offset = || {
        let reply = people.ask("HEAD", &at, &[TUS, &bob], b"");
        assert_eq!(reply.status, 200);
        reply
            .field("Upload-Offset")
            .unwrap()
            .parse::<usize>()
            .unwrap()
    };
    let fields = |offset: usize| {
        [TUS, BYTES, &bob]
            .map(str::to_owned)
            .into_iter()
            .chain([format!("Upload-Offset: {offset}")])
            .collect::<Vec<_>>()
    };
    let patch = |from: usize, body: &[u8], is_chunked: bool| {
        let fields = fields(from);
        let fields: Vec<&str> = fields.iter().map(String::as_str).collect();
        if is_chunked {
            people.raw("PATCH", &chunked("PATCH", &at, &fields, body))
        } else {
            people.ask("PATCH", &at, &fields, body)
        }
    };
    // Known to be too much: none of it is taken.
    leaves_all_as_it_was(&people, "PATCH", || patch(0, &content(room + 1), false));
    assert_eq!(offset(), 0);
    // Found to be too much: what came before is kept, and it counts.
    let much = content(room + 200 * KIB);
    leaves_all_as_it_was(&people, "PATCH in chunks", || patch(0, &much, true));
    let came = offset();
    assert!(came <= room, "{came}");
    let refused = expecting(
        &people,
        "PUT",
        "/new",
        &[&bob, &format!("Content-Length: {}", room + 1)],
    );
    assert_eq!(refused.status, 507);
    // To the last byte, and not one more.
    if came < room {
        assert_eq!(patch(came, &much[came..room], false).status, 204);
    }
    leaves_all_as_it_was(&people, "one more", || patch(room, b"x", true));
    assert_eq!(offset(), room);
    // Now its length is known, and it appears.
    let mut last = fields(room);
    last.push(format!("Upload-Length: {room}"));
    let last: Vec<&str> = last.iter().map(String::as_str).collect();
    let done = people.ask("PATCH", &at, &last, b"");
    assert_eq!(done.status, 204, "{}", done.text());
    assert_eq!((people.used("bob"), people.kept()), (QUOTA as u64, vec![]));
    let name = at.rsplit('/').next().unwrap();
    let tree = people.tree();
    let (_, bytes) = tree.iter().find(|(found, _)| found == name).unwrap();
    assert!(*bytes == much[..room]);
    assert_eq!(
        people
            .ask("DELETE", &format!("/{name}"), &[&bob], b"")
            .status,
        204
    );
    smaller_fits(&people);
}

#[test]
fn copies_count_and_a_tree_is_copied_whole_or_not_at_all() {
    let people = people();
    let bob = basic("bob");
    let quarter = content(QUOTA / 4);
    assert_eq!(people.ask("MKCOL", "/folder/", &[&bob], b"").status, 201);
    for name in ["/folder/one", "/folder/two"] {
        assert_eq!(people.ask("PUT", name, &[&bob], &quarter).status, 201);
    }
    let copy = |from: &str, to: &str, who: &str| {
        let to = format!("Destination: {to}");
        people.ask("COPY", from, &[who, &to], b"")
    };
    // Three quarters are taken: one more of them has room, two have not.
    leaves_all_as_it_was(&people, "a folder", || copy("/folder/", "/copy/", &bob));
    assert_eq!(copy("/first", "/copy", &bob).status, 201);
    assert_eq!(people.used("bob"), QUOTA as u64);
    leaves_all_as_it_was(&people, "a file", || copy("/first", "/another", &bob));
    assert_eq!(
        people
            .ask("PUT", "/anns", &[&basic("ann")], b"ann's")
            .status,
        201
    );
    leaves_all_as_it_was(&people, "over another's", || copy("/first", "/anns", &bob));
    // Over one of the same length nothing changes, and moving is no copying.
    assert_eq!(copy("/first", "/copy", &bob).status, 204);
    let moved = people.ask("MOVE", "/copy", &[&bob, "Destination: /moved"], b"");
    assert_eq!(moved.status, 201);
    assert_eq!(people.used("bob"), QUOTA as u64);
    assert_eq!(copy("/folder/", "/copy/", &basic("ann")).status, 201);
    assert_eq!(people.used("ann"), QUOTA as u64 / 2 + 5);
    assert_eq!(people.ask("DELETE", "/moved", &[&bob], b"").status, 204);
    assert_eq!(people.ask("DELETE", "/folder/", &[&bob], b"").status, 204);
    smaller_fits(&people);
}

#[test]
fn a_real_client_is_told() {
    let people = people();
    let file = people.folder().join("much");
    std::fs::write(&file, content(3 * MIB)).unwrap();
    let url = people.served.url("http");
    for arguments in [
        &["-T", file.to_str().unwrap()][..],
        &["-T", file.to_str().unwrap(), "-H", CHUNKED],
        &["-F", &format!("file=@{}", file.display())],
    ] {
        leaves_all_as_it_was(&people, &format!("{arguments:?}"), || {
            let mut curl = common::tool("curl");
            curl.args(["-sS", "-u", "bob:bob's password", "-w", "\n%{http_code}"]);
            let output = curl.args(arguments).arg(url).output().unwrap();
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            let (body, status) = text.rsplit_once('\n').unwrap();
            Reply {
                status: status.parse().unwrap(),
                fields: Vec::new(),
                body: body.as_bytes().to_vec(),
            }
        });
    }
    smaller_fits(&people);
}
