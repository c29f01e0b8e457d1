//! The script of the pages. Its address changes with it, so that browsers may
//! keep it for ever.

use std::io::Write as _;
use std::sync::LazyLock;

use flate2::Compression;
use flate2::write::GzEncoder;
use hythe_wire::http::Coding;

use super::super::ask::Ask;
use super::super::reply::{Body, Reply};
use crate::web;

/// Compressed once, as well as it can be: it is sent more often than made.
static SMALL: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    // Writing to a `Vec` never fails.
    encoder.write_all(web::SCRIPT.as_bytes()).ok();
    encoder.finish().unwrap_or_default()
});

pub(super) fn reply(ask: &Ask) -> Reply {
    let gzip = ask.codings.accept(Coding::Gzip);
    let suffix = if gzip { "-gzip" } else { "" };
    let etag = format!("\"{}{suffix}\"", web::script_version());
    let known = ask
        .if_none_match
        .as_deref()
        .is_some_and(|known| holds(known, etag.as_bytes()));
    let reply = match (known, gzip) {
        (true, _) => Reply::new(304, Body::Nothing),
        (false, true) => {
            Reply::new(200, Body::Bytes(SMALL.clone())).field("Content-Encoding", "gzip")
        }
        (false, false) => Reply::new(200, Body::Bytes(web::SCRIPT.as_bytes().to_vec())),
    };
    let reply = if known {
        reply
    } else {
        reply
            .field("Content-Type", "text/javascript; charset=utf-8")
            .field("X-Content-Type-Options", "nosniff")
    };
    reply
        .field("ETag", etag)
        .field("Cache-Control", cache_control(ask))
        .field("Vary", "Accept-Encoding")
}

/// Under the address that pages give, it never changes; under another it might.
fn cache_control(ask: &Ask) -> &'static str {
    let wanted = format!("v={}", web::script_version());
    if ask.query.as_deref() == Some(wanted.as_bytes()) {
        "public, max-age=31536000, immutable"
    } else {
        "no-cache"
    }
}

/// Whether a list of tags has this one, or is `*` (RFC 9110 §13.1.2).
fn holds(tags: &[u8], etag: &[u8]) -> bool {
    tags.split(|&byte| byte == b',').any(|tag| {
        let tag = tag.trim_ascii();
        tag == b"*" || tag.strip_prefix(b"W/").unwrap_or(tag) == etag
    })
}
