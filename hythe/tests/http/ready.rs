//! Answers that are kept ready: never to be told from those made anew, and an
//! edit is seen within a second.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::time::{Duration, Instant};

use super::common::http::{Client, Reply, get};
use super::common::{Served, content, eventually, hythe, tool};
use super::connection::{WAYS, each_way};
use super::{date, serve, write};

/// An answer is believed for a second; this allows for a machine that is busy
/// with all the other tests.
const SOON: Duration = Duration::from_secs(10);

/// Asks on one connection, hence of one thread's answers, until the reply is
/// as it should be.
#[track_caller]
fn soon(client: &mut Client, target: &str, fields: &[&str], wanted: impl Fn(&Reply) -> bool) {
    let begin = Instant::now();
    let shown = format!("{target} {fields:?}");
    eventually(&shown, || wanted(&client.ask("GET", target, fields)));
    assert!(
        begin.elapsed() < SOON,
        "{shown}: after {:?}",
        begin.elapsed()
    );
}

/// Asks often enough that the answer is a kept one.
fn warm(client: &mut Client, target: &str, fields: &[&str], body: &[u8]) {
    for _ in 0..3 {
        let reply = client.ask("GET", target, fields);
        assert_eq!(reply.status, 200, "{target} {fields:?}");
        assert!(reply.body == body, "{target} {fields:?}");
    }
}

#[test]
fn every_change_to_a_file_is_seen_soon() {
    each_way(|way| {
        let names = [
            "edited",
            "same-size",
            "replaced",
            "deleted",
            "swapped",
            "emptied",
            "moved",
            "folder",
        ];
        let (folder, served) = serve(&[], way);
        let at = |name: &str| folder.path().join(name);
        let mut client = Client::new(served.address("http"));
        for name in names {
            write(&at(name), b"old");
        }
        write(&at("old-target"), b"old");
        write(&at("new-target"), b"new!");
        fs::remove_file(at("swapped")).unwrap();
        symlink("old-target", at("swapped")).unwrap();
        write(&at("inner/a.txt"), b"old");
        write(&at("other/a.txt"), b"new!");
        symlink("inner", at("linked")).unwrap();
        for name in names.iter().copied().chain(["linked/a.txt"]) {
            warm(&mut client, &format!("/{name}"), &[], b"old");
        }

        write(&at("edited"), b"new!");
        write(&at("same-size"), b"new");
        write(&at("replacement"), b"new!");
        fs::rename(at("replacement"), at("replaced")).unwrap();
        fs::remove_file(at("deleted")).unwrap();
        symlink("new-target", at("link")).unwrap();
        fs::rename(at("link"), at("swapped")).unwrap();
        File::create(at("emptied")).unwrap();
        fs::rename(at("moved"), at("moved-away")).unwrap();
        fs::remove_file(at("folder")).unwrap();
        fs::create_dir(at("folder")).unwrap();
        symlink("other", at("link")).unwrap();
        fs::rename(at("link"), at("linked")).unwrap();

        for name in ["edited", "replaced", "swapped", "linked/a.txt"] {
            soon(&mut client, &format!("/{name}"), &[], |reply| {
                reply.body == b"new!"
            });
        }
        soon(&mut client, "/same-size", &[], |reply| reply.body == b"new");
        soon(&mut client, "/emptied", &[], |reply| {
            reply.status == 200 && reply.body.is_empty()
        });
        soon(&mut client, "/deleted", &[], |reply| reply.status == 404);
        soon(&mut client, "/moved", &[], |reply| reply.status == 404);
        soon(&mut client, "/folder", &[], |reply| reply.status == 308);
        soon(&mut client, "/moved-away", &[], |reply| {
            reply.body == b"old"
        });
        // And what comes back is found again.
        write(&at("deleted"), b"back");
        soon(&mut client, "/deleted", &[], |reply| reply.body == b"back");
    });
}

#[test]
fn a_link_that_comes_to_lead_out_of_the_share_is_dropped() {
    let outer = tempfile::tempdir().unwrap();
    let root = outer.path().join("share");
    write(&outer.path().join("canary"), b"canary");
    write(&root.join("inside"), b"old");
    symlink("inside", root.join("link")).unwrap();
    let served = Served::http(&root, &["--model", "events"]);
    let mut client = Client::new(served.address("http"));
    warm(&mut client, "/link", &[], b"old");
    symlink("../canary", root.join("new")).unwrap();
    fs::rename(root.join("new"), root.join("link")).unwrap();
    soon(&mut client, "/link", &[], |reply| {
        assert_ne!(reply.body, b"canary");
        reply.status == 404
    });
}

#[test]
fn a_permission_taken_away_is_seen_soon() {
    let (folder, served) = unprivileged(&[("a.txt", b"old")]);
    let mut client = Client::new(served.address("http"));
    warm(&mut client, "/a.txt", &[], b"old");
    let path = folder.path().join("a.txt");
    fs::set_permissions(&path, PermissionsExt::from_mode(0o000)).unwrap();
    soon(&mut client, "/a.txt", &[], |reply| reply.status == 403);
    fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
    soon(&mut client, "/a.txt", &[], |reply| reply.body == b"old");
}

/// A server that permissions apply to, though root may have started it.
fn unprivileged(files: &[(&str, &[u8])]) -> (tempfile::TempDir, Served) {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        write(&folder.path().join(name), bytes);
    }
    let plain = hythe();
    let mut command = tool("setpriv");
    command.args(["--bounding-set=-all", "--inh-caps=-all"]);
    command
        .arg(plain.get_program())
        .arg("serve")
        .arg(folder.path());
    command.args([
        "--http", "0", "--ftp", "off", "--gopher", "off", "--model", "events",
    ]);
    (folder, Served::spawn(command))
}

#[test]
fn a_neighbour_that_appears_changes_or_goes_is_seen_soon() {
    let text = "text ".repeat(100);
    let (folder, served) = serve(&[("a.txt", text.as_bytes())], &["--model", "events"]);
    let path = folder.path().join("a.txt");
    let neighbour = folder.path().join("a.txt.gz");
    date(&path, 1_000_000_000);
    let accept: &[&str] = &["Accept-Encoding: gzip"];
    let mut client = Client::new(served.address("http"));
    for _ in 0..3 {
        let reply = client.ask("GET", "/a.txt", accept);
        assert_eq!(reply.field("Content-Encoding"), Some("gzip"));
    }
    warm(&mut client, "/a.txt", &[], text.as_bytes());

    write(&neighbour, b"\x1f\x8bneighbour");
    soon(&mut client, "/a.txt", accept, |reply| {
        reply.body == b"\x1f\x8bneighbour"
    });
    warm(&mut client, "/a.txt", accept, b"\x1f\x8bneighbour");
    write(&neighbour, b"\x1f\x8bchanged");
    soon(&mut client, "/a.txt", accept, |reply| {
        reply.body == b"\x1f\x8bchanged"
    });
    // Too old to be true.
    date(&neighbour, 999_999_999);
    soon(&mut client, "/a.txt", accept, |reply| {
        reply.body != b"\x1f\x8bchanged" && reply.field("Content-Encoding") == Some("gzip")
    });
    date(&neighbour, 1_000_000_001);
    soon(&mut client, "/a.txt", accept, |reply| {
        reply.body == b"\x1f\x8bchanged"
    });
    fs::remove_file(&neighbour).unwrap();
    soon(&mut client, "/a.txt", accept, |reply| {
        reply.body != b"\x1f\x8bchanged"
    });
    // Nobody else was told otherwise meanwhile.
    warm(&mut client, "/a.txt", &[], text.as_bytes());
}

#[test]
fn an_index_page_that_comes_and_goes_is_seen_soon() {
    let (folder, served) = serve(&[("a.txt", b"a")], &["--model", "events", "--index"]);
    let index = folder.path().join("index.html");
    let mut client = Client::new(served.address("http"));
    assert!(client.ask("GET", "/", &[]).text().contains("a.txt"));
    write(&index, b"<p>index");
    soon(&mut client, "/", &[], |reply| reply.body == b"<p>index");
    warm(&mut client, "/", &[], b"<p>index");
    fs::remove_file(&index).unwrap();
    soon(&mut client, "/", &[], |reply| {
        reply.text().contains("a.txt")
    });
}

#[test]
fn the_date_goes_on_and_nothing_else() {
    each_way(|way| {
        let (_folder, served) = serve(&[("a.txt", b"a")], way);
        let mut client = Client::new(served.address("http"));
        let first = client.ask("GET", "/a.txt", &[]);
        let mut last = first.clone();
        let seconds =
            |reply: &Reply| httpdate::parse_http_date(reply.field("Date").unwrap()).unwrap();
        eventually("three seconds", || {
            let reply = client.ask("GET", "/a.txt", &[]);
            assert!(seconds(&reply) >= seconds(&last), "{way:?}");
            assert_eq!(reply.lasting_fields(), first.lasting_fields(), "{way:?}");
            assert_eq!(reply.body, first.body, "{way:?}");
            last = reply;
            seconds(&last) >= seconds(&first) + Duration::from_secs(3)
        });
        let off = last
            .field("Date")
            .map(|_| seconds(&last).elapsed().unwrap_or_default());
        assert!(off < Some(SOON), "{way:?}: the date is {off:?} off");
    });
}

#[test]
fn answers_are_kept_apart_by_what_they_depend_on() {
    let text = "text ".repeat(100);
    let (_folder, served) = serve(
        &[
            ("a.txt", text.as_bytes()),
            ("a.txt.br", b"brotli"),
            ("b.txt", b"b"),
        ],
        &["--model", "events"],
    );
    let mut client = Client::new(served.address("http"));
    for _ in 0..3 {
        for (target, fields, status, coding) in [
            ("/a.txt", &[][..], 200, None),
            ("/a.txt", &["Accept-Encoding: gzip"], 200, Some("gzip")),
            ("/a.txt", &["Accept-Encoding: br"], 200, Some("br")),
            ("/a.txt", &["Accept-Encoding: gzip, br"], 200, Some("br")),
            ("/a.txt", &["Range: bytes=0-1"], 206, None),
            ("/a.txt", &["If-None-Match: *"], 304, None),
            ("/a.txt", &["If-Match: \"other\""], 412, None),
            (
                "/a.txt",
                &["If-Modified-Since: Fri, 01 Jan 2100 00:00:00 GMT"],
                304,
                None,
            ),
            (
                "/a.txt",
                &["If-Unmodified-Since: Sat, 01 Jan 2000 00:00:00 GMT"],
                412,
                None,
            ),
            ("/a.txt", &["If-Range: \"other\""], 200, None),
        ] {
            let reply = client.ask("GET", target, fields);
            assert_eq!(reply.status, status, "{fields:?}");
            assert_eq!(reply.field("Content-Encoding"), coding, "{fields:?}");
        }
        assert_eq!(client.ask("GET", "/b.txt", &[]).body, b"b");
        assert_eq!(client.ask("GET", "/./b.txt", &[]).body, b"b");
        assert_eq!(client.ask("HEAD", "/b.txt", &[]).body, b"");
        let download = client.ask("GET", "/b.txt?download", &[]);
        assert!(download.field("Content-Disposition").is_some());
        let plain = client.ask("GET", "/b.txt", &[]);
        assert_eq!(plain.field("Content-Disposition"), None);
    }
}

/// More than the kept generations hold, large and small.
#[test]
fn many_files_stay_right_beyond_what_is_kept() {
    const FILES: usize = 500;
    let size = |number: usize| {
        if number.is_multiple_of(2) {
            60_000 + number
        } else {
            number
        }
    };
    for way in [WAYS[0], WAYS[1]] {
        let (folder, served) = serve(&[], way);
        for number in 0..FILES {
            write(
                &folder.path().join(format!("{number}")),
                &content(size(number)),
            );
        }
        let mut client = Client::new(served.address("http"));
        for round in 0..3 {
            for number in 0..FILES {
                // Some more often than others.
                for number in [number, number % 7] {
                    let reply = client.ask("GET", &format!("/{number}"), &[]);
                    assert!(
                        reply.body == content(size(number)),
                        "{way:?} {round} {number}"
                    );
                }
            }
        }
        assert!(
            served.private_memory() < 64 * 1024,
            "{} KiB",
            served.private_memory()
        );
        for number in 0..FILES {
            write(&folder.path().join(format!("{number}")), b"changed");
        }
        for number in 0..FILES {
            soon(&mut client, &format!("/{number}"), &[], |reply| {
                reply.body == b"changed"
            });
        }
    }
}

#[test]
fn sizes_around_what_is_kept_are_all_sent_whole() {
    let kept = 64 * 1024;
    each_way(|way| {
        let (folder, served) = serve(&[], way);
        let sizes = [
            0,
            1,
            4095,
            4096,
            4097,
            kept - 1,
            kept,
            kept + 1,
            2 * kept,
            1024 * 1024 + 1,
        ];
        let mut client = Client::new(served.address("http"));
        for size in sizes {
            write(&folder.path().join(format!("{size}.bin")), &content(size));
            warm(&mut client, &format!("/{size}.bin"), &[], &content(size));
        }
    });
}

/// The length is promised already: all that is left is to end the connection
/// short, which no client takes for the end of the file.
#[test]
fn a_file_that_shrinks_while_it_is_sent_ends_the_connection_early() {
    const SIZE: u64 = 256 * 1024 * 1024;
    each_way(|way| {
        let (folder, served) = serve(&[("a.txt", b"a")], way);
        let path = folder.path().join("big.bin");
        File::create(&path).unwrap().set_len(SIZE).unwrap();
        let mut client = Client::new(served.address("http"));
        client.send(&super::common::http::request("GET", "/big.bin", &[]));
        let head = client.head();
        assert_eq!(
            head.field("Content-Length"),
            Some(SIZE.to_string().as_str())
        );
        // What the sockets hold by now is far less.
        File::options()
            .write(true)
            .open(&path)
            .unwrap()
            .set_len(1024 * 1024)
            .unwrap();
        let mut received = Vec::new();
        let mut rest = client.stream();
        rest.read_to_end(&mut received).ok();
        assert!((received.len() as u64) < SIZE, "{way:?}");
        drop(client);
        assert_eq!(
            get(served.address("http"), "/a.txt", &[]).body,
            b"a",
            "{way:?}"
        );
        let whole = get(served.address("http"), "/big.bin", &[]);
        assert_eq!(whole.body.len(), 1024 * 1024, "{way:?}");
    });
}

#[test]
fn a_file_that_grows_while_it_is_sent_ends_where_it_was_to_end() {
    const SIZE: u64 = 64 * 1024 * 1024;
    let (folder, served) = serve(&[], &[]);
    let path: &Path = &folder.path().join("big.bin");
    File::create(path).unwrap().set_len(SIZE).unwrap();
    let mut client = Client::new(served.address("http"));
    client.send(&super::common::http::request("GET", "/big.bin", &[]));
    let head = client.head();
    File::options()
        .write(true)
        .open(path)
        .unwrap()
        .set_len(2 * SIZE)
        .unwrap();
    assert_eq!(client.body("GET", &head).unwrap().len() as u64, SIZE);
    let head = client.ask("HEAD", "/big.bin", &[]);
    assert_eq!(
        head.field("Content-Length"),
        Some((2 * SIZE).to_string().as_str())
    );
}
