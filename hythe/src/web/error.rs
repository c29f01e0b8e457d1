//! The page for when there is no other.

use askama::Template;

use super::Preamble;

/// The page of an error: `status` as in `404`, `reason` in a few words, and
/// `detail`, a sentence on what to do about it, or empty. All of it is escaped.
pub fn error_page(status: u16, reason: &str, detail: &str) -> String {
    let page = ErrorPage {
        preamble: Preamble { title: reason },
        status,
        reason,
        detail,
    };
    // A template fails only where its values or what it writes to do; numbers,
    // text and a `String` never do.
    page.render().unwrap_or_default()
}

#[derive(Template)]
#[template(
    ext = "html",
    source = r#"{{ preamble|safe }}
<body>
<main class="error">
<h1><span>{{ status }}</span> {{ reason }}</h1>
{%- if !detail.is_empty() %}
<p>{{ detail }}</p>
{%- endif %}
<p><a href="/">Go to the top folder</a></p>
</main>
</body>
</html>
"#
)]
struct ErrorPage<'a> {
    preamble: Preamble<'a>,
    status: u16,
    reason: &'a str,
    detail: &'a str,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_escaped() {
        let page = error_page(404, "No <b>such</b> thing", "</main><script>\"'&");
        assert!(page.contains("404"));
        assert!(page.contains("No &#60;b&#62;such&#60;/b&#62; thing"));
        assert!(page.contains("&#60;/main&#62;&#60;script&#62;&#34;&#39;&#38;"));
        assert!(!page.contains("<script") && !page.contains("<b>"));
        assert!(!error_page(500, "Oh", "").contains("<p></p>"));
    }
}
