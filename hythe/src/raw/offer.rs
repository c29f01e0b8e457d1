//! [`Offer`]: what a listener offers to everyone who comes, over TLS if it has
//! an identity.

use std::io::{self, Write as _};

use hythe_net::{Addr, Connection, Failure, Handler};

use super::keep_alive;
use crate::tls::{Acceptor, Channel};

/// What happens on each connection.
pub trait Talk: Send + Sync + 'static {
    /// Talks with one peer; the connection is closed afterwards.
    fn talk(&self, connection: Connection<Channel>) -> impl Future<Output = io::Result<()>>;
}

/// A handler for [`hythe_net::Server`].
#[derive(Debug)]
pub struct Offer<T> {
    talk: T,
    acceptor: Option<Acceptor>,
}

impl<T: Talk> Offer<T> {
    /// Offers `talk`, under TLS where there is an acceptor.
    pub fn new(talk: T, acceptor: Option<Acceptor>) -> Self {
        Self { talk, acceptor }
    }
}

impl<T: Talk> Handler for Offer<T> {
    async fn handle(&self, connection: Connection) -> io::Result<()> {
        keep_alive(connection.stream.socket());
        let mut connection = connection.map(Channel::plain);
        if let Some(acceptor) = &self.acceptor {
            connection.stream.accept(acceptor).await?;
        }
        self.talk.talk(connection).await
    }

    fn failed(&self, peer: Option<&Addr>, failure: &Failure) {
        // That peers come and go, also in the middle, is nobody's concern.
        let told = match (failure, peer) {
            (Failure::Error(error), Some(peer)) if error.kind() == io::ErrorKind::Other => {
                format!("{peer}: {error}")
            }
            (Failure::Panic(_), Some(peer)) => format!("{peer}: {failure}"),
            (Failure::Accept(_), _) | (Failure::Panic(_), None) => failure.to_string(),
            _ => return,
        };
        // `eprintln` panics where standard error is closed.
        writeln!(io::stderr(), "hythe: {told}").ok();
    }
}
