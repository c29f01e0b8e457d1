//! Ranges, versions, codings, and what refusals mean.

use std::io::Write as _;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use hythe::client::{Ask, Proxies, Reason, Remote as _, Version};

use crate::scripted::{Scripted, field};
use crate::{as_somebody, fetch, get, path, refused, with, with_options};

const DATE: &str = "Thu, 01 Jan 1970 00:00:07 GMT";

fn version(etag: Option<&str>, modified: Option<i64>, size: Option<u64>) -> Version {
    Version {
        etag: etag.map(str::to_owned),
        modified,
        size,
    }
}

fn from(from: u64, version: Version) -> Ask {
    Ask {
        from,
        version: Some(version),
        ..Ask::default()
    }
}

#[test]
fn a_request_says_what_it_must_and_little_more() {
    let server = Scripted::one("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    get(&server.url("/a%20b?x=1")).unwrap();
    let expected = format!(
        "GET /a%20b HTTP/1.1\r\nHost: {}\r\nUser-Agent: hythe/{}\r\nAccept: */*\r\nAccept-Encoding: identity\r\n\r\n",
        server.address,
        env!("CARGO_PKG_VERSION")
    );
    assert_eq!(server.seen(), [expected]);
}

#[test]
fn a_part_is_asked_for_of_one_version() {
    let part = "HTTP/1.1 206 Partial Content\r\nETag: \"v1\"\r\nContent-Range: bytes 6-10/11\r\nContent-Length: 5\r\n\r\nwater";
    for (ask, if_range, range) in [
        (
            from(6, version(Some("\"v1\""), Some(7), Some(11))),
            Some("\"v1\""),
            "bytes=6-",
        ),
        (
            from(6, version(None, Some(7), Some(11))),
            Some(DATE),
            "bytes=6-",
        ),
        (from(6, version(None, None, Some(11))), None, "bytes=6-"),
        (
            Ask {
                to: Some(11),
                version: None,
                ..from(6, Version::default())
            },
            None,
            "bytes=6-10",
        ),
    ] {
        let server = Scripted::one(part);
        with(&server.url("/"), async |client| {
            let (opening, bytes) = fetch(client, "/a", &ask).await.unwrap();
            assert_eq!(bytes, b"water");
            assert_eq!(
                (opening.offset, opening.length, opening.total),
                (6, Some(5), Some(11))
            );
            assert_eq!(opening.version, version(Some("\"v1\""), None, Some(11)));
            assert!(!opening.changed);
            assert!(
                opening.head.starts_with(b"HTTP/1.1 206 ") && opening.head.ends_with(b"\r\n\r\n")
            );
        });
        let seen = server.seen();
        assert_eq!(field(&seen[0], "Range"), Some(range));
        assert_eq!(field(&seen[0], "If-Range"), if_range);
    }
}

#[test]
fn parts_that_do_not_fit_are_refused() {
    let known = version(Some("\"v1\""), None, Some(11));
    for (fields, reason) in [
        (
            "ETag: \"v2\"\r\nContent-Range: bytes 6-10/11",
            Reason::Changed,
        ),
        ("Content-Range: bytes 6-10/12", Reason::Changed),
        ("Content-Range: bytes 0-4/11", Reason::Protocol),
        ("Content-Range: bytes 7-11/12", Reason::Protocol),
        ("Content-Range: bytes 6-9/11", Reason::Protocol),
        ("Content-Range: bytes 6-10/9", Reason::Protocol),
        ("Content-Range: lines 6-10/11", Reason::Protocol),
        (
            "Content-Type: multipart/byteranges; boundary=x",
            Reason::Protocol,
        ),
        ("X: y", Reason::Protocol),
    ] {
        let server = Scripted::one(format!(
            "HTTP/1.1 206 Partial Content\r\n{fields}\r\nContent-Length: 5\r\n\r\nwater"
        ));
        with(&server.url("/"), async |client| {
            let error = fetch(client, "/a", &from(6, known.clone()))
                .await
                .unwrap_err();
            assert_eq!(error.reason, reason, "{fields}: {error}");
        });
    }
    let server =
        Scripted::one("HTTP/1.1 206 Part\r\nContent-Range: bytes 6-9/11\r\n\r\nwater river");
    with(&server.url("/"), async |client| {
        let (_, bytes) = fetch(client, "/a", &from(6, known)).await.unwrap();
        assert_eq!(bytes, b"wate", "a part ends where it says that it does");
    });
}

#[test]
fn a_server_that_ignores_ranges_sends_all_of_it() {
    for (fields, changed) in [
        ("ETag: \"v1\"\r\nContent-Length: 11", false),
        ("ETag: \"v2\"\r\nContent-Length: 11", true),
        (
            "Last-Modified: Thu, 01 Jan 1970 00:00:08 GMT\r\nContent-Length: 11",
            true,
        ),
        ("ETag: W/\"v2\"\r\nContent-Length: 11", false),
    ] {
        let server = Scripted::one(format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\nriver water"));
        with(&server.url("/"), async |client| {
            let ask = from(6, version(Some("\"v1\""), Some(7), Some(11)));
            let (opening, bytes) = fetch(client, "/a", &ask).await.unwrap();
            assert_eq!(bytes, b"river water");
            assert_eq!((opening.offset, opening.total), (0, Some(11)));
            assert_eq!(opening.changed, changed, "{fields}");
        });
    }
}

#[test]
fn nothing_left_to_fetch_is_no_error() {
    let known = version(Some("\"v1\""), None, Some(11));
    let none = "HTTP/1.1 416 No\r\nContent-Range: bytes */11\r\nContent-Length: 3\r\n\r\nno\n";
    let all = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nriver";
    let server = Scripted::one(none);
    with(&server.url("/"), async |client| {
        let (opening, bytes) = fetch(client, "/a", &from(11, known.clone())).await.unwrap();
        assert_eq!(
            (opening.offset, opening.length, bytes.len()),
            (11, Some(0), 0)
        );
        assert!(!opening.changed);
    });
    // It is shorter than it was.
    let shorter = none.replace("/11", "/5");
    for first in [
        shorter.as_str(),
        "HTTP/1.1 416 No\r\nContent-Length: 0\r\n\r\n",
    ] {
        let server = Scripted::new(vec![vec![
            first.as_bytes().to_vec(),
            all.as_bytes().to_vec(),
        ]]);
        with(&server.url("/"), async |client| {
            let (opening, bytes) = fetch(client, "/a", &from(11, known.clone())).await.unwrap();
            assert_eq!((opening.offset, bytes.as_slice()), (0, &b"river"[..]));
            assert!(opening.changed);
        });
        assert_eq!(field(&server.seen()[1], "Range"), None);
    }
}

#[test]
fn what_is_compressed_all_the_same_is_decompressed_and_not_continued() {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(b"river water").unwrap();
    let gzip = gzip.finish().unwrap();
    let head = format!(
        "HTTP/1.1 200 OK\r\nETag: \"v1\"\r\nLast-Modified: {DATE}\r\nContent-Encoding: gzip\r\nContent-Length: {}\r\n\r\n",
        gzip.len()
    );
    let answer = [head.as_bytes(), &gzip].concat();
    let (opening, bytes) = get(&Scripted::one(&answer).url("/a")).unwrap();
    assert_eq!(bytes, b"river water");
    assert_eq!((opening.length, opening.total), (None, None));
    assert!(!opening.version.is_telling());
    // Some say so of what is a compressed file.
    let (opening, bytes) = get(&Scripted::one(&answer).url("/a.tar.gz")).unwrap();
    assert_eq!(bytes, gzip);
    assert_eq!(opening.total, Some(gzip.len() as u64));
}

#[test]
fn a_body_may_end_with_its_connection() {
    let (opening, bytes) = get(&Scripted::one("HTTP/1.0 200 OK\r\n\r\nriver").url("/")).unwrap();
    assert_eq!((opening.length, bytes.as_slice()), (None, &b"river"[..]));
}

#[test]
fn weak_tags_tell_nothing_and_dates_do() {
    let answer = format!(
        "HTTP/1.1 200 OK\r\nETag: W/\"v1\"\r\nLast-Modified: {DATE}\r\nContent-Length: 0\r\n\r\n"
    );
    let (opening, _) = get(&Scripted::one(answer).url("/")).unwrap();
    assert_eq!(opening.version, version(None, Some(7), Some(0)));
}

#[test]
fn names_from_servers_are_only_names() {
    let answer = "HTTP/1.1 200 OK\r\nContent-Disposition: attachment; filename=\"../../x\"\r\nContent-Length: 0\r\n\r\n";
    let (opening, _) = get(&Scripted::one(answer).url("/")).unwrap();
    assert_eq!(opening.name.as_deref(), Some(&b"x"[..]));
}

#[test]
fn only_the_head_comes_if_only_the_head_is_asked_for() {
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n";
    let server = Scripted::new(vec![vec![head.into(), format!("{head}river water").into()]]);
    with(&server.url("/"), async |client| {
        let ask = Ask {
            head_only: true,
            ..Ask::default()
        };
        let opening = client.open(&path("/a"), &ask).await.unwrap();
        assert_eq!(opening.total, Some(11));
        let (_, bytes) = fetch(client, "/a", &Ask::default()).await.unwrap();
        assert_eq!(bytes, b"river water");
    });
    assert!(server.seen()[0].starts_with("HEAD /a "));
}

#[test]
fn refusals_say_what_to_do() {
    let busy = |seconds| Reason::Busy(Some(Duration::from_secs(seconds)));
    for (head, reason) in [
        ("404 Not Found", Reason::NotFound),
        ("410 Gone", Reason::NotFound),
        ("401 Unauthorized", Reason::NotAllowed),
        ("403 Forbidden", Reason::NotAllowed),
        ("407 Proxy", Reason::NotAllowed),
        ("429 Slow\r\nRetry-After: 120", busy(120)),
        (
            "503 Busy\r\nRetry-After: Thu, 01 Jan 1970 00:00:07 GMT",
            busy(0),
        ),
        ("503 Busy\r\nRetry-After: soon", Reason::Busy(None)),
        ("502 Bad", Reason::Busy(None)),
        ("504 Late", Reason::Busy(None)),
        ("500 Oops", Reason::Protocol),
        ("418 Teapot", Reason::Protocol),
        ("304 Not Modified", Reason::Protocol),
    ] {
        let server = Scripted::one(format!("HTTP/1.1 {head}\r\nContent-Length: 0\r\n\r\n"));
        let error = refused(&server.url("/"));
        assert_eq!(error.reason, reason, "{head}: {error}");
    }
    let answer = "HTTP/1.1 403 Forbidden\r\nContent-Type: text/plain\r\nContent-Length: 24\r\n\r\nthis needs a better role";
    let error = refused(&Scripted::one(answer).url("/"));
    assert_eq!(error.text, "403 Forbidden: this needs a better role");
}

#[test]
fn a_login_goes_with_every_request() {
    let answer = b"HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n";
    let server = Scripted::each(&[answer, answer]);
    let url = server.url("/");
    let options = as_somebody("bob", "p:w");
    with_options(&url, options, Proxies::none(), async |client| {
        let error = fetch(client, "/", &Ask::default()).await.unwrap_err();
        assert!(error.text.contains("does not accept"), "{error}");
    });
    assert!(refused(&url).text.contains("--user"));
    let seen = server.seen();
    assert_eq!(field(&seen[0], "Authorization"), Some("Basic Ym9iOnA6dw=="));
    assert_eq!(field(&seen[1], "Authorization"), None);
}
