//! A certificate that nobody has vouched for: it keeps listeners out, and those
//! who compare its fingerprint once know the server again.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rcgen::{CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::Identity;

/// How long a certificate is good for, in days: Apple's systems accept none
/// that is good for more than 825.
const DAYS: i64 = 800;

/// How many days before its end it is made anew: a server runs for weeks.
const LAST_DAYS: i64 = 60;

const DAY: i64 = 24 * 60 * 60;

/// What stands in the file before the day on which the certificate ends, in
/// days since 1970, for us to read again. PEM readers pass over it.
const ENDS: &str = "hythe: self-signed, ends on day ";

/// A self-signed certificate in a file of the operator's.
#[derive(Clone, Debug)]
pub struct SelfSigned {
    file: PathBuf,
}

impl SelfSigned {
    /// The one that is kept in `folder`, which is made when missing.
    pub fn kept_in(folder: &Path) -> Self {
        Self {
            file: folder.join("self-signed.pem"),
        }
    }

    /// The file that certificate and private key are in.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// The certificate of the last time, or a new one where there is none or
    /// its time is almost over. `now` is in seconds since 1970, and `names` are
    /// host names and addresses that it shall be for.
    ///
    /// # Errors
    /// A message that names the file.
    pub fn identity(&self, now: i64, names: Vec<String>) -> io::Result<Identity> {
        let today = now.div_euclid(DAY);
        let fresh = match fs::read_to_string(&self.file) {
            Ok(text) => ends(&text).is_none_or(|end| today + LAST_DAYS < end),
            Err(error) if error.kind() == io::ErrorKind::NotFound => false,
            // Reading it as an identity will say what is wrong.
            Err(_) => true,
        };
        if !fresh {
            self.make(today, names).map_err(|error| {
                let shown = self.file.display();
                let text = format!("cannot make a self-signed certificate in {shown}: {error}");
                io::Error::new(error.kind(), text)
            })?;
        }
        Identity::from_files(&self.file, &self.file)
    }

    fn make(&self, today: i64, names: Vec<String>) -> io::Result<()> {
        let key = KeyPair::generate().map_err(io::Error::other)?;
        let mut params = CertificateParams::new(names).map_err(io::Error::other)?;
        let mut name = DistinguishedName::new();
        name.push(DnType::CommonName, "hythe, self-signed");
        params.distinguished_name = name;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let day = |day: i64| {
            let date = jiff::Timestamp::from_second(day * DAY).map_err(io::Error::other)?;
            let date = date.to_zoned(jiff::tz::TimeZone::UTC).date();
            io::Result::Ok(rcgen::date_time_ymd(
                date.year().into(),
                date.month().unsigned_abs(),
                date.day().unsigned_abs(),
            ))
        };
        // A clock that is behind is no reason to refuse it.
        params.not_before = day(today - 1)?;
        params.not_after = day(today + DAYS)?;
        let certificate = params.self_signed(&key).map_err(io::Error::other)?;
        let text = format!(
            "{ENDS}{}\n{}{}",
            today + DAYS,
            certificate.pem(),
            key.serialize_pem()
        );
        let folder = self.file.parent().unwrap_or_else(|| Path::new("."));
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)?;
        // Whole or not at all, and never anybody else's to read.
        let new = self
            .file
            .with_extension(format!("{}.new", std::process::id()));
        fs::remove_file(&new).ok();
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&new)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&new, &self.file)
    }
}

/// A certificate and its key that are kept nowhere.
pub(super) fn momentary() -> io::Result<(CertificateDer<'static>, PrivateKeyDer<'static>)> {
    let key = KeyPair::generate().map_err(io::Error::other)?;
    let params = CertificateParams::new(vec!["hythe".to_owned()]).map_err(io::Error::other)?;
    let certificate = params.self_signed(&key).map_err(io::Error::other)?;
    let key = PrivateKeyDer::try_from(key.serialize_der()).map_err(io::Error::other)?;
    Ok((certificate.der().clone(), key))
}

/// On which day the certificate ends, if this is one of ours.
fn ends(text: &str) -> Option<i64> {
    CertificateDer::from_pem_slice(text.as_bytes()).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(ENDS))?;
    line.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    const NOW: i64 = 1_800_000_000;

    #[test]
    fn it_is_kept_until_its_time_is_almost_over() {
        let folder = tempfile::tempdir().unwrap();
        let kept = SelfSigned::kept_in(&folder.path().join("tls"));
        let names = || {
            vec![
                "localhost".to_owned(),
                "127.0.0.1".to_owned(),
                "::1".to_owned(),
            ]
        };
        let at = |days: i64| {
            kept.identity(NOW + days * DAY, names())
                .unwrap()
                .fingerprint()
        };
        let first = at(0);
        assert_eq!(first.len(), 32 * 3 - 1);
        assert_eq!(at(DAYS - LAST_DAYS - 1), first);
        let second = at(DAYS - LAST_DAYS);
        assert_ne!(second, first);
        assert_eq!(at(DAYS - LAST_DAYS), second);

        let mode = fs::metadata(kept.file()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let mode = fs::metadata(folder.path().join("tls"))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o700);
    }

    #[test]
    fn a_file_that_is_something_else_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let kept = SelfSigned::kept_in(folder.path());
        fs::write(kept.file(), "my poems").unwrap();
        let error = kept.identity(NOW, Vec::new()).unwrap_err();
        assert!(error.to_string().contains("self-signed.pem"), "{error}");
        assert_eq!(fs::read_to_string(kept.file()).unwrap(), "my poems");
    }
}
