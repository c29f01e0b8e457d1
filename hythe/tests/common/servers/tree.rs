//! The folder that servers are tried with: files with difficult names.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::super::content;

/// Paths, and how long the files are.
pub const FILES: &[(&str, usize)] = &[
    (BIG, 3_000_000),
    ("empty.txt", 0),
    ("中文 文件.txt", 100),
    ("a b", 105),
    ("100%", 110),
    ("-dash", 115),
    ("q?x#y", 120),
    ("quote'\"", 125),
    ("deep/资 料/a b/100%/q?x#y/file.bin", 130),
];

/// The largest of them.
pub const BIG: &str = "big 大.bin";

/// A folder with all of them.
pub fn tree() -> TempDir {
    let root = tempfile::tempdir().unwrap();
    for &(path, length) in FILES {
        let path = root.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, written(&path, length)).unwrap();
    }
    root
}

/// Bytes, or text if the name doesn't say that it is not: Gopher servers take
/// it for text then.
pub fn written(path: &Path, length: usize) -> Vec<u8> {
    if path.extension().is_some_and(|end| end == "bin") {
        content(length)
    } else {
        b"text\n".repeat(length / 5)
    }
}

/// All files below a folder, sorted.
pub fn paths(root: &Path) -> Vec<PathBuf> {
    let mut folders = vec![root.to_owned()];
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.push(path.strip_prefix(root).unwrap().to_owned());
            }
        }
    }
    sorted(found)
}

/// In the order of [`paths`].
pub fn sorted(paths: impl IntoIterator<Item = PathBuf>) -> Vec<PathBuf> {
    let mut paths: Vec<_> = paths.into_iter().collect();
    paths.sort();
    paths
}
