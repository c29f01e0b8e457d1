//! Programs that people have, each fetching the same difficult tree over every
//! protocol that it knows: what arrives is what is there, byte for byte.
//!
//! Where a program itself cannot express a name, that name is left out for it
//! alone, with the reason. Two reasons return:
//!
//! - [`NEWLINE`]: commands of FTP and selectors of Gopher end with the line, so
//!   neither protocol can ask for such a name.
//! - [`TELNET`]: FTP's commands are Telnet text (RFC 959 §5.3), in which a byte
//!   255 begins a Telnet command unless it is doubled (RFC 854). Few clients
//!   double it. Other bytes that are not UTF-8 are for everyone.

mod common;

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use common::{Served, content, difficult_tree, exchange, ftp, run, shown, tool, url_path};
use tempfile::TempDir;

const NEWLINE: &[u8] = b"new\nline.txt";
const TELNET: &[u8] = b"not-utf-8-\xff\xfe.txt";

/// Not UTF-8, but without a byte that Telnet takes for its own.
const LATIN: &[u8] = b"caf\xe9.txt";

/// A share with difficult names, and the paths of its files.
struct Tree {
    folder: TempDir,
    paths: Vec<PathBuf>,
}

impl Tree {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut paths = difficult_tree(folder.path());
        let parents: Vec<PathBuf> = paths[..2]
            .iter()
            .map(|path| path.parent().unwrap().to_owned())
            .collect();
        for parent in parents {
            let path = parent.join(OsStr::from_bytes(LATIN));
            fs::write(folder.path().join(&path), content(4711)).unwrap();
            paths.push(path);
        }
        Self { folder, paths }
    }

    fn root(&self) -> &Path {
        self.folder.path()
    }

    fn serve(&self) -> Served {
        Served::start(self.root(), &[])
    }

    fn content(&self, path: &Path) -> Vec<u8> {
        fs::read(self.root().join(path)).unwrap()
    }

    /// The files but for those with these names.
    fn but(&self, left_out: &[&[u8]]) -> Vec<&PathBuf> {
        let kept = |path: &&PathBuf| !left_out.contains(&path.file_name().unwrap().as_bytes());
        self.paths.iter().filter(kept).collect()
    }

    /// Fetches each file but for those with these names.
    fn each(&self, left_out: &[&[u8]], mut fetch: impl FnMut(&Path) -> Vec<u8>) {
        for path in self.but(left_out) {
            assert!(fetch(path) == self.content(path), "{path:?}");
        }
    }

    /// Compares a copy with the tree, but for the files with these names.
    fn assert_copied(&self, copy: &Path, left_out: &[&[u8]]) {
        for path in self.but(left_out) {
            let got = fs::read(copy.join(path)).unwrap_or_else(|error| panic!("{path:?}: {error}"));
            assert!(got == self.content(path), "{path:?}");
        }
    }
}

/// The files below a folder, sorted.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let entry = entry.unwrap();
            match entry.file_type().unwrap().is_dir() {
                true => folders.push(entry.path()),
                false => found.push(entry.path()),
            }
        }
    }
    found.sort();
    found
}

fn url(server: &Served, protocol: &str, path: &Path) -> String {
    server.url(protocol).to_owned() + &url_path(path)
}

/// What came over Gopher: an empty file is a text there, and all that is sent
/// is the end of it.
fn unended(got: Vec<u8>) -> Vec<u8> {
    if got == b".\r\n" { Vec::new() } else { got }
}

fn output_file() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("got");
    (folder, file)
}

// --- curl --------------------------------------------------------------------

#[test]
fn curl_fetches_the_tree_over_http() {
    let tree = Tree::new();
    let server = tree.serve();
    tree.each(&[], |path| {
        run(tool("curl")
            .args(["-sS", "--fail", "-g"])
            .arg(url(&server, "http", path)))
    });
    tree.each(&[], |path| {
        run(tool("curl")
            .args(["-sS", "--fail", "-g", "--compressed"])
            .arg(url(&server, "http", path)))
    });
}

#[test]
fn curl_fetches_the_tree_over_ftp() {
    let tree = Tree::new();
    let server = tree.serve();
    for mode in [
        &[][..],
        &["--disable-epsv"],
        &["--ftp-port", "-"],
        &["--ftp-method", "nocwd"],
    ] {
        tree.each(&[NEWLINE, TELNET], |path| {
            run(tool("curl")
                .args(["-sS", "-g"])
                .args(mode)
                .arg(url(&server, "ftp", path)))
        });
    }
    // It says itself that it can't.
    let newline = url(&server, "ftp", Path::new(OsStr::from_bytes(NEWLINE)));
    let refused = tool("curl").args(["-sS", &newline]).output().unwrap();
    assert_eq!(refused.status.code(), Some(3), "{}", shown(&refused));
}

#[test]
fn curl_fetches_the_tree_over_gopher() {
    let tree = Tree::new();
    let server = tree.serve();
    tree.each(&[NEWLINE], |path| {
        let url = format!("{}9/{}", server.url("gopher"), url_path(path));
        unended(run(tool("curl").args(["-sS", "-g"]).arg(url)))
    });
}

// --- wget --------------------------------------------------------------------

#[test]
fn wget_fetches_single_files_over_http_and_ftp() {
    let tree = Tree::new();
    let server = tree.serve();
    for (protocol, left_out) in [("http", &[][..]), ("ftp", &[NEWLINE, TELNET])] {
        tree.each(left_out, |path| {
            run(tool("wget")
                .args(["-q", "-O", "-"])
                .arg(url(&server, protocol, path)))
        });
    }
}

#[test]
fn wget_mirrors_the_tree_over_http() {
    let tree = Tree::new();
    let server = tree.serve();
    let copy = tempfile::tempdir().unwrap();
    run(tool("wget")
        .args([
            "-q",
            "-r",
            "-np",
            "-nH",
            "--no-iri",
            "--restrict-file-names=nocontrol",
        ])
        // Other orders of the same folders, and archives of them.
        .args(["--reject-regex", "[?]", "-P"])
        .arg(copy.path())
        .arg(server.url("http")));
    // It decodes names of files that come from links twice, whoever serves
    // them: the file is there under the name that makes.
    let percent: &[u8] = b"percent%20sign%.txt";
    tree.assert_copied(copy.path(), &[percent]);
    for parent in [Path::new(""), Path::new("文件夹 with #1%")] {
        let got = fs::read(copy.path().join(parent).join("percent sign%.txt")).unwrap();
        assert!(got == tree.content(&parent.join(OsStr::from_bytes(percent))));
    }
    // Besides, there is a page for each of the three folders.
    assert_eq!(files(copy.path()).len(), tree.paths.len() + 3);
}

// --- lftp --------------------------------------------------------------------

fn lftp(url: &str, commands: &str) -> Command {
    let mut lftp = tool("lftp");
    let settings = "set net:max-retries 2; set net:timeout 30; set cmd:fail-exit true";
    lftp.env("LC_ALL", "C.UTF-8")
        .arg("-c")
        .arg(format!("{settings}; open {url}; {commands}"));
    lftp
}

#[test]
fn lftp_mirrors_the_tree_over_http() {
    let tree = Tree::new();
    let server = tree.serve();
    let copy = tempfile::tempdir().unwrap();
    run(lftp(server.url("http"), "mirror --parallel=3 .").current_dir(copy.path()));
    // Links whose last name begins with a tilde are no files to its reader of
    // pages, whoever serves them. Asked for by name, they come.
    let tilde: &[u8] = b"~tilde$dollar`tick.txt";
    tree.assert_copied(copy.path(), &[tilde]);
    let link = url(&server, "http", Path::new(OsStr::from_bytes(tilde)));
    run(lftp(server.url("http"), &format!("get {link} -o tilde")).current_dir(copy.path()));
    let got = fs::read(copy.path().join("tilde")).unwrap();
    assert!(got == tree.content(Path::new(OsStr::from_bytes(tilde))));
}

#[test]
fn lftp_mirrors_the_tree_over_ftp() {
    let tree = Tree::new();
    let server = tree.serve();
    for setting in [
        "ftp:use-mlsd yes",
        "ftp:use-mlsd no",
        "ftp:passive-mode no",
        "ftp:prefer-epsv no",
    ] {
        let copy = tempfile::tempdir().unwrap();
        // It reports the one file that it was offered and could not get.
        let output = lftp(
            server.url("ftp"),
            &format!("set {setting}; set ftp:list-options -a; mirror ."),
        )
        .current_dir(copy.path())
        .stdin(Stdio::null())
        .output()
        .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(
            said.lines().all(|line| line.contains("new?line")),
            "{setting}: {said}"
        );
        tree.assert_copied(copy.path(), &[NEWLINE]);
    }
}

// --- ncftp, tnftp ------------------------------------------------------------

#[test]
fn ncftpget_fetches_the_tree() {
    let tree = Tree::new();
    let server = tree.serve();
    let copy = tempfile::tempdir().unwrap();
    let address = server.address("ftp");
    let output = tool("ncftpget")
        .args(["-R", "-V", "-P", &address.port().to_string(), "127.0.0.1"])
        .arg(copy.path())
        .arg("/")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(
        matches!(output.status.code(), Some(0 | 3)),
        "{}",
        shown(&output)
    );
    tree.assert_copied(copy.path(), &[NEWLINE, TELNET]);
    assert_eq!(files(copy.path()).len(), tree.but(&[NEWLINE, TELNET]).len());
}

#[test]
fn tnftp_fetches_the_tree_over_ftp_and_http() {
    let tree = Tree::new();
    let server = tree.serve();
    // A newline that it is to send, it refuses or sends as two commands.
    for (protocol, left_out) in [("http", &[][..]), ("ftp", &[NEWLINE, TELNET])] {
        tree.each(left_out, |path| {
            let (_folder, file) = output_file();
            run(tool("tnftp")
                .args(["-V", "-g", "-o"])
                .arg(&file)
                .arg(url(&server, protocol, path)));
            // It makes no file where there is nothing to put into it.
            fs::read(file).unwrap_or_default()
        });
    }
}

// --- lynx --------------------------------------------------------------------

fn lynx(arguments: &[&str], url: &str) -> Vec<u8> {
    run(tool("lynx")
        .args(["-display_charset=utf-8"])
        .args(arguments)
        .arg(url))
}

#[test]
fn lynx_fetches_the_tree_over_every_protocol() {
    let tree = Tree::new();
    let server = tree.serve();
    for (protocol, kind, left_out) in [
        ("http", "", &[][..]),
        ("ftp", "", &[NEWLINE, TELNET]),
        ("gopher", "9/", &[NEWLINE]),
    ] {
        tree.each(left_out, |path| {
            let url = format!("{}{kind}{}", server.url(protocol), url_path(path));
            let got = lynx(&["-source"], &url);
            if protocol == "gopher" {
                unended(got)
            } else {
                got
            }
        });
    }
}

#[test]
fn lynx_shows_every_name_and_where_it_leads() {
    let tree = Tree::new();
    let server = tree.serve();
    for protocol in ["http", "ftp", "gopher"] {
        let page = String::from_utf8_lossy(&lynx(&["-dump", "-nolist"], server.url(protocol)))
            .into_owned();
        for path in tree.but(&[NEWLINE, TELNET, LATIN]) {
            let name = path.file_name().unwrap().to_str().unwrap().trim();
            // It folds spaces. FTP and Gopher hide what is hidden.
            let name = name.replace("  ", " ");
            let shown = page.replace("  ", " ").contains(&name);
            assert!(
                shown || (name == ".hidden" && protocol != "http"),
                "{protocol} {name}: {page}"
            );
        }
    }
    // Its list of links: as many as there are files, each with its own.
    let links = lynx(&["-dump", "-listonly"], server.url("http"));
    let links = String::from_utf8_lossy(&links).into_owned();
    for name in [
        "中文 名字.txt",
        "percent%20sign%.txt",
        "hash#mark.txt",
        "question?mark.txt",
    ] {
        assert!(
            links.contains(&format!("{}{name}\n", server.url("http"))),
            "{name}: {links}"
        );
    }
}

/// Text over Gopher has its own line ends and its own end; clients undo both.
#[test]
fn text_over_gopher_is_the_text() {
    let tree = Tree::new();
    for path in &tree.paths {
        let text = format!("{path:?}\n.\n..dots\n中文\n\nno end");
        fs::write(tree.root().join(path), text).unwrap();
    }
    let server = tree.serve();
    for path in tree.but(&[NEWLINE]) {
        let sent = exchange(
            server.address("gopher"),
            &[b"/", path.as_os_str().as_bytes(), b"\r\n"].concat(),
        );
        let sent = String::from_utf8(sent).unwrap();
        let text = sent
            .strip_suffix(".\r\n")
            .unwrap_or_else(|| panic!("{path:?}: {sent}"));
        let lines: Vec<&str> = text
            .split_terminator("\r\n")
            .map(|line| line.strip_prefix('.').unwrap_or(line))
            .collect();
        assert_eq!(lines.join("\n").as_bytes(), tree.content(path), "{path:?}");
        let url = format!("{}0/{}", server.url("gopher"), url_path(path));
        let page = String::from_utf8_lossy(&lynx(&["-dump"], &url)).into_owned();
        assert!(
            page.contains("中文") && page.contains("no end"),
            "{path:?}: {page}"
        );
    }
}

// --- Python ------------------------------------------------------------------

/// Fetches each file that MLSD names, below the folder it is started in.
const FTPLIB: &str = "
import ftplib, os, sys
ftp = ftplib.FTP(encoding='latin-1')
ftp.connect('127.0.0.1', int(sys.argv[1]))
ftp.login()
def fetch(folder):
    os.makedirs('.' + folder.encode('latin-1').decode('utf-8', 'surrogateescape'), exist_ok=True)
    for name, facts in list(ftp.mlsd(folder)):
        path = folder + name
        if facts['type'] == 'dir':
            fetch(path + '/')
        elif facts['type'] == 'file' and 'new?line' not in name:
            local = b'.' + path.encode('latin-1')
            with open(local, 'wb') as file:
                ftp.retrbinary('RETR ' + path.replace('\\xff', '\\xff\\xff'), file.write)
            assert ftp.size(path.replace('\\xff', '\\xff\\xff')) == os.path.getsize(local)
fetch('/')
ftp.quit()
try:
    ftplib.FTP().sendcmd('RETR new\\nline.txt')
except ValueError:
    sys.exit(0)
sys.exit('it can send a newline after all')
";

#[test]
fn python_ftplib_fetches_the_tree() {
    let tree = Tree::new();
    let server = tree.serve();
    let copy = tempfile::tempdir().unwrap();
    let port = server.address("ftp").port().to_string();
    run(tool("python3")
        .args(["-c", FTPLIB, &port])
        .current_dir(copy.path()));
    tree.assert_copied(copy.path(), &[NEWLINE]);
}

// --- Chromium ----------------------------------------------------------------

/// A page as Chromium understands it, after its scripts and parser are done.
fn chromium(url: &str) -> String {
    let profile = tempfile::tempdir().unwrap();
    let output = tool("chromium")
        .args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
        ])
        .args([
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
        ])
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .args(["--dump-dom", url])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", shown(&output));
    String::from_utf8(output.stdout).unwrap()
}

/// Follows links of a page as a browser does: prints where each leads, with
/// escapes, and keeps what is there in a file of its number.
const FOLLOW: &str = "
import sys, urllib.parse, urllib.request
base, links = sys.argv[1], sys.argv[2:]
for number, link in enumerate(links):
    target = urllib.parse.urljoin(base, link)
    print(target)
    with urllib.request.urlopen(target) as reply, open(str(number), 'wb') as file:
        file.write(reply.read())
";

/// The values of an attribute, in the order in which they come.
fn attributes(dom: &str, name: &str) -> Vec<String> {
    dom.split(&format!(" {name}=\""))
        .skip(1)
        .map(|rest| rest.split('"').next().unwrap().replace("&amp;", "&"))
        .collect()
}

#[test]
fn chromium_shows_every_name_and_its_links_lead_to_every_byte() {
    let tree = Tree::new();
    let server = tree.serve();
    let root = server.url("http").to_owned();
    let mut pages = vec![root.clone()];
    let mut found: Vec<PathBuf> = Vec::new();
    while let Some(page) = pages.pop() {
        let dom = chromium(&page);
        // One script, our own: none that a name has smuggled in.
        assert!(
            dom.contains("<table") && dom.matches("<script").count() == 1,
            "{dom}"
        );
        // Every name of this folder, as a person sees it.
        let folder = decoded(page.strip_prefix(&root).unwrap());
        for path in &tree.paths {
            if path.parent() == Some(&folder) {
                let name = path
                    .file_name()
                    .unwrap()
                    .to_string_lossy()
                    .replace('\n', "\u{240a}");
                let escaped = name
                    .replace('&', "&amp;")
                    .replace('<', "&lt;")
                    .replace('>', "&gt;");
                assert!(dom.contains(&format!(">{escaped}<")), "{name}: {dom}");
            }
        }
        // Every link below this page, as it stands there.
        let links: Vec<String> = attributes(&dom, "href")
            .into_iter()
            .filter(|link| link.starts_with('/') && root.clone() + &link[1..] > page)
            .filter(|link| (root.clone() + &link[1..]).starts_with(&page))
            .collect();
        let copy = tempfile::tempdir().unwrap();
        let mut follow = tool("python3");
        follow
            .args(["-c", FOLLOW, &page])
            .args(&links)
            .current_dir(copy.path());
        let targets = String::from_utf8(run(&mut follow)).unwrap();
        assert_eq!(targets.lines().count(), links.len());
        for (number, target) in targets.lines().enumerate() {
            if target.ends_with('/') {
                pages.push(target.to_owned());
                continue;
            }
            let path = decoded(target.strip_prefix(&root).unwrap());
            let got = fs::read(copy.path().join(number.to_string())).unwrap();
            assert!(got == tree.content(&path), "{target}");
            found.push(path);
        }
    }
    found.sort();
    let mut all = tree.paths.clone();
    all.sort();
    assert_eq!(found, all);
}

#[test]
fn chromium_shows_text_and_runs_nothing_of_it() {
    let share = tempfile::tempdir().unwrap();
    let text = "<script>document.title='ran'</script> 中文 & more";
    fs::write(share.path().join("text.txt"), text).unwrap();
    let page = "<!DOCTYPE html><title>still</title><p>seen<script>document.title='ran'</script>";
    fs::write(share.path().join("page.html"), page).unwrap();
    let server = Served::start(share.path(), &[]);
    let dom = chromium(&url(&server, "http", Path::new("text.txt")));
    assert!(
        dom.contains("&lt;script&gt;") && dom.contains("中文 &amp; more"),
        "{dom}"
    );
    let dom = chromium(&url(&server, "http", Path::new("page.html")));
    assert!(
        dom.contains("<title>still</title>") && dom.contains("seen"),
        "{dom}"
    );
    let trusting = Served::start(share.path(), &["--trust-content"]);
    let dom = chromium(&url(&trusting, "http", Path::new("page.html")));
    assert!(dom.contains("<title>ran</title>"), "{dom}");
}

/// What a path of a URL names.
fn decoded(escaped: &str) -> PathBuf {
    let mut bytes = Vec::new();
    let mut rest = escaped.trim_end_matches('/').bytes();
    while let Some(byte) = rest.next() {
        let mut digit = || char::from(rest.next().unwrap()).to_digit(16).unwrap() as u8;
        bytes.push(if byte == b'%' {
            digit() * 16 + digit()
        } else {
            byte
        });
    }
    std::ffi::OsString::from_vec(bytes).into()
}

// --- Resuming ----------------------------------------------------------------

const WHOLE: usize = 3_000_000;

/// What is there of the file already: nothing, an empty file, parts, all of
/// it, and more than all of it.
const BEGINNINGS: [Option<usize>; 7] = [
    None,
    Some(0),
    Some(1),
    Some(WHOLE / 2),
    Some(WHOLE - 1),
    Some(WHOLE),
    Some(WHOLE + 100),
];

#[test]
fn interrupted_downloads_go_on_where_they_were() {
    let whole = content(WHOLE);
    let share = tempfile::tempdir().unwrap();
    fs::write(share.path().join("file.bin"), &whole).unwrap();
    let server = Served::start(share.path(), &[]);
    let clients: [(&str, &[&str]); 3] = [
        ("curl", &["-sS", "--continue-at", "-", "-o", "file.bin"]),
        ("wget", &["-q", "-c"]),
        ("lftp", &["-c"]),
    ];
    for (client, arguments) in clients {
        for protocol in ["http", "ftp"] {
            for beginning in BEGINNINGS {
                let folder = tempfile::tempdir().unwrap();
                let file = folder.path().join("file.bin");
                let before =
                    beginning.map(|length| [&whole[..], &[0; 100]].concat()[..length].to_vec());
                if let Some(before) = &before {
                    fs::write(&file, before).unwrap();
                }
                let url = url(&server, protocol, Path::new("file.bin"));
                let mut command = tool(client);
                command
                    .args(arguments)
                    .current_dir(folder.path())
                    .stdin(Stdio::null());
                match client {
                    "lftp" => command.arg(format!("set net:max-retries 2; get -c {url}")),
                    _ => command.arg(url),
                };
                let output = command.output().unwrap();
                let case = format!("{client} {protocol} {beginning:?}: {}", shown(&output));
                let after = fs::read(&file).unwrap();
                if beginning > Some(WHOLE) {
                    // Each leaves alone what cannot be a part of this file;
                    // whether it says so is its own affair.
                    assert!(Some(after) == before, "{case}");
                } else {
                    assert!(after == whole, "{case}");
                    assert!(output.status.success(), "{case}");
                }
            }
        }
    }
}

/// That a download goes on means that less is sent.
#[test]
fn a_resumed_download_moves_only_what_is_missing() {
    let whole = content(WHOLE);
    let share = tempfile::tempdir().unwrap();
    fs::write(share.path().join("file.bin"), &whole).unwrap();
    for (client, arguments) in [
        ("curl", &["-sS", "-C", "-", "-O"][..]),
        ("wget", &["-q", "-c"]),
    ] {
        for (protocol, status) in [("http", 206), ("ftp", 226)] {
            let server = Served::start(share.path(), &[]);
            let folder = tempfile::tempdir().unwrap();
            let file = folder.path().join("file.bin");
            fs::write(&file, &whole[..1_000_000]).unwrap();
            let link = url(&server, protocol, Path::new("file.bin"));
            run(tool(client)
                .args(arguments)
                .arg(link)
                .current_dir(folder.path()));
            assert!(fs::read(&file).unwrap() == whole);
            let log = server.stop();
            let line = format!("/file.bin {status} {}\n", WHOLE - 1_000_000);
            assert!(log.contains(&line), "{client} {protocol}: {log}");
        }
    }
}

// --- The protocols' own limits -----------------------------------------------

/// What is left out above is left out for the reasons given above.
#[test]
fn a_name_with_a_telnet_byte_is_for_clients_that_double_it() {
    let tree = Tree::new();
    let server = tree.serve();
    let doubled = TELNET
        .iter()
        .flat_map(|&byte| [byte; 2].into_iter().take(if byte == 255 { 2 } else { 1 }));
    let got = ftp::fetch(server.address("ftp"), &doubled.collect::<Vec<u8>>());
    assert!(got == tree.content(Path::new(OsStr::from_bytes(TELNET))));
    let mut session = ftp::Session::log_in(server.address("ftp"));
    let listing = session.transfer("NLST").1;
    let lines: Vec<&[u8]> = listing.split(|&byte| byte == b'\n').collect();
    assert!(
        lines.contains(&[TELNET, b"\r"].concat().as_slice()),
        "{}",
        listing.escape_ascii()
    );
    // One line for each name, whatever is in it, but for the hidden one.
    assert_eq!(
        lines.len() - 1,
        fs::read_dir(tree.root()).unwrap().count() - 1
    );
}
