//! What a browser sees: the page of a folder, the same as JSON, and error pages.
//!
//! A folder's page is streamed ([`Pieces`](crate::share::Pieces)): its head is
//! sent before the folder has been read, its rows as they come. Everything on it
//! works without a script: browsing, downloading, searching, uploading, signing
//! in. [`SCRIPT`] adds what needs one. There is nothing else to fetch, so that
//! [`content_security_policy`] can forbid everything else.
//!
//! Each template stands beside the values that go into it, so that one glance
//! shows what can be on the page; askama escapes them all. Nothing here knows
//! HTTP beyond a query string and a status code.

mod account;
mod error;
mod frame;
mod json;
mod lang;
mod links;
mod own;
mod page;
mod query;
mod setting;
mod sign;
mod stream;
mod text;
mod users;

use std::fmt::Write as _;
use std::sync::LazyLock;

use base64ct::{Base64, Encoding as _};
use sha2::{Digest as _, Sha256};

pub use account::{AccountShown, account_page};
pub use error::error_page;
pub use json::{FolderJson, SearchJson};
pub use lang::Lang;
pub use links::{LinkForm, LinkShown, link_file_page, link_password_page, links_page};
pub use page::{FolderPage, SearchPage};
pub use query::{FolderQuery, Format};
pub use setting::{Setting, nonce};
pub use sign::{SignForm, sign_in_page, sign_up_page};
pub use users::{remove_page, users_page};

use frame::{Bottom, Crumb, Top};

/// The script of the folder page, to be served at [`script_address`]: its parts
/// in one function, so that none of their names is anyone else's. The style of
/// what only a script makes is in it too, lest every page carry it.
pub const SCRIPT: &str = concat!(
    "(() => {\n\"use strict\";\n",
    include_str!("script/words.js"),
    include_str!("script/base.js"),
    include_str!("script/list.js"),
    include_str!("script/upload.js"),
    include_str!("script/preview.js"),
    "const STYLE = String.raw`",
    include_str!("script/style.css"),
    "`;\n",
    include_str!("script/start.js"),
    "})();\n",
);

/// The style of every page, byte for byte what its hash in
/// [`content_security_policy`] is of.
const STYLE: &str = include_str!("style.css");

/// What tells this [`SCRIPT`] from those of other versions of the program: a part
/// of its hash, in hexadecimal digits. Under an address that has it in it, the
/// script may be kept for ever.
pub fn script_version() -> &'static str {
    static VERSION: LazyLock<String> = LazyLock::new(|| {
        let hash = Sha256::digest(SCRIPT);
        hash.iter().take(8).fold(String::new(), |mut text, byte| {
            // Writing to a `String` never fails.
            let _ = write!(text, "{byte:02x}");
            text
        })
    });
    &VERSION
}

/// From where pages fetch [`SCRIPT`], below where the site is mounted.
pub fn script_address() -> String {
    format!("/.hythe/page.js?v={}", script_version())
}

/// The `Content-Security-Policy` of a page made here: one style sheet, known by
/// its hash; the script that has this nonce, none if it is empty; previews of the
/// share's own files; forms and requests to ourselves, and nothing else; in
/// nobody's frame.
pub fn content_security_policy(nonce: &str) -> String {
    static STYLE_HASH: LazyLock<String> =
        LazyLock::new(|| Base64::encode_string(&Sha256::digest(STYLE)));
    let mut policy = format!(
        "default-src 'none'; style-src 'sha256-{}'; ",
        STYLE_HASH.as_str()
    );
    if !nonce.is_empty() {
        // Writing to a `String` never fails.
        let _ = write!(
            policy,
            "script-src 'nonce-{nonce}'; connect-src 'self'; media-src 'self' blob:; \
             frame-src 'self'; "
        );
    }
    policy.push_str(
        "img-src 'self' data: blob:; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    );
    policy
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_policy_names_the_nonce_and_the_styles_hash() {
        let policy = content_security_policy("abc");
        assert!(policy.contains("script-src 'nonce-abc';"), "{policy}");
        assert!(policy.contains("style-src 'sha256-"), "{policy}");
        assert!(!policy.contains("unsafe"), "{policy}");
        assert!(!content_security_policy("").contains("script-src"));
    }

    #[test]
    fn the_scripts_version_is_short_and_plain() {
        assert_eq!(script_version().len(), 16);
        assert!(
            script_version()
                .bytes()
                .all(|byte| byte.is_ascii_hexdigit())
        );
    }

    #[test]
    fn a_style_within_the_script_stays_within_its_quotes() {
        let style = include_str!("script/style.css");
        assert!(!style.contains('`') && !style.contains("${"));
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
