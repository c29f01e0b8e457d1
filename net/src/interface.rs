//! Which addresses this machine has: where others can reach a server that
//! listens on all of them.
//!
//! Not here: changes of them, routes, and what a router makes of an address.

use std::io;
use std::net::IpAddr;

use crate::sys;

/// An address of a network interface that is up (`netdevice(7)`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InterfaceAddress {
    /// The interface's name: `lo`, `eth0`, `wlan0`.
    pub interface: String,
    /// The address; several interfaces may share one.
    pub address: IpAddr,
    /// Whether the interface has a carrier: a cable that is plugged in, a
    /// wireless network that was joined (`IFF_RUNNING`).
    pub running: bool,
}

/// Every address of every interface that is up, in the kernel's order
/// (`getifaddrs(3)`). Loopback and link-local addresses are among them.
///
/// ```
/// use hythe_net::interface_addresses;
///
/// # fn main() -> std::io::Result<()> {
/// for found in interface_addresses()? {
///     println!("{}: {}", found.interface, found.address);
/// }
/// # Ok(()) }
/// ```
///
/// # Errors
/// What the kernel says, as when no descriptor is left.
pub fn interface_addresses() -> io::Result<Vec<InterfaceAddress>> {
    sys::interface_addresses()
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, UdpSocket};

    use super::*;

    #[test]
    fn this_machine_has_itself_and_can_listen_where_it_says() -> io::Result<()> {
        let found = interface_addresses()?;
        let loopback = found
            .iter()
            .find(|found| found.address == Ipv4Addr::LOCALHOST);
        assert!(loopback.is_some_and(|found| found.running), "{found:?}");
        for InterfaceAddress { address, .. } in &found {
            // A link-local address needs its interface named beside it.
            let link_local = matches!(address, IpAddr::V6(v6) if v6.is_unicast_link_local());
            if !link_local {
                UdpSocket::bind((*address, 0))?;
            }
        }
        Ok(())
    }
}
