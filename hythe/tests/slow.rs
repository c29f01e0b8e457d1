//! Clients that are slow, silent or too many, over HTTP: whoever else comes is
//! served as before, and what they hold is little and given back.

mod common;

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use common::http::{Client, get, request};
use common::{Served, connect, eventually, hythe, run, tool};
use tempfile::TempDir;

/// Of each kind.
const CLIENTS: usize = 700;

/// What a client that only waits may cost the server, in KiB. A reader of a
/// large file has a file open and little else.
const EACH: u64 = 8;

/// Two tests with thousands of sockets at a time would need more descriptors
/// than a process may have.
static DESCRIPTORS: Mutex<()> = Mutex::new(());

/// A small file, and a large one that takes no space.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.txt"), b"a").unwrap();
    let large = File::create(folder.path().join("large.bin")).unwrap();
    large.set_len(100 * 1024 * 1024).unwrap();
    folder
}

const MANY: [&str; 4] = ["--max-connections", "4096", "--max-per-address", "4096"];

/// The three kinds: those that never speak, those whose request never ends, and
/// those that never read.
fn slow_clients(served: &Served) -> Vec<TcpStream> {
    let address = served.address("http");
    let download = request("GET", "/large.bin", &[]);
    let mut clients = Vec::with_capacity(3 * CLIENTS);
    for _ in 0..CLIENTS {
        for said in [&b""[..], b"GET /a.txt HTTP/1.1\r\nHost: qu", &download] {
            let mut client = connect(address);
            client.write_all(said).unwrap();
            clients.push(client);
        }
    }
    clients
}

/// Served as before: by a client of the real world, and with what takes the
/// pool, the disk and more than one packet.
fn is_served(served: &Served) {
    for target in ["a.txt", "a.txt?query", "?json", "large.bin"] {
        let url = format!("{}{target}", served.url("http"));
        let curl = [
            "--silent",
            "--show-error",
            "--fail",
            "--output",
            "/dev/null",
        ];
        run(tool("curl").args(curl).args(["--max-time", "30", &url]));
    }
}

#[test]
fn thousands_of_slow_clients_hold_up_nobody_and_cost_little() {
    let _alone = DESCRIPTORS
        .lock()
        .unwrap_or_else(|broken| broken.into_inner());
    hythe_net::raise_descriptor_limit().unwrap();
    for way in [
        &["--model", "events"][..],
        &["--model", "cores"],
        &["--model", "events", "--mux", "epoll-level"],
        &["--model", "events", "--mux", "poll"],
    ] {
        let folder = folder();
        let served = Served::http(folder.path(), &[way, &MANY].concat());
        let idle = served.sockets();
        is_served(&served);
        let before = served.private_memory();
        let mut clients = slow_clients(&served);
        eventually("all are connected and a third has the file open", || {
            served.sockets() >= idle + 3 * CLIENTS && served.descriptors() > 4 * CLIENTS
        });
        is_served(&served);
        // A byte at a time, each of which the server reads.
        for byte in b"ay\r\nA: b" {
            for client in clients.iter_mut().skip(1).step_by(3) {
                client.write_all(&[*byte]).unwrap();
            }
            is_served(&served);
        }
        let grown = served.private_memory().saturating_sub(before) / clients.len() as u64;
        assert!(grown < EACH, "{way:?}: {grown} KiB for each client");
        // Slow is not dead: what is finished at last is answered.
        let mut slow = clients.swap_remove(1);
        slow.write_all(b"\r\nConnection: close\r\n\r\n").unwrap();
        let mut reply = String::new();
        slow.read_to_string(&mut reply).unwrap();
        assert!(
            reply.starts_with("HTTP/1.1 200 ") && reply.ends_with("\r\n\r\na"),
            "{reply}"
        );
        drop(clients);
        eventually("all that the clients held is given back", || {
            served.sockets() <= idle
        });
        is_served(&served);
    }
}

#[test]
fn slow_clients_are_closed_when_their_time_is_over() {
    let _alone = DESCRIPTORS
        .lock()
        .unwrap_or_else(|broken| broken.into_inner());
    hythe_net::raise_descriptor_limit().unwrap();
    for model in ["events", "cores"] {
        let folder = folder();
        let arguments = [&MANY[..], &["--model", model, "--idle", "1"]].concat();
        let served = Served::http(folder.path(), &arguments);
        let idle = served.sockets();
        let mut clients = slow_clients(&served);
        is_served(&served);
        eventually("all were closed by the server", || served.sockets() <= idle);
        for (index, client) in clients.iter_mut().enumerate().take(30) {
            let mut reply = Vec::new();
            let end = client.read_to_end(&mut reply);
            match index % 3 {
                0 => assert!(reply.is_empty(), "{model}"),
                1 => assert!(reply.starts_with(b"HTTP/1.1 408 "), "{model}"),
                // The file ends short of its length, by whatever end.
                _ => assert!(reply.len() < 100 * 1024 * 1024, "{model} {end:?}"),
            }
        }
        is_served(&served);
    }
}

/// Trickling bytes buys no time: neither in a head nor in a body, nor by taking
/// a reply a byte at a time.
#[test]
fn a_byte_now_and_then_is_no_progress() {
    let folder = folder();
    let download = request("GET", "/large.bin", &[]);
    for way in [
        &["--model", "events"][..],
        &["--model", "events", "--mux", "poll"],
        &["--model", "events", "--mux", "select"],
        &["--model", "threads"],
        &["--model", "sequential"],
    ] {
        let served = Served::http(folder.path(), &[way, &["--idle", "1"]].concat());
        let idle = served.sockets();
        for said in [
            &b"GET /a.txt HTTP/1.1\r\nA: "[..],
            b"POST /a.txt HTTP/1.1\r\nHost: quay\r\nContent-Length: 60000\r\n\r\n",
            b"POST /a.txt HTTP/1.1\r\nHost: quay\r\nTransfer-Encoding: chunked\r\n\r\nEA60\r\n",
        ] {
            let mut client = connect(served.address("http"));
            client.write_all(said).unwrap();
            trickle(&served, idle, &mut client, b"x");
        }
        let mut client = connect(served.address("http"));
        client.write_all(&download).unwrap();
        trickle(&served, idle, &mut client, b"");
        is_served(&served);
    }
}

/// Sends something small and takes a byte of the reply, again and again, until
/// the server has closed the connection.
fn trickle(served: &Served, idle: usize, client: &mut TcpStream, said: &[u8]) {
    eventually("it is accepted", || served.sockets() > idle);
    // Waiting for the next byte of a reply is what sets the pace.
    client
        .set_read_timeout(Some(Duration::from_millis(10)))
        .unwrap();
    eventually("the server ends it", || {
        client.write_all(said).ok();
        client.read_exact(&mut [0]).ok();
        served.sockets() <= idle
    });
}

// --- Too many --------------------------------------------------------------

/// A 503, to its last byte and the end of the connection.
#[track_caller]
fn is_turned_away(mut client: Client) {
    let reply = client.reply("GET");
    assert_eq!(reply.status, 503);
    assert_eq!(reply.field("Retry-After"), Some("5"));
    assert_eq!(
        reply.text(),
        "503 Too many connections; try again shortly.\n"
    );
    assert!(reply.closes() && client.has_ended());
}

/// A connection that has its place for certain.
fn seated(served: &Served) -> Client {
    let mut client = Client::new(served.address("http"));
    assert_eq!(client.ask("GET", "/a.txt", &[]).body, b"a");
    client
}

#[test]
fn beyond_the_most_connections_the_next_is_told_so_until_one_leaves() {
    let folder = folder();
    for model in ["events", "cores", "threads", "forks"] {
        let limit = ["--model", model, "--max-connections", "3"];
        let served = Served::http(folder.path(), &limit);
        let mut seats: Vec<_> = (0..3).map(|_| seated(&served)).collect();
        for _ in 0..100 {
            let mut client = Client::new(served.address("http"));
            // With a request that nobody will read, which must not reset the
            // connection before the reply is read.
            client.send(&request("GET", "/a.txt", &["A: b"]));
            is_turned_away(client);
        }
        is_turned_away(Client::new(served.address("http")));
        for seat in &mut seats {
            assert_eq!(seat.ask("GET", "/a.txt", &[]).body, b"a", "{model}");
        }
        seats.pop();
        eventually("a place is free again", || {
            let reply = get(served.address("http"), "/a.txt", &[]);
            assert!(matches!(reply.status, 200 | 503));
            reply.status == 200
        });
    }
}

/// Its descriptor numbers end at 1,023, some of which are kept for those who
/// are in.
#[test]
fn whom_select_cannot_watch_is_turned_away_and_the_others_are_served() {
    let _alone = DESCRIPTORS
        .lock()
        .unwrap_or_else(|broken| broken.into_inner());
    hythe_net::raise_descriptor_limit().unwrap();
    let folder = folder();
    let way = ["--model", "events", "--mux", "select"];
    let served = Served::http(folder.path(), &[&MANY[..], &way].concat());
    let mut seats: Vec<_> = (0..700).map(|_| seated(&served)).collect();
    for _ in 700..1100 {
        let mut client = Client::new(served.address("http"));
        match client.ask("GET", "/a.txt", &[]).status {
            200 => seats.push(client),
            status => assert_eq!(status, 503),
        }
    }
    assert!(seats.len() < 1024);
    is_turned_away(Client::new(served.address("http")));
    for seat in &mut seats {
        assert_eq!(seat.ask("GET", "/a.txt", &[]).body, b"a");
    }
    drop(seats);
    eventually("there is place again", || {
        get(served.address("http"), "/a.txt", &[]).status == 200
    });
    is_served(&served);
}

#[test]
fn one_address_has_no_more_than_its_share() {
    let folder = folder();
    for model in ["events", "cores", "threads", "forks"] {
        let limit = ["--model", model, "--max-per-address", "2"];
        let served = Served::http(folder.path(), &limit);
        let mut seats: Vec<_> = (0..2).map(|_| seated(&served)).collect();
        is_turned_away(Client::new(served.address("http")));
        // Another machine, as far as the server can tell.
        let url = format!("{}a.txt", served.url("http"));
        let neighbour = [
            "--silent",
            "--show-error",
            "--fail",
            "--interface",
            "127.0.0.2",
        ];
        assert_eq!(run(tool("curl").args(neighbour).arg(&url)), b"a", "{model}");
        is_turned_away(Client::new(served.address("http")));
        seats.pop();
        eventually("a place is free again", || {
            get(served.address("http"), "/a.txt", &[]).status == 200
        });
    }
}

#[test]
fn in_the_sequential_model_the_next_waits_for_its_turn() {
    let folder = folder();
    let served = Served::http(folder.path(), &["--model", "sequential"]);
    let mut first = seated(&served);
    let mut second = Client::new(served.address("http"));
    second.send(&request("GET", "/a.txt", &[]));
    assert_eq!(first.ask("GET", "/a.txt", &[]).body, b"a");
    drop(first);
    assert_eq!(second.reply("GET").body, b"a");
}

// --- Running out -----------------------------------------------------------

/// A server that may have no more than so many descriptors.
fn confined(folder: &Path, descriptors: usize, arguments: &[&str]) -> Served {
    let plain = hythe();
    let mut command = Command::new("sh");
    command
        .arg("-c")
        .arg(format!("ulimit -n {descriptors}; exec \"$@\""))
        .arg("sh");
    command.arg(plain.get_program()).arg("serve").arg(folder);
    command
        .args(["--http", "0", "--ftp", "off", "--gopher", "off"])
        .args(arguments);
    Served::spawn(command)
}

#[test]
fn out_of_descriptors_it_serves_on_and_recovers_by_itself() {
    let folder = folder();
    for way in [
        &["--model", "events"][..],
        &["--model", "events", "--mux", "poll"],
        &["--model", "events", "--mux", "select"],
        &["--model", "cores"],
        &["--model", "threads"],
    ] {
        let served = confined(folder.path(), 40, way);
        let mut early = seated(&served);
        let crowd: Vec<_> = (0..100).map(|_| connect(served.address("http"))).collect();
        eventually("it lets no more in", || served.descriptors() >= 20);
        // The rest is kept for those who are in: they are served in full.
        for target in ["/a.txt?fresh", "/?json", "/large.bin", "/a.txt"] {
            let reply = early.ask("HEAD", target, &[]);
            assert_eq!(reply.status, 200, "{way:?} {target}");
        }
        assert!(served.descriptors() < 40, "{way:?}");
        drop(crowd);
        eventually("it answers in full again", || {
            early.ask("GET", "/a.txt?fresh", &[]).status == 200
        });
        is_served(&served);
    }
}

/// Whether in or in the queue before the door, with a descriptor for the file
/// or without: nobody is left without a word.
#[test]
fn each_of_a_crowd_at_the_edge_of_the_descriptors_is_answered() {
    let folder = folder();
    for model in ["events", "cores", "threads", "sequential"] {
        let served = confined(folder.path(), 40, &["--model", model]);
        let crowd: Vec<_> = (0..100)
            .map(|_| {
                let mut client = Client::new(served.address("http"));
                client.send(&request("GET", "/a.txt?fresh", &[]));
                client
            })
            .collect();
        // Each leaves when it is answered; who is in makes way for who is not.
        thread::scope(|scope| {
            for mut client in crowd {
                scope.spawn(move || {
                    let reply = client.reply("GET");
                    assert!(
                        matches!(reply.status, 200 | 503),
                        "{model}: {}",
                        reply.status
                    );
                });
            }
        });
        is_served(&served);
    }
}
