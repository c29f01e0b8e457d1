//! Sockets with a timeout, and dialling: one deadline a call, wholes, and
//! what closing means.

mod common;

use std::fs::File;
use std::io::{ErrorKind, IoSlice, IoSliceMut, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::thread;
use std::time::Duration;

use common::{FOREVER, alone, over_each_connection, over_each_family};
use hythe_net::option::SendBuffer;
use hythe_net::{
    Addr, Domain, How, Kind, More, ServerOptions, Socket, TimedSocket, create_server,
    create_server_with, dial,
};

/// Long enough to be noticed, short enough to be waited for.
const SHORT: Duration = Duration::from_millis(50);

fn listener() -> Socket {
    create_server(&"127.0.0.1:0".parse().unwrap(), false).unwrap()
}

#[test]
fn a_whole_file_goes_by_sendfile_or_by_a_copy() {
    over_each_connection(|one, other| {
        let content: Vec<u8> = (0..300_000_u32).map(|at| at as u8).collect();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&content).unwrap();
        // `sendfile(2)` refuses to append, which means nothing to a socket.
        for flags in [rustix::fs::OFlags::empty(), rustix::fs::OFlags::APPEND] {
            rustix::fs::fcntl_setfl(&one, flags).unwrap();
            let copies = one.send_file(file.as_fd(), &mut 0, 0).is_err();
            assert_eq!(copies, !flags.is_empty());
            let sender = TimedSocket::from(one.try_clone().unwrap());
            for (offset, count, sent) in [
                (7, Some(100_000), 100_000),
                (250_000, None, 50_000),
                (299_999, Some(5), 1),
                (300_000, None, 0),
                (5, Some(0), 0),
            ] {
                let receiver = TimedSocket::from(other.try_clone().unwrap());
                let mut received = vec![0; sent];
                thread::scope(|scope| {
                    scope.spawn(|| receiver.recv_exact(&mut received).unwrap());
                    let result = sender.send_file(&file, offset, count);
                    assert_eq!(result.unwrap(), sent as u64);
                });
                assert_eq!(received, content[offset as usize..][..sent]);
            }
        }
    });
}

#[test]
fn only_regular_files_are_sent_and_only_over_streams() {
    let (stream, _one) = Socket::pair(Domain::UNIX, Kind::STREAM).unwrap();
    let (datagrams, _other) = Socket::pair(Domain::UNIX, Kind::DATAGRAM).unwrap();
    for (socket, path) in [
        (&stream, "/"),
        (&stream, "/dev/zero"),
        (&datagrams, "/proc/self/exe"),
    ] {
        let socket = TimedSocket::from(socket.try_clone().unwrap());
        let error = socket
            .send_file(&File::open(path).unwrap(), 0, Some(1))
            .unwrap_err();
        assert_eq!(
            (error.done, error.error.kind()),
            (0, ErrorKind::InvalidInput),
            "{path}"
        );
    }
}

#[test]
fn closing_twice_is_nothing_and_use_after_it_never_reaches_a_reused_descriptor() {
    let _alone = alone();
    let (one, _other) = Socket::pair(Domain::UNIX, Kind::STREAM).unwrap();
    let number = one.as_fd().as_raw_fd();
    let mut socket = TimedSocket::from(one);
    socket.close();
    socket.close();

    // Somebody else's, of the same number unless another thread was quicker.
    let (reused, peer) = Socket::pair(Domain::UNIX, Kind::STREAM).unwrap();
    let numbers = [reused.as_fd().as_raw_fd(), peer.as_fd().as_raw_fd()];
    println!("{number} and then {numbers:?}");
    for error in [
        socket.send(b"x").unwrap_err(),
        socket.recv(&mut [0]).unwrap_err(),
        socket.send_all(b"x").unwrap_err().error,
        socket.accept().unwrap_err(),
        socket.shutdown(How::Both).unwrap_err(),
        socket.set_timeout(None).unwrap_err(),
        socket.detach().unwrap_err(),
        socket.socket().unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::NotConnected);
        assert_eq!(error.to_string(), "the socket is closed");
    }
    assert_eq!(socket.connect_ex(&Addr::unnamed()), libc::EBADF);
    peer.set_blocking(false).unwrap();
    assert_eq!(
        peer.recv(&mut [0]).unwrap_err().kind(),
        ErrorKind::WouldBlock
    );
}

#[test]
fn a_detached_descriptor_stays_open() {
    let (one, other) = Socket::pair(Domain::UNIX, Kind::STREAM).unwrap();
    let mut socket = TimedSocket::from(one);
    let fd = socket.detach().unwrap();
    socket.close();
    drop(socket);
    Socket::from_fd(fd).send(b"still", More::No).unwrap();
    assert_eq!(other.recv(&mut [0; 8]).unwrap(), 5);
}

#[test]
fn a_timeout_has_an_error_of_its_own_and_zero_does_not_wait() {
    over_each_family(|address| {
        let mut listener = TimedSocket::from(create_server(address, false).unwrap());
        let client = TimedSocket::new(address.domain(), Kind::STREAM).unwrap();
        client
            .connect(&listener.socket().unwrap().sock_name().unwrap())
            .unwrap();
        let (mut server, _) = listener.accept().unwrap();
        assert_eq!(server.timeout(), None);

        for (timeout, kind) in [
            (SHORT, ErrorKind::TimedOut),
            (Duration::ZERO, ErrorKind::WouldBlock),
        ] {
            listener.set_timeout(Some(timeout)).unwrap();
            server.set_timeout(Some(timeout)).unwrap();
            assert_eq!(server.timeout(), Some(timeout));
            for error in [
                listener.accept().unwrap_err(),
                server.recv(&mut [0]).unwrap_err(),
                server.recv_from(&mut [0]).unwrap_err(),
                server.recv_exact(&mut [0]).unwrap_err().error,
                server.peek(&mut [0]).unwrap_err(),
                server
                    .recv_msg(&mut [IoSliceMut::new(&mut [0])], 1)
                    .unwrap_err(),
            ] {
                assert_eq!(error.kind(), kind);
                // The network's own timeout has a number.
                assert_eq!(error.raw_os_error().is_none(), kind == ErrorKind::TimedOut);
            }
        }
        // What comes in time is received; for ever, and for longer than clocks go.
        for timeout in [None, Some(Duration::MAX), Some(FOREVER)] {
            server.set_timeout(timeout).unwrap();
            let pieces = [IoSlice::new(b"a"), IoSlice::new(b"bc")];
            assert_eq!(client.send_msg(&pieces, &[], None).unwrap(), 3);
            let mut buffer = [0; 3];
            server.recv_exact(&mut buffer).unwrap();
            assert_eq!(&buffer, b"abc");
        }
    });
}

#[test]
fn send_all_tells_how_much_went_out() {
    over_each_connection(|one, other| {
        let mut one = TimedSocket::from(one);
        let data = vec![7; 64 << 20];
        one.set_timeout(Some(SHORT)).unwrap();
        let unfinished = one.send_all(&data).unwrap_err();
        assert_eq!(unfinished.error.kind(), ErrorKind::TimedOut);
        assert!(0 < unfinished.done && unfinished.done < data.len() as u64);

        one.close();
        let (mut received, mut buffer) = (0, vec![0; 1 << 20]);
        loop {
            match other.recv(&mut buffer).unwrap() {
                0 => break,
                count => received += count as u64,
            }
        }
        assert_eq!(received, unfinished.done);
    });
}

#[test]
fn a_file_that_does_not_go_out_tells_how_much_did() {
    over_each_connection(|one, other| {
        let file = tempfile::tempfile().unwrap();
        file.set_len(64 << 20).unwrap();
        let mut one = TimedSocket::from(one);
        one.set_timeout(Some(SHORT)).unwrap();
        let unfinished = one.send_file(&file, 1, None).unwrap_err();
        assert_eq!(unfinished.error.kind(), ErrorKind::TimedOut);
        one.shutdown(How::Write).unwrap();
        let receiver = TimedSocket::from(other);
        let mut received = vec![0; unfinished.done as usize];
        receiver.recv_exact(&mut received).unwrap();
        assert_eq!(receiver.recv(&mut [0]).unwrap(), 0);
    });
}

#[test]
fn a_peer_that_takes_a_little_at_a_time_does_not_outlast_the_timeout() {
    let (one, other) = Socket::pair(Domain::UNIX, Kind::STREAM).unwrap();
    one.set(SendBuffer(8 * 1024)).unwrap();
    let mut one = TimedSocket::from(one);
    one.set_timeout(Some(SHORT)).unwrap();
    // Were each piece given a timeout of its own, this would never end.
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut buffer = [0; 512];
            while other.recv(&mut buffer).unwrap() > 0 {
                thread::sleep(Duration::from_millis(1));
            }
        });
        let unfinished = one.send_all(&vec![0; 1 << 30]).unwrap_err();
        assert_eq!(unfinished.error.kind(), ErrorKind::TimedOut);
        one.close();
    });
}

#[test]
fn what_ends_early_tells_how_much_came() {
    over_each_connection(|one, other| {
        one.send(b"abc", More::No).unwrap();
        one.close();
        let mut buffer = [b'-'; 5];
        let unfinished = TimedSocket::from(other)
            .recv_exact(&mut buffer)
            .unwrap_err();
        assert_eq!(unfinished.done, 3);
        assert_eq!(unfinished.error.kind(), ErrorKind::UnexpectedEof);
        assert_eq!(&buffer, b"abc--");
        assert!(unfinished.to_string().ends_with("(after 3 bytes)"));
    });
}

/// A listener that lets nobody in any more, and who waits there already.
fn full(address: &Addr) -> (Socket, Vec<Socket>) {
    let options = ServerOptions {
        backlog: 0,
        ..ServerOptions::default()
    };
    let listener = create_server_with(address, &options).unwrap();
    let name = listener.sock_name().unwrap();
    let mut waiting = Vec::new();
    loop {
        let mut socket = TimedSocket::new(name.domain(), Kind::STREAM).unwrap();
        socket.set_timeout(Some(SHORT)).unwrap();
        match socket.connect(&name) {
            Ok(()) => waiting.push(Socket::from_fd(socket.detach().unwrap())),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::TimedOut);
                assert_eq!(error.raw_os_error(), None);
                return (listener, waiting);
            }
        }
    }
}

#[test]
fn connecting_obeys_the_timeout() {
    over_each_family(|address| {
        let (listener, waiting) = full(address);
        assert!(!waiting.is_empty());
        let name = listener.sock_name().unwrap();
        let mut socket = TimedSocket::new(name.domain(), Kind::STREAM).unwrap();
        socket.set_timeout(Some(SHORT)).unwrap();
        assert_eq!(socket.connect_ex(&name), libc::EAGAIN);
    });
    over_each_family(|address| {
        // In time, it is as good as without one, and the timeout stays.
        let listener = create_server(address, false).unwrap();
        let mut socket = TimedSocket::new(address.domain(), Kind::STREAM).unwrap();
        socket.set_timeout(Some(SHORT)).unwrap();
        socket.connect(&listener.sock_name().unwrap()).unwrap();
        assert_eq!(
            socket.recv(&mut [0]).unwrap_err().kind(),
            ErrorKind::TimedOut
        );
    });
}

#[test]
fn dialling_tries_every_address_and_obeys_the_timeout() {
    over_each_family(|address| {
        let listener = create_server(address, false).unwrap();
        let name = listener.sock_name().unwrap();
        let socket = dial(&name.to_string(), Some(FOREVER), None).unwrap();
        assert_eq!(socket.peer_name().unwrap(), name);
        let flags = rustix::fs::fcntl_getfl(&socket).unwrap();
        assert!(!flags.contains(rustix::fs::OFlags::NONBLOCK));
    });
    // The name may stand for ::1 as well, where nobody listens.
    let listener = listener();
    let port = listener.sock_name().unwrap().port().unwrap();
    dial(&format!("localhost:{port}"), None, None).unwrap();

    let (stuck, _waiting) = full(&"127.0.0.1:0".parse().unwrap());
    let error = dial(&stuck.sock_name().unwrap().to_string(), Some(SHORT), None).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
}

#[test]
fn dialling_keeps_the_last_errors_number() {
    let port = listener().sock_name().unwrap().port().unwrap();
    for host in ["127.0.0.1", "[::1]", "localhost"] {
        for timeout in [None, Some(FOREVER)] {
            let error = dial(&format!("{host}:{port}"), timeout, None).unwrap_err();
            assert_eq!(error.raw_os_error(), Some(libc::ECONNREFUSED), "{host}");
        }
    }
    let error = dial("unix:/no/such", None, None).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::ENOENT));
}

#[test]
fn dialling_goes_out_from_the_source() {
    let listener = listener();
    let name = listener.sock_name().unwrap().to_string();
    let source = "127.0.0.9:0".parse().unwrap();
    let socket = dial(&name, None, Some(&source)).unwrap();
    assert_eq!(socket.sock_name().unwrap().ip(), source.ip());
    let other = "[::1]:0".parse().unwrap();
    let error = dial(&name, None, Some(&other)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AddrNotAvailable);
}
