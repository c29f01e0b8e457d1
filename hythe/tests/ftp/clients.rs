//! The clients that people use.

use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::{TempDir, tempdir};

use super::Running;
use super::common::{content, difficult_tree, run, shown, tool, url_path};

/// A tree of what FTP can name: no line ends.
fn tree() -> (TempDir, Vec<PathBuf>) {
    let root = tempdir().unwrap();
    let mut paths = difficult_tree(root.path());
    for path in paths.extract_if(.., |path| path.as_os_str().as_bytes().contains(&b'\n')) {
        fs::remove_file(root.path().join(path)).unwrap();
    }
    let latin = PathBuf::from(OsStr::from_bytes(b"latin-\xe9.txt"));
    fs::write(root.path().join(&latin), content(1000)).unwrap();
    paths.push(latin);
    (root, paths)
}

/// Without the names that hold Telnet's escape: most clients send it as it is.
fn without_telnet(root: &Path, paths: &mut Vec<PathBuf>) {
    for path in paths.extract_if(.., |path| path.as_os_str().as_bytes().contains(&0xff)) {
        fs::remove_file(root.join(path)).unwrap();
    }
}

fn assert_same(one: &Path, other: &Path) {
    let read =
        |path: &Path| fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    assert!(
        read(one) == read(other),
        "{} differs from {}",
        one.display(),
        other.display()
    );
}

/// Runs a client that takes its commands from standard input.
fn converse(command: &mut Command, commands: &str) -> String {
    let pipes = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = pipes.spawn().unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(commands.as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", shown(&output));
    shown(&output)
}

#[test]
fn ftplib() {
    // Latin-1 is the encoding in which each byte is a letter.
    const SCRIPT: &str = r#"
import ftplib, os, sys

class FTP(ftplib.FTP):
    def putline(self, line):
        self.sock.sendall(line.encode('latin-1').replace(b'\xff', b'\xff\xff') + b'\r\n')

root, host, port = os.fsencode(sys.argv[1]), sys.argv[2], int(sys.argv[3])
for passive in True, False:
    with FTP(encoding='latin-1') as ftp:
        ftp.connect(host, port, timeout=60)
        ftp.login()
        ftp.set_pasv(passive)
        for folder, names, files in os.walk(root):
            path = folder[len(root):].decode('latin-1') or '/'
            ftp.cwd(path)
            assert ftp.pwd() == path
            listed = {name for name, facts in ftp.mlsd()}
            assert listed == {name.decode('latin-1') for name in names + files}
            assert set(ftp.nlst('-a')) == listed
            lines = []
            ftp.retrlines('LIST -a', lines.append)
            assert len(lines) == len(listed)
            ftp.voidcmd('TYPE I')
            for file in files:
                expected = open(os.path.join(folder, file), 'rb').read()
                name = file.decode('latin-1')
                assert ftp.size(name) == len(expected), name
                for rest in None, 1, len(expected) // 2, len(expected):
                    if (rest or 0) <= len(expected):
                        blocks = []
                        ftp.retrbinary('RETR ' + name, blocks.append, rest=rest)
                        assert b''.join(blocks) == expected[rest or 0:], (name, rest)
"#;
    let (root, _) = tree();
    for server in [
        Running::start(root.path()),
        Running::start_ipv6(root.path()),
    ] {
        let (host, port) = (
            server.address.ip().to_string(),
            server.address.port().to_string(),
        );
        run(tool("python3")
            .arg("-c")
            .arg(SCRIPT)
            .arg(root.path())
            .arg(host)
            .arg(port));
    }
}

#[test]
fn curl() {
    let (root, mut paths) = tree();
    without_telnet(root.path(), &mut paths);
    fs::write(root.path().join("text"), "one\ntwo\n").unwrap();
    fs::write(root.path().join("big"), content(3_000_000)).unwrap();
    let into = tempdir().unwrap();
    let saved = into.path().join("saved");
    for server in [
        Running::start(root.path()),
        Running::start_ipv6(root.path()),
    ] {
        let url = |path: &str| format!("ftp://{}/{path}", server.address);
        let curl = |arguments: &[&str], path: &str| {
            run(tool("curl")
                .args(["-sS", "-g"])
                .args(arguments)
                .arg(url(path)))
        };
        for path in &paths {
            let expected = fs::read(root.path().join(path)).unwrap();
            assert_eq!(curl(&[], &url_path(path)), expected, "{}", path.display());
        }
        let ways: [&[&str]; 6] = [
            &["--disable-epsv"],
            &["--ftp-port", "-"],
            &["--ftp-port", "-", "--disable-eprt"],
            &["--ftp-method", "nocwd"],
            &["--ftp-method", "singlecwd"],
            &["--ssl"],
        ];
        for way in ways {
            // The old commands are for IPv4 only.
            if server.address.is_ipv4() || !way[way.len() - 1].starts_with("--disable") {
                assert!(curl(way, "big") == content(3_000_000), "{way:?}");
            }
        }
        assert_eq!(
            curl(&["-r", "1000-1099"], "big"),
            &content(3_000_000)[1000..1100]
        );
        assert_eq!(curl(&["--use-ascii"], "text"), b"one\ntwo\n");
        let names = String::from_utf8(curl(&["--list-only"], "")).unwrap_or_default();
        assert!(names.is_empty() || names.contains("text\r\n"), "{names}");
        let head = String::from_utf8(curl(&["-I"], "big")).unwrap();
        assert!(head.contains("Content-Length: 3000000") && head.contains("Last-Modified:"));
        for have in [0, 1, 1_500_000, 3_000_000] {
            fs::write(&saved, &content(3_000_000)[..have]).unwrap();
            curl(&["-C", "-", "-o", saved.to_str().unwrap()], "big");
            assert_same(&saved, &root.path().join("big"));
        }
        let missing = tool("curl")
            .args(["-sS", &url("missing")])
            .output()
            .unwrap();
        assert_eq!(missing.status.code(), Some(78), "{}", shown(&missing));
    }
}

#[test]
fn lftp() {
    let (root, paths) = tree();
    let server = Running::start(root.path());
    let into = tempdir().unwrap();
    let settings = "set cmd:fail-exit true; set net:max-retries 1; set ftp:ssl-allow false";
    for way in [
        "set ftp:passive-mode true",
        "set ftp:passive-mode false",
        "set ftp:use-mlsd false",
    ] {
        let script = format!(
            "{settings}; {way}; open ftp://{}; mirror --no-perms / {}",
            server.address,
            into.path().display()
        );
        run(tool("lftp")
            .env("LC_ALL", "C.UTF-8")
            .args(["--norc", "-c", &script]));
        for path in &paths {
            let name = path.as_os_str().as_bytes();
            // Without MLSD, lftp asks for a list without hidden names.
            let is_listed = !name.ends_with(b".hidden") || !way.ends_with("false");
            if is_listed {
                assert_same(&into.path().join(path), &root.path().join(path));
            }
        }
        fs::remove_dir_all(into.path()).unwrap();
        fs::create_dir(into.path()).unwrap();
    }
    let big = content(3_000_000);
    fs::write(root.path().join("big"), &big).unwrap();
    let saved = into.path().join("saved");
    for have in [1, 1_500_000, 3_000_000] {
        fs::write(&saved, &big[..have]).unwrap();
        let script = format!(
            "{settings}; open ftp://{}; get -c big -o {}",
            server.address,
            saved.display()
        );
        run(tool("lftp").args(["--norc", "-c", &script]));
        assert_same(&saved, &root.path().join("big"));
    }
    fs::remove_file(&saved).unwrap();
    let script = format!(
        "{settings}; open ftp://{}; pget -n 4 big -o {}",
        server.address,
        saved.display()
    );
    run(tool("lftp").args(["--norc", "-c", &script]));
    assert_same(&saved, &root.path().join("big"));
}

#[test]
fn wget() {
    let (root, mut paths) = tree();
    without_telnet(root.path(), &mut paths);
    fs::write(root.path().join("big"), content(3_000_000)).unwrap();
    let server = Running::start(root.path());
    let into = tempdir().unwrap();
    let saved = into.path().join("saved");
    let wget = |arguments: &[&str], path: &str| {
        let url = format!("ftp://{}/{path}", server.address);
        let common = ["--no-config", "-q", "--tries=1", "--no-glob"];
        run(tool("wget")
            .current_dir(into.path())
            .args(common)
            .args(arguments)
            .arg(url))
    };
    for path in &paths {
        wget(&["-O", "saved"], &url_path(path));
        assert_same(&saved, &root.path().join(path));
    }
    wget(&["--no-passive-ftp", "-O", "saved"], "big");
    assert_same(&saved, &root.path().join("big"));
    for have in [1, 1_500_000] {
        fs::write(into.path().join("big"), &content(3_000_000)[..have]).unwrap();
        wget(&["-c"], "big");
        assert_same(&into.path().join("big"), &root.path().join("big"));
    }
    // The whole tree, from what LIST says.
    wget(
        &["-r", "-nH", "-P", "tree", "--restrict-file-names=nocontrol"],
        "",
    );
    assert_same(
        &into.path().join("tree/plain.txt"),
        &root.path().join("plain.txt"),
    );
    let deep = "文件夹 with #1%/中文 名字.txt";
    assert_same(
        &into.path().join("tree").join(deep),
        &root.path().join(deep),
    );
}

#[test]
fn ncftp() {
    let root = tempdir().unwrap();
    fs::create_dir_all(root.path().join("folder/inner")).unwrap();
    for name in [
        "a b.txt",
        "中文.txt",
        "folder/c\"d.txt",
        "folder/inner/#e%20.txt",
    ] {
        fs::write(root.path().join(name), content(name.len() * 100_000)).unwrap();
    }
    let server = Running::start(root.path());
    let port = server.address.port().to_string();
    for way in ["-F", "-E"] {
        let into = tempdir().unwrap();
        let ncftpget = |arguments: &[&str]| {
            let common = ["-V", "-t", "60", "-P", &port, way];
            let command = &mut tool("ncftpget");
            let command = command
                .env("HOME", into.path())
                .args(common)
                .args(arguments);
            run(command);
        };
        let local = into.path().to_str().unwrap();
        ncftpget(&["-R", "127.0.0.1", local, "/folder"]);
        ncftpget(&["127.0.0.1", local, "/a b.txt", "/中文.txt"]);
        for name in [
            "a b.txt",
            "中文.txt",
            "folder/c\"d.txt",
            "folder/inner/#e%20.txt",
        ] {
            assert_same(&into.path().join(name), &root.path().join(name));
        }
        // Half of it is there already.
        let saved = into.path().join("a b.txt");
        let file = fs::File::options().write(true).open(&saved).unwrap();
        file.set_len(1000).unwrap();
        ncftpget(&["-z", "127.0.0.1", local, "/a b.txt"]);
        assert_same(&saved, &root.path().join("a b.txt"));
    }
}

#[test]
fn tnftp() {
    let root = tempdir().unwrap();
    fs::create_dir(root.path().join("folder")).unwrap();
    for name in ["a b.txt", "中文.txt", "c.bin", "folder/d.txt"] {
        fs::write(root.path().join(name), content(name.len() * 100_000)).unwrap();
    }
    let server = Running::start(root.path());
    let into = tempdir().unwrap();
    let tnftp = || {
        let mut command = tool("tnftp");
        command.current_dir(into.path()).env("HOME", into.path());
        command
    };
    let url = format!("ftp://{}/folder/d.txt", server.address);
    run(tnftp().args(["-o", "saved", &url]));
    assert_same(
        &into.path().join("saved"),
        &root.path().join("folder/d.txt"),
    );
    fs::write(into.path().join("c.bin"), &content(500_000)[..0]).unwrap();
    let port = server.address.port();
    let commands = format!(
        "open 127.0.0.1 {port}\nuser anonymous me@\nbinary\nmget *.txt\nreget c.bin\n\
         cd folder\nsize d.txt\nmodtime d.txt\nls\npwd\nquit\n"
    );
    let said = converse(tnftp().args(["-n", "-i"]), &commands);
    for part in ["Remote directory: /folder", "d.txt\t1200000", " 1200000 "] {
        assert!(said.contains(part), "{part} is missing in {said}");
    }
    for name in ["a b.txt", "中文.txt", "c.bin"] {
        assert_same(&into.path().join(name), &root.path().join(name));
    }
}

#[test]
fn lynx() {
    let (root, mut paths) = tree();
    without_telnet(root.path(), &mut paths);
    let server = Running::start(root.path());
    let page = run(tool("lynx").args(["-dump", &format!("ftp://{}/", server.address)]));
    let page = String::from_utf8_lossy(&page);
    assert!(
        page.contains("plain.txt") && page.contains("two  spaces.txt"),
        "{page}"
    );
    let url = format!("ftp://{}/plus%2Band%3D.txt", server.address);
    let name = root.path().join("plus+and=.txt");
    assert_eq!(
        run(tool("lynx").args(["-source", &url])),
        fs::read(name).unwrap()
    );
}
