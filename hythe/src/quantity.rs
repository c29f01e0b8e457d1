//! Sizes and spans of time, as people write them and read them.

use std::time::Duration;

/// How many digits after the point count.
const PRECISION: u32 = 3;

/// `1500`, `64K`, `1.5 GiB`: powers of 1024, in whatever case.
///
/// # Errors
/// A sentence on what to give instead.
pub(crate) fn parse_size(text: &str) -> Result<u64, String> {
    size_of(text).ok_or_else(|| "give a size in bytes, or with K, M, G or T: 500M, 10G".into())
}

fn size_of(text: &str) -> Option<u64> {
    let (number, unit) = split(text);
    let power = match unit.to_ascii_uppercase().as_str() {
        "" | "B" => 0,
        "K" | "KB" | "KIB" => 1,
        "M" | "MB" | "MIB" => 2,
        "G" | "GB" | "GIB" => 3,
        "T" | "TB" | "TIB" => 4,
        _ => return None,
    };
    let scale = 1024_u64.pow(power);
    let (whole, part) = number.split_once('.').unwrap_or((number, "0"));
    let whole = plain(whole)?.checked_mul(scale)?;
    plain(part)?;
    let digits = &part[..part.len().min(PRECISION as usize)];
    let thousandths = plain(digits)? * 10_u64.pow(PRECISION - digits.len() as u32);
    let rest = u128::from(scale) * u128::from(thousandths) / 10_u128.pow(PRECISION);
    whole.checked_add(u64::try_from(rest).ok()?)
}

/// The longest span that makes sense, in seconds: a century.
const SPAN_LIMIT: u64 = 100 * 366 * 24 * 60 * 60;

/// `90`, `45m`, `12h`, `7d`: in seconds, at least one.
///
/// # Errors
/// A sentence on what to give instead.
pub(crate) fn parse_span(text: &str) -> Result<u64, String> {
    let (number, unit) = split(text);
    let unit = match unit {
        "" | "s" => Some(1),
        "m" => Some(60),
        "h" => Some(60 * 60),
        "d" => Some(24 * 60 * 60),
        _ => None,
    };
    plain(number)
        .zip(unit)
        .and_then(|(number, unit): (u64, u64)| number.checked_mul(unit))
        .filter(|seconds| (1..=SPAN_LIMIT).contains(seconds))
        .ok_or_else(|| "give seconds, or a number with s, m, h or d: 12h, 7d".into())
}

/// The number and its unit, with or without a space between them.
fn split(text: &str) -> (&str, &str) {
    let letters = text.find(|letter: char| letter.is_ascii_alphabetic());
    let (number, unit) = text.split_at(letters.unwrap_or(text.len()));
    if unit.is_empty() {
        (number, unit)
    } else {
        (number.strip_suffix(' ').unwrap_or(number), unit)
    }
}

/// A number of digits and nothing else: Rust would take a plus as well.
fn plain(digits: &str) -> Option<u64> {
    let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| digits.parse().ok())?
}

/// A number of bytes with three or four digits, in powers of 1024: `1.2 MiB`.
pub(crate) fn size(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut unit = 1024_u128;
    let mut index = 0;
    // Rounded first and compared then, so that 1023.99 KiB is not 1024.0 KiB.
    let tenths = |unit: u128| (u128::from(bytes) * 10 + unit / 2) / unit;
    while tenths(unit) >= 10240 && index + 1 < UNITS.len() {
        unit *= 1024;
        index += 1;
    }
    let tenths = tenths(unit);
    format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[index])
}

/// Whole seconds, rounded up: who comes back earlier is refused again.
pub(crate) fn whole_seconds(wait: Duration) -> u64 {
    wait.as_secs() + u64::from(wait.subsec_nanos() > 0)
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
            ("1.5 GiB", Some(3 << 29)),
            ("2 kb", Some(2048)),
            ("0.0000001G", Some(0)),
            ("0.0000001é", None),
            ("1.é", None),
            ("1.", None),
            (".5G", None),
            ("1.5.5G", None),
            ("1  G", None),
            ("1 ", None),
            ("10 G B", None),
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
        for (bytes, expected) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1_258_291, "1.2 MiB"),
            (1_048_524, "1023.9 KiB"),
            (1_048_525, "1.0 MiB"),
            (1 << 40, "1.0 TiB"),
            (u64::MAX, "16.0 EiB"),
        ] {
            assert_eq!(size(bytes), expected);
        }
    }
}
