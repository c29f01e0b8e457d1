//! A folder as a page, for people.

use std::io;

use askama::Template;

use super::query::SORTS;
use super::stream::{Layout, Streamed};
use super::{Bottom, Crumb, Lang, Setting, Top, text};
use crate::quantity;
use crate::share::{By, Entry, Hit, Order, Pieces, RelPath, Search, SearchLimits, View};

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

/// The page of what a search in a folder, and all below it, finds.
pub struct SearchPage {
    search: Search,
    share: String,
    setting: Setting,
    folder: RelPath,
    needle: String,
    begun: bool,
    tally: Tally,
}

impl SearchPage {
    /// The page of what is found for `needle` below `folder`. Blocks on the disk,
    /// but does not search yet.
    ///
    /// # Errors
    /// As [`View::search`].
    pub fn new(view: &View, folder: &RelPath, needle: &str, setting: &Setting) -> io::Result<Self> {
        Ok(Self {
            search: view.search(folder, needle, SearchLimits::default())?,
            share: text::shown(view.share().name().as_bytes()),
            setting: setting.clone(),
            folder: folder.clone(),
            needle: needle.to_owned(),
            begun: false,
            tally: Tally::default(),
        })
    }

    fn begin(&self, out: &mut Vec<u8>) -> io::Result<()> {
        let lang = self.setting.lang;
        let above = crumbs(&self.share, &self.setting.base, &self.folder);
        let needle = text::shown(self.needle.as_bytes());
        let here = lang.say("Found: {}").replacen("{}", &needle, 1);
        let head = Head {
            top: Top {
                setting: &self.setting,
                title: &here,
                here: &here,
                next: above.last().map_or("", |crumb| &crumb.href),
                above: &above,
            },
            lang,
            needle: Some(&self.needle),
            columns: columns(Order {
                by: By::None,
                descending: false,
            }),
            parent: None,
        };
        head.write_into(out)
    }

    fn end(&self, out: &mut Vec<u8>) -> io::Result<()> {
        let notes: &[&str] = if self.search.was_cut() {
            &["There is more than a search can look at. Search in a folder further down."]
        } else {
            &[]
        };
        Tail {
            lang: self.setting.lang,
            none: "Nothing here has this in its name.",
            summary: self.tally.summary(self.setting.lang),
            notes,
        }
        .write_into(out)
    }
}

impl Pieces for SearchPage {
    fn piece(&mut self, out: &mut Vec<u8>) -> io::Result<bool> {
        if !self.begun {
            // A piece of its own: what is looked for may be far away.
            self.begun = true;
            self.begin(out)?;
            return Ok(true);
        }
        let mut hits = Vec::new();
        let more = self.search.next_batch(&mut hits)?;
        for hit in &hits {
            self.tally.add(&hit.entry);
        }
        let base = self.setting.base.as_str();
        let rows = hits
            .iter()
            .filter_map(|hit| Row::found(base, &self.folder, hit));
        write_rows(rows.collect(), self.setting.lang, out)?;
        if !more {
            self.end(out)?;
        }
        Ok(more)
    }
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
        let lang = self.setting.lang;
        let head = Head {
            top: Top {
                setting: &self.setting,
                title: &title,
                above,
                here,
                next: crumbs.last().map_or("", |crumb| &crumb.href),
            },
            lang,
            needle: None,
            columns: columns(self.order),
            parent: above.last(),
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
        write_rows(rows.collect(), self.setting.lang, out)
    }

    fn end(&mut self, sorted: bool, out: &mut Vec<u8>) -> io::Result<()> {
        let lang = self.setting.lang;
        let summary = self.tally.summary(lang);
        let notes = if sorted {
            &[][..]
        } else {
            &[
                "This folder has too many entries to be sorted. They are listed as the disk has them.",
            ]
        };
        let none = if self.setting.may_upload() {
            "This folder is empty. What you upload will be here."
        } else {
            "This folder is empty."
        };
        Tail {
            lang,
            none,
            summary,
            notes,
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
            parts.push(quantity::size(self.bytes));
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

/// Everything before the first entry. What a script adds goes into the bar.
#[derive(Template)]
#[template(
    ext = "html",
    source = r##"{{ top|safe }}
<main>
<div class="bar">
<form class="search" role="search" action="./">
<input type="search" name="q" value="{{ needle.unwrap_or_default() }}" required
 aria-label="{{ lang.say("Search here and below") }}" placeholder="{{ lang.say("Search here and below") }}">
<button>{{ lang.say("Search") }}</button>
</form>
{%- if needle.is_none() %}
<ul class="downloads">
<li><a href="?zip" rel="nofollow">{{ lang.say("Download zip") }}</a></li>
<li><a href="?tar" rel="nofollow">{{ lang.say("Download tar") }}</a></li>
</ul>
{%- endif %}
</div>
{%- if top.setting.may_upload() && needle.is_none() %}
<form class="send" method="post" action="./" enctype="multipart/form-data">
{%- if top.setting.may_overwrite() %}
<label><input type="checkbox" name="overwrite" value="1"> {{ lang.say("Replace files of the same name") }}</label>
{%- endif %}
<label>{{ lang.say("Upload files") }} <input type="file" name="file" multiple required></label>
<button>{{ lang.say("Upload") }}</button>
</form>
{%- endif %}
<form id="listing"{% if needle.is_some() %} class="found"{% endif %} method="post" action="./?zip">
<table>
<caption>{% if needle.is_some() %}{{ lang.say("What was found") }}{% else %}{{ lang.say("Contents of this folder, folders first") }}{% endif %}</caption>
<thead>
<tr><td></td>
{%- for column in columns %}
<th scope="col"
{%- if needle.is_some() %}><span>{{ lang.say(column.label) }}</span>
{%- else %}{% if let Some(sorted) = column.sorted %} aria-sort="{{ sorted }}"{% endif -%}
><a href="?sort={{ column.key }}&amp;order={{ column.order }}" rel="nofollow">{{ lang.say(column.label) }}</a>
{%- endif %}</th>
{%- endfor %}
</tr>
</thead>
{%- if let Some(parent) = parent %}
<tbody class="parent">
<tr><td></td><th scope="row" colspan="3"><a href="{{ parent.href }}">{{ lang.say("Parent folder") }}</a></th></tr>
</tbody>
{%- endif %}
<tbody>
"##
)]
struct Head<'a> {
    top: Top<'a>,
    lang: Lang,
    /// What is searched for, on a page that shows what was found.
    needle: Option<&'a str>,
    columns: [Column; 3],
    parent: Option<&'a Crumb>,
}

/// An entry, ready to be shown.
struct Row {
    name: String,
    /// What a form says to choose this entry; none where no URL can name it.
    choice: Option<Choice>,
    href: Option<String>,
    folder: bool,
    program: bool,
    /// In which folder it was found.
    place: Option<String>,
    bytes: u64,
    size: String,
    time: Option<Time>,
}

/// How a form names an entry: by its name, or, where a form would change that on
/// the way (bytes that are not UTF-8, line ends), by its URL.
enum Choice {
    Name,
    Href,
}

/// A time for machines and for people.
struct Time {
    exact: String,
    shown: String,
}

impl Row {
    fn new(base: &str, folder: &RelPath, entry: &Entry) -> Self {
        let name = text::shown(&entry.name);
        let href = text::href(base, folder, entry);
        let unchanged = name.as_bytes() == &*entry.name;
        let choice = match &href {
            Some(_) if unchanged => Some(Choice::Name),
            Some(_) => Some(Choice::Href),
            None => None,
        };
        Self {
            name,
            choice,
            href,
            folder: entry.meta.is_folder(),
            program: entry.program,
            place: None,
            bytes: entry.meta.size,
            size: quantity::size(entry.meta.size),
            time: text::timestamp(entry.meta.modified).map(|time| Time {
                exact: time.to_string(),
                shown: time.strftime("%Y-%m-%d %H:%M").to_string(),
            }),
        }
    }

    /// Something that was found below `folder`.
    fn found(base: &str, folder: &RelPath, hit: &Hit) -> Option<Self> {
        let parent = hit.path.parent()?;
        let mut row = Self::new(base, &parent, &hit.entry);
        row.choice = None;
        let place = parent.as_bytes();
        let place = place.strip_prefix(folder.as_bytes()).unwrap_or(place);
        let place = text::shown(place.strip_prefix(b"/").unwrap_or(place));
        row.place = (!place.is_empty()).then_some(place);
        Some(row)
    }
}

fn write_rows(rows: Vec<Row>, lang: Lang, out: &mut Vec<u8>) -> io::Result<()> {
    Rows { lang, rows }.write_into(out)
}

/// Some entries. A line of a long page should be short: there may be 100,000.
#[derive(Template)]
#[template(
    ext = "html",
    source = r#"{% for row in rows -%}
<tr{% if row.folder %} class="folder"{% else if row.program %} class="program"{% endif %}><td>
{%- match row.choice -%}
{%- when Some(Choice::Name) %}<input type="checkbox" name="name" value="{{ row.name }}" aria-label="{{ row.name }}">
{%- when Some(Choice::Href) %}<input type="checkbox" name="href" value="{{ row.href.as_deref().unwrap_or_default() }}" aria-label="{{ row.name }}">
{%- when None %}
{%- endmatch -%}
</td><th scope="row">
{%- match row.href -%}
{%- when Some(href) %}<a href="{{ href }}">
{%- when None %}<span title="{{ lang.say("No link can hold this name") }}">
{%- endmatch -%}
{%- if row.folder %}<span class="unseen">{{ lang.say("Folder") }} </span>{% endif -%}
<bdi>{{ row.name }}</bdi>{% if row.folder %}/{% endif -%}
{%- if let Some(place) = row.place %} <small><bdi>{{ place }}</bdi></small>{% endif -%}
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
<p class="empty">{{ lang.say(none) }}</p>
{%- endif %}
<p class="chosen"><button>{{ lang.say("Download selected as zip") }}</button></p>
</form>
</main>
<footer>
{%- for note in notes %}
<p>{{ lang.say(note) }}</p>
{%- endfor %}
{%- if let Some(summary) = summary %}
<p>{{ summary }}</p>
{%- endif %}
</footer>
{{ Bottom|safe }}"#
)]
struct Tail<'a> {
    lang: Lang,
    /// What is said where there is no entry.
    none: &'a str,
    summary: Option<String>,
    notes: &'a [&'a str],
}
