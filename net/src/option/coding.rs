//! How option values travel through `getsockopt(2)` and `setsockopt(2)`, and
//! how they read as text.
//!
//! One coding for each layout the kernel uses; the same Rust type may have
//! several, as a duration does in seconds, milliseconds and microseconds.

use std::ffi::{c_int, c_uint};
use std::net::Ipv4Addr;
use std::time::Duration;

use super::value::{Credentials, Membership, Membership6, MtuDiscovery, TcpInfo, Value};

/// The widest option value of the table, in bytes: `struct tcp_info`, which
/// grows at its end with each kernel; what is beyond is left out.
pub(crate) const WIDEST: usize = 256;

/// The widest value that is ever set: `struct ipv6_mreq`.
const WIDEST_SET: usize = 20;

/// The bytes of one option value, as the kernel takes them.
#[doc(hidden)]
#[derive(Clone, Copy, Debug)]
pub struct Encoded {
    bytes: [u8; WIDEST_SET],
    length: usize,
}

impl Encoded {
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }

    /// `None` if the parts are too long together.
    fn of(parts: &[&[u8]]) -> Option<Self> {
        let mut encoded = Self {
            bytes: [0; WIDEST_SET],
            length: 0,
        };
        for part in parts {
            let end = encoded.length + part.len();
            encoded
                .bytes
                .get_mut(encoded.length..end)?
                .copy_from_slice(part);
            encoded.length = end;
        }
        Some(encoded)
    }

    fn int(value: impl TryInto<c_int>) -> Option<Self> {
        Self::of(&[&value.try_into().ok()?.to_ne_bytes()])
    }
}

/// A layout of `T`.
pub(super) trait Coding<T> {
    /// `None` where the bytes are no such value.
    fn decode(bytes: &[u8]) -> Option<T>;
    /// As people read it.
    fn text(value: &T) -> String;
    /// As programs do.
    fn value(value: &T) -> Value {
        Value::Text(Self::text(value))
    }
}

/// A layout of `T` that can be set.
pub(super) trait Encoding<T> {
    /// `None` where the kernel can't be told such a value.
    fn encode(value: &T) -> Option<Encoded>;
}

pub(super) fn int_at(bytes: &[u8], at: usize) -> Option<c_int> {
    Some(c_int::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
}

pub(super) fn uint_at(bytes: &[u8], at: usize) -> Option<c_uint> {
    Some(c_uint::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// An `int` that may be negative.
pub(super) struct Signed;

impl Coding<c_int> for Signed {
    fn decode(bytes: &[u8]) -> Option<c_int> {
        int_at(bytes, 0)
    }
    fn text(value: &c_int) -> String {
        value.to_string()
    }
    fn value(value: &c_int) -> Value {
        Value::Number((*value).into())
    }
}

impl Encoding<c_int> for Signed {
    fn encode(value: &c_int) -> Option<Encoded> {
        Encoded::int(*value)
    }
}

/// An `int` that is never negative.
pub(super) struct Number;

impl Coding<u32> for Number {
    fn decode(bytes: &[u8]) -> Option<u32> {
        int_at(bytes, 0)?.try_into().ok()
    }
    fn text(value: &u32) -> String {
        value.to_string()
    }
    fn value(value: &u32) -> Value {
        Value::Number((*value).into())
    }
}

impl Encoding<u32> for Number {
    fn encode(value: &u32) -> Option<Encoded> {
        Encoded::int(*value)
    }
}

/// An `unsigned int`, all of its bits.
pub(super) struct Unsigned;

impl Coding<u32> for Unsigned {
    fn decode(bytes: &[u8]) -> Option<u32> {
        uint_at(bytes, 0)
    }
    fn text(value: &u32) -> String {
        match *value {
            u32::MAX => "no limit".into(),
            value => value.to_string(),
        }
    }
    fn value(value: &u32) -> Value {
        Value::Number((*value).into())
    }
}

impl Encoding<u32> for Unsigned {
    fn encode(value: &u32) -> Option<Encoded> {
        Encoded::of(&[&value.to_ne_bytes()])
    }
}

/// An `int` of 0 or 1.
pub(super) struct Flag;

impl Coding<bool> for Flag {
    fn decode(bytes: &[u8]) -> Option<bool> {
        Some(int_at(bytes, 0)? != 0)
    }
    fn text(value: &bool) -> String {
        if *value { "on" } else { "off" }.into()
    }
    fn value(value: &bool) -> Value {
        Value::Bool(*value)
    }
}

impl Encoding<bool> for Flag {
    fn encode(value: &bool) -> Option<Encoded> {
        Encoded::int(c_int::from(*value))
    }
}

/// An `int` of seconds. Parts of a second are rounded up, lest a short time
/// become none.
pub(super) struct Seconds;

impl Coding<Duration> for Seconds {
    fn decode(bytes: &[u8]) -> Option<Duration> {
        Some(Duration::from_secs(int_at(bytes, 0)?.try_into().ok()?))
    }
    fn text(value: &Duration) -> String {
        format!("{} s", value.as_secs())
    }
    fn value(value: &Duration) -> Value {
        Value::Time(*value)
    }
}

impl Encoding<Duration> for Seconds {
    fn encode(value: &Duration) -> Option<Encoded> {
        Encoded::int(value.as_nanos().div_ceil(1_000_000_000))
    }
}

/// An `int` of seconds, negative for none.
pub(super) struct SecondsOrNone;

impl Coding<Option<Duration>> for SecondsOrNone {
    fn decode(bytes: &[u8]) -> Option<Option<Duration>> {
        let seconds = int_at(bytes, 0)?;
        Some(u64::try_from(seconds).ok().map(Duration::from_secs))
    }
    fn text(value: &Option<Duration>) -> String {
        optional(value.as_ref().map(Seconds::text))
    }
    fn value(value: &Option<Duration>) -> Value {
        Value::from(*value)
    }
}

impl Encoding<Option<Duration>> for SecondsOrNone {
    fn encode(value: &Option<Duration>) -> Option<Encoded> {
        match value {
            // It would mean the opposite, the system's default.
            Some(Duration::ZERO) => None,
            Some(value) => Seconds::encode(value),
            None => Encoded::int(-1),
        }
    }
}

/// An `int` of milliseconds, rounded up.
pub(super) struct Millis;

impl Coding<Duration> for Millis {
    fn decode(bytes: &[u8]) -> Option<Duration> {
        Some(Duration::from_millis(int_at(bytes, 0)?.try_into().ok()?))
    }
    fn text(value: &Duration) -> String {
        format!("{} ms", value.as_millis())
    }
    fn value(value: &Duration) -> Value {
        Value::Time(*value)
    }
}

impl Encoding<Duration> for Millis {
    fn encode(value: &Duration) -> Option<Encoded> {
        Encoded::int(value.as_nanos().div_ceil(1_000_000))
    }
}

/// An `int` of microseconds, rounded up.
pub(super) struct Micros;

impl Coding<Duration> for Micros {
    fn decode(bytes: &[u8]) -> Option<Duration> {
        Some(Duration::from_micros(int_at(bytes, 0)?.try_into().ok()?))
    }
    fn text(value: &Duration) -> String {
        format!("{} us", value.as_micros())
    }
    fn value(value: &Duration) -> Value {
        Value::Time(*value)
    }
}

impl Encoding<Duration> for Micros {
    fn encode(value: &Duration) -> Option<Encoded> {
        Encoded::int(value.as_nanos().div_ceil(1_000))
    }
}

/// `struct linger`: off, or so many whole seconds, rounded up.
pub(super) struct LingerTime;

impl Coding<Option<Duration>> for LingerTime {
    fn decode(bytes: &[u8]) -> Option<Option<Duration>> {
        let on = int_at(bytes, 0)? != 0;
        let time = Seconds::decode(bytes.get(4..)?)?;
        Some(on.then_some(time))
    }
    fn text(value: &Option<Duration>) -> String {
        optional(value.as_ref().map(Seconds::text))
    }
    fn value(value: &Option<Duration>) -> Value {
        Value::from(*value)
    }
}

impl Encoding<Option<Duration>> for LingerTime {
    fn encode(value: &Option<Duration>) -> Option<Encoded> {
        let on = c_int::from(value.is_some()).to_ne_bytes();
        let time = Seconds::encode(&value.unwrap_or_default())?;
        Encoded::of(&[&on, time.as_bytes()])
    }
}

/// `struct timeval`, zero for no timeout; microseconds, rounded up. The kernel
/// rounds up further, to its own ticks.
pub(super) struct Timeval;

impl Coding<Option<Duration>> for Timeval {
    fn decode(bytes: &[u8]) -> Option<Option<Duration>> {
        let (seconds, rest) = bytes.split_first_chunk()?;
        let seconds = u64::try_from(libc::time_t::from_ne_bytes(*seconds)).ok()?;
        let micros = libc::suseconds_t::from_ne_bytes(*rest.first_chunk()?);
        let time = Duration::from_secs(seconds) + Duration::from_micros(micros.try_into().ok()?);
        Some((!time.is_zero()).then_some(time))
    }
    fn text(value: &Option<Duration>) -> String {
        optional(value.map(|time| format!("{} ms", time.as_millis())))
    }
    fn value(value: &Option<Duration>) -> Value {
        Value::from(*value)
    }
}

impl Encoding<Option<Duration>> for Timeval {
    fn encode(value: &Option<Duration>) -> Option<Encoded> {
        let micros = value.unwrap_or_default().as_nanos().div_ceil(1_000);
        if value.is_some() && micros == 0 {
            // It would mean the opposite.
            return None;
        }
        let seconds = libc::time_t::try_from(micros / 1_000_000).ok()?;
        let micros = libc::suseconds_t::try_from(micros % 1_000_000).ok()?;
        Encoded::of(&[&seconds.to_ne_bytes(), &micros.to_ne_bytes()])
    }
}

/// A name of up to 15 bytes, as network cards and congestion controls have
/// (`IFNAMSIZ`, `TCP_CA_NAME_MAX`).
pub(super) struct Name;

impl Coding<String> for Name {
    fn decode(bytes: &[u8]) -> Option<String> {
        let name = bytes.split(|byte| *byte == 0).next()?;
        String::from_utf8(name.to_vec()).ok()
    }
    fn text(value: &String) -> String {
        if value.is_empty() {
            "none".into()
        } else {
            value.clone()
        }
    }
    fn value(value: &String) -> Value {
        if value.is_empty() {
            Value::None
        } else {
            Value::Text(value.clone())
        }
    }
}

impl Encoding<String> for Name {
    fn encode(value: &String) -> Option<Encoded> {
        // The kernel would silently cut what is longer, or ends early.
        if value.len() > 15 || value.contains('\0') {
            return None;
        }
        Encoded::of(&[value.as_bytes(), b"\0"])
    }
}

/// `struct in_addr`.
pub(super) struct InAddr;

impl Coding<Ipv4Addr> for InAddr {
    fn decode(bytes: &[u8]) -> Option<Ipv4Addr> {
        Some(Ipv4Addr::from(*bytes.first_chunk::<4>()?))
    }
    fn text(value: &Ipv4Addr) -> String {
        value.to_string()
    }
}

impl Encoding<Ipv4Addr> for InAddr {
    fn encode(value: &Ipv4Addr) -> Option<Encoded> {
        Encoded::of(&[&value.octets()])
    }
}

/// `struct ip_mreq`.
pub(super) struct Mreq;

impl Encoding<Membership> for Mreq {
    fn encode(value: &Membership) -> Option<Encoded> {
        Encoded::of(&[&value.group.octets(), &value.interface.octets()])
    }
}

/// `struct ipv6_mreq`.
pub(super) struct Mreq6;

impl Encoding<Membership6> for Mreq6 {
    fn encode(value: &Membership6) -> Option<Encoded> {
        Encoded::of(&[&value.group.octets(), &value.interface.to_ne_bytes()])
    }
}

/// One of the `IP_PMTUDISC_…` numbers.
pub(super) struct Discovery;

impl Coding<MtuDiscovery> for Discovery {
    fn decode(bytes: &[u8]) -> Option<MtuDiscovery> {
        let number = int_at(bytes, 0)?;
        MtuDiscovery::ALL
            .into_iter()
            .find(|way| *way as c_int == number)
    }
    fn text(value: &MtuDiscovery) -> String {
        format!("{value:?}").to_lowercase()
    }
}

impl Encoding<MtuDiscovery> for Discovery {
    fn encode(value: &MtuDiscovery) -> Option<Encoded> {
        Encoded::int(*value as c_int)
    }
}

/// `struct ucred`.
pub(super) struct Ucred;

impl Coding<Credentials> for Ucred {
    fn decode(bytes: &[u8]) -> Option<Credentials> {
        let id = |at| uint_at(bytes, at).filter(|id| *id != u32::MAX);
        Some(Credentials {
            process: int_at(bytes, 0)
                .and_then(|id| u32::try_from(id).ok())
                .filter(|id| *id > 0),
            user: id(4),
            group: id(8),
        })
    }
    fn text(value: &Credentials) -> String {
        match (value.process, value.user, value.group) {
            (None, None, None) => "none".into(),
            (process, user, group) => {
                let number = |id: Option<u32>| id.map_or_else(|| "?".into(), |id| id.to_string());
                let (process, user, group) = (number(process), number(user), number(group));
                format!("process {process}, user {user}, group {group}")
            }
        }
    }
    fn value(value: &Credentials) -> Value {
        match value {
            Credentials {
                process: None,
                user: None,
                group: None,
            } => Value::None,
            _ => Value::Text(Self::text(value)),
        }
    }
}

/// `struct tcp_info`.
pub(super) struct Info;

impl Coding<TcpInfo> for Info {
    fn decode(bytes: &[u8]) -> Option<TcpInfo> {
        TcpInfo::from_bytes(bytes)
    }
    fn text(value: &TcpInfo) -> String {
        let (state, time) = (value.state_name(), value.round_trip);
        format!("{state}, {} us", time.as_micros())
    }
}

fn optional(text: Option<String>) -> String {
    text.unwrap_or_else(|| "off".into())
}
