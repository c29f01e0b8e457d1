//! Who may do what: visitors without an account, and accounts of each role, by
//! name and password and by the cookie of a session.

use std::fs;
use std::net::SocketAddr;
use std::thread;

use hythe::accounts::{Accounts, Gate};
use hythe::http::{Http, Site, SiteConfig};
use hythe::serve::ftp::{Ftp, FtpConfig};
use hythe::share::{Access, Share};
use hythe_net::{Addr, Model, Server};
use tempfile::TempDir;

use super::common::ftp::Session;
use super::common::http::{Client, Reply};
use super::{curl, exchange};

/// The password of each account, with bytes that programs trip over.
const PASSWORD: &str = "a:b ;来%41\"";

/// A served folder with an account for each role, named after it.
struct Quay {
    _folder: TempDir,
    accounts: Accounts,
    http: SocketAddr,
    ftp: SocketAddr,
}

fn site(strangers: Access) -> Quay {
    let folder = tempfile::tempdir().unwrap();
    for name in ["old", "gone", "moved"] {
        fs::write(folder.path().join(name), b"old").unwrap();
    }
    let accounts = Accounts::temporary().unwrap();
    for role in &Access::ALL[1..] {
        let added = accounts.add_temporary(role.as_str().as_bytes(), PASSWORD.as_bytes(), *role);
        added.unwrap();
    }
    let gate = Gate::new(Share::open(folder.path()).unwrap(), strangers)
        .with_accounts(accounts.clone(), Access::None);
    let any = &Addr::resolve("127.0.0.1:0").unwrap()[0];
    let server = Server::new(Model::cores())
        .listen(
            any,
            Http::new(Site::new(gate.clone(), SiteConfig::default())),
        )
        .unwrap()
        .listen(any, Ftp::new(gate, FtpConfig::default()))
        .unwrap();
    let ports: Vec<SocketAddr> = server
        .addresses()
        .iter()
        .map(|address| address.to_string().parse().unwrap())
        .collect();
    thread::spawn(move || server.serve());
    Quay {
        _folder: folder,
        accounts,
        http: ports[0],
        ftp: ports[1],
    }
}

impl Quay {
    fn ask(&self, method: &str, target: &str, fields: &[&str], body: &[u8]) -> Reply {
        exchange(&mut Client::new(self.http), method, target, fields, body)
    }

    /// The cookie of a session that has just begun.
    fn cookie(&self, name: &str) -> String {
        let from = Addr::unnamed();
        let account = self
            .accounts
            .sign_in(name.as_bytes(), PASSWORD.as_bytes(), &from, "http")
            .unwrap();
        let token = self.accounts.start_session(&account).unwrap();
        let port = self.http.port();
        format!("Cookie: other=1; hythe-session-{port}={}", token.as_str())
    }
}

/// What each request needs, and its status once that is there.
const VERBS: [(&str, &str, &str, Access, u16); 9] = [
    ("GET", "old", "", Access::Read, 200),
    ("GET", "", "", Access::Read, 200),
    ("PUT", "new", "", Access::Upload, 201),
    ("MKCOL", "folder/", "", Access::Upload, 201),
    ("COPY", "old", "copy", Access::Upload, 201),
    ("PUT", "old", "", Access::Write, 204),
    ("COPY", "gone", "old", Access::Write, 204),
    ("MOVE", "moved", "moved2", Access::Write, 201),
    ("DELETE", "gone", "", Access::Write, 204),
];

#[test]
fn every_verb_needs_its_role_whoever_asks() {
    for role in Access::ALL {
        let strangers = site(role);
        let accounts = site(Access::None);
        let url = format!("http://{}/", accounts.http);
        let credentials = format!("{role}:{PASSWORD}");
        for (method, target, to, needed, status) in VERBS {
            let shown = format!("{role} {method} {target}");
            // What would be overwritten is nothing to whoever may not upload.
            let missing = match (method, role >= Access::Upload) {
                ("PUT" | "COPY", false) => Access::Upload,
                _ => needed,
            };
            let to = format!("Destination: /{to}");
            let stranger = strangers.ask(method, &format!("/{target}"), &[&to], b"");
            if role >= needed {
                assert_eq!(stranger.status, status, "{shown}: {}", stranger.text());
            } else {
                assert_eq!(stranger.status, 401, "{shown}");
                assert!(stranger.field("WWW-Authenticate").is_some(), "{shown}");
                let text = stranger.text();
                assert!(text.contains(&format!("role {missing}")), "{text}");
            }
            if role == Access::None {
                continue;
            }
            let target = format!("{url}{target}");
            let (found, text) = curl(&["-u", &credentials, "-X", method, "-H", &to, &target]);
            let expected = if role >= needed { status } else { 403 };
            assert_eq!(found, expected, "account {shown}: {text}");
            if expected == 403 {
                let why = format!("needs the role {missing}, and {role} has {role}");
                assert!(text.contains(&why), "{text}");
            }
        }
    }
}

#[test]
fn a_browser_is_shown_a_page_and_no_window_for_passwords() {
    let site = site(Access::None);
    let page = site.ask(
        "GET",
        "/old",
        &["Accept: text/html", "User-Agent: Mozilla/5.0"],
        b"",
    );
    assert!(matches!(page.status, 401 | 403), "{}", page.status);
    assert_eq!(page.field("WWW-Authenticate"), None);
    assert!(page.text().contains("<html"));
    let script = site.ask("PUT", "/x", &["Sec-Fetch-Site: same-origin"], b"x");
    assert_eq!(script.status, 401);
    assert_eq!(script.field("WWW-Authenticate"), None);
}

#[test]
fn sessions_count_for_our_own_pages_only() {
    let site = site(Access::Read);
    let cookie = site.cookie("write");
    let put = |fields: &[&str]| {
        let fields = [&[cookie.as_str()], fields].concat();
        site.ask("PUT", "/old", &fields, b"x").status
    };
    assert_eq!(put(&["Sec-Fetch-Site: same-origin"]), 204);
    assert_eq!(put(&["Origin: http://quay"]), 204);
    assert_eq!(put(&[]), 403, "it may have been made to ask");
    assert_eq!(put(&["Origin: http://evil"]), 403);
    assert_eq!(put(&["Sec-Fetch-Site: cross-site"]), 403);
    // A cookie of another port, or one that has ended, is none.
    let other = site.ask("PUT", "/old", &["Cookie: hythe-session-1=x"], b"x");
    assert_eq!(other.status, 401);
    site.accounts.end_sessions("write").unwrap();
    assert_eq!(put(&["Origin: http://quay"]), 401);
}

#[test]
fn what_accounts_may_read_never_reaches_strangers_from_a_cache() {
    let site = site(Access::None);
    let cookie = site.cookie("read");
    for _ in 0..20 {
        let mut client = Client::new(site.http);
        let seen = client.ask("GET", "/old", &[&cookie]);
        assert_eq!((seen.status, &seen.body[..]), (200, &b"old"[..]));
        let vary = seen.field("Vary").unwrap();
        assert!(vary.contains("Cookie, Authorization"), "{vary}");
        assert!(seen.field("Cache-Control").unwrap().starts_with("private"));
        let stranger = client.ask("GET", "/old", &[]);
        assert_eq!(stranger.status, 401);
        let wrong = client.ask("GET", "/old", &["Cookie: hythe-session-1=wrong"]);
        assert_eq!(wrong.status, 401);
    }
}

#[test]
fn wrong_credentials_are_never_taken_for_none() {
    let site = site(Access::Write);
    for (number, wrong) in [
        "Basic cmVhZDp3cm9uZw==",
        "Basic bm9ib2R5Og==",
        "Basic",
        "Basic ????",
        "Basic cmVhZA==",
        "Bearer x",
    ]
    .into_iter()
    .enumerate()
    {
        let field = format!("Authorization: {wrong}");
        let target = format!("/new-{number}");
        let reply = site.ask("PUT", &target, &[&field, "Expect: 100-continue"], b"x");
        assert_eq!(reply.status, 401, "{wrong}");
        assert_eq!(
            reply.field("WWW-Authenticate"),
            Some("Basic realm=\"hythe\", charset=\"UTF-8\"")
        );
    }
}

#[test]
fn the_eleventh_failure_is_told_to_wait_over_every_protocol() {
    let site = site(Access::Read);
    // `read:wrong`
    let wrong = ["Authorization: Basic cmVhZDp3cm9uZw=="];
    for round in 0..10 {
        assert_eq!(site.ask("GET", "/old", &wrong, b"").status, 401, "{round}");
    }
    let reply = site.ask("GET", "/old", &wrong, b"");
    assert_eq!(reply.status, 429);
    let wait: u64 = reply.field("Retry-After").unwrap().parse().unwrap();
    assert!((1..=60).contains(&wait), "{wait}");
    let url = format!("http://{}/old", site.http);
    let right = curl(&["-u", &format!("read:{PASSWORD}"), &url]);
    assert_eq!(right.0, 429, "the right password tells nothing either");
    let mut ftp = Session::connect(site.ftp);
    assert_eq!(ftp.command("USER read").code, 331);
    assert_ne!(ftp.command(format!("PASS {PASSWORD}")).code, 230);
}

#[test]
fn answers_say_that_they_depend_on_who_asks_kept_or_not() {
    let site = site(Access::Read);
    let mut client = Client::new(site.http);
    for _ in 0..3 {
        let reply = client.ask("GET", "/old", &[]);
        assert_eq!(reply.status, 200);
        let vary = reply.field("Vary").unwrap_or_default();
        assert!(vary.ends_with("Cookie, Authorization"), "{vary}");
    }
}
