//! `--hex` and `--crlf`: what is shown, and what is sent.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};

use crate::common::{PATIENCE, content, tool};
use crate::peers::Program;
use crate::talk::{Talk, connect, connecting, listen, part};

/// A `connect` and the test as its peer.
fn with_peer(arguments: &[&str]) -> (Talk, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let client = connect(&address, arguments);
    let (peer, _) = listener.accept().unwrap();
    peer.set_read_timeout(Some(PATIENCE)).unwrap();
    (client, peer)
}

#[track_caller]
fn receives(peer: &mut TcpStream, wanted: &[u8]) {
    let mut bytes = vec![0; wanted.len()];
    peer.read_exact(&mut bytes).unwrap();
    let (got, wanted) = (
        String::from_utf8_lossy(&bytes),
        String::from_utf8_lossy(wanted),
    );
    assert_eq!(got, wanted);
}

/// The bytes that a dump says to have gone in this direction, whose offsets must
/// be right.
fn undump(dump: &str, direction: char) -> Vec<u8> {
    let mut bytes = Vec::new();
    for line in dump.lines() {
        assert!(line.starts_with("< ") || line.starts_with("> "), "{line:?}");
        if !line.starts_with(direction) {
            continue;
        }
        let (offset, rest) = line[2..].split_once("  ").unwrap();
        assert_eq!(offset, format!("{:08x}", bytes.len()), "{line:?}");
        let (hex, text) = rest.split_once('|').unwrap();
        let text = text.strip_suffix('|').unwrap();
        let found: Vec<u8> = hex
            .split_whitespace()
            .map(|pair| u8::from_str_radix(pair, 16).unwrap())
            .collect();
        assert!((1..=16).contains(&found.len()), "{line:?}");
        let shown: String = found
            .iter()
            .map(|byte| match byte {
                b' '..=b'~' => char::from(*byte),
                _ => '.',
            })
            .collect();
        assert_eq!(text, shown, "{line:?}");
        bytes.extend(found);
    }
    bytes
}

#[test]
fn hex_shows_both_directions_with_offsets_of_their_own() {
    let (mut client, mut peer) = with_peer(&["--hex"]);
    peer.write_all(b"hello\n").unwrap();
    client.hears("|hello.|\n");
    client.say("hi\n");
    receives(&mut peer, b"hi\n");
    client.hears("|hi.|\n");
    peer.write_all("\0é\x1b[31m\u{202e} the second".as_bytes())
        .unwrap();
    client.hears("second");
    client.say("more");
    client.hears("|more|\n");
    client.end_input();
    peer.shutdown(Shutdown::Write).unwrap();
    let dump = String::from_utf8(client.succeeds()).unwrap();
    assert!(dump.starts_with("< 00000000  68 65 6c 6c 6f 0a "), "{dump}");
    assert!(dump.contains("\n> 00000000  68 69 0a "), "{dump}");
    assert!(dump.contains("\n< 00000006  00 c3 a9 1b "), "{dump}");
    assert!(dump.contains("\n> 00000003  6d 6f 72 65 "), "{dump}");
    // Nothing else: not the bytes themselves, which could move a cursor.
    assert!(dump.bytes().all(|byte| matches!(byte, b' '..=b'~' | b'\n')));
    assert_eq!(undump(&dump, '>'), b"hi\nmore");
    let came = "hello\n\0é\x1b[31m\u{202e} the second";
    assert_eq!(undump(&dump, '<'), came.as_bytes());
    receives(&mut peer, b"more");
    assert_eq!(peer.read(&mut [0]).unwrap(), 0);
}

#[test]
fn hex_of_much_is_all_of_it() {
    let (up, down) = (content(100_003), content(200_007));
    let (mut listener, address) = listen(&["127.0.0.1:0", "--hex"]);
    let client = connect(&address, &["--hex"]);
    client.say(&up);
    listener.say(&down);
    listener.end_input();
    let at_client = String::from_utf8(client.succeeds()).unwrap();
    let at_listener = String::from_utf8(listener.succeeds()).unwrap();
    assert!(undump(&at_client, '>') == up && undump(&at_client, '<') == down);
    assert!(undump(&at_listener, '>') == down && undump(&at_listener, '<') == up);
}

#[test]
fn hex_of_datagrams() {
    let (listener, address) = listen(&["127.0.0.1:0", "--udp", "--hex"]);
    let client = Talk::start(&mut Program::Nc.datagram_client(&address));
    client.say("ping\n");
    listener.hears("|ping.|\n");
    listener.say("pong\n");
    client.hears("pong\n");
    listener.hears("|pong.|\n");
    let dump = String::from_utf8(listener.heard()).unwrap();
    assert_eq!(undump(&dump, '<'), b"ping\n");
    assert_eq!(undump(&dump, '>'), b"pong\n");
}

#[test]
fn crlf_ends_lines_as_protocols_want_them() {
    let (client, mut peer) = with_peer(&["--crlf"]);
    client.say("one\ntwo\r\n\nünd\rthree");
    receives(&mut peer, "one\r\ntwo\r\n\r\nünd\rthree".as_bytes());
    // What comes is not touched.
    peer.write_all(b"a\nb\r\n").unwrap();
    client.hears("a\nb\r\n");
    // A line end of which one half came before the other is not doubled.
    client.say("\r");
    receives(&mut peer, b"\r");
    client.say("\nlast\n");
    receives(&mut peer, b"\nlast\r\n");
    peer.shutdown(Shutdown::Write).unwrap();
    assert_eq!(client.succeeds(), b"a\nb\r\n");
    assert_eq!(peer.read(&mut [0]).unwrap(), 0);
}

/// As nc and socat do it.
#[test]
fn crlf_is_what_others_send() {
    let text = "EHLO me\n\nQUIT\n";
    let mut all = Vec::new();
    for client in ["hythe", "nc", "ncat", "socat"] {
        let (listener, address) = listen(&["127.0.0.1:0"]);
        let mut command = match client {
            "hythe" => connecting(&address, &["--crlf"]),
            "socat" => {
                let mut command = tool("socat");
                command
                    .args(["-t60", "STDIO"])
                    .arg(format!("TCP:{address},crlf"));
                command
            }
            name => {
                let (program, option) = match name {
                    "nc" => (Program::Nc, "-C"),
                    _ => (Program::Ncat, "--crlf"),
                };
                let plain = program.client(&address);
                let mut command = tool(name);
                command.arg(option).args(plain.get_args());
                command
            }
        };
        let client = Talk::start(&mut command);
        client.say(text);
        let (heard, _) = part(listener, client);
        all.push(String::from_utf8(heard).unwrap());
    }
    assert!(
        all.iter().all(|one| *one == text.replace('\n', "\r\n")),
        "{all:?}"
    );
}

#[test]
fn crlf_and_hex_work_for_the_listener_and_by_variable() {
    let mut command = crate::common::hythe();
    command
        .args(["listen", "127.0.0.1:0"])
        .env("HYTHE_CRLF", "1")
        .env("HYTHE_HEX", "true");
    let listener = Talk::start(&mut command);
    let address = crate::talk::listens(&listener);
    let client = Talk::start(&mut Program::Nc.client(&address));
    listener.say("line\n");
    client.hears("line\r\n");
    listener.hears("> 00000000  6c 69 6e 65 0d 0a ");
    part(client, listener);
}
