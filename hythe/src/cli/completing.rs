//! What the Tab key offers in the shell: commands, and names on either side.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fs;
use std::path::Path;

use rustyline::completion::{Completer, Pair};
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::validate::Validator;
use rustyline::{Context, Helper};

use super::remote::shown;
use super::shell::{COMMANDS, Shell};
use super::words::{Word, quote, split};
use crate::client::Kind;

/// Completes lines for a shell.
pub(super) struct Completing<'a> {
    shell: &'a Shell,
    /// Folders that were listed for the line that is being typed.
    listed: RefCell<HashMap<String, Vec<(String, bool)>>>,
}

impl<'a> Completing<'a> {
    pub(super) fn new(shell: &'a Shell) -> Self {
        Self {
            shell,
            listed: RefCell::default(),
        }
    }

    /// Names of a folder on the server, and whether each is a folder.
    fn remote(&self, folder: &str) -> Vec<(String, bool)> {
        let path = self.shell.folder().resolve(folder.as_bytes()).as_folder();
        let key = path.encoded().to_owned();
        if let Some(names) = self.listed.borrow().get(&key) {
            return names.clone();
        }
        // What can't be listed has no names to offer.
        let entries = self.shell.list_soon(&path).unwrap_or_default();
        let names = entries.into_iter().filter_map(|entry| {
            let name = String::from_utf8(entry.name).ok()?;
            // The line that is typed goes to the terminal as it is.
            let name = Some(name).filter(|name| !name.contains(char::is_control))?;
            Some((name, entry.kind == Kind::Folder))
        });
        let names: Vec<_> = names.collect();
        self.listed.borrow_mut().insert(key, names.clone());
        names
    }
}

/// Names of a folder on this machine, and whether each is a folder.
fn local(folder: &str) -> Vec<(String, bool)> {
    let folder = if folder.is_empty() {
        Path::new(".")
    } else {
        Path::new(folder)
    };
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let names = entries.filter_map(|entry| {
        let entry = entry.ok()?;
        let name = entry.file_name().into_string().ok()?;
        Some((name, entry.path().is_dir()))
    });
    let mut names: Vec<_> = names.collect();
    names.sort();
    names
}

impl Completer for Completing<'_> {
    type Candidate = Pair;

    fn complete(
        &self,
        line: &str,
        position: usize,
        _: &Context<'_>,
    ) -> rustyline::Result<(usize, Vec<Pair>)> {
        let typed = &line[..position];
        let mut words = split(typed).unwrap_or_else(|words| words);
        let is_new = typed.is_empty() || typed.ends_with(' ') && !typed.ends_with("\\ ");
        let word = if is_new { None } else { words.pop() };
        let word = word.unwrap_or_else(|| Word {
            start: position,
            ..Word::default()
        });
        let Some(verb) = words.first() else {
            self.listed.borrow_mut().clear();
            let commands = COMMANDS.iter().map(|(name, ..)| *name);
            let commands = commands.filter(|name| name.starts_with(&word.text));
            let pair = |name: &str| Pair {
                display: name.into(),
                replacement: format!("{name} "),
            };
            return Ok((word.start, commands.map(pair).collect()));
        };
        let (folder, start) = match word.text.rfind('/') {
            Some(slash) => word.text.split_at(slash + 1),
            None => ("", word.text.as_str()),
        };
        let is_local = match (verb.text.as_str(), words.len()) {
            ("lcd" | "mput", _) | ("put", 1) | ("get", 2) => true,
            ("register" | "login" | "help" | "quit" | "pwd" | "lpwd", _) => {
                return Ok((word.start, Vec::new()));
            }
            _ => false,
        };
        let only_folders = matches!(verb.text.as_str(), "cd" | "lcd" | "rmdir");
        let names = if is_local {
            local(folder)
        } else {
            self.remote(folder)
        };
        let fitting = names.into_iter().filter(|(name, is_folder)| {
            name.starts_with(start)
                && (*is_folder || !only_folders)
                && (!name.starts_with('.') || start.starts_with('.'))
        });
        let pairs = fitting.map(|(name, is_folder)| {
            let end = if is_folder { "/" } else { " " };
            Pair {
                display: shown(name.as_bytes()) + end.trim_end(),
                replacement: quote(&format!("{folder}{name}")) + end,
            }
        });
        Ok((word.start, pairs.collect()))
    }
}

impl Hinter for Completing<'_> {
    type Hint = String;
}

impl Highlighter for Completing<'_> {}
impl Validator for Completing<'_> {}
impl Helper for Completing<'_> {}
