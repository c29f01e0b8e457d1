//! A GiB through both, compared by its SHA-256 and never held anywhere.

use std::process::{Child, ChildStdout, Command, Stdio};

use crate::common::{hythe, tool};
use crate::peers::{PROGRAMS, Program, Trust};
use crate::talk::{Talk, connecting, listens};

const GIB: u64 = 1 << 30;

/// Bytes that do not repeat, made as fast as they are taken: a key stream.
fn source(length: u64) -> (Child, ChildStdout) {
    tool("openssl");
    let line = format!(
        "head -c {length} /dev/zero | openssl enc -aes-128-ctr -nosalt \
         -K 68797468650000000000000000000001 -iv 00000000000000000000000000000000"
    );
    let mut child = Command::new("sh")
        .args(["-c", &line])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let stdout = child.stdout.take().unwrap();
    (child, stdout)
}

/// The sum of what comes from a pipe, in hexadecimal.
fn sum(pipe: impl Into<Stdio>) -> Talk {
    Talk::with_input(&mut tool("sha256sum"), pipe)
}

/// Runs a command with this much as its input and what it says summed up; what
/// is to be waited for are the two.
fn feeding(command: &mut Command, length: u64) -> (Child, Child) {
    let (source, stdout) = source(length);
    let child = command
        .stdin(stdout)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    (source, child)
}

/// A command whose standard output goes into a sum, by a shell: its standard
/// error says where it listens.
fn summing(command: &Command) -> Talk {
    let mut shell = Command::new("sh");
    shell
        .args(["-c", "exec 3<&0; \"$@\" <&3 | sha256sum", "sh"])
        .arg(command.get_program())
        .args(command.get_args());
    Talk::start(&mut shell)
}

fn wanted(length: u64) -> Vec<u8> {
    let (mut child, stdout) = source(length);
    let wanted = sum(stdout).succeeds();
    assert!(child.wait().unwrap().success());
    wanted
}

/// Sends so much by `client`, whose address is filled in, to a listener; what
/// comes out must be the same.
#[track_caller]
fn up(listen: &[&str], client: impl Fn(&str) -> Command, length: u64) {
    let mut command = hythe();
    command.arg("listen").args(listen).arg("127.0.0.1:0");
    let listener = summing(&command);
    let address = listens(&listener);
    let (mut source, mut child) = feeding(&mut client(&address), length);
    let received = listener.succeeds();
    assert!(child.wait().unwrap().success() && source.wait().unwrap().success());
    assert_eq!(received, wanted(length));
}

#[test]
fn a_gib_from_connect_to_listen() {
    up(&[], |address| connecting(address, &[]), GIB);
}

#[test]
fn a_gib_from_listen_to_connect() {
    let (mut source, stdout) = source(GIB);
    let mut command = hythe();
    command.args(["listen", "127.0.0.1:0"]);
    let listener = Talk::with_input(&mut command, stdout);
    let address = listens(&listener);
    let client = summing(&connecting(&address, &[]));
    let received = client.succeeds();
    listener.succeeds();
    assert!(source.wait().unwrap().success());
    assert_eq!(received, wanted(GIB));
}

#[test]
fn much_from_and_to_programs_of_any_kind() {
    const LENGTH: u64 = GIB / 8;
    for program in PROGRAMS {
        if program == Program::Hythe {
            continue;
        }
        println!("{program:?}");
        up(&[], |address| program.client(address), LENGTH);

        let folder = tempfile::tempdir().unwrap();
        let (server, address) = program.server(crate::peers::Road::Ipv4, folder.path());
        let (mut source, mut child) = feeding(&mut connecting(&address, &[]), LENGTH);
        // Theirs is not summed on the way: it is kept, and then compared.
        let output = server.succeeds();
        assert!(child.wait().unwrap().success() && source.wait().unwrap().success());
        assert_eq!(output.len() as u64, LENGTH);
        let sum = sum(Stdio::piped());
        sum.say(&output);
        assert_eq!(sum.succeeds(), wanted(LENGTH));
    }
}

#[test]
fn much_over_tls() {
    let trust = Trust::new();
    let (certificate, key) = (trust.certificate(), trust.key());
    let tls = ["--tls-cert", &certificate, "--tls-key", &key];
    let client = |address: &str| connecting(address, &["--tls", "--insecure"]);
    up(&tls, client, GIB / 16);
}
