//! TLS (RFC 4217): how it begins, what it protects, and what attackers try.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use hythe::accounts::Gate;
use hythe::serve::ftp::{Ftp, FtpConfig};
use hythe::share::{Access, Share};
use hythe::tls::{Acceptor, Identity, SelfSigned};
use rustls::client::{Resumption, Tls12Resumption};
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, HandshakeKind, RootCertStore, StreamOwned};

use super::common::{connect, content, eventually};
use super::{Client, Running};

type Tls = StreamOwned<ClientConnection, TcpStream>;

/// A server with TLS, and what a client needs to trust it.
struct Place {
    root: tempfile::TempDir,
    kept: tempfile::TempDir,
    identity: Identity,
}

impl Place {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let kept = tempfile::tempdir().unwrap();
        fs::write(root.path().join("file"), "one\ntwo\n").unwrap();
        let identity = identity(kept.path());
        Self {
            root,
            kept,
            identity,
        }
    }

    fn handler(&self, config: FtpConfig) -> (Ftp, Acceptor) {
        let gate = Gate::new(Share::open(self.root.path()).unwrap(), Access::Write);
        let acceptor = Acceptor::new(&self.identity, Some("ftp")).unwrap();
        (Ftp::new(gate, config), acceptor)
    }

    fn explicit(&self, config: FtpConfig) -> Running {
        let (handler, acceptor) = self.handler(config);
        Running::of(handler.with_tls(acceptor))
    }

    fn implicit(&self) -> Running {
        let (handler, acceptor) = self.handler(FtpConfig::default());
        Running::of(handler.over_tls(acceptor))
    }

    /// A client's side of TLS, which resumes its sessions; a clone does so with
    /// those of the original.
    fn trust(&self) -> ClientConfig {
        let pem = self.kept.path().join("self-signed.pem");
        let mut roots = RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_file(pem).unwrap())
            .unwrap();
        ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth()
    }
}

fn identity(folder: &Path) -> Identity {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let names = vec!["localhost".to_owned()];
    SelfSigned::kept_in(folder)
        .identity(now.unwrap().as_secs() as i64, names)
        .unwrap()
}

fn shake_hands(stream: TcpStream, config: &ClientConfig) -> io::Result<Tls> {
    let name = ServerName::try_from("localhost").unwrap();
    let client = ClientConnection::new(Arc::new(config.clone()), name).unwrap();
    let mut tls = StreamOwned::new(client, stream);
    while tls.conn.is_handshaking() {
        tls.conn.complete_io(&mut tls.sock)?;
    }
    Ok(tls)
}

/// A client that has asked for TLS.
fn upgraded(server: &Running, config: &ClientConfig) -> Client<Tls> {
    let mut client = server.connect();
    client.command("AUTH TLS", 234);
    let stream = client.0.into_inner();
    Client(io::BufReader::new(shake_hands(stream, config).unwrap()))
}

impl Client<Tls> {
    fn begin_private(&mut self) {
        self.log_in();
        self.command("PBSZ 0", 200);
        self.command("PROT P", 200);
    }

    fn port(&mut self) -> SocketAddr {
        let text = self.command("EPSV", 229);
        let port: u16 = text.split('|').nth(3).unwrap().parse().unwrap();
        ([127, 0, 0, 1], port).into()
    }

    /// Sends a file under TLS, in two halves that are told apart by `between`.
    fn put(&mut self, name: &str, bytes: &[u8], config: &ClientConfig) -> Tls {
        let data = connect(self.port());
        self.command(format!("STOR {name}"), 150);
        let mut data = shake_hands(data, config).unwrap();
        data.write_all(bytes).unwrap();
        data
    }

    fn get(&mut self, command: &str, config: &ClientConfig) -> (Vec<u8>, Option<HandshakeKind>) {
        let data = connect(self.port());
        self.command(command, 150);
        let mut data = shake_hands(data, config).unwrap();
        let mut bytes = Vec::new();
        // Without its end announced, this is an error.
        data.read_to_end(&mut bytes).unwrap();
        let kind = data.conn.handshake_kind();
        // Some clients close their end when they have this, and not before.
        self.expect(226);
        data.conn.send_close_notify();
        data.flush().ok();
        (bytes, kind)
    }
}

fn end(mut data: Tls) {
    data.conn.send_close_notify();
    data.flush().unwrap();
    let mut rest = Vec::new();
    data.read_to_end(&mut rest).unwrap();
    assert!(rest.is_empty());
}

#[test]
fn the_table_of_security_commands() {
    let place = Place::new();
    let server = place.explicit(FtpConfig::default());
    let mut plain = server.connect();
    for (command, code) in [
        ("PBSZ 0", 503),
        ("PROT P", 503),
        ("CCC", 503),
        ("AUTH", 501),
        ("AUTH SSL", 504),
        ("AUTH GSSAPI", 504),
    ] {
        plain.command(command, code);
    }
    assert!(
        plain
            .command("FEAT", 211)
            .contains("\r\n AUTH TLS\r\n PBSZ\r\n PROT\r\n")
    );
    for name in ["AUTH TLS", "auth tls", "AUTH TLS-C"] {
        server.connect().command(name, 234);
    }

    let mut client = upgraded(&server, &place.trust());
    for (command, code) in [
        ("AUTH TLS", 503),
        ("PROT P", 503),
        ("PBSZ x", 501),
        ("PBSZ 1024", 200),
        ("PROT P", 200),
        ("PROT C", 200),
        ("PROT S", 536),
        ("PROT E", 536),
        ("PROT X", 504),
        ("CCC", 533),
        ("LIST", 530),
    ] {
        client.command(command, code);
    }
    client.log_in();
    let status = client.command("STAT", 211);
    assert!(
        status.contains("Commands under TLS, data in the clear"),
        "{status}"
    );
    client.command("REIN", 220);
    client.command("PROT P", 503);
    client.command("PBSZ 0", 200);
    client.command("QUIT", 221);
    client.expect_end();

    let bare = Running::allowing(Access::Read, place.root.path());
    let mut bare = bare.connect();
    for command in ["AUTH TLS", "PBSZ 0", "PROT P", "CCC"] {
        bare.command(command, 502);
    }
}

#[test]
fn data_is_private_where_it_was_asked_for() {
    let place = Place::new();
    let server = place.explicit(FtpConfig::default());
    let trust = place.trust();
    let mut client = upgraded(&server, &trust);
    client.begin_private();
    let big = content(3_000_000);
    end(client.put("big", &big, &trust));
    client.expect(226);
    assert!(fs::read(place.root.path().join("big")).unwrap() == big);
    assert!(client.get("RETR big", &trust).0 == big);
    assert_eq!(client.get("NLST", &trust).0, b"big\r\nfile\r\n");
    client.command("TYPE A", 200);
    assert_eq!(client.get("RETR file", &trust).0, b"one\r\ntwo\r\n");

    client.command("PROT C", 200);
    let mut data = connect(client.port());
    client.command("NLST", 150);
    let mut names = String::new();
    data.read_to_string(&mut names).unwrap();
    client.expect(226);
    assert_eq!(names, "big\r\nfile\r\n");

    // Who speaks in the clear where TLS is due gets nothing, and leaves nothing.
    client.command("PROT P", 200);
    let mut data = connect(client.port());
    client.command("STOR plain", 150);
    data.write_all(b"in the clear\n").unwrap();
    client.expect(522);
    assert!(!place.root.path().join("plain").exists());
}

#[test]
fn implicit_tls_begins_with_the_connection() {
    let place = Place::new();
    let server = place.implicit();
    let trust = place.trust();
    let mut client = Client::new(shake_hands(connect(server.address), &trust).unwrap());
    client.command("AUTH TLS", 503);
    client.log_in();
    assert_eq!(
        client.get("RETR file", &trust).0,
        b"one\ntwo\n",
        "private from the start"
    );

    // Who does not begin it is not spoken to.
    let mut plain = connect(server.address);
    plain.write_all(b"USER anonymous\r\n").unwrap();
    let mut answer = Vec::new();
    plain.read_to_end(&mut answer).ok();
    assert!(answer.is_empty(), "{}", answer.escape_ascii());
}

/// CVE-2011-0411 and its kin: what an attacker puts behind AUTH TLS, in the
/// clear, must not be obeyed as if the client had said it under TLS.
#[test]
fn what_was_said_in_the_clear_is_forgotten() {
    let place = Place::new();
    let server = place.explicit(FtpConfig::default());
    for injected in [
        "USER anonymous\r\nPASS x\r\nMKD injected\r\n",
        "NOOP\r\n",
        "MKD unfinished",
    ] {
        let mut client = server.connect();
        client.log_in();
        client.command("CWD /", 250);
        client.send(format!("AUTH TLS\r\n{injected}"));
        client.expect(234);
        let stream = client.0.into_inner();
        let tls = shake_hands(stream, &place.trust()).unwrap();
        let mut client = Client(io::BufReader::new(tls));
        // The first answer is the one to this.
        client.command("PWD", 530);
        client.log_in();
        assert!(!place.root.path().join("injected").exists());
    }
}

/// A truncated upload is not a whole one: TLS announces its end.
#[test]
fn an_upload_that_is_cut_is_known_to_be() {
    let place = Place::new();
    let server = place.explicit(FtpConfig::default());
    let trust = place.trust();
    let mut client = upgraded(&server, &trust);
    client.begin_private();
    let data = client.put("cut", b"the first half", &trust);
    // As somebody on the way would.
    drop(data.sock);
    let text = client.expect(426);
    assert!(text.contains("close_notify"), "{text}");
    assert_eq!(
        fs::read(place.root.path().join("cut")).unwrap(),
        b"the first half"
    );
    client.command("REST 14", 350);
    let data = connect(client.port());
    client.command("STOR cut", 150);
    let mut data = shake_hands(data, &trust).unwrap();
    data.write_all(b", and the second").unwrap();
    end(data);
    client.expect(226);
    let stored = fs::read(place.root.path().join("cut")).unwrap();
    assert_eq!(stored, b"the first half, and the second");
}

/// curl and lftp send a small file, say goodbye and are gone, all in one breath.
#[test]
fn an_upload_may_be_over_before_the_server_has_a_word() {
    let place = Place::new();
    let server = place.explicit(FtpConfig::default());
    let trust = place.trust();
    let mut client = upgraded(&server, &trust);
    client.begin_private();
    let big = content(300_000);
    for round in 0..60 {
        let bytes = &big[..[0, 1, 20_000, 300_000][round % 4]];
        let data = connect(client.port());
        client.command("STOR brief", 150);
        let mut data = shake_hands(data, &trust).unwrap();
        data.write_all(bytes).unwrap();
        data.conn.send_close_notify();
        data.flush().unwrap();
        drop(data);
        client.expect(226);
        let stored = fs::read(place.root.path().join("brief")).unwrap();
        assert!(stored == bytes, "round {round}");
    }
}

#[test]
fn tls_may_be_required() {
    let place = Place::new();
    let config = FtpConfig {
        tls_required: true,
        ..FtpConfig::default()
    };
    let server = place.explicit(config);
    let mut plain = server.connect();
    for command in ["USER anonymous", "PASS x", "SITE REGISTER anna 12345678"] {
        plain.command(command, 522);
    }
    plain.command("LIST", 530);
    let trust = place.trust();
    let mut client = upgraded(&server, &trust);
    client.log_in();
    client.port();
    client.command("LIST", 521);
    client.command("STOR new", 521);
    client.command("PBSZ 0", 200);
    client.command("PROT C", 534);
    client.command("PROT P", 200);
    assert_eq!(client.get("RETR file", &trust).0, b"one\ntwo\n");
}

/// Whoever guesses the port first could else hand us a file, or take one.
#[test]
fn the_session_of_the_control_connection_may_be_required() {
    let place = Place::new();
    let config = FtpConfig {
        tls_session_required: true,
        ..FtpConfig::default()
    };
    let server = place.explicit(config);
    // Where there is no session there is no proof.
    let mut plain = server.log_in();
    plain.epsv();
    plain.command("RETR file", 521);
    for versions in [&[&rustls::version::TLS13], &[&rustls::version::TLS12]] {
        let mut trust = {
            let pem = place.kept.path().join("self-signed.pem");
            let mut roots = RootCertStore::empty();
            roots
                .add(CertificateDer::from_pem_file(pem).unwrap())
                .unwrap();
            ClientConfig::builder_with_provider(Arc::new(default_provider()))
                .with_protocol_versions(versions)
                .unwrap()
                .with_root_certificates(roots)
                .with_no_client_auth()
        };
        trust.resumption = Resumption::in_memory_sessions(8);
        let mut client = upgraded(&server, &trust);
        client.begin_private();
        for _ in 0..4 {
            let (bytes, kind) = client.get("RETR file", &trust);
            assert_eq!(bytes, b"one\ntwo\n");
            assert_eq!(kind, Some(HandshakeKind::Resumed));
        }
        end(client.put("new", b"resumed", &trust));
        client.expect(226);

        let refused = |client: &mut Client<Tls>, trust: &ClientConfig| {
            let data = connect(client.port());
            client.command("STOR stolen", 150);
            if let Ok(mut data) = shake_hands(data, trust) {
                data.write_all(b"not mine").ok();
                data.conn.send_close_notify();
                data.flush().ok();
            }
            client.expect(522);
            assert!(!place.root.path().join("stolen").exists());
        };
        // A client of its own has no such session,
        let mut fresh = trust.clone();
        fresh.resumption = Resumption::disabled();
        refused(&mut client, &fresh);
        // and that of another control connection is another.
        let mut others = trust.clone();
        others.resumption = Resumption::in_memory_sessions(8);
        let mut other = upgraded(&server, &others);
        other.begin_private();
        refused(&mut client, &others);
        // So it is where the server would have to remember it.
        others.resumption =
            Resumption::in_memory_sessions(8).tls12_resumption(Tls12Resumption::SessionIdOnly);
        let mut other = upgraded(&server, &others);
        other.begin_private();
        refused(&mut client, &others);
        // The rightful one goes on.
        assert_eq!(client.get("RETR file", &trust).0, b"one\ntwo\n");
    }
}

/// ALPACA: a client that wants another protocol is at the wrong door.
#[test]
fn another_protocol_is_refused_in_the_handshake() {
    let place = Place::new();
    let server = place.implicit();
    for (protocols, welcome) in [
        (vec![], true),
        (vec!["ftp"], true),
        (vec!["h2", "ftp"], true),
        (vec!["http/1.1"], false),
        (vec!["h2", "http/1.1"], false),
    ] {
        let mut trust = place.trust();
        trust.alpn_protocols = protocols
            .iter()
            .map(|name| name.as_bytes().to_vec())
            .collect();
        let shaken = shake_hands(connect(server.address), &trust);
        assert_eq!(shaken.is_ok(), welcome, "{protocols:?}");
    }
    let mut client = Client::new(shake_hands(connect(server.address), &place.trust()).unwrap());
    client.send("POST / HTTP/1.1\r\nHost: x\r\n\r\n");
    client.expect_end();
}

#[test]
fn a_new_certificate_is_shown_to_those_who_come_after_it() {
    let place = Place::new();
    let server = place.explicit(FtpConfig::default());
    let old = place.trust();
    let mut before = upgraded(&server, &old);
    before.begin_private();
    let file = place.kept.path().join("self-signed.pem");
    let other = tempfile::tempdir().unwrap();
    let renewed = identity(other.path());
    fs::copy(other.path().join("self-signed.pem"), &file).unwrap();
    assert_ne!(place.identity.fingerprint(), renewed.fingerprint());
    place.identity.reload().unwrap();
    assert_eq!(place.identity.fingerprint(), renewed.fingerprint());
    let mut after = upgraded(&server, &place.trust());
    after.begin_private();
    before.command("NOOP", 200);

    fs::write(&file, "no certificate").unwrap();
    let error = place.identity.reload().unwrap_err();
    assert!(error.to_string().contains("self-signed.pem"), "{error}");
    assert_eq!(place.identity.fingerprint(), renewed.fingerprint());
}

/// However a handshake fails, the server goes on, and so do the others.
#[test]
fn handshakes_fail_alone() {
    let place = Place::new();
    let server = place.explicit(FtpConfig::default());
    let mut steady = upgraded(&server, &place.trust());
    steady.log_in();
    let mut hello = vec![22, 3, 1, 0x3f, 0xff];
    hello.extend(vec![0; 0x3fff]);
    for nonsense in [
        b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00".to_vec(),
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
        vec![0xff; 100_000],
        hello,
        Vec::new(),
    ] {
        let mut client = server.connect();
        client.command("AUTH TLS", 234);
        client.0.get_mut().write_all(&nonsense).ok();
        client.0.get_mut().shutdown(std::net::Shutdown::Write).ok();
        let mut rest = Vec::new();
        client.0.read_to_end(&mut rest).ok();
        assert!(!rest.starts_with(b"2"), "{}", rest.escape_ascii());
        steady.command("NOOP", 200);
    }
}

/// A byte at a time, each in a packet of its own.
#[test]
fn records_may_come_in_pieces() {
    let place = Place::new();
    let server = place.implicit();
    let stream = connect(server.address);
    stream.set_nodelay(true).unwrap();
    let trust = place.trust();
    let name = ServerName::try_from("localhost").unwrap();
    let mut tls = ClientConnection::new(Arc::new(trust), name).unwrap();
    let mut socket = &stream;
    let mut send = |tls: &mut ClientConnection| {
        while tls.wants_write() {
            let mut bytes = Vec::new();
            tls.write_tls(&mut bytes).unwrap();
            for byte in bytes {
                socket.write_all(&[byte]).unwrap();
            }
        }
    };
    let mut greeting = Vec::new();
    while !greeting.ends_with(b"\n") {
        send(&mut tls);
        tls.read_tls(&mut &stream).unwrap();
        tls.process_new_packets().unwrap();
        tls.reader().read_to_end(&mut greeting).ok();
    }
    assert!(greeting.starts_with(b"220"));
    tls.writer().write_all(b"NOOP\r\nSYST\r\n").unwrap();
    send(&mut tls);
    let mut answers = Vec::new();
    while !answers.ends_with(b"L8\r\n") {
        tls.read_tls(&mut &stream).unwrap();
        tls.process_new_packets().unwrap();
        tls.reader().read_to_end(&mut answers).ok();
    }
    assert!(answers.starts_with(b"530") || answers.starts_with(b"200"));
}

/// A download that nobody reads, under TLS: it ends when patience does.
#[test]
fn who_never_reads_is_not_waited_for_under_tls() {
    let place = Place::new();
    let file = fs::File::create(place.root.path().join("large")).unwrap();
    file.set_len(1 << 30).unwrap();
    let config = FtpConfig {
        patience: hythe_net::Patience {
            idle: Duration::from_millis(500),
            bytes: 1_000_000,
        },
        ..FtpConfig::default()
    };
    let server = place.explicit(config);
    let trust = place.trust();
    let mut client = upgraded(&server, &trust);
    client.begin_private();
    let data = connect(client.port());
    client.command("RETR large", 150);
    let _data = shake_hands(data, &trust).unwrap();
    client.expect(426);
    client.command("NOOP", 200);
    eventually("others are served", || {
        let mut other = upgraded(&server, &trust);
        other.begin_private();
        other.get("RETR file", &trust).0 == b"one\ntwo\n"
    });
}
