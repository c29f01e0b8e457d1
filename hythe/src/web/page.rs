//! A folder as a page, for people.

use std::io;

use askama::Template;

use super::query::SORTS;
use super::stream::{Layout, Streamed};
use super::{Bottom, Crumb, Lang, Setting, Top, text};
use crate::share::{By, Entry, Order, Pieces, RelPath, View};

/// A folder's page in HTML.
///
/// Its first piece is the head and the links around the listing, made before
/// the folder is read; its last says how much there was.
pub struct FolderPage(Streamed<Html>);

impl FolderPage {
    /// The page of the folder at `path`. Blocks on the disk, but does not read
    /// the folder yet.
    ///
    /// # Errors
    /// As [`View::list`].
    pub fn new(view: &View, path: &RelPath, order: Order, setting: &Setting) -> io::Result<Self> {
        let html = Html {
            share: text::shown(view.share().name().as_bytes()),
            setting: setting.clone(),
            order,
            tally: Tally::default(),
        };
        Ok(Self(Streamed::new(view.list(path, order)?, html)))
    }
}

impl Pieces for FolderPage {
    fn piece(&mut self, out: &mut Vec<u8>) -> io::Result<bool> {
        self.0.piece(out)
    }
}

struct Html {
    share: String,
    setting: Setting,
    order: Order,
    tally: Tally,
}

/// What has been listed so far.
#[derive(Default)]
struct Tally {
    folders: u64,
    files: u64,
    bytes: u64,
}

impl Layout for Html {
    fn begin(&mut self, folder: &RelPath, out: &mut Vec<u8>) -> io::Result<()> {
        let crumbs = crumbs(&self.share, &self.setting.base, folder);
        let (here, above) = match crumbs.split_last() {
            Some((here, above)) => (here.name.as_str(), above),
            None => (self.share.as_str(), &[][..]),
        };
        let title = match above {
            [] => here.to_owned(),
            _ => format!("{here} – {}", self.share),
        };
        let head = Head {
            top: Top {
                setting: &self.setting,
                title: &title,
                above,
                here,
                next: crumbs.last().map_or("/", |crumb| &crumb.href),
            },
            lang: self.setting.lang,
            columns: columns(self.order),
        };
        head.write_into(out)
    }

    fn entries(
        &mut self,
        folder: &RelPath,
        entries: &[Entry],
        out: &mut Vec<u8>,
    ) -> io::Result<()> {
        for entry in entries {
            self.tally.add(entry);
        }
        let base = self.setting.base.as_str();
        let rows = entries.iter().map(|entry| Row::new(base, folder, entry));
        Rows {
            rows: rows.collect(),
            lang: self.setting.lang,
        }
        .write_into(out)
    }

    fn end(&mut self, sorted: bool, out: &mut Vec<u8>) -> io::Result<()> {
        let lang = self.setting.lang;
        let summary = self.tally.summary(lang);
        Tail {
            lang,
            summary,
            sorted,
        }
        .write_into(out)
    }
}

impl Tally {
    fn add(&mut self, entry: &Entry) {
        if entry.meta.is_folder() {
            self.folders += 1;
        } else {
            self.files += 1;
            // Sparse files may claim more than fits.
            self.bytes = self.bytes.saturating_add(entry.meta.size);
        }
    }

    /// `1 folder, 2 files, 3.4 KiB`; `None` if there was nothing.
    fn summary(&self, lang: Lang) -> Option<String> {
        let mut parts = Vec::new();
        if self.folders > 0 {
            parts.push(text::folders(lang, self.folders));
        }
        if self.files > 0 {
            parts.push(text::files(lang, self.files));
            parts.push(text::size(self.bytes));
        }
        (!parts.is_empty()).then(|| parts.join(lang.comma()))
    }
}

/// The folders on the way from the root of the share to where the visitor is.
fn crumbs(share: &str, base: &str, folder: &RelPath) -> Vec<Crumb> {
    let mut crumbs = Vec::new();
    let mut next = Some(folder.clone());
    while let Some(path) = next {
        let mut href = base.to_owned();
        path.url_path(true, &mut href);
        let name = path.name().map_or_else(|| share.to_owned(), text::shown);
        crumbs.push(Crumb { name, href });
        next = path.parent();
    }
    crumbs.reverse();
    crumbs
}

/// The head of a column, and what its link sorts by.
struct Column {
    label: &'static str,
    key: &'static str,
    /// What `aria-sort` says, where this is what the page is sorted by.
    sorted: Option<&'static str>,
    /// The order that the link asks for.
    order: &'static str,
}

/// The column that decides the order has a link to turn it around; the others
/// begin with what people look for first: the largest, the latest.
fn columns(order: Order) -> [Column; 3] {
    SORTS.map(|(key, by)| {
        let label = match by {
            By::Size => "Size",
            By::Modified => "Modified (UTC)",
            By::Name | By::None => "Name",
        };
        let chosen = by == order.by;
        let descends = if chosen {
            !order.descending
        } else {
            by != By::Name
        };
        let sorted = if order.descending {
            "descending"
        } else {
            "ascending"
        };
        Column {
            label,
            key,
            sorted: chosen.then_some(sorted),
            order: if descends { "desc" } else { "asc" },
        }
    })
}

/// Everything before the first entry.
#[derive(Template)]
#[template(
    ext = "html",
    source = r##"{{ top|safe }}
<main>
<ul class="downloads">
<li><a href="?zip" rel="nofollow">{{ lang.say("Download zip") }}</a></li>
<li><a href="?tar" rel="nofollow">{{ lang.say("Download tar") }}</a></li>
</ul>
{%- if top.setting.may_upload() %}
<form class="send" method="post" action="./" enctype="multipart/form-data">
<label>{{ lang.say("Upload files") }} <input type="file" name="file" multiple required></label>
<button>{{ lang.say("Upload") }}</button>
</form>
{%- endif %}
<table>
<caption>{{ lang.say("Contents of this folder, folders first") }}</caption>
<thead>
<tr>
{%- for column in columns %}
<th scope="col"{% if let Some(sorted) = column.sorted %} aria-sort="{{ sorted }}"{% endif -%}
><a href="?sort={{ column.key }}&amp;order={{ column.order }}" rel="nofollow">{{ lang.say(column.label) }}</a></th>
{%- endfor %}
</tr>
</thead>
{%- if let Some(parent) = top.above.last() %}
<tbody class="parent">
<tr><th scope="row" colspan="3"><a href="{{ parent.href }}">{{ lang.say("Parent folder") }}</a></th></tr>
</tbody>
{%- endif %}
<tbody>
"##
)]
struct Head<'a> {
    top: Top<'a>,
    lang: Lang,
    columns: [Column; 3],
}

/// An entry, ready to be shown.
struct Row {
    name: String,
    href: Option<String>,
    folder: bool,
    bytes: u64,
    size: String,
    time: Option<Time>,
}

/// A time for machines and for people.
struct Time {
    exact: String,
    shown: String,
}

impl Row {
    fn new(base: &str, folder: &RelPath, entry: &Entry) -> Self {
        Self {
            name: text::shown(&entry.name),
            href: text::href(base, folder, entry),
            folder: entry.meta.is_folder(),
            bytes: entry.meta.size,
            size: text::size(entry.meta.size),
            time: text::timestamp(entry.meta.modified).map(|time| Time {
                exact: time.to_string(),
                shown: time.strftime("%Y-%m-%d %H:%M").to_string(),
            }),
        }
    }
}

/// Some entries. A line of a long page should be short: there may be 100,000.
#[derive(Template)]
#[template(
    ext = "html",
    source = r#"{% for row in rows -%}
<tr{% if row.folder %} class="folder"{% endif %}><th scope="row">
{%- match row.href -%}
{%- when Some(href) %}<a href="{{ href }}">
{%- when None %}<span title="{{ lang.say("No link can hold this name") }}">
{%- endmatch -%}
{%- if row.folder %}<span class="unseen">{{ lang.say("Folder") }} </span>{% endif -%}
<bdi>{{ row.name }}</bdi>{% if row.folder %}/{% endif -%}
{%- if row.href.is_some() %}</a>{% else %}</span>{% endif -%}
</th><td>
{%- if !row.folder %}<data value="{{ row.bytes }}" title="{{ row.bytes }} bytes">{{ row.size }}</data>{% endif -%}
</td><td>
{%- if let Some(time) = row.time %}<time datetime="{{ time.exact }}">{{ time.shown }}</time>{% endif -%}
</td></tr>
{% endfor %}"#
)]
struct Rows {
    lang: Lang,
    rows: Vec<Row>,
}

/// Everything after the last entry.
#[derive(Template)]
#[template(
    ext = "html",
    source = r#"</tbody>
</table>
{%- if summary.is_none() %}
<p class="empty">{{ lang.say("This folder is empty.") }}</p>
{%- endif %}
</main>
<footer>
{%- if !sorted %}
<p>{{ lang.say("This folder has too many entries to be sorted. They are listed as the disk has them.") }}</p>
{%- endif %}
{%- if let Some(summary) = summary %}
<p>{{ summary }}</p>
{%- endif %}
</footer>
{{ Bottom|safe }}"#
)]
struct Tail {
    lang: Lang,
    summary: Option<String>,
    sorted: bool,
}
