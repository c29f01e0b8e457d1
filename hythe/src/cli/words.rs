//! Lines of the shell cut into words.

/// A word, and where it begins in its line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Word {
    /// Without quotation marks and backslashes.
    pub(super) text: String,
    /// Whether stars and question marks in it stand for themselves.
    pub(super) quoted: bool,
    /// In bytes.
    pub(super) start: usize,
}

/// Cuts a line as shells do: spaces separate, quotation marks of both kinds hold
/// together, a backslash takes the letter after it as it is.
///
/// # Errors
/// The words before, if a quotation mark is never closed.
pub(super) fn split(line: &str) -> Result<Vec<Word>, Vec<Word>> {
    let mut words = Vec::new();
    let mut word: Option<Word> = None;
    let mut quote = None;
    let mut letters = line.char_indices();
    while let Some((at, letter)) = letters.next() {
        let begin = || Word {
            start: at,
            ..Word::default()
        };
        match (quote, letter) {
            (None, letter) if letter.is_whitespace() => words.extend(word.take()),
            (None, '"' | '\'') => {
                word.get_or_insert_with(begin).quoted = true;
                quote = Some(letter);
            }
            (Some(open), letter) if open == letter => quote = None,
            (None | Some('"'), '\\') => {
                let word = word.get_or_insert_with(begin);
                word.quoted = true;
                word.text.extend(letters.next().map(|(_, letter)| letter));
            }
            (_, letter) => word.get_or_insert_with(begin).text.push(letter),
        }
    }
    words.extend(word);
    if quote.is_some() {
        Err(words)
    } else {
        Ok(words)
    }
}

/// A word such that [`split`] gives it back.
pub(super) fn quote(text: &str) -> String {
    let mut out = String::new();
    for letter in text.chars() {
        if letter.is_whitespace() || "\"'\\*?".contains(letter) {
            out.push('\\');
        }
        out.push(letter);
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lines_are_cut_as_shells_do() {
        let words = |line: &str| {
            let words = split(line).unwrap_or_else(|_| vec![]);
            words.into_iter().map(|word| word.text).collect::<Vec<_>>()
        };
        for (line, expected) in [
            ("", &[][..]),
            ("  get a  b ", &["get", "a", "b"]),
            (r#"get "a b" 'c"d' e\ f"#, &["get", "a b", "c\"d", "e f"]),
            (r#"get "a\"b" 'c\d'"#, &["get", "a\"b", "c\\d"]),
            ("get ''", &["get", ""]),
            ("取 中文", &["取", "中文"]),
            (r#"get "open"#, &[]),
        ] {
            assert_eq!(words(line), expected, "{line}");
        }
        for text in ["a b", "中 文", "it's", "a\\b", "*?", "\"", "\u{3000}"] {
            let quoted = quote(text);
            assert_eq!(words(&quoted), [text], "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_quoted_is_one_word(text in "[ -~中\t\u{3000}]{1,20}", line in ".*") {
            let quoted = quote(&text);
            let words = split(&quoted).unwrap();
            prop_assert_eq!(words.len(), 1);
            prop_assert_eq!(&words[0].text, &text);
            for word in split(&line).unwrap_or_else(|words| words) {
                prop_assert!(line.is_char_boundary(word.start));
            }
        }
    }
}
