//! Datagrams: with whom, how they are told apart, and when it ends.

use std::io::ErrorKind;
use std::net::UdpSocket;
use std::os::unix::net::UnixDatagram;
use std::process::Stdio;

use crate::common::{PATIENCE, content, hythe};
use crate::peers::{PROGRAMS, Program, Road};
use crate::talk::{Talk, connect, connecting, inet, listen};

const QUESTION: &str = "wer da? 谁\n";
const ANSWER: &str = "ich, im Hafen\n";

/// A socket of the test, which does not wait for ever.
fn socket(address: &str) -> UdpSocket {
    let socket = UdpSocket::bind(address).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

/// The next datagram, as text, and from where.
#[track_caller]
fn receive(socket: &UdpSocket) -> (String, std::net::SocketAddr) {
    let mut bytes = [0; 2048];
    let (count, from) = socket.recv_from(&mut bytes).unwrap();
    (String::from_utf8(bytes[..count].to_vec()).unwrap(), from)
}

/// Ends it with Ctrl-C, which is how one ends what has no end.
#[track_caller]
fn interrupt(talk: Talk) -> Vec<u8> {
    talk.signal("INT");
    let ended = talk.ends_by_itself();
    assert_eq!(ended.code, 130, "{ended:?}");
    ended.output
}

#[test]
fn a_client_of_any_kind_is_heard_and_answered() {
    for road in [Road::Ipv4, Road::Ipv6] {
        for program in PROGRAMS {
            println!("{road:?} {program:?}");
            let folder = tempfile::tempdir().unwrap();
            let (listener, address) = listen(&["--udp", &road.place(folder.path())]);
            let client = Talk::start(&mut program.datagram_client(&address));
            client.say(QUESTION);
            listener.hears(QUESTION);
            listener.say(ANSWER);
            client.hears(ANSWER);
            assert_eq!(interrupt(listener), QUESTION.as_bytes());
        }
    }
}

#[test]
fn a_server_of_any_kind_hears_and_answers() {
    for road in [Road::Ipv4, Road::Ipv6] {
        for program in PROGRAMS {
            println!("{road:?} {program:?}");
            let folder = tempfile::tempdir().unwrap();
            let (server, address) = program.datagram_server(road, folder.path());
            let client = connect(&address, &["--udp"]);
            client.say(QUESTION);
            server.hears(QUESTION);
            server.say(ANSWER);
            client.hears(ANSWER);
            assert_eq!(interrupt(client), ANSWER.as_bytes());
        }
    }
}

/// ncat's clients have no name, so that they cannot be answered.
#[test]
fn unix_datagrams_with_clients_of_any_kind() {
    for program in PROGRAMS {
        println!("{program:?}");
        let folder = tempfile::tempdir().unwrap();
        let place = Road::Unix.place(folder.path());
        let (listener, address) = listen(&["--udp", &place]);
        assert_eq!(address, place);
        let client = Talk::start(&mut program.datagram_client(&address));
        client.say(QUESTION);
        listener.hears(QUESTION);
        if program != Program::Ncat {
            listener.say(ANSWER);
            client.hears(ANSWER);
        }
        assert_eq!(interrupt(listener), QUESTION.as_bytes());
    }
}

#[test]
fn unix_datagrams_with_servers_of_any_kind() {
    for program in PROGRAMS {
        println!("{program:?}");
        let folder = tempfile::tempdir().unwrap();
        let (server, address) = program.datagram_server(Road::Unix, folder.path());
        let client = connect(&address, &["--udp"]);
        client.say(QUESTION);
        server.hears(QUESTION);
        if program == Program::Hythe {
            server.say(ANSWER);
            client.hears(ANSWER);
        }
        interrupt(client);
    }
}

#[test]
fn each_read_of_standard_input_is_a_datagram_of_its_own() {
    let peer = socket("127.0.0.1:0");
    let client = connect(&peer.local_addr().unwrap().to_string(), &["--udp"]);
    for text in ["one\n", "two, without an end", "дрэй\nfour\n"] {
        client.say(text);
        assert_eq!(receive(&peer).0, text);
    }
    interrupt(client);
}

#[test]
fn datagrams_of_every_size_arrive_whole() {
    let (listener, address) = listen(&["--udp", "127.0.0.1:0"]);
    let address = inet(&address);
    let peer = socket("127.0.0.1:0");
    let mut wanted = Vec::new();
    // 65,507 is the most that UDP over IPv4 carries. An empty one ends nothing.
    for size in [1, 0, 1472, 1473, 9000, 65_507, 3] {
        let bytes = content(size);
        assert_eq!(peer.send_to(&bytes, address).unwrap(), size);
        wanted.extend(&bytes);
        listener.hears(&wanted);
    }
    assert!(interrupt(listener) == wanted);
}

#[test]
fn without_keep_only_the_first_who_spoke_is_answered() {
    let (listener, address) = listen(&["--udp", "127.0.0.1:0"]);
    let address = inet(&address);
    let (first, second) = (socket("127.0.0.1:0"), socket("127.0.0.1:0"));
    first.send_to(b"first\n", address).unwrap();
    listener.hears("first\n");
    second.send_to(b"second\n", address).unwrap();
    first.send_to(b"first again\n", address).unwrap();
    listener.hears("first again\n");
    listener.say("answer\n");
    assert_eq!(receive(&first), ("answer\n".into(), address));
    second.set_nonblocking(true).unwrap();
    let nothing = second.recv(&mut [0; 16]).unwrap_err();
    assert_eq!(nothing.kind(), ErrorKind::WouldBlock);
    assert_eq!(interrupt(listener), b"first\nfirst again\n");
}

#[test]
fn with_keep_all_are_heard_and_the_last_who_spoke_is_answered() {
    let (listener, address) = listen(&["--udp", "--keep", "127.0.0.1:0"]);
    let address = inet(&address);
    let peers = [socket("127.0.0.1:0"), socket("127.0.0.1:0")];
    for (peer, name) in [(0, "one"), (1, "two"), (0, "one again")] {
        peers[peer]
            .send_to(format!("{name}\n").as_bytes(), address)
            .unwrap();
        listener.hears(format!("{name}\n"));
        listener.say(format!("to {name}\n"));
        assert_eq!(receive(&peers[peer]).0, format!("to {name}\n"));
    }
    listener.signal("INT");
    let ended = listener.ends_by_itself();
    assert_eq!(ended.code, 0, "{ended:?}");
    assert_eq!(ended.output, b"one\ntwo\none again\n");
}

/// What is said before anybody is there goes to the first who comes.
#[test]
fn what_standard_input_says_early_waits_for_the_first() {
    let (listener, address) = listen(&["--udp", "127.0.0.1:0"]);
    listener.say("early\n");
    let peer = socket("127.0.0.1:0");
    peer.send_to(b"hello\n", inet(&address)).unwrap();
    assert_eq!(receive(&peer).0, "early\n");
    interrupt(listener);
}

#[test]
fn after_the_end_of_input_it_goes_on_until_idle() {
    let peer = socket("127.0.0.1:0");
    let mut command = connecting(
        &peer.local_addr().unwrap().to_string(),
        &["--udp", "--idle", "2"],
    );
    let mut client = Talk::start(&mut command);
    client.say("question\n");
    client.end_input();
    let (question, from) = receive(&peer);
    assert_eq!(question, "question\n");
    peer.send_to(b"answer\n", from).unwrap();
    client.hears("answer\n");
    peer.send_to(b"and another\n", from).unwrap();
    client.hears("and another\n");
    // Datagrams have no other end: nothing went wrong.
    assert_eq!(client.succeeds(), b"answer\nand another\n");
}

#[test]
fn a_listener_without_input_prints_what_comes() {
    let mut command = hythe();
    command.args(["listen", "--udp", "--keep", "127.0.0.1:0"]);
    let listener = Talk::with_input(&mut command, Stdio::null());
    let address = inet(&crate::talk::listens(&listener));
    let peer = socket("127.0.0.1:0");
    for text in ["one\n", "two\n"] {
        peer.send_to(text.as_bytes(), address).unwrap();
        listener.hears(text);
    }
    assert_eq!(listener.stops().output, b"one\ntwo\n");
}

/// The machine there says so, and it is believed.
#[test]
fn where_nobody_listens_it_ends_and_says_so() {
    // Kept, so that no other test gets the port: a socket that is connected hears
    // nobody else.
    let kept = socket("127.0.0.1:0");
    let elsewhere = socket("127.0.0.1:0");
    kept.connect(elsewhere.local_addr().unwrap()).unwrap();
    let address = kept.local_addr().unwrap().to_string();
    let client = connect(&address, &["--udp"]);
    client.say("anybody?\n");
    let ended = client.ends_by_itself();
    assert_eq!(ended.code, 1, "{ended:?}");
    assert!(ended.errors.contains("refused"), "{ended:?}");
}

#[test]
fn others_than_the_peer_are_not_heard() {
    let (peer, stranger) = (socket("127.0.0.1:0"), socket("127.0.0.1:0"));
    let client = connect(&peer.local_addr().unwrap().to_string(), &["--udp"]);
    client.say("hello\n");
    let (_, from) = receive(&peer);
    stranger.send_to(b"from a stranger\n", from).unwrap();
    peer.send_to(b"from the peer\n", from).unwrap();
    client.hears("from the peer\n");
    assert_eq!(interrupt(client), b"from the peer\n");
}

#[test]
fn unix_datagrams_are_told_apart_by_their_sockets() {
    let folder = tempfile::tempdir().unwrap();
    let (listener, address) = listen(&["--udp", "--keep", &Road::Unix.place(folder.path())]);
    let path = address.strip_prefix("unix:").unwrap();
    for name in ["one", "two"] {
        let peer = UnixDatagram::bind(folder.path().join(name)).unwrap();
        peer.set_read_timeout(Some(PATIENCE)).unwrap();
        peer.send_to(name.as_bytes(), path).unwrap();
        listener.hears(name);
        listener.say(format!("to {name}"));
        let mut bytes = [0; 64];
        let count = peer.recv(&mut bytes).unwrap();
        assert_eq!(&bytes[..count], format!("to {name}").as_bytes());
    }
    listener.stops();
}
