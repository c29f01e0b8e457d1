//! Standard input and output, whatever they are: files, pipes, terminals, or
//! nothing at all.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::common::{PATIENCE, content, eventually, hythe, tool};
use crate::talk::{Talk, apart, connecting, inet, listen, listens};

/// The test as a server.
fn server() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    (listener, address)
}

fn accept(listener: &TcpListener) -> TcpStream {
    let (peer, _) = listener.accept().unwrap();
    peer.set_read_timeout(Some(PATIENCE)).unwrap();
    peer.set_write_timeout(Some(PATIENCE)).unwrap();
    peer
}

fn everything(peer: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    peer.read_to_end(&mut bytes).unwrap();
    bytes
}

/// A shell that runs a command with redirections of its own.
fn shell(redirections: &str, command: &Command) -> Command {
    let mut shell = Command::new("sh");
    shell
        .arg("-c")
        .arg(format!("exec \"$@\" {redirections}"))
        .arg("sh")
        .arg(command.get_program())
        .args(command.get_args());
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("HYTHE_") {
            shell.env_remove(name);
        }
    }
    shell
}

#[test]
fn a_file_is_sent_to_its_end() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("文件");
    let bytes = content(3_000_001);
    fs::write(&path, &bytes).unwrap();
    let (listener, address) = server();
    let file = File::open(&path).unwrap();
    let client = Talk::with_input(&mut connecting(&address, &[]), file);
    let mut peer = accept(&listener);
    assert!(everything(&mut peer) == bytes);
    peer.write_all(b"thanks\n").unwrap();
    drop(peer);
    assert_eq!(client.succeeds(), b"thanks\n");

    // And into a file, by the listener.
    let (to, out) = (folder.path().join("out"), folder.path().join("in"));
    fs::write(&out, "a reply from a file\n").unwrap();
    let mut command = hythe();
    command.args(["listen", "127.0.0.1:0"]);
    let redirections = format!("<'{}' >'{}'", out.display(), to.display());
    let listener = Talk::start(&mut shell(&redirections, &command));
    let mut client = crate::common::connect(inet(&listens(&listener)));
    client.write_all(&bytes).unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(everything(&mut client), b"a reply from a file\n");
    listener.succeeds();
    assert!(fs::read(&to).unwrap() == bytes);
}

#[test]
fn without_input_it_is_told_the_end_at_once() {
    let folder = tempfile::tempdir().unwrap();
    for redirection in ["</dev/null", "<&-"] {
        println!("{redirection}");
        let (listener, address) = server();
        let client = Talk::start(&mut shell(redirection, &connecting(&address, &[])));
        let mut peer = accept(&listener);
        assert_eq!(everything(&mut peer), b"");
        peer.write_all(b"still heard\n").unwrap();
        drop(peer);
        assert_eq!(client.succeeds(), b"still heard\n");

        for place in [
            "127.0.0.1:0".to_owned(),
            format!("unix:{}/socket", folder.path().display()),
        ] {
            let mut command = hythe();
            command.args(["listen", &place]);
            let listener = Talk::start(&mut shell(redirection, &command));
            let client = Talk::start(&mut connecting(&listens(&listener), &[]));
            client.say("heard\n");
            listener.hears("heard\n");
            assert_eq!(client.succeeds(), b"");
            assert_eq!(listener.succeeds(), b"heard\n");
        }
    }
}

/// A descriptor that is closed is not to become another's: nothing of what is
/// said or heard goes to a socket.
#[test]
fn closed_descriptors_are_nobodys() {
    for redirections in [">&-", "2>&-", "<&- >&- 2>&-"] {
        println!("{redirections}");
        let (listener, address) = server();
        let client = Talk::start(&mut shell(redirections, &connecting(&address, &[])));
        let mut peer = accept(&listener);
        peer.write_all(b"to nobody\n").ok();
        peer.shutdown(Shutdown::Write).ok();
        let mut heard = Vec::new();
        client.say("said\n");
        let client = client.ends();
        peer.read_to_end(&mut heard).ok();
        assert!(matches!(client.code, 0 | 1), "{redirections} {client:?}");
        assert!(
            heard.is_empty() || heard == b"said\n",
            "{redirections}: {:?}",
            String::from_utf8_lossy(&heard)
        );
    }
    // Programs get none of them either.
    for redirections in ["<&-", "<&- >&-"] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let mut command = hythe();
        command
            .args(["listen", "--keep", "--exec", "cat"])
            .arg(format!("unix:{}", path.display()));
        let listener = Talk::start(&mut shell(redirections, &command));
        let address = listens(&listener);
        let client = Talk::start(&mut connecting(&address, &[]));
        client.say("there and back\n");
        assert_eq!(client.succeeds(), b"there and back\n", "{redirections}");
        listener.stops();
    }
}

/// `hythe connect … | head -1`
#[test]
fn who_has_seen_enough_makes_it_end_in_order() {
    let (listener, address) = server();
    let mut child = connecting(&address, &[])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut peer = accept(&listener);
    peer.write_all(b"first line\n").unwrap();
    let mut stdout = child.stdout.take().unwrap();
    stdout.read_exact(&mut [0; 11]).unwrap();
    drop(stdout);
    eventually("it has noticed", || {
        peer.write_all(b"another line\n").ok();
        child.try_wait().unwrap().is_some()
    });
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}

#[test]
fn a_full_disk_is_said_and_1() {
    if !Path::new("/dev/full").exists() {
        return;
    }
    let (listener, address) = server();
    let client = Talk::start(&mut shell(">/dev/full", &connecting(&address, &[])));
    let mut peer = accept(&listener);
    peer.write_all(b"no room for this\n").unwrap();
    let ended = client.ends_by_itself();
    assert_eq!(ended.code, 1, "{ended:?}");
    assert!(ended.errors.contains("standard output"), "{ended:?}");
}

/// A reader that does not read makes the peer wait, and not memory grow.
#[test]
fn a_slow_reader_slows_the_peer() {
    let (listener, address) = server();
    let mut child = connecting(&address, &[])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut peer = accept(&listener);
    peer.set_write_timeout(Some(Duration::from_millis(500)))
        .unwrap();
    let piece = content(256 * 1024);
    let mut sent = 0;
    while let Ok(count) = peer.write(&piece) {
        sent += count;
        assert!(sent < 64 << 20, "it takes everything");
    }
    // All of it is there once it is wanted.
    drop(peer);
    let mut stdout = child.stdout.take().unwrap();
    let mut bytes = vec![0; 64 * 1024];
    let mut came = 0;
    while let count @ 1.. = stdout.read(&mut bytes).unwrap() {
        came += count;
    }
    assert_eq!(came, sent);
    assert!(child.wait().unwrap().success());
}

/// Descriptors that are shared with a shell keep their modes: whoever comes next
/// must not find them non-blocking.
#[test]
fn the_modes_of_shared_descriptors_stay_as_they_were() {
    let (listener, address) = server();
    let line = "\"$@\"; cat /proc/self/fdinfo/0 /proc/self/fdinfo/1 /proc/self/fdinfo/2";
    let client = connecting(&address, &[]);
    let mut command = Command::new("sh");
    command
        .args(["-c", line, "sh"])
        .arg(client.get_program())
        .args(client.get_args());
    let shell = Talk::start(&mut command);
    let peer = accept(&listener);
    drop(peer);
    let heard = String::from_utf8(shell.succeeds()).unwrap();
    let flags: Vec<u32> = heard
        .lines()
        .filter_map(|line| line.strip_prefix("flags:"))
        .map(|flags| u32::from_str_radix(flags.trim(), 8).unwrap())
        .collect();
    assert_eq!(flags.len(), 3, "{heard}");
    // O_NONBLOCK
    assert!(flags.iter().all(|flags| flags & 0o4000 == 0), "{heard}");
}

// --- A terminal ------------------------------------------------------------------

/// A command on a terminal of its own, whose status is script's.
fn on_terminal(command: &Command) -> Talk {
    let words: Vec<String> = std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|word| format!("'{}'", word.to_str().unwrap()))
        .collect();
    let mut script = tool("script");
    script
        .args(["--quiet", "--return", "--command", &words.join(" ")])
        .arg("/dev/null");
    Talk::start(&mut script)
}

#[test]
fn at_a_terminal_it_ends_with_the_peer_and_says_so() {
    let (listener, address) = server();
    let client = on_terminal(&connecting(&address, &[]));
    let mut peer = accept(&listener);
    client.say("typed: tschüß\n");
    let mut bytes = vec![0; "typed: tschüß\n".len()];
    peer.read_exact(&mut bytes).unwrap();
    assert_eq!(String::from_utf8(bytes).unwrap(), "typed: tschüß\n");
    peer.write_all(b"answered\n").unwrap();
    client.hears("answered\r\n");
    drop(peer);
    // Its input has not ended: nobody would type an end into what is over.
    let ended = client.ends_by_itself();
    assert_eq!(ended.code, 0, "{ended:?}");
    let text = String::from_utf8(ended.output).unwrap();
    assert!(text.contains("connection closed by the peer"), "{text}");
}

#[test]
fn a_listener_at_a_terminal_ends_with_its_peer_too() {
    let mut command = hythe();
    command.args(["listen", "127.0.0.1:0"]);
    let listener = on_terminal(&command);
    listener.hears("listening on 127.0.0.1:");
    listener.hears("\n");
    let text = String::from_utf8(listener.heard()).unwrap();
    let line = text.lines().find(|line| line.starts_with("listening on "));
    let address = line.unwrap().trim_start_matches("listening on ").to_owned();
    let mut client = crate::common::connect(inet(&address));
    client.write_all(b"hello\n").unwrap();
    listener.hears("hello\r\n");
    listener.say("typed\n");
    client.read_exact(&mut [0; 6]).unwrap();
    drop(client);
    let ended = listener.ends_by_itself();
    assert_eq!(ended.code, 0, "{ended:?}");
    let text = String::from_utf8(ended.output).unwrap();
    assert!(text.contains("connection closed by the peer"), "{text}");
}

/// Ctrl-D ends the direction, and Ctrl-C everything.
#[test]
fn the_keys_of_a_terminal_do_what_they_say() {
    let (listener, address) = server();
    let client = on_terminal(&connecting(&address, &[]));
    let mut peer = accept(&listener);
    client.say("last\n");
    peer.read_exact(&mut [0; 5]).unwrap();
    client.say([4]);
    assert_eq!(everything(&mut peer), b"");
    peer.write_all(b"after the end\n").unwrap();
    client.hears("after the end\r\n");
    drop(peer);
    assert_eq!(client.ends_by_itself().code, 0);

    let client = on_terminal(&connecting(&address, &[]));
    let mut peer = accept(&listener);
    client.say("line\n");
    peer.read_exact(&mut [0; 5]).unwrap();
    client.say([3]);
    let ended = client.ends_by_itself();
    assert_eq!(ended.code, 130, "{ended:?}");
}

/// Lines are datagrams, as they are typed.
#[test]
fn at_a_terminal_each_line_is_a_datagram() {
    let peer = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    peer.set_read_timeout(Some(PATIENCE)).unwrap();
    let client = on_terminal(&connecting(
        &peer.local_addr().unwrap().to_string(),
        &["--udp"],
    ));
    client.say("one\ntwo\n");
    let mut bytes = [0; 64];
    for wanted in ["one\n", "two\n"] {
        let (count, from) = peer.recv_from(&mut bytes).unwrap();
        assert_eq!(&bytes[..count], wanted.as_bytes());
        peer.send_to(b"got it\n", from).unwrap();
    }
    client.hears("got it\r\n");
    client.say([3]);
    assert_eq!(client.ends_by_itself().code, 130);
}

#[test]
fn into_a_pipe_of_a_shell() {
    let (listener, address) = listen(&["127.0.0.1:0", "--keep", "--exec", "seq 100000"]);
    let (host, port) = apart(&address).unwrap();
    let line = "\"$0\" connect \"$1\" \"$2\" </dev/null | head -n 2; exit 0";
    let shell =
        Talk::start(Command::new("sh").args(["-c", line, env!("CARGO_BIN_EXE_hythe"), host, port]));
    let ended = shell.ends();
    assert_eq!(ended.output, b"1\n2\n");
    assert_eq!(ended.errors, "");
    eventually("the program is told", || listener.children().is_empty());
    listener.stops();
}
