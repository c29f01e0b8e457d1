//! What may be given, and what is said of the rest.

use super::common::{hythe, shown};

#[test]
fn what_can_not_be_done_stops_the_start_with_the_reason() {
    let url = "http://127.0.0.1:9";
    let both = format!("/a={url}");
    for (arguments, said) in [
        (
            &["--proxy", "/api"][..],
            "give a path and a URL: /api=http://127.0.0.1:9000",
        ),
        (&["--proxy", "/api="], "`` is no backend"),
        (
            &["--proxy", "api=http://h"],
            "must begin with a slash: /api",
        ),
        (
            &["--proxy", "/=http://h"],
            "the share is at `/`; name a path below",
        ),
        (
            &["--proxy", "/.hythe/x=http://h"],
            "the server's own; choose another",
        ),
        (
            &["--proxy", "/.Hythe=http://h"],
            "the server's own; choose another",
        ),
        (
            &["--proxy", "/a/../b=http://h"],
            "no path to put something at",
        ),
        (
            &["--proxy", "/api=ftp://h"],
            "is no backend; give http://HOST:PORT",
        ),
        (&["--proxy", "/api=http://h:0"], "no host with a port"),
        (
            &["--proxy", "/api=http://anna:x@h"],
            "leave the name and password out",
        ),
        (
            &["--proxy", &both, "--proxy", "/a/=http://h"],
            "--proxy /a is given twice",
        ),
    ] {
        let share = tempfile::tempdir().unwrap();
        let mut command = hythe();
        let output = command
            .arg("serve")
            .arg(share.path())
            .args(arguments)
            .output();
        let output = output.unwrap();
        assert_eq!(
            output.status.code(),
            Some(2),
            "{arguments:?}: {}",
            shown(&output)
        );
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(text.contains(said), "{arguments:?}: {text}");
    }
}

#[test]
fn a_file_and_a_variable_name_them_too() {
    let (backend, _) = super::Backend::answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    let share = tempfile::tempdir().unwrap();
    let file = share.path().join("hythe.toml");
    let at = backend.address;
    std::fs::write(
        &file,
        format!("proxy = ['/a=http://{at}', '/b=http://{at}']\n"),
    )
    .unwrap();
    let front = super::Front::with(&["--config", file.to_str().unwrap()]);
    for target in ["/a/x", "/b/x"] {
        assert_eq!(front.client().ask("GET", target, &[]).body, b"ok");
    }
    let mut command = hythe();
    command
        .arg("serve")
        .arg(share.path())
        .env("HYTHE_PROXY", format!("/c=http://{at}"));
    command.args(["--http", "0", "--ftp", "off", "--gopher", "off"]);
    let served = super::Served::spawn(command);
    let reply = super::Client::new(served.address("http")).ask("GET", "/c", &[]);
    assert_eq!(reply.body, b"ok");
}
