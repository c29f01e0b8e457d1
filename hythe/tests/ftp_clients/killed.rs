//! Uploads whose client is killed amid the file, and that another client ends.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use serde_json::json;
use sha2::{Digest, Sha256};

use super::common::{Dice, content, eventually, shown, tool};
use super::{Place, Tls, script};

/// How many are killed.
const KILLS: usize = 100;

/// How many at a time: what is waited for is processes that begin.
const TOGETHER: usize = 3;

/// What the moments and lengths are drawn from, so that a failure can be had
/// again.
const SEED: u64 = 0x6879_7468_6500_0021;

/// Who goes on, and how.
#[derive(Clone, Copy, Debug)]
enum Ending {
    /// REST and STOR, as ftplib has it.
    Rest,
    /// REST and STOR, as lftp has it.
    Lftp,
    /// APPE, as ftplib has it.
    Appe,
    /// APPE, which is what curl -C - makes of it.
    Curl,
}

#[derive(Debug)]
struct Upload {
    number: usize,
    length: usize,
    /// After how many bytes the client is killed.
    moment: usize,
    by_curl: bool,
    tls: Tls,
    ending: Ending,
}

impl Upload {
    fn draw(number: usize, dice: &mut Dice) -> Self {
        let length = 1_000_000 + dice.below(2_000_000) as usize;
        let endings = [Ending::Rest, Ending::Appe, Ending::Lftp, Ending::Curl];
        Self {
            number,
            length,
            moment: 1 + dice.below(length as u64 - 1) as usize,
            by_curl: dice.below(2) == 0,
            tls: [Tls::Never, Tls::Explicit, Tls::Implicit][dice.below(3) as usize],
            ending: endings[number % endings.len()],
        }
    }

    /// What it is called there.
    fn name(&self) -> String {
        format!("{}.bin", self.number)
    }

    fn url(&self, place: &Place) -> String {
        let scheme = if self.tls == Tls::Implicit {
            "ftps"
        } else {
            "ftp"
        };
        format!("{scheme}://{}/{}", place.address(self.tls), self.name())
    }

    fn curl(&self, place: &Place) -> Command {
        let mut curl = tool("curl");
        curl.args(["-q", "-sS", "--cacert"])
            .arg(place.certificate());
        if self.tls == Tls::Explicit {
            curl.arg("--ssl-reqd");
        }
        curl.arg(self.url(place));
        curl
    }

    fn ftplib(&self, place: &Place, mut wish: serde_json::Value) -> Command {
        let address = place.address(self.tls);
        wish["host"] = json!(address.ip().to_string());
        wish["port"] = json!(address.port());
        wish["tls"] = json!(format!("{:?}", self.tls));
        wish["trust"] = json!(place.certificate());
        let mut python = script("python3", "ftplib_client.py");
        python.arg(wish.to_string());
        python
    }

    fn lftp(&self, place: &Place, file: &Path) -> Command {
        let mut lftp = tool("lftp");
        let allowed = if self.tls == Tls::Never {
            "allow no"
        } else {
            "allow-anonymous yes; set ftp:ssl-force yes"
        };
        lftp.args(["--norc", "-c"]).arg(format!(
            "set cmd:fail-exit yes; set net:max-retries 1; set ssl:ca-file {}; \
             set ftp:ssl-{allowed}; set ftp:ssl-protect-data yes; put -c {} -o {}",
            place.certificate().display(),
            file.display(),
            self.url(place),
        ));
        lftp
    }

    /// Begins it with a client that sends what it is given.
    fn begin(&self, place: &Place) -> Child {
        let mut command = if self.by_curl {
            let mut curl = self.curl(place);
            curl.args(["-T", "-"]);
            curl
        } else {
            let there = format!("/{}", self.name());
            self.ftplib(
                place,
                json!({"task": "SendInput", "here": "", "there": there}),
            )
        };
        command.stdin(Stdio::piped()).stdout(Stdio::null());
        command.spawn().unwrap()
    }

    fn go_on(&self, place: &Place, file: &Path) -> Output {
        let wish = |append: bool| {
            json!({
                "task": "GoOnUp", "append": append,
                "here": file.parent(), "there": "", "name": self.name(),
            })
        };
        let mut command = match self.ending {
            Ending::Rest => self.ftplib(place, wish(false)),
            Ending::Appe => self.ftplib(place, wish(true)),
            Ending::Lftp => self.lftp(place, file),
            Ending::Curl => {
                let mut curl = self.curl(place);
                curl.args(["-C", "-", "-T"]).arg(file);
                curl
            }
        };
        command.stdin(Stdio::null()).output().unwrap()
    }

    /// How many lines the log has of this file.
    fn lines(&self, place: &Place) -> usize {
        let log = place.served.log();
        let is_upload = |line: &&str| line.contains(" STOR ") || line.contains(" APPE ");
        let name = format!(" /{} ", self.name());
        log.lines()
            .filter(is_upload)
            .filter(|line| line.contains(&name))
            .count()
    }

    /// From its beginning to its end; how much there was when the client died.
    fn play(&self, place: &Place, folder: &Path) -> usize {
        let bytes = content(self.length);
        let (here, there) = (
            folder.join(self.name()),
            place.share.path().join(self.name()),
        );
        fs::write(&here, &bytes).unwrap();
        let mut client = self.begin(place);
        let mut stdin = client.stdin.take().unwrap();
        stdin.write_all(&bytes[..self.moment]).unwrap();
        let size = || there.metadata().map_or(0, |meta| meta.len() as usize);
        eventually("something has come", || size() > 0);
        client.kill().unwrap();
        client.wait().unwrap();
        drop(stdin);
        // It may still write what had come; when it has ended, it says so.
        eventually("the end of the killed upload", || self.lines(place) == 1);
        let part = size();
        assert!(part <= self.moment, "{part} of {self:?}");

        let output = self.go_on(place, &here);
        let case = format!("{part} of {self:?}: {}", shown(&output));
        assert!(output.status.success(), "{case}\n{}", place.served.log());
        let (found, sent) = (fs::read(&there).unwrap(), Sha256::digest(&bytes));
        assert_eq!(Sha256::digest(&found), sent, "{case}");
        // It has gone on, and not begun again.
        let rest = format!(" /{} 226 {}\n", self.name(), self.length - part);
        eventually("only what was missing has come", || {
            place.served.log().contains(&rest)
        });
        fs::remove_file(here).unwrap();
        fs::remove_file(there).unwrap();
        part
    }
}

#[test]
fn a_hundred_uploads_are_killed_and_gone_on_with() {
    println!("seed {SEED:#x}");
    let mut dice = Dice(SEED);
    let uploads: Vec<Upload> = (0..KILLS)
        .map(|number| Upload::draw(number, &mut dice))
        .collect();
    let place = Place::with("127.0.0.1", &["--tls-self-signed"]);
    let folder = tempfile::tempdir().unwrap();
    let (next, parts) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..TOGETHER {
            scope.spawn(|| {
                while let Some(upload) = uploads.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let part = upload.play(&place, folder.path());
                    parts.lock().unwrap().push(part);
                }
            });
        }
    });
    let parts = parts.into_inner().unwrap();
    assert_eq!(parts.len(), KILLS);
    println!(
        "{} bytes were kept of the killed uploads",
        parts.iter().sum::<usize>()
    );
    place.close();
}
