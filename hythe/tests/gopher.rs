//! Gopher: menus, texts, files, searches and links; what must not work; and
//! the clients that people use.

mod common;

#[path = "gopher/clients.rs"]
mod clients;
#[path = "gopher/traps.rs"]
mod traps;

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::thread::{self, JoinHandle};

use hythe::accounts::Gate;
use hythe::serve::gopher::Gopher;
use hythe::share::{Access, Share};
use hythe_net::{Model, MuxKind, Server, Shutdown};
use hythe_wire::gopher::{Item, TextDecoder};

use common::{DIFFICULT_NAMES, content, difficult_tree, exchange};

/// A server in this process, stopped when dropped.
struct Running {
    address: SocketAddr,
    shutdown: Shutdown,
    thread: Option<JoinHandle<io::Result<()>>>,
}

impl Running {
    fn start(root: &Path) -> Self {
        let model = Model::Events {
            mux: MuxKind::EpollEdge,
        };
        Self::on("127.0.0.1:0", model, root, None)
    }

    fn on(address: &str, model: Model, root: &Path, host: Option<&str>) -> Self {
        let gate = Gate::new(Share::open(root).unwrap(), Access::Read);
        let gopher = Gopher::new(gate, host.map(str::to_owned));
        let server = Server::new(model)
            .listen(&address.parse().unwrap(), gopher)
            .unwrap();
        let address = server.addresses()[0].to_string().parse().unwrap();
        let shutdown = server.shutdown();
        let thread = Some(thread::spawn(move || server.serve()));
        Self {
            address,
            shutdown,
            thread,
        }
    }

    /// What a selector brings.
    fn get(&self, selector: impl AsRef<[u8]>) -> Vec<u8> {
        exchange(self.address, &[selector.as_ref(), b"\r\n"].concat())
    }

    fn get_text(&self, selector: impl AsRef<[u8]>) -> String {
        String::from_utf8_lossy(&self.get(selector)).into_owned()
    }

    /// The lines of a menu, which must be a whole one: type, display, selector.
    fn menu(&self, selector: impl AsRef<[u8]>) -> Vec<(char, Vec<u8>, Vec<u8>)> {
        let menu = self.get(selector);
        let lines = menu
            .strip_suffix(b"\r\n.\r\n")
            .unwrap_or_else(|| panic!("{}", show(&menu)));
        let lines = lines.split(|byte| *byte == b'\n');
        lines
            .map(|line| {
                let item = Item::parse(line.trim_ascii_end()).unwrap();
                let leads_here = item.host == self.address.ip().to_string().as_bytes()
                    && item.port == self.address.port();
                assert!(leads_here || item.host == b"error.host", "{}", show(line));
                (
                    char::from(item.kind.0),
                    item.display.to_vec(),
                    item.selector.to_vec(),
                )
            })
            .collect()
    }

    /// As `menu`, as text: `1folder /folder`.
    fn items(&self, selector: &str) -> Vec<String> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let items = self.menu(selector).into_iter();
        items
            .map(|(kind, display, selector)| {
                format!("{kind}{} {}", text(&display), text(&selector))
            })
            .collect()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.shutdown.stop();
        let ended = self.thread.take().unwrap().join();
        if !thread::panicking() {
            ended.unwrap().unwrap();
        }
    }
}

fn show(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}

fn decoded(text: &[u8]) -> Vec<u8> {
    let (mut out, mut decoder) = (Vec::new(), TextDecoder::new());
    decoder.decode(text, &mut out);
    assert!(
        decoder.is_done(),
        "{}",
        show(&text[text.len().saturating_sub(100)..])
    );
    out
}

fn error(text: &str) -> String {
    format!("3{text}\t\terror.host\t1\r\n.\r\n")
}

/// A file of the difficult tree as it is sent. What is in them looks random,
/// except where it is empty, which is a text.
fn as_sent(path: &Path) -> Vec<u8> {
    let content = fs::read(path).unwrap();
    if content.is_empty() {
        b".\r\n".to_vec()
    } else {
        content
    }
}

/// A folder with something of every type.
fn share() -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir_all(root.path().join("folder/inner")).unwrap();
    for (name, content) in [
        ("text", &b"one\n.two\r\n...\nlast"[..]),
        ("empty", b""),
        ("page.html", b"<p>\n.\n"),
        ("photo.jpg", b"\xff\xd8\n.\n"),
        ("drawing.png", b"\x89PNG\r\n"),
        ("moving.gif", b"GIF89a"),
        ("tune.mp3", b"ID3"),
        ("paper.pdf", b"%PDF"),
        ("things.zip", b"PK\n.\r\n"),
        ("program", b"\x7fELF\0\0"),
        ("lying.txt", b"PK\x03\x04\0\0"),
        ("latin.txt", b"caf\xe9 ol\xe9\n"),
        (".hidden", b"hidden"),
        ("folder/deep Text.md", b"# deep\n"),
        ("folder/inner/deeper text", b"deeper"),
        ("folder/.hidden text", b"hidden"),
    ] {
        fs::write(root.path().join(name), content).unwrap();
    }
    root
}

#[test]
fn menus_show_each_type() {
    let root = share();
    let server = Running::start(root.path());
    let expected = [
        "7Search here and below /",
        "1folder /folder",
        "pdrawing.png /drawing.png",
        "0empty /empty",
        "9latin.txt /latin.txt",
        "9lying.txt /lying.txt",
        "gmoving.gif /moving.gif",
        "hpage.html /page.html",
        "dpaper.pdf /paper.pdf",
        "Iphoto.jpg /photo.jpg",
        "9program /program",
        "0text /text",
        "5things.zip /things.zip",
        "stune.mp3 /tune.mp3",
    ];
    for selector in [
        "",
        "/",
        "//",
        "folder/..",
        "\t+",
        "\t$",
        "/\t\t+application/gopher-menu",
    ] {
        assert_eq!(server.items(selector), expected, "{selector:?}");
    }
    assert_eq!(
        exchange(server.address, b"\n"),
        server.get(""),
        "a bare LF is tolerated"
    );
    let folder = [
        "7Search here and below /folder",
        "1inner /folder/inner",
        "0deep Text.md /folder/deep Text.md",
    ];
    for selector in ["/folder", "folder", "/folder/", "folder\t"] {
        assert_eq!(server.items(selector), folder, "{selector:?}");
    }
}

#[test]
fn texts_are_stuffed_and_files_are_not() {
    let root = share();
    let server = Running::start(root.path());
    assert_eq!(
        server.get_text("/text"),
        "one\r\n..two\r\n....\r\nlast\r\n.\r\n"
    );
    assert_eq!(server.get_text("/text\t+"), server.get_text("text"));
    assert_eq!(server.get_text("/empty"), ".\r\n");
    for name in [
        "page.html",
        "photo.jpg",
        "things.zip",
        "lying.txt",
        "latin.txt",
        "program",
    ] {
        assert_eq!(
            server.get(name),
            fs::read(root.path().join(name)).unwrap(),
            "{name}"
        );
    }
}

#[test]
fn names_of_any_kind_lead_to_their_files() {
    let root = tempfile::tempdir().unwrap();
    difficult_tree(root.path());
    let server = Running::start(root.path());
    let folder = "/文件夹 with #1%";
    for parent in ["", folder] {
        for (_, display, selector) in server.menu(parent).into_iter().skip(1) {
            let path = root.path().join(OsStr::from_bytes(&selector[1..]));
            if display == b"new?line.txt" {
                assert_eq!(
                    server.get_text(&selector),
                    error("There is no such thing here.")
                );
            } else if path.is_file() {
                assert_eq!(server.get(&selector), as_sent(&path), "{}", show(&selector));
            }
        }
        // All but the hidden one; and the search, and one folder.
        assert_eq!(server.menu(parent).len(), DIFFICULT_NAMES.len() - 1 + 2);
    }
}

#[test]
fn searching_finds_names_below() {
    let root = share();
    let server = Running::start(root.path());
    let mut found = server.items("/\tTEXT");
    found.sort();
    assert_eq!(
        found,
        [
            "0folder/deep Text.md /folder/deep Text.md",
            "0folder/inner/deeper text /folder/inner/deeper text",
            "0text /text",
        ]
    );
    assert_eq!(server.items("/folder/inner\ttext").len(), 1);
    assert_eq!(server.items("/\tinner"), ["1folder/inner /folder/inner"]);
    assert_eq!(server.items("/\tnowhere"), ["iNothing was found. "]);
    assert_eq!(server.items("/\thidden"), ["iNothing was found. "]);
    assert_eq!(
        server.get_text("/missing\tx"),
        error("There is no such thing here.")
    );
    for number in 0..1100 {
        fs::write(root.path().join(format!("folder/many {number}")), "").unwrap();
    }
    let found = server.items("/\tmany");
    assert_eq!(found.len(), 1001, "results are bounded");
    assert_eq!(found[1000], "iThere is more than a search can look at. ");
}

#[test]
fn a_gophermap_lays_out_its_folder() {
    let root = share();
    let map = "Welcome!\r\n0Old\tinner/deeper text\n1All\t/\n1Far\t/x\tfar.example\t70\n\
               hWeb\tURL:https://example.org/\n.\nnot shown\n";
    fs::write(root.path().join("folder/gophermap"), map).unwrap();
    let server = Running::start(root.path());
    let here = format!("{}\t{}", server.address.ip(), server.address.port());
    let expected = format!(
        "iWelcome!\t\terror.host\t1\r\n0Old\t/folder/inner/deeper text\t{here}\r\n\
         1All\t/\t{here}\r\n1Far\t/x\tfar.example\t70\r\n\
         hWeb\tURL:https://example.org/\t{here}\r\n.\r\n"
    );
    assert_eq!(server.get_text("/folder"), expected);
    // Without an end, and as long as it likes to be.
    fs::write(root.path().join("folder/gophermap"), "x".repeat(3_000_000)).unwrap();
    let menu = server.get("/folder");
    assert!(menu.ends_with(b"\r\n.\r\n") && menu.len() < 2_000_000);
}

#[test]
fn links_out_of_gopher_are_pages() {
    let root = share();
    let server = Running::start(root.path());
    let page = server.get_text("URL:https://example.org/?a=1&b=\"><script>");
    assert!(page.contains("href=\"https://example.org/?a=1&amp;b=&quot;&gt;&lt;script&gt;\""));
    assert_eq!(
        server.get_text("/URL:javascript:alert(1)"),
        error("Links of that kind are not followed.")
    );
}

#[test]
fn menus_lead_to_where_the_client_came_or_to_the_name_given() {
    let root = share();
    let model = Model::Threads { max: 4 };
    let server = Running::on("[::]:0", model, root.path(), None);
    for (ip, host) in [
        ("127.0.0.1", "127.0.0.1"),
        ("::1", "::1"),
        ("127.0.0.2", "127.0.0.2"),
    ] {
        let address = (
            ip.parse::<std::net::IpAddr>().unwrap(),
            server.address.port(),
        )
            .into();
        let menu = String::from_utf8(exchange(address, b"\r\n")).unwrap();
        assert!(
            menu.contains(&format!("\t{host}\t{}\r\n", server.address.port())),
            "{menu}"
        );
    }
    let server = Running::on("127.0.0.1:0", model, root.path(), Some("files.example"));
    let expected = format!(
        "1folder\t/folder\tfiles.example\t{}\r\n",
        server.address.port()
    );
    assert!(server.get_text("").contains(&expected));
}

#[test]
fn every_model_and_multiplexer_serves() {
    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join("file.bin"), content(300_000)).unwrap();
    fs::write(root.path().join("text"), "line\n".repeat(100_000)).unwrap();
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
            let server = Running::on(address, model, root.path(), None);
            assert_eq!(server.get("file.bin"), content(300_000));
            assert_eq!(
                decoded(&server.get("text")),
                "line\n".repeat(100_000).as_bytes()
            );
            assert_eq!(server.items("").len(), 3);
        }
    }
}
