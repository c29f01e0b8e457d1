//! How programs are ended, and what their peers see of it; and sockets that others
//! have by now.

use std::fs;
use std::io::{ErrorKind, Read};
use std::net::TcpListener;
use std::time::Duration;

use crate::common::{self, eventually, hythe};
use crate::talk::{Talk, connect, inet, line_with, listen, listens};

/// Says on standard error that it was asked to end.
const ASKED: &str = "trap 'echo asked >&2; exit 0' TERM; echo ready; sleep 100 & wait";

#[test]
fn a_program_is_asked_to_end_before_it_is_made_to() {
    // By itself, as one of many, and with us in between.
    for arguments in [
        &[][..],
        &["--keep"],
        &["--idle", "100"],
        &["--keep", "--idle", "100"],
    ] {
        let (listener, address) = listen(&[arguments, &["127.0.0.1:0", "--exec", ASKED]].concat());
        let client = connect(&address, &[]);
        client.hears("ready");
        listener.signal("INT");
        let ended = listener.ends_by_itself();
        let code = if arguments.contains(&"--keep") {
            0
        } else {
            130
        };
        assert_eq!(ended.code, code, "{arguments:?}: {ended:?}");
        assert!(ended.errors.contains("asked"), "{arguments:?}: {ended:?}");
    }
}

/// Whoever gets a part must not take it for all.
#[test]
fn an_answer_that_was_cut_does_not_look_whole() {
    let program = "printf part; sleep 100; printf rest";
    let (listener, address) = listen(&["127.0.0.1:0", "--keep", "--idle", "1", "--exec", program]);
    let mut client = common::connect(inet(&address));
    let mut bytes = Vec::new();
    let error = client.read_to_end(&mut bytes).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    assert_eq!(bytes, b"part");
    eventually("the program is ended", || listener.children().is_empty());
    listener.stops();
}

/// One that ignores it, too, and its peer does not wait for that.
#[test]
fn a_program_that_does_not_end_is_made_to() {
    let program = "trap '' TERM; echo ready; sleep 100";
    let (listener, address) = listen(&["127.0.0.1:0", "--keep", "--idle", "1", "--exec", program]);
    let mut client = common::connect(inet(&address));
    client.read_to_end(&mut Vec::new()).unwrap_err();
    assert!(!listener.children().is_empty(), "it was not asked first");
    eventually("it is ended", || listener.children().is_empty());
    listener.stops();
}

/// What the kernel has taken is not what the peer has.
#[test]
fn a_slow_reader_is_not_idle() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let client = connect(&address, &["--idle", "2"]);
    let (mut peer, _) = listener.accept().unwrap();
    let sent = common::content(6 << 20);
    client.say(&sent);
    let mut received = Vec::new();
    let mut piece = vec![0; 256 * 1024];
    // Twice as long as it may be idle, in steps that are not.
    while received.len() < 5 << 20 {
        let count = peer.read(&mut piece).unwrap();
        received.extend_from_slice(&piece[..count]);
        std::thread::sleep(Duration::from_millis(200) * count as u32 / piece.len() as u32);
    }
    drop(std::thread::spawn(move || client.ends()));
    peer.read_to_end(&mut received).unwrap();
    assert!(received == sent);
}

/// The name may be another server's by the time that one ends.
#[test]
fn a_socket_file_of_another_server_stays() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("插座");
    let name = format!("unix:{}", path.display());
    let start = || Talk::start(hythe().args(["listen", "--keep", &name]));
    let first = start();
    listens(&first);
    fs::remove_file(&path).unwrap();
    let second = start();
    listens(&second);
    first.stops();
    let client = connect(&name, &[]);
    client.say("hello\n");
    second.hears("hello");
    client.succeeds();
    second.stops();
    assert!(!path.exists());
}

#[test]
fn a_program_that_fails_is_said() {
    let (listener, address) = listen(&["127.0.0.1:0", "--exec", "exit 3"]);
    connect(&address, &[]).succeeds();
    let ended = listener.ends_by_itself();
    assert_eq!(ended.code, 1, "{ended:?}");
    assert!(ended.errors.contains("exit status: 3"), "{ended:?}");
}

/// What we were told in our environment, and took of the system, is not for
/// programs that strangers talk with.
#[test]
fn programs_get_neither_our_variables_nor_our_limits() {
    let mut command = hythe();
    let program = "env; ulimit -Sn";
    command.args(["listen", "127.0.0.1:0", "--exec", program]);
    command.env("HYTHE_PASSWORD", "secret");
    let listener = Talk::start(&mut command);
    let address = listens(&listener);
    let said = connect(&address, &[]).succeeds();
    let said = String::from_utf8(said).unwrap();
    assert!(!said.contains("HYTHE_"), "{said}");
    let limit: u64 = said.lines().last().unwrap().parse().unwrap();
    let ours = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    assert_eq!(Some(limit), ours.current);
    assert!(line_with(&listener, "listening").is_some());
    assert_eq!(listener.ends_by_itself().code, 0);
}
