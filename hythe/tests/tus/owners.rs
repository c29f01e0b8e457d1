//! Uploads of those who have an account: nobody else has anything to do with
//! them, however the owner signs in.

use super::common::people::{People, basic};
use super::*;

const ORIGIN: &str = "Origin: http://quay";

/// Begins an upload of this length: its address.
fn begin(people: &People, length: usize, fields: &[&str]) -> String {
    let length = format!("Upload-Length: {length}");
    let fields = [&[&*length], fields].concat();
    location(&ask(people.address(), "POST", "/", &fields, b""))
}

fn patch(people: &People, at: &str, offset: usize, fields: &[&str], body: &[u8]) -> Reply {
    let offset = format!("Upload-Offset: {offset}");
    let fields = [&[BYTES, &offset], fields].concat();
    ask(people.address(), "PATCH", at, &fields, body)
}

fn head(people: &People, at: &str, fields: &[&str]) -> Reply {
    ask(people.address(), "HEAD", at, fields, b"")
}

#[test]
fn for_all_others_it_does_not_exist() {
    let people = People::new(&["--allow", "upload"]);
    let (bob, ann, eve) = (basic("bob"), basic("ann"), basic("eve"));
    let session = people.sign_in("ann");
    let concat = "Upload-Concat: partial";
    let at = begin(&people, 4, &[&bob, &filename("bobs")]);
    assert_eq!(patch(&people, &at, 0, &[&bob], b"bo").status, 204);
    let part = begin(&people, 1, &[&bob, concat]);
    assert_eq!(patch(&people, &part, 0, &[&bob], b"b").status, 204);
    let before = people.kept();
    let others: [&[&str]; 4] = [&[], &[&ann], &[&eve], &[&session, ORIGIN]];
    for fields in others {
        assert_eq!(head(&people, &at, fields).status, 404, "{fields:?}");
        assert_eq!(patch(&people, &at, 2, fields, b"xx").status, 404);
        assert_eq!(patch(&people, &at, 0, fields, b"xx").status, 404);
        let override_ = [&["X-HTTP-Method-Override: DELETE"], fields].concat();
        for (method, fields) in [("DELETE", fields), ("POST", &override_)] {
            let reply = ask(people.address(), method, &at, fields, b"");
            assert_eq!(reply.status, 404, "{fields:?}");
        }
        let own = begin(&people, 1, &[&[concat], fields].concat());
        assert_eq!(patch(&people, &own, 0, fields, b"o").status, 204);
        for urls in [format!("{own} {part}"), part.clone(), at.clone()] {
            let join = format!("Upload-Concat: final;{urls}");
            let name = filename("stolen");
            let fields = [&[&*join, &*name], fields].concat();
            let reply = ask(people.address(), "POST", "/", &fields, b"");
            assert_eq!(reply.status, 404, "{fields:?}: {}", reply.text());
        }
        assert_eq!(
            ask(people.address(), "DELETE", &own, fields, b"").status,
            204
        );
    }
    assert_eq!(people.kept(), before);
    assert_eq!(people.tree(), []);
    // Nor has a writer been disturbed by any of it.
    let done = patch(&people, &at, 2, &[&bob], b"b!");
    assert_eq!(done.status, 204, "{}", done.text());
    assert_eq!(people.tree(), [("bobs".to_owned(), b"bob!".to_vec())]);
    // Where it is now, its owner alone is told.
    assert_eq!(head(&people, &at, &[&bob]).status, 200);
    for fields in others {
        assert_eq!(head(&people, &at, fields).status, 404);
    }
}

#[test]
fn a_strangers_upload_is_not_an_accounts() {
    let people = People::new(&["--allow", "upload"]);
    let at = begin(&people, 4, &[]);
    for fields in [&[&*basic("bob")][..], &[&people.sign_in("bob"), ORIGIN]] {
        assert_eq!(head(&people, &at, fields).status, 404);
        assert_eq!(patch(&people, &at, 0, fields, b"xxxx").status, 404);
    }
    assert_eq!(offset(&head(&people, &at, &[])), 0);
}

#[test]
fn the_owner_is_the_same_by_session_and_by_password() {
    let people = People::new(&[]);
    let (bob, session) = (basic("bob"), people.sign_in("bob"));
    let by_session: [&str; 2] = [&session, ORIGIN];
    let at = begin(
        &people,
        6,
        &[&by_session[..], &[&filename("bobs")]].concat(),
    );
    assert_eq!(patch(&people, &at, 0, &[&bob], b"12").status, 204);
    assert_eq!(patch(&people, &at, 2, &by_session, b"34").status, 204);
    assert_eq!(offset(&head(&people, &at, &[&bob])), 4);
    assert_eq!(offset(&head(&people, &at, &[&session])), 4);
    // A cookie alone does not show where a request comes from.
    let fields = [BYTES, "Tus-Resumable: 1.0.0", "Upload-Offset: 4"];
    let plain = |method: &str, more: &[&str]| {
        let body: &[u8] = if method == "PATCH" { b"xx" } else { b"" };
        people.ask(method, &at, &[&fields[..], more].concat(), body)
    };
    assert_eq!(plain("PATCH", &[&session]).status, 403);
    // Of both, the password counts.
    let both = [&*basic("ann"), &*session, ORIGIN];
    assert_eq!(patch(&people, &at, 4, &both, b"xx").status, 404);
    let wrong = format!(
        "Authorization: Basic {}",
        Base64::encode_string(b"bob:wrong")
    );
    assert_eq!(plain("HEAD", &[&wrong, &session]).status, 401);
    assert_eq!(patch(&people, &at, 4, &by_session, b"56").status, 204);
    assert_eq!(people.tree(), [("bobs".to_owned(), b"123456".to_vec())]);
    assert_eq!(people.used("bob"), 6);
}

#[test]
fn a_session_that_ends_in_mid_upload_is_begun_anew_and_it_goes_on() {
    let people = People::new(&[]);
    let first = people.sign_in("bob");
    let at = begin(&people, 6, &[&first, ORIGIN, &filename("bobs")]);
    assert_eq!(patch(&people, &at, 0, &[&first, ORIGIN], b"12").status, 204);
    // Time has passed; or it was ended somewhere else.
    let ends: [(&str, &str); 2] = [
        ("expired", "UPDATE sessions SET used = 1"),
        ("ended", "DELETE FROM sessions"),
    ];
    let mut cookie = first;
    for (index, (why, sql)) in ends.into_iter().enumerate() {
        let db = rusqlite::Connection::open(people.database()).unwrap();
        assert_eq!(db.execute(sql, []).unwrap(), 1, "{why}");
        drop(db);
        let at_offset = 2 + 2 * index;
        let fields = [&*cookie, ORIGIN];
        let refused = patch(&people, &at, at_offset, &fields, b"xx");
        assert_eq!(refused.status, 401, "{why}: {}", refused.text());
        assert_eq!(head(&people, &at, &fields).status, 401, "{why}");
        let delete = ask(people.address(), "DELETE", &at, &fields, b"");
        assert_eq!(delete.status, 401, "{why}");
        cookie = people.sign_in("bob");
        assert_eq!(offset(&head(&people, &at, &[&cookie])), at_offset, "{why}");
        let more = patch(&people, &at, at_offset, &[&cookie, ORIGIN], b"34");
        assert_eq!(more.status, 204, "{why}: {}", more.text());
    }
    assert_eq!(people.tree(), [("bobs".to_owned(), b"123434".to_vec())]);
}
