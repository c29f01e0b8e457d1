//! The pages in Chromium; the script is beside those of the server's own page.

use super::*;
use serde_json::json;

#[test]
fn visitors_and_the_admin_use_it_in_a_browser() {
    let book = Guestbook::new();
    let tools = Path::new(env!("CARGO_TARGET_TMPDIR")).join("../tools");
    let installed = tools.join("node/node_modules/playwright-core").is_dir();
    assert!(installed, "run scripts/test, which installs the clients");
    tool("chromium");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/browser/guestbook.mjs");
    let stage = json!({ "tools": tools, "url": book.url("/") });
    run(tool("node").arg(script).arg(stage.to_string()));
}
