//! Against a server that is not ours, and lists folders for people only.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::process::{Child, Stdio};

use hythe::client::{Ask, Kind, Reason, Remote as _};

use crate::common::{DIFFICULT_NAMES, difficult_tree, tool};
use crate::{fetch, path, with};

struct Python {
    child: Child,
    url: String,
}

impl Python {
    fn new(folder: &Path) -> Self {
        let mut child = tool("python3")
            .args(["-u", "-m", "http.server", "--bind", "127.0.0.1", "0"])
            .current_dir(folder)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // Serving HTTP on 127.0.0.1 port 40001 (http://127.0.0.1:40001/) ...
        let mut line = String::new();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        stdout.read_line(&mut line).unwrap();
        let (_, rest) = line.split_once('(').unwrap();
        let url = rest.split_once(')').unwrap().0.to_owned();
        Self { child, url }
    }
}

impl Drop for Python {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

#[test]
fn its_pages_are_read_and_its_files_fetched() {
    let folder = tempfile::tempdir().unwrap();
    difficult_tree(folder.path());
    let python = Python::new(folder.path());
    with(&python.url, async |client| {
        let entries = client.list(&path("/")).await.unwrap();
        assert_eq!(entries.len(), DIFFICULT_NAMES.len() + 1);
        for entry in entries {
            let local = folder.path().join(std::ffi::OsStr::from_bytes(&entry.name));
            if !local.exists() {
                // What is no text it writes in a way of its own.
                assert!(entry.name.starts_with(b"not-utf-8-"), "{local:?}");
                continue;
            }
            assert_eq!(entry.kind == Kind::Folder, local.is_dir(), "{local:?}");
            if entry.kind == Kind::File {
                let at = entry.path.encoded();
                let (opening, bytes) = fetch(client, at, &Ask::default()).await.unwrap();
                assert!(bytes == fs::read(&local).unwrap(), "{local:?}");
                // It knows no ranges, and says so by sending all of it.
                let ask = Ask {
                    from: 1,
                    version: Some(opening.version),
                    ..Ask::default()
                };
                let (again, all) = fetch(client, at, &ask).await.unwrap();
                assert!(again.offset == 0 && !again.changed && all == bytes);
            } else {
                let entry = client.stat(&entry.path.as_file()).await.unwrap();
                assert_eq!(entry.kind, Kind::Folder);
                let inner = client.list(&entry.path).await.unwrap();
                assert_eq!(inner.len(), DIFFICULT_NAMES.len() + 1);
            }
        }
        let at = path("/a");
        let begun = client
            .begin_upload(&at, &Default::default(), None)
            .await
            .unwrap();
        let empty = hythe::client::Content::Pipe(Box::new(std::io::empty()));
        let error = client
            .send(&at, &begun, empty, &Default::default())
            .await
            .unwrap_err();
        assert_eq!(error.reason, Reason::Unsupported, "{error}");
    });
}
