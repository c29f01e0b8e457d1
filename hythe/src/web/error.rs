//! The page for when there is no other.

use askama::Template;

use super::{Bottom, Setting, Top};

/// The page of an error: `status` as in `404`, `reason` in a few words, and
/// `detail`, a sentence on what to do about it, or empty. All of it is escaped.
/// What of it the table of translations knows is translated. `folder` is where the
/// form was that led here, if one did.
pub fn error_page(
    status: u16,
    reason: &str,
    detail: &str,
    folder: Option<&str>,
    setting: &Setting,
) -> String {
    let reason = setting.lang.say(reason);
    let page = ErrorPage {
        top: Top {
            setting,
            title: reason,
            above: &[],
            here: "",
            next: "",
        },
        status,
        reason,
        detail: setting.lang.say(detail),
        folder,
        setting,
    };
    // A template fails only where its values or what it writes to do; numbers,
    // text and a `String` never do.
    page.render().unwrap_or_default()
}

#[derive(Template)]
#[template(
    ext = "html",
    source = r#"{{ top|safe }}
<main class="error">
<h1><span>{{ status }}</span> {{ reason }}</h1>
{%- if !detail.is_empty() %}
<p>{{ detail }}</p>
{%- endif %}
{%- if let Some(folder) = folder %}
<p><a href="{{ folder }}">{{ setting.lang.say("Back to the folder") }}</a></p>
{%- endif %}
<p><a href="{{ setting.base }}/">{{ setting.lang.say("Go to the top folder") }}</a></p>
</main>
{{ Bottom|safe }}"#
)]
struct ErrorPage<'a> {
    top: Top<'a>,
    status: u16,
    reason: &'a str,
    detail: &'a str,
    folder: Option<&'a str>,
    setting: &'a Setting,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_escaped() {
        let page = error_page(
            404,
            "No <b>such</b> thing",
            "</main><script>\"'&",
            Some("./"),
            &Setting::default(),
        );
        assert!(page.contains("404"));
        assert!(page.contains("No &#60;b&#62;such&#60;/b&#62; thing"));
        assert!(page.contains("&#60;/main&#62;&#60;script&#62;&#34;&#39;&#38;"));
        assert!(!page.contains("<script") && !page.contains("<b>"));
        assert!(page.contains("<a href=\"./\">"));
        let page = error_page(500, "Oh", "", None, &Setting::default());
        assert!(!page.contains("<p></p>") && !page.contains("\"./\""));
    }
}
