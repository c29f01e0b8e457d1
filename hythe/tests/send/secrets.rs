//! Secrets: where they come from, and what becomes of those who have another one,
//! or none.

use std::fs;
use std::process::{Command, Stdio};

use hythe_wire::transfer::Message;
use rustix::process::{Pid, Signal, kill_process};

use super::common::{content, eventually};
use super::ends::{
    MIB, Place, Receiver, Said, Terminal, finish, finish_child, is_text, names, receiving, send,
    sending,
};
use super::middle::tls_to;
use super::wire::Wire;

/// Long enough to be looked for.
const SECRET: &str = "correct horse 电池 staple";

fn with(mut command: Command, secret: &str) -> Command {
    command.env("HYTHE_SECRET", secret);
    command
}

fn receiver(place: &Place, secret: &str, arguments: &[&str]) -> Receiver {
    Receiver::spawn(with(
        receiving("127.0.0.1:0", &place.path("to"), arguments),
        secret,
    ))
}

fn send_with(secret: &str, file: &str, receiver: &Receiver) -> Said {
    finish(with(sending(&[file, &receiver.address]), secret))
}

#[test]
fn from_the_variable_a_file_or_the_terminal() {
    let place = Place::new();
    let secret = place.write("from/secret", format!("{SECRET}\n"));
    let bare = place.write("from/bare", SECRET);
    let ways = ["variable", "file", "bare", "terminal"];
    let command = |way, mut command: Command| {
        match way {
            "variable" => command.env("HYTHE_SECRET", SECRET),
            "file" => command.args(["--secret-file", &secret]),
            "bare" => command.env("HYTHE_SECRET_FILE", &bare),
            _ => command.arg("--secret"),
        };
        command
    };
    for (number, here) in ways.iter().enumerate() {
        let there = ways[(number + 1) % ways.len()];
        let name = format!("file {number}");
        let file = place.write(&format!("from/{name}"), &name);
        let receiving = command(there, receiving("127.0.0.1:0", &place.path("to"), &[]));
        let prompt = |command| {
            let mut terminal = Terminal::spawn(command);
            terminal.shows("Secret: ", 1);
            terminal.types(&format!("{SECRET}\r"));
            terminal
        };
        let (receiver, terminal, address);
        if there == "terminal" {
            let one = prompt(receiving);
            address = one.address();
            (receiver, terminal) = (None, Some(one));
        } else {
            let one = Receiver::spawn(receiving);
            address = one.address.clone();
            (receiver, terminal) = (Some(one), None);
        }
        let sending = command(here, sending(&[&file, &address]));
        if *here == "terminal" {
            let (status, shown) = prompt(sending).wait();
            assert_eq!(status, 0, "{shown}");
            assert!(!shown.contains("horse"), "{shown}");
        } else {
            finish(sending).ok();
        }
        receiver.map(|receiver| receiver.wait().ok());
        if let Some(terminal) = terminal {
            let (status, shown) = terminal.wait();
            assert_eq!(status, 0, "{shown}");
            assert!(!shown.contains("horse"), "{shown}");
        }
        place.holds(&format!("to/{name}"), &name);
    }
}

#[test]
fn a_secret_that_is_none_is_said() {
    let place = Place::new();
    let file = place.write("from/file", "it");
    let empty = place.write("from/empty", "\n");
    for command in [
        sending(&[&file, "127.0.0.1:9"]),
        receiving("127.0.0.1:0", &place.path("to"), &[]),
    ] {
        let again = |arguments: &[&str]| {
            let mut again = super::common::hythe();
            again.args(command.get_args()).args(arguments);
            again
        };
        finish(again(&["--secret-file", &empty])).fails(2, &["the secret is empty"]);
        finish(with(again(&[]), "")).fails(2, &["HYTHE_SECRET"]);
        finish(again(&["--secret"])).fails(2, &["at a terminal", "--secret-file"]);
        let missing = place.text("from/missing");
        finish(again(&["--secret-file", &missing])).fails(3, &[&missing]);
        let said = finish(again(&["--secret=given"]));
        assert_eq!(said.status, 2, "{said:?}");
    }
    let mut terminal = Terminal::spawn(sending(&["--secret", &file, "127.0.0.1:9"]));
    terminal.shows("Secret: ", 1);
    terminal.types("\r");
    let (status, shown) = terminal.wait();
    assert_eq!(status, 2, "{shown}");
    assert!(shown.contains("the secret is empty"), "{shown}");
}

#[test]
fn one_that_is_wrong_or_missing_on_either_side_is_said_on_both() {
    let place = Place::new();
    let file = place.write("from/file", "it");
    let guarded = receiver(&place, SECRET, &["--keep"]);
    send_with("wrong", &file, &guarded).fails(4, &["the secret is wrong"]);
    guarded.says("the sender has another secret; nothing was received");
    send(&[&file, &guarded.address]).fails(4, &["the receiver wants a secret: send with --secret"]);
    guarded.says("the sender has no secret; nothing was received");
    let open = Receiver::start(&place.path("to"), &["--keep"]);
    send_with(SECRET, &file, &open).fails(4, &["the receiver has no secret", "--secret"]);
    open.says("the sender has a secret, and there is none here; nothing was received");
    assert!(names(&place.path("to")).is_empty());
    // They are all still there for those who know.
    send_with(SECRET, &file, &guarded).ok();
    send(&[&file, &open.address]).ok();
    for said in [guarded.err(), open.err()] {
        assert!(!said.contains("horse"), "{said}");
        is_text(&said);
    }
}

#[test]
fn nobody_sees_it_among_the_arguments() {
    let place = Place::new();
    let secret = place.write("from/secret", SECRET);
    let file = place.write("from/file", content(4 * MIB));
    let mut receiving = receiving("127.0.0.1:0", &place.path("to"), &[]);
    receiving.args(["--secret-file", &secret]);
    let receiver = Receiver::spawn(receiving);
    let child = with(
        sending(&["--limit-rate", "8M", &file, &receiver.address]),
        SECRET,
    )
    .stdout(Stdio::piped())
    .stderr(Stdio::piped())
    .spawn()
    .unwrap();
    eventually("a part", || place.path("to/.hythe-receive").exists());
    for pid in [child.id(), receiver.child.id()] {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap();
        assert!(String::from_utf8_lossy(&line).contains("hythe"));
    }
    for process in fs::read_dir("/proc").unwrap() {
        let line = fs::read(process.unwrap().path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).into_owned();
        assert!(!line.contains("correct horse"), "{line}");
    }
    finish_child(child).ok();
    receiver.wait().ok();
}

#[test]
fn ten_wrong_ones_end_the_receiver() {
    let place = Place::new();
    let file = place.write("from/file", "it");
    let receiver = receiver(&place, SECRET, &["--keep"]);
    for number in 0..9 {
        send_with(&format!("guess {number}"), &file, &receiver).fails(4, &["the secret is wrong"]);
        // What is no guess is none.
        if number < 3 {
            send(&[&file, &receiver.address]).fails(4, &[]);
        }
    }
    send_with(SECRET, &file, &receiver).ok();
    send_with("the tenth", &file, &receiver).fails(4, &["the secret is wrong"]);
    receiver
        .wait()
        .fails(4, &["10 senders had a wrong secret: somebody is guessing"]);
}

/// Somebody who knows no secret cannot end it by talking.
#[test]
fn a_wrong_secret_is_seen_and_not_told() {
    let place = Place::new();
    let text = "the sender has another secret; nothing was received";
    let receiver = Receiver::start(&place.path("to"), &["--keep"]);
    for number in 1..12 {
        let mut wire = Wire::greeted(receiver.socket());
        wire.say(&Message::Refuse(text));
        eventually("it is told", || {
            receiver.err().matches(text).count() == number
        });
    }
    let file = place.write("from/file", "it");
    send(&[&file, &receiver.address]).ok();
}

/// By hand: within TLS, and no proof.
#[test]
fn what_is_no_proof_opens_nothing() {
    let place = Place::new();
    let receiver = receiver(&place, SECRET, &["--keep"]);
    let entry = super::wire::encoded(&Message::Entry(super::wire::file(0, b"x", 0)));
    let hello = super::wire::encoded(&Message::Hello { version: 1 });
    for (what, bytes) in [
        ("no key", hello.clone()),
        (
            "no key, and a file",
            [hello.clone(), entry.clone()].concat(),
        ),
        ("an empty key", super::wire::encoded(&Message::Key(b""))),
        (
            "a key of zeros",
            super::wire::encoded(&Message::Key(&[0; 96])),
        ),
        (
            "a key of ones",
            super::wire::encoded(&Message::Key(&[0xff; 96])),
        ),
        (
            "the longest key",
            super::wire::encoded(&Message::Key(&[1; 1024])),
        ),
        (
            "a key that is too long",
            super::wire::frame(1026, &[1; 1026]),
        ),
        (
            "a refusal",
            super::wire::encoded(&Message::Refuse("\x1b[2J")),
        ),
    ] {
        use std::io::{Read as _, Write as _};
        let before = receiver.err().len();
        let mut tls = tls_to(receiver.socket());
        tls.write_all(&[bytes, hello.clone(), entry.clone()].concat())
            .unwrap();
        tls.flush().unwrap();
        let mut answer = Vec::new();
        tls.read_to_end(&mut answer).ok();
        eventually(what, || receiver.err()[before..].contains('\n'));
        let said = receiver.err()[before..].to_owned();
        assert!(
            !answer.windows(5).any(|five| five == b"hythe"),
            "{what}: {answer:?}"
        );
        assert!(!said.contains("received "), "{what}: {said}");
    }
    is_text(&receiver.err());
    let file = place.write("from/file", "it");
    send_with(SECRET, &file, &receiver).ok();
    assert_eq!(names(&place.path("to")), ["file"]);
}

/// Interrupted at the prompt, the terminal is as it was.
#[test]
fn ctrl_c_at_the_prompt() {
    let place = Place::new();
    let file = place.write("from/file", "it");
    let mut terminal = Terminal::spawn(sending(&["--secret", &file, "127.0.0.1:9"]));
    terminal.shows("Secret: ", 1);
    terminal.types("abc\x03");
    let (status, shown) = terminal.wait();
    assert_eq!(status, 130, "{shown}");
    assert!(!shown.contains("abc"), "{shown}");
}

/// With a secret as without one, whoever is interrupted goes on.
#[test]
fn an_interrupted_one_goes_on() {
    let place = Place::new();
    let bytes = content(12 * MIB);
    let file = place.write("from/file", &bytes);
    let receiver = receiver(&place, SECRET, &["--json"]);
    let child = with(
        sending(&["--limit-rate", "8M", &file, &receiver.address]),
        SECRET,
    )
    .stdout(Stdio::piped())
    .stderr(Stdio::piped())
    .spawn()
    .unwrap();
    eventually("a part", || {
        let parts = fs::read_dir(place.path("to/.hythe-receive"));
        let mut parts = parts.into_iter().flatten().map_while(Result::ok);
        parts.any(|part| {
            part.metadata()
                .is_ok_and(|meta| meta.len() > 2 * MIB as u64)
        })
    });
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    finish_child(child).fails(6, &["again to continue"]);
    let again = finish(with(sending(&["--json", &file, &receiver.address]), SECRET)).ok();
    receiver.wait().ok();
    assert!(!again.out.contains("\"offset\":0,"), "{again:?}");
    place.holds("to/file", &bytes);
}
