//! Writing over HTTP, seen from outside: who may do what, with real curl and
//! with raw requests.

#[path = "../common/mod.rs"]
mod common;

mod bodies;
mod forms;
mod methods;
mod roles;
mod sites;
mod traps;

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use common::http::{Client, Reply};
use common::{Served, tool};
use tempfile::TempDir;

/// A folder with these files, served over HTTP.
fn serve(files: &[(&str, &[u8])], arguments: &[&str]) -> (TempDir, Served) {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    let served = Served::http(folder.path(), arguments);
    (folder, served)
}

/// One request with a body of known length.
fn ask(served: &Served, method: &str, target: &str, fields: &[&str], body: &[u8]) -> Reply {
    let mut client = Client::new(served.address("http"));
    exchange(&mut client, method, target, fields, body)
}

fn exchange(
    client: &mut Client,
    method: &str,
    target: &str,
    fields: &[&str],
    body: &[u8],
) -> Reply {
    client.send(&with_body(method, target, fields, body));
    client.reply(method)
}

fn with_body(method: &str, target: &str, fields: &[&str], body: &[u8]) -> Vec<u8> {
    let length = format!("Content-Length: {}", body.len());
    let fields = [fields, &[&length]].concat();
    [
        common::http::request(method, target, &fields),
        body.to_vec(),
    ]
    .concat()
}

/// What curl makes of it: the status, and the body.
fn curl(arguments: &[&str]) -> (u16, String) {
    curl_fed(arguments, b"")
}

/// As [`curl`], with this on its standard input.
fn curl_fed(arguments: &[&str], input: &[u8]) -> (u16, String) {
    let mut command: Command = tool("curl");
    command.args(["-sS", "--max-time", "60", "-w", "\n%{http_code}"]);
    let mut child = command
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input).ok();
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let (body, status) = text
        .rsplit_once('\n')
        .unwrap_or_else(|| panic!("{arguments:?}: {}", common::shown(&output)));
    (status.parse().unwrap(), body.to_owned())
}

/// The files and folders below `folder` but those of the server's own, in
/// order, each folder with a slash.
fn tree(folder: &Path) -> Vec<String> {
    let mut names = Vec::new();
    walk(folder, "", &mut names);
    names.sort();
    names
}

fn walk(folder: &Path, before: &str, names: &mut Vec<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let name = format!("{before}{}", entry.file_name().to_string_lossy());
        if name == ".hythe" {
            continue;
        }
        if entry.file_type().unwrap().is_dir() {
            let name = name + "/";
            walk(&entry.path(), &name, names);
            names.push(name);
        } else {
            names.push(name);
        }
    }
}

/// How many uploads are under way or were left behind.
fn parts(folder: &Path) -> usize {
    fs::read_dir(folder.join(".hythe/uploads")).map_or(0, Iterator::count)
}
