//! Reading: pages, and what stands around them.

use super::*;

/// As in the example, whose own constants are not seen from here.
const PAGE: usize = 20;

/// Where a link of a page leads.
fn link(reply: &Reply, rel: &str) -> Option<String> {
    let text = reply.text();
    between(&text, &format!("rel=\"{rel}\" href=\""), "\"").map(str::to_owned)
}

#[test]
fn all_entries_are_on_one_page_and_each_once() {
    for count in [0, 1, PAGE - 1, PAGE, PAGE + 1, 2 * PAGE, 2 * PAGE + 1] {
        let book = Guestbook::without_accounts();
        book.fill(count);
        let mut visitor = Visitor::new(book.address);
        let newest_first: Vec<_> = (1..=count).rev().map(|n| n.to_string()).collect();
        let (mut seen, mut sizes, mut at) = (Vec::new(), Vec::new(), "/".to_owned());
        loop {
            let page = visitor.get(&at);
            let texts = texts(&page);
            assert_eq!(link(&page, "prev").is_none(), seen.is_empty(), "{at}");
            sizes.push(texts.len());
            seen.extend(texts);
            let Some(older) = link(&page, "next") else {
                break;
            };
            at = older;
        }
        assert_eq!(seen, newest_first);
        assert_eq!(sizes.len(), count.div_ceil(PAGE).max(1));
        // And back; the first page is a full one whatever was last.
        while let Some(newer) = link(&visitor.get(&at), "prev") {
            at = newer;
        }
        assert_eq!(texts(&visitor.get(&at)), newest_first[..count.min(PAGE)]);
    }
}

#[test]
fn nothing_is_skipped_or_seen_twice_while_others_write_and_hide() {
    let book = Guestbook::without_accounts();
    book.fill(2 * PAGE);
    let mut visitor = Visitor::new(book.address);
    let first = visitor.get("/");
    let older = link(&first, "next").unwrap();
    visitor.post("/", &[("name", "Bo"), ("text", "between")]);
    let expected: Vec<_> = (1..=PAGE).rev().map(|n| n.to_string()).collect();
    assert_eq!(texts(&visitor.get(&older)), expected);
    let hide = "UPDATE entries SET hidden = 1 WHERE id IN (5, 21)";
    book.database().execute(hide, []).unwrap();
    let page = visitor.get(&older);
    assert_eq!(texts(&page).len(), PAGE - 1);
    assert_eq!(link(&page, "next"), None);
    // The entry at the seam is hidden now, and the link still leads past it.
    assert_eq!(texts(&page)[0], PAGE.to_string());
}

#[test]
fn addresses_that_lead_nowhere_are_pages_too() {
    let book = Guestbook::without_accounts();
    book.fill(3);
    let mut visitor = Visitor::new(book.address);
    let beyond = visitor.get("/?before=1");
    assert_eq!((beyond.status, texts(&beyond).len()), (200, 0));
    assert!(link(&beyond, "prev").is_some());
    assert_eq!(texts(&visitor.get("/?after=99")), ["3", "2", "1"]);
    assert_eq!(texts(&visitor.get("/?before=9223372036854775807")).len(), 3);
    assert_eq!(visitor.get("/?before=-9223372036854775808").status, 200);
    for (path, status, title) in [
        ("/nowhere", 404, "Not Found"),
        ("/?before=x", 400, "Bad Request"),
        ("/?before=9223372036854775808", 400, "Bad Request"),
    ] {
        let reply = visitor.get(path);
        assert_eq!(reply.status, status, "{path}");
        assert!(
            reply.text().contains(&format!("<h1>{title}</h1>")),
            "{path}"
        );
    }
    let put = Client::new(book.address).ask("PUT", "/", &["Content-Length: 0"]);
    assert_eq!(put.status, 405);
    assert!(put.field("Allow").unwrap().contains("POST"));
    assert!(put.text().contains("<h1>Method Not Allowed</h1>"));
}

#[test]
fn pages_say_what_browsers_may_do_with_them() {
    let book = Guestbook::without_accounts();
    for path in ["/", "/nowhere", "/sign-in"] {
        let page = get(book.address, path, &[]);
        let policy = page.field("Content-Security-Policy").unwrap();
        for part in [
            "default-src 'none'",
            "style-src 'self'",
            "form-action 'self'",
            "frame-ancestors 'none'",
            "base-uri 'none'",
        ] {
            assert!(policy.contains(part), "{path}: {policy}");
        }
        assert_eq!(page.field("Content-Type"), Some("text/html; charset=utf-8"));
        assert_eq!(page.field("X-Content-Type-Options"), Some("nosniff"));
        assert_eq!(page.field("Cache-Control"), Some("no-store"));
        assert_eq!(page.field("Referrer-Policy"), Some("same-origin"));
    }
    let cookie = get(book.address, "/", &[]);
    let cookie = cookie.field("Set-Cookie").unwrap();
    assert!(
        cookie.ends_with("; Path=/; HttpOnly; SameSite=Lax"),
        "{cookie}"
    );
    let style = get(book.address, "/style.css", &[]);
    assert_eq!(style.field("Content-Type"), Some("text/css; charset=utf-8"));
}
