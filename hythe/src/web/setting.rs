//! Who looks at a page, in which language, and what they may do there.

use base64ct::{Base64, Encoding as _};

use super::Lang;
use crate::share::Access;

/// All that a page depends on besides its content.
///
/// ```
/// use hythe::web::{Lang, Setting};
///
/// let setting = Setting {
///     lang: Lang::Zh,
///     account: Some("ada".to_owned()),
///     ..Setting::default()
/// };
/// assert!(!setting.register);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// The language of its texts.
    pub lang: Lang,
    /// What lets its script run, fresh for each reply ([`nonce`]); if empty, there
    /// is no script.
    pub nonce: String,
    /// What stands before the path of every page of ours: nothing, or the path that
    /// the site is mounted on.
    pub mount: String,
    /// What stands before the path of every link into the share: the same, and
    /// `/.hythe/l/TOKEN` behind it on the pages of a share link.
    pub base: String,
    /// The name of the account that is signed in.
    pub account: Option<String>,
    /// What the visitor may do with the share.
    pub access: Access,
    /// Whether there are accounts, and signing in is offered.
    pub accounts: bool,
    /// Whether visitors may make an account for themselves.
    pub register: bool,
    /// Whether the visitor may manage accounts.
    pub admin: bool,
}

impl Default for Setting {
    /// A page in English for a stranger who may read, without a script.
    fn default() -> Self {
        Self {
            lang: Lang::En,
            nonce: String::new(),
            mount: String::new(),
            base: String::new(),
            account: None,
            access: Access::Read,
            accounts: false,
            register: false,
            admin: false,
        }
    }
}

impl Setting {
    /// Whether the visitor may add files and folders.
    pub(super) fn may_upload(&self) -> bool {
        self.access >= Access::Upload
    }

    /// Whether the visitor may replace files.
    pub(super) fn may_overwrite(&self) -> bool {
        self.access >= Access::Write
    }

    /// Whether the page is that of a share link, which has no account of its own.
    pub(super) fn is_link(&self) -> bool {
        self.base != self.mount
    }
}

/// 128 random bits that nobody can foresee, as text for [`Setting::nonce`].
/// Empty, so that no script runs, if the system has none to give.
pub fn nonce() -> String {
    let mut bytes = [0; 16];
    match getrandom::fill(&mut bytes) {
        Ok(()) => Base64::encode_string(&bytes),
        Err(_) => String::new(),
    }
}
