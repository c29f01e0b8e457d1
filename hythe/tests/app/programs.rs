//! Programs on a path of an application.

use std::fs::{self, Permissions};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::thread;
use std::time::Duration;

use hythe::http::{Cgi, FastCgi, Request, Router, layer};
use hythe_net::Addr;
use tempfile::TempDir;

use super::common::http::Client;
use super::{App, text};

fn script(folder: &Path, name: &str, lines: &str) {
    let file = folder.join(name);
    fs::write(&file, format!("#!/bin/sh\n{lines}\n")).unwrap();
    fs::set_permissions(file, Permissions::from_mode(0o755)).unwrap();
}

fn scripts() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let head = "printf 'Content-Type: text/plain\\n\\n'";
    script(
        folder.path(),
        "where",
        &format!("{head}; printf '%s %s' \"$SCRIPT_NAME\" \"$PATH_INFO\""),
    );
    script(folder.path(), "cat", &format!("{head}; exec cat"));
    script(folder.path(), "deaf", &format!("{head}; printf deaf"));
    script(folder.path(), "slow", "exec sleep 86461");
    folder
}

#[test]
fn programs_are_mounted_anywhere_behind_any_layer() {
    let folder = scripts();
    let cgi = Cgi::new(folder.path()).unwrap();
    let inner = Router::new()
        .layer(layer::max_body(5))
        .mount("/来/cgi", cgi.clone());
    let router = Router::new()
        .get("/", async |_: Request| "mine")
        .mount("/{kind}/run", cgi.with_timeout(Duration::from_secs(1)))
        .nest("/inner", inner);
    let app = App::serve(router);
    let mut client = Client::of_program(app.address);
    for (target, said) in [
        ("/", "mine"),
        ("/any/run/where", "/any/run/where "),
        ("/%61ny/run/where/%62", "/any/run/where /b"),
        ("/inner/%E6%9D%A5/cgi/where/", "/inner/来/cgi/where /"),
    ] {
        let reply = client.ask("GET", target, &[]);
        assert_eq!((reply.status, text(&reply)), (200, said), "{target}");
    }
    for (target, status) in [
        ("/any/run/nothing", 404),
        ("/any/run/slow", 504),
        ("/inner/cgi/where", 404),
        ("/any/run", 308),
    ] {
        assert_eq!(client.ask("GET", target, &[]).status, status, "{target}");
    }
    // What a layer allows is all that a program gets.
    for (length, status) in [(5, 200), (6, 413)] {
        let mut client = Client::of_program(app.address);
        let body = "b".repeat(length);
        let head = "POST /inner/%E6%9D%A5/cgi/cat HTTP/1.1\r\nHost: quay\r\nContent-Length";
        client.send(format!("{head}: {length}\r\n\r\n{body}").as_bytes());
        assert_eq!(client.reply("POST").status, status, "{length}");
    }
}

#[test]
fn a_client_that_waits_is_told_to_go_on_before_the_answer_or_not_at_all() {
    let folder = scripts();
    let app = App::serve(Router::new().mount("/cgi", Cgi::new(folder.path()).unwrap()));
    for _ in 0..20 {
        for name in ["cat", "deaf"] {
            let mut stream = app.connect();
            let head = "HTTP/1.1\r\nHost: quay\r\nExpect: 100-continue\r\nConnection: close\r\n";
            write!(stream, "POST /cgi/{name} {head}Content-Length: 3\r\n\r\n").unwrap();
            let mut first = [0; 12];
            stream.read_exact(&mut first).unwrap();
            stream.write_all(b"abc").ok();
            let mut rest = String::new();
            stream.read_to_string(&mut rest).unwrap();
            let whole = String::from_utf8_lossy(&first) + &*rest;
            let told = whole.matches("100 Continue").count();
            assert!(
                told <= 1 && whole.starts_with("HTTP/1.1 100") == (told == 1),
                "{whole}"
            );
            assert!(
                whole.contains("200 OK") && whole.ends_with("0\r\n\r\n"),
                "{whole}"
            );
        }
    }
}

#[test]
fn fastcgi_is_mounted_as_well() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, asked) = std::sync::mpsc::channel();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut bytes = [0; 4096];
            let count = stream.read(&mut bytes).unwrap();
            sender.send(bytes[..count].to_vec()).unwrap();
            let said = b"\x01\x06\0\x01\0\x11\0\0Content-Type: a\n\n\x01\x03\0\x01\0\x08\0\0\0\0\0\0\0\0\0\0";
            stream.write_all(said).unwrap();
        }
    });
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("船.php"), "").unwrap();
    let server = vec![Addr::from(address)];
    let fastcgi = FastCgi::new(server, ".php", folder.path()).unwrap();
    let app = App::serve(Router::new().mount("/app", fastcgi));
    let mut client = Client::of_program(app.address);
    assert_eq!(client.ask("GET", "/app/%E8%88%B9.php/x", &[]).status, 200);
    let bytes = asked.recv().unwrap();
    for pair in ["SCRIPT_NAME/app/船.php", "PATH_INFO/x", "REQUEST_METHODGET"] {
        let found = bytes
            .windows(pair.len())
            .any(|window| window == pair.as_bytes());
        assert!(found, "{pair}: {}", bytes.escape_ascii());
    }
    assert_eq!(client.ask("GET", "/app/no.php", &[]).status, 404);
    assert_eq!(client.ask("GET", "/app/", &[]).status, 404);
}
