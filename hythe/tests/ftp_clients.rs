//! FTP with the programs and libraries that people have: trees in both
//! directions, what was interrupted, and what changes names, in the clear and
//! under TLS; and HTTPS, which shows the same certificate.

mod common;

#[path = "ftp_clients/certificate.rs"]
mod certificate;
#[path = "ftp_clients/https.rs"]
mod https;
#[path = "ftp_clients/killed.rs"]
mod killed;
#[path = "ftp_clients/programs.rs"]
mod programs;
#[path = "ftp_clients/required.rs"]
mod required;
#[path = "ftp_clients/table.rs"]
mod table;

use std::fs;
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread;

use tempfile::TempDir;

use common::{Served, eventually, hythe, tool};

/// When TLS begins on a control connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tls {
    Never,
    /// When the client asks for it.
    Explicit,
    /// With the first byte.
    Implicit,
}

/// A share that visitors may write to, served by FTP in every way there is and
/// by HTTPS, and the home of whoever serves it.
struct Place {
    share: TempDir,
    home: TempDir,
    served: Served,
    /// What is [busy](Self::busy) while nobody is there.
    idle: (usize, usize),
}

impl Place {
    fn with(host: &str, options: &[&str]) -> Self {
        let (share, home) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let served = serve(share.path(), home.path(), host, options);
        Self::of(share, home, served)
    }

    fn of(share: TempDir, home: TempDir, served: Served) -> Self {
        let mut place = Self {
            share,
            home,
            served,
            idle: (0, 0),
        };
        let cores = thread::available_parallelism().unwrap().get();
        eventually("a loop for each core", || {
            ["[eventpoll]", "[eventfd]"]
                .iter()
                .all(|kind| place.descriptors_of(kind) == cores)
        });
        place.idle = place.busy();
        place
    }

    fn descriptors_of(&self, kind: &str) -> usize {
        let folder = format!("/proc/{}/fd", self.served.child.id());
        let links = fs::read_dir(folder).unwrap();
        let links = links.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
        links
            .filter(|link| link.ends_with(format!("anon_inode:{kind}")))
            .count()
    }

    /// Descriptors, and threads but for those that help when the disk is waited
    /// for: these are kept.
    fn busy(&self) -> (usize, usize) {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.served.child.id())).unwrap();
        let names =
            tasks.filter_map(|task| fs::read_to_string(task.ok()?.path().join("comm")).ok());
        let threads = names.filter(|name| !name.starts_with("blocking-"));
        (self.served.descriptors(), threads.count())
    }

    /// What clients have to trust.
    fn certificate(&self) -> PathBuf {
        self.home.path().join(".hythe/self-signed.pem")
    }

    /// Where to go for TLS of this kind.
    fn address(&self, tls: Tls) -> SocketAddr {
        self.served.address(match tls {
            Tls::Never | Tls::Explicit => "ftp",
            Tls::Implicit => "ftps",
        })
    }

    /// Nothing is left of those who came; the log.
    fn close(self) -> String {
        eventually("descriptors and threads are those of the beginning", || {
            self.busy() == self.idle
        });
        self.served.stop()
    }
}

fn serve(share: &Path, home: &Path, host: &str, options: &[&str]) -> Served {
    let mut command = hythe();
    command.arg("serve").arg(share).env("HOME", home);
    for protocol in ["--ftp", "--ftps", "--https"] {
        command.args([
            protocol,
            &SocketAddr::new(host.parse().unwrap(), 0).to_string(),
        ]);
    }
    command.args(["--http", "off", "--gopher", "off", "--allow", "write"]);
    command.args(options);
    Served::spawn(command)
}

/// A script of this folder, for an interpreter from Debian.
fn script(interpreter: &str, name: &str) -> Command {
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/ftp_clients");
    let mut command = tool(interpreter);
    command.arg(scripts.join(name));
    command
}

/// Where scripts/test has put the clients from npm.
fn tools() -> PathBuf {
    let tools = Path::new(env!("CARGO_TARGET_TMPDIR")).join("../tools");
    let installed = tools.join("node/node_modules/basic-ftp").is_dir();
    assert!(installed, "run scripts/test, which installs the clients");
    tools
}

/// Runs a client that reads its commands from standard input.
fn converse(command: &mut Command, commands: &[u8]) -> Output {
    let pipes = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = pipes.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(commands).unwrap();
    drop(stdin);
    child.wait_with_output().unwrap()
}
