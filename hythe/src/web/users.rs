//! The accounts of a server, for those who manage them.

use askama::Template;

use super::Setting;
use super::account::{AccountShown, role_meaning};
use super::frame::{Bottom, Top};
use super::own::{moment, rendered, top, way};
use crate::share::Access;

/// The roles an account can have, as they are offered.
const ROLES: [Access; 4] = [Access::Read, Access::Upload, Access::Write, Access::Admin];

/// The page of all accounts. `told` is good news, `wrong` what is wrong with
/// what was sent; both in the visitor's language. `typed` is the name of the
/// account that was to be added.
pub fn users_page(
    setting: &Setting,
    users: &[AccountShown<'_>],
    typed: &str,
    told: Option<&str>,
    wrong: Option<&str>,
) -> String {
    let way = way(setting);
    let page = Users {
        top: top(setting, setting.lang.say("People"), &way),
        setting,
        users,
        typed,
        told,
        wrong,
    };
    rendered(&page)
}

/// The page that asks whether this account shall really be removed.
pub fn remove_page(setting: &Setting, name: &str) -> String {
    let way = way(setting);
    let page = Remove {
        top: top(setting, setting.lang.say("Remove an account"), &way),
        setting,
        name,
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
{%- if let Some(wrong) = wrong %}
<p class="wrong" id="wrong" role="alert">{{ wrong }}</p>
{%- endif %}
<ul class="cards">
{%- for user in users %}
<li>
<h2><bdi>{{ user.name }}</bdi></h2>
<p class="facts">{{ setting.lang.say(user.role.as_str()) }} · <bdi>{{ user.home }}</bdi> · {{ user.room(setting) }}{% if let Some(seen) = user.seen %} · {{ setting.lang.say("last signed in") }} {{ self::moment(seen) }}
{%- else if !user.temporary %} · {{ setting.lang.say("never signed in") }}
{%- endif %}</p>
{%- if let Some(quota) = user.quota %}
<meter aria-label="{{ setting.lang.say("Stored") }}" min="0" max="{{ quota }}" high="{{ quota / 10 * 9 }}" optimum="0" value="{{ user.used }}"></meter>
{%- endif %}
{%- if user.temporary %}
<p class="hint">{{ setting.lang.say("From the command line, for this run of the server only.") }}</p>
{%- else %}
<details>
<summary>{{ setting.lang.say("Change") }}<span class="unseen"> {{ user.name }}</span></summary>
<form method="post" action="{{ setting.mount }}/.hythe/users">
<input type="hidden" name="action" value="role"><input type="hidden" name="name" value="{{ user.name }}">
<p><label>{{ setting.lang.say("Role") }} <select name="role">
{%- for role in ROLES %}
<option value="{{ role.as_str() }}"{% if role == user.role %} selected{% endif %}>{{ setting.lang.say(role.as_str()) }} – {{ setting.lang.say(self::role_meaning(role)) }}</option>
{%- endfor %}
</select></label> <button>{{ setting.lang.say("Set") }}</button></p>
</form>
<form method="post" action="{{ setting.mount }}/.hythe/users">
<input type="hidden" name="action" value="quota"><input type="hidden" name="name" value="{{ user.name }}">
<p><label>{{ setting.lang.say("Quota, such as 10G; empty for none") }} <input name="quota" value="{% if let Some(quota) = user.quota %}{{ quota }}{% endif %}" autocomplete="off"></label> <button>{{ setting.lang.say("Set") }}</button></p>
</form>
<form method="post" action="{{ setting.mount }}/.hythe/users">
<input type="hidden" name="action" value="home"><input type="hidden" name="name" value="{{ user.name }}">
<p><label>{{ setting.lang.say("Home folder") }} <input name="home" value="{{ user.home }}" autocomplete="off" autocapitalize="none" spellcheck="false"></label> <button>{{ setting.lang.say("Set") }}</button></p>
</form>
<form method="post" action="{{ setting.mount }}/.hythe/users">
<input type="hidden" name="action" value="password"><input type="hidden" name="name" value="{{ user.name }}">
<p><label>{{ setting.lang.say("New password") }} <input name="password" type="password" autocomplete="new-password" required></label> <button>{{ setting.lang.say("Set") }}</button></p>
</form>
<div class="row">
<form method="post" action="{{ setting.mount }}/.hythe/users"><input type="hidden" name="action" value="sign-out"><input type="hidden" name="name" value="{{ user.name }}"><button>{{ setting.lang.say("Sign out everywhere") }}</button></form>
<form method="post" action="{{ setting.mount }}/.hythe/users"><input type="hidden" name="action" value="remove"><input type="hidden" name="name" value="{{ user.name }}"><button class="danger">{{ setting.lang.say("Remove") }}</button></form>
</div>
</details>
{%- endif %}
</li>
{%- endfor %}
</ul>
<section aria-labelledby="add">
<h2 id="add">{{ setting.lang.say("Add an account") }}</h2>
<form method="post" action="{{ setting.mount }}/.hythe/users">
<input type="hidden" name="action" value="add">
<p><label for="name">{{ setting.lang.say("User name") }}</label>
<input id="name" name="name" value="{{ typed }}" autocomplete="off" autocapitalize="none" autocorrect="off" spellcheck="false" required
{%- if wrong.is_some() %} aria-invalid="true" aria-describedby="wrong"{% endif %}></p>
<p><label for="password">{{ setting.lang.say("Password") }}</label>
<input id="password" name="password" type="password" autocomplete="new-password" required></p>
<p><label for="role">{{ setting.lang.say("Role") }}</label>
<select id="role" name="role">
{%- for role in ROLES %}
<option value="{{ role.as_str() }}">{{ setting.lang.say(role.as_str()) }} – {{ setting.lang.say(self::role_meaning(role)) }}</option>
{%- endfor %}
</select></p>
<p><label for="home">{{ setting.lang.say("Home folder") }}</label>
<input id="home" name="home" value="/" autocomplete="off" autocapitalize="none" spellcheck="false"></p>
<p><label for="quota">{{ setting.lang.say("Quota, such as 10G; empty for none") }}</label>
<input id="quota" name="quota" autocomplete="off"></p>
<p><button class="main">{{ setting.lang.say("Add the account") }}</button></p>
</form>
</section>
</main>
{{ Bottom|safe }}"#
)]
struct Users<'a> {
    top: Top<'a>,
    setting: &'a Setting,
    users: &'a [AccountShown<'a>],
    typed: &'a str,
    told: Option<&'a str>,
    wrong: Option<&'a str>,
}

#[derive(Template)]
#[template(
    ext = "html",
    source = r#"{{ top|safe }}
<main class="own narrow">
<p><bdi>{{ name }}</bdi></p>
<p>{{ setting.lang.say("Its sessions, unfinished uploads and share links end. Its files stay.") }}</p>
<form method="post" action="{{ setting.mount }}/.hythe/users">
<input type="hidden" name="action" value="remove"><input type="hidden" name="name" value="{{ name }}"><input type="hidden" name="sure" value="1">
<p class="row"><button class="danger">{{ setting.lang.say("Remove the account") }}</button> <a class="button" href="{{ setting.mount }}/.hythe/users">{{ setting.lang.say("Keep it") }}</a></p>
</form>
</main>
{{ Bottom|safe }}"#
)]
struct Remove<'a> {
    top: Top<'a>,
    setting: &'a Setting,
    name: &'a str,
}

#[cfg(test)]
mod tests {
    use super::super::*;
    use super::*;

    /// What someone may call themselves, or a file, in the hope that others'
    /// browsers run it.
    const NASTY: &str = "</main><script>alert(1)</script>\"' onfocus='alert(1)' x=\"&";

    fn shown() -> AccountShown<'static> {
        AccountShown {
            name: NASTY,
            role: Access::Write,
            home: NASTY,
            quota: Some(1024 * 1024),
            used: 1024,
            created: 0,
            seen: Some(1),
            temporary: false,
        }
    }

    #[test]
    fn everything_is_escaped_on_every_page() {
        let setting = Setting {
            account: Some(NASTY.to_owned()),
            accounts: true,
            register: true,
            admin: true,
            ..Setting::default()
        };
        let sign = SignForm {
            name: NASTY,
            next: NASTY,
            wrong: Some(NASTY),
        };
        let link = LinkShown {
            id: 1,
            path: NASTY,
            maker: Some(NASTY),
            expires: Some(1),
            downloads: Some((2, 1)),
            password: true,
        };
        let form = LinkForm {
            path: NASTY,
            made: Some(NASTY),
            told: Some(NASTY),
            wrong: Some(NASTY),
        };
        for page in [
            sign_in_page(&setting, sign),
            sign_up_page(&setting, sign),
            account_page(&setting, &shown(), Some(NASTY), Some(NASTY)),
            users_page(&setting, &[shown()], NASTY, Some(NASTY), Some(NASTY)),
            remove_page(&setting, NASTY),
            links_page(&setting, &[link], form),
            link_password_page(&setting, NASTY, Some(NASTY)),
            link_file_page(&setting, NASTY.as_bytes(), 1, NASTY, Some(1)),
        ] {
            assert!(page.contains("&#60;script&#62;alert(1)"), "{page}");
            assert!(!page.contains("<script"), "{page}");
            assert!(!page.contains("' onfocus"), "{page}");
            assert_eq!(page.matches("</main>").count(), 1, "{page}");
        }
    }

    #[test]
    fn roles_and_what_they_may_are_translated() {
        for role in Access::ALL {
            for text in [role.as_str(), role_meaning(&role)] {
                assert_ne!(Lang::Zh.say(text), text);
            }
        }
    }

    #[test]
    fn room_is_told_with_and_without_a_quota() {
        let setting = Setting::default();
        assert_eq!(shown().room(&setting), "1.0 KiB of 1.0 MiB");
        let free = AccountShown {
            quota: None,
            ..shown()
        };
        assert_eq!(free.room(&setting), "1.0 KiB");
    }
}
