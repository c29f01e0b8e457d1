//! Disks that are full or can't be written to: each is mounted by the test that
//! needs it, in a mount namespace of its own.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::common::content;
use super::common::mounts::{mount, with_mounts};
use super::*;

fn small(at: &Path, options: &str) {
    mount(&["-t", "tmpfs", "-o", options, "small"], at);
}

#[test]
fn a_full_disk_leaves_the_tree_as_it_was() {
    with_mounts("disk::mounted::full");
}

#[test]
fn an_upload_that_filled_the_disk_goes_on_when_there_is_space() {
    with_mounts("disk::mounted::resumed");
}

#[test]
fn a_disk_without_room_for_names_says_so() {
    with_mounts("disk::mounted::names");
}

#[test]
fn accounts_on_a_full_disk_are_told_of_and_back_by_themselves() {
    with_mounts("disk::mounted::accounts_full");
}

#[test]
fn accounts_that_can_only_be_read_are_told_of_and_back_by_themselves() {
    with_mounts("disk::mounted::accounts_read_only");
}

#[test]
fn what_could_not_be_replaced_is_still_its_owners() {
    with_mounts("disk::mounted::not_replaced");
}

/// Run by [`with_mounts`] only.
mod mounted {
    use super::*;

    /// Fills a disk up to this many bytes, from outside.
    fn ballast(folder: &Path, bytes: usize) -> std::path::PathBuf {
        let file = folder.join("ballast");
        fs::write(&file, vec![0; bytes]).unwrap();
        file
    }

    /// Fills a disk to the last byte.
    fn fill(folder: &Path) -> std::path::PathBuf {
        let file = folder.join("ballast");
        let mut bytes = fs::File::create(&file).unwrap();
        for step in [64 * KIB, 4 * KIB, 1] {
            while std::io::Write::write_all(&mut bytes, &vec![0; step]).is_ok() {}
        }
        file
    }

    fn on_small_disk(options: &str) -> People {
        People::prepared(&["--allow", "read", "--log", "off"], |folder| {
            small(&folder.join("share"), options);
        })
    }

    #[test]
    #[ignore = "run by the test that gives it mounts of its own"]
    fn full() {
        let people = on_small_disk("size=8m");
        let bob = basic("bob");
        let put = people.ask("PUT", "/there", &[&bob], b"it was there");
        assert_eq!(put.status, 201, "{}", put.text());
        let much = content(8 * MIB + 100 * KIB);
        // Known to be too much.
        let length = format!("Content-Length: {}", much.len());
        for target in ["/new", "/there"] {
            leaves_all_as_it_was(&people, target, || {
                expecting(&people, "PUT", target, &[&bob, &length])
            });
        }
        let length = format!("Upload-Length: {}", much.len());
        leaves_all_as_it_was(&people, "tus", || {
            people.ask("POST", "/", &[TUS, &bob, &length], b"")
        });
        // Found to be too much; others read meanwhile.
        for target in ["/new", "/there"] {
            leaves_all_as_it_was(&people, target, || {
                let mut client = Client::new(people.address());
                let bytes = chunked("PUT", target, &[&bob], &much);
                let (most, rest) = bytes.split_at(7 * MIB);
                client.send(most);
                let there = common::http::get(people.address(), "/there", &[]);
                assert_eq!((there.status, there.text().as_str()), (200, "it was there"));
                std::io::Write::write_all(&mut client.stream(), rest).ok();
                client.reply("PUT")
            });
            let (kind, body) = form(&target[1..], &much);
            leaves_all_as_it_was(&people, "form", || {
                people.ask("POST", "/", &[&bob, kind], &body)
            });
        }
        // Full by somebody else's doing, to the last byte.
        let ballast = fill(people.share());
        for (method, fields, body) in [
            ("PUT", vec![&*bob], content(10)),
            ("PUT", vec![&*bob], content(MIB)),
        ] {
            let reply = people.ask(method, "/new", &fields, &body);
            assert_eq!(reply.status, 507, "{method}: {}", reply.text());
            let there = common::http::get(people.address(), "/there", &[]);
            assert_eq!((there.status, there.text().as_str()), (200, "it was there"));
            assert_eq!(common::http::get(people.address(), "/", &[]).status, 200);
        }
        fs::remove_file(ballast).unwrap();
        for number in 0..3 {
            let put = people.ask("PUT", &format!("/{number}"), &[&bob], &content(2 * MIB));
            assert_eq!(put.status, 201, "{}", put.text());
        }
        assert_eq!(people.kept(), [""; 0]);
    }

    #[test]
    #[ignore = "run by the test that gives it mounts of its own"]
    fn resumed() {
        let people = on_small_disk("size=8m");
        let bob = basic("bob");
        let whole = content(6 * MIB);
        let length = format!("Upload-Length: {}", whole.len());
        let begun = people.ask("POST", "/", &[TUS, &bob, &length], b"");
        assert_eq!(begun.status, 201, "{}", begun.text());
        let at = begun.field("Location").unwrap();
        let patch = |from: usize, to: usize| {
            let offset = format!("Upload-Offset: {from}");
            people.ask("PATCH", at, &[TUS, BYTES, &bob, &offset], &whole[from..to])
        };
        let offset = || {
            let reply = people.ask("HEAD", at, &[TUS, &bob], b"");
            assert_eq!(reply.status, 200);
            reply
                .field("Upload-Offset")
                .unwrap()
                .parse::<usize>()
                .unwrap()
        };
        assert_eq!(patch(0, MIB).status, 204);
        let ballast = ballast(people.share(), 4 * MIB);
        let refused = patch(MIB, 6 * MIB);
        assert_eq!(refused.status, 507, "{}", refused.text());
        let came = offset();
        assert!((MIB..6 * MIB).contains(&came), "{came}");
        // It is in nobody's way, and in nobody's sight.
        assert_eq!(common::http::get(people.address(), "/", &[]).status, 200);
        assert_eq!(people.tree().len(), 1, "the ballast");
        assert_eq!(patch(came, 6 * MIB).status, 507);
        fs::remove_file(ballast).unwrap();
        let came = offset();
        assert!(came >= MIB);
        let done = patch(came, 6 * MIB);
        assert_eq!(done.status, 204, "{}", done.text());
        let name = at.rsplit('/').next().unwrap();
        assert!(people.tree() == [(name.to_owned(), whole.clone())]);
        assert_eq!(people.used("bob"), whole.len() as u64);
        assert_eq!(people.kept(), [""; 0]);
    }

    #[test]
    #[ignore = "run by the test that gives it mounts of its own"]
    fn names() {
        let people = on_small_disk("size=8m,nr_inodes=40");
        let bob = basic("bob");
        let mut begun = Vec::new();
        let refused = loop {
            let reply = people.ask("POST", "/", &[TUS, &bob, "Upload-Length: 1"], b"");
            if reply.status != 201 {
                break reply;
            }
            begun.push(reply.field("Location").unwrap().to_owned());
            assert!(begun.len() < 40);
        };
        assert_eq!(refused.status, 507, "{}", refused.text());
        while fs::write(people.share().join(format!("n{}", begun.len())), "").is_ok() {
            begun.push(String::new());
        }
        begun.retain(|at| !at.is_empty());
        let kept = people.kept();
        assert_eq!(
            kept.len(),
            3 * begun.len(),
            "none of it is half there: {kept:?}"
        );
        for (method, target) in [("PUT", "/new"), ("MKCOL", "/new/"), ("POST", "/")] {
            let (kind, body) = form("new", b"x");
            let body = if method == "MKCOL" { &b""[..] } else { &body };
            let fields: &[&str] = if method == "POST" {
                &[&bob, kind]
            } else {
                &[&bob]
            };
            let reply = people.ask(method, target, fields, body);
            assert_eq!(reply.status, 507, "{method}: {}", reply.text());
        }
        assert_eq!(people.kept(), kept);
        let gone = people.ask("DELETE", &begun[0], &[TUS, &bob], b"");
        assert_eq!(gone.status, 204);
        assert_eq!(people.ask("PUT", "/new", &[&bob], b"x").status, 201);
    }

    #[test]
    #[ignore = "run by the test that gives it mounts of its own"]
    fn accounts_full() {
        let base = std::cell::RefCell::new(None);
        let people = People::prepared(&["--allow", "read", "--log", "off"], |folder| {
            small(&folder.join("base"), "size=2m");
            *base.borrow_mut() = Some(folder.join("base"));
        });
        let base = base.into_inner().unwrap();
        let (bob, session) = (basic("bob"), people.sign_in("bob"));
        people.quota("bob", "1M");
        assert_eq!(people.ask("PUT", "/there", &[&bob], b"there").status, 201);
        let (tree, books) = (people.tree(), people.books());
        let ballast = fill(&base);
        let signed: [&[&str]; 2] = [&[&bob], &[&session, "Origin: http://quay"]];
        let mut refused = 0;
        for round in 0..200 {
            for fields in signed {
                let reply = people.ask("PUT", &format!("/new{round}"), fields, b"new");
                // There is some room left in the files that are there.
                if reply.status == 201 {
                    continue;
                }
                refused += 1;
                assert!((500..600).contains(&reply.status), "{}", reply.text());
                assert!(reply.text().len() > 20, "{}", reply.text());
            }
            let there = common::http::get(people.address(), "/there", &[]);
            assert_eq!((there.status, there.text().as_str()), (200, "there"));
        }
        assert!(refused > 0, "the disk of the accounts was never full");
        assert_eq!(people.kept(), [""; 0]);
        fs::remove_file(ballast).unwrap();
        // Whatever is there is in the books, and the other way round.
        let owned: Vec<String> = people.books().into_iter().map(|(path, ..)| path).collect();
        let files: Vec<String> = people.tree().into_iter().map(|(path, _)| path).collect();
        assert_eq!(owned, files);
        assert!(tree.len() == 1 && books.len() == 1);
        for fields in signed {
            let put = people.ask("PUT", "/there", fields, b"again");
            assert_eq!(put.status, 204, "{}", put.text());
        }
        people.sign_in("ann");
    }

    #[test]
    #[ignore = "run by the test that gives it mounts of its own"]
    fn accounts_read_only() {
        let base = std::cell::RefCell::new(None);
        let arguments = ["--allow", "read", "--log", "off", "--model", "forks"];
        let people = People::prepared(&arguments, |folder| {
            *base.borrow_mut() = Some(folder.join("base"));
        });
        let base = base.into_inner().unwrap();
        let (bob, session) = (basic("bob"), people.sign_in("bob"));
        assert_eq!(people.ask("PUT", "/there", &[&bob], b"there").status, 201);
        let before = (people.tree(), people.books());
        // Over it, for all who open it from now on: each connection does.
        mount(&["--bind", base.to_str().unwrap()], &base);
        mount(&["-o", "remount,bind,ro"], &base);
        let signed: [&[&str]; 2] = [&[&bob], &[&session, "Origin: http://quay"]];
        for fields in signed {
            for target in ["/new", "/there"] {
                let reply = people.ask("PUT", target, fields, b"new");
                assert!(
                    (500..600).contains(&reply.status),
                    "{}: {}",
                    reply.status,
                    reply.text()
                );
                assert!(reply.text().len() > 20, "{}", reply.text());
            }
            let there = common::http::get(people.address(), "/there", &[]);
            assert_eq!((there.status, there.text().as_str()), (200, "there"));
        }
        common::run(Command::new("umount").arg("-l").arg(&base));
        assert!((people.tree(), people.books()) == before);
        assert_eq!(people.kept(), [""; 0]);
        for fields in signed {
            let put = people.ask("PUT", "/there", fields, b"again");
            assert_eq!(put.status, 204, "{}", put.text());
        }
    }

    #[test]
    #[ignore = "run by the test that gives it mounts of its own"]
    fn not_replaced() {
        let people = on_small_disk("size=8m");
        let put = people.ask("PUT", "/bobs", &[&basic("bob")], b"it is bob's");
        assert_eq!(put.status, 201, "{}", put.text());
        // Nothing may take the place of what something is mounted on.
        let file = people.share().join("bobs");
        mount(&["--bind", file.to_str().unwrap()], &file);
        let before = (people.tree(), people.books());
        let reply = people.ask("PUT", "/bobs", &[&basic("ann")], b"now it is ann's");
        assert!(reply.status >= 400, "{}", reply.status);
        assert!(
            (people.tree(), people.books()) == before,
            "{:?}",
            people.books()
        );
        assert_eq!(people.kept(), [""; 0]);
        common::run(Command::new("umount").arg(&file));
        let put = people.ask("PUT", "/bobs", &[&basic("ann")], b"now it is ann's");
        assert_eq!(put.status, 204, "{}", put.text());
        assert_eq!((people.used("bob"), people.used("ann")), (0, 15));
    }
}

/// Not a disk, but the same to those who come meanwhile.
#[test]
fn accounts_that_another_program_holds_are_told_of_and_back_by_themselves() {
    let people = People::new(&["--allow", "read", "--log", "off"]);
    let session = people.sign_in("bob");
    let fields = [&*session, "Origin: http://quay"];
    assert_eq!(people.ask("PUT", "/there", &fields, b"there").status, 201);
    let before = (people.tree(), people.books());
    let other = rusqlite::Connection::open(people.database()).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    for target in ["/new", "/there"] {
        let reply = people.ask("PUT", target, &fields, b"new");
        assert_eq!(reply.status, 503, "{}", reply.text());
        assert_eq!(reply.field("Retry-After"), Some("1"));
        let there = common::http::get(people.address(), "/there", &[]);
        assert_eq!((there.status, there.text().as_str()), (200, "there"));
    }
    other.execute_batch("ROLLBACK").unwrap();
    assert!((people.tree(), people.books()) == before);
    assert_eq!(people.kept(), [""; 0]);
    assert_eq!(people.ask("PUT", "/there", &fields, b"again").status, 204);
}
