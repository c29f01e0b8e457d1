//! The clients that people use.

use std::fs;
use std::os::unix::ffi::OsStrExt;

use super::common::{difficult_tree, run, tool, url_path};
use super::{Running, as_sent, decoded, share};

#[test]
fn curl() {
    let root = tempfile::tempdir().unwrap();
    let paths = difficult_tree(root.path());
    fs::write(root.path().join("text"), "one\n.two\n").unwrap();
    let server = Running::start(root.path());
    let curl = |path: &str| {
        run(tool("curl")
            .args(["-sS", "-g"])
            .arg(format!("gopher://{}/{path}", server.address)))
    };
    for path in &paths {
        if !path.as_os_str().as_bytes().contains(&b'\n') {
            let expected = as_sent(&root.path().join(path));
            assert_eq!(
                curl(&format!("9/{}", url_path(path))),
                expected,
                "{}",
                path.display()
            );
        }
    }
    assert_eq!(decoded(&curl("0/text")), b"one\n.two\n");
    assert!(String::from_utf8_lossy(&curl("")).contains("0text\t/text\t127.0.0.1\t"));
    assert!(String::from_utf8_lossy(&curl("7/%09plain")).contains("plain.txt"));
}

#[test]
fn lynx() {
    let root = share();
    let server = Running::start(root.path());
    let lynx = |way: &str, path: &str| {
        let url = format!("gopher://{}/{path}", server.address);
        String::from_utf8_lossy(&run(tool("lynx").args([way, &url]))).into_owned()
    };
    let page = lynx("-dump", "");
    for name in ["folder", "text", "photo.jpg", "Search here and below"] {
        assert!(page.contains(name), "{page}");
    }
    assert!(lynx("-dump", "1/folder").contains("deep Text.md"));
    assert!(lynx("-source", "0/text").contains("..."));
    assert!(lynx("-dump", "7/?deeper").contains("deeper text"));
}
