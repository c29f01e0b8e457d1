//! A folder and all below it as one file, made while it is sent.
//!
//! [`Tar`] and [`Zip`] differ only in how they write an entry down (`Format`);
//! what goes in is decided once, in `Archive`. Every name is below one top
//! folder. Hidden files are in it; symbolic links to files are archived as what
//! they lead to, those to folders left out. What the server may not read is left
//! out too and a warning logged; for what cannot be had for any other reason the
//! archive fails, so that one that ends as it should is whole.
//! Nothing is compressed: most of what people share already is, and a reader
//! can ask for it on the way.

use std::fs::File;
use std::io::{self, Read, Write};
use std::sync::{Arc, Mutex, PoisonError};

use tar::{EntryType, Header};
use zip::write::{SimpleFileOptions, StreamWriter};
use zip::{CompressionMethod, DateTime, ZipWriter};

use super::walk::{Step, Walk};
use super::{DEPTH_LIMIT, Entry, Meta, Modified, PIECE, Pieces, RelPath, View, is_skipped};

/// How much of a file is read at a time.
const CHUNK: usize = 64 * 1024;

/// How many steps of a walk make a piece that is not full: a folder of empty or
/// unreadable things must not keep a thread for long.
const STEPS: usize = 1024;

/// How many of the files that are not in an archive as they are on the disk are
/// named in the log. Whoever asks for archives must not be able to fill it.
const NAMED: usize = 16;

/// What is logged of a folder or file that the server may not read.
const CLOSED: &str = "left out of the archive: it, or something in it, may not be read";

/// What is logged of a file that had fewer bytes in the end than at first.
const SHRUNK: &str = "filled up with zeros: it shrank while it was archived";

/// The size of a tar archive's blocks, which everything in it is padded to.
const BLOCK: usize = 512;

/// A folder as a tar archive in the GNU dialect: names are bytes of any length,
/// files of any size.
pub struct Tar(Archive<TarFormat>);

/// A folder as a zip archive, with the 64-bit extensions where they are needed.
///
/// Names are UTF-8. What is not, and the backslash, which is a separator to some
/// readers, is written as `%XX`.
///
/// Memory grows by about 200 bytes per entry, because a zip archive ends with a
/// table of its contents.
pub struct Zip(Archive<ZipFormat>);

impl Tar {
    /// An archive of the folder at `path`.
    ///
    /// # Errors
    /// As [`View::list`].
    pub fn new(view: &View, path: &RelPath) -> io::Result<Self> {
        Archive::new(view, path, TarFormat).map(Self)
    }
}

impl Zip {
    /// An archive of the folder at `path`.
    ///
    /// # Errors
    /// As [`View::list`].
    pub fn new(view: &View, path: &RelPath) -> io::Result<Self> {
        Archive::new(view, path, ZipFormat::new()).map(Self)
    }

    /// An archive of some of what is in the folder at `path`: what has these
    /// names, folders with all that is in them.
    ///
    /// # Errors
    /// As [`View::list`]; `NotFound` where there is nothing of one of the names.
    pub fn of(view: &View, path: &RelPath, names: Vec<Vec<u8>>) -> io::Result<Self> {
        Archive::of(view, path, names, ZipFormat::new()).map(Self)
    }
}

impl Pieces for Tar {
    fn piece(&mut self, out: &mut Vec<u8>) -> io::Result<bool> {
        self.0.piece(out)
    }
}

impl Pieces for Zip {
    fn piece(&mut self, out: &mut Vec<u8>) -> io::Result<bool> {
        self.0.piece(out)
    }
}

/// How an archive is written down. Names end in a slash for folders.
trait Format: Send {
    /// Writes an entry's beginning. `false` if it cannot have this one, in which
    /// case nothing has been written.
    fn begin(&mut self, name: &[u8], meta: &Meta, out: &mut Vec<u8>) -> io::Result<bool>;
    /// Writes some of a file's content; all of it adds up to `meta.size`.
    fn content(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> io::Result<()>;
    /// Writes what follows the content of a file of `size` bytes.
    fn end_file(&mut self, size: u64, out: &mut Vec<u8>) -> io::Result<()>;
    /// Writes what follows the last entry.
    fn finish(&mut self, out: &mut Vec<u8>) -> io::Result<()>;
}

struct Archive<F> {
    view: View,
    /// `None` between two things that were chosen.
    walk: Option<Walk>,
    /// What was chosen and is still to be archived, the next one last.
    chosen: Vec<RelPath>,
    /// What is archived, and what its folder is called in the archive.
    base: RelPath,
    top: Vec<u8>,
    format: F,
    state: State,
    chunk: Box<[u8]>,
    /// How many warnings there were.
    flaws: usize,
}

enum State {
    /// The top folder, described by this, has not been written.
    New(Meta),
    /// Ready for the next entry.
    Walking,
    /// In the middle of a file.
    Reading(RelPath, Content),
    Finished,
}

impl<F: Format> Archive<F> {
    fn new(view: &View, path: &RelPath, format: F) -> io::Result<Self> {
        let walk = Walk::new(view.clone(), path.clone(), DEPTH_LIMIT)?;
        let mut archive = Self::empty(view, path, format)?;
        archive.walk = Some(walk);
        Ok(archive)
    }

    fn of(view: &View, path: &RelPath, names: Vec<Vec<u8>>, format: F) -> io::Result<Self> {
        let mut archive = Self::empty(view, path, format)?;
        if !view.metadata(path)?.is_folder() {
            return Err(io::ErrorKind::NotADirectory.into());
        }
        for name in names.iter().rev() {
            let chosen = path.join(name).map_err(|_| io::ErrorKind::NotFound)?;
            view.metadata(&chosen)?;
            archive.chosen.push(chosen);
        }
        Ok(archive)
    }

    /// An archive with nothing in it but the top folder.
    fn empty(view: &View, path: &RelPath, format: F) -> io::Result<Self> {
        let top = path
            .name()
            .unwrap_or_else(|| view.share().name().as_bytes())
            .to_vec();
        Ok(Self {
            view: view.clone(),
            walk: None,
            chosen: Vec::new(),
            base: path.clone(),
            top,
            format,
            state: State::New(view.metadata(path)?),
            chunk: vec![0; CHUNK].into(),
            flaws: 0,
        })
    }

    fn piece(&mut self, out: &mut Vec<u8>) -> io::Result<bool> {
        let full = out.len() + PIECE;
        for _ in 0..STEPS {
            self.step(out)?;
            if matches!(self.state, State::Finished) {
                return Ok(false);
            }
            if out.len() >= full {
                break;
            }
        }
        Ok(true)
    }

    fn step(&mut self, out: &mut Vec<u8>) -> io::Result<()> {
        match &mut self.state {
            State::New(meta) => {
                self.format
                    .begin(&[&self.top[..], b"/"].concat(), meta, out)?;
                self.state = State::Walking;
            }
            State::Walking => match self.next()? {
                Step::Found(path, entry) if !entry.meta.is_folder() => self.begin(path, out)?,
                // A link to a folder is found but not entered. An empty folder
                // in its place would be a lie.
                Step::Found(..) | Step::Again => {}
                Step::Entering(path) => self.begin_folder(&path, out)?,
                Step::Closed(path) => self.warn(&path, CLOSED),
                Step::End => self.end(out)?,
            },
            State::Reading(path, content) if content.left == 0 => {
                self.format.end_file(content.size, out)?;
                let shrunk = content.padded.then(|| std::mem::take(path));
                self.state = State::Walking;
                if let Some(path) = shrunk {
                    self.warn(&path, SHRUNK);
                }
            }
            State::Reading(_, content) => {
                let length = content.read(&mut self.chunk)?;
                self.format.content(&self.chunk[..length], out)?;
            }
            State::Finished => {}
        }
        Ok(())
    }

    /// What comes next: of the folder that is walked, or of what was chosen.
    fn next(&mut self) -> io::Result<Step> {
        let Some(walk) = &mut self.walk else {
            return self.choose();
        };
        match walk.step()? {
            Step::End if walk.cut().is_none() && !self.chosen.is_empty() => {
                self.walk = None;
                Ok(Step::Again)
            }
            step => Ok(step),
        }
    }

    /// Goes on to the next thing that was chosen.
    fn choose(&mut self) -> io::Result<Step> {
        let Some(path) = self.chosen.pop() else {
            return Ok(Step::End);
        };
        match self.view.metadata(&path) {
            Ok(meta) if meta.is_folder() => {}
            Ok(meta) => {
                let entry = Entry {
                    name: path.name().unwrap_or_default().into(),
                    meta,
                    symlink: false,
                    program: false,
                };
                return Ok(Step::Found(path, entry));
            }
            Err(error) if is_skipped(&error) => return Ok(Step::Again),
            Err(error) => return Err(error),
        }
        match Walk::new(self.view.clone(), path.clone(), DEPTH_LIMIT) {
            Ok(walk) => {
                self.walk = Some(walk);
                Ok(Step::Entering(path))
            }
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(Step::Closed(path)),
            Err(error) if is_skipped(&error) => Ok(Step::Again),
            Err(error) => Err(error),
        }
    }

    fn begin(&mut self, path: RelPath, out: &mut Vec<u8>) -> io::Result<()> {
        match self.view.open(&path) {
            Ok(opened) if !opened.meta.is_folder() => {
                let name = self.name(&path);
                if self.format.begin(&name, &opened.meta, out)? {
                    let content = Content::new(opened.file, opened.meta.size);
                    self.state = State::Reading(path, content);
                }
            }
            // Replaced by a folder since it was found.
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                self.warn(&path, CLOSED);
            }
            // Removed since then.
            Err(error) if is_skipped(&error) => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn begin_folder(&mut self, path: &RelPath, out: &mut Vec<u8>) -> io::Result<()> {
        match self.view.metadata(path) {
            Ok(meta) if meta.is_folder() => {
                let mut name = self.name(path);
                name.push(b'/');
                self.format.begin(&name, &meta, out)?;
            }
            Ok(_) => {}
            // The walk will see the same when it opens it.
            Err(error) if is_skipped(&error) => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// # Errors
    /// Where something is missing, instead of the archive's end.
    fn end(&mut self, out: &mut Vec<u8>) -> io::Result<()> {
        if let Some(path) = self.walk.as_ref().and_then(Walk::cut) {
            tracing::warn!(archive = %self.base, %path, "too deep or too many folders to archive");
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "it has folders that are too deep or too many to be archived",
            ));
        }
        if self.flaws > NAMED {
            let more = self.flaws - NAMED;
            tracing::warn!(archive = %self.base, more, "more could not be archived as they are");
        }
        self.format.finish(out)?;
        self.state = State::Finished;
        Ok(())
    }

    /// What the file or folder at `path` is called in the archive.
    fn name(&self, path: &RelPath) -> Vec<u8> {
        let mut name = self.top.clone();
        for component in path.components().skip(self.base.components().count()) {
            name.push(b'/');
            name.extend_from_slice(component);
        }
        name
    }

    fn warn(&mut self, path: &RelPath, flaw: &str) {
        self.flaws += 1;
        if self.flaws <= NAMED {
            tracing::warn!(archive = %self.base, %path, "{flaw}");
        }
    }
}

/// A file's bytes, as many as it had when it was opened, which is what the
/// archive has been told.
struct Content {
    file: File,
    size: u64,
    left: u64,
    /// Whether zeros stand for some of it.
    padded: bool,
}

impl Content {
    fn new(file: File, size: u64) -> Self {
        Self {
            file,
            size,
            left: size,
            padded: false,
        }
    }

    /// Fills the beginning of `chunk` and says how much. If the file has been
    /// cut short meanwhile, zeros stand for the rest, so that the archive can
    /// still be read.
    fn read(&mut self, chunk: &mut [u8]) -> io::Result<usize> {
        let wanted = usize::try_from(self.left)
            .unwrap_or(usize::MAX)
            .min(chunk.len());
        let chunk = &mut chunk[..wanted];
        let length = match self.file.read(chunk) {
            Ok(0) => {
                chunk.fill(0);
                self.padded = true;
                wanted
            }
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => 0,
            Err(error) => return Err(error),
        };
        self.left -= length as u64;
        Ok(length)
    }
}

struct TarFormat;

impl TarFormat {
    /// Pads with zeros to a whole block.
    fn pad(size: u64, out: &mut Vec<u8>) {
        let over = (size % BLOCK as u64) as usize;
        if over > 0 {
            out.resize(out.len() + BLOCK - over, 0);
        }
    }

    /// Writes a header block. A name that does not fit is cut, which is right
    /// only after `long_name`.
    fn header(kind: EntryType, name: &[u8], size: u64, mode: u32, mtime: u64, out: &mut Vec<u8>) {
        let mut header = Header::new_gnu();
        let field = &mut header.as_old_mut().name;
        let length = name.len().min(field.len());
        field[..length].copy_from_slice(&name[..length]);
        header.set_entry_type(kind);
        header.set_size(size);
        header.set_mode(mode);
        header.set_mtime(mtime);
        header.set_uid(0);
        header.set_gid(0);
        header.set_cksum();
        out.extend_from_slice(header.as_bytes());
    }

    /// Writes GNU's entry whose content is the name of the next, with a NUL.
    fn long_name(name: &[u8], out: &mut Vec<u8>) {
        let size = name.len() as u64 + 1;
        Self::header(
            EntryType::GNULongName,
            b"././@LongLink",
            size,
            0o644,
            0,
            out,
        );
        out.extend_from_slice(name);
        out.push(0);
        Self::pad(size, out);
    }
}

impl Format for TarFormat {
    fn begin(&mut self, name: &[u8], meta: &Meta, out: &mut Vec<u8>) -> io::Result<bool> {
        if name.len() > Header::new_gnu().as_old().name.len() {
            Self::long_name(name, out);
        }
        let mtime = meta.modified.secs.max(0) as u64;
        if meta.is_folder() {
            Self::header(EntryType::Directory, name, 0, 0o755, mtime, out);
        } else {
            Self::header(EntryType::Regular, name, meta.size, 0o644, mtime, out);
        }
        Ok(true)
    }

    fn content(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
        out.extend_from_slice(bytes);
        Ok(())
    }

    fn end_file(&mut self, size: u64, out: &mut Vec<u8>) -> io::Result<()> {
        Self::pad(size, out);
        Ok(())
    }

    /// Two blocks of zeros (POSIX `pax`, "ustar Interchange Format").
    fn finish(&mut self, out: &mut Vec<u8>) -> io::Result<()> {
        out.resize(out.len() + 2 * BLOCK, 0);
        Ok(())
    }
}

struct ZipFormat {
    /// `None` once finished.
    writer: Option<ZipWriter<StreamWriter<Sink>>>,
    sink: Sink,
}

/// Where the writer leaves its bytes until they are moved on. It owns its half
/// and gives no access to it, hence two owners.
#[derive(Clone, Default)]
struct Sink(Arc<Mutex<Vec<u8>>>);

impl Sink {
    fn drain(&self, out: &mut Vec<u8>) {
        out.append(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl ZipFormat {
    fn new() -> Self {
        let sink = Sink::default();
        Self {
            writer: Some(ZipWriter::new_stream(sink.clone())),
            sink,
        }
    }

    fn writer(&mut self) -> io::Result<&mut ZipWriter<StreamWriter<Sink>>> {
        self.writer
            .as_mut()
            .ok_or_else(|| io::Error::other("the archive is finished"))
    }
}

impl Format for ZipFormat {
    fn begin(&mut self, name: &[u8], meta: &Meta, out: &mut Vec<u8>) -> io::Result<bool> {
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Stored)
            .last_modified_time(dos_time(meta.modified))
            .large_file(meta.size >= u64::from(u32::MAX));
        let name = zip_name(name);
        let writer = self.writer()?;
        let begun = if meta.is_folder() {
            writer.add_directory(name, options.unix_permissions(0o755))
        } else {
            writer.start_file(name, options.unix_permissions(0o644))
        };
        self.sink.drain(out);
        match begun {
            Ok(()) => Ok(true),
            // The name is there already: a folder that changes while it is read
            // may show the same entry twice.
            Err(zip::result::ZipError::InvalidArchive(_)) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    fn content(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
        self.writer()?.write_all(bytes)?;
        self.sink.drain(out);
        Ok(())
    }

    /// The writer ends a file by itself when the next entry begins.
    fn end_file(&mut self, _size: u64, _out: &mut Vec<u8>) -> io::Result<()> {
        Ok(())
    }

    fn finish(&mut self, out: &mut Vec<u8>) -> io::Result<()> {
        if let Some(writer) = self.writer.take() {
            writer.finish()?;
        }
        self.sink.drain(out);
        Ok(())
    }
}

fn zip_name(name: &[u8]) -> String {
    let mut text = String::with_capacity(name.len());
    for chunk in name.utf8_chunks() {
        text.push_str(&chunk.valid().replace('\\', "%5C"));
        for byte in chunk.invalid() {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    text
}

/// In UTC; the earliest that zip knows, 1980, for what it cannot express.
fn dos_time(modified: Modified) -> DateTime {
    let civil = jiff::Timestamp::from_second(modified.secs)
        .map(|time| time.to_zoned(jiff::tz::TimeZone::UTC).datetime())
        .unwrap_or_default();
    DateTime::from_date_and_time(
        civil.year().try_into().unwrap_or(0),
        civil.month() as u8,
        civil.day() as u8,
        civil.hour() as u8,
        civil.minute() as u8,
        civil.second() as u8,
    )
    .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_shrinks_is_padded_and_one_that_grows_is_cut() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f");
        for (now, then) in [(&b"abc"[..], &b"abc\0\0"[..]), (b"abcdefgh", b"abcde")] {
            std::fs::write(&path, now).unwrap();
            let mut content = Content::new(File::open(&path).unwrap(), 5);
            let (mut chunk, mut got) = ([1; 4], Vec::new());
            while content.left > 0 {
                let length = content.read(&mut chunk).unwrap();
                got.extend_from_slice(&chunk[..length]);
            }
            assert_eq!(got, then);
        }
    }

    #[test]
    fn zip_names_are_text_without_backslashes() {
        assert_eq!(zip_name("中\n..\\x/".as_bytes()), "中\n..%5Cx/");
        assert_eq!(zip_name(b"a\xff\xe4\xb8"), "a%FF%E4%B8");
    }

    #[test]
    fn zip_times_are_clamped() {
        let year = |secs| dos_time(Modified { secs, nanos: 0 }).year();
        assert_eq!(year(1_700_000_000), 2023);
        assert_eq!(year(-1), 1980);
        assert_eq!(year(i64::MAX), 1980);
        assert_eq!(year(5_000_000_000), 1980);
    }
}
