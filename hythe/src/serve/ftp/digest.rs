//! Checksums of files: HASH (draft-bryan-ftpext-hash), XCRC, XMD5, XSHA1,
//! XSHA256, XSHA512.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_lite::future::or;
use hythe_net::reactor::unblock;
use hythe_wire::ftp::{Error, Hash};

use super::intake::Flow;
use super::session::{Next, Session, refusal};
use crate::checksum::{Algorithm, Hasher};
use crate::share::Opened;

/// How much is read at a time: then others on the pool get their turn, and it
/// is seen whether the client still wants it.
const STRIDE: usize = 4 * 1024 * 1024;

/// How many checksums are made at one time. Each keeps a processor and a disk
/// busy, for the price of a line.
const AT_ONCE: usize = 4;

const BUSY: Error = refusal(450, "Too many checksums are being made; try again.");

/// A checksum that was asked for.
pub(super) struct Digest {
    hash: Hash,
    /// Whether by HASH, whose reply says more.
    by_hash: bool,
    opened: Opened,
    target: Box<[u8]>,
    turn: Turn,
}

/// One of those of a server that are at work, who are counted.
struct Turn(Arc<AtomicUsize>);

impl Turn {
    fn take(at_work: &Arc<AtomicUsize>) -> Option<Self> {
        let next = |count| (count < AT_ONCE).then_some(count + 1);
        at_work
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, next)
            .ok()?;
        Some(Self(Arc::clone(at_work)))
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Session<'_> {
    pub(super) async fn hash(&mut self, target: &[u8]) -> Result<Next, Error> {
        self.begin_digest(self.hash, true, target).await
    }

    pub(super) async fn checksum(&mut self, hash: Hash, target: &[u8]) -> Result<Next, Error> {
        self.begin_digest(hash, false, target).await
    }

    async fn begin_digest(
        &mut self,
        hash: Hash,
        by_hash: bool,
        target: &[u8],
    ) -> Result<Next, Error> {
        let opened = self.open(&self.resolve(target)?).await?;
        if opened.meta.is_folder() {
            return Err(refusal(553, "That is a folder; checksums are of files."));
        }
        Ok(Next::Digest(Digest {
            hash,
            by_hash,
            opened,
            target: target.into(),
            turn: Turn::take(&self.ftp.digests).ok_or(BUSY)?,
        }))
    }

    /// Makes a checksum while it listens to the client, and sends the one
    /// reply.
    ///
    /// # Errors
    /// The control connection's.
    pub(super) async fn digest(&mut self, digest: Digest) -> io::Result<()> {
        let Digest {
            hash,
            by_hash,
            opened,
            target,
            turn,
        } = digest;
        let flow = Flow::default();
        let size = opened.meta.size;
        let making = async { Ok(make(opened.file, algorithm(hash), turn, &flow).await) };
        let made = or(making, async { self.attend(&flow).await.map(Err) }).await?;
        self.control.stream().progressed();
        let verb = if by_hash { "HASH" } else { hash.verb() };
        let code = match &made {
            Ok(_) if by_hash => 213,
            Ok(_) => 250,
            Err(error) => error.code,
        };
        self.record(verb, &target, code, flow.moved());
        match made {
            Ok(sum) if by_hash => {
                // What was hashed is counted from 0 to its last byte.
                let last = size.saturating_sub(1);
                let head = format!("{} 0-{last} {sum} ", hash.as_str());
                self.control
                    .reply(code, [head.as_bytes(), &target].concat());
            }
            Ok(sum) => self.control.reply(code, sum),
            Err(error) => self.control.reply(error.code, error.text),
        }
        Ok(())
    }
}

fn algorithm(hash: Hash) -> Algorithm {
    match hash {
        Hash::Crc32 => Algorithm::Crc32,
        Hash::Md5 => Algorithm::Md5,
        Hash::Sha1 => Algorithm::Sha1,
        Hash::Sha256 => Algorithm::Sha256,
        Hash::Sha512 => Algorithm::Sha512,
    }
}

/// Reads all of a file: its checksum in hexadecimal.
/// The turn goes where the work is done: work whose client has left is still
/// work.
async fn make(
    mut file: File,
    algorithm: Algorithm,
    mut turn: Turn,
    flow: &Flow,
) -> Result<String, Error> {
    let mut hasher = Hasher::new(algorithm);
    let mut buffer = Vec::new();
    loop {
        let read;
        (file, hasher, buffer, turn, read) = unblock(move || {
            buffer.clear();
            let read = (&mut file).take(STRIDE as u64).read_to_end(&mut buffer);
            hasher.update(&buffer);
            (file, hasher, buffer, turn, read)
        })
        .await;
        match read {
            Ok(0) => break,
            Ok(count) => flow.add(count as u64),
            Err(_) => return Err(refusal(451, "The disk reports an error.")),
        }
    }
    drop(turn);
    let mut text = String::new();
    for byte in hasher.finish() {
        // Writing into memory does not fail.
        write!(text, "{byte:02X}").ok();
    }
    Ok(text)
}
