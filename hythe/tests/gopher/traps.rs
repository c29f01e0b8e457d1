//! What must not work, and what must not get worse by it.

use std::fs;
use std::io::{Read, Write};
use std::net::Shutdown as End;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::thread;

use hythe::accounts::Gate;
use hythe::serve::gopher::Gopher;
use hythe::share::{Access, Share};
use hythe_net::{Limits, Model, MuxKind, Server};

use super::common::{Served, connect, eventually, exchange};
use super::{Running, decoded, error, share, show};

const CANARY: &str = "the canary";

#[test]
fn nothing_outside_the_share_exists() {
    let outer = tempfile::tempdir().unwrap();
    let share = outer.path().join("share");
    fs::create_dir_all(share.join("folder")).unwrap();
    fs::create_dir(outer.path().join("share-other")).unwrap();
    fs::write(outer.path().join("canary"), CANARY).unwrap();
    fs::write(outer.path().join("share-other/canary"), CANARY).unwrap();
    symlink(outer.path(), share.join("out")).unwrap();
    symlink("../canary", share.join("link")).unwrap();
    symlink("../../canary", share.join("folder/gophermap")).unwrap();
    let server = Running::start(&share);
    for selector in [
        &b"../canary"[..],
        b"/../canary",
        b"folder/../../canary",
        b"../share-other/canary",
        b"..\\canary",
        b"%2e%2e/canary",
        b"%252e%252e/canary",
        b"\xc0\xae\xc0\xae/canary",
        b"out/canary",
        b"out/",
        b"out/\tcanary",
        b"link",
        b"folder/gophermap",
        b"/etc/passwd",
        b"//etc/passwd",
        outer.path().join("canary").as_os_str().as_bytes(),
    ] {
        let answer = server.get_text(selector);
        assert_eq!(
            answer,
            error("There is no such thing here."),
            "{}",
            show(selector)
        );
    }
    assert_eq!(server.items("/folder"), ["7Search here and below /folder"]);
    assert_eq!(server.items("/\tcanary"), ["iNothing was found. "]);
    assert_eq!(
        server.items(""),
        ["7Search here and below /", "1folder /folder"]
    );
}

#[test]
fn what_is_no_gopher_is_closed_and_what_is_too_long_refused() {
    let root = share();
    let server = Running::start(root.path());
    for request in [
        &b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"[..],
        b"POST /text HTTP/1.0\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"/te\0xt\r\n",
    ] {
        assert_eq!(show(&exchange(server.address, request)), "");
    }
    let long = [&vec![b'x'; 1_000_000][..], b"\r\n"].concat();
    let mut stream = connect(server.address);
    stream.write_all(&long).ok();
    let mut answer = String::new();
    // The reply may be lost where so much was never read; a wrong one not.
    if stream.read_to_string(&mut answer).is_ok() {
        assert_eq!(answer, error("That selector is too long."));
    }
    assert_eq!(
        server.get_text("x".repeat(4096 + 1)),
        error("That selector is too long.")
    );
    assert_eq!(
        server.get_text("x".repeat(4000)),
        error("That is no name for a file.")
    );
}

#[test]
fn names_forge_neither_items_nor_lines() {
    let root = tempfile::tempdir().unwrap();
    let name = "a\tb\r\n0forged\t/etc/passwd\tevil.example\t70\r\n.\r\n".replace('/', "");
    fs::write(root.path().join(&name), "").unwrap();
    let server = Running::start(root.path());
    assert_eq!(server.menu("").len(), 2);
}

#[test]
fn a_request_may_come_byte_by_byte_or_never() {
    let root = share();
    let server = Running::start(root.path());
    let mut stream = connect(server.address);
    for byte in b"/text\r\n" {
        stream.write_all(&[*byte]).unwrap();
    }
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    assert_eq!(answer, server.get("/text"));

    let mut half = connect(server.address);
    half.write_all(b"/te").unwrap();
    half.shutdown(End::Write).unwrap();
    assert_eq!(half.read(&mut [0; 10]).unwrap(), 0);
    // A stopping server does not wait for the rest.
    let (mut silent, mut slow) = (connect(server.address), connect(server.address));
    slow.write_all(b"/te").unwrap();
    server.shutdown.stop();
    for stream in [&mut silent, &mut slow] {
        assert_eq!(stream.read(&mut [0; 10]).unwrap_or(0), 0);
    }
}

#[test]
fn beyond_the_limit_clients_get_an_error_item() {
    let root = share();
    let gate = Gate::new(Share::open(root.path()).unwrap(), Access::Read);
    let server = Server::new(Model::Events {
        mux: MuxKind::EpollEdge,
    })
    .limits(Limits {
        max: 1,
        ..Limits::default()
    })
    .listen(&"127.0.0.1:0".parse().unwrap(), Gopher::new(gate, None))
    .unwrap();
    let (address, shutdown) = (server.addresses()[0].to_string(), server.shutdown());
    let running = thread::spawn(move || server.serve());
    let first = connect(address.parse().unwrap());
    let mut answer = String::new();
    connect(address.parse().unwrap())
        .read_to_string(&mut answer)
        .unwrap();
    assert_eq!(answer, error("Too many connections, try again later."));
    drop(first);
    shutdown.stop();
    running.join().unwrap().unwrap();
}

#[test]
fn nothing_for_this_visitor_means_nothing() {
    let root = share();
    let gate = Gate::new(Share::open(root.path()).unwrap(), Access::None);
    let server = Server::new(Model::Threads { max: 4 })
        .listen(&"127.0.0.1:0".parse().unwrap(), Gopher::new(gate, None))
        .unwrap();
    let (address, shutdown) = (server.addresses()[0].to_string(), server.shutdown());
    let running = thread::spawn(move || server.serve());
    for selector in ["", "/text", "/missing", "/\ttext"] {
        let answer = exchange(
            address.parse().unwrap(),
            format!("{selector}\r\n").as_bytes(),
        );
        assert_eq!(
            String::from_utf8(answer).unwrap(),
            error("You may not see this.")
        );
    }
    shutdown.stop();
    running.join().unwrap().unwrap();
}

#[test]
fn large_things_are_sent_in_flat_memory_and_nothing_is_left_behind() {
    let root = tempfile::tempdir().unwrap();
    fs::write(
        root.path().join("text"),
        "a line of some length\n".repeat(5_000_000),
    )
    .unwrap();
    fs::create_dir(root.path().join("many")).unwrap();
    for number in 0..50_000 {
        fs::write(root.path().join(format!("many/{number:05}.zip")), "").unwrap();
    }
    let served = Served::start(root.path(), &[]);
    let address = served.address("gopher");
    exchange(address, b"/many/00000.zip\r\n");
    let (memory, descriptors) = (served.private_memory(), served.descriptors());
    assert_eq!(
        decoded(&exchange(address, b"/text\r\n")).len(),
        22 * 5_000_000
    );
    let menu = exchange(address, b"/many\r\n");
    assert_eq!(menu.split(|byte| *byte == b'\n').count(), 50_000 + 3);
    // Some leave in the middle.
    for _ in 0..10 {
        let mut stream = connect(address);
        stream.write_all(b"/text\r\n").unwrap();
        stream.read_exact(&mut [0; 1000]).unwrap();
    }
    let grown = served.private_memory().saturating_sub(memory);
    assert!(grown < 24 * 1024, "{grown} KiB");
    eventually("all descriptors are closed", || {
        served.descriptors() <= descriptors
    });
}
