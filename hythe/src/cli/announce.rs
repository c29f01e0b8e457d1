//! What `hythe serve` says when it has begun to listen.
//!
//! Standard output gets a line for each listener, for scripts. A person at a
//! terminal is also told, on standard error, how other machines reach it, with
//! a QR code for those that have a camera and no keyboard:
//!
//! ```text
//! http    http://0.0.0.0:8000/
//! other machines reach it at
//!   http://192.168.1.20:8000/
//!   http://[fd00::20]:8000/
//! ```

use std::fmt::Write as _;
use std::io::{self, IsTerminal as _, Write as _};
use std::net::{IpAddr, SocketAddr};

use hythe_net::{Addr, InterfaceAddress, interface_addresses};
use qrcode::render::unicode::Dense1x2;
use qrcode::{EcLevel, QrCode};
use rustix::termios::tcgetwinsize;

use super::logging::Log;
use crate::share::Access;

/// Where a protocol is served.
#[derive(Clone, Debug)]
pub(super) struct Listening {
    /// `http`, `ftp`, `gopher`: also the scheme of its URLs.
    pub(super) protocol: &'static str,
    /// The address that was bound, with the port that was chosen.
    pub(super) address: Addr,
}

/// Says where it listens, how others get there, and what may surprise about
/// that. Nobody may be reading any more; that is no reason not to serve.
pub(super) fn announce(listening: &[Listening], strangers: Access, log: Log) {
    print_listeners(listening).ok();
    if log != Log::Json && io::stderr().is_terminal() {
        // What the kernel won't tell is missing and nothing else.
        let own = interface_addresses().unwrap_or_default();
        let text = reach(listening, &own, Screen::of_stderr());
        io::stderr().write_all(text.as_bytes()).ok();
    }
    // Through the log, so that `--log json` is JSON throughout.
    advise(listening, strangers);
}

/// A line for each listener: protocol, spaces, URL.
fn print_listeners(listening: &[Listening]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    for Listening { protocol, address } in listening {
        writeln!(out, "{protocol:<8}{protocol}://{address}/")?;
    }
    out.flush()
}

/// Tells how to share on the network, or who else may write, whom that may
/// surprise.
fn advise(listening: &[Listening], strangers: Access) {
    if listening.iter().all(|listening| listening.is_local()) {
        tracing::info!("only this machine can connect; to share on the network: --bind 0.0.0.0");
        return;
    }
    let verbs = match strangers {
        Access::None | Access::Read => return,
        Access::Upload => "upload files",
        Access::Write | Access::Admin => "upload, overwrite and delete files",
    };
    tracing::warn!("anyone who can connect may {verbs}; for accounts only: --allow read");
}

impl Listening {
    fn is_local(&self) -> bool {
        match &self.address {
            Addr::Inet(address) => address.ip().is_loopback(),
            Addr::Unix(_) => true,
            Addr::Other(_) => false,
        }
    }

    /// The URLs under which other machines reach it, most likely first, given
    /// the addresses this one has.
    fn urls(&self, own: &[InterfaceAddress]) -> Vec<String> {
        let Addr::Inet(bound) = &self.address else {
            return Vec::new();
        };
        let mut addresses: Vec<&InterfaceAddress> = own
            .iter()
            .filter(|own| is_served(bound.ip(), own.address) && is_reachable(own.address))
            .collect();
        addresses.sort_by_key(|own| unlikeliness(own)); // stable: else the kernel's order
        addresses.dedup_by_key(|own| own.address);
        let url = |own: &InterfaceAddress| {
            let address = SocketAddr::new(own.address, bound.port());
            format!("{}://{address}/", self.protocol)
        };
        addresses.into_iter().map(url).collect()
    }
}

/// Whether a listener at `bound` takes who connects to `own`. One on `::`
/// takes IPv4 as well.
fn is_served(bound: IpAddr, own: IpAddr) -> bool {
    match bound {
        IpAddr::V4(bound) if bound.is_unspecified() => own.is_ipv4(),
        IpAddr::V6(bound) if bound.is_unspecified() => true,
        bound => bound.to_canonical() == own,
    }
}

/// Whether a URL with this address leads here from elsewhere. A link-local
/// IPv6 address does not: it needs the name of the other machine's interface.
fn is_reachable(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => !address.is_loopback(),
        IpAddr::V6(address) => !address.is_loopback() && !address.is_unicast_link_local(),
    }
}

/// How far down the list an address belongs: the one of the network that a
/// phone in the same room is on comes first.
fn unlikeliness(own: &InterfaceAddress) -> u8 {
    /// How the interfaces of containers and virtual machines are called: a
    /// phone is not on their networks.
    const VIRTUAL: [&str; 8] = [
        "br-", "cni", "docker", "lxc", "podman", "veth", "virbr", "vmnet",
    ];
    let virtual_network = VIRTUAL.iter().any(|name| own.interface.starts_with(name));
    match own.address {
        _ if !own.running || virtual_network => 4,
        IpAddr::V4(address) if address.is_private() => 0,
        IpAddr::V4(address) if !address.is_link_local() => 1,
        IpAddr::V6(_) => 2,
        IpAddr::V4(_) => 3,
    }
}

/// How much of a QR code a terminal can show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Screen {
    columns: u16,
    rows: u16,
}

impl Screen {
    /// What a terminal is taken for that does not say, as many did not.
    const USUAL: Self = Self {
        columns: 80,
        rows: 24,
    };

    /// The terminal on standard error; `None` if it shows no drawings.
    fn of_stderr() -> Option<Self> {
        let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        if set("NO_COLOR") || !set("TERM") || std::env::var_os("TERM").is_some_and(|t| t == "dumb")
        {
            return None;
        }
        let size = tcgetwinsize(io::stderr()).ok()?;
        Some(match (size.ws_col, size.ws_row) {
            (0, _) | (_, 0) => Self::USUAL,
            (columns, rows) => Self { columns, rows },
        })
    }
}

/// How other machines reach it: all URLs, and the best as a QR code if the
/// screen has room for it. Nothing, if none can.
fn reach(listening: &[Listening], own: &[InterfaceAddress], screen: Option<Screen>) -> String {
    let mut text = String::new();
    for url in listening.iter().flat_map(|listening| listening.urls(own)) {
        if text.is_empty() {
            text.push_str("other machines reach it at\n");
        }
        // Writing into memory does not fail.
        writeln!(text, "  {url}").ok();
    }
    // A phone does not know a certificate that nobody vouches for.
    let best = ["http", "https"].into_iter().find_map(|protocol| {
        listening
            .iter()
            .filter(|listening| listening.protocol == protocol)
            .find_map(|listening| listening.urls(own).into_iter().next())
    });
    if let Some((url, screen)) = best.zip(screen)
        && let Some(code) = qr_code(&url, screen)
    {
        writeln!(text, "{code}  scan for {url}").ok();
    }
    text
}

/// A QR code (ISO/IEC 18004) of half blocks, two modules a character, in black
/// on white whatever the terminal's own colours. `None` if there is no room.
fn qr_code(text: &str, screen: Screen) -> Option<String> {
    /// Black on white from the fixed part of the 256 colours: the first 16
    /// are whatever the terminal's owner finds beautiful.
    const BLACK_ON_WHITE: &str = "\x1b[38;5;16;48;5;231m";
    const RESET: &str = "\x1b[0m";
    /// The line below the code, and the one the cursor is on.
    const OTHER_ROWS: usize = 2;

    // A screen is clean and at hand, so that the lowest level of correction,
    // which makes the smallest code, is enough.
    let code = QrCode::with_error_correction_level(text, EcLevel::L).ok()?;
    // With the quiet zone of four modules that scanners may count on.
    let drawing = code
        .render::<Dense1x2>()
        .module_dimensions(1, 1)
        .quiet_zone(true)
        .build();
    let columns = drawing.lines().next()?.chars().count();
    let rows = drawing.lines().count() + OTHER_ROWS;
    if columns > screen.columns.into() || rows > screen.rows.into() {
        return None;
    }
    let mut coloured = String::new();
    for line in drawing.lines() {
        writeln!(coloured, "{BLACK_ON_WHITE}{line}{RESET}").ok()?;
    }
    Some(coloured)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own(interface: &str, address: &str) -> InterfaceAddress {
        InterfaceAddress {
            interface: interface.into(),
            address: address.parse().unwrap(),
            running: true,
        }
    }

    fn machine() -> Vec<InterfaceAddress> {
        let mut unplugged = own("eth1", "192.168.9.9");
        unplugged.running = false;
        vec![
            own("lo", "127.0.0.1"),
            own("lo", "::1"),
            own("docker0", "172.17.0.1"),
            unplugged,
            own("eth0", "203.0.113.7"),
            own("eth0", "2001:db8::7"),
            own("eth0", "fe80::7"),
            own("wlan0", "169.254.1.1"),
            own("wlan0", "192.168.1.20"),
            own("wlan1", "192.168.1.20"),
        ]
    }

    fn http(address: &str) -> Listening {
        Listening {
            protocol: "http",
            address: address.parse().unwrap(),
        }
    }

    #[test]
    fn urls_are_those_that_lead_here_the_likeliest_first() {
        let all_ipv4 = [
            "http://192.168.1.20:80/",
            "http://203.0.113.7:80/",
            "http://169.254.1.1:80/",
            "http://172.17.0.1:80/",
            "http://192.168.9.9:80/",
        ];
        let mut both = all_ipv4.to_vec();
        both.insert(2, "http://[2001:db8::7]:80/");
        for (bound, expected) in [
            ("0.0.0.0:80", &all_ipv4[..]),
            ("[::]:80", &both),
            ("192.168.1.20:80", &all_ipv4[..1]),
            ("[::ffff:192.168.1.20]:80", &all_ipv4[..1]),
            ("[2001:db8::7]:80", &both[2..3]),
            ("127.0.0.1:80", &[]),
            ("[::1]:80", &[]),
            ("unix:/run/x", &[]),
        ] {
            assert_eq!(http(bound).urls(&machine()), expected, "{bound}");
        }
    }

    #[test]
    fn nothing_is_said_of_what_others_cannot_reach() {
        let local = [http("127.0.0.1:80")];
        assert_eq!(reach(&local, &machine(), Some(Screen::USUAL)), "");
        assert_eq!(reach(&[http("0.0.0.0:80")], &[], Some(Screen::USUAL)), "");
    }

    #[test]
    fn a_code_is_drawn_where_it_fits_and_for_http_alone() {
        let screen = |columns, rows| Some(Screen { columns, rows });
        let ftp = Listening {
            protocol: "ftp",
            ..http("0.0.0.0:2121")
        };
        // Version 2, 25 modules, and four around it: 33 columns and 17 rows.
        let both = [ftp.clone(), http("192.168.1.20:8000")];
        for (listening, screen, drawn) in [
            (&both[..], screen(33, 19), true),
            (&both, screen(32, 19), false),
            (&both, screen(33, 18), false),
            (&both, None, false),
            (&[ftp], Some(Screen::USUAL), false),
        ] {
            let text = reach(listening, &machine(), screen);
            assert!(text.contains("  ftp://192.168.1.20:2121/\n"), "{text}");
            assert_eq!(text.contains('▀'), drawn, "{screen:?} {text}");
            let end = "  scan for http://192.168.1.20:8000/\n";
            assert_eq!(text.ends_with(end), drawn, "{text}");
        }
    }

    #[test]
    fn the_longest_urls_have_codes_that_fit_an_old_terminal() {
        for url in [
            "http://192.168.100.200:65535/",
            "http://[2001:db8:1111:2222:3333:4444:5555:6666]:65535/",
        ] {
            let code = qr_code(url, Screen::USUAL).unwrap();
            let lines: Vec<&str> = code.lines().collect();
            for line in lines {
                assert!(line.starts_with("\x1b[38;5;16;48;5;231m    "), "{line}");
                assert!(line.ends_with("    \x1b[0m"), "{line}");
            }
        }
    }
}
