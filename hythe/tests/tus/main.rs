//! Resumable uploads (tus 1.0.0), seen from outside: raw requests against the
//! program, crashes included; and the store as a library, where accounts and
//! time matter.

#[path = "../common/mod.rs"]
mod common;

mod checksums;
mod crashes;
mod joining;
mod many;
mod names;
mod owners;
mod protocol;
mod store;
mod writers;

use std::fs;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use base64ct::{Base64, Encoding as _};
use common::Served;
use common::http::{Client, Reply};
use tempfile::TempDir;

const BYTES: &str = "Content-Type: application/offset+octet-stream";

/// A folder that everybody may write to, served over HTTP.
struct Quay {
    served: Served,
    folder: TempDir,
    arguments: Vec<String>,
}

impl Quay {
    fn new(arguments: &[&str]) -> Self {
        Self::allowing("write", arguments)
    }

    /// For visitors who may do this.
    fn allowing(access: &str, arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let arguments = [&["--allow", access, "--log", "off"], arguments].concat();
        let served = Served::http(folder.path(), &arguments);
        let arguments = arguments.iter().map(|&text| text.to_owned()).collect();
        Self {
            served,
            folder,
            arguments,
        }
    }

    fn address(&self) -> SocketAddr {
        self.served.address("http")
    }

    /// Ends the server without a warning and starts another.
    fn crash(&mut self) {
        self.served.child.kill().unwrap();
        self.served.child.wait().unwrap();
        let arguments: Vec<_> = self.arguments.iter().map(String::as_str).collect();
        self.served = Served::http(self.folder.path(), &arguments);
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// What visitors see of the folder, with all below.
    fn names(&self) -> Vec<String> {
        let mut names = Vec::new();
        gather(self.folder.path(), self.folder.path(), &mut names);
        names.retain(|name| !name.starts_with(".hythe"));
        names.sort();
        names
    }

    /// What is in the store of uploads, finished ones left out.
    fn kept(&self) -> Vec<String> {
        let store = self.path(".hythe/uploads");
        let mut names = Vec::new();
        if store.is_dir() {
            gather(&store, &store, &mut names);
        }
        names.retain(|name| !name.starts_with("finished"));
        names.sort();
        names
    }

    /// One request of the protocol on a connection of its own.
    fn ask(&self, method: &str, target: &str, fields: &[&str], body: &[u8]) -> Reply {
        ask(self.address(), method, target, fields, body)
    }

    /// Begins an upload: its address.
    fn create(&self, fields: &[&str]) -> String {
        location(&self.ask("POST", "/", fields, b""))
    }

    /// Begins an upload of this name and length: its address.
    fn begin(&self, name: &str, length: usize) -> String {
        let length = format!("Upload-Length: {length}");
        self.create(&[&length, &filename(name)])
    }

    fn patch(&self, target: &str, offset: usize, body: &[u8]) -> Reply {
        self.patch_with(target, offset, &[], body)
    }

    fn patch_with(&self, target: &str, offset: usize, fields: &[&str], body: &[u8]) -> Reply {
        let offset = format!("Upload-Offset: {offset}");
        self.ask("PATCH", target, &[&[BYTES, &offset], fields].concat(), body)
    }

    fn head(&self, target: &str) -> Reply {
        self.ask("HEAD", target, &[], b"")
    }

    /// The offset that HEAD tells.
    fn offset(&self, target: &str) -> usize {
        let reply = self.head(target);
        assert_eq!(reply.status, 200, "{reply:?}");
        offset(&reply)
    }
}

fn gather(top: &Path, folder: &Path, names: &mut Vec<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            gather(top, &path, names);
        } else {
            let name = path.strip_prefix(top).unwrap();
            names.push(name.to_string_lossy().into_owned());
        }
    }
}

/// A request of the protocol, with its version and the length of its body.
fn request(method: &str, target: &str, fields: &[&str], body: &[u8]) -> Vec<u8> {
    let length = format!("Content-Length: {}", body.len());
    let mut all = vec!["Tus-Resumable: 1.0.0"];
    if !body.is_empty() {
        all.push(&length);
    }
    all.extend(fields);
    let mut request = common::http::request(method, target, &all);
    request.extend_from_slice(body);
    request
}

fn ask(address: SocketAddr, method: &str, target: &str, fields: &[&str], body: &[u8]) -> Reply {
    let mut client = Client::new(address);
    // A refusal may come, and the connection end, before all is sent.
    let request = request(method, target, fields, body);
    client.stream().write_all(&request).ok();
    let reply = client.reply(method);
    assert_eq!(reply.field("Tus-Resumable"), Some("1.0.0"), "{reply:?}");
    reply
}

fn location(reply: &Reply) -> String {
    assert_eq!(reply.status, 201, "{reply:?}");
    let location = reply.field("Location").unwrap();
    assert!(location.starts_with("/.hythe/uploads/"), "{location}");
    location.to_owned()
}

fn offset(reply: &Reply) -> usize {
    reply.field("Upload-Offset").unwrap().parse().unwrap()
}

fn filename(name: &str) -> String {
    metadata(&[("filename", name.as_bytes())])
}

fn metadata(pairs: &[(&str, &[u8])]) -> String {
    let pairs: Vec<_> = pairs
        .iter()
        .map(|(key, value)| format!("{key} {}", Base64::encode_string(value)))
        .collect();
    format!("Upload-Metadata: {}", pairs.join(","))
}
