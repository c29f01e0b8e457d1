//! Removing uploads that nobody has continued for too long, and what crashes
//! left of others.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};

use super::shed::{Piece, Shed, is_past};
use super::turn::Turn;
use super::{FINISHED_KEPT, Role, Share, UploadId, seconds_now};

/// How old a piece without the others must be before it is removed, if that is
/// not longer than uploads are kept at all: a living server makes all of them
/// within moments.
const ORPHANED: Duration = Duration::from_secs(60 * 60);

/// How often it is swept in passing, in seconds.
const OFTEN: i64 = 60 * 60;

/// When this process swept in passing.
static SWEPT: AtomicI64 = AtomicI64::new(0);

impl Share {
    /// Removes uploads that have expired and what is left of others. How many
    /// there were.
    pub(in crate::share) fn sweep_uploads(&self) -> io::Result<usize> {
        SWEPT.store(seconds_now(), Ordering::Relaxed);
        let shed = match self.root.store.existing() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
            folder => Shed::new(folder?),
        };
        let mut uploads: BTreeMap<UploadId, Vec<Piece>> = BTreeMap::new();
        for (id, piece) in shed.pieces()? {
            uploads.entry(id).or_default().push(piece);
        }
        let mut swept = 0;
        for (id, pieces) in uploads {
            swept += usize::from(self.sweep_upload(&shed, id, &pieces));
        }
        for id in shed.all_finished()? {
            if shed
                .finished_at(id)
                .is_ok_and(|time| is_past(time, FINISHED_KEPT))
            {
                shed.remove_finished(id);
                swept += 1;
            }
        }
        Ok(swept)
    }

    /// Removes the unfinished uploads of an account that is gone: another of the
    /// same name is not to have them, nor to make up for their room. How many
    /// there were.
    ///
    /// # Errors
    /// The disk's.
    pub fn remove_uploads_of(&self, account: &str) -> io::Result<usize> {
        if self.is_one_file() {
            return Ok(0);
        }
        let shed = match self.root.store.existing() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
            folder => Shed::new(folder?),
        };
        let mut removed = 0;
        for (id, piece) in shed.pieces()? {
            let owner = match piece {
                Piece::Info => shed.info(id).ok().and_then(|info| info.owner),
                _ => None,
            };
            if owner.as_deref() == Some(account) {
                shed.remove(id);
                removed += 1;
            }
        }
        Ok(removed)
    }

    /// [`sweep`](Self::sweep), if the last time was long ago. What fails is told
    /// in the log only.
    pub fn sweep_now_and_then(&self) {
        let now = seconds_now();
        let swept = SWEPT.load(Ordering::Relaxed);
        if now.saturating_sub(swept) < OFTEN {
            return;
        }
        let mine = SWEPT.compare_exchange(swept, now, Ordering::Relaxed, Ordering::Relaxed);
        if mine.is_ok()
            && let Err(error) = self.sweep()
        {
            tracing::warn!(%error, "cannot remove what interrupted uploads have left behind");
        }
    }

    /// Whether an upload was to be removed, and is.
    fn sweep_upload(&self, shed: &Shed, id: UploadId, pieces: &[Piece]) -> bool {
        let old = |piece: &Piece, age| {
            shed.changed(id, *piece)
                .is_ok_and(|time| is_past(time, age))
        };
        let orphaned = ORPHANED.min(self.rules().upload_expiry);
        let whole = [Piece::Info, Piece::Data, Piece::Turn];
        if !whole.iter().all(|piece| pieces.contains(piece)) {
            if !pieces.iter().all(|piece| old(piece, orphaned)) || finish(shed, id) {
                return false;
            }
            shed.remove(id);
            return true;
        }
        if pieces.contains(&Piece::NewInfo) && old(&Piece::NewInfo, orphaned) {
            shed.remove_piece(id, Piece::NewInfo);
        }
        let expired = |piece| old(piece, self.rules().upload_expiry);
        if !expired(&Piece::Data) && !is_abandoned(shed, id) {
            return false;
        }
        // Somebody may be about to go on with it.
        let Ok(turn) = shed
            .open(id, Piece::Turn)
            .map_err(Into::into)
            .and_then(Turn::look)
        else {
            return false;
        };
        if expired(&Piece::Data) || is_abandoned(shed, id) {
            shed.remove(id);
            drop(turn);
            return true;
        }
        false
    }
}

/// Whether an upload without data is one that is in its place, which is then
/// noted: a crash came in between.
fn finish(shed: &Shed, id: UploadId) -> bool {
    let turn = shed
        .open(id, Piece::Turn)
        .map_err(Into::into)
        .and_then(Turn::look);
    turn.is_ok_and(|turn| turn.record().placing)
        && shed.info(id).is_ok()
        && shed.size(id).is_err()
        && shed.finish(id).is_ok()
}

/// Whether it is made of others, nobody is at it any more and it is not whole:
/// its name was never told to anybody.
fn is_abandoned(shed: &Shed, id: UploadId) -> bool {
    shed.info(id).is_ok_and(|info| info.role == Role::Joined)
        && shed
            .open(id, Piece::Data)
            .is_ok_and(|data| flock(&data, FlockOperation::NonBlockingLockExclusive).is_ok())
}
