//! [`Secret`]: two who know one, and nothing else of each other.
//!
//! ```text
//!   sender                                receiver
//!   ◄───── TLS 1.3, certificate of the moment, whoever it is ─────►
//!   KE1 (blinded) ──────────────────────►
//!                 ◄────────────────────── KE2: the receiver knows the secret
//!   KE3: the sender knows it ───────────►
//! ```
//!
//! TLS encrypts, with whoever is there; OPAQUE (RFC 9807) inside of it proves
//! that this is who knows the secret, and tells nobody else anything about it:
//! whoever tries has one guess for each connection, and can't try more of them
//! in peace. Its context is bound to the TLS connection (the exporter), so that
//! one in the middle, who has two connections, gets nowhere.
//!
//! OPAQUE is made for servers with many accounts. Here the receiver keeps one,
//! made of the secret when it starts and gone when it ends.

use std::fmt;
use std::io;
use std::time::Duration;

use hythe_net::More;
use hythe_net::reactor::timeout;
use hythe_wire::transfer::{Message, Received};
use opaque_ke::errors::ProtocolError;
use opaque_ke::{
    CipherSuite, ClientLogin, ClientLoginFinishParameters, ClientRegistration,
    ClientRegistrationFinishParameters, CredentialFinalization, CredentialRequest,
    CredentialResponse, Identifiers, Ristretto255, ServerLogin, ServerLoginParameters,
    ServerRegistration, ServerSetup, TripleDh, ksf,
};
use opaque_rand::OsRng;
use opaque_sha2::Sha512;

use super::{lost, protocol};
use crate::client::{Error, Reason, Result};
use crate::tls::{Acceptor, Channel, Connector, HANDSHAKE};
use crate::visible::visible;

/// How many wrong secrets a receiver bears before it stops: a mistake or two are
/// human, and of a million secrets a stranger has tried ten then.
pub const WRONG_SECRETS: u32 = 10;

/// How long a sender may take for its proof: a round trip and a little arithmetic.
const PROOF: Duration = Duration::from_secs(5);

/// What the exporter is for (RFC 8446 section 7.5).
const PURPOSE: &[u8] = b"EXPORTER-hythe-transfer-1";

/// By which name the receiver knows its only account.
const ACCOUNT: &[u8] = b"hythe transfer";

/// OPAQUE as RFC 9807 recommends it, but for the stretching of the secret: that
/// helps against those who steal what a server keeps, and here nothing is kept.
struct Suite;

impl CipherSuite for Suite {
    type OprfCs = Ristretto255;
    type KeyExchange = TripleDh<Ristretto255, Sha512>;
    type Ksf = ksf::Identity;
}

/// A secret that two share.
#[derive(Clone)]
pub struct Secret(Vec<u8>);

impl Secret {
    /// A secret of any bytes.
    ///
    /// # Errors
    /// It is empty.
    pub fn new(secret: impl Into<Vec<u8>>) -> std::result::Result<Self, &'static str> {
        let secret = secret.into();
        if secret.is_empty() {
            return Err("the secret is empty, and everybody knows that one");
        }
        Ok(Self(secret))
    }

    /// Encrypts a connection that was made, and makes sure of the receiver.
    pub(super) async fn prove(&self, channel: &mut Channel) -> Result<()> {
        let connector = Connector::anonymous().map_err(|error| Error::local(&error))?;
        let encrypted = channel.connect(&connector, "hythe").await;
        encrypted.map_err(|error| match error.kind() {
            io::ErrorKind::InvalidData => {
                refused("the receiver has no secret: start it with --secret")
            }
            _ => lost(&error),
        })?;
        let context = channel
            .exporter(PURPOSE)
            .map_err(|error| Error::local(&error))?;
        within(self.prove_to(channel, &context)).await
    }

    async fn prove_to(&self, channel: &Channel, context: &[u8]) -> Result<()> {
        let begun = ClientLogin::<Suite>::start(&mut OsRng, &self.0).map_err(broken)?;
        send(channel, &Message::Key(&begun.message.serialize())).await?;
        let answer = receive_key(channel).await?;
        let answer = CredentialResponse::deserialize(&answer).map_err(broken)?;
        let parameters =
            ClientLoginFinishParameters::new(Some(context), Identifiers::default(), None);
        let proof = begun
            .state
            .finish(&mut OsRng, &self.0, answer, parameters)
            .map_err(wrong)?;
        send(channel, &Message::Key(&proof.message.serialize())).await
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// The receiver's side of a secret.
pub(super) struct Guard {
    acceptor: Acceptor,
    setup: ServerSetup<Suite>,
    account: ServerRegistration<Suite>,
}

impl Guard {
    /// Makes an account of the secret.
    pub(super) fn new(secret: &Secret) -> Result<Self> {
        let setup = ServerSetup::<Suite>::new(&mut OsRng);
        let begun = ClientRegistration::<Suite>::start(&mut OsRng, &secret.0).map_err(broken)?;
        let answer =
            ServerRegistration::<Suite>::start(&setup, begun.message, ACCOUNT).map_err(broken)?;
        let parameters = ClientRegistrationFinishParameters::default();
        let done = begun
            .state
            .finish(&mut OsRng, &secret.0, answer.message, parameters)
            .map_err(broken)?;
        Ok(Self {
            acceptor: Acceptor::anonymous().map_err(|error| Error::local(&error))?,
            setup,
            account: ServerRegistration::finish(done.message),
        })
    }

    /// Encrypts a connection that was accepted, and makes sure of the sender.
    ///
    /// # Errors
    /// [`Reason::NotAllowed`] if it does not know the secret.
    pub(super) async fn check(&self, channel: &mut Channel) -> Result<()> {
        if let Err(error) = channel.accept(&self.acceptor).await {
            if Channel::is_plain(&error) {
                let text = "the receiver wants a secret: send with --secret";
                let plain = channel.give_up_tls();
                send(plain, &Message::Refuse(text)).await.ok();
                plain.close().await;
                return Err(refused("the sender has no secret; nothing was received"));
            }
            return Err(lost(&error));
        }
        let context = channel
            .exporter(PURPOSE)
            .map_err(|error| Error::local(&error))?;
        let parameters = || ServerLoginParameters {
            context: Some(&context),
            identifiers: Identifiers::default(),
        };
        let answer = within(self.answer(channel, parameters())).await?;
        // One who sees by it that its secret is wrong has had its guess, whether it
        // leaves now or keeps still.
        let proved = async {
            let proof = receive_key(channel).await.ok()?;
            let proof = CredentialFinalization::deserialize(&proof).ok()?;
            answer.finish(proof, parameters()).ok()
        };
        match timeout(PROOF, proved).await {
            Ok(Some(_)) => Ok(()),
            _ => Err(refused(WRONG)),
        }
    }

    /// Answers who begins to prove that it knows the secret.
    async fn answer(
        &self,
        channel: &Channel,
        parameters: ServerLoginParameters<'_, '_>,
    ) -> Result<ServerLogin<Suite>> {
        let request = receive_key(channel).await?;
        let request = CredentialRequest::deserialize(&request).map_err(broken)?;
        let answer = ServerLogin::start(
            &mut OsRng,
            &self.setup,
            Some(self.account.clone()),
            request,
            ACCOUNT,
            parameters,
        )
        .map_err(broken)?;
        let sent = send(channel, &Message::Key(&answer.message.serialize())).await;
        // It may have got there all the same.
        sent.map_err(|_| refused(WRONG))?;
        Ok(answer.state)
    }
}

/// Waits no longer than for a handshake: these are part of one.
async fn within<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    match timeout(HANDSHAKE, work).await {
        Ok(result) => result,
        Err(error) => Err(lost(&error)),
    }
}

async fn send(channel: &Channel, message: &Message<'_>) -> Result<()> {
    let mut bytes = Vec::new();
    message.encode(&mut bytes);
    let sent = channel.send_all(&bytes, More::No).await;
    sent.map_err(|error| lost(&error))
}

/// Receives a message of the exchange, and not a byte more.
async fn receive_key(channel: &Channel) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    loop {
        match Message::decode(&bytes).map_err(protocol)? {
            Some(Received {
                message: Message::Key(key),
                ..
            }) => return Ok(key.to_vec()),
            Some(Received {
                message: Message::Refuse(text),
                ..
            }) => {
                return Err(refused(&format!(
                    "the other end gave up: {}",
                    visible(text)
                )));
            }
            Some(_) => return Err(protocol("no exchange of keys")),
            None => {}
        }
        let mut byte = [0];
        match channel.recv(&mut byte).await {
            Ok(0) => return Err(lost(&io::ErrorKind::UnexpectedEof.into())),
            Ok(_) => bytes.extend_from_slice(&byte),
            Err(error) => return Err(lost(&error)),
        }
    }
}

fn refused(text: &str) -> Error {
    Error::new(Reason::NotAllowed, text)
}

/// What a sender is told whose proof the receiver can't have made.
fn wrong(error: ProtocolError) -> Error {
    match error {
        ProtocolError::InvalidLoginError => refused(
            "the secret is wrong: the other end has another one, or is not who it should be",
        ),
        error => broken(error),
    }
}

/// By which the receiver counts them.
pub(super) const WRONG: &str = "the sender has another secret; nothing was received";

fn broken(error: ProtocolError) -> Error {
    protocol(format!("the exchange of keys failed ({error})"))
}
