//! Each trap, played as the attacker would.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::symlink;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use super::common::{Served, connect};
use super::{Client, Running};

const CANARY: &str = "the canary";

/// A folder that holds a canary and, beside it, a share.
fn place() -> tempfile::TempDir {
    let outer = tempfile::tempdir().unwrap();
    let share = outer.path().join("share");
    fs::create_dir_all(share.join("folder")).unwrap();
    fs::create_dir(outer.path().join("share-other")).unwrap();
    for canary in ["canary", "share-other/canary"] {
        fs::write(outer.path().join(canary), CANARY).unwrap();
    }
    fs::write(share.join("file"), "inside").unwrap();
    symlink(outer.path(), share.join("out")).unwrap();
    symlink("../canary", share.join("link")).unwrap();
    symlink(outer.path().join("canary"), share.join("absolute")).unwrap();
    symlink("/proc/self/root", share.join("magic")).unwrap();
    outer
}

#[test]
fn nothing_outside_the_share_exists() {
    let outer = place();
    let server = Running::start(&outer.path().join("share"));
    let absolute = outer.path().join("canary");
    let mut paths: Vec<Vec<u8>> = [
        "../canary",
        "/../canary",
        "folder/../../canary",
        "../share-other/canary",
        "....//canary",
        "..\\canary",
        "%2e%2e/canary",
        "%252e%252e/canary",
        "out/canary",
        "link",
        "absolute",
        "magic/etc/passwd",
        "folder/../out/canary",
        "./.././../canary",
        "canary ",
        "~/canary",
        "/etc/passwd",
        "//etc/passwd",
        "*/../canary",
    ]
    .iter()
    .map(|path| path.as_bytes().to_vec())
    .collect();
    paths.push(absolute.as_os_str().as_encoded_bytes().to_vec());
    paths.push(b"\xc0\xae\xc0\xae/canary".to_vec());
    let verbs = [
        "RETR", "SIZE", "MDTM", "MLST", "MLSD", "STAT", "CWD", "LIST", "NLST",
    ];
    for path in &paths {
        for verb in verbs {
            let mut client = server.log_in();
            client.epsv();
            let text = client.command([verb.as_bytes(), b" ", path].concat(), 550);
            assert!(!text.contains(CANARY));
        }
    }
    let mut client = server.log_in();
    for verb in verbs {
        client.command(format!("{verb} fi\0le"), 501);
    }
    for verb in [
        "LIST -a",
        "NLST -a",
        "MLSD",
        "LIST -a ../..",
        "NLST ../../..",
    ] {
        let text = client.fetch_lines(verb).join("\n");
        assert!(text.contains("file") && !text.contains("canary"), "{text}");
        assert!(!text.contains("out") && !text.contains("link"), "{text}");
    }
    client.command("CWD ../../..", 250);
    assert!(client.command("PWD", 257).starts_with("257 \"/\""));
}

/// Has `link` lead now to a folder inside and now to the one above the share.
fn while_a_link_is_swapped(share: &Path, act: impl FnOnce()) {
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                for target in ["inner", ".."] {
                    symlink(target, share.join("new")).unwrap();
                    fs::rename(share.join("new"), share.join("link")).unwrap();
                }
            }
        });
        // Also when it fails: the scope waits for its threads.
        let ended = catch_unwind(AssertUnwindSafe(act));
        stop.store(true, Ordering::Relaxed);
        ended.unwrap_or_else(|panic| resume_unwind(panic));
    });
}

#[test]
fn a_link_swapped_in_gives_nothing_away() {
    let outer = place();
    let share = outer.path().join("share");
    fs::remove_file(share.join("link")).unwrap();
    fs::create_dir(share.join("inner")).unwrap();
    fs::write(share.join("inner/canary"), "inside").unwrap();
    let server = Running::start(&share);
    while_a_link_is_swapped(&share, || {
        let mut client = server.log_in();
        for _ in 0..100 {
            let data = connect(client.epsv());
            client.send("RETR link/canary\r\n");
            if client.reply().0 == 150 {
                let mut text = String::new();
                { data }.read_to_string(&mut text).unwrap();
                client.expect(226);
                assert_eq!(text, "inside");
            }
        }
    });
}

/// The same with every verb that writes: what is outside stays as it is.
#[test]
fn a_link_swapped_in_is_not_written_through() {
    let outer = place();
    let share = outer.path().join("share");
    fs::remove_file(share.join("link")).unwrap();
    fs::create_dir(share.join("inner")).unwrap();
    let before = fs::read_dir(outer.path()).unwrap().count();
    let canary = fs::read(outer.path().join("canary")).unwrap();
    let server = Running::allowing(hythe::share::Access::Write, &share);
    while_a_link_is_swapped(&share, || {
        let mut client = server.log_in();
        for round in 0..60 {
            for verb in ["STOR", "APPE"] {
                let mut data = connect(client.epsv());
                client.send(format!("{verb} link/canary\r\n"));
                if client.reply().0 == 150 {
                    data.write_all(b"overwritten").unwrap();
                    drop(data);
                    client.reply();
                }
            }
            for command in [
                "SITE CHMOD 777 link/canary".to_owned(),
                "MFMT 20200101000000 link/canary".to_owned(),
                format!("MKD link/made-{round}"),
                "RNFR link/canary".to_owned(),
                "RNTO link/moved".to_owned(),
                "DELE link/canary".to_owned(),
                "DELE link/moved".to_owned(),
                format!("RMD link/made-{round}"),
                "RMD link/share".to_owned(),
            ] {
                client.send(format!("{command}\r\n"));
                client.reply();
            }
        }
    });
    assert_eq!(fs::read(outer.path().join("canary")).unwrap(), canary);
    assert_eq!(fs::read_dir(outer.path()).unwrap().count(), before);
}

#[test]
fn a_stranger_at_the_data_port_gets_nothing() {
    let outer = place();
    let server = Running::start(&outer.path().join("share"));
    let mut client = server.log_in();
    let port = client.epsv();
    let mut stranger = connect_from("127.0.0.2", port);
    client.command("RETR file", 150);
    let mut stolen = Vec::new();
    stranger.read_to_end(&mut stolen).ok();
    assert_eq!(stolen, b"");
    // The owner, late, is served all the same; and nobody after that.
    let mut data = connect(port);
    let mut bytes = Vec::new();
    data.read_to_end(&mut bytes).unwrap();
    assert_eq!(bytes, b"inside");
    client.expect(226);
    assert!(TcpStream::connect(port).is_err(), "the port is closed");
}

/// A connection from another address of this machine.
fn connect_from(source: &str, address: SocketAddr) -> TcpStream {
    use hythe_net::{Addr, Domain, Kind, Socket};
    let socket = Socket::new(Domain::INET, Kind::STREAM).unwrap();
    socket
        .bind(&Addr::from(SocketAddr::new(source.parse().unwrap(), 0)))
        .unwrap();
    socket.connect(&address.into()).unwrap();
    std::os::fd::OwnedFd::from(socket).into()
}

#[test]
fn a_browser_is_not_listened_to() {
    let outer = place();
    let server = Running::start(&outer.path().join("share"));
    for request in [
        "GET / HTTP/1.1\r\nHost: x\r\n\r\nUSER anonymous\r\n",
        "POST /x HTTP/1.1\r\nUSER anonymous\r\nPASS x\r\nSTOR y\r\n",
        "OPTIONS * HTTP/1.1\r\n\r\n",
        "PUT /canary HTTP/1.1\r\n\r\n",
    ] {
        let mut client = server.connect();
        client.send(request);
        client.expect_end();
    }
    // One whose request line is too long to be looked at as a whole.
    for length in [8187, 8188, 9000, 1_000_000] {
        let mut client = server.connect();
        let line = format!("POST /{} HTTP/1.1\r\n", "a".repeat(length));
        client.send(line + "Host: x\r\n\r\nUSER anonymous\r\nPASS x\r\nNOOP\r\n");
        let mut rest = Vec::new();
        // What it has not read may end the connection with a reset.
        client.0.read_to_end(&mut rest).ok();
        let rest = String::from_utf8_lossy(&rest);
        assert!(
            rest.is_empty() || rest == "421 This is not HTTP.\r\n",
            "{rest}"
        );
    }
}

#[test]
fn lines_and_telnet_are_bounded() {
    let outer = place();
    let server = Running::start(&outer.path().join("share"));
    let mut client = server.log_in();
    client.send("x".repeat(1_000_000));
    client.send("\r\n");
    client.expect(500);
    client.command("NOOP", 200);
    client.send(b"\xff\xfb\x01".repeat(10)); // WILL ECHO
    client.command("NOOP", 200);
    client
        .0
        .get_mut()
        .write_all(&b"\xff\xfb\x01".repeat(10_000))
        .ok();
    client.expect(421);
}

#[test]
fn names_forge_neither_replies_nor_listings() {
    let outer = place();
    let share = outer.path().join("share");
    let name = "x\r\n226 done\r\n\x1b[2J";
    fs::create_dir(share.join(name)).unwrap();
    let server = Running::start(&share);
    let mut client = server.log_in();
    for verb in ["LIST", "NLST", "MLSD"] {
        let lines = client.fetch_lines(verb);
        assert_eq!(lines.len(), 3, "{lines:?}");
    }
    let status = client.command("STAT .", 212);
    assert!(
        !status.contains("\n226") && !status.contains('\x1b'),
        "{status:?}"
    );
}

#[test]
fn who_sends_and_never_reads_holds_up_nobody() {
    let outer = place();
    let share = outer.path().join("share");
    fs::File::create(share.join("big"))
        .unwrap()
        .set_len(1 << 26)
        .unwrap();
    let served = Served::start(&share, &[]);
    let log_in = || {
        let mut client = Client::new(connect(served.address("ftp")));
        client.log_in();
        client
    };
    log_in().fetch("RETR file");
    let before = served.private_memory();
    let mut flooders = Vec::new();
    for _ in 0..20 {
        let mut client = log_in();
        let data = client.begin("RETR big");
        client.0.get_ref().set_nonblocking(true).unwrap();
        let flood = b"NOOP\r\nPWD\r\n".repeat(10_000);
        // As much as fits: the server has stopped reading by then.
        while client.0.get_mut().write(&flood).is_ok() {}
        flooders.push((client, data));
    }
    assert_eq!(log_in().fetch("RETR file"), b"inside");
    let grown = served.private_memory().saturating_sub(before);
    assert!(grown < 16 * 1024, "{grown} KiB for twenty floods");
}

#[test]
fn an_idle_session_costs_little() {
    const SESSIONS: u64 = 500;
    let outer = place();
    let served = Served::start(
        &outer.path().join("share"),
        &["--model", "events", "--max-per-address", "4000"],
    );
    let log_in = || {
        let mut client = Client::new(connect(served.address("ftp")));
        client.log_in();
        client.fetch("RETR file");
        client
    };
    let _first: Vec<Client> = (0..20).map(|_| log_in()).collect();
    let before = served.private_memory();
    let _others: Vec<Client> = (0..SESSIONS).map(|_| log_in()).collect();
    let grown = served.private_memory().saturating_sub(before);
    println!("{} bytes each", grown * 1024 / SESSIONS);
    assert!(
        grown <= 2 * SESSIONS,
        "{grown} KiB for {SESSIONS} idle sessions"
    );
}
