//! The HTTP server, seen from outside: raw requests against the program, and
//! what comes back (RFC 9110, RFC 9112).

#[path = "../common/mod.rs"]
mod common;

mod conditions;
mod connection;
mod content;
mod framing;
mod methods;
mod paths;
mod ranges;
mod ready;

use std::fs::{self, File};
use std::path::Path;
use std::time::{Duration, SystemTime};

use common::Served;
use tempfile::TempDir;

/// A folder with these files, served over HTTP.
fn serve(files: &[(&str, &[u8])], arguments: &[&str]) -> (TempDir, Served) {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        write(&folder.path().join(name), bytes);
    }
    let served = Served::http(folder.path(), arguments);
    (folder, served)
}

/// Writes a file, and the folders it is in.
fn write(path: &Path, bytes: &[u8]) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

/// Makes a file as old as that many seconds since 1970.
fn date(path: &Path, seconds: u64) {
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
    File::options()
        .write(true)
        .open(path)
        .unwrap()
        .set_modified(time)
        .unwrap();
}
