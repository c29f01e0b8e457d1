//! Patterns of names, as shells have them, without their brackets.

/// Whether `name` is what `pattern` stands for, with `*` for anything and `?`
/// for one byte. The work is bounded by the product of their lengths: a
/// mismatch takes back the last `*` only, since the earlier ones could not do
/// better.
pub(crate) fn matches(pattern: &[u8], name: &[u8]) -> bool {
    let (mut p, mut n) = (0, 0);
    let mut last_star = None;
    while n < name.len() {
        match pattern.get(p) {
            Some(b'*') => {
                last_star = Some((p + 1, n));
                p += 1;
            }
            Some(byte) if *byte == b'?' || *byte == name[n] => {
                p += 1;
                n += 1;
            }
            _ => {
                let Some((after_star, taken)) = last_star else {
                    return false;
                };
                // Let the star take one byte more.
                last_star = Some((after_star, taken + 1));
                (p, n) = (after_star, taken + 1);
            }
        }
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}

/// Whether a name is a pattern.
pub(crate) fn is_pattern(name: &[u8]) -> bool {
    name.contains(&b'*') || name.contains(&b'?')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        for (pattern, name, expected) in [
            ("*", "", true),
            ("*.txt", "a.txt", true),
            ("*.txt", "a.txt.gz", false),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("*a*b*", "xxaxxbxx", true),
            ("*a*b*", "xxbxxaxx", false),
            ("", "", true),
            ("", "a", false),
            ("a*", "ba", false),
            ("中*", "中文", true),
        ] {
            assert_eq!(
                matches(pattern.as_bytes(), name.as_bytes()),
                expected,
                "{pattern} {name}"
            );
        }
    }

    #[test]
    fn a_pattern_of_stars_takes_no_longer_than_its_length_times_the_names() {
        let pattern = [&b"*a".repeat(120)[..], b"b"].concat();
        assert!(!matches(&pattern, &[b'a'; 255]));
    }
}
