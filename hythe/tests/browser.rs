//! The page in Chromium, as people use it: each test is a script in
//! `tests/browser`, which starts the server and the browser itself.

mod common;

use std::path::Path;
use std::process::Stdio;

use common::{shown, tool};
use serde_json::json;

fn play(script: &str) {
    let tools = Path::new(env!("CARGO_TARGET_TMPDIR")).join("../tools");
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/browser");
    let installed = tools.join("node/node_modules/playwright-core").is_dir();
    assert!(installed, "run scripts/test, which installs the clients");
    tool("chromium");
    let stage = json!({ "hythe": env!("CARGO_BIN_EXE_hythe"), "tools": tools });
    let mut node = tool("node");
    node.arg(scripts.join(script)).arg(stage.to_string());
    let output = node.stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{script}: {}", shown(&output));
}

#[test]
fn uploads_are_queued_paused_refused_and_asked_about() {
    play("queue.mjs");
}

#[test]
fn a_folder_is_put_in_order_searched_and_looked_at() {
    play("folder.mjs");
}

#[test]
fn people_have_accounts_homes_quotas_links_and_their_language() {
    play("people.mjs");
}

#[test]
fn uploads_go_on_after_the_server_was_killed_and_after_a_reload() {
    play("resume.mjs");
}

#[test]
fn all_that_matters_works_without_script() {
    play("plain.mjs");
}
