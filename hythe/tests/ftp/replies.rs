//! Every reply of the table, and the order they come in.

use std::fs;
use std::time::Duration;

use hythe::serve::ftp::FtpConfig;
use hythe_net::{Limits, Patience};

use super::{Client, Running};

fn check(client: &mut Client, table: &[(&str, u16)]) {
    for (command, code) in table {
        client.command(command, *code);
    }
}

fn share() -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir_all(root.path().join("folder/inner \"quoted\"")).unwrap();
    fs::write(root.path().join("file.txt"), "one\ntwo\n").unwrap();
    fs::write(root.path().join("folder/deep"), "deep").unwrap();
    fs::write(root.path().join(".hidden"), "").unwrap();
    root
}

#[test]
fn before_login_little_is_answered() {
    let root = share();
    let server = Running::start(root.path());
    check(
        &mut server.connect(),
        &[
            ("NOOP", 200),
            ("noop", 200),
            ("SYST", 215),
            ("FEAT", 211),
            ("HELP", 214),
            ("HELP RETR", 214),
            ("SITE HELP", 214),
            ("STAT", 211),
            ("OPTS UTF8 ON", 200),
            ("OPTS UTF8 OFF", 504),
            ("OPTS MLST type;size;", 200),
            ("OPTS MLST type ;size;", 501),
            ("OPTS MLST type", 501),
            ("OPTS MLST", 200),
            ("OPTS NONSENSE", 501),
            ("ACCT x", 202),
            ("HOST files.example", 220),
            ("ABOR", 226),
            ("AUTH TLS", 502),
            ("AUTH KERBEROS", 504),
            ("PBSZ 0", 502),
            ("PROT P", 502),
            ("PROT S", 536),
            ("NONSENSE", 500),
            ("", 500),
            ("USER", 501),
            ("ADAT x", 502),
            ("PASS x", 503),
            ("PWD", 530),
            ("CWD folder", 530),
            ("TYPE I", 530),
            ("TYPE nonsense", 530),
            ("PORT nonsense", 530),
            ("EPRT |3|x|1|", 530),
            ("MFMT nonsense", 530),
            ("REST -1", 530),
            ("OPTS MLST size;", 200),
            ("SITE CHMOD 777 file.txt", 530),
            ("SITE REGISTER anna 12345678", 550),
            ("SITE PASSWD a b", 530),
            ("HASH file.txt", 530),
            ("PASV", 530),
            ("EPSV", 530),
            ("LIST", 530),
            ("RETR file.txt", 530),
            ("SIZE file.txt", 530),
            ("MLST", 530),
            ("STAT file.txt", 530),
            ("STOR x", 530),
            ("DELE file.txt", 530),
            ("USER anonymous", 331),
            ("HOST files.example", 503),
            ("RETR file.txt", 530),
            ("PASS me@", 230),
            ("PASS me@", 503),
            ("REIN", 220),
            ("PWD", 530),
            ("USER FTP", 331),
            ("PASS ", 230),
            ("QUIT", 221),
        ],
    );
}

#[test]
fn the_table() {
    let root = share();
    let server = Running::start(root.path());
    let mut client = server.log_in();
    check(
        &mut client,
        &[
            ("PWD", 257),
            ("XPWD", 257),
            ("PWD x", 501),
            ("CDUP x", 501),
            ("CWD folder", 250),
            ("CWD inner \"quoted\"", 250),
            ("CDUP", 250),
            ("XCUP", 250),
            ("CDUP", 250),
            ("XCWD /folder/", 250),
            ("CWD deep", 550),
            ("CWD missing", 550),
            ("CWD /", 250),
            ("CWD", 501),
            ("TYPE A", 200),
            ("TYPE A N", 200),
            ("SIZE file.txt", 550),
            ("TYPE L 8", 200),
            ("TYPE E", 504),
            ("TYPE", 501),
            ("TYPE I", 200),
            ("MODE S", 200),
            ("MODE B", 504),
            ("STRU F", 200),
            ("STRU R", 504),
            ("SIZE file.txt", 213),
            ("SIZE folder", 550),
            ("SIZE missing", 550),
            ("SIZE", 501),
            ("MDTM file.txt", 213),
            ("MDTM missing", 550),
            ("MDTM folder", 550),
            ("MLST file.txt", 250),
            ("MLST", 250),
            ("MLST missing", 550),
            ("MLSD file.txt", 501),
            ("MLSD missing", 550),
            ("STAT", 211),
            ("STAT file.txt", 213),
            ("STAT folder", 212),
            ("STAT missing", 550),
            ("REST 5", 350),
            ("TYPE A", 200),
            ("REST 5", 501),
            ("REST 0", 350),
            ("TYPE I", 200),
            ("REST 5", 350),
            ("REST -5", 501),
            ("REST 99999999999999999999", 501),
            ("ALLO 100", 202),
            ("LIST missing", 550),
            ("NLST missing", 550),
            ("RETR missing", 550),
            ("RETR folder", 550),
            ("RETR", 501),
            ("RETR file.txt", 425),
            ("LIST", 425),
            ("NLST", 425),
            ("MLSD", 425),
            ("PORT 127,0,0,1,0,80", 504),
            ("PORT 8,8,8,8,200,200", 504),
            ("PORT nonsense", 501),
            ("EPRT |1|127.0.0.1|80|", 504),
            ("EPRT |1|8.8.8.8|50000|", 504),
            ("EPRT |2|::1|50000|", 522),
            ("EPRT |3|x|50000|", 522),
            ("EPRT nonsense", 501),
            ("PORT 127,0,0,1,200,200", 200),
            ("EPRT |1|127.0.0.1|50000|", 200),
            ("PASV", 227),
            ("EPSV", 229),
            ("EPSV 1", 229),
            ("EPSV 2", 522),
            ("EPSV 3", 522),
            ("EPSV x", 501),
            ("ABOR", 226),
            ("HASH file.txt", 213),
            ("HASH folder", 553),
            ("HASH missing", 550),
            ("OPTS HASH", 200),
            ("OPTS HASH md5", 200),
            ("OPTS HASH MD4", 501),
            ("XCRC file.txt", 250),
            ("XMD5 file.txt", 250),
            ("XSHA file.txt", 250),
            ("XSHA1 file.txt", 250),
            ("XSHA256 file.txt", 250),
            ("XSHA512 file.txt", 250),
            ("XSHA512 missing", 550),
            ("XCRC", 501),
            ("SITE", 501),
            ("SITE NONSENSE", 504),
            ("SITE REGISTER a b", 503),
            ("SITE REGISTER a", 501),
            ("SITE PASSWD a b", 550),
            ("SITE PASSWD a", 501),
            ("SITE QUOTA", 550),
            ("SITE CHMOD 77x file.txt", 501),
            ("SITE CHMOD 777", 501),
            ("SITE HELP CHMOD", 214),
            ("SITE HELP NONSENSE", 501),
            ("MFMT yesterday file.txt", 501),
            ("MFMT 20200101000000", 501),
            ("STRU X", 501),
            ("MODE X", 501),
            ("EPRT ||||", 501),
            ("HELP", 214),
            ("HELP stor", 214),
            ("HELP SITE", 214),
            ("HELP NONSENSE", 501),
        ],
    );
    check(
        &mut client,
        &[
            ("STOR new", 550),
            ("APPE file.txt", 550),
            ("STOU", 550),
            ("DELE file.txt", 550),
            ("MKD new", 550),
            ("XMKD new", 550),
            ("RMD folder", 550),
            ("RNFR file.txt", 550),
            ("RNTO other", 503),
            ("MFMT 20200101000000 file.txt", 550),
            ("SITE CHMOD 777 file.txt", 550),
            ("EPSV ALL", 200),
            ("PORT 127,0,0,1,200,200", 503),
            ("EPRT |1|127.0.0.1|50000|", 503),
            ("PASV", 503),
            ("EPSV", 229),
            ("QUIT", 221),
        ],
    );
    client.expect_end();
    assert_eq!(
        fs::read(root.path().join("file.txt")).unwrap(),
        b"one\ntwo\n"
    );
    let long = "x".repeat(256);
    check(
        &mut server.log_in(),
        &[
            (&format!("CWD {long}"), 553),
            (&format!("RETR {long}"), 553),
        ],
    );
}

#[test]
fn what_replies_say() {
    let root = share();
    let server = Running::start(root.path());
    let mut client = server.log_in();
    client.command("CWD folder/inner \"quoted\"", 250);
    let text = client.command("PWD", 257);
    assert!(
        text.starts_with("257 \"/folder/inner \"\"quoted\"\"\" "),
        "{text}"
    );
    assert_eq!(client.command("SIZE /file.txt", 213), "213 8\r\n");

    let modified = jiff::Timestamp::from_second(1_000_000_000).unwrap();
    let file = fs::File::options()
        .write(true)
        .open(root.path().join("file.txt"))
        .unwrap();
    file.set_modified(modified.into()).unwrap();
    assert_eq!(
        client.command("MDTM /file.txt", 213),
        "213 20010909014640\r\n"
    );

    let features = client.command("FEAT", 211);
    for feature in [
        "UTF8",
        "SIZE",
        "MDTM",
        "REST STREAM",
        "TVFS",
        "EPSV",
        "EPRT",
        "HOST",
        "MFMT",
        "HASH SHA-256*;SHA-512;SHA-1;MD5;CRC32",
        "XSHA256",
    ] {
        assert!(
            features.contains(&format!("\r\n {feature}\r\n")),
            "{features}"
        );
    }
    assert!(
        features.contains("\r\n MLST type*;perm*;size*;modify*;unique*;\r\n"),
        "{features}"
    );
    assert!(
        features.starts_with("211-") && features.contains("\r\n211 "),
        "{features}"
    );

    assert_eq!(
        client.command("OPTS MLST size;type;nonsense;", 200),
        "200 MLST OPTS type;size;\r\n"
    );
    let facts = client.command("MLST /file.txt", 250);
    assert!(
        facts.contains("\r\n type=file;size=8; /file.txt\r\n250 "),
        "{facts}"
    );
    assert!(
        client
            .command("FEAT", 211)
            .contains("MLST type*;perm;size*;modify;unique;")
    );
    let status = client.command("STAT /", 212);
    assert!(
        status.contains("file.txt\r\n") && status.contains(".hidden\r\n"),
        "{status}"
    );
    assert!(!status.contains('?'), "{status}");

    let digest = "C3F9C8C283A2B1F2F1896F27A01CBE3CDDC0C9D93F752E4639035A0F5B36F6E8";
    assert_eq!(
        client.command("HASH /file.txt", 213),
        format!("213 SHA-256 0-7 {digest} /file.txt\r\n")
    );
    assert_eq!(
        client.command("XSHA256 /file.txt", 250),
        format!("250 {digest}\r\n")
    );
    assert_eq!(client.command("OPTS HASH CRC32", 200), "200 CRC32\r\n");
    assert!(
        client
            .command("FEAT", 211)
            .contains("HASH SHA-256;SHA-512;SHA-1;MD5;CRC32*")
    );
    assert_eq!(
        client.command("HASH /file.txt", 213),
        format!(
            "213 CRC32 0-7 {:08X} /file.txt\r\n",
            crc32fast::hash(b"one\ntwo\n")
        )
    );
}

#[test]
fn wrong_logins_are_counted() {
    let root = share();
    let server = Running::start(root.path());
    let mut client = server.connect();
    for (user, code) in [("root", 530), ("anonymous2", 530), ("../anonymous", 421)] {
        client.command(format!("USER {user}"), 331);
        client.command("PASS secret", code);
    }
    client.expect_end();
}

#[test]
fn pipelined_commands_are_answered_in_order() {
    let root = share();
    let server = Running::start(root.path());
    let mut client = server.log_in();
    let mut commands = Vec::new();
    for round in 0..500 {
        let line = match round % 4 {
            0 => "NOOP\r\n",
            1 => "PWD\n", // a bare LF is tolerated
            2 => "CWD missing\r\n",
            _ => "SYST\r\n",
        };
        commands.extend_from_slice(line.as_bytes());
    }
    client.send(&commands);
    for round in 0..500 {
        client.expect([200, 257, 550, 215][round % 4]);
    }
    for byte in b"PWD\r\n" {
        client.send([*byte]);
    }
    client.expect(257);
}

#[test]
fn an_idle_client_is_told_and_closed() {
    let root = share();
    let patience = Patience {
        idle: Duration::from_millis(200),
        ..Patience::default()
    };
    let limits = Limits {
        patience,
        ..Limits::default()
    };
    let server = Running::with(root.path(), FtpConfig::default(), limits);
    let mut client = server.log_in();
    client.expect(421);
    client.expect_end();
}

#[test]
fn a_stopping_server_says_so() {
    let root = share();
    let server = Running::start(root.path());
    let (mut idle, mut early) = (server.log_in(), server.connect());
    server.shutdown.stop();
    for client in [&mut idle, &mut early] {
        client.expect(421);
        client.expect_end();
    }
}

#[test]
fn beyond_the_limit_clients_are_told_to_come_later() {
    let root = share();
    let limits = Limits {
        max: 1,
        ..Limits::default()
    };
    let server = Running::with(root.path(), FtpConfig::default(), limits);
    let _first = server.log_in();
    let mut second = Client(std::io::BufReader::new(super::connect(server.address)));
    second.expect(421);
    second.expect_end();
}
