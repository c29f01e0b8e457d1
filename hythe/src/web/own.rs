//! What the pages under `/.hythe/` have in common.

use askama::Template;

use super::Setting;
use super::frame::{Crumb, Top};
use super::text;
use crate::share::Modified;

/// The way to a page of ours: from the files.
pub(super) fn way(setting: &Setting) -> [Crumb; 1] {
    [Crumb {
        name: setting.lang.say("Files").to_owned(),
        href: format!("{}/", setting.mount),
    }]
}

/// The frame of a page that is called `here`.
pub(super) fn top<'a>(setting: &'a Setting, here: &'a str, above: &'a [Crumb]) -> Top<'a> {
    Top {
        setting,
        title: here,
        above,
        here,
        next: "",
    }
}

/// A page as text.
pub(super) fn rendered(page: &impl Template) -> String {
    // A template fails only where its values or what it writes to do; numbers,
    // text and a `String` never do.
    page.render().unwrap_or_default()
}

/// A time in seconds since 1970, for people; empty for those that no calendar
/// has. Templates pass everything by reference.
pub(super) fn moment(secs: &i64) -> String {
    text::timestamp(Modified {
        secs: *secs,
        nanos: 0,
    })
    .map(|time| time.strftime("%Y-%m-%d %H:%M UTC").to_string())
    .unwrap_or_default()
}
