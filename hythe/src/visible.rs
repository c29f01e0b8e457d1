//! Text from elsewhere, for logs and terminals.

/// Text in which nothing forges a line or moves a cursor: control characters are
/// escaped.
pub(crate) fn visible(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        if letter.is_control() {
            out.extend(letter.escape_default());
        } else {
            out.push(letter);
        }
    }
    out
}

/// What an error of the system says, without the number that only programmers know.
pub(crate) fn without_number(error: &impl std::fmt::Display) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_moves_the_cursor() {
        let text = "中 a\x1b[2J\r\n\u{9b}b";
        assert_eq!(visible(text), "中 a\\u{1b}[2J\\r\\n\\u{9b}b");
    }
}
