//! Commands that say how the next transfer is to go.

use std::net::SocketAddr;

use hythe_wire::ftp::{Epsv, Error, Type, write_extended_port, write_host_port};

use super::data::{self, Data, Ends};
use super::session::{Next, Session, refusal};

const NO_PORT: Error = refusal(425, "Cannot open a port for data.");
const NOT_YOURS: Error = refusal(504, "Only your own address, and ports from 1024 on.");
const ONLY_EPSV: Error = refusal(503, "After EPSV ALL there is only EPSV.");

impl Session<'_> {
    pub(super) fn set_type(&mut self, kind: Type) -> Result<Next, Error> {
        self.kind = kind;
        match kind {
            Type::Ascii => self.say(200, "Type is A."),
            Type::Image => self.say(200, "Type is I."),
        }
    }

    pub(super) fn restart(&mut self, offset: u64) -> Result<Next, Error> {
        if offset > 0 && self.kind == Type::Ascii {
            // It would have to be counted with line ends converted.
            return Err(refusal(501, "Restart in TYPE I only."));
        }
        self.rest = offset;
        self.say(350, format!("The next transfer begins at {offset}."))
    }

    pub(super) fn passive(&mut self) -> Result<Next, Error> {
        if self.only_epsv {
            return Err(ONLY_EPSV);
        }
        let Some(SocketAddr::V4(mut address)) = self.ends.map(|ends| ends.local) else {
            return Err(refusal(425, "PASV is for IPv4; use EPSV."));
        };
        address.set_port(self.listen()?);
        if let Some(outside) = self.ftp.config.passive_address {
            address.set_ip(outside);
        }
        let mut text = b"Entering Passive Mode (".to_vec();
        write_host_port(&mut text, address);
        text.push(b')');
        self.say(227, text)
    }

    pub(super) fn extended_passive(&mut self, wish: Epsv) -> Result<Next, Error> {
        let ends = self.ends.ok_or(NO_PORT)?;
        match wish {
            Epsv::All => {
                self.only_epsv = true;
                return self.say(200, "From now on only EPSV.");
            }
            Epsv::V4 if !ends.local.is_ipv4() => return Err(other_family(ends)),
            Epsv::V6 if !ends.local.is_ipv6() => return Err(other_family(ends)),
            Epsv::Same | Epsv::V4 | Epsv::V6 => {}
        }
        let port = self.listen()?;
        let mut text = b"Entering Extended Passive Mode ".to_vec();
        write_extended_port(&mut text, port);
        self.say(229, text)
    }

    fn listen(&mut self) -> Result<u16, Error> {
        let ends = self.ends.ok_or(NO_PORT)?;
        // The last port goes first: it may be the only one of the range.
        self.data = Data::Unknown;
        let ports = self.ftp.config.passive_ports.as_ref();
        let (listener, port) = data::listen(ends.local, ports).map_err(|_| NO_PORT)?;
        self.data = Data::Passive(listener);
        Ok(port)
    }

    pub(super) fn extended_active(&mut self, address: SocketAddr) -> Result<Next, Error> {
        match self.ends {
            Some(ends) if ends.peer.is_ipv4() != address.is_ipv4() => Err(other_family(ends)),
            _ => self.active(address),
        }
    }

    pub(super) fn active(&mut self, address: SocketAddr) -> Result<Next, Error> {
        if self.only_epsv {
            return Err(ONLY_EPSV);
        }
        let claimed = self.ends.and_then(|ends| ends.claimed(address));
        self.data = Data::Active(claimed.ok_or(NOT_YOURS)?);
        self.say(200, "That is where data will go.")
    }
}

/// RFC 2428 section 2 has the reply name the families that can be used.
fn other_family(ends: Ends) -> Error {
    if ends.local.is_ipv4() {
        refusal(522, "Network protocol not supported, use (1)")
    } else {
        refusal(522, "Network protocol not supported, use (2)")
    }
}
