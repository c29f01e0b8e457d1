//! Writing: what is taken, what is refused, and what it looks like then.

use super::*;

/// As in the example, whose own constants are not seen from here.
const NAME_LIMIT: usize = 40;
const TEXT_LIMIT: usize = 1000;

#[test]
fn curl_writes_and_reads() {
    let book = Guestbook::without_accounts();
    let jar = book.folder.path().join("cookies");
    let curl = |words: &[&str]| {
        let mut curl = tool("curl");
        curl.args(["-sS", "--fail-with-body", "-b"]).arg(&jar);
        String::from_utf8(run(curl.arg("-c").arg(&jar).args(words))).unwrap()
    };
    let page = curl(&[&book.url("/")]);
    assert!(page.contains("Nobody has written yet"), "{page}");
    let token = between(&page, "name=\"token\" value=\"", "\"").unwrap();
    let page = curl(&[
        "-L",
        "--data-urlencode",
        &format!("token={token}"),
        "--data-urlencode",
        "name=王小明",
        "--data-urlencode",
        "text=第一次来\n风景 & <真> 美",
        &book.url("/"),
    ]);
    assert!(page.contains("<bdi lang=\"\">王小明</bdi>"), "{page}");
    assert!(
        page.contains("第一次来\n风景 &#38; &#60;真&#62; 美</p>"),
        "{page}"
    );
    let year = jiff::Timestamp::now().strftime("%Y").to_string();
    assert!(
        page.contains(&format!("<time datetime=\"{year}-")),
        "{page}"
    );
}

#[test]
fn after_writing_the_browser_is_sent_to_what_it_wrote() {
    let book = Guestbook::without_accounts();
    let mut visitor = Visitor::new(book.address);
    let reply = visitor.post("/", &[("name", "Bo"), ("text", "hello")]);
    assert_eq!(
        (reply.status, reply.field("Location")),
        (303, Some("/#entry-1"))
    );
    assert!(visitor.get("/").text().contains("id=\"entry-1\""));
}

#[test]
fn a_form_without_its_token_is_refused() {
    let book = Guestbook::without_accounts();
    let mut visitor = Visitor::new(book.address);
    let mut other = Visitor::new(book.address);
    assert_ne!(visitor.token, other.token);
    let good = visitor.token.clone();
    let text = [("name", "Bo"), ("text", "forged")];
    let with = |token: &'static str| [&[("token", token)][..], &text].concat();
    let same = "Sec-Fetch-Site: same-origin";

    assert_eq!(visitor.send("/", &text, &[same]).status, 403);
    assert_eq!(visitor.send("/", &with(""), &[same]).status, 403);
    assert_eq!(visitor.send("/", &with("wrong"), &[same]).status, 403);
    let with_good = [&[("token", &*good)][..], &text].concat();
    assert_eq!(other.send("/", &with_good, &[same]).status, 403);
    other.cookies.clear();
    assert_eq!(other.send("/", &with_good, &[same]).status, 403);
    other.cookies.push(("guest".into(), "x".into()));
    assert_eq!(other.send("/", &with_good, &[same]).status, 403);
    for site in [
        "Sec-Fetch-Site: cross-site",
        "Sec-Fetch-Site: same-site",
        "Origin: https://elsewhere.example",
        "Origin: http://quay.example",
        "Origin: null",
    ] {
        assert_eq!(visitor.send("/", &with_good, &[site]).status, 403, "{site}");
    }
    assert_eq!(book.count(), 0);

    // Refused, it is told why, on a page.
    let reply = visitor.send("/", &text, &[same]);
    assert!(
        reply.text().contains("<h1>Forbidden</h1>"),
        "{}",
        reply.text()
    );
    // With the token, it is taken: with either field of the browser's, or none.
    for fields in [&[same][..], &["Origin: http://quay"], &[]] {
        assert_eq!(
            visitor.send("/", &with_good, fields).status,
            303,
            "{fields:?}"
        );
    }
    assert_eq!(book.count(), 3);
}

#[test]
fn a_form_is_good_after_a_restart() {
    let book = Guestbook::without_accounts();
    let visitor = Visitor::new(book.address);
    let book = Guestbook::over(book.kill());
    let mut visitor = Visitor {
        client: Client::new(book.address),
        address: book.address,
        ..visitor
    };
    assert_eq!(
        visitor
            .post("/", &[("name", "Bo"), ("text", "still here")])
            .status,
        303
    );
}

#[test]
fn what_could_be_html_is_text() {
    let book = Guestbook::without_accounts();
    let mut visitor = Visitor::new(book.address);
    for attempt in [
        "<script>alert(1)</script>",
        "\"><img src=x onerror=alert(1)>",
        "</textarea><svg onload=alert(1)>",
        "</p><iframe src=javascript:alert(1)>",
        "' onmouseover='alert(1)",
        "<!--",
        "{{ 7 * 7 }}",
        "&lt;b&gt;",
        "javascript:alert(1)",
    ] {
        assert_eq!(
            visitor
                .post(
                    "/",
                    &[
                        ("name", &attempt[..attempt.len().min(40)]),
                        ("text", attempt)
                    ]
                )
                .status,
            303
        );
        // As the form brings it back, too.
        let long = attempt.repeat(50);
        let again = visitor.post("/", &[("name", &long), ("text", "")]).text();
        for page in [visitor.get("/").text(), again] {
            for raw in [
                "<script",
                "<img",
                "<svg",
                "<iframe",
                "<!--",
                "alert(1)>",
                "onmouseover='",
            ] {
                let found = page.match_indices(raw).count();
                assert_eq!(found, 0, "{attempt}: {raw} in {page}");
            }
        }
        let escaped = attempt
            .replace('&', "&#38;")
            .replace('<', "&#60;")
            .replace('>', "&#62;")
            .replace('"', "&#34;")
            .replace('\'', "&#39;");
        assert_eq!(texts(&visitor.get("/"))[0], escaped);
    }
}

#[test]
fn names_and_texts_have_limits_in_characters() {
    let book = Guestbook::without_accounts();
    let mut visitor = Visitor::new(book.address);
    // One byte, three, and four; the last is two of JavaScript's.
    for letter in ["a", "字", "🛶"] {
        for (name, text, status) in [
            (1, 1, 303),
            (NAME_LIMIT - 1, TEXT_LIMIT - 1, 303),
            (NAME_LIMIT, TEXT_LIMIT, 303),
            (NAME_LIMIT + 1, TEXT_LIMIT, 422),
            (NAME_LIMIT, TEXT_LIMIT + 1, 422),
            (0, 1, 422),
            (1, 0, 422),
        ] {
            let (name, text) = (letter.repeat(name), letter.repeat(text));
            let before = book.count();
            let reply = visitor.post("/", &[("name", &name), ("text", &text)]);
            assert_eq!(reply.status, status, "{name} {text}");
            assert_eq!(book.count(), before + usize::from(status == 303));
            if status == 303 {
                assert_eq!(texts(&visitor.get("/"))[0], text);
            } else {
                // Nothing has to be typed again.
                let page = reply.text();
                assert!(page.contains("aria-invalid=\"true\""), "{page}");
                assert!(page.contains(&format!("value=\"{name}\"")), "{page}");
                assert!(page.contains(&format!(">\n{text}</textarea>")), "{page}");
            }
        }
    }
}

#[test]
fn line_ends_count_once_and_blanks_around_do_not() {
    let book = Guestbook::without_accounts();
    let mut visitor = Visitor::new(book.address);
    let lines = "\r\n  a\r\n".to_owned() + &"b\r\n".repeat(499) + "\r\n \u{200b}";
    assert_eq!(
        visitor
            .post("/", &[("name", " \u{3000}Bo\t"), ("text", &lines)])
            .status,
        303
    );
    let page = visitor.get("/");
    assert_eq!(texts(&page)[0], "a\n".to_owned() + &"b\n".repeat(498) + "b");
    assert!(page.text().contains("<bdi lang=\"\">Bo</bdi>"));
    for blank in [
        "",
        " ",
        "\r\n\r\n",
        "\u{3000}",
        "\u{200b}",
        "\u{feff}\u{ad}",
    ] {
        assert_eq!(
            visitor.post("/", &[("name", blank), ("text", "x")]).status,
            422
        );
        assert_eq!(
            visitor.post("/", &[("name", "x"), ("text", blank)]).status,
            422
        );
    }
    for control in ["a\0b", "a\u{1b}[2Jb", "a\u{7f}b", "a\u{85}b"] {
        assert_eq!(
            visitor
                .post("/", &[("name", control), ("text", "x")])
                .status,
            422
        );
        assert_eq!(
            visitor
                .post("/", &[("name", "x"), ("text", control)])
                .status,
            422
        );
    }
    assert_eq!(
        visitor.post("/", &[("name", "a\nb"), ("text", "x")]).status,
        422
    );
    assert_eq!(
        visitor.post("/", &[("name", "x"), ("text", "a\tb")]).status,
        303
    );
}

#[test]
fn a_form_that_is_none_is_refused() {
    let book = Guestbook::without_accounts();
    let mut visitor = Visitor::new(book.address);
    let huge = "x".repeat(1 << 20);
    assert_eq!(
        visitor.post("/", &[("name", "Bo"), ("text", &huge)]).status,
        413
    );
    assert_eq!(visitor.post("/", &[("name", "Bo")]).status, 422);
    let mut client = Client::new(book.address);
    let fields = [
        &*visitor.cookie(),
        "Content-Type: text/plain",
        "Content-Length: 0",
    ];
    let reply = client.ask("POST", "/", &fields);
    assert_eq!(reply.status, 415);
    assert!(reply.text().contains("<h1>Unsupported Media Type</h1>"));
    assert_eq!(book.count(), 0);
}
