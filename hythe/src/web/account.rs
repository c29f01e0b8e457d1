//! What people see of their own account.

use askama::Template;

use super::Setting;
use super::frame::{Bottom, Top};
use super::own::{moment, rendered, top, way};
use crate::quantity;
use crate::share::Access;

/// An account, as its owner sees it. Times are in seconds since 1970.
#[derive(Clone, Copy, Debug)]
pub struct AccountShown<'a> {
    /// Its name.
    pub name: &'a str,
    /// What it may do.
    pub role: Access,
    /// The folder that is the root of all it sees.
    pub home: &'a str,
    /// How many bytes it may store.
    pub quota: Option<u64>,
    /// How many bytes it has stored.
    pub used: u64,
    /// When it was made.
    pub created: i64,
    /// When it was last signed in.
    pub seen: Option<i64>,
    /// For this run of the program only.
    pub temporary: bool,
}

impl AccountShown<'_> {
    /// `1.2 MiB of 10.0 GiB`, or without the second where there is no quota.
    pub(super) fn room(&self, setting: &Setting) -> String {
        let used = quantity::size(self.used);
        match self.quota {
            Some(quota) => setting
                .lang
                .say("{used} of {quota}")
                .replace("{used}", &used)
                .replace("{quota}", &quantity::size(quota)),
            None => used,
        }
    }
}

/// What a role may do, in a few words. Templates pass everything by reference.
pub(super) fn role_meaning(role: &Access) -> &'static str {
    match role {
        Access::None => "may do nothing",
        Access::Read => "may look and download",
        Access::Upload => "may look, download and add",
        Access::Write => "may add, replace, rename and delete",
        Access::Admin => "may do everything, and manage accounts",
    }
}

/// The page of an account. `told` is good news, `wrong` what is wrong with what
/// was sent; both in the visitor's language.
pub fn account_page(
    setting: &Setting,
    account: &AccountShown<'_>,
    told: Option<&str>,
    wrong: Option<&str>,
) -> String {
    let way = way(setting);
    let page = Account {
        top: top(setting, setting.lang.say("Your account"), &way),
        setting,
        account,
        told,
        wrong,
    };
    rendered(&page)
}

#[derive(Template)]
#[template(
    ext = "html",
    source = r#"{{ top|safe }}
<main class="own">
{%- if let Some(told) = told %}
<p class="told" role="status">{{ told }}</p>
{%- endif %}
<dl>
<div><dt>{{ setting.lang.say("User name") }}</dt><dd><bdi>{{ account.name }}</bdi></dd></div>
<div><dt>{{ setting.lang.say("Role") }}</dt><dd>{{ setting.lang.say(account.role.as_str()) }} – {{ setting.lang.say(self::role_meaning(account.role)) }}</dd></div>
<div><dt>{{ setting.lang.say("Home folder") }}</dt><dd><bdi>{{ account.home }}</bdi></dd></div>
<div><dt id="stored">{{ setting.lang.say("Stored") }}</dt><dd>
{%- if let Some(quota) = account.quota %}<meter aria-labelledby="stored" min="0" max="{{ quota }}" high="{{ quota / 10 * 9 }}" optimum="0" value="{{ account.used }}"></meter> {% endif -%}
{{ account.room(setting) }}</dd></div>
<div><dt>{{ setting.lang.say("Created") }}</dt><dd>{{ self::moment(account.created) }}</dd></div>
{%- if let Some(seen) = account.seen %}
<div><dt>{{ setting.lang.say("Last signed in") }}</dt><dd>{{ self::moment(seen) }}</dd></div>
{%- endif %}
</dl>
<p class="row"><a class="button" href="{{ setting.mount }}/.hythe/links">{{ setting.lang.say("Share links") }}</a>
{%- if setting.admin %} <a class="button" href="{{ setting.mount }}/.hythe/users">{{ setting.lang.say("People") }}</a>{% endif %}</p>
<section aria-labelledby="change">
<h2 id="change">{{ setting.lang.say("Change the password") }}</h2>
{%- if account.temporary %}
<p>{{ setting.lang.say("This account is for this run of the server only; its password is that of the command line.") }}</p>
{%- else %}
{%- if let Some(wrong) = wrong %}
<p class="wrong" id="wrong" role="alert">{{ wrong }}</p>
{%- endif %}
<form method="post" action="{{ setting.mount }}/.hythe/account">
<input class="unseen" name="name" value="{{ account.name }}" autocomplete="username" readonly tabindex="-1" aria-hidden="true">
<p><label for="old">{{ setting.lang.say("The current password") }}</label>
<input id="old" name="old" type="password" autocomplete="current-password" required
{%- if wrong.is_some() %} aria-invalid="true" aria-describedby="wrong"{% endif %}></p>
<p><label for="new">{{ setting.lang.say("The new password") }}</label>
<input id="new" name="new" type="password" autocomplete="new-password" required
{%- if wrong.is_some() %} aria-invalid="true"{% endif %} aria-describedby="least{% if wrong.is_some() %} wrong{% endif %}">
<small class="hint" id="least">{{ setting.lang.say("At least 8 characters.") }}</small></p>
<p><label for="again">{{ setting.lang.say("The new password again") }}</label>
<input id="again" name="again" type="password" autocomplete="new-password" required></p>
<p><button class="main">{{ setting.lang.say("Change the password") }}</button></p>
</form>
<p class="hint">{{ setting.lang.say("This signs you out on all other devices.") }}</p>
{%- endif %}
</section>
<section aria-labelledby="leave">
<h2 id="leave">{{ setting.lang.say("Sign out") }}</h2>
<div class="row">
<form method="post" action="{{ setting.mount }}/.hythe/sign-out"><button>{{ setting.lang.say("Sign out here") }}</button></form>
<form method="post" action="{{ setting.mount }}/.hythe/sign-out"><input type="hidden" name="everywhere" value="1"><button>{{ setting.lang.say("Sign out everywhere") }}</button></form>
</div>
</section>
</main>
{{ Bottom|safe }}"#
)]
struct Account<'a> {
    top: Top<'a>,
    setting: &'a Setting,
    account: &'a AccountShown<'a>,
    told: Option<&'a str>,
    wrong: Option<&'a str>,
}
