//! `listen --exec`: a program on each connection.

use std::collections::HashMap;
use std::fs;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::thread;

use crate::common::{connect, content, eventually, hythe};
use crate::peers::{PROGRAMS, Program, ROADS};
use crate::talk::{Talk, apart, inet, listen};

/// All at once, and as much as the issue wants.
const CLIENTS: usize = 1000;

#[test]
fn a_thousand_at_once_leave_nothing_behind() {
    hythe_net::raise_descriptor_limit().unwrap();
    let (listener, address) = listen(&["127.0.0.1:0", "--keep", "--exec", "cat"]);
    let address = inet(&address);
    // Once before, so that what is made once is there.
    assert_eq!(echoed(address, 0), content(100));
    eventually("it is reaped", || listener.children().is_empty());
    let (descriptors, threads) = (listener.descriptors(), listener.threads());
    let mut clients: Vec<_> = (0..CLIENTS).map(|_| connect(address)).collect();
    for (number, client) in clients.iter_mut().enumerate() {
        client.write_all(&content(100 + number)).unwrap();
    }
    for (number, client) in clients.iter_mut().enumerate() {
        let mut bytes = vec![0; 100 + number];
        client.read_exact(&mut bytes).unwrap();
        assert!(bytes == content(100 + number), "{number}");
    }
    // All of them are there at this moment.
    assert_eq!(listener.children().len(), CLIENTS);
    for client in &clients {
        client.shutdown(Shutdown::Write).unwrap();
    }
    for client in &mut clients {
        assert_eq!(client.read(&mut [0]).unwrap(), 0);
    }
    drop(clients);
    eventually("no process is left, and no zombie", || {
        listener.children().is_empty()
    });
    eventually("no descriptor is left", || {
        listener.descriptors() <= descriptors
    });
    eventually("no thread is left", || listener.threads() <= threads);
    assert_eq!(echoed(address, 7), content(107));
    listener.stops();
}

/// What `cat` on the other end makes of the content for a number.
fn echoed(address: std::net::SocketAddr, number: usize) -> Vec<u8> {
    let mut client = connect(address);
    client.write_all(&content(100 + number)).unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    let mut bytes = Vec::new();
    client.read_to_end(&mut bytes).unwrap();
    bytes
}

#[test]
fn a_client_of_any_kind_talks_with_a_program() {
    let folder = tempfile::tempdir().unwrap();
    let exec = "read line; echo \"you said: $line\"; wc -l";
    for road in ROADS {
        let (listener, address) = listen(&[&road.place(folder.path()), "--keep", "--exec", exec]);
        for program in PROGRAMS {
            println!("{road:?} {program:?}");
            let client = Talk::start(&mut program.client(&address));
            client.say("grüße\n");
            client.hears("you said: grüße\n");
            client.say("one\ntwo\n");
            let heard = String::from_utf8(client.succeeds()).unwrap();
            assert_eq!(heard.lines().nth(1).map(str::trim), Some("2"));
        }
        listener.stops();
    }
}

/// The variables that a program finds, by name.
fn environment(address: &str, client: Program) -> HashMap<String, String> {
    let heard = Talk::start(&mut client.client(address)).succeeds();
    let text = String::from_utf8(heard).unwrap();
    let pairs = text.lines().filter_map(|line| line.split_once('='));
    pairs
        .map(|(name, value)| (name.into(), value.into()))
        .collect()
}

#[test]
fn a_program_is_told_who_is_there() {
    for (place, host) in [("127.0.0.1:0", "127.0.0.1"), ("[::1]:0", "::1")] {
        let (listener, address) = listen(&[place, "--keep", "--exec", "env"]);
        let (_, port) = apart(&address).unwrap();
        let found = environment(&address, Program::Nc);
        assert_eq!(found["PROTO"], "TCP");
        assert_eq!(found["TCPLOCALIP"], host);
        assert_eq!(found["TCPLOCALPORT"], port);
        assert_eq!(found["TCPREMOTEIP"], host);
        assert!(found["TCPREMOTEPORT"].parse::<u16>().unwrap() > 0);
        assert_eq!(found["REMOTE_HOST"], host);
        listener.stops();
    }
    // Of both families: each in its own words.
    let (listener, address) = listen(&["0", "--keep", "--exec", "env"]);
    let (_, port) = apart(&address).unwrap();
    let found = environment(&format!("127.0.0.1:{port}"), Program::Socat);
    assert_eq!(found["TCPREMOTEIP"], "127.0.0.1");
    assert_eq!(found["TCPLOCALIP"], "127.0.0.1");
    listener.stops();

    let folder = tempfile::tempdir().unwrap();
    let place = format!("unix:{}/socket", folder.path().display());
    let (listener, address) = listen(&[&place, "--keep", "--exec", "env"]);
    let found = environment(&address, Program::Socat);
    assert_eq!(found["PROTO"], "UNIX");
    assert_eq!(
        found["UNIXLOCALPATH"],
        format!("{}/socket", folder.path().display())
    );
    assert!(!found.contains_key("TCPREMOTEIP"));
    listener.stops();
}

#[test]
fn without_keep_one_program_is_run() {
    let (listener, address) = listen(&["127.0.0.1:0", "--exec", "echo hello; cat"]);
    let client = Talk::start(&mut Program::Nc.client(&address));
    client.say("and goodbye\n");
    assert_eq!(client.succeeds(), b"hello\nand goodbye\n");
    let ended = listener.ends_by_itself();
    assert_eq!((ended.code, &ended.output[..]), (0, &b""[..]), "{ended:?}");
}

#[test]
fn what_a_program_complains_of_is_seen_by_the_operator() {
    let exec = "echo to the client; echo to the operator >&2";
    let (listener, address) = listen(&["127.0.0.1:0", "--keep", "--exec", exec]);
    let client = Talk::start(&mut Program::Nc.client(&address));
    assert_eq!(client.succeeds(), b"to the client\n");
    listener.complains("to the operator\n");
    listener.stops();
}

#[test]
fn a_program_that_ends_closes_its_connection() {
    for keep in [&["--keep"][..], &[]] {
        let arguments = ["127.0.0.1:0", "--exec", "echo over; exit 3"];
        let (listener, address) = listen(&[&arguments, keep].concat());
        // Which does not end its input: only the program does.
        let mut client = connect(inet(&address));
        let mut heard = String::new();
        client.read_to_string(&mut heard).unwrap();
        assert_eq!(heard, "over\n");
        drop(client);
        if keep.is_empty() {
            listener.ends_by_itself();
        } else {
            eventually("it is reaped", || listener.children().is_empty());
            listener.stops();
        }
    }
}

#[test]
fn a_client_that_leaves_is_the_end_of_input() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ended");
    let exec = format!("cat >{0}.part; mv {0}.part {0}", file.display());
    let (listener, address) = listen(&["127.0.0.1:0", "--keep", "--exec", &exec]);
    let mut client = connect(inet(&address));
    client.write_all(b"all of it").unwrap();
    drop(client);
    eventually("the program has ended in order", || file.exists());
    assert_eq!(fs::read(&file).unwrap(), b"all of it");
    listener.stops();
}

/// Nothing of the listener but its connection, and standard error.
#[test]
fn a_program_gets_no_descriptors_of_others() {
    let exec = "readlink /proc/$$/fd/*; read line";
    let (listener, address) = listen(&["127.0.0.1:0", "--keep", "--exec", exec]);
    let first = Talk::start(&mut Program::Nc.client(&address));
    first.hears("pipe:");
    let second = Talk::start(&mut Program::Nc.client(&address));
    second.hears("pipe:");
    let heard = String::from_utf8(second.succeeds()).unwrap();
    // What the test itself was started with may be among them.
    let sockets = heard.lines().filter(|link| link.starts_with("socket:"));
    let sockets: Vec<_> = sockets.collect();
    assert!(sockets.len() == 2 && sockets[0] == sockets[1], "{heard}");
    assert!(!heard.contains("anon_inode:"), "{heard}");
    first.succeeds();
    listener.stops();
}

#[test]
fn further_ones_than_the_most_wait_or_are_turned_away() {
    let limit = [
        "127.0.0.1:0",
        "--keep",
        "--exec",
        "cat",
        "--max-connections",
        "2",
    ];
    let (listener, address) = listen(&limit);
    let address = inet(&address);
    let mut seats: Vec<_> = (0..2).map(|_| connect(address)).collect();
    for seat in &mut seats {
        seat.write_all(b"x").unwrap();
        seat.read_exact(&mut [0]).unwrap();
    }
    let mut third = connect(address);
    let mut bytes = Vec::new();
    third.read_to_end(&mut bytes).unwrap();
    assert!(!bytes.contains(&b'x'));
    assert_eq!(listener.children().len(), 2);
    seats.pop();
    eventually("a place is free again", || {
        let mut next = connect(address);
        let written = next.write_all(b"x").is_ok();
        written && next.read_exact(&mut [0]).is_ok()
    });
    listener.stops();
}

#[test]
fn no_program_outlives_its_listener() {
    for signal in ["TERM", "INT"] {
        let exec = "echo $$; exec sleep 1000";
        let (listener, address) = listen(&["127.0.0.1:0", "--keep", "--exec", exec]);
        let client = Talk::start(&mut Program::Nc.client(&address));
        client.hears("\n");
        let pid = String::from_utf8(client.heard()).unwrap();
        listener.signal(signal);
        let ended = listener.ends_by_itself();
        assert_eq!(ended.code, 0, "{signal} {ended:?}");
        let process = format!("/proc/{}", pid.trim());
        eventually("the program has ended", || {
            fs::read_to_string(format!("{process}/comm")).map_or(true, |name| name != "sleep\n")
        });
        client.ends();
    }
}

/// The other's time is not theirs.
#[test]
fn one_that_does_not_read_holds_up_nobody() {
    let (listener, address) = listen(&["127.0.0.1:0", "--keep", "--exec", "cat"]);
    let address = inet(&address);
    let mut stuck = connect(address);
    stuck
        .set_write_timeout(Some(std::time::Duration::from_millis(300)))
        .unwrap();
    let bytes = content(1 << 20);
    // Until nothing more fits anywhere.
    while stuck.write_all(&bytes).is_ok() {}
    let others: Vec<_> = (1..20)
        .map(|number| thread::spawn(move || echoed(address, number) == content(100 + number)))
        .collect();
    assert!(others.into_iter().all(|other| other.join().unwrap()));
    drop(stuck);
    eventually("no process is left", || listener.children().is_empty());
    listener.stops();
}

#[test]
fn a_command_comes_from_a_variable_too() {
    let mut command = hythe();
    command
        .args(["listen", "127.0.0.1:0"])
        .env("HYTHE_EXEC", "echo by variable");
    let listener = Talk::start(&mut command);
    let address = crate::talk::listens(&listener);
    let client = Talk::start(&mut Program::Socat.client(&address));
    assert_eq!(client.succeeds(), b"by variable\n");
    listener.ends_by_itself();
}
