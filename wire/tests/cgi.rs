//! What scripts are told, and the heads of what they answer: whole, in pieces, and nasty.

mod tables;

use std::collections::HashMap;

use hythe_wire::http::cgi::*;
use hythe_wire::http::{FieldStorage, MAX_FIELDS, MAX_HEAD};
use proptest::prelude::*;

type Shown = Result<Option<(String, usize)>, u16>;

/// What the parser says, in a form that can be compared and outlives the input.
fn head(bytes: &[u8]) -> Shown {
    let mut storage = FieldStorage::new();
    match ScriptHead::parse(bytes, &mut storage) {
        Ok(parsed) => Ok(parsed.map(|(head, used)| (format!("{head:?}"), used))),
        Err(error) => Err(error.status),
    }
}

#[test]
fn heads_are_complete_at_their_last_byte_and_never_before() {
    for message in tables::SCRIPT_HEADS {
        let shown = message.escape_ascii();
        let whole = head(message);
        let Ok(Some((_, used))) = &whole else {
            panic!("{shown}: {whole:?}")
        };
        assert_eq!(*used, message.len(), "{shown}");
        for end in 0..message.len() {
            assert_eq!(head(&message[..end]), Ok(None), "{shown} cut at {end}");
        }
        for more in [&b"\n"[..], b"body\r\n\r\n", b"\xff\0"] {
            assert_eq!(head(&[message, more].concat()), whole, "{shown}");
        }
    }
}

/// Status, length, location, and the names that are passed on.
fn read(bytes: &[u8]) -> (u16, Option<u64>, Option<&[u8]>, Vec<&str>) {
    let mut storage = FieldStorage::new();
    let (head, _) = ScriptHead::parse(bytes, &mut storage).unwrap().unwrap();
    let names = head.passed().map(|(name, _)| name).collect();
    (head.status, head.length, head.location, names)
}

#[test]
fn a_head_says_its_status_and_where_to_go() {
    let plain = "Content-Type";
    assert_eq!(
        read(b"Content-Type: a/b\n\n"),
        (200, None, None, vec![plain])
    );
    assert_eq!(
        read(b"Content-Type: a/b\nStatus: 418 I'm a teapot\nContent-Length: 7\n\n"),
        (418, Some(7), None, vec![plain])
    );
    assert_eq!(
        read(b"Location: /a?b\n\n"),
        (302, None, Some(&b"/a?b"[..]), vec!["Location"])
    );
    assert_eq!(
        read(b"Status: 201\nLocation: http://quay/\n\n"),
        (201, None, Some(&b"http://quay/"[..]), vec!["Location"])
    );
    assert_eq!(
        read(b"Location:\nContent-Type: a/b\n\n"),
        (200, None, None, vec!["Location", plain])
    );
    for status in ["200", "599", "404 ", "404\tx"] {
        let head = format!("Status: {status}\n\n");
        assert_eq!(read(head.as_bytes()).0, status[..3].parse().unwrap());
    }
}

#[test]
fn what_is_the_servers_to_say_is_not_passed_on() {
    let head =
        b"Content-Type: a/b\nCONNECTION: close, X-Hop\nKeep-Alive: 1\nx-hop: 1\nUpgrade: h2c\n\
        Trailer: a\nTE: a\nProxy-Connection: a\nDate: now\nServer: mine\nStatus: 200\n\
        Content-Length: 1\nSet-Cookie: a=b\nSet-Cookie: c=d\nX-Powered-By: steam\n\n";
    let names = vec!["Content-Type", "Set-Cookie", "Set-Cookie", "X-Powered-By"];
    assert_eq!(read(head).3, names);
}

#[test]
fn bad_heads_are_refused() {
    let cases: &[&[u8]] = &[
        b"\nbody",
        b"\r\nbody",
        b"hello\n\n",
        b"<html>\n\n",
        b"X-Own: 1\n\n",
        b"HTTP/1.1 200 OK\nContent-Type: a/b\n\n",
        b"Content-Type : a/b\n\n",
        b"Content-Type: a/b\n folded\n\n",
        b"Content-Type: a/b\0\n\n",
        b"Content-Type: a/b\rX: y\n\n",
        b": a\n\n",
        b"Content-Type: a/b\nTransfer-Encoding: chunked\n\n",
        b"Content-Type: a/b\ntransfer-encoding:\n\n",
        b"Content-Type: a/b\nContent-Length: 5\nContent-Length: 6\n\n",
        b"Content-Type: a/b\nContent-Length: -1\n\n",
        b"Content-Type: a/b\nContent-Length:\n\n",
        b"Content-Type: a/b\nContent-Length: 18446744073709551616\n\n",
        b"Content-Type: a/b\nContent-Type: c/d\n\n",
        b"Location: /a\nLocation: /b\n\n",
        b"Status: 200\nStatus: 404\n\n",
        b"Status:\n\n",
        b"Status: OK\n\n",
        b"Status: 20\n\n",
        b"Status: 2000\n\n",
        b"Status: 200OK\n\n",
        b"Status: 100 Continue\n\n",
        b"Status: 101 Switching Protocols\n\n",
        b"Status: 199\n\n",
        b"Status: 600\n\n",
        b"Status: +20\n\n",
    ];
    for case in cases {
        assert_eq!(head(case), Err(502), "{}", case.escape_ascii());
    }
}

#[test]
fn heads_at_below_and_above_their_limits() {
    let sized = |size: usize| {
        let start = "Content-Type: a/b\nX: ";
        format!("{start}{}\n\n", "x".repeat(size - start.len() - 2)).into_bytes()
    };
    for size in [MAX_HEAD - 1, MAX_HEAD] {
        assert!(matches!(head(&sized(size)), Ok(Some((_, used))) if used == size));
    }
    assert_eq!(head(&sized(MAX_HEAD + 1)), Err(502));
    // Without end, it is refused when it can't become one.
    let endless = [&b"X: "[..], &vec![b'x'; MAX_HEAD]].concat();
    assert_eq!(head(&endless[..MAX_HEAD - 1]), Ok(None));
    assert_eq!(head(&endless[..MAX_HEAD]), Err(502));
    let counted = |count| format!("Content-Type: a\n{}\n", "X: y\n".repeat(count - 1)).into_bytes();
    assert!(matches!(head(&counted(MAX_FIELDS)), Ok(Some(_))));
    assert_eq!(head(&counted(MAX_FIELDS + 1)), Err(502));
}

fn variables(meta: &Meta<'_>, fields: &[(&str, &[u8])]) -> HashMap<String, Vec<u8>> {
    let variables = meta.variables(fields.iter().copied());
    let count = variables.len();
    let map: HashMap<_, _> = variables.into_iter().collect();
    assert_eq!(map.len(), count, "a variable twice");
    map
}

const META: Meta<'_> = Meta {
    method: "POST",
    target: b"/cgi/a%20b/%E6%9D%A5?q=%C3%A4",
    script_name: b"/cgi/a b",
    path_info: "/来".as_bytes(),
    query: b"q=%C3%A4",
    script_filename: b"/srv/scripts/a b",
    document_root: b"/srv/scripts",
    protocol: "HTTP/1.1",
    is_encrypted: false,
    local_address: "127.0.0.1",
    local_port: 8000,
    remote_address: "::1",
    remote_port: 4000,
    user: None,
    length: Some(5),
    software: "hythe/1",
};

#[test]
fn the_variables_of_a_request() {
    let fields: &[(&str, &[u8])] = &[
        ("host", b"quay.example:8000"),
        ("Content-type", b"text/plain"),
        ("Content-Length", b"5"),
        ("Accept", b"a/b"),
        ("accept", b"c/d"),
        ("Cookie", b"a=b"),
        ("cookie", b"c=d"),
        ("X-Name", "来".as_bytes()),
    ];
    let expected: HashMap<_, _> = [
        ("GATEWAY_INTERFACE", "CGI/1.1"),
        ("SERVER_SOFTWARE", "hythe/1"),
        ("SERVER_PROTOCOL", "HTTP/1.1"),
        ("SERVER_NAME", "quay.example"),
        ("SERVER_ADDR", "127.0.0.1"),
        ("SERVER_PORT", "8000"),
        ("REMOTE_ADDR", "::1"),
        ("REMOTE_PORT", "4000"),
        ("REQUEST_METHOD", "POST"),
        ("REQUEST_URI", "/cgi/a%20b/%E6%9D%A5?q=%C3%A4"),
        ("REQUEST_SCHEME", "http"),
        ("SCRIPT_NAME", "/cgi/a b"),
        ("SCRIPT_FILENAME", "/srv/scripts/a b"),
        ("DOCUMENT_ROOT", "/srv/scripts"),
        ("PATH_INFO", "/来"),
        ("QUERY_STRING", "q=%C3%A4"),
        ("CONTENT_LENGTH", "5"),
        ("CONTENT_TYPE", "text/plain"),
        ("HTTP_HOST", "quay.example:8000"),
        ("HTTP_ACCEPT", "a/b, c/d"),
        ("HTTP_COOKIE", "a=b; c=d"),
        ("HTTP_X_NAME", "来"),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec()))
    .collect();
    assert_eq!(variables(&META, fields), expected);

    let meta = Meta {
        path_info: b"",
        is_encrypted: true,
        user: Some(("Basic", "anna")),
        length: None,
        ..META
    };
    let found = variables(&meta, fields);
    assert_eq!(found["HTTPS"], b"on");
    assert_eq!(found["REQUEST_SCHEME"], b"https");
    assert_eq!(found["AUTH_TYPE"], b"Basic");
    assert_eq!(found["REMOTE_USER"], b"anna");
    for absent in [
        "PATH_INFO",
        "CONTENT_LENGTH",
        "CONTENT_TYPE",
        "PATH_TRANSLATED",
    ] {
        assert!(!found.contains_key(absent), "{absent}");
    }
}

#[test]
fn fields_that_no_script_must_have() {
    for name in [
        "Proxy",
        "PROXY",
        "Authorization",
        "proxy-authorization",
        "Content-Type",
        "content-length",
        "Connection",
        "Transfer-Encoding",
        "TE",
        "Upgrade",
        "Expect",
        "X_User",
        "X_",
        "X.User",
        "X User",
        "X=User",
        "X\0",
        "Ü",
        "",
    ] {
        assert_eq!(variable(name), None, "{name}");
    }
    assert_eq!(variable("X-a1"), Some("HTTP_X_A1".into()));
    assert_eq!(variable("Proxy-"), Some("HTTP_PROXY_".into()));
    // The nasty one does not get in beside the honest one.
    let found = variables(&META, &[("X-User", b"anna"), ("X_User", b"admin")]);
    assert_eq!(found["HTTP_X_USER"], b"anna");
    // Nor is a value cut at a NUL.
    assert!(!variables(&META, &[("X", b"a\0b")]).contains_key("HTTP_X"));
}

#[test]
fn a_server_is_called_what_a_host_can_be_called() {
    for (host, name) in [
        ("quay", "quay"),
        ("quay:80", "quay"),
        ("[::1]:80", "[::1]"),
        ("[::1]", "[::1]"),
        ("1.2.3.4", "1.2.3.4"),
        ("", "127.0.0.1"),
        (":80", "127.0.0.1"),
        ("a/b", "127.0.0.1"),
        ("<script>", "127.0.0.1"),
        ("a b", "127.0.0.1"),
    ] {
        let found = variables(&META, &[("Host", host.as_bytes())]);
        assert_eq!(found["SERVER_NAME"], name.as_bytes(), "{host}");
    }
    assert_eq!(variables(&META, &[])["SERVER_NAME"], b"127.0.0.1");
}

proptest! {
    #[test]
    fn no_field_can_become_another_variable(
        fields in prop::collection::vec((".{0,20}", prop::collection::vec(any::<u8>(), 0..20)), 0..9),
    ) {
        let plain = META.variables([].into_iter());
        let given = fields.iter().map(|(name, value)| (&**name, &**value));
        for (name, value) in META.variables(given) {
            let known = plain.contains(&(name.clone(), value.clone()));
            let named = ["SERVER_NAME", "CONTENT_TYPE"].contains(&&*name);
            prop_assert!(known || named || name.starts_with("HTTP_"), "{name}");
            prop_assert!(name != "HTTP_PROXY" && name != "HTTP_AUTHORIZATION");
            prop_assert!(!name.contains('=') && !name.contains('\0') && !value.contains(&0));
        }
    }

    #[test]
    fn any_head_is_the_same_in_pieces(text in "[A-Z:\n\r a-z0-9-]{0,60}", at in 0..60usize) {
        let bytes = text.as_bytes();
        let part = head(&bytes[..at.min(bytes.len())]);
        if part != Ok(None) {
            prop_assert_eq!(part, head(bytes));
        }
    }
}
