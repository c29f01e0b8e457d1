//! The command line of `hythe serve`, from outside: what it prints, how it is
//! configured, how it fails, and how it stops.

mod common;

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use common::{PATIENCE, Served, connect, content, eventually, exchange, ftp, hythe, run, tool};
use tempfile::TempDir;

const PROTOCOLS: [&str; 3] = ["http", "ftp", "gopher"];

/// Larger than all buffers between here and there, so that a download of it
/// lasts as long as its reader wants.
const LARGE: usize = 48 * 1024 * 1024;

fn share_of(files: &[(&str, &[u8])]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, content) in files {
        fs::write(folder.path().join(name), content).unwrap();
    }
    folder
}

/// Status and body of one request.
fn get(address: SocketAddr, target: &str) -> (u16, Vec<u8>) {
    let request = format!("GET {target} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
    let reply = exchange(address, request.as_bytes());
    let end = reply
        .windows(4)
        .position(|four| four == b"\r\n\r\n")
        .unwrap();
    let status = std::str::from_utf8(&reply[9..12]).unwrap().parse().unwrap();
    (status, reply[end + 4..].to_vec())
}

/// `/plain.bin` over each protocol that is on.
fn fetch_by_all(server: &Served) -> Vec<Vec<u8>> {
    vec![
        get(server.address("http"), "/plain.bin").1,
        ftp::fetch(server.address("ftp"), b"/plain.bin"),
        exchange(server.address("gopher"), b"/plain.bin\r\n"),
    ]
}

/// Runs to the end that it must come to by itself: exit status and standard
/// error. Standard output is for results, so there must be none.
fn fails(command: &mut Command) -> (i32, String) {
    let output = command.stdin(Stdio::null()).output().unwrap();
    assert_eq!(output.stdout, b"", "{command:?}");
    let text = String::from_utf8(output.stderr).unwrap();
    (output.status.code().unwrap(), text)
}

fn serve(arguments: &[&str]) -> Command {
    let mut command = hythe();
    command.arg("serve").args(arguments);
    command
}

/// A port that was free a moment ago, for those who can't be told one by the
/// server.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

// --- Starting ----------------------------------------------------------------

#[test]
fn stdout_has_a_line_for_each_listener_and_nothing_else_ever() {
    let share = share_of(&[("plain.bin", b"\0content")]);
    let mut child = serve(&["--http", "0", "--ftp", "0", "--gopher", "0"])
        .current_dir(share.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut stdout = child.stdout.take().unwrap();
    let mut text = String::new();
    // Through a pipe, and while it runs: without a flush this would never end.
    while text.matches('\n').count() < 3 {
        let mut bytes = [0; 256];
        let count = stdout.read(&mut bytes).unwrap();
        assert_ne!(count, 0, "{text}");
        text.push_str(std::str::from_utf8(&bytes[..count]).unwrap());
    }
    for (line, protocol) in text.lines().zip(PROTOCOLS) {
        let rest = line.strip_prefix(&format!("{protocol:<8}{protocol}://127.0.0.1:"));
        let port = rest
            .and_then(|rest| rest.strip_suffix('/'))
            .unwrap_or_else(|| panic!("{line}"));
        let address = (Ipv4Addr::LOCALHOST, port.parse().unwrap()).into();
        assert_ne!(port, "0");
        match protocol {
            "http" => assert_eq!(get(address, "/plain.bin").1, b"\0content"),
            "ftp" => assert_eq!(ftp::fetch(address, b"plain.bin"), b"\0content"),
            _ => assert_eq!(exchange(address, b"plain.bin\r\n"), b"\0content"),
        }
    }
    run(Command::new("kill").arg(child.id().to_string()));
    let mut rest = String::new();
    stdout.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "");
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_listener_can_be_off_and_all_cannot() {
    let share = share_of(&[]);
    for off in PROTOCOLS {
        let server = Served::start(share.path(), &[&format!("--{off}"), "off"]);
        let on: Vec<_> = server
            .listeners
            .iter()
            .map(|(protocol, _)| protocol.as_str())
            .collect();
        let wanted: Vec<_> = PROTOCOLS
            .into_iter()
            .filter(|protocol| *protocol != off)
            .collect();
        assert_eq!(on, wanted);
        server.stop();
    }
    let all = fails(&mut serve(&[
        "--http", "off", "--ftp", "off", "--gopher", "off",
    ]));
    let text = "hythe: nothing to serve: http, ftp and gopher are all off; turn one on\n";
    assert_eq!(all, (2, text.into()));
}

#[test]
fn a_listener_is_where_its_flag_or_bind_says() {
    let share = share_of(&[("plain.bin", b"here\0")]);
    let cases: [(&[&str], [&str; 3]); 5] = [
        (&[], ["127.0.0.1", "127.0.0.1", "127.0.0.1"]),
        (
            &["--bind", "127.0.0.2"],
            ["127.0.0.2", "127.0.0.2", "127.0.0.2"],
        ),
        (
            &["-b", "127.0.0.2", "--ftp", "127.0.0.3:0"],
            ["127.0.0.2", "127.0.0.3", "127.0.0.2"],
        ),
        (&["--bind", "::1"], ["[::1]", "[::1]", "[::1]"]),
        (
            &["--http", "[::1]:0", "--gopher", "localhost:0"],
            ["[::1]", "127.0.0.1", ""],
        ),
    ];
    for (arguments, hosts) in cases {
        let server = Served::start(share.path(), arguments);
        for (protocol, host) in PROTOCOLS.into_iter().zip(hosts) {
            let url = server.url(protocol);
            assert!(
                url.starts_with(&format!("{protocol}://{host}")),
                "{arguments:?}: {url}"
            );
        }
        assert_eq!(fetch_by_all(&server), vec![b"here\0"; 3], "{arguments:?}");
    }
}

#[test]
fn a_single_file_is_shared_without_its_neighbours() {
    let share = share_of(&[("plain.bin", b"one\0"), ("neighbour.bin", b"CANARY\0")]);
    let server = Served::start(&share.path().join("plain.bin"), &[]);
    assert_eq!(fetch_by_all(&server), vec![b"one\0"; 3]);
    let (http, gopher) = (server.address("http"), server.address("gopher"));
    let mut session = ftp::Session::log_in(server.address("ftp"));
    let lists = [
        get(http, "/").1,
        get(http, "/?json").1,
        session.transfer("LIST -a").1,
        session.transfer("MLSD").1,
        exchange(gopher, b"\r\n"),
    ];
    for list in lists {
        let list = String::from_utf8(list).unwrap();
        assert!(
            list.contains("plain.bin") && !list.contains("neighbour"),
            "{list}"
        );
    }
    assert_eq!(get(http, "/neighbour.bin").0, 404);
    assert_eq!(session.transfer("RETR neighbour.bin").0.code, 550);
    assert!(exchange(gopher, b"neighbour.bin\r\n").starts_with(b"3"));
}

// --- Configuration -----------------------------------------------------------

#[test]
fn flags_go_before_variables_before_the_file_before_defaults() {
    let share = share_of(&[("index.html", b"the index"), ("other.txt", b"")]);
    let file = share.path().join("hythe.toml");
    let text = "bind = '127.0.0.2'\nindex = true\nlog = 'off'\nallow = 'none'\nhttp = 0\n";
    fs::write(&file, text).unwrap();
    let config = ["--config", file.to_str().unwrap()];
    let variables = [
        ("BIND", "127.0.0.3"),
        ("INDEX", "false"),
        ("LOG", "json"),
        ("ALLOW", "read"),
    ];
    let flags = [
        "--bind",
        "127.0.0.4",
        "--index",
        "--log",
        "text",
        "--allow",
        "none",
    ];
    // What is given; then the host, whether the index is shown (`None` where
    // nothing is), and how the log begins.
    let cases = [
        (false, false, false, "127.0.0.1", Some(false), "20"),
        (true, false, false, "127.0.0.2", None, ""),
        (false, true, false, "127.0.0.3", Some(false), "{"),
        (true, true, false, "127.0.0.3", Some(false), "{"),
        (false, true, true, "127.0.0.4", None, "20"),
        (true, true, true, "127.0.0.4", None, "20"),
    ];
    for (with_file, with_variables, with_flags, host, shown, log) in cases {
        let mut command = serve(&["--ftp", "0", "--gopher", "0"]);
        command.arg(share.path());
        if with_file {
            command.args(config);
        } else {
            command.args(["--http", "0"]);
        }
        if with_variables {
            command.envs(variables.map(|(name, value)| (format!("HYTHE_{name}"), value)));
        }
        if with_flags {
            command.args(flags);
        }
        let server = Served::spawn(command);
        let address = server.address("http");
        assert_eq!(address.ip().to_string(), host);
        let (status, body) = get(address, "/");
        match shown {
            None => assert_eq!(status, 403),
            Some(index) => assert_eq!((status, body == b"the index"), (200, index)),
        }
        let text = server.stop();
        assert!(
            text.starts_with(log) && text.is_empty() == log.is_empty(),
            "{text}"
        );
    }
}

/// A flag that takes no value can be set by each source, and unset by a
/// variable.
#[test]
fn switches_are_set_in_the_file_and_by_variables() {
    let share = share_of(&[("index.html", b"the index")]);
    let file = share.path().join("hythe.toml");
    let cases = [
        ("", None, false, false),
        ("index = true", None, false, true),
        ("index = false", None, false, false),
        ("index = false", None, true, true),
        ("index = false", Some("1"), false, true),
        ("index = true", Some("0"), false, false),
        ("index = true", Some("no"), true, true),
    ];
    for (text, variable, flag, shown) in cases {
        fs::write(&file, text).unwrap();
        let mut command = serve(&["--http", "0", "--ftp", "0", "--gopher", "0"]);
        command.arg(share.path()).env("HYTHE_CONFIG", &file);
        command.envs(variable.map(|value| ("HYTHE_INDEX", value)));
        command.args(flag.then_some("--index"));
        let server = Served::spawn(command);
        let index = get(server.address("http"), "/").1 == b"the index";
        assert_eq!(index, shown, "{text} {variable:?} {flag}");
    }
}

#[test]
fn a_wrong_configuration_stops_the_start_and_names_file_and_key() {
    let share = share_of(&[]);
    let file = share.path().join("hythe.toml");
    let name = file.to_str().unwrap();
    let cases = [
        (
            "htpp = 8000",
            "`htpp` is not an option; see hythe serve --help",
        ),
        ("Http = 8000", "`Http` is not an option"),
        ("config = 'x'", "`config` is not an option"),
        ("help = true", "`help` is not an option"),
        (
            "http = 'yes'",
            "`http` is wrong: invalid value 'yes' for '--http <[HOST:]PORT>': `yes` is not a port",
        ),
        ("http = 65536", "`http` is wrong: invalid value '65536'"),
        ("http = true", "`http` is wrong: invalid value 'true'"),
        ("http = [1, 2]", "`http` takes one value, not a list"),
        ("http = []", "`http` takes one value, not a list"),
        (
            "http = { port = 1 }",
            "`http` needs a string, a number, true or false",
        ),
        (
            "[http]\nport = 1",
            "`http` needs a string, a number, true or false",
        ),
        (
            "http = 2026-11-20",
            "`http` needs a string, a number, true or false",
        ),
        (
            "allow = 'admin'",
            "`allow` is wrong: invalid value 'admin' for '--allow <ALLOW>' [possible values: none, read, upload, write]",
        ),
        (
            "allow = ''",
            "`allow` is wrong: a value is required for '--allow <ALLOW>'",
        ),
        ("model = 'fast'", "`model` is wrong: invalid value 'fast'"),
        ("idle = 0", "`idle` is wrong: invalid value '0'"),
        (
            "max-connections = -1",
            "`max-connections` is wrong: invalid value '-1'",
        ),
        ("max_connections = 1", "`max_connections` is not an option"),
        (
            "passive-ports = '9-1'",
            "`passive-ports` is wrong: invalid value '9-1'",
        ),
        (
            "index = 'perhaps'",
            "`index` is true or false, not 'perhaps'",
        ),
        ("index = 1", "`index` is true or false, not '1'"),
        (
            "gopher = 'off'\nhttp =",
            "is not TOML: TOML parse error at line 2",
        ),
        ("http = 1\nhttp = 2", "is not TOML"),
    ];
    for (text, said) in cases {
        fs::write(&file, text).unwrap();
        let (status, error) = fails(&mut serve(&["--config", name]));
        assert_eq!(status, 2, "{text}: {error}");
        assert!(
            error.starts_with(&format!("hythe: {name}")) && error.contains(said),
            "{text}: {error}"
        );
    }
    fs::write(&file, b"http = '\xff'").unwrap();
    let unreadable = [
        (name.to_owned(), 1, "stream did not contain valid UTF-8"),
        (format!("{name}.none"), 3, "no such file or folder"),
        (
            share.path().to_str().unwrap().to_owned(),
            1,
            "it is a folder",
        ),
    ];
    for (path, status, cause) in unreadable {
        let told = (status, format!("hythe: cannot read {path}: {cause}\n"));
        assert_eq!(fails(&mut serve(&["--config", &path])), told);
        assert_eq!(fails(serve(&[]).env("HYTHE_CONFIG", &path)), told);
    }
}

#[test]
fn what_is_misspelt_is_a_usage_error() {
    let cases: [(&[&str], &str); 15] = [
        (&["--frobnicate"], "unexpected argument '--frobnicate'"),
        (&["--http", "x"], "`x` is not a port"),
        (&["--http", ":80"], "a host is missing before the colon"),
        (&["--allow", "admin"], "invalid value 'admin'"),
        (
            &["--allow", "everything"],
            "possible values: none, read, upload, write",
        ),
        (
            &["--durability", "all"],
            "possible values: none, complete, every",
        ),
        (&["--max-upload", "much"], "give a size in bytes"),
        (&["--upload-expiry", "0"], "invalid value '0'"),
        (&["--model", "forky"], "invalid value 'forky'"),
        (&["--idle", "0"], "invalid value '0'"),
        (&["--max-connections", "0"], "give a number from 1 on"),
        (&["--passive-ports", "5"], "give two ports from 1 to 65535"),
        (
            &["--model", "threads", "--mux", "poll"],
            "--mux is for --model events and cores",
        ),
        (
            &["--model", "sequential", "--mux", "epoll-edge"],
            "--mux is for --model events and cores",
        ),
        (&[".", "another"], "unexpected argument 'another'"),
    ];
    for (arguments, said) in cases {
        let (status, text) = fails(&mut serve(arguments));
        assert_eq!(status, 2, "{arguments:?}: {text}");
        assert!(text.contains(said), "{arguments:?}: {text}");
    }
    assert_eq!(fails(serve(&[]).env("HYTHE_INDEX", "perhaps")).0, 2);
    assert_eq!(fails(serve(&[]).env("HYTHE_HTTP", "perhaps")).0, 2);
    assert_eq!(fails(hythe().arg("frobnicate")).0, 2);
    assert_eq!(fails(&mut hythe()).0, 2);
}

// --- What stops the start ----------------------------------------------------

#[test]
fn what_is_not_there_or_no_file_is_not_shared() {
    let share = share_of(&[]);
    let missing = share.path().join("missing");
    let missing = missing.to_str().unwrap();
    let told = format!("hythe: cannot share {missing}: no such file or folder\n");
    assert_eq!(fails(&mut serve(&[missing])), (3, told));
    let told = "hythe: cannot share /dev/null: it is neither a folder nor a regular file\n";
    assert_eq!(fails(&mut serve(&["/dev/null"])), (1, told.into()));
}

/// A copy of the program that anyone may run, as someone who is not root.
fn unprivileged(folder: &Path, arguments: &[&str]) -> Command {
    let program = folder.join("hythe");
    if !program.exists() {
        fs::copy(env!("CARGO_BIN_EXE_hythe"), &program).unwrap();
        fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let user = String::from_utf8(run(tool("id").arg("-u"))).unwrap();
    let mut command = if user.trim() == "0" {
        let mut command = tool("setpriv");
        command
            .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
            .arg(program);
        command
    } else {
        Command::new(program)
    };
    command.arg("serve").args(arguments).current_dir(folder);
    command
}

#[test]
fn what_is_forbidden_is_told_with_the_way_out() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["locked", "locked.toml"] {
        let path = folder.path().join(name);
        fs::write(&path, "").unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o000)).unwrap();
    }
    let file = fails(&mut unprivileged(folder.path(), &["locked"]));
    assert_eq!(
        file,
        (4, "hythe: cannot share locked: permission denied\n".into())
    );
    let config = fails(&mut unprivileged(
        folder.path(),
        &["--config", "locked.toml"],
    ));
    assert_eq!(
        config,
        (
            4,
            "hythe: cannot read locked.toml: permission denied\n".into()
        )
    );

    let first = fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start").unwrap();
    if first.trim() == "0" {
        return; // Here, everyone may have every port.
    }
    for (flag, value, way_out) in [
        ("http", "1", "--http 8001"),
        ("ftp", "127.0.0.1:21", "--ftp 127.0.0.1:8021"),
        ("gopher", "70", "--gopher 8070"),
    ] {
        let flag = format!("--{flag}");
        let mut all = Vec::new();
        for protocol in ["--http", "--ftp", "--gopher"] {
            all.extend([protocol, if protocol == flag { value } else { "0" }]);
        }
        let port = value.rsplit(':').next().unwrap();
        let told = format!(
            "hythe: cannot listen on 127.0.0.1:{port}: permission denied; \
             ports below 1024 are for root; try {way_out}\n"
        );
        assert_eq!(fails(&mut unprivileged(folder.path(), &all)), (4, told));
    }
}

#[test]
fn a_taken_port_is_told_with_the_way_out_whoever_has_it() {
    let share = share_of(&[]);
    let stranger = TcpListener::bind("127.0.0.1:0").unwrap();
    let everywhere = TcpListener::bind("0.0.0.0:0").unwrap();
    let mut holders = vec![
        stranger.local_addr().unwrap().port(),
        everywhere.local_addr().unwrap().port(),
    ];
    let another: Vec<_> = ["cores", "events", "threads", "sequential"]
        .map(|model| Served::start(share.path(), &["--model", model]))
        .into();
    holders.extend(
        another
            .iter()
            .flat_map(|server| PROTOCOLS.map(|protocol| server.address(protocol).port())),
    );
    for port in holders {
        for model in ["cores", "events", "threads", "sequential"] {
            for flag in PROTOCOLS {
                let mut command = serve(&["--model", model]);
                for protocol in PROTOCOLS {
                    let port = if protocol == flag { port } else { 0 };
                    command.args([format!("--{protocol}"), port.to_string()]);
                }
                let next = port.checked_add(1).unwrap_or(8000);
                let told = format!(
                    "hythe: cannot listen on 127.0.0.1:{port}: address in use; \
                     try --{flag} {next}, or --{flag} 0 for any free port\n"
                );
                assert_eq!(fails(&mut command), (1, told), "{model}");
            }
        }
    }
    // The suggestion is for the same host.
    let port = stranger.local_addr().unwrap().port();
    let (_, text) = fails(&mut serve(&["--http", &format!("localhost:{port}")]));
    assert!(text.contains("try --http localhost:"), "{text}");
    let (status, text) = fails(&mut serve(&["--bind", "192.0.2.1"]));
    assert_eq!(status, 1);
    assert!(
        text.contains("cannot listen on 192.0.2.1:8000: this machine has no such address"),
        "{text}"
    );
    assert_eq!(fails(&mut serve(&["--bind", "no.such.host.invalid"])).0, 1);
}

// --- Help --------------------------------------------------------------------

#[test]
fn help_is_short_or_long_and_names_every_flag_under_a_heading() {
    let text = |arguments: &[&str]| String::from_utf8(run(hythe().args(arguments))).unwrap();
    let (short, long) = (text(&["serve", "-h"]), text(&["serve", "--help"]));
    assert!(short.lines().count() < long.lines().count(), "{short}");
    assert!(short.lines().count() < 110, "{short}");
    let flags = [
        "http",
        "ftp",
        "gopher",
        "bind",
        "passive-ports",
        "passive-address",
        "https",
        "ftps",
        "tls-cert",
        "tls-key",
        "tls-self-signed",
        "ftp-tls",
        "ftp-tls-session",
        "allow",
        "durability",
        "max-upload",
        "upload-expiry",
        "index",
        "trust-content",
        "cgi",
        "fastcgi",
        "cgi-timeout",
        "cgi-max-output",
        "cgi-max-running",
        "proxy",
        "model",
        "mux",
        "max-connections",
        "max-per-address",
        "idle",
        "log",
        "config",
        "help",
    ];
    for flag in flags {
        assert!(short.contains(&format!("--{flag}")), "{flag}: {short}");
        assert!(long.contains(&format!("--{flag}")), "{flag}: {long}");
        let variable = format!("HYTHE_{}", flag.to_uppercase().replace('-', "_"));
        assert!(
            flag == "help" || long.contains(&variable),
            "{variable}: {long}"
        );
    }
    for heading in [
        "Where to listen:",
        "TLS:",
        "What to show:",
        "What to take in:",
        "Programs:",
        "How to serve:",
    ] {
        assert!(
            short.contains(heading) && long.contains(heading),
            "{heading}"
        );
    }
    for default in [
        "[default: 127.0.0.1]",
        "[default: 8000]",
        "[default: 2121]",
        "[default: 7070]",
        "[default: read]",
        "[default: cores]",
        "[default: 4096]",
        "[default: 256]",
        "[default: 300]",
    ] {
        assert!(long.contains(default), "{default}: {long}");
    }
    assert!(
        long.contains("--bind 0.0.0.0"),
        "how to share on the network"
    );
    assert_eq!(text(&["help", "serve"]), long);
    assert!(text(&["--help"]).contains("serve"));
    assert_eq!(
        text(&["--version"]),
        format!("hythe {}\n", env!("CARGO_PKG_VERSION"))
    );
    for line in long.lines().chain(short.lines()) {
        assert!(line.chars().count() <= 100, "{line}");
    }
}

/// Runs a shell line on a terminal, until what it writes there contains
/// `wanted` or it ends.
fn on_a_terminal(
    line: &str,
    variables: &[(&str, &str)],
    wanted: &str,
    mut act: impl FnMut(&str),
) -> String {
    // Reading has no time limit of its own.
    let mut child = tool("timeout")
        .arg(PATIENCE.as_secs().to_string())
        .args([
            "script",
            "--quiet",
            "--flush",
            "--command",
            line,
            "/dev/null",
        ])
        .stderr(Stdio::null())
        .env("TERM", "xterm")
        .env_remove("NO_COLOR")
        .envs(variables.iter().copied())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdout = child.stdout.take().unwrap();
    let mut text = String::new();
    let mut bytes = [0; 4096];
    while !text.contains(wanted) {
        let count = stdout.read(&mut bytes).unwrap();
        if count == 0 {
            break;
        }
        text.push_str(&String::from_utf8_lossy(&bytes[..count]));
        act(&text);
    }
    // A termination is passed on; the whole line ends.
    Command::new("kill")
        .arg(child.id().to_string())
        .output()
        .unwrap();
    child.wait().unwrap();
    text
}

#[test]
fn colour_is_for_terminals_that_want_it() {
    let program = env!("CARGO_BIN_EXE_hythe");
    let share = share_of(&[]);
    let line = format!(
        "{program} serve {} --http 0 --ftp off --gopher off --max-connections 1",
        share.path().display()
    );
    let colours: [(&[(&str, &str)], bool); 3] = [
        (&[], true),
        (&[("NO_COLOR", "1")], false),
        (&[("NO_COLOR", "")], true),
    ];
    for (variables, coloured) in colours {
        let help = on_a_terminal(
            &format!("{program} serve --help"),
            variables,
            "--log",
            |_| {},
        );
        // With an empty variable, libraries disagree; the log is ours.
        if variables != [("NO_COLOR", "")] {
            assert_eq!(help.contains('\x1b'), coloured, "{help}");
        }

        let mut connections = Vec::new();
        let log = on_a_terminal(&line, variables, "too many", |text| {
            let Some((_, rest)) = text.split_once("http://") else {
                return;
            };
            let Some((address, _)) = rest.split_once('/') else {
                return;
            };
            while connections.len() < 2 {
                connections.push(connect(address.parse().unwrap()));
            }
            if text.contains("warning") {
                connections.clear();
            }
        });
        assert_eq!(
            log.contains("\x1b[33m warning:\x1b[0m"),
            coloured,
            "{log:?}"
        );
        assert_eq!(log.contains('\x1b'), coloured, "{log:?}");
    }
}

// --- The log -----------------------------------------------------------------

/// Requests whose text would forge a line, end a string, or drive a terminal,
/// if it were written as it is. Some are no requests and are not logged.
fn hostile_requests(server: &Served) {
    let forged = "2026-11-20T15:58:00Z http 127.0.0.1:1 GET /forged 200 1";
    let (http, gopher) = (server.address("http"), server.address("gopher"));
    let send = |request: &[u8]| exchange(http, request);
    send(b"GET /%0d%0aforged%1b%5b2J HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    send(
        format!(
            "GET /a%0A{} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
            forged.replace(' ', "%20")
        )
        .as_bytes(),
    );
    send("GET /\u{202e}\u{9b}31m HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".as_bytes());
    send(b"GET /\"},{\"a\":\"\\u001b HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    send(b"GET / HTTP/1.1\r\nHost: a\r\nUser-Agent: \x1b[31m\r\nConnection: close\r\n\r\n");
    send(b"G\x1bT / HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut session = ftp::Session::log_in(server.address("ftp"));
    session.transfer([b"RETR ok\x1b[2J\x07\xff\r\x00 ", forged.as_bytes()].concat());
    session.transfer("RETR \"quoted\" and spaced");
    session.transfer("NLST \u{202e}gnp.exe");
    exchange(gopher, "/\u{202e}中文 200 1\r\n".as_bytes());
    exchange(gopher, b"/\x1b[2J\x1b]0;title\x07\r\n");
    exchange(
        gopher,
        [forged.as_bytes(), b"\rforged\r\n"].concat().as_slice(),
    );
    exchange(gopher, "/中文\u{85}\u{2028}\t\u{1b}c\r\n".as_bytes());
}

#[test]
fn log_lines_cannot_be_forged_and_hold_no_control_characters() {
    let share = share_of(&[("plain.bin", b"1234")]);
    let server = Served::start(share.path(), &[]);
    hostile_requests(&server);
    get(server.address("http"), "/plain.bin?a=1");
    let log = server.stop();
    let mut lines: Vec<&str> = log.split_terminator('\n').collect();
    assert!(log.ends_with('\n'));
    let advice = lines.remove(0);
    assert!(
        advice
            .ends_with("Z only this machine can connect; to share on the network: --bind 0.0.0.0"),
        "{log}"
    );
    for line in &lines {
        assert!(
            !line.contains(|letter: char| {
                letter.is_control() || matches!(letter, '\u{202e}' | '\u{2028}')
            }),
            "{line:?}"
        );
        let words: Vec<&str> = line.split(' ').collect();
        let [time, protocol, peer, verb, .., status, bytes] = words[..] else {
            panic!("{line}")
        };
        assert!(time.len() == 20 && time.ends_with('Z'), "{line}");
        assert!(PROTOCOLS.contains(&protocol), "{line}");
        assert!(
            peer.starts_with("127.0.0.1:") && !peer.ends_with(":1"),
            "{line}"
        );
        assert!(
            verb == "-" || verb.bytes().all(|byte| byte.is_ascii_alphabetic()),
            "{line}"
        );
        assert!(
            status.parse::<u16>().is_ok() && bytes.parse::<u64>().is_ok(),
            "{line}"
        );
    }
    assert!((10..=14).contains(&lines.len()), "{log}");
    assert!(
        lines.last().unwrap().ends_with(" GET /plain.bin?a=1 200 4"),
        "{log}"
    );
    assert!(
        log.contains(" RETR \"/\"quoted\" and spaced\" 550 0\n"),
        "{log}"
    );
}

#[test]
fn json_log_lines_are_json_whatever_is_asked_for() {
    let share = share_of(&[("plain.bin", b"1234")]);
    let server = Served::start(share.path(), &["--log", "json"]);
    hostile_requests(&server);
    get(server.address("http"), "/plain.bin");
    let log = server.stop();
    let lines: Vec<serde_json::Value> = log
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert!((11..=15).contains(&lines.len()), "{log}");
    for (line, value) in log.lines().zip(&lines) {
        assert!(!line.contains(char::is_control), "{line:?}");
        assert!(
            value["timestamp"].is_string() && value["level"] == "INFO",
            "{line}"
        );
        assert!(line.matches("\"target\":").count() <= 1, "{line}");
    }
    for value in &lines[1..] {
        assert!(PROTOCOLS.contains(&value["protocol"].as_str().unwrap()));
        assert!(value["status"].is_u64() && value["bytes"].is_u64() && value["target"].is_string());
    }
    let last = lines.last().unwrap();
    assert_eq!(
        (&last["target"], &last["status"]),
        (&"/plain.bin".into(), &200.into())
    );
    assert!(last["peer"].as_str().unwrap().starts_with("127.0.0.1:"));
}

#[test]
fn what_is_written_stands_in_the_log_as_an_audit_line() {
    let share = share_of(&[]);
    let server = Served::start(share.path(), &["--allow", "write", "--log", "text"]);
    let request =
        b"PUT /a%20b HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi";
    exchange(server.address("http"), request);
    let log = server.stop();
    let line = log
        .lines()
        .find(|line| line.contains(" audit "))
        .unwrap_or_else(|| panic!("{log}"));
    assert!(line.contains(" audit http 127.0.0.1:"), "{line}");
    assert!(line.ends_with(" - create \"/a b\""), "{line}");
}

#[test]
fn no_log_is_no_word() {
    let share = share_of(&[]);
    let server = Served::start(share.path(), &["--log", "off"]);
    hostile_requests(&server);
    assert_eq!(server.stop(), "");
}

#[test]
fn no_log_holds_a_password() {
    for form in ["text", "json"] {
        let share = share_of(&[]);
        let server = Served::start(share.path(), &["--log", form]);
        let mut session = ftp::Session::log_in(server.address("ftp"));
        for line in [
            "USER someone",
            "PASS hunter2",
            "pass hunter2",
            "PASS  hunter2",
            "ACCT hunter2",
        ] {
            session.command(line);
        }
        let request = b"GET / HTTP/1.1\r\nHost: a\r\nAuthorization: Basic hunter2\r\nCookie: hunter2\r\nConnection: close\r\n\r\n";
        exchange(server.address("http"), request);
        drop(session);
        let log = server.stop();
        assert!(log.contains("GET") && !log.contains("hunter2"), "{log}");
    }
}

// --- Those who do not listen -------------------------------------------------

#[test]
fn a_closed_stdout_or_stderr_is_no_failure() {
    let share = share_of(&[("plain.bin", b"content")]);
    for redirection in [
        "| true",
        ">&-",
        "2>&-",
        ">&- 2>&-",
        "> /dev/full",
        "2> /dev/full",
    ] {
        let port = free_port();
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let line = format!(
            "exec 3>&1; {{ \"$0\" serve \"$1\" --http {port} --ftp off --gopher off & echo $! >&3; }} {redirection}"
        );
        let mut shell = Command::new("sh");
        shell
            .arg("-c")
            .arg(line)
            .arg(env!("CARGO_BIN_EXE_hythe"))
            .arg(share.path());
        let mut shell = shell
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // Where only the other stream is closed, the start-up line comes along
        // the same way, before the number or after it.
        let mut stdout = std::io::BufReader::new(shell.stdout.take().unwrap());
        let pid = std::io::BufRead::lines(stdout.by_ref())
            .map(Result::unwrap)
            .find(|line| line.bytes().all(|byte| byte.is_ascii_digit()))
            .unwrap();
        eventually(redirection, || TcpStream::connect(address).is_ok());
        for _ in 0..3 {
            assert_eq!(
                get(address, "/plain.bin"),
                (200, b"content".to_vec()),
                "{redirection}"
            );
        }
        run(Command::new("kill").arg(pid));
        eventually("its end", || TcpStream::connect(address).is_err());
        shell.wait().unwrap();
    }
    // A log whose reader has gone.
    let mut command = serve(&["--http", "0", "--ftp", "off", "--gopher", "off"]);
    let mut child = command
        .arg(share.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stderr.take());
    let mut line = [0; 64];
    let count = child.stdout.take().unwrap().read(&mut line).unwrap();
    let line = std::str::from_utf8(&line[..count]).unwrap();
    let address = line
        .trim()
        .split("//")
        .nth(1)
        .unwrap()
        .trim_end_matches('/')
        .parse()
        .unwrap();
    for _ in 0..3 {
        assert_eq!(get(address, "/plain.bin"), (200, b"content".to_vec()));
    }
    run(Command::new("kill").arg(child.id().to_string()));
    assert!(child.wait().unwrap().success());
    // Help and errors, too.
    for arguments in [&["serve", "--help"][..], &["serve", "/no/such"]] {
        let mut child = hythe()
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop((child.stdout.take(), child.stderr.take()));
        let status = child.wait().unwrap().code();
        assert_eq!(status, Some(if arguments[1] == "--help" { 0 } else { 3 }));
    }
}

// --- Stopping ----------------------------------------------------------------

#[test]
fn an_interrupt_or_a_termination_is_a_clean_end() {
    let share = share_of(&[]);
    for signal in ["INT", "TERM"] {
        for model in ["sequential", "threads", "forks", "events", "cores"] {
            let server = Served::start(share.path(), &["--model", model]);
            server.signal(signal);
            let (status, log) = server.wait();
            assert_eq!(status.code(), Some(0), "{signal} {model}: {log}");
        }
    }
}

/// A download of `/large.bin` that is under way: the stream it comes on, and
/// a second one that must stay open meanwhile.
fn begin_download(server: &Served, protocol: &str) -> (TcpStream, Option<ftp::Session>) {
    let request: &[u8] = match protocol {
        "http" => b"GET /large.bin HTTP/1.1\r\nHost: a\r\n\r\n",
        "gopher" => b"/large.bin\r\n",
        _ => {
            let mut session = ftp::Session::log_in(server.address("ftp"));
            let stream = session.passive();
            assert_eq!(session.command("RETR /large.bin").code, 150);
            return (stream, Some(session));
        }
    };
    let mut stream = connect(server.address(protocol));
    stream.write_all(request).unwrap();
    // The reply has begun once there is a byte of it.
    stream.peek(&mut [0]).unwrap();
    (stream, None)
}

/// The processes that a server has started, in that order.
fn children(server: &Served) -> Vec<String> {
    let pid = server.child.id();
    let list = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
    list.split_whitespace().map(Into::into).collect()
}

#[test]
fn a_signal_to_the_process_of_a_connection_is_not_one_to_the_server() {
    let share = share_of(&[]);
    let server = Served::start(share.path(), &["--model", "forks"]);
    let mut one = ftp::Session::log_in(server.address("ftp"));
    let mut other = ftp::Session::log_in(server.address("ftp"));
    let processes = children(&server);
    assert_eq!(processes.len(), 2);
    for process in &processes {
        // As Ctrl-C sends it to all of them.
        run(Command::new("kill").args(["-s", "INT", process]));
    }
    assert_eq!(one.command("NOOP").code, 200);
    run(Command::new("kill").args(["-s", "TERM", &processes[0]]));
    assert_eq!(one.rest(), b"");
    eventually("the end of one process", || {
        children(&server) == processes[1..]
    });
    assert_eq!(other.command("NOOP").code, 200);
    ftp::Session::log_in(server.address("ftp"));
    let log = server.stop();
    assert!(log.contains("ended by signal 15"), "{log}");
}

fn refuses(address: SocketAddr) -> bool {
    TcpStream::connect(address).is_err()
}

#[test]
fn a_running_download_is_finished_before_the_end() {
    let large = content(LARGE);
    let share = share_of(&[("large.bin", &large)]);
    for model in ["threads", "forks", "events", "cores"] {
        for protocol in PROTOCOLS {
            let server = Served::start(share.path(), &["--model", model]);
            let address = server.address(protocol);
            let (mut stream, session) = begin_download(&server, protocol);
            server.signal("TERM");
            eventually("the listener's end", || refuses(address));
            let mut received = Vec::new();
            match protocol {
                "http" => {
                    // It says how long the reply is, and keeps its word.
                    while received.len() < LARGE || !received.ends_with(&large[LARGE - 64..]) {
                        let mut bytes = vec![0; 1 << 20];
                        let count = stream.read(&mut bytes).unwrap();
                        assert_ne!(count, 0, "cut off at {}", received.len());
                        received.extend_from_slice(&bytes[..count]);
                    }
                    assert_eq!(stream.read(&mut [0]).unwrap(), 0);
                }
                _ => {
                    stream.read_to_end(&mut received).unwrap();
                }
            }
            assert!(
                received.ends_with(&large),
                "{model} {protocol}: {}",
                received.len()
            );
            if let Some(mut session) = session {
                assert_eq!(session.reply().code, 226);
                let last = String::from_utf8(session.rest()).unwrap();
                assert!(last.starts_with("421 "), "{last}");
            }
            let (status, log) = server.wait();
            assert_eq!(status.code(), Some(0), "{log}");
        }
    }
}

#[test]
fn a_download_that_nobody_reads_delays_the_end_by_the_drain_limit_only() {
    let share = share_of(&[("large.bin", &content(LARGE))]);
    let server = Served::start(share.path(), &["--drain", "2"]);
    let running = PROTOCOLS.map(|protocol| begin_download(&server, protocol));
    let asked = Instant::now();
    server.signal("TERM");
    let (status, log) = server.wait();
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(
        asked.elapsed() > Duration::from_secs(1),
        "it was given time"
    );
    drop(running);
}

#[test]
fn a_second_signal_stops_a_slow_download_at_once() {
    let share = share_of(&[("large.bin", &content(LARGE))]);
    for (first, second, code) in [
        ("INT", "INT", 130),
        ("TERM", "TERM", 143),
        ("INT", "TERM", 143),
    ] {
        let server = Served::start(share.path(), &[]);
        let running = PROTOCOLS.map(|protocol| begin_download(&server, protocol));
        server.signal(first);
        eventually("the listener's end", || refuses(server.address("http")));
        server.signal(second);
        let (status, log) = server.wait();
        assert_eq!(status.code(), Some(code), "{log}");
        drop(running);
    }
}

#[test]
fn idle_connections_do_not_delay_the_end() {
    let share = share_of(&[("plain.bin", b"content")]);
    for model in ["threads", "forks", "events", "cores"] {
        let server = Served::start(share.path(), &["--model", model]);
        let mut http = connect(server.address("http"));
        http.write_all(b"GET /plain.bin HTTP/1.1\r\nHost: a\r\n\r\n")
            .unwrap();
        let mut reply = Vec::new();
        while !reply.ends_with(b"content") {
            let mut bytes = [0; 1024];
            let count = http.read(&mut bytes).unwrap();
            assert_ne!(count, 0);
            reply.extend_from_slice(&bytes[..count]);
        }
        let mut session = ftp::Session::log_in(server.address("ftp"));
        let mut silent = PROTOCOLS.map(|protocol| connect(server.address(protocol)));
        let asked = Instant::now();
        server.signal("INT");
        let (status, log) = server.wait();
        assert_eq!(status.code(), Some(0), "{log}");
        assert!(
            asked.elapsed() < Duration::from_secs(9),
            "not the drain limit"
        );
        assert_eq!(http.read(&mut [0]).unwrap(), 0);
        assert!(session.rest().starts_with(b"421 "));
        for stream in &mut silent {
            // The greeting of FTP at most.
            stream.read_to_end(&mut Vec::new()).ok();
        }
    }
}

// --- Models ------------------------------------------------------------------

#[test]
fn every_model_and_multiplexer_serves_every_protocol() {
    let large = content(300_000);
    let share = share_of(&[("plain.bin", &large)]);
    let choices: [&[&str]; 11] = [
        &["--model", "sequential"],
        &["--model", "threads"],
        &["--model", "forks"],
        &["--model", "events", "--mux", "select"],
        &["--model", "events", "--mux", "poll"],
        &["--model", "events", "--mux", "epoll-level"],
        &["--model", "events", "--mux", "epoll-edge"],
        &["--model", "cores", "--mux", "select"],
        &["--model", "cores", "--mux", "poll"],
        &["--model", "cores", "--mux", "epoll-level"],
        &["--model", "cores", "--mux", "epoll-edge"],
    ];
    for choice in choices {
        let server = Served::start(share.path(), choice);
        for _ in 0..3 {
            assert!(
                fetch_by_all(&server).iter().all(|got| *got == large),
                "{choice:?}"
            );
        }
        for protocol in PROTOCOLS {
            let kind = if protocol == "gopher" { "9/" } else { "" };
            let url = format!("{}{kind}plain.bin", server.url(protocol));
            let limit = PATIENCE.as_secs().to_string();
            let got = run(tool("curl").args(["-sS", "--fail", "--max-time", &limit, &url]));
            assert!(got == large, "{choice:?} {protocol}");
        }
        let log = server.stop();
        assert!(
            !log.contains("warning") && !log.contains("error"),
            "{choice:?}: {log}"
        );
    }
}
