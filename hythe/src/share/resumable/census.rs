//! How many unfinished uploads there are, whose they are, and what was promised
//! to them.
//!
//! What never changes of an upload is read once in each process and remembered:
//! to begin another then costs one listing of the folder of uploads, however
//! many of them there are, and the files of those of one's own whose length is
//! not known yet. Where each connection has a process of its own, nothing is
//! remembered for long.

use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::{Mutex, PoisonError};

use super::shed::{Piece, Shed};
use super::{UploadError, UploadId};

/// The most unfinished uploads of one account, and of all visitors without one
/// together: more than anyone has under way, and few enough that nobody fills
/// a disk's table of files with uploads of nothing, three files for each.
pub const UPLOADS_OF_ONE: usize = 1000;

/// The most unfinished uploads of all together. To list as many takes some
/// milliseconds, whenever one more begins.
pub const UPLOADS_OF_ALL: usize = 10_000;

/// What is remembered, by all who see the same share.
#[derive(Debug, Default)]
pub(in crate::share) struct Census(Mutex<HashMap<UploadId, Known>>);

/// What does not change of an upload.
#[derive(Debug)]
struct Known {
    owner: Owner,
    /// Known from its beginning or not at all so far.
    length: Option<u64>,
}

#[derive(Debug, PartialEq, Eq)]
enum Owner {
    Account(Box<str>),
    Stranger,
    /// Of another version of this program, or damaged.
    Unknown,
}

/// What a visitor has to do with the uploads that are there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counted {
    all: usize,
    mine: usize,
    /// How long the visitor's will be together, as far as that is known.
    pub(super) promised: u64,
}

impl Census {
    /// Counts those of this account, or of visitors without one; `but` are
    /// promised nothing.
    pub(super) fn count(
        &self,
        shed: &Shed,
        account: Option<&str>,
        but: &[UploadId],
    ) -> io::Result<Counted> {
        let pieces = shed.pieces()?.into_iter();
        let uploads: HashSet<UploadId> = pieces
            .filter(|(_, piece)| *piece == Piece::Info)
            .map(|(id, _)| id)
            .collect();
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|id, _| uploads.contains(id));
        let mut counted = Counted {
            all: uploads.len(),
            ..Counted::default()
        };
        for id in uploads {
            let known = known.entry(id).or_insert_with(|| Known::read(shed, id));
            let mine = match &known.owner {
                Owner::Account(name) => account == Some(&**name),
                Owner::Stranger => account.is_none(),
                Owner::Unknown => false,
            };
            if !mine {
                continue;
            }
            counted.mine += 1;
            // Nobody has promised anything to visitors without an account.
            if account.is_some() && !but.contains(&id) {
                counted.promised = counted.promised.saturating_add(known.length(shed, id));
            }
        }
        Ok(counted)
    }
}

impl Known {
    fn read(shed: &Shed, id: UploadId) -> Self {
        match shed.info(id) {
            Ok(info) => Self {
                owner: match info.owner {
                    Some(name) => Owner::Account(name.into()),
                    None => Owner::Stranger,
                },
                length: info.length,
            },
            Err(_) => Self {
                owner: Owner::Unknown,
                length: None,
            },
        }
    }

    /// How long it will be; of unknown length, as much as has come.
    fn length(&mut self, shed: &Shed, id: UploadId) -> u64 {
        if self.length.is_none() {
            self.length = shed.info(id).ok().and_then(|info| info.length);
        }
        self.length.or_else(|| shed.size(id).ok()).unwrap_or(0)
    }
}

impl Counted {
    /// Whether one more may begin.
    pub(super) fn check(&self, account: Option<&str>) -> Result<(), UploadError> {
        if self.mine >= UPLOADS_OF_ONE {
            return Err(UploadError::TooMany(match account {
                Some(_) => "you have 1,000 unfinished uploads; finish or remove some",
                None => {
                    "visitors without an account have 1,000 unfinished uploads; try again later"
                }
            }));
        }
        if self.all >= UPLOADS_OF_ALL {
            let text = "there are 10,000 unfinished uploads already; try again later";
            return Err(UploadError::TooMany(text));
        }
        Ok(())
    }
}
