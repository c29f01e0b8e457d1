//! `listen --broadcast`: a chat for whatever client there is.

use std::collections::HashMap;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::process::Command;
use std::sync::Barrier;
use std::thread;

use hythe_net::option::RecvBuffer;
use hythe_net::{Addr, Domain, Kind, Socket};

use crate::common::{Dice, PATIENCE, connect, eventually, run, tool};
use crate::peers::{PROGRAMS, Program, ROADS};
use crate::talk::{Talk, apart, inet, listen, listens};

fn chat() -> (Talk, SocketAddr) {
    let (listener, address) = listen(&["127.0.0.1:0", "--broadcast"]);
    (listener, inet(&address))
}

/// Who has said something that the listener heard is in for certain.
fn enter(listener: &Talk, address: SocketAddr, name: &str) -> BufReader<TcpStream> {
    let mut client = connect(address);
    client
        .write_all(format!("{name} is here\n").as_bytes())
        .unwrap();
    listener.hears(format!("{name} is here\n"));
    BufReader::new(client)
}

/// The next line, with its end.
#[track_caller]
fn line(client: &mut BufReader<TcpStream>) -> String {
    let mut line = String::new();
    client.read_line(&mut line).unwrap();
    line
}

#[test]
fn clients_of_any_kind_hear_each_other_and_the_operator() {
    let folder = tempfile::tempdir().unwrap();
    for road in ROADS {
        let (listener, address) = listen(&[&road.place(folder.path()), "--broadcast"]);
        let mut clients = Vec::new();
        for program in PROGRAMS {
            clients.push((
                format!("{program:?}"),
                Talk::start(&mut program.client(&address)),
            ));
        }
        if let Some((host, port)) = apart(&address) {
            let telnet = Talk::start(tool("telnet").args([host, port]));
            clients.push(("telnet".into(), telnet));
        }
        for (name, client) in &clients {
            client.say(format!("{name} is here\n"));
            listener.hears(format!("{name} is here"));
        }
        for (name, client) in &clients {
            client.say(format!("{name} says 大家好\n"));
            listener.hears(format!("{name} says 大家好"));
            for (other, hearer) in &clients {
                if other != name {
                    hearer.hears(format!("{name} says 大家好"));
                }
            }
        }
        listener.say("dear all\n");
        for (name, client) in clients {
            client.hears("dear all\n");
            let heard = String::from_utf8_lossy(&client.heard()).into_owned();
            assert!(!heard.contains(&format!("{name} says")), "{name}: {heard}");
        }
        listener.stops();
    }
}

#[test]
fn twenty_talk_in_pieces_and_no_line_gets_into_another() {
    const TALKERS: usize = 20;
    const LINES: usize = 100;
    let (listener, address) = chat();
    let all_in = Barrier::new(TALKERS);
    let heard: Vec<Vec<String>> = thread::scope(|scope| {
        let talkers: Vec<_> = (0..TALKERS)
            .map(|number| {
                let (listener, all_in) = (&listener, &all_in);
                scope.spawn(move || {
                    let client = enter(listener, address, &format!("<{number}>"));
                    all_in.wait();
                    let mut writer = client.get_ref().try_clone().unwrap();
                    let speaking = thread::spawn(move || talk_in_pieces(&mut writer, number));
                    let wanted = (TALKERS - 1) * LINES;
                    let mut heard = Vec::new();
                    for line in client.lines() {
                        let line = line.unwrap();
                        if !line.ends_with(" is here") {
                            heard.push(line);
                        }
                        if heard.len() == wanted {
                            break;
                        }
                    }
                    speaking.join().unwrap();
                    heard
                })
            })
            .collect();
        talkers
            .into_iter()
            .map(|talker| talker.join().unwrap())
            .collect()
    });
    for (number, heard) in heard.iter().enumerate() {
        are_whole_and_in_order(heard, TALKERS, LINES, Some(number));
    }
    listener.signal("TERM");
    let ended = listener.ends_by_itself();
    let lines: Vec<String> = String::from_utf8(ended.output)
        .unwrap()
        .lines()
        .filter(|line| !line.ends_with(" is here"))
        .map(Into::into)
        .collect();
    are_whole_and_in_order(&lines, TALKERS, LINES, None);

    fn talk_in_pieces(writer: &mut TcpStream, number: usize) {
        writer.set_nodelay(true).unwrap();
        let mut dice = Dice(number as u64 + 1);
        let text: String = (0..LINES)
            .map(|line| format!("{number} {line} {}\n", "çà et là ".repeat(number % 5)))
            .collect();
        let mut rest = text.as_bytes();
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(rest.len().min(1 + dice.below(40) as usize));
            writer.write_all(piece).unwrap();
            rest = after;
        }
    }
}

/// All lines of all talkers but one, each as it was said.
#[track_caller]
fn are_whole_and_in_order(heard: &[String], talkers: usize, lines: usize, own: Option<usize>) {
    let mut next: HashMap<usize, usize> = HashMap::new();
    for line in heard {
        let mut words = line.splitn(3, ' ');
        let mut word = || words.next().unwrap_or_else(|| panic!("{line:?}"));
        let (number, count) = (word(), word());
        let number: usize = number.parse().unwrap_or_else(|_| panic!("{line:?}"));
        let count: usize = count.parse().unwrap_or_else(|_| panic!("{line:?}"));
        assert_eq!(word(), "çà et là ".repeat(number % 5), "{line:?}");
        let next = next.entry(number).or_default();
        assert_eq!(count, *next, "{line:?}");
        *next += 1;
    }
    assert!(own.is_none_or(|own| !next.contains_key(&own)));
    assert_eq!(next.len(), talkers - usize::from(own.is_some()));
    assert!(next.values().all(|count| *count == lines));
}

#[test]
fn a_line_goes_out_when_it_is_whole() {
    let (listener, address) = chat();
    let mut slow = enter(&listener, address, "slow");
    let mut quick = enter(&listener, address, "quick");
    assert_eq!(line(&mut slow), "quick is here\n");
    let mut hearer = enter(&listener, address, "hearer");
    slow.get_mut().write_all(b"the beginning ").unwrap();
    quick.get_mut().write_all(b"between\n").unwrap();
    assert_eq!(line(&mut hearer), "between\n");
    slow.get_mut().write_all(b"and the end\n").unwrap();
    assert_eq!(line(&mut hearer), "the beginning and the end\n");
    listener.stops();
}

/// However its client goes: by an end, or by a reset.
#[test]
fn the_last_line_of_one_who_leaves_is_given_its_end() {
    let (listener, address) = chat();
    let mut hearer = enter(&listener, address, "hearer");
    for leave in ["shutdown", "drop"] {
        let mut leaver = enter(&listener, address, "leaver");
        assert_eq!(line(&mut hearer), "leaver is here\n");
        leaver.get_mut().write_all(b"bye").unwrap();
        match leave {
            "shutdown" => leaver.get_ref().shutdown(Shutdown::Write).unwrap(),
            _ => drop(leaver),
        }
        assert_eq!(line(&mut hearer), "bye\n", "{leave}");
    }
    let mut next = enter(&listener, address, "next");
    assert_eq!(line(&mut hearer), "next is here\n");
    hearer.get_mut().write_all(b"still here\n").unwrap();
    assert_eq!(line(&mut next), "still here\n");
    listener.stops();
}

#[test]
fn lines_are_up_to_64_kib() {
    let (listener, address) = chat();
    let mut hearer = enter(&listener, address, "hearer");
    // With its end.
    let longest = format!("{}\n", "x".repeat(64 * 1024 - 1));
    let mut talker = connect(address);
    talker.write_all(longest.as_bytes()).unwrap();
    assert!(line(&mut hearer) == longest);

    for ending in ["", "\n"] {
        let mut talker = connect(address);
        let long = format!("{}{ending}", "y".repeat(64 * 1024 + 1));
        talker.write_all(long.as_bytes()).unwrap();
        let mut told = String::new();
        talker.read_to_string(&mut told).unwrap();
        assert!(told.contains("64 KiB") && told.ends_with('\n'), "{told:?}");
    }
    // Nothing of them was heard.
    enter(&listener, address, "next");
    assert_eq!(line(&mut hearer), "next is here\n");
    listener.stops();
}

/// One that reads nothing has what the kernel keeps for it, and a MiB; then it is
/// told so, and whoever reads hears everything.
#[test]
fn a_slow_reader_is_told_so_and_dropped_while_others_go_on() {
    let (listener, address) = chat();
    let mut slow = enter_narrowly(&listener, address, "slow");
    // Another one, who will never read again.
    let never = enter_narrowly(&listener, address, "never");
    let mut quick = enter(&listener, address, "quick");
    let mut talker = enter(&listener, address, "talker");
    assert_eq!(line(&mut quick), "talker is here\n");

    // As much as one connection may have in the kernel, and twice what may wait.
    let most = fs::read_to_string("/proc/sys/net/ipv4/tcp_wmem").unwrap();
    let most: usize = most.split_whitespace().nth(2).unwrap().parse().unwrap();
    let text = format!("{}\n", "z".repeat(1023));
    let batch = text.repeat(64);
    let mut bytes = vec![0; batch.len()];
    for _ in 0..(most + (2 << 20)) / batch.len() + 1 {
        talker.get_mut().write_all(batch.as_bytes()).unwrap();
        // In step: the quick one never has more than this waiting.
        quick.read_exact(&mut bytes).unwrap();
        assert!(bytes == batch.as_bytes());
    }
    let mut told = String::new();
    slow.read_to_string(&mut told).unwrap();
    let mut lines = told.lines();
    let last = lines.next_back().unwrap();
    assert!(last.contains("too slow"), "{last:?}");
    assert!(told.ends_with('\n'));
    assert_eq!(lines.next(), Some("never is here"));
    assert_eq!(lines.next(), Some("quick is here"));
    assert_eq!(lines.next(), Some("talker is here"));
    // What it got are whole lines, and not all of them.
    let got = lines.clone().count();
    assert!(lines.all(|line| line == text.trim_end()));
    assert!(got * 1024 < most + (2 << 20), "{got}");
    talker.get_mut().write_all(b"go on\n").unwrap();
    assert_eq!(line(&mut quick), "go on\n");
    // Whoever is told and does not listen is not waited for without end.
    drop(slow);
    eventually("both are gone", || sockets(&listener) == 3);
    drop(never);
    listener.stops();
}

/// One for whom the kernel keeps little.
fn enter_narrowly(listener: &Talk, address: SocketAddr, name: &str) -> TcpStream {
    let socket = Socket::new(Domain::INET, Kind::STREAM).unwrap();
    socket.set(RecvBuffer(4096)).unwrap();
    socket.connect(&Addr::Inet(address)).unwrap();
    let mut stream: TcpStream = std::os::fd::OwnedFd::from(socket).into();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
        .write_all(format!("{name} is here\n").as_bytes())
        .unwrap();
    listener.hears(format!("{name} is here\n"));
    stream
}

/// How many sockets of TCP it has open at its port: one of them listens.
fn sockets(listener: &Talk) -> usize {
    let open = listener.sockets();
    let table = fs::read_to_string("/proc/net/tcp").unwrap();
    let inodes = table
        .lines()
        .skip(1)
        .filter_map(|line| line.split_whitespace().nth(9));
    inodes
        .filter(|inode| open.iter().any(|socket| socket == inode))
        .count()
}

/// `hythe listen --broadcast … | head -1`
#[test]
fn it_goes_on_when_nobody_reads_its_standard_output() {
    let line_of_shell = "\"$0\" listen --broadcast 127.0.0.1:0 | head -n 1; cat";
    let shell =
        Talk::start(Command::new("sh").args(["-c", line_of_shell, env!("CARGO_BIN_EXE_hythe")]));
    let address = inet(&listens(&shell));
    let mut one = BufReader::new(connect(address));
    one.get_mut().write_all(b"the first line\n").unwrap();
    shell.hears("the first line\n");
    let mut other = BufReader::new(connect(address));
    // Until it has noticed, and after it.
    for round in 0..100 {
        other
            .get_mut()
            .write_all(format!("{round}\n").as_bytes())
            .unwrap();
        assert_eq!(line(&mut one), format!("{round}\n"));
        one.get_mut().write_all(b"yes\n").unwrap();
        assert_eq!(line(&mut other), "yes\n");
    }
    for child in shell.children() {
        run(Command::new("kill").arg(child.to_string()));
    }
    shell.ends();
}

/// An operator who sends a file, or nothing, and goes.
#[test]
fn it_goes_on_after_the_end_of_standard_input() {
    let (mut listener, address) = chat();
    let mut one = enter(&listener, address, "one");
    listener.say("from here, without an end");
    listener.end_input();
    assert_eq!(line(&mut one), "from here, without an end\n");
    let mut other = enter(&listener, address, "other");
    assert_eq!(line(&mut one), "other is here\n");
    one.get_mut().write_all(b"and on\n").unwrap();
    assert_eq!(line(&mut other), "and on\n");
    listener.signal("INT");
    let ended = listener.ends_by_itself();
    assert_eq!(ended.code, 0, "{ended:?}");
}

/// Two hundred come, say something and go: nothing is kept of them.
#[test]
fn who_has_left_is_forgotten() {
    let (listener, address) = chat();
    let mut watcher = enter(&listener, address, "watcher");
    let descriptors = listener.descriptors();
    for number in 0..200 {
        let client = enter(&listener, address, &format!("({number})"));
        assert_eq!(line(&mut watcher), format!("({number}) is here\n"));
        drop(client);
    }
    // Who has closed is not told from who only listens before something is said.
    listener.say("who is there?\n");
    assert_eq!(line(&mut watcher), "who is there?\n");
    eventually("their descriptors are closed", || {
        listener.descriptors() <= descriptors
    });
    let client = Talk::start(&mut Program::Nc.client(&address.to_string()));
    client.say("last\n");
    assert_eq!(line(&mut watcher), "last\n");
    drop(client);
    listener.stops();
}
