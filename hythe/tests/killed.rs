//! Uploads interrupted by `kill -9` of the server: what was acknowledged is
//! there, what has a name is whole, and nothing stays behind.

mod common;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use common::{Dice, PATIENCE, Served, connect, content, eventually};
use sha2::{Digest, Sha256};

/// How many uploads are interrupted.
const KILLS: usize = 200;

/// Lives of the server after which the test gives up: some uploads are through
/// before the signal comes.
const LIVES: usize = 2 * KILLS;

/// What the moments and lengths are drawn from, so that a failure can be had
/// again.
const SEED: u64 = 0x6879_7468_6500_0004;

/// The longest time between the chosen byte and the signal, so that it also
/// strikes while the server does what follows the last byte.
const LATEST: Duration = Duration::from_millis(4);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// PATCH after PATCH.
    Tus,
    /// One PUT, of known length or chunked, perhaps over an older file.
    Put,
    /// A browser's form.
    Form,
}

/// An upload as the client knows it.
struct Upload {
    kind: Kind,
    name: String,
    bytes: Arc<Vec<u8>>,
    /// How much goes into one PATCH; whether a PUT is chunked.
    step: usize,
    /// Where it is continued, once that is known.
    location: Option<String>,
    /// What the server said that it has.
    acknowledged: u64,
    done: bool,
}

/// What a name may stand for: what was there before, and what was sent.
type Allowed = BTreeMap<String, Vec<Arc<Vec<u8>>>>;

#[test]
fn two_hundred_uploads_interrupted_by_kill() {
    println!("seed {SEED:#x}");
    let mut dice = Dice(SEED);
    let share = tempfile::tempdir().unwrap();
    let mut allowed = Allowed::new();
    let mut interrupted: Vec<Upload> = Vec::new();
    let (mut kills, mut lives) = (BTreeMap::new(), 0);
    while kills.values().sum::<usize>() < KILLS {
        lives += 1;
        assert!(lives <= LIVES, "too many uploads were through: {kills:?}");
        let served = start(share.path(), &mut dice);
        let address = served.address("http");
        check_parts(share.path(), &interrupted);
        // Most are continued right away; some wait for later, or for ever.
        if dice.below(8) > 0
            && let Some(upload) = interrupted.pop()
        {
            resume(address, upload, share.path());
        }

        let busy = |name: &str| interrupted.iter().any(|upload| upload.name == name);
        let upload = draw(&mut dice, lives, &mut allowed, busy);
        let upload = interrupt(served, upload, &mut dice);
        check_names(share.path(), &allowed, &upload);
        if upload.done {
            continue;
        }
        *kills.entry(format!("{:?}", upload.kind)).or_default() += 1;
        if upload.location.is_some() || upload.kind != Kind::Tus {
            interrupted.push(upload);
        }
    }
    println!("{kills:?} in {lives} lives");

    let served = start(share.path(), &mut dice);
    let address = served.address("http");
    let (mut continued, mut abandoned) = (0, Vec::new());
    for upload in interrupted {
        if upload.kind == Kind::Tus && abandoned.len() < 3 {
            abandoned.push(upload.name);
        } else {
            continued += 1;
            resume(address, upload, share.path());
        }
    }
    println!("{continued} continued at the end, {abandoned:?} left to expire");
    served.stop();
    for (name, versions) in &allowed {
        let Ok(found) = fs::read(share.path().join(name)) else {
            assert!(abandoned.contains(name), "{name} is missing");
            continue;
        };
        let there = versions.iter().any(|bytes| found == ***bytes);
        assert!(there, "{name} is not what was sent");
    }
    let left = pieces(share.path());
    assert!(!left.is_empty(), "nothing was left to expire");
    forget_finished(share.path());
    eventually("nothing is left behind", || {
        Served::http(share.path(), &["--upload-expiry", "1"]).stop();
        pieces(share.path()).is_empty()
    });
}

fn start(share: &Path, dice: &mut Dice) -> Served {
    let model = ["cores", "events", "threads"][dice.below(3) as usize];
    Served::http(share, &["--allow", "write", "--model", model])
}

/// An upload of some kind and length, for a new name or over an old file.
fn draw(
    dice: &mut Dice,
    life: usize,
    allowed: &mut Allowed,
    busy: impl Fn(&str) -> bool,
) -> Upload {
    let kind = [Kind::Tus, Kind::Put, Kind::Form][dice.below(3) as usize];
    let bytes = Arc::new(content(1 << 20 | dice.below(7 << 20) as usize));
    let old = kind != Kind::Form && dice.below(3) == 0;
    let whole = allowed
        .iter()
        .filter(|(name, versions)| versions.len() == 1 && !busy(name))
        .nth(life % 7);
    let name = match whole {
        Some((name, _)) if old => name.clone(),
        _ => format!("{life} {kind:?}.bin"),
    };
    allowed
        .entry(name.clone())
        .or_default()
        .push(Arc::clone(&bytes));
    Upload {
        kind,
        name,
        bytes,
        step: (64 << 10) + dice.below(1 << 20) as usize,
        location: None,
        acknowledged: 0,
        done: false,
    }
}

/// Begins an upload and kills the server when it has got as far as chance will
/// have it.
fn interrupt(mut served: Served, upload: Upload, dice: &mut Dice) -> Upload {
    let address = served.address("http");
    let moment = dice.below(upload.bytes.len() as u64 + 1);
    let late = LATEST.mul_f64(dice.below(1000) as f64 / 1000.0);
    let sent = Arc::new(AtomicU64::new(0));
    let sender = {
        let sent = Arc::clone(&sent);
        thread::spawn(move || {
            let mut upload = upload;
            let told = upload.send(address, &sent);
            // The connection dies with the server; that is what this is about.
            upload.done = told.is_ok();
            upload
        })
    };
    let until = Instant::now() + PATIENCE;
    while sent.load(Ordering::Relaxed) < moment && !sender.is_finished() {
        assert!(Instant::now() < until, "the upload does not get on");
        thread::yield_now();
    }
    let strike = Instant::now() + late;
    while Instant::now() < strike {
        thread::yield_now();
    }
    served.child.kill().unwrap();
    served.child.wait().unwrap();
    sender.join().unwrap()
}

/// Brings an interrupted upload to its end.
fn resume(address: SocketAddr, mut upload: Upload, share: &Path) {
    let sent = AtomicU64::new(0);
    if let Some(location) = &upload.location {
        let (status, offset) = ask(
            address,
            &format!("HEAD {location} HTTP/1.1\r\nHost: quay\r\nTus-Resumable: 1.0.0\r\n\r\n"),
        )
        .unwrap();
        assert_eq!(status, 200, "{}", upload.name);
        let offset = offset.unwrap();
        assert!(
            offset >= upload.acknowledged,
            "{} bytes were acknowledged and {offset} are there",
            upload.acknowledged
        );
        upload.acknowledged = offset;
    }
    upload.send(address, &sent).unwrap();
    if upload.kind == Kind::Form {
        // Names that are taken are refused; this one may have been there.
        assert!(share.join(&upload.name).is_file());
    }
    let found = fs::read(share.join(&upload.name)).unwrap();
    assert_eq!(Sha256::digest(found), Sha256::digest(&*upload.bytes));
}

impl Upload {
    /// Sends what is still to be sent, and counts it.
    fn send(&mut self, address: SocketAddr, sent: &AtomicU64) -> io::Result<()> {
        match self.kind {
            Kind::Tus => self.send_tus(address, sent),
            Kind::Put => self.send_put(address, sent),
            Kind::Form => self.send_form(address, sent),
        }
    }

    fn send_tus(&mut self, address: SocketAddr, sent: &AtomicU64) -> io::Result<()> {
        let mut link = Link::new(address)?;
        if self.location.is_none() {
            let name = base64(self.name.as_bytes());
            let length = self.bytes.len();
            link.send(
                format!(
                    "POST / HTTP/1.1\r\nHost: quay\r\nTus-Resumable: 1.0.0\r\n\
                     Upload-Length: {length}\r\nUpload-Metadata: filename {name}\r\n\
                     Content-Length: 0\r\n\r\n"
                )
                .as_bytes(),
            )?;
            let (status, fields) = link.reply()?;
            assert_eq!(status, 201);
            self.location = Some(fields["location"].clone());
        }
        let location = self.location.clone().unwrap();
        // Also where all of it is there: only the last reply was lost, then.
        loop {
            let at = self.acknowledged as usize;
            let end = self.bytes.len().min(at + self.step);
            if at == end {
                return Ok(());
            }
            let length = end - at;
            link.send(
                format!(
                    "PATCH {location} HTTP/1.1\r\nHost: quay\r\nTus-Resumable: 1.0.0\r\n\
                     Content-Type: application/offset+octet-stream\r\n\
                     Upload-Offset: {at}\r\nContent-Length: {length}\r\n\r\n"
                )
                .as_bytes(),
            )?;
            link.send_counted(&self.bytes[at..end], sent)?;
            let (status, fields) = link.reply()?;
            assert_eq!(status, 204);
            self.acknowledged = fields["upload-offset"].parse().unwrap();
            assert_eq!(self.acknowledged, end as u64);
        }
    }

    fn send_put(&mut self, address: SocketAddr, sent: &AtomicU64) -> io::Result<()> {
        let mut link = Link::new(address)?;
        let target = self.name.replace(' ', "%20");
        let length = self.bytes.len();
        let chunked = self.step.is_multiple_of(2);
        let framing = if chunked {
            "Transfer-Encoding: chunked".to_owned()
        } else {
            format!("Content-Length: {length}")
        };
        link.send(format!("PUT /{target} HTTP/1.1\r\nHost: quay\r\n{framing}\r\n\r\n").as_bytes())?;
        if chunked {
            for chunk in self.bytes.chunks(self.step) {
                link.send(format!("{:x}\r\n", chunk.len()).as_bytes())?;
                link.send_counted(chunk, sent)?;
                link.send(b"\r\n")?;
            }
            link.send(b"0\r\n\r\n")?;
        } else {
            link.send_counted(&self.bytes, sent)?;
        }
        let (status, _) = link.reply()?;
        assert!(matches!(status, 201 | 204), "{status}");
        Ok(())
    }

    fn send_form(&mut self, address: SocketAddr, sent: &AtomicU64) -> io::Result<()> {
        const BOUNDARY: &str = "quay-edge";
        let mut link = Link::new(address)?;
        let head = format!(
            "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"file\"; \
             filename=\"{}\"\r\nContent-Type: application/octet-stream\r\n\r\n",
            self.name
        );
        let foot = format!("\r\n--{BOUNDARY}--\r\n");
        let length = head.len() + self.bytes.len() + foot.len();
        link.send(
            format!(
                "POST / HTTP/1.1\r\nHost: quay\r\nContent-Length: {length}\r\n\
                 Content-Type: multipart/form-data; boundary={BOUNDARY}\r\n\r\n{head}"
            )
            .as_bytes(),
        )?;
        link.send_counted(&self.bytes, sent)?;
        link.send(foot.as_bytes())?;
        let (status, _) = link.reply()?;
        assert!(matches!(status, 201 | 303 | 409), "{status}");
        Ok(())
    }
}

/// A connection that may die.
struct Link(BufReader<TcpStream>);

impl Link {
    fn new(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self(BufReader::new(stream)))
    }

    fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.get_mut().write_all(bytes)
    }

    fn send_counted(&mut self, bytes: &[u8], sent: &AtomicU64) -> io::Result<()> {
        for piece in bytes.chunks(16 << 10) {
            self.send(piece)?;
            sent.fetch_add(piece.len() as u64, Ordering::Relaxed);
        }
        Ok(())
    }

    /// The status and fields, by their names in lower case; a body is skipped.
    fn reply(&mut self) -> io::Result<(u16, BTreeMap<String, String>)> {
        let status = self.line()?;
        let status = status.split(' ').nth(1).unwrap().parse().unwrap();
        let mut fields = BTreeMap::new();
        loop {
            let line = self.line()?;
            let Some((name, value)) = line.split_once(": ") else {
                break;
            };
            fields.insert(name.to_ascii_lowercase(), value.to_owned());
        }
        let length = fields.get("content-length").map(|text| text.parse());
        let mut body = vec![0; length.unwrap_or(Ok(0)).unwrap()];
        self.0.read_exact(&mut body)?;
        Ok((status, fields))
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        self.0.read_line(&mut line)?;
        match line.strip_suffix("\r\n") {
            Some(line) => Ok(line.to_owned()),
            None => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}

/// One request without a body: the status and the upload's offset.
fn ask(address: SocketAddr, request: &str) -> io::Result<(u16, Option<u64>)> {
    let mut link = Link(BufReader::new(connect(address)));
    link.send(request.as_bytes())?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        link.0.read_until(b'\n', &mut head)?;
    }
    let head = String::from_utf8(head).unwrap();
    let offset = head
        .lines()
        .find_map(|line| line.strip_prefix("Upload-Offset: "));
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Ok((status, offset.map(|text| text.parse().unwrap())))
}

/// Whatever has a name is whole: each name is known, and each file what was
/// sent under it.
fn check_names(share: &Path, allowed: &Allowed, last: &Upload) {
    for entry in fs::read_dir(share).unwrap().map(Result::unwrap) {
        let name = entry.file_name().into_string().unwrap();
        if name == ".hythe" {
            continue;
        }
        let versions = allowed.get(&name);
        let versions = versions.unwrap_or_else(|| panic!("nobody sent {name:?}"));
        let length = entry.metadata().unwrap().len();
        let fits = |bytes: &&Arc<Vec<u8>>| bytes.len() as u64 == length;
        assert!(
            versions.iter().any(|bytes| fits(&bytes)),
            "{name:?}: {length}"
        );
        if name == last.name {
            let found = fs::read(entry.path()).unwrap();
            assert!(versions.iter().any(|bytes| found == ***bytes), "{name:?}");
        }
    }
}

/// After a start, all parts are of uploads that can be continued, and each
/// begins as what was sent.
fn check_parts(share: &Path, interrupted: &[Upload]) {
    for upload in interrupted {
        let Some(location) = &upload.location else {
            continue;
        };
        let id = location.rsplit('/').next().unwrap();
        let path = share.join(".hythe/uploads").join(id);
        // It is gone from there when it was put in its place.
        let Ok(part) = fs::read(path) else {
            let whole = fs::read(share.join(&upload.name)).unwrap();
            assert!(whole == **upload.bytes, "{}", upload.name);
            continue;
        };
        assert!(part.len() as u64 >= upload.acknowledged);
        assert!(upload.bytes.starts_with(&part), "not what was sent");
    }
    let one_shot = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_str().unwrap();
        name.starts_with("put-")
    };
    let stray: Vec<_> = pieces(share).into_iter().filter(one_shot).collect();
    assert_eq!(stray, Vec::<PathBuf>::new());
}

/// All files of uploads in the hidden folder.
fn pieces(share: &Path) -> Vec<PathBuf> {
    files(share.join(".hythe/uploads"))
}

/// All files in and below a folder.
fn files(folder: PathBuf) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(folder) else {
            continue;
        };
        for entry in entries.map(Result::unwrap) {
            match entry.file_type().unwrap().is_dir() {
                true => folders.push(entry.path()),
                false => found.push(entry.path()),
            }
        }
    }
    found
}

/// Makes it look as if it was days ago that uploads were finished.
fn forget_finished(share: &Path) {
    let days = Duration::from_secs(2 * 24 * 60 * 60);
    for path in files(share.join(".hythe/uploads/finished")) {
        let file = File::options().write(true).open(path).unwrap();
        file.set_modified(SystemTime::now() - days).unwrap();
    }
}

fn base64(bytes: &[u8]) -> String {
    use base64ct::{Base64, Encoding};
    Base64::encode_string(bytes)
}
