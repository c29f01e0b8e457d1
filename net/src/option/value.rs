//! The types of option values that are more than a number.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use super::coding::uint_at;

/// The value of an option, for programs that don't know beforehand which
/// option it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// There is none: off, unknown, or the empty name.
    None,
    /// On or off.
    Bool(bool),
    /// A count, a size in bytes, a number of the kernel's.
    Number(i64),
    /// A time.
    Time(Duration),
    /// A name, an address, or several things, as people read them.
    Text(String),
}

impl From<Option<Duration>> for Value {
    fn from(time: Option<Duration>) -> Self {
        time.map_or(Self::None, Self::Time)
    }
}

/// Who made the other end of a Unix connection, at the time (`unix(7)`,
/// `SO_PEERCRED`). Each is `None` where there is no peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// The process; also `None` if it is in a name space not seen from here.
    pub process: Option<u32>,
    /// The user it runs as.
    pub user: Option<u32>,
    /// The group it runs as.
    pub group: Option<u32>,
}

/// An IPv4 multicast group, and where to listen for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Membership {
    /// The group, `224.0.0.0` to `239.255.255.255`.
    pub group: Ipv4Addr,
    /// The address of the interface; `0.0.0.0` lets the system choose.
    pub interface: Ipv4Addr,
}

/// An IPv6 multicast group, and where to listen for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Membership6 {
    /// The group, `ff00::/8`.
    pub group: Ipv6Addr,
    /// The index of the interface (`if_nametoindex(3)`); 0 lets the system
    /// choose.
    pub interface: u32,
}

/// How the largest packet that fits the whole path is found (`ip(7)`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum MtuDiscovery {
    /// Not at all: routers may split packets.
    Dont = libc::IP_PMTUDISC_DONT,
    /// Where a route says so.
    Want = libc::IP_PMTUDISC_WANT,
    /// Always; what is too large is refused with `EMSGSIZE`.
    Do = libc::IP_PMTUDISC_DO,
    /// Don't let routers split, and don't heed what is known of the path.
    Probe = libc::IP_PMTUDISC_PROBE,
    /// Believe the interface only, not what routers report.
    Interface = libc::IP_PMTUDISC_INTERFACE,
    /// As `Interface`, but split what is too large for it.
    Omit = libc::IP_PMTUDISC_OMIT,
}

impl MtuDiscovery {
    pub(super) const ALL: [Self; 6] = [
        Self::Dont,
        Self::Want,
        Self::Do,
        Self::Probe,
        Self::Interface,
        Self::Omit,
    ];
}

/// What the kernel knows of a TCP connection: the main fields of
/// `struct tcp_info` (`tcp(7)`, `<linux/tcp.h>`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TcpInfo {
    /// The connection's state, as the kernel numbers them: 1 is established,
    /// 7 closed, 10 listening.
    pub state: u8,
    /// How often the segment that is on its way was sent again.
    pub retransmits: u8,
    /// How long until a segment without an answer is sent again.
    pub retransmit_timeout: Duration,
    /// The largest segment that is sent, in bytes.
    pub send_segment: u32,
    /// The largest segment that came lately, in bytes.
    pub recv_segment: u32,
    /// Segments sent and not acknowledged.
    pub unacknowledged: u32,
    /// Segments thought to be lost.
    pub lost: u32,
    /// Since data was last sent.
    pub last_sent: Duration,
    /// Since data last came.
    pub last_received: Duration,
    /// The largest packet that fits the path, in bytes.
    pub path_mtu: u32,
    /// How long a segment and its answer take, smoothed.
    pub round_trip: Duration,
    /// How much that varies.
    pub round_trip_variation: Duration,
    /// The congestion window: how many segments may be on their way.
    pub congestion_window: u32,
    /// Segments sent again, in all.
    pub total_retransmits: u32,
}

impl TcpInfo {
    /// The state by its name in RFC 9293: `ESTABLISHED`, `LISTEN`…
    pub fn state_name(&self) -> &'static str {
        const NAMES: [&str; 12] = [
            "ESTABLISHED",
            "SYN-SENT",
            "SYN-RECEIVED",
            "FIN-WAIT-1",
            "FIN-WAIT-2",
            "TIME-WAIT",
            "CLOSED",
            "CLOSE-WAIT",
            "LAST-ACK",
            "LISTEN",
            "CLOSING",
            // The kernel's own name for what still is SYN-RECEIVED.
            "SYN-RECEIVED",
        ];
        let index = usize::from(self.state).wrapping_sub(1);
        NAMES.get(index).copied().unwrap_or("unknown")
    }

    /// The places are those of `<linux/tcp.h>`, which only ever grows at its
    /// end: eight bytes first, then numbers of four.
    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let micros = |at| uint_at(bytes, at).map(|time| Duration::from_micros(time.into()));
        let millis = |at| uint_at(bytes, at).map(|time| Duration::from_millis(time.into()));
        Some(Self {
            state: *bytes.first()?,
            retransmits: *bytes.get(2)?,
            retransmit_timeout: micros(8)?,
            send_segment: uint_at(bytes, 16)?,
            recv_segment: uint_at(bytes, 20)?,
            unacknowledged: uint_at(bytes, 24)?,
            lost: uint_at(bytes, 32)?,
            last_sent: millis(44)?,
            last_received: millis(52)?,
            path_mtu: uint_at(bytes, 60)?,
            round_trip: micros(68)?,
            round_trip_variation: micros(72)?,
            congestion_window: uint_at(bytes, 80)?,
            total_retransmits: uint_at(bytes, 100)?,
        })
    }
}
