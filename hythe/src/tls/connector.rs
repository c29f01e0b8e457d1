//! The client's side: whom to trust, and sessions to resume.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::ring::default_provider;
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::version::TLS13;
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

/// How many sessions are kept to be resumed: those of a control connection of
/// FTP, and of all its data connections.
const SESSIONS: usize = 64;

/// Whose certificates are believed.
#[derive(Clone, Copy, Debug)]
pub enum Trust<'a> {
    /// Those that the system's authorities vouch for.
    System,
    /// Those in a file (PEM), or that they vouch for.
    File(&'a Path),
    /// All: nobody knows who is at the other end.
    Anybody,
}

/// Begins TLS with servers. Clones share the sessions that can be resumed.
#[derive(Clone)]
pub struct Connector {
    pub(super) config: Arc<ClientConfig>,
}

impl Connector {
    /// TLS 1.2 and 1.3, for the protocol of this ALPN name if it has one.
    ///
    /// # Errors
    /// Where the certificates to trust can't be read; `NotFound` if there are
    /// none.
    pub fn new(trust: Trust<'_>, protocol: Option<&'static str>) -> io::Result<Self> {
        let provider = Arc::new(default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?;
        let builder = match trust {
            Trust::Anybody => builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(Anybody(provider))),
            Trust::System => builder.with_root_certificates(system()?),
            Trust::File(file) => builder.with_root_certificates(from_file(file)?),
        };
        let mut config = builder.with_no_client_auth();
        config.alpn_protocols = protocol.map(|name| name.into()).into_iter().collect();
        config.resumption = Resumption::in_memory_sessions(SESSIONS);
        Ok(Self {
            config: Arc::new(config),
        })
    }
}

impl Connector {
    /// TLS 1.3 with whoever is there: for two who make sure of each other in
    /// another way.
    ///
    /// # Errors
    /// None that is known of.
    pub fn anonymous() -> io::Result<Self> {
        let provider = Arc::new(default_provider());
        let mut config = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[&TLS13])
            .map_err(io::Error::other)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Anybody(provider)))
            .with_no_client_auth();
        config.resumption = Resumption::disabled();
        Ok(Self {
            config: Arc::new(config),
        })
    }
}

fn system() -> io::Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        return Err(io::Error::new(
            io::ErrorKind::NotFound,
            "this system has no certificates to trust (Debian: ca-certificates)",
        ));
    }
    Ok(roots)
}

fn from_file(file: &Path) -> io::Result<RootCertStore> {
    let bad = |error: rustls::pki_types::pem::Error| match error {
        rustls::pki_types::pem::Error::Io(error) => error,
        error => io::Error::new(io::ErrorKind::InvalidData, error.to_string()),
    };
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(file).map_err(bad)? {
        roots
            .add(certificate.map_err(bad)?)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
    }
    if roots.is_empty() {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "there is no certificate in it",
        ));
    }
    Ok(roots)
}

/// The name that a certificate has to be for.
pub(super) fn server_name(host: &str) -> io::Result<ServerName<'static>> {
    // The zone of an address is this machine's own business.
    let host = host.split('%').next().unwrap_or(host);
    ServerName::try_from(host.to_owned()).map_err(|_| {
        let text = format!("{host:?} is no name that a certificate could be for");
        io::Error::new(io::ErrorKind::InvalidInput, text)
    })
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector").finish_non_exhaustive()
    }
}

/// Believes every certificate, and still has the server prove that it is its own.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
