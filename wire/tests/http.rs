//! HTTP/1.1 messages: whole, in pieces, and nasty.

mod tables;

use hythe_wire::http::*;
use proptest::prelude::*;

type Shown = Result<Option<(String, usize)>, u16>;

/// What a parser says, in a form that can be compared and outlives the input.
fn request(bytes: &[u8]) -> Shown {
    let mut storage = FieldStorage::new();
    match Request::parse(bytes, &mut storage) {
        Ok(parsed) => Ok(parsed.map(|(request, used)| (format!("{request:?}"), used))),
        Err(error) => Err(error.status),
    }
}

fn response(bytes: &[u8]) -> Shown {
    let mut storage = FieldStorage::new();
    match Response::parse(bytes, Method::Get, &mut storage) {
        Ok(parsed) => Ok(parsed.map(|(response, used)| (format!("{response:?}"), used))),
        Err(error) => Err(error.status),
    }
}

#[test]
fn heads_are_complete_at_their_last_byte_and_never_before() {
    let tables = [
        (request as fn(&[u8]) -> Shown, tables::REQUESTS),
        (response, tables::RESPONSES),
    ];
    for (parse, table) in tables {
        for message in table {
            let shown = message.escape_ascii();
            let whole = parse(message);
            let Ok(Some((_, used))) = &whole else {
                panic!("{shown}: {whole:?}")
            };
            assert_eq!(*used, message.len(), "{shown}");
            for end in 0..message.len() {
                assert_eq!(parse(&message[..end]), Ok(None), "{shown} cut at {end}");
                assert_eq!(
                    head_end(&message[..end], end.saturating_sub(1)),
                    None,
                    "{shown}"
                );
                assert_eq!(
                    head_end(message, end),
                    Some(message.len()),
                    "{shown} from {end}"
                );
            }
            assert_eq!(
                parse(&[message, &b"GET /next"[..]].concat()),
                whole,
                "{shown}"
            );
        }
    }
}

#[test]
fn a_request_is_interpreted_in_one_pass() -> Result<(), Error> {
    let head = b"PUT http://Quay:8000/a%2Fb?q=1 HTTP/1.1\r\nHost: other\r\naccept: text/html\r\n\
        Range: bytes=0-1\r\nIf-Range: \"r\"\r\nAccept: application/json\r\nUser-Agent: one\r\n\
        user-agent: two\r\nContent-Length: 12\r\nexpect: 100-Continue\r\nX-Own: 1\r\n\
        If-Match: \"a\"\r\nIF-MATCH: \"b\"\r\nCookie: c=d\r\nOrigin: null\r\n\
        Connection: keep-alive, Close\r\nContent-Type: a/b\r\nAuthorization: Basic Og==\r\n\r\n";
    let mut storage = FieldStorage::new();
    let Some((request, used)) = Request::parse(head, &mut storage)? else {
        panic!("incomplete")
    };
    assert_eq!(used, head.len());
    assert_eq!(request.method, Method::Put);
    assert_eq!(
        request.target,
        Target {
            path: b"/a%2Fb",
            query: Some(b"q=1")
        }
    );
    assert_eq!(request.raw_target, b"http://Quay:8000/a%2Fb?q=1");
    assert_eq!(request.host, Some(&b"Quay:8000"[..]));
    assert_eq!(request.framing, Framing::Length(12));
    assert!(request.expect_continue && !request.keep_alive);
    assert_eq!(
        request.accept.collect::<Vec<_>>(),
        [&b"text/html"[..], b"application/json"]
    );
    assert!(matches_etag(
        request.if_match,
        Some(b"\"b\""),
        Comparison::Strong
    ));
    assert!(request.if_none_match.is_empty());
    assert_eq!(request.user_agent, Some(&b"one"[..]));
    assert_eq!(request.range, Some(&b"bytes=0-1"[..]));
    assert_eq!(request.if_range, Some(&b"\"r\""[..]));
    assert_eq!(request.cookie.collect::<Vec<_>>(), [b"c=d"]);
    assert_eq!(request.origin, Some(&b"null"[..]));
    assert_eq!(request.content_type, Some(&b"a/b"[..]));
    assert_eq!(request.authorization, Some(&b"Basic Og=="[..]));
    assert_eq!(request.fields.one("x-own")?, Some(&b"1"[..]));
    assert_eq!(request.fields.one("accept").unwrap_err().status, 400);
    assert_eq!(request.fields.iter().len(), 17);
    Ok(())
}

/// Start lines on their own; a Host is added.
#[test]
fn bad_start_lines_are_refused() {
    let cases: &[(u16, &[u8])] = &[
        (400, b"GET /"),
        (400, b"GET  / HTTP/1.1"),
        (400, b"GET / HTTP/1.1 "),
        (400, b" GET / HTTP/1.1"),
        (400, b"GET\t/ HTTP/1.1"),
        (400, b"GET / HTTP/1.1\r"),
        (400, b"GET /\r HTTP/1.1"),
        (400, b"GET /\x00 HTTP/1.1"),
        (400, b"GET /a#b HTTP/1.1"),
        (400, b"GET a HTTP/1.1"),
        (400, b"GET * HTTP/1.1"),
        (400, b"GET ftp://quay/ HTTP/1.1"),
        (400, b"GET http:///a HTTP/1.1"),
        (400, b"GET http://anna@quay/ HTTP/1.1"),
        (400, b"GET http:/a HTTP/1.1"),
        (400, b"GET / HTTP/11"),
        (400, b"GET / http/1.1"),
        (400, b"G(T / HTTP/1.1"),
        (501, b"get / HTTP/1.1"),
        (501, b"BREW / HTTP/1.1"),
        (501, b"CONNECT quay:80 HTTP/1.1"),
        (505, b"GET / HTTP/2.0"),
        (505, b"PRI * HTTP/2.0"),
        (505, b"GET / HTTP/0.9"),
    ];
    for (status, line) in cases {
        let message = [line, &b"\r\nHost: quay\r\n\r\n"[..]].concat();
        assert_eq!(request(&message), Err(*status), "{}", line.escape_ascii());
    }
}

/// Fields of a POST in HTTP/1.1 that has no others.
#[test]
fn bad_fields_are_refused() {
    let cases: &[(u16, &[u8])] = &[
        (400, b"X: y"), // no Host
        (400, b"Host: a\r\nHost: a"),
        (400, b"Host: a b"),
        (400, b"Host: a/b"),
        (400, b"Host: anna@a"),
        (400, b"Host: a:b"),
        (400, b"Host: a:65536"),
        (400, b"Host: [::1"),
        (400, b"Host: [quay]"),
        (400, b"Host: a, b\xff"),
        (400, b"Host : a"),
        (400, b"Host: a\r\n folded"),
        (400, b"Host: a\r\n\tfolded"),
        (400, b"Host: a\x00"),
        (400, b"Host: a\rX: y"),
        (400, b"Host: a\r\n: y"),
        (400, b"Host: a\r\nX"),
        (
            400,
            b"Host: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked",
        ),
        (
            400,
            b"Host: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 1",
        ),
        (400, b"Host: a\r\nContent-Length: 1\r\nContent-Length: 2"),
        (400, b"Host: a\r\nContent-Length: 1, 2"),
        (400, b"Host: a\r\nContent-Length: 1,"),
        (400, b"Host: a\r\nContent-Length: +1"),
        (400, b"Host: a\r\nContent-Length: -1"),
        (400, b"Host: a\r\nContent-Length: 0x1"),
        (400, b"Host: a\r\nContent-Length: 1 2"),
        (400, b"Host: a\r\nContent-Length:"),
        (400, b"Host: a\r\nContent-Length: 18446744073709551616"),
        (400, b"Host: a\r\nTransfer-Encoding: chunked, gzip"),
        (
            400,
            b"Host: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: gzip",
        ),
        (400, b"Host: a\r\nTransfer-Encoding: chunked, chunked"),
        (400, b"Host: a\r\nTransfer-Encoding: gzip"),
        (400, b"Host: a\r\nTransfer-Encoding: xchunked"),
        (400, b"Host: a\r\nTransfer-Encoding: chunked;q=1"),
        (400, b"Host: a\r\nTransfer-Encoding: \"chunked\""),
        (400, b"Host: a\r\nTransfer-Encoding: \x0bchunked"),
        (400, b"Host: a\r\nTransfer-Encoding:"),
        (400, b"Host: a\r\nTransfer-Encoding : chunked"),
        (501, b"Host: a\r\nTransfer-Encoding: gzip, chunked"),
        (
            501,
            b"Host: a\r\nTransfer-Encoding: foo\r\nTransfer-Encoding: chunked",
        ),
        (417, b"Host: a\r\nExpect: 200-ok"),
        (417, b"Host: a\r\nExpect: 100-continue, more"),
        (400, b"Host: a\r\nRange: bytes=0-1\r\nRange: bytes=2-3"),
        (400, b"Host: a\r\nAuthorization: a\r\nAuthorization: b"),
        (400, b"Host: a\r\nOrigin: a\r\nOrigin: b"),
    ];
    for (status, fields) in cases {
        let message = [b"POST / HTTP/1.1\r\n", *fields, b"\r\n\r\n"].concat();
        assert_eq!(request(&message), Err(*status), "{}", fields.escape_ascii());
    }
    assert_eq!(
        request(b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"),
        Err(400)
    );
    assert!(request(b"POST / HTTP/1.0\r\nExpect: 200-ok\r\n\r\n").is_ok());
}

#[test]
fn what_begins_no_request_is_refused_at_once() {
    for start in [
        &b"\x16\x03\x01"[..],
        b"\0",
        b"\x80",
        b" ",
        b"\r\n\r\n\r\n",
        b"\rG",
    ] {
        assert_eq!(request(start), Err(400), "{}", start.escape_ascii());
        assert_eq!(check_partial(start).unwrap_err().status, 400);
    }
    assert_eq!(check_partial(b"\r\n\r"), Ok(()));
}

#[test]
fn limits_hold_before_the_head_is_complete() {
    let endless_line = [b'G'].repeat(MAX_REQUEST_LINE);
    assert_eq!(request(&endless_line[1..]), Ok(None));
    assert_eq!(request(&endless_line), Err(414));

    let exact_line = format!(
        "GET /{} HTTP/1.0\r\n\r\n",
        "a".repeat(MAX_REQUEST_LINE - 16)
    );
    assert!(matches!(request(exact_line.as_bytes()), Ok(Some(_))));

    let head = |length: usize| {
        let start = "GET / HTTP/1.0\r\nX: ";
        format!("{start}{}\r\n\r\n", "a".repeat(length - start.len() - 4)).into_bytes()
    };
    assert!(matches!(request(&head(MAX_HEAD)), Ok(Some(_))));
    assert_eq!(request(&head(MAX_HEAD + 1)), Err(431));
    assert_eq!(request(&head(MAX_HEAD + 1)[..MAX_HEAD]), Err(431));
    assert_eq!(
        check_partial(&head(MAX_HEAD + 1)[..MAX_HEAD])
            .unwrap_err()
            .status,
        431
    );

    let fields = |count: usize| format!("GET / HTTP/1.0\r\n{}\r\n", "X: y\r\n".repeat(count));
    assert!(matches!(
        request(fields(MAX_FIELDS).as_bytes()),
        Ok(Some(_))
    ));
    assert_eq!(request(fields(MAX_FIELDS + 1).as_bytes()), Err(431));
}

#[test]
fn connections_persist_by_version_and_option() -> Result<(), Error> {
    for (keeps, version, connection) in [
        (true, "1.1", "x"),
        (false, "1.1", "Close"),
        (false, "1.1", "keep-alive\r\nConnection: x, close"),
        (false, "1.0", "x"),
        (true, "1.0", "x,Keep-Alive"),
        (false, "1.0", "keep-alive, close"),
    ] {
        let head = format!("GET / HTTP/{version}\r\nHost: a\r\nConnection: {connection}\r\n\r\n");
        let mut storage = FieldStorage::new();
        let parsed = Request::parse(head.as_bytes(), &mut storage)?;
        assert_eq!(
            parsed.map(|(request, _)| request.keep_alive),
            Some(keeps),
            "{head}"
        );
    }
    Ok(())
}

#[test]
fn response_bodies_are_framed_by_what_was_asked() {
    let body = |asked, head: &str| {
        let mut storage = FieldStorage::new();
        Response::parse(head.as_bytes(), asked, &mut storage)
            .map(|parsed| parsed.map(|(response, _)| (response.body, response.keep_alive)))
            .map_err(|error| error.status)
    };
    let ok = |fields: &str| format!("HTTP/1.1 200 OK\r\n{fields}\r\n");
    let get = Method::Get;
    assert_eq!(body(get, &ok("")), Ok(Some((Body::UntilClose, false))));
    assert_eq!(
        body(get, &ok("Content-Length: 0\r\n")),
        Ok(Some((Body::Length(0), true)))
    );
    assert_eq!(
        body(Method::Head, &ok("Content-Length: 9\r\n")),
        Ok(Some((Body::None, true)))
    );
    assert_eq!(body(Method::Connect, &ok("")), Ok(Some((Body::None, true))));
    let chunked = "Transfer-Encoding: chunked\r\n";
    assert_eq!(body(get, &ok(chunked)), Ok(Some((Body::Chunked, true))));
    assert_eq!(
        body(get, &ok("Transfer-Encoding: gzip, chunked\r\n")),
        Err(502)
    );
    assert_eq!(
        body(get, &ok(&format!("{chunked}Content-Length: 1\r\n"))),
        Err(502)
    );
    assert_eq!(
        body(get, &ok("Content-Length: 1\r\nContent-Length: 2\r\n")),
        Err(502)
    );
    for line in [
        "ICY 200 OK",
        "HTTP/2.0 200 OK",
        "HTTP/1.1 20 OK",
        "HTTP/1.1 2000",
        "HTTP/1.1",
    ] {
        assert_eq!(body(get, &format!("{line}\r\n\r\n")), Err(502), "{line}");
    }
}

/// Decodes `input` in pieces of `piece` bytes; gives the data and what is left over.
fn dechunk(input: &[u8], piece: usize) -> Result<(Vec<u8>, Option<&[u8]>), Error> {
    let mut decoder = Chunked::new();
    let (mut data, mut at, mut end) = (Vec::new(), 0, 0);
    while !decoder.is_done() {
        let step = decoder.decode(&input[at..end])?;
        data.extend_from_slice(step.data);
        at += step.consumed;
        assert_eq!(step.done, decoder.is_done());
        if at == end && !step.done {
            if end == input.len() {
                return Ok((data, None));
            }
            end = input.len().min(end + piece);
        }
    }
    Ok((data, Some(&input[at..])))
}

#[test]
fn chunked_bodies_decode_whole_and_in_pieces() {
    for (message, carried) in tables::CHUNKED {
        let trailing = [message, &b"GET /next"[..]].concat();
        for piece in [1, 2, 3, trailing.len()] {
            let decoded = dechunk(&trailing, piece);
            assert_eq!(decoded, Ok((carried.to_vec(), Some(&b"GET /next"[..]))));
        }
        for end in 0..message.len() {
            assert!(matches!(
                dechunk(&message[..end], end.max(1)),
                Ok((_, None))
            ));
        }
    }
}

#[test]
fn bad_chunks_are_refused() {
    let cases: &[&[u8]] = &[
        b"\r\n",
        b";x\r\n",
        b"g\r\n",
        b"-1\r\n",
        b"+1\r\n",
        b"0x1\r\n",
        b" 1\r\n",
        b"1 \r\n",
        b"1\n",
        b"1\rx",
        b"00000000000000001\r\n",
        b"10000000000000000\r\n",
        b"1;x\n",
        b"1;\x00",
        b"1;x\rx",
        b"1\r\nxx",
        b"1\r\nx\n",
        b"1\r\nx\rx",
        b"0\r\n\n",
        b"0\r\n\rx",
        b"0\r\n folded: y\r\n",
        b"0\r\nX : y\r\n",
        b"0\r\nX\r\n",
        b"0\r\n: y\r\n",
        b"0\r\nX: y\n",
        b"0\r\nX: \x00",
    ];
    for case in cases {
        for piece in [1, case.len()] {
            let status = dechunk(case, piece).map_err(|error| error.status);
            assert_eq!(status, Err(400), "{}", case.escape_ascii());
        }
    }
    let long = [b"0\r\nX: ", &b"y".repeat(MAX_TRAILERS)[..]].concat();
    assert_eq!(dechunk(&long, 100).unwrap_err().status, 431);
    let extended = b"1;0123456789\r\nx\r\n".repeat(MAX_EXTENSIONS / 10 + 1);
    assert_eq!(dechunk(&extended, 100).unwrap_err().status, 431);
    // The largest size there is must not overflow anything.
    assert_eq!(
        dechunk(b"ffffffffffffffff\r\nxyz", 4),
        Ok((b"xyz".to_vec(), None))
    );
}

#[test]
fn ranges() {
    use Ranges::{Parts, Unsatisfiable, Whole};
    let one = |start, end| Parts(std::iter::once(start..end).collect());
    let cases: &[(&str, Ranges)] = &[
        ("bytes=0-0", one(0, 1)),
        ("BYTES=2-", one(2, 10)),
        ("bytes=-3", one(7, 10)),
        ("bytes=-30", one(0, 10)),
        ("bytes=5-99999999999999999999999999999", one(5, 10)),
        ("bytes=-99999999999999999999999999999", one(0, 10)),
        ("bytes=0-18446744073709551615", one(0, 10)),
        ("bytes=18446744073709551615-", Unsatisfiable),
        ("bytes=99999999999999999999999999999-", Unsatisfiable),
        ("bytes=-0", Unsatisfiable),
        ("bytes=10-", Unsatisfiable),
        ("bytes=10-20,-0", Unsatisfiable),
        ("bytes=10-20, 1-2", one(1, 3)),
        ("bytes=8-9,0-1", Parts(vec![8..10, 0..2])),
        ("bytes=0-3,2-5", one(0, 6)),
        ("bytes=4-5,0-3", one(0, 6)),
        ("bytes=0-1,0-1,5-5", Parts(vec![0..2, 5..6])),
        ("bytes=, 0-1 ,,", one(0, 2)),
        ("", Whole),
        ("bytes", Whole),
        ("bytes=", Whole),
        ("bytes=,", Whole),
        ("bytes=-", Whole),
        ("bytes=a-b", Whole),
        ("bytes=3-2", Whole),
        ("bytes=1", Whole),
        ("bytes=1-2-3", Whole),
        ("bytes=+1-2", Whole),
        ("bytes=0-1,x", Whole),
        ("bytes 0-1", Whole),
        ("octets=0-1", Whole),
    ];
    for (value, ranges) in cases {
        assert_eq!(parse_range(value.as_bytes(), 10), *ranges, "{value}");
    }
    assert_eq!(parse_range(b"bytes=0-", 0), Unsatisfiable);
    let many = |count: u64| {
        let specs: Vec<_> = (0..count)
            .map(|at| format!("{}-{}", at * 2, at * 2))
            .collect();
        parse_range(format!("bytes={}", specs.join(",")).as_bytes(), 1000)
    };
    assert!(matches!(many(MAX_RANGES as u64), Parts(parts) if parts.len() == MAX_RANGES));
    assert_eq!(many(MAX_RANGES as u64 + 1), Whole);
    let mut value = Vec::new();
    content_range(&mut value, &(0..5), 10);
    assert_eq!(value, b"bytes 0-4/10");
}

#[test]
fn encodings_are_weighed() {
    let of = |values: &[&'static str]| {
        let encodings = Encodings::parse(values.iter().map(|value| value.as_bytes()));
        Coding::ALL.map(|coding| encodings.quality(coding))
    };
    // identity, gzip, br, zstd
    assert_eq!(of(&[]), [1, 0, 0, 0]);
    assert_eq!(of(&[""]), [1, 0, 0, 0]);
    assert_eq!(
        of(&["gzip, deflate, br;q=0.8", "ZSTD; Q=0.001"]),
        [1, 1000, 800, 1]
    );
    assert_eq!(of(&["*"]), [1, 1000, 1000, 1000]);
    assert_eq!(of(&["*;q=0, x-gzip"]), [0, 1000, 0, 0]);
    assert_eq!(of(&["identity;q=0, *;q=0.5, br;q=0"]), [0, 500, 0, 500]);
    assert_eq!(of(&["gzip;q=2, br;q="]), [1, 0, 0, 0]);
}

#[test]
fn json_is_preferred_where_it_was_asked_for() {
    let json = |accept: &'static str| accepts_json_before_html([accept.as_bytes()]);
    assert!(json("application/json"));
    assert!(json("application/json, text/plain, */*"));
    assert!(json("text/html;q=0.5, Application/JSON;q=0.6"));
    assert!(json("text/html;q=0, */*"));
    assert!(!json("*/*"));
    assert!(!json("text/html, application/json"));
    assert!(!json("application/json;q=0"));
    assert!(!json(
        "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
    ));
    assert!(!accepts_json_before_html([]));
}

#[test]
fn entity_tags_are_matched() {
    use Comparison::{Strong, Weak};
    let matches = |list: &'static str, how| matches_etag([list.as_bytes()], Some(b"\"a,b\""), how);
    assert!(matches("\"x\", \"a,b\"", Strong));
    assert!(matches(",,W/\"a,b\"", Weak));
    assert!(!matches("W/\"a,b\"", Strong));
    assert!(matches(" * ", Strong));
    assert!(matches("\"\\\", \"a,b\"", Strong));
    assert!(!matches("a,b", Weak));
    assert!(!matches("\"a,b", Weak));
    assert!(!matches("x, \"a,b\"", Weak));
    assert!(!matches_etag([&b"*"[..]], None, Weak));
    assert!(!matches_etag([&b"W/\"a\""[..]], Some(b"W/\"a\""), Strong));
    assert!(is_entity_tag(b"W/\"a\"") && !is_entity_tag(b"Thu, 01 Jan 1970 00:00:00 GMT"));
}

#[test]
fn file_names_stay_inside_their_quotes() {
    let mut plain = Vec::new();
    content_disposition("inline", b"a b;c.txt", &mut plain);
    assert_eq!(plain, b"inline; filename=\"a b;c.txt\"");
    let mut broken = Vec::new();
    content_disposition("attachment", b"\xff\\", &mut broken);
    assert_eq!(
        broken,
        b"attachment; filename=\"__\"; filename*=UTF-8''%EF%BF%BD%5C"
    );
}

#[test]
fn names_in_small_letters_are_written_as_people_do() {
    for (name, written) in [
        ("date", "Date"),
        ("content-type", "Content-Type"),
        ("x-b3--traceid-", "X-B3--Traceid-"),
    ] {
        let mut out = Vec::new();
        Head::response(&mut out, Version::Http11, 200)
            .legal_field(name, b"a-b")
            .finish();
        let expected = format!("HTTP/1.1 200 OK\r\n{written}: a-b\r\n\r\n");
        assert_eq!(out, expected.as_bytes());
    }
}

#[test]
fn nothing_written_can_end_a_line_early() {
    let mut out = Vec::new();
    Head::response(&mut out, Version::Http11, 200)
        .field("Location", b"/a\r\nSet-Cookie: x\0")
        .field("Bad\r\nName", b"x")
        .field("", b"x")
        .finish();
    assert_eq!(
        out,
        b"HTTP/1.1 200 OK\r\nLocation: /a  Set-Cookie: x \r\n\r\n"
    );
}

proptest! {
    #[test]
    fn requests_survive_a_round_trip(
        method in 0..Method::ALL.len(),
        target in "/[!-~]{0,40}",
        fields in prop::collection::vec(("X-[a-zA-Z]{1,8}", "[!-~]([ -~]{0,20}[!-~])?"), 0..8),
        length in any::<u64>(),
    ) {
        let method = Method::ALL[method];
        prop_assume!(method != Method::Connect);
        let mut out = Vec::new();
        let mut head = Head::request(&mut out, method, target.as_bytes()).field("Host", b"quay");
        for (name, value) in &fields {
            head = head.field(name, value.as_bytes());
        }
        head.length(length).finish();

        let mut storage = FieldStorage::new();
        let (request, used) = Request::parse(&out, &mut storage)?.expect("it is complete");
        prop_assert_eq!(used, out.len());
        prop_assert_eq!(request.method, method);
        let encoded = target.replace('#', "%23");
        prop_assert_eq!(request.raw_target, encoded.as_bytes());
        prop_assert_eq!(request.framing, Framing::Length(length));
        let read: Vec<_> = request.fields.iter().skip(1).take(fields.len()).collect();
        let sent: Vec<_> = fields.iter().map(|(n, v)| (n.as_str(), v.as_bytes())).collect();
        prop_assert_eq!(read, sent);
    }

    #[test]
    fn responses_survive_a_round_trip(status in 200u16..600, value in "[!-~]{1,20}") {
        let mut out = Vec::new();
        Head::response(&mut out, Version::Http11, status).field("X", value.as_bytes()).finish();
        let mut storage = FieldStorage::new();
        let (response, used) =
            Response::parse(&out, Method::Get, &mut storage)?.expect("it is complete");
        prop_assert_eq!((used, response.status), (out.len(), status));
        prop_assert_eq!(response.reason, reason(status).as_bytes());
        prop_assert_eq!(response.fields.one("x")?, Some(value.as_bytes()));
    }

    #[test]
    fn chunks_survive_a_round_trip(
        chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..300), 0..5),
        piece in 1usize..400,
    ) {
        let mut out = Vec::new();
        for chunk in &chunks {
            chunk_head(&mut out, chunk.len());
            out.extend_from_slice(chunk);
            out.extend_from_slice(CHUNK_END);
        }
        out.extend_from_slice(LAST_CHUNK);
        prop_assert_eq!(dechunk(&out, piece)?, (chunks.concat(), Some(&b""[..])));
    }

    #[test]
    fn any_name_stays_inside_its_field(name in prop::collection::vec(any::<u8>(), 0..40)) {
        let mut value = Vec::new();
        content_disposition("inline", &name, &mut value);
        prop_assert!(value.iter().all(|byte| (b' '..=b'~').contains(byte)));
        prop_assert!(matches!(value.iter().filter(|byte| **byte == b'"').count(), 2));
        prop_assert!(split_outside_quotes(&value, b';').count() <= 3);
    }
}
