//! Names on this machine for what servers call something.

/// The longest name that file systems take (`NAME_MAX`), less what is appended to
/// it while it is on its way.
const LONGEST: usize = 255 - 16;

/// Whether a name is that of a file in a folder, and leads nowhere else.
pub fn is_safe(name: &[u8]) -> bool {
    let special = name.is_empty() || name == b"." || name == b"..";
    !special && !name.iter().any(|byte| matches!(byte, b'/' | b'\0'))
}

/// A name for a file that a server would like to be called so; `None` where it
/// would be a path, a folder, or nothing. What would confuse a terminal is
/// replaced, and what is too long is cut.
pub fn safe_name(name: &[u8]) -> Option<Vec<u8>> {
    if !is_safe(name) {
        return None;
    }
    let mut safe: Vec<u8> = name
        .iter()
        .map(|byte| if byte.is_ascii_control() { b'_' } else { *byte })
        .collect();
    if safe.len() > LONGEST {
        // Cut between letters.
        let mut end = LONGEST;
        while safe[end] & 0xc0 == 0x80 && end > LONGEST - 4 {
            end -= 1;
        }
        safe.truncate(end);
    }
    Some(safe)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_leads_anywhere() {
        for (name, expected) in [
            (&b"a b"[..], Some(&b"a b"[..])),
            ("中文".as_bytes(), Some("中文".as_bytes())),
            (b"\xff\xfe", Some(b"\xff\xfe")),
            (b"...", Some(b"...")),
            (b"x\x1b[2J\ny", Some(b"x_[2J_y")),
            (b"", None),
            (b".", None),
            (b"..", None),
            (b"../x", None),
            (b"/etc/passwd", None),
            (b"a\0b", None),
        ] {
            assert_eq!(safe_name(name).as_deref(), expected, "{name:?}");
        }
        let long = "中".repeat(100);
        let cut = String::from_utf8(safe_name(long.as_bytes()).unwrap()).unwrap();
        assert_eq!(cut.len(), 237);
    }
}
