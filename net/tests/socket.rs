//! Sockets, as the kernel's manual pages and Python's `socket` promise them.

mod common;

use std::fs::File;
use std::io::{ErrorKind, IoSlice, IoSliceMut, Write};
use std::os::fd::{AsFd, OwnedFd};

use common::{alone, over_each_connection, over_each_family};
use hythe_net::option::{DomainOf, KindOf, PassCred, ProtocolOf, Timestamp};
use hythe_net::{
    Addr, Domain, How, Kind, More, ServerOptions, Socket, TimedSocket, create_server,
    create_server_with, dial,
};
use rustix::io::{FdFlags, fcntl_getfd};

fn listener() -> Socket {
    create_server(&"127.0.0.1:0".parse().unwrap(), false).unwrap()
}

fn connected(listener: &Socket) -> Socket {
    let socket = Socket::new(Domain::INET, Kind::STREAM).unwrap();
    socket.connect(&listener.sock_name().unwrap()).unwrap();
    socket
}

#[test]
fn port_zero_reports_the_real_port() {
    for address in ["127.0.0.1:0", "[::1]:0"] {
        let listener = create_server(&address.parse().unwrap(), false).unwrap();
        assert_ne!(listener.sock_name().unwrap().port().unwrap(), 0);
    }
}

#[test]
fn every_family_and_kind_opens_by_name_and_by_number() {
    for (domain, kind) in [
        (Domain::INET, Kind::STREAM),
        (Domain::INET6, Kind::DATAGRAM),
        (Domain::UNIX, Kind::SEQPACKET),
        (Domain::NETLINK, Kind::RAW),
        (Domain::NETLINK, Kind::DATAGRAM),
    ] {
        for socket in [
            Socket::new(domain, kind).unwrap(),
            Socket::new(
                Domain::from_number(domain.number()),
                Kind::from_number(kind.number()),
            )
            .unwrap(),
        ] {
            assert_eq!(socket.get::<DomainOf>().unwrap().0, domain.number().into());
            assert_eq!(socket.get::<KindOf>().unwrap().0 as u32, kind.number());
        }
    }
    let tcp = libc::IPPROTO_TCP;
    let socket = Socket::with_protocol(Domain::INET, Kind::STREAM, tcp as u32).unwrap();
    assert_eq!(socket.get::<ProtocolOf>().unwrap().0, tcp);
}

#[test]
fn raw_and_packet_sockets_open_for_the_privileged_and_are_refused_to_others() {
    let privileged = rustix::process::geteuid().is_root();
    let icmp = libc::IPPROTO_ICMP as u32;
    for opened in [
        Socket::with_protocol(Domain::INET, Kind::RAW, icmp),
        Socket::new(Domain::PACKET, Kind::DATAGRAM),
    ] {
        match opened {
            Ok(_) => {}
            // In a container, even root may lack CAP_NET_RAW.
            Err(error) if privileged => assert_eq!(error.raw_os_error(), Some(libc::EPERM)),
            Err(error) => assert_eq!(error.kind(), ErrorKind::PermissionDenied),
        }
    }
}

#[test]
fn vsock_opens_where_the_kernel_has_it() {
    match Socket::new(Domain::VSOCK, Kind::STREAM) {
        Ok(socket) => assert_eq!(socket.get::<DomainOf>().unwrap().0, libc::AF_VSOCK),
        Err(error) => assert_eq!(error.raw_os_error(), Some(libc::EAFNOSUPPORT)),
    }
}

#[test]
fn what_comes_from_a_family_without_names_is_not_lost() {
    let socket = Socket::new(Domain::NETLINK, Kind::RAW).unwrap();
    // A header (netlink(7)) and nothing else: NLMSG_NOOP, which the kernel
    // acknowledges (NLM_F_REQUEST | NLM_F_ACK) to who sent it.
    let mut request = Vec::from(16_u32.to_ne_bytes());
    request.extend(1_u16.to_ne_bytes());
    request.extend(5_u16.to_ne_bytes());
    request.extend([0; 8]);

    assert_eq!(socket.send(&request, More::No).unwrap(), request.len());
    let mut buffer = [0; 256];
    let (count, kernel) = socket.recv_from(&mut buffer).unwrap();
    assert!(count >= 16);
    assert_eq!(kernel.domain(), Domain::NETLINK);
    assert_eq!(kernel.to_string(), "family 16");
    assert_eq!(
        (kernel.ip(), kernel.port(), kernel.path()),
        (None, None, None)
    );

    // What was received can be answered.
    assert_eq!(socket.send_to(&request, &kernel).unwrap(), request.len());
    let mut buffers = [IoSliceMut::new(&mut buffer)];
    let message = socket.recv_msg(&mut buffers, 0).unwrap();
    assert_eq!((message.bytes, message.from), (count, kernel.clone()));

    let own = socket.sock_name().unwrap();
    assert_eq!(own.domain(), Domain::NETLINK);
    assert_ne!(own, kernel);
}

#[test]
fn everything_is_closed_on_exec() {
    let listener = listener();
    let client = connected(&listener);
    let (accepted, _) = listener.accept().unwrap();
    let _other = connected(&listener);
    let nonblocking = listener.accept_nonblocking().unwrap();
    let (one, two) = Socket::pair(Domain::UNIX, Kind::STREAM).unwrap();
    let clone = one.try_clone().unwrap();
    one.send_msg(&[IoSlice::new(b"x")], &[two.as_fd()], None)
        .unwrap();
    let mut message = two.recv_msg(&mut [IoSliceMut::new(&mut [0])], 1).unwrap();
    let received = Socket::from_fd(message.fds.remove(0));
    for socket in [
        listener,
        client,
        accepted,
        nonblocking,
        one,
        two,
        clone,
        received,
    ] {
        assert_eq!(fcntl_getfd(&socket).unwrap(), FdFlags::CLOEXEC);
    }
}

#[test]
fn an_accepted_socket_is_blocking_whatever_its_listener_is() {
    let listener = listener();
    let client = connected(&listener);
    listener.set_blocking(false).unwrap();
    let (accepted, peer) = listener.accept().unwrap();
    assert_eq!(peer, client.sock_name().unwrap());
    let flags = rustix::fs::fcntl_getfl(&accepted).unwrap();
    assert!(!flags.contains(rustix::fs::OFlags::NONBLOCK));
}

#[test]
fn calls_that_would_wait_say_so_on_a_nonblocking_socket() {
    let listener = listener();
    listener.set_blocking(false).unwrap();
    assert_eq!(listener.accept().unwrap_err().kind(), ErrorKind::WouldBlock);

    let socket = Socket::new(Domain::INET, Kind::STREAM).unwrap();
    socket.set_blocking(false).unwrap();
    let error = socket.connect(&listener.sock_name().unwrap()).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::EINPROGRESS));

    let (one, _other) = Socket::pair(Domain::UNIX, Kind::STREAM).unwrap();
    one.set_blocking(false).unwrap();
    for error in [
        one.recv(&mut [0]).unwrap_err(),
        one.peek(&mut [0]).unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::WouldBlock);
    }
}

#[test]
fn a_send_may_be_partial_and_then_would_wait() {
    let (one, other) = Socket::pair(Domain::UNIX, Kind::STREAM).unwrap();
    one.set_blocking(false).unwrap();
    let data = vec![7; 16 << 20];
    let sent = one.send(&data, More::No).unwrap();
    assert!(0 < sent && sent < data.len());
    while one.send(&data, More::No).is_ok() {}
    assert_eq!(
        one.send(&data, More::No).unwrap_err().kind(),
        ErrorKind::WouldBlock
    );
    drop(other);
    assert_eq!(
        one.send(&data, More::No).unwrap_err().kind(),
        ErrorKind::BrokenPipe
    );
}

#[test]
fn the_end_of_a_stream_is_empty_and_the_other_direction_goes_on() {
    over_each_connection(|one, other| {
        one.shutdown(How::Write).unwrap();
        let mut buffer = [0; 8];
        assert_eq!(other.recv(&mut buffer).unwrap(), 0);
        assert_eq!(other.recv(&mut buffer).unwrap(), 0);
        other.send(b"still", More::No).unwrap();
        assert_eq!(one.recv(&mut buffer).unwrap(), 5);
    });
}

#[test]
fn peeking_takes_nothing_and_reading_fills_no_more_than_it_was_given() {
    over_each_connection(|one, other| {
        one.send(b"abcdef", More::No).unwrap();
        let mut buffer = [b'-'; 6];
        assert_eq!(other.peek(&mut buffer[..4]).unwrap(), 4);
        assert_eq!(&buffer, b"abcd--");
        assert_eq!(other.recv(&mut buffer[..2]).unwrap(), 2);
        assert_eq!(other.recv(&mut buffer).unwrap(), 4);
        assert_eq!(&buffer[..4], b"cdef");
    });
}

#[test]
fn a_message_that_is_cut_says_so() {
    over_each_family(|address| {
        let receiver = Socket::new(address.domain(), Kind::DATAGRAM).unwrap();
        receiver.bind(address).unwrap();
        let sender = Socket::new(address.domain(), Kind::DATAGRAM).unwrap();
        let to = receiver.sock_name().unwrap();
        for (size, cut) in [(5, false), (6, true)] {
            let pieces = [IoSlice::new(b"ab"), IoSlice::new(&b"cdef"[..size - 2])];
            assert_eq!(sender.send_msg(&pieces, &[], Some(&to)).unwrap(), size);
            let (mut one, mut other) = ([0; 3], [0; 2]);
            let mut buffers = [IoSliceMut::new(&mut one), IoSliceMut::new(&mut other)];
            let message = receiver.recv_msg(&mut buffers, 0).unwrap();
            assert_eq!((message.bytes, message.truncated), (5, cut));
            assert!(!message.control_truncated);
            assert_eq!((&one, &other), (b"abc", b"de"));
            let from = sender.sock_name().unwrap();
            assert_eq!(message.from.port(), from.port());
        }
    });
}

#[test]
fn descriptors_beyond_those_asked_for_are_closed_and_it_is_said() {
    let _alone = alone();
    let (one, other) = Socket::pair(Domain::UNIX, Kind::STREAM).unwrap();
    let file = tempfile::tempfile().unwrap();
    let three = [file.as_fd(); 3];
    for (asked, cut) in [(3, false), (2, true), (1, true), (0, true), (3, false)] {
        one.send_msg(&[IoSlice::new(b"x")], &three, None).unwrap();
        let message = other
            .recv_msg(&mut [IoSliceMut::new(&mut [0])], asked)
            .unwrap();
        assert_eq!((message.fds.len(), message.control_truncated), (asked, cut));
        assert!(!message.truncated);
        // Credentials, where asked for, take no room from descriptors.
        other.set(PassCred(true)).unwrap();
    }
}

#[test]
fn any_number_of_descriptors_may_be_asked_for() {
    let _alone = alone();
    let (one, other) = Socket::pair(Domain::UNIX, Kind::STREAM).unwrap();
    let file = tempfile::tempfile().unwrap();
    // As many as the kernel passes with one message.
    let most = [file.as_fd(); 253];
    one.send_msg(&[IoSlice::new(b"x")], &most, None).unwrap();
    let message = other
        .recv_msg(&mut [IoSliceMut::new(&mut [0])], usize::MAX)
        .unwrap();
    assert_eq!(message.fds.len(), most.len());
    assert!(!message.control_truncated);
}

#[test]
fn what_the_kernel_adds_takes_no_room_from_descriptors() {
    let _alone = alone();
    let (one, other) = Socket::pair(Domain::UNIX, Kind::DATAGRAM).unwrap();
    other.set(PassCred(true)).unwrap();
    other.set(Timestamp(true)).unwrap();
    let file = tempfile::tempfile().unwrap();
    for count in [1, 2, 0] {
        let passed = vec![file.as_fd(); count];
        one.send_msg(&[IoSlice::new(b"x")], &passed, None).unwrap();
        let message = other
            .recv_msg(&mut [IoSliceMut::new(&mut [0])], count)
            .unwrap();
        assert_eq!(message.fds.len(), count);
        assert!(!message.control_truncated);
    }
}

#[test]
fn a_backlog_of_zero_still_lets_one_in() {
    let listener = Socket::new(Domain::INET, Kind::STREAM).unwrap();
    listener.bind(&"127.0.0.1:0".parse().unwrap()).unwrap();
    listener.listen(0).unwrap();
    let _client = connected(&listener);
    listener.accept().unwrap();
}

#[test]
fn unix_addresses_are_told_as_they_were_given() {
    let folder = tempfile::tempdir().unwrap();
    let name = format!("hythe-net-socket-{}", std::process::id());
    for address in [
        Addr::unix(folder.path().join("a b")).unwrap(),
        Addr::abstract_name(name.as_bytes()).unwrap(),
    ] {
        let listener = create_server(&address, false).unwrap();
        assert_eq!(listener.sock_name().unwrap(), address);
        let client = Socket::new(Domain::UNIX, Kind::STREAM).unwrap();
        client.connect(&address).unwrap();
        assert_eq!(client.peer_name().unwrap(), address);
        let (accepted, peer) = listener.accept().unwrap();
        assert_eq!(accepted.sock_name().unwrap(), address);
        assert_eq!(peer.to_string(), "unix:");
    }
}

#[test]
fn send_file_honours_offset_and_count_and_refuses_what_is_no_file() {
    let (one, other) = Socket::pair(Domain::UNIX, Kind::STREAM).unwrap();
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(b"0123456789").unwrap();
    let mut offset = 3;
    assert_eq!(one.send_file(file.as_fd(), &mut offset, 4).unwrap(), 4);
    assert_eq!(offset, 7);
    let mut buffer = [0; 16];
    assert_eq!(other.recv(&mut buffer).unwrap(), 4);
    assert_eq!(&buffer[..4], b"3456");
    // At the end there are fewer, then none.
    assert_eq!(one.send_file(file.as_fd(), &mut offset, 100).unwrap(), 3);
    assert_eq!(one.send_file(file.as_fd(), &mut offset, 100).unwrap(), 0);

    let folder = File::open("/").unwrap();
    let error = one.send_file(folder.as_fd(), &mut 0, 1).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
}

#[test]
fn a_dual_stack_server_takes_both_families_and_another_only_its_own() {
    for dual in [true, false] {
        let options = ServerOptions {
            dual_stack: Some(dual),
            ..ServerOptions::default()
        };
        let listener = create_server_with(&"[::]:0".parse().unwrap(), &options).unwrap();
        let port = listener.sock_name().unwrap().port().unwrap();
        dial(&format!("[::1]:{port}"), None, None).unwrap();
        let four = dial(&format!("127.0.0.1:{port}"), None, None);
        assert_eq!(four.is_ok(), dual);
        let error = create_server_with(&"127.0.0.1:0".parse().unwrap(), &options).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
    }
}

#[test]
fn two_servers_share_a_port_when_both_want_to() {
    let shared = ServerOptions {
        reuse_port: true,
        ..ServerOptions::default()
    };
    let one = create_server_with(&"127.0.0.1:0".parse().unwrap(), &shared).unwrap();
    let name = one.sock_name().unwrap();
    create_server_with(&name, &shared).unwrap();
    let error = create_server(&name, false).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AddrInUse);
}

#[test]
fn a_failed_connection_can_be_told_by_its_number() {
    let address = listener().sock_name().unwrap();
    let socket = Socket::new(Domain::INET, Kind::STREAM).unwrap();
    assert_eq!(socket.connect_ex(&address), libc::ECONNREFUSED);
    let timed = TimedSocket::new(Domain::INET, Kind::STREAM).unwrap();
    assert_eq!(timed.connect_ex(&address), libc::ECONNREFUSED);
    let missing = Addr::unix("/no/such").unwrap();
    let socket = Socket::new(Domain::UNIX, Kind::STREAM).unwrap();
    assert_eq!(socket.connect_ex(&missing), libc::ENOENT);
}

#[test]
fn a_refused_connection_keeps_its_error_number() {
    let address = listener().sock_name().unwrap();
    let error = Socket::new(Domain::INET, Kind::STREAM)
        .and_then(|socket| socket.connect(&address))
        .unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::ECONNREFUSED));
}

#[test]
fn a_failed_server_names_its_address() {
    let holder = listener();
    let address = holder.sock_name().unwrap();
    let error = create_server(&address, false).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AddrInUse);
    assert!(error.to_string().contains(&address.to_string()), "{error}");
}

#[test]
fn an_unsupported_pair_is_the_kernels_own_error() {
    let error = Socket::pair(Domain::INET, Kind::STREAM).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::EOPNOTSUPP));
    let error = Socket::new(Domain::INET, Kind::RDM).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::ESOCKTNOSUPPORT));
    let error = Socket::with_protocol(Domain::INET, Kind::STREAM, 17).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::EPROTONOSUPPORT));
    let error = Socket::new(Domain::from_number(999), Kind::STREAM).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::EAFNOSUPPORT));
}

#[test]
fn pairs_keep_or_join_messages_as_their_kind_says() {
    for (kind, first) in [(Kind::STREAM, 4), (Kind::DATAGRAM, 2), (Kind::SEQPACKET, 2)] {
        let (one, other) = Socket::pair(Domain::UNIX, kind).unwrap();
        one.send(b"ab", More::No).unwrap();
        one.send(b"cd", More::No).unwrap();
        assert_eq!(other.recv(&mut [0; 8]).unwrap(), first);
    }
}

#[test]
fn twenty_thousand_opens_and_closes_leak_nothing() {
    let _alone = alone();
    let count = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    // Other tests of this program open a few meanwhile.
    let few = 200;
    let before = count();
    for _ in 0..5_000 {
        let (one, other) = Socket::pair(Domain::UNIX, Kind::STREAM).unwrap();
        drop(Socket::from(OwnedFd::from(one)));
        other.close();
        TimedSocket::new(Domain::INET, Kind::STREAM)
            .unwrap()
            .close();
        let six = Socket::new(Domain::INET6, Kind::DATAGRAM).unwrap();
        drop(six.detach());
    }
    assert!(count() < before + few);
}

#[test]
fn a_datagram_tells_who_sent_it() {
    let name = |end| format!("unix:@hythe-datagram-{end}-{}", std::process::id());
    for (one, other) in [
        ("127.0.0.1:0", "127.0.0.1:0"),
        ("[::1]:0", "[::1]:0"),
        (&name("one"), &name("other")),
    ] {
        let (one, other): (Addr, Addr) = (one.parse().unwrap(), other.parse().unwrap());
        let sender = Socket::new(one.domain(), Kind::DATAGRAM).unwrap();
        sender.bind(&one).unwrap();
        let receiver = Socket::new(other.domain(), Kind::DATAGRAM).unwrap();
        receiver.bind(&other).unwrap();

        sender
            .send_to(b"one", &receiver.sock_name().unwrap())
            .unwrap();
        sender.send_to(b"", &receiver.sock_name().unwrap()).unwrap();
        let from = sender.sock_name().unwrap();
        let mut buffer = [0; 2];
        // What does not fit is cut off; the next datagram is a new one.
        assert_eq!(receiver.recv_from(&mut buffer).unwrap(), (2, from.clone()));
        assert_eq!(receiver.recv_from(&mut buffer).unwrap(), (0, from));
    }
}

#[test]
fn a_unix_sender_without_a_name_is_unnamed() {
    let (one, other) = Socket::pair(Domain::UNIX, Kind::DATAGRAM).unwrap();
    one.send(b"x", More::No).unwrap();
    let received = other.recv_from(&mut [0; 2]).unwrap();
    assert_eq!(received, (1, Addr::unnamed()));
}
