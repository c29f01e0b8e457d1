"""A person at the folder page: argv has the page's URL, the shared folder, a folder
for files of their own, and what to do."""

import os
import pathlib
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from chromium import Browser  # noqa: E402

url, share, own, what = sys.argv[1], pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[3]), sys.argv[4]

NAMES = "[...document.querySelectorAll('#listing tbody:not(.parent) bdi')]"


def ready(browser):
    browser.until("document.querySelector('main.live')", "the script at work")


def has(browser, name):
    browser.until(f"{NAMES}.some(name => name.textContent === {name!r})", f"{name} in the list")


def press(browser, where, label):
    """Presses the button with this label in what the selector names."""
    find = f"[...document.querySelectorAll({where + ' button'!r})].find(button => button.textContent === {label!r})"
    browser.until(find, f"a button {label}")
    browser.run(f"{find}.click()")


def menu(browser, name, label):
    browser.until(f"""(() => {{
        const row = {NAMES}.find(found => found.textContent === {name!r})?.closest("tr");
        row?.querySelector(".more")?.click();
        return document.querySelector(".menu");
    }})()""", f"the menu of {name}")
    press(browser, ".menu", label)


def dialog(browser):
    browser.until("document.querySelector('dialog[open] input')", "a dialog with a field")


def uploaded(browser, count):
    browser.until(f"document.querySelectorAll('.queue li[data-state=done]').length === {count}",
                  f"{count} uploads done")


def manage(browser):
    """Filter, new folder, rename, move, delete."""
    browser.go(url)
    ready(browser)
    shown = "[...document.querySelectorAll('#listing tbody tr')].filter(row => !row.hidden).length"
    all_rows = browser.run(shown)
    browser.run("document.querySelector('.search input').focus()")
    browser.type("<SCRIPT")
    browser.until(f"{shown} === 1", "one row that matches")
    browser.key("Escape")
    browser.until(f"{shown} === {all_rows}", "all rows again")

    press(browser, ".tools", "New folder")
    dialog(browser)
    browser.type("a <b>&c")
    browser.key("Enter")
    has(browser, "a <b>&c")
    menu(browser, "a <b>&c", "Rename…")
    dialog(browser)
    browser.type("renamed %20")
    browser.key("Enter")
    has(browser, "renamed %20")
    assert (share / "renamed %20").is_dir()

    # A name that is taken changes nothing, and another can be typed.
    menu(browser, "plain.txt", "Rename…")
    dialog(browser)
    # Typing leaves the end of a name as it is, unless all of it is selected.
    assert browser.run("getSelection().toString()") == "plain"
    browser.run("document.activeElement.select()")
    browser.type("renamed %20")
    browser.key("Enter")
    browser.until("document.querySelector('dialog[open] .wrong')?.textContent.includes('already')")
    assert (share / "plain.txt").is_file()
    press(browser, "dialog[open]", "Cancel")

    menu(browser, "plain.txt", "Move…")
    browser.until("document.querySelector('.folders button')", "a folder to choose")
    browser.run("[...document.querySelectorAll('.folders button')]"
                ".find(choice => choice.textContent === 'renamed %20').click()")
    browser.until("document.querySelector('.path').textContent === '/renamed %20'")
    press(browser, "dialog[open]", "Move here")
    browser.until(f"!{NAMES}.some(name => name.textContent === 'plain.txt')", "plain.txt gone")
    assert (share / "renamed %20" / "plain.txt").is_file()

    # All with one click, then all but the folder left out again.
    browser.run("document.querySelector('thead input').click()")
    browser.until("document.querySelector('.chosen output').textContent.endsWith('selected')")
    press(browser, ".chosen", "Delete…")
    press(browser, "dialog[open]", "Cancel")
    assert (share / "renamed %20").is_dir()
    press(browser, ".chosen", "Delete…")
    press(browser, "dialog[open]", "Delete")
    browser.until("document.querySelector('#listing > .empty:not(.none-match)')", "an empty folder")
    # What no URL can name has no box either, and stays.
    assert [path for path in share.iterdir() if path.name != ".hythe"] == []


def upload(browser):
    """Files and a folder; a conflict; the server's word on what is too large."""
    small, large = own / "small.txt", own / "large.bin"
    small.write_text("small")
    large.write_bytes(os.urandom(3 << 20))
    tree = own / "tree"
    (tree / "deep" / "er").mkdir(parents=True)
    (tree / "deep" / "er" / "名 字.txt").write_text("deep")
    (tree / "empty").write_bytes(b"")
    browser.go(url)
    ready(browser)
    files = "document.querySelector('.tools button')"
    browser.choose(files, small, large)
    uploaded(browser, 2)
    has(browser, "large.bin")
    assert (share / "large.bin").read_bytes() == large.read_bytes()
    assert (share / "small.txt").stat().st_mtime_ns // 10**6 == small.stat().st_mtime_ns // 10**6

    browser.choose("document.querySelectorAll('.tools button')[1]", tree)
    uploaded(browser, 4)
    assert (share / "tree" / "deep" / "er" / "名 字.txt").read_text() == "deep"
    assert (share / "tree" / "empty").read_bytes() == b""

    small.write_text("another")
    browser.choose(files, small, large)
    browser.until("document.querySelector('dialog[open] .choices')", "a question")
    browser.run("document.querySelector('dialog[open] input').click()")
    press(browser, "dialog[open]", "Keep both")
    uploaded(browser, 6)
    assert (share / "small (2).txt").read_text() == "another"
    assert (share / "small.txt").read_text() == "small"
    browser.choose(files, small)
    browser.until("document.querySelector('dialog[open] .choices')", "a question")
    press(browser, "dialog[open]", "Replace")
    uploaded(browser, 7)
    assert (share / "small.txt").read_text() == "another"

    huge = own / "huge.bin"
    huge.write_bytes(b"x" * (9 << 20))
    browser.choose(files, huge)
    browser.until("document.querySelector('.queue li[data-state=failed] .quiet')?.textContent", "a failure")
    browser.run("document.querySelector('.fold').click()")
    assert browser.run("document.querySelector('.queue h2').textContent") == "1 file could not be uploaded"


def preview(browser):
    """Each kind of file shows as what it is, and nothing of it runs."""
    browser.go(url)
    ready(browser)
    for name, kind, found in [
        ("readme.md", "markdown", "h3, ul li ul li, table td, code"),
        ("gbk.txt", "text", "pre"),
        ("page.html", "text", "pre"),
        ("drawing.svg", "image", "img"),
        ("thing.bin", "other", "p"),
    ]:
        browser.run(f"{NAMES}.find(other => other.textContent === {name!r}).click()")
        browser.until(f"document.querySelector('.viewer[open] .view')?.dataset.kind === {kind!r}"
                      f" && document.querySelector('.view').querySelectorAll({found!r}).length"
                      " && !document.querySelector('.view').textContent.includes('Loading')", name)
        if name == "gbk.txt":
            assert browser.run("document.querySelector('.view pre').textContent") == "你好，世界"
        if name == "page.html":
            assert "<script>" in browser.run("document.querySelector('.view pre').textContent")
        if name == "readme.md":
            links = browser.run("[...document.querySelectorAll('.markdown a')].map(link => link.href)")
            # A picture from elsewhere is a link, one that nobody follows unasked.
            assert links == ["https://example.org/", "https://example.org/x.png"], links
        browser.key("Escape")
        browser.until("!document.querySelector('dialog[open]')", "the preview closed")
        browser.until(f"document.activeElement.querySelector('bdi')?.textContent === {name!r}",
                      f"the focus back on {name}")
    assert browser.run("window.ran") is None
    # From one to the next by keys.
    browser.run(f"{NAMES}.find(other => other.textContent === 'drawing.svg').click()")
    browser.until("document.querySelector('.viewer[open] h2')?.textContent === 'drawing.svg'")
    browser.key("ArrowRight")
    browser.until("document.querySelector('.viewer h2').textContent === 'gbk.txt'")
    browser.key("ArrowLeft")
    browser.until("document.querySelector('.viewer h2').textContent === 'drawing.svg'")


def look(browser):
    """Both languages and the narrow screen: nothing is wider than the screen, what
    can be pressed is large enough, and every control has a name."""
    for language, lang in [("en", "en"), ("zh-TW,en;q=0.5", "zh-Hans")]:
        browser.screen(390, 844, dark=lang != "en", phone=True, language=language)
        browser.go(url)
        ready(browser)
        assert browser.run("document.documentElement.lang") == lang
        assert browser.run("document.documentElement.scrollWidth <= innerWidth")
        small = browser.run("""[...document.querySelectorAll("button, a, input")].filter((control) => {
            const box = control.getBoundingClientRect();
            return box.width && (box.height < 40 || box.width < 40);
        }).map((control) => control.outerHTML)""")
        # All of a row is its link, by what lies over it.
        small = [control for control in small if not control.startswith('<a href="/')]
        assert not small, small
        nameless = browser.run("""[...document.querySelectorAll("button, input, a")].filter((control) =>
            control.getBoundingClientRect().width && !control.getAttribute("aria-label") && !control.textContent.trim()
            && !control.labels?.length).map((control) => control.outerHTML)""")
        assert not nameless, nameless
    title = browser.run("document.querySelector('.tools button').textContent")
    assert title == "上传文件", title


with Browser() as browser:
    {"manage": manage, "upload": upload, "preview": preview, "look": look}[what](browser)
    troubles = browser.troubles()
    assert not troubles, troubles
