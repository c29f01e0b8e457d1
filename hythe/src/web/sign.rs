//! The forms by which people come in: sign in, and sign up.

use askama::Template;

use super::Setting;
use super::frame::{Bottom, Top, query_value};
use super::own::{rendered, top, way};

/// What is already known when a form is shown, again or for the first time.
#[derive(Clone, Copy, Debug, Default)]
pub struct SignForm<'a> {
    /// The name, as it was typed.
    pub name: &'a str,
    /// Where to go afterwards: a path of ours.
    pub next: &'a str,
    /// What was wrong, in a sentence; already in the visitor's language.
    pub wrong: Option<&'a str>,
}

/// The page on which visitors sign in.
pub fn sign_in_page(setting: &Setting, form: SignForm<'_>) -> String {
    let way = way(setting);
    let page = SignIn {
        top: top(setting, setting.lang.say("Sign in"), &way),
        setting,
        form,
    };
    rendered(&page)
}

/// The page on which visitors make their own account.
pub fn sign_up_page(setting: &Setting, form: SignForm<'_>) -> String {
    let way = way(setting);
    let page = SignUp {
        top: top(setting, setting.lang.say("Make an account"), &way),
        setting,
        form,
    };
    rendered(&page)
}

/// The next page's address as part of another address.
fn with_next(path: &str, next: &str) -> String {
    if next.is_empty() {
        return path.to_owned();
    }
    format!("{path}?next={}", query_value(next))
}

#[derive(Template)]
#[template(
    ext = "html",
    source = r#"{{ top|safe }}
<main class="own narrow">
{%- if let Some(wrong) = form.wrong %}
<p class="wrong" id="wrong" role="alert">{{ wrong }}</p>
{%- endif %}
<form method="post" action="{{ setting.mount }}/.hythe/sign-in">
<input type="hidden" name="next" value="{{ form.next }}">
<p><label for="name">{{ setting.lang.say("User name") }}</label>
<input id="name" name="name" value="{{ form.name }}" autocomplete="username" autocapitalize="none" autocorrect="off" spellcheck="false" required
{%- if form.name.is_empty() %} autofocus{% endif %}
{%- if form.wrong.is_some() %} aria-invalid="true" aria-describedby="wrong"{% endif %}></p>
<p><label for="password">{{ setting.lang.say("Password") }}</label>
<input id="password" name="password" type="password" autocomplete="current-password" required
{%- if !form.name.is_empty() %} autofocus{% endif %}
{%- if form.wrong.is_some() %} aria-invalid="true" aria-describedby="wrong"{% endif %}></p>
<p><button class="main">{{ setting.lang.say("Sign in") }}</button></p>
</form>
{%- if setting.register %}
<p class="other">{{ setting.lang.say("New here?") }} <a href="{{ setting.mount }}{{ self::with_next("/.hythe/sign-up", form.next) }}">{{ setting.lang.say("Make an account") }}</a></p>
{%- endif %}
</main>
{{ Bottom|safe }}"#
)]
struct SignIn<'a> {
    top: Top<'a>,
    setting: &'a Setting,
    form: SignForm<'a>,
}

#[derive(Template)]
#[template(
    ext = "html",
    source = r#"{{ top|safe }}
<main class="own narrow">
{%- if let Some(wrong) = form.wrong %}
<p class="wrong" id="wrong" role="alert">{{ wrong }}</p>
{%- endif %}
<form method="post" action="{{ setting.mount }}/.hythe/sign-up">
<input type="hidden" name="next" value="{{ form.next }}">
<p><label for="name">{{ setting.lang.say("User name") }}</label>
<input id="name" name="name" value="{{ form.name }}" autocomplete="username" autocapitalize="none" autocorrect="off" spellcheck="false" required autofocus
{%- if form.wrong.is_some() %} aria-invalid="true" aria-describedby="wrong"{% endif %}></p>
<p><label for="password">{{ setting.lang.say("Password") }}</label>
<input id="password" name="password" type="password" autocomplete="new-password" required
{%- if form.wrong.is_some() %} aria-invalid="true"{% endif %} aria-describedby="least{% if form.wrong.is_some() %} wrong{% endif %}">
<small class="hint" id="least">{{ setting.lang.say("At least 8 characters.") }}</small></p>
<p><label for="again">{{ setting.lang.say("The password again") }}</label>
<input id="again" name="again" type="password" autocomplete="new-password" required></p>
<p><button class="main">{{ setting.lang.say("Make the account") }}</button></p>
</form>
<p class="other">{{ setting.lang.say("Have an account already?") }} <a href="{{ setting.mount }}{{ self::with_next("/.hythe/sign-in", form.next) }}">{{ setting.lang.say("Sign in") }}</a></p>
</main>
{{ Bottom|safe }}"#
)]
struct SignUp<'a> {
    top: Top<'a>,
    setting: &'a Setting,
    form: SignForm<'a>,
}
