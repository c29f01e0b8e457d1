//! A share, a folder of programs, and a server that has both.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use std::net::SocketAddr;

use tempfile::TempDir;

use crate::common::Served;
use crate::common::http::{Client, Reply};

/// What tests begin with.
pub(crate) struct Stage {
    pub(crate) share: TempDir,
    pub(crate) scripts: TempDir,
}

impl Stage {
    pub(crate) fn new() -> Self {
        let stage = Self {
            share: tempfile::tempdir().unwrap(),
            scripts: tempfile::tempdir().unwrap(),
        };
        fs::write(stage.share.path().join("plain.txt"), "plain\n").unwrap();
        stage
    }

    /// Adds a shell script.
    pub(crate) fn shell(self, name: &str, text: &str) -> Self {
        self.program(name, &format!("#!/bin/sh\n{text}\n"))
    }

    /// Adds a program.
    pub(crate) fn program(self, name: impl AsRef<Path>, text: &str) -> Self {
        let path = self.scripts.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
        self
    }

    /// The flag for the programs.
    pub(crate) fn flag(&self) -> String {
        format!("/cgi={}", self.scripts.path().display())
    }

    /// A server over HTTP.
    pub(crate) fn serve(&self, arguments: &[&str]) -> Served {
        let flag = self.flag();
        Served::http(self.share.path(), &[&["--cgi", &flag], arguments].concat())
    }
}

/// The processes whose command lines contain this.
pub(crate) fn processes(marker: &str) -> usize {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let lines = entries.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
    lines
        .filter(|line| {
            let mut words = line.split(|&byte| byte == 0);
            words.any(|word| word == marker.as_bytes())
        })
        .count()
}

/// The processes that a server has started and that were not waited for.
pub(crate) fn children(served: &Served) -> usize {
    let tasks = fs::read_dir(format!("/proc/{}/task", served.child.id())).unwrap();
    let lists =
        tasks.filter_map(|task| fs::read_to_string(task.ok()?.path().join("children")).ok());
    lists.map(|list| list.split_whitespace().count()).sum()
}

/// How many files a folder has.
pub(crate) fn count(folder: &Path) -> usize {
    fs::read_dir(folder).unwrap().count()
}

/// One GET on a connection of its own.
pub(crate) fn get(address: SocketAddr, target: &str, fields: &[&str]) -> Reply {
    Client::of_program(address).ask("GET", target, fields)
}
