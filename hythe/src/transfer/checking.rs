//! Checksums of files that come in.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::str::FromStr;

use crate::checksum::{Algorithm, Hasher};

/// How much is read at a time.
const PIECE: usize = 1024 * 1024;

/// What a file's checksum has to be: `sha256:…` in hexadecimal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checksum {
    /// How it is made.
    pub algorithm: Algorithm,
    /// What it has to be.
    pub digest: Vec<u8>,
}

impl FromStr for Checksum {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let form = || "give an algorithm and a checksum in hexadecimal: sha256:9f86d0…".to_owned();
        let (name, digits) = text.split_once(':').ok_or_else(form)?;
        let (algorithm, length) = match name.to_ascii_lowercase().replace('-', "").as_str() {
            "crc32" => (Algorithm::Crc32, 4),
            "md5" => (Algorithm::Md5, 16),
            "sha1" => (Algorithm::Sha1, 20),
            "sha256" => (Algorithm::Sha256, 32),
            "sha512" => (Algorithm::Sha512, 64),
            other => {
                return Err(format!(
                    "{other} is not known here; sha256, sha512, sha1, md5 and crc32 are"
                ));
            }
        };
        let digest = from_hexadecimal(digits).ok_or_else(form)?;
        if digest.len() != length {
            return Err(format!("a checksum of {name} has {} digits", 2 * length));
        }
        Ok(Self { algorithm, digest })
    }
}

fn from_hexadecimal(digits: &str) -> Option<Vec<u8>> {
    let pairs = digits.as_bytes().chunks(2);
    pairs
        .map(|pair| {
            let pair = std::str::from_utf8(pair).ok()?;
            let plain = pair.len() == 2 && pair.bytes().all(|digit| digit.is_ascii_hexdigit());
            plain.then(|| u8::from_str_radix(pair, 16).ok())?
        })
        .collect()
}

/// Bytes as hexadecimal digits.
pub(super) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A checksum that is made while the file comes, as far as it comes in order.
#[derive(Debug)]
pub(super) struct Checking {
    hasher: Hasher,
    /// How much of the file is in it.
    reached: u64,
}

impl Checking {
    pub(super) fn new(algorithm: Algorithm) -> Self {
        Self {
            hasher: Hasher::new(algorithm),
            reached: 0,
        }
    }

    /// Takes bytes at their offset. What does not follow on what it has is read
    /// from the file in the end.
    pub(super) fn take(&mut self, offset: u64, bytes: &[u8]) {
        if offset == self.reached {
            self.hasher.update(bytes);
            self.reached += bytes.len() as u64;
        }
    }

    /// The digest of what it has taken.
    pub(super) fn digest(self) -> Vec<u8> {
        self.hasher.finish()
    }

    /// The digest of the file, of which what is missing is read. Blocks.
    pub(super) fn finish(mut self, file: &File, length: u64) -> io::Result<Vec<u8>> {
        let mut piece = vec![0; PIECE];
        while self.reached < length {
            let most = usize::try_from(length - self.reached).map_or(PIECE, |left| left.min(PIECE));
            let read = file.read_at(&mut piece[..most], self.reached)?;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.hasher.update(&piece[..read]);
            self.reached += read as u64;
        }
        Ok(self.hasher.finish())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_read_strictly() {
        assert!("crc32:00000000".parse::<Checksum>().is_ok());
        assert!(
            "SHA-1:da39a3ee5e6b4b0d3255bfef95601890afd80709"
                .parse::<Checksum>()
                .is_ok()
        );
        for bad in [
            "",
            "sha256",
            "sha256:",
            "sha256:00",
            "md4:00",
            "crc32:0000000g",
            "crc32:+0000000",
            "crc32:000000000",
        ] {
            assert!(bad.parse::<Checksum>().is_err(), "{bad}");
        }
    }
}
