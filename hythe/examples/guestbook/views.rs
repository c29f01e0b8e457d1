//! The views: what each page needs to know, and the template that shows it.
//!
//! Templates escape whatever they are given, so that no text of a visitor can
//! be anything but text.

use askama::Template;
use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::models::{Draft, Entry, Page, Unfit};

/// How all pages look.
pub(crate) const STYLE: &str = include_str!("templates/style.css");

/// What the frame around every page needs.
#[derive(Debug, Default)]
pub(crate) struct Frame {
    /// Who is signed in.
    pub(crate) account: Option<String>,
    /// Whether that is an admin.
    pub(crate) admin: bool,
    /// What every form must bring back.
    pub(crate) token: String,
}

/// What is in the form as it is shown.
#[derive(Debug, Default)]
pub(crate) struct Form {
    pub(crate) name: String,
    pub(crate) text: String,
    /// What was wrong with it.
    pub(crate) unfit: Unfit,
}

impl Form {
    /// The draft in it, or the form to show once more.
    pub(crate) fn draft(name: String, text: String) -> Result<Draft, Self> {
        Draft::new(&name, &text).map_err(|unfit| Self { name, text, unfit })
    }
}

/// The guestbook, with the form to write in it.
#[derive(Template)]
#[template(path = "book.html")]
pub(crate) struct BookPage {
    pub(crate) frame: Frame,
    pub(crate) page: Page,
    pub(crate) form: Form,
}

/// The same for those who put it in order.
#[derive(Template)]
#[template(path = "admin.html")]
pub(crate) struct AdminPage {
    pub(crate) frame: Frame,
    pub(crate) page: Page,
}

/// The question whether an entry may go for good.
#[derive(Template)]
#[template(path = "delete.html")]
pub(crate) struct DeletePage {
    pub(crate) frame: Frame,
    pub(crate) entry: Entry,
}

/// The form to sign in.
#[derive(Template)]
#[template(path = "sign_in.html")]
pub(crate) struct SignInPage {
    pub(crate) frame: Frame,
    pub(crate) name: String,
    pub(crate) wrong: Option<String>,
}

/// Something went wrong.
#[derive(Template)]
#[template(path = "error.html")]
pub(crate) struct ErrorPage {
    /// Such as `Not Found`.
    pub(crate) title: &'static str,
    /// Why, and what to do, in a sentence.
    pub(crate) text: String,
}

/// For machines.
fn machine(time: &Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// For people, wherever they are: without script, a server can't know what time
/// it is where they are.
fn people(time: &Timestamp) -> String {
    let time = time.to_zoned(TimeZone::UTC);
    time.strftime("%-d %B %Y, %H:%M UTC").to_string()
}

/// A name's first letter, which stands beside it in a circle.
fn initial(name: &str) -> String {
    let first = name.chars().next();
    first.map_or_else(String::new, |c| c.to_uppercase().collect())
}

/// Which of the eight colours of the style a name has: always the same.
fn hue(name: &str) -> usize {
    let sum = name.bytes().fold(0usize, |sum, byte| {
        sum.wrapping_mul(31).wrapping_add(byte.into())
    });
    sum % 8
}
