//! What goes on for as long as somebody listens: WebSocket (RFC 6455) and
//! server-sent events, tried by programs of others; and the examples.

#[path = "../common/mod.rs"]
mod common;

mod events;
mod examples;
mod line;
mod server;
mod websocket;

use std::path::{Path, PathBuf};
use std::process::Command;

use common::{run, tool};
use serde_json::json;

fn tools() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("../tools")
}

/// A file beside this one.
fn beside(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/live")
        .join(name)
}

/// The Python that has the clients from PyPI.
fn python() -> Command {
    let python = tools().join("python/bin/python");
    assert!(
        python.exists(),
        "run scripts/test, which installs the clients"
    );
    Command::new(python)
}

/// Plays a script in Chromium, on what is served at `url`.
fn play(script: &str, url: &str) {
    let tools = tools();
    let installed = tools.join("node/node_modules/playwright-core").is_dir();
    assert!(installed, "run scripts/test, which installs the clients");
    tool("chromium");
    let stage = json!({ "hythe": env!("CARGO_BIN_EXE_hythe"), "tools": tools, "url": url,
        // Where pictures go, for those who want to look at them.
        "shots": std::env::var("HYTHE_SHOTS").ok() });
    run(tool("node").arg(beside(script)).arg(stage.to_string()));
}
