//! Sizes and spans of time, as people write them.

/// `1500`, `64K`, `10G`: powers of 1024.
pub(super) fn parse_size(text: &str) -> Result<u64, String> {
    let (number, unit) = split(text);
    let unit = match unit.to_ascii_uppercase().as_str() {
        "" | "B" => Some(0),
        "K" | "KB" | "KIB" => Some(10),
        "M" | "MB" | "MIB" => Some(20),
        "G" | "GB" | "GIB" => Some(30),
        "T" | "TB" | "TIB" => Some(40),
        _ => None,
    };
    number
        .zip(unit)
        .and_then(|(number, unit)| number.checked_mul(1 << unit))
        .ok_or_else(|| "give a size in bytes, or with K, M, G or T: 500M, 10G".into())
}

/// The longest span that makes sense, in seconds: a century.
const SPAN_LIMIT: u64 = 100 * 366 * 24 * 60 * 60;

/// `90`, `45m`, `12h`, `7d`: in seconds, at least one.
pub(super) fn parse_span(text: &str) -> Result<u64, String> {
    let (number, unit) = split(text);
    let unit = match unit {
        "" | "s" => Some(1),
        "m" => Some(60),
        "h" => Some(60 * 60),
        "d" => Some(24 * 60 * 60),
        _ => None,
    };
    number
        .zip(unit)
        .and_then(|(number, unit): (u64, u64)| number.checked_mul(unit))
        .filter(|seconds| (1..=SPAN_LIMIT).contains(seconds))
        .ok_or_else(|| "give seconds, or a number with s, m, h or d: 12h, 7d".into())
}

fn split(text: &str) -> (Option<u64>, &str) {
    let digits = text.trim_end_matches(|letter: char| !letter.is_ascii_digit());
    // Not what Rust would take as well, such as a plus.
    let plain = digits.bytes().all(|byte| byte.is_ascii_digit());
    let number = digits.parse().ok().filter(|_| plain);
    (number, &text[digits.len()..])
}

/// A size for people: three digits or so, and its unit.
pub(super) fn show_size(bytes: u64) -> String {
    let mut size = bytes as f64;
    let mut units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"].into_iter();
    let mut unit = units.next().unwrap_or_default();
    for larger in units {
        if size < 1024.0 {
            break;
        }
        (size, unit) = (size / 1024.0, larger);
    }
    match unit {
        "B" => format!("{bytes} B"),
        _ if size < 10.0 => format!("{size:.1} {unit}"),
        _ => format!("{size:.0} {unit}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_bytes_or_powers_of_1024() {
        for (text, size) in [
            ("0", Some(0)),
            ("1500", Some(1500)),
            ("64K", Some(64 << 10)),
            ("64k", Some(64 << 10)),
            ("10GiB", Some(10 << 30)),
            ("16777215T", Some(16_777_215 << 40)),
            ("16777216T", None),
            ("18446744073709551615", Some(u64::MAX)),
            ("18446744073709551616", None),
            ("", None),
            ("K", None),
            ("-1", None),
            ("+1", None),
            ("1.5G", None),
            ("1 G", None),
            ("1P", None),
        ] {
            assert_eq!(parse_size(text).ok(), size, "{text}");
        }
    }

    #[test]
    fn spans_are_seconds_or_longer_units() {
        for (text, span) in [
            ("1", Some(1)),
            ("90s", Some(90)),
            ("45m", Some(2700)),
            ("12h", Some(43_200)),
            ("7d", Some(604_800)),
            ("36600d", Some(SPAN_LIMIT)),
            ("36601d", None),
            ("0", None),
            ("0d", None),
            ("", None),
            ("d", None),
            ("1w", None),
            ("-1d", None),
            ("18446744073709551615d", None),
        ] {
            assert_eq!(parse_span(text).ok(), span, "{text}");
        }
    }

    #[test]
    fn sizes_are_shown_short() {
        for (bytes, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (500 << 20, "500 MiB"),
            (10 << 30, "10 GiB"),
            (u64::MAX, "16 EiB"),
        ] {
            assert_eq!(show_size(bytes), text);
        }
    }
}
