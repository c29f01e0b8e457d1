//! Addresses inside commands and replies (RFC 959 section 4.1.2, RFC 2428).
//!
//! They are what a peer claims. Where one names a host, only the host of the control connection
//! may be believed (RFC 2577): the caller checks.

use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};
use core::str;

use super::Error;
use crate::http::{parse_decimal, push_decimal};

/// The refusal of an address family, with those we know (RFC 2428 section 2).
pub(super) const FAMILY: Error = Error::new(522, "Network protocol not supported, use (1,2)");

/// Appends `h1,h2,h3,h4,p1,p2`, for PORT and, between parentheses, for a 227 reply.
pub fn write_host_port(out: &mut Vec<u8>, address: SocketAddrV4) {
    let [high, low] = address.port().to_be_bytes();
    for byte in address.ip().octets().into_iter().chain([high]) {
        push_decimal(out, u64::from(byte));
        out.push(b',');
    }
    push_decimal(out, u64::from(low));
}

/// Finds six numbers between commas in the text of a 227 reply, with or without parentheses
/// around them: RFC 1123 section 4.1.2.6 tells a client to rely on the digits only.
pub fn parse_host_port(text: &[u8]) -> Option<SocketAddrV4> {
    text.split(|byte| !byte.is_ascii_digit() && *byte != b',')
        .find_map(parse_numbers)
}

/// Reads exactly `h1,h2,h3,h4,p1,p2`.
pub(super) fn parse_numbers(text: &[u8]) -> Option<SocketAddrV4> {
    let mut bytes = [0; 6];
    let mut numbers = text.split(|byte| *byte == b',');
    for byte in &mut bytes {
        *byte = u8::try_from(parse_decimal(numbers.next()?)?).ok()?;
    }
    let [a, b, c, d, high, low] = bytes;
    let port = u16::from_be_bytes([high, low]);
    numbers
        .next()
        .is_none()
        .then(|| SocketAddrV4::new(Ipv4Addr::new(a, b, c, d), port))
}

/// Appends `|family|address|port|`, for EPRT. A zone or flow label of IPv6 is left out: it means
/// nothing to another machine.
pub fn write_extended(out: &mut Vec<u8>, address: SocketAddr) {
    let family = if address.is_ipv4() { '1' } else { '2' };
    let text = alloc::format!("|{family}|{}|{}|", address.ip(), address.port());
    out.extend_from_slice(text.as_bytes());
}

/// Reads `|family|address|port|`, with any delimiter that RFC 2428 section 2 allows.
///
/// # Errors
/// 522 for a family other than 1 and 2, 501 for anything malformed.
pub fn parse_extended(text: &[u8]) -> Result<SocketAddr, Error> {
    let malformed = Error::new(501, "Bad address.");
    let [family, host, port] = fields(text).ok_or(malformed)?;
    if family.is_empty() {
        return Err(malformed);
    }
    if family != b"1" && family != b"2" {
        return Err(FAMILY);
    }
    let host = str::from_utf8(host)
        .ok()
        .and_then(|host| host.parse::<IpAddr>().ok());
    let (host, port) = host.zip(parse_port(port)).ok_or(malformed)?;
    if host.is_ipv4() != (family == b"1") {
        return Err(malformed);
    }
    Ok(SocketAddr::new(host, port))
}

/// Appends `(|||port|)`, for a 229 reply (RFC 2428 section 3).
pub fn write_extended_port(out: &mut Vec<u8>, port: u16) {
    out.extend_from_slice(b"(|||");
    push_decimal(out, u64::from(port));
    out.extend_from_slice(b"|)");
}

/// Finds `(|||port|)` in the text of a 229 reply.
pub fn parse_extended_port(text: &[u8]) -> Option<u16> {
    let start = memchr::memchr(b'(', text)? + 1;
    let length = memchr::memchr(b')', &text[start..])?;
    let [b"", b"", port] = fields(&text[start..start + length])? else {
        return None;
    };
    parse_port(port)
}

/// The three fields between four delimiters, of which the first chooses the rest.
fn fields(text: &[u8]) -> Option<[&[u8]; 3]> {
    let (delimiter, rest) = text.split_first()?;
    // A printable character that is no part of an address.
    if !delimiter.is_ascii_graphic() || delimiter.is_ascii_alphanumeric() {
        return None;
    }
    let mut pieces = rest.split(|byte| byte == delimiter);
    let fields = [pieces.next()?, pieces.next()?, pieces.next()?];
    (pieces.next() == Some(b"") && pieces.next().is_none()).then_some(fields)
}

/// Port 0 is nobody's.
fn parse_port(text: &[u8]) -> Option<u16> {
    parse_decimal(text)?
        .try_into()
        .ok()
        .filter(|port| *port != 0)
}
