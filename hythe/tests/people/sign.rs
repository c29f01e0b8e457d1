//! Coming in and going out.

use super::*;
use crate::common::{run, tool};

#[test]
fn a_person_signs_up_changes_the_password_and_signs_out_everywhere() {
    let site = Site::new();
    let page = site.get("/.hythe/sign-up?next=%2Fmusic%2F", &[BROWSER]);
    assert_eq!(page.status, 200);
    is_ours(&page);
    let text = page.text();
    for part in [
        "autocomplete=\"username\"",
        "autocomplete=\"new-password\"",
        "name=\"next\" value=\"/music/\"",
        "<label for=\"name\">",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }

    // Up, and in at once.
    let body = "name=new+one&password=first+secret&again=first+secret&next=%2Fmusic%2F";
    let reply = site.post("/.hythe/sign-up", body, &[BROWSER]);
    assert_eq!(
        (reply.status, reply.field("Location")),
        (303, Some("/music/"))
    );
    let set = reply.field("Set-Cookie").unwrap();
    let port = site.address().port();
    assert!(set.starts_with(&format!("hythe-session-{port}=")), "{set}");
    for flag in ["; Path=/", "; HttpOnly", "; SameSite=Strict", "; Max-Age="] {
        assert!(set.contains(flag), "{set}");
    }
    assert!(!set.contains("Domain") && !set.contains("Secure"), "{set}");
    let first = cookie(&reply);

    // Again elsewhere.
    let body = "name=new+one&password=first+secret";
    let second = cookie(&site.post("/.hythe/sign-in", body, &[BROWSER]));
    assert_ne!(first, second);
    for cookie in [&first, &second] {
        let page = site.get("/.hythe/account", &[BROWSER, cookie]);
        assert_eq!(page.status, 200);
        is_ours(&page);
        assert!(page.text().contains("<bdi>new one</bdi>"));
        assert!(page.text().contains("upload"), "the role");
        assert!(site.get("/", &[BROWSER, cookie]).text().contains("new one"));
    }

    // Another password: the other session ends, this one goes on.
    let body = "old=first+secret&new=second+secret&again=second+secret";
    let reply = site.post("/.hythe/account", body, &[BROWSER, &first]);
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert!(reply.text().contains("The password is changed."));
    let third = cookie(&reply);
    let account = |cookie: &str| site.get("/.hythe/account", &[BROWSER, cookie]).status;
    assert_eq!(
        [account(&first), account(&second), account(&third)],
        [401, 401, 200]
    );
    let sign_in = |body| site.post("/.hythe/sign-in", body, &[BROWSER]);
    assert_eq!(sign_in("name=new+one&password=first+secret").status, 401);
    let fourth = cookie(&sign_in("name=new+one&password=second+secret"));

    // Out everywhere.
    let reply = site.post("/.hythe/sign-out", "everywhere=1", &[BROWSER, &third]);
    assert_eq!((reply.status, reply.field("Location")), (303, Some("/")));
    assert!(reply.field("Set-Cookie").unwrap().contains("Max-Age=0"));
    assert_eq!([account(&third), account(&fourth)], [401, 401]);
}

#[test]
fn signing_out_here_leaves_other_sessions() {
    let site = Site::new();
    let (here, there) = (site.sign_in("will"), site.sign_in("will"));
    let reply = site.post("/.hythe/sign-out", "", &[BROWSER, &here]);
    assert_eq!(reply.status, 303);
    let account = |cookie: &str| site.get("/.hythe/account", &[BROWSER, cookie]).status;
    assert_eq!([account(&here), account(&there)], [401, 200]);
    // Signing in anew ends the session that the browser had.
    let body = "name=rose&password=rose%27s+password";
    let reply = site.post("/.hythe/sign-in", body, &[BROWSER, &there]);
    assert_eq!(reply.status, 303);
    assert_eq!(account(&there), 401);
}

#[test]
fn nobody_is_sent_to_another_host() {
    let site = Site::new();
    for next in [
        "//evil",
        "%2F%2Fevil",
        "/%5Cevil",
        "%5C%5Cevil",
        "http://evil",
        "https:evil",
        "/%09/evil",
        "/%0d%0aSet-Cookie:+a=b",
        "javascript:alert(1)",
        "/.hythe/sign-in",
        "/%E4%B8%AD",
        "",
        "%00",
    ] {
        let body = format!("name=will&password=will%27s+password&next={next}");
        let reply = site.post("/.hythe/sign-in", &body, &[BROWSER]);
        assert_eq!(
            (reply.status, reply.field("Location")),
            (303, Some("/")),
            "{next}"
        );
        let page = site.get(&format!("/.hythe/sign-in?next={next}"), &[BROWSER]);
        assert!(page.text().contains("name=\"next\" value=\"\""), "{next}");
    }
    let body = "name=will&password=will%27s+password&next=/a%2520b/?q=1%26sort=size";
    let reply = site.post("/.hythe/sign-in", body, &[BROWSER]);
    assert_eq!(reply.field("Location"), Some("/a%20b/?q=1&sort=size"));
}

#[test]
fn a_failure_keeps_the_name_and_says_what_is_wrong() {
    let site = Site::new();
    let body = "name=%3Cscript%3Ewill&password=wrong&next=/music/";
    let reply = site.post("/.hythe/sign-in", body, &[BROWSER]);
    assert_eq!(reply.status, 401);
    is_ours(&reply);
    assert_eq!(reply.field("WWW-Authenticate"), None);
    assert_eq!(reply.field("Set-Cookie"), None);
    let text = reply.text();
    assert!(text.contains("value=\"&#60;script&#62;will\""), "{text}");
    assert!(text.contains("name=\"next\" value=\"/music/\""));
    assert!(text.contains("id=\"wrong\" role=\"alert\""));
    assert!(text.contains("aria-describedby=\"wrong\""));
    assert!(!text.contains("<script"));

    let chinese = "Accept-Language: zh-CN,zh;q=0.9";
    let reply = site.post("/.hythe/sign-in", "name=x&password=y", &[BROWSER, chinese]);
    assert!(reply.text().contains("用户名或密码错误。"));
    assert_eq!(reply.field("Content-Language"), Some("zh-Hans"));

    let reply = site.post("/.hythe/sign-in", "name=x&password=y", &[SCRIPT]);
    assert_eq!(reply.status, 401);
    assert_eq!(json(&reply)["error"], "The name or the password is wrong.");
}

#[test]
fn the_eleventh_failure_has_to_wait() {
    let site = Site::new();
    for _ in 0..10 {
        let reply = site.post("/.hythe/sign-in", "name=will&password=wrong", &[BROWSER]);
        assert_eq!(reply.status, 401);
    }
    let right = "name=will&password=will%27s+password";
    let reply = site.post("/.hythe/sign-in", right, &[BROWSER]);
    assert_eq!(reply.status, 429);
    is_ours(&reply);
    let wait: u64 = reply.field("Retry-After").unwrap().parse().unwrap();
    assert!((1..=60).contains(&wait));
    assert!(
        reply
            .text()
            .contains(&format!("Try again in {wait} seconds."))
    );
    let reply = site.post("/.hythe/sign-in", right, &[SCRIPT]);
    assert_eq!(reply.status, 429);
    assert!(reply.field("Retry-After").is_some());
    assert!(json(&reply)["error"].as_str().unwrap().contains("Too many"));
}

#[test]
fn the_rules_of_signing_up_are_told() {
    let site = Site::new();
    for (body, status, told) in [
        (
            "name=will&password=12345678&again=12345678",
            409,
            "There is an account of this name already.",
        ),
        (
            "name=WILL&password=12345678&again=12345678",
            409,
            "There is an account of this name already.",
        ),
        (
            "name=a&password=12345678&again=87654321",
            400,
            "The two passwords are not the same.",
        ),
        (
            "name=a&password=1234567&again=1234567",
            400,
            "A password has at least 8 characters.",
        ),
        (
            "name=a&password=&again=",
            400,
            "A password has at least 8 characters.",
        ),
        (
            "name=&password=12345678&again=12345678",
            400,
            "A name has at least one character.",
        ),
        (
            "name=a/b&password=12345678&again=12345678",
            400,
            "A name has neither a slash nor a colon in it.",
        ),
        (
            "name=..&password=12345678&again=12345678",
            400,
            "A name is neither . nor ..",
        ),
        (
            "name=%FF&password=12345678&again=12345678",
            400,
            "A name is text in UTF-8.",
        ),
        (
            "password=12345678",
            400,
            "A name has at least one character.",
        ),
    ] {
        let reply = site.post("/.hythe/sign-up", body, &[BROWSER]);
        assert_eq!(reply.status, status, "{body}");
        is_ours(&reply);
        assert!(reply.text().contains(told), "{body}: {}", reply.text());
        assert_eq!(reply.field("Set-Cookie"), None);
        let reply = site.post("/.hythe/sign-up", body, &[SCRIPT]);
        assert_eq!(reply.status, status);
        assert!(json(&reply)["error"].is_string());
    }
    let reply = site.post("/.hythe/sign-up", "name=b&password=12345678", &[SCRIPT]);
    assert_eq!(reply.status, 201);
    assert_eq!(
        json(&reply),
        serde_json::json!({"name": "b", "role": "upload"})
    );
    assert!(reply.field("Set-Cookie").is_some());
}

#[test]
fn nobody_signs_up_where_that_is_off() {
    let site = Site::with(&["--user", "will:will's password:write"]);
    assert_eq!(site.get("/.hythe/sign-up", &[BROWSER]).status, 404);
    let body = "name=a&password=12345678&again=12345678";
    assert_eq!(site.post("/.hythe/sign-up", body, &[BROWSER]).status, 404);
    assert!(
        !site
            .get("/.hythe/sign-in", &[BROWSER])
            .text()
            .contains("sign-up")
    );
    assert!(!site.get("/", &[BROWSER]).text().contains("sign-up"));
}

#[test]
fn without_accounts_there_are_none_of_these_pages() {
    let site = Site::with(&[]);
    for path in [
        "sign-in", "sign-up", "account", "users", "links", "l/x", "l/x/", "nothing", "",
    ] {
        let path = format!("/.hythe/{path}");
        let reply = site.get(&path, &[BROWSER]);
        assert_eq!(reply.status, 404, "{path}");
        assert_eq!(site.get(&path, &[]).status, 404, "{path}");
    }
    assert_eq!(
        site.post("/.hythe/sign-in", "name=a&password=b", &[])
            .status,
        404
    );
    assert!(!site.get("/", &[BROWSER]).text().contains("sign-in"));
}

#[test]
fn strangers_are_asked_to_sign_in_and_come_back() {
    let site = Site::with(&["--allow", "none", "--user", "will:will's password:write"]);
    let reply = site.get("/music/?sort=size&order=desc", &[BROWSER]);
    assert_eq!(reply.status, 401);
    is_ours(&reply);
    assert_eq!(reply.field("WWW-Authenticate"), None);
    let text = reply.text();
    assert!(
        text.contains("value=\"/music/?sort=size&#38;order=desc\""),
        "{text}"
    );
    assert!(!text.contains("one.ogg"));
    // Tools are told how.
    let reply = site.get("/music/", &[]);
    assert_eq!(reply.status, 401);
    assert!(
        reply
            .field("WWW-Authenticate")
            .unwrap()
            .starts_with("Basic ")
    );
    let body = "name=will&password=will%27s+password&next=%2Fmusic%2F%3Fsort%3Dsize%26order%3Ddesc";
    let reply = site.post("/.hythe/sign-in", body, &[BROWSER]);
    assert_eq!(
        reply.field("Location"),
        Some("/music/?sort=size&order=desc")
    );
    let page = site.get("/music/?sort=size&order=desc", &[BROWSER, &cookie(&reply)]);
    assert!(page.text().contains("one.ogg"));
}

#[test]
fn another_site_can_make_nobody_send_a_form() {
    let site = Site::new();
    let will = site.sign_in("will");
    for path in [
        "sign-in", "sign-up", "sign-out", "account", "users", "links", "l/x/",
    ] {
        let path = format!("/.hythe/{path}");
        for evil in [
            &["Sec-Fetch-Site: cross-site"][..],
            &["Sec-Fetch-Site: same-site"],
            &["Origin: http://evil"],
            &["Origin: null"],
        ] {
            let fields = [&[BROWSER, &will], evil].concat();
            let reply = site.post(&path, "name=a", &fields);
            assert_eq!(reply.status, 403, "{path} {evil:?}");
            assert_eq!(reply.field("Set-Cookie"), None);
        }
    }
    assert_eq!(site.get("/.hythe/account", &[BROWSER, &will]).status, 200);
    let ours = [
        "Origin: http://quay",
        "Sec-Fetch-Site: same-origin",
        BROWSER,
        &will,
    ];
    assert_eq!(site.post("/.hythe/sign-out", "", &ours).status, 303);
}

#[test]
fn methods_and_forms_that_are_none_are_refused() {
    let site = Site::new();
    let mut client = Client::new(site.address());
    for (path, allow) in [
        ("/.hythe/sign-in", "GET, HEAD, POST"),
        ("/.hythe/sign-out", "POST"),
        ("/.hythe/page.js", "GET, HEAD"),
    ] {
        let reply = client.ask("DELETE", path, &[]);
        assert_eq!(
            (reply.status, reply.field("Allow")),
            (405, Some(allow)),
            "{path}"
        );
    }
    assert_eq!(site.get("/.hythe/sign-out", &[BROWSER]).status, 405);
    let long = "a".repeat(70 * 1024);
    assert_eq!(site.post("/.hythe/sign-in", &long, &[]).status, 413);
    let mut client = Client::new(site.address());
    let fields = ["Content-Type: application/json", "Content-Length: 2"];
    client.send(&request("POST", "/.hythe/sign-in", &fields));
    client.send(b"{}");
    assert_eq!(client.reply("POST").status, 415);
}

#[test]
fn the_script_is_kept_for_ever_under_its_own_address() {
    let site = Site::with(&[]);
    let page = site.get("/", &[BROWSER]).text();
    let (_, rest) = page.split_once("src=\"/.hythe/page.js").unwrap();
    let (query, _) = rest.split_once('"').unwrap();
    let address = format!("/.hythe/page.js{query}");
    let plain = site.get(&address, &[]);
    assert_eq!(plain.status, 200);
    assert_eq!(plain.body, hythe::web::SCRIPT.as_bytes());
    assert_eq!(
        plain.field("Content-Type"),
        Some("text/javascript; charset=utf-8")
    );
    assert_eq!(
        plain.field("Cache-Control"),
        Some("public, max-age=31536000, immutable")
    );
    let gzip = site.get(&address, &["Accept-Encoding: gzip"]);
    assert_eq!(gzip.field("Content-Encoding"), Some("gzip"));
    assert!(gzip.body.starts_with(b"\x1f\x8b"));
    assert_ne!(gzip.field("ETag"), plain.field("ETag"));
    for reply in [&plain, &gzip] {
        let known = format!("If-None-Match: {}", reply.field("ETag").unwrap());
        let fields = if reply.field("Content-Encoding").is_some() {
            vec!["Accept-Encoding: gzip", &known]
        } else {
            vec![&*known]
        };
        let again = site.get(&address, &fields);
        assert_eq!(
            (again.status, again.field("ETag")),
            (304, reply.field("ETag"))
        );
    }
    // Under another address it may be another tomorrow.
    let other = site.get("/.hythe/page.js", &[]);
    assert_eq!(other.field("Cache-Control"), Some("no-cache"));
}

#[test]
fn curl_signs_in_with_a_cookie_jar() {
    let site = Site::new();
    let jar = site.folder.path().join("jar");
    let url = format!("{}.hythe/", site.served.url("http"));
    let curl = |arguments: &[&str]| {
        let mut command = tool("curl");
        command
            .args(["-sS", "--fail", "-b"])
            .arg(&jar)
            .arg("-c")
            .arg(&jar);
        String::from_utf8(run(command.args(arguments))).unwrap()
    };
    let sign_in = format!("{url}sign-in");
    let told = curl(&[
        "-d",
        "name=will",
        "--data-urlencode",
        "password=will's password",
        &sign_in,
    ]);
    assert_eq!(told, "{\"name\":\"will\",\"role\":\"write\"}\n");
    let told = curl(&[&format!("{url}account")]);
    assert!(
        told.starts_with("{\"name\":\"will\",\"role\":\"write\",\"home\":\"/\",\"quota\":null,"),
        "{told}"
    );
    // Basic does as well.
    let told = run(tool("curl")
        .args(["-sS", "--fail", "-u", "will:will's password"])
        .arg(format!("{url}account")));
    assert!(told.starts_with(b"{\"name\":\"will\""));
}

#[test]
fn who_signs_up_has_the_quota_there_is_for_visitors() {
    let site = Site::with(&["--register", "upload", "--register-quota", "1K"]);
    let reply = site.post(
        "/.hythe/sign-up",
        "name=new&password=a+long+secret",
        &[BROWSER],
    );
    assert_eq!(reply.status, 303, "{}", reply.text());
    let session = cookie(&reply);
    let put = |target: &str, size: usize| {
        let length = format!("Content-Length: {size}");
        let mut client = Client::new(site.address());
        client.send(&request(
            "PUT",
            target,
            &[&length, &session, "Origin: http://quay"],
        ));
        client.send(&vec![b'x'; size]);
        client.reply("PUT").status
    };
    assert_eq!((put("/one", 1000), put("/two", 100)), (201, 507));
    let database = site.folder.path().join("accounts.db");
    let mut list = common::hythe();
    list.args(["user", "list", "--json", "--accounts"])
        .arg(database);
    let list: serde_json::Value = serde_json::from_slice(&run(&mut list)).unwrap();
    assert_eq!(list[0]["quota"], 1024, "{list}");
}
