//! As much of Markdown as the guide uses.

use std::fs;
use std::path::Path;

/// A page, cut into prose and fenced blocks.
pub(crate) struct Page(Vec<Part>);

enum Part {
    Line(String),
    Block { language: String, text: String },
}

impl Page {
    pub(crate) fn read(path: &Path) -> Self {
        let text =
            fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let mut parts = Vec::new();
        let mut open = None;
        for line in text.lines() {
            match (line.strip_prefix("```"), &mut open) {
                (Some(language), None) => open = Some((language.to_owned(), String::new())),
                (Some(_), Some(_)) => {
                    let (language, text) = open.take().unwrap();
                    parts.push(Part::Block { language, text });
                }
                (None, Some((_, text))) => {
                    text.push_str(line);
                    text.push('\n');
                }
                (None, None) => parts.push(Part::Line(line.to_owned())),
            }
        }
        assert!(open.is_none(), "{}: a block has no end", path.display());
        Self(parts)
    }

    /// The texts of all blocks of a language.
    pub(crate) fn blocks<'p>(&'p self, wanted: &'p str) -> impl Iterator<Item = &'p str> {
        self.0.iter().filter_map(move |part| match part {
            Part::Block { language, text } if language == wanted => Some(&text[..]),
            _ => None,
        })
    }

    pub(crate) fn all_blocks(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|part| match part {
            Part::Block { text, .. } => Some(&text[..]),
            Part::Line(_) => None,
        })
    }

    /// What is not in blocks, without what stands in backticks.
    pub(crate) fn prose(&self) -> String {
        let mut prose = String::new();
        for line in self.lines() {
            prose.push_str(line);
            prose.push('\n');
        }
        let pieces = prose.split('`').enumerate();
        // A link's text may be code: the backticks go, and what is between them
        // unless it looks like a link itself.
        pieces
            .filter(|(index, piece)| index % 2 == 0 || !piece.contains("]("))
            .map(|(_, piece)| piece)
            .collect()
    }

    fn lines(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|part| match part {
            Part::Line(line) => Some(&line[..]),
            Part::Block { .. } => None,
        })
    }

    /// The headings, each with its depth.
    fn headings(&self) -> impl Iterator<Item = (usize, &str)> {
        self.lines().filter_map(|line| {
            let text = line.trim_start_matches('#');
            let depth = line.len() - text.len();
            (depth > 0)
                .then(|| text.strip_prefix(' '))
                .flatten()
                .map(|text| (depth, text))
        })
    }

    pub(crate) fn title(&self) -> String {
        self.headings()
            .next()
            .expect("a page has a title")
            .1
            .to_owned()
    }

    /// What headings are called in addresses, by mdBook and by GitHub alike.
    pub(crate) fn anchors(&self) -> impl Iterator<Item = String> {
        self.headings().map(|(_, text)| {
            let kept = text.chars().filter_map(|letter| match letter {
                ' ' => Some('-'),
                '-' | '_' => Some(letter),
                _ if letter.is_alphanumeric() => Some(letter),
                _ => None,
            });
            kept.flat_map(char::to_lowercase).collect()
        })
    }

    /// The depths of headings and the languages of blocks, in their order.
    pub(crate) fn shape(&self) -> Vec<String> {
        let of = |part: &Part| match part {
            Part::Block { language, .. } => Some(format!("block {language}")),
            Part::Line(line) if line.starts_with('#') => line.split(' ').next().map(str::to_owned),
            Part::Line(_) => None,
        };
        self.0.iter().filter_map(of).collect()
    }
}

/// Where `[text](target)` leads.
pub(crate) fn links(prose: &str) -> impl Iterator<Item = String> {
    prose
        .split("](")
        .skip(1)
        .map(|rest| rest[..rest.find(')').expect("a link ends")].to_owned())
}
