//! What comes in: content, names, times and permissions, and how it can end.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::time::{Duration, UNIX_EPOCH};

use hythe::accounts::Gate;
use hythe::serve::ftp::{Ftp, FtpConfig};
use hythe::share::{Access, Rules, Share};
use hythe_net::{Limits, Model, MuxKind, Patience};

use super::common::{content, eventually};
use super::{Client, Running, with_name};

fn share() -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir(root.path().join("folder")).unwrap();
    fs::write(root.path().join("old"), "0123456789").unwrap();
    root
}

#[test]
fn content_comes_in_in_every_way() {
    let root = share();
    let server = Running::allowing(Access::Write, root.path());
    let mut client = server.log_in();
    let read = |name: &str| fs::read(root.path().join(name)).unwrap();
    let big = content(3_000_001);

    client.store("STOR folder/new", &big, 226);
    assert!(read("folder/new") == big);
    client.store("STOR folder/new", b"short", 226);
    assert_eq!(
        read("folder/new"),
        b"short",
        "nothing of what it was is left"
    );
    client.store("STOR empty", b"", 226);
    assert_eq!(read("empty"), b"");
    client.store("APPE old", b"abc", 226);
    client.store("APPE made", b"abc", 226);
    assert_eq!(
        (read("old"), read("made")),
        (b"0123456789abc".into(), b"abc".into())
    );

    client.command("REST 10", 350);
    client.store("STOR old", b"XY", 226);
    assert_eq!(read("old"), b"0123456789XYc", "the head stays");
    client.command("REST 13", 350);
    client.store("STOR old", b"end", 226);
    assert_eq!(read("old"), b"0123456789XYcend");
    client.store("STOR old", b"new", 226);
    assert_eq!(read("old"), b"new", "a restart is for one transfer");

    let name = "船 \"一\" #1%.txt";
    client.store(with_name("STOR", name.as_bytes()), "你好".as_bytes(), 226);
    assert_eq!(read(name), "你好".as_bytes());
}

#[test]
fn restarts_that_lead_nowhere_are_refused_and_used_up() {
    let root = share();
    let server = Running::allowing(Access::Write, root.path());
    let mut client = server.log_in();
    client.epsv();
    for (rest, command, code) in [
        (11, "STOR old", 554),
        (1, "STOR missing", 550),
        (1, "STOR missing/file", 550),
        (1, "APPE old", 450),
        (1, "STOU", 450),
    ] {
        client.command(format!("REST {rest}"), 350);
        client.command(command, code);
    }
    client.store("STOR old", b"new", 226);
    assert_eq!(fs::read(root.path().join("old")).unwrap(), b"new");
}

#[test]
fn text_is_stored_with_the_line_ends_of_this_system_and_sent_with_those_of_the_network() {
    let root = share();
    let server = Running::allowing(Access::Write, root.path());
    let mut client = server.log_in();
    client.command("TYPE A", 200);
    let sent = b"one\r\ntwo\r\r\nthree\rfour\nend\r";
    client.store("STOR text", sent, 226);
    let stored = fs::read(root.path().join("text")).unwrap();
    assert_eq!(stored, b"one\ntwo\r\nthree\rfour\nend\r");
    client.store("APPE text", b"\r\nmore\r\n", 226);
    let stored = fs::read(root.path().join("text")).unwrap();
    assert_eq!(stored, b"one\ntwo\r\nthree\rfour\nend\r\nmore\n");

    // In two pieces, cut where it matters.
    let mut data = client.begin("STOR cut");
    data.write_all(b"a\r").unwrap();
    eventually("the first piece", || root.path().join("cut").exists());
    data.write_all(b"\nb").unwrap();
    drop(data);
    client.expect(226);
    assert_eq!(fs::read(root.path().join("cut")).unwrap(), b"a\nb");
    assert_eq!(client.fetch("RETR cut"), b"a\r\nb");
}

#[test]
fn unique_names_are_told() {
    let root = share();
    let server = Running::allowing(Access::Upload, root.path());
    let mut client = server.log_in();
    let mut names = Vec::new();
    for (command, begin) in [
        ("STOU", "file."),
        ("STOU old", "old."),
        ("STOU folder/x", "folder/x."),
    ] {
        let mut data = super::connect(client.epsv());
        let text = client.command(command, 150);
        let name = text
            .trim_end()
            .strip_prefix("150 FILE: ")
            .unwrap()
            .to_owned();
        assert!(name.starts_with(begin), "{name}");
        data.write_all(b"x").unwrap();
        drop(data);
        client.expect(226);
        assert_eq!(fs::read(root.path().join(&name)).unwrap(), b"x");
        names.push(name);
    }
    client.command("STOU", 425);
    client.command("STOU missing/x", 550);
    assert_eq!(fs::read(root.path().join("old")).unwrap(), b"0123456789");
}

#[test]
fn names_times_and_permissions_change() {
    let root = share();
    let server = Running::allowing(Access::Write, root.path());
    let mut client = server.log_in();
    let path = |name: &str| root.path().join(name);

    assert!(
        client
            .command("MKD folder/in \"it\"", 257)
            .starts_with("257 \"/folder/in \"\"it\"\"\" ")
    );
    assert!(path("folder/in \"it\"").is_dir());
    client.command("CWD folder", 250);
    client.command("XMKD 新", 257);
    client.command("MKD 新", 550);
    client.command("MKD missing/new", 550);
    client.command("RMD 新", 250);
    client.command("RMD ../folder", 550);
    client.command("RMD /", 550);
    client.command("RMD /old", 550);
    client.command("DELE /folder", 550);
    client.command("XRMD in \"it\"", 250);
    client.command("CDUP", 250);

    client.command("RNFR missing", 550);
    client.command("RNTO x", 503);
    client.command("RNFR /", 550);
    client.command("RNFR old", 350);
    client.command("RNTO folder/new", 250);
    client.command("RNTO again", 503);
    assert_eq!(fs::read(path("folder/new")).unwrap(), b"0123456789");
    client.command("RNFR folder", 350);
    client.command("RNTO folder/inside", 550);
    client.command("RNFR folder", 350);
    client.command("RNTO /", 550);
    client.command("RNFR folder", 350);
    client.command("NOOP", 200);
    client.command("RNTO 文件夹", 250);
    client.store("STOR other", b"other", 226);
    client.command("RNFR other", 350);
    client.command("RNTO 文件夹/new", 250);
    assert_eq!(
        fs::read(path("文件夹/new")).unwrap(),
        b"other",
        "as rename(2) does"
    );

    let said = client.command("MFMT 20010909014640 文件夹/new", 213);
    assert_eq!(said, "213 Modify=20010909014640; 文件夹/new\r\n");
    let modified = fs::metadata(path("文件夹/new"))
        .unwrap()
        .modified()
        .unwrap();
    assert_eq!(modified, UNIX_EPOCH + Duration::from_secs(1_000_000_000));
    client.command("MFMT 20010909014640 missing", 550);

    let mode = |name: &str| fs::metadata(path(name)).unwrap().permissions().mode() & 0o7777;
    for (asked, got) in [("777", 0o777), ("0640", 0o640), ("6755", 0o755), ("000", 0)] {
        client.command(format!("SITE CHMOD {asked} 文件夹/new"), 200);
        assert_eq!(mode("文件夹/new"), got, "{asked}");
    }
    client.command("SITE CHMOD 777 missing", 550);

    client.command("DELE 文件夹/new", 250);
    client.command("DELE 文件夹/new", 550);
    client.command("RMD 文件夹", 250);
    assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0);
}

/// What each level may do; the same commands for all of them.
#[test]
fn every_verb_asks_what_the_visitor_may() {
    for (access, creates, changes) in [
        (Access::Read, false, false),
        (Access::Upload, true, false),
        (Access::Write, true, true),
    ] {
        let root = share();
        let server = Running::allowing(access, root.path());
        let mut client = server.log_in();
        let mut try_one = |command: &str, stored: bool, allowed: bool| {
            if stored {
                client.epsv();
            }
            client.send([command.as_bytes(), b"\r\n"].concat());
            let (code, _) = client.reply();
            assert_eq!(
                code != 550,
                allowed,
                "{access}: {command} was answered {code}"
            );
            if code == 150 {
                client.send("ABOR\r\n");
                client.expect(426);
                client.expect(226);
            }
        };
        try_one("STOR new", true, creates);
        try_one("STOR old", true, changes);
        try_one("APPE new2", true, creates);
        try_one("APPE old", true, changes);
        try_one("STOU", true, creates);
        try_one("MKD made", false, creates);
        try_one("RNFR old", false, changes);
        try_one("MFMT 20200101000000 old", false, changes);
        try_one("SITE CHMOD 600 old", false, changes);
        try_one("RMD folder", false, changes);
        try_one("DELE old", false, changes);
        let facts = client.command("MLST /", 250);
        let perm = match access {
            Access::Read => "perm=el;",
            Access::Upload => "perm=celm;",
            _ => "perm=cdeflmp;",
        };
        assert!(facts.contains(perm), "{facts}");
        assert_eq!(root.path().join("old").exists(), !changes);
    }
}

/// Until the client has connected and sends, nothing of what is there is lost.
#[test]
fn a_transfer_that_never_begins_changes_nothing() {
    let root = share();
    let gate = Gate::new(Share::open(root.path()).unwrap(), Access::Write);
    let config = FtpConfig {
        data_deadline: Duration::from_millis(200),
        ..FtpConfig::default()
    };
    let server = Running::of(Ftp::new(gate, config));
    let mut client = server.log_in();
    for command in ["STOR old", "STOR new", "APPE new"] {
        client.command("EPSV", 229);
        client.command(command, 150);
        client.expect(425);
    }
    assert_eq!(fs::read(root.path().join("old")).unwrap(), b"0123456789");
    assert!(!root.path().join("new").exists());
}

/// By the time of the reply, nobody writes any more.
#[test]
fn an_upload_that_is_aborted_leaves_what_had_come() {
    let root = share();
    let server = Running::allowing(Access::Write, root.path());
    let mut client = server.log_in();
    let path = root.path().join("new");
    let bytes = content(1_000_000);
    for round in 0..20 {
        let mut data = client.begin("STOR new");
        data.write_all(&bytes).unwrap();
        eventually("the file to appear", || path.exists());
        client.send([0xff, 0xf4, 0xff, 0xf2]);
        client.send("ABOR\r\n");
        client.expect(426);
        client.expect(226);
        let length = fs::metadata(&path).unwrap().len();
        client.command("NOOP", 200);
        let text = client.command("SIZE new", 213);
        assert_eq!(text, format!("213 {length}\r\n"), "round {round}");
        let stored = fs::read(&path).unwrap();
        assert!(stored == bytes[..stored.len()]);
        client.command("DELE new", 250);
    }
    // And it can be gone on with.
    let mut data = client.begin("STOR new");
    data.write_all(&bytes[..500_000]).unwrap();
    eventually("the file to appear", || path.exists());
    client.send("ABOR\r\n");
    client.expect(426);
    client.expect(226);
    let length = fs::metadata(&path).unwrap().len();
    client.command(format!("REST {length}"), 350);
    client.store("STOR new", &bytes[usize::try_from(length).unwrap()..], 226);
    assert!(fs::read(&path).unwrap() == bytes);
}

#[test]
fn whoever_stops_sending_is_told_and_whoever_sends_slowly_is_not() {
    let root = share();
    let gate = Gate::new(Share::open(root.path()).unwrap(), Access::Write);
    let patience = Patience {
        idle: Duration::from_millis(400),
        bytes: 1,
    };
    let config = FtpConfig {
        patience,
        ..FtpConfig::default()
    };
    let server = Running::of(Ftp::new(gate, config));
    let mut client = server.log_in();
    let mut data = client.begin("STOR slow");
    data.write_all(b"some").unwrap();
    client.expect(426);
    assert_eq!(fs::read(root.path().join("slow")).unwrap(), b"some");
}

#[test]
fn a_client_that_vanishes_leaves_what_had_come() {
    let root = share();
    let server = Running::allowing(Access::Write, root.path());
    let path = root.path().join("new");
    let mut client = server.log_in();
    let mut data = client.begin("STOR new");
    data.write_all(b"half").unwrap();
    eventually("the half", || {
        fs::read(&path).is_ok_and(|bytes| bytes == b"half")
    });
    drop((client, data));
    let mut next = server.log_in();
    next.command("SIZE new", 213);
    next.store("APPE new", b" and half", 226);
    assert_eq!(fs::read(&path).unwrap(), b"half and half");
}

/// Below, at and above it.
#[test]
fn the_largest_upload_has_a_limit() {
    let root = share();
    let rules = Rules {
        max_upload: Some(1_000_000),
        ..Rules::default()
    };
    let share = Share::open(root.path()).unwrap().with_rules(rules);
    let server = Running::of(Ftp::new(
        Gate::new(share, Access::Write),
        FtpConfig::default(),
    ));
    let mut client = server.log_in();
    let bytes = content(2_000_000);
    client.store("STOR below", &bytes[..999_999], 226);
    client.store("STOR at", &bytes[..1_000_000], 226);
    client.store("STOR above", &bytes[..1_000_001], 552);
    client.store("STOR far", &bytes, 552);
    client.epsv();
    client.command("APPE at", 552);
    client.store("APPE below", &bytes[..1], 226);
    client.epsv();
    client.command("APPE below", 552);
    client.command("NOOP", 200);
}

/// Unless the whole of it can be written, it would write through a link that
/// somebody has put there.
#[test]
fn links_are_neither_written_through_nor_out_of_the_share() {
    let root = share();
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("canary"), "alive").unwrap();
    symlink(outside.path().join("canary"), root.path().join("leads out")).unwrap();
    symlink("old", root.path().join("leads in")).unwrap();
    symlink(outside.path(), root.path().join("folder out")).unwrap();
    let server = Running::allowing(Access::Write, root.path());
    let mut client = server.log_in();
    for target in [
        "leads out",
        "leads in",
        "folder out/new",
        "../canary",
        "/../canary",
        "folder/../../canary",
    ] {
        for verb in ["STOR", "APPE"] {
            client.epsv();
            client.send(format!("{verb} {target}\r\n"));
            let (code, _) = client.reply();
            if code == 150 {
                // What climbs out of the share stays in it (as `/..` does).
                client.send("ABOR\r\n");
                client.expect(426);
                client.expect(226);
            } else {
                assert!(matches!(code, 550 | 553), "{verb} {target}: {code}");
            }
        }
        client.send(format!("SITE CHMOD 777 {target}\r\n"));
        client.reply();
        client.send(format!("MFMT 20200101000000 {target}\r\n"));
        client.reply();
        client.send(format!("DELE {target}\r\n"));
        client.reply();
    }
    for hidden in [".hythe", ".HYTHE/x", "folder/.hythe"] {
        client.epsv();
        client.command(format!("STOR {hidden}"), 550);
        client.command(format!("MKD {hidden}"), 550);
    }
    let canary = outside.path().join("canary");
    assert_eq!(fs::read(&canary).unwrap(), b"alive");
    assert_ne!(fs::metadata(&canary).unwrap().mode() & 0o777, 0o777);
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 1);
}

/// Under every model, one after the other and side by side.
#[test]
fn many_upload_at_once() {
    const CLIENTS: usize = 20;
    let mux = MuxKind::EpollEdge;
    for model in [
        Model::Threads { max: 100 },
        Model::Events { mux },
        Model::Cores { count: 2, mux },
    ] {
        let root = share();
        let gate = Gate::new(Share::open(root.path()).unwrap(), Access::Write);
        let handler = Ftp::new(gate, FtpConfig::default());
        let server = Running::serving("127.0.0.1:0", model, Limits::default(), handler);
        let bytes = content(1_000_000);
        std::thread::scope(|scope| {
            for number in 0..CLIENTS {
                let (server, bytes) = (&server, &bytes[number..]);
                scope.spawn(move || {
                    let mut client = server.log_in();
                    client.store(format!("STOR file-{number}"), bytes, 226);
                    assert!(client.fetch(format!("RETR file-{number}")) == bytes);
                });
            }
        });
        for number in 0..CLIENTS {
            let stored = fs::read(root.path().join(format!("file-{number}"))).unwrap();
            assert!(stored == bytes[number..], "{model:?}");
        }
    }
}

/// Over the control connection meanwhile.
#[test]
fn an_upload_does_not_keep_the_client_from_asking() {
    let root = share();
    let server = Running::allowing(Access::Write, root.path());
    let mut client = server.log_in();
    let mut data = client.begin("STOR new");
    data.write_all(b"0123456789").unwrap();
    client.command("NOOP", 200);
    let moved = |client: &mut Client| client.command("STAT", 211).contains("Under way: 10 bytes");
    eventually("STAT to tell of it", || moved(&mut client));
    client.send("QUIT\r\n");
    data.write_all(b"abc").unwrap();
    drop(data);
    client.expect(226);
    client.expect(221);
    client.expect_end();
    assert_eq!(fs::read(root.path().join("new")).unwrap(), b"0123456789abc");
}

/// A checksum of a large file does not, either, and may be given up.
#[test]
fn checksums_are_made_while_the_client_may_go_on() {
    let root = share();
    let file = fs::File::create(root.path().join("sparse")).unwrap();
    file.set_len(8 << 30).unwrap();
    let server = Running::allowing(Access::Read, root.path());
    let mut clients: Vec<Client> = (0..5).map(|_| server.log_in()).collect();
    for client in &mut clients[..4] {
        client.send("XSHA512 sparse\r\n");
        client.command("NOOP", 200);
    }
    clients[4].command("XMD5 old", 450);
    clients[0].send("ABOR\r\n");
    clients[0].expect(426);
    clients[0].expect(226);
    // By then at most one more piece is read in vain.
    eventually("a turn to be free", || {
        clients[4].send("XMD5 old\r\n");
        clients[4].reply().0 == 250
    });
    // Who goes away lets go of its turn, too.
    drop(clients.split_off(1));
    let mut next = server.log_in();
    for _ in 0..2 {
        eventually("turns to be free", || {
            next.send("XMD5 old\r\n");
            next.reply().0 == 250
        });
    }
}

/// In the middle of it, with the reply in its place.
#[test]
fn a_file_that_can_not_be_written_is_said() {
    let root = share();
    let server = Running::allowing(Access::Write, root.path());
    let mut client = server.log_in();
    for (command, code) in [
        ("STOR folder", 550),
        ("APPE folder", 550),
        ("STOR /", 550),
        ("STOR old/new", 550),
        ("STOR", 501),
        ("STOR missing/new", 550),
    ] {
        client.epsv();
        client.command(command, code);
    }
    // The folder goes away between the question and the bytes.
    let mut data = client.begin("STOR folder/new");
    fs::remove_dir(root.path().join("folder")).unwrap();
    data.write_all(b"lost").ok();
    client.expect(550);
    let mut rest = Vec::new();
    data.read_to_end(&mut rest).ok();
    assert_eq!(rest, b"");
}

/// As cameras and logs do; neither writes over the other.
#[test]
fn two_who_append_at_one_time_lose_nothing() {
    let root = share();
    let server = Running::allowing(Access::Write, root.path());
    let (mut one, mut other) = (server.log_in(), server.log_in());
    one.store("STOR log", b"", 226);
    let (mut first, mut second) = (one.begin("APPE log"), other.begin("APPE log"));
    let length = || fs::metadata(root.path().join("log")).unwrap().len();
    for round in 1..=50_u64 {
        first.write_all(&[b'1'; 100]).unwrap();
        second.write_all(&[b'2'; 100]).unwrap();
        eventually("both pieces", || length() == 200 * round);
    }
    drop((first, second));
    one.expect(226);
    other.expect(226);
    let kept = fs::read(root.path().join("log")).unwrap();
    for byte in [b'1', b'2'] {
        assert_eq!(kept.iter().filter(|kept| **kept == byte).count(), 5000);
    }
}
