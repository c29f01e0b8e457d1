//! Where redirects lead, and where not.

use hythe::client::{Ask, Kind, Proxies, Reason, Remote as _};

use crate::scripted::{Scripted, field};
use crate::{as_somebody, fetch, get, path, refused, with, with_options};

const FOUND: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nriver";

fn to(status: u16, location: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status} Moved\r\nLocation: {location}\r\nContent-Length: 4\r\n\r\ngone")
        .into_bytes()
}

#[test]
fn downloads_follow_on_one_connection() {
    for status in [301, 302, 303, 307, 308] {
        let server = Scripted::new(vec![vec![to(status, "../b?x=1#y"), FOUND.to_vec()]]);
        let (_, bytes) = get(&server.url("/pub/a")).unwrap();
        assert_eq!(bytes, b"river");
        assert!(server.seen()[1].starts_with("GET /b?x=1 HTTP/1.1\r\n"));
    }
}

#[test]
fn circles_and_endless_chains_end() {
    let circle = Scripted::new(vec![vec![to(302, "/b"), to(302, "/a")]]);
    let error = refused(&circle.url("/a"));
    assert_eq!(error.reason, Reason::Protocol);
    assert!(error.text.contains("circle"), "{error}");
    let chain = (0..20).map(|index| to(302, &format!("/{index}"))).collect();
    let chain = Scripted::new(vec![chain]);
    let error = refused(&chain.url("/a"));
    assert!(error.text.contains("more than 10"), "{error}");
    assert_eq!(chain.seen().len(), 11);
}

#[test]
fn only_addresses_of_http_are_followed() {
    for location in [
        "file:///etc/passwd",
        "gopher://127.0.0.1:70/",
        "ftp://127.0.0.1/",
        "javascript:alert(1)",
        "http://",
    ] {
        let error = refused(&Scripted::one(to(302, location)).url("/"));
        assert_eq!(error.reason, Reason::Protocol, "{error}");
    }
    let error = refused(&Scripted::one("HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n").url("/"));
    assert_eq!(error.reason, Reason::Protocol);
}

#[test]
fn nobody_else_hears_of_a_login() {
    let second = Scripted::one(FOUND);
    let evil = format!("http://mallory:x@{}/b", second.address);
    let first = Scripted::one(to(302, &evil));
    let options = as_somebody("bob", "secret");
    with_options(&first.url("/"), options, Proxies::none(), async |client| {
        assert_eq!(
            fetch(client, "/a", &Ask::default()).await.unwrap().1,
            b"river"
        );
    });
    assert!(field(&first.seen()[0], "Authorization").is_some());
    assert_eq!(field(&second.seen()[0], "Authorization"), None);
    // Nor where the URL itself has it.
    let second = Scripted::one(FOUND);
    let first = Scripted::one(to(302, &second.url("/b")));
    get(&format!("http://bob:secret@{}/a", first.address)).unwrap();
    assert!(field(&first.seen()[0], "Authorization").is_some());
    assert_eq!(field(&second.seen()[0], "Authorization"), None);
}

#[test]
fn changes_follow_only_to_the_same_server() {
    let done = b"HTTP/1.1 204 No Content\r\n\r\n".to_vec();
    let server = Scripted::new(vec![vec![to(308, "/b"), done.clone()]]);
    with(&server.url("/"), async |client| {
        client.remove(&path("/a"), Kind::File).await.unwrap();
    });
    assert!(server.seen()[1].starts_with("DELETE /b "));
    let other = Scripted::one(done);
    for answer in [to(302, "/b"), to(308, &other.url("/b"))] {
        let server = Scripted::one(answer);
        with(&server.url("/"), async |client| {
            let error = client.remove(&path("/a"), Kind::File).await.unwrap_err();
            assert!(error.text.contains("/b"), "{error}");
        });
    }
    assert_eq!(other.seen().len(), 0);
}

#[test]
fn a_redirect_to_the_slash_is_a_folder() {
    let head = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n".to_vec();
    let moved = b"HTTP/1.1 301 Moved\r\nLocation: /pub/\r\nContent-Length: 10\r\n\r\n".to_vec();
    let server = Scripted::new(vec![vec![moved, head]]);
    with(&server.url("/"), async |client| {
        let entry = client.stat(&path("/pub")).await.unwrap();
        assert_eq!((entry.kind, entry.size), (Kind::Folder, None));
        assert_eq!(entry.path.encoded(), "/pub/");
    });
}
