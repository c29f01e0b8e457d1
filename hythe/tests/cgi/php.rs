//! `--fastcgi` with php-fpm, and with servers that are none.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Stdio;
use std::thread;

use serde_json::json;
use tempfile::TempDir;

use crate::common::http::Client;
use crate::common::servers::php::Php;
use crate::common::{PATIENCE, Served, content, eventually, run, shown, tool};
use crate::scripts::tried;
use crate::stage::get;

const FORM: &str = r#"<?php
setcookie("visits", "1");
if (isset($_GET["complain"])) error_log("complaint 来");
?><!doctype html><meta charset="utf-8"><title>Form</title>
<form method="post" enctype="multipart/form-data"><input name="name"><input type="file" name="file">
<button>Send</button></form>
<?php
if ($_SERVER["REQUEST_METHOD"] === "POST") {
    echo '<p id="said">Hello, ', htmlspecialchars($_POST["name"]), "!</p>";
    if (isset($_FILES["file"]) && $_FILES["file"]["size"] > 0)
        echo '<p id="file">', htmlspecialchars($_FILES["file"]["name"]), " ", $_FILES["file"]["size"], "</p>";
}
"#;

const TOLD: &str = r#"<?php
header("Content-Type: text/plain");
foreach (["SCRIPT_NAME", "SCRIPT_FILENAME", "PATH_INFO", "QUERY_STRING", "DOCUMENT_ROOT", "REQUEST_URI",
    "REMOTE_ADDR", "HTTP_PROXY", "HTTP_AUTHORIZATION", "HTTP_X_USER", "REMOTE_USER"] as $name)
    echo $name, "=", $_SERVER[$name] ?? "-", "\n";
"#;

/// A share with these files.
fn share(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    folder
}

fn serve(share: &Path, address: &str, arguments: &[&str]) -> Served {
    let flag = format!(".php={address}");
    Served::http(share, &[&["--fastcgi", &flag], arguments].concat())
}

fn curl(arguments: &[&str]) -> String {
    String::from_utf8(run(tool("curl").args(["-sS"]).args(arguments))).unwrap()
}

#[test]
fn a_form_is_answered_at_a_socket_and_at_a_port() {
    let folder = share(&[
        ("form.php", FORM),
        ("文件夹/told 来.php", TOLD),
        ("plain.txt", "plain"),
    ]);
    for php in [Php::start(), Php::start_at_port()] {
        let served = serve(folder.path(), &php.address, &[]);
        let url = served.url("http");
        let form = format!("{url}form.php");
        let page = curl(&["-i", &form]);
        assert!(
            page.contains("<form method=\"post\"") && page.contains("Set-Cookie: visits=1"),
            "{page}"
        );
        let said = curl(&["-d", "name=M%C3%BCller+%26+%E6%9D%A5", &form]);
        assert!(said.contains("Hello, Müller &amp; 来!"), "{said}");
        let chunked = ["-H", "Transfer-Encoding: chunked", "-d", "name=chunk"];
        let said = curl(&[&chunked[..], &[&form]].concat());
        assert!(said.contains("Hello, chunk!"), "{said}");
        let file = format!(
            "file=@{}/plain.txt;filename=来.txt",
            folder.path().display()
        );
        let said = curl(&["-F", "name=x", "-F", &file, &form]);
        assert!(said.contains("来.txt 5"), "{said}");
        let told = curl(&[
            "-H",
            "Proxy: evil",
            "-H",
            "X_User: admin",
            "-u",
            "a:secret",
            &format!("{url}%E6%96%87%E4%BB%B6%E5%A4%B9/told%20%E6%9D%A5.php/a%20b/?q=1&r"),
        ]);
        let root = fs::canonicalize(folder.path()).unwrap();
        let root = root.display();
        let expected = format!(
            "SCRIPT_NAME=/文件夹/told 来.php\nSCRIPT_FILENAME={root}/文件夹/told 来.php\n\
             PATH_INFO=/a b/\nQUERY_STRING=q=1&r\nDOCUMENT_ROOT={root}\n\
             REQUEST_URI=/%E6%96%87%E4%BB%B6%E5%A4%B9/told%20%E6%9D%A5.php/a%20b/?q=1&r\n\
             REMOTE_ADDR=127.0.0.1\nHTTP_PROXY=-\nHTTP_AUTHORIZATION=-\nHTTP_X_USER=-\nREMOTE_USER=-\n"
        );
        assert_eq!(told, expected);
        assert_eq!(curl(&[&format!("{url}plain.txt")]), "plain");
        curl(&[&format!("{form}?complain")]);
        let log = served.stop();
        assert!(log.contains("complaint 来"), "{log}");
    }
}

#[test]
fn a_form_is_filled_in_with_chromium() {
    let php = Php::start();
    let tools = Path::new(env!("CARGO_TARGET_TMPDIR")).join("../tools");
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/browser");
    let installed = tools.join("node/node_modules/playwright-core").is_dir();
    assert!(installed, "run scripts/test, which installs the clients");
    tool("chromium");
    let stage = json!({ "hythe": env!("CARGO_BIN_EXE_hythe"), "tools": tools, "php": php.address });
    let mut node = tool("node");
    node.arg(scripts.join("programs.mjs"))
        .arg(stage.to_string());
    let output = node.stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{}\n{}", shown(&output), php.log());
}

#[test]
fn only_files_that_end_so_are_run() {
    let canary = share(&[("out.php", "<?php echo 'canary';")]);
    let folder = share(&[
        ("photo.jpg", "<?php echo 'canary'; ?>"),
        ("run.php", "<?php echo 'ran', $_SERVER['PATH_INFO'] ?? '';"),
        ("loud.PHP", "<?php echo 'canary'; ?>"),
        ("old.php.bak", "old"),
        ("folder.php/inner.txt", "inner"),
        ("folder.php/run.php", "<?php echo 'inside';"),
    ]);
    symlink(
        canary.path().join("out.php"),
        folder.path().join("link.php"),
    )
    .unwrap();
    symlink(canary.path(), folder.path().join("link")).unwrap();
    let php = Php::start();
    let served = serve(folder.path(), &php.address, &[]);
    let address = served.address("http");
    for (path, status, text) in [
        ("/run.php", 200, "ran"),
        ("/run.php/", 200, "ran/"),
        ("/run.php/photo.jpg", 200, "ran/photo.jpg"),
        ("/run.php/x.php", 200, "ran/x.php"),
        ("/%72un%2ephp", 200, "ran"),
        ("/folder.php/run.php", 200, "inside"),
        ("/folder.php/inner.txt", 200, "inner"),
        ("/old.php.bak", 200, "old"),
        ("/photo.jpg/x.php", 404, ""),
        ("/photo.jpg/.php", 404, ""),
        ("/photo.jpg%2Fx.php", 400, ""),
        ("/photo.jpg%00.php", 400, ""),
        ("/photo.jpg%0A.php", 404, ""),
        ("/nothing.php", 404, ""),
        ("/link.php", 404, ""),
        ("/link/out.php", 404, ""),
        ("/../out.php", 404, ""),
        ("/%2e%2e/out.php", 404, ""),
        ("/RUN.php", 404, ""),
        ("/run.PHP", 404, ""),
        // php-fpm itself takes small letters only; nobody is shown the source.
        ("/loud.PHP", 403, ""),
    ] {
        let reply = get(address, path, &[]);
        let said = String::from_utf8_lossy(&reply.body).into_owned();
        assert_eq!(reply.status, status, "{path}: {said}");
        assert!(
            !said.contains("canary") && !said.contains("<?php"),
            "{path}: {said}"
        );
        if status == 200 {
            assert_eq!(said, text, "{path}");
        }
    }
    served.stop();
}

#[test]
fn nobody_reads_a_program() {
    let folder = share(&[
        ("secret.php", "<?php $password = 'canary';"),
        ("plain.txt", "plain"),
    ]);
    let flag = [".php=unix:/tmp/nobody.sock"];
    let served = Served::start(folder.path(), &["--fastcgi", flag[0]]);
    let http = served.address("http");
    for (target, fields) in [
        ("/secret.php", &[][..]),
        ("/secret.php", &["Range: bytes=0-5"]),
        ("/secret.php?download", &[]),
        ("/?zip", &[]),
        ("/?tar", &[]),
        ("/?json", &[]),
        ("/secret.php?json", &[]),
    ] {
        let reply = get(http, target, fields);
        let said = String::from_utf8_lossy(&reply.body).into_owned();
        assert!(!said.contains("canary"), "{target}: {said}");
    }
    let ftp = served.url("ftp");
    let listing = curl(&[ftp]);
    assert!(listing.contains("secret.php"), "{listing}");
    let output = tried(&[&format!("{ftp}secret.php")]);
    assert_eq!(
        (output.status.code(), output.stdout.len()),
        (Some(78), 0),
        "{}",
        shown(&output)
    );
    assert_eq!(curl(&[&format!("{ftp}plain.txt")]), "plain");
    let gopher = served.url("gopher");
    let output = tried(&[&format!("{gopher}0/secret.php")]);
    assert!(!shown(&output).contains("canary"));
    served.stop();
}

#[test]
fn much_goes_through_in_both_directions() {
    let folder = share(&[(
        "echo.php",
        "<?php header('Content-Type: a/b'); fpassthru(fopen('php://input', 'r'));",
    )]);
    let php = Php::start();
    let served = serve(
        folder.path(),
        &php.address,
        &["--cgi-max-output", "8000000"],
    );
    let url = format!("{}echo.php", served.url("http"));
    let sent = folder.path().join("sent");
    for (length, code) in [
        (1, 0),
        (65_535, 0),
        (65_536, 0),
        (7_999_999, 0),
        (8_000_000, 0),
        (8_000_001, 18),
    ] {
        fs::write(&sent, content(length)).unwrap();
        let body = format!("@{}", sent.display());
        let output = tried(&["-H", "Content-Type: a/b", "--data-binary", &body, &url]);
        assert_eq!(output.status.code(), Some(code), "{length}");
        assert!(code != 0 || output.stdout == content(length), "{length}");
    }
    let log = served.stop();
    assert!(log.contains("ended, since it does not stop"), "{log}");
}

#[test]
fn slow_dead_and_failing_are_told_apart() {
    let folder = share(&[
        ("slow.php", "<?php sleep(20);"),
        ("fatal.php", "<?php nothing();"),
        (
            "exit.php",
            "<?php http_response_code(410); echo 'teapot'; exit(3);",
        ),
        ("run.php", "<?php echo 'ran';"),
    ]);
    let php = Php::start();
    let served = serve(folder.path(), &php.address, &["--cgi-timeout", "1"]);
    let address = served.address("http");
    assert_eq!(get(address, "/slow.php", &[]).status, 504);
    assert_eq!(get(address, "/fatal.php", &[]).status, 500);
    let reply = get(address, "/exit.php", &[]);
    assert_eq!((reply.status, &reply.body[..]), (410, &b"teapot"[..]));
    assert_eq!(get(address, "/run.php", &[]).body, b"ran");
    drop(php);
    let reply = get(address, "/run.php", &[]);
    assert_eq!(reply.status, 502);
    let text = String::from_utf8(reply.body).unwrap();
    assert!(
        text.contains("the server that runs this program cannot be reached"),
        "{text}"
    );
    let log = served.stop();
    assert!(log.contains("undefined function nothing()"), "{log}");
    assert!(log.contains("given up: the server says nothing"), "{log}");
    assert!(
        log.contains("the FastCGI server cannot be reached"),
        "{log}"
    );
}

/// A server that does this with each connection.
fn fake(act: impl Fn(TcpStream) + Send + 'static) -> String {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || listener.incoming().flatten().for_each(act));
    address.to_string()
}

#[test]
fn servers_that_are_none_do_no_harm() {
    let folder = share(&[("run.php", "<?php"), ("plain.txt", "plain")]);
    const OUT: &[u8] = b"\x01\x06\0\x01\0\x1c\0\0Content-Type: text/plain\n\nab";
    const END: &[u8] = b"\x01\x03\0\x01\0\x08\0\0\0\0\0\0\0\0\0\0";
    for (said, status) in [
        (&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], 502),
        (b"", 502),
        (b"\x01\x06\0\x01\xff\xff\0\0", 502),
        (b"\x01\x06\0\x07\0\x05\0\0hello", 502),
        (b"\x01\x03\0\x01\0\x08\0\0\0\0\0\0\x02\0\0\0", 503),
        (b"\x01\x03\0\x01\0\x08\0\0\0\0\0\0\x03\0\0\0", 502),
        (b"\x01\x0b\0\0\0\x08\0\0\x04\0\0\0\0\0\0\0", 502),
        (END, 502),
        (&[OUT, END].concat(), 200),
    ] {
        let reply = said.to_vec();
        let address = fake(move |mut stream| {
            let mut head = [0; 8];
            stream.read_exact(&mut head).ok();
            stream.write_all(&reply).ok();
        });
        let served = serve(folder.path(), &address, &[]);
        let reply = get(served.address("http"), "/run.php", &[]);
        let shown = said.escape_ascii();
        assert_eq!(reply.status, status, "{shown}");
        assert_eq!(
            reply.field("Retry-After").is_some(),
            status == 503,
            "{shown}"
        );
        assert_eq!(
            get(served.address("http"), "/plain.txt", &[]).body,
            b"plain"
        );
        served.stop();
    }
    // One that breaks off in the middle of the body.
    let address = fake(|mut stream| {
        stream.read_exact(&mut [0; 8]).ok();
        stream.write_all(OUT).ok();
    });
    let served = serve(folder.path(), &address, &[]);
    let output = tried(&[&format!("{}run.php", served.url("http"))]);
    assert_eq!(output.status.code(), Some(18), "{}", shown(&output));
    served.stop();
}

#[test]
fn a_client_that_leaves_is_told_to_the_server() {
    let folder = share(&[("run.php", "<?php")]);
    let (sender, heard) = std::sync::mpsc::channel();
    let address = fake(move |mut stream| {
        stream.read_exact(&mut [0; 8]).ok();
        sender.send(()).ok();
        // Until the other side has closed.
        std::io::copy(&mut stream, &mut std::io::sink()).ok();
        sender.send(()).ok();
    });
    let served = serve(folder.path(), &address, &[]);
    // What is made once is there then.
    assert_eq!(get(served.address("http"), "/nothing.php", &[]).status, 404);
    let before = served.descriptors();
    for body in ["", "Content-Length: 9\r\n"] {
        let mut client = Client::of_program(served.address("http"));
        client.send(format!("POST /run.php HTTP/1.1\r\nHost: quay\r\n{body}\r\n").as_bytes());
        heard.recv_timeout(PATIENCE).expect("it is asked");
        drop(client);
        heard.recv_timeout(PATIENCE).expect("it is let go");
    }
    eventually("nothing is left", || served.descriptors() <= before);
    served.stop();
}

#[test]
fn who_may_not_read_may_not_run() {
    let folder = share(&[("told.php", TOLD)]);
    let php = Php::start();
    let arguments = ["--allow", "none", "--user", "anna:open sesame:read"];
    let served = serve(folder.path(), &php.address, &arguments);
    let url = format!("{}told.php", served.url("http"));
    let status = ["-o", "/dev/null", "-w", "%{http_code}"];
    assert_eq!(curl(&[&status[..], &[&url]].concat()), "401");
    let told = curl(&["-u", "anna:open sesame", &url]);
    assert!(told.contains("REMOTE_USER=anna"), "{told}");
    assert!(!told.contains("sesame"), "{told}");
    served.stop();
}
