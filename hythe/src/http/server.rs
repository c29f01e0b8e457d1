//! [`Http`]: a service, spoken to over HTTP/1.1.

use std::fmt;
use std::future::Future;
use std::io::{self, IsTerminal as _};
use std::sync::Arc;

use hythe_net::{Addr, Connection, Failure, Handler, Model, Server};
use tracing_subscriber::Layer as _;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use super::{Service, session};
use crate::serve::log;
use crate::tls::Acceptor;
use crate::visible::without_number;

/// Speaks HTTP/1.1 for a [`Service`], over TCP or TLS: the handler of a
/// [`Server`].
///
/// ```
/// use hythe::http::{Http, Request, Router};
/// use hythe_net::{Limits, Model, Server};
///
/// # fn main() -> std::io::Result<()> {
/// let router = Router::new().get("/", async |_: Request| "Hello!\n");
/// let server = Server::new(Model::cores())
///     .limits(Limits { max: 1000, ..Limits::default() })
///     .listen(&"127.0.0.1:0".parse()?, Http::new(router))?;
/// let shutdown = server.shutdown();
/// shutdown.stop();
/// server.serve()
/// # }
/// ```
pub struct Http<S> {
    service: Arc<S>,
    tls: Option<Acceptor>,
}

impl<S: Service> Http<S> {
    /// Speaks for this service.
    pub fn new(service: S) -> Self {
        Self {
            service: Arc::new(service),
            tls: None,
        }
    }

    /// Speaks for the same service over TLS.
    #[must_use]
    pub fn over_tls(&self, acceptor: Acceptor) -> Self {
        Self {
            service: Arc::clone(&self.service),
            tls: Some(acceptor),
        }
    }
}

impl<S> Clone for Http<S> {
    fn clone(&self) -> Self {
        Self {
            service: Arc::clone(&self.service),
            tls: self.tls.clone(),
        }
    }
}

impl<S> fmt::Debug for Http<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Http")
            .field("tls", &self.tls)
            .finish_non_exhaustive()
    }
}

impl<S: Service> Handler for Http<S> {
    fn handle(&self, connection: Connection) -> impl Future<Output = io::Result<()>> {
        session::serve(Arc::clone(&self.service), connection, self.tls.clone())
    }

    fn failed(&self, peer: Option<&Addr>, failure: &Failure) {
        log::failed("http", peer, failure);
    }

    fn busy(&self) -> &'static [u8] {
        if self.tls.is_some() {
            // It could be told so after a handshake only, which costs more than
            // the place that it does not get.
            return b"";
        }
        b"HTTP/1.1 503 Service Unavailable\r\n\
          Content-Type: text/plain\r\n\
          Content-Length: 45\r\n\
          Retry-After: 5\r\n\
          Connection: close\r\n\
          \r\n\
          503 Too many connections; try again shortly.\n"
    }
}

/// Serves at an address, an event loop on each core, until the program is ended;
/// says where on standard output, as `listening on http://127.0.0.1:8080/`. For
/// all else there are [`Server`] and [`Http`].
///
/// An interrupt ends it at once; for a stop that lets answers finish there is
/// [`Server::stop_on`].
///
/// What handlers and layers write to the log (`tracing`) goes to standard error,
/// unless the program has a subscriber of its own.
///
/// # Errors
/// The address is none, or can't be listened on.
pub fn serve(address: &str, service: impl Service) -> io::Result<()> {
    let shown = Targets::new()
        .with_default(LevelFilter::INFO)
        // Who wants a line for each request adds `layer::log`.
        .with_target(log::ACCESS, LevelFilter::OFF);
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal());
    // Where there is one already, it stays.
    let registry = tracing_subscriber::registry();
    registry.with(lines.with_filter(shown)).try_init().ok();
    let found = Addr::resolve(address).map_err(|error| {
        let why = without_number(&error);
        let text = format!(
            "cannot listen on {address}: {why}; give HOST:PORT, such as 127.0.0.1:8080, or unix:/PATH"
        );
        io::Error::new(error.kind(), text)
    })?;
    let Some(address) = found.into_iter().next() else {
        return Err(io::ErrorKind::AddrNotAvailable.into());
    };
    let server = Server::new(Model::cores()).listen(&address, Http::new(service))?;
    for address in server.addresses() {
        println!("listening on http://{address}/");
    }
    server.serve()
}
