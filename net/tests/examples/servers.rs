//! The examples that listen, each for the exact bytes it sends.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, UdpSocket};
use std::process::{Command, Stdio};

use hythe_net::create_server;
use hythe_wire::frame::{Frames, MAX_FRAME};

use super::{FOREVER, Serving, example, run};

/// Runs a Python script that gets the address as `address`; gives what it
/// printed.
fn python(address: SocketAddr, script: &str) -> String {
    let head = format!(
        "import socket\naddress = ('{}', {})\n\
         def dial():\n    s = socket.create_connection(address, timeout=60)\n    return s\n\
         def rest(s):\n    found = b''\n    while part := s.recv(100): found += part\n    return found\n",
        address.ip(),
        address.port()
    );
    let output = run("python3", "python3", &["-c", &(head + script)]);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn count_chars_counts_characters_of_a_line() {
    let server = Serving::example("count_chars");
    let lines: [(&[&[u8]], u32); 9] = [
        (&[b"hello\n"], 5),
        (&[b"  hello \t\r\n"], 5),
        (&[b"\n"], 0),
        (&["你好,世界\n".as_bytes()], 5),
        (&[b"\xe4\xbd", b"\xa0\xe5\xa5", b"\xbd\n"], 2),
        (&[b"a", b"b", b" ", b"c", b"\n"], 4),
        (&[b"one\ntwo\n"], 3),
        (&[b"\xff\xfe!\n"], 3),
        (&[&[b'x'; 100_000], b"\n"], 100_000),
    ];
    for (pieces, count) in lines {
        let mut client = server.connect();
        client.expect(format!("welcome,{}\n", client.0.local_addr().unwrap()));
        client.expect("Please enter a string:");
        pieces.iter().for_each(|piece| client.send(piece));
        client.expect(format!("You entered {count} characters.\n"));
        client.expect_end();
    }
}

#[test]
fn count_chars_closes_without_a_reset_and_counts_no_more_than_its_limit() {
    let server = Serving::example("count_chars");
    let mut client = server.connect();
    client.send([&b"abc\n"[..], &[b'x'; 20_000]].concat());
    let answer = String::from_utf8(client.rest()).unwrap();
    assert!(answer.ends_with("You entered 3 characters.\n"), "{answer}");

    let mut client = server.connect();
    client.send(vec![b'x'; (1 << 20) + 100]);
    client.end_sending();
    let answer = String::from_utf8(client.rest()).unwrap();
    let end = "You entered 1048576 characters.\n";
    assert!(answer.ends_with(end), "{answer}");
}

#[test]
fn count_chars_takes_the_end_of_input_for_the_end_of_the_line() {
    let server = Serving::example("count_chars");
    server.connect().abort();
    for (sent, count) in [("好 ", 1), ("", 0)] {
        let mut client = server.connect();
        client.send(sent);
        client.end_sending();
        let answer = String::from_utf8(client.rest()).unwrap();
        let end = format!("Please enter a string:You entered {count} characters.\n");
        assert!(answer.ends_with(&end), "{answer}");
    }
}

#[test]
fn count_chars_serves_one_after_another() {
    let server = Serving::example("count_chars");
    let mut first = server.connect();
    let mut second = server.connect();
    second.send("second\n");
    first.send("1st\n");
    for (client, count) in [(first, 3), (second, 6)] {
        let answer = String::from_utf8(client.rest()).unwrap();
        assert!(
            answer.ends_with(&format!("You entered {count} characters.\n")),
            "{answer}"
        );
    }
}

#[test]
fn hello_greets_whoever_says_a_name() {
    let server = Serving::example("hello");
    let mut silent = server.connect();
    silent.expect("Welcome!");
    server.connect().abort();
    let mut client = server.connect();
    client.expect("Welcome!");
    for (message, name) in [
        (&b"Ann"[..], &b"Ann"[..]),
        (b"Bob\n", b"Bob"),
        (b"Carl Otto\r\n", b"Carl Otto"),
        ("小明\n".as_bytes(), "小明".as_bytes()),
        (b"\xff\0", b"\xff\0"),
        (b"\n", b""),
        (b"exit now\n", b"exit now"),
    ] {
        client.send(message);
        client.expect([b"Hello, ", name, b"!"].concat());
    }
    for farewell in ["exit", "exit\n", "exit\r\n"] {
        let mut client = server.connect();
        client.expect("Welcome!");
        client.send(farewell);
        client.expect_end();
    }
    client.end_sending();
    client.expect_end();
    silent.send("Zoe");
    silent.expect("Hello, Zoe!");
}

#[test]
fn echo_suffix_answers_with_the_message_and_two_characters_more() {
    let server = Serving::example("echo_suffix");
    let mut waiting = server.connect();
    let welcome = "来自服务端的问候,你好";
    waiting.expect(welcome);
    server.connect().abort();
    for farewell in ["q", "q\n", "q\r\n", ""] {
        let mut client = server.connect();
        client.expect(welcome);
        for message in [
            &b"hello"[..],
            "你".as_bytes(),
            b"qq",
            b"\xff\n",
            &[b'x'; 4096],
        ] {
            client.send(message);
            client.expect([message, "好好".as_bytes()].concat());
        }
        client.send(farewell);
        client.end_sending();
        client.expect_end();
    }
    waiting.send("still here");
    waiting.expect("still here好好");
}

#[test]
fn chat_select_serves_a_hundred_clients_at_once() {
    let server = Serving::example("chat_select");
    let mut clients: Vec<_> = (0..100).map(|_| server.connect()).collect();
    for round in 0..3 {
        for (number, client) in clients.iter_mut().enumerate() {
            client.send(format!("第{round}次 {number}"));
        }
        for (number, client) in clients.iter_mut().enumerate().rev() {
            client.expect(format!("第{round}次 {number}hello"));
        }
        clients.pop().unwrap().abort();
        clients.pop().unwrap().end_sending();
        clients.remove(0).end();
    }
    let mut client = server.connect();
    client.send(b"\xff\xfe\0");
    client.expect(b"\xff\xfe\0hello");
}

#[test]
fn chat_select_lets_those_wait_at_the_door_for_whom_select_has_no_room() {
    let server = Serving::example("chat_select");
    let script = "
import resource
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (hard if 0 < hard < 4096 else 4096, hard))
clients = [dial() for _ in range(1100)]
for s in clients: s.sendall(b'x')
for s in clients[:1000]: assert s.recv(100) == b'xhello'
for s in clients[:100]: s.close()
for s in clients[1000:]: assert s.recv(100) == b'xhello'
print('ok')";
    assert_eq!(python(server.address, script), "ok\n");
}

#[test]
fn chat_select_does_not_wait_for_who_does_not_read() {
    let server = Serving::example("chat_select");
    let mut greedy = server.connect();
    // Until nobody on the way takes any more of it.
    greedy.0.set_nonblocking(true).unwrap();
    let mut sent = 0;
    let mut idle = 0;
    while idle < 20 {
        match greedy.0.write(&[b'x'; 4096]) {
            Ok(count) => (sent, idle) = (sent + count, 0),
            Err(_) => {
                // Somebody else is served meanwhile.
                let mut client = server.connect();
                client.send("me too");
                client.expect("me toohello");
                idle += 1;
            }
        }
    }
    greedy.0.set_nonblocking(false).unwrap();
    greedy.end_sending();
    let answers = greedy.rest();
    assert_eq!(answers.iter().filter(|byte| **byte == b'x').count(), sent);
    assert!(answers.ends_with(b"xhello"));
}

#[test]
fn servers_outlive_a_lack_of_descriptors() {
    for (name, greeting) in [
        ("count_chars", "welcome,"),
        ("one_reply", "Yes"),
        ("hello", "Welcome!"),
        ("chat_select", "xhello"),
    ] {
        let mut command = Command::new(example(name));
        command.arg("127.0.0.1:0").stderr(Stdio::piped());
        let mut server = Serving::spawn(command, |line| {
            line.strip_prefix("listening on ")?.parse().ok()
        });
        // Kept to the end, since the server may have more to say.
        let mut log = BufReader::new(server.child.stderr.take().unwrap());
        let process = server.child.id().to_string();
        let allow = |descriptors: &str| {
            let limit = format!("--nofile={descriptors}:");
            let output = run("prlimit", "util-linux", &["--pid", &process, &limit]);
            assert!(output.status.success(), "{output:?}");
        };
        allow("3"); // input, output and errors: no client fits
        let mut clients: Vec<_> = (0..3).map(|_| server.connect()).collect();
        for client in &mut clients {
            client.send("x");
            client.end_sending();
        }
        if name != "chat_select" {
            let mut line = String::new();
            log.read_line(&mut line).unwrap();
            assert!(line.contains("Too many open files"), "{name}: {line}");
        }
        allow("1024");
        clients
            .iter_mut()
            .for_each(|client| client.expect(greeting));
    }
}

#[test]
fn one_reply_says_yes_and_closes() {
    let server = Serving::example("one_reply");
    for request in [&b"?"[..], "好吗\n".as_bytes(), b"\xff", &[b'x'; 10_000]] {
        let mut client = server.connect();
        client.send(request);
        assert_eq!(client.rest(), b"Yes");
    }
    server.connect().abort();
    server.connect().end();
    let mut client = server.connect();
    client.send("GET / HTTP/1.0\r\n\r\n");
    client.expect("Yes");
    // It does not wait for us to close.
    let mut next = server.connect();
    next.send("me?");
    assert_eq!(next.rest(), b"Yes");
}

/// What curl shows of a URL: status, and body.
fn curl(server: &Serving, arguments: &[&str], path: &str) -> (String, Vec<u8>) {
    let url = format!("http://{}{path}", server.address);
    let always = [
        "-s",
        "-m",
        "60",
        "-w",
        "%{stderr}%{http_code} %{content_type}",
        &url,
    ];
    let output = run("curl", "curl", &[arguments, &always].concat());
    assert!(output.status.success(), "{output:?}");
    (String::from_utf8(output.stderr).unwrap(), output.stdout)
}

#[test]
fn http_by_hand_has_a_page_and_a_picture() {
    let server = Serving::example("http_by_hand");
    // A browser's connection in reserve.
    let _silent = server.connect();
    server.connect().abort();
    let (status, page) = curl(&server, &[], "/");
    assert_eq!(status, "200 text/html");
    let page = String::from_utf8(page).unwrap();
    assert!(page.contains("<img src=\"/test.jpg\""), "{page}");

    let (status, picture) = curl(&server, &[], "/test.jpg");
    assert_eq!(status, "200 image/jpeg");
    assert!(picture.starts_with(b"\xff\xd8\xff") && picture.ends_with(b"\xff\xd9"));
    assert!(picture.len() < 3000, "{}", picture.len());

    for path in ["/nothing", "/test.jpg/", "//", "/%2e%2e/", "/%E4%BD%A0"] {
        assert_eq!(curl(&server, &[], path).0, "404 text/plain", "{path}");
    }
    for method in [
        &["-X", "DELETE"][..],
        &["-d", "a=b"],
        &["-T", "/dev/null"],
        &["-I"],
    ] {
        assert_eq!(curl(&server, method, "/").0, "405 text/plain", "{method:?}");
    }
}

#[test]
fn http_by_hand_takes_a_head_in_pieces_and_refuses_what_is_none() {
    let server = Serving::example("http_by_hand");
    for (request, status) in [
        (&b"GET / HTTP/1.0\r\n\r\n"[..], "200 OK\r\n"),
        (
            b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\n",
            "405 Method Not Allowed\r\nAllow: GET\r\n",
        ),
        (b"hello\r\n\r\n", "400 Bad Request\r\n"),
        (b"\xff\xff\r\n\r\n", "400 Bad Request\r\n"),
    ] {
        let mut client = server.connect();
        request.iter().for_each(|byte| client.send([*byte]));
        let reply = client.rest();
        let start = format!("HTTP/1.1 {status}");
        assert!(
            reply.starts_with(start.as_bytes()),
            "{}",
            reply.escape_ascii()
        );
    }
    for start in ["", "GET / HTTP/1.1\r\nX: "] {
        let mut client = server.connect();
        client.send(start.to_owned() + &"x".repeat(10_000));
        assert!(client.rest().starts_with(b"HTTP/1.1 431 "), "{start}");
    }
}

#[test]
fn daytime_tells_the_same_over_tcp_and_udp() {
    let server = Serving::example("daytime");
    server.connect().abort();
    for _ in 0..3 {
        let over_tcp = server.connect().rest();
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(FOREVER)).unwrap();
        let mut over_udp = [0; 100];
        let mut length = 0;
        for question in [&b""[..], b"what time is it?"] {
            socket.send_to(question, server.address).unwrap();
            length = socket.recv(&mut over_udp).unwrap();
        }
        for line in [&over_tcp[..], &over_udp[..length]] {
            let text = std::str::from_utf8(line).unwrap();
            let time = text.strip_suffix("\r\n").expect("it is a line");
            let told = httpdate::parse_http_date(time).unwrap();
            let distance = told.elapsed().unwrap();
            assert!(distance < FOREVER, "{text}");
        }
    }
}

#[test]
fn udp_echo_sends_each_datagram_back_to_its_sender() {
    let server = Serving::example("udp_echo");
    let sockets: Vec<_> = (0..10)
        .map(|_| {
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            socket.set_read_timeout(Some(FOREVER)).unwrap();
            socket
        })
        .collect();
    for length in [0, 1, 1472, 9000, 65507] {
        for (number, socket) in (0..).zip(&sockets) {
            let sent = vec![number; length];
            socket.send_to(&sent, server.address).unwrap();
            let mut received = [0xff; 65507];
            let (count, from) = socket.recv_from(&mut received).unwrap();
            assert_eq!(from, server.address);
            assert!(received[..count] == sent, "{length} bytes came as {count}");
        }
    }
}

#[test]
fn echo_runs_under_every_model() {
    for model in ["sequential", "threads", "forks", "events", "cores"] {
        let mut command = Command::new(example("models"));
        command.args(["127.0.0.1:0", model]);
        let server = Serving::spawn(command, |line| {
            line.strip_prefix("listening on ")?.parse().ok()
        });
        let mut client = server.connect();
        client.send("好");
        client.expect("好");
        client.end();
    }
    let output = run(
        example("models").to_str().unwrap(),
        "",
        &["127.0.0.1:0", "x"],
    );
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.contains("forks"), "{error}");
}

#[test]
fn framed_echo_cures_what_is_glued_and_split() {
    let server = Serving::example("framed_echo");
    let frames = Frames::new();
    let mut sent = Vec::new();
    for payload in ["ab".as_bytes(), b"", "你好".as_bytes(), b"\0\0\0\x01"] {
        frames.encode(payload, &mut sent).unwrap();
    }
    for cut in 0..=sent.len() {
        let mut client = server.connect();
        client.send(&sent[..cut]);
        client.send(&sent[cut..]);
        client.expect(&sent);
        client.end();
    }
    let mut client = server.connect();
    for byte in &sent {
        client.send([*byte]);
    }
    client.expect(&sent);
    let mut longest = Vec::new();
    frames.encode(&vec![7; MAX_FRAME], &mut longest).unwrap();
    client.send(&longest);
    client.expect(&longest);
    // Half a frame, then nothing more.
    client.send(&sent[..5]);
    client.end();
}

#[test]
fn framed_echo_closes_on_a_frame_that_is_too_long() {
    let server = Serving::example("framed_echo");
    server.connect().abort();
    for start in [*b"GET ", (MAX_FRAME as u32 + 1).to_be_bytes()] {
        let mut client = server.connect();
        client.send(start);
        client.expect_end();
    }
    let mut client = server.connect();
    client.send(b"\0\0\0\x01!");
    client.expect(b"\0\0\0\x01!");
}

#[test]
fn pythons_sockets_talk_to_all_of_them() {
    let talk = |name, script| {
        let server = Serving::example(name);
        assert_eq!(python(server.address, script), "ok\n", "{name}");
    };
    talk("count_chars", "
s = dial(); s.sendall('你好 \\n'.encode())
assert rest(s).decode() == 'welcome,%s:%d\\nPlease enter a string:You entered 2 characters.\\n' % s.getsockname()
print('ok')");
    talk(
        "hello",
        "
s = dial(); assert s.recv(100) == b'Welcome!'
s.sendall('小明'.encode()); assert s.recv(100).decode() == 'Hello, 小明!'
s.sendall(b'exit'); assert rest(s) == b''
print('ok')",
    );
    talk(
        "echo_suffix",
        "
s = dial(); assert s.recv(100).decode() == '来自服务端的问候,你好'
s.sendall(b'x'); assert s.recv(100).decode() == 'x好好'
s.sendall(b'q'); assert rest(s) == b''
print('ok')",
    );
    talk(
        "chat_select",
        "
clients = [dial() for _ in range(100)]
for n, s in enumerate(clients): s.sendall(b'%d' % n)
for n, s in enumerate(clients): assert s.recv(100) == b'%dhello' % n
print('ok')",
    );
    talk(
        "one_reply",
        "
s = dial(); s.sendall(b'?'); assert rest(s) == b'Yes'
print('ok')",
    );
    talk(
        "daytime",
        "
from email.utils import parsedate
assert parsedate(rest(dial()).decode())
s = socket.socket(type=socket.SOCK_DGRAM); s.settimeout(60)
s.sendto(b'', address); assert parsedate(s.recv(100).decode())
print('ok')",
    );
    talk(
        "udp_echo",
        "
s = socket.socket(type=socket.SOCK_DGRAM); s.settimeout(60)
s.sendto(b'ping', address); assert s.recvfrom(100) == (b'ping', address)
print('ok')",
    );
    talk(
        "framed_echo",
        "
import struct
s = dial(); frame = lambda m: struct.pack('>I', len(m)) + m
s.sendall(frame(b'ab') + frame(b'c')); s.shutdown(socket.SHUT_WR)
assert rest(s) == frame(b'ab') + frame(b'c')
print('ok')",
    );
}

#[test]
fn an_address_in_use_is_named() {
    let taken = create_server(&"127.0.0.1:0".parse().unwrap(), false).unwrap();
    let address = taken.sock_name().unwrap().to_string();
    for name in [
        "count_chars",
        "hello",
        "echo_suffix",
        "chat_select",
        "one_reply",
        "http_by_hand",
        "daytime",
        "framed_echo",
    ] {
        let output = run(example(name).to_str().unwrap(), "", &[&address]);
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(
            !output.status.success() && error.contains(&address),
            "{name}: {error}"
        );
    }
}

#[test]
fn a_datagram_address_in_use_is_named() {
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = run(example("udp_echo").to_str().unwrap(), "", &[&address]);
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(
        !output.status.success() && error.contains(&address),
        "{error}"
    );
}
