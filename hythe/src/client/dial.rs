//! Connections to servers.

use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};

use hythe_net::option::NoDelay;
use hythe_net::reactor::unblock;
use hythe_net::{Addr, Patience, Stream};

use super::{Error, Options, Reason, Result};
use crate::tls::{Connector, Trust};

/// Connects to a port of a host: to each of its addresses, one after the other,
/// until one answers.
pub(super) async fn dial(host: &str, port: u16, options: &Options) -> Result<Stream> {
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    for address in resolve(host, port).await? {
        match Stream::connect(&Addr::from(address), None, options.connect).await {
            Ok(stream) => {
                stream.set_patience(Patience::new(options.stall));
                // Requests are small, and waited for.
                stream.socket().set(NoDelay(true)).ok();
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(Error::unreachable(&last))
}

async fn resolve(host: &str, port: u16) -> Result<Vec<SocketAddr>> {
    // Nobody need be asked, which takes a thread of the pool.
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(address, port)]);
    }
    let name = host.to_owned();
    let found = unblock(move || {
        (name.as_str(), port)
            .to_socket_addrs()
            .map(Iterator::collect::<Vec<_>>)
    });
    match found.await {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) | Err(_) => Err(Error::new(
            Reason::Unreachable,
            format!("no host is called {host}"),
        )),
    }
}

/// Whom to trust, as the options say.
pub(crate) fn connector(options: &Options, protocol: Option<&'static str>) -> Result<Connector> {
    let trust = match &options.ca {
        _ if options.insecure => Trust::Anybody,
        Some(file) => Trust::File(file),
        None => Trust::System,
    };
    Connector::new(trust, protocol).map_err(|error| {
        let what = match &options.ca {
            Some(file) => format!("cannot use the certificates in {}: ", file.display()),
            None => String::new(),
        };
        Error::new(Reason::Local, format!("{what}{error}"))
    })
}

/// Why TLS did not come about.
pub(crate) fn tls_failed(error: &io::Error) -> Error {
    if error.kind() != io::ErrorKind::InvalidData {
        return Error::lost(error);
    }
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
    let text = match inner {
        Some(rustls::Error::InvalidCertificate(why)) => format!(
            "its certificate is not to be trusted ({why:?}); --cacert FILE names whom to trust, \
             and --insecure goes on all the same"
        ),
        Some(rustls::Error::InvalidMessage(_)) => "what it speaks there is no TLS".into(),
        _ => error.to_string(),
    };
    Error::new(Reason::NotAllowed, text)
}
