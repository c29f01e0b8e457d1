//! A folder served to people with accounts, added as an operator does it.

use std::fs;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use base64ct::{Base64, Encoding as _};
use tempfile::TempDir;

use super::http::{Client, Reply, request};
use super::{Served, hythe, run};

/// A served folder, and the file of accounts.
pub struct People {
    pub served: Served,
    folder: TempDir,
    share: PathBuf,
    database: PathBuf,
    arguments: Vec<String>,
}

/// What a tool sends for `bob`.
pub fn basic(name: &str) -> String {
    let pair = Base64::encode_string(format!("{name}:{name}'s password").as_bytes());
    format!("Authorization: Basic {pair}")
}

impl People {
    /// For bob and ann, who may write, and eve, who may upload; over HTTP.
    pub fn new(arguments: &[&str]) -> Self {
        Self::prepared(arguments, |_| {})
    }

    /// The same, after something was done to the folder that `share` and
    /// `base`, the folder of the database, are in.
    pub fn prepared(arguments: &[&str], prepare: impl FnOnce(&Path)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let share = folder.path().join("share");
        let base = folder.path().join("base");
        fs::create_dir(&share).unwrap();
        fs::create_dir(&base).unwrap();
        prepare(folder.path());
        let database = base.join("accounts.db");
        for (name, role) in [("bob", "write"), ("ann", "write"), ("eve", "upload")] {
            let mut command = user(&database, "add");
            command.args([name, "--role", role]);
            run(command.env("HYTHE_PASSWORD", format!("{name}'s password")));
        }
        let accounts = ["--accounts", database.to_str().unwrap()];
        let arguments = [&accounts[..], arguments].concat();
        let served = Served::http(&share, &arguments);
        Self {
            arguments: arguments.iter().map(|&text| text.to_owned()).collect(),
            served,
            folder,
            share,
            database,
        }
    }

    /// Gives an account a quota.
    pub fn quota(&self, name: &str, quota: &str) {
        run(user(&self.database, "role").args([name, "--quota", quota]));
    }

    /// Another server of the same folder and the same accounts.
    pub fn again(&self) -> Served {
        let arguments: Vec<&str> = self.arguments.iter().map(String::as_str).collect();
        Served::http(&self.share, &arguments)
    }

    /// The folder that the others are in.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn share(&self) -> &Path {
        &self.share
    }

    pub fn database(&self) -> &Path {
        &self.database
    }

    pub fn address(&self) -> SocketAddr {
        self.served.address("http")
    }

    /// Signs in as a browser does: the cookie, as it is to be sent.
    pub fn sign_in(&self, name: &str) -> String {
        let body = format!("name={name}&password={name}%27s+password");
        let fields = [
            "Content-Type: application/x-www-form-urlencoded",
            "Origin: http://quay",
            "Accept: text/html",
        ];
        let reply = self.ask("POST", "/.hythe/sign-in", &fields, body.as_bytes());
        assert_eq!(reply.status, 303, "{}", reply.text());
        let cookie = reply.field("Set-Cookie").expect("a cookie");
        format!("Cookie: {}", cookie.split_once(';').unwrap().0)
    }

    /// One request with a body, on a connection of its own.
    pub fn ask(&self, method: &str, target: &str, fields: &[&str], body: &[u8]) -> Reply {
        let length = format!("Content-Length: {}", body.len());
        let head = request(method, target, &[&[&*length], fields].concat());
        self.raw(method, &[&head, body].concat())
    }

    /// A request as it is, on a connection of its own. A refusal may come, and
    /// the connection end, before all is sent.
    pub fn raw(&self, method: &str, request: &[u8]) -> Reply {
        let mut client = Client::new(self.address());
        client.stream().write_all(request).ok();
        client.reply(method)
    }

    /// What the books say an account has stored.
    pub fn used(&self, name: &str) -> u64 {
        let db = rusqlite::Connection::open(&self.database).unwrap();
        let sql = "SELECT bytes FROM used WHERE account = ?";
        let used = db.query_row(sql, [name], |row| row.get::<_, i64>(0));
        used.map_or(0, i64::unsigned_abs)
    }

    /// What the books say of each file: path, account, length.
    pub fn books(&self) -> Vec<(String, String, u64)> {
        let db = rusqlite::Connection::open(&self.database).unwrap();
        let sql = "SELECT path, account, bytes FROM owned ORDER BY path";
        let mut query = db.prepare(sql).unwrap();
        let rows = query.query_map([], |row| {
            let path: Vec<u8> = row.get(0)?;
            let bytes: i64 = row.get(2)?;
            let path = String::from_utf8_lossy(&path).into_owned();
            Ok((path, row.get(1)?, bytes.unsigned_abs()))
        });
        rows.unwrap().map(Result::unwrap).collect()
    }

    /// The files that visitors see, with their content; folders have a slash.
    pub fn tree(&self) -> Vec<(String, Vec<u8>)> {
        let mut tree = Vec::new();
        gather(&self.share, "", &mut tree);
        tree.retain(|(name, _)| !name.starts_with(".hythe/"));
        tree.sort();
        tree
    }

    /// What is in the store of uploads, notes of finished ones left out.
    pub fn kept(&self) -> Vec<String> {
        let mut kept = Vec::new();
        let store = self.share.join(".hythe/uploads");
        if store.is_dir() {
            gather(&store, "", &mut kept);
        }
        let mut names: Vec<String> = kept.into_iter().map(|(name, _)| name).collect();
        names.retain(|name| !name.starts_with("finished/"));
        names.sort();
        names
    }
}

fn gather(folder: &Path, before: &str, found: &mut Vec<(String, Vec<u8>)>) {
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let name = format!("{before}{}", entry.file_name().to_string_lossy());
        if entry.file_type().unwrap().is_dir() {
            let name = name + "/";
            gather(&entry.path(), &name, found);
            found.push((name, Vec::new()));
        } else {
            found.push((name, fs::read(entry.path()).unwrap_or_default()));
        }
    }
}

fn user(database: &Path, action: &str) -> Command {
    let mut command = hythe();
    command.args(["user", action, "--accounts"]).arg(database);
    command.stdin(Stdio::null());
    command
}
