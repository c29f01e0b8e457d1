//! Share links.

use std::thread;

use super::*;
use crate::common::{eventually, exchange, run, tool};

/// Makes a link; its address.
fn link(site: &Site, cookie: &str, form: &str) -> String {
    let reply = site.post("/.hythe/links", form, &[SCRIPT, cookie]);
    assert_eq!(reply.status, 201, "{form}: {}", reply.text());
    json(&reply)["url"].as_str().unwrap().to_owned()
}

#[test]
fn a_file_is_given_and_nothing_beside_it() {
    let site = Site::new();
    let will = site.sign_in("will");
    let url = link(&site, &will, "path=/a.txt");
    assert!(
        url.starts_with("/.hythe/l/") && url.ends_with("/a.txt"),
        "{url}"
    );
    let token = url.split('/').nth(3).unwrap();
    assert!(token.len() >= 22, "128 bits and more: {token}");
    let file = site.get(&url, &[]);
    assert_eq!((file.status, file.text().as_str()), (200, "this is a"));
    assert_eq!(file.field("Referrer-Policy"), Some("same-origin"));
    assert!(file.field("Cache-Control").unwrap().contains("no-store"));
    assert_eq!(site.get(&url, &["Range: bytes=5-6"]).text(), "is");
    let base = url.strip_suffix("a.txt").unwrap();
    // People see a page first.
    let page = site.get(base, &[BROWSER]);
    is_ours(&page);
    assert!(page.text().contains("a.txt") && page.text().contains("?download"));
    let download = site.get(&format!("{url}?download"), &[]);
    assert!(
        download
            .field("Content-Disposition")
            .unwrap()
            .starts_with("attachment")
    );
    let tools = site.get(base, &[]);
    assert_eq!(tools.text(), "this is a");
    assert!(
        tools
            .field("Content-Disposition")
            .unwrap()
            .contains("a.txt")
    );
    for beside in [
        "music/one.ogg",
        "a.txt/",
        "a.txt/x",
        "../a.txt/",
        "%2e%2e/music/",
        "music/",
    ] {
        let reply = site.get(&format!("{base}{beside}"), &[]);
        assert_eq!(reply.status, 404, "{beside}");
    }
    for bad in ["..%2fa.txt", "..%5ca.txt", "%00"] {
        assert_eq!(site.get(&format!("{base}{bad}"), &[]).status, 400, "{bad}");
    }
    // It is not to be written to, nor to be found by guessing.
    let mut client = Client::new(site.address());
    assert_eq!(client.ask("DELETE", &url, &[&will]).status, 405);
    for other in [
        "/.hythe/l/x/",
        "/.hythe/l/",
        "/.hythe/l",
        "/.hythe/l/%ff/",
        "/.hythe/l//a.txt",
    ] {
        assert_eq!(site.get(other, &[&will]).status, 404, "{other}");
    }
}

#[test]
fn a_folder_is_given_down_from_there() {
    let site = Site::new();
    let will = site.sign_in("will");
    let base = link(&site, &will, "path=music");
    let page = site.get(&base, &[BROWSER]);
    assert_eq!(page.status, 200);
    let text = page.text();
    assert!(text.contains(&format!("href=\"{base}one.ogg\"")), "{text}");
    assert!(text.contains(&format!("href=\"{base}deep/\"")));
    assert!(
        !text.contains(">out<") && !text.contains(">beside<"),
        "{text}"
    );
    assert!(!text.contains("/.hythe/account"), "nobody's account");
    assert_eq!(site.get(&format!("{base}one.ogg"), &[]).text(), "one");
    let two = format!("{base}deep/two%20%3Cb%3E%26.txt");
    assert_eq!(site.get(&two, &[]).text(), "two");
    let listing = json(&site.get(&format!("{base}deep/?json"), &[]));
    assert_eq!(listing["entries"][0]["href"], two);
    let hits = json(&site.get(&format!("{base}?json&q=TWO"), &[]));
    assert_eq!(hits["hits"][0]["href"], two);
    let reply = site.get(&format!("{base}deep"), &[]);
    assert_eq!(
        (reply.status, reply.field("Location")),
        (308, Some(&*format!("{base}deep/")))
    );
    let without_slash = base.trim_end_matches('/');
    let reply = site.get(without_slash, &[]);
    assert_eq!((reply.status, reply.field("Location")), (303, Some(&*base)));
    assert!(
        site.get(&format!("{base}?zip"), &[])
            .body
            .starts_with(b"PK")
    );
    for out in [
        "out",
        "beside/",
        "beside/diary.txt",
        "../a.txt",
        "../../canary",
        "deep/../../private/diary.txt",
    ] {
        let reply = site.get(&format!("{base}{out}"), &[]);
        assert_eq!(reply.status, 404, "{out}");
    }
    for raw in ["..%2f..%2fcanary", "%2e%2e%2fcanary"] {
        let reply = site.get(&format!("{base}{raw}"), &[]);
        assert_eq!(reply.status, 400, "{raw}");
        assert!(!reply.text().contains(CANARY));
    }
    // Those who have accounts are nobody in particular here.
    let reply = site.get(&base, &[BROWSER, &will]);
    assert!(!reply.text().contains("name=\"file\""), "no uploads");
    let chosen = site.post(&format!("{base}?zip"), "name=one.ogg&name=deep", &[]);
    assert!(chosen.status == 200 && chosen.body.starts_with(b"PK"));
    let href = format!("href={}", base.replace('/', "%2F"));
    let chosen = site.post(&format!("{base}?zip"), &format!("{href}one.ogg"), &[]);
    assert_eq!(chosen.status, 200, "{}", chosen.text());
    assert_eq!(
        site.post(&format!("{base}?zip"), "name=out", &[]).status,
        404
    );
}

#[test]
fn a_password_is_asked_for() {
    let site = Site::new();
    let will = site.sign_in("will");
    let url = link(&site, &will, "path=/music/&password=open:%20%E4%B8%AD");
    let file = format!("{url}one.ogg");
    let page = site.get(&file, &[BROWSER]);
    assert_eq!(page.status, 401);
    is_ours(&page);
    assert!(page.text().contains("type=\"password\""));
    assert_eq!(page.field("WWW-Authenticate"), None);
    let tools = site.get(&file, &[]);
    assert_eq!(tools.status, 401);
    assert!(
        tools
            .field("WWW-Authenticate")
            .unwrap()
            .starts_with("Basic ")
    );

    let wrong = site.post(&file, "password=wrong", &[BROWSER]);
    assert_eq!(wrong.status, 401);
    is_ours(&wrong);
    assert!(wrong.text().contains("The password is wrong."));
    let right = site.post(&file, "password=open:%20%E4%B8%AD", &[BROWSER]);
    assert_eq!((right.status, right.field("Location")), (303, Some(&*file)));
    let set = right.field("Set-Cookie").unwrap();
    assert!(
        set.starts_with("hythe-link-") && set.contains("; HttpOnly; SameSite=Lax"),
        "{set}"
    );
    assert!(
        set.contains(&format!("; Path={}", url.trim_end_matches('/'))),
        "{set}"
    );
    assert_eq!(site.get(&file, &[BROWSER, &cookie(&right)]).text(), "one");
    // The pass of one link opens no other.
    let other = link(&site, &will, "path=/music/&password=other");
    let value = set.split_once('=').unwrap().1.split(';').next().unwrap();
    for id in 0..5 {
        let forged = format!("Cookie: hythe-link-{id}={value}");
        assert_eq!(site.get(&other, &[&forged]).status, 401);
    }
    // curl, with any name.
    let whole = format!("{}{}", site.served.url("http").trim_end_matches('/'), file);
    let got = run(tool("curl").args(["-sS", "--fail", "-u", "anybody:open: 中", &whole]));
    assert_eq!(got, b"one");
    // An account's password is none here, and this one opens no account.
    let basic = run(tool("curl").args([
        "-sS",
        "-o",
        "/dev/null",
        "-w",
        "%{http_code}",
        "-u",
        "will:will's password",
        &whole,
    ]));
    assert_eq!(basic, b"401");
}

#[test]
fn wrong_passwords_of_a_link_have_to_wait() {
    let site = Site::new();
    let will = site.sign_in("will");
    let url = link(&site, &will, "path=/a.txt&password=right");
    for _ in 0..10 {
        assert_eq!(site.post(&url, "password=wrong", &[BROWSER]).status, 401);
    }
    let reply = site.post(&url, "password=right", &[BROWSER]);
    assert_eq!(reply.status, 429);
    assert!(reply.field("Retry-After").is_some());
    is_ours(&reply);
}

#[test]
fn downloads_are_counted_and_can_be_continued() {
    let site = Site::new();
    write(&site.share().join("big"), &"0123456789".repeat(1000));
    let will = site.sign_in("will");
    let base = link(&site, &will, "path=/big&downloads=2");
    // To be looked at first, and by what looks at links ahead of people.
    assert!(base.ends_with('/'), "{base}");
    let file = format!("{base}big");
    let left = || {
        let links = json(&site.get("/.hythe/links", &[SCRIPT, &will]));
        links["links"][0]["left"].as_u64().unwrap()
    };
    for _ in 0..3 {
        let page = site.get(&base, &[BROWSER]);
        assert_eq!(page.status, 200);
        assert!(page.text().contains("Downloads left: 2"));
        assert_eq!(
            Client::new(site.address()).ask("HEAD", &file, &[]).status,
            200
        );
    }
    assert_eq!(left(), 2);
    let first = site.get(&file, &[]);
    assert_eq!((first.status, left()), (200, 1));
    let known = format!("If-None-Match: {}", first.field("ETag").unwrap());
    assert_eq!((site.get(&file, &[&known]).status, left()), (304, 1));
    // What is continued was counted when it began.
    assert_eq!(
        (site.get(&file, &["Range: bytes=9000-"]).status, left()),
        (206, 1)
    );
    assert_eq!(
        (site.get(&file, &["Range: bytes=0-99"]).status, left()),
        (206, 0)
    );
    let rest = site.get(&file, &["Range: bytes=100-"]);
    assert_eq!((rest.status, rest.body.len()), (206, 9900));
    for fields in [&[][..], &["Range: bytes=0-"], &[BROWSER]] {
        let gone = site.get(&file, fields);
        assert_eq!(gone.status, 410, "{fields:?}");
        assert!(gone.text().contains("downloads"), "{}", gone.text());
    }
    assert_eq!(site.get(&base, &[BROWSER]).status, 410);
    assert_eq!(site.get(&base, &[]).status, 410);
}

#[test]
fn what_is_not_the_beginning_counts_where_nothing_began() {
    let site = Site::new();
    let will = site.sign_in("will");
    let folder = link(&site, &will, "path=/music&downloads=1");
    let one = format!("{folder}one.ogg");
    assert_eq!(site.get(&folder, &[BROWSER]).status, 200);
    assert_eq!(site.get(&one, &["Range: bytes=1-"]).status, 206);
    assert_eq!(site.get(&one, &["Range: bytes=1-"]).status, 206);
    let two = format!("{folder}deep/two%20%3Cb%3E%26.txt");
    assert_eq!(site.get(&two, &["Range: bytes=1-"]).status, 410);
    assert_eq!(site.get(&two, &[]).status, 410);
    let zip = link(&site, &will, "path=/music&downloads=1");
    assert_eq!(site.get(&format!("{zip}?zip"), &[]).status, 200);
    assert_eq!(site.get(&format!("{zip}?zip"), &[]).status, 410);
    assert_eq!(
        site.post(&format!("{zip}?zip"), "name=one.ogg", &[]).status,
        410
    );
}

#[test]
fn of_twenty_who_come_at_once_three_get_the_last_three() {
    for model in ["cores", "forks"] {
        let site = Site::with(&["--user", "will:will's password:write", "--model", model]);
        let will = site.sign_in("will");
        let base = link(&site, &will, "path=/a.txt&downloads=3");
        let target = format!("{base}a.txt");
        let statuses: Vec<u16> = thread::scope(|scope| {
            let asked: Vec<_> = (0..20)
                .map(|_| scope.spawn(|| site.get(&target, &[]).status))
                .collect();
            asked
                .into_iter()
                .map(|asked| asked.join().unwrap())
                .collect()
        });
        let count = |wanted| statuses.iter().filter(|status| **status == wanted).count();
        assert_eq!((count(200), count(410)), (3, 17), "{model}: {statuses:?}");
    }
}

#[test]
fn a_link_ends() {
    let site = Site::new();
    let (will, ann, rose) = (
        site.sign_in("will"),
        site.sign_in("ann"),
        site.sign_in("rose"),
    );
    // Removed: by its maker or an admin, and by nobody else.
    let reply = site.post("/.hythe/links", "path=/a.txt", &[SCRIPT, &will]);
    let made = json(&reply);
    let (url, id) = (made["url"].as_str().unwrap(), &made["id"]);
    let remove = format!("action=remove&id={id}");
    assert_eq!(
        site.post("/.hythe/links", &remove, &[SCRIPT, &rose]).status,
        404
    );
    assert_eq!(site.get(url, &[]).status, 200);
    assert_eq!(
        site.post("/.hythe/links", &remove, &[BROWSER, &ann]).status,
        303
    );
    assert_eq!(site.get(url, &[]).status, 404);
    assert_eq!(
        site.post("/.hythe/links", &remove, &[SCRIPT, &will]).status,
        404
    );

    // With what it leads to.
    write(&site.share().join("brief.txt"), "brief");
    let url = link(&site, &will, "path=/brief.txt");
    fs::remove_file(site.share().join("brief.txt")).unwrap();
    assert_eq!(site.get(&url, &[]).status, 404);
    fs::create_dir(site.share().join("brief.txt")).unwrap();
    assert_eq!(site.get(&url, &[]).status, 404);

    // With its maker, and with what its maker sees.
    let add = "action=add&name=carl&password=x&role=read&home=/music";
    assert_eq!(site.post("/.hythe/users", add, &[SCRIPT, &ann]).status, 201);
    let carl = cookie(&site.post("/.hythe/sign-in", "name=carl&password=x", &[BROWSER]));
    let url = link(&site, &carl, "path=/one.ogg");
    assert_eq!(site.get(&url, &[]).text(), "one");
    let refused = site.post("/.hythe/links", "path=/../a.txt", &[SCRIPT, &carl]);
    assert_eq!(refused.status, 404);
    let home = |home| {
        let body = format!("action=home&name=carl&home={home}");
        assert_eq!(
            site.post("/.hythe/users", &body, &[SCRIPT, &ann]).status,
            200
        );
    };
    home("/private");
    assert_eq!(site.get(&url, &[]).status, 404);
    home("/");
    assert_eq!(site.get(&url, &[]).text(), "one");
    let listed = |cookie: &str| site.get("/.hythe/links", &[SCRIPT, cookie]).text();
    assert!(listed(&ann).contains("/music/one.ogg") && listed(&carl).contains("/music/one.ogg"));
    assert!(!listed(&will).contains("one.ogg"));
    let remove = "action=remove&name=carl";
    assert_eq!(
        site.post("/.hythe/users", remove, &[SCRIPT, &ann]).status,
        200
    );
    assert_eq!(site.get(&url, &[]).status, 404);
    // Another who takes the name later is not the maker.
    assert_eq!(site.post("/.hythe/users", add, &[SCRIPT, &ann]).status, 201);
    assert_eq!(site.get(&url, &[]).status, 404);
}

#[test]
fn a_link_expires() {
    let site = Site::new();
    let will = site.sign_in("will");
    let url = link(&site, &will, "path=/a.txt&expires=1");
    eventually("the end of the link", || site.get(&url, &[]).status == 404);
    assert!(
        json(&site.get("/.hythe/links", &[SCRIPT, &will]))["links"]
            .as_array()
            .unwrap()
            .is_empty()
    );
    let lasting = json(&site.post(
        "/.hythe/links",
        "path=/a.txt&expires=3600",
        &[SCRIPT, &will],
    ));
    assert!(lasting["expires"].as_i64().unwrap() > 0);
    let for_ever = json(&site.post("/.hythe/links", "path=/a.txt&expires=0", &[SCRIPT, &will]));
    assert!(for_ever["expires"].is_null());
}

#[test]
fn strangers_make_no_links_and_wrong_forms_are_told() {
    let site = Site::new();
    for accept in [BROWSER, SCRIPT] {
        assert_eq!(site.get("/.hythe/links", &[accept]).status, 401);
        assert_eq!(
            site.post("/.hythe/links", "path=/a.txt", &[accept]).status,
            401
        );
    }
    let will = site.sign_in("will");
    for (body, status) in [
        ("path=/nothing", 404),
        ("path=", 404),
        ("", 404),
        ("path=/a.txt&downloads=many", 400),
        ("path=/a.txt&expires=-1", 400),
        ("path=/.hythe/", 404),
        ("path=/music/out", 404),
        ("path=/a%00", 404),
        ("action=frob", 400),
        ("action=remove&id=x", 404),
    ] {
        for accept in [BROWSER, SCRIPT] {
            let reply = site.post("/.hythe/links", body, &[accept, &will]);
            assert_eq!(reply.status, status, "{body}");
        }
    }
}

#[test]
fn the_page_of_links_shows_a_new_one_once_and_escapes() {
    let site = Site::new();
    let will = site.sign_in("will");
    let page = site.get("/.hythe/links?path=/%22%3E%3Cscript%3E", &[BROWSER, &will]);
    is_ours(&page);
    assert!(
        page.text()
            .contains("value=\"/&#34;&#62;&#60;script&#62;\"")
    );
    let form = "path=/music/deep/two+%3Cb%3E%26.txt&expires=86400&downloads=5&password=x";
    let reply = site.post(
        "/.hythe/links",
        form,
        &[BROWSER, &will, "Origin: http://quay"],
    );
    assert_eq!(reply.status, 201);
    is_ours(&reply);
    let text = reply.text();
    assert!(text.contains("value=\"http://quay/.hythe/l/"), "{text}");
    assert!(text.contains("two &#60;b&#62;&#38;.txt") && !text.contains("<b>"));
    assert!(text.contains("Downloads left: 5 of 5") && text.contains("with a password"));
    let again = site.get("/.hythe/links", &[BROWSER, &will]).text();
    assert!(!again.contains("/.hythe/l/") && again.contains("two &#60;b&#62;"));
}

#[test]
fn logs_hold_no_token() {
    let site = Site::new();
    let will = site.sign_in("will");
    let url = link(&site, &will, "path=/a.txt");
    assert_eq!(site.get(&url, &[]).status, 200);
    exchange(
        site.address(),
        format!("BREW {url} HTTP/1.1\r\nHost: quay\r\nConnection: close\r\n\r\n").as_bytes(),
    );
    let token = url.split('/').nth(3).unwrap();
    let session = will.split_once('=').unwrap().1;
    let log = site.served.stop();
    assert!(log.contains("/.hythe/l/-/a.txt"), "{log}");
    assert!(!log.contains(token) && !log.contains(session), "{log}");
}

#[test]
fn the_index_of_a_folder_counts_as_a_download() {
    let site = Site::with(&["--index", "--user", "will:will's password:write"]);
    write(&site.share().join("site/index.html"), "<p>index");
    let will = site.sign_in("will");
    let url = link(&site, &will, "path=/site&downloads=1");
    assert_eq!(site.get(&url, &[BROWSER]).text(), "<p>index");
    assert_eq!(site.get(&url, &[BROWSER]).status, 410);
}

#[test]
fn the_script_names_what_it_shares_by_its_address() {
    let site = Site::new();
    write(&site.share().join("50%25 中文/a b.txt"), "odd");
    let will = site.sign_in("will");
    let address = "/50%2525%20%E4%B8%AD%E6%96%87/a%20b.txt";
    assert_eq!(site.get(address, &[]).text(), "odd");
    let url = link(
        &site,
        &will,
        &format!("href={}", address.replace('%', "%25")),
    );
    assert_eq!(site.get(&url, &[]).text(), "odd");
    let url = link(&site, &will, "path=/50%2525+%E4%B8%AD%E6%96%87/");
    assert_eq!(site.get(&format!("{url}a%20b.txt"), &[]).text(), "odd");
}

#[test]
fn making_and_removing_is_in_the_audit_log_without_the_secret() {
    let site = Site::new();
    let (will, ann) = (site.sign_in("will"), site.sign_in("ann"));
    let first = link(
        &site,
        &will,
        "path=music&expires=60&downloads=3&password=pass+word",
    );
    let second = link(&site, &will, "path=/a.txt");
    let links = json(&site.get("/.hythe/links", &[SCRIPT, &will]));
    let id = |at: usize| links["links"][at]["id"].as_i64().unwrap();
    let (second_id, first_id) = (id(0), id(1));
    for (cookie, id, status) in [
        (&will, first_id, 200),
        (&ann, second_id, 200),
        (&ann, 0, 404),
    ] {
        let form = format!("action=remove&id={id}");
        let reply = site.post("/.hythe/links", &form, &[SCRIPT, cookie]);
        assert_eq!(reply.status, status, "{id}: {}", reply.text());
    }
    let file = site.folder.path().join("accounts.db");
    let lines: Vec<(String, String, String, String)> = {
        let db = rusqlite::Connection::open(file).unwrap();
        let sql =
            "SELECT account, act, path, detail FROM audit WHERE act LIKE 'link %' ORDER BY id";
        let mut query = db.prepare(sql).unwrap();
        let rows = query.query_map([], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
        });
        rows.unwrap().map(Result::unwrap).collect()
    };
    let line = |who: &str, act: &str, path: &str, detail: String| {
        (who.to_owned(), act.to_owned(), path.to_owned(), detail)
    };
    assert_eq!(
        lines,
        [
            line(
                "will",
                "link made",
                "/music",
                format!("link {first_id}, for 60 s, 3 downloads, with a password")
            ),
            line("will", "link made", "/a.txt", format!("link {second_id}")),
            line(
                "will",
                "link removed",
                "/music",
                format!("link {first_id} of will")
            ),
            line(
                "ann",
                "link removed",
                "/a.txt",
                format!("link {second_id} of will")
            ),
        ]
    );
    let Site { served, folder } = site;
    let log = served.stop();
    assert_eq!(log.matches("link made").count(), 2, "{log}");
    assert_eq!(log.matches("link removed").count(), 2, "{log}");
    let written: Vec<u8> = ["accounts.db", "accounts.db-wal"]
        .iter()
        .flat_map(|name| fs::read(folder.path().join(name)).unwrap_or_default())
        .chain(log.into_bytes())
        .collect();
    let holds = |text: &str| {
        written
            .windows(text.len())
            .any(|part| part == text.as_bytes())
    };
    assert!(holds("link made"));
    for secret in [&first, &second] {
        let token = secret.split('/').nth(3).unwrap();
        assert!(!holds(token), "{token}");
    }
    assert!(!holds("pass word"));
}
