//! Python's own `socket` at the other end, as client and as server: what we
//! call by the same names must mean the same.

mod common;

use std::fs::File;
use std::io::{BufRead, BufReader, IoSlice, IoSliceMut, Read, Seek, Write};
use std::os::fd::AsFd;
use std::process::{Child, ChildStdout, Command, Stdio};

use common::{FOREVER, over_each_family};
use hythe_net::option::{OobInline, RecvTimeout};
use hythe_net::{Addr, Domain, How, Kind, More, Socket, TimedSocket, create_server};

/// What every program begins with: our way to write addresses.
const PRELUDE: &str = r#"
import os, select, socket, sys
def parse(text):
    if text.startswith('unix:@'):
        return socket.AF_UNIX, '\0' + text[6:]
    if text.startswith('unix:'):
        return socket.AF_UNIX, text[5:]
    host, port = text.rsplit(':', 1)
    host = host.strip('[]')
    return (socket.AF_INET6 if ':' in host else socket.AF_INET), (host, int(port))
def show(sock):
    name = sock.getsockname()
    if sock.family == socket.AF_INET:
        print('%s:%d' % name, flush=True)
    elif sock.family == socket.AF_INET6:
        print('[%s]:%d' % name[:2], flush=True)
    else:
        print(sys.argv[1], flush=True)
family, address = parse(sys.argv[1])
def connect():
    sock = socket.socket(family)
    sock.connect(address)
    return sock
def accept():
    listener = socket.socket(family)
    listener.bind(address)
    listener.listen()
    show(listener)
    return listener.accept()[0]
def all(sock):
    return b''.join(iter(lambda: sock.recv(4096), b''))
"#;

/// A running program, ended and waited for when dropped.
struct Python {
    child: Child,
    output: BufReader<ChildStdout>,
}

impl Python {
    fn start(program: &str, address: &Addr) -> Self {
        let mut child = Command::new("python3")
            .args(["-c", &format!("{PRELUDE}{program}"), &address.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("this test needs python3: apt-get install python3");
        let output = BufReader::new(child.stdout.take().unwrap());
        Self { child, output }
    }

    /// The next line it prints.
    fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    /// Where it listens, which it prints first.
    fn address(&mut self) -> Addr {
        self.line().parse().unwrap()
    }

    /// All else that it prints, once it has ended well.
    fn end(mut self) -> String {
        let mut text = String::new();
        self.output.read_to_string(&mut text).unwrap();
        assert!(self.child.wait().unwrap().success());
        text.trim_end().to_owned()
    }
}

impl Drop for Python {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// The next client, or a failure if the program never comes.
fn accept(listener: &Socket) -> Socket {
    listener.set(RecvTimeout(Some(FOREVER))).unwrap();
    let (socket, _) = listener.accept().unwrap();
    socket.set(RecvTimeout(Some(FOREVER))).unwrap();
    socket
}

fn connect(address: &Addr) -> TimedSocket {
    let socket = TimedSocket::new(address.domain(), Kind::STREAM).unwrap();
    socket.connect(address).unwrap();
    socket
}

fn read_all(socket: &Socket) -> Vec<u8> {
    let (mut all, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        match socket.recv(&mut buffer).unwrap() {
            0 => return all,
            count => all.extend(&buffer[..count]),
        }
    }
}

fn temporary(content: &[u8]) -> File {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(content).unwrap();
    file.rewind().unwrap();
    file
}

#[test]
fn a_python_client_ends_its_half_and_still_gets_the_answer() {
    over_each_family(|address| {
        let listener = create_server(address, false).unwrap();
        let program = r#"
sock = connect()
sock.sendall(b'question' * 10000)
sock.shutdown(socket.SHUT_WR)
print(all(sock).decode())
"#;
        let python = Python::start(program, &listener.sock_name().unwrap());
        let socket = accept(&listener);
        assert_eq!(read_all(&socket), b"question".repeat(10000));
        socket.send(b"answer", More::No).unwrap();
        socket.close();
        assert_eq!(python.end(), "answer");
    });
}

#[test]
fn a_python_server_answers_after_our_half_has_ended() {
    over_each_family(|address| {
        let program = r#"
sock = accept()
sock.sendall(all(sock).upper())
"#;
        let mut python = Python::start(program, address);
        let socket = connect(&python.address());
        socket.send_all(b"question").unwrap();
        socket.shutdown(How::Write).unwrap();
        assert_eq!(read_all(socket.socket().unwrap()), b"QUESTION");
        python.end();
    });
}

#[test]
fn a_python_client_gets_its_datagram_back() {
    over_each_family(|address| {
        let server = Socket::new(address.domain(), Kind::DATAGRAM).unwrap();
        server.bind(address).unwrap();
        server.set(RecvTimeout(Some(FOREVER))).unwrap();
        let program = r#"
sock = socket.socket(family, socket.SOCK_DGRAM)
# A Unix client has no address to answer to unless it takes one; this one lets
# the kernel choose.
sock.bind('' if family == socket.AF_UNIX else (address[0], 0))
sock.sendto(b'one', address)
sock.sendto(b'', address)
print([sock.recvfrom(100)[0] for _ in range(2)])
"#;
        let python = Python::start(program, &server.sock_name().unwrap());
        for expected in [&b"one"[..], b""] {
            let mut buffer = [0; 100];
            let (count, from) = server.recv_from(&mut buffer).unwrap();
            assert_eq!(&buffer[..count], expected);
            assert_eq!(server.send_to(expected, &from).unwrap(), count);
        }
        assert_eq!(python.end(), "[b'one', b'']");
    });
}

#[test]
fn a_python_server_sends_our_datagram_back() {
    over_each_family(|address| {
        let program = r#"
sock = socket.socket(family, socket.SOCK_DGRAM)
sock.bind(address)
show(sock)
data, peer = sock.recvfrom(100)
sock.sendto(data.upper(), peer)
"#;
        let mut python = Python::start(program, address);
        let server = python.address();
        let client = Socket::new(server.domain(), Kind::DATAGRAM).unwrap();
        let own: Addr = match (&server, server.domain()) {
            (Addr::Unix(_), _) => Addr::unnamed(),
            (_, Domain::INET6) => "[::1]:0".parse().unwrap(),
            _ => "127.0.0.1:0".parse().unwrap(),
        };
        client.bind(&own).unwrap();
        client.set(RecvTimeout(Some(FOREVER))).unwrap();
        client.send_to(b"datagram", &server).unwrap();
        let mut buffer = [0; 100];
        assert_eq!(client.recv_from(&mut buffer).unwrap(), (8, server));
        assert_eq!(&buffer[..8], b"DATAGRAM");
        python.end();
    });
}

#[test]
fn an_urgent_byte_from_python_stands_at_the_mark() {
    let listener = create_server(&"127.0.0.1:0".parse().unwrap(), false).unwrap();
    let program = r#"
sock = connect()
sock.sendall(b'ab')
sock.send(b'!', socket.MSG_OOB)
sock.sendall(b'cd')
"#;
    for inline in [false, true] {
        let python = Python::start(program, &listener.sock_name().unwrap());
        let socket = accept(&listener);
        socket.set(OobInline(inline)).unwrap();
        python.end();

        // It has ended, so all is here; and a read ends at the mark.
        let mut buffer = [0; 8];
        assert!(!socket.at_mark().unwrap());
        assert_eq!(socket.recv(&mut buffer).unwrap(), 2);
        assert!(socket.at_mark().unwrap());
        if !inline {
            assert_eq!(socket.recv_urgent().unwrap(), b'!');
        }
        let rest: &[u8] = if inline { b"!cd" } else { b"cd" };
        assert_eq!(read_all(&socket), rest);
    }
}

#[test]
fn an_urgent_byte_of_ours_reaches_python_aside() {
    let program = r#"
sock = accept()
select.select([], [], [sock])
print(sock.recv(1, socket.MSG_OOB), all(sock))
"#;
    let mut python = Python::start(program, &"127.0.0.1:0".parse().unwrap());
    let socket = connect(&python.address());
    socket.send_all(b"ab").unwrap();
    socket.socket().unwrap().send_urgent(b'!').unwrap();
    socket.send_all(b"cd").unwrap();
    socket.shutdown(How::Write).unwrap();
    assert_eq!(python.end(), "b'!' b'abcd'");
}

#[test]
fn descriptors_that_python_passes_are_open_here() {
    let folder = tempfile::tempdir().unwrap();
    let listener = create_server(&Addr::unix(folder.path().join("s")).unwrap(), false).unwrap();
    let program = r#"
sock = connect()
pipes = [os.pipe(), os.pipe()]
for index, (_, write) in enumerate(pipes):
    os.write(write, b'pipe %d' % index)
socket.send_fds(sock, [b'take ', b'these'], [read for read, _ in pipes])
"#;
    let python = Python::start(program, &listener.sock_name().unwrap());
    let socket = accept(&listener);
    let mut buffer = [0; 100];
    let message = socket
        .recv_msg(&mut [IoSliceMut::new(&mut buffer)], 8)
        .unwrap();
    assert!(!message.truncated && !message.control_truncated);
    assert_eq!(&buffer[..message.bytes], b"take these");
    python.end();
    let contents: Vec<String> = message
        .fds
        .into_iter()
        .map(|fd| std::io::read_to_string(File::from(fd)).unwrap())
        .collect();
    assert_eq!(contents, ["pipe 0", "pipe 1"]);
}

#[test]
fn descriptors_that_we_pass_are_open_in_python() {
    let folder = tempfile::tempdir().unwrap();
    let program = r#"
sock = accept()
data, fds, flags, _ = socket.recv_fds(sock, 100, 8)
print(data, [os.read(fd, 100) for fd in fds], flags & socket.MSG_CTRUNC)
"#;
    let mut python = Python::start(program, &Addr::unix(folder.path().join("s")).unwrap());
    let socket = connect(&python.address());
    let (one, other) = (temporary(b"one"), temporary(b"other"));
    let pieces = [IoSlice::new(b"take "), IoSlice::new(b"these")];
    let sent = socket
        .socket()
        .unwrap()
        .send_msg(&pieces, &[one.as_fd(), other.as_fd()], None);
    assert_eq!(sent.unwrap(), 10);
    assert_eq!(python.end(), "b'take these' [b'one', b'other'] 0");
}
