//! php-fpm, which runs what others serve.

use std::fs::{self, File};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::{end, free_port, program, unpacked};
use crate::common::PATIENCE;

/// A running php-fpm with two workers, stopped when dropped.
pub struct Php {
    child: Child,
    folder: TempDir,
    /// Where it listens, as `--fastcgi` has it.
    pub address: String,
}

impl Php {
    /// At a Unix socket.
    pub fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("php.sock");
        let socket = socket.to_str().unwrap().to_owned();
        Self::listening(folder, &socket, format!("unix:{socket}"))
    }

    /// At a port of 127.0.0.1.
    pub fn start_at_port() -> Self {
        let address = format!("127.0.0.1:{}", free_port());
        Self::listening(tempfile::tempdir().unwrap(), &address, address.clone())
    }

    fn listening(folder: TempDir, listen: &str, address: String) -> Self {
        let own = folder.path().display();
        let config = format!(
            "[global]\nerror_log = {own}/error.log\ndaemonize = no\n\
             [www]\nlisten = {listen}\npm = static\npm.max_children = 2\n\
             php_admin_flag[log_errors] = on\nphp_admin_flag[display_errors] = off\n\
             php_admin_value[upload_tmp_dir] = {own}\n"
        );
        let file = folder.path().join("fpm.conf");
        fs::write(&file, config).unwrap();
        // No settings but these, and root's workers are root's.
        let mut command = program("php-fpm", &binary());
        command.args(["-n", "-R", "-y"]).arg(file);
        let log = File::create(folder.path().join("output.log")).unwrap();
        let child = command
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .process_group(0)
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let mut php = Self {
            child,
            folder,
            address,
        };
        let until = Instant::now() + PATIENCE;
        while !php.greets() {
            let ended = php.child.try_wait().unwrap();
            let waits = ended.is_none() && Instant::now() < until;
            assert!(waits, "php-fpm did not start: {}", php.log());
            thread::sleep(Duration::from_millis(5));
        }
        php
    }

    fn greets(&self) -> bool {
        match self.address.strip_prefix("unix:") {
            Some(path) => UnixStream::connect(path).is_ok(),
            None => TcpStream::connect(&self.address).is_ok(),
        }
    }

    /// What it has written itself.
    pub fn log(&self) -> String {
        let read = |name| fs::read_to_string(self.folder.path().join(name)).unwrap_or_default();
        read("error.log") + &read("output.log")
    }
}

impl Drop for Php {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

/// What it is called: Debian has the version in its name.
fn binary() -> String {
    let folders = [
        unpacked("php-fpm").join("usr/sbin"),
        PathBuf::from("/usr/sbin"),
    ];
    let names = folders
        .iter()
        .filter_map(|folder| fs::read_dir(folder).ok());
    let names = names.flatten().flatten().map(|entry| entry.file_name());
    let names = names.filter_map(|name| name.into_string().ok());
    let mut names = names.filter(|name| name.starts_with("php-fpm"));
    names.next().unwrap_or_else(|| "php-fpm".into())
}
