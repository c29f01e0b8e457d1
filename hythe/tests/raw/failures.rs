//! Exit statuses, and what is said with them.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::net::UnixListener;

use crate::common::{self, hythe};
use crate::talk::{Talk, connect, inet, listen, part};

/// Runs to the end that it must come to by itself: exit status and standard
/// error.
#[track_caller]
fn fails(arguments: &[&str]) -> (i32, String) {
    let ended = Talk::start(hythe().args(arguments)).ends();
    assert_eq!(ended.output, b"", "{arguments:?}");
    assert!(!ended.errors.contains("panicked"), "{ended:?}");
    (ended.code, ended.errors)
}

#[test]
fn usage_is_2_and_names_what_is_wrong() {
    for (line, named) in [
        ("connect", "HOST"),
        ("connect localhost", "port"),
        ("connect localhost 65536", "65536"),
        ("connect localhost http", "http"),
        ("connect localhost -1", "-1"),
        ("connect localhost 1 2", "2"),
        ("connect localhost:80", "localhost 80"),
        ("connect unix:/x 80", "port"),
        ("connect --frobnicate localhost 1", "--frobnicate"),
        ("connect --tls --udp localhost 1", "--tls"),
        ("connect --insecure localhost 1", "--insecure"),
        ("connect --cacert x localhost 1", "--cacert"),
        ("connect --idle soon localhost 1", "soon"),
        ("connect --timeout -3 localhost 1", "-3"),
        ("connect --source nowhere localhost 1", "nowhere"),
        ("connect --keep localhost 1", "--keep"),
        ("listen", "PORT"),
        ("listen 65536", "65536"),
        ("listen http", "http"),
        ("listen :0", ":"),
        ("listen 127.0.0.1", "127.0.0.1"),
        ("listen unix:", "unix:"),
        ("listen 0 --frobnicate", "--frobnicate"),
        ("listen 0 --exec cat --udp", "--exec"),
        ("listen 0 --exec cat --service echo", "--service"),
        ("listen 0 --exec cat --broadcast", "--broadcast"),
        ("listen 0 --service echo --broadcast", "--service"),
        ("listen 0 --service quote", "quote"),
        ("listen 0 --broadcast --udp", "--broadcast"),
        ("listen 0 --tls-self-signed --udp", "--udp"),
        ("listen 0 --tls-cert x", "--tls-key"),
        ("listen 0 --tls-key x", "--tls-cert"),
        ("listen 0 --exec cat --hex", "--hex"),
        ("listen 0 --broadcast --crlf", "--crlf"),
        ("listen 0 --max-connections none", "none"),
        ("listen 0 --max-connections 0", "0"),
        ("listen 0 --insecure", "--insecure"),
        ("listen 0 --udp --timeout 1", "--timeout"),
        ("connect unix:", "unix:"),
    ] {
        let arguments: Vec<&str> = line.split(' ').collect();
        let (code, errors) = fails(&arguments);
        assert_eq!(code, 2, "{line}: {errors}");
        assert!(errors.contains(named), "{line}: {errors}");
        assert!(!errors.contains("listening on"), "{line}: {errors}");
    }
}

#[test]
fn variables_are_as_wrong_as_flags() {
    for (name, value, line) in [
        ("HYTHE_SERVICE", "quote", "listen 0"),
        ("HYTHE_IDLE", "soon", "listen 0"),
        ("HYTHE_MAX_CONNECTIONS", "x", "listen 0"),
        ("HYTHE_TIMEOUT", "soon", "connect localhost 1"),
        ("HYTHE_SOURCE", "nowhere", "connect localhost 1"),
        ("HYTHE_UDP", "perhaps", "connect localhost 1"),
    ] {
        let mut command = hythe();
        command.args(line.split(' ')).env(name, value);
        let ended = Talk::start(&mut command).ends();
        assert_eq!(ended.code, 2, "{name} {ended:?}");
        assert!(ended.errors.contains(value), "{name} {ended:?}");
    }
}

#[test]
fn flags_come_from_variables() {
    for (variables, line, wanted) in [
        (
            &[("HYTHE_SERVICE", "echo")][..],
            "listen 127.0.0.1:0",
            Some("x\n"),
        ),
        (
            &[("HYTHE_EXEC", "cat"), ("HYTHE_KEEP", "1")],
            "listen 127.0.0.1:0",
            Some("x\n"),
        ),
        (&[("HYTHE_BROADCAST", "true")], "listen 127.0.0.1:0", None),
    ] {
        let mut command = hythe();
        command.args(line.split(' '));
        command.envs(variables.iter().copied());
        let listener = Talk::start(&mut command);
        let address = crate::talk::listens(&listener);
        for _ in 0..2 {
            let client = connect(&address, &[]);
            client.say("x\n");
            match wanted {
                // In a chat, whoever has said all goes on hearing.
                None => listener.hears("x\n"),
                Some(wanted) => assert_eq!(client.succeeds(), wanted.as_bytes()),
            }
        }
        listener.stops();
    }
}

/// Kept, so that nobody else gets it; not listening.
fn closed_port() -> (hythe_net::Socket, String) {
    let socket = hythe_net::Socket::new(hythe_net::Domain::INET, hythe_net::Kind::STREAM).unwrap();
    socket.bind(&"127.0.0.1:0".parse().unwrap()).unwrap();
    let address = socket.sock_name().unwrap().to_string();
    (socket, address)
}

#[test]
fn whom_one_cannot_connect_to_is_1_and_named() {
    let (_kept, address) = closed_port();
    let (_, port) = crate::talk::apart(&address).unwrap();
    let (code, errors) = fails(&["connect", "127.0.0.1", port]);
    assert_eq!(code, 1, "{errors}");
    assert!(
        errors.contains(&address) && errors.contains("refused"),
        "{errors}"
    );

    let folder = tempfile::tempdir().unwrap();
    let missing = format!("unix:{}/missing 港", folder.path().display());
    let (code, errors) = fails(&["connect", &missing]);
    assert_eq!(code, 1, "{errors}");
    assert!(errors.contains(&missing), "{errors}");

    // A socket file that nobody listens at any more.
    let path = folder.path().join("left");
    drop(UnixListener::bind(&path).unwrap());
    let left = format!("unix:{}", path.display());
    let (code, errors) = fails(&["connect", &left]);
    assert_eq!(code, 1, "{errors}");
    assert!(
        errors.contains(&left) && errors.contains("refused"),
        "{errors}"
    );

    // RFC 6761: never a machine.
    let (code, errors) = fails(&["connect", "--timeout", "20", "no-such-host.invalid", "80"]);
    assert_eq!(code, 1, "{errors}");
    assert!(errors.contains("no-such-host.invalid"), "{errors}");
}

#[test]
fn where_one_cannot_listen_is_1_and_named() {
    let (_listener, address) = listen(&["127.0.0.1:0"]);
    for arguments in [
        &["listen", &address][..],
        &["listen", &address, "--keep", "--exec", "cat"],
        &["listen", &address, "--service", "echo"],
        &["listen", &address, "--broadcast"],
    ] {
        let (code, errors) = fails(arguments);
        assert_eq!(code, 1, "{arguments:?} {errors}");
        assert!(
            errors.contains(&address) && errors.contains("in use"),
            "{errors}"
        );
    }
    let (_listener, address) = listen(&["127.0.0.1:0", "--udp"]);
    for more in [&[][..], &["--service", "echo"]] {
        let (code, errors) = fails(&[&["listen", "--udp", &address], more].concat());
        assert_eq!(code, 1, "{errors}");
        assert!(errors.contains(&address), "{errors}");
    }
    // Of no machine (RFC 5737).
    let (code, errors) = fails(&["listen", "192.0.2.77:0"]);
    assert_eq!(code, 1, "{errors}");
    assert!(errors.contains("192.0.2.77"), "{errors}");
}

/// Somebody else's file stays, and somebody else's listener too; what a listener
/// left that was killed is in nobody's way.
#[test]
fn a_unix_socket_is_taken_from_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let place = format!("unix:{}", path.display());
    std::fs::write(&path, "content").unwrap();
    let (code, errors) = fails(&["listen", &place]);
    assert_eq!(code, 1, "{errors}");
    assert!(errors.contains(&place), "{errors}");
    assert_eq!(std::fs::read(&path).unwrap(), b"content");
    std::fs::remove_file(&path).unwrap();

    let (listener, _) = listen(&[&place]);
    let (code, errors) = fails(&["listen", &place]);
    assert_eq!(code, 1, "{errors}");
    assert!(errors.contains(&place), "{errors}");
    let client = connect(&place, &[]);
    client.say("still here\n");
    let (heard, _) = part(listener, client);
    assert_eq!(heard, b"still here\n");

    for udp in [&[][..], &["--udp"]] {
        let arguments = [&[&place[..]], udp].concat();
        let (listener, _) = listen(&arguments);
        drop(listener); // killed
        assert!(path.exists());
        let (listener, address) = listen(&arguments);
        assert_eq!(address, place);
        listener.signal("INT");
        listener.ends_by_itself();
    }
}

#[test]
fn a_connection_that_is_lost_is_1_and_said() {
    // Closing with something unread resets.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let client = connect(&address, &[]);
    let (mut peer, _) = listener.accept().unwrap();
    client.say("x".repeat(100_000));
    peer.read_exact(&mut [0]).unwrap();
    drop(peer);
    let ended = client.ends_by_itself();
    assert_eq!(ended.code, 1, "{ended:?}");
    assert!(ended.errors.contains("reset"), "{ended:?}");

    let (listener, address) = listen(&["127.0.0.1:0"]);
    let mut client = common::connect(inet(&address));
    client.write_all(b"hello\n").unwrap();
    listener.hears("hello\n");
    listener.say("x".repeat(100_000));
    client.read_exact(&mut [0]).unwrap();
    drop(client);
    let ended = listener.ends_by_itself();
    assert_eq!(ended.code, 1, "{ended:?}");
    assert!(ended.errors.contains("reset"), "{ended:?}");
    assert_eq!(ended.output, b"hello\n");
}

/// With `--keep` a connection that is lost is one of many.
#[test]
fn with_keep_a_lost_connection_is_only_said() {
    let (listener, address) = listen(&["127.0.0.1:0", "--keep"]);
    let mut client = common::connect(inet(&address));
    client.write_all(b"hello\n").unwrap();
    listener.hears("hello\n");
    listener.say("x".repeat(100_000));
    client.read_exact(&mut [0]).unwrap();
    drop(client);
    let next = connect(&address, &[]);
    next.say("next\n");
    listener.hears("next\n");
    drop(next);
    listener.stops();
}

#[test]
fn interrupted_is_130_and_a_listener_that_keeps_on_stops_in_order() {
    let (listener, address) = listen(&["127.0.0.1:0"]);
    let client = connect(&address, &[]);
    client.say("x");
    listener.hears("x");
    client.signal("INT");
    assert_eq!(client.ends_by_itself().code, 130);
    drop(listener);

    // While it waits, and while somebody is there.
    for connected in [false, true] {
        for (keep, code) in [(&[][..], 130), (&["--keep"], 0)] {
            let (listener, address) = listen(&[&["127.0.0.1:0"], keep].concat());
            let client = connected.then(|| {
                let mut client = common::connect(inet(&address));
                client.write_all(b"x").unwrap();
                listener.hears("x");
                client
            });
            listener.signal("INT");
            let ended = listener.ends_by_itself();
            assert_eq!(ended.code, code, "{connected} {keep:?} {ended:?}");
            drop(client);
        }
    }
}

/// While it looks for a machine that does not answer.
#[test]
fn nothing_is_said_with_quiet_but_errors() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let place = format!("unix:{}", path.display());
    let listener = Talk::start(hythe().args(["listen", "--quiet", &place]));
    let mut client = None;
    common::eventually("it accepts", || {
        client = std::os::unix::net::UnixStream::connect(&path).ok();
        client.is_some()
    });
    client.unwrap().write_all(b"hello\n").unwrap();
    let ended = listener.ends();
    assert_eq!(ended.code, 0, "{ended:?}");
    assert_eq!(
        (&ended.output[..], &ended.errors[..]),
        (&b"hello\n"[..], "")
    );

    let (_kept, address) = closed_port();
    let ended = connect(&address, &["--quiet"]).ends();
    assert_eq!(ended.code, 1);
    assert!(ended.errors.contains("refused"), "{ended:?}");
}
