//! The functional tests of pyftpdlib, an FTP server that others wrote, from its
//! source distribution: all that are not about its own code, with a plugin for
//! pytest that puts our server in the place of theirs. See `pyftpdlib/adapter.py`.

mod common;

use std::env;
use std::path::Path;
use std::process::{Command, Stdio};

use common::shown;

/// How many tests there are to pass at least, so that none can get lost; those
/// that need IPv6 are more.
const TESTS: usize = 125;

#[test]
fn pyftpdlibs_tests_pass() {
    let tools = Path::new(env!("CARGO_TARGET_TMPDIR")).join("../tools");
    let suite = tools.join("pyftpdlib");
    let plugin = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/pyftpdlib");
    let share = tempfile::tempdir().unwrap();
    let mut pytest = Command::new(tools.join("python/bin/python"));
    pytest
        // The tests take the folder they are started in for the server's.
        .current_dir(share.path())
        .env("HYTHE_BIN", env!("CARGO_BIN_EXE_hythe"))
        .env("PYTHONPATH", env::join_paths([&plugin, &suite]).unwrap())
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env_remove("PYTEST_ADDOPTS")
        .args(["-m", "pytest", "--quiet", "--tb=short", "-p", "adapter"])
        // Theirs name further plugins.
        .args(["-o", "addopts=", "-p", "no:cacheprovider"])
        .arg(suite.join("tests/test_functional.py"))
        .arg(suite.join("tests/test_functional_ssl.py"));
    let output = pytest
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| {
            panic!("{pytest:?}: {error}; scripts/test installs pytest and the tests")
        });
    assert!(output.status.success(), "{}", shown(&output));
    let passed = passed(&String::from_utf8_lossy(&output.stdout));
    assert!(passed >= TESTS, "{passed} tests: {}", shown(&output));
}

/// From the last line, such as `47 passed, 230 deselected in 5.11s`.
fn passed(summary: &str) -> usize {
    let (before, _) = summary.rsplit_once(" passed").unwrap_or_default();
    let count = before.rsplit(|byte: char| !byte.is_ascii_digit()).next();
    count.and_then(|count| count.parse().ok()).unwrap_or(0)
}
