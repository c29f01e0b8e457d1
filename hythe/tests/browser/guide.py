"""A person at the pages of the guide: argv has the chapter and the address."""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from chromium import Browser  # noqa: E402

chapter, address = sys.argv[1:]


def fill(browser, **fields):
    for name, text in fields.items():
        browser.click(f"input[name={name}]")
        browser.type(text)


def shows(browser, *entries):
    found = "[...document.querySelectorAll('li')].map(item => item.textContent.trim()).join('|')"
    browser.until(f"{found} === {'|'.join(entries)!r}", entries)


def router(browser):
    browser.go(f"http://{address}/")
    fill(browser, name="小明", text="<b>好看</b>")
    browser.click("button")
    shows(browser, "小明: <b>好看</b>")


def live(browser):
    with Browser() as other:
        for one in browser, other:
            one.go(f"http://{address}/")
        fill(browser, text="你好")
        browser.click("button")
        shows(other, "你好")
        # A page of this origin may speak over the socket, too.
        other.run("""new Promise((resolve, reject) => {
            window.socket = new WebSocket(`ws://${location.host}/socket`);
            socket.onopen = resolve;
            socket.onerror = reject;
            socket.onmessage = event => { window.heard = event.data };
        })""")
        other.until("window.heard === '你好'")
        other.run("socket.send('再见')")
        for one in browser, other:
            shows(one, "你好", "再见")
        other.until("window.heard === '再见'")


def accounts(browser):
    browser.go(f"https://{address}/")
    fill(browser, name="小明", password="correct horse")
    browser.click("button[formaction]")  # joins
    fill(browser, text="来过")
    browser.click("button")
    shows(browser, "小明: 来过")
    browser.click("form[action='/leave'] button")
    fill(browser, name="小明", password="correct horse")
    browser.click("button")  # enters
    fill(browser, text="又来了")
    browser.click("button")
    shows(browser, "小明: 来过", "小明: 又来了")


chapters = {"08-router": router, "09-live": live, "10-accounts": accounts}
with Browser("--ignore-certificate-errors") as browser:
    chapters[chapter](browser)
    troubles = browser.troubles()
    assert not troubles, troubles
