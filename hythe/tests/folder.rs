//! Folders over HTTP, in each of their forms, by the clients people use; and
//! folders larger than memory should have to care about.

mod common;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use common::http::{Client, Reply, get, request};
use common::{Served, difficult_tree, eventually, run, tool, url_path};
use tempfile::TempDir;

/// More than the sockets between a server and a client that does not read can
/// ever hold.
const BEYOND_SOCKETS: usize = 16 * 1024 * 1024;

fn curl(url: &str) -> Vec<u8> {
    run(tool("curl").args(["--silent", "--show-error", "--fail", "--compressed", url]))
}

/// Runs a Python program on some input; its standard output.
fn python(program: &str, input: &[u8]) -> Vec<u8> {
    let mut file = tempfile::tempfile().unwrap();
    io::copy(&mut &*input, &mut file).unwrap();
    io::Seek::rewind(&mut file).unwrap();
    let mut command = tool("python3");
    command.args(["-c", program]).stdin(Stdio::from(file));
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", common::shown(&output));
    output.stdout
}

// --- What people's clients make of it --------------------------------------

#[test]
fn a_folder_is_a_page_or_json_as_the_client_likes() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.txt"), b"a").unwrap();
    let served = Served::http(folder.path(), &[]);
    const PAGE: &str = "text/html; charset=utf-8";
    const JSON: &str = "application/json";
    for (target, accept, media_type) in [
        ("/", "", PAGE),
        ("/", "*/*", PAGE),
        (
            "/",
            "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
            PAGE,
        ),
        ("/", "text/html, application/json", PAGE),
        ("/", "application/json;q=0", PAGE),
        ("/", "application/json", JSON),
        ("/", "application/json, */*", JSON),
        ("/", "application/json, text/html;q=0.9", JSON),
        ("/", "text/html;q=0.5, application/*", JSON),
        ("/?json", "text/html", JSON),
        ("/?json", "", JSON),
        ("/?html", "application/json", PAGE),
        ("/?sort=size", "application/json", JSON),
        ("/?nonsense=%zz", "", PAGE),
    ] {
        let accept = format!("Accept: {accept}");
        let reply = get(served.address("http"), target, &[&accept]);
        assert_eq!(reply.status, 200, "{target} {accept}");
        assert_eq!(
            reply.field("Content-Type"),
            Some(media_type),
            "{target} {accept}"
        );
        assert_eq!(
            reply.field("Vary"),
            Some("Accept, Accept-Encoding, Accept-Language"),
            "{target} {accept}"
        );
        assert_eq!(
            reply.field("Cache-Control"),
            Some("no-cache"),
            "{target} {accept}"
        );
        if media_type == PAGE {
            assert!(
                reply.field("Content-Security-Policy").is_some(),
                "{target} {accept}"
            );
        }
    }
}

/// The names that a URL can name: all but those with control bytes other than
/// the line feed.
#[test]
fn json_leads_to_every_file() {
    let folder = tempfile::tempdir().unwrap();
    let paths = difficult_tree(folder.path());
    let served = Served::http(folder.path(), &[]);
    let mut found = 0;
    for parent in ["", "文件夹 with #1%"] {
        let url = format!("{}{}", served.url("http"), url_path(Path::new(parent)));
        let listing = curl(&format!("{}/?json", url.trim_end_matches('/')));
        let program = "import json,sys
for entry in json.load(sys.stdin.buffer)['entries']:
    if entry['type'] == 'file': print(entry['href'], entry['size'])";
        let hrefs = String::from_utf8(python(program, &listing)).unwrap();
        for line in hrefs.lines() {
            let (href, size) = line.split_once(' ').unwrap();
            let reply = get(served.address("http"), href, &[]);
            assert_eq!(reply.status, 200, "{href}");
            assert_eq!(reply.body.len().to_string(), size, "{href}");
            found += 1;
        }
    }
    assert_eq!(found, paths.len());
}

/// As a browser would: every link of the page, resolved and fetched.
#[test]
fn the_page_leads_to_every_file() {
    let folder = tempfile::tempdir().unwrap();
    let paths = difficult_tree(folder.path());
    let served = Served::http(folder.path(), &[]);
    let program = "import sys, urllib.request, urllib.parse, html.parser
class Links(html.parser.HTMLParser):
    def handle_starttag(self, tag, attributes):
        href = dict(attributes).get('href')
        if tag == 'a' and href: links.add(urllib.parse.urljoin(base, href))
bodies = set()
for base in sys.stdin.read().split():
    links = set()
    Links().feed(urllib.request.urlopen(base).read().decode())
    for link in links:
        if '?' not in link and not link.endswith('/'):
            bodies.add((link, len(urllib.request.urlopen(link).read())))
print(len(bodies))";
    let inner = url_path(Path::new("文件夹 with #1%"));
    let bases = format!("{0} {0}{inner}/", served.url("http"));
    let count = String::from_utf8(python(program, bases.as_bytes())).unwrap();
    assert_eq!(count.trim().parse(), Ok(paths.len()));
}

#[test]
fn a_listing_is_the_same_in_every_coding_and_version() {
    let folder = tempfile::tempdir().unwrap();
    difficult_tree(folder.path());
    let served = Served::http(folder.path(), &[]);
    for query in ["html", "json", "tar"] {
        let url = format!("{}?{query}", served.url("http"));
        let fetch = |arguments: &[&str]| {
            without_nonce(run(tool("curl")
                .args(["--silent", "--show-error", "--fail", &url])
                .args(arguments)))
        };
        let plain = fetch(&[]);
        assert!(!plain.is_empty());
        assert!(fetch(&["--compressed"]) == plain, "{query}");
        assert!(fetch(&["--http1.0"]) == plain, "{query}");
        assert!(fetch(&["--http1.0", "--compressed"]) == plain, "{query}");
    }
}

/// A page without what differs in each reply and must.
fn without_nonce(body: Vec<u8>) -> Vec<u8> {
    let name = b" nonce=\"";
    let Some(begin) = body.windows(name.len()).position(|part| part == name) else {
        return body;
    };
    let value = begin + name.len();
    let end = value + body[value..].iter().position(|&byte| byte == b'"').unwrap();
    [&body[..begin], &body[end..]].concat()
}

#[test]
fn archives_unpack_to_the_same_tree() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("shared");
    fs::create_dir(&root).unwrap();
    let paths = difficult_tree(&root);
    let served = Served::http(&root, &[]);
    for archive in ["tar", "zip"] {
        let fetched = folder.path().join(format!("fetched.{archive}"));
        let unpacked = folder.path().join(archive);
        fs::create_dir(&unpacked).unwrap();
        // Under the name the server says, where curl saves it.
        run(tool("curl")
            .args(["--silent", "--show-error", "--fail", "--output"])
            .arg(&fetched)
            .arg(format!("{}?{archive}", served.url("http"))));
        match archive {
            "tar" => drop(run(tool("tar")
                .arg("-xf")
                .arg(&fetched)
                .arg("-C")
                .arg(&unpacked))),
            _ => {
                run(tool("unzip").args(["-t", "-q"]).arg(&fetched));
                run(tool("python3")
                    .args(["-m", "zipfile", "-e"])
                    .args([&fetched, &unpacked]));
            }
        }
        let top = only_entry(&unpacked);
        for path in &paths {
            let expected = fs::read(root.join(path)).unwrap();
            // A zip names its files in UTF-8; what is not is replaced.
            let is_text = path.to_str().is_some() || archive == "tar";
            if is_text {
                let found = fs::read(top.join(path));
                assert!(
                    found.is_ok_and(|found| found == expected),
                    "{archive}: {path:?}"
                );
            }
        }
        assert!(top.join("文件夹 with #1%/empty").is_dir(), "{archive}");
    }
}

/// What an archive unpacked to: the folder at its top, or all of it.
fn only_entry(unpacked: &Path) -> PathBuf {
    let entries: Vec<_> = fs::read_dir(unpacked)
        .unwrap()
        .map(Result::unwrap)
        .collect();
    match entries.as_slice() {
        [only] if only.path().is_dir() => only.path(),
        _ => unpacked.to_owned(),
    }
}

#[test]
fn an_archive_is_named_after_its_folder() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("shared things");
    fs::create_dir_all(root.join("文 \"a\"")).unwrap();
    let served = Served::http(&root, &[]);
    for (target, expected) in [
        ("/?zip", "attachment; filename=\"shared things.zip\""),
        ("/?tar", "attachment; filename=\"shared things.tar\""),
        (
            "/%E6%96%87%20%22a%22/?zip",
            "attachment; filename=\"_ _a_.zip\"; filename*=UTF-8''%E6%96%87%20%22a%22.zip",
        ),
    ] {
        let reply = get(served.address("http"), target, &[]);
        assert_eq!(
            reply.field("Content-Disposition"),
            Some(expected),
            "{target}"
        );
        assert_eq!(reply.field("Content-Encoding"), None, "{target}");
    }
}

/// Its length was written down before; zeros stand for what is missing, so that
/// all the other files can still be had.
#[test]
fn an_archive_stays_readable_though_a_file_shrinks_meanwhile() {
    const SIZE: u64 = 64 * 1024 * 1024;
    for (archive, program) in [
        (
            "tar",
            "tarfile; a = tarfile.open(sys.argv[1]); f = a.extractfile('shared/big.bin')",
        ),
        (
            "zip",
            "zipfile; a = zipfile.ZipFile(sys.argv[1]); f = a.open('shared/big.bin')",
        ),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("shared");
        fs::create_dir(&root).unwrap();
        let path = root.join("big.bin");
        fs::File::create(&path).unwrap().set_len(SIZE).unwrap();
        let served = Served::http(&root, &[]);
        let mut client = Client::new(served.address("http"));
        client.send(&request("GET", &format!("/?{archive}"), &[]));
        let head = client.head();
        fs::File::options()
            .write(true)
            .open(&path)
            .unwrap()
            .set_len(1024)
            .unwrap();
        let saved = folder.path().join("saved");
        fs::write(&saved, client.body("GET", &head).unwrap()).unwrap();
        let program = format!("import sys, {program}; print(len(f.read()))");
        let size = run(tool("python3").args(["-c", &program]).arg(&saved));
        assert_eq!(
            String::from_utf8(size).unwrap().trim(),
            SIZE.to_string(),
            "{archive}"
        );
    }
}

// --- Large folders ---------------------------------------------------------

/// Hard links, because they are quick to make, with long names.
fn many_files(root: &Path, folders: usize, files: usize, name: impl Fn(usize) -> String) {
    for folder in 0..folders {
        let folder = root.join(format!("folder{folder:02}"));
        fs::create_dir_all(&folder).unwrap();
        let first = folder.join(name(0));
        fs::write(&first, b"a small file").unwrap();
        for number in 1..files {
            fs::hard_link(&first, folder.join(name(number))).unwrap();
        }
    }
}

fn long_name(number: usize) -> String {
    format!("{number:05}-{}", "x".repeat(190))
}

const ENTRIES: usize = 50_000;

/// 50,000 entries in `/folder00/`, whose listing no socket holds.
fn large_folder() -> (TempDir, Served) {
    let folder = tempfile::tempdir().unwrap();
    many_files(folder.path(), 1, ENTRIES, long_name);
    let served = Served::http(folder.path(), &["--model", "events"]);
    (folder, served)
}

/// The first bytes are there while the last entries can still be taken away:
/// nobody has read those yet.
#[test]
fn a_listing_begins_before_the_folder_is_read_to_its_end() {
    let (folder, served) = large_folder();
    let inner = folder.path().join("folder00");
    let last = long_name(ENTRIES - 1);
    for query in ["json", "html"] {
        let mut client = Client::new(served.address("http"));
        client.send(&request("GET", &format!("/folder00/?{query}"), &[]));
        let head = client.head();
        let mut begin = Vec::new();
        client.chunk(&mut begin).unwrap();
        // Nothing more is read by this client; others are served as ever.
        let others: Reply = get(
            served.address("http"),
            &format!("/folder00/{}", long_name(7)),
            &[],
        );
        assert_eq!(others.body, b"a small file", "{query}");
        let listing = get(served.address("http"), "/?json", &[]);
        assert!(listing.text().contains("folder00"), "{query}");
        fs::remove_file(inner.join(&last)).unwrap();
        let rest = client.body("GET", &head).unwrap();
        let listing = String::from_utf8([begin, rest].concat()).unwrap();
        assert!(
            listing.len() > BEYOND_SOCKETS,
            "{query}: {} bytes",
            listing.len()
        );
        assert!(listing.contains(&long_name(ENTRIES - 2)), "{query}");
        assert!(
            !listing.contains(&last),
            "{query}: its end was made before it was read"
        );
        fs::hard_link(inner.join(long_name(0)), inner.join(&last)).unwrap();
    }
}

#[test]
fn a_listing_of_fifty_thousand_has_them_all_in_order() {
    let (_folder, served) = large_folder();
    let listing = curl(&format!("{}folder00/?json", served.url("http")));
    let program = "import json,sys
listing = json.load(sys.stdin.buffer)
names = [entry['name'] for entry in listing['entries']]
print(len(names), names == sorted(names), listing['sorted'])";
    let told = String::from_utf8(python(program, &listing)).unwrap();
    assert_eq!(told.trim(), format!("{ENTRIES} True True"));
}

/// Clients that ask for much and take nothing cost what is on its way to them,
/// not what they asked for. To sort a listing takes all its names, here the longest
/// there are.
#[test]
fn clients_that_read_nothing_of_what_is_made_for_them_cost_little() {
    const CLIENTS: u64 = 10;
    let (folder, served) = large_folder();
    fs::create_dir(folder.path().join("large")).unwrap();
    let large = fs::File::create(folder.path().join("large/file")).unwrap();
    large.set_len(4 * 1024 * 1024 * 1024).unwrap();
    assert_eq!(get(served.address("http"), "/", &[]).status, 200);
    let before = served.private_memory();
    for (target, most) in [
        ("/large/?zip", 2 * 1024),
        ("/large/?tar", 2 * 1024),
        ("/folder00/?tar", 2 * 1024),
        ("/folder00/?json", 40 * 1024),
    ] {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|_| {
                let mut client = Client::new(served.address("http"));
                client.send(&request("GET", target, &[]));
                assert_eq!(client.head().status, 200);
                let mut begin = Vec::new();
                while begin.len() < 4096 {
                    client.chunk(&mut begin).unwrap();
                }
                client
            })
            .collect();
        // Whoever does read is served meanwhile.
        assert_eq!(get(served.address("http"), "/large/?json", &[]).status, 200);
        let grown = served.private_memory().saturating_sub(before) / CLIENTS;
        assert!(grown < most, "{target}: {grown} KiB for each client");
        drop(clients);
        eventually(
            "their memory is given back, or their sockets at least",
            || served.descriptors() < 20,
        );
    }
}

#[test]
fn a_hundred_thousand_files_stream_in_an_archive_of_bounded_memory() {
    const FOLDERS: usize = 10;
    const FILES: usize = 10_000;
    let folder = tempfile::tempdir().unwrap();
    many_files(folder.path(), FOLDERS, FILES, |number| {
        format!("{number}.txt")
    });
    let served = Served::http(folder.path(), &[]);
    let before = served.private_memory();
    for archive in ["zip", "tar"] {
        let mut client = Client::new(served.address("http"));
        client.send(&request("GET", &format!("/?{archive}"), &[]));
        let _head = client.head();
        let (mut body, mut most) = (Vec::new(), 0);
        let mut next = 0;
        while client.chunk(&mut body).unwrap() {
            if body.len() > next {
                most = most.max(served.private_memory().saturating_sub(before));
                next += 1024 * 1024;
            }
        }
        assert!(
            most < 40 * 1024,
            "{archive}: {most} KiB more for {} bytes",
            body.len()
        );
        let saved = folder.path().with_extension(archive);
        fs::write(&saved, &body).unwrap();
        let program = match archive {
            "zip" => {
                "import zipfile,sys; print(sum(not n.endswith('/') for n in zipfile.ZipFile(sys.argv[1]).namelist()))"
            }
            _ => "import tarfile,sys; print(sum(m.isfile() for m in tarfile.open(sys.argv[1])))",
        };
        let count = run(tool("python3").args(["-c", program]).arg(&saved));
        fs::remove_file(&saved).unwrap();
        assert_eq!(
            String::from_utf8(count).unwrap().trim(),
            (FOLDERS * FILES).to_string()
        );
    }
}
