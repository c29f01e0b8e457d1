//! Through proxies, in the clear and by CONNECT; and what TLS is for.

use std::io::{BufReader, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

use hythe::client::{Ask, Options, Proxies, Reason, Remote as _};
use hythe::tls::SelfSigned;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::common::Served;
use crate::scripted::{Scripted, field, read_head, read_request};
use crate::{fetch, options, path, trusting, with_options};

const FOUND: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nriver";

/// A certificate for this machine, and its key.
fn certificate(folder: &Path) -> PathBuf {
    let kept = SelfSigned::kept_in(folder);
    let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    kept.identity(now.as_secs() as i64, names).unwrap();
    kept.file().to_owned()
}

fn serve_tls(folder: &Path, keys: &Path) -> (Served, PathBuf) {
    let pem = certificate(keys);
    let file = pem.to_str().unwrap();
    let arguments = [
        "--http",
        "off",
        "--https",
        "0",
        "--tls-cert",
        file,
        "--tls-key",
        file,
    ];
    (Served::http(folder, &arguments), pem)
}

fn through(url: &str) -> Proxies {
    Proxies::named(|name| (name == "all_proxy").then(|| url.to_owned()))
}

#[test]
fn requests_in_the_clear_name_the_whole_address() {
    let proxy = Scripted::new(vec![vec![FOUND.to_vec(), FOUND.to_vec()]]);
    let proxies = through(&format!("http://anna:p%40@{}", proxy.address));
    with_options(
        "http://bob:x@quay.example:81/",
        options(),
        proxies,
        async |client| {
            for at in ["/a%20b", "/c"] {
                assert_eq!(
                    fetch(client, at, &Ask::default()).await.unwrap().1,
                    b"river"
                );
            }
        },
    );
    let seen = proxy.seen();
    assert!(
        seen[0]
            .starts_with("GET http://quay.example:81/a%20b HTTP/1.1\r\nHost: quay.example:81\r\n"),
        "{seen:?}"
    );
    assert_eq!(
        field(&seen[0], "Proxy-Authorization"),
        Some("Basic YW5uYTpwQA==")
    );
    assert_eq!(field(&seen[0], "Authorization"), Some("Basic Ym9iOng="));
}

#[test]
fn a_proxy_that_wants_a_password_says_so() {
    let answer = b"HTTP/1.1 407 No\r\nContent-Length: 0\r\n\r\n";
    let proxy = Scripted::each(&[answer, answer]);
    for url in ["http://quay/", "https://quay/"] {
        let options = Options {
            insecure: true,
            ..options()
        };
        let proxies = through(&proxy.address.to_string());
        with_options(url, options, proxies, async |client| {
            let error = fetch(client, "/", &Ask::default()).await.unwrap_err();
            assert_eq!(error.reason, Reason::NotAllowed);
            assert!(error.text.contains("proxy"), "{error}");
        });
    }
}

#[test]
fn a_proxy_that_is_not_there_or_refuses_is_named() {
    let proxy = Scripted::one("HTTP/1.1 503 No \x1b[2J\r\n\r\n");
    let options = Options {
        insecure: true,
        ..options()
    };
    let proxies = through(&proxy.address.to_string());
    with_options("https://quay/", options.clone(), proxies, async |client| {
        let error = fetch(client, "/", &Ask::default()).await.unwrap_err();
        assert_eq!(error.reason, Reason::Unreachable);
        assert!(
            error.text.contains("proxy") && !error.text.contains('\x1b'),
            "{error}"
        );
    });
    with_options(
        "http://quay/",
        options,
        through("127.0.0.1:1"),
        async |client| {
            let error = fetch(client, "/", &Ask::default()).await.unwrap_err();
            assert_eq!(error.reason, Reason::Unreachable);
            assert!(error.text.contains("proxy"), "{error}");
        },
    );
}

/// A proxy that connects whoever asks.
fn tunnels(connections: usize) -> Scripted {
    Scripted::with(connections, |_, stream, seen| {
        let Some(head) = read_head(stream) else {
            return;
        };
        let authority = head.split(' ').nth(1).unwrap().to_owned();
        seen(head);
        let server = TcpStream::connect(authority).unwrap();
        stream
            .get_mut()
            .write_all(b"HTTP/1.1 200 Connected\r\nX: y\r\n\r\n")
            .unwrap();
        let (mut up, mut down) = (
            server.try_clone().unwrap(),
            stream.get_ref().try_clone().unwrap(),
        );
        let back = thread::spawn(move || {
            std::io::copy(&mut &server, &mut down).ok();
            down.shutdown(Shutdown::Write).ok();
        });
        std::io::copy(stream, &mut up).ok();
        up.shutdown(Shutdown::Write).ok();
        back.join().unwrap();
    })
}

#[test]
fn https_goes_through_a_tunnel_and_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let content = crate::common::content(3_000_000);
    std::fs::write(folder.path().join("a.bin"), &content).unwrap();
    let keys = tempfile::tempdir().unwrap();
    let (served, pem) = serve_tls(folder.path(), keys.path());
    let proxy = tunnels(1);
    let proxies = through(&format!("http://anna:x@{}/", proxy.address));
    let url = served.url("https");
    with_options(url, trusting(pem), proxies, async |client| {
        for _ in 0..2 {
            let (opening, bytes) = fetch(client, "/a.bin", &Ask::default()).await.unwrap();
            assert!(bytes == content);
            assert_eq!(opening.total, Some(3_000_000));
        }
        assert_eq!(client.list(&path("/")).await.unwrap().len(), 1);
    });
    let seen = proxy.seen();
    assert_eq!(seen.len(), 1);
    let address = served.address("https");
    assert!(seen[0].starts_with(&format!(
        "CONNECT {address} HTTP/1.1\r\nHost: {address}\r\n"
    )));
    assert!(field(&seen[0], "Proxy-Authorization").is_some());
}

#[test]
fn certificates_are_checked_unless_told_otherwise() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a"), "river").unwrap();
    let keys = tempfile::tempdir().unwrap();
    let (served, pem) = serve_tls(folder.path(), keys.path());
    let others = tempfile::tempdir().unwrap();
    let other = certificate(others.path());
    let url = served.url("https");
    let get = |options| {
        with_options(url, options, Proxies::none(), async |client| {
            fetch(client, "/a", &Ask::default()).await
        })
    };
    assert_eq!(get(trusting(pem)).unwrap().1, b"river");
    assert_eq!(
        get(Options {
            insecure: true,
            ..options()
        })
        .unwrap()
        .1,
        b"river"
    );
    let error = get(trusting(other)).unwrap_err();
    assert_eq!(error.reason, Reason::NotAllowed, "{error}");
    // What is not TLS at all.
    let plain = Scripted::one("HTTP/1.1 400 Bad\r\n\r\n");
    let url = format!("https://{}/", plain.address);
    let options = Options {
        insecure: true,
        ..options()
    };
    with_options(&url, options, Proxies::none(), async |client| {
        assert!(fetch(client, "/a", &Ask::default()).await.is_err());
    });
}

/// A server of TLS that answers each connection once.
fn scripted_tls(pem: &Path, answers: Vec<Vec<u8>>, farewell: bool) -> Scripted {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![CertificateDer::from_pem_file(pem).unwrap()],
            PrivateKeyDer::from_pem_file(pem).unwrap(),
        )
        .unwrap();
    let config = Arc::new(config);
    Scripted::with(answers.len(), move |index, stream, seen| {
        let tls = ServerConnection::new(Arc::clone(&config)).unwrap();
        let socket = stream.get_ref().try_clone().unwrap();
        let mut tls = BufReader::new(StreamOwned::new(tls, socket));
        if let Some(head) = read_head(&mut tls) {
            seen(head);
            let tls = tls.get_mut();
            tls.write_all(&answers[index]).unwrap();
            if farewell {
                tls.conn.send_close_notify();
            }
            tls.flush().unwrap();
        }
    })
}

#[test]
fn nothing_leads_out_of_tls() {
    let folder = tempfile::tempdir().unwrap();
    let pem = certificate(folder.path());
    let plain = Scripted::one(FOUND);
    let answer = format!(
        "HTTP/1.1 302 Found\r\nLocation: {}\r\nContent-Length: 0\r\n\r\n",
        plain.url("/b")
    );
    let server = scripted_tls(&pem, vec![answer.into()], true);
    let url = format!("https://bob:secret@{}/", server.address);
    with_options(&url, trusting(pem), Proxies::none(), async |client| {
        let error = fetch(client, "/a", &Ask::default()).await.unwrap_err();
        assert_eq!(error.reason, Reason::Protocol, "{error}");
    });
    assert!(field(&server.seen()[0], "Authorization").is_some());
    assert_eq!(plain.seen().len(), 0);
}

#[test]
fn an_end_that_tls_does_not_tell_is_a_cut() {
    let folder = tempfile::tempdir().unwrap();
    let pem = certificate(folder.path());
    let answer = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nriver".to_vec();
    for farewell in [true, false] {
        let server = scripted_tls(&pem, vec![answer.clone()], farewell);
        let url = format!("https://{}/", server.address);
        with_options(
            &url,
            trusting(pem.clone()),
            Proxies::none(),
            async |client| {
                let result = fetch(client, "/a", &Ask::default()).await;
                if farewell {
                    assert_eq!(result.unwrap().1, b"river");
                } else {
                    assert_eq!(result.unwrap_err().reason, Reason::Lost);
                }
            },
        );
    }
}

#[test]
fn a_proxy_can_not_speak_for_the_server() {
    let proxy = Scripted::with(1, |_, stream, _| {
        read_request(stream);
        let early = b"HTTP/1.1 200 Connected\r\n\r\nHTTP/1.1 200 OK\r\n\r\nevil";
        stream.get_mut().write_all(early).unwrap();
        stream.read_to_end(&mut Vec::new()).ok();
    });
    let options = Options {
        insecure: true,
        ..options()
    };
    let proxies = through(&proxy.address.to_string());
    with_options("https://quay/", options, proxies, async |client| {
        let error = fetch(client, "/", &Ask::default()).await.unwrap_err();
        assert_eq!(error.reason, Reason::Protocol, "{error}");
    });
}
