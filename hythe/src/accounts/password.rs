//! Passwords and their hashes.
//!
//! A hash is a PHC string, which has its parameters in it, so that they can be
//! raised: whoever signs in with an old one gets a new one.

use std::collections::HashMap;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{Error, PasswordHasher as _, PasswordVerifier as _};
use argon2::{Algorithm, Argon2, Params, Version};
use base64ct::{Base64Unpadded, Encoding as _};
use rustix::fs::{FlockOperation, MemfdFlags, fcntl_lock, memfd_create};
use sha2::{Digest as _, Sha256};

use super::random;

/// Memory in KiB, passes, and lanes of a hash: the first choice of OWASP's
/// Password Storage Cheat Sheet.
const MEMORY: u32 = Params::DEFAULT_M_COST;
const PASSES: u32 = Params::DEFAULT_T_COST;
const LANES: u32 = Params::DEFAULT_P_COST;

/// How many hashes are made at one time, by this process and all it has forked:
/// with 19 MiB each they need no more than 80 MiB.
pub(super) const SLOTS: usize = 4;

/// How many may wait for that at one time in one process. They hold threads of
/// a pool of 500, which has files to read meanwhile.
pub(super) const WAITING: usize = 128;

/// How long they wait at most.
pub(super) const WAIT: Duration = Duration::from_secs(5);

/// How soon to look again whether another process has made room.
const GLANCE: Duration = Duration::from_millis(5);

/// Makes and checks hashes, a few at a time.
#[derive(Debug)]
pub(super) struct Passwords {
    taken: Mutex<[bool; SLOTS]>,
    freed: Condvar,
    /// One file in memory for each slot, shared with forked processes; whoever
    /// holds its lock has the slot.
    files: Vec<OwnedFd>,
    runs: AtomicU64,
}

/// The right to make hashes, one after the other.
#[derive(Debug)]
pub(super) struct Slot<'a> {
    passwords: &'a Passwords,
    number: usize,
}

impl Passwords {
    pub(super) fn new() -> io::Result<Self> {
        let file = |_| Ok(memfd_create("hythe-password", MemfdFlags::CLOEXEC)?);
        Ok(Self {
            taken: Mutex::default(),
            freed: Condvar::new(),
            files: (0..SLOTS).map(file).collect::<io::Result<_>>()?,
            runs: AtomicU64::new(0),
        })
    }

    /// How many hashes this process has made.
    pub(super) fn runs(&self) -> u64 {
        self.runs.load(Ordering::Relaxed)
    }

    /// Waits for a slot; `None` if none is free in time.
    pub(super) fn slot(&self, until: Instant) -> Option<Slot<'_>> {
        let mut taken = self.lock();
        let number = loop {
            let mut elsewhere = false;
            let free = (0..SLOTS).find(|&number| {
                let operation = FlockOperation::NonBlockingLockExclusive;
                let free = !taken[number] && fcntl_lock(&self.files[number], operation).is_ok();
                elsewhere |= !taken[number] && !free;
                free
            });
            if let Some(number) = free {
                break number;
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return None;
            }
            // No other process can wake this one.
            let pause = if elsewhere { left.min(GLANCE) } else { left };
            let waited = self.freed.wait_timeout(taken, pause);
            taken = waited.unwrap_or_else(PoisonError::into_inner).0;
        };
        taken[number] = true;
        Some(Slot {
            passwords: self,
            number,
        })
    }

    fn lock(&self) -> MutexGuard<'_, [bool; SLOTS]> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How many wait for something to do with passwords.
#[derive(Debug, Default)]
pub(super) struct Waiting(AtomicUsize);

/// One of them.
#[derive(Debug)]
pub(super) struct Waits<'a>(&'a Waiting);

impl Waiting {
    /// One more; `None` if there are too many.
    pub(super) fn enter(&self) -> Option<Waits<'_>> {
        let more = |count| (count < WAITING).then_some(count + 1);
        let entered = self
            .0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        entered.is_ok().then(|| Waits(self))
    }
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        let mut taken = self.passwords.lock();
        fcntl_lock(&self.passwords.files[self.number], FlockOperation::Unlock).ok();
        taken[self.number] = false;
        self.passwords.freed.notify_one();
    }
}

impl Slot<'_> {
    /// Hashes a password, with fresh salt.
    pub(super) fn hash(&self, password: &[u8]) -> io::Result<String> {
        self.passwords.runs.fetch_add(1, Ordering::Relaxed);
        let hash = hasher()?
            .hash_password(password)
            .map_err(io::Error::other)?;
        Ok(hash.to_string())
    }

    /// Whether this is the password that was hashed, or any, against the hash
    /// of an account that isn't there.
    pub(super) fn verify(&self, password: &[u8], hash: &str) -> io::Result<bool> {
        self.passwords.runs.fetch_add(1, Ordering::Relaxed);
        let broken = |error: String| io::Error::new(io::ErrorKind::InvalidData, error);
        let hash = PasswordHash::new(hash).map_err(|error| broken(error.to_string()))?;
        match Argon2::default().verify_password(password, &hash) {
            Ok(()) => Ok(true),
            Err(Error::PasswordInvalid) => Ok(false),
            Err(error) => Err(broken(error.to_string())),
        }
    }
}

fn hasher() -> io::Result<Argon2<'static>> {
    let params = Params::new(MEMORY, PASSES, LANES, None).map_err(io::Error::other)?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

/// Whether a hash has been made with other parameters than are used now.
pub(super) fn is_old(hash: &str) -> bool {
    !hash.starts_with(&beginning())
}

/// A hash that no password has, and which takes as long to check as any.
pub(super) fn nobodys() -> io::Result<String> {
    let salt = Base64Unpadded::encode_string(&random::<16>()?);
    let hash = Base64Unpadded::encode_string(&random::<32>()?);
    Ok(format!("{}{salt}${hash}", beginning()))
}

fn beginning() -> String {
    let version = u32::from(Version::V0x13);
    format!("$argon2id$v={version}$m={MEMORY},t={PASSES},p={LANES}$")
}

// --- What has been proved lately ---------------------------------------------

/// How long a proof holds before the password is looked at again.
const PROOF: Duration = Duration::from_secs(5 * 60);

/// How many proofs are kept: a few hundred bytes each.
const PROOFS: usize = 1024;

/// Names and passwords that were right a moment ago: tools send them with each
/// request. Nothing here can be turned back into a password without the key,
/// which is in this memory alone.
#[derive(Debug)]
pub(super) struct Proofs {
    key: [u8; 32],
    proofs: Mutex<HashMap<[u8; 32], Proof>>,
}

#[derive(Clone, Debug)]
struct Proof {
    /// What the password was checked against: once the account has another,
    /// this proves nothing.
    hash: Arc<str>,
    until: Instant,
}

impl Proofs {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
            key: random()?,
            proofs: Mutex::default(),
        })
    }

    fn key(&self, name: &[u8], password: &[u8]) -> [u8; 32] {
        Sha256::new()
            .chain_update(self.key)
            .chain_update((name.len() as u64).to_le_bytes())
            .chain_update(name)
            .chain_update(password)
            .finalize()
            .into()
    }

    /// The hash that this password was right for.
    pub(super) fn of(&self, name: &[u8], password: &[u8]) -> Option<Arc<str>> {
        let key = self.key(name, password);
        let mut proofs = self.lock();
        let proof = proofs.get(&key)?;
        if proof.until > Instant::now() {
            return Some(Arc::clone(&proof.hash));
        }
        proofs.remove(&key);
        None
    }

    /// Keeps it in mind that this password is right for this hash.
    pub(super) fn add(&self, name: &[u8], password: &[u8], hash: &str) {
        let key = self.key(name, password);
        let now = Instant::now();
        let mut proofs = self.lock();
        if proofs.len() >= PROOFS {
            proofs.retain(|_, proof| proof.until > now);
        }
        if proofs.len() >= PROOFS {
            proofs.clear();
        }
        let hash = hash.into();
        let until = now + PROOF;
        proofs.insert(key, Proof { hash, until });
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<[u8; 32], Proof>> {
        self.proofs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(60)
    }

    #[test]
    fn a_hash_is_of_one_password_and_says_how_it_was_made() {
        let passwords = Passwords::new().unwrap();
        let slot = passwords.slot(soon()).unwrap();
        let hash = slot.hash(b"a:b@$ \xff").unwrap();
        assert!(
            hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"),
            "{hash}"
        );
        assert!(!is_old(&hash));
        assert!(slot.verify(b"a:b@$ \xff", &hash).unwrap());
        assert!(!slot.verify(b"a:b@$ ", &hash).unwrap());
        let nobodys = nobodys().unwrap();
        assert_eq!(nobodys.len(), hash.len());
        assert!(!is_old(&nobodys) && !slot.verify(b"", &nobodys).unwrap());
        assert_eq!(passwords.runs(), 4);
        assert_eq!(
            slot.verify(b"x", "no hash").unwrap_err().kind(),
            io::ErrorKind::InvalidData
        );
        let old = hash.replace("m=19456", "m=4096");
        assert!(is_old(&old));
    }

    #[test]
    fn only_so_many_hash_at_one_time() {
        let passwords = Passwords::new().unwrap();
        let (inside, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        thread::scope(|scope| {
            for _ in 0..32 {
                scope.spawn(|| {
                    let _slot = passwords.slot(soon()).unwrap();
                    most.fetch_max(inside.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    thread::yield_now();
                    inside.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        assert!(most.into_inner() <= SLOTS);
        let all: Vec<_> = (0..SLOTS)
            .map(|_| passwords.slot(soon()).unwrap())
            .collect();
        assert!(passwords.slot(Instant::now()).is_none());
        drop(all);
        assert!(passwords.slot(Instant::now()).is_some());
        let waiting = Waiting::default();
        let all: Vec<_> = (0..WAITING).map(|_| waiting.enter().unwrap()).collect();
        assert!(waiting.enter().is_none());
        drop(all);
        assert!(waiting.enter().is_some());
    }

    #[test]
    fn proofs_are_of_name_and_password_together() {
        let proofs = Proofs::new().unwrap();
        proofs.add(b"ab", b"c", "hash");
        assert_eq!(proofs.of(b"ab", b"c").as_deref(), Some("hash"));
        assert_eq!(proofs.of(b"a", b"bc"), None);
        assert_eq!(proofs.of(b"ab", b"d"), None);
        for number in 0..3 * PROOFS {
            proofs.add(b"x", number.to_string().as_bytes(), "hash");
        }
        assert!(proofs.lock().len() <= PROOFS);
    }
}
