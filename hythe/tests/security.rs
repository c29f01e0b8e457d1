//! What has gone wrong in other servers: nothing outside the share is ever
//! shown, over any protocol, by any verb, under any spelling; names are
//! escaped wherever they are written; and nobody can make the server hold more
//! than it wants to.

mod common;

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use common::{Served, connect, content, exchange, ftp, http, hythe, run, tool, url_path};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use tempfile::TempDir;

/// What all files outside hold. No reply may contain it.
const CANARY: &str = "CANARY-CONTENT";

/// Its SHA-256, which would say that somebody has guessed it.
const CANARY_SUM: &str = "7250F22A66D1DA360A46D8BA9180C3E3D45C0CF52FF53BF40677BE8CFBAC07FC";

/// A file outside whose name is never asked for, and must never be heard.
const UNHEARD: &str = "canary-unheard.txt";

/// A file outside, and inside as well, that is asked for by name.
const ASKED: &str = "asked.txt";

/// A share in the midst of what must not be seen.
struct World {
    folder: TempDir,
}

impl World {
    fn new() -> Self {
        let world = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        let (share, outside) = (world.share(), world.outside());
        for folder in [
            &share.join("folder"),
            &share.join(".hythe"),
            &outside,
            &world.sibling(),
        ] {
            fs::create_dir_all(folder).unwrap();
        }
        for secret in [
            world.root(),
            &outside,
            &world.sibling(),
            &share.join(".hythe"),
        ] {
            fs::write(secret.join(ASKED), CANARY).unwrap();
            fs::write(secret.join(UNHEARD), CANARY).unwrap();
        }
        for open in ["inside.txt", "folder/asked.txt", "...", "..folder", "dot."] {
            fs::write(share.join(open), "inside").unwrap();
        }
        world
    }

    fn root(&self) -> &Path {
        self.folder.path()
    }

    fn share(&self) -> PathBuf {
        self.root().join("share")
    }

    fn outside(&self) -> PathBuf {
        self.root().join("outside")
    }

    /// Whose name begins as that of the share.
    fn sibling(&self) -> PathBuf {
        self.root().join("share-other")
    }

    /// Serves the share, with secrets in the working folder and in the
    /// environment.
    fn serve(&self, arguments: &[&str]) -> Served {
        let mut command = hythe();
        command.args([
            "serve", "../share", "--http", "0", "--ftp", "0", "--gopher", "0",
        ]);
        command
            .args(arguments)
            .current_dir(self.outside())
            .env("SECRET", CANARY);
        Served::spawn(command)
    }

    /// Links that lead out of the share, or nowhere, by their names in it.
    fn links(&self) -> Vec<&'static str> {
        let share = self.share();
        let absolute = |name: &str| self.outside().join(name);
        let links: &[(&str, PathBuf)] = &[
            ("link-absolute", absolute(ASKED)),
            ("link-relative", format!("../outside/{ASKED}").into()),
            ("link-chained", "link-relative".into()),
            ("link-through-folder", format!("link-folder/{ASKED}").into()),
            (
                "link-inside-and-out",
                format!("folder/../../outside/{ASKED}").into(),
            ),
            ("link-out-and-in", "../share/inside.txt".into()),
            ("link-absolute-inside", share.join("inside.txt")),
            ("link-sibling", format!("../share-other/{ASKED}").into()),
            ("link-folder", "../outside".into()),
            ("link-folder-absolute", self.outside()),
            ("link-folder-chained", "link-folder".into()),
            ("link-up", "..".into()),
            ("link-root", "/".into()),
            ("link-dangling", "nowhere".into()),
            ("link-loop", "link-loop".into()),
            ("link-loop-a", "link-loop-b".into()),
            ("link-loop-b", "link-loop-a".into()),
            ("link-proc-root", "/proc/self/root".into()),
            ("link-proc-cwd", "/proc/self/cwd".into()),
            ("link-proc-environ", "/proc/self/environ".into()),
            ("link-proc-fd", "/proc/self/fd".into()),
            ("link-device", "/dev/zero".into()),
        ];
        for (name, target) in links {
            symlink(target, share.join(name)).unwrap();
        }
        links.iter().map(|(name, _)| *name).collect()
    }
}

// --- Asking in every way -----------------------------------------------------

/// A question, and all that came back.
type Asked = Vec<(String, Vec<u8>)>;

fn assert_silent(asked: &Asked) {
    for (question, reply) in asked {
        for secret in [CANARY, CANARY_SUM, UNHEARD] {
            let found = reply
                .windows(secret.len())
                .any(|bytes| bytes == secret.as_bytes());
            assert!(!found, "{question}: {}", reply.escape_ascii());
        }
    }
}

/// Asks for a target, as it stands, with every method and in every form.
fn ask_http(address: SocketAddr, target: &[u8]) -> Asked {
    let mut asked = Asked::new();
    let forms: [(&str, &str, &str); 11] = [
        ("GET", "", ""),
        ("HEAD", "", ""),
        ("GET", "?json", ""),
        ("GET", "?html", ""),
        ("GET", "?zip", ""),
        ("GET", "?tar", ""),
        ("GET", "?download", ""),
        ("GET", "", "Accept: application/json\r\n"),
        ("GET", "", "Range: bytes=0-\r\n"),
        ("GET", "", "If-None-Match: \"x\"\r\n"),
        ("OPTIONS", "", ""),
    ];
    for (method, query, field) in forms {
        let head = format!("{query} HTTP/1.1\r\nHost: test\r\n{field}Connection: close\r\n\r\n");
        let request = [method.as_bytes(), b" ", target, head.as_bytes()].concat();
        let question = format!("{method} {}{query} {field}", target.escape_ascii());
        asked.push((question, exchange(address, &request)));
    }
    asked
}

/// The same with FTP's commands. The session is in the root again afterwards.
fn ask_ftp(session: &mut ftp::Session, path: &[u8]) -> Asked {
    let mut asked = Asked::new();
    let mut add = |line: &[u8], reply: Vec<u8>| {
        asked.push((line.escape_ascii().to_string(), reply));
    };
    for verb in ["SIZE", "MDTM", "MLST", "STAT", "HASH", "XCRC", "XSHA256"] {
        let line = [verb.as_bytes(), b" ", path].concat();
        add(&line, session.command(&line).text);
    }
    for verb in ["RETR", "LIST", "LIST -a", "NLST", "NLST -la", "MLSD"] {
        let line = [verb.as_bytes(), b" ", path].concat();
        let (reply, data) = session.transfer(&line);
        add(&line, [reply.text, data].concat());
    }
    let pattern = [b"NLST ", path, b"/*"].concat();
    add(&pattern, session.transfer(&pattern).1);
    let line = [b"CWD ", path].concat();
    let reply = session.command(&line);
    if reply.code == 250 {
        for verb in ["MLSD", "LIST -a", "NLST ..", "RETR asked.txt"] {
            let (reply, data) = session.transfer(verb);
            add(
                &[&line, &b" then "[..], verb.as_bytes()].concat(),
                [reply.text, data].concat(),
            );
        }
        assert_eq!(session.command("CWD /").code, 250);
    }
    add(&line, reply.text);
    asked
}

fn ask_gopher(address: SocketAddr, selector: &[u8]) -> Asked {
    let endings: [&[u8]; 6] = [b"", b"\tcanary", b"\ttxt", b"\t+", b"\t!", b"\t\t"];
    let ask = |ending: &&[u8]| {
        let line = [selector, ending, b"\r\n"].concat();
        (line.escape_ascii().to_string(), exchange(address, &line))
    };
    endings.iter().map(ask).collect()
}

/// Asks for what has this path over everything.
fn ask_all(server: &Served, session: &mut ftp::Session, path: &[u8]) -> Asked {
    let url = format!("/{}", url_path(Path::new(OsStr::from_bytes(path))));
    let mut asked = ask_http(server.address("http"), url.as_bytes());
    asked.extend(ask_ftp(session, path));
    asked.extend(ask_gopher(server.address("gopher"), path));
    asked
}

// --- Paths -------------------------------------------------------------------

/// Ways to say "one up" as a URL writes them.
const UP_IN_URLS: &[&str] = &[
    "/../",
    "/%2e%2e/",
    "/%2E%2e/",
    "/.%2e/",
    "/%2e./",
    "/%252e%252e/",
    "/%25%32%65%25%32%65/",
    "/..%2f",
    "/%2e%2e%2f",
    "/..%252f",
    "/..%5c",
    "/%2e%2e%5c",
    "/..%255c",
    "/..\\",
    "/%c0%ae%c0%ae/",
    "/%c0%ae%c0%ae%c0%af",
    "/..%c0%af",
    "/..%c1%9c",
    "/%e0%80%ae%e0%80%ae/",
    "/%f0%80%80%ae%f0%80%80%ae/",
    "/%uff0e%uff0e/",
    "/%u002e%u002e/",
    "/%ef%bc%8e%ef%bc%8e/",
    "/..;/",
    "/..;x=1/",
    "/.../",
    "/..../",
    "/.. /",
    "/..%20/",
    "/..%00/",
    "/%00../",
    "/..%0a/",
    "/..%0d%0a/",
    "/..%09/",
    "/..%ff/",
    "/folder/../../",
    "/folder/%2e%2e/%2e%2e/",
    "/folder/..%2f..%2f",
    "/inside.txt/../../",
    "/inside.txt%00/../../",
    "/./../",
    "/.//..//",
    "//../",
    "///..///",
    "/../../../../../../../../",
    "//",
    "/",
    "",
    "/%2f",
    "/%2f%2f",
    "/%2e/",
    "http://test/../",
    "http://test/%2e%2e/",
    "http://test",
    "file://",
    "/file:",
    "/share/../../",
    "/..%23/",
    "/..?/",
    "/%%32e%%32e/",
    "/..%",
    "/-other/../",
    "/../share/../",
];

/// The same where nothing is decoded.
const UP: &[&[u8]] = &[
    b"../",
    b"/../",
    b"//../",
    b"../../../../../../",
    b"/../../",
    b"./../",
    b"/./..//",
    b"folder/../../",
    b"/folder/../../",
    b"inside.txt/../../",
    b"..\\",
    b"\\..\\",
    b"%2e%2e/",
    b"/%2e%2e/",
    b"..%2f",
    b"%252e%252e/",
    b"\xc0\xae\xc0\xae/",
    b"..\xc0\xaf",
    b"\xe0\x80\xae\xe0\x80\xae/",
    b".../",
    b".. /",
    b"../ ",
    b"..\0/",
    b"..\t/",
    b"..\x7f/",
    b"..\r/",
    b"",
    b"/",
    b"//",
    b"///",
    b"~/",
    b"~root/",
    b"-other/../",
    b"C:\\",
    b"file://",
    b"/share/../../",
    b"..//",
    b"...//",
    b"*/../",
    b"{..}/",
    b"[.][.]/",
    b".?/",
    b"\"../\"",
];

#[test]
fn no_spelling_of_a_path_leaves_the_share() {
    let world = World::new();
    world.links();
    let server = world.serve(&["--log", "off"]);
    let http = server.address("http");
    let outside = world.outside();
    let outside = outside.to_str().unwrap();
    let targets = [
        format!("outside/{ASKED}"),
        "outside/".into(),
        "outside".into(),
        format!("share-other/{ASKED}"),
        "share-other/".into(),
        format!("-other/{ASKED}"),
        ASKED.into(),
        String::new(),
        format!("{outside}/{ASKED}"),
        format!("{}/", &outside[1..]),
        outside.replace('/', "\\"),
        "proc/self/environ".into(),
        "proc/self/cwd/asked.txt".into(),
    ];
    for up in UP_IN_URLS {
        for target in &targets {
            let written = format!("{up}{target}");
            assert_silent(&ask_http(http, written.as_bytes()));
            assert_silent(&ask_http(http, written.replace('/', "%2f").as_bytes()));
        }
    }
    let mut session = ftp::Session::log_in(server.address("ftp"));
    for up in UP {
        for target in &targets {
            let written = [up, target.as_bytes()].concat();
            assert_silent(&ask_ftp(&mut session, &written));
            assert_silent(&ask_gopher(server.address("gopher"), &written));
            assert_silent(&ask_gopher(
                server.address("gopher"),
                &[b"/", &written[..]].concat(),
            ));
        }
    }
    // All the while, what is in the share is there.
    assert_eq!(http::get(http, "/folder/asked.txt", &[]).text(), "inside");
    assert_eq!(session.transfer("RETR /folder/asked.txt").1, b"inside");
    server.stop();
}

/// The questions above find what there is to find: shared, the same files are
/// seen over every protocol.
#[test]
fn the_canary_would_be_seen() {
    let world = World::new();
    let server = Served::start(world.root(), &[]);
    let mut session = ftp::Session::log_in(server.address("ftp"));
    let seen = |asked: Asked, secret: &str| {
        let holds = |reply: &[u8]| {
            reply
                .windows(secret.len())
                .any(|bytes| bytes == secret.as_bytes())
        };
        asked.iter().filter(|(_, reply)| holds(reply)).count()
    };
    let (http, gopher) = (server.address("http"), server.address("gopher"));
    let file = format!("outside/{ASKED}");
    // GET as it is, with any query, as JSON, with a range, with a condition.
    assert_eq!(
        seen(ask_http(http, format!("/{file}").as_bytes()), CANARY),
        9
    );
    assert_eq!(seen(ask_ftp(&mut session, file.as_bytes()), CANARY), 1);
    assert!(seen(ask_gopher(gopher, file.as_bytes()), CANARY) >= 1);
    assert!(seen(ask_http(http, b"/outside/"), UNHEARD) >= 7);
    assert!(seen(ask_ftp(&mut session, b"outside"), UNHEARD) >= 7);
    assert!(seen(ask_gopher(gopher, b"outside"), UNHEARD) >= 3);
}

#[test]
fn names_that_look_like_a_way_out_are_names() {
    let world = World::new();
    let server = world.serve(&[]);
    let mut session = ftp::Session::log_in(server.address("ftp"));
    for name in ["...", "..folder", "dot."] {
        let url = format!("/{name}");
        assert_eq!(
            http::get(server.address("http"), &url, &[]).text(),
            "inside",
            "{name}"
        );
        assert_eq!(
            session.transfer(format!("RETR {name}")).1,
            b"inside",
            "{name}"
        );
        let text = exchange(server.address("gopher"), format!("{name}\r\n").as_bytes());
        assert_eq!(text, b"inside\r\n.\r\n", "{name}");
    }
    // What names are not: with dots or spaces more or fewer, they are others.
    for name in [
        "....",
        "..",
        "dot",
        "dot..",
        "inside.txt.",
        "inside.txt%20",
        "INSIDE.TXT",
    ] {
        let reply = http::get(server.address("http"), &format!("/{name}"), &[]);
        assert_ne!(reply.text(), "inside", "{name}");
    }
}

// --- Links -------------------------------------------------------------------

#[test]
fn links_that_leave_the_share_do_not_exist() {
    let world = World::new();
    let links = world.links();
    symlink("inside.txt", world.share().join("kept")).unwrap();
    symlink("folder", world.share().join("kept-folder")).unwrap();
    let _socket = UnixListener::bind(world.share().join("link-socket")).unwrap();
    run(tool("mkfifo").arg(world.share().join("link-fifo")));
    let server = world.serve(&[]);
    let mut session = ftp::Session::log_in(server.address("ftp"));

    // By name they are as if there were nothing.
    let http = server.address("http");
    let missing = http::get(http, "/missing", &[]);
    assert_eq!(missing.status, 404);
    for link in links
        .iter()
        .copied()
        .chain(["link-socket", "link-fifo", ".hythe"])
    {
        for path in [
            link.to_owned(),
            format!("{link}/"),
            format!("{link}/{ASKED}"),
            format!("{link}/.."),
        ] {
            assert_silent(&ask_all(&server, &mut session, path.as_bytes()));
        }
        let reply = http::get(http, &format!("/{link}"), &[]);
        assert_eq!((reply.status, &reply.body), (404, &missing.body), "{link}");
        for verb in ["SIZE", "MDTM", "MLST", "CWD", "STAT"] {
            let (there, not) = (
                session.command(format!("{verb} {link}")),
                session.command(format!("{verb} missing")),
            );
            assert_eq!(there, not, "{verb} {link}");
        }
        let gopher = server.address("gopher");
        let not = exchange(gopher, b"missing\r\n");
        assert_eq!(
            exchange(gopher, format!("{link}\r\n").as_bytes()),
            not,
            "{link}"
        );
    }

    // No listing and no archive has their names; those that stay inside do.
    let unpacked = tempfile::tempdir().unwrap();
    let zip = unpacked.path().join("all.zip");
    fs::write(&zip, http::get(http, "/?zip", &[]).body).unwrap();
    let zip_names = run(tool("unzip").args(["-Z1"]).arg(&zip));
    let zip_text = run(tool("unzip").args(["-p"]).arg(&zip));
    let lists: Asked = [
        ("page", http::get(http, "/", &[]).body),
        ("JSON", http::get(http, "/?json", &[]).body),
        ("tar", http::get(http, "/?tar", &[]).body),
        ("zip", zip_names),
        ("LIST", session.transfer("LIST -a").1),
        ("NLST", session.transfer("NLST -a").1),
        ("NLST *", session.transfer("NLST *").1),
        ("MLSD", session.transfer("MLSD").1),
        ("STAT", session.command("STAT /").text),
        ("menu", exchange(server.address("gopher"), b"\r\n")),
    ]
    .map(|(what, list)| (what.to_owned(), list))
    .into();
    assert_silent(&lists);
    assert_silent(&vec![("zip".into(), zip_text)]);
    let found = exchange(server.address("gopher"), b"\tlink\r\n");
    assert!(
        !String::from_utf8_lossy(&found).contains("link-"),
        "{}",
        found.escape_ascii()
    );
    for (what, list) in lists {
        let text = String::from_utf8_lossy(&list).replace(OWN_SCRIPT, "");
        assert!(
            !text.contains("link-") && !text.contains(".hythe"),
            "{what}: {text}"
        );
        for name in ["inside.txt", "folder", "kept", "kept-folder"] {
            // An archive has no folder twice.
            let left_out = name == "kept-folder" && matches!(what.as_str(), "tar" | "zip");
            assert_ne!(text.contains(name), left_out, "{name} in {what}: {text}");
        }
    }
    assert_eq!(http::get(http, "/kept", &[]).text(), "inside");
    assert_eq!(
        http::get(http, "/kept-folder/asked.txt", &[]).text(),
        "inside"
    );
}

/// Keeps exchanging two names until it is dropped.
struct Swapping<'a> {
    stop: &'a AtomicBool,
}

impl Drop for Swapping<'_> {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// A file and a folder that turn into links to the outside and back, thousands
/// of times a second, while every verb asks for them.
#[test]
fn links_swapped_in_between_are_not_followed() {
    let world = World::new();
    let (share, outside) = (world.share(), world.outside());
    fs::write(share.join("swap"), "inside").unwrap();
    fs::create_dir(share.join("swap-folder")).unwrap();
    fs::write(share.join("swap-folder").join(ASKED), "inside").unwrap();
    symlink(outside.join(ASKED), outside.join("swap")).unwrap();
    symlink("../outside", outside.join("swap-folder")).unwrap();

    let server = world.serve(&["--log", "off"]);
    let (http, gopher) = (server.address("http"), server.address("gopher"));
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                for name in ["swap", "swap-folder"] {
                    let (here, there) = (share.join(name), outside.join(name));
                    renameat_with(CWD, &here, CWD, &there, RenameFlags::EXCHANGE).unwrap();
                }
            }
        });
        let _swapping = Swapping { stop: &stop };
        let mut session = ftp::Session::log_in(server.address("ftp"));
        let mut seen = BTreeSet::new();
        for round in 0..150 {
            // A query that says nothing keeps the answer out of the cache.
            let targets = [
                "/swap".to_owned(),
                format!("/swap?{round}"),
                format!("/swap-folder/{ASKED}?{round}"),
                "/swap-folder/?json".into(),
                "/swap-folder/".into(),
                "/swap-folder/?tar".into(),
                "/swap-folder".into(),
                "/?tar".into(),
                "/?json".into(),
                format!("/folder/../swap-folder/{ASKED}"),
            ];
            let mut asked = Asked::new();
            for target in targets {
                let request =
                    format!("GET {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
                let reply = exchange(http, request.as_bytes());
                seen.insert(reply.get(9..12).map(<[u8]>::to_vec));
                asked.push((target, reply));
            }
            for line in [
                "SIZE swap",
                "MDTM swap",
                "MLST swap",
                "STAT swap-folder",
                "STAT .",
            ] {
                asked.push((line.into(), session.command(line).text));
            }
            for line in [
                "RETR swap",
                "RETR swap-folder/asked.txt",
                "LIST swap-folder",
                "NLST swap-folder",
                "MLSD swap-folder",
                "NLST swap-folder/*",
            ] {
                let (reply, data) = session.transfer(line);
                asked.push((line.into(), [reply.text, data].concat()));
            }
            if session.command("CWD swap-folder").code == 250 {
                for line in ["MLSD", "NLST", "RETR asked.txt"] {
                    let (reply, data) = session.transfer(line);
                    asked.push((format!("CWD, {line}"), [reply.text, data].concat()));
                }
                session.command("CWD /");
            }
            for line in [
                "swap",
                "swap-folder",
                "swap-folder/asked.txt",
                "\tcanary",
                "swap-folder\ttxt",
            ] {
                asked.push((
                    line.into(),
                    exchange(gopher, format!("{line}\r\n").as_bytes()),
                ));
            }
            assert_silent(&asked);
        }
        let statuses: Vec<_> = seen
            .iter()
            .flatten()
            .map(|status| String::from_utf8_lossy(status))
            .collect();
        assert!(
            statuses.contains(&"200".into()) && statuses.contains(&"404".into()),
            "{statuses:?}"
        );
    });
    server.stop();
}

// --- Access ------------------------------------------------------------------

#[test]
fn nobody_allowed_sees_nothing_over_any_protocol() {
    let world = World::new();
    for name in ["inside.txt", "folder/asked.txt"] {
        fs::write(world.share().join(name), CANARY).unwrap();
    }
    fs::rename(world.share().join("folder"), world.share().join(UNHEARD)).unwrap();
    let server = world.serve(&["--allow", "none"]);
    let (http, gopher) = (server.address("http"), server.address("gopher"));
    for path in ["", "inside.txt", "missing.txt", "folder", "folder/"] {
        assert_silent(&ask_http(http, format!("/{path}").as_bytes()));
        assert_silent(&ask_gopher(gopher, path.as_bytes()));
    }
    // What is there and what is not are answered alike.
    let answer = |target: &str| {
        let reply = http::get(http, target, &[]);
        (reply.status, reply.body)
    };
    for target in [
        "/",
        "/inside.txt",
        "/missing.txt",
        "/?zip",
        "/?tar",
        "/?json",
        "/missing/",
    ] {
        assert_eq!(answer(target).0, 403, "{target}");
    }
    assert_eq!(answer("/inside.txt"), answer("/missing.txt"));
    let there = exchange(gopher, b"inside.txt\r\n");
    assert!(there.starts_with(b"3"), "{}", there.escape_ascii());
    assert_eq!(there, exchange(gopher, b"missing.txt\r\n"));
    // Over FTP, nobody gets past the door, nor past it without asking.
    for begin in [
        "USER anonymous\r\nPASS a@\r\n",
        "USER ftp\r\nPASS\r\n",
        "USER x\r\nPASS y\r\n",
        "",
    ] {
        let lines = "PWD\r\nCWD /\r\nMLST inside.txt\r\nSIZE inside.txt\r\nMDTM inside.txt\r\n\
             STAT .\r\nSTAT inside.txt\r\nEPSV\r\nPASV\r\nLIST\r\nRETR inside.txt\r\nMLSD\r\nQUIT\r\n";
        let replies = exchange(server.address("ftp"), format!("{begin}{lines}").as_bytes());
        let text = String::from_utf8_lossy(&replies).into_owned();
        assert_silent(&vec![(begin.to_owned(), replies)]);
        let codes: Vec<&str> = text.lines().map(|line| &line[..3]).collect();
        assert!(
            codes
                .iter()
                .all(|code| ["220", "331", "530", "221"].contains(code)),
            "{text}"
        );
        assert!(
            codes.iter().filter(|code| **code == "530").count() >= 12,
            "{text}"
        );
    }
}

#[test]
fn a_configuration_that_cannot_be_honoured_never_falls_back_to_open() {
    let world = World::new();
    let file = world.root().join("hythe.toml");
    let name = file.to_str().unwrap();
    let missing = format!("{name}.missing");
    let no_database = format!("{}/0.toml", world.root().display());
    let pem = certificate(&world.root().join("one"));
    let other = certificate(&world.root().join("other"));
    fs::copy(&pem, world.share().join("key.pem")).unwrap();
    let texts = [
        "allow = 'writer'",
        "allow = 'uploads'",
        "allow = 'None'",
        "allow = false",
        "allow = ",
        "alow = 'none'",
        "allow = 'none'\nuser = 'a'",
        "user = ['a:b', 'A:c']",
        "user = 'a:@missing'",
        "register = 'read'",
        "register = 'admin'",
        "[serve]\nallow = 'none'",
        "\0",
        "{",
    ];
    let mut commands = Vec::new();
    for text in texts {
        let path = world.root().join(format!("{}.toml", commands.len()));
        fs::write(&path, text).unwrap();
        let mut command = hythe();
        command.arg("serve").arg("--config").arg(path);
        commands.push(command);
    }
    for arguments in [
        &["--allow", "writer"][..],
        &["--allow", "uploads"],
        &["--allow", ""],
        &["--allow"],
        &["--user", "a"],
        &["--user", "a:"],
        &["--user", ":b"],
        &["--user", "a:@missing:read"],
        &["--user", "anonymous:b"],
        &["--user", "a:b", "--user", "A:c"],
        // In the share, or nowhere.
        &["--accounts", "x"],
        &["--accounts", "/missing/x"],
        &["--accounts", "/proc/version"],
        &["--accounts", "/"],
        &["--accounts", &no_database],
        &["--https", "0"],
        &["--ftps", "0"],
        &["--ftp-tls", "required"],
        &["--ftp-tls-session", "required"],
        &["--ftp-tls", "yes"],
        &["--tls-cert", "inside.txt"],
        &["--tls-key", "inside.txt"],
        &["--tls-cert", "missing", "--tls-key", "missing"],
        &["--tls-cert", "inside.txt", "--tls-key", "inside.txt"],
        &["--tls-cert", "/", "--tls-key", "/"],
        &["--tls-cert", &pem, "--tls-key", "inside.txt"],
        &["--tls-cert", &pem, "--tls-key", &other],
        &["--tls-cert", &pem, "--tls-key", &pem, "--tls-self-signed"],
        // The key would be served.
        &["--tls-cert", &pem, "--tls-key", "key.pem"],
        &["--passive-address", "files.example"],
        &["--register", "read"],
        &["--register-quota", "1M"],
        &["--config", &missing],
        &["--config", "/"],
        &["--config", ""],
    ] {
        let mut command = hythe();
        command.arg("serve").args(arguments);
        commands.push(command);
    }
    for (variable, value) in [
        ("ALLOW", "writer"),
        ("ALLOW", ""),
        ("ALLOW", "NONE"),
        ("TLS_SELF_SIGNED", "perhaps"),
        ("HTTPS", "0"),
        ("CONFIG", &missing),
        ("CONFIG", ""),
    ] {
        let mut command = hythe();
        command.arg("serve").env(format!("HYTHE_{variable}"), value);
        commands.push(command);
    }
    for command in &mut commands {
        command
            .args(["--http", "0", "--ftp", "0", "--gopher", "0"])
            .current_dir(world.share());
        // It would not end by itself if it served.
        let mut limited = tool("timeout");
        limited
            .arg("20")
            .arg(command.get_program())
            .args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => limited.env(name, value),
                None => limited.env_remove(name),
            };
        }
        limited.current_dir(world.share()).stdin(Stdio::null());
        let output = limited.output().unwrap();
        assert!(
            matches!(output.status.code(), Some(1..=4)),
            "{command:?}: {}",
            common::shown(&output)
        );
        assert_eq!(output.stdout, b"", "{command:?}");
    }
}

/// A certificate and its key, in one file.
fn certificate(folder: &Path) -> String {
    let kept = hythe::tls::SelfSigned::kept_in(folder);
    let names = vec!["localhost".to_owned()];
    kept.identity(1_800_000_000, names).unwrap();
    kept.file().to_str().unwrap().to_owned()
}

/// A key of our own lies where no share shows it, even one of the whole home.
#[test]
fn the_key_of_a_self_signed_certificate_is_not_served() {
    let home = tempfile::tempdir().unwrap();
    fs::write(home.path().join("file"), "").unwrap();
    let mut command = hythe();
    command
        .args(["serve", "--tls-self-signed", "--allow", "write"])
        .args(["--http", "0", "--https", "0", "--ftp", "0", "--gopher", "0"])
        .arg(home.path())
        .env("HOME", home.path());
    let server = Served::spawn(command);
    let key = home.path().join(".hythe/self-signed.pem");
    let secret = fs::read(&key).unwrap();
    let mut session = ftp::Session::log_in(server.address("ftp"));
    for path in [
        &b".hythe/self-signed.pem"[..],
        b".HYTHE/self-signed.pem",
        b".hythe",
    ] {
        for (question, reply) in ask_all(&server, &mut session, path) {
            let shown = reply.escape_ascii().to_string();
            assert!(!shown.contains("PRIVATE KEY"), "{question}: {shown}");
            assert!(!shown.contains("self-signed.pem: "), "{question}: {shown}");
        }
        for verb in ["DELE", "RNFR", "RMD", "SITE CHMOD 777"] {
            let line = [verb.as_bytes(), b" ", path].concat();
            assert_eq!(session.command(&line).code, 550, "{}", line.escape_ascii());
        }
    }
    assert_eq!(fs::read(&key).unwrap(), secret);
    drop(session);
    server.stop();

    // Without a home there is no place for it.
    let mut homeless = hythe();
    homeless.args(["serve", "--tls-self-signed", "--http", "0"]);
    homeless.env_remove("HOME").current_dir(home.path());
    let output = homeless.output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", common::shown(&output));
    assert!(common::shown(&output).contains("HOME is not set"));
}

// --- Names -------------------------------------------------------------------

const NASTY_NAMES: &[&[u8]] = &[
    b"<img src=x onerror=alert(1)>.txt",
    b"\"onmouseover=\"alert(1).txt",
    b"'onmouseover='alert(1).txt",
    b"<script>alert(1)<",
    b"javascript:alert(1)",
    b"data:text,<script>",
    b"&lt;b&gt;&#60;.txt",
    b"break\r\nSet-Cookie: planted=1\r\n\r\n<p>",
    b"line\n-rw-r--r-- 1 a a 1 Jan 1 00:00 planted",
    b"tab\tplanted\tevil.example\t70",
    b".",
    b"\x1b[31mred\x1b]0;title\x07",
    b"bell\x07back\x08del\x7f",
    b"\xc2\x9b31m\xc2\x85next",
    b"\xff\xfe\x80",
    b"\xe2\x80\xaegnp.exe",
    b"back\\slash",
    b"\"; filename=\"planted.exe",
    b"%0d%0aSet-Cookie:planted=1",
    b"type=dir; planted",
    b"{{7*7}}${7*7}",
    b" ",
    b"-la",
];

/// A share with a file and a folder of each name.
fn nasty_share() -> (TempDir, usize) {
    let folder = tempfile::tempdir().unwrap();
    let mut count = 0;
    for name in NASTY_NAMES.iter().filter(|name| **name != b".") {
        fs::write(folder.path().join(OsStr::from_bytes(name)), "x").unwrap();
        let inner = [b"d", *name].concat();
        fs::create_dir(folder.path().join(OsStr::from_bytes(&inner))).unwrap();
        count += 2;
    }
    (folder, count)
}

/// No control character, but for the line ends that belong to the format.
fn assert_tame(what: &str, text: &[u8], line_ends: &[u8]) {
    let letters = text.utf8_chunks().flat_map(|chunk| chunk.valid().chars());
    let wild =
        letters.filter(|letter| letter.is_control() && !line_ends.contains(&(*letter as u8)));
    assert_eq!(
        wild.collect::<String>(),
        "",
        "{what}: {}",
        text.escape_ascii()
    );
}

/// The same of lists for programs, whose names are bytes: those above 127 are
/// left as they are, or the names could not be asked for.
fn assert_tame_bytes(what: &str, text: &[u8], line_ends: &[u8]) {
    let wild = |byte: &&u8| byte.is_ascii_control() && !line_ends.contains(byte);
    assert_eq!(
        text.iter().find(wild),
        None,
        "{what}: {}",
        text.escape_ascii()
    );
}

/// How the one script begins that belongs on the page.
const OWN_SCRIPT: &str = "<script src=\"/.hythe/page.js?";

#[test]
fn names_are_escaped_in_pages_json_and_headers() {
    let (share, count) = nasty_share();
    let server = Served::start(share.path(), &[]);
    let http = server.address("http");

    let page = http::get(http, "/", &[]);
    assert_tame("the page", &page.body, b"\n");
    let text = page.text().replacen(OWN_SCRIPT, "", 1);
    for planted in [
        "<img",
        "<script",
        "\"onmouseover",
        "'onmouseover='",
        "&lt;b&gt;<",
    ] {
        assert!(!text.contains(planted), "{planted}: {text}");
    }
    let links: Vec<&str> = text
        .split("href=\"")
        .skip(1)
        .map(|rest| rest.split('"').next().unwrap())
        .collect();
    for link in &links {
        let here = link.starts_with('?') || (link.starts_with('/') && !link.starts_with("//"));
        assert!(here || *link == "data:,", "{link}");
    }
    let inside: BTreeSet<&&str> = links
        .iter()
        .filter(|link| link.starts_with('/') && link.len() > 1)
        .collect();
    // A URL names no control character but a line feed, and no backslash: such
    // names are shown without a link.
    let beyond = |byte: &u8| matches!(byte, b'\\' | 127 | 0..=9 | 11..=31);
    let unlinked = NASTY_NAMES
        .iter()
        .filter(|name| name.iter().any(beyond))
        .count();
    assert_eq!(inside.len(), count - 2 * unlinked, "{links:?}");
    assert_eq!(text.matches("<th scope=\"row\">").count(), count, "{text}");

    let json = http::get(http, "/?json", &[]);
    // JSON's own rule; what is above 127 is for programs to read.
    assert!(
        !json.body.iter().any(|byte| *byte < 32 && *byte != b'\n'),
        "{}",
        json.text()
    );
    let value: serde_json::Value = serde_json::from_slice(&json.body).unwrap();
    assert!(value.is_object() || value.is_array());

    // The client of these tests takes no field twice, none without a name, and
    // no control character in any.
    for link in links.iter().filter(|link| link.starts_with('/')) {
        for query in ["", "?download", "?zip", "?tar", "?json"] {
            let reply = http::get(http, &format!("{link}{query}"), &[]);
            assert_eq!(reply.field("Set-Cookie"), None, "{link}{query}");
            let head: String = reply
                .fields
                .iter()
                .map(|(name, value)| format!("{name}: {value}\n"))
                .collect();
            assert!(!head.contains("filename=\"planted.exe"), "{head}");
            assert!(reply.status < 500, "{link}{query}: {head}");
            assert_tame(&format!("{link}{query}"), head.as_bytes(), b"\n");
        }
    }
    // A target that is no path is not repeated to the one who sent it.
    for target in [
        "/<script>alert(1)</script>",
        "/%3Cscript%3E",
        "/?sort=<script>",
        "/?q=\"onload=",
    ] {
        let page = http::get(http, target, &["Accept: text/html"]).text();
        let page = page.replacen(OWN_SCRIPT, "", 1);
        assert!(
            !page.contains("<script") && !page.contains("\"onload="),
            "{page}"
        );
    }
}

#[test]
fn names_are_one_line_in_listings_and_replies_of_ftp() {
    let (share, count) = nasty_share();
    let server = Served::start(share.path(), &[]);
    let mut session = ftp::Session::log_in(server.address("ftp"));
    for verb in ["LIST -a", "NLST -a", "MLSD"] {
        let (_, data) = session.transfer(verb);
        assert_tame_bytes(verb, &data, b"\r\n");
        let lines: Vec<&[u8]> = data.split(|&byte| byte == b'\n').collect();
        assert_eq!(lines.len() - 1, count, "{verb}: {}", data.escape_ascii());
        assert!(
            lines
                .iter()
                .all(|line| line.is_empty() || line.ends_with(b"\r"))
        );
    }
    let all = session.command("STAT .");
    assert_tame_bytes("STAT", &all.text, b"\r\n");
    for name in NASTY_NAMES.iter().filter(|name| !name.contains(&b'\n')) {
        // CR and 255 as Telnet sends them.
        let mut sent = Vec::new();
        for &byte in *name {
            sent.extend_from_slice(match &byte {
                255 => b"\xff\xff",
                byte => std::slice::from_ref(byte),
            });
        }
        for verb in ["RETR", "SIZE", "MLST", "MDTM", "STAT", "CWD d", "LIST"] {
            let line = [
                verb.as_bytes(),
                if verb == "CWD d" { b"" } else { b" " },
                &sent,
            ]
            .concat();
            let reply = match verb {
                "RETR" | "LIST" => session.transfer(&line).0,
                _ => session.command(&line),
            };
            assert_tame_bytes(&line.escape_ascii().to_string(), &reply.text, b"\r\n");
            if reply.code == 250 && verb == "CWD d" {
                let here = session.command("PWD");
                assert_eq!(here.code, 257);
                assert_tame_bytes("PWD", &here.text, b"\r\n");
                // What is quoted can be told from what quotes it.
                let text = &here.text[4..];
                let end = text.iter().rposition(|&byte| byte == b'"').unwrap();
                let quotes = text[1..end].iter().filter(|&&byte| byte == b'"').count();
                assert_eq!(quotes % 2, 0, "{}", text.escape_ascii());
                session.command("CWD /");
            }
        }
    }
}

#[test]
fn names_are_one_line_of_four_fields_in_menus() {
    let (share, count) = nasty_share();
    let server = Served::start(share.path(), &[]);
    let address = server.address("gopher");
    let here = format!("127.0.0.1\t{}", address.port());
    for request in [
        &b"\r\n"[..],
        b"\tplanted\r\n",
        b"\ta\r\n",
        b"no\x0bthing\r\n",
        b"<script>\r\n",
        b"URL:http://x/\"><script>\r\n",
    ] {
        let reply = exchange(address, request);
        assert_tame_bytes("a menu", &reply, b"\r\n\t");
        let text = String::from_utf8_lossy(&reply);
        // A page for programs that know no such links; menus are no pages.
        let is_page = request.starts_with(b"URL");
        assert!(!is_page || !text.contains("<script>"), "{text}");
        if is_page || text.is_empty() {
            continue;
        }
        let lines: Vec<&str> = text
            .strip_suffix(".\r\n")
            .unwrap()
            .split_terminator("\r\n")
            .collect();
        for line in &lines {
            assert_eq!(line.matches('\t').count(), 3, "{line:?}");
            assert!(
                line.ends_with(&here) || line.starts_with(['3', 'i']),
                "{line:?}"
            );
        }
        if request == b"\r\n" {
            // Names that Gopher has no way to ask for may be left out.
            assert!(lines.len() <= count + 1, "{text}");
        }
    }
}

// --- Redirects ---------------------------------------------------------------

#[test]
fn redirects_stay_here() {
    let world = World::new();
    let evil = world.share().join("evil.example").join("folder");
    fs::create_dir_all(evil).unwrap();
    let server = world.serve(&[]);
    let http = server.address("http");
    let mut redirected = 0;
    for target in [
        "/folder",
        "//folder",
        "///folder",
        "/./folder",
        "//evil.example",
        "//evil.example/folder",
        "//evil.example/../folder",
        "/evil.example//folder",
        "/%2ffolder",
        "/\\folder",
        "/%5cfolder",
        "/\\evil.example/folder",
        "/%09/folder",
        "/%0a/folder",
        "http://evil.example/folder",
        "http://evil.example//folder",
        "https://evil.example/folder",
        "http://user@evil.example/folder",
        "/folder?to=//evil.example",
        "/folder?%0d%0aSet-Cookie:x=1",
        "/folder?http://evil.example",
        "/folder/..//evil.example",
        "/.//evil.example",
        "/..//evil.example",
    ] {
        for host in ["test", "evil.example", "evil.example:80"] {
            let request =
                format!("GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
            let mut client = http::Client::new(http);
            client.send(request.as_bytes());
            let reply = client.reply("GET");
            if let Some(location) = reply.field("Location") {
                redirected += 1;
                let path = location.split('?').next().unwrap();
                let mut letters = location.chars();
                assert_eq!(letters.next(), Some('/'), "{target}: {location}");
                assert!(
                    !matches!(letters.next(), Some('/' | '\\')),
                    "{target}: {location}"
                );
                assert!(
                    path.ends_with('/') && !path.contains("//"),
                    "{target}: {location}"
                );
            } else {
                assert!(!(300..400).contains(&reply.status), "{target}");
            }
            assert_eq!(reply.field("Set-Cookie"), None);
        }
    }
    assert!(redirected > 20, "{redirected}");
}

// --- Counters and lengths ----------------------------------------------------

#[test]
fn counters_do_not_overflow() {
    let share = tempfile::tempdir().unwrap();
    let file = content(1000);
    fs::write(share.path().join("file.bin"), &file).unwrap();
    let server = Served::start(share.path(), &[]);
    let http = server.address("http");
    let huge = "99999999999999999999999999999999999999999";
    let ranges: [(String, &[u16]); 17] = [
        ("bytes=18446744073709551615-".into(), &[416]),
        (
            "bytes=18446744073709551614-18446744073709551615".into(),
            &[416],
        ),
        ("bytes=0-18446744073709551615".into(), &[206]),
        ("bytes=1-18446744073709551616".into(), &[200, 206]),
        ("bytes=18446744073709551616-".into(), &[200, 416]),
        ("bytes=-18446744073709551615".into(), &[200, 206]),
        ("bytes=-18446744073709551616".into(), &[200, 206]),
        (format!("bytes={huge}-"), &[200, 416]),
        (format!("bytes=0-{huge}"), &[200, 206]),
        (format!("bytes=-{huge}"), &[200, 206]),
        (
            "bytes=9223372036854775807-9223372036854775808".into(),
            &[416],
        ),
        ("bytes=-0".into(), &[416, 200]),
        ("bytes=".into(), &[200]),
        ("".into(), &[200]),
        ("bytes=5-1".into(), &[200]),
        ("bytes=-".into(), &[200]),
        (
            format!("bytes={}", vec!["0-"; 2000].join(",")),
            &[200, 206, 416],
        ),
    ];
    for (range, statuses) in ranges {
        let reply = http::get(http, "/file.bin", &[&format!("Range: {range}")]);
        let shown = &range[..range.len().min(60)];
        assert!(
            statuses.contains(&reply.status),
            "{shown}: {}",
            reply.status
        );
        if reply.status == 200 {
            assert!(reply.body == file, "{shown}");
        }
        assert!(reply.body.len() < 3000, "{shown}: {}", reply.body.len());
    }
    let requests: [&str; 8] = [
        "Transfer-Encoding: chunked\r\n\r\n10000000000000000\r\n",
        "Transfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n",
        "Transfer-Encoding: chunked\r\n\r\n00000000000000000000000000000000000000001\r\n",
        "Transfer-Encoding: chunked\r\n\r\n-1\r\n",
        "Content-Length: 18446744073709551616\r\n\r\n",
        "Content-Length: 99999999999999999999999\r\n\r\n",
        "Content-Length: -1\r\n\r\n",
        "Content-Length: +1\r\n\r\n",
    ];
    for rest in requests {
        // The client says that this is all, so that nothing is awaited.
        let mut client = connect(http);
        write!(client, "POST / HTTP/1.1\r\nHost: a\r\n{rest}").unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        let mut reply = Vec::new();
        client.read_to_end(&mut reply).unwrap();
        let text = String::from_utf8_lossy(&reply);
        assert!(text.starts_with("HTTP/1.1 4"), "{rest}: {text}");
        assert_eq!(text.matches("HTTP/1.1 ").count(), 1, "{rest}: {text}");
    }
    let mut session = ftp::Session::log_in(server.address("ftp"));
    for offset in [
        "18446744073709551615",
        "18446744073709551616",
        huge,
        "-1",
        "1001",
    ] {
        session.command(format!("REST {offset}"));
        let (reply, data) = session.transfer("RETR file.bin");
        let refused = reply.code >= 500 && data.is_empty();
        // Where the offset itself was refused, all of it comes.
        assert!(
            refused || (reply.code == 226 && data == file),
            "{offset}: {reply:?}"
        );
    }
    for line in [
        "PORT 999,0,0,1,0,0",
        "PORT 127,0,0,1,256,1",
        "EPRT |1|127.0.0.1|99999|",
        "EPRT |1|127.0.0.1|-1|",
    ] {
        assert!(session.command(line).code >= 500, "{line}");
    }
    assert_eq!(session.transfer("RETR file.bin").1, file);
}

/// Sends `begin`, then `rest` over and over, until the server has had enough:
/// how much went out, and all that came back.
fn flood(address: SocketAddr, begin: &[u8], rest: &[u8]) -> (u64, Vec<u8>) {
    const LIMIT: u64 = 1 << 30;
    let mut stream = connect(address);
    stream.write_all(begin).unwrap();
    let piece = rest.repeat((64 * 1024 / rest.len()).max(1));
    let mut sent = 0;
    while sent < LIMIT {
        match stream.write(&piece) {
            Ok(count) => sent += count as u64,
            Err(_) => break,
        }
    }
    let mut reply = Vec::new();
    // What came before a reset may be lost.
    stream.read_to_end(&mut reply).ok();
    (sent, reply)
}

#[test]
fn what_does_not_end_is_cut_off_and_costs_no_memory() {
    let world = World::new();
    let server = world.serve(&["--log", "off"]);
    // What the two kernels' buffers hold at most, and what the server reads so
    // that its last word is heard.
    const ENOUGH: u64 = 64 << 20;
    let log_in = b"USER anonymous\r\nPASS x\r\n";
    let floods: [(&str, &[u8], &[u8]); 11] = [
        ("http", b"GET / HTTP/1.1\r\nX: ", b"a"),
        ("http", b"GET /", b"a"),
        ("http", b"GET / HTTP/1.1\r\nHost: a\r\n", b"X: y\r\n"),
        ("http", b"", b"A"),
        (
            "http",
            b"GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n ",
            b" folded\r\n ",
        ),
        (
            "http",
            b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1;",
            b"x",
        ),
        (
            "http",
            b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n",
            b"X: y\r\n",
        ),
        ("ftp", b"", b"a"),
        ("ftp", log_in, b"RETR a"),
        ("gopher", b"", b"a"),
        ("gopher", b"/\t", b"a"),
    ];
    let before = server.private_memory();
    for (protocol, begin, rest) in floods {
        let (sent, reply) = flood(server.address(protocol), begin, rest);
        let case = format!(
            "{protocol} {} {}",
            begin.escape_ascii(),
            rest.escape_ascii()
        );
        assert!(sent < ENOUGH, "{case}: {sent}");
        let text = String::from_utf8_lossy(&reply);
        let said = match protocol {
            "http" => text.is_empty() || text.starts_with("HTTP/1.1 4"),
            "ftp" => text.is_empty() || text.starts_with("220"),
            _ => text.is_empty() || text.starts_with('3'),
        };
        assert!(said, "{case}: {text}");
    }
    let after = server.private_memory();
    assert!(after < before + 16 * 1024, "{before} KiB, then {after} KiB");
    // Everyone else is served as before.
    assert_eq!(
        http::get(server.address("http"), "/inside.txt", &[]).text(),
        "inside"
    );
    assert_eq!(ftp::fetch(server.address("ftp"), b"inside.txt"), b"inside");
    server.stop();
}

/// Commands that need no answer, and many that do, from someone who reads none
/// of the replies.
#[test]
fn floods_of_telnet_options_and_commands_cost_no_memory() {
    let world = World::new();
    let server = world.serve(&["--log", "off"]);
    let before = server.private_memory();
    for flood in [
        &b"\xff\xf1"[..],
        b"\xff\xfb\x01",
        b"\xff\xf4\xff\xf2",
        b"NOOP\r\n",
        b"HELP\r\n",
        b"STAT .\r\n",
    ] {
        let mut stream = connect(server.address("ftp"));
        stream.write_all(b"USER anonymous\r\nPASS x\r\n").unwrap();
        stream.set_nonblocking(true).unwrap();
        let piece = flood.repeat(10_000);
        let mut sent = 0;
        // Until nothing more goes in, or enough has.
        let mut stalled = 0;
        while sent < 20 << 20 && stalled < 200 {
            match stream.write(&piece) {
                Ok(count) => {
                    sent += count;
                    stalled = 0;
                }
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                    stalled += 1;
                    thread::yield_now();
                }
                Err(_) => break,
            }
        }
        let after = server.private_memory();
        assert!(
            after < before + 16 * 1024,
            "{}: {before} KiB, then {after}",
            flood.escape_ascii()
        );
    }
    assert_eq!(ftp::fetch(server.address("ftp"), b"inside.txt"), b"inside");
}

#[test]
fn ten_thousand_pipelined_requests_are_answered_in_order() {
    const COUNT: usize = 10_000;
    let world = World::new();
    let server = world.serve(&["--log", "off"]);
    for target in ["/inside.txt", "/missing", "/?json"] {
        let before = server.private_memory();
        let mut client = http::Client::new(server.address("http"));
        let mut writer = client.stream().try_clone().unwrap();
        thread::scope(|scope| {
            scope.spawn(move || {
                for number in 0..COUNT {
                    // Every other one asks for something else.
                    let target = if number % 2 == 0 {
                        target
                    } else {
                        "/folder/asked.txt"
                    };
                    writer
                        .write_all(format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes())
                        .unwrap();
                }
            });
            let even = http::get(server.address("http"), target, &[]);
            for number in 0..COUNT {
                let reply = client.reply("GET");
                if number % 2 == 0 {
                    assert_eq!(
                        (reply.status, &reply.body),
                        (even.status, &even.body),
                        "{number}"
                    );
                } else {
                    assert_eq!(
                        (reply.status, reply.text().as_str()),
                        (200, "inside"),
                        "{number}"
                    );
                }
            }
        });
        let after = server.private_memory();
        assert!(after < before + 16 * 1024, "{before} KiB, then {after} KiB");
    }
}

/// What is for another protocol is not answered: a page in a browser could
/// make it say things (as in ALPACA).
#[test]
fn other_protocols_are_not_answered() {
    let world = World::new();
    let server = world.serve(&[]);
    let request = b"GET /inside.txt HTTP/1.1\r\nHost: a\r\n\r\nUSER anonymous\r\nPASS x\r\nSTAT inside.txt\r\n";
    let ftp = exchange(server.address("ftp"), request);
    let lines = ftp.iter().filter(|&&byte| byte == b'\n').count();
    assert!(lines <= 2, "{}", ftp.escape_ascii());
    let gopher = exchange(server.address("gopher"), request);
    assert_eq!(gopher, b"");
    let http = exchange(server.address("http"), b"USER anonymous\r\nPASS x\r\n\r\n");
    assert!(
        http.starts_with(b"HTTP/1.1 400 "),
        "{}",
        http.escape_ascii()
    );
}
