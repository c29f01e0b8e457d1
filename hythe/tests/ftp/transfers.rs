//! Files and listings over data connections.

use std::fs;
use std::io::Read;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::ffi::OsStrExt;

use hythe::serve::ftp::FtpConfig;
use hythe_net::{Limits, Model, MuxKind};

use super::common::{Served, connect, content, difficult_tree};
use super::{Client, Running, show, with_name};

#[test]
fn files_of_any_name_come_as_they_are() {
    let root = tempfile::tempdir().unwrap();
    let paths = difficult_tree(root.path());
    let server = Running::start(root.path());
    let mut client = server.log_in();
    for path in paths {
        let name = path.as_os_str().as_bytes();
        let expected = fs::read(root.path().join(&path)).unwrap();
        if name.contains(&b'\n') {
            continue; // no FTP command can say this
        }
        assert_eq!(
            client.fetch(with_name("RETR", name)),
            expected,
            "{}",
            show(name)
        );
        let size = client.command(with_name("SIZE", name), 213);
        assert_eq!(size, format!("213 {}\r\n", expected.len()));
    }
}

#[test]
fn every_model_and_multiplexer_serves() {
    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join("file"), content(300_000)).unwrap();
    let mut models = vec![Model::Sequential, Model::Threads { max: 4 }];
    for mux in [
        MuxKind::Select,
        MuxKind::Poll,
        MuxKind::EpollLevel,
        MuxKind::EpollEdge,
    ] {
        models.extend([Model::Events { mux }, Model::Cores { count: 2, mux }]);
    }
    for model in models {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            println!("{model:?} on {address}");
            let (config, limits) = (FtpConfig::default(), Limits::default());
            let server = Running::on(address, model, root.path(), config, limits);
            let mut client = server.log_in();
            assert_eq!(client.fetch("RETR file"), content(300_000));
            assert_eq!(client.fetch_lines("NLST"), ["file"]);
            let data = client.begin("RETR file");
            client.send("ABOR\r\nQUIT\r\n");
            drop(data);
            let (code, _) = client.reply();
            assert!(code == 226 || code == 426, "{code}");
            client.expect(226);
            client.expect(221);
        }
    }
}

#[test]
fn a_restart_is_for_the_next_transfer_only() {
    let root = tempfile::tempdir().unwrap();
    let whole = content(100_000);
    fs::write(root.path().join("file"), &whole).unwrap();
    let server = Running::start(root.path());
    let mut client = server.log_in();
    for offset in [0, 1, 50_000, 99_999, 100_000] {
        client.command(format!("REST {offset}"), 350);
        assert_eq!(client.fetch("RETR file"), &whole[offset..]);
        assert_eq!(client.fetch("RETR file"), whole);
    }
    for offset in ["100001", "18446744073709551615"] {
        client.command(format!("REST {offset}"), 350);
        client.command("RETR file", 554);
        assert_eq!(client.fetch("RETR file"), whole);
    }
    client.command("REST 7", 350);
    assert_eq!(client.fetch_lines("NLST"), ["file"]);
    assert_eq!(client.fetch("RETR file"), whole);
    client.command("REST 7", 350);
    client.command("TYPE A", 200);
    client.command("RETR file", 554);
}

#[test]
fn ascii_type_converts_line_ends() {
    let root = tempfile::tempdir().unwrap();
    let text = "中文\nsecond\r\n\nlast".repeat(20_000);
    fs::write(root.path().join("text"), &text).unwrap();
    let server = Running::start(root.path());
    let mut client = server.log_in();
    client.command("TYPE A", 200);
    let expected = text.replace("\r\n", "\n").replace('\n', "\r\n");
    assert_eq!(client.fetch("RETR text"), expected.as_bytes());
}

#[test]
fn active_mode_goes_where_the_client_is() {
    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join("file"), "content").unwrap();
    for address in ["127.0.0.1:0", "[::1]:0"] {
        let (config, limits) = (FtpConfig::default(), Limits::default());
        let model = Model::Threads { max: 4 };
        let server = Running::on(address, model, root.path(), config, limits);
        let mut client = server.log_in();
        let ip = client.peer_ip();
        let listener = TcpListener::bind((ip, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let family = if ip.is_ipv4() { 1 } else { 2 };
        let mut ways = vec![format!("EPRT |{family}|{ip}|{port}|")];
        if ip.is_ipv4() {
            ways.push(format!("PORT 127,0,0,1,{},{}", port >> 8, port & 255));
        }
        for way in ways {
            client.command(way, 200);
            client.command("RETR file", 150);
            let mut bytes = Vec::new();
            listener
                .accept()
                .unwrap()
                .0
                .read_to_end(&mut bytes)
                .unwrap();
            assert_eq!(bytes, b"content");
            client.expect(226);
            client.command("RETR file", 425); // each is for one transfer
        }
        drop(listener);
        client.command(format!("EPRT |{family}|{ip}|{port}|"), 200);
        client.command("RETR file", 150);
        client.expect(425);
        client.command("NOOP", 200);
    }
}

#[test]
fn passive_mode_of_the_old_kind_is_for_ipv4() {
    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join("file"), "content").unwrap();
    let server = Running::start(root.path());
    let mut client = server.log_in();
    let text = client.command("PASV", 227);
    let numbers = text.split(['(', ')']).nth(1).unwrap();
    let numbers: Vec<u8> = numbers
        .split(',')
        .map(|number| number.parse().unwrap())
        .collect();
    let [a, b, c, d, high, low] = numbers[..] else {
        panic!("{text}")
    };
    let mut data = connect(SocketAddr::from((
        [a, b, c, d],
        u16::from_be_bytes([high, low]),
    )));
    client.command("RETR file", 150);
    let mut bytes = Vec::new();
    data.read_to_end(&mut bytes).unwrap();
    assert_eq!(bytes, b"content");
    client.expect(226);

    let model = Model::Threads { max: 4 };
    let (config, limits) = (FtpConfig::default(), Limits::default());
    let server = Running::on("[::1]:0", model, root.path(), config, limits);
    let mut client = server.log_in();
    assert!(client.command("PASV", 425).contains("EPSV"));
    client.command("EPSV 1", 522);
    client.command("EPSV 2", 229);
    client.command("EPRT |1|127.0.0.1|50000|", 522);
    client.command("PORT 127,0,0,1,200,200", 504);
}

#[test]
fn ipv4_clients_of_a_dual_stack_listener_are_ipv4_clients() {
    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join("file"), "content").unwrap();
    let model = Model::Threads { max: 4 };
    let (config, limits) = (FtpConfig::default(), Limits::default());
    let server = Running::on("[::]:0", model, root.path(), config, limits);
    let address = SocketAddr::from(([127, 0, 0, 1], server.address.port()));
    let mut client = Client::new(connect(address));
    client.log_in();
    assert_eq!(client.fetch("RETR file"), b"content");
    assert!(client.command("PASV", 227).contains("(127,0,0,1,"));
    client.command("EPRT |2|::1|50000|", 522);
    client.command("PORT 127,0,0,1,200,200", 200);
}

#[test]
fn passive_ports_stay_in_their_range() {
    let root = tempfile::tempdir().unwrap();
    // A free port, and whatever is next to it.
    let first = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let first = first.min(65_000);
    let range = first..=first + 9;
    let config = FtpConfig {
        passive_ports: Some(range.clone()),
        ..FtpConfig::default()
    };
    let server = Running::with(root.path(), config, Limits::default());
    let mut clients = Vec::new();
    let mut ports = Vec::new();
    let code = loop {
        let mut client = server.log_in();
        client.send("EPSV\r\n");
        let (code, text) = client.reply();
        if code != 229 {
            break code;
        }
        let text = String::from_utf8(text).unwrap();
        ports.push(text.split('|').nth(3).unwrap().parse::<u16>().unwrap());
        clients.push(client);
    };
    assert_eq!(code, 425, "no port is left");
    assert!(ports.iter().all(|port| range.contains(port)), "{ports:?}");
    assert!(
        !ports.is_sorted() || ports.len() < 5,
        "guessable: {ports:?}"
    );
    let again = clients[0].epsv().port();
    assert_eq!(again, ports[0], "its own port is the only free one");
}

#[test]
fn listings() {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir(root.path().join("folder")).unwrap();
    for name in [
        "b.txt",
        "a.txt",
        ".hidden",
        "c.bin",
        "folder/inside.txt",
        "x\r\ny",
    ] {
        fs::write(root.path().join(name), "12345").unwrap();
    }
    let server = Running::start(root.path());
    let mut client = server.log_in();
    let all = ["folder", ".hidden", "a.txt", "b.txt", "c.bin", "x??y"];
    let shown = ["folder", "a.txt", "b.txt", "c.bin", "x??y"];
    assert_eq!(client.fetch_lines("NLST"), shown);
    assert_eq!(client.fetch_lines("NLST -a"), all);
    assert_eq!(client.fetch_lines("NLST folder"), ["folder/inside.txt"]);
    assert_eq!(client.fetch_lines("NLST /folder/"), ["/folder/inside.txt"]);
    assert_eq!(client.fetch_lines("NLST b.txt"), ["b.txt"]);
    assert_eq!(client.fetch_lines("NLST *.txt"), ["a.txt", "b.txt"]);
    assert_eq!(client.fetch_lines("NLST folder/i*"), ["folder/inside.txt"]);
    assert!(client.fetch_lines("NLST nothing*").is_empty());
    let names = |lines: Vec<String>| -> Vec<String> {
        lines.iter().map(|line| line[59..].to_owned()).collect()
    };
    assert_eq!(names(client.fetch_lines("LIST")), shown);
    assert_eq!(names(client.fetch_lines("LIST -l")), shown);
    assert_eq!(names(client.fetch_lines("LIST -la")), all);
    assert_eq!(names(client.fetch_lines("LIST -a /")), all);
    assert_eq!(names(client.fetch_lines("LIST folder")), ["inside.txt"]);
    assert_eq!(names(client.fetch_lines("LIST a.txt")), ["a.txt"]);
    let line = client.fetch_lines("LIST a.txt").remove(0);
    assert!(
        line.starts_with("-rw-r--r-- ") && line.contains(" 5 "),
        "{line}"
    );
    assert!(client.fetch_lines("LIST")[0].starts_with("drwx"));

    let facts = client.fetch_lines("MLSD");
    let names: Vec<&str> = facts
        .iter()
        .map(|line| line.split_once("; ").unwrap().1)
        .collect();
    assert_eq!(names, all);
    assert!(facts[0].starts_with("type=dir;perm=el;modify="));
    assert!(facts[1].starts_with("type=file;perm=r;size=5;modify="));
    assert_eq!(client.fetch_lines("MLSD folder").len(), 1);
}

#[test]
fn a_folder_of_50_000_is_listed_in_flat_memory() {
    let root = tempfile::tempdir().unwrap();
    for number in 0..50_000 {
        fs::File::create(root.path().join(format!("file number {number:05}"))).unwrap();
    }
    let served = Served::start(root.path(), &[]);
    let mut client = Client::new(connect(served.address("ftp")));
    client.log_in();
    client.command("STAT .", 212);
    let before = served.private_memory();
    for verb in ["NLST", "LIST", "MLSD"] {
        let lines = client.fetch_lines(verb);
        assert_eq!(lines.len(), 50_000);
        assert!(lines[0].ends_with("file number 00000"), "{}", lines[0]);
        assert!(lines[49_999].ends_with("file number 49999"));
    }
    let grown = served.private_memory().saturating_sub(before);
    assert!(grown < 32 * 1024, "{grown} KiB for three listings");
}
