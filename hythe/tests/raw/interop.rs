//! Streams: what one end says, the other hears, and either may end first.

use std::net::ToSocketAddrs;
use std::process::{self, Command};

use crate::common::{content, eventually, tool};
use crate::peers::{PROGRAMS, Program, ROADS, Road, half_closed, socat_server};
use crate::talk::{Talk, apart, connect, listen, part};

const GREETING: &str = "grüß dich, 朋友 — \u{1f6a2}\n";
const ANSWER: &str = "und zurück: приве́т\r\n";
const REST: &str = "was noch zu sagen war, ohne Zeilenende";

/// Both say something that the other hears.
#[track_caller]
fn greet(one: &Talk, other: &Talk) {
    one.say(GREETING);
    other.hears(GREETING);
    other.say(ANSWER);
    one.hears(ANSWER);
}

/// `one` ends its input; `other` has heard that and still says its rest.
fn ends_first(one: &mut Talk, other: &mut Talk, address: &str) {
    one.end_input();
    if let Some((_, port)) = apart(address) {
        eventually("the end is heard", || half_closed(port));
    }
    assert!(one.runs() && other.runs());
    other.say(REST);
    one.hears(REST);
    other.end_input();
}

#[test]
fn a_client_of_any_kind_says_its_end_and_hears_the_rest() {
    let folder = tempfile::tempdir().unwrap();
    for road in ROADS {
        for program in PROGRAMS {
            println!("{road:?} {program:?}");
            let (mut listener, address) = listen(&[&road.place(folder.path())]);
            let mut client = Talk::start(&mut program.client(&address));
            greet(&client, &listener);
            ends_first(&mut client, &mut listener, &address);
            assert_eq!(client.succeeds(), [ANSWER, REST].concat().as_bytes());
            assert_eq!(listener.succeeds(), GREETING.as_bytes());
        }
    }
}

#[test]
fn the_listener_says_its_end_and_hears_the_rest_of_a_client_of_any_kind() {
    let folder = tempfile::tempdir().unwrap();
    for road in ROADS {
        for program in PROGRAMS {
            println!("{road:?} {program:?}");
            let (mut listener, address) = listen(&[&road.place(folder.path())]);
            let mut client = Talk::start(&mut program.client(&address));
            greet(&client, &listener);
            ends_first(&mut listener, &mut client, &address);
            assert_eq!(client.succeeds(), ANSWER.as_bytes());
            assert_eq!(listener.succeeds(), [GREETING, REST].concat().as_bytes());
        }
    }
}

#[test]
fn a_server_of_any_kind_says_its_end_and_hears_the_rest() {
    let folder = tempfile::tempdir().unwrap();
    for road in ROADS {
        for program in PROGRAMS {
            println!("{road:?} {program:?}");
            std::fs::remove_file(folder.path().join("socket")).ok();
            let (mut server, address) = program.server(road, folder.path());
            let mut client = connect(&address, &[]);
            greet(&client, &server);
            ends_first(&mut server, &mut client, &address);
            assert_eq!(client.succeeds(), ANSWER.as_bytes());
            assert_eq!(server.succeeds(), [GREETING, REST].concat().as_bytes());
        }
    }
}

/// nc and ncat leave when their client has said its end; the others go on.
#[test]
fn connect_says_its_end_and_hears_what_a_server_of_any_kind_still_says() {
    let folder = tempfile::tempdir().unwrap();
    for road in ROADS {
        for program in PROGRAMS {
            println!("{road:?} {program:?}");
            std::fs::remove_file(folder.path().join("socket")).ok();
            let (mut server, address) = program.server(road, folder.path());
            let mut client = connect(&address, &[]);
            greet(&client, &server);
            if matches!(program, Program::Nc | Program::Ncat) {
                client.end_input();
                let ended = server.ends_by_itself();
                assert_eq!((ended.code, ended.output), (0, GREETING.into()));
                assert_eq!(client.succeeds(), ANSWER.as_bytes());
                continue;
            }
            ends_first(&mut client, &mut server, &address);
            assert_eq!(client.succeeds(), [ANSWER, REST].concat().as_bytes());
            assert_eq!(server.succeeds(), GREETING.as_bytes());
        }
    }
}

/// More than all buffers hold, both ways at the same time.
#[test]
fn every_byte_arrives_both_ways_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let (up, down) = (content(16 << 20), content((16 << 20) + 1));
    for road in [Road::Ipv4, Road::Unix] {
        for program in PROGRAMS {
            let (listener, address) = listen(&[&road.place(folder.path())]);
            let client = Talk::start(&mut program.client(&address));
            passes_both_ways(client, listener, &up, &down);
            std::fs::remove_file(folder.path().join("socket")).ok();
            let (server, address) = program.server(road, folder.path());
            passes_both_ways(connect(&address, &[]), server, &up, &down);
            std::fs::remove_file(folder.path().join("socket")).ok();
        }
    }
}

#[track_caller]
fn passes_both_ways(mut client: Talk, mut server: Talk, up: &[u8], down: &[u8]) {
    client.say(up);
    server.say(down);
    // Some servers leave when the client's direction ends: theirs goes first.
    server.end_input();
    eventually("all went down", || client.heard().len() >= down.len());
    client.end_input();
    assert!(client.succeeds() == down && server.succeeds() == up);
}

#[test]
fn without_a_host_it_listens_on_all_addresses() {
    let (mut listener, address) = listen(&["0", "--keep"]);
    listener.end_input();
    let port = address.strip_prefix("[::]:").unwrap();
    for (host, program) in [
        ("127.0.0.1", Program::Nc),
        ("[::1]", Program::Nc),
        ("127.0.0.2", Program::Socat),
        ("[::1]", Program::Ncat),
        ("localhost", Program::Hythe),
    ] {
        let client = Talk::start(&mut program.client(&format!("{host}:{port}")));
        client.say(format!("by {host}, {program:?}\n"));
        client.succeeds();
    }
    listener.hears("by localhost, Hythe\n");
    let heard = listener.stops().output;
    let wanted = "by 127.0.0.1, Nc\nby [::1], Nc\nby 127.0.0.2, Socat\nby [::1], Ncat\n\
        by localhost, Hythe\n";
    assert_eq!(String::from_utf8(heard).unwrap(), wanted);
}

#[test]
fn names_are_resolved_and_the_address_that_answers_is_taken() {
    // At each of the addresses that `localhost` has here: one or two.
    for found in ("localhost", 0).to_socket_addrs().unwrap() {
        let (listener, address) = listen(&[&found.to_string()]);
        let (_, port) = apart(&address).unwrap();
        let client = connect(&format!("localhost:{port}"), &[]);
        greet(&client, &listener);
        part(client, listener);
    }
}

#[test]
fn abstract_unix_sockets() {
    let name = format!("hythe-raw-{}-hafen", process::id());
    let address = format!("unix:@{name}");
    let (listener, said) = listen(&[&address]);
    assert_eq!(said, address);
    let client = Talk::start(
        tool("socat")
            .args(["-t60", "-"])
            .arg(format!("ABSTRACT-CONNECT:{name}")),
    );
    greet(&client, &listener);
    part(client, listener);

    let server = Talk::start(
        tool("socat")
            .args(["-d", "-d", "-t60", "-"])
            .arg(format!("ABSTRACT-LISTEN:{name}")),
    );
    server.complains("listening on");
    let client = connect(&address, &[]);
    greet(&client, &server);
    part(client, server);
}

#[test]
fn a_unix_socket_is_gone_with_its_listener() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("hafen 港");
    let place = format!("unix:{}", path.display());
    for arguments in [&[&place[..]][..], &[&place, "--udp"]] {
        let (listener, address) = listen(arguments);
        assert_eq!(address, place);
        assert!(path.exists());
        listener.signal("INT");
        assert_eq!(listener.ends_by_itself().code, 130);
        assert!(!path.exists());
    }
    let (listener, _) = listen(&[&place, "--keep"]);
    assert!(path.exists());
    listener.stops();
    assert!(!path.exists());
}

/// Standard input and output have one conversation at a time.
#[test]
fn with_keep_one_after_another_is_served() {
    for program in PROGRAMS {
        let (mut listener, address) = listen(&["127.0.0.1:0", "--keep"]);
        let first = Talk::start(&mut program.client(&address));
        first.say("first\n");
        listener.hears("first\n");
        let second = Talk::start(&mut program.client(&address));
        second.say("second\n");
        listener.say("to the first\n");
        first.hears("to the first\n");
        assert!(!listener.heard().ends_with(b"second\n"));
        assert!(listener.runs());
        listener.end_input();
        first.succeeds();
        listener.hears("second\n");
        // There is no input any more: the end is all that it is told.
        assert_eq!(second.succeeds(), b"");
        let ended = listener.stops();
        assert_eq!(ended.output, b"first\nsecond\n");
    }
}

/// What was connected to before is gone: the second is told at once.
#[test]
fn without_keep_it_serves_one() {
    let (listener, address) = listen(&["127.0.0.1:0"]);
    let first = Talk::start(&mut Program::Nc.client(&address));
    first.say("first\n");
    listener.hears("first\n");
    let second = connect(&address, &[]).ends();
    assert_eq!(second.code, 1, "{second:?}");
    let (heard, _) = part(listener, first);
    assert_eq!(heard, b"first\n");
}

/// It is a terminal's way to talk; nothing is sent of its negotiation.
#[test]
fn telnet_is_heard_and_answered() {
    let (listener, address) = listen(&["127.0.0.1:0"]);
    let (host, port) = apart(&address).unwrap();
    let client = Talk::start(tool("telnet").args([host, port]));
    client.say("hello from telnet\n");
    listener.hears("hello from telnet");
    listener.say("hello telnet\n");
    client.hears("hello telnet\n");
    listener.succeeds();
    client.ends();
}

/// As one program among others in a shell.
#[test]
fn pipelines_of_a_shell_end_by_themselves() {
    let (server, address) = socat_server("TCP4-LISTEN:0,bind=127.0.0.1".into());
    let (host, port) = apart(&address).unwrap();
    let line = "printf 'three\\nlines\\nhere\\n' | \"$0\" connect \"$1\" \"$2\" | wc -l";
    let shell = Talk::start(
        Command::new("sh")
            .args(["-c", line, env!("CARGO_BIN_EXE_hythe"), host, port])
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap()),
    );
    server.hears("three\nlines\nhere\n");
    server.say("a\nb\n");
    server.succeeds();
    assert_eq!(String::from_utf8(shell.succeeds()).unwrap().trim(), "2");
}
