//! `hythe user`, from outside.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::thread;

use hythe::accounts::Accounts;
use hythe::share::Access;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use serde_json::Value;
use tempfile::TempDir;

use super::common::{hythe, shown};
use super::{HARD, sign_in};

fn user(file: &Path, action: &str, arguments: &[&str]) -> Command {
    let mut command = hythe();
    command.args(["user", action, "--accounts"]);
    command.arg(file).args(arguments);
    command
}

/// Runs it with this on standard input.
fn fed(mut command: Command, input: &[u8]) -> Output {
    let command = command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    // Who fails early reads nothing.
    child.stdin.take().unwrap().write_all(input).ok();
    child.wait_with_output().unwrap()
}

fn succeeds(command: Command, input: &[u8]) -> String {
    let output = fed(command, input);
    assert!(output.status.success(), "{}", shown(&output));
    assert_eq!(output.stderr, b"");
    String::from_utf8(output.stdout).unwrap()
}

fn fails(command: Command, input: &[u8]) -> (i32, String) {
    let output = fed(command, input);
    assert_eq!(output.stdout, b"");
    let text = String::from_utf8(output.stderr).unwrap();
    (output.status.code().unwrap(), text)
}

#[test]
fn accounts_are_added_changed_listed_and_removed() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.db");
    let run = |action: &str, arguments: &[&str], input: &[u8]| {
        succeeds(user(&file, action, arguments), input)
    };
    assert_eq!(run("add", &["bob"], b"secret\n"), "");
    let limits = [
        "--role",
        "admin",
        "--home",
        "people/../中",
        "--quota",
        "10G",
    ];
    run("add", &[&["李雷"], &limits[..]].concat(), b"secret");
    let list: Value = serde_json::from_str(&run("list", &["--json"], b"")).unwrap();
    let (bob, li) = (&list[0], &list[1]);
    assert_eq!(bob["name"], "bob");
    assert_eq!((&bob["role"], &bob["home"]), (&"write".into(), &"/".into()));
    assert!(bob["quota"].is_null() && bob["seen"].is_null() && bob["used"] == 0);
    assert_eq!(li["name"], "李雷");
    assert_eq!((&li["role"], &li["home"]), (&"admin".into(), &"/中".into()));
    assert_eq!(li["quota"], 10_u64 << 30);
    let table = run("list", &[], b"");
    let lines: Vec<&str> = table.lines().collect();
    assert!(
        lines[0].starts_with("NAME  ROLE   USED  QUOTA     CREATED"),
        "{table}"
    );
    assert!(
        lines[2].starts_with("李雷  admin  0 B   10.0 GiB  20"),
        "{table}"
    );

    run("role", &["bob", "--role", "read"], b"");
    run("set", &["bob", "--quota", "1K", "--home", "/x"], b"");
    run("passwd", &["bob"], b"another");
    let accounts = Accounts::open(&file).unwrap();
    let bob = sign_in(&accounts, "bob", b"another", "192.0.2.1").unwrap();
    assert_eq!((bob.role, bob.quota), (Access::Read, Some(1024)));
    assert_eq!(bob.home.as_bytes(), b"x");
    run("role", &["bob", "--quota", "none"], b"");
    assert_eq!(accounts.account("bob").unwrap().unwrap().quota, None);
    run("remove", &["bob"], b"");
    assert!(accounts.account("bob").unwrap().is_none());

    let log = run("log", &[], b"");
    let (first, last) = (log.lines().next().unwrap(), log.lines().last().unwrap());
    assert!(
        first.ends_with(" local - - account added bob write"),
        "{log}"
    );
    assert!(last.ends_with(" local - - account removed bob"), "{log}");
    assert_eq!(run("log", &["--lines", "1"], b"").lines().count(), 1);
    for line in run("log", &["--json"], b"").lines() {
        let event: Value = serde_json::from_str(line).unwrap();
        assert!(event["time"].is_i64() && event["act"].is_string(), "{line}");
    }
    assert!(!log.contains("secret") && !log.contains("another"));
}

/// The database, the arguments, standard input, the status, and what is said.
type Case<'a> = (&'a Path, &'a [&'a str], &'a [u8], i32, &'a str);

#[test]
fn failures_have_their_status_and_say_the_way_out() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.db");
    succeeds(user(&file, "add", &["bob"]), b"secret");
    fs::write(folder.path().join("text"), "x".repeat(5000)).unwrap();
    let text = folder.path().join("text");
    let missing = folder.path().join("none");
    let thousand = "n".repeat(1000);
    let cases: [Case<'_>; 18] = [
        (&file, &["add", "bob"], b"x", 1, "an account bob already"),
        (&file, &["add", "Bob"], b"x", 1, "an account Bob already"),
        (&file, &["add", "ann"], b"", 2, "at least one byte"),
        (
            &file,
            &["add", "ann"],
            &[b'x'; 1025],
            2,
            "at most 1,024 bytes",
        ),
        (
            &file,
            &["add", "a:b"],
            b"x",
            2,
            "neither a slash nor a colon",
        ),
        (&file, &["add", ".."], b"x", 2, "neither . nor .."),
        (&file, &["add", &thousand], b"x", 2, "at most 64 characters"),
        (&file, &["add", "ann", "--role", "none"], b"x", 2, "'none'"),
        (
            &file,
            &["add", "ann", "--quota", "x"],
            b"x",
            2,
            "500M, 10G, or `none`",
        ),
        (
            &file,
            &["add", "ann", "--home", ".hythe/x"],
            b"x",
            2,
            ".hythe",
        ),
        (&file, &["passwd", "eve"], b"x", 3, "no account eve"),
        (
            &file,
            &["role", "eve", "--role", "read"],
            b"",
            3,
            "no account eve",
        ),
        (&file, &["role", "bob"], b"", 2, "--role <ROLE>"),
        (
            &file,
            &["remove", "eve\u{1b}[2J"],
            b"",
            3,
            "no account eve\\u{1b}[2J",
        ),
        (&missing, &["list"], b"", 3, "no such file"),
        (&missing, &["remove", "bob"], b"", 3, "no such file"),
        (
            &missing.join("x"),
            &["add", "bob"],
            b"x",
            3,
            "no such folder",
        ),
        (&text, &["list"], b"", 1, "not a database"),
    ];
    for (file, arguments, input, status, text) in cases {
        let (got, said) = fails(user(file, arguments[0], &arguments[1..]), input);
        assert_eq!(got, status, "{arguments:?}: {said}");
        assert!(said.contains(text), "{arguments:?}: {said}");
    }
    assert!(!missing.exists());
}

#[test]
fn passwords_come_from_the_variable_or_standard_input_with_all_their_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.db");
    for (number, password) in HARD.iter().enumerate() {
        let (piped, variable) = (format!("piped{number}"), format!("variable{number}"));
        let ending: &[u8] = [&b""[..], b"\n", b"\r\n"][number % 3];
        succeeds(user(&file, "add", &[&piped]), &[password, ending].concat());
        let mut command = user(&file, "add", &[&variable]);
        command.env("HYTHE_PASSWORD", std::ffi::OsStr::from_bytes(password));
        succeeds(command, b"not this");
        let accounts = Accounts::open(&file).unwrap();
        for name in [piped, variable] {
            sign_in(&accounts, &name, password, &format!("192.0.2.{number}")).unwrap();
        }
    }
}

#[test]
fn flags_have_variables_and_keys() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.db");
    let config = folder.path().join("hythe.toml");
    fs::write(
        &config,
        format!("accounts = {file:?}\nrole = 'upload'\nquota = 500"),
    )
    .unwrap();
    let mut command = hythe();
    command
        .args(["user", "add", "bob", "--config"])
        .arg(&config);
    succeeds(command, b"secret");
    let mut command = hythe();
    command
        .args(["user", "add", "ann", "--config"])
        .arg(&config);
    succeeds(
        {
            command.env("HYTHE_ROLE", "admin");
            command
        },
        b"secret",
    );
    let accounts = Accounts::open(&file).unwrap();
    let roles: Vec<_> = accounts
        .list()
        .unwrap()
        .iter()
        .map(|account| (account.role, account.quota))
        .collect();
    assert_eq!(
        roles,
        [(Access::Admin, Some(500)), (Access::Upload, Some(500))]
    );
    fs::write(&config, "role = 'none'").unwrap();
    let mut command = user(&file, "add", &["eve", "--config"]);
    command.arg(&config);
    let (status, said) = fails(command, b"secret");
    assert!(status == 2 && said.contains("`role` is wrong"), "{said}");
}

/// Types at the prompts of `hythe user add bob`: its status, and all that the
/// terminal has shown.
fn typed(folder: &TempDir, keys: &[&str]) -> (i32, String) {
    let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&terminal).unwrap();
    unlockpt(&terminal).unwrap();
    let path = ptsname(&terminal, Vec::new()).unwrap();
    let end = fs::File::options()
        .read(true)
        .write(true)
        .open(path.to_str().unwrap())
        .unwrap();
    let mut command = user(&folder.path().join("a.db"), "add", &["bob"]);
    command
        .stdin(end.try_clone().unwrap())
        .stdout(end.try_clone().unwrap())
        .stderr(end);
    let mut child = command.spawn().unwrap();
    drop(command);
    let mut terminal = fs::File::from(terminal);
    let mut reading = terminal.try_clone().unwrap();
    let (told, prompts) = std::sync::mpsc::channel();
    let reader = thread::spawn(move || {
        let mut shown = Vec::new();
        let mut buffer = [0; 1000];
        // The last end of a terminal that closes is an error here.
        while let Ok(count @ 1..) = reading.read(&mut buffer) {
            shown.extend_from_slice(&buffer[..count]);
            // Keys that come before the prompt would be echoed.
            let prompts = shown.windows(2).filter(|pair| pair == b": ").count();
            told.send(prompts).ok();
        }
        String::from_utf8(shown).unwrap()
    });
    for (number, keys) in keys.iter().enumerate() {
        while prompts.recv_timeout(super::common::PATIENCE).unwrap() <= number {}
        terminal.write_all(keys.as_bytes()).unwrap();
    }
    let status = child.wait().unwrap().code().unwrap();
    (status, reader.join().unwrap())
}

#[test]
fn at_a_terminal_the_password_is_typed_twice_and_not_shown() {
    let folder = tempfile::tempdir().unwrap();
    let (status, shown) = typed(&folder, &["secret\r", "secrets\r"]);
    assert_eq!(status, 1, "{shown}");
    assert!(shown.contains("the two passwords differ"), "{shown}");
    let (status, shown) = typed(&folder, &["x\x03"]);
    assert_eq!(status, 130, "{shown}");
    // Corrected by whole letters, and begun anew.
    let (status, shown) = typed(&folder, &["wrong\x15密碎\x7f码\r", "密码\r"]);
    assert_eq!(status, 0, "{shown}");
    assert_eq!(shown, "New password for bob: \r\nOnce more: \r\n");
    let accounts = Accounts::open(&folder.path().join("a.db")).unwrap();
    sign_in(&accounts, "bob", "密码".as_bytes(), "192.0.2.1").unwrap();
}
