//! What a browser sees: the page of a folder, the same as JSON, and error pages.
//!
//! A folder's page is streamed ([`Pieces`](crate::share::Pieces)): its head is
//! sent before the folder has been read, its rows as they come. There is no
//! script in it, and nothing that it would have to fetch, so that one reply is
//! all it takes and [`CONTENT_SECURITY_POLICY`] can forbid everything else.
//!
//! Each template stands beside the values that go into it, so that one glance
//! shows what can be on the page; askama escapes them all. Nothing here knows
//! HTTP beyond a query string and a status code.

mod error;
mod json;
mod page;
mod query;
mod stream;
mod text;

pub use error::error_page;
pub use json::FolderJson;
pub use page::FolderPage;
pub use query::{FolderQuery, Format};

use askama::Template;

/// The `Content-Security-Policy` of every page made here: one style sheet, known
/// by its hash, pictures, forms to ourselves, and nothing else; in nobody's
/// frame.
pub const CONTENT_SECURITY_POLICY: &str = concat!(
    "default-src 'none'; ",
    "style-src 'sha256-W353O8bUaxk+6lqnr9YWcbZYTBC/J0Lxps6JS8qYdRk='; ",
    "img-src 'self' data:; ",
    "form-action 'self'; ",
    "frame-ancestors 'none'; ",
    "base-uri 'none'",
);

/// The style of every page, byte for byte what its hash in
/// [`CONTENT_SECURITY_POLICY`] is of.
const STYLE: &str = include_str!("style.css");

/// What every page begins with. The empty icon keeps browsers from asking for
/// `/favicon.ico`, which is no file of the share.
#[derive(Template)]
#[template(
    ext = "html",
    source = r#"<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{{ title }}</title>
<link rel="icon" href="data:,">
<style>{{ STYLE|safe }}</style>
</head>"#
)]
struct Preamble<'a> {
    title: &'a str,
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::process::{Command, Stdio};

    use super::*;

    /// Hashed by programs that everyone has, so that no crate is needed for it.
    #[test]
    fn the_policy_names_the_styles_hash() {
        let mut child = Command::new("sh")
            .args([
                "-c",
                "sha256sum | cut -c 1-64 | tr a-f A-F | basenc --base16 -d | base64",
            ])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(STYLE.as_bytes()).unwrap();
        drop(stdin);
        let output = child.wait_with_output().unwrap().stdout;
        let hash = String::from_utf8(output).unwrap();
        assert!(
            CONTENT_SECURITY_POLICY.contains(&format!("'sha256-{}'", hash.trim())),
            "style.css has changed; its hash is now {hash}"
        );
    }

    #[test]
    fn the_style_needs_nothing_and_ends_nothing() {
        assert!(!STYLE.contains('<'), "could end the style element");
        assert!(!STYLE.contains('\r'), "browsers would hash it otherwise");
        assert!(!STYLE.contains("@import"));
        let mut urls = STYLE.split("url(").skip(1);
        assert!(urls.all(|url| url.starts_with("\"data:")));
    }
}
