//! The header fields of resumable uploads: tus 1.0.0 (<https://tus.io/protocols/resumable-upload>).
//!
//! ```text
//!  POST /folder/   Upload-Length: 10 | Upload-Defer-Length: 1        ─► 201, Location
//!                  Upload-Metadata: filename cXVheS50eHQ=
//!                  Upload-Concat: partial | final;/a /b
//!  PATCH location  Upload-Offset: 0                                  ─► 204, Upload-Offset: 10
//!                  Upload-Checksum: sha1 Kq5sNclPz7QV2+lfQIuc6R7oRu0=
//!  HEAD location                                                     ─► 200, Upload-Offset: 10
//! ```
//!
//! In scope: reading what a client sends in these fields, and writing what a client or a server
//! sends in them.
//!
//! Out of scope: computing checksums, what metadata mean, and what becomes of an upload.
//!
//! ```
//! use hythe_wire::http::tus::{Algorithm, Checksum, Concat, Metadata, length};
//!
//! let metadata = Metadata::parse(b"filename cXVheS50eHQ=,is_private")?;
//! assert_eq!(metadata.value("filename"), Some(&b"quay.txt"[..]));
//! assert_eq!(metadata.value("is_private"), Some(&b""[..]));
//!
//! assert_eq!(length(b"1048576")?, 1 << 20);
//! assert_eq!(Concat::parse(b"partial")?, Concat::Partial);
//!
//! let checksum = Checksum::parse(b"crc32 DUoRhQ==")?;
//! assert_eq!(checksum.algorithm, Algorithm::Crc32);
//! assert_eq!(checksum.digest, 0x0d4a_1185_u32.to_be_bytes());
//! # Ok::<(), hythe_wire::http::Error>(())
//! ```

use alloc::vec::Vec;

use base64ct::{Base64, Base64Unpadded, Encoding};

use super::{Error, parse_decimal, push_decimal, trim};

/// The version of the protocol, as `Tus-Resumable` and `Tus-Version` have it.
pub const VERSION: &str = "1.0.0";

/// What a PATCH carries.
pub const CONTENT_TYPE: &str = "application/offset+octet-stream";

/// The longest upload, in bytes: the longest file an offset of the kernel's can be in.
pub const MAX_LENGTH: u64 = i64::MAX as u64;

/// The longest `Upload-Metadata`, in bytes. A path of Linux's longest, as base64, is a third of
/// it, and what a server stores of each upload stays small.
pub const MAX_METADATA: usize = 16 * 1024;

/// How many pairs `Upload-Metadata` may have. Clients send three to eight.
pub const MAX_PAIRS: usize = 64;

/// How many uploads may be joined into one. A browser sends a handful side by side; this many
/// addresses are about as much as fits into a request head.
pub const MAX_PARTS: usize = 1000;

/// What the server's owner calls an upload's length before it is known, in `Upload-Defer-Length`.
pub const DEFERRED: &str = "1";

/// Reads `Upload-Length` or `Upload-Offset`: decimal, at most [`MAX_LENGTH`].
///
/// # Errors
/// 400 for what is no number; 413 for a number that no file can have.
pub fn length(value: &[u8]) -> Result<u64, Error> {
    let value = trim(value);
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return Err(Error::bad("a length or offset that is no number"));
    }
    parse_decimal(value)
        .filter(|number| *number <= MAX_LENGTH)
        .ok_or(Error::new(413, "longer than any file can be"))
}

/// Reads `Upload-Defer-Length`, which can only be `1`.
///
/// # Errors
/// 400 for anything else.
pub fn defer_length(value: &[u8]) -> Result<(), Error> {
    if trim(value) == DEFERRED.as_bytes() {
        Ok(())
    } else {
        Err(Error::bad("Upload-Defer-Length can only be 1"))
    }
}

/// Appends a length or an offset.
pub fn write_length(out: &mut Vec<u8>, number: u64) {
    push_decimal(out, number);
}

/// What `Upload-Metadata` says of an upload: keys and values, in the client's order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metadata<'b>(Vec<(&'b str, Vec<u8>)>);

impl<'b> Metadata<'b> {
    /// Reads pairs separated by commas, each a key and, after a space, its value in base64. The
    /// padding may be missing; a key without a value has an empty one.
    ///
    /// # Errors
    /// 400 for a key that is empty, not ASCII or there twice, for a value that is no base64, and
    /// for more than [`MAX_PAIRS`]; 431 for more than [`MAX_METADATA`] bytes.
    pub fn parse(value: &'b [u8]) -> Result<Self, Error> {
        if value.len() > MAX_METADATA {
            return Err(Error::new(431, "Upload-Metadata is too long"));
        }
        let mut pairs: Vec<(&str, Vec<u8>)> = Vec::new();
        if trim(value).is_empty() {
            return Ok(Self(pairs));
        }
        for pair in value.split(|byte| *byte == b',') {
            let (key, value) = parse_pair(trim(pair))?;
            if pairs.len() == MAX_PAIRS {
                return Err(Error::bad("too many pairs in Upload-Metadata"));
            }
            if pairs.iter().any(|(known, _)| *known == key) {
                return Err(Error::bad("a key is in Upload-Metadata twice"));
            }
            pairs.push((key, value));
        }
        Ok(Self(pairs))
    }

    /// The value of a key, whose case matters.
    pub fn value(&self, key: &str) -> Option<&[u8]> {
        let found = self.0.iter().find(|(known, _)| *known == key);
        found.map(|(_, value)| value.as_slice())
    }

    /// The pairs in the client's order.
    pub fn iter(&self) -> impl Iterator<Item = (&'b str, &[u8])> {
        self.0.iter().map(|(key, value)| (*key, value.as_slice()))
    }
}

fn parse_pair(pair: &[u8]) -> Result<(&str, Vec<u8>), Error> {
    let end = memchr::memchr(b' ', pair).unwrap_or(pair.len());
    let (key, encoded) = pair.split_at(end);
    let key = core::str::from_utf8(key)
        .ok()
        .filter(|key| !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_graphic()))
        .ok_or(Error::bad("a key in Upload-Metadata is empty or not ASCII"))?;
    let value = decode(trim(encoded)).ok_or(Error::bad("Upload-Metadata is not base64"))?;
    Ok((key, value))
}

/// Appends the value of `Upload-Metadata`. Keys are without spaces and commas, in ASCII.
pub fn write_metadata<'m>(out: &mut Vec<u8>, pairs: impl IntoIterator<Item = (&'m str, &'m [u8])>) {
    for (index, (key, value)) in pairs.into_iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        out.extend_from_slice(key.as_bytes());
        if !value.is_empty() {
            out.push(b' ');
            out.extend_from_slice(Base64::encode_string(value).as_bytes());
        }
    }
}

/// A checksum that can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// What every server of the extension knows.
    Sha1,
    /// SHA-256.
    Sha256,
    /// MD5.
    Md5,
    /// The CRC of Ethernet and zip, most significant byte first.
    Crc32,
}

impl Algorithm {
    /// Every one, in the order of `Tus-Checksum-Algorithm`.
    pub const ALL: [Self; 4] = [Self::Sha1, Self::Sha256, Self::Md5, Self::Crc32];

    /// The name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sha1 => "sha1",
            Self::Sha256 => "sha256",
            Self::Md5 => "md5",
            Self::Crc32 => "crc32",
        }
    }

    /// How long its digest is, in bytes.
    pub const fn digest_length(self) -> usize {
        match self {
            Self::Sha1 => 20,
            Self::Sha256 => 32,
            Self::Md5 => 16,
            Self::Crc32 => 4,
        }
    }
}

/// What the bytes of one request must come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checksum {
    /// By which algorithm.
    pub algorithm: Algorithm,
    /// As long as the algorithm's are.
    pub digest: Vec<u8>,
}

impl Checksum {
    /// Reads `Upload-Checksum`: the algorithm, a space, the digest in base64.
    ///
    /// # Errors
    /// 400 for an unknown algorithm and for what is no digest of it.
    pub fn parse(value: &[u8]) -> Result<Self, Error> {
        let value = trim(value);
        let end = memchr::memchr(b' ', value).ok_or(Error::bad(
            "Upload-Checksum is an algorithm, a space and a digest",
        ))?;
        let (name, encoded) = value.split_at(end);
        let algorithm = Algorithm::ALL
            .into_iter()
            .find(|algorithm| algorithm.as_str().as_bytes() == name)
            .ok_or(Error::bad("unknown checksum algorithm"))?;
        let digest = decode(trim(encoded))
            .filter(|digest| digest.len() == algorithm.digest_length())
            .ok_or(Error::bad("Upload-Checksum holds no digest of its kind"))?;
        Ok(Self { algorithm, digest })
    }

    /// Appends the value of `Upload-Checksum`.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.algorithm.as_str().as_bytes());
        out.push(b' ');
        out.extend_from_slice(Base64::encode_string(&self.digest).as_bytes());
    }
}

/// What an upload has to do with others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Concat<'b> {
    /// A piece of something to be joined later.
    Partial,
    /// The uploads at these URLs, absolute or not, joined in this order. At least one.
    Final(Vec<&'b [u8]>),
}

impl<'b> Concat<'b> {
    /// Reads `Upload-Concat`.
    ///
    /// # Errors
    /// 400 for what is neither of the two, for nothing to join, and for more than [`MAX_PARTS`].
    pub fn parse(value: &'b [u8]) -> Result<Self, Error> {
        let value = trim(value);
        if value == b"partial" {
            return Ok(Self::Partial);
        }
        let urls = value
            .strip_prefix(b"final;")
            .ok_or(Error::bad("Upload-Concat is neither partial nor final"))?;
        let urls: Vec<_> = urls
            .split(|byte| *byte == b' ')
            .filter(|url| !url.is_empty())
            .take(MAX_PARTS + 1)
            .collect();
        match urls.len() {
            0 => Err(Error::bad("Upload-Concat names no uploads to join")),
            1..=MAX_PARTS => Ok(Self::Final(urls)),
            _ => Err(Error::bad("Upload-Concat names too many uploads")),
        }
    }

    /// Appends the value of `Upload-Concat`.
    pub fn write(&self, out: &mut Vec<u8>) {
        let Self::Final(urls) = self else {
            out.extend_from_slice(b"partial");
            return;
        };
        out.extend_from_slice(b"final;");
        for (index, url) in urls.iter().enumerate() {
            if index > 0 {
                out.push(b' ');
            }
            out.extend_from_slice(url);
        }
    }
}

/// Decodes base64 of the standard alphabet (RFC 4648 section 4), with its padding or without any.
fn decode(text: &[u8]) -> Option<Vec<u8>> {
    let text = core::str::from_utf8(text).ok()?;
    if text.ends_with('=') {
        Base64::decode_vec(text).ok()
    } else {
        Base64Unpadded::decode_vec(text).ok()
    }
}
