//! Against our own server.

use std::fs;
use std::os::unix::ffi::OsStrExt as _;

use hythe::client::{Ask, Kind, Login, Proxies, Reason, Remote as _};

use crate::common::{Served, content, difficult_tree, url_path};
use crate::{as_somebody, fetch, path, with, with_options};

#[test]
fn every_name_is_listed_and_fetched() {
    let folder = tempfile::tempdir().unwrap();
    let paths = difficult_tree(folder.path());
    let served = Served::http(folder.path(), &["--log", "off"]);
    with(served.url("http"), async |client| {
        let entries = client.list(&path("/")).await.unwrap();
        let files = entries.iter().filter(|entry| entry.kind == Kind::File);
        assert_eq!(files.count(), paths.len() / 2);
        let folders = entries.iter().filter(|entry| entry.kind == Kind::Folder);
        let mut inner = Vec::new();
        for entry in folders {
            inner.extend(client.list(&entry.path).await.unwrap());
        }
        for entry in entries.iter().chain(&inner) {
            if entry.kind == Kind::Folder {
                continue;
            }
            let (opening, bytes) = fetch(client, entry.path.encoded(), &Ask::default())
                .await
                .unwrap();
            let names = entry.path.names();
            let local = match names {
                Ok(names) => names.join(&b'/'),
                // A line end is part of a name over HTTP alone.
                Err(_) => {
                    let path = entry.path.encoded().trim_start_matches('/');
                    percent_encoding::percent_decode_str(path).collect()
                }
            };
            let local = folder.path().join(std::ffi::OsStr::from_bytes(&local));
            assert!(bytes == fs::read(&local).unwrap(), "{local:?}");
            assert_eq!(entry.size, Some(bytes.len() as u64));
            assert_eq!(opening.version.modified, entry.modified);
            assert!(opening.version.etag.is_some());
        }
        assert_eq!(inner.len(), paths.len() / 2 + 1);
    });
}

#[test]
fn parts_and_changed_files() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = content(5_000_000);
    fs::write(folder.path().join("a.bin"), &bytes).unwrap();
    let served = Served::http(folder.path(), &["--log", "off"]);
    with(served.url("http"), async |client| {
        let (whole, came) = fetch(client, "/a.bin", &Ask::default()).await.unwrap();
        assert!(came == bytes);
        let mut ask = Ask {
            from: 1_234_567,
            version: Some(whole.version.clone()),
            ..Ask::default()
        };
        let (part, came) = fetch(client, "/a.bin", &ask).await.unwrap();
        assert!(came == bytes[1_234_567..]);
        assert_eq!((part.offset, part.total), (1_234_567, Some(5_000_000)));
        ask.to = Some(1_234_570);
        let (part, came) = fetch(client, "/a.bin", &ask).await.unwrap();
        assert!(came == bytes[1_234_567..1_234_570]);
        assert_eq!(part.length, Some(3));
        ask.to = None;
        ask.from = 5_000_000;
        let (part, came) = fetch(client, "/a.bin", &ask).await.unwrap();
        assert_eq!(
            (part.offset, part.length, came.len()),
            (5_000_000, Some(0), 0)
        );
        fs::write(folder.path().join("a.bin"), b"other").unwrap();
        ask.from = 3;
        let (anew, came) = fetch(client, "/a.bin", &ask).await.unwrap();
        assert!(anew.changed);
        assert_eq!((anew.offset, came.as_slice()), (0, &b"other"[..]));
    });
}

#[test]
fn files_and_folders_are_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("sub")).unwrap();
    fs::write(folder.path().join("a"), "river").unwrap();
    let served = Served::http(folder.path(), &["--log", "off"]);
    with(served.url("http"), async |client| {
        let entry = client.stat(&path("/a")).await.unwrap();
        assert_eq!((entry.kind, entry.size), (Kind::File, Some(5)));
        assert!(entry.modified.is_some());
        for at in ["/sub", "/sub/", "/"] {
            let entry = client.stat(&path(at)).await.unwrap();
            assert_eq!((entry.kind, entry.size), (Kind::Folder, None), "{at}");
        }
        for at in ["/b", "/sub/b/"] {
            let error = client.stat(&path(at)).await.unwrap_err();
            assert_eq!(error.reason, Reason::NotFound, "{at}");
        }
        let error = client.list(&path("/a")).await.unwrap_err();
        assert_eq!(error.reason, Reason::NotFound, "{error}");
        assert_eq!(client.list(&path("/sub")).await.unwrap(), []);
    });
}

#[test]
fn folders_are_made_renamed_and_removed() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a"), "river").unwrap();
    let served = Served::http(folder.path(), &["--allow", "write", "--log", "off"]);
    with(served.url("http"), async |client| {
        client.make_folder(&path("/x y")).await.unwrap();
        assert!(folder.path().join("x y").is_dir());
        let error = client.make_folder(&path("/x y/")).await.unwrap_err();
        assert_eq!(error.reason, Reason::Exists, "{error}");
        let error = client.make_folder(&path("/no/such")).await.unwrap_err();
        assert_eq!(error.reason, Reason::NotFound, "{error}");
        client.rename(&path("/a"), &path("/x y/b#")).await.unwrap();
        assert_eq!(fs::read(folder.path().join("x y/b#")).unwrap(), b"river");
        fs::write(folder.path().join("a"), "other").unwrap();
        let error = client
            .rename(&path("/a"), &path("/x y/b#"))
            .await
            .unwrap_err();
        assert_eq!(error.reason, Reason::Exists, "{error}");
        let error = client.rename(&path("/c"), &path("/d")).await.unwrap_err();
        assert_eq!(error.reason, Reason::NotFound, "{error}");
        client.rename(&path("/x y/"), &path("/z")).await.unwrap();
        client.remove(&path("/a"), Kind::File).await.unwrap();
        client.remove(&path("/z"), Kind::Folder).await.unwrap();
        let error = client.remove(&path("/z"), Kind::Folder).await.unwrap_err();
        assert_eq!(error.reason, Reason::NotFound, "{error}");
    });
    let left = fs::read_dir(folder.path()).unwrap();
    let left = left.map(|entry| entry.unwrap().file_name());
    assert_eq!(left.filter(|name| name != ".hythe").count(), 0);
}

#[test]
fn a_server_to_read_from_takes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a"), "river").unwrap();
    let served = Served::http(folder.path(), &["--log", "off"]);
    with(served.url("http"), async |client| {
        for error in [
            client.remove(&path("/a"), Kind::File).await.unwrap_err(),
            client.make_folder(&path("/b")).await.unwrap_err(),
            client.rename(&path("/a"), &path("/b")).await.unwrap_err(),
        ] {
            assert_eq!(error.reason, Reason::Unsupported, "{error}");
        }
        let error = client.register("zoe", b"zoe's password").await.unwrap_err();
        assert_eq!(error.reason, Reason::Unsupported, "{error}");
    });
}

#[test]
fn accounts_are_made_and_used() {
    let folder = tempfile::tempdir().unwrap();
    let share = folder.path().join("share");
    fs::create_dir(&share).unwrap();
    fs::write(share.join("a"), "river").unwrap();
    let accounts = folder.path().join("accounts.db");
    let served = Served::http(
        &share,
        &[
            "--accounts",
            accounts.to_str().unwrap(),
            "--register",
            "read",
            "--allow",
            "none",
            "--log",
            "off",
        ],
    );
    let url = served.url("http");
    with(url, async |client| {
        let error = fetch(client, "/a", &Ask::default()).await.unwrap_err();
        assert_eq!(error.reason, Reason::NotAllowed, "{error}");
        let password = "zoe & co's pässword+%";
        client.register("zoe", password.as_bytes()).await.unwrap();
        let error = client
            .register("zoe", b"another password")
            .await
            .unwrap_err();
        assert_eq!(error.reason, Reason::Exists, "{error}");
        let error = client.register("x", b"").await.unwrap_err();
        assert_eq!(error.reason, Reason::NotAllowed, "{error}");
        let login = |password: &str| Login {
            name: "zoe".into(),
            password: Some(password.into()),
        };
        let error = client.log_in(login("wrong")).await.unwrap_err();
        assert_eq!(error.reason, Reason::NotAllowed, "{error}");
        client.log_in(login(password)).await.unwrap();
        assert_eq!(
            fetch(client, "/a", &Ask::default()).await.unwrap().1,
            b"river"
        );
    });
    let options = as_somebody("zoe", "zoe & co's pässword+%");
    with_options(url, options, Proxies::none(), async |client| {
        assert_eq!(
            fetch(client, "/a", &Ask::default()).await.unwrap().1,
            b"river"
        );
    });
}

#[test]
fn a_path_as_it_stands_in_a_url_is_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let paths = difficult_tree(folder.path());
    let served = Served::http(folder.path(), &["--log", "off"]);
    with(served.url("http"), async |client| {
        for local in paths {
            let at = format!("/{}", url_path(&local));
            let (_, bytes) = fetch(client, &at, &Ask::default()).await.unwrap();
            assert!(
                bytes == fs::read(folder.path().join(&local)).unwrap(),
                "{at}"
            );
        }
    });
}
