//! The example `guestbook`: what an application on `hythe::http` looks like to
//! browsers, curl, a crowd, and somebody who pulls the plug.

#[path = "../common/mod.rs"]
mod common;

mod admin;
mod browser;
mod crash;
mod crowd;
mod forms;
mod pages;

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use common::http::{Client, Reply, get, request};
use common::{hythe, run, shown, tool};
use rusqlite::Connection;
use tempfile::TempDir;

/// A running guestbook, killed when dropped.
struct Guestbook {
    child: Child,
    address: SocketAddr,
    folder: TempDir,
}

/// Where cargo puts examples: beside the folder of the test programs.
fn example() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let path = test.parent().unwrap().with_file_name("examples/guestbook");
    assert!(
        path.exists(),
        "build it: cargo build -p hythe --example guestbook"
    );
    path
}

impl Guestbook {
    /// An empty one, with the accounts of `anna`, an admin, and `bo`, who may
    /// write and no more.
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let accounts = folder.path().join("accounts.db");
        for (name, role) in [("anna", "admin"), ("bo", "write")] {
            let mut add = hythe();
            add.args(["user", "add", "--accounts"]).arg(&accounts);
            add.env("HYTHE_PASSWORD", format!("{name}'s password"));
            run(add.args([name, "--role", role]));
        }
        Self::over(folder)
    }

    /// One without accounts.
    fn without_accounts() -> Self {
        Self::over(tempfile::tempdir().unwrap())
    }

    /// Over what is in a folder already.
    fn over(folder: TempDir) -> Self {
        let (child, address) = start(folder.path());
        Self {
            child,
            address,
            folder,
        }
    }

    /// Ends it without notice; what it leaves behind.
    fn kill(mut self) -> TempDir {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        std::mem::replace(&mut self.folder, tempfile::tempdir().unwrap())
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    fn database(&self) -> Connection {
        database(self.folder.path())
    }

    /// How many entries there are.
    fn count(&self) -> usize {
        let sql = "SELECT count(*) FROM entries";
        let count = self
            .database()
            .query_row(sql, [], |row| row.get::<_, u32>(0));
        count.unwrap() as usize
    }

    /// Writes entries past the application, `1` and so on.
    fn fill(&self, count: usize) {
        let mut db = self.database();
        let transaction = db.transaction().unwrap();
        for number in 1..=count {
            let sql = "INSERT INTO entries (name, text, written) VALUES ('Bo', ?, 0)";
            transaction.execute(sql, [number.to_string()]).unwrap();
        }
        transaction.commit().unwrap();
    }
}

impl Drop for Guestbook {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn start(folder: &Path) -> (Child, SocketAddr) {
    let mut command = Command::new(example());
    command.arg("127.0.0.1:0");
    command.arg("--data").arg(folder.join("guestbook.db"));
    let accounts = folder.join("accounts.db");
    if accounts.exists() {
        command.arg("--accounts").arg(accounts);
    }
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    let address = between(&line, "listening on http://", "/");
    let address = address.unwrap_or_else(|| panic!("it did not start: {line:?}"));
    (child, address.parse().unwrap())
}

fn database(folder: &Path) -> Connection {
    let db = Connection::open(folder.join("guestbook.db")).unwrap();
    db.busy_timeout(common::PATIENCE).unwrap();
    db
}

/// A browser as far as forms go: it keeps cookies, and brings back tokens.
struct Visitor {
    client: Client,
    address: SocketAddr,
    cookies: Vec<(String, String)>,
    token: String,
}

impl Visitor {
    /// Somebody who has opened the first page.
    fn new(address: SocketAddr) -> Self {
        let mut visitor = Self {
            client: Client::new(address),
            address,
            cookies: Vec::new(),
            token: String::new(),
        };
        assert_eq!(visitor.get("/").status, 200);
        assert_eq!(visitor.token.len(), 64);
        visitor
    }

    /// The field with all cookies.
    fn cookie(&self) -> String {
        let pairs: Vec<_> = self
            .cookies
            .iter()
            .map(|(n, v)| format!("{n}={v}"))
            .collect();
        format!("Cookie: {}", pairs.join("; "))
    }

    fn get(&mut self, path: &str) -> Reply {
        let cookie = self.cookie();
        let fields: &[&str] = if self.cookies.is_empty() {
            &[]
        } else {
            &[&cookie]
        };
        let reply = self.client.ask("GET", path, fields);
        self.learn(&reply);
        reply
    }

    /// Sends a form as the page would that has it.
    fn post(&mut self, path: &str, fields: &[(&str, &str)]) -> Reply {
        let token = self.token.clone();
        let fields = [&[("token", &*token)], fields].concat();
        let reply = self.send(path, &fields, &["Sec-Fetch-Site: same-origin"]);
        self.learn(&reply);
        reply
    }

    /// Sends a form just as it is told.
    fn send(&mut self, path: &str, form: &[(&str, &str)], fields: &[&str]) -> Reply {
        let pairs: Vec<_> = form
            .iter()
            .map(|(name, value)| format!("{name}={}", coded(value)))
            .collect();
        let body = pairs.join("&");
        let cookie = self.cookie();
        let length = format!("Content-Length: {}", body.len());
        let kind = "Content-Type: application/x-www-form-urlencoded";
        let mut all = vec![&*length, kind];
        if !self.cookies.is_empty() {
            all.push(&cookie);
        }
        all.extend(fields);
        let mut bytes = request("POST", path, &all);
        bytes.extend(body.as_bytes());
        self.client.send(&bytes);
        let reply = self.client.reply("POST");
        if reply.closes() {
            self.client = Client::new(self.address);
        }
        reply
    }

    /// Signs in by the form.
    fn sign_in(&mut self, name: &str, password: &str) -> Reply {
        assert_eq!(self.get("/sign-in").status, 200);
        self.post("/sign-in", &[("name", name), ("password", password)])
    }

    fn learn(&mut self, reply: &Reply) {
        if let Some(cookie) = reply.field("Set-Cookie") {
            let (name, value) = cookie.split(';').next().unwrap().split_once('=').unwrap();
            self.cookies.retain(|(known, _)| known != name);
            if !value.is_empty() {
                self.cookies.push((name.to_owned(), value.to_owned()));
            }
        }
        let text = reply.text();
        let token = between(&text, "name=\"token\" value=\"", "\"");
        self.token = token.map_or_else(|| self.token.clone(), str::to_owned);
    }
}

/// What stands between two texts, the first time.
fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(before)?;
    Some(rest.split_once(after)?.0)
}

/// A value as it stands in a form that is sent.
fn coded(value: &str) -> String {
    common::url_path(Path::new(value)).replace('/', "%2F")
}

/// The texts of the entries on a page.
fn texts(reply: &Reply) -> Vec<String> {
    let page = reply.text();
    let parts = page
        .split("<p class=\"text\" lang=\"\" dir=\"auto\">")
        .skip(1);
    parts
        .map(|part| part.split_once("</p>").unwrap().0.to_owned())
        .collect()
}
