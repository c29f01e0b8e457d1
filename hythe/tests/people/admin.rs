//! Managing accounts.

use super::*;

/// A server whose accounts are kept, with an admin who is in.
fn managed() -> (Site, String) {
    let site = Site::new();
    let ann = site.sign_in("ann");
    let body = "action=add&name=carl&password=carls+secret&role=read&home=/music&quota=10G";
    let reply = site.post("/.hythe/users", body, &[SCRIPT, &ann]);
    assert_eq!(reply.status, 201, "{}", reply.text());
    (site, ann)
}

fn user(site: &Site, ann: &str, name: &str) -> Option<serde_json::Value> {
    let users = json(&site.get("/.hythe/users", &[SCRIPT, ann]));
    let mut users = users["users"].as_array().unwrap().clone().into_iter();
    users.find(|user| user["name"] == name)
}

#[test]
fn an_admin_adds_changes_and_removes() {
    let (site, ann) = managed();
    let carl = user(&site, &ann, "carl").unwrap();
    assert_eq!(
        (&carl["role"], &carl["home"]),
        (&"read".into(), &"/music/".into())
    );
    assert_eq!(carl["quota"], 10_u64 << 30);
    let sign_in = |password: &str| {
        site.post(
            "/.hythe/sign-in",
            &format!("name=carl&password={password}"),
            &[BROWSER],
        )
    };
    let session = cookie(&sign_in("carls+secret"));
    // The home is the root of all that is seen.
    let listing = json(&site.get("/", &[SCRIPT, &session]));
    assert!(listing.to_string().contains("one.ogg"), "{listing}");
    assert!(!listing.to_string().contains("a.txt"), "{listing}");

    for (change, key, value) in [
        (
            "action=role&role=upload",
            "role",
            serde_json::json!("upload"),
        ),
        (
            "action=quota&quota=1.5M",
            "quota",
            serde_json::json!(3 << 19),
        ),
        ("action=quota&quota=", "quota", serde_json::Value::Null),
        (
            "action=home&home=/private/../music/deep",
            "home",
            serde_json::json!("/music/deep/"),
        ),
    ] {
        let body = format!("{change}&name=carl");
        let reply = site.post("/.hythe/users", &body, &[BROWSER, &ann]);
        assert_eq!(
            (reply.status, reply.field("Location")),
            (303, Some("/.hythe/users")),
            "{change}"
        );
        assert_eq!(user(&site, &ann, "carl").unwrap()[key], value, "{change}");
    }
    assert!(site.get("/", &[SCRIPT, &session]).text().contains("two"));

    // Another password ends the sessions.
    let reply = site.post(
        "/.hythe/users",
        "action=password&name=carl&password=x",
        &[SCRIPT, &ann],
    );
    assert_eq!(reply.status, 200);
    assert_eq!(
        site.get("/.hythe/account", &[BROWSER, &session]).status,
        401
    );
    let session = cookie(&sign_in("x"));
    let reply = site.post(
        "/.hythe/users",
        "action=sign-out&name=carl",
        &[SCRIPT, &ann],
    );
    assert_eq!(reply.status, 200);
    assert_eq!(
        site.get("/.hythe/account", &[BROWSER, &session]).status,
        401
    );

    // Removing is asked about first.
    let remove = "action=remove&name=carl";
    let page = site.post("/.hythe/users", remove, &[BROWSER, &ann]);
    assert_eq!(page.status, 200);
    is_ours(&page);
    assert!(page.text().contains("name=\"sure\""));
    assert!(user(&site, &ann, "carl").is_some());
    let reply = site.post(
        "/.hythe/users",
        &format!("{remove}&sure=1"),
        &[BROWSER, &ann],
    );
    assert_eq!(reply.status, 303);
    assert!(user(&site, &ann, "carl").is_none());
    assert_eq!(sign_in("x").status, 401);
    assert!(site.share().join("music/one.ogg").exists());
}

#[test]
fn what_an_admin_gets_wrong_is_told() {
    let (site, ann) = managed();
    for (body, status, told) in [
        ("action=add&name=carl&password=x&role=read", 409, "already"),
        ("action=add&name=x%2Fy&password=x&role=read", 400, "slash"),
        ("action=add&name=x&password=&role=read", 400, "password"),
        ("action=add&name=x&password=x&role=king", 400, "role"),
        (
            "action=add&name=x&password=x&role=none",
            400,
            "read, upload",
        ),
        (
            "action=add&name=x&password=x&role=read&quota=much",
            400,
            "500M",
        ),
        (
            "action=add&name=x&password=x&role=read&home=a%00",
            400,
            "home",
        ),
        ("action=role&name=nobody&role=read", 404, "no account"),
        ("action=remove&name=nobody&sure=1", 404, "no account"),
        ("action=sign-out&name=nobody", 404, "no account"),
        ("action=role&name=will&role=read", 400, "--user"),
        ("action=role&name=ann&role=read", 409, "own role"),
        ("action=remove&name=ann&sure=1", 409, "own role"),
        ("action=crown&name=carl", 400, "action"),
        ("", 400, "action"),
    ] {
        let reply = site.post("/.hythe/users", body, &[SCRIPT, &ann]);
        assert_eq!(reply.status, status, "{body}: {}", reply.text());
        let error = json(&reply)["error"].as_str().unwrap().to_owned();
        assert!(error.contains(told), "{body}: {error}");
        let page = site.post("/.hythe/users", body, &[BROWSER, &ann]);
        assert_eq!(page.status, status, "{body}");
        is_ours(&page);
        assert!(page.text().contains("id=\"wrong\""));
    }
    assert_eq!(user(&site, &ann, "carl").unwrap()["role"], "read");
}

#[test]
fn others_manage_nothing() {
    let (site, _) = managed();
    let will = site.sign_in("will");
    let change = "action=role&name=carl&role=admin";
    for (cookie, status) in [(&*will, 403), ("X-None: 1", 401)] {
        for accept in [BROWSER, SCRIPT] {
            assert_eq!(site.get("/.hythe/users", &[accept, cookie]).status, status);
            assert_eq!(
                site.post("/.hythe/users", change, &[accept, cookie]).status,
                status
            );
        }
    }
    assert!(
        !site
            .get("/.hythe/account", &[BROWSER, &will])
            .text()
            .contains("/.hythe/users")
    );
}

#[test]
fn the_page_of_accounts_shows_them_and_escapes() {
    let (site, ann) = managed();
    let name = "%3Cimg+src%3Dx+onerror%3Dalert%281%29%3E%22%27%26";
    let body = format!("action=add&name={name}&password=x&role=write&home=%3Cb%3E");
    assert_eq!(
        site.post("/.hythe/users", &body, &[BROWSER, &ann]).status,
        303
    );
    let page = site.get("/.hythe/users", &[BROWSER, &ann]);
    is_ours(&page);
    let text = page.text();
    assert!(
        text.contains("&#60;img src=x onerror=alert(1)&#62;&#34;&#39;&#38;"),
        "{text}"
    );
    assert!(!text.contains("<img") && !text.contains("<b>"));
    for shown in [
        "carl",
        "10.0 GiB",
        "never signed in",
        "<meter",
        "/music/",
        "for this run",
    ] {
        assert!(text.contains(shown), "{shown}");
    }
    let body = format!("name={name}&password=x");
    let session = cookie(&site.post("/.hythe/sign-in", &body, &[BROWSER]));
    for path in ["/", "/.hythe/account", "/.hythe/links", "/nothing"] {
        let text = site.get(path, &[BROWSER, &session]).text();
        assert!(!text.contains("<img"), "{path}");
    }
}
