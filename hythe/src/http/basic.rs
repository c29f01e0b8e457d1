//! Names and passwords sent along with a request (RFC 7617).

use base64ct::{Base64, Encoding as _};

/// Name and password of `Basic` credentials; the password may hold colons, and
/// either any other byte (RFC 7617 §2).
pub(crate) fn credentials(authorization: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let (scheme, encoded) = authorization.split_at_checked("Basic ".len())?;
    if !scheme.eq_ignore_ascii_case(b"Basic ") {
        return None;
    }
    let encoded = std::str::from_utf8(encoded.trim_ascii()).ok()?;
    let mut name = Base64::decode_vec(encoded).ok()?;
    let colon = name.iter().position(|&byte| byte == b':')?;
    let password = name.split_off(colon + 1);
    name.pop();
    Some((name, password))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn basic_credentials_split_at_the_first_colon() {
        let pair = |name: &[u8], password: &[u8]| Some((name.to_vec(), password.to_vec()));
        for (text, expected) in [
            (
                "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==",
                pair(b"Aladdin", b"open sesame"),
            ),
            ("bAsIc  YTpiOmM=", pair(b"a", b"b:c")),
            ("Basic Og==", pair(b"", b"")),
            ("Basic YTo=", pair(b"a", b"")),
            ("Basic 5p2lOv8A", pair("来".as_bytes(), b"\xff\0")),
            ("Basic YQ==", None),
            ("Basic", None),
            ("Basic ", None),
            ("Basic !!!!", None),
            ("Basic YTpi\u{e9}", None),
            ("Bearer YTpi", None),
            ("", None),
        ] {
            assert_eq!(credentials(text.as_bytes()), expected, "{text}");
        }
    }
}
