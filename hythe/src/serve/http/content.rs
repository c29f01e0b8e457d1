//! What a file is, told by its name and, for text, a look at its beginning.

/// How much of a file is looked at.
pub(super) const SNIFF: usize = 4096;

/// The media type of a file and what follows from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Content {
    /// For the `Content-Type` field.
    pub(super) media_type: String,
    /// Whether a browser would run what may be inside.
    pub(super) active: bool,
    /// Whether compressing it is worth the effort.
    pub(super) compressible: bool,
}

impl Content {
    /// By the name, and by the file's first bytes for text: the character set
    /// of what is valid UTF-8 is told, of the rest it is left to the browser
    /// (much Chinese text is GBK). What has no telling name is plain text if
    /// it looks like it, else mere bytes.
    pub(super) fn of(name: &[u8], beginning: &[u8]) -> Self {
        let guess = by_extension(name);
        let essence = match guess {
            Some(essence) => essence,
            None if is_text(beginning) => "text/plain",
            None => "application/octet-stream",
        };
        let charset = if is_textual(essence) && is_utf8(beginning) {
            "; charset=utf-8"
        } else {
            ""
        };
        Self {
            media_type: format!("{essence}{charset}"),
            active: is_active(essence),
            compressible: is_compressible(essence),
        }
    }
}

fn by_extension(name: &[u8]) -> Option<&'static str> {
    let dot = name
        .iter()
        .rposition(|&byte| byte == b'.')
        .filter(|&dot| dot > 0)?;
    let extension = std::str::from_utf8(&name[dot + 1..]).ok()?;
    mime_guess::from_ext(extension).first_raw()
}

fn is_textual(essence: &str) -> bool {
    essence.starts_with("text/")
        || essence.ends_with("+xml")
        || matches!(
            essence,
            "application/json" | "application/javascript" | "application/xml"
        )
}

/// Types whose content a browser runs, or lets run what it refers to.
fn is_active(essence: &str) -> bool {
    essence.ends_with("+xml")
        || essence.ends_with("/xml")
        || matches!(
            essence,
            "text/html" | "text/xsl" | "multipart/related" | "message/rfc822"
        )
}

fn is_compressible(essence: &str) -> bool {
    is_textual(essence)
        || essence.ends_with("+json")
        || matches!(
            essence,
            "application/wasm"
                | "application/manifest+json"
                | "font/ttf"
                | "font/otf"
                | "image/bmp"
        )
}

/// Whether the beginning of a file is valid UTF-8, but for a character that
/// the cut at [`SNIFF`] went through.
fn is_utf8(beginning: &[u8]) -> bool {
    match std::str::from_utf8(beginning) {
        Ok(_) => true,
        Err(error) => error.error_len().is_none() && beginning.len() == SNIFF,
    }
}

/// Whether it looks like text: UTF-8 without control characters other than
/// those of layout.
fn is_text(beginning: &[u8]) -> bool {
    let layout = |byte: u8| matches!(byte, b'\t' | b'\n' | b'\x0c' | b'\r' | b'\x1b');
    !beginning.is_empty()
        && is_utf8(beginning)
        && beginning
            .iter()
            .all(|&byte| (byte >= b' ' && byte != 0x7f) || layout(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_go_by_name_and_text_by_a_look() {
        for (name, beginning, expected) in [
            ("a.html", &b"<p>"[..], "text/html; charset=utf-8"),
            ("a.HTML", b"", "text/html; charset=utf-8"),
            ("a.txt", "来".as_bytes(), "text/plain; charset=utf-8"),
            ("a.txt", b"\xc0\xb4 GBK", "text/plain"),
            ("a.jpg", b"text", "image/jpeg"),
            ("Makefile", b"all:\n\tcc\n", "text/plain; charset=utf-8"),
            ("core", b"\x7fELF\0", "application/octet-stream"),
            ("empty", b"", "application/octet-stream"),
            (".html", b"\0", "application/octet-stream"),
            ("a.json", b"{}", "application/json; charset=utf-8"),
        ] {
            assert_eq!(
                Content::of(name.as_bytes(), beginning).media_type,
                expected,
                "{name}"
            );
        }
    }

    #[test]
    fn a_character_cut_in_two_is_still_text() {
        let mut beginning = vec![b'a'; SNIFF - 1];
        beginning.push("来".as_bytes()[0]);
        assert_eq!(
            Content::of(b"a", &beginning).media_type,
            "text/plain; charset=utf-8"
        );
    }

    #[test]
    fn what_a_browser_runs_is_active() {
        for name in ["a.html", "a.htm", "a.xhtml", "a.svg", "a.xml", "a.mht"] {
            assert!(Content::of(name.as_bytes(), b"").active, "{name}");
        }
        for name in ["a.txt", "a.png", "a.pdf", "a.js", "a.mp4"] {
            assert!(!Content::of(name.as_bytes(), b"").active, "{name}");
        }
    }
}
