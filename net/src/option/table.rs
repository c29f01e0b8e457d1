//! The options themselves: type, value and its layout, level and number, what
//! can be done with it, and which sockets have it. The comment on each is
//! what `hythe sockopts` tells people, so it is plain text.

use std::ffi::c_int;
use std::io;
use std::net::Ipv4Addr;
use std::time::Duration;

use super::coding::{
    Coding, Discovery, Encoding, Flag, InAddr, Info as InfoLayout, LingerTime, Micros, Millis,
    Mreq, Mreq6, Name, Number, Seconds, SecondsOrNone, Signed, Timeval, Ucred, Unsigned,
};
use super::value::{Credentials, Membership, Membership6, MtuDiscovery, TcpInfo};
use super::{Access, Description, Encoded, Readable, Reading, Settable, SocketOption, Sockets};

macro_rules! options {
    ($(
        $(#[doc = $doc:literal])*
        $name:ident($value:ty as $coding:ident)
            = $level:ident, $number:ident, $access:ident, $sockets:ident;
    )*) => {
        $(
            $(#[doc = $doc])*
            #[derive(Clone, Debug, PartialEq, Eq)]
            pub struct $name(pub $value);

            impl SocketOption for $name {
                const LEVEL: c_int = libc::$level;
                const NUMBER: c_int = libc::$number;
                const NAME: &'static str = stringify!($number);
            }

            options!(@can $access $name $value as $coding);
        )*

        /// Every option of this module, in the order of the levels.
        pub const TABLE: &[Description] = &[$(
            Description {
                level: stringify!($level),
                name: stringify!($number),
                numbers: (libc::$level, libc::$number),
                type_name: stringify!($name),
                value: stringify!($value),
                access: Access::$access,
                sockets: Sockets::$sockets,
                about: concat!($($doc),*).trim_ascii_start(),
                read: options!(@text $access $name as $coding),
            },
        )*];
    };
    (@can ReadWrite $name:ident $value:ty as $coding:ident) => {
        options!(@can ReadOnly $name $value as $coding);
        options!(@can WriteOnly $name $value as $coding);
    };
    (@can ReadOnly $name:ident $value:ty as $coding:ident) => {
        impl Readable for $name {
            fn decode(bytes: &[u8]) -> io::Result<Self> {
                <$coding as Coding<$value>>::decode(bytes)
                    .map(Self)
                    .ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))
            }
        }
    };
    (@can WriteOnly $name:ident $value:ty as $coding:ident) => {
        impl Settable for $name {
            fn encode(&self) -> io::Result<Encoded> {
                <$coding as Encoding<$value>>::encode(&self.0)
                    .ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))
            }
        }
    };
    (@text WriteOnly $name:ident as $coding:ident) => { None };
    (@text $access:ident $name:ident as $coding:ident) => {
        Some(|socket| {
            let value = socket.get::<$name>()?.0;
            Ok(Reading {
                value: $coding::value(&value),
                text: $coding::text(&value),
            })
        })
    };
}

options! {
    /// Lets a server bind its port again at once after a restart, while old
    /// connections still wait out their time; every listener wants it.
    ReuseAddr(bool as Flag) = SOL_SOCKET, SO_REUSEADDR, ReadWrite, Any;
    /// Lets several sockets of one user listen on the same port, and the kernel
    /// spread new connections over them; an event loop per core wants it.
    ReusePort(bool as Flag) = SOL_SOCKET, SO_REUSEPORT, ReadWrite, Internet;
    /// Probes a silent peer now and then, so that a dead one is noticed; for
    /// connections that may rest for hours.
    KeepAlive(bool as Flag) = SOL_SOCKET, SO_KEEPALIVE, ReadWrite, Any;
    /// What closing does with data not yet sent: off sends it in the
    /// background, a time waits that long for it (whole seconds), and zero
    /// throws it away and resets the connection.
    Linger(Option<Duration> as LingerTime) = SOL_SOCKET, SO_LINGER, ReadWrite, Any;
    /// Allows datagrams to broadcast addresses, which are refused otherwise;
    /// for finding services on the local network.
    Broadcast(bool as Flag) = SOL_SOCKET, SO_BROADCAST, ReadWrite, Any;
    /// Delivers urgent data in its place among the rest, instead of aside; an
    /// FTP server wants it, since clients send ABOR as urgent data.
    OobInline(bool as Flag) = SOL_SOCKET, SO_OOBINLINE, ReadWrite, Any;
    /// Sends only to directly connected networks, past the routing table; for
    /// routing daemons and diagnosis.
    DontRoute(bool as Flag) = SOL_SOCKET, SO_DONTROUTE, ReadWrite, Any;
    /// The send buffer in bytes; the kernel doubles what is set, and setting it
    /// ends the automatic tuning, so set it only after measuring.
    SendBuffer(u32 as Number) = SOL_SOCKET, SO_SNDBUF, ReadWrite, Any;
    /// The receive buffer in bytes; doubled, and no longer tuned, once set;
    /// larger ones keep bursts of datagrams from being lost.
    RecvBuffer(u32 as Number) = SOL_SOCKET, SO_RCVBUF, ReadWrite, Any;
    /// How many bytes must be free before a send goes on; always 1 on Linux,
    /// and here for programs that ask.
    SendLowWater(u32 as Number) = SOL_SOCKET, SO_SNDLOWAT, ReadOnly, Any;
    /// How many bytes must have come before a receive returns or poll reports
    /// it; for messages of which a part is of no use.
    RecvLowWater(u32 as Number) = SOL_SOCKET, SO_RCVLOWAT, ReadWrite, Any;
    /// How long a blocking send waits before it fails with WouldBlock; for
    /// simple programs with one connection.
    SendTimeout(Option<Duration> as Timeval) = SOL_SOCKET, SO_SNDTIMEO, ReadWrite, Any;
    /// How long a blocking receive waits before it fails with WouldBlock; for
    /// simple programs with one connection.
    RecvTimeout(Option<Duration> as Timeval) = SOL_SOCKET, SO_RCVTIMEO, ReadWrite, Any;
    /// The kind (stream, datagram...) the socket was made with, by its number;
    /// for programs that were handed a socket.
    KindOf(c_int as Signed) = SOL_SOCKET, SO_TYPE, ReadOnly, Any;
    /// The error that has come in since the last look, 0 for none; asking
    /// clears it, and tells how connecting in the background has ended.
    Error(c_int as Signed) = SOL_SOCKET, SO_ERROR, ReadOnly, Any;
    /// Whether the socket listens; for programs that were handed one.
    AcceptConn(bool as Flag) = SOL_SOCKET, SO_ACCEPTCONN, ReadOnly, Any;
    /// The address family the socket was made with, by its number; for programs
    /// that were handed a socket.
    DomainOf(c_int as Signed) = SOL_SOCKET, SO_DOMAIN, ReadOnly, Any;
    /// The protocol the socket was made with, by its number: 6 is TCP, 17 UDP;
    /// for programs that were handed a socket.
    ProtocolOf(c_int as Signed) = SOL_SOCKET, SO_PROTOCOL, ReadOnly, Any;
    /// Sends and receives through the network interface of this name only; for
    /// machines in several networks, or DHCP servers.
    BindToDevice(String as Name) = SOL_SOCKET, SO_BINDTODEVICE, ReadWrite, Internet;
    /// The queueing priority of packets sent, 0 to 6 (higher ones need
    /// privilege); lets urgent packets overtake others on this machine.
    Priority(u32 as Number) = SOL_SOCKET, SO_PRIORITY, ReadWrite, Any;
    /// A number on each packet that firewall and routing rules can match; needs
    /// privilege, and is how VPNs tell their own packets apart.
    Mark(u32 as Unsigned) = SOL_SOCKET, SO_MARK, ReadWrite, Any;
    /// The processor that handled the last packet, -1 for none; set on
    /// listeners that share a port, connections go to the one of their own.
    IncomingCpu(c_int as Signed) = SOL_SOCKET, SO_INCOMING_CPU, ReadWrite, Any;
    /// How long a receive asks the network card itself before it sleeps; spends
    /// processor time to save microseconds; older kernels ask for privilege.
    BusyPoll(Duration as Micros) = SOL_SOCKET, SO_BUSY_POLL, ReadWrite, Any;
    /// Tells with each datagram when it came, as a control message; for
    /// measuring the network.
    Timestamp(bool as Flag) = SOL_SOCKET, SO_TIMESTAMP, ReadWrite, Any;
    /// Tells with each message which process and user sent it, as a control
    /// message; for local services that serve users differently.
    PassCred(bool as Flag) = SOL_SOCKET, SO_PASSCRED, ReadWrite, Unix;
    /// Which process and user made the other end of a connection; for local
    /// services that serve users differently.
    PeerCred(Credentials as Ucred) = SOL_SOCKET, SO_PEERCRED, ReadOnly, Unix;
    /// Allows sends that don't copy (MSG_ZEROCOPY); worth it from about 10 KB a
    /// call, for programs that keep their buffers until told.
    ZeroCopy(bool as Flag) = SOL_SOCKET, SO_ZEROCOPY, ReadWrite, Internet;

    /// Sends small pieces at once instead of waiting to fill a segment
    /// (Nagle's algorithm off); request and reply protocols want it.
    NoDelay(bool as Flag) = IPPROTO_TCP, TCP_NODELAY, ReadWrite, Tcp;
    /// Holds back segments that are not full until it is turned off, or for 200
    /// ms; fewer and fuller packets for answers sent in several calls.
    Cork(bool as Flag) = IPPROTO_TCP, TCP_CORK, ReadWrite, Tcp;
    /// Acknowledges at once instead of waiting for data to ride along; the
    /// kernel may turn it off again, so set it after each receive.
    QuickAck(bool as Flag) = IPPROTO_TCP, TCP_QUICKACK, ReadWrite, Tcp;
    /// Wakes a listener only when a client has said something, or after this
    /// long (whole seconds, rounded); for protocols where clients speak first.
    DeferAccept(Duration as Seconds) = IPPROTO_TCP, TCP_DEFER_ACCEPT, ReadWrite, Tcp;
    /// How long a connection rests before it is probed, in whole seconds; lower
    /// it where routers forget quiet connections sooner.
    KeepIdle(Duration as Seconds) = IPPROTO_TCP, TCP_KEEPIDLE, ReadWrite, Tcp;
    /// How long between two probes, in whole seconds; with KeepCount it says
    /// how soon a dead peer is noticed.
    KeepInterval(Duration as Seconds) = IPPROTO_TCP, TCP_KEEPINTVL, ReadWrite, Tcp;
    /// How many probes may stay without an answer before the connection is
    /// given up; lower it to notice a dead peer sooner.
    KeepCount(u32 as Number) = IPPROTO_TCP, TCP_KEEPCNT, ReadWrite, Tcp;
    /// The largest segment in bytes, to be set before connecting; for paths
    /// whose routers drop large packets silently.
    MaxSegment(u32 as Number) = IPPROTO_TCP, TCP_MAXSEG, ReadWrite, Tcp;
    /// How often connecting is tried again before it fails; lower it to fail
    /// within seconds rather than minutes.
    SynCount(u32 as Number) = IPPROTO_TCP, TCP_SYNCNT, ReadWrite, Tcp;
    /// How long sent data may stay unacknowledged before the connection is
    /// given up, in milliseconds, 0 for the system's choice.
    UserTimeout(Duration as Millis) = IPPROTO_TCP, TCP_USER_TIMEOUT, ReadWrite, Tcp;
    /// How many clients that send data in their very first packet may wait on a
    /// listener; saves known clients a round trip.
    FastOpen(u32 as Number) = IPPROTO_TCP, TCP_FASTOPEN, ReadWrite, Tcp;
    /// The congestion control by name, such as cubic or bbr; what is best
    /// depends on the path, so measure.
    Congestion(String as Name) = IPPROTO_TCP, TCP_CONGESTION, ReadWrite, Tcp;
    /// What the kernel knows of a connection: its state, round trip, losses and
    /// windows; for diagnosis.
    Info(TcpInfo as InfoLayout) = IPPROTO_TCP, TCP_INFO, ReadOnly, Tcp;
    /// How many unsent bytes may wait before a socket is no longer writable, 0
    /// for the system's choice; low values keep what is sent fresh, for streams
    /// that can skip.
    NotSentLowWater(u32 as Unsigned) = IPPROTO_TCP, TCP_NOTSENT_LOWAT, ReadWrite, Tcp;
    /// How long a closed connection waits for the peer to end its half too, in
    /// whole seconds; off doesn't wait, and zero, which the kernel takes for its
    /// own default, is refused.
    Linger2(Option<Duration> as SecondsOrNone) = IPPROTO_TCP, TCP_LINGER2, ReadWrite, Tcp;
    /// The most bytes the peer is told it may send ahead, 0 for no bound; for
    /// receivers short of memory.
    WindowClamp(u32 as Number) = IPPROTO_TCP, TCP_WINDOW_CLAMP, ReadWrite, Tcp;

    /// How many routers a packet may pass, 1 to 255; traceroute counts it up,
    /// and 1 keeps packets in the local network.
    Ttl(u32 as Number) = IPPROTO_IP, IP_TTL, ReadWrite, Inet;
    /// The type of service in each packet (DSCP in the upper six bits); asks
    /// routers that heed it for low delay or low cost.
    Tos(u32 as Number) = IPPROTO_IP, IP_TOS, ReadWrite, Inet;
    /// How many routers a multicast packet may pass; 1, the default, keeps it
    /// in the local network.
    MulticastTtl(u32 as Number) = IPPROTO_IP, IP_MULTICAST_TTL, ReadWrite, InetDatagram;
    /// Whether this machine hears its own multicasts; turn it off where a
    /// program would answer itself.
    MulticastLoop(bool as Flag) = IPPROTO_IP, IP_MULTICAST_LOOP, ReadWrite, InetDatagram;
    /// The interface multicasts go out of, by its address, 0.0.0.0 for the
    /// system's choice; for machines in several networks.
    MulticastInterface(Ipv4Addr as InAddr) = IPPROTO_IP, IP_MULTICAST_IF, ReadWrite, InetDatagram;
    /// Joins a multicast group on an interface; without it the group's packets
    /// don't arrive.
    AddMembership(Membership as Mreq) = IPPROTO_IP, IP_ADD_MEMBERSHIP, WriteOnly, InetDatagram;
    /// Leaves a multicast group again, as closing the socket does.
    DropMembership(Membership as Mreq) = IPPROTO_IP, IP_DROP_MEMBERSHIP, WriteOnly, InetDatagram;
    /// Tells with each datagram which address and interface it came to, as a
    /// control message; a server on all addresses needs it to answer from the
    /// right one.
    PacketInfo(bool as Flag) = IPPROTO_IP, IP_PKTINFO, ReadWrite, InetDatagram;
    /// Allows binding to an address this machine doesn't have yet; for services
    /// that start before their network, or take over an address.
    FreeBind(bool as Flag) = IPPROTO_IP, IP_FREEBIND, ReadWrite, Inet;
    /// Allows accepting and sending as any address; needs privilege, and is how
    /// transparent proxies stand in between.
    Transparent(bool as Flag) = IPPROTO_IP, IP_TRANSPARENT, ReadWrite, Inet;
    /// The largest packet known to fit the path, in bytes, once connected; for
    /// datagrams that should not be split.
    Mtu(u32 as Number) = IPPROTO_IP, IP_MTU, ReadOnly, Inet;
    /// Whether routers may split packets, and how the largest that fits is
    /// found; protocols that find it themselves set it to probe.
    MtuDiscover(MtuDiscovery as Discovery) = IPPROTO_IP, IP_MTU_DISCOVER, ReadWrite, Inet;

    /// An IPv6 listener refuses IPv4 clients; set it to listen on both with a
    /// socket each.
    V6Only(bool as Flag) = IPPROTO_IPV6, IPV6_V6ONLY, ReadWrite, Inet6;
    /// How many routers a packet may pass, 1 to 255; traceroute counts it up,
    /// and 1 keeps packets in the local network.
    UnicastHops(u32 as Number) = IPPROTO_IPV6, IPV6_UNICAST_HOPS, ReadWrite, Inet6;
    /// How many routers a multicast packet may pass; 1, the default, keeps it
    /// in the local network.
    MulticastHops(u32 as Number) = IPPROTO_IPV6, IPV6_MULTICAST_HOPS, ReadWrite, Inet6Datagram;
    /// Whether this machine hears its own multicasts; turn it off where a
    /// program would answer itself.
    MulticastLoop6(bool as Flag) = IPPROTO_IPV6, IPV6_MULTICAST_LOOP, ReadWrite, Inet6Datagram;
    /// The interface multicasts go out of, by its index, 0 for the system's
    /// choice; for machines in several networks.
    MulticastInterface6(u32 as Number) = IPPROTO_IPV6, IPV6_MULTICAST_IF, ReadWrite, Inet6Datagram;
    /// Joins a multicast group on an interface; without it the group's packets
    /// don't arrive.
    JoinGroup(Membership6 as Mreq6) = IPPROTO_IPV6, IPV6_ADD_MEMBERSHIP, WriteOnly, Inet6Datagram;
    /// Leaves a multicast group again, as closing the socket does.
    LeaveGroup(Membership6 as Mreq6) = IPPROTO_IPV6, IPV6_DROP_MEMBERSHIP, WriteOnly, Inet6Datagram;
    /// The traffic class in each packet (DSCP in the upper six bits); asks
    /// routers that heed it for low delay or low cost.
    TrafficClass(u32 as Number) = IPPROTO_IPV6, IPV6_TCLASS, ReadWrite, Inet6;
    /// Tells with each datagram which address and interface it came to, as a
    /// control message; a server on all addresses needs it to answer from the
    /// right one.
    RecvPacketInfo(bool as Flag) = IPPROTO_IPV6, IPV6_RECVPKTINFO, ReadWrite, Inet6Datagram;
}
