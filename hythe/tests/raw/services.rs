//! The small services of RFC 862, 863, 864, 867 and 868.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, UdpSocket};
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::common::{PATIENCE, connect, content, eventually};
use crate::peers::{PROGRAMS, Program, ROADS};
use crate::talk::{Talk, inet, listen};

/// From 1900, where RFC 868 begins, to 1970.
const SEVENTY_YEARS: u64 = 2_208_988_800;

fn service(name: &str) -> (Talk, SocketAddr) {
    let (listener, address) = listen(&["127.0.0.1:0", "--service", name]);
    (listener, inet(&address))
}

fn service_udp(name: &str) -> (Talk, SocketAddr) {
    let (listener, address) = listen(&["127.0.0.1:0", "--udp", "--service", name]);
    (listener, inet(&address))
}

/// What comes after this was sent and the direction ended.
fn reply(address: SocketAddr, sent: &[u8]) -> Vec<u8> {
    let mut client = connect(address);
    client.write_all(sent).unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    let mut bytes = Vec::new();
    client.read_to_end(&mut bytes).unwrap();
    bytes
}

fn seconds_now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    now.as_secs() + SEVENTY_YEARS
}

/// A time of RFC 868, of about now.
#[track_caller]
fn is_now(bytes: &[u8]) {
    let seconds = u32::from_be_bytes(bytes.try_into().unwrap());
    // It runs over in 2036.
    let apart = (seconds_now() as u32).wrapping_sub(seconds);
    assert!(apart < 100, "{seconds}");
}

/// A line for people, with this year in it.
#[track_caller]
fn is_daytime(bytes: &[u8]) {
    let text = std::str::from_utf8(bytes).unwrap();
    let line = text
        .strip_suffix("\r\n")
        .unwrap_or_else(|| panic!("{text:?}"));
    assert!(!line.contains(['\r', '\n']) && line.is_ascii(), "{text:?}");
    let days = (seconds_now() - SEVENTY_YEARS) / 86_400;
    // Of the days after the last one of a year it may be either.
    let year = 1970 + days * 400 / 146_097;
    let years = [year - 1, year, year + 1].map(|year| year.to_string());
    assert!(years.iter().any(|year| line.contains(year)), "{line}");
}

/// The lines of RFC 864: 72 characters, each line one further along the 95 that
/// can be printed.
#[track_caller]
fn is_chargen(bytes: &[u8]) {
    let text = std::str::from_utf8(bytes).unwrap();
    let lines: Vec<&str> = text.split_terminator("\r\n").collect();
    let first = lines[0].as_bytes()[0] - b' ';
    for (row, line) in lines.iter().enumerate() {
        let whole = row + 1 < lines.len() || text.ends_with("\r\n");
        assert!(line.len() == 72 || !whole, "{line}");
        for (column, byte) in line.bytes().enumerate() {
            let place = (usize::from(first) + row + column) % 95;
            // The last of a cut text may be the half of a line end.
            if byte != b'\r' || whole {
                assert_eq!(usize::from(byte), 32 + place, "{row} {line}");
            }
        }
    }
}

// --- Over TCP ------------------------------------------------------------------

#[test]
fn echo_says_everything_back() {
    let (listener, address) = service("echo");
    let clients: Vec<_> = (0..50)
        .map(|number| {
            thread::spawn(move || {
                let bytes = content(number * 1000);
                reply(address, &bytes) == bytes
            })
        })
        .collect();
    assert!(clients.into_iter().all(|client| client.join().unwrap()));
    listener.stops();
}

#[test]
fn echo_for_clients_of_any_kind() {
    let folder = tempfile::tempdir().unwrap();
    for road in ROADS {
        let (listener, address) = listen(&[&road.place(folder.path()), "--service", "echo"]);
        for program in PROGRAMS {
            println!("{road:?} {program:?}");
            let client = Talk::start(&mut program.client(&address));
            client.say("hörst du?\n");
            client.hears("hörst du?\n");
            client.say("ohne Ende");
            assert_eq!(client.succeeds(), "hörst du?\nohne Ende".as_bytes());
        }
        listener.stops();
    }
}

#[test]
fn discard_takes_everything_and_says_nothing() {
    let (listener, address) = service("discard");
    assert_eq!(reply(address, &content(4 << 20)), b"");
    listener.stops();
}

#[test]
fn chargen_goes_on_until_the_client_has_enough() {
    let (listener, address) = service("chargen");
    let mut client = connect(address);
    // All 95 lines, three times.
    let mut bytes = vec![0; 3 * 95 * 74];
    client.read_exact(&mut bytes).unwrap();
    is_chargen(&bytes);
    let descriptors = listener.descriptors();
    drop(client);
    eventually("it has heard that", || listener.descriptors() < descriptors);
    // What a client says is thrown away.
    let mut client = connect(address);
    client.write_all(b"be quiet\r\n").unwrap();
    client.read_exact(&mut bytes[..74]).unwrap();
    is_chargen(&bytes[..74]);
    listener.stops();
}

#[test]
fn daytime_is_a_line_and_the_end() {
    let (listener, address) = service("daytime");
    for sent in [&b""[..], b"whatever\r\n"] {
        is_daytime(&reply(address, sent));
    }
    // Without a word of the client.
    let mut bytes = Vec::new();
    connect(address).read_to_end(&mut bytes).unwrap();
    is_daytime(&bytes);
    listener.stops();
}

#[test]
fn time_is_four_bytes_and_the_end() {
    let (listener, address) = service("time");
    is_now(&reply(address, b""));
    let mut bytes = Vec::new();
    connect(address).read_to_end(&mut bytes).unwrap();
    is_now(&bytes);
    listener.stops();
}

// --- Over UDP ------------------------------------------------------------------

fn socket() -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

fn datagram(socket: &UdpSocket, address: SocketAddr, sent: &[u8]) -> Vec<u8> {
    socket.send_to(sent, address).unwrap();
    let mut bytes = vec![0; 65_536];
    let (count, from) = socket.recv_from(&mut bytes).unwrap();
    assert_eq!(from, address);
    bytes.truncate(count);
    bytes
}

#[test]
fn echo_over_udp_says_each_datagram_back() {
    let (listener, address) = service_udp("echo");
    let client = socket();
    for size in [0, 1, 1472, 9000, 65_507] {
        assert!(datagram(&client, address, &content(size)) == content(size));
    }
    let client = Talk::start(&mut Program::Nc.datagram_client(&address.to_string()));
    client.say("hallo\n");
    client.hears("hallo\n");
    let client = Talk::start(&mut Program::Ncat.datagram_client(&address.to_string()));
    client.say("hallo\n");
    client.hears("hallo\n");
    listener.stops();
}

/// Else a forged sender would have another flooded with more than was sent.
#[test]
fn chargen_over_udp_is_never_more_than_was_asked_with() {
    let (listener, address) = service_udp("chargen");
    let client = socket();
    let mut lengths = Vec::new();
    for size in [0, 1, 3, 74, 511].into_iter().chain([2000; 60]) {
        let bytes = datagram(&client, address, &content(size));
        assert!(bytes.len() <= size.min(512), "{size}: {}", bytes.len());
        let printable = |byte: &u8| matches!(byte, b' '..=b'~' | b'\r' | b'\n');
        assert!(bytes.iter().all(printable), "{bytes:?}");
        lengths.push(bytes.len());
    }
    // Of random lengths: 60 of 513 possible ones are not all the same.
    let of_large = &mut lengths[5..];
    of_large.sort_unstable();
    assert!(of_large[0] < of_large[59], "{of_large:?}");
    listener.stops();
}

#[test]
fn daytime_and_time_over_udp_answer_whatever_is_asked() {
    let (listener, address) = service_udp("daytime");
    for sent in [&b""[..], b"?"] {
        is_daytime(&datagram(&socket(), address, sent));
    }
    listener.stops();
    let (listener, address) = service_udp("time");
    for sent in [&b""[..], b"?"] {
        is_now(&datagram(&socket(), address, sent));
    }
    listener.stops();
}

#[test]
fn discard_over_udp_says_nothing() {
    let (mut listener, address) = service_udp("discard");
    let client = socket();
    for _ in 0..100 {
        client.send_to(b"anything", address).unwrap();
    }
    client.set_nonblocking(true).unwrap();
    eventually("all were taken", || waiting(address) == Some(0));
    let nothing = client.recv(&mut [0; 16]).unwrap_err();
    assert_eq!(nothing.kind(), ErrorKind::WouldBlock);
    assert!(listener.runs());
    listener.stops();
}

/// How many bytes wait in the socket at this address: by the kernel's word.
fn waiting(address: SocketAddr) -> Option<u64> {
    let port = format!(":{:04X}", address.port());
    let table = std::fs::read_to_string("/proc/net/udp").unwrap();
    let line = table.lines().skip(1).find(|line| {
        let local = line.split_whitespace().nth(1);
        local.is_some_and(|local| local.ends_with(&port))
    })?;
    let queues = line.split_whitespace().nth(4)?;
    u64::from_str_radix(queues.split_once(':')?.1, 16).ok()
}

/// Two such services would talk with each other for ever.
#[test]
fn other_services_get_no_answer() {
    for name in ["echo", "chargen", "daytime", "time"] {
        let (listener, address) = service_udp(name);
        for port in [7, 13, 17, 19, 37] {
            // Addresses of this machine that no other server has, nor another run
            // of this test.
            let [_, _, high, low] = std::process::id().to_be_bytes();
            let service = match UdpSocket::bind((Ipv4Addr::new(127, 77, high, low), port)) {
                Ok(service) => service,
                Err(error) if error.kind() == ErrorKind::PermissionDenied => {
                    eprintln!("ports below 1024 are for root: run this test as root");
                    return;
                }
                Err(error) => panic!("port {port}: {error}"),
            };
            service.send_to(b"hello", address).unwrap();
            eventually("it was taken", || waiting(address) == Some(0));
            // Those who come later are answered: it has been dealt with.
            for _ in 0..20 {
                datagram(&socket(), address, b"hello");
            }
            service.set_nonblocking(true).unwrap();
            let nothing = service.recv(&mut [0; 512]).unwrap_err();
            assert_eq!(nothing.kind(), ErrorKind::WouldBlock, "{name} {port}");
        }
        listener.stops();
    }
}

// --- How they stop ---------------------------------------------------------------

#[test]
fn services_stop_in_order_at_either_signal() {
    for arguments in [&["--service", "echo"][..], &["--udp", "--service", "echo"]] {
        for signal in ["INT", "TERM"] {
            let (listener, _) = listen(&[&["127.0.0.1:0"], arguments].concat());
            listener.signal(signal);
            let ended = listener.ends_by_itself();
            assert_eq!(ended.code, 0, "{arguments:?} {signal} {ended:?}");
        }
    }
    // With somebody who is in.
    let (listener, address) = service("echo");
    let mut client = connect(address);
    client.write_all(b"x").unwrap();
    client.read_exact(&mut [0]).unwrap();
    listener.stops();
}
