//! Every line of the option table, against the kernel.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use hythe_net::option::*;
use hythe_net::{Domain, Kind, Socket, create_server};

const TCP: (Domain, Kind) = (Domain::INET, Kind::STREAM);
const TCP6: (Domain, Kind) = (Domain::INET6, Kind::STREAM);
const UDP: (Domain, Kind) = (Domain::INET, Kind::DATAGRAM);
const UDP6: (Domain, Kind) = (Domain::INET6, Kind::DATAGRAM);
const UNIX: (Domain, Kind) = (Domain::UNIX, Kind::STREAM);

fn socket((domain, kind): (Domain, Kind)) -> Socket {
    Socket::new(domain, kind).unwrap()
}

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// Get ≠ new, set, get. Tells the option's name.
fn changes<O>(of: (Domain, Kind), new: O) -> &'static str
where
    O: Settable + Readable + PartialEq + Clone + Debug,
{
    let socket = socket(of);
    assert_ne!(
        socket.get::<O>().unwrap(),
        new,
        "{} is so from the start",
        O::NAME
    );
    socket
        .set(new.clone())
        .unwrap_or_else(|error| panic!("{}: {error}", O::NAME));
    assert_eq!(socket.get::<O>().unwrap(), new, "{}", O::NAME);
    O::NAME
}

/// As [`changes`], for what needs `CAP_NET_ADMIN`; without it, it is refused,
/// unless the kernel is content with less (`CAP_NET_RAW`, for newer ones).
fn changes_with_privilege<O>(of: (Domain, Kind), new: O) -> &'static str
where
    O: Settable + Readable + PartialEq + Clone + Debug,
{
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))
        .unwrap();
    let capabilities = u64::from_str_radix(line.trim(), 16).unwrap();
    if capabilities & (1 << 12) != 0 {
        return changes(of, new);
    }
    let socket = socket(of);
    match socket.set(new.clone()) {
        Ok(()) => assert_eq!(socket.get::<O>().unwrap(), new, "{}", O::NAME),
        Err(error) => assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{}", O::NAME),
    }
    O::NAME
}

fn sockets_options() -> Vec<&'static str> {
    vec![
        changes(TCP, ReuseAddr(true)),
        changes(TCP, ReusePort(true)),
        changes(TCP, KeepAlive(true)),
        changes(TCP, Linger(Some(seconds(3)))),
        changes(TCP, Linger(Some(Duration::ZERO))),
        changes(UDP, Broadcast(true)),
        changes(TCP, OobInline(true)),
        changes(UDP, DontRoute(true)),
        changes(TCP, RecvLowWater(100)),
        changes(TCP, SendTimeout(Some(seconds(2)))),
        changes(TCP, RecvTimeout(Some(seconds(2)))),
        changes(TCP, BindToDevice("lo".into())),
        changes(UDP, Priority(6)),
        changes_with_privilege(UDP, Priority(7)),
        changes_with_privilege(UDP, Mark(u32::MAX - 1)),
        changes(TCP, IncomingCpu(0)),
        changes_with_privilege(UDP, BusyPoll(Duration::from_micros(70))),
        changes(UDP, Timestamp(true)),
        changes(UNIX, PassCred(true)),
        changes(TCP, ZeroCopy(true)),
    ]
}

fn tcp_options() -> Vec<&'static str> {
    let list = std::fs::read_to_string("/proc/sys/net/ipv4/tcp_allowed_congestion_control");
    let list = list.unwrap();
    let now = socket(TCP).get::<Congestion>().unwrap().0;
    let other = list.split_whitespace().find(|name| *name != now);
    let other = other.expect("a second congestion control: modprobe tcp_bbr");
    vec![
        changes(TCP, NoDelay(true)),
        changes(TCP, Cork(true)),
        changes(TCP, QuickAck(false)),
        // The kernel counts it in retries: after 1, 3, 7 seconds…
        changes(TCP, DeferAccept(seconds(7))),
        changes(TCP, KeepIdle(seconds(77))),
        changes(TCP6, KeepInterval(seconds(11))),
        changes(TCP, KeepCount(3)),
        changes(TCP, MaxSegment(1000)),
        changes(TCP, SynCount(3)),
        changes(TCP, UserTimeout(Duration::from_millis(4321))),
        changes(TCP, FastOpen(5)),
        changes(TCP, Congestion(other.into())),
        changes(TCP, NotSentLowWater(100_000)),
        changes(TCP, Linger2(Some(seconds(5)))),
        changes(TCP, Linger2(None)),
        changes(TCP, WindowClamp(50_000)),
    ]
}

fn ip_options() -> Vec<&'static str> {
    vec![
        changes(TCP, Ttl(99)),
        changes(TCP, Tos(0x10)),
        changes(UDP, MulticastTtl(3)),
        changes(UDP, MulticastLoop(false)),
        changes(UDP, MulticastInterface(Ipv4Addr::LOCALHOST)),
        changes(UDP, PacketInfo(true)),
        changes(TCP, FreeBind(true)),
        changes_with_privilege(TCP, Transparent(true)),
        changes(UDP, MtuDiscover(MtuDiscovery::Do)),
        changes(TCP6, V6Only(true)),
        changes(TCP6, UnicastHops(9)),
        changes(UDP6, MulticastHops(9)),
        changes(UDP6, MulticastLoop6(false)),
        changes(UDP6, MulticastInterface6(1)),
        changes(TCP6, TrafficClass(0x10)),
        changes(UDP6, RecvPacketInfo(true)),
    ]
}

#[test]
fn each_settable_option_keeps_what_it_was_set_to_and_none_is_forgotten() {
    let mut tested: BTreeSet<&str> = sockets_options().into_iter().collect();
    tested.extend(tcp_options());
    tested.extend(ip_options());
    // Those have the next test to themselves.
    tested.extend([SendBuffer::NAME, RecvBuffer::NAME]);
    let settable = TABLE.iter().filter(|line| line.access == Access::ReadWrite);
    let settable: BTreeSet<&str> = settable.map(|line| line.name).collect();
    assert_eq!(tested, settable);
}

#[test]
fn buffer_sizes_are_doubled_by_the_kernel() {
    let socket = socket(TCP);
    assert_ne!(socket.get::<SendBuffer>().unwrap(), SendBuffer(60_000));
    socket.set(SendBuffer(30_000)).unwrap();
    socket.set(RecvBuffer(20_000)).unwrap();
    assert_eq!(socket.get::<SendBuffer>().unwrap(), SendBuffer(60_000));
    assert_eq!(socket.get::<RecvBuffer>().unwrap(), RecvBuffer(40_000));
}

#[test]
fn read_only_options_tell_what_the_socket_is() {
    let socket = socket(TCP);
    assert_eq!(socket.get::<DomainOf>().unwrap().0, libc::AF_INET);
    assert_eq!(socket.get::<KindOf>().unwrap().0, libc::SOCK_STREAM);
    assert_eq!(socket.get::<ProtocolOf>().unwrap().0, libc::IPPROTO_TCP);
    assert_eq!(socket.get::<AcceptConn>().unwrap(), AcceptConn(false));
    assert_eq!(socket.get::<SendLowWater>().unwrap(), SendLowWater(1));
    socket.listen(0).unwrap();
    assert_eq!(socket.get::<AcceptConn>().unwrap(), AcceptConn(true));
    assert_eq!(socket.get::<Info>().unwrap().0.state_name(), "LISTEN");
}

#[test]
fn the_pending_error_is_cleared_by_asking() {
    let gone = create_server(&"127.0.0.1:0".parse().unwrap(), false).unwrap();
    let address = gone.sock_name().unwrap();
    drop(gone);
    let socket = socket(TCP);
    socket.set_blocking(false).unwrap();
    assert_eq!(socket.connect_ex(&address), libc::EINPROGRESS);
    // The loopback answers before the call returns.
    assert_eq!(socket.get::<Error>().unwrap(), Error(libc::ECONNREFUSED));
    assert_eq!(socket.get::<Error>().unwrap(), Error(0));
}

#[test]
fn the_peer_of_a_unix_connection_is_known() {
    let (one, _other) = Socket::pair(Domain::UNIX, Kind::STREAM).unwrap();
    let PeerCred(peer) = one.get().unwrap();
    assert_eq!(peer.process, Some(std::process::id()));
    assert_eq!(peer.user, Some(rustix::process::getuid().as_raw()));
    assert_eq!(peer.group, Some(rustix::process::getgid().as_raw()));
    let PeerCred(nobody) = socket(UNIX).get().unwrap();
    assert_eq!(
        (nobody.process, nobody.user, nobody.group),
        (None, None, None)
    );
}

#[test]
fn a_connection_tells_how_it_goes() {
    let listener = create_server(&"127.0.0.1:0".parse().unwrap(), false).unwrap();
    let client = socket(TCP);
    assert_eq!(
        client.get::<Mtu>().unwrap_err().raw_os_error(),
        Some(libc::ENOTCONN)
    );
    client.connect(&listener.sock_name().unwrap()).unwrap();
    let Info(info) = client.get().unwrap();
    assert_eq!(info.state_name(), "ESTABLISHED");
    assert!(
        !info.round_trip.is_zero() && info.congestion_window > 0,
        "{info:?}"
    );
    let Mtu(mtu) = client.get().unwrap();
    assert_eq!(info.path_mtu, mtu);
    assert!(info.send_segment < mtu);
}

#[test]
fn a_group_is_joined_once_and_left_once() {
    let four = socket(UDP);
    let (group, interface) = (Ipv4Addr::new(239, 7, 7, 7), Ipv4Addr::LOCALHOST);
    let group = Membership { group, interface };
    four.set(AddMembership(group)).unwrap();
    assert_eq!(
        four.set(AddMembership(group)).unwrap_err().kind(),
        ErrorKind::AddrInUse
    );
    four.set(DropMembership(group)).unwrap();
    let error = four.set(DropMembership(group)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AddrNotAvailable);

    let six = socket(UDP6);
    let group = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0x7777, 0x7777);
    // The loopback interface is the first.
    let group = Membership6 {
        group,
        interface: 1,
    };
    six.set(JoinGroup(group)).unwrap();
    assert_eq!(
        six.set(JoinGroup(group)).unwrap_err().kind(),
        ErrorKind::AddrInUse
    );
    six.set(LeaveGroup(group)).unwrap();
    let error = six.set(LeaveGroup(group)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AddrNotAvailable);
}

#[test]
fn a_value_the_kernel_can_not_be_told_is_refused_and_not_cut() {
    let socket = socket(TCP);
    let errors = [
        socket.set(BindToDevice("a-name-of-16-by-".into())),
        socket.set(Congestion("re\0no".into())),
        socket.set(SendBuffer(u32::MAX)),
        socket.set(KeepIdle(Duration::MAX)),
        socket.set(RecvTimeout(Some(Duration::ZERO))),
        socket.set(Linger2(Some(Duration::ZERO))),
    ];
    for error in errors {
        assert_eq!(error.unwrap_err().kind(), ErrorKind::InvalidInput);
    }
    // A short time does not become none.
    socket.set(Linger(Some(Duration::from_millis(1)))).unwrap();
    assert_eq!(socket.get::<Linger>().unwrap(), Linger(Some(seconds(1))));
}

#[test]
fn an_option_of_another_layer_is_the_kernels_own_error() {
    let (socket, _peer) = Socket::pair(Domain::UNIX, Kind::STREAM).unwrap();
    let error = socket.set(NoDelay(true)).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::EOPNOTSUPP));
}

#[test]
fn the_table_reads_each_option_from_the_sockets_it_names() {
    for of in [TCP, TCP6, UDP, UDP6, UNIX] {
        let socket = socket(of);
        for line in TABLE.iter().filter(|line| line.sockets.include(of.0, of.1)) {
            assert_eq!(
                line.read.is_none(),
                line.access == Access::WriteOnly,
                "{}",
                line.name
            );
            match line.read.map(|read| read(&socket)) {
                Some(Ok(Reading { value, text })) => {
                    assert!(!text.is_empty(), "{}", line.name);
                    let fits = match line.value {
                        "bool" => matches!(value, Value::Bool(_)),
                        "u32" | "c_int" => matches!(value, Value::Number(_)),
                        "Duration" => matches!(value, Value::Time(_)),
                        "Option<Duration>" => matches!(value, Value::None | Value::Time(_)),
                        _ => matches!(value, Value::None | Value::Text(_)),
                    };
                    assert!(fits, "{}: {value:?}", line.name);
                }
                // There is no path yet, so nothing is known of it.
                Some(Err(error)) => assert_eq!(line.name, "IP_MTU", "{error}"),
                None => {}
            }
        }
    }
}

#[test]
fn the_table_has_a_line_for_each_name_and_a_sentence_on_each() {
    let names: BTreeSet<&str> = TABLE.iter().map(|line| line.name).collect();
    assert_eq!(names.len(), TABLE.len());
    for line in TABLE {
        assert!(
            line.about.len() > 30 && line.about.ends_with('.'),
            "{line:?}"
        );
        assert!(!line.about.contains("  "), "{line:?}");
    }
}
