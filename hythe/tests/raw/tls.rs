//! TLS with ncat, openssl and socat; whom to trust; and what is cut off.

use std::io::Write;
use std::net::TcpListener;
use std::process::Command;

use crate::common::{self, content, hythe, tool};
use crate::peers::{Program, Trust, socat_server};
use crate::talk::{Talk, apart, connect, inet, line_with, listen, part};

const QUESTION: &str = "vertraulich: 机密\n";
const ANSWER: &str = "ebenso\n";
const REST: &str = "and the rest\n";

/// A listener of ours, with a certificate for `localhost`, and its port.
fn secure(trust: &Trust, arguments: &[&str]) -> (Talk, String) {
    let (certificate, key) = (trust.certificate(), trust.key());
    let tls = ["--tls-cert", &certificate, "--tls-key", &key, "127.0.0.1:0"];
    let (listener, address) = listen(&[&tls, arguments].concat());
    let (_, port) = apart(&address).unwrap();
    let port = port.to_owned();
    (listener, port)
}

/// `hythe connect` to a port of localhost, which trusts the test's authority.
fn trusting(trust: &Trust, port: &str) -> Talk {
    let authority = trust.authority();
    connect(
        &format!("localhost:{port}"),
        &["--tls", "--cacert", &authority],
    )
}

/// Clients that make sure of who is there.
fn clients(trust: &Trust, port: &str) -> Vec<Command> {
    let authority = trust.authority();
    let mut ncat = tool("ncat");
    ncat.args(["--ssl-verify", "--ssl-trustfile", &authority])
        .args(["localhost", port]);
    let mut openssl = tool("openssl");
    openssl
        .args(["s_client", "-quiet", "-no_ign_eof", "-verify_return_error"])
        .args(["-verify_hostname", "localhost", "-CAfile", &authority])
        .args(["-connect", &format!("localhost:{port}")]);
    let mut socat = tool("socat");
    socat.args(["-t60", "-"]).arg(format!(
        "OPENSSL:localhost:{port},pf=ip4,cafile={authority}"
    ));
    let mut hythe = hythe();
    hythe
        .args(["connect", "--tls", "--cacert", &authority])
        .args(["localhost", port]);
    vec![ncat, openssl, socat, hythe]
}

#[test]
fn clients_of_any_kind_talk_over_tls() {
    let trust = Trust::new();
    for number in 0..4 {
        let (listener, port) = secure(&trust, &[]);
        let mut command = clients(&trust, &port).swap_remove(number);
        println!("{command:?}");
        let client = Talk::start(&mut command);
        client.say(QUESTION);
        listener.hears(QUESTION);
        listener.say(ANSWER);
        client.hears(ANSWER);
        let mut listener = listener;
        listener.end_input();
        assert_eq!(client.succeeds(), ANSWER.as_bytes());
        let ended = listener.ends();
        assert_eq!(ended.output, QUESTION.as_bytes());
        // ncat (7.93) leaves without an end of TLS: whoever heard it can't know
        // whether that was all, and says so.
        let cut = number == 0 && ended.code == 1 && ended.errors.contains("missing");
        assert!(ended.code == 0 || cut, "{ended:?}");
    }
}

/// Servers with the test's certificate, and their ports.
fn servers(trust: &Trust) -> Vec<(&'static str, Talk, String)> {
    let (certificate, key) = (trust.certificate(), trust.key());
    let ncat = {
        let mut started = None;
        common::eventually("a port is free", || {
            let free = TcpListener::bind("127.0.0.1:0").unwrap();
            let port = free.local_addr().unwrap().port().to_string();
            drop(free);
            let mut command = tool("ncat");
            command
                .args(["-v", "-l", "--ssl", "--ssl-cert", &certificate])
                .args(["--ssl-key", &key, "127.0.0.1", &port]);
            let mut talk = Talk::start(&mut command);
            common::eventually("it accepts, or has ended", || {
                talk.complaints().contains("Listening on") || !talk.runs()
            });
            if talk.runs() {
                started = Some((talk, port));
            }
            started.is_some()
        });
        started.unwrap()
    };
    let openssl = openssl_server(trust);
    let listen = format!("OPENSSL-LISTEN:0,bind=127.0.0.1,cert={certificate},key={key},verify=0");
    let (socat, address) = socat_server(listen);
    let socat = (socat, apart(&address).unwrap().1.to_owned());
    let hythe = secure(trust, &[]);
    let named = [
        ("ncat", ncat),
        ("openssl", openssl),
        ("socat", socat),
        ("hythe", hythe),
    ];
    named
        .into_iter()
        .map(|(name, (talk, port))| (name, talk, port))
        .collect()
}

fn openssl_server(trust: &Trust) -> (Talk, String) {
    let (certificate, key) = (trust.certificate(), trust.key());
    let mut command = tool("openssl");
    command
        .args(["s_server", "-accept", "127.0.0.1:0", "-naccept", "1"])
        .args(["-cert", &certificate, "-key", &key]);
    let talk = Talk::start(&mut command);
    talk.hears("ACCEPT 127.0.0.1:");
    talk.hears("\n");
    let said = String::from_utf8(talk.heard()).unwrap();
    let line = said.lines().find(|line| line.starts_with("ACCEPT"));
    let port = line.unwrap().rsplit(':').next().unwrap().to_owned();
    (talk, port)
}

#[test]
fn servers_of_any_kind_talk_over_tls() {
    let trust = Trust::new();
    for (name, mut server, port) in servers(&trust) {
        println!("{name}");
        let client = trusting(&trust, &port);
        client.say(QUESTION);
        server.hears(QUESTION);
        server.say(ANSWER);
        client.hears(ANSWER);
        // The others leave when they hear the end.
        if matches!(name, "hythe" | "socat") {
            server.end_input();
        }
        assert_eq!(client.succeeds(), ANSWER.as_bytes(), "{name}");
    }
}

/// The end of TLS is that of one direction only.
#[test]
fn either_end_may_go_first_over_tls() {
    let trust = Trust::new();
    for ours_first in [true, false] {
        for peer in ["hythe", "socat"] {
            println!("{ours_first} {peer}");
            let (mut listener, port) = secure(&trust, &[]);
            let mut client = match peer {
                "hythe" => trusting(&trust, &port),
                _ => Talk::start(&mut clients(&trust, &port)[2]),
            };
            client.say(QUESTION);
            listener.hears(QUESTION);
            if ours_first {
                listener.say(ANSWER);
                listener.end_input();
                client.hears(ANSWER);
            } else {
                client.end_input();
            }
            let (one, other) = if ours_first {
                (&client, &listener)
            } else {
                (&listener, &client)
            };
            one.say(REST);
            other.hears(REST);
            part(client, listener);
        }
    }
}

#[test]
fn every_byte_arrives_both_ways_at_once_over_tls() {
    let trust = Trust::new();
    let (up, down) = (content(8 << 20), content((8 << 20) + 1));
    let (mut listener, port) = secure(&trust, &[]);
    let client = trusting(&trust, &port);
    client.say(&up);
    listener.say(&down);
    listener.end_input();
    assert!(client.succeeds() == down);
    assert!(listener.succeeds() == up);
}

#[test]
fn who_is_not_trusted_is_not_talked_to() {
    let trust = Trust::new();
    let (mut listener, port) = secure(&trust, &["--keep"]);
    let authority = trust.authority();
    for (host, arguments) in [
        // By the system, by a stranger's authority, and by another name.
        ("localhost", &["--tls"][..]),
        (
            "localhost",
            &["--tls", "--cacert", &Trust::new().authority()],
        ),
        ("127.0.0.1", &["--tls", "--cacert", &authority]),
    ] {
        let client = connect(&format!("{host}:{port}"), arguments);
        client.say("secret\n");
        let ended = client.ends();
        assert_eq!(ended.code, 1, "{arguments:?} {ended:?}");
        assert!(ended.errors.contains("certificate"), "{ended:?}");
        assert!(ended.errors.contains(host), "{ended:?}");
    }
    let client = connect(&format!("127.0.0.1:{port}"), &["--tls", "--insecure"]);
    client.say("for anybody\n");
    listener.hears("for anybody\n");
    listener.end_input();
    client.succeeds();
    assert_eq!(listener.stops().output, b"for anybody\n");
}

#[test]
fn a_certificate_of_its_own_is_trusted_where_it_is_known() {
    let home = tempfile::tempdir().unwrap();
    let mut command = hythe();
    command
        .args(["listen", "--tls-self-signed", "127.0.0.1:0"])
        .env("HOME", home.path())
        .env_remove("XDG_STATE_HOME")
        .current_dir(home.path());
    let listener = Talk::start(&mut command);
    let address = crate::talk::listens(&listener);
    let client = connect(&address, &["--tls", "--insecure"]);
    client.say(QUESTION);
    listener.hears(QUESTION);
    part(client, listener);
}

/// A cut is no end: what came is written, and it is said that more may be
/// missing.
#[test]
fn what_is_cut_off_is_no_end() {
    let trust = Trust::new();
    let (server, port) = openssl_server(&trust);
    let client = trusting(&trust, &port);
    client.say(QUESTION);
    server.hears(QUESTION);
    server.say("the beginning of\n");
    client.hears("the beginning of\n");
    drop(server); // killed
    let ended = client.ends_by_itself();
    assert_eq!(ended.code, 1, "{ended:?}");
    assert_eq!(ended.output, b"the beginning of\n");
    assert!(ended.errors.contains("missing"), "{ended:?}");

    let (listener, port) = secure(&trust, &[]);
    let client = trusting(&trust, &port);
    client.say("the beginning of\n");
    listener.hears("the beginning of\n");
    drop(client); // killed
    let ended = listener.ends_by_itself();
    assert_eq!(ended.code, 1, "{ended:?}");
    assert_eq!(ended.output, b"the beginning of\n");
    // A reset, if the client had not yet read everything.
    let told = ["missing", "the connection was lost"];
    assert!(
        told.iter().any(|told| ended.errors.contains(told)),
        "{ended:?}"
    );
}

#[test]
fn a_peer_without_tls_is_told_from_one_with() {
    let trust = Trust::new();
    let plain = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = trusting(&trust, &plain.local_addr().unwrap().port().to_string());
    let (mut peer, _) = plain.accept().unwrap();
    peer.write_all(b"220 no TLS is spoken here\r\n").unwrap();
    let ended = client.ends_by_itself();
    assert_eq!((ended.code, &ended.output[..]), (1, &b""[..]), "{ended:?}");
    assert!(ended.errors.contains("TLS"), "{ended:?}");
}

/// One who speaks in the clear, or says nothing and leaves, is not the one that is
/// waited for, with `--keep` or without.
#[test]
fn a_failed_handshake_is_only_said() {
    let trust = Trust::new();
    for arguments in [&["--keep"][..], &[]] {
        let (mut listener, port) = secure(&trust, arguments);
        let address = format!("127.0.0.1:{port}");
        drop(common::connect(inet(&address)));
        let mut plain = Talk::start(&mut Program::Nc.client(&address));
        plain.say("GET / HTTP/1.0\r\n\r\n");
        listener.complains("no TLS");
        plain.end_input();
        let client = trusting(&trust, &port);
        client.say(QUESTION);
        listener.hears(QUESTION);
        listener.say(ANSWER);
        client.hears(ANSWER);
        listener.end_input();
        client.succeeds();
        let ended = match arguments {
            [] => listener.ends_by_itself(),
            _ => listener.stops(),
        };
        assert_eq!(ended.output, QUESTION.as_bytes(), "{arguments:?}");
    }
}

#[test]
fn certificates_that_are_not_there_stop_the_start() {
    let trust = Trust::new();
    let (certificate, key) = (trust.certificate(), trust.key());
    for (arguments, named) in [
        (
            ["--tls-cert", "/nowhere.pem", "--tls-key", &key],
            "/nowhere.pem",
        ),
        (
            ["--tls-cert", &certificate, "--tls-key", "/nowhere"],
            "/nowhere",
        ),
        // Of two different ones.
        (
            ["--tls-cert", &certificate, "--tls-key", &Trust::new().key()],
            "key",
        ),
    ] {
        let listener = Talk::start(hythe().arg("listen").args(arguments).arg("127.0.0.1:0"));
        let ended = listener.ends();
        assert!(!matches!(ended.code, 0 | 130), "{ended:?}");
        assert!(ended.errors.contains(named), "{ended:?}");
        assert!(!ended.errors.contains("listening on"), "{ended:?}");
    }
    let (_listener, port) = secure(&trust, &[]);
    let client = connect(
        &format!("localhost:{port}"),
        &["--tls", "--cacert", "/nowhere.pem"],
    );
    let ended = client.ends();
    assert_eq!(ended.code, 1, "{ended:?}");
    assert!(ended.errors.contains("/nowhere.pem"), "{ended:?}");
}

#[test]
fn a_program_is_run_over_tls() {
    let trust = Trust::new();
    let (listener, port) = secure(&trust, &["--keep", "--exec", "echo $PROTO; cat"]);
    for mut client in clients(&trust, &port) {
        println!("{client:?}");
        let client = Talk::start(&mut client);
        client.hears("TLS\n");
        client.say(QUESTION);
        client.hears(QUESTION);
        client.ends();
    }
    // Many at once, and more than buffers hold.
    let bytes = content(1 << 20);
    let many: Vec<_> = (0..20).map(|_| trusting(&trust, &port)).collect();
    for client in &many {
        client.say(&bytes);
    }
    for client in many {
        assert!(client.succeeds() == [b"TLS\n", &bytes[..]].concat());
    }
    common::eventually("no process is left", || listener.children().is_empty());
    assert!(line_with(&listener, "panic").is_none());
    listener.stops();
}

#[test]
fn a_chat_over_tls() {
    let trust = Trust::new();
    let (listener, port) = secure(&trust, &["--broadcast"]);
    let one = Talk::start(&mut clients(&trust, &port)[0]);
    let other = trusting(&trust, &port);
    one.say("ready?\n");
    listener.hears("ready?\n");
    other.say("hello, ncat\n");
    one.hears("hello, ncat\n");
    listener.stops();
}
