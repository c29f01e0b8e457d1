//! Writing to the end of an upload.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use super::info::Info;
use super::shed::Shed;
use super::turn::{Record, Turn};
use super::{Open, Progress, Role, UploadError, UploadId, View};
use crate::checksum::{Algorithm, Hasher};
use crate::share::Durability;

/// How far an upload of unknown length is written before it is looked up again
/// how much the visitor has room for: other uploads grow meanwhile.
const STEP: u64 = 4 * 1024 * 1024;

/// A checksum that the bytes of one request must come to.
#[derive(Debug)]
pub struct Check {
    hasher: Hasher,
    digest: Vec<u8>,
}

impl Check {
    /// The digest that they must have.
    pub fn new(algorithm: Algorithm, digest: Vec<u8>) -> Self {
        Self {
            hasher: Hasher::new(algorithm),
            digest,
        }
    }

    fn update(&mut self, bytes: &[u8]) {
        self.hasher.update(bytes);
    }

    fn holds(self) -> bool {
        self.hasher.finish() == self.digest
    }
}

/// An upload that is being written to. What has been written stays when this is
/// dropped, unless a checksum is still to be seen.
#[derive(Debug)]
pub struct Appending(State);

#[derive(Debug)]
enum State {
    Writing(Box<Writing>),
    /// It was in its place before.
    Finished(Progress),
}

#[derive(Debug)]
struct Writing {
    view: View,
    id: UploadId,
    shed: Shed,
    info: Info,
    data: File,
    turn: Turn,
    /// Where the next byte goes.
    at: u64,
    /// How far it may go.
    limit: u64,
    /// What more than that is.
    beyond: Beyond,
    /// Where that is looked up again, if the length is not known.
    look_again: u64,
    check: Option<Check>,
}

/// What is wrong with more bytes than there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Beyond {
    Length,
    MaxUpload,
    Quota,
}

impl From<Beyond> for UploadError {
    fn from(beyond: Beyond) -> Self {
        match beyond {
            Beyond::Length => Self::TooLong,
            Beyond::MaxUpload => io::ErrorKind::FileTooLarge.into(),
            Beyond::Quota => io::ErrorKind::QuotaExceeded.into(),
        }
    }
}

impl Appending {
    pub(super) fn begin(
        view: &View,
        mut open: Open,
        offset: u64,
        announced: Option<u64>,
        length: Option<u64>,
        check: Option<Check>,
    ) -> Result<Self, UploadError> {
        let checked = check.is_some();
        let (limit, beyond) = Self::prepare(view, &mut open, offset, announced, length, checked)?;
        open.turn.release();
        Ok(Self(State::Writing(Box::new(Writing {
            view: view.clone(),
            id: open.id,
            shed: open.shed,
            info: open.info,
            data: open.data,
            turn: open.turn,
            at: open.size,
            limit,
            beyond,
            look_again: open.size.saturating_add(STEP),
            check,
        }))))
    }

    fn prepare(
        view: &View,
        open: &mut Open,
        offset: u64,
        announced: Option<u64>,
        length: Option<u64>,
        checked: bool,
    ) -> Result<(u64, Beyond), UploadError> {
        if open.info.role == Role::Joined {
            return Err(UploadError::Joined);
        }
        if offset != open.size {
            return Err(UploadError::Offset(open.size));
        }
        if let Some(length) = length {
            view.set_length(open, length)?;
        }
        let (limit, beyond) = view.limit(&open.shed, &open.info, open.size)?;
        if announced.is_some_and(|more| more > limit.saturating_sub(offset)) {
            return Err(beyond.into());
        }
        if checked {
            let record = open.turn.record();
            open.turn.write(Record {
                verified: Some(open.size),
                ..record
            })?;
            if view.share().rules().durability == Durability::Every {
                open.turn.sync()?;
            }
        }
        Ok((limit, beyond))
    }

    /// Of an upload that is in its place, where nothing more can come.
    pub(super) fn at_end(
        info: Info,
        offset: u64,
        announced: Option<u64>,
    ) -> Result<Self, UploadError> {
        let progress = Progress::finished(info);
        match announced {
            _ if progress.role == Role::Joined => Err(UploadError::Joined),
            _ if offset != progress.offset => Err(UploadError::Offset(progress.offset)),
            Some(1..) => Err(UploadError::TooLong),
            _ => Ok(Self(State::Finished(progress))),
        }
    }

    /// Writes all of `bytes`, or as much as there is room for on the disk.
    ///
    /// # Errors
    /// [`UploadError::Taken`] when somebody else has begun to write;
    /// [`UploadError::TooLong`], `FileTooLarge` or `QuotaExceeded` for more than
    /// there may be, and then none of `bytes` is kept; `StorageFull`.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), UploadError> {
        match &mut self.0 {
            State::Writing(writing) => writing.write(bytes),
            State::Finished(_) if bytes.is_empty() => Ok(()),
            State::Finished(_) => Err(UploadError::TooLong),
        }
    }

    /// All has come: what was written stays, and what is whole is put in its
    /// place.
    ///
    /// # Errors
    /// [`UploadError::Mismatch`], and then nothing of what was written is kept;
    /// [`UploadError::Taken`]; what keeps it from its place, and then it stays
    /// as it is, and may be continued with nothing to try again.
    pub fn finish(self) -> Result<Progress, UploadError> {
        match self.0 {
            State::Writing(writing) => writing.finish(),
            State::Finished(progress) => Ok(progress),
        }
    }
}

impl Writing {
    fn write(&mut self, bytes: &[u8]) -> Result<(), UploadError> {
        self.turn.hold()?;
        let written = self.write_held(bytes);
        self.turn.release();
        written?;
        if let Some(check) = &mut self.check {
            check.update(bytes);
        }
        Ok(())
    }

    fn write_held(&mut self, bytes: &[u8]) -> Result<(), UploadError> {
        let end = self.at.saturating_add(bytes.len() as u64);
        if self.info.length.is_none() && end > self.look_again {
            (self.limit, self.beyond) = self.view.limit(&self.shed, &self.info, self.at)?;
            self.look_again = end.saturating_add(STEP);
        }
        if self.limit < end {
            return Err(self.beyond.into());
        }
        let mut rest = bytes;
        while !rest.is_empty() {
            match self.data.write_at(rest, self.at) {
                Ok(0) => return Err(io::ErrorKind::StorageFull.into()),
                Ok(count) => {
                    self.at += count as u64;
                    rest = &rest[count..];
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Progress, UploadError> {
        self.turn.hold()?;
        let mut open = Open {
            id: self.id,
            size: self.at,
            shed: self.shed,
            info: self.info,
            turn: self.turn,
            data: self.data,
        };
        keep(
            &mut open,
            self.check.take(),
            self.view.share().rules().durability,
        )?;
        self.view.conclude(open)
    }
}

/// Keeps what has been written, if it is what it should be.
fn keep(open: &mut Open, check: Option<Check>, durability: Durability) -> Result<(), UploadError> {
    let checked = check.is_some();
    if check.is_some_and(|check| !check.holds()) {
        open.cut_back()?;
        return Err(UploadError::Mismatch);
    }
    if durability == Durability::Every {
        open.data.sync_data()?;
    }
    if checked {
        let record = open.turn.record();
        open.turn.write(Record {
            verified: None,
            ..record
        })?;
    }
    Ok(())
}

impl View {
    /// Sets a length that was not known before.
    fn set_length(&self, open: &mut Open, length: u64) -> Result<(), UploadError> {
        match open.info.length {
            Some(known) if known == length => return Ok(()),
            Some(_) => return Err(UploadError::Length),
            None if length < open.size => return Err(UploadError::Length),
            None => {}
        }
        let more = length - open.size;
        let _alone = open.shed.alone()?;
        let most = self.share.rules().max_upload;
        if most.is_some_and(|most| length > most) {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.has_room(&open.shed, more, 0, || self.promised(&open.shed))?;
        open.info.length = Some(length);
        let sync = self.share.rules().durability == Durability::Every;
        Ok(open.shed.write_info(open.id, &open.info, sync)?)
    }

    /// What was promised to the visitor's uploads, this one with them.
    fn promised(&self, shed: &Shed) -> io::Result<u64> {
        Ok(self.count(shed, &[])?.promised)
    }

    /// How far an upload may go, and why no further.
    fn limit(&self, shed: &Shed, info: &Info, size: u64) -> io::Result<(u64, Beyond)> {
        if let Some(length) = info.length {
            return Ok((length, Beyond::Length));
        }
        let room = self.room(|| self.promised(shed))?;
        let room = room.map_or(u64::MAX, |room| room.saturating_add(size));
        let most = self.share.rules().max_upload.unwrap_or(i64::MAX as u64);
        Ok(if room < most {
            (room, Beyond::Quota)
        } else {
            (most, Beyond::MaxUpload)
        })
    }
}
