//! Names being put in order, in memory that all listings share.
//!
//! A visitor who asks for a sorted listing and never reads it holds what was
//! gathered for it, on as many connections as the server allows. Hence little
//! is kept of an entry, everything kept is counted, and there is an end to it.

use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;

use super::Kind;

/// What all listings that are being sorted may hold together: some of the
/// largest that are sorted at all ([`SORT_LIMIT`](super::SORT_LIMIT)), or
/// thousands of the usual. Any machine that serves that many can spare it.
pub(super) static BUDGET: Budget = Budget::new(64 * 1024 * 1024);

/// A number of bytes, and how many of them are in use.
#[derive(Debug)]
pub(super) struct Budget {
    bytes: usize,
    claimed: AtomicUsize,
}

impl Budget {
    pub(super) const fn new(bytes: usize) -> Self {
        Self {
            bytes,
            claimed: AtomicUsize::new(0),
        }
    }

    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    #[cfg(test)]
    pub(super) fn claimed(&self) -> usize {
        self.claimed.load(Relaxed)
    }
}

/// One listing's part of a budget, given back when it is dropped.
#[derive(Debug)]
struct Claim {
    budget: &'static Budget,
    bytes: usize,
}

impl Claim {
    /// Makes this a claim of `bytes`, unless that is more than it would leave to
    /// others. So large claims never use up everything: there is room for
    /// smaller ones always, and most folders are small.
    fn resize(&mut self, bytes: usize) -> bool {
        let resized = self
            .budget
            .claimed
            .fetch_update(Relaxed, Relaxed, |claimed| {
                let all = claimed - self.bytes + bytes;
                let fits = bytes <= self.bytes || bytes <= self.budget.bytes.saturating_sub(all);
                fits.then_some(all)
            });
        if resized.is_ok() {
            self.bytes = bytes;
        }
        resized.is_ok()
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.budget.claimed.fetch_sub(self.bytes, Relaxed);
    }
}

/// What decides before the name does: a size, or seconds and nanoseconds.
pub(super) type Rank = (i64, u32);

/// Names in the order they were found in and then, once sorted, in theirs.
#[derive(Debug)]
pub(super) struct Gathered {
    /// Every name and, if it is another, the same in lower case, end to end.
    names: Vec<u8>,
    candidates: Vec<Candidate>,
    /// How many have been taken.
    taken: usize,
    claim: Claim,
}

/// An entry that has its place in the order, but no metadata yet: that can wait
/// until it is on its way. The fields are such that this takes 24 bytes.
#[derive(Clone, Copy, Debug)]
struct Candidate {
    rank: i64,
    rank_nanos: u32,
    at: u32,
    name: u16,
    /// The length of the name in lower case; 0 if that is the name itself.
    folded: u16,
    kind: Kind,
}

impl Gathered {
    pub(super) fn new(budget: &'static Budget) -> Self {
        Self {
            names: Vec::new(),
            candidates: Vec::new(),
            taken: 0,
            claim: Claim { budget, bytes: 0 },
        }
    }

    /// Adds an entry. `false` if there is no memory for it, in which case this
    /// is of no more use.
    pub(super) fn push(&mut self, name: &[u8], kind: Kind, (rank, rank_nanos): Rank) -> bool {
        let folded = String::from_utf8_lossy(name).to_lowercase();
        let folded = match folded.as_bytes() {
            same if same == name => &[],
            other => other,
        };
        let (Ok(at), Ok(name_length), Ok(folded_length)) = (
            u32::try_from(self.names.len()),
            u16::try_from(name.len()),
            u16::try_from(folded.len()),
        ) else {
            return false;
        };
        self.names.extend_from_slice(name);
        self.names.extend_from_slice(folded);
        self.candidates.push(Candidate {
            rank,
            rank_nanos,
            at,
            name: name_length,
            folded: folded_length,
            kind,
        });
        let held = self.held();
        held == self.claim.bytes || self.claim.resize(held)
    }

    pub(super) fn len(&self) -> usize {
        self.candidates.len()
    }

    /// Puts folders before files, then what ranks lower before what ranks
    /// higher, then by name regardless of case; `descending` turns round all
    /// but the first.
    pub(super) fn sort(&mut self, descending: bool) {
        let names = &self.names;
        let key = |one: &Candidate| {
            let (name, folded) = one.names(names);
            ((one.rank, one.rank_nanos), folded, name)
        };
        let order = |one: &Candidate, other: &Candidate| {
            let files_last = (one.kind == Kind::File).cmp(&(other.kind == Kind::File));
            let by_key = || match key(one).cmp(&key(other)) {
                order if descending => order.reverse(),
                order => order,
            };
            files_last.then_with(by_key)
        };
        // No two names are the same, so stability would be for nothing.
        self.candidates.sort_unstable_by(order);
        self.names.shrink_to_fit();
        self.candidates.shrink_to_fit();
        self.claim.resize(self.held());
    }

    /// The next name, in order.
    pub(super) fn take(&mut self) -> Option<Box<[u8]>> {
        let next = self.candidates.get(self.taken)?;
        self.taken += 1;
        Some(next.names(&self.names).0.into())
    }

    /// The bytes that are held, used or not.
    fn held(&self) -> usize {
        self.names.capacity() + self.candidates.capacity() * size_of::<Candidate>()
    }
}

impl Candidate {
    /// The name, and the same in lower case.
    fn names<'a>(&self, names: &'a [u8]) -> (&'a [u8], &'a [u8]) {
        let (name, rest) = names[self.at as usize..].split_at(self.name.into());
        match self.folded {
            0 => (name, name),
            length => (name, &rest[..length.into()]),
        }
    }
}
