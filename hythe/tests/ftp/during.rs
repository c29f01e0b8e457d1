//! What happens while a transfer is under way, and how it may end.

use std::fs;
use std::io::{Read, Write};
use std::path::Path;
use std::time::Duration;

use hythe::serve::ftp::FtpConfig;
use hythe_net::Limits;

use super::common::{PATIENCE, Served, connect, eventually};
use super::{Client, Running};

/// More than the buffers of a connection hold: who sends this has to wait for
/// a reader.
const BIG: u64 = 64 * 1024 * 1024;

fn big_file(root: &Path) {
    fs::File::create(root.join("big"))
        .unwrap()
        .set_len(BIG)
        .unwrap();
}

/// Reads some, so that the transfer is sure to be under way.
fn begin_big(client: &mut Client) -> std::net::TcpStream {
    let mut data = client.begin("RETR big");
    data.read_exact(&mut [0; 1000]).unwrap();
    data
}

fn read_rest(mut data: std::net::TcpStream) -> u64 {
    std::io::copy(&mut data, &mut std::io::sink()).unwrap()
}

#[test]
fn some_commands_are_answered_during_a_transfer_and_others_after_it() {
    let root = tempfile::tempdir().unwrap();
    big_file(root.path());
    let server = Running::start(root.path());
    let mut client = server.log_in();
    let data = begin_big(&mut client);
    client.command("NOOP", 200);
    assert!(client.command("STAT", 211).contains("bytes so far"));
    client.send("PWD\r\nNOOP\r\nQUIT\r\n");
    assert_eq!(read_rest(data), BIG - 1000);
    for code in [226, 257, 200, 221] {
        client.expect(code);
    }
    client.expect_end();
}

#[test]
fn quit_and_the_end_of_input_let_a_transfer_finish() {
    let root = tempfile::tempdir().unwrap();
    big_file(root.path());
    let server = Running::start(root.path());
    let mut client = server.log_in();
    let data = begin_big(&mut client);
    client.send("QUIT\r\n");
    client
        .0
        .get_ref()
        .shutdown(std::net::Shutdown::Write)
        .unwrap();
    assert_eq!(read_rest(data), BIG - 1000);
    client.expect(226);
    client.expect(221);
}

#[test]
fn abor_cuts_a_transfer_short() {
    let root = tempfile::tempdir().unwrap();
    big_file(root.path());
    let server = Running::start(root.path());
    let mut client = server.log_in();
    let plain: fn(&mut Client) = |client| client.send("ABOR\r\n");
    let telnet: fn(&mut Client) = |client| client.send(b"\xff\xf4\xff\xf2ABOR\r\n");
    // What clients really send: the DM as urgent data, the command behind it.
    let urgent: fn(&mut Client) = |client| {
        use rustix::net::{SendFlags, send};
        let sent = send(client.0.get_ref(), b"\xff\xf4\xff\xf2", SendFlags::OOB);
        assert_eq!(sent, Ok(4));
        client.send("ABOR\r\n");
    };
    // IP, then a synch whose DM alone is urgent.
    let synch: fn(&mut Client) = |client| {
        use rustix::net::{SendFlags, send};
        client.send(b"\xff\xf4");
        assert_eq!(send(client.0.get_ref(), b"\xff\xf2", SendFlags::OOB), Ok(2));
        client.send("ABOR\r\n");
    };
    for abort in [plain, telnet, urgent, synch] {
        let data = begin_big(&mut client);
        abort(&mut client);
        client.expect(426);
        client.expect(226);
        client.command("ABOR", 226);
        let mut rest = Vec::new();
        let read = { data }.read_to_end(&mut rest);
        assert!(read.is_err() || (rest.len() as u64) < BIG - 1000);
    }
    // Behind commands that wait, and in one piece with the RETR itself.
    let data = begin_big(&mut client);
    client.send("PWD\r\nABOR\r\nSYST\r\n");
    for code in [426, 257, 226, 215] {
        client.expect(code);
    }
    drop(data);
    let data = connect(client.epsv());
    client.send("RETR big\r\nABOR\r\n");
    for code in [150, 426, 226] {
        client.expect(code);
    }
    drop(data);
    // While the client has not come yet.
    client.epsv();
    client.command("RETR big", 150);
    client.send("ABOR\r\n");
    client.expect(426);
    client.expect(226);
}

#[test]
fn a_stopping_server_lets_a_transfer_finish() {
    let root = tempfile::tempdir().unwrap();
    big_file(root.path());
    let limits = Limits {
        drain: PATIENCE,
        ..Limits::default()
    };
    let server = Running::with(root.path(), FtpConfig::default(), limits);
    let mut client = server.log_in();
    let data = begin_big(&mut client);
    server.shutdown.stop();
    assert_eq!(read_rest(data), BIG - 1000);
    client.expect(226);
    client.expect(421);
    client.expect_end();
}

#[test]
fn a_file_that_shrinks_is_reported() {
    let root = tempfile::tempdir().unwrap();
    big_file(root.path());
    let server = Running::start(root.path());
    let mut client = server.log_in();
    let data = begin_big(&mut client);
    let file = fs::File::options()
        .write(true)
        .open(root.path().join("big"))
        .unwrap();
    file.set_len(1).unwrap();
    assert!(read_rest(data) < BIG);
    client.expect(451);
    client.command("NOOP", 200);
}

#[test]
fn nothing_is_left_behind() {
    let root = tempfile::tempdir().unwrap();
    big_file(root.path());
    let served = Served::start(root.path(), &[]);
    let address = served.address("ftp");
    let log_in = || {
        let mut client = Client::new(connect(address));
        client.log_in();
        client
    };
    log_in().command("QUIT", 221);
    let before = served.descriptors();
    let mut client = log_in();
    for _ in 0..3 {
        let data = begin_big(&mut client);
        drop(data);
        client.expect(426);
        client.epsv();
    }
    let data = begin_big(&mut client);
    drop(client); // in the middle of it
    let mut waiting = log_in();
    waiting.epsv();
    waiting.command("RETR big", 150);
    drop(waiting);
    eventually("all descriptors are closed", || {
        served.descriptors() <= before
    });
    drop(data);
}

#[test]
fn who_takes_nothing_loses_the_data_connection_only() {
    let root = tempfile::tempdir().unwrap();
    big_file(root.path());
    let mut config = FtpConfig::default();
    config.patience.idle = Duration::from_millis(300);
    config.data_deadline = Duration::from_millis(300);
    let server = Running::with(root.path(), config, Limits::default());
    let mut client = server.log_in();
    let data = begin_big(&mut client);
    client.expect(426);
    drop(data);
    // Who does not come at all.
    client.epsv();
    client.command("RETR big", 150);
    client.expect(425);
    // Who comes and says something that nobody asked for.
    let mut data = client.begin("NLST");
    data.write_all(b"what?").ok();
    client.expect(226);
    client.command("NOOP", 200);
}
