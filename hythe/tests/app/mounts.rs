//! Services on a path: a share, with all it has.

use std::fs;

use hythe::accounts::{Accounts, Gate};
use hythe::http::{Request, Router, Site, SiteConfig};
use hythe::share::{Access, Share};
use tempfile::TempDir;

use super::common::http::Reply;
use super::{App, text, with_body};

fn site(allow: Access) -> (TempDir, Site) {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("river.txt"), "water").unwrap();
    fs::create_dir(folder.path().join("码头")).unwrap();
    fs::write(folder.path().join("码头/船.txt"), "boat").unwrap();
    let gate = Gate::new(Share::open(folder.path()).unwrap(), allow);
    (folder, Site::new(gate, SiteConfig::default()))
}

#[test]
fn a_share_is_mounted_on_a_path_and_knows_where_it_is() {
    let (folder, site) = site(Access::Write);
    let router = Router::new()
        .get("/", async |_: Request| "mine")
        .mount("/our/files", site);
    let app = App::serve(router);
    let mut client = app.client();
    for (target, status, location) in [
        ("/", 200, None),
        ("/river.txt", 404, None),
        ("/our/files", 308, Some("/our/files/")),
        ("/our/files?json", 308, Some("/our/files/?json")),
        ("/our/files/", 200, None),
        ("/our/files/river.txt", 200, None),
        ("/our/files/./x/../river.txt", 200, None),
        (
            "/our/files/%E7%A0%81%E5%A4%B4",
            308,
            Some("/our/files/%E7%A0%81%E5%A4%B4/"),
        ),
        ("/our/files/%e7%a0%81%e5%a4%b4/%E8%88%B9.txt", 200, None),
        ("/our/files/../../etc/passwd", 404, None),
        ("/our/files/..%2f..%2fetc%2fpasswd", 400, None),
        ("/our/filesriver.txt", 404, None),
    ] {
        let reply = client.ask("GET", target, &[]);
        assert_eq!(reply.status, status, "{target}: {}", text(&reply));
        assert_eq!(reply.field("Location"), location, "{target}");
    }
    // What is kept ready is for this path alone, and is answered twice alike.
    for _ in 0..3 {
        assert_eq!(
            text(&client.ask("GET", "/our/files/river.txt", &[])),
            "water"
        );
        assert_eq!(client.ask("GET", "/river.txt", &[]).status, 404);
    }
    client.send(&with_body("PUT", "/our/files/new.txt", &[], b"fish"));
    let put = client.reply("PUT");
    assert_eq!(put.status, 201);
    assert_eq!(put.field("Location"), Some("/our/files/new.txt"));
    assert_eq!(fs::read(folder.path().join("new.txt")).unwrap(), b"fish");
    let moved = client.ask(
        "MOVE",
        "/our/files/new.txt",
        &["Destination: /our/files/old.txt"],
    );
    assert_eq!(moved.status, 201, "{}", text(&moved));
    assert!(folder.path().join("old.txt").exists());
    let out = client.ask("MOVE", "/our/files/old.txt", &["Destination: /old.txt"]);
    assert_eq!(out.status, 502, "{}", text(&out));
}

/// All that a page links to on its own server is below this path.
fn assert_leads_below(page: &str, below: &str) {
    for attribute in [
        "href=\"",
        "src=\"",
        "action=\"",
        "data-mount=\"",
        "data-base=\"",
    ] {
        for part in page.split(attribute).skip(1) {
            let link = part.split('"').next().unwrap();
            let ours = link.starts_with(below) || !link.starts_with('/');
            assert!(ours || link == below.trim_end_matches('/'), "{link}");
        }
    }
}

#[test]
fn a_page_of_a_mounted_share_leads_nowhere_else() {
    let (_folder, site) = site(Access::Write);
    let app = App::serve(Router::new().mount("/our/files", site));
    let page = app
        .client()
        .ask("GET", "/our/files/", &["Accept: text/html"]);
    let page = text(&page);
    assert_leads_below(page, "/our/files/");
    let script = page
        .split('"')
        .find(|part| part.contains("page.js"))
        .unwrap();
    assert_eq!(app.get(script).status, 200, "{script}");
}

#[test]
fn what_a_router_does_not_know_a_share_behind_it_may() {
    let (_folder, site) = site(Access::Read);
    let router = Router::new()
        .get("/api/{name}", async |_: Request| "api")
        .fallback_to(site);
    let app = App::serve(router);
    let mut client = app.client();
    for _ in 0..3 {
        for (target, body) in [
            ("/river.txt", "water"),
            ("/api/x", "api"),
            ("/%61pi/x", "api"),
            ("/y/../api/x", "api"),
            ("/api/../river.txt", "water"),
        ] {
            assert_eq!(text(&client.ask("GET", target, &[])), body, "{target}");
        }
        assert_eq!(client.ask("GET", "/api/", &[]).status, 404);
        assert_eq!(client.ask("GET", "/a%00/../river.txt", &[]).status, 400);
    }
}

#[test]
fn what_is_mounted_at_the_root_of_a_nested_router_is_sent_on_to_it() {
    let (_folder, site) = site(Access::Read);
    let app = App::serve(Router::new().nest("/deep", Router::new().mount("/", site)));
    let bare = app.get("/deep?x");
    assert_eq!(
        (bare.status, bare.field("Location")),
        (308, Some("/deep/?x"))
    );
    assert_eq!(text(&app.get("/deep/river.txt")), "water");
}

#[test]
fn a_folder_is_a_web_site_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("index.html"), "<script>1</script>").unwrap();
    fs::write(folder.path().join("style.css"), "p {}").unwrap();
    let site = Site::files(folder.path()).unwrap();
    let app = App::serve(Router::new().mount("/static", site));
    let page = app.get("/static/");
    assert_eq!(text(&page), "<script>1</script>");
    assert_eq!(page.field("Content-Security-Policy"), None);
    let style = app.get("/static/style.css");
    assert_eq!(style.field("Content-Type"), Some("text/css; charset=utf-8"));
    let mut client = app.client();
    client.send(&with_body("PUT", "/static/x", &[], b"x"));
    assert_eq!(client.reply("PUT").status, 405);
    assert!(Site::files(folder.path().join("none")).is_err());
}

/// A form, as a browser sends it from one of our pages.
fn submit(app: &App, target: &str, cookie: &str, form: &str) -> Reply {
    let fields = [
        "Content-Type: application/x-www-form-urlencoded",
        "Accept: text/html",
        "Sec-Fetch-Site: same-origin",
        cookie,
    ];
    let mut client = app.client();
    client.send(&with_body("POST", target, &fields, form.as_bytes()));
    client.reply("POST")
}

#[test]
fn accounts_and_links_of_a_mounted_share_lead_back_to_it() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("river.txt"), "water").unwrap();
    let accounts = Accounts::temporary().unwrap();
    accounts
        .add_temporary(b"ada", b"open sesame", Access::Admin)
        .unwrap();
    let share = Share::open(folder.path()).unwrap();
    let gate = Gate::new(share, Access::None).with_accounts(accounts, Access::None);
    let site = Site::new(gate, SiteConfig::default());
    let app = App::serve(Router::new().mount("/our/files", site));
    let first = app
        .client()
        .ask("GET", "/our/files/river.txt", &["Accept: text/html"]);
    assert_eq!(first.status, 401);
    assert!(
        text(&first).contains("action=\"/our/files/.hythe/sign-in\""),
        "{}",
        text(&first)
    );
    assert!(
        text(&first).contains("value=\"/our/files/river.txt\""),
        "{}",
        text(&first)
    );
    let pair = "name=ada&password=open+sesame";
    for (next, target) in [
        ("&next=%2Four%2Ffiles%2Friver.txt", "/our/files/river.txt"),
        ("", "/our/files/"),
        ("&next=%2Four%2Ffiles%2F.hythe%2Fsign-in", "/our/files/"),
    ] {
        let reply = submit(
            &app,
            "/our/files/.hythe/sign-in",
            "X-No: 1",
            &format!("{pair}{next}"),
        );
        assert_eq!(
            (reply.status, reply.field("Location")),
            (303, Some(target)),
            "{next}"
        );
    }
    let reply = submit(&app, "/our/files/.hythe/sign-in", "X-No: 1", pair);
    let session = reply
        .field("Set-Cookie")
        .unwrap()
        .split(';')
        .next()
        .unwrap();
    let cookie = format!("Cookie: {session}");
    let ask = |target: &str| {
        app.client()
            .ask("GET", target, &[&cookie, "Accept: text/html"])
    };
    assert_eq!(text(&ask("/our/files/river.txt")), "water");
    for page in ["", ".hythe/account", ".hythe/users", ".hythe/links"] {
        let page = ask(&format!("/our/files/{page}"));
        assert_eq!(page.status, 200);
        assert_leads_below(text(&page), "/our/files/");
    }
    let made = submit(
        &app,
        "/our/files/.hythe/links",
        &cookie,
        "href=%2Four%2Ffiles%2Friver.txt&expires=3600",
    );
    assert_eq!(made.status, 201, "{}", text(&made));
    let link = text(&made).split("http://quay").nth(1).unwrap();
    let link = link.split(['"', '<']).next().unwrap();
    assert!(link.starts_with("/our/files/.hythe/l/"), "{link}");
    assert_eq!(text(&app.get(link)), "water");
}
