//! What the query of a folder's URL asks for.

use percent_encoding::percent_decode;

use crate::share::{By, Order};

/// What `?sort=` can be, in the order of the page's columns.
pub(super) const SORTS: [(&str, By); 3] = [
    ("name", By::Name),
    ("size", By::Size),
    ("date", By::Modified),
];

/// What a folder can be sent as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// A page for people: [`FolderPage`](super::FolderPage).
    Html,
    /// A listing for programs: [`FolderJson`](super::FolderJson).
    Json,
    /// The folder and all below it: [`Zip`](crate::share::Zip).
    Zip,
    /// The folder and all below it: [`Tar`](crate::share::Tar).
    Tar,
}

/// What a folder's URL asks for after its question mark.
///
/// Whatever makes no sense is ignored rather than refused: links collect
/// parameters on their way through chats and mails.
///
/// ```
/// use hythe::share::By;
/// use hythe::web::{FolderQuery, Format};
///
/// let query = FolderQuery::parse(Some(b"json&sort=size&order=desc"));
/// assert_eq!(query.format, Some(Format::Json));
/// assert_eq!(query.order.by, By::Size);
/// assert!(query.order.descending);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FolderQuery {
    /// `?html`, `?json`, `?zip` or `?tar`; `None` leaves it to what the client
    /// accepts.
    pub format: Option<Format>,
    /// `?sort=name`, `size` or `date`, and `&order=asc` or `desc`: by name and
    /// ascending unless it says otherwise.
    pub order: Order,
    /// `?q=`: what names must contain to be listed, here and below; `None` if it
    /// is empty. A form writes it: a plus is a space.
    pub needle: Option<String>,
}

impl FolderQuery {
    /// Reads a query (RFC 3986 §3.4) without its question mark; `None` if the
    /// URL has none. Of a key that comes twice, the last counts.
    pub fn parse(raw: Option<&[u8]>) -> Self {
        let mut query = Self {
            format: None,
            order: Order {
                by: By::Name,
                descending: false,
            },
            needle: None,
        };
        for parameter in raw.unwrap_or_default().split(|&byte| byte == b'&') {
            let mut halves = parameter.splitn(2, |&byte| byte == b'=');
            let key = halves.next().unwrap_or_default();
            let value = halves.next().unwrap_or_default();
            match (key, value) {
                (b"html", _) => query.format = Some(Format::Html),
                (b"json", _) => query.format = Some(Format::Json),
                (b"zip", _) => query.format = Some(Format::Zip),
                (b"tar", _) => query.format = Some(Format::Tar),
                (b"sort", _) => {
                    if let Some((_, by)) = SORTS.iter().find(|(name, _)| name.as_bytes() == value) {
                        query.order.by = *by;
                    }
                }
                (b"q", _) => query.needle = needle(value),
                (b"order", b"asc") => query.order.descending = false,
                (b"order", b"desc") => query.order.descending = true,
                _ => {}
            }
        }
        query
    }
}

/// The value of a form's field, without what surrounds it; `None` if that is
/// nothing.
fn needle(value: &[u8]) -> Option<String> {
    let spaced: Vec<u8> = value
        .iter()
        .map(|&byte| if byte == b'+' { b' ' } else { byte })
        .collect();
    let bytes: Vec<u8> = percent_decode(&spaced).collect();
    let text = String::from_utf8_lossy(&bytes).trim().to_owned();
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries() {
        use Format::{Html, Json, Tar, Zip};
        let cases: &[(&str, Option<Format>, By, bool)] = &[
            ("", None, By::Name, false),
            ("json", Some(Json), By::Name, false),
            ("json=1", Some(Json), By::Name, false),
            ("zip", Some(Zip), By::Name, false),
            ("tar&", Some(Tar), By::Name, false),
            ("html", Some(Html), By::Name, false),
            ("zip&tar", Some(Tar), By::Name, false),
            ("sort=size", None, By::Size, false),
            ("sort=date&order=desc", None, By::Modified, true),
            ("order=desc", None, By::Name, true),
            ("order=desc&sort=name&order=asc", None, By::Name, false),
            ("json&sort=size&order=desc", Some(Json), By::Size, true),
            ("sort=none", None, By::Name, false),
            ("sort=size&sort=", None, By::Size, false),
            ("sort=size=date", None, By::Name, false),
            ("order=DESC", None, By::Name, false),
            ("JSON&utm_source=x&=&&%6Ason&=json", None, By::Name, false),
            ("\0\u{ff}=\u{202e}", None, By::Name, false),
        ];
        for &(raw, format, by, descending) in cases {
            let order = Order { by, descending };
            let expected = FolderQuery {
                format,
                order,
                needle: None,
            };
            assert_eq!(FolderQuery::parse(Some(raw.as_bytes())), expected, "{raw}");
        }
        assert_eq!(FolderQuery::parse(None), FolderQuery::parse(Some(b"")));
    }

    #[test]
    fn needles_are_as_forms_write_them() {
        for (raw, needle) in [
            ("q=", None),
            ("q", None),
            ("q=+%20", None),
            ("q=a+b%2Bc", Some("a b+c")),
            ("json&q=%E4%B8%AD", Some("中")),
            ("q=%ff%00", Some("\u{fffd}\0")),
            ("q=a=b&q=c%26d", Some("c&d")),
        ] {
            let query = FolderQuery::parse(Some(raw.as_bytes()));
            assert_eq!(query.needle.as_deref(), needle, "{raw}");
        }
    }
}
