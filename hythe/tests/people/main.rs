//! The server's own pages, seen from outside: signing in, up and out, accounts,
//! share links, and what was chosen in a folder as one zip.

#[path = "../common/mod.rs"]
mod common;

mod admin;
mod links;
mod selection;
mod sign;

use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use common::Served;
use common::http::{Client, Reply, request};
use tempfile::TempDir;

/// What a browser says it would like.
const BROWSER: &str = "Accept: text/html,application/xhtml+xml,*/*;q=0.8";

/// What our script says.
const SCRIPT: &str = "Accept: application/json";

/// A served folder beside a file that nobody may ever see.
struct Site {
    folder: TempDir,
    served: Served,
}

const CANARY: &str = "the canary is outside";

impl Site {
    /// With accounts: ann the admin, will who may write, rose who may read, and
    /// with a way to register.
    fn new() -> Self {
        Self::with(&[
            "--user",
            "ann:ann's password:admin",
            "--user",
            "will:will's password:write",
            "--user",
            "rose:rose's password:read",
            "--register",
            "upload",
        ])
    }

    fn with(arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("canary"), CANARY).unwrap();
        let share = folder.path().join("share");
        write(&share.join("a.txt"), "this is a");
        write(&share.join("music/one.ogg"), "one");
        write(&share.join("music/deep/two <b>&.txt"), "two");
        write(&share.join("private/diary.txt"), "dear diary");
        std::os::unix::fs::symlink("../../canary", share.join("music/out")).unwrap();
        std::os::unix::fs::symlink("../private", share.join("music/beside")).unwrap();
        let accounts = folder.path().join("accounts.db");
        let accounts = ["--accounts", accounts.to_str().unwrap()];
        let served = if arguments.contains(&"--register") {
            Served::http(&share, &[&accounts, arguments].concat())
        } else {
            Served::http(&share, arguments)
        };
        Self { folder, served }
    }

    fn address(&self) -> SocketAddr {
        self.served.address("http")
    }

    fn share(&self) -> std::path::PathBuf {
        self.folder.path().join("share")
    }

    fn get(&self, target: &str, fields: &[&str]) -> Reply {
        Client::new(self.address()).ask("GET", target, fields)
    }

    fn post(&self, target: &str, body: &str, fields: &[&str]) -> Reply {
        let length = format!("Content-Length: {}", body.len());
        let form = "Content-Type: application/x-www-form-urlencoded";
        let mut fields = [&[form, &length], fields].concat();
        // As browsers do.
        if !fields.iter().any(|field| field.starts_with("Origin: ")) {
            fields.push("Origin: http://quay");
        }
        let mut client = Client::new(self.address());
        client.send(&request("POST", target, &fields));
        client.send(body.as_bytes());
        client.reply("POST")
    }

    /// Signs in; the cookie, as it is to be sent.
    fn sign_in(&self, name: &str) -> String {
        let body = format!("name={name}&password={name}%27s+password");
        let reply = self.post("/.hythe/sign-in", &body, &[BROWSER]);
        assert_eq!(reply.status, 303, "{}", reply.text());
        cookie(&reply)
    }
}

/// The cookie that a reply sets, as it is to be sent.
fn cookie(reply: &Reply) -> String {
    let set = reply.field("Set-Cookie").expect("a cookie");
    let (pair, _) = set.split_once(';').unwrap();
    format!("Cookie: {pair}")
}

fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// What holds of every page of ours.
fn is_ours(reply: &Reply) {
    assert_eq!(
        reply.field("Content-Type"),
        Some("text/html; charset=utf-8")
    );
    let control = reply.field("Cache-Control").unwrap();
    assert!(control.contains("no-store"), "{control}");
    let policy = reply.field("Content-Security-Policy").unwrap();
    assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"));
    assert!(reply.field("Referrer-Policy").is_some());
    assert!(
        reply
            .field("Vary")
            .is_some_and(|vary| vary.contains("Cookie"))
    );
}

fn json(reply: &Reply) -> serde_json::Value {
    assert_eq!(
        reply.field("Content-Type"),
        Some("application/json"),
        "{}",
        reply.text()
    );
    serde_json::from_slice(&reply.body).unwrap()
}
