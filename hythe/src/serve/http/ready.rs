//! Ready bytes: small answers kept whole, head and body in one piece, by each
//! thread for itself, so that the next to ask is served by a look-up and a
//! `send`.
//!
//! An entry remembers what it was made from: which paths, and what was there.
//! Once a second, when asked for, it is compared with what is there now, so
//! that an edit is seen within one second; and after each change that was made
//! over HTTP, so that who has made it sees it at once. This never waits for a disk; where
//! it would have to, the entry is dropped and made anew on the pool.

use std::cell::RefCell;
use std::collections::HashMap;
use std::time::{Duration, Instant};

use hythe_wire::http::Version;

use crate::http::Response;
use crate::http::date::{self, Date};
use crate::http::head::{self, Framing, Sending};
use crate::share::{Meta, RelPath, View};

/// The largest file that is read to be kept: beyond it, sending costs so much
/// more than looking up that there is little to gain.
pub(super) const LARGEST: u64 = 64 * 1024;

/// The largest body that is kept. More than [`LARGEST`], since compressing costs
/// a hundred times as much as reading; not more than one piece of a body that
/// is made while it is sent, since a slow reader may hold a copy.
const KEPT: usize = 256 * 1024;

/// How many bytes each thread keeps, in each of two generations, with all that
/// belongs to an entry.
const GENERATION: usize = 8 * 1024 * 1024;

/// How long an entry is believed without looking.
const BELIEVED: Duration = Duration::from_secs(1);

/// What was found at a path: something, or nothing.
#[derive(Clone, Debug)]
pub(super) struct Check {
    pub(super) path: RelPath,
    pub(super) found: Option<Meta>,
}

impl Check {
    fn still_holds(&self, view: &View) -> bool {
        match view.metadata_now(&self.path) {
            Ok(Some(meta)) => self.found == Some(meta),
            Ok(None) => false,
            Err(error) => self.found.is_none() && error.kind() == std::io::ErrorKind::NotFound,
        }
    }
}

/// When something was known to be true: at this time, and after so many changes
/// by visitors.
#[derive(Clone, Copy, Debug)]
pub(super) struct Freshness {
    pub(super) time: Instant,
    pub(super) changes: u64,
}

/// One answer, ready to be sent.
#[derive(Debug)]
pub(super) struct Entry {
    bytes: Vec<u8>,
    head: usize,
    date_at: usize,
    second: u64,
    checked: Freshness,
    made_from: Vec<Check>,
    pub(super) status: u16,
}

impl Entry {
    /// Keeps a response, if it is one to keep. `checked` is when it was begun to
    /// be made: files may have changed since.
    pub(super) fn of(
        response: &Response,
        made_from: Vec<Check>,
        date: &Date,
        checked: Freshness,
    ) -> Option<Self> {
        let body = response.body().as_bytes()?;
        if body.len() > KEPT {
            return None;
        }
        let sending = Sending {
            version: Version::Http11,
            keep_alive: true,
            framing: Framing::Length(body.len() as u64),
        };
        let mut bytes = Vec::with_capacity(512 + body.len());
        let (status, headers) = (response.status(), response.headers());
        let date_at = head::write(&mut bytes, status, headers, date, sending);
        let head = bytes.len();
        bytes.extend_from_slice(body);
        Some(Self {
            bytes,
            head,
            date_at,
            second: date.second,
            checked,
            made_from,
            status: status.as_u16(),
        })
    }

    /// Head and body, or the head alone.
    pub(super) fn bytes(&self, with_body: bool) -> &[u8] {
        if with_body {
            &self.bytes
        } else {
            &self.bytes[..self.head]
        }
    }

    /// What it takes in memory under a key of this length, about.
    fn cost(&self, key: usize) -> usize {
        let checks = self
            .made_from
            .iter()
            .map(|check| size_of::<Check>() + check.path.as_bytes().len());
        // Twice the slot: a hash table is half empty.
        2 * size_of::<(Box<[u8]>, Self)>() + key + self.bytes.capacity() + checks.sum::<usize>()
    }

    pub(super) fn body_length(&self) -> usize {
        self.bytes.len() - self.head
    }

    /// Brings the date up to date and, when it is time, looks at the files.
    fn refresh(&mut self, view: &View, now: Freshness) -> bool {
        let is_old = now.time.duration_since(self.checked.time) >= BELIEVED;
        if is_old || now.changes != self.checked.changes {
            if !self.made_from.iter().all(|check| check.still_holds(view)) {
                return false;
            }
            self.checked = now;
        }
        let date = date::now();
        if date.second != self.second {
            self.bytes[self.date_at..][..date::LENGTH].copy_from_slice(&date.text);
            self.second = date.second;
        }
        true
    }
}

/// What tells entries apart: the site, what the client accepts, and the path
/// as it was written, so that a hit need not decode it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Key<'a> {
    pub(super) site: u32,
    pub(super) codings: u8,
    pub(super) path: &'a [u8],
}

/// Two generations of entries: when the young one is full, it becomes the old
/// one and the old one is forgotten. Whatever is asked for from the old one
/// moves to the young. What is popular stays, in bounded memory, without a
/// list to keep.
#[derive(Debug, Default)]
struct Cache {
    young: HashMap<Box<[u8]>, Entry>,
    old: HashMap<Box<[u8]>, Entry>,
    young_bytes: usize,
    /// The key looked up last, kept for its memory.
    key: Vec<u8>,
}

thread_local! {
    static CACHE: RefCell<Cache> = RefCell::default();
}

/// Calls `send` with the entry for `key`, if there is one that still holds.
pub(super) fn with<T>(
    key: Key<'_>,
    view: &View,
    now: Freshness,
    send: impl FnOnce(&Entry) -> T,
) -> Option<T> {
    CACHE.with_borrow_mut(|cache| {
        cache.set_key(key);
        if let Some(entry) = cache.young.get_mut(cache.key.as_slice()) {
            if entry.refresh(view, now) {
                return Some(send(entry));
            }
            cache.young_bytes -= entry.cost(cache.key.len());
            cache.young.remove(cache.key.as_slice());
            return None;
        }
        let (key, mut entry) = cache.old.remove_entry(cache.key.as_slice())?;
        if !entry.refresh(view, now) {
            return None;
        }
        let result = send(&entry);
        cache.insert(key, entry);
        Some(result)
    })
}

/// Keeps an entry.
pub(super) fn keep(key: Key<'_>, entry: Entry) {
    CACHE.with_borrow_mut(|cache| {
        cache.set_key(key);
        let key = cache.key.clone().into_boxed_slice();
        cache.insert(key, entry);
    });
}

impl Cache {
    fn set_key(&mut self, key: Key<'_>) {
        self.key.clear();
        self.key.extend_from_slice(&key.site.to_ne_bytes());
        self.key.push(key.codings);
        self.key.extend_from_slice(key.path);
    }

    fn insert(&mut self, key: Box<[u8]>, entry: Entry) {
        let (length, cost) = (key.len(), entry.cost(key.len()));
        if self.young_bytes + cost > GENERATION {
            self.old = std::mem::take(&mut self.young);
            self.young_bytes = 0;
        }
        self.young_bytes += cost;
        if let Some(replaced) = self.young.insert(key, entry) {
            self.young_bytes -= replaced.cost(length);
        }
    }
}
