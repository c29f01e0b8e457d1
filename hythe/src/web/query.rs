//! What the query of a folder's URL asks for.

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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FolderQuery {
    /// `?html`, `?json`, `?zip` or `?tar`; `None` leaves it to what the client
    /// accepts.
    pub format: Option<Format>,
    /// `?sort=name`, `size` or `date`, and `&order=asc` or `desc`: by name and
    /// ascending unless it says otherwise.
    pub order: Order,
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
                (b"order", b"asc") => query.order.descending = false,
                (b"order", b"desc") => query.order.descending = true,
                _ => {}
            }
        }
        query
    }
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
            let expected = FolderQuery { format, order };
            assert_eq!(FolderQuery::parse(Some(raw.as_bytes())), expected, "{raw}");
        }
        assert_eq!(FolderQuery::parse(None), FolderQuery::parse(Some(b"")));
    }
}
