//! The guide in `docs/`: its programs are the files that are compiled, its
//! sessions are played against them as they stand there, and its links lead
//! somewhere.

#[path = "guide/markdown.rs"]
mod markdown;
#[path = "guide/session.rs"]
mod session;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use markdown::{Page, links};
use session::Session;

/// A test for each chapter, so that they run side by side and fail by name.
macro_rules! chapters {
    ($($test:ident: $name:literal,)*) => {
        const CHAPTERS: &[&str] = &[$($name),*];
        $(#[test] fn $test() { play($name); })*
    };
}

chapters! {
    one_accept: "01-accept",
    frames: "02-frames",
    threads: "03-threads",
    select: "04-select",
    the_reactor: "05-reactor",
    a_server: "06-server",
    http_by_hand: "07-http",
    a_router: "08-router",
    live_pages: "09-live",
    an_application: "10-accounts",
}

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

fn docs() -> PathBuf {
    root().join("docs")
}

/// What a reader of this chapter would do, in one shell.
fn play(chapter: &str) {
    let page = Page::read(&docs().join(format!("src/{chapter}.md")));
    let commands: Vec<_> = page.blocks("console").flat_map(session::commands).collect();
    assert!(!commands.is_empty(), "{chapter} has no session");
    let mut session = Session::new();
    let mut programs = BTreeSet::new();
    for command in &commands {
        programs.extend(session.run(command));
    }
    session.end();
    let own = BTreeSet::from([chapter.replace('-', "_")]);
    assert_eq!(programs, own, "{chapter} runs its program and no other");
}

#[test]
fn a_browser_can_do_what_the_chapters_with_pages_say() {
    for chapter in ["08-router", "09-live", "10-accounts"] {
        let session = Session::serving(&chapter.replace('-', "_"));
        let mut python = Command::new("python3");
        python.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/browser/guide.py"));
        let output = python.arg(chapter).arg(session.address()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{chapter}: {said}");
    }
}

fn names(folder: &Path, extension: &str) -> BTreeSet<String> {
    let paths = fs::read_dir(folder)
        .unwrap()
        .map(|file| file.unwrap().path());
    let paths = paths.filter(|path| path.extension().is_some_and(|found| found == extension));
    paths
        .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
        .collect()
}

#[test]
fn a_chapter_shows_its_program_as_it_is_compiled() {
    let programs = names(&docs().join("code"), "rs");
    let wanted: BTreeSet<_> = CHAPTERS.iter().map(|name| name.replace('-', "_")).collect();
    assert_eq!(programs, wanted);
    for chapter in CHAPTERS {
        let program = docs().join(format!("code/{}.rs", chapter.replace('-', "_")));
        let program = fs::read_to_string(program).unwrap();
        let page = Page::read(&docs().join(format!("src/{chapter}.md")));
        let mut whole = 0;
        for block in page.blocks("rust") {
            // A part is repeated where something is said about it.
            assert!(
                program.contains(block),
                "{chapter} shows what is not in its program:\n{block}"
            );
            whole += usize::from(block == program);
        }
        assert_eq!(
            whole, 1,
            "{chapter} is to show its program once, just as it is"
        );
    }
}

#[test]
fn the_summary_names_every_page_once_and_the_chapters_in_order() {
    let source = docs().join("src");
    let summary = Page::read(&source.join("SUMMARY.md"));
    let named: Vec<_> = links(&summary.prose()).collect();
    let files: Vec<_> = named
        .iter()
        .map(|link| link.strip_suffix(".md").unwrap())
        .collect();
    let chapters: Vec<_> = files
        .iter()
        .filter(|name| name.starts_with(|c: char| c.is_ascii_digit()))
        .collect();
    assert!(chapters.into_iter().eq(CHAPTERS), "{files:?}");
    let mut pages = names(&source, "md");
    pages.remove("SUMMARY");
    assert_eq!(
        files.len(),
        pages.len(),
        "a page is named twice, or not at all"
    );
    assert_eq!(
        files
            .iter()
            .map(|name| (*name).to_owned())
            .collect::<BTreeSet<_>>(),
        pages
    );
    for (file, chapter) in files
        .iter()
        .zip(1..)
        .filter(|(name, _)| CHAPTERS.contains(*name))
    {
        let title = Page::read(&source.join(format!("{file}.md"))).title();
        assert!(
            summary.prose().contains(&format!("[{title}]")),
            "{chapter}: {title:?} is called otherwise"
        );
    }
}

#[test]
fn every_relative_link_leads_to_a_file_and_a_heading() {
    let source = docs().join("src");
    let pages = names(&source, "md")
        .into_iter()
        .map(|name| source.join(name + ".md"));
    let readmes = ["README.md", "README.zh-CN.md", "CONTRIBUTING.md"].map(|name| root().join(name));
    let mut checked = 0;
    for path in pages.chain(readmes) {
        let page = Page::read(&path);
        for link in links(&page.prose()) {
            if link.contains("://") {
                continue;
            }
            let (file, anchor) = link.split_once('#').unwrap_or((&link, ""));
            let target = match file {
                "" => path.clone(),
                file => path.parent().unwrap().join(file),
            };
            assert!(target.exists(), "{}: {link} leads nowhere", path.display());
            // Of a book only what is in `src` is rendered.
            let inside = target
                .canonicalize()
                .unwrap()
                .starts_with(source.canonicalize().unwrap());
            assert!(
                inside || !path.starts_with(&source),
                "{}: {link} leaves the book",
                path.display()
            );
            let found =
                anchor.is_empty() || Page::read(&target).anchors().any(|found| found == anchor);
            assert!(found, "{}: {link} names no heading", path.display());
            checked += 1;
        }
    }
    assert!(checked > 20, "only {checked} links were found");
}

#[test]
fn both_readmes_have_the_same_parts_and_the_same_commands() {
    let [english, chinese] =
        ["README.md", "README.zh-CN.md"].map(|name| Page::read(&root().join(name)));
    assert_eq!(english.shape(), chinese.shape());
    let commands = |page: &Page| -> Vec<String> {
        let lines = page.all_blocks().flat_map(str::lines);
        let lines = lines
            .filter_map(|line| line.split(" #").next())
            .map(str::trim_end);
        lines
            .filter(|line| !line.is_empty())
            .map(str::to_owned)
            .collect()
    };
    for (one, other) in commands(&english).iter().zip(&commands(&chinese)) {
        assert_eq!(one, other);
    }
    assert_eq!(commands(&english).len(), commands(&chinese).len());
}
