//! Putting in order, for which one needs the role.

use super::*;

const ANNAS: &str = "anna's password";

#[test]
fn strangers_are_sent_to_sign_in() {
    let book = Guestbook::new();
    book.fill(1);
    let mut visitor = Visitor::new(book.address);
    let reply = visitor.get("/admin");
    assert_eq!(
        (reply.status, reply.field("Location")),
        (303, Some("/sign-in"))
    );
    for path in ["hide", "show", "delete"] {
        let reply = visitor.post(&format!("/admin/entries/1/{path}"), &[]);
        assert_eq!(
            (reply.status, reply.field("Location")),
            (303, Some("/sign-in"))
        );
    }
    assert_eq!(visitor.get("/admin/entries/1/delete").status, 303);
    assert_eq!((book.count(), texts(&visitor.get("/")).len()), (1, 1));
}

#[test]
fn who_is_no_admin_is_refused() {
    let book = Guestbook::new();
    book.fill(1);
    let mut bo = Visitor::new(book.address);
    let reply = bo.sign_in("bo", "bo's password");
    assert_eq!((reply.status, reply.field("Location")), (303, Some("/")));
    assert!(bo.get("/").text().contains("Sign out <bdi>bo</bdi>"));
    assert_eq!(bo.get("/admin").status, 403);
    for path in ["hide", "show", "delete"] {
        assert_eq!(
            bo.post(&format!("/admin/entries/1/{path}"), &[]).status,
            403
        );
    }
    assert_eq!((book.count(), texts(&bo.get("/")).len()), (1, 1));
}

#[test]
fn a_wrong_password_is_said_on_the_form() {
    let book = Guestbook::new();
    let mut visitor = Visitor::new(book.address);
    for (name, password) in [("anna", "wrong"), ("nobody", ANNAS), ("", "")] {
        let reply = visitor.sign_in(name, password);
        assert_eq!(reply.status, 403);
        assert!(reply.text().contains("The name or the password is wrong."));
        assert!(reply.text().contains(&format!("value=\"{name}\"")));
        assert!(!reply.text().contains(ANNAS));
    }
    for _ in 3..10 {
        visitor.sign_in("anna", "wrong");
    }
    let reply = visitor.sign_in("anna", ANNAS);
    assert_eq!(reply.status, 429);
    assert!(reply.field("Retry-After").is_some());
}

#[test]
fn an_admin_hides_shows_and_deletes() {
    let book = Guestbook::new();
    book.fill(3);
    let mut stranger = Visitor::new(book.address);
    let mut anna = Visitor::new(book.address);
    let before = anna.token.clone();
    let reply = anna.sign_in("anna", ANNAS);
    assert_eq!(
        (reply.status, reply.field("Location")),
        (303, Some("/admin"))
    );
    let cookie = reply.field("Set-Cookie").unwrap();
    assert!(
        cookie.contains("; Path=/; HttpOnly; SameSite=Strict"),
        "{cookie}"
    );
    assert_eq!(texts(&anna.get("/admin")), ["3", "2", "1"]);
    // A token of before is none of hers: whoever knew it can't use it now.
    assert_ne!(anna.token, before);

    let reply = anna.post("/admin/entries/2/hide", &[]);
    assert_eq!(
        (reply.status, reply.field("Location")),
        (303, Some("/admin?before=3#entry-2"))
    );
    assert_eq!(texts(&stranger.get("/")), ["3", "1"]);
    assert_eq!(texts(&anna.get("/")), ["3", "1"]);
    let page = anna.get("/admin");
    assert_eq!(texts(&page), ["3", "2", "1"]);
    assert!(page.text().contains("Hidden</strong>"));
    anna.post("/admin/entries/2/show", &[]);
    assert_eq!(texts(&stranger.get("/")), ["3", "2", "1"]);

    assert!(
        anna.get("/admin/entries/2/delete")
            .text()
            .contains("Delete this entry?")
    );
    assert_eq!(book.count(), 3);
    let reply = anna.post("/admin/entries/2/delete", &[]);
    assert_eq!(
        (reply.status, reply.field("Location")),
        (303, Some("/admin"))
    );
    assert_eq!(texts(&stranger.get("/")), ["3", "1"]);
    for path in ["hide", "show", "delete"] {
        assert_eq!(
            anna.post(&format!("/admin/entries/2/{path}"), &[]).status,
            404
        );
    }
    for id in ["2", "x", "-1", "99999999999999999999"] {
        assert_eq!(
            anna.get(&format!("/admin/entries/{id}/delete")).status,
            404,
            "{id}"
        );
    }
}

#[test]
fn an_admins_forms_cannot_be_forged() {
    let book = Guestbook::new();
    book.fill(1);
    let mut anna = Visitor::new(book.address);
    let before = anna.token.clone();
    assert_eq!(anna.sign_in("anna", ANNAS).status, 303);
    anna.get("/admin");
    let token = anna.token.clone();
    let same = "Sec-Fetch-Site: same-origin";
    for path in [
        "/admin/entries/1/hide",
        "/admin/entries/1/show",
        "/admin/entries/1/delete",
        "/sign-out",
        "/sign-in",
    ] {
        assert_eq!(anna.send(path, &[], &[same]).status, 403, "{path}");
        assert_eq!(
            anna.send(path, &[("token", &before)], &[same]).status,
            403,
            "{path}"
        );
        let crossing = anna.send(path, &[("token", &token)], &["Sec-Fetch-Site: cross-site"]);
        assert_eq!(crossing.status, 403, "{path}");
    }
    assert_eq!((book.count(), texts(&anna.get("/")).len()), (1, 1));
    assert_eq!(anna.get("/admin").status, 200);
}

#[test]
fn signing_out_ends_the_session() {
    let book = Guestbook::new();
    let mut anna = Visitor::new(book.address);
    anna.sign_in("anna", ANNAS);
    anna.get("/admin");
    let cookies = anna.cookies.clone();
    let reply = anna.post("/sign-out", &[]);
    assert_eq!((reply.status, reply.field("Location")), (303, Some("/")));
    assert_eq!(anna.cookies.len(), 1);
    // Nor is it good for whoever kept the cookie.
    anna.cookies = cookies;
    assert_eq!(anna.get("/admin").status, 303);
}

#[test]
fn without_accounts_nobody_signs_in() {
    let book = Guestbook::without_accounts();
    let mut visitor = Visitor::new(book.address);
    assert_eq!(visitor.sign_in("anna", ANNAS).status, 403);
    assert_eq!(visitor.get("/admin").status, 303);
}
