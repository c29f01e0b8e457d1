//! Making one file of several uploads.

use std::fs::File;
use std::io;

use rustix::fs::{FlockOperation, copy_file_range, flock};
use rustix::io::Errno;

use super::info::Info;
use super::shed::{Piece, Shed, is_past};
use super::turn::Turn;
use super::{Creation, Open, Progress, Role, UploadError, UploadId, View};

/// How much is asked to be copied at a time, in bytes: the kernel can't be
/// interrupted in the middle of it.
const STEP: u64 = 64 << 20;

/// How much is copied by hand where the kernel can't.
const BUFFER: usize = 256 * 1024;

impl View {
    /// Joins partial uploads, in this order, to a file that appears under its
    /// name; then the parts are removed. Where it fails, they stay. The kernel
    /// shares their blocks where the file system can, else it copies.
    ///
    /// # Errors
    /// `NotFound` for a part that is not there or another's;
    /// [`UploadError::NotPartial`], [`UploadError::Unfinished`]; as
    /// [`create_upload`](Self::create_upload) of their length together.
    pub fn join_uploads(
        &self,
        creation: &Creation,
        parts: &[UploadId],
    ) -> Result<(UploadId, Progress), UploadError> {
        let mut length = 0_u64;
        if !parts.is_empty() {
            let shed = Shed::new(self.share.root.store.existing()?);
            for part in parts {
                let more = self.part_length(&shed, *part)?;
                length = length
                    .checked_add(more)
                    .ok_or(io::ErrorKind::FileTooLarge)?;
            }
        }
        let creation = Creation {
            length: Some(length),
            ..creation.clone()
        };
        let (id, shed, info, data) = self.make_upload(&creation, Role::Joined, parts)?;
        let joined = self.join(id, &shed, info, data, parts);
        match &joined {
            Ok(_) => parts.iter().for_each(|part| shed.remove(*part)),
            // Nobody has heard of it yet.
            Err(_) => shed.remove(id),
        }
        Ok((id, joined?))
    }

    fn part_length(&self, shed: &Shed, id: UploadId) -> Result<u64, UploadError> {
        let info = shed.info(id)?;
        let expired = is_past(
            shed.changed(id, Piece::Data)?,
            self.share.rules().upload_expiry,
        );
        if expired || !info.belongs_to(self.visitor(), &self.share.root.prefix) {
            return Err(io::ErrorKind::NotFound.into());
        }
        if info.role != Role::Partial {
            return Err(UploadError::NotPartial);
        }
        let size = shed.size(id)?;
        if info.length == Some(size) {
            Ok(size)
        } else {
            Err(UploadError::Unfinished)
        }
    }

    fn join(
        &self,
        id: UploadId,
        shed: &Shed,
        info: Info,
        data: File,
        parts: &[UploadId],
    ) -> Result<Progress, UploadError> {
        // By this a sweep knows that it is alive.
        flock(&data, FlockOperation::LockExclusive).map_err(io::Error::from)?;
        let mut size = 0;
        for part in parts {
            let length = self.part_length(shed, *part)?;
            copy(&shed.open(*part, Piece::Data)?, &data, size, length)?;
            size += length;
        }
        let mut turn = Turn::look(shed.open(id, Piece::Turn)?)?;
        turn.take()?;
        self.conclude(Open {
            id,
            shed: Shed::new(self.share.root.store.folder()?),
            info,
            turn,
            data,
            size,
        })
    }
}

/// Copies the first `length` bytes of a part to `at`.
fn copy(part: &File, to: &File, at: u64, length: u64) -> io::Result<()> {
    let (mut from, mut into) = (0, at);
    while from < length {
        let step = (length - from).min(STEP) as usize;
        match copy_file_range(part, Some(&mut from), to, Some(&mut into), step) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(_) | Err(Errno::INTR) => {}
            Err(Errno::NOSYS | Errno::OPNOTSUPP | Errno::XDEV | Errno::INVAL) => {
                return copy_by_hand(part, from, to, into, length - from);
            }
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(())
}

fn copy_by_hand(
    part: &File,
    mut from: u64,
    to: &File,
    mut into: u64,
    length: u64,
) -> io::Result<()> {
    use std::os::unix::fs::FileExt as _;
    let end = from + length;
    let mut buffer = vec![0; BUFFER];
    while from < end {
        let step = (end - from).min(BUFFER as u64) as usize;
        part.read_exact_at(&mut buffer[..step], from)?;
        to.write_all_at(&buffer[..step], into)?;
        from += step as u64;
        into += step as u64;
    }
    Ok(())
}
