//! How long it waits, and where it comes from.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream, UdpSocket};
use std::time::Instant;

use hythe_net::{Domain, Kind, Socket};

use crate::common::{self, PATIENCE, eventually};
use crate::peers::Program;
use crate::talk::{Talk, connect, inet, listen};

/// A machine that does not answer: its queue is full. What fills it is held.
fn mute() -> (String, Socket, Vec<Socket>) {
    let socket = Socket::new(Domain::INET, Kind::STREAM).unwrap();
    socket.bind(&"127.0.0.1:0".parse().unwrap()).unwrap();
    socket.listen(0).unwrap();
    let address = socket.sock_name().unwrap();
    let mut filling = Vec::new();
    // As many as the kernel takes, until one is left in the middle.
    loop {
        let one = Socket::new(Domain::INET, Kind::STREAM).unwrap();
        one.set_blocking(false).unwrap();
        one.connect(&address).ok();
        filling.push(one);
        let connected = |socket: &Socket| socket.peer_name().is_ok();
        if filling.len() > 4 {
            break;
        }
        let last = filling.last().unwrap();
        // On loopback it is there at once, or never.
        if !connected(last) {
            break;
        }
    }
    (address.to_string(), socket, filling)
}

#[test]
fn connecting_takes_no_longer_than_its_timeout() {
    let (address, _listener, _filling) = mute();
    let started = Instant::now();
    let ended = connect(&address, &["--timeout", "1"]).ends();
    assert_eq!(ended.code, 1, "{ended:?}");
    assert!(ended.errors.contains(&address), "{ended:?}");
    assert!(ended.errors.contains("--timeout"), "{ended:?}");
    assert!(started.elapsed() < PATIENCE);
}

#[test]
fn a_timeout_is_for_connecting_only() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let client = connect(&address, &["--timeout", "1"]);
    let (mut peer, _) = listener.accept().unwrap();
    let started = Instant::now();
    // Longer than the timeout, in which nothing happens.
    eventually("it is over", || started.elapsed().as_secs() >= 2);
    peer.write_all(b"late\n").unwrap();
    client.hears("late\n");
    drop(peer);
    client.succeeds();
}

#[test]
fn a_listener_waits_no_longer_than_its_timeout() {
    for keep in [&[][..], &["--keep"]] {
        let (listener, _) = listen(&[&["127.0.0.1:0", "--timeout", "1"], keep].concat());
        let ended = listener.ends_by_itself();
        assert_eq!(ended.code, 1, "{ended:?}");
        assert!(ended.errors.contains("--timeout"), "{ended:?}");
    }
    // Who has come has its time.
    let (listener, address) = listen(&["127.0.0.1:0", "--timeout", "2"]);
    let mut client = common::connect(inet(&address));
    client.write_all(b"here\n").unwrap();
    listener.hears("here\n");
    let started = Instant::now();
    eventually("it is over", || started.elapsed().as_secs() >= 3);
    client.write_all(b"still here\n").unwrap();
    listener.hears("still here\n");
    drop(client);
    listener.succeeds();
}

#[test]
fn a_silent_connection_ends_after_idle() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let client = connect(&address, &["--idle", "1"]);
    let (mut peer, _) = listener.accept().unwrap();
    peer.write_all(b"once\n").unwrap();
    let ended = client.ends_by_itself();
    assert_eq!((ended.code, &ended.output[..]), (1, &b"once\n"[..]));
    assert!(ended.errors.contains("--idle"), "{ended:?}");

    let (listener, address) = listen(&["127.0.0.1:0", "--idle", "1"]);
    let client = Talk::start(&mut Program::Nc.client(&address));
    client.say("once\n");
    let ended = listener.ends_by_itself();
    assert_eq!((ended.code, &ended.output[..]), (1, &b"once\n"[..]));
    assert!(ended.errors.contains("--idle"), "{ended:?}");
}

/// Either direction moving is enough.
#[test]
fn what_moves_is_not_idle() {
    let (listener, address) = listen(&["127.0.0.1:0", "--idle", "2"]);
    let mut client = common::connect(inet(&address));
    let started = Instant::now();
    for round in 0.. {
        let text = format!("{round}\n");
        if round % 2 == 0 {
            client.write_all(text.as_bytes()).unwrap();
            listener.hears(&text);
        } else {
            listener.say(&text);
            let mut bytes = vec![0; text.len()];
            client.read_exact(&mut bytes).unwrap();
        }
        if started.elapsed().as_secs() >= 4 {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    drop(client);
    listener.succeeds();
}

/// A peer that takes nothing is as silent as one that says nothing.
#[test]
fn a_peer_that_does_not_read_is_idle() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let client = connect(&address, &["--idle", "1"]);
    let (_peer, _) = listener.accept().unwrap();
    client.say(vec![b'x'; 32 << 20]);
    let ended = client.ends_by_itself();
    assert_eq!(ended.code, 1, "{ended:?}");
    assert!(ended.errors.contains("--idle"), "{ended:?}");
}

#[test]
fn idle_ends_programs_services_and_chats_of_a_client_and_not_the_listener() {
    for role in [
        &["--keep", "--exec", "cat"][..],
        &["--service", "echo"],
        &["--broadcast"],
    ] {
        let (listener, address) = listen(&[&["127.0.0.1:0", "--idle", "1"], role].concat());
        for _ in 0..2 {
            let mut client = common::connect(inet(&address));
            let mut bytes = Vec::new();
            client.read_to_end(&mut bytes).ok();
        }
        eventually("no process is left", || listener.children().is_empty());
        listener.stops();
    }
}

/// With `--keep`, an end for one is not the end.
#[test]
fn with_keep_idle_is_the_end_of_one() {
    let (listener, address) = listen(&["127.0.0.1:0", "--keep", "--idle", "1"]);
    for name in ["one\n", "two\n"] {
        let mut client = common::connect(inet(&address));
        client.write_all(name.as_bytes()).unwrap();
        listener.hears(name);
        client.read_to_end(&mut Vec::new()).ok();
    }
    assert_eq!(listener.stops().output, b"one\ntwo\n");
}

#[test]
fn it_comes_from_the_source_it_is_told() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let client = connect(&address, &["--source", "127.0.0.2"]);
    let (peer, from) = listener.accept().unwrap();
    assert_eq!(from.ip().to_string(), "127.0.0.2");
    drop(peer);
    client.succeeds();

    // With a port, that nobody else had a moment ago.
    let mut came = None;
    eventually("a port is free", || {
        let free = TcpListener::bind("127.0.0.3:0").unwrap();
        let source = free.local_addr().unwrap();
        drop(free);
        let client = connect(&address, &["--source", &source.to_string()]);
        listener.set_nonblocking(true).unwrap();
        let mut accepted: Option<(TcpStream, _)> = None;
        let mut client = Some(client);
        eventually("it comes, or has ended", || {
            accepted = accepted.take().or_else(|| listener.accept().ok());
            accepted.is_some() || !client.as_mut().unwrap().runs()
        });
        if let Some((peer, from)) = accepted {
            drop(peer);
            client.take().unwrap().succeeds();
            came = Some((from, source));
        }
        came.is_some()
    });
    let (from, source) = came.unwrap();
    assert_eq!(from, source);

    let peer = UdpSocket::bind("[::1]:0").unwrap();
    peer.set_read_timeout(Some(PATIENCE)).unwrap();
    let address = peer.local_addr().unwrap().to_string();
    let client = connect(&address, &["--udp", "--source", "::1"]);
    client.say("hello\n");
    let (_, from) = peer.recv_from(&mut [0; 16]).unwrap();
    assert_eq!(from.ip().to_string(), "::1");
}

#[test]
fn a_source_that_is_none_is_told_so() {
    let (_listener, address) = listen(&["127.0.0.1:0"]);
    // Of no machine (RFC 5737), and of the other family.
    for source in ["192.0.2.77", "::1"] {
        for udp in [&[][..], &["--udp"]] {
            let client = connect(&address, &[&["--source", source], udp].concat());
            let ended = client.ends();
            assert_eq!(ended.code, 1, "{source} {ended:?}");
            assert!(ended.errors.contains("--source"), "{source} {ended:?}");
        }
    }
}

/// Until the peer ends, or forever.
#[test]
fn without_half_close_the_end_of_input_is_not_told() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let mut client = connect(&address, &["--no-half-close"]);
    let (mut peer, _) = listener.accept().unwrap();
    client.say("all\n");
    client.end_input();
    let mut bytes = [0; 4];
    peer.read_exact(&mut bytes).unwrap();
    for text in ["one\n", "two\n"] {
        peer.write_all(text.as_bytes()).unwrap();
        client.hears(text);
    }
    peer.set_nonblocking(true).unwrap();
    let nothing = peer.read(&mut [0]).unwrap_err();
    assert_eq!(nothing.kind(), std::io::ErrorKind::WouldBlock);
    peer.shutdown(Shutdown::Write).unwrap();
    assert_eq!(client.succeeds(), b"one\ntwo\n");
    peer.set_nonblocking(false).unwrap();
    peer.set_read_timeout(Some(PATIENCE)).unwrap();
    assert_eq!(peer.read(&mut [0]).unwrap(), 0);
}
