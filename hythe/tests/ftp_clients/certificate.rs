//! The certificate that is shown: our own is the same after a restart, and
//! another one takes its place while clients are there.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Stdio};

use serde_json::json;
use tempfile::TempDir;

use super::common::{content, eventually, run, shown, tool};
use super::{Place, Tls, converse, script, serve};

/// More than the buffers between a server and a client hold, so that a download
/// of it does not end before the client goes on.
const LARGE: usize = 32 << 20;

/// The fingerprint of the certificate that whoever comes is shown.
fn shown_at(address: SocketAddr, begin: &[&str]) -> String {
    let mut client = tool("openssl");
    client.args(["s_client", "-connect", &address.to_string()]);
    let output = client.args(begin).stdin(Stdio::null()).output().unwrap();
    let mut reader = tool("openssl");
    reader.args(["x509", "-noout", "-fingerprint", "-sha256"]);
    let fingerprint = converse(&mut reader, &output.stdout);
    assert!(fingerprint.status.success(), "{}", shown(&output));
    let text = String::from_utf8(fingerprint.stdout).unwrap();
    text.trim().rsplit('=').next().unwrap().to_owned()
}

impl Place {
    /// The same on every port, or it is no one's.
    fn fingerprint(&self) -> String {
        let at = |protocol, begin: &[&str]| shown_at(self.served.address(protocol), begin);
        let all = [
            at("ftp", &["-starttls", "ftp"]),
            at("ftps", &[]),
            at("https", &[]),
        ];
        assert!(all.iter().all(|one| *one == all[0]), "{all:?}");
        all[0].clone()
    }

    fn waits_for(&self, line: &str) {
        eventually(line, || self.served.log().contains(line));
    }
}

#[test]
fn the_fingerprint_that_is_said_is_that_of_the_certificate_and_stays() {
    let place = Place::with("127.0.0.1", &["--tls-self-signed"]);
    let first = place.fingerprint();
    place.waits_for(&format!("fingerprint={first}"));
    let (share, home) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    fs::create_dir(home.path().join(".hythe")).unwrap();
    fs::copy(
        place.certificate(),
        home.path().join(".hythe/self-signed.pem"),
    )
    .unwrap();
    place.close();

    // Whoever has the folder goes on with the certificate.
    let served = serve(
        share.path(),
        home.path(),
        "127.0.0.1",
        &["--tls-self-signed"],
    );
    let place = Place::of(share, home, served);
    assert_eq!(place.fingerprint(), first);
    place.waits_for(&format!("fingerprint={first}"));
    place.close();

    let other = Place::with("127.0.0.1", &["--tls-self-signed"]);
    assert_ne!(other.fingerprint(), first);
    other.close();
}

/// A certificate and its key, as people have them made.
fn make(folder: &Path, name: &str) {
    run(tool("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
        ])
        .args(["-nodes", "-days", "2", "-subj", &format!("/CN={name}")])
        .args(["-addext", "subjectAltName=IP:127.0.0.1", "-keyout"])
        .arg(folder.join(format!("{name}.key")))
        .arg("-out")
        .arg(folder.join(format!("{name}.pem"))));
}

/// A client that has begun a download and left another connection idle.
struct Across {
    child: Child,
    said: BufReader<std::process::ChildStdout>,
}

impl Across {
    fn begin(place: &Place, tls: Tls, trust: &Path) -> Self {
        let address = place.address(tls);
        let wish = json!({
            "task": "Across",
            "host": address.ip().to_string(),
            "port": address.port(),
            "tls": format!("{tls:?}"),
            "trust": trust,
            "there": "/large.bin",
            "here": place.share.path().join("large.bin"),
        });
        let mut command = script("python3", "ftplib_client.py");
        command.arg(wish.to_string()).stdin(Stdio::piped());
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let said = BufReader::new(child.stdout.take().unwrap());
        let mut across = Self { child, said };
        across.expect("begun");
        across
    }

    fn expect(&mut self, word: &str) {
        let mut line = String::new();
        self.said.read_line(&mut line).unwrap();
        assert_eq!(line.trim(), word);
    }

    fn go_on(mut self) {
        let mut stdin = self.child.stdin.take().unwrap();
        stdin.write_all(b"go on\n").unwrap();
        self.expect("done");
        assert!(self.child.wait().unwrap().success());
    }
}

#[test]
fn a_new_certificate_is_for_those_who_come_and_a_broken_one_for_nobody() {
    let made = tempfile::tempdir().unwrap();
    for name in ["one", "two", "three"] {
        make(made.path(), name);
    }
    let used = tempfile::tempdir().unwrap();
    let (certificate, key) = (used.path().join("cert.pem"), used.path().join("key.pem"));
    let install = |name: &str| {
        fs::copy(made.path().join(format!("{name}.pem")), &certificate).unwrap();
        fs::copy(made.path().join(format!("{name}.key")), &key).unwrap();
    };
    install("one");
    let place = Place::with(
        "127.0.0.1",
        &[
            "--tls-cert",
            certificate.to_str().unwrap(),
            "--tls-key",
            key.to_str().unwrap(),
        ],
    );
    fs::write(place.share.path().join("large.bin"), content(LARGE)).unwrap();
    let one = place.fingerprint();
    // Data connections that come later show the later certificate.
    let trust = used.path().join("trust.pem");
    let both =
        ["one", "two"].map(|name| fs::read(made.path().join(format!("{name}.pem"))).unwrap());
    fs::write(&trust, both.concat()).unwrap();
    let across = [Tls::Explicit, Tls::Implicit].map(|tls| Across::begin(&place, tls, &trust));

    install("two");
    place.served.signal("HUP");
    place.waits_for("read the certificate again");
    let two = place.fingerprint();
    assert_ne!(one, two);
    place.waits_for(&format!("read the certificate again fingerprint={two}"));

    let kept = |times: usize| {
        place.served.signal("HUP");
        eventually("it is said that the certificate is kept", || {
            place
                .served
                .log()
                .matches("kept the certificate as it was")
                .count()
                == times
        });
        assert_eq!(place.fingerprint(), two);
    };
    fs::write(&certificate, "-----BEGIN CERTIFICATE-----\nnone\n").unwrap();
    kept(1);
    // A key to another one.
    fs::copy(made.path().join("three.pem"), &certificate).unwrap();
    kept(2);
    fs::remove_file(&certificate).unwrap();
    kept(3);
    // Each says which file it is about.
    let log = place.served.log();
    let about = log
        .lines()
        .filter(|line| line.contains("kept the certificate"));
    for line in about {
        assert!(line.contains("ERROR") || line.contains("error"), "{line}");
        assert!(
            line.contains("cert.pem") || line.contains("key.pem"),
            "{line}"
        );
    }
    across.into_iter().for_each(Across::go_on);

    install("three");
    place.served.signal("HUP");
    eventually("the third certificate is read", || {
        place
            .served
            .log()
            .matches("read the certificate again")
            .count()
            == 2
    });
    let three = place.fingerprint();
    assert!(three != one && three != two);
    place.close();
}
