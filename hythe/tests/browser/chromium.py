"""Chromium by its debugging pipe, with nothing but Python's own library."""

import base64
import json
import os
import shutil
import subprocess
import tempfile
import time

PATIENCE = 60


class Browser:
    """A headless Chromium with one page."""

    def __init__(self, *arguments):
        to_browser, self.pipe_out = os.pipe()
        self.pipe_in, from_browser = os.pipe()
        self.profile = tempfile.mkdtemp()

        def wire():
            # Chromium reads descriptor 3 and writes descriptor 4.
            high = [os.dup2(to_browser, 30), os.dup2(from_browser, 31)]
            os.dup2(high[0], 3)
            os.dup2(high[1], 4)

        self.process = subprocess.Popen(
            ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run",
             "--disable-background-networking", "--disable-component-update", "--disable-sync",
             "--disable-dev-shm-usage", "--remote-debugging-pipe",
             f"--user-data-dir={self.profile}", *arguments, "about:blank"],
            preexec_fn=wire, close_fds=False,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.close(to_browser)
        os.close(from_browser)
        self.number = 0
        self.buffer = b""
        self.session = None
        self.events = []
        targets = self.call("Target.getTargets")["targetInfos"]
        page = next(target for target in targets if target["type"] == "page")
        attached = self.call("Target.attachToTarget", targetId=page["targetId"], flatten=True)
        self.session = attached["sessionId"]
        for domain in ["Page", "Runtime", "Log", "Network"]:
            self.call(f"{domain}.enable")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        shutil.rmtree(self.profile, ignore_errors=True)

    def call(self, method, **parameters):
        self.number += 1
        message = {"id": self.number, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.pipe_out, json.dumps(message).encode() + b"\0")
        while True:
            reply = self.receive()
            if reply.get("id") == self.number:
                if "error" in reply:
                    raise RuntimeError(f"{method}: {reply['error']}")
                return reply["result"]
            self.take(reply)

    def take(self, event):
        # A question that a leaving page asks is answered with yes.
        if event.get("method") == "Page.javascriptDialogOpening":
            self.events.append(event)
            self.number += 1
            answer = {"id": self.number, "method": "Page.handleJavaScriptDialog",
                      "params": {"accept": True}, "sessionId": self.session}
            os.write(self.pipe_out, json.dumps(answer).encode() + b"\0")
            return
        self.events.append(event)

    def receive(self):
        while b"\0" not in self.buffer:
            some = os.read(self.pipe_in, 1 << 20)
            if not some:
                raise RuntimeError("Chromium has ended")
            self.buffer += some
        message, self.buffer = self.buffer.split(b"\0", 1)
        return json.loads(message)

    def run(self, script):
        """The value of an expression, awaited if it is a promise."""
        reply = self.call("Runtime.evaluate", expression=script, awaitPromise=True,
                          returnByValue=True, userGesture=True)
        if "exceptionDetails" in reply:
            raise RuntimeError(json.dumps(reply["exceptionDetails"])[:2000])
        return reply.get("result", {}).get("value")

    def until(self, script, what=None):
        """Waits until an expression is true; gives its value."""
        end = time.monotonic() + PATIENCE
        while True:
            try:
                value = self.run(script)
            except RuntimeError as error:
                # Between two pages there is none.
                value = None
                if "has ended" in str(error):
                    raise
            # An element has no value but an empty object.
            if value or value == {}:
                return value
            if time.monotonic() > end:
                raise RuntimeError(f"never came: {what or script}\n{self.troubles()}\n"
                                   + str(self.run("document.body.innerText"))[:3000])
            time.sleep(0.02)

    def go(self, url):
        self.call("Page.navigate", url=url)
        self.until("document.readyState === 'complete' && location.href !== 'about:blank'")

    def key(self, key, modifiers=0, code=0):
        text = {"Enter": "\r"}.get(key, key if len(key) == 1 else "")
        code = code or {"Enter": 13, "Escape": 27, "Delete": 46, "F2": 113, "Tab": 9,
                        "ArrowLeft": 37, "ArrowRight": 39}.get(key, 0)
        for kind in ["keyDown", "keyUp"]:
            self.call("Input.dispatchKeyEvent", type=kind, key=key, modifiers=modifiers,
                      windowsVirtualKeyCode=code, **({"text": text} if kind == "keyDown" and text else {}))

    def type(self, text):
        self.call("Input.insertText", text=text)

    def click(self, selector, modifiers=0):
        """A click with the mouse on the middle of an element."""
        where = self.until(f"""(() => {{
            const element = document.querySelector({json.dumps(selector)});
            if (!element) return null;
            element.scrollIntoView({{ block: "center" }});
            const box = element.getBoundingClientRect();
            return box.width ? [box.x + box.width / 2, box.y + box.height / 2] : null;
        }})()""", selector)
        for kind in ["mousePressed", "mouseReleased"]:
            self.call("Input.dispatchMouseEvent", type=kind, x=where[0], y=where[1],
                      button="left", clickCount=1, modifiers=modifiers)

    def choose(self, button, *paths):
        """Presses a button that asks for files, and chooses these."""
        self.call("Page.setInterceptFileChooserDialog", enabled=True)
        self.run(f"{button}.click()")
        end = time.monotonic() + PATIENCE
        while True:
            for event in self.events:
                if event.get("method") == "Page.fileChooserOpened":
                    self.events.remove(event)
                    self.call("DOM.setFileInputFiles", files=[str(path) for path in paths],
                              backendNodeId=event["params"]["backendNodeId"])
                    return
            if time.monotonic() > end:
                raise RuntimeError("no window to choose files came")
            self.run("1")
            time.sleep(0.02)

    def screen(self, width, height=900, dark=False, phone=False, language=None):
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height,
                  deviceScaleFactor=2 if phone else 1, mobile=phone)
        self.call("Emulation.setEmulatedMedia", features=[
            {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}])
        if language:
            self.call("Network.setExtraHTTPHeaders", headers={"Accept-Language": language})

    def picture(self, path):
        data = self.call("Page.captureScreenshot", format="png")["data"]
        with open(path, "wb") as file:
            file.write(base64.b64decode(data))

    def troubles(self):
        """Whatever the page threw or the browser complained of."""
        found = []
        for event in self.events:
            method, parameters = event.get("method"), event.get("params", {})
            if method == "Runtime.exceptionThrown":
                found.append(json.dumps(parameters["exceptionDetails"])[:1500])
            elif method == "Log.entryAdded" and parameters["entry"]["source"] in ("security", "javascript"):
                found.append(parameters["entry"]["text"])
            elif method == "Runtime.consoleAPICalled" and parameters["type"] == "error":
                found.append(json.dumps(parameters["args"])[:500])
        return found
