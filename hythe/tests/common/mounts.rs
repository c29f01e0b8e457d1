//! Tests that mount: each in a mount namespace of its own.
#![allow(unreachable_pub, reason = "it is a module of several tests")]

use std::path::Path;
use std::process::Command;

/// Runs one of the tests marked as ignored again, as root of a mount namespace
/// of its own, where it may mount what it needs and leaves no trace.
pub fn with_mounts(test: &str) {
    let program = std::env::current_exe().unwrap();
    let root = rustix::process::geteuid().is_root();
    let output = Command::new("unshare")
        .arg(if root { "-m" } else { "-rm" })
        .arg(&program)
        .args([
            "--exact",
            test,
            "--ignored",
            "--nocapture",
            "--test-threads=1",
        ])
        .env("TMPDIR", std::env::temp_dir())
        .output()
        .expect("unshare (Debian: util-linux) runs");
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    assert!(
        output.status.success() && text(&output.stdout).contains("1 passed"),
        "`unshare -m` must be permitted here, as root or with user namespaces \
         (sysctl kernel.unprivileged_userns_clone=1):\n{}\n{}",
        text(&output.stdout),
        text(&output.stderr)
    );
}

/// Mounts something at a folder.
pub fn mount(arguments: &[&str], at: &Path) {
    let output = Command::new("mount")
        .args(arguments)
        .arg(at)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "mount {arguments:?} must be permitted: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}
