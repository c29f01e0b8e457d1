//! Those in the middle: one who listens, and one who speaks TLS with both ends.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::thread;

use hythe_wire::frame::PREFIX;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::ring::default_provider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, ServerConfig, ServerConnection,
    SignatureScheme, StreamOwned,
};

use super::common::connect;
use super::ends::{Place, Receiver, finish, names, receiving, sending};

fn with(mut command: Command) -> Command {
    command.env("HYTHE_SECRET", "a secret of the two");
    command
}

/// Believes everybody.
#[derive(Debug)]
struct Anybody;

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        default_provider()
            .signature_verification_algorithms
            .supported_schemes()
    }
}

/// TLS with a receiver, whoever it is.
pub(super) fn tls_to(address: SocketAddr) -> StreamOwned<ClientConnection, TcpStream> {
    let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody))
        .with_no_client_auth();
    let name = ServerName::try_from("hythe").unwrap();
    let tls = ClientConnection::new(Arc::new(config), name).unwrap();
    StreamOwned::new(tls, connect(address))
}

/// TLS with a sender.
fn tls_from(stream: TcpStream) -> StreamOwned<ServerConnection, TcpStream> {
    let certified = rcgen::generate_simple_self_signed(["hythe".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(certified.signing_key.serialize_der()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certified.cert.der().clone()], key)
        .unwrap();
    StreamOwned::new(ServerConnection::new(Arc::new(config)).unwrap(), stream)
}

/// A whole frame, as it came.
fn frame(from: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut frame = vec![0; PREFIX];
    from.read_exact(&mut frame)?;
    let length = u32::from_be_bytes(frame[..].try_into().unwrap()) as usize;
    frame.resize(PREFIX + length, 0);
    from.read_exact(&mut frame[PREFIX..])?;
    Ok(frame)
}

/// What both ends say of the keys is passed on as it is: each has a connection of
/// its own, and so it is of no use to the other.
#[test]
fn one_who_speaks_tls_with_both_is_refused_by_both() {
    let place = Place::new();
    let file = place.write("from/file", "for one pair of eyes");
    let receiver = Receiver::spawn(with(receiving(
        "127.0.0.1:0",
        &place.path("to"),
        &["--keep"],
    )));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let there = receiver.socket();
    let middle = thread::spawn(move || {
        let mut passed = Vec::new();
        let mut sender = tls_from(listener.accept().unwrap().0);
        let mut receiver = tls_to(there);
        let mut pass = |from: &mut dyn Read, to: &mut dyn Write| {
            let mut from = from;
            let Ok(frame) = frame(&mut from) else {
                return;
            };
            passed.push(frame.len());
            to.write_all(&frame).and_then(|()| to.flush()).ok();
        };
        pass(&mut sender, &mut receiver);
        pass(&mut receiver, &mut sender);
        // The sender has none to pass on.
        pass(&mut sender, &mut receiver);
        passed
    });
    finish(with(sending(&["--retries", "0", &file, &address])))
        .fails(4, &["the secret is wrong", "is not who it should be"]);
    let passed = middle.join().unwrap();
    assert_eq!(passed.len(), 2, "{passed:?}");
    receiver.says("the sender has another secret; nothing was received");
    assert!(names(&place.path("to")).is_empty());
    finish(with(sending(&[&file, &receiver.address]))).ok();
    place.holds("to/file", "for one pair of eyes");
}

/// One who is not the receiver has a proof of its own: of another secret.
#[test]
fn a_receiver_that_does_not_know_it_is_sent_nothing() {
    let place = Place::new();
    let file = place.write("from/file", "for one pair of eyes");
    for answer in [&[0; 320][..], &[0xff; 320], &[5; 64], &[]] {
        let answer = answer.to_vec();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let false_one = thread::spawn(move || {
            let mut sender = tls_from(listener.accept().unwrap().0);
            let first = frame(&mut sender).unwrap();
            let mut key = Vec::new();
            hythe_wire::transfer::Message::Key(&answer).encode(&mut key);
            sender.write_all(&key).and_then(|()| sender.flush()).ok();
            let mut rest = Vec::new();
            sender.read_to_end(&mut rest).ok();
            (first.len(), rest)
        });
        let said = finish(with(sending(&["--retries", "0", &file, &address])));
        assert!(said.status == 4 || said.status == 1, "{said:?}");
        let (first, rest) = false_one.join().unwrap();
        assert!(first < 128, "{first}");
        assert_eq!(rest, b"", "{said:?}");
    }
}

/// Passes bytes on, and keeps all of them.
fn relay(there: SocketAddr) -> (String, Arc<Mutex<Vec<u8>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let seen = Arc::<Mutex<Vec<u8>>>::default();
    let all = Arc::clone(&seen);
    thread::spawn(move || {
        for here in listener.incoming().map_while(Result::ok) {
            let there = connect(there);
            for (from, to) in [
                (here.try_clone().unwrap(), there.try_clone().unwrap()),
                (there, here),
            ] {
                let all = Arc::clone(&all);
                thread::spawn(move || pass(from, to, &all));
            }
        }
    });
    (address, seen)
}

fn pass(mut from: TcpStream, mut to: TcpStream, all: &Mutex<Vec<u8>>) {
    let mut piece = vec![0; 64 * 1024];
    while let Ok(count @ 1..) = from.read(&mut piece) {
        all.lock().unwrap().extend_from_slice(&piece[..count]);
        if to.write_all(&piece[..count]).is_err() {
            break;
        }
    }
    to.shutdown(Shutdown::Write).ok();
}

#[test]
fn one_who_listens_sees_nothing() {
    const MARKS: [&[u8]; 4] = [
        b"plain words",
        b"name of a file",
        b"hythe transfer",
        b"a secret of the two",
    ];
    let place = Place::new();
    let file = place.write("from/name of a file", "plain words ".repeat(1000));
    let sees = |seen: &Mutex<Vec<u8>>| {
        let seen = seen.lock().unwrap();
        MARKS.map(|mark| seen.windows(mark.len()).any(|window| window == mark))
    };
    let receiver = Receiver::start(&place.path("to"), &[]);
    let (address, seen) = relay(receiver.socket());
    finish(sending(&[&file, &address])).ok();
    receiver.wait().ok();
    assert_eq!(sees(&seen), [true, true, true, false]);
    std::fs::remove_file(place.path("to/name of a file")).unwrap();
    let receiver = Receiver::spawn(with(receiving("127.0.0.1:0", &place.path("to"), &[])));
    let (address, seen) = relay(receiver.socket());
    finish(with(sending(&[&file, &address]))).ok();
    receiver.wait().ok();
    place.holds("to/name of a file", "plain words ".repeat(1000));
    assert_eq!(sees(&seen), [false; 4]);
    assert!(seen.lock().unwrap().len() > 12_000);
}
