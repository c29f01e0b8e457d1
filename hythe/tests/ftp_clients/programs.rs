//! How each client is told what to do.

use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

use super::common::{tool, url_path};
use super::table::{FOLDER, NEW, OLD, Task, UNWANTED, Visit};
use super::{Tls, converse, script, tools};

impl Visit<'_> {
    /// Where something is on the server, for clients that want a URL.
    fn url(&self, path: &Path) -> String {
        let scheme = match self.way.tls {
            Tls::Implicit => "ftps",
            Tls::Never | Tls::Explicit => "ftp",
        };
        format!(
            "{scheme}://{}{}/{}",
            self.address,
            self.there,
            url_path(path)
        )
    }

    /// A name there, from the root.
    fn at(&self, name: &str) -> String {
        format!("{}/{name}", self.there)
    }

    /// For a script.
    fn wish(&self) -> Value {
        json!({
            "task": format!("{:?}", self.task),
            "host": self.address.ip().to_string(),
            "port": self.address.port(),
            "tls": format!("{:?}", self.way.tls),
            "trust": self.trust,
            "active": self.way.active,
            "there": self.there,
            "here": self.here,
            "old": OLD,
            "new": NEW,
            "unwanted": UNWANTED,
            "folder": FOLDER,
        })
    }
}

fn output(command: &mut Command) -> Output {
    command.stdin(Stdio::null()).output().unwrap()
}

pub(super) fn curl(visit: &Visit) -> Output {
    run_curl(visit, bare_curl())
}

pub(super) fn curl_tls_1_2(visit: &Visit) -> Output {
    let mut curl = bare_curl();
    curl.args(["--tls-max", "1.2"]);
    run_curl(visit, curl)
}

/// Without its user's configuration, which only the first argument says.
fn bare_curl() -> Command {
    let mut curl = tool("curl");
    curl.arg("-q");
    curl
}

/// It knows no trees: each file is named in its configuration, which takes any
/// byte. What is not about a file goes as it is.
fn run_curl(visit: &Visit, mut curl: Command) -> Output {
    curl.args(["-sS", "-g", "--create-dirs", "--ftp-create-dirs", "-K", "-"]);
    curl.arg("--cacert").arg(visit.trust);
    if visit.way.tls == Tls::Explicit {
        curl.arg("--ssl-reqd");
    }
    if visit.way.active {
        curl.args(["--ftp-port", "-"]);
    }
    let tree = Path::new("tree");
    let big = Path::new("big.bin").to_owned();
    let mut lines = Vec::new();
    let mut say = |key: &str, value: &[u8]| {
        write!(lines, "{key} = \"").unwrap();
        escape(&mut lines, value, b"\\\"");
        lines.extend(b"\"\n");
    };
    let (transfers, key) = match visit.task {
        Task::Down => (
            visit.files.iter().map(|path| tree.join(path)).collect(),
            "output",
        ),
        Task::Up => (
            visit.files.iter().map(|path| tree.join(path)).collect(),
            "upload-file",
        ),
        Task::GoOnDown => (vec![big], "output"),
        Task::GoOnUp => (vec![big], "upload-file"),
        _ => (Vec::new(), ""),
    };
    for path in &transfers {
        say(key, visit.here.join(path).as_os_str().as_bytes());
        say("url", visit.url(path).as_bytes());
    }
    let commands = match visit.task {
        Task::GoOnDown | Task::GoOnUp => {
            say("continue-at", b"-");
            vec![]
        }
        Task::Rename => vec![("RNFR", OLD), ("RNTO", NEW)],
        Task::Delete => vec![("DELE", UNWANTED)],
        Task::MakeFolder => vec![("MKD", FOLDER)],
        Task::RemoveFolder => vec![("RMD", FOLDER)],
        Task::Down | Task::Up => vec![],
    };
    for (verb, name) in &commands {
        say("quote", format!("{verb} {}", visit.at(name)).as_bytes());
    }
    if !commands.is_empty() {
        say("url", visit.url(Path::new("")).as_bytes());
    }
    converse(&mut curl, &lines)
}

pub(super) fn lftp(visit: &Visit) -> Output {
    let here = |name: &str| quoted(visit.here.join(name).to_str().unwrap());
    let there = |name: &str| quoted(&visit.at(name));
    let task = match visit.task {
        Task::Down => format!("mirror --no-perms {} {}", there("tree"), here("tree")),
        Task::Up => format!("mirror -R --no-perms {} {}", here("tree"), there("tree")),
        Task::GoOnDown => format!("get -c {} -o {}", there("big.bin"), here("big.bin")),
        Task::GoOnUp => format!("put -c {} -o {}", here("big.bin"), there("big.bin")),
        Task::Rename => format!("mv {} {}", there(OLD), there(NEW)),
        Task::Delete => format!("rm {}", there(UNWANTED)),
        Task::MakeFolder => format!("mkdir {}", there(FOLDER)),
        Task::RemoveFolder => format!("rmdir {}", there(FOLDER)),
    };
    let (scheme, tls) = match visit.way.tls {
        Tls::Never => ("ftp", "set ftp:ssl-allow no"),
        Tls::Explicit => (
            "ftp",
            "set ftp:ssl-force yes; set ftp:ssl-allow-anonymous yes",
        ),
        Tls::Implicit => (
            "ftps",
            "set ftp:ssl-force yes; set ftp:ssl-allow-anonymous yes",
        ),
    };
    let script = format!(
        "set cmd:fail-exit yes; set net:max-retries 1; set net:timeout 60; {tls}; \
         set ssl:verify-certificate yes; set ssl:ca-file {}; set ftp:ssl-protect-data yes; \
         set ftp:passive-mode {}; open {scheme}://{}; {task}",
        quoted(visit.trust.to_str().unwrap()),
        if visit.way.active { "no" } else { "yes" },
        visit.address,
    );
    output(
        tool("lftp")
            .env("LC_ALL", "C.UTF-8")
            .args(["--norc", "-c", &script]),
    )
}

/// Three programs, of which the first two move trees and go on, and the third
/// is for the rest.
pub(super) fn ncftp(visit: &Visit) -> Output {
    let port = visit.address.port().to_string();
    let common = |name: &str| {
        let mut command = tool(name);
        command.env("HOME", &visit.here).args(["-P", &port]);
        command
    };
    let mover = |name: &str, how: &str| {
        let mut command = common(name);
        command.args(["-V", "-t", "60", how]);
        command.arg(if visit.way.active { "-E" } else { "-F" });
        command.arg("127.0.0.1");
        command
    };
    let (tree, big) = (visit.here.join("tree"), visit.here.join("big.bin"));
    let change = match visit.task {
        Task::Down => {
            return output(
                mover("ncftpget", "-R")
                    .arg(&visit.here)
                    .arg(visit.at("tree")),
            );
        }
        Task::Up => return output(mover("ncftpput", "-R").arg(&visit.there).arg(tree)),
        Task::GoOnDown => {
            return output(
                mover("ncftpget", "-z")
                    .arg(&visit.here)
                    .arg(visit.at("big.bin")),
            );
        }
        Task::GoOnUp => {
            // Without -s it sends all of the file, from where it should go on.
            return output(mover("ncftpput", "-zs").arg(&visit.there).arg(big));
        }
        Task::Rename => format!("rename '{OLD}' '{NEW}'"),
        Task::Delete => format!("rm '{UNWANTED}'"),
        Task::MakeFolder => format!("mkdir '{FOLDER}'"),
        Task::RemoveFolder => format!("rmdir '{FOLDER}'"),
    };
    let passive = if visit.way.active { "off" } else { "on" };
    let commands = format!(
        "set passive {passive}\ncd {}\n{change}\nquit\n",
        visit.there
    );
    converse(common("ncftp").arg("127.0.0.1"), commands.as_bytes())
}

/// It knows no trees: each folder is made and each file is named.
pub(super) fn tnftp(visit: &Visit) -> Output {
    let mut lines = Vec::new();
    let mut say = |verb: &str, names: &[&[u8]]| {
        lines.extend(verb.as_bytes());
        for name in names {
            lines.push(b' ');
            for byte in *name {
                lines.extend([b'\\', *byte]);
            }
        }
        lines.push(b'\n');
    };
    let (host, port) = (visit.address.ip().to_string(), visit.address.port());
    say(&format!("open {host} {port}"), &[]);
    say("user anonymous me@", &[]);
    say("binary", &[]);
    say("cd", &[visit.there.as_bytes()]);
    let folders: Vec<&Path> = {
        let mut folders: Vec<&Path> = visit
            .files
            .iter()
            .filter_map(|path| path.parent())
            .collect();
        folders.sort();
        folders.dedup();
        folders
    };
    let bytes = |path: &Path| path.as_os_str().as_bytes().to_vec();
    let tree = Path::new("tree");
    match visit.task {
        Task::Down => {
            for folder in folders {
                fs::create_dir_all(visit.here.join(tree).join(folder)).unwrap();
            }
            for path in &visit.files {
                let path = bytes(&tree.join(path));
                // It makes no file where there is nothing to put into it.
                fs::write(visit.here.join(OsStr::from_bytes(&path)), "").unwrap();
                say("get", &[&path, &path]);
            }
        }
        Task::Up => {
            for folder in folders {
                let folder = bytes(&tree.join(folder));
                say("mkdir", &[folder.strip_suffix(b"/").unwrap_or(&folder)]);
            }
            for path in &visit.files {
                let path = bytes(&tree.join(path));
                say("put", &[&path, &path]);
            }
        }
        Task::GoOnDown => say("reget", &[b"big.bin"]),
        Task::GoOnUp => {
            say(&format!("restart {}", visit.part), &[]);
            say("put", &[b"big.bin"]);
        }
        Task::Rename => say("rename", &[OLD.as_bytes(), NEW.as_bytes()]),
        Task::Delete => say("delete", &[UNWANTED.as_bytes()]),
        Task::MakeFolder => say("mkdir", &[FOLDER.as_bytes()]),
        Task::RemoveFolder => say("rmdir", &[FOLDER.as_bytes()]),
    }
    say("quit", &[]);
    let mut tnftp = tool("tnftp");
    tnftp.current_dir(&visit.here).env("HOME", &visit.here);
    // -A is active; -g keeps it from taking brackets and stars for patterns.
    tnftp.args(["-n", "-i", "-g", "-V"]);
    tnftp.arg(if visit.way.active { "-A" } else { "-p" });
    converse(&mut tnftp, &lines)
}

/// Each file is named, for it does not believe every name in a list.
pub(super) fn wget(visit: &Visit) -> Output {
    let mut wget = tool("wget");
    wget.current_dir(&visit.here).env("HOME", &visit.here);
    wget.args([
        "--no-config",
        "-nv",
        "--tries=1",
        "--no-glob",
        "--input-file=-",
    ]);
    wget.args([
        "--force-directories",
        "--no-host-directories",
        "--cut-dirs=1",
    ]);
    wget.args(["--restrict-file-names=nocontrol", "--no-iri"]);
    wget.arg(format!("--ca-certificate={}", visit.trust.display()));
    if visit.way.active {
        wget.arg("--no-passive-ftp");
    }
    if visit.way.tls == Tls::Implicit {
        wget.arg("--ftps-implicit");
    }
    let paths = match visit.task {
        Task::Down => visit
            .files
            .iter()
            .map(|path| Path::new("tree").join(path))
            .collect(),
        _ => {
            wget.arg("--continue");
            vec!["big.bin".into()]
        }
    };
    let mut urls = Vec::new();
    for path in &paths {
        // What begins with ftp: is never TLS for it.
        let url = visit.url(path).replace("ftps:", "ftp:");
        let scheme = if visit.way.tls == Tls::Never {
            "ftp"
        } else {
            "ftps"
        };
        writeln!(urls, "{}", url.replacen("ftp", scheme, 1)).unwrap();
    }
    converse(&mut wget, &urls)
}

pub(super) fn ftplib(visit: &Visit) -> Output {
    output(script("python3", "ftplib_client.py").arg(visit.wish().to_string()))
}

/// As its users have it where sessions must be resumed.
pub(super) fn ftplib_resuming(visit: &Visit) -> Output {
    let mut wish = visit.wish();
    wish["resume"] = json!(true);
    output(script("python3", "ftplib_client.py").arg(wish.to_string()))
}

pub(super) fn basic_ftp(visit: &Visit) -> Output {
    let mut wish = visit.wish();
    wish["tools"] = json!(tools());
    output(script("node", "basic_ftp.mjs").arg(wish.to_string()))
}

/// In double quotes, as lftp reads them.
fn quoted(text: &str) -> String {
    let mut bytes = b"\"".to_vec();
    escape(&mut bytes, text.as_bytes(), b"\\\"");
    bytes.push(b'"');
    String::from_utf8(bytes).unwrap()
}

/// With a backslash before each of the special ones.
fn escape(to: &mut Vec<u8>, text: &[u8], special: &[u8]) {
    for byte in text {
        if special.contains(byte) {
            to.push(b'\\');
        }
        to.push(*byte);
    }
}
