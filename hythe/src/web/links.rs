//! Share links: the list of one's own, a new one, and what strangers see who
//! follow one.

use crate::quantity;
use askama::Template;

use super::frame::{Bottom, Top};
use super::own::{moment, rendered, top, way};
use super::{Setting, text};

/// A link, as its maker sees it. Times are in seconds since 1970.
#[derive(Clone, Debug)]
pub struct LinkShown<'a> {
    /// Its number.
    pub id: i64,
    /// What it gives.
    pub path: &'a str,
    /// Who made it, where that is another.
    pub maker: Option<&'a str>,
    /// When it ends.
    pub expires: Option<i64>,
    /// How many downloads it was for, and how many are left.
    pub downloads: Option<(u64, u64)>,
    /// Whether it has a password.
    pub password: bool,
}

impl LinkShown<'_> {
    fn left(&self, setting: &Setting) -> Option<String> {
        let (all, left) = self.downloads?;
        Some(
            setting
                .lang
                .say("Downloads left: {left} of {all}")
                .replace("{left}", &left.to_string())
                .replace("{all}", &all.to_string()),
        )
    }
}

/// What the form for a new link already says.
#[derive(Clone, Copy, Debug, Default)]
pub struct LinkForm<'a> {
    /// What is to be shared.
    pub path: &'a str,
    /// The address of the link that was just made: this is the only time it is
    /// known.
    pub made: Option<&'a str>,
    /// Good news, in the visitor's language.
    pub told: Option<&'a str>,
    /// What was wrong, in the visitor's language.
    pub wrong: Option<&'a str>,
}

/// The choices of how long a link lasts, in seconds.
const LASTING: [(&str, u64); 5] = [
    ("An hour", 3600),
    ("A day", 86_400),
    ("A week", 604_800),
    ("A month", 2_592_000),
    ("For ever", 0),
];

/// The one that is offered first.
const USUAL: u64 = 604_800;

/// The page of one's links.
pub fn links_page(setting: &Setting, links: &[LinkShown<'_>], form: LinkForm<'_>) -> String {
    let way = way(setting);
    let page = Links {
        top: top(setting, setting.lang.say("Share links"), &way),
        setting,
        links,
        form,
    };
    rendered(&page)
}

/// The page that asks for the password of a link. `action` is where the link
/// leads, `wrong` what is wrong with what was sent.
pub fn link_password_page(setting: &Setting, action: &str, wrong: Option<&str>) -> String {
    let page = LinkPassword {
        top: top(setting, setting.lang.say("This link has a password"), &[]),
        setting,
        action,
        wrong,
    };
    rendered(&page)
}

/// The page of a link to one file: programs that look at links ahead of people
/// must not use up its downloads.
pub fn link_file_page(
    setting: &Setting,
    name: &[u8],
    size: u64,
    href: &str,
    left: Option<u64>,
) -> String {
    let name = text::shown(name);
    let page = LinkFile {
        top: top(setting, &name, &[]),
        setting,
        size: quantity::size(size),
        href,
        left,
    };
    rendered(&page)
}

#[derive(Template)]
#[template(
    ext = "html",
    source = r#"{{ top|safe }}
<main class="own">
{%- if let Some(told) = form.told %}
<p class="told" role="status">{{ told }}</p>
{%- endif %}
{%- if let Some(made) = form.made %}
<section class="told" role="status">
<p><label for="made">{{ setting.lang.say("The new link. Copy it now: it is not shown again.") }}</label>
<input id="made" value="{{ made }}" readonly autofocus></p>
<p><a href="{{ made }}">{{ setting.lang.say("Open it") }}</a></p>
</section>
{%- endif %}
{%- if links.is_empty() %}
<p>{{ setting.lang.say("There are no links yet.") }}</p>
{%- else %}
<ul class="cards">
{%- for link in links %}
<li>
<h2><bdi>{{ link.path }}</bdi></h2>
<p class="facts">
{%- if let Some(maker) = link.maker %}<bdi>{{ maker }}</bdi> · {% endif -%}
{%- match link.expires -%}
{%- when Some(expires) %}{{ setting.lang.say("until") }} {{ self::moment(expires) }}
{%- when None %}{{ setting.lang.say("for ever") }}
{%- endmatch -%}
{%- if link.password %} · {{ setting.lang.say("with a password") }}{% endif -%}
{%- if let Some(left) = link.left(setting) %} · {{ left }}{% endif %}</p>
<form method="post" action="{{ setting.mount }}/.hythe/links"><input type="hidden" name="action" value="remove"><input type="hidden" name="id" value="{{ link.id }}"><button class="danger">{{ setting.lang.say("Remove") }}<span class="unseen"> {{ link.path }}</span></button></form>
</li>
{%- endfor %}
</ul>
{%- endif %}
<section aria-labelledby="new">
<h2 id="new">{{ setting.lang.say("A new link") }}</h2>
{%- if let Some(wrong) = form.wrong %}
<p class="wrong" id="wrong" role="alert">{{ wrong }}</p>
{%- endif %}
<form method="post" action="{{ setting.mount }}/.hythe/links">
<p><label for="path">{{ setting.lang.say("File or folder") }}</label>
<input id="path" name="path" value="{{ form.path }}" autocomplete="off" autocapitalize="none" spellcheck="false" required
{%- if form.wrong.is_some() %} aria-invalid="true" aria-describedby="wrong"{% endif %}></p>
<p><label for="expires">{{ setting.lang.say("It lasts") }}</label>
<select id="expires" name="expires">
{%- for (label, seconds) in LASTING %}
<option value="{{ seconds }}"{% if seconds == USUAL %} selected{% endif %}>{{ setting.lang.say(label) }}</option>
{%- endfor %}
</select></p>
<p><label for="password">{{ setting.lang.say("Password; empty for none") }}</label>
<input id="password" name="password" type="password" autocomplete="new-password"></p>
<p><label for="downloads">{{ setting.lang.say("Downloads; empty for any number") }}</label>
<input id="downloads" name="downloads" inputmode="numeric" pattern="[0-9]*" autocomplete="off"></p>
<p><button class="main">{{ setting.lang.say("Make the link") }}</button></p>
</form>
<p class="hint">{{ setting.lang.say("Whoever has the link can look at this and download it, without an account.") }}</p>
</section>
</main>
{{ Bottom|safe }}"#
)]
struct Links<'a> {
    top: Top<'a>,
    setting: &'a Setting,
    links: &'a [LinkShown<'a>],
    form: LinkForm<'a>,
}

#[derive(Template)]
#[template(
    ext = "html",
    source = r#"{{ top|safe }}
<main class="own narrow">
{%- if let Some(wrong) = wrong %}
<p class="wrong" id="wrong" role="alert">{{ wrong }}</p>
{%- endif %}
<form method="post" action="{{ action }}">
<p><label for="password">{{ setting.lang.say("Password") }}</label>
<input id="password" name="password" type="password" autocomplete="off" required autofocus
{%- if wrong.is_some() %} aria-invalid="true" aria-describedby="wrong"{% endif %}></p>
<p><button class="main">{{ setting.lang.say("Open") }}</button></p>
</form>
</main>
{{ Bottom|safe }}"#
)]
struct LinkPassword<'a> {
    top: Top<'a>,
    setting: &'a Setting,
    action: &'a str,
    wrong: Option<&'a str>,
}

#[derive(Template)]
#[template(
    ext = "html",
    source = r#"{{ top|safe }}
<main class="own narrow">
<p class="facts">{{ size }}
{%- if let Some(left) = left %} · {{ setting.lang.say("Downloads left: {left}").replace("{left}", left.to_string().as_str()) }}{% endif %}</p>
<p class="row"><a class="button main" href="{{ href }}?download">{{ setting.lang.say("Download") }}</a> <a class="button" href="{{ href }}">{{ setting.lang.say("Open") }}</a></p>
</main>
{{ Bottom|safe }}"#
)]
struct LinkFile<'a> {
    top: Top<'a>,
    setting: &'a Setting,
    size: String,
    href: &'a str,
    left: Option<u64>,
}
