//! What every page has around its content.

use askama::Template;

use percent_encoding::{NON_ALPHANUMERIC, PercentEncode, utf8_percent_encode};

use super::{STYLE, Setting};

/// A part of the way to where the visitor is: a folder, or another page.
pub(super) struct Crumb {
    pub(super) name: String,
    pub(super) href: String,
}

/// Everything before a page's content: the head, and the header with the way here
/// and the account. The empty icon keeps browsers from asking for `/favicon.ico`,
/// which is no file of the share.
#[derive(Template)]
#[template(
    ext = "html",
    source = r#"<!DOCTYPE html>
<html lang="{{ setting.lang.tag() }}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{{ title }}</title>
<link rel="icon" href="data:,">
<style>{{ STYLE|safe }}</style>
{%- if !setting.nonce.is_empty() %}
<script src="{{ setting.mount }}{{ crate::web::script_address() }}" nonce="{{ setting.nonce }}" defer></script>
{%- endif %}
</head>
<body data-access="{{ setting.access.as_str() }}" data-base="{{ setting.base }}" data-mount="{{ setting.mount }}"
{%- if let Some(name) = setting.account %} data-account="{{ name }}"{% endif %}>
<header>
{%- if !here.is_empty() %}
<nav class="way" aria-label="{{ setting.lang.say("Breadcrumbs") }}">
<ol>
{%- for crumb in above %}
<li><a href="{{ crumb.href }}"><bdi>{{ crumb.name }}</bdi></a></li>
{%- endfor %}
<li><h1 aria-current="page"><bdi>{{ here }}</bdi></h1></li>
</ol>
</nav>
{%- endif %}
{%- if (setting.accounts || setting.account.is_some()) && !setting.is_link() %}
<nav class="account" aria-label="{{ setting.lang.say("Account") }}">
<ul>
{%- if let Some(name) = setting.account %}
<li><a href="{{ setting.mount }}/.hythe/account" title="{{ setting.lang.say("Your account") }}"><bdi>{{ name }}</bdi></a></li>
<li><a href="{{ setting.mount }}/.hythe/links">{{ setting.lang.say("Share links") }}</a></li>
{%- if setting.admin %}
<li><a href="{{ setting.mount }}/.hythe/users">{{ setting.lang.say("People") }}</a></li>
{%- endif %}
<li><form method="post" action="{{ setting.mount }}/.hythe/sign-out"><button>{{ setting.lang.say("Sign out") }}</button></form></li>
{%- else %}
<li><a href="{{ setting.mount }}/.hythe/sign-in?next={{ self.back() }}" rel="nofollow">{{ setting.lang.say("Sign in") }}</a></li>
{%- if setting.register %}
<li><a href="{{ setting.mount }}/.hythe/sign-up?next={{ self.back() }}" rel="nofollow">{{ setting.lang.say("Sign up") }}</a></li>
{%- endif %}
{%- endif %}
</ul>
</nav>
{%- endif %}
</header>"#
)]
pub(super) struct Top<'a> {
    pub(super) setting: &'a Setting,
    /// The title of the window.
    pub(super) title: &'a str,
    /// The pages on the way here, from the root of the share down.
    pub(super) above: &'a [Crumb],
    /// What this page is: its heading. Empty for pages that have one of their own.
    pub(super) here: &'a str,
    /// The address to come back to from signing in: its path, percent-encoded; empty
    /// for the root of the share.
    pub(super) next: &'a str,
}

impl Top<'_> {
    /// Where to come back to, as a value in a query.
    fn back(&self) -> String {
        let root = format!("{}/", self.setting.mount);
        let next = if self.next.is_empty() {
            &root
        } else {
            self.next
        };
        query_value(next).to_string()
    }
}

/// Everything after a page's content.
#[derive(Template)]
#[template(ext = "html", source = "</body>\n</html>\n")]
pub(super) struct Bottom;

/// A text as a value in a query.
pub(super) fn query_value(text: &str) -> PercentEncode<'_> {
    utf8_percent_encode(text, NON_ALPHANUMERIC)
}
