//! What may be the name and the password of an account.

/// The longest name, in characters: more than anybody types, and still a line
/// of a table.
pub const NAME_LIMIT: usize = 64;

/// The shortest password that a visitor may choose, in bytes, as NIST SP
/// 800-63B has it. The operator may give any but the empty one.
pub const PASSWORD_LEAST: usize = 8;

/// The longest password, in bytes: each of them is work to hash.
pub const PASSWORD_LIMIT: usize = 1024;

/// The name, if it can be one; else why not.
pub(super) fn check_name(name: &[u8]) -> Result<&str, &'static str> {
    let name = std::str::from_utf8(name).map_err(|_| "a name is text in UTF-8")?;
    if name.is_empty() {
        return Err("a name has at least one character");
    }
    if name.chars().count() > NAME_LIMIT {
        return Err("a name has at most 64 characters");
    }
    if name
        .chars()
        .any(|letter| letter.is_control() || is_invisible(letter))
    {
        return Err("a name has no control characters and no invisible ones");
    }
    if name.contains(['/', ':']) {
        return Err("a name has neither a slash nor a colon in it");
    }
    if name.trim() != name {
        return Err("a name neither begins nor ends with a space");
    }
    if matches!(name, "." | "..") {
        return Err("a name is neither . nor ..");
    }
    if name.eq_ignore_ascii_case("anonymous") || name.eq_ignore_ascii_case("ftp") {
        return Err("visitors without an account are called anonymous and ftp");
    }
    Ok(name)
}

/// What two names have in common that people would take for one.
pub(super) fn folded(name: &str) -> String {
    name.to_lowercase()
}

/// Whether a visitor may choose this password; else why not.
pub(super) fn check_chosen(password: &[u8]) -> Result<(), &'static str> {
    // Bytes: a letter of Chinese is worth several of those that this speaks of.
    if password.len() < PASSWORD_LEAST {
        return Err("a password has at least 8 characters");
    }
    check_password(password)
}

/// Whether this can be a password; else why not.
pub(super) fn check_password(password: &[u8]) -> Result<(), &'static str> {
    match password.len() {
        0 => Err("a password has at least one byte"),
        1..=PASSWORD_LIMIT => Ok(()),
        _ => Err("a password has at most 1,024 bytes"),
    }
}

/// Letters that are not seen, or turn around others, so that a name could look
/// like another.
fn is_invisible(letter: char) -> bool {
    matches!(letter, '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}'
        | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}'
        | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{2800}' | '\u{3164}'
        | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff9}'..='\u{fffb}'
        | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        let longest = "中".repeat(NAME_LIMIT);
        for good in [
            "a", "bob", "李雷", "a b", "...", "o'neill", "<b>", "%2e", "x@y", &longest,
        ] {
            assert_eq!(check_name(good.as_bytes()), Ok(good));
        }
        let thousand = "n".repeat(1000);
        let wrong = [
            "",
            ".",
            "..",
            "a/b",
            "a:b",
            " a",
            "a ",
            "a\n",
            "a\0b",
            "\u{1b}[2J",
            "Anonymous",
            "FTP",
            "a\u{202e}b",
            "a\u{200b}",
            "a\u{3164}",
            "\u{2800}a",
            "a\u{fe0f}",
            "a\u{e0062}",
            "\u{a0}a",
            &"中".repeat(NAME_LIMIT + 1),
            &thousand,
        ];
        for wrong in wrong {
            assert!(check_name(wrong.as_bytes()).is_err(), "{wrong:?}");
        }
        assert!(check_name(b"\xff").is_err());
        assert_eq!(folded("ÄbC李"), folded("äBc李"));
    }

    #[test]
    fn passwords() {
        assert!(check_password(b"").is_err());
        assert!(check_password(b"\xff").is_ok());
        assert!(check_password(&[0; PASSWORD_LIMIT]).is_ok());
        assert!(check_password(&[0; PASSWORD_LIMIT + 1]).is_err());
        assert!(check_chosen(&[b'x'; PASSWORD_LEAST - 1]).is_err());
        assert!(check_chosen(&[b'x'; PASSWORD_LEAST]).is_ok());
        assert!(check_chosen(&[b'x'; PASSWORD_LIMIT + 1]).is_err());
    }
}
