//! Uploads that can be continued: what has come is kept, whatever becomes of the
//! connection, the client or this process, until it is whole and appears under
//! its name.
//!
//! ```text
//!   create ─► [ …bytes… ] ─► append ─► append ─► whole ─► in its place ─► noted for a day
//!                  │            │                  │ └ the name is taken, no room: it
//!                  │            └ cut: what        │   stays, and whoever asks tries again
//!                  │              came stays       └ partial: waits to be joined
//!                  └ terminate, expire: gone
//! ```
//!
//! The length of the file is the offset that is acknowledged: there is no other
//! record of it that could be wrong after a crash. See [`turn`] for how two
//! writers are kept apart. Functions here block.
//!
//! Not here: how a protocol tells all this.

mod append;
mod census;
mod info;
mod join;
mod shed;
mod sweep;
mod turn;

use std::fmt;
use std::fs::File;
use std::io;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use super::placing::Complete;
use super::{Access, Durability, Existing, Modified, RelPath, Share, View, is_reserved};
use census::Counted;
use info::Info;
use shed::{Piece, Shed, changed, is_past};
use turn::Turn;

pub use append::{Appending, Check};
pub(super) use census::Census;
pub use census::{UPLOADS_OF_ALL, UPLOADS_OF_ONE};

/// How long it is remembered that an upload is in its place, for a client that
/// did not hear of it.
pub const FINISHED_KEPT: Duration = Duration::from_secs(24 * 60 * 60);

/// The name of an upload: 128 random bits, so that for a stranger's upload
/// knowing it is the right to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UploadId(u128);

impl UploadId {
    /// How long it is as text.
    pub const LENGTH: usize = 32;

    fn new() -> io::Result<Self> {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes).map_err(io::Error::other)?;
        Ok(Self(u128::from_ne_bytes(bytes)))
    }

    /// Reads 32 hexadecimal digits in lower case.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let legal = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if text.len() != Self::LENGTH || !text.iter().all(legal) {
            return None;
        }
        let text = std::str::from_utf8(text).ok()?;
        u128::from_str_radix(text, 16).ok().map(Self)
    }
}

impl fmt::Display for UploadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// What an upload is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// A file by itself.
    Whole,
    /// A part of a file, to be joined with others.
    Partial,
    /// A file made of parts.
    Joined,
}

/// What is to be uploaded.
#[derive(Clone, Debug)]
pub struct Creation {
    /// The folder it is uploaded to, which must be there.
    pub folder: RelPath,
    /// Where it will be, in `folder` or below; folders on the way are made.
    /// `None`: in `folder`, and its name is its id.
    pub target: Option<RelPath>,
    /// How long it will be, where that is known.
    pub length: Option<u64>,
    /// What may become of a file that has this name.
    pub existing: Existing,
    /// The time of modification it shall have.
    pub modified: Option<Modified>,
    /// Whether it is a file or a part of one.
    pub partial: bool,
    /// Kept to be told again.
    pub notes: Notes,
}

/// What a client said of an upload, in its words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Notes {
    /// Of the file.
    pub metadata: Option<String>,
    /// Of how it is joined.
    pub concat: Option<String>,
}

/// How an upload stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// How much has come and will stay.
    pub offset: u64,
    /// How long it will be, where that is known.
    pub length: Option<u64>,
    /// What it is for.
    pub role: Role,
    /// What the client said of it.
    pub notes: Notes,
    /// When it will be removed if nothing more comes.
    pub expires: Option<SystemTime>,
    /// Where it is, if it is in its place.
    pub finished: Option<RelPath>,
}

/// Why an upload does not go on.
#[derive(Debug)]
pub enum UploadError {
    /// Only at this offset.
    Offset(u64),
    /// More than was announced.
    TooLong,
    /// The bytes are not what their checksum says; none of them is kept.
    Mismatch,
    /// Somebody else writes to it.
    Taken,
    /// Its length is known, and another, or it is longer by now.
    Length,
    /// What is joined can't be continued.
    Joined,
    /// What is to be joined is no part.
    NotPartial,
    /// A part is not whole yet.
    Unfinished,
    /// There are too many unfinished ones; which, in a sentence.
    TooMany(&'static str),
    /// By the view or the disk: `NotFound` for what is not there or another's;
    /// `AlreadyExists` for a name that is taken, `QuotaExceeded`,
    /// `FileTooLarge`, `StorageFull`, `PermissionDenied`.
    Disk(io::Error),
}

impl From<io::Error> for UploadError {
    fn from(error: io::Error) -> Self {
        Self::Disk(error)
    }
}

impl From<io::ErrorKind> for UploadError {
    fn from(kind: io::ErrorKind) -> Self {
        Self::Disk(kind.into())
    }
}

impl fmt::Display for UploadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Offset(offset) => write!(f, "the upload goes on at offset {offset}"),
            Self::TooLong => f.write_str("this is more than the length that was announced"),
            Self::Mismatch => f.write_str("the bytes are not what their checksum says"),
            Self::Taken => f.write_str("another request has this upload; try again"),
            Self::Length => f.write_str("the upload has another length already"),
            Self::Joined => f.write_str("what is joined of others cannot be continued"),
            Self::NotPartial => f.write_str("only partial uploads can be joined"),
            Self::Unfinished => f.write_str("an upload that is to be joined is not whole yet"),
            Self::TooMany(text) => f.write_str(text),
            Self::Disk(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for UploadError {}

/// An upload that was found and that nobody else writes to.
enum Found {
    Unfinished(Open),
    Finished(Info),
}

/// An unfinished upload, its turn held.
struct Open {
    id: UploadId,
    shed: Shed,
    info: Info,
    turn: Turn,
    data: File,
    size: u64,
}

impl View {
    /// Begins an upload. It exists, empty, until it is whole, terminated or
    /// expired. Needs [`Access::Upload`].
    ///
    /// # Errors
    /// `NotFound` where the folder is not there; `AlreadyExists`,
    /// `IsADirectory`, `NotADirectory` by what is where it shall be;
    /// `FileTooLarge`, `QuotaExceeded`, `StorageFull` by its length;
    /// [`UploadError::TooMany`].
    pub fn create_upload(&self, creation: &Creation) -> Result<UploadId, UploadError> {
        let role = if creation.partial {
            Role::Partial
        } else {
            Role::Whole
        };
        let (id, ..) = self.make_upload(creation, role, &[])?;
        Ok(id)
    }

    /// How an upload stands. Whoever is writing to it is ended, so that the
    /// offset told is the one to go on at. One that is whole is put in its
    /// place if it is not yet.
    ///
    /// # Errors
    /// `NotFound`; [`UploadError::Taken`]; of one that is whole, what keeps it
    /// from its place.
    pub fn upload(&self, id: UploadId) -> Result<Progress, UploadError> {
        match self.find_upload(id)? {
            Found::Finished(info) => Ok(Progress::finished(info)),
            Found::Unfinished(open) => {
                if self.share.rules().durability == Durability::Every {
                    open.data.sync_data()?;
                }
                self.conclude(open)
            }
        }
    }

    /// Removes an unfinished upload, or forgets a finished one. Whoever is
    /// writing to it is ended.
    ///
    /// # Errors
    /// `NotFound`; [`UploadError::Taken`].
    pub fn terminate_upload(&self, id: UploadId) -> Result<(), UploadError> {
        match self.find_upload(id)? {
            Found::Finished(_) => Err(io::ErrorKind::NotFound.into()),
            Found::Unfinished(open) => {
                open.shed.remove(id);
                Ok(())
            }
        }
    }

    /// Goes on with an upload at `offset`, which must be its end. Whoever is
    /// writing to it is ended. `announced` is how much will come, if that is
    /// known; `length`, how long the upload will be, if that was not known
    /// before.
    ///
    /// # Errors
    /// `NotFound`; any [`UploadError`]; as [`create_upload`](Self::create_upload)
    /// for a length.
    pub fn append_upload(
        &self,
        id: UploadId,
        offset: u64,
        announced: Option<u64>,
        length: Option<u64>,
        check: Option<Check>,
    ) -> Result<Appending, UploadError> {
        let open = match self.find_upload(id)? {
            Found::Unfinished(open) => open,
            // Whoever missed the last answer and sends nothing gets it again.
            Found::Finished(info) => return Appending::at_end(info, offset, announced),
        };
        Appending::begin(self, open, offset, announced, length, check)
    }

    /// The checks and the files of a new upload.
    fn make_upload(
        &self,
        creation: &Creation,
        role: Role,
        parts: &[UploadId],
    ) -> Result<(UploadId, Shed, Info, File), UploadError> {
        self.require(Access::Upload)?;
        if !self.metadata(&creation.folder)?.is_folder() {
            return Err(io::ErrorKind::NotADirectory.into());
        }
        let id = UploadId::new()?;
        let target = match &creation.target {
            Some(target) => target.clone(),
            None => {
                let name = id.to_string();
                let path = creation.folder.join(name.as_bytes());
                path.map_err(|_| io::Error::from(io::ErrorKind::InvalidFilename))?
            }
        };
        if role != Role::Partial {
            self.may_appear(&target, creation.existing)?;
        }
        let shed = Shed::new(self.share.root.store.folder()?);
        // Until it is written down what this one was promised.
        let _alone = shed.alone()?;
        let counted = self.count(&shed, parts)?;
        // What is joined takes the place of its parts.
        if role != Role::Joined {
            counted.check(self.visitor().account.as_deref())?;
        }
        if let Some(length) = creation.length {
            let replaced = match creation.existing {
                Existing::Keep => 0,
                _ => self.metadata(&target).map_or(0, |meta| meta.size),
            };
            self.has_room(&shed, length, replaced, || Ok(counted.promised))?;
        }
        let mut info = Info::new(
            self.visitor(),
            &self.share.root.prefix,
            &target,
            creation.length,
            creation.existing,
            creation.modified,
            seconds_now(),
            role,
        );
        info.metadata.clone_from(&creation.notes.metadata);
        info.concat.clone_from(&creation.notes.concat);
        let sync = self.share.rules().durability == Durability::Every;
        let data = shed.create(id, &info, sync)?;
        Ok((id, shed, info, data))
    }

    /// Whether a file may appear at `target` as things stand: better told
    /// before the bytes come than after.
    fn may_appear(&self, target: &RelPath, existing: Existing) -> io::Result<()> {
        if target.components().any(is_reserved) || self.share.is_one_file() {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        match self.metadata(target) {
            Ok(meta) if meta.is_folder() => Err(io::ErrorKind::IsADirectory.into()),
            Ok(_) if existing == Existing::Keep => Err(io::ErrorKind::AlreadyExists.into()),
            Ok(_) => self.require(Access::Write),
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.may_lead(target),
            Err(error) => Err(error),
        }
    }

    /// Whether the folders on the way to `target` are there or can be made.
    fn may_lead(&self, target: &RelPath) -> io::Result<()> {
        let mut above = target.parent();
        while let Some(folder) = above {
            match self.metadata(&folder) {
                Ok(meta) if meta.is_folder() => return Ok(()),
                Ok(_) => return Err(io::ErrorKind::NotADirectory.into()),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
            above = folder.parent();
        }
        Ok(())
    }

    /// How many unfinished uploads there are; `but` are promised nothing.
    fn count(&self, shed: &Shed, but: &[UploadId]) -> io::Result<Counted> {
        let account = self.visitor().account.as_deref();
        self.share.root.store.census.count(shed, account, but)
    }

    /// Whether an upload of this length may come, in place of `replaced` bytes.
    /// `promised` is what the visitor's other uploads will take.
    fn has_room(
        &self,
        shed: &Shed,
        length: u64,
        replaced: u64,
        promised: impl FnOnce() -> io::Result<u64>,
    ) -> io::Result<()> {
        let rules = self.share.rules();
        if rules.max_upload.is_some_and(|most| length > most) {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        if shed.free()? < length {
            return Err(io::ErrorKind::StorageFull.into());
        }
        match self.room(promised)? {
            Some(room) if room.saturating_add(replaced) < length => {
                Err(io::ErrorKind::QuotaExceeded.into())
            }
            _ => Ok(()),
        }
    }

    /// How many more bytes the visitor may upload, all that was promised to
    /// unfinished uploads taken off; `None` without a quota.
    fn room(&self, promised: impl FnOnce() -> io::Result<u64>) -> io::Result<Option<u64>> {
        let Some(account) = self.visitor().account.as_deref() else {
            return Ok(None);
        };
        match self.share.rules().ledger.room(account)? {
            Some(room) => Ok(Some(room.saturating_sub(promised()?))),
            None => Ok(None),
        }
    }

    /// Finds an upload of this visitor, ends whoever writes to it, and cuts it
    /// back to what is certain.
    fn find_upload(&self, id: UploadId) -> Result<Found, UploadError> {
        self.require(Access::Upload)?;
        let shed = Shed::new(self.share.root.store.existing()?);
        let mine = |info: &Info| info.belongs_to(self.visitor(), &self.share.root.prefix);
        let finished = |shed: &Shed| {
            let info = shed.finished(id)?;
            if mine(&info) && !is_past(shed.finished_at(id)?, FINISHED_KEPT) {
                Ok(Found::Finished(info))
            } else {
                Err(UploadError::from(io::ErrorKind::NotFound))
            }
        };
        let file = match shed.open(id, Piece::Turn) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return finished(&shed),
            file => file?,
        };
        // Nobody but the owner may disturb who is writing.
        match shed.info(id) {
            Ok(info) if !mine(&info) => return Err(io::ErrorKind::NotFound.into()),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => return finished(&shed),
            Err(error) => return Err(error.into()),
        }
        let turn = Turn::look(file)?;
        // It may have been finished or removed while this waited.
        let info = match shed.info(id) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return finished(&shed),
            info => info?,
        };
        let data = match shed.open(id, Piece::Data) {
            // A crash came between putting it in its place and noting it.
            Err(error) if error.kind() == io::ErrorKind::NotFound && turn.record().placing => {
                shed.finish(id)?;
                return Ok(Found::Finished(info));
            }
            data => data?,
        };
        let mut open = Open {
            id,
            size: data.metadata()?.len(),
            shed,
            info,
            turn,
            data,
        };
        if is_past(
            changed(&open.data.metadata()?),
            self.share.rules().upload_expiry,
        ) {
            open.shed.remove(id);
            return Err(io::ErrorKind::NotFound.into());
        }
        open.cut_back()?;
        open.turn.take()?;
        Ok(Found::Unfinished(open))
    }

    /// Puts an upload in its place if it is whole and meant to be, and says how
    /// it stands then. Lets others in again.
    fn conclude(&self, mut open: Open) -> Result<Progress, UploadError> {
        let whole = open.info.length == Some(open.size);
        if whole && open.info.role != Role::Partial {
            self.put_in_place(&mut open)?;
            Ok(Progress::finished(open.info))
        } else {
            open.progress(self.share.rules().upload_expiry)
        }
    }

    fn put_in_place(&self, open: &mut Open) -> Result<(), UploadError> {
        let target = open.info.target();
        if let Some(folder) = target.parent().filter(|folder| !folder.is_root()) {
            self.make_folders(&folder)?;
        }
        let record = open.turn.record();
        open.turn.write(turn::Record {
            placing: true,
            ..record
        })?;
        let complete = Complete {
            folder: open.shed.folder(),
            name: &open.id.to_string(),
            file: &open.data,
        };
        let placed = self.place(
            &target,
            complete,
            open.info.existing(),
            open.info.modified(),
        );
        if let Err(error) = placed {
            open.turn.write(record)?;
            return Err(error.into());
        }
        open.shed.finish(open.id)?;
        Ok(())
    }
}

impl Open {
    /// Cuts off what was never verified.
    fn cut_back(&mut self) -> io::Result<()> {
        let record = self.turn.record();
        if let Some(verified) = record.verified {
            if self.size > verified {
                self.data.set_len(verified)?;
                self.size = verified;
            }
            self.turn.write(turn::Record {
                verified: None,
                ..record
            })?;
        }
        Ok(())
    }

    fn progress(&self, expiry: Duration) -> Result<Progress, UploadError> {
        Ok(Progress {
            offset: self.size,
            length: self.info.length,
            role: self.info.role,
            notes: self.info.notes(),
            expires: changed(&self.data.metadata()?).checked_add(expiry),
            finished: None,
        })
    }
}

impl Progress {
    fn finished(info: Info) -> Self {
        Self {
            offset: info.length.unwrap_or(0),
            length: info.length,
            role: info.role,
            notes: info.notes(),
            expires: None,
            finished: Some(info.target()),
        }
    }
}

fn seconds_now() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs() as i64)
}
