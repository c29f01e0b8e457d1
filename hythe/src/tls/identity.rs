//! The certificate that the server shows, and the key that proves it.

use std::fmt::{self, Write as _};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use sha2::{Digest as _, Sha256};

/// A certificate chain and its private key, from two files in PEM, which may be
/// one and the same. They can be read again while the server runs. Clones are
/// the same identity.
#[derive(Clone)]
pub struct Identity(Arc<Inner>);

struct Inner {
    certificate: PathBuf,
    key: PathBuf,
    current: RwLock<Arc<CertifiedKey>>,
}

impl Identity {
    /// Reads both files.
    ///
    /// # Errors
    /// A message that names the file that is missing, unreadable or no PEM, or
    /// says that the key is not the certificate's.
    pub fn from_files(certificate: &Path, key: &Path) -> io::Result<Self> {
        let current = read(certificate, key)?;
        Ok(Self(Arc::new(Inner {
            certificate: certificate.into(),
            key: key.into(),
            current: RwLock::new(current),
        })))
    }

    /// Reads the files again, for connections that come from now on. Those that
    /// are there stay as they are.
    ///
    /// # Errors
    /// As [`from_files`](Self::from_files); then everything stays as it was.
    pub fn reload(&self) -> io::Result<()> {
        let new = read(&self.0.certificate, &self.0.key)?;
        let mut current = self.0.current.write();
        **current.as_mut().unwrap_or_else(PoisonError::get_mut) = new;
        Ok(())
    }

    /// The SHA-256 of the certificate, as browsers and `openssl x509
    /// -fingerprint` show it: `AB:CD:…`.
    pub fn fingerprint(&self) -> String {
        let current = self.current();
        let leaf = current.cert.first().map_or(&[][..], |leaf| leaf.as_ref());
        let mut text = String::new();
        for byte in Sha256::digest(leaf) {
            let colon = if text.is_empty() { "" } else { ":" };
            // Writing into memory does not fail.
            write!(text, "{colon}{byte:02X}").ok();
        }
        text
    }

    /// The file that the private key is in.
    pub fn key_file(&self) -> &Path {
        &self.0.key
    }

    fn current(&self) -> Arc<CertifiedKey> {
        let current = self.0.current.read();
        Arc::clone(&current.unwrap_or_else(PoisonError::into_inner))
    }
}

/// Every name that a client asks for gets the one certificate there is.
impl ResolvesServerCert for Identity {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current())
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Identity")
            .field(&self.0.certificate)
            .finish()
    }
}

fn read(certificate: &Path, key: &Path) -> io::Result<Arc<CertifiedKey>> {
    let chain = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| unreadable("certificate", certificate, error))?;
    if chain.is_empty() {
        let shown = certificate.display();
        let text = format!("there is no certificate in {shown}; it should be a file in PEM");
        return Err(io::Error::new(io::ErrorKind::InvalidData, text));
    }
    let private =
        PrivateKeyDer::from_pem_file(key).map_err(|error| unreadable("private key", key, error))?;
    let pair = CertifiedKey::from_der(chain, private, &default_provider()).map_err(|error| {
        let (certificate, key) = (certificate.display(), key.display());
        let text = match error {
            rustls::Error::InconsistentKeys(_) => {
                format!("the private key in {key} is not that of the certificate in {certificate}")
            }
            error => format!("cannot use the certificate in {certificate} with {key}: {error}"),
        };
        io::Error::new(io::ErrorKind::InvalidData, text)
    })?;
    Ok(Arc::new(pair))
}

fn unreadable(what: &str, file: &Path, error: rustls::pki_types::pem::Error) -> io::Error {
    use rustls::pki_types::pem::Error;
    let shown = file.display();
    match error {
        Error::Io(error) => io::Error::new(
            error.kind(),
            format!("cannot read the {what} in {shown}: {error}"),
        ),
        Error::NoItemsFound => io::Error::new(
            io::ErrorKind::InvalidData,
            format!("there is no {what} in {shown}; it should be a file in PEM"),
        ),
        error => io::Error::new(
            io::ErrorKind::InvalidData,
            format!("the {what} in {shown} cannot be read: {error:?}"),
        ),
    }
}
