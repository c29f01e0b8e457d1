//! HTTPS beside FTPS: the same certificate, another protocol.

use std::fs;
use std::path::Path;
use std::process::Stdio;

use serde_json::json;

use super::common::{content, exchange, run, shown, tool};
use super::{Place, tools};

#[test]
fn curl_fetches_a_range_and_sends() {
    let place = Place::with("127.0.0.1", &["--tls-self-signed"]);
    let sent = content(3_000_000);
    let here = tempfile::tempdir().unwrap();
    let file = here.path().join("file");
    fs::write(&file, &sent).unwrap();
    let url = format!("{}%E6%96%87 1.bin", place.served.url("https")).replace(' ', "%20");
    let curl = |arguments: &[&str]| {
        run(tool("curl")
            .args(["-q", "-sS", "--fail", "--cacert"])
            .arg(place.certificate())
            .args(arguments)
            .arg(&url))
    };
    curl(&["-T", file.to_str().unwrap()]);
    assert!(fs::read(place.share.path().join("文 1.bin")).unwrap() == sent);
    assert!(curl(&[]) == sent);
    assert!(curl(&["-r", "1000000-1999999"]) == sent[1_000_000..2_000_000]);
    assert!(curl(&["-r", "-5"]) == sent[2_999_995..]);
    place.close();
}

#[test]
fn who_speaks_http_there_is_told_so() {
    let place = Place::with("127.0.0.1", &["--tls-self-signed"]);
    let address = place.served.address("https");
    let reply = exchange(address, b"GET / HTTP/1.1\r\nHost: quay\r\n\r\n");
    let reply = String::from_utf8(reply).unwrap();
    assert!(reply.starts_with("HTTP/1.1 400 "), "{reply}");
    assert!(reply.contains("HTTPS"), "{reply}");
    let said = run(tool("curl").args(["-q", "-sS", &format!("http://{address}/")]));
    let said = String::from_utf8(said).unwrap();
    assert!(said.contains("https://"), "{said}");
    place.close();
}

/// A browser that was tricked to the wrong port gets no further than the
/// handshake (ALPACA).
#[test]
fn each_port_has_its_protocol() {
    let place = Place::with("127.0.0.1", &["--tls-self-signed"]);
    for (port, begin, protocol, welcome) in [
        ("https", &[][..], "http/1.1", true),
        ("https", &[], "ftp", false),
        ("ftps", &[], "ftp", true),
        ("ftps", &[], "http/1.1", false),
        ("ftp", &["-starttls", "ftp"], "ftp", true),
        ("ftp", &["-starttls", "ftp"], "http/1.1", false),
    ] {
        let mut client = tool("openssl");
        client.args(["s_client", "-alpn", protocol, "-connect"]);
        client
            .arg(place.served.address(port).to_string())
            .args(begin);
        let output = client.stdin(Stdio::null()).output().unwrap();
        let case = format!("{protocol} at {port}: {}", shown(&output));
        assert_eq!(output.status.success(), welcome, "{case}");
        let said = String::from_utf8_lossy(&output.stdout);
        let agreed = said.contains(&format!("ALPN protocol: {protocol}\n"));
        assert_eq!(agreed, welcome, "{case}");
        let alert = case.contains("alert no application protocol");
        assert_eq!(alert, !welcome, "{case}");
    }
    place.close();
}

#[test]
fn chromium_shows_the_page() {
    let place = Place::with("127.0.0.1", &["--tls-self-signed"]);
    fs::write(place.share.path().join("文 file.txt"), "found\n").unwrap();
    tool("chromium");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/browser/secure.mjs");
    let stage = json!({
        "hythe": env!("CARGO_BIN_EXE_hythe"),
        "tools": tools(),
        "url": place.served.url("https"),
    });
    run(tool("node").arg(script).arg(stage.to_string()));
    place.close();
}
