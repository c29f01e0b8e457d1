//! A folder's page and its JSON, from real folders with nasty names.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use hythe::share::{Access, By, Order, Pieces, RelPath, Share, View};
use hythe::web::{
    self, FolderJson, FolderPage, FolderQuery, Lang, SCRIPT, SearchJson, SearchPage, Setting,
};
use serde_json::Value;
use tempfile::TempDir;

const BY_NAME: Order = Order {
    by: By::Name,
    descending: false,
};

/// Names that have broken somebody's listing before.
fn nasty_names() -> Vec<Vec<u8>> {
    let mut names: Vec<Vec<u8>> = [
        "<script>alert(1)<",
        "\" onmouseover=\"alert(1)",
        "' onclick='alert(1)",
        "&amp;",
        "javascript:alert(1)",
        "{{ 7 * 7 }}",
        "two\nlines",
        "\u{1b}[2J",
        "invoice\u{202e}fdp.exe",
        "\u{2066}isolated",
        "back\\slash",
        "100%",
        "%2e%2e",
        "?json#top",
        "  two  spaces  ",
        "…",
        ".hidden",
        "中文 名字.txt",
        "שלום.txt",
    ]
    .map(|name| name.as_bytes().to_vec())
    .into();
    names.push(b"\xff\xfe latin \xe9".to_vec());
    names.push("长".repeat(85).into_bytes());
    names.push(vec![b'w'; 255]);
    names.push(vec![b'\''; 255]);
    names
}

/// Those of them that no URL can name.
const NAMELESS: [&[u8]; 2] = [b"back\\slash", b"\x1b[2J"];

fn write(folder: &Path, name: &[u8], content: &str) {
    fs::write(folder.join(OsStr::from_bytes(name)), content).unwrap();
}

fn nasty_folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for name in nasty_names() {
        write(folder.path(), &name, "content");
    }
    folder
}

fn view(folder: &TempDir) -> View {
    Share::open(folder.path()).unwrap().view(Access::Read)
}

fn path(text: &str) -> RelPath {
    RelPath::root().resolve(text.as_bytes()).unwrap()
}

fn text(mut pieces: impl Pieces) -> String {
    let mut out = Vec::new();
    while pieces.piece(&mut out).unwrap() {}
    String::from_utf8(out).unwrap()
}

fn page(folder: &TempDir, at: &str, order: Order) -> String {
    text(FolderPage::new(&view(folder), &path(at), order, &Setting::default()).unwrap())
}

fn json(folder: &TempDir, at: &str) -> Value {
    let json =
        text(FolderJson::new(&view(folder), &path(at), BY_NAME, &Setting::default()).unwrap());
    serde_json::from_str(&json).unwrap()
}

/// What stands between `open` and `close`, wherever it does.
fn between<'a>(text: &'a str, open: &str, close: &str) -> Vec<&'a str> {
    let found = text.split(open).skip(1);
    found
        .map(|rest| rest.split(close).next().unwrap())
        .collect()
}

#[test]
fn nasty_names_stay_text_on_the_page() {
    let folder = nasty_folder();
    let page = page(&folder, "", BY_NAME);
    let (_, body) = page.split_once("</style>").unwrap();

    // The only elements and attributes are those of the templates.
    assert!(!body.contains("<script"));
    for tag in between(body, "<", ">") {
        let quotes = tag.matches('"').count();
        assert!(quotes % 2 == 0, "{tag}");
        let mut outside_quotes = tag.split('"').step_by(2);
        assert!(!outside_quotes.any(|part| part.contains(" on")), "{tag}");
    }
    // Everything that could act unseen is visible or gone.
    let unseen = |c: char| {
        (c.is_control() && c != '\n') || ('\u{202a}'..='\u{202e}').contains(&c) || c == '\u{2066}'
    };
    assert!(!body.contains(unseen));
    let names = between(body, "<bdi>", "</bdi>");
    assert!(names.contains(&"two␊lines"));
    assert!(names.contains(&"invoice\u{fffd}fdp.exe"));
    assert!(names.contains(&"&#60;script&#62;alert(1)&#60;"));
    assert!(names.contains(&"&#38;amp;"));
    assert!(names.contains(&"  two  spaces  "));
    assert!(names.contains(&"{{ 7 * 7 }}"));
    assert!(names.contains(&".hidden"));
}

#[test]
fn every_link_of_the_page_leads_back_to_its_file() {
    let folder = nasty_folder();
    let mut found = Vec::new();
    for href in between(&page(&folder, "", BY_NAME), "<a href=\"", "\"") {
        if let Some(query) = href.strip_prefix('?') {
            assert!(query.bytes().all(|byte| byte.is_ascii_graphic()));
            continue;
        }
        assert!(href.starts_with('/') && !href.starts_with("//"), "{href}");
        let (path, is_folder) = RelPath::from_url_path(href.as_bytes()).unwrap();
        assert!(!is_folder);
        found.push(path.as_bytes().to_vec());
    }
    found.sort();
    let mut expected = nasty_names();
    expected.retain(|name| !NAMELESS.contains(&name.as_slice()));
    expected.sort();
    assert_eq!(found, expected);
}

#[test]
fn nasty_names_are_json() {
    let folder = nasty_folder();
    let listing = json(&folder, "");
    assert_eq!(listing["path"], "/");
    assert_eq!(listing["sorted"], true);
    let entries = listing["entries"].as_array().unwrap();
    let mut found = Vec::new();
    for entry in entries {
        assert_eq!(entry["type"], "file");
        assert_eq!(entry["size"], 7);
        assert!(entry["modified"].as_str().unwrap().ends_with('Z'));
        let name = entry["name"].as_str().unwrap();
        match entry["href"].as_str() {
            None => assert!(NAMELESS.contains(&name.as_bytes())),
            Some(href) => {
                let (path, _) = RelPath::from_url_path(href.as_bytes()).unwrap();
                assert_eq!(String::from_utf8_lossy(path.as_bytes()), name);
                found.push(path.as_bytes().to_vec());
            }
        }
    }
    assert_eq!(entries.len(), nasty_names().len());
    assert!(found.contains(&b"\xff\xfe latin \xe9".to_vec()));
}

#[test]
fn folders_below_the_root_know_their_way_up() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir_all(folder.path().join("a b/<c>/d")).unwrap();
    write(&folder.path().join("a b/<c>"), b"file", "four");
    let inner = page(&folder, "a b/<c>", BY_NAME);
    let links = between(&inner, "<a href=\"/", "\"");
    assert_eq!(
        links,
        [
            "",
            "a%20b/",
            "a%20b/",
            "a%20b/%3Cc%3E/d/",
            "a%20b/%3Cc%3E/file"
        ]
    );
    assert!(inner.contains("<h1 aria-current=\"page\"><bdi>&#60;c&#62;</bdi></h1>"));
    assert!(inner.contains("Parent folder"));
    assert!(inner.contains("<p>1 folder, 1 file, 4 B</p>"));

    let root = page(&folder, "", BY_NAME);
    assert!(!root.contains("Parent folder"));
    assert!(root.contains("<p>1 folder</p>"));
    assert!(page(&folder, "a b/<c>/d", BY_NAME).contains("This folder is empty."));

    let listing = json(&folder, "a b/<c>");
    assert_eq!(listing["path"], "/a b/<c>");
    assert_eq!(listing["entries"][0]["type"], "folder");
    assert_eq!(listing["entries"][0]["size"], Value::Null);
    assert_eq!(listing["entries"][0]["href"], "/a%20b/%3Cc%3E/d/");
    assert_eq!(
        json(&folder, "a b/<c>/d")["entries"],
        Value::Array(Vec::new())
    );
}

#[test]
fn columns_turn_the_order_around() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), b"large", "1234567890");
    write(folder.path(), b"small", "1");
    for (query, sorted, links, first) in [
        (
            "",
            "ascending",
            ["name.desc", "size.desc", "date.desc"],
            "large",
        ),
        (
            "order=desc",
            "descending",
            ["name.asc", "size.desc", "date.desc"],
            "small",
        ),
        (
            "sort=size",
            "ascending",
            ["name.asc", "size.desc", "date.desc"],
            "small",
        ),
        (
            "sort=size&order=desc",
            "descending",
            ["name.asc", "size.asc", "date.desc"],
            "large",
        ),
    ] {
        let order = FolderQuery::parse(Some(query.as_bytes())).order;
        let page = page(&folder, "", order);
        assert_eq!(between(&page, "aria-sort=\"", "\""), [sorted], "{query}");
        let hrefs = between(&page, "\"?sort=", "\"");
        assert_eq!(
            hrefs,
            links.map(|link| link.replace('.', "&amp;order=")),
            "{query}"
        );
        assert_eq!(
            between(&page, "\"row\"><a href=\"/", "\"")[0],
            first,
            "{query}"
        );
    }
}

#[test]
fn the_head_comes_before_the_folder_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let mut page = FolderPage::new(
        &view(&folder),
        &RelPath::root(),
        BY_NAME,
        &Setting::default(),
    )
    .unwrap();
    let mut json = FolderJson::new(
        &view(&folder),
        &RelPath::root(),
        BY_NAME,
        &Setting::default(),
    )
    .unwrap();
    let (mut html, mut listing) = (Vec::new(), Vec::new());
    assert!(page.piece(&mut html).unwrap());
    assert!(json.piece(&mut listing).unwrap());
    assert!(html.ends_with(b"<tbody>\n"));
    write(folder.path(), b"late", "");
    assert!(text(page).contains("late"));
    assert!(text(json).contains("late"));
}

#[test]
fn what_is_found_is_listed_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir_all(folder.path().join("a b/<deep>")).unwrap();
    write(folder.path(), b"Needle", "1");
    write(&folder.path().join("a b"), b"other", "22");
    write(&folder.path().join("a b/<deep>"), b"a needle's eye", "333");
    let view = view(&folder);
    let setting = Setting::default();
    let search =
        |at: &str, needle: &str| text(SearchPage::new(&view, &path(at), needle, &setting).unwrap());
    let found = search("", "needle");
    let mut links = between(&found, "\"row\"><a href=\"", "\"");
    links.sort_unstable();
    assert_eq!(links, ["/Needle", "/a%20b/%3Cdeep%3E/a%20needle%27s%20eye"]);
    assert!(found.contains("<small><bdi>a b/&#60;deep&#62;</bdi></small>"));
    assert!(found.contains("<h1 aria-current=\"page\"><bdi>Found: needle</bdi></h1>"));
    assert!(found.contains("<p>2 files, 4 B</p>"));
    assert!(!found.contains("type=\"checkbox\""));
    assert!(search("a b", "eye").contains("<small><bdi>&#60;deep&#62;</bdi></small>"));
    assert!(search("a b", "<x>\"").contains("value=\"&#60;x&#62;&#34;\""));
    assert!(search("a b", "nothing").contains("Nothing here has this in its name."));

    let json = text(SearchJson::new(&view, &path("a b"), "EYE", &setting).unwrap());
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["path"], "/a b");
    assert_eq!(json["complete"], true);
    assert_eq!(json["hits"].as_array().unwrap().len(), 1);
    assert_eq!(json["hits"][0]["path"], "/a b/<deep>/a needle's eye");
    assert_eq!(json["hits"][0]["name"], "a needle's eye");
    assert_eq!(json["hits"][0]["size"], 3);
}

#[test]
fn forms_name_entries_by_what_arrives_as_it_was() {
    let folder = nasty_folder();
    let page = page(&folder, "", BY_NAME);
    let boxes = page.matches("type=\"checkbox\"").count();
    assert_eq!(boxes, nasty_names().len() - NAMELESS.len());
    let by_href = between(&page, "name=\"href\" value=\"", "\"");
    for href in &by_href {
        RelPath::from_url_path(href.as_bytes()).unwrap();
    }
    assert!(by_href.contains(&"/two%0Alines"), "{by_href:?}");
    assert!(by_href.iter().any(|href| href.contains("%FF%FE")));
    assert!(between(&page, "name=\"name\" value=\"", "\"").contains(&"&#38;amp;"));
}

#[test]
fn what_is_no_folder_has_no_page() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), b"file", "");
    for at in ["file", "nothing"] {
        assert!(FolderPage::new(&view(&folder), &path(at), BY_NAME, &Setting::default()).is_err());
        assert!(FolderJson::new(&view(&folder), &path(at), BY_NAME, &Setting::default()).is_err());
    }
}

#[test]
fn a_large_folder_comes_in_small_pieces() {
    const FILES: usize = 50_000;
    /// One piece and the longest batch that can come on top of it, roughly.
    const LIMIT: usize = hythe::share::PIECE * 2;

    let folder = tempfile::tempdir().unwrap();
    for number in 0..FILES {
        write(
            folder.path(),
            format!("file number {number:05}.txt").as_bytes(),
            "",
        );
    }
    let view = view(&folder);
    let bodies: [Box<dyn Pieces>; 2] = [
        Box::new(FolderPage::new(&view, &RelPath::root(), BY_NAME, &Setting::default()).unwrap()),
        Box::new(FolderJson::new(&view, &RelPath::root(), BY_NAME, &Setting::default()).unwrap()),
    ];
    let [html, json] = bodies.map(|mut body| {
        let (mut whole, mut more) = (Vec::new(), true);
        while more {
            let mut piece = Vec::new();
            more = body.piece(&mut piece).unwrap();
            assert!(piece.len() <= LIMIT);
            whole.append(&mut piece);
        }
        // Asking again changes nothing.
        assert!(!body.piece(&mut whole).unwrap());
        String::from_utf8(whole).unwrap()
    });
    assert_eq!(html.matches("</td><th scope=\"row\">").count(), FILES);
    assert!(html.contains("<p>50000 files, 0 B</p>"));
    assert!(html.ends_with("</html>\n"));
    let json: Value = serde_json::from_str(&json).unwrap();
    let entries = json["entries"].as_array().unwrap();
    assert_eq!(entries.len(), FILES);
    assert_eq!(entries[FILES - 1]["name"], "file number 49999.txt");
}

/// The first of each pair of quoted texts that `begin` stands before.
fn quoted_after<'a>(script: &'a str, begin: &str) -> Vec<&'a str> {
    let found = script.split(begin).skip(1);
    found.map(|rest| rest.split('"').next().unwrap()).collect()
}

#[test]
fn every_word_of_the_script_is_translated_and_none_for_nothing() {
    let (words, rest) = SCRIPT.split_once("\n};\n").unwrap();
    let mut known: Vec<&str> = quoted_after(words, "\n  \"");
    let mut said = quoted_after(rest, "say(\"");
    // The table of keys: what stands second in each line.
    let (_, keys) = rest.split_once("const KEYS = [").unwrap();
    let (keys, _) = keys.split_once("];\n\n").unwrap();
    said.extend(quoted_after(keys, "\", \""));
    for text in &said {
        assert!(known.contains(text), "not translated: {text:?}");
    }
    known.sort_unstable();
    let count = known.len();
    known.dedup();
    assert_eq!(known.len(), count, "translated twice");
    for text in known {
        assert!(said.contains(&text), "never said: {text:?}");
    }
}

#[test]
fn translations_leave_the_same_places() {
    let (words, _) = SCRIPT.split_once("\n};\n").unwrap();
    for line in words.lines().filter(|line| line.starts_with("  \"")) {
        let (english, chinese) = line.split_once("\": \"").unwrap();
        assert_eq!(
            english.matches("{}").count(),
            chinese.matches("{}").count(),
            "{line}"
        );
    }
}

#[test]
fn the_script_takes_no_shortcuts() {
    for shortcut in [
        "innerHTML",
        "outerHTML",
        "insertAdjacentHTML",
        "document.write",
        "eval(",
        "new Function",
        "https://cdn",
        "import(",
    ] {
        assert!(!SCRIPT.contains(shortcut), "{shortcut}");
    }
}

#[test]
fn the_folder_page_is_small() {
    const BUDGET: usize = 150 * 1024;
    let folder = tempfile::tempdir().unwrap();
    let setting = Setting {
        nonce: web::nonce(),
        account: Some("ada".to_owned()),
        access: Access::Admin,
        accounts: true,
        ..Setting::default()
    };
    let view = Share::open(folder.path()).unwrap().view(Access::Admin);
    let page = text(FolderPage::new(&view, &path(""), BY_NAME, &setting).unwrap());
    assert!(
        page.len() + SCRIPT.len() < BUDGET,
        "{} + {}",
        page.len(),
        SCRIPT.len()
    );
}

#[test]
fn everything_on_the_page_may_be_there_by_its_policy() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), b"file", "content");
    let nonces = [web::nonce(), web::nonce()];
    assert_ne!(nonces[0], nonces[1]);
    for lang in [Lang::En, Lang::Zh] {
        let setting = Setting {
            lang,
            nonce: nonces[0].clone(),
            account: Some("<ada>".to_owned()),
            access: Access::Admin,
            accounts: true,
            register: true,
            admin: true,
            ..Setting::default()
        };
        let page = text(FolderPage::new(&view(&folder), &path(""), BY_NAME, &setting).unwrap());
        let policy = web::content_security_policy(&setting.nonce);
        let (head, body) = page.split_once("</style>").unwrap();
        assert!(!body.contains("<style") && !body.contains(" style="));
        assert!(!head.contains("<script") && body.matches("<script").count() == 1);
        assert!(body.contains(&format!("nonce=\"{}\"", nonces[0])));
        assert!(policy.contains(&format!("'nonce-{}'", nonces[0])));
        assert!(!policy.contains("unsafe") && !policy.contains('*'));
        assert!(page.contains(&format!("<html lang=\"{}\">", lang.tag())));
        assert!(body.contains("&#60;ada&#62;"));
        // Every element that needs it is closed; none is closed twice.
        for name in [
            "html", "body", "header", "nav", "ul", "ol", "li", "form", "main", "table", "thead",
            "tbody", "tr", "th", "td", "a", "bdi", "button", "label", "footer", "p", "h1",
        ] {
            let opened = page.matches(&format!("<{name}>")).count()
                + page.matches(&format!("<{name} ")).count();
            assert_eq!(
                opened,
                page.matches(&format!("</{name}>")).count(),
                "{name}"
            );
        }
        // Every field has a name for those who listen.
        for input in between(body, "<input ", ">") {
            let hidden = input.contains("type=\"hidden\"");
            // Or they stand in their label.
            let within = ["type=\"file\"", "name=\"overwrite\""];
            let labelled =
                input.contains("aria-label=") || within.iter().any(|field| input.contains(field));
            assert!(hidden || labelled, "{input}");
        }
    }
}

#[test]
fn what_a_visitor_may_not_do_is_not_offered() {
    let folder = tempfile::tempdir().unwrap();
    let page_for = |access: Access, base: &str| {
        let setting = Setting {
            access,
            base: base.to_owned(),
            accounts: true,
            ..Setting::default()
        };
        text(FolderPage::new(&view(&folder), &path(""), BY_NAME, &setting).unwrap())
    };
    let form = "enctype=\"multipart/form-data\"";
    assert!(!page_for(Access::Read, "").contains(form));
    assert!(page_for(Access::Upload, "").contains(form));
    assert!(page_for(Access::Read, "").contains("/.hythe/sign-in?next=%2F"));
    let shared = page_for(Access::Read, "/.hythe/l/token");
    assert!(!shared.contains("sign-in"));
    assert!(!shared.contains("sign-up"));
}
