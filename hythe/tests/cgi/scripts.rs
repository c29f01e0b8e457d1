//! What scripts are told, and what becomes of their answers.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::process::{Command, Output};

use crate::common::http::Client;
use crate::common::{Served, content, exchange, hythe, run, shown, tool};
use crate::stage::{Stage, count, get};

const PYTHON: &str = r#"#!/usr/bin/env python3
import os, sys, urllib.parse
length = int(os.environ.get("CONTENT_LENGTH") or 0)
form = urllib.parse.parse_qs(sys.stdin.buffer.read(length).decode())
name = form.get("name", ["nobody"])[0]
out = f"<!doctype html><title>CGI</title><p id=said>Hello, {name}, 来!</p>\n"
sys.stdout.buffer.write(b"Content-Type: text/html; charset=utf-8\r\n\r\n" + out.encode())
"#;

const ENVIRONMENT: &str = "printf 'Content-Type: text/plain\\n\\n'; env; pwd";

fn curl(arguments: &[&str]) -> String {
    String::from_utf8(run(tool("curl").args(["-sS", "-g"]).args(arguments))).unwrap()
}

/// What curl makes of it, however it ends.
pub(crate) fn tried(arguments: &[&str]) -> Output {
    tool("curl")
        .args(["-sS", "-g"])
        .args(arguments)
        .output()
        .unwrap()
}

#[test]
fn a_shell_and_a_python_script_answer_curl() {
    let stage = Stage::new()
        .shell(
            "greet.sh",
            "printf 'Content-Type: text/plain\\n\\n'; echo \"$REQUEST_METHOD $PATH_INFO $QUERY_STRING\"; cat",
        )
        .program("form.py", PYTHON)
        .program("文件夹/来 去.py", PYTHON);
    let served = stage.serve(&[]);
    let url = served.url("http");
    let greet = format!("{url}cgi/greet.sh");
    assert_eq!(curl(&[&greet]), "GET  \n");
    let below = format!("{greet}/a%20b/%E6%9D%A5/?q=%C3%A4");
    assert_eq!(curl(&[&below]), "GET /a b/来/ q=%C3%A4\n");
    assert_eq!(curl(&["-d", "grüße", &greet]), "POST  \ngrüße");
    assert_eq!(curl(&["-X", "PUT", "-d", "x", &greet]), "PUT  \nx");
    assert_eq!(curl(&["-X", "DELETE", &greet]), "DELETE  \n");
    for path in [
        "form.py",
        "%E6%96%87%E4%BB%B6%E5%A4%B9/%E6%9D%A5%20%E5%8E%BB.py",
    ] {
        let said = curl(&["-d", "name=M%C3%BCller", &format!("{url}cgi/{path}")]);
        assert!(said.contains("Hello, Müller, 来!"), "{path}: {said}");
    }
    // As the client has no end of it in sight.
    let chunked = ["-H", "Transfer-Encoding: chunked", "-d", "name=x"];
    let said = curl(&[&chunked[..], &[&format!("{url}cgi/form.py")]].concat());
    assert!(said.contains("Hello, x,"), "{said}");
    // The share is what it was.
    assert_eq!(curl(&[&format!("{url}plain.txt")]), "plain\n");
    served.stop();
}

/// The variables that a script prints, and the folder it is in.
fn environment(text: &str) -> (BTreeMap<String, String>, String) {
    let mut lines: Vec<&str> = text.lines().collect();
    let folder = lines.pop().unwrap().to_owned();
    let pairs = lines.into_iter().filter_map(|line| line.split_once('='));
    let pairs = pairs.map(|(name, value)| (name.to_owned(), value.to_owned()));
    (pairs.collect(), folder)
}

#[test]
fn a_script_is_told_what_it_should_know_and_nothing_else() {
    let stage = Stage::new().shell("sub/env.sh", ENVIRONMENT);
    let mut command = hythe();
    command.arg("serve").arg(stage.share.path());
    command.args(["--http", "0", "--ftp", "off", "--gopher", "off"]);
    command.arg("--cgi").arg(stage.flag());
    command.env("CANARY", "secret").env("HYTHE_INDEX", "no");
    let served = Served::spawn(command);
    let port = served.address("http").port();
    let reply = get(
        served.address("http"),
        "/cgi/sub/env.sh/x?a=b+c",
        &[
            "X-Own: 来",
            "Cookie: a=b",
            "Cookie: c=d",
            "Proxy: http://evil/",
            "X_Own: forged",
            "Authorization: Basic cXVheTpzZWNyZXQ=",
            "Proxy-Authorization: Basic cXVheTpzZWNyZXQ=",
            "Connection: X-Hop",
            "Content-Type: text/plain",
        ],
    );
    assert_eq!(reply.status, 200);
    let text = String::from_utf8(reply.body).unwrap();
    let (mut found, folder) = environment(&text);
    let scripts = fs::canonicalize(stage.scripts.path()).unwrap();
    assert_eq!(folder, scripts.join("sub").display().to_string());
    let port = port.to_string();
    let file = scripts.join("sub/env.sh").display().to_string();
    for (name, value) in [
        ("GATEWAY_INTERFACE", "CGI/1.1"),
        ("SERVER_PROTOCOL", "HTTP/1.1"),
        ("SERVER_NAME", "quay"),
        ("SERVER_PORT", &port),
        ("SERVER_ADDR", "127.0.0.1"),
        ("REMOTE_ADDR", "127.0.0.1"),
        ("REQUEST_METHOD", "GET"),
        ("REQUEST_SCHEME", "http"),
        ("REQUEST_URI", "/cgi/sub/env.sh/x?a=b+c"),
        ("SCRIPT_NAME", "/cgi/sub/env.sh"),
        ("SCRIPT_FILENAME", &file),
        ("DOCUMENT_ROOT", &scripts.display().to_string()),
        ("PATH_INFO", "/x"),
        ("QUERY_STRING", "a=b+c"),
        ("HTTP_HOST", "quay"),
        ("HTTP_X_OWN", "来"),
        ("HTTP_COOKIE", "a=b; c=d"),
    ] {
        assert_eq!(found.remove(name).as_deref(), Some(value), "{name}: {text}");
    }
    // The shell adds its own.
    for name in ["SERVER_SOFTWARE", "REMOTE_PORT", "PATH", "PWD"] {
        assert!(found.remove(name).is_some(), "{name}: {text}");
    }
    for name in ["OLDPWD", "SHLVL", "_"] {
        found.remove(name);
    }
    assert_eq!(found, BTreeMap::new());
    served.stop();
}

#[test]
fn nothing_is_passed_on_that_the_server_was_given_open() {
    let stage = Stage::new().shell(
        "fds.sh",
        "printf 'Content-Type: text/plain\\n\\n'; cd /proc/$$/fd; \
         for fd in 5 6 7 8 9 11 12 13 14 15 16; do [ -e $fd ] && printf \"%s \" $fd; done; printf nothing",
    );
    let mut command = Command::new("/bin/sh");
    // dash opens what it runs at 10.
    command.args(["-c", "exec \"$0\" \"$@\" 7</etc/passwd"]);
    command.arg(env!("CARGO_BIN_EXE_hythe"));
    command.arg("serve").arg(stage.share.path());
    command.args(["--http", "0", "--ftp", "off", "--gopher", "off"]);
    command.arg("--cgi").arg(stage.flag());
    let served = Served::spawn(command);
    let given = format!("/proc/{}/fd/7", served.child.id());
    assert!(fs::symlink_metadata(given).is_ok());
    let said = curl(&["-d", "x", &format!("{}cgi/fds.sh", served.url("http"))]);
    assert_eq!(said, "nothing");
    served.stop();
}

#[test]
fn only_programs_of_the_folder_are_found() {
    let canary = tempfile::tempdir().unwrap();
    let outside = tempfile::tempdir().unwrap();
    let touch = format!(
        "touch {}/$$; printf 'Content-Type: text/plain\\n\\nran'",
        canary.path().display()
    );
    let stage = Stage::new()
        .shell("run.sh", &touch)
        .shell("sub/run.sh", &touch)
        .shell(".hidden.sh", &touch)
        .shell(".git/run.sh", &touch)
        .shell("a\\b.sh", &touch);
    let scripts = stage.scripts.path();
    fs::copy(scripts.join("run.sh"), outside.path().join("out.sh")).unwrap();
    fs::write(scripts.join("notes.txt"), "canary").unwrap();
    symlink(outside.path().join("out.sh"), scripts.join("out.sh")).unwrap();
    symlink(outside.path(), scripts.join("out")).unwrap();
    symlink("/bin/sh", scripts.join("sh")).unwrap();
    symlink("../../../../../../bin/sh", scripts.join("sh2")).unwrap();
    symlink("sub/run.sh", scripts.join("within.sh")).unwrap();
    let beside = scripts.with_extension("beside");
    fs::create_dir(&beside).unwrap();
    fs::copy(scripts.join("run.sh"), beside.join("run.sh")).unwrap();
    let beside_name = beside.file_name().unwrap().to_str().unwrap().to_owned();
    let served = stage.serve(&[]);
    let address = served.address("http");
    let far = outside.path().display().to_string();
    let sideways = format!("/cgi/../{beside_name}/run.sh");
    let sideways_encoded = format!("/cgi/%2e%2e/{beside_name}/run.sh");
    let absolute = format!("/cgi/{far}/out.sh");
    for (path, status) in [
        ("/cgi/", 404),
        ("/cgi/nothing.sh", 404),
        ("/cgi/sub", 404),
        ("/cgi/sub/", 404),
        ("/cgi/out.sh", 404),
        ("/cgi/out/out.sh", 404),
        ("/cgi/sh?-c+id", 404),
        ("/cgi/sh2", 404),
        ("/cgi/.hidden.sh", 404),
        ("/cgi/.git/run.sh", 404),
        ("/cgi/%2ehidden.sh", 404),
        ("/cgi/notes.txt", 403),
        ("/cgi/notes.txt/run.sh", 403),
        ("/cgi/run.sh%00", 400),
        ("/cgi/run.sh%00.txt", 400),
        ("/cgi/sub%2Frun.sh", 400),
        ("/cgi/sub%5Crun.sh", 400),
        ("/cgi/a%5Cb.sh", 400),
        ("/cgi/run.sh/%2F", 400),
        ("/cgi/%252e%252e/run.sh", 404),
        ("/cgi/..%2frun.sh", 400),
        ("/cgi/%c0%ae%c0%ae/run.sh", 404),
        (&sideways, 404),
        (&sideways_encoded, 404),
        (&absolute, 404),
        ("/CGI/run.sh", 404),
        ("/cgi-old/run.sh", 404),
        ("/cgi/RUN.SH", 404),
    ] {
        let reply = get(address, path, &[]);
        let text = String::from_utf8_lossy(&reply.body).into_owned();
        assert_eq!(reply.status, status, "{path}: {text}");
        assert!(
            !text.contains("canary") && !text.contains("ran"),
            "{path}: {text}"
        );
        assert_eq!(count(canary.path()), 0, "{path}");
    }
    // Where they are meant, they do run.
    for path in [
        "/cgi/run.sh",
        "/cgi/sub/run.sh",
        "/cgi/within.sh",
        "/cgi//sub/./x/../run.sh",
    ] {
        assert_eq!(get(address, path, &[]).body, b"ran", "{path}");
    }
    assert_eq!(count(canary.path()), 4);
    fs::remove_dir_all(beside).unwrap();
    served.stop();
}

#[test]
fn a_script_says_status_fields_and_where_to_go() {
    let stage = Stage::new()
        .shell("teapot.sh", "printf 'Status: 410 Sunk\\r\\nContent-Type: text/plain\\r\\nX-Own: 1\\r\\n\\r\\nshort'")
        .shell("moved.sh", "printf 'Location: /plain.txt\\n\\n'")
        .shell("far.sh", "printf 'Location: https://quay.example/\\nStatus: 301\\n\\n'")
        .shell("hop.sh", "printf 'Content-Type: a/b\\nConnection: X-Hop\\nX-Hop: 1\\nDate: x\\nKeep-Alive: 1\\nSet-Cookie: a=b\\n\\nx'")
        .shell("empty.sh", "printf 'Status: 204\\n\\nbody that nobody gets'")
        .shell("length.sh", "printf 'Content-Type: a/b\\nContent-Length: 5\\n\\n12345'")
        .shell("more.sh", "printf 'Content-Type: a/b\\nContent-Length: 5\\n\\n1234567'")
        .shell("less.sh", "printf 'Content-Type: a/b\\nContent-Length: 5\\n\\n123'")
        .shell("open.sh", "printf 'Content-Type: a/b\\n\\n12345'")
        .shell("slow.sh", "printf 'Content-'; sleep 0.1; printf 'Type: a/b\\n'; sleep 0.1; printf '\\nx'");
    let served = stage.serve(&[]);
    let address = served.address("http");
    let mut client = Client::of_program(address);
    let mut ask = |method: &str, name: &str| client.ask(method, &format!("/cgi/{name}.sh"), &[]);
    let reply = ask("GET", "teapot");
    assert_eq!((reply.status, &reply.body[..]), (410, &b"short"[..]));
    assert_eq!(reply.field("X-Own"), Some("1"));
    let reply = ask("GET", "moved");
    assert_eq!(
        (reply.status, reply.field("Location")),
        (302, Some("/plain.txt"))
    );
    let reply = ask("GET", "far");
    assert_eq!(
        (reply.status, reply.field("Location")),
        (301, Some("https://quay.example/"))
    );
    let reply = ask("GET", "hop");
    assert_eq!(
        (reply.field("X-Hop"), reply.field("Keep-Alive")),
        (None, None)
    );
    assert!(reply.field("Date").unwrap().ends_with("GMT"));
    assert_eq!(reply.field("Set-Cookie"), Some("a=b"));
    assert_eq!(ask("GET", "empty").status, 204);
    let reply = ask("GET", "length");
    assert_eq!(
        (&reply.body[..], reply.field("Content-Length")),
        (&b"12345"[..], Some("5"))
    );
    assert_eq!(ask("GET", "more").body, b"12345");
    assert_eq!(ask("GET", "slow").body, b"x");
    let reply = ask("HEAD", "length");
    assert_eq!(reply.field("Content-Length"), Some("5"));
    let reply = ask("HEAD", "open");
    assert_eq!((reply.status, reply.field("Content-Length")), (200, None));
    let output = tried(&[&format!("{}cgi/less.sh", served.url("http"))]);
    assert_eq!(output.status.code(), Some(18), "{}", shown(&output));
    let log = served.stop();
    assert!(log.contains("it says more than it said it would"), "{log}");
}

#[test]
fn what_is_no_answer_is_a_bad_gateway() {
    let stage = Stage::new()
        .shell("nothing.sh", "")
        .shell("text.sh", "echo hello, world")
        .shell("unfinished.sh", "echo 'Content-Type: text/plain'")
        .shell("endless.sh", "printf 'X: '; exec cat /dev/zero")
        .shell("long.sh", "yes 'X: yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy'")
        .shell("continue.sh", "printf 'Status: 100 Continue\\n\\n'")
        .shell(
            "chunked.sh",
            "printf 'Content-Type: a/b\\nTransfer-Encoding: chunked\\n\\n0\\r\\n\\r\\n'",
        )
        .shell("split.sh", "printf 'Content-Type: a/b\\rX-Forged: 1\\n\\n'")
        .shell("http.sh", "printf 'HTTP/1.1 200 OK\\n\\n'")
        .program("without", "echo no interpreter\n")
        .program("missing", "#!/no/such/interpreter\n");
    let served = stage.serve(&[]);
    let mut client = Client::of_program(served.address("http"));
    for name in [
        "nothing.sh",
        "text.sh",
        "unfinished.sh",
        "endless.sh",
        "long.sh",
        "continue.sh",
        "chunked.sh",
        "split.sh",
        "http.sh",
        "without",
        "missing",
    ] {
        let reply = client.ask("GET", &format!("/cgi/{name}"), &[]);
        let text = String::from_utf8_lossy(&reply.body).into_owned();
        assert_eq!(reply.status, 502, "{name}: {text}");
        assert!(text.contains("the program"), "{name}: {text}");
    }
    let log = served.stop();
    assert_eq!(log.matches("its answer is none of CGI").count(), 7, "{log}");
    assert_eq!(
        log.matches("ended without a whole head").count(),
        2,
        "{log}"
    );
    assert_eq!(log.matches("cannot be started").count(), 2, "{log}");
}

/// What a body may have whose length nobody has said.
const COLLECTED: usize = 2 * 1024 * 1024;

#[test]
fn bodies_go_in_as_they_come_and_as_far_as_they_are_wanted() {
    let stage = Stage::new()
        .shell("cat.sh", "printf 'Content-Type: a/b\\n\\n'; exec cat")
        .shell(
            "count.sh",
            "printf 'Content-Type: a/b\\n\\n'; echo $CONTENT_LENGTH; wc -c",
        )
        .shell("deaf.sh", "printf 'Content-Type: a/b\\n\\ndeaf'")
        .shell(
            "closed.sh",
            "exec <&-; printf 'Content-Type: a/b\\n\\ndeaf'",
        );
    let served = stage.serve(&[]);
    let folder = tempfile::tempdir().unwrap();
    let file = |length: usize| {
        let path = folder.path().join(length.to_string());
        fs::write(&path, content(length)).unwrap();
        format!("@{}", path.display())
    };
    let url = |name: &str| format!("{}cgi/{name}.sh", served.url("http"));
    let large = file(20_000_000);
    let output = tried(&["--data-binary", &large, &url("cat")]);
    assert!(output.stdout == content(20_000_000), "{}", output.status);
    // No more than the server reads for the sake of its answer.
    let unwanted = file(8_000_000);
    for name in ["deaf", "closed"] {
        assert_eq!(curl(&["--data-binary", &unwanted, &url(name)]), "deaf");
    }
    let chunked = ["-H", "Transfer-Encoding: chunked", "-w", " %{http_code}"];
    for (length, status) in [(COLLECTED - 1, 200), (COLLECTED, 200), (COLLECTED + 1, 413)] {
        let body = file(length);
        let said = tried(&[&chunked[..], &["--data-binary", &body, &url("count")]].concat());
        let said = String::from_utf8_lossy(&said.stdout).into_owned();
        assert!(said.ends_with(&format!(" {status}")), "{length}: {said}");
        let counted = format!("{length}\n{length}\n");
        assert_eq!(said.contains(&counted), status == 200, "{length}: {said}");
    }
    // One that says so and breaks off.
    let request = b"POST /cgi/cat.sh HTTP/1.1\r\nHost: quay\r\nContent-Length: 5\r\n\r\nab";
    let mut client = Client::of_program(served.address("http"));
    client.send(request);
    client.finish();
    assert!(!exchange(served.address("http"), b"GET /plain.txt HTTP/1.0\r\n\r\n").is_empty());
    drop(client);
    served.stop();
}

#[test]
fn who_may_not_read_may_not_run_either() {
    let stage = Stage::new().shell("env.sh", ENVIRONMENT);
    let served = stage.serve(&["--allow", "none", "--user", "anna:open sesame:read"]);
    let url = format!("{}cgi/env.sh", served.url("http"));
    let status = ["-o", "/dev/null", "-w", "%{http_code}"];
    assert_eq!(curl(&[&status[..], &[&url]].concat()), "401");
    let wrong = ["-u", "anna:wrong", &url];
    assert_eq!(curl(&[&status[..], &wrong].concat()), "401");
    let (found, _) = environment(&curl(&["-u", "anna:open sesame", &url]));
    assert_eq!(found["REMOTE_USER"], "anna");
    assert_eq!(found["AUTH_TYPE"], "Basic");
    assert!(!found.values().any(|value| value.contains("sesame")));
    let cookie = [
        "-u",
        "anna:open sesame",
        "-b",
        "a=b; hythe-session-1=secret",
        &url,
    ];
    let (found, _) = environment(&curl(&cookie));
    assert_eq!(found["HTTP_COOKIE"], "a=b");
    // Nor may another site make her browser do it.
    let elsewhere = [
        "-u",
        "anna:open sesame",
        "-H",
        "Origin: http://evil",
        "-d",
        "x",
        &url,
    ];
    assert_eq!(curl(&[&status[..], &elsewhere].concat()), "403");
    served.stop();

    let served = stage.serve(&["--allow", "none"]);
    let url = format!("{}cgi/env.sh", served.url("http"));
    assert_eq!(curl(&[&status[..], &[&url]].concat()), "403");
    served.stop();
}

#[test]
fn every_model_runs_scripts() {
    let stage = Stage::new().shell(
        "both.sh",
        "printf 'Content-Type: text/plain\\n\\n'; cat; echo complaint >&2",
    );
    for model in [
        &["--model", "sequential"][..],
        &["--model", "threads"],
        &["--model", "forks"],
        &["--model", "events", "--mux", "select"],
        &["--model", "events", "--mux", "poll"],
        &["--model", "events", "--mux", "epoll-level"],
        &["--model", "cores"],
    ] {
        let served = stage.serve(model);
        let url = format!("{}cgi/both.sh", served.url("http"));
        for _ in 0..3 {
            assert_eq!(curl(&["-d", "hello", &url]), "hello", "{model:?}");
        }
        let log = served.stop();
        assert_eq!(log.matches("complaint").count(), 3, "{model:?}: {log}");
    }
}

#[test]
fn several_folders_each_have_their_own() {
    let (one, other) = (Stage::new(), Stage::new());
    let say = |word: &str| format!("printf 'Content-Type: text/plain\\n\\n{word} %s' $SCRIPT_NAME");
    let one = one.shell("x", &say("one"));
    let other = other.shell("x", &say("other"));
    let flags = [
        format!("/a={}", one.scripts.path().display()),
        format!("/a/来/b={}", other.scripts.path().display()),
    ];
    let arguments = ["--cgi", &flags[0], "--cgi", &flags[1]];
    let served = Served::http(one.share.path(), &arguments);
    let url = served.url("http");
    assert_eq!(curl(&[&format!("{url}a/x")]), "one /a/x");
    assert_eq!(curl(&[&format!("{url}a/%E6%9D%A5/b/x")]), "other /a/来/b/x");
    served.stop();
}
